# Licensed under the Apache License, Version 2.0; see LICENSE.
"""TLS to XMPP servers: who is trusted, and that nothing passes in the clear that must not.
Before each server stands one that can be dishonest (tlsfront.py)."""
import os
import re

import pytest

import bosh
from families import needs_ipv6
from strictxml import SASL
from tlsfront import OFFERED, REQUIRED, TlsFront
from waiting import until

FAILED = "remote-connection-failed"
SECRET = b"mechanism='PLAIN'"
LOGIN = "<auth xmlns='%s' mechanism='PLAIN'>AHVzZXIAc2VjcmV0</auth>" % SASL


@pytest.fixture
def fronts(fake_server):
    made = []

    def make(*args, **how):
        made.append(TlsFront(fake_server.port, *args, **how))
        return made[-1]
    yield make
    for front in made:
        front.stop()


@pytest.fixture
def reach(make_httpd, prosody, fake_server, ca):
    """An httpd that finds the domain at that front; options go behind the address."""
    def make(front, options="tls=required", domain="echo.fake", scheme=None, extra="", host=None):
        scheme = scheme or ("xmpps" if front.mode == "direct" else "xmpp")
        address = "%s://%s:%d %s" % (scheme, host or "127.0.0.1", front.port, options)
        return make_httpd(domains=[(domain, address)],
                          extra='BoshTLSCACertificateFile "%s"\n%s' % (ca.file, extra))
    return make


def chat(endpoint, new_session, domain="echo.fake"):
    session = new_session(endpoint).login(domain, "user", "secret")
    session.send_message(domain, "through it")
    session.wait_message("through it")
    return session


def refused(server, endpoint, new_session, words, domain="echo.fake"):
    """The client's password comes with the creation: it is there to be betrayed."""
    answer = new_session(endpoint).create(domain, payload=LOGIN)
    assert (answer.type, answer.condition) == ("terminate", FAILED)
    line = until(lambda: [x for x in server.log_text().splitlines() if "BOSH1001" in x], 5,
                 "a line in the log")[0]
    assert re.search(words, line), line


# ---- trusted ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["starttls", "direct"])
@pytest.mark.parametrize("names", [
    {"dns": ["echo.x.fake"]}, {"dns": ["other.fake", "ECHO.X.fake"]}, {"dns": ["*.x.fake"]},
    {"srv": ["_xmpp-client.echo.x.fake"]}, {"xmpp": ["echo.x.fake"]}],
    ids=["dns", "second", "wildcard", "srv-id", "xmpp-addr"])
def test_certificate_for_the_domain_is_trusted(reach, fronts, ca, new_session, fake, mode, names):
    domain = "echo.x.fake"
    front = fronts(*ca.issue(**names), mode=mode)
    server = reach(front, domain=domain)
    chat(bosh.Endpoint(server.port), new_session, domain)
    assert front.names == [domain]
    assert front.protocols == ["TLSv1.3"]
    if mode == "direct":
        assert front.alpn == ["xmpp-client"]
    assert SECRET not in front.said_in_the_clear()
    assert fake.connection().headers[0]["to"] == domain


@pytest.mark.parametrize("size", [1, 30000, 200000])
def test_large_stanzas_pass_through_tls(reach, fronts, ca, new_session, fake, size):
    server = reach(fronts(*ca.issue(dns=["echo.fake"])))
    session = new_session(bosh.Endpoint(server.port)).open("echo.fake")
    for n in range(3):
        session.send_message("echo.fake", "%d" % n * size)
        session.wait_message("%d" % n * size)


@needs_ipv6
@pytest.mark.parametrize("mode,options", [("starttls", "tls=required"), ("direct", ""),
                                          ("plain", "")])
def test_fixed_ipv6_address(reach, fronts, ca, new_session, fake, mode, options):
    """As plain as other addresses of this machine, unless it is to be otherwise."""
    front = fronts(*ca.issue(dns=["echo.fake"]), mode=mode, host="::1")
    chat(bosh.Endpoint(reach(front, options, host="[::1]").port), new_session)
    assert (front.carried, len(front.protocols)) == (1, mode != "plain")


@needs_ipv6
def test_localhost_has_an_ipv6_address_too(reach, fronts, new_session, fake):
    front = fronts(mode="plain", host="::1")
    chat(bosh.Endpoint(reach(front, "", host="localhost").port), new_session)
    assert front.carried == 1


