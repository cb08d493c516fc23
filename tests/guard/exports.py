#!/usr/bin/env python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The module as it was linked. It exports its module record and nothing else: httpd loads
all modules into one process, where a second name could be taken for somebody else's. Nor
does it lack a name of its own, which would be found out only when httpd loads it.

And it is hardened: configure leaves out what the compiler or linker does not take, and says
no more than "no" in the middle of its output. What matters must be there."""
import re
import shutil
import subprocess
import sys

from tree import BUILD, SKIPPED, finish

# Beside these configure tries flags that not every processor has.
COMPILER = ("-fvisibility=hidden", "-fno-strict-aliasing", "-fstack-protector-strong")

module = BUILD / ".libs" / "mod_bosh.so"
makefile = BUILD / "Makefile"
if not module.exists() or not shutil.which("nm") or not shutil.which("readelf"):
    print("no mod_bosh.so, or no nm, or no readelf")
    sys.exit(SKIPPED)


def output(*command):
    return subprocess.run([*command, str(module)], check=True, capture_output=True,
                          text=True).stdout


def symbols(which):
    """Without versions."""
    return {line.split()[-1].split("@")[0] for line in output("nm", "-D", which).splitlines()
            if line.split()}


def variable(name):
    """As configure wrote it into the Makefile."""
    return re.search(rf"^{name} = *(.*)$", makefile.read_text(), re.M).group(1)


def soft_spots():
    headers, dynamic = output("readelf", "-lW"), output("readelf", "-dW")
    if "GNU_RELRO" not in headers:
        yield "is linked without RELRO (-z relro)"
    if not re.search(r"\(FLAGS\).*BIND_NOW|\(FLAGS_1\).*\bNOW\b|\(BIND_NOW\)", dynamic):
        yield "is linked without BIND_NOW (-z now)"
    stack = re.search(r"GNU_STACK +(?:0x\w+ +){5}(\S+)", headers)
    if not stack or "E" in stack.group(1):
        yield "has an executable stack (-z noexecstack)"
    if "(TEXTREL)" in dynamic:
        yield "has text relocations"
    if "__stack_chk_fail" not in imported and "-O0" not in variable("CFLAGS"):
        yield "has no stack protector"
    hardening = variable("BOSH_HARDENING").split()
    for flag in COMPILER:
        if flag not in hardening:
            yield f"was compiled without {flag}, which the compiler did not take"
    if is_optimised() and "_FORTIFY_SOURCE" not in variable("BOSH_FORTIFY") + variable("CPPFLAGS") \
            + variable("CFLAGS"):
        yield "was compiled without _FORTIFY_SOURCE"


def is_optimised():
    return (variable("BOSH_ASAN") == "0" and "-O0" not in variable("CFLAGS")
            and "-O" in variable("CFLAGS"))


names = symbols("--defined-only") - {"_init", "_fini", "__bss_start", "_edata", "_end"}
imported = symbols("--undefined-only")
complaints = [f"exports {extra}" for extra in sorted(names - {"bosh_module"})]
if "bosh_module" not in names:
    complaints.append("does not export bosh_module")
complaints += [f"lacks {name}" for name in sorted(imported) if name.startswith("bosh_")]
complaints += soft_spots()
finish(f"{len(names)} exported names", complaints)
