/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * What the files of core share. The order of one step:
 *
 *   session.c   bosh_step(): which event, which checks, in which order
 *   window.c    slots by rid: early, answered, dropped
 *   turn.c      a request's turn has come: which checks, what it does
 *     keys.c      was it this client's
 *     activity.c  does it come too soon, or too often
 *     acks.c      who has what
 *     legs.c      the session's streams
 *   settle.c    whose answer is due
 *     spacing.c   has the client read the one before
 *   answer.c    what it says
 *   ending.c    how a session ends
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

/* What a request can ask for beside the server's payloads. Without any it is empty. */
#define BOSH_ASKS_ANYTHING \
    (BOSH_ASKS_PAYLOAD | BOSH_ASKS_RESTART | BOSH_ASKS_PAUSE | BOSH_ASKS_TERMINATE | BOSH_ASKS_ADD)

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
static inline bool is_creation(const bosh_session_t *s, const bosh_slot_t *slot)
{
    return slot->rid == s->terms.rid;
}
static inline bool is_empty(const bosh_session_t *s, const bosh_slot_t *slot)
{
    return !(slot->asks & BOSH_ASKS_ANYTHING) && !is_creation(s, slot);
}
/* An answer that is kept nowhere. */
void reply(step_t *st, bosh_answer_kind_t kind, bosh_condition_t condition);
void wake(step_t *st, bosh_slot_t *slot, bosh_msec_t due);

/* window.c */
/* Half of the ring is for requests, half for kept answers: neither overwrites the other. */
#define BOSH_MAX_UNANSWERED (BOSH_SLOTS / 2)
#define BOSH_MAX_KEPT       (BOSH_SLOTS - BOSH_MAX_UNANSWERED)
static inline bosh_slot_t *slot_at(bosh_session_t *s, uint64_t rid)
{
    return &s->slots[rid % BOSH_SLOTS];
}
/* Held requests are those from next_answer up to here. Even in a session whose numbers
 * somebody scribbled over there are not more of them than slots. */
static inline uint64_t held_end(const bosh_session_t *s)
{
    uint64_t most = s->next_answer + BOSH_MAX_UNANSWERED;

    return s->next_rid < most ? s->next_rid : most;
}
/* The slot that holds this very rid; NULL if none does. */
bosh_slot_t *window_find(bosh_session_t *s, uint64_t rid);
bool window_has_room(const bosh_session_t *s, uint64_t rid, uint8_t asks);
bool window_is_overactive(bosh_session_t *s, uint64_t rid, uint8_t asks, bosh_msec_t now);
/* Takes the event's request in; its turn may not have come. */
void window_admit(step_t *st, uint8_t asks);
/* The same request once more: the newest copy gets the answer. */
void window_rebind(step_t *st, bosh_slot_t *slot);
/* Answers the client cannot ask for any more. */
void window_trim(step_t *st);

/* turn.c */
/* Gives their turn to all requests whose predecessors have had theirs. */
void turn_advance(step_t *st);

/* keys.c */
void keys_keep(bosh_slot_t *slot, const bosh_keys_t *keys);
/* The key that this request must have; then the next one's is expected. */
bool keys_take(bosh_session_t *s, const bosh_slot_t *slot);
/* The same, if its turn were now, and nothing changes. */
bool keys_would_fit(const bosh_session_t *s, const bosh_keys_t *keys);
/* A copy of this request has the key that it had. */
bool keys_are_repeated(const bosh_slot_t *slot, const bosh_keys_t *keys);

/* activity.c */
/* A request whose turn has come: false if polling so often breaks the policy. */
bool activity_may_poll(const bosh_session_t *s, const bosh_slot_t *slot);
/* The same for one that is held; counts. */
bool activity_may_hurry(bosh_session_t *s, const bosh_slot_t *slot);
void activity_note(bosh_session_t *s, const bosh_slot_t *slot);
/* One more copy; false: one too many. */
bool activity_may_repeat(bosh_slot_t *slot, bosh_msec_t now);

