# Licensed under the Apache License, Version 2.0; see LICENSE.
"""httpd's directive `Mutex` for the lock of the shared memory. Each mechanism is opened in
its own way by children and connector, and lives on over a restart."""
import os

import pytest

import bosh
from bosh import message
from waiting import until


def start(make_httpd, mechanism):
    server = make_httpd(start=False, servers=2, server_limit=2)
    mutex = "Mutex " + mechanism.format(run=os.path.join(server.root, "run"))
    server.write_conf(mutex + " default")
    if server.command("-t").returncode:
        pytest.skip("this httpd has no " + mechanism)
    server.extra = mutex + " bosh"
    server.write_conf()
    return server.start()


@pytest.mark.parametrize("mechanism", ["fcntl:{run}", "flock:{run}", "sysvsem", "pthread"])
def test_sessions_chat_over_a_restart_whatever_the_mutex(make_httpd, fake, new_session, mechanism):
    """Held in one child, posted to another, and that of two sessions at once."""
    server = start(make_httpd, mechanism)
    told = server.command("-t", "-D", "DUMP_RUN_CFG").stdout
    assert "Mutex bosh:" in told and "mechanism=" + mechanism.split(":")[0] in told
    endpoint = bosh.Endpoint(server.port)
    sessions = [new_session(endpoint, stubborn=True).open("echo.fake") for _ in range(2)]
    for restarts in range(2):
        for n in range(10):
            for session in sessions:
                session.hold()
                session.send_message("echo.fake", "n%d" % n)
            for session in sessions:
                session.wait_message("n%d" % n)
        if not restarts:
            connector = server.connector()
            server.graceful()
    assert server.connector() == connector
    assert new_session(endpoint).open("echo.fake").ask(
        message("echo.fake", "new")).texts() == ["new"]


def lock_files(server, pid):
    """What a process has open of the lock's file (fcntl's has no name any more)."""
    found = []
    for name in os.listdir("/proc/%d/fd" % pid):
        try:
            found.append(os.readlink("/proc/%d/fd/%s" % (pid, name)))
        except FileNotFoundError:
            pass
    return [f for f in found if f.startswith(os.path.join(server.root, "run", "bosh"))]


@pytest.mark.parametrize("mechanism", ["fcntl:{run}", "flock:{run}"])
def test_lock_is_in_the_folder_named_and_every_process_has_it(make_httpd, mechanism):
    """To flock() a descriptor that was inherited is its parent's lock: with that alone
    nobody would ever wait for anybody."""
    server = start(make_httpd, mechanism)
    inherited = len(lock_files(server, server.parent))
    assert inherited == 1
    for pid in server.children() + [server.connector()]:
        until(lambda: len(lock_files(server, pid)) == inherited + mechanism.startswith("flock"), 5,
              "process %d to have the lock" % pid)


@pytest.mark.parametrize("mechanism", ["fcntl:{run}", "flock:{run}", "sysvsem", "pthread"])
def test_connector_killed_under_any_mutex_is_replaced(make_httpd, fake, new_session, mechanism):
    server = start(make_httpd, mechanism)
    old = server.connector()
    os.kill(old, 9)
    until(lambda: [p for p in server.connectors() if p != old], 8, "a new connector")
    session = new_session(bosh.Endpoint(server.port)).open("echo.fake")
    assert session.ask(message("echo.fake", "new")).texts() == ["new"]


def test_mutex_that_outlives_its_owner_locked_is_refused(make_httpd):
    """posixsem: everybody would wait for ever when a child is killed at the wrong moment."""
    with pytest.raises(AssertionError, match="BOSH2001: Mutex: posixsem cannot be used for bosh"):
        start(make_httpd, "posixsem")
