/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * The distance between answers with stanzas (XEP-0124 section 14.2): kept until the client
 * has read the one before, or had time to.
 */

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

/* `rid` and the next one are open; `rid` has been answered with a stanza, just now. */
static bosh_holder_t answer_one_of_two_from(uint64_t rid)
{
    bosh_holder_t older, newer;

    request(&d, rid, 0);
    older = d.holder;
    d.now += 1;
    request(&d, rid + 1, BOSH_ASKS_PAYLOAD);
    newer = d.holder;
    data(&d);
    assert_true(comes_back(&d, rid, older)->with_down);
    d.now += 3;
    wrote(&d, rid, older);
    return newer;
}

static bosh_holder_t answer_one_of_two(void)
{
    return answer_one_of_two_from(R);
}

static void answers_with_stanzas_keep_their_distance(void **state)
{
    bosh_holder_t newer;

    (void)state;
    newer = answer_one_of_two();
    data(&d);
    assert_true(woken(&d, newer) == d.now + BOSH_SPACING_MS);
    d.now += BOSH_SPACING_MS - 1;
    assert_int_equal(comes_back(&d, R + 1, newer)->kind, BOSH_DO_HOLD);
    d.now += 1;
    assert_true(comes_back(&d, R + 1, newer)->with_down);
}

static void a_full_window_needs_no_distance(void **state)
{
    bosh_holder_t newer;

    (void)state;
    newer = answer_one_of_two();
    data(&d);
    /* the client read R's answer, or it could not have sent R + 2 */
    request(&d, R + 2, 0);
    assert_true(woken(&d, newer) == d.now);
    assert_true(comes_back(&d, R + 1, newer)->with_down);
}

/* The next answer after the newer one's: that may be unread again. */
static bosh_holder_t answer_both_from(uint64_t rid)
{
    bosh_holder_t newer = answer_one_of_two_from(rid);

    d.now += BOSH_MAX_SPACING_MS;
    data(&d);
    assert_true(comes_back(&d, rid + 1, newer)->with_down);
    wrote(&d, rid + 1, newer);
    d.now += 1;
    return newer;
}

static bosh_holder_t answer_both(void)
{
    return answer_both_from(R);
}

static void a_request_that_may_have_met_the_answer_on_its_way_needs_it(void **state)
{
    (void)state;
    answer_both();
    d.s.leg[0].has_down = 1;
    assert_int_equal(request(&d, R + 2, 0)->kind, BOSH_DO_HOLD);
    assert_true(slot_of(&d, R + 2)->due == d.now - 1 + BOSH_SPACING_MS);
}

static void a_request_on_the_connection_of_the_answer_needs_none(void **state)
{
    bosh_holder_t reader;

    (void)state;
    reader = answer_both();
    d.now -= 1; /* as fast as can be */
    d.s.leg[0].has_down = 1;
    assert_int_equal(request_as(&d, R + 2, (bosh_event_t){ .holder = reader })->kind,
                     BOSH_DO_ANSWER);
}

static void an_empty_answer_needs_none(void **state)
{
    bosh_holder_t older;

    (void)state;
    answer_both();
    request(&d, R + 2, 0);
    older = d.holder;
    d.now += 1;
    request(&d, R + 3, 0);
    assert_true(woken(&d, older) == d.now);
    assert_false(comes_back(&d, R + 2, older)->with_down);
}

static void nor_does_one_after_an_empty_answer(void **state)
{
    bosh_holder_t older, newer;

    (void)state;
    request(&d, R, 0);
    older = d.holder;
    d.now += 1;
    request(&d, R + 1, 0);
    newer = d.holder;
    assert_false(comes_back(&d, R, older)->with_down);
    wrote(&d, R, older);
    data(&d);
    assert_true(woken(&d, newer) == d.now);
}

static void a_client_with_one_request_at_a_time_is_never_kept_waiting(void **state)
{
    (void)state;
    for (uint64_t rid = R; rid < R + 9; rid++) {
        d.s.leg[0].has_down = 1;
        assert_true(request(&d, rid, 0)->with_down);
        wrote(&d, rid, d.holder);
    }
}

static void a_repeated_answer_counts(void **state)
{
    bosh_holder_t next;

    (void)state;
    d.s.leg[0].has_down = 1;
    request(&d, R, 0);
    wrote(&d, R, d.holder);
    d.now += BOSH_REACTION_MS + 1;
    request(&d, R + 1, 0);
    next = d.holder;
    request(&d, R, 0);
    data(&d);
    assert_true(woken(&d, next) == d.now + BOSH_SPACING_MS);
}

static void a_pause_is_granted_at_once(void **state)
{
    (void)state;
    answer_both();
    d.s.leg[0].has_down = 1;
    assert_int_equal(request(&d, R + 2, BOSH_ASKS_PAUSE)->kind, BOSH_DO_ANSWER);
}

/* Who reads of the end looks at nothing any more. */
static void the_servers_end_does_not_overtake_its_last_words(void **state)
{
    bosh_holder_t newer;

    (void)state;
    newer = answer_one_of_two();
    stream_ended(&d, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_ERROR);
    assert_true(woken(&d, newer) == d.now + BOSH_SPACING_MS);
    d.now += BOSH_SPACING_MS;
    assert_int_equal(comes_back(&d, R + 1, newer)->answer.kind, BOSH_ANSWER_TERMINATE);
}

static void a_shutdown_does_not_wait(void **state)
{
    bosh_holder_t newer;

    (void)state;
    newer = answer_one_of_two();
    ended_by_us(&d, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN);
    assert_true(woken(&d, newer) == d.now);
}

