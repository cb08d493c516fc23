# Licensed under the Apache License, Version 2.0; see LICENSE.
"""XEP-0124, sections 5, 7 and 17.1: what is HTTP about it."""
import gzip
import zlib

import pytest

import bosh
from bosh import body_bytes, message
from strictxml import STREAMS, parse_body

ORIGIN = "https://chat.example"


@pytest.fixture
def opened(site, fake, new_session):
    return new_session(site.main).open("echo.fake"), fake.connection()


# ---- Content-Type --------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["text/html", "text/plain; charset=utf-8",
                                     "application/x-www-form-urlencoded", "text/xml"])
def test_content_of_the_creation_is_the_type_of_all_answers(site, fake, new_session, content):
    session = new_session(site.main)
    answers = [session.create("echo.fake", content=content, wait=1)]
    poll = session.bytes()
    answers += [session.endpoint.wire().ask(poll), session.endpoint.wire().ask(poll),
                session.ask(message("echo.fake", "x")), session.ask(type="terminate"),
                session.endpoint.wire().ask(session.bytes())]
    assert [a.header("Content-Type") for a in answers] == [content] * 6
    for answer in answers:  # no browser is to run it
        assert answer.header("X-Content-Type-Options") == "nosniff"
        assert "sandbox" in answer.header("Content-Security-Policy")


def test_type_of_answers_is_text_xml_unless_asked_otherwise(opened):
    session, connection = opened
    for answer in (session.created, session.ask(message("echo.fake", "x"))):
        assert answer.header("Content-Type") == "text/xml; charset=utf-8"


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain",
                                  "multipart/form-data; boundary=x", "text/xml; charset=utf-16",
                                  "nonsense"])
def test_type_of_requests_is_ignored(opened, kind):
    session, connection = opened
    wire = session.endpoint.wire()
    answer = wire.ask(session.bytes(message("echo.fake", "\u00fc")),
                      headers=[("Content-Type", kind)])
    assert answer.texts() == ["\u00fc"]


def test_unknown_headers_are_ignored(opened):
    session, connection = opened
    answer = session.endpoint.wire().ask(
        session.bytes(message("echo.fake", "x")),
        headers=[("X-Whatever", "y"), ("Cookie", "a=b"), ("Range", "bytes=0-1"),
                 ("If-None-Match", "*"), ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"),
                 ("Upgrade", "websocket"), ("TE", "trailers")])
    assert answer.status == 200 and answer.texts() == ["x"]


