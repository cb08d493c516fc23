# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What happens between the manager and the XMPP server: bytes cut anywhere, ends of
every kind in every state, and stanzas that find no client any more. The test plays the
server (puppet.*)."""
import os
import random
import re
import signal
import time

import pytest

import bosh
from fakeserver import FEATURES_BIND, FEATURES_LOGIN
from httpd import ASAN
from play import (CLOSING, ERROR, ERRORS, STANZA_ERRORS, STREAM_ERRORS, Play, bounces, tag,
                  text_message, texts, wait_over)
from prosody import ACCOUNTS, DOMAIN
from strictxml import SASL, STREAMS, XML
from waiting import until

STATES = ("before_header", "after_header", "after_features", "during_login", "after_success",
          "restarting", "restarted", "bound", "within_stanza")
NEEDS_HEADER = ("before_header", "restarting")
# In these nobody can put a stanza before the end, or it is not the server's turn to.
NO_STANZA = ("before_header", "after_header", "restarting", "restarted", "within_stanza")


@pytest.fixture
def play(site, fake, new_session):
    def make(state="after_features", endpoint=None, **attrs):
        return getattr(Play(endpoint or site.main, fake, new_session, **attrs), state)()
    return make


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
    assert not loud_lines(site, since)


def loud_lines(site, since):
    return [line for line in site.httpd.log_text()[since:].splitlines()
            if re.search(r"bosh:(error|warn|crit|alert|emerg)", line)]


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
        p.server.server.mark()
    assert not loud_lines(site, since)


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


def cut(data, size):
    return [data[i:i + size] for i in range(0, len(data), size)]


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


def test_every_split_of_the_end(play, site, fake):
    """No part of an error or a closing tag is taken for the end, or lost."""
    data = (text_message("x") + ERROR).encode()
    for at in range(len(text_message("x")) - 2, len(data), 3):
        fake.mark()
        p = play("after_features")
        p.session.post()
        p.server.send_pieces([data[:at], data[at:]])
        answers = p.end_of_session()
        assert texts(answers) == ["x"]
        assert answers[-1].condition == "remote-stream-error"
        assert [s.tag for s in answers[-1].stanzas][-1] == tag("error", STREAMS)
        p.session.close()


# ---- bounces ------------------------------------------------------------------------------------

KINDS = """
<message from='chat@x/r' to='me@x/r' id='m1' type='chat' xml:lang='de'><body>1</body></message>
<message from='normal@x' id='m2'><body>2</body></message>
<message from='room@x/nick' id='m3' type='groupchat'><body>3</body></message>
<message from="o'quote&quot;&amp;&lt;@x" id="'&gt;" type='headline'/>
<message id='m5'><body>from the server itself</body></message>
<iq from='get@x' id='i1' type='get'><query xmlns='urn:q'/></iq>
<iq from='set@x' id='i2' type='set'><query xmlns='urn:q'/></iq>
<iq from='result@x' id='i3' type='result'/>
<iq from='error@x' id='i4' type='error'><error type='cancel'/></iq>
<message from='error@x' id='e1' type='error'><body>x</body><error type='cancel'/></message>
<presence from='there@x'/>
<presence from='sub@x' type='subscribe'/>
<message xmlns='urn:other' from='other@x' id='o1'/>
"""
BOUNCES = [("message", "chat@x/r", "m1", "de"), ("message", "normal@x", "m2", None),
           ("message", "room@x/nick", "m3", None), ("message", "o'quote\"&<@x", "'>", None),
           ("message", None, "m5", None), ("iq", "get@x", "i1", None), ("iq", "set@x", "i2", None)]
def test_each_kind_after_inactivity(play, site):
    p = play("bound", endpoint=site.short)
    p.server.send(KINDS.strip())
    wait_over(p.server)
    assert bounces(p.server) == BOUNCES
    assert p.later() == ("terminate", "item-not-found")
    p.server.send(CLOSING)
    p.server.wait_ended()


def test_nothing_to_bounce_is_only_a_closing_tag(play, site):
    p = play("bound", endpoint=site.short)
    p.server.send("<presence from='a@b'/><message type='error' from='a@b'/>"
                  "<iq type='result' id='1'/>")
    wait_over(p.server)
    assert bounces(p.server) == []


def test_after_a_breach_of_the_rules(play, site):
    p = play("bound")
    p.server.send(text_message("undelivered", " id='u'"))
    time.sleep(0.2)
    answer = p.session.free_wire().ask(p.session.bytes(rid=p.session.rid + 50))
    assert answer.type == "terminate" and answer.condition == "item-not-found"
    wait_over(p.server)
    # Either the client got it with its end, or its sender gets it back.
    assert texts([answer]) + [b[2] for b in bounces(p.server)] in (["undelivered"], ["u"])


def test_client_that_hung_up_never_got_it(play, site):
    p = play("bound", endpoint=site.short)
    p.session.post()
    time.sleep(0.1)
    p.hang_up()
    p.server.send(text_message("to nobody", " id='u'"))
    wait_over(p.server)
    assert [b[2] for b in bounces(p.server)] == ["u"]


def test_answer_after_which_the_client_fell_silent(play, site):
    """A live client asks again at once: this one may not have got it."""
    p = play("bound", endpoint=site.short)
    p.session.post()
    time.sleep(0.1)
    p.server.send(text_message("last", " id='u'"))
    assert texts([p.collect()]) == ["last"]
    wait_over(p.server)
    assert [b[2] for b in bounces(p.server)] == ["u"]


def test_answer_after_which_the_client_asked_again(play, site):
    p = play("bound", endpoint=site.short, wait=1)
    p.session.post()
    time.sleep(0.1)
    p.server.send(text_message("read", " id='u'"))
    assert texts([p.collect()]) == ["read"]
    p.session.ask()
    wait_over(p.server)
    assert bounces(p.server) == []


@pytest.mark.parametrize("is_acked", [True, False], ids=["acked", "silent"])
def test_acknowledgements_tell_what_the_client_has(play, site, is_acked):
    """With them a new request alone says nothing (XEP-0124 section 9)."""
    p = play("after_features", endpoint=site.short, wait=1, ack=1)
    p.session.post()
    rid = p.session.rid
    time.sleep(0.1)
    p.server.send(text_message("read?", " id='u'"))
    assert texts([p.collect()]) == ["read?"]
    p.session.ask(ack=rid if is_acked else rid - 1)
    wait_over(p.server)
    assert [b[2] for b in bounces(p.server)] == ([] if is_acked else ["u"])


def test_terminate_takes_what_there_is_and_nothing_comes_back(play):
    p = play("bound")
    p.server.send(text_message("with the end", " id='u'"))
    time.sleep(0.2)
    answers = p.session.terminate("")
    assert texts(answers) == ["with the end"]
    wait_over(p.server)
    assert bounces(p.server) == []


def fill_the_way_up(p):
    """The server reads nothing until our side cannot write any more."""
    p.server.stop_reading()
    sent = 0
    while True:
        sent += 1
        answer = p.session.free_wire().ask(p.session.bytes(
            "<message to='f@x' id='f%d' xmlns='jabber:client'><body>%s</body></message>"
            % (sent, "x" * 200000)))
        if answer.status != 200:
            p.session.rid -= 1
            return sent - 1
        assert answer.type is None and sent < 200


def test_what_comes_between_terminate_and_closing_tag(play):
    """The closing tag has to wait for what is on its way up; then all goes in order."""
    p = play("after_features", wait=0)
    sent = fill_the_way_up(p)
    answer = p.endpoint.wire().ask(p.session.bytes(type="terminate"))
    assert answer.type == "terminate"
    p.server.send(KINDS.strip())
    time.sleep(0.3)
    p.server.go_on_reading()
    wait_over(p.server)
    kinds = [s.get("type") for s in p.server.stanzas]
    assert kinds == [None] * sent + ["error"] * len(BOUNCES)
    assert bounces(p.server) == BOUNCES


def test_server_that_reads_nothing_is_left_in_the_end(play, site):
    p = play("after_features", wait=0)
    fill_the_way_up(p)
    name = re.findall(r"BOSH1002: (session \d+):", site.httpd.log_text())[-1]
    started = time.monotonic()
    assert p.endpoint.wire().ask(p.session.bytes(type="terminate")).type == "terminate"
    p.server.send(text_message("x"))
    until(lambda: name + " to puppet.fake ended" in site.httpd.log_text(), 14, "the end of " + name)
    assert time.monotonic() - started > 8


def peak_memory(pid):
    """The most that a process ever had, in KiB."""
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))


def test_full_queue_goes_back_whole_and_in_order(play, site):
    """As much as a session can hold, and more that waits in the socket."""
    before = peak_memory(site.httpd.connector())
    p = play("bound", endpoint=site.short)
    ids = ["n%d" % n for n in range(12000)]
    for part in cut(ids, 1000):
        p.server.send("".join(text_message("y" * 100, " id='%s'" % i) for i in part))
    wait_over(p.server, 15)
    found = [b[2] for b in bounces(p.server)]
    assert found == ids[:len(found)]
    assert len(found) * 140 > 1024 * 1024
    grown = peak_memory(site.httpd.connector()) - before
    assert grown < 16 * 1024 or ASAN, "the connector grew by %d KiB" % grown


def test_stanza_of_the_largest_size_goes_back(play, site):
    p = play("bound", endpoint=site.short)
    p.server.send(text_message("z" * 1000000, " id='big'") + text_message("s", " id='small'"))
    wait_over(p.server)
    assert [b[2] for b in bounces(p.server)] == ["big", "small"]


def test_when_httpd_stops(make_httpd, fake, new_session):
    server = make_httpd()
    p = Play(bosh.Endpoint(server.port), fake, new_session).bound()
    p.server.send(text_message("undelivered", " id='u'"))
    time.sleep(0.2)
    os.kill(server.parent, signal.SIGTERM)
    wait_over(p.server, 8)
    assert [b[2] for b in bounces(p.server)] == ["u"]
    p.server.send(CLOSING)


def flow(p, count):
    """The server sends that many messages, about one per millisecond; their names."""
    names = ["n%d" % n for n in range(count)]
    p.server.send_pieces([text_message(n, " id='%s'" % n).encode() for n in names], 0.001,
                         wait=False)
    return names


@pytest.mark.parametrize("end", ["terminate", "breach"])
def test_nothing_is_lost_nor_doubled_by_an_end_in_the_flow(play, fake, end):
    """Each message is delivered or bounced, whatever the moment; only those that are
    behind the closing tag are neither."""
    dice = random.Random()
    for n in range(20):
        fake.mark()
        p = play("bound")
        names = flow(p, 150)
        answers = []
        for _ in range(dice.randrange(6)):
            p.session.post()
            answers.append(p.collect())
        time.sleep(dice.random() * 0.03)
        if end == "terminate":
            answers += p.session.terminate("")
        else:
            data = p.session.bytes(rid=p.session.rid + 50)
            answers.append(p.endpoint.wire().ask(data))
        wait_over(p.server)
        delivered = texts(answers)
        back = [b[2] for b in bounces(p.server)]
        if end == "terminate" or not answers[:-1]:
            assert delivered + back == names[:len(delivered + back)], n
        else:
            check_overlap(delivered, back, len(texts(answers[-2:])), names)
        p.server.reset()
        p.session.close()


def check_overlap(delivered, back, most, names):
    """The last ones delivered may come back as well: nothing says that they arrived."""
    first = names.index(back[0]) if back else len(delivered)
    assert delivered == names[:len(delivered)]
    assert back == names[first:first + len(back)]
    assert len(delivered) - most <= first <= len(delivered)


def test_nothing_is_lost_when_clients_vanish_in_the_flow(site, fake, new_session):
    dice = random.Random()
    plays = []
    for n in range(15):
        fake.mark()
        p = Play(site.short, fake, new_session).bound()
        p.names = flow(p, 100)
        p.answers = []
        for _ in range(dice.randrange(8)):
            p.session.post()
            p.answers.append(p.collect())
        p.hang_up()
        plays.append(p)
    for p in plays:
        wait_over(p.server)
        check_overlap(texts(p.answers), [b[2] for b in bounces(p.server)],
                      len(texts(p.answers[-1:])), p.names)
        assert p.names[-1] in [b[2] for b in bounces(p.server)]


# ---- a real server ---------------------------------------------------------------------------


def errors_for(session, ident, seconds):
    """Asks for that long; the errors that came for this id."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not session.pending:
            session.post()
        if session.pending[0][1].wait_readable(0.1):
            session.collect()
    return [s for s in session.inbox if s.get("id") == ident and s.get("type") == "error"]


