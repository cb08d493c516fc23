# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A raw BOSH client: the test decides which connection carries what and when.

  Endpoint   where a manager is: address, path, TLS or not
  Wire       one TCP or TLS connection: HTTP requests out, answers in
  Answer     one HTTP answer, its bytes kept, its <body/> parsed strictly
  Session    sid and rid, and the helpers a chat needs
"""
import base64
import os
import random
import select
import socket
import ssl
import time

import procfs
import strictxml
from strictxml import BIND, CLIENT, HTTPBIND, SASL, SESSION, STREAMS, XBOSH, escape
from waiting import PATIENCE, TooLate, until

TIMEOUT = 10.0


class Broken(Exception):
    """The connection ended before an answer was complete."""


class Endpoint:
    def __init__(self, port, path="/http-bind", tls=False, host="127.0.0.1"):
        self.port, self.path, self.tls, self.host = port, path, tls, host

    def but(self, **changes):
        return Endpoint(**{**self.__dict__, **changes})

    @property
    def url(self):
        return "%s://%s:%d%s" % ("https" if self.tls else "http", self.host, self.port, self.path)

    def wire(self):
        return Wire(self)


class Answer:
    def __init__(self, status, reason, version, headers, raw):
        self.status, self.reason, self.version = status, reason, version
        self.headers, self.raw = headers, raw
        self.arrived = time.monotonic()
        self._body = None

    def header(self, name):
        """The value of a header; all values joined if there are several."""
        found = [v for k, v in self.headers if k.lower() == name.lower()]
        return ", ".join(found) if found else None

    @property
    def body(self):
        if self._body is None:
            assert self.status == 200, "HTTP %d: %r" % (self.status, self.raw[:300])
            self._body = strictxml.parse_body(self.raw)
        return self._body

    @property
    def type(self):
        return self.body.get("type")

    @property
    def condition(self):
        return self.body.get("condition")

    @property
    def stanzas(self):
        return list(self.body)

    def texts(self):
        return [m.findtext("{%s}body" % CLIENT) for m in self.body
                if m.tag == "{%s}message" % CLIENT]

    def __repr__(self):
        return "<Answer %d %r>" % (self.status, self.raw[:500])


class Wire:
    def __init__(self, endpoint):
        self.endpoint = endpoint
        sock = socket.create_connection((endpoint.host, endpoint.port), TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client_port = sock.getsockname()[1]
        if endpoint.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.set_alpn_protocols(["http/1.1"])
            sock = context.wrap_socket(sock)
        self.sock = sock
        self._poll = select.poll()  # knows no limit of 1,024 descriptors
        self._poll.register(sock, select.POLLIN)
        self._buffer = b""

    def request(self, body, headers=(), method="POST", path=None, version="1.1"):
        """The bytes of an HTTP request."""
        lines = ["%s %s HTTP/%s" % (method, path or self.endpoint.path, version)]
        given = {k.lower() for k, _ in headers}
        if "host" not in given:
            lines.append("Host: %s:%d" % (self.endpoint.host, self.endpoint.port))
        if body is not None:
            if "content-type" not in given:
                lines.append("Content-Type: text/xml; charset=utf-8")
            if "content-length" not in given and "transfer-encoding" not in given:
                lines.append("Content-Length: %d" % len(body))
        lines += ["%s: %s" % h for h in headers]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")

    def send_raw(self, data):
        try:
            self.sock.sendall(data)
        except (ConnectionError, ssl.SSLError) as e:
            raise Broken(str(e)) from e

    def send(self, body, **how):
        self.send_raw(self.request(body, **how))

    def ask(self, body, timeout=TIMEOUT, **how):
        try:
            self.send(body, **how)
        except Broken:
            pass  # an answer may have come before the request was read to its end
        return self.answer(timeout)

    def _pull(self, seconds):
        """Reads what is there, waiting that long at most. False: closed. Records of
        TLS that carry no data, such as session tickets, count as nothing."""
        deadline = time.monotonic() + seconds
        while True:
            left = max(deadline - time.monotonic(), 0)
            if not (self.endpoint.tls and self.sock.pending()) \
                    and not self._poll.poll(left * 1000):
                return True
            self.sock.setblocking(False)
            try:
                data = self.sock.recv(65536)
            except (ssl.SSLWantReadError, BlockingIOError):
                continue
            except OSError:
                return False
            finally:
                self.sock.setblocking(True)
            self._buffer += data
            return bool(data)

    def has_input(self):
        return bool(self._buffer) or not self._pull(0) or bool(self._buffer)

    def wait_readable(self, seconds):
        """An answer (or the end) is there, or has come in that time."""
        if self._buffer or (hasattr(self.sock, "pending") and self.sock.pending()):
            return True
        return bool(select.select([self.sock], [], [], seconds)[0])

    def is_closed(self):
        """The server has closed its side (and nothing else is to be read)."""
        return not self._pull(0)

    def _more(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TooLate("no answer in time; so far %r" % self._buffer[:300])
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(65536)
        except (socket.timeout, TimeoutError):
            raise TooLate("no answer in time; so far %r" % self._buffer[:300])
        except OSError as e:
            raise Broken(str(e)) from e
        if not data:
            raise Broken("closed after %r" % self._buffer[:100])
        self._buffer += data

    def answer(self, timeout=TIMEOUT, head_only=False):
        """Reads one answer. Chunked coding and a missing length are taken as they
        come, for GET pages; tests of BOSH answers look at the headers."""
        deadline = time.monotonic() + timeout * PATIENCE
        while True:
            while b"\r\n\r\n" not in self._buffer:
                self._more(deadline)
            head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
            lines = head.decode("latin-1").split("\r\n")
            version, status, reason = (lines[0].split(" ", 2) + [""])[:3]
            if status != "100":
                break
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
        lengths = [int(v) for k, v in headers if k.lower() == "content-length"]
        chunked = any(k.lower() == "transfer-encoding" for k, v in headers)
        if head_only or status in ("204", "304"):
            raw = b""
        elif chunked:
            raw = self._chunks(deadline)
        elif lengths:
            while len(self._buffer) < lengths[0]:
                self._more(deadline)
            raw, self._buffer = self._buffer[:lengths[0]], self._buffer[lengths[0]:]
        else:
            raw = self._until_closed(deadline)
        return Answer(int(status), reason, version, headers, raw)

    def _until_closed(self, deadline):
        try:
            while True:
                self._more(deadline)
        except Broken:
            raw, self._buffer = self._buffer, b""
            return raw

    def _chunks(self, deadline):
        raw = b""
        while True:
            while b"\r\n" not in self._buffer:
                self._more(deadline)
            size, self._buffer = self._buffer.split(b"\r\n", 1)
            size = int(size.split(b";")[0], 16)
            while len(self._buffer) < size + 2:
                self._more(deadline)
            raw, self._buffer = raw + self._buffer[:size], self._buffer[size + 2:]
            if size == 0:
                return raw

    def silent(self, seconds):
        """Fails if the server says anything, or closes, during that time."""
        is_open = self._pull(seconds)
        assert is_open and not self._buffer, \
            "unexpected: %s" % (self._buffer or "the connection was closed")

    def held(self, seconds=0.05):
        """The server has read all that was sent, and says nothing to it."""
        until(lambda: procfs.has_read_all(self.endpoint.port, self.client_port), TIMEOUT,
              "the server to read a request")
        self.silent(seconds)

    def close(self):
        self.sock.close()

    def reset(self):
        procfs.reset(self.sock)

    def owner(self, candidates):
        """The process that serves this connection; None if it was not accepted."""
        return procfs.owner(self.endpoint.port, self.client_port, candidates)


def message(to, text, ident=None):
    return "<message to='%s' type='chat' xmlns='jabber:client'%s><body>%s</body></message>" % (
        escape(to), " id='%s'" % escape(ident) if ident else "", escape(text))


def first_rid():
    return random.SystemRandom().randrange(10 ** 9, 2 ** 50)


def body_bytes(payload="", **attrs):
    """A <body/> document. Attribute names: xmpp_version stands for xmpp:version,
    xml_lang for xml:lang; None leaves one out."""
    text = "<body xmlns='%s'" % HTTPBIND
    if any(k.startswith("xmpp_") for k in attrs):
        text += " xmlns:xmpp='%s'" % XBOSH
    for name, value in attrs.items():
        if value is not None:
            name = name.rstrip("_").replace("xmpp_", "xmpp:").replace("xml_", "xml:")
            text += " %s='%s'" % (name, escape(str(value)))
    payload = payload.encode() if isinstance(payload, str) else payload
    return text.encode() + b">" + payload + b"</body>"


class Session:
    """Up to two wires, used in turn as a browser would; wire= overrides that.

    `pending` are the requests without an answer, in the order of their rids:
    lists [rid, wire, bytes]. Lost connections are the test's business, unless
    `stubborn` is set: then a request whose connection broke is sent again, as
    real clients do it."""

    def __init__(self, endpoint, stubborn=False):
        self.endpoint, self.stubborn = endpoint, stubborn
        self.rid = first_rid()
        self.sid = None
        self.jid = None
        self.features = None
        self.wires = []
        self.pending = []
        self.inbox = []       # stanzas in the order of the rids they came with
        self.answers = []
        self.repeats = 0
        self.ended = None     # the terminate answer

    # ---- requests -------------------------------------------------------------------

    def next_rid(self):
        self.rid += 1
        return self.rid

    def bytes(self, payload="", **attrs):
        """The next request's bytes; takes a rid unless one is given."""
        if "rid" not in attrs:
            attrs["rid"] = self.next_rid()
        return body_bytes(payload, **{"sid": self.sid, **attrs})

    def free_wire(self):
        busy = [p[1] for p in self.pending]
        for wire in list(self.wires):
            if wire in busy:
                continue
            if wire.is_closed():
                self.drop(wire)
                continue
            return wire
        wire = self.endpoint.wire()
        self.wires.append(wire)
        return wire

    def drop(self, wire):
        wire.close()
        if wire in self.wires:
            self.wires.remove(wire)

    def post(self, payload="", wire=None, **attrs):
        """Sends the next request without waiting; returns its wire."""
        data = self.bytes(payload, **attrs)
        entry = [attrs.get("rid", self.rid), wire or self.free_wire(), data]
        self.pending.append(entry)
        self.pending.sort(key=lambda e: e[0])
        try:
            entry[1].send(data)
        except Broken:
            self._again(entry)
        return entry[1]

    def _again(self, entry):
        if not self.stubborn:
            raise
        while True:
            self.repeats += 1
            assert self.repeats < 200, "the connection breaks again and again"
            self.drop(entry[1])
            entry[1] = self.free_wire()
            try:
                entry[1].send(entry[2])
                return
            except Broken:
                pass

    def _answer_of(self, entry, deadline):
        """Meanwhile the newer requests' connections may break as well."""
        while self.stubborn and not entry[1].has_input():
            entry[1].wait_readable(0.1)  # of TLS perhaps only a session ticket
            for other in self.pending[1:]:
                if other[1].is_closed():
                    self._again(other)
            if time.monotonic() > deadline:
                break
        return entry[1].answer((deadline - time.monotonic()) / PATIENCE)

    def collect(self, timeout=TIMEOUT):
        """Waits for the answer of the oldest request; returns it."""
        deadline = time.monotonic() + timeout * PATIENCE
        while True:
            entry = self.pending[0]
            try:
                answer = self._answer_of(entry, deadline)
                break
            except Broken:
                if not self.stubborn:
                    raise
                self._again(entry)
        self.pending.pop(0)
        if answer.status >= 500 and self.stubborn:
            self.pending.insert(0, entry)
            time.sleep(0.05)
            self._again(entry)
            return self.collect(timeout)
        self._take(answer)
        return answer

    def _take(self, answer):
        self.answers.append(answer)
        self.inbox += answer.stanzas
        if answer.type == "terminate":
            self.ended = answer

    def ask(self, payload="", timeout=TIMEOUT, **attrs):
        """Sends the next request, and waits for its own answer."""
        self.post(payload, **attrs)
        while True:
            answer = self.collect(timeout)
            if not self.pending:
                return answer

    # ---- the life of a session --------------------------------------------------------

    def create(self, to, payload="", wait=60, hold=1, ver="1.11", wire=None, timeout=TIMEOUT,
               **attrs):
        attrs = {"rid": self.rid, "to": to, "wait": wait, "hold": hold, "ver": ver,
                 "xml_lang": "en", "xmpp_version": "1.0", **attrs}
        wire = wire or self.free_wire()
        answer = wire.ask(body_bytes(payload, **attrs), timeout)
        self.created = answer
        self.to = to
        self.sid = answer.body.get("sid")
        self._take(answer)
        return answer

    def open(self, to, **attrs):
        """Creates the session and has the stream features."""
        answer = self.create(to, **attrs)
        assert answer.type is None and self.sid, "no session: %r" % answer
        self.features = self.wait_stanza("{%s}features" % STREAMS)
        return self

    def receive(self, wanted, timeout=TIMEOUT):
        """Polls until `wanted(stanza)` is true for one of the inbox; takes and
        returns that one."""
        deadline = time.monotonic() + timeout * PATIENCE
        while True:
            for stanza in self.inbox:
                if wanted(stanza):
                    self.inbox.remove(stanza)
                    return stanza
            assert self.ended is None, "the session ended: %r" % self.ended
            if time.monotonic() > deadline:
                raise TooLate("the stanza waited for never came; inbox: %r" % self.inbox)
            if not self.pending:
                self.post()
            self.collect((deadline - time.monotonic()) / PATIENCE)

    def wait_stanza(self, tag, timeout=TIMEOUT):
        return self.receive(lambda s: s.tag == tag, timeout)

    def wait_message(self, text=None, timeout=TIMEOUT):
        """The next message with a body (of that text)."""
        def wanted(s):
            found = s.findtext("{%s}body" % CLIENT)
            return s.tag == "{%s}message" % CLIENT and found is not None \
                and (text is None or found == text)
        return self.receive(wanted, timeout)

    def iq(self, payload, ident, kind="set", timeout=TIMEOUT):
        self.post("<iq type='%s' id='%s' xmlns='jabber:client'>%s</iq>" % (kind, ident, payload))
        return self.receive(lambda s: s.tag == "{%s}iq" % CLIENT and s.get("id") == ident, timeout)

    def authenticate(self, user, password):
        """SASL PLAIN; returns the server's verdict, success or failure."""
        secret = base64.b64encode(("\0%s\0%s" % (user, password)).encode()).decode()
        self.post("<auth xmlns='%s' mechanism='PLAIN'>%s</auth>" % (SASL, secret))
        return self.receive(lambda s: s.tag.startswith("{%s}" % SASL))

    def restart(self):
        self.post(to=self.to, xml_lang="en", xmpp_restart="true")
        self.features = self.wait_stanza("{%s}features" % STREAMS)
        return self.features

    def bind(self, resource):
        result = self.iq("<bind xmlns='%s'><resource>%s</resource></bind>" % (BIND, resource),
                         "bind-1")
        assert result.get("type") == "result", "bind failed"
        self.jid = result.find("{%s}bind" % BIND).findtext("{%s}jid" % BIND)
        if self.features.find("{%s}session" % SESSION) is not None:
            self.iq("<session xmlns='%s'/>" % SESSION, "session-1")

    def login(self, to, user, password, resource=None, presence=True, **attrs):
        self.open(to, **attrs)
        verdict = self.authenticate(user, password)
        assert verdict.tag == "{%s}success" % SASL, "login refused: %s" % verdict.tag
        self.restart()
        self.bind(resource or "r%s" % os.urandom(3).hex())
        if presence:
            self.post("<presence xmlns='jabber:client'/>")
        return self

    def gather(self, count, *wires):
        """The texts of that many messages: from the answers on these wires, in turn, then
        from those of new requests. Which answer has which is the manager's choice, and a
        matter of speed."""
        texts, wires = [], list(wires)
        while len(texts) < count:
            answer = wires.pop(0).answer() if wires else self.ask()
            assert answer.type is None, answer
            texts += answer.texts()
        return texts

    def hold(self, wire=None):
        """Makes sure that a request is being held; returns its wire."""
        if not self.pending:
            self.post(wire=wire)
        return self.pending[-1][1]

    def send_message(self, to, text, ident=None, wire=None):
        return self.post(message(to, text, ident), wire=wire)

    def terminate(self, payload="<presence type='unavailable' xmlns='jabber:client'/>",
                  timeout=TIMEOUT):
        """Returns the answers of all requests that were open, oldest first."""
        self.post(payload, type="terminate")
        found = []
        while self.pending:
            found.append(self.collect(timeout))
        return found

    def close(self):
        for wire in list(self.wires) + [p[1] for p in self.pending]:
            wire.close()
        self.wires, self.pending = [], []