def test_bare_minimum_of_headers_is_enough(opened):
    session, connection = opened
    data = session.bytes(message("echo.fake", "x"))
    wire = session.endpoint.wire()
    wire.send_raw(b"POST /http-bind HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
    assert wire.answer().texts() == ["x"]


def test_requests_on_one_and_on_many_connections(opened):
    session, connection = opened
    wire = session.endpoint.wire()
    for n in range(3):
        assert wire.ask(session.bytes(message("echo.fake", "s%d" % n))).texts() == ["s%d" % n]
    for n in range(3):
        assert session.endpoint.wire().ask(
            session.bytes(message("echo.fake", "m%d" % n))).texts() == ["m%d" % n]


def test_answers_after_the_first_repeat_no_terms(opened):
    session, connection = opened
    answer = session.ask(message("echo.fake", "x"))
    assert set(answer.body.attrib) == set()
    assert set(session.ask(type="terminate").body.attrib) == {"type"}


def test_type_that_nobody_knows_is_ignored(opened):
    session, connection = opened
    for kind in ("error", "whatever", ""):
        assert session.ask(message("echo.fake", "x"), type=kind,
                           condition="bad-request").texts() == ["x"]


# ---- Content-Encoding -------------------------------------------------------------------------


def test_answers_are_compressed_where_it_is_on(site, fake, new_session):
    session = new_session(site.full).open("echo.fake")
    answer = session.endpoint.wire().ask(session.bytes(message("echo.fake", "x" * 3000)),
                                         headers=[("Accept-Encoding", "gzip")])
    assert answer.header("Content-Encoding") == "gzip"
    body = parse_body(gzip.decompress(answer.raw))
    assert body[0].findtext("{jabber:client}body") == "x" * 3000
    plain = session.ask(message("echo.fake", "x" * 3000))
    assert plain.header("Content-Encoding") is None


def test_compressed_requests_are_taken_and_announced_where_it_is_on(site, fake, new_session):
    session = new_session(site.full).open("echo.fake")
    offered = [e.strip() for e in session.created.body.get("accept").split(",")]
    assert "gzip" in offered
    data = session.bytes(message("echo.fake", "small now " * 100))
    answer = session.endpoint.wire().ask(gzip.compress(data),
                                         headers=[("Content-Encoding", "gzip")])
    assert answer.texts() == ["small now " * 100]


def test_compressed_bomb_is_cut_off(site, fake, new_session):
    session = new_session(site.full).open("echo.fake")
    bomb = gzip.compress(session.bytes(message("echo.fake", "x" * 4000000)))
    answer = session.endpoint.wire().ask(bomb, headers=[("Content-Encoding", "gzip")])
    assert answer.status in (200, 413) and b"terminate" in answer.raw
    assert session.endpoint.wire().ask(session.bytes(
        message("echo.fake", "x"), rid=session.rid)).texts() == ["x"]


def test_no_encoding_is_announced_or_taken_where_it_is_off(opened):
    session, connection = opened
    assert session.created.body.get("accept") is None
    data = session.bytes(message("echo.fake", "x"))
    answer = session.endpoint.wire().ask(zlib.compress(data),
                                         headers=[("Content-Encoding", "deflate")])
    assert answer.type == "terminate" and connection.bodies() == []


def test_utf_8_is_the_only_encoding(opened):
    session, connection = opened
    assert session.created.body.get("charsets") in (None, "UTF-8")
    data = b"<?xml version='1.0' encoding='ISO-8859-1'?>" + session.bytes(
        message("echo.fake", "x")).replace(b">x<", b">\xfc<")
    answer = session.endpoint.wire().ask(data)
    assert (answer.type, answer.condition) == ("terminate", "bad-request")
    assert connection.bodies() == []


# ---- section 17.1 ---------------------------------------------------------------------------------


@pytest.fixture
def legacy(site, fake, new_session):
    """A session whose client sent no `ver`."""
    session = new_session(site.main)
    session.create("echo.fake", ver=None)
    return session, fake.connection()


def test_client_without_ver_gets_no_ver(legacy):
    assert legacy[0].created.body.get("ver") is None


def test_legacy_client_gets_404_for_an_unknown_rid(legacy):
    session, connection = legacy
    assert session.endpoint.wire().ask(session.bytes(rid=session.rid + 50)).status == 404
    connection.wait_ended()


def test_legacy_client_gets_403_for_a_breach(legacy):
    session, connection = legacy
    assert session.endpoint.wire().ask(session.bytes(pause=100000)).status == 403


def test_legacy_client_gets_400_for_a_malformed_request(legacy, site):
    session, connection = legacy
    malformed = session.bytes(pause="soon")
    assert session.endpoint.wire().ask(malformed).status == 400
    creation = body_bytes(rid="x", to="echo.fake", wait=1, hold=1)
    assert site.main.wire().ask(creation).status == 400


def test_other_clients_never_get_an_error_code(opened, site):
    session, connection = opened
    answers = [site.main.wire().ask(body_bytes(rid="x", to="echo.fake", ver="1.6")),
               site.main.wire().ask(body_bytes(rid=1, to="echo.fake", ver="1.6", wait="x")),
               site.main.wire().ask(body_bytes(rid=1, sid="no-such")),
               session.endpoint.wire().ask(session.bytes(pause="x")),
               session.endpoint.wire().ask(session.bytes(rid=session.rid + 50)),
               session.endpoint.wire().ask(session.bytes())]
    assert [(a.status, a.type) for a in answers] == [(200, "terminate")] * 6


# ---- CORS ---------------------------------------------------------------------------------------------


def test_allowed_origin_may_read_the_answers(site, fake, new_session):
    session = new_session(site.full).open("echo.fake")
    answer = session.endpoint.wire().ask(session.bytes(message("echo.fake", "x")),
                                         headers=[("Origin", ORIGIN)])
    assert [v for k, v in answer.headers if k.lower() == "access-control-allow-origin"] == [ORIGIN]
    assert "origin" in answer.header("Vary").lower()


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://chat.example.evil",
                                    "http://chat.example", "https://chat.example:444"])
def test_other_origin_may_not_read_the_answers(site, fake, new_session, origin):
    session = new_session(site.full).open("echo.fake")
    for endpoint in (site.full, site.main):
        answer = endpoint.wire().ask(
            body_bytes(rid=1000, to="echo.fake", ver="1.6", wait=1, hold=1),
            headers=[("Origin", origin)])
        assert answer.header("Access-Control-Allow-Origin") is None
    session.ask(type="terminate")


# ---- section 19.1 ---------------------------------------------------------------------------------------


def test_request_in_the_clear_for_a_secure_session_only_loses_its_connection(site, fake,
                                                                             new_session):
    session = new_session(site.tls).open("echo.fake")
    wire = site.main.but(path="/http-bind").wire()
    stranger = wire.endpoint
    assert stranger.port != site.tls.port
    try:
        answer = wire.ask(session.bytes(message("echo.fake", "clear"), rid=session.rid + 1))
        assert answer.condition == "item-not-found"  # another virtual host knows no such sid
    except bosh.Broken:
        pass
    assert session.ask(message("echo.fake", "safe")).texts() == ["safe"]
    fake.connection().wait_bodies("safe")


def test_features_come_whole_in_any_answer(opened):
    assert [s.tag for s in opened[0].created.stanzas] in ([], ["{%s}features" % STREAMS])
    assert opened[0].features.tag == "{%s}features" % STREAMS
