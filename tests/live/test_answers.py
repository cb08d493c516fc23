# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What stands in the attributes of answers: acknowledgements, streams; and how keys are
read. That a repeat has the same bytes, whatever happened since."""
import hashlib
import re
import time

import pytest

import bosh
from bosh import body_bytes, first_rid, message
from keys import Keys
from waiting import PATIENCE

XMPP = "{urn:xmpp:xbosh}"


def attr(answer, name):
    return answer.body.get(name)


# ---- acknowledgements --------------------------------------------------------------------


def test_acks_are_for_those_who_ask(site, fake, new_session):
    session = new_session(site.main).open("echo.fake", ack=1)
    assert attr(session.created, "ack") == str(session.rid)
    for ack in (None, 0, 2):
        other = new_session(site.main)
        assert attr(other.create("echo.fake", ack=ack), "ack") is None


def test_answer_acknowledges_what_came_since(site, fake, new_session):
    session = new_session(site.main).open("echo.fake", ack=1)
    wire = site.main.wire()
    alone = wire.ask(session.bytes(message("echo.fake", "x")))
    assert attr(alone, "ack") is None  # it would be the request's own rid
    held = session.post(wire=wire)
    held.silent(0.1)
    session.post(wire=site.main.wire())
    released = session.collect()
    assert attr(released, "ack") == str(session.rid)


@pytest.mark.parametrize("ack", ["", "x", "-1", "1e9", "99999999999999999999", "9007199254740991",
                                 "0", " 1"])
def test_ack_that_is_none_is_ignored(site, fake, new_session, ack):
    session = new_session(site.main).open("echo.fake", ack=1)
    answer = session.ask(message("echo.fake", "x"), ack=ack)
    assert answer.texts() == ["x"] and answer.type is None


def test_missed_answer_is_reported(site, fake, new_session):
    session = new_session(site.main).open("echo.fake", ack=1)
    data = session.bytes(message("echo.fake", "lost"), ack=session.rid)
    lost = site.main.wire().ask(data)
    time.sleep(0.2)
    started = time.monotonic()
    request = session.bytes(ack=session.rid - 1)
    answer = site.main.wire().ask(request)
    assert time.monotonic() - started < 5 * PATIENCE
    assert attr(answer, "report") == str(session.rid - 1)
    assert 150 <= int(attr(answer, "time")) < 5000 * PATIENCE
    time.sleep(0.1)
    assert site.main.wire().ask(request).raw == answer.raw  # the time as well
    assert site.main.wire().ask(data).raw == lost.raw


# ---- keys --------------------------------------------------------------------------------


def test_keys_in_any_case(site, fake, new_session):
    keys, new = Keys(5), Keys(3, "other")
    session = new_session(site.main).open("echo.fake", newkey=keys.next().upper())
    for n in range(3):
        assert session.ask(message("echo.fake", "n%d" % n), key=keys.next()).texts() == ["n%d" % n]
    switch = session.ask(message("echo.fake", "switch"), key=keys.next(), newkey=new.next())
    assert switch.texts() == ["switch"]
    assert session.ask(message("echo.fake", "on"), key=new.next()).texts() == ["on"]


MALFORMED = ["", "x", "seed", "g" * 40, "0" * 39, "0" * 41, " " + "0" * 39, "0x" + "0" * 38,
             "\u00e9" * 20]


@pytest.mark.parametrize("key", MALFORMED, ids=ascii)
def test_malformed_key_matches_nothing_even_if_its_hash_would(site, fake, new_session, key):
    session = new_session(site.main).open("echo.fake",
                                          newkey=hashlib.sha1(key.encode()).hexdigest())
    answer = session.ask(message("echo.fake", "SMUGGLED"), key=key)
    assert (answer.type, answer.condition) == ("terminate", "item-not-found")
    assert fake.connection().bodies() == []


@pytest.mark.parametrize("newkey", MALFORMED, ids=ascii)
def test_malformed_new_key_has_no_successor(site, fake, new_session, newkey):
    session = new_session(site.main)
    answer = session.create("echo.fake", newkey=newkey)
    assert answer.type is None
    answer = session.ask(message("echo.fake", "SMUGGLED"), key="0" * 40)
    assert (answer.type, answer.condition) == ("terminate", "item-not-found")


# ---- streams -----------------------------------------------------------------------------


def test_stream_is_announced_and_named(site, fake, new_session):
    session = new_session(site.main).open("echo.fake")
    first = attr(session.created, "stream")
    assert re.fullmatch(r"[A-Za-z0-9_-]{16}", first)
    data = session.bytes(to="elsewhere.example", xml_lang="en", xmpp_version="1.0")
    added = site.main.wire().ask(data)
    assert attr(added, "stream") not in (None, first)
    assert attr(added, "from") == "elsewhere.example"
    assert attr(added, XMPP + "version") == "1.0"
    assert [n for n in ("sid", "requests", "polling", "hold", "inactivity", "maxpause", "accept",
                        "charsets", "ver", "wait", "type") if attr(added, n) is not None] == []
    assert site.main.wire().ask(data).raw == added.raw


@pytest.mark.parametrize("to, condition", [("nobody.example", "host-unknown"),
                                           ("old.example", "host-gone")])
def test_stream_to_nowhere_is_refused_alone(site, fake, new_session, to, condition):
    session = new_session(site.gone).open("echo.fake")
    answer = session.ask(to=to)
    assert (answer.type, answer.condition) == ("terminate", condition)
    assert attr(answer, "stream") not in (None, attr(session.created, "stream"))
    session.ended = None
    assert session.ask(message("echo.fake", "alive"),
                       stream=attr(session.created, "stream")).texts() == ["alive"]


def test_legacy_client_is_not_told_404_for_a_stream(site, fake, new_session):
    """It would take it for the end of its session."""
    session = new_session(site.main).open("echo.fake", ver=None)
    assert session.ask(to="nobody.example").status == 200


@pytest.mark.parametrize("attrs", [{"xmpp_restart": "true"}, {"pause": 10}], ids=str)
def test_to_of_another_request_adds_no_stream(site, fake, new_session, attrs):
    session = new_session(site.main).open("echo.fake")
    session.authenticate("u", "p")
    answer = session.ask(to="echo.fake", **attrs)
    assert answer.type is None and attr(answer, "stream") is None


def test_who_says_to_all_the_time_gets_no_streams(site, fake, new_session):
    """libpurple 2 does."""
    session = new_session(site.main)
    wire = site.main.wire()
    created = wire.ask(body_bytes(rid=session.rid, to="echo.fake", wait=1, hold=1, ver="1.6",
                                  xmpp_version="1.0", content="text/xml; charset=utf-8",
                                  secure="true"))
    session.sid = attr(created, "sid")
    wire.ask(session.bytes(message("echo.fake", "a payload"), to="echo.fake", xml_lang="en"))
    for _ in range(2):
        answer = wire.ask(session.bytes(to="echo.fake", xml_lang="en"))
        assert answer.type is None and attr(answer, "stream") is None
    assert len(fake.since_mark()) == 1


def test_streams_can_be_switched_off(make_httpd, fake, new_session):
    endpoint = bosh.Endpoint(make_httpd(extra="BoshMaxStreams 1").port)
    session = new_session(endpoint).open("echo.fake", wait=1)
    assert attr(session.created, "stream") is None
    assert attr(session.ask(to="echo.fake"), "stream") is None


# ---- repeats -----------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["main", "inflate"])
def test_creation_answer_is_repeated_as_it_was(site, fake, new_session, where):
    """Also when the server said who it is only after the answer."""
    endpoint = getattr(site, where)
    session = new_session(endpoint)
    rid = first_rid()
    first = endpoint.wire().ask(body_bytes(rid=rid, to="late.fake", wait=1, hold=1, ver="1.11",
                                           xmpp_version="1.0", content="text/html", ack=1))
    session.sid = attr(first, "sid")
    again = body_bytes(rid=rid, sid=session.sid)
    assert first.stanzas == []
    assert endpoint.wire().ask(again).raw == first.raw
    fake.connection().greet()
    session.rid = rid
    assert session.ask().stanzas != []
    repeat = endpoint.wire().ask(again)
    assert repeat.raw == first.raw and repeat.header("Content-Type") == "text/html"
