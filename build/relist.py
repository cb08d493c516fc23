#!/usr/bin/env python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Brings the lists in the Makefile fragments up to date with the files there are.

    make relist

Rewrites the sources in mod_bosh/ROOM/room.am, the doors in Makefile.am, and in
tests/unit/ROOM.am all that stands below the first empty line. What a room's tests are
compiled and linked with stands above it, and is written by hand, as is everything else.
tests/guard/sources.py tells when this is needed.
"""
import pathlib
import re

TOP = pathlib.Path(__file__).resolve().parents[1]


def files(folder, pattern):
    return sorted(str(path.relative_to(TOP)) for path in (TOP / folder).glob(pattern))


def assignment(variable, names):
    return f"{variable} =" + "".join(f" \\\n\t{name}" for name in names) + "\n"


def write(path, text):
    if path.read_text() != text:
        path.write_text(text)
        print(path.relative_to(TOP))


def replace_list(path, variable, names):
    """The assignment to variable, with all its continuation lines."""
    pattern = rf"^{variable} =.*(?:(?<=\\)\n.*)*\n"
    write(path, re.sub(pattern, lambda _: assignment(variable, names), path.read_text(), count=1,
                       flags=re.M))


def unit_tests(room):
    """The list of a room's test programs, and what each is made of."""
    prefix = room.upper()
    tests = files(f"tests/unit/{room}", "test_*.c")
    shared = [name for name in files(f"tests/unit/{room}", "*.[ch]") if name not in tests]
    text = assignment(f"{prefix}_TESTS", [name.removesuffix(".c") for name in tests])
    if shared:
        text += assignment(f"{prefix}_TEST_SHARED", shared)
    text += f"check_PROGRAMS += $({prefix}_TESTS)\nTESTS += $({prefix}_TESTS)\n"
    for name in tests:
        program = re.sub(r"\W", "_", name.removesuffix(".c"))
        text += "\n"
        if shared:
            text += f"{program}_SOURCES = {name} $({prefix}_TEST_SHARED)\n"
        text += f"{program}_CPPFLAGS = $({prefix}_TEST_CPPFLAGS)\n"
        text += f"{program}_LDADD = $({prefix}_TEST_LIBS)\n"
    return text


replace_list(TOP / "Makefile.am", "noinst_HEADERS", files("include/bosh", "*.h"))
for fragment in sorted(TOP.glob("mod_bosh/*/room.am")):
    folder = fragment.parent
    replace_list(fragment, f"lib{folder.name}_la_SOURCES",
                 files(folder.relative_to(TOP), "*.[ch]"))
for fragment in sorted(TOP.glob("tests/unit/*.am")):
    head = fragment.read_text().split("\n\n", 1)[0]
    write(fragment, head + "\n\n" + unit_tests(fragment.stem))
