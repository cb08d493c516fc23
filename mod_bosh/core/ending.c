/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * How a session ends: by its client or by a rule (CLOSING until the connector has
 * flushed the up queue and closed the stream), or by its server (ENDED at once).
 */

#include "core_int.h"

/* How long late requests learn the true condition. */
#define LINGER_MS BOSH_SEC(30)

static void note_end(step_t *st, bosh_condition_t condition, bosh_reason_t reason)
{
    st->s->condition = (uint8_t)condition;
    st->s->reason = (uint8_t)reason;
    st->s->ended = st->now;
}

/* Those who wait for a predecessor wait no longer; held ones follow in order. */
static void release_early(step_t *st)
{
    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        bosh_slot_t *slot = &st->s->slots[i];

        if (slot->state == BOSH_SLOT_EARLY && is_attended(slot)) {
            wake(st, slot, st->now);
        }
    }
}

void end_session(step_t *st, bosh_condition_t condition, bosh_reason_t reason)
{
    if (st->s->state >= BOSH_CLOSING) {
        return;
    }
    note_end(st, condition, reason);
    st->s->state = BOSH_CLOSING;
    legs_close(st);
    release_early(st);
}

void end_by_breach(step_t *st, uint64_t rid, bosh_condition_t condition, bosh_reason_t reason)
{
    if (st->s->state < BOSH_CLOSING) {
        st->s->breach = rid;
    }
    end_session(st, condition, reason);
}

void end_upstream(step_t *st, unsigned stream, bosh_condition_t condition, bosh_reason_t reason)
{
    bosh_session_t *s = st->s;

    if (s->state == BOSH_ENDED || !legs_ended(s, stream, condition, reason)) {
        return;
    }
    if (!legs_are_up(s)) {
        end_session(st, condition, reason); /* nothing is left to be closed */
    }
    if (legs_are_gone(s)) {
        s->state = BOSH_ENDED;
    }
}

/* Inactivity (section 10), the connect timeout, and the time to be forgotten. */
void end_tick(step_t *st)
{
    bosh_session_t *s = st->s;

    switch (s->state) {
    case BOSH_OPENING: /* a client may lose interest before its session opens */
    case BOSH_OPEN:
        legs_tick(st);
        if (s->idle_since && st->now - s->idle_since >= BOSH_SEC(s->inactivity)) {
            end_session(st, BOSH_COND_ITEM_NOT_FOUND, BOSH_REASON_INACTIVITY);
        }
        break;
    case BOSH_ENDED:
        if (st->now - s->ended >= LINGER_MS && !bosh_session_is_attended(s)) {
            act(st, BOSH_DO_FREE);
        }
        break;
    default: break;
    }
}

/* As if `at` had been later by what of the time since then does not count. */
static void forgive(const step_t *st, bosh_msec_t *at)
{
    bosh_msec_t from = *at > st->ev->since ? *at : st->ev->since;

    if (*at && from < st->now) {
        *at += st->now - from;
    }
}

static bool is_writing(const bosh_session_t *s)
{
    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        if (s->slots[i].writing) {
            return true;
        }
    }
    return false;
}

void end_forgive(step_t *st)
{
    bosh_session_t *s = st->s;
    bosh_msec_t latest = st->now + BOSH_GRACE_MS - BOSH_SEC(s->inactivity);

    forgive(st, &s->idle_since);
    if (s->idle_since && s->idle_since < latest) {
        s->idle_since = latest < st->now ? latest : st->now;
    }
    forgive(st, &s->ended);
    if (is_writing(s)) {
        forgive(st, &s->last_answer); /* not stuck, only not served either */
    }
    for (unsigned i = 0; i < BOSH_MAX_STREAMS; i++) {
        forgive(st, &s->leg[i].since);
    }
}
