# Licensed under the Apache License, Version 2.0; see LICENSE.
"""XEP-0124 and XEP-0206 as a client sees them. Most tests use the scripted server,
which shows what arrived and when."""
import re
import time

import pytest

from bosh import Endpoint, body_bytes, message
from strictxml import BIND, SASL, STREAMS
from waiting import PATIENCE, at_best_within, until


@pytest.fixture
def opened(site, fake, new_session):
    """A session with the scripted server, its connection, nothing pending."""
    session = new_session(site.main).open("echo.fake")
    return session, fake.connection()


# ---- session creation ---------------------------------------------------------------


def test_creation_answer_has_all_attributes(site, fake, new_session):
    session = new_session(site.main)
    answer = session.create("echo.fake", wait=30, hold=1, ver="1.6")
    body = answer.body
    assert body.get("wait") == "30" and body.get("hold") == "1" and body.get("requests") == "2"
    assert body.get("inactivity") == "60" and body.get("polling") == "5"
    assert body.get("maxpause") == "120"
    assert body.get("ver") == "1.6"
    assert body.get("charsets") == "UTF-8"
    assert body.get("from") == "echo.fake"
    assert body.get("authid") == "stream-%d-1" % fake.connection().number
    assert body.get("{urn:xmpp:xbosh}version") == "1.0"
    assert body.get("{urn:xmpp:xbosh}restartlogic") == "true"
    assert body.get("type") is None


def test_features_come_with_the_creation_answer(site, fake, new_session):
    """libpurple and others depend on it."""
    answer = new_session(site.main).create("echo.fake")
    assert [s.tag for s in answer.stanzas] == ["{%s}features" % STREAMS]
    assert b"xmlns:stream=" in answer.raw


def test_creation_waits_for_a_slow_server_but_not_for_ever(site, fake, new_session):
    session = new_session(site.main)
    wire = session.free_wire()
    wire.send(body_bytes(rid=session.rid, to="late.fake", wait=60, hold=1, ver="1.11",
                         xmpp_version="1.0"))
    connection = fake.connection()
    wire.silent(0.3)
    connection.greet()
    answer = wire.answer(2)
    assert answer.body.get("sid") and answer.body.find("{%s}features" % STREAMS) is not None


@pytest.mark.parametrize("theirs, agreed", [
    ("1.6", "1.6"), ("1.9", "1.9"), ("1.10", "1.10"), ("1.11", "1.11"), ("1.12", "1.11"),
    ("1.99", "1.11"), ("2.0", "1.11")])
def test_version_is_the_lower_of_both(site, fake, new_session, theirs, agreed):
    answer = new_session(site.main).create("echo.fake", ver=theirs)
    assert answer.body.get("ver") == agreed


@pytest.mark.parametrize("wait, agreed", [("1", "1"), ("59", "59"), ("60", "60"), ("61", "60"),
                                          ("4294967297", "60")])
def test_wait_is_never_more_than_asked_nor_than_allowed(site, fake, new_session, wait, agreed):
    assert new_session(site.main).create("echo.fake", wait=wait).body.get("wait") == agreed


@pytest.mark.parametrize("where, hold, agreed", [
    ("main", 1, 1), ("main", 2, 1), ("main", 100, 1), ("wide", 2, 2), ("wide", 1, 1),
    ("wide", 9, 2)])
def test_hold_is_never_more_than_asked_nor_than_allowed(site, fake, new_session, where, hold,
                                                        agreed):
    body = new_session(getattr(site, where)).create("echo.fake", hold=hold).body
    assert int(body.get("hold")) == agreed
    assert int(body.get("requests")) == agreed + 1


def test_virtual_host_has_its_own_numbers(site, fake, new_session):
    body = new_session(site.short).create("echo.fake").body
    assert (body.get("inactivity"), body.get("maxpause"), body.get("wait"),
            body.get("polling")) == ("2", "10", "8", "1")


def test_sids_are_long_and_never_the_same(site, fake, new_session):
    sids = [new_session(site.main).create("echo.fake").body.get("sid") for _ in range(40)]
    assert len(set(sids)) == 40
    assert all(len(sid) >= 22 and re.fullmatch(r"[A-Za-z0-9_.~-]+", sid) for sid in sids)
    for a, b in zip(sids, sids[1:]):  # no counter, no time, no process in it
        common = sum(x == y for x, y in zip(a, b))
        assert common < len(a) * 2 / 3


