# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Mistakes found by reading other managers' sources. Each is a test here, so that it is
not made again."""
import pytest

from bosh import body_bytes, message
from strictxml import SASL, STREAMS
from waiting import until


@pytest.fixture
def opened(site, fake, new_session):
    return new_session(site.main).open("echo.fake"), fake.connection()


# ---- rids ------------------------------------------------------------------------------------


def test_early_request_sent_twice_before_its_turn(opened):
    """ejabberd: a repeated rid of the future ended the session."""
    session, connection = opened
    first, second = [session.bytes(message("echo.fake", t)) for t in ("first", "second")]
    wires = [session.endpoint.wire() for _ in range(3)]
    wires[0].send(second)
    wires[0].held()
    wires[1].send(second)
    assert wires[0].answer().type == "error"  # its place was taken
    wires[2].send(first)
    assert session.gather(2, wires[2], wires[1]) == ["first", "second"]
    connection.wait_bodies("first", "second")
    for wire in wires:
        wire.close()


def test_rid_beyond_the_window_really_ends_the_session(opened):
    """Prosody: the client was told so, and the session lived on."""
    session, connection = opened
    expected = session.rid + 1
    assert session.ask(rid=session.rid + 50).type == "terminate"
    connection.wait_ended()
    again = session.endpoint.wire().ask(session.bytes(message("echo.fake", "x"), rid=expected))
    assert (again.type, again.condition) == ("terminate", "item-not-found")
    assert connection.bodies() == []


def test_sid_without_a_rid_is_a_bad_request(opened):
    """Prosody: arithmetic on nothing, HTTP 500."""
    session, connection = opened
    answer = session.endpoint.wire().ask(body_bytes(sid=session.sid))
    assert (answer.status, answer.type, answer.condition) == (200, "terminate", "bad-request")
    assert session.ask(message("echo.fake", "alive")).texts() == ["alive"]


@pytest.mark.parametrize("start", [2 ** 31 - 2, 2 ** 32 - 2, 2 ** 53 - 3],
                         ids=["2^31", "2^32", "2^53"])
def test_order_holds_where_narrower_numbers_end(site, fake, new_session, start):
    """Openfire compares rids as 32 bits. The last of ours is the greatest that there is: both
    have to be held, because none can follow."""
    session = new_session(site.wide)
    session.rid = start
    session.open("echo.fake", hold=2)
    connection = fake.connection()
    early, late = site.wide.wire(), site.wide.wire()
    data = [session.bytes(message("echo.fake", text)) for text in ("1", "2")]
    early.send(data[1])
    early.held()
    late.send(data[0])
    assert session.gather(2, late, early) == ["1", "2"]
    connection.wait_bodies("1", "2")
    early.close()
    late.close()


def test_rid_2_to_the_31_away_is_beyond_the_window(opened):
    session, connection = opened
    assert session.ask(rid=session.rid + 2 ** 32 + 1).condition == "item-not-found"
    connection.wait_ended()


def test_early_payload_is_not_forwarded_before_its_turn(opened):
    """Tigase, Punjab and Metronome send it at once."""
    session, connection = opened
    first, second = [session.bytes(message("echo.fake", t)) for t in ("1", "2")]
    early = session.endpoint.wire()
    early.send(second)
    early.held(0.3)
    assert connection.bodies() == []
    session.endpoint.wire().ask(first)
    connection.wait_bodies("1", "2")
    early.close()


# ---- pauses ----------------------------------------------------------------------------------


def test_pause_is_answered_itself_and_what_came_goes_down(opened):
    """ejabberd: no answer to the pause, and stanzas for the client went to the server."""
    session, connection = opened
    session.hold().held()
    pausing = session.post(pause=60)
    session.collect()
    assert pausing.answer().stanzas == []
    session.pending.clear()
    connection.push("for the client")
    assert session.ask().texts() == ["for the client"]
    assert connection.bodies() == []


def test_pause_is_capped(opened):
    session, connection = opened
    limit = int(session.created.body.get("maxpause"))
    assert session.ask(pause=limit).type is None
    assert session.ask(pause=limit + 1).condition == "policy-violation"
    connection.wait_ended()


def test_inactivity_is_back_to_normal_after_a_pause(site, fake, new_session):
    """MongooseIM: the pause's length remained for good."""
    session = new_session(site.short).open("echo.fake")
    connection = fake.connection()
    assert session.ask(pause=10).type is None
    assert session.ask(message("echo.fake", "back")).texts() == ["back"]
    connection.wait_ended(2 + 2.5)
    assert connection.stream_closed


# ---- acknowledgements, malformed input ---------------------------------------------------------


@pytest.mark.parametrize("ack", ["0", "1", "-1", "x", "", "99999999999999999999", "ahead"])
def test_acknowledgement_of_something_impossible_harms_nothing(site, fake, new_session, ack):
    """MongooseIM crashes if the answer is not kept any more."""
    session = new_session(site.main).open("echo.fake", ack=1)
    for n in range(4):
        session.ask(message("echo.fake", "n%d" % n))
    value = session.rid + 1000 if ack == "ahead" else ack
    assert session.ask(message("echo.fake", "on"), ack=value).status == 200
    if "on" not in [t for a in session.answers for t in a.texts()]:
        session.wait_message("on")
    fake.connection().wait_bodies("n0", "n1", "n2", "n3", "on")


