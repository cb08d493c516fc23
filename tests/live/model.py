# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A reference model of one BOSH session: told what its client did and what came back, it
says what may be. It knows nothing of time, processes or connections that the XEP does not.

What it demands:
  - every copy of a request that gets an answer gets the same bytes, but for the recoverable
    error that an older copy may get
  - before a request with a lower rid has arrived, an answer is empty
  - every stanza of a server's is in exactly one answer, in the order of the rids; none is
    missing, unless it can have been in an answer whose client was gone
  - an answer has stanzas of one stream, and says which if there may be several
  - every stanza of the client's reaches the server of its stream once, in the order of the rids
  - the session ends if, and only if, there is a reason; and says which
"""
import strictxml
from strictxml import CLIENT


class Wrong(AssertionError):
    """What the model does not allow."""


def stream_of(text):
    """Texts begin with a letter, and the number of their stream: s0.17."""
    return int(text[1])


class Request:
    def __init__(self, rid, data, texts, kind=""):
        self.rid, self.data, self.texts, self.kind = rid, data, texts, kind
        self.copies = 0         # that were sent to their end, or may have been
        self.sure = False       # one of them must arrive
        self.answer = None      # bytes
        self.stanzas = []       # texts in the answer
        self.early = False      # a copy may arrive before a request with a lower rid
        self.gone_at = None     # nobody will ever read its answer since then

    def __repr__(self):
        return "<%d %s%r, %d copies%s>" % (self.rid, self.kind, self.texts, self.copies,
                                           ", answered" if self.answer else "")


class Model:
    def __init__(self, created_rid, requests, acks=False):
        self.created, self.window, self.acks = created_rid, requests, acks
        self.requests = {}
        self.excuse = None      # conditions with which the session may end now
        self.ended = None       # (condition,), once it has
        self.names = None       # of the streams, if there may be several
        self.stanzas = 0

    def need(self, holds, what):
        if not holds:
            raise Wrong("%s\n%s" % (what, self.describe()))

    def describe(self):
        newest = sorted(self.requests.values(), key=lambda r: r.rid)[-12:]
        return "\n".join(repr(r) for r in newest)

    # ---- the client's side --------------------------------------------------------

    def add(self, request):
        self.requests[request.rid] = request
        return request

    def sent(self, request):
        """One more copy, to its end."""
        request.copies += 1
        request.early |= any(r.answer is None for r in self.requests.values()
                             if r.rid < request.rid)

    def next_rid(self):
        return max(self.requests, default=self.created) + 1

    def unanswered(self):
        return [r for r in self.sorted() if r.answer is None and r.gone_at is None]

    def sorted(self):
        return [self.requests[rid] for rid in sorted(self.requests)]

    def repeatable(self):
        """Requests whose answer the client has, and may ask for again."""
        newest = self.next_rid() - 1
        return [r for r in self.sorted() if r.answer and r.rid > newest - self.window]

    def acknowledgement(self):
        """The highest rid up to which all answers are here."""
        rid = self.created
        while rid + 1 in self.requests and self.requests[rid + 1].answer:
            rid += 1
        return rid

    def may_end(self, *conditions):
        self.excuse = (self.excuse or ()) + conditions

    # ---- the manager's side -------------------------------------------------------

    def answered(self, rid, raw, status=200):
        """An answer came. Returns "data", "error" or "end"."""
        request = self.requests[rid]
        self.need(status == 200, "HTTP %d for %d: %r" % (status, rid, raw[:200]))
        body = strictxml.parse_body(raw)
        texts = [m.findtext("{%s}body" % CLIENT) for m in body if m.tag == "{%s}message" % CLIENT]
        if body.get("type") == "terminate":
            self._end(request, body, texts)
            return "end"
        if body.get("type") == "error":
            self.need(request.copies > 1, "an error for the only copy of %d" % rid)
            self.need(not texts, "an error with stanzas: %r" % raw)
            return "error"
        self.need(body.get("type") is None, "what is this? %r" % raw)
        self._check_stream(body, texts)
        for lower in self.sorted():
            self.need(lower.rid >= rid or lower.copies or not texts,
                      "%d was answered before its turn: %r is missing" % (rid, lower))
        self._keep(request, raw, texts)
        self._check_ack(request, body)
        return "data"

    def _keep(self, request, raw, texts):
        if request.early and not texts:
            request.answer = request.answer or raw  # it may have been told to come back
            return
        if request.answer is not None and not request.early:
            self.need(request.answer == raw, "%d was answered with\n%r\nand now with\n%r"
                      % (request.rid, request.answer, raw))
            return
        self.need(not request.stanzas or request.stanzas == texts,
                  "%d had %r and now has %r" % (request.rid, request.stanzas, texts))
        request.answer, request.stanzas, request.gone_at = raw, texts, None
        self.stanzas += len(texts)

    def _check_stream(self, body, texts):
        streams = {stream_of(text) for text in texts}
        self.need(len(streams) <= 1, "of several streams: %r" % texts)
        if streams and self.names:
            self.need(body.get("stream") == self.names[streams.pop()], "%r come as if from %r, of %r"
                      % (texts, body.get("stream"), self.names))

    def _check_ack(self, request, body):
        ack = body.get("ack")
        if ack is None:
            return
        self.need(self.acks, "an ack that nobody asked for: %r" % request.answer)
        lowest = self.created if request.early else request.rid + 1
        self.need(lowest <= int(ack) < self.next_rid(),
                  "%d is acknowledged in the answer to %d" % (int(ack), request.rid))

    def _end(self, request, body, texts):
        condition = body.get("condition")
        self.need(self.excuse is not None, "the session ended without a reason: %s, %r"
                  % (condition, request))
        self.need(condition in self.excuse + ("other-request",), "the session ended with %s, "
                  "and not with one of %r" % (condition, self.excuse))
        if request.answer is None:
            request.answer, request.stanzas = b"", texts
        self.ended = (condition,)

    # ---- in the end ---------------------------------------------------------------

    # All of these are about one stream.

    def seen(self, stream):
        return [text for r in self.sorted() for text in r.stanzas if stream_of(text) == stream]

    def missing(self, told, stream):
        """Of what its server said, what did not come and has no excuse."""
        seen = set(self.seen(stream))
        return [text for text, when in told
                if text not in seen and not self._is_excused(text, when, told)]

    def _is_excused(self, text, when, told):
        """It can have been in an answer that nobody read: when it was said, that client
        had not gone yet; and neither earlier nor later answers speak against it."""
        place = {t: i for i, (t, _) in enumerate(told)}
        for lost in self.requests.values():
            if lost.gone_at is None or lost.answer is not None or when > lost.gone_at:
                continue
            if all((place[t] < place[text]) == (r.rid < lost.rid)
                   for r in self.requests.values() for t in r.stanzas if t in place):
                return True
        return False

    def check_order(self, told, stream):
        """What came is what the server said, in its order."""
        seen, said = self.seen(stream), [text for text, _ in told]
        self.need(len(seen) == len(set(seen)), "doubled: %r"
                  % sorted({t for t in seen if seen.count(t) > 1}))
        self.need(seen == [t for t in said if t in set(seen)], "out of order: %r, not %r"
                  % (seen, said))

    def check_down(self, told, stream, returned=()):
        """And all of it came, or went back."""
        self.check_order(told, stream)
        lost = [text for text in self.missing(told, stream) if text not in returned]
        self.need(not lost, "lost: %r" % lost)

    def _is_taken(self, request):
        """The server has it, for sure. Who came early may have had an answer before its turn."""
        return request.answer and (
            not request.early or request.stanzas
            or all(r.answer for r in self.sorted() if r.rid < request.rid))

    def check_up(self, received, stream, complete):
        """What the server got. complete: all of it must be there; else what is sure, and
        of the rest a beginning."""
        sent = [text for r in self.sorted() for text in r.texts if stream_of(text) == stream]
        self.need(received == sent[:len(received)], "the server got %r, and not %r"
                  % (received, sent))
        sure = [text for r in self.sorted() for text in r.texts
                if stream_of(text) == stream and (complete or self._is_taken(r))]
        self.need(len(received) >= len(sure), "the server never got %r" % sent[len(received):])
