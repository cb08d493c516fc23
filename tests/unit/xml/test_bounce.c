/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * What is bounced, what is dropped, and that it does not matter how it is cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "stream_record.h"

#define NS_STANZAS "urn:ietf:params:xml:ns:xmpp-stanzas"
#define MESSAGE_ERROR \
    "<error type='wait'><recipient-unavailable xmlns='" NS_STANZAS "'/></error></message>"
#define IQ_ERROR "<error type='cancel'><service-unavailable xmlns='" NS_STANZAS "'/></error></iq>"
#define STREAM   "<stream:stream xmlns='jabber:client' xmlns:stream='" BOSH_NS_STREAMS "'>"

/* As a server sends it, within STREAM; and the answer. */
typedef struct example_t {
    const char *stanza;
    const char *bounce;
} example_t;

static const example_t examples[] = {
    { "<message from='juliet@x/a' to='romeo@x/b' id='1' type='chat' xml:lang='de'>"
      "<body>hi</body><message from='inner'/></message>",
      "<message type='error' to='juliet@x/a' id='1' xml:lang='de'>" MESSAGE_ERROR },
    { "<message from='juliet@x'/>", "<message type='error' to='juliet@x'>" MESSAGE_ERROR },
    { "<message/>", "<message type='error'>" MESSAGE_ERROR },
    { "<message from='' id=''></message>", "<message type='error' to='' id=''>" MESSAGE_ERROR },
    { "<message type='groupchat' from='r@c/n'>text</message>",
      "<message type='error' to='r@c/n'>" MESSAGE_ERROR },
    { "<message type='headline'/>", "<message type='error'>" MESSAGE_ERROR },
    { "<message type='Error'/>", "<message type='error'>" MESSAGE_ERROR },
    { "<iq type='get' from='a@b' id='q'><query xmlns='q'/></iq>",
      "<iq type='error' to='a@b' id='q'>" IQ_ERROR },
    { "<iq type='set' id='q'/>", "<iq type='error' id='q'>" IQ_ERROR },
    /* quotes, and all else that must be escaped, comes back as it was */
    { "<message from=\"o'b&lt;&gt;&amp;&quot;@x/&#9;&#10;&#13; /\" id='/'/>",
      "<message type='error' to='o&apos;b&lt;&gt;&amp;\"@x/&#9;&#10;&#13; /' "
      "id='/'>" MESSAGE_ERROR },
    { "<message id=\"' type='x\" from='\xe2\x82\xac\xf0\x9f\x98\x80'/>",
      "<message type='error' to='\xe2\x82\xac\xf0\x9f\x98\x80' id='&apos; "
      "type=&apos;x'>" MESSAGE_ERROR },
    /* prefixes, and attributes of other namespaces */
    { "<c:message xmlns:c='jabber:client' from='a'><c:body/></c:message>",
      "<message type='error' to='a'>" MESSAGE_ERROR },
    { "<message xmlns:x='urn:x' x:from='no' x:type='error' x:id='no' x:lang='no'/>",
      "<message type='error'>" MESSAGE_ERROR },
    { "<message\n\tfrom = 'a'\r\n id='1'\n>\n</message\n>",
      "<message type='error' to='a' id='1'>" MESSAGE_ERROR },
    { "<message from='a'><body>&gt;/&lt;/message></body><x a='/>'/></message>",
      "<message type='error' to='a'>" MESSAGE_ERROR },
    { "<message from='a'><body><![CDATA[</message><iq type='get'/>]]></body></message>",
      "<message type='error' to='a'>" MESSAGE_ERROR },
    /* dropped in silence */
    { "<message type='error' from='a'><error/></message>", "" },
    { "<presence from='a'/>", "" },
    { "<presence from='a' type='subscribe'/>", "" },
    { "<iq type='result' id='1'/>", "" },
    { "<iq type='error' id='1'><iq type='get'/></iq>", "" },
    { "<iq id='1'/>", "" },
    { "<iq type='GET' id='1'/>", "" },
    { "<message xmlns='urn:other'/>", "" },
    { "<message xmlns=''/>", "" },
    { "<iq xmlns='jabber:server' type='get'/>", "" },
    { "<messages/>", "" },
    { "<stream:features><message xmlns='jabber:client'/></stream:features>", "" },
    { "<stream:message/>", "" },
    { "<stream:error/>", "" },
    { "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>YQ==</success>", "" },
    { "<x xmlns='urn:x'><message xmlns='jabber:client' from='a'/></x>", "" },
};
#define EXAMPLES (sizeof(examples) / sizeof(examples[0]))

