/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Session creation: what the client asks for, and what it gets (XEP-0124 section 7). */

#include "bosh/core.h"

#include "unit.h"

static const bosh_policy_t policy = {
    .wait = 60, .hold = 2, .inactivity = 30, .polling = 5, .maxpause = 120, .connect_timeout = 20
};

static bosh_terms_t terms;

static bosh_offer_t offer(void)
{
    return (bosh_offer_t){ BOSH_STR("1573741820"), BOSH_STR("1.6"), BOSH_STR("60"), BOSH_STR("1"),
                           BOSH_ABSENT };
}

static bool agrees(bosh_offer_t o)
{
    return bosh_negotiate(&o, &policy, &terms);
}

static void agrees_to_what_is_within_limits(void **state)
{
    (void)state;
    assert_true(agrees(offer()));
    assert_int_equal(terms.rid, 1573741820);
    assert_int_equal(terms.wait, 60);
    assert_int_equal(terms.hold, 1);
    assert_int_equal(terms.requests, 2);
    assert_int_equal(terms.inactivity, 30);
    assert_int_equal(terms.polling, 5);
    assert_int_equal(terms.maxpause, 120);
    assert_int_equal(terms.connect_timeout, 20);
    assert_int_equal(terms.ver_major, 1);
    assert_int_equal(terms.ver_minor, 6);
    assert_false(terms.acks);
}

static bool takes_rid(bosh_str_t rid)
{
    bosh_offer_t o = offer();

    o.rid = rid;
    return agrees(o);
}

static void rid_is_a_positive_integer_that_can_be_incremented(void **state)
{
    (void)state;
    assert_true(takes_rid(BOSH_STR("1")));
    assert_true(takes_rid(BOSH_STR("9007199254740990")));
    assert_true(terms.rid == UINT64_C(9007199254740990));
    assert_false(takes_rid(BOSH_STR("0")));
    assert_false(takes_rid(BOSH_STR("9007199254740991")));
    assert_false(takes_rid(BOSH_STR("9007199254740992")));
    assert_false(takes_rid(BOSH_STR("18446744073709551616")));
    assert_false(takes_rid(BOSH_STR("18446744073709551617")));
}

static void rid_has_no_other_notation(void **state)
{
    static const char *const wrong[] = { "",    " 1",  "1 ",    "+1",  "-1",  "0x10", "1e3",
                                         "1.0", "NaN", "0x3E9", "1_0", "\t1", "١",    "1,0" };

    (void)state;
    assert_false(takes_rid(BOSH_ABSENT));
    assert_false(takes_rid((bosh_str_t){ "1\0002", 3 }));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(takes_rid(bosh_str(wrong[i])));
    }
}

static void refused_terms_are_not_left_half_filled(void **state)
{
    (void)state;
    terms.requests = 77;
    assert_false(takes_rid(BOSH_STR("x")));
    assert_int_equal(terms.requests, 0);
}

static void version_is_the_lower_of_both(void **state)
{
    static const struct {
        const char *asked;
        unsigned major, minor;
    } cases[] = { { "1.10", 1, 10 }, { "1.9", 1, 9 },   { "1.11", 1, 11 },
                  { "1.12", 1, 11 }, { "2.0", 1, 11 },  { "1.0", 1, 0 },
                  { "0.9", 0, 9 },   { "10.1", 1, 11 }, { "1.100", 1, 11 } };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bosh_offer_t o = offer();

        o.ver = bosh_str(cases[i].asked);
        assert_true(agrees(o));
        assert_int_equal(terms.ver_major, cases[i].major);
        assert_int_equal(terms.ver_minor, cases[i].minor);
    }
}

static void client_without_version_is_a_legacy_client(void **state)
{
    bosh_offer_t o = offer();

    (void)state;
    o.ver = BOSH_ABSENT;
    assert_true(agrees(o));
    assert_int_equal(terms.ver_major, 0);
    assert_int_equal(terms.ver_minor, 0);
}

static void malformed_version_is_refused(void **state)
{
    static const char *const wrong[] = { "",      "1",    ".",    "1.",   ".6",
                                         "1.6.1", "1.-6", "1. 6", "v1.6", "1,6" };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        bosh_offer_t o = offer();

        o.ver = bosh_str(wrong[i]);
        assert_false(agrees(o));
    }
}

static void wait_is_never_longer_than_asked_or_allowed(void **state)
{
    bosh_offer_t o = offer();

    (void)state;
    o.wait = BOSH_STR("10");
    assert_true(agrees(o));
    assert_int_equal(terms.wait, 10);
    o.wait = BOSH_STR("61");
    assert_true(agrees(o));
    assert_int_equal(terms.wait, 60);
    o.wait = BOSH_STR("18446744073709551615");
    assert_true(agrees(o));
    assert_int_equal(terms.wait, 60);
    o.wait = BOSH_STR("0");
    assert_true(agrees(o));
    assert_int_equal(terms.wait, 0);
    o.wait = BOSH_ABSENT;
    assert_true(agrees(o));
    assert_int_equal(terms.wait, 60);
}

