/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* The same request once more (XEP-0124 14.3), and clients that hang up. */

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

static void replays_answer_for_repeated_rid(void **state)
{
    const bosh_action_t *a;

    (void)state;
    d.s.leg[0].has_down = 1;
    assert_true(request(&d, R, BOSH_ASKS_PAYLOAD)->with_down);
    wrote(&d, R, d.holder);
    d.now += 10;
    a = request(&d, R, BOSH_ASKS_PAYLOAD);
    assert_int_equal(a->kind, BOSH_DO_REPEAT);
    assert_int_equal(a->slot, R % BOSH_SLOTS);
    assert_int_equal(a->answer.kind, BOSH_ANSWER_DATA);
    assert_int_equal(d.acts.n, 1); /* nothing stored, forwarded, dropped */
}

static void replay_takes_no_new_stanzas(void **state)
{
    (void)state;
    d.s.leg[0].has_down = 1;
    request(&d, R, 0);
    wrote(&d, R, d.holder);
    data(&d);
    assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_REPEAT);
    assert_int_equal(d.s.leg[0].has_down, 1);
}

static void newest_copy_of_a_held_request_gets_the_answer(void **state)
{
    bosh_holder_t older, newer;

    (void)state;
    request(&d, R, BOSH_ASKS_PAYLOAD);
    older = d.holder;
    d.now += 50;
    assert_int_equal(request(&d, R, BOSH_ASKS_PAYLOAD)->kind, BOSH_DO_HOLD);
    newer = d.holder;
    assert_int_equal(count(&d, BOSH_DO_STORE) + count(&d, BOSH_DO_FORWARD), 0);
    assert_true(woken(&d, older) == d.now + BOSH_REPLACED_MS);
    data(&d);
    assert_true(woken(&d, newer) == d.now);
    assert_int_equal(comes_back(&d, R, older)->kind, BOSH_DO_REPLY);
    assert_true(comes_back(&d, R, newer)->with_down);
}

