# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Compressed answers, which have to be asked for by the administrator, and compressed
requests, which httpd's own filter inflates."""
import gzip
import re
import subprocess
import zlib

import pytest

import bosh
from bosh import body_bytes, first_rid, message

GZIP = [("Accept-Encoding", "gzip, deflate")]
PACKED = [("Content-Encoding", "gzip")]


def unpacked(answer):
    """The answer as it was before compression."""
    assert answer.header("Content-Encoding") == "gzip", answer
    return bosh.Answer(answer.status, answer.reason, answer.version, answer.headers,
                       gzip.decompress(answer.raw))


def check_packed(answer):
    """Whole, with its length: some clients know nothing of chunks. mod_deflate leaves
    the smallest as they are."""
    assert answer.status == 200 and answer.reason == "OK"
    assert answer.header("Transfer-Encoding") is None
    assert answer.header("Content-Length") == str(len(answer.raw))
    assert answer.header("Content-Type") == "text/xml; charset=utf-8"
    assert answer.header("ETag") is None
    if len(answer.raw) < 80 and answer.header("Content-Encoding") is None:
        return answer
    assert "Accept-Encoding" in answer.header("Vary")
    return unpacked(answer)


# ---- answers -----------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["nozip", "main"])
def test_answers_are_not_compressed_unless_told_so(site, fake, new_session, where):
    session = new_session(getattr(site, where)).open("echo.fake")
    answer = session.endpoint.wire().ask(session.bytes(message("echo.fake", "x" * 5000)),
                                         headers=GZIP)
    assert answer.header("Content-Encoding") is None and answer.header("Vary") is None
    assert answer.texts() == ["x" * 5000]


def test_answers_are_compressed_if_configured_and_asked_for(site, fake, new_session):
    session = new_session(site.zip).open("echo.fake")
    wire = site.zip.wire()
    for text in ("x", "y" * 200, "\u00e9" * 100000):
        answer = check_packed(wire.ask(session.bytes(message("echo.fake", text)), headers=GZIP))
        assert answer.texts() == [text]
    plain = wire.ask(session.bytes(message("echo.fake", "z")))
    assert plain.header("Content-Encoding") is None and plain.texts() == ["z"]


def test_held_answers_are_compressed_and_leave_at_once(site, fake, new_session):
    session = new_session(site.zip).open("echo.fake")
    connection = fake.connection()
    wire = site.zip.wire()
    for n in range(10):
        wire.send(session.bytes(), headers=GZIP)
        if n % 5 == 0:
            wire.silent(0.1)
        connection.push("n%d" % n)
        assert check_packed(wire.answer(2)).texts() == ["n%d" % n]
    wire.send(session.bytes(pause=60), headers=GZIP)  # the smallest answer there is
    assert check_packed(wire.answer(2)).stanzas == []


def test_large_held_answer_is_compressed_whole(site, fake, new_session):
    session = new_session(site.zip).open("echo.fake")
    wire = site.zip.wire()
    wire.send(session.bytes(), headers=GZIP)
    wire.silent(0.1)
    fake.connection().push("q" * 700000)
    answer = unpacked(wire.answer(5))
    assert answer.texts() == ["q" * 700000]


def test_repeat_is_the_same_once_unpacked(site, fake, new_session):
    session = new_session(site.zip).open("echo.fake")
    data = session.bytes(message("echo.fake", "once"))
    first = site.zip.wire().ask(data)
    packed = check_packed(site.zip.wire().ask(data, headers=GZIP))
    assert packed.raw == first.raw


def test_whole_session_compressed(site, fake, new_session):
    session = new_session(site.zip)
    wire = site.zip.wire()
    created = check_packed(wire.ask(body_bytes(rid=session.rid, to="echo.fake", wait=1, hold=1,
                                               ver="1.11", xmpp_version="1.0"), headers=GZIP))
    session.sid = created.body.get("sid")
    assert created.body.get("accept") is None
    assert check_packed(wire.ask(session.bytes(), headers=GZIP)).stanzas == []  # after `wait`
    assert check_packed(wire.ask(b"<nonsense", headers=GZIP)).condition == "bad-request"
    ended = check_packed(wire.ask(session.bytes(type="terminate"), headers=GZIP))
    assert ended.type == "terminate"


def test_http_1_0_gets_its_length(site, fake, new_session):
    session = new_session(site.zip).open("echo.fake")
    wire = site.zip.wire()
    headers = GZIP + [("Connection", "keep-alive")]
    for text in ("a", "b"):
        answer = wire.ask(session.bytes(message("echo.fake", text)), version="1.0",
                          headers=headers)
        assert check_packed(answer).texts() == [text]


