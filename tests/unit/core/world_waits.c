/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Who waits is told when to come back: nobody is forgotten. */

#include "world.h"

#include "unit.h"

/* A writer who is stuck, or whose answer left the window long ago because its client
 * aborted all that it sent since, holds up nobody any more. */
bool world_somebody_writes(world_t *w)
{
    for (unsigned i = 0; i < WORLD_WAITERS; i++) {
        waiter_t *x = &w->waiters[i];

        if (x->is_writing && w->now - w->last_answer >= WORLD_STUCK_MS) {
            x->is_stuck = true;
        }
        if (x->is_writing && !x->is_stuck && !world_fate(w, x->rid)->dropped) {
            return true;
        }
    }
    return false;
}

bool world_is_attended(world_t *w)
{
    bool held = false;

    for (uint64_t rid = w->next_answer; rid < w->turn && !held; rid++) {
        held = world_waiter(w, rid) != NULL;
    }
    return held || world_somebody_writes(w);
}

uint64_t world_oldest_open(world_t *w)
{
    uint64_t rid = w->next_answer;

    while (rid < w->turn && !world_waiter(w, rid)) {
        rid++;
    }
    return rid;
}

/* Something that must not wait. */
static bool is_urgent(world_t *w)
{
    bool urgent = w->is_over || w->report;

    for (unsigned i = 0; i < w->n_legs; i++) {
        urgent = urgent || world_leg_tells(&w->legs[i]);
    }
    for (uint64_t rid = w->next_answer; rid < w->turn; rid++) {
        const fate_t *f = world_fate(w, rid);

        urgent = urgent || (f->said.asks & BOSH_ASKS_PAUSE)
                 || (world_waiter(w, rid) && ((f->said.asks & BOSH_ASKS_URGENT) || f->has_added));
    }
    return urgent;
}

void world_check_waits(world_t *w)
{
    bosh_msec_t slack = w->had_stuck ? 20 * WORLD_STUCK_MS : 500;
    waiter_t *head = w->next_answer < w->turn ? world_waiter(w, w->next_answer) : NULL;

    for (unsigned i = 0; i < WORLD_WAITERS; i++) {
        const waiter_t *x = &w->waiters[i];
        bool is_first = x->rid == w->first_rid;

        if (x->is_live && !(is_first && w->s.terms.wait == 0)) {
            assert_true(w->now - x->since <= BOSH_SEC(w->s.terms.wait) + slack);
        }
        if (x->is_live && (w->is_over || x->is_replaced)) {
            assert_true(x->due || world_somebody_writes(w) || x != head);
        }
    }
    if (!head || world_somebody_writes(w)
        || (head->rid == w->first_rid && !w->is_open && !w->is_over)) {
        return;
    }
    assert_true(head->due != 0);
    if (is_urgent(w) && !w->had_stuck) {
        assert_true(head->due <= w->now + BOSH_MAX_SPACING_MS);
    }
}
