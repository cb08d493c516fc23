/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* SRV records: which are usable, and in which order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "srv.h"

static srv_set_t set;

/* The same numbers in each run: xorshift. */
static uint32_t numbers(void *baton, uint32_t max)
{
    uint32_t *x = baton;

    *x ^= *x << 13;
    *x ^= *x >> 17;
    *x ^= *x << 5;
    return (uint32_t)(((uint64_t)*x * (max + UINT64_C(1))) >> 32);
}

/* One after the other what the test wrote down; and what could have been chosen. */
typedef struct script_t {
    uint32_t point[8], max[8];
    unsigned n;
} script_t;

static uint32_t scripted(void *baton, uint32_t max)
{
    script_t *s = baton;

    s->max[s->n] = max;
    assert_true(s->point[s->n] <= max);
    return s->point[s->n++];
}

static void begin(void)
{
    memset(&set, 0, sizeof(set));
}

static void order(void)
{
    uint32_t seed = 2463534242u;

    srv_order(&set, numbers, &seed);
}

static void check_targets(const char *const *expected)
{
    unsigned n = 0;

    for (; expected[n]; n++) {
        assert_true(n < set.n);
        assert_string_equal(set.record[n].target, expected[n]);
    }
    assert_int_equal(set.n, n);
}

#define CHECK_TARGETS(...) check_targets((const char *const[]){ __VA_ARGS__, NULL })

/* ---- what is taken -------------------------------------------------------------------- */

static void takes_a_record_as_it_is(void **state)
{
    (void)state;
    begin();
    srv_add(&set, true, 1, 2, 3, "xmpp.example.org.");
    assert_int_equal(set.n, 1);
    assert_true(set.record[0].direct);
    assert_int_equal(set.record[0].priority, 1);
    assert_int_equal(set.record[0].weight, 2);
    assert_int_equal(set.record[0].port, 3);
    assert_string_equal(set.record[0].target, "xmpp.example.org");
    assert_false(set.is_denied || set.has_broken);
}

static void a_dot_says_that_there_is_no_service(void **state)
{
    (void)state;
    begin();
    srv_add(&set, false, 0, 0, 0, ".");
    assert_int_equal(set.n, 0);
    assert_true(set.is_denied);
    assert_false(set.has_broken);
    begin();
    srv_add(&set, false, 0, 0, 0, ""); /* as c-ares writes it */
    assert_true(set.is_denied);
    srv_add(&set, true, 0, 0, 5223, "a.example"); /* the other one is there */
    assert_int_equal(set.n, 1);
}

static void skips_what_is_of_no_use(void **state)
{
    static const char *const bad[] = {
        "127.0.0.1",
        "10.1",
        "0",
        "2130706433",
        "::1",
        "[::1]",
        "fe80::1%lo",
        "a..b",
        ".a",
        "a b",
        "a\\.b",
        "a/b",
        "user@example.org",
        "example.org:22",
        "m\303\274nchen.example",
        "a.b.1",
    };
    char label[SRV_NAME];

    (void)state;
    begin();
    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        set.has_broken = false;
        srv_add(&set, false, 0, 0, 5222, bad[i]);
        if (set.n != 0 || !set.has_broken) {
            fail_msg("%s was taken", bad[i]);
        }
    }
    srv_add(&set, false, 0, 0, 0, "port-zero.example");
    memset(label, 'a', 64);
    snprintf(label + 64, sizeof(label) - 64, ".example");
    srv_add(&set, false, 0, 0, 5222, label);
    assert_int_equal(set.n, 0);
    srv_add(&set, false, 0, 0, 5222, label + 1);
    srv_add(&set, false, 0, 0, 5222, "1.2.3.4.example");
    srv_add(&set, false, 0, 0, 5222, "xn--mnchen-3ya.example");
    srv_add(&set, false, 0, 0, 5222, "a_b.0x7f1");
    assert_int_equal(set.n, 4);
}

static void names_are_as_long_as_dns_lets_them_be(void **state)
{
    char name[300];

    (void)state;
    for (unsigned i = 0; i < sizeof(name); i++) {
        name[i] = i % 50 == 49 ? '.' : 'a';
    }
    name[253] = '\0';
    assert_true(srv_is_name(name));
    begin();
    srv_add(&set, false, 0, 0, 1, name);
    assert_int_equal(set.n, 1);
    name[253] = 'a';
    name[254] = '\0';
    assert_false(srv_is_name(name));
    srv_add(&set, false, 0, 0, 1, name);
    assert_int_equal(set.n, 1);
    assert_false(srv_is_name(""));
    assert_false(srv_is_name("a."));
}

