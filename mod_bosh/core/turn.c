/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A request's turn: all before it have had theirs. What could not be judged earlier is
 * judged now, and what it asks for is done, in this order:
 *
 *   1. its key                            (XEP-0124 15)   item-not-found
 *   2. the stream that it names           (16)            item-not-found
 *   3. how soon it polls                  (12)            policy-violation
 *   4. how soon it comes while one waits  (11)            policy-violation
 *   5. acknowledgement, payload, stream restart, a stream more
 *   6. its end, or a pause                (13, 10)
 */

#include "core_int.h"

/* False: the session is over. */
static bool is_lawful(step_t *st, const bosh_slot_t *slot)
{
    bosh_session_t *s = st->s;
    bosh_reason_t reason = BOSH_REASON_NONE;

    if (!keys_take(s, slot)) {
        reason = BOSH_REASON_KEY;
    }
    else if (!legs_know(slot)) {
        reason = BOSH_REASON_STREAM;
    }
    else if (!activity_may_poll(s, slot)) {
        reason = BOSH_REASON_POLLING;
    }
    else if (!activity_may_hurry(s, slot)) {
        reason = BOSH_REASON_OVERACTIVE;
    }
    if (reason != BOSH_REASON_NONE) {
        bool is_stranger = reason == BOSH_REASON_KEY || reason == BOSH_REASON_STREAM;

        end_by_breach(st, slot->rid,
                      is_stranger ? BOSH_COND_ITEM_NOT_FOUND : BOSH_COND_POLICY_VIOLATION, reason);
    }
    return reason == BOSH_REASON_NONE;
}

/* Inactivity is back to normal with the next request, also one that was faster. */
static bool is_newest(const bosh_session_t *s, uint64_t rid)
{
    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        if (s->slots[i].state == BOSH_SLOT_EARLY && s->slots[i].rid > rid) {
            return false;
        }
    }
    return true;
}

static void take_pause(step_t *st, const bosh_slot_t *slot)
{
    if (slot->pause > st->s->terms.maxpause) {
        end_by_breach(st, slot->rid, BOSH_COND_POLICY_VIOLATION, BOSH_REASON_PAUSE);
    }
    else if (is_newest(st->s, slot->rid)) {
        st->s->inactivity = slot->pause;
    }
}

static void take(step_t *st, bosh_slot_t *slot)
{
    bosh_session_t *s = st->s;

    slot->state = BOSH_SLOT_HELD;
    s->next_rid++;
    legs_limit(s, slot);
    if (!is_lawful(st, slot)) {
        return;
    }
    acks_take(s, slot);
    legs_forward(st, slot);
    legs_restart(st, slot);
    legs_add(st, slot);
    activity_note(s, slot);
    if (slot->asks & BOSH_ASKS_TERMINATE) {
        if (!legs_terminate(st, slot)) {
            end_session(st, BOSH_COND_NONE, BOSH_REASON_CLIENT);
        }
    }
    else if (slot->asks & BOSH_ASKS_PAUSE) {
        take_pause(st, slot);
    }
}

void turn_advance(step_t *st)
{
    bosh_slot_t *slot;

    while (st->s->state < BOSH_CLOSING && (slot = window_find(st->s, st->s->next_rid)) != NULL
           && slot->state == BOSH_SLOT_EARLY) {
        take(st, slot);
    }
}
