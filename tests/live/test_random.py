# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Clients that do at random all that real ones do: poll, send, send out of order, hang
up in the middle, repeat. Whatever they do, every message comes back once, in order."""
import random
import time

import pytest

import bosh
import procfs
import seeds
from bosh import message
from waiting import PATIENCE, until


class Restless:
    """A stubborn session with the echo server, driven by one random generator."""

    def __init__(self, endpoint, dice):
        self.endpoint, self.dice = endpoint, dice
        self.session = bosh.Session(endpoint, stubborn=True).open("echo.fake")
        self.sent, self.seen, self.left_behind = 0, [], []

    def _text(self):
        self.sent += 1
        return "n%d" % (self.sent - 1)

    def _request(self):
        """[rid, no wire yet, bytes]: empty, or with one to three messages."""
        payload = "".join(message("echo.fake", self._text())
                          for _ in range(self.dice.choice((0, 1, 1, 3))))
        return [None, None, self.session.bytes(payload)]

    def _post(self, entry):
        entry[0] = entry[0] or self.session.rid
        entry[1] = self.session.free_wire()
        if entry not in self.session.pending:
            self.session.pending.append(entry)
            self.session.pending.sort(key=lambda e: e[0])
        try:
            entry[1].send(entry[2])
        except bosh.Broken:
            self.session._again(entry)

    def send(self):
        if len(self.session.pending) < 2:
            self._post(self._request())

    def send_backwards(self):
        if self.session.pending:
            return
        first = self._request()
        first[0] = self.session.rid
        second = self._request()
        second[0] = self.session.rid
        self._post(second)
        if self.dice.random() < 0.5:
            time.sleep(0.005)
        self._post(first)

    def hang_up(self):
        """Loses all connections, then repeats what has no answer."""
        ports = [entry[1].client_port for entry in self.session.pending]
        for entry in self.session.pending:
            wire = entry[1]
            if wire in self.session.wires:
                self.session.wires.remove(wire)
            procfs.reset(wire.sock) if self.dice.random() < 0.5 else wire.close()
        if self.dice.random() < 0.5:
            time.sleep(self.dice.random() * 0.02)
        for entry in self.session.pending:
            self._post(entry)
        self._settle(ports)

    def _settle(self, ports):
        """No copy of a request may be under way when its rid has left the window: a
        manager has to refuse it then, and that is not what is tried here."""
        until(lambda: all(procfs.server_side(self.endpoint.port, p) is None for p in ports), 5,
              "the server to see that its client is gone", every=0.001)

    def repeat(self):
        """Another copy of a request that is being waited for."""
        if not self.session.pending:
            return
        entry = self.dice.choice(self.session.pending)
        old = entry[1]
        self.session.wires.remove(old)
        self.left_behind.append(old)
        self._post(entry)
        until(lambda: old.has_input() or entry[1].has_input(), 5,
              "one of the copies to get the answer or an error", every=0.001)

    def _take_oldest(self):
        """One answer. The copies of a repeated request may have overtaken each other;
        whoever holds the wrong one gets a recoverable error, and asks again."""
        entry = self.session.pending[0]
        answer = self.session.collect()
        if answer.type == "error":
            self._post(entry)
            return
        assert answer.type is None, answer
        self.seen += answer.texts()

    def collect(self):
        while self.session.pending and self.session.pending[0][1].has_input():
            self._take_oldest()

    def act(self):
        self.dice.choice((self.send, self.send, self.send, self.send_backwards, self.hang_up,
                          self.repeat, self.collect, self.collect))()

    def finish(self):
        deadline = time.monotonic() + 20 * PATIENCE
        while len(self.seen) < self.sent:
            assert time.monotonic() < deadline, "%d of %d came back" % (len(self.seen), self.sent)
            self.session.hold()
            self._take_oldest()

    def close(self):
        for wire in self.left_behind:
            wire.close()
        self.session.close()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_whatever_clients_do_every_message_comes_back_once_in_order(make_httpd, fake, tls):
    seed = seeds.choose()
    server = make_httpd(servers=2, server_limit=2, threads=10, async_factor=60)
    endpoint = bosh.Endpoint(server.tls_port if tls else server.port, tls=tls)
    clients = [Restless(endpoint, random.Random(seed + n)) for n in range(6)]
    try:
        started = time.monotonic()
        while time.monotonic() < started + 8 \
                or sum(c.sent for c in clients) <= 100 and time.monotonic() < started + 60:
            for client in clients:
                client.act()
        for client in clients:
            client.finish()
            assert client.seen == ["n%d" % n for n in range(client.sent)]
    finally:
        for client in clients:
            client.close()
    assert sum(c.sent for c in clients) > 100
    for connection in fake.since_mark():
        assert connection.not_xml is None
