/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Requests out of order, gaps, and whose payload goes up when (XEP-0124 14.2). */

#include "drive.h"

#include "unit.h"

#define R (FIRST_RID + 1) /* the next rid of a session just opened */

static drive_t d;

static int open_session(void **state)
{
    (void)state;
    drive_open(&d, 1, WAIT);
    return 0;
}

/* All payloads this step sent up, as offsets from R. */
static void assert_forwarded(unsigned n, ...)
{
    va_list want;

    va_start(want, n);
    assert_int_equal(count(&d, BOSH_DO_FORWARD), n);
    for (unsigned i = 0; i < d.acts.n; i++) {
        if (d.acts.a[i].kind == BOSH_DO_FORWARD) {
            assert_int_equal(d.acts.a[i].slot, (R + va_arg(want, unsigned)) % BOSH_SLOTS);
        }
    }
    va_end(want);
}

static void keeps_an_early_payload_until_its_turn(void **state)
{
    (void)state;
    assert_int_equal(request(&d, R + 1, BOSH_ASKS_PAYLOAD)->kind, BOSH_DO_HOLD);
    assert_non_null(find(&d, BOSH_DO_STORE));
    assert_forwarded(0);
    d.now += 20;
    request(&d, R, BOSH_ASKS_PAYLOAD);
    assert_forwarded(2, 0, 1);
}

static void payload_in_turn_is_stored_and_forwarded_at_once(void **state)
{
    (void)state;
    request(&d, R, BOSH_ASKS_PAYLOAD);
    assert_int_equal(d.acts.a[0].kind, BOSH_DO_STORE);
    assert_int_equal(d.acts.a[1].kind, BOSH_DO_FORWARD);
    assert_forwarded(1, 0);
}

static void empty_request_stores_and_forwards_nothing(void **state)
{
    (void)state;
    request(&d, R, 0);
    assert_int_equal(count(&d, BOSH_DO_STORE), 0);
    assert_forwarded(0);
}

static void early_request_is_answered_after_its_predecessor(void **state)
{
    bosh_holder_t early, first;

    (void)state;
    request(&d, R + 1, 0);
    early = d.holder;
    d.now += 20;
    /* two are held, one more than `hold`: the older is answered at once, the newer is empty */
    assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_ANSWER);
    first = d.holder;
    assert_int_equal(d.acts.a[0].slot, R % BOSH_SLOTS);
    assert_int_equal(woken(&d, early), 0);
    wrote(&d, R, first);
    data(&d);
    assert_true(woken(&d, early) >= d.now);
    d.now += BOSH_SPACING_MS;
    assert_true(comes_back(&d, R + 1, early)->with_down);
}

static void three_early_requests_follow_in_order(void **state)
{
    (void)state;
    drive_open(&d, 3, WAIT);
    request(&d, R + 3, BOSH_ASKS_PAYLOAD);
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    request(&d, R + 2, BOSH_ASKS_PAYLOAD);
    assert_forwarded(0);
    request(&d, R, BOSH_ASKS_PAYLOAD);
    assert_forwarded(4, 0, 1, 2, 3);
    assert_int_equal(d.s.next_rid, R + 4);
}

static void a_gap_stops_what_is_behind_it(void **state)
{
    (void)state;
    drive_open(&d, 3, WAIT);
    request(&d, R + 2, BOSH_ASKS_PAYLOAD);
    request(&d, R, BOSH_ASKS_PAYLOAD);
    assert_forwarded(1, 0);
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    assert_forwarded(2, 1, 2);
}

/* Killed sessions of a peer: the future rid twice, then the one before it. */
static void repeated_early_request_is_forwarded_once(void **state)
{
    bosh_holder_t older;

    (void)state;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    older = d.holder;
    d.now += 20;
    assert_int_equal(request(&d, R + 1, BOSH_ASKS_PAYLOAD)->kind, BOSH_DO_HOLD);
    assert_int_equal(count(&d, BOSH_DO_STORE), 0);
    assert_true(woken(&d, older) == d.now + BOSH_REPLACED_MS);
    assert_int_equal(comes_back(&d, R + 1, older)->answer.kind, BOSH_ANSWER_ERROR);
    d.now += 20;
    request(&d, R, BOSH_ASKS_PAYLOAD);
    assert_forwarded(2, 0, 1);
}

