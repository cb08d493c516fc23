/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* A stream restart stands between two bytes, and may bring a `from` of its own. */

#include <string.h>

#include "box.h"

#include "../core/unit.h"

static box_t box;
static sess_t s;
static char up[4000], from[1024];

static int begin(void **state)
{
    (void)state;
    box_open(&box, 4 << 20, 10, 2, 1);
    box_streams_session(&box, &s, 3);
    return 0;
}

static int end(void **state)
{
    (void)state;
    box_close(&box);
    return 0;
}

static void restart(unsigned n, bosh_str_t who, bosh_str_t payload)
{
    char text[BOSH_STREAM_CHARS + 1];
    bosh_request_t req = { .rid = s.rid,
                           .asks = BOSH_ASKS_RESTART | BOSH_ASKS_URGENT,
                           .holder = { box.child, ++box.tickets },
                           .stream = box_name(&box, &s, n, text),
                           .from = who,
                           .payload = payload };

    bosh_store_request(box.st, bosh_str(s.sid), REALM, true, &req, box.now, &box.buf, &box.out);
    assert_int_equal(box.out.got, BOSH_GOT_ANSWER);
    box_written(&box, &s, s.rid++, req.holder);
    box.now += 100;
}

static bosh_up_t take(unsigned n, size_t size)
{
    bosh_up_t u;

    bosh_store_take_up(box.st, box_leg(&s, n), up, size, box.now, &u, &box.knocks);
    box_check(&box);
    return u;
}

static void assert_from(unsigned n, const char *want)
{
    memset(from, 'x', sizeof(from));
    bosh_store_restart_from(box.st, box_leg(&s, n), from);
    assert_string_equal(from, want);
    box_check(&box);
}

static void a_restart_tells_its_from_once(void **state)
{
    unsigned blocks = box_blocks_free(&box);
    bosh_up_t u;

    (void)state;
    restart(BOSH_NO_STREAM, BOSH_STR("juliet@example.org"), BOSH_ABSENT);
    u = take(0, sizeof(up));
    assert_true(u.restart && u.has_from && !u.more && u.len == 0);
    assert_from(0, "juliet@example.org");
    assert_from(0, "");
    assert_false(take(0, sizeof(up)).restart);
    assert_int_equal(box_blocks_free(&box), blocks);
}

static void a_restart_without_from_has_none(void **state)
{
    bosh_up_t u;

    (void)state;
    restart(BOSH_NO_STREAM, BOSH_ABSENT, BOSH_ABSENT);
    u = take(0, sizeof(up));
    assert_true(u.restart && !u.has_from);
    assert_from(0, "");
}

static void a_payload_of_a_restart_is_ignored(void **state)
{
    bosh_up_t u;

    (void)state;
    restart(BOSH_NO_STREAM, BOSH_STR("a@b"), BOSH_STR("<of no='interest'/>"));
    u = take(0, sizeof(up));
    assert_true(u.restart && u.len == 0);
    assert_from(0, "a@b");
    assert_int_equal(take(0, sizeof(up)).len, 0);
}

static void each_stream_restarts_between_bytes_of_its_own(void **state)
{
    bosh_up_t u;

    (void)state;
    box_open_leg(&box, &s, 1);
    box_send(&box, &s, BOSH_NO_STREAM, 0, BOSH_STR("before"));
    restart(1, BOSH_STR("one@example"), BOSH_ABSENT);
    box_send(&box, &s, BOSH_NO_STREAM, 0, BOSH_STR("after"));
    u = take(0, sizeof(up));
    assert_true(u.len == 11 && !u.restart);
    u = take(1, 4);
    assert_true(u.len == 4 && !u.restart && u.more);
    u = take(1, sizeof(up));
    assert_true(u.len == 2 && u.restart && u.has_from && u.more);
    assert_from(0, "");
    assert_from(1, "one@example");
    u = take(1, sizeof(up));
    assert_true(u.len == 5 && !u.restart && !u.more);
    assert_memory_equal(up, "after", 5);
}

