# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What real clients send and depend on, seen on the wire: attribute for attribute and
packet for packet, without the clients."""
import math
import select
import socket
import struct
import time
from base64 import b64encode

import pytest

import procfs
from bosh import Session, body_bytes, message
from prosody import ACCOUNTS, DOMAIN
from strictxml import BIND, CLIENT, HTTPBIND, SASL, STREAMS
from waiting import PATIENCE, until

XBOSH = "urn:xmpp:xbosh"
SO_TIMESTAMPNS = 35  # Linux; the module socket has no name for it


@pytest.fixture
def opened(site, fake, new_session):
    return new_session(site.main).open("echo.fake"), fake.connection()


# ---- browsers: Strophe.js, Converse.js, stanza.js ------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset"])
def test_answer_of_an_aborted_request_goes_to_the_next_rid(opened, how):
    """They never ask for it again."""
    session, connection = opened
    for n in range(3):
        wire = session.hold(wire=session.endpoint.wire())
        wire.held()
        getattr(wire, how)()
        until(lambda: procfs.server_side(session.endpoint.port, wire.client_port) is None, 5,
              "the server to notice")
        session.pending.clear()
        connection.push("kept %d" % n)
        session.wait_message("kept %d" % n)


def test_rid_left_out_at_a_reload_does_not_hang_the_client_nor_leave_a_ghost(site, fake,
                                                                            new_session):
    """The stored rid was taken before its request left: it never comes."""
    session = new_session(site.short).open("echo.fake", wait=1)
    connection = fake.connection()
    session.rid += 1
    answer = session.ask(message("echo.fake", "never"), timeout=5)
    assert answer.status == 200 and answer.texts() == []
    connection.push("nobody gets this")
    connection.wait_ended(6)
    assert "never" not in connection.bodies()


def test_two_answers_never_arrive_in_the_wrong_order(opened):
    """Two requests are open; what comes in the same breath must not turn round. All that
    arrived together is in the older one's answer."""
    session, connection = opened
    got = []
    for n in range(25):
        first = session.post()
        until(lambda: not first.has_input(), 1)
        session.post(message("echo.fake", "mine %d" % n))
        connection.push("a %d" % n)
        connection.push("b %d" % n)
        want = {"mine %d" % n, "a %d" % n, "b %d" % n}
        texts = []
        while not want <= set(texts):
            wires = {e[1].sock: i for i, e in enumerate(session.pending)}
            if not wires:
                session.post()
                continue
            ready, _, _ = select.select(list(wires), [], [], 5 * PATIENCE)
            assert ready, "nothing came; so far %r" % texts
            assert min(wires[s] for s in ready) == 0, "a later rid was answered first"
            texts += session.collect().texts()
        got += texts
        while session.pending:  # what is still held
            connection.push("-")
            session.collect()
    assert [t for t in got if t[0] == "a"] == ["a %d" % n for n in range(25)]
    assert [t for t in got if t[0] == "b"] == ["b %d" % n for n in range(25)]


def arrival(sock):
    """When the answer that is there to be read arrived, by the kernel's clock; NaN: it began
    to note that only now."""
    _, found, _, _ = sock.recvmsg(1, 128, socket.MSG_PEEK)
    if not found:
        return math.nan
    seconds, nanoseconds = struct.unpack("qq", found[0][2][:16])
    return seconds + nanoseconds / 1e9


def test_two_answers_keep_a_distance(site, fake, new_session):
    """So that a client which does not sort them reads them one by one, on a busy machine too."""
    session = new_session(site.wide).open("echo.fake", hold=2)
    connection = fake.connection()
    distances = []
    for n in range(15):
        wires = [session.post(), session.post()]
        for wire in wires:
            wire.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        wires[1].held(0)
        for wire in wires:
            connection.push("x")
            assert wire.wait_readable(5 * PATIENCE)
        distances.append(arrival(wires[1].sock) - arrival(wires[0].sock))
        session.collect()
        session.collect()
    known = [d for d in distances if not math.isnan(d)]
    assert len(known) >= 10 and min(known) > 0.095, distances


