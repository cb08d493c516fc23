# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Nobody runs in circles."""
import time

import procfs
from waiting import PATIENCE

CALM = 1.5  # seconds for which processors are watched


def assert_calm(server):
    """Nobody is busy with nothing. Some processor time is used by requests that come."""
    before = {p: procfs.cpu_seconds(p) for p in server.processes()}
    time.sleep(CALM)
    for pid, used in before.items():
        if procfs.is_alive(pid):
            used = procfs.cpu_seconds(pid) - used
            assert used < 0.3 * CALM * PATIENCE, \
                "%s (%d) used %.2f s in %.1f s" % (procfs.comm(pid), pid, used, CALM)
