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
 */

#include <string.h>
#include <unistd.h>

#include "store_int.h"

#define SPINS 200

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

static apr_status_t lock_mutex(bosh_store_t *st)
{
    for (int i = 0; i < st->spins; i++) {
        apr_status_t rv = apr_global_mutex_trylock(st->mutex);

        if (!APR_STATUS_IS_EBUSY(rv)) {
            return rv;
        }
        relax();
    }
    return apr_global_mutex_lock(st->mutex);
}

bool store_lock(bosh_store_t *st, bosh_knocks_t *knocks)
{
    pthread_mutex_lock(&st->gate);
    if (lock_mutex(st) != APR_SUCCESS) {
        pthread_mutex_unlock(&st->gate);
        return false; /* never seen; the caller fails like a full segment does */
    }
    if (st->h->busy != 0) {
        repair_locked(st, knocks);
    }
    st->h->touched = NIL;
    __atomic_store_n(&st->h->busy, st->pid, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
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
