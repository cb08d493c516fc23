# Licensed under the Apache License, Version 2.0; see LICENSE.
"""XEP-0124, sections 10 to 14: too quiet, too busy, at the end of its patience."""
import time

import pytest

import procfs
from bosh import message
from waiting import PATIENCE, until


@pytest.fixture
def opened(site, fake, new_session):
    return new_session(site.main).open("echo.fake"), fake.connection()


@pytest.fixture
def short(site, fake, new_session):
    return new_session(site.short).open("echo.fake"), fake.connection()


def ended_by(answer, condition):
    return (answer.type, answer.condition) == ("terminate", condition)


# ---- section 12 ------------------------------------------------------------------------------


@pytest.fixture(params=[{"hold": 0}, {"wait": 0}], ids=str)
def polling(request, site, fake, new_session):
    return new_session(site.main).open("echo.fake", **request.param), fake.connection()


def test_polling_session_may_be_inactive_for_longer(polling, opened):
    normal = int(opened[0].created.body.get("inactivity"))
    body = polling[0].created.body
    assert int(body.get("inactivity")) > normal + int(body.get("polling"))


def test_polling_too_often_ends_the_session(polling):
    session, connection = polling
    assert session.ask().stanzas == []
    assert ended_by(session.ask(), "policy-violation")
    connection.wait_ended()


def test_polling_again_after_a_payload_is_not_too_often(polling, fake):
    session, connection = polling
    connection.push("payload")
    connector_port = connection.transport.get_extra_info("peername")[1]
    until(lambda: procfs.has_read_all(connector_port, fake.port), 5, "the connector to read it")
    time.sleep(0.3)  # nobody can be asked whether it is in the store by now
    assert session.ask().texts() == ["payload"]
    assert session.ask().type is None
    assert ended_by(session.ask(), "policy-violation")


def test_polling_with_payloads_is_never_too_often(polling):
    session, connection = polling
    for n in range(5):
        assert session.ask(message("echo.fake", "x")).type is None
    connection.wait_bodies(*"xxxxx")


def test_polling_at_the_agreed_interval_is_fine(site, fake, new_session):
    session = new_session(site.short).open("echo.fake", hold=0)
    for _ in range(2):
        assert session.ask().type is None
        time.sleep(1.05)  # `polling` of this host; less would be a breach
    assert session.ask().type is None


def test_repeating_a_poll_is_no_new_poll(polling):
    session, connection = polling
    data = session.bytes()
    first = session.endpoint.wire().ask(data)
    assert session.endpoint.wire().ask(data).raw == first.raw
    assert not connection.gone


# ---- section 11 ------------------------------------------------------------------------------


def test_request_beyond_the_window_as_well_is_item_not_found(site, fake, new_session):
    """One too many, and too far ahead: the window is looked at first. Those that waited are
    told that it was another one."""
    session = new_session(site.wide).open("echo.fake", hold=2)
    early = [session.rid + n for n in (2, 3, 4)]  # rid + 1 never comes
    wires = [session.endpoint.wire() for _ in early]
    for rid, wire in zip(early[:2], wires):
        wire.send(session.bytes(message("echo.fake", "e"), rid=rid))
        wire.held()
    answer = wires[2].ask(session.bytes(message("echo.fake", "e"), rid=early[2]))
    assert ended_by(answer, "item-not-found")
    assert all(ended_by(wire.answer(), "other-request") for wire in wires[:2])
    fake.connection().wait_ended()


def test_request_beyond_those_agreed_is_a_policy_violation(opened):
    """Within the window: its predecessor, which the manager counts as well, is on its way or
    never comes. The one that is held learns that it was another one."""
    session, connection = opened
    held = session.post(wire=session.endpoint.wire())
    held.held()
    culprit = session.bytes(message("echo.fake", "x"), rid=session.rid + 2)
    assert ended_by(session.endpoint.wire().ask(culprit), "policy-violation")
    assert ended_by(held.answer(), "other-request")
    connection.wait_ended()
    assert connection.stream_closed and connection.bodies() == []


def test_one_request_more_may_pause_or_terminate(opened):
    session, connection = opened
    first, second = session.endpoint.wire(), session.endpoint.wire()
    second_bytes = session.bytes(rid=session.rid + 2)
    third = session.bytes(type="terminate", rid=session.rid + 3)
    second.send(second_bytes)
    second.held()
    last = session.endpoint.wire()
    last.send(third)
    last.held()
    first.send(session.bytes())
    assert [w.answer().condition for w in (first, second, last)] == [None] * 3
    connection.wait_ended()
    assert connection.stream_closed


def test_empty_requests_too_soon_again_and_again_end_the_session(opened):
    """A few are forgiven: see test_clients.py. Ours to choose, and written down in
    docs/conformance.md."""
    session, connection = opened
    session.post()
    answer = None
    for _ in range(30):
        session.post()
        answer = session.collect()
        if answer.type:
            break
    assert ended_by(answer, "policy-violation") or ended_by(answer, "other-request")
    connection.wait_ended()


def test_many_copies_of_one_request_end_the_session(opened):
    session, connection = opened
    data = session.bytes(message("echo.fake", "x"))
    wire = session.endpoint.wire()
    for _ in range(100):
        answer = wire.ask(data)
        if answer.type:
            break
    assert ended_by(answer, "policy-violation")
    connection.wait_ended()
    assert connection.bodies() == ["x"]


# ---- section 10 --------------------------------------------------------------------------------


def test_pause_may_be_shorter_than_the_inactivity(site, fake, new_session):
    session = new_session(site.main).open("echo.fake")  # inactivity is 60
    connection = fake.connection()
    started = time.monotonic()
    assert session.ask(pause=1).type is None
    connection.wait_ended(8)
    assert time.monotonic() - started < 10 * PATIENCE


def test_pause_of_0_counts_as_1_second(opened):
    session, connection = opened
    assert session.ask(pause=0).type is None
    connection.wait_ended(8)


def test_no_pause_is_offered_and_none_is_taken_where_it_is_off(site, fake, new_session):
    session = new_session(site.least).open("echo.fake")
    assert session.created.body.get("maxpause") is None
    assert ended_by(session.ask(pause=1), "policy-violation")
    fake.connection().wait_ended()


# ---- section 13 --------------------------------------------------------------------------------


def test_terminate_is_told_on_the_oldest_and_the_others_are_empty(site, fake, new_session):
    session = new_session(site.wide).open("echo.fake", hold=2)
    for _ in range(2):
        session.post(wire=site.wide.wire()).held()
    session.post(type="terminate", wire=site.wide.wire())
    answers = [session.collect() for _ in range(3)]
    assert [a.type for a in answers] == ["terminate", None, None]
    assert [a.stanzas for a in answers] == [[], [], []]
    fake.connection().wait_ended()


def test_breach_is_told_to_the_one_that_committed_it(site, fake, new_session):
    session = new_session(site.wide).open("echo.fake", hold=2)
    held = [session.post(wire=site.wide.wire()) for _ in range(2)]
    held[1].held()
    culprit = session.endpoint.wire().ask(session.bytes(rid=session.rid + 100))
    assert ended_by(culprit, "item-not-found")
    assert ended_by(held[0].answer(), "other-request")
    last = held[1].answer()
    assert (last.type, last.stanzas) == (None, [])
    session.pending.clear()
    assert ended_by(session.endpoint.wire().ask(session.bytes()), "item-not-found")
    fake.connection().wait_ended()
