/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Whose answer is due, and what it says.
 *
 * Answers leave in rid order (XEP-0124 section 14.2), so only the head, the
 * lowest rid without an answer, is ever looked at. An answer is fixed at the
 * moment in which its holder takes it: until then payloads stay in the down queue,
 * and nothing is lost when a holder's client, or its whole process, goes away.
 */

#include "core_int.h"

#define NEVER INT64_MAX

static bool is_creation(const bosh_session_t *s, const bosh_slot_t *slot)
{
    return slot->rid == s->terms.rid;
}

/* Held requests whose client is there, and the newest of them. */
static unsigned count_attended(bosh_session_t *s, bosh_slot_t **newest)
{
    unsigned n = 0;

    *newest = NULL;
    for (uint64_t rid = s->next_answer; rid < s->next_rid; rid++) {
        bosh_slot_t *slot = slot_at(s, rid);

        if (slot->state == BOSH_SLOT_HELD && is_attended(slot)) {
            *newest = slot;
            n++;
        }
    }
    return n;
}

/* A pause releases all that is held (section 10), and a request that must be answered
 * at once all those before it. */
static bool is_releasing(bosh_session_t *s)
{
    for (uint64_t rid = s->next_answer; rid < s->next_rid; rid++) {
        const bosh_slot_t *slot = slot_at(s, rid);

        if ((slot->asks & BOSH_ASKS_PAUSE)
            || ((slot->asks & BOSH_ASKS_URGENT) && is_attended(slot))) {
            return true;
        }
    }
    return false;
}

/* `wait` is promised to each request; none is answered before the head is. */
static bosh_msec_t due_by_wait(bosh_session_t *s)
{
    bosh_msec_t due = NEVER;

    for (uint64_t rid = s->next_answer; rid < s->next_rid; rid++) {
        const bosh_slot_t *slot = slot_at(s, rid);

        if (is_attended(slot) && slot->arrived + BOSH_SEC(s->terms.wait) < due) {
            due = slot->arrived + BOSH_SEC(s->terms.wait);
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
    if (s->leg[0].has_down || s->terms.wait == 0 || s->terms.hold == 0 || is_releasing(s)) {
        return 0;
    }
    by_hold = due_by_hold(s);
    return by_hold < by_wait ? by_hold : by_wait;
}

/* While the client may still be reading the previous answer, the next one keeps
 * its distance. A client with `requests` requests open has read it. */
static bosh_msec_t spaced(const bosh_session_t *s, const bosh_slot_t *head, bosh_msec_t due)
{
    bosh_msec_t earliest = s->last_answer + BOSH_SPACING_MS;

    if (s->state >= BOSH_CLOSING || head->arrived > s->last_answer
        || s->next_rid - s->next_answer >= s->terms.requests) {
        return due;
    }
    return due < earliest ? earliest : due;
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

static void compose(bosh_session_t *s, const bosh_slot_t *slot, bosh_action_t *a)
{
    bool ending = s->state >= BOSH_CLOSING;

    a->answer.condition = BOSH_COND_NONE;
    if (ending && !s->end_told && is_attended(slot)) {
        /* Section 13: the oldest gets the end, all others an empty body. */
        s->end_told = 1;
        a->answer.kind = BOSH_ANSWER_TERMINATE;
        a->answer.condition = s->condition;
        a->with_down = s->leg[0].has_down;
        return;
    }
    a->answer.kind = !ending && is_creation(s, slot) ? BOSH_ANSWER_CREATED : BOSH_ANSWER_DATA;
    a->with_down =
        !ending && is_attended(slot) && s->leg[0].has_down && !(slot->asks & BOSH_ASKS_PAUSE);
}

/* At most one answer is being written: this one is late enough to be called stuck. */
static void forget_writer(bosh_session_t *s)
{
    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        s->slots[i].writing = 0;
    }
}

static void fix_answer(step_t *st, bosh_slot_t *slot)
{
    bosh_session_t *s = st->s;
    bosh_action_t *a = act(st, BOSH_DO_ANSWER);

    a->slot = (uint8_t)(slot->rid % BOSH_SLOTS);
    a->holder = slot->holder;
    compose(s, slot, a);
    if (a->with_down) {
        s->leg[0].has_down = 0;
    }
    slot->answer = a->answer;
    slot->state = BOSH_SLOT_ANSWERED;
    s->next_answer++;
    if (is_attended(slot)) {
        forget_writer(s);
        slot->writing = 1;
        s->last_answer = st->now;
    }
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
    bosh_msec_t due, blocked;

    if (can_skip(s, head)) {
        fix_answer(st, head);
        return true;
    }
    if (!is_attended(head)) {
        return false;
    }
    due = spaced(s, head, due_at(s, head));
    blocked = blocked_until(s);
    due = due < blocked ? blocked : due;
    if (due <= st->now && is_caller) {
        fix_answer(st, head);
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

    while (s->next_answer < s->next_rid) {
        if (!settle_head(st, slot_at(s, s->next_answer))) {
            break;
        }
    }
    window_trim(st);
}
