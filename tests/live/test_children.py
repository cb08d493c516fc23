# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Requests of one session, or of two that talk to each other, in different httpd
children; children that die or retire. The store is the truth: nothing is lost."""
import os
import signal

import pytest

import bosh
import procfs
from bosh import message
from prosody import ACCOUNTS, DOMAIN
from waiting import until

FAULTS = os.environ.get("BOSH_FAULTS_MODULE")
TWO = dict(servers=2, server_limit=2, threads=10, async_factor=40)


def served_wire(endpoint, server):
    wire = endpoint.wire()
    wire.ask(None, method="GET", path="/static.txt")
    return wire, until(lambda: wire.owner(server.children()), 5, "the connection's process")


def wire_in(endpoint, server, child, tries=60):
    """A fresh connection that is served by the given child: by chance, or, on a machine that
    always wakes another one first, because the others stand still."""
    others = []
    try:
        for _ in range(tries):
            wire, owner = served_wire(endpoint, server)
            if owner == child:
                return wire
            others.append(wire)  # kept open: the next goes elsewhere rather
    finally:
        for wire in others:
            wire.close()
    rest = [pid for pid in server.children() if pid != child]
    try:
        procfs.stop(*rest)
        wire, owner = served_wire(endpoint, server)
    finally:
        for pid in rest:
            os.kill(pid, signal.SIGCONT)
    assert owner == child
    return wire


@pytest.fixture
def two(make_httpd):
    server = make_httpd(**TWO)
    children = until(lambda: len(server.children()) == 2 and server.children(), 5, "two children")
    return server, bosh.Endpoint(server.port), children


def test_poll_in_one_child_and_message_from_the_other(two, new_session):
    server, endpoint, (a, b) = two
    # Without presence nothing comes but what is sent here.
    romeo, juliet = (new_session(endpoint).login(DOMAIN, user, ACCOUNTS[user], presence=False)
                     for user in ("romeo", "juliet"))
    in_a, in_b = wire_in(endpoint, server, a), wire_in(endpoint, server, b)
    for n in range(20):
        juliet.post(wire=in_a)
        while len(juliet.pending) > 1:
            juliet.collect()
        assert in_a.owner([a, b]) == a and in_b.owner([a, b]) == b
        romeo.send_message(juliet.jid, "round %d" % n, wire=in_b)
        while len(romeo.pending) > 1:
            romeo.collect()
        answer = juliet.collect(3)
        assert answer.texts() == ["round %d" % n]
        # and set romeo's connection free again
        juliet.send_message(romeo.jid, "back %d" % n, wire=in_a)
        assert romeo.collect(3).texts() == ["back %d" % n]
    in_a.close()
    in_b.close()


def test_requests_of_one_session_in_two_children(two, fake, new_session):
    server, endpoint, (a, b) = two
    session = new_session(endpoint).open("echo.fake")
    in_a, in_b = wire_in(endpoint, server, a), wire_in(endpoint, server, b)
    texts = []
    for n in range(20):
        poll, other = (in_a, in_b) if n % 2 else (in_b, in_a)
        if not session.pending:
            session.post(wire=poll)
        elif session.pending[0][1] is other:
            poll, other = other, poll
        session.send_message("echo.fake", "round %d" % n, wire=other)
        while len(texts) <= n:
            assert session.pending, "round %d was lost; %r" % (n, texts)
            texts += session.collect(3).texts()
    assert texts == ["round %d" % n for n in range(20)]
    in_a.close()
    in_b.close()


def test_repeated_rid_in_the_other_child_gets_the_same_bytes(two, fake, new_session):
    server, endpoint, (a, b) = two
    session = new_session(endpoint).open("echo.fake")
    data = session.bytes(message("echo.fake", "once"))
    in_a, in_b = wire_in(endpoint, server, a), wire_in(endpoint, server, b)
    first = in_a.ask(data)
    assert first.texts() == ["once"]
    assert in_b.ask(data).raw == first.raw
    fake.connection().wait_bodies("once")


def test_repeat_of_a_held_request_in_the_other_child_moves_the_hold(two, fake, new_session):
    server, endpoint, (a, b) = two
    session = new_session(endpoint).open("echo.fake")
    in_a, in_b = wire_in(endpoint, server, a), wire_in(endpoint, server, b)
    data = session.bytes()
    in_a.send(data)
    in_a.silent(0.2)
    in_b.send(data)
    assert in_a.answer(2).type == "error"
    fake.connection().push("moved")
    assert in_b.answer(2).texts() == ["moved"]


def test_the_same_request_in_both_children_at_once_counts_once(two, fake, new_session):
    server, endpoint, (a, b) = two
    session = new_session(endpoint).open("echo.fake")
    wires = [wire_in(endpoint, server, a), wire_in(endpoint, server, b)]
    texts = ["n%d" % n for n in range(40)]
    for n, text in enumerate(texts):
        data = session.bytes(message("echo.fake", text))
        for wire in wires if n % 2 else reversed(wires):
            wire.send(data)
        answers = [wire.answer(5) for wire in wires]
        # Who came second while the first was held took its place; else both get the same.
        assert {a.type for a in answers} <= {None, "error"}
        assert {(a.raw, tuple(a.texts())) for a in answers if a.type is None} == {
            (next(a.raw for a in answers if a.type is None), (text,))}
    assert fake.connection().bodies() == texts


def test_early_request_in_one_child_is_released_by_the_other(two, fake, new_session):
    server, endpoint, (a, b) = two
    session = new_session(endpoint).open("echo.fake")
    first = session.bytes(message("echo.fake", "first"))
    second = session.bytes(message("echo.fake", "second"))
    in_a, in_b = wire_in(endpoint, server, a), wire_in(endpoint, server, b)
    in_a.send(second)
    in_a.silent(0.2)
    in_b.send(first)
    texts = in_b.answer(2).texts()
    if "second" not in texts:
        texts += in_a.answer(2).texts()
    if "second" not in texts:  # the first answer left before its echo came, as more was held
        texts += in_b.ask(session.bytes()).texts()
    assert texts == ["first", "second"]


@pytest.mark.skipif(not FAULTS, reason="BOSH_FAULTS_MODULE names no mod_bosh.so of a "
                    "--enable-faults build")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_aborted_copy_in_a_child_that_stood_still_ends_no_session(make_httpd, fake, new_session,
                                                                  monkeypatch, tls):
    """It had looked for its client already, and stands before the lock."""
    monkeypatch.setenv("BOSH_MODULE", FAULTS)
    server = make_httpd(start=False, **TWO)
    armed = os.path.join(server.root, "armed")
    os.mkdir(armed)
    os.chmod(armed, 0o777)
    once = os.path.join(armed, "now")
    monkeypatch.setenv("BOSH_SLOW_AT", "request-looked-at:0")  # for two seconds
    monkeypatch.setenv("BOSH_CRASH_ONCE", once)
    server.start()
    a, b = until(lambda: len(server.children()) == 2 and server.children(), 5, "two children")
    endpoint = bosh.Endpoint(server.tls_port if tls else server.port, tls=tls)
    session = new_session(endpoint).open("echo.fake")
    in_a, in_b = wire_in(endpoint, server, a), wire_in(endpoint, server, b)
    data = session.bytes()
    open(once, "w").close()
    in_a.send(data)
    until(lambda: not os.path.exists(once), 5, "the child to stand still")
    in_a.close()
    in_b.send(data)
    fake.connection().push("pushed")
    assert in_b.answer(5).texts() == ["pushed"]
    for n in range(5):
        assert in_b.ask(session.bytes(message("echo.fake", "n%d" % n))).texts() == ["n%d" % n]
    in_b.send(session.bytes())
    in_b.silent(3)
    fake.connection().push("more")
    assert in_b.answer(5).texts() == ["more"]


def test_killed_child_loses_nothing(two, fake, new_session):
    server, endpoint, (a, b) = two
    session = new_session(endpoint).open("echo.fake")
    connection = fake.connection()
    held = wire_in(endpoint, server, a)
    data = session.bytes()
    held.send(data)
    held.silent(0.2)
    os.kill(a, signal.SIGKILL)
    with pytest.raises(bosh.Broken):
        held.answer(5)
    connection.push("while nobody held")
    assert endpoint.wire().ask(data).texts() == ["while nobody held"]
    assert session.ask(message("echo.fake", "afterwards")).texts() == ["afterwards"]
    until(lambda: len(server.children()) == 2, 10, "a new child")
    assert not connection.gone


def test_child_killed_again_and_again_under_a_conversation(two, fake, new_session):
    server, endpoint, _ = two
    session = new_session(endpoint, stubborn=True).open("echo.fake")
    texts = []
    for n in range(12):
        session.hold()
        session.send_message("echo.fake", "n%d" % n)
        if n % 4 == 1:
            victim = until(server.children, 10, "a child")[0]
            os.kill(victim, signal.SIGKILL)
        while len(texts) <= n:
            session.hold()
            texts += session.collect(10).texts()
    assert texts == ["n%d" % n for n in range(12)]
    assert fake.connection().bodies() == texts


def test_hold_lost_with_a_killed_child_does_not_make_the_session_live_for_ever(
        make_httpd, fake, new_session):
    server = make_httpd(extra="BoshInactivity 2", **TWO)
    endpoint = bosh.Endpoint(server.port)
    session = new_session(endpoint).open("echo.fake", wait=3)
    connection = fake.connection()
    child = until(server.children, 5)[0]
    wire = wire_in(endpoint, server, child)
    wire.send(session.bytes())
    wire.silent(0.2)
    os.kill(child, signal.SIGKILL)
    connection.wait_ended(12)


def test_children_that_retire_after_few_connections(make_httpd, new_session):
    server = make_httpd(max_connections=6, servers=2, server_limit=4, threads=10)
    endpoint = bosh.Endpoint(server.port)
    romeo = new_session(endpoint, stubborn=True).login(DOMAIN, "romeo", ACCOUNTS["romeo"])
    juliet = new_session(endpoint, stubborn=True).login(DOMAIN, "juliet", ACCOUNTS["juliet"])
    seen = []
    first = set(server.children())
    for n in range(40):
        juliet.hold()
        for session in (romeo, juliet):  # a new connection for every request
            for wire in list(session.wires):
                if wire not in [p[1] for p in session.pending]:
                    session.drop(wire)
        romeo.send_message(juliet.jid, "n%d" % n)
        while len(romeo.pending) > 1:
            romeo.collect()
        seen.append(juliet.wait_message().findtext("{jabber:client}body"))
    assert seen == ["n%d" % n for n in range(40)]
    assert not first & set(server.children()), "no child retired"


def test_sessions_spread_over_several_connectors(make_httpd, fake, new_session):
    server = make_httpd(extra="BoshConnectors 2")
    connectors = server.several_connectors(2)
    endpoint = bosh.Endpoint(server.port)
    sessions = [new_session(endpoint).open("echo.fake") for _ in range(12)]
    owners = {procfs.owner(c.transport.get_extra_info("peername")[1], fake.port, connectors)
              for c in fake.since_mark()}
    assert owners == set(connectors)
    for n, session in enumerate(sessions):
        assert session.ask(message("echo.fake", "n%d" % n)).texts() == ["n%d" % n]
    # One dies: its sessions are told, the others do not notice.
    os.kill(connectors[0], signal.SIGKILL)
    until(lambda: len(server.connectors()) == 2 and connectors[0] not in server.connectors(), 8,
          "a new connector")
    ends = [session.ask(message("echo.fake", "again")) for session in sessions]
    told = [a for a in ends if a.type == "terminate"]
    assert 0 < len(told) < 12
    assert all(a.condition == "remote-connection-failed" for a in told)
    assert all(a.texts() == ["again"] for a in ends if a not in told)
