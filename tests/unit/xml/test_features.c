/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * What is taken out of <stream:features/>, and that nothing else is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stream_record.h"

#define HEADER \
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
#define OPEN "<stream:features xmlns:stream='http://etherx.jabber.org/streams'>"
#define END  "</stream:features>"
#define SASL "urn:ietf:params:xml:ns:xmpp-sasl"

typedef struct row_t {
    const char *name;
    const char *sent; /* the children */
    const char *kept;
    bosh_stream_tls_t tls;
} row_t;

static const row_t rows[] = {
    { "nothing", "", "", BOSH_STREAM_TLS_NONE },
    { "starttls", "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "",
      BOSH_STREAM_TLS_OFFERED },
    { "starttls_required",
      "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>", "",
      BOSH_STREAM_TLS_REQUIRED },
    { "starttls_prefixed",
      "<t:starttls xmlns:t='urn:ietf:params:xml:ns:xmpp-tls'><t:required/>"
      "<x xmlns='urn:x'>text</x></t:starttls>",
      "", BOSH_STREAM_TLS_REQUIRED },
    { "compression",
      "<compression "
      "xmlns='http://jabber.org/features/compress'><method>zlib</method></compression>",
      "", BOSH_STREAM_TLS_NONE },
    { "channel_binding",
      "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>"
      "<channel-binding type='tls-exporter'/></sasl-channel-binding>",
      "", BOSH_STREAM_TLS_NONE },
    { "mechanisms",
      "<mechanisms xmlns='" SASL "'><mechanism>SCRAM-SHA-256-PLUS</mechanism>"
      "<mechanism>SCRAM-SHA-256</mechanism><mechanism>SCRAM-SHA-1-PLUS</mechanism>"
      "<mechanism>PLAIN</mechanism></mechanisms>",
      "<mechanisms xmlns='" SASL "'><mechanism>SCRAM-SHA-256</mechanism>"
      "<mechanism>PLAIN</mechanism></mechanisms>",
      BOSH_STREAM_TLS_NONE },
    { "mechanism_in_pieces_and_with_space",
      "<mechanisms xmlns='" SASL "'><mechanism> X-P<![CDATA[LU]]>&#83;\n</mechanism>"
      "<mechanism>PLUS-X</mechanism><mechanism>-plus</mechanism><mechanism/></mechanisms>",
      "<mechanisms xmlns='" SASL "'><mechanism>PLUS-X</mechanism>"
      "<mechanism>-plus</mechanism><mechanism/></mechanisms>",
      BOSH_STREAM_TLS_NONE },
    { "only_plus_mechanisms",
      "<mechanisms xmlns='" SASL "'><mechanism>A-PLUS</mechanism></mechanisms>",
      "<mechanisms xmlns='" SASL "'/>", BOSH_STREAM_TLS_NONE },
    { "sasl2",
      "<authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-1-PLUS</mechanism>"
      "<mechanism>SCRAM-SHA-1</mechanism><sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>"
      "<channel-binding type='tls-server-end-point'/></sasl-channel-binding>"
      "<inline><bind xmlns='urn:xmpp:bind:0'/></inline></authentication>",
      "<authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-1</mechanism>"
      "<inline><bind xmlns='urn:xmpp:bind:0'/></inline></authentication>",
      BOSH_STREAM_TLS_NONE },
    { "other_mechanisms_stay", "<x xmlns='urn:x'><mechanism>A-PLUS</mechanism></x>",
      "<x xmlns='urn:x'><mechanism>A-PLUS</mechanism></x>", BOSH_STREAM_TLS_NONE },
    { "all_else_stays",
      "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><session xmlns='urn:ietf:params:xml:ns:"
      "xmpp-session'><optional/></session><sm xmlns='urn:xmpp:sm:3'/><register "
      "xmlns='http://jabber.org/features/iq-register'/>",
      "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><session xmlns='urn:ietf:params:xml:ns:"
      "xmpp-session'><optional/></session><sm xmlns='urn:xmpp:sm:3'/><register "
      "xmlns='http://jabber.org/features/iq-register'/>",
      BOSH_STREAM_TLS_NONE },
    { "neighbours_of_what_goes_stay",
      "<a xmlns='urn:a'/><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><b xmlns='urn:b'/>",
      "<a xmlns='urn:a'/><b xmlns='urn:b'/>", BOSH_STREAM_TLS_OFFERED },
};

static void add(bosh_buf_t *b, const char *z)
{
    assert_true(bosh_buf_add_z(b, z));
}

static void is_filtered(void **state)
{
    const row_t *row = *state;
    bosh_parser_pool_t *pool = bosh_parser_pool_create();
    bosh_buf_t expected;
    record_t r;

    bosh_buf_init(&expected, 0);
    add(&expected, "opened\nfeatures ");
    if (row->kept[0]) {
        add(&expected, OPEN);
        add(&expected, row->kept);
        add(&expected, END "\n");
    }
    else {
        add(&expected, "<stream:features xmlns:stream='http://etherx.jabber.org/streams'/>\n");
    }

    record_begin(&r, pool, &bosh_xml_stream_limits);
    assert_int_equal(record_feed(&r, HEADER "<stream:features>"), BOSH_XML_OK);
    assert_int_equal(record_feed(&r, row->sent), BOSH_XML_OK);
    assert_int_equal(record_feed(&r, END), BOSH_XML_OK);
    (void)bosh_buf_add(&expected, "", 1);
    (void)bosh_buf_add(&r.log, "", 1);
    assert_string_equal(r.log.p, expected.p);
    assert_int_equal(bosh_stream_tls(r.stream), row->tls);
    bosh_stream_restart(r.stream);
    assert_int_equal(bosh_stream_tls(r.stream), BOSH_STREAM_TLS_NONE);

    record_end(&r);
    bosh_buf_free(&expected);
    bosh_parser_pool_destroy(pool);
}

/* The connector needs <proceed/>; and the filter is for features alone. */
static void stanzas_are_not_filtered(void **state)
{
    bosh_parser_pool_t *pool = bosh_parser_pool_create();
    record_t r;

    (void)state;
    record_begin(&r, pool, &bosh_xml_stream_limits);
    assert_int_equal(record_feed(&r, HEADER
                                 "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
                                 "<message><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
                                 "<mechanism xmlns='" SASL "'>A-PLUS</mechanism></message>"),
                     BOSH_XML_OK);
    (void)bosh_buf_add(&r.log, "", 1);
    assert_string_equal(r.log.p, "opened\n"
                                 "stanza <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\n"
                                 "stanza <message xmlns='jabber:client'>"
                                 "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
                                 "<mechanism xmlns='" SASL "'>A-PLUS</mechanism></message>\n");
    record_end(&r);
    bosh_parser_pool_destroy(pool);
}

int main(void)
{
    enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
    static struct CMUnitTest tests[ROWS + 1] = {
        [ROWS] = cmocka_unit_test(stanzas_are_not_filtered),
    };

    bosh_xml_init();
    for (size_t i = 0; i < ROWS; i++) {
        tests[i].name = rows[i].name;
        tests[i].test_func = is_filtered;
        tests[i].initial_state = (void *)(uintptr_t)&rows[i];
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
