# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Descriptors, shared memory, disks and random bytes run out; system calls are interrupted.
What is promised is refused politely, goes on, and comes back by itself; and nobody runs in
circles meanwhile. F21, F23, F24, F26 and F28 of the fault list."""
import contextlib
import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import bosh
import disk
import httpd
import procfs
from bosh import body_bytes, message
from calm import assert_calm
from shim import Shim
from waiting import until

FAULTS = os.environ.get("BOSH_FAULTS_MODULE") \
    or os.path.join(httpd.TOP, "build", "out", "faults", ".libs", "mod_bosh.so")


@pytest.fixture
def shim():
    made = Shim()
    yield made
    made.close()


def log_in(new_session, endpoint, fake, to="echo.fake", **how):
    fake.mark()
    session = new_session(endpoint, stubborn=True)
    session.open(to, **how)
    session.server = fake.connection()
    return session


def texts(session):
    return [s.findtext("{jabber:client}body") for s in session.inbox
            if s.tag == "{jabber:client}message"]


def collect_until(session, text):
    """Polls until the text came; the session must not end."""
    while text not in texts(session):
        if not session.pending:
            session.post()
        answer = session.collect()
        assert answer.type is None, answer


@contextlib.contextmanager
def polling(sessions):
    """Until the end of the block they go on, as clients do: the answers that are kept for one
    that does not may be all that the memory has room for."""
    stop = threading.Event()

    def poll(session):
        while not stop.is_set():
            if not session.pending:
                session.post()
            if session.pending[0][1].wait_readable(0.1):
                assert session.collect().type is None

    with ThreadPoolExecutor(len(sessions)) as pool:
        polls = [pool.submit(poll, session) for session in sessions]
        try:
            yield
        finally:
            stop.set()
        for p in polls:
            p.result()


def creation(to="echo.fake"):
    return body_bytes(rid=bosh.first_rid(), to=to, wait=60, hold=1, ver="1.11",
                      xmpp_version="1.0")


def can_create(endpoint):
    wire = endpoint.wire()
    try:
        answer = wire.ask(creation())
    except bosh.Broken:
        return False
    finally:
        wire.close()
    return answer.status == 200 and bool(answer.body.get("sid"))


def errors(server):
    """Lines of the error log that everybody sees: level error and worse."""
    return [line for line in server.log_text().splitlines()
            if re.search(r":(error|crit|alert|emerg)\]", line)]


# ---- nothing is wrong ---------------------------------------------------------------------------

def test_waiting_costs_no_processor_time(make_httpd, fake, new_session):
    server = make_httpd(servers=2, server_limit=2)
    sessions = [log_in(new_session, bosh.Endpoint(server.port), fake) for _ in range(10)]
    for s in sessions[:8]:
        s.post()
    for s in sessions[:4]:
        s.close()  # hung up while held
    assert_calm(server)


# ---- F20: memory ---------------------------------------------------------------------------------

@pytest.mark.skipif(httpd.ASAN, reason="AddressSanitizer has an allocator of its own")
def test_want_of_memory_costs_one_request_or_one_stream(make_httpd, fake, new_session, shim):
    """What does not fit is refused with 503, and taken when it comes again."""
    server = make_httpd(environment=shim.environment)
    endpoint = bosh.Endpoint(server.port)
    session, other = (log_in(new_session, endpoint, fake) for _ in range(2))
    shim.set(scarce=20000)
    wire = endpoint.wire()
    request = session.bytes(message("echo.fake", "m" * 50000))
    answer = wire.ask(request)
    assert (answer.status, answer.header("Retry-After")) == (503, "1")
    wire.close()
    session.server.push("small")
    assert session.ask(rid=session.rid).texts() == ["small"]
    shim.set(scarce=0)
    session.post(message("echo.fake", "m" * 50000))
    collect_until(session, "m" * 50000)
    # An answer that there is no memory for is kept, and given later.
    session.server.push("n" * 50000)
    time.sleep(0.2)
    shim.set(scarce=20000)
    request = session.bytes()
    wire = endpoint.wire()
    assert wire.ask(request).status == 503
    wire.close()
    shim.set(scarce=0)
    wire = endpoint.wire()
    assert wire.ask(request).texts() == ["n" * 50000]
    wire.close()
    # What a server sends, and there is no memory for, ends its stream.
    shim.set(scarce=20000)
    other.server.push("n" * 50000)
    answer = other.ask()
    assert (answer.type, answer.condition) == ("terminate", "internal-server-error")
    shim.set(scarce=0)
    session.post(message("echo.fake", "still here"))
    collect_until(session, "still here")
    assert shim.get("broken") >= 3
    assert can_create(endpoint)


# ---- F21: descriptors ----------------------------------------------------------------------------

def test_connector_without_descriptors_keeps_its_sessions_and_refuses_new_ones(
        make_httpd, fake, new_session, shim):
    server = make_httpd(environment=shim.environment)
    endpoint = bosh.Endpoint(server.port)
    session = log_in(new_session, endpoint, fake)
    session.post()
    shim.set(needy=server.connector())
    lines = len(errors(server))
    wire = endpoint.wire()
    for _ in range(100):
        answer = wire.ask(creation())
        assert (answer.type, answer.condition) == ("terminate", "internal-server-error")
    assert_calm(server)
    assert len(errors(server)) - lines < 30, "the error log is filled"
    assert any("BOSH1001" in line for line in errors(server))
    session.server.push("still here")
    collect_until(session, "still here")
    session.post(message("echo.fake", "and back"))
    collect_until(session, "and back")
    shim.set(needy=0)
    assert wire.ask(creation()).body.get("sid")
    wire.close()


def test_child_without_descriptors_is_replaced_and_its_sessions_go_on(make_httpd, fake,
                                                                     new_session, shim):
    """httpd itself sends such a child home as soon as it cannot accept a connection."""
    server = make_httpd(servers=1, server_limit=2, environment=shim.environment)
    endpoint = bosh.Endpoint(server.port)
    sessions = [log_in(new_session, endpoint, fake) for _ in range(5)]
    for s in sessions:
        s.post()
    (child,) = server.children()
    shim.set(needy=child)
    # Those who are connected are served.
    sessions[0].server.push("before")
    collect_until(sessions[0], "before")
    lines = len(errors(server))
    started = time.monotonic()
    until(lambda: can_create(endpoint), 30, "a new session", every=0.2)
    assert_calm(server)
    for n, s in enumerate(sessions):
        s.server.push("after %d" % n)
        collect_until(s, "after %d" % n)
    allowed = 30 + 20 * (time.monotonic() - started)
    assert len(errors(server)) - lines < allowed, "the error log is filled"


# ---- F23: shared memory --------------------------------------------------------------------------

def test_thread_that_cannot_wait_says_come_again(make_httpd, fake, new_session, monkeypatch):
    """Where each held request blocks a thread: with 503 and a document, not httpd's page."""
    monkeypatch.setenv("BOSH_MODULE", FAULTS)
    monkeypatch.setenv("BOSH_FAULT", "hold-condition:2")
    server = make_httpd(mpm="worker")
    session = new_session(bosh.Endpoint(server.port), stubborn=True).open("echo.fake", wait=1)
    refused = []
    for _ in range(12):
        data = session.bytes()
        answer = session.endpoint.wire().ask(data)
        if answer.status != 200:
            refused.append(answer)
            assert session.endpoint.wire().ask(data).type is None
        if len(refused) == 3:
            break
    assert len(refused) == 3
    for answer in refused:
        assert answer.status == 503
        assert answer.raw == b"<body xmlns='http://jabber.org/protocol/httpbind'/>"
        assert answer.header("Retry-After") == "1"
    session.send_message("echo.fake", "still here")
    session.wait_message("still here")


