/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Answers are kept until the client cannot ask for them: as many as `requests`, more of those
 * that may have been lost, or until they are acknowledged. An answer once fixed is repeated as it was.
 */

#include "world.h"

#include "unit.h"

#define KEPT (BOSH_SLOTS / 2)

void world_note_arrival(world_t *w, uint64_t ack)
{
    if (w->s.terms.acks && ack) {
        return;
    }
    for (uint64_t rid = w->first_rid; rid < w->next_answer; rid++) {
        world_fate(w, rid)->was_received |= world_fate(w, rid)->was_written;
    }
}

void world_take_ack(world_t *w, uint64_t ack)
{
    if (!w->s.terms.acks || ack < w->first_rid || ack >= w->next_answer) {
        return;
    }
    w->acked = ack > w->acked ? ack : w->acked;
    if (w->report && w->report <= w->acked) {
        w->report = 0;
    }
    if (ack == w->acked && ack + 1 < w->next_answer && !world_fate(w, ack + 1)->dropped) {
        w->report = ack + 1;
    }
}

void world_check_repeat(world_t *w, const bosh_action_t *a, uint64_t rid)
{
    fate_t *f = world_fate(w, rid);

    assert_true(f->answered && !f->dropped);
    assert_memory_equal(&a->answer, &f->answer, sizeof(a->answer));
    assert_int_equal(a->slot, rid % BOSH_SLOTS);
    f->was_written = true;
    if (w->is_over || w->doing == BOSH_EV_REQUEST) {
        f->was_received = w->is_over;
    }
    w->report = w->report == rid ? 0 : w->report;
    w->last_attended = w->now;
}

static bool is_being_written(world_t *w, uint64_t rid)
{
    for (unsigned i = 0; i < WORLD_WAITERS; i++) {
        if (w->waiters[i].is_writing && w->waiters[i].rid == rid) {
            return true;
        }
    }
    return false;
}

/* While older ones are open; or after newer ones. */
void world_note_overtaking(world_t *w, uint64_t rid)
{
    for (uint64_t other = rid - BOSH_SLOTS; other < rid + BOSH_SLOTS; other++) {
        fate_t *f = other >= w->first_rid && other != rid ? world_fate(w, other) : NULL;

        if (f && other > rid) {
            world_fate(w, rid)->was_overtaken |= f->arrived;
        }
        else if (f && f->arrived && (!f->was_written || is_being_written(w, other))) {
            f->was_overtaken = true;
        }
    }
}

/* Too many, or acknowledged. */
static bool is_outdated(world_t *w, uint64_t rid)
{
    const fate_t *f = world_fate(w, rid);
    bool is_strict =
        f->was_written && !f->was_overtaken && !is_being_written(w, rid) && !w->s.terms.acks;
    uint64_t keep = is_strict ? w->s.terms.requests : KEPT;

    return w->next_answer - rid > keep || (rid <= w->acked && !is_being_written(w, rid));
}

/* The bytes of this one and all that are newer, but for the newest ones. */
static bool is_too_much(world_t *w, uint64_t rid)
{
    uint64_t bytes = 0;

    if (is_being_written(w, rid)) {
        return false;
    }
    for (uint64_t newer = rid; newer + w->s.terms.requests < w->next_answer; newer++) {
        if (!world_fate(w, newer)->dropped && !is_being_written(w, newer)) {
            bytes += world_fate(w, newer)->bytes;
        }
    }
    return bytes > (w->s.terms.acks ? BOSH_KEPT_BYTES : BOSH_DOUBTFUL_BYTES);
}

/* The newest that is too much, before any is dropped in this step. */
static uint64_t newest_too_much(world_t *w)
{
    uint64_t rid = w->next_answer - 1;

    if (w->too_old_at != w->step) {
        while (w->next_answer - rid <= BOSH_SLOTS && rid >= w->first_rid && !is_too_much(w, rid)) {
            rid--;
        }
        w->too_old_at = w->step;
        w->too_old = w->next_answer - rid <= BOSH_SLOTS && rid >= w->first_rid ? rid : 0;
    }
    return w->too_old;
}

void world_check_drop(world_t *w, const bosh_action_t *a)
{
    uint64_t rid = w->next_answer - 1, too_old = newest_too_much(w);

    while (rid % BOSH_SLOTS != a->slot) {
        rid--;
    }
    assert_false(world_fate(w, rid)->dropped);
    assert_true(is_outdated(w, rid) || rid <= too_old || w->had_stuck);
    if (is_being_written(w, rid)) {
        assert_true(w->next_answer - rid > KEPT || w->had_stuck);
        w->had_stuck = true;
    }
    world_fate(w, rid)->dropped = true;
}

static bool is_undelivered(world_t *w, uint64_t rid)
{
    const fate_t *f = world_fate(w, rid);
    const leg_t *leg = &w->legs[f->n_leg];
    bosh_reason_t reason = leg->reason ? leg->reason : w->reason;

    if (f->n == 0 || rid <= w->acked || is_being_written(w, rid)) {
        return false;
    }
    return !f->was_written
           || (f->answer.kind != BOSH_ANSWER_TERMINATE && !f->was_received
               && (w->s.terms.acks || reason != BOSH_REASON_CLIENT));
}

void world_check_kept(world_t *w)
{
    uint64_t low =
        w->next_answer > w->first_rid + BOSH_SLOTS ? w->next_answer - BOSH_SLOTS : w->first_rid;
    bool has_settled = w->doing != BOSH_EV_REQUEST && w->doing != BOSH_EV_DUE;

    for (uint64_t rid = low; rid < w->next_answer; rid++) {
        const bosh_slot_t *slot = &w->s.slots[rid % BOSH_SLOTS];

        if (world_fate(w, rid)->dropped) {
            continue;
        }
        assert_true(slot->rid == rid && slot->state == BOSH_SLOT_ANSWERED);
        assert_false(has_settled && is_outdated(w, rid));
        assert_false(has_settled && is_too_much(w, rid));
        assert_int_equal(bosh_session_is_undelivered(&w->s, rid % BOSH_SLOTS),
                         is_undelivered(w, rid));
    }
}
