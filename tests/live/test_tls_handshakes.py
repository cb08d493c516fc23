# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Handshakes that come to no end: they have their time, and nobody else waits for it."""
import contextlib
import re
import select
import ssl
import time

import bosh
from oddservers import Neighbour
from waiting import PATIENCE

WORD = 5.0   # seconds that the connector gives a server for a handshake: secure.c
PACE = 0.1


class Slow:
    """For TlsFront.at: all that it says in the handshake comes in pieces of one byte, or never."""

    def __init__(self, is_silent):
        self.is_silent, self.said, self.lasted = is_silent, 0, None

    def __call__(self, stage, sock):
        if stage != "handshake":
            return False
        hello = sock.recv(65536)
        began = time.monotonic()
        words = b"" if self.is_silent else self.reply(hello)
        with contextlib.suppress(ConnectionError):
            while not select.select([sock], [], [], PACE)[0] or sock.recv(65536):
                sock.sendall(words[self.said:self.said + 1])
                self.said += 1
        self.lasted = time.monotonic() - began
        return True

    def reply(self, hello):
        said, heard = ssl.MemoryBIO(), ssl.MemoryBIO()
        heard.write(hello)
        try:
            self.front.context.wrap_bio(heard, said, server_side=True).do_handshake()
        except ssl.SSLWantReadError:
            pass
        return said.read()


def test_handshake_that_is_slow_or_silent_is_given_up_in_time(odd_world, new_session):
    slow = [Slow(is_silent) for is_silent in (False, True, False, True)]
    w = odd_world(*zip(["starttls", "starttls", "direct", "direct"], slow))
    neighbour = Neighbour(w, new_session)
    wires = [w.endpoint.wire() for _ in slow]
    for n, (s, wire) in enumerate(zip(slow, wires)):
        s.front = w.fronts[n]
        wire.send(bosh.body_bytes(rid=bosh.first_rid(), to=w.names[n], ver="1.11", wait="60",
                                  hold="1"))
    began = time.monotonic()
    while any(s.lasted is None for s in slow):
        neighbour.talk()
        assert time.monotonic() < began + 4 * WORD * PATIENCE
    for s, wire in zip(slow, wires):
        answer = wire.answer()
        assert (answer.type, answer.condition) == ("terminate", "remote-connection-failed")
        wire.close()
        assert WORD / 2 < s.lasted < WORD + 1.5 * PATIENCE
        assert s.is_silent or s.said > 20 / PATIENCE
    words = re.findall(r"BOSH1001: session \d+: \S+, the XMPP server of (\S+): it did not answer "
                       "in time", w.httpd.log_text())
    assert sorted(words) == w.names
    assert len(neighbour.took) > 20 and max(neighbour.took) < 1 * PATIENCE
