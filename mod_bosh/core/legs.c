/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * The session's streams (XEP-0124 section 16). The session has its first one from the
 * start; a client may add more, and close each. It lives as long as one of them does.
 *
 *             features                client closes it, connect
 *             from the server         timeout, the session's end       closed
 *      OPENING ------------> OPEN ----------------------------> CLOSING ----> GONE
 *         |                    |        the server's stream ended               ^
 *         +--------------------+------------------------------------------------+
 *
 * What a stream has for the client, and that it ended while the session goes on, waits
 * until the client knows its name.
 */

#include "core_int.h"

static unsigned count_up(const bosh_session_t *s)
{
    unsigned n = 0;

    for (unsigned i = 0; i < BOSH_MAX_STREAMS; i++) {
        n += leg_is_up(&s->leg[i]);
    }
    return n;
}

bool legs_are_up(const bosh_session_t *s)
{
    return count_up(s) > 0;
}

bool legs_are_gone(const bosh_session_t *s)
{
    for (unsigned i = 0; i < BOSH_MAX_STREAMS; i++) {
        if (s->leg[i].state != BOSH_LEG_NONE && s->leg[i].state != BOSH_LEG_GONE) {
            return false;
        }
    }
    return true;
}

static uint8_t first_up(const bosh_session_t *s)
{
    for (uint8_t i = 0; i < BOSH_MAX_STREAMS; i++) {
        if (leg_is_up(&s->leg[i])) {
            return i;
        }
    }
    return BOSH_NO_STREAM;
}

static bool has_one_more(const bosh_session_t *s)
{
    return s->legs < s->terms.streams && s->legs < BOSH_MAX_STREAMS;
}

void legs_init(bosh_session_t *s)
{
    s->legs = 1;
    s->leg[0] = (bosh_leg_t){ .since = s->created, .state = BOSH_LEG_OPENING, .is_named = 1 };
}

/* ---- requests ------------------------------------------------------------ */

/* libpurple writes `to` into every request: its polls are not for a stream more. The
 * first thing that such a client says after the session's creation has a payload. */
static void note_to(bosh_session_t *s, const bosh_event_t *ev)
{
    if (ev->rid != s->terms.rid && (ev->asks & BOSH_ASKS_TO) && (ev->asks & BOSH_ASKS_PAYLOAD)
        && !(ev->asks & BOSH_ASKS_RESTART)) {
        s->adds_none = 1;
    }
}

uint8_t legs_sort_asks(bosh_session_t *s, const bosh_event_t *ev)
{
    uint8_t others = ev->asks & (BOSH_ASKS_ANYTHING & ~BOSH_ASKS_ADD);

    note_to(s, ev);
    /* Without the feature, or with more than a description, it is an ordinary request. */
    return s->terms.streams <= 1 || s->adds_none || others ? ev->asks & (uint8_t)~BOSH_ASKS_ADD
                                                           : ev->asks;
}

uint8_t legs_sort_name(const bosh_session_t *s, const bosh_event_t *ev)
{
    const uint8_t for_streams = BOSH_ASKS_PAYLOAD | BOSH_ASKS_RESTART | BOSH_ASKS_TERMINATE;

    /* "Empty elements … the receiving entity SHOULD ignore the attribute" (16.4). */
    if (s->terms.streams <= 1 || !(ev->asks & for_streams)) {
        return BOSH_NO_STREAM;
    }
    return ev->stream == BOSH_NO_STREAM || ev->stream < s->legs ? ev->stream : BOSH_BAD_STREAM;
}

bool legs_know(const bosh_slot_t *slot)
{
    return slot->stream == BOSH_NO_STREAM || slot->stream < BOSH_MAX_STREAMS;
}

void legs_forward(step_t *st, const bosh_slot_t *slot)
{
    const bosh_session_t *s = st->s;
    uint8_t to = slot->stream;
    bosh_action_t *a;

    /* A restart replaces the payload (XEP-0206 section 5). */
    if (!(slot->asks & BOSH_ASKS_PAYLOAD) || (slot->asks & BOSH_ASKS_RESTART)) {
        return;
    }
    if (to == BOSH_NO_STREAM && count_up(s) == 1) {
        to = first_up(s);
    }
    if (to != BOSH_NO_STREAM && !leg_is_up(&s->leg[to])) {
        return; /* the client might not have been aware that it is closed (16.4) */
    }
    a = act(st, BOSH_DO_FORWARD);
    a->slot = (uint8_t)(slot->rid % BOSH_SLOTS);
    a->stream = to;
}

void legs_restart(step_t *st, const bosh_slot_t *slot)
{
    const bosh_session_t *s = st->s;
    uint8_t which = slot->stream == BOSH_NO_STREAM ? first_up(s) : slot->stream;
    bosh_action_t *a;

    if (!(slot->asks & BOSH_ASKS_RESTART) || which == BOSH_NO_STREAM
        || !leg_is_up(&s->leg[which])) {
        return;
    }
    a = act(st, BOSH_DO_RESTART);
    a->slot = (uint8_t)(slot->rid % BOSH_SLOTS);
    a->stream = which;
}

void legs_limit(const bosh_session_t *s, bosh_slot_t *slot)
{
    if (!has_one_more(s)) {
        slot->asks &= (uint8_t)~BOSH_ASKS_ADD;
    }
}

void legs_add(step_t *st, bosh_slot_t *slot)
{
    bosh_session_t *s = st->s;
    bosh_action_t *a;

    if (!(slot->asks & BOSH_ASKS_ADD)) {
        return;
    }
    slot->stream = s->legs++;
    s->leg[slot->stream] = (bosh_leg_t){
        .since = st->now,
        .state = slot->refused ? BOSH_LEG_GONE : BOSH_LEG_OPENING,
        .condition = slot->refused,
    };
    if (!slot->refused) {
        a = act(st, BOSH_DO_OPEN);
        a->slot = (uint8_t)(slot->rid % BOSH_SLOTS);
        a->stream = slot->stream;
    }
}

