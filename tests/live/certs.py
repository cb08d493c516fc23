# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Throw-away certificates, made by the openssl program: one for httpd at 127.0.0.1, and
those of an authority of the tests' own, good and bad."""
import os
import shutil
import subprocess
import tempfile
import time

EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
DAY = 86400


def make(directory):
    """Returns the paths of the certificate and of its key."""
    cert, key = os.path.join(directory, "site.crt"), os.path.join(directory, "site.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=127.0.0.1", "-addext", "basicConstraints=CA:FALSE",
                    "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", key, "-out", cert],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return cert, key


def _openssl(*args):
    subprocess.run(["openssl"] + [str(a) for a in args], check=True, capture_output=True)


class Authority:
    """`file` holds its certificate. clean_up() in the end."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="bosh-ca-")
        self.count = 0
        self.file, self.key = self._path("ca.crt"), self._path("ca.key")
        _openssl("req", "-x509", *EC, "-days", 30, "-subj", "/CN=Test authority",
                 "-addext", "basicConstraints=critical,CA:TRUE",
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                 "-keyout", self.key, "-out", self.file)
        for name in (self.directory, self.file):  # a connector is not root
            os.chmod(name, 0o755)

    def clean_up(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def _path(self, name):
        return os.path.join(self.directory, name)

    def issue(self, dns=(), srv=(), xmpp=(), common_name="", days=2, begins=0,
              self_signed=False, purpose="serverAuth"):
        """Paths of a certificate and of its key. srv: SRV-IDs; xmpp: xmppAddrs; begins, days:
        when it is valid, from now on."""
        self.count += 1
        cert, key = self._path("%d.crt" % self.count), self._path("%d.key" % self.count)
        request, config = self._path("%d.csr" % self.count), self._path("%d.cnf" % self.count)
        names = ["DNS:" + n for n in dns]
        names += ["otherName:1.3.6.1.5.5.7.8.7;IA5STRING:" + n for n in srv]
        names += ["otherName:1.3.6.1.5.5.7.8.5;UTF8:" + n for n in xmpp]
        with open(config, "w") as f:
            f.write("[v]\nbasicConstraints=CA:FALSE\nextendedKeyUsage=%s\n" % purpose)
            f.write("subjectAltName=%s\n" % ",".join(names) if names else "")
            f.write("[ca]\ndatabase=%s\nserial=%s\nnew_certs_dir=%s\ndefault_md=sha256\n"
                    "policy=p\nunique_subject=no\n[p]\ncommonName=optional\n"
                    % (self._path("index"), self._path("serial"), self.directory))
        open(self._path("index"), "w").close()
        with open(self._path("serial"), "w") as f:
            f.write("%04x\n" % (0x1000 + self.count))
        _openssl("req", "-new", *EC, "-subj", "/CN=" + (common_name or "a server"),
                 "-keyout", key, "-out", request)
        signer = ["-selfsign", "-keyfile", key] if self_signed else \
            ["-cert", self.file, "-keyfile", self.key]
        _openssl("ca", "-batch", "-config", config, "-name", "ca", "-extfile", config,
                 "-extensions", "v", "-in", request, "-out", cert, "-notext",
                 "-startdate", self._time(begins - 3), "-enddate", self._time(begins + days),
                 *signer)
        return cert, key

    @staticmethod
    def _time(days):
        return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + days * DAY))
