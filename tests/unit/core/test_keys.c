/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Key sequences (XEP-0124 section 15). */

#include "drive.h"

#include "unit.h"

#define R (FIRST_RID + 1)

static drive_t d;

static int open_with_keys(void **state);

/* A sequence of keys: what key number n hashes to is key number n + 1. */
static void number(uint8_t *key, unsigned n)
{
    for (unsigned i = 0; i < BOSH_KEY_BYTES; i++) {
        key[i] = (uint8_t)(n * 7 + i);
    }
}

static const bosh_action_t *with_keys(uint64_t rid, uint8_t asks, unsigned key, unsigned newkey)
{
    bosh_keys_t keys = { .has_key = key != 0, .has_newkey = newkey != 0 };

    number(keys.key, key);
    number(keys.hash, key + 1);
    number(keys.newkey, newkey);
    return request_as(&d, rid,
                      (bosh_event_t){ .asks = asks, .stream = BOSH_NO_STREAM, .keys = &keys });
}

/* The creation request announced key number 100: the first one has number 99. */
static int open_with_keys(void **state)
{
    (void)state;
    drive_open(&d, 1, WAIT);
    d.s.has_key = 1;
    number(d.s.next_key, 100);
    return 0;
}

static int open_without(void **state)
{
    (void)state;
    drive_open(&d, 1, WAIT);
    return 0;
}

static void assert_broken(const bosh_action_t *a)
{
    assert_int_equal(a->answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(a->answer.condition, BOSH_COND_ITEM_NOT_FOUND);
    assert_int_equal(d.s.reason, BOSH_REASON_KEY);
    assert_int_equal(count(&d, BOSH_DO_FORWARD) + count(&d, BOSH_DO_RESTART), 0);
    assert_int_equal(count(&d, BOSH_DO_CLOSE), 1);
    assert_false(a->with_down);
}

static void each_key_follows_from_the_one_before(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        d.s.leg[0].has_down = 1;
        d.now += 100;
        assert_int_equal(with_keys(R + i, BOSH_ASKS_PAYLOAD, 99 - i, 0)->kind, BOSH_DO_ANSWER);
        wrote(&d, R + i, d.holder);
    }
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void wrong_key_ends_the_session_and_does_nothing(void **state)
{
    static const unsigned wrong[] = { 98, 100, 1 };

    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        open_with_keys(state);
        d.s.leg[0].has_down = 1;
        assert_broken(with_keys(R, BOSH_ASKS_PAYLOAD | BOSH_ASKS_TERMINATE, wrong[i], 50));
    }
}

static void missing_key_ends_the_session(void **state)
{
    (void)state;
    assert_broken(request(&d, R, BOSH_ASKS_PAYLOAD));
    open_with_keys(state);
    assert_broken(with_keys(R, BOSH_ASKS_RESTART, 0, 40)); /* a newkey is no key */
}

static void key_that_nobody_expects_ends_the_session(void **state)
{
    (void)state;
    assert_broken(with_keys(R, 0, 99, 0));
}

static void newkey_starts_a_sequence_later(void **state)
{
    (void)state;
    with_keys(R, 0, 0, 60);
    d.now += 1000;
    with_keys(R + 1, BOSH_ASKS_PAYLOAD, 59, 0);
    assert_int_equal(d.s.state, BOSH_OPEN);
    hangs_up(&d, R, (bosh_holder_t){ 3, 2 });
    hangs_up(&d, R + 1, d.holder);
    d.now += 1000;
    assert_broken(request(&d, R + 2, BOSH_ASKS_PAYLOAD));
}

