/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Streams end, and sessions of several streams (XEP-0124 sections 16.5 and 16.6). */

#include "streams.h"
#include "unit.h"

static void assert_closes(uint8_t stream)
{
    assert_int_equal(count(&d, BOSH_DO_CLOSE), 1);
    assert_int_equal(find(&d, BOSH_DO_CLOSE)->stream, stream);
}

static void client_closes_one_stream(void **state)
{
    bosh_holder_t held;

    (void)state;
    ask(0, BOSH_NO_STREAM);
    held = d.holder;
    assert_int_equal(ask(BOSH_ASKS_TERMINATE | BOSH_ASKS_PAYLOAD, 1)->kind, BOSH_DO_HOLD);
    assert_int_equal(find(&d, BOSH_DO_FORWARD)->stream, 1);
    assert_closes(1);
    assert_leg_ends(comes_back(&d, next - 2, held), 1, BOSH_COND_NONE);
    wrote(&d, next - 2, held);
    assert_int_equal(d.s.state, BOSH_OPEN);
    stream_ended_on(&d, 1, BOSH_COND_NONE, BOSH_REASON_CLIENT);
    assert_int_equal(d.s.leg[1].state, BOSH_LEG_GONE);
    assert_int_equal(d.s.state, BOSH_OPEN);
    d.now += 100;
    assert_int_equal(comes_back(&d, next - 1, d.holder)->kind, BOSH_DO_HOLD); /* told once */
}