static void nor_does_the_clients_own_end(void **state)
{
    bosh_holder_t newer;

    (void)state;
    newer = answer_one_of_two();
    request(&d, R + 2, BOSH_ASKS_TERMINATE);
    assert_true(woken(&d, newer) == d.now);
}

/* It reads the answer before the holder says that it is written, and asks again. */
static void a_quick_client_is_not_taken_for_a_parallel_one(void **state)
{
    bosh_holder_t older;

    (void)state;
    request(&d, R, 0);
    older = d.holder;
    data(&d);
    assert_true(comes_back(&d, R, older)->with_down);
    request(&d, R + 1, 0);
    wrote(&d, R, older);
    data(&d);
    assert_true(woken(&d, d.holder) == d.now);
}

/* Has R's answer with stanzas, and reads it for so long. */
static void react_after(uint64_t rid, bosh_msec_t time)
{
    d.s.leg[0].has_down = 1;
    assert_int_equal(request(&d, rid, 0)->kind, BOSH_DO_ANSWER);
    wrote(&d, rid, d.holder);
    d.now += time;
}

/* Of the answers to this request and the next one. */
static bosh_msec_t distance_at(uint64_t rid)
{
    bosh_holder_t newer = answer_one_of_two_from(rid);

    data(&d);
    return woken(&d, newer) - d.now;
}

static void a_slow_client_has_twice_the_time_that_it_took(void **state)
{
    (void)state;
    react_after(R, 180);
    assert_true(distance_at(R + 1) == 360);
}

static void but_not_all_the_time(void **state)
{
    (void)state;
    react_after(R, 900);
    assert_true(distance_at(R + 1) == BOSH_MAX_SPACING_MS);
}

static void it_is_slow_no_more_when_it_was_quick_for_a_while(void **state)
{
    uint64_t rid = R;

    (void)state;
    react_after(rid++, 400);
    for (; rid < R + 9; rid++) {
        react_after(rid, 1);
    }
    assert_true(distance_at(rid) == BOSH_SPACING_MS);
}

static void its_slowest_reaction_counts_for_longer(void **state)
{
    (void)state;
    react_after(R, 240);
    react_after(R + 1, 20);
    assert_true(distance_at(R + 2) == 360);
}

/* It was awake when it sent the next request, and about to read. */
static void a_newer_request_says_that_a_slow_client_is_awake(void **state)
{
    (void)state;
    react_after(R, 400);
    answer_both_from(R + 1);
    d.now += 20;
    d.s.leg[0].has_down = 1;
    assert_int_equal(request(&d, R + 3, 0)->kind, BOSH_DO_HOLD);
    assert_true(slot_of(&d, R + 3)->due == d.now + BOSH_SPACING_MS);
}

/* A page that was loaded anew, or a client that was paused. */
static void a_client_that_was_elsewhere_is_not_slow(void **state)
{
    (void)state;
    react_after(R, 5000);
    assert_true(distance_at(R + 1) == BOSH_SPACING_MS);
}

static void nor_is_one_that_has_a_request_open(void **state)
{
    (void)state;
    answer_one_of_two();
    d.now += 400;
    request(&d, R + 2, 0);
    assert_int_equal(d.s.reaction, 0);
}

static void nor_one_that_polls(void **state)
{
    (void)state;
    drive_open(&d, 0, WAIT);
    for (uint64_t rid = R; rid < R + 3; rid++) {
        react_after(rid, 600);
    }
    assert_int_equal(d.s.reaction, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(answers_with_stanzas_keep_their_distance, open_session),
        cmocka_unit_test_setup(a_full_window_needs_no_distance, open_session),
        cmocka_unit_test_setup(a_request_that_may_have_met_the_answer_on_its_way_needs_it,
                               open_session),
        cmocka_unit_test_setup(a_request_on_the_connection_of_the_answer_needs_none, open_session),
        cmocka_unit_test_setup(an_empty_answer_needs_none, open_session),
        cmocka_unit_test_setup(nor_does_one_after_an_empty_answer, open_session),
        cmocka_unit_test_setup(a_client_with_one_request_at_a_time_is_never_kept_waiting,
                               open_session),
        cmocka_unit_test_setup(a_quick_client_is_not_taken_for_a_parallel_one, open_session),
        cmocka_unit_test_setup(a_repeated_answer_counts, open_session),
        cmocka_unit_test_setup(a_pause_is_granted_at_once, open_session),
        cmocka_unit_test_setup(the_servers_end_does_not_overtake_its_last_words, open_session),
        cmocka_unit_test_setup(a_shutdown_does_not_wait, open_session),
        cmocka_unit_test_setup(nor_does_the_clients_own_end, open_session),
        cmocka_unit_test_setup(a_slow_client_has_twice_the_time_that_it_took, open_session),
        cmocka_unit_test_setup(but_not_all_the_time, open_session),
        cmocka_unit_test_setup(it_is_slow_no_more_when_it_was_quick_for_a_while, open_session),
        cmocka_unit_test_setup(its_slowest_reaction_counts_for_longer, open_session),
        cmocka_unit_test_setup(a_newer_request_says_that_a_slow_client_is_awake, open_session),
        cmocka_unit_test_setup(a_client_that_was_elsewhere_is_not_slow, open_session),
        cmocka_unit_test_setup(nor_is_one_that_has_a_request_open, open_session),
        cmocka_unit_test_setup(nor_one_that_polls, open_session),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
