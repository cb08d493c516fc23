# Licensed under the Apache License, Version 2.0; see LICENSE.
"""XEP-0206: what XMPP adds, as far as the other tests do not come across it."""
import re

import pytest

from bosh import message
from strictxml import BIND, STREAMS, XML

LANG = "{%s}lang" % XML


@pytest.fixture
def logged_in(site, fake, new_session):
    """Authenticated, the stream not yet restarted."""
    session = new_session(site.main).open("echo.fake", xml_lang="de", from_="u@echo.fake")
    session.authenticate("u", "p")
    return session, fake.connection()


def restarted(session, payload="", **attrs):
    session.post(payload, xmpp_restart="true", **attrs)
    features = session.wait_stanza("{%s}features" % STREAMS)
    assert features.find("{%s}bind" % BIND) is not None


def test_restart_without_to_and_lang_uses_those_of_the_session(logged_in):
    session, connection = logged_in
    restarted(session)
    first, second = connection.headers
    assert second["to"] == "echo.fake" and second[LANG] == "de"
    assert second["version"] == first["version"] == "1.0"


def test_restart_cannot_change_the_domain(logged_in):
    session, connection = logged_in
    restarted(session, to="elsewhere.example")
    assert connection.headers[1]["to"] == "echo.fake"


def test_stanza_in_a_restart_request_is_ignored(logged_in):
    session, connection = logged_in
    restarted(session, message("echo.fake", "ignored"), to="echo.fake")
    assert session.ask(message("echo.fake", "taken")).texts() == ["taken"]
    assert connection.bodies() == ["taken"]


def test_from_of_a_restart_goes_into_the_stream_header(logged_in):
    session, connection = logged_in
    restarted(session, to="echo.fake", from_="other@echo.fake")
    assert connection.headers[1].get("from") == "other@echo.fake"


# ---- section 4: the stream's ID ----------------------------------------------------------------


def authid(answer):
    return answer.body.get("authid")


def test_stream_id_of_a_restart_is_not_told_and_changes_no_answer(site, fake, new_session):
    """What was told of the first stream is told again, word for word, to who asks again."""
    session = new_session(site.main).open("echo.fake", ack=1)
    first = session.created
    assert authid(first) == "stream-%d-1" % fake.connection().number
    data = session.bytes(rid=session.rid)
    session.authenticate("u", "p")
    session.restart()
    assert [authid(a) for a in session.answers] == [authid(first), None, None]
    assert session.endpoint.wire().ask(data).raw == first.raw


def test_stream_id_of_a_server_older_than_xmpp_1_0_needs_no_features(play, site):
    """Who logs in there needs it, and no features will ever come."""
    p = play("before_header", endpoint=site.least)
    p.server.send(re.sub(" version='1.0'>$", ">", p.server.header()))
    created = p.collect()
    assert (authid(created), created.stanzas) == ("stream-%d-1" % p.server.number, [])
    p.session.post()
    p.server.push("x")
    answer = p.collect()
    assert (answer.texts(), authid(answer)) == (["x"], None)


def test_late_stream_id_of_a_server_older_than_xmpp_1_0_comes_with_the_next_answer(play, site):
    p = play("before_header", endpoint=site.least, wait=1)
    assert authid(p.collect()) is None
    p.server.send(re.sub(" version='1.0'>$", ">", p.server.header()))
    answers = [p.session.ask() for _ in range(2)]
    assert sorted(str(authid(a)) for a in answers) == ["None", "stream-%d-1" % p.server.number]
