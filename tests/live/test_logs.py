# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the logs say, and what they never say."""
import base64
import os
import re
import signal
import time

import pytest

import bosh
import procfs
from bosh import body_bytes, message
from prosody import ACCOUNTS, DOMAIN
from waiting import until

STANZA_TEXT = "canary-stanza-8f3a1c"


@pytest.fixture
def talkative(make_httpd):
    return make_httpd(log_level="notice bosh:trace8 ssl:info http2:info",
                      extra="BoshInactivity 2\nBoshMaxPause 5")


def end_lines(server, since=0):
    """The lines about the end of a session; those of one of several streams say so."""
    text = server.log_text()[since:]
    return [line for line in text.splitlines()
            if re.search(r"\[bosh:(info|notice)\]", line) and re.search(r"\bended\b", line)
            and not re.search(r"session \d+ stream \d to", line)]


def begun(server):
    """The numbers of the sessions that connectors have taken up, in that order."""
    return re.findall(r"BOSH1002: session (\d+): ", server.log_text())


def ends(server):
    """{number of a session: what its lines say}"""
    found = {}
    for line in end_lines(server):
        number, text = re.search(r"BOSH\d{4}: session (\d+)(?: to \S+)? ended\b(.*)", line).groups()
        found.setdefault(number, []).append(text)
    return found


def assert_one_end_each(server, numbers, reason):
    """And none comes late."""
    until(lambda: set(numbers) <= set(ends(server)), 5, "the ends of %s in the log" % numbers)
    time.sleep(0.3)
    told = ends(server)
    for number in numbers:
        assert len(told[number]) == 1 and reason in told[number][0], told


def test_no_secret_and_no_stanza_text_in_any_log(talkative, fake, new_session):
    endpoint = bosh.Endpoint(talkative.port)
    password = ACCOUNTS["romeo"]
    secrets = [password, base64.b64encode(("\0romeo\0" + password).encode()).decode(),
               STANZA_TEXT]
    sids = []
    for where in (endpoint, bosh.Endpoint(talkative.tls_port, tls=True)):
        session = new_session(where).login(DOMAIN, "romeo", password)
        sids.append(session.sid)
        session.send_message(session.jid, STANZA_TEXT)
        session.wait_message(STANZA_TEXT)
        # Wrong in many ways, each of which may be logged.
        for data in (b"<body sid='%s' x" % session.sid.encode(),
                     body_bytes(STANZA_TEXT, sid=session.sid, rid=session.rid + 1),
                     body_bytes("<a:b>%s</a:b>" % STANZA_TEXT, sid=session.sid,
                                rid=session.rid + 1),
                     body_bytes(message("x", STANZA_TEXT), sid=session.sid, rid="x")):
            assert where.wire().ask(data).type == "terminate"
        bosh.Endpoint(talkative.port, path="/other-bind").wire().ask(
            session.bytes(rid=session.rid + 1))
        session.terminate(message(session.jid, STANZA_TEXT))
    # Ends that have a reason worth logging.
    session = new_session(endpoint).open("echo.fake")
    sids.append(session.sid)
    fake.connection().send("<message><body>%s</body></oops>" % STANZA_TEXT)
    until(lambda: fake.connection().gone, 5)
    session = new_session(endpoint).open("echo.fake")
    sids.append(session.sid)
    session.endpoint.wire().ask(session.bytes(message("x", STANZA_TEXT), rid=session.rid + 99))
    until(lambda: len(end_lines(talkative)) >= 4, 5, "the sessions' ends in the log")
    logs = talkative.all_text()
    for secret in secrets:
        assert secret not in logs, "a log holds %r" % secret
    for sid in sids:
        for i in range(len(sid) - 11):
            assert sid[i:i + 12] not in logs, "a log holds a good part of a sid"
    assert "bosh" in logs


def by_terminate(session, connection):
    session.terminate()


def by_inactivity(session, connection):
    connection.wait_ended(6)


def by_window(session, connection):
    session.endpoint.wire().ask(session.bytes(rid=session.rid + 50))


def by_server_close(session, connection):
    connection.close()


