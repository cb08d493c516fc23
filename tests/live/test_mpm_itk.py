# Licensed under the Apache License, Version 2.0; see LICENSE.
"""mpm-itk forks a process for each connection: nobody could wake a request there. Clients are
told so at once, and the administrator too."""
import subprocess

import pytest

import bosh

# An empty module of that name: with the real one no other than root could run these tests.
STAND_IN = """
#include "httpd.h"
#include "http_config.h"
module AP_MODULE_DECLARE_DATA mpm_itk_module = { STANDARD20_MODULE_STUFF };
"""


def query(*what):
    return subprocess.run(what, check=True, capture_output=True, text=True).stdout.split()


@pytest.fixture
def itk(tmp_path):
    """LoadModule's arguments."""
    (tmp_path / "mpm_itk.c").write_text(STAND_IN)
    flags = query("apr-1-config", "--includes", "--cppflags")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", "mpm_itk.so", "mpm_itk.c", *flags,
                    "-I" + query("apxs", "-q", "INCLUDEDIR")[0]], check=True, cwd=tmp_path)
    return "LoadModule mpm_itk_module %s" % (tmp_path / "mpm_itk.so")


def test_requests_are_refused_at_once_and_the_log_says_why(make_httpd, fake, itk):
    server = make_httpd(mpm="prefork", threads=4, extra=itk)
    fake.mark()
    data = bosh.body_bytes(rid=bosh.first_rid(), to="echo.fake", wait=60, hold=1, ver="1.11")
    for _ in range(10):
        answer = bosh.Endpoint(server.port).wire().ask(data)
        assert (answer.status, answer.header("Retry-After")) == (503, "1")
    assert fake.since_mark() == []
    lines = [line for line in server.log_text().splitlines() if "BOSH0013" in line]
    assert len(lines) == 1 and "mpm_itk_module is loaded" in lines[0]
    assert ":error]" in lines[0]
