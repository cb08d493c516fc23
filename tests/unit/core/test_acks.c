/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Acknowledgements both ways (XEP-0124 section 9), and who has what. */

#include "drive.h"

#include "unit.h"

#define R (FIRST_RID + 1)

static drive_t d;

static int open_with_acks(void **state)
{
    bosh_holder_t creator;

    (void)state;
    drive_begin(&d, 1, WAIT);
    d.s.terms.acks = true;
    creator = d.holder;
    opened(&d);
    comes_back(&d, FIRST_RID, creator);
    wrote(&d, FIRST_RID, creator);
    d.now += 1000;
    return 0;
}

static int open_without(void **state)
{
    (void)state;
    drive_open(&d, 1, WAIT);
    return 0;
}

/* The next request gets a stanza at once. */
static const bosh_action_t *exchange(uint64_t ack)
{
    static bosh_action_t own;

    d.now += 1000;
    d.s.leg[0].has_down = 1;
    own = *request_ack(&d, d.s.next_rid, 0, ack);
    assert_int_equal(own.kind, BOSH_DO_ANSWER);
    d.s.slots[own.slot].bytes = 100;
    wrote(&d, d.s.next_rid - 1, d.holder);
    return &own;
}

static bool is_kept(uint64_t rid)
{
    return slot_of(&d, rid)->rid == rid && slot_of(&d, rid)->state == BOSH_SLOT_ANSWERED;
}

static bool is_undelivered(uint64_t rid)
{
    return bosh_session_is_undelivered(&d.s, rid % BOSH_SLOTS);
}

static void creation_answer_acknowledges_its_own_request(void **state)
{
    bosh_holder_t creator;

    (void)state;
    drive_begin(&d, 1, WAIT);
    d.s.terms.acks = true;
    creator = d.holder;
    opened(&d);
    assert_true(comes_back(&d, FIRST_RID, creator)->answer.ack == FIRST_RID);
}

static void answer_to_the_newest_request_acknowledges_nothing(void **state)
{
    (void)state;
    assert_true(exchange(0)->answer.ack == 0);
}

static void answer_acknowledges_the_newest_request_in_order(void **state)
{
    bosh_holder_t first;

    (void)state;
    d.s.terms.requests = 3;
    d.s.terms.hold = 2;
    request(&d, R, 0);
    first = d.holder;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    data(&d);
    assert_true(comes_back(&d, R, first)->answer.ack == R + 1);
    wrote(&d, R, first);
    request(&d, R + 3, BOSH_ASKS_PAYLOAD); /* R + 2 is missing */
    d.now += 100;
    data(&d);
    assert_true(comes_back(&d, R + 1, (bosh_holder_t){ 3, d.tickets - 1 })->answer.ack == 0);
}

static void without_acks_nothing_is_acknowledged(void **state)
{
    bosh_holder_t first;

    (void)state;
    request(&d, R, 0);
    first = d.holder;
    request_ack(&d, R + 1, BOSH_ASKS_PAYLOAD, FIRST_RID);
    assert_true(is_kept(FIRST_RID));
    data(&d);
    assert_true(comes_back(&d, R, first)->answer.ack == 0);
    assert_true(find(&d, BOSH_DO_ANSWER)->answer.report == 0);
}

static void an_answer_before_its_turn_acknowledges_too(void **state)
{
    (void)state;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    d.now += BOSH_SEC(WAIT);
    assert_true(comes_back(&d, R + 1, d.holder)->answer.ack == FIRST_RID);
}

static void repeated_answer_has_the_ack_it_had(void **state)
{
    bosh_holder_t first;
    bosh_answer_t answer;

    (void)state;
    request(&d, R, 0);
    first = d.holder;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    d.now += BOSH_GATHER_MS;
    answer = comes_back(&d, R, first)->answer;
    assert_true(answer.ack == R + 1);
    wrote(&d, R, first);
    data(&d);
    d.now += 100;
    comes_back(&d, R + 1, (bosh_holder_t){ 3, d.tickets });
    wrote(&d, R + 1, (bosh_holder_t){ 3, d.tickets });
    exchange(0);
    exchange(0);
    assert_memory_equal(&request(&d, R, 0)->answer, &answer, sizeof(answer));
}

static void answers_are_kept_until_acknowledged(void **state)
{
    (void)state;
    for (unsigned i = 0; i < BOSH_SLOTS / 2 - 1; i++) {
        exchange(0);
        assert_null(find(&d, BOSH_DO_DROP));
    }
    assert_true(is_kept(FIRST_RID));
    exchange(FIRST_RID + 4);
    assert_false(is_kept(FIRST_RID + 4));
    assert_true(is_kept(FIRST_RID + 5));
}

