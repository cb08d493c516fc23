# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What happens on the HTTP connections: kept alive across held requests, TLS, HTTP/2,
HTTP/1.0, pipelining, clients that hang up, and the MPMs that cannot suspend."""
import os
import socket
import subprocess
import time

import pytest

import bosh
import procfs
from bosh import message
from prosody import ACCOUNTS, DOMAIN
from waiting import PATIENCE, until

GET = dict(method="GET", path="/static.txt")


@pytest.fixture
def hidden(new_session):
    """hidden(endpoint): a user of Prosody's to whom nothing comes but messages."""
    def login(endpoint):
        session = new_session(endpoint).login(DOMAIN, "juliet", ACCOUNTS["juliet"])
        session.post("<presence xmlns='jabber:client' type='unavailable'/>"
                     + message(session.jid, "hidden"))
        session.wait_message("hidden")
        return session
    return login


@pytest.fixture
def opened(site, fake, new_session):
    session = new_session(site.main).open("echo.fake")
    return session, fake.connection()


# ---- kept alive ---------------------------------------------------------------------


@pytest.mark.parametrize("where", ["main", "tls"])
def test_one_connection_carries_many_held_requests(site, fake, new_session, where):
    endpoint = getattr(site, where)
    session = new_session(endpoint).open("echo.fake")
    connection = fake.connection()
    wire = endpoint.wire()
    for n in range(30):
        wire.send(session.bytes())
        if n % 10 == 0:
            wire.silent(0.1)
        connection.push("n%d" % n)
        answer = wire.answer(3)
        assert answer.texts() == ["n%d" % n]
        assert (answer.header("Connection") or "").lower() != "close"
    assert wire.ask(None, **GET).raw == b"static file\n"
    assert wire.ask(session.bytes(message("echo.fake", "end"))).texts() == ["end"]


@pytest.mark.parametrize("where", ["main", "tls"])
def test_large_answer_to_a_held_request_arrives_whole(site, fake, new_session, where):
    endpoint = getattr(site, where)
    session = new_session(endpoint).open("echo.fake")
    wire = endpoint.wire()
    wire.send(session.bytes())
    wire.silent(0.1)
    fake.connection().push("y" * 300000)
    assert wire.answer(5).texts() == ["y" * 300000]
    wire.send(session.bytes())
    fake.connection().push("next")
    assert wire.answer(3).texts() == ["next"]


def test_large_answer_to_a_slow_reader_arrives_whole(site, fake, new_session):
    session = new_session(site.main).open("echo.fake")
    wire = site.main.wire()
    wire.send(session.bytes())
    wire.silent(0.1)
    for n in range(3):
        fake.connection().push("%d" % n + "z" * 900000)
    time.sleep(1)  # nothing is read meanwhile; the socket's buffers are full
    texts = wire.answer(10).texts()
    while len(texts) < 3:
        texts += wire.ask(session.bytes()).texts()
    assert [t[:2] for t in texts] == ["0z", "1z", "2z"] and all(len(t) == 900001 for t in texts)


def test_idle_connection_is_closed_after_the_keep_alive_timeout(make_httpd, fake, new_session):
    server = make_httpd(keep_alive_timeout=2)
    for tls in (False, True):
        fake.mark()
        endpoint = bosh.Endpoint(server.tls_port if tls else server.port, tls=tls)
        session = new_session(endpoint).open("echo.fake")
        wire = endpoint.wire()
        wire.send(session.bytes())
        wire.silent(0.2)  # so that it was suspended
        fake.connection().push("answer")
        assert wire.answer(2).texts() == ["answer"]
        started = time.monotonic()
        until(wire.is_closed, 6, "the server to close the idle connection")
        assert 1.0 < time.monotonic() - started < 4.5 * PATIENCE
        until(lambda: procfs.server_side(endpoint.port, wire.client_port) is None, 5,
              "the server's end to go")


