# Licensed under the Apache License, Version 2.0; see LICENSE.
"""XEP-0124, sections 5, 7 and 17.1: what is HTTP about it, beside test_http.py,
test_content.py, test_compress.py and test_legacy.py."""
import pytest

import bosh
from bosh import body_bytes, message
from waiting import until


@pytest.fixture
def opened(site, fake, new_session):
    return new_session(site.main).open("echo.fake"), fake.connection()


# ---- Content-Type --------------------------------------------------------------------------


def test_type_of_answers_is_text_xml_unless_asked_otherwise(opened):
    session, connection = opened
    for answer in (session.created, session.ask(message("echo.fake", "x"))):
        assert answer.header("Content-Type") == "text/xml; charset=utf-8"


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


def test_payloads_of_several_namespaces_pass_in_one_body(opened):
    session, connection = opened
    session.post("<a xmlns='urn:a'><b xmlns='urn:b'/></a>" + message("echo.fake", "m")
                 + "<p:c xmlns:p='urn:c' xmlns='urn:d' p:q='1'><e/></p:c>")
    until(lambda: len(connection.stanzas) == 3, 5, "three payloads")
    first, second, third = connection.stanzas
    assert (first.tag, first[0].tag) == ("{urn:a}a", "{urn:b}b")
    assert second.tag == "{jabber:client}message"
    assert (third.tag, third[0].tag, third.get("{urn:c}q")) == ("{urn:c}c", "{urn:d}e", "1")


def test_type_that_nobody_knows_is_ignored(opened):
    session, connection = opened
    for kind in ("error", "whatever", ""):
        assert session.ask(message("echo.fake", "x"), type=kind,
                           condition="bad-request").texts() == ["x"]


# ---- encodings -----------------------------------------------------------------------------


def test_utf_8_is_the_only_encoding(opened):
    session, connection = opened
    assert session.created.body.get("charsets") == "UTF-8"
    data = b"<?xml version='1.0' encoding='ISO-8859-1'?>" + session.bytes(
        message("echo.fake", "x")).replace(b">x<", b">\xfc<")
    answer = session.endpoint.wire().ask(data)
    assert (answer.type, answer.condition) == ("terminate", "bad-request")
    assert connection.bodies() == []


# ---- section 17.1 ---------------------------------------------------------------------------------


def test_other_clients_never_get_an_error_code(opened, site):
    session, connection = opened
    answers = [site.main.wire().ask(body_bytes(rid="x", to="echo.fake", ver="1.6")),
               site.main.wire().ask(body_bytes(rid=1, to="echo.fake", ver="1.6", wait="x")),
               site.main.wire().ask(body_bytes(rid=1, sid="no-such")),
               session.endpoint.wire().ask(session.bytes(pause="x")),
               session.endpoint.wire().ask(session.bytes(rid=session.rid + 50)),
               session.endpoint.wire().ask(session.bytes())]
    assert [(a.status, a.type) for a in answers] == [(200, "terminate")] * 6


# ---- section 19.1 ---------------------------------------------------------------------------------------


@pytest.fixture
def two_addresses(make_httpd):
    """One site, name and port, at two addresses: the endpoint with TLS, and the one without."""
    server = make_httpd(start=False)
    server.write_conf("Listen 127.0.0.2:{0}\n<VirtualHost 127.0.0.2:{0}>\nServerName 127.0.0.1\n"
                      "</VirtualHost>\n".format(server.tls_port))
    server.start()
    return (bosh.Endpoint(server.tls_port, tls=True),
            bosh.Endpoint(server.tls_port, host="127.0.0.2"), server)


def test_request_in_the_clear_for_a_secure_session_only_loses_its_connection(two_addresses, fake,
                                                                             new_session):
    secure, clear, server = two_addresses
    session = new_session(secure).open("echo.fake")
    for payload in (message("echo.fake", "clear"), ""):
        with pytest.raises(bosh.Broken, match="^closed after b''$"):
            clear.wire().ask(session.bytes(payload, rid=session.rid + 1))
    assert server.log_text().count("BOSH3002") == 2
    assert session.ask(message("echo.fake", "safe")).texts() == ["safe"]
    fake.connection().wait_bodies("safe")


def test_session_that_began_in_the_clear_may_go_on_over_tls(two_addresses, fake, new_session):
    """The sid is the same site's: only what began with TLS has to keep it."""
    secure, clear, _ = two_addresses
    session = new_session(clear).open("echo.fake")
    answer = secure.wire().ask(session.bytes(message("echo.fake", "over TLS")))
    assert answer.texts() == ["over TLS"]
