/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Who may be on his way to a domain, and whose turn is next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "domains.h"

#include "../base/torture.h"

#define MANY 3000

static domains_t all;

static visit_t join(const char *name)
{
    visit_t v = { 0 };

    assert_true(domains_join(&all, &v, name));
    return v;
}

static int set_up(void **state)
{
    (void)state;
    all = (domains_t){ 0 };
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_null(domains_next(&all)); /* it may be due, with nobody in it */
    assert_int_equal(all.count, 0);
    assert_null(all.bucket);
    return 0;
}

static void counts_streams_of_each_domain(void **state)
{
    visit_t a = join("a.example"), b = join("b.example"), more = join("a.example");

    (void)state;
    assert_int_equal(domains_streams(&a), 2);
    assert_int_equal(domains_streams(&b), 1);
    domains_leave(&all, &a);
    assert_int_equal(domains_streams(&more), 1);
    domains_leave(&all, &more);
    domains_leave(&all, &b);
    domains_leave(&all, &b); /* once more is nothing */
}

static void leave_one_that_began(const char *name, bool may, bosh_msec_t now)
{
    visit_t v = join(name);

    assert_int_equal(domains_begin(&v, 3, now), may);
    domains_leave(&all, &v);
}

/* Also of those that have left meanwhile. */
static void lets_so_many_begin_within_a_minute(void **state)
{
    const bosh_msec_t first = 100000, last = first + DOMAINS_WINDOW_MS;

    (void)state;
    leave_one_that_began("a.example", true, first);
    leave_one_that_began("a.example", true, first + 1);
    leave_one_that_began("a.example", true, last - 1);
    leave_one_that_began("a.example", false, last - 1);
    leave_one_that_began("b.example", true, last - 1);
    leave_one_that_began("a.example", true, last);
    assert_int_equal(all.count, 2);
    domains_tick(&all, last + DOMAINS_WINDOW_MS - 2);
    assert_int_equal(all.count, 2); /* both count still */
    domains_tick(&all, last + 2 * DOMAINS_WINDOW_MS);
}

static void limit_that_is_lowered_holds_at_once(void **state)
{
    visit_t v = join("a.example");

    (void)state;
    assert_true(domains_begin(&v, 0, 100000)); /* not counted */
    for (unsigned n = 0; n < 5; n++) {
        assert_true(domains_begin(&v, 5, 100000));
    }
    assert_false(domains_begin(&v, 4, 100000));
    assert_true(domains_begin(&v, 0, 100000));
    assert_true(domains_begin(&v, 6, 100000));
    domains_tick(&all, 300000); /* who is there stays */
    assert_int_equal(domains_streams(&v), 1);
    domains_leave(&all, &v);
}

static void nobody_is_kept_for_a_count_that_is_over(void **state)
{
    char name[32];

    (void)state;
    for (unsigned n = 0; n < MANY; n++) {
        snprintf(name, sizeof(name), "%u.example", n);
        leave_one_that_began(name, true, 100000 + n);
    }
    assert_int_equal(all.count, MANY);
    domains_tick(&all, 100000 + MANY + DOMAINS_WINDOW_MS);
}

static void lets_so_many_connect_and_no_more(void **state)
{
    visit_t v[4];

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        v[i] = join("a.example");
        assert_int_equal(domains_ask(&v[i], 3), i < 3);
    }
    assert_null(domains_next(&all));
    domains_done(&all, &v[1]);
    assert_ptr_equal(domains_next(&all), &v[3]);
    assert_int_equal(v[3].state, VISIT_CONNECTS);
    assert_null(domains_next(&all));
    for (unsigned i = 0; i < 4; i++) {
        domains_leave(&all, &v[i]);
    }
}

static void serves_who_came_first(void **state)
{
    visit_t first = join("a.example"), v[5], late;

    (void)state;
    assert_true(domains_ask(&first, 1));
    for (unsigned i = 0; i < 5; i++) {
        v[i] = join("a.example");
        assert_false(domains_ask(&v[i], 1));
    }
    domains_leave(&all, &v[0]); /* from the front, */
    domains_leave(&all, &v[2]); /* the middle */
    domains_leave(&all, &v[4]); /* and the end of the queue */
    domains_done(&all, &first);
    late = join("a.example");
    assert_false(domains_ask(&late, 1)); /* there is room, but not for it */
    assert_ptr_equal(domains_next(&all), &v[1]);
    assert_null(domains_next(&all));
    domains_leave(&all, &v[1]);
    assert_ptr_equal(domains_next(&all), &v[3]);
    domains_done(&all, &v[3]);
    assert_ptr_equal(domains_next(&all), &late);
    domains_leave(&all, &v[3]);
    domains_leave(&all, &late);
    domains_leave(&all, &first);
}

