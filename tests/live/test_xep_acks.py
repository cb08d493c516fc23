# Licensed under the Apache License, Version 2.0; see LICENSE.
"""XEP-0124, section 9: acknowledgements, both ways. They are used if the client asks."""
import time

import pytest

from bosh import message
from waiting import PATIENCE


@pytest.fixture
def acking(site, fake, new_session):
    return new_session(site.main).open("echo.fake", ack=1), fake.connection()


def test_creation_answer_acknowledges_itself(acking):
    session, connection = acking
    assert session.created.body.get("ack") == str(session.rid)


def test_no_acknowledgement_unless_the_client_uses_them(site, fake, new_session):
    session = new_session(site.main).open("echo.fake")
    poll = session.post()
    poll.held()
    session.send_message("echo.fake", "x")
    assert b" ack=" not in session.created.raw + session.collect().raw


def test_answer_does_not_acknowledge_its_own_request(acking):
    session, connection = acking
    assert session.ask(message("echo.fake", "x")).body.get("ack") is None


def test_repeated_answer_says_what_the_first_said(acking):
    """Also about acknowledgements, although more has come since."""
    session, connection = acking
    data = session.bytes()
    old = session.endpoint.wire()
    old.send(data)
    old.held()
    session.post(message("echo.fake", "x"))
    first = old.answer()
    assert first.body.get("ack") == str(session.rid)
    connection.push("y")
    session.collect()
    assert session.endpoint.wire().ask(data).raw == first.raw


def test_early_request_is_not_acknowledged_before_those_in_front_of_it(site, fake, new_session):
    session = new_session(site.wide).open("echo.fake", hold=2, ack=1)
    held = session.post()
    held.held()
    session.rid += 1  # never comes
    early = session.endpoint.wire()
    early.send(session.bytes(message("echo.fake", "early")))
    early.held()
    fake.connection().push("now")
    assert held.answer().body.get("ack") is None
    early.close()


def test_answers_are_kept_until_acknowledged(acking):
    """More of them than `requests`."""
    session, connection = acking
    data = [session.bytes(message("echo.fake", "n%d" % n)) for n in range(5)]
    answers = [session.endpoint.wire().ask(d) for d in data]
    for request, answer in zip(data, answers):
        assert session.endpoint.wire().ask(request).raw == answer.raw
    connection.wait_bodies(*["n%d" % n for n in range(5)])


def test_without_acknowledgements_as_many_answers_as_requests_are_kept(site, fake, new_session):
    session = new_session(site.main).open("echo.fake")
    data = [session.bytes(message("echo.fake", "n%d" % n)) for n in range(3)]
    answers = [session.endpoint.wire().ask(d) for d in data]
    assert session.endpoint.wire().ask(data[1]).raw == answers[1].raw
    assert session.endpoint.wire().ask(data[2]).raw == answers[2].raw
    assert session.endpoint.wire().ask(data[0]).condition == "item-not-found"


def test_missing_answer_is_reported_at_once_with_its_age(acking):
    session, connection = acking
    before = session.rid
    session.ask(message("echo.fake", "a"))
    answered = time.monotonic()
    session.ask(message("echo.fake", "b"))
    asked = time.monotonic()
    answer = session.ask(ack=before, timeout=8)
    assert time.monotonic() - asked < 5 * PATIENCE  # wait is 60
    assert answer.body.get("report") == str(before + 1)
    assert 0 <= int(answer.body.get("time")) <= (time.monotonic() - answered) * 1000 + 100


def test_report_is_not_said_twice(acking):
    session, connection = acking
    before = session.rid
    session.ask(message("echo.fake", "a"))
    assert session.ask(ack=before).body.get("report")
    assert session.ask(message("echo.fake", "b")).body.get("report") is None


def test_acknowledgement_in_a_session_without_them_means_nothing(site, fake, new_session):
    session = new_session(site.main).open("echo.fake")
    before = session.rid
    session.ask(message("echo.fake", "a"))
    held = session.post(ack=before)
    held.held(0.2)
