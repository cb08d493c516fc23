/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Random clients against the core. world.h knows the rules; here are the clients: most
 * keep the rules, hang up, repeat, overtake themselves; some break the rules.
 *
 * BOSH_SEED=n repeats a run, BOSH_STEPS=n makes it longer, BOSH_TRACE=1 prints it.
 */

#include "world.h"

#include "unit.h"

#define KEYS_PER_SEQUENCE 7

typedef struct client_t {
    world_t w;
    uint64_t next;      /* the rid it uses next */
    uint64_t keys_from; /* the rid that begins its keys */
    bosh_msec_t asked;  /* its latest new request */
    bool is_rude;       /* breaks the rules */
    bool has_keys;
    uint32_t add_chance; /* of requests that add a stream: one in so many */
} client_t;

/* How often each end was reached. */
static unsigned ends[BOSH_REASON_COUNT];

/* ---- what it says ------------------------------------------------------------ */

/* Sequence after sequence, each announced by the last of the one before. */
static void say_keys(const client_t *c, uint64_t rid, saying_t *said)
{
    uint64_t n = rid - c->keys_from;

    if (!c->has_keys || rid < c->keys_from) {
        return;
    }
    if (n > 0) {
        uint64_t sequence = (n - 1) / KEYS_PER_SEQUENCE, used = (n - 1) % KEYS_PER_SEQUENCE;

        said->key = (unsigned)(1000 * (sequence + 1) - 1 - used);
    }
    if (n % KEYS_PER_SEQUENCE == 0) {
        said->newkey = (unsigned)(1000 * (n / KEYS_PER_SEQUENCE + 1));
    }
}

static uint64_t some_ack(client_t *c)
{
    const world_t *w = &c->w;
    uint64_t ack = w->next_answer - 1;

    switch (rng_below(w->rng, 8)) {
    case 0: return 0;
    case 1: return rng_next(w->rng);
    case 2: return w->first_rid + rng_below(w->rng, 20) - 10;
    case 3: return ack + rng_below(w->rng, 3);
    case 4: return ack - rng_below(w->rng, 4);
    case 5: return ack - rng_below(w->rng, 9);
    default: return ack;
    }
}

static uint8_t some_stream(client_t *c)
{
    const world_t *w = &c->w;
    uint8_t i = (uint8_t)rng_below(w->rng, w->n_legs + 1);

    if (c->is_rude && rng_one_in(w->rng, 40)) {
        return (uint8_t)rng_next(w->rng);
    }
    return i < w->n_legs && w->legs[i].is_named ? i : BOSH_NO_STREAM;
}

static saying_t some_saying(client_t *c, uint64_t rid)
{
    rng_t *rng = c->w.rng;
    saying_t said = { .stream = some_stream(c), .ack = some_ack(c) };

    said.asks = rng_one_in(rng, 2) ? BOSH_ASKS_PAYLOAD : 0;
    said.asks |= rng_one_in(rng, 20) ? BOSH_ASKS_RESTART : 0;
    said.asks |= rng_one_in(rng, 10) ? BOSH_ASKS_URGENT : 0;
    said.asks |= rng_one_in(rng, 10) ? BOSH_ASKS_DEAF : 0;
    said.asks |= rng_one_in(rng, 12) ? BOSH_ASKS_PAUSE : 0;
    said.asks |= rng_one_in(rng, 100) ? BOSH_ASKS_TERMINATE : 0;
    if (rng_one_in(rng, c->add_chance)) {
        said.asks = rng_one_in(rng, 20) ? said.asks | BOSH_ASKS_ADD : BOSH_ASKS_ADD;
        said.refused = rng_one_in(rng, 4) ? BOSH_COND_HOST_UNKNOWN : BOSH_COND_NONE;
    }
    said.pause = rng_below(rng, c->w.s.terms.maxpause + (c->is_rude ? 3 : 1));
    say_keys(c, rid, &said);
    if (c->is_rude && rng_one_in(rng, 100)) {
        said.key ^= rng_below(rng, 3);
    }
    return said;
}

/* Sooner, an empty request might break the rules. */
static bool may_be_empty(const client_t *c, uint64_t rid)
{
    const world_t *w = &c->w;

    if (w->s.terms.is_polling) {
        return rid == c->next && rid == w->turn
               && w->now - c->asked >= BOSH_SEC(w->s.terms.polling);
    }
    return w->hasty + (c->next - w->turn) + 2 < BOSH_MAX_HASTY;
}

static void be_polite(const client_t *c, uint64_t rid, saying_t *said)
{
    if (said->pause > c->w.s.terms.maxpause || c->w.s.terms.maxpause == 0) {
        said->asks &= (uint8_t)~BOSH_ASKS_PAUSE;
    }
    if (!may_be_empty(c, rid)) {
        said->asks |= BOSH_ASKS_PAYLOAD;
    }
}

