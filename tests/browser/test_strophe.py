# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Strophe.js, unchanged, in jsdom and in Chromium, through an httpd with several children.
Whatever happens to requests and pages: no message is lost, doubled or out of order."""
import os
import random
import time

import pytest

import bosh
import httpd
import seeds
from pages import Chromium, JsdomPage, Place
from prosody import ACCOUNTS, DOMAIN, Prosody
from waiting import until

RUNS, PAIRS = 20, 60


@pytest.fixture(scope="module")
def place():
    assert os.path.exists(httpd.module_path()), "no module: build it, or set BOSH_MODULE"
    prosody = Prosody()
    try:
        place = Place(prosody.start()).start()
        try:
            yield place
        finally:
            place.stop()
    finally:
        prosody.stop()


@pytest.fixture(scope="module")
def chromium():
    browser = Chromium()
    yield browser
    browser.quit()


@pytest.fixture(autouse=True)
def healthy(place):
    yield
    place.httpd.check_health()


@pytest.fixture
def dice():
    seed = seeds.choose()
    return random.Random(seed)


@pytest.fixture
def open_page(request, place):
    """open_page(kind, how) opens pages that are closed after the test."""
    pages = []

    def open_one(kind, how="plain"):
        url = place.url(how)
        pages.append(JsdomPage(url) if kind == "jsdom"
                     else request.getfixturevalue("chromium").open(url))
        return pages[-1]

    yield open_one
    for page in pages:
        page.close()


@pytest.fixture
def log_in(open_page, dice):
    """log_in(kind, users, how) opens a page for each, and has them online."""
    def log_in(kind, users, how="plain"):
        pages = [open_page(kind, how) for _ in users]
        for page, user in zip(pages, users):
            page.call("seed", dice.randrange(2 ** 32))
            page.login(user, ACCOUNTS[user])
        return [page.wait_online() for page in pages]

    return log_in


@pytest.fixture(params=["jsdom", "chromium"])
def kind(request):
    return request.param


@pytest.fixture
def pair(log_in, kind):
    return log_in(kind, ("romeo", "juliet"))


@pytest.fixture
def watched(log_in, kind):
    """The same through the relay. It does not keep two answers apart as httpd does."""
    return log_in(kind, ("romeo", "juliet"), "relay")


class Talk:
    """Numbered messages between pages, and what arrived of them."""

    def __init__(self, pages, relay=None):
        self.pages, self.relay = pages, relay
        self.sent = [[] for _ in pages]     # to that page

    def say(self, to, count, gap, start=None, sender=None):
        sender = 1 - to if sender is None else sender
        texts = ["%d-%d" % (to, len(self.sent[to]) + i) for i in range(count)]
        self.sent[to] += texts
        self.pages[sender].call("burst", self.pages[to].jid, texts, gap, start)

    def wait(self, excused=lambda: (), by_rid=False):
        """Until everything has arrived that was sent. What is excused may be missing, and
        only that; the rest is there once, and in its order: that in which the page saw it,
        or that of the requests which it came with."""
        for to, page in enumerate(self.pages):
            try:
                # Asking for all texts keeps a page from its work.
                until(lambda: page.call("count") >= len(self.sent[to]) - len(excused())
                      and {*page.seen(), *excused()} >= set(self.sent[to]), 30, "all messages")
            except AssertionError:
                pass  # the comparison tells more
            seen = page.seen()
            found = page.seen_by_rid() if by_rid else seen
            due = [t for t in self.sent[to] if t in found or t not in excused()]
            assert found == due and sorted(seen) == sorted(due), self.describe(seen, due)

    def describe(self, seen, due):
        lost = [t for t in due if t not in seen]
        doubled = sorted({t for t in seen if seen.count(t) > 1})
        turned = [one for one, other in zip(seen, due) if one != other]
        first = (lost + doubled + turned + due)[0]
        return "lost %r, doubled %r, the first wrong one %r\n%s" % (
            lost, doubled, first, self.relay and self.relay.story(">%s<" % first))


def test_sixty_pairs_of_messages_both_ways_at_once_twenty_times(pair):
    talk = Talk(pair)
    for _ in range(RUNS):
        for to in (0, 1):
            talk.say(to, PAIRS, gap=6)
        talk.wait()


def test_messages_both_ways_over_http2(log_in):
    talk = Talk(log_in("chromium", ("romeo", "juliet"), "h2"))
    for _ in range(4):
        for to in (0, 1):
            talk.say(to, PAIRS, gap=6)
        talk.wait()


def test_messages_while_httpd_restarts_gracefully(pair, place):
    talk = Talk(pair)
    for n in range(3):
        for to in (0, 1):
            talk.say(to, PAIRS, gap=30)
        time.sleep(0.4)
        place.httpd.graceful()
        talk.wait(by_rid=True)
    assert not any("DISCONN" in s for page in pair for s in page.state()["status"])


@pytest.mark.parametrize("most", [4, 150])
def test_requests_aborted_at_any_moment(watched, place, most):
    talk = Talk(watched, place.relay)
    for page in watched:
        page.call("harm", 0.25, most)
    for _ in range(4):
        for to in (0, 1):
            talk.say(to, PAIRS, gap=12)
        talk.wait(by_rid=True)
    assert all(page.call("harm", 0, 0) > 2 for page in watched)
    for to in (0, 1):
        talk.say(to, 2, gap=0)
    talk.wait(by_rid=True)


def test_reload_goes_on_with_the_session(pair):
    talk = Talk(pair)
    for _ in range(3):
        before = pair[0].state()["session"]["sid"]
        pair[0].reload()
        pair[0].wait_online()
        assert pair[0].state()["session"]["sid"] == before
        for to in (0, 1):
            talk.say(to, 3, gap=5)
        talk.wait()


def test_messages_sent_at_the_very_moment_of_a_reload(watched, place, dice):
    talk = Talk(watched, place.relay)
    place.relay.left.clear()
    restored = 0
    sid = watched[0].state()["session"]["sid"]
    for _ in range(10):
        at = int(time.time() * 1000) + 60
        watched[0].call("reloadAt", at + dice.randrange(40))
        talk.say(0, 5, gap=12, start=at + dice.randrange(20))
        restored += 1
        watched[0].until(lambda s: s["status"].count("ATTACHED") == restored and s["online"],
                      "the page to be back")
        talk.wait(excused=place.relay.unread)
    assert watched[0].state()["session"]["sid"] == sid
    lost = set(talk.sent[0]) - set(watched[0].seen())
    print("%d of %d were in answers that nobody read" % (len(lost), len(talk.sent[0])))
    talk.say(1, 3, gap=5)
    talk.wait(excused=place.relay.unread)


def test_page_goes_on_with_a_session_that_somebody_else_began(open_page, log_in, kind, place):
    raw = bosh.Session(bosh.Endpoint(place.httpd.port)).login(DOMAIN, "tybalt", ACCOUNTS["tybalt"],
                                                              presence=False)
    while raw.pending:
        raw.collect()
    page = open_page(kind)
    page.call("attach", raw.jid, raw.sid, raw.rid + 1)
    page.wait_online()
    assert page.jid == raw.jid
    talk = Talk([page, *log_in(kind, ["romeo"])])
    for to in (0, 1):
        talk.say(to, 10, gap=5)
    talk.wait()
    raw.close()


def test_closed_tab_says_goodbye(log_in):
    romeo, juliet = log_in("chromium", ("romeo", "juliet"))
    romeo.call("greet", juliet.jid)
    juliet.until(lambda s: romeo.jid + " available" in s["presence"], "romeo to be seen")
    romeo.call("sayGoodbyeWhenHidden")
    romeo.close()
    juliet.until(lambda s: romeo.jid + " unavailable" in s["presence"], "romeo to have gone", 10)


def test_many_tabs_at_once(log_in):
    tabs = [*log_in("chromium", ACCOUNTS), *log_in("chromium", ACCOUNTS, "h2")]
    talk = Talk(tabs)
    for _ in range(2):
        for to in range(len(tabs)):
            talk.say(to, 20, gap=10, sender=(to + 1) % len(tabs))
        talk.wait()


def test_leaving_is_told_at_once(pair):
    romeo, juliet = pair
    romeo.call("greet", juliet.jid)
    juliet.until(lambda s: romeo.jid + " available" in s["presence"], "romeo to be seen")
    romeo.leave()
    juliet.until(lambda s: romeo.jid + " unavailable" in s["presence"], "romeo to have gone", 5)
