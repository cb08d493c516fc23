# Licensed under the Apache License, Version 2.0; see LICENSE.
"""gloox itself, and a browser of ours at the other end.

It begins with pipelining on one connection. When that ends it goes on with HTTP/1.0, where it
has no connection left to say good-bye on. A request that a lost connection has taken with it
counts as open for ever, and over TLS it cannot connect a second time (it frees something twice):
so nobody is killed here, and connections end between requests."""
import pytest

from foreign import Chat, Foreign, compiled, end_of_its_server
from prosody import ACCOUNTS, DOMAIN

WAIT = 1


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return compiled("talk_gloox.cc", "gloox", tmp_path_factory.mktemp("gloox"))


@pytest.fixture
def login(program, tmp_path):
    """login(server) is gloox, as juliet."""
    made = []

    def log_in(server, mode="pipelining", tls=False):
        made.append(Foreign([program, mode, "127.0.0.1",
                             str(server.tls_port if tls else server.port), "juliet@" + DOMAIN,
                             ACCOUNTS["juliet"]] + ([server.cert] if tls else []),
                            tmp_path / "complaints"))
        return made[-1].online()

    yield log_in
    for client in made:
        client.end()


@pytest.fixture
def chat(make_httpd, new_session, login):
    """chat(**parameters of Httpd) is a Chat."""
    def begin(mode="pipelining", tls=False, wait=WAIT, extra="", **how):
        server = make_httpd(extra="BoshWait %d\n%s" % (wait, extra), **how)
        return Chat(server, new_session, login(server, mode, tls))
    return begin


@pytest.mark.parametrize("mode, tls", [
    ("pipelining", False), ("pipelining", True), ("persistent", False), ("legacy", False)],
    ids=["pipelining", "https", "persistent", "http-1.0"])
def test_sixty_messages_each_way_then_silence_then_the_end(chat, mode, tls):
    talk = chat(mode, tls, extra="BoshInactivity 3")
    talk.say_much_and_nothing()
    if mode == "pipelining":
        talk.log_out()


def test_connection_ended_with_an_answer(chat):
    """No other request was behind that one. From then on gloox speaks HTTP/1.0."""
    talk = chat(extra="MaxKeepAliveRequests 30")
    for _ in range(30):
        talk.romeo_says()
        talk.check()
    talk.say(5)
    talk.check()


def test_time_of_a_kept_connection_does_not_run_while_a_request_is_held(chat):
    talk = chat(keep_alive_timeout=1)
    talk.say()
    talk.check()
    talk.be_silent(3)
    talk.say()
    talk.check()
    talk.log_out()


def test_graceful_restarts(chat):
    """In HTTP/1.0. With pipelining, a request behind the one that is answered may be lost with
    the connection."""
    talk = chat("legacy", wait=60, servers=2, server_limit=4)
    talk.outlast_restarts()


def test_end_of_the_xmpp_server_is_noticed(make_httpd, login):
    assert end_of_its_server(make_httpd, login)
