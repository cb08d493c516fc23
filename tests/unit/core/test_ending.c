/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Ends: the client's, the server's, ours; who is told, and what comes with it. */

#include "drive.h"

#include "unit.h"

#define R      (FIRST_RID + 1)
#define LINGER BOSH_SEC(30)

static drive_t d;

static int open_session(void **state)
{
    (void)state;
    drive_open(&d, 1, WAIT);
    return 0;
}

static void assert_terminates(const bosh_action_t *a, bosh_condition_t condition)
{
    assert_int_equal(a->answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(a->answer.condition, condition);
}

static void terminate_forwards_its_payload_before_the_close(void **state)
{
    const bosh_action_t *a;

    (void)state;
    a = request(&d, R, BOSH_ASKS_TERMINATE | BOSH_ASKS_PAYLOAD);
    assert_int_equal(a->kind, BOSH_DO_ANSWER);
    assert_terminates(a, BOSH_COND_NONE);
    assert_int_equal(d.acts.a[0].kind, BOSH_DO_STORE);
    assert_int_equal(d.acts.a[1].kind, BOSH_DO_FORWARD);
    assert_int_equal(d.acts.a[2].kind, BOSH_DO_CLOSE);
    assert_int_equal(d.s.state, BOSH_CLOSING);
    assert_int_equal(d.s.reason, BOSH_REASON_CLIENT);
}

static void oldest_gets_the_end_and_others_an_empty_body(void **state)
{
    bosh_holder_t oldest, ending;

    (void)state;
    request(&d, R, 0);
    oldest = d.holder;
    d.now += 100;
    assert_int_equal(request(&d, R + 1, BOSH_ASKS_TERMINATE)->kind, BOSH_DO_HOLD);
    ending = d.holder;
    assert_true(woken(&d, oldest) == d.now);
    assert_terminates(comes_back(&d, R, oldest), BOSH_COND_NONE);
    wrote(&d, R, oldest);
    assert_true(woken(&d, ending) == d.now);
    assert_int_equal(comes_back(&d, R + 1, ending)->answer.kind, BOSH_ANSWER_DATA);
    assert_false(find(&d, BOSH_DO_ANSWER)->with_down);
}

static void end_skips_those_who_left(void **state)
{
    (void)state;
    request(&d, R, 0);
    hangs_up(&d, R, d.holder);
    data(&d);
    assert_terminates(request(&d, R + 1, BOSH_ASKS_TERMINATE), BOSH_COND_NONE);
    assert_true(find(&d, BOSH_DO_ANSWER)->slot == R % BOSH_SLOTS); /* skipped, empty */
    assert_int_equal(d.s.leg[0].has_down, 0);
}

static void waiting_stanzas_come_with_the_end(void **state)
{
    bosh_holder_t held;
    const bosh_action_t *a;

    (void)state;
    request(&d, R, 0);
    held = d.holder;
    data(&d);
    stream_ended(&d, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_ERROR);
    assert_int_equal(d.s.state, BOSH_ENDED);
    a = comes_back(&d, R, held);
    assert_terminates(a, BOSH_COND_REMOTE_STREAM_ERROR);
    assert_true(a->with_down);
}

static void waiting_stanzas_come_with_the_end_even_if_nobody_waited(void **state)
{
    const bosh_action_t *a;

    (void)state;
    data(&d);
    stream_ended(&d, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_ERROR);
    d.now += 2000;
    a = request(&d, R, BOSH_ASKS_PAYLOAD);
    assert_int_equal(a->kind, BOSH_DO_ANSWER);
    assert_terminates(a, BOSH_COND_REMOTE_STREAM_ERROR);
    assert_true(a->with_down);
    assert_int_equal(count(&d, BOSH_DO_STORE) + count(&d, BOSH_DO_FORWARD), 0);
    /* and are repeated with it */
    wrote(&d, R, d.holder);
    assert_int_equal(request(&d, R, BOSH_ASKS_PAYLOAD)->kind, BOSH_DO_REPEAT);
}

/* A page was left, and the stream ended before the next page asked. */
static void waiting_stanzas_come_with_the_end_after_an_aborted_poll(void **state)
{
    (void)state;
    request(&d, R, 0);
    hangs_up(&d, R, d.holder);
    data(&d);
    stream_ended(&d, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_ERROR);
    d.now += 500;
    assert_terminates(request(&d, R + 1, 0), BOSH_COND_REMOTE_STREAM_ERROR);
    assert_int_equal(d.s.leg[0].has_down, 0);
}

static void next_request_after_the_end_waits_for_the_older_one(void **state)
{
    bosh_holder_t older, newer;

    (void)state;
    request(&d, R, 0);
    older = d.holder;
    data(&d);
    stream_ended(&d, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_ERROR);
    request(&d, R + 1, 0);
    newer = d.holder;
    assert_true(comes_back(&d, R, older)->with_down);
    wrote(&d, R, older);
    assert_true(woken(&d, newer) == d.now);
    assert_int_equal(comes_back(&d, R + 1, newer)->answer.kind, BOSH_ANSWER_DATA);
}

static void late_requests_learn_the_true_condition(void **state)
{
    (void)state;
    stream_ended(&d, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN);
    assert_terminates(request(&d, R, 0), BOSH_COND_SYSTEM_SHUTDOWN);
    wrote(&d, R, d.holder);
    for (uint64_t rid = R + 1; rid < R + 40; rid++) {
        assert_terminates(request(&d, rid, BOSH_ASKS_PAYLOAD), BOSH_COND_SYSTEM_SHUTDOWN);
        assert_int_equal(d.acts.n, 1);
    }
    assert_terminates(request(&d, FIRST_RID - 5, 0), BOSH_COND_SYSTEM_SHUTDOWN);
}

static void condition_of_the_first_end_stays(void **state)
{
    (void)state;
    request(&d, R, BOSH_ASKS_TERMINATE);
    ended_by_us(&d, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN);
    stream_ended(&d, BOSH_COND_REMOTE_CONNECTION_FAILED, BOSH_REASON_STREAM_LOST);
    assert_int_equal(d.s.condition, BOSH_COND_NONE);
    assert_int_equal(d.s.reason, BOSH_REASON_CLIENT);
    assert_int_equal(d.s.state, BOSH_ENDED);
}

static void kept_answers_are_repeated_after_the_end(void **state)
{
    (void)state;
    d.s.leg[0].has_down = 1;
    request(&d, R, 0);
    wrote(&d, R, d.holder);
    request(&d, R + 1, BOSH_ASKS_TERMINATE);
    wrote(&d, R + 1, d.holder);
    assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_REPEAT);
    assert_int_equal(find(&d, BOSH_DO_REPEAT)->answer.kind, BOSH_ANSWER_DATA);
    assert_int_equal(request(&d, R + 1, 0)->kind, BOSH_DO_REPEAT);
    assert_int_equal(find(&d, BOSH_DO_REPEAT)->answer.kind, BOSH_ANSWER_TERMINATE);
}

