# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The benchmark's numbers as tables that a person can read."""

LABELS = {"module": "mod_bosh before Prosody", "prosody": "Prosody's own BOSH",
          "alone": "mod_bosh, echoing server", "floor": "httpd, no sessions"}
UNITS = {"echo": "message", "poll": "empty poll", "login": "login and logout"}
ERRORS = ("failed", "lost", "doubled", "strays", "garbled", "terminated", "http_errors", "broken",
          "still_open")


def ours(run):
    """What our own processes cost; None if none of them is there."""
    if run is None or "httpd" not in run["cpu_us"]:
        return None
    return run["cpu_us"]["httpd"] + run["cpu_us"].get("connector", 0)


def find(loads, mode, name, sessions):
    for run in loads:
        if (run["mode"], run["name"], run["asked"]) == (mode, name, sessions):
            return run
    return None


def cell(value, form="{:.1f}"):
    return "-" if value is None else form.format(value)


def ms(us):
    return f"{us / 1000:.1f}" if us < 100000 else f"{us / 1000:.0f}"


def table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  " + row[0].ljust(widths[0]) + "".join(
            "  " + text.rjust(width) for text, width in zip(row[1:], widths[1:])))


def print_loads(loads, mode, sessions):
    chosen = [r for r in loads if r["mode"] == mode and r["asked"] == sessions]
    if not chosen:
        return
    floor = ours(find(loads, mode, "floor", sessions))
    print(f"\n{sessions} sessions, CPU in microseconds per {UNITS[mode]}")
    rows = [["", "per s", "p50 ms", "p99 ms", "max ms", "httpd", "connector", "Prosody", "ours",
             "x floor", "POSTs", "reconn", "load"]]
    for r in chosen:
        cpu, own = r["cpu_us"], ours(r)
        rows.append([LABELS[r["name"]], f"{r['per_second']:.0f}", ms(r["p50_us"]),
                     ms(r["p99_us"]), ms(r["max_us"]), cell(cpu.get("httpd")),
                     cell(cpu.get("connector")), cell(cpu.get("prosody")), cell(own),
                     cell(own / floor if own and floor else None, "{:.2f}"),
                     f"{r['requests_per_unit']:.2f}",
                     f"{r['reconnects'] / max(r['units'], 1):.2f}", f"{r['load_cpu_us']:.1f}"])
    table(rows)


def print_idle(idle):
    if not idle:
        return
    print("\nIdle sessions, one request held each: KiB per session")
    rows = [["", "sessions", "httpd", "connector", "shared", "ours", "Prosody", "kernel TCP",
             "login s"]]
    for r in idle:
        kib = r["kib"]
        rows.append([LABELS[r["name"]], str(r["sessions"]), cell(kib.get("httpd")),
                     cell(kib.get("connector")),
                     cell(kib.get("shared") if "httpd" in kib else None), cell(own_kib(r)),
                     cell(kib.get("prosody")), cell(r["tcp_kib"]), cell(r["login_seconds"])])
    table(rows)


def own_kib(run):
    kib = run["kib"]
    if "httpd" not in kib:
        return None
    return kib["httpd"] + kib.get("connector", 0) + kib.get("shared", 0)


def print_aims(loads, idle):
    """What the project wants of itself."""
    lines = []
    small, large = (ours(find(loads, "echo", "module", n)) for n in (100, 1000))
    peer = find(loads, "echo", "prosody", 100)
    if small and peer:
        part = small / peer["cpu_us"]["prosody"]
        lines.append((part <= 1 / 3, f"CPU per message is {part:.0%} of Prosody's on its own BOSH "
                                     "with 100 sessions (aim: a third at most)"))
    if small and large:
        lines.append((large / small < 1.25, f"it grows by {large / small - 1:.0%} from 100 to "
                                            "1,000 sessions (aim: less than 25 %)"))
    for r in idle:
        if own_kib(r) is not None:
            lines.append((own_kib(r) <= 32, f"{own_kib(r):.1f} KiB per idle session with "
                                            f"{r['sessions']} of them (aim: 32 at most)"))
            if r["asked"] >= 2000:
                lines.append((r["sessions"] == r["asked"], f"{r['sessions']} of {r['asked']} idle "
                              "sessions held in one child with 25 threads"))
    if lines:
        print("\nAims")
    for is_met, text in lines:
        print(f"  {'met   ' if is_met else 'missed'}  {text}")


def print_errors(runs):
    """True if nothing was lost, doubled or refused."""
    is_clean = True
    for r in runs:
        found = [f"{r[key]} {key}" for key in ERRORS if r[key]]
        if r["asked"] != r["sessions"] and r["mode"] != "login":
            found.append(f"{r['sessions']} of {r['asked']} sessions at the end")
        for text in found + r["complaints"][:5]:
            print(f"  {LABELS[r['name']]}, {r['mode']}, {r['asked']} sessions: {text}")
            is_clean = False
    if is_clean:
        print("  no message lost, doubled or garbled; no session lost; no error logged")
    return is_clean


def print_report(loads, idle):
    for mode, sessions in dict.fromkeys((r["mode"], r["asked"]) for r in loads):
        print_loads(loads, mode, sessions)
    print_idle(idle)
    print_aims(loads, idle)
    print("\nErrors")
    return print_errors(loads + idle)
