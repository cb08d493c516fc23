/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * How long requests are held (XEP-0124 sections 7.1 and 8): wait, hold, gathering, writing.
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

static void holds_no_longer_than_wait(void **state)
{
    const bosh_action_t *a;

    (void)state;
    a = request(&d, R, 0);
    assert_int_equal(a->kind, BOSH_DO_HOLD);
    assert_true(a->due == d.now + BOSH_SEC(WAIT));
    d.now += BOSH_SEC(WAIT) - 1;
    assert_int_equal(comes_back(&d, R, d.holder)->kind, BOSH_DO_HOLD);
    d.now += 1;
    a = comes_back(&d, R, d.holder);
    assert_int_equal(a->kind, BOSH_DO_ANSWER);
    assert_int_equal(a->answer.kind, BOSH_ANSWER_DATA);
    assert_false(a->with_down);
}

static void stanza_wakes_the_holder_at_once(void **state)
{
    (void)state;
    request(&d, R, 0);
    d.now += 5000;
    data(&d);
    assert_true(woken(&d, d.holder) == d.now);
    assert_true(comes_back(&d, R, d.holder)->with_down);
}

static void waiting_stanza_is_the_answer(void **state)
{
    (void)state;
    data(&d);
    assert_true(request(&d, R, 0)->with_down);
}

static void holder_is_woken_once_for_many_stanzas(void **state)
{
    (void)state;
    request(&d, R, 0);
    data(&d);
    assert_int_equal(count(&d, BOSH_DO_WAKE), 1);
    d.now += 1;
    data(&d);
    assert_int_equal(d.acts.n, 0);
}

static void no_more_than_hold_are_kept_waiting(void **state)
{
    (void)state;
    for (uint32_t hold = 1; hold < BOSH_MAX_REQUESTS; hold++) {
        bosh_holder_t oldest;

        drive_open(&d, hold, WAIT);
        assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_HOLD);
        oldest = d.holder;
        for (uint32_t i = 1; i < hold; i++) {
            assert_int_equal(request(&d, R + i, 0)->kind, BOSH_DO_HOLD);
            assert_int_equal(woken(&d, oldest), 0);
        }
        d.now += 10;
        assert_int_equal(request(&d, R + hold, 0)->kind, BOSH_DO_HOLD);
        assert_true(woken(&d, oldest) == d.now);
        assert_int_equal(comes_back(&d, R, oldest)->kind, BOSH_DO_ANSWER);
        assert_false(find(&d, BOSH_DO_ANSWER)->with_down);
    }
}

static void polling_session_is_answered_at_once(void **state)
{
    (void)state;
    drive_open(&d, 0, WAIT);
    assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_ANSWER);
    drive_open(&d, 1, 0);
    assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_ANSWER);
}

static void release_for_a_payload_waits_for_its_reaction(void **state)
{
    bosh_holder_t older;

    (void)state;
    request(&d, R, 0);
    older = d.holder;
    d.now += 300;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    assert_true(woken(&d, older) == d.now + BOSH_GATHER_MS);
    d.now += 4;
    data(&d); /* the reaction */
    assert_true(woken(&d, older) == d.now);
    assert_true(comes_back(&d, R, older)->with_down);
    wrote(&d, R, older);
    /* the newer one goes on waiting: one answer per message is enough */
    assert_int_equal(d.acts.n > 0 && woken(&d, d.holder) < d.now + BOSH_SEC(WAIT) - 10, 0);
}

static void release_for_an_empty_request_is_immediate(void **state)
{
    bosh_holder_t older;

    (void)state;
    request(&d, R, BOSH_ASKS_PAYLOAD);
    older = d.holder;
    d.now += 300;
    request(&d, R + 1, 0);
    assert_true(woken(&d, older) == d.now);
}

static void release_comes_after_the_gathering_time(void **state)
{
    bosh_holder_t older;

    (void)state;
    request(&d, R, 0);
    older = d.holder;
    d.now += 300;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    d.now += BOSH_GATHER_MS - 1;
    assert_int_equal(comes_back(&d, R, older)->kind, BOSH_DO_HOLD);
    assert_true(find(&d, BOSH_DO_HOLD)->due == d.now + 1);
    d.now += 1;
    assert_int_equal(comes_back(&d, R, older)->kind, BOSH_DO_ANSWER);
}

static void three_outstanding_do_not_gather(void **state)
{
    bosh_holder_t oldest;

    (void)state;
    request(&d, R, 0);
    oldest = d.holder;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    d.now += 1;
    request(&d, R + 2, BOSH_ASKS_PAUSE | BOSH_ASKS_PAYLOAD);
    assert_true(woken(&d, oldest) == d.now);
    d.s.slots[(R + 2) % BOSH_SLOTS].asks = BOSH_ASKS_PAYLOAD; /* not for the pause's sake */
    assert_int_equal(comes_back(&d, R, oldest)->kind, BOSH_DO_ANSWER);
}

static void next_answer_waits_until_the_one_before_is_written(void **state)
{
    bosh_holder_t older, newer;

    (void)state;
    request(&d, R, 0);
    older = d.holder;
    d.now += 100;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    newer = d.holder;
    d.now += BOSH_GATHER_MS;
    comes_back(&d, R, older);
    data(&d);
    d.now += 3000;
    assert_int_equal(comes_back(&d, R + 1, newer)->kind, BOSH_DO_HOLD);
    wrote(&d, R, older);
    assert_true(woken(&d, newer) == d.now);
}

