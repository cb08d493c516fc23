# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Fixtures of the live tests. Most tests share one httpd, one Prosody and one
scripted server; those that need another configuration, or that break things, make
their own with `make_httpd`. After every test all servers' logs are searched for
signs of a crash."""
import contextlib
import os
import resource
import signal

import pytest

import bosh
import httpd
from authority import new_authority
from blackhole import BlackHole
from fakeserver import FakeServer
from oddservers import World
from play import Play
from prosody import ACCOUNTS, DOMAIN, Prosody

# Whether the answers of a location are compressed; mod_brotli is not loaded.
ZIP = "AddOutputFilterByType DEFLATE text/xml text/html\n"
FAKES = ("echo", "crumbs", "silent", "late", "shut", "garbage", "puppet")
LIVE = []  # every Httpd that runs now


def pytest_configure(config):
    # However the tests are ended: nothing of theirs remains.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for server in LIVE:
            try:
                report.sections.append(("error log of httpd", server.log_text()[-6000:]))
            except OSError:
                pass


def need_module():
    assert os.path.exists(httpd.module_path()), \
        "%s is not there: build it, or set BOSH_MODULE" % httpd.module_path()


@pytest.fixture(scope="session")
def prosody():
    server = Prosody()
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="session")
def fake_server():
    server = FakeServer().start()
    yield server
    server.stop()


@pytest.fixture
def fake(fake_server):
    """The scripted server, ready to tell this test's connections apart."""
    fake_server.mark()
    return fake_server


def usual_domains(prosody, fake_server):
    domains = [(DOMAIN, prosody.address), ("elsewhere.example", prosody.address),
               ("refused.fake", "xmpp://127.0.0.1:1")]
    return domains + [(name + ".fake", fake_server.address) for name in FAKES]


class Site:
    """The shared httpd and where its manager can be reached."""

    def __init__(self, server):
        self.httpd = server
        self.main = bosh.Endpoint(server.port)
        self.tls = bosh.Endpoint(server.tls_port, tls=True)
        self.other_location = bosh.Endpoint(server.port, path="/other-bind")
        for name, port in server.port_of.items():
            setattr(self, name, bosh.Endpoint(port))


def run_server(server):
    LIVE.append(server)
    try:
        server.start()
    except BaseException:
        LIVE.remove(server)
        server.kill()
        raise
    return server


def end_server(server):
    LIVE.remove(server)
    server.stop()


@pytest.fixture(scope="session")
def shared_httpd(prosody, fake_server):
    need_module()
    server = run_server(httpd.Httpd(
        usual_domains(prosody, fake_server),
        vhosts={"other": "", "wide": "BoshHold 2",
                "short": "BoshInactivity 2\nBoshMaxPause 10\nBoshWait 8\nBoshPolling 1",
                "none": "BoshDomain lonely.fake xmpp://127.0.0.1:1",
                "least": "BoshMaxPause 0\nBoshMaxStreams 1",
                "streams": "BoshMaxStreams 3",
                "cors": "BoshAllowOrigin https://Chat.example http://plain.example:8080 null",
                "anyone": "BoshAllowOrigin *",
                "zip": ZIP + "BoshCompress on",
                "nozip": ZIP,
                "inflate": "BoshMaxBody 64K\n"
                           "<Location /http-bind>\nSetInputFilter DEFLATE\n</Location>",
                "match": '<LocationMatch "^/(a|b)$">\nSetHandler bosh\n</LocationMatch>\n'
                         '<Location "/c?">\nSetHandler bosh\n</Location>',
                "gone": "BoshDomainGone old.example Shut.Fake.",
                "moved": "BoshSeeOtherURI https://new.example/http-bind?a=1&b=2"}))
    yield server
    end_server(server)


@pytest.fixture
def site(shared_httpd):
    assert shared_httpd.is_running(), "the shared httpd has ended"
    return Site(shared_httpd)


@pytest.fixture
def make_httpd(prosody, fake_server):
    """make_httpd(**parameters of Httpd) starts one more; it is stopped, and what it
    leaves behind looked for, after the test."""
    need_module()
    made = []

    def make(start=True, domains=None, **how):
        if domains is None:
            domains = usual_domains(prosody, fake_server)
        server = httpd.Httpd(domains, **how)
        if start:
            run_server(server)
        else:
            LIVE.append(server)
        made.append(server)
        return server

    yield make
    problems = []
    for server in made:
        try:
            if hasattr(server, "parent"):
                end_server(server)
            else:
                LIVE.remove(server)
                server.kill()
        except AssertionError as e:
            problems.append(str(e))
    assert not problems, "\n".join(problems)


@pytest.fixture
def new_session():
    """new_session(endpoint) makes sessions whose sockets are closed at the end."""
    made = []

    def make(endpoint, **how):
        session = bosh.Session(endpoint, **how)
        made.append(session)
        return session

    yield make
    for session in made:
        session.close()


@pytest.fixture
def black_hole():
    """black_hole(host, port) makes a server that is silent."""
    made = []

    def make(*args, **how):
        made.append(BlackHole(*args, **how))
        return made[-1]

    yield make
    for hole in made:
        hole.stop()


@pytest.fixture(scope="module")
def ca():
    """The authority whose certificates are trusted."""
    with new_authority() as found:
        yield found


@pytest.fixture(scope="module")
def stranger():
    """An authority that the certificate is not from."""
    with new_authority() as found:
        yield found


@pytest.fixture
def odd_world(make_httpd, fake_server, ca):
    """odd_world(*odd) is a World of oddservers.py."""
    with contextlib.ExitStack() as stack:
        def make(*odd):
            made = World(make_httpd, fake_server.port, ca, *odd)
            stack.callback(made.stop)
            return made
        yield make


@pytest.fixture
def play(site, fake, new_session):
    """play(state) makes a session whose server the test plays, in that state."""
    def make(state="after_features", endpoint=None, **attrs):
        fake.mark()
        return getattr(Play(endpoint or site.main, fake, new_session, **attrs), state)()
    return make


@pytest.fixture
def romeo(site, new_session):
    return new_session(site.main).login(DOMAIN, "romeo", ACCOUNTS["romeo"])


@pytest.fixture
def juliet(site, new_session):
    return new_session(site.main).login(DOMAIN, "juliet", ACCOUNTS["juliet"])


@pytest.fixture(autouse=True)
def healthy():
    yield
    for server in list(LIVE):
        server.check_health()
