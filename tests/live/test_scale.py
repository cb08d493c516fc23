# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A thousand held requests in one child with 25 threads: they cost no thread."""
import selectors
import statistics
import time

import bosh
import procfs
from bosh import body_bytes, message
from waiting import PATIENCE, until

SESSIONS = 1000


class Many:
    """Sessions with one connection each. httpd may close a kept-alive connection at
    the moment in which a request is on its way (all its threads being busy): then a
    client repeats the request on a new one, and so does this."""

    def __init__(self, endpoint, count, batch=50):
        self.endpoint, self.repeats = endpoint, 0
        self.sessions = []
        while len(self.sessions) < count:
            fresh = [bosh.Session(endpoint) for _ in range(min(batch, count - len(self.sessions)))]
            for session in fresh:
                session.wire = endpoint.wire()
                self.send(session, creation(session.rid))
            for session, answer in self.answers(fresh).items():
                session.sid = answer.body.get("sid")
                assert session.sid, answer
                session.stream_id = answer.body.get("authid")
            self.sessions += fresh

    def send(self, session, data):
        session.last = data
        try:
            session.wire.send(data)
        except bosh.Broken:
            self.again(session)

    def again(self, session):
        self.repeats += 1
        session.wire.close()
        session.wire = self.endpoint.wire()
        session.wire.send(session.last)

    def settle(self):
        """All requests are held: nobody has an answer, nobody's connection broke."""
        def quiet():
            for session in self.sessions:
                if session.wire.has_input():
                    try:
                        answer = session.wire.answer()
                    except bosh.Broken:
                        self.again(session)
                        return False
                    raise AssertionError("a request was not held: %r" % answer)
            return True
        until(lambda: quiet() and not time.sleep(0.3) and quiet(), 20, "all requests to be held")

    def answers(self, sessions=None, seconds=20):
        """One answer of each session: {session: answer}."""
        selector = selectors.DefaultSelector()
        for session in sessions or self.sessions:
            selector.register(session.wire.sock, selectors.EVENT_READ, session)
        found = {}
        deadline = time.monotonic() + seconds * PATIENCE
        while selector.get_map():
            left = deadline - time.monotonic()
            assert left > 0, "%d have no answer" % len(selector.get_map())
            for key, _ in selector.select(left):
                session = key.data
                selector.unregister(key.fileobj)
                try:
                    found[session] = session.wire.answer(5)
                except bosh.Broken:
                    self.again(session)
                    selector.register(session.wire.sock, selectors.EVENT_READ, session)
        selector.close()
        return found

    def close(self):
        for session in self.sessions:
            session.wire.close()


def creation(rid=None):
    return body_bytes(rid=rid or bosh.first_rid(), to="echo.fake", wait=60, hold=1, ver="1.11",
                      xmpp_version="1.0")


def static_time(server):
    started = time.monotonic()
    assert server.get_static() == 200
    return time.monotonic() - started


