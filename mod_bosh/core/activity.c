/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Requests that come too soon or too often (XEP-0124 sections 11, 12 and 14.3). More of
 * them than `requests` at once are the window's business: window_is_overactive().
 *
 * All is judged at a request's turn and by when it arrived, so that one that overtook
 * another is taken for what it is.
 */

#include "core_int.h"

/* Sooner after the one before than `polling`. */
static bool is_too_soon(const bosh_session_t *s, const bosh_slot_t *slot)
{
    bosh_msec_t apart = slot->arrived - s->last_turn;

    return (apart < 0 ? -apart : apart) < BOSH_SEC(s->terms.polling) - BOSH_POLL_SLACK_MS;
}

/* The request before was answered, and there was nothing for it. */
static bool had_nothing(const bosh_session_t *s, uint64_t rid)
{
    const bosh_slot_t *slot = &s->slots[rid % BOSH_SLOTS];

    return slot->rid == rid && slot->state == BOSH_SLOT_ANSWERED && !slot->had_down;
}

bool activity_may_poll(const bosh_session_t *s, const bosh_slot_t *slot)
{
    return !s->terms.is_polling || !s->was_poll || !is_empty(s, slot) || !is_too_soon(s, slot)
           || !had_nothing(s, slot->rid - 1);
}

/* Section 11 wants a client thrown out whose `requests` requests were all sent without
 * need. But clients whose connections broke behind a proxy send anew what looks like
 * that, and so does a page that was loaded again. The answer to the older request is
 * what they need. */
static bool is_hasty(const bosh_session_t *s, const bosh_slot_t *slot)
{
    if (s->terms.is_polling || !is_empty(s, slot) || !is_too_soon(s, slot)
        || slot->rid - s->next_answer + 1 < s->terms.requests) {
        return false;
    }
    for (uint64_t rid = s->next_answer; rid < slot->rid && rid < held_end(s); rid++) {
        const bosh_slot_t *older = &s->slots[rid % BOSH_SLOTS];

        if (!is_attended(older) || !is_empty(s, older)
            || (older->asks & (BOSH_ASKS_URGENT | BOSH_ASKS_DEAF))) {
            return false;
        }
    }
    return slot->rid > s->next_answer;
}

bool activity_may_hurry(bosh_session_t *s, const bosh_slot_t *slot)
{
    if (!is_hasty(s, slot)) {
        s->hasty = 0;
        return true;
    }
    s->hasty++;
    return s->hasty < BOSH_MAX_HASTY;
}

void activity_note(bosh_session_t *s, const bosh_slot_t *slot)
{
    s->last_turn = slot->arrived;
    s->was_poll = is_empty(s, slot);
}

bool activity_may_repeat(bosh_slot_t *slot, bosh_msec_t now)
{
    if (slot->state != BOSH_SLOT_ANSWERED && now - slot->arrived >= BOSH_REPEAT_MS) {
        return true;
    }
    if (slot->repeats >= BOSH_MAX_REPEATS) {
        return false;
    }
    slot->repeats++;
    return true;
}
