# Licensed under the Apache License, Version 2.0; see LICENSE.
"""XEP-0124, section 16: several streams in one session, where the administrator allows it."""
import pytest

from bosh import message
from strictxml import BIND, CLIENT, SASL, STREAMS
from waiting import until

SESSION_ATTRIBUTES = ("sid", "requests", "polling", "hold", "inactivity", "maxpause", "accept",
                      "charsets", "ver", "wait")
ERROR = ("<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
         "</stream:stream>")


@pytest.fixture
def session(site, fake, new_session):
    """A session with one stream, its features taken."""
    made = new_session(site.streams).open("echo.fake")
    made.first = made.created.body.get("stream")
    made.connection = fake.connection()
    return made


def add(session, fake, to="echo.fake", **attrs):
    """(name, connection) of one stream more, whose features were taken."""
    before = len(fake.since_mark())
    answer = session.ask(to=to, xml_lang="en", xmpp_version="1.0", **attrs)
    assert answer.type is None and answer.body.get("stream"), answer
    session.added = answer
    assert answer.body.get("authid") is None
    if not session.inbox:
        session.ask()
    features = session.wait_stanza("{%s}features" % STREAMS)
    assert features is not None
    connection = fake.since_mark()[before]
    assert session.answers[-1].body.get("authid") == "stream-%d-1" % connection.number
    return answer.body.get("stream"), connection


@pytest.fixture
def both(session, fake):
    """(session, [names], [connections]) with two streams."""
    name, connection = add(session, fake)
    return session, [session.first, name], [session.connection, connection]


# ---- 16.2, 16.3 --------------------------------------------------------------------------------


def test_first_stream_is_named_where_several_are_allowed(session):
    assert session.first and len(session.first) >= 16


def test_no_stream_is_named_where_only_one_is_allowed(site, fake, new_session):
    assert new_session(site.least).open("echo.fake").created.body.get("stream") is None


def test_names_of_streams_are_never_the_same(site, fake, new_session):
    names = [new_session(site.streams).open("echo.fake").created.body.get("stream")
             for _ in range(10)]
    assert len(set(names)) == 10
    for a, b in zip(names, names[1:]):
        assert sum(x == y for x, y in zip(a, b)) < len(a) / 2


def test_stream_is_added_and_answered_with_its_name(both, fake):
    session, names, connections = both
    body = session.added.body
    assert names[1] != names[0]
    assert [a for a in SESSION_ATTRIBUTES if body.get(a) is not None] == []
    assert body.get("from") in (None, "echo.fake")
    assert body.get("{urn:xmpp:xbosh}version") == "1.0"
    assert connections[1].headers[0]["to"] == "echo.fake"
    assert connections[0] is not connections[1]


def test_added_stream_may_go_to_another_domain(session, fake):
    name, connection = add(session, fake, to="crumbs.fake", from_="u@crumbs.fake")
    assert connection.headers[0]["to"] == "crumbs.fake"
    assert connection.headers[0].get("from") == "u@crumbs.fake"


def test_terms_in_a_request_for_a_stream_are_ignored(session, fake):
    name, connection = add(session, fake, ver="1.0", content="text/html", hold=0, wait=0)
    assert session.added.header("Content-Type") == "text/xml; charset=utf-8"
    held = session.post()
    held.held(0.2)  # no polling session


def test_request_for_a_stream_is_an_empty_one_where_several_are_not_allowed(site, fake,
                                                                            new_session):
    session = new_session(site.least).open("echo.fake")
    connection = fake.connection()
    held = session.post(to="crumbs.fake")
    held.held(0.2)
    connection.push("as ever")
    answer = session.collect()
    assert answer.texts() == ["as ever"] and answer.body.get("stream") is None
    assert len(fake.since_mark()) == 1


def test_stream_to_a_domain_that_is_not_served_is_refused_and_the_session_lives(session, fake):
    answer = session.ask(to="never.fake")
    assert (answer.type, answer.condition) == ("terminate", "host-unknown")
    assert answer.body.get("stream") not in (None, session.first)
    session.ended = None
    assert session.ask(message("echo.fake", "on"), stream=session.first).texts() == ["on"]


def test_answer_with_the_name_can_be_repeated(session, fake):
    data = session.bytes(to="echo.fake", xmpp_version="1.0")
    first = session.endpoint.wire().ask(data)
    assert first.body.get("stream")
    assert session.endpoint.wire().ask(data).raw == first.raw
    until(lambda: len(fake.since_mark()) == 2, 5, "the second stream")
    assert len(fake.since_mark()) == 2


# ---- 16.4 ----------------------------------------------------------------------------------------


def test_payload_goes_to_the_stream_that_is_named(both):
    session, names, connections = both
    session.ask(message("echo.fake", "to the second"), stream=names[1])
    session.ask(message("echo.fake", "to the first"), stream=names[0])
    connections[0].wait_bodies("to the first")
    connections[1].wait_bodies("to the second")


