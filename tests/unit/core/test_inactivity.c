/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* When inactivity counts, and pauses (XEP-0124 section 10). */

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

/* The session lives for exactly this long, if nothing happens. */
static void assert_lives_for(bosh_msec_t ms)
{
    d.now += ms - 1;
    tick(&d);
    assert_int_equal(d.s.state, BOSH_OPEN);
    d.now += 1;
    tick(&d);
    assert_int_equal(d.s.state, BOSH_CLOSING);
    assert_int_equal(d.s.reason, BOSH_REASON_INACTIVITY);
    assert_int_equal(count(&d, BOSH_DO_CLOSE), 1);
}

/* R .. are answered and written now. */
static void exchange(uint64_t rid)
{
    d.s.leg[0].has_down = 1;
    assert_int_equal(request(&d, rid, 0)->kind, BOSH_DO_ANSWER);
    wrote(&d, rid, d.holder);
}

static void inactivity_counts_from_the_last_answer(void **state)
{
    (void)state;
    exchange(R);
    assert_lives_for(BOSH_SEC(INACTIVITY));
}

static void late_request_after_inactivity_gets_item_not_found(void **state)
{
    const bosh_action_t *a;

    (void)state;
    exchange(R);
    assert_lives_for(BOSH_SEC(INACTIVITY));
    a = request(&d, R + 1, 0);
    assert_int_equal(a->answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(a->answer.condition, BOSH_COND_ITEM_NOT_FOUND);
}

static void inactivity_does_not_count_while_somebody_waits(void **state)
{
    (void)state;
    request(&d, R, 0);
    for (unsigned i = 0; i < 100; i++) {
        d.now += BOSH_SEC(1);
        tick(&d);
    }
    assert_int_equal(d.s.state, BOSH_OPEN);
    assert_true(bosh_session_is_attended(&d.s));
}

static void inactivity_counts_from_the_hang_up(void **state)
{
    (void)state;
    request(&d, R, 0);
    d.now += BOSH_SEC(50);
    hangs_up(&d, R, d.holder);
    assert_false(bosh_session_is_attended(&d.s));
    assert_lives_for(BOSH_SEC(INACTIVITY));
}

static void inactivity_does_not_count_while_an_answer_is_written(void **state)
{
    (void)state;
    d.s.leg[0].has_down = 1;
    request(&d, R, 0);
    assert_true(bosh_session_is_attended(&d.s));
    d.now += BOSH_WRITE_STUCK_MS - 1;
    tick(&d);
    assert_true(bosh_session_is_attended(&d.s));
    wrote(&d, R, d.holder);
    assert_lives_for(BOSH_SEC(INACTIVITY));
}

static void a_write_never_reported_lets_inactivity_count(void **state)
{
    (void)state;
    d.s.leg[0].has_down = 1;
    request(&d, R, 0);
    d.now += BOSH_WRITE_STUCK_MS;
    tick(&d);
    assert_false(bosh_session_is_attended(&d.s));
    assert_lives_for(BOSH_SEC(INACTIVITY));
}

static void a_slow_reader_has_its_time_after_the_last_byte(void **state)
{
    (void)state;
    d.s.leg[0].has_down = 1;
    request(&d, R, 0);
    d.now += BOSH_WRITE_STUCK_MS;
    tick(&d);
    d.now += BOSH_SEC(INACTIVITY) - 1000;
    wrote(&d, R, d.holder);
    assert_lives_for(BOSH_SEC(INACTIVITY));
}

static void a_repeated_answer_is_an_answer(void **state)
{
    (void)state;
    exchange(R);
    d.now += BOSH_SEC(INACTIVITY) - 1;
    assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_REPEAT);
    assert_lives_for(BOSH_SEC(INACTIVITY));
}