@pytest.mark.parametrize("bare", [False, True], ids=["full", "bare"])
def test_sender_at_a_real_server_is_told_once(site, juliet, new_session, bare):
    """Romeo falls silent with a message on its way to him: his server tells juliet, and
    does not keep it for later as well."""
    romeo = new_session(site.short).login(DOMAIN, "romeo", ACCOUNTS["romeo"])
    romeo.close()
    time.sleep(0.2)
    to = romeo.jid.split("/")[0] if bare else romeo.jid
    juliet.send_message(to, "wherefore art thou", ident="w1")
    juliet.post("<iq to='%s' type='get' id='w2' xmlns='jabber:client'>"
                "<ping xmlns='urn:xmpp:ping'/></iq>" % romeo.jid)
    found = errors_for(juliet, "w1", 5)
    assert len(found) == 1, juliet.inbox
    assert found[0].find("%s/%s" % (tag("error"), tag("recipient-unavailable", STANZA_ERRORS))) \
        is not None
    found = [s for s in juliet.inbox if s.get("id") == "w2"]
    assert [s.get("type") for s in found] == ["error"]
    again = new_session(site.main).login(DOMAIN, "romeo", ACCOUNTS["romeo"])
    assert errors_for(again, "w1", 1) == []
    assert [s for s in again.inbox if s.tag == tag("message")] == []


def test_message_that_was_read_is_not_bounced(site, juliet, new_session):
    romeo = new_session(site.short).login(DOMAIN, "romeo", ACCOUNTS["romeo"])
    juliet.send_message(romeo.jid, "read", ident="r1")
    romeo.wait_message("read")
    romeo.post()
    time.sleep(0.2)
    romeo.close()
    assert errors_for(juliet, "r1", 4.5) == []
