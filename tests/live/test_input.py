# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Every kind of input that is refused, by name, through HTTP. What is promised for
each: HTTP 200 with terminate/bad-request, nothing of it reaches the XMPP server, the
session is unharmed, and the rid is not used up."""
import pytest

import bosh
from bosh import body_bytes, message

HTTPBIND = b"http://jabber.org/protocol/httpbind"
GOOD = message("echo.fake", "SMUGGLED").encode()


def wrap(payload, attrs=b"", before=b"", after=b""):
    """A document with a good message in front of the bad part."""
    def make(sid, rid):
        return (before + b"<body xmlns='" + HTTPBIND + b"' sid='" + sid + b"' rid='" + rid + b"'"
                + attrs + b">" + GOOD + payload + b"</body>" + after)
    return make


def in_text(data):
    return wrap(b"<message xmlns='jabber:client' to='echo.fake'><body>SMUGGLED" + data
                + b"</body></message>")


def recoded(encoding, declared=None):
    def make(sid, rid):
        text = wrap(b"")(sid, rid).decode()
        if declared:
            text = "<?xml version='1.0' encoding='%s'?>" % declared + text
        return text.encode(encoding)
    return make


def nested(depth):
    """The root counts as 1."""
    return wrap(b"<message xmlns='jabber:client'>" + b"<x>" * (depth - 2) + b"</x>" * (depth - 2)
                + b"</message>")


REFUSED = {
    # not UTF-8
    "byte ff": in_text(b"\xff"),
    "truncated sequence": in_text(b"\xe6\xbc"),
    "overlong less-than": in_text(b"\xc0\xbc"),
    "surrogate": in_text(b"\xed\xa0\x80"),
    "beyond unicode": in_text(b"\xf5\x80\x80\x80"),
    "latin-1": in_text(b"caf\xe9"),
    "nul in text": in_text(b"\0"),
    "nul after the document": wrap(b"", after=b"\0"),
    "utf-16 with mark": recoded("utf-16"),
    "utf-16le without mark": recoded("utf-16-le"),
    "utf-32": recoded("utf-32"),
    "declared latin-1": lambda sid, rid: recoded("latin-1", "ISO-8859-1")(sid, rid).replace(
        b"SMUGGLED", b"SMUGGLED \xe9"),
    "declared utf-7": lambda sid, rid: b"<?xml version='1.0' encoding='UTF-7'?>"
        + in_text(b"+ADw-x/+AD4-")(sid, rid).replace(b"<message", b"+ADw-message"),
    "xml 1.1": wrap(b"", before=b"<?xml version='1.1'?>"),
    # characters that XML does not have
    "control character": in_text(b"\x01"),
    "reference to nul": in_text(b"&#0;"),
    "reference to a control": in_text(b"&#1;"),
    "reference to a surrogate": in_text(b"&#xD800;"),
    "noncharacter fffe": in_text(b"\xef\xbf\xbe"),
    # document types, processing instructions, comments
    "empty dtd": wrap(b"", before=b"<!DOCTYPE body>"),
    "internal entity": wrap(b"<message xmlns='jabber:client'>&x;</message>",
                            before=b"<!DOCTYPE body [<!ENTITY x 'SMUGGLED'>]>"),
    "entity in an attribute": wrap(b"<message xmlns='jabber:client' id='&x;'/>",
                                   before=b"<!DOCTYPE body [<!ENTITY x 'SMUGGLED'>]>"),
    "external entity": wrap(b"<message xmlns='jabber:client'>&x;</message>", before=(
        b"<!DOCTYPE body [<!ENTITY x SYSTEM 'file:///etc/hostname'>]>")),
    "external dtd": wrap(b"", before=b"<!DOCTYPE body SYSTEM 'http://127.0.0.1:1/x.dtd'>"),
    "undefined entity": in_text(b"&nbsp;"),
    "pi before": wrap(b"", before=b"<?a b?>"),
    "stylesheet pi": wrap(b"", before=b"<?xml-stylesheet href='x'?>"),
    "pi in body": wrap(b"<?a b?>"),
    "pi in a stanza": in_text(b"<?a?>"),
    "pi after": wrap(b"", after=b"<?a b?>"),
    "comment before": wrap(b"", before=b"<!-- c -->"),
    "comment in body": wrap(b"<!-- c -->"),
    "comment in a stanza": in_text(b"<!-- c -->"),
    "comment after": wrap(b"", after=b"<!-- c -->"),
    # text in the wrapper
    "text in body": wrap(b"text"),
    "cdata in body": wrap(b"<![CDATA[text]]>"),
    "reference in body": wrap(b"&#65;"),
    # namespaces
    "undeclared prefix": wrap(b"<stream:error/>"),
    "undeclared prefix of an attribute": wrap(b"<message xmlns='jabber:client' a:b='c'/>"),
    "two colons": wrap(b"<a:b:c xmlns:a='urn:a'/>"),
    "colon first": wrap(b"<:c/>"),
    "same attribute under two prefixes": wrap(
        b"<message xmlns='jabber:client' xmlns:a='urn:a' xmlns:b='urn:a' a:x='' b:x=''/>"),
    "prefix bound to nothing": wrap(b"<message xmlns='jabber:client' xmlns:a=''/>"),
    "xml prefix rebound": wrap(b"<message xmlns='jabber:client' xmlns:xml='urn:evil'/>"),
    "xmlns prefix declared": wrap(b"<message xmlns='jabber:client' xmlns:xmlns='urn:evil'/>"),
    # payloads that would speak for the stream itself
    "stream error": wrap(b"<error xmlns='http://etherx.jabber.org/streams'/>"),
    "stream header": wrap(b"<s:stream xmlns:s='http://etherx.jabber.org/streams'/>"),
    "starttls": wrap(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
    "compress": wrap(b"<compress xmlns='http://jabber.org/protocol/compress'/>"),
    # depth, width, lengths
    "depth 65": nested(65),
    "depth 1,000": nested(1000),
    "depth 30,000": nested(30000),
    "65 attributes": wrap(b"<message xmlns='jabber:client'%s/>"
                          % b"".join(b" a%d=''" % n for n in range(65))),
    "33 declarations": wrap(b"<message xmlns='jabber:client'%s/>"
                            % b"".join(b" xmlns:p%d='urn:p'" % n for n in range(33))),
    "257 payloads": wrap(b"<presence xmlns='jabber:client'/>" * 256),
    "5,000 elements": wrap(b"<message xmlns='jabber:client'>" + b"<x/>" * 5000 + b"</message>"),
    "element name of 257": wrap(b"<message xmlns='jabber:client'><%s/></message>" % (b"n" * 257)),
    "attribute name of 257": wrap(b"<message xmlns='jabber:client' %s=''/>" % (b"n" * 257)),
    "prefix of 257": wrap(b"<%s:x xmlns:%s='urn:x'/>" % (b"p" * 257, b"p" * 257)),
    "attribute value of 65,537": wrap(b"<message xmlns='jabber:client' id='%s'/>"
                                      % (b"v" * 65537)),
    "size 262,145": lambda sid, rid: in_text(
        b"x" * (262145 - len(in_text(b"")(sid, rid))))(sid, rid),
    "size 2,000,000": in_text(b"x" * 2000000),
    # the document as a whole
    "two roots": wrap(b"", after=b"<body xmlns='" + HTTPBIND + b"'/>"),
    "text after the root": wrap(b"", after=b"x"),
    "text before the root": wrap(b"", before=b"x"),
    "early end of the wrapper": wrap(b"</body><message xmlns='jabber:client'/>"),
    "truncated": lambda sid, rid: wrap(b"")(sid, rid)[:-1],
    "truncated in a tag": lambda sid, rid: wrap(b"<oops")(sid, rid)[:-7],
    "unbalanced": wrap(b"<a><b></a></b>"),
    "other root": lambda sid, rid: (b"<bode xmlns='" + HTTPBIND + b"' sid='" + sid + b"' rid='"
                                    + rid + b"'>" + GOOD + b"</bode>"),
    "other namespace": lambda sid, rid: wrap(b"")(sid, rid).replace(HTTPBIND, b"urn:other"),
    "no namespace": lambda sid, rid: wrap(b"")(sid, rid).replace(
        b" xmlns='" + HTTPBIND + b"'", b""),
    "attribute twice": wrap(b"", attrs=b" to='a' to='b'"),
    "attribute without quotes": wrap(b"", attrs=b" to=a"),
    "less-than in an attribute": wrap(b"", attrs=b" to='<'"),
    "not xml": lambda sid, rid: b"sid=" + sid + b"&rid=" + rid,
    "json": lambda sid, rid: b'{"sid": "' + sid + b'"}',
}


@pytest.fixture(params=REFUSED, ids=lambda name: name.replace(" ", "_"))
def refused(request):
    return REFUSED[request.param]


def test_is_refused_whole(site, fake, new_session, refused):
    session = new_session(site.main).open("echo.fake")
    connection = fake.connection()
    rid = session.rid + 1
    bad = refused(session.sid.encode(), str(rid).encode())
    answer = site.main.wire().ask(bad)
    assert (answer.status, answer.type, answer.condition) == (200, "terminate", "bad-request")
    assert answer.header("Content-Type") == "text/xml; charset=utf-8"
    # The same rid with a good document: taken, and the answer is its own.
    good = session.ask(message("echo.fake", "still here"))
    assert session.rid == rid
    assert good.type is None and good.texts() == ["still here"]
    connection.wait_bodies("still here")
    assert b"SMUGGLED" not in connection.received
    assert connection.not_xml is None


ACCEPTED = {
    "xml declaration": wrap(b"", before=b"<?xml version='1.0' encoding='UTF-8'?>"),
    "white space around": wrap(b" \n\t", before=b"\n ", after=b"\r\n"),
    "depth 60": nested(60),
    "60 attributes": wrap(b"<message xmlns='jabber:client'%s/>"
                          % b"".join(b" a%d=''" % n for n in range(60))),
    "250 payloads": wrap(b"<presence xmlns='jabber:client'/>" * 248),
    "prefixed wrapper": lambda sid, rid: (
        b"<b:body xmlns:b='" + HTTPBIND + b"' sid='" + sid + b"' rid='" + rid + b"'>" + GOOD
        + b"</b:body>"),
    "200 kB": in_text(b"x" * 200000),
    "double quotes": lambda sid, rid: b'<body xmlns="' + HTTPBIND + b'" sid="' + sid
        + b'" rid="' + rid + b'">' + GOOD + b"</body>",
    "unknown attributes": wrap(b"", attrs=b" foo='bar' xmlns:q='urn:q' q:z='1'"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_is_accepted(site, fake, new_session, name):
    session = new_session(site.main).open("echo.fake")
    connection = fake.connection()
    answer = site.main.wire().ask(
        ACCEPTED[name](session.sid.encode(), str(session.next_rid()).encode()))
    assert answer.type is None, answer
    assert (answer.texts() + [None])[0] is not None or session.wait_message()
    assert connection.bodies()[0] == "SMUGGLED"
    assert connection.not_xml is None


@pytest.mark.parametrize("rid", ["", "x", "-1", "+5", "0x10", "1e3", "1.0", " 7", "NaN",
                                 "\u0663", "18446744073709551616", "9007199254740992"])
@pytest.mark.parametrize("creating", [True, False], ids=["creation", "session"])
def test_rid_that_is_no_number_is_refused_and_harms_nobody(site, fake, new_session, rid, creating):
    if creating:
        data = body_bytes(rid=rid, to="echo.fake", wait=1, hold=1, ver="1.11")
        session = None
    else:
        session = new_session(site.main).open("echo.fake")
        data = body_bytes(message("echo.fake", "SMUGGLED"), rid=rid, sid=session.sid)
    answer = site.main.wire().ask(data)
    assert answer.status == 200 and answer.type == "terminate"
    assert answer.condition in ("bad-request", "item-not-found")
    if session:
        assert session.ask(message("echo.fake", "fine")).texts() == ["fine"]


def test_missing_rid_is_refused_and_harms_nobody(site, fake, new_session):
    session = new_session(site.main).open("echo.fake")
    answer = site.main.wire().ask(body_bytes(message("echo.fake", "x"), sid=session.sid))
    assert answer.type == "terminate"
    assert session.ask(message("echo.fake", "fine")).texts() == ["fine"]


@pytest.mark.parametrize("attrs", [{"wait": "-1"}, {"wait": "x"}, {"hold": "-1"}, {"hold": "1.5"},
                                   {"wait": "99999999999999999999"}, {"ver": "one"}],
                         ids=str)
def test_creation_with_a_malformed_number_crashes_nothing(site, fake, new_session, attrs):
    """Refused or brought into bounds."""
    session = new_session(site.main)
    answer = session.create("echo.fake", **attrs)
    if answer.type == "terminate":
        assert answer.condition == "bad-request"
    else:
        assert 0 <= int(answer.body.get("wait")) <= 60


def test_chunked_and_delayed_body_is_read_whole(site, fake, new_session):
    session = new_session(site.main).open("echo.fake")
    wire = site.main.wire()
    data = session.bytes(message("echo.fake", "in chunks \u00e9"))
    head = wire.request(None, headers=[("Transfer-Encoding", "chunked"),
                                       ("Content-Type", "text/xml; charset=utf-8")])
    wire.send_raw(head)
    for i in range(0, len(data), 7):
        piece = data[i:i + 7]
        wire.send_raw(b"%x\r\n" % len(piece) + piece + b"\r\n")
    wire.send_raw(b"0\r\n\r\n")
    assert wire.answer().texts() == ["in chunks \u00e9"]


def test_endless_chunked_body_is_cut_off(site, fake, new_session):
    wire = site.main.wire()
    wire.send_raw(wire.request(None, headers=[("Transfer-Encoding", "chunked"),
                                              ("Content-Type", "text/xml")]))
    wire.send_raw(b"5\r\n<body\r\n")
    try:
        for _ in range(64):
            wire.send_raw(b"10000\r\n" + b" " * 65536 + b"\r\n")
        wire.send_raw(b"0\r\n\r\n")
    except bosh.Broken:
        pass
    try:
        answer = wire.answer()
    except bosh.Broken:
        return  # closed on us: also an end
    assert (answer.type, answer.condition) == ("terminate", "bad-request")


@pytest.mark.parametrize("headers", [
    [("Content-Type", "text/plain")], [("Content-Type", "application/xml")],
    [("Content-Type", "text/xml")],
    [("Content-Encoding", "text/xml; charset=utf-8"), ("Content-Type", "text/xml")],
    [("Content-Type", "text/xml; charset=UTF-8"), ("Expect", "100-continue")]],
    ids=["text/plain", "application/xml", "text/xml", "libpurple", "expect"])
def test_request_headers_of_real_clients_are_accepted(site, fake, new_session, headers):
    session = new_session(site.main).open("echo.fake")
    answer = site.main.wire().ask(session.bytes(message("echo.fake", "x")), headers=headers)
    assert answer.texts() == ["x"]