static void order_of_writing_holds_over_a_skipped_request(void **state)
{
    bosh_holder_t first, second, third;

    (void)state;
    drive_open(&d, 3, WAIT);
    request(&d, R, 0);
    first = d.holder;
    request(&d, R + 1, 0);
    second = d.holder;
    request(&d, R + 2, 0);
    third = d.holder;
    d.now += 100;
    data(&d);
    comes_back(&d, R, first); /* being written */
    hangs_up(&d, R + 1, second);
    d.now += 100;
    data(&d);
    assert_int_equal(comes_back(&d, R + 2, third)->kind, BOSH_DO_HOLD);
    wrote(&d, R, first);
    d.now += BOSH_SPACING_MS;
    assert_true(comes_back(&d, R + 2, third)->with_down);
}

static void stuck_writer_blocks_nobody_for_good(void **state)
{
    bosh_holder_t older, newer;

    (void)state;
    request(&d, R, 0);
    older = d.holder;
    d.now += 100;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    newer = d.holder;
    d.now += BOSH_GATHER_MS;
    comes_back(&d, R, older);
    data(&d);
    assert_true(woken(&d, newer) == d.now + BOSH_WRITE_STUCK_MS);
    d.now += BOSH_WRITE_STUCK_MS;
    assert_true(comes_back(&d, R + 1, newer)->with_down);
    wrote(&d, R + 1, newer);
    /* and the one after it is not held up by the stuck one again */
    d.now += 1000;
    d.s.leg[0].has_down = 1;
    assert_int_equal(request(&d, R + 2, 0)->kind, BOSH_DO_ANSWER);
}

/* `wait` is promised to each request, and they are answered in order. */
static void a_newer_request_does_not_wait_longer_because_an_older_was_repeated(void **state)
{
    bosh_holder_t older, newer;
    bosh_msec_t due;

    (void)state;
    drive_open(&d, 2, WAIT);
    request(&d, R, 0);
    request(&d, R + 1, 0);
    newer = d.holder;
    due = d.now + BOSH_SEC(WAIT);
    d.now += BOSH_SEC(50);
    assert_true(request(&d, R, 0)->due == due);
    older = d.holder;
    d.now = due;
    assert_int_equal(comes_back(&d, R, older)->kind, BOSH_DO_ANSWER);
    wrote(&d, R, older);
    assert_true(slot_of(&d, R + 1)->due != 0 && slot_of(&d, R + 1)->due <= d.now + BOSH_SPACING_MS);
    d.now += BOSH_SPACING_MS;
    assert_int_equal(comes_back(&d, R + 1, newer)->kind, BOSH_DO_ANSWER);
}

static void a_request_whose_turn_comes_later_knows_its_time(void **state)
{
    bosh_holder_t older, newer;

    (void)state;
    drive_open(&d, 2, WAIT);
    request(&d, R, 0);
    older = d.holder;
    d.now += 500;
    assert_true(request(&d, R + 1, 0)->due == d.now + BOSH_SEC(WAIT));
    newer = d.holder;
    d.now += 500;
    data(&d);
    assert_true(comes_back(&d, R, older)->with_down);
    wrote(&d, R, older);
    assert_int_equal(woken(&d, newer), 0); /* it was told */
}

static void an_early_request_does_not_wait_longer_because_its_predecessor_came_late(void **state)
{
    bosh_msec_t due;

    (void)state;
    drive_open(&d, 2, WAIT);
    request(&d, R + 1, 0);
    due = d.now + BOSH_SEC(WAIT);
    d.now += BOSH_SEC(50);
    assert_true(request(&d, R, 0)->due == due);
}

static void a_ticket_used_again_is_not_left_without_a_time(void **state)
{
    bosh_holder_t reused;
    bosh_event_t ev = { .kind = BOSH_EV_REQUEST, .rid = R + 1 };

    (void)state;
    d.s.leg[0].has_down = 1;
    assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_ANSWER);
    reused = d.holder;
    ev.holder = reused; /* the same connection goes on before the write was reported */
    bosh_step(&d.s, &ev, d.now, &d.acts);
    d.now += 10;
    data(&d);
    wrote(&d, R, reused);
    assert_true(woken(&d, reused) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(holds_no_longer_than_wait, open_session),
        cmocka_unit_test_setup(stanza_wakes_the_holder_at_once, open_session),
        cmocka_unit_test_setup(waiting_stanza_is_the_answer, open_session),
        cmocka_unit_test_setup(holder_is_woken_once_for_many_stanzas, open_session),
        cmocka_unit_test_setup(no_more_than_hold_are_kept_waiting, open_session),
        cmocka_unit_test_setup(polling_session_is_answered_at_once, open_session),
        cmocka_unit_test_setup(release_for_a_payload_waits_for_its_reaction, open_session),
        cmocka_unit_test_setup(release_for_an_empty_request_is_immediate, open_session),
        cmocka_unit_test_setup(release_comes_after_the_gathering_time, open_session),
        cmocka_unit_test_setup(three_outstanding_do_not_gather, open_session),
        cmocka_unit_test_setup(next_answer_waits_until_the_one_before_is_written, open_session),
        cmocka_unit_test_setup(order_of_writing_holds_over_a_skipped_request, open_session),
        cmocka_unit_test_setup(stuck_writer_blocks_nobody_for_good, open_session),
        cmocka_unit_test_setup(a_newer_request_does_not_wait_longer_because_an_older_was_repeated,
                               open_session),
        cmocka_unit_test_setup(
            an_early_request_does_not_wait_longer_because_its_predecessor_came_late, open_session),
        cmocka_unit_test_setup(a_request_whose_turn_comes_later_knows_its_time, open_session),
        cmocka_unit_test_setup(a_ticket_used_again_is_not_left_without_a_time, open_session),
    };

    return cmocka_run_group_tests_name("hold", tests, NULL, NULL);
}
