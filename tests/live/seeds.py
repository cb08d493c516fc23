# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Random numbers of a test. The same ones each time, so that a red run is about what was
changed; BOSH_SEED=N gives others, BOSH_SEED=random new ones in each run."""
import os
import random


def choose():
    """Prints the seed, so that a failure can be repeated."""
    text = os.environ.get("BOSH_SEED") or "1"
    seed = random.SystemRandom().randrange(10 ** 9) if text == "random" else int(text)
    print("BOSH_SEED=%d" % seed)
    return seed
