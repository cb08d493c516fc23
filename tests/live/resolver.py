# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A resolv.conf of its own for an httpd, and for nobody else: a mount namespace in which
another file is mounted on /etc/resolv.conf.

    with Resolver(dns.address) as resolver:
        server = make_httpd(wrapper=resolver.wrapper)
        resolver.write("nameserver 127.0.0.2")  # while it runs
"""
import os
import shutil
import subprocess
import tempfile

# No process stays in between: the last word becomes httpd itself.
MOUNT = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'


class Resolver:
    def __init__(self, *servers, text=""):
        self.folder = tempfile.mkdtemp(prefix="bosh-resolver-")
        self.path = os.path.join(self.folder, "resolv.conf")
        self.write("".join("nameserver %s\n" % server for server in servers) + text)
        os.chmod(self.path, 0o644)
        self.wrapper = ["unshare", "-m", "--propagation", "private", "sh", "-c", MOUNT, self.path]

    def write(self, text):
        """In place: it is this very file that is mounted."""
        with open(self.path, "w") as f:
            f.write(text)

    def stop(self):
        shutil.rmtree(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()


def reason_to_skip():
    """Why no process can be given a resolv.conf of its own; None: one can."""
    if os.geteuid() != 0:
        return "mount namespaces are root's"
    if not shutil.which("unshare") or not os.path.exists("/etc/resolv.conf"):
        return "no unshare, or no /etc/resolv.conf"
    with Resolver("127.0.0.1") as resolver:
        done = subprocess.run(resolver.wrapper + ["true"], capture_output=True, text=True)
    return "mounting fails: " + done.stderr.strip() if done.returncode else None
