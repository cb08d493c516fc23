# Licensed under the Apache License, Version 2.0; see LICENSE.
"""How many connections are being made to one XMPP domain at a time, how soon again one that
nobody answers is tried, and how often the log says so."""
import contextlib
import socket
import threading
import time

import pytest

import bosh
import dns
import resolver
from dns import NODATA, SERVFAIL, SILENCE, Dns
from fakeserver import FEATURES_LOGIN
from ports import free_ports
from resolver import Resolver
from strictxml import STREAMS
from tlsfront import TlsFront
from waiting import PATIENCE, until

needs_dns = pytest.mark.skipif(
    bool(dns.reason_to_skip() or resolver.reason_to_skip()),
    reason=str(dns.reason_to_skip() or resolver.reason_to_skip()))

FAILED = ("terminate", "remote-connection-failed")
DOMAIN = "echo.x.fake"
CLIENT, CLIENTS = "_xmpp-client._tcp." + DOMAIN, "_xmpps-client._tcp." + DOMAIN
TOLD = "BOSH1018"  # sessions are refused without another try


@pytest.fixture
def ask(new_session):
    """ask(endpoint, domain, count) sends so many requests for a session, and no more."""
    def ask_for(endpoint, domain, count=1, wait=60):
        wires = []
        for _ in range(count):
            wire = new_session(endpoint).free_wire()
            wire.send(bosh.body_bytes(rid=bosh.first_rid(), to=domain, ver="1.11",
                                      wait=str(wait), hold="1"))
            wires.append(wire)
        return wires
    return ask_for


def outcomes(wires, seconds=20):
    answers = [wire.answer(seconds) for wire in wires]
    return [(a.type, a.condition) for a in answers]


def domains(fake, hole, options):
    return [("far.fake", "xmpp://%s:%d %s" % (hole.host, hole.port, options)),
            ("silent.fake", fake.address + " " + options), ("echo.fake", fake.address),
            ("late.fake", fake.address + " " + options)]


# ---- so many at a time -------------------------------------------------------------------------


def test_blackholed_domain_costs_few_packets_and_nobody_else_anything(
        make_httpd, fake, black_hole, ask, new_session):
    hole = black_hole()
    server = make_httpd(domains=domains(fake, hole, "connecting=10"), threads=60, async_factor=20,
                        extra="BoshConnectTimeout 3")
    endpoint = bosh.Endpoint(server.port)
    began = time.monotonic()
    wires = ask(endpoint, "far.fake", 200)
    until(lambda: hole.most == 10, 5, "ten attempts")
    took = []
    for _ in range(10):
        start = time.monotonic()
        new_session(endpoint).login("echo.fake", "user", "secret").terminate()
        took.append(time.monotonic() - start)
    assert time.monotonic() - began < 3, "the others were looked at too late"
    assert max(took) < 1 * PATIENCE, took
    assert outcomes(wires) == 200 * [FAILED]
    assert time.monotonic() - began < 3 + 2 * PATIENCE  # nobody's deadline began later
    assert hole.most == 10
    # Who waited may have been begun in the last moment, but not all.
    assert len(hole.tried) <= 20


def test_who_waits_is_served_in_turn_and_not_refused(make_httpd, fake, black_hole, ask):
    server = make_httpd(domains=domains(fake, black_hole(), "connecting=3"))
    endpoint = bosh.Endpoint(server.port)
    wires = []
    for count in range(1, 10):
        wires += ask(endpoint, "late.fake")
        until(lambda: len(fake.since_mark()) == min(count, 3), 5, "an attempt")
        time.sleep(0.05)
    for n in range(9):
        until(lambda: len(fake.since_mark()) == min(n + 3, 9), 5, "the next in turn")
        c = fake.since_mark()[n]
        until(lambda: c.headers, 5, "its stream")
        time.sleep(0.1)
        assert len(fake.since_mark()) == min(n + 3, 9)  # and no more
        assert not wires[n].has_input()
        c.greet()
        answer = wires[n].answer()
        assert answer.type is None and answer.body.get("authid") == "stream-%d-1" % c.number


