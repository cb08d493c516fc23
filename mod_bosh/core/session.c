/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * bosh_step(): which event, which checks, in which order.
 *
 * A request is looked at in this order; the first that applies decides:
 *
 *   1. its rid was seen:                                       (XEP-0124 14.3)
 *       a. it has not the key that rid had: item-not-found     (15)
 *       b. one copy too many: policy-violation
 *       c. repeat the kept answer, or take the place of the older copy that still
 *          waits
 *   2. the session is over: its true condition                 (17)
 *   3. its rid is too old to be repeated: item-not-found       (14.3); unless its client
 *      has gone: an aborted copy that was long on its way says nothing new, to nobody
 *   4. its rid is beyond the window: item-not-found            (14.2)
 *   5. too many requests without an answer: policy-violation   (11)
 *   6. it is let in, and has its turn when all before it have had theirs: turn.c
 */

#include "core_int.h"

bosh_action_t *act(step_t *st, bosh_action_kind_t kind)
{
    /* One event touches each slot a bounded number of times: there is room. */
    unsigned i = st->out->n < BOSH_MAX_ACTIONS ? st->out->n++ : BOSH_MAX_ACTIONS - 1;

    st->out->a[i] = (bosh_action_t){ .kind = kind,
                                     .holder = BOSH_NOBODY,
                                     .answer = { .stream = BOSH_NO_STREAM } };
    return &st->out->a[i];
}

void reply(step_t *st, bosh_answer_kind_t kind, bosh_condition_t condition)
{
    bosh_action_t *a = act(st, BOSH_DO_REPLY);

    a->answer = (bosh_answer_t){ .kind = (uint8_t)kind,
                                 .condition = (uint8_t)condition,
                                 .stream = BOSH_NO_STREAM };
    if (st->s->state < BOSH_CLOSING) {
        a->answer.ack = acks_for(st->s, st->ev->rid);
    }
    a->holder = st->ev->holder;
    st->served = true;
}

void wake(step_t *st, bosh_slot_t *slot, bosh_msec_t due)
{
    bosh_action_t *a = act(st, BOSH_DO_WAKE);

    a->holder = slot->holder;
    a->due = due;
    slot->due = due;
}

/* An early request's client does not wait longer than `wait` for a predecessor that
 * may never come. */
static bosh_msec_t due_early(const step_t *st, const bosh_slot_t *slot)
{
    if ((slot->asks & BOSH_ASKS_URGENT) || st->s->state >= BOSH_CLOSING) {
        return st->now;
    }
    return slot->arrived + BOSH_SEC(st->s->terms.wait);
}

static void hold(step_t *st, bosh_slot_t *slot)
{
    bosh_action_t *a = act(st, BOSH_DO_HOLD);

    if (slot->state == BOSH_SLOT_EARLY) {
        slot->due = due_early(st, slot);
    }
    else if (slot->due == 0 && slot->first + BOSH_SEC(st->s->terms.wait) > st->now) {
        /* Not the head yet; when it is, it needs no word about this time. */
        slot->due = slot->first + BOSH_SEC(st->s->terms.wait);
    }
    a->slot = (uint8_t)(slot->rid % BOSH_SLOTS);
    a->holder = st->ev->holder;
    a->due = slot->due;
    st->served = true;
}

static void repeat(step_t *st, bosh_slot_t *slot)
{
    bosh_action_t *a = act(st, BOSH_DO_REPEAT);

    a->slot = (uint8_t)(slot->rid % BOSH_SLOTS);
    a->answer = slot->answer;
    a->holder = st->ev->holder;
    acks_note_repeat(st->s, slot, st->ev->kind == BOSH_EV_REQUEST);
    if (slot->had_down) {
        spacing_note_given(st->s, st->ev->holder, st->now);
    }
    st->s->idle_since = 0; /* "the time since its last response" (section 10) starts anew */
    st->served = true;
}

/* Settles, and gives the event's holder something if settling did not. */
static void settle_or_hold(step_t *st, bosh_slot_t *slot)
{
    settle(st);
    if (st->served) {
        return;
    }
    if (slot->state == BOSH_SLOT_ANSWERED) {
        repeat(st, slot);
    }
    else {
        hold(st, slot);
    }
}

/* A request that is not let in ends the session; or it has ended, and this is what
 * late ones get. */
static void end_with_reply(step_t *st, bosh_condition_t condition, bosh_reason_t reason)
{
    end_by_breach(st, st->s->next_rid, condition, reason);
    reply(st, BOSH_ANSWER_TERMINATE, (bosh_condition_t)st->s->condition);
    settle(st);
}