static void early_request_is_answered_empty_when_wait_is_over(void **state)
{
    const bosh_action_t *a;

    (void)state;
    assert_true(request(&d, R + 1, BOSH_ASKS_PAYLOAD)->due == d.now + BOSH_SEC(WAIT));
    d.now += BOSH_SEC(WAIT) - 1;
    assert_int_equal(comes_back(&d, R + 1, d.holder)->kind, BOSH_DO_HOLD);
    d.now += 1;
    a = comes_back(&d, R + 1, d.holder);
    assert_int_equal(a->kind, BOSH_DO_REPLY);
    assert_int_equal(a->answer.kind, BOSH_ANSWER_DATA);
    /* Its payload stays, and goes up when its turn comes. */
    request(&d, R, BOSH_ASKS_PAYLOAD);
    assert_forwarded(2, 0, 1);
}

static void early_request_answered_empty_stays_empty(void **state)
{
    bosh_holder_t early, first;

    (void)state;
    request(&d, R + 1, 0);
    early = d.holder;
    d.now += BOSH_SEC(WAIT);
    comes_back(&d, R + 1, early);
    assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_HOLD);
    first = d.holder;
    data(&d);
    assert_true(comes_back(&d, R, first)->with_down);
    /* R + 1 was told already: it is passed over, and its answer is the empty one. */
    assert_int_equal(d.s.next_answer, R + 1);
    data(&d);
    assert_int_equal(d.s.next_answer, R + 2);
    assert_int_equal(slot_of(&d, R + 1)->answer.kind, BOSH_ANSWER_DATA);
    assert_int_equal(d.s.leg[0].has_down, 1);
    assert_int_equal(request(&d, R + 1, 0)->kind, BOSH_DO_REPEAT);
}

static void early_request_repeated_after_its_empty_answer_is_not_passed_over(void **state)
{
    (void)state;
    request(&d, R + 1, 0);
    d.now += BOSH_SEC(WAIT);
    comes_back(&d, R + 1, d.holder);
    request(&d, R + 1, 0);
    hangs_up(&d, R + 1, d.holder);
    request(&d, R, 0);
    comes_back_urgently(&d, R, d.holder);
    wrote(&d, R, d.holder);
    assert_int_equal(d.s.next_answer, R + 1);
}

/* The empty answer was none of its rid's: see Departures in docs/conformance.md. */
static void early_request_repeated_after_its_empty_answer_gets_stanzas(void **state)
{
    bosh_holder_t copy;

    (void)state;
    request(&d, R + 1, 0);
    d.now += BOSH_SEC(WAIT);
    comes_back(&d, R + 1, d.holder);
    assert_int_equal(request(&d, R + 1, 0)->kind, BOSH_DO_HOLD);
    copy = d.holder;
    assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_ANSWER);
    wrote(&d, R, d.holder);
    data(&d);
    assert_true(comes_back(&d, R + 1, copy)->with_down);
}

static void abandoned_early_request_keeps_its_payload(void **state)
{
    (void)state;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    hangs_up(&d, R + 1, d.holder);
    request(&d, R, 0);
    assert_forwarded(1, 1);
}

static void urgent_early_request_is_answered_at_once(void **state)
{
    const bosh_action_t *a;

    (void)state;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    a = comes_back_urgently(&d, R + 1, d.holder);
    assert_int_equal(a->kind, BOSH_DO_REPLY);
    assert_int_equal(a->answer.kind, BOSH_ANSWER_DATA);
    request(&d, R, 0);
    assert_forwarded(1, 1);
}

/* Bytes that wait behind an early request may be those of its predecessor. */
static void early_request_that_arrives_urgent_does_not_wait(void **state)
{
    (void)state;
    assert_true(request(&d, R + 1, BOSH_ASKS_URGENT)->due <= d.now);
    assert_int_equal(comes_back(&d, R + 1, d.holder)->kind, BOSH_DO_REPLY);
}