def test_deadline_of_who_waits_counts_from_its_creation(make_httpd, fake, black_hole, ask):
    server = make_httpd(domains=domains(fake, black_hole(), "connecting=1"),
                        extra="BoshConnectTimeout 2")
    endpoint = bosh.Endpoint(server.port)
    began = time.monotonic()
    wires = ask(endpoint, "silent.fake", 3)
    assert outcomes(wires) == 3 * [FAILED]
    assert 1.5 < time.monotonic() - began < 2 + 1.5 * PATIENCE
    assert len(fake.since_mark()) <= 2


def test_who_leaves_while_it_waits_takes_nobodys_turn(make_httpd, fake, black_hole, ask):
    """With `wait` of a second: creation is answered before there is a stream, and may be
    followed by a goodbye."""
    server = make_httpd(domains=domains(fake, black_hole(), "connecting=1"))
    endpoint = bosh.Endpoint(server.port)
    first = ask(endpoint, "late.fake", 1)
    until(lambda: fake.since_mark() and fake.since_mark()[0].headers, 5, "the first")
    session = bosh.Session(endpoint)
    try:
        assert session.create("late.fake", wait=1).type is None
        last = ask(endpoint, "late.fake", 1)
        time.sleep(0.2)
        assert session.terminate("")[-1].type == "terminate"
    finally:
        session.close()
    assert len(fake.since_mark()) == 1
    fake.since_mark()[0].greet()
    assert first[0].answer().type is None
    until(lambda: len(fake.since_mark()) == 2 and fake.since_mark()[1].headers, 5, "the last")
    fake.since_mark()[1].greet()
    assert last[0].answer().type is None


def test_one_domain_does_not_use_up_the_attempts_of_another(make_httpd, fake, black_hole, ask):
    server = make_httpd(domains=domains(fake, black_hole(), "connecting=1"))
    endpoint = bosh.Endpoint(server.port)
    ask(endpoint, "silent.fake", 3)
    until(lambda: fake.since_mark(), 5, "an attempt")
    wires = ask(endpoint, "late.fake", 1)
    until(lambda: len(fake.since_mark()) == 2 and fake.since_mark()[1].headers, 5, "another")
    fake.since_mark()[1].greet()
    assert wires[0].answer().type is None


def test_attempts_that_fail_make_room(make_httpd, fake, black_hole, ask):
    """All of these are refused; and the domain is well again with the server."""
    port = free_ports(1)[0]
    server = make_httpd(domains=[("echo.fake", "xmpp://127.0.0.1:%d connecting=2" % port)])
    endpoint = bosh.Endpoint(server.port)
    assert outcomes(ask(endpoint, "echo.fake", 20)) == 20 * [FAILED]
    assert TOLD not in server.log_text()


# ---- not again at once -------------------------------------------------------------------------


@pytest.fixture
def far(make_httpd, ask, black_hole):
    """A world in which DNS leads where the test says."""
    with contextlib.ExitStack() as stack:
        class Far:
            def start(self, zones, options="tls=off connecting=10", timeout=2, extra=""):
                self.dns = stack.enter_context(Dns(zones))
                own = stack.enter_context(Resolver(self.dns.address))
                self.httpd = make_httpd(
                    domains=[(DOMAIN, options)], wrapper=own.wrapper, threads=60,
                    extra="BoshAddressAllow 127.0.0.0/8\nBoshConnectTimeout %d\n%s"
                          % (timeout, extra))
                self.endpoint = bosh.Endpoint(self.httpd.port)
                return self

            def at(self, *places):
                """SRV records in this order, each with a host of its own."""
                records = {CLIENT: {"SRV": [(n, 0, port, "h%d.x.fake" % n)
                                            for n, (_, port) in enumerate(places)]}}
                for n, (host, _) in enumerate(places):
                    records["h%d.x.fake" % n] = {"A": [host], "AAAA": NODATA}
                return records

            def fails(self, count=1, within=None):
                began = time.monotonic()
                assert outcomes(ask(self.endpoint, DOMAIN, count)) == count * [FAILED]
                took = time.monotonic() - began
                assert within is None or took < within * PATIENCE, took
                return took

            def told(self):
                return [line for line in self.httpd.log_text().splitlines()
                        if TOLD in line or "BOSH1001" in line]
        yield Far()


