/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * The child is to end: what its guests are told, and by whom.
 *
 * Gracefully, workers stay until all is said: held requests are answered early, with the
 * end of their sessions if it turns out that httpd stops (see stop.c). Ungracefully,
 * workers are gone at once; then the waiting room's thread says it, before the child's
 * pool goes.
 */

#include "front_int.h"

/* How soon after its children the PidFile must have gone if httpd stops. */
#define STOP_MS      200
#define STOP_LOOK_MS 10

static bool emptying, without_workers;
static bosh_msec_t stop_until; /* until then it may turn out that httpd stops; 0: it will not */

bool room_is_emptying(void)
{
    return __atomic_load_n(&emptying, __ATOMIC_RELAXED);
}

bool emptying_without_workers(void)
{
    return __atomic_load_n(&without_workers, __ATOMIC_ACQUIRE);
}

static bool is_waiting(const guest_t *g)
{
    return g->state == GUEST_PARKED || g->state == GUEST_IDLE;
}

/* Those who work see it when they are to wait again, and must not take it for asked then. */
static void note_urgent(guest_t *g, bosh_msec_t now)
{
    (void)now;
    if (is_waiting(g)) {
        g->asks |= BOSH_ASKS_URGENT;
    }
}

static void send_home(bosh_msec_t now)
{
    room_lock();
    ticket_each(note_urgent, now);
    timer_hurry(is_waiting, now);
    room_unlock();
}

static void end_sessions(bosh_msec_t now)
{
    bosh_knocks_t knocks = { 0 };

    bosh_store_end_all(room_store(), BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN, now, &knocks);
    room_send_knocks(&knocks);
}

static void begin_gracefully(bosh_msec_t now)
{
    if (stop_is_possible()) {
        __atomic_store_n(&stop_until, now + STOP_MS, __ATOMIC_RELAXED);
    }
    else {
        send_home(now);
    }
}

static void begin_at_once(bosh_msec_t now)
{
    if (stop_is_at_once()) {
        end_sessions(now);
    }
    send_home(now);
    __atomic_store_n(&without_workers, true, __ATOMIC_RELEASE);
}

void emptying_begin(bool graceful)
{
    __atomic_store_n(&emptying, true, __ATOMIC_RELAXED);
    if (graceful) {
        begin_gracefully(bosh_now());
    }
    else {
        begin_at_once(bosh_now());
    }
    room_rouse();
}

bosh_msec_t emptying_next_look(bosh_msec_t now, bosh_msec_t until)
{
    bool look = __atomic_load_n(&stop_until, __ATOMIC_RELAXED) != 0;

    return look && now + STOP_LOOK_MS < until ? now + STOP_LOOK_MS : until;
}

/* The guests wait until it is known what to tell them. */
void emptying_look(bosh_msec_t now)
{
    bosh_msec_t until = __atomic_load_n(&stop_until, __ATOMIC_RELAXED);
    bool stops = until && stop_is_certain();

    if (stops) {
        end_sessions(now);
    }
    if (stops || (until && now >= until)) {
        __atomic_store_n(&stop_until, 0, __ATOMIC_RELAXED);
        send_home(now);
    }
}
