/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Strings, numbers, booleans, secrets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "bosh/base.h"

static void absent_is_not_empty(void **state)
{
    (void)state;
    assert_false(bosh_str_same(BOSH_ABSENT, BOSH_STR("")));
    assert_false(bosh_str_eq(BOSH_ABSENT, ""));
    assert_true(bosh_str_same(BOSH_ABSENT, bosh_str(NULL)));
    assert_true(bosh_str_same(BOSH_STR(""), bosh_str("")));
}

static void equality_is_of_all_bytes(void **state)
{
    const bosh_str_t with_nul = { "a\0b", 3 };
    const bosh_str_t other = { "a\0c", 3 };

    (void)state;
    assert_true(bosh_str_eq(BOSH_STR("abc"), "abc"));
    assert_false(bosh_str_eq(BOSH_STR("abc"), "abcd"));
    assert_false(bosh_str_eq(BOSH_STR("abc"), "abd"));
    assert_false(bosh_str_eq(with_nul, "a"));
    assert_false(bosh_str_same(with_nul, other));
}

static void copy_fits_or_leaves_nothing(void **state)
{
    char dst[4] = "xyz";

    (void)state;
    assert_true(bosh_str_copy(dst, sizeof(dst), BOSH_STR("abc")));
    assert_string_equal(dst, "abc");
    assert_false(bosh_str_copy(dst, sizeof(dst), BOSH_STR("abcd")));
    assert_string_equal(dst, "");
    assert_true(bosh_str_copy(dst, sizeof(dst), BOSH_ABSENT));
    assert_string_equal(dst, "");
    assert_false(bosh_str_copy(dst, 0, BOSH_STR("")));
}

static void copy_refuses_nul_inside(void **state)
{
    char dst[8];

    (void)state;
    assert_false(bosh_str_copy(dst, sizeof(dst), (bosh_str_t){ "a\0b", 3 }));
    assert_string_equal(dst, "");
}

static void expect_number(const char *z, uint64_t max, uint64_t expected)
{
    uint64_t n = 77;

    assert_true(bosh_parse_uint(bosh_str(z), max, &n));
    assert_true(n == expected);
}

static void expect_no_number(bosh_str_t s, uint64_t max)
{
    uint64_t n = 77;

    assert_false(bosh_parse_uint(s, max, &n));
    assert_true(n == 0);
}

static void numbers_are_plain_digits(void **state)
{
    const char *wrong[] = { "",    " 1", "1 ", "+1", "-1", "0x1", "1e3",
                            "1.0", "a",  "1a", "/",  ":",  "\n1" };

    (void)state;
    expect_number("0", 9, 0);
    expect_number("60", 60, 60);
    expect_number("007", 7, 7);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        expect_no_number(bosh_str(wrong[i]), UINT64_MAX);
    }
    expect_no_number(BOSH_ABSENT, UINT64_MAX);
    expect_no_number((bosh_str_t){ "1\0", 2 }, UINT64_MAX);
}

static void numbers_stop_at_max(void **state)
{
    (void)state;
    expect_no_number(BOSH_STR("61"), 60);
    expect_no_number(BOSH_STR("100"), 60);
    expect_no_number(BOSH_STR("1"), 0);
    expect_number("9007199254740991", UINT64_C(9007199254740991), UINT64_C(9007199254740991));
    expect_no_number(BOSH_STR("9007199254740992"), UINT64_C(9007199254740991));
    expect_number("18446744073709551615", UINT64_MAX, UINT64_MAX);
    expect_no_number(BOSH_STR("18446744073709551616"), UINT64_MAX);
    expect_no_number(BOSH_STR("99999999999999999999999999"), UINT64_MAX);
}

static void booleans_are_true_or_1(void **state)
{
    (void)state;
    assert_true(bosh_parse_bool(BOSH_STR("true")));
    assert_true(bosh_parse_bool(BOSH_STR("1")));
    assert_false(bosh_parse_bool(BOSH_STR("false")));
    assert_false(bosh_parse_bool(BOSH_STR("TRUE")));
    assert_false(bosh_parse_bool(BOSH_STR("")));
    assert_false(bosh_parse_bool(BOSH_ABSENT));
}

static void secrets_compare_every_byte(void **state)
{
    char a[20];
    char b[20];

    (void)state;
    memset(a, 'x', sizeof(a));
    memset(b, 'x', sizeof(b));
    assert_true(bosh_equal_secret(a, b, sizeof(a)));
    for (size_t i = 0; i < sizeof(a); i++) {
        b[i] = 'y';
        assert_false(bosh_equal_secret(a, b, sizeof(a)));
        assert_true(bosh_equal_secret(a, b, i));
        b[i] = 'x';
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_is_not_empty),         cmocka_unit_test(equality_is_of_all_bytes),
        cmocka_unit_test(copy_fits_or_leaves_nothing), cmocka_unit_test(copy_refuses_nul_inside),
        cmocka_unit_test(numbers_are_plain_digits),    cmocka_unit_test(numbers_stop_at_max),
        cmocka_unit_test(booleans_are_true_or_1),      cmocka_unit_test(secrets_compare_every_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
