# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Logging in and chatting through httpd, against a real Prosody; and what a client
is told when that cannot work."""
import pytest

import bosh
from bosh import message
from prosody import ACCOUNTS, DOMAIN, Prosody
from strictxml import CLIENT, HTTPBIND, SASL, STREAMS

STREAM_ERRORS = "urn:ietf:params:xml:ns:xmpp-streams"


def test_two_users_chat_both_ways(romeo, juliet):
    juliet.hold()
    romeo.send_message(juliet.jid, "But soft, what light?")
    got = juliet.wait_message("But soft, what light?")
    assert got.get("from") == romeo.jid
    romeo.hold()
    juliet.send_message(romeo.jid, "Ay me!")
    assert romeo.wait_message("Ay me!").get("from") == juliet.jid


def test_long_conversation_keeps_order(romeo, juliet):
    for n in range(50):
        juliet.hold()
        romeo.send_message(juliet.jid, "line %d" % n)
        while len(romeo.pending) > 1:
            romeo.collect()
    seen = []
    while len(seen) < 50:
        seen.append(juliet.wait_message().findtext("{%s}body" % CLIENT))
    assert seen == ["line %d" % n for n in range(50)]


def test_stanzas_for_the_client_are_in_jabber_client(romeo):
    """Message, presence and iq alike; nothing falls into the wrapper's namespace."""
    disco = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
    romeo.post("<iq type='get' id='d1' to='%s' xmlns='jabber:client'>%s</iq>" % (DOMAIN, disco))
    romeo.receive(lambda s: s.tag == "{jabber:client}iq" and s.get("id") == "d1")
    romeo.send_message(romeo.jid, "to myself")
    romeo.wait_message("to myself")
    romeo.post("<presence xmlns='jabber:client'><show>away</show></presence>")
    romeo.receive(lambda s: s.tag == "{jabber:client}presence"
                  and s.findtext("{jabber:client}show") == "away")
    for answer in romeo.answers:
        for stanza in answer.stanzas:
            assert not any(e.tag.startswith("{%s}" % HTTPBIND) for e in stanza.iter())
        if b"<stream:" in answer.raw:
            assert b"xmlns:stream=" in answer.raw


def test_stanza_without_a_namespace_of_its_own_is_taken_as_jabber_client(romeo, juliet):
    """XEP-0206: old clients send payloads in the wrapper's namespace."""
    juliet.hold()
    romeo.post("<message to='%s' type='chat'><body>bare</body></message>" % juliet.jid)
    got = juliet.wait_message("bare")
    assert got.find("{jabber:client}body") is not None


@pytest.mark.parametrize("text", [
    "Hi! & < > \" ' ]]> --> <?pi?> <!-- -->", "</body></message></stream:stream>",
    "\u00e9\u00df \u6f22\u5b57 \U0001f339 \u202e\u200f", "a\tb\nc", "  spaces  ",
    "&amp;lt; &#38;", "x" * 60000],
    ids=["markup", "closing tags", "unicode", "controls", "spaces", "references", "60 kB"])
def test_text_arrives_as_it_was_sent(romeo, juliet, text):
    juliet.hold()
    romeo.send_message(juliet.jid, text)
    juliet.wait_message(text)


def test_cdata_is_text(romeo, juliet):
    juliet.hold()
    romeo.post("<message to='%s' xmlns='jabber:client'><body><![CDATA[</stream:stream>&]]></body>"
               "</message>" % juliet.jid)
    juliet.wait_message("</stream:stream>&")


def test_line_ends_and_tabs_survive_both_ways(site, fake, new_session):
    """As references, in text and in attributes; a parser would change them else."""
    text = ident = "<&>\"' \u00e9 \n\t\r\r\n end"
    session = new_session(site.main).open("echo.fake")
    session.send_message("echo.fake", text, ident=ident)
    assert session.wait_message(text).get("id") == ident
    connection = fake.connection()
    connection.wait_bodies(text)
    assert connection.stanzas[0].get("id") == ident