static void newkey_switches_to_another_sequence(void **state)
{
    (void)state;
    with_keys(R, 0, 99, 60);
    d.now += 1000;
    with_keys(R + 1, BOSH_ASKS_PAYLOAD, 59, 0);
    assert_int_equal(d.s.state, BOSH_OPEN);
    d.now += 1000;
    with_keys(R + 2, BOSH_ASKS_PAYLOAD, 58, 0);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void old_sequence_is_over_after_a_newkey(void **state)
{
    (void)state;
    with_keys(R, BOSH_ASKS_URGENT, 99, 60);
    wrote(&d, R, d.holder);
    assert_broken(with_keys(R + 1, 0, 98, 0));
}

static void early_request_is_judged_in_its_turn(void **state)
{
    (void)state;
    assert_int_equal(with_keys(R + 1, BOSH_ASKS_PAYLOAD, 98, 0)->kind, BOSH_DO_HOLD);
    with_keys(R, BOSH_ASKS_PAYLOAD, 99, 0);
    assert_int_equal(count(&d, BOSH_DO_FORWARD), 2);
    assert_int_equal(d.s.state, BOSH_OPEN);
}

static void early_request_with_a_wrong_key_is_found_out(void **state)
{
    bosh_holder_t early;

    (void)state;
    assert_int_equal(with_keys(R + 1, BOSH_ASKS_PAYLOAD, 97, 0)->kind, BOSH_DO_HOLD);
    early = d.holder;
    data(&d);
    /* The one that came now is one that was held, for all it knows. */
    assert_int_equal(with_keys(R, BOSH_ASKS_PAYLOAD, 99, 0)->kind, BOSH_DO_ANSWER);
    assert_int_equal(find(&d, BOSH_DO_ANSWER)->answer.condition, BOSH_COND_OTHER_REQUEST);
    assert_true(find(&d, BOSH_DO_ANSWER)->with_down);
    assert_int_equal(count(&d, BOSH_DO_FORWARD), 1);
    wrote(&d, R, d.holder);
    assert_int_equal(comes_back(&d, R + 1, early)->answer.condition, BOSH_COND_ITEM_NOT_FOUND);
    assert_int_equal(d.s.reason, BOSH_REASON_KEY);
}

static void repeat_needs_the_key_that_its_rid_had(void **state)
{
    (void)state;
    d.s.leg[0].has_down = 1;
    with_keys(R, 0, 99, 0);
    wrote(&d, R, d.holder);
    assert_int_equal(with_keys(R, 0, 99, 0)->kind, BOSH_DO_REPEAT);
    assert_broken(with_keys(R, 0, 98, 0));
}

static void repeat_without_its_key_gets_nothing(void **state)
{
    (void)state;
    d.s.leg[0].has_down = 1;
    with_keys(R, 0, 99, 0);
    wrote(&d, R, d.holder);
    assert_broken(request(&d, R, 0));
    /* nor after the end */
    assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_REPLY);
    assert_int_equal(with_keys(R, 0, 99, 0)->kind, BOSH_DO_REPEAT);
}

static void repeat_with_a_key_where_none_was_ends_the_session(void **state)
{
    (void)state;
    request(&d, R, 0);
    assert_broken(with_keys(R, 0, 99, 0));
}

static void nobody_takes_a_waiting_clients_place_without_its_key(void **state)
{
    bosh_holder_t held;

    (void)state;
    with_keys(R, 0, 99, 0);
    held = d.holder;
    assert_broken(with_keys(R, 0, 96, 0));
    data(&d);
    assert_int_equal(comes_back(&d, R, held)->answer.condition, BOSH_COND_OTHER_REQUEST);
    assert_true(find(&d, BOSH_DO_ANSWER)->with_down);
}

static void nobody_takes_an_early_ones_place_without_its_key(void **state)
{
    (void)state;
    with_keys(R + 1, BOSH_ASKS_PAYLOAD, 98, 0);
    assert_broken(with_keys(R + 1, BOSH_ASKS_PAYLOAD, 97, 0));
}