def test_mapped_address_is_not_taken_for_this_machine(reach, fronts, ca, new_session, fake):
    """It is reached, and over TLS only."""
    front = fronts(*ca.issue(dns=["echo.fake"]), features=OFFERED)
    chat(bosh.Endpoint(reach(front, "", host="[::ffff:127.0.0.1]").port), new_session)
    assert len(front.protocols) == 1


def test_good_bye_over_tls(reach, fronts, ca, new_session, fake):
    server = reach(fronts(*ca.issue(dns=["echo.fake"])))
    session = chat(bosh.Endpoint(server.port), new_session)
    session.terminate()
    fake.connection().wait_ended()
    assert fake.connection().stream_closed


def test_who_somebody_is_is_not_told_before_tls(reach, fronts, ca, new_session, fake):
    front = fronts(*ca.issue(dns=["echo.fake"]))
    server = reach(front)
    new_session(bosh.Endpoint(server.port)).open("echo.fake", **{"from": "user@echo.fake"})
    assert fake.connection().headers[0]["from"] == "user@echo.fake"
    assert b"to='echo.fake'" in front.said_in_the_clear()
    assert b"user" not in front.said_in_the_clear()


# ---- not trusted -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["starttls", "direct"])
@pytest.mark.parametrize("how,words", [
    ({"dns": ["other.fake", "127.0.0.1"]}, r"other\.fake"), ({"dns": ["fake"]}, "echo.fake"),
    ({"dns": ["*.echo.fake"]}, "echo.fake"), ({"common_name": "echo.fake"}, "echo.fake"),
    ({"dns": ["echo.fake"], "days": -1}, "expired on"),
    ({"dns": ["echo.fake"], "begins": 5}, "not valid before"),
    ({"dns": ["echo.fake"], "self_signed": True}, "self-signed"),
    ({"dns": ["echo.fake"], "purpose": "clientAuth"}, "not for servers"),
    ({"srv": ["_xmpp-server.echo.fake"]}, "echo.fake")],
    ids=["name", "parent", "below", "common-name", "expired", "early", "self-signed", "purpose",
         "srv-server"])
def test_other_certificates_are_refused(reach, fronts, ca, new_session, fake, mode, how, words):
    front = fronts(*ca.issue(**how), mode=mode)
    server = reach(front)
    refused(server, bosh.Endpoint(server.port), new_session, words)
    assert SECRET not in front.said_in_the_clear()
    assert not front.carried


def test_unknown_authority_is_refused_and_verify_off_is_not(reach, fronts, ca, new_session, fake,
                                                             stranger):
    front = fronts(*stranger.issue(dns=["echo.fake"]))
    server = reach(front)
    refused(server, bosh.Endpoint(server.port), new_session, "authority")
    server = reach(front, "tls=required verify=off")
    chat(bosh.Endpoint(server.port), new_session)


# ---- strips, injections ------------------------------------------------------------------------


@pytest.mark.parametrize("how,words", [
    ({"features": ""}, "does not offer STARTTLS"),
    ({"reply": "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"}, "refused it"),
    ({"reply": "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"}, "STARTTLS"),
    ({"reply": ""}, "in time|closed"),
    ({"version": None}, "before 1.0"),
    ({"reply": "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><stream:features/>"},
     "followed <proceed/>"),
    ({"reply": "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/> "}, "followed <proceed/>"),
    ({"reply": "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><a"}, "followed <proceed/>")],
    ids=["stripped", "failure", "success", "silent", "old", "features", "space", "part"])
def test_starttls_that_is_tampered_with(reach, fronts, ca, new_session, fake, how, words):
    front = fronts(*ca.issue(dns=["echo.fake"]), **how)
    server = reach(front)
    refused(server, bosh.Endpoint(server.port), new_session, words)
    assert SECRET not in front.said_in_the_clear()
    assert not front.carried


def test_direct_tls_never_falls_back(reach, fronts, ca, new_session, fake):
    front = fronts(mode="plain")
    server = reach(front, "", scheme="xmpps")
    refused(server, bosh.Endpoint(server.port), new_session, "in time|TLS")
    assert front.accepted == 1


# ---- where TLS need not be ---------------------------------------------------------------------


@pytest.mark.parametrize("features,secured", [("", False), (OFFERED, False), (REQUIRED, True)],
                         ids=["none", "offered", "required"])
