# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What is done to httpd while the soak runs: at random, but the same for the same seed
as far as the machine's own timing allows. All of it is recoverable."""
import heapq
import os
import signal
import threading
import time

import procfs

# Name: how often in a minute.
PER_MINUTE = {"graceful": 4.0, "change": 1.5, "broken": 0.6, "rotate": 0.6, "restart": 0.6,
              "kill": 8.0, "killall": 0.7, "connector": 0.2, "stop": 2.0, "stopconnector": 1.0}
NAMES = tuple(PER_MINUTE) + ("cuts", "server")
CHANGES = ("MaxConnectionsPerChild 200", "MaxConnectionsPerChild 1000", "ThreadsPerChild 12",
           "BoshMaxBody 200K", "BoshMaxSessions 5000", "KeepAliveTimeout 2", "BoshWait 45",
           "LogLevel bosh:debug")


def family(parent):
    """(httpd's children, its connectors). Cheap, however many processes and sockets the
    machine has."""
    try:
        with open("/proc/%d/task/%d/children" % (parent, parent)) as f:
            pids = [int(word) for word in f.read().split()]
    except OSError:
        pids = procfs.children_of(parent)
    names = {p: procfs.comm(p) for p in pids if procfs.is_alive(p)}
    return ([p for p, name in names.items() if name and name != "bosh-connector"],
            [p for p, name in names.items() if name == "bosh-connector"])


class Faults:
    def __init__(self, server, log, rng, names, intensity):
        self.server, self.log, self.rng = server, log, rng
        self.queue, self.seen, self.stopped = [], {}, {}
        self.rotated = 0
        self.problems = []
        self.rates = {n: PER_MINUTE[n] * intensity / 60 for n in PER_MINUTE if n in names}
        now = time.monotonic()
        for name in self.rates:
            self._plan(now, name)

    def _plan(self, now, name):
        wait = max(self.rng.expovariate(self.rates[name]), 0.3)
        if name == "connector":  # one in a short run, too
            wait = max(min(wait, 1.5 / self.rates[name]), 4.0)
        heapq.heappush(self.queue, (now + wait, name))

    def run(self, until, sample):
        """sample() is called twice a second."""
        next_look = 0.0
        while (now := time.monotonic()) < until:
            if now >= next_look:
                self._look(now)
                sample(now)
                next_look = now + 0.5
            if self.queue and self.queue[0][0] <= now:
                _, name = heapq.heappop(self.queue)
                getattr(self, "do_" + name)()
                self._plan(time.monotonic(), name)
            if not self.server.is_running():
                self.problems.append("httpd has ended")
                return
            time.sleep(0.05)

    def end(self):
        for timer in list(self.stopped.values()):
            timer.join()
        self.server.write_conf()

    # ---- processes ----------------------------------------------------------------

    def _look(self, now):
        """A process that was just forked may be anything."""
        self.seen = {p: self.seen.get(p, now) for p in family(self.server.parent)[0]}

    def _children(self):
        now = time.monotonic()
        return sorted(p for p in family(self.server.parent)[0]
                      if now - self.seen.get(p, now) > 0.8)

    def _signal(self, pid, number):
        try:
            os.kill(pid, number)
            return True
        except ProcessLookupError:
            return False

    def _go_on(self, pid):
        self._signal(pid, signal.SIGCONT)
        self.stopped.pop(pid)
        self.log("H.note", "go on", pid)

    def _stop(self, pids, name):
        pids = [p for p in pids if p not in self.stopped]
        if pids:
            pid = self.rng.choice(pids)
            seconds = self.rng.uniform(0.2, 2.0)
            self.log("H.fault", name, pid, round(seconds, 2))
            # Whatever else is late, it goes on in time.
            self.stopped[pid] = threading.Timer(seconds, self._go_on, (pid,))
            self._signal(pid, signal.SIGSTOP)
            self.stopped[pid].start()

    def do_kill(self):
        children = self._children()
        if children:
            pid = self.rng.choice(children)
            self.log("H.fault", "kill child", pid)
            self._signal(pid, signal.SIGKILL)

    def do_killall(self):
        for pid in self._children():
            self.log("H.fault", "kill child", pid, "all")
            self._signal(pid, signal.SIGKILL)

    def do_connector(self):
        for pid in family(self.server.parent)[1]:
            self.log("H.fault", "kill connector", pid)
            self._signal(pid, signal.SIGKILL)

    def do_stop(self):
        self._stop(self._children(), "stop child")

    def do_stopconnector(self):
        self._stop(family(self.server.parent)[1], "stop connector")

    # ---- restarts -------------------------------------------------------------------

    def do_graceful(self, name="graceful restart"):
        self.log("H.fault", name)
        self._signal(self.server.parent, signal.SIGUSR1)

    def do_restart(self):
        self.log("H.fault", "hard restart")
        self._signal(self.server.parent, signal.SIGHUP)

    def do_change(self):
        lines = self.rng.sample(CHANGES, self.rng.randrange(0, 4))
        self.server.write_conf("\n".join(lines) + "\n")
        self.do_graceful("graceful restart, changed")

    def do_broken(self):
        """As apachectl does it: a configuration that cannot be read changes nothing."""
        self.log("H.fault", "broken configuration")
        self.server.write_conf("BoshWait nonsense\n")
        done = self.server.command("-k", "graceful")
        self.server.write_conf()
        if done.returncode == 0:
            self.problems.append("a broken configuration was taken: " + done.stderr)

    def do_rotate(self):
        self.rotated += 1
        path = os.path.join(self.server.root, "logs", "error.log")
        try:
            os.rename(path, "%s.%d" % (path, self.rotated))
        except FileNotFoundError:
            return               # the last rotation has no new file yet
        self.do_graceful("graceful restart, logs rotated")