static void client_closes_the_first_stream(void **state)
{
    (void)state;
    bosh_action_t a = *ask(BOSH_ASKS_TERMINATE, 0);
    assert_leg_ends(&a, 0, BOSH_COND_NONE);
    assert_closes(0);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void closing_a_closed_stream_is_ignored(void **state)
{
    (void)state;
    get(BOSH_ASKS_TERMINATE, 1);
    assert_int_equal(ask(BOSH_ASKS_TERMINATE, 1)->kind, BOSH_DO_HOLD);
    assert_int_equal(count(&d, BOSH_DO_CLOSE), 0);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void closing_the_last_stream_ends_the_session(void **state)
{
    (void)state;
    get(BOSH_ASKS_TERMINATE, 1);
    bosh_action_t a = *ask(BOSH_ASKS_TERMINATE, 0);
    assert_leg_ends(&a, BOSH_NO_STREAM, BOSH_COND_NONE);
    assert_closes(0);
    assert_int_equal(d.s.state, BOSH_CLOSING);
    stream_ended_on(&d, 0, BOSH_COND_NONE, BOSH_REASON_CLIENT);
    assert_int_equal(d.s.state, BOSH_CLOSING); /* the other one is still being closed */
    stream_ended_on(&d, 1, BOSH_COND_NONE, BOSH_REASON_CLIENT);
    assert_int_equal(d.s.state, BOSH_ENDED);
}

static void terminate_without_a_name_closes_all(void **state)
{
    (void)state;
    bosh_action_t a = *ask(BOSH_ASKS_TERMINATE | BOSH_ASKS_PAYLOAD, BOSH_NO_STREAM);
    assert_leg_ends(&a, BOSH_NO_STREAM, BOSH_COND_NONE);
    assert_int_equal(find(&d, BOSH_DO_FORWARD)->stream, BOSH_NO_STREAM);
    assert_int_equal(count(&d, BOSH_DO_CLOSE), 2);
    stream_ended_on(&d, 1, BOSH_COND_NONE, BOSH_REASON_CLIENT);
    assert_int_equal(d.s.state, BOSH_CLOSING);
    stream_ended_on(&d, 1, BOSH_COND_NONE, BOSH_REASON_CLIENT);
    assert_int_equal(d.s.state, BOSH_CLOSING);
    stream_ended_on(&d, 0, BOSH_COND_NONE, BOSH_REASON_CLIENT);
    assert_int_equal(d.s.state, BOSH_ENDED);
}

static void without_the_feature_a_name_is_ignored(void **state)
{
    (void)state;
    d.s.terms.streams = 1;
    ask(BOSH_ASKS_TERMINATE, 0);
    assert_int_equal(d.s.state, BOSH_CLOSING);
}

static void servers_end_of_one_stream_comes_with_its_last_stanzas(void **state)
{
    bosh_holder_t held;
    bosh_action_t a;

    (void)state;
    ask(0, BOSH_NO_STREAM);
    held = d.holder;
    d.s.leg[0].has_down = d.s.leg[1].has_down = 1;
    stream_ended_on(&d, 1, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_ERROR);
    assert_int_equal(count(&d, BOSH_DO_CLOSE), 0);
    assert_true(woken(&d, held) == d.now);
    a = *comes_back(&d, next - 1, held);
    assert_leg_ends(&a, 1, BOSH_COND_REMOTE_STREAM_ERROR);
    assert_true(a.with_down && a.stream == 1);
    wrote(&d, next - 1, held);
    a = get(0, BOSH_NO_STREAM);
    assert_int_equal(a.answer.kind, BOSH_ANSWER_DATA);
    assert_int_equal(a.answer.stream, 0);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void a_pause_is_answered_without_a_streams_end(void **state)
{
    (void)state;
    d.s.leg[1].has_down = 1;
    stream_ended_on(&d, 1, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_ERROR);
    d.now += 100;
    bosh_action_t a = *request_pause(&d, next++, 10);
    assert_int_equal(a.answer.kind, BOSH_ANSWER_DATA);
    wrote(&d, next - 1, d.holder);
    a = get(0, BOSH_NO_STREAM);
    assert_leg_ends(&a, 1, BOSH_COND_REMOTE_STREAM_ERROR);
}

static void stanzas_after_the_end_was_told_stay(void **state)
{
    (void)state;
    get(BOSH_ASKS_TERMINATE, 1);
    data_on(&d, 1);
    assert_int_equal(ask(0, BOSH_NO_STREAM)->kind, BOSH_DO_HOLD);
    assert_int_equal(d.s.leg[1].has_down, 1); /* for those who send them back */
}

static void session_ends_with_its_last_stream(void **state)
{
    bosh_action_t a;

    (void)state;
    stream_ended_on(&d, 0, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_CLOSED);
    a = get(0, BOSH_NO_STREAM);
    assert_leg_ends(&a, 0, BOSH_COND_REMOTE_STREAM_ERROR);
    stream_ended_on(&d, 1, BOSH_COND_REMOTE_CONNECTION_FAILED, BOSH_REASON_STREAM_LOST);
    assert_int_equal(d.s.state, BOSH_ENDED);
    assert_int_equal(d.s.reason, BOSH_REASON_STREAM_LOST);
    a = get(0, BOSH_NO_STREAM);
    assert_leg_ends(&a, BOSH_NO_STREAM, BOSH_COND_REMOTE_CONNECTION_FAILED);
}

static void what_gone_servers_sent_comes_before_the_end(void **state)
{
    bosh_action_t a;

    (void)state;
    d.s.leg[0].has_down = d.s.leg[1].has_down = 1;
    stream_ended_on(&d, 0, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_CLOSED);
    stream_ended_on(&d, 1, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_CLOSED);
    for (uint8_t i = 0; i < 2; i++) {
        a = get(0, BOSH_NO_STREAM);
        assert_int_equal(a.answer.kind, BOSH_ANSWER_DATA);
        assert_int_equal(a.answer.stream, i);
        assert_true(a.with_down);
    }
    a = get(0, BOSH_NO_STREAM);
    assert_leg_ends(&a, BOSH_NO_STREAM, BOSH_COND_REMOTE_STREAM_ERROR);
}

static void the_end_of_several_streams_has_no_payloads(void **state)
{
    (void)state;
    d.s.leg[0].has_down = d.s.leg[1].has_down = 1;
    ended_by_us(&d, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN);
    assert_int_equal(count(&d, BOSH_DO_CLOSE), 2);
    bosh_action_t a = get(0, BOSH_NO_STREAM);
    assert_leg_ends(&a, BOSH_NO_STREAM, BOSH_COND_SYSTEM_SHUTDOWN);
    assert_false(a.with_down);
}

static void each_stream_has_its_own_time_to_open(void **state)
{
    bosh_action_t a;

    (void)state;
    add(2);
    ask(0, BOSH_NO_STREAM);
    d.now = d.s.leg[2].since + BOSH_SEC(CONNECT) - 1;
    tick(&d);
    assert_int_equal(count(&d, BOSH_DO_CLOSE), 0);
    d.now++;
    tick(&d);
    assert_closes(2);
    assert_int_equal(d.s.leg[2].state, BOSH_LEG_CLOSING);
    a = *comes_back(&d, next - 1, d.holder);
    assert_leg_ends(&a, 2, BOSH_COND_REMOTE_CONNECTION_FAILED);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void the_only_stream_takes_the_session_with_it(void **state)
{
    (void)state;
    add(1);
    stream_ended_on(&d, 0, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_CLOSED);
    get(0, BOSH_NO_STREAM);
    ask(0, BOSH_NO_STREAM);
    d.now = d.s.leg[1].since + BOSH_SEC(CONNECT) - 1;
    tick(&d);
    assert_int_equal(d.s.state, BOSH_OPEN);
    d.now++;
    tick(&d);
    assert_int_equal(d.s.reason, BOSH_REASON_CONNECT_TIMEOUT);
    assert_closes(1);
}

static void events_of_streams_that_are_not_there_change_nothing(void **state)
{
    (void)state;
    for (unsigned stream = 1; stream <= UINT8_MAX; stream++) {
        bosh_event_t ev = { .stream = (uint8_t)stream, .holder = BOSH_NOBODY };
        bosh_session_t before = d.s;

        for (unsigned kind = BOSH_EV_OPENED; kind <= BOSH_EV_UP_ENDED; kind++) {
            ev.kind = (bosh_event_kind_t)kind;
            bosh_step(&d.s, &ev, d.now, &d.acts);
            assert_memory_equal(&before, &d.s, sizeof(before));
        }
    }
}

static void what_a_closed_stream_wrote_is_delivered(void **state)
{
    (void)state;
    d.s.leg[1].has_down = 1;
    get(0, BOSH_NO_STREAM);
    assert_true(bosh_session_is_undelivered(&d.s, (next - 1) % BOSH_SLOTS));
    ask(BOSH_ASKS_TERMINATE, 1);
    assert_false(bosh_session_is_undelivered(&d.s, (next - 2) % BOSH_SLOTS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(client_closes_one_stream, open_two),
        cmocka_unit_test_setup(client_closes_the_first_stream, open_two),
        cmocka_unit_test_setup(closing_a_closed_stream_is_ignored, open_two),
        cmocka_unit_test_setup(closing_the_last_stream_ends_the_session, open_two),
        cmocka_unit_test_setup(terminate_without_a_name_closes_all, open_two),
        cmocka_unit_test_setup(without_the_feature_a_name_is_ignored, open_two),
        cmocka_unit_test_setup(servers_end_of_one_stream_comes_with_its_last_stanzas, open_two),
        cmocka_unit_test_setup(a_pause_is_answered_without_a_streams_end, open_two),
        cmocka_unit_test_setup(stanzas_after_the_end_was_told_stay, open_two),
        cmocka_unit_test_setup(session_ends_with_its_last_stream, open_two),
        cmocka_unit_test_setup(what_gone_servers_sent_comes_before_the_end, open_two),
        cmocka_unit_test_setup(the_end_of_several_streams_has_no_payloads, open_two),
        cmocka_unit_test_setup(each_stream_has_its_own_time_to_open, open_two),
        cmocka_unit_test_setup(the_only_stream_takes_the_session_with_it, open_session),
        cmocka_unit_test_setup(events_of_streams_that_are_not_there_change_nothing, open_session),
        cmocka_unit_test_setup(what_a_closed_stream_wrote_is_delivered, open_two),
    };

    return cmocka_run_group_tests_name("stream_ends", tests, NULL, NULL);
}