static void at_most_half_of_the_slots_are_kept(void **state)
{
    (void)state;
    for (unsigned i = 0; i < BOSH_SLOTS / 2; i++) {
        exchange(0);
    }
    assert_false(is_kept(FIRST_RID));
    assert_true(is_kept(FIRST_RID + 1));
}

static void large_answers_are_kept_as_without_acks(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) { /* R .. R + 3; R + 2 and R + 3 are the newest two */
        exchange(0);
    }
    d.s.slots[FIRST_RID % BOSH_SLOTS].bytes = 0;
    d.s.slots[R % BOSH_SLOTS].bytes = BOSH_KEPT_BYTES - 100;
    tick(&d);
    assert_true(is_kept(R));
    d.s.slots[R % BOSH_SLOTS].bytes++; /* with R + 1's hundred one too many */
    tick(&d);
    assert_false(is_kept(R) || is_kept(FIRST_RID));
    assert_true(is_kept(R + 1));
}

static void newest_answers_are_kept_however_large(void **state)
{
    (void)state;
    exchange(0);
    exchange(0);
    d.s.slots[R % BOSH_SLOTS].bytes = UINT32_MAX;
    d.s.slots[(R + 1) % BOSH_SLOTS].bytes = UINT32_MAX;
    data(&d);
    assert_true(is_kept(R) && is_kept(R + 1));
    assert_false(is_kept(FIRST_RID) && slot_of(&d, FIRST_RID)->bytes > 0);
}

static void acknowledged_answers_cannot_be_had_again(void **state)
{
    (void)state;
    exchange(0);
    exchange(R);
    assert_int_equal(request(&d, R, 0)->answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(d.s.reason, BOSH_REASON_RID);
}

static void an_ack_counts_in_its_turn(void **state)
{
    (void)state;
    exchange(0);
    request_ack(&d, R + 2, 0, R);
    assert_true(is_kept(R));
    request_ack(&d, R + 1, 0, FIRST_RID);
    assert_false(is_kept(R));
}

static void an_answer_being_written_outlives_its_ack(void **state)
{
    (void)state;
    d.s.leg[0].has_down = 1;
    request(&d, R, 0);
    request_ack(&d, R + 1, 0, R);
    assert_true(is_kept(R));
    wrote(&d, R, (bosh_holder_t){ 3, d.tickets - 1 });
    assert_false(is_kept(R));
}

static void a_missed_answer_is_reported_at_once(void **state)
{
    const bosh_action_t *a;

    (void)state;
    exchange(0);
    d.now += 4321;
    a = request_ack(&d, R + 1, 0, FIRST_RID);
    assert_int_equal(a->kind, BOSH_DO_ANSWER);
    assert_true(a->answer.report == R);
    assert_int_equal(a->answer.time, 4321);
    assert_int_equal(a->answer.kind, BOSH_ANSWER_DATA);
    wrote(&d, R + 1, d.holder);
    /* Told once. */
    d.now += 1000;
    assert_int_equal(request(&d, R + 2, 0)->kind, BOSH_DO_HOLD);
}

static void time_counts_from_when_it_was_fixed_if_it_is_not_written(void **state)
{
    bosh_holder_t first;

    (void)state;
    d.s.leg[0].has_down = 1;
    request(&d, R, 0);
    first = d.holder;
    d.now += 700;
    assert_int_equal(request_ack(&d, R + 1, 0, FIRST_RID)->kind, BOSH_DO_HOLD); /* behind it */
    hangs_up(&d, R, first);
    assert_int_equal(comes_back(&d, R + 1, d.holder)->answer.time, 700);
}

static void nothing_is_reported_to_whom_has_all(void **state)
{
    (void)state;
    exchange(0);
    assert_int_equal(request_ack(&d, R + 1, 0, R)->kind, BOSH_DO_HOLD);
}

static void acks_that_cannot_be_are_ignored(void **state)
{
    const uint64_t wrong[] = { 1, FIRST_RID - 1, R + 1, R + 2, R + 100, BOSH_RID_MAX, UINT64_MAX };

    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        open_with_acks(state);
        exchange(0);
        assert_int_equal(request_ack(&d, R + 1, 0, wrong[i])->kind, BOSH_DO_HOLD);
        assert_true(is_kept(FIRST_RID) && is_kept(R));
        assert_int_equal(d.s.state, BOSH_OPEN);
    }
}

static void a_repeat_makes_the_report_needless(void **state)
{
    (void)state;
    d.s.leg[0].has_down = 1;
    request(&d, R, 0);
    request_ack(&d, R + 1, 0, FIRST_RID); /* waits for the writer of R */
    assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_REPEAT);
    wrote(&d, R, (bosh_holder_t){ 3, 2 });
    d.now += 1000;
    assert_int_equal(comes_back(&d, R + 1, (bosh_holder_t){ 3, 3 })->kind, BOSH_DO_HOLD);
}

