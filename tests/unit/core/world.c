/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Events, and the time that passes between them. */

#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

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

        if ((x->is_live || x->is_writing) && world_same(x->holder, holder)) {
            return x;
        }
    }
    fail_msg("nobody has this ticket");
    abort(); /* not reached, but compilers do not know */
}

/* ---- what the event's own holder is told ---------------------------------- */

static void start_writing(world_t *w, waiter_t *x)
{
    x->is_live = false;
    x->is_writing = true;
    x->write_at = w->now + rng_below(w->rng, 20);
    if (rng_one_in(w->rng, 2000)) { /* never reported */
        x->write_at = w->now + 20 * WORLD_STUCK_MS;
        w->had_stuck = true;
    }
}

/* Who waited for a predecessor when another's breach ended all was not the cause. */
static bosh_condition_t condition_for(const world_t *w, const waiter_t *x)
{
    bool was_early = w->doing == BOSH_EV_DUE && x->rid >= w->turn;

    return was_early && w->breach ? BOSH_COND_OTHER_REQUEST : w->condition;
}

static void check_reply(world_t *w, waiter_t *x, const bosh_action_t *a)
{
    switch (a->answer.kind) {
    case BOSH_ANSWER_ERROR: assert_true(x->is_replaced); break;
    case BOSH_ANSWER_TERMINATE:
        assert_true(w->is_over);
        assert_int_equal(a->answer.condition, condition_for(w, x));
        break;
    case BOSH_ANSWER_DATA: /* before its turn */
        assert_true(x->rid >= w->turn);
        world_fate(w, x->rid)->is_told = true;
        break;
    default: fail_msg("a reply of kind %d", a->answer.kind);
    }
    assert_int_equal(a->answer.stream, BOSH_NO_STREAM);
    assert_true(a->answer.ack == (w->is_over ? 0 : world_ack_for(w, x->rid)));
    assert_true(a->answer.report == 0);
    x->is_live = false;
}

static void check_own(world_t *w, waiter_t *x, const bosh_action_t *a)
{
    assert_non_null(x);
    assert_true(world_same(a->holder, x->holder));
    switch (a->kind) {
    case BOSH_DO_ANSWER:
        assert_int_equal(a->slot, x->rid % BOSH_SLOTS);
        assert_false(x->is_replaced);
        start_writing(w, x);
        break;
    case BOSH_DO_REPEAT:
        world_check_repeat(w, a, x->rid);
        x->is_live = false;
        break;
    case BOSH_DO_REPLY: check_reply(w, x, a); break;
    default: assert_false(world_fate(w, x->rid)->answered); x->due = a->due;
    }
}

/* ---- after every step ------------------------------------------------------- */

static void check_after(world_t *w)
{
    assert_false(bosh_session_is_damaged(&w->s));
    assert_int_equal(w->s.state >= BOSH_CLOSING, w->is_over);
    assert_int_equal(w->s.state == BOSH_ENDED, w->is_over && world_legs_gone(w));
    assert_int_equal(w->s.condition, w->is_over ? w->condition : BOSH_COND_NONE);
    assert_int_equal(w->s.reason, w->is_over ? w->reason : BOSH_REASON_NONE);
    assert_true(w->s.next_rid == w->turn && w->s.next_answer == w->next_answer);
    if (!w->had_stuck) { /* whom the core forgets at the next tick */
        assert_int_equal(bosh_session_is_attended(&w->s), world_is_attended(w));
    }
    world_check_legs(w);
    world_check_waits(w);
    if (!w->had_stuck) {
        world_check_kept(w);
    }
}

static bool is_own(const bosh_action_t *a)
{
    return a->kind == BOSH_DO_REPEAT || a->kind == BOSH_DO_REPLY || a->kind == BOSH_DO_HOLD
           || (a->kind == BOSH_DO_ANSWER && a->holder.child != UINT32_MAX);
}

static void check_action(world_t *w, const bosh_action_t *a)
{
    if (a->kind == BOSH_DO_ANSWER) {
        world_check_answer(w, a);
    }
    if (a->kind == BOSH_DO_WAKE) {
        waiter_t *woken = waiter_of(w, a->holder);

        woken->due = woken->due && woken->due < a->due ? woken->due : a->due;
    }
    if (a->kind == BOSH_DO_DROP) {
        world_check_drop(w, a);
    }
    if (a->kind == BOSH_DO_FREE) {
        assert_true(w->is_over && world_legs_gone(w));
        w->is_freed = true;
    }
}

void world_check_step(world_t *w, waiter_t *x)
{
    unsigned own = 0;

    world_check_ups(w);
    for (unsigned i = 0; i < w->acts.n; i++) {
        check_action(w, &w->acts.a[i]);
        if (is_own(&w->acts.a[i])) {
            check_own(w, x, &w->acts.a[i]);
            own++;
        }
    }
    assert_int_equal(own, x != NULL);
    check_after(w);
}

/* BOSH_TRACE=1: the way to a failure. */
static void trace(const world_t *w, const bosh_event_t *ev)
{
    static const char *const events[] = { "request", "due",      "gone", "written", "opened",
                                          "data",    "up ended", "end",  "tick" };
    static const char *const actions[] = { "store",  "forward", "restart", "open",
                                           "answer", "repeat",  "reply",   "hold",
                                           "wake",   "drop",    "close",   "free" };

    printf("# %lld %s rid %lld holder %u.%u asks %u stream %u ack %lld:", (long long)w->now,
           events[ev->kind], (long long)(ev->rid - w->first_rid), ev->holder.child,
           ev->holder.ticket, ev->asks, ev->stream, (long long)(ev->ack - w->first_rid));
    for (unsigned i = 0; i < w->acts.n; i++) {
        const bosh_action_t *a = &w->acts.a[i];

        printf(" %s(%u, stream %u to %u.%u at %lld, %u %u)", actions[a->kind], a->slot, a->stream,
               a->holder.child, a->holder.ticket, (long long)a->due, a->answer.kind, a->with_down);
    }
    printf(" turn %lld answer %lld\n", (long long)(w->s.next_rid - w->first_rid),
           (long long)(w->s.next_answer - w->first_rid));
    fflush(stdout);
}

