# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Limits for each client address: who has too many sessions is told to come again, and
nobody else notices."""
import os

import bosh
import httpd
from bosh import body_bytes
from waiting import until

REMOTEIP = ("LoadModule remoteip_module %s/mod_remoteip.so\nRemoteIPHeader X-Forwarded-For\n"
            "RemoteIPInternalProxy 127.0.0.1\n" % httpd.MODULES)


def create(endpoint, address=None):
    """As the proxy in front of httpd would pass it on."""
    headers = [("X-Forwarded-For", address)] if address else []
    return endpoint.wire().ask(
        body_bytes(to="echo.fake", rid=1000, wait=60, hold=1, ver="1.11"), headers=headers)


def end(endpoint, answer):
    ended = endpoint.wire().ask(body_bytes(sid=answer.body.get("sid"), rid=1001, type="terminate"))
    assert ended.type == "terminate"


def is_refused(answer):
    return answer.status == 503 and int(answer.header("Retry-After")) > 0


def is_begun(answer):
    return answer.status == 200 and answer.body.get("sid") is not None


def test_client_with_too_many_sessions_is_told_to_come_again(make_httpd, fake):
    server = make_httpd(servers=2, extra=REMOTEIP + "BoshMaxSessionsPerClient 3")
    endpoint = bosh.Endpoint(server.port)
    first = [create(endpoint, "192.0.2.1") for _ in range(3)]
    assert all(map(is_begun, first))
    for _ in range(4):  # in whichever child
        assert is_refused(create(endpoint, "192.0.2.1"))
    loud = [line for line in server.log_text().splitlines()
            if "BOSH3013" in line and ":error]" in line]
    assert len(loud) in (1, 2)  # once in ten seconds in each child
    assert is_begun(create(endpoint, "192.0.2.2"))
    end(endpoint, first[0])
    assert is_begun(create(endpoint, "192.0.2.1"))
    assert is_refused(create(endpoint, "192.0.2.1"))


def test_ipv6_network_is_one_client(make_httpd, fake):
    server = make_httpd(extra=REMOTEIP + "BoshMaxSessionsPerClient 1")
    endpoint = bosh.Endpoint(server.port)
    assert is_begun(create(endpoint, "2001:db8:1:2::1"))
    assert is_refused(create(endpoint, "2001:db8:1:2:ffff::9"))
    assert is_begun(create(endpoint, "2001:db8:1:3::1"))
    assert is_begun(create(endpoint, "192.0.2.1"))
    assert is_refused(create(endpoint, "::ffff:192.0.2.1"))


def test_sessions_begun_within_a_minute_are_counted(make_httpd, fake):
    """Also those that are short."""
    server = make_httpd(extra=REMOTEIP + "BoshMaxNewPerClient 5")
    endpoint = bosh.Endpoint(server.port)
    for _ in range(5):
        end(endpoint, create(endpoint, "192.0.2.1"))
    assert is_refused(create(endpoint, "192.0.2.1"))
    assert is_begun(create(endpoint, "192.0.2.2"))


def test_virtual_hosts_count_apart(make_httpd, fake):
    server = make_httpd(vhosts={"one": "BoshMaxSessionsPerClient 1", "two": ""},
                        extra="BoshMaxSessionsPerClient 2")
    for name, most in (("one", 1), ("two", 2)):
        endpoint = bosh.Endpoint(server.port_of[name])
        for _ in range(most):
            assert is_begun(create(endpoint))
        assert is_refused(create(endpoint))


def test_counts_outlive_children(make_httpd, fake, new_session):
    server = make_httpd(servers=2, extra="BoshMaxSessionsPerClient 2")
    endpoint = bosh.Endpoint(server.port)
    held = [new_session(endpoint).open("echo.fake") for _ in range(2)]
    for session in held:
        session.hold()
    for pid in server.children():
        os.kill(pid, 9)
    until(lambda: server.get_static() == 200, 10, "new children")
    assert is_refused(create(endpoint))
