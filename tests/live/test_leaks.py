# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Thousands of sessions come and go, in all ways of ending: memory, descriptors and places in
the segment come back. BOSH_CYCLES=n asks for so many; a million take minutes."""
import json
import os
import subprocess
import time

import bosh
import httpd
import procfs
from bosh import body_bytes
from ports import free_ports
from waiting import PATIENCE, until

CYCLES = int(os.environ.get("BOSH_CYCLES", 3000 if httpd.ASAN else 20000))
ROUNDS = 5  # the first two warm everything up
SESSIONS = 1500
CYCLES_C = os.path.join(httpd.TOP, "tests", "bench", "cycles.c")


def compiled(folder):
    path = os.path.join(str(folder), "cycles")
    subprocess.run(["gcc", "-O2", "-pthread", "-o", path, CYCLES_C], check=True)
    return path


class Watch:
    """What the processes of a server have, once all sessions have ended."""

    def __init__(self, server):
        self.server = server
        self.pids = server.connectors() + server.children()
        self.descriptors = self.count()

    def count(self):
        return {p: procfs.fd_count(p) for p in self.pids}

    def settle(self):
        """Connections that idle in httpd end with KeepAliveTimeout, those to the XMPP server
        with their sessions."""
        until(lambda: all(n <= self.descriptors[p] + 2 for p, n in self.count().items()), 60,
              "descriptors to come back: %r" % self.descriptors, every=0.2)
        assert self.server.connectors() + self.server.children() == self.pids

    def rss(self):
        return {p: procfs.rss_kib(p) for p in self.pids}


def test_all_ways_of_ending_give_everything_back(make_httpd, tmp_path):
    began = time.monotonic()
    stub, nobody = free_ports(2)
    there, nowhere = "xmpp://127.0.0.1:%d" % stub, "xmpp://127.0.0.1:%d" % nobody
    server = make_httpd(
        domains=[(d + ".cycles", there) for d in ("ok", "close", "reset", "silent")]
        + [("refused.cycles", nowhere)],
        servers=2, server_limit=2, keep_alive_timeout=2, log_level="notice bosh:notice",
        extra="BoshMaxSessions %d\nBoshSharedMemory 12M\nBoshInactivity 2\nBoshConnectTimeout 2\nBoshPolling 0\n"
              "LogLevel mpm_event:notice" % SESSIONS)
    program = compiled(tmp_path)
    watch = Watch(server)
    history = []
    for _ in range(ROUNDS):
        done = subprocess.run([program, str(server.port), str(stub), str(CYCLES // ROUNDS), "12"],
                              capture_output=True, text=True,
                              timeout=(60 + CYCLES / 100) * PATIENCE)
        assert done.returncode == 0, done.stdout + done.stderr
        print(json.loads(done.stdout))
        watch.settle()
        history.append(watch.rss())
        print("KiB: %r" % history[-1])
    for pid in watch.pids if not httpd.ASAN else ():  # it keeps what was freed for a while
        # A leak of one hundred bytes per session would be 1.2 MB in 12,000; what malloc
        # keeps for itself changes by about that, and no more.
        grown = history[-1][pid] - history[1][pid]
        limit = 3000 * PATIENCE + CYCLES / 100
        assert grown < limit, "%s grew by %d KiB: %r" % (procfs.comm(pid), grown,
                                                         [h[pid] for h in history])
    # Each child and the connector tell of the same but once in ten seconds.
    errors = [line for line in server.log_text().splitlines() if ":error]" in line]
    assert len(errors) < 100 + (time.monotonic() - began) / 2
    all_places_are_free(server)


def all_places_are_free(server):
    """As many sessions as there may be: no record was lost, and no block. Those that ended with
    the program's own XMPP server keep their places for ten seconds: nobody has come for that."""
    time.sleep(11)
    wires = []
    for _ in range(SESSIONS):
        wire = bosh.Endpoint(server.port).wire()
        # Nobody answers at the other end: the creation waits, and its session with it.
        wire.send(body_bytes(rid=bosh.first_rid(), to="silent.cycles", wait=60, hold=1,
                             ver="1.11"))
        wires.append(wire)
    answers = [wire.answer(30) for wire in wires]
    for wire in wires:
        wire.close()
    assert all(a.status == 200 for a in answers), \
        "%d were refused" % sum(a.status != 200 for a in answers)
