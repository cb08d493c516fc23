#!/usr/bin/env python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A directive has a row in docs/directives.md, a line in docs/mod_bosh.conf and a test of
its merged value; and the documents name no directive that does not exist."""
import re

from tree import SRC, finish

ROW = re.compile(r'AP_INIT_\w+\(\s*"(Bosh\w+)"')
declared = ROW.findall((SRC / "mod_bosh/config/directives.c").read_text())

manual = (SRC / "docs/directives.md").read_text()
sample = (SRC / "docs/mod_bosh.conf").read_text()
tests = (SRC / "tests/live/test_config.py").read_text()
merge_table = re.search(r"^MERGES = \[$(.*?)^\]$", tests, re.M | re.S)

places = {
    "a section in docs/directives.md": set(re.findall(r"^## (Bosh\w+)", manual, re.M)),
    "a line in docs/mod_bosh.conf": set(re.findall(r"^\s*#?\s*(Bosh\w+) ", sample, re.M)),
    "a row in MERGES of tests/live/test_config.py":
        set(re.findall(r'"(Bosh\w+)"', merge_table.group(1) if merge_table else "")),
}
complaints = []
if not declared:
    complaints.append("no directive was found in mod_bosh/config/directives.c")
for directive in declared:
    complaints += [f"{directive} lacks {what}" for what, names in places.items()
                   if directive not in names]
for what, names in places.items():
    complaints += [f"{extra} has {what} but does not exist" for extra in sorted(names - set(declared))]
finish(f"{len(declared)} directives", complaints)
