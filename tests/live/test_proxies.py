# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Another httpd in front, as a reverse proxy: one that waits long enough, one that gives up
before the held request is answered, and one whose kept connections end at any moment."""
import threading
import time

import pytest

import bosh
from httpd import MODULES

PROXY = """
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
ProxyTimeout {timeout}
ProxyPass "/http-bind" "http://127.0.0.1:{port}/http-bind"
"""


@pytest.fixture
def proxied(make_httpd):
    """The manager, and where its proxy is reached."""
    def make(timeout, **how):
        manager = make_httpd(**how)
        proxy = make_httpd(with_bosh=False, extra=PROXY.format(
            modules=MODULES, timeout=timeout, port=manager.port))
        return manager, bosh.Endpoint(proxy.port)
    return make


def test_chat_through_a_proxy_that_waits(proxied, fake, new_session):
    manager, endpoint = proxied(timeout=90)
    session = new_session(endpoint).login("echo.fake", "u", "p")
    for n in range(20):
        session.send_message("echo.fake", "n%d" % n)
        session.wait_message("n%d" % n)
    session.hold().held()
    fake.connection().push("held through a proxy")
    session.wait_message("held through a proxy")


def test_proxy_that_gives_up_loses_nothing(proxied, fake, new_session):
    """It waits for 2 seconds, BoshWait is 5: the client is told 502 or 504, and asks again
    with the same rid. What comes just then is not lost, nor said twice; and nobody asks
    for ever: a request is answered 5 seconds after its first copy came."""
    manager, endpoint = proxied(timeout=2, extra="BoshWait 5")
    sessions, connections = [], []
    for _ in range(8):
        fake.mark()
        sessions.append(new_session(endpoint, stubborn=True).open("echo.fake"))
        connections.append(fake.connection())

    def play(n):
        session, connection = sessions[n], connections[n]
        session.send_message("echo.fake", "up")
        session.wait_message("up")
        session.post()  # held; given up after 2 seconds
        timer = threading.Timer(1.8 + 0.05 * n, connection.push, ("down",))
        timer.start()
        session.wait_message("down", 30)
        timer.join()
        before = session.repeats
        while True:
            answer = session.ask(timeout=30)
            assert answer.type is None
            if session.repeats > before:
                break

    failures = at_once(play, len(sessions))
    assert not failures, failures
    for session, connection in zip(sessions, connections):
        assert connection.bodies() == ["up"]
        assert session.ended is None
    assert "BOSH3008" in manager.log_text()  # the proxy's connection ended as well


def at_once(play, count):
    failures = []

    def run(n):
        try:
            play(n)
        except BaseException as e:  # told in the test's own thread
            failures.append("%d: %r" % (n, e))
    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def test_client_that_left_its_proxy_and_comes_back(proxied, fake, new_session):
    """httpd as a proxy does not see that its client is gone: the older copy is held still
    when the same comes again."""
    manager, endpoint = proxied(timeout=90)
    session = new_session(endpoint).open("echo.fake")
    for n in range(3):
        data = session.bytes()
        wire = endpoint.wire()
        wire.send(data)
        wire.silent(0.1)
        wire.close()
        again = endpoint.wire()
        again.send(data)
        again.silent(0.1)
        fake.connection().push("n%d" % n)
        assert again.answer().texts() == ["n%d" % n]


def test_kept_connections_that_end_as_they_are_used(proxied, fake, new_session):
    """The manager closes what the proxy keeps for the next request: POSTs are not repeated
    by httpd as a proxy, so the client is told 502, and repeats."""
    manager, endpoint = proxied(timeout=90, keep_alive_timeout=1)
    sessions, connections = [], []
    for _ in range(8):
        fake.mark()
        sessions.append(new_session(endpoint, stubborn=True).open("echo.fake"))
        connections.append(fake.connection())
    texts = ["n%d" % k for k in range(5)]

    def play(n):
        for text in texts:
            sessions[n].send_message("echo.fake", text)
            sessions[n].wait_message(text)
            time.sleep(0.96 + 0.01 * n)

    failures = at_once(play, len(sessions))
    assert not failures, failures
    for connection in connections:
        assert connection.bodies() == texts
