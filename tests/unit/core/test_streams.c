/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Several streams in one session: adding, and payloads (XEP-0124 section 16). */

#include "streams.h"
#include "unit.h"

static void assert_goes_up(bosh_action_kind_t kind, uint8_t stream)
{
    const bosh_action_t *a = find(&d, kind);

    assert_non_null(a);
    assert_int_equal(a->stream, stream);
    assert_int_equal(a->slot, (next - 1) % BOSH_SLOTS);
    assert_int_equal(count(&d, kind), 1);
}

static void creation_answer_names_the_first_stream_if_there_can_be_more(void **state)
{
    (void)state;
    for (uint8_t streams = 0; streams <= 2; streams++) {
        bosh_holder_t creator;

        drive_begin(&d, 1, WAIT);
        d.s.terms.streams = streams;
        creator = d.holder;
        opened(&d);
        assert_int_equal(comes_back(&d, FIRST_RID, creator)->answer.stream,
                         streams > 1 ? 0 : BOSH_NO_STREAM);
    }
}

static void a_stream_is_added_and_named_at_once(void **state)
{
    bosh_action_t a;

    (void)state;
    a = *ask(BOSH_ASKS_ADD, BOSH_NO_STREAM);
    assert_int_equal(d.acts.a[0].kind, BOSH_DO_STORE);
    assert_goes_up(BOSH_DO_OPEN, 1);
    assert_int_equal(a.answer.kind, BOSH_ANSWER_STREAM);
    assert_int_equal(a.answer.stream, 1);
    assert_false(a.with_down);
    assert_int_equal(d.s.leg[1].state, BOSH_LEG_OPENING);
}

static void who_waits_for_a_name_releases_all_before(void **state)
{
    bosh_holder_t held;

    (void)state;
    drive_open(&d, 2, WAIT);
    d.s.terms.streams = 2;
    next = R;
    ask(0, BOSH_NO_STREAM);
    held = d.holder;
    assert_int_equal(ask(BOSH_ASKS_ADD, BOSH_NO_STREAM)->kind, BOSH_DO_HOLD);
    assert_true(woken(&d, held) == d.now);
    assert_int_equal(comes_back(&d, R, held)->answer.kind, BOSH_ANSWER_DATA);
    wrote(&d, R, held);
    d.now += BOSH_SPACING_MS;
    assert_int_equal(comes_back(&d, R + 1, d.holder)->answer.kind, BOSH_ANSWER_STREAM);
}

static void without_the_feature_it_is_an_ordinary_request(void **state)
{
    (void)state;
    for (uint8_t streams = 0; streams < 2; streams++) {
        open_session(state);
        d.s.terms.streams = streams;
        assert_int_equal(ask(BOSH_ASKS_ADD, BOSH_BAD_STREAM)->kind, BOSH_DO_HOLD);
        assert_int_equal(count(&d, BOSH_DO_STORE) + count(&d, BOSH_DO_OPEN), 0);
        ask(BOSH_ASKS_PAYLOAD, BOSH_BAD_STREAM);
        assert_goes_up(BOSH_DO_FORWARD, 0);
    }
}

static void with_a_payload_it_is_an_ordinary_request(void **state)
{
    (void)state;
    ask(BOSH_ASKS_ADD | BOSH_ASKS_PAYLOAD, BOSH_NO_STREAM);
    assert_int_equal(count(&d, BOSH_DO_OPEN), 0);
    assert_goes_up(BOSH_DO_FORWARD, 0);
}

static void who_says_to_with_a_payload_too_means_nothing_by_it(void **state)
{
    (void)state;
    ask(BOSH_ASKS_PAYLOAD | BOSH_ASKS_TO, BOSH_NO_STREAM);
    ask(BOSH_ASKS_ADD | BOSH_ASKS_TO, BOSH_NO_STREAM);
    assert_int_equal(count(&d, BOSH_DO_OPEN), 0);
}

