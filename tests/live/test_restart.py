# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Graceful restarts in the middle of a chat, log rotation, a connector that dies, and
an end that leaves nothing behind."""
import os
import re
import signal
import time

import pytest

import bosh
import disk
import httpd
import procfs
from bosh import message
from chatter import Pair
from play import Play, bounces, text_message, wait_until_stored
from prosody import ACCOUNTS, DOMAIN
from waiting import PATIENCE, until

FAULTS = os.environ.get("BOSH_FAULTS_MODULE")


def login_both(endpoint, new_session):
    return [new_session(endpoint, stubborn=True).login(DOMAIN, user, ACCOUNTS[user])
            for user in ("romeo", "juliet")]


@pytest.mark.parametrize("children", [1, 2])
def test_graceful_restarts_in_the_middle_of_a_chat(make_httpd, new_session, children):
    server = make_httpd(servers=children, server_limit=children + 2)
    connector = server.connector()
    pair = Pair(*login_both(bosh.Endpoint(server.port), new_session))
    old = set()
    for n in range(20):
        pair.say(0)
        pair.say(1)
        if n in (4, 9, 14):
            old |= set(server.children())
            server.graceful(wait=n != 9)  # once without waiting: messages cross it
        assert server.connectors() == [connector]
    pair.settle()
    pair.check()
    assert server.connector() == connector
    until(lambda: not any(map(procfs.is_alive, old)), 10, "the old children to end")


def test_graceful_restarts_in_the_middle_of_a_chat_over_tls(make_httpd, new_session):
    server = make_httpd()
    pair = Pair(*login_both(bosh.Endpoint(server.tls_port, tls=True), new_session))
    for n in range(10):
        pair.say(0)
        pair.say(1)
        if n in (3, 6):
            server.graceful()
    pair.settle()
    pair.check()


def test_held_request_is_answered_at_a_graceful_restart(make_httpd, fake, new_session):
    """The old child must not be kept for the rest of `wait`."""
    server = make_httpd()
    endpoint = bosh.Endpoint(server.port)
    session = new_session(endpoint).open("echo.fake", wait=60)
    old = server.children()
    wire = session.hold()
    wire.silent(0.3)
    server.graceful()
    answer = session.collect(5)
    assert answer.status == 200 and answer.type is None and answer.stanzas == []
    until(lambda: not set(old) & set(server.children()) and not any(map(procfs.is_alive, old)),
          10, "the old child to end")
    assert session.ask(message("echo.fake", "goes on")).texts() == ["goes on"]
    assert not fake.connection().gone


@pytest.mark.skipif(not FAULTS, reason="BOSH_FAULTS_MODULE names no mod_bosh.so of a "
                    "--enable-faults build")
def test_who_was_just_told_to_wait_does_not_keep_the_old_child(make_httpd, fake, new_session,
                                                               monkeypatch):
    """A request is being looked at, and to be held on, when the restart comes."""
    monkeypatch.setenv("BOSH_MODULE", FAULTS)
    monkeypatch.setenv("BOSH_SLOW_AT", "due-unlocked:0")  # and is so for two seconds
    server = make_httpd(threads=16)
    old = server.children()
    sessions = [new_session(bosh.Endpoint(server.port)).open("echo.fake") for _ in range(3)]
    for session in sessions:
        session.hold().held()
    for session in sessions:
        wire = session.post("<presence xmlns='jabber:client'/>")  # releases what is held, soon;
        session.pending.pop()
        time.sleep(0.003)
        wire.reset()                                              # then there is no need to
    time.sleep(0.3)
    server.graceful()
    until(lambda: not any(map(procfs.is_alive, old)), 15, "the old children to end")
    for session in sessions:
        assert session.collect().status == 200


def test_idle_kept_alive_connection_does_not_keep_the_old_child(make_httpd, fake, new_session):
    server = make_httpd(keep_alive_timeout=60)
    endpoint = bosh.Endpoint(server.port)
    session = new_session(endpoint).open("echo.fake")
    old = server.children()
    wire = endpoint.wire()
    wire.send(session.bytes())
    wire.silent(0.2)
    fake.connection().push("x")
    wire.answer(2)
    server.graceful()
    until(lambda: not any(map(procfs.is_alive, old)), 10, "the old child to end")


def test_old_child_ends_however_long_its_connections_have_been_idle(make_httpd, fake, new_session):
    """Also those that the waiting room was about to look at for another reason: it does
    so one second after a connection fell idle."""
    server = make_httpd(keep_alive_timeout=60, server_limit=4)
    endpoint = bosh.Endpoint(server.port)
    for round in range(3):
        old = server.children()
        began = time.monotonic()
        for n in range(120):
            session = new_session(endpoint).open("echo.fake")
            assert session.ask("", type="terminate").type == "terminate"
            time.sleep(max(began + 0.01 * n - time.monotonic(), 0))
        server.graceful()
        until(lambda: not any(map(procfs.is_alive, old)), 10, "the old child to end")


def test_stanza_that_comes_during_the_restart_is_delivered(make_httpd, fake, new_session):
    server = make_httpd()
    session = new_session(bosh.Endpoint(server.port), stubborn=True).open("echo.fake")
    connection = fake.connection()
    seen = []
    for n in range(3):
        session.hold()
        server.graceful(wait=False)
        for i in range(30):
            connection.push("n%d" % (30 * n + i))
            time.sleep(0.01)
        while len(seen) < 30 * n + 30:
            session.hold()
            seen += session.collect(10).texts()
        until(lambda: server.count_log("resuming normal operations") >= n + 2, 10)
    assert seen == ["n%d" % n for n in range(90)]


def test_ten_graceful_restarts_leave_no_process_and_no_descriptor_behind(make_httpd, fake,
                                                                        new_session):
    server = make_httpd()
    connector = server.connector()
    session = new_session(bosh.Endpoint(server.port), stubborn=True).open("echo.fake")
    server.graceful()
    descriptors = procfs.fd_count(server.parent), procfs.fd_count(connector)
    for n in range(5):
        server.graceful()
        session.send_message("echo.fake", "n%d" % n)
        session.wait_message("n%d" % n)
    until(lambda: len(server.processes()) == 3, 10, "parent, child and connector alone")
    assert server.connector() == connector
    assert procfs.fd_count(server.parent) <= descriptors[0] + 2
    assert procfs.fd_count(connector) <= descriptors[1] + 2


def test_hard_restart_answers_those_who_wait_and_ends_no_session(make_httpd, fake, new_session):
    server = make_httpd(servers=2)
    connector = server.connector()
    sessions = [new_session(bosh.Endpoint(server.port), stubborn=True).open("echo.fake")
                for _ in range(4)]
    for n in range(3):
        for session in sessions:
            session.hold().held()
        server.restart()
        for session in sessions:
            answer = session.collect()
            assert (answer.status, answer.type, answer.stanzas) == (200, None, [])
            session.send_message("echo.fake", "n%d" % n)
            session.wait_message("n%d" % n)
    assert server.connectors() == [connector]


def test_hard_restart_leaves_one_connector_and_new_sessions_work(make_httpd, fake, new_session):
    server = make_httpd()
    server.restart()
    server.connector()
    session = new_session(bosh.Endpoint(server.port)).open("echo.fake")
    session.send_message("echo.fake", "new")
    session.wait_message("new")
    assert len(server.connectors()) == 1


def test_changed_configuration_is_in_force_after_a_graceful_restart(make_httpd, fake,
                                                                     new_session):
    """The connector lives on, and learns of a domain that was not there before."""
    server = make_httpd()
    endpoint = bosh.Endpoint(server.port)
    connector = server.connector()
    assert new_session(endpoint).create("echo.new").condition == "host-unknown"
    server.domains.append(("echo.new", fake.address))
    server.domains = [d for d in server.domains if d[0] != "crumbs.fake"]
    server.write_conf()
    server.graceful()
    session = new_session(endpoint).open("echo.new")
    session.send_message("echo.new", "found")
    session.wait_message("found")
    assert new_session(endpoint).create("crumbs.fake").condition == "host-unknown"
    assert server.connector() == connector


# ---- logs -----------------------------------------------------------------------------------


def test_connector_writes_to_the_new_log_after_rotation(make_httpd, fake, new_session):
    server = make_httpd(log_level="notice bosh:trace8")
    connector = server.connector()
    endpoint = bosh.Endpoint(server.port)
    lines = lambda name: [line for line in server.log_text(name).splitlines()
                          if re.search(r"\[pid %d\b" % connector, line)]
    one = new_session(endpoint).open("echo.fake")
    one.terminate()
    until(lambda: lines("error.log"), 5, "a line of the connector in the log")
    server.rotate()
    server.graceful()
    old = len(lines("error.log.1"))
    # The connector is told of the new log in its own time.
    until(lambda: fresh_lines(endpoint, new_session, lambda: lines("error.log")), 10,
          "a line of the connector in the new log")
    assert server.connector() == connector
    path = os.path.join(server.root, "logs", "error.log.1")
    assert path not in [os.readlink("/proc/%d/fd/%s" % (connector, n))
                        for n in os.listdir("/proc/%d/fd" % connector)
                        if os.path.exists("/proc/%d/fd/%s" % (connector, n))], \
        "the connector keeps the old log open"
    after = len(lines("error.log.1"))
    two = new_session(endpoint).open("echo.fake")
    two.terminate()
    assert len(lines("error.log.1")) == after and after - old < 20


def fresh_lines(endpoint, new_session, count):
    session = new_session(endpoint).open("echo.fake")
    session.terminate()
    return count()


# ---- the connector dies ---------------------------------------------------------------------


def test_killed_connector_is_replaced_and_its_sessions_are_told(make_httpd, fake, new_session):
    server = make_httpd()
    connector = server.connector()
    endpoint = bosh.Endpoint(server.port)
    held, idle = (new_session(endpoint).open("echo.fake") for _ in range(2))
    wire = held.hold()
    wire.silent(0.2)
    connections = fake.since_mark()
    os.kill(connector, signal.SIGKILL)
    answer = held.collect(5)
    assert (answer.type, answer.condition) == ("terminate", "remote-connection-failed")
    answer = idle.ask()
    assert (answer.type, answer.condition) == ("terminate", "remote-connection-failed")
    assert all(c.gone for c in connections)
    new = until(lambda: [p for p in server.connectors() if p != connector], 5, "a new connector")

    def works():
        session = new_session(endpoint)
        if session.create("echo.fake").type == "terminate":
            return False
        session.inbox = []
        session.send_message("echo.fake", "new life")
        session.wait_message("new life")
        return True
    until(works, 3, "new sessions to work", every=0.2)
    assert server.connectors() == new


def test_connector_killed_several_times_and_graceful_in_between(make_httpd, fake, new_session):
    server = make_httpd()
    endpoint = bosh.Endpoint(server.port)
    for n in range(3):
        old = server.connector()
        os.kill(old, signal.SIGKILL)
        until(lambda: [p for p in server.connectors() if p != old], 8, "a new connector")
        server.graceful()
        session = new_session(endpoint).open("echo.fake")
        session.send_message("echo.fake", "n%d" % n)
        session.wait_message("n%d" % n)


def test_get_page_tells_when_no_connector_runs(make_httpd):
    """Its parent is stopped meanwhile, so that it is not replaced."""
    server = make_httpd()
    page = lambda: bosh.Endpoint(server.port).wire().ask(None, method="GET").raw
    connector = server.connector()
    running = until(page, 5)
    procfs.stop(server.parent)
    try:
        os.kill(connector, signal.SIGKILL)
        until(lambda: page() != running and b"not running" in page(), 5,
              "the page to say that the connector is not running")
    finally:
        os.kill(server.parent, signal.SIGCONT)
    until(lambda: page() == running, 8, "the page to be as before")


# ---- config tests and wrong configurations ---------------------------------------------


def test_config_test_starts_no_second_connector(make_httpd, fake, new_session):
    server = make_httpd()
    connector = server.connector()
    session = new_session(bosh.Endpoint(server.port)).open("echo.fake")
    before = server.processes()
    for args in (["-t"], ["-S"], ["-M"], ["-t", "-D", "DUMP_CONFIG"]):
        done = server.command(*args)
        assert done.returncode == 0, done.stderr
    assert server.processes() == before and server.connector() == connector
    assert session.ask(message("echo.fake", "unharmed")).texts() == ["unharmed"]


def test_config_test_names_the_wrong_directive_and_harms_nobody(make_httpd, fake, new_session):
    server = make_httpd()
    session = new_session(bosh.Endpoint(server.port)).open("echo.fake")
    server.write_conf("BoshWait never\n")
    done = server.command("-t")
    assert done.returncode != 0 and "BoshWait" in done.stderr
    assert session.ask(message("echo.fake", "unharmed")).texts() == ["unharmed"]
    server.write_conf()
    assert server.command("-t").returncode == 0


@pytest.mark.parametrize("how", [signal.SIGUSR1, signal.SIGHUP], ids=["gracefully", "hard"])
def test_restart_with_a_wrong_configuration_leaves_nothing(make_httpd, fake, new_session, how):
    """httpd's parent gives up in that case. Its children have answered by then, as at any
    restart; servers are told, and nothing of ours may stay behind."""
    server = make_httpd()
    held, idle = two_plays(server, fake, new_session)
    server.write_conf("BoshWait never\n")
    os.kill(server.parent, how)
    httpd_gives_up(server, held, idle)
    pid_file = os.path.join(server.root, "run", "httpd.pid")
    if os.path.exists(pid_file):  # httpd itself leaves it then
        os.unlink(pid_file)


def two_plays(server, fake, new_session):
    """One whose request is held, and one for whom something waits."""
    plays, other = [], new_session(bosh.Endpoint(server.port)).open("echo.fake")
    for _ in range(2):
        fake.mark()
        plays.append(Play(bosh.Endpoint(server.port), fake, new_session).bound())
    plays[0].session.hold().held()
    plays[1].server.send(text_message("undelivered", " id='u'"))
    wait_until_stored(plays[1].server, other)
    return plays


def httpd_gives_up(server, held, idle):
    """The request that is held is answered by a child that ends, or with the session's end:
    whichever is first."""
    answer = held.session.collect()
    assert answer.status == 200 and not answer.stanzas
    assert (answer.type, answer.condition) in ((None, None), ("terminate", "system-shutdown"))
    until(lambda: not server.is_running(), 10, "the parent to give up")
    for p in (held, idle):
        p.server.wait_closing_tag()
        assert p.server.not_xml is None
    assert [b[2] for b in bounces(idle.server)] == ["u"] and not bounces(held.server)
    until(lambda: not server.processes(), 15, "children and connector to end")
    with pytest.raises((bosh.Broken, OSError)):
        idle.session.ask()


@disk.needed
@pytest.mark.parametrize("how", [signal.SIGUSR1, signal.SIGHUP], ids=["gracefully", "hard"])
def test_restart_while_the_disk_of_the_pid_file_is_full_leaves_nothing(make_httpd, fake,
                                                                       new_session, how):
    """httpd's parent cannot write that file anew, and gives up as well. Until then all is well,
    and so it is when httpd is started with room on the disk."""
    server = make_httpd(start=False)
    small = disk.Disk(server, "run")
    server.start()
    held, idle = two_plays(server, fake, new_session)
    with small.seen():
        small.fill()
    session = new_session(held.endpoint).open("echo.fake")
    assert session.ask(message("echo.fake", "full")).texts() == ["full"]
    os.kill(server.parent, how)
    httpd_gives_up(server, held, idle)
    server.start()
    session = new_session(held.endpoint).open("echo.fake")
    assert session.ask(message("echo.fake", "new")).texts() == ["new"]


# ---- the end ----------------------------------------------------------------------------


@pytest.mark.parametrize("mpm", ["event", "worker", "prefork"])
def test_stop_with_open_sessions_leaves_nothing(make_httpd, fake, new_session, mpm):
    server = make_httpd(mpm=mpm, threads=10)
    endpoint = bosh.Endpoint(server.port)
    sessions = [new_session(endpoint).open("echo.fake") for _ in range(3)]
    for session in sessions:
        session.hold()
    sessions[0].hold().silent(0.2)
    connections = fake.since_mark()
    started = time.monotonic()
    os.kill(server.parent, signal.SIGTERM)
    until(lambda: not server.is_running() and not server.processes(), 10, "everything to end")
    assert time.monotonic() - started < httpd.STOP[signal.SIGTERM] * PATIENCE
    until(lambda: all(c.gone for c in connections), 5, "the XMPP connections to end")


def test_graceful_stop_leaves_nothing(make_httpd, fake, new_session):
    server = make_httpd()
    session = new_session(bosh.Endpoint(server.port)).open("echo.fake")
    wire = session.hold()
    wire.silent(0.2)
    started = time.monotonic()
    os.kill(server.parent, signal.SIGWINCH)
    assert session.collect(8).status == 200
    until(lambda: not server.is_running() and not server.processes(), 15, "everything to end")
    assert time.monotonic() - started < httpd.STOP[signal.SIGWINCH] * PATIENCE


def test_killed_parent_leaves_no_connector(make_httpd, fake, new_session):
    """kill -9 of the parent: the children and the connector find themselves orphans."""
    server = make_httpd()
    session = new_session(bosh.Endpoint(server.port)).open("echo.fake")
    connector = server.connector()
    children = server.children()
    os.kill(server.parent, signal.SIGKILL)
    until(lambda: not procfs.is_alive(connector), 10, "the connector to end")
    fake.connection().wait_ended()
    for pid in children:  # httpd's own children do not notice; that is httpd's way
        os.kill(pid, signal.SIGKILL)
    until(lambda: not server.processes(), 10, "everything to end")
    for name in os.listdir(os.path.join(server.root, "run")):
        os.unlink(os.path.join(server.root, "run", name))
    session.close()


def test_daemon_started_restarted_and_stopped_by_its_own_command(make_httpd, fake, new_session):
    server = make_httpd(daemon=True)
    connector = server.connector()
    session = new_session(bosh.Endpoint(server.port), stubborn=True).open("echo.fake")
    assert server.command("-k", "graceful").returncode == 0
    until(lambda: server.count_log("resuming normal operations") == 2, 15, "the restart")
    assert server.connector() == connector
    session.send_message("echo.fake", "through it all")
    session.wait_message("through it all")
    assert server.command("-k", "stop").returncode == 0
    until(lambda: not server.is_running() and not server.processes(), 10, "everything to end")


@pytest.mark.parametrize("mpm", ["event", "prefork"])
def test_single_process_of_debug_mode_chats_and_leaves_nothing(make_httpd, fake, new_session, mpm):
    server = make_httpd(debug=True, mpm=mpm)
    session = new_session(bosh.Endpoint(server.port)).open("echo.fake")
    session.close()  # one connection at a time is all that prefork has here
    wire = bosh.Endpoint(server.port).wire()
    assert wire.ask(session.bytes(message("echo.fake", "alone"))).texts() == ["alone"]
    wire.close()
