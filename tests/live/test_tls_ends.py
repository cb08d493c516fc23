# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A server with TLS that breaks the connection, by a reset or without a word, in every state:
of the way to TLS, and of the stream in it. test_upstream_ends.py has the same without TLS."""
import contextlib
import functools
import os
import re
import signal
import socket

import pytest

import bosh
import procfs
from conftest import end_server, need_module, run_server
from httpd import Httpd
from play import Play, bounces, tag, text_message, texts, wait_over
from strictxml import SASL
from test_upstream_ends import STANZAS_MAY_COME, STATES, Case
from tlsfront import TlsFront
from waiting import until

FAILED = "remote-connection-failed"
LOGIN = "<auth xmlns='%s' mechanism='PLAIN'>AHVzZXIAc2VjcmV0</auth>" % SASL
MODES = ("starttls", "direct")


class World:
    """An httpd that reaches the scripted server through a front of each kind."""

    def __init__(self, fake_server, ca):
        files = ca.issue(dns=["puppet.fake"])
        self.fronts = {mode: TlsFront(fake_server.port, *files, mode=mode) for mode in MODES}
        scheme = {"starttls": "xmpp", "direct": "xmpps"}
        self.httpd = Httpd(vhosts={mode: "BoshDomain puppet.fake %s://127.0.0.1:%d tls=required"
                                   % (scheme[mode], front.port)
                                   for mode, front in self.fronts.items()},
                           extra='BoshTLSCACertificateFile "%s"' % ca.file)

    def endpoint(self, mode):
        return bosh.Endpoint(self.httpd.port_of[mode])

    def stop(self):
        for front in self.fronts.values():
            front.stop()
        end_server(self.httpd)


@pytest.fixture(scope="module")
def shared_world(fake_server, ca):
    need_module()
    world = World(fake_server, ca)
    run_server(world.httpd)
    yield world
    world.stop()


@pytest.fixture
def world(shared_world):
    """Everything that a test opened is closed in the end."""
    connector = shared_world.httpd.connector()
    before = procfs.fd_count(connector)
    yield shared_world
    for front in shared_world.fronts.values():
        front.at, front.record, front.torn = lambda stage, sock: False, 65536, b""
    until(lambda: procfs.fd_count(connector) <= before, 10,
          "the connector to have %d descriptors again" % before)
    assert shared_world.httpd.connector() == connector


@pytest.fixture
def play(world, fake, new_session):
    """play(mode, state): a session whose server the test plays, in that state."""
    def make(mode, state):
        fake.mark()
        return getattr(Play(world.endpoint(mode), fake, new_session), state)()
    return make


# ---- on the way to TLS -------------------------------------------------------------------------

HANDSHAKE = "in the middle of the handshake"
# The last thing that was said or heard; and words of the log.
STAGES = [("begun", "before the stream was there"), ("header", "before the stream was there"),
          ("features", "before the stream was there"), ("asked", "before the stream was there"),
          ("proceed", HANDSHAKE), ("handshake", HANDSHAKE),
          ("secured", "the connection to the XMPP server broke (")]


def ending(wanted, end):
    """For TlsFront.at: the connection breaks at that stage."""
    def at(stage, sock):
        if stage != wanted:
            return False
        if stage == "handshake":
            assert sock.recv(65536)[0] == 22  # that is what a ClientHello begins with
        end(sock)
        return True
    return at


def ask_in_vain(world, mode, new_session, words):
    """The client's password comes with the creation: it is there to be betrayed."""
    before = world.httpd.log_size()
    session = new_session(world.endpoint(mode))
    answer = session.create("puppet.fake", payload=LOGIN)
    while answer.type is None:
        answer = session.ask()
    number = "BOSH1003" if "broke" in words else "BOSH1001"
    assert (answer.type, answer.condition) == ("terminate", FAILED)
    lines = until(lambda: [x for x in world.httpd.log_text()[before:].splitlines()
                           if number in x], 5, "a line in the log")
    assert len(lines) == 1 and words in lines[0], lines


@pytest.mark.parametrize("end", [procfs.reset, socket.socket.close], ids=["reset", "fin"])
@pytest.mark.parametrize("mode", MODES)
def test_server_that_ends_on_the_way_to_tls(world, new_session, mode, end):
    front = world.fronts[mode]
    for stage, words in STAGES[5:] if mode == "direct" else STAGES:
        front.at = ending(stage, end)
        accepted = front.accepted
        ask_in_vain(world, mode, new_session, words)
        assert front.accepted == accepted + 1
    assert b"auth" not in front.said_in_the_clear()


