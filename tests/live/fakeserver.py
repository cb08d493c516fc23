# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A scripted XMPP server. It keeps every byte it was sent, and sends what a test
tells it to, in pieces of any size; it can fall silent, close and reset.

One server serves every domain; the stream header's `to` chooses the script:

  echo.*     PLAIN and ANONYMOUS logins (password "wrong" fails), bind, session;
             a message comes back to its sender. Also before a login.
  crumbs.*   the same, but everything is sent one byte at a time
  silent.*   accepts the connection and never says a word
  late.*     says nothing until the test calls connection.greet()
  shut.*     closes the connection after the stream header
  garbage.*  answers with something that is not XML
  puppet.*   says and answers nothing of its own accord: the test plays the server
"""
import asyncio
import base64
import ctypes
import itertools
import socket
import struct
import threading
import time

import strictxml
from ports import free_ports
from strictxml import BIND, CLIENT, SASL, SESSION, STREAMS, escape
from waiting import until

SO_ATTACH_FILTER = 26  # Linux; the module socket has no name for it

FEATURES_LOGIN = ("<stream:features><mechanisms xmlns='%s'><mechanism>PLAIN</mechanism>"
                  "<mechanism>ANONYMOUS</mechanism></mechanisms></stream:features>" % SASL)
FEATURES_BIND = ("<stream:features><bind xmlns='%s'/><session xmlns='%s'><optional/></session>"
                 "</stream:features>" % (BIND, SESSION))


class Connection(asyncio.Protocol):
    """One accepted connection. Methods may be called from the test's thread."""

    def __init__(self, server):
        self.server = server
        self.number = next(server.counter)
        self.received = bytearray()
        self.headers = []          # attributes of every stream header
        self.stanzas = []          # every child of the stream, in order
        self.told = []             # (text, when) of every message to the client, in order
        self.to = None
        self.user = None
        self.jid = None
        self.stream_closed = False  # </stream:stream> came
        self.gone = False           # the TCP connection ended
        self.not_xml = None         # what a strict parser found wrong
        self.authenticated = False
        self._reader = None

    # ---- asyncio side -------------------------------------------------------------

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP,
                                                      socket.TCP_NODELAY, 1)
        self._new_stream()
        with self.server.lock:
            self.server.connections.append(self)

    def connection_lost(self, exc):
        self.gone = True

    def data_received(self, data):
        self.received += data
        if self.not_xml:
            return
        try:
            self._reader.feed(data)
        except strictxml.NotXml as e:
            self.not_xml = e

    def _new_stream(self):
        self._reader = strictxml.Reader(self._opened, self._stanza, self._closed)

    def _opened(self, tag, attrs):
        if tag != "{%s}stream" % STREAMS:
            raise strictxml.NotXml("stream header is a %s" % tag)
        self.to = attrs.get("to", "")
        self.headers.append(attrs)
        script = self.to.split(".")[0]
        if script in ("silent", "late", "puppet"):
            return
        if script == "shut":
            self.transport.close()
        elif script == "garbage":
            self.transport.write(b"220 mail.example ESMTP ready\r\n")
        else:
            self.greet()

    def _closed(self):
        self.stream_closed = True
        if self.to.startswith("puppet."):
            return
        self._write("</stream:stream>")
        self.transport.close()

    def _stanza(self, tree):
        self.stanzas.append(tree)
        if self.to.startswith("puppet.") or tree.get("type") == "error":
            return
        answer = {"{%s}auth" % SASL: self._auth, "{%s}iq" % CLIENT: self._iq,
                  "{%s}message" % CLIENT: self._message}.get(tree.tag)
        if answer:
            answer(tree)

    def _auth(self, tree):
        parts = base64.b64decode(tree.text or "").split(b"\0")
        self.user = parts[1].decode() if len(parts) == 3 else "guest%d" % self.number
        if parts[-1] == b"wrong":
            self._write("<failure xmlns='%s'><not-authorized/></failure>" % SASL)
            return
        self.authenticated = True
        self._write("<success xmlns='%s'/>" % SASL)
        self._new_stream()

    def _iq(self, tree):
        payload = ""
        bind = tree.find("{%s}bind" % BIND)
        if bind is not None:
            resource = bind.findtext("{%s}resource" % BIND) or "r%d" % self.number
            self.jid = "%s@%s/%s" % (self.user or "nobody", self.to, resource)
            payload = "<bind xmlns='%s'><jid>%s</jid></bind>" % (BIND, escape(self.jid))
        if tree.get("type") in ("get", "set"):
            self._write("<iq type='result' id='%s'>%s</iq>"
                        % (escape(tree.get("id", "")), payload))

    def _message(self, tree):
        if tree.get("type") == "error":
            return  # nothing answers an error
        self._tell(tree.findtext("{%s}body" % CLIENT) or "", tree.get("id", ""))

    def _tell(self, text, ident):
        self.told.append((text, time.monotonic()))
        self._write("<message from='%s' id='%s' type='chat'><body>%s</body></message>"
                    % (escape(self.to), escape(ident), escape(text)))

    def _write(self, text):
        data = text.encode()
        if self.to and self.to.startswith("crumbs."):
            asyncio.get_running_loop().create_task(self._crumble(data))
        elif not self.transport.is_closing():
            self.transport.write(data)

    async def _crumble(self, data):
        async with self.server.crumb_lock:
            for i in range(len(data)):
                self.transport.write(data[i:i + 1])
                await asyncio.sleep(0)

    def header(self):
        return ("<?xml version='1.0'?><stream:stream xmlns='%s' xmlns:stream='%s' "
                "from='%s' id='stream-%d-%d' version='1.0'>"
                % (CLIENT, STREAMS, escape(self.to), self.number, len(self.headers)))

    def greet(self):
        """Stream header and features, as suits the state of this stream."""
        self._on_loop(self._write, self.header()
                      + (FEATURES_BIND if self.authenticated else FEATURES_LOGIN))

    # ---- the test's side ------------------------------------------------------------

    def _on_loop(self, function, *args):
        if threading.current_thread() is self.server.thread:
            function(*args)
        else:
            self.server.loop.call_soon_threadsafe(function, *args)

    def send(self, data):
        self._on_loop(self.transport.write, data.encode() if isinstance(data, str) else data)

    def push(self, text, ident="push"):
        """A message to the client, of the server's own accord."""
        self._on_loop(self._tell, text, ident)

    def send_pieces(self, pieces, pause=0.002, wait=True):
        """One after the other, so far apart that each is read for itself; returns when
        the last one is out, or at once."""
        done = threading.Event()

        async def act():
            for piece in pieces:
                if not self.transport.is_closing():
                    self.transport.write(piece)
                await asyncio.sleep(pause)
            done.set()
        self.server.loop.call_soon_threadsafe(lambda: self.server.loop.create_task(act()))
        assert not wait or done.wait(30), "the pieces are not sent"

    def new_stream(self):
        """A puppet expects another stream header on this connection."""
        self._on_loop(self._new_stream)

    def close(self):
        self._on_loop(self.transport.close)

    def half_close(self):
        """It says nothing more, and goes on reading."""
        self._on_loop(self.transport.write_eof)

    def fall_silent(self):
        """As if the machine were gone: what comes is dropped by the kernel, and not acknowledged.
        A classic BPF program that keeps no byte of any packet."""
        program = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # return 0
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                        struct.pack("HP", 1, ctypes.addressof(program)))

    def reset(self):
        self._on_loop(self._reset)

    def _reset(self):
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.transport.abort()

    def stop_reading(self):
        self._on_loop(self.transport.pause_reading)

    def go_on_reading(self):
        self._on_loop(self.transport.resume_reading)

    def wait_stanza(self, tag, seconds=5):
        """The first one of that tag; it is forgotten."""
        found = until(lambda: [s for s in self.stanzas if s.tag == tag], seconds,
                      "the server to receive a %s" % tag)[0]
        self.stanzas.remove(found)
        return found

    def wait_headers(self, count, seconds=5):
        until(lambda: len(self.headers) == count, seconds, "%d stream headers" % count)

    def wait_closing_tag(self, seconds=5):
        until(lambda: self.stream_closed, seconds, "the closing tag")

    def bodies(self):
        """The texts of all messages received, in order; errors are the manager's own."""
        return [t.findtext("{%s}body" % CLIENT) for t in list(self.stanzas)
                if t.tag == "{%s}message" % CLIENT and t.get("type") != "error"]

    def wait_bodies(self, *texts, seconds=5):
        until(lambda: len(self.bodies()) >= len(texts), seconds,
              "the server to receive %r; it has %r" % (texts, self.bodies()))
        assert self.bodies() == list(texts)

    def wait_ended(self, seconds=5):
        until(lambda: self.gone, seconds, "the XMPP connection to end")