static void who_says_to_with_a_restart_may_mean_it_later(void **state)
{
    (void)state;
    ask(BOSH_ASKS_RESTART | BOSH_ASKS_TO, BOSH_NO_STREAM);
    ask(BOSH_ASKS_ADD | BOSH_ASKS_TO, BOSH_NO_STREAM);
    assert_int_equal(count(&d, BOSH_DO_OPEN), 1);
}

static void there_are_no_more_than_allowed(void **state)
{
    (void)state;
    d.s.terms.streams = 3;
    add(1);
    add(2);
    assert_int_equal(ask(BOSH_ASKS_ADD, BOSH_NO_STREAM)->kind, BOSH_DO_HOLD);
    assert_int_equal(count(&d, BOSH_DO_OPEN), 0);
    assert_int_equal(d.s.legs, 3);
}

static void numbers_are_not_used_again(void **state)
{
    (void)state;
    for (uint8_t i = 1; i < BOSH_MAX_STREAMS; i++) {
        add(i);
        stream_ended_on(&d, i, BOSH_COND_REMOTE_CONNECTION_FAILED, BOSH_REASON_CONNECT_FAILED);
        bosh_action_t a = get(0, BOSH_NO_STREAM);
        assert_leg_ends(&a, i, BOSH_COND_REMOTE_CONNECTION_FAILED);
    }
    assert_int_equal(ask(BOSH_ASKS_ADD, BOSH_NO_STREAM)->kind, BOSH_DO_HOLD);
}

static void a_refused_stream_is_named_and_ended_in_one_answer(void **state)
{
    bosh_action_t a;

    (void)state;
    d.now += 100;
    a = *request_as(&d, R,
                    (bosh_event_t){ .asks = BOSH_ASKS_ADD,
                                    .stream = BOSH_NO_STREAM,
                                    .condition = BOSH_COND_HOST_UNKNOWN });
    assert_leg_ends(&a, 1, BOSH_COND_HOST_UNKNOWN);
    assert_int_equal(count(&d, BOSH_DO_OPEN), 0);
    wrote(&d, R, d.holder);
    assert_int_equal(d.s.state, BOSH_OPEN);
    assert_int_equal(d.s.leg[1].state, BOSH_LEG_GONE);
    next = R + 1;
    assert_int_equal(ask(0, BOSH_NO_STREAM)->kind, BOSH_DO_HOLD); /* nothing more is told of it */
}

static void an_early_one_is_added_in_its_turn(void **state)
{
    (void)state;
    next = R + 1;
    ask(BOSH_ASKS_ADD, BOSH_NO_STREAM);
    assert_int_equal(count(&d, BOSH_DO_OPEN), 0);
    assert_int_equal(d.s.legs, 1);
    request(&d, R, 0);
    assert_int_equal(count(&d, BOSH_DO_OPEN), 1);
}

static void repeated_request_adds_nothing(void **state)
{
    (void)state;
    add(1);
    next--;
    bosh_action_t a = *ask(BOSH_ASKS_ADD, BOSH_NO_STREAM);
    assert_int_equal(a.kind, BOSH_DO_REPEAT);
    assert_int_equal(a.answer.stream, 1);
    assert_int_equal(d.s.legs, 2);
}

/* ---- payloads ---------------------------------------------------------------- */

static void payloads_go_to_the_stream_they_name(void **state)
{
    (void)state;
    for (uint8_t i = 0; i < 2; i++) {
        open_two(state);
        ask(BOSH_ASKS_PAYLOAD, i);
        assert_goes_up(BOSH_DO_FORWARD, i);
    }
}

static void payloads_without_a_name_go_to_all(void **state)
{
    (void)state;
    ask(BOSH_ASKS_PAYLOAD, BOSH_NO_STREAM);
    assert_goes_up(BOSH_DO_FORWARD, BOSH_NO_STREAM);
}

