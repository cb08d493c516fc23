/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Time in which nobody could be served: a stopped process, a machine that slept. */

#include "drive.h"

#include "unit.h"

#define R     (FIRST_RID + 1)
#define GRACE BOSH_GRACE_MS

static drive_t d;

static int open_session(void **state)
{
    (void)state;
    drive_open(&d, 1, WAIT);
    return 0;
}

/* For that long nobody was served; it is found out at once. */
static void stands_still(bosh_msec_t ms)
{
    bosh_event_t ev = { .kind = BOSH_EV_STILL, .holder = BOSH_NOBODY, .since = d.now };

    d.now += ms;
    bosh_step(&d.s, &ev, d.now, &d.acts);
    assert_false(bosh_session_is_damaged(&d.s));
    assert_int_equal(d.acts.n, 0);
}

static void assert_lives_for(bosh_msec_t ms)
{
    d.now += ms - 1;
    tick(&d);
    assert_int_equal(d.s.state, BOSH_OPEN);
    d.now += 1;
    tick(&d);
    assert_int_equal(d.s.state, BOSH_CLOSING);
    assert_int_equal(d.s.reason, BOSH_REASON_INACTIVITY);
}

static void exchange(uint64_t rid)
{
    d.s.leg[0].has_down = 1;
    assert_int_equal(request(&d, rid, 0)->kind, BOSH_DO_ANSWER);
    wrote(&d, rid, d.holder);
}

static void stillness_is_no_inactivity(void **state)
{
    (void)state;
    exchange(R);
    d.now += BOSH_SEC(10);
    tick(&d);
    stands_still(BOSH_SEC(3600 * 24));
    assert_lives_for(BOSH_SEC(INACTIVITY - 10));
}

/* Its request may have come in the meantime, and waits to be read. */
static void who_had_little_time_left_gets_a_moment(void **state)
{
    (void)state;
    exchange(R);
    d.now += BOSH_SEC(INACTIVITY) - 1;
    tick(&d);
    stands_still(BOSH_SEC(100));
    assert_lives_for(GRACE);
}

static void no_moment_is_longer_than_the_inactivity(void **state)
{
    (void)state;
    d.s.inactivity = 2;
    exchange(R);
    d.s.inactivity = 2;
    d.now += BOSH_SEC(2) - 1;
    stands_still(BOSH_SEC(100));
    assert_lives_for(BOSH_SEC(2));
}

/* Children went on while the connector stood still: what they saw counts from then. */
static void idleness_that_began_meanwhile_counts_from_the_end_of_it(void **state)
{
    bosh_event_t ev = { .kind = BOSH_EV_STILL, .holder = BOSH_NOBODY, .since = d.now };

    (void)state;
    d.now += BOSH_SEC(50);
    exchange(R);
    d.now += BOSH_SEC(40);
    bosh_step(&d.s, &ev, d.now, &d.acts);
    assert_lives_for(BOSH_SEC(INACTIVITY));
}

static void whoever_waits_still_waits_and_is_answered_in_time(void **state)
{
    bosh_holder_t holder;

    (void)state;
    exchange(R);
    assert_int_equal(request(&d, R + 1, 0)->kind, BOSH_DO_HOLD);
    holder = d.holder;
    stands_still(BOSH_SEC(WAIT));
    tick(&d);
    assert_int_equal(d.s.state, BOSH_OPEN);
    assert_int_equal(comes_back(&d, R + 1, holder)->kind, BOSH_DO_ANSWER);
    wrote(&d, R + 1, holder);
    assert_lives_for(BOSH_SEC(INACTIVITY));
}

static void stillness_again_and_again_keeps_it_alive_and_no_longer(void **state)
{
    (void)state;
    exchange(R);
    for (unsigned i = 0; i < 1000; i++) {
        stands_still(250);
        tick(&d);
        assert_int_equal(d.s.state, BOSH_OPEN);
    }
    assert_lives_for(BOSH_SEC(INACTIVITY));
}

static void server_that_could_not_be_heard_is_not_late(void **state)
{
    (void)state;
    drive_begin(&d, 1, WAIT);
    stands_still(BOSH_SEC(CONNECT * 10));
    tick(&d);
    assert_int_equal(d.s.state, BOSH_OPENING);
    d.now += BOSH_SEC(CONNECT) - 1;
    tick(&d);
    assert_int_equal(d.s.state, BOSH_OPENING);
    d.now += 1;
    tick(&d);
    assert_int_equal(d.s.reason, BOSH_REASON_CONNECT_TIMEOUT);
}

static void late_requests_still_learn_the_condition_after_stillness(void **state)
{
    (void)state;
    stream_ended(&d, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_ERROR);
    stands_still(BOSH_SEC(1000));
    tick(&d);
    assert_int_equal(count(&d, BOSH_DO_FREE), 0);
    assert_int_equal(request(&d, R, 0)->answer.condition, BOSH_COND_REMOTE_STREAM_ERROR);
}

/* A child was stopped in the middle of it: that is not stuck. */
static void answer_that_is_being_written_is_not_taken_for_stuck(void **state)
{
    (void)state;
    d.s.leg[0].has_down = 1;
    assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_ANSWER);
    stands_still(BOSH_SEC(1000));
    tick(&d);
    assert_true(slot_of(&d, R)->writing);
    d.now += BOSH_WRITE_STUCK_MS;
    tick(&d);
    assert_false(slot_of(&d, R)->writing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(stillness_is_no_inactivity, open_session),
        cmocka_unit_test_setup(who_had_little_time_left_gets_a_moment, open_session),
        cmocka_unit_test_setup(no_moment_is_longer_than_the_inactivity, open_session),
        cmocka_unit_test_setup(idleness_that_began_meanwhile_counts_from_the_end_of_it,
                               open_session),
        cmocka_unit_test_setup(whoever_waits_still_waits_and_is_answered_in_time, open_session),
        cmocka_unit_test_setup(stillness_again_and_again_keeps_it_alive_and_no_longer,
                               open_session),
        cmocka_unit_test_setup(server_that_could_not_be_heard_is_not_late, open_session),
        cmocka_unit_test_setup(late_requests_still_learn_the_condition_after_stillness,
                               open_session),
        cmocka_unit_test_setup(answer_that_is_being_written_is_not_taken_for_stuck, open_session),
    };

    return cmocka_run_group_tests_name("stillness", tests, NULL, NULL);
}
