/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * The mutex, and the mark that tells a torn change.
 *
 * APR's mutexes recover from an owner that died, and say nothing about it. So
 * whoever is inside leaves its pid in the header: found there by the next, it means
 * that the last owner never came out.
 *
 * They also inherit priority: the kernel hands a contended one to the thread that
 * waits longest, whether it runs or not, and all others queue behind it. With 25
 * workers that convoy was seen as five futex calls per message, and a tenth of httpd's
 * samples in the scheduler; with the gate as 0.4 calls. So a process' threads first
 * pass a gate, an ordinary mutex, and only one of each process competes; it tries a
 * few times on its own, since inside nobody stays longer than a microsecond or two.
 *
 * Unless it was stopped there: a debugger, a frozen container. Then whoever can say "come
 * again later" does not wait for it long, and once somebody has waited in vain, the others
 * do not wait at all until somebody gets in: else they would all be standing here, and
 * nobody left for the rest of the site.
 */

#include <string.h>
#include <time.h>
#include <unistd.h>

#include <apr_version.h>

#include "store_int.h"

#define SPINS      200
#define PATIENCE_S 3

void lock_init(bosh_store_t *st, apr_global_mutex_t *mutex)
{
    pthread_mutexattr_t attr;
    const char *mechanism = apr_global_mutex_name(mutex);

    pthread_mutexattr_init(&attr);
#ifdef PTHREAD_MUTEX_ADAPTIVE_NP
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
#endif
    pthread_mutex_init(&st->gate, &attr);
    pthread_mutexattr_destroy(&attr);
    st->mutex = mutex;
    /* With the others each try is a system call. */
    st->spins = mechanism && !strcmp(mechanism, "pthread") ? SPINS : 0;
    st->pid = (int64_t)getpid();
}

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static apr_status_t try_mutex(bosh_store_t *st, int tries)
{
    apr_status_t rv = APR_EBUSY;

    for (int i = 0; i < tries && APR_STATUS_IS_EBUSY(rv); i++) {
        if (i > 0) {
            relax();
        }
        rv = apr_global_mutex_trylock(st->mutex);
    }
    return rv;
}

static apr_status_t lock_mutex(bosh_store_t *st)
{
    apr_status_t rv = try_mutex(st, st->spins);

    return APR_STATUS_IS_EBUSY(rv) ? apr_global_mutex_lock(st->mutex) : rv;
}

static bool is_stuck(const bosh_store_t *st)
{
    return __atomic_load_n(&st->h->stuck, __ATOMIC_RELAXED) != 0;
}

/* Without the mutex: whoever gets in takes it back. */
static void note_stuck(bosh_store_t *st, bool is_stuck)
{
    __atomic_store_n(&st->h->stuck, is_stuck, __ATOMIC_RELAXED);
}

static bool pass_gate_soon(bosh_store_t *st)
{
    struct timespec until;

    if (pthread_mutex_trylock(&st->gate) == 0) {
        return true;
    }
    if (is_stuck(st)) {
        return false;
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    if (pthread_mutex_timedlock(&st->gate, &until) != 0) {
        note_stuck(st, true);
        return false;
    }
    return true;
}

/* By the wall clock, as POSIX has it: who waits while it is set back waits longer. Mutexes
 * that cannot be waited for like this are waited for without end. */
static apr_status_t wait_for_mutex(bosh_store_t *st)
{
#if APR_VERSION_AT_LEAST(1, 7, 0)
    apr_status_t rv = apr_global_mutex_timedlock(st->mutex, apr_time_from_sec(PATIENCE_S));

    if (!APR_STATUS_IS_ENOTIMPL(rv)) {
        return rv;
    }
#endif
    return apr_global_mutex_lock(st->mutex);
}

static apr_status_t lock_mutex_soon(bosh_store_t *st)
{
    bool was_stuck = is_stuck(st);
    apr_status_t rv = try_mutex(st, was_stuck && !st->spins ? 1 : st->spins);

    return APR_STATUS_IS_EBUSY(rv) && !was_stuck ? wait_for_mutex(st) : rv;
}

static void enter(bosh_store_t *st, bosh_knocks_t *knocks)
{
    if (is_stuck(st)) {
        note_stuck(st, false);
    }
    if (st->h->busy != 0) {
        repair_locked(st, knocks);
    }
    st->h->touched = NIL;
    __atomic_store_n(&st->h->busy, st->pid, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

bool store_lock(bosh_store_t *st, bosh_knocks_t *knocks)
{
    pthread_mutex_lock(&st->gate);
    if (lock_mutex(st) != APR_SUCCESS) {
        pthread_mutex_unlock(&st->gate);
        return false; /* never seen; the caller fails like a full segment does */
    }
    enter(st, knocks);
    return true;
}

bool store_lock_soon(bosh_store_t *st, bosh_knocks_t *knocks)
{
    if (!pass_gate_soon(st)) {
        return false;
    }
    if (lock_mutex_soon(st) != APR_SUCCESS) {
        note_stuck(st, true);
        pthread_mutex_unlock(&st->gate);
        return false;
    }
    enter(st, knocks);
    return true;
}

void store_unlock(bosh_store_t *st)
{
    /* Not before the last change is done. */
    __atomic_store_n(&st->h->touched, NIL, __ATOMIC_RELEASE);
    __atomic_store_n(&st->h->busy, 0, __ATOMIC_RELEASE);
    (void)apr_global_mutex_unlock(st->mutex);
    pthread_mutex_unlock(&st->gate);
}
