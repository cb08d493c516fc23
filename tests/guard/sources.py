#!/usr/bin/env python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Every source, test and script is named in a Makefile fragment.

One that is not would be missing from `make dist`, and a test would never run.
"""
from tree import SRC, finish, name, sources

# Not all that is below build: build/out may hold a whole tree, see build/check-dist.
lists = [SRC / "Makefile.am", *sorted((SRC / "build").glob("*.am")),
         *sources("mod_bosh", "tests", "docs", suffixes=(".am",))]
words = set()
for path in lists:
    words.update(path.read_text().replace("\\\n", " ").split())


def is_listed(path):
    own = name(path)
    return own in words or own.removesuffix(".c") in words or any(
        parent in words for parent in map(str, path.relative_to(SRC).parents) if "/" in parent)


complaints = []
for path in [*sources("mod_bosh", "include", "tests"), *sources("tests/guard", suffixes=(".py",))]:
    if not is_listed(path):
        complaints.append(f"{name(path)} is in no *.am")
for path in lists[1:]:
    if not any(f"include {name(path)}" in other.read_text() for other in lists):
        complaints.append(f"{name(path)} is included by no other *.am")
finish(f"{len(words)} words in {len(lists)} fragments", complaints)