/* ---- what did not arrive --------------------------------------------------- */

static void what_was_never_written_is_undelivered(void **state)
{
    (void)state;
    d.s.leg[0].has_down = 1;
    request(&d, R, 0);
    assert_false(is_undelivered(R)); /* it is on its way */
    hangs_up(&d, R, d.holder);
    assert_true(is_undelivered(R));
    request(&d, R + 1, 0);
    assert_true(is_undelivered(R));
    wrote(&d, R, d.holder);
}

static void what_was_written_is_delivered_when_the_client_goes_on(void **state)
{
    (void)state;
    exchange(0);
    assert_true(is_undelivered(R));
    request(&d, R + 1, 0);
    assert_false(is_undelivered(R));
}

/* The newer request was there before. */
static void a_request_from_before_proves_nothing(void **state)
{
    bosh_holder_t first;

    (void)state;
    request(&d, R, 0);
    first = d.holder;
    request(&d, R + 1, BOSH_ASKS_PAYLOAD);
    data(&d);
    comes_back(&d, R, first);
    wrote(&d, R, first);
    assert_true(is_undelivered(R));
    request(&d, R + 2, 0);
    assert_false(is_undelivered(R));
}

static void who_asks_again_did_not_have_it(void **state)
{
    (void)state;
    exchange(0);
    request(&d, R + 1, 0);
    request(&d, R, 0);
    assert_true(is_undelivered(R));
    request(&d, R + 2, 0);
    assert_false(is_undelivered(R));
}

static void empty_answers_are_never_undelivered(void **state)
{
    (void)state;
    request(&d, R, BOSH_ASKS_URGENT);
    assert_false(is_undelivered(R));
    for (unsigned i = 0; i < 3 * BOSH_SLOTS; i++) {
        bosh_session_is_undelivered(&d.s, i * 77); /* any slot may be asked about */
    }
}

static void the_clients_terminate_needs_no_newer_request(void **state)
{
    (void)state;
    request(&d, R, 0);
    d.now += 100;
    request(&d, R + 1, 0);
    d.s.leg[0].has_down = 1;
    data(&d);
    comes_back(&d, R, (bosh_holder_t){ 3, d.tickets - 1 });
    wrote(&d, R, (bosh_holder_t){ 3, d.tickets - 1 });
    assert_true(is_undelivered(R));
    request(&d, R + 2, BOSH_ASKS_TERMINATE);
    assert_false(is_undelivered(R));
}

static void answers_written_after_the_clients_terminate_are_delivered(void **state)
{
    bosh_holder_t first;

    (void)state;
    request(&d, R, 0);
    first = d.holder;
    d.s.leg[0].has_down = 1;
    request(&d, R + 1, BOSH_ASKS_TERMINATE);
    assert_true(comes_back(&d, R, first)->with_down);
    assert_false(is_undelivered(R));
    wrote(&d, R, first);
    assert_false(is_undelivered(R));
}

static void a_terminal_answer_is_delivered_when_written(void **state)
{
    bosh_holder_t first;

    (void)state;
    request(&d, R, 0);
    first = d.holder;
    data(&d);
    ended_by_us(&d, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN);
    assert_int_equal(comes_back(&d, R, first)->answer.kind, BOSH_ANSWER_TERMINATE);
    assert_false(is_undelivered(R));
    wrote(&d, R, first);
    assert_false(is_undelivered(R));
}

static void with_acks_what_is_not_acknowledged_is_undelivered(void **state)
{
    (void)state;
    exchange(0);
    exchange(FIRST_RID);
    assert_true(is_undelivered(R) && is_undelivered(R + 1));
    exchange(R);
    assert_false(is_undelivered(R));
    assert_true(is_undelivered(R + 1));
    /* "SHOULD NOT include an ack if it has received responses to all its requests" */
    request(&d, R + 3, 0);
    assert_false(is_undelivered(R + 1) || is_undelivered(R + 2));
}

static void with_acks_terminate_leaves_the_unacknowledged_undelivered(void **state)
{
    (void)state;
    exchange(0);
    exchange(FIRST_RID);
    request_ack(&d, R + 2, BOSH_ASKS_TERMINATE, R);
    assert_true(is_undelivered(R + 1));
}

/* It comes after the end, and says what it has. */
static void an_ack_after_the_end_counts(void **state)
{
    (void)state;
    exchange(0);
    exchange(FIRST_RID);
    ended_by_us(&d, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN);
    assert_true(is_undelivered(R) && is_undelivered(R + 1));
    request_ack(&d, R + 2, 0, R);
    assert_false(is_undelivered(R));
    assert_true(is_undelivered(R + 1));
}

