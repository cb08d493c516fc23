# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A process dies, or is stopped, at each point that the source marks with
BOSH_CRASH_POINT, while three sessions talk and others come and go: nobody waits for
ever, bystanders lose nothing, whose session was being changed loses nothing or is told
its end, once. (Death after every single store into the segment: unit test every_store.)

Needs a module configured with --enable-faults: BOSH_FAULTS_MODULE names it."""
import concurrent.futures
import glob
import os
import re
import signal
import time

import pytest

import bosh
import httpd
import procfs
from waiting import PATIENCE, until

MODULE = os.environ.get("BOSH_FAULTS_MODULE")
pytestmark = pytest.mark.skipif(
    not MODULE, reason="BOSH_FAULTS_MODULE names no mod_bosh.so of a --enable-faults build")

CHILD, CONNECTOR = "a child", "a connector"
DAMAGES = True   # the session that is being changed ends, if it is not complete
KEEPS = False    # all that was to be done is done, or nothing of it

# Who dies there, and whether its session may end of it.
POINTS = {
    "creation": (CHILD, DAMAGES),
    "request-looked-at": (CHILD, KEEPS),
    "request": (CHILD, DAMAGES),
    "request-unlocked": (CHILD, KEEPS),
    "due": (CHILD, DAMAGES),
    "due-unlocked": (CHILD, KEEPS),
    "gone": (CHILD, DAMAGES),
    "forwarded": (CHILD, DAMAGES),
    "answer-fixed": (CHILD, DAMAGES),
    "answer-unwritten": (CHILD, KEEPS),
    "answer-torn": (CHILD, KEEPS),
    "answer-written": (CHILD, KEEPS),
    "record-freed": (CHILD, DAMAGES),
    "child-mail": (CHILD, KEEPS),
    "block-taken": (None, DAMAGES),
    "connector-mail": (CONNECTOR, KEEPS),
    "task": (CONNECTOR, DAMAGES),
    "connecting": (CONNECTOR, KEEPS),
    "take-up": (CONNECTOR, DAMAGES),
    "bytes-taken-up": (CONNECTOR, KEEPS),
    "bytes-written-up": (CONNECTOR, KEEPS),
    "bytes-read-down": (CONNECTOR, KEEPS),
    "put-down": (CONNECTOR, DAMAGES),
    "put-down-unlocked": (CONNECTOR, KEEPS),
    "stream-ended": (CONNECTOR, DAMAGES),
    "take-back": (CONNECTOR, DAMAGES),
    "tick": (CONNECTOR, DAMAGES),
}
# Ended sessions make room for new ones before their time.
MORE = {"record-freed": "BoshMaxSessions 5"}

NAMES = "abc"
LATE = 60 * PATIENCE
REMEMBERED = 20  # seconds; a session that ended is known for 30


def points_in_source():
    found = set()
    for path in glob.glob(os.path.join(httpd.TOP, "mod_bosh", "*", "*.c")):
        with open(path) as f:
            found |= set(re.findall(r'(?:BOSH_CRASH_POINT|bosh_crash_is_ours)\("([^"]+)"\)',
                                    f.read()))
    return found


def test_module_has_the_points():
    with open(MODULE, "rb") as f:
        assert b"BOSH_CRASH_AT" in f.read()


def test_every_point_of_the_source_is_known_here():
    assert points_in_source() == set(POINTS)


class Talk:
    """Three sessions at one httpd, each with what it sent and got."""

    def __init__(self, server, fake_server, label):
        self.server, self.fake, self.label = server, fake_server, label
        self.mark = "%d %s" % (server.port, label)
        self.endpoint = bosh.Endpoint(server.port)
        self.armed = os.path.join(server.root, "armed", "now")
        self.sessions = {}
        self.sent = {name: [] for name in NAMES}
        self.got = {name: [] for name in NAMES}
        self.ends = {}  # of sessions: the condition
        self.visits = self.turned_away = 0

    def arm(self):
        with open(self.armed, "w"):
            pass

    def has_fired(self):
        return not os.path.exists(self.armed)

    def open(self):
        for name in NAMES:  # in turn, to the connectors in turn
            self.sessions[name] = bosh.Session(self.endpoint, stubborn=True).open("echo.fake")
            self.exchange(name)

    def living(self):
        return [name for name in NAMES if self.sessions[name].ended is None]

    def exchange(self, name):
        """One message there and back, unless the session ends."""
        session, got = self.sessions[name], self.got[name]
        text = "%s %s%d" % (self.mark, name, len(self.sent[name]))
        self.sent[name].append(text)
        session.hold()
        session.send_message("echo.fake", text)
        began = time.monotonic()
        deadline = began + LATE
        while text not in got and session.ended is None:
            assert time.monotonic() < deadline, "%s never comes back" % text
            session.hold()
            session.collect(LATE / PATIENCE)
            got += [s.findtext("{jabber:client}body") for s in session.inbox
                    if s.tag == "{jabber:client}message"]
            session.inbox.clear()
        if session.ended is not None:
            self.ends[name] = self.check_end(session, began)

    def visit(self):
        """A session that comes, talks, loses its connections, and ends; it may be the one
        that is concerned."""
        guest = bosh.Session(self.endpoint, stubborn=True)
        try:
            guest.open("echo.fake")
            guest.hold()
            guest.send_message("echo.fake", "visit")
            guest.wait_message("visit")
            guest.hold()
            guest.pending[0][1].held()
            for entry in guest.pending:
                entry[1].reset()
            guest.close()
            guest.terminate()
            self.visits += 1
        except (bosh.Broken, AssertionError):
            self.turned_away += 1
        finally:
            guest.close()

    def until_fired(self):
        deadline = time.monotonic() + LATE
        while not self.has_fired():
            assert time.monotonic() < deadline, "nobody came to that point"
            for name in self.living():
                self.exchange(name)
            self.visit()

    def close(self):
        for session in self.sessions.values():
            session.close()

    # ---- the verdict ------------------------------------------------------------------

    def bodies(self, name):
        """What the XMPP server got of this session."""
        start = "%s %s" % (self.mark, name)
        with self.fake.lock:
            found = [c.bodies() for c in self.fake.connections]
        found = [b for b in found if b and b[0] and b[0].startswith(start)]
        assert len(found) == 1, "%s has %d streams" % (start, len(found))
        return found[0]

    def check_texts(self, name):
        sent, got, up = self.sent[name], self.got[name], self.bodies(name)
        if self.sessions[name].ended is None:
            assert got == sent and up == sent, (name, sent, got, up)
        else:  # in order, none twice
            assert got == sent[:len(got)] and up == sent[:len(up)], (name, sent, got, up)

    def check_end(self, session, began):
        """Who asks again is told the same; the requests that were open too."""
        for _ in range(len(session.pending)):
            session.collect()
        told = [a for a in session.answers if a.type == "terminate"]
        later = session.free_wire().ask(session.bytes())
        if time.monotonic() - began < REMEMBERED:
            told.append(later)
        assert {(a.type, a.condition) for a in told} == {("terminate", session.ended.condition)}
        return session.ended.condition


def processes(server):
    return ({CHILD: set(server.children()), CONNECTOR: set(server.connectors())}
            if server.is_running() else {})


def has_all(server):
    now = processes(server)
    return len(now[CHILD]) >= 2 and len(now[CONNECTOR]) == 2


def judge(talk, dead, damages):
    ended = talk.ends
    damaged = [n for n in ended if ended[n] == "internal-server-error"]
    lost = {n for n in ended if ended[n] == "remote-connection-failed"}
    assert set(damaged) | lost == set(ended), ended
    assert len(damaged) <= (1 if damages else 0), ended
    if dead == CHILD:
        assert not lost, ended
    else:  # all of one connector
        assert set(ended) in ({"b"}, {"a", "c"}), ended
    for name in NAMES:
        talk.check_texts(name)
    return ended


def play(talk):
    who, damages = POINTS[talk.label]
    server = talk.server
    until(lambda: has_all(server), 20, "two children and two connectors")
    talk.open()
    before = processes(server)
    talk.arm()
    talk.until_fired()
    gone = until(lambda: [kind for kind in before
                          if not all(procfs.is_alive(pid) for pid in before[kind])],
                 20, "somebody to have died")
    assert len(gone) == 1 and who in (None, gone[0]), gone
    for _ in range(2):  # the second time nothing is left of it
        for name in talk.living():
            talk.exchange(name)
    until(lambda: has_all(server), 30, "all processes to be there again")
    visits = talk.visits
    until(lambda: talk.visit() or talk.visits > visits, 60, "a new session to work")
    return judge(talk, gone[0], damages)


@pytest.fixture
def make_faulty(make_httpd, fake_server, monkeypatch):
    """make_faulty(variable, label): an httpd of two children and two connectors."""
    monkeypatch.setenv("BOSH_MODULE", MODULE)
    used = set()

    def make(variable, label, **how):
        for _ in range(50):  # ports that are free, and no other httpd's of ours
            server = make_httpd(start=False, servers=2, server_limit=2, threads=10, **how,
                                domains=[("echo.fake", fake_server.address)],
                                extra="BoshConnectors 2\n" + MORE.get(label, ""))
            if not {server.port, server.tls_port} & used:
                break
        used.update((server.port, server.tls_port))
        armed = os.path.join(server.root, "armed")
        os.mkdir(armed)
        os.chmod(armed, 0o777)
        monkeypatch.setenv(variable, label + ":0")
        monkeypatch.setenv("BOSH_CRASH_ONCE", os.path.join(armed, "now"))
        server.start()
        monkeypatch.delenv(variable)
        return Talk(server, fake_server, label)

    return make


def test_death_at_every_point(make_faulty, fake_server):
    only = os.environ.get("BOSH_POINTS")
    labels = only.split(",") if only else sorted(POINTS)
    problems, workers = [], concurrent.futures.ThreadPoolExecutor(4)
    playing = {}
    for label in labels:
        talk = make_faulty("BOSH_CRASH_AT", label)
        playing[workers.submit(play, talk)] = talk
    for done in concurrent.futures.as_completed(playing):
        talk = playing[done]
        try:
            print(talk.label, done.result(), talk.visits, talk.turned_away)
        except Exception as e:  # all are to be heard
            problems.append("%s: %s: %s" % (talk.label, type(e).__name__, e))
            print(problems[-1])
        talk.close()
    workers.shutdown()
    assert not problems, "\n".join(problems)


# ---- stopped -----------------------------------------------------------------------------


def state_of(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0]
    except OSError:
        return None


def cpu_ticks(pids):
    total = 0
    for pid in pids:
        with open("/proc/%d/stat" % pid) as f:
            total += sum(int(n) for n in f.read().rpartition(")")[2].split()[11:13])
    return total


@pytest.mark.parametrize("mpm, label", [("event", "request"), ("event", "put-down"),
                                        ("prefork", "put-down")])
def test_process_stopped_inside_the_lock(make_faulty, mpm, label):
    talk = make_faulty("BOSH_STOP_AT", label, mpm=mpm)
    server = talk.server
    until(lambda: has_all(server), 20, "two children and two connectors")
    talk.open()
    for name in NAMES:
        talk.sessions[name].hold().held()
    talk.arm()
    text = "%s a, stopped" % talk.mark
    talk.sent["a"].append(text)
    talk.sessions["a"].send_message("echo.fake", text)
    until(talk.has_fired, 20, "somebody to come to that point")
    before = processes(server)
    stopped = until(lambda: [p for p in before[POINTS[label][0]] if state_of(p) == "T"], 20,
                    "somebody who stands still")
    try:
        check_while_stopped(talk, stopped[0])
    finally:
        os.kill(stopped[0], signal.SIGCONT)
    come_back(talk.sessions["c"])
    for name in NAMES:
        talk.exchange(name)
    assert talk.living() == list(NAMES)
    for name in NAMES:
        talk.check_texts(name)
    after = processes(server)
    assert after[CONNECTOR] == before[CONNECTOR]
    assert mpm == "prefork" or after[CHILD] == before[CHILD]
    talk.close()


def come_back(session):
    for entry in session.pending:
        session._again(entry)


def check_while_stopped(talk, stopped):
    """The others go on with all that needs no lock, and wait for nothing long."""
    others = [p for p in talk.server.children() + talk.server.connectors() if p != stopped]
    before = cpu_ticks(others)
    for _, wire, _ in talk.sessions["c"].pending:
        wire.reset()  # its request is still held when this cannot be noted
    for _ in range(10):
        with_sid = bosh.Session(talk.endpoint)
        with_sid.sid, with_sid.rid = talk.sessions["b"].sid, talk.sessions["b"].rid + 1000
        for data in (with_sid.bytes(), bosh.body_bytes(rid=1, to="echo.fake", ver="1.11",
                                                       wait=60, hold=1)):
            wire = talk.endpoint.wire()
            answer = wire.ask(data, 30)
            assert (answer.status, answer.header("Retry-After")) == (503, "1")
            wire.close()
        assert talk.server.get_static() == 200
    ticks = os.sysconf("SC_CLK_TCK")
    others = [p for p in others if state_of(p)]
    assert cpu_ticks(others) - before < 2 * PATIENCE * ticks, "they spin"
