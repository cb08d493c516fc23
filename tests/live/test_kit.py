# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The kit itself, checked against another implementation: Prosody's own BOSH."""
import os
import signal

import pytest

import bosh
import crashes
import procfs
import strictxml
from httpd import Httpd, Unhealthy
from prosody import ACCOUNTS, DOMAIN
from waiting import until


@pytest.fixture
def foreign(prosody):
    return bosh.Endpoint(prosody.http_port)


def test_client_chats_through_prosodys_own_bosh(foreign, new_session):
    one = new_session(foreign).login(DOMAIN, "romeo", ACCOUNTS["romeo"])
    two = new_session(foreign).login(DOMAIN, "juliet", ACCOUNTS["juliet"])
    two.hold()
    one.send_message(two.jid, "hello <&> \U0001f339")
    two.wait_message("hello <&> \U0001f339")
    two.send_message(one.jid, "hello yourself")
    one.wait_message("hello yourself")
    assert one.terminate()[-1].type == "terminate"


def test_client_sees_a_repeated_answer(foreign, new_session):
    one = new_session(foreign).login(DOMAIN, "romeo", ACCOUNTS["romeo"])
    while one.pending:
        one.collect()
    data = one.bytes(bosh.message(one.jid, "to myself"))
    first, second = one.endpoint.wire().ask(data), one.endpoint.wire().ask(data)
    assert first.raw == second.raw


def test_wrong_password_is_seen(foreign, new_session):
    session = new_session(foreign).open(DOMAIN)
    assert session.authenticate("romeo", "nonsense").tag == "{%s}failure" % strictxml.SASL


@pytest.mark.parametrize("text", [
    "<body xmlns='http://jabber.org/protocol/httpbind'><a:b/></body>",
    "<body xmlns='http://jabber.org/protocol/httpbind'>text</body>",
    "<body xmlns='http://jabber.org/protocol/httpbind'><!-- c --></body>",
    "<!DOCTYPE body><body xmlns='http://jabber.org/protocol/httpbind'/>",
    "<body xmlns='http://jabber.org/protocol/httpbind'/><x/>",
    "<body/>", "<body xmlns='http://jabber.org/protocol/httpbind'>"])
def test_strict_reader_refuses(text):
    with pytest.raises(strictxml.NotXml):
        strictxml.parse_body(text.encode())


@pytest.fixture
def plain_httpd():
    server = Httpd(with_bosh=False).start()
    yield server
    if os.path.exists(server.root):
        server.kill()


def test_httpd_without_the_module_leaves_nothing(plain_httpd):
    plain_httpd.graceful()
    assert len(plain_httpd.children()) == 1 and not plain_httpd.connectors()
    plain_httpd.stop()
    assert not os.path.exists(plain_httpd.root)


def test_health_check_sees_a_killed_child(plain_httpd):
    os.kill(plain_httpd.children()[0], signal.SIGSEGV)
    until(lambda: plain_httpd.count_log("exit signal"), 10, "the log line")
    with pytest.raises(Unhealthy, match="exit signal Segmentation"):
        plain_httpd.check_health()


def frames(*names):
    return "\n".join("#%d  %s" % (n, name if " " in name else "0x12 in ?? () from /m/%s.so" % name)
                     for n, name in enumerate(names))


SOCKET, MAIN = "0x34 in apr_os_sock_get () from /l/libapr-1.so.0", "0x56 in main ()"
SIGNAL, FREE = "<signal handler called>", "__GI___libc_free (mem=1) at ./malloc/malloc.c:3385"
OURS = "0x78 in drive (g=0x1) at ../mod_bosh/front/resume.c:180"


@pytest.mark.parametrize("names,verdict", [
    ([SOCKET, "mod_mpm_event", "mod_mpm_event", MAIN], True),
    ([FREE, "mod_mpm_prefork", SIGNAL, FREE, "mod_mpm_prefork", MAIN], True),
    ([FREE, "mod_mpm_prefork", SIGNAL, OURS, "mod_mpm_prefork", MAIN], True),
    ([FREE, OURS, "mod_mpm_prefork", SIGNAL, FREE, "mod_mpm_prefork", MAIN], False),
    ([FREE, "mod_mpm_prefork", MAIN], False),
    ([SOCKET, OURS, "mod_mpm_event", MAIN], False),
    ([SOCKET, "mod_mpm_event", "0x9 in start_thread (arg=0x0) at ./nptl/pthread_create.c:442"],
     False),
    ([FREE, "mod_mpm_event", MAIN], False), ([OURS], False), ([], False)])
def test_crashes_of_httpd_alone_are_told_from_ours(names, verdict):
    assert bool(crashes.is_httpds_own(frames(*names))) == verdict


def test_health_check_sees_a_sanitizer_report(plain_httpd):
    with open(os.path.join(plain_httpd.root, "sanitizer", "asan.1"), "w") as f:
        f.write("report\n")
    with pytest.raises(Unhealthy):
        plain_httpd.check_health()


def test_owner_of_a_connection_is_found(plain_httpd):
    wire = bosh.Endpoint(plain_httpd.port).wire()
    assert wire.ask(None, method="GET", path="/static.txt").status == 200
    assert wire.owner(plain_httpd.children()) == plain_httpd.children()[0]
    port = wire.client_port
    wire.close()
    until(lambda: procfs.server_side(plain_httpd.port, port) is None, 5, "the end to go")