def test_keep_alive_time_is_that_of_the_virtual_host_by_name(make_httpd, fake, new_session):
    """The Keep-Alive header names it, so a client counts on it."""
    server = make_httpd(start=False, vhosts={"first": "KeepAliveTimeout 1"})
    server.write_conf("<VirtualHost 127.0.0.1:%d>\nServerName second\nKeepAliveTimeout 8\n"
                      "</VirtualHost>\n" % server.port_of["first"])
    server.start()
    endpoint = bosh.Endpoint(server.port_of["first"])
    session = new_session(endpoint)
    wire = endpoint.wire()

    def ask(data):
        wire.send(data, headers=[("Host", "second"), ("Connection", "keep-alive")])

    ask(session.bytes(to="echo.fake", ver="1.11", wait=1, hold=1, xmpp_version="1.0"))
    created = wire.answer(2)
    session.sid = created.body.get("sid")
    ask(session.bytes())
    held = wire.answer(3)
    assert held.header("Keep-Alive") == "timeout=8"
    time.sleep(2.5)
    assert not wire.is_closed()


def test_held_request_outlives_keep_alive_and_request_timeouts(make_httpd, fake, new_session):
    server = make_httpd(keep_alive_timeout=1,
                        extra="Timeout 2\nRequestReadTimeout body=1,minrate=1")
    endpoint = bosh.Endpoint(server.port)
    session = new_session(endpoint).open("echo.fake")
    wire = endpoint.wire()
    wire.send(session.bytes())
    wire.silent(3.5)
    fake.connection().push("late")
    assert wire.answer(2).texts() == ["late"]


def test_connection_close_is_honoured(opened):
    session, connection = opened
    wire = session.endpoint.wire()
    wire.send(session.bytes(), headers=[("Connection", "close")])
    wire.silent(0.1)
    connection.push("last")
    answer = wire.answer(2)
    assert answer.texts() == ["last"]
    assert answer.header("Connection").lower() == "close"
    until(wire.is_closed, 5, "the server to close")


@pytest.mark.parametrize("keep", [False, True])
def test_http_1_0(opened, keep):
    session, connection = opened
    wire = session.endpoint.wire()
    headers = [("Connection", "keep-alive")] if keep else []
    for n in range(3 if keep else 1):
        wire.send(session.bytes(), version="1.0", headers=headers)
        wire.silent(0.1)
        connection.push("old %d" % n)
        answer = wire.answer(2)
        assert answer.texts() == ["old %d" % n]
        assert answer.header("Content-Length") == str(len(answer.raw))
        assert answer.header("Transfer-Encoding") is None
    if not keep:
        until(wire.is_closed, 5, "the server to close")


# ---- pipelining ------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["main", "tls"])
@pytest.mark.parametrize("gap", [True, False], ids=["later", "same-packet"])
def test_request_behind_a_held_one_gets_it_answered_at_once(site, fake, new_session, where, gap):
    """gloox and libpurple pipeline: unless those bytes are noticed, they stall."""
    endpoint = getattr(site, where)
    session = new_session(endpoint).open("echo.fake")
    wire = endpoint.wire()
    poll, behind = session.bytes(), session.bytes(message("echo.fake", "pipelined"))
    started = time.monotonic()
    if gap:
        wire.send(poll)
        wire.silent(0.2)
        started = time.monotonic()
        wire.send(behind)
    else:
        wire.send_raw(wire.request(poll) + wire.request(behind))
    first = wire.answer(3)
    assert first.type is None
    texts = first.texts() or wire.answer(3).texts()
    assert texts == ["pipelined"]
    assert time.monotonic() - started < 5 * PATIENCE


def test_file_requested_behind_a_held_request_does_not_wait(opened):
    session, connection = opened
    wire = session.endpoint.wire()
    wire.send(session.bytes())
    wire.silent(0.2)
    started = time.monotonic()
    wire.send(None, **GET)
    assert wire.answer(2).type is None
    assert wire.answer(2).raw == b"static file\n"
    assert time.monotonic() - started < 5 * PATIENCE


def test_many_pipelined_messages_keep_their_order(opened):
    session, connection = opened
    wire = session.endpoint.wire()
    texts = []
    for burst in range(5):
        data = b"".join(wire.request(session.bytes(message("echo.fake", "p%d" % (2 * burst + n))))
                        for n in range(2))
        wire.send_raw(data)
        for _ in range(2):
            if len(texts) < 2 * burst + 2:
                texts += wire.answer(3).texts()
        # whatever is still held is released by the next burst
        if len(texts) < 2 * burst + 2:
            texts += wire.ask(session.bytes()).texts()
        wire.close()
        wire = session.endpoint.wire()
    connection.wait_bodies(*["p%d" % n for n in range(10)])
    assert texts == ["p%d" % n for n in range(10)]


