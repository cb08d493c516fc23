# Licensed under the Apache License, Version 2.0; see LICENSE.
"""TLS in front of a server that has none: direct, or by STARTTLS, honest or not. Behind it
is the scripted server, say; as that one ends a connection, so does this one. It keeps what it
was sent in the clear, and what TLS told."""
import contextlib
import os
import re
import select
import socket
import ssl
import threading

import procfs
from families import family_of
from strictxml import CLIENT, STREAMS

TLS = "urn:ietf:params:xml:ns:xmpp-tls"
PROCEED = "<proceed xmlns='%s'/>" % TLS
REQUIRED = "<starttls xmlns='%s'><required/></starttls>" % TLS
OFFERED = "<starttls xmlns='%s'/>" % TLS


class TlsFront:
    """mode: "direct", "starttls", or "plain" (no TLS, all goes to the backend). features:
    what is offered before TLS. reply: what is said to <starttls/>, before the handshake.
    version: "1.0", or None for none in the stream header. path: of a Unix socket, instead of
    host and port. at: is called with each stage that a connection comes to, and its socket; if
    it says True it has served that connection to its end. The stages: begun (the client's
    stream header has come), header, features (ours are said), asked (<starttls/> has come),
    proceed (said), handshake (is next), secured. record: the most that one TLS record carries.
    torn: bytes that go below TLS before the end."""

    def __init__(self, backend, cert=None, key=None, mode="starttls", features=REQUIRED,
                 reply=PROCEED, version="1.0", host="127.0.0.1", port=0, context=None,
                 proxy_lines=0, path=None, at=lambda stage, sock: False, record=65536, torn=b""):
        self.backend, self.mode = backend, mode
        self.features, self.reply, self.version = features, reply, version
        self.proxy_lines = proxy_lines
        self.at, self.record, self.torn = at, record, torn
        self.context = context or self._context(cert, key)
        self.clear, self.names, self.protocols, self.alpn, self.errors = [], [], [], [], []
        self.proxy = []
        self.accepted = self.carried = 0  # connections; those that got as far as the backend
        self._open, self._threads = set(), []
        if path:
            self._listener = socket.create_server(path, family=socket.AF_UNIX)
            os.chmod(path, 0o777)
        else:
            self._listener = socket.create_server((host, port), family=family_of(host))
            self.host, self.port = self._listener.getsockname()[:2]
        self._spawn(self._accept)

    def _context(self, cert, key):
        if cert is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        context.set_alpn_protocols(["xmpp-client"])
        context.sni_callback = lambda sock, name, c: self.names.append(name)
        return context

    def _spawn(self, function, *args):
        thread = threading.Thread(target=function, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._open.add(sock)
            self._spawn(self._serve, sock)

    def _serve(self, sock):
        try:
            sock.settimeout(20)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(self.proxy_lines):
                self.proxy.append(self._read_until(sock, b"\r\n", keep=False))
            if self.mode == "starttls" and not self._start_tls(sock):
                return
            if self.mode != "plain":
                if self.at("handshake", sock):
                    return
                sock = self._shake_hands(sock)
            if not self.at("secured", sock):
                self._carry(sock)
        except (OSError, ssl.SSLError) as e:
            self.errors.append(e)
        finally:
            sock.close()

    def _read_until(self, sock, end, keep=True):
        data = b""
        while end not in data:
            more = sock.recv(1)
            if not more:
                break
            data += more
        if keep:
            self.clear.append(data)
        return data

    def _start_tls(self, sock):
        header = self._read_until(sock, b"?>") + self._read_until(sock, b">")
        domain = re.search(rb" to='([^']*)'", header)
        version = " version='%s'" % self.version if self.version else ""
        if self.at("begun", sock):
            return False
        sock.sendall(("<stream:stream xmlns='%s' xmlns:stream='%s' id='clear' from='%s'%s>" % (
            CLIENT, STREAMS, domain.group(1).decode() if domain else "", version)).encode())
        if self.at("header", sock):
            return False
        if self.version:
            sock.sendall(("<stream:features>%s</stream:features>" % self.features).encode())
        if self.at("features", sock):
            return False
        if not self.reply:
            self.clear.append(sock.recv(4096))
            return False
        if b"<starttls" not in self._read_until(sock, b"/>") or self.at("asked", sock):
            return False
        sock.sendall(self.reply.encode())
        if not self.reply.startswith("<proceed"):
            self.clear.append(sock.recv(4096))
            return False
        return not self.at("proceed", sock)

    def _shake_hands(self, sock):
        self._open.discard(sock)
        sock = self.context.wrap_socket(sock, server_side=True)
        self._open.add(sock)
        self.protocols.append(sock.version())
        self.alpn.append(sock.selected_alpn_protocol())
        return sock

    def _carry(self, sock):
        self.carried += 1
        with socket.create_connection(("127.0.0.1", self.backend)) as back:
            sock.settimeout(None)
            end = socket.socket.close
            try:
                self._exchange(sock, back)
            except ConnectionResetError:
                end = procfs.reset
            if self.torn:
                os.write(sock.fileno(), self.torn)
            end(sock)

    def _exchange(self, sock, back):
        while True:
            pending = isinstance(sock, ssl.SSLSocket) and sock.pending()
            ready = [sock] if pending else select.select([sock, back], [], [])[0]
            for one, other in ((sock, back), (back, sock)):
                if one in ready:
                    data = one.recv(65536)
                    if not data:
                        return
                    for at in range(0, len(data), self.record):
                        other.sendall(data[at:at + self.record])

    def said_in_the_clear(self):
        return b"".join(self.clear)

    def stop(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # its thread would accept one more
        self._listener.close()
        for sock in list(self._open):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads[1:]:
            thread.join(5)
