# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Two users who number their messages, so that a lost, doubled or misplaced one shows."""
from strictxml import CLIENT


def numbers(session):
    """Takes the numbered messages out of a session's inbox."""
    found = []
    for stanza in list(session.inbox):
        text = stanza.findtext("{%s}body" % CLIENT)
        if stanza.tag == "{%s}message" % CLIENT and text and text.startswith("number "):
            session.inbox.remove(stanza)
            found.append(int(text.split()[1]))
    return found


class Pair:
    def __init__(self, one, two):
        self.sessions = (one, two)
        self.sent = [0, 0]
        self.seen = [[], []]

    def say(self, who):
        """One more message from session `who` to the other."""
        me, you = self.sessions[who], self.sessions[1 - who]
        me.send_message(you.jid, "number %d" % self.sent[who])
        self.sent[who] += 1
        while len(me.pending) > 1:
            me.collect()
        self._gather(who)

    def _gather(self, who):
        self.seen[who] += numbers(self.sessions[who])

    def settle(self, timeout=15):
        """Until both have everything that was sent to them."""
        for who in (0, 1):
            session = self.sessions[who]
            self._gather(who)
            while len(self.seen[who]) < self.sent[1 - who]:
                session.hold()
                session.collect(timeout)
                assert session.ended is None, "the session ended: %r" % session.ended
                self._gather(who)

    def check(self):
        for who in (0, 1):
            assert self.seen[who] == list(range(self.sent[1 - who])), \
                "lost, doubled or out of order: %r" % self.seen[who]
