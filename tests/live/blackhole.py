# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A server that is not there: a listener nobody accepts from. The kernel throws away what comes
for it, as a machine that is off does."""
import contextlib
import ipaddress
import socket
import struct
import threading
import time

from families import family_of

SYN_SENT = "02"


def kernels_name(host, port):
    """As /proc/net/tcp has it: words of four bytes, each in the machine's own order."""
    packed = ipaddress.ip_address(host).packed
    words = struct.unpack("=%dI" % (len(packed) // 4), packed)
    return "".join("%08X" % word for word in words) + ":%04X" % port


class BlackHole:
    """Its queue is full, so whoever connects gets no answer at all. It sees who tries."""

    def __init__(self, host="127.0.0.1", port=0):
        self.family = family_of(host)
        self.listener = socket.create_server((host, port), family=self.family, backlog=0)
        self.host, self.port = self.listener.getsockname()[:2]
        self.fillers, self.tried, self.most = [], set(), 0
        while self._fill():
            pass
        self.first = set(self._connecting())
        self._stopping = False
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _fill(self):
        s = socket.socket(self.family)
        s.settimeout(0.3)
        self.fillers.append(s)
        with contextlib.suppress(TimeoutError):
            s.connect((self.host, self.port))
            return True
        return False

    def _connecting(self):
        """The local ports of those whose SYN has no answer yet."""
        there = kernels_name(self.host, self.port)
        with open("/proc/net/tcp6" if self.family == socket.AF_INET6 else "/proc/net/tcp") as f:
            rows = [line.split() for line in f]
        return [row[1] for row in rows if row[2] == there and row[3] == SYN_SENT]

    def _look(self):
        while not self._stopping:
            now = set(self._connecting()) - self.first
            self.tried |= now
            self.most = max(self.most, len(now))
            time.sleep(0.02)

    def stop(self):
        self._stopping = True
        self.thread.join(10)
        for s in self.fillers + [self.listener]:
            s.close()