/* acks.c */
/* A request that was never seen arrives. */
void acks_note_arrival(bosh_session_t *s, uint64_t ack);
/* Its turn has come. */
void acks_take(bosh_session_t *s, const bosh_slot_t *slot);
/* What the answer to this rid acknowledges; 0: nothing. */
uint64_t acks_for(const bosh_session_t *s, uint64_t rid);
/* Tells of the answer that the client misses, if it does. */
void acks_report(bosh_session_t *s, bosh_answer_t *answer, bosh_msec_t now);
/* This kept answer is given once more: to a request that asks for it now, or to an older
 * copy that still waited. */
void acks_note_repeat(bosh_session_t *s, bosh_slot_t *slot, bool is_asked_for);

/* legs.c */
/* Payloads for it are taken. */
static inline bool leg_is_up(const bosh_leg_t *leg)
{
    return leg->state == BOSH_LEG_OPENING || leg->state == BOSH_LEG_OPEN;
}
void legs_init(bosh_session_t *s);
/* What of the event's asks and stream can be meant in this session. */
uint8_t legs_sort_asks(bosh_session_t *s, const bosh_event_t *ev);
uint8_t legs_sort_name(const bosh_session_t *s, const bosh_event_t *ev);
/* A request names a stream that never was. */
bool legs_know(const bosh_slot_t *slot);
/* What a request whose turn has come means for the streams. */
void legs_forward(step_t *st, const bosh_slot_t *slot);
void legs_restart(step_t *st, const bosh_slot_t *slot);
/* An ADD for which there is no number any more is an ordinary request. */
void legs_limit(const bosh_session_t *s, bosh_slot_t *slot);
void legs_add(step_t *st, bosh_slot_t *slot);
/* False: it is the session that ends. */
bool legs_terminate(step_t *st, const bosh_slot_t *slot);
/* The session ends: all streams do. */
void legs_close(step_t *st);
/* What the server did. */
void legs_opened(bosh_session_t *s, unsigned stream);
/* False: there was no such stream (any more). */
bool legs_ended(bosh_session_t *s, unsigned stream, bosh_condition_t condition,
                bosh_reason_t reason);
bool legs_are_up(const bosh_session_t *s);
bool legs_are_gone(const bosh_session_t *s);
void legs_tick(step_t *st);
/* The stream that has something to tell next; BOSH_NO_STREAM: none has. */
uint8_t legs_pick(const bosh_session_t *s);
/* After the end: one whose server is gone, but not its stanzas. */
uint8_t legs_pick_rest(const bosh_session_t *s);
bool legs_are_damaged(const bosh_session_t *s);

/* settle.c */
void settle(step_t *st);

/* spacing.c */
/* A request has come, for the first time or not. */
void spacing_note_request(bosh_session_t *s, uint64_t rid, bosh_msec_t now);
/* An answer with stanzas goes to this holder now. */
void spacing_note_given(bosh_session_t *s, bosh_holder_t reader, bosh_msec_t now);
/* Before this the head's answer must not leave; 0: at any time. */
bosh_msec_t spacing_earliest(bosh_session_t *s, const bosh_slot_t *head);

/* answer.c */
/* Fixes the answer, for good. */
void answer_fix(step_t *st, bosh_slot_t *slot);

/* ending.c */
void end_session(step_t *st, bosh_condition_t condition, bosh_reason_t reason);
/* A request breaks the rules. It, and all that come later, learn the condition; those
 * before `rid` learn that it was another one's. */
void end_by_breach(step_t *st, uint64_t rid, bosh_condition_t condition, bosh_reason_t reason);
void end_upstream(step_t *st, unsigned stream, bosh_condition_t condition, bosh_reason_t reason);
void end_tick(step_t *st);
/* The event's time does not count. */
void end_forgive(step_t *st);

#endif
