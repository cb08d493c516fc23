/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * The attributes of <body/>, and its use more than once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "bosh/xml.h"

#define NS " xmlns='http://jabber.org/protocol/httpbind'"

static bosh_body_t b;

static int set_up(void **state)
{
    (void)state;
    bosh_body_init(&b);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    bosh_body_free(&b);
    return 0;
}

static void parse(const char *doc)
{
    assert_int_equal(bosh_body_parse(&b, doc, strlen(doc), &bosh_xml_body_limits), BOSH_XML_OK);
}

static void expect(bosh_attr_t a, const char *value)
{
    assert_true(bosh_str_same(b.attr[a], bosh_str(value)));
}

static void every_attribute_is_found(void **state)
{
    static const struct {
        bosh_attr_t attr;
        const char *name;
    } all[] = {
        { BOSH_A_RID, "rid" },
        { BOSH_A_SID, "sid" },
        { BOSH_A_TO, "to" },
        { BOSH_A_FROM, "from" },
        { BOSH_A_ROUTE, "route" },
        { BOSH_A_VER, "ver" },
        { BOSH_A_WAIT, "wait" },
        { BOSH_A_HOLD, "hold" },
        { BOSH_A_ACK, "ack" },
        { BOSH_A_CONTENT, "content" },
        { BOSH_A_LANG, "xml:lang" },
        { BOSH_A_TYPE, "type" },
        { BOSH_A_CONDITION, "condition" },
        { BOSH_A_PAUSE, "pause" },
        { BOSH_A_KEY, "key" },
        { BOSH_A_NEWKEY, "newkey" },
        { BOSH_A_STREAM, "stream" },
        { BOSH_A_REPORT, "report" },
        { BOSH_A_TIME, "time" },
        { BOSH_A_XMPP_VERSION, "q:version" },
        { BOSH_A_XMPP_RESTART, "q:restart" },
    };

    (void)state;
    assert_int_equal(sizeof(all) / sizeof(all[0]), BOSH_A_COUNT);
    for (unsigned i = 0; i < BOSH_A_COUNT; i++) {
        char doc[256];
        bosh_buf_t out;

        bosh_buf_init(&out, 0);
        (void)bosh_buf_add_z(&out, "<body" NS " xmlns:q='urn:xmpp:xbosh'");
        (void)bosh_xml_add_attr(&out, all[i].name, BOSH_STR("the value"));
        (void)bosh_buf_add_z(&out, "/>");
        assert_true(bosh_str_copy(doc, sizeof(doc), bosh_buf_str(&out)));
        bosh_buf_free(&out);

        parse(doc);
        for (unsigned a = 0; a < BOSH_A_COUNT; a++) {
            expect((bosh_attr_t)a, a == all[i].attr ? "the value" : NULL);
        }
    }
}

static void all_at_once_as_clients_send_them(void **state)
{
    (void)state;
    parse("<body content='text/xml; charset=utf-8' from='user@example.com' hold='1' "
          "rid='1573741820' to='example.com' route='xmpp:example.com:9999' ver='1.6' wait='60' "
          "ack='1' xml:lang='en' xmpp:version='1.0'" NS " xmlns:xmpp='urn:xmpp:xbosh'/>");
    expect(BOSH_A_RID, "1573741820");
    expect(BOSH_A_CONTENT, "text/xml; charset=utf-8");
    expect(BOSH_A_ROUTE, "xmpp:example.com:9999");
    expect(BOSH_A_LANG, "en");
    expect(BOSH_A_XMPP_VERSION, "1.0");
    expect(BOSH_A_SID, NULL);
    expect(BOSH_A_XMPP_RESTART, NULL);
}

static void prefixes_do_not_matter_namespaces_do(void **state)
{
    (void)state;
    parse("<body" NS " xmlns:xn0='urn:xmpp:xbosh' xn0:version='1.0' xmlns:xmpp='urn:other' "
          "xmpp:restart='true' version='2.0' restart='true' lang='x'/>");
    expect(BOSH_A_XMPP_VERSION, "1.0");
    expect(BOSH_A_XMPP_RESTART, NULL);
    expect(BOSH_A_LANG, NULL);
}

static void namespaced_twins_are_not_taken_for_ours(void **state)
{
    (void)state;
    parse("<b:body xmlns:b='http://jabber.org/protocol/httpbind' xmlns:x='urn:x' b:rid='1' "
          "x:sid='2'/>");
    expect(BOSH_A_RID, NULL);
    expect(BOSH_A_SID, NULL);
}

static void unknown_attributes_are_ignored(void **state)
{
    (void)state;
    parse("<body" NS " secure='false' window='5' xmlns:a='urn:a' a:b='c' rid='1'/>");
    expect(BOSH_A_RID, "1");
}

static void values_are_unescaped(void **state)
{
    (void)state;
    parse("<body" NS " to='a&amp;b&lt;&#x20AC;&#10;c' sid=''/>");
    expect(BOSH_A_TO, "a&b<\xe2\x82\xac\nc");
    expect(BOSH_A_SID, "");
}

static void a_second_parse_forgets_the_first(void **state)
{
    (void)state;
    parse("<body rid='1' sid='s'" NS "><message/><message/></body>");
    parse("<body rid='2'" NS "><iq/></body>");
    expect(BOSH_A_RID, "2");
    expect(BOSH_A_SID, NULL);
    assert_int_equal(b.payloads, 1);
    assert_true(bosh_str_eq(bosh_buf_str(&b.payload), "<iq/>"));
}

static void a_second_parse_overwrites_the_first(void **state)
{
    (void)state;
    parse("<body rid='1' sid='s'" NS "><auth>verysecretpassword</auth></body>");
    parse("<body rid='2'" NS "/>");
    for (size_t i = 0; i < b.payload.size; i++) {
        assert_int_equal(b.payload.p[i], 0);
    }
}

static void large_bodies_are_not_kept_in_memory(void **state)
{
    bosh_buf_t doc;

    (void)state;
    bosh_buf_init(&doc, 0);
    (void)bosh_buf_add_z(&doc, "<body" NS "><m>");
    for (unsigned i = 0; i < 20000; i++) {
        (void)bosh_buf_add_z(&doc, "0123456789");
    }
    (void)bosh_buf_add(&doc, "</m></body>", sizeof("</m></body>"));
    parse(doc.p);
    assert_int_equal(b.payload.len, 200000 + sizeof("<m></m>") - 1);
    parse("<body" NS "/>");
    assert_true(b.payload.size < 32 * 1024);
    bosh_buf_free(&doc);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_attribute_is_found),
        TEST(all_at_once_as_clients_send_them),
        TEST(prefixes_do_not_matter_namespaces_do),
        TEST(namespaced_twins_are_not_taken_for_ours),
        TEST(unknown_attributes_are_ignored),
        TEST(values_are_unescaped),
        TEST(a_second_parse_forgets_the_first),
        TEST(a_second_parse_overwrites_the_first),
        TEST(large_bodies_are_not_kept_in_memory),
    };

    bosh_xml_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
