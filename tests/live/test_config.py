# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Directives: what is refused and in which words, defaults, merging - by httpd -t on small
configurations, and -D DUMP_BOSH, which prints what came of them."""
import glob
import os
import re
import subprocess

import pytest

import httpd

HEAD = """
ServerRoot "{root}"
DefaultRuntimeDir "{root}"
PidFile "{root}/pid"
ErrorLog "{root}/error.log"
DocumentRoot "{root}"
ServerName main.example
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule bosh_module {module}
Listen 127.0.0.1:8
"""

# Directives with any number of values; the dump has a line for each.
LISTS = ("BoshDomain", "BoshDomainGone", "BoshAllowOrigin", "BoshAddressAllow", "BoshRoute")

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
OTHER_CERTIFICATE = sorted(glob.glob("/etc/ssl/certs/*.pem"))[0]

UNPRIVILEGED = "www-data"  # as in httpd.py

LOCATION = '<Location "/http-bind">\nSetHandler bosh\n</Location>\n'


def environment():
    """Sanitizers, if the module has them, must be loaded before everything else."""
    env = dict(os.environ)
    if httpd.ASAN:
        env["LD_PRELOAD"] = subprocess.run(["gcc", "-print-file-name=libasan.so"], check=True,
                                           capture_output=True, text=True).stdout.strip()
        env["ASAN_OPTIONS"] = "detect_leaks=0"
    return env


class Verdict:
    """What httpd -t said about a configuration."""

    def __init__(self, status, out, err):
        self.ok, self.out, self.err = status == 0, out, err

    @property
    def servers(self):
        """{"main server" or a virtual host's name: {directive: value or list}}"""
        servers = {}
        for line in self.out.splitlines():
            if line == "main server" or line.startswith("virtual host "):
                name = "main server" if line == "main server" else line.split()[2]
                values = servers.setdefault(name, {"Location": [], **{n: [] for n in LISTS}})
            elif line.startswith("    # <Location"):
                values["Location"].append(re.search('"(.*)"', line).group(1))
            elif line.split()[0] in LISTS:
                directive, value = line.split(None, 1)
                values[directive] += [] if value == "none" else [value]
            elif line.startswith("    Bosh"):
                name, value = line.split()
                values[name] = value
        return servers


@pytest.fixture
def check(tmp_path):
    """check(text) -> Verdict of httpd on that configuration."""
    def run(text):
        path = tmp_path / "httpd.conf"
        head = HEAD.format(root=tmp_path, modules=httpd.MODULES, module=httpd.module_path())
        path.write_bytes(head.encode() + (text if isinstance(text, bytes) else text.encode()))
        done = subprocess.run([httpd.APACHE, "-t", "-f", str(path), "-D", "DUMP_BOSH"],
                              capture_output=True, timeout=60, env=environment())
        return Verdict(done.returncode, done.stdout.decode(errors="replace"),
                       done.stderr.decode(errors="replace"))
    return run


def host(name, text):
    return f"<VirtualHost 127.0.0.1:8>\nServerName {name}\n{text}\n</VirtualHost>\n"


# ---- numbers -----------------------------------------------------------------

# directive, main server's value, a virtual host's, the default. What a virtual host
# may not have is None.
MERGES = [
    ("BoshDomain", ["main.example"], ["host.example"], []),
    ("BoshWait", "50", "40", "60"),
    ("BoshHold", "2", "0", "1"),
    ("BoshInactivity", "90", "75", "60"),
    ("BoshPolling", "0", "7", "5"),
    ("BoshMaxPause", "200", "0", "120"),
    ("BoshConnectTimeout", "20", "30", "15"),
    ("BoshMaxStreams", "2", "1", "4"),
    ("BoshMaxSessionsPerClient", "20", "30", "0"),
    ("BoshMaxNewPerClient", "20", "30", "0"),
    ("BoshMaxBody", "65536", "1048576", "262144"),
    ("BoshCompress", "on", "off", "off"),
    ("BoshTLS", "off", "optional", "required"),
    ("BoshTLSVerify", "off", "on", "on"),
    ("BoshTLSCACertificateFile", CERTIFICATES, OTHER_CERTIFICATE, "none"),
    ("BoshTLSCACertificatePath", "/etc/ssl/certs", "/etc/ssl", "none"),
    ("BoshAddressAllow", ["10.0.0.0/8"], ["fd00::/8"], []),
    ("BoshRoute", ["a.example:5222"], ["[::1]:1"], []),
    ("BoshAllowOrigin", ["https://a.example"], ["null"], []),
    ("BoshDomainGone", ["old.example"], ["older.example"], []),
    ("BoshSeeOtherURI", "https://a.example/x", "http://b.example:1/", "none"),
    ("BoshMaxSessions", "500", None, "10000"),
    ("BoshSharedMemory", "134217728", None, "67108864"),
    ("BoshConnectors", "2", None, "1"),
    ("BoshBlockingHolds", "0", None, "16"),
]
OF_HOSTS = [row for row in MERGES if row[2] is not None]
OF_MAIN = [row for row in MERGES if row[2] is None]


def line(directive, value):
    return f"{directive} {value[0] if isinstance(value, list) else value}\n"


@pytest.mark.parametrize("directive,main,own,default", MERGES)
def test_nothing_set_gives_the_default(check, directive, main, own, default):
    servers = check(host("a.example", "")).servers
    assert servers["main server"][directive] == default
    if own is not None:
        assert servers["a.example"][directive] == default


@pytest.mark.parametrize("directive,main,own,default", OF_HOSTS)
def test_host_inherits_from_main_server(check, directive, main, own, default):
    # The directive stands after the host: order in the file does not matter.
    servers = check(host("a.example", "BoshWait 33" if directive != "BoshWait" else "BoshHold 3")
                    + line(directive, main)).servers
    assert servers["main server"][directive] == main
    assert servers["a.example"][directive] == main


@pytest.mark.parametrize("directive,main,own,default", OF_HOSTS)
def test_host_overrides_main_server_and_nobody_else(check, directive, main, own, default):
    servers = check(line(directive, main) + host("a.example", line(directive, own))
                    + host("b.example", "")).servers
    assert servers["main server"][directive] == main
    assert servers["a.example"][directive] == own
    assert servers["b.example"][directive] == main


@pytest.mark.parametrize("directive,main,own,default",
                         [row for row in OF_HOSTS if row[0] not in LISTS])
def test_host_may_set_the_default_again(check, directive, main, own, default):
    servers = check(line(directive, main) + host("a.example", line(directive, default))).servers
    assert servers["a.example"][directive] == default


@pytest.mark.parametrize("directive,main,own,default", OF_MAIN)
def test_sizes_of_the_shared_things_belong_to_the_main_server(check, directive, main, own, default):
    assert check(line(directive, main)).servers["main server"][directive] == main
    verdict = check(host("a.example", line(directive, main)))
    assert not verdict.ok
    assert f"{directive} cannot occur within <VirtualHost> section" in verdict.err


@pytest.mark.parametrize("directive,main,own,default", MERGES)
def test_no_directive_in_a_location_or_directory(check, directive, main, own, default):
    for section in ("Location", "Directory"):
        verdict = check(f'<{section} "/x">\n{line(directive, main)}</{section}>\n')
        assert not verdict.ok
        assert f"{directive} not allowed in <{section}> context" in verdict.err


RANGES = [
    ("BoshWait", 1, 3600), ("BoshHold", 0, 4), ("BoshInactivity", 1, 86400),
    ("BoshPolling", 0, 3600), ("BoshMaxPause", 0, 86400), ("BoshConnectTimeout", 1, 300),
    ("BoshMaxStreams", 1, 4),
    ("BoshMaxSessionsPerClient", 0, 1000000),
    ("BoshMaxNewPerClient", 0, 1000000),
    ("BoshMaxSessions", 1, 1000000), ("BoshConnectors", 1, 16), ("BoshBlockingHolds", 0, 100000),
]


@pytest.mark.parametrize("directive,least,most", RANGES)
def test_number_outside_its_range_is_refused_by_name(check, directive, least, most):
    wrong = [least - 1, most + 1, "x", "+1", "1.5", "0x1", "1s", "1e3", "4294967297",
             "18446744073709551617"]
    for value in wrong:
        verdict = check(f"{directive} {value}\n")
        assert not verdict.ok, value
        assert (f"{directive} takes a whole number from {least} to {most}, not '{value}'"
                in verdict.err)
    for value in (least, most):
        servers = check(f"{directive} {value}\nBoshSharedMemory 16G\n").servers
        assert servers["main server"][directive] == str(value)


@pytest.mark.parametrize("directive,least,most", [
    ("BoshMaxBody", "1K", "16M"), ("BoshSharedMemory", "1M", "64G")])
def test_size_outside_its_range_is_refused_by_name(check, directive, least, most):
    number = {"1K": 1 << 10, "16M": 1 << 24, "1M": 1 << 20, "64G": 1 << 36}
    wrong = [number[least] - 1, number[most] + 1, "K", "-1M", "1MB", "1T", "1 M", "1.5M", "m1",
             "99999999999G", "17179869184G"]
    for value in wrong:
        verdict = check(f'{directive} "{value}"\n')
        assert not verdict.ok, value
        assert (f"{directive} takes a size from {least} to {most}, in bytes or with K, M or G "
                f"after the number, not '{value}'" in verdict.err)


@pytest.mark.parametrize("text,size", [
    ("2097152", 2097152), ("2048K", 2097152), ("2048k", 2097152), ("2M", 2097152),
    ("2m", 2097152)])
def test_size_may_have_a_unit(check, text, size):
    for directive in ("BoshMaxBody", "BoshSharedMemory"):
        servers = check(f"{directive} {text}\nBoshMaxSessions 100\n").servers
        assert servers["main server"][directive] == str(size)
    assert check("BoshSharedMemory 1g").servers["main server"]["BoshSharedMemory"] == str(1 << 30)


# ---- domains -----------------------------------------------------------------

@pytest.mark.parametrize("given,shown", [
    ("example.org", "example.org"),
    ("Example.ORG.", "example.org"),
    ("localhost", "localhost"),
    ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ("b\u00fccher.example", "b\u00fccher.example"),
    ("192.0.2.1", "192.0.2.1"),
    ("a" * 63 + ".example", "a" * 63 + ".example"),
    ("example.org xmpp://xmpp.example.org:5222", "example.org xmpp://xmpp.example.org:5222"),
    ("example.org xmpp://XMPP.example.org.", "example.org xmpp://xmpp.example.org:5222"),
    ("example.org xmpp://192.0.2.1:65535", "example.org xmpp://192.0.2.1:65535"),
    ("example.org xmpp://[2001:DB8::1]:1", "example.org xmpp://[2001:db8::1]:1"),
    ("example.org xmpp://[::1]", "example.org xmpp://[::1]:5222"),
    ("example.org xmpp://localhost:05222", "example.org xmpp://localhost:5222"),
    ("example.org xmpps://h", "example.org xmpps://h:5223"),
    ("example.org xmpps://[::1]:5222", "example.org xmpps://[::1]:5222"),
    ("example.org unix:/run/x", "example.org unix:/run/x"),
    ('example.org "unix:/run/a b=c"', 'example.org "unix:/run/a b=c"'),
    ("example.org unix:/" + "x" * 106, "example.org unix:/" + "x" * 106),
    ("*", "*"),
    ("*.Example.ORG.", "*.example.org"),
    ("*.localhost", "*.localhost"),
    ("* xmpp://H", "* xmpp://h:5222"),
    ("example.org TLS=Off", "example.org tls=off"),
    ("example.org tls=required verify=off", "example.org tls=required verify=off"),
    ("example.org max=7 proxy=v1 tls=optional", "example.org tls=optional proxy=v1 max=7"),
    ("example.org proxy=off", "example.org"),
    ("example.org Connecting=007 max=20", "example.org max=20 connecting=7"),
    ("example.org connecting=1000000", "example.org connecting=1000000"),
    ("example.org connecting=7 NEW=05 max=1", "example.org max=1 new=5 connecting=7"),
    ("example.org keepalive=1 connecting=1", "example.org connecting=1 keepalive=1"),
    ("example.org keepalive=3600", "example.org keepalive=3600"),
    ("example.org keepalive=0", "example.org"),
    ("example.org xmpps://h tls=required verify=on proxy=V2",
     "example.org xmpps://h:5223 tls=required verify=on proxy=v2"),
    ("*.example.org xmpp://h proxy=v2", "*.example.org xmpp://h:5222 proxy=v2"),
    ("localhost tls=optional verify=on", "localhost tls=optional verify=on"),
])
def test_domain_is_normalised(check, given, shown):
    verdict = check(f"BoshDomain {given}\n")
    assert verdict.servers["main server"]["BoshDomain"] == [shown], verdict.err


@pytest.mark.parametrize("name", [
    ".", "..", "a..b", ".a", "-a.example", "a-.example", "user@example.org",
    "example.org:5222", "example.org/x", "http://example.org", "[::1]", "::1", "a b", "a_b",
    "a" * 64 + ".example", ".".join(["a" * 60] * 5), "", "**", "*.", "*..", "*a.example", "*.*",
    "*.a..b", "*.*.example", "a.*.example", "*.192.0.2.1", "*.0x7f", "*.a_b", "*example", "1.2.3", "2130706433", "0x7f.1",
    "0x7f000001", "256.1.1.1", "a\u3002b", "a\uff0eb", "a\u00a0b", "a\u2028b", "a\u200bb",
    "a\uff20b", "a%b", "a\x7fb", "a\\b"])
def test_what_is_no_domain_is_refused(check, name):
    verdict = check('BoshDomain "%s"\n' % name.replace("\\", "\\\\"))
    assert not verdict.ok
    assert "BoshDomain takes the name of an XMPP domain such as example.org" in verdict.err


@pytest.mark.parametrize("name", [b"a\xc0\x80b", b"a\xffb", b"a\xed\xa0\x80b", b"\xe2\x82"])
def test_domain_that_is_not_utf8_is_refused(check, name):
    verdict = check(b'BoshDomain "' + name + b'"\n')
    assert not verdict.ok
    assert "BoshDomain takes the name of an XMPP domain" in verdict.err


@pytest.mark.parametrize("server", [
    "xmpp:", "xmpp://", "xmpp:///", "xmpp://:5222", "xmpp:example.org:5222", "xmpp://h:",
    "xmpp://h:0", "xmpp://h:65536", "xmpp://h:+1", "xmpp://h:5222/", "xmpp://h/x", "xmpp://u@h:1",
    "xmpp://::1", "xmpp://[::1", "xmpp://[::1]x", "xmpp://[fe80::1%lo]:1", "xmpp://[127.0.0.1]:1",
    "xmpp://[]:1", "xmpp://256.1.1.1:1", "xmpp://127.1:1", "xmpp://0x7f.1:1", "xmpp://2130706433",
    "xmpp://h h:1", "xmpp://h?x", "xmpp://h#x", "XMPP://h:1", "http://h:1", "xmpps:", "xmpps://h:0",
    "xmpps://h/", "unix:", "unix:run/x", "unix:/", "unix://run/x", "unix:///run/x", 
    "unix:/" + "x" * 107, "h:5222", "h", "xmpp://b\u00fccher.example:1", "xmpp://a_b:1"])
def test_what_is_no_server_is_refused(check, server):
    verdict = check(f'BoshDomain example.org "{server}"\n')
    assert not verdict.ok
    assert "BoshDomain takes xmpp://HOST:PORT, xmpps://HOST:PORT or unix:/PATH as an address" in verdict.err
    assert not server.isascii() or f"not '{server}'" in verdict.err


def test_path_of_a_socket_has_no_control_characters(check):
    verdict = check('BoshDomain example.org "unix:/a\tb"\n')
    assert not verdict.ok and "or unix:/PATH as an address" in verdict.err


@pytest.mark.parametrize("words,complaint", [
    ("tls=yes", "tls= takes required, optional or off, not 'yes'"),
    ("tls=direct", "tls= takes required, optional or off, not 'direct'"),
    ("tls=", "tls= takes required, optional or off, not ''"),
    ("tls=off tls=off", "tls= is given twice"),
    ("verify=1", "verify= takes on or off, not '1'"),
    ("proxy=on", "proxy= takes v1, v2 or off, not 'on'"),
    ("max=0", "max= takes a whole number from 1 to 1000000, not '0'"),
    ("max=1000001", "max= takes a whole number from 1 to 1000000, not '1000001'"),
    ("max=-1", "max= takes a whole number from 1 to 1000000, not '-1'"),
    ("new=0", "new= takes a whole number from 1 to 1000000, not '0'"),
    ("new=1000001", "new= takes a whole number from 1 to 1000000, not '1000001'"),
    ("new=1 new=2", "new= is given twice"),
    ("connecting=0", "connecting= takes a whole number from 1 to 1000000, not '0'"),
    ("connecting=1000001", "connecting= takes a whole number from 1 to 1000000, not '1000001'"),
    ("connecting=", "connecting= takes a whole number from 1 to 1000000, not ''"),
    ("connecting=1 connecting=1", "connecting= is given twice"),
    ("keepalive=3601", "keepalive= takes a whole number of seconds from 0 to 3600, not '3601'"),
    ("keepalive=-1", "keepalive= takes a whole number of seconds from 0 to 3600, not '-1'"),
    ("keepalive=off", "keepalive= takes a whole number of seconds from 0 to 3600, not 'off'"),
    ("xmpp://h b", "takes tls=, verify=, proxy=, max=, new=, connecting= and keepalive=, not 'b'"),
    ("xmpp://h xmpp://i", "connecting= and keepalive=, not 'xmpp://i'"),
    ("tls=off xmpp://h", "after the address, which comes first"),
    ("xmpp://h color=red", "max=, new=, connecting= and keepalive=, not 'color=red'"),
    ("color=red", "max=, new=, connecting= and keepalive=, not 'color=red'"),
    ("=on", "max=, new=, connecting= and keepalive=, not '=on'"),
    ("xmpps://h tls=off", "xmpps:// is TLS from the first byte, which tls=off contradicts"),
    ("xmpps://h tls=optional", "which tls=optional contradicts"),
    ("tls=off verify=on", "with tls=off there is no certificate to verify"),
    ("xmpp://127.1.2.3 verify=on", "verify=on needs tls=required or tls=optional beside it"),
    ("unix:/x verify=on", "verify=on needs tls=required or tls=optional beside it"),
])
def test_what_follows_a_domain_is_refused_if_it_is_wrong(check, words, complaint):
    verdict = check(f"BoshDomain A.example {words}\n")
    assert not verdict.ok
    assert "BoshDomain a.example: " in verdict.err and complaint in verdict.err


def test_domain_needs_a_name(check):
    assert "BoshDomain takes the name of an XMPP domain" in check("BoshDomain\n").err


@pytest.mark.parametrize("pattern", ["*", "*.a.example"])
def test_strangers_get_no_proxy_header(check, pattern):
    verdict = check(f"BoshDomain {pattern} proxy=v2\n")
    assert not verdict.ok
    assert f"BoshDomain {pattern}: proxy= needs an address" in verdict.err


def test_list_of_a_host_replaces_the_main_list(check):
    servers = check("BoshDomain a.example\nBoshDomain b.example xmpp://127.0.0.1:1\n"
                    + host("own.example", "BoshDomain c.example\nBoshDomain d.example")
                    + host("same.example", "")).servers
    assert servers["own.example"]["BoshDomain"] == ["c.example", "d.example"]
    assert servers["same.example"]["BoshDomain"] == ["a.example",
                                                     "b.example xmpp://127.0.0.1:1"]


def test_domain_twice_in_one_list_is_an_error(check):
    verdict = check("BoshDomain a.example\nBoshDomain A.example. xmpp://127.0.0.1:5222\n")
    assert not verdict.ok
    assert "BoshDomain a.example is given twice" in verdict.err
    assert "BoshDomain *.a is given twice" in check("BoshDomain *.a\nBoshDomain *.A.\n").err
    assert check("BoshDomain *\nBoshDomain *.a\nBoshDomain a\n").ok
    assert check("BoshDomain a.example\n" + host("x.example", "BoshDomain a.example")).ok


# How the server is spoken to: what the dump says of it, with BoshTLS as in the first column.
@pytest.mark.parametrize("general,given,way", [
    (None, "a.example", "where DNS says (SRV), TLS, certificate verified"),
    ("optional", "a.example", "where DNS says (SRV), STARTTLS if it offers that, certificate verified"),
    ("off", "a.example", "where DNS says (SRV), no TLS"),
    ("off", "a.example tls=required", "where DNS says (SRV), TLS, certificate verified"),
    (None, "a.example xmpp://h", "h:5222, STARTTLS, certificate verified"),
    (None, "a.example xmpp://h verify=off", "h:5222, STARTTLS, certificate not verified"),
    ("off", "a.example xmpps://h", "h:5223, TLS from the first byte, certificate verified"),
    (None, "a.example xmpps://127.0.0.1", "127.0.0.1:5223, TLS from the first byte, certificate verified"),
    ("off", "a.example xmpp://127.0.0.1", "127.0.0.1:5222, TLS if it requires that, certificate not verified"),
    (None, "a.example xmpp://[0:0::1]:7", "[0:0::1]:7, TLS if it requires that, certificate not verified"),
    (None, "a.example xmpp://[::2]", "[::2]:5222, STARTTLS, certificate verified"),
    (None, "a.example xmpp://[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]:5222, STARTTLS, certificate verified"),
    (None, "a.example xmpp://128.0.0.1", "128.0.0.1:5222, STARTTLS, certificate verified"),
    (None, "a.example xmpp://localhost", "localhost:5222, TLS if it requires that, certificate not verified"),
    (None, "a.example xmpp://x.localhost", "x.localhost:5222, STARTTLS, certificate verified"),
    (None, "a.example unix:/x", "a socket, TLS if it requires that, certificate not verified"),
    (None, "a.example unix:/x tls=required", "a socket, STARTTLS, certificate verified"),
    (None, "localhost", "localhost:5222, TLS if it requires that, certificate not verified"),
    (None, "a.localhost", "localhost:5222, TLS if it requires that, certificate not verified"),
    (None, "*.localhost", "localhost:5222, TLS if it requires that, certificate not verified"),
    (None, "127.0.0.1", "127.0.0.1:5222, TLS if it requires that, certificate not verified"),
    (None, "192.0.2.1", "192.0.2.1:5222, STARTTLS, certificate verified"),
    (None, "*", "where DNS says (SRV), TLS, certificate verified"),
])
def test_way_to_a_server(check, general, given, way):
    verdict = check((f"BoshTLS {general}\n" if general else "") + f"BoshDomain {given}\n")
    assert f"    # {given.split()[0]}: {way}\n" in verdict.out, verdict.err


def test_inherited_domain_goes_the_way_of_its_host(check):
    verdict = check("BoshDomain a.example\nBoshDomain b.example tls=required\n"
                    + host("x.example", "BoshTLS off\nBoshTLSVerify off"))
    main, own = verdict.out.split("virtual host ")
    assert "# a.example: where DNS says (SRV), TLS, certificate verified\n" in main
    assert "# a.example: where DNS says (SRV), no TLS\n" in own
    assert "# b.example: where DNS says (SRV), TLS, certificate not verified\n" in own


# ---- trust, networks, routes -------------------------------------------------------

@pytest.mark.parametrize("value", ["on", "direct", "local", "require"])
def test_tls_takes_one_of_its_words(check, value):
    verdict = check(f'BoshTLS "{value}"\n')
    assert not verdict.ok
    assert f"BoshTLS takes required, optional or off, not '{value}'" in verdict.err
    assert "BoshTLSVerify takes on or off, not 'none'" in check("BoshTLSVerify none").err


def test_certificates_are_relative_to_the_server_root(check, tmp_path):
    (tmp_path / "own ca.pem").write_text("# a comment\n-----BEGIN TRUSTED CERTIFICATE-----\n")
    (tmp_path / "certs").mkdir()
    verdict = check('BoshTLSCACertificateFile "own ca.pem"\nBoshTLSCACertificatePath certs\n')
    assert verdict.ok, verdict.err
    assert f'    BoshTLSCACertificateFile "{tmp_path}/own ca.pem"\n' in verdict.out
    assert f"    BoshTLSCACertificatePath {tmp_path}/certs\n" in verdict.out


@pytest.mark.parametrize("text", ["", "certificate", "-----BEGIN PRIVATE KEY-----\n",
                                  "-----BEGIN CERTIFICATE REQUEST-----\n"])
def test_file_without_a_certificate_is_refused(check, tmp_path, text):
    (tmp_path / "ca.pem").write_text(text)
    for where in ("BoshTLSCACertificateFile ca.pem",
                  host("a.example", "BoshTLSCACertificateFile ca.pem")):
        verdict = check(where + "\n")
        assert not verdict.ok
        assert (f"BOSH0006: BoshTLSCACertificateFile {tmp_path}/ca.pem: holds no certificate in "
                "PEM form" in verdict.err)


@pytest.mark.skipif(os.geteuid() != 0, reason="httpd stays who starts it")
@pytest.mark.parametrize("mode, warned", [(0o600, True), (0o640, True), (0o644, False)])
def test_certificates_for_root_only_are_warned_of(check, tmp_path, mode, warned):
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    (tmp_path / "ca.pem").chmod(mode)
    verdict = check(f"User {UNPRIVILEGED}\nBoshTLSCACertificateFile ca.pem\n" + host("a.example", ""))
    assert verdict.ok, verdict.err
    assert verdict.err.count(f"BOSH0012: BoshTLSCACertificateFile {tmp_path}/ca.pem: httpd's user "
                             f"{UNPRIVILEGED} may not be able to read it") == warned


def test_certificates_that_are_not_there_are_refused(check, tmp_path):
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    for directive, path, why in (("File", "none.pem", "No such file"), ("File", ".", "is not a file"),
                                 ("Path", "nowhere", "No such file"), ("Path", "ca.pem", "Not a dir")):
        verdict = check(f"BoshTLSCACertificate{directive} {path}\n")
        assert not verdict.ok
        assert re.search(rf"BOSH0006: BoshTLSCACertificate{directive} {tmp_path}/?\S*: {why}",
                         verdict.err), verdict.err
        assert check(f"BoshTLSCACertificate{directive} {path}\n"
                     f"BoshTLSCACertificate{directive} none\n").ok


@pytest.mark.parametrize("directive", ["BoshTLSCACertificateFile", "BoshTLSCACertificatePath"])
def test_path_that_is_too_long_is_refused(check, directive):
    verdict = check(f"{directive} /{'x' * 255}\n")
    assert not verdict.ok
    assert f"{directive} takes a path of at most 255 bytes, not '/x" in verdict.err
    assert not check(f'{directive} ""\n').ok


def test_undo_certificates_of_the_main_server(check):
    servers = check(f"BoshTLSCACertificateFile {CERTIFICATES}\nBoshTLSCACertificatePath /etc\n"
                    + host("a.example", "BoshTLSCACertificateFile none")).servers
    assert servers["a.example"]["BoshTLSCACertificateFile"] == "none"
    assert servers["a.example"]["BoshTLSCACertificatePath"] == "/etc"


@pytest.mark.parametrize("given,shown", [
    ("10.0.0.0/8", "10.0.0.0/8"), ("127.0.0.1", "127.0.0.1"), ("127.0.0.1/32", "127.0.0.1"),
    ("0.0.0.0/0", "0.0.0.0/0"), ("FD00::/8", "fd00::/8"), ("::1", "::1"), ("0:0::1/128", "::1"),
    ("::/0", "::/0"), ("192.168.4.0/23", "192.168.4.0/23"), ("fe80::/10", "fe80::/10")])
def test_network_is_normalised(check, given, shown):
    verdict = check(f"BoshAddressAllow {given}\n")
    assert verdict.servers["main server"]["BoshAddressAllow"] == [shown], verdict.err


@pytest.mark.parametrize("network", [
    "10", "10.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/255.0.0.0", "10.*",
    "0x7f.0.0.1", "010.0.0.1", "256.0.0.0", "::1/129", "[::1]", "fe80::1%lo", "a.example", "all",
    "10.0.0.0/8/8", "10.0.0.0/8,127.0.0.1"])
def test_what_is_no_network_is_refused(check, network):
    verdict = check(f'BoshAddressAllow "{network}"\n')
    assert not verdict.ok
    assert ("BoshAddressAllow takes networks such as 10.0.0.0/8 or fd00::/8, addresses such as "
            f"127.0.0.1, or none; not '{network}'" in verdict.err)


@pytest.mark.parametrize("network,hint", [
    ("10.1.2.3/8", "write 10.0.0.0/8"), ("192.168.1.0/23", "write 192.168.0.0/23"),
    ("fd00::1/8", "write fd00::/8"), ("::ffff:10.0.0.0/104", "write the IPv4 address itself")])
def test_network_that_means_another_is_refused(check, network, hint):
    verdict = check(f"BoshAddressAllow {network}\n")
    assert not verdict.ok and f"BoshAddressAllow {network}: " in verdict.err
    assert hint in verdict.err


def test_networks_are_few(check):
    eight = " ".join(f"10.0.0.{n}" for n in range(8))
    assert check(f"BoshAddressAllow {eight}\n").ok
    verdict = check(f"BoshAddressAllow {eight}\nBoshAddressAllow ::1\n")
    assert not verdict.ok and "BoshAddressAllow takes 8 networks at most" in verdict.err


@pytest.mark.parametrize("given,shown", [
    ("XMPP.example.org.:05222", "xmpp.example.org:5222"), ("[FD00::1]:65535", "[fd00::1]:65535"),
    ("127.0.0.1:1", "127.0.0.1:1")])
def test_route_is_normalised(check, given, shown):
    verdict = check(f"BoshRoute {given}\n")
    assert verdict.servers["main server"]["BoshRoute"] == [shown], verdict.err


@pytest.mark.parametrize("route", [
    "a.example", "a.example:", "a.example:0", "a.example:65536", "a.example:x", ":5222",
    "xmpp:a.example:5222", "xmpp://a.example:5222", "::1:5222", "[::1]", "127.1:5222", "*:5222",
    "u@a.example:5222", "a.example:5222/x", "b\u00fccher.example:5222"])
def test_what_is_no_route_is_refused(check, route):
    verdict = check(f'BoshRoute "{route}"\n')
    assert not verdict.ok
    assert "BoshRoute takes HOST:PORT, with a name, an IPv4 address or an [IPv6 address]" in verdict.err


# ---- lists and other words ------------------------------------------------------

@pytest.mark.parametrize("directive, first, second", [
    ("BoshDomainGone", "a.example", "b.example"),
    ("BoshAllowOrigin", "https://a.example", "http://b.example:8080"),
    ("BoshAddressAllow", "127.0.0.1", "fd00::/8"),
    ("BoshRoute", "a.example:5222", "[::1]:5222")])
def test_list_may_be_in_one_line_or_several_and_be_emptied(check, directive, first, second):
    servers = check(f"{directive} {first} {second}\n"
                    + host("same.example", "") + host("empty.example", f"{directive} none")
                    + host("two.example", f"{directive} {second}\n{directive} {first}")).servers
    assert servers["main server"][directive] == [first, second]
    assert servers["same.example"][directive] == [first, second]
    assert servers["two.example"][directive] == [second, first]
    assert servers["empty.example"][directive] == []
    # Said in words, so that what is printed means the same in a configuration file.
    verdict = check(f"{directive} {first}\n" + host("empty.example", f"{directive} none"))
    assert f"    {directive} none\n" in verdict.out
    for text in (f"{first} none", f"none {first}"):
        verdict = check(f"{directive} {text}\n")
        assert not verdict.ok and f"{directive} none stands alone" in verdict.err


@pytest.mark.parametrize("given, shown", [
    ("https://Chat.Example", "https://chat.example"), ("HTTPS://a:443", "https://a"),
    ("http://a:80", "http://a"), ("http://a:443", "http://a:443"), ("https://a:80", "https://a:80"),
    ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"), ("https://[::1]", "https://[::1]"),
    ("null", "null"), ("NULL", "null"), ("*", "*"), ("file://", "file://"),
    ("chrome-extension://abcdef", "chrome-extension://abcdef"), ("app://obsidian.md", "app://obsidian.md"),
    ("http://a_b.example:8080", "http://a_b.example:8080")])
def test_origin_is_normalised(check, given, shown):
    verdict = check(f"BoshAllowOrigin {given}\n")
    assert verdict.servers["main server"]["BoshAllowOrigin"] == [shown], verdict.err


@pytest.mark.parametrize("origin", [
    "chat.example", "https:chat.example", "https://", "https:///", "https://a/", "https://a/b",
    "https://a?b", "https://a#b", "https://u@a", "https://a:", "https://a:0", "https://a:65536",
    "https://a:x", "https://*.example", "https://a,https://b", "://a", "1http://a", "ht tp://a",
    "https://a b", "https://[::1", "https://[::1]x", "https://b\u00fccher.example", "https://a\""])
def test_what_is_no_origin_is_refused(check, origin):
    verdict = check("BoshAllowOrigin '%s'\n" % origin)
    assert not verdict.ok
    assert "BoshAllowOrigin takes origins such as https://www.example.org:8443" in verdict.err


@pytest.mark.parametrize("text", ["* https://a.example", "https://a.example *", "* *", "* null"])
def test_star_stands_alone(check, text):
    verdict = check(f"BoshAllowOrigin {text}\n")
    assert not verdict.ok and "BoshAllowOrigin * stands alone" in verdict.err


@pytest.mark.parametrize("uri", [
    "chat.example", "/http-bind", "//a/b", "ftp://a/b", "xmpp:a", "javascript:x", "https://", "https:///x",
    "https://u:p@a/b", "https://u@a/", "https://a/b#c", "https://a/b c", "https://a/<b>", "https://a/'",
    "https://a/\u00e9", "https://a/" + "x" * 1024])
def test_what_is_no_uri_is_refused(check, uri):
    verdict = check('BoshSeeOtherURI "%s"\n' % uri)
    assert not verdict.ok
    assert "BoshSeeOtherURI takes a URI such as https://www.example.org/http-bind" in verdict.err


@pytest.mark.parametrize("uri", ["https://a.example", "http://[::1]:5280/http-bind/",
                                 "HTTPS://A/b?c=d&e=%20", "https://a/" + "x" * 1014])
def test_uri_is_kept_as_it_is(check, uri):
    verdict = check(f"BoshSeeOtherURI {uri}\n")
    assert verdict.servers["main server"]["BoshSeeOtherURI"] == uri, verdict.err


def test_uri_of_the_main_server_can_be_undone(check):
    servers = check("BoshSeeOtherURI https://a.example/\n"
                    + host("b.example", "BoshSeeOtherURI none")).servers
    assert servers["b.example"]["BoshSeeOtherURI"] == "none"


@pytest.mark.parametrize("value", ["yes", "1", "gzip", "ono"])
def test_compress_takes_on_or_off(check, value):
    verdict = check(f'BoshCompress "{value}"\n')
    assert not verdict.ok and f"BoshCompress takes on or off, not '{value}'" in verdict.err


@pytest.mark.parametrize("name", ["user@a.example", "a..b", "xmpp://a", "a.example:5222", "*",
                                  "*.a.example"])
def test_what_is_no_domain_cannot_be_gone(check, name):
    verdict = check(f"BoshDomainGone {name}\n")
    assert not verdict.ok
    assert "BoshDomainGone takes the name of an XMPP domain such as example.org" in verdict.err


# ---- locations ---------------------------------------------------------------

def test_location_with_our_handler_is_found(check):
    servers = check(
        "BoshDomain a.example\n"
        + host("a.example", LOCATION)
        + host("b.example", '<Location "/http-bind">\nSetHandler server-info\n</Location>\n'
                            '<Location "/x">\nSetHandler "BOSH"\n</Location>')
        + host("c.example", '<LocationMatch "^/(a|b)$">\nSetHandler bosh\n</LocationMatch>')
        + host("d.example", '<Directory "/srv">\nSetHandler bosh\n</Directory>')).servers
    assert servers["main server"]["Location"] == []
    assert servers["a.example"]["Location"] == ["/http-bind"]
    assert servers["b.example"]["Location"] == ["/x"]
    assert servers["c.example"]["Location"] == ["^/(a|b)$"]
    assert servers["d.example"]["Location"] == []


def test_location_of_the_main_server_is_inherited(check):
    servers = check("BoshDomain a.example\n" + LOCATION + host("a.example", "")).servers
    assert servers["a.example"]["Location"] == ["/http-bind"]


# ---- contradictions ----------------------------------------------------------

@pytest.mark.parametrize("text,warning", [
    ("BoshInactivity 5\nBoshPolling 5\nBoshMaxPause 0\n",
     "BOSH0001: BoshInactivity 5 is not longer than BoshPolling 5"),
    ("BoshMaxPause 59\n", "BOSH0002: BoshMaxPause 59 is shorter than BoshInactivity 60"),
    (LOCATION, "BOSH0003: /http-bind is served by mod_bosh, but no BoshDomain is given"),
    ("BoshDomain a.example\nBoshDomain b.example\nBoshDomainGone B.example",
     "BOSH0004: b.example is named by BoshDomain and by BoshDomainGone"),
    ("BoshDomain a.example tls=off\n" + host("x.example", "BoshDomain b.example"),
     "BOSH0007: BoshDomain a.example: without TLS, passwords and messages pass through the network"),
    ("BoshTLS off\nBoshDomain a.example\n" + host("x.example", "BoshHold 2"),
     "BOSH0007: BoshDomain a.example: without TLS"),
    ("BoshDomain a.example\n" + host("x.example", "BoshTLS off"),
     "BOSH0007: BoshDomain a.example: without TLS"),
    ("BoshDomain a.example verify=off\n" + host("x.example", "BoshTLSVerify off"),
     "BOSH0008: BoshDomain a.example: verify=off: anybody on the way to the XMPP server"),
    ("BoshDomain *\n" + host("x.example", ""), "BOSH0009: BoshDomain * without an address"),
    ("BoshTLSVerify off\n" + host("x.example", ""), "BOSH0010: BoshTLSVerify off: anybody"),
    (host("x.example", "BoshTLSVerify off"), "BOSH0010: BoshTLSVerify off: anybody"),
    ("BoshTLS off\nBoshRoute a.example:5222 [::1]:5222\n" + host("x.example", ""),
     "BOSH0011: BoshRoute a.example:5222 and BoshTLS off"),
    ("BoshTLS off\nBoshDomain localhost tls=off\nBoshDomain a.example unix:/x tls=off\n"
     "BoshDomain b.example xmpp://127.0.0.2 tls=off\nBoshDomain c.example tls=required\n"
     "BoshDomain d.example xmpps://127.0.0.1 verify=off\n", None),
    ("BoshDomain * xmpp://127.0.0.1\nBoshDomain *.a.example\n", None),
    ("BoshMaxPause 0\n", None),
    ("BoshDomainGone b.example\n" + host("a.example", "BoshDomain a.example"), None),
    ("BoshDomain a.example\n" + LOCATION, None),
    (LOCATION + host("a.example", "BoshDomain a.example"), None),
    (LOCATION + host("a.example", "") + host("b.example", ""),
     "BOSH0003: /http-bind is served by mod_bosh, but no BoshDomain is given: every session"),
    (LOCATION + host("a.example", "") + host("b.example", "BoshDomain b.example")
     + host("c.example", ""), None),  # a and c merely inherit the location
    (LOCATION + host("a.example", LOCATION.replace("http-bind", "x"))
     + host("b.example", "BoshDomain b.example"),
     "BOSH0003: /x is served by mod_bosh, but no BoshDomain is given for a.example: every session"),
    (host("a.example", LOCATION) + host("b.example", LOCATION + "BoshDomain b.example")
     + host("c.example", ""),
     "BOSH0003: /http-bind is served by mod_bosh, but no BoshDomain is given for a.example"),
])
def test_contradictions_are_warned_of_once(check, text, warning):
    verdict = check(text)
    assert verdict.ok, verdict.err
    if warning:
        assert verdict.err.count(warning) == 1
        assert verdict.err.count(warning.split(":")[0]) == 1
    else:
        assert "BOSH0" not in verdict.err


# What this httpd takes: MaxRequestWorkers, and with the event MPM more that wait.
@pytest.mark.parametrize("text, most", [
    ("BoshMaxSessions 451", 450),
    ("BoshMaxSessions 450", None),
    ("ServerLimit 4\nThreadsPerChild 50\nMaxRequestWorkers 200\nAsyncRequestWorkerFactor 50\n"
     "BoshMaxSessions 10201", 10200),
    ("ServerLimit 4\nThreadsPerChild 50\nMaxRequestWorkers 200\nAsyncRequestWorkerFactor 50\n"
     "BoshMaxSessions 10200", None),
    ("MaxRequestWorkers 100\nAsyncRequestWorkerFactor 0.5\nBoshMaxSessions 200", 150),
    ("", None),  # who never thought of it is not bothered
])
def test_more_sessions_than_connections_are_warned_of_once(check, text, most):
    verdict = check("ServerLimit 16\nMaxRequestWorkers 150\n" * ("Limit" not in text) + text + "\n"
                    + host("a.example", "") + host("b.example", ""))
    assert verdict.ok, verdict.err
    assert verdict.err.count("BOSH0005") == (1 if most else 0)
    if most:
        assert f"but this httpd takes {most} connections at most" in verdict.err


# Each child needs a place, and so does each session, twice.
@pytest.mark.parametrize("text", [
    "", "BoshMaxSessions 1000000", "BoshMaxSessions 500\nBoshConnectors 16",
    "ServerLimit 300\nMaxRequestWorkers 7500\nBoshMaxSessions 100"])
def test_memory_too_small_for_the_sessions_is_refused(check, text):
    """httpd would not start; and the number in the message is one that helps."""
    complaint = r"BoshSharedMemory 1048576 is too small for BoshMaxSessions (\d+): it takes (\d+)"
    verdict = check(f"BoshSharedMemory 1M\n{text}\n")
    assert not verdict.ok
    sessions, least = map(int, re.search(complaint, verdict.err).groups())
    assert f"BoshMaxSessions {sessions}" in text or sessions == 10000
    assert check(f"BoshSharedMemory {least}\n{text}\n").ok
    assert not check(f"BoshSharedMemory {least - 1}\n{text}\n").ok


def test_host_that_contradicts_itself_is_warned_of(check):
    verdict = check(host("a.example", "BoshInactivity 4") + host("b.example", ""))
    assert verdict.err.count("BOSH0001") == 1
