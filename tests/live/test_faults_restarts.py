# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Restarts and stops of every kind under traffic, with the same and with another
configuration: sessions live on, and no client sees more of it than a 503."""
import os
import re
import shutil
import signal
import time

import pytest

import bosh
import httpd
import procfs
from bosh import message
from play import CLOSING, Play, bounces, text_message
from talkers import Talkers
from test_children import wire_in
from waiting import PATIENCE, until

FAULTS = os.environ.get("BOSH_FAULTS_MODULE") \
    or os.path.join(httpd.TOP, "build", "out", "faults", ".libs", "mod_bosh.so")


def signal_parent(server, *signals, apart=0.0):
    """One after the other; waits until the last one is done with."""
    done = server.count_log("resuming normal operations")
    for sig in signals:
        os.kill(server.parent, sig)
        time.sleep(apart)
    until(lambda: server.count_log("resuming normal operations") > done
          and server.get_static() == 200, 30, "the restart")


def change(server, **attributes):
    for name, value in attributes.items():
        setattr(server, name, value)
    server.write_conf()
    server.graceful()


# ---- many, under traffic ---------------------------------------------------------------------


def one_of_each(server):
    """Ten restarts and deaths."""
    gracefully, hard = signal.SIGUSR1, signal.SIGHUP
    signal_parent(server, gracefully)
    signal_parent(server, hard)
    signal_parent(server, gracefully, gracefully)
    signal_parent(server, hard, gracefully, apart=0.01)
    signal_parent(server, gracefully, hard, apart=0.03)
    for pid in server.children()[:1]:
        os.kill(pid, signal.SIGKILL)
    signal_parent(server, gracefully)
    for pid in server.children():
        os.kill(pid, signal.SIGKILL)
    signal_parent(server, hard, hard)
    signal_parent(server, gracefully, hard, gracefully)


@pytest.mark.parametrize("mpm,servers,rounds",
                         [("event", 2, 2), ("worker", 2, 1), ("prefork", 20, 1)])
def test_restarts_of_all_kinds_under_traffic(make_httpd, fake, new_session, mpm, servers, rounds):
    # A child of the worker MPM that ends gracefully waits for idle connections, deaf to all
    # but SIGKILL.
    server = make_httpd(mpm=mpm, servers=servers, server_limit=servers + 4, threads=24,
                        keep_alive_timeout=1)
    connector = server.connector()
    endpoints = [bosh.Endpoint(server.port), bosh.Endpoint(server.tls_port, tls=True)]
    with Talkers(fake, new_session, endpoints, 6):
        for _ in range(rounds):
            one_of_each(server)
    assert server.connectors() == [connector]
    for refusal in ("BOSH3001", "BOSH3005"):
        assert server.count_log(refusal) == 0, refusal
    assert server.disasters() == []
    # prefork may have more children than ServerLimit for a moment, when a graceful restart
    # meets those that are just being born.
    assert server.count_log("BOSH3004") == 0 or mpm == "prefork"


def test_children_that_are_too_many_are_retired_under_traffic(make_httpd, fake, new_session):
    """As after a peak of load: httpd ends one child a second."""
    server = make_httpd(servers=4, server_limit=4, threads=8, extra="MaxSpareThreads 9")
    with Talkers(fake, new_session, [bosh.Endpoint(server.port)], 4):
        until(lambda: server.log_text().count("quiescing: pid") >= 2, 30, "two to be retired")


class Peak:
    """Threads that read bodies which do not come: httpd starts more children, as for a crowd."""

    HEAD = b"POST /http-bind HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\n\r\n<body"

    def __init__(self, endpoint):
        self.endpoint, self.wires = endpoint, []

    def rise(self, count):
        for _ in range(count):
            self.wires.append(self.endpoint.wire())
            self.wires[-1].send_raw(self.HEAD)

    def fall_to(self, most, children):
        """So many are left in each child."""
        left = dict.fromkeys(children, most)
        for wire in list(self.wires):
            owner = wire.owner(children)
            left[owner] -= 1
            if left[owner] < 0:
                self.wires.remove(wire)
                wire.reset()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for wire in self.wires:
            wire.reset()


def hold_in_each_child(server, peak, fake, new_session):
    """Four children, as long as the peak lasts: {child: [(session, its stream)]}"""
    peak.rise(20)
    children = until(lambda: len(server.children()) == 4 and server.children(), 30, "4 children")
    until(lambda: all(wire.owner(children) for wire in peak.wires), 20, "all to be served")
    peak.fall_to(4, children)
    held = {child: [] for child in children}
    for child in children * 2:
        fake.mark()
        session = new_session(peak.endpoint).open("echo.fake")
        session.post(wire=wire_in(peak.endpoint, server, child)).held()
        held[child].append((session, fake.connection()))
    assert sorted(server.children()) == sorted(children)
    return held


def test_requests_held_in_a_child_that_is_retired_go_on(make_httpd, fake, new_session):
    """After a peak of load. What that child holds is answered empty, so that it can end; what
    others hold is held on."""
    server = make_httpd(servers=1, server_limit=4, threads=8, extra="MinSpareThreads 8\n"
                        "MaxSpareThreads 25\nRequestReadTimeout body=0")
    endpoint = bosh.Endpoint(server.port)
    with Peak(endpoint) as peak:
        held = hold_in_each_child(server, peak, fake, new_session)
        with Talkers(fake, new_session, [endpoint], 3):
            peak.fall_to(0, list(held))
            gone = until(lambda: [p for p in held if not procfs.is_alive(p)], 30, "one to end")
    assert len(gone) == 1
    for child, sessions in held.items():
        for session, connection in sessions:
            if child not in gone:
                session.pending[0][1].silent(0)
                connection.push("to who is held on")
            assert session.collect().texts() == ["to who is held on"] * (child not in gone)
            assert session.ask(message("echo.fake", "on")).texts() == ["on"]
            assert connection.bodies() == ["on"] and not connection.gone


def test_prefork_children_that_come_and_go_end_no_session(make_httpd, fake, new_session):
    """Having served their number of connections they leave of their own accord, and httpd
    goes on."""
    server = make_httpd(mpm="prefork", servers=12, threads=24, max_connections=5)
    # More than the talkers can keep busy.
    first = until(lambda: len(server.children()) >= 12 and server.children(), 10, "all children")
    with Talkers(fake, new_session, [bosh.Endpoint(server.port)], 3):
        until(lambda: [server.get_static() for _ in range(20)]
              and not all(map(procfs.is_alive, first)), 30, "a child to go")


# ---- another configuration ---------------------------------------------------------------------


def test_sessions_outlive_changes_that_do_not_concern_them(make_httpd, fake, new_session):
    """A session keeps what it was told at its beginning, and its stream."""
    server = make_httpd(vhosts={"one": "BoshWait 20", "two": ""}, server_limit=2)
    endpoint = bosh.Endpoint(server.port_of["one"])
    session = new_session(endpoint).open("echo.fake")
    connector = server.connector()
    assert session.created.body.get("wait") == "20"
    session.hold().held()
    del server.vhosts["two"], server.port_of["two"]
    server.vhosts["one"] = "BoshWait 10\nBoshInactivity 30\nBoshMaxStreams 1"
    change(server, extra="BoshMaxSessions 77\nBoshConnectors 3\nBoshSharedMemory 32M",
           domains=[d for d in server.domains if d[0] != "echo.fake"])
    assert session.collect().stanzas == []
    assert session.ask(message("echo.fake", "on")).texts() == ["on"]
    assert new_session(endpoint).create("echo.fake").condition == "host-unknown"
    assert new_session(endpoint).open("crumbs.fake").created.body.get("wait") == "10"
    assert server.connectors() == [connector]
    assert server.count_log("BOSH2003") == 1


def test_sessions_of_a_virtual_host_that_is_taken_out_end_by_inactivity(make_httpd, fake,
                                                                        new_session):
    """No client can come for them. What they leave undelivered goes back, and others go on."""
    server = make_httpd(vhosts={"one": "", "two": "BoshInactivity 4"}, server_limit=2)
    stays = new_session(bosh.Endpoint(server.port_of["one"])).open("echo.fake")
    p = Play(bosh.Endpoint(server.port_of["two"]), fake_of(fake), new_session).bound()
    p.server.send(text_message("to nobody", " id='u'"))
    del server.vhosts["two"], server.port_of["two"]
    change(server)
    p.server.wait_closing_tag(20)
    assert [b[2] for b in bounces(p.server)] == ["u"]
    assert stays.ask(message("echo.fake", "on")).texts() == ["on"]


def test_virtual_host_that_is_put_back_has_its_sessions_again(make_httpd, fake, new_session):
    server = make_httpd(vhosts={"one": "", "two": ""}, server_limit=2)
    session = new_session(bosh.Endpoint(server.port_of["two"])).open("echo.fake")
    text, port = server.vhosts.pop("two"), server.port_of.pop("two")
    change(server)
    server.vhosts["two"], server.port_of["two"] = text, port
    change(server)
    assert session.ask(message("echo.fake", "on")).texts() == ["on"]


def test_module_that_is_not_configured_any_more_leaves_nothing(make_httpd, fake, new_session):
    """No client can come back; when all had the time to, the connector goes as well."""
    server = make_httpd(extra="BoshInactivity 3", server_limit=2)
    p = Play(bosh.Endpoint(server.port), fake, new_session).bound()
    connector = server.connector()
    p.server.send(text_message("to nobody", " id='u'"))
    change(server, with_bosh=False, extra="")
    p.server.wait_closing_tag(15)
    assert [b[2] for b in bounces(p.server)] == ["u"]
    p.server.send(CLOSING)
    until(lambda: procfs.stat(connector) is None, 15, "the connector to end, and httpd to see it")
    assert server.get_static() == 200
    change(server, with_bosh=True, extra="BoshMaxSessions 77")
    assert server.count_log("BOSH2003") == 0  # all is made anew
    session = new_session(bosh.Endpoint(server.port)).open("echo.fake")
    assert session.ask(message("echo.fake", "new")).texts() == ["new"]
    assert server.connector() != connector


def test_module_that_is_soon_configured_again_has_lost_nothing(make_httpd, fake, new_session):
    server = make_httpd(server_limit=2)
    session = new_session(bosh.Endpoint(server.port), stubborn=True).open("echo.fake")
    session.hold().held()
    connector = server.connector()
    change(server, with_bosh=False)
    assert session.collect().stanzas == []
    fake.connection().push("meanwhile")
    change(server, with_bosh=True)
    session.wait_message("meanwhile")
    assert server.connector() == connector


def test_module_that_is_added_at_a_restart_works(make_httpd, fake, new_session):
    server = make_httpd(with_bosh=False, server_limit=2)
    change(server, with_bosh=True)
    session = new_session(bosh.Endpoint(server.port)).open("echo.fake")
    assert session.ask(message("echo.fake", "new")).texts() == ["new"]
    server.graceful()
    assert session.ask(message("echo.fake", "on")).texts() == ["on"]


def replace_module(server, path, how=signal.SIGUSR1):
    with open(server.conf) as f:
        text = f.read()
    with open(server.conf, "w") as f:
        f.write(re.sub(r"(LoadModule bosh_module ).*", lambda m: m.group(1) + path, text))
    signal_parent(server, how)


def install(build, path):
    """As packages do it: another file gets the name. Returns its inode."""
    shutil.copyfile(build, path + ".new")
    os.rename(path + ".new", path)
    return os.stat(path).st_ino


def loaded(pid, path):
    """The inodes of all files of that name that a process has mapped."""
    with open("/proc/%d/maps" % pid) as f:
        rows = [line.split(None, 5) for line in f]
    return {int(row[4]) for row in rows if len(row) == 6 and row[5].startswith(path)}


def test_rebuilt_module_goes_on_with_all_sessions(make_httpd, fake, new_session, monkeypatch):
    """Other code at other addresses, put in the place of the first: children have it, the
    connector goes on with the old one, nothing is lost."""
    first, other = httpd.module_path(), FAULTS if os.path.exists(FAULTS) else httpd.module_path()
    server = make_httpd(start=False, server_limit=2)
    path = os.path.join(server.root, "mod_bosh.so")
    begun_with = install(first, path)
    monkeypatch.setenv("BOSH_MODULE", path)
    server.write_conf()
    server.start()
    connector = server.connector()
    with Talkers(fake, new_session, [bosh.Endpoint(server.port)], 3) as talkers:
        for build, how in ((other, signal.SIGUSR1), (first, signal.SIGHUP),
                           (other, signal.SIGHUP), (first, signal.SIGUSR1)):
            inode, before = install(build, path), talkers.sent()
            signal_parent(server, how)
            until(lambda: server.children() and
                  all(loaded(pid, path) == {inode} for pid in server.children()), 20,
                  "children with the new build")
            until(lambda: talkers.sent() > before + 6, 20, "some traffic")
    assert server.connectors() == [connector] and loaded(connector, path) == {begun_with}
    assert server.count_log("BOSH2004") == 0


@pytest.mark.skipif(not os.path.exists(FAULTS) or httpd.ASAN,
                    reason="needs a second build, without AddressSanitizer: --enable-faults")
@pytest.mark.parametrize("how", [signal.SIGUSR1, signal.SIGHUP], ids=["gracefully", "hard"])
def test_module_that_keeps_sessions_in_another_way_begins_anew(make_httpd, fake, new_session,
                                                               how, monkeypatch):
    monkeypatch.setenv("BOSH_FAULT", "other-layout")
    server = make_httpd()
    held, idle = (Play(bosh.Endpoint(server.port), fake_of(fake), new_session).bound()
                  for _ in range(2))
    held.session.hold().held()
    idle.server.send(text_message("undelivered", " id='u'"))
    connector = server.connector()
    for path in (FAULTS, httpd.module_path()):
        replace_module(server, path, how)
        session = new_session(bosh.Endpoint(server.port)).open("echo.fake")
        assert session.ask(message("echo.fake", "new")).texts() == ["new"]
    assert server.count_log("BOSH2004") == 2
    if how == signal.SIGUSR1:
        answers = held.end_of_session()
        # httpd lets its children answer all that wait before it looks at the new module.
        assert answers[-1].condition in ("system-shutdown", "item-not-found")
    for p in (held, idle):
        p.server.wait_closing_tag()
    assert [b[2] for b in bounces(idle.server)] == ["u"]
    assert not procfs.is_alive(connector) and len(server.connectors()) == 1


def fake_of(fake):
    fake.mark()
    return fake


# ---- logs ----------------------------------------------------------------------------------


def open_files(pid):
    found = []
    for name in os.listdir("/proc/%d/fd" % pid):
        try:
            found.append(os.readlink("/proc/%d/fd/%s" % (pid, name)))
        except OSError:
            pass
    return found


def loggers(server):
    return [pid for pid in server.processes() if procfs.comm(pid) == "cat"]


def test_connector_keeps_no_log_of_others_open(make_httpd, fake, new_session):
    """The space of a rotated log is freed, and the program behind a piped one ends."""
    server = make_httpd(extra='CustomLog "|/bin/cat" "%r"\nBoshConnectors 2',
                        vhosts={"own": 'ErrorLog "|/bin/cat"\nCustomLog logs/own.log "%r"'})
    server.several_connectors(2)
    before = loggers(server)
    assert len(before) == 2
    for connector in server.connectors():
        until(lambda: [f for f in open_files(connector) if "/logs/" in f]
              and {f for f in open_files(connector) if "/logs/" in f}
              == {server.root + "/logs/error.log"}, 5, "only the error log to be open")
    server.graceful()
    until(lambda: not set(before) & set(loggers(server)), 15, "the first loggers to end")


def test_error_log_that_is_copied_and_truncated(make_httpd, fake, new_session):
    server = make_httpd()
    path = os.path.join(server.root, "logs", "error.log")
    new_session(bosh.Endpoint(server.port)).open("echo.fake")
    os.truncate(path, 0)
    session = new_session(bosh.Endpoint(server.port)).open("echo.fake")
    session.terminate()
    until(lambda: "BOSH1003" in server.log_text(), 10, "a line of the connector")
    assert "\0" not in server.log_text()


def test_error_log_program_that_dies(make_httpd, fake, new_session):
    """httpd starts another one at the next restart; until then nobody blocks or dies of it,
    and what would be logged is lost."""
    server = make_httpd(start=False, server_limit=2)
    log = os.path.join(server.root, "logs", "error.log")
    server.extra = 'ErrorLog "|$/bin/cat >> %s"' % log
    server.write_conf()
    server.start()
    connector = server.connector()
    session = new_session(bosh.Endpoint(server.port), stubborn=True).open("echo.fake")
    for pid in until(lambda: loggers(server), 10, "the log's program"):
        os.kill(pid, signal.SIGKILL)
    for n in range(20):
        new_session(bosh.Endpoint(server.port)).open("echo.fake").terminate()
        assert session.ask(message("echo.fake", "n%d" % n)).texts() == ["n%d" % n]
    server.graceful()
    ended = server.count_log("BOSH1003")
    new_session(bosh.Endpoint(server.port)).open("echo.fake").terminate()
    until(lambda: server.count_log("BOSH1003") > ended, 10, "a line of the connector")
    assert session.ask(message("echo.fake", "on")).texts() == ["on"]
    assert server.connector() == connector


# ---- stops -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGWINCH], ids=["at_once", "gracefully"])
def test_stop_waits_for_no_server_that_reads_nothing(make_httpd, fake, new_session, how):
    """Nor one after the other: four connectors together have five seconds."""
    server = make_httpd(extra="BoshConnectors 4")
    server.several_connectors(4)
    plays = []
    for _ in range(4):
        fake.mark()
        p = Play(bosh.Endpoint(server.port), fake, new_session, wait=0).after_features()
        p.server.stop_reading()
        while p.endpoint.wire().ask(p.session.bytes(
                "<message to='f@x' xmlns='jabber:client'><body>%s</body></message>"
                % ("x" * 200000))).status == 200:
            pass
        plays.append(p)
    other = new_session(bosh.Endpoint(server.port)).open("echo.fake")
    other.hold().held()
    began = time.monotonic()
    os.kill(server.parent, how)
    answer = other.collect()
    assert (answer.type, answer.condition) == ("terminate", "system-shutdown")
    until(lambda: not server.is_running() and not server.processes(), 20, "everything to end")
    assert time.monotonic() - began < httpd.STOP[how] * PATIENCE
    assert server.count_log("BOSH1013") == 4
    assert len(re.findall(r"session \d+ to \S+ ended after \d+ s: httpd stops",
                          server.log_text())) == 5
    assert server.count_log("BOSH2012") == 0


def test_stop_waits_for_no_connector_that_is_stopped(make_httpd, fake, new_session):
    server = make_httpd()
    session = new_session(bosh.Endpoint(server.port)).open("echo.fake")
    session.hold().held()
    procfs.stop(server.connector())
    began = time.monotonic()
    os.kill(server.parent, signal.SIGTERM)
    answer = session.collect()
    assert (answer.type, answer.condition) == ("terminate", "system-shutdown")
    until(lambda: not server.is_running() and not server.processes(), 20, "everything to end")
    assert time.monotonic() - began < httpd.STOP[signal.SIGTERM] * PATIENCE
    assert server.count_log("BOSH2012") == 1


def test_graceful_stop_that_takes_too_long_becomes_a_stop(make_httpd, fake, new_session):
    """As GracefulShutdownTimeout says; our clients are told at its beginning."""
    server = make_httpd(extra="GracefulShutdownTimeout 3\nRequestReadTimeout body=5", servers=2)
    endpoint = bosh.Endpoint(server.port)
    session = new_session(endpoint).open("echo.fake")
    session.hold().held()
    slow = endpoint.wire()
    slow.send_raw(b"POST /http-bind HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\n\r\n<body")
    until(lambda: procfs.has_read_all(endpoint.port, slow.client_port), 5, "it to be read")
    began = time.monotonic()
    os.kill(server.parent, signal.SIGWINCH)
    answer = session.collect()
    assert (answer.type, answer.condition) == ("terminate", "system-shutdown")
    assert server.is_running() and time.monotonic() - began < 3
    fake.connection().wait_ended()
    assert fake.connection().stream_closed
    until(lambda: not server.is_running() and not server.processes(), 15, "everything to end")
