# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Clients that sent no `ver` when they created their session get HTTP status codes in the
place of three conditions (XEP-0124 section 17.1); all others get 200 and the condition."""
import pytest

from bosh import body_bytes, first_rid, message

CODES = {"bad-request": 400, "policy-violation": 403, "item-not-found": 404}


def is_told(answer, condition, status):
    """The body says the same, whatever the status."""
    return answer.status == status and \
        ("type='terminate' condition='%s'" % condition).encode() in answer.raw


def create(endpoint, **attrs):
    return endpoint.wire().ask(body_bytes(**{"rid": first_rid(), "to": "echo.fake", "wait": 1,
                                             "hold": 1, **attrs}))


@pytest.fixture
def opened(site, fake, new_session):
    return new_session(site.main).open("echo.fake", ver=None)


@pytest.mark.parametrize("attrs", [{"rid": "x"}, {"rid": None}, {"wait": "x"}, {"hold": "-1"},
                                   {"content": "x"}, {"pause": "x"}], ids=str)
@pytest.mark.parametrize("ver", [None, "1.6"])
def test_malformed_session_request(site, attrs, ver):
    assert is_told(create(site.main, ver=ver, **attrs), "bad-request", 200 if ver else 400)


@pytest.mark.parametrize("ver", ["", "one", "1"])
def test_malformed_version_is_a_version_all_the_same(site, ver):
    assert is_told(create(site.main, ver=ver), "bad-request", 200)


def test_conditions_without_a_code_are_told_with_200(site):
    assert is_told(create(site.main, to="nobody.example"), "host-unknown", 200)
    assert is_told(create(site.main, to=None), "improper-addressing", 200)


def test_session_of_a_legacy_client_works(site, opened):
    assert opened.created.body.get("ver") is None
    assert opened.ask(message("echo.fake", "x")).texts() == ["x"]
    assert opened.terminate()[-1].status == 200


def test_end_of_a_legacy_session(site, opened):
    answer = site.main.wire().ask(opened.bytes(rid=opened.rid + 99))
    assert is_told(answer, "item-not-found", 404)
    assert answer.header("Content-Type") == "text/xml; charset=utf-8"


def test_breach_of_a_legacy_session(site, opened):
    answer = site.main.wire().ask(opened.bytes(pause=86400))
    assert is_told(answer, "policy-violation", 403)


def test_same_of_others(site, fake, new_session):
    session = new_session(site.main).open("echo.fake")
    assert is_told(site.main.wire().ask(session.bytes(rid=session.rid + 99)), "item-not-found", 200)


def test_unknown_session_may_be_anybodys(site):
    assert is_told(site.main.wire().ask(body_bytes(rid=5, sid="nobody")), "item-not-found", 200)


@pytest.mark.parametrize("data", [b"", b" \r\n"], ids=["empty", "white space"])
def test_empty_post_is_a_bad_request(site, data):
    assert is_told(site.main.wire().ask(data), "bad-request", 400)


def test_post_without_a_body_at_all(site):
    wire = site.main.wire()
    wire.send_raw(wire.request(None))
    assert is_told(wire.answer(), "bad-request", 400)


@pytest.mark.parametrize("data", [b"<nonsense", b"{}", b"\xff", b"<body/>", b"<body ver='1.6'"])
def test_bytes_that_nobody_can_read_are_told_with_200(site, data):
    """Every client takes it for an end, and the ones that know `ver` need it."""
    assert is_told(site.main.wire().ask(data), "bad-request", 200)