@needs_dns
def test_blackholed_domain_is_left_alone_for_a_while(far, black_hole, new_session):
    hole = black_hole("127.0.0.9")
    far.start(far.at((hole.host, hole.port)))
    assert far.fails() > 1
    tried, asked = len(hole.tried), len(far.dns.questions)
    failed = time.monotonic()
    assert tried == 1
    far.fails(200, within=2)
    assert (len(hole.tried), len(far.dns.questions)) == (tried, asked)
    assert len(far.told()) == 1 and "127.0.0.9" in far.told()[0], far.told()
    assert "for 5 s" in far.told()[0] and "did not offer a stream in time" in far.told()[0]
    until(lambda: "BOSH1019" in far.httpd.log_text(), 10, "the end of it")
    assert time.monotonic() - failed > 4.5
    assert "200 sessions were refused" in far.httpd.log_text()
    until(lambda: far.fails() and len(hole.tried) == 2, 20, "another try")


@needs_dns
def test_many_at_once_are_told_in_one_line(far, black_hole):
    hole = black_hole("127.0.0.9")
    far.start(far.at((hole.host, hole.port)))
    assert far.fails(100) < 2 + 2 * PATIENCE
    assert len(hole.tried) == 10  # and nobody who waited was begun
    assert len(far.told()) == 1, far.told()


@needs_dns
def test_target_that_refuses_is_tried_again_whatever_others_do(far, black_hole):
    hole = black_hole("127.0.0.9")
    far.start(far.at((hole.host, hole.port), ("127.0.0.10", free_ports(1)[0])), timeout=20)
    for count in (1, 2):
        assert far.fails() > 1.5
        assert len(hole.tried) == count
    assert TOLD not in far.httpd.log_text()


@needs_dns
def test_next_target_is_tried_while_the_first_is_silent(far, black_hole, fake, new_session):
    """Two seconds for a connection, however long the session may wait."""
    hole = black_hole("127.0.0.9")
    far.start(far.at((hole.host, hole.port), ("127.0.0.1", fake.port)), timeout=20)
    began = time.monotonic()
    new_session(far.endpoint).login(DOMAIN, "user", "secret", timeout=20)
    assert 1.5 < time.monotonic() - began < 3 * PATIENCE
    assert len(hole.tried) == 1


@needs_dns
def test_who_waits_is_refused_when_the_first_try_has_failed(far):
    """The server takes connections and says nothing: it has five seconds, and not the twenty of
    BoshConnectTimeout for each who waits."""
    with socket.create_server(("127.0.0.9", 0), backlog=50) as listener:
        far.start(far.at(listener.getsockname()), options="tls=required connecting=1", timeout=20)
        assert 4 < far.fails(5) < 5 + 2 * PATIENCE
        listener.settimeout(0.2)
        listener.accept()[0].close()
        with pytest.raises(TimeoutError):
            listener.accept()
    assert [x.count("did not answer in time") for x in far.told() if "BOSH1001" in x] == [1]
    assert len([x for x in far.told() if TOLD in x]) == 1


@needs_dns
def test_who_had_no_time_left_says_nothing_of_the_server(far, ask):
    """It is served late, but it is served: whose turn came in the last moment fails alone."""
    with socket.create_server(("127.0.0.9", 0), backlog=50) as listener:
        far.start(far.at(listener.getsockname()), options="tls=off connecting=1", timeout=4)
        listener.settimeout(10)
        wires = ask(far.endpoint, DOMAIN, 2)
        with listener.accept()[0] as first:
            time.sleep(2.6)
            first.sendall(("<stream:stream xmlns='jabber:client' xmlns:stream='%s' id='x' "
                           "version='1.0' from='%s'>%s" % (STREAMS, DOMAIN, FEATURES_LOGIN)).encode())
            assert sorted(str(x[1]) for x in outcomes(wires)) == ["None", FAILED[1]]
            listener.accept()[0].close()
            assert TOLD not in far.httpd.log_text()


@needs_dns
@pytest.mark.parametrize("records,words", [
    ({}, "not found"), ({CLIENT: {"SRV": SERVFAIL}, CLIENTS: {"SRV": SERVFAIL}}, "SERVFAIL")],
    ids=["nxdomain", "servfail"])
