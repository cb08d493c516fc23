# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the guards share: where the tree is, its files, how to complain."""
import os
import pathlib
import re
import sys

SRC = pathlib.Path(os.environ.get("TOP_SRCDIR", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("TOP_BUILDDIR", SRC))
SKIPPED = 77  # automake's word for it
PROOF = re.compile(r"`((?:[a-z]+/)?test_\w+\.(?:py|c))::(\w+)`")

texts = {}


def sources(*folders, suffixes=(".c", ".h")):
    """Our files below these folders, in a stable order."""
    for folder in folders:
        for path in sorted((SRC / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file():
                yield path


def name(path):
    return str(path.relative_to(SRC))


def text_of(path):
    """That file of the tree; nothing if there is none."""
    return texts.setdefault(path, (SRC / path).read_text() if (SRC / path).is_file() else "")


def has_word(path, word):
    return re.search(rf"\b{word}\b", text_of(path))


def has_name(path, function):
    """Whether that file of the tree defines, or at least mentions, the function."""
    pattern = rf"^def {function}\(" if path.endswith(".py") else rf"\b{function}\("
    return re.search(pattern, text_of(path), re.M)


def missing_proofs(text):
    """What `file::test` names in a text that is not there: of Python, below tests/live or
    the folder named; of C, below tests/unit."""
    for path, function in PROOF.findall(text):
        inside = "tests/unit" if path.endswith(".c") else "tests" if "/" in path else "tests/live"
        own = f"{inside}/{path}"
        if not (SRC / own).is_file():
            yield f"{own} does not exist"
        elif not has_name(own, function):
            yield f"{own} has no {function}()"


def finish(what, complaints):
    """One line per complaint; the exit status tells make check."""
    for line in complaints:
        print(line)
    print(f"{what}: {len(complaints) or 'no'} complaint{'' if len(complaints) == 1 else 's'}")
    sys.exit(1 if complaints else 0)