static void one_domain_does_not_wait_for_another(void **state)
{
    visit_t a = join("a.example"), waits = join("a.example"), b = join("b.example"),
            c = join("b.example");

    (void)state;
    assert_true(domains_ask(&a, 1));
    assert_false(domains_ask(&waits, 1));
    assert_true(domains_ask(&b, 1));
    assert_false(domains_ask(&c, 1));
    domains_leave(&all, &b);
    assert_ptr_equal(domains_next(&all), &c);
    assert_null(domains_next(&all));
    domains_leave(&all, &c);
    domains_leave(&all, &a);
    assert_ptr_equal(domains_next(&all), &waits);
    domains_leave(&all, &waits);
}

static void zero_is_no_limit(void **state)
{
    static visit_t v[MANY];

    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        v[i] = join("a.example");
        assert_true(domains_ask(&v[i], 0));
    }
    for (unsigned i = 0; i < MANY; i++) {
        domains_leave(&all, &v[i]);
    }
}

static void who_left_in_a_queue_that_is_due_is_not_served(void **state)
{
    visit_t a = join("a.example"), b = join("a.example");

    (void)state;
    assert_true(domains_ask(&a, 1));
    assert_false(domains_ask(&b, 1));
    domains_leave(&all, &a); /* b's turn has come */
    domains_leave(&all, &b);
    assert_null(domains_next(&all));
}

static void many_domains_are_told_apart(void **state)
{
    static visit_t v[MANY];
    char name[32];

    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "%u.example", i / 2);
        v[i] = join(name);
        assert_int_equal(domains_streams(&v[i]), 1 + i % 2);
    }
    assert_int_equal(all.count, MANY / 2);
    assert_true(all.buckets >= MANY / 2);
    for (unsigned i = 0; i < MANY; i++) {
        domains_leave(&all, &v[i]);
    }
}

/* Nobody is lost or let in twice, whatever the order. */
static void random_visits_keep_to_the_limit(void **state)
{
    enum { VISITS = 40, LIMIT = 3, DOMAINS = 3 };
    visit_t v[VISITS] = { { 0 } }, *next;
    unsigned seed = 1, connecting[DOMAINS];
    char name[16];

    (void)state;
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)rand_r(&seed) % VISITS;

        snprintf(name, sizeof(name), "%u", i % DOMAINS);
        if (!v[i].domain) {
            assert_true(domains_join(&all, &v[i], name));
            domains_ask(&v[i], LIMIT);
        }
        else if (rand_r(&seed) % 2) {
            domains_leave(&all, &v[i]);
        }
        else {
            domains_done(&all, &v[i]);
        }
        while (step % 3 == 0 && (next = domains_next(&all)) != NULL) {
            assert_int_equal(next->state, VISIT_CONNECTS);
        }
        for (unsigned d = 0; d < DOMAINS; d++) {
            unsigned waiting = 0;

            connecting[d] = 0;
            for (unsigned n = d; n < VISITS; n += DOMAINS) {
                connecting[d] += v[n].state == VISIT_CONNECTS;
                waiting += v[n].state == VISIT_WAITS;
            }
            assert_true(connecting[d] <= LIMIT);
            assert_true(step % 3 != 0 || waiting == 0 || connecting[d] == LIMIT);
        }
    }
    for (unsigned i = 0; i < VISITS; i++) {
        domains_leave(&all, &v[i]);
    }
}

static void fill_and_empty(void)
{
    visit_t v[40] = { { 0 } };
    char name[16];

    for (unsigned i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "%u.example", i);
        if (domains_join(&all, &v[i], name)) {
            domains_ask(&v[i], 1);
        }
    }
    for (unsigned i = 0; i < 40; i++) {
        domains_leave(&all, &v[i]);
    }
}

static void no_memory_means_no_stream_and_nothing_else(void **state)
{
    long count;

    (void)state;
    torture_on = true;
    torture_count = 0;
    fill_and_empty();
    count = torture_count;
    for (long n = 1; n <= count; n++) {
        torture_count = 0;
        torture_nth = n;
        fill_and_empty();
        assert_int_equal(all.count, 0);
    }
    torture_nth = 0;
    torture_on = false;
    assert_true(count > 40);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(counts_streams_of_each_domain),
        TEST(lets_so_many_begin_within_a_minute),
        TEST(limit_that_is_lowered_holds_at_once),
        TEST(nobody_is_kept_for_a_count_that_is_over),
        TEST(lets_so_many_connect_and_no_more),
        TEST(serves_who_came_first),
        TEST(one_domain_does_not_wait_for_another),
        TEST(zero_is_no_limit),
        TEST(who_left_in_a_queue_that_is_due_is_not_served),
        TEST(many_domains_are_told_apart),
        TEST(random_visits_keep_to_the_limit),
        TEST(no_memory_means_no_stream_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