def test_loopback_uses_tls_only_where_the_server_wants_it(reach, fronts, ca, new_session, fake,
                                                          features, secured, stranger):
    """Its certificate does not matter: plain would do."""
    front = fronts(*stranger.issue(dns=["snakeoil"]), features=features)
    if not secured:
        front.mode = "plain"
    server = reach(front, "")
    chat(bosh.Endpoint(server.port), new_session)
    assert len(front.protocols) == secured


@pytest.mark.parametrize("features,secured", [("", False), (OFFERED, True), (REQUIRED, True)],
                         ids=["none", "offered", "required"])
def test_optional_tls(reach, fronts, ca, new_session, fake, features, secured):
    front = fronts(*ca.issue(dns=["echo.fake"]), features=features)
    if not secured:
        front.mode = "plain"
    server = reach(front, "tls=optional")
    chat(bosh.Endpoint(server.port), new_session)
    assert len(front.protocols) == secured


def test_authority_file_that_changes_is_read_again(reach, fronts, ca, new_session, fake, stranger):
    server = reach(fronts(*stranger.issue(dns=["echo.fake"])))
    endpoint = bosh.Endpoint(server.port)
    refused(server, endpoint, new_session, "authority")
    with open(ca.file) as f:
        before = f.read()
    try:
        with open(ca.file, "a") as f, open(stranger.file) as added:
            f.write(added.read())
        until(lambda: new_session(endpoint).create("echo.fake").type is None, 10, "trust")
    finally:
        with open(ca.file, "w") as f:
            f.write(before)


# ---- a socket of this machine -------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["plain", "starttls"])
def test_unix_socket(make_httpd, fronts, ca, new_session, fake, mode):
    path = os.path.join(ca.directory, "%s.sock" % mode)
    front = fronts(*ca.issue(dns=["snakeoil"]), mode=mode, path=path)
    server = make_httpd(domains=[("echo.fake", "unix:" + path)])
    endpoint = bosh.Endpoint(server.port)
    chat(endpoint, new_session)
    assert front.carried == 1
    front.stop()
    os.unlink(path)
    refused(server, endpoint, new_session, re.escape(path) + ".*No such file")


# ---- PROXY protocol -----------------------------------------------------------------------------


def test_proxy_protocol_tells_the_client(reach, fronts, ca, new_session, fake):
    front = fronts(*ca.issue(dns=["echo.fake"]), proxy_lines=1)
    server = reach(front, "tls=required proxy=v1")
    session = chat(bosh.Endpoint(server.port), new_session)
    assert re.fullmatch(rb"PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ %d\r\n" % server.port,
                        front.proxy[0])
    session.terminate()


# ---- see-other-host ----------------------------------------------------------------------------

ELSEWHERE = ("<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>127.0.0.1:%d"
             "</see-other-host></stream:error></stream:stream>")


class Redirected:
    """A session request on its way to one server, that says to see another."""

    def __init__(self, reach, fronts, fake, first, second, **how):
        self.fake, self.first, self.second = fake, fronts(*first), fronts(*second)
        self.httpd = reach(self.first, domain="puppet.fake", **how)
        self.wire = bosh.Endpoint(self.httpd.port).wire()
        self.wire.send(bosh.body_bytes(rid=bosh.first_rid(), to="puppet.fake", ver="1.11",
                                       wait="20", hold="1"))
        self.say_elsewhere(0, self.second)

    def connection(self, number):
        """The XMPP server's: one behind each TLS."""
        until(lambda: len(self.fake.since_mark()) > number
              and self.fake.since_mark()[number].headers, 5, "a stream")
        return self.fake.since_mark()[number]

    def say_elsewhere(self, number, front):
        c = self.connection(number)
        c.send(c.header() + ELSEWHERE % front.port)


@pytest.fixture
def at_home(ca):
    return ca.issue(dns=["puppet.fake"])


def test_see_other_host_is_followed(reach, fronts, fake, at_home):
    r = Redirected(reach, fronts, fake, at_home, at_home, extra="BoshAddressAllow 127.0.0.1")
    r.connection(1).greet()
    answer = r.wire.answer()
    assert answer.type is None and answer.body.get("sid")
    assert r.connection(1).headers[0]["to"] == "puppet.fake"
    assert r.second.names == ["puppet.fake"]


def test_see_other_host_is_followed_once(reach, fronts, fake, at_home):
    r = Redirected(reach, fronts, fake, at_home, at_home, extra="BoshAddressAllow 127.0.0.1")
    r.say_elsewhere(1, r.first)
    answer = r.wire.answer()
    assert (answer.type, answer.condition) == ("terminate", "remote-stream-error")
    assert b"see-other-host" in answer.raw
    assert (r.first.accepted, r.second.accepted) == (1, 1)


