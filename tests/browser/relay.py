# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Stands between browsers and httpd, changes nothing, and remembers the last answer on each
connection that its client closed, or had open when it loaded a page. A page that goes may have left that one unread: Strophe
never asks again, so nobody but the relay can say whether it was on its way."""
import asyncio
import itertools
import re
import threading
import time

from ports import free_ports

TEXT = re.compile(rb"<body>([^<]*)</body>")


class Relay:
    def __init__(self, target):
        self.target = target
        self.port, = free_ports(1)
        self.left = []      # bytes of last answers
        self._open = []     # bytes of last answers on connections that are open
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
        """Texts of messages in answers that a client may not have read."""
        return {text.decode() for data in list(self.left) for text in TEXT.findall(data)}

    def _note(self, number, what):
        self._events.append((time.monotonic(), number, what))

    def story(self, text, around=15):
        """What went on when this text passed, for a test that failed."""
        noise = re.compile(r" xmlns='[^']*'| type='chat'| xml:lang='en'|@[^']*| sid='[^']*'")
        found = [i for i, event in enumerate(self._events) if text.encode() in event[2]]
        if not found:
            return "%s was never seen here" % text
        first, last = max(found[0] - around, 0), found[-1] + around
        return "\n".join("%.4f %4d %s" % (at, number, noise.sub("", what.decode(errors="replace")))
                         for at, number, what in self._events[first:last])

    async def _serve(self, reader, writer):
        number = next(self._numbers)
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        last = bytearray()
        self._open.append(last)
        try:
            await asyncio.gather(self._up(number, reader, up_writer, last),
                                 self._down(number, up_reader, writer, last))
        finally:
            self._open.remove(last)
            writer.close()
            up_writer.close()

    async def _up(self, number, reader, up_writer, last):
        try:
            while True:
                data = await reader.read(65536)
                if not data:
                    break
                if data.startswith(b"GET "):
                    # A page comes, another has gone: that a browser has read an answer to its
                    # end does not say that the page has.
                    self.left += [bytes(answer) for answer in self._open]
                last.clear()
                self._note(number, b"> " + data.partition(b"\r\n\r\n")[2])
                up_writer.write(data)
        except OSError:
            pass
        self._note(number, b"> closed")
        # What the server still sends on this connection nobody reads.
        self.left.append(last)
        try:
            up_writer.write_eof()
        except (OSError, RuntimeError):
            pass

    async def _down(self, number, up_reader, writer, last):
        try:
            while True:
                data = await up_reader.read(65536)
                if not data:
                    break
                last += data
                self._note(number, b"< " + data.partition(b"\r\n\r\n")[2])
                if not writer.is_closing():
                    writer.write(data)
        except OSError:
            pass
        self._note(number, b"< closed")
        writer.close()
