# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What is done to httpd while the soak runs: at random, but the same for the same seed
as far as the machine's own timing allows. All of it is recoverable."""
import heapq
import os
import signal
import time

import procfs

# Name: how often in a minute.
PER_MINUTE = {"graceful": 4.0, "change": 1.5, "broken": 0.6, "rotate": 0.6, "restart": 0.6,
              "kill": 8.0, "killall": 0.7, "connector": 0.2, "stop": 2.0, "stopconnector": 1.0}
NAMES = tuple(PER_MINUTE) + ("cuts", "server")
CHANGES = ("MaxConnectionsPerChild 200", "MaxConnectionsPerChild 1000", "ThreadsPerChild 12",
           "BoshMaxBody 200K", "BoshMaxSessions 5000", "KeepAliveTimeout 2", "BoshWait 45",
           "LogLevel bosh:debug")


class Faults:
    def __init__(self, server, log, rng, names, intensity):
        self.server, self.log, self.rng = server, log, rng
        self.queue, self.seen, self.stopped = [], {}, []
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
        heapq.heappush(self.queue, (now + wait, name, None))

    def run(self, until, sample):
        """sample() is called twice a second."""
        next_look = 0.0
        while (now := time.monotonic()) < until:
            if now >= next_look:
                self._look(now)
                sample(now)
                next_look = now + 0.5
            if self.queue and self.queue[0][0] <= now:
                _, name, pid = heapq.heappop(self.queue)
                if name == "go on":
                    self._go_on(pid)
                    continue
                getattr(self, "do_" + name)()
                self._plan(time.monotonic(), name)
            if not self.server.is_running():
                self.problems.append("httpd has ended")
                return
            time.sleep(0.05)

    def end(self):
        for pid in list(self.stopped):
            self._go_on(pid)
        self.server.write_conf()

    # ---- processes ----------------------------------------------------------------

    def _look(self, now):
        """A process that was just forked may be anything."""
        there = set(self.server.children())
        alive = {p: t for p, t in self.seen.items() if p in there or procfs.is_alive(p)}
        self.seen = {**{p: now for p in there}, **alive}

    def _children(self):
        now = time.monotonic()
        return sorted(p for p, since in self.seen.items() if now - since > 0.8
                      and procfs.stat(p) and procfs.stat(p)[1] == self.server.parent
                      and procfs.comm(p) != "bosh-connector")

    def _signal(self, pid, number):
        try:
            os.kill(pid, number)
            return True
        except ProcessLookupError:
            return False

    def _go_on(self, pid):
        self.stopped.remove(pid)
        self._signal(pid, signal.SIGCONT)
        self.log("H.note", "go on", pid)

    def _stop(self, pids, name):
        pids = [p for p in pids if p not in self.stopped]
        if pids:
            pid = self.rng.choice(pids)
            seconds = self.rng.uniform(0.2, 2.0)
            self.log("H.fault", name, pid, round(seconds, 2))
            if self._signal(pid, signal.SIGSTOP):
                self.stopped.append(pid)
                heapq.heappush(self.queue, (time.monotonic() + seconds, "go on", pid))

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
        for pid in self.server.connectors():
            self.log("H.fault", "kill connector", pid)
            self._signal(pid, signal.SIGKILL)

    def do_stop(self):
        self._stop(self._children(), "stop child")

    def do_stopconnector(self):
        self._stop(self.server.connectors(), "stop connector")

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
