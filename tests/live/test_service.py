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
from dns import NODATA, SERVFAIL, SILENCE, Dns
from dnsmasq import Dnsmasq
from families import needs_ipv6
from ports import free_ports
from resolver import Resolver
from tap import Tap
from tlsfront import TlsFront
from waiting import PATIENCE, at_best_within, until

pytestmark = pytest.mark.skipif(
    bool(dns.reason_to_skip() or resolver.reason_to_skip()),
    reason=str(dns.reason_to_skip() or resolver.reason_to_skip()))

DOMAIN = "echo.x.fake"
CLIENT, CLIENTS = "_xmpp-client._tcp." + DOMAIN, "_xmpps-client._tcp." + DOMAIN
FAILED = "remote-connection-failed"


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

            def start(self, zones, extra="BoshAddressAllow 127.0.0.0/8 ::1", options="", others=(),
                      program=Dns):
                self.dns = stack.enter_context(program(zones))
                own = stack.enter_context(Resolver(self.dns.address))
                self.httpd = make_httpd(
                    domains=[(DOMAIN, options), *others], wrapper=own.wrapper,
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


def chats(endpoint, new_session, domain=DOMAIN):
    session = new_session(endpoint).login(domain, "user", "secret", timeout=20)
    session.send_message(domain, "found")
    session.wait_message("found")


def host(*addresses):
    """What DNS has of a host with these."""
    four, six = ([a for a in addresses if (":" in a) == is_six] for is_six in (False, True))
    return {"A": four or NODATA, "AAAA": six or NODATA}


def hosts(*names):
    return {name + ".x.fake": host(address) for name, address in names}


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


@pytest.mark.parametrize("name,mode", [(CLIENT, "starttls"), (CLIENTS, "direct")],
                         ids=["xmpp-client", "xmpps-client"])
def test_dnsmasq_leads_to_the_second_target(world, new_session, name, mode):
    first, second = world.front(mode=mode), world.front(mode=mode, host="127.0.0.9")
    first.stop()
    other = CLIENTS if name == CLIENT else CLIENT
    endpoint = world.start({name: {"SRV": [(5, 0, first.port, "a.x.fake"),
                                           (7, 0, second.port, "b.x.fake")]},
                            other: {"SRV": [(0, 0, 0, ".")]},
                            **hosts(("a", "127.0.0.1"), ("b", "127.0.0.9"))}, program=Dnsmasq)
    chats(endpoint, new_session)
    assert second.accepted == 1


def test_dnsmasq_says_that_there_is_no_service(world, new_session):
    nothing = {"SRV": [(0, 0, 0, ".")]}
    endpoint = world.start({CLIENT: nothing, CLIENTS: nothing}, program=Dnsmasq)
    world.fails(endpoint, new_session, "no XMPP service")


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


def mapped(address):
    return "::ffff:" + address


@pytest.mark.parametrize("addresses", [
    (address, mapped(address)) for address in ("127.0.0.1", "10.1.2.3", "169.254.169.254",
                                               "192.168.0.1", "100.64.0.1", "0.0.0.0")
] + [("::1",), ("fe80::1",), ("fc00::1",), ("64:ff9b::127.0.0.1",)], ids=lambda found: found[0])
def test_addresses_that_are_not_public_are_refused(world, new_session, addresses):
    """Not a single packet goes there."""
    front = world.front()
    endpoint = world.start({CLIENT: {"SRV": [(1, 0, front.port, "a.x.fake")]},
                            "a.x.fake": host(*addresses)}, extra="")
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


# ---- IPv6 ------------------------------------------------------------------------------------


@needs_ipv6
@pytest.mark.parametrize("name,mode", [(CLIENT, "starttls"), (CLIENTS, "direct")],
                         ids=["xmpp-client", "xmpps-client"])
def test_server_is_found_at_an_ipv6_address(world, new_session, name, mode):
    front = world.front(mode=mode, host="::1")
    endpoint = world.start({name: {"SRV": [(5, 0, front.port, "a.x.fake")]},
                            "a.x.fake": host("::1")})
    chats(endpoint, new_session)
    assert front.carried == 1


@pytest.fixture
def half_dead(world, black_hole):
    """half_dead(address, how) makes two servers, one at ::1 and one at 127.0.0.1; the one at that
    address is "refused" or "silent". Returns the dead one and the living, and their port."""
    def make(dead, how):
        alive = ({"127.0.0.1", "::1"} - {dead}).pop()
        front = world.front(host=alive, port=free_ports(1)[0])
        hole = black_hole(dead, front.port) if how == "silent" else None
        return hole, front
    return make


def reaches_the_living(world, half_dead, new_session, how, zones):
    """Who is silent has two seconds; the others are asked at once."""
    hole, front = half_dead
    endpoint = world.start(zones)
    began = time.monotonic()
    chats(endpoint, new_session)
    took = time.monotonic() - began
    assert front.carried == 1
    if how == "silent":
        assert len(hole.tried) == 1 and 1.5 < took
    assert took < (2 if how == "silent" else 0) + 3 * PATIENCE


@needs_ipv6
@pytest.mark.parametrize("dead", ["::1", "127.0.0.1"])
@pytest.mark.parametrize("how", ["refused", "silent"])
def test_target_of_the_other_family_is_tried(world, half_dead, new_session, dead, how):
    hole, front = pair = half_dead(dead, how)
    reaches_the_living(world, pair, new_session, how, {
        CLIENT: {"SRV": [(1, 0, front.port, "a.x.fake"), (2, 0, front.port, "b.x.fake")]},
        **hosts(("a", dead), ("b", front.host))})


@needs_ipv6
@pytest.mark.parametrize("how", ["refused", "silent"])
def test_other_address_of_the_same_target_is_tried(world, half_dead, new_session, how):
    """Of the two, IPv6 is the first (RFC 6724)."""
    hole, front = pair = half_dead("::1", how)
    reaches_the_living(world, pair, new_session, how, {
        CLIENT: {"SRV": [(1, 0, front.port, "a.x.fake")]}, "a.x.fake": host("127.0.0.1", "::1")})


@needs_ipv6
@pytest.mark.parametrize("silent, alive", [("AAAA", "127.0.0.1"), ("A", "::1")])
def test_name_server_that_is_silent_about_one_family(world, new_session, silent, alive):
    front = world.front(host=alive)
    endpoint = world.start({CLIENT: {"SRV": [(1, 0, front.port, "a.x.fake")]},
                            "a.x.fake": {**host("127.0.0.1", "::1"), silent: SILENCE}})
    began = time.monotonic()
    chats(endpoint, new_session)
    assert time.monotonic() - began < 2 + 3 * PATIENCE
    assert front.carried == 1


@needs_ipv6
def test_mapped_address_is_the_ipv4_one(world, new_session):
    """Whom BoshAddressAllow lists may be named so."""
    front = world.front()
    endpoint = world.start({CLIENT: {"SRV": [(1, 0, front.port, "a.x.fake")]},
                            "a.x.fake": host(mapped("127.0.0.1"))},
                           extra="BoshAddressAllow 127.0.0.1")
    chats(endpoint, new_session)
    assert front.carried == 1


# ---- name servers that say nothing -----------------------------------------------------------


@pytest.mark.parametrize("address", ["", "xmpp://host.%s"], ids=["srv", "host"])
def test_silent_name_server_delays_nobody_else(world, new_session, fake_server, address):
    """Domains of that same name server, and one that needs none. Each try has a domain of its own
    that waits meanwhile: one alone would be given up before long."""
    quiet = ["%d.quiet.fake" % n for n in range(10)]
    front = world.front()
    silence = {prefix + name: {"SRV": SILENCE, "A": SILENCE, "AAAA": SILENCE} for name in quiet
               for prefix in ("_xmpp-client._tcp.", "_xmpps-client._tcp.", "host.")}
    endpoint = world.start({CLIENT: {"SRV": [(5, 0, front.port, "a.x.fake")]},
                            **hosts(("a", "127.0.0.1")), **silence},
                           others=[(name, address and address % name) for name in quiet]
                           + [("echo.fake", fake_server.address)])
    waiting = []

    def chat_beside(domain):
        name = quiet.pop()
        waiting.append(new_session(endpoint).free_wire())
        waiting[-1].send(bosh.body_bytes(rid=bosh.first_rid(), to=name, ver="1.11", wait="60",
                                         hold="1"))
        world.dns.wait_asked(("host." if address else "_xmpp-client._tcp.") + name)
        chats(endpoint, new_session, domain)

    for domain in (DOMAIN, "echo.fake"):
        at_best_within(1, lambda: chat_beside(domain))
        assert not waiting[-1].has_input()
