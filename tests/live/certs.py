# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A throw-away certificate for 127.0.0.1, made by the openssl program."""
import os
import subprocess


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
