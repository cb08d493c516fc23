# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Every IP packet that this machine sends, on all interfaces. Needs the right to listen."""
import socket
import struct

ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 3, 0x0800, 0x86DD
TCP = 6
ROOM = 32 * 1024 * 1024  # for packets that nobody has looked at yet


class Tap:
    """From its beginning on; to be looked at when all is over."""

    def __enter__(self):
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
        self.sock.setblocking(False)
        self.ports = []
        return self

    def __exit__(self, *_):
        self.sock.close()

    def count_tcp(self, port):
        """Packets to that TCP port, wherever it is."""
        while True:
            try:
                data, where = self.sock.recvfrom(65536)
            except BlockingIOError:
                return self.ports.count(port)
            self.ports.append(tcp_port(data, where[1]))


def tcp_port(data, kind):
    """None if it is no TCP packet."""
    if kind == ETH_P_IP and data[9] == TCP:
        start = 4 * (data[0] & 15)
    elif kind == ETH_P_IPV6 and data[6] == TCP:
        start = 40
    else:
        return None
    return struct.unpack_from("!H", data, start + 2)[0]