static void payloads_without_a_name_go_to_the_only_one_there_is(void **state)
{
    (void)state;
    stream_ended_on(&d, 0, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_CLOSED);
    ask(BOSH_ASKS_PAYLOAD, BOSH_NO_STREAM);
    assert_goes_up(BOSH_DO_FORWARD, 1);
}

static void payloads_for_a_stream_that_is_gone_are_ignored(void **state)
{
    (void)state;
    stream_ended_on(&d, 1, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_CLOSED);
    ask(BOSH_ASKS_PAYLOAD, 1);
    assert_int_equal(count(&d, BOSH_DO_FORWARD), 0);
    wrote(&d, next - 1, d.holder);
    ask(BOSH_ASKS_RESTART, 1);
    assert_int_equal(count(&d, BOSH_DO_RESTART), 0);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void a_name_that_never_was_ends_the_session(void **state)
{
    static const uint8_t asks[] = { BOSH_ASKS_PAYLOAD, BOSH_ASKS_RESTART, BOSH_ASKS_TERMINATE };

    for (unsigned i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
        for (uint8_t name = 2; name < BOSH_NO_STREAM; name = name == 2 ? BOSH_BAD_STREAM : 255) {
            open_two(state);
            bosh_action_t a = *ask(asks[i], name);
            assert_int_equal(a.answer.kind, BOSH_ANSWER_TERMINATE);
            assert_int_equal(a.answer.condition, BOSH_COND_ITEM_NOT_FOUND);
            assert_int_equal(a.answer.stream, BOSH_NO_STREAM);
            assert_int_equal(d.s.reason, BOSH_REASON_STREAM);
            assert_int_equal(count(&d, BOSH_DO_FORWARD) + count(&d, BOSH_DO_RESTART), 0);
            assert_int_equal(count(&d, BOSH_DO_CLOSE), 2);
        }
    }
}

/* "the receiving entity SHOULD ignore the attribute" */
static void an_empty_request_may_name_anything(void **state)
{
    (void)state;
    ask(0, BOSH_BAD_STREAM);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void restart_goes_to_the_named_or_the_first_open_stream(void **state)
{
    (void)state;
    ask(BOSH_ASKS_RESTART, 1);
    assert_goes_up(BOSH_DO_RESTART, 1);
    open_two(state);
    ask(BOSH_ASKS_RESTART, BOSH_NO_STREAM);
    assert_goes_up(BOSH_DO_RESTART, 0);
    open_two(state);
    stream_ended_on(&d, 0, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_CLOSED);
    ask(BOSH_ASKS_RESTART, BOSH_NO_STREAM);
    assert_goes_up(BOSH_DO_RESTART, 1);
}

static void an_answer_has_one_streams_payloads_and_names_it(void **state)
{
    bosh_action_t a;

    (void)state;
    d.s.leg[0].has_down = d.s.leg[1].has_down = 1;
    a = get(0, BOSH_NO_STREAM);
    assert_true(a.with_down && a.stream == 0 && a.answer.stream == 0);
    assert_int_equal(slot_of(&d, next - 1)->down_stream, 0);
    a = get(0, BOSH_NO_STREAM);
    assert_true(a.with_down && a.stream == 1 && a.answer.stream == 1);
    a = get(BOSH_ASKS_URGENT, BOSH_NO_STREAM);
    assert_true(!a.with_down && a.answer.stream == BOSH_NO_STREAM);
}

static void a_busy_stream_does_not_keep_others_waiting(void **state)
{
    (void)state;
    add(2);
    add(3);
    for (uint8_t i = 0; i < 20; i++) {
        bosh_action_t a;

        for (uint8_t j = 0; j < 4; j++) {
            d.s.leg[j].has_down = 1;
        }
        a = get(0, BOSH_NO_STREAM);
        assert_int_equal(a.answer.stream, (2 + i) % 4);
    }
}

static void a_session_of_one_stream_names_none(void **state)
{
    (void)state;
    d.s.leg[0].has_down = 1;
    bosh_action_t a = get(0, BOSH_NO_STREAM);
    assert_true(a.with_down && a.answer.stream == BOSH_NO_STREAM);
}

/* ADD had its turn, and its answer has to wait for another one's writer. */
static void nothing_is_told_of_a_stream_before_its_name(void **state)
{
    bosh_holder_t first, second, third;
    bosh_action_t a;

    (void)state;
    drive_open(&d, 2, WAIT);
    d.s.terms.streams = 2;
    d.s.leg[0].has_down = 1;
    next = R;
    ask(0, BOSH_NO_STREAM);
    first = d.holder;
    ask(0, BOSH_NO_STREAM);
    second = d.holder;
    ask(BOSH_ASKS_ADD, BOSH_NO_STREAM);
    third = d.holder;
    data_on(&d, 1);
    stream_ended_on(&d, 1, BOSH_COND_REMOTE_CONNECTION_FAILED, BOSH_REASON_CONNECT_FAILED);
    wrote(&d, R, first);
    d.now += 100;
    a = *comes_back(&d, R + 1, second);
    assert_int_equal(a.answer.kind, BOSH_ANSWER_DATA);
    assert_false(a.with_down);
    wrote(&d, R + 1, second);
    d.now += 100;
    a = *comes_back(&d, R + 2, third);
    assert_int_equal(a.answer.kind, BOSH_ANSWER_STREAM);
    wrote(&d, R + 2, third);
    a = get(0, BOSH_NO_STREAM);
    assert_leg_ends(&a, 1, BOSH_COND_REMOTE_CONNECTION_FAILED);
    assert_true(a.with_down);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(creation_answer_names_the_first_stream_if_there_can_be_more,
                               open_session),
        cmocka_unit_test_setup(a_stream_is_added_and_named_at_once, open_session),
        cmocka_unit_test_setup(who_waits_for_a_name_releases_all_before, open_session),
        cmocka_unit_test_setup(without_the_feature_it_is_an_ordinary_request, open_session),
        cmocka_unit_test_setup(with_a_payload_it_is_an_ordinary_request, open_session),
        cmocka_unit_test_setup(who_says_to_with_a_payload_too_means_nothing_by_it, open_session),
        cmocka_unit_test_setup(who_says_to_with_a_restart_may_mean_it_later, open_session),
        cmocka_unit_test_setup(there_are_no_more_than_allowed, open_session),
        cmocka_unit_test_setup(numbers_are_not_used_again, open_session),
        cmocka_unit_test_setup(a_refused_stream_is_named_and_ended_in_one_answer, open_session),
        cmocka_unit_test_setup(an_early_one_is_added_in_its_turn, open_session),
        cmocka_unit_test_setup(repeated_request_adds_nothing, open_session),
        cmocka_unit_test_setup(payloads_go_to_the_stream_they_name, open_two),
        cmocka_unit_test_setup(payloads_without_a_name_go_to_all, open_two),
        cmocka_unit_test_setup(payloads_without_a_name_go_to_the_only_one_there_is, open_two),
        cmocka_unit_test_setup(payloads_for_a_stream_that_is_gone_are_ignored, open_two),
        cmocka_unit_test_setup(a_name_that_never_was_ends_the_session, open_two),
        cmocka_unit_test_setup(an_empty_request_may_name_anything, open_two),
        cmocka_unit_test_setup(restart_goes_to_the_named_or_the_first_open_stream, open_two),
        cmocka_unit_test_setup(an_answer_has_one_streams_payloads_and_names_it, open_two),
        cmocka_unit_test_setup(a_busy_stream_does_not_keep_others_waiting, open_two),
        cmocka_unit_test_setup(a_session_of_one_stream_names_none, open_session),
        cmocka_unit_test_setup(nothing_is_told_of_a_stream_before_its_name, open_session),
    };

    return cmocka_run_group_tests_name("streams", tests, NULL, NULL);
}
