#!/usr/bin/env python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""docs/conformance.md has a row for every normative word of both XEPs and for every
terminal condition, and each row names code and tests that exist.

The XEPs are not part of the tree. Where they are, in the folder that BOSH_SPECS names
(xep-0124.xml, xep-0206.xml), the words are counted there too.
"""
import os
import pathlib
import re

from tree import PROOF, SRC, finish, has_name, has_word, missing_proofs

PLACE = "docs/conformance.md"
SECTION = re.compile(r"### ([\d.]+) ([\w-]+): .* \((\d+)\)$")
CODE = re.compile(r"`([a-z]+/\w+\.[ch])(?::(\w+))?`")
DIRECTIVE = re.compile(r"\bBosh[A-Z]\w+")
TOKEN = re.compile(r"`[^`]*`")
# What may stand instead of code of ours.
OTHERWISE = ("client:", "server:", "httpd:", "administrator's:", "not taken:")
WHOM = {"manager", "client", "both", "server"}
WORD = re.compile(r"\b(?:MUST|SHOULD)(?: NOT)?\b|\bMAY\b|\b(?:NOT )?RECOMMENDED\b"
                  r"|\bREQUIRED\b|\bOPTIONAL\b")

complaints = []


def numbers(text):
    """'1, 3-5' as [1, 3, 4, 5]; '-', which is about no such word, as []."""
    found = []
    if text == "-":
        return found
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            return None
        found += range(int(first), int(last or first) + 1)
    return found


def read_table():
    """[(document, number, anchor, count, [(place, cells)])]"""
    found, document = [], None
    for row, line in enumerate((SRC / PLACE).read_text().splitlines(), 1):
        heading = re.match(r"## (XEP-\d+)", line)
        section = SECTION.match(line)
        if line.startswith("## "):
            document = heading and heading.group(1)
        elif section and document:
            number, anchor, count = section.groups()
            found.append((document, number, anchor, int(count), []))
        elif line.startswith("### ") and document:
            complaints.append(f"{PLACE}:{row}: not NUMBER ANCHOR: TITLE (COUNT): {line}")
        elif line.startswith("| ") and document and found and not line.startswith("| n "):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            found[-1][4].append((f"{PLACE}:{row}", cells))
    return found


def check_counts(table):
    for document, number, anchor, count, rows in table:
        covered = []
        for place, cells in rows:
            of_row = numbers(cells[0])
            if of_row is None:
                complaints.append(f"{place}: {cells[0]} are no numbers of normative words")
            covered += of_row or []
        if sorted(covered) != list(range(1, count + 1)):
            complaints.append(f"{document} section {number} {anchor}: has {count} normative words, "
                              f"its rows are about {sorted(covered)}")


def missing_code(text):
    """What `room/file.c:function` names in a text that is not there."""
    for path, function in CODE.findall(text):
        if not (SRC / "mod_bosh" / path).is_file():
            yield f"mod_bosh/{path} does not exist"
        elif function and not has_name(f"mod_bosh/{path}", function):
            yield f"mod_bosh/{path} has no {function}()"


def check_code(place, text):
    found = CODE.findall(text)
    complaints.extend(f"{place}: {what}" for what in missing_code(text))
    own = set(DIRECTIVE.findall(text))
    complaints.extend(f"{place}: there is no directive {name}" for name in sorted(own - directives))
    for token in TOKEN.findall(text):
        if "/" in token and not CODE.fullmatch(token):
            complaints.append(f"{place}: {token} is not `room/file.c:function`")
    if not found and not own and not text.startswith(OTHERWISE) \
            and not any(f" {word}" in text for word in OTHERWISE):
        complaints.append(f"{place}: says by no code how it is met")


def check_proof(place, text):
    complaints.extend(f"{place}: {what}" for what in missing_proofs(text))
    found = PROOF.findall(text)
    if not found or len(found) != len(TOKEN.findall(text)):
        complaints.append(f"{place}: the proof is to be `file::test`")


def check_rows(table):
    for *_, rows in table:
        for place, cells in rows:
            if len(cells) != 5 or not all(cells):
                complaints.append(f"{place}: has not five cells, or one is empty")
                continue
            if cells[2] not in WHOM:
                complaints.append(f"{place}: binds {cells[2]}, which is nobody")
            check_code(place, cells[3])
            check_proof(place, cells[4])


def condition_rows():
    """{condition: (place, code, proof)} of the table of conditions."""
    found, is_inside = {}, False
    for row, line in enumerate((SRC / PLACE).read_text().splitlines(), 1):
        if line.startswith("## "):
            is_inside = line == "## Conditions"
        elif is_inside and line.startswith("| ") and not line.startswith("| Condition "):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if len(cells) != 4 or not all(cells) or cells[0] in found:
                complaints.append(f"{PLACE}:{row}: has not four cells, or one is empty or twice")
                continue
            found[cells[0]] = f"{PLACE}:{row}", cells[2], cells[3]
    return found


def names_constant(code, constant):
    return any(has_word(f"mod_bosh/{path}", constant) for path, _ in CODE.findall(code))


def check_conditions():
    """Each condition that there is comes from somewhere: one of the files that its row names
    says so."""
    source = (SRC / "mod_bosh/core/condition.c").read_text()
    known = {name: constant for constant, name in
             re.findall(r'\[(BOSH_COND_\w+)\] = "([a-z-]+)"', source)}
    rows = condition_rows()
    complaints.extend(f"{PLACE}: no row for the condition {name}"
                      for name in sorted(known.keys() - rows.keys()))
    for name, (place, code, proof) in rows.items():
        if name not in known:
            complaints.append(f"{place}: core/condition.c has no {name}")
        elif not names_constant(code, known[name]):
            complaints.append(f"{place}: no file of it says {known[name]}")
        check_code(place, code)
        check_proof(place, proof)
    return len(rows)


def check_prose():
    """What is below the tables names code and tests as well."""
    text = (SRC / PLACE).read_text().partition("\n## Departures\n")[2]
    if not text:
        complaints.append(f"{PLACE}: tells of no departures")
    for what in (*missing_code(text), *missing_proofs(text)):
        complaints.append(f"{PLACE}: below the tables: {what}")


def normative_words(text):
    """{(number, anchor): words} of a XEP's source, sections without any left out."""
    for left_out in (r"<!--.*?-->", r"<header>.*?</header>", r"<example.*?</example>"):
        text = re.sub(left_out, "", text, flags=re.S)
    at, found, number, anchor = [0, 0, 0], {}, "", ""
    for part in re.split(r"(<section\d[^>]*>)", text):
        opened = re.match(r"<section(\d).*anchor=['\"]([\w-]+)", part)
        if opened:
            level = int(opened.group(1))
            at[level - 1] += 1
            at[level:] = [0] * (3 - level)
            number, anchor = ".".join(map(str, at[:level])), opened.group(2)
            continue
        words = WORD.findall(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", part)))
        if words:
            found[number, anchor] = found.get((number, anchor), 0) + len(words)
    return found


def check_against_specs(table, folder):
    for document in ("XEP-0124", "XEP-0206"):
        path = folder / f"{document.lower()}.xml"
        if not path.is_file():
            complaints.append(f"BOSH_SPECS: {path} does not exist")
            continue
        said = {(number, anchor): count for name, number, anchor, count, _ in table
                if name == document}
        counted = normative_words(path.read_text())
        for section in sorted(said.keys() | counted.keys()):
            if said.get(section, 0) != counted.get(section, 0):
                complaints.append(f"{document} section {' '.join(section)}: the table says "
                                  f"{said.get(section, 0)} normative words, the text has "
                                  f"{counted.get(section, 0)}")


directives = set(re.findall(r'AP_INIT_\w+\(\s*"(Bosh\w+)"',
                            (SRC / "mod_bosh/config/directives.c").read_text()))
table = read_table()
if len(table) < 30:
    complaints.append(f"{PLACE}: only {len(table)} sections were understood")
check_counts(table)
check_rows(table)
conditions = check_conditions()
check_prose()
specs = os.environ.get("BOSH_SPECS")
if specs:
    check_against_specs(table, pathlib.Path(specs))
rows = sum(len(section[4]) for section in table)
words = sum(section[3] for section in table)
finish(f"{words} normative words in {rows} rows, {conditions} conditions"
       + (", counted in the XEPs as well" if specs else ""), complaints)
