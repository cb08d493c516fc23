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


@pytest.mark.parametrize("gap", [True, False], ids=["later", "same-packet"])
def test_good_bye_behind_a_poll_and_closed_at_once(site, fake, new_session, gap):
    """As libpurple leaves: what it says last arrives, and its session ends."""
    session = new_session(site.main).open("echo.fake")
    wire = site.main.wire()
    poll = wire.request(session.bytes())
    bye = wire.request(session.bytes(message("echo.fake", "bye"), type="terminate"))
    wire.send_raw(poll if gap else poll + bye)
    if gap:
        wire.silent(0.2)
        wire.send_raw(bye)
    wire.close()
    fake.connection().wait_bodies("bye")
    fake.connection().wait_ended()
    assert fake.connection().stream_closed


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
    for child in children:
        os.kill(child, signal.SIGSTOP)
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
