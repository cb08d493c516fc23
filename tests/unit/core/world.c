/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* The rules, and the bookkeeping they need. */

#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

#define STUCK_MS BOSH_WRITE_STUCK_MS

static bool same(bosh_holder_t a, bosh_holder_t b)
{
    return a.child == b.child && a.ticket == b.ticket;
}

fate_t *world_fate(world_t *w, uint64_t rid)
{
    assert_true(rid >= w->first_rid && rid < w->first_rid + WORLD_RIDS);
    return &w->fates[rid - w->first_rid];
}

waiter_t *world_waiter(world_t *w, uint64_t rid)
{
    for (unsigned i = 0; i < WORLD_WAITERS; i++) {
        waiter_t *x = &w->waiters[i];

        if (x->is_live && !x->is_replaced && x->rid == rid) {
            return x;
        }
    }
    return NULL;
}

static waiter_t *waiter_of(world_t *w, bosh_holder_t holder)
{
    for (unsigned i = 0; i < WORLD_WAITERS; i++) {
        waiter_t *x = &w->waiters[i];

        if ((x->is_live || x->is_writing) && same(x->holder, holder)) {
            return x;
        }
    }
    fail_msg("nobody has this ticket");
    abort(); /* not reached, but compilers do not know */
}

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

/* A writer who is stuck, or whose answer left the window long ago because its client
 * aborted all that it sent since, holds up nobody any more. */
static bool somebody_writes(world_t *w)
{
    for (unsigned i = 0; i < WORLD_WAITERS; i++) {
        waiter_t *x = &w->waiters[i];

        if (x->is_writing && w->now - w->last_answer >= STUCK_MS) {
            x->is_stuck = true;
        }
        if (x->is_writing && !x->is_stuck && !world_fate(w, x->rid)->dropped) {
            return true;
        }
    }
    return false;
}

static bool is_attended(world_t *w)
{
    bool held = false;

    for (uint64_t rid = w->next_answer; rid < w->turn && !held; rid++) {
        held = world_waiter(w, rid) != NULL;
    }
    return held || somebody_writes(w);
}

uint64_t world_oldest_open(world_t *w)
{
    uint64_t rid = w->next_answer;

    while (rid < w->turn && !world_waiter(w, rid)) {
        rid++;
    }
    return rid;
}

static void note_end(world_t *w, bosh_condition_t condition)
{
    if (!w->is_over) {
        w->is_over = true;
        w->condition = condition;
    }
}

/* ---- what goes up -------------------------------------------------------- */

/* The next FORWARD, RESTART or CLOSE at or after *i. */
static const bosh_action_t *next_up(world_t *w, unsigned *i)
{
    while (*i < w->acts.n) {
        const bosh_action_t *a = &w->acts.a[(*i)++];

        if (a->kind == BOSH_DO_FORWARD || a->kind == BOSH_DO_RESTART || a->kind == BOSH_DO_CLOSE) {
            return a;
        }
    }
    return NULL;
}

static void expect_up(world_t *w, unsigned *i, bosh_action_kind_t kind, uint64_t rid)
{
    const bosh_action_t *a = next_up(w, i);

    if (!a) {
        fail_msg("what should have gone up did not");
        abort();
    }
    assert_int_equal(a->kind, kind);
    if (kind == BOSH_DO_FORWARD) {
        assert_int_equal(a->slot, rid % BOSH_SLOTS);
        assert_false(world_fate(w, rid)->forwarded);
        world_fate(w, rid)->forwarded = true;
    }
    w->closes += kind == BOSH_DO_CLOSE;
}

static bool is_newest(world_t *w, uint64_t rid)
{
    for (uint64_t later = rid + 1; later < rid + BOSH_SLOTS; later++) {
        if (world_fate(w, later)->arrived) {
            return false;
        }
    }
    return true;
}

/* All whose turn it is now, in order; returns where the step's actions are read to. */
static unsigned check_turns(world_t *w)
{
    unsigned i = 0;

    while (!w->is_over && world_fate(w, w->turn)->arrived) {
        fate_t *f = world_fate(w, w->turn);

        if (f->has_payload && !(f->asks & BOSH_ASKS_RESTART)) {
            expect_up(w, &i, BOSH_DO_FORWARD, w->turn);
        }
        if (f->asks & BOSH_ASKS_RESTART) {
            expect_up(w, &i, BOSH_DO_RESTART, w->turn);
        }
        if (f->asks & BOSH_ASKS_TERMINATE) {
            note_end(w, BOSH_COND_NONE);
            expect_up(w, &i, BOSH_DO_CLOSE, 0);
        }
        else if (f->asks & BOSH_ASKS_PAUSE) {
            w->inactivity = is_newest(w, w->turn) ? f->pause : w->inactivity;
            if (f->pause > w->s.terms.maxpause) {
                note_end(w, BOSH_COND_POLICY_VIOLATION);
                w->breach = w->turn;
                expect_up(w, &i, BOSH_DO_CLOSE, 0);
            }
        }
        w->turn++;
    }
    return i;
}