def test_see_other_host_is_subject_to_the_same_rules(reach, fronts, fake, at_home, ca):
    r = Redirected(reach, fronts, fake, at_home, at_home)
    assert r.wire.answer().condition == FAILED
    assert r.second.accepted == 0
    fake.mark()
    r = Redirected(reach, fronts, fake, at_home, ca.issue(dns=["other.fake"]),
                   extra="BoshAddressAllow 127.0.0.1")
    assert r.wire.answer().condition == FAILED
    assert r.second.accepted == 1 and not r.second.carried


@pytest.mark.parametrize("options", ["tls=off", "tls=required verify=off"])
def test_see_other_host_of_who_proved_nothing_is_not_followed(reach, fronts, fake, at_home, options):
    front, second = fronts(*at_home), fronts(*at_home)
    front.mode = "plain" if options == "tls=off" else "starttls"
    server = reach(front, options, domain="puppet.fake", extra="BoshAddressAllow 127.0.0.1")
    wire = bosh.Endpoint(server.port).wire()
    wire.send(bosh.body_bytes(rid=bosh.first_rid(), to="puppet.fake", ver="1.11", wait="20",
                              hold="1"))
    c = fake.connection()
    until(lambda: c.headers, 5, "a stream")
    c.send(c.header() + ELSEWHERE % second.port)
    assert wire.answer().condition == "remote-stream-error"
    assert second.accepted == 0


def test_server_of_this_machine_may_name_another_port_of_it(reach, fronts, fake):
    plain = None, None, "plain"
    r = Redirected(reach, fronts, fake, plain, plain, options="")
    r.connection(1).greet()
    answer = r.wire.answer()
    assert answer.type is None and answer.body.get("sid")
    assert r.connection(1).headers[0]["to"] == "puppet.fake"
    assert (r.first.accepted, r.second.accepted) == (1, 1)


def test_server_of_this_machine_leads_to_no_other(reach, fronts, fake):
    """It is spoken to in the clear. Outside, everybody would hear that."""
    server = reach(fronts(mode="plain"), "", domain="puppet.fake")
    wire = bosh.Endpoint(server.port).wire()
    wire.send(bosh.body_bytes(rid=bosh.first_rid(), to="puppet.fake", ver="1.11", wait="20",
                              hold="1"))
    c = fake.connection()
    c.send(c.header() + (ELSEWHERE % 5222).replace("127.0.0.1", "192.0.2.1"))
    assert wire.answer().condition == FAILED
    assert "not a loopback address: passwords would pass in the clear" in server.log_text()


# ---- max= --------------------------------------------------------------------------------------


def test_streams_to_a_domain_are_limited(reach, fronts, ca, new_session, fake):
    server = reach(fronts(*ca.issue(dns=["echo.fake"])), "tls=required max=2")
    endpoint = bosh.Endpoint(server.port)
    first, second = (new_session(endpoint).open("echo.fake") for _ in range(2))
    refused(server, endpoint, new_session, "max=")
    first.terminate()
    until(lambda: new_session(endpoint).create("echo.fake").type is None, 10, "room")
    second.send_message("echo.fake", "still here")
    second.wait_message("still here")


def test_streams_that_begin_within_a_minute_are_limited(reach, fronts, ca, new_session, fake):
    """Also if they are gone again. Nobody else is concerned."""
    front = fronts(*ca.issue(dns=["echo.fake", "crumbs.fake"]))
    server = reach(front, "tls=required new=2", domain="*.fake")
    endpoint = bosh.Endpoint(server.port)
    for _ in range(2):
        new_session(endpoint).open("echo.fake").terminate()
    until(lambda: server.count_log("BOSH1003") == 2, 5, "both to be gone")
    refused(server, endpoint, new_session, "new= allows")
    assert front.accepted == 2
    new_session(endpoint).open("crumbs.fake")


@pytest.mark.parametrize("mode", ["plain", "starttls"])
def test_stream_id_is_that_of_the_clients_stream(reach, fronts, ca, new_session, fake, mode):
    front = fronts(*ca.issue(dns=["echo.fake"]))
    front.mode = mode
    server = reach(front, "" if mode == "plain" else "tls=required")
    session = new_session(bosh.Endpoint(server.port)).open("echo.fake")
    assert session.created.body.get("authid") == "stream-%d-1" % fake.connection().number
