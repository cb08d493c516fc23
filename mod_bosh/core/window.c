/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Slots by rid (XEP-0124 section 14): early requests wait for their turn, kept
 * answers leave when the client cannot ask for them any more.
 *
 *     next_answer - requests   next_answer      next_rid     next_rid - 1 + requests
 *            |   answers kept       |     held      |     may arrive early    |
 */

#include "core_int.h"

bosh_slot_t *window_find(bosh_session_t *s, uint64_t rid)
{
    bosh_slot_t *slot = slot_at(s, rid);

    return slot->state != BOSH_SLOT_FREE && slot->rid == rid ? slot : NULL;
}

/* One request more than `requests` is allowed to pause or terminate (section 11). */
static uint64_t allowance(const bosh_session_t *s, uint8_t asks)
{
    bool extra = asks & (BOSH_ASKS_PAUSE | BOSH_ASKS_TERMINATE);

    return s->terms.requests + (extra ? 1 : 0);
}

bool window_has_room(const bosh_session_t *s, uint64_t rid, uint8_t asks)
{
    return rid - s->next_rid < allowance(s, asks);
}

/* Its answer was asked for, or nobody waits for it any more. */
static bool is_released(const bosh_slot_t *slot, bosh_msec_t now)
{
    return slot->state == BOSH_SLOT_HELD && (!is_attended(slot) || (slot->due && slot->due <= now));
}

/* Section 12: more requests without an answer than `requests`. A client that counts
 * is never caught. Nor is one whose connections break faster than we notice: while
 * the oldest request is on its way out, the ring is the limit. */
bool window_is_overactive(bosh_session_t *s, uint64_t rid, uint8_t asks, bosh_msec_t now)
{
    uint64_t unanswered = rid - s->next_answer;

    if (unanswered >= BOSH_MAX_UNANSWERED) {
        return true;
    }
    return unanswered >= allowance(s, asks) && !is_released(slot_at(s, s->next_answer), now);
}

/* An answer that is still being written stays a little longer: the next one waits for
 * it, even if its client aborted all that it sent since. */
static bool is_outdated(const bosh_session_t *s, const bosh_slot_t *slot)
{
    uint64_t keep = slot->writing ? BOSH_SLOTS - BOSH_MAX_UNANSWERED : s->terms.requests;

    return slot->state == BOSH_SLOT_ANSWERED && slot->rid + keep < s->next_answer;
}

void window_trim(step_t *st)
{
    bosh_session_t *s = st->s;

    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        bosh_slot_t *slot = &s->slots[i];

        if (is_outdated(s, slot)) {
            act(st, BOSH_DO_DROP)->slot = (uint8_t)i;
            *slot = (bosh_slot_t){ .state = BOSH_SLOT_FREE, .holder = BOSH_NOBODY };
        }
    }
}

void window_admit(step_t *st, uint8_t asks)
{
    const bosh_event_t *ev = st->ev;
    bosh_slot_t *slot = slot_at(st->s, ev->rid);

    *slot = (bosh_slot_t){
        .rid = ev->rid,
        .arrived = st->now,
        .holder = ev->holder,
        .state = BOSH_SLOT_EARLY,
        .asks = asks,
        .pause = ev->pause,
    };
    if (asks & BOSH_ASKS_PAYLOAD) {
        act(st, BOSH_DO_STORE)->slot = (uint8_t)(ev->rid % BOSH_SLOTS);
    }
}

void window_rebind(step_t *st, bosh_slot_t *slot)
{
    if (is_attended(slot) && !same_holder(slot->holder, st->ev->holder)) {
        /* It comes back, finds itself replaced, and gets a recoverable error
         * (section 14.3). */
        wake(st, slot, st->now);
    }
    slot->holder = st->ev->holder;
    slot->arrived = st->now;
    slot->due = 0;
    slot->told = 0;
    slot->asks = (uint8_t)((slot->asks & ~BOSH_ASKS_URGENT) | (st->ev->asks & BOSH_ASKS_URGENT));
}

static void consume(step_t *st, bosh_slot_t *slot)
{
    bosh_session_t *s = st->s;

    slot->state = BOSH_SLOT_HELD;
    s->next_rid++;
    if (slot->asks & BOSH_ASKS_PAYLOAD) {
        act(st, BOSH_DO_FORWARD)->slot = (uint8_t)(slot->rid % BOSH_SLOTS);
    }
    if (slot->asks & BOSH_ASKS_RESTART) {
        act(st, BOSH_DO_RESTART);
    }
    s->inactivity = s->terms.inactivity;
    if (slot->asks & BOSH_ASKS_TERMINATE) {
        end_session(st, BOSH_COND_NONE, BOSH_REASON_CLIENT);
    }
    else if (slot->asks & BOSH_ASKS_PAUSE) {
        if (slot->pause > s->terms.maxpause) {
            end_session(st, BOSH_COND_POLICY_VIOLATION, BOSH_REASON_PAUSE);
        }
        s->inactivity = slot->pause;
    }
}

void window_advance(step_t *st)
{
    bosh_slot_t *slot;

    while (st->s->state < BOSH_CLOSING && (slot = window_find(st->s, st->s->next_rid)) != NULL
           && slot->state == BOSH_SLOT_EARLY) {
        consume(st, slot);
    }
}