# ---- clients that go away ----------------------------------------------------------------


@pytest.mark.parametrize("where", ["main", "tls"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_client_that_hangs_up_is_noticed_and_its_stanzas_are_kept(site, fake, new_session,
                                                                   where, how):
    endpoint = getattr(site, where)
    session = new_session(endpoint).open("echo.fake")
    connection = fake.connection()
    for n in range(5):
        wire = endpoint.wire()
        wire.send(session.bytes())
        wire.silent(0.1)
        port = wire.client_port
        getattr(wire, how)()
        until(lambda: procfs.server_side(endpoint.port, port) is None, 2,
              "the server to notice that its client is gone")
        time.sleep(0.2)  # after a reset the kernel alone has noticed so far
        connection.push("kept %d" % n)
        # A client that lost the answer goes on with the next rid (page reload).
        answer = endpoint.wire().ask(session.bytes(), timeout=3)
        assert answer.texts() == ["kept %d" % n]


def test_client_that_hangs_up_and_repeats_gets_its_stanza(opened):
    session, connection = opened
    for n in range(5):
        data = session.bytes()
        wire = session.endpoint.wire()
        wire.send(data)
        wire.silent(0.05)
        wire.close()
        connection.push("kept %d" % n)
        assert session.endpoint.wire().ask(data, timeout=3).texts() == ["kept %d" % n]


def test_hang_up_starts_the_inactivity_clock(site, fake, new_session):
    session = new_session(site.short).open("echo.fake", wait=8)
    connection = fake.connection()
    wire = session.hold()
    wire.silent(0.1)
    started = time.monotonic()
    wire.close()
    connection.wait_ended(6)
    assert time.monotonic() - started < 2.0 + 1.5 * PATIENCE


def test_half_closed_connection_is_served_or_ended_but_not_leaked(opened):
    session, connection = opened
    wire = session.endpoint.wire()
    wire.send(session.bytes())
    wire.silent(0.1)
    wire.sock.shutdown(socket.SHUT_WR)
    until(lambda: procfs.server_side(session.endpoint.port, wire.client_port) is None, 5,
          "the server to end the half-closed connection")
    connection.push("kept")
    assert session.endpoint.wire().ask(session.bytes()).texts() == ["kept"]


def test_hundreds_of_hang_ups_leak_no_descriptor(site, fake, new_session):
    session = new_session(site.main).open("echo.fake")
    child = site.httpd.children()[0]
    connector = site.httpd.connector()
    ports = []
    before = procfs.fd_count(child), procfs.fd_count(connector)
    for n in range(200):
        # More than a handful that it has not noticed, and the client is overactive.
        until(lambda: all(procfs.server_side(site.main.port, p) is None for p in ports[-9:-3]), 10,
              "hang-ups to be noticed", every=0.005)
        wire = site.main.wire()
        wire.send(session.bytes())
        ports.append(wire.client_port)
        wire.silent(0.02 * PATIENCE)  # it has its turn; a reset would take it unread
        wire.reset() if n % 2 else wire.close()
        if n % 50 == 49:
            assert site.main.wire().ask(session.bytes(message("echo.fake", "alive"))).texts() \
                == ["alive"]
    until(lambda: all(procfs.server_side(site.main.port, p) is None for p in ports), 10,
          "the closed connections to go")
    until(lambda: procfs.fd_count(child) <= before[0] + 8, 10, "the child's descriptors to go")
    assert procfs.fd_count(connector) <= before[1] + 2


# ---- HTTP/2 ----------------------------------------------------------------------------


class Curl:
    """curl in the background: POSTs of several bodies over one HTTP/2 connection."""

    def __init__(self, endpoint, bodies, directory):
        self.outputs = []
        lines = []
        for n, data in enumerate(bodies):
            name = os.path.join(str(directory), "body%d" % n)
            with open(name, "wb") as f:
                f.write(data)
            output = os.path.join(str(directory), "answer%d" % n)
            self.outputs.append(output)
            if os.path.exists(output):
                os.unlink(output)
            if n:
                lines.append("next")
            lines += ['url = "%s"' % endpoint.url, 'data-binary = "@%s"' % name,
                      'header = "Content-Type: text/xml; charset=utf-8"', "http2", "insecure",
                      'output = "%s"' % output, "silent",
                      r'write-out = "%{http_version} %{http_code} %{num_connects}\n"']
        config = os.path.join(str(directory), "curl.conf")
        with open(config, "w") as f:
            f.write("\n".join(lines))
        self.process = subprocess.Popen(["curl", "--parallel", "--config", config],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def still_waits(self, seconds):
        try:
            out = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return True
        raise AssertionError("curl is done already: %r" % (out,))

    def answers(self, timeout=10):
        out, err = self.process.communicate(timeout=timeout * PATIENCE)
        assert self.process.returncode == 0, err
        rows = [line.split() for line in out.split("\n") if line]
        assert all(row[:2] == ["2", "200"] for row in rows), rows
        assert sum(int(row[2]) for row in rows) == 1, "more than one connection: %r" % rows
        bodies = []
        for name in self.outputs:
            with open(name, "rb") as f:
                bodies.append(bosh.Answer(200, "", "HTTP/2", [], f.read()))
        return bodies


def test_http2_request_is_held_and_answered(site, fake, new_session, tmp_path):
    session = new_session(site.tls).open("echo.fake")
    connection = fake.connection()
    for n in range(3):
        curl = Curl(site.tls, [session.bytes()], tmp_path)
        curl.still_waits(0.5)
        connection.push("h2 %d" % n)
        assert curl.answers(3)[0].texts() == ["h2 %d" % n]


def test_http2_requests_of_several_sessions_on_one_connection(site, fake, new_session, tmp_path):
    sessions, connections = [], []
    for _ in range(6):
        fake.mark()
        sessions.append(new_session(site.tls).open("echo.fake"))
        connections.append(fake.connection())
    curl = Curl(site.tls, [s.bytes() for s in sessions], tmp_path)
    curl.still_waits(0.7)
    for n, connection in enumerate(connections):
        connection.push("stream %d" % n)
    assert [a.texts() for a in curl.answers(5)] == [["stream %d" % n] for n in range(6)]


def test_http2_beyond_the_budget_is_answered_early_and_empty(make_httpd, fake, new_session,
                                                            tmp_path):
    server = make_httpd(extra="BoshBlockingHolds 2")
    endpoint = bosh.Endpoint(server.tls_port, tls=True)
    sessions = [new_session(endpoint).open("echo.fake", wait=6) for _ in range(5)]
    started = time.monotonic()
    curl = Curl(endpoint, [s.bytes() for s in sessions], tmp_path)
    files = curl.outputs
    until(lambda: sum(os.path.exists(f) and os.path.getsize(f) > 0 for f in files) == 3, 5,
          "three of five to be answered early")
    answers = curl.answers(9)
    assert time.monotonic() - started > 5.5
    assert all(a.type is None and a.stanzas == [] for a in answers)
    for session in sessions:  # nobody was harmed
        assert session.ask(message("echo.fake", "fine")).texts() == ["fine"]


def test_http2_client_that_aborts_loses_nothing(site, fake, new_session, tmp_path):
    session = new_session(site.tls).open("echo.fake")
    connection = fake.connection()
    data = session.bytes()
    curl = Curl(site.tls, [data], tmp_path)
    curl.still_waits(0.5)
    curl.process.kill()
    curl.process.communicate()
    connection.push("kept")
    assert session.endpoint.wire().ask(data, timeout=5).texts() == ["kept"]


# ---- a real server ---------------------------------------------------------------------------


def test_prosody_reaches_who_is_held_over_http2(site, romeo, hidden, tmp_path):
    juliet = hidden(site.tls)
    for text in "one", "two":
        curl = Curl(site.tls, [juliet.bytes()], tmp_path)
        curl.still_waits(0.5)
        romeo.send_message(juliet.jid, text)
        assert curl.answers(5)[0].texts() == [text]


@pytest.mark.parametrize("where", ["main", "tls"])
def test_prosody_loses_nothing_to_a_hang_up(site, romeo, hidden, where):
    juliet = hidden(getattr(site, where))
    wire, data = juliet.endpoint.wire(), juliet.bytes()
    wire.send(data)
    wire.silent(0.2)
    wire.reset()
    until(lambda: procfs.server_side(juliet.endpoint.port, wire.client_port) is None, 5,
          "the server to see that its client is gone")
    romeo.send_message(juliet.jid, "still there?")
    assert juliet.endpoint.wire().ask(data).texts() == ["still there?"]


# ---- MPMs that cannot suspend --------------------------------------------------------------

# Processes at the start; prefork makes more at its leisure, one a second.
SPARE = {"worker": 1, "prefork": 8}


@pytest.mark.parametrize("mpm", ["worker", "prefork"])
def test_other_mpm_holds_within_its_budget(make_httpd, fake, new_session, mpm):
    server = make_httpd(mpm=mpm, threads=10, servers=SPARE[mpm], extra="BoshBlockingHolds 2")
    endpoint = bosh.Endpoint(server.port)
    sessions, connections = [], []
    for _ in range(3):
        fake.mark()
        sessions.append(new_session(endpoint).open("echo.fake", wait=20))
        connections.append(fake.connection())
    # Sockets of their own: on prefork each takes a process.
    for session in sessions:
        session.close()
    wires = [endpoint.wire() for _ in range(3)]
    for session, wire in zip(sessions[:2], wires):
        wire.send(session.bytes())
        wire.silent(0.3)
    # The third finds the budget spent: an early, empty answer; not an error.
    started = time.monotonic()
    answer = wires[2].ask(sessions[2].bytes(), timeout=3)
    assert answer.type is None and answer.stanzas == []
    assert time.monotonic() - started < 2.5 * PATIENCE
    for n in range(2):
        connections[n].push("n%d" % n)
        assert wires[n].answer(2).texts() == ["n%d" % n]
    # The budget is given back.
    wires[2].send(sessions[2].bytes())
    wires[2].silent(0.3)
    connections[2].push("now held")
    assert wires[2].answer(2).texts() == ["now held"]
    assert server.get_static() == 200
    for wire in wires:
        wire.close()


@pytest.mark.parametrize("mpm", ["worker", "prefork"])
def test_other_mpm_chats_and_keeps_connections_alive(make_httpd, fake, new_session, mpm):
    server = make_httpd(mpm=mpm, threads=10, servers=SPARE[mpm])
    endpoint = bosh.Endpoint(server.port)
    session = new_session(endpoint).login("echo.fake", "u", "p")
    for n in range(20):
        session.send_message("echo.fake", "n%d" % n)
        session.wait_message("n%d" % n)
    assert len(session.wires) <= 2
    wire = session.hold()
    wire.silent(0.2)
    other = endpoint.wire()
    data = session.bytes(message("echo.fake", "across"))
    other.send(data)
    texts = session.collect(3).texts() or other.answer(3).texts()
    assert texts == ["across"]
    other.close()


@pytest.mark.parametrize("mpm", ["worker", "prefork"])
def test_other_mpm_notices_a_client_that_hung_up(make_httpd, fake, new_session, mpm):
    server = make_httpd(mpm=mpm, threads=10, servers=SPARE[mpm])
    endpoint = bosh.Endpoint(server.port)
    session = new_session(endpoint).open("echo.fake", wait=30)
    wire = endpoint.wire()
    wire.send(session.bytes())
    wire.silent(0.2)
    port = wire.client_port
    wire.close()
    until(lambda: procfs.server_side(endpoint.port, port) is None, 5,
          "the server to notice that its client is gone")
    fake.connection().push("kept")
    assert endpoint.wire().ask(session.bytes(), timeout=5).texts() == ["kept"]


def test_slow_upload_ends_no_session(make_httpd, fake, new_session):
    """A bad network: nothing was taken, so the client may send the same once more."""
    endpoint = bosh.Endpoint(make_httpd(extra="RequestReadTimeout body=1").port)
    session = new_session(endpoint).open("echo.fake")
    data = session.bytes(message("echo.fake", "slow"))
    wire = endpoint.wire()
    wire.send_raw(wire.request(data)[:-10])
    answer = wire.answer(5)
    assert (answer.status, answer.header("Retry-After")) == (503, "1")
    assert b"terminate" not in answer.raw
    until(wire.is_closed, 5, "the server to close")
    assert endpoint.wire().ask(data).texts() == ["slow"]
