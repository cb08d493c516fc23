# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The soak's XMPP server: lets everybody in, numbers what it sends, writes down what
comes, and now and then breaks a stream. A session's name is its user's."""
import asyncio
import base64
import random
import select
import socket
import struct

import strictxml
from records import KINDS, Log, Writer, kind_of, number_of, paces, pulse
from strictxml import BIND, CLIENT, SASL, STREAMS

FEATURES_LOGIN = ("<stream:features><mechanisms xmlns='%s'><mechanism>PLAIN</mechanism>"
                  "</mechanisms></stream:features>" % SASL)
FEATURES_BIND = "<stream:features><bind xmlns='%s'/></stream:features>" % BIND
ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
FAULTS = ("reset", "fin", "error", "close")


class Stream(asyncio.Protocol):
    def __init__(self, server):
        self.server, self.log = server, server.log
        self.name = None
        self.live = False       # numbered stanzas may be sent
        self.ours = False       # we ended it
        self.closed = False     # their closing tag came
        self.timers = []
        self.batch, self.bounces = [], []

    def connection_made(self, transport):
        self.transport = transport
        self.sock = transport.get_extra_info("socket")
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.poll = select.poll()
        self.poll.register(self.sock.fileno(), select.POLLIN)
        self.server.streams.add(self)
        self.new_reader()

    def new_reader(self):
        self.reader = strictxml.Reader(self.opened, self.stanza, self.ended)

    def connection_lost(self, exc):
        for timer in self.timers:
            timer.cancel()
        self.server.streams.discard(self)
        if self.name:
            self.log("S.eof", self.name, "closed" if self.closed else "cut")

    def data_received(self, data):
        try:
            self.reader.feed(data)
        except strictxml.NotXml as e:
            self.log("S.bad", self.name, str(e)[:500])
            self.flush_records()
            self.transport.abort()
            return
        self.flush_records()
        if self.closed and not self.transport.is_closing():
            if not self.ours:
                self.transport.write(b"</stream:stream>")
            self.transport.close()

    def eof_received(self):
        return False            # asyncio closes

    def flush_records(self):
        if self.batch:
            self.log("S.recv", self.name, self.batch)
            self.batch = []
        if self.bounces:
            self.log("S.bounce", self.name, self.bounces)
            self.bounces = []

    # ---- what comes ---------------------------------------------------------------

    def opened(self, tag, attrs):
        self.transport.write((
            "<?xml version='1.0'?><stream:stream xmlns='%s' xmlns:stream='%s' from='soak.fake' "
            "id='s%d' version='1.0'>%s" % (CLIENT, STREAMS, id(self),
                                           FEATURES_BIND if self.name else FEATURES_LOGIN)
        ).encode())
        if self.name and not self.live:
            self.begin()

    def ended(self):
        self.closed = True

    def stanza(self, tree):
        if tree.tag == "{%s}auth" % SASL:
            self.name = base64.b64decode(tree.text or "").split(b"\0")[1].decode()
            self.log("S.open", self.name)
            self.transport.write(b"<success xmlns='%s'/>" % SASL.encode())
            self.new_reader()
            return
        error = tree.find("{%s}error" % CLIENT)
        if error is not None and tree.get("type") == "error" and tree.get("id", "")[:1] == "d":
            condition = error[0].tag.rpartition("}")[2] if len(error) else None
            self.bounces.append((int(tree.get("id")[1:]), kind_of(tree), tree.get("type"),
                                 error.get("type"), condition, tree.get("to")))
            return
        found = number_of(tree)
        if found:
            self.batch.append(found[:2])
        else:
            self.log("S.bad", self.name, "unexpected %s %r" % (tree.tag, tree.attrib))

    # ---- what goes ----------------------------------------------------------------

    def later(self, seconds, function):
        now = self.server.loop.time()
        self.timers = [t for t in self.timers if t.when() > now]
        self.timers.append(self.server.loop.call_later(seconds, function))

    def begin(self):
        server = self.server
        self.live = True
        self.rng = random.Random("%s %s" % (server.seed, self.name))
        self.writer = Writer(self.rng, "d", KINDS)
        self.rate = server.rate * paces(server.seed, self.name)[1]
        self.plan_send()
        if server.faults and self.rng.random() < server.fault_share:
            self.later(self.rng.expovariate(1 / 15), self.fault)

    def plan_send(self):
        self.later(self.rng.expovariate(self.rate), self.send)

    def is_over(self):
        """Something came that may be the end: nothing is sent across it."""
        return self.sock.fileno() < 0 or bool(self.poll.poll(0))

    def send(self):
        if self.transport.is_closing() or self.ours or self.closed:
            return
        self.plan_send()
        if self.is_over():
            return              # the next time
        count = 1 if self.rng.random() < 0.95 else self.rng.randrange(2, 12)
        made = [self.writer.make() for _ in range(count)]
        self.log("S.sent", self.name, [m[:3] for m in made])
        self.transport.write("".join(m[3] for m in made).encode())

    def fault(self):
        if self.transport.is_closing() or self.closed:
            return
        what = self.rng.choice(FAULTS)
        self.ours = True
        self.log("S.fault", self.name, what)
        if what == "reset":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        elif what == "fin":
            self.transport.write_eof()
        elif what == "error":
            self.transport.write(b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:"
                                 b"xmpp-streams'/></stream:error></stream:stream>")
            self.transport.write_eof()
        else:
            self.transport.write(b"</stream:stream>")


class Server:
    def __init__(self, sock, log, seed, rate, faults, fault_share):
        self.sock, self.log = sock, log
        self.seed, self.rate, self.faults, self.fault_share = seed, rate, faults, fault_share
        self.streams = set()

    async def serve(self, control):
        """Until told to end: then, once all streams have ended, or the deadline passed."""
        self.loop = asyncio.get_running_loop()
        told = asyncio.Event()
        self.loop.add_reader(control, told.set)
        listening = await self.loop.create_server(lambda: Stream(self), sock=self.sock,
                                                  backlog=2048)
        beating = self.loop.create_task(pulse(self.log))
        await told.wait()
        self.loop.remove_reader(control)
        deadline = self.loop.time() + control.recv()
        while self.streams and self.loop.time() < deadline:
            await asyncio.sleep(0.1)
        listening.close()
        left = sorted(str(s.name) for s in self.streams)
        for stream in list(self.streams):
            stream.transport.abort()
        beating.cancel()
        return left


def main(control, sock, path, **how):
    log = Log(path)
    control.send(asyncio.run(Server(sock, log, **how).serve(control)))
    log.close()
