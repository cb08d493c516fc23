# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The figures of a soak: as a table, and for others to read."""
import procfs
from check import ALTERED, DOUBLED, LOST, REORDERED
from faults import family


def status_kib(pid):
    """(anonymous, shared) resident memory in KiB."""
    found = {}
    try:
        with open("/proc/%d/status" % pid) as f:
            for line in f:
                if line.startswith(("RssAnon", "RssShmem")):
                    key, value = line.split()[:2]
                    found[key[:-1]] = int(value)
    except OSError:
        pass
    return found.get("RssAnon"), found.get("RssShmem")


def slope(points):
    """Least squares, per hour; None: too few points."""
    if len(points) < 10 or points[-1][0] - points[0][0] < 240:
        return None
    n = len(points)
    mean_x = sum(x for x, _ in points) / n
    mean_y = sum(y for _, y in points) / n
    square = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / square * 3600 if square else None


class Sampler:
    """Memory and descriptors over time, by kind of process."""

    EVERY = 5.0

    def __init__(self, server):
        self.server = server
        self.next = 0.0
        self.rows = []           # (time, kind, pid, anonymous, shared, descriptors)

    def __call__(self, now):
        if now < self.next:
            return
        self.next = now + self.EVERY
        children, connectors = family(self.server.parent)
        kinds = {"parent": [self.server.parent], "connector": connectors, "children": children}
        for kind, pids in kinds.items():
            for pid in pids:
                try:
                    anonymous, shared = status_kib(pid)
                    if anonymous is not None:
                        self.rows.append((now, kind, pid, anonymous, shared,
                                          procfs.fd_count(pid)))
                except OSError:
                    pass

    def figures(self):
        """Per kind: first and last, and the slope without the first quarter of the time;
        of a connector that was killed, the one that lived longest."""
        found = {}
        if not self.rows:
            return found
        begin, end = self.rows[0][0], self.rows[-1][0]
        for kind in ("parent", "connector", "children"):
            rows = [r for r in self.rows if r[1] == kind and r[0] >= begin + (end - begin) / 4]
            if kind == "connector" and rows:
                pids = [r[2] for r in rows]
                longest = max(set(pids), key=pids.count)
                rows = [r for r in rows if r[2] == longest]
                rows = rows[len(rows) // 6:]
            if kind == "children":
                times = sorted({r[0] for r in rows})
                per_time = {t: [r for r in rows if r[0] == t] for t in times}
                rows = [(t, kind, 0) + tuple(sum(r[i] for r in rs) / len(rs) for i in (3, 4, 5))
                        for t, rs in per_time.items()]
            if rows:
                found[kind] = {"anonymous_kib": round(rows[-1][3]),
                               "shared_kib": round(rows[-1][4]),
                               "descriptors": round(rows[-1][5]),
                               "anonymous_kib_per_hour": slope([(r[0], r[3]) for r in rows]),
                               "shared_kib_per_hour": slope([(r[0], r[4]) for r in rows])}
        return found


def figures(checker, sampler, seconds, extra):
    c = checker.count
    return {
        "seconds": round(seconds), **extra,
        "sessions": c["sessions"], "requests": c["requests"], "repeats": c["repeats"],
        "answers": c["answers"], "http 503": c["http 503"],
        "stanzas up": c["up"], "stanzas down": c["down"],
        "faults": {k: v for k, v in sorted(checker.faults.items()) if v},
        "lost": checker.total(LOST), "doubled": checker.total(DOUBLED),
        "reordered": checker.total(REORDERED), "altered": checker.total(ALTERED),
        "bounced": c["bounced"], "seen and bounced": c["seen and bounced"],
        "presumed received": c["presumed received"],
        "crossed the closing tag": c["crossed the closing tag"],
        "up, not known": c["up, not known"],
        "down, with their stream": c["down, with their stream"],
        "answers seen twice": c["answers seen twice"], "bodies refused": c["bodies refused"],
        "sessions ended by": dict(checker.causes), "damaged sessions": max(
            checker.causes["damaged"], checker.log_counts["damaged"]),
        "wake-up ms": checker.percentiles(checker.wake),
        "wake-up ms, stopped": checker.percentiles(checker.wake_stopped),
        "beyond wait ms": checker.percentiles(checker.beyond_wait),
        "memory": sampler.figures(), "rules broken": dict(checker.rules),
    }


def print_table(f):
    def row(name, value):
        print("  %-26s %s" % (name, value))

    def listed(d):
        return ", ".join("%s %s" % (k, v) for k, v in d.items()) or "none"

    for name in ("seconds", "seed", "sessions", "requests", "repeats", "answers", "http 503",
                 "stanzas up", "stanzas down"):
        row(name, f[name])
    print("  faults")
    for name, count in f["faults"].items():
        row("  " + name, count)
    for name in ("lost", "doubled", "reordered", "altered", "bounced", "seen and bounced",
                 "presumed received", "crossed the closing tag", "up, not known",
                 "down, with their stream", "answers seen twice", "bodies refused",
                 "damaged sessions"):
        row(name, f[name])
    row("sessions ended by", listed(f["sessions ended by"]))
    row("wake-up ms", listed(f["wake-up ms"]))
    row("  with a process stopped", listed(f["wake-up ms, stopped"]))
    row("beyond `wait` ms", listed(f["beyond wait ms"]))
    for kind, m in f["memory"].items():
        per_hour = m["anonymous_kib_per_hour"]
        row(kind, "%d KiB (%s KiB/h), %d KiB shared, %d descriptors"
            % (m["anonymous_kib"], "-" if per_hour is None else "%+.0f" % per_hour,
               m["shared_kib"], m["descriptors"]))
