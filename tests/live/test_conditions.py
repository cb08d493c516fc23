# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Terminal binding conditions (XEP-0124 section 17.2) that the HTTP side decides: which
domain, which place."""
import pytest

from bosh import body_bytes, first_rid, message
from strictxml import HTTPBIND


def create(endpoint, **attrs):
    return endpoint.wire().ask(body_bytes(**{
        "rid": first_rid(), "to": "echo.fake", "wait": 1, "hold": 1, "ver": "1.11",
        "xmpp_version": "1.0", **attrs}))


@pytest.mark.parametrize("to, condition", [
    ("old.example", "host-gone"), ("OLD.Example.", "host-gone"),
    ("shut.fake", "host-gone"),  # although BoshDomain still has it
    ("older.example", "host-unknown"), ("nobody.example", "host-unknown"),
    ("127.0.0.1", "host-unknown"), ("echo.fake:5222", "host-unknown"),
    ("user@echo.fake", "host-unknown"), (" echo.fake", "host-unknown"),
    ("", "improper-addressing"), (None, "improper-addressing")])
def test_domain_that_is_not_served(site, fake, to, condition):
    answer = create(site.gone, to=to)
    assert (answer.status, answer.type, answer.condition) == (200, "terminate", condition)
    assert answer.stanzas == [] and answer.body.get("sid") is None
    assert fake.since_mark() == []


def test_other_hosts_know_nothing_of_a_domain_that_is_gone_here(site):
    assert create(site.main, to="old.example").condition == "host-unknown"


def test_session_elsewhere(site, fake):
    answer = create(site.moved)
    assert (answer.status, answer.type, answer.condition) == (200, "terminate", "see-other-uri")
    assert [c.tag for c in answer.body] == ["{%s}uri" % HTTPBIND]
    assert answer.body[0].text == "https://new.example/http-bind?a=1&b=2"
    assert create(site.moved, to="nobody.example").condition == "see-other-uri"
    assert create(site.moved, wait="x").condition == "bad-request"
    assert fake.since_mark() == []


def test_sessions_that_were_here_go_on(make_httpd, fake, new_session):
    import bosh
    server = make_httpd()
    endpoint = bosh.Endpoint(server.port)
    session = new_session(endpoint).open("echo.fake")
    server.extra = "BoshSeeOtherURI https://new.example/http-bind"
    server.write_conf()
    server.graceful()
    assert create(endpoint).condition == "see-other-uri"
    assert session.ask(message("echo.fake", "still here")).texts() == ["still here"]


@pytest.mark.parametrize("route", ["xmpp:echo.fake:5222", "xmpp:127.0.0.1:1", "xmpp:[::1]:11211",
                                   "http:evil.example:80", "unix:/run/x", "", "xmpp:echo.fake:0",
                                   "nonsense"])
def test_route_means_nothing(site, fake, route):
    """gloox always sends one; and none leads anywhere else."""
    answer = create(site.main, route=route, secure="true")
    assert answer.type is None and answer.body.get("sid")
    assert fake.connection().to == "echo.fake"


def test_without_a_version_of_xmpp(site, fake):
    answer = create(site.main, xmpp_version=None)
    assert answer.type is None
    assert fake.connection().headers[0].get("version") == "1.0"
