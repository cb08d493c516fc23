/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* A buffer that gets no memory keeps what it has, and says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bosh/base.h"

#include "torture.h"

static void grow(void *baton, bool may_fail)
{
    bosh_buf_t b;
    size_t n = 0;

    (void)baton;
    bosh_buf_init(&b, 0);
    while (n < 20000 && bosh_buf_add(&b, "0123456789", 10)) {
        n += 10;
    }
    assert_int_equal(b.len, n);
    assert_true(may_fail || n == 20000);
    assert_int_equal(b.failed, n < 20000);
    assert_int_equal(b.starved, b.failed);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(b.p[i], '0' + (int)(i % 10));
    }
    if (b.failed) {
        assert_false(bosh_buf_add_uint(&b, 1)); /* no text with a hole */
        assert_int_equal(b.len, n);
        bosh_buf_wipe(&b);
        assert_true(bosh_buf_add_z(&b, "again"));
    }
    bosh_buf_free(&b);
}

static void failed_growth_keeps_what_was_there(void **state)
{
    (void)state;
    assert_true(torture(grow, NULL) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failed_growth_keeps_what_was_there),
    };

    return cmocka_run_group_tests_name("buf_memory", tests, NULL, NULL);
}