/* ---- what comes down ------------------------------------------------------ */

static void check_answer(world_t *w, const bosh_action_t *a)
{
    uint64_t rid = w->next_answer++;
    fate_t *f = world_fate(w, rid);
    bool is_taken = a->holder.child != UINT32_MAX;

    assert_int_equal(a->slot, rid % BOSH_SLOTS);
    assert_true(rid < w->turn);
    assert_false(f->answered);
    assert_true(is_taken || !a->with_down);
    *f = (fate_t){ .arrived = true,
                   .has_payload = f->has_payload,
                   .forwarded = f->forwarded,
                   .answered = true,
                   .asks = f->asks,
                   .answer = a->answer,
                   .first = w->taken };
    if (a->with_down) {
        assert_true(w->put > w->taken);
        f->n = w->put - w->taken;
        w->taken = w->put;
    }
    if (w->is_over && is_taken && (!w->is_end_told || (w->breach && rid >= w->breach))) {
        assert_int_equal(a->answer.kind, BOSH_ANSWER_TERMINATE);
        assert_int_equal(a->answer.condition,
                         rid < w->breach ? BOSH_COND_OTHER_REQUEST : w->condition);
        assert_int_equal(w->put, w->taken); /* with all there is */
        w->is_end_told = true;
    }
    else if (rid == w->first_rid && is_taken && !w->is_over) {
        assert_int_equal(a->answer.kind, BOSH_ANSWER_CREATED);
    }
    else if (is_taken) {
        assert_int_equal(a->answer.kind, BOSH_ANSWER_DATA);
        assert_false((f->asks & BOSH_ASKS_PAUSE) && a->with_down);
    }
    if (is_taken) {
        assert_false(somebody_writes(w));
        w->last_answer = w->now;
    }
}

static void start_writing(world_t *w, waiter_t *x)
{
    x->is_live = false;
    x->is_writing = true;
    x->write_at = w->now + rng_below(w->rng, 20);
    if (rng_one_in(w->rng, 2000)) { /* never reported */
        x->write_at = w->now + 20 * STUCK_MS;
        w->had_stuck = true;
    }
}

static void check_reply(world_t *w, waiter_t *x, const bosh_action_t *a)
{
    switch (a->answer.kind) {
    case BOSH_ANSWER_ERROR: assert_true(x->is_replaced); break;
    case BOSH_ANSWER_TERMINATE:
        assert_true(w->is_over);
        assert_int_equal(a->answer.condition, w->breach && x->due == 0 && x->rid >= w->turn
                                                      && world_fate(w, x->rid)->arrived
                                                      && a->answer.condition != w->condition
                                                  ? BOSH_COND_OTHER_REQUEST
                                                  : w->condition);
        break;
    case BOSH_ANSWER_DATA: /* before its turn */ assert_true(x->rid >= w->turn); break;
    default: fail_msg("a reply of kind %d", a->answer.kind);
    }
    x->is_live = false;
}

/* What the event's own holder is told. */
static void check_own(world_t *w, waiter_t *x, const bosh_action_t *a)
{
    assert_non_null(x);
    assert_true(same(a->holder, x->holder));
    switch (a->kind) {
    case BOSH_DO_ANSWER:
        assert_int_equal(a->slot, x->rid % BOSH_SLOTS);
        assert_false(x->is_replaced);
        start_writing(w, x);
        break;
    case BOSH_DO_REPEAT:
        assert_true(world_fate(w, x->rid)->answered && !world_fate(w, x->rid)->dropped);
        assert_memory_equal(&a->answer, &world_fate(w, x->rid)->answer, sizeof(a->answer));
        assert_int_equal(a->slot, x->rid % BOSH_SLOTS);
        x->is_live = false;
        w->last_attended = w->now;
        break;
    case BOSH_DO_REPLY: check_reply(w, x, a); break;
    default: assert_false(world_fate(w, x->rid)->answered); x->due = a->due;
    }
}