static void hold_is_never_more_than_asked_or_allowed(void **state)
{
    static const struct {
        const char *asked;
        unsigned hold;
    } cases[] = { { "0", 0 }, { "1", 1 }, { "2", 2 }, { "3", 2 }, { "4294967297", 2 } };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bosh_offer_t o = offer();

        o.hold = bosh_str(cases[i].asked);
        assert_true(agrees(o));
        assert_int_equal(terms.hold, cases[i].hold);
        assert_int_equal(terms.requests, cases[i].hold + 1);
    }
}

static void absent_hold_means_one(void **state)
{
    bosh_offer_t o = offer();

    (void)state;
    o.hold = BOSH_ABSENT;
    assert_true(agrees(o));
    assert_int_equal(terms.hold, 1);
}

static void window_never_outgrows_the_slots(void **state)
{
    bosh_policy_t generous = policy;
    bosh_offer_t o = offer();

    (void)state;
    generous.hold = 1000;
    o.hold = BOSH_STR("1000");
    assert_true(bosh_negotiate(&o, &generous, &terms));
    assert_int_equal(terms.hold, BOSH_MAX_REQUESTS - 1);
    assert_int_equal(terms.requests, BOSH_MAX_REQUESTS);
    /* half of the ring for kept answers, half for requests and one more to pause or end */
    assert_true(BOSH_MAX_REQUESTS + 1 <= BOSH_SLOTS / 2);
}

static void malformed_numbers_are_refused(void **state)
{
    static const char *const wrong[] = { "",    "-1",  "+1",
                                         " 1",  "1 ",  "0x1",
                                         "1.5", "one", "99999999999999999999" };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        bosh_offer_t o = offer();

        o.wait = bosh_str(wrong[i]);
        assert_false(agrees(o));
        o = offer();
        o.hold = bosh_str(wrong[i]);
        assert_false(agrees(o));
        o = offer();
        o.ack = bosh_str(wrong[i]);
        assert_false(agrees(o));
    }
}

static void only_ack_1_means_acks(void **state)
{
    bosh_offer_t o = offer();

    (void)state;
    o.ack = BOSH_STR("1");
    assert_true(agrees(o));
    assert_true(terms.acks);
    o.ack = BOSH_STR("0");
    assert_true(agrees(o));
    assert_false(terms.acks);
    o.ack = BOSH_STR("2");
    assert_true(agrees(o));
    assert_false(terms.acks);
}

static bosh_terms_t agree(const char *wait, const char *hold, bosh_policy_t p)
{
    bosh_offer_t o = offer();

    o.wait = bosh_str(wait);
    o.hold = bosh_str(hold);
    assert_true(bosh_negotiate(&o, &p, &terms));
    return terms;
}

static void who_polls_may_be_away_for_longer(void **state)
{
    bosh_policy_t strict = policy;

    (void)state;
    assert_false(agree("60", "1", policy).is_polling);
    assert_true(agree("0", "1", policy).is_polling);
    assert_int_equal(terms.inactivity, 30 + 2 * 5);
    assert_true(agree("60", "0", policy).is_polling);
    assert_int_equal(terms.inactivity, 30 + 2 * 5);
    strict.hold = 0;
    assert_true(agree("60", "1", strict).is_polling);
    strict = policy;
    strict.wait = 0;
    assert_true(agree("60", "1", strict).is_polling);
    strict.polling = 0;
    assert_int_equal(agree("0", "0", strict).inactivity, 30);
}

static void streams_are_as_many_as_allowed_and_there_is_room_for(void **state)
{
    bosh_policy_t p = policy;

    (void)state;
    p.streams = 2;
    assert_int_equal(agree("60", "1", p).streams, 2);
    p.streams = BOSH_MAX_STREAMS;
    assert_int_equal(agree("60", "1", p).streams, BOSH_MAX_STREAMS);
    p.streams = 258;
    assert_int_equal(agree("60", "1", p).streams, BOSH_MAX_STREAMS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_to_what_is_within_limits),
        cmocka_unit_test(rid_is_a_positive_integer_that_can_be_incremented),
        cmocka_unit_test(rid_has_no_other_notation),
        cmocka_unit_test(refused_terms_are_not_left_half_filled),
        cmocka_unit_test(version_is_the_lower_of_both),
        cmocka_unit_test(client_without_version_is_a_legacy_client),
        cmocka_unit_test(malformed_version_is_refused),
        cmocka_unit_test(wait_is_never_longer_than_asked_or_allowed),
        cmocka_unit_test(hold_is_never_more_than_asked_or_allowed),
        cmocka_unit_test(absent_hold_means_one),
        cmocka_unit_test(window_never_outgrows_the_slots),
        cmocka_unit_test(malformed_numbers_are_refused),
        cmocka_unit_test(only_ack_1_means_acks),
        cmocka_unit_test(who_polls_may_be_away_for_longer),
        cmocka_unit_test(streams_are_as_many_as_allowed_and_there_is_room_for),
    };

    return cmocka_run_group_tests_name("negotiate", tests, NULL, NULL);
}
