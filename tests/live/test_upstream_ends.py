# Licensed under the Apache License, Version 2.0; see LICENSE.
"""An XMPP server that ends, in every state of its stream and in every way, with stanzas on
their way to the client: these first and in order, then the condition, once; after that the
same to whoever asks, and nothing forwarded. See also test_upstream.py."""
import contextlib
import fcntl
import re
import signal
import socket
import struct
import termios
import threading
import time

import pytest

import bosh
import procfs
from blackhole import BlackHole
from play import CLOSING, ERROR, Play, tag, text_message, texts
from prosody import ACCOUNTS, DOMAIN, Prosody
from strictxml import STREAMS
from test_upstream_streams import Two
from waiting import PATIENCE, until

STATES = ("before_header", "after_header", "after_features", "during_login", "after_success",
          "restarting", "restarted", "bound", "within_stanza")
STANZAS_MAY_COME = ("after_features", "during_login", "after_success", "bound")
HEADER_IS_DUE = ("before_header", "restarting")
QUEUED = ["q%d" % n for n in range(5)]


# ---- the ways -------------------------------------------------------------------------------


def crash(fake, servers):
    fake.crash()


def reset(fake, servers):
    for server in servers:
        server.reset()


def fin(fake, servers):
    for server in servers:
        server.close()


def half_close(fake, servers):
    for server in servers:
        server.half_close()


def error_and_close(fake, servers):
    for server in servers:
        server.send(ERROR)
        server.close()


def closing_tag_and_close(fake, servers):
    for server in servers:
        server.send(CLOSING)
        server.close()


def silence_then_reset(fake, servers):
    """It reads nothing any more."""
    for server in servers:
        server.stop_reading()
    time.sleep(1)
    reset(fake, servers)


FAILED, ENDED = "remote-connection-failed", "remote-stream-error"
WAYS = {crash: FAILED, reset: FAILED, fin: FAILED, half_close: FAILED, error_and_close: ENDED,
        closing_tag_and_close: ENDED, silence_then_reset: FAILED}


# ---- the table ------------------------------------------------------------------------------


class Case:
    """One session in its state. mode: a request is held, or none, or none and the server
    has spoken: what it said is on its way when the end comes."""

    def __init__(self, play, state, mode, condition):
        self.state, self.mode, self.condition = state, mode, condition
        self.play = play("bound" if state == "within_stanza" else state)
        self.said = []
        session, server = self.play.session, self.play.server
        # What a request is open for already, its client cannot leave: it has no sid yet.
        can_leave = state not in ("before_header", "after_header")
        if mode == "held" and not session.pending:
            session.post()
        if mode != "held" and session.pending and can_leave:
            self.play.hang_up()
        if mode == "queued" and state in STANZAS_MAY_COME + ("within_stanza",):
            self.said = QUEUED
            server.send("".join(text_message(t) for t in QUEUED))
        if condition == ENDED and state in HEADER_IS_DUE:
            server.send(server.header())
        if state == "within_stanza":
            server.send("<message from='a@b'><body>never whole")
            if condition == ENDED:
                self.condition = FAILED  # what it says is within an element

    def __repr__(self):
        return "%s, %s" % (self.state, self.mode)

    def check(self):
        answers = self.play.end_of_session()
        assert (answers[-1].type, answers[-1].condition) == ("terminate", self.condition)
        assert texts(answers) == self.said
        errors = [s for a in answers for s in a.stanzas if s.tag == tag("error", STREAMS)]
        assert len(errors) <= 1 and all(e in answers[-1].stanzas for e in errors)

    def check_later(self):
        """Whoever asks, with a payload even."""
        session = self.play.session
        if not session.sid:
            return
        sent = len(self.play.server.stanzas)
        for _ in range(3):
            answer = session.free_wire().ask(session.bytes(
                "<message to='a@b' xmlns='jabber:client'><body>too late</body></message>"))
            assert (answer.type, answer.condition) == ("terminate", self.condition)
            assert texts([answer]) == []
        assert len(self.play.server.stanzas) == sent


@pytest.mark.parametrize("way", WAYS, ids=lambda f: f.__name__)
def test_every_state(play, fake_server, way):
    cases = [Case(play, state, mode, WAYS[way])
             for state in STATES for mode in ("held", "idle", "queued")]
    way(fake_server, [c.play.server for c in cases])
    if way is crash:
        fake_server.begin_anew()
    failures = []
    for case in cases:
        try:
            case.check()
            case.check_later()
            case.play.server.wait_ended()
            assert "too late" not in case.play.server.bodies()
        except AssertionError as e:
            failures.append("%r: %s" % (case, e))
    assert not failures, "\n".join(failures)
    p = play("bound")  # others are served
    p.server.send(text_message("new"))
    assert texts([p.session.ask()]) == ["new"]


# ---- before there is a stream ----------------------------------------------------------------


