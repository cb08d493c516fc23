# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The scenarios that Prosody tries its BOSH module with, told in our own words. Theirs
never restarts the stream, because no stream is behind it; ours has to."""
import pytest

from bosh import body_bytes, message
from strictxml import BIND, CLIENT, SASL, STREAMS

ANONYMOUS = "<auth xmlns='%s' mechanism='ANONYMOUS'/>" % SASL
BIND_IQ = "<iq type='set' id='bind' xmlns='jabber:client'><bind xmlns='%s'/></iq>" % BIND


@pytest.fixture
def at_999(site, fake, new_session):
    """Its last rid is 999; nothing is pending."""
    session = new_session(site.main)
    session.rid = 999
    return session.open("echo.fake"), fake.connection()


def test_endpoint_is_reachable(site):
    assert site.main.wire().ask(None, method="GET").status == 200


def test_past_rid_gets_the_past_answer(at_999):
    session, connection = at_999
    poll = session.bytes()
    wire = session.endpoint.wire()
    wire.send(poll)
    wire.held()
    other = session.endpoint.wire()
    other.send(session.bytes(message("echo.fake", "at 1001")))
    first = wire.answer()
    assert session.endpoint.wire().ask(poll).raw == first.raw
    connection.wait_bodies("at 1001")
    assert session.ask("", type="terminate").status == 200
    assert session.rid == 1002
    connection.wait_ended()
    other.close()


def test_restart_and_bind_may_arrive_in_the_wrong_order(at_999):
    """The bind request waits for the turn of the one before it, and so does its answer."""
    session, connection = at_999
    session.authenticate("u", "p")
    restart = session.bytes(to="echo.fake", xmpp_restart="true")
    bind = session.bytes(BIND_IQ)
    early, late = session.endpoint.wire(), session.endpoint.wire()
    early.send(bind)
    early.held(0.2)
    assert len(connection.headers) == 1
    late.send(restart)
    stanzas, wires = [], [late, early]
    while len(stanzas) < 2:
        stanzas += (wires.pop(0).answer() if wires else session.ask()).stanzas
    assert [s.tag for s in stanzas] == ["{%s}features" % STREAMS, "{%s}iq" % CLIENT]
    early.close()
    late.close()


def test_auth_in_the_creation_request_then_restart_and_bind(site, fake, new_session):
    session = new_session(site.main)
    session.open("echo.fake", payload=ANONYMOUS)
    session.wait_stanza("{%s}success" % SASL)
    session.restart()
    assert session.features.find("{%s}bind" % BIND) is not None
    session.bind("x")
    assert session.jid.endswith("echo.fake/x")


def test_requests_sent_at_the_same_moment_work(at_999):
    session, connection = at_999
    data = [session.bytes(message("echo.fake", text)) for text in ("two", "three")]
    wires = [session.endpoint.wire() for _ in data]
    for wire, request in zip(wires, data):
        wire.send(request)
    assert session.gather(2, *wires) == ["two", "three"]
    for wire in wires:
        wire.close()


def test_aborted_request_may_be_sent_again(at_999):
    """Sent twice, the first copy aborted: the second gets what both waited for."""
    session, connection = at_999
    data = session.bytes()
    first = session.endpoint.wire()
    first.send(data)
    first.held()
    first.close()
    second = session.endpoint.wire()
    second.send(data)
    connection.push("for 1000")
    answer = second.answer()
    assert answer.type is None and answer.texts() == ["for 1000"]
    assert session.endpoint.wire().ask(data).raw == answer.raw


def test_rid_beyond_the_window_fails(at_999):
    session, connection = at_999
    assert session.ask(rid=1002).type == "terminate"
    connection.wait_ended()


def test_every_rid_of_the_window_succeeds_again(at_999):
    session, connection = at_999
    data = [session.bytes(message("echo.fake", text)) for text in ("a", "b")]
    answers = [session.endpoint.wire().ask(d) for d in data]
    assert session.endpoint.wire().ask(data[0]).raw == answers[0].raw
    assert answers[0].body.find("{%s}message" % CLIENT) is not None


def test_rid_0_is_refused(site):
    answer = site.main.wire().ask(body_bytes(rid=0, to="echo.fake", wait=5, hold=1, ver="1.6"))
    assert (answer.type, answer.condition) == ("terminate", "bad-request")
