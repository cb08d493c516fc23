/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * What a server must not send: one test each, with the verdict, the number of
 * stanzas that were delivered before, and the same in single bytes. A stream
 * that refused once refuses for ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "stream_record.h"

#define HEADER \
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"

typedef struct row_t {
    const char *name;
    const char *bytes;
    size_t len;
    bosh_xml_verdict_t verdict;
    unsigned stanzas;
} row_t;

#define ROW(name, verdict, stanzas, bytes)                          \
    {                                                               \
        name, bytes, sizeof(bytes) - 1, BOSH_XML_##verdict, stanzas \
    }

static const row_t rows[] = {
    ROW("text_between_stanzas", TEXT, 1, HEADER "<m/>x"),
    ROW("text_behind_header", TEXT, 0, HEADER "x"),
    ROW("character_reference_between_stanzas", TEXT, 0, HEADER "&#32;<m/>"),
    ROW("cdata_between_stanzas", TEXT, 1, HEADER "<m/><![CDATA[x>]]><m/>"),
    ROW("comment_between_stanzas", COMMENT, 0, HEADER "<!-- --><m/>"),
    ROW("comment_in_stanza", COMMENT, 1, HEADER "<m/><m><!-- a > b --></m>"),
    ROW("comment_before_header", COMMENT, 0, "<!-- -->" HEADER),
    ROW("pi_between_stanzas", PI, 0, HEADER "<?a?>"),
    ROW("pi_in_stanza", PI, 0, HEADER "<m><?a > ?></m>"),
    ROW("pi_before_header", PI, 0, "<?xml version='1.0'?><?xml-stylesheet?>" HEADER),
    ROW("dtd_before_header", DTD, 0, "<!DOCTYPE a>" HEADER),
    ROW("dtd_with_entity", DTD, 0, "<!DOCTYPE a [<!ENTITY b 'c'>]>" HEADER),
    ROW("dtd_between_stanzas", DTD, 1, HEADER "<m/><!DOCTYPE a>"),
    ROW("dtd_in_stanza", DTD, 0, HEADER "<m><!DOCTYPE a></m>"),
    ROW("two_declarations", NOT_WELL_FORMED, 0, "<?xml version='1.0'?><?xml version='1.0'?>"),
    ROW("declaration_between_stanzas", NOT_WELL_FORMED, 1, HEADER "<m/><?xml version='1.0'?>"),
    ROW("declares_utf7", NOT_UTF8, 0, "<?xml version='1.0' encoding='UTF-7'?>" HEADER),
    ROW("declares_latin1", NOT_UTF8, 0, "<?xml version='1.0' encoding='latin1'?>" HEADER),
    ROW("xml_1_1", NOT_WELL_FORMED, 0, "<?xml version='1.1'?>" HEADER),
    ROW("utf8_byte_order_mark", NOT_UTF8, 0, "\xef\xbb\xbf" HEADER),
    ROW("utf16_byte_order_mark", NOT_UTF8, 0, "\xff\xfe<\0s\0"),
    ROW("utf16_pattern", NOT_UTF8, 0, "<\0s\0>\0"),
    ROW("overlong", NOT_UTF8, 1, HEADER "<m/><m>\xc0\xbc</m>"),
    ROW("cut_character", NOT_UTF8, 0, HEADER "<m>\xe2\x82</m>"),
    ROW("nul_in_text", NOT_UTF8, 0, HEADER "<m>\0</m>"),
    ROW("nul_between_stanzas", TEXT, 1, HEADER "<m/>\0<m/>"),
    ROW("control_character", NOT_WELL_FORMED, 0, HEADER "<m>\x02</m>"),
    ROW("undeclared_prefix", NAMESPACE, 1, HEADER "<m/><q:m/>"),
    ROW("prefix_of_the_stanza_before", NAMESPACE, 1, HEADER "<q:m xmlns:q='u'/><q:m/>"),
    ROW("same_attribute_twice", NAMESPACE, 0,
        HEADER "<m xmlns:a='u' xmlns:b='u' a:x='1' b:x='1'/>"),
    ROW("mismatched_end", NOT_WELL_FORMED, 0, HEADER "<m><a></m></a>"),
    ROW("end_of_something_else", NOT_WELL_FORMED, 1, HEADER "<m/></m>"),
    ROW("unknown_entity", NOT_WELL_FORMED, 0, HEADER "<m>&nbsp;</m>"),
    ROW("less_than_in_value", NOT_WELL_FORMED, 0, HEADER "<m a='<'></m>"),
    ROW("not_xml", NOT_WELL_FORMED, 0, "HTTP/1.1 400 Bad Request\r\n"),
    ROW("other_root", ROOT, 0, "<html>"),
    ROW("stream_in_other_namespace", ROOT, 0, "<stream xmlns='jabber:client'>"),
    ROW("root_with_undeclared_prefix", NAMESPACE, 0, "<stream:stream>"),
    ROW("junk_after_the_end", NOT_WELL_FORMED, 0, HEADER "</stream:stream> <m/>"),
    ROW("text_after_the_end", NOT_WELL_FORMED, 0, HEADER "</stream:stream>x"),
};