def test_malformed_creation_is_a_bad_request_document(site):
    """MongooseIM: HTTP 500."""
    good = body_bytes(rid=1000, to="echo.fake", wait=5, hold=1, ver="1.6")
    for bad in (good[:-1], good.replace(b"wait='5'", b"wait='soon'")):
        answer = site.main.wire().ask(bad, headers=[])
        assert answer.status in (200, 400) and answer.raw.startswith(b"<body ")
        assert b"condition='bad-request'" in answer.raw


def test_creation_without_wait_and_hold_works(site, fake, new_session):
    """MongooseIM and Openfire crash without hold, Metronome without wait. The text wants both in
    a session request; that one is missing is no error here, on purpose: what it means is clear,
    and a client that forgot it is served."""
    answer = new_session(site.main).create("echo.fake", wait=None, hold=None)
    assert answer.type is None and answer.body.get("sid")
    assert 0 < int(answer.body.get("wait")) <= 60 and answer.body.get("hold") == "1"


# ---- replay ------------------------------------------------------------------------------------


def test_lost_answer_to_a_restart_is_replayed_byte_by_byte(opened):
    """Openfire does not keep it, and writes the others anew."""
    session, connection = opened
    session.authenticate("u", "p")
    data = session.bytes(to="echo.fake", xmpp_restart="true")
    lost = session.endpoint.wire()
    lost.send(data)
    until(lambda: len(connection.headers) == 2, 5, "the restart")
    until(lost.has_input, 5, "the answer")
    lost.close()  # without reading it
    first = session.endpoint.wire().ask(data)
    assert first.body.find("{%s}features" % STREAMS) is not None
    assert session.endpoint.wire().ask(data).raw == first.raw
    assert len(connection.headers) == 2


def test_copy_that_differs_is_not_processed(opened):
    """Who guesses a rid that was used learns or changes nothing by it."""
    session, connection = opened
    first = session.endpoint.wire().ask(session.bytes(message("echo.fake", "true")))
    forged = session.bytes(message("echo.fake", "forged"), rid=session.rid, type="terminate")
    assert session.endpoint.wire().ask(forged).raw == first.raw
    assert session.ask(message("echo.fake", "next")).texts() == ["next"]
    connection.wait_bodies("true", "next")


def test_lost_empty_answer_is_replayed(opened):
    session, connection = opened
    poll = session.bytes()
    old = session.endpoint.wire()
    old.send(poll)
    old.held()
    other = session.post(message("echo.fake", "x"))
    first = old.answer()
    assert session.endpoint.wire().ask(poll).raw == first.raw
    other.close()


# ---- what a client must not be able to set -------------------------------------------------------


@pytest.mark.parametrize("hold", [0, 1, 2, 4])
def test_hold_is_not_more_than_asked_for(site, fake, new_session, hold):
    """Tigase and MongooseIM answer with the greater of both."""
    body = new_session(site.wide).create("echo.fake", hold=hold).body
    assert int(body.get("hold")) == min(hold, 2)


@pytest.mark.parametrize("content", [
    "text/html&#13;&#10;X-Evil: 1", "text/html&#10;", "text/plain&#9;x", "text/html; a=&quot;b",
    "nonsense", "text/", "/html", "text/html,text/xml", "te xt/html", "text/x" + "x" * 200,
    "text/h\u00e9"], ids=range(11))
def test_content_that_is_no_media_type_never_becomes_a_header(site, fake, content):
    """Tigase puts it into the header as it is."""
    data = body_bytes(rid=1000, to="echo.fake", wait=5, hold=1, ver="1.6", content="CONTENT")
    answer = site.main.wire().ask(data.replace(b"CONTENT", content.encode()))
    assert (answer.status, answer.condition) == (200, "bad-request")
    assert answer.header("X-Evil") is None
    assert answer.header("Content-Type") == "text/xml; charset=utf-8"
    assert fake.since_mark() == []


def test_limits_that_a_client_states_are_not_taken_over(site, fake, new_session):
    """Punjab uses inactivity, window, wait and hold of the client without a bound."""
    session = new_session(site.main)
    body = session.create("echo.fake", wait=999999, hold=999999, inactivity=999999,
                          requests=1000, window=1000, polling=0, maxpause=999999).body
    own = {name: body.get(name) for name in
           ("wait", "hold", "requests", "inactivity", "polling", "maxpause")}
    assert own == {"wait": "60", "hold": "1", "requests": "2", "inactivity": "60",
                   "polling": "5", "maxpause": "120"}
    assert session.ask(rid=session.rid + 10).condition == "item-not-found"


def test_unknown_attributes_do_not_reach_the_stream_header(site, fake, new_session):
    """node-xmpp-bosh copies what the client says into it."""
    session = new_session(site.main)
    session.create("echo.fake", stream_attrs='{"evil": "x", "to": "other"}', id="evil",
                   xmpp_evil="x")
    header = fake.connection().headers[0]
    assert header["to"] == "echo.fake"
    assert "evil" not in str(header) and "stream_attrs" not in str(header)


def test_charset_of_the_client_changes_no_text(site, fake, new_session):
    """Punjab encodes its answers with it and loses what does not fit."""
    session = new_session(site.main).open("echo.fake", charset="us-ascii", charsets="latin1")
    text = "\u00fc\u20ac\U0001f600"
    answer = session.ask(message("echo.fake", text))
    assert answer.texts() == [text]
    assert answer.header("Content-Length") == str(len(answer.raw))
    assert answer.header("Content-Type") == "text/xml; charset=utf-8"


def test_login_failure_is_no_end_of_the_session(opened):
    session, connection = opened
    assert session.authenticate("u", "wrong").tag == "{%s}failure" % SASL
    assert session.authenticate("u", "right").tag == "{%s}success" % SASL
