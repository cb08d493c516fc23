# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A small file system for one folder of an httpd, and for nobody else: a mount namespace in
which a tmpfs is mounted on it. A test fills it, and makes room again.

    disk = Disk(server, "logs")  # before the start
    server.start()
    with disk.seen():
        disk.fill()
        ...
        disk.make_room()
"""
import contextlib
import os
import shutil
import subprocess

import pytest

import procfs

SIZE = 256 * 1024
# No process stays in between: the last word becomes httpd itself.
MOUNT = 'mount -t tmpfs -o mode=755,size=%d tmpfs "$0" && exec "$@"' % SIZE
WRAPPER = ["unshare", "-m", "--propagation", "private", "sh", "-c", MOUNT]


class Disk:
    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        server.wrapper = WRAPPER + [os.path.join(server.root, folder)]

    @contextlib.contextmanager
    def seen(self):
        """The server's own paths lead into its namespace meanwhile."""
        outside = self.server.root
        self.server.root = procfs.seen_by(self.server.parent, outside[1:])
        try:
            yield self
            self.server.check_health()
        finally:
            self.server.root = outside

    def _ballast(self):
        return os.path.join(self.server.root, self.folder, "ballast")

    def fill(self):
        with contextlib.suppress(OSError), open(self._ballast(), "wb", buffering=0) as f:
            while True:
                f.write(b"x" * 4096)

    def free_bytes(self):
        found = os.statvfs(os.path.join(self.server.root, self.folder))
        return found.f_bavail * found.f_frsize

    def make_room(self):
        os.unlink(self._ballast())


def reason_to_skip():
    """Why no process can be given a file system of its own; None: one can."""
    if os.geteuid() != 0:
        return "mounting is root's"
    if not shutil.which("unshare"):
        return "no unshare"
    done = subprocess.run(WRAPPER + ["/mnt", "true"], capture_output=True, text=True)
    return "mounting fails: " + done.stderr.strip() if done.returncode else None


needed = pytest.mark.skipif(bool(reason_to_skip()), reason=str(reason_to_skip()))