static void check_drop(world_t *w, const bosh_action_t *a)
{
    uint64_t rid = w->next_answer - 1;

    while (rid % BOSH_SLOTS != a->slot) {
        rid--;
    }
    assert_true(w->next_answer - rid > w->s.terms.requests);
    assert_false(world_fate(w, rid)->dropped);
    for (unsigned i = 0; i < WORLD_WAITERS; i++) {
        if (w->waiters[i].is_writing && w->waiters[i].rid == rid) {
            assert_true(w->next_answer - rid > BOSH_SLOTS / 2 || w->had_stuck);
            w->had_stuck = true;
        }
    }
    world_fate(w, rid)->dropped = true;
}

/* ---- after every step ----------------------------------------------------- */

static void check_nobody_is_forgotten(world_t *w)
{
    bosh_msec_t slack = w->had_stuck ? 20 * STUCK_MS : 500;
    waiter_t *head = w->next_answer < w->turn ? world_waiter(w, w->next_answer) : NULL;

    for (unsigned i = 0; i < WORLD_WAITERS; i++) {
        const waiter_t *x = &w->waiters[i];
        bool is_first = x->rid == w->first_rid;

        if (x->is_live && !(is_first && w->s.terms.wait == 0)) {
            assert_true(w->now - x->since <= BOSH_SEC(w->s.terms.wait) + slack);
        }
        if (x->is_live && (w->is_over || x->is_replaced)) {
            assert_true(x->due || somebody_writes(w) || x != head);
        }
    }
    if (!head || somebody_writes(w) || (head->rid == w->first_rid && !w->is_open && !w->is_over)) {
        return;
    }
    assert_true(head->due != 0);
    if ((w->put > w->taken || w->is_over) && !w->had_stuck) {
        assert_true(head->due <= w->now + BOSH_SPACING_MS);
    }
}

static void check_after(world_t *w)
{
    assert_false(bosh_session_is_damaged(&w->s));
    assert_int_equal(w->s.state >= BOSH_CLOSING, w->is_over);
    assert_int_equal(w->s.condition, w->is_over ? w->condition : BOSH_COND_NONE);
    assert_int_equal(w->s.leg[0].has_down, w->put > w->taken);
    assert_true(w->s.next_rid == w->turn && w->s.next_answer == w->next_answer);
    if (!w->had_stuck) { /* whom the core forgets at the next tick */
        assert_int_equal(bosh_session_is_attended(&w->s), is_attended(w));
    }
    check_nobody_is_forgotten(w);
}

static bool is_own(const bosh_action_t *a)
{
    return a->kind == BOSH_DO_REPEAT || a->kind == BOSH_DO_REPLY || a->kind == BOSH_DO_HOLD
           || (a->kind == BOSH_DO_ANSWER && a->holder.child != UINT32_MAX);
}

static void check_actions(world_t *w, waiter_t *x, unsigned up_read)
{
    unsigned own = 0;

    for (unsigned i = 0; i < w->acts.n; i++) {
        const bosh_action_t *a = &w->acts.a[i];

        if (a->kind == BOSH_DO_ANSWER) {
            check_answer(w, a);
        }
        if (a->kind == BOSH_DO_WAKE) {
            waiter_t *woken = waiter_of(w, a->holder);

            woken->due = woken->due && woken->due < a->due ? woken->due : a->due;
        }
        if (a->kind == BOSH_DO_DROP) {
            check_drop(w, a);
        }
        if (a->kind == BOSH_DO_FREE) {
            assert_true(w->is_gone);
            w->is_freed = true;
        }
        if (a->kind == BOSH_DO_CLOSE && i >= up_read) {
            w->closes++;
        }
        if (is_own(a)) {
            check_own(w, x, a);
            own++;
        }
    }
    assert_int_equal(own, x != NULL);
    assert_null(next_up(w, &up_read) && w->acts.a[up_read - 1].kind != BOSH_DO_CLOSE
                    ? "something went up out of turn"
                    : NULL);
    assert_true(w->closes <= 1);
}