static void restart_replaces_the_payload_it_came_with(void **state)
{
    (void)state;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    request(&d, R, BOSH_ASKS_PAYLOAD | BOSH_ASKS_RESTART);
    assert_int_equal(d.acts.a[0].kind, BOSH_DO_STORE);
    assert_int_equal(d.acts.a[1].kind, BOSH_DO_RESTART);
    assert_int_equal(d.acts.a[1].slot, R % BOSH_SLOTS);
    assert_int_equal(d.acts.a[2].kind, BOSH_DO_FORWARD);
    assert_int_equal(d.acts.a[2].slot, (R + 1) % BOSH_SLOTS);
    assert_int_equal(count(&d, BOSH_DO_FORWARD), 1);
}

static void early_restart_waits_for_its_turn(void **state)
{
    (void)state;
    request(&d, R + 1, BOSH_ASKS_RESTART);
    assert_null(find(&d, BOSH_DO_RESTART));
    request(&d, R, BOSH_ASKS_PAYLOAD);
    assert_int_equal(d.acts.a[1].kind, BOSH_DO_FORWARD);
    assert_int_equal(d.acts.a[2].kind, BOSH_DO_RESTART);
}

/* A page reload: the browser stored the next rid, and never sent the one before. */
static void rid_gap_at_a_page_reload_ends_by_inactivity(void **state)
{
    bosh_msec_t idle;

    (void)state;
    idle = d.s.idle_since;
    request(&d, R + 1, 0);
    assert_true(d.s.idle_since == idle);
    d.now = idle + BOSH_SEC(INACTIVITY) - 1;
    tick(&d);
    assert_int_equal(d.s.state, BOSH_OPEN);
    d.now += 1;
    tick(&d);
    assert_int_equal(d.s.state, BOSH_CLOSING);
    assert_int_equal(d.s.reason, BOSH_REASON_INACTIVITY);
    assert_true(woken(&d, d.holder) == d.now);
}

static void rid_gap_after_an_aborted_poll_is_no_breach(void **state)
{
    (void)state;
    request(&d, R, 0);
    hangs_up(&d, R, d.holder);
    d.now += 100;
    assert_int_equal(request(&d, R + 2, 0)->kind, BOSH_DO_HOLD);
    assert_int_equal(d.s.state, BOSH_OPEN);
    d.now += BOSH_SEC(INACTIVITY);
    tick(&d);
    assert_int_equal(d.s.reason, BOSH_REASON_INACTIVITY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(keeps_an_early_payload_until_its_turn, open_session),
        cmocka_unit_test_setup(payload_in_turn_is_stored_and_forwarded_at_once, open_session),
        cmocka_unit_test_setup(empty_request_stores_and_forwards_nothing, open_session),
        cmocka_unit_test_setup(early_request_is_answered_after_its_predecessor, open_session),
        cmocka_unit_test_setup(three_early_requests_follow_in_order, open_session),
        cmocka_unit_test_setup(a_gap_stops_what_is_behind_it, open_session),
        cmocka_unit_test_setup(repeated_early_request_is_forwarded_once, open_session),
        cmocka_unit_test_setup(early_request_is_answered_empty_when_wait_is_over, open_session),
        cmocka_unit_test_setup(early_request_answered_empty_stays_empty, open_session),
        cmocka_unit_test_setup(early_request_repeated_after_its_empty_answer_is_not_passed_over,
                               open_session),
        cmocka_unit_test_setup(early_request_repeated_after_its_empty_answer_gets_stanzas,
                               open_session),
        cmocka_unit_test_setup(abandoned_early_request_keeps_its_payload, open_session),
        cmocka_unit_test_setup(urgent_early_request_is_answered_at_once, open_session),
        cmocka_unit_test_setup(early_request_that_arrives_urgent_does_not_wait, open_session),
        cmocka_unit_test_setup(restart_replaces_the_payload_it_came_with, open_session),
        cmocka_unit_test_setup(early_restart_waits_for_its_turn, open_session),
        cmocka_unit_test_setup(rid_gap_at_a_page_reload_ends_by_inactivity, open_session),
        cmocka_unit_test_setup(rid_gap_after_an_aborted_poll_is_no_breach, open_session),
    };

    return cmocka_run_group_tests_name("order", tests, NULL, NULL);
}
