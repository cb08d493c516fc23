# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Whose pages may use the connection manager: BoshAllowOrigin, preflights, and what is
refused so that nobody's form or script on another site can."""
import re
import subprocess

import pytest

from bosh import body_bytes, first_rid

METHODS = "POST, OPTIONS, GET"
CORS = ("Access-Control-Allow-Origin", "Access-Control-Allow-Methods",
        "Access-Control-Allow-Headers", "Access-Control-Max-Age",
        "Access-Control-Allow-Credentials")
LISTED = ("https://chat.example", "HTTPS://CHAT.Example", "http://plain.example:8080", "null")
# As near to the listed ones, and to the site itself, as can be.
FOREIGN = ("https://evil.example", "http://chat.example", "https://chat.example:8443",
           "https://chat.example.evil.example", "https://xchat.example", "http://plain.example",
           "https://chat.example/", "https://chat.example,https://evil.example", "nul", "",
           "http://127.0.0.1", "http://127.0.0.1:1", "file://", "https://[::1]", "*")


def creation():
    return body_bytes(rid=first_rid(), to="echo.fake", wait=1, hold=1, ver="1.11",
                      xmpp_version="1.0")


def post(endpoint, origin=None, **others):
    headers = [("Origin", origin)] if origin is not None else []
    headers += [(k.replace("_", "-"), v) for k, v in others.items()]
    return endpoint.wire().ask(creation(), headers=headers)


def options(endpoint, origin, *more):
    headers = [("Origin", origin), ("Access-Control-Request-Method", "POST")] + list(more)
    return endpoint.wire().ask(None, method="OPTIONS", headers=headers)


def has_no_cors(answer):
    return all(answer.header(name) is None for name in CORS)


def is_refused(answer):
    return answer.status == 403 and b"type='terminate' condition='policy-violation'" in answer.raw


def own(endpoint, scheme="http"):
    return "%s://%s:%d" % (scheme, endpoint.host, endpoint.port)


# ---- listed ------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", LISTED)
def test_listed_origin_may_post_and_read(site, fake, origin):
    answer = post(site.cors, origin)
    assert answer.type is None and answer.body.get("sid")
    assert answer.header("Access-Control-Allow-Origin") == origin
    assert answer.header("Vary") == "Origin"
    assert answer.header("Access-Control-Allow-Credentials") is None


@pytest.mark.parametrize("origin", LISTED)
def test_listed_origin_gets_its_preflight(site, origin):
    answer = options(site.cors, origin, ("Access-Control-Request-Headers", "content-type"))
    assert answer.status == 200 and answer.reason == "OK" and answer.raw == b""
    assert answer.header("Content-Length") == "0"
    assert answer.header("Access-Control-Allow-Origin") == origin
    assert answer.header("Access-Control-Allow-Methods") == METHODS
    assert answer.header("Access-Control-Allow-Headers") == "Content-Type"
    assert answer.header("Access-Control-Max-Age") == "86400"
    assert answer.header("Vary") == "Origin"


def test_preflight_allows_what_means_nothing_and_echoes_nothing(site):
    answer = options(site.cors, "https://chat.example",
                     ("Access-Control-Request-Headers",
                      "x-requested-with, CACHE-CONTROL, authorization, x-evil, content-type"))
    assert answer.header("Access-Control-Allow-Headers") \
        == "Content-Type, Cache-Control, X-Requested-With"


def test_session_of_a_listed_origin_has_the_headers_on_all_answers(site, fake, new_session):
    session = new_session(site.cors).open("echo.fake")
    wire = site.cors.wire()
    headers = [("Origin", "https://chat.example")]
    wire.send(session.bytes(), headers=headers)
    wire.silent(0.1)
    fake.connection().push("held before")
    held = wire.answer(2)
    assert held.texts() == ["held before"]
    refused = wire.ask(b"<nonsense", headers=headers)
    ended = wire.ask(session.bytes(type="terminate"), headers=headers)
    unknown = wire.ask(session.bytes(sid="nobody"), headers=headers)
    page = wire.ask(None, method="GET", headers=headers)
    for answer in (held, refused, ended, unknown, page):
        assert answer.header("Access-Control-Allow-Origin") == "https://chat.example"
        assert re.findall(r"\w+", answer.header("Vary")).count("Origin") == 1
        assert answer.status == 200


def test_star_is_for_all_and_needs_no_vary(site, fake):
    for origin in ("https://anything.example", "null", None):
        answer = post(site.anyone, origin)
        assert answer.type is None
        assert answer.header("Access-Control-Allow-Origin") == "*"
        assert answer.header("Access-Control-Allow-Credentials") is None
        assert answer.header("Vary") is None
    answer = options(site.anyone, "https://anything.example")
    assert answer.status == 200 and answer.header("Access-Control-Allow-Origin") == "*"


