# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Connections to httpd that a client cuts at any byte, of what it sends or of what comes.

  Plain      HTTP/1.1; Chunked and Expecting send their bodies another way
  Secure     the same over TLS
  Http2      HTTP/2 without TLS, as far as one request needs it

A way frames a request and opens lines; a line puts bytes, takes answers, and is cut."""
import re
import socket
import ssl
import struct

import procfs
from waiting import PATIENCE

TIMEOUT = 20.0
DATE = re.compile(rb"(?<=\r\nDate: ).{1,29}")


class Taken:
    """raw: all that was read. bodies: those of the answers that were read whole."""

    def __init__(self, raw, bodies):
        self.raw, self.bodies = raw, bodies

    def same(self, count):
        """What must be the same when the same is asked again, of so many bytes."""
        return DATE.sub(lambda m: b"x" * len(m.group()), self.raw)[:count]


class Plain:
    is_tls = False

    def __init__(self, port, window=None):
        self.port, self.window = port, window

    def head(self, *lines):
        return b"\r\n".join((b"POST /http-bind HTTP/1.1", b"Host: a") + lines) + b"\r\n\r\n"

    def frame(self, body):
        return self.head(b"Content-Length: %d" % len(body)) + body

    def open(self):
        return Line(self)


class Chunked(Plain):
    def frame(self, body):
        cut = len(body) // 2
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (body[:cut], body[cut:], b""))
        return self.head(b"Transfer-Encoding: chunked") + chunks


class Expecting(Plain):
    def frame(self, body):
        return self.head(b"Content-Length: %d" % len(body), b"Expect: 100-continue") + body

    def open(self):
        return ExpectingLine(self)


class Secure(Plain):
    is_tls = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    def open(self):
        return SecureLine(self)


class Http2(Plain):
    def frame(self, body):
        def name(text):
            return struct.pack("B", len(text)) + text

        def header(key, value):
            return b"\0" + name(key) + name(value)  # neither indexed nor compressed

        fields = header(b":method", b"POST") + header(b":scheme", b"http") \
            + header(b":path", b"/http-bind") + header(b":authority", b"a")
        return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + http2(4, 0, 0, b"") \
            + http2(1, 4, 1, fields) + http2(0, 1, 1, body)

    def open(self):
        return Http2Line(self)


def http2(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class Line:
    def __init__(self, way):
        self.sock = socket.socket()
        if way.window:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, way.window)
        self.sock.settimeout(TIMEOUT * PATIENCE)
        self.sock.connect(("127.0.0.1", way.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.raw = b""

    def put(self, data, most=None):
        self.sock.sendall(data[:most])

    def cut(self, reset):
        if reset:
            procfs.reset(self.sock)
        else:
            self.sock.close()

    def _more(self, most):
        data = self.sock.recv(65536 if most is None else most - len(self.raw))
        assert data, "closed after %r" % self.raw[-300:]
        self.raw += data

    def take(self, answers=1, most=None):
        """So many answers, or so many bytes, if they are fewer."""
        while most is None or len(self.raw) < most:
            bodies = self.bodies()
            if len(bodies) >= answers:
                break
            self._more(most)
        return Taken(self.raw, self.bodies())

    def bodies(self):
        found, rest = [], self.raw
        while b"\r\n\r\n" in rest:
            head, rest = rest.split(b"\r\n\r\n", 1)
            if head.startswith(b"HTTP/1.1 100"):
                continue
            assert head.startswith(b"HTTP/1.1 200 OK"), head
            length = int(re.search(rb"(?i)\r\ncontent-length: (\d+)", head).group(1))
            if len(rest) < length:
                break
            found.append(rest[:length])
            rest = rest[length:]
        return found


class ExpectingLine(Line):
    def put(self, data, most=None):
        head = data.index(b"\r\n\r\n") + 4
        self.sock.sendall(data[:head if most is None else min(head, most)])
        if most is not None and most <= head:
            return
        while b"\r\n\r\n" not in self.raw:
            self._more(None)
        assert self.raw == b"HTTP/1.1 100 Continue\r\n\r\n", self.raw
        self.raw = b""
        self.sock.sendall(data[head:most])


class SecureLine(Line):
    """What is put is one record, or the beginning of one: bytes are counted below TLS."""

    def __init__(self, way):
        super().__init__(way)
        self.inside, self.outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = way.context.wrap_bio(self.inside, self.outside)
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.sock.sendall(self.outside.read())
                self.inside.write(self.sock.recv(65536))

    def put(self, data, most=None):
        self.tls.write(data)
        self.sock.sendall(self.outside.read()[:most])

    def _more(self, most):
        while True:
            try:
                self.raw += self.tls.read(65536 if most is None else most - len(self.raw))
                return
            except ssl.SSLWantReadError:
                data = self.sock.recv(65536)
                assert data, "closed after %r" % self.raw[-300:]
                self.inside.write(data)


class Http2Line(Line):
    def bodies(self):
        rest, body = self.raw, b""
        while len(rest) >= 9:
            length = struct.unpack(">I", b"\0" + rest[:3])[0]
            if len(rest) < 9 + length:
                break
            kind, flags, stream = struct.unpack(">BBI", rest[3:9])
            if kind == 0 and stream == 1:
                body += rest[9:9 + length]
            assert kind not in (3, 7), "reset, or gone away: %r" % rest[:9 + length]
            if kind <= 1 and stream == 1 and flags & 1:
                return [body]
            rest = rest[9 + length:]
        return []
