/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Defects and sudden deaths that a test calls up by name, to see that they are noticed.
 * Empty unless configured with --enable-faults.
 */
#include "bosh/base.h"

#ifdef BOSH_FAULTS

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOW_S 2

/* Each process counts only what its environment names. */
typedef struct fault_t {
    const char *variable;
    unsigned hits;
} fault_t;

/* 0: not named; else how often it was come to, and *every: the N behind the colon. */
static unsigned count_hit(fault_t *f, const char *name, unsigned *every)
{
    const char *asked = getenv(f->variable);
    size_t len = strlen(name);

    if (!asked || strncmp(asked, name, len) != 0 || (asked[len] && asked[len] != ':')) {
        return 0;
    }
    *every = asked[len] ? (unsigned)strtoul(asked + len + 1, NULL, 10) : 1;
    return __atomic_add_fetch(&f->hits, 1, __ATOMIC_RELAXED);
}

bool bosh_fault(const char *name)
{
    static fault_t fault = { .variable = "BOSH_FAULT" };
    unsigned every, hit = count_hit(&fault, name, &every);

    return hit && every && hit % every == 0;
}

static bool is_ours(fault_t *fault, const char *name)
{
    unsigned nth, hit = count_hit(fault, name, &nth);
    const char *once;

    if (!hit || (nth && hit != nth)) {
        return false;
    }
    once = getenv("BOSH_CRASH_ONCE");
    return !once || unlink(once) == 0;
}

static fault_t death = { .variable = "BOSH_CRASH_AT" }, stop = { .variable = "BOSH_STOP_AT" },
               delay = { .variable = "BOSH_SLOW_AT" };

bool bosh_crash_is_ours(const char *name)
{
    return is_ours(&death, name);
}

void bosh_crash_point(const char *name)
{
    if (is_ours(&death, name)) {
        kill(getpid(), SIGKILL);
    }
    if (is_ours(&stop, name)) {
        raise(SIGSTOP); /* sent to the process, it may leave this thread a moment more */
    }
    if (is_ours(&delay, name)) {
        sleep(SLOW_S);
    }
}

#else

/* ISO C wants something in a file. */
extern int bosh_no_faults;

#endif
