# Licensed under the Apache License, Version 2.0; see LICENSE.
"""More than anybody reads, in TLS: from the server, and from the client. What cannot be kept is
held back, and nothing of it is lost; and whoever shares the connector with it has his turn."""
import itertools
import re
import statistics
import threading
import time

import bosh
import procfs
from httpd import ASAN
from oddservers import Neighbour, greet, read_until
from play import texts
from waiting import PATIENCE, until

# That a connector may grow by; in KiB. A page of those systems that have huge ones is 2 MiB.
BOUND = 4096


def wait_until_constant(value, seconds=0.5):
    """It has stayed the same for so long."""
    kept, since = value(), time.monotonic()
    while time.monotonic() < since + seconds:
        now = value()
        if now != kept:
            kept, since = now, time.monotonic()
        time.sleep(0.02)
    return kept


# ---- more than anybody reads -------------------------------------------------------------------

TEXT = "m" * 2000
BATCH = 100


class Flood:
    """For TlsFront.at: says so many messages, until it is told to come to an end."""

    def __init__(self, count):
        self.count, self.sent, self.is_over = count, 0, threading.Event()

    def __call__(self, stage, sock):
        if stage != "secured":
            return False
        greet(sock)
        while self.sent < self.count and not self.is_over.is_set():
            sock.sendall("".join(
                "<message from='a@b'><body>%d %s</body></message>" % (n, TEXT)
                for n in range(self.sent, self.sent + BATCH)).encode())
            self.sent += BATCH
        sock.sendall(b"<message from='a@b'><body>over</body></message>")
        read_until(sock, b"</stream:stream>")
        return True


def test_flood_that_nobody_reads_is_stopped_and_nothing_of_it_is_lost(odd_world, new_session):
    """The session's queue is in shared memory. The connector itself has what it read last, which
    is one record, and a stanza that has not ended: 1 MiB if that were one of the largest."""
    flood = Flood(100000)  # 200 MB
    w = odd_world(("direct", flood))
    neighbour = Neighbour(w, new_session)
    neighbour.talk()
    connector = w.httpd.connector()
    before = procfs.rss_kib(connector, "RssAnon")
    session = new_session(w.endpoint).open(w.names[0])
    until(lambda: flood.sent > 0, 10, "the flood")
    sent = wait_until_constant(lambda: flood.sent)
    grown = procfs.rss_kib(connector, "RssAnon") - before
    print("%d messages sent, the connector grew by %d KiB" % (sent, grown))
    assert grown < BOUND or ASAN, "the connector grew by %d KiB" % grown
    assert sent < flood.count / 2
    neighbour.talk()
    flood.is_over.set()
    while texts(session.answers)[-1:] != ["over"]:
        session.ask()
        assert session.ended is None
    seen = texts(session.answers)
    assert seen[-1] == "over" and len(seen) == flood.sent + 1
    assert all(seen[n] == "%d %s" % (n, TEXT) for n in range(flood.sent))


# ---- more than the server reads ----------------------------------------------------------------

SIZE = 50000


class Deaf:
    """For TlsFront.at: reads nothing until it is told to; then up to the last message. It stays
    until the other side goes, or else that may be the answer to the last message."""

    def __init__(self):
        self.hears, self.is_done, self.numbers = threading.Event(), threading.Event(), []

    def __call__(self, stage, sock):
        if stage != "secured":
            return False
        greet(sock)
        self.hears.wait()
        said = read_until(sock, b"over</body>")
        self.numbers = [int(n) for n in re.findall(rb"<body>(\d+) m{%d}</body>" % SIZE, said)]
        self.is_done.set()
        read_until(sock, b"</stream:stream>")
        return True


def say(session, text):
    """The status of the answer; what is refused can be said again."""
    wire = session.endpoint.wire()
    answer = wire.ask(session.bytes(bosh.message("a@b", text)))
    wire.close()
    if answer.status == 503:
        assert answer.header("Retry-After") == "1"
        session.rid -= 1
    else:
        assert answer.type is None, answer
    return answer.status


def test_server_that_does_not_read_holds_its_client_back(odd_world, new_session):
    """1 MiB waits in shared memory; the connector has 64 KiB that it took from there, and the
    record that they are sent in. More than that is told to come again."""
    deaf = Deaf()
    w = odd_world(("direct", deaf))
    neighbour = Neighbour(w, new_session)
    neighbour.talk()
    session = new_session(w.endpoint).open(w.names[0], wait=0)
    connector = w.httpd.connector()
    before = procfs.rss_kib(connector, "RssAnon")
    words = ("%d %s" % (n, "m" * SIZE) for n in itertools.count())
    said, refused, text = 0, 0, next(words)
    while refused < 5:
        assert said < 1000, "50 MB, and nobody reads them"
        if say(session, text) == 200:
            said, refused, text = said + 1, 0, next(words)
        else:
            refused += 1
            neighbour.talk()
    grown = procfs.rss_kib(connector, "RssAnon") - before
    print("%d messages taken, the connector grew by %d KiB" % (said, grown))
    assert grown < BOUND or ASAN, "the connector grew by %d KiB" % grown
    deaf.hears.set()
    for _ in range(20):
        until(lambda: say(session, text) == 200, 10, "a message to be taken")
        said, text = said + 1, next(words)
    until(lambda: say(session, "over") == 200, 10, "a message to be taken")
    assert deaf.is_done.wait(20 * PATIENCE)
    assert deaf.numbers == list(range(said))


# ---- neighbours --------------------------------------------------------------------------------

TRIPS = 100


class Consumer(threading.Thread):
    """As fast as one connection can; it looks at nothing but sizes, and for the end."""

    def __init__(self, session):
        super().__init__(daemon=True)
        self.session, self.bytes, self.is_over = session, 0, False

    def run(self):
        wire = self.session.endpoint.wire()
        while not self.is_over:
            answer = wire.ask(self.session.bytes())
            assert answer.status == 200 and b"terminate" not in answer.raw[:200]
            self.bytes += len(answer.raw)
            self.is_over = b">over<" in answer.raw[-200:]
        wire.close()


def words_for(took):
    return "median %.1f ms, at worst %.0f ms" % (1000 * statistics.median(took), 1000 * max(took))


def test_neighbour_of_a_flood_has_its_turn(odd_world, new_session):
    flood = Flood(10 ** 9)
    w = odd_world(("direct", flood))
    neighbour = Neighbour(w, new_session)
    neighbour.talk(TRIPS)
    alone, neighbour.took = neighbour.took, []
    consumer = Consumer(new_session(w.endpoint).open(w.names[0]))
    consumer.start()
    until(lambda: consumer.bytes > 10 ** 6, 10, "the flood")
    before, began = consumer.bytes, time.monotonic()
    neighbour.talk(TRIPS)
    rate = (consumer.bytes - before) / (time.monotonic() - began) / 1e6
    flood.is_over.set()
    consumer.join(20 * PATIENCE)
    words = "%s beside %.0f MB/s; alone %s" % (words_for(neighbour.took), rate, words_for(alone))
    print(words)
    assert rate > 1 / PATIENCE, words
    assert max(neighbour.took) < 1 * PATIENCE, words
    assert consumer.is_over
