# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a crashed process was doing; and crashes that are httpd's own making, seen without the
module as well. All happen to children that end ungracefully, and take nothing with them:

- The event MPM's main thread closes the sockets its workers are busy with. A worker may just
  have destroyed the connection's pool, and the socket with it (once in some thousand stops).
- A child of prefork destroys its pools within the handler of the signal that ends it,
  wherever it was: in malloc(), say (once in some thousand children, more often with TLS)."""
import re
import subprocess

TIMEOUT = 60


def _threads(core, program):
    """Frames of each thread, the one first that the signal ended."""
    done = subprocess.run(["gdb", "-batch", "-nx", "-ex", "bt 60",
                           "-ex", "thread apply all bt 60", program, core],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          errors="replace", timeout=TIMEOUT)
    blocks = re.split(r"^Thread \d+ .*", done.stdout, flags=re.M)
    # Loading a core shows its first frame as well.
    return [re.findall(r"^#\d+ .*", block, re.M)[0 if n else 1:]
            for n, block in enumerate(blocks)]


def _crashed(frames):
    """httpd's handler of such signals sends them once more, to the process: any thread may
    be the one that is ended."""
    return len(frames) > 2 and "kill ()" in frames[0] \
        and "<signal handler called>" in frames[1]


def trace(core, program):
    """Where the thread was that crashed: gdb's words."""
    try:
        threads = _threads(core, program)
    except (OSError, subprocess.TimeoutExpired) as e:
        return "no trace: %s" % e
    for frames in threads:
        if _crashed(frames):
            return "\n".join(frames[2:])
    return "\n".join(threads[0]) or "no trace"


def _sections(text):
    """Innermost first: what ran when a signal came is a section of its own."""
    return re.split(r"^#\d+ +<signal handler called>$", text, flags=re.M)


def _is_closing_a_socket(frames):
    caller = next((n for n, f in enumerate(frames) if "mod_mpm_event" in f), 0)
    return caller and "main ()" in frames[-1] and \
        all(re.search(r" apr_(os_sock|socket|pool_cleanup)_\w+ ", f) for f in frames[:caller])


def is_httpds_own(text):
    """text: what trace() gave."""
    sections = _sections(text)
    for n, section in enumerate(sections):
        frames = section.strip().splitlines()
        if any("mod_bosh" in f for f in frames):
            return False
        if n + 1 < len(sections) and any("mod_mpm_prefork" in f for f in frames):
            return True
        if _is_closing_a_socket(frames):
            return True
    return False
