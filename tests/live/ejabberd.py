# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A real ejabberd of the test's own, on free ports of loopback, with its own data. The
system's service and its files are not touched. It is an Erlang node without a name:
nothing can connect to it, and no epmd, which would stay, is started for it."""
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid

import procfs
from ports import free_ports
from waiting import PATIENCE, until

ACCOUNTS = {"romeo": "mountague-3c1d", "juliet": "capulet-9e7b"}

CONFIG = """
hosts: ["{domain}"]
loglevel: info
log_rotate_count: 0
auth_method: [internal]
s2s_access: none
acme: {{auto: false}}
certfiles: {certfiles}
listen: {listeners}
modules:
  mod_disco: {{}}
  mod_ping: {{}}
  mod_roster: {{}}
"""

# What Debian's package makes /etc/ejabberd/ejabberd.yml of when it is installed.
STOCK = "/usr/share/ejabberd/ejabberd.yml.example"

LISTENER = """
  - {{port: {port}, ip: "127.0.0.1", module: ejabberd_c2s, {options}}}"""

# Not in it: nobody on the Internet is asked for a certificate.
NO_ACME = """
acme: {auto: false}
"""


def stock_config(domain, certfiles, ports):
    """STOCK as the package installs it without an administrator's account, with a host and a
    certificate of ours, and with other ports of loopback. ports: {5222: another}."""
    with open(STOCK) as f:
        text = f.read()
    for pattern, ours in (
            (r'  ## admin:\n  ##   user:\n  ##     - .*\n  ##     - .*\n',
             '  admin:\n    user:\n      - ""\n'),
            (r"(?<=\nhosts:\n)  - localhost\n", "  - %s\n" % domain),
            (r'  - "/etc/ejabberd/ejabberd\.pem"\n',
             "".join('  - "%s"\n' % name for name in certfiles))):
        text, count = re.subn(pattern, lambda _: ours, text)
        assert count == 1, "%s is not what it was: %s" % (STOCK, pattern)
    text = re.sub(r"(?<= port: )\d+", lambda m: str(ports[int(m.group())]), text)
    return text.replace('ip: "::"', 'ip: "127.0.0.1"') + NO_ACME


# Evaluated when ejabberd has started; an account that is there already stays as it is.
ACCOUNT = 'ejabberd_auth:try_register(<<"{user}">>, <<"{domain}">>, <<"{password}">>).\n'
READY = 'ok = file:write_file("{ready}", "").\n'

# One processor's worth of threads, none of which spins when it has nothing to do.
ERL_OPTIONS = ("+S", "1", "+SDio", "1", "+sbwt", "none", "+sbwtdcpu", "none",
               "+sbwtdio", "none")


class Ejabberd:
    """A domain with its accounts, reached in several ways, each on a port of its own:
    port and proxy_port (the same behind the PROXY protocol, of both versions) require no
    TLS; they offer STARTTLS if there is a certificate. With one there are starttls_port,
    where STARTTLS is required, and direct_port, which is TLS from the first byte.

    Or, stock, as Debian installs it: STARTTLS is required on port, and there is direct_port."""

    def __init__(self, domain="ejabberd.fake", accounts=None, cert=None, key=None, stock=False):
        self.domain, self.accounts = domain, dict(accounts or ACCOUNTS)
        self.root = tempfile.mkdtemp(prefix="bosh-ejabberd-")
        self.port, self.proxy_port, self.starttls_port, self.direct_port = free_ports(4)
        self._marker = "BOSH_LIVE_TEST=" + uuid.uuid4().hex
        self._process = None
        certfiles = [self._copy(f) for f in (cert, key) if f]
        self._write("ejabberd.yml", self._stock_config(certfiles) if stock else CONFIG.format(
            domain=domain, certfiles=certfiles, listeners=self._listeners(bool(cert))))
        self._write("started.erl", "".join(
            ACCOUNT.format(user=user, domain=domain, password=password)
            for user, password in self.accounts.items())
            + READY.format(ready=self._path("ready")))
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "ejabberd:", self.root], check=True)

    # ---- files ------------------------------------------------------------------------

    def _path(self, name):
        return os.path.join(self.root, name)

    def _write(self, name, text):
        with open(self._path(name), "w") as f:
            f.write(text)

    def _copy(self, file):
        """The caller's file may be one that ejabberd has no right to read."""
        return shutil.copy(file, self.root)

    def _stock_config(self, certfiles):
        others = (5269, 5443, 5280, 3478, 1883)
        ports = dict(zip(others, free_ports(len(others))))
        return stock_config(self.domain, certfiles,
                            {5222: self.port, 5223: self.direct_port, **ports})

    def _listeners(self, with_tls):
        plain = "starttls: true" if with_tls else "starttls: false"
        found = [(self.port, plain), (self.proxy_port, plain + ", use_proxy_protocol: true")]
        if with_tls:
            found += [(self.starttls_port, "starttls_required: true"),
                      (self.direct_port, "tls: true")]
        return "".join(LISTENER.format(port=p, options=options) for p, options in found)

    # ---- life -------------------------------------------------------------------------

    @property
    def address(self):
        return "xmpp://127.0.0.1:%d" % self.port

    @property
    def proxy_address(self):
        return "xmpp://127.0.0.1:%d" % self.proxy_port

    @property
    def starttls_address(self):
        return "xmpp://127.0.0.1:%d" % self.starttls_port

    @property
    def direct_address(self):
        return "xmpps://127.0.0.1:%d" % self.direct_port

    def _environment(self):
        # Debian keeps these libraries where Erlang itself does not look.
        libraries = glob.glob("/usr/lib/*/ejabberd-*/ebin")
        assert libraries, "ejabberd is not installed: build/install-packages test"
        name, _, value = self._marker.partition("=")
        return {"PATH": os.environ["PATH"], "HOME": self.root, "LANG": "C.UTF-8", name: value,
                "ERL_LIBS": os.path.dirname(os.path.dirname(libraries[0])),
                "ERL_CRASH_DUMP": self._path("crash.dump"),
                "EJABBERD_CONFIG_PATH": self._path("ejabberd.yml"),
                "EJABBERD_LOG_PATH": self._path("ejabberd.log")}

    def start(self):
        command = ["erl", "-noinput", *ERL_OPTIONS, "-mnesia", "dir", '"%s"' % self._path("data"),
                   "-ejabberd", "quiet", "true", "-s", "ejabberd",
                   "-eval", 'ok = file:eval("%s").' % self._path("started.erl")]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=ejabberd", "--regid=ejabberd",
                       "--clear-groups"] + command
        with open(self._path("output.txt"), "ab") as out:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out,
                                             stderr=out, cwd=self.root, start_new_session=True,
                                             env=self._environment())
        try:
            until(self._is_ready, 30, "ejabberd to start")
        except BaseException:
            text = self.log_text()
            self.stop()
            raise AssertionError("ejabberd did not become ready:\n" + text[-4000:])
        return self

    def _is_ready(self):
        assert self._process.poll() is None, "ejabberd ended"
        return os.path.exists(self._path("ready")) and self._accepts(self.port)

    def _accepts(self, port):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    def log_text(self):
        text = ""
        for name in ("output.txt", "ejabberd.log"):
            try:
                with open(self._path(name), errors="replace") as f:
                    text += f.read()
            except FileNotFoundError:
                pass
        return text

    def processes(self):
        """The node, and Erlang's helpers for name lookups and for starting programs."""
        return procfs.marked(self._marker.encode())

    def shut_down(self, how=signal.SIGTERM):
        """Ends the process; start() begins again with the same data."""
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(15 * PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process = None
        if os.path.exists(self._path("ready")):
            os.unlink(self._path("ready"))
        # The helpers end by themselves when the node is gone. An epmd would not.
        until(lambda: not self.processes(), 10, "ejabberd's helpers to end")

    def restart(self):
        self.shut_down()
        return self.start()

    def stop(self):
        """Its data goes as well, so there is nothing that it has to put in order before."""
        try:
            self.shut_down(signal.SIGKILL)
        finally:
            shutil.rmtree(self.root, ignore_errors=True)