static void on_repeat(step_t *st, bosh_slot_t *slot)
{
    if (!keys_are_repeated(slot, st->ev->keys)) {
        end_with_reply(st, BOSH_COND_ITEM_NOT_FOUND, BOSH_REASON_KEY);
        return;
    }
    if (!activity_may_repeat(slot, st->now)) {
        end_with_reply(st, BOSH_COND_POLICY_VIOLATION, BOSH_REASON_REPEATS);
        return;
    }
    if (slot->state == BOSH_SLOT_ANSWERED) {
        repeat(st, slot);
        return;
    }
    if (slot->state == BOSH_SLOT_EARLY && st->s->state >= BOSH_CLOSING) {
        reply(st, BOSH_ANSWER_TERMINATE, (bosh_condition_t)st->s->condition);
        return;
    }
    window_rebind(st, slot);
    settle_or_hold(st, slot);
}

/* The first new request after the end still gets what the server had sent. */
static void on_late(step_t *st)
{
    bosh_session_t *s = st->s;
    bosh_slot_t *slot = slot_at(s, st->ev->rid);

    if (s->end_told || st->ev->rid != s->next_rid || !keys_would_fit(s, st->ev->keys)
        || window_is_overactive(s, st->ev->rid, 0, st->now)) {
        reply(st, BOSH_ANSWER_TERMINATE, (bosh_condition_t)s->condition);
        return;
    }
    window_admit(st, 0); /* its payload has nowhere to go */
    keys_take(s, slot);
    acks_take(s, slot);
    slot->state = BOSH_SLOT_HELD;
    s->next_rid++;
    settle_or_hold(st, slot);
}

bool bosh_session_is_stale(const bosh_session_t *s, uint64_t rid)
{
    const bosh_slot_t *slot = &s->slots[rid % BOSH_SLOTS];

    if (slot->state != BOSH_SLOT_FREE && slot->rid == rid) {
        return is_attended(slot) && slot->state != BOSH_SLOT_ANSWERED;
    }
    return s->state < BOSH_CLOSING && rid < s->next_rid;
}

/* Of a client that has gone: it sent this again on another connection, or went on from it. Who
 * holds the newer copy goes on. */
static bool is_nobodys_copy(const step_t *st, const bosh_slot_t *slot)
{
    return same_holder(st->ev->holder, BOSH_NOBODY)
           && (slot || (st->s->state < BOSH_CLOSING && st->ev->rid < st->s->next_rid));
}

static void on_request(step_t *st)
{
    bosh_session_t *s = st->s;
    const bosh_event_t *ev = st->ev;
    bosh_slot_t *slot = window_find(s, ev->rid);

    spacing_note_request(s, ev->rid, st->now);
    if (is_nobodys_copy(st, slot)) {
        reply(st, BOSH_ANSWER_ERROR, BOSH_COND_NONE);
    }
    else if (slot) {
        on_repeat(st, slot);
    }
    else if (s->state >= BOSH_CLOSING) {
        on_late(st);
    }
    else if (ev->rid < s->next_rid || !window_has_room(s, ev->rid, ev->asks)) {
        end_with_reply(st, BOSH_COND_ITEM_NOT_FOUND, BOSH_REASON_RID);
    }
    else if (window_is_overactive(s, ev->rid, ev->asks, st->now)) {
        end_with_reply(st, BOSH_COND_POLICY_VIOLATION, BOSH_REASON_OVERACTIVE);
    }
    else {
        s->inactivity = s->terms.inactivity; /* a pause is over */
        window_admit(st, legs_sort_asks(s, ev));
        turn_advance(st);
        settle_or_hold(st, slot_at(s, ev->rid));
    }
}

/* It gets an empty answer before its turn, and its payload stays; or the end, if
 * nobody whose turn has come is there to get that. */
static void on_due_early(step_t *st, bosh_slot_t *slot)
{
    bosh_session_t *s = st->s;

    if (st->now < due_early(st, slot)) {
        hold(st, slot);
        return;
    }
    slot->holder = BOSH_NOBODY;
    slot->told = 1;
    if (s->state >= BOSH_CLOSING && !s->end_told && !bosh_session_is_attended(s)) {
        reply(st, BOSH_ANSWER_TERMINATE,
              s->breach ? BOSH_COND_OTHER_REQUEST : (bosh_condition_t)s->condition);
    }
    else {
        reply(st, BOSH_ANSWER_DATA, BOSH_COND_NONE);
    }
}

/* A newer copy took its place: a recoverable error (section 14.3). But the newer one may be a
 * copy that its client aborted, and that arrived after the one sent instead of it. What it was
 * given meanwhile nobody has read, and clients exist that do not ask again after an error. */
static void on_due_replaced(step_t *st, bosh_slot_t *slot)
{
    if (slot && slot->state == BOSH_SLOT_ANSWERED) {
        repeat(st, slot);
    }
    else {
        reply(st, BOSH_ANSWER_ERROR, BOSH_COND_NONE);
    }
}