def by_stream_error(session, connection):
    connection.send("<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                    "</stream:error></stream:stream>")


def by_bad_stream(session, connection):
    connection.send("<a:b/>")


def by_pause(session, connection):
    session.ask(pause=500)


def by_too_many(session, connection):
    """Each makes the one before it be answered at once; a few are forgiven."""
    session.post()
    for _ in range(30):
        session.post()
        if session.collect().type:
            break


ENDS = {f.__name__[3:]: f for f in (by_terminate, by_inactivity, by_window, by_server_close,
                                    by_stream_error, by_bad_stream, by_pause, by_too_many)}


def test_every_end_of_a_session_is_one_line_with_the_reason(make_httpd, fake, new_session):
    server = make_httpd(log_level="notice bosh:info", extra="BoshInactivity 2\nBoshMaxPause 5")
    endpoint = bosh.Endpoint(server.port)
    reasons = {}
    for name, end in ENDS.items():
        fake.mark()
        since = len(server.log_text())
        session = new_session(endpoint).open("echo.fake")
        connection = fake.connection()
        end(session, connection)
        until(lambda: end_lines(server, since), 5, "a line about the end by " + name)
        connection.wait_ended(6)
        time.sleep(0.2)
        lines = end_lines(server, since)
        assert len(lines) == 1, lines
        assert re.search(r"(AH|BOSH)\d+", lines[0]), "without an identifier: " + lines[0]
        reasons[name] = re.sub(r"^.*\bended\b", "", lines[0])
    words = {"terminate": "client", "inactivity": "inactiv|no request", "stream_error":
             "stream error", "window": r"\brid\b|request id", "pause": "pause",
             "too_many": "too many simultaneous requests"}
    for name, word in words.items():
        assert re.search(word, reasons[name].lower()), reasons
    assert len(set(reasons.values())) >= 7, "different ends, the same reason: %r" % reasons


def test_end_of_a_session_without_a_server_is_one_line(make_httpd, fake, new_session):
    server = make_httpd()
    new_session(bosh.Endpoint(server.port)).create("refused.fake")
    until(lambda: begun(server), 5)
    assert_one_end_each(server, begun(server), "the XMPP server could not be reached")


def open_some(server, fake, new_session):
    """Three sessions, the first with two streams, the last with a server that is silent:
    (sessions, servers' sides, numbers)."""
    endpoint = bosh.Endpoint(server.port)
    sessions = [new_session(endpoint).open("echo.fake") for _ in range(2)]
    new_session(endpoint).create("silent.fake", wait=1)
    sessions[0].ask(to="echo.fake", xml_lang="en", xmpp_version="1.0")
    until(lambda: len(fake.since_mark()) == 4 and len(begun(server)) == 3, 5)
    return sessions, fake.since_mark(), begun(server)


def test_end_with_the_connector_is_one_line(make_httpd, fake, new_session):
    """Written by the next one, however many streams each had."""
    server = make_httpd()
    _, _, numbers = open_some(server, fake, new_session)
    os.kill(server.connector(), signal.SIGKILL)
    assert_one_end_each(server, numbers, "the connector process ended")


def test_end_with_httpd_is_one_line(make_httpd, fake, new_session):
    """Also of a session whose server never says a word."""
    server = make_httpd()
    _, _, numbers = open_some(server, fake, new_session)
    os.kill(server.parent, signal.SIGTERM)
    until(lambda: not server.is_running() and not server.processes(), 10, "everything to end")
    assert_one_end_each(server, numbers, "httpd stops")


def test_end_of_a_session_with_several_streams_is_one_line(make_httpd, fake, new_session):
    """The end of its first stream is not yet its own."""
    server = make_httpd()
    (session, _), connections, numbers = open_some(server, fake, new_session)
    first, second = connections[0], connections[-1]
    first.close()
    until(lambda: server.count_log("session %s stream 0 to echo.fake ended" % numbers[0]), 5)
    assert numbers[0] not in ends(server)
    second.close()
    assert_one_end_each(server, numbers[:1], "connection to the XMPP server broke")
    assert server.count_log("session %s stream 1 to echo.fake ended" % numbers[0]) == 1


def test_several_streams_that_end_with_their_session_are_one_line(make_httpd, fake, new_session):
    server = make_httpd()
    (session, _), connections, numbers = open_some(server, fake, new_session)
    session.terminate()
    assert_one_end_each(server, numbers[:1], "terminated by the client")
    for stream in range(2):
        assert server.count_log("session %s stream %d to echo.fake ended"
                                % (numbers[0], stream)) == 1


def test_end_before_a_connector_came_to_it_is_one_line(make_httpd, fake, new_session):
    """Its client left while the connector was busy, or stopped."""
    server = make_httpd()
    connector = server.connector()
    procfs.stop(connector)
    try:
        session = new_session(bosh.Endpoint(server.port))
        assert session.create("echo.fake", wait=1).type is None
        assert session.ask(type="terminate").type == "terminate"
    finally:
        os.kill(connector, signal.SIGCONT)
    assert_one_end_each(server, ["1"], "terminated by the client")


def test_connect_failure_says_why(make_httpd, new_session):
    server = make_httpd(log_level="notice bosh:info")
    session = new_session(bosh.Endpoint(server.port))
    session.create("refused.fake")
    until(lambda: re.search(r"refused.fake.*|Connection refused", server.log_text())
          and "Connection refused" in server.log_text(), 5, "the cause in the log")


def test_log_lines_cannot_be_forged(make_httpd, new_session):
    server = make_httpd(log_level="notice bosh:trace8")
    wire = bosh.Endpoint(server.port).wire()
    for attrs in ({"to": "a\nforged-line"}, {"to": "a\x7fforged-line"},
                  {"to": "%s%n%p"}, {"to": "echo.fake", "route": "a\nforged-line"},
                  {"to": "echo.fake", "from_": "a\nforged-line"}):
        wire.ask(body_bytes(rid=100, ver="1.11", wait=1, hold=1, **attrs))
    wire.ask(body_bytes(rid=100, sid="a\nforged-line"))
    for line in server.log_text().splitlines():
        assert not line.startswith("forged-line")


def test_flood_of_bad_requests_does_not_flood_the_log_at_the_usual_level(make_httpd):
    server = make_httpd(log_level="notice bosh:warn")
    wire = bosh.Endpoint(server.port).wire()
    before = server.log_size()
    for n in range(200):
        wire.ask(b"<nonsense")
        wire.ask(body_bytes(rid=n + 1, sid="nobody"))
    assert server.log_size() - before < 4096


def test_full_manager_says_so_now_and_then(make_httpd, fake):
    """Anybody can ask for sessions, as fast as they like."""
    server = make_httpd(log_level="notice bosh:warn", extra="BoshMaxSessions 2")
    endpoint = bosh.Endpoint(server.port)
    answers = [endpoint.wire().ask(body_bytes(rid=n + 1, to="echo.fake", ver="1.11", wait=1,
                                              hold=1)) for n in range(60)]
    assert [a.status for a in answers].count(503) >= 50
    assert 1 <= server.log_text().count("no more sessions") <= 3


# ---- who asks for a domain that is not on the list ---------------------------------------------


def refusals(server, level):
    return [line for line in server.log_text().splitlines()
            if "[bosh:%s]" % level in line and "BOSH3001" in line]


def create(endpoint, to):
    answer = endpoint.wire().ask(body_bytes(rid=100, to=to, ver="1.11", wait=1, hold=1))
    assert answer.condition == "host-unknown"


def test_domain_that_is_not_listed_is_named_once_in_a_while(make_httpd):
    """Somebody may have forgotten it; and anybody can ask for anything, as fast as they like."""
    server = make_httpd(log_level="notice bosh:info")
    endpoint = bosh.Endpoint(server.port)
    began = time.monotonic()
    create(endpoint, "Chat.example")
    line, = refusals(server, "warn")
    assert line.endswith("refused, host-unknown: BoshDomain does not list 'Chat.example'")
    for n in range(50):
        create(endpoint, "%d.example" % n)
    assert len(refusals(server, "warn")) <= 1 + (time.monotonic() - began) // 10
    assert len(refusals(server, "warn") + refusals(server, "info")) == 51


def test_stream_to_a_domain_that_is_not_listed_is_told_too(make_httpd, fake, new_session):
    server = make_httpd(log_level="notice bosh:warn")
    session = new_session(bosh.Endpoint(server.port)).open("echo.fake")
    session.ask(to="chat.example", xml_lang="en", xmpp_version="1.0")
    assert "'chat.example'" in refusals(server, "warn")[0]


@pytest.mark.parametrize("to, told", [
    ("b\u00fccher.example", r"'b\xc3\xbccher.example'"), ('a"b\\c', r"""'a"b\\c'"""),
    ("a\nforged\x7f\u202e", r"'a\nforged\x7f\xe2\x80\xae'"), ("%s%n%p", "'%s%n%p'"),
    ("x" * 101, "'" + "x" * 100 + "...'"), ("x" * 100, "'" + "x" * 100 + "'"),
    ("\U0001f339" * 5000, "'" + r"\xf0\x9f\x8c\xb9" * 25 + "...'")],
    ids=["utf-8", "quotes", "controls", "format", "long", "not-long", "huge"])
def test_name_that_is_not_listed_does_no_harm_in_the_log(site, to, told):
    before = site.httpd.count_log("BOSH3001")
    create(site.main, to)
    assert site.httpd.count_log("BOSH3001") == before + 1
    line = [x for x in site.httpd.log_text().splitlines() if "BOSH3001" in x][-1]
    assert line.endswith("BoshDomain does not list " + told)


def test_no_message_above_warning_in_ordinary_life(site, fake, new_session):
    since = site.httpd.log_size()
    session = new_session(site.main).login("echo.fake", "u", "p")
    session.send_message("echo.fake", "x")
    session.wait_message("x")
    session.terminate()
    fake.connection().wait_ended()
    with open(os.path.join(site.httpd.root, "logs", "error.log"), errors="replace") as f:
        f.seek(since)
        bad = [line for line in f if re.search(r"\[bosh:(warn|error|crit|alert|emerg)\]", line)]
    assert not bad, bad
