# Licensed under the Apache License, Version 2.0; see LICENSE.
"""XMPP servers as Debian installs them, which require encryption of clients. They are given a
domain and a certificate for it, and ports of the test's own, and nothing else; httpd knows of
them what the README says."""
import pytest

import bosh
from acquaintances import chat, pair
from conftest import end_server, need_module, run_server
from ejabberd import Ejabberd
from httpd import Httpd
from prosody import Prosody


@pytest.fixture(scope="module", params=[Prosody, Ejabberd], ids=["prosody", "ejabberd"])
def stock(request, ca):
    cert, key = ca.issue(dns=["stock.fake"])
    server = request.param("stock.fake", stock=True, cert=cert, key=key)
    try:
        yield server.start()
    finally:
        server.stop()


def ways(stock, stranger):
    """Virtual hosts, each of which reaches the same server in another way."""
    distrust = '\nBoshTLSCACertificateFile "%s"' % stranger.file
    found = {
        "default": stock.address,
        "required": stock.address + " tls=required",
        "direct": stock.direct_address,
        "defaultstrange": stock.address + distrust,
        "untrusted": stock.address + " tls=required" + distrust,
        "untrusteddirect": stock.direct_address + distrust,
        "off": stock.address + " tls=off",
    }
    return {name: "BoshDomain %s %s" % (stock.domain, how) for name, how in found.items()}


@pytest.fixture(scope="module")
def httpd(ca, stranger, stock):
    need_module()
    server = run_server(Httpd(vhosts=ways(stock, stranger),
                              extra='BoshTLSCACertificateFile "%s"' % ca.file))
    yield server
    end_server(server)


@pytest.mark.parametrize("way", ["default", "required", "direct", "defaultstrange"])
def test_two_users_chat_and_leave(stock, httpd, new_session, way):
    """A fixed loopback address with default options needs no certificate that one can
    verify."""
    friends = pair(new_session, bosh.Endpoint(httpd.port_of[way]), stock)
    chat(*friends)
    for session in friends:
        session.terminate()
        assert (session.ended.status, session.ended.condition) == (200, None)


@pytest.mark.parametrize("way", ["untrusted", "untrusteddirect"])
def test_certificate_of_a_stranger_is_not_accepted(stock, httpd, new_session, way):
    session = new_session(bosh.Endpoint(httpd.port_of[way]))
    session.create(stock.domain)
    while not session.ended:
        session.ask()
    assert session.ended.condition == "remote-connection-failed"


def test_client_is_told_that_it_cannot_log_in_without_encryption(stock, httpd, new_session):
    """With tls=off there is no mechanism on offer; the server never sees the password by that."""
    session = new_session(bosh.Endpoint(httpd.port_of["off"])).open(stock.domain)
    raw = b"".join(answer.raw for answer in session.answers)
    assert b"<mechanism>" not in raw and b"starttls" not in raw
