# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Stands between browsers and httpd, changes nothing, and remembers the last answer on each
connection that its client closed, and those to requests of pages before the last one. A page that
goes may have left them unread: Strophe never asks again, so nobody but the relay can say whether
they were on their way."""
import asyncio
import itertools
import re
import threading
import time

from ports import free_ports

TEXT = re.compile(rb"<body>([^<]*)</body>")


class Wire:
    """A connection of a browser: its last answer, and how many pages had been loaded when that
    was asked for."""

    def __init__(self, number):
        self.number, self.answer, self.page = number, bytearray(), 0


class Relay:
    def __init__(self, target):
        self.target = target
        self.port, = free_ports(1)
        self.left = []      # answers
        self._open = []     # Wires
        self._pages = 0     # that were loaded
        self._events = []   # (time, number of the connection, what happened)
        self._numbers = itertools.count(1)
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()
        assert self._started.wait(10), "the relay does not start"
        return self

    def _run(self):
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda loop, context: None)
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", self.port))
        self._started.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    def stop(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def unread(self):
        """Texts of messages in answers that a page may not have read. A page that comes says
        that another has gone: that its browser has read an answer to the end does not say that
        it has."""
        answers = list(self.left) + [w.answer for w in list(self._open) if w.page < self._pages]
        return {text.decode() for answer in answers for text in TEXT.findall(bytes(answer))}

    def _note(self, number, what):
        self._events.append((time.monotonic(), number, what))

    def story(self, text, around=40):
        """What went on when this text passed, for a test that failed."""
        noise = re.compile(r" xmlns='[^']*'| type='chat'| xml:lang='en'|@[^']*| sid='[^']*'")
        found = [i for i, event in enumerate(self._events) if text.encode() in event[2]]
        if not found:
            return "%s was never seen here" % text
        first, last = max(found[0] - around, 0), found[-1] + around
        return "\n".join("%.4f %4d %s" % (at, number, noise.sub("", what.decode(errors="replace")))
                         for at, number, what in self._events[first:last])

    def _ask(self, wire, data):
        if data.startswith(b"GET "):
            self._pages += 1
        if wire.page < self._pages:
            self.left.append(bytes(wire.answer))
        wire.page = self._pages
        wire.answer.clear()
        self._note(wire.number, b"> " + data.partition(b"\r\n\r\n")[2])

    async def _serve(self, reader, writer):
        wire = Wire(next(self._numbers))
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._open.append(wire)
        try:
            await asyncio.gather(self._up(wire, reader, up_writer),
                                 self._down(wire, up_reader, writer))
        finally:
            self._open.remove(wire)
            writer.close()
            up_writer.close()

    async def _up(self, wire, reader, up_writer):
        try:
            while True:
                data = await reader.read(65536)
                if not data:
                    break
                self._ask(wire, data)
                up_writer.write(data)
        except OSError:
            pass
        self._note(wire.number, b"> closed")
        self.left.append(wire.answer)  # with what the server may still send: nobody reads it
        try:
            up_writer.write_eof()
        except (OSError, RuntimeError):
            pass

    async def _down(self, wire, up_reader, writer):
        try:
            while True:
                data = await up_reader.read(65536)
                if not data:
                    break
                wire.answer += data
                self._note(wire.number, b"< " + data.partition(b"\r\n\r\n")[2])
                if not writer.is_closing():
                    writer.write(data)
        except OSError:
            pass
        self._note(wire.number, b"< closed")
        writer.close()
