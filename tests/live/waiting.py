# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Waiting for a condition with a deadline, instead of sleeping."""
import os
import time

# Every deadline is multiplied by this: sanitizers, and some machines, are slow.
PATIENCE = float(os.environ.get("BOSH_PATIENCE")
                 or (4.0 if os.environ.get("BOSH_ASAN") == "1" else 1.0))


class TooLate(AssertionError):
    """The condition did not come true before its deadline."""


def until(condition, seconds=10.0, what="the condition", every=0.02):
    """Calls condition() until it returns something true, and returns that."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TooLate("waited %.1f s in vain for %s" % (seconds * PATIENCE, what))
        time.sleep(every)


def stays_false(condition, seconds, what="the condition", every=0.02):
    """The opposite: fails as soon as condition() is true. For promises that
    something does not happen; keep `seconds` short."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert not condition(), "%s came true" % what
        time.sleep(every)


def at_best_within(seconds, act, tries=5):
    """act() takes no longer than that, if nothing else keeps the machine busy: one try in
    several must do, so a poor moment spoils none, and what always waits is found out."""
    took = []
    for _ in range(tries):
        started = time.monotonic()
        act()
        took.append(time.monotonic() - started)
        if took[-1] < seconds * PATIENCE:
            return
    raise TooLate("takes %s s each time" % ", ".join("%.2f" % t for t in took))
