# Licensed under the Apache License, Version 2.0; see LICENSE.
"""TCP ports for servers that come, go and come again. The kernel gives none of these to a
connection that somebody opens meanwhile, and each process of the tests has a part of its own."""
import errno
import itertools
import socket

PART = 512
FIRST = 10000
CLAIM = "\0mod_bosh tests: ports from %d"  # a name without a file: it goes with the process


def _end():
    """Where those begin that the kernel gives away."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        return int(f.read().split()[0])


def _claim():
    for first in range(FIRST, _end() - PART + 1, PART):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(CLAIM % first)
        except OSError:
            claim.close()
            continue
        return claim, itertools.cycle(range(first, first + PART))
    raise RuntimeError("no ports are left between %d and %d" % (FIRST, _end()))


def _is_free(port):
    """At both loopback addresses. What has only just ended is no obstacle to a server: hence
    SO_REUSEADDR."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((host, port))
        except OSError as e:
            if e.errno == errno.EADDRINUSE:
                return False
    return True


_ours = []


def free_ports(count):
    """Unused; distinct, and not the ones given last."""
    if not _ours:
        _ours.extend(_claim())
    ports = filter(_is_free, itertools.islice(_ours[1], PART))
    found = list(itertools.islice(ports, count))
    assert len(found) == count, "no free ports"
    return found