static void an_unnamed_restart_is_the_first_open_streams(void **state)
{
    (void)state;
    box_open_leg(&box, &s, 1);
    bosh_store_up_ended(box.st, s.ref, BOSH_COND_NONE, BOSH_REASON_STREAM_CLOSED, BOSH_ABSENT,
                        box.now, &box.knocks);
    restart(BOSH_NO_STREAM, BOSH_STR("a@b"), BOSH_ABSENT);
    assert_true(take(1, sizeof(up)).restart);
    assert_from(1, "a@b");
}

static void a_second_restart_replaces_the_first(void **state)
{
    bosh_up_t u;

    (void)state;
    box_send(&box, &s, 0, 0, BOSH_STR("one"));
    restart(0, BOSH_STR("first@example"), BOSH_ABSENT);
    box_send(&box, &s, 0, 0, BOSH_STR("two"));
    restart(0, BOSH_STR("second@example"), BOSH_ABSENT);
    u = take(0, sizeof(up));
    assert_true(u.len == 6 && u.restart && u.has_from);
    assert_from(0, "second@example");
    restart(0, BOSH_STR("third@example"), BOSH_ABSENT);
    restart(0, BOSH_ABSENT, BOSH_ABSENT);
    u = take(0, sizeof(up));
    assert_true(u.restart && !u.has_from);
}

/* A connector that has no stream yet only looks whether the session is over. */
static void who_only_looks_takes_no_restart(void **state)
{
    bosh_up_t u;

    (void)state;
    restart(0, BOSH_STR("a@b"), BOSH_ABSENT);
    bosh_store_take_up(box.st, s.ref, NULL, 0, box.now, &u, &box.knocks);
    assert_true(!u.restart && u.more && !u.close);
    u = take(0, sizeof(up));
    assert_true(u.restart && u.has_from);
}

static void a_from_of_the_largest_size_fits_and_a_larger_one_is_none(void **state)
{
    static char who[1025];

    (void)state;
    memset(who, 'w', sizeof(who));
    restart(0, (bosh_str_t){ who, 1023 }, BOSH_ABSENT);
    assert_true(take(0, sizeof(up)).has_from);
    bosh_store_restart_from(box.st, s.ref, from);
    assert_int_equal(strlen(from), 1023);
    restart(0, (bosh_str_t){ who, 1024 }, BOSH_ABSENT);
    assert_false(take(0, sizeof(up)).has_from);
}

static void a_from_that_nobody_took_is_given_back(void **state)
{
    unsigned blocks = box_blocks_free(&box);

    (void)state;
    restart(0, BOSH_STR("a@b"), BOSH_ABSENT);
    assert_int_equal(box_blocks_free(&box), blocks - 1);
    box_up_ended(&box, &s);
    assert_int_equal(box_blocks_free(&box), blocks);
    assert_from(0, "");
}

static void an_early_restart_waits_with_its_from(void **state)
{
    bosh_request_t req = { .rid = s.rid + 1,
                           .asks = BOSH_ASKS_RESTART,
                           .holder = { box.child, 99 },
                           .from = BOSH_STR("early@example") };

    (void)state;
    bosh_store_request(box.st, bosh_str(s.sid), REALM, true, &req, box.now, &box.buf, &box.out);
    assert_int_equal(box.out.got, BOSH_GOT_HOLD);
    assert_false(take(0, sizeof(up)).restart);
    box_send(&box, &s, 0, 0, BOSH_STR("before"));
    assert_true(take(0, sizeof(up)).restart);
    assert_from(0, "early@example");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(a_restart_tells_its_from_once),
        T(a_restart_without_from_has_none),
        T(a_payload_of_a_restart_is_ignored),
        T(each_stream_restarts_between_bytes_of_its_own),
        T(an_unnamed_restart_is_the_first_open_streams),
        T(a_second_restart_replaces_the_first),
        T(who_only_looks_takes_no_restart),
        T(a_from_of_the_largest_size_fits_and_a_larger_one_is_none),
        T(a_from_that_nobody_took_is_given_back),
        T(an_early_restart_waits_with_its_from),
    };
#undef T

    return cmocka_run_group_tests_name("restart_from", tests, NULL, NULL);
}
