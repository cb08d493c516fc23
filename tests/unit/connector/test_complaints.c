/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* What is told again, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "complaints.h"

#define NOW BOSH_SEC(1000)

static complaints_t all;

static int set_up(void **state)
{
    (void)state;
    memset(&all, 0, sizeof(all));
    return 0;
}

static bool note(const char *host, uint16_t port, const char *why, bosh_msec_t now)
{
    bosh_upstream_t u = { .to = "a.example", .port = port };

    snprintf(u.host, sizeof(u.host), "%s", host);
    return complaints_note(&all, &u, why, now);
}

static void the_same_is_told_again_after_a_while(void **state)
{
    (void)state;
    assert_true(note("a", 5222, "refused", NOW));
    assert_false(note("a", 5222, "refused", NOW));
    assert_false(note("a", 5222, "refused", NOW + COMPLAINT_MS - 1));
    assert_true(note("a", 5222, "refused", NOW + COMPLAINT_MS));
    assert_false(note("a", 5222, "refused", NOW + COMPLAINT_MS + 1));
}

static void another_server_or_reason_is_told_at_once(void **state)
{
    (void)state;
    assert_true(note("a", 5222, "refused", NOW));
    assert_true(note("b", 5222, "refused", NOW));
    assert_true(note("a", 5223, "refused", NOW));
    assert_true(note("a", 5222, "silent", NOW));
    assert_true(note("as", 5222, "ilent", NOW));
}

static void whatever_they_are_called_none_hides_another(void **state)
{
    char host[16];

    (void)state;
    for (unsigned i = 0; i < COMPLAINTS; i++) {
        snprintf(host, sizeof(host), "h%u", i);
        assert_true(note(host, 5222, "refused", NOW + i));
    }
    for (unsigned i = 0; i < COMPLAINTS; i++) {
        snprintf(host, sizeof(host), "h%u", i);
        assert_false(note(host, 5222, "refused", NOW + COMPLAINT_MS - 1));
    }
}

static void more_than_that_are_not_told_before_others_are_old(void **state)
{
    char host[16];

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(host, sizeof(host), "h%u", i);
        assert_int_equal(note(host, 5222, "refused", NOW + i), i < COMPLAINTS);
    }
    assert_false(note("new", 5222, "refused", NOW + COMPLAINT_MS - 1));
    assert_true(note("new", 5222, "refused", NOW + COMPLAINT_MS));
    assert_false(note("newer", 5222, "refused", NOW + COMPLAINT_MS));
    assert_true(note("newer", 5222, "refused", NOW + COMPLAINT_MS + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_same_is_told_again_after_a_while, set_up),
        cmocka_unit_test_setup(another_server_or_reason_is_told_at_once, set_up),
        cmocka_unit_test_setup(whatever_they_are_called_none_hides_another, set_up),
        cmocka_unit_test_setup(more_than_that_are_not_told_before_others_are_old, set_up),
    };

    return cmocka_run_group_tests_name("complaints", tests, NULL, NULL);
}
