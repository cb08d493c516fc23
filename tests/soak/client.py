# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The soak's BOSH clients. They keep the rules: hold=1, two requests at most, a request
that was not answered is sent again with the same bytes, nothing new before that. Around
the rules they do what networks and browsers do: connections break at any byte, tabs are
closed, pages pause."""
import asyncio
import base64
import random
import socket
import ssl
import struct
import xml.etree.ElementTree as ET

from records import KINDS, Log, Writer, digest, number_of, paces, pulse
from strictxml import HTTPBIND, SASL, STREAMS, XBOSH

WAIT = 10                # seconds that a request may be held
PATIENT = 60             # an answer that takes longer will not come
PAUSE = 2
LINGER = 20              # after the end, for answers that are still owed
KEPT = 2                 # answers that may be asked for again: `requests`
KEPT_WITH_ACKS = 6


class Request:
    __slots__ = ("rid", "data", "kind", "copies", "wire", "retry_at", "sent_at", "part", "peek",
                 "failures")

    def __init__(self, rid, data, kind):
        self.rid, self.data, self.kind = rid, data, kind
        self.copies = self.failures = 0
        self.wire = self.part = None
        self.retry_at = self.sent_at = 0.0
        self.peek = False


class Wire(asyncio.Protocol):
    """One connection. `cut` says how it shall break: (where, byte or seconds, RST?)."""

    def __init__(self, session):
        self.session = session
        self.transport = self.request = self.cut = self.timer = None
        self.buffer = b""
        self.head = self.need = None
        self.gone = False

    def connection_made(self, transport):
        self.transport = transport
        if self.gone:
            transport.abort()
        elif self.request:
            self._go()

    def start(self, request, cut):
        self.request, self.cut = request, cut
        self.buffer, self.head, self.need = b"", None, None
        if self.transport:
            self._go()

    def _go(self):
        data = self.session.http_head(len(self.request.data)) + self.request.data
        where, at, rst = self.cut or (None, 0, False)
        if where == "request":
            self.transport.write(data[:int(at * len(data))])
            self.timer = self.session.loop.call_later(0.02 * self.session.rng.random(),
                                                      self.fail, "cut in the request", rst)
            return
        self.transport.write(data)
        if where == "abort":
            self.timer = self.session.loop.call_later(at, self.fail, "aborted", rst)

    def data_received(self, data):
        self.buffer += data
        if not self.request:
            self.fail("unasked")
            return
        if self.need is None:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            lines = self.buffer[:end].decode("latin-1").split("\r\n")
            self.head = {k.lower(): v.strip() for k, _, v in (l.partition(":") for l in lines[1:])}
            self.status = int(lines[0].split(" ")[1])
            self.start_of_body = end + 4
            self.need = end + 4 + int(self.head.get("content-length", 0))
        if self.cut and self.cut[0] == "answer" and len(self.buffer) >= self.cut[1] * self.need:
            self.buffer = self.buffer[:int(self.cut[1] * self.need)]
            self.fail("cut in the answer", self.cut[2])
        elif len(self.buffer) >= self.need:
            self._answered()

    def _answered(self):
        if self.timer:
            self.timer.cancel()
            self.timer = None
        request, self.request, self.cut = self.request, None, None
        request.wire = None
        body = self.buffer[self.start_of_body:self.need]
        if self.head.get("connection", "").lower() == "close":
            self.drop()
        self.session.on_answer(request, self.status, self.head, body)

    def connection_lost(self, exc):
        self.fail("reset" if exc else "closed")

    def drop(self, rst=False):
        self.gone = True
        if self.timer:
            self.timer.cancel()
        if self.transport and not self.transport.is_closing():
            sock = self.transport.get_extra_info("socket")
            if rst:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.transport.abort()
            else:
                self.transport.close()
        if self in self.session.wires:
            self.session.wires.remove(self)

    def fail(self, why, rst=False):
        """The connection is of no use any more."""
        request, self.request = self.request, None
        was_gone = self.gone
        self.drop(rst)
        if request and not was_gone:
            request.wire = None
            part = b""
            if self.need is not None and self.status == 200:
                part = self.buffer[self.start_of_body:]
            self.session.on_lost(request, why, part)


class Session:
    def __init__(self, crew, name):
        self.crew, self.name, self.log, self.loop = crew, name, crew.log, crew.loop
        self.rng = rng = random.Random("%s %s" % (crew.seed, name))
        self.acks = rng.random() < 0.4
        self.vanishes = rng.random() < 0.2
        self.rate = crew.rate * paces(crew.seed, name)[0]
        self.site = "short" if self.vanishes else "tls" if rng.random() < 0.1 else "main"
        self.rid = rng.randrange(10 ** 9, 2 ** 50)
        self.first_rid, self.done_rid = self.rid, self.rid - 1   # all answers up to it are here
        self.answered = set()                                   # beyond it
        self.latest = []                                        # requests that were answered
        self.sid, self.phase, self.open, self.wires = None, "create", {}, []
        self.writer = Writer(rng, "u", KINDS[:4] + (("presence", 5),))
        self.outbox, self.bad = [], 0
        self.told = self.probing = self.over = False
        self.paused_until = 0.0
        self.timer = None
        now = self.loop.time()
        life = min(3 + rng.expovariate(1 / crew.life), 6 * crew.life)
        self.end_at = now + life
        self.stuck_at = None
        self.next_stanza = now
        self.began = now
        self.http = crew.http_head(self.site)
        self.log("C.open", name, {"acks": self.acks, "site": self.site, "wait": WAIT,
                                  "requests": KEPT, "inactivity": crew.sites[self.site][1]})
        attrs = ("to='soak.fake' wait='%d' hold='1' ver='1.11' xml:lang='en'%s"
                 " xmlns:xmpp='%s' xmpp:version='1.0'"
                 % (WAIT, " ack='1'" if self.acks else "", XBOSH))
        self.request("create", "", attrs)
        self.step()

    def http_head(self, length):
        return self.http % length

    # ---- requests -----------------------------------------------------------------

    def body(self, rid, payload, attrs):
        text = "<body xmlns='%s' rid='%d'" % (HTTPBIND, rid)
        if self.sid:
            text += " sid='%s'" % self.sid
            if self.acks and self.done_rid < rid - 1 and self.done_rid >= self.first_rid:
                text += " ack='%d'" % self.done_rid
        return (text + " " + attrs + ">" + payload + "</body>").encode()

    def request(self, kind, payload="", attrs="", stanzas=()):
        if kind != "create":
            self.rid += 1
        data = self.body(self.rid, payload, attrs)
        request = Request(self.rid, data, kind)
        self.open[self.rid] = request
        self.log("C.send", self.name, self.rid, kind, [s[:2] for s in stanzas], digest(data))
        self.transmit(request)

    def plan_cut(self, request):
        rng, crew = self.rng, self.crew
        if request.kind == "create" or not crew.cuts or rng.random() > crew.cut_share:
            return None
        where = rng.choice(("request", "answer", "abort", "abort"))
        if self.site == "tls":
            where = "abort"
        crew.cuts_made[where] = crew.cuts_made.get(where, 0) + 1
        return where, rng.expovariate(2) if where == "abort" else rng.random(), rng.random() < 0.5

    def transmit(self, request):
        if request.copies > 0:
            self.log("C.again", self.name, request.rid, digest(request.data))
        request.copies += 1
        request.sent_at = self.loop.time()
        for wire in self.wires:
            if wire.request is None:
                break
        else:
            wire = Wire(self)
            self.wires.append(wire)
            self.crew.connect(self.site, wire)
        request.wire = wire
        wire.start(request, self.plan_cut(request))

    # ---- what comes ---------------------------------------------------------------

    def on_lost(self, request, why, part=b""):
        if self.over:
            return
        if request.kind == "bad":
            self.probing = False
            self.step()
            return
        if len(part) < 64 or b" type=" in part[:64]:
            part = b""           # of no answer that is kept for repeats
        self.log("C.lost", self.name, request.rid, why,
                 [len(part), digest(part)] if part else None)
        if request.kind == "create" and not self.sid:
            self.end("no answer to the session request")
            return
        if part and (not request.part or len(part) > request.part):
            request.part = len(part)
        self.put_off(request, 0.3)
        self.step()

    def put_off(self, request, most):
        request.failures += 1
        request.retry_at = self.loop.time() + self.rng.uniform(0.01, most)

    def on_answer(self, request, status, head, body):
        if self.over:
            return
        kind = condition = ack = None
        stanzas = []
        tree = None
        if status == 200:
            try:
                tree = ET.fromstring(body)
                kind, condition, ack = tree.get("type"), tree.get("condition"), tree.get("ack")
                stanzas = [found for found in map(number_of, tree) if found]
            except (ET.ParseError, ValueError) as e:
                kind = "not XML: %s" % e
        if request.kind == "bad":
            self.log("C.bad", self.name, request.rid, ["x%d" % self.bad], status, kind, condition)
            self.probing = False
            self.step()
            return
        begin = request.part and [request.part, digest(body[:request.part])]
        if status != 200 and status >= 500:
            kind = head.get("retry-after")
            self.log("C.recv", self.name, request.rid, status, kind, None, None, [], "", None)
            self.put_off(request, 1.0)
            self.step()
            return
        self.log("C.recv", self.name, request.rid, status, kind, condition, ack, stanzas,
                 digest(body), begin)
        if kind == "error":
            self.put_off(request, 0.3)
            self.step()
            return
        self.open.pop(request.rid, None)
        self.count_answer(request)
        if kind == "terminate":
            self.told = True
            self.stuck_at = self.loop.time() + LINGER
            self.phase = "over"
        elif tree is not None and not self.told:
            self.log_in(tree)
            self.maybe_peek(request, stanzas)
        self.step()

    def count_answer(self, request):
        self.answered.add(request.rid)
        while self.done_rid + 1 in self.answered:
            self.done_rid += 1
            self.answered.discard(self.done_rid)
        request.peek = False
        if not self.latest or self.latest[-1] is not request:
            self.latest = (self.latest + [request])[-KEPT:]

    def maybe_peek(self, request, stanzas):
        """Asks once more for an answer that it has, when nothing else is open."""
        if self.open or self.phase != "live" or self.rng.random() > (0.06 if stanzas else 0.005):
            return
        if request.rid != self.rid or request.copies > 8:
            return
        self.answered.discard(request.rid)
        request.peek = True
        request.failures = 0
        request.retry_at = 0.0
        self.open[request.rid] = request

    def log_in(self, tree):
        if self.phase == "create":
            self.sid = tree.get("sid")
            self.phase = "features"
        for stanza in tree:
            if stanza.tag == "{%s}features" % STREAMS and self.phase == "features":
                self.phase = "auth"
            elif stanza.tag == "{%s}success" % SASL:
                self.phase = "restart"
            elif stanza.tag == "{%s}features" % STREAMS and self.phase == "bind":
                self.phase = "live"
                self.next_stanza = self.loop.time() + self.rng.expovariate(self.rate)

    # ---- what goes ----------------------------------------------------------------

    def step(self):
        """Does what is due, and sees to it that it is called again."""
        if self.over:
            return
        now = self.loop.time()
        due = now + 5.0
        for request in sorted(self.open.values(), key=lambda r: r.rid):
            if request.wire is None:
                if request.retry_at > now:
                    due = min(due, request.retry_at)
                elif request.copies > 100:
                    self.end("gave up")
                    return
                else:
                    self.transmit(request)
            elif now - request.sent_at > PATIENT:
                request.wire.fail("no answer")
                return
        if self.stuck_at and now > self.stuck_at:
            self.end("stuck")
            return
        if self.phase == "over":
            if not self.open:
                self.end("told" if self.told else "terminated")
                return
        elif self.is_behind():
            pass
        elif now < self.paused_until:
            due = min(due, self.paused_until)
        else:
            due = min(due, self.act(now))
        if self.over:
            return
        if self.timer:
            self.timer.cancel()
        self.timer = self.loop.call_at(max(due, now + 0.001), self.step)

    def is_behind(self):
        """Something is to be repeated first; or its answer would leave the window, which
        has `requests` answers, and more with acks. Who asks again for what it has must not
        tell meanwhile that it has it."""
        most = KEPT_WITH_ACKS if self.acks else KEPT
        return self.probing or any(
            r.wire is None or r.peek or (r.copies > 1 and self.rid + 1 - r.rid >= most)
            for r in self.open.values())

    def act(self, now):
        if self.phase == "live":
            return self.chat(now)
        if now - self.began > 120:
            self.end("not logged in")
        elif len(self.open) < 2 and self.phase == "auth":
            plain = base64.b64encode(b"\0" + self.name.encode() + b"\0pw").decode()
            self.phase = "success"
            self.request("auth", "<auth xmlns='%s' mechanism='PLAIN'>%s</auth>" % (SASL, plain))
        elif len(self.open) < 2 and self.phase == "restart":
            self.phase = "bind"
            self.request("restart", "", "to='soak.fake' xmpp:restart='true' xmlns:xmpp='%s'"
                         % XBOSH)
        elif not self.open:
            self.request("poll")
        return now + 5.0

    def chat(self, now):
        rng = self.rng
        while self.next_stanza <= now:
            self.outbox += [self.writer.make()
                            for _ in range(1 if rng.random() < 0.9 else rng.randrange(2, 6))]
            self.next_stanza = now + rng.expovariate(self.rate)
        if now >= self.end_at or self.crew.ending:
            self.finish()
        elif len(self.open) < 2 and self.outbox and rng.random() < 0.02:
            self.probe()
        elif len(self.open) < 2 and self.outbox:
            self.flush("")
        elif not self.open:
            if rng.random() < 0.01 and self.site != "short":
                self.paused_until = now + rng.uniform(0.1, PAUSE)
                self.request("pause", "", "pause='%d'" % (PAUSE + 10))
            else:
                self.request("poll")
        return min(self.next_stanza, self.end_at)

    def flush(self, kind, attrs=""):
        stanzas, self.outbox = self.outbox, []
        self.request(kind or "data", "".join(s[3] for s in stanzas), attrs, stanzas)

    def finish(self):
        if self.vanishes:
            self.end("vanished", rst=self.rng.random() < 0.5)
            return
        self.stuck_at = self.loop.time() + 3 * LINGER
        self.phase = "over"
        self.flush("terminate", "type='terminate'")

    def probe(self):
        """A body that must be refused as a whole, with the rid of the next good one."""
        self.bad += 1
        number, _, _, xml = self.writer.of("message/chat", 0, "of a bad body")
        xml = xml.replace("id='u0'", "id='x%d'" % self.bad)
        payload = xml + self.rng.choice(("<message", "<a><b></a></b>", "<!-- -->", "text", "<?p?>",
                                         "<x:y/>", "&e;", xml + "\x01"))
        self.probing = True
        request = Request(self.rid + 1, self.body(self.rid + 1, payload, ""), "bad")
        wire = Wire(self)
        self.wires.append(wire)
        self.crew.connect(self.site, wire)
        request.wire = wire
        wire.start(request, None)

    def end(self, why, rst=False):
        if self.over:
            return
        self.log("C.end", self.name, why)
        self.over = True
        if self.timer:
            self.timer.cancel()
        for wire in list(self.wires):
            wire.drop(rst)
        self.crew.next(self)


class Crew:
    """All clients: as many sessions at a time as asked for, one after the other.

    sites: {name: (port, seconds of inactivity)}."""

    def __init__(self, log, seed, sites, sessions, rate, life, cuts, cut_share):
        self.log, self.seed, self.sites, self.sessions = log, seed, sites, sessions
        self.rate, self.life, self.cuts, self.cut_share = rate, life, cuts, cut_share
        self.cuts_made = {}
        self.ending = False
        self.count = 0
        self.live = set()
        self.rng = random.Random("%s crew" % seed)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.tls.check_hostname = False
        self.tls.verify_mode = ssl.CERT_NONE

    def http_head(self, site):
        return (b"POST /http-bind HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: text/xml; "
                b"charset=utf-8\r\nContent-Length: %%d\r\n\r\n" % self.sites[site][0])

    def connect(self, site, wire):
        self.loop.create_task(self._connect(site, wire))

    async def _connect(self, site, wire):
        try:
            await self.loop.create_connection(lambda: wire, "127.0.0.1", self.sites[site][0],
                                              ssl=self.tls if site == "tls" else None)
        except (OSError, asyncio.TimeoutError):
            wire.fail("no connection")

    def begin(self):
        self.count += 1
        self.live.add(Session(self, "s%d" % self.count))

    def next(self, session):
        self.live.discard(session)
        if not self.ending:
            self.loop.call_later(self.rng.uniform(0.05, 0.5),
                                 lambda: None if self.ending else self.begin())

    async def work(self, control):
        self.loop = asyncio.get_running_loop()
        told = asyncio.Event()
        self.loop.add_reader(control, told.set)
        beating = self.loop.create_task(pulse(self.log))
        for _ in range(self.sessions):
            self.begin()
            await asyncio.sleep(0.01)
        await told.wait()
        self.loop.remove_reader(control)
        self.ending = True
        deadline = self.loop.time() + control.recv()
        for session in list(self.live):
            session.step()
        while self.live and self.loop.time() < deadline:
            await asyncio.sleep(0.1)
        for session in list(self.live):
            session.end("stuck")
        await asyncio.sleep(0.05)
        beating.cancel()
        return self.cuts_made


def main(control, path, **how):
    log = Log(path)
    control.send(asyncio.run(Crew(log, **how).work(control)))
    log.close()
