# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the actors of a soak write down, and how stanzas are numbered and hashed.

A log is a file of JSON arrays, one a line: [monotonic seconds, event, session, ...].

  C.open   session, {"acks", "site", "wait", "requests", "inactivity"}
  C.send   session, rid, kind, [[number, hash]...], hash   the first copy of a request
  C.again  session, rid, hash                      one more copy, on another connection
  C.recv   session, rid, status, type, condition, ack, [[number, hash, kind]...], hash,
           [length, hash]                          the last: of the beginning that was read
                                                   of an earlier copy's answer, or null
  C.lost   session, rid, why, [length, hash]       the last: of what was read of the body
  C.bad    session, rid, [number...], status, type, condition    a body that must be refused
  C.end    session, why
  S.open   session
  S.recv   session, [[number, hash]...]            "x" numbers: of bodies to be refused
  S.sent   session, [[number, hash, kind]...]
  S.bounce session, [[number, name, type, error type, condition, to]...]
  S.bad    session, what the server was sent that it must not be
  S.eof    session, how: "closed" after the closing tag, "cut" without it
  S.fault  session, what: "reset", "fin", "error", "close"
  H.fault  what, ...                               something was done to httpd
  H.note   what, pid                               a stopped process goes on
  H.log    what, count                             lines of the error log, at the end
  H.late   seconds                                 for which an actor itself was not run

kind: the stanza's name, with iq and message its type behind a slash.
"""
import asyncio
import hashlib
import heapq
import json
import random
import time

from strictxml import CLIENT, escape

SOAK = "urn:soak"
PEER = "peer@soak.fake/x"
NUMBER = "{%s}n" % SOAK
NAMES = {"{%s}%s" % (CLIENT, name): name for name in ("message", "presence", "iq")}

# (kind, weight) of what the server sends; clients send the first three.
KINDS = (("message/chat", 40), ("iq/get", 8), ("iq/set", 6), ("message/normal", 10),
         ("message/error", 5), ("presence", 12), ("iq/result", 9), ("iq/error", 4))
BOUNCES = {"message/chat": ("wait", "recipient-unavailable"),
           "message/normal": ("wait", "recipient-unavailable"),
           "iq/get": ("cancel", "service-unavailable"),
           "iq/set": ("cancel", "service-unavailable")}

BEAT = 0.1               # seconds
LATE = 0.2               # beyond that: the machine has other things to do

encode = json.JSONEncoder(separators=(",", ":")).encode


def paces(seed, name):
    """(the client's, the server's): most talk as often as the soak says. Some clients only
    listen, so that nothing but a wake-up ends what they have asked; where both rest, that is
    held for all of `wait`."""
    kind = random.Random("%s %s pace" % (seed, name)).random()
    return (0.05 if kind < 0.25 else 1), (0.05 if kind < 0.1 else 1)


def digest(data):
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def stanza_hash(kind, ident, text):
    return digest(("%s %s %s" % (kind, ident, text)).encode())


class Log:
    def __init__(self, path):
        self._file = open(path, "w", buffering=1 << 18)

    def __call__(self, *record):
        self._file.write(encode((round(time.monotonic(), 6),) + record) + "\n")

    def close(self):
        self._file.close()


async def pulse(log):
    """For as long as its actor lives: who is late itself cannot tell that others are."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + BEAT
        await asyncio.sleep(BEAT)
        if loop.time() - due > LATE:
            log("H.late", round(loop.time() - due, 3))


def read(path):
    with open(path) as f:
        for line in f:
            yield json.loads(line)


def merged(paths):
    """All records in the order of time."""
    return heapq.merge(*(read(p) for p in paths), key=lambda r: r[0])


class Writer:
    """Makes numbered stanzas of one direction: 'u' or 'd' before the number."""

    TEXT = "".join(random.Random(7).choice(
        "abcdefghij klmnop qrstuvwxyz <>&'\"\t\n éß€😀]]> 0123456789") for _ in range(9000))

    def __init__(self, rng, letter, kinds):
        self.rng, self.letter, self.next = rng, letter, 0
        self.names = [k for k, _ in kinds]
        self.weights = [w for _, w in kinds]
        self.addresses = " from='%s'" % PEER if letter == "d" else " to='%s'" % PEER

    def make(self):
        """(number, hash, kind, xml)"""
        rng = self.rng
        kind = rng.choices(self.names, self.weights)[0]
        length = rng.choice((1, 20, 60, 150)) if rng.random() < 0.97 else rng.randrange(400, 5000)
        at = rng.randrange(len(self.TEXT) - length)
        made = self.of(kind, self.next, self.TEXT[at:at + length])
        self.next += 1
        return made

    def of(self, kind, number, text):
        name, _, kind_type = kind.partition("/")
        ident = "%s%s" % (self.letter, number)
        xml = "<%s xmlns='%s'%s%s id='%s'><n xmlns='%s'>%s</n></%s>" % (
            name, CLIENT, " type='%s'" % kind_type if kind_type else "", self.addresses, ident,
            SOAK, escape(text), name)
        return number, stanza_hash(kind, ident, text), kind, xml


def kind_of(tree):
    name = NAMES.get(tree.tag)
    given = tree.get("type")
    return name and (name + "/" + given if given else name)


def number_of(tree):
    """(number or 'x...', hash, kind) of a stanza with a number; None: it is another."""
    kind = kind_of(tree)
    ident = tree.get("id", "")
    inner = tree.find(NUMBER)
    if not kind or inner is None or len(ident) < 2:
        return None
    number = int(ident[1:]) if ident[0] in "ud" and ident[1:].isdigit() else ident
    return number, stanza_hash(kind, ident, inner.text or ""), kind