def test_request_while_its_first_copy_is_held_is_routine(opened):
    session, connection = opened
    data = session.bytes()
    wires = []
    for n in range(4):
        wires.append(session.endpoint.wire())
        wires[-1].send(data)
        wires[-1].held()
        if n:
            assert wires[-2].answer().type == "error"
    connection.push("x")
    assert wires[-1].answer().texts() == ["x"]


def test_empty_request_that_came_too_soon_is_answered_all_the_same(opened):
    """stanza.js, and a page that reloads behind a proxy: the older request's answer is what
    they want. Somebody who never stops is told to."""
    session, connection = opened
    session.post()
    for n in range(3):
        session.post()
        assert session.collect().type is None
    connection.push("still here")
    assert session.collect().texts() == ["still here"]


def test_terminate_of_a_beacon_is_taken(opened):
    """navigator.sendBeacon: text/plain, and nobody reads the answer."""
    session, connection = opened
    session.hold().held()
    session.pending[0][1].close()
    beacon = session.endpoint.wire()
    beacon.send(session.bytes("<presence type='unavailable' xmlns='jabber:client'/>",
                              type="terminate"),
                headers=[("Content-Type", "text/plain;charset=UTF-8"),
                         ("Origin", session.endpoint.url.rsplit("/", 1)[0])])
    connection.wait_ended()
    assert connection.stanzas[-1].get("type") == "unavailable"
    beacon.close()


def test_stanza_js_asks_for_hold_2_and_wait_30(site, fake, new_session):
    session = new_session(site.main).open("echo.fake", wait=30, hold=2, ver="1.6")
    body = session.created.body
    assert (body.get("wait"), body.get("hold"), body.get("requests")) == ("30", "1", "2")
    assert session.ask(message("echo.fake", "x")).texts() == ["x"]


def test_connection_closed_under_a_request_makes_a_repeat(opened):
    """httpd closes kept-alive connections when its workers are busy, also in the moment
    in which a request was sent: nobody knows whether it was read."""
    session, connection = opened
    for n in range(10):
        data = session.bytes(message("echo.fake", "n%d" % n))
        wire = session.endpoint.wire()
        wire.send(data)
        wire.reset() if n % 2 else wire.close()
        until(lambda: procfs.server_side(session.endpoint.port, wire.client_port) is None, 5,
              "the server to notice")
        assert session.endpoint.wire().ask(data).texts() == ["n%d" % n]
    connection.wait_bodies(*["n%d" % n for n in range(10)])


# ---- gloox ------------------------------------------------------------------------------------


class Gloox:
    """HTTP pipelining on one connection; Host with the XMPP server's port."""

    def __init__(self, site):
        self.site, self.wire, self.rid = site, site.wide.wire(), 4321987
        self.headers = [("User-Agent", "gloox/1.0.24"), ("Connection", "keep-alive")]

    def bytes(self, body):
        text = self.wire.request(body, headers=self.headers)
        return text.replace(b"Host: 127.0.0.1:%d" % self.site.wide.port, b"Host: echo.fake:5222")

    def create(self):
        self.wire.send_raw(self.bytes(body_bytes(
            content="text/xml; charset=utf-8", hold=2, rid=self.rid, ver="1.6", wait=30, ack=0,
            secure="false", route="xmpp:echo.fake:5222", xml_lang="en", xmpp_version="1.0",
            to="echo.fake")))
        answer = self.wire.answer()
        self.sid = answer.body.get("sid")
        return answer

    def next(self, payload="", **attrs):
        self.rid += 1
        return self.bytes(body_bytes(payload, rid=self.rid, sid=self.sid, **attrs))


@pytest.fixture
def gloox(site, fake):
    client = Gloox(site)
    client.created = client.create()
    yield client
    client.wire.close()


def test_gloox_gets_a_session_although_it_names_a_route(gloox):
    assert gloox.created.type is None and gloox.sid
    assert gloox.created.header("Content-Length") == str(len(gloox.created.raw))
    assert gloox.created.body.get("ack") is None  # '0' means no