def test_xmpp_attributes_are_found_by_namespace_whatever_the_prefix(site, fake, new_session):
    session = new_session(site.main).open("echo.fake")
    assert session.authenticate("u", "p").tag == "{%s}success" % SASL
    text = session.bytes(to="echo.fake").replace(
        b" sid=", b" xmlns:xn0='urn:xmpp:xbosh' xn0:restart='1' sid=", 1)
    answer = session.free_wire().ask(text)
    assert answer.body.find("{%s}features" % STREAMS).find("{%s}bind" % BIND) is not None


def test_attribute_called_xmpp_restart_in_another_namespace_means_nothing(site, fake,
                                                                          new_session):
    session = new_session(site.main).open("echo.fake", wait=1)
    connection = fake.connection()
    text = session.bytes(message("echo.fake", "no restart")).replace(
        b" sid=", b" xmlns:xmpp='urn:other' xmpp:restart='true' sid=", 1)
    assert session.free_wire().ask(text).texts() == ["no restart"]
    assert len(connection.headers) == 1


def test_from_of_the_client_goes_into_the_stream_header(site, fake, new_session):
    new_session(site.main).open("echo.fake", from_="u@echo.fake")
    header = fake.connection().headers[0]
    assert header.get("from") == "u@echo.fake"
    assert header.get("{http://www.w3.org/XML/1998/namespace}lang") == "en"


def test_payload_in_the_creation_request_is_forwarded(site, fake, new_session):
    session = new_session(site.main)
    session.create("echo.fake", payload=message("echo.fake", "early bird"))
    session.wait_message("early bird")
    fake.connection().wait_bodies("early bird")


# ---- HTTP ---------------------------------------------------------------------------


def check_headers(answer):
    assert answer.status == 200 and answer.reason == "OK"
    assert answer.header("Content-Type") == "text/xml; charset=utf-8"
    assert answer.header("Content-Length") == str(len(answer.raw))
    assert answer.header("Transfer-Encoding") is None
    assert answer.header("Content-Encoding") is None
    assert "no-store" in answer.header("Cache-Control")
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("Set-Cookie") is None


@pytest.mark.parametrize("accept", [None, "gzip, deflate, br"])
def test_answers_have_the_right_headers(site, fake, new_session, accept):
    headers = [("Accept-Encoding", accept)] if accept else []
    session = new_session(site.main)
    wire = site.main.wire()
    created = wire.ask(body_bytes(rid=session.rid, to="echo.fake", wait=1, hold=1, ver="1.11"),
                       headers=headers)
    check_headers(created)
    session.sid = created.body.get("sid")
    check_headers(wire.ask(session.bytes(), headers=headers))      # held, then empty
    check_headers(wire.ask(session.bytes(message("echo.fake", "x" * 5000)), headers=headers))
    check_headers(wire.ask(session.bytes(type="terminate"), headers=headers))
    check_headers(wire.ask(b"<nonsense", headers=headers))
    check_headers(wire.ask(session.bytes(), headers=headers))


# ---- order and repetition --------------------------------------------------------------


def test_request_that_arrives_before_its_turn_waits_for_it(opened):
    session, connection = opened
    first = session.bytes(message("echo.fake", "first"))
    second = session.bytes(message("echo.fake", "second"))
    late, early = session.free_wire(), session.endpoint.wire()
    early.send(second)
    early.silent(0.3)
    assert connection.bodies() == []
    late.send(first)
    assert session.gather(2, late, early) == ["first", "second"]
    connection.wait_bodies("first", "second")
    early.close()


def test_early_requests_are_forwarded_in_order_and_once(site, fake, new_session):
    """hold 2 gives a window of 3; sent backwards, each early one twice."""
    session = new_session(site.wide).open("echo.fake", hold=2)
    connection = fake.connection()
    data = [session.bytes(message("echo.fake", "part %d" % n)) for n in range(3)]
    wires = [site.wide.wire() for _ in range(5)]
    for wire, copy in zip(wires, (data[2], data[1], data[2], data[1])):
        wire.send(copy)
        wire.silent(0.1)  # which connection is read first is nobody's promise
    wires[4].send(data[0])
    connection.wait_bodies("part 0", "part 1", "part 2")
    for wire in wires:
        wire.close()