static void replaced_copy_gets_a_recoverable_error(void **state)
{
    bosh_holder_t older;
    const bosh_action_t *a;

    (void)state;
    request(&d, R, 0);
    older = d.holder;
    request(&d, R, 0);
    a = comes_back(&d, R, older);
    assert_int_equal(a->kind, BOSH_DO_REPLY);
    assert_int_equal(a->answer.kind, BOSH_ANSWER_ERROR);
    assert_int_equal(a->answer.condition, BOSH_COND_NONE);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

/* The newer copy was one that its client had aborted, and that was slower on its way. */
static void replaced_copy_gets_what_the_newer_one_got(void **state)
{
    bosh_holder_t older, newer;
    const bosh_action_t *a;

    (void)state;
    request(&d, R, 0);
    older = d.holder;
    request(&d, R, 0);
    newer = d.holder;
    data(&d);
    assert_true(comes_back(&d, R, newer)->with_down);
    hangs_up(&d, R, newer);
    d.now += BOSH_REPLACED_MS;
    a = comes_back(&d, R, older);
    assert_int_equal(a->kind, BOSH_DO_REPEAT);
    assert_int_equal(a->slot, R % BOSH_SLOTS);
}

/* A thread came late to a request that its client had aborted and sent again. */
static void a_copy_of_a_client_that_has_gone_replaces_nobody(void **state)
{
    bosh_event_t ev = { .kind = BOSH_EV_REQUEST, .rid = R, .holder = BOSH_NOBODY };
    bosh_holder_t newer;

    (void)state;
    request(&d, R, 0);
    newer = d.holder;
    assert_true(bosh_session_is_stale(&d.s, R));
    bosh_step(&d.s, &ev, d.now, &d.acts);
    assert_int_equal(d.acts.n, 1);
    assert_int_equal(d.acts.a[0].kind, BOSH_DO_REPLY);
    data(&d);
    assert_true(comes_back(&d, R, newer)->with_down);
    wrote(&d, R, newer);
    assert_false(bosh_session_is_stale(&d.s, R));
}

static void nor_one_of_a_request_that_came_before_its_turn(void **state)
{
    bosh_event_t ev = { .kind = BOSH_EV_REQUEST, .rid = R + 1, .holder = BOSH_NOBODY };
    bosh_holder_t newer;

    (void)state;
    request(&d, R + 1, 0);
    newer = d.holder;
    assert_true(bosh_session_is_stale(&d.s, R + 1));
    bosh_step(&d.s, &ev, d.now, &d.acts);
    assert_int_equal(slot_of(&d, R + 1)->holder.ticket, newer.ticket);
}

static void replaced_copy_that_hangs_up_takes_nobody_with_it(void **state)
{
    bosh_holder_t older, newer;

    (void)state;
    request(&d, R, 0);
    older = d.holder;
    request(&d, R, 0);
    newer = d.holder;
    hangs_up(&d, R, older);
    assert_true(bosh_session_is_attended(&d.s));
    data(&d);
    assert_true(comes_back(&d, R, newer)->with_down);
    wrote(&d, R, older); /* not the writer */
    assert_true(bosh_session_is_attended(&d.s));
    wrote(&d, R, newer);
    assert_false(bosh_session_is_attended(&d.s));
}

static void repeat_with_bytes_behind_it_is_answered_at_once(void **state)
{
    (void)state;
    request(&d, R, 0);
    d.now += 500;
    assert_int_equal(request(&d, R, BOSH_ASKS_URGENT)->kind, BOSH_DO_ANSWER);
}

static void keeps_stanzas_when_the_holder_hung_up(void **state)
{
    (void)state;
    request(&d, R, 0);
    hangs_up(&d, R, d.holder);
    data(&d);
    assert_int_equal(d.acts.n, 0);
    assert_int_equal(d.s.leg[0].has_down, 1);
    d.now += 100;
    assert_true(request(&d, R, 0)->with_down);
}

static void next_rid_gets_what_the_aborted_one_did_not(void **state)
{
    (void)state;
    request(&d, R, 0);
    hangs_up(&d, R, d.holder);
    data(&d);
    d.now += 100;
    assert_true(request(&d, R + 1, 0)->with_down);
    /* The aborted one is passed over with an empty answer, which is now its answer. */
    assert_int_equal(d.acts.a[0].kind, BOSH_DO_ANSWER);
    assert_int_equal(d.acts.a[0].slot, R % BOSH_SLOTS);
    assert_false(d.acts.a[0].with_down);
    assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_REPEAT);
}

static void an_answer_nobody_reads_delays_nobody(void **state)
{
    (void)state;
    request(&d, R, 0);
    hangs_up(&d, R, d.holder);
    data(&d);
    d.now += 100;
    assert_int_equal(request(&d, R + 1, 0)->kind, BOSH_DO_ANSWER);
}

static void stanzas_that_came_before_the_hang_up_was_seen_are_kept(void **state)
{
    (void)state;
    request(&d, R, 0);
    data(&d); /* the holder is woken, and while it comes back its client leaves */
    hangs_up(&d, R, d.holder);
    assert_int_equal(d.s.leg[0].has_down, 1);
    assert_int_equal(comes_back(&d, R, d.holder)->answer.kind, BOSH_ANSWER_ERROR);
    assert_int_equal(d.s.leg[0].has_down, 1);
}

static void hang_up_while_writing_frees_the_next(void **state)
{
    bosh_holder_t first;

    (void)state;
    request(&d, R, 0);
    first = d.holder;
    d.now += 100;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    d.now += BOSH_GATHER_MS;
    assert_int_equal(comes_back(&d, R, first)->kind, BOSH_DO_ANSWER);
    data(&d);
    assert_true(woken(&d, d.holder) == d.now + BOSH_WRITE_STUCK_MS);
    hangs_up(&d, R, first);
    assert_true(woken(&d, d.holder) != 0 && woken(&d, d.holder) <= d.now + BOSH_SPACING_MS);
}