def test_gloox_requests_behind_a_held_one_do_not_stall(gloox, fake):
    started = time.monotonic()
    gloox.wire.send_raw(gloox.next() + gloox.next(message("echo.fake", "pipelined")))
    texts = gloox.wire.answer().texts() or gloox.wire.answer().texts()
    assert texts == ["pipelined"]
    gloox.wire.send_raw(gloox.next())
    gloox.wire.held()
    gloox.wire.send_raw(gloox.next(message("echo.fake", "again")))
    assert gloox.wire.answer().status == 200
    assert time.monotonic() - started < 10 * PATIENCE  # wait is 30
    fake.connection().wait_bodies("pipelined", "again")


def test_gloox_ends_with_a_type_of_its_own(gloox, fake):
    gloox.wire.send_raw(gloox.next(type="terminal"))
    assert gloox.wire.answer().status == 200
    fake.connection().wait_ended()
    assert fake.connection().stream_closed


# ---- libpurple ----------------------------------------------------------------------------------


LIBPURPLE = [("User-Agent", "Pidgin 2.14.12"), ("Content-Encoding", "text/xml; charset=utf-8"),
             ("Content-Type", "")]


def bare(wire, body, headers):
    """Without the headers that our own client adds."""
    text = ("POST %s HTTP/1.1\r\nHost: %s\r\n" % (wire.endpoint.path, wire.endpoint.host)
            + "".join("%s: %s\r\n" % h for h in headers if h[1])
            + "Content-Length: %d\r\n\r\n" % len(body))
    wire.send_raw(text.encode() + body)


def libpurple_session(wire):
    rid = 1573741820
    bare(wire, b"<body content='text/xml; charset=utf-8' secure='true' to='echo.fake' "
               b"xml:lang='en' xmpp:version='1.0' ver='1.6' xmlns:xmpp='urn:xmpp:xbosh' "
               b"rid='%d' wait='60' hold='1' xmlns='http://jabber.org/protocol/httpbind'/>" % rid,
         LIBPURPLE)
    return wire.answer(), rid


def test_libpurple_gets_features_and_a_version_it_takes(site, fake):
    wire = site.main.wire()
    answer, _ = libpurple_session(wire)
    assert answer.status == 200
    major, minor = answer.body.get("ver").split(".")
    assert (int(major), int(minor)) >= (1, 6)
    assert [s.tag for s in answer.stanzas] == ["{%s}features" % STREAMS]
    assert b"stream:features" in answer.raw
    wire.close()


def test_libpurple_content_encoding_and_missing_content_type_are_accepted(site, fake):
    wire = site.main.wire()
    answer, rid = libpurple_session(wire)
    bare(wire, body_bytes(message("echo.fake", "x"), rid=rid + 1, sid=answer.body.get("sid")),
         LIBPURPLE)
    assert wire.answer().texts() == ["x"]
    wire.close()


# ---- xmpp4r ---------------------------------------------------------------------------------------


@pytest.fixture
def xmpp4r(site, fake, new_session):
    """Sends neither ver nor xmpp:version."""
    session = new_session(site.main)
    session.create("echo.fake", ver=None, xmpp_version=None, xml_lang=None)
    return session, fake.connection()


def test_xmpp4r_gets_features_from_a_stream_of_version_1(xmpp4r):
    session, connection = xmpp4r
    assert connection.headers[0]["version"] == "1.0"
    session.wait_stanza("{%s}features" % STREAMS)
    assert session.created.body.get("ver") is None


def test_xmpp4r_stanzas_without_a_namespace_become_stanzas(xmpp4r):
    session, connection = xmpp4r
    session.post("<message to='echo.fake' type='chat'><body>bare</body></message>")
    session.wait_message("bare")
    assert connection.stanzas[0].tag == "{%s}message" % CLIENT
    assert connection.stanzas[0][0].tag == "{%s}body" % CLIENT


@pytest.mark.parametrize("what, status", [
    ({"pause": 10000}, 403), ({"rid": "beyond"}, 404), ({"pause": "x"}, 400)], ids=str)
def test_xmpp4r_is_told_by_http_codes(xmpp4r, what, status):
    session, connection = xmpp4r
    if what.get("rid") == "beyond":
        what = {"rid": session.rid + 100}
    data = session.bytes(**what)
    assert session.endpoint.wire().ask(data).status == status
    if status != 400:
        connection.wait_ended()


