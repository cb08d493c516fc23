# Licensed under the Apache License, Version 2.0; see LICENSE.
"""HTTP itself: methods, paths, status lines, and the many ways in which clients send a
request."""
import time

import pytest

import bosh
from bosh import body_bytes, first_rid, message
from waiting import PATIENCE, until


@pytest.fixture
def session(site, fake, new_session):
    return new_session(site.main).open("echo.fake")


def creation(**attrs):
    return body_bytes(**{"rid": first_rid(), "to": "echo.fake", "wait": 1, "hold": 1,
                         "ver": "1.11", "xmpp_version": "1.0", **attrs})


# ---- methods and paths -----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/http-bind", "/http-bind/", "/http-bind?x=1", "//http-bind",
                                  "/http%2dbind", "/x/../http-bind"])
def test_path_with_and_without_a_slash(site, fake, path):
    answer = site.main.wire().ask(creation(), path=path)
    assert answer.status == 200 and answer.body.get("sid")


def test_session_may_use_both_forms_of_the_path(site, session):
    wire = site.main.wire()
    for n, path in enumerate(("/http-bind", "/http-bind/")):
        answer = wire.ask(session.bytes(message("echo.fake", "n%d" % n)), path=path)
        assert answer.texts() == ["n%d" % n]


@pytest.mark.parametrize("path", ["/http-bind/x", "/http-bind/index.html", "/http-bind//x"])
def test_nothing_is_below(site, fake, path):
    for method in ("GET", "POST"):
        answer = site.main.wire().ask(creation() if method == "POST" else None, path=path,
                                      method=method)
        assert answer.status == 404
    assert fake.since_mark() == []


def test_location_may_be_a_pattern(site, fake, new_session):
    for path, status in (("/a", 200), ("/b", 200), ("/c1", 200), ("/http-bind", 200),
                         ("/a/", 404), ("/ab", 404), ("/c", 404)):
        answer = site.match.wire().ask(creation(), path=path)
        assert answer.status == status, path
    session = new_session(site.match.but(path="/a")).open("echo.fake")
    assert session.ask(message("echo.fake", "x")).texts() == ["x"]
    elsewhere = site.match.wire().ask(session.bytes(message("echo.fake", "y")), path="/c1")
    assert elsewhere.condition == "item-not-found"


def test_methods(site):
    wire = site.main.wire()
    page = wire.ask(None, method="GET")
    assert (page.status, page.reason) == (200, "OK")
    assert page.header("Content-Type").startswith("text/html") and b"BOSH" in page.raw
    wire.send(None, method="HEAD")
    head = wire.answer(head_only=True)
    assert (head.status, head.raw) == (200, b"")
    options = wire.ask(None, method="OPTIONS")
    assert (options.status, options.raw) == (200, b"")
    assert {m.strip() for m in options.header("Allow").split(",")} >= {"GET", "POST", "OPTIONS"}
    for method in ("PUT", "DELETE", "PATCH", "PROPFIND", "NONSENSE"):
        answer = site.main.wire().ask(b"x", method=method)
        assert answer.status in (405, 501), method
        assert b"<html" not in answer.raw.lower()


def test_query_of_a_get_is_not_shown(site):
    """No JSONP, nothing of the request in the page."""
    answer = site.main.wire().ask(None, method="GET", path="/http-bind?callback=evil&%3Cscript%3E")
    assert answer.status == 200 and b"evil" not in answer.raw and b"script" not in answer.raw


# ---- requests --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text/plain;charset=UTF-8", "application/x-www-form-urlencoded",
                                  "multipart/form-data; boundary=x", "application/octet-stream",
                                  "text/xml; charset=iso-8859-1", "nonsense", ""])
def test_content_type_of_a_request_means_nothing(site, session, kind):
    answer = site.main.wire().ask(session.bytes(message("echo.fake", "\u00e9")),
                                  headers=[("Content-Type", kind)])
    assert answer.texts() == ["\u00e9"]


def test_request_without_a_content_type(site, session):
    wire = site.main.wire()
    data = session.bytes(message("echo.fake", "x"))
    wire.send_raw(b"POST /http-bind HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(data)
                  + data)
    assert wire.answer().texts() == ["x"]


def test_every_status_line_says_ok(site, session):
    """Tsung wants it."""
    wire = site.main.wire()
    for data in (session.bytes(message("echo.fake", "x")), b"<nonsense",
                 session.bytes(type="terminate"), session.bytes()):
        answer = wire.ask(data)
        assert (answer.status, answer.reason, answer.version) == (200, "OK", "HTTP/1.1")


def test_headers_that_ask_for_something_else_are_ignored(site, session):
    wire = site.main.wire()
    headers = [("Range", "bytes=0-1"), ("If-Range", "x"), ("If-None-Match", "*"),
               ("If-Modified-Since", "Sat, 01 Jan 2000 00:00:00 GMT"), ("If-Match", '"x"'),
               ("X-HTTP-Method-Override", "GET"), ("Accept", "image/png"), ("TE", "trailers")]
    answer = wire.ask(session.bytes(message("echo.fake", "x")), headers=headers)
    assert answer.texts() == ["x"] and answer.header("Content-Range") is None
    assert wire.ask(None, method="GET", headers=headers).status == 200


def test_expect_100_continue(site, session):
    wire = site.main.wire()
    data = session.bytes(message("echo.fake", "x"))
    request = wire.request(data, headers=[("Expect", "100-continue")])
    wire.send_raw(request[:-len(data)])
    assert wire.wait_readable(2)
    assert wire.sock.recv(1000).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    wire.send_raw(data)
    assert wire.answer().texts() == ["x"]


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("headers", [[], [("Origin", "https://evil.example")]],
                         ids=["own", "foreign"])
