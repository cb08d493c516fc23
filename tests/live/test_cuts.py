# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Client connections cut at every byte of request and of answer, by FIN and by RST in turn;
then the same request once more on another connection. Nothing but whole requests counts,
each counts once, and a repeated one gets the bytes that the first one got, or would have."""
import random
import select
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import bosh
import httpd
import seeds
from bosh import body_bytes, message
from conftest import end_server, need_module, run_server, usual_domains
from lines import TIMEOUT, Chunked, Expecting, Http2, Plain, Secure
from strictxml import BIND, CLIENT, SASL, STREAMS, parse_body
from waiting import until

WORKERS = 6
MOMENTS = 40        # of cuts that do not count bytes, for each kind
LONGEST = 0.004     # of these


# Over HTTP/2 copies whose clients have gone hold a thread for a moment; beyond the budget
# requests would be answered empty.
MANY = "BoshBlockingHolds 1000\nH2MaxWorkers 200\n"


@pytest.fixture(scope="module")
def busy(prosody, fake_server):
    """Several children: a repeated request often comes to another one."""
    need_module()
    server = run_server(httpd.Httpd(usual_domains(prosody, fake_server), servers=2,
                                    server_limit=4, threads=16, async_factor=60,
                                    log_level="notice bosh:info",
                                    extra="BoshMaxSessions 6000\nBoshSharedMemory 64M\n" + MANY,
                                    vhosts={"h2c": "Protocols h2c http/1.1",
                                            "short": "BoshInactivity 2"}))
    yield server
    end_server(server)


# ---- sessions ------------------------------------------------------------------------------


def ident(stanza):
    """A name of its own for what is sent or comes."""
    return stanza.findtext("{%s}body" % CLIENT) or stanza.get("id") or stanza.tag.split("}")[1]


class Exchange:
    """bodies: of the request, or of several that leave together. gets: what comes in the
    answers. sends: what the server must get. after: what makes the server speak."""

    def __init__(self, *bodies, gets=(), sends=(), after=None, kind=None):
        self.bodies, self.gets, self.sends = bodies, list(gets), list(sends)
        self.after, self.kind = after or (lambda: None), kind
        self.answers = None

    def check(self, taken, due):
        """due: all that is to come, unless it came with an earlier answer. Of what was asked
        for together the last may come later, in another answer to who only fetches it."""
        if self.answers is not None:
            assert taken.bodies == self.answers
            return
        roots = [parse_body(b) for b in taken.bodies]
        assert len(roots) == len(self.bodies)
        assert [r.get("type") for r in roots] == [self.kind] * len(roots), taken.bodies
        due += self.gets
        count = sum(len(r) for r in roots)
        assert [ident(s) for r in roots for s in r] == due[:count], taken.bodies
        assert count == len(due) or len(roots) > 1 or (count and not self.gets)
        del due[:count]
        self.answers = taken.bodies


class Seat:
    """A session and its server."""
    numbers = iter(range(10 ** 6, 10 ** 7))
    lock = threading.Lock()

    def __init__(self, table, **attrs):
        self.table, self.sends, self.due, self.second = table, [], [], None
        name = self.name() + "@echo.fake"
        self.is_over = False
        self.session = bosh.Session(table.endpoint)
        self.session.open("echo.fake", from_=name, **attrs)
        self.session.close()
        self.server = table.server_of(name)

    def name(self):
        with self.lock:
            return "n%d" % next(self.numbers)

    def check(self):
        """All of it arrived, once and in order."""
        while self.due:
            self.end_with(Exchange(self.session.bytes()))
        if not self.is_over and not self.table.is_sequence:  # nothing comes late, or again
            polls = self.table.attrs.get("hold") == 0
            self.end_with(an_empty_answer(self) if polls else a_message(self))

        def received():
            return [ident(s) for s in list(self.server.stanzas) if s.get("type") != "error"]
        until(lambda: len(received()) >= len(self.sends), 10, "the last stanzas")
        assert received() == self.sends
        assert self.server.not_xml is None
        self.server.reset()

    def end_with(self, exchange):
        self.sends += exchange.sends
        self.table.whole(self, exchange, self.table.frame(exchange))


# ---- kinds of exchange ---------------------------------------------------------------------


def a_message(seat, **attrs):
    text = seat.name()
    return Exchange(seat.session.bytes(message("echo.fake", text), **attrs), gets=[text],
                    sends=[text])


def a_poll(seat, size=0):
    text = seat.name() + "x" * size
    return Exchange(seat.session.bytes(), gets=[text], after=lambda: seat.server.push(text))


def a_big_answer(seat):
    return a_poll(seat, 3000)


def an_empty_answer(seat):
    name = seat.name()
    return Exchange(seat.session.bytes("<presence xmlns='jabber:client' id='%s'/>" % name),
                    sends=[name])


def a_pause(seat):
    return Exchange(seat.session.bytes(pause=30))


def an_acknowledgement(seat):
    return a_message(seat, ack=seat.session.rid)


def a_second_stream(seat):
    """It has a connection of its own."""
    if seat.second is None:
        name = seat.name() + "@echo.fake"
        seat.second = seat.session.ask(to="echo.fake", from_=name, xml_lang="en",
                                       xmpp_version="1.0").body.get("stream")
        seat.session.wait_stanza("{%s}features" % STREAMS)
        seat.session.close()
        seat.server = seat.table.server_of(name)
    return a_message(seat, stream=seat.second)


def an_addition(seat):
    name = seat.name() + "@echo.fake"
    return Exchange(seat.session.bytes(to="echo.fake", from_=name, xml_lang="en",
                                       xmpp_version="1.0"))


def a_login(seat):
    return Exchange(seat.session.bytes("<auth xmlns='%s' mechanism='ANONYMOUS'/>" % SASL),
                    gets=["success"], sends=["auth"])


def a_restart(seat):
    return Exchange(seat.session.bytes(to="echo.fake", xmpp_restart="true"), gets=["features"])


def a_binding(seat):
    name = seat.name()
    return Exchange(seat.session.bytes("<iq type='set' id='%s' xmlns='jabber:client'>"
                                       "<bind xmlns='%s'/></iq>" % (name, BIND)),
                    gets=[name], sends=[name])


def a_good_bye(seat):
    name = seat.name()
    return Exchange(seat.session.bytes("<presence type='unavailable' id='%s' "
                                       "xmlns='jabber:client'/>" % name, type="terminate"),
                    sends=[name], kind="terminate")


def a_breach(seat):
    return Exchange(seat.session.bytes(rid=seat.session.rid + 1000), kind="terminate")


def a_refusal(seat):
    rid = seat.session.rid + 1
    return Exchange(seat.session.bytes("<a:b/>", rid=rid), kind="terminate")


def a_late_one(seat):
    if not seat.is_over:
        seat.server.close()
        seat.server.wait_ended()
        seat.is_over = True
    return Exchange(*a_message(seat).bodies, kind="terminate")


def a_pair(seat):
    one, two = a_message(seat), a_message(seat)
    return Exchange(*one.bodies, *two.bodies, gets=one.gets + two.gets,
                    sends=one.sends + two.sends)


# What is asked for, how, in what sessions. Sequences begin in a session of their own.
KINDS = {
    "message": ((a_message,), Plain, {}),
    "poll": ((a_poll,), Plain, {}),
    "big": ((a_big_answer,), Plain, {}),
    "empty": ((an_empty_answer,), Plain, {"hold": 0}),
    "pause": ((a_pause, a_message), Plain, {}),
    "acks": ((an_acknowledgement,), Plain, {"ack": 1}),
    "streams": ((a_second_stream,), Plain, {}),
    "refusal": ((a_refusal,), Plain, {}),
    "late": ((a_late_one,), Plain, {}),
    "chunked": ((a_message,), Chunked, {}),
    "expecting": ((a_message,), Expecting, {}),
    "tls": ((a_message, a_poll), Secure, {}),
    "http2": ((a_message, a_poll), Http2, {}),
    "pair": ((a_pair,), Plain, {}),
}
SEQUENCES = {
    "login": ((a_login, a_restart, a_binding), Plain, {}),
    "adding": ((an_addition,), Plain, {}),
    "end": ((a_message, a_good_bye), Plain, {}),
    "breach": ((a_message, a_breach), Plain, {}),
}
ALL = {**KINDS, **SEQUENCES}


# ---- cuts ----------------------------------------------------------------------------------


class Table:
    """Who plays one kind, several at once."""

    def __init__(self, name, server, fake):
        self.makers, way, self.attrs = ALL[name]
        port = server.port
        self.endpoint = bosh.Endpoint(port)
        if way is Secure:
            port = server.tls_port
            self.endpoint = bosh.Endpoint(port, tls=True)
        if way is Http2:
            port = server.port_of["h2c"]
            self.endpoint = bosh.Endpoint(port)
        self.way, self.fake, self.is_sequence = way(port), fake, name in SEQUENCES
        fake.mark()
        self.known, self.cuts = {}, 0
        self.lock = threading.Lock()

    def server_of(self, name):
        def found():
            with self.lock:
                for c in self.fake.since_mark():
                    if c.headers and c not in self.known:
                        self.known[c.headers[0].get("from")] = c
                return self.known.get(name)
        return until(found, 10, "the stream of " + name, every=0.002)

    def seat(self):
        return Seat(self, **self.attrs)

    def frame(self, exchange):
        return b"".join(self.way.frame(b) for b in exchange.bodies)

    def whole(self, seat, exchange, data, speak=True):
        """A copy that is read before an older one may be told to come again."""
        for _ in range(10):
            line = self.way.open()
            line.put(data)
            if speak:
                exchange.after()
            taken = line.take(len(exchange.bodies))
            line.cut(True)
            if not any(b" type='error'" in b for b in taken.bodies):
                break
            speak = False
        exchange.check(taken, seat.due)
        return taken

    def lengths(self):
        """Of requests and answers, one after the other."""
        seat, found = self.seat(), []
        for make in self.makers:
            exchange = make(seat)
            data = self.frame(exchange)
            found.append((len(data), len(self.whole(seat, exchange, data).raw)))
        return found

    def play(self, trials, act):
        """act(seat, exchange, data, trial) for each of them; trials: for each maker its own."""
        longest = max(map(len, trials))

        def work(first):
            seat = None
            for n in range(first, longest, WORKERS):
                if seat is None or self.is_sequence:
                    seat and seat.check()
                    seat = self.seat()
                for make, own in zip(self.makers, trials):
                    exchange = make(seat)
                    act(seat, exchange, self.frame(exchange), own[n % len(own)])
                    seat.sends += exchange.sends
            seat and seat.check()

        with ThreadPoolExecutor(WORKERS) as pool:
            for done in [pool.submit(work, n) for n in range(WORKERS)]:
                done.result()

    # ---- the three ways ----

    def cut_request(self, seat, exchange, data, at):
        line = self.way.open()
        line.put(data, at)
        line.cut(at % 2)
        self.whole(seat, exchange, data)

    def cut_answer(self, seat, exchange, data, at):
        line = self.way.open()
        line.put(data)
        exchange.after()
        part = line.take(len(exchange.bodies), at)
        line.cut(at % 2)
        again = self.whole(seat, exchange, data, speak=False)
        if isinstance(self.way, Http2):
            assert part.bodies in ([], again.bodies)
        else:
            assert part.same(at) == again.same(at)

    def cut_at_a_moment(self, seat, exchange, data, moment):
        line = self.way.open()
        line.put(data)
        if moment > LONGEST / 2:
            exchange.after()
        time.sleep(moment)
        line.cut(int(moment * 10 ** 6) % 2)
        self.whole(seat, exchange, data, speak=moment <= LONGEST / 2)
        self.whole(seat, exchange, data, speak=False)


@pytest.fixture(params=ALL)
def table(request, busy, fake_server):
    return Table(request.param, busy, fake_server)


def test_request_cut_at_each_byte(table):
    table.play([range(1, sent) for sent, _ in table.lengths()], table.cut_request)


def test_answer_cut_at_each_byte(table):
    table.play([range(1, came + 1) for _, came in table.lengths()], table.cut_answer)


def test_connection_cut_at_any_moment(table):
    dice = random.Random(seeds.choose())
    table.play([[dice.random() * LONGEST for _ in range(MOMENTS)] for _ in table.makers],
               table.cut_at_a_moment)


# ---- beside these --------------------------------------------------------------------------


def creation(name):
    return body_bytes(rid=10 ** 12, to="echo.fake", from_=name, ver="1.11", wait=60, hold=1,
                      xmpp_version="1.0")


def test_creation_cut_at_each_byte_opens_nothing(busy, fake):
    """The whole one that follows opens one stream."""
    way = Plain(busy.port)
    data = way.frame(creation("n1000000@echo.fake"))
    for at in range(1, len(data)):
        name = "n%d@echo.fake" % (2 * 10 ** 6 + at)
        line = way.open()
        line.put(way.frame(creation(name)), at)
        line.cut(at % 2)
    whole = bosh.Session(bosh.Endpoint(busy.port)).open("echo.fake", from_="last@echo.fake")
    whole.close()
    assert [c.headers[0].get("from") for c in fake.since_mark()] == ["last@echo.fake"]


def test_answer_to_a_creation_that_was_cut_leaves_a_session_that_ends(busy, fake):
    """Its client has no sid to ask again with: it creates another one."""
    way = Plain(busy.port_of["short"])
    line = way.open()
    line.put(way.frame(creation("x@echo.fake")))
    length = len(line.take().raw)
    line.cut(False)
    for at in range(0, length + 1, 9):
        line = way.open()
        line.put(way.frame(creation("x@echo.fake")))
        line.take(1, at)
        line.cut(at % 2)
    until(lambda: all(c.gone for c in fake.since_mark()), 15, "the sessions to end")
    assert all(c.stream_closed for c in fake.since_mark() if c.to)


def readable(lines):
    poll = select.poll()  # knows no limit of 1,024 descriptors
    for line in lines:
        poll.register(line.sock, select.POLLIN)
    told = [fd for fd, _ in poll.poll(TIMEOUT * 1000)]
    return [line for line in lines if line.sock.fileno() in told]


def test_error_for_the_older_copy_cut_at_each_byte(busy, fake_server):
    """Both copies wait; the connection of the one that is told so is cut."""
    table = Table("poll", busy, fake_server)
    found = set()

    def cut_error(seat, exchange, data, at):
        lines = [table.way.open(), table.way.open()]
        for line in lines:
            line.put(data)
        told = select.select([line.sock for line in lines], [], [], TIMEOUT)[0]
        old, new = sorted(lines, key=lambda line: line.sock not in told)
        part = old.take(1, at)
        old.cut(at % 2)
        if at % 3:
            exchange.after()
        new.cut(at % 2 == 0)
        table.whole(seat, exchange, data, speak=at % 3 == 0)
        found.add(part.same(at))

    table.play([range(1, 500)], cut_error)
    whole = max(found, key=len)
    assert whole.endswith(b" type='error'/>")
    assert found == {whole[:n] for n in range(1, len(whole) + 1)}


@pytest.fixture(scope="module")
def narrow(prosody, fake_server):
    """What is not read at once waits in a worker thread."""
    need_module()
    server = run_server(httpd.Httpd(usual_domains(prosody, fake_server), servers=2,
                                    server_limit=4, threads=16,
                                    extra="SendBufferSize 4608\n" + MANY,
                                    vhosts={"h2c": "Protocols h2c http/1.1"}))
    yield server
    end_server(server)


SIZE = 200000
PARTS = (1, 300, 1000, 2500, 5000, 20000, 66000, 150000, SIZE)


@pytest.mark.parametrize("kind", ["poll", "tls", "http2"])
def test_answer_cut_while_it_is_being_written(narrow, fake_server, kind):
    """It is larger than what the kernel takes; and the next request has come already."""
    table = Table(kind, narrow, fake_server)
    normal, table.way.window = Plain(narrow.port), 2304
    if kind == "tls":
        normal = Secure(narrow.tls_port)
    if kind == "http2":
        normal = Plain(narrow.port_of["h2c"])
    for at in PARTS[1:6] if kind == "http2" else PARTS:  # words and a window of its own
        seat = table.seat()
        exchange, after = a_poll(seat, SIZE), a_message(seat)
        data = table.frame(exchange)
        line = table.way.open()
        line.put(data)
        exchange.after()
        part = line.take(1, at)
        next_line = normal.open()
        next_line.put(normal.frame(after.bodies[0]))
        time.sleep(0.005)
        line.cut(at % 2000 == 0)
        way, table.way = table.way, normal
        again = table.whole(seat, exchange, normal.frame(exchange.bodies[0]), speak=False)
        table.whole(seat, after, normal.frame(after.bodies[0]))
        next_line.cut(True)
        seat.sends += after.sends
        seat.check()
        table.way = way
        if kind != "http2":
            assert part.same(at) == again.same(at)
