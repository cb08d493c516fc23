#!/usr/bin/env python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A log message is found by its BOSHNO(n): no number is used twice, and no message is
without one."""
import re

from tree import finish, name, sources

USE = re.compile(r"\bBOSHNO\(\s*(\w*)\s*\)")
# A call; a declaration has its type before it.
CALL = re.compile(r"(?<!\w )\b(?:ap_log_\w*error_?|bosh_log)\(")
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
# Calls that pass on a text which has its number already: the file, and the end of the call.
PASSED_ON = [
    ("mod_bosh/front/handler.c", 'r, "%s", text'),  # see complaint()
    ("mod_bosh/parent/connectors.c", 'log_server, "%s", text'),  # where bosh_log() leads to
]


def arguments(text, start):
    """From behind the opening parenthesis to the closing one."""
    depth, at = 1, start
    while depth:
        string = STRING.match(text, at)
        if string:
            at = string.end()
            continue
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 1
    return " ".join(text[start:at - 1].split())


def calls(path, text):
    """(row, arguments) of each call that logs; not of what defines those calls."""
    lines = text.splitlines()
    for call in CALL.finditer(text):
        row = text.count("\n", 0, call.start()) + 1
        if not lines[row - 1].startswith("#define"):
            yield row, arguments(text, call.end())


seen = {}
complaints = []
passed_on = set()
count = 0
for path in sources("mod_bosh", "include"):
    text = path.read_text()
    for row, line in enumerate(text.splitlines(), 1):
        if "#define BOSHNO" in line:
            continue
        for number in USE.findall(line):
            place = f"{name(path)}:{row}"
            if not re.fullmatch(r"\d{4}", number):
                complaints.append(f"{place}: BOSHNO({number}) is not a number of four digits")
            elif number in seen:
                complaints.append(f"{place}: BOSHNO({number}) is used in {seen[number]} too")
            seen.setdefault(number, place)
    for row, given in calls(path, text):
        count += 1
        if "BOSHNO(" in given:
            continue
        found = [key for key in PASSED_ON if key[0] == name(path) and given.endswith(key[1])]
        passed_on.update(found)
        if not found:
            complaints.append(f"{name(path)}:{row}: a message without BOSHNO: {given}")
complaints += [f"PASSED_ON names {key}, which is not there" for key in PASSED_ON
               if key not in passed_on]
finish(f"{len(seen)} message numbers in {count} calls", complaints)