def test_full_shared_memory_refuses_what_is_new_and_loses_nothing(make_httpd, fake, new_session):
    server = make_httpd(extra="BoshSharedMemory 3M\nBoshMaxSessions 200\nBoshInactivity 300")
    endpoint = bosh.Endpoint(server.port)
    count, size = 300, 10000  # 3 MB for each: more than there is
    poor = log_in(new_session, endpoint, fake)
    rich = [log_in(new_session, endpoint, fake) for _ in range(2)]
    poor.post()
    for s in rich:
        for n in range(count):
            s.server.push("%d " % n + "m" * size)

    def ask(data):
        wire = endpoint.wire()
        answer = wire.ask(data)
        wire.close()
        return answer

    def is_full():
        answer = ask(creation())
        assert answer.status == 503 or answer.body.get("sid")
        return answer.status == 503 and answer
    answer = until(is_full, 30, "the shared memory to be full", every=0.3)
    assert len(fake.since_mark()) < 190, "it was the number of sessions"
    assert answer.header("Retry-After") == "1"
    # Nothing is taken of what finds no room; the same request is taken later.
    poor.post(message("echo.fake", "x" * 5000))
    for n in range(3):
        poor.server.push("poor %d" % n)
    assert_calm(server)
    for s in rich:
        while not any(t.startswith("%d " % (count - 1)) for t in texts(s)):
            assert s.ask().type is None
        numbers = [int(t.split()[0]) for t in texts(s)]
        assert numbers == list(range(count)), "lost, doubled or out of order"
    with polling(rich):
        collect_until(poor, "poor 2")
        collect_until(poor, "x" * 5000)
        assert sorted(texts(poor)) == ["poor 0", "poor 1", "poor 2", "x" * 5000]
        until(lambda: can_create(endpoint), 20, "a new session")
    assert len([line for line in errors(server) if "BOSH3003" in line]) < 10