def test_several_stanzas_in_one_body_are_all_delivered_in_order(romeo, juliet):
    juliet.hold()
    romeo.post("".join(message(juliet.jid, "part %d" % n) for n in range(5))
               + "<iq type='get' id='p5' to='%s' xmlns='jabber:client'>"
                 "<ping xmlns='urn:xmpp:ping'/></iq>" % DOMAIN)
    for n in range(5):
        assert juliet.wait_message().findtext("{%s}body" % CLIENT) == "part %d" % n
    romeo.receive(lambda s: s.get("id") == "p5" and s.get("type") == "result")


def test_wrong_password_is_delivered_as_a_sasl_failure(site, new_session):
    session = new_session(site.main).open(DOMAIN)
    failure = session.authenticate("romeo", "nonsense")
    assert failure.tag == "{%s}failure" % SASL
    assert failure.find("{%s}not-authorized" % SASL) is not None
    # The session goes on: a second attempt may succeed.
    assert session.authenticate("romeo", ACCOUNTS["romeo"]).tag == "{%s}success" % SASL


def test_scripted_echo_logs_in(site, fake, new_session):
    session = new_session(site.main).login("echo.fake", "u", "p", "here")
    assert session.jid == "u@echo.fake/here"
    session.send_message("echo.fake", "back to me")
    session.wait_message("back to me")
    connection = fake.connection()
    assert connection.not_xml is None
    assert [h["to"] for h in connection.headers] == ["echo.fake", "echo.fake"]
    assert all(h.get("version") == "1.0" for h in connection.headers)


def test_server_that_sends_byte_by_byte(site, fake, new_session):
    session = new_session(site.main).login("crumbs.fake", "u", "p", "here")
    text = "crumbs \u00e9\u6f22\U0001f339 & <>"
    session.send_message("crumbs.fake", text)
    session.wait_message(text)


def test_no_starttls_and_no_compression_reach_the_client(site, fake, new_session):
    session = new_session(site.main)
    fake.mark()
    data = bosh.body_bytes(rid=session.rid, to="late.fake", wait=60, hold=1, ver="1.11",
                           xmpp_version="1.0")
    wire = session.free_wire()
    wire.send(data)
    fake.connection().send(
        "<stream:stream xmlns='jabber:client' xmlns:stream='%s' id='x' from='late.fake' "
        "version='1.0'><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
        "<compression xmlns='http://jabber.org/features/compress'><method>zlib</method>"
        "</compression><mechanisms xmlns='%s'><mechanism>SCRAM-SHA-1-PLUS</mechanism>"
        "<mechanism>SCRAM-SHA-1</mechanism></mechanisms></stream:features>" % (STREAMS, SASL))
    answer = wire.answer()
    assert b"SCRAM-SHA-1<" in answer.raw
    for hidden in (b"starttls", b"zlib", b"-PLUS"):
        assert hidden not in answer.raw


# ---- when it cannot work -------------------------------------------------------------


def refusal(session, to, timeout=10):
    answer = session.create(to, timeout=timeout)
    assert answer.status == 200
    if answer.type != "terminate":  # the bad news may come after the sid
        session.post()
        answer = session.collect(timeout)
    assert answer.type == "terminate"
    return answer


@pytest.mark.parametrize("domain", ["nowhere.example", "127.0.0.1", "localhost.", "LOCALHOST",
                                    "localhost:5222", "user@localhost", "[::1]",
                                    "x" * 300, "a b", "..", "\u2024"])
def test_only_listed_domains_are_reached(site, fake, new_session, domain):
    session = new_session(site.main)
    answer = session.create(domain)
    if domain in ("localhost.", "LOCALHOST"):  # the same domain in another spelling
        assert answer.type is None
        return
    assert answer.type == "terminate"
    assert answer.condition in ("host-unknown", "improper-addressing")
    assert fake.since_mark() == []


def test_unknown_domain_is_host_unknown(site, new_session):
    answer = new_session(site.main).create("nowhere.example")
    assert (answer.status, answer.type, answer.condition) == (200, "terminate", "host-unknown")
    assert answer.body.get("sid") is None