static void early_request_is_released_by_the_end(void **state)
{
    bosh_holder_t early;

    (void)state;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    early = d.holder;
    stream_ended(&d, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_ERROR);
    assert_true(woken(&d, early) == d.now);
    /* nobody else is there to be told */
    assert_terminates(comes_back(&d, R + 1, early), BOSH_COND_REMOTE_STREAM_ERROR);
}

static void early_request_leaves_the_end_to_a_held_one(void **state)
{
    bosh_holder_t held, early;

    (void)state;
    drive_open(&d, 2, WAIT);
    request(&d, R, 0);
    held = d.holder;
    request(&d, R + 2, 0);
    early = d.holder;
    ended_by_us(&d, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN);
    assert_int_equal(comes_back(&d, R + 2, early)->answer.kind, BOSH_ANSWER_DATA);
    assert_terminates(comes_back(&d, R, held), BOSH_COND_SYSTEM_SHUTDOWN);
}

static void early_request_repeated_after_the_end_is_not_held(void **state)
{
    (void)state;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    hangs_up(&d, R + 1, d.holder);
    stream_ended(&d, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_ERROR);
    assert_terminates(request(&d, R + 1, BOSH_ASKS_PAYLOAD), BOSH_COND_REMOTE_STREAM_ERROR);
}

static void nothing_goes_up_after_the_clients_end(void **state)
{
    (void)state;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    request(&d, R, BOSH_ASKS_PAYLOAD | BOSH_ASKS_TERMINATE);
    assert_int_equal(count(&d, BOSH_DO_FORWARD), 1);
    request(&d, R + 2, BOSH_ASKS_PAYLOAD);
    assert_int_equal(count(&d, BOSH_DO_FORWARD), 0);
}