# ---- F24: disks ----------------------------------------------------------------------------------

def test_logs_that_cannot_be_written_stop_nobody(make_httpd, fake, new_session):
    server = make_httpd(extra="ErrorLog /dev/full\nCustomLog /dev/full common\nLogLevel debug")
    endpoint = bosh.Endpoint(server.port)
    session = log_in(new_session, endpoint, fake)
    for n in range(20):
        session.post(message("echo.fake", "number %d" % n))
        collect_until(session, "number %d" % n)
    session.post()
    assert_calm(server)
    session.server.push("the end")
    collect_until(session, "the end")
    for _ in range(5):
        assert can_create(endpoint)


def restart_without_a_word(server, how):
    """Of a log that nothing can be read from."""
    old = set(server.children())
    os.kill(server.parent, how)
    until(lambda: server.children() and not old & set(server.children())
          and server.get_static() == 200, 20, "other children")
    until(lambda: not any(map(procfs.is_alive, old)), 20, "the old ones to end")


@disk.needed
def test_restarts_while_the_disk_of_the_logs_is_full_end_no_session(make_httpd, fake,
                                                                   new_session):
    """And when there is room again, lines are logged again, by all processes."""
    server = make_httpd(start=False, server_limit=2)
    small = disk.Disk(server, "logs")
    server.start()
    with small.seen():
        connector = server.connector()
        endpoint = bosh.Endpoint(server.port)
        sessions = [log_in(new_session, endpoint, fake) for _ in range(3)]
        small.fill()
        for how in (signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR1):
            for s in sessions:
                s.hold().held()
            restart_without_a_word(server, how)
            for n, s in enumerate(sessions):
                s.server.push("pushed")
                s.post(message("echo.fake", "echoed"))
                collect_until(s, "pushed")
                collect_until(s, "echoed")
                assert sorted(texts(s)) == ["echoed", "pushed"]
                s.inbox = []
            assert can_create(endpoint)
        sessions[0].hold().held()
        assert_calm(server)
        assert small.free_bytes() == 0
        small.make_room()
        sessions[0].terminate()
        until(lambda: "BOSH1003" in server.log_text(), 10, "a line of the connector")
        server.graceful()
        assert sessions[1].ask(message("echo.fake", "on")).texts() == ["on"]
        assert server.connectors() == [connector]


# ---- F26: random bytes ---------------------------------------------------------------------------

def test_without_random_bytes_there_is_no_session_and_the_others_go_on(make_httpd, fake,
                                                                      new_session, shim):
    server = make_httpd(environment=shim.environment)
    endpoint = bosh.Endpoint(server.port)
    session = log_in(new_session, endpoint, fake)
    shim.set(no_random=1)
    for _ in range(20):
        answer = endpoint.wire().ask(creation())
        assert (answer.status, answer.header("Retry-After")) == (503, "1")
    session.post(message("echo.fake", "no dice"))
    collect_until(session, "no dice")
    assert sum("BOSH3010" in line for line in errors(server)) == 1
    shim.set(no_random=0)
    assert can_create(endpoint)


# ---- F28: interruptions, short reads and writes --------------------------------------------------

@pytest.mark.parametrize("tls", (False, True), ids=("plain", "tls"))
def test_interrupted_calls_and_short_ones_are_not_seen_outside(make_httpd, fake, new_session,
                                                              shim, tls):
    server = make_httpd(environment=shim.environment)
    endpoint = bosh.Endpoint(server.tls_port if tls else server.port, tls=tls)
    log_in(new_session, endpoint, fake)  # all is loaded
    shim.set(interrupt=3, most_bytes=11)
    session = log_in(new_session, endpoint, fake)
    expected = []
    for n in range(12):
        text = "%d " % n + "é<&" * (n * 60)
        session.post(message("echo.fake", text))
        session.server.push("push %d" % n)
        expected += [text, "push %d" % n]
        collect_until(session, text)
        collect_until(session, "push %d" % n)
    assert sorted(texts(session)) == sorted(expected)
    assert [t for t in texts(session) if t in expected[1::2]] == expected[1::2]
    assert shim.get("broken") > 1000
    shim.set(most_bytes=0)
    session.post()
    assert_calm(server)
    session.server.push("the end")
    collect_until(session, "the end")
    shim.set(interrupt=0)
