/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Writing: escaping, attributes, the stream header.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bosh/xml.h"

static bosh_buf_t out;

static int set_up(void **state)
{
    (void)state;
    bosh_buf_init(&out, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    bosh_buf_free(&out);
    return 0;
}

static void expect(const char *z)
{
    (void)bosh_buf_add(&out, "", 1);
    assert_string_equal(out.p, z);
    bosh_buf_clear(&out);
}

static void everything_that_matters_is_escaped(void **state)
{
    (void)state;
    assert_true(bosh_xml_add_escaped(&out, BOSH_STR("&<>\"'\t\n\r")));
    expect("&amp;&lt;&gt;&quot;&apos;&#9;&#10;&#13;");
    assert_true(bosh_xml_add_escaped(&out, BOSH_STR("a&b]]>\xe2\x82\xac")));
    expect("a&amp;b]]&gt;\xe2\x82\xac");
    assert_true(bosh_xml_add_escaped(&out, BOSH_STR("")));
    assert_true(bosh_xml_add_escaped(&out, BOSH_ABSENT));
    expect("");
}

static void what_was_escaped_is_read_as_it_was(void **state)
{
    const char value[] = "\t\n\r<>&'\" x";
    bosh_body_t b;

    (void)state;
    (void)bosh_buf_add_z(&out, "<body xmlns='http://jabber.org/protocol/httpbind'");
    (void)bosh_xml_add_attr(&out, "sid", BOSH_STR(value));
    (void)bosh_buf_add_z(&out, "/>");
    bosh_body_init(&b);
    assert_int_equal(bosh_body_parse(&b, out.p, out.len, &bosh_xml_body_limits), BOSH_XML_OK);
    assert_true(bosh_str_eq(b.attr[BOSH_A_SID], value));
    bosh_body_free(&b);
}

static void absent_attributes_are_not_written(void **state)
{
    (void)state;
    assert_true(bosh_xml_add_attr(&out, "a", BOSH_ABSENT));
    assert_true(bosh_xml_add_attr(&out, "b", BOSH_STR("")));
    assert_true(bosh_xml_add_attr_uint(&out, "c", 42));
    expect(" b='' c='42'");
}

static void a_full_buffer_is_reported(void **state)
{
    (void)state;
    out.max = 8;
    assert_false(bosh_xml_add_attr(&out, "a", BOSH_STR("&&&&")));
    assert_false(bosh_xml_add_attr(&out, "b", BOSH_ABSENT));
    assert_false(bosh_xml_add_escaped(&out, BOSH_STR("")));
    assert_false(bosh_xml_add_stream_header(&out, BOSH_ABSENT, BOSH_ABSENT, BOSH_ABSENT));
}

static void the_stream_header(void **state)
{
    (void)state;
    assert_true(bosh_xml_add_stream_header(&out, BOSH_STR("example.com"),
                                           BOSH_STR("o'neil@example.com"), BOSH_STR("en")));
    expect("<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
           "xmlns:stream='http://etherx.jabber.org/streams' to='example.com' "
           "from='o&apos;neil@example.com' version='1.0' xml:lang='en'>");
    assert_true(bosh_xml_add_stream_header(&out, BOSH_STR("a"), BOSH_ABSENT, BOSH_ABSENT));
    expect("<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
           "xmlns:stream='http://etherx.jabber.org/streams' to='a' version='1.0'>");
}

static void every_verdict_has_its_own_words(void **state)
{
    (void)state;
    for (int a = BOSH_XML_OK; a <= BOSH_XML_NO_MEMORY; a++) {
        assert_string_not_equal(bosh_xml_verdict_text((bosh_xml_verdict_t)a), "unknown verdict");
        for (int b = BOSH_XML_OK; b < a; b++) {
            assert_string_not_equal(bosh_xml_verdict_text((bosh_xml_verdict_t)a),
                                    bosh_xml_verdict_text((bosh_xml_verdict_t)b));
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(everything_that_matters_is_escaped),
        TEST(what_was_escaped_is_read_as_it_was),
        TEST(absent_attributes_are_not_written),
        TEST(a_full_buffer_is_reported),
        TEST(the_stream_header),
        TEST(every_verdict_has_its_own_words),
    };

    bosh_xml_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
