# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Clients that talk all the time while a test does its worst to httpd. Each numbers its
messages to a server that echoes them, sends again whatever was cut off or told to come
later, and in the end both sides must have every number once and in order. Anything that a
client of a living session must not see fails at once: a status of 4xx, an end."""
import threading
import time

import procfs
from bosh import Endpoint
from strictxml import CLIENT


class Patient(Endpoint):
    """Connects again when a restart cuts that off: a handshake takes its time."""

    def wire(self):
        for _ in range(50):
            try:
                return super().wire()
            except OSError:
                time.sleep(0.1)
        return super().wire()


class Talker(threading.Thread):
    def __init__(self, session, connection, pause):
        super().__init__(daemon=True)
        self.session, self.connection, self.pause = session, connection, pause
        self.sent, self.seen = 0, []
        self.enough = threading.Event()
        self.failure = None

    def run(self):
        try:
            while not self.enough.is_set():
                self._say()
                time.sleep(self.pause)
            self._settle()
        except BaseException as e:  # shown by the test's thread
            self.failure = "%r; sent %d, seen %d, open %r" % (
                e, self.sent, len(self.seen),
                [(rid, wire.client_port, wire.is_closed(), self._read_all(wire))
                 for rid, wire, _ in self.session.pending])

    def _read_all(self, wire):
        return procfs.has_read_all(self.session.endpoint.port, wire.client_port)

    def _say(self):
        self.session.repeats = 0  # no limit to what a test does
        self.session.send_message("echo.fake", "number %d" % self.sent)
        self.sent += 1
        while len(self.session.pending) > 1:
            self._collect()

    def _settle(self):
        while len(self.seen) < self.sent:
            self.session.hold()
            self._collect()

    def _collect(self):
        self.session.repeats = 0
        self.session.collect(30)
        assert self.session.ended is None, "the session ended: %r" % self.session.ended
        for stanza in self.session.inbox:
            text = stanza.findtext("{%s}body" % CLIENT)
            if text is not None:
                self.seen.append(int(text.split()[1]))
        self.session.inbox = []

    def check(self):
        assert self.failure is None, self.failure
        assert self.seen == list(range(self.sent)), "lost, doubled or out of order: %r" % self.seen
        assert self.connection.bodies() == ["number %d" % n for n in range(self.sent)]


class Talkers:
    """with Talkers(sessions at the endpoints in turn): … then all of them are checked."""

    def __init__(self, fake, new_session, endpoints, count, pause=0.02, **terms):
        self.all = []
        for n in range(count):
            fake.mark()
            endpoint = Patient(**vars(endpoints[n % len(endpoints)]))
            session = new_session(endpoint, stubborn=True)
            session.open("echo.fake", **terms)
            self.all.append(Talker(session, fake.connection(), pause))

    def __enter__(self):
        for talker in self.all:
            talker.start()
        return self

    def __exit__(self, kind, value, trace):
        for talker in self.all:
            talker.enough.set()
        for talker in self.all:
            talker.join(120)
        if kind is None:
            for talker in self.all:
                assert not talker.is_alive(), "a client still waits"
                talker.check()

    def sent(self):
        return sum(t.sent for t in self.all)
