/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Lending: who holds a parser when, that nothing crosses from one stream to
 * another, and that memory stays flat whatever names a server invents.
 *
 * BOSH_TEST_MEGABYTES says how much of invented names is fed; 8 unless set.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stream_record.h"

#define HEADER \
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
#define OTHER_HEADER                                                                        \
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' " \
    "xmlns:db='jabber:server:dialback'>"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SANITIZER true
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(HAS_SANITIZER)
#define HAS_SANITIZER true
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER false
#endif

static bosh_parser_pool_t *pool;

static int set_up(void **state)
{
    (void)state;
    pool = bosh_parser_pool_create();
    return pool ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    bosh_parser_pool_destroy(pool);
    return 0;
}

static void begin(record_t *r)
{
    record_begin(r, pool, &bosh_xml_stream_limits);
}

static void feed(record_t *r, const char *z)
{
    assert_int_equal(record_feed(r, z), BOSH_XML_OK);
}

static void streams_at_rest_share_one_parser(void **state)
{
    enum { STREAMS = 200 };
    static record_t r[STREAMS];

    (void)state;
    assert_int_equal(bosh_parser_pool_count(pool), 0);
    for (unsigned i = 0; i < STREAMS; i++) {
        begin(&r[i]);
        feed(&r[i], HEADER);
        assert_true(bosh_stream_is_resting(r[i].stream));
    }
    for (unsigned i = 0; i < STREAMS; i++) {
        feed(&r[i], "<message><body>hello</body></message>");
        assert_int_equal(r[i].stanzas, 1);
    }
    /* Headers are read by fresh parsers, of which the pool keeps a handful. */
    assert_in_range(bosh_parser_pool_count(pool), 1, 8);
    for (unsigned i = 0; i < STREAMS; i++) {
        record_end(&r[i]);
    }
}

static void a_stream_before_its_header_has_no_parser(void **state)
{
    record_t r;

    (void)state;
    begin(&r);
    feed(&r, "<?xml version='1.0'?>\n<stream:stream xmlns='jabber:client'");
    assert_int_equal(bosh_parser_pool_count(pool), 0);
    assert_false(bosh_stream_is_resting(r.stream));
    record_end(&r);
}

static void half_a_tag_needs_no_parser_half_a_stanza_does(void **state)
{
    record_t a;
    record_t b;

    (void)state;
    begin(&a);
    begin(&b);
    feed(&a, HEADER);
    feed(&b, HEADER);
    feed(&a, "<mess");
    assert_false(bosh_stream_is_resting(a.stream));
    assert_int_equal(bosh_parser_pool_count(pool), 2);
    feed(&a, "age>");
    assert_false(bosh_stream_is_resting(a.stream));
    feed(&b, "<presence/>");
    assert_int_equal(b.stanzas, 1);
    assert_int_equal(bosh_parser_pool_count(pool), 2);
    feed(&a, "</message>");
    assert_int_equal(a.stanzas, 1);
    assert_true(bosh_stream_is_resting(a.stream));
    record_end(&a);
    record_end(&b);
}

static void every_waiting_stream_has_its_own(void **state)
{
    enum { STREAMS = 50 };
    static record_t r[STREAMS];
    char text[128];

    (void)state;
    for (unsigned i = 0; i < STREAMS; i++) {
        begin(&r[i]);
        feed(&r[i], HEADER "<message><body>");
    }
    assert_int_equal(bosh_parser_pool_count(pool), STREAMS);
    for (unsigned i = 0; i < STREAMS; i++) {
        (void)snprintf(text, sizeof(text), "for %u only", i);
        feed(&r[i], text);
    }
    for (unsigned i = 0; i < STREAMS; i++) {
        feed(&r[i], "</body></message>");
        (void)snprintf(text, sizeof(text),
                       "opened\nstanza <message xmlns='jabber:client'><body>for %u only</body>"
                       "</message>\n",
                       i);
        assert_true(bosh_str_eq(bosh_buf_str(&r[i].log), text));
    }
    assert_in_range(bosh_parser_pool_count(pool), 1, 8);
    for (unsigned i = 0; i < STREAMS; i++) {
        record_end(&r[i]);
    }
}

static void a_stream_freed_in_a_stanza_leaves_nothing(void **state)
{
    record_t a;
    record_t b;

    (void)state;
    begin(&a);
    feed(&a, HEADER "<message><body>secret");
    assert_int_equal(bosh_parser_pool_count(pool), 1);
    record_end(&a);
    assert_int_equal(bosh_parser_pool_count(pool), 0);

    begin(&b);
    feed(&b, HEADER "<presence/>");
    assert_true(
        bosh_str_eq(bosh_buf_str(&b.log), "opened\nstanza <presence xmlns='jabber:client'/>\n"));
    record_end(&b);
}

static void a_refusing_stream_takes_its_parser_along(void **state)
{
    record_t a;
    record_t b;

    (void)state;
    begin(&b);
    feed(&b, HEADER);
    for (unsigned i = 0; i < 20; i++) {
        begin(&a);
        feed(&a, HEADER);
        assert_int_equal(record_feed(&a, "<m><x:y/></m>"), BOSH_XML_NAMESPACE);
        feed(&b, "<presence/>");
        record_end(&a);
    }
    assert_int_equal(b.stanzas, 20);
    record_end(&b);
}