def test_early_request_is_answered_by_wait_even_if_its_turn_never_comes(site, fake, new_session):
    """A page reload leaves gaps: rid n never comes, n+1 is there. The client must
    not hang, and the session must not live for ever."""
    session = new_session(site.short).open("echo.fake", wait=1)
    connection = fake.connection()
    session.rid += 1
    wire = session.free_wire()
    started = time.monotonic()
    wire.send(session.bytes(message("echo.fake", "too early")))
    answer = wire.answer(3)
    assert answer.status == 200 and answer.texts() == []
    assert time.monotonic() - started < 2.5 * PATIENCE
    connection.wait_ended(6)
    assert connection.bodies() == []


@pytest.mark.parametrize("ahead", [3, 4, 1000, 2 ** 33])
def test_rid_beyond_the_window_ends_the_session(opened, ahead):
    session, connection = opened
    rid = session.rid
    answer = session.free_wire().ask(
        session.bytes(message("echo.fake", "too far"), rid=rid + ahead))
    assert (answer.type, answer.condition) == ("terminate", "item-not-found")
    connection.wait_ended()
    assert connection.stream_closed and connection.bodies() == []
    again = session.endpoint.wire().ask(session.bytes(rid=rid + 1))
    assert (again.type, again.condition) == ("terminate", "item-not-found")


def test_rid_too_old_to_be_repeated_is_item_not_found(opened):
    session, connection = opened
    old = session.rid - 1
    too_high = session.endpoint.wire().ask(body_bytes(rid=5, sid="unknown-sid"))
    answer = session.endpoint.wire().ask(session.bytes(rid=old))
    assert (answer.type, answer.condition) == ("terminate", "item-not-found")
    assert answer.raw == too_high.raw  # tells nothing to somebody who guesses


def test_last_rid_of_the_window_is_accepted(opened):
    session, connection = opened
    data = [session.bytes(message("echo.fake", t)) for t in ("a", "b")]
    wires = [session.endpoint.wire(), session.endpoint.wire()]
    wires[1].send(data[1])
    wires[0].send(data[0])
    connection.wait_bodies("a", "b")
    for wire in wires:
        wire.close()


def test_repeated_rid_gets_the_same_bytes_and_is_not_forwarded_again(opened):
    session, connection = opened
    data = session.bytes(message("echo.fake", "once"))
    first = session.endpoint.wire().ask(data)
    for _ in range(3):
        again = session.endpoint.wire().ask(data)
        assert again.raw == first.raw
    following = session.ask(message("echo.fake", "next"))
    assert following.texts() == ["next"]
    connection.wait_bodies("once", "next")


def test_every_answer_in_the_window_can_be_repeated(opened):
    session, connection = opened
    data, answers = [], []
    for n in range(2):
        data.append(session.bytes(message("echo.fake", "n%d" % n)))
        answers.append(session.endpoint.wire().ask(data[-1]))
    for request, answer in zip(data, answers):
        assert session.endpoint.wire().ask(request).raw == answer.raw
    connection.wait_bodies("n0", "n1")


def test_creation_restart_and_features_answers_can_be_repeated(site, fake, new_session):
    session = new_session(site.main).open("echo.fake")
    assert session.authenticate("u", "p").tag == "{%s}success" % SASL
    data = session.bytes(to="echo.fake", xmpp_restart="true")
    first = session.endpoint.wire().ask(data)
    assert first.body.find("{%s}features" % STREAMS) is not None
    assert session.endpoint.wire().ask(data).raw == first.raw
    assert len(fake.connection().headers) == 2


def test_repeated_rid_while_held_moves_the_hold(opened):
    """XEP-0124, 14.3: the old request gets a recoverable error, the new one waits."""
    session, connection = opened
    data = session.bytes()
    old, new = session.endpoint.wire(), session.endpoint.wire()
    old.send(data)
    old.silent(0.1)
    new.send(data)
    error = old.answer(1)
    assert (error.status, error.type, error.stanzas) == (200, "error", [])
    new.silent(0.1)
    connection.push("for the new one")
    assert new.answer(2).texts() == ["for the new one"]


