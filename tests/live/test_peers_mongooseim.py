# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The scenarios that MongooseIM tries its BOSH listener with, told in our own words.
Differences on purpose: `hold='0'` asks for a polling session here, and an unknown sid or
domain ends no HTTP connection."""
import random
import time

import pytest

import seeds
from bosh import body_bytes, message
from prosody import ACCOUNTS, DOMAIN
from strictxml import CLIENT, STREAMS
from waiting import PATIENCE, stays_false, until

PRESENCE_GONE = "<presence type='unavailable' xmlns='jabber:client'/>"
ORIGIN = "https://chat.example"


@pytest.fixture(params=["main", "tls"])
def endpoint(request, site):
    return getattr(site, request.param)


@pytest.fixture
def pair(endpoint, new_session):
    return [new_session(endpoint).login(DOMAIN, user, ACCOUNTS[user])
            for user in ("romeo", "juliet")]


@pytest.fixture
def short(site, fake, new_session):
    """A session whose inactivity is 2 seconds, and its XMPP connection."""
    session = new_session(site.short).open("echo.fake", wait=8)
    return session, fake.connection()


# ---- creation and the HTTP around it ------------------------------------------------------


def test_no_session_is_created_where_no_domain_is_served(site, fake):
    answer = site.none.wire().ask(body_bytes(rid=1000, to="echo.fake", wait=5, hold=1, ver="1.8"))
    assert (answer.status, answer.type, answer.condition) == (200, "terminate", "host-unknown")
    assert answer.body.get("sid") is None and fake.since_mark() == []


def test_session_is_created_and_terminated(endpoint, fake, new_session):
    session = new_session(endpoint)
    answer = session.create("echo.fake")
    assert answer.body.get("sid") and answer.body.find("{%s}features" % STREAMS) is not None
    connection = fake.connection()
    assert len(fake.since_mark()) == 1
    assert session.terminate(PRESENCE_GONE)[0].type == "terminate"
    connection.wait_ended()
    assert [s.tag for s in connection.stanzas] == ["{%s}presence" % CLIENT]


def test_no_session_is_created_for_an_unknown_domain(endpoint, fake, new_session):
    answer = new_session(endpoint).create("unknown-domain.example")
    assert (answer.type, answer.condition) == ("terminate", "host-unknown")
    assert answer.body.get("sid") is None and fake.since_mark() == []


def test_higher_hold_than_allowed_is_cut_down(endpoint, fake, new_session):
    session = new_session(endpoint)
    assert session.create("echo.fake", hold=2).body.get("hold") == "1"
    connection = fake.connection()
    assert session.terminate("")[0].type == "terminate"
    connection.wait_ended()


def test_hold_of_0_makes_a_polling_session(endpoint, fake, new_session):
    session = new_session(endpoint).open("echo.fake", hold=0)
    assert session.created.body.get("hold") == "0"
    started = time.monotonic()
    assert session.ask(message("echo.fake", "x")).type is None
    assert time.monotonic() - started < 2 * PATIENCE


def test_poll_of_a_polling_session_is_answered_at_once(site, fake, new_session):
    """Although `wait` is long."""
    session = new_session(site.short).open("echo.fake", hold=0, wait=8)
    time.sleep(1.1)  # `polling` is 1
    started = time.monotonic()
    answer = session.ask()
    assert (answer.type, answer.stanzas) == (None, [])
    assert time.monotonic() - started < 2 * PATIENCE


def test_preflight_is_answered(site):
    wire = site.cors.wire()
    wire.send(None, method="OPTIONS", headers=[
        ("Origin", ORIGIN), ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type")])
    answer = wire.answer()
    assert answer.status in (200, 204) and answer.raw == b""
    assert answer.header("Access-Control-Allow-Origin") == ORIGIN
    assert "POST" in answer.header("Access-Control-Allow-Methods")
    assert "content-type" in answer.header("Access-Control-Allow-Headers").lower()
    assert int(answer.header("Access-Control-Max-Age")) >= 600


def test_get_is_answered(endpoint):
    assert endpoint.wire().ask(None, method="GET").status == 200


def test_post_without_a_body_is_400(endpoint):
    assert endpoint.wire().ask(b"").status == 400


def test_put_is_405(endpoint):
    assert endpoint.wire().ask(b"<body/>", method="PUT").status == 405


# ---- chat -----------------------------------------------------------------------------------


def test_interleaved_requests_are_delivered_in_order(pair):
    sender, receiver = pair
    while sender.pending:
        sender.collect()
    texts = ["1st", "2nd", "3rd", "4th"]
    data = [sender.bytes(message(receiver.jid, text)) for text in texts]
    wires = [sender.endpoint.wire() for _ in data]
    wires[1].send(data[1])
    for n in (0, 2, 3):
        wires[n].send(data[n])
        wires[max(n - 1, 0)].answer()  # the one before is released
    receiver.hold()
    assert [receiver.wait_message().findtext("{%s}body" % CLIENT) for _ in texts] == texts
    for wire in wires:
        wire.close()
    assert sender.iq("<ping xmlns='urn:xmpp:ping'/>", "alive", "get").get("id") == "alive"


def test_message_both_ways(pair):
    for one, other in (pair, pair[::-1]):
        other.hold()
        one.send_message(other.jid, "hello")
        assert other.wait_message("hello").get("from") == one.jid


def test_text_that_needs_escaping_survives_both_ways(pair):
    text = "Hi! & < > ]]> ' \""
    for one, other in (pair, pair[::-1]):
        one.send_message(other.jid, text)
        other.wait_message(text)


def test_attribute_that_needs_escaping_survives_both_ways(pair):
    ident = "& < > ' \" \u00e9"
    for one, other in (pair, pair[::-1]):
        one.send_message(other.jid, "escaped", ident)
        assert other.wait_message("escaped").get("id") == ident


def test_rid_far_away_ends_the_session(endpoint, fake, new_session):
    session = new_session(endpoint).open("echo.fake")
    connection = fake.connection()
    assert session.ask(rid=session.rid + 999).type == "terminate"
    connection.wait_ended()
    assert endpoint.wire().ask(session.bytes()).type == "terminate"


def test_several_stanzas_in_one_body_are_all_delivered(pair):
    one, other = pair
    disco = ("<iq type='get' id='disco' to='%s' xmlns='jabber:client'>"
             "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>" % DOMAIN)
    one.post(message(other.jid, "a") + message(one.jid, "b") + message(other.jid, "c") + disco)
    result = one.receive(lambda s: s.get("id") == "disco")
    assert result.get("type") == "result"
    one.wait_message("b")
    assert [other.wait_message().findtext("{%s}body" % CLIENT) for _ in "ac"] == ["a", "c"]


def test_every_kind_of_stanza_is_delivered_in_jabber_client(pair):
    one = pair[0]
    one.send_message(one.jid, "m")
    assert one.wait_message("m").tag == "{%s}message" % CLIENT
    one.post("<presence xmlns='jabber:client'><status>s</status></presence>")
    one.receive(lambda s: s.tag == "{%s}presence" % CLIENT
                and s.findtext("{%s}status" % CLIENT) == "s")
    one.iq("<ping xmlns='urn:xmpp:ping'/>", "p", "get")


def test_stream_error_is_inside_the_terminate(endpoint, fake, new_session):
    session = new_session(endpoint).open("echo.fake")
    connection = fake.connection()
    wire = session.post("<message from='somebody@else.example' to='echo.fake' id='x' "
                        "xmlns='jabber:client'><body>x</body></message>")
    connection.wait_bodies("x")
    wire.answer()
    session.pending.clear()
    connection.send("<stream:error><invalid-from xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                    "</stream:error></stream:stream>")
    answer = session.ask()
    assert (answer.type, answer.condition) == ("terminate", "remote-stream-error")
    assert answer.body.find("{%s}error" % STREAMS)[0].tag.endswith("}invalid-from")
    connection.wait_ended()


# ---- time -----------------------------------------------------------------------------------


def test_session_without_a_request_ends(short):
    short[1].wait_ended(8)


def test_session_of_a_killed_client_lives_on_and_then_ends(short):
    session, connection = short
    session.hold().held()
    session.pending[0][1].reset()
    stays_false(lambda: connection.gone, 0.3, "the end of the session")
    connection.wait_ended(2 + 8)


def test_sending_while_a_poll_is_held_does_not_start_the_inactivity(short):
    session, connection = short
    session.post()
    session.send_message("echo.fake", "x")
    until(lambda: session.pending[0][1].has_input(), 5, "the poll to be answered")
    session.collect()
    if not session.pending:  # the echo was in time for the poll's answer
        session.hold()
    held = session.pending[0][1]
    ends = time.monotonic() + 4.2  # twice the inactivity
    while time.monotonic() < ends and not held.has_input():
        held.wait_readable(max(ends - time.monotonic(), 0))
        if held.has_input():  # the echo came as an answer of its own
            session.collect()
            held = session.hold()
    assert not connection.gone
    connection.push("there")
    session.wait_message("there")


def test_pause_answers_all_that_is_held(short):
    session, connection = short
    held = session.post()
    held.held()
    pausing = session.post(pause=10)
    assert held.answer().type is None and pausing.answer().type is None
    session.pending.clear()
    assert not connection.gone
    assert session.ask(message("echo.fake", "back")).texts() == ["back"]


def test_pause_too_long_ends_the_session(short):
    session, connection = short
    assert session.ask(pause=10000).type == "terminate"
    connection.wait_ended()


def test_pause_stops_the_running_inactivity(short):
    session, connection = short
    started = time.monotonic()
    assert session.ask(pause=10).type is None
    until(lambda: time.monotonic() - started > 3.4 or connection.gone, 8, "time to pass")
    assert not connection.gone
    assert session.ask(message("echo.fake", "here")).texts() == ["here"]


def test_empty_request_is_answered_within_wait(site, fake, new_session):
    session = new_session(site.main).open("echo.fake", wait=1)
    started = time.monotonic()
    assert session.ask().stanzas == []
    assert time.monotonic() - started < 1 + 1 * PATIENCE


# ---- acknowledgements -------------------------------------------------------------------------


@pytest.fixture
def acking(site, fake, new_session):
    session = new_session(site.main).open("echo.fake", ack=1)
    return session, fake.connection()


def test_stale_acknowledgement_is_reported(acking):
    session, connection = acking
    stale = session.rid
    session.ask(message("echo.fake", "answered"))
    answer = session.ask(ack=stale)
    assert answer.body.get("report") == str(stale + 1)
    assert int(answer.body.get("time")) >= 0


def test_request_sent_again_gets_the_identical_answer(acking):
    session, connection = acking
    data = session.bytes(message("echo.fake", "x"))
    first = session.endpoint.wire().ask(data)
    assert session.endpoint.wire().ask(data).raw == first.raw
    connection.wait_bodies("x")


def test_acknowledged_answers_are_not_kept(acking):
    session, connection = acking
    data = [session.bytes(message("echo.fake", "m%d" % n)) for n in range(3)]
    answers = [session.endpoint.wire().ask(d) for d in data]
    acked = session.rid - 1
    session.post(message("echo.fake", "m3"), ack=acked)
    session.wait_message("m3")
    assert session.endpoint.wire().ask(data[2]).raw == answers[2].raw
    assert session.endpoint.wire().ask(data[1]).condition == "item-not-found"


def test_answer_to_a_poll_acknowledges_what_came_meanwhile(acking):
    session, connection = acking
    poll = session.post()
    poll.held()
    session.send_message("echo.fake", "one")
    answer = session.collect()
    assert answer.body.get("ack") == str(session.rid)


# ---- at random ---------------------------------------------------------------------------------


def test_random_interleaving_with_a_tcp_user_keeps_the_order(site, fake, new_session):
    seed = seeds.choose()
    dice = random.Random(seed)
    session = new_session(site.main).open("echo.fake")
    connection = fake.connection()
    pushed, sent, seen = 0, 0, []
    for _ in range(150):
        move = dice.choice(("push", "send", "collect"))
        if move == "push":
            connection.push("p%d" % pushed)
            pushed += 1
        elif move == "send" and len(session.pending) < 2:
            session.send_message("echo.fake", "s%d" % sent)
            sent += 1
        elif session.pending and session.pending[0][1].has_input():
            seen += session.collect().texts()
        while len(session.pending) > 1:
            seen += session.collect().texts()
    deadline = time.monotonic() + 20 * PATIENCE
    while len(seen) < pushed + sent:
        assert time.monotonic() < deadline, "missing: %r" % seen
        session.hold()
        seen += session.collect().texts()
    assert [t for t in seen if t[0] == "p"] == ["p%d" % n for n in range(pushed)]
    assert [t for t in seen if t[0] == "s"] == ["s%d" % n for n in range(sent)]
    connection.wait_bodies(*["s%d" % n for n in range(sent)])


def test_listed_elsewhere_is_not_listed_here(site, fake, new_session):
    """What MongooseIM calls a host type without BOSH."""
    assert new_session(site.main).create("echo.fake").type is None
    answer = new_session(site.none).create("echo.fake")
    assert (answer.type, answer.condition) == ("terminate", "host-unknown")
