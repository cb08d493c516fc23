#!/usr/bin/env python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The module exports its module record and nothing else: httpd loads all modules into one
process, where a second name could be taken for somebody else's. Nor does it lack a name of
its own, which would be found out only when httpd loads it."""
import shutil
import subprocess
import sys

from tree import BUILD, SKIPPED, finish

module = BUILD / ".libs" / "mod_bosh.so"
if not module.exists() or not shutil.which("nm"):
    print("no mod_bosh.so, or no nm")
    sys.exit(SKIPPED)


def symbols(which):
    out = subprocess.run(["nm", "-D", which, str(module)], check=True,
                         capture_output=True, text=True).stdout
    return {line.split()[-1] for line in out.splitlines() if line.split()}


names = symbols("--defined-only") - {"_init", "_fini", "__bss_start", "_edata", "_end"}
complaints = [f"exports {extra}" for extra in sorted(names - {"bosh_module"})]
if "bosh_module" not in names:
    complaints.append("does not export bosh_module")
complaints += [f"lacks {name}" for name in sorted(symbols("--undefined-only"))
               if name.startswith("bosh_")]
finish(f"{len(names)} exported names", complaints)
