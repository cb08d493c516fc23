# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the guards share: where the tree is, its files, how to complain."""
import os
import pathlib
import sys

SRC = pathlib.Path(os.environ.get("TOP_SRCDIR", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("TOP_BUILDDIR", SRC))
SKIPPED = 77  # automake's word for it


def sources(*folders, suffixes=(".c", ".h")):
    """Our files below these folders, in a stable order."""
    for folder in folders:
        for path in sorted((SRC / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file():
                yield path


def name(path):
    return str(path.relative_to(SRC))


def finish(what, complaints):
    """One line per complaint; the exit status tells make check."""
    for line in complaints:
        print(line)
    print(f"{what}: {len(complaints) or 'no'} complaint{'' if len(complaints) == 1 else 's'}")
    sys.exit(1 if complaints else 0)