static void a_stranger_gets_no_stanzas_after_the_end(void **state)
{
    (void)state;
    d.s.leg[0].has_down = 1;
    assert_broken(request(&d, R + 1, 0) ? request(&d, R, 0) : NULL);
    wrote(&d, R, d.holder);
    assert_int_equal(request(&d, R + 2, 0)->kind, BOSH_DO_REPLY);
    assert_int_equal(d.s.leg[0].has_down, 1);
}

static void late_request_with_its_key_gets_the_rest(void **state)
{
    (void)state;
    data(&d);
    stream_ended(&d, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_CLOSED);
    assert_int_equal(request(&d, R, 0)->kind, BOSH_DO_REPLY);
    assert_true(with_keys(R, 0, 99, 0)->with_down);
}

/* The session creation request, before anything else. */
static void create(unsigned key, unsigned newkey)
{
    bosh_terms_t terms;

    drive_begin(&d, 1, WAIT);
    terms = d.s.terms;
    bosh_session_init(&d.s, &terms, d.now);
    with_keys(FIRST_RID, BOSH_ASKS_PAYLOAD, key, newkey);
}

static void creation_begins_the_sequence(void **state)
{
    (void)state;
    create(0, 100);
    data(&d);
    opened(&d);
    comes_back(&d, FIRST_RID, d.holder);
    wrote(&d, FIRST_RID, d.holder);
    d.now += 100;
    with_keys(R, 0, 99, 0);
    assert_int_equal(d.s.state, BOSH_OPEN);
    assert_int_equal(d.s.has_key, 1);
}

static void creation_needs_no_key(void **state)
{
    (void)state;
    create(99, 98);
    assert_broken(find(&d, BOSH_DO_ANSWER));
}

/* The client may still miss an answer, whatever a stranger asks for. */
static void a_wrong_key_proves_no_delivery(void **state)
{
    (void)state;
    d.s.leg[0].has_down = 1;
    assert_int_equal(with_keys(R, 0, 99, 0)->kind, BOSH_DO_ANSWER);
    wrote(&d, R, d.holder);
    d.now += 1000;
    assert_broken(with_keys(R + 1, 0, 50, 0));
    assert_true(bosh_session_is_undelivered(&d.s, R % BOSH_SLOTS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creation_begins_the_sequence),
        cmocka_unit_test(creation_needs_no_key),
        cmocka_unit_test_setup(each_key_follows_from_the_one_before, open_with_keys),
        cmocka_unit_test_setup(wrong_key_ends_the_session_and_does_nothing, open_with_keys),
        cmocka_unit_test_setup(a_wrong_key_proves_no_delivery, open_with_keys),
        cmocka_unit_test_setup(missing_key_ends_the_session, open_with_keys),
        cmocka_unit_test_setup(key_that_nobody_expects_ends_the_session, open_without),
        cmocka_unit_test_setup(newkey_starts_a_sequence_later, open_without),
        cmocka_unit_test_setup(newkey_switches_to_another_sequence, open_with_keys),
        cmocka_unit_test_setup(old_sequence_is_over_after_a_newkey, open_with_keys),
        cmocka_unit_test_setup(early_request_is_judged_in_its_turn, open_with_keys),
        cmocka_unit_test_setup(early_request_with_a_wrong_key_is_found_out, open_with_keys),
        cmocka_unit_test_setup(repeat_needs_the_key_that_its_rid_had, open_with_keys),
        cmocka_unit_test_setup(repeat_without_its_key_gets_nothing, open_with_keys),
        cmocka_unit_test_setup(repeat_with_a_key_where_none_was_ends_the_session, open_without),
        cmocka_unit_test_setup(nobody_takes_a_waiting_clients_place_without_its_key,
                               open_with_keys),
        cmocka_unit_test_setup(nobody_takes_an_early_ones_place_without_its_key, open_with_keys),
        cmocka_unit_test_setup(a_stranger_gets_no_stanzas_after_the_end, open_with_keys),
        cmocka_unit_test_setup(late_request_with_its_key_gets_the_rest, open_with_keys),
    };

    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
