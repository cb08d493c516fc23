/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Rids outside the window, and too many requests at once (XEP-0124 12 and 14). */

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

static void assert_ended(const bosh_action_t *a, bosh_condition_t condition, bosh_reason_t reason)
{
    assert_int_equal(a->kind, BOSH_DO_REPLY);
    assert_int_equal(a->answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(a->answer.condition, condition);
    assert_int_equal(d.s.state, BOSH_CLOSING);
    assert_int_equal(d.s.reason, reason);
    assert_int_equal(count(&d, BOSH_DO_CLOSE), 1);
}

/* Answers R .. R+n-1, one after the other. */
static void exchange(unsigned n)
{
    for (uint64_t rid = d.s.next_rid; n > 0; n--, rid++) {
        d.s.leg[0].has_down = 1;
        d.now += BOSH_MAX_SPACING_MS;
        assert_int_equal(request(&d, rid, 0)->kind, BOSH_DO_ANSWER);
        wrote(&d, rid, d.holder);
    }
}

static void last_rid_of_the_window_is_let_in(void **state)
{
    (void)state;
    assert_int_equal(request(&d, R + 1, 0)->kind, BOSH_DO_HOLD);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void rid_beyond_the_window_ends_the_session(void **state)
{
    (void)state;
    assert_ended(request(&d, R + 2, 0), BOSH_COND_ITEM_NOT_FOUND, BOSH_REASON_RID);
}

static void window_grows_with_requests(void **state)
{
    (void)state;
    for (uint32_t hold = 0; hold < BOSH_MAX_REQUESTS; hold++) {
        drive_open(&d, hold, WAIT);
        assert_int_equal(request(&d, R + hold, BOSH_ASKS_PAYLOAD)->kind,
                         hold ? BOSH_DO_HOLD : BOSH_DO_ANSWER);
        drive_open(&d, hold, WAIT);
        assert_ended(request(&d, R + hold + 1, 0), BOSH_COND_ITEM_NOT_FOUND, BOSH_REASON_RID);
    }
}

static void one_more_is_let_in_to_pause_or_terminate(void **state)
{
    (void)state;
    assert_int_equal(request(&d, R + 2, BOSH_ASKS_TERMINATE)->kind, BOSH_DO_HOLD);
    drive_open(&d, 1, WAIT);
    assert_int_equal(request_pause(&d, R + 2, 10)->kind, BOSH_DO_HOLD);
    drive_open(&d, 1, WAIT);
    assert_ended(request(&d, R + 3, BOSH_ASKS_TERMINATE), BOSH_COND_ITEM_NOT_FOUND,
                 BOSH_REASON_RID);
}

static void far_too_high_rids_end_the_session(void **state)
{
    static const uint64_t far[] = { FIRST_RID + 1000, BOSH_RID_MAX, BOSH_RID_MAX + 1, UINT64_MAX };

    (void)state;
    for (unsigned i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
        drive_open(&d, 1, WAIT);
        assert_ended(request(&d, far[i], 0), BOSH_COND_ITEM_NOT_FOUND, BOSH_REASON_RID);
    }
}

static void repeats_as_many_answers_as_requests(void **state)
{
    (void)state;
    for (uint32_t hold = 0; hold < BOSH_MAX_REQUESTS; hold++) {
        uint64_t last;

        drive_open(&d, hold, WAIT);
        exchange(20);
        last = d.s.next_rid - 1;
        for (uint64_t rid = last; rid > last - hold - 1; rid--) {
            const bosh_action_t *a = request(&d, rid, 0);

            assert_int_equal(a->kind, BOSH_DO_REPEAT);
            assert_int_equal(a->slot, rid % BOSH_SLOTS);
        }
        assert_ended(request(&d, last - hold - 1, 0), BOSH_COND_ITEM_NOT_FOUND, BOSH_REASON_RID);
    }
}

/* Its process died before it wrote; meanwhile the client goes on with its other requests. */
static void an_answer_that_was_never_written_is_kept_longer(void **state)
{
    const bosh_action_t *a;

    (void)state;
    exchange(1);
    d.s.leg[0].has_down = 1;
    d.now += 100;
    assert_int_equal(request(&d, R + 1, 0)->kind, BOSH_DO_ANSWER);
    hangs_up(&d, R + 1, d.holder);
    exchange(5);
    a = request(&d, R + 1, 0);
    assert_int_equal(a->kind, BOSH_DO_REPEAT);
    assert_int_equal(a->slot, (R + 1) % BOSH_SLOTS);
    exchange(3);
    assert_ended(request(&d, R + 1, 0), BOSH_COND_ITEM_NOT_FOUND, BOSH_REASON_RID);
}

/* What the client went on with may be its other request's answer. */
static void an_answer_that_was_overtaken_is_kept_longer(void **state)
{
    (void)state;
    exchange(1);
    assert_int_equal(request(&d, R + 1, 0)->kind, BOSH_DO_HOLD);
    assert_int_equal(request(&d, R + 2, BOSH_ASKS_PAYLOAD)->kind, BOSH_DO_HOLD);
    d.now += WAIT * 1000;
    assert_int_equal(comes_back(&d, R + 1, slot_of(&d, R + 1)->holder)->kind, BOSH_DO_ANSWER);
    wrote(&d, R + 1, slot_of(&d, R + 1)->holder);
    d.now += 100; /* answers keep a distance */
    assert_int_equal(comes_back(&d, R + 2, slot_of(&d, R + 2)->holder)->kind, BOSH_DO_ANSWER);
    wrote(&d, R + 2, slot_of(&d, R + 2)->holder);
    exchange(5);
    assert_int_equal(request(&d, R + 1, 0)->kind, BOSH_DO_REPEAT);
    assert_ended(request(&d, R + 2, 0), BOSH_COND_ITEM_NOT_FOUND, BOSH_REASON_RID);
}

static void too_old_and_too_high_get_the_same_answer(void **state)
{
    bosh_action_t low, high;

    (void)state;
    exchange(9);
    low = *request(&d, R, 0);
    drive_open(&d, 1, WAIT);
    exchange(9);
    high = *request(&d, R + 100, 0);
    assert_int_equal(low.kind, high.kind);
    assert_memory_equal(&low.answer, &high.answer, sizeof(low.answer));
}

/* While httpd restarts, a connection may wait for seconds before it is read, and its client
 * may have closed it long ago. */
static void too_old_a_copy_of_a_client_that_has_gone_says_nothing(void **state)
{
    bosh_event_t ev = { .kind = BOSH_EV_REQUEST, .rid = R, .holder = BOSH_NOBODY };

    (void)state;
    exchange(9);
    ev.asks = BOSH_ASKS_PAYLOAD | BOSH_ASKS_TERMINATE;
    bosh_step(&d.s, &ev, d.now, &d.acts);
    assert_int_equal(d.acts.n, 1);
    assert_int_equal(d.acts.a[0].kind, BOSH_DO_REPLY);
    assert_int_equal(d.s.state, BOSH_OPEN);
    assert_int_equal(request(&d, R + 9, 0)->kind, BOSH_DO_HOLD);
}

static void rids_before_the_first_end_the_session(void **state)
{
    (void)state;
    assert_ended(request(&d, FIRST_RID - 1, 0), BOSH_COND_ITEM_NOT_FOUND, BOSH_REASON_RID);
    drive_open(&d, 1, WAIT);
    assert_ended(request(&d, 0, 0), BOSH_COND_ITEM_NOT_FOUND, BOSH_REASON_RID);
}

static void a_kept_answer_is_dropped_when_it_left_the_window(void **state)
{
    (void)state;
    exchange(1); /* FIRST_RID and R are kept */
    d.s.leg[0].has_down = 1;
    d.now += 100;
    request(&d, R + 1, 0);
    assert_int_equal(count(&d, BOSH_DO_DROP), 1);
    assert_int_equal(find(&d, BOSH_DO_DROP)->slot, FIRST_RID % BOSH_SLOTS);
}

static void who_was_refused_has_consumed_nothing(void **state)
{
    (void)state;
    request(&d, R + 2, BOSH_ASKS_PAYLOAD);
    assert_int_equal(count(&d, BOSH_DO_STORE) + count(&d, BOSH_DO_FORWARD), 0);
    assert_int_equal(d.s.next_rid, R);
}

static void more_requests_than_allowed_break_the_policy(void **state)
{
    bosh_holder_t first, second;

    (void)state;
    request(&d, R, 0);
    first = d.holder;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD); /* R would be answered after the gathering time */
    second = d.holder;
    assert_ended(request(&d, R + 2, 0), BOSH_COND_POLICY_VIOLATION, BOSH_REASON_OVERACTIVE);
    /* The oldest learns that it was another one, the other one gets an empty body. */
    assert_true(woken(&d, first) == d.now);
    assert_int_equal(comes_back(&d, R, first)->answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(find(&d, BOSH_DO_ANSWER)->answer.condition, BOSH_COND_OTHER_REQUEST);
    wrote(&d, R, first);
    assert_int_equal(comes_back(&d, R + 1, second)->answer.kind, BOSH_ANSWER_DATA);
}

static void a_client_that_counts_answers_is_not_overactive(void **state)
{
    bosh_holder_t first;

    (void)state;
    request(&d, R, 0);
    first = d.holder;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    d.now += BOSH_GATHER_MS;
    comes_back(&d, R, first); /* fixed, still being written */
    assert_int_equal(request(&d, R + 2, 0)->kind, BOSH_DO_HOLD);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void repeats_are_never_overactive(void **state)
{
    (void)state;
    request(&d, R, 0);
    for (unsigned i = 0; i < BOSH_MAX_REPEATS; i++) {
        assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_HOLD);
    }
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void terminate_may_exceed_the_requests(void **state)
{
    (void)state;
    request(&d, R, 0);
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    assert_int_equal(request(&d, R + 2, BOSH_ASKS_TERMINATE | BOSH_ASKS_PAYLOAD)->kind,
                     BOSH_DO_HOLD);
    assert_int_equal(d.s.reason, BOSH_REASON_CLIENT);
    assert_int_equal(count(&d, BOSH_DO_FORWARD), 1);
}

/* Its connections broke, it sends anew, and nobody noticed yet that they broke. */
static void more_are_let_in_while_the_oldest_is_on_its_way_out(void **state)
{
    (void)state;
    request(&d, R, 0);
    request(&d, R + 1, 0); /* R is woken */
    assert_int_equal(request(&d, R + 2, 0)->kind, BOSH_DO_HOLD);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void even_then_the_ring_is_the_limit(void **state)
{
    (void)state;
    for (uint32_t hold = 1; hold < BOSH_MAX_REQUESTS; hold++) {
        uint64_t rid;

        drive_open(&d, hold, WAIT);
        exchange(10); /* as many answers are kept as can be */
        rid = d.s.next_rid;
        d.now += 100;
        request(&d, rid, 0);
        data(&d); /* it is woken, and does not come */
        for (unsigned i = 1; i < BOSH_SLOTS / 2; i++) {
            assert_int_equal(request(&d, rid + i, BOSH_ASKS_PAYLOAD)->kind, BOSH_DO_HOLD);
        }
        assert_ended(request(&d, rid + BOSH_SLOTS / 2, 0), BOSH_COND_POLICY_VIOLATION,
                     BOSH_REASON_OVERACTIVE);
    }
}

/* An early request's client is answered at once when its child stops: it has one less open,
 * and its connection manager must not count otherwise. */
static void an_early_request_that_was_answered_does_not_count(void **state)
{
    bosh_holder_t early;

    (void)state;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    early = d.holder;
    assert_int_equal(comes_back_urgently(&d, R + 1, early)->answer.kind, BOSH_ANSWER_DATA);
    request(&d, R, 0); /* once more: the first copy was lost */
    d.now += 20;
    assert_int_equal(request(&d, R + 2, BOSH_ASKS_PAYLOAD)->kind, BOSH_DO_HOLD);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void nor_does_it_narrow_the_window(void **state)
{
    (void)state;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    comes_back_urgently(&d, R + 1, d.holder);
    assert_int_equal(request(&d, R + 2, BOSH_ASKS_PAYLOAD)->kind, BOSH_DO_HOLD);
    request(&d, R, 0);
    assert_int_equal(d.s.next_rid, R + 3);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

/* A page is left with two requests open; the next page goes on with the next rid. */
static void abandoned_requests_do_not_make_a_client_overactive(void **state)
{
    bosh_holder_t first, second;

    (void)state;
    request(&d, R, 0);
    first = d.holder;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    second = d.holder;
    hangs_up(&d, R, first);
    hangs_up(&d, R + 1, second);
    data(&d);
    d.now += 200;
    assert_true(request(&d, R + 2, 0)->with_down);
    assert_int_equal(d.s.state, BOSH_OPEN);
    assert_int_equal(d.s.next_answer, R + 3);
}

static void abandoned_poll_does_not_make_a_polling_client_overactive(void **state)
{
    (void)state;
    drive_open(&d, 0, 0);
    assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_ANSWER); /* and is being written */
    d.now += BOSH_SEC(POLLING);
    assert_int_equal(request(&d, R + 1, 0)->kind, BOSH_DO_HOLD);
    hangs_up(&d, R + 1, d.holder);
    assert_int_equal(request(&d, R + 2, 0)->kind, BOSH_DO_HOLD);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(last_rid_of_the_window_is_let_in, open_session),
        cmocka_unit_test_setup(rid_beyond_the_window_ends_the_session, open_session),
        cmocka_unit_test_setup(window_grows_with_requests, open_session),
        cmocka_unit_test_setup(one_more_is_let_in_to_pause_or_terminate, open_session),
        cmocka_unit_test_setup(far_too_high_rids_end_the_session, open_session),
        cmocka_unit_test_setup(repeats_as_many_answers_as_requests, open_session),
        cmocka_unit_test_setup(an_answer_that_was_never_written_is_kept_longer, open_session),
        cmocka_unit_test_setup(an_answer_that_was_overtaken_is_kept_longer, open_session),
        cmocka_unit_test_setup(too_old_and_too_high_get_the_same_answer, open_session),
        cmocka_unit_test_setup(too_old_a_copy_of_a_client_that_has_gone_says_nothing, open_session),
        cmocka_unit_test_setup(rids_before_the_first_end_the_session, open_session),
        cmocka_unit_test_setup(a_kept_answer_is_dropped_when_it_left_the_window, open_session),
        cmocka_unit_test_setup(who_was_refused_has_consumed_nothing, open_session),
        cmocka_unit_test_setup(more_requests_than_allowed_break_the_policy, open_session),
        cmocka_unit_test_setup(a_client_that_counts_answers_is_not_overactive, open_session),
        cmocka_unit_test_setup(repeats_are_never_overactive, open_session),
        cmocka_unit_test_setup(terminate_may_exceed_the_requests, open_session),
        cmocka_unit_test_setup(more_are_let_in_while_the_oldest_is_on_its_way_out, open_session),
        cmocka_unit_test_setup(even_then_the_ring_is_the_limit, open_session),
        cmocka_unit_test_setup(an_early_request_that_was_answered_does_not_count, open_session),
        cmocka_unit_test_setup(nor_does_it_narrow_the_window, open_session),
        cmocka_unit_test_setup(abandoned_requests_do_not_make_a_client_overactive, open_session),
        cmocka_unit_test_setup(abandoned_poll_does_not_make_a_polling_client_overactive,
                               open_session),
    };

    return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