# ---- hold and wait -------------------------------------------------------------------


def test_empty_request_is_held_for_wait_and_answered_empty(site, fake, new_session):
    session = new_session(site.main).open("echo.fake", wait=1)

    def wait_in_vain():
        started = time.monotonic()
        answer = session.ask()
        assert answer.type is None and answer.stanzas == []
        assert time.monotonic() - started > 0.9

    at_best_within(1.15, wait_in_vain)


def test_held_request_is_answered_the_moment_a_stanza_comes(opened):
    session, connection = opened

    def push_and_hold():
        connection.push("now")
        assert session.collect().texts() == ["now"]
        session.hold().held(0)

    session.hold().silent(0.2)
    at_best_within(0.1, push_and_hold)


def test_second_request_releases_the_first(opened):
    session, connection = opened
    wires = [session.post(wire=session.endpoint.wire())]
    wires[0].silent(0.1)

    def post():
        wires.append(session.post(wire=session.endpoint.wire()))
        answer = wires[-2].answer()
        assert answer.type is None and answer.stanzas == []

    at_best_within(0.2, post, tries=3)  # more would be too many
    wires[-1].silent(0.2)
    connection.push("for the last")
    assert wires[-1].answer().texts() == ["for the last"]


def test_two_are_held_if_agreed_and_the_oldest_is_answered_first(site, fake, new_session):
    session = new_session(site.wide).open("echo.fake", hold=2)
    connection = fake.connection()
    wires = [session.post(wire=site.wide.wire()) for _ in range(2)]
    for wire in wires:
        wire.silent(0.1)
    connection.push("one")
    assert wires[0].answer(2).texts() == ["one"]
    wires[1].silent(0.1)
    connection.push("two")
    assert wires[1].answer(2).texts() == ["two"]


def test_simultaneous_requests_are_answered_in_the_order_of_their_rids(site, fake, new_session):
    session = new_session(site.wide).open("echo.fake", hold=2)
    connection = fake.connection()
    for n in range(10):
        wires = [session.post(wire=site.wide.wire()) for _ in range(2)]
        until(lambda: not wires[0].has_input(), 1)
        connection.push("a%d" % n)
        third = session.post(message("echo.fake", "b%d" % n), wire=site.wide.wire())
        arrived, texts = [], []
        waiting = wires + [third]
        deadline = time.monotonic() + 5 * PATIENCE
        while len(texts) < 2:
            assert time.monotonic() < deadline
            for wire in [w for w in waiting if w.has_input()]:
                waiting.remove(wire)
                arrived.append((wires + [third]).index(wire))
                texts += wire.answer(1).texts()
        assert arrived == sorted(arrived)
        assert texts == ["a%d" % n, "b%d" % n]
        for wire in waiting:  # still held: released for the next round
            connection.push("clear")
            wire.answer(2)
        for wire in wires + [third]:
            wire.close()
        session.pending = []


@pytest.mark.parametrize("attrs", [{"hold": 0}, {"wait": 0}], ids=str)
def test_polling_session_is_answered_at_once(site, fake, new_session, attrs):
    session = new_session(site.short).open("echo.fake", **attrs)

    def ask():
        time.sleep(1.1)  # not more often than `polling` allows
        assert session.ask().stanzas == []

    at_best_within(1.4, ask)


# ---- inactivity and pause ---------------------------------------------------------------


def test_inactive_session_ends_and_the_server_sees_it(site, fake, new_session):
    session = new_session(site.short).open("echo.fake")
    connection = fake.connection()
    started = time.monotonic()
    connection.wait_ended(6)
    assert 1.5 < time.monotonic() - started < 2.0 + 1.5 * PATIENCE
    assert connection.stream_closed
    answer = session.free_wire().ask(session.bytes())
    assert (answer.type, answer.condition) == ("terminate", "item-not-found")


def test_session_with_a_held_request_is_not_inactive(site, fake, new_session):
    session = new_session(site.short).open("echo.fake", wait=8)
    connection = fake.connection()
    wire = session.hold()
    wire.silent(3.5)  # inactivity is 2
    connection.push("still there")
    assert wire.answer(2).texts() == ["still there"]