static bosh_xml_verdict_t feed_chunks(record_t *r, const row_t *row, size_t chunk)
{
    bosh_xml_verdict_t verdict = BOSH_XML_OK;

    for (size_t at = 0; at < row->len; at += chunk) {
        size_t left = row->len - at;

        verdict = bosh_stream_feed(r->stream, row->bytes + at, left < chunk ? left : chunk);
    }
    return verdict;
}

static void is_refused(void **state)
{
    const row_t *row = *state;
    const size_t chunks[] = { row->len, 1, 2, 3, 5, 7 };
    bosh_parser_pool_t *pool = bosh_parser_pool_create();

    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
        record_t r;
        size_t logged;

        record_begin(&r, pool, &bosh_xml_stream_limits);
        assert_string_equal(bosh_xml_verdict_text(feed_chunks(&r, row, chunks[i])),
                            bosh_xml_verdict_text(row->verdict));
        assert_int_equal(r.stanzas, row->stanzas);
        assert_false(bosh_stream_is_resting(r.stream));
        logged = r.log.len;
        assert_int_equal(record_feed(&r, HEADER "<m/>"), row->verdict);
        assert_int_equal(record_feed(&r, " "), row->verdict);
        bosh_stream_restart(r.stream);
        assert_int_equal(record_feed(&r, HEADER "<m/>"), row->verdict);
        assert_int_equal(r.log.len, logged);
        record_end(&r);
    }
    bosh_parser_pool_destroy(pool);
}

/* ---- limits ------------------------------------------------------------ */

static const bosh_xml_limits_t narrow = {
    .max_depth = 4,
    .max_attrs = 4,
    .max_ns = 3,
    .max_elements = 6,
    .max_children = 1, /* is about bodies */
    .max_name = 16,
    .max_value = 64,
    .max_bytes = 512,
};

static void expect(const char *good, const char *bad, bosh_xml_verdict_t verdict)
{
    bosh_parser_pool_t *pool = bosh_parser_pool_create();
    record_t r;

    record_begin(&r, pool, &narrow);
    assert_int_equal(record_feed(&r, HEADER), BOSH_XML_OK);
    /* Counting starts anew with each stanza. */
    for (unsigned i = 1; i <= 100; i++) {
        assert_int_equal(record_feed(&r, good), BOSH_XML_OK);
        assert_int_equal(r.stanzas, i);
    }
    assert_string_equal(bosh_xml_verdict_text(record_feed(&r, bad)),
                        bosh_xml_verdict_text(verdict));
    assert_int_equal(r.stanzas, 100);
    record_end(&r);
    bosh_parser_pool_destroy(pool);
}

static void too_deep(void **state)
{
    (void)state;
    expect("<a><b><c/></b></a>", "<a><b><c><d/></c></b></a>", BOSH_XML_DEPTH);
}

static void too_many_attributes(void **state)
{
    (void)state;
    expect("<a a='' b='' c='' d=''/>", "<a a='' b='' c='' d='' e=''/>", BOSH_XML_WIDTH);
}

static void too_many_attributes_in_pieces(void **state)
{
    (void)state;
    expect("<a a='>' b='>' c='' d='>'/>",
           "<a a='>' b='>' c='>' d='>' e='>' f='>' g='>' h='>' i='>'/>", BOSH_XML_WIDTH);
}

static void too_many_declarations(void **state)
{
    (void)state;
    expect("<a xmlns:a='a' xmlns:b='b' xmlns:c='c'/>",
           "<a xmlns:a='a' xmlns:b='b' xmlns:c='c' xmlns:d='d'/>", BOSH_XML_WIDTH);
}