static bosh_parser_pool_t *pool;
static bosh_buf_t out, sent;

static int set_up(void **state)
{
    (void)state;
    pool = bosh_parser_pool_create();
    bosh_buf_init(&out, 0);
    bosh_buf_init(&sent, 0);
    return pool ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    bosh_parser_pool_destroy(pool);
    bosh_buf_free(&out);
    bosh_buf_free(&sent);
    return 0;
}

static void expect(const char *z)
{
    (void)bosh_buf_add(&out, "", 1);
    assert_string_equal(out.p, z);
    bosh_buf_clear(&out);
}

/* What the stream parser makes of a stanza, into `sent`. */
static void keep(void *baton, bosh_stanza_kind_t kind, bosh_str_t xml)
{
    (void)baton;
    (void)kind;
    (void)bosh_buf_add_str(&sent, xml);
}

static void ignore_opened(void *baton, const bosh_stream_header_t *header)
{
    (void)baton;
    (void)header;
}

static void ignore_closed(void *baton)
{
    (void)baton;
}

static void parse(const char *stanza)
{
    static const bosh_stream_events_t events = { ignore_opened, keep, ignore_closed };
    bosh_stream_t *s = bosh_stream_create(pool, &events, NULL, &bosh_xml_stream_limits);

    assert_int_equal(bosh_stream_feed(s, STREAM, strlen(STREAM)), BOSH_XML_OK);
    assert_int_equal(bosh_stream_feed(s, stanza, strlen(stanza)), BOSH_XML_OK);
    bosh_stream_free(s);
}

static void each_kind_gets_its_error_or_none(void **state)
{
    (void)state;
    for (size_t i = 0; i < EXAMPLES; i++) {
        bosh_buf_clear(&sent);
        parse(examples[i].stanza);
        assert_true(bosh_xml_add_bounce(&out, bosh_buf_str(&sent)));
        expect(examples[i].bounce);
    }
}

static void many_are_told_apart_however_they_are_cut(void **state)
{
    bosh_buf_t all;
    unsigned bounces = 0;

    (void)state;
    bosh_buf_init(&all, 0);
    for (size_t i = 0; i < EXAMPLES; i++) {
        parse(examples[i].stanza);
        (void)bosh_buf_add_z(&all, examples[i].bounce);
        bounces += examples[i].bounce[0] != '\0';
    }
    (void)bosh_buf_add(&all, "", 1);
    for (size_t piece = 1; piece <= sent.len; piece = piece < 40 ? piece + 1 : piece * 2) {
        bosh_bouncer_t b;

        bosh_bouncer_init(&b);
        for (size_t at = 0; at < sent.len; at += piece) {
            bosh_bouncer_feed(&b, &out, sent.p + at, sent.len - at < piece ? sent.len - at : piece);
        }
        assert_int_equal(b.bounced, bounces);
        assert_int_equal(b.lost, 0);
        assert_int_equal(b.depth, 0);
        bosh_bouncer_free(&b);
        expect(all.p);
    }
    bosh_buf_free(&all);
}

static void a_bounce_is_what_a_server_can_parse(void **state)
{
    record_t r;

    (void)state;
    record_begin(&r, pool, &bosh_xml_stream_limits);
    assert_int_equal(record_feed(&r, STREAM), BOSH_XML_OK);
    for (size_t i = 0; i < EXAMPLES; i++) {
        assert_int_equal(record_feed(&r, examples[i].bounce), BOSH_XML_OK);
    }
    record_end(&r);
}

