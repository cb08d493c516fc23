# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Spaces between stanzas, where nothing is written to the XMPP server for long (RFC 6120 section
4.6.1): not before the client has logged in, not within anything, not after the end."""
import time

import pytest

import bosh
from fakeserver import FEATURES_BIND
from play import Play, tag
from strictxml import STREAMS
from tlsfront import TlsFront
from waiting import PATIENCE, stays_false, until

EARLY = ("after_features", "during_login", "after_success", "restarting", "restarted")


@pytest.fixture
def start(make_httpd, fake):
    def make(options="keepalive=1", extra="", server=fake.address):
        made = make_httpd(domains=[(name + ".fake", "%s %s" % (server, options))
                                   for name in ("echo", "puppet")], extra=extra)
        return bosh.Endpoint(made.port)
    return make


@pytest.fixture
def act(start, fake, new_session):
    """act(state, options) plays up to that state, with spaces after a second."""
    def make(state, options="keepalive=1", **attrs):
        return getattr(Play(start(options), fake, new_session, **attrs), state)()
    return make


def count_spaces(server, since):
    tail = bytes(server.received[since:])
    assert tail.strip() == b"", tail
    return len(tail)


def test_idle_stream_gets_a_space_now_and_then(act):
    p = act("bound")
    since = len(p.server.received)
    time.sleep(3.6)
    assert 2 <= count_spaces(p.server, since) <= 3
    p.session.post("<message to='a@b' xmlns='jabber:client'><body>still here</body></message>")
    p.server.wait_bodies("still here")
    assert p.server.not_xml is None


def test_nobody_asked_for_spaces(act):
    p = act("bound", options="")
    since = len(p.server.received)
    stays_false(lambda: len(p.server.received) > since, 2.5, "a byte")


@pytest.mark.parametrize("state", EARLY)
def test_no_space_before_the_client_has_logged_in(act, state):
    p = act(state)
    since = len(p.server.received)
    stays_false(lambda: len(p.server.received) > since, 2.5, "a byte")


def test_login_without_another_stream_is_one_too(act):
    """XEP-0388: <success/>, and the features at once."""
    p = act("during_login")
    p.server.send("<success xmlns='urn:xmpp:sasl:2'/>" + FEATURES_BIND)
    assert {s.tag for s in p.collect().stanzas} == {tag("success", "urn:xmpp:sasl:2"),
                                                    tag("features", STREAMS)}
    since = len(p.server.received)
    until(lambda: count_spaces(p.server, since), 3, "a space")


def test_other_features_are_no_login(act):
    """A client may begin its stream anew before it logs in, and says who it is."""
    p = act("after_features")
    p.server.new_stream()
    p.session.post(to="puppet.fake", xmpp_restart="true", **{"from": "user@puppet.fake"})
    p.server.wait_headers(2)
    p.server.send(p.server.header() + FEATURES_BIND)
    assert [s.tag for s in p.collect().stanzas] == [tag("features", STREAMS)]
    since = len(p.server.received)
    stays_false(lambda: len(p.server.received) > since, 2.5, "a byte")


def test_no_space_where_enough_is_written(act):
    p = act("bound")
    for n in range(7):
        p.session.post("<message to='a@b' xmlns='jabber:client'><body>%d</body></message>" % n)
        p.server.wait_bodies(*(str(i) for i in range(n + 1)))
        p.server.push(str(n))  # answers the request
        p.collect()
        time.sleep(0.4)
    assert b"> <" not in p.server.received and not p.server.received.endswith(b" ")


def test_no_space_while_the_server_takes_nothing(act):
    """Half of a stanza is written, and waits for room; afterwards all are whole."""
    p = act("bound")
    p.session.post("<message to='a@b' xmlns='jabber:client'><body>0</body></message>")
    p.server.wait_bodies("0")
    p.server.stop_reading()
    sent = ["0"]
    while True:
        p.session.post("<message to='a@b' xmlns='jabber:client'><body>%s</body></message>"
                       % (str(len(sent)) + "x" * 200000))
        p.server.push("answers the one before")
        answered = p.session.pending[0][1].answer()
        if answered.status != 200:
            break
        p.session.pending.pop(0)
        sent.append(str(len(sent)) + "x" * 200000)
        assert len(sent) < 200
    time.sleep(2.5)
    p.server.go_on_reading()
    until(lambda: len(p.server.bodies()) >= len(sent) - 1, 20, "all of it")
    assert p.server.bodies()[:len(sent) - 1] == sent[:len(sent) - 1]
    assert p.server.not_xml is None
    assert b"> <message" not in p.server.received
    until(lambda: p.server.received.endswith(b"> "), 4, "a space when it rests")


def test_no_space_after_the_closing_tag(act):
    p = act("bound")
    p.hang_up()
    p.session.terminate("")
    p.server.wait_closing_tag()
    since = len(p.server.received)
    stays_false(lambda: len(p.server.received) > since, 1.8, "a byte")


def test_spaces_within_tls(start, fake, new_session, ca):
    front = TlsFront(fake.port, *ca.issue(dns=["echo.fake"]))
    try:
        endpoint = start("tls=required keepalive=1", server="xmpp://127.0.0.1:%d" % front.port,
                         extra='BoshTLSCACertificateFile "%s"' % ca.file)
        session = new_session(endpoint).login("echo.fake", "user", "secret")
        session.send_message("echo.fake", "before")
        session.wait_message("before")
        server = fake.connection()
        since = len(server.received)
        until(lambda: count_spaces(server, since) >= 2, 5 * PATIENCE, "two spaces")
        session.send_message("echo.fake", "after")
        session.wait_message("after")
        assert server.not_xml is None
        assert b" " not in front.said_in_the_clear().split(b">")[-1]
    finally:
        front.stop()
