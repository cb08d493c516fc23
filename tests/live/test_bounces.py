# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Stanzas that find no client any more go back to their senders (XEP-0206,
"recipient-unavailable"): seen by a server that the test plays, and with a real one."""
import os
import random
import re
import signal
import time

import pytest

import bosh
import seeds
from httpd import ASAN
from play import CLOSING, STANZA_ERRORS, Play, bounces, tag, text_message, texts, wait_over, cut
from prosody import ACCOUNTS, DOMAIN
from waiting import until

KINDS = """
<message from='chat@x/r' to='me@x/r' id='m1' type='chat' xml:lang='de'><body>1</body></message>
<message from='normal@x' id='m2'><body>2</body></message>
<message from='room@x/nick' id='m3' type='groupchat'><body>3</body></message>
<message from="o'quote&quot;&amp;&lt;@x" id="'&gt;" type='headline'/>
<message id='m5'><body>from the server itself</body></message>
<iq from='get@x' id='i1' type='get'><query xmlns='urn:q'/></iq>
<iq from='set@x' id='i2' type='set'><query xmlns='urn:q'/></iq>
<iq from='result@x' id='i3' type='result'/>
<iq from='error@x' id='i4' type='error'><error type='cancel'/></iq>
<message from='error@x' id='e1' type='error'><body>x</body><error type='cancel'/></message>
<presence from='there@x'/>
<presence from='sub@x' type='subscribe'/>
<message xmlns='urn:other' from='other@x' id='o1'/>
"""
BOUNCES = [("message", "chat@x/r", "m1", "de"), ("message", "normal@x", "m2", None),
           ("message", "room@x/nick", "m3", None), ("message", "o'quote\"&<@x", "'>", None),
           ("message", None, "m5", None), ("iq", "get@x", "i1", None), ("iq", "set@x", "i2", None)]
def test_each_kind_after_inactivity(play, site):
    p = play("bound", endpoint=site.short)
    p.server.send(KINDS.strip())
    wait_over(p.server)
    assert bounces(p.server) == BOUNCES
    assert p.later() == ("terminate", "item-not-found")
    p.server.send(CLOSING)
    p.server.wait_ended()


def test_nothing_to_bounce_is_only_a_closing_tag(play, site):
    p = play("bound", endpoint=site.short)
    p.server.send("<presence from='a@b'/><message type='error' from='a@b'/>"
                  "<iq type='result' id='1'/>")
    wait_over(p.server)
    assert bounces(p.server) == []


def test_after_a_breach_of_the_rules(play, site):
    p = play("bound")
    p.server.send(text_message("undelivered", " id='u'"))
    time.sleep(0.2)
    answer = p.session.free_wire().ask(p.session.bytes(rid=p.session.rid + 50))
    assert answer.type == "terminate" and answer.condition == "item-not-found"
    wait_over(p.server)
    # Either the client got it with its end, or its sender gets it back.
    assert texts([answer]) + [b[2] for b in bounces(p.server)] in (["undelivered"], ["u"])


def test_client_that_hung_up_never_got_it(play, site):
    p = play("bound", endpoint=site.short)
    p.session.post()
    time.sleep(0.1)
    p.hang_up()
    p.server.send(text_message("to nobody", " id='u'"))
    wait_over(p.server)
    assert [b[2] for b in bounces(p.server)] == ["u"]


def test_answer_after_which_the_client_fell_silent(play, site):
    """A live client asks again at once: this one may not have got it."""
    p = play("bound", endpoint=site.short)
    p.session.post()
    time.sleep(0.1)
    p.server.send(text_message("last", " id='u'"))
    assert texts([p.collect()]) == ["last"]
    wait_over(p.server)
    assert [b[2] for b in bounces(p.server)] == ["u"]


def test_answer_after_which_the_client_asked_again(play, site):
    p = play("bound", endpoint=site.short, wait=1)
    p.session.post()
    time.sleep(0.1)
    p.server.send(text_message("read", " id='u'"))
    assert texts([p.collect()]) == ["read"]
    p.session.ask()
    wait_over(p.server)
    assert bounces(p.server) == []


@pytest.mark.parametrize("is_acked", [True, False], ids=["acked", "silent"])
def test_acknowledgements_tell_what_the_client_has(play, site, is_acked):
    """With them a new request alone says nothing (XEP-0124 section 9)."""
    p = play("after_features", endpoint=site.short, wait=1, ack=1)
    p.session.post()
    rid = p.session.rid
    time.sleep(0.1)
    p.server.send(text_message("read?", " id='u'"))
    assert texts([p.collect()]) == ["read?"]
    p.session.ask(ack=rid if is_acked else rid - 1)
    wait_over(p.server)
    assert [b[2] for b in bounces(p.server)] == ([] if is_acked else ["u"])


def test_terminate_takes_what_there_is_and_nothing_comes_back(play):
    p = play("bound")
    p.server.send(text_message("with the end", " id='u'"))
    time.sleep(0.2)
    answers = p.session.terminate("")
    assert texts(answers) == ["with the end"]
    wait_over(p.server)
    assert bounces(p.server) == []


def fill_the_way_up(p):
    """The server reads nothing until our side cannot write any more."""
    p.server.stop_reading()
    sent = 0
    while True:
        sent += 1
        answer = p.session.free_wire().ask(p.session.bytes(
            "<message to='f@x' id='f%d' xmlns='jabber:client'><body>%s</body></message>"
            % (sent, "x" * 200000)))
        if answer.status != 200:
            p.session.rid -= 1
            return sent - 1
        assert answer.type is None and sent < 200


def test_what_comes_between_terminate_and_closing_tag(play):
    """The closing tag has to wait for what is on its way up; then all goes in order."""
    p = play("after_features", wait=0)
    sent = fill_the_way_up(p)
    answer = p.endpoint.wire().ask(p.session.bytes(type="terminate"))
    assert answer.type == "terminate"
    p.server.send(KINDS.strip())
    time.sleep(0.3)
    p.server.go_on_reading()
    wait_over(p.server)
    kinds = [s.get("type") for s in p.server.stanzas]
    assert kinds == [None] * sent + ["error"] * len(BOUNCES)
    assert bounces(p.server) == BOUNCES


def test_server_that_reads_nothing_is_left_in_the_end(play, site):
    p = play("after_features", wait=0)
    fill_the_way_up(p)
    name = re.findall(r"BOSH1002: (session \d+):", site.httpd.log_text())[-1]
    started = time.monotonic()
    assert p.endpoint.wire().ask(p.session.bytes(type="terminate")).type == "terminate"
    p.server.send(text_message("x"))
    until(lambda: name + " to puppet.fake ended" in site.httpd.log_text(), 14, "the end of " + name)
    assert time.monotonic() - started > 8


def peak_memory(pid):
    """The most that a process ever had, in KiB."""
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))


def test_full_queue_goes_back_whole_and_in_order(play, site):
    """As much as a session can hold, and more that waits in the socket."""
    before = peak_memory(site.httpd.connector())
    p = play("bound", endpoint=site.short)
    ids = ["n%d" % n for n in range(12000)]
    for part in cut(ids, 1000):
        p.server.send("".join(text_message("y" * 100, " id='%s'" % i) for i in part))
    wait_over(p.server, 15)
    found = [b[2] for b in bounces(p.server)]
    assert found == ids[:len(found)]
    assert len(found) * 140 > 1024 * 1024
    grown = peak_memory(site.httpd.connector()) - before
    assert grown < 16 * 1024 or ASAN, "the connector grew by %d KiB" % grown


def test_stanza_of_the_largest_size_goes_back(play, site):
    p = play("bound", endpoint=site.short)
    p.server.send(text_message("z" * 1000000, " id='big'") + text_message("s", " id='small'"))
    wait_over(p.server)
    assert [b[2] for b in bounces(p.server)] == ["big", "small"]


def test_when_httpd_stops(make_httpd, fake, new_session):
    server = make_httpd()
    p = Play(bosh.Endpoint(server.port), fake, new_session).bound()
    p.server.send(text_message("undelivered", " id='u'"))
    time.sleep(0.2)
    os.kill(server.parent, signal.SIGTERM)
    wait_over(p.server, 8)
    assert [b[2] for b in bounces(p.server)] == ["u"]
    p.server.send(CLOSING)


def flow(p, count):
    """The server sends that many messages, about one per millisecond; their names."""
    names = ["n%d" % n for n in range(count)]
    p.server.send_pieces([text_message(n, " id='%s'" % n).encode() for n in names], 0.001,
                         wait=False)
    return names


@pytest.mark.parametrize("end", ["terminate", "breach"])
def test_nothing_is_lost_nor_doubled_by_an_end_in_the_flow(play, end):
    """Each message is delivered or bounced, whatever the moment; only those that are
    behind the closing tag are neither."""
    dice = random.Random(seeds.choose())
    for n in range(20):
        p = play("bound")
        names = flow(p, 150)
        answers = []
        for _ in range(dice.randrange(6)):
            p.session.post()
            answers.append(p.collect())
        time.sleep(dice.random() * 0.03)
        if end == "terminate":
            answers += p.session.terminate("")
        else:
            data = p.session.bytes(rid=p.session.rid + 50)
            answers.append(p.endpoint.wire().ask(data))
        wait_over(p.server)
        delivered = texts(answers)
        back = [b[2] for b in bounces(p.server)]
        if end == "terminate" or not answers[:-1]:
            assert delivered + back == names[:len(delivered + back)], n
        else:
            check_overlap(delivered, back, len(texts(answers[-2:])), names)
        p.server.reset()
        p.session.close()


def check_overlap(delivered, back, most, names):
    """The last ones delivered may come back as well: nothing says that they arrived."""
    first = names.index(back[0]) if back else len(delivered)
    assert delivered == names[:len(delivered)]
    assert back == names[first:first + len(back)]
    assert len(delivered) - most <= first <= len(delivered)


def test_nothing_is_lost_when_clients_vanish_in_the_flow(site, fake, new_session):
    dice = random.Random(seeds.choose())
    plays = []
    for n in range(15):
        fake.mark()
        p = Play(site.short, fake, new_session).bound()
        p.names = flow(p, 100)
        p.answers = []
        for _ in range(dice.randrange(8)):
            if p.names[-1] in texts(p.answers):
                break
            p.session.post()
            p.answers.append(p.collect())
        p.hang_up()
        plays.append(p)
    for p in plays:
        wait_over(p.server)
        back = [b[2] for b in bounces(p.server)]
        check_overlap(texts(p.answers), back, len(texts(p.answers[-1:])), p.names)
        assert p.names[-1] in back


# ---- a real server ---------------------------------------------------------------------------


def errors_for(session, ident, seconds):
    """Asks for that long; the errors that came for this id."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not session.pending:
            session.post()
        if session.pending[0][1].wait_readable(0.1):
            session.collect()
    return [s for s in session.inbox if s.get("id") == ident and s.get("type") == "error"]


