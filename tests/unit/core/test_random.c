/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Random clients against the core. world.c knows the rules; here are the clients: most
 * keep the rules, hang up, repeat, overtake themselves; some break the rules.
 */

#include "world.h"

#include "unit.h"

typedef struct client_t {
    world_t w;
    uint64_t next; /* the rid it uses next */
    bool is_rude;
    unsigned patience; /* steps after the end */
} client_t;

static uint8_t some_asks(client_t *c)
{
    uint8_t asks = rng_one_in(c->w.rng, 2) ? BOSH_ASKS_PAYLOAD : 0;

    asks |= rng_one_in(c->w.rng, 20) ? BOSH_ASKS_RESTART : 0;
    asks |= rng_one_in(c->w.rng, 10) ? BOSH_ASKS_URGENT : 0;
    asks |= rng_one_in(c->w.rng, 12) ? BOSH_ASKS_PAUSE : 0;
    asks |= rng_one_in(c->w.rng, 200) ? BOSH_ASKS_TERMINATE : 0;
    return asks;
}

static bool may_send(client_t *c, uint64_t rid, uint8_t asks)
{
    uint32_t n = c->w.s.terms.requests + ((asks & (BOSH_ASKS_PAUSE | BOSH_ASKS_TERMINATE)) ? 1 : 0);

    return world_fate(&c->w, c->w.first_rid)->answered && rid < c->w.first_rid + WORLD_RIDS - 10
           && rid - world_oldest_open(&c->w) < n && rid - c->w.turn < n;
}

static void send_new(client_t *c)
{
    uint8_t asks = some_asks(c);
    uint32_t pause = 1 + rng_below(c->w.rng, c->is_rude ? 250 : c->w.s.terms.maxpause + 1);
    uint64_t rid = c->next + (rng_one_in(c->w.rng, 6) ? 1 : 0); /* overtakes itself */

    if (pause > c->w.s.terms.maxpause && !c->is_rude) {
        asks &= (uint8_t)~BOSH_ASKS_PAUSE;
    }
    while (world_fate(&c->w, rid)->arrived) {
        rid++;
    }
    if (may_send(c, rid, asks)) {
        world_request(&c->w, rid, asks, pause);
    }
    while (world_fate(&c->w, c->next)->arrived) {
        c->next++;
    }
}

/* Something it has sent already, and the manager must still know. */
static void send_again(client_t *c)
{
    world_t *w = &c->w;
    uint64_t low = w->next_answer > w->first_rid + w->s.terms.requests
                       ? w->next_answer - w->s.terms.requests
                       : w->first_rid;
    uint64_t rid = low + rng_below(w->rng, 2 * BOSH_MAX_REQUESTS);
    fate_t *f = rid < w->first_rid + WORLD_RIDS ? world_fate(w, rid) : NULL;

    if (f && f->arrived && !f->dropped) {
        world_request(w, rid, f->asks, f->pause);
    }
}

static void hang_up(client_t *c)
{
    waiter_t *x = &c->w.waiters[rng_below(c->w.rng, 8)];

    if (x->is_live || x->is_writing) {
        world_hang_up(&c->w, x);
    }
}

static void be_rude(client_t *c)
{
    world_t *w = &c->w;
    uint64_t rid = w->turn + rng_below(w->rng, 14) - 4;

    if (rng_one_in(w->rng, 30)) {
        rid = rng_next(w->rng);
    }
    if (rid < w->first_rid + WORLD_RIDS - 20 && world_fate(w, w->first_rid)->answered) {
        world_request(w, rid, some_asks(c), 1 + rng_below(w->rng, 300));
    }
    while (c->next < w->first_rid + WORLD_RIDS - 10 && world_fate(w, c->next)->arrived) {
        c->next++;
    }
}

static void time_passes(client_t *c)
{
    static const bosh_msec_t steps[] = { 1, 1, 2, 3, 5, 10, 50, 300, 2000, 20000 };

    world_pass(&c->w, steps[rng_below(c->w.rng, sizeof(steps) / sizeof(steps[0]))]);
}

static void something_ends(client_t *c)
{
    bool by_server = rng_one_in(c->w.rng, 2);

    world_end(&c->w, by_server,
              by_server ? BOSH_COND_REMOTE_STREAM_ERROR : BOSH_COND_SYSTEM_SHUTDOWN,
              by_server ? BOSH_REASON_STREAM_CLOSED : BOSH_REASON_SHUTDOWN);
}

/* Sessions that are over see late clients, and the connector's last word. */
static void after_the_end(client_t *c)
{
    if (!c->w.is_gone && rng_one_in(c->w.rng, 20)) {
        world_end(&c->w, true, BOSH_COND_NONE, BOSH_REASON_STREAM_CLOSED);
    }
    else if (rng_one_in(c->w.rng, 10) && c->w.turn < c->w.first_rid + WORLD_RIDS - 20) {
        world_request(&c->w, c->w.turn + rng_below(c->w.rng, 3), BOSH_ASKS_PAYLOAD, 0);
    }
}

static void step_client(client_t *c)
{
    static void (*const choices[])(client_t *) = { send_new,   send_new, send_new,    send_new,
                                                   send_again, hang_up,  time_passes, time_passes };
    uint32_t what = rng_below(c->w.rng, 1000);

    if (what < 100) {
        if (c->w.s.state < BOSH_ENDED) {
            world_data(&c->w);
        }
    }
    else if (what < 103) {
        something_ends(c);
    }
    else if (what < 120 && c->is_rude) {
        be_rude(c);
    }
    else {
        choices[rng_below(c->w.rng, sizeof(choices) / sizeof(choices[0]))](c);
    }
    if (c->w.is_over) {
        after_the_end(c);
    }
}

/* Everybody is told, and everything is given back in the end. */
static void finish(client_t *c)
{
    if (!c->w.is_gone) {
        world_end(&c->w, true, BOSH_COND_NONE, BOSH_REASON_STREAM_CLOSED);
    }
    for (unsigned i = 0; i < 600 && !c->w.is_freed; i++) {
        world_pass(&c->w, 1000);
    }
    assert_true(c->w.is_freed);
}

static void keeps_its_promises_to_random_clients(void **state)
{
    static client_t c;
    rng_t rng = rng_seeded("core");
    uint64_t steps = env_number("BOSH_STEPS", 200000);
    unsigned sessions = 0, lived = 0;

    (void)state;
    for (uint64_t i = 0; i < steps;) {
        uint64_t begun = i;

        world_begin(&c.w, &rng);
        c.next = c.w.first_rid + 1;
        c.is_rude = rng_one_in(&rng, 4);
        for (; i < steps && !c.w.is_freed && c.w.turn < c.w.first_rid + WORLD_RIDS - 30; i++) {
            step_client(&c);
        }
        if (!c.is_rude) {
            assert_int_not_equal(c.w.s.reason, BOSH_REASON_RID);
            assert_int_not_equal(c.w.s.reason, BOSH_REASON_OVERACTIVE);
            assert_int_not_equal(c.w.s.reason, BOSH_REASON_PAUSE);
        }
        if (!c.w.is_freed) {
            finish(&c);
        }
        sessions++;
        lived += i - begun > 100;
    }
    print_message("# %u sessions, %u of more than 100 steps\n", sessions, lived);
    assert_true(sessions < 100 || lived * 4 > sessions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_its_promises_to_random_clients),
    };

    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