def test_chunks_that_are_none_get_one_answer_not_two(site, method, headers):
    """httpd's own filter answers these, before the handler can; but not with its page."""
    wire = site.main.wire()
    wire.send_raw(wire.request(None, method=method,
                               headers=headers + [("Transfer-Encoding", "chunked")]) + b"zz\r\n")
    answer = wire.answer(3)
    assert answer.status == 400
    assert_is_refusal(answer)
    until(wire.is_closed, 5)


def assert_is_refusal(answer):
    assert answer.raw == (b"<body xmlns='http://jabber.org/protocol/httpbind' type='terminate' "
                          b"condition='bad-request'/>")
    assert answer.header("Content-Type") == "text/xml; charset=utf-8"
    assert answer.header("Content-Length") == str(len(answer.raw))
    assert answer.header("X-Content-Type-Options") == "nosniff"


def test_too_many_chunks_are_no_page_either(make_httpd):
    server = make_httpd(location_extra="LimitRequestBody 1000")
    wire = bosh.Endpoint(server.port).wire()
    wire.send_raw(wire.request(None, headers=[("Transfer-Encoding", "chunked")])
                  + b"400\r\n" + 1024 * b"x" + b"\r\n0\r\n\r\n")
    answer = wire.answer(3)
    assert answer.status == 413
    assert_is_refusal(answer)


def test_errors_elsewhere_are_httpds_own(site):
    wire = site.main.wire()
    wire.send_raw(wire.request(None, path="/static.txt",
                               headers=[("Transfer-Encoding", "chunked")]) + b"zz\r\n")
    answer = wire.answer(3)
    assert answer.status in (400, 405) and b"<html>" in answer.raw


@pytest.mark.parametrize("piece", [1, 7, 4096])
def test_chunks_of_any_size(site, session, piece):
    wire = site.main.wire()
    data = session.bytes(message("echo.fake", "c" * 300))
    request = wire.request(None, headers=[("Transfer-Encoding", "chunked")])
    for i in range(0, len(data), piece):
        part = data[i:i + piece]
        request += b"%x;ext=1\r\n" % len(part) + part + b"\r\n"
    wire.send_raw(request + b"0\r\nTrailer: x\r\n\r\n")
    assert wire.answer().texts() == ["c" * 300]
    assert wire.ask(session.bytes(message("echo.fake", "next"))).texts() == ["next"]


@pytest.mark.parametrize("headers", [
    [("Content-Length", "262145")], [("Content-Length", "2147483648")],
    [("Content-Length", "9223372036854775807")]], ids=str)
def test_length_beyond_the_limit_is_refused_unread(site, headers):
    wire = site.main.wire()
    started = time.monotonic()
    wire.send_raw(wire.request(b"", headers=headers) + b"<body")
    answer = wire.answer()
    assert (answer.status, answer.condition) == (200, "bad-request")
    assert answer.header("Connection") == "close"
    assert time.monotonic() - started < 5 * PATIENCE


@pytest.mark.parametrize("headers", [
    [("Content-Length", "-1")], [("Content-Length", "99999999999999999999")],
    [("Content-Length", "5"), ("Content-Length", "6")],
    [("Content-Length", "5"), ("Transfer-Encoding", "xchunked")],
    [("Transfer-Encoding", "identity")]], ids=str)
def test_malformed_framing_never_becomes_a_request(site, fake, headers):
    wire = site.main.wire()
    wire.send_raw(wire.request(None, headers=headers) + creation())
    try:
        assert wire.answer().status >= 400
    except bosh.Broken:
        pass
    assert fake.since_mark() == []


def test_both_lengths_close_the_connection(site, fake):
    """RFC 9112 section 6.3: the chunks count, and nothing behind them is a request."""
    wire = site.main.wire()
    data = creation()
    head = wire.request(None, headers=[("Content-Length", "5"), ("Transfer-Encoding", "chunked")])
    wire.send_raw(head + b"%x\r\n" % len(data) + data + b"\r\n0\r\n\r\n")
    answer = wire.answer()
    assert answer.status == 400 or answer.header("Connection") == "close"


@pytest.mark.parametrize("where", ["main", "tls"])
def test_log_out_by_beacon(site, fake, new_session, where):
    """navigator.sendBeacon: text/plain, and nobody reads the answer."""
    endpoint = getattr(site, where)
    session = new_session(endpoint).open("echo.fake")
    connection = fake.connection()
    wire = endpoint.wire()
    wire.send(session.bytes("<presence type='unavailable' xmlns='jabber:client'/>",
                            type="terminate"),
              headers=[("Content-Type", "text/plain;charset=UTF-8"),
                       ("Origin", endpoint.url[:-len(endpoint.path)]),
                       ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Site", "same-origin")])
    if where == "main":
        wire.close()  # with TLS it would be a reset, for the tickets that were not read
    connection.wait_ended()
    assert [s.get("type") for s in connection.stanzas] == ["unavailable"]


# ---- the log ---------------------------------------------------------------------------------


def test_session_is_logged_with_its_terms_once(site, fake, new_session):
    size = site.httpd.log_size()
    session = new_session(site.wide).open("echo.fake", wait=17, hold=2, ver="1.9", ack=1)
    lines = [l for l in site.httpd.log_text()[size:].splitlines() if "BOSH3006" in l]
    assert len(lines) == 1
    assert "for echo.fake begins: ver 1.9, wait 17, hold 2, requests 3, inactivity 60" in lines[0]
    assert ", acks" in lines[0] and session.sid not in lines[0]
    assert "[bosh:debug]" in lines[0]