def test_no_domain_listed_means_nobody_is_reached(make_httpd, fake, new_session):
    """As somebody has it who wrote `SetHandler bosh` and no more."""
    server = make_httpd(domains=[])
    for to in ("echo.fake", DOMAIN, "localhost", "127.0.0.1", "main.example", "*"):
        answer = new_session(bosh.Endpoint(server.port)).create(to)
        assert (answer.status, answer.type, answer.condition) == (200, "terminate", "host-unknown")
        assert answer.body.get("sid") is None
    assert fake.since_mark() == []
    assert server.count_log("BOSH1002") == 0, "the connector was given something to do"
    assert server.count_log("BOSH0003") == 1


def test_missing_domain_is_improper_addressing(site, new_session):
    for attrs in ({"to": None}, {"to": ""}):
        session = new_session(site.main)
        answer = session.free_wire().ask(bosh.body_bytes(
            rid=session.rid, wait=60, hold=1, ver="1.11", **attrs))
        assert (answer.type, answer.condition) == ("terminate", "improper-addressing")


@pytest.mark.parametrize("route", ["xmpp:127.0.0.1:22", "xmpp:[::1]:11211", "http:localhost:80",
                                   "unix:/etc", "xmpp:echo.fake:70000", "nonsense"])
def test_route_never_leads_to_another_server(site, fake, new_session, route):
    """Ignored or refused; what counts is where the connection goes."""
    answer = new_session(site.main).create("echo.fake", route=route)
    if answer.type == "terminate":
        assert answer.condition == "host-unknown"
        assert not fake.since_mark()
    else:
        assert fake.connection().to == "echo.fake"


def test_refused_connection_is_remote_connection_failed(site, new_session):
    answer = refusal(new_session(site.main), "refused.fake")
    assert answer.condition == "remote-connection-failed"


def test_domain_that_the_server_does_not_know_is_a_remote_stream_error(site, new_session):
    answer = refusal(new_session(site.main), "elsewhere.example")
    assert answer.condition == "remote-stream-error"
    error = answer.body.find("{%s}error" % STREAMS)
    assert error is not None and error.find("{%s}host-unknown" % STREAM_ERRORS) is not None


def test_server_that_closes_at_once_is_reported(site, fake, new_session):
    answer = refusal(new_session(site.main), "shut.fake")
    assert answer.condition == "remote-connection-failed"


def test_server_that_is_no_xmpp_server_is_reported(site, fake, new_session):
    answer = refusal(new_session(site.main), "garbage.fake")
    assert answer.condition in ("remote-connection-failed", "remote-stream-error")
    assert b"mail.example" not in answer.raw


def test_silent_server_is_given_up_after_the_connect_timeout(make_httpd, fake, new_session):
    server = make_httpd(extra="BoshConnectTimeout 1")
    session = new_session(bosh.Endpoint(server.port))
    answer = refusal(session, "silent.fake")
    assert answer.condition == "remote-connection-failed"
    fake.connection().wait_ended()


def test_stream_error_is_relayed_after_what_came_before_it(site, fake, new_session):
    session = new_session(site.main).login("echo.fake", "u", "p")
    session.hold()
    connection = fake.connection()
    connection.send("<message from='echo.fake'><body>last words</body></message>"
                    "<stream:error><conflict xmlns='%s'/><text xmlns='%s' xml:lang='en'>replaced"
                    "</text><app xmlns='urn:example:app'/></stream:error></stream:stream>"
                    % (STREAM_ERRORS, STREAM_ERRORS))
    connection.close()
    texts = []
    while session.ended is None:
        session.hold()
        texts += session.collect().texts()
    assert session.ended.condition == "remote-stream-error"
    assert "last words" in texts
    error = session.ended.body.find("{%s}error" % STREAMS)
    assert error.find("{%s}conflict" % STREAM_ERRORS) is not None
    assert error.findtext("{%s}text" % STREAM_ERRORS) == "replaced"
    assert error.find("{urn:example:app}app") is not None


