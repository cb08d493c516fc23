# Licensed under the Apache License, Version 2.0; see LICENSE.
"""libpurple itself, as Pidgin and Finch have it, and a browser of ours at the other end. It
collects what it sends, its empty requests too, for a second (a tenth of one here). It never
repeats a request: so nobody is killed here, and what ends, ends between requests."""
import pytest

from foreign import Chat, Foreign, compiled, end_of_its_server
from prosody import ACCOUNTS, DOMAIN

WAIT = 1


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return compiled("talk_purple.c", "purple", tmp_path_factory.mktemp("libpurple"))


@pytest.fixture
def login(program, tmp_path):
    """login(server) is libpurple, as juliet; over TLS it knows the server's certificate, as one
    that a user has looked at and taken."""
    made = []

    def log_in(server, tls=False):
        folder = tmp_path / "files"
        trusted = folder / "certificates" / "x509" / "tls_peers"
        trusted.mkdir(parents=True)
        with open(server.cert) as f:
            (trusted / "127.0.0.1").write_text(f.read())
        url = "http%s://127.0.0.1:%d/http-bind" % (("s", server.tls_port) if tls
                                                   else ("", server.port))
        made.append(Foreign([program, str(folder), url, "juliet@%s/libpurple" % DOMAIN,
                             ACCOUNTS["juliet"]], tmp_path / "complaints"))
        return made[-1].online()

    yield log_in
    for client in made:
        client.end()


@pytest.fixture
def chat(make_httpd, new_session, login):
    """chat(**parameters of Httpd) is a Chat."""
    def begin(tls=False, wait=WAIT, extra="", **how):
        server = make_httpd(extra="BoshWait %d\n%s" % (wait, extra), **how)
        return Chat(server, new_session, login(server, tls))
    return begin


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_sixty_messages_each_way_then_silence_then_the_end(chat, tls):
    talk = chat(tls, extra="BoshInactivity 3")
    talk.say_much_and_nothing()
    talk.log_out()


def test_connections_that_end_all_the_time(chat):
    """After each answer that says so libpurple makes another, and stops pipelining. It may not
    say that it goes: "Unable to find a ready BOSH connection. Ignoring send of type 0x01." """
    talk = chat(extra="MaxKeepAliveRequests 3")
    for _ in range(3):
        talk.say(3)
        talk.check()


def test_graceful_restarts(chat):
    talk = chat(wait=60, servers=2, server_limit=4)
    talk.outlast_restarts()
    talk.log_out()


def test_end_of_the_xmpp_server_is_noticed(make_httpd, login):
    assert "terminated your session" in end_of_its_server(make_httpd, login)
