# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The servers that are measured. Each has a folder, ports and processes of its own."""

import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time

import procfs  # of tests/live; run put that folder on the path
from ports import free_ports

MODULES = "/usr/lib/apache2/modules"

# One child with 25 threads, as many connections as the descriptor limit allows.
HTTPD_CONF = """
ServerRoot "{dir}"
ServerName localhost
PidFile "{dir}/httpd.pid"
DefaultRuntimeDir "{dir}"
Listen 127.0.0.1:{port}
ListenBacklog 4096
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule floor_module {floor}
{user}
ErrorLog "{dir}/error.log"
LogLevel warn
DocumentRoot "{dir}"
StartServers 1
ServerLimit 1
ThreadLimit 25
ThreadsPerChild 25
MaxRequestWorkers 25
AsyncRequestWorkerFactor 400
MaxConnectionsPerChild 0
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
<Location "/floor">
    SetHandler floor
</Location>
{bosh}
"""

BOSH_CONF = """
LoadModule bosh_module "{module}"
BoshDomain localhost xmpp://127.0.0.1:{port}
BoshMaxSessions 10000
BoshSharedMemory 134217728
BoshPolling 0
<Location "/http-bind">
    SetHandler bosh
</Location>
"""

PROSODY_CONF = """
daemonize = false
run_as_root = {is_root}
pidfile = "{dir}/prosody.pid"
data_path = "{dir}/data"
certificates = "{dir}"
log = {{ warn = "{dir}/prosody.log" }}
modules_enabled = {{ "saslauth"; "c2s"; "bosh"; "disco"; "presence"; "message"; "iq" }}
modules_disabled = {{ "s2s"; "tls"; "offline" }}
network_settings = {{ tcp_backlog = 4096 }}
c2s_require_encryption = false
c2s_interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{ }}
http_interfaces = {{ "127.0.0.1" }}
http_ports = {{ {http_port} }}
https_ports = {{ }}
consider_bosh_secure = true
bosh_max_wait = 60
VirtualHost "localhost"
    authentication = "anonymous"
"""


class Failed(Exception):
    pass


def spawn(argv, core, **more):
    """A child process on the given core (None: anywhere)."""
    def pin():
        if core is not None:
            os.sched_setaffinity(0, {core})
    return subprocess.Popen(argv, preexec_fn=pin, **more)


def wait_for_port(port, process, what, log):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    tail = ""
    if os.path.exists(log):
        with open(log, errors="replace") as f:
            tail = f.read()[-2000:]
    raise Failed(f"{what} did not start: {tail}")


class Server:
    """One process that we started, and what it forked."""

    process = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def stop(self):
        if self.process is None:
            return
        family = [self.process.pid] + procfs.children_of(self.process.pid)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            for pid in family:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait()
        self.process = None
        shutil.rmtree(self.dir, ignore_errors=True)


class Httpd(Server):
    def __init__(self, directory, core, tools, module=None, xmpp_port=None):
        self.dir = directory
        os.makedirs(directory)
        self.port, = free_ports(1)
        user = ""
        if os.geteuid() == 0:
            user = "User www-data\nGroup www-data"
            os.chown(directory, pwd.getpwnam("www-data").pw_uid, grp.getgrnam("www-data").gr_gid)
        bosh = BOSH_CONF.format(module=module, port=xmpp_port) if module else ""
        conf = os.path.join(directory, "httpd.conf")
        with open(conf, "w") as f:
            f.write(HTTPD_CONF.format(dir=directory, port=self.port, modules=MODULES, user=user,
                                      floor=os.path.join(tools, "mod_floor.so"), bosh=bosh))
        with open(os.path.join(directory, "start.log"), "w") as log:
            self.process = spawn(["/usr/sbin/apache2", "-f", conf, "-DFOREGROUND"], core,
                                 stdout=log, stderr=log)
        try:
            wait_for_port(self.port, self.process, "httpd", os.path.join(directory, "start.log"))
        except Failed:
            self.stop()
            raise

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def roles(self):
        """MPM children have a thread per worker, which the connector has not."""
        roles = {"httpd": [self.process.pid], "connector": []}
        for pid in procfs.children_of(self.process.pid):
            roles["httpd" if len(os.listdir(f"/proc/{pid}/task")) >= 25 else "connector"].append(pid)
        return roles

    def complaints(self):
        path = os.path.join(self.dir, "error.log")
        with open(path, errors="replace") as f:
            lines = [line.rstrip() for line in f]
        # One busy child is what is wanted here, however httpd finds it.
        return [line for line in lines if "MaxRequestWorkers" not in line
                and any(level in line for level in (":error]", ":crit]", ":alert]", ":emerg]"))]


class Prosody(Server):
    def __init__(self, directory, core):
        self.dir = directory
        os.makedirs(os.path.join(directory, "data"))
        self.port, self.http_port = free_ports(2)
        conf = os.path.join(directory, "prosody.cfg.lua")
        with open(conf, "w") as f:
            f.write(PROSODY_CONF.format(dir=directory, port=self.port, http_port=self.http_port,
                                        is_root="true" if os.geteuid() == 0 else "false"))
        with open(os.path.join(directory, "start.log"), "w") as log:
            self.process = spawn(["prosody", "--config", conf, "-F"], core, stdout=log, stderr=log)
        try:
            for port in (self.port, self.http_port):
                wait_for_port(port, self.process, "Prosody", os.path.join(directory, "start.log"))
        except Failed:
            self.stop()
            raise

    def url(self, path):
        return f"http://127.0.0.1:{self.http_port}{path}"

    def roles(self):
        return {"prosody": [self.process.pid]}


class Echo(Server):
    """xmpp_stub: the XMPP server that does next to nothing."""

    def __init__(self, directory, core, tools):
        self.dir = directory
        os.makedirs(directory)
        self.port, = free_ports(1)
        self.process = spawn([os.path.join(tools, "xmpp_stub"), str(self.port)], core)
        wait_for_port(self.port, self.process, "xmpp_stub", "")

    def roles(self):
        return {"echo": [self.process.pid]}
