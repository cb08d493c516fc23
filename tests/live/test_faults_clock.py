# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Clocks that jump, and processes that stand still. F25, F40 and F41 of the fault list."""
import os
import signal
import time

import pytest

import bosh
import procfs
from calm import assert_calm
from shim import DAY, Shim
from waiting import PATIENCE, stays_false, until

INACTIVITY = 6
STILL = 8.5


@pytest.fixture
def shim():
    made = Shim()
    yield made
    made.close()


class Talker:
    """A session whose server can be reached: one at echo.fake, logged in."""

    def __init__(self, new_session, endpoint, fake, wait=60):
        fake.mark()
        self.session = new_session(endpoint, stubborn=True)
        self.session.open("echo.fake", wait=wait)
        self.server = fake.connection()

    def poll(self):
        self.session.post()
        return self

    def gets(self, text):
        """The session lives, both ways."""
        self.server.push(text)
        while text not in self.session.inbox_texts():
            if not self.session.pending:
                self.session.post()
            answer = self.session.collect()
            assert answer.type is None, "%s: %r" % (text, answer)


def inbox_texts(session):
    return [s.findtext("{jabber:client}body") for s in session.inbox]


bosh.Session.inbox_texts = inbox_texts


def test_wall_clock_that_jumps_by_a_day_ends_no_session_and_keeps_none(make_httpd, fake,
                                                                        new_session, shim):
    server = make_httpd(environment=shim.environment,
                        vhosts={"short": "BoshInactivity 2\nBoshWait 4"})
    main, short = bosh.Endpoint(server.port), bosh.Endpoint(server.port_of["short"])
    steady = Talker(new_session, main, fake).poll()
    quiet = Talker(new_session, main, fake)
    for offset in (DAY, -DAY):
        waits = Talker(new_session, short, fake, wait=4)
        leaves = Talker(new_session, short, fake)
        waits.poll()
        posted = time.monotonic()
        # By httpd's clock a request that is being read now takes a day: 408, its own.
        waits.session.pending[0][1].silent(0.5)
        shim.set(clock_offset=offset)
        steady.gets("after the jump to %d" % offset)
        steady.poll()
        Talker(new_session, main, fake).gets("a new one")
        answer = waits.session.collect()
        took = time.monotonic() - posted
        assert answer.type is None and not answer.stanzas
        assert 3.5 < took < 30 * PATIENCE, "`wait` of 4 s was %.1f s" % took
        leaves.server.wait_ended(15)
        assert_calm(server)
    quiet.gets("still there")
    # A connector that sits out its time after a crash does not do so for a day.
    shim.set(clock_offset=0)
    for _ in range(2):
        old = server.connector()
        os.kill(old, signal.SIGKILL)
        until(lambda: old not in server.connectors() and server.connectors(), 15,
              "another connector")
    shim.set(clock_offset=-DAY)

    def can_create():
        answer = main.wire().ask(bosh.body_bytes(rid=bosh.first_rid(), to="echo.fake", wait=60,
                                                 hold=1, ver="1.11"))
        return answer.status == 200 and answer.body.get("sid")
    until(can_create, 20, "a session at the new connector")


def go_on(pids):
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


class Standstill:
    """A server of which some processes stop; sessions that were idle and that held."""

    def __init__(self, make_httpd, who):
        self.server = make_httpd(servers=2, vhosts={"short": "BoshInactivity %d" % INACTIVITY},
                                 server_limit=2)
        connector, children = self.server.connectors(), self.server.children()
        # The connector first: when it looks at its clocks, nobody has read a request yet.
        self.stopped = {"all": [self.server.parent] + connector + children,
                        "children": children, "connector": connector}[who]

    def begin(self, fake, new_session):
        """Their time runs: not before all servers are there."""
        endpoint = bosh.Endpoint(self.server.port_of["short"])
        self.holding = [Talker(new_session, endpoint, fake) for _ in range(3)]
        self.idle = [Talker(new_session, endpoint, fake) for _ in range(3)]
        self.gone = Talker(new_session, endpoint, fake)
        for t in self.holding:
            t.poll()

    def all_live(self):
        for n, t in enumerate(self.holding + self.idle):
            t.gets("number %d" % n)


def test_processes_that_stood_still_for_longer_than_the_inactivity_expire_nobody(
        make_httpd, fake, new_session):
    """Clients that wait, and that come back meanwhile or at once, are served; those who do
    not come are forgotten, later."""
    stills = [Standstill(make_httpd, who) for who in ("all", "children", "connector")]
    for s in stills:
        s.begin(fake, new_session)
    try:
        for s in stills:
            # Nobody is near the end of his time, however long the others took to begin.
            for t in s.idle + [s.gone]:
                t.session.post()
                t.server.push("begin")
                assert t.session.collect().texts() == ["begin"]
            procfs.stop(*s.stopped)
        time.sleep(STILL / 2)
        for s in stills:
            for t in s.idle[:2]:
                t.session.post()
        time.sleep(STILL / 2)
    finally:
        for s in stills:
            for pid in s.stopped:
                os.kill(pid, signal.SIGCONT)
                time.sleep(0.1)
    for s in stills:
        s.all_live()
    for s in stills:
        assert_calm(s.server)
        s.gone.server.wait_ended(INACTIVITY + 15)
        assert s.server.count_log("BOSH1011") >= 1


def test_lack_of_processor_time_expires_nobody(make_httpd, fake, new_session):
    """Everybody in turn stands still, again and again, for less than the eye would notice."""
    server = make_httpd(servers=2, server_limit=2,
                        vhosts={"short": "BoshInactivity %d" % INACTIVITY})
    endpoint = bosh.Endpoint(server.port_of["short"])
    talkers = [Talker(new_session, endpoint, fake) for _ in range(6)]
    pids = server.connectors() + server.children()
    end = time.monotonic() + 3
    n = 0
    while time.monotonic() < end:
        procfs.stop(*pids)
        time.sleep(0.2)
        go_on(pids)
        n += 1
        talkers[n % 6].gets("turn %d" % n)
    for t in talkers:
        t.gets("at the end")
    assert stays_false(lambda: any(t.server.gone for t in talkers), 0.1) is None
