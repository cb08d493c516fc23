# Licensed under the Apache License, Version 2.0; see LICENSE.
"""dnsmasq, with the zones of dns.py: SRV, A and AAAA only, and no lies. What no honest name
server does is dns.py's business."""
import shutil
import signal
import subprocess

from dns import NODATA, Dns
from waiting import until

PROGRAM = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin")


def options(zones):
    """srv-host=NAME,TARGET,PORT,PRIORITY,WEIGHT; without a target there is no such service."""
    for name, records in zones.items():
        for kind, values in records.items():
            if kind == "SRV":
                for priority, weight, port, target in values:
                    end = "" if target == "." else ",%s,%d,%d,%d" % (target, port, priority, weight)
                    yield "--srv-host=%s%s" % (name, end)
            elif values != NODATA:
                yield from ("--host-record=%s,%s" % (name, address) for address in values)


class Dnsmasq:
    def __init__(self, zones):
        with Dns({}) as free:
            self.address = free.address
        self.process = subprocess.Popen(
            [PROGRAM, "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root",
             "--no-resolv", "--no-hosts", "--log-facility=-", "--bind-interfaces",
             "--listen-address=" + self.address, *options(zones)],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.log = []
        until(self._is_ready, 5, "dnsmasq to begin")

    def _is_ready(self):
        line = self.process.stderr.readline()
        assert line, "dnsmasq ended: %s" % self.log
        self.log.append(line)
        return "started" in line

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.send_signal(signal.SIGTERM)
        self.log += self.process.communicate(timeout=10)[1].splitlines(True)