/* Two copies of a request, and the first one's answer is on its way. */
static void a_repeat_during_the_write_takes_nothing_back(void **state)
{
    bosh_holder_t first;

    (void)state;
    d.s.leg[0].has_down = 1;
    request(&d, R, 0);
    first = d.holder;
    assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_REPEAT);
    assert_false(is_undelivered(R));
    wrote(&d, R, first);
    assert_true(is_undelivered(R));
}

/* Nobody asks for anything after the end, and nobody reports that a copy is written. */
static void what_is_repeated_after_the_end_is_delivered(void **state)
{
    (void)state;
    exchange(0);
    assert_true(is_undelivered(R));
    ended_by_us(&d, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN);
    assert_true(is_undelivered(R));
    assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_REPEAT);
    assert_false(is_undelivered(R));
}

/* An older copy of the request comes back, and takes the answer with it. Nobody asked for
 * that one: the client has it, and went on. */
static void a_replaced_copys_answer_proves_nothing(void **state)
{
    bosh_holder_t older, newer;

    (void)state;
    request(&d, R, 0);
    older = d.holder;
    d.now += 100;
    request(&d, R, 0);
    newer = d.holder;
    d.s.leg[0].has_down = 1;
    data(&d);
    assert_int_equal(comes_back(&d, R, newer)->kind, BOSH_DO_ANSWER);
    wrote(&d, R, newer);
    request(&d, R + 1, 0);
    assert_false(is_undelivered(R));
    d.now += BOSH_REPLACED_MS;
    assert_int_equal(comes_back(&d, R, older)->kind, BOSH_DO_REPEAT);
    assert_false(is_undelivered(R));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(creation_answer_acknowledges_its_own_request, open_with_acks),
        cmocka_unit_test_setup(answer_to_the_newest_request_acknowledges_nothing, open_with_acks),
        cmocka_unit_test_setup(answer_acknowledges_the_newest_request_in_order, open_with_acks),
        cmocka_unit_test_setup(without_acks_nothing_is_acknowledged, open_without),
        cmocka_unit_test_setup(an_answer_before_its_turn_acknowledges_too, open_with_acks),
        cmocka_unit_test_setup(repeated_answer_has_the_ack_it_had, open_with_acks),
        cmocka_unit_test_setup(answers_are_kept_until_acknowledged, open_with_acks),
        cmocka_unit_test_setup(at_most_half_of_the_slots_are_kept, open_with_acks),
        cmocka_unit_test_setup(large_answers_are_kept_as_without_acks, open_with_acks),
        cmocka_unit_test_setup(newest_answers_are_kept_however_large, open_with_acks),
        cmocka_unit_test_setup(acknowledged_answers_cannot_be_had_again, open_with_acks),
        cmocka_unit_test_setup(an_ack_counts_in_its_turn, open_with_acks),
        cmocka_unit_test_setup(an_answer_being_written_outlives_its_ack, open_with_acks),
        cmocka_unit_test_setup(a_missed_answer_is_reported_at_once, open_with_acks),
        cmocka_unit_test_setup(time_counts_from_when_it_was_fixed_if_it_is_not_written,
                               open_with_acks),
        cmocka_unit_test_setup(nothing_is_reported_to_whom_has_all, open_with_acks),
        cmocka_unit_test_setup(acks_that_cannot_be_are_ignored, open_with_acks),
        cmocka_unit_test_setup(a_repeat_makes_the_report_needless, open_with_acks),
        cmocka_unit_test_setup(what_was_never_written_is_undelivered, open_without),
        cmocka_unit_test_setup(what_was_written_is_delivered_when_the_client_goes_on, open_without),
        cmocka_unit_test_setup(a_request_from_before_proves_nothing, open_without),
        cmocka_unit_test_setup(who_asks_again_did_not_have_it, open_without),
        cmocka_unit_test_setup(empty_answers_are_never_undelivered, open_without),
        cmocka_unit_test_setup(the_clients_terminate_needs_no_newer_request, open_without),
        cmocka_unit_test_setup(answers_written_after_the_clients_terminate_are_delivered,
                               open_without),
        cmocka_unit_test_setup(a_terminal_answer_is_delivered_when_written, open_without),
        cmocka_unit_test_setup(with_acks_what_is_not_acknowledged_is_undelivered, open_with_acks),
        cmocka_unit_test_setup(with_acks_terminate_leaves_the_unacknowledged_undelivered,
                               open_with_acks),
        cmocka_unit_test_setup(an_ack_after_the_end_counts, open_with_acks),
        cmocka_unit_test_setup(a_repeat_during_the_write_takes_nothing_back, open_without),
        cmocka_unit_test_setup(what_is_repeated_after_the_end_is_delivered, open_without),
        cmocka_unit_test_setup(a_replaced_copys_answer_proves_nothing, open_without),
    };

    return cmocka_run_group_tests_name("acks", tests, NULL, NULL);
}
