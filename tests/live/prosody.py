# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A real Prosody of the test's own, on free ports of loopback, with its own data.
It also serves BOSH itself, so that the kit can be checked against another
implementation. The system's service is not touched."""
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile

from ports import free_ports
from waiting import until

DOMAIN = "localhost"
ACCOUNTS = {"romeo": "mountague-3c1d", "juliet": "capulet-9e7b", "tybalt": "king-of-cats"}

CONFIG = """
pidfile = "{root}/prosody.pid"
data_path = "{root}/data"
plugin_paths = {{}}
modules_enabled = {{ "roster", "saslauth", "disco", "ping", "bosh", "presence", "message", "iq" }}
modules_disabled = {{ "s2s", "tls", "offline" }}
interfaces = {{ "127.0.0.1" }}
local_interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {c2s} }}
s2s_ports = {{ }}
http_ports = {{ {http} }}
http_interfaces = {{ "127.0.0.1" }}
https_ports = {{ }}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
consider_bosh_secure = true
bosh_max_inactivity = 30
authentication = "internal_plain"
storage = "internal"
log = {{ {{ levels = {{ min = "debug" }}, to = "file", filename = "{root}/prosody.log" }} }}
VirtualHost "{domain}"
"""

# What Debian 12's package installs as /etc/prosody/prosody.cfg.lua, without its comments
# (only root and prosody may read that file itself); the last part, with paths and ports, is ours.
# Encryption is required of clients by default, and what one sends is limited to 10 KB/s.
STOCK = """
admins = {{ }}
plugin_paths = {{ "/usr/local/lib/prosody/modules" }}
modules_enabled = {{
    "disco", "roster", "saslauth", "tls",
    "blocklist", "bookmarks", "carbons", "dialback", "limits", "pep", "private", "smacks",
    "vcard4", "vcard_legacy",
    "csi_simple", "invites", "invites_adhoc", "invites_register", "ping", "register", "time",
    "uptime", "version",
    "admin_adhoc", "admin_shell",
    "posix",
}}
modules_disabled = {{ }}
s2s_secure_auth = true
limits = {{ c2s = {{ rate = "10kb/s" }}, s2sin = {{ rate = "30kb/s" }} }}
authentication = "internal_hashed"
archive_expires_after = "1w"
certificates = "certs"

pidfile = "{root}/prosody.pid"
data_path = "{root}/data"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {c2s} }}
c2s_direct_tls_ports = {{ {direct} }}
s2s_ports = {{ }}
log = {{ {{ levels = {{ min = "info" }}, to = "file", filename = "{root}/prosody.log" }} }}
VirtualHost "{domain}"
"""


def _file_name(domain):
    """As Prosody's storage names a directory."""
    return re.sub(r"\W", lambda c: "%%%02x" % ord(c[0]), domain)


class Prosody:
    """As the tests like it: nothing is encrypted or limited. Or, stock, as Debian installs
    it: STARTTLS is required on `port`, and `direct_port` is TLS from the first byte."""

    def __init__(self, domain=DOMAIN, stock=False, cert=None, key=None):
        self.domain, self.accounts = domain, ACCOUNTS
        self.root = tempfile.mkdtemp(prefix="bosh-prosody-")
        self.port, self.http_port, self.direct_port = free_ports(3)
        self._ports = [self.port, self.direct_port if stock else self.http_port]
        self.config = os.path.join(self.root, "prosody.cfg.lua")
        with open(self.config, "w") as f:
            f.write((STOCK if stock else CONFIG).format(
                root=self.root, domain=domain, c2s=self.port, http=self.http_port,
                direct=self.direct_port))
        if cert:
            self._install(cert, key)
        accounts = os.path.join(self.root, "data", _file_name(domain), "accounts")
        os.makedirs(accounts)
        for user, password in self.accounts.items():
            with open(os.path.join(accounts, user + ".dat"), "w") as f:
                f.write('return { ["password"] = "%s"; };\n' % password)
        self._process = None
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "prosody", self.root], check=True)

    def _install(self, cert, key):
        """Where Prosody finds them by the domain's name."""
        certs = os.path.join(self.root, "certs")
        os.mkdir(certs)
        shutil.copy(cert, os.path.join(certs, self.domain + ".crt"))
        shutil.copy(key, os.path.join(certs, self.domain + ".key"))

    @property
    def address(self):
        return "xmpp://127.0.0.1:%d" % self.port

    @property
    def direct_address(self):
        return "xmpps://127.0.0.1:%d" % self.direct_port

    def start(self):
        command = ["prosody", "-F", "--config", self.config]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=prosody", "--regid=prosody", "--clear-groups"] + command
        with open(os.path.join(self.root, "output.txt"), "ab") as out:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out,
                                             stderr=out, cwd="/", start_new_session=True)
        until(lambda: all(self._accepts(port) for port in self._ports), 15, "Prosody to listen")
        return self

    def _accepts(self, port):
        assert self._process.poll() is None, "Prosody ended: " + self.log_text()[-2000:]
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    def log_text(self):
        text = ""
        for name in ("output.txt", "prosody.log"):
            try:
                with open(os.path.join(self.root, name), errors="replace") as f:
                    text += f.read()
            except FileNotFoundError:
                pass
        return text

    def shut_down(self, how=signal.SIGTERM):
        """Ends the process; start() begins again with the same data."""
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process = None

    def restart(self):
        self.shut_down()
        return self.start()

    def stop(self):
        self.shut_down()
        shutil.rmtree(self.root, ignore_errors=True)
