# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The scenarios that Punjab, a manager in front of other people's servers as this one is,
tries itself with, told in our own words."""
import threading

import pytest

from bosh import message
from keys import Keys
from strictxml import CLIENT, STREAMS
from waiting import until

STREAM_ERRORS = "urn:ietf:params:xml:ns:xmpp-streams"


@pytest.fixture
def opened(site, fake, new_session):
    return new_session(site.main).open("echo.fake"), fake.connection()


@pytest.fixture
def short(site, fake, new_session):
    return new_session(site.short).open("echo.fake"), fake.connection()


# ---- XEP-0124 ------------------------------------------------------------------------------


def test_session_is_created(opened):
    session, connection = opened
    assert session.sid and session.created.body.get("wait")
    assert connection.headers[0]["to"] == "echo.fake"


def test_listed_domain_is_served_and_another_is_not(site, fake, new_session):
    assert new_session(site.main).create("echo.fake").type is None
    answer = new_session(site.main).create("not-on-the-list.example")
    assert (answer.status, answer.condition) == (200, "host-unknown")
    assert len(fake.since_mark()) == 1


def test_session_that_timed_out_is_not_found(short):
    session, connection = short
    connection.wait_ended(8)
    answer = session.ask()
    assert (answer.type, answer.condition) == ("terminate", "item-not-found")


@pytest.mark.parametrize("waiting", [True, False], ids=["waiting", "nobody-waits"])
def test_stream_error_is_relayed_word_for_word(opened, waiting):
    session, connection = opened
    if waiting:
        session.hold().held()
    connection.send("<stream:error><restricted-xml xmlns='%s'/><text xml:lang='en' xmlns='%s'>"
                    "no &lt;&amp;&gt;</text><app xmlns='urn:app'>more</app></stream:error>"
                    "</stream:stream>" % (STREAM_ERRORS, STREAM_ERRORS))
    if not waiting:
        connection.wait_ended()
        session.post()
    answer = session.collect()
    assert (answer.type, answer.condition) == ("terminate", "remote-stream-error")
    error = answer.body.find("{%s}error" % STREAMS)
    assert [c.tag for c in error] == ["{%s}restricted-xml" % STREAM_ERRORS,
                                      "{%s}text" % STREAM_ERRORS, "{urn:app}app"]
    assert [c.text for c in error] == [None, "no <&>", "more"]


def test_payload_of_the_terminate_reaches_the_server(opened):
    session, connection = opened
    session.terminate(message("echo.fake", "last words"))
    connection.wait_ended()
    assert connection.bodies() == ["last words"] and connection.stream_closed


def test_both_ends_close_at_the_same_moment(site, fake, new_session):
    """Whoever is first, the client sees an end, and nobody is upset."""
    since = len(site.httpd.log_text())
    for n in range(5):
        fake.mark()
        session = new_session(site.main).open("echo.fake")
        connection = fake.connection()
        ending = threading.Thread(target=connection.send, args=("</stream:stream>",))
        ending.start()
        answers = session.terminate("")
        ending.join()
        assert "terminate" in [a.type for a in answers]
        connection.close()
        connection.wait_ended()
    assert not site.httpd.loud_lines(since)


# ---- key sequences ---------------------------------------------------------------------------


@pytest.fixture
def keyed(site, fake, new_session):
    keys = Keys()
    session = new_session(site.main).open("echo.fake", newkey=keys.next())
    return session, keys, fake.connection()


def refused(session, connection, **attrs):
    answer = session.ask(message("echo.fake", "never"), **attrs)
    assert (answer.type, answer.condition) == ("terminate", "item-not-found")
    connection.wait_ended()
    assert "never" not in connection.bodies()


def test_right_keys_are_accepted(keyed):
    session, keys, connection = keyed
    for n in range(4):
        assert session.ask(message("echo.fake", "k%d" % n), key=keys.next()).texts() == ["k%d" % n]


def test_missing_key_ends_the_session(keyed):
    session, keys, connection = keyed
    session.ask(message("echo.fake", "right"), key=keys.next())
    refused(session, connection)


def test_wrong_key_ends_the_session(keyed):
    session, keys, connection = keyed
    keys.next()
    refused(session, connection, key=keys.next())


def test_key_in_a_session_without_keys_ends_it(opened):
    session, connection = opened
    refused(session, connection, key=Keys().next())


def test_case_of_keys_does_not_matter(site, fake, new_session):
    """The next key is the hash of the text as it was sent, whatever its case."""
    keys = Keys()
    session = new_session(site.main).open("echo.fake", newkey=keys.next().upper())
    assert session.ask(message("echo.fake", "a"), key=keys.next()).texts() == ["a"]
    upper = Keys(upper=True)
    session = new_session(site.main).open("echo.fake", newkey=upper.next().lower())
    for n in range(3):
        assert session.ask(message("echo.fake", "b%d" % n), key=upper.next()).texts() == ["b%d" % n]


def test_repeat_with_another_key_is_not_answered(keyed):
    """Who saw a sid and a rid on their way learns no answer by them."""
    session, keys, connection = keyed
    key = keys.next()
    data = session.bytes(message("echo.fake", "x"), key=key)
    first = session.endpoint.wire().ask(data)
    assert session.endpoint.wire().ask(data).raw == first.raw
    answer = session.endpoint.wire().ask(data.replace(key.encode(), b"0" * 40))
    assert (answer.type, answer.condition) == ("terminate", "item-not-found")
    connection.wait_ended()


def test_new_sequence_of_keys_is_switched_to(keyed):
    session, keys, connection = keyed
    fresh = Keys(seed="another")
    assert session.ask(message("echo.fake", "a"), key=keys.next(), newkey=fresh.next()).type is None
    assert session.ask(message("echo.fake", "b"), key=fresh.next()).texts() == ["b"]
    refused(session, connection, key=keys.next())


# ---- what the server does ---------------------------------------------------------------------


def test_xml_of_the_server_that_is_none_ends_with_remote_connection_failed(opened):
    session, connection = opened
    session.hold().held()
    connection.send("<message from='echo.fake'><body>open</message>")
    answer = session.collect()
    assert (answer.type, answer.condition) == ("terminate", "remote-connection-failed")
    connection.wait_ended()


def test_late_features_are_sent_once(site, fake, new_session):
    session = new_session(site.main)
    wire = session.free_wire()
    wire.send(session.bytes(rid=session.rid, sid=None, to="late.fake", wait=1, hold=1, ver="1.6",
                            xmpp_version="1.0"))
    connection = fake.connection()
    created = wire.answer(4)  # by `wait` at the latest
    assert created.body.get("sid") and created.stanzas == []
    session.sid = created.body.get("sid")
    assert created.body.get("authid") is None
    data = session.bytes()
    wire.send(data)
    connection.greet()
    answer = wire.answer()
    assert [s.tag for s in answer.stanzas] == ["{%s}features" % STREAMS]
    assert answer.body.get("authid") == "stream-%d-1" % connection.number
    following = session.ask(message("late.fake", "x"))
    assert (following.texts(), following.body.get("authid")) == (["x"], None)
    assert wire.ask(data).raw == answer.raw


def test_rids_stay_in_step_after_many_repeats(opened):
    session, connection = opened
    for n in range(5):
        data = session.bytes(message("echo.fake", "r%d" % n))
        first = session.endpoint.wire().ask(data)
        assert first.texts() == ["r%d" % n]
        for _ in range(6):
            assert session.endpoint.wire().ask(data).raw == first.raw
    connection.wait_bodies(*["r%d" % n for n in range(5)])
    assert session.ask(message("echo.fake", "on")).texts() == ["on"]


# ---- XEP-0206 -----------------------------------------------------------------------------------


def test_creation_answer_has_the_attributes_of_xmpp(opened):
    created = opened[0].created
    assert created.body.get("{urn:xmpp:xbosh}version") == "1.0"
    assert created.body.get("{urn:xmpp:xbosh}restartlogic") == "true"
    assert b"xmlns:stream='http://etherx.jabber.org/streams'" in created.raw


def undelivered(session, connection, stanza):
    """What comes back for a stanza that the client never fetched."""
    connection.send(stanza + "<message from='probe@echo.fake' id='probe'><body>p</body></message>")
    connection.wait_ended(10)
    until(lambda: any(s.get("id") == "probe" for s in connection.stanzas), 1, "the probe's return")
    return [s for s in connection.stanzas if s.get("id") != "probe"]


def test_undelivered_presence_is_dropped(short):
    assert undelivered(*short, "<presence from='a@b.example/c' id='p1'/>") == []


def test_undelivered_message_comes_back_as_recipient_unavailable(short):
    back = undelivered(*short, "<message from='a@b.example/c' id='m1'><body>x</body></message>")
    assert [(s.tag, s.get("type"), s.get("to"), s.get("id")) for s in back] \
        == [("{%s}message" % CLIENT, "error", "a@b.example/c", "m1")]
    error = back[0].find("{%s}error" % CLIENT)
    assert error.get("type") == "wait"
    assert error[0].tag == "{urn:ietf:params:xml:ns:xmpp-stanzas}recipient-unavailable"


def test_undelivered_question_comes_back_as_service_unavailable(short):
    back = undelivered(*short, "<iq from='a@b.example/c' id='q1' type='get'><ping xmlns='urn:x'/>"
                               "</iq><iq from='a@b.example/c' id='q2' type='result'/>")
    assert [(s.tag, s.get("type"), s.get("to"), s.get("id")) for s in back] \
        == [("{%s}iq" % CLIENT, "error", "a@b.example/c", "q1")]
    error = back[0].find("{%s}error" % CLIENT)
    assert error.get("type") == "cancel"
    assert error[0].tag == "{urn:ietf:params:xml:ns:xmpp-stanzas}service-unavailable"


def test_undelivered_error_is_dropped(short):
    assert undelivered(*short, "<message from='a@b.example/c' id='e1' type='error'/>"
                               "<iq from='a@b.example/c' id='e2' type='error'/>") == []


def test_message_in_an_answer_that_nobody_read_comes_back(site, fake, new_session):
    session = new_session(site.short).open("echo.fake", wait=8)
    connection = fake.connection()
    wire = session.hold()
    wire.held()
    connection.send("<message from='a@b.example/c' id='unread'><body>x</body></message>")
    until(wire.has_input, 5, "the answer")
    connection.wait_ended(10)
    assert [(s.get("type"), s.get("to"), s.get("id")) for s in connection.stanzas] \
        == [("error", "a@b.example/c", "unread")]


def test_message_that_was_read_does_not_come_back(site, fake, new_session):
    """The client asked again: it has what came before."""
    session = new_session(site.short).open("echo.fake", wait=8)
    connection = fake.connection()
    session.hold().held()
    connection.send("<message from='a@b.example/c' id='read'><body>x</body></message>")
    assert session.collect().texts() == ["x"]
    wire = session.hold()
    wire.held()
    wire.close()
    session.pending.clear()
    connection.wait_ended(10)
    assert connection.stanzas == []