class FakeServer:
    def __init__(self):
        self.connections = []
        self.lock = threading.Lock()
        self.counter = itertools.count(1)
        self.port = free_ports(1)[0]
        self._started = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    @property
    def address(self):
        return "xmpp://127.0.0.1:%d" % self.port

    def start(self):
        self.thread.start()
        assert self._started.wait(10), "the scripted server does not start"
        return self

    def _run(self):
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.crumb_lock = asyncio.Lock()
        self.loop.run_until_complete(self._listen())
        self._started.set()
        self.loop.run_forever()
        self.listening.close()
        for connection in self.connections:
            connection.transport.abort()
        self.loop.run_until_complete(asyncio.sleep(0.01))
        self.loop.close()

    async def _listen(self):
        self.listening = await self.loop.create_server(
            lambda: Connection(self), "127.0.0.1", self.port, backlog=2048)

    def crash(self):
        """As if its process were killed: every connection is reset, nobody listens."""
        def act():
            self.listening.close()
            for connection in self.connections:
                if not connection.gone:
                    connection._reset()
            done.set()
        done = threading.Event()
        self.loop.call_soon_threadsafe(act)
        assert done.wait(10), "the scripted server does not crash"

    def begin_anew(self):
        """After crash()."""
        asyncio.run_coroutine_threadsafe(self._listen(), self.loop).result(10)

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    def mark(self):
        """Forgets the connections so far; connection() sees later ones only."""
        with self.lock:
            self.connections = [c for c in self.connections if not c.gone]
            self._mark = len(self.connections)

    def since_mark(self):
        with self.lock:
            return self.connections[self._mark:]

    def connection(self, seconds=5):
        """The first connection since mark(), once its stream header arrived."""
        return until(lambda: [c for c in self.since_mark() if c.to is not None], seconds,
                     "an XMPP stream to be opened")[0]