@pytest.mark.parametrize("how", ["close", "reset"])
def test_lost_server_connection_is_told_to_the_held_request(site, fake, new_session, how):
    session = new_session(site.main).login("echo.fake", "u", "p")
    session.hold()
    getattr(fake.connection(), how)()
    answer = session.collect(3)
    assert (answer.type, answer.condition) == ("terminate", "remote-connection-failed")


@pytest.mark.parametrize("bad", ["<message><body>x</message>", "<!-- no --><message/>",
                                 "<?pi?>", "<a:b/>", "<message>&nbsp;</message>", "stray text"],
                         ids=["unbalanced", "comment", "pi", "prefix", "entity", "text"])
def test_bad_xml_from_the_server_ends_the_session_with_an_error(site, fake, new_session, bad):
    session = new_session(site.main).login("echo.fake", "u", "p")
    connection = fake.connection()
    connection.push("before")
    session.wait_message("before")
    session.hold()
    connection.send(bad)
    while session.ended is None:
        session.hold()
        session.collect(3)
    assert session.ended.condition in ("remote-stream-error", "remote-connection-failed")
    connection.wait_ended()


def test_server_restart_ends_old_sessions_and_serves_new_ones(make_httpd, new_session):
    """With a Prosody of its own, since it is taken down."""
    own = Prosody().start()
    try:
        server = make_httpd(domains=[(DOMAIN, own.address)])
        session = new_session(bosh.Endpoint(server.port)).login(DOMAIN, "romeo", ACCOUNTS["romeo"])
        session.hold()
        own.restart()
        while session.ended is None:
            session.hold()
            session.collect(5)
        assert session.ended.condition in ("remote-stream-error", "remote-connection-failed")
        again = new_session(bosh.Endpoint(server.port)).login(DOMAIN, "romeo", ACCOUNTS["romeo"])
        again.send_message(again.jid, "here again")
        again.wait_message("here again")
    finally:
        own.stop()


# ---- what is not a BOSH request -----------------------------------------------------


def test_get_shows_a_small_page_about_the_connector(site):
    wire = site.main.wire()
    answer = wire.ask(None, method="GET")
    assert answer.status == 200
    assert answer.header("Content-Type").startswith("text/html")
    text = answer.raw.decode()
    assert "BOSH" in text and "connector" in text.lower() and "running" in text.lower()
    assert "not running" not in text and len(text) < 8192
    assert DOMAIN not in text and str(site.httpd.connector()) not in text
    # The same connection goes on to serve a session.
    again = wire.ask(bosh.body_bytes(rid=1000, to="nowhere.example", ver="1.11", wait=1, hold=1))
    assert again.condition == "host-unknown"


def test_page_never_reflects_the_request(site):
    answer = site.main.wire().ask(None, method="GET", path="/http-bind?callback=reflected-x1y2",
                                  headers=[("Referer", "http://reflected-x1y2/")])
    assert b"reflected-x1y2" not in answer.raw


def test_head_is_answered_like_get_without_a_body(site):
    wire = site.main.wire()
    wire.send(None, method="HEAD")
    answer = wire.answer(head_only=True)
    assert answer.status == 200
    assert wire.ask(None, method="GET").status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_are_405(site, method):
    answer = site.main.wire().ask(b"x", method=method)
    assert answer.status == 405
    assert "POST" in answer.header("Allow")
    assert b"type='terminate'" in answer.raw  # what a client can parse, no HTML page


def test_nothing_is_below_the_location(site):
    answer = site.main.wire().ask(b"x", path="/http-bind/below")
    assert answer.status == 404 and b"type='terminate'" in answer.raw


@pytest.mark.parametrize("sid", ["nonsense", "", "x" * 22, "A" * 5000, "\u00e9", "%s%n", "../.."])
def test_unknown_sid_is_item_not_found(site, sid):
    answer = site.main.wire().ask(bosh.body_bytes(rid=5, sid=sid))
    assert (answer.status, answer.type, answer.condition) == (200, "terminate", "item-not-found")
    assert site.httpd.get_static() == 200
