/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* A request arrives: for the first time, once more, too late, or against the rules. */

#include "world.h"

#include <stdlib.h>
#include <string.h>

#include "unit.h"

static waiter_t *new_waiter(world_t *w, uint64_t rid)
{
    for (unsigned i = 0; i < WORLD_WAITERS; i++) {
        waiter_t *x = &w->waiters[i];

        if (!x->is_live && !x->is_writing) {
            *x = (waiter_t){ .is_live = true,
                             .holder = { rng_below(w->rng, 4), ++w->tickets },
                             .rid = rid,
                             .since = w->now };
            return x;
        }
    }
    fail_msg("more waiters than a session can have");
    abort();
}

/* Its answer was called for, or its client left. */
static bool is_on_its_way_out(world_t *w, uint64_t rid)
{
    waiter_t *x = world_waiter(w, rid);

    return rid < w->turn && (!x || (x->due && x->due <= w->now));
}

/* Those from this one on that wait for their turn or answer, and whose clients do not. */
static unsigned told_from(world_t *w, uint64_t from)
{
    unsigned n = 0;

    for (uint64_t rid = from; rid < w->next_answer + BOSH_SLOTS / 2; rid++) {
        const fate_t *f = world_fate(w, rid);

        n += f->arrived && f->is_told && !f->answered;
    }
    return n;
}

/* How many its client may have open, without those that it was told about. */
static uint64_t most(world_t *w, uint8_t asks, uint64_t from)
{
    return w->s.terms.requests + ((asks & (BOSH_ASKS_PAUSE | BOSH_ASKS_TERMINATE)) ? 1 : 0)
           + told_from(w, from);
}

static bool is_in_window(world_t *w, uint64_t rid, uint8_t asks)
{
    uint64_t n = most(w, asks, w->turn);

    return rid >= w->turn && rid - w->turn < n;
}

/* Not one too many: by what was sent and told. */
static bool has_place(world_t *w, uint64_t rid, uint8_t asks)
{
    uint64_t n = most(w, asks, w->next_answer);

    return rid - w->next_answer < BOSH_SLOTS / 2
           && (rid - w->next_answer < n || is_on_its_way_out(w, w->next_answer));
}

static void arrive(world_t *w, uint64_t rid, saying_t said)
{
    fate_t *f = world_fate(w, rid);

    world_note_overtaking(w, rid);
    f->arrived = true;
    f->said = world_sort(w, said);
    f->at = f->latest = w->now;
    if (world_key_fits(w, &said)) {
        world_note_arrival(w, said.ack);
    }
    if (f->said.asks & (BOSH_ASKS_PAYLOAD | BOSH_ASKS_RESTART | BOSH_ASKS_ADD)) {
        world_expect_up(w, BOSH_DO_STORE, rid, 0);
    }
}

static void arrive_new(world_t *w, uint64_t rid, saying_t said)
{
    if (!is_in_window(w, rid, said.asks)) {
        world_over(w, BOSH_COND_ITEM_NOT_FOUND, BOSH_REASON_RID, w->turn);
    }
    else if (!has_place(w, rid, said.asks)) {
        world_over(w, BOSH_COND_POLICY_VIOLATION, BOSH_REASON_OVERACTIVE, w->turn);
    }
    else {
        w->inactivity = w->s.terms.inactivity;
        arrive(w, rid, said);
        world_take_turns(w);
    }
}

/* The first one after the end takes the end, if nobody has. */
static void arrive_late(world_t *w, uint64_t rid, saying_t said)
{
    if (!w->is_end_told && rid == w->turn && has_place(w, rid, 0) && world_key_fits(w, &said)) {
        said.asks = 0; /* nothing goes up any more */
        arrive(w, rid, said);
        w->key = said.newkey ? said.newkey : said.key;
        world_take_ack(w, said.ack);
        w->turn++;
    }
}

static void arrive_again(world_t *w, uint64_t rid, saying_t said, waiter_t *x)
{
    fate_t *f = world_fate(w, rid);
    waiter_t *older;
    bool counts = f->answered || w->now - f->latest < BOSH_REPEAT_MS;

    if (said.key != f->said.key) {
        world_over(w, BOSH_COND_ITEM_NOT_FOUND, BOSH_REASON_KEY, w->turn);
    }
    else if (counts && f->copies == BOSH_MAX_REPEATS) {
        world_over(w, BOSH_COND_POLICY_VIOLATION, BOSH_REASON_REPEATS, w->turn);
    }
    else {
        f->copies += counts;
        f->latest = w->now;
        if (f->answered || (w->is_over && rid >= w->turn)) {
            return;
        }
        x->is_live = false;
        older = world_waiter(w, rid);
        x->is_live = true;
        if (older) {
            older->is_replaced = true;
        }
        f->is_told = false;
        f->at = rid >= w->turn ? w->now : f->at;
        f->said.asks &= (uint8_t) ~(BOSH_ASKS_URGENT | BOSH_ASKS_DEAF);
        f->said.asks |= said.asks & (BOSH_ASKS_URGENT | BOSH_ASKS_DEAF);
    }
}

static void write_key(uint8_t *key, unsigned n)
{
    memset(key, 0x5a, BOSH_KEY_BYTES);
    memcpy(key, &n, sizeof(n));
}

void world_request(world_t *w, uint64_t rid, saying_t said)
{
    bosh_keys_t keys = { .has_key = said.key != 0, .has_newkey = said.newkey != 0 };
    bosh_event_t ev = { .kind = BOSH_EV_REQUEST,
                        .rid = rid,
                        .asks = said.asks,
                        .stream = said.stream,
                        .pause = said.pause,
                        .ack = said.ack,
                        .keys = said.key || said.newkey || rng_one_in(w->rng, 4) ? &keys : NULL,
                        .condition = said.refused };
    bool is_known = rid >= w->first_rid && rid < w->first_rid + WORLD_RIDS
                    && world_fate(w, rid)->arrived && !world_fate(w, rid)->dropped;
    waiter_t *x = new_waiter(w, rid);

    write_key(keys.key, said.key);
    write_key(keys.hash, said.key + 1);
    write_key(keys.newkey, said.newkey);
    x->is_live = false; /* idleness is judged without it */
    world_step(w, ev, x);
    x->is_live = true;
    if (is_known) {
        arrive_again(w, rid, said, x);
    }
    else if (w->is_over) {
        arrive_late(w, rid, said);
    }
    else {
        arrive_new(w, rid, said);
    }
    world_check_step(w, x);
}
