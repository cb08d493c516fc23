/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A request does what it asks for when all before it did: once, in rid order. What goes
 * up in one step is exactly what is expected, in this order.
 */

#include "world.h"

#include "unit.h"

void world_expect_up(world_t *w, bosh_action_kind_t kind, uint64_t rid, uint8_t stream)
{
    assert_true(w->n_expected < WORLD_EXPECTED);
    w->expected[w->n_expected++] = (upward_t){ .kind = kind,
                                               .slot = (uint8_t)(rid % BOSH_SLOTS),
                                               .stream = stream,
                                               .has_slot = kind != BOSH_DO_CLOSE };
}

static bool goes_up(bosh_action_kind_t kind)
{
    return kind == BOSH_DO_STORE || kind == BOSH_DO_FORWARD || kind == BOSH_DO_RESTART
           || kind == BOSH_DO_OPEN || kind == BOSH_DO_CLOSE;
}

void world_check_ups(world_t *w)
{
    unsigned n = 0;

    for (unsigned i = 0; i < w->acts.n; i++) {
        const bosh_action_t *a = &w->acts.a[i];
        const upward_t *e = &w->expected[n];

        if (!goes_up(a->kind)) {
            continue;
        }
        assert_true(n < w->n_expected);
        assert_int_equal(a->kind, e->kind);
        assert_true(!e->has_slot || a->slot == e->slot);
        assert_true(e->kind == BOSH_DO_STORE || a->stream == e->stream);
        n++;
    }
    assert_int_equal(n, w->n_expected);
    w->n_expected = 0;
}

/* What of it can be meant. */
saying_t world_sort(const world_t *w, saying_t said)
{
    const uint8_t others =
        BOSH_ASKS_PAYLOAD | BOSH_ASKS_RESTART | BOSH_ASKS_PAUSE | BOSH_ASKS_TERMINATE;

    if (w->s.terms.streams < 2 || (said.asks & others)) {
        said.asks &= (uint8_t)~BOSH_ASKS_ADD;
    }
    if (w->s.terms.streams < 2 || !(said.asks & (others & ~BOSH_ASKS_PAUSE))) {
        said.stream = BOSH_NO_STREAM;
    }
    if (said.stream >= w->n_legs && said.stream != BOSH_NO_STREAM) {
        said.stream = BOSH_BAD_STREAM;
    }
    said.pause = said.pause ? said.pause : 1;
    return said;
}

void world_over(world_t *w, bosh_condition_t condition, bosh_reason_t reason, uint64_t breach)
{
    if (w->is_over) {
        return;
    }
    w->is_over = true;
    w->condition = condition;
    w->reason = reason;
    w->breach = breach;
    for (uint8_t i = 0; i < w->n_legs; i++) {
        w->legs[i].has_end = false;
        if (w->legs[i].is_up) {
            w->legs[i].is_up = false;
            w->legs[i].is_closed = true;
            world_expect_up(w, BOSH_DO_CLOSE, 0, i);
        }
    }
}

static uint8_t first_up(const world_t *w)
{
    uint8_t i = 0;

    while (i < w->n_legs && !w->legs[i].is_up) {
        i++;
    }
    return i;
}

static void forward(world_t *w, uint64_t rid, const saying_t *said)
{
    uint8_t to = said->stream;

    if (said->asks & BOSH_ASKS_RESTART) {
        to = to == BOSH_NO_STREAM ? first_up(w) : to;
        if (to < w->n_legs && w->legs[to].is_up) {
            world_expect_up(w, BOSH_DO_RESTART, rid, to);
        }
        return;
    }
    if (to == BOSH_NO_STREAM && world_legs_up(w) == 1) {
        to = first_up(w);
    }
    if ((said->asks & BOSH_ASKS_PAYLOAD) && (to == BOSH_NO_STREAM || w->legs[to].is_up)) {
        assert_false(world_fate(w, rid)->forwarded);
        world_fate(w, rid)->forwarded = true;
        world_expect_up(w, BOSH_DO_FORWARD, rid, to);
    }
}

static void add(world_t *w, uint64_t rid)
{
    fate_t *f = world_fate(w, rid);

    f->has_added = true;
    f->leg = (uint8_t)w->n_legs++;
    world_leg_begins(w, f->leg, f->said.refused);
    if (!f->said.refused) {
        world_expect_up(w, BOSH_DO_OPEN, rid, f->leg);
    }
}

static void terminate(world_t *w, const saying_t *said)
{
    leg_t *leg = said->stream == BOSH_NO_STREAM ? NULL : &w->legs[said->stream];

    if (leg && !leg->is_up) {
        return;
    }
    if (!leg || world_legs_up(w) == 1) {
        world_over(w, BOSH_COND_NONE, BOSH_REASON_CLIENT, 0);
    }
    else {
        world_close_leg(w, said->stream, BOSH_COND_NONE, BOSH_REASON_CLIENT);
    }
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

static void pause_for(world_t *w, uint64_t rid, uint32_t seconds)
{
    if (seconds > w->s.terms.maxpause) {
        world_over(w, BOSH_COND_POLICY_VIOLATION, BOSH_REASON_PAUSE, rid);
    }
    else if (is_newest(w, rid)) {
        w->inactivity = seconds;
    }
}

static void take_turn(world_t *w, uint64_t rid)
{
    fate_t *f = world_fate(w, rid);
    bosh_reason_t fault;

    if (w->n_legs >= w->s.terms.streams) {
        f->said.asks &= (uint8_t)~BOSH_ASKS_ADD;
    }
    fault = world_fault(w, rid);
    if (fault != BOSH_REASON_NONE) {
        world_over(w,
                   fault == BOSH_REASON_KEY || fault == BOSH_REASON_STREAM
                       ? BOSH_COND_ITEM_NOT_FOUND
                       : BOSH_COND_POLICY_VIOLATION,
                   fault, rid);
        return;
    }
    world_take_ack(w, f->said.ack);
    forward(w, rid, &f->said);
    if (f->said.asks & BOSH_ASKS_ADD) {
        add(w, rid);
    }
    if (f->said.asks & BOSH_ASKS_TERMINATE) {
        terminate(w, &f->said);
    }
    else if (f->said.asks & BOSH_ASKS_PAUSE) {
        pause_for(w, rid, f->said.pause);
    }
}

void world_take_turns(world_t *w)
{
    while (!w->is_over && world_fate(w, w->turn)->arrived) {
        uint64_t rid = w->turn++;

        take_turn(w, rid);
    }
}
