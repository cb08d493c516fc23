/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Sessions that a dying process left half changed: found, and harmless until then. */

#include "drive.h"

#include <string.h>

#include "rng.h"
#include "unit.h"

#define R (FIRST_RID + 1)

static drive_t d;

/* One request is held, one came early, two answers are kept, a second stream is open. */
static int open_session(void **state)
{
    (void)state;
    drive_open(&d, 2, WAIT);
    d.s.terms.streams = 3;
    request(&d, R, BOSH_ASKS_ADD);
    wrote(&d, R, d.holder);
    d.now += 100;
    request(&d, R + 1, 0);
    request(&d, R + 3, BOSH_ASKS_PAYLOAD);
    return 0;
}

static void sound_sessions_are_not_found(void **state)
{
    (void)state;
    assert_false(bosh_session_is_damaged(&d.s));
    ended_by_us(&d, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN);
    assert_false(bosh_session_is_damaged(&d.s));
}

static void contradictions_are_found(void **state)
{
    bosh_session_t *s = &d.s;
    bosh_slot_t *held = &s->slots[(R + 1) % BOSH_SLOTS];
    struct {
        void *field;
        uint8_t value;
    } cases[] = {
        { &s->state, BOSH_ENDED + 1 },
        { &s->condition, BOSH_COND_COUNT },
        { &s->reason, BOSH_REASON_COUNT },
        { &s->legs, 0 },
        { &s->legs, 1 },
        { &s->legs, 3 },
        { &s->legs, BOSH_MAX_STREAMS + 1 },
        { &s->last_leg, BOSH_MAX_STREAMS },
        { &s->hasty, BOSH_MAX_HASTY + 1 },
        { &s->terms.streams, BOSH_MAX_STREAMS + 1 },
        { &s->leg[0].state, BOSH_LEG_NONE },
        { &s->leg[0].state, BOSH_LEG_GONE + 1 },
        { &s->leg[2].state, BOSH_LEG_GONE },
        { &s->leg[0].end_due, 1 },
        { &s->leg[1].condition, BOSH_COND_COUNT },
        { &s->leg[1].reason, BOSH_REASON_COUNT },
        { &held->state, BOSH_SLOT_EARLY },
        { &held->state, BOSH_SLOT_ANSWERED },
        { &held->state, BOSH_SLOT_FREE },
        { &held->state, BOSH_SLOT_ANSWERED + 1 },
        { &held->stream, BOSH_MAX_STREAMS },
        { &held->down_stream, BOSH_MAX_STREAMS },
        { &held->refused, BOSH_COND_COUNT },
        { &held->repeats, BOSH_MAX_REPEATS + 1 },
        { &held->answer.kind, BOSH_ANSWER_STREAM + 1 },
        { &held->answer.condition, BOSH_COND_COUNT },
        { &held->answer.stream, BOSH_MAX_STREAMS },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bosh_session_t before = *s;

        *(uint8_t *)cases[i].field = cases[i].value;
        if (!bosh_session_is_damaged(s)) {
            fail_msg("case %u is not found", i);
        }
        *s = before;
        assert_false(bosh_session_is_damaged(s));
    }
}

static void numbers_beyond_their_bounds_are_found(void **state)
{
    bosh_session_t *s = &d.s;
    struct {
        uint64_t *field, value;
    } cases[] = {
        { &s->next_rid, R },
        { &s->next_rid, UINT64_MAX },
        { &s->next_answer, FIRST_RID - 1 },
        { &s->next_answer, R + 5 },
        { &s->acked, R + 1 }, /* is not answered */
        { &s->report, R + 3 },
        { &s->breach, R + 3 },
        { &s->slots[R % BOSH_SLOTS].rid, R + 1 },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bosh_session_t before = *s;

        *cases[i].field = cases[i].value;
        if (!bosh_session_is_damaged(s)) {
            fail_msg("case %u is not found", i);
        }
        *s = before;
    }
}

static void assert_in_bounds(const bosh_actions_t *acts)
{
    assert_true(acts->n <= BOSH_MAX_ACTIONS);
    for (unsigned i = 0; i < acts->n; i++) {
        const bosh_action_t *a = &acts->a[i];

        assert_true(a->slot < BOSH_SLOTS);
        assert_true(a->stream < BOSH_MAX_STREAMS || a->stream == BOSH_NO_STREAM);
    }
}

static bosh_event_t some_event(rng_t *rng)
{
    return (bosh_event_t){ .kind = (bosh_event_kind_t)rng_below(rng, BOSH_EV_TICK + 1),
                           .rid = R - 3 + rng_below(rng, 12),
                           .holder = { 3, 1 + rng_below(rng, 5) },
                           .asks = (uint8_t)rng_next(rng),
                           .stream =
                               (uint8_t)(rng_one_in(rng, 2) ? rng_below(rng, 6) : rng_next(rng)),
                           .ack = FIRST_RID + rng_below(rng, 6) };
}

/* A bool of any value is undefined, and so is time beyond all bounds. */
static void define(bosh_session_t *s, rng_t *rng)
{
    const bosh_msec_t most = (INT64_C(1) << 50) - 1;
    bosh_msec_t *times[] = { &s->created, &s->idle_since, &s->ended, &s->last_answer,
                             &s->last_turn };

    s->terms.acks = rng_one_in(rng, 2);
    s->terms.is_polling = rng_one_in(rng, 2);
    for (unsigned i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        *times[i] &= most;
    }
    for (unsigned i = 0; i < BOSH_MAX_STREAMS; i++) {
        s->leg[i].since &= most;
    }
    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        s->slots[i].arrived &= most;
        s->slots[i].first &= most;
        s->slots[i].due &= most;
        s->slots[i].answered &= most;
    }
}

/* Bytes of any value anywhere: nothing is promised but to come back, with actions that
 * can be carried out. */
static void scribbled_sessions_do_no_harm(void **state)
{
    rng_t rng = rng_seeded("damage");
    uint64_t rounds = env_number("BOSH_STEPS", 30000);

    for (uint64_t n = 0; n < rounds; n++) {
        open_session(state);
        for (unsigned bytes = 1 + rng_below(&rng, 40); bytes > 0; bytes--) {
            ((uint8_t *)&d.s)[rng_below(&rng, sizeof(d.s))] = (uint8_t)rng_next(&rng);
        }
        define(&d.s, &rng);
        for (unsigned i = 0; i < 12; i++) {
            bosh_event_t ev = some_event(&rng);

            bosh_step(&d.s, &ev, d.now, &d.acts);
            assert_in_bounds(&d.acts);
            bosh_session_is_undelivered(&d.s, rng_below(&rng, 100));
            bosh_session_is_damaged(&d.s);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(sound_sessions_are_not_found, open_session),
        cmocka_unit_test_setup(contradictions_are_found, open_session),
        cmocka_unit_test_setup(numbers_beyond_their_bounds_are_found, open_session),
        cmocka_unit_test(scribbled_sessions_do_no_harm),
    };

    return cmocka_run_group_tests_name("damage", tests, NULL, NULL);
}
