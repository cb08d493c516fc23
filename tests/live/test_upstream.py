# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What happens between the manager and the XMPP server: ends of every kind in every
state, and bytes cut anywhere. The test plays the server (puppet.*)."""
import os
import time

import pytest

import bosh
from fakeserver import FEATURES_BIND, FEATURES_LOGIN
from play import CLOSING, ERROR, ERRORS, STREAM_ERRORS, Play, tag, text_message, texts, cut
from strictxml import SASL, STREAMS, XML
from waiting import until

STATES = ("before_header", "after_header", "after_features", "during_login", "after_success",
          "restarting", "restarted", "bound", "within_stanza")
NEEDS_HEADER = ("before_header", "restarting")
# In these nobody can put a stanza before the end, or it is not the server's turn to.
NO_STANZA = ("before_header", "after_header", "restarting", "restarted", "within_stanza")


# ---- ends in every state ------------------------------------------------------------------


def by_error(server, before):
    server.send(before + ERROR)


def by_closing_tag(server, before):
    server.send(before + CLOSING)


def by_close(server, before):
    server.send(before)
    server.close()


def by_reset(server, before):
    server.send(before)
    time.sleep(0.05)
    server.reset()


def by_garbage(server, before):
    server.send(before + "<a:b/><c>" + text_message("after the garbage"))


ENDS = {by_error: "remote-stream-error", by_closing_tag: "remote-stream-error",
        by_close: "remote-connection-failed", by_reset: "remote-connection-failed",
        by_garbage: "remote-connection-failed"}


@pytest.mark.parametrize("is_held", [True, False], ids=["held", "idle"])
@pytest.mark.parametrize("end", ENDS, ids=lambda f: f.__name__[3:])
@pytest.mark.parametrize("state", STATES)
def test_client_is_told_how_the_stream_ended(play, state, end, is_held):
    """Whatever the state, with a request waiting or without: the right condition, what
    came before it first and once, one terminate answer, the same for late requests."""
    p = play(state)
    condition = ENDS[end]
    if state == "within_stanza" and end in (by_error, by_closing_tag):
        condition = "remote-connection-failed"  # it ends in the middle of an element
    before = "" if state in NO_STANZA else text_message("last words \u20ac")
    if state in NEEDS_HEADER and end in (by_error, by_closing_tag):
        before = p.server.header()
    if is_held and not p.session.pending:
        p.session.post()
        time.sleep(0.02)
    if not is_held and p.session.pending and state not in ("before_header", "after_header"):
        p.hang_up()
    end(p.server, before)
    if not is_held:
        p.server.wait_ended()
    answers = p.end_of_session()
    last = answers[-1]
    assert (last.type, last.condition) == ("terminate", condition)
    assert texts(answers) == (["last words \u20ac"] if "last" in before else [])
    if end is by_error and condition == "remote-stream-error":
        error = last.stanzas[-1]
        assert error.tag == tag("error", STREAMS)
        assert [c.tag for c in error] == [tag("conflict", STREAM_ERRORS),
                                          tag("text", STREAM_ERRORS), "{urn:app}app"]
        assert error[1].text == "a < b" and error[1].get("{%s}lang" % XML) == "en"
    else:
        assert tag("error", STREAMS) not in [s.tag for s in last.stanzas]
    if p.session.sid:
        assert p.later() == ("terminate", condition)
    p.server.wait_ended()


@pytest.mark.parametrize("state", STATES[STATES.index("after_features"):])
def test_client_can_leave_a_server_that_says_nothing(play, state):
    p = play(state)
    p.hang_up()
    answers = p.session.terminate("")
    assert answers[-1].type == "terminate" and answers[-1].condition is None
    p.server.wait_closing_tag()
    p.server.wait_ended(4)  # two seconds for a closing tag that does not come


def test_connect_timeout_before_header_and_before_features(make_httpd, fake, new_session):
    server = make_httpd(extra="BoshConnectTimeout 1")
    for state in ("before_header", "after_header"):
        fake.mark()
        p = getattr(Play(bosh.Endpoint(server.port), fake, new_session), state)()
        last = p.end_of_session()[-1]
        assert last.condition == "remote-connection-failed"
        p.server.wait_closing_tag()


@pytest.mark.parametrize("what", [ERROR, CLOSING, "garbage<", text_message("late"), "reset", "fin",
                                  "nothing"])
def test_after_our_closing_tag_nothing_more_is_told(play, what, site):
    p = play("bound")
    since = len(site.httpd.log_text())
    answers = p.session.terminate("")
    p.server.wait_closing_tag()
    if what == "reset":
        p.server.reset()
    elif what == "fin":
        p.server.close()
    elif what != "nothing":
        p.server.send(what)
    assert [(a.type, a.condition) for a in answers] == [("terminate", None)]
    p.server.wait_ended(4)
    assert p.later() == ("terminate", None)
    assert not site.httpd.loud_lines(since)


def test_only_the_oldest_of_two_held_requests_gets_the_end(play, site):
    p = play("after_features", endpoint=site.wide, hold=2)
    p.session.post()
    p.session.post()
    time.sleep(0.1)
    p.server.send(text_message("first") + ERROR)
    answers = [p.collect(), p.collect()]
    assert sorted(str(a.type) for a in answers) == ["None", "terminate"]
    assert texts(answers) == ["first"]


def test_client_and_server_end_at_the_same_moment(play, site):
    since = len(site.httpd.log_text())
    for n in range(20):
        p = play("bound")
        p.session.post("<presence type='unavailable' xmlns='jabber:client'/>", type="terminate")
        p.server.send(CLOSING)
        answer = p.collect()
        assert answer.type == "terminate"
        assert answer.condition in (None, "remote-stream-error")
        p.server.wait_closing_tag()
        p.server.wait_ended()
    assert not site.httpd.loud_lines(since)


def test_payload_of_terminate_reaches_the_server_before_the_closing_tag(play):
    p = play("bound")
    p.session.terminate("<message to='a@b' xmlns='jabber:client'><body>bye</body></message>")
    p.server.wait_closing_tag()
    assert p.server.bodies() == ["bye"]
    assert p.server.not_xml is None


def test_features_that_come_late_come_once(play, site):
    p = play("after_header", wait=1)
    answer = p.collect()
    assert answer.body.get("sid") and answer.stanzas == []
    p.session.post()
    time.sleep(0.1)
    p.server.send(FEATURES_LOGIN)
    assert [s.tag for s in p.collect().stanzas] == [tag("features", STREAMS)]
    p.session.post()
    assert p.collect().stanzas == []


def test_what_the_server_said_before_a_reset_is_not_lost(play):
    """It closes with bytes of ours unread: our next write fails, but its last words are
    in the socket."""
    p = play("bound")
    p.server.stop_reading()
    time.sleep(0.05)
    p.session.post("<message to='a@b' xmlns='jabber:client'><body>unread</body></message>")
    time.sleep(0.1)
    p.server.send(text_message("last words") + ERROR)
    p.server.close()
    for n in range(3):
        if p.session.ended:
            break
        p.session.post("<message to='a@b' xmlns='jabber:client'><body>more</body></message>")
        p.collect()
    while not p.session.ended:
        p.collect()
    assert texts(p.session.answers) == ["last words"]
    assert p.session.ended.condition == "remote-stream-error"


def test_ends_leave_no_socket_behind(play, site):
    descriptors = lambda: len(os.listdir("/proc/%d/fd" % site.httpd.connector()))
    before = descriptors()
    for end in ENDS:
        for _ in range(5):
            p = play("bound")
            end(p.server, text_message("x"))
            p.end_of_session()
    until(lambda: descriptors() <= before, 5, "the connector to close its sockets")


# ---- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("what, error", [
    ("<a:b/>", "not-well-formed"), ("<message></iq>", "not-well-formed"),
    ("<message>&undefined;</message>", "not-well-formed"), ("text", "not-well-formed"),
    ("<message a='1' a='2'/>", "not-well-formed"), (b"<message>\xff</message>", "not-well-formed"),
    ("<message><!--x--></message>", "restricted-xml"), ("<?pi x?>", "restricted-xml"),
    ("<!DOCTYPE a>", "restricted-xml")])
def test_server_is_told_what_was_wrong_with_its_xml(play, what, error):
    p = play("bound")
    good = text_message("good \U0001f600").encode()
    p.server.send(good + (what if isinstance(what, bytes) else what.encode()))
    answers = p.end_of_session()
    assert texts(answers) == ["good \U0001f600"]
    assert answers[-1].condition == "remote-connection-failed"
    p.server.wait_closing_tag()
    found = p.server.wait_stanza(tag("error", STREAMS))
    assert [c.tag for c in found] == [tag(error, STREAM_ERRORS)]
    p.server.wait_ended()


@pytest.mark.parametrize("what", [
    "<message><body>%s</body></message>" % ("x" * (1024 * 1024)),
    "<message>%s%s</message>" % ("<a>" * 300, "</a>" * 300),
    "<message %s/>" % " ".join("a%d='1'" % n for n in range(300)),
    "<message a='%s'/>" % ("x" * 300000),
    "<%s/>" % ("x" * 2000)], ids=["size", "depth", "width", "value", "name"])
def test_stanza_beyond_the_limits_is_an_undefined_condition_with_an_element_of_ours(play, what):
    p = play("bound")
    p.server.send(text_message("before") + what + text_message("after"))
    answers = p.end_of_session()
    assert texts(answers) == ["before"]
    last = answers[-1]
    assert last.condition == "undefined-condition"
    assert last.stanzas[-1].tag == tag("stanza-too-large", ERRORS)
    assert p.later() == ("terminate", "undefined-condition")
    p.server.wait_closing_tag()
    found = p.server.wait_stanza(tag("error", STREAMS))
    assert [c.tag for c in found] == [tag("policy-violation", STREAM_ERRORS)]


def test_server_that_closes_gets_a_closing_tag(play):
    p = play("bound")
    p.server.send(CLOSING)
    p.server.wait_closing_tag()
    assert p.server.not_xml is None
    p.server.wait_ended()


# ---- bytes cut anywhere -----------------------------------------------------------------------


CUT_TEXT = "\u00e9\u20ac\U0001f600 &amp; <![CDATA[</message>]]>"
CUT_READ = "\u00e9\u20ac\U0001f600 & </message>"


@pytest.mark.parametrize("size", range(1, 8))
def test_dialogue_in_small_pieces(play, size):
    p = play("before_header")
    server, session = p.server, p.session
    say = lambda text: server.send_pieces(cut(text.encode(), size), 0.0005)
    say(server.header() + FEATURES_LOGIN)
    assert [s.tag for s in p.collect().stanzas] == [tag("features", STREAMS)]
    session.post("<auth xmlns='%s' mechanism='X'>YQ==</auth>" % SASL)
    server.wait_stanza(tag("auth", SASL))
    say("<success xmlns='%s'/>" % SASL)
    assert [s.tag for s in p.collect().stanzas] == [tag("success", SASL)]
    server.new_stream()
    session.post(to="puppet.fake", xmpp_restart="true")
    server.wait_headers(2)
    say(server.header() + FEATURES_BIND)
    assert [s.tag for s in p.collect().stanzas] == [tag("features", STREAMS)]
    session.post()
    say(text_message(CUT_TEXT) + " " + text_message("two") + ERROR)
    answers = p.end_of_session()
    assert texts(answers) == [CUT_READ, "two"]
    assert answers[-1].condition == "remote-stream-error"


def test_every_split_of_header_and_features(site, fake, new_session):
    length = len(Play(site.main, fake, new_session).server.header() + FEATURES_LOGIN)
    for at in range(1, length):
        fake.mark()
        p = Play(site.main, fake, new_session)
        data = (p.server.header() + FEATURES_LOGIN).encode()
        p.server.send_pieces([data[:at], data[at:]])
        answer = p.collect()
        assert [s.tag for s in answer.stanzas] == [tag("features", STREAMS)], at
        p.server.reset()
        p.session.close()


def test_every_split_of_stanzas(play):
    p = play("bound")
    data = (text_message(CUT_TEXT, " id='1'") + "\n" + text_message("two")).encode()
    p.session.post()
    for at in range(1, len(data)):
        p.server.send_pieces([data[:at], data[at:]])
        got = []
        while len(got) < 2:
            got += texts([p.collect()])
            p.session.post()
        assert got == [CUT_READ, "two"], at


def test_every_split_of_the_end(play):
    """No part of an error or a closing tag is taken for the end, or lost."""
    data = (text_message("x") + ERROR).encode()
    for at in range(len(text_message("x")) - 2, len(data), 3):
        p = play("after_features")
        p.session.post()
        p.server.send_pieces([data[:at], data[at:]])
        answers = p.end_of_session()
        assert texts(answers) == ["x"]
        assert answers[-1].condition == "remote-stream-error"
        assert [s.tag for s in answers[-1].stanzas][-1] == tag("error", STREAMS)
        p.session.close()
