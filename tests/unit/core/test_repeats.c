/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* How often one request may be repeated (XEP-0124 section 14.3), and for how long. */

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

static void assert_broken(const bosh_action_t *a)
{
    assert_int_equal(a->kind, BOSH_DO_REPLY);
    assert_int_equal(a->answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(a->answer.condition, BOSH_COND_POLICY_VIOLATION);
    assert_int_equal(d.s.reason, BOSH_REASON_REPEATS);
}

static void answers_are_repeated_so_many_times(void **state)
{
    (void)state;
    request(&d, R, BOSH_ASKS_URGENT);
    wrote(&d, R, d.holder);
    for (unsigned i = 0; i < BOSH_MAX_REPEATS; i++) {
        assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_REPEAT);
    }
    assert_broken(request(&d, R, 0));
}

static void copies_of_a_held_request_count(void **state)
{
    bosh_holder_t newest;

    (void)state;
    request(&d, R, 0);
    for (unsigned i = 0; i < BOSH_MAX_REPEATS; i++) {
        assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_HOLD);
    }
    newest = d.holder;
    assert_broken(request(&d, R, 0));
    assert_int_equal(comes_back(&d, R, newest)->answer.condition, BOSH_COND_OTHER_REQUEST);
}

static void copies_of_an_early_request_count(void **state)
{
    bosh_holder_t newest;

    (void)state;
    request(&d, R + 1, 0);
    for (unsigned i = 0; i < BOSH_MAX_REPEATS; i++) {
        assert_int_equal(request(&d, R + 1, 0)->kind, BOSH_DO_HOLD);
    }
    newest = d.holder;
    assert_broken(request(&d, R + 1, 0));
    assert_int_equal(comes_back(&d, R + 1, newest)->answer.condition, BOSH_COND_OTHER_REQUEST);
}

/* A proxy that gives up while its request is held: the client sends the same once more. */
static void copies_that_take_their_time_are_none_too_many(void **state)
{
    bosh_msec_t first = d.now;

    (void)state;
    request(&d, R, 0);
    for (unsigned i = 0; i < 2 * BOSH_MAX_REPEATS; i++) {
        hangs_up(&d, R, d.holder);
        d.now += i < BOSH_MAX_REPEATS ? 1000 : 400;
        assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_HOLD);
    }
    assert_true(d.now < first + WAIT * 1000);
    hangs_up(&d, R, d.holder);
    d.now += 400;
    assert_broken(request(&d, R, 0));
}

/* Each copy might be given up as well, and clients count how often. */
static void wait_counts_from_the_first_copy(void **state)
{
    const bosh_action_t *a;
    bosh_msec_t first = d.now;

    (void)state;
    request(&d, R, 0);
    d.now += 40000;
    hangs_up(&d, R, d.holder);
    a = request(&d, R, 0);
    assert_int_equal(a->kind, BOSH_DO_HOLD);
    assert_int_equal(a->due, first + WAIT * 1000);
    d.now = first + WAIT * 1000;
    assert_int_equal(comes_back(&d, R, d.holder)->kind, BOSH_DO_ANSWER);
}

static void copy_that_comes_after_the_wait_is_answered_at_once(void **state)
{
    (void)state;
    request(&d, R, 0);
    hangs_up(&d, R, d.holder);
    d.now += WAIT * 1000 + 1;
    assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_ANSWER);
}

static void each_request_counts_for_itself(void **state)
{
    (void)state;
    for (uint64_t rid = R; rid < R + 40; rid++) {
        d.s.leg[0].has_down = 1;
        d.now += 100;
        request(&d, rid, 0);
        wrote(&d, rid, d.holder);
        for (unsigned i = 0; i < BOSH_MAX_REPEATS; i++) {
            assert_int_equal(request(&d, rid, 0)->kind, BOSH_DO_REPEAT);
        }
    }
    assert_int_equal(d.s.state, BOSH_OPEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(answers_are_repeated_so_many_times, open_session),
        cmocka_unit_test_setup(copies_of_a_held_request_count, open_session),
        cmocka_unit_test_setup(copies_of_an_early_request_count, open_session),
        cmocka_unit_test_setup(copies_that_take_their_time_are_none_too_many, open_session),
        cmocka_unit_test_setup(wait_counts_from_the_first_copy, open_session),
        cmocka_unit_test_setup(copy_that_comes_after_the_wait_is_answered_at_once, open_session),
        cmocka_unit_test_setup(each_request_counts_for_itself, open_session),
    };

    return cmocka_run_group_tests_name("repeats", tests, NULL, NULL);
}
