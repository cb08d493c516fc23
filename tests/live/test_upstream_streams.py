# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Several streams in one session (XEP-0124 section 16), as their servers see them; and
the `from` of a restart."""
import re
import time

import pytest

from fakeserver import FEATURES_LOGIN
from play import CLOSING, ERROR, ERRORS, Play, bounces, tag, text_message, texts, wait_over
from strictxml import SASL, STREAMS


class Two:
    """A session with two streams at puppet.fake. first, second: names; one, two: servers."""

    def __init__(self, endpoint, fake, new_session, **attrs):
        play = Play(endpoint, fake, new_session, **attrs).after_features()
        self.session, self.one = play.session, play.server
        self.first = play.created.body.get("stream")
        fake.mark()
        self.session.pending = []
        self.added = self.session.ask(to="puppet.fake", xml_lang="en", xmpp_version="1.0")
        self.second = self.added.body.get("stream")
        self.two = fake.connection()
        self.two.send(self.two.header() + FEATURES_LOGIN)
        answer = self.session.ask()
        assert [s.tag for s in answer.stanzas] == [tag("features", STREAMS)]
        assert answer.body.get("stream") == self.second
        self.session.inbox = []

    def say(self, text, **attrs):
        """Posts without waiting."""
        return self.session.post("<message to='a@b' xmlns='jabber:client'><body>%s</body>"
                                 "</message>" % text, **attrs)

    def end_of_second(self, timeout=5):
        """Answers up to the one that ends it; the session goes on."""
        answers = []
        while not answers or answers[-1].type != "terminate":
            assert len(answers) < 5
            if not self.session.pending:
                self.session.post()
            answers.append(self.session.collect(timeout))
        assert answers[-1].body.get("stream") == self.second
        self.session.ended = None
        return answers

    def first_lives(self):
        self.say("still here", stream=self.first)
        self.one.wait_bodies("still here")
        self.one.send(text_message("yes"))
        answers = [self.session.collect()]
        if not texts(answers):
            answers.append(self.session.ask())
        assert texts(answers) == ["yes"]


@pytest.fixture
def two(site, fake, new_session):
    def make(endpoint=None, **attrs):
        return Two(endpoint or site.main, fake, new_session, **attrs)
    return make


def test_each_stream_has_a_connection_and_a_header_of_its_own(two):
    t = two()
    assert t.one is not t.two
    assert len(t.one.headers) == len(t.two.headers) == 1
    t.say("for one", stream=t.first)
    t.one.wait_bodies("for one")
    t.say("for two", stream=t.second)
    t.two.wait_bodies("for two")
    assert t.one.bodies() == ["for one"]


def test_stanzas_are_given_the_name_of_their_stream(two):
    t = two()
    for server, name in ((t.two, t.second), (t.one, t.first), (t.two, t.second)):
        t.session.post()
        time.sleep(0.05)
        server.send(text_message("x"))
        answer = t.session.collect()
        assert answer.body.get("stream") == name and texts([answer]) == ["x"]


def by_error(server):
    server.send(text_message("last") + ERROR)


def by_closing_tag(server):
    server.send(text_message("last") + CLOSING)


def by_close(server):
    server.send(text_message("last"))
    server.close()


def by_garbage(server):
    server.send(text_message("last") + "<a:b/>")


def by_size(server):
    server.send(text_message("last") + "<a>%s</a>" % ("x" * (1024 * 1024)))


@pytest.mark.parametrize("end, condition", [
    (by_error, "remote-stream-error"), (by_closing_tag, "remote-stream-error"),
    (by_close, "remote-connection-failed"), (by_garbage, "remote-connection-failed"),
    (by_size, "undefined-condition")], ids=lambda x: getattr(x, "__name__", None))
def test_end_of_one_stream_is_not_the_end_of_the_session(two, end, condition):
    t = two()
    end(t.two)
    answers = t.end_of_second()
    assert texts(answers) == ["last"]
    assert answers[-1].condition == condition
    if end is by_error:
        assert answers[-1].stanzas[-1].tag == tag("error", STREAMS)
    if end is by_size:
        assert answers[-1].stanzas[-1].tag == tag("stanza-too-large", ERRORS)
    if end is not by_close:
        t.two.wait_closing_tag()
    t.first_lives()


def test_client_closes_one_stream(two):
    t = two()
    t.two.send(text_message("undelivered", " id='u'"))
    time.sleep(0.2)
    t.session.post(type="terminate", stream=t.second)
    answers = t.end_of_second()
    assert answers[-1].condition is None
    wait_over(t.two)
    assert texts(answers) + [b[2] for b in bounces(t.two)] in (["undelivered"], ["u"])
    assert not t.one.stream_closed
    t.first_lives()


def test_session_that_expires_bounces_each_to_its_own_server(two, site):
    t = two(site.short)
    t.one.send(text_message("1", " id='one'"))
    t.two.send(text_message("2", " id='two'") + "<iq type='get' id='q' from='x@y'/>")
    wait_over(t.one)
    wait_over(t.two)
    assert [b[2] for b in bounces(t.one)] == ["one"]
    assert [b[2] for b in bounces(t.two)] == ["two", "q"]


def test_log_names_the_stream(two, site):
    t = two()
    t.two.send(CLOSING)
    t.end_of_second()
    t.two.wait_ended()
    lines = site.httpd.log_text()
    serial = re.findall(r"BOSH1002: session (\d+):", lines)[-1]
    assert re.findall(r"BOSH1002: session %s stream 1: to puppet" % serial, lines)
    assert re.findall(r"BOSH1003: session %s stream 1 to puppet.fake ended" % serial, lines)
    assert not re.findall(r"session %s stream 0" % serial, lines)


# ---- the `from` of a restart ------------------------------------------------------------------


def test_restart_puts_its_from_into_the_stream_header(site, fake, new_session):
    """SASL EXTERNAL: only now the client knows who it is (XEP-0206 section 5)."""
    p = Play(site.main, fake, new_session).after_success()
    assert p.server.headers[0].get("from") is None
    p.server.new_stream()
    p.session.post(to="puppet.fake", from_="romeo@puppet.fake", xmpp_restart="true")
    p.server.wait_headers(2)
    assert p.server.headers[1].get("from") == "romeo@puppet.fake"
    # Kept for a later one that has none. Where nothing was said since, there would be none.
    p.session.post("<auth xmlns='%s' mechanism='EXTERNAL'>=</auth>" % SASL)
    p.server.wait_stanza(tag("auth", SASL))
    p.server.send(p.server.header() + "<success xmlns='%s'/>" % SASL)
    p.collect()
    p.server.new_stream()
    p.session.post(to="puppet.fake", xmpp_restart="true")
    p.server.wait_headers(3)
    assert p.server.headers[2].get("from") == "romeo@puppet.fake"


def test_restart_of_one_of_two_streams(two):
    t = two()
    t.two.new_stream()
    t.session.post(to="puppet.fake", from_="x@puppet.fake", xmpp_restart="true", stream=t.second)
    t.two.wait_headers(2)
    assert t.two.headers[1].get("from") == "x@puppet.fake"
    t.two.send(t.two.header() + FEATURES_LOGIN)
    answer = t.session.collect()
    assert answer.body.get("stream") == t.second
    assert [s.tag for s in answer.stanzas] == [tag("features", STREAMS)]
    assert len(t.one.headers) == 1
