# Licensed under the Apache License, Version 2.0; see LICENSE.
"""From an XMPP domain to its servers: SRV records, their order, and addresses that must not be
reached. The name server is the tests' own (dns.py), and so are all servers, on loopback."""
import contextlib
import re
import time

import pytest

import bosh
import dns
import resolver
from authority import new_authority
from dns import NODATA, SERVFAIL, Dns
from resolver import Resolver
from tap import Tap
from tlsfront import TlsFront
from waiting import PATIENCE, until

pytestmark = pytest.mark.skipif(
    bool(dns.reason_to_skip() or resolver.reason_to_skip()),
    reason=str(dns.reason_to_skip() or resolver.reason_to_skip()))

DOMAIN = "echo.x.fake"
CLIENT, CLIENTS = "_xmpp-client._tcp." + DOMAIN, "_xmpps-client._tcp." + DOMAIN
FAILED = "remote-connection-failed"


@pytest.fixture(scope="module")
def ca():
    with new_authority() as authority:
        yield authority


@pytest.fixture
def world(make_httpd, fake_server, ca):
    """What a test builds its network of: fronts, a name server, an httpd that asks it."""
    with contextlib.ExitStack() as stack:
        class World:
            zones = {}

            def front(self, **how):
                made = TlsFront(fake_server.port, *ca.issue(dns=[DOMAIN]), **how)
                stack.callback(made.stop)
                return made

            def start(self, zones, extra="BoshAddressAllow 127.0.0.0/8 ::1", options=""):
                self.dns = stack.enter_context(Dns(zones))
                own = stack.enter_context(Resolver(self.dns.address))
                self.httpd = make_httpd(
                    domains=[(DOMAIN, options)], wrapper=own.wrapper,
                    extra='BoshTLSCACertificateFile "%s"\n%s' % (ca.file, extra))
                return bosh.Endpoint(self.httpd.port)

            def fails(self, endpoint, new_session, words):
                answer = new_session(endpoint).create(DOMAIN, timeout=20)
                while answer.type is None:
                    answer = new_session(endpoint).create(DOMAIN, timeout=20)
                assert (answer.type, answer.condition) == ("terminate", FAILED)
                line = until(lambda: [x for x in self.httpd.log_text().splitlines()
                                      if "BOSH1001" in x], 5, "a line in the log")[0]
                assert re.search(words, line), line
        yield World()


def chats(endpoint, new_session):
    session = new_session(endpoint).login(DOMAIN, "user", "secret", timeout=20)
    session.send_message(DOMAIN, "found")
    session.wait_message("found")


def hosts(*names):
    return {name + ".x.fake": {"A": [address], "AAAA": NODATA} for name, address in names}


@pytest.mark.parametrize("name,mode", [(CLIENT, "starttls"), (CLIENTS, "direct")],
                         ids=["xmpp-client", "xmpps-client"])
def test_server_is_found_by_srv(world, new_session, name, mode):
    front = world.front(mode=mode, host="127.0.0.9")
    endpoint = world.start({name: {"SRV": [(5, 0, front.port, "a.x.fake")]},
                            **hosts(("a", "127.0.0.9"))})
    chats(endpoint, new_session)
    assert front.names == [DOMAIN]  # and not the target's name
    assert world.dns.count(CLIENT, "SRV") == 1 and world.dns.count(CLIENTS, "SRV") == 1
    assert world.dns.count(DOMAIN) == 0


def test_priorities_hold_across_both_kinds(world, new_session):
    first, last = world.front(mode="direct"), world.front()
    endpoint = world.start({CLIENTS: {"SRV": [(1, 0, first.port, "a.x.fake")]},
                            CLIENT: {"SRV": [(2, 0, last.port, "a.x.fake")]},
                            **hosts(("a", "127.0.0.1"))})
    chats(endpoint, new_session)
    assert (first.accepted, last.accepted) == (1, 0)


@pytest.mark.parametrize("fault", ["refused", "silent", "certificate", "stripped", "no-address"])
def test_next_target_is_tried(world, new_session, ca, fault):
    other = world.front()
    bad = {"silent": {"mode": "direct", "context": None}, "stripped": {"features": ""}}
    first = world.front(**bad.get(fault, {}))
    if fault == "certificate":
        first.context = first._context(*ca.issue(dns=["wrong.fake"]))
    if fault == "refused":
        first.stop()
    if fault == "silent":
        first._carry = first._shake_hands = lambda sock: time.sleep(8) or sock
    zones = hosts(("a", "127.0.0.1"), ("b", "127.0.0.1"))
    if fault == "no-address":
        del zones["a.x.fake"]
    endpoint = world.start({CLIENT: {"SRV": [(1, 0, first.port, "a.x.fake"),
                                             (2, 0, other.port, "b.x.fake")]}, **zones})
    chats(endpoint, new_session)
    assert other.accepted == 1


@pytest.mark.parametrize("records,words", [
    ({CLIENT: {"SRV": [(0, 0, 0, ".")]}, CLIENTS: {"SRV": [(0, 0, 0, ".")]}}, "no XMPP service"),
    ({CLIENT: {"SRV": SERVFAIL}, CLIENTS: {"SRV": SERVFAIL}}, "name server"),
    ({}, "not found|no address")], ids=["dot", "servfail", "nxdomain"])
def test_domain_without_a_server(world, new_session, records, words):
    world.fails(world.start(records), new_session, words)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1",
                                     "100.64.0.1", "0.0.0.0"])
def test_addresses_that_are_not_public_are_refused(world, new_session, address):
    """Not a single packet goes there."""
    front = world.front()
    endpoint = world.start({CLIENT: {"SRV": [(1, 0, front.port, "a.x.fake")]},
                            "a.x.fake": {"A": [address], "AAAA": ["::ffff:" + address]}}, extra="")
    with Tap() as tap:
        began = time.monotonic()
        world.fails(endpoint, new_session, "not a public")
        assert time.monotonic() - began < 3 * PATIENCE
        assert tap.count_tcp(endpoint.port) > 0  # it sees what there is
        assert tap.count_tcp(front.port) == 0
    assert front.accepted == 0


def test_network_that_is_allowed_is_the_only_one(world, new_session):
    front = world.front()
    endpoint = world.start({CLIENT: {"SRV": [(1, 0, front.port, "a.x.fake"),
                                             (2, 0, front.port, "b.x.fake")]},
                            **hosts(("a", "127.0.0.1"), ("b", "127.7.0.1"))},
                           extra="BoshAddressAllow 127.7.0.0/16")
    second = world.front(host="127.7.0.1", port=front.port)
    chats(endpoint, new_session)
    assert (front.accepted, second.accepted) == (0, 1)


def test_address_that_changes_is_looked_at_again(world, new_session):
    """DNS rebinding: what was allowed at first says nothing of the next time."""
    front = world.front()
    second = world.front(host="127.7.0.1", port=front.port)
    zones = {CLIENT: {"SRV": [(1, 0, front.port, "a.x.fake")]}, **hosts(("a", "127.7.0.1"))}
    endpoint = world.start(zones, extra="BoshAddressAllow 127.7.0.0/16")
    chats(endpoint, new_session)
    world.dns.zones.update(hosts(("a", "127.0.0.1")))
    world.fails(endpoint, new_session, "not a public")
    assert (front.accepted, second.accepted) == (0, 1)
