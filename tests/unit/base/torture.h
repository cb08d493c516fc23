/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Memory that runs out, after curl's "torture tests": run a scenario, count what it
 * allocates, then run it again and again and let one allocation after the other fail.
 *
 * To be included once in a program: it takes the place of malloc() and its kin, for all
 * libraries too. Only what a thread allocates that set torture_on is counted, or fails; one
 * thread at a time. What APR allocates never fails: its pools end the process then (httpd's own
 * choice), which is another test's matter.
 */
#ifndef TORTURE_H
#define TORTURE_H

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#define TORTURE_REAL(name) __interceptor_##name
#else
#define TORTURE_REAL(name) __libc_##name
#endif

void *TORTURE_REAL(malloc)(size_t);
void *TORTURE_REAL(calloc)(size_t, size_t);
void *TORTURE_REAL(realloc)(void *, size_t);
void TORTURE_REAL(free)(void *);

static _Thread_local bool torture_on;
static long torture_count, torture_live;
static long torture_nth; /* which one fails; 0: none */
static bool torture_hit; /* it did */

/* They are called before a sanitizer has begun. */
#define TORTURE_RAW __attribute__((no_sanitize("address", "undefined")))

TORTURE_RAW static bool torture_is_apr(void *caller)
{
    Dl_info info;

    return dladdr(caller, &info) && info.dli_fname && strstr(info.dli_fname, "libapr");
}

TORTURE_RAW static bool torture_fails(void *caller)
{
    if (!torture_on || torture_is_apr(caller)) {
        return false;
    }
    if (__atomic_add_fetch(&torture_count, 1, __ATOMIC_ACQ_REL)
        != __atomic_load_n(&torture_nth, __ATOMIC_ACQUIRE)) {
        return false;
    }
    __atomic_store_n(&torture_hit, true, __ATOMIC_RELEASE);
    errno = ENOMEM;
    return true;
}

TORTURE_RAW static void torture_note(long change)
{
    if (torture_on) {
        __atomic_add_fetch(&torture_live, change, __ATOMIC_RELAXED);
    }
}

#define TORTURE_EXPORT __attribute__((visibility("default"), noinline)) TORTURE_RAW

TORTURE_EXPORT void *malloc(size_t n)
{
    void *p = torture_fails(__builtin_return_address(0)) ? NULL : TORTURE_REAL(malloc)(n);

    torture_note(p ? 1 : 0);
    return p;
}

TORTURE_EXPORT void *calloc(size_t n, size_t size)
{
    void *p = torture_fails(__builtin_return_address(0)) ? NULL : TORTURE_REAL(calloc)(n, size);

    torture_note(p ? 1 : 0);
    return p;
}

TORTURE_EXPORT void *realloc(void *old, size_t n)
{
    void *p = torture_fails(__builtin_return_address(0)) ? NULL : TORTURE_REAL(realloc)(old, n);

    torture_note(p && !old ? 1 : 0);
    return p;
}

TORTURE_EXPORT void free(void *p)
{
    torture_note(p ? -1 : 0);
    TORTURE_REAL(free)(p);
}

/* From now on the nth fails, in a thread for which torture_on is set. */
static inline void torture_arm(long nth)
{
    __atomic_store_n(&torture_count, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&torture_hit, false, __ATOMIC_RELEASE);
    __atomic_store_n(&torture_nth, nth, __ATOMIC_RELEASE);
}

/* From here on, in this thread. */
static inline void torture_begin(long nth)
{
    torture_live = 0;
    torture_arm(nth);
    torture_on = true;
}

/* How many allocations there were. */
static inline long torture_end(void)
{
    torture_on = false;
    return torture_count;
}

/* Runs it with each of its allocations failing in turn; run() must give everything back. Says
 * how often that was. */
static inline long torture(void (*run)(void *baton, bool may_fail), void *baton)
{
    long n = 0, count;

    run(baton, false); /* what is made once is made */
    torture_begin(0);
    run(baton, false);
    count = torture_end();
    assert_int_equal(torture_live, 0);
    do {
        torture_begin(++n);
        run(baton, true);
        torture_end();
        if (torture_live != 0) {
            fail_msg("allocation %ld of %ld failed, and %ld blocks are left", n, count,
                     torture_live);
        }
    } while (torture_hit);
    assert_true(n > count / 2);
    run(baton, false);
    return n - 1;
}

#endif
