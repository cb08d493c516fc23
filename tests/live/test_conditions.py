# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Terminal binding conditions (XEP-0124 section 17.2) that the HTTP side decides: which
domain, which place."""
import pytest

import httpd
from bosh import Endpoint, body_bytes, first_rid, message
from conftest import end_server, run_server
from strictxml import HTTPBIND
from tlsfront import TlsFront


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


# ---- patterns ------------------------------------------------------------------

@pytest.fixture(scope="module")
def wild(fake_server):
    """Another httpd, because its configuration names the scripted server's port."""
    server = run_server(httpd.Httpd(
        [("exact.fake", fake_server.address)],
        vhosts={"any": f"BoshDomain * {fake_server.address}\n"
                       "BoshDomain *.shut.fake xmpp://127.0.0.1:1\n"
                       f"BoshDomain open.shut.fake {fake_server.address}\n"
                       "BoshDomainGone old.fake",
                "below": f"BoshDomain *.fake {fake_server.address}",
                "routed": "BoshDomain exact.fake xmpp://127.0.0.1:1 tls=off\n"
                          f"BoshRoute a.example:5222 127.0.0.1:{fake_server.port}",
                "unrouted": f"BoshDomain exact.fake {fake_server.address}\nBoshRoute none"}))
    yield server
    end_server(server)


@pytest.fixture
def at(wild):
    """at(name of a virtual host)"""
    return lambda name: Endpoint(wild.port_of[name])


@pytest.mark.parametrize("where, to, reached", [
    ("any", "echo.fake", "echo.fake"), ("any", "Echo.FAKE.", "echo.fake"),
    ("any", "a.b.c.example", "a.b.c.example"), ("any", "b\u00fccher.fake", "b\u00fccher.fake"),
    ("any", "open.shut.fake", "open.shut.fake"), ("any", "shut.fake", "shut.fake"),
    ("any", "x" * 63 + ".fake", "x" * 63 + ".fake"),
    ("below", "echo.fake", "echo.fake"), ("below", "a.B.fake", "a.b.fake")])
def test_pattern_leads_to_its_server(at, fake, where, to, reached):
    create(at(where), to=to)
    assert fake.connection().to == reached


# Whatever reads as an address, or as a name of this machine or network, in any notation.
NASTY = [
    "127.0.0.1", "127.0.0.1.", "127.1", "0", "0.0.0.0", "2130706433", "0x7f.1", "0x7f000001",
    "0X7F.0.0.1", "0177.0.0.1", "[::1]", "::1", "::ffff:127.0.0.1", "[::ffff:127.0.0.1]",
    "fe80::1%lo", "169.254.169.254", "10.0.0.1", "10/8", "a.1", "a.0x1",
    "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "echo\uff0efake",
    "localhost", "LOCALHOST.", "a.localhost", "a.b.LocalHost.", "fake", "intranet", "fake.",
    "echo.fake..", ".echo.fake", "echo..fake", ".", "..", "*", "*.fake", "echo.fake:22",
    "echo.fake/..", "echo.fake/x", "user@echo.fake", " echo.fake", "echo.fake ", "echo fake.x",
    "echo.fake\t", "echo.fake\r\n", "echo.fake\u00a0", "echo\u200b.fake", "\u202eecho.fake",
    "\u2066echo.fake", "\ufeffecho.fake", "echo_.fake", "-echo.fake", "echo-.fake", "echo%00.fake",
    "x" * 64 + ".fake", ".".join(["x" * 60] * 4 + ["fake123456"]), "x." * 500 + "fake",
    "http://echo.fake", "unix:/run/x"]


@pytest.mark.parametrize("to", NASTY)
def test_pattern_leads_to_no_address_and_not_home(at, fake, to):
    answer = create(at("any"), to=to)
    assert (answer.type, answer.condition) == ("terminate", "host-unknown")
    assert fake.since_mark() == []


@pytest.mark.parametrize("where, to, condition", [
    ("any", "old.fake", "host-gone"),
    ("any", "a.shut.fake", "remote-connection-failed"),  # the longer pattern
    ("below", "fake", "host-unknown"), ("below", "echofake", "host-unknown"),
    ("below", "echo.fake.example", "host-unknown"), ("below", "echo.notfake", "host-unknown")])
def test_what_a_pattern_does_not_mean(at, fake, where, to, condition):
    answer = create(at(where), to=to, wait=10)
    assert (answer.type, answer.condition) == ("terminate", condition)
    assert fake.since_mark() == []


# ---- routes --------------------------------------------------------------------

def test_listed_route_is_followed(at, fake, fake_server):
    for route in ("xmpp:127.0.0.1:%d", "xmpp:127.0.0.1.:%d", "xmpp:127.0.0.1:0%d"):
        fake.mark()
        answer = create(at("routed"), to="exact.fake", route=route % fake_server.port)
        assert answer.body.get("sid")
        assert fake.connection().to == "exact.fake"


@pytest.fixture
def another_way(fake_server):
    """Another port at which the scripted server can be reached."""
    front = TlsFront(fake_server.port, mode="plain")
    yield front.port
    front.stop()


@pytest.mark.parametrize("where, route", [
    ("routed", "xmpp:127.0.0.1:{other}"), ("routed", "127.0.0.1:{port}"), ("routed", None),
    ("routed", "xmpp:127.1:{port}"), ("routed", "xmpp:localhost:{port}"), ("routed", "xmpp:"),
    ("routed", "xmpp:[127.0.0.1:{port}"), ("routed", "xmpps:127.0.0.1:{port}"), ("routed", "http:127.0.0.1:{port}"),
    ("routed", "xmpp:127.0.0.1:{port} "), ("routed", "xmpp: 127.0.0.1:{port}"),
    ("routed", "xmpp://127.0.0.1:{port}"), ("routed", "xmpp:127.0.0.1:+{port}"),
    ("routed", "xmpp:]:{port}"), ("routed", "xmpp::{port}"), ("routed", "xmpp:" + "x" * 5000),
    ("unrouted", "xmpp:127.0.0.1:1")])
def test_other_routes_mean_nothing(at, fake, fake_server, another_way, where, route):
    route = route and route.format(port=fake_server.port, other=another_way)
    answer = create(at(where), to="exact.fake", route=route, wait=10)
    if where == "unrouted":
        assert fake.connection().to == "exact.fake"
    else:
        assert answer.condition == "remote-connection-failed"
        assert fake.since_mark() == []


def test_route_is_for_domains_that_are_listed(at, fake, fake_server):
    answer = create(at("routed"), to="echo.fake", route="xmpp:127.0.0.1:%d" % fake_server.port)
    assert answer.condition == "host-unknown"
    assert fake.since_mark() == []
