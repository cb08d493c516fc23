# Licensed under the Apache License, Version 2.0; see LICENSE.
"""IPv4 and IPv6 of this machine."""
import socket

import pytest


def family_of(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def reason_to_skip():
    """Why there can be no server at ::1; None: there can."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as e:
        return "no IPv6 on loopback: %s" % e
    return None


reason = reason_to_skip()
needs_ipv6 = pytest.mark.skipif(reason is not None, reason=str(reason))