class Slammer:
    """Ends each connection as soon as there is one."""

    def __init__(self, how):
        self.how, self.count = how, 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.host, self.port = self.listener.getsockname()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                self.count += 1
                self.how(sock)

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)
        self.listener.close()


class Nobody:
    """Has the port, so that no other does, and does not listen."""

    def __init__(self):
        self.sock = socket.socket()
        self.sock.bind(("127.0.0.1", 0))
        self.host, self.port = self.sock.getsockname()

    def stop(self):
        self.sock.close()


# What is at the other end, and how long that takes: the client that waits is told then.
BEFORE = {"refused": (Nobody, 1), "reset": (lambda: Slammer(procfs.reset), 1),
          "closed": (lambda: Slammer(socket.socket.close), 1),
          "unanswered": (BlackHole, 3), "unanswered_then_refused": (BlackHole, 4)}


class Early(Play):
    """Its creation was answered before there was a stream."""

    def __init__(self, endpoint, new_session, does):
        self.endpoint, self.session, self.does = endpoint, new_session(endpoint), does
        self.wire = self.session.free_wire()
        self.wire.send(creation(self.session.rid, wait=1))

    def created(self):
        answer = self.wire.answer()
        assert (answer.type, answer.stanzas) == (None, [])
        self.session.sid = answer.body.get("sid")
        if self.does != "idles":
            self.session.post("" if self.does == "waits" else bosh.message("a@b", "never sent"))


def creation(rid, wait):
    return bosh.body_bytes(rid=rid, to="gone.fake", ver="1.11", wait=wait, hold=1)


@pytest.mark.parametrize("way", BEFORE)
def test_end_before_there_is_a_stream(make_httpd, fake, new_session, way):
    make, seconds = BEFORE[way]
    with contextlib.ExitStack() as stack:
        target = make()
        stack.callback(lambda: target.stop())
        server = make_httpd(domains=[("gone.fake", "xmpp://%s:%d" % (target.host, target.port)),
                                     ("echo.fake", fake.address)], extra="BoshConnectTimeout 3")
        endpoint = bosh.Endpoint(server.port)
        began = time.monotonic()
        wires = [endpoint.wire() for _ in range(3)]
        for wire in wires:
            wire.send(creation(bosh.first_rid(), wait=60))
        early = []
        if seconds > 1:
            early = [Early(endpoint, new_session, does) for does in ("idles", "waits", "speaks")]
        for p in early:
            p.created()
        if way == "unanswered_then_refused":
            stack.pop_all()
            target.stop()
        for wire in wires:
            answer = wire.answer()
            assert (answer.type, answer.condition) == ("terminate", FAILED)
            assert answer.stanzas == []
        assert time.monotonic() - began < seconds * PATIENCE + 1
        for p in early:
            answers = p.end_of_session()
            assert answers[-1].condition == FAILED and texts(answers) == []
            for _ in range(2):
                assert p.later() == ("terminate", FAILED)
        assert way not in ("reset", "closed") or target.count == len(wires)
    ended = re.compile(r"session \d+ to gone.fake ended")
    until(lambda: len(ended.findall(server.log_text())) == 3 + len(early), 5, "each end, once")
    session = new_session(endpoint).open("echo.fake")  # others are served
    assert session.ask(bosh.message("echo.fake", "new")).texts() == ["new"]


# ---- in the middle of our own end ------------------------------------------------------------


@pytest.mark.parametrize("way", [w for w in WAYS if w is not crash], ids=lambda f: f.__name__)
def test_server_that_ends_while_we_do(play, fake_server, way):
    """The client was told already: nothing is added to it."""
    p = play("bound")
    answers = p.session.terminate("")
    assert [(a.type, a.condition) for a in answers] == [("terminate", None)]
    p.server.wait_closing_tag()
    way(fake_server, [p.server])
    p.server.wait_ended()
    assert p.later() == ("terminate", None)


@pytest.mark.parametrize("both", [True, False], ids=["both", "one"])
@pytest.mark.parametrize("way", [w for w in WAYS if w is not crash], ids=lambda f: f.__name__)
def test_one_stream_of_two(site, fake, new_session, way, both):
    """Each is told once, with its name; or the session's end, which is that of all, without."""
    t = Two(site.main, fake, new_session)
    servers = {t.first: t.one, t.second: t.two} if both else {t.second: t.two}
    for name, server in servers.items():
        server.send("".join(text_message(name + q) for q in QUEUED))
    way(fake, list(servers.values()))
    ends, said = [], []
    while not ends or both and ends[-1] is not None:
        answer = t.session.ask()
        said += texts([answer])
        if answer.type == "terminate":
            assert answer.condition == WAYS[way]
            ends.append(answer.body.get("stream"))
    for name in servers:
        assert [s for s in said if s.startswith(name)] == [name + q for q in QUEUED]
    assert len(said) == len(servers) * len(QUEUED)
    if both:
        assert len(ends) <= 2 and set(ends[:-1]) <= set(servers)
        assert t.session.ask().condition == WAYS[way]
    else:
        assert ends == [t.second]
        t.session.ended = None
        t.first_lives()


