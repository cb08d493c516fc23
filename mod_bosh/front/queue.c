/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Guests that workers are to see. Each timed callback of the MPM wakes a worker, and a
 * burst of them wakes all, to fight for the same locks: so a worker sees guests until
 * none is left, and more workers are asked only for a longer queue, or when the first in
 * it has waited. One that blocks on a slow client holds up nobody else.
 */

#include "front_int.h"

#define PER_WORKER    16
#define PATIENCE_MS   5
/* What one client may take when there are no workers left: httpd kills children that
 * stay. */
#define LAST_WRITE_MS 50

static guest_t *first, *last;
static unsigned queued, workers; /* workers asked, and not yet through */
static bosh_msec_t asked;        /* when one was asked last */

/* Mutex held. */
static guest_t *take_first(void)
{
    guest_t *g = first;

    if (g) {
        first = g->next;
        queued--;
    }
    return g;
}

static guest_t *take_next(void)
{
    guest_t *g;

    room_lock();
    g = take_first();
    if (!g) {
        workers--;
    }
    room_unlock();
    return g;
}

static void see_guests(void *baton)
{
    guest_t *g;

    (void)baton;
    while ((g = take_next()) != NULL) {
        resume_guest(g);
    }
}

static void ask_worker(bosh_msec_t now)
{
    workers++;
    asked = now;
    ap_mpm_register_timed_callback(0, see_guests, NULL);
}

void queue_add(guest_t *g)
{
    g->next = NULL;
    if (first) {
        last->next = g;
    }
    else {
        first = g;
    }
    last = g;
    queued++;
    if (queued > workers * PER_WORKER) {
        ask_worker(bosh_now());
    }
}

void queue_hurry(bosh_msec_t now)
{
    if (first && now - asked >= PATIENCE_MS) {
        ask_worker(now);
    }
}

bosh_msec_t queue_patience_ends(bosh_msec_t now, bosh_msec_t until)
{
    bosh_msec_t end = asked + PATIENCE_MS;

    if (!first || end >= until) {
        return until;
    }
    return end > now ? end : now;
}

void queue_see_all(void)
{
    guest_t *g;

    do {
        room_lock();
        g = take_first();
        room_unlock();
        if (g) {
            apr_socket_timeout_set(ap_get_conn_socket(g->c), LAST_WRITE_MS * 1000);
            resume_guest(g);
        }
    } while (g);
}
