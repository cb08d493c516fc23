/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Every limit of a body at its edge: the largest that passes, the smallest that
 * does not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "bosh/xml.h"

#define NS   " xmlns='http://jabber.org/protocol/httpbind'"
#define OPEN "<body" NS ">"

static bosh_buf_t doc;

static int set_up(void **state)
{
    (void)state;
    bosh_buf_init(&doc, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    bosh_buf_free(&doc);
    return 0;
}

static void add(const char *z)
{
    assert_true(bosh_buf_add_z(&doc, z));
}

static void add_times(const char *z, size_t times)
{
    for (size_t i = 0; i < times; i++) {
        add(z);
    }
}

/* name1='v' name2='v' ... */
static void add_numbered(const char *name, size_t times)
{
    for (size_t i = 0; i < times; i++) {
        add(" ");
        add(name);
        (void)bosh_buf_add_uint(&doc, i);
        add("='urn:v'");
    }
}

static void expect(bosh_xml_verdict_t verdict)
{
    bosh_body_t b;

    bosh_body_init(&b);
    assert_string_equal(
        bosh_xml_verdict_text(bosh_body_parse(&b, doc.p, doc.len, &bosh_xml_body_limits)),
        bosh_xml_verdict_text(verdict));
    bosh_body_free(&b);
    bosh_buf_clear(&doc);
}

static void nested(size_t levels)
{
    add(OPEN);
    add_times("<a>", levels - 1);
    add_times("</a>", levels - 1);
    add("</body>");
}

static void depth(void **state)
{
    (void)state;
    nested(64);
    expect(BOSH_XML_OK);
    nested(65);
    expect(BOSH_XML_DEPTH);
    nested(256);
    expect(BOSH_XML_DEPTH);
    nested(257);
    expect(BOSH_XML_DEPTH);
    nested(30000);
    expect(BOSH_XML_DEPTH);
    /* Refused where it gets too deep, not at the end that never comes. */
    add(OPEN);
    add_times("<a>", 80000);
    expect(BOSH_XML_DEPTH);
}

static void depth_is_bounded_by_the_code_too(void **state)
{
    bosh_xml_limits_t limits = bosh_xml_body_limits;
    bosh_body_t b;

    (void)state;
    limits.max_depth = 100000;
    bosh_body_init(&b);
    nested(256);
    assert_int_equal(bosh_body_parse(&b, doc.p, doc.len, &limits), BOSH_XML_OK);
    bosh_buf_clear(&doc);
    nested(257);
    assert_int_equal(bosh_body_parse(&b, doc.p, doc.len, &limits), BOSH_XML_DEPTH);
    bosh_body_free(&b);
}

static void attributes(void **state)
{
    (void)state;
    for (size_t n = 64; n <= 65; n++) {
        add(OPEN "<m");
        add_numbered("a", n);
        add("/></body>");
        expect(n == 64 ? BOSH_XML_OK : BOSH_XML_WIDTH);
        add("<body" NS);
        add_numbered("a", n);
        add("/>");
        expect(n == 64 ? BOSH_XML_OK : BOSH_XML_WIDTH);
    }
}

static void declarations(void **state)
{
    (void)state;
    for (size_t n = 32; n <= 33; n++) {
        add(OPEN "<m");
        add_numbered("xmlns:a", n);
        add("/></body>");
        expect(n == 32 ? BOSH_XML_OK : BOSH_XML_WIDTH);
    }
}

static void declarations_in_scope(void **state)
{
    (void)state;
    for (size_t last = 31; last <= 32; last++) {
        add(OPEN);
        for (unsigned i = 0; i < 15; i++) {
            add("<m");
            add_numbered("xmlns:a", 32);
            add("><x xmlns:gone='u'/>");
        }
        add("<m");
        add_numbered("xmlns:b", last);
        add("/>");
        add_times("</m>", 15);
        add("</body>");
        expect(last == 31 ? BOSH_XML_OK : BOSH_XML_WIDTH);
    }
}

static void elements(void **state)
{
    (void)state;
    for (size_t n = 4096; n <= 4097; n++) {
        add(OPEN "<m>");
        add_times("<a/>", n - 2);
        add("</m></body>");
        expect(n == 4096 ? BOSH_XML_OK : BOSH_XML_WIDTH);
    }
}

static void payloads(void **state)
{
    (void)state;
    for (size_t n = 256; n <= 257; n++) {
        add(OPEN);
        add_times("<a/>", n);
        add("</body>");
        expect(n == 256 ? BOSH_XML_OK : BOSH_XML_WIDTH);
    }
}

static void names(void **state)
{
    static const struct {
        const char *before;
        const char *after;
    } places[] = {
        { OPEN "<", "/></body>" },
        { OPEN "<m ", "='1'/></body>" },
        { OPEN "<m xmlns:", "='urn:a'/></body>" },
        { "<body" NS " ", "='1'/>" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        for (size_t n = 256; n <= 257; n++) {
            add(places[i].before);
            add_times("n", n);
            add(places[i].after);
            expect(n == 256 ? BOSH_XML_OK : BOSH_XML_NAME_LENGTH);
        }
    }
}

static void names_beyond_what_libxml2_takes(void **state)
{
    (void)state;
    add(OPEN "<");
    add_times("n", 50001);
    add("/></body>");
    expect(BOSH_XML_NOT_WELL_FORMED);
}

static void values(void **state)
{
    static const struct {
        const char *before;
        const char *after;
    } places[] = {
        { OPEN "<m a='", "'/></body>" },
        { "<body" NS " rid='", "'/>" },
        { OPEN "<m xmlns='u", "'/></body>" },
        { OPEN "<m xmlns:a='u", "'/></body>" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        size_t fits = i < 2 ? 65536 : 65535;

        for (size_t n = fits; n <= fits + 1; n++) {
            add(places[i].before);
            add_times("v", n);
            add(places[i].after);
            expect(n == fits ? BOSH_XML_OK : BOSH_XML_VALUE_LENGTH);
        }
    }
}

static void size(void **state)
{
    size_t around = strlen(OPEN "<m></m></body>");

    (void)state;
    for (size_t n = 256 * 1024; n <= 256 * 1024 + 1; n++) {
        add(OPEN "<m>");
        add_times("x", n - around);
        add("</m></body>");
        expect(n == 256 * 1024 ? BOSH_XML_OK : BOSH_XML_SIZE);
    }
    add_times(" ", 256 * 1024 + 1);
    expect(BOSH_XML_SIZE);
}

/* A long namespace name, bound to a prefix once, would be written with each of
 * many payloads. */
static void size_after_serialising(void **state)
{
    (void)state;
    add("<body xmlns:a='u");
    add_times("v", 60000);
    add("'" NS ">");
    add_times("<a:m/>", 200);
    add("</body>");
    expect(BOSH_XML_SIZE);
}

static uint64_t cpu_ms(void)
{
    return (uint64_t)clock() * 1000 / CLOCKS_PER_SEC;
}

/* libxml2 alone would take some 80 ms for each. */
static void wide_start_tags_are_no_burden(void **state)
{
    uint64_t before = cpu_ms();

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        add(OPEN "<m");
        add_numbered("a", 15000);
        add("/></body>");
        expect(BOSH_XML_WIDTH);
    }
    assert_true(cpu_ms() - before < 500);
}

/* What looks like attributes, and is not, is not counted. */
static void quotes_elsewhere_do_not_count(void **state)
{
    (void)state;
    add(OPEN "<m a='>\"\"\"' b=\"'>'>'\">");
    add_times("a='b' \"'\" > ", 200);
    add("<![CDATA[<a ");
    add_times("a='b' > ", 200);
    add("]]><x/></m></body>");
    expect(BOSH_XML_OK);
}

static void values_with_greater_than_do_count(void **state)
{
    (void)state;
    add(OPEN "<m><![CDATA[ <a ' ]]><x");
    for (unsigned i = 0; i < 15000; i++) {
        add(" a");
        (void)bosh_buf_add_uint(&doc, i);
        add("='>'");
    }
    add("/></m></body>");
    expect(BOSH_XML_WIDTH);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(depth),
        TEST(depth_is_bounded_by_the_code_too),
        TEST(attributes),
        TEST(declarations),
        TEST(declarations_in_scope),
        TEST(elements),
        TEST(payloads),
        TEST(names),
        TEST(names_beyond_what_libxml2_takes),
        TEST(values),
        TEST(size),
        TEST(size_after_serialising),
        TEST(wide_start_tags_are_no_burden),
        TEST(quotes_elsewhere_do_not_count),
        TEST(values_with_greater_than_do_count),
    };

    bosh_xml_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
