/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Slots by rid (XEP-0124 section 14): early requests wait for their turn, kept
 * answers leave when the client cannot ask for them any more.
 *
 *     next_answer - requests   next_answer      next_rid     next_rid - 1 + requests
 *            |   answers kept       |     held      |     may arrive early    |
 */

#include "core_int.h"

/* How the client waits for an answer may differ from copy to copy. */
#define OF_THIS_COPY (BOSH_ASKS_URGENT | BOSH_ASKS_DEAF)

bosh_slot_t *window_find(bosh_session_t *s, uint64_t rid)
{
    bosh_slot_t *slot = slot_at(s, rid);

    return slot->state != BOSH_SLOT_FREE && slot->rid == rid ? slot : NULL;
}

/* Requests from this one on whose clients had an answer before their turn: who counts
 * answers does not count them any more. */
static unsigned count_told(const bosh_session_t *s, uint64_t from)
{
    unsigned n = 0;

    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        const bosh_slot_t *slot = &s->slots[i];

        n += slot->told && slot->rid >= from && !is_attended(slot)
             && (slot->state == BOSH_SLOT_EARLY || slot->state == BOSH_SLOT_HELD);
    }
    return n;
}

/* One request more than `requests` is allowed to pause or terminate (section 11). */
static uint64_t allowance(const bosh_session_t *s, uint8_t asks, uint64_t from)
{
    bool extra = asks & (BOSH_ASKS_PAUSE | BOSH_ASKS_TERMINATE);

    return s->terms.requests + (extra ? 1 : 0) + count_told(s, from);
}

bool window_has_room(const bosh_session_t *s, uint64_t rid, uint8_t asks)
{
    return rid - s->next_rid < allowance(s, asks, s->next_rid);
}

/* Its answer was asked for, or nobody waits for it any more. */
static bool is_released(const bosh_slot_t *slot, bosh_msec_t now)
{
    return slot->state == BOSH_SLOT_HELD && (!is_attended(slot) || (slot->due && slot->due <= now));
}

/* Section 11: more requests without an answer than `requests`. A client that counts
 * is never caught. Nor is one whose connections break faster than we notice: while
 * the oldest request is on its way out, the ring is the limit. */
bool window_is_overactive(bosh_session_t *s, uint64_t rid, uint8_t asks, bosh_msec_t now)
{
    uint64_t unanswered = rid - s->next_answer;

    if (unanswered >= BOSH_MAX_UNANSWERED) {
        return true;
    }
    return unanswered >= allowance(s, asks, s->next_answer)
           && !is_released(slot_at(s, s->next_answer), now);
}

/* Without acks, as many as a client may have open (section 14.3). One that is still being
 * written stays longer: the next one waits for it, even if its client aborted all that it
 * sent since. So does one that may have been lost without its client's knowledge: it was never
 * written, because its process died; or the client had other requests open then, and what it
 * went on with since may be theirs. */
static bool is_outdated(const bosh_session_t *s, const bosh_slot_t *slot)
{
    bool is_strict = slot->written && !slot->writing && !slot->overtaken && !s->terms.acks;
    uint64_t keep = is_strict ? s->terms.requests : BOSH_MAX_KEPT;

    return slot->rid + keep < s->next_answer || (slot->rid <= s->acked && !slot->writing);
}

/* With acks, answers are kept until they are acknowledged (section 14.3), which a client
 * may never do: beyond the newest ones, with acks or without, only as long as they are small. */
static uint64_t oldest_that_fits(const bosh_session_t *s)
{
    uint64_t bytes = 0, most = s->terms.acks ? BOSH_KEPT_BYTES : BOSH_DOUBTFUL_BYTES;

    for (unsigned n = s->terms.requests + 1; n <= BOSH_SLOTS && n <= s->next_answer; n++) {
        const bosh_slot_t *slot = &s->slots[(s->next_answer - n) % BOSH_SLOTS];

        if (slot->state == BOSH_SLOT_ANSWERED && !slot->writing) {
            bytes += slot->bytes;
        }
        if (bytes > most) {
            return s->next_answer - n + 1;
        }
    }
    return 0;
}

void window_trim(step_t *st)
{
    bosh_session_t *s = st->s;
    uint64_t oldest = oldest_that_fits(s);

    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        bosh_slot_t *slot = &s->slots[i];

        if (slot->state == BOSH_SLOT_ANSWERED
            && (is_outdated(s, slot) || (slot->rid < oldest && !slot->writing))) {
            act(st, BOSH_DO_DROP)->slot = (uint8_t)i;
            *slot = (bosh_slot_t){ .state = BOSH_SLOT_FREE, .holder = BOSH_NOBODY };
        }
    }
}

static bool is_open(const bosh_slot_t *slot)
{
    return slot->state == BOSH_SLOT_HELD || slot->state == BOSH_SLOT_EARLY
           || (slot->state == BOSH_SLOT_ANSWERED && (slot->writing || !slot->written));
}

/* A request has come while older ones are open; or a newer one was here before it. */
static bool note_overtaking(bosh_session_t *s, uint64_t rid)
{
    bool is_overtaken = false;

    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        bosh_slot_t *slot = &s->slots[i];

        if (slot->state != BOSH_SLOT_FREE && slot->rid > rid) {
            is_overtaken = true;
        }
        else if (is_open(slot) && slot->rid < rid) {
            slot->overtaken = 1;
        }
    }
    return is_overtaken;
}

void window_admit(step_t *st, uint8_t asks)
{
    const bosh_event_t *ev = st->ev;
    bosh_slot_t *slot = slot_at(st->s, ev->rid);
    bool is_overtaken = note_overtaking(st->s, ev->rid);

    *slot = (bosh_slot_t){
        .rid = ev->rid,
        .arrived = st->now,
        .first = st->now,
        .holder = ev->holder,
        .state = BOSH_SLOT_EARLY,
        .asks = asks,
        .stream = legs_sort_name(st->s, ev),
        .refused = asks & BOSH_ASKS_ADD ? (uint8_t)ev->condition : 0,
        .pause = ev->pause ? ev->pause : 1,
        .ack = ev->ack,
        .overtaken = is_overtaken,
    };
    keys_keep(slot, ev->keys);
    if (keys_would_fit(st->s, ev->keys)) { /* else it may be a stranger's */
        acks_note_arrival(st->s, ev->ack);
    }
    if (asks & (BOSH_ASKS_PAYLOAD | BOSH_ASKS_RESTART | BOSH_ASKS_ADD)) {
        act(st, BOSH_DO_STORE)->slot = (uint8_t)(ev->rid % BOSH_SLOTS);
    }
}

void window_rebind(step_t *st, bosh_slot_t *slot)
{
    if (is_attended(slot) && !same_holder(slot->holder, st->ev->holder)) {
        /* It comes back, finds itself replaced, and gets a recoverable error
         * (section 14.3), or the answer that the newer copy has got by then. */
        wake(st, slot, st->now + BOSH_REPLACED_MS);
    }
    slot->holder = st->ev->holder;
    slot->arrived = st->now;
    slot->due = 0;
    slot->told = 0;
    slot->asks = (uint8_t)((slot->asks & ~OF_THIS_COPY) | (st->ev->asks & OF_THIS_COPY));
}
