# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Throw-away certificates, made by the openssl program."""
import os
import subprocess

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
SRV_NAME, XMPP_ADDR = "1.3.6.1.5.5.7.8.7", "1.3.6.1.5.5.7.8.5"


def run(*args):
    subprocess.run(["openssl", *args], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)



def make(directory):
    """For httpd at 127.0.0.1. Returns the paths of the certificate and of its key."""
    cert, key = os.path.join(directory, "site.crt"), os.path.join(directory, "site.key")
    run("req", "-x509", *KEY, "-days", "2", "-subj", "/CN=127.0.0.1",
        "-addext", "basicConstraints=CA:FALSE", "-addext", "subjectAltName=IP:127.0.0.1",
        "-keyout", key, "-out", cert)
    return cert, key


def make_ca(directory, name="ca"):
    """An authority. Returns the paths of its certificate and of its key."""
    cert, key = os.path.join(directory, f"{name}.crt"), os.path.join(directory, f"{name}.key")
    run("req", "-x509", *KEY, "-days", "2", "-subj", f"/CN=Test authority {name}",
        "-addext", "basicConstraints=critical,CA:TRUE",
        "-addext", "keyUsage=critical,keyCertSign", "-keyout", key, "-out", cert)
    return cert, key


def alt_names(dns=(), xmpp=(), srv=(), ip=()):
    """Lines of a section for subjectAltName; srv names have their service in front."""
    other = [f"{XMPP_ADDR};FORMAT:UTF8,UTF8:{name}" for name in xmpp]
    other += [f"{SRV_NAME};IA5:{name}" for name in srv]
    lines = [f"DNS.{i} = {name}" for i, name in enumerate(dns)]
    lines += [f"IP.{i} = {address}" for i, address in enumerate(ip)]
    return lines + [f"otherName.{i} = {name}" for i, name in enumerate(other)]


def issue(ca, directory, name, dns=(), xmpp=(), srv=(), ip=(), days=2, expired=False):
    """A server's certificate; ca is what make_ca() returned. Returns the paths of the
    certificate and of its key."""
    cert, key, request, extensions = (os.path.join(directory, f"{name}.{end}")
                                      for end in ("crt", "key", "csr", "ext"))
    names = alt_names(dns, xmpp, srv, ip)
    with open(extensions, "w", encoding="utf-8") as out:
        print("basicConstraints = CA:FALSE", "extendedKeyUsage = serverAuth", sep="\n", file=out)
        if names:
            print("subjectAltName = @names", "[names]", *names, sep="\n", file=out)
    run("req", "-new", *KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
    # It was valid once: `openssl x509` counts days from now only.
    dates = ["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"] if expired else \
        ["-days", str(days)]
    sign(ca, directory, request, extensions, cert, dates)
    return cert, key


def sign(ca, directory, request, extensions, cert, dates):
    """With `openssl ca`, which can give any dates, and wants to keep books."""
    books = os.path.join(directory, os.path.basename(cert) + ".books")
    os.mkdir(books)
    for file in ("index.txt", "index.txt.attr"):
        open(os.path.join(books, file), "w", encoding="utf-8").close()
    config = os.path.join(books, "ca.cnf")
    with open(config, "w", encoding="utf-8") as out:
        print("[ca]", "default_ca = this", "[this]", f"database = {books}/index.txt",
              f"new_certs_dir = {books}", "rand_serial = yes", "default_md = sha256",
              "policy = any", "[any]", "commonName = supplied", sep="\n", file=out)
    run("ca", "-batch", "-notext", "-utf8", "-config", config, "-cert", ca[0], "-keyfile", ca[1],
        "-in", request, "-extfile", extensions, "-out", cert, *dates)
