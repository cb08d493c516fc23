# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Requests whose clients went away and on to the next one, as pages do that are reloaded:
what the random test found, move by move."""
import os
import signal

import pytest

import bosh
import procfs
from bosh import message
from waiting import until

FAULTS = os.environ.get("BOSH_FAULTS_MODULE")


@pytest.fixture
def wide(site, fake, new_session):
    session = new_session(site.wide).open("echo.fake", hold=2)
    assert session.created.body.get("requests") == "3"
    return session


def leave(session, data, reset=False):
    """Sends a request, goes away, and waits until the server knows."""
    wire = session.endpoint.wire()
    wire.send(data)
    wire.reset() if reset else wire.close()
    until(lambda: procfs.server_side(session.endpoint.port, wire.client_port) is None, 5,
          "the server to see that its client is gone", every=0.001)


@pytest.mark.parametrize("pause", [0, 0.02])
def test_early_request_that_was_left_holds_up_nobody(wide, fake, pause):
    first, second, third = (wide.bytes() for _ in range(3))
    left = wide.endpoint.wire()
    left.send(third)
    if pause:
        left.silent(pause)
    left.close()
    until(lambda: procfs.server_side(wide.endpoint.port, left.client_port) is None, 5, "it")
    one, two = wide.endpoint.wire(), wide.endpoint.wire()
    two.send(second)
    one.send(first)
    fake.connection().push("one")
    assert one.answer(3).texts() == ["one"]
    fourth = wide.endpoint.wire()
    fake.connection().push("two")
    assert two.answer(3).texts() == ["two"]
    fourth.send(wide.bytes())
    fourth.silent(0.1)
    fake.connection().push("three")
    assert fourth.answer(3).texts() == ["three"]


def leave_saying(fake, session, packets):
    """Behind a message the poll is not answered at once, whatever waits behind that: answers
    keep a distance. Who leaves an answer unread resets the connection as it closes."""
    endpoint = session.endpoint
    wire = endpoint.wire()
    # Reads what TLS says at first: that alone would be an unread answer.
    assert wire.ask(None, method="GET", path="/static.txt").status == 200
    said = {"message": lambda: session.bytes(message("echo.fake", "hello")), "poll": session.bytes,
            "bye": lambda: session.bytes(message("echo.fake", "bye"), type="terminate")}
    for n, packet in enumerate(packets):
        if n:
            until(lambda: procfs.has_read_all(endpoint.port, wire.client_port), 5, "it to be read")
            # httpd gives up a connection that is reset while it answers what came before.
            assert "message" not in packets[0] or wire.wait_readable(10)
        wire.send_raw(b"".join(wire.request(said[name]()) for name in packet.split()))
    wire.close()
    fake.connection().wait_bodies(*["hello"] * ("message" in packets[0]), "bye")
    fake.connection().wait_ended()
    assert fake.connection().stream_closed


def name_of(packets):
    return "+".join(p.replace(" ", "-") for p in packets)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("packets", [["poll", "bye"], ["poll bye"], ["message poll bye"],
                                     ["message poll", "bye"]], ids=name_of)
def test_good_bye_behind_a_poll_and_closed_at_once(site, fake, new_session, packets, tls):
    """As libpurple leaves: what it says last arrives, and its session ends."""
    leave_saying(fake, new_session(site.tls if tls else site.main).open("echo.fake"), packets)


@pytest.mark.parametrize("mpm", ["worker", "prefork"])
def test_good_bye_behind_a_poll_that_blocks(make_httpd, fake, new_session, mpm):
    server = make_httpd(mpm=mpm)
    endpoints = [bosh.Endpoint(server.port), bosh.Endpoint(server.tls_port, tls=True)]
    for endpoint in endpoints:
        for packets in (["poll", "bye"], ["message poll bye"], ["message poll", "bye"]):
            fake.mark()
            leave_saying(fake, new_session(endpoint).open("echo.fake"), packets)


@pytest.mark.skipif(not FAULTS, reason="BOSH_FAULTS_MODULE names no mod_bosh.so of a "
                    "--enable-faults build")
@pytest.mark.parametrize("mpm", ["event", "worker"])
def test_good_bye_behind_an_answer_that_finds_nobody(make_httpd, fake, new_session, mpm,
                                                     monkeypatch):
    """The answer is about to be written when the good-bye comes, and with it the end."""
    monkeypatch.setenv("BOSH_MODULE", FAULTS)
    monkeypatch.setenv("BOSH_SLOW_AT", "answer-unwritten:0")  # for two seconds
    server = make_httpd(mpm=mpm)
    for endpoint in bosh.Endpoint(server.port), bosh.Endpoint(server.tls_port, tls=True):
        fake.mark()
        session = new_session(endpoint).open("echo.fake")
        wire = endpoint.wire()
        assert wire.ask(None, method="GET", path="/static.txt").status == 200
        wire.send(session.bytes(message("echo.fake", "hello")))
        fake.connection().wait_bodies("hello")
        wire.send(session.bytes(message("echo.fake", "bye"), type="terminate"))
        wire.silent(0.5)
        wire.reset()
        fake.connection().wait_bodies("hello", "bye")
        fake.connection().wait_ended()


@pytest.mark.parametrize("behind", [None, 0, 2], ids=["alone", "pipelined", "pipelined-large"])
def test_copy_that_was_aborted_and_is_read_late_ends_no_session(site, fake, new_session, behind):
    """As after a restart, when connections have waited to be accepted. What is behind it
    httpd may have read already, or not yet."""
    session = new_session(site.main).open("echo.fake")
    old = session.bytes(message("echo.fake", "n0"))
    session.free_wire().ask(old)
    for n in range(1, 5):
        session.send_message("echo.fake", "n%d" % n)
        session.wait_message("n%d" % n)
    children = site.httpd.children()
    procfs.stop(*children)
    try:
        wire = site.main.wire()
        wire.send(old)
        if behind is not None:
            wire.send(old, headers=[("X-Large", "x" * 7000)] * behind)
        wire.close()
    finally:
        for child in children:
            os.kill(child, signal.SIGCONT)
    until(lambda: procfs.server_side(site.main.port, wire.client_port) is None, 5,
          "the server to see that its client is gone")
    session.send_message("echo.fake", "goes on")
    session.wait_message("goes on")
    fake.connection().wait_bodies("n0", "n1", "n2", "n3", "n4", "goes on")
