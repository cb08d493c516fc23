# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Where an authority of a test's own may live."""
import contextlib
import os
import tempfile

from certs import Authority


@contextlib.contextmanager
def new_authority():
    """In a directory where a connector, which is not root, can read its certificate; pytest's
    own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="bosh-authority-") as root:
        inner = os.path.join(root, "authority")  # opens its parent as well
        os.mkdir(inner)
        yield Authority(inner)
