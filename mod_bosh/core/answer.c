/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * What an answer says. It is fixed at the moment in which its holder takes it, and
 * repeated as it was ever after.
 */

#include "core_int.h"

static void give_down(bosh_session_t *s, bosh_action_t *a, uint8_t stream)
{
    a->stream = stream;
    a->with_down = s->leg[stream].has_down;
    if (a->with_down) {
        s->leg[stream].has_down = 0;
        s->last_leg = stream;
        if (s->legs > 1 && a->answer.kind == BOSH_ANSWER_DATA) {
            a->answer.stream = stream;
        }
    }
}

/* The stream ID goes to the client as the features do: with the first answer that can have it
 * (XEP-0206 section 4). A server older than XMPP 1.0 has an ID, and no features. */
static void greet(bosh_session_t *s, bosh_action_t *a, uint8_t stream)
{
    bosh_leg_t *leg = &s->leg[stream];

    a->answer.greets = leg->state == BOSH_LEG_OPEN && !leg->greeted;
    leg->greeted |= a->answer.greets;
}

static void say_created(bosh_session_t *s, const bosh_slot_t *slot, bosh_action_t *a)
{
    a->answer.kind = BOSH_ANSWER_CREATED;
    a->answer.stream = s->terms.streams > 1 ? 0 : BOSH_NO_STREAM;
    if (is_attended(slot) && !(slot->asks & BOSH_ASKS_PAUSE)) {
        give_down(s, a, 0);
        greet(s, a, 0);
    }
}

static void say_added(bosh_session_t *s, const bosh_slot_t *slot, bosh_action_t *a)
{
    a->answer.kind = slot->refused ? BOSH_ANSWER_TERMINATE : BOSH_ANSWER_STREAM;
    a->answer.condition = slot->refused;
    a->answer.stream = a->stream = slot->stream % BOSH_MAX_STREAMS;
    s->leg[a->stream].is_named = 1;
}

/* A stream's end, with its last stanzas, while others live. */
static void say_leg_end(bosh_session_t *s, bosh_action_t *a, uint8_t stream)
{
    bosh_leg_t *leg = &s->leg[stream];

    a->answer.kind = BOSH_ANSWER_TERMINATE;
    a->answer.condition = leg->condition;
    a->answer.stream = stream;
    leg->end_due = 0;
    leg->end_told = 1;
    give_down(s, a, stream);
}

static void say_what_there_is(bosh_session_t *s, const bosh_slot_t *slot, bosh_action_t *a)
{
    uint8_t stream = legs_pick(s);

    /* "The response to the pause request MUST NOT contain any payloads" (section 10). */
    if (!is_attended(slot) || (slot->asks & BOSH_ASKS_PAUSE)) {
        return;
    }
    if (stream == BOSH_NO_STREAM) {
        if (s->legs == 1) { /* with several, an empty answer is about none of them */
            greet(s, a, 0);
        }
    }
    else if (s->leg[stream].end_due) {
        say_leg_end(s, a, stream);
    }
    else {
        give_down(s, a, stream);
        greet(s, a, stream);
    }
}

/* Nobody gets another's stanzas by breaking the session. */
static bool is_stranger(const bosh_session_t *s, const bosh_slot_t *slot)
{
    return s->reason == BOSH_REASON_KEY && slot->rid >= s->breach;
}

/* Section 13: the oldest gets the end, all others an empty body. Unless it is for one
 * request's breach: this one, and who comes later, gets the condition. */
static void say_end(bosh_session_t *s, const bosh_slot_t *slot, bosh_action_t *a)
{
    bool is_other = slot->rid < s->breach;

    if (s->end_told && (is_other || !s->breach)) {
        return;
    }
    s->end_told = 1;
    a->answer.kind = BOSH_ANSWER_TERMINATE;
    a->answer.condition = is_other ? BOSH_COND_OTHER_REQUEST : s->condition;
    /* With several streams, payloads need a name, and a name would mean that only that
     * stream ends. */
    if (s->legs == 1 && !is_stranger(s, slot)) {
        give_down(s, a, 0);
    }
}

/* The servers are gone, and cannot take anything back: what they had sent goes out first,
 * if the client will come again for the end. */
static bool say_rest(bosh_session_t *s, bosh_action_t *a)
{
    uint8_t stream = s->state == BOSH_ENDED && s->legs > 1 && !s->end_told && !s->breach
                             && s->reason != BOSH_REASON_CLIENT
                         ? legs_pick_rest(s)
                         : BOSH_NO_STREAM;

    if (stream == BOSH_NO_STREAM) {
        return false;
    }
    give_down(s, a, stream);
    return true;
}

static void compose(bosh_session_t *s, const bosh_slot_t *slot, bosh_action_t *a)
{
    a->answer.kind = BOSH_ANSWER_DATA;
    if (s->state >= BOSH_CLOSING) {
        if (is_attended(slot) && !say_rest(s, a)) {
            say_end(s, slot, a);
        }
    }
    else if (is_creation(s, slot)) {
        say_created(s, slot, a);
    }
    else if (slot->asks & BOSH_ASKS_ADD) {
        say_added(s, slot, a);
    }
    else {
        say_what_there_is(s, slot, a);
    }
}

/* At most one answer is being written: this one is late enough to be called stuck. */
static void forget_writer(bosh_session_t *s)
{
    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        s->slots[i].writing = 0;
    }
}

static void give_to_holder(step_t *st, bosh_slot_t *slot, bosh_answer_t *answer)
{
    bosh_session_t *s = st->s;

    if (s->state < BOSH_CLOSING) {
        acks_report(s, answer, st->now);
    }
    forget_writer(s);
    slot->writing = 1;
    s->last_answer = st->now;
}

void answer_fix(step_t *st, bosh_slot_t *slot)
{
    bosh_session_t *s = st->s;
    bosh_action_t *a = act(st, BOSH_DO_ANSWER);

    a->slot = (uint8_t)(slot->rid % BOSH_SLOTS);
    a->holder = slot->holder;
    compose(s, slot, a);
    a->answer.ack = acks_for(s, slot->rid);
    if (is_attended(slot)) {
        give_to_holder(st, slot, &a->answer);
        if (a->with_down) {
            spacing_note_given(s, slot->holder, st->now);
        }
    }
    slot->answer = a->answer;
    slot->state = BOSH_SLOT_ANSWERED;
    slot->answered = st->now;
    slot->had_down = a->with_down;
    slot->down_stream = a->stream;
    s->next_answer++;
}
