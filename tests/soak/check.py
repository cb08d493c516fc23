#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Reads the logs of a soak (records.py tells what is in them) and says what was lost,
doubled, reordered, altered, and what else went against docs/guarantees.md.

    tests/soak/check.py FOLDER

One pass over all records in the order of time; of each session only what is not
settled yet is kept.
"""
import bisect
import collections
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "live")]

from records import BOUNCES, PEER, merged  # noqa: E402

LOGS = ("client.log", "server.log", "faults.log")
# The bounds of docs/guarantees.md, "The soak". What nobody was served in does not count:
# processes that the soak stops, and a machine that does not run the soak's own in time.
PATIENCE = float(os.environ.get("BOSH_PATIENCE") or 1)
GRACE = 5 * PATIENCE     # a request is held no longer than `wait` and this
WAKE = 3 * PATIENCE      # a stanza that finds a request held leaves within this
FORWARD = 5 * PATIENCE   # what was accepted that long before the stream broke came to the server
AFTERMATH = 0.5          # of standing still
CROSSING = 1.0           # a stanza sent that long before the closing tag was read may cross it

LOST = ("up-lost", "down-lost", "not-bounced")
DOUBLED = ("up-doubled", "down-doubled")
REORDERED = ("up-reordered", "down-reordered")
ALTERED = ("up-altered", "down-altered", "repeat-altered")


class Sequence:
    """Numbers that should come as 0, 1, 2...: says what is wrong with each."""

    def __init__(self):
        self.next = 0
        self.missing = set()

    def take(self, number):
        if number == self.next:
            self.next += 1
            return None
        if number > self.next:
            self.missing.update(range(self.next, number))
            self.next = number + 1
            return None          # the gap is judged at the end
        if number in self.missing:
            self.missing.discard(number)
            return "reordered"
        return "doubled"


class Session:
    def __init__(self, name):
        self.name, self.terms = name, None
        self.first = self.next_rid = None     # of answers in the order of rids
        self.begun = self.ended = self.opened = self.closed = None
        self.end = self.eof = self.fault = self.broken = None
        # up
        self.up, self.unreceived, self.hashes = Sequence(), {}, {}
        self.sizes, self.left, self.accepted = {}, {}, set()
        # down
        self.down, self.sent, self.bounced = Sequence(), [], {}
        self.waiting, self.shown = {}, {}
        self.seen = {}           # number -> rid of its answer
        self.proofs = []         # (all answers before this rid were here when, that was sent)
        self.parts = {}
        # requests
        self.asked, self.copies, self.digests, self.pending = {}, {}, {}, set()
        self.terminates = False
        self.accepted_at = {}
        self.troubled = 0.0      # when a request was last cut off, repeated or put off
        self.conditions = []
        self.idle_from, self.longest_idle = None, 0.0


class Stillness:
    """The times in which somebody was not run: [begin, end] each, in the order of their ends."""

    def __init__(self):
        self.times, self.stopped = [], {}

    def begin(self, pid, now):
        self.stopped[pid] = now

    def end(self, pid, now):
        if pid in self.stopped:
            self.times.append((self.stopped.pop(pid), now + AFTERMATH))

    def late(self, seconds, now):
        self.times.append((now - seconds, now + AFTERMATH))

    def within(self, begin, end):
        """Seconds of that time, those that overlap once."""
        times = self.times + [(t, end) for t in self.stopped.values()]
        total, last = 0.0, begin
        for first, after in sorted(times):
            first, after = max(first, last), min(after, end)
            if after > first:
                total, last = total + after - first, after
        return total


# Something took its time: whether too long is known when all records are read.
Delay = collections.namedtuple("Delay", "rule session rid begin end most text")


class Checker:
    def __init__(self):
        self.sessions, self.count = {}, collections.Counter()
        self.rules = collections.Counter()
        self.problems = []
        self.causes = collections.Counter()
        self.faults = collections.Counter()
        # Milliseconds -> how many; while a process was stopped, and else.
        self.wake, self.wake_stopped = collections.Counter(), collections.Counter()
        self.beyond_wait = collections.Counter()
        self.still, self.delays = Stillness(), []
        self.stopped, self.went_on = set(), 0.0
        self.connector_kills, self.kills = [], 0
        self.log_counts = collections.Counter()
        self.suspects = []
        self.now = 0.0

    # ---- what is wrong -------------------------------------------------------------

    def problem(self, rule, session, rid, text, when=None):
        self.rules[rule] += 1
        if self.rules[rule] <= 50:
            self.problems.append((rule, session, rid, round(when or self.now, 3), text))

    def took(self, rule, s, rid, begin, most, text, end=None):
        """From `begin` to `end`, that is now: may be too long."""
        end = end or self.now
        if end - begin > most:
            self.delays.append(Delay(rule, s.name, rid, begin, end, most, text))

    def judge_delays(self):
        for d in self.delays:
            if d.end - d.begin - self.still.within(d.begin, d.end) > d.most:
                self.problem(d.rule, d.session, d.rid, d.text % (d.end - d.begin), d.end)

    # ---- records -------------------------------------------------------------------

    def feed(self, record):
        self.now, event = record[0], record[1]
        if event[0] == "H":
            getattr(self, "on_" + event.replace(".", "_"))(*record[2:])
            return
        if record[2] is None:
            self.problem("bad-stream", None, None, record[3])
            return
        s = self.sessions.get(record[2])
        if s is None:
            s = self.sessions[record[2]] = Session(record[2])
        getattr(self, "on_" + event.replace(".", "_"))(s, *record[3:])
        if s.end and s.eof and event in ("C.end", "S.eof"):
            self.finish(s)

    def on_H_fault(self, what, *args):
        self.faults[what] += 1
        if what == "kill connector":
            self.connector_kills.append(self.now)
        if what.startswith("kill"):
            self.kills += 1
        if what.startswith("stop"):
            self.stopped.add(args[0])
            self.still.begin(args[0], self.now)

    def on_H_note(self, what, pid):
        self.stopped.discard(pid)
        self.still.end(pid, self.now)
        self.went_on = self.now

    def on_H_late(self, seconds):
        self.still.late(seconds, self.now)

    def on_H_log(self, what, count):
        self.log_counts[what] += count

    def on_C_open(self, s, terms):
        s.terms, s.begun = terms, self.now
        self.count["sessions"] += 1

    def on_C_send(self, s, rid, kind, stanzas, sha):
        self.count["requests"] += 1
        if s.first is None:
            s.first = s.next_rid = rid
        s.digests[rid] = sha
        s.proofs.append((s.next_rid, rid))
        s.terminates = s.terminates or kind == "terminate"
        for number, stanza in stanzas:
            s.unreceived[number] = rid
            s.hashes[number] = stanza
        if stanzas:
            s.sizes[rid] = s.left[rid] = len(stanzas)
        self._asked(s, rid)

    def on_C_again(self, s, rid, sha):
        self.count["repeats"] += 1
        if s.digests.get(rid) != sha:
            self.problem("client", s.name, rid, "the client did not repeat its own bytes")
        s.troubled = self.now
        s.copies[rid] = s.copies.get(rid, 0) + 1
        self._asked(s, rid)

    def _asked(self, s, rid):
        if not s.pending and s.idle_from is not None:
            s.longest_idle = max(s.longest_idle, self.now - s.idle_from)
        s.pending.add(rid)
        s.asked[rid] = self.now

    def _unasked(self, s, rid):
        s.pending.discard(rid)
        if not s.pending:
            s.idle_from = self.now

    def on_C_lost(self, s, rid, why, part):
        self.faults["client: " + why] += why.startswith(("cut", "aborted"))
        s.troubled = self.now
        self._unasked(s, rid)
        if why == "no answer":
            self.problem("unanswered", s.name, rid, "no answer in %.0f s"
                         % (self.now - s.asked.get(rid, self.now)))
        if part:
            self._check_part(s, rid, part)

    def _check_part(self, s, rid, part):
        """The beginnings that were read of one answer; equal lengths must be equal."""
        length, sha = part
        known = s.parts.setdefault(rid, {})
        if known.setdefault(length, sha) != sha:
            self.problem("repeat-altered", s.name, rid,
                         "begins otherwise than the copy that was cut after %d bytes" % length)

    def on_C_recv(self, s, rid, status, kind, condition, ack, stanzas, sha, begin):
        self._unasked(s, rid)
        asked = s.asked.get(rid, self.now)
        self.took("unanswered", s, rid, asked, s.terms["wait"] + GRACE, "answered after %.1f s")
        if self.now - asked > s.terms["wait"]:
            self.beyond_wait[int((self.now - asked - s.terms["wait"]) * 1000)] += 1
        if status != 200 or kind == "error":
            s.troubled = self.now
        if status != 200:
            self.count["http %s" % status] += 1
            if status != 503 or not kind:
                self.problem("http-status", s.name, rid, "%s, Retry-After %s" % (status, kind))
            return
        self.count["answers"] += 1
        if kind == "error":
            self.count["told to repeat"] += 1
        elif kind is None or kind == "terminate":
            self._answer(s, rid, kind, condition, stanzas, sha, begin)
        else:
            self.problem("bad-answer", s.name, rid, kind)

    def _answer(self, s, rid, kind, condition, stanzas, sha, begin):
        if kind is None:
            s.accepted.add(rid)
            s.accepted_at.setdefault(rid, self.now)
            if begin:
                self._check_part(s, rid, begin)
        else:
            s.conditions.append((condition, rid))
            if s.terminates and condition is None:
                s.accepted.update(r for r in s.digests)
        if rid in s.shown:
            if kind is None and s.shown[rid] not in (sha, "end"):
                self.problem("repeat-altered", s.name, rid, "not the answer it had before")
            elif kind is None:
                self.count["answers seen twice"] += 1
            elif s.shown[rid] != sha and not (s.fault or s.terminates or s.conditions):
                self.problem("repeat-altered", s.name, rid, "the end, and an answer before")
            return
        s.shown[rid] = sha if kind is None else "end"
        s.waiting[rid] = (stanzas, self.now)
        self._measure(s, rid, stanzas)
        while s.next_rid in s.waiting:
            self._see(s, s.next_rid)
            s.next_rid += 1
        if len(s.shown) > 64:
            for old in [r for r in s.shown if r < rid - 32]:
                s.parts.pop(old, None)
                s.digests.pop(old, None)
                s.asked.pop(old, None)
                s.accepted_at.pop(old, None)
                del s.shown[old]

    def _measure(self, s, rid, stanzas):
        """How long a stanza took to a request that waited for it."""
        if stanzas and rid not in s.copies and isinstance(stanzas[0][0], int) \
                and stanzas[0][0] < len(s.sent):
            sent = s.sent[stanzas[0][0]][2]
            is_stopped = self.stopped or sent < self.went_on + 0.5
            if s.asked[rid] < sent:
                (self.wake_stopped if is_stopped else self.wake)[int((self.now - sent) * 1000)] += 1
                # Answers leave in order: one whose request was cut off keeps the next ones.
                if s.troubled < sent:
                    self.took("woken-late", s, rid, sent, WAKE, "a stanza waited for %.1f s, and "
                              "a request for it")

    def _see(self, s, rid):
        stanzas, _ = s.waiting.pop(rid)
        for number, sha, kind in stanzas:
            if not isinstance(number, int) or number >= len(s.sent):
                self.problem("down-altered", s.name, rid, "%r was never sent" % number)
                continue
            wrong = s.down.take(number)
            if wrong:
                self.problem("down-" + wrong, s.name, rid, "number %d" % number)
            if s.sent[number][:2] != (sha, kind):
                self.problem("down-altered", s.name, rid, "number %d" % number)
            self.count["down"] += not wrong
            s.seen[number] = rid

    def on_C_bad(self, s, rid, numbers, status, kind, condition):
        self.count["bodies refused"] += 1
        if status == 503:
            return
        # A session that has ended meanwhile says so; all else is a refusal.
        if status != 200 or kind != "terminate" or condition != "bad-request":
            self.problem("not-refused", s.name, rid, "%s %s %s" % (status, kind, condition))

    def on_C_end(self, s, why):
        s.end, s.ended = why, self.now
        if s.opened is None:
            s.eof = s.eof or "never opened"
        if why in ("stuck", "gave up", "not logged in"):
            self.problem("stuck", s.name, max(s.pending, default=None),
                         "%s; open: %s" % (why, sorted(s.pending)))

    def on_S_open(self, s):
        s.opened = self.now

    def on_S_recv(self, s, stanzas):
        for number, sha in stanzas:
            rid = s.unreceived.pop(number, None)
            if not isinstance(number, int):
                self.problem("up-refused", s.name, None, "%s of a refused body" % number)
                continue
            if number not in s.hashes:
                self.problem("up-altered", s.name, rid, "%d was never sent" % number)
                continue
            wrong = s.up.take(number)
            if wrong:
                self.problem("up-" + wrong, s.name, rid, "number %d" % number)
            if s.hashes[number] != sha:
                self.problem("up-altered", s.name, rid, "number %d" % number)
            self.count["up"] += not wrong
            if rid is not None:
                s.left[rid] -= 1

    def on_S_sent(self, s, stanzas):
        for number, sha, kind in stanzas:
            s.sent.append((sha, kind, self.now))

    def on_S_bounce(self, s, bounces):
        for number, name, error, error_type, condition, to in bounces:
            self.count["bounced"] += 1
            kind = s.sent[number][1] if number < len(s.sent) else "never sent"
            wanted = BOUNCES.get(kind)
            found = (error_type, condition)
            if number in s.bounced:
                self.problem("bounced-wrongly", s.name, None, "number %d twice" % number)
            elif wanted != found or name != kind.partition("/")[0] + "/error" or to != PEER:
                self.problem("bounced-wrongly", s.name, None, "number %d, a %s, with %r to %s"
                             % (number, kind, found, to))
            s.bounced[number] = self.now

    def on_S_bad(self, s, text):
        self.problem("bad-stream", s.name, None, text)

    def on_S_fault(self, s, what):
        s.fault, s.broken = what, self.now
        self.faults["server: " + what] += 1

    def on_S_eof(self, s, how):
        s.eof, s.closed = how, self.now

    # ---- the end of a session --------------------------------------------------------

    def lost_connector(self, s):
        begun, ended = s.begun or 0, max(s.ended or 0, s.closed or 0) or self.now
        return any(begun <= t <= ended + 1 for t in self.connector_kills)

    def cause(self, s):
        """Why it ended, in a word; says so if there is none that is allowed."""
        told = {c for c, _ in s.conditions}
        rid = s.conditions[0][1] if s.conditions else None
        for condition in told:
            if condition is None:
                fine = s.terminates
            elif condition == "remote-stream-error":
                fine = s.fault in ("fin", "error", "close")
            elif condition == "remote-connection-failed":
                fine = s.fault in ("reset", "fin") or self.lost_connector(s)
            elif condition == "internal-server-error":
                fine = True      # bounded at the end
            elif condition == "item-not-found":
                # A busy machine, or a process that is stopped, may well take a few seconds.
                fine = s.longest_idle + 2 >= s.terms["inactivity"] or s.terms["inactivity"] < 5
            else:
                fine = False
            if not fine:
                self.problem("ended-without-cause", s.name, rid, "told %s" % condition)
        if "internal-server-error" in told:
            return "damaged"
        if s.fault:
            return "server"
        if self.lost_connector(s) and (s.eof == "cut" or "remote-connection-failed" in told):
            return "connector killed"
        if "item-not-found" in told:
            return "inactivity while in trouble"
        if s.terminates:
            return "terminated"
        if s.end == "vanished":
            return "vanished"
        return "not begun" if s.opened is None else "other"

    def finish(self, s):
        del self.sessions[s.name]
        for rid in sorted(s.waiting):
            self._see(s, rid)
        cause = self.cause(s)
        self.causes[cause] += 1
        if s.opened is None:
            return
        is_orderly = s.eof == "closed" and cause in ("terminated", "vanished",
                                                     "inactivity while in trouble")
        if s.eof == "cut" and cause not in ("server", "connector killed", "damaged"):
            self.problem("ended-without-cause", s.name, None, "its stream was cut; " + cause)
        # Of a session that was told its end, the last early payloads need not have gone up.
        self._finish_up(s, is_orderly and cause != "inactivity while in trouble")
        self._finish_down(s, cause, is_orderly)

    def _finish_up(self, s, is_orderly):
        for number in sorted(s.up.missing):
            self.problem("up-lost", s.name, s.unreceived.pop(number, None),
                         "number %d, and later ones came" % number)
        if not is_orderly:
            self.count["up, not known"] += len(s.unreceived)
            self._check_uncertain(s)
            return
        for number, rid in sorted(s.unreceived.items()):
            if rid in s.accepted:
                self.problem("up-lost", s.name, rid, "number %d of an accepted request" % number)
        for rid in sorted(set(s.unreceived.values())):
            if s.left[rid] < s.sizes[rid]:
                self.problem("up-lost", s.name, rid, "only a part of a body came")

    def _check_uncertain(self, s):
        """Only what was said last may be lost with a stream that breaks."""
        ends = [t for t in (s.broken, s.closed, s.ended) if t]
        ends += [t for t in self.connector_kills if t >= (s.begun or 0)]
        for number, rid in sorted(s.unreceived.items()):
            if rid in s.accepted_at:
                self.took("up-lost", s, rid, s.accepted_at[rid], FORWARD, "number %d, accepted "
                          "%%.1f s before the stream broke" % number, min(ends))

    def _finish_down(self, s, cause, is_orderly):
        for number in sorted(s.bounced):
            if number in s.seen:
                self.count["seen and bounced"] += 1
                self._check_proof(s, number)
        for number in sorted(s.down.missing - set(s.bounced)):
            self.problem("down-lost", s.name, None, "number %d, and later ones came" % number)
        unseen = [n for n in range(s.down.next, len(s.sent)) if n not in s.bounced]
        if is_orderly:
            self._must_have_bounced(s, unseen)
        elif s.fault in ("fin", "error", "close") and cause == "server" \
                and s.end == "told" and not s.terminates and not self.lost_connector(s):
            for number in unseen:
                self.problem("down-lost", s.name, None,
                             "number %d, sent before the server's %s" % (number, s.fault))
        else:
            self.count["down, with their stream"] += len(unseen)

    def _check_proof(self, s, number):
        """Only what the manager could not know to be seen may bounce: no request that said
        so, by its `ack` or the lack of it, was answered."""
        rid = s.seen[number]
        first = bisect.bisect_right(s.proofs, (rid, float("inf")))
        proof = s.proofs[first][1] if first < len(s.proofs) else None
        if proof in s.accepted and proof < s.next_rid:
            self.problem("seen-and-bounced", s.name, rid, "number %d; request %d told that it "
                         "was seen" % (number, proof))

    def _must_have_bounced(self, s, unseen):
        missing = [n for n in unseen if s.sent[n][1] in BOUNCES]
        crossing = [n for n in missing if s.sent[n][2] > s.closed - CROSSING
                    and n > max(s.bounced, default=-1)]
        self.count["crossed the closing tag"] += len(crossing)
        missing = [n for n in missing if n not in crossing]
        self.count["dropped in silence"] += len(unseen) - len(missing) - len(crossing)
        if not missing:
            return
        if s.end == "vanished" and self._is_presumed(s, missing):
            self.count["presumed received"] += len(missing)
        elif s.end == "vanished" and not s.bounced:
            self.suspects.append((s.name, missing))
        else:
            self._not_bounced(s.name, missing)

    @staticmethod
    def _is_presumed(s, missing):
        """A client without acks that had asked for more before it read the last answer, and
        then left: its newer request said that it has what was written before."""
        unanswered = [rid for rid in s.digests if rid not in s.shown]
        return (not s.terms["acks"] and len(unanswered) > 1
                and all(s.sent[n][2] < s.ended for n in missing))

    def _not_bounced(self, name, missing):
        for number in missing:
            self.problem("not-bounced", name, None, "number %d: neither seen nor bounced" % number)

    # ---- the end of all --------------------------------------------------------------

    def close(self):
        for s in list(self.sessions.values()):
            if s.opened and not s.eof:
                self.problem("left-open", s.name, None, "its stream was never closed")
                s.eof, s.closed = "left", self.now
            if not s.end:
                self.problem("stuck", s.name, None, "its client never ended")
            self.finish(s)
        self.judge_delays()
        # A damaged session whose client has vanished is told to nobody but the log.
        damaged = self.log_counts["damaged"]
        untold = max(damaged - self.causes["damaged"], 0)
        for name, missing in self.suspects[untold:]:
            self._not_bounced(name, missing)
        self.count["damaged in silence"] = min(untold, len(self.suspects))
        if max(damaged, self.causes["damaged"]) > self.kills:
            self.problem("too-many-damaged", None, None, "%d sessions, %d processes killed"
                         % (max(damaged, self.causes["damaged"]), self.kills))

    def total(self, rules):
        return sum(self.rules[r] for r in rules)

    @staticmethod
    def percentiles(counter):
        """Milliseconds."""
        found = {}
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1)):
            so_far, found[name] = 0, 0
            for ms in sorted(counter):
                so_far += counter[ms]
                if so_far >= share * sum(counter.values()):
                    found[name] = ms
                    break
        return found


def check(records):
    checker = Checker()
    for record in records:
        checker.feed(record)
    checker.close()
    return checker


def check_folder(folder):
    return check(merged([os.path.join(folder, name) for name in LOGS]))


def main():
    checker = check_folder(sys.argv[1])
    for problem in checker.problems:
        print(*problem, sep="  ")
    print(dict(checker.rules) or "nothing wrong", dict(checker.count), dict(checker.causes))
    return 1 if checker.rules else 0


if __name__ == "__main__":
    sys.exit(main())