def test_xmpp4r_says_good_bye_with_presence(xmpp4r):
    session, connection = xmpp4r
    session.post("<presence type='unavailable'/>", type="terminate")
    assert session.pending[0][1].answer().status == 200
    connection.wait_ended()
    assert connection.stanzas[-1].tag == "{%s}presence" % CLIENT


# ---- node-xmpp-client -----------------------------------------------------------------------------


@pytest.mark.parametrize("waits", [True, False], ids=["waits", "hurries"])
def test_node_xmpp_client_restarts_before_it_logs_in(site, prosody, new_session, waits):
    """It takes any connection for one that begins with a stream header of its own. It gets the
    features once more; the server sees nothing of it."""
    session = new_session(site.main)
    session.create(DOMAIN)
    session.post(to=DOMAIN, xmpp_restart="true")
    if waits:
        session.receive(lambda s: s.tag == "{%s}features" % STREAMS)
    session.post("<auth xmlns='%s' mechanism='PLAIN'>%s</auth>" % (SASL, b64encode(
        ("\0romeo\0" + ACCOUNTS["romeo"]).encode()).decode()))
    session.wait_stanza("{%s}success" % SASL)
    session.post(to=DOMAIN, xmpp_restart="true")
    session.receive(lambda s: s.tag == "{%s}features" % STREAMS
                    and s.find("{%s}bind" % BIND) is not None)


# ---- Twisted, Tsung, jbosh --------------------------------------------------------------------------


def test_twisted_writes_another_prefix(site, fake, new_session):
    session = new_session(site.main)
    text = body_bytes(rid=session.rid, to="echo.fake", wait=60, hold=1, ver="1.6").replace(
        b" rid=", b" xmlns:xn0='urn:xmpp:xbosh' xn0:version='1.0' rid=", 1)
    answer = session.free_wire().ask(text)
    session.sid = answer.body.get("sid")
    assert answer.body.get("{%s}version" % XBOSH) == "1.0"
    session.authenticate("u", "p")
    text = session.bytes().replace(b" rid=",
                                   b" xmlns:xn0='urn:xmpp:xbosh' xn0:restart='true' rid=", 1)
    restarted = session.free_wire().ask(text)
    assert restarted.body[0].find("{%s}bind" % BIND) is not None


def test_payload_in_a_prefixed_wrapper_namespace_becomes_a_stanza(opened):
    session, connection = opened
    text = (b"<b:body xmlns:b='%s' sid='%s' rid='%d'><b:message to='echo.fake'><b:body>x</b:body>"
            b"</b:message></b:body>" % (HTTPBIND.encode(), session.sid.encode(),
                                        session.next_rid()))
    session.endpoint.wire().ask(text)
    connection.wait_bodies("x")


def test_tsung_reads_the_reason_ok_of_every_answer(site, fake, new_session):
    session = new_session(site.main).open("echo.fake", ver="1.8")
    reasons = [session.created.reason]
    reasons.append(session.ask("<auth xmlns='%s' mechanism='ANONYMOUS'/>" % SASL).reason)
    reasons.append(session.ask(to="echo.fake", xmpp_restart="true").reason)
    reasons.append(session.ask(type="terminate").reason)
    assert reasons == ["OK"] * 4


def test_jbosh_uses_acknowledgements_and_52_bits(site, fake, new_session):
    session = new_session(site.main)
    session.rid = 2 ** 52 - 3
    session.open("echo.fake", ver="1.8", ack=1)
    assert session.created.body.get("ack") == str(2 ** 52 - 3)
    for n in range(6):
        assert session.ask(message("echo.fake", "n%d" % n)).texts() == ["n%d" % n]


def test_client_that_lost_its_connection_repeats_until_answered(site, fake):
    session = Session(site.main, stubborn=True).open("echo.fake")
    try:
        for n in range(5):
            session.send_message("echo.fake", "s%d" % n)
            session.pending[-1][1].sock.shutdown(2)
            session.wait_message("s%d" % n)
    finally:
        session.close()
