# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What processes cost: CPU time, memory, and the kernel's memory for TCP."""

import os
import time


def cpu_seconds(pid):
    """User and system time of a whole process, ended threads too, in nanoseconds'
    resolution: /proc/PID/stat counts in hundredths of a second only. This is the
    clock that clock_getcpuclockid(3) names."""
    return time.clock_gettime(((~pid) << 3) | 2)


def memory_kib(pid):
    """Proportional set size, of it private anonymous memory, of it shared memory."""
    kib = {}
    with open(f"/proc/{pid}/smaps_rollup") as f:
        for line in f:
            key, _, rest = line.partition(":")
            if rest.endswith("kB\n"):
                kib[key] = int(rest.split()[0])
    return {"pss": kib["Pss"], "anon": kib.get("Pss_Anon", 0), "shmem": kib.get("Pss_Shmem", 0)}


def tcp_kib():
    """The kernel's buffers of all TCP sockets of this network namespace."""
    with open("/proc/net/sockstat") as f:
        for line in f:
            fields = line.split()
            if fields[0] == "TCP:":
                return int(fields[fields.index("mem") + 1]) * os.sysconf("SC_PAGESIZE") // 1024
    return 0
