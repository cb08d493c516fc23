# Licensed under the Apache License, Version 2.0; see LICENSE.
"""An XMPP server that is gone without a word: not even its kernel answers any more. The
connector's finds that out by itself, in a time that is set (F62)."""
import time

import pytest

import bosh
import httpd
from waiting import PATIENCE

SENT = 60   # seconds that anything sent may wait for an answer: TCP_USER_TIMEOUT


@pytest.fixture
def endpoint(make_httpd):
    server = make_httpd(extra="BoshInactivity 300")
    return bosh.Endpoint(server.port)


def wait_for_the_end(session):
    while session.ended is None:
        if not session.pending:
            session.post()
        session.collect(SENT + 30)
    return session.ended.condition


@pytest.mark.skipif(httpd.ASAN, reason="a minute of the kernel's clocks, and nothing of ours")
def test_server_that_is_gone_without_a_word_is_noticed(endpoint, fake, new_session):
    """Whether the client had said something, or TCP's own keepalive asks."""
    talking, idle = [new_session(endpoint).login("echo.fake", "user", "secret") for _ in range(2)]
    for connection in fake.since_mark():
        connection.fall_silent()
    began = time.monotonic()
    talking.hold()
    idle.hold()
    talking.send_message("echo.fake", "is anybody there?")
    for session in (talking, idle):
        assert wait_for_the_end(session) == "remote-connection-failed"
        took = time.monotonic() - began
        print("%.1f s" % took)
        assert SENT - 5 < took < SENT + 15 * PATIENCE
