/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* The streams: each is opened once, closed once at most, and its end told once. */

#include "world.h"

#include "unit.h"

unsigned world_legs_up(const world_t *w)
{
    unsigned n = 0;

    for (unsigned i = 0; i < w->n_legs; i++) {
        n += w->legs[i].is_up;
    }
    return n;
}

bool world_legs_gone(const world_t *w)
{
    for (unsigned i = 0; i < w->n_legs; i++) {
        if (!w->legs[i].is_gone) {
            return false;
        }
    }
    return true;
}

void world_leg_begins(world_t *w, uint8_t leg, bosh_condition_t refused)
{
    w->legs[leg] = (leg_t){ .is_up = !refused,
                            .is_gone = refused != BOSH_COND_NONE,
                            .is_told = refused != BOSH_COND_NONE,
                            .since = w->now };
}

void world_leg_ends(leg_t *leg, bosh_condition_t condition, bosh_reason_t reason)
{
    leg->is_up = false;
    leg->has_end = true;
    leg->condition = condition;
    leg->reason = reason;
}

void world_close_leg(world_t *w, uint8_t leg, bosh_condition_t condition, bosh_reason_t reason)
{
    world_leg_ends(&w->legs[leg], condition, reason);
    w->legs[leg].is_closed = true;
    world_expect_up(w, BOSH_DO_CLOSE, 0, leg);
}

/* Those that took too long to open. */
void world_time_legs(world_t *w)
{
    for (uint8_t i = 0; i < w->n_legs && !w->is_over; i++) {
        const leg_t *leg = &w->legs[i];

        if (!leg->is_up || leg->is_open
            || w->now - leg->since < BOSH_SEC(w->s.terms.connect_timeout)) {
            continue;
        }
        if (world_legs_up(w) == 1) {
            world_over(w, BOSH_COND_REMOTE_CONNECTION_FAILED, BOSH_REASON_CONNECT_TIMEOUT, 0);
        }
        else {
            world_close_leg(w, i, BOSH_COND_REMOTE_CONNECTION_FAILED, BOSH_REASON_CONNECT_TIMEOUT);
        }
    }
}

bool world_leg_tells(const leg_t *leg)
{
    return leg->is_named && (leg->has_end || (leg->is_up && leg->put > leg->taken));
}

/* Nobody's stanzas leave twice before another's that wait leave once. */
void world_take_stanzas(world_t *w, uint8_t leg)
{
    assert_true(w->legs[leg].put > w->legs[leg].taken);
    for (unsigned i = 0; i < w->n_legs; i++) {
        if (i != leg && world_leg_tells(&w->legs[i]) && w->legs[i].put > w->legs[i].taken) {
            w->legs[i].passed++;
            assert_true(w->legs[i].passed <= 2 * w->n_legs);
        }
    }
    w->legs[leg].taken = w->legs[leg].put;
    w->legs[leg].passed = 0;
}

void world_check_legs(world_t *w)
{
    assert_int_equal(w->s.legs, w->n_legs);
    for (unsigned i = 0; i < BOSH_MAX_STREAMS; i++) {
        const leg_t *leg = &w->legs[i];
        uint8_t state = w->s.leg[i].state;

        if (i >= w->n_legs) {
            assert_int_equal(state, BOSH_LEG_NONE);
            continue;
        }
        assert_int_equal(state == BOSH_LEG_OPENING || state == BOSH_LEG_OPEN, leg->is_up);
        assert_int_equal(state == BOSH_LEG_GONE, leg->is_gone);
        assert_int_equal(w->s.leg[i].has_down, leg->put > leg->taken);
    }
}
