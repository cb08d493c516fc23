/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Polling sessions (XEP-0124 section 12). */

#include "drive.h"

#include "unit.h"

#define R (FIRST_RID + 1)

static drive_t d;

#define TOO_SOON (BOSH_SEC(POLLING) - BOSH_POLL_SLACK_MS)

static int open_session(void **state)
{
    (void)state;
    drive_open(&d, 0, 0);
    return 0;
}

static void poll(uint64_t rid)
{
    assert_int_equal(request(&d, rid, 0)->kind, BOSH_DO_ANSWER);
    wrote(&d, rid, d.holder);
}

static void assert_broken(const bosh_action_t *a)
{
    assert_int_equal(a->answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(a->answer.condition, BOSH_COND_POLICY_VIOLATION);
    assert_int_equal(d.s.reason, BOSH_REASON_POLLING);
}

static void polls_may_come_as_often_as_allowed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        poll(R + i);
        d.now += TOO_SOON;
    }
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void polls_that_come_sooner_break_the_policy(void **state)
{
    (void)state;
    poll(R);
    d.now += TOO_SOON - 1;
    assert_broken(request(&d, R + 1, 0));
}

static void first_poll_may_come_at_once(void **state)
{
    (void)state;
    d.now -= 999;
    poll(R);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void who_was_given_something_may_ask_for_more(void **state)
{
    (void)state;
    d.s.leg[0].has_down = 1;
    poll(R);
    d.now += 100;
    poll(R + 1);
    d.now += 100;
    assert_broken(request(&d, R + 2, 0));
}

static void requests_that_are_not_empty_may_come_at_any_time(void **state)
{
    static const uint8_t asks[] = { BOSH_ASKS_PAYLOAD, BOSH_ASKS_RESTART, BOSH_ASKS_PAUSE,
                                    BOSH_ASKS_TERMINATE };

    for (unsigned i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
        open_session(state);
        poll(R);
        d.now += 10;
        request(&d, R + 1, asks[i]);
        assert_int_equal(d.s.condition, BOSH_COND_NONE);
    }
    open_session(state);
    request(&d, R, BOSH_ASKS_PAYLOAD);
    wrote(&d, R, d.holder);
    d.now += 10;
    poll(R + 1);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void urgent_and_deaf_polls_are_polls(void **state)
{
    (void)state;
    request(&d, R, BOSH_ASKS_URGENT);
    wrote(&d, R, d.holder);
    d.now += 100;
    assert_broken(request(&d, R + 1, BOSH_ASKS_DEAF));
}

static void repeats_of_a_poll_are_not_polls(void **state)
{
    (void)state;
    poll(R);
    d.now += TOO_SOON - 1;
    assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_REPEAT);
    d.now += 1;
    poll(R + 1);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void without_polling_there_is_no_limit(void **state)
{
    (void)state;
    d.s.terms.polling = 0;
    for (unsigned i = 0; i < 20; i++) {
        poll(R + i);
    }
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void sessions_that_hold_do_not_poll(void **state)
{
    (void)state;
    drive_open(&d, 1, WAIT);
    request(&d, R, BOSH_ASKS_URGENT);
    wrote(&d, R, d.holder);
    request(&d, R + 1, BOSH_ASKS_URGENT);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

/* It left its page, and the next page asks anew. */
static void a_poll_that_was_aborted_unanswered_does_not_count(void **state)
{
    (void)state;
    poll(R);
    d.now += TOO_SOON;
    request(&d, R + 1, 0);
    d.now += TOO_SOON;
    assert_int_equal(request(&d, R + 2, 0)->kind, BOSH_DO_HOLD); /* R + 1 is being written */
    hangs_up(&d, R + 2, d.holder);
    d.now += 100;
    assert_int_equal(request(&d, R + 3, 0)->kind, BOSH_DO_HOLD);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void the_acknowledged_answer_was_empty_all_the_same(void **state)
{
    (void)state;
    d.s.terms.acks = true;
    poll(R);
    d.now += 100;
    assert_broken(request_ack(&d, R + 1, 0, R));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(polls_may_come_as_often_as_allowed, open_session),
        cmocka_unit_test_setup(polls_that_come_sooner_break_the_policy, open_session),
        cmocka_unit_test_setup(first_poll_may_come_at_once, open_session),
        cmocka_unit_test_setup(who_was_given_something_may_ask_for_more, open_session),
        cmocka_unit_test_setup(requests_that_are_not_empty_may_come_at_any_time, open_session),
        cmocka_unit_test_setup(urgent_and_deaf_polls_are_polls, open_session),
        cmocka_unit_test_setup(repeats_of_a_poll_are_not_polls, open_session),
        cmocka_unit_test_setup(without_polling_there_is_no_limit, open_session),
        cmocka_unit_test_setup(sessions_that_hold_do_not_poll, open_session),
        cmocka_unit_test_setup(a_poll_that_was_aborted_unanswered_does_not_count, open_session),
        cmocka_unit_test_setup(the_acknowledged_answer_was_empty_all_the_same, open_session),
    };

    return cmocka_run_group_tests_name("polling", tests, NULL, NULL);
}
