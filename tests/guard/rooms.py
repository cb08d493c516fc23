#!/usr/bin/env python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""No room includes what it may not know.

The include paths already see to most of it (configure.ac's table). They cannot where a
library's headers stand in /usr/include itself, or where somebody writes "../".
"""
import re

from tree import SRC, finish, name, sources

ROW = re.compile(r"^BOSH_ROOM\(\[(\w+)\],\s*\[([^\]]*)\],\s*\[([^\]]*)\]\)", re.M)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
LIBRARIES = (
    ("LIBXML2", re.compile(r"libxml/")),
    ("OPENSSL", re.compile(r"openssl/")),
    ("CARES", re.compile(r"ares(_\w+)?\.h$")),
    ("APR", re.compile(r"ap[ru]_?\w*\.h$")),
    ("HTTPD", re.compile(r"(httpd|http_\w+|ap_\w+|util_\w+|mpm_common|scoreboard|unixd|mod_\w+)\.h$")),
)


def library_of(header):
    return next((lib for lib, pattern in LIBRARIES if pattern.match(header)), None)


def complaint(room, doors, libraries, quote, header):
    if ".." in header.split("/"):
        return "leaves its folder"
    if header.startswith("bosh/"):
        door = header[len("bosh/"):-len(".h")]
        return None if door in doors else f"{room} may not know {door}"
    if header == "mod_bosh.h":
        return None
    if quote == '"' and header.endswith("_int.h"):
        own = SRC / "mod_bosh" / ("" if room == "module" else room) / header
        return None if own.exists() else f"not a header of {room}"
    lib = library_of(header)
    known = libraries | ({"APR"} if "HTTPD" in libraries else set())
    return None if lib is None or lib in known else f"{room} may not know {lib}"


table = {room: (set(doors.split()), set(libs.split()))
         for room, doors, libs in ROW.findall((SRC / "configure.ac").read_text())}
complaints = [] if len(table) >= 8 else ["configure.ac: the table of BOSH_ROOM was not understood"]
for path in sources("mod_bosh"):
    room = path.parent.name if path.parent != SRC / "mod_bosh" else "module"
    if room not in table:
        complaints.append(f"{name(path)}: room {room} is not in configure.ac's table")
        continue
    for quote, header in INCLUDE.findall(path.read_text()):
        wrong = complaint(room, *table[room], quote, header)
        if wrong:
            complaints.append(f"{name(path)}: includes {header}: {wrong}")
finish(f"{len(table)} rooms", complaints)