void world_step(world_t *w, bosh_event_t ev, waiter_t *x)
{
    if (x) {
        ev.holder = x->holder;
    }
    if (world_is_attended(w)) {
        w->last_attended = w->now;
    }
    w->doing = ev.kind;
    w->step++;
    bosh_step(&w->s, &ev, w->now, &w->acts);
    if (w->is_traced) {
        trace(w, &ev);
    }
}

static void come_back(world_t *w, waiter_t *x)
{
    bosh_event_t ev = { .kind = BOSH_EV_DUE, .rid = x->rid };
    fate_t *f = world_fate(w, x->rid);

    ev.asks = rng_one_in(w->rng, 50) ? BOSH_ASKS_URGENT : 0;
    if (!x->is_replaced && !f->answered) {
        f->said.asks |= ev.asks;
    }
    x->due = 0;
    world_step(w, ev, x);
    world_check_step(w, x);
}

void world_hang_up(world_t *w, waiter_t *x)
{
    bosh_event_t ev = { .kind = BOSH_EV_GONE, .rid = x->rid };

    world_step(w, ev, x);
    x->is_live = x->is_writing = false;
    world_check_step(w, NULL);
}

static void finish_writing(world_t *w, waiter_t *x)
{
    bosh_event_t ev = { .kind = BOSH_EV_WRITTEN, .rid = x->rid };
    fate_t *f = world_fate(w, x->rid);

    world_step(w, ev, x);
    x->is_writing = false;
    f->was_written = true;
    f->sent = w->now;
    w->last_attended = w->now;
    world_check_step(w, NULL);
}

/* ---- the other side -------------------------------------------------------------- */

void world_data(world_t *w, uint8_t i)
{
    leg_t *leg = &w->legs[i];
    bosh_event_t ev = { .kind = leg->is_open ? BOSH_EV_DATA : BOSH_EV_OPENED,
                        .holder = BOSH_NOBODY,
                        .stream = i };

    if (!leg->is_open && leg->is_up) {
        leg->is_open = w->is_open = true;
    }
    leg->put++;
    w->s.leg[i].has_down = 1;
    world_step(w, ev, NULL);
    world_check_step(w, NULL);
}

void world_up_ended(world_t *w, uint8_t i, bosh_condition_t condition, bosh_reason_t reason)
{
    bosh_event_t ev = { .kind = BOSH_EV_UP_ENDED,
                        .holder = BOSH_NOBODY,
                        .stream = i,
                        .condition = condition,
                        .reason = reason };
    leg_t *leg = &w->legs[i];

    if (rng_one_in(w->rng, 4)) { /* the stream's error */
        leg->put++;
        w->s.leg[i].has_down = 1;
    }
    world_step(w, ev, NULL);
    if (!w->is_over && leg->is_up) {
        world_leg_ends(leg, condition, reason);
    }
    leg->is_gone = true;
    if (!w->is_over && world_legs_up(w) == 0) {
        world_over(w, condition, reason, 0);
    }
    world_check_step(w, NULL);
}

void world_end(world_t *w, bosh_condition_t condition, bosh_reason_t reason)
{
    bosh_event_t ev = {
        .kind = BOSH_EV_END, .holder = BOSH_NOBODY, .condition = condition, .reason = reason
    };

    world_step(w, ev, NULL);
    world_over(w, condition, reason, 0);
    world_check_step(w, NULL);
}

static void tick(world_t *w)
{
    bosh_event_t ev = { .kind = BOSH_EV_TICK, .holder = BOSH_NOBODY };

    world_step(w, ev, NULL);
    world_time_legs(w);
    if (w->s.state >= BOSH_CLOSING && !w->is_over) {
        assert_true(w->now - w->last_attended >= BOSH_SEC(w->inactivity));
        assert_false(world_is_attended(w));
        world_over(w, BOSH_COND_ITEM_NOT_FOUND, BOSH_REASON_INACTIVITY, 0);
    }
    if (!w->is_over) {
        assert_true(w->now - w->last_attended <= BOSH_SEC(w->inactivity) + 1000);
    }
    world_check_step(w, NULL);
    for (unsigned i = 0; w->is_freed && i < WORLD_WAITERS; i++) {
        assert_false(w->waiters[i].is_live);
    }
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

void world_begin(world_t *w, rng_t *rng, const bosh_terms_t *terms, saying_t said)
{
    *w = (world_t){
        .rng = rng, .now = 1 + rng_below(rng, 100000), .inactivity = terms->inactivity, .n_legs = 1
    };
    w->is_traced = env_number("BOSH_TRACE", 0) != 0;
    w->next_tick = w->now + rng_below(rng, 1000);
    w->last_attended = w->now;
    w->first_rid = w->turn = w->next_answer = terms->rid;
    world_leg_begins(w, 0, BOSH_COND_NONE);
    w->legs[0].is_named = true;
    bosh_session_init(&w->s, terms, w->now);
    world_request(w, terms->rid, said);
}
