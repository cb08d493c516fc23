#!/usr/bin/env python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""docs/guarantees.md has rows for every fault, and for the threats of the way to XMPP servers;
each row names tests that exist, or says why there is none. A proof is `file::test`, or the soak."""
import re

from tree import PROOF, SRC, finish, missing_proofs

PLACE = "docs/guarantees.md"
FAULTS = [f"F{n:02}" for first, last in ((1, 11), (20, 28), (30, 41), (50, 51), (60, 67), (70, 77))
          for n in range(first, last + 1)]
THREATS = [f"T{n}" for first, last in ((10, 14), (56, 61), (82, 86))
           for n in range(first, last + 1)]
SOAK = "`tests/soak/run`"
ROW = re.compile(r"\| ([FT]\d\d) \|(.*)\|$")

complaints, seen = [], []
for number, line in enumerate((SRC / PLACE).read_text().splitlines(), 1):
    row = ROW.match(line)
    if not row:
        continue
    seen.append(row.group(1))
    cells = [cell.strip() for cell in row.group(2).split(" | ")]
    if len(cells) != 3 or not all(cells):
        complaints.append(f"{PLACE}:{number}: has not four cells, or one is empty")
        continue
    complaints += [f"{PLACE}:{number}: {what}" for what in missing_proofs(cells[2])]
    if not PROOF.search(cells[2]) and SOAK not in cells[2] and not cells[2].startswith("none: "):
        complaints.append(f"{PLACE}:{number}: neither a `file::test` nor \"none: \" and a reason")
for fault in FAULTS + THREATS:
    if fault not in seen:
        complaints.append(f"{PLACE}: {fault} has no row")
finish(f"{len(set(seen))} faults and threats", complaints)
