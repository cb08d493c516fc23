/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Names of conditions (XEP-0124 section 17.2) and texts of reasons. */

#include <string.h>

#include "bosh/core.h"

#include "unit.h"

static void conditions_are_named_as_the_xep_names_them(void **state)
{
    static const char *const names[] = { "",
                                         "bad-request",
                                         "host-gone",
                                         "host-unknown",
                                         "improper-addressing",
                                         "internal-server-error",
                                         "item-not-found",
                                         "other-request",
                                         "policy-violation",
                                         "remote-connection-failed",
                                         "remote-stream-error",
                                         "see-other-uri",
                                         "system-shutdown",
                                         "undefined-condition" };

    (void)state;
    assert_int_equal(sizeof(names) / sizeof(names[0]), BOSH_COND_COUNT);
    for (unsigned i = 0; i < BOSH_COND_COUNT; i++) {
        assert_string_equal(bosh_condition_name((bosh_condition_t)i), names[i]);
    }
}

static void every_reason_has_a_text_of_its_own(void **state)
{
    (void)state;
    for (unsigned i = 0; i < BOSH_REASON_COUNT; i++) {
        assert_non_null(bosh_reason_text((bosh_reason_t)i));
        assert_true(strlen(bosh_reason_text((bosh_reason_t)i)) > 5);
        for (unsigned k = 0; k < i; k++) {
            assert_string_not_equal(bosh_reason_text((bosh_reason_t)i),
                                    bosh_reason_text((bosh_reason_t)k));
        }
    }
}

static void unknown_numbers_have_names_too(void **state)
{
    (void)state;
    assert_string_equal(bosh_condition_name((bosh_condition_t)200), "");
    assert_string_equal(bosh_condition_name(BOSH_COND_COUNT), "");
    assert_string_equal(bosh_reason_text((bosh_reason_t)200), "unknown");
    assert_string_equal(bosh_reason_text(BOSH_REASON_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_are_named_as_the_xep_names_them),
        cmocka_unit_test(every_reason_has_a_text_of_its_own),
        cmocka_unit_test(unknown_numbers_have_names_too),
    };

    return cmocka_run_group_tests_name("condition", tests, NULL, NULL);
}