def test_what_dns_said_is_not_asked_again_at_once(far, records, words):
    far.start(records)
    far.fails()
    asked = len(far.dns.questions)
    assert asked > 0
    far.fails(100, within=2)
    assert len(far.dns.questions) == asked
    assert words in far.told()[0]
    assert len([x for x in far.told() if "BOSH1001" in x]) == 1
    assert len([x for x in far.told() if TOLD in x]) == 1


@needs_dns
def test_silent_name_servers_are_not_asked_again_at_once(far):
    far.start({CLIENT: {"SRV": SILENCE}})
    assert far.fails() > 1
    asked = len(far.dns.questions)
    far.fails(50, within=1)
    assert len(far.dns.questions) <= asked + 4  # the first one's own repetitions


@needs_dns
def test_domain_that_is_found_again_is_reached_after_that(far, fake, new_session):
    far.start({})
    far.fails()
    far.dns.zones.update(far.at(("127.0.0.1", fake.port)))
    far.fails()
    until(lambda: "BOSH1019" in far.httpd.log_text(), 10, "the end of it")
    new_session(far.endpoint).login(DOMAIN, "user", "secret")


@needs_dns
@pytest.mark.parametrize("how", ["refused", "reset", "shut"])
def test_server_that_is_restarted_is_reached_at_once(far, fake, new_session, how):
    port = free_ports(1)[0]
    far.start(far.at(("127.0.0.11", port)))
    listener = None if how == "refused" else socket.create_server(("127.0.0.11", port))
    stopping = []

    def slam():
        while not stopping:
            with contextlib.suppress(OSError):
                s, _ = listener.accept()
                if how == "reset":
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                s.close()
    if listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=slam, daemon=True)
        thread.start()
    try:
        far.fails(5, within=2)
    finally:
        stopping.append(True)
        if listener:
            thread.join(10)
            listener.close()
    assert TOLD not in far.httpd.log_text()
    far.dns.zones.update(far.at(("127.0.0.1", fake.port)))
    new_session(far.endpoint).login(DOMAIN, "user", "secret")


def test_fixed_address_of_this_machine_is_always_tried(make_httpd, fake, black_hole, ask):
    hole = black_hole()
    server = make_httpd(domains=domains(fake, hole, "tls=off"), extra="BoshConnectTimeout 1")
    endpoint = bosh.Endpoint(server.port)
    for count in (1, 2):
        assert outcomes(ask(endpoint, "far.fake")) == [FAILED]
        assert len(hole.tried) == count
    assert TOLD not in server.log_text()


# ---- told once, and not each time --------------------------------------------------------------


def test_log_tells_once_in_a_while_who_cannot_be_reached_or_trusted(
        make_httpd, fake, ask, ca):
    """Fifty sessions for each within seconds; each is one line in ten seconds."""
    front = TlsFront(fake.port, *ca.issue(dns=["wrong.fake"]))
    server = make_httpd(
        domains=[("refused.fake", "xmpp://127.0.0.1:1"),
                 ("bad.fake", "xmpp://127.0.0.1:%d tls=required" % front.port)],
        log_level="notice bosh:info", extra='BoshTLSCACertificateFile "%s"' % ca.file)
    endpoint = bosh.Endpoint(server.port)
    began = time.monotonic()

    def told(words):
        return [line for line in server.log_text().splitlines()
                if "BOSH1001" in line and words in line]

    def may_be():
        return 1 + (time.monotonic() - began) // 10

    try:
        for domain, words in (("refused.fake", "Connection refused"), ("bad.fake", "wrong.fake")):
            assert outcomes(ask(endpoint, domain, 50)) == 50 * [FAILED]
            # Its place in the table may be another's, for as long.
            until(lambda: told(words) or outcomes(ask(endpoint, domain)) != [FAILED], 20, words,
                  every=0.5)
            assert len(told(words)) <= may_be(), told(words)
            assert "[bosh:error]" in told(words)[0]
        assert front.accepted >= 50
        until(lambda: outcomes(ask(endpoint, "bad.fake")) == [FAILED]
              and len(told("wrong.fake")) == 2, 20, "the next line", every=0.5)
        assert may_be() > 1
    finally:
        front.stop()