static void takes_sixteen_of_each(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < 500; i++) {
        srv_add(&set, false, (uint16_t)i, 0, 5222, "plain.example");
    }
    assert_int_equal(set.n, SRV_RECORDS);
    for (unsigned i = 0; i < 500; i++) {
        srv_add(&set, true, (uint16_t)i, 0, 5223, "tls.example");
    }
    assert_int_equal(set.n, 2 * SRV_RECORDS);
    order();
    assert_int_equal(set.n, SRV_TARGETS);
    assert_int_equal(set.record[SRV_TARGETS - 1].priority, SRV_TARGETS / 2 - 1);
}

/* ---- order ---------------------------------------------------------------------------- */

static void lower_priority_numbers_come_first_whatever_they_are_of(void **state)
{
    (void)state;
    begin();
    srv_add(&set, false, 30, 0, 1, "d");
    srv_add(&set, false, 10, 60000, 1, "b");
    srv_add(&set, true, 20, 1, 1, "c");
    srv_add(&set, true, 5, 0, 1, "a");
    srv_add(&set, false, 65535, 0, 1, "e");
    order();
    CHECK_TARGETS("a", "b", "c", "d", "e");
    assert_true(set.record[0].direct && !set.record[1].direct && set.record[2].direct);
}

/* RFC 2782: weight 0 first, then the running sum that reaches the number. */
static void draws_as_the_rfc_says(void **state)
{
    script_t s = { .point = { 5, 0, 4, 0 } };

    (void)state;
    begin();
    srv_add(&set, false, 0, 4, 1, "four");
    srv_add(&set, false, 0, 1, 1, "one");
    srv_add(&set, false, 0, 0, 1, "zero");
    srv_add(&set, false, 0, 3, 1, "three");
    srv_order(&set, scripted, &s);
    /* zero 0, four 4, one 5, three 8: 5 is one's; zero 0, four 4, three 7: 0 is zero's; and so on */
    CHECK_TARGETS("one", "zero", "four", "three");
    assert_int_equal(s.max[0], 8);
    assert_int_equal(s.max[1], 7);
    assert_int_equal(s.max[2], 7);
    assert_int_equal(s.max[3], 3);
}

static void note_first(const char *const targets[4], unsigned counts[4])
{
    for (unsigned i = 0; i < 4; i++) {
        counts[i] += strcmp(set.record[0].target, targets[i]) == 0;
    }
}

static void weights_share_out_the_load(void **state)
{
    static const char *const targets[] = { "a", "b", "c", "z" };
    unsigned counts[4] = { 0 };
    uint32_t seed = 88172645u;

    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        begin();
        srv_add(&set, false, 1, 100, 1, "a");
        srv_add(&set, true, 1, 300, 1, "b");
        srv_add(&set, false, 1, 600, 1, "c");
        srv_add(&set, false, 1, 0, 1, "z");
        srv_order(&set, numbers, &seed);
        note_first(targets, counts);
    }
    assert_in_range(counts[0], 850, 1150);
    assert_in_range(counts[1], 2800, 3200);
    assert_in_range(counts[2], 5750, 6250);
    assert_in_range(counts[3], 1, 40); /* "a very small chance" */
}

static void weights_of_zero_have_the_same_chance(void **state)
{
    static const char *const targets[] = { "a", "b", "c", "d" };
    unsigned counts[4] = { 0 };
    uint32_t seed = 521288629u;

    (void)state;
    for (unsigned i = 0; i < 4000; i++) {
        begin();
        for (unsigned t = 0; t < 4; t++) {
            srv_add(&set, false, 1, 0, 1, targets[t]);
        }
        srv_order(&set, numbers, &seed);
        note_first(targets, counts);
    }
    for (unsigned t = 0; t < 4; t++) {
        assert_in_range(counts[t], 880, 1120);
    }
}

static void the_largest_weights_are_no_trouble(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < 2 * SRV_RECORDS; i++) {
        srv_add(&set, i % 2, 65535, 65535, 65535, "a");
    }
    order();
    assert_int_equal(set.n, SRV_TARGETS);
}

static void an_empty_set_is_in_order(void **state)
{
    (void)state;
    begin();
    order();
    assert_int_equal(set.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_a_record_as_it_is),
        cmocka_unit_test(a_dot_says_that_there_is_no_service),
        cmocka_unit_test(skips_what_is_of_no_use),
        cmocka_unit_test(names_are_as_long_as_dns_lets_them_be),
        cmocka_unit_test(takes_sixteen_of_each),
        cmocka_unit_test(lower_priority_numbers_come_first_whatever_they_are_of),
        cmocka_unit_test(draws_as_the_rfc_says),
        cmocka_unit_test(weights_share_out_the_load),
        cmocka_unit_test(weights_of_zero_have_the_same_chance),
        cmocka_unit_test(the_largest_weights_are_no_trouble),
        cmocka_unit_test(an_empty_set_is_in_order),
    };

    return cmocka_run_group_tests_name("srv", tests, NULL, NULL);
}