static void pipelined_request_behind_is_answered_at_once(void **state)
{
    (void)state;
    assert_int_equal(request(&d, R, BOSH_ASKS_URGENT)->kind, BOSH_DO_ANSWER);
    assert_false(find(&d, BOSH_DO_ANSWER)->with_down);
}

static void held_request_can_become_urgent(void **state)
{
    (void)state;
    request(&d, R, 0);
    d.now += 700;
    assert_int_equal(comes_back(&d, R, d.holder)->kind, BOSH_DO_HOLD);
    assert_int_equal(comes_back_urgently(&d, R, d.holder)->kind, BOSH_DO_ANSWER);
}

/* A child that stops has the newer request; another child has the older. */
static void urgent_request_does_not_wait_for_an_older_one(void **state)
{
    bosh_holder_t older, newer;

    (void)state;
    drive_open(&d, 2, WAIT);
    request(&d, R, 0);
    older = d.holder;
    request(&d, R + 1, 0);
    newer = d.holder;
    d.now += 700;
    assert_int_equal(comes_back_urgently(&d, R + 1, newer)->kind, BOSH_DO_HOLD);
    assert_true(woken(&d, older) == d.now);
    assert_int_equal(comes_back(&d, R, older)->kind, BOSH_DO_ANSWER);
    wrote(&d, R, older);
    assert_true(woken(&d, newer) <= d.now + BOSH_SPACING_MS && woken(&d, newer) != 0);
}

static void strangers_get_an_error_and_change_nothing(void **state)
{
    bosh_session_t before;

    (void)state;
    request(&d, R, 0);
    before = d.s;
    assert_int_equal(comes_back(&d, R + 5, (bosh_holder_t){ 1, 77 })->answer.kind,
                     BOSH_ANSWER_ERROR);
    assert_int_equal(comes_back(&d, R, (bosh_holder_t){ 1, 77 })->answer.kind, BOSH_ANSWER_ERROR);
    hangs_up(&d, R, (bosh_holder_t){ 1, 77 });
    wrote(&d, R, (bosh_holder_t){ 1, 77 });
    assert_memory_equal(&before, &d.s, sizeof(before));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(replays_answer_for_repeated_rid, open_session),
        cmocka_unit_test_setup(replay_takes_no_new_stanzas, open_session),
        cmocka_unit_test_setup(newest_copy_of_a_held_request_gets_the_answer, open_session),
        cmocka_unit_test_setup(replaced_copy_gets_a_recoverable_error, open_session),
        cmocka_unit_test_setup(replaced_copy_gets_what_the_newer_one_got, open_session),
        cmocka_unit_test_setup(a_copy_of_a_client_that_has_gone_replaces_nobody, open_session),
        cmocka_unit_test_setup(nor_one_of_a_request_that_came_before_its_turn, open_session),
        cmocka_unit_test_setup(replaced_copy_that_hangs_up_takes_nobody_with_it, open_session),
        cmocka_unit_test_setup(repeat_with_bytes_behind_it_is_answered_at_once, open_session),
        cmocka_unit_test_setup(keeps_stanzas_when_the_holder_hung_up, open_session),
        cmocka_unit_test_setup(next_rid_gets_what_the_aborted_one_did_not, open_session),
        cmocka_unit_test_setup(an_answer_nobody_reads_delays_nobody, open_session),
        cmocka_unit_test_setup(stanzas_that_came_before_the_hang_up_was_seen_are_kept,
                               open_session),
        cmocka_unit_test_setup(hang_up_while_writing_frees_the_next, open_session),
        cmocka_unit_test_setup(pipelined_request_behind_is_answered_at_once, open_session),
        cmocka_unit_test_setup(held_request_can_become_urgent, open_session),
        cmocka_unit_test_setup(urgent_request_does_not_wait_for_an_older_one, open_session),
        cmocka_unit_test_setup(strangers_get_an_error_and_change_nothing, open_session),
    };

    return cmocka_run_group_tests_name("repeat", tests, NULL, NULL);
}
