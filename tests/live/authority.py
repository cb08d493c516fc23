# Licensed under the Apache License, Version 2.0; see LICENSE.
"""An authority of a test's own, for as long as a fixture wants it."""
import contextlib

from certs import Authority


@contextlib.contextmanager
def new_authority():
    authority = Authority()
    try:
        yield authority
    finally:
        authority.clean_up()
