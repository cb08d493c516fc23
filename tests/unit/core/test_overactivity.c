/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Requests sent without need while others wait (XEP-0124 section 11). */

#include "drive.h"

#include "unit.h"

#define R (FIRST_RID + 1)

static drive_t d;

#define TOO_SOON (BOSH_SEC(POLLING) - BOSH_POLL_SLACK_MS)

static int open_session(void **state)
{
    (void)state;
    drive_open(&d, 1, WAIT);
    return 0;
}

/* The older one is released by the newer one, and written. */
static void release(uint64_t rid, bosh_holder_t holder)
{
    assert_int_equal(comes_back(&d, rid, holder)->kind, BOSH_DO_ANSWER);
    wrote(&d, rid, holder);
}

/* Empty requests, each `apart` after the one before; returns how many were let in. */
static unsigned hurry(uint64_t rid, unsigned n, bosh_msec_t apart, uint8_t asks)
{
    bosh_holder_t held;

    assert_int_equal(request(&d, rid, asks)->kind, BOSH_DO_HOLD);
    held = d.holder;
    for (unsigned i = 1; i <= n; i++) {
        d.now += apart;
        if (request(&d, rid + i, asks)->kind != BOSH_DO_HOLD || d.s.state != BOSH_OPEN) {
            return i - 1;
        }
        release(rid + i - 1, held);
        held = d.holder;
    }
    return n;
}

static void some_in_a_row_are_answered_and_one_more_is_not(void **state)
{
    (void)state;
    assert_int_equal(hurry(R, 20, 100, 0), BOSH_MAX_HASTY - 1);
    assert_int_equal(d.s.reason, BOSH_REASON_OVERACTIVE);
    assert_int_equal(d.s.condition, BOSH_COND_POLICY_VIOLATION);
}

static void the_last_one_learns_it_and_the_held_one_learns_of_another(void **state)
{
    bosh_holder_t last;

    (void)state;
    hurry(R, 20, 100, 0);
    last = d.holder;
    assert_int_equal(comes_back(&d, R + 4, (bosh_holder_t){ 3, d.tickets - 1 })->answer.condition,
                     BOSH_COND_OTHER_REQUEST);
    wrote(&d, R + 4, (bosh_holder_t){ 3, d.tickets - 1 });
    assert_int_equal(comes_back(&d, R + 5, last)->answer.condition, BOSH_COND_POLICY_VIOLATION);
    wrote(&d, R + 5, last);
    assert_int_equal(request(&d, R + 6, 0)->answer.condition, BOSH_COND_POLICY_VIOLATION);
}

static void those_that_come_no_sooner_than_polling_are_fine(void **state)
{
    (void)state;
    assert_int_equal(hurry(R, 20, TOO_SOON, 0), 20);
    open_session(state);
    assert_int_equal(hurry(R, 20, TOO_SOON - 1, 0), BOSH_MAX_HASTY - 1);
}

static void without_polling_there_is_no_limit(void **state)
{
    (void)state;
    d.s.terms.polling = 0;
    assert_int_equal(hurry(R, 20, 10, 0), 20);
}

static void clients_whose_leaving_is_not_seen_are_not_counted(void **state)
{
    (void)state;
    assert_int_equal(hurry(R, 20, 100, BOSH_ASKS_DEAF), 20);
}

static void a_payload_ends_the_row(void **state)
{
    (void)state;
    assert_int_equal(hurry(R, BOSH_MAX_HASTY - 1, 100, 0), BOSH_MAX_HASTY - 1);
    assert_int_equal(request(&d, R + 5, BOSH_ASKS_PAYLOAD)->kind, BOSH_DO_HOLD);
    d.now += BOSH_GATHER_MS;
    release(R + 4, (bosh_holder_t){ 3, d.tickets - 1 });
    /* nor is the next one without need: it was the other one that had the payload */
    assert_int_equal(request(&d, R + 6, 0)->kind, BOSH_DO_HOLD);
    assert_int_equal(d.s.hasty, 0);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void older_ones_whose_clients_left_are_not_counted(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        request(&d, R + i, 0);
        hangs_up(&d, R + i, d.holder);
        d.now += 100;
    }
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void older_ones_with_more_bytes_behind_them_are_not_counted(void **state)
{
    (void)state;
    d.s.leg[0].has_down = 1;
    request(&d, R, BOSH_ASKS_URGENT); /* being written: the others queue up */
    request(&d, R + 1, BOSH_ASKS_URGENT);
    request(&d, R + 2, 0);
    assert_int_equal(d.s.hasty, 0);
}

static void fewer_than_requests_are_not_counted(void **state)
{
    (void)state;
    drive_open(&d, 2, WAIT);
    request(&d, R, 0);
    request(&d, R + 1, 0);
    assert_int_equal(d.s.hasty, 0);
    request(&d, R + 2, 0);
    assert_int_equal(d.s.hasty, 1);
}

static void pauses_and_ends_are_not_counted(void **state)
{
    (void)state;
    request(&d, R, 0);
    request_pause(&d, R + 1, 10);
    assert_int_equal(d.s.hasty, 0);
}

/* Sent first, and arrived last. */
static void overtaken_requests_are_judged_in_their_turn(void **state)
{
    (void)state;
    request(&d, R + 1, 0);
    assert_int_equal(d.s.hasty, 0);
    request(&d, R, 0);
    assert_int_equal(d.s.hasty, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(some_in_a_row_are_answered_and_one_more_is_not, open_session),
        cmocka_unit_test_setup(the_last_one_learns_it_and_the_held_one_learns_of_another,
                               open_session),
        cmocka_unit_test_setup(those_that_come_no_sooner_than_polling_are_fine, open_session),
        cmocka_unit_test_setup(without_polling_there_is_no_limit, open_session),
        cmocka_unit_test_setup(clients_whose_leaving_is_not_seen_are_not_counted, open_session),
        cmocka_unit_test_setup(a_payload_ends_the_row, open_session),
        cmocka_unit_test_setup(older_ones_whose_clients_left_are_not_counted, open_session),
        cmocka_unit_test_setup(older_ones_with_more_bytes_behind_them_are_not_counted,
                               open_session),
        cmocka_unit_test_setup(fewer_than_requests_are_not_counted, open_session),
        cmocka_unit_test_setup(pauses_and_ends_are_not_counted, open_session),
        cmocka_unit_test_setup(overtaken_requests_are_judged_in_their_turn, open_session),
    };

    return cmocka_run_group_tests_name("overactivity", tests, NULL, NULL);
}