def test_tls_and_http2_compressed_and_held(make_httpd, fake, new_session, tmp_path):
    server = make_httpd(extra="AddOutputFilterByType DEFLATE text/xml\nBoshCompress on")
    endpoint = bosh.Endpoint(server.tls_port, tls=True)
    session = new_session(endpoint).open("echo.fake", wait=10)
    wire = endpoint.wire()
    for n in range(3):
        wire.send(session.bytes(), headers=GZIP)
        wire.silent(0.1)
        fake.connection().push("tls %d" % n)
        assert check_packed(wire.answer(2)).texts() == ["tls %d" % n]
    (tmp_path / "body").write_bytes(session.bytes())
    curl = subprocess.Popen(["curl", "-sk", "--http2", "--compressed", "-i", "--data-binary",
                             "@%s" % (tmp_path / "body"), "-H", "Content-Type: text/xml",
                             endpoint.url], stdout=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        curl.communicate(timeout=0.5)
    fake.connection().push("pushed")
    out = curl.communicate(timeout=5)[0]
    assert out.startswith(b"HTTP/2 200") and b"content-encoding: gzip" in out
    assert b"pushed" in out


# ---- requests ----------------------------------------------------------------------------


def pack(data, coding="gzip"):
    return gzip.compress(data) if coding == "gzip" else zlib.compress(data)


def test_compressed_requests_are_announced_and_inflated(site, fake, new_session):
    session = new_session(site.inflate)
    wire = site.inflate.wire()
    answer = wire.ask(pack(body_bytes(rid=session.rid, to="echo.fake", wait=1, hold=1, ver="1.11",
                                      xmpp_version="1.0")), headers=PACKED)
    session.sid = answer.body.get("sid")
    assert session.sid and answer.body.get("accept") == "gzip"
    for text in ("small", "l" * 60000):
        data = pack(session.bytes(message("echo.fake", text)))
        answer = wire.ask(data, headers=PACKED)
        assert answer.texts() == [text]
    # Without, all the same; and in chunks.
    assert wire.ask(session.bytes(message("echo.fake", "plain"))).texts() == ["plain"]
    data = pack(session.bytes(message("echo.fake", "chunks")))
    wire.send_raw(wire.request(None, headers=PACKED + [("Transfer-Encoding", "chunked")]))
    for i in range(0, len(data), 11):
        wire.send_raw(b"%x\r\n" % len(data[i:i + 11]) + data[i:i + 11] + b"\r\n")
    wire.send_raw(b"0\r\n\r\n")
    assert wire.answer().texts() == ["chunks"]


def test_creation_answer_that_announces_gzip_can_be_repeated(site, fake, new_session):
    data = body_bytes(rid=first_rid(), to="echo.fake", wait=1, hold=1, ver="1.11",
                      xmpp_version="1.0")
    first = site.inflate.wire().ask(data)
    session = new_session(site.inflate)
    session.sid = first.body.get("sid")
    assert b"accept='gzip'" in first.raw
    again = body_bytes(rid=int(re.search(rb"rid='(\d+)'", data)[1]), sid=session.sid)
    assert site.inflate.wire().ask(again).raw == first.raw


def test_without_the_filter_nothing_is_announced_and_gzip_is_no_xml(site, fake, new_session):
    session = new_session(site.main).open("echo.fake")
    assert session.created.body.get("accept") is None
    answer = site.main.wire().ask(pack(session.bytes(message("echo.fake", "x"))), headers=PACKED)
    assert (answer.status, answer.condition) == (200, "bad-request")
    session.rid -= 1
    assert session.ask(message("echo.fake", "unharmed")).texts() == ["unharmed"]


@pytest.mark.parametrize("size", [70000, 500000, 50 * 1000 * 1000])
def test_size_counts_after_inflation(site, fake, new_session, size):
    """A few bytes that become many."""
    session = new_session(site.inflate).open("echo.fake")
    data = pack(session.bytes(message("echo.fake", "b" * size)))
    assert len(data) < 65536
    answer = site.inflate.wire().ask(data, headers=PACKED)
    assert (answer.status, answer.type, answer.condition) == (200, "terminate", "bad-request")
    session.rid -= 1
    assert session.ask(message("echo.fake", "unharmed")).texts() == ["unharmed"]


@pytest.mark.parametrize("spoil", [lambda d: d[:-9], lambda d: d[:20] + b"\xff" * 8 + d[28:],
                                   lambda d: b"not gzip at all", lambda d: d[:10]],
                         ids=["cut", "damaged", "other", "header only"])
def test_damaged_gzip_is_refused(site, fake, new_session, spoil):
    session = new_session(site.inflate).open("echo.fake")
    data = spoil(pack(session.bytes(message("echo.fake", "SMUGGLED" * 50))))
    try:
        answer = site.inflate.wire().ask(data, headers=PACKED)
        assert (answer.status, answer.condition) == (200, "bad-request")
    except bosh.Broken:
        pass
    session.rid -= 1
    assert session.ask(message("echo.fake", "unharmed")).texts() == ["unharmed"]
    assert fake.connection().bodies() == ["unharmed"]


@pytest.mark.parametrize("where", ["main", "inflate"])
@pytest.mark.parametrize("coding", ["text/xml; charset=utf-8", "identity", "text/xml"])
def test_content_encoding_that_is_none_is_ignored(site, fake, new_session, where, coding):
    """libpurple writes a media type there."""
    endpoint = getattr(site, where)
    session = new_session(endpoint).open("echo.fake")
    answer = endpoint.wire().ask(session.bytes(message("echo.fake", "x")),
                                 headers=[("Content-Encoding", coding)])
    assert answer.texts() == ["x"]