static void scopes_are_not_mixed(void **state)
{
    record_t a;
    record_t b;
    record_t c;

    (void)state;
    begin(&a);
    begin(&b);
    begin(&c);
    feed(&a, HEADER);
    feed(&b, OTHER_HEADER);
    feed(&c, "<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams'>");
    for (unsigned i = 0; i < 5; i++) {
        feed(&a, "<stream:a/>");
        feed(&b, "<db:result/>");
        feed(&c, "<s:c/>");
    }
    assert_int_equal(record_feed(&a, "<db:result/>"), BOSH_XML_NAMESPACE);
    assert_int_equal(record_feed(&c, "<stream:c/>"), BOSH_XML_NAMESPACE);
    feed(&b, "</stream:stream>");
    record_end(&a);
    record_end(&b);
    record_end(&c);
}

static void declarations_of_a_stanza_end_with_it(void **state)
{
    record_t a;
    record_t b;

    (void)state;
    begin(&a);
    begin(&b);
    feed(&a, HEADER);
    feed(&b, HEADER);
    feed(&a, "<q:m xmlns:q='urn:q' xmlns='urn:other'><x/></q:m>");
    feed(&b, "<m/>");
    assert_true(bosh_str_eq(bosh_buf_str(&b.log), "opened\nstanza <m xmlns='jabber:client'/>\n"));
    assert_int_equal(record_feed(&b, "<q:m/>"), BOSH_XML_NAMESPACE);
    record_end(&a);
    record_end(&b);
}

static void odd_names_do_not_taint_other_streams(void **state)
{
    record_t a;
    record_t b;

    (void)state;
    begin(&a);
    begin(&b);
    feed(&a, HEADER);
    feed(&b, HEADER);
    feed(&a, "<m><x xmlns='a b'/></m>");
    feed(&b, "<m/>");
    assert_int_equal(record_feed(&b, "<m x:y=''/>"), BOSH_XML_NAMESPACE);
    record_end(&a);
    record_end(&b);
}

/* Resident memory in KiB. */
static long resident(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long pages = -1;

    if (f) {
        if (fscanf(f, "%*d %ld", &pages) != 1) {
            pages = -1;
        }
        (void)fclose(f);
    }
    return pages < 0 ? -1 : pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static size_t feed_invented_names(record_t *r, uint64_t *n)
{
    char stanza[512];
    int len = snprintf(stanza, sizeof(stanza),
                       "<message><n%llx:a%llx xmlns:n%llx='urn:u%llx' b%llx='1'/></message>",
                       (unsigned long long)*n, (unsigned long long)*n, (unsigned long long)*n,
                       (unsigned long long)*n, (unsigned long long)*n);

    (*n)++;
    assert_int_equal(bosh_stream_feed(r->stream, stanza, (size_t)len), BOSH_XML_OK);
    bosh_buf_clear(&r->log);
    return (size_t)len;
}

static void invented_names_do_not_pile_up(void **state)
{
    const char *megabytes = getenv("BOSH_TEST_MEGABYTES");
    size_t goal = (megabytes ? (size_t)atol(megabytes) : 8) * 1024 * 1024;
    size_t fed = 0;
    uint64_t n = 0;
    long before;
    record_t r;

    (void)state;
    begin(&r);
    feed(&r, HEADER);
    while (fed < 3 * 1024 * 1024) {
        fed += feed_invented_names(&r, &n);
    }
    before = resident();
    while (fed < goal) {
        fed += feed_invented_names(&r, &n);
        assert_in_range(bosh_parser_pool_count(pool), 0, 2);
    }
    print_message("%zu MiB in %llu stanzas: from %ld to %ld KiB\n", fed >> 20,
                  (unsigned long long)n, before, resident());
    assert_int_equal(r.stanzas, n);
    /* A parser that kept every name would be beyond its 10 MB limit long before
     * 30 MB. A sanitizer's quarantine keeps what was freed, so under it the
     * figure says nothing. */
    if (!HAS_SANITIZER) {
        assert_true(resident() < before + 1024);
    }
    record_end(&r);
}

static void invented_names_in_one_feed(void **state)
{
    bosh_buf_t all;
    record_t r;

    (void)state;
    bosh_buf_init(&all, 0);
    for (unsigned i = 0; i < 100000; i++) {
        (void)bosh_buf_add_z(&all, "<a");
        (void)bosh_buf_add_uint(&all, i);
        (void)bosh_buf_add_z(&all, "/>");
    }
    begin(&r);
    feed(&r, HEADER);
    assert_int_equal(bosh_stream_feed(r.stream, all.p, all.len), BOSH_XML_OK);
    assert_int_equal(r.stanzas, 100000);
    assert_in_range(bosh_parser_pool_count(pool), 0, 2);
    record_end(&r);
    bosh_buf_free(&all);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(streams_at_rest_share_one_parser),
        TEST(a_stream_before_its_header_has_no_parser),
        TEST(half_a_tag_needs_no_parser_half_a_stanza_does),
        TEST(every_waiting_stream_has_its_own),
        TEST(a_stream_freed_in_a_stanza_leaves_nothing),
        TEST(a_refusing_stream_takes_its_parser_along),
        TEST(scopes_are_not_mixed),
        TEST(declarations_of_a_stanza_end_with_it),
        TEST(odd_names_do_not_taint_other_streams),
        TEST(invented_names_do_not_pile_up),
        TEST(invented_names_in_one_feed),
    };

    bosh_xml_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
