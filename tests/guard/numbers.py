#!/usr/bin/env python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A log message is found by its BOSHNO(n): no number is used twice."""
import re

from tree import finish, name, sources

USE = re.compile(r"\bBOSHNO\(\s*(\w*)\s*\)")
seen = {}
complaints = []
for path in sources("mod_bosh", "include"):
    for row, line in enumerate(path.read_text().splitlines(), 1):
        if "#define BOSHNO" in line:
            continue
        for number in USE.findall(line):
            place = f"{name(path)}:{row}"
            if not re.fullmatch(r"\d{4}", number):
                complaints.append(f"{place}: BOSHNO({number}) is not a number of four digits")
            elif number in seen:
                complaints.append(f"{place}: BOSHNO({number}) is used in {seen[number]} too")
            seen.setdefault(number, place)
finish(f"{len(seen)} message numbers", complaints)
