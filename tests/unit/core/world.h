/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A world around one session that judges what the core does by rules of its own. It
 * does not look into the session's slots: what it knows, it knows from what it sent
 * and what it was told.
 *
 *   - payloads go up once, in rid order, as soon as all before them are there
 *   - answers are fixed in rid order, and an answer once fixed is repeated as it was
 *   - each stanza is in one answer, in order, and in none that nobody takes
 *   - one answer is written at a time
 *   - who waits is told: at once if stanzas are there, else when `wait` is over
 *   - inactivity counts only while nobody waits
 *   - a client that keeps the rules is never thrown out
 */
#ifndef WORLD_H
#define WORLD_H

#include "bosh/core.h"

#include "rng.h"

#define WORLD_RIDS    600 /* of one session */
#define WORLD_WAITERS 64

/* What became of one rid. */
typedef struct fate_t {
    bool arrived, has_payload, forwarded, answered, dropped;
    uint8_t asks;
    uint32_t pause;
    bosh_answer_t answer;
    unsigned first, n; /* stanzas in its answer */
} fate_t;

/* One copy of a request, until it was told its answer. */
typedef struct waiter_t {
    bool is_live, is_replaced, is_writing, is_stuck;
    bosh_holder_t holder;
    uint64_t rid;
    bosh_msec_t since, due, write_at;
} waiter_t;

typedef struct world_t {
    rng_t *rng;
    bosh_session_t s;
    bosh_actions_t acts;
    bosh_msec_t now, next_tick;
    uint32_t tickets;
    waiter_t waiters[WORLD_WAITERS];
    fate_t fates[WORLD_RIDS];
    uint64_t breach;                       /* those before it end for another one's; 0: none */
    uint64_t first_rid, turn, next_answer; /* turn: all before it arrived */
    unsigned put, taken;                   /* stanzas */
    bosh_msec_t last_attended, last_answer;
    uint32_t inactivity;
    bool is_open, is_over, is_gone, is_freed, is_end_told, had_stuck, is_traced;
    bosh_condition_t condition;
    unsigned closes;
} world_t;

void world_begin(world_t *w, rng_t *rng);

/* A copy of the request arrives. */
void world_request(world_t *w, uint64_t rid, uint8_t asks, uint32_t pause);
void world_hang_up(world_t *w, waiter_t *waiter);
void world_data(world_t *w);
void world_end(world_t *w, bool by_server, bosh_condition_t condition, bosh_reason_t reason);
/* Time passes, and everybody who was told to comes back. */
void world_pass(world_t *w, bosh_msec_t ms);

fate_t *world_fate(world_t *w, uint64_t rid);
waiter_t *world_waiter(world_t *w, uint64_t rid);
/* The lowest rid that counts as open: what was aborted before it does not. */
uint64_t world_oldest_open(world_t *w);

#endif