static void too_many_elements(void **state)
{
    (void)state;
    expect("<a><b/><c/><d/><e/><f/></a>", "<a><b/><c/><d/><e/><f/><g/></a>", BOSH_XML_WIDTH);
}

static void too_long_a_name(void **state)
{
    (void)state;
    expect("<a234567890123456/>", "<a2345678901234567/>", BOSH_XML_NAME_LENGTH);
}

static void too_long_a_value(void **state)
{
    char good[80] = "<a b='";
    char bad[80] = "<a b='";

    (void)state;
    memset(good + 6, 'x', 64);
    memset(bad + 6, 'x', 65);
    strcpy(good + 70, "'/>");
    strcpy(bad + 71, "'/>");
    expect(good, bad, BOSH_XML_VALUE_LENGTH);
}

static void size_as_sent(void **state)
{
    char good[600] = "<a>";
    char bad[600] = "<a>";

    (void)state;
    memset(good + 3, 'x', 400);
    memset(bad + 3, 'x', 506);
    strcpy(good + 403, "</a>");
    strcpy(bad + 509, "</a>");
    expect(good, bad, BOSH_XML_SIZE);
}

static void size_as_re_serialised(void **state)
{
    char bad[600] = "<a>";

    (void)state;
    memset(bad + 3, '>', 130);
    strcpy(bad + 133, "</a>");
    expect("<a>>>></a>", bad, BOSH_XML_SIZE);
}

/* Whatever it is that never ends: at most max_bytes of it are read. */
static void nothing_endless_is_read(void **state)
{
    static const char *const begins[] = {
        HEADER "<a",
        HEADER "<a>",
        HEADER "<a b='",
        HEADER "<a><![CDATA[",
        HEADER "<!--",
        HEADER "<?a ",
        HEADER "<a>&",
        "<?xml version='1.0'",
        "<stream:stream a='x",
        "<!DOCTYPE a",
        HEADER "</stream:stream",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
        bosh_parser_pool_t *pool = bosh_parser_pool_create();
        bosh_xml_verdict_t verdict;
        unsigned fed = 0;
        record_t r;

        record_begin(&r, pool, &narrow);
        verdict = record_feed(&r, begins[i]);
        while (verdict == BOSH_XML_OK && fed < 2000) {
            verdict = record_feed(&r, "x");
            fed++;
        }
        assert_int_equal(verdict, BOSH_XML_SIZE);
        assert_true(fed <= 512);
        record_end(&r);
        bosh_parser_pool_destroy(pool);
    }
}

static void a_header_that_declares_too_much(void **state)
{
    bosh_parser_pool_t *pool = bosh_parser_pool_create();
    bosh_buf_t header;
    record_t r;

    (void)state;
    bosh_buf_init(&header, 0);
    (void)bosh_buf_add_z(&header, "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' "
                                  "xmlns:x='u");
    for (unsigned i = 0; i < 5000; i++) {
        (void)bosh_buf_add_z(&header, "v");
    }
    (void)bosh_buf_add(&header, "'>", 3);
    record_begin(&r, pool, &bosh_xml_stream_limits);
    assert_int_equal(record_feed(&r, header.p), BOSH_XML_SIZE);
    record_end(&r);
    bosh_buf_free(&header);
    bosh_parser_pool_destroy(pool);
}

int main(void)
{
    enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(too_deep),
        cmocka_unit_test(too_many_attributes),
        cmocka_unit_test(too_many_attributes_in_pieces),
        cmocka_unit_test(too_many_declarations),
        cmocka_unit_test(too_many_elements),
        cmocka_unit_test(too_long_a_name),
        cmocka_unit_test(too_long_a_value),
        cmocka_unit_test(size_as_sent),
        cmocka_unit_test(size_as_re_serialised),
        cmocka_unit_test(nothing_endless_is_read),
        cmocka_unit_test(a_header_that_declares_too_much),
    };
    enum { OTHERS = sizeof(others) / sizeof(others[0]) };
    static struct CMUnitTest tests[ROWS + OTHERS];

    bosh_xml_init();
    for (size_t i = 0; i < ROWS; i++) {
        tests[i].name = rows[i].name;
        tests[i].test_func = is_refused;
        tests[i].initial_state = (void *)(uintptr_t)&rows[i];
    }
    memcpy(tests + ROWS, others, sizeof(others));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
