/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Places that could not be reached: for how long, and which places they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "failures.h"

#define NOW BOSH_SEC(1000)

static failures_t all;
static bosh_upstream_t place;

static int set_up(void **state)
{
    (void)state;
    memset(&all, 0, sizeof(all));
    place = (bosh_upstream_t){ .to = "a.example", .host = "a.example", .port = 5222 };
    return 0;
}

static bool note(bosh_msec_t now)
{
    return failures_note(&all, &place, BOSH_COND_REMOTE_CONNECTION_FAILED,
                         BOSH_REASON_CONNECT_TIMEOUT, now);
}

static void what_did_not_fail_may_be_tried(void **state)
{
    failure_t gone;

    (void)state;
    assert_null(failures_find(&all, &place, NOW));
    assert_null(failures_find(&all, &place, 0));
    assert_false(failures_expire(&all, NOW, &gone));
}

static void a_failure_holds_for_a_while(void **state)
{
    const failure_t *f;

    (void)state;
    assert_true(note(NOW));
    f = failures_find(&all, &place, NOW + FAILURE_MS - 1);
    assert_non_null(f);
    assert_int_equal(f->condition, BOSH_COND_REMOTE_CONNECTION_FAILED);
    assert_int_equal(f->reason, BOSH_REASON_CONNECT_TIMEOUT);
    assert_null(failures_find(&all, &place, NOW + FAILURE_MS));
}

static void another_failure_is_no_news_but_holds_longer(void **state)
{
    (void)state;
    assert_true(note(NOW));
    assert_false(note(NOW + 1000));
    assert_non_null(failures_find(&all, &place, NOW + FAILURE_MS));
    assert_true(note(NOW + 1000 + FAILURE_MS));
}

static void a_way_that_is_found_ends_it(void **state)
{
    failure_t gone;

    (void)state;
    note(NOW);
    failures_forget(&all, &place);
    assert_null(failures_find(&all, &place, NOW));
    assert_false(failures_expire(&all, NOW + FAILURE_MS, &gone));
    failures_forget(&all, &place);
}

static void expires_once_and_tells_who_was_refused(void **state)
{
    failure_t gone;

    (void)state;
    note(NOW);
    failures_find(&all, &place, NOW);
    failures_find(&all, &place, NOW);
    assert_false(failures_expire(&all, NOW + FAILURE_MS - 1, &gone));
    assert_true(failures_expire(&all, NOW + FAILURE_MS, &gone));
    assert_string_equal(gone.place.to, "a.example");
    assert_int_equal(gone.refused, 2);
    assert_false(failures_expire(&all, NOW + FAILURE_MS, &gone));
}

/* What else is in an upstream is the client's, or says nothing of the way. */
static void another_way_is_another_place(void **state)
{
    const bosh_upstream_t was = place;

    (void)state;
    note(NOW);
#define OTHER(change) \
    place = was;      \
    change;           \
    assert_null(failures_find(&all, &place, NOW))
    OTHER(strcpy(place.to, "b.example"));
    OTHER(strcpy(place.host, "xmpp.a.example"));
    OTHER(place.port = 5223);
    OTHER(place.reach = BOSH_REACH_HOST);
    OTHER(place.tls = BOSH_TLS_DIRECT);
    OTHER(place.proxy = 1);
    OTHER(place.networks[7].family = 4);
    place = was;
    strcpy(place.from, "romeo@a.example");
    strcpy(place.client, "192.0.2.1");
    place.client_port = 4;
    assert_non_null(failures_find(&all, &place, NOW));
}

static void more_places_than_there_is_room_for_push_each_other_out(void **state)
{
    unsigned known = 0;

    (void)state;
    for (unsigned i = 0; i < 10 * FAILURES; i++) {
        snprintf(place.to, sizeof(place.to), "%u.example", i);
        assert_true(note(NOW));
        assert_non_null(failures_find(&all, &place, NOW));
    }
    for (unsigned i = 0; i < 10 * FAILURES; i++) {
        snprintf(place.to, sizeof(place.to), "%u.example", i);
        known += failures_find(&all, &place, NOW) != NULL;
    }
    assert_in_range(known, FAILURES / 2, FAILURES);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_did_not_fail_may_be_tried),
        TEST(a_failure_holds_for_a_while),
        TEST(another_failure_is_no_news_but_holds_longer),
        TEST(a_way_that_is_found_ends_it),
        TEST(expires_once_and_tells_who_was_refused),
        TEST(another_way_is_another_place),
        TEST(more_places_than_there_is_room_for_push_each_other_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