@pytest.mark.parametrize("bare", [False, True], ids=["full", "bare"])
def test_sender_at_a_real_server_is_told_once(site, juliet, new_session, bare):
    """Romeo falls silent with a message on its way to him: his server tells juliet, and
    does not keep it for later as well."""
    romeo = new_session(site.short).login(DOMAIN, "romeo", ACCOUNTS["romeo"])
    romeo.close()
    time.sleep(0.2)
    to = romeo.jid.split("/")[0] if bare else romeo.jid
    juliet.send_message(to, "wherefore art thou", ident="w1")
    juliet.post("<iq to='%s' type='get' id='w2' xmlns='jabber:client'>"
                "<ping xmlns='urn:xmpp:ping'/></iq>" % romeo.jid)
    found = errors_for(juliet, "w1", 5)
    assert len(found) == 1, juliet.inbox
    assert found[0].find("%s/%s" % (tag("error"), tag("recipient-unavailable", STANZA_ERRORS))) \
        is not None
    found = [s for s in juliet.inbox if s.get("id") == "w2"]
    assert [s.get("type") for s in found] == ["error"]
    again = new_session(site.main).login(DOMAIN, "romeo", ACCOUNTS["romeo"])
    assert errors_for(again, "w1", 1) == []
    assert [s for s in again.inbox if s.tag == tag("message")] == []


def test_message_that_was_read_is_not_bounced(site, juliet, new_session):
    romeo = new_session(site.short).login(DOMAIN, "romeo", ACCOUNTS["romeo"])
    juliet.send_message(romeo.jid, "read", ident="r1")
    romeo.wait_message("read")
    romeo.post()
    time.sleep(0.2)
    romeo.close()
    assert errors_for(juliet, "r1", 4.5) == []
