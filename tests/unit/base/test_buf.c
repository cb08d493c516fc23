/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Growing buffers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "bosh/base.h"

static void expect_text(const bosh_buf_t *b, const char *z)
{
    assert_true(bosh_str_eq(bosh_buf_str(b), z));
}

static void an_empty_buffer_is_an_empty_string(void **state)
{
    bosh_buf_t b;

    (void)state;
    bosh_buf_init(&b, 0);
    expect_text(&b, "");
    assert_true(bosh_buf_add(&b, NULL, 0));
    expect_text(&b, "");
    bosh_buf_free(&b);
}

static void adds_grow_it(void **state)
{
    bosh_buf_t b;

    (void)state;
    bosh_buf_init(&b, 0);
    for (unsigned i = 0; i < 10000; i++) {
        assert_true(bosh_buf_add_z(&b, "0123456789"));
    }
    assert_int_equal(b.len, 100000);
    for (size_t i = 0; i < b.len; i++) {
        assert_int_equal(b.p[i], '0' + (int)(i % 10));
    }
    bosh_buf_free(&b);
    assert_null(b.p);
}

static void numbers_are_decimal(void **state)
{
    bosh_buf_t b;

    (void)state;
    bosh_buf_init(&b, 0);
    assert_true(bosh_buf_add_uint(&b, 0));
    assert_true(bosh_buf_add_str(&b, BOSH_STR(" ")));
    assert_true(bosh_buf_add_uint(&b, UINT64_MAX));
    expect_text(&b, "0 18446744073709551615");
    bosh_buf_free(&b);
}

static void max_is_exact_and_failure_sticks(void **state)
{
    bosh_buf_t b;

    (void)state;
    bosh_buf_init(&b, 5);
    assert_true(bosh_buf_add_z(&b, "abcde"));
    assert_false(bosh_buf_add_z(&b, "f"));
    assert_true(b.failed);
    expect_text(&b, "abcde");
    assert_false(bosh_buf_add(&b, "", 0));
    bosh_buf_clear(&b);
    assert_false(b.failed);
    assert_false(bosh_buf_add_z(&b, "abcdef"));
    expect_text(&b, "");
    bosh_buf_free(&b);
}

static void max_holds_in_memory_that_is_larger(void **state)
{
    bosh_buf_t b;

    (void)state;
    bosh_buf_init(&b, 0);
    assert_true(bosh_buf_add_z(&b, "0123456789"));
    bosh_buf_clear(&b);
    b.max = 4;
    assert_null(bosh_buf_room(&b, 5));
    bosh_buf_free(&b);
}

static void impossible_sizes_fail(void **state)
{
    bosh_buf_t b;

    (void)state;
    bosh_buf_init(&b, 0);
    assert_true(bosh_buf_add_z(&b, "x"));
    assert_null(bosh_buf_room(&b, SIZE_MAX));
    assert_true(b.failed);
    bosh_buf_clear(&b);
    assert_null(bosh_buf_room(&b, SIZE_MAX / 2 + 1));
    bosh_buf_free(&b);
}

static void room_is_not_counted(void **state)
{
    bosh_buf_t b;
    char *room;

    (void)state;
    bosh_buf_init(&b, 0);
    room = bosh_buf_room(&b, 1000);
    assert_non_null(room);
    memset(room, 'x', 1000);
    assert_int_equal(b.len, 0);
    b.len = 1000;
    assert_ptr_equal(bosh_buf_str(&b).p, room);
    bosh_buf_free(&b);
}

static void drop_moves_the_rest_to_the_front(void **state)
{
    bosh_buf_t b;

    (void)state;
    bosh_buf_init(&b, 0);
    (void)bosh_buf_add_z(&b, "abcdef");
    bosh_buf_drop(&b, 2);
    expect_text(&b, "cdef");
    bosh_buf_drop(&b, 0);
    expect_text(&b, "cdef");
    bosh_buf_drop(&b, 9);
    expect_text(&b, "");
    bosh_buf_free(&b);
}

static void wipe_overwrites_all_it_ever_held(void **state)
{
    bosh_buf_t b;

    (void)state;
    bosh_buf_init(&b, 0);
    (void)bosh_buf_add_z(&b, "secret, and more secret");
    bosh_buf_drop(&b, 10);
    bosh_buf_clear(&b);
    (void)bosh_buf_add_z(&b, "x");
    bosh_buf_wipe(&b);
    assert_int_equal(b.len, 0);
    for (size_t i = 0; i < b.size; i++) {
        assert_int_equal(b.p[i], 0);
    }
    bosh_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_buffer_is_an_empty_string),
        cmocka_unit_test(adds_grow_it),
        cmocka_unit_test(numbers_are_decimal),
        cmocka_unit_test(max_is_exact_and_failure_sticks),
        cmocka_unit_test(max_holds_in_memory_that_is_larger),
        cmocka_unit_test(impossible_sizes_fail),
        cmocka_unit_test(room_is_not_counted),
        cmocka_unit_test(drop_moves_the_rest_to_the_front),
        cmocka_unit_test(wipe_overwrites_all_it_ever_held),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