static void on_due(step_t *st)
{
    bosh_slot_t *slot = window_find(st->s, st->ev->rid);

    if (!slot && st->s->state >= BOSH_CLOSING) {
        reply(st, BOSH_ANSWER_TERMINATE, (bosh_condition_t)st->s->condition);
        return;
    }
    if (!slot || !same_holder(slot->holder, st->ev->holder)) {
        on_due_replaced(st, slot);
        return;
    }
    slot->asks |= st->ev->asks & BOSH_ASKS_URGENT;
    if (slot->state == BOSH_SLOT_EARLY) {
        on_due_early(st, slot);
        return;
    }
    slot->due = 0;
    settle_or_hold(st, slot);
}

static void on_gone(step_t *st)
{
    bosh_slot_t *slot = window_find(st->s, st->ev->rid);

    if (slot && same_holder(slot->holder, st->ev->holder)) {
        slot->holder = BOSH_NOBODY;
        slot->writing = 0;
    }
    settle(st);
}

static void on_written(step_t *st)
{
    bosh_slot_t *slot = window_find(st->s, st->ev->rid);

    if (slot && slot->state == BOSH_SLOT_ANSWERED && same_holder(slot->holder, st->ev->holder)) {
        if (slot->had_down) {
            spacing_note_given(st->s, slot->holder, st->now);
        }
        slot->holder = BOSH_NOBODY;
        slot->writing = 0;
        slot->written = 1;
        slot->answered = st->now;
        st->s->last_answer = st->now;
        st->s->idle_since = 0; /* counts from now, however long the client was reading */
    }
    settle(st);
}

static void on_release(step_t *st)
{
    bosh_session_t *s = st->s;

    for (uint64_t rid = s->next_answer; rid < held_end(s); rid++) {
        slot_at(s, rid)->asks |= BOSH_ASKS_URGENT;
    }
    settle(st);
}

static void unstick(step_t *st)
{
    bosh_session_t *s = st->s;

    if (st->now - s->last_answer < BOSH_WRITE_STUCK_MS) {
        return;
    }
    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        s->slots[i].writing = 0;
    }
}

bool bosh_session_is_attended(const bosh_session_t *s)
{
    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        const bosh_slot_t *slot = &s->slots[i];

        if ((slot->state == BOSH_SLOT_HELD && is_attended(slot)) || slot->writing) {
            return true;
        }
    }
    return false;
}

bool bosh_session_is_awaited(const bosh_session_t *s, bosh_msec_t now)
{
    bool is_known = s->next_answer > s->terms.rid;

    return is_known && s->state == BOSH_ENDED && now - s->ended < BOSH_AWAITED_MS && !s->end_told
           && !s->breach && s->reason != BOSH_REASON_INACTIVITY;
}

static void note_idleness(bosh_session_t *s, bosh_msec_t now)
{
    if (bosh_session_is_attended(s)) {
        s->idle_since = 0;
    }
    else if (!s->idle_since) {
        s->idle_since = now;
    }
}

void bosh_session_init(bosh_session_t *s, const bosh_terms_t *terms, bosh_msec_t now)
{
    *s = (bosh_session_t){
        .terms = *terms,
        .next_rid = terms->rid,
        .next_answer = terms->rid,
        .created = now,
        .idle_since = now,
        .inactivity = terms->inactivity,
        .state = BOSH_OPENING,
    };
    legs_init(s);
    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        s->slots[i].holder = BOSH_NOBODY;
    }
}

void bosh_step(bosh_session_t *s, const bosh_event_t *ev, bosh_msec_t now, bosh_actions_t *out)
{
    step_t st = { .s = s, .ev = ev, .now = now, .out = out };

    out->n = 0;
    switch (ev->kind) {
    case BOSH_EV_REQUEST: on_request(&st); break;
    case BOSH_EV_DUE: on_due(&st); break;
    case BOSH_EV_GONE: on_gone(&st); break;
    case BOSH_EV_WRITTEN: on_written(&st); break;
    case BOSH_EV_OPENED:
        legs_opened(s, ev->stream);
        settle(&st);
        break;
    case BOSH_EV_DATA: settle(&st); break;
    case BOSH_EV_UP_ENDED:
        end_upstream(&st, ev->stream, ev->condition, ev->reason);
        settle(&st);
        break;
    case BOSH_EV_END:
        end_session(&st, ev->condition, ev->reason);
        settle(&st);
        break;
    case BOSH_EV_TICK:
        unstick(&st);
        end_tick(&st);
        settle(&st);
        break;
    case BOSH_EV_RELEASE: on_release(&st); break;
    case BOSH_EV_STILL: end_forgive(&st); break;
    }
    note_idleness(s, now);
}
