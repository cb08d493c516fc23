/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* The published values of FNV-1a; and where words end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bosh/base.h"

static void it_is_fnv_1a(void **state)
{
    (void)state;
    assert_true(bosh_hash(BOSH_HASH, "", 0) == UINT64_C(0xcbf29ce484222325));
    assert_true(bosh_hash(BOSH_HASH, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
    assert_true(bosh_hash(BOSH_HASH, "foobar", 6) == UINT64_C(0x85944171f73967e8));
}

static void parts_are_as_good_as_the_whole(void **state)
{
    (void)state;
    assert_true(bosh_hash(bosh_hash(BOSH_HASH, "foo", 3), "bar", 3)
                == bosh_hash(BOSH_HASH, "foobar", 6));
}

static void where_a_word_ends_counts(void **state)
{
    (void)state;
    assert_false(bosh_hash_z(bosh_hash_z(BOSH_HASH, "ab"), "c")
                 == bosh_hash_z(bosh_hash_z(BOSH_HASH, "a"), "bc"));
    assert_false(bosh_hash_z(bosh_hash_z(BOSH_HASH, ""), "a")
                 == bosh_hash_z(bosh_hash_z(BOSH_HASH, "a"), ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_fnv_1a),
        cmocka_unit_test(parts_are_as_good_as_the_whole),
        cmocka_unit_test(where_a_word_ends_counts),
    };

    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
