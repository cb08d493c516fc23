/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* The creation request waits for the server's features, and who else ends its wait. */

#include "drive.h"

#include "unit.h"

static drive_t d;

static void holds_the_creation_answer_for_the_features(void **state)
{
    bosh_holder_t creator;
    const bosh_action_t *a;

    (void)state;
    drive_begin(&d, 1, WAIT);
    creator = d.holder;
    d.now += 500;
    opened(&d);
    assert_true(woken(&d, creator) == d.now);
    a = comes_back(&d, FIRST_RID, creator);
    assert_int_equal(a->kind, BOSH_DO_ANSWER);
    assert_int_equal(a->answer.kind, BOSH_ANSWER_CREATED);
    assert_true(a->with_down);
    assert_true(a->answer.greets);
    assert_int_equal(d.s.leg[0].has_down, 0);
}

static void answers_without_features_when_wait_is_over(void **state)
{
    const bosh_action_t *a;

    (void)state;
    drive_begin(&d, 1, 10);
    assert_true(find(&d, BOSH_DO_HOLD)->due == d.now + BOSH_SEC(10));
    d.now += BOSH_SEC(10);
    a = comes_back(&d, FIRST_RID, d.holder);
    assert_int_equal(a->kind, BOSH_DO_ANSWER);
    assert_int_equal(a->answer.kind, BOSH_ANSWER_CREATED);
    assert_false(a->with_down);
    assert_false(a->answer.greets);
    assert_int_equal(d.s.state, BOSH_OPENING);
}

static void late_features_come_with_the_next_answer(void **state)
{
    bosh_holder_t creator;

    (void)state;
    drive_begin(&d, 1, 10);
    creator = d.holder;
    d.now += BOSH_SEC(10);
    comes_back(&d, FIRST_RID, creator);
    wrote(&d, FIRST_RID, creator);
    d.now += 100;
    assert_int_equal(request(&d, FIRST_RID + 1, 0)->kind, BOSH_DO_HOLD);
    opened(&d);
    assert_int_equal(d.s.state, BOSH_OPEN);
    assert_true(woken(&d, d.holder) == d.now);
    assert_true(comes_back(&d, FIRST_RID + 1, d.holder)->with_down);
    assert_int_equal(find(&d, BOSH_DO_ANSWER)->answer.kind, BOSH_ANSWER_DATA);
    assert_true(find(&d, BOSH_DO_ANSWER)->answer.greets);
    wrote(&d, FIRST_RID + 1, d.holder);
    data(&d);
    assert_true(request(&d, FIRST_RID + 2, 0)->with_down);
    assert_false(find(&d, BOSH_DO_ANSWER)->answer.greets);
}

static void the_stream_id_is_not_told_to_who_has_gone(void **state)
{
    (void)state;
    drive_begin(&d, 1, 10);
    d.now += BOSH_SEC(10);
    comes_back(&d, FIRST_RID, d.holder);
    wrote(&d, FIRST_RID, d.holder);
    request(&d, FIRST_RID + 1, 0);
    hangs_up(&d, FIRST_RID + 1, d.holder);
    opened(&d);
    d.now += 100;
    assert_true(request(&d, FIRST_RID + 2, 0)->with_down);
    assert_false(slot_of(&d, FIRST_RID + 1)->answer.greets);
    assert_true(slot_of(&d, FIRST_RID + 2)->answer.greets);
}

static void coming_back_too_soon_is_told_the_same_time(void **state)
{
    bosh_msec_t due;

    (void)state;
    drive_begin(&d, 1, 10);
    due = find(&d, BOSH_DO_HOLD)->due;
    d.now += BOSH_SEC(10) - 1;
    assert_int_equal(comes_back(&d, FIRST_RID, d.holder)->kind, BOSH_DO_HOLD);
    assert_true(find(&d, BOSH_DO_HOLD)->due == due);
}

static void polling_client_gets_its_features_in_the_first_answer_too(void **state)
{
    (void)state;
    drive_begin(&d, 0, 0);
    d.now += 300;
    opened(&d);
    assert_true(woken(&d, d.holder) == d.now);
    assert_true(comes_back(&d, FIRST_RID, d.holder)->with_down);
}

static void connect_timeout_ends_the_session_with_its_condition(void **state)
{
    const bosh_action_t *a;

    (void)state;
    drive_begin(&d, 0, 0);
    d.now += BOSH_SEC(CONNECT) - 1;
    tick(&d);
    assert_int_equal(d.s.state, BOSH_OPENING);
    assert_int_equal(d.acts.n, 0);
    d.now += 1;
    tick(&d);
    assert_int_equal(d.s.state, BOSH_CLOSING);
    assert_int_equal(d.s.reason, BOSH_REASON_CONNECT_TIMEOUT);
    assert_non_null(find(&d, BOSH_DO_CLOSE));
    assert_true(woken(&d, d.holder) == d.now);
    a = comes_back(&d, FIRST_RID, d.holder);
    assert_int_equal(a->answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(a->answer.condition, BOSH_COND_REMOTE_CONNECTION_FAILED);
}

static void failed_connection_is_told_to_who_waits(void **state)
{
    const bosh_action_t *a;

    (void)state;
    drive_begin(&d, 1, WAIT);
    stream_ended(&d, BOSH_COND_HOST_UNKNOWN, BOSH_REASON_CONNECT_FAILED);
    assert_int_equal(d.s.state, BOSH_ENDED);
    assert_null(find(&d, BOSH_DO_CLOSE));
    assert_true(woken(&d, d.holder) == d.now);
    a = comes_back(&d, FIRST_RID, d.holder);
    assert_int_equal(a->answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(a->answer.condition, BOSH_COND_HOST_UNKNOWN);
}

static void payload_of_the_creation_request_goes_up(void **state)
{
    bosh_terms_t terms = { .rid = 7, .wait = 60, .hold = 1, .requests = 2, .inactivity = 30 };

    (void)state;
    d = (drive_t){ .now = 5000 };
    bosh_session_init(&d.s, &terms, d.now);
    assert_int_equal(request(&d, 7, BOSH_ASKS_PAYLOAD)->kind, BOSH_DO_HOLD);
    assert_int_equal(d.acts.a[0].kind, BOSH_DO_STORE);
    assert_int_equal(d.acts.a[1].kind, BOSH_DO_FORWARD);
    assert_int_equal(d.acts.a[1].slot, 7);
}

static void repeated_creation_answer_is_the_same(void **state)
{
    const bosh_action_t *a;

    (void)state;
    drive_open(&d, 1, WAIT);
    a = request(&d, FIRST_RID, 0);
    assert_int_equal(a->kind, BOSH_DO_REPEAT);
    assert_int_equal(a->answer.kind, BOSH_ANSWER_CREATED);
    assert_int_equal(a->slot, FIRST_RID % BOSH_SLOTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_the_creation_answer_for_the_features),
        cmocka_unit_test(answers_without_features_when_wait_is_over),
        cmocka_unit_test(late_features_come_with_the_next_answer),
        cmocka_unit_test(the_stream_id_is_not_told_to_who_has_gone),
        cmocka_unit_test(coming_back_too_soon_is_told_the_same_time),
        cmocka_unit_test(polling_client_gets_its_features_in_the_first_answer_too),
        cmocka_unit_test(connect_timeout_ends_the_session_with_its_condition),
        cmocka_unit_test(failed_connection_is_told_to_who_waits),
        cmocka_unit_test(payload_of_the_creation_request_goes_up),
        cmocka_unit_test(repeated_creation_answer_is_the_same),
    };

    return cmocka_run_group_tests_name("creation", tests, NULL, NULL);
}