static bool may_send(client_t *c, uint64_t rid, uint8_t asks)
{
    uint32_t n = c->w.s.terms.requests + ((asks & (BOSH_ASKS_PAUSE | BOSH_ASKS_TERMINATE)) ? 1 : 0);

    return world_fate(&c->w, c->w.first_rid)->answered && rid < c->w.first_rid + WORLD_RIDS - 10
           && rid - world_oldest_open(&c->w) < n && rid - c->w.turn < n;
}

/* ---- what it does --------------------------------------------------------------- */

static void go_on(client_t *c)
{
    c->asked = c->w.now;
    while (c->next < c->w.first_rid + WORLD_RIDS - 10 && world_fate(&c->w, c->next)->arrived) {
        c->next++;
    }
}

static void send_new(client_t *c)
{
    uint64_t rid = c->next + (rng_one_in(c->w.rng, 6) ? 1 : 0); /* overtakes itself */
    saying_t said;

    while (world_fate(&c->w, rid)->arrived) {
        rid++;
    }
    said = some_saying(c, rid);
    if (!c->is_rude) {
        be_polite(c, rid, &said);
    }
    if (may_send(c, rid, said.asks)) {
        world_request(&c->w, rid, said);
        go_on(c);
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
    unsigned times = rng_one_in(w->rng, 200) ? 1 + rng_below(w->rng, 80) : 1;
    saying_t said;

    while (f && f->arrived && !f->dropped && times-- > 0) {
        if (f->copies == BOSH_MAX_REPEATS && !c->is_rude) {
            return;
        }
        said = f->said;
        if (c->is_rude && rng_one_in(w->rng, 50)) {
            said.key ^= 1;
        }
        world_request(w, rid, said);
        world_pass(w, 0); /* replaced copies come back */
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
        world_request(w, rid, some_saying(c, rid));
        go_on(c);
    }
}

/* One empty request after the other. */
static void hurry(client_t *c)
{
    for (unsigned i = 0; i < BOSH_MAX_HASTY + 1 && !c->w.is_over; i++) {
        saying_t said = { .stream = BOSH_NO_STREAM };

        say_keys(c, c->next, &said);
        if (!may_send(c, c->next, 0)) {
            return;
        }
        world_request(&c->w, c->next, said);
        go_on(c);
        world_pass(&c->w, 40);
    }
}

static void time_passes(client_t *c)
{
    static const bosh_msec_t steps[] = { 1, 1, 2, 3, 5, 10, 50, 300, 2000, 20000 };
    bosh_msec_t edge = BOSH_SEC(c->w.s.terms.polling) - BOSH_POLL_SLACK_MS;

    if (rng_one_in(c->w.rng, 10) && edge > 1) {
        world_pass(&c->w, edge - rng_below(c->w.rng, 2));
        return;
    }
    world_pass(&c->w, steps[rng_below(c->w.rng, sizeof(steps) / sizeof(steps[0]))]);
}

/* ---- what the servers do ------------------------------------------------------- */

static uint8_t some_leg(client_t *c)
{
    return (uint8_t)rng_below(c->w.rng, c->w.n_legs);
}

static void something_comes(client_t *c)
{
    uint8_t i = some_leg(c);

    if (!c->w.legs[i].is_gone && c->w.s.state < BOSH_ENDED) {
        world_data(&c->w, i);
    }
}

static void something_ends(client_t *c)
{
    uint8_t i = some_leg(c);

    if (rng_one_in(c->w.rng, 4)) {
        world_end(&c->w, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN);
    }
    else if (!c->w.legs[i].is_gone) {
        world_up_ended(&c->w, i, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_CLOSED);
    }
}

/* Streams that are closed end, sooner or later. */
static void something_closes(client_t *c)
{
    uint8_t i = some_leg(c);

    if (c->w.legs[i].is_closed && !c->w.legs[i].is_gone) {
        world_up_ended(&c->w, i, BOSH_COND_NONE, BOSH_REASON_STREAM_CLOSED);
    }
}

/* Sessions that are over see late clients, and the connector's last word. */
static void after_the_end(client_t *c)
{
    if (rng_one_in(c->w.rng, 20)) {
        something_closes(c);
    }
    else if (rng_one_in(c->w.rng, 10) && c->w.turn < c->w.first_rid + WORLD_RIDS - 20) {
        uint64_t rid = c->w.turn + rng_below(c->w.rng, 3);

        world_request(&c->w, rid, some_saying(c, rid));
    }
}

/* ---- all of it ------------------------------------------------------------------- */

static void step_client(client_t *c)
{
    static void (*const choices[])(client_t *) = { send_new,   send_new, send_new,    send_new,
                                                   send_again, hang_up,  time_passes, time_passes };
    uint32_t what = rng_below(c->w.rng, 1000);

    if (what < 100) {
        something_comes(c);
    }
    else if (what < 103) {
        something_ends(c);
    }
    else if (what < 115) {
        something_closes(c);
    }
    else if (what < 120 && c->is_rude) {
        be_rude(c);
    }
    else if (what < 123 && c->is_rude) {
        hurry(c);
    }
    else {
        choices[rng_below(c->w.rng, sizeof(choices) / sizeof(choices[0]))](c);
    }
    if (c->w.is_over) {
        after_the_end(c);
    }
}

static void begin(client_t *c, rng_t *rng)
{
    bosh_terms_t terms = { .wait = rng_one_in(rng, 5) ? 0 : 1 + rng_below(rng, 60),
                           .hold = rng_below(rng, BOSH_MAX_REQUESTS),
                           .inactivity = 5 + rng_below(rng, 60),
                           .polling = rng_below(rng, 8),
                           .maxpause = rng_one_in(rng, 8) ? 0 : rng_below(rng, 200),
                           .connect_timeout = 5 + rng_below(rng, 20),
                           .acks = rng_one_in(rng, 2),
                           .streams = (uint8_t)rng_below(rng, BOSH_MAX_STREAMS + 1) };
    saying_t said = { .asks = rng_one_in(rng, 3) ? BOSH_ASKS_PAYLOAD : 0,
                      .stream = BOSH_NO_STREAM };

    terms.requests = terms.hold + 1;
    terms.is_polling = terms.wait == 0 || terms.hold == 0;
    terms.rid = 1 + rng_next(rng) % (BOSH_RID_MAX - WORLD_RIDS);
    c->next = terms.rid + 1;
    c->asked = 0;
    c->is_rude = rng_one_in(rng, 4);
    c->has_keys = rng_one_in(rng, 3);
    c->keys_from = terms.rid + (rng_one_in(rng, 2) ? 0 : rng_below(rng, 20));
    c->add_chance = rng_one_in(rng, 2) ? 30 : 300;
    c->w.first_rid = terms.rid;
    say_keys(c, terms.rid, &said);
    world_begin(&c->w, rng, &terms, said);
}

/* Everybody is told, and everything is given back in the end. */
static void finish(client_t *c)
{
    for (uint8_t i = 0; i < c->w.n_legs; i++) {
        if (!c->w.legs[i].is_gone) {
            world_up_ended(&c->w, i, BOSH_COND_NONE, BOSH_REASON_STREAM_CLOSED);
        }
    }
    for (unsigned i = 0; i < 600 && !c->w.is_freed; i++) {
        world_pass(&c->w, 1000);
    }
    assert_true(c->w.is_freed);
}

static void assert_just(const client_t *c)
{
    static const bosh_reason_t rude[] = { BOSH_REASON_RID,     BOSH_REASON_KEY,
                                          BOSH_REASON_REPEATS, BOSH_REASON_POLLING,
                                          BOSH_REASON_STREAM,  BOSH_REASON_OVERACTIVE,
                                          BOSH_REASON_PAUSE };

    for (unsigned i = 0; !c->is_rude && i < sizeof(rude) / sizeof(rude[0]); i++) {
        assert_int_not_equal(c->w.s.reason, rude[i]);
    }
}

static void keeps_its_promises_to_random_clients(void **state)
{
    static client_t c;
    rng_t rng = rng_seeded("core");
    uint64_t steps = env_number("BOSH_STEPS", 1000000);
    unsigned sessions = 0, lived = 0;

    (void)state;
    for (uint64_t i = 0; i < steps;) {
        uint64_t begun = i;

        begin(&c, &rng);
        for (; i < steps && !c.w.is_freed && c.w.turn < c.w.first_rid + WORLD_RIDS - 30; i++) {
            step_client(&c);
        }
        assert_just(&c);
        if (!c.w.is_freed) {
            finish(&c);
        }
        ends[c.w.s.reason]++;
        sessions++;
        lived += i - begun > 100;
    }
    print_message("# %u sessions, %u of more than 100 steps\n", sessions, lived);
    assert_true(sessions < 100 || lived * 4 > sessions);
    for (unsigned i = 1; i < BOSH_REASON_COUNT && env_number("BOSH_ENDS", 0); i++) {
        print_message("# %6u %s\n", ends[i], bosh_reason_text((bosh_reason_t)i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_its_promises_to_random_clients),
    };

    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
