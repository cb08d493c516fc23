# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Logging in and chatting against a real ejabberd, over plain TCP on loopback. What it does
with TLS and with the PROXY protocol is in test_ejabberd_tls.py."""
import signal

import pytest

import bosh
from acquaintances import befriend, chat, pair, send_presence, wait_presence
from conftest import end_server, need_module, run_server
from ejabberd import Ejabberd
from httpd import Httpd
from strictxml import SASL
from waiting import until


@pytest.fixture(scope="module")
def ejabberd():
    server = Ejabberd()
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="module")
def httpd(ejabberd):
    need_module()
    server = run_server(Httpd([(ejabberd.domain, ejabberd.address)]))
    yield server
    end_server(server)


@pytest.fixture
def friends(ejabberd, httpd, new_session):
    return pair(new_session, bosh.Endpoint(httpd.port), ejabberd)


def test_two_users_chat_both_ways(friends):
    chat(*friends)


def test_wrong_password_is_a_sasl_failure_and_may_be_corrected(ejabberd, httpd, new_session):
    session = new_session(bosh.Endpoint(httpd.port)).open(ejabberd.domain)
    assert session.authenticate("romeo", "nonsense").tag == "{%s}failure" % SASL
    verdict = session.authenticate("romeo", ejabberd.accounts["romeo"])
    assert verdict.tag == "{%s}success" % SASL


def test_presence_is_seen_until_the_end(friends):
    romeo, juliet = friends
    befriend(romeo, juliet)
    send_presence(juliet, "<show>away</show>")
    wait_presence(romeo, juliet.jid, show="away")
    juliet.terminate()
    wait_presence(romeo, juliet.jid, "unavailable")


def test_end_is_clean(ejabberd, friends):
    """ejabberd sees </stream:stream>, which it calls a reset stream; of a connection that
    is just gone it says that it failed."""
    for session in friends:
        session.terminate()
        assert (session.ended.status, session.ended.condition) == (200, None)
    for session in friends:
        until(lambda: "Closing c2s session for %s: Stream reset by peer" % session.jid
              in ejabberd.log_text(), 5, "ejabberd to see the end of the stream")


@pytest.mark.parametrize("how, condition", [(signal.SIGTERM, "remote-stream-error"),
                                            (signal.SIGKILL, "remote-connection-failed")],
                         ids=["stopped", "killed"])
def test_restart_ends_old_sessions_and_serves_new_ones(ejabberd, httpd, new_session, how,
                                                       condition):
    held, idle = pair(new_session, bosh.Endpoint(httpd.port), ejabberd, presence=False)
    held.hold().held()
    ejabberd.shut_down(how)
    for session in (held, idle):
        while not session.ended:
            session.ask()
        assert session.ended.condition == condition
        reason = any(b"<system-shutdown " in answer.raw for answer in session.answers)
        assert reason == (how == signal.SIGTERM)
    ejabberd.start()
    chat(*pair(new_session, bosh.Endpoint(httpd.port), ejabberd))
