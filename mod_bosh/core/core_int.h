/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * What the files of core share. The order of one step:
 *
 *   session.c  bosh_step(): which event, which checks, in which order
 *   window.c   slots by rid: early, consumed, dropped
 *   settle.c   whose answer is due, and what it says
 *   ending.c   how a session ends
 */
#ifndef BOSH_CORE_INT_H
#define BOSH_CORE_INT_H

#include "bosh/core.h"

/* One event on its way through the core. */
typedef struct step_t {
    bosh_session_t *s;
    const bosh_event_t *ev;
    bosh_msec_t now;
    bosh_actions_t *out;
    bool served; /* the event's holder was given its ANSWER, REPEAT, REPLY or HOLD */
} step_t;

/* session.c */
bosh_action_t *act(step_t *st, bosh_action_kind_t kind);
static inline bool same_holder(bosh_holder_t a, bosh_holder_t b)
{
    return a.child == b.child && a.ticket == b.ticket;
}
static inline bool is_attended(const bosh_slot_t *slot)
{
    return slot->holder.child != UINT32_MAX;
}
/* An answer that is kept nowhere. */
void reply(step_t *st, bosh_answer_kind_t kind, bosh_condition_t condition);
void wake(step_t *st, bosh_slot_t *slot, bosh_msec_t due);

/* window.c */
/* Half of the ring is for requests, half for kept answers: neither overwrites the other. */
#define BOSH_MAX_UNANSWERED (BOSH_SLOTS / 2)
static inline bosh_slot_t *slot_at(bosh_session_t *s, uint64_t rid)
{
    return &s->slots[rid % BOSH_SLOTS];
}
/* The slot that holds this very rid; NULL if none does. */
bosh_slot_t *window_find(bosh_session_t *s, uint64_t rid);
bool window_has_room(const bosh_session_t *s, uint64_t rid, uint8_t asks);
bool window_is_overactive(bosh_session_t *s, uint64_t rid, uint8_t asks, bosh_msec_t now);
/* Takes the event's request in; its turn may not have come. */
void window_admit(step_t *st, uint8_t asks);
/* Gives their turn to all requests whose predecessors have had theirs. */
void window_advance(step_t *st);
/* The same request once more: the newest copy gets the answer. */
void window_rebind(step_t *st, bosh_slot_t *slot);
/* Answers the client cannot ask for any more. */
void window_trim(step_t *st);

/* settle.c */
void settle(step_t *st);

/* ending.c */
void end_session(step_t *st, bosh_condition_t condition, bosh_reason_t reason);
void end_upstream(step_t *st, bosh_condition_t condition, bosh_reason_t reason);
void end_tick(step_t *st);

#endif
