/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Whose answer is due.
 *
 * Answers leave in rid order (XEP-0124 section 14.2), so only the head, the
 * lowest rid without an answer, is ever looked at. An answer is fixed at the
 * moment in which its holder takes it: until then payloads stay in the down queue,
 * and nothing is lost when a holder's client, or its whole process, goes away.
 */

#include "core_int.h"

#define NEVER INT64_MAX

/* Held requests whose client is there, and the newest of them. */
static unsigned count_attended(bosh_session_t *s, bosh_slot_t **newest)
{
    unsigned n = 0;

    *newest = NULL;
    for (uint64_t rid = s->next_answer; rid < held_end(s); rid++) {
        bosh_slot_t *slot = slot_at(s, rid);

        if (slot->state == BOSH_SLOT_HELD && is_attended(slot)) {
            *newest = slot;
            n++;
        }
    }
    return n;
}

/* A pause releases all that is held (section 10), and a request that must be answered
 * at once all those before it. So does one that waits for a stream's name. */
static bool is_releasing(bosh_session_t *s)
{
    for (uint64_t rid = s->next_answer; rid < held_end(s); rid++) {
        const bosh_slot_t *slot = slot_at(s, rid);

        if ((slot->asks & BOSH_ASKS_PAUSE)
            || ((slot->asks & (BOSH_ASKS_URGENT | BOSH_ASKS_ADD)) && is_attended(slot))) {
            return true;
        }
    }
    return false;
}

/* `wait` is promised to each request; none is answered before the head is. A copy does not
 * begin anew: behind a proxy that gives up before, no request would ever be answered, and
 * clients count how often they had to repeat (Strophe: five times in a row). */
static bosh_msec_t due_by_wait(bosh_session_t *s)
{
    bosh_msec_t due = NEVER;

    for (uint64_t rid = s->next_answer; rid < held_end(s); rid++) {
        const bosh_slot_t *slot = slot_at(s, rid);

        if (is_attended(slot) && slot->first + BOSH_SEC(s->terms.wait) < due) {
            due = slot->first + BOSH_SEC(s->terms.wait);
        }
    }
    return due;
}

/* Section 7.1: at most `hold` requests are kept waiting. */
static bosh_msec_t due_by_hold(bosh_session_t *s)
{
    bosh_slot_t *newest;
    unsigned n = count_attended(s, &newest);

    if (n <= s->terms.hold) {
        return NEVER;
    }
    if (n > s->terms.hold + 1 || !(newest->asks & BOSH_ASKS_PAYLOAD)) {
        return 0;
    }
    return newest->arrived + BOSH_GATHER_MS;
}

static bosh_msec_t due_at(bosh_session_t *s, const bosh_slot_t *head)
{
    bosh_msec_t by_wait = due_by_wait(s);
    bosh_msec_t by_hold;

    if (s->state >= BOSH_CLOSING) {
        return 0;
    }
    if (is_creation(s, head)) {
        /* Clients expect the features in the first answer. A polling session's
         * wait of 0 cannot mean this one. The connect timeout is the tick's. */
        return s->state == BOSH_OPEN ? 0 : s->terms.wait ? by_wait : NEVER;
    }
    if (legs_pick(s) != BOSH_NO_STREAM || s->report || s->terms.wait == 0 || s->terms.hold == 0
        || is_releasing(s)) {
        return 0;
    }
    by_hold = due_by_hold(s);
    return by_hold < by_wait ? by_hold : by_wait;
}

/* An answer before the head's is still being written: when it counts as stuck. */
static bosh_msec_t blocked_until(const bosh_session_t *s)
{
    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        if (s->slots[i].writing) {
            return s->last_answer + BOSH_WRITE_STUCK_MS;
        }
    }
    return 0;
}

/* Nobody waits for the head's answer, and its client went on to a newer request, or
 * had an answer before its turn came. It gets an empty one. */
static bool can_skip(const bosh_session_t *s, const bosh_slot_t *head)
{
    return !is_attended(head) && (head->told || head->rid + 1 < s->next_rid);
}

/* True: the head's answer was fixed, there may be a next one. */
static bool settle_head(step_t *st, bosh_slot_t *head)
{
    bosh_session_t *s = st->s;
    bool is_caller = (st->ev->kind == BOSH_EV_REQUEST || st->ev->kind == BOSH_EV_DUE)
                     && same_holder(head->holder, st->ev->holder);
    bosh_msec_t due, earliest, blocked;

    if (can_skip(s, head)) {
        answer_fix(st, head);
        return true;
    }
    if (!is_attended(head)) {
        return false;
    }
    due = due_at(s, head);
    earliest = spacing_earliest(s, head);
    blocked = blocked_until(s);
    due = due < earliest ? earliest : due;
    due = due < blocked ? blocked : due;
    if (due <= st->now && is_caller) {
        answer_fix(st, head);
        st->served = true;
        return false; /* the next has to wait until this one is written */
    }
    if (due == NEVER) {
        return false;
    }
    if (due < st->now) {
        due = st->now;
    }
    if (is_caller && !st->served) {
        head->due = due; /* HOLD tells it */
    }
    else if (head->due == 0 || due < head->due) {
        wake(st, head, due); /* told of an earlier time, it comes back then anyway */
    }
    return false;
}

void settle(step_t *st)
{
    bosh_session_t *s = st->s;

    for (unsigned n = 0; n < BOSH_MAX_UNANSWERED && s->next_answer < s->next_rid; n++) {
        if (!settle_head(st, slot_at(s, s->next_answer))) {
            break;
        }
    }
    window_trim(st);
}
