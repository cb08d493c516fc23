# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What shim.c does to an httpd that was started with it, changed while it runs."""
import mmap
import os
import shutil
import struct
import subprocess
import tempfile

FIELDS = ("clock_offset", "interrupt", "most_bytes", "no_random", "needy", "scarce", "calls", "broken")
DAY = 24 * 3600


class Shim:
    """`environment` is for Httpd; shim.set(clock_offset=DAY) and the like take effect at
    once in all its processes."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="bosh-shim-")
        os.chmod(self.folder, 0o755)
        library = os.path.join(self.folder, "shim.so")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library,
                        os.path.join(os.path.dirname(os.path.abspath(__file__)), "shim.c"),
                        "-ldl"], check=True)
        control = os.path.join(self.folder, "control")
        with open(control, "wb") as f:
            f.write(bytes(8 * len(FIELDS)))
        os.chmod(control, 0o666)
        with open(control, "r+b") as f:
            self._wishes = mmap.mmap(f.fileno(), 8 * len(FIELDS))
        self.environment = {"LD_PRELOAD": library, "BOSH_SHIM": control}

    def set(self, **wishes):
        for name, value in wishes.items():
            struct.pack_into("=q", self._wishes, 8 * FIELDS.index(name), value)

    def get(self, name):
        return struct.unpack_from("=q", self._wishes, 8 * FIELDS.index(name))[0]

    def close(self):
        self._wishes.close()
        shutil.rmtree(self.folder, ignore_errors=True)
