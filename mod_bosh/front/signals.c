/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Under prefork a child's only thread is also the one that SIGTERM and SIGHUP end, from within
 * the signal handler: it destroys the child's pools wherever the thread happens to be. Holding
 * the room's mutex, or the store's, it would wait for itself: so signals wait until it is in
 * no critical section. In malloc() it would as well, since the room's thread makes that lock
 * (without a second thread it corrupts the heap): so such an end is at first only a wish, as
 * at a graceful restart, and the child ends between two requests; or, if that takes too long,
 * where it is.
 */

#include "front_int.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool is_needed(void)
{
    static int threaded = -1;

    if (threaded < 0 && ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded) != APR_SUCCESS) {
        threaded = AP_MPMQ_NOT_SUPPORTED;
    }
    return threaded == AP_MPMQ_NOT_SUPPORTED;
}

static void fill(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
    sigaddset(set, AP_SIG_GRACEFUL);
}

static void set(int how)
{
    sigset_t set;

    fill(&set);
    pthread_sigmask(how, &set, NULL);
}

/* ---- how it ends --------------------------------------------------------- */

/* An idle child ends at once; one that waits for its turn to accept, or for a client, does
 * not hear a wish. */
#define PATIENCE_MS 100

static struct sigaction mpm_term, mpm_hup, mpm_graceful;
static volatile sig_atomic_t is_told;
static bosh_msec_t wished_at; /* 0: nobody wants the child to end */

bool signals_are_needed(void)
{
    return is_needed();
}

bool signals_end_is_wished(void)
{
    return __atomic_load_n(&wished_at, __ATOMIC_RELAXED) != 0;
}

static bool is_overdue(bosh_msec_t now)
{
    return now - __atomic_load_n(&wished_at, __ATOMIC_RELAXED) >= PATIENCE_MS;
}

/* By the only thread, wherever it is: what is called here is safe anywhere. */
static void on_end(int sig, siginfo_t *info, void *context)
{
    int kept_errno = errno;

    (void)context;
    if (sig == SIGTERM && info && info->si_pid == getppid()) {
        is_told = 1;
    }
    if (!signals_end_is_wished()) {
        __atomic_store_n(&wished_at, bosh_now(), __ATOMIC_RELAXED);
        mpm_graceful.sa_handler(AP_SIG_GRACEFUL);
        room_rouse();
    }
    else if (is_overdue(bosh_now())) {
        mpm_term.sa_handler(SIGTERM);
    }
    errno = kept_errno;
}

static bool is_plain(const struct sigaction *a)
{
    return !(a->sa_flags & SA_SIGINFO) && a->sa_handler != SIG_DFL && a->sa_handler != SIG_IGN;
}

/* A child of prefork ends by both in the same way; with -X, the one process does not. */
static bool are_as_expected(void)
{
    return sigaction(SIGTERM, NULL, &mpm_term) == 0 && sigaction(SIGHUP, NULL, &mpm_hup) == 0
           && sigaction(AP_SIG_GRACEFUL, NULL, &mpm_graceful) == 0 && is_plain(&mpm_term)
           && is_plain(&mpm_hup) && is_plain(&mpm_graceful)
           && mpm_term.sa_handler == mpm_hup.sa_handler;
}

void signals_watch(void)
{
    struct sigaction own = { .sa_sigaction = on_end, .sa_flags = SA_SIGINFO };

    if (is_needed() && are_as_expected()) {
        fill(&own.sa_mask);
        sigaction(SIGTERM, &own, NULL);
        sigaction(SIGHUP, &own, NULL);
    }
}

bosh_msec_t signals_next_look(bosh_msec_t now, bosh_msec_t until)
{
    return signals_end_is_wished() && now + PATIENCE_MS < until ? now + PATIENCE_MS : until;
}

void signals_look(bosh_msec_t now)
{
    if (signals_end_is_wished() && is_overdue(now)) {
        syscall(SYS_tgkill, getpid(), getpid(), SIGTERM); /* the main thread */
    }
}

bool signals_parent_sent_term(void)
{
    return is_told;
}

/* ---- when it may come ----------------------------------------------------- */

void signals_hold_back(void)
{
    if (is_needed()) {
        set(SIG_BLOCK);
    }
}

void signals_let_pass(void)
{
    if (is_needed()) {
        set(SIG_UNBLOCK);
        set(SIG_BLOCK);
    }
}

void signals_release(void)
{
    if (is_needed()) {
        set(SIG_UNBLOCK);
    }
}
