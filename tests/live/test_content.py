# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The Content-Type that a client asks for (XEP-0124 section 7.1): on every answer of its
session; and no way to put anything else into a header."""
import pytest

from bosh import Endpoint, body_bytes, first_rid, message

USUAL = "text/xml; charset=utf-8"
FINE = ["text/html", "text/xml", "text/xml; charset=utf-8", "text/plain;charset=UTF-8",
        'text/html; charset="utf-8"', "application/xml", "application/xhtml+xml",
        "application/javascript", "text/x-a.b+c!#$&^_-; a=b; c=\"d e; f=<g>\"",
        "multipart/x-mixed-replace; boundary=x", "a/b",
        "text/" + "x" * 90]
BAD = ["", "text", "text/", "/html", "text/html;", "text/html; charset", "text/html; charset=",
       "text/html; =utf-8", "text/ html", "text /html", " text/html", "text/html ",
       "text/html, text/xml", "text/html; charset=utf-8; ", "text/html; a=\"b", "text/html; a=\"\\\"\"",
       "text/html\r\nX-Evil: 1", "text/html\nX-Evil: 1", "text/html; a=\"b\r\nX-Evil: 1\"",
       "text/html\tx", "text/h\u00e4ml", "text/html; a=\"\u00e4\"", "text/html; a='b c'", "*/*;q=<1>",
       "text/(comment)", "text/html; charset=iso-8859-1", "text/html; charset=utf-7",
       "text/html; charset=\"utf-16\"", "text/" + "x" * 91, "text/html/xml", "text@html", "te:xt/html",
       "text/html charset=utf-8"]


def create(endpoint, **attrs):
    data = body_bytes(**{"rid": first_rid(), "to": "echo.fake", "wait": 1, "hold": 1,
                         "ver": "1.11", "xmpp_version": "1.0", **attrs})
    return endpoint.wire().ask(data)


@pytest.mark.parametrize("content", FINE)
def test_content_is_the_type_of_the_first_answer(site, fake, content):
    answer = create(site.main, content=content)
    assert answer.type is None, answer
    assert answer.header("Content-Type") == content
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("Content-Security-Policy") == "default-src 'none'; sandbox"


@pytest.mark.parametrize("content", BAD)
def test_what_is_no_type_is_refused(site, fake, content):
    answer = create(site.main, content=content)
    assert (answer.status, answer.type, answer.condition) == (200, "terminate", "bad-request")
    assert answer.header("Content-Type") == USUAL
    assert answer.header("X-Evil") is None
    assert fake.since_mark() == []


@pytest.mark.parametrize("where", ["main", "tls"])
def test_all_answers_of_the_session_have_it(site, fake, new_session, where):
    endpoint = getattr(site, where)
    session = new_session(endpoint).open("echo.fake", content="text/html; charset=utf-8")
    connection = fake.connection()
    wire = endpoint.wire()
    answers = [session.created]
    data = session.bytes(message("echo.fake", "hello"))
    answers.append(wire.ask(data))
    again = wire.ask(data)
    assert again.raw == answers[-1].raw
    answers.append(again)
    wire.send(session.bytes())
    wire.silent(0.1)
    connection.push("held")
    answers.append(wire.answer(2))
    assert answers[-1].texts() == ["held"]
    answers.append(wire.ask(session.bytes(rid=session.rid + 99)))
    assert answers[-1].condition == "item-not-found"
    for answer in answers:
        assert answer.header("Content-Type") == "text/html; charset=utf-8"
        assert answer.header("Content-Length") == str(len(answer.raw))


def test_default_charset_of_the_site_is_not_added(make_httpd, fake):
    """Answers are UTF-8 whatever AddDefaultCharset says."""
    endpoint = Endpoint(make_httpd(extra="AddDefaultCharset On").port)
    for content in ("text/html", "text/plain", None):
        answer = create(endpoint, **({"content": content} if content else {}))
        assert answer.header("Content-Type") == (content or USUAL)


def test_answers_about_further_streams_have_it(site, fake, new_session):
    session = new_session(site.main).open("echo.fake", content="text/html")
    for to in ("elsewhere.example", "nobody.example"):
        answer = session.ask(to=to)
        assert answer.body.get("stream")
        assert answer.header("Content-Type") == "text/html"
        session.ended = None


def test_sessions_do_not_mix_their_types(site, fake, new_session):
    sessions = {content: new_session(site.main).open("echo.fake", content=content)
                for content in (None, "text/html", "text/plain; a=b")}
    wire = site.main.wire()
    for content, session in sessions.items():
        answer = wire.ask(session.bytes(message("echo.fake", "x")))
        assert answer.texts() == ["x"]
        assert answer.header("Content-Type") == (content or USUAL)


def test_refused_session_is_answered_in_its_type(site):
    answer = create(site.main, to="nobody.example", content="text/html")
    assert (answer.type, answer.condition) == ("terminate", "host-unknown")
    assert answer.header("Content-Type") == "text/html"


def test_content_later_in_the_session_means_nothing(site, fake, new_session):
    session = new_session(site.main).open("echo.fake")
    answer = session.ask(message("echo.fake", "x"), content="text/html\n")
    assert answer.texts() == ["x"] and answer.header("Content-Type") == USUAL