/* BOSH_TRACE=1: the way to a failure. */
static void trace(const world_t *w, const bosh_event_t *ev)
{
    static const char *const events[] = { "request", "due",      "gone", "written", "opened",
                                          "data",    "up ended", "end",  "tick" };
    static const char *const actions[] = { "store",  "forward", "restart", "answer",
                                           "repeat", "reply",   "hold",    "wake",
                                           "drop",   "close",   "free" };

    printf("# %lld %s rid %lld holder %u.%u asks %u:", (long long)w->now, events[ev->kind],
           (long long)(ev->rid - w->first_rid), ev->holder.child, ev->holder.ticket, ev->asks);
    for (unsigned i = 0; i < w->acts.n; i++) {
        const bosh_action_t *a = &w->acts.a[i];

        printf(" %s(%u to %u.%u at %lld, %u %u)", actions[a->kind], a->slot, a->holder.child,
               a->holder.ticket, (long long)a->due, a->answer.kind, a->with_down);
    }
    printf(" turn %lld answer %lld\n", (long long)(w->s.next_rid - w->first_rid),
           (long long)(w->s.next_answer - w->first_rid));
    fflush(stdout);
}

static void step(world_t *w, bosh_event_t ev, waiter_t *x)
{
    if (x) {
        ev.holder = x->holder;
    }
    if (is_attended(w)) {
        w->last_attended = w->now;
    }
    bosh_step(&w->s, &ev, w->now, &w->acts);
    if (w->is_traced) {
        trace(w, &ev);
    }
}

/* ---- events --------------------------------------------------------------- */

static void note_core_end(world_t *w)
{
    if (w->s.state >= BOSH_CLOSING && !w->is_over) {
        note_end(w, (bosh_condition_t)w->s.condition);
    }
}

static void come_back(world_t *w, waiter_t *x)
{
    bosh_event_t ev = { .kind = BOSH_EV_DUE, .rid = x->rid };

    ev.asks = rng_one_in(w->rng, 50) ? BOSH_ASKS_URGENT : 0;
    x->due = 0;
    step(w, ev, x);
    check_actions(w, x, 0);
    check_after(w);
}

/* Its answer was called for, or its client left. */
static bool is_on_its_way_out(world_t *w, uint64_t rid)
{
    waiter_t *x = world_waiter(w, rid);

    return rid < w->turn && (!x || (x->due && x->due <= w->now));
}

/* In the window, and not one too many: by what was sent and told. */
static bool is_welcome(world_t *w, uint64_t rid, uint8_t asks)
{
    uint64_t n = w->s.terms.requests + ((asks & (BOSH_ASKS_PAUSE | BOSH_ASKS_TERMINATE)) ? 1 : 0);

    if (rid < w->turn || rid - w->turn >= n || rid - w->next_answer >= BOSH_SLOTS / 2) {
        return false;
    }
    return rid - w->next_answer < n || is_on_its_way_out(w, w->next_answer);
}

static void arrive(world_t *w, uint64_t rid, uint8_t asks, uint32_t pause)
{
    fate_t *f = world_fate(w, rid);

    w->inactivity = w->s.terms.inactivity;
    f->arrived = true;
    f->asks = asks;
    f->pause = pause;
    f->has_payload = asks & BOSH_ASKS_PAYLOAD;
    assert_int_equal(w->acts.n > 0 && w->acts.a[0].kind == BOSH_DO_STORE,
                     (asks & (BOSH_ASKS_PAYLOAD | BOSH_ASKS_RESTART)) != 0);
}

void world_request(world_t *w, uint64_t rid, uint8_t asks, uint32_t pause)
{
    bosh_event_t ev = {
        .kind = BOSH_EV_REQUEST, .rid = rid, .asks = asks, .stream = BOSH_NO_STREAM, .pause = pause
    };
    bool is_known = rid >= w->first_rid && rid < w->first_rid + WORLD_RIDS
                    && world_fate(w, rid)->arrived && !world_fate(w, rid)->dropped;
    bool is_late = w->is_over && !is_known;
    bool is_new = !is_known && !w->is_over && is_welcome(w, rid, asks);
    bool takes_the_end = is_late && !w->is_end_told && rid == w->turn && is_welcome(w, rid, 0);
    waiter_t *older = is_known ? world_waiter(w, rid) : NULL;
    waiter_t *x = new_waiter(w, rid);
    unsigned up = 0;

    step(w, ev, x);
    if (older) {
        older->is_replaced = w->s.state < BOSH_CLOSING || rid < w->turn;
        x->is_live = true;
    }
    if (is_new) {
        arrive(w, rid, asks, pause);
        up = check_turns(w);
    }
    if (takes_the_end) {
        arrive(w, rid, 0, 0);
        w->turn++;
    }
    if (!is_known && !is_new && !is_late) {
        note_core_end(w);
        w->breach = w->turn;
        assert_true(w->is_over);
    }
    check_actions(w, x, up);
    check_after(w);
}

