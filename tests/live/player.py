# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A client that does at random what clients, networks and their users do, and holds what
comes back against the model."""
import itertools
import time

import bosh
import procfs
import strictxml
from bosh import body_bytes, message
from keys import EndlessKeys
from model import Model, Request, Wrong, stream_of
from strictxml import CLIENT, SASL
from waiting import until

BOUND = 15      # seconds until what must come is there
HASTY = 2       # empty requests in a row while one is held; more is overactivity (section 11)


class Lane:
    """A connection, and the requests on it whose answers have not come, oldest first."""

    counter = itertools.count(1)

    def __init__(self, wire):
        self.wire, self.queue, self.rest = wire, [], b""
        self.number = next(Lane.counter)


class Player:
    def __init__(self, endpoints, dice, fake, acks=False, keys=False, streams=1, restarts=False,
                 **terms):
        self.endpoints, self.dice, self.fake = endpoints, dice, fake
        self.lanes, self.unsettled = [], []
        self.acked = self.hasty = 0
        self.asleep_until = 0
        self.restarts = restarts    # a child that ends may close what nobody has read
        self.numbers = {"said": 0, "pushed": 0}
        self.actions, self.diary = 0, []
        self.keys = EndlessKeys(dice) if keys else None
        self._create(acks, terms)
        while len(self.servers) < streams:
            self._add_stream()

    def _create(self, acks, terms):
        self.fake.mark()
        self.session = bosh.Session(self.endpoints[0])
        if acks:
            terms["ack"] = 1
        if self.keys:
            terms.update(self.keys.first())
        created = self.session.create("echo.fake", **terms).body
        self.servers = [self.fake.connection()]   # of each stream
        self.session.close()
        self.model = Model(self.session.rid, int(created.get("requests")), acks)
        if self.dice.random() < 0.5:
            self._log_in()

    def _add_stream(self):
        if not self.model.names:
            self.model.names = [self.session.created.body.get("stream")]
        self.fake.mark()
        added = strictxml.parse_body(self._ask(to="echo.fake", kind="add "))
        self.model.names.append(added.get("stream"))
        self.model.need(len(set(self.model.names) - {None}) == len(self.model.names),
                        "the streams are called %r" % self.model.names)
        self.servers.append(self.fake.connection())

    def note(self, what, lane=None):
        self.diary.append("%.4f %s %s" % (time.monotonic(), lane.number if lane else "-", what))

    # ---- sending --------------------------------------------------------------------

    def _lane(self):
        """A connection that is free: an old one, or a new one."""
        free = [lane for lane in self.lanes if not lane.queue and not lane.rest]
        if free and self.dice.random() < 0.6:
            lane = self.dice.choice(free)
            if not lane.wire.is_closed():
                return lane
            self._drop(lane)
        lane = Lane(self.dice.choice(self.endpoints).wire())
        self.lanes.append(lane)
        return lane

    def _drop(self, lane, reset=False):
        """What a copy was answered with is unknown, if the client had an answer that came
        before the request's turn: that one says nothing about stanzas."""
        for request in lane.queue:
            if request.early and not request.stanzas and request.rid > self.acked:
                request.answer = None
        if lane in self.lanes:
            self.lanes.remove(lane)
        lane.wire.reset() if reset else lane.wire.close()

    def _compose(self, payload="", texts=(), kind="", **attrs):
        """The next request; its bytes never change."""
        if self.model.acks and self.dice.random() < 0.7:
            out = [r.rid for lane in self.lanes for r in lane.queue]
            ack = min([self.model.acknowledgement(), *(rid - 1 for rid in out)])
            if ack >= self.acked:
                attrs["ack"] = self.acked = ack
        is_hasty = not payload and not texts and self.model.unanswered()
        self.hasty = self.hasty + 1 if is_hasty else 0
        if self.keys:
            attrs = {**self.keys.next(), **attrs}
        if texts and self.model.names:
            attrs["stream"] = self.model.names[stream_of(texts[0])]
        rid = self.model.next_rid()
        payload += "".join(message("echo.fake", text, text) for text in texts)
        data = body_bytes(payload, rid=rid, sid=self.session.sid, **attrs)
        return self.model.add(Request(rid, data, list(texts), kind))

    def _texts(self):
        first = self.numbers["said"]
        least = 0 if self.hasty < HASTY else 1
        self.numbers["said"] += max(least, self.dice.choice((0, 0, 1, 1, 2, 4)))
        stream = self.dice.randrange(len(self.servers))
        return ["c%d.%d" % (stream, n) for n in range(first, self.numbers["said"])]

    def _send(self, request, lane=None):
        lane = lane or self._lane()
        self.model.sent(request)
        lane.queue.append(request)
        self.note("> %r" % request, lane)
        try:
            lane.wire.send(request.data)
        except bosh.Broken:
            self._lose(lane)

    def _settle(self):
        """Copies whose connection the server has not noticed to be gone may still be
        looked at by it: a rid must not be too old then."""
        ours = [e.port for e in self.endpoints]
        there = {row[1] for row in procfs.tcp_sockets() if row[0] in ours and row[3]} \
            if self.unsettled else ()
        self.unsettled = [(rid, port) for rid, port in self.unsettled if port in there]

    def _wait_settled(self):
        try:
            until(lambda: self._settle() or not self.unsettled, BOUND, "it", every=0.002)
        except AssertionError:
            raise Wrong("the server does not see that these clients are gone: %r"
                        % self.unsettled)

    def _may_send(self, count=1):
        """There is room for that many new requests."""
        self._settle()
        under_way = [rid for rid, _ in self.unsettled] \
            + [r.rid for lane in self.lanes for r in lane.queue] \
            + [r.rid for r in self.model.unanswered()]
        newest = self.model.next_rid() + count - 1
        return len(self.model.unanswered()) + count <= self.model.window \
            and all(newest < rid + self.model.window for rid in under_way)

    # ---- receiving ------------------------------------------------------------------

    def look(self):
        for lane in list(self.lanes):
            while lane in self.lanes and lane.queue and lane.wire.has_input():
                self._take(lane)

    def _take(self, lane):
        if lane.rest:
            # The server waits for the rest of a request only so long.
            lane.queue.clear()
            self._lose(lane)
            return
        try:
            answer = lane.wire.answer(BOUND)
        except bosh.Broken:
            self._lose(lane)
            return
        request = lane.queue.pop(0)
        self.note("< %d %r" % (request.rid, answer.raw), lane)
        self.model.answered(request.rid, answer.raw, answer.status)

    def _lose(self, lane):
        """The connection broke; the server may have got any part of what was sent."""
        self.note("broken", lane)
        self._drop(lane)

    def _is_live(self, request):
        return any(request in lane.queue for lane in self.lanes)

    def repair(self, may_abandon=True):
        """What lost its connection is asked for again. Or its client goes on without it, as
        a page does that was reloaded."""
        for request in self.model.unanswered():
            if self._is_live(request) or any(request in lane.queue for lane in self.lanes):
                continue
            if may_abandon and request.sure and not request.kind and self.dice.random() < 0.3:
                self._wait_settled()
                request.gone_at = time.monotonic()
                self.note("abandoned %r" % request)
            else:
                self._send(request)

    # ---- what it does at random ------------------------------------------------------

    def new(self):
        if self._may_send():
            self._send(self._compose(texts=self._texts()))

    def early(self):
        if self._may_send(2):
            first, second = (self._compose(texts=self._texts()) for _ in range(2))
            self._send(second)
            time.sleep(self.dice.choice((0, 0, 0.004)))
            self._send(first)

    def pipeline(self):
        if self._may_send(2):
            lane = self._lane()
            both = [self._compose(texts=self._texts()) for _ in range(2)]
            for request in both:
                self.model.sent(request)
                lane.queue.append(request)
                self.note("> pipelined %r" % request, lane)
            try:
                lane.wire.send_raw(b"".join(lane.wire.request(r.data) for r in both))
            except bosh.Broken:
                self._lose(lane)

    def repeat_waiting(self):
        live = [r for r in self.model.unanswered() if self._is_live(r) and r.copies < 8]
        if live:
            self._send(self.dice.choice(live))

    def repeat_answered(self):
        old = [r for r in self.model.repeatable() if r.rid > self.acked and r.copies < 8]
        if old:
            self._send(self.dice.choice(old))

    def cut(self):
        """A connection on which something is due."""
        busy = [lane for lane in self.lanes if lane.queue]
        if not busy:
            return
        lane = self.dice.choice(busy)
        reset = self.dice.random() < 0.5
        for place, request in enumerate(lane.queue):
            # What is pipelined behind a request is not looked at if its client hangs up.
            # Closing a TLS connection is a reset if session tickets are unread.
            request.sure |= place == 0 and not reset and not lane.rest \
                and not self.endpoints[0].tls and not self.restarts
            self.unsettled.append((request.rid, lane.wire.client_port))
        self.note("%s from port %d" % ("reset" if reset else "closed", lane.wire.client_port), lane)
        self._drop(lane, reset)
        if self.dice.random() < 0.5:
            self._wait_settled()

    def begin(self):
        """The beginning of a request; the rest follows later, or never."""
        if any(lane.rest for lane in self.lanes):
            return  # each keeps one of httpd's threads busy
        live = [r for r in self.model.unanswered() if r.copies < 8]
        if self._may_send() and self.dice.random() < 0.7:
            live = [self._compose(texts=self._texts())]
        if not live:
            return
        request, lane = self.dice.choice(live), Lane(self.dice.choice(self.endpoints).wire())
        self.lanes.append(lane)
        data = lane.wire.request(request.data)
        place = self.dice.randrange(1, len(data))
        lane.queue, lane.rest = [request], data[place:]
        self.note("> begun %r" % request, lane)
        try:
            lane.wire.send_raw(data[:place])
        except bosh.Broken:
            self._lose(lane)

    def complete(self, lane=None):
        for lane in [lane] if lane else [lane for lane in self.lanes if lane.rest]:
            rest, lane.rest = lane.rest, b""
            self.note("> completed", lane)
            self.model.sent(lane.queue[0])
            try:
                lane.wire.send_raw(rest)
            except bosh.Broken:
                self._lose(lane)

    def push(self):
        for _ in range(self.dice.choice((1, 1, 2, 5))):
            stream = self.dice.randrange(len(self.servers))
            text = "s%d.%d" % (stream, self.numbers["pushed"])
            self.note("push " + text)
            self.servers[stream].push(text, text)
            self.numbers["pushed"] += 1

    def pause(self):
        if self._may_send():
            self._send(self._compose(pause=10))
            if self.dice.random() < 0.3:
                self.asleep_until = time.monotonic() + self.dice.random()

    def rest(self):
        self.asleep_until = time.monotonic() + self.dice.random() * 0.3

    def act(self):
        if time.monotonic() < self.asleep_until:
            return
        self.look()
        action = self.dice.choice((
            self.new, self.new, self.new, self.new, self.early, self.pipeline,
            self.repeat_waiting, self.repeat_answered, self.cut, self.cut, self.begin,
            self.complete, self.push, self.push, self.pause, self.rest))
        self.actions += 1
        action()
        if self.dice.random() < 0.7:
            self.repair()

    # ---- one thing after the other ----------------------------------------------------

    def _ask(self, *how, **attrs):
        """A request of its own, until its answer is here."""
        request = self._compose(*how, **attrs)
        self._send(request)

        def is_answered():
            self.look()
            self.repair(may_abandon=False)
            return request.answer is not None
        until(is_answered, BOUND, "an answer to %r" % request, every=0.002)
        return request.answer

    def _log_in(self):
        """A login restarts the stream."""
        data = self._ask("<auth xmlns='%s' mechanism='ANONYMOUS'/>" % SASL, kind="auth ")
        while b"success" not in data:
            data = self._ask()
        data = self._ask(to="echo.fake", xmpp_restart="true", kind="restart ")
        while b"features" not in data:
            data = self._ask()

    def _is_complete(self):
        for lane in list(self.lanes):
            if lane.rest:
                self.complete(lane)
        self.look()
        self.repair(may_abandon=False)
        sent = sum(len(r.texts) for r in self.model.requests.values())
        if sum(len(server.bodies()) for server in self.servers) == sent and self._has_pushed_all() \
                and not any(self.model.missing(server.told, n)
                            for n, server in enumerate(self.servers)):
            return True
        if not any(lane.queue for lane in self.lanes) and self._may_send():
            self._send(self._compose())
        return False

    def _has_pushed_all(self):
        """The servers have a thread of their own."""
        return self.numbers["pushed"] == sum(text.startswith("s") for server in self.servers
                                             for text, _ in server.told)

    def drain(self):
        """Until all that was said has arrived on both sides."""
        try:
            until(self._is_complete, BOUND, "everything to arrive", every=0.005)
        except AssertionError:
            pass    # the model tells more
        self.check()

    def check(self):
        for n, server in enumerate(self.servers):
            self.model.check_up(server.bodies(), n, complete=True)
            self.model.check_down(list(server.told), n)
            self.model.need(server.not_xml is None, "not XML: %r" % server.not_xml)
            self.model.need(not server.gone, "the server's stream has ended")

    # ---- the end ----------------------------------------------------------------------

    def _await_end(self):
        """The oldest request learns it; nobody is left waiting."""
        def is_over():
            self.look()
            return not any(lane.queue for lane in self.lanes)
        until(is_over, BOUND, "the waiting requests to be answered", every=0.005)

    def _end_by_terminate(self):
        self.model.may_end(None)
        # With the name of a stream it would be the end of that one.
        texts = [] if self.model.names else ["c0.last words"]
        self._send(self._compose(texts=texts, type="terminate", kind="terminate "))
        self._await_end()
        self.model.need(self.model.ended == (None,), "the terminate was not answered")
        self._check_up_in_the_end(complete=True)

    def _end_by_old_rid(self):
        self._end_by_rid(self.model.created - self.dice.choice((1, 7, 1000)))

    def _end_by_rid_beyond(self):
        self._end_by_rid(self.model.next_rid() + self.dice.choice((10, 1000)))

    def _end_by_rid(self, rid):
        self.model.may_end("item-not-found")
        wire = self.endpoints[0].wire()
        answer = wire.ask(body_bytes(rid=rid, sid=self.session.sid), BOUND)
        wire.close()
        self.model.need((answer.type, answer.condition) == ("terminate", "item-not-found"),
                        "rid %d was answered with %r" % (rid, answer))
        self._await_end()
        self._check_up_in_the_end(complete=False)

    def _end_by_key(self):
        """Where there is no room for it, that comes first."""
        self.model.may_end("item-not-found", *([] if self._may_send() else ["policy-violation"]))
        self._send(self._compose(texts=["c0.a stranger's"], key="0" * 40))
        self._await_end()
        self.model.need(self.model.ended, "the key was not refused")
        self.model.need("c0.a stranger's" not in self._final_bodies(self.servers[0]),
                        "the server got it nevertheless")
        self._check_up_in_the_end(complete=False)

    def _end_by_pause(self):
        self.model.may_end("policy-violation")
        self._send(self._compose(pause=10 ** 6, kind="pause "))
        self._await_end()
        self.model.need(self.model.ended, "the pause was not refused")

    def _end_by_server(self):
        self.model.may_end("remote-stream-error", "remote-connection-failed")
        server, = self.servers
        self.push()
        server.close()
        server.wait_ended()
        def is_over():
            self.look()
            self.repair(may_abandon=False)
            if not self.model.ended and not any(lane.queue for lane in self.lanes):
                self._send(self._compose())
            return self.model.ended
        until(is_over, BOUND, "the end to be told", every=0.005)
        self._await_end()
        self.model.check_down(list(server.told), 0)

    def _returned(self, server):
        """What came back because nobody took it."""
        returned = [s.get("id") for s in list(server.stanzas) if s.get("type") == "error"]
        told = [text for text, _ in server.told]
        self.model.need(len(returned) == len(set(returned)) and set(returned) <= set(told),
                        "returned: %r of %r" % (returned, told))
        return returned

    def _check_up_in_the_end(self, complete, seconds=BOUND):
        for n, server in enumerate(self.servers):
            self.model.check_up(self._final_bodies(server, seconds), n, complete)

    def _final_bodies(self, server, seconds=BOUND):
        """What the client said; what came back is no word of its."""
        server.wait_ended(seconds)
        self._returned(server)
        stanzas = list(server.stanzas)
        return [s.findtext("{%s}body" % CLIENT) for s in stanzas
                if s.tag == "{%s}message" % CLIENT and s.get("type") != "error"]

    def end(self):
        """All is well up to now; what comes after the end is the end."""
        self.drain()
        kinds = [self._end_by_terminate, self._end_by_old_rid, self._end_by_pause,
                 self._end_by_rid_beyond, self._end_by_key]
        if len(self.servers) == 1:
            kinds.append(self._end_by_server)
        kind = self.dice.choice(kinds)
        self.note(kind.__name__)
        # Some requests are waiting, some are not.
        if self.dice.random() < 0.7 and self._may_send():
            self._send(self._compose())
            time.sleep(self.dice.choice((0, 0.02)))
        kind()
        late = self.endpoints[0].wire()
        data = body_bytes(rid=self.model.next_rid(), sid=self.session.sid)
        answer = late.ask(data, BOUND)
        late.close()
        self.model.need(answer.type == "terminate", "after the end: %r" % answer)
        for server in self.servers:
            server.wait_ended(BOUND)

    def fall_silent(self):
        """Whatever is under way: nothing comes of it any more. An answer may have been on
        its way already, and then the server cannot know."""
        self.note("silent")
        left = [r for r in self.model.unanswered() if self._is_live(r)]
        for lane in list(self.lanes):
            self._drop(lane, reset=self.dice.random() < 0.5)
        for request in left:
            request.gone_at = time.monotonic()

    def check_silence(self, inactivity):
        """The session ends of it, and what the client cannot have read goes back."""
        self._check_up_in_the_end(False, inactivity + BOUND)
        for n, server in enumerate(self.servers):
            self.model.check_down(list(server.told), n, self._returned(server))
        late = self.endpoints[0].wire()
        answer = late.ask(body_bytes(rid=self.model.next_rid(), sid=self.session.sid), BOUND)
        late.close()
        self.model.need((answer.type, answer.condition) == ("terminate", "item-not-found"),
                        "after the silence: %r" % answer)

    def close(self):
        for lane in list(self.lanes):
            self._drop(lane)
        self.session.close()


def explain(player, error):
    """What happened before it, the latest last; a log's end alone says what is wrong."""
    return "%s\n%s\n%s" % (error, "\n".join(player.diary[-60:]), error)
