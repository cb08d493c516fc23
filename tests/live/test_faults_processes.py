# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Processes that die, stop or cannot be started: what becomes of sessions, of clients, and of
the rest of the site."""
import os
import re
import signal
import time

import pytest

import bosh
import procfs
from bosh import body_bytes, message
from play import Play, text_message, texts, wait_until_stored
from talkers import Talkers
from waiting import PATIENCE, TooLate, until

FAULTS = os.environ.get("BOSH_FAULTS_MODULE")


def creation(endpoint, to="echo.fake", timeout=1.0, **attrs):
    """The answer to a request for a session; None if it waits for longer."""
    wire = endpoint.wire()
    try:
        return wire.ask(body_bytes(rid=1000, to=to, wait=5, hold=1, ver="1.11", **attrs), timeout)
    except TooLate:
        return None
    finally:
        wire.close()


def wait_for_children(server, count):
    return until(lambda: len(server.children()) >= count and server.children(), 30,
                 "%d children" % count)


# ---- children --------------------------------------------------------------------------------


def test_all_children_killed_at_once_under_traffic(make_httpd, fake, new_session):
    """httpd replaces two of them at once, and others if it lacks threads: one, two, four a
    second."""
    server = make_httpd(servers=3, threads=8, extra="MinSpareThreads 17")
    endpoints = [bosh.Endpoint(server.port), bosh.Endpoint(server.tls_port, tls=True)]
    with Talkers(fake, new_session, endpoints, 6) as talkers:
        for n in range(3):
            before = talkers.sent() + 12
            until(lambda: talkers.sent() > before, 20, "some traffic")
            old = wait_for_children(server, 2)
            for pid in old:
                os.kill(pid, signal.SIGKILL)
            until(lambda: set(server.children()) - set(old), 20, "new children")


def test_held_requests_of_killed_children_are_repeated_and_answered(make_httpd, fake,
                                                                    new_session):
    server = make_httpd(servers=2, threads=8)
    endpoint = bosh.Endpoint(server.port)
    held = []
    for _ in range(6):
        fake.mark()
        session = new_session(endpoint).open("echo.fake")
        data = session.bytes(message("echo.fake", "once"))
        assert endpoint.wire().ask(data).texts() == ["once"]
        data = session.bytes()
        wire = endpoint.wire()
        wire.send(data)
        wire.held()
        held.append((session, fake.connection(), data, wire))
    for pid in server.children():
        os.kill(pid, signal.SIGKILL)
    for n, (session, connection, data, wire) in enumerate(held):
        with pytest.raises(bosh.Broken):
            wire.answer()
        connection.push("while nobody held %d" % n)
    for n, (session, connection, data, wire) in enumerate(held):
        first = endpoint.wire().ask(data)
        assert first.texts() == ["while nobody held %d" % n]
        assert endpoint.wire().ask(data).raw == first.raw
        assert session.ask(message("echo.fake", "on")).texts() == ["on"]
        assert connection.bodies() == ["once", "on"]


def test_places_of_dead_children_are_found_without_the_connector(make_httpd, fake, new_session):
    """A new child that found none would answer 503 for as long as it lives."""
    server = make_httpd(servers=12, threads=2, extra="MinSpareThreads 24")
    old = wait_for_children(server, 12)
    procfs.stop(server.connector())
    try:
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        until(lambda: len(server.children()) >= 9, 40, "more children than spare places")
        until(server.get_static, 10)
    finally:
        os.kill(server.connector(), signal.SIGCONT)
    assert server.count_log("BOSH3004") == 0


# ---- the connector is killed -----------------------------------------------------------------


def test_each_client_is_told_once_that_the_connector_died(make_httpd, fake, new_session):
    server = make_httpd()
    endpoint = bosh.Endpoint(server.port)
    plays = []
    for _ in range(3):
        fake.mark()
        plays.append(Play(endpoint, fake, new_session).bound())
    plays[0].session.hold().held()
    plays[1].session.hold().held()
    plays[1].session.post(wire=endpoint.wire())
    os.kill(server.connector(), signal.SIGKILL)
    for p in plays:
        answers = p.end_of_session()
        assert answers[-1].condition == "remote-connection-failed"
        assert p.later() == ("terminate", "remote-connection-failed")


def test_what_the_connector_had_not_fetched_is_counted(make_httpd, fake, new_session):
    server = make_httpd()
    p = Play(bosh.Endpoint(server.port), fake, new_session, wait=0).after_features()
    old = server.connector()
    procfs.stop(old)
    assert p.session.ask(message("a@b", "never sent")).type is None
    os.kill(old, signal.SIGKILL)
    line = until(lambda: re.search(r"BOSH1012: connector 0: 1 streams of .* lost, and (\d+) bytes",
                                   server.log_text()), 15, "the loss in the log")
    assert int(line.group(1)) > len("never sent")
    answers = p.end_of_session()
    assert len(answers) == 1 and answers[0].condition == "remote-connection-failed"
    assert p.later() == ("terminate", "remote-connection-failed")
    # Neither on its own stream nor on a stream of the next connector.
    new_session(p.endpoint).open("echo.fake")
    p.server.wait_ended()
    assert [c.bodies() for c in fake.since_mark()] == [[], []]


def test_session_that_a_connector_did_not_take_up_loses_nothing(make_httpd, fake, new_session):
    """It died before it had begun a stream: the next one does."""
    server = make_httpd()
    old = server.connector()
    procfs.stop(old)
    session = new_session(bosh.Endpoint(server.port))
    assert session.create("echo.fake", wait=1).stanzas == [] and session.sid
    assert session.ask(message("echo.fake", "early")).type is None
    os.kill(old, signal.SIGKILL)
    session.wait_message("early")
    assert session.ask(message("echo.fake", "on")).texts() == ["on"]
    assert fake.connection().bodies() == ["early", "on"]


@pytest.mark.parametrize("asks", ["at_once", "later"])
def test_what_servers_sent_before_the_connector_died_comes_first(make_httpd, fake, new_session,
                                                                 asks):
    """Then the condition, once: whether clients ask before or after its death is known."""
    server = make_httpd()
    endpoint = bosh.Endpoint(server.port)
    plays, lost = [], []
    for terms in ({}, {"ack": 1}):
        fake.mark()
        plays.append(Play(endpoint, fake, new_session, **terms).bound())
    other = new_session(endpoint).open("echo.fake")
    for p in plays:
        # Of one answer the client does not know whether it will come.
        wire = p.session.hold()
        wire.held()
        p.server.send(text_message("in an answer that is lost"))
        assert wire.wait_readable(10)
        lost.append(p.session.pending.pop()[2])
        p.session.drop(wire)
        p.server.send("".join(text_message("n%d" % n) for n in range(5)))
        wait_until_stored(p.server, other)
    os.kill(server.connector(), signal.SIGKILL)
    if asks == "later":
        until(lambda: server.count_log("BOSH1012"), 15, "the next connector")
    for p, data in zip(plays, lost):
        assert endpoint.wire().ask(data).texts() == ["in an answer that is lost"]
        answers = p.end_of_session()
        assert texts(answers) == ["n%d" % n for n in range(5)]
        assert answers[-1].condition == "remote-connection-failed"
        for _ in range(2):
            assert p.later() == ("terminate", "remote-connection-failed")


def test_session_that_is_asked_for_while_no_connector_runs_is_made(make_httpd, fake,
                                                                    new_session):
    """Whoever comes before httpd has noticed waits a moment, and that is all."""
    server = make_httpd()
    endpoint = bosh.Endpoint(server.port)
    for n in range(3):
        old = server.connector()
        os.kill(old, signal.SIGKILL)
        session = new_session(endpoint).open("echo.fake")
        assert server.get_static() == 200
        assert session.ask(message("echo.fake", "n%d" % n)).texts() == ["n%d" % n]
        assert server.connector() != old


def test_sessions_are_made_within_a_second_of_a_connectors_death(make_httpd, fake, new_session):
    """httpd's parent looks once a second; so the death comes at three different moments."""
    servers, took = [make_httpd() for _ in range(3)], []
    for n, server in enumerate(servers):
        endpoint = bosh.Endpoint(server.port)
        connector = server.connector()
        time.sleep(0.3 * n)
        began = time.monotonic()
        os.kill(connector, signal.SIGKILL)
        session = new_session(endpoint).open("echo.fake")
        took.append(time.monotonic() - began)
        assert session.ask(message("echo.fake", "works")).texts() == ["works"]
        assert server.connectors() and server.connector() != connector
    # Of a busy machine one may be late.
    assert sorted(took)[1] < 1 * PATIENCE and max(took) < 2 * PATIENCE, took