def test_a_thousand_sessions_are_held_and_a_file_is_served_at_once(make_httpd, fake):
    server = make_httpd(threads=25, servers=1, async_factor=100,
                        extra="BoshInactivity 120", log_level="notice bosh:info")
    before = statistics.median(static_time(server) for _ in range(21))
    started = time.monotonic()
    many = Many(bosh.Endpoint(server.port), SESSIONS)
    assert time.monotonic() - started < 20 * PATIENCE, \
        "%d sessions took %.0f s to be created" % (SESSIONS, time.monotonic() - started)
    try:
        (child,) = server.children()
        for session in many.sessions:
            many.send(session, session.bytes())
        many.settle()
        assert sum(1 for c in fake.since_mark() if c.to) == SESSIONS
        assert server.children() == [child], "more children were started"
        times = [static_time(server) for _ in range(21)]
        during = statistics.median(times)
        assert during < max(5 * before, 0.03) * PATIENCE and max(times) < 1.0 * PATIENCE, \
            "a static file took %.3f s with all held (at most %.3f s), %.3f s before" % (
                during, max(times), before)
        # Everybody gets a message of his own,
        connections = {"stream-%d-1" % c.number: c for c in fake.since_mark()}
        for n, session in enumerate(many.sessions):
            connections[session.stream_id].push("only for %d" % n)
        answers = many.answers()
        for n, session in enumerate(many.sessions):
            assert answers[session].texts() == ["only for %d" % n]
        # and can send one over the same connection.
        for n, session in enumerate(many.sessions):
            many.send(session, session.bytes(message("echo.fake", "from %d" % n)))
        answers = many.answers()
        for n, session in enumerate(many.sessions):
            assert answers[session].texts() == ["from %d" % n]
        # They all go; nothing of them stays.
        for session in many.sessions:
            many.send(session, session.bytes(type="terminate"))
        assert all(a.type == "terminate" for a in many.answers().values())
        until(lambda: all(c.gone for c in fake.since_mark()), 20, "the XMPP connections to end")
        print("requests repeated because httpd closed the connection: %d" % many.repeats)
    finally:
        many.close()
    until(lambda: procfs.fd_count(child) < 200, 20, "the child's descriptors to go")
    assert procfs.fd_count(server.connector()) < 100


def test_sessions_created_at_the_same_moment_do_not_wait_for_each_other(make_httpd, fake):
    """Nor for anybody else: where an address is given, no name server is asked."""
    server = make_httpd()
    endpoint = bosh.Endpoint(server.port)
    for _ in range(5):
        wires = [endpoint.wire() for _ in range(24)]
        started = time.monotonic()
        for wire in wires:
            wire.send(creation())
        for wire in wires:
            assert wire.answer(5).body.get("sid")
        assert time.monotonic() - started < 4 * PATIENCE
        for wire in wires:
            wire.close()


def test_session_limit_is_refused_politely_and_given_back(make_httpd, fake):
    server = make_httpd(extra="BoshMaxSessions 20")
    endpoint = bosh.Endpoint(server.port)
    many = Many(endpoint, 20)
    try:
        refused = endpoint.wire().ask(creation())
        assert (refused.status, refused.header("Retry-After")) == (503, "1")
        assert refused.raw == b"<body xmlns='http://jabber.org/protocol/httpbind'/>"
        for session in many.sessions[:5]:
            many.send(session, session.bytes(type="terminate"))

        def again():
            answer = endpoint.wire().ask(creation())
            return answer.status == 200 and answer.body.get("sid")
        until(again, 40, "a session's place to be given back", every=0.3)
    finally:
        many.close()


def test_stanzas_wait_for_a_client_that_does_not_ask_and_memory_stays_bounded(make_httpd, fake):
    """Back-pressure, not loss: the server is read no further than the limit, and
    later everything arrives in order."""
    server = make_httpd(extra="BoshSharedMemory 16777216\nBoshInactivity 120\nBoshMaxSessions 100",
                        log_level="notice bosh:info")
    endpoint = bosh.Endpoint(server.port)
    (session,) = Many(endpoint, 1).sessions
    connection = fake.connection()
    connector = server.connector()
    rss = procfs.rss_kib(connector)
    count = 3000  # of 10 kB: 30 MB, more than the whole segment
    for n in range(count):
        connection.push("%d " % n + "m" * 10000)
    time.sleep(1.0)
    assert server.get_static() == 200
    assert procfs.rss_kib(connector) - rss < 40 * 1024 * PATIENCE
    # Another session is served meanwhile.
    (other,) = Many(endpoint, 1).sessions
    assert other.wire.ask(other.bytes(message("echo.fake", "next door"))).texts() == ["next door"]
    seen = []
    deadline = time.monotonic() + 30 * PATIENCE
    while len(seen) < count:
        assert time.monotonic() < deadline, "only %d of %d arrived" % (len(seen), count)
        answer = session.wire.ask(session.bytes())
        assert answer.type is None, answer
        seen += [int(t.split()[0]) for t in answer.texts()]
    assert seen == list(range(count))
    for s in (session, other):
        s.wire.close()