def test_bad_request_is_no_activity(site, fake, new_session):
    """Nor does one with a wrong rid from somebody else keep a session alive."""
    session = new_session(site.short).open("echo.fake")
    connection = fake.connection()
    deadline = time.monotonic() + 6 * PATIENCE
    while not connection.gone:
        assert time.monotonic() < deadline, "kept alive by bad requests"
        site.short.wire().ask(b"<body sid='" + session.sid.encode() + b"'")
        time.sleep(0.3)


def test_pause_answers_everything_and_prolongs_inactivity_once(site, fake, new_session):
    session = new_session(site.short).open("echo.fake", wait=8)
    connection = fake.connection()
    held = session.hold()
    held.silent(0.1)
    pausing = session.post(pause=10, wire=site.short.wire())
    assert held.answer(1).type is None
    answer = pausing.answer(1)
    assert answer.type is None and answer.stanzas == []
    session.pending = []
    time.sleep(3.5)  # beyond inactivity, within the pause
    assert not connection.gone
    assert session.ask(message("echo.fake", "back")).texts() == ["back"]
    started = time.monotonic()
    connection.wait_ended(6)  # back to normal: 2 seconds
    assert time.monotonic() - started < 2.0 + 1.5 * PATIENCE


def test_stanzas_that_come_during_a_pause_are_kept(opened):
    session, connection = opened
    session.ask(pause=60)
    connection.push("while away")
    assert session.ask().texts() == ["while away"]


def test_answer_to_a_pause_carries_no_payload(opened):
    session, connection = opened
    connection.push("waiting")
    time.sleep(0.3)  # nobody can be asked whether it has arrived
    assert session.ask(pause=60).stanzas == []
    assert session.ask().texts() == ["waiting"]


def test_pause_longer_than_maxpause_ends_the_session(opened):
    session, connection = opened
    answer = session.ask(pause=10000)
    assert (answer.type, answer.condition) == ("terminate", "policy-violation")
    connection.wait_ended()


# ---- the end --------------------------------------------------------------------------


def test_terminate_delivers_its_payload_first(opened):
    session, connection = opened
    held = session.hold()
    held.silent(0.1)
    answers = session.terminate(message("echo.fake", "good bye")
                                + "<presence type='unavailable' xmlns='jabber:client'/>")
    assert all(a.status == 200 for a in answers) and len(answers) == 2
    # XEP-0124, section 13: told on the oldest, the others get an empty body.
    assert answers[0].type == "terminate" and answers[0].condition is None
    assert answers[1].type in (None, "terminate")
    connection.wait_ended()
    assert connection.bodies() == ["good bye"]
    own = [s.tag for s in connection.stanzas if s.get("type") != "error"]  # no bounced echo
    assert own[-1] == "{jabber:client}presence"
    assert connection.stream_closed and connection.not_xml is None
    late = session.endpoint.wire().ask(session.bytes())
    assert late.type == "terminate"


def test_terminate_alone_is_acknowledged(opened):
    session, connection = opened
    answers = session.terminate("")
    assert [a.type for a in answers] == ["terminate"]
    connection.wait_ended()


def test_answer_to_terminate_can_be_repeated(opened):
    session, connection = opened
    data = session.bytes(type="terminate")
    first = session.endpoint.wire().ask(data)
    assert session.endpoint.wire().ask(data).raw == first.raw


def test_terminate_before_its_turn_waits_for_what_comes_before(opened):
    session, connection = opened
    first = session.bytes(message("echo.fake", "first"))
    last = session.bytes(message("echo.fake", "last"), type="terminate")
    wires = [session.endpoint.wire(), session.endpoint.wire()]
    wires[1].send(last)
    wires[1].silent(0.2)
    wires[0].send(first)
    connection.wait_ended()
    assert connection.bodies() == ["first", "last"]


def test_terminate_of_a_stranger_with_a_wrong_rid_forwards_nothing(opened):
    session, connection = opened
    session.free_wire().ask(session.bytes(message("echo.fake", "evil"), type="terminate",
                                          rid=session.rid - 100))
    assert connection.bodies() == []


# ---- restart ----------------------------------------------------------------------------