def test_connector_that_dies_again_and_again_is_given_time(make_httpd, fake, new_session):
    """Meanwhile the rest of the site is served, and clients are told to come later."""
    server = make_httpd()
    endpoint = bosh.Endpoint(server.port)
    killed = []
    for _ in range(5):
        killed.append(until(lambda: set(server.connectors()) - set(killed), 15,
                            "a connector").pop())
        os.kill(killed[-1], signal.SIGKILL)
    later = until(lambda: creation(endpoint), 20, "an answer to a request for a session")
    assert (later.status, later.header("Retry-After")) == (503, "1"), later
    assert server.get_static() == 200
    assert server.count_log("BOSH3011") > 0
    assert [int(s) for s in re.findall(r"BOSH2011: connector 0 begins its work in (\d+) s",
                                       server.log_text())] == [1, 3, 7, 15]
    assert server.count_log("BOSH2009") == 5


def test_connector_that_recovers_serves_new_sessions(make_httpd, fake, new_session):
    server = make_httpd()
    endpoint = bosh.Endpoint(server.port)
    killed = []
    for _ in range(3):
        killed.append(until(lambda: set(server.connectors()) - set(killed), 15,
                            "a connector").pop())
        os.kill(killed[-1], signal.SIGKILL)
    session = new_session(endpoint).open("echo.fake", timeout=30)
    assert session.ask(message("echo.fake", "again")).texts() == ["again"]


