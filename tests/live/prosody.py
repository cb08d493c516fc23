# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A real Prosody of the test's own, on free ports of loopback, with its own data.
It also serves BOSH itself, so that the kit can be checked against another
implementation. The system's service is not touched."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile

import procfs
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


class Prosody:
    def __init__(self):
        self.root = tempfile.mkdtemp(prefix="bosh-prosody-")
        self.port, self.http_port = procfs.free_ports(2)
        self.config = os.path.join(self.root, "prosody.cfg.lua")
        with open(self.config, "w") as f:
            f.write(CONFIG.format(root=self.root, c2s=self.port, http=self.http_port,
                                  domain=DOMAIN))
        accounts = os.path.join(self.root, "data", DOMAIN, "accounts")
        os.makedirs(accounts)
        for user, password in ACCOUNTS.items():
            with open(os.path.join(accounts, user + ".dat"), "w") as f:
                f.write('return { ["password"] = "%s"; };\n' % password)
        self._process = None
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "prosody", self.root], check=True)

    @property
    def address(self):
        return "xmpp://127.0.0.1:%d" % self.port

    def start(self):
        command = ["prosody", "-F", "--config", self.config]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=prosody", "--regid=prosody", "--clear-groups"] + command
        with open(os.path.join(self.root, "output.txt"), "ab") as out:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out,
                                             stderr=out, cwd="/", start_new_session=True)
        until(lambda: self._accepts(self.port) and self._accepts(self.http_port), 15,
              "Prosody to listen")
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