# ---- more than there is room for -------------------------------------------------------------


def wait_until_none_goes(server):
    """What this end's kernel has has stayed the same for a while: the other end reads no more,
    because it has all that it can keep."""
    sock = server.transport.get_extra_info("socket")
    kept, since = None, time.monotonic()
    while time.monotonic() < since + 0.5:
        now = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]
        if now != kept:
            kept, since = now, time.monotonic()
        time.sleep(0.02)


@pytest.mark.parametrize("way", WAYS, ids=lambda f: f.__name__)
def test_more_on_its_way_than_the_session_can_keep(play, fake_server, way):
    """1 MiB waits in the store and more in the connector and in the socket. After a reset
    the kernel of the other end has nothing more to send: what is here is delivered."""
    p = play("bound")
    names = ["n%d" % n for n in range(3000)]
    p.server.send("".join(text_message(n + "x" * 500) for n in names))
    wait_until_none_goes(p.server)
    way(fake_server, [p.server])
    if way is crash:
        fake_server.begin_anew()
    seen = []
    while not p.session.ended:
        seen += [t.rstrip("x") for t in texts([p.session.ask()])]
    assert seen == names[:len(seen)]
    assert p.session.ended.condition == WAYS[way]
    if way in (crash, reset, silence_then_reset):
        assert sum(len(text_message(n + "x" * 500)) for n in seen) > 900 * 1024
    else:
        assert len(seen) == len(names)


# ---- what the server did not take ------------------------------------------------------------


def break_off(server, end):
    """Returns how many bytes this end's kernel has, and the server has not read."""
    def act():
        found.append(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.FIONREAD, b"\0" * 4))[0])
        getattr(server, end)()
    found = []
    sock = server.transport.get_extra_info("socket")
    server.server.loop.call_soon_threadsafe(act)
    server.wait_ended()
    return found[0]


def fill(session, text):
    """Until nothing more is taken, or there is enough; how many were."""
    accepted = refused = 0
    while accepted < 60 and refused < 5:
        # A connection of its own: httpd may close those that are kept alive when it is busy.
        answer = session.endpoint.wire().ask(session.bytes(text))
        if answer.status == 200:
            accepted, refused = accepted + 1, 0
            continue
        assert answer.status == 503
        session.rid -= 1
        refused += 1
        time.sleep(0.05)
    return accepted


@pytest.mark.parametrize("end", ["reset", "close"])
@pytest.mark.parametrize("size", [100, 200000])
def test_log_tells_what_may_be_lost(play, site, size, end):
    """The server reads nothing, and breaks the connection: its kernel has some of what was
    accepted, our kernel some, the store the rest."""
    p = play("after_features", wait=0)
    text = "<message to='f@x' xmlns='jabber:client'><body>%s</body></message>" % ("x" * size)
    whole = []
    for _ in range(2):  # the first that is said may have something before it
        before = len(p.server.received)
        p.session.free_wire().ask(p.session.bytes(text))
        p.server.wait_stanza(tag("message"))
        whole.append(len(p.server.received) - before)
    name = re.findall(r"BOSH1002: (session \d+):", site.httpd.log_text())[-1]
    before = len(p.server.received)
    p.server.stop_reading()
    accepted = fill(p.session, text)
    arrived = break_off(p.server, end) + len(p.server.received) - before
    until(lambda: name + " to puppet.fake ended" in site.httpd.log_text(), 10, "the end")
    expected = accepted * whole[-1] - arrived
    assert expected > 0 or size == 100
    found = re.findall(name + r": what puppet.fake was sent last may be lost: (\d+) bytes not "
                       r"acknowledged, (\d+) not sent", site.httpd.log_text())
    assert len(found) == 1 or not expected and not found
    # TCP puts off acknowledgements: what has arrived may count as uncertain, and no more.
    assert all(expected <= sum(map(int, f)) <= accepted * whole[-1] for f in found)
    assert p.later() == ("terminate", FAILED)


# ---- a real server ---------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_prosody_restarts(make_httpd, new_session, how):
    prosody = Prosody().start()
    try:
        server = make_httpd(domains=[(DOMAIN, prosody.address)])
        endpoint = bosh.Endpoint(server.port)
        held, idle = (new_session(endpoint).login(DOMAIN, user, ACCOUNTS[user],
                                                          presence=False)
                      for user in ("romeo", "juliet"))
        held.hold().held()
        prosody.shut_down(how)
        for session in (held, idle):
            while not session.ended:
                session.ask()
            assert session.ended.condition == (ENDED if how == signal.SIGTERM else FAILED)
            assert session.ask().condition == session.ended.condition
        prosody.start()
        session = new_session(endpoint).login(DOMAIN, "romeo", ACCOUNTS["romeo"])
        session.send_message(session.jid, "to myself")
        session.wait_message("to myself")
    finally:
        prosody.stop()
