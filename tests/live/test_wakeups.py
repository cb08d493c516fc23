# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Stanzas that come at the very moment in which a request is parked: none waits for `wait`
to be over, whatever process learns of it first.

BOSH_TRIALS=N tries more often."""
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import bosh
import seeds
from lines import Plain, Secure
from strictxml import CLIENT, parse_body
from waiting import until

TRIALS = int(os.environ.get("BOSH_TRIALS") or 6000)
TABLES = 6


class Table:
    """A session, its server, and connections to all children that are kept alive."""

    def __init__(self, server, way, fake, number):
        self.way = way
        endpoint = bosh.Endpoint(server.tls_port if way.is_tls else server.port, tls=way.is_tls)
        self.session = bosh.Session(endpoint)
        name = "w%d@echo.fake" % number
        self.session.open("echo.fake", from_=name)
        self.session.close()
        self.server = until(lambda: [c for c in fake.since_mark() if c.headers
                                     and c.headers[0].get("from") == name], 10, name)[0]
        self.lines = [way.open() for _ in range(4)]

    def ask(self, line, text, delay):
        """A poll and a push that meet; who is first is chance."""
        data = self.way.frame(self.session.bytes())
        line.raw = b""
        if delay < 0:
            self.server.push(text)
            time.sleep(-delay)
        line.put(data)
        if delay >= 0:
            time.sleep(delay)
            self.server.push(text)
        body = parse_body(line.take().bodies[0])
        return [m.findtext("{%s}body" % CLIENT) for m in body]

    def play(self, number, count, dice):
        for n in range(count):
            text = "%d-%d" % (number, n)
            delay = dice.choice((0, 0, dice.uniform(-0.001, 0.001)))
            assert self.ask(dice.choice(self.lines), text, delay) == [text]
        for line in self.lines:
            line.cut(True)
        self.server.reset()


@pytest.mark.parametrize("way", [Plain, Secure])
def test_no_stanza_waits_that_meets_its_request(make_httpd, fake, way):
    """BoshWait is 60 seconds: a wake-up that is lost fails by time."""
    server = make_httpd(servers=3, server_limit=4, threads=8, async_factor=40,
                        log_level="notice bosh:info")
    seeds_of = random.Random(seeds.choose())
    where = way(server.tls_port if way.is_tls else server.port)
    tables = [Table(server, where, fake, n) for n in range(TABLES)]
    with ThreadPoolExecutor(TABLES) as pool:
        for done in [pool.submit(t.play, n, TRIALS // TABLES, random.Random(seeds_of.random()))
                     for n, t in enumerate(tables)]:
            done.result()