# ---- not listed --------------------------------------------------------------------------


@pytest.mark.parametrize("origin", FOREIGN)
def test_foreign_origin_is_refused_and_reaches_nobody(site, fake, origin):
    answer = post(site.cors, origin)
    assert is_refused(answer)
    assert has_no_cors(answer) and answer.header("Vary") == "Origin"
    answer = options(site.cors, origin)
    assert answer.status == 200 and has_no_cors(answer)
    assert fake.since_mark() == []


def test_without_the_directive_nobody_is_allowed_and_nothing_is_said(site, fake):
    for origin in ("https://chat.example", "null"):
        answer = post(site.main, origin)
        assert is_refused(answer) and has_no_cors(answer) and answer.header("Vary") is None
        answer = options(site.main, origin)
        assert has_no_cors(answer) and answer.header("Vary") is None
        assert "POST" in answer.header("Allow")
    assert fake.since_mark() == []


def test_connection_lives_after_a_refusal(site, fake):
    wire = site.main.wire()
    assert is_refused(wire.ask(creation(), headers=[("Origin", "https://evil.example")]))
    assert wire.ask(creation()).type is None


# ---- this site itself --------------------------------------------------------------------


def test_who_sends_no_origin_is_served(site, fake):
    for endpoint in (site.main, site.cors, site.tls):
        assert post(endpoint).type is None


def test_same_origin_is_served(site, fake):
    for endpoint in (site.main, site.cors):
        assert post(endpoint, own(endpoint)).type is None
        assert post(endpoint, own(endpoint, "HTTP")).type is None
    assert post(site.tls, own(site.tls, "https")).type is None
    assert has_no_cors(post(site.main, own(site.main)))


@pytest.mark.parametrize("host, origin, same", [
    ("chat.example", "https://chat.example", True),  # a proxy in front speaks TLS
    ("chat.example", "http://chat.example", True),
    ("Chat.Example:443", "https://chat.example", True),
    ("chat.example:80", "http://chat.example", True),
    ("chat.example:8443", "https://chat.example:8443", True),
    ("[::1]:8443", "https://[::1]:8443", True),
    ("[::1]", "https://[::1]", True),
    ("chat.example", "https://chat.example:8443", False),
    ("chat.example:8443", "https://chat.example", False),
    ("chat.example", "https://www.chat.example", False),
    ("chat.example", "chat.example", False),
    ("chat.example", "ftp://chat.example", False),
    ("chat.example", "https://", False),
])
def test_same_origin_behind_a_proxy(site, fake, host, origin, same):
    wire = site.main.wire()
    data = wire.request(creation(), headers=[("Origin", origin)])
    wire.send_raw(data.replace(b"Host: 127.0.0.1:%d" % site.main.port, b"Host: " + host.encode()))
    answer = wire.answer()
    assert answer.type is None if same else is_refused(answer)


def test_proxy_with_another_name_for_us(site, fake):
    answer = post(site.main, "https://www.example", X_Forwarded_Host="a.example, www.example:443")
    assert answer.type is None
    assert is_refused(post(site.main, "https://www.example", X_Forwarded_Host="a.example"))


def test_browser_that_says_same_origin_is_believed(site, fake):
    """A privacy setting makes the Origin `null`, a proxy changes Host."""
    assert post(site.main, "null", Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="cors").type is None
    assert is_refused(post(site.main, "null", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="cors"))


@pytest.mark.parametrize("where", ["main", "cors", "anyone"])
def test_form_that_navigates_is_refused(site, fake, where):
    """XML with a script in it must never be shown as a page of this site."""
    endpoint = getattr(site, where)
    for more in ({}, {"Sec_Fetch_Site": "same-origin"}, {"origin": own(endpoint)}):
        answer = post(endpoint, Sec_Fetch_Mode="navigate", Content_Type="text/plain", **more)
        assert is_refused(answer)
        assert answer.header("Content-Security-Policy") == "default-src 'none'; sandbox"
    assert fake.since_mark() == []
    assert endpoint.wire().ask(None, method="GET",
                               headers=[("Sec-Fetch-Mode", "navigate")]).status == 200


def test_same_over_http2(site, fake, tmp_path):
    (tmp_path / "body").write_bytes(creation())
    for origin, status in ((own(site.tls, "https"), b"200"), ("https://evil.example", b"403")):
        out = subprocess.run(["curl", "-skS", "--http2", "-o", str(tmp_path / "out"),
                              "-w", "%{http_version} %{http_code}", "-H", "Origin: " + origin,
                              "--data-binary", "@%s" % (tmp_path / "body"), site.tls.url],
                             stdout=subprocess.PIPE, timeout=30).stdout
        assert out == b"2 " + status
