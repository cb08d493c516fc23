/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* What an answer says. In rid order, one being written at a time, each stanza in one. */

#include "world.h"

#include <string.h>

#include "unit.h"

uint64_t world_ack_for(const world_t *w, uint64_t rid)
{
    if (!w->s.terms.acks) {
        return 0;
    }
    return rid == w->first_rid ? rid : rid + 1 == w->turn ? 0 : w->turn - 1;
}

/* The stream whose stanzas it must have; BOSH_NO_STREAM: none. */
static uint8_t expect_stanzas(const world_t *w, uint8_t leg)
{
    return w->legs[leg].put > w->legs[leg].taken ? leg : BOSH_NO_STREAM;
}

/* The servers are gone, and the client will come again. */
static bool has_rest(const world_t *w, uint8_t leg)
{
    const leg_t *l = &w->legs[leg % BOSH_MAX_STREAMS];

    return world_legs_gone(w) && w->n_legs > 1 && !w->is_end_told && !w->breach
           && w->reason != BOSH_REASON_CLIENT && l->is_named && !l->is_told && l->put > l->taken;
}

static bool has_any_rest(const world_t *w)
{
    bool any = false;

    for (uint8_t i = 0; i < w->n_legs; i++) {
        any = any || has_rest(w, i);
    }
    return any;
}

static uint8_t expect_after_end(world_t *w, uint64_t rid, const bosh_action_t *a, bosh_answer_t *e)
{
    bool is_other = rid < w->breach;

    if (has_any_rest(w)) {
        assert_true(has_rest(w, a->stream));
        e->stream = a->stream;
        return a->stream;
    }
    if (w->is_end_told && (is_other || !w->breach)) {
        return BOSH_NO_STREAM;
    }
    w->is_end_told = true;
    e->kind = BOSH_ANSWER_TERMINATE;
    e->condition = is_other ? BOSH_COND_OTHER_REQUEST : (uint8_t)w->condition;
    if (w->n_legs > 1 || (w->reason == BOSH_REASON_KEY && !is_other)) {
        return BOSH_NO_STREAM;
    }
    return expect_stanzas(w, 0);
}

static bool is_end_waiting(const world_t *w)
{
    for (unsigned i = 0; i < w->n_legs; i++) {
        if (w->legs[i].has_end && w->legs[i].is_named) {
            return true;
        }
    }
    return false;
}

static bool is_something_waiting(const world_t *w)
{
    for (unsigned i = 0; i < w->n_legs; i++) {
        if (world_leg_tells(&w->legs[i])) {
            return true;
        }
    }
    return false;
}

static uint8_t expect_news(world_t *w, const bosh_action_t *a, bosh_answer_t *e)
{
    leg_t *leg = &w->legs[a->stream % BOSH_MAX_STREAMS];

    if (is_end_waiting(w)) {
        assert_true(leg->has_end && leg->is_named && !leg->is_told);
        leg->has_end = false;
        leg->is_told = true;
        e->kind = BOSH_ANSWER_TERMINATE;
        e->condition = (uint8_t)leg->condition;
        e->stream = a->stream;
        return expect_stanzas(w, a->stream);
    }
    if (is_something_waiting(w)) {
        assert_true(world_leg_tells(leg));
        e->stream = w->n_legs > 1 ? a->stream : BOSH_NO_STREAM;
        return a->stream;
    }
    return BOSH_NO_STREAM;
}

static uint8_t expect_named(world_t *w, const fate_t *f, bosh_answer_t *e)
{
    e->kind = f->said.refused ? BOSH_ANSWER_TERMINATE : BOSH_ANSWER_STREAM;
    e->condition = (uint8_t)f->said.refused;
    e->stream = f->leg;
    w->legs[f->leg].is_named = true;
    return BOSH_NO_STREAM;
}

static uint8_t expect(world_t *w, uint64_t rid, const bosh_action_t *a, bosh_answer_t *e)
{
    const fate_t *f = world_fate(w, rid);
    bool is_taken = a->holder.child != UINT32_MAX;

    if (w->is_over) {
        return is_taken ? expect_after_end(w, rid, a, e) : BOSH_NO_STREAM;
    }
    if (rid == w->first_rid) {
        e->kind = BOSH_ANSWER_CREATED;
        e->stream = w->s.terms.streams > 1 ? 0 : BOSH_NO_STREAM;
        return is_taken && !(f->said.asks & BOSH_ASKS_PAUSE) ? expect_stanzas(w, 0)
                                                             : BOSH_NO_STREAM;
    }
    if (f->has_added) {
        return expect_named(w, f, e);
    }
    return is_taken && !(f->said.asks & BOSH_ASKS_PAUSE) ? expect_news(w, a, e) : BOSH_NO_STREAM;
}

static void expect_report(world_t *w, bosh_answer_t *e)
{
    if (w->report && !world_fate(w, w->report)->dropped) {
        e->report = w->report;
        e->time = (uint32_t)(w->now - world_fate(w, w->report)->sent);
    }
    w->report = 0;
}

static void assert_says(const bosh_answer_t *a, const bosh_answer_t *e)
{
    assert_int_equal(a->kind, e->kind);
    assert_int_equal(a->condition, e->condition);
    assert_int_equal(a->stream, e->stream);
    assert_true(a->ack == e->ack);
    assert_true(a->report == e->report);
    assert_int_equal(a->time, e->time);
}

void world_check_answer(world_t *w, const bosh_action_t *a)
{
    uint64_t rid = w->next_answer++;
    fate_t *f = world_fate(w, rid);
    bool is_taken = a->holder.child != UINT32_MAX;
    bosh_answer_t e = { .kind = BOSH_ANSWER_DATA, .stream = BOSH_NO_STREAM };
    uint8_t from;

    assert_int_equal(a->slot, rid % BOSH_SLOTS);
    assert_true(rid < w->turn);
    assert_false(f->answered);
    assert_true(is_taken || !a->with_down);
    from = expect(w, rid, a, &e);
    e.ack = world_ack_for(w, rid);
    if (is_taken && !w->is_over) {
        expect_report(w, &e);
    }
    assert_says(&a->answer, &e);
    assert_int_equal(a->with_down, from != BOSH_NO_STREAM);
    if (a->with_down) {
        assert_int_equal(a->stream, from);
        f->n = w->legs[from].put - w->legs[from].taken;
        f->n_leg = from;
        world_take_stanzas(w, from);
        f->bytes = rng_one_in(w->rng, 10) ? rng_below(w->rng, BOSH_KEPT_BYTES + 10)
                                          : 1 + rng_below(w->rng, 5000);
        w->s.slots[a->slot].bytes = f->bytes; /* as the store does */
    }
    f->answered = true;
    f->answer = a->answer;
    f->sent = w->now;
    if (is_taken) {
        assert_false(world_somebody_writes(w));
        w->last_answer = w->now;
    }
}
