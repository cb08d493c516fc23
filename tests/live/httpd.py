# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A real httpd of the test's own: written configuration, free ports on loopback,
start, graceful, restart, stop - and the check that nothing remains after it."""
import contextlib
import glob
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid

import certs
import crashes
import procfs
from ports import free_ports
from waiting import PATIENCE, TooLate, until

APACHE = os.environ.get("BOSH_APACHE", "/usr/sbin/apache2")
MODULES = os.environ.get("BOSH_APACHE_MODULES", "/usr/lib/apache2/modules")
ASAN = os.environ.get("BOSH_ASAN") == "1"
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

BASE_MODULES = ("authz_core", "mime", "alias", "dir", "headers", "setenvif", "filter",
                "deflate", "reqtimeout", "socache_shmcb", "ssl", "http2")

# What must never be seen in a log. A child that a test killed with SIGKILL is not among
# it: httpd takes that for normal and says nothing.
DISASTERS = (r"exit signal", r"(?i)assertion", r"pool concurrency check",
             r"AddressSanitizer", r"LeakSanitizer", r"runtime error:", r"Segmentation",
             r"stack smashing", r"buffer overflow detected",
             r"AH00046",  # a child had to be killed at the end
             r"seg fault or similar nasty")

# Seconds that a stop may take, and a graceful one, says docs/guarantees.md.
STOP = {signal.SIGTERM: 6, signal.SIGWINCH: 9}


def module_path():
    return os.environ.get("BOSH_MODULE") or os.path.join(TOP, ".libs", "mod_bosh.so")


def allow_cores():
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


class Unhealthy(AssertionError):
    """A process crashed, a sanitizer spoke, or something remained."""


class Httpd:
    """domains: list of (domain, "xmpp://host:port" or None). extra: directives of
    the main server. vhosts: {name: directives}, each a plain virtual host on a port
    of its own. The attributes port, tls_port and port_of[name] tell where. daemon:
    started with -k start instead of in the foreground; debug: with -X, one process.
    wrapper: words in front of the command; what they run must become httpd by exec()."""

    def __init__(self, domains=(), extra="", vhosts=None, mpm="event", threads=25,
                 servers=1, server_limit=None, async_factor=20, max_connections=0,
                 keep_alive_timeout=15, log_level="notice bosh:debug", with_bosh=True,
                 daemon=False, debug=False, location_extra="", environment=None, wrapper=()):
        self.domains, self.extra, self.vhosts = list(domains), extra, dict(vhosts or {})
        self.mpm, self.threads, self.servers = mpm, threads, servers
        self.server_limit = server_limit or servers
        self.async_factor, self.max_connections = async_factor, max_connections
        self.keep_alive_timeout, self.log_level = keep_alive_timeout, log_level
        self.with_bosh, self.daemon, self.debug = with_bosh, daemon, debug
        self.location_extra = location_extra
        self.environment = dict(environment or {})
        self.wrapper = list(wrapper)
        self._seen = {}         # log file inode -> bytes checked already
        self._marker = b"BOSH_LIVE_TEST=" + uuid.uuid4().hex.encode()
        self._process = None
        self._memory = set()
        self.root = tempfile.mkdtemp(prefix="bosh-httpd-")
        self._lay_out()

    # ---- files ----------------------------------------------------------------

    def _lay_out(self):
        os.chmod(self.root, 0o755)
        for name, mode in (("logs", 0o755), ("run", 0o755), ("htdocs", 0o755),
                           ("sanitizer", 0o1777), ("cores", 0o1777)):
            os.mkdir(os.path.join(self.root, name))
            os.chmod(os.path.join(self.root, name), mode)
        with open(os.path.join(self.root, "htdocs", "static.txt"), "w") as f:
            f.write("static file\n")
        with open(os.path.join(self.root, "mime.types"), "w") as f:
            f.write("text/plain txt\ntext/html html\n")
        self.cert, self.key = certs.make(self.root)
        ports = free_ports(2 + len(self.vhosts))
        self.port, self.tls_port = ports[:2]
        self.port_of = dict(zip(self.vhosts, ports[2:]))
        self.conf = os.path.join(self.root, "httpd.conf")
        self.write_conf()

    def write_conf(self, more=""):
        """Writes the configuration file; `more` goes to its end."""
        with open(self.conf, "w") as f:
            f.write(self._conf_text() + more)

    def _conf_text(self):
        lines = ['ServerRoot "%s"' % self.root, "ServerName 127.0.0.1",
                 'PidFile "%s/run/httpd.pid"' % self.root,
                 'DefaultRuntimeDir "%s/run"' % self.root,
                 'CoreDumpDirectory "%s/cores"' % self.root,
                 'ErrorLog "%s/logs/error.log"' % self.root,
                 "LogLevel notice",
                 "LoadModule mpm_%s_module %s/mod_mpm_%s.so" % (self.mpm, MODULES, self.mpm)]
        for name in BASE_MODULES:
            if name == "http2" and self.mpm == "prefork":
                continue
            lines.append("LoadModule %s_module %s/mod_%s.so" % (name, MODULES, name))
        if self.with_bosh:
            lines += ["LoadModule bosh_module %s" % module_path(),
                      "LogLevel %s" % self.log_level]
            if self.mpm == "event":  # tells when it sheds connections that are kept alive
                lines[-1] += " mpm_event:trace1"
        if os.geteuid() == 0:
            lines += ["User www-data", "Group www-data"]
        lines += ['TypesConfig "%s/mime.types"' % self.root,
                  'DocumentRoot "%s/htdocs"' % self.root,
                  'CustomLog "%s/logs/access.log" "%%h %%l %%u %%t \\"%%r\\" %%>s %%b"'
                  % self.root,
                  "Timeout 60", "KeepAlive On", "MaxKeepAliveRequests 0",
                  "KeepAliveTimeout %d" % self.keep_alive_timeout,
                  "RequestReadTimeout header=20-40,minrate=500 body=10,minrate=500",
                  "AddOutputFilterByType DEFLATE text/html text/plain",
                  "SSLSessionCache shmcb:%s/run/ssl(65536)" % self.root]
        lines += self._mpm_lines()
        ports = [self.port, self.tls_port] + list(self.port_of.values())
        lines += ["Listen 127.0.0.1:%d" % p for p in ports]
        if self.with_bosh:
            for domain, address in self.domains:
                lines.append("BoshDomain %s %s" % (domain, address or ""))
            for path in ("/http-bind", "/other-bind"):
                lines += ["<Location %s>" % path, "SetHandler bosh", self.location_extra,
                          "</Location>"]
        lines.append(self.extra)
        protocols = "" if self.mpm == "prefork" else "Protocols h2 http/1.1\n"
        lines.append("<VirtualHost 127.0.0.1:%d>\nServerName 127.0.0.1\nSSLEngine on\n%s"
                     'SSLCertificateFile "%s"\nSSLCertificateKeyFile "%s"\n</VirtualHost>'
                     % (self.tls_port, protocols, self.cert, self.key))
        for name, text in self.vhosts.items():
            lines.append("<VirtualHost 127.0.0.1:%d>\nServerName %s\n%s\n</VirtualHost>"
                         % (self.port_of[name], name, text))
        return "\n".join(lines) + "\n"

    def _mpm_lines(self):
        lines = ["StartServers %d" % self.servers,
                 "MaxConnectionsPerChild %d" % self.max_connections]
        if self.mpm == "prefork":
            return lines + ["ServerLimit %d" % max(self.server_limit, self.threads),
                            "MaxRequestWorkers %d" % self.threads,
                            "MinSpareServers 1", "MaxSpareServers %d" % self.threads]
        lines += ["ServerLimit %d" % self.server_limit,
                  "ThreadLimit %d" % max(self.threads, 1),
                  "ThreadsPerChild %d" % self.threads,
                  "MaxRequestWorkers %d" % (self.threads * self.server_limit),
                  "MinSpareThreads 1",
                  "MaxSpareThreads %d" % (self.threads * self.server_limit)]
        if self.mpm == "event":
            lines.append("AsyncRequestWorkerFactor %d" % self.async_factor)
        return lines

    # ---- life -------------------------------------------------------------------

    def _environment(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
        name, _, value = self._marker.decode().partition("=")
        env.update(self.environment)
        env[name] = value
        if ASAN:
            libasan = subprocess.run(["gcc", "-print-file-name=libasan.so"], check=True,
                                     capture_output=True, text=True).stdout.strip()
            reports = os.path.join(self.root, "sanitizer")
            env["LD_PRELOAD"] = ":".join(filter(None, (os.path.realpath(libasan),
                                                       self.environment.get("LD_PRELOAD"))))
            env["ASAN_OPTIONS"] = ("log_path=%s/asan:detect_leaks=0:abort_on_error=1"
                                   % reports)
            env["UBSAN_OPTIONS"] = ("log_path=%s/ubsan:print_stacktrace=1:halt_on_error=1"
                                    % reports)
        return env

    def command(self, *args):
        """Runs the httpd binary with this configuration, e.g. command("-t")."""
        return subprocess.run(self.wrapper + [APACHE, "-f", self.conf] + list(args),
                              env=self._environment(),
                              preexec_fn=allow_cores, capture_output=True, text=True,
                              timeout=60 * PATIENCE)

    def start(self):
        if self.daemon:
            done = self.command("-k", "start")
            assert done.returncode == 0, "httpd does not start: " + done.stderr
            self.parent = until(self._read_pid, 10, "the pid file")
        else:
            with open(os.path.join(self.root, "logs", "stderr.txt"), "ab") as err:
                # A session of its own: a restart signals the whole process group.
                mode = "-X" if self.debug else "-DFOREGROUND"
                self._process = subprocess.Popen(
                    self.wrapper + [APACHE, "-f", self.conf, mode], env=self._environment(),
                    stdin=subprocess.DEVNULL, stdout=err, stderr=err, cwd="/",
                    preexec_fn=allow_cores, start_new_session=True)
            self.parent = self._process.pid
        try:
            until(self._is_ready, 15, "httpd to serve a file")
        except BaseException:
            text = self.all_text()
            self.kill()
            del self.parent
            raise Unhealthy("httpd did not become ready:\n" + text[-4000:])
        return self

    def _read_pid(self):
        try:
            with open(os.path.join(self.root, "run", "httpd.pid")) as f:
                return int(f.read())
        except (OSError, ValueError):
            return None

    def _is_ready(self):
        if not self.is_running():
            raise Unhealthy("httpd ended at once")
        return self.get_static() == 200 and self._has_all_threads()

    def _has_all_threads(self):
        """The event MPM closes a connection that was kept alive when its next request finds
        no idle worker; and a child that has just begun has few. Where httpd has too many, it
        ends some at once."""
        return (self.mpm != "event" or self.debug or "MaxSpareThreads" in self.extra
                or (len(self.children()) >= min(self.servers, self.server_limit)
                    and all(procfs.threads(p) > self.threads for p in self.children())))

    def get_static(self, timeout=5.0):
        """Status of a GET of the static file on a new connection; 0: none."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout) as s:
                s.settimeout(timeout * PATIENCE)
                s.sendall(b"GET /static.txt HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
                answer = b""
                while True:
                    more = s.recv(4096)
                    if not more:
                        break
                    answer += more
        except OSError:
            return 0
        return int(answer.split(b" ", 2)[1]) if b"static file" in answer else 0

    def is_running(self):
        if self._process:
            return self._process.poll() is None
        return procfs.is_alive(self.parent)

    def graceful(self, wait=True):
        """SIGUSR1 to the parent; waits until the new generation is in charge."""
        before = self.count_log("resuming normal operations")
        os.kill(self.parent, signal.SIGUSR1)
        if wait:
            until(lambda: self.count_log("resuming normal operations") > before
                  and self.get_static() == 200, 15, "the graceful restart")

    def restart(self):
        before = self.count_log("resuming normal operations")
        os.kill(self.parent, signal.SIGHUP)
        until(lambda: self.count_log("resuming normal operations") > before
              and self._is_ready(), 20, "the hard restart")

    # ---- processes ----------------------------------------------------------------

    def _listens(self, pid):
        ours = {row[3] for row in procfs.listeners(self.port)}
        return bool(ours & procfs.socket_inodes(pid))

    def children(self):
        """httpd's own children: those that hold the listening sockets."""
        return [p for p in procfs.children_of(self.parent) if self._listens(p)]

    def connectors(self):
        """The module's own processes; a child that ends has closed its listeners too."""
        return [p for p in procfs.children_of(self.parent)
                if procfs.comm(p) == "bosh-connector"]

    def connector(self):
        """The one connector, once it is there."""
        return until(lambda: len(self.connectors()) == 1 and self.connectors(), 10,
                     "exactly one connector")[0]

    def several_connectors(self, count):
        """That many, once each of them takes sessions."""
        until(lambda: self.count_log("BOSH1006") >= count and len(self.connectors()) == count, 10,
              "%d connectors" % count)
        return self.connectors()

    def processes(self):
        """Everything that this server started and that still lives."""
        found = set(procfs.marked(self._marker))
        todo = [self.parent] if procfs.is_alive(self.parent) else []
        while todo:
            pid = todo.pop()
            found.add(pid)
            todo += procfs.children_of(pid)
        return found

    # ---- logs -----------------------------------------------------------------------

    def log_files(self):
        return sorted(glob.glob(os.path.join(self.root, "logs", "*")))

    def log_text(self, name="error.log"):
        try:
            with open(os.path.join(self.root, "logs", name), "rb") as f:
                return f.read().decode("utf-8", "backslashreplace")
        except FileNotFoundError:
            return ""

    def all_text(self):
        return "".join(self.log_text(os.path.basename(f)) for f in self.log_files())

    def count_log(self, text):
        """In the error log and in those it was renamed to."""
        return sum(self.log_text(os.path.basename(f)).count(text) for f in self.log_files()
                   if os.path.basename(f).startswith("error.log"))

    def loud_lines(self, since=0):
        """What the module complained of, behind so many characters of the error log."""
        return [line for line in self.log_text()[since:].splitlines()
                if re.search(r"bosh:(error|warn|crit|alert|emerg)", line)]

    def log_size(self):
        return os.path.getsize(os.path.join(self.root, "logs", "error.log"))

    def rotate(self):
        os.rename(os.path.join(self.root, "logs", "error.log"),
                  os.path.join(self.root, "logs", "error.log.1"))

    def disasters(self):
        """New signs of a crash since the last call."""
        found = []
        for path in self.log_files():
            if os.path.basename(path) == "access.log":
                continue
            inode = os.stat(path).st_ino
            with open(path, "rb") as f:
                f.seek(self._seen.get(inode, 0))
                data = f.read()
            whole = data[:data.rfind(b"\n") + 1]
            self._seen[inode] = self._seen.get(inode, 0) + len(whole)
            for line in whole.decode("utf-8", "backslashreplace").splitlines():
                if any(re.search(p, line) for p in DISASTERS):
                    found.append(line)
        for path in glob.glob(os.path.join(self.root, "sanitizer", "*")):
            if path not in self._seen:
                self._seen[path] = 1
                with open(path, "rb") as f:
                    found.append("%s:\n%s" % (path, f.read(6000).decode("latin-1")))
        return self._crashes(found)

    def _crashes(self, found):
        """Each crash with its trace; without those that are httpd's own making."""
        for core in glob.glob(os.path.join(self.root, "cores", "*")):
            trace = crashes.trace(core, APACHE)
            os.unlink(core)  # the next one may have the same name
            line = next((x for x in found if re.search(r"exit signal .*possible coredump", x)),
                        None)
            if line and crashes.is_httpds_own(trace):
                found.remove(line)
            else:
                found.append("crashed in\n" + trace)
        return found

    def check_health(self):
        found = self.disasters()
        if found:
            raise Unhealthy("httpd is not well:\n" + "\n".join(found))

    # ---- the end --------------------------------------------------------------------

    def stop(self):
        """Ends the server and fails unless everything of it is gone."""
        for pid in self.processes():
            self._memory |= procfs.named_memory(pid)
        self._ask_to_end()
        problems = []
        try:
            until(lambda: not self.is_running(), 15, "httpd's parent to end")
            until(lambda: not self.processes(), 5, "httpd's processes to end")
        except AssertionError as e:
            problems.append("%s; left: %s" % (e, self._describe(self.processes())))
        for port in [self.port, self.tls_port] + list(self.port_of.values()):
            try:  # a killed process' threads may close the last descriptor a little later
                until(lambda p=port: not procfs.listeners(p), 5, "port %d to be free" % port)
            except AssertionError:
                problems.append("port %d is still listened on" % port)
        if procfs.still_there(self._memory):
            problems.append("shared memory left: %s" % procfs.still_there(self._memory))
        problems += self.disasters()
        stray = os.listdir(os.path.join(self.root, "run"))
        if stray and not self.debug:  # with -X httpd itself forgets its pid file
            problems.append("files left in the run directory: %s" % stray)
        tail = self.log_text()[-3000:]
        self.kill()
        if problems:
            raise Unhealthy("after stop: " + "\n".join(problems) + "\nlog:\n" + tail)

    def _ask_to_end(self):
        """httpd forgets a signal that comes while it reads its configuration anew."""
        for _ in range(2):
            if self.is_running():
                os.kill(self.parent, signal.SIGTERM)
            with contextlib.suppress(TooLate):
                until(lambda: not self.is_running() or self.count_log("caught SIGTERM"), 4,
                      "httpd to say that it ends", every=0.1)
                return

    @staticmethod
    def _describe(pids):
        found = []
        for pid in pids:
            try:
                with open("/proc/%d/cmdline" % pid, "rb") as f:
                    found.append("%d %s" % (pid, f.read().replace(b"\0", b" ").decode()))
            except OSError:
                pass
        return found

    def kill(self):
        """Ends whatever is left by force and removes the files."""
        for pid in self.processes() if hasattr(self, "parent") else ():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self._process:
            self._process.wait(10)
        shutil.rmtree(self.root, ignore_errors=True)