def test_restart_gives_the_features_after_login(opened):
    session, connection = opened
    assert session.features.find("{%s}mechanisms" % SASL) is not None
    assert session.authenticate("u", "p").tag == "{%s}success" % SASL
    features = session.restart()
    assert features.find("{%s}bind" % BIND) is not None
    assert connection.not_xml is None and len(connection.headers) == 2


def test_body_with_something_of_the_stream_declares_its_prefix(opened):
    """The body itself does, once, and only then."""
    session, connection = opened
    session.authenticate("u", "p")
    session.restart()
    assert session.ask(message("echo.fake", "<stream:error/>")).texts() == ["<stream:error/>"]
    session.hold()
    connection.send("<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                    "</stream:error></stream:stream>")
    session.collect()
    starts = {kind: [a.raw.split(b">")[0].count(b" xmlns:stream=") for a in session.answers
                     if kind in a.raw] for kind in (b"<stream:", b"<message", b"<success")}
    assert set(starts[b"<stream:"]) == {1} and len(starts[b"<stream:"]) == 3
    assert set(starts[b"<message"]) == set(starts[b"<success"]) == {0}


def test_stanzas_before_and_after_a_restart_keep_their_streams(opened):
    session, connection = opened
    session.authenticate("u", "p")
    session.restart()
    session.bind("x")
    session.send_message("echo.fake", "after")
    session.wait_message("after")
    assert [s.tag.rpartition("}")[2] for s in connection.stanzas] \
        == ["auth", "iq", "iq", "message"]


# ---- whose session it is ------------------------------------------------------------------


@pytest.mark.parametrize("where", ["other", "other_location", "tls"])
def test_sid_means_nothing_anywhere_else(opened, site, where):
    """Another virtual host, another Location: the session is not there, and is not
    harmed by somebody who asks for it."""
    session, connection = opened
    stranger = getattr(site, where).wire()
    answer = stranger.ask(session.bytes(message("echo.fake", "stolen"), rid=session.rid + 1))
    assert (answer.type, answer.condition) == ("terminate", "item-not-found")
    assert session.ask(message("echo.fake", "mine")).texts() == ["mine"]
    connection.wait_bodies("mine")
    stranger.close()


@pytest.mark.parametrize("home, elsewhere", [("first", "second"), ("second", "first")])
def test_sid_means_nothing_at_another_name_of_the_same_port(make_httpd, fake, new_session, home,
                                                            elsewhere):
    server = make_httpd(start=False, vhosts={"first": ""})
    server.write_conf("<VirtualHost 127.0.0.1:%d>\nServerName second\n</VirtualHost>\n"
                      % server.port_of["first"])
    server.start()
    session = new_session(Endpoint(server.port_of["first"]))
    wire = session.endpoint.wire()

    def ask(name, payload="", **attrs):
        return wire.ask(session.bytes(payload, **attrs), headers=[("Host", name)])

    session.sid = ask(home, rid=session.rid, to="echo.fake", ver="1.11", wait=5,
                      hold=1).body.get("sid")
    stolen = ask(elsewhere, message("echo.fake", "stolen"), rid=session.rid + 1)
    assert (stolen.type, stolen.condition) == ("terminate", "item-not-found")
    assert ask(home, message("echo.fake", "mine")).texts() == ["mine"]
    fake.connection().wait_bodies("mine")


def test_session_born_over_tls_is_not_served_without(site, fake, new_session):
    """Another port is another virtual host. For the same one see test_xep_http.py."""
    session = new_session(site.tls).open("echo.fake")
    connection = fake.connection()
    answer = site.main.wire().ask(
        session.bytes(message("echo.fake", "in clear"), rid=session.rid + 1))
    assert (answer.type, answer.condition) == ("terminate", "item-not-found")
    assert session.ask(message("echo.fake", "safe")).texts() == ["safe"]
    connection.wait_bodies("safe")


def test_sessions_do_not_see_each_others_stanzas(site, fake, new_session):
    sessions = [new_session(site.main).open("echo.fake") for _ in range(10)]
    until(lambda: len(fake.since_mark()) == 10, 5)
    for n, session in enumerate(sessions):
        session.post(message("echo.fake", "for %d" % n))
    for n, session in enumerate(sessions):
        assert session.collect().texts() == ["for %d" % n]