static void our_end_closes_the_stream_once(void **state)
{
    (void)state;
    ended_by_us(&d, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN);
    assert_int_equal(count(&d, BOSH_DO_CLOSE), 1);
    ended_by_us(&d, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN);
    assert_int_equal(count(&d, BOSH_DO_CLOSE), 0);
}

static void stanzas_that_come_while_closing_are_delivered(void **state)
{
    const bosh_action_t *a;

    (void)state;
    ended_by_us(&d, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN);
    data(&d);
    a = request(&d, R, 0);
    assert_terminates(a, BOSH_COND_SYSTEM_SHUTDOWN);
    assert_true(a->with_down);
}

static void terminate_answer_waits_for_the_writer_before(void **state)
{
    bosh_holder_t first;

    (void)state;
    d.s.leg[0].has_down = 1;
    request(&d, R, 0);
    first = d.holder;
    d.now += 1;
    assert_int_equal(request(&d, R + 1, BOSH_ASKS_TERMINATE)->kind, BOSH_DO_HOLD);
    wrote(&d, R, first);
    assert_true(woken(&d, d.holder) == d.now);
    assert_terminates(comes_back(&d, R + 1, d.holder), BOSH_COND_NONE);
}

static void is_forgotten_after_a_while(void **state)
{
    (void)state;
    stream_ended(&d, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_CLOSED);
    d.now += LINGER - 1;
    tick(&d);
    assert_null(find(&d, BOSH_DO_FREE));
    d.now += 1;
    tick(&d);
    assert_int_equal(count(&d, BOSH_DO_FREE), 1);
}

static void is_not_forgotten_while_closing(void **state)
{
    (void)state;
    ended_by_us(&d, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN);
    d.now += 100 * LINGER;
    tick(&d);
    assert_null(find(&d, BOSH_DO_FREE));
}

static void is_not_forgotten_while_somebody_waits_or_writes(void **state)
{
    (void)state;
    request(&d, R, 0);
    stream_ended(&d, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_CLOSED);
    d.now += LINGER;
    tick(&d);
    assert_null(find(&d, BOSH_DO_FREE));
    comes_back(&d, R, d.holder);
    tick(&d);
    assert_null(find(&d, BOSH_DO_FREE));
    wrote(&d, R, d.holder);
    tick(&d);
    assert_non_null(find(&d, BOSH_DO_FREE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(terminate_forwards_its_payload_before_the_close, open_session),
        cmocka_unit_test_setup(oldest_gets_the_end_and_others_an_empty_body, open_session),
        cmocka_unit_test_setup(end_skips_those_who_left, open_session),
        cmocka_unit_test_setup(waiting_stanzas_come_with_the_end, open_session),
        cmocka_unit_test_setup(waiting_stanzas_come_with_the_end_even_if_nobody_waited,
                               open_session),
        cmocka_unit_test_setup(waiting_stanzas_come_with_the_end_after_an_aborted_poll,
                               open_session),
        cmocka_unit_test_setup(next_request_after_the_end_waits_for_the_older_one, open_session),
        cmocka_unit_test_setup(late_requests_learn_the_true_condition, open_session),
        cmocka_unit_test_setup(condition_of_the_first_end_stays, open_session),
        cmocka_unit_test_setup(kept_answers_are_repeated_after_the_end, open_session),
        cmocka_unit_test_setup(early_request_is_released_by_the_end, open_session),
        cmocka_unit_test_setup(early_request_leaves_the_end_to_a_held_one, open_session),
        cmocka_unit_test_setup(early_request_repeated_after_the_end_is_not_held, open_session),
        cmocka_unit_test_setup(nothing_goes_up_after_the_clients_end, open_session),
        cmocka_unit_test_setup(our_end_closes_the_stream_once, open_session),
        cmocka_unit_test_setup(stanzas_that_come_while_closing_are_delivered, open_session),
        cmocka_unit_test_setup(terminate_answer_waits_for_the_writer_before, open_session),
        cmocka_unit_test_setup(is_forgotten_after_a_while, open_session),
        cmocka_unit_test_setup(is_not_forgotten_while_closing, open_session),
        cmocka_unit_test_setup(is_not_forgotten_while_somebody_waits_or_writes, open_session),
    };

    return cmocka_run_group_tests_name("ending", tests, NULL, NULL);
}