static void large_ones_are_bounced_without_keeping_them(void **state)
{
    static char text[65536];
    bosh_bouncer_t b;

    (void)state;
    memset(text, 'x', sizeof(text));
    bosh_bouncer_init(&b);
    bosh_bouncer_feed(&b, &out, "<message xmlns='jabber:client' from='a'><body>", 46);
    for (unsigned i = 0; i < 16; i++) {
        bosh_bouncer_feed(&b, &out, text, sizeof(text));
        assert_true(b.tag.size == 0);
    }
    bosh_bouncer_feed(&b, &out, "</body></message><message xmlns='jabber:client'/>", 49);
    assert_int_equal(b.bounced, 2);
    bosh_bouncer_free(&b);
    expect("<message type='error' to='a'>" MESSAGE_ERROR "<message type='error'>" MESSAGE_ERROR);
}

static void long_values_come_back_whole(void **state)
{
    static char id[200000];

    (void)state;
    memset(id, '&', sizeof(id));
    (void)bosh_buf_add_z(&sent, "<message xmlns='jabber:client'");
    (void)bosh_xml_add_attr(&sent, "id", (bosh_str_t){ id, sizeof(id) });
    (void)bosh_buf_add_z(&sent, "><body/></message>");
    assert_true(bosh_xml_add_bounce(&out, bosh_buf_str(&sent)));
    assert_true(out.len > sizeof(id) * 5);
}

static void add_numbered(bosh_buf_t *b, const char *before, unsigned n, const char *after)
{
    (void)bosh_buf_add_z(b, before);
    (void)bosh_buf_add_uint(b, n);
    (void)bosh_buf_add_z(b, after);
}

/* As many as are let in, each in a namespace of its own: more declarations than a server
 * may write on one element. */
static void widest_stanza_that_is_let_in_is_bounced(void **state)
{
    bosh_buf_t wide;

    (void)state;
    bosh_buf_init(&wide, 0);
    (void)bosh_buf_add_z(&wide, "<message xmlns='jabber:client' from='a'");
    for (unsigned i = 1; i <= bosh_xml_stream_limits.max_attrs - 1; i++) {
        add_numbered(&wide, " xmlns:ns", i, "");
        add_numbered(&wide, "='urn:", i, "'");
        add_numbered(&wide, " ns", i, ":a='1'");
    }
    (void)bosh_buf_add_z(&wide, "/>");
    assert_true(bosh_xml_add_bounce(&out, bosh_buf_str(&wide)));
    expect("<message type='error' to='a'>" MESSAGE_ERROR);
    bosh_buf_free(&wide);
}

static void what_is_no_stanza_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        " ",
        "<",
        ">",
        "<>",
        "</message>",
        "message",
        "<message",
        "<message a>",
        "<message a='1' a='2'>",
        "<x:message/>",
        "<?xml version='1.0'?><message/>",
        "<!DOCTYPE x>",
        "<!--x-->",
        "<message a='\xff'/>",
        "<message a=\"1>2\"/>",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        bosh_bouncer_t b;

        assert_false(bosh_xml_add_bounce(&out, bosh_str(wrong[i])));
        bosh_bouncer_init(&b);
        bosh_bouncer_feed(&b, &out, wrong[i], strlen(wrong[i]));
        bosh_bouncer_free(&b);
    }
    assert_false(bosh_xml_add_bounce(&out, BOSH_ABSENT));
    bosh_buf_clear(&out);
}

static void want_of_memory_is_told_and_leaves_no_half_bounce(void **state)
{
    bosh_buf_t small;

    (void)state;
    bosh_buf_init(&small, 40);
    assert_false(bosh_xml_add_bounce(&small, BOSH_STR("<message xmlns='jabber:client'/>")));
    assert_int_equal(small.len, 0);
    bosh_buf_free(&small);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_kind_gets_its_error_or_none),
        TEST(many_are_told_apart_however_they_are_cut),
        TEST(a_bounce_is_what_a_server_can_parse),
        TEST(large_ones_are_bounced_without_keeping_them),
        TEST(long_values_come_back_whole),
        TEST(widest_stanza_that_is_let_in_is_bounced),
        TEST(what_is_no_stanza_is_refused),
        TEST(want_of_memory_is_told_and_leaves_no_half_bounce),
    };

    bosh_xml_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