void world_hang_up(world_t *w, waiter_t *x)
{
    bosh_event_t ev = { .kind = BOSH_EV_GONE, .rid = x->rid };

    step(w, ev, x);
    x->is_live = x->is_writing = false;
    check_actions(w, NULL, 0);
    check_after(w);
}

static void finish_writing(world_t *w, waiter_t *x)
{
    bosh_event_t ev = { .kind = BOSH_EV_WRITTEN, .rid = x->rid };

    step(w, ev, x);
    x->is_writing = false;
    w->last_attended = w->now;
    check_actions(w, NULL, 0);
    check_after(w);
}

void world_data(world_t *w)
{
    bosh_event_t ev = { .kind = w->is_open ? BOSH_EV_DATA : BOSH_EV_OPENED, .holder = BOSH_NOBODY };

    w->is_open = true;
    w->put++;
    w->s.leg[0].has_down = 1;
    step(w, ev, NULL);
    check_actions(w, NULL, 0);
    check_after(w);
}

void world_end(world_t *w, bool by_server, bosh_condition_t condition, bosh_reason_t reason)
{
    bosh_event_t ev = { .kind = by_server ? BOSH_EV_UP_ENDED : BOSH_EV_END,
                        .holder = BOSH_NOBODY,
                        .condition = condition,
                        .reason = reason };

    step(w, ev, NULL);
    w->is_gone |= by_server;
    note_end(w, condition);
    check_actions(w, NULL, 0);
    check_after(w);
}

static void tick(world_t *w)
{
    bosh_event_t ev = { .kind = BOSH_EV_TICK, .holder = BOSH_NOBODY };
    bool was_over = w->is_over;

    step(w, ev, NULL);
    note_core_end(w);
    if (w->is_over && !was_over && w->s.reason == BOSH_REASON_INACTIVITY) {
        assert_true(w->now - w->last_attended >= BOSH_SEC(w->inactivity));
        assert_false(is_attended(w));
    }
    if (!w->is_over) {
        assert_true(w->now - w->last_attended <= BOSH_SEC(w->inactivity) + 1000);
    }
    check_actions(w, NULL, 0);
    for (unsigned i = 0; w->is_freed && i < WORLD_WAITERS; i++) {
        assert_false(w->waiters[i].is_live);
    }
    check_after(w);
}

/* Whoever is the next to do something before `until`. */
static waiter_t *next_waiter(world_t *w, bosh_msec_t until)
{
    waiter_t *next = NULL;
    bosh_msec_t at = until;

    for (unsigned i = 0; i < WORLD_WAITERS; i++) {
        waiter_t *x = &w->waiters[i];
        bosh_msec_t t = x->is_writing ? x->write_at : x->is_live ? x->due : 0;

        if (t && t <= at) {
            at = t;
            next = x;
        }
    }
    return next;
}

void world_pass(world_t *w, bosh_msec_t ms)
{
    bosh_msec_t until = w->now + ms;

    while (!w->is_freed) {
        waiter_t *x = next_waiter(w, until < w->next_tick ? until : w->next_tick);
        bosh_msec_t at = x ? (x->is_writing ? x->write_at : x->due) : 0;

        if (x) {
            w->now = at > w->now ? at : w->now;
            x->is_writing ? finish_writing(w, x) : come_back(w, x);
        }
        else if (w->next_tick <= until) {
            w->now = w->next_tick;
            w->next_tick += 1000;
            tick(w);
        }
        else {
            break;
        }
    }
    w->now = until;
}

void world_begin(world_t *w, rng_t *rng)
{
    bosh_terms_t terms = { .wait = rng_one_in(rng, 5) ? 0 : 1 + rng_below(rng, 60),
                           .hold = rng_below(rng, BOSH_MAX_REQUESTS),
                           .inactivity = 5 + rng_below(rng, 60),
                           .maxpause = rng_below(rng, 200),
                           .connect_timeout = 5 + rng_below(rng, 20) };

    terms.requests = terms.hold + 1;
    terms.rid = 1 + rng_next(rng) % (BOSH_RID_MAX - WORLD_RIDS);
    *w = (world_t){ .rng = rng, .now = 1 + rng_below(rng, 100000), .inactivity = terms.inactivity };
    w->is_traced = env_number("BOSH_TRACE", 0) != 0;
    w->next_tick = w->now + rng_below(rng, 1000);
    w->last_attended = w->now;
    w->first_rid = w->turn = w->next_answer = terms.rid;
    bosh_session_init(&w->s, &terms, w->now);
    world_request(w, terms.rid, rng_one_in(rng, 3) ? BOSH_ASKS_PAYLOAD : 0, 0);
}