static void sending_while_a_request_is_held_is_no_inactivity(void **state)
{
    bosh_holder_t older;

    (void)state;
    request(&d, R, 0);
    older = d.holder;
    d.now += BOSH_SEC(10);
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    d.now += BOSH_GATHER_MS;
    comes_back(&d, R, older);
    wrote(&d, R, older);
    d.now += BOSH_SEC(2 * INACTIVITY);
    tick(&d);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void client_may_lose_interest_before_the_stream_opens(void **state)
{
    (void)state;
    drive_begin(&d, 1, WAIT);
    d.s.terms.connect_timeout = 100;
    hangs_up(&d, FIRST_RID, d.holder);
    d.now += BOSH_SEC(INACTIVITY);
    tick(&d);
    assert_int_equal(d.s.reason, BOSH_REASON_INACTIVITY);
}

static void pause_is_answered_at_once_without_payload(void **state)
{
    const bosh_action_t *a;

    (void)state;
    d.s.leg[0].has_down = 1;
    a = request_pause(&d, R, 100);
    assert_int_equal(a->kind, BOSH_DO_ANSWER);
    assert_int_equal(a->answer.kind, BOSH_ANSWER_DATA);
    assert_false(a->with_down);
    assert_int_equal(d.s.leg[0].has_down, 1);
}

static void pause_releases_all_that_is_held(void **state)
{
    bosh_holder_t held, pausing;

    (void)state;
    request(&d, R, 0);
    held = d.holder;
    d.now += 100;
    assert_int_equal(request_pause(&d, R + 1, 100)->kind, BOSH_DO_HOLD);
    pausing = d.holder;
    assert_true(woken(&d, held) == d.now);
    assert_int_equal(comes_back(&d, R, held)->kind, BOSH_DO_ANSWER);
    wrote(&d, R, held);
    d.now += BOSH_SPACING_MS;
    data(&d);
    assert_true(woken(&d, pausing) != 0 || slot_of(&d, R + 1)->due <= d.now);
    assert_int_equal(comes_back(&d, R + 1, pausing)->kind, BOSH_DO_ANSWER);
    assert_false(find(&d, BOSH_DO_ANSWER)->with_down);
}

static void pause_releases_all_of_a_wide_window(void **state)
{
    bosh_holder_t held[BOSH_MAX_REQUESTS + 1];

    (void)state;
    drive_open(&d, BOSH_MAX_REQUESTS - 1, WAIT);
    for (unsigned i = 0; i < BOSH_MAX_REQUESTS - 1; i++) {
        request(&d, R + i, 0);
        held[i] = d.holder;
    }
    d.now += 100;
    request_pause(&d, R + BOSH_MAX_REQUESTS - 1, 100);
    held[BOSH_MAX_REQUESTS - 1] = d.holder;
    for (unsigned i = 0; i < BOSH_MAX_REQUESTS; i++) {
        assert_int_equal(comes_back(&d, R + i, held[i])->kind, BOSH_DO_ANSWER);
        wrote(&d, R + i, held[i]);
        d.now += BOSH_SPACING_MS;
    }
    assert_false(bosh_session_is_attended(&d.s));
}

static void held_request_still_takes_payload_when_a_pause_comes(void **state)
{
    bosh_holder_t held;

    (void)state;
    request(&d, R, 0);
    held = d.holder;
    request_pause(&d, R + 1, 100);
    d.s.leg[0].has_down = 1;
    assert_true(comes_back(&d, R, held)->with_down);
}

static void pause_lengthens_inactivity_once(void **state)
{
    (void)state;
    request_pause(&d, R, 100);
    wrote(&d, R, d.holder);
    d.now += BOSH_SEC(100) - 1;
    tick(&d);
    assert_int_equal(d.s.state, BOSH_OPEN);
    exchange(R + 1);
    assert_lives_for(BOSH_SEC(INACTIVITY));
}

static void pause_that_is_not_ended_ends_the_session(void **state)
{
    (void)state;
    request_pause(&d, R, 100);
    wrote(&d, R, d.holder);
    assert_lives_for(BOSH_SEC(100));
}

static void pause_may_shorten_inactivity(void **state)
{
    (void)state;
    request_pause(&d, R, 3);
    wrote(&d, R, d.holder);
    assert_lives_for(BOSH_SEC(3));
}

static void longest_pause_is_allowed(void **state)
{
    (void)state;
    assert_int_equal(request_pause(&d, R, MAXPAUSE)->answer.kind, BOSH_ANSWER_DATA);
    wrote(&d, R, d.holder);
    assert_lives_for(BOSH_SEC(MAXPAUSE));
}

static void too_long_a_pause_breaks_the_policy(void **state)
{
    const bosh_action_t *a;

    (void)state;
    a = request_pause(&d, R, MAXPAUSE + 1);
    assert_int_equal(a->kind, BOSH_DO_ANSWER);
    assert_int_equal(a->answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(a->answer.condition, BOSH_COND_POLICY_VIOLATION);
    assert_int_equal(d.s.reason, BOSH_REASON_PAUSE);
}

static void stanzas_of_a_pause_come_with_the_next_request(void **state)
{
    (void)state;
    request_pause(&d, R, 100);
    wrote(&d, R, d.holder);
    data(&d);
    d.now += BOSH_SEC(90);
    assert_true(request(&d, R + 1, 0)->with_down);
}

static void repeated_pause_is_answered_the_same(void **state)
{
    (void)state;
    request_pause(&d, R, 100);
    wrote(&d, R, d.holder);
    data(&d);
    assert_int_equal(request_pause(&d, R, 100)->kind, BOSH_DO_REPEAT);
    assert_int_equal(find(&d, BOSH_DO_REPEAT)->answer.kind, BOSH_ANSWER_DATA);
}

static void pause_nobody_reads_is_passed_over(void **state)
{
    bosh_holder_t held;

    (void)state;
    request(&d, R, 0);
    held = d.holder;
    request_pause(&d, R + 1, 100);
    hangs_up(&d, R + 1, d.holder);
    assert_int_equal(comes_back(&d, R, held)->kind, BOSH_DO_ANSWER);
    wrote(&d, R, held);
    assert_false(bosh_session_is_attended(&d.s));
    assert_lives_for(BOSH_SEC(100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(inactivity_counts_from_the_last_answer, open_session),
        cmocka_unit_test_setup(late_request_after_inactivity_gets_item_not_found, open_session),
        cmocka_unit_test_setup(inactivity_does_not_count_while_somebody_waits, open_session),
        cmocka_unit_test_setup(inactivity_counts_from_the_hang_up, open_session),
        cmocka_unit_test_setup(inactivity_does_not_count_while_an_answer_is_written, open_session),
        cmocka_unit_test_setup(a_write_never_reported_lets_inactivity_count, open_session),
        cmocka_unit_test_setup(a_slow_reader_has_its_time_after_the_last_byte, open_session),
        cmocka_unit_test_setup(a_repeated_answer_is_an_answer, open_session),
        cmocka_unit_test_setup(sending_while_a_request_is_held_is_no_inactivity, open_session),
        cmocka_unit_test_setup(client_may_lose_interest_before_the_stream_opens, open_session),
        cmocka_unit_test_setup(pause_is_answered_at_once_without_payload, open_session),
        cmocka_unit_test_setup(pause_releases_all_that_is_held, open_session),
        cmocka_unit_test_setup(pause_releases_all_of_a_wide_window, open_session),
        cmocka_unit_test_setup(held_request_still_takes_payload_when_a_pause_comes, open_session),
        cmocka_unit_test_setup(pause_lengthens_inactivity_once, open_session),
        cmocka_unit_test_setup(pause_that_is_not_ended_ends_the_session, open_session),
        cmocka_unit_test_setup(pause_may_shorten_inactivity, open_session),
        cmocka_unit_test_setup(longest_pause_is_allowed, open_session),
        cmocka_unit_test_setup(too_long_a_pause_breaks_the_policy, open_session),
        cmocka_unit_test_setup(stanzas_of_a_pause_come_with_the_next_request, open_session),
        cmocka_unit_test_setup(repeated_pause_is_answered_the_same, open_session),
        cmocka_unit_test_setup(pause_nobody_reads_is_passed_over, open_session),
    };

    return cmocka_run_group_tests_name("inactivity", tests, NULL, NULL);
}
