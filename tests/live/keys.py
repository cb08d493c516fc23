# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A client's key sequences (XEP-0124 section 15)."""
import hashlib


class Keys:
    """One sequence: next() gives K(n), the newkey, first, and the seed's own hash last. upper:
    as a client writes them that prefers capitals, and hashes them so."""

    def __init__(self, n=6, seed="a seed", upper=False):
        self.keys = []
        for _ in range(n):
            seed = hashlib.sha1(seed.encode()).hexdigest()
            self.keys.append(seed.upper() if upper else seed)
            seed = self.keys[-1]

    def next(self):
        return self.keys.pop()


class EndlessKeys:
    """The attributes of one request after the other: where a sequence ends, another begins.
    Each is as long as the dice say."""

    def __init__(self, dice):
        self.dice = dice

    def first(self):
        self.current = Keys(self.dice.randrange(2, 9), "%x" % self.dice.getrandbits(64))
        return {"newkey": self.current.next()}

    def next(self):
        attrs = {"key": self.current.next()}
        return attrs if self.current.keys else {**attrs, **self.first()}
