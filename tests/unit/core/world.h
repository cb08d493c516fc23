/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A world around one session that judges what the core does by rules of its own. It
 * learns nothing from the session's fields: what it knows, it knows from what it sent
 * and what it was told. Then it compares.
 *
 *   world.c          events, and the time that passes between them
 *   world_requests.c requests arrive: new, once more, late, against the rules
 *   world_turns.c    what a request does when its turn has come; what goes up
 *   world_limits.c   keys, polling, hurry: who breaks the rules
 *   world_answers.c  what an answer says, and which stream's stanzas it has
 *   world_legs.c     the streams
 *   world_kept.c     answers are kept, repeated, acknowledged, dropped, undelivered
 *   world_waits.c    who waits is told: at once if there is something, else in time
 *
 * and, for all: a client that keeps the rules is never thrown out.
 */
#ifndef WORLD_H
#define WORLD_H

#include "bosh/core.h"

#include "rng.h"

#define WORLD_RIDS     600 /* of one session */
#define WORLD_WAITERS  600 /* BOSH_MAX_REPEATS copies of each */
#define WORLD_EXPECTED 64
#define WORLD_STUCK_MS BOSH_WRITE_STUCK_MS

/* What a client says in one request. */
typedef struct saying_t {
    uint8_t asks, stream;
    uint32_t pause;
    uint64_t ack;
    unsigned key, newkey; /* numbers; key n hashes to n + 1; 0: none */
    bosh_condition_t refused;
} saying_t;

/* What became of one rid. */
typedef struct fate_t {
    bool arrived, forwarded, answered, dropped;
    bool is_told; /* its latest copy was answered before its turn */
    saying_t said;
    bosh_msec_t at;     /* of the copy that counts for how soon it came */
    bosh_msec_t latest; /* copy */
    unsigned copies;    /* that count */
    uint8_t leg;        /* the stream it added, or was refused */
    bool has_added;
    bosh_answer_t answer;
    unsigned n;       /* stanzas in its answer */
    uint8_t n_leg;    /* and whose */
    uint32_t bytes;   /* of its answer */
    bosh_msec_t sent; /* fixed, then written */
    bool was_written, was_received, was_overtaken;
} fate_t;

/* One copy of a request, until it was told its answer. */
typedef struct waiter_t {
    bool is_live, is_replaced, is_writing, is_stuck;
    bosh_holder_t holder;
    uint64_t rid;
    bosh_msec_t since, due, write_at;
} waiter_t;

/* One stream. */
typedef struct leg_t {
    bool is_up, is_open, is_gone, is_closed, is_named, is_told;
    bool has_end; /* to be told */
    bosh_condition_t condition;
    bosh_reason_t reason;
    bosh_msec_t since;
    unsigned put, taken; /* stanzas */
    unsigned passed;     /* how often others' left while these waited */
} leg_t;

/* An action towards the server. */
typedef struct upward_t {
    bosh_action_kind_t kind;
    uint8_t slot, stream;
    bool has_slot;
} upward_t;

typedef struct world_t {
    rng_t *rng;
    bosh_session_t s;
    bosh_actions_t acts;
    bosh_event_kind_t doing;
    bosh_msec_t now, next_tick;
    uint32_t tickets;
    waiter_t waiters[WORLD_WAITERS];
    fate_t fates[WORLD_RIDS];
    uint64_t first_rid, turn, next_answer; /* turn: all before it arrived */
    bosh_msec_t last_attended, last_answer;
    uint32_t inactivity;
    bool is_open, is_over, is_freed, is_end_told, had_stuck, is_traced;
    bosh_condition_t condition;
    bosh_reason_t reason; /* NONE: the core knows */
    uint64_t breach;      /* those before it end for another one's; 0: none */
    leg_t legs[BOSH_MAX_STREAMS];
    unsigned n_legs;
    uint64_t acked, report;
    uint64_t step, too_old_at, too_old; /* in that step all up to too_old are too much */
    unsigned key; /* the next request's must hash to it; 0: must not have one */
    unsigned hasty;
    upward_t expected[WORLD_EXPECTED];
    unsigned n_expected;
} world_t;

/* ---- for the clients ---------------------------------------------------- */

void world_begin(world_t *w, rng_t *rng, const bosh_terms_t *terms, saying_t said);

/* A copy of the request arrives. */
void world_request(world_t *w, uint64_t rid, saying_t said);
void world_hang_up(world_t *w, waiter_t *waiter);
/* The server sends something on this stream. */
void world_data(world_t *w, uint8_t leg);
void world_up_ended(world_t *w, uint8_t leg, bosh_condition_t condition, bosh_reason_t reason);
void world_end(world_t *w, bosh_condition_t condition, bosh_reason_t reason);
/* Time passes, and everybody who was told to comes back. */
void world_pass(world_t *w, bosh_msec_t ms);

fate_t *world_fate(world_t *w, uint64_t rid);
waiter_t *world_waiter(world_t *w, uint64_t rid);
/* The lowest rid that counts as open: what was aborted before it does not. */
uint64_t world_oldest_open(world_t *w);

/* ---- among its files ----------------------------------------------------- */

static inline bool world_same(bosh_holder_t a, bosh_holder_t b)
{
    return a.child == b.child && a.ticket == b.ticket;
}
/* Asks for nothing but what the server has; the creation request is something else. */
bool world_is_empty(world_t *w, uint64_t rid);
bool world_somebody_writes(world_t *w);
bool world_is_attended(world_t *w);

/* world.c */
void world_step(world_t *w, bosh_event_t ev, waiter_t *x);
/* All that the step must have done is known by now. */
void world_check_step(world_t *w, waiter_t *x);

/* world_limits.c */
bool world_key_fits(const world_t *w, const saying_t *said);
bosh_reason_t world_fault(world_t *w, uint64_t rid);

/* world_turns.c */
saying_t world_sort(const world_t *w, saying_t said);
void world_over(world_t *w, bosh_condition_t condition, bosh_reason_t reason, uint64_t breach);
void world_take_turns(world_t *w);
void world_expect_up(world_t *w, bosh_action_kind_t kind, uint64_t rid, uint8_t stream);
void world_check_ups(world_t *w);

/* world_legs.c */
unsigned world_legs_up(const world_t *w);
bool world_legs_gone(const world_t *w);
void world_leg_begins(world_t *w, uint8_t leg, bosh_condition_t refused);
void world_leg_ends(leg_t *leg, bosh_condition_t condition, bosh_reason_t reason);
void world_close_leg(world_t *w, uint8_t leg, bosh_condition_t condition, bosh_reason_t reason);
void world_time_legs(world_t *w);
/* Something of its is due to the client. */
bool world_leg_tells(const leg_t *leg);
void world_take_stanzas(world_t *w, uint8_t leg);
void world_check_legs(world_t *w);

/* world_answers.c */
uint64_t world_ack_for(const world_t *w, uint64_t rid);
void world_check_answer(world_t *w, const bosh_action_t *a);

/* world_kept.c */
void world_note_arrival(world_t *w, uint64_t ack);
void world_note_overtaking(world_t *w, uint64_t rid);
void world_take_ack(world_t *w, uint64_t ack);
void world_check_repeat(world_t *w, const bosh_action_t *a, uint64_t rid);
void world_check_drop(world_t *w, const bosh_action_t *a);
void world_check_kept(world_t *w);

/* world_waits.c */
void world_check_waits(world_t *w);

#endif
