/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Pauses: what is offered, and when they are over (XEP-0124 section 10). */

#include "drive.h"

#include "unit.h"

#define R (FIRST_RID + 1)

static drive_t d;

static int open_session(void **state)
{
    (void)state;
    drive_open(&d, 1, WAIT);
    return 0;
}

static void no_pause_is_allowed_where_none_is_offered(void **state)
{
    (void)state;
    d.s.terms.maxpause = 0;
    assert_int_equal(request_pause(&d, R, 0)->answer.condition, BOSH_COND_POLICY_VIOLATION);
    assert_int_equal(d.s.reason, BOSH_REASON_PAUSE);
}

static void pause_of_no_time_is_one_of_a_second(void **state)
{
    (void)state;
    request_pause(&d, R, 0);
    wrote(&d, R, d.holder);
    assert_int_equal(d.s.inactivity, 1);
    d.now += 999;
    tick(&d);
    assert_int_equal(d.s.state, BOSH_OPEN);
    d.now += 1;
    tick(&d);
    assert_int_equal(d.s.reason, BOSH_REASON_INACTIVITY);
}

static void pause_is_over_with_a_request_that_overtook_others(void **state)
{
    (void)state;
    request_pause(&d, R, MAXPAUSE);
    wrote(&d, R, d.holder);
    assert_int_equal(d.s.inactivity, MAXPAUSE);
    d.now += 1000;
    request(&d, R + 2, 0); /* early */
    assert_int_equal(d.s.inactivity, INACTIVITY);
}

static void pause_that_was_overtaken_does_not_begin(void **state)
{
    (void)state;
    drive_open(&d, 2, WAIT);
    request(&d, R + 2, 0);
    request_pause(&d, R, MAXPAUSE);
    assert_int_equal(d.s.inactivity, INACTIVITY);
}

static void repeat_does_not_end_a_pause(void **state)
{
    (void)state;
    request_pause(&d, R, MAXPAUSE);
    wrote(&d, R, d.holder);
    request_pause(&d, R, MAXPAUSE);
    assert_int_equal(d.s.inactivity, MAXPAUSE);
}

static void who_asked_too_long_a_pause_learns_it_and_the_held_one_learns_of_another(void **state)
{
    bosh_holder_t held, pausing;

    (void)state;
    request(&d, R, 0);
    held = d.holder;
    assert_int_equal(request_pause(&d, R + 1, MAXPAUSE + 1)->kind, BOSH_DO_HOLD);
    pausing = d.holder;
    assert_int_equal(comes_back(&d, R, held)->answer.condition, BOSH_COND_OTHER_REQUEST);
    wrote(&d, R, held);
    assert_int_equal(comes_back(&d, R + 1, pausing)->answer.condition, BOSH_COND_POLICY_VIOLATION);
}

static void a_kept_pause_leaves_the_window_as_others_do(void **state)
{
    (void)state;
    request_pause(&d, R, 10);
    wrote(&d, R, d.holder);
    assert_int_equal(request_pause(&d, R, 10)->kind, BOSH_DO_REPEAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(no_pause_is_allowed_where_none_is_offered, open_session),
        cmocka_unit_test_setup(pause_of_no_time_is_one_of_a_second, open_session),
        cmocka_unit_test_setup(pause_is_over_with_a_request_that_overtook_others, open_session),
        cmocka_unit_test_setup(pause_that_was_overtaken_does_not_begin, open_session),
        cmocka_unit_test_setup(repeat_does_not_end_a_pause, open_session),
        cmocka_unit_test_setup(
            who_asked_too_long_a_pause_learns_it_and_the_held_one_learns_of_another, open_session),
        cmocka_unit_test_setup(a_kept_pause_leaves_the_window_as_others_do, open_session),
    };

    return cmocka_run_group_tests_name("pause", tests, NULL, NULL);
}