/* ---- ends ------------------------------------------------------------------ */

/* This stream ends, and the session does not: the client is to be told. */
static void end_leg(bosh_leg_t *leg, bosh_leg_state_t state, bosh_condition_t condition,
                    bosh_reason_t reason)
{
    leg->state = (uint8_t)state;
    leg->condition = (uint8_t)condition;
    leg->reason = (uint8_t)reason;
    leg->end_due = 1;
}

static void close_leg(step_t *st, uint8_t stream, bosh_condition_t condition, bosh_reason_t reason)
{
    act(st, BOSH_DO_CLOSE)->stream = stream;
    end_leg(&st->s->leg[stream], BOSH_LEG_CLOSING, condition, reason);
}

bool legs_terminate(step_t *st, const bosh_slot_t *slot)
{
    bosh_session_t *s = st->s;
    uint8_t stream = slot->stream;

    if (stream == BOSH_NO_STREAM) {
        return false;
    }
    if (!leg_is_up(&s->leg[stream])) {
        return true; /* it ended meanwhile */
    }
    if (count_up(s) == 1) {
        return false; /* the last one */
    }
    close_leg(st, stream, BOSH_COND_NONE, BOSH_REASON_CLIENT);
    return true;
}

void legs_close(step_t *st)
{
    for (uint8_t i = 0; i < BOSH_MAX_STREAMS; i++) {
        bosh_leg_t *leg = &st->s->leg[i];

        if (leg_is_up(leg)) {
            act(st, BOSH_DO_CLOSE)->stream = i;
            leg->state = BOSH_LEG_CLOSING;
        }
    }
}

void legs_opened(bosh_session_t *s, unsigned stream)
{
    if (stream < BOSH_MAX_STREAMS && s->leg[stream].state == BOSH_LEG_OPENING) {
        s->leg[stream].state = BOSH_LEG_OPEN;
        if (s->state == BOSH_OPENING) {
            s->state = BOSH_OPEN;
        }
    }
}

bool legs_ended(bosh_session_t *s, unsigned stream, bosh_condition_t condition,
                bosh_reason_t reason)
{
    bosh_leg_t *leg = &s->leg[stream % BOSH_MAX_STREAMS];

    if (stream >= BOSH_MAX_STREAMS || leg->state == BOSH_LEG_NONE || leg->state == BOSH_LEG_GONE) {
        return false;
    }
    if (s->state < BOSH_CLOSING && leg_is_up(leg)) {
        end_leg(leg, BOSH_LEG_GONE, condition, reason);
    }
    leg->state = BOSH_LEG_GONE;
    return true;
}

void legs_tick(step_t *st)
{
    bosh_session_t *s = st->s;

    for (uint8_t i = 0; i < BOSH_MAX_STREAMS && s->state < BOSH_CLOSING; i++) {
        if (s->leg[i].state != BOSH_LEG_OPENING
            || st->now - s->leg[i].since < BOSH_SEC(s->terms.connect_timeout)) {
            continue;
        }
        if (count_up(s) == 1) {
            end_session(st, BOSH_COND_REMOTE_CONNECTION_FAILED, BOSH_REASON_CONNECT_TIMEOUT);
        }
        else {
            close_leg(st, i, BOSH_COND_REMOTE_CONNECTION_FAILED, BOSH_REASON_CONNECT_TIMEOUT);
        }
    }
}

/* ---- what the client is told ------------------------------------------------ */

/* Ends first: there are few. Then each stream in its turn, so that a busy one does not
 * keep the others' stanzas waiting. */
uint8_t legs_pick(const bosh_session_t *s)
{
    for (uint8_t i = 0; i < BOSH_MAX_STREAMS; i++) {
        if (s->leg[i].end_due && s->leg[i].is_named) {
            return i;
        }
    }
    for (uint8_t n = 1; n <= BOSH_MAX_STREAMS; n++) {
        uint8_t i = (uint8_t)((s->last_leg + n) % BOSH_MAX_STREAMS);

        if (s->leg[i].has_down && s->leg[i].is_named && leg_is_up(&s->leg[i])) {
            return i;
        }
    }
    return BOSH_NO_STREAM;
}

uint8_t legs_pick_rest(const bosh_session_t *s)
{
    for (uint8_t i = 0; i < BOSH_MAX_STREAMS; i++) {
        if (s->leg[i].has_down && s->leg[i].is_named && !s->leg[i].end_told) {
            return i;
        }
    }
    return BOSH_NO_STREAM;
}

bool legs_are_damaged(const bosh_session_t *s)
{
    if (s->legs < 1 || s->legs > BOSH_MAX_STREAMS || s->last_leg >= BOSH_MAX_STREAMS
        || s->terms.streams > BOSH_MAX_STREAMS) {
        return true;
    }
    for (unsigned i = 0; i < BOSH_MAX_STREAMS; i++) {
        const bosh_leg_t *leg = &s->leg[i];

        if (leg->state > BOSH_LEG_GONE || leg->condition >= BOSH_COND_COUNT
            || leg->reason >= BOSH_REASON_COUNT || (leg->state == BOSH_LEG_NONE) != (i >= s->legs)
            || (leg->end_due && (leg->end_told || leg_is_up(leg)))) {
            return true;
        }
    }
    return s->state < BOSH_CLOSING && !legs_are_up(s);
}
