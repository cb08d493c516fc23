# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A name server of the tests' own, on port 53 of a loopback address that nobody else uses.

    zones = {"_xmpp-client._tcp.example.test": {"SRV": [(10, 5, 5222, "xmpp.example.test")]},
             "xmpp.example.test": {"A": ["127.0.0.1"], "AAAA": SERVFAIL},
             "www.example.test": {"CNAME": ["xmpp.example.test"]}}
    with Dns(zones) as dns:
        ... dns.address ...
        assert dns.count("xmpp.example.test", "A") == 1

A name that is not there is answered with NXDOMAIN, a type that its name has not with NODATA.
Instead of a list there may be SERVFAIL, REFUSED, NXDOMAIN, NODATA or SILENCE, or one of the
functions below, which change the way in which the list is said. Zones may be changed at any
time. Answers that are too long for UDP are truncated, and asked for over TCP.
"""
import collections
import contextlib
import heapq
import ipaddress
import itertools
import os
import random
import selectors
import socket
import struct
import threading
import time

from waiting import until

TYPES = {"A": 1, "CNAME": 5, "TXT": 16, "AAAA": 28, "SRV": 33}
NAMES = {number: name for name, number in TYPES.items()}
NOERROR, SERVFAIL_CODE, NXDOMAIN_CODE, REFUSED_CODE = 0, 2, 3, 5
UDP_SIZE, TCP_SIZE = 512, 65535

Say = collections.namedtuple("Say", "records code delay truncated wrong_id")
Question = collections.namedtuple("Question", "name type transport when")


def say(records=(), code=NOERROR, delay=0.0, truncated=False, wrong_id=False):
    return Say(list(records), code, delay, truncated, wrong_id)


SERVFAIL = say(code=SERVFAIL_CODE)
REFUSED = say(code=REFUSED_CODE)
NXDOMAIN = say(code=NXDOMAIN_CODE)
NODATA = say()
SILENCE = None


def slow(seconds, records):
    """Comes late."""
    return say(records, delay=seconds)


def truncated(records):
    """Over UDP nothing but that it is too much."""
    return say(records, truncated=True)


def wrong_id(records):
    """After the same with another id, and with other data, as somebody would forge it."""
    return say(records, wrong_id=True)


def many(count, priority=10, weight=0, port=5222, target="many.example.test"):
    """So many SRV records, each with a target of its own."""
    return [(priority, weight, port, "%d.%s" % (i, target)) for i in range(count)]


def reason_to_skip():
    """Why there can be no server at port 53; None: there can."""
    if os.geteuid() != 0:
        return "port 53 is root's"
    return None


# ---- the wire -------------------------------------------------------------------------------


def encode_name(name):
    labels = [label.encode() for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def decode_name(packet, at):
    """(name, where it ends); without compression, as in questions."""
    labels = []
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode("latin-1"))
        at += 1 + packet[at]
    return ".".join(labels).lower(), at + 1


def encode_data(kind, data):
    if kind in ("A", "AAAA"):
        return ipaddress.ip_address(data).packed
    if kind == "SRV":
        return struct.pack("!HHH", *data[:3]) + encode_name(data[3])
    if kind == "TXT":
        return bytes([len(data)]) + data.encode()
    return encode_name(data)


def encode_record(owner, kind, data):
    data = encode_data(kind, data)
    return encode_name(owner) + struct.pack("!HHIH", TYPES[kind], 1, 60, len(data)) + data


class Dns:
    def __init__(self, zones=None, address=None, port=53):
        self.zones = {name.lower(): dict(types) for name, types in (zones or {}).items()}
        self.address, self.port = address, port
        self.questions = []
        self._lock = threading.Lock()
        self._later = []  # heap of (when, number, action)
        self._number = itertools.count()

    # ---- life -----------------------------------------------------------------------------

    def start(self):
        self._bind()
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = socket.socketpair()
        self._selector.register(self._wake, selectors.EVENT_READ, lambda: None)
        self._selector.register(self._udp, selectors.EVENT_READ, self._on_udp)
        self._selector.register(self._tcp, selectors.EVENT_READ, self._on_connection)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="dns", daemon=True)
        self._thread.start()
        return self

    def stop(self):
        self._stopping = True
        self._waker.send(b"x")
        self._thread.join(10)
        assert not self._thread.is_alive(), "the name server does not end"
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()
        self._waker.close()

    __enter__ = start

    def __exit__(self, *exc):
        self.stop()

    def _bind(self):
        """Any loopback address whose port is free, unless one was named."""
        for last in range(20, -1, -1):
            address = self.address or "127.%d.%d.%d" % (random.randrange(1, 250),
                                                        random.randrange(256),
                                                        random.randrange(2, 250))
            with contextlib.ExitStack() as undo:
                self._tcp = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
                self._udp = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    self._tcp.bind((address, self.port))
                    port = self._tcp.getsockname()[1]
                    self._udp.bind((address, port))
                except OSError:
                    if self.address or not last:
                        raise
                    continue
                self._tcp.listen(16)
                self.address, self.port = address, port
                undo.pop_all()
                return

    # ---- what was asked -------------------------------------------------------------------

    def asked(self, name, kind=None):
        with self._lock:
            return [q for q in self.questions
                    if q.name == name.lower() and kind in (None, q.type)]

    def count(self, name, kind=None):
        return len(self.asked(name, kind))

    def wait_asked(self, name, kind=None, times=1, seconds=10):
        return until(lambda: len(self.asked(name, kind)) >= times and self.asked(name, kind),
                     seconds, "a question for %s %s" % (name, kind or ""))

    def forget(self):
        with self._lock:
            self.questions.clear()

    # ---- answers --------------------------------------------------------------------------

    def _find(self, name, kind):
        """(how to say it, [(owner, type, data)]), aliases followed."""
        found, how = [], None
        for _ in range(16):
            types = self.zones.get(name)
            if types is None:
                return how or NXDOMAIN, found
            target = types.get("CNAME")
            if target is None or kind == "CNAME":
                break
            found.append((name, "CNAME", target[0]))
            name = target[0].lower().rstrip(".")
        own = types.get(kind, NODATA)
        if own is SILENCE:
            return SILENCE, found
        if not isinstance(own, Say):
            own = say(own)
        return own, found + [(name, kind, data) for data in own.records]

    def _answer(self, packet, transport):
        """(how, bytes), or None: nothing is to be said."""
        try:
            name, at = decode_name(packet, 12)
            number, = struct.unpack_from("!H", packet, at)
        except (IndexError, struct.error):
            return None
        kind, question = NAMES.get(number, str(number)), packet[12:at + 4]
        with self._lock:
            self.questions.append(Question(name, kind, transport, time.monotonic()))
        how, records = self._find(name, kind)
        if how is SILENCE:
            return None
        flags, body, count = 0x8580 | how.code, b"", 0
        room = (UDP_SIZE if transport == "udp" else TCP_SIZE) - 12 - len(question)
        for record in records:
            more = encode_record(*record)
            if len(body) + len(more) > room:
                break
            body, count = body + more, count + 1
        if transport == "udp" and (how.truncated or count < len(records)):
            flags, body, count = flags | 0x0200, b"", 0
        return how, packet[:2] + struct.pack("!HHHHH", flags, 1, count, 0, 0) + question + body

    # ---- sockets --------------------------------------------------------------------------

    def _run(self):
        while not self._stopping:
            patience = self._later[0][0] - time.monotonic() if self._later else None
            for key, _ in self._selector.select(patience and max(patience, 0.001)):
                key.data()
            while self._later and self._later[0][0] <= time.monotonic():
                heapq.heappop(self._later)[2]()

    def _after(self, delay, action):
        if delay:
            heapq.heappush(self._later, (time.monotonic() + delay, next(self._number), action))
        else:
            action()

    def _on_udp(self):
        packet, peer = self._udp.recvfrom(65535)
        found = self._answer(packet, "udp")
        if not found:
            return
        how, answer = found
        if how.wrong_id:
            forged = bytearray(answer)
            forged[0] ^= 0x55
            forged[-1] ^= 0x55
            self._udp.sendto(forged, peer)
        self._after(how.delay, lambda: self._udp.sendto(answer, peer))

    def _on_connection(self):
        connection, _ = self._tcp.accept()
        connection.settimeout(5)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._on_tcp(connection))

    def _on_tcp(self, connection):
        try:
            size = connection.recv(2, socket.MSG_WAITALL)
            length = struct.unpack("!H", size)[0] if len(size) == 2 else 0
            packet = connection.recv(length, socket.MSG_WAITALL) if length else b""
        except OSError:
            packet = b""
        if not packet:
            self._selector.unregister(connection)
            connection.close()
            return
        found = self._answer(packet, "tcp")
        if found:
            self._after(found[0].delay, lambda: self._send(connection, found[1]))

    @staticmethod
    def _send(connection, answer):
        with contextlib.suppress(OSError):  # it has gone
            connection.sendall(struct.pack("!H", len(answer)) + answer)
