# Licensed under the Apache License, Version 2.0; see LICENSE.
"""An httpd that reaches echo.fake, and servers with whims of the test's own; all by TLS, and
through one connector."""
import re
import time

import bosh
from fakeserver import FEATURES_LOGIN
from strictxml import CLIENT, STREAMS
from tlsfront import TlsFront


class World:
    """odd: pairs of a mode and of what happens in each stage (TlsFront.at), for the servers of
    0.odd.fake, 1.odd.fake, and so on. stop() in the end."""

    def __init__(self, make_httpd, backend, ca, *odd):
        self.names = ["%d.odd.fake" % n for n in range(len(odd))]
        files = ca.issue(dns=["echo.fake"] + self.names)
        self.echo = TlsFront(backend, *files, mode="direct")
        self.fronts = [TlsFront(backend, *files, mode=mode, at=at) for mode, at in odd]
        domains = zip(["echo.fake"] + self.names, [self.echo] + self.fronts)
        self.httpd = make_httpd(
            domains=[(name, self.address(front)) for name, front in domains],
            extra='BoshConnectors 1\nBoshTLSCACertificateFile "%s"' % ca.file)
        self.endpoint = bosh.Endpoint(self.httpd.port)

    @staticmethod
    def address(front):
        scheme = "xmpps" if front.mode == "direct" else "xmpp"
        return "%s://127.0.0.1:%d tls=required" % (scheme, front.port)

    def stop(self):
        for front in [self.echo] + self.fronts:
            front.stop()


def greet(sock):
    """As a server does that has read the stream header."""
    sock.settimeout(None)
    read_until(sock, rb"<stream:stream [^>]*>")
    sock.sendall(("<stream:stream xmlns='%s' xmlns:stream='%s' id='1' version='1.0'>%s"
                  % (CLIENT, STREAMS, FEATURES_LOGIN)).encode())


def read_until(sock, end):
    """Up to that expression, or to the end."""
    data = bytearray()
    while not re.search(end, data[-1000:]):
        more = sock.recv(65536)
        if not more:
            break
        data += more
    return data


class Neighbour:
    """A session at echo.fake, which has nothing to do with the rest."""

    def __init__(self, world, new_session):
        self.session = new_session(world.endpoint).open("echo.fake")
        self.count = 0
        self.took = []

    def talk(self, times=1):
        for _ in range(times):
            self.count += 1
            began = time.monotonic()
            self.session.send_message("echo.fake", "e%d" % self.count)
            self.session.wait_message("e%d" % self.count)
            self.took.append(time.monotonic() - began)