def test_payload_without_a_name_goes_to_all(both):
    session, names, connections = both
    session.ask(message("echo.fake", "to all"))
    for connection in connections:
        connection.wait_bodies("to all")


def test_answers_name_their_stream_and_never_mix(both):
    session, names, connections = both
    held = session.hold()
    held.held()
    for n in range(3):
        for connection in connections:
            connection.push("%d.%d" % (connections.index(connection), n))
    seen = []
    while len(seen) < 6:
        session.hold()
        answer = session.collect()
        own = {text.split(".")[0] for text in answer.texts()}
        assert len(own) <= 1, "payloads of two streams in one answer"
        if own:
            assert answer.body.get("stream") == names[int(own.pop())]
        seen += answer.texts()
    assert sorted(seen) == ["%d.%d" % (i, n) for i in range(2) for n in range(3)]


def test_empty_answer_names_no_stream(both):
    session, names, connections = both
    first = session.post()
    first.held()
    session.post()
    answer = session.collect()
    assert answer.stanzas == [] and answer.body.get("stream") is None


def test_name_on_an_empty_request_is_ignored(both):
    session, names, connections = both
    session.post(stream="no-such-stream")
    connections[1].push("x")
    assert session.collect().texts() == ["x"]


def test_unknown_name_is_item_not_found(both):
    session, names, connections = both
    answer = session.ask(message("echo.fake", "x"), stream="no-such-stream")
    assert (answer.type, answer.condition) == ("terminate", "item-not-found")
    for connection in connections:
        connection.wait_ended()
        assert connection.bodies() == []


def test_payload_for_a_stream_just_closed_is_dropped(both):
    session, names, connections = both
    session.ask(type="terminate", stream=names[1])
    session.ended = None
    connections[1].wait_ended()
    session.post(message("echo.fake", "too late"), stream=names[1])
    session.post(message("echo.fake", "in time"), stream=names[0])
    session.wait_message("in time")
    assert connections[1].bodies() == []


def test_restart_is_of_the_stream_that_is_named(both):
    session, names, connections = both
    session.post("<auth xmlns='%s' mechanism='ANONYMOUS'/>" % SASL, stream=names[1])
    session.wait_stanza("{%s}success" % SASL)
    session.post(to="echo.fake", xmpp_restart="true", stream=names[1])
    features = session.wait_stanza("{%s}features" % STREAMS)
    assert features.find("{%s}bind" % BIND) is not None
    assert [len(c.headers) for c in connections] == [1, 2]


# ---- 16.5, 16.6 ------------------------------------------------------------------------------------


def test_one_stream_is_closed_and_the_other_lives(both):
    session, names, connections = both
    answer = session.ask(message("echo.fake", "bye"), type="terminate", stream=names[0])
    assert (answer.type, answer.condition) == ("terminate", None)
    assert answer.body.get("stream") == names[0]
    session.ended = None
    connections[0].wait_ended()
    assert connections[0].bodies() == ["bye"] and connections[0].stream_closed
    assert session.ask(message("echo.fake", "on"), stream=names[1]).texts() == ["on"]
    assert connections[1].bodies() == ["on"]


def test_closing_the_last_stream_ends_the_session(both):
    session, names, connections = both
    session.ask(type="terminate", stream=names[0])
    assert session.ask(type="terminate", stream=names[1]).type == "terminate"
    for connection in connections:
        connection.wait_ended()
    assert session.ask(message("echo.fake", "x")).type == "terminate"


def test_terminate_without_a_name_closes_all(both):
    session, names, connections = both
    answer = session.ask("<presence type='unavailable' xmlns='jabber:client'/>", type="terminate")
    assert answer.type == "terminate" and answer.body.get("stream") is None
    for connection in connections:
        connection.wait_ended()
        assert [s.tag for s in connection.stanzas] == ["{%s}presence" % CLIENT]


def test_error_of_one_stream_closes_only_that_one(both):
    session, names, connections = both
    connections[1].send("<message from='echo.fake'><body>last</body></message>" + ERROR)
    session.post()
    answer = session.collect()
    texts = answer.texts()
    if answer.type is None:
        answer = session.ask()
        texts += answer.texts()
    assert (answer.type, answer.condition) == ("terminate", "remote-stream-error")
    assert answer.body.get("stream") == names[1] and texts == ["last"]
    session.ended = None
    assert session.ask(message("echo.fake", "on"), stream=names[0]).texts() == ["on"]


def test_breach_ends_the_session_with_all_its_streams(both):
    session, names, connections = both
    answer = session.ask(rid=session.rid + 100)
    assert answer.type == "terminate" and answer.body.get("stream") is None
    for connection in connections:
        connection.wait_ended()