# ---- in TLS ------------------------------------------------------------------------------------

@contextlib.contextmanager
def standing_still(world):
    """The connector, so that what comes waits in its sockets."""
    connector = world.httpd.connector()
    procfs.stop(connector)
    try:
        yield
    finally:
        os.kill(connector, signal.SIGCONT)


def is_connected_to(port):
    return any(row[1] == port and row[2] == procfs.ESTABLISHED for row in procfs.tcp_sockets())


# A record of data of which 100 bytes of 256 have come.
TORN = b"\x17\x03\x03\x01\x00" + bytes(100)
WHY = {"reset": "Connection reset by peer", "close": "the server closed it"}


@pytest.mark.parametrize("torn", [b"", TORN], ids=["whole", "torn"])
@pytest.mark.parametrize("way", ["reset", "close"])
@pytest.mark.parametrize("mode", MODES)
def test_every_state_of_the_stream(world, play, fake_server, mode, way, torn):
    """In the middle of a stanza, of a record, with stanzas on their way: these come first, also
    where the connector finds them and the end at once."""
    world.fronts[mode].torn = torn
    before = world.httpd.log_size()
    cases = [Case(functools.partial(play, mode), state, how, FAILED)
             for state in STATES for how in ("held", "idle", "queued")]
    with standing_still(world):
        for case in cases:
            if case.state in STANZAS_MAY_COME:
                case.play.server.send(text_message("last"))
                case.said = case.said + ["last"]
            getattr(case.play.server, way)()
        until(lambda: not is_connected_to(world.fronts[mode].port), 10, "the ends to arrive")
    for case in cases:
        try:
            case.check()
            case.check_later()
        except AssertionError as e:
            raise AssertionError("%r: %s" % (case, e)) from e
    ends = dict(re.findall(r"BOSH1003: (session \d+) to .* broke \((.*)\), " + FAILED,
                           world.httpd.log_text()[before:]))
    assert len(ends) == len(cases)
    assert set(ends.values()) == {WHY[way]}
    p = play(mode, "bound")
    p.server.send(text_message("others are served"))
    assert texts([p.session.ask()]) == ["others are served"]
    p.server.reset()


def test_what_is_no_record_is_named_in_the_log(world, play):
    """Whole, but nobody encrypted it: somebody else wrote that, or the line is bad."""
    p = play("direct", "bound")
    world.fronts["direct"].torn = b"\x17\x03\x03\x00\x20" + bytes(32)
    before = world.httpd.log_size()
    p.server.close()
    while not p.session.ended:
        p.session.ask()
    assert p.session.ended.condition == FAILED
    line = until(lambda: re.search("BOSH1003.*", world.httpd.log_text()[before:]), 5, "its line")
    assert "broke (TLS failed: decryption failed or bad record mac), " + FAILED in line.group()


# ---- many records ------------------------------------------------------------------------------

MANY = ["n%d" % n for n in range(1000)]


def say_much(front, server):
    """In hundreds of records; OpenSSL reads one at a time, however many there are."""
    front.record = 100
    text = "".join(map(text_message, MANY))
    server.send(text)
    until(lambda: procfs.unread(front.port) > len(text), 10, "the stanzas to arrive")


def test_all_comes_first_where_a_write_finds_the_connection_broken(world, play):
    front, p = world.fronts["direct"], play("direct", "bound")
    with standing_still(world):
        say_much(front, p.server)
        p.server.reset()
        until(lambda: not is_connected_to(front.port), 10, "the reset")
        p.session.post(bosh.message("a@b", "too late"))
        p.session.post()
        p.session.collect()
    while not p.session.ended:
        p.session.ask()
    assert p.session.ended.condition == FAILED
    assert [s.findtext(tag("body")) for s in p.session.inbox if s.tag == tag("message")] == MANY


def test_all_goes_back_that_the_server_had_said_when_the_client_left(world, play):
    p = play("direct", "bound")
    with standing_still(world):
        say_much(world.fronts["direct"], p.server)
        p.session.terminate("")
    wait_over(p.server)
    assert len(bounces(p.server)) == len(MANY)
    p.server.reset()
