/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * The log port and the clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bosh/base.h"

static struct {
    unsigned calls;
    bosh_log_level_t level;
    int line;
    char file[256];
    char text[4096];
} seen;

static void sink(bosh_log_level_t level, const char *file, int line, const char *text)
{
    seen.calls++;
    seen.level = level;
    seen.line = line;
    (void)snprintf(seen.file, sizeof(seen.file), "%s", file);
    (void)snprintf(seen.text, sizeof(seen.text), "%s", text);
    errno = EPERM;
}

static int forget(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof(seen));
    bosh_log_to(NULL);
    return 0;
}

static void without_a_sink_messages_are_dropped(void **state)
{
    (void)state;
    bosh_log(BOSH_LOG_ERR, "%s", "nobody hears");
    assert_int_equal(seen.calls, 0);
}

static void a_sink_gets_level_place_and_text(void **state)
{
    (void)state;
    bosh_log_to(sink);
    bosh_log(BOSH_LOG_INFO, BOSHNO(1) "n=%d", 7);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.level, BOSH_LOG_INFO);
    assert_int_equal(seen.line, __LINE__ - 3);
    assert_string_equal(seen.file, __FILE__);
    assert_string_equal(seen.text, "BOSH1: n=7");
}

static void errno_survives(void **state)
{
    (void)state;
    bosh_log_to(sink);
    errno = ENOENT;
    bosh_log(BOSH_LOG_ERR, "%s", "failed");
    assert_int_equal(errno, ENOENT);
    assert_int_equal(seen.calls, 1);
}

static void long_messages_are_cut(void **state)
{
    static char text[10000];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    bosh_log_to(sink);
    bosh_log(BOSH_LOG_ERR, "%s", text);
    assert_true(strlen(seen.text) > 1000 && strlen(seen.text) < sizeof(text) - 1);
}

static void the_clock_is_never_zero_and_goes_forward(void **state)
{
    const struct timespec nap = { 0, 3 * 1000 * 1000 };
    bosh_msec_t before = bosh_now();

    (void)state;
    (void)nanosleep(&nap, NULL);
    assert_true(before > 0);
    assert_true(bosh_now() >= before + 2);
    assert_true(bosh_now() < before + BOSH_SEC(60));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(without_a_sink_messages_are_dropped, forget),
        cmocka_unit_test_setup(a_sink_gets_level_place_and_text, forget),
        cmocka_unit_test_setup(errno_survives, forget),
        cmocka_unit_test_setup(long_messages_are_cut, forget),
        cmocka_unit_test(the_clock_is_never_zero_and_goes_forward),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
