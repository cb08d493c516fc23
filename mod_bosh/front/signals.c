/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Under prefork a child's only thread is also the one that SIGTERM ends, from within
 * the signal handler: it destroys the child's pool wherever the thread happens to be.
 * Holding the room's mutex, or the store's, it would wait for itself. So there, signals
 * wait until the thread is in no critical section.
 */

#include "front_int.h"

#include <signal.h>
#include <unistd.h>

static bool is_needed(void)
{
    static int threaded = -1;

    if (threaded < 0 && ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded) != APR_SUCCESS) {
        threaded = AP_MPMQ_NOT_SUPPORTED;
    }
    return threaded == AP_MPMQ_NOT_SUPPORTED;
}

static void set(int how)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, AP_SIG_GRACEFUL);
    pthread_sigmask(how, &set, NULL);
}

/* ---- who sent it --------------------------------------------------------- */

static struct sigaction mpm_term;
static volatile sig_atomic_t is_told;

static void on_term(int sig, siginfo_t *info, void *context)
{
    if (info && info->si_pid == getppid()) {
        is_told = 1;
    }
    if (mpm_term.sa_flags & SA_SIGINFO) {
        mpm_term.sa_sigaction(sig, info, context);
    }
    else if (mpm_term.sa_handler != SIG_DFL && mpm_term.sa_handler != SIG_IGN) {
        mpm_term.sa_handler(sig);
    }
}

bool signals_are_needed(void)
{
    return is_needed();
}

void signals_watch_parent(void)
{
    struct sigaction own;

    if (is_needed() && sigaction(SIGTERM, NULL, &mpm_term) == 0) {
        own = mpm_term;
        own.sa_flags |= SA_SIGINFO;
        own.sa_sigaction = on_term;
        sigaction(SIGTERM, &own, NULL);
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
