# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A real ejabberd behind STARTTLS, direct TLS and the PROXY protocol."""
import pytest

import bosh
from acquaintances import chat, pair
from conftest import end_server, need_module, run_server
from ejabberd import Ejabberd
from httpd import MODULES, Httpd
from waiting import until

# A proxy in front of httpd says who the browser is: an address of another family.
BEYOND = "2001:db8::7"
BEHIND_A_PROXY = ('RemoteIPHeader X-Forwarded-For\nRemoteIPInternalProxy 127.0.0.1\n'
                  'RequestHeader set X-Forwarded-For "%s" early' % BEYOND)


@pytest.fixture(scope="module")
def ejabberd(ca):
    cert, key = ca.issue(dns=["ejabberd.fake"])
    server = Ejabberd("ejabberd.fake", cert=cert, key=key)
    try:
        yield server.start()
    finally:
        server.stop()


def ways(ejabberd, stranger):
    """Virtual hosts, each of which reaches the same server in another way."""
    distrust = '\nBoshTLSCACertificateFile "%s"' % stranger.file
    found = {
        "offered": ejabberd.address,
        "demanded": ejabberd.starttls_address,
        "required": ejabberd.address + " tls=required",
        "both": ejabberd.starttls_address + " tls=required",
        "direct": ejabberd.direct_address,
        "proxy1": ejabberd.proxy_address + " proxy=v1",
        "proxy2": ejabberd.proxy_address + " proxy=v2",
        "proxy1tls": ejabberd.proxy_address + " proxy=v1 tls=required",
        "proxy2tls": ejabberd.proxy_address + " proxy=v2 tls=required",
        "proxy1far": ejabberd.proxy_address + " proxy=v1\n" + BEHIND_A_PROXY,
        "proxy2far": ejabberd.proxy_address + " proxy=v2\n" + BEHIND_A_PROXY,
        "untrusted": ejabberd.starttls_address + " tls=required" + distrust,
        "untrusteddirect": ejabberd.direct_address + distrust,
    }
    return {name: "BoshDomain %s %s" % (ejabberd.domain, how) for name, how in found.items()}


@pytest.fixture(scope="module")
def httpd(ca, stranger, ejabberd):
    need_module()
    server = run_server(Httpd(
        vhosts=ways(ejabberd, stranger),
        extra='LoadModule remoteip_module %s/mod_remoteip.so\nBoshTLSCACertificateFile "%s"'
        % (MODULES, ca.file)))
    yield server
    end_server(server)


@pytest.fixture
def endpoint(httpd):
    """endpoint(way)"""
    return lambda way: bosh.Endpoint(httpd.port_of[way])


def lines(ejabberd, *words):
    """Of its log, with all these words in them."""
    return [line for line in ejabberd.log_text().splitlines() if all(w in line for w in words)]


def is_encrypted(ejabberd, jid):
    opened = until(lambda: lines(ejabberd, "Opened c2s session for " + jid), 5,
                   "ejabberd to tell of the session")
    return "(tls|" in opened[0]


@pytest.mark.parametrize("way, encrypted", [
    ("offered", False), ("demanded", True), ("required", True), ("both", True),
    ("direct", True)])
def test_two_users_chat_and_leave(ejabberd, endpoint, new_session, way, encrypted):
    """A server on loopback that merely offers STARTTLS is spoken to in plain text."""
    friends = pair(new_session, endpoint(way), ejabberd)
    chat(*friends)
    for session in friends:
        until(lambda: is_encrypted(ejabberd, session.jid) == encrypted, 5, "the log to say so")
        session.terminate()
        assert (session.ended.status, session.ended.condition) == (200, None)
        until(lambda: lines(ejabberd, "Closing c2s session for %s: Stream reset by peer"
                            % session.jid), 5, "ejabberd to see the end of the stream")


@pytest.mark.parametrize("way", ["required", "direct"])
def test_client_hears_nothing_of_tls(ejabberd, endpoint, new_session, way):
    """Channel binding to a connection that is not the client's cannot work."""
    session = new_session(endpoint(way)).open(ejabberd.domain)
    raw = b"".join(answer.raw for answer in session.answers)
    assert b"<mechanism>SCRAM-SHA-1</mechanism>" in raw
    assert b"-PLUS" not in raw and b"starttls" not in raw


@pytest.mark.parametrize("way", ["untrusted", "untrusteddirect"])
def test_certificate_of_a_stranger_is_not_accepted(ejabberd, endpoint, new_session, way):
    session = new_session(endpoint(way))
    session.create(ejabberd.domain)
    while not session.ended:
        session.ask()
    assert session.ended.condition == "remote-connection-failed"


@pytest.mark.parametrize("way, encrypted", [
    ("proxy1", False), ("proxy2", False), ("proxy1tls", True), ("proxy2tls", True)])
def test_ejabberd_sees_the_browsers_address(ejabberd, httpd, endpoint, new_session, way,
                                            encrypted):
    """On loopback both are at the same address; the ports tell them apart."""
    session = new_session(endpoint(way))
    wire = session.free_wire()
    session.login(ejabberd.domain, "romeo", ejabberd.accounts["romeo"], wire=wire)
    until(lambda: is_encrypted(ejabberd, session.jid) == encrypted, 5, "the log to say so")
    until(lambda: lines(ejabberd, "Accepted proxied connection 127.0.0.1:%d -> 127.0.0.1:%d"
                        % (wire.client_port, httpd.port_of[way])), 5, "the address in the log")


@pytest.mark.parametrize("way", ["proxy1far", "proxy2far"])
def test_ejabberd_sees_the_address_beyond_a_proxy_of_httpds(ejabberd, endpoint, new_session,
                                                            way):
    before = len(lines(ejabberd, "authentication for juliet@", "from " + BEYOND))
    new_session(endpoint(way)).login(ejabberd.domain, "juliet", ejabberd.accounts["juliet"])
    until(lambda: len(lines(ejabberd, "authentication for juliet@", "from " + BEYOND))
          == before + 1, 5, "the address in ejabberd's log")