@pytest.mark.skipif(not FAULTS, reason="BOSH_FAULTS_MODULE names no mod_bosh.so of a "
                    "--enable-faults build")
def test_connector_that_cannot_be_forked_is_tried_again(make_httpd, fake, new_session,
                                                        monkeypatch):
    """Meanwhile the rest of the site is served, and clients are told to come later."""
    monkeypatch.setenv("BOSH_MODULE", FAULTS)
    monkeypatch.setenv("BOSH_FAULT", "connector-fork:2")
    server = make_httpd()
    endpoint = bosh.Endpoint(server.port)
    statuses = set()
    while 503 not in statuses:  # that second may be over before anybody has asked
        failures = server.count_log("BOSH2008")
        os.kill(server.connector(), signal.SIGKILL)
        until(lambda: server.count_log("BOSH2008") > failures, 10, "httpd to notice")
        assert failures < 5 and server.get_static() == 200
        until(lambda: statuses.add(getattr(creation(endpoint), "status", None))
              or server.connectors(), 30, "the next try")
        until(lambda: getattr(creation(endpoint, timeout=5), "status", None) == 200, 30, "its work")
    assert statuses <= {200, 503, None}
    session = new_session(endpoint).open("echo.fake")
    assert session.ask(message("echo.fake", "again")).texts() == ["again"]


# ---- the connector is stopped ------------------------------------------------------------------


def test_stopped_connector_delays_and_loses_nothing(make_httpd, fake, new_session):
    server = make_httpd()
    endpoint = bosh.Endpoint(server.port)
    session = new_session(endpoint).open("echo.fake", wait=2)
    idle = new_session(endpoint).open("echo.fake", wait=2)
    connection = fake.connection()
    connector = server.connector()
    procfs.stop(connector)
    try:
        for n in range(4):
            answer = session.ask(message("echo.fake", "n%d" % n))
            assert (answer.status, answer.type, answer.stanzas) == (200, None, [])
        later = until(lambda: creation(endpoint), 20, "an answer to a request for a session")
        assert (later.status, later.header("Retry-After")) == (503, "1")
        assert server.get_static() == 200
    finally:
        os.kill(connector, signal.SIGCONT)
    assert session.gather(4) == ["n0", "n1", "n2", "n3"]
    assert connection.bodies() == ["n0", "n1", "n2", "n3"]
    assert idle.ask(message("echo.fake", "here")).texts() == ["here"]
    until(lambda: (creation(endpoint) or later).status == 200, 15, "new sessions")
    assert server.connector() == connector


def test_stopped_connector_under_traffic_blocks_no_worker(make_httpd, fake, new_session):
    """What cannot be kept is not taken: its client is told to come again."""
    server = make_httpd(threads=4)
    p = Play(bosh.Endpoint(server.port), fake, new_session, wait=0).after_features()
    connector = server.connector()
    payload = lambda n: ("<message to='f@x' id='f%d' xmlns='jabber:client'><body>%s</body>"
                         "</message>" % (n, "x" * 200000))
    sent, data = 0, None
    procfs.stop(connector)
    try:
        while True:
            data = p.session.bytes(payload(sent))
            answer = p.endpoint.wire().ask(data)
            if answer.status != 200:
                break
            assert answer.type is None and sent < 50
            sent += 1
        for _ in range(20):  # more often than there are workers
            answer = p.endpoint.wire().ask(data)
            assert (answer.status, answer.header("Retry-After")) == (503, "1")
        assert server.get_static() == 200
    finally:
        os.kill(connector, signal.SIGCONT)
    until(lambda: p.endpoint.wire().ask(data).status == 200, 15, "room for the last one")
    until(lambda: len(p.server.stanzas) == sent + 1, 15, "the server to get all")
    assert [s.get("id") for s in p.server.stanzas] == ["f%d" % n for n in range(sent + 1)]


# ---- httpd's parent is killed ------------------------------------------------------------------


def test_orphans_of_a_killed_parent_end_all_sessions(make_httpd, fake, new_session):
    """httpd's own children do not notice, and go on with the rest of the site."""
    server = make_httpd()
    endpoint = bosh.Endpoint(server.port)
    session = new_session(endpoint).open("echo.fake")
    session.hold().held()
    connector, children = server.connector(), server.children()
    os.kill(server.parent, signal.SIGKILL)
    try:
        answer = session.collect()
        assert (answer.type, answer.condition) == ("terminate", "system-shutdown")
        until(lambda: not procfs.is_alive(connector), 10, "the connector to end")
        fake.connection().wait_closing_tag()
        later = until(lambda: creation(endpoint), 20, "an answer to a request for a session")
        assert (later.status, later.header("Retry-After")) == (503, "1")
        assert server.get_static() == 200
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
    until(lambda: not server.processes(), 10, "everything to end")
    for name in os.listdir(os.path.join(server.root, "run")):
        os.unlink(os.path.join(server.root, "run", name))
