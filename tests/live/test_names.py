# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Names of XMPP servers: the name server of the tests, and an httpd that asks it."""
import contextlib
import ipaddress
import os
import socket
import struct
import time

import pytest

import bosh
import dns
import procfs
import resolver
from dns import (NODATA, NXDOMAIN, REFUSED, SERVFAIL, SILENCE, Dns, encode_name, many, slow,
                 truncated, wrong_id)
from httpd import Httpd
from resolver import Resolver
from waiting import PATIENCE, until

reason = dns.reason_to_skip() or resolver.reason_to_skip()
needs_root = pytest.mark.skipif(reason is not None, reason=str(reason))

HOST = "xmpp.names.example"


# ---- the name server itself -------------------------------------------------------------------


def question(name, kind, ident=0x1234):
    return (struct.pack("!HHHHHH", ident, 0x0100, 1, 0, 0, 0) + encode_name(name)
            + struct.pack("!HH", dns.TYPES[kind], 1))


class Answer:
    def __init__(self, data):
        self.ident, self.flags, _, self.count = struct.unpack_from("!HHHH", data)
        self.code, self.truncated = self.flags & 15, bool(self.flags & 0x200)
        self.size, self.data = len(data), data


def over_udp(server, name, kind, timeout=5.0):
    """All answers that come, the first within that time."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        s.sendto(question(name, kind), (server.address, server.port))
        with contextlib.suppress(TimeoutError):
            while True:
                found.append(Answer(s.recv(65535)))
                s.settimeout(0.1)
    return found


def over_tcp(server, name, kind):
    with socket.create_connection((server.address, server.port), 5) as s:
        data = question(name, kind)
        s.sendall(struct.pack("!H", len(data)) + data)
        size, = struct.unpack("!H", s.recv(2, socket.MSG_WAITALL))
        return Answer(s.recv(size, socket.MSG_WAITALL))


@pytest.fixture
def name_server():
    """At a high port: needs no root."""
    zones = {
        "a.example": {"A": ["192.0.2.1", "192.0.2.2"], "AAAA": ["2001:db8::1"]},
        "alias.example": {"CNAME": ["a.example"]},
        "_xmpp-client._tcp.a.example": {"SRV": [(1, 2, 5222, "xmpp.a.example")]},
        "fails.example": {"A": SERVFAIL, "AAAA": REFUSED, "SRV": NXDOMAIN, "TXT": NODATA},
        "quiet.example": {"A": SILENCE}, "slow.example": {"A": slow(0.3, ["192.0.2.1"])},
        "tcp.example": {"A": truncated(["192.0.2.1"])},
        "forged.example": {"A": wrong_id(["192.0.2.1"])},
        "many.example": {"SRV": many(500)}, "huge.example": {"SRV": many(5000)}}
    with Dns(zones, port=0) as server:
        yield server


@pytest.mark.parametrize("name, kind, code, count", [
    ("a.example", "A", 0, 2), ("A.Example", "AAAA", 0, 1), ("a.example", "SRV", 0, 0),
    ("_xmpp-client._tcp.a.example", "SRV", 0, 1), ("alias.example", "A", 0, 3),
    ("gone.example", "A", 3, 0), ("fails.example", "A", 2, 0), ("fails.example", "AAAA", 5, 0),
    ("fails.example", "SRV", 3, 0), ("fails.example", "TXT", 0, 0)])
def test_name_server_says_what_its_zones_say(name_server, name, kind, code, count):
    for answer in over_udp(name_server, name, kind) + [over_tcp(name_server, name, kind)]:
        assert (answer.ident, answer.code, answer.count) == (0x1234, code, count)
    assert [q.transport for q in name_server.asked(name, kind)] == ["udp", "tcp"]


def test_name_server_gives_data_as_it_goes_over_the_wire(name_server):
    assert ipaddress.ip_address("192.0.2.2").packed in over_udp(name_server, "a.example", "A")[0].data
    answer, = over_udp(name_server, "_xmpp-client._tcp.a.example", "SRV")
    assert answer.data.endswith(b"\0\1\0\2\x14\x66\4xmpp\1a\7example\0")


def test_name_server_is_silent_slow_and_lies(name_server):
    assert not over_udp(name_server, "quiet.example", "A", timeout=0.2)
    started = time.monotonic()
    assert over_udp(name_server, "slow.example", "A")[0].count == 1
    assert time.monotonic() - started >= 0.3
    forged, true = over_udp(name_server, "forged.example", "A")
    assert forged.ident != 0x1234 and true.ident == 0x1234 and forged.data[2:] != true.data[2:]
    answer, = over_udp(name_server, "tcp.example", "A")
    assert answer.truncated and answer.count == 0
    assert over_tcp(name_server, "tcp.example", "A").count == 1


def test_name_server_gives_large_answers_over_tcp(name_server):
    answer, = over_udp(name_server, "many.example", "SRV")
    assert answer.truncated and answer.size <= 512
    assert over_tcp(name_server, "many.example", "SRV").count == 500
    huge = over_tcp(name_server, "huge.example", "SRV")
    assert 65000 < huge.size <= 65535 and 500 < huge.count < 5000


# ---- an httpd with a resolv.conf of its own ----------------------------------------------------


@needs_root
def test_resolver_gives_a_process_and_nobody_else_another_resolv_conf():
    with open("/etc/resolv.conf") as f:
        before = f.read()
    with Resolver("192.0.2.53", text="search names.example\n") as own:
        server = Httpd(with_bosh=False, wrapper=own.wrapper)
        try:
            server.start()
            with open(procfs.seen_by(server.parent, "etc/resolv.conf")) as f:
                assert f.read() == "nameserver 192.0.2.53\nsearch names.example\n"
            assert "apache" in procfs.comm(server.parent) or "httpd" in procfs.comm(server.parent)
            own.write("nameserver 192.0.2.54\n")
            with open(procfs.seen_by(server.children()[0], "etc/resolv.conf")) as f:
                assert f.read() == "nameserver 192.0.2.54\n"
            server.stop()
        finally:
            if os.path.exists(server.root):
                server.kill()
    with open("/etc/resolv.conf") as f:
        assert f.read() == before
    assert not os.path.exists(own.folder)


@pytest.fixture
def named(make_httpd, fake_server):
    """named(zones) -> (endpoint, name server, resolver): echo.fake is at a host of that name."""
    with contextlib.ExitStack() as stack:
        def make(zones, **how):
            server = stack.enter_context(Dns(zones))
            own = stack.enter_context(Resolver(server.address))
            port = fake_server.address.rsplit(":", 1)[1]
            web = make_httpd(domains=[("echo.fake", "xmpp://%s:%s tls=off" % (HOST, port))],
                             wrapper=own.wrapper, **how)
            return web, server, own
        yield make


def log_in(web, new_session):
    session = new_session(bosh.Endpoint(web.port))
    return session.login("echo.fake", "romeo", "right", presence=False)


@needs_root
def test_connector_asks_the_name_server(named, fake, new_session):
    web, server, _ = named({HOST: {"CNAME": ["host.names.example"]},
                            "host.names.example": {"A": wrong_id(["127.0.0.1"]),
                                                   "AAAA": NODATA}})
    assert log_in(web, new_session).jid
    assert server.count(HOST, "A") == 1 and server.count(HOST, "AAAA") == 1


@needs_root
def test_name_with_addresses_of_both_families_is_looked_for_at_both(named, fake, new_session):
    """The scripted server is at 127.0.0.1 only; more of the others than are tried at all."""
    web, server, _ = named({HOST: {"A": ["127.0.0.1"], "AAAA": ["::1"] * 9}})
    assert log_in(web, new_session).jid
    assert fake.connection().to == "echo.fake"


def end_of_a_session(web, new_session):
    """Of one whose server cannot be reached: the condition."""
    session = new_session(bosh.Endpoint(web.port))
    session.create("echo.fake", timeout=20)
    while session.ended is None:
        if not session.pending:
            session.post()
        session.collect(20)
    return session.ended.condition


@needs_root
def test_connector_notices_another_resolv_conf(named, fake, new_session):
    web, server, own = named({})
    connector = web.connector()
    assert end_of_a_session(web, new_session) == "remote-connection-failed"
    assert server.count(HOST)
    server.forget()
    with Dns({HOST: {"A": ["127.0.0.1"]}}) as other:
        own.write("nameserver %s\n" % other.address)
        until(lambda: "BOSH1019" in web.log_text(), 10, "the name to be asked for again")
        assert log_in(web, new_session).jid
        assert other.count(HOST, "A") == 1 and not server.questions
    assert web.connector() == connector


@needs_root
@pytest.mark.parametrize("mode", [SERVFAIL, REFUSED, NXDOMAIN, NODATA],
                         ids=["SERVFAIL", "REFUSED", "NXDOMAIN", "NODATA"])
def test_session_ends_when_the_name_leads_nowhere(named, new_session, mode):
    web, server, _ = named({HOST: {"A": mode, "AAAA": mode}})
    assert end_of_a_session(web, new_session) == "remote-connection-failed"
    assert server.count(HOST, "A") and server.count(HOST, "AAAA")
    until(lambda: web.count_log("BOSH1001"), 5, "the log line")


@needs_root
def test_name_server_that_is_silent_is_given_up(named, new_session):
    web, server, _ = named({HOST: {"A": SILENCE, "AAAA": SILENCE}})
    started = time.monotonic()
    assert end_of_a_session(web, new_session) == "remote-connection-failed"
    assert time.monotonic() - started < 9 * PATIENCE
    assert server.count(HOST, "A") == 4  # twice with AAAA, and twice by itself
