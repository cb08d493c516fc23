# Licensed under the Apache License, Version 2.0; see LICENSE.
"""XEP-0124, section 17.2: the conditions that an end may have, beside test_conditions.py."""
import os
import signal

import pytest

import bosh
from bosh import message
from strictxml import HTTPBIND
from waiting import until


def test_stanza_too_large_is_undefined_condition_with_more_inside(site, fake, new_session):
    session = new_session(site.main).open("echo.fake")
    connection = fake.connection()
    session.hold().held()
    connection.send("<message from='a@b.example'><body>" + "x" * 3000000 + "</body></message>")
    answer = session.collect()
    assert (answer.type, answer.condition) == ("terminate", "undefined-condition")
    own = list(answer.body)
    assert own and not own[-1].tag.startswith(("{%s}" % HTTPBIND, "{jabber:"))
    connection.wait_ended()


def test_lost_connection_is_remote_connection_failed(site, fake, new_session):
    session = new_session(site.main).open("echo.fake")
    session.hold().held()
    fake.connection().reset()
    assert session.collect().condition == "remote-connection-failed"


def test_closed_stream_is_remote_stream_error(site, fake, new_session):
    session = new_session(site.main).open("echo.fake")
    session.hold().held()
    fake.connection().send("</stream:stream>")
    assert session.collect().condition == "remote-stream-error"


def test_connector_that_is_told_to_stop_says_system_shutdown(make_httpd, fake, new_session):
    """httpd's parent starts another one: that serves those who come anew."""
    server = make_httpd(servers=1)
    old = server.connector()
    session = new_session(bosh.Endpoint(server.port)).open("echo.fake")
    session.hold().held()
    os.kill(old, signal.SIGTERM)
    answer = session.collect()
    assert (answer.type, answer.condition) == ("terminate", "system-shutdown")
    fake.connection().wait_ended()
    assert fake.connection().stream_closed
    until(lambda: [p for p in server.connectors() if p != old], 10, "another connector")
    new_session(bosh.Endpoint(server.port)).open("echo.fake")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("children", [1, 3])
@pytest.mark.parametrize("how", [signal.SIGWINCH, signal.SIGTERM], ids=["gracefully", "at_once"])
def test_stop_of_httpd_is_system_shutdown(make_httpd, fake, new_session, how, children, tls):
    server = make_httpd(servers=children, server_limit=children)
    endpoint = bosh.Endpoint(server.tls_port, tls=True) if tls else bosh.Endpoint(server.port)
    sessions = [new_session(endpoint).open("echo.fake") for _ in range(6)]
    for session in sessions:
        session.hold().held()
    os.kill(server.parent, how)
    for session in sessions:
        answer = session.collect()
        assert (answer.type, answer.condition) == ("terminate", "system-shutdown")
    until(lambda: not server.is_running() and not server.processes(), 15, "everything to end")
    assert all(c.stream_closed for c in fake.since_mark())


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("spare", [0, 2], ids=["all-held", "some-idle"])
def test_stop_of_prefork_is_system_shutdown(make_httpd, fake, new_session, spare, tls):
    """Its children are told one by one, and end by themselves."""
    server = make_httpd(mpm="prefork", servers=3 + spare, threads=3 + spare,
                        extra="BoshBlockingHolds 16")
    endpoint = bosh.Endpoint(server.tls_port, tls=True) if tls else bosh.Endpoint(server.port)
    sessions = [new_session(endpoint).open("echo.fake") for _ in range(3)]
    for session in sessions:
        session.hold().held()
    os.kill(server.parent, signal.SIGTERM)
    for session in sessions:
        answer = session.collect()
        assert (answer.type, answer.condition) == ("terminate", "system-shutdown")
    until(lambda: not server.is_running() and not server.processes(), 15, "everything to end")
    assert all(c.stream_closed for c in fake.since_mark())


def test_child_that_goes_alone_ends_no_session(make_httpd, fake, new_session):
    """Also gracefully; httpd itself goes on."""
    server = make_httpd(servers=2, server_limit=4, max_connections=8)
    sessions = [new_session(bosh.Endpoint(server.port), stubborn=True).open("echo.fake")
                for _ in range(3)]
    before = set(server.children())
    for n in range(40):
        wire = server_wire(server)
        wire.ask(None, method="GET")
        wire.close()
        if n % 8 == 0:
            for session in sessions:
                session.send_message("echo.fake", "n%d" % n)
                session.wait_message("n%d" % n)
    until(lambda: not before & set(server.children()), 15, "the first children to go")
    for session in sessions:
        session.send_message("echo.fake", "there")
        session.wait_message("there")


def server_wire(server):
    return bosh.Endpoint(server.port).wire()


def test_end_is_remembered_for_those_who_come_late(site, fake, new_session):
    session = new_session(site.main).open("echo.fake")
    connection = fake.connection()
    connection.send("<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                    "</stream:error></stream:stream>")
    connection.wait_ended()
    data = session.bytes(message("echo.fake", "late"))
    first = session.endpoint.wire().ask(data)
    assert first.condition == "remote-stream-error"
    assert session.endpoint.wire().ask(data).raw == first.raw
