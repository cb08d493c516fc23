# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Random clients against a reference model, through an httpd with several children.

BOSH_SEED=N reruns what a failure printed; BOSH_MODEL_SECONDS=N plays longer."""
import os
import random
import time

import pytest

import bosh
import seeds
from player import Player, explain

SECONDS = float(os.environ.get("BOSH_MODEL_SECONDS") or 8)
PLAYERS = 6
LIFE = (20, 150)    # actions of a session
EXTRA = "BoshHold 2\nBoshPolling 0"  # who polls asks whenever the dice say


class Table:
    """Players who come and go."""

    def __init__(self, server, fake, seed, tls, restarts):
        self.endpoints = [bosh.Endpoint(server.port)]
        if tls:
            self.endpoints = [bosh.Endpoint(server.tls_port, tls=True)]
        self.fake, self.seeds = fake, random.Random(seed)
        self.players, self.restarts = [], restarts
        self.sessions = self.requests = self.stanzas = 0

    def join(self):
        dice = random.Random(self.seeds.randrange(2 ** 32))
        player = Player(self.endpoints, dice, self.fake, acks=dice.random() < 0.4,
                        keys=dice.random() < 0.3, streams=dice.choice((1, 1, 2, 3)),
                        restarts=self.restarts,
                        hold=dice.choice((0, 1, 1, 2)), wait=dice.choice((1, 60, 60)))
        self.players.append((player, dice.randrange(*LIFE)))

    def turn(self):
        while len(self.players) < PLAYERS:
            self.join()
        for player, life in list(self.players):
            try:
                player.act()
                if player.actions >= life:
                    self.leave(player, life)
            except AssertionError as e:
                raise AssertionError(explain(player, e)) from e

    def leave(self, player, life):
        player.end()
        self.players.remove((player, life))
        player.close()
        self.sessions += 1
        self.requests += sum(r.copies for r in player.model.requests.values())
        self.stanzas += player.model.stanzas

    def close(self):
        for player, _ in self.players:
            player.close()


    def play_on(self, between=None):
        stop = time.monotonic() + SECONDS
        while time.monotonic() < stop:
            self.turn()
            if between:
                between()

    def fall_silent(self, inactivity):
        """All at once, whatever they are at."""
        for player, _ in self.players:
            player.fall_silent()
        for player, _ in self.players:
            try:
                player.check_silence(inactivity)
            except AssertionError as e:
                raise AssertionError(explain(player, e)) from e


def play(server, fake, tls=False, between=None):
    seed = seeds.choose()
    table = Table(server, fake, seed, tls, bool(between))
    try:
        table.play_on(between)
        for player, life in list(table.players):
            try:
                table.leave(player, life)
            except AssertionError as e:
                raise AssertionError(explain(player, e)) from e
    finally:
        table.close()
    print("%d sessions, %d requests, %d stanzas" % (table.sessions, table.requests, table.stanzas))
    assert table.sessions >= PLAYERS


@pytest.fixture
def server(make_httpd):
    return make_httpd(servers=3, server_limit=5, threads=12, async_factor=60, extra=EXTRA)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_what_clients_and_networks_do_is_as_the_model_says(server, fake_server, tls):
    play(server, fake_server, tls)


def test_so_it_is_while_httpd_restarts_gracefully(server, fake_server):
    began = time.monotonic()
    restarts = []

    def restart():
        if time.monotonic() > began + 2 * (len(restarts) + 1):
            restarts.append(server.graceful(wait=False))

    play(server, fake_server, between=restart)
    assert restarts


def test_sessions_of_clients_that_fall_silent_end(make_httpd, fake_server):
    inactivity = 8
    server = make_httpd(servers=3, server_limit=5, threads=12, async_factor=60,
                        extra="%s\nBoshInactivity %d" % (EXTRA, inactivity))
    table = Table(server, fake_server, seeds.choose(), False, False)
    try:
        table.play_on()
        table.fall_silent(inactivity)
    finally:
        table.close()
