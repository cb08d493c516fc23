/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Streams as servers send them, cut in every way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "stream_record.h"

#define PROSODY                                                                       \
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "                      \
    "xmlns:stream='http://etherx.jabber.org/streams' xml:lang='en' from='localhost' " \
    "id='2a0c7b3c-9d2e-4fd6-9d7a-b0f45f8a6a42' version='1.0'>"
#define EJABBERD                                                                        \
    "<?xml version='1.0'?><stream:stream id='13044418421' version='1.0' xml:lang='en' " \
    "xmlns:stream='http://etherx.jabber.org/streams' from='localhost' xmlns='jabber:client'>"

/* What a server sends, then what it sends after the restart; and the events. */
typedef struct dialogue_t {
    const char *name;
    const char *first;
    const char *second; /* NULL: no restart */
    const char *log;
} dialogue_t;

static const dialogue_t dialogues[] = {
    { "prosody",
      PROSODY "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
              "<mechanism>SCRAM-SHA-1</mechanism><mechanism>PLAIN</mechanism></mechanisms>"
              "</stream:features>"
              "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>cj1h</challenge> "
              "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>dj1i</success>",
      PROSODY
      "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><required/></bind>"
      "<ver xmlns='urn:xmpp:features:rosterver'/></stream:features>\n"
      "<iq id='1' to='a@localhost/x' type='result'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
      "<jid>a@localhost/x</jid></bind></iq>\r\n \t"
      "<message from='b@localhost/y' to='a@localhost/x' type='chat'><body>1 &gt; 0 \xe2\x82\xac"
      "\xf0\x9f\x98\x80 it&apos;s</body><active xmlns='http://jabber.org/protocol/chatstates'/>"
      "<thread parent='&quot;&lt;'>a\r\nb</thread></message>"
      "<presence from='b@localhost/y'/>"
      "</stream:stream>\n",
      "opened from='localhost' id='2a0c7b3c-9d2e-4fd6-9d7a-b0f45f8a6a42' version='1.0' lang='en'\n"
      "features <stream:features xmlns:stream='http://etherx.jabber.org/streams'>"
      "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1</mechanism>"
      "<mechanism>PLAIN</mechanism></mechanisms></stream:features>\n"
      "stanza <challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>cj1h</challenge>\n"
      "stanza <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>dj1i</success>\n"
      "opened from='localhost' id='2a0c7b3c-9d2e-4fd6-9d7a-b0f45f8a6a42' version='1.0' lang='en'\n"
      "features <stream:features xmlns:stream='http://etherx.jabber.org/streams'>"
      "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><required/></bind>"
      "<ver xmlns='urn:xmpp:features:rosterver'/></stream:features>\n"
      "stanza <iq xmlns='jabber:client' id='1' to='a@localhost/x' type='result'>"
      "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>a@localhost/x</jid></bind></iq>\n"
      "stanza <message xmlns='jabber:client' from='b@localhost/y' to='a@localhost/x' type='chat'>"
      "<body>1 &gt; 0 \xe2\x82\xac\xf0\x9f\x98\x80 it's</body>"
      "<active xmlns='http://jabber.org/protocol/chatstates'/>"
      "<thread parent='\"&lt;'>a\nb</thread></message>\n"
      "stanza <presence xmlns='jabber:client' from='b@localhost/y'/>\n"
      "closed\n" },
    { "ejabberd",
      EJABBERD "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
               "<mechanism>PLAIN</mechanism></mechanisms></stream:features>"
               "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
      EJABBERD
      "<stream:features><c ver='x=' node='http://www.process-one.net/en/ejabberd/' hash='sha-1' "
      "xmlns='http://jabber.org/protocol/caps'/></stream:features>"
      "<message to='a@localhost' from='b@localhost' xml:lang='en' xmlns='jabber:client'>"
      "<body><![CDATA[</stream:stream> ]] > <a b=\"c>]]></body></message>"
      "<iq xmlns='jabber:client' type='result' id='7'/>"
      "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
      "<text xml:lang='en' xmlns='urn:ietf:params:xml:ns:xmpp-streams'>Replaced by new connection"
      "</text></stream:error></stream:stream>",
      "opened from='localhost' id='13044418421' version='1.0' lang='en'\n"
      "features <stream:features xmlns:stream='http://etherx.jabber.org/streams'>"
      "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>"
      "</mechanisms></stream:features>\n"
      "stanza <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>\n"
      "opened from='localhost' id='13044418421' version='1.0' lang='en'\n"
      "features <stream:features xmlns:stream='http://etherx.jabber.org/streams'>"
      "<c xmlns='http://jabber.org/protocol/caps' ver='x=' "
      "node='http://www.process-one.net/en/ejabberd/' hash='sha-1'/></stream:features>\n"
      "stanza <message xmlns='jabber:client' to='a@localhost' from='b@localhost' xml:lang='en'>"
      "<body>&lt;/stream:stream&gt; ]] &gt; &lt;a b=\"c&gt;</body></message>\n"
      "stanza <iq xmlns='jabber:client' type='result' id='7'/>\n"
      "error <stream:error xmlns:stream='http://etherx.jabber.org/streams'>"
      "<conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
      "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>Replaced by new connection"
      "</text></stream:error>\n"
      "closed\n" },
    { "prefixed_stanzas",
      "\n<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns:c='jabber:client' id='a>b'>"
      "<c:message><c:body a='>' b=\"'>\">x</c:body><x xmlns='urn:x' c:y='1'/></c:message>"
      "<s:error/><none/></s:stream>",
      NULL,
      "opened id='a&gt;b'\n"
      "stanza <message xmlns='jabber:client'><body a='&gt;' b='&apos;&gt;'>x</body>"
      "<x xmlns='urn:x' xmlns:ns1='jabber:client' ns1:y='1'/></message>\n"
      "error <stream:error xmlns:stream='http://etherx.jabber.org/streams'/>\n"
      "stanza <none xmlns=''/>\n"
      "closed\n" },
    { "streams_as_default_namespace",
      "<stream xmlns='http://etherx.jabber.org/streams'><iq xmlns='jabber:client'/>"
      "<features/></stream>",
      NULL,
      "opened\n"
      "stanza <iq xmlns='jabber:client'/>\n"
      "features <stream:features xmlns:stream='http://etherx.jabber.org/streams'/>\n"
      "closed\n" },
    { "look_alikes_of_our_wrapper",
      PROSODY
      "<message><body xmlns='http://jabber.org/protocol/httpbind' type='terminate'/></message>"
      "<body xmlns='http://jabber.org/protocol/httpbind' type='terminate'/>",
      NULL,
      "opened from='localhost' id='2a0c7b3c-9d2e-4fd6-9d7a-b0f45f8a6a42' version='1.0' lang='en'\n"
      "stanza <message xmlns='jabber:client'>"
      "<body xmlns='http://jabber.org/protocol/httpbind' type='terminate'/></message>\n"
      "stanza <body xmlns='http://jabber.org/protocol/httpbind' type='terminate'/>\n" },
    { "nothing_but_a_header_that_ends",
      "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'/>", NULL,
      "opened\nclosed\n" },
};

static void feed_whole(record_t *r, const char *z)
{
    if (z) {
        assert_int_equal(record_feed(r, z), BOSH_XML_OK);
    }
}

static void feed_chunks(record_t *r, const char *z, size_t chunk)
{
    size_t len = strlen(z);

    for (size_t at = 0; at < len; at += chunk) {
        size_t n = len - at < chunk ? len - at : chunk;
        /* Exact memory, so that a sanitizer sees a read beyond the chunk. */
        char *copy = malloc(n);

        memcpy(copy, z + at, n);
        assert_int_equal(bosh_stream_feed(r->stream, copy, n), BOSH_XML_OK);
        free(copy);
    }
}

static void expect_log(record_t *r, const char *log)
{
    (void)bosh_buf_add(&r->log, "", 1);
    assert_string_equal(r->log.p, log);
}

/* first in two parts cut at `cut`, or in chunks; then the restart and second. */
static void play(const dialogue_t *d, bosh_parser_pool_t *pool, size_t cut, size_t chunk)
{
    record_t r;
    size_t len = strlen(d->first);

    record_begin(&r, pool, &bosh_xml_stream_limits);
    if (chunk) {
        feed_chunks(&r, d->first, chunk);
    }
    else {
        size_t at = cut < len ? cut : len;

        assert_int_equal(bosh_stream_feed(r.stream, d->first, at), BOSH_XML_OK);
        assert_int_equal(bosh_stream_feed(r.stream, d->first + at, len - at), BOSH_XML_OK);
    }
    if (d->second) {
        assert_true(bosh_stream_is_resting(r.stream));
        bosh_stream_restart(r.stream);
        assert_false(bosh_stream_is_resting(r.stream));
        if (chunk) {
            feed_chunks(&r, d->second, chunk);
        }
        else {
            size_t at = cut < strlen(d->second) ? cut : strlen(d->second);

            assert_int_equal(bosh_stream_feed(r.stream, d->second, at), BOSH_XML_OK);
            feed_whole(&r, d->second + at);
        }
    }
    expect_log(&r, d->log);
    record_end(&r);
}

static void in_one_piece(void **state)
{
    const dialogue_t *d = *state;
    bosh_parser_pool_t *pool = bosh_parser_pool_create();

    play(d, pool, 0, 0);
    bosh_parser_pool_destroy(pool);
}

static void cut_anywhere(void **state)
{
    const dialogue_t *d = *state;
    size_t longest = strlen(d->first);
    bosh_parser_pool_t *pool = bosh_parser_pool_create();

    if (d->second && strlen(d->second) > longest) {
        longest = strlen(d->second);
    }
    for (size_t cut = 1; cut < longest; cut++) {
        play(d, pool, cut, 0);
    }
    bosh_parser_pool_destroy(pool);
}

static void in_chunks_of_1_to_7_bytes(void **state)
{
    const dialogue_t *d = *state;
    bosh_parser_pool_t *pool = bosh_parser_pool_create();

    for (size_t chunk = 1; chunk <= 7; chunk++) {
        play(d, pool, 0, chunk);
    }
    bosh_parser_pool_destroy(pool);
}

static void restart_forgets_what_was_half_read(void **state)
{
    bosh_parser_pool_t *pool = bosh_parser_pool_create();
    record_t r;

    (void)state;
    record_begin(&r, pool, &bosh_xml_stream_limits);
    feed_whole(&r, PROSODY "<message><body>half");
    bosh_stream_restart(r.stream);
    feed_whole(&r, EJABBERD "<presence/>");
    expect_log(&r, "opened from='localhost' id='2a0c7b3c-9d2e-4fd6-9d7a-b0f45f8a6a42' "
                   "version='1.0' lang='en'\n"
                   "opened from='localhost' id='13044418421' version='1.0' lang='en'\n"
                   "stanza <presence xmlns='jabber:client'/>\n");
    record_end(&r);

    record_begin(&r, pool, &bosh_xml_stream_limits);
    feed_whole(&r, PROSODY "<mess");
    bosh_stream_restart(r.stream);
    feed_whole(&r, EJABBERD "<presence/>");
    assert_int_equal(r.stanzas, 1);
    record_end(&r);
    bosh_parser_pool_destroy(pool);
}

static void restart_after_the_end_opens_anew(void **state)
{
    bosh_parser_pool_t *pool = bosh_parser_pool_create();
    record_t r;

    (void)state;
    record_begin(&r, pool, &bosh_xml_stream_limits);
    feed_whole(&r, EJABBERD "</stream:stream>");
    bosh_stream_restart(r.stream);
    feed_whole(&r, EJABBERD "<presence/>");
    assert_int_equal(r.stanzas, 1);
    record_end(&r);
    bosh_parser_pool_destroy(pool);
}

static void keepalives_are_ignored(void **state)
{
    bosh_parser_pool_t *pool = bosh_parser_pool_create();
    record_t r;

    (void)state;
    record_begin(&r, pool, &bosh_xml_stream_limits);
    feed_whole(&r, EJABBERD);
    for (unsigned i = 0; i < 2000000; i++) {
        assert_int_equal(bosh_stream_feed(r.stream, " \n\r\t", 4), BOSH_XML_OK);
    }
    assert_true(bosh_stream_is_resting(r.stream));
    feed_whole(&r, "<presence/>");
    assert_int_equal(r.stanzas, 1);
    record_end(&r);
    bosh_parser_pool_destroy(pool);
}

/* A namespace name that is no URI makes libxml2 speak of a namespace error;
 * servers relay it, so it must not end the stream, nor taint other streams. */
static void odd_namespace_names_pass(void **state)
{
    bosh_parser_pool_t *pool = bosh_parser_pool_create();
    record_t r;

    (void)state;
    record_begin(&r, pool, &bosh_xml_stream_limits);
    feed_whole(&r, EJABBERD "<m><x xmlns='a b'/></m>");
    feed_whole(&r, "<m/>");
    assert_int_equal(r.stanzas, 2);
    assert_int_equal(record_feed(&r, "<m><y:x/></m>"), BOSH_XML_NAMESPACE);
    record_end(&r);
    bosh_parser_pool_destroy(pool);
}

/* The parser must not be lent to others while it is in a CDATA section. */
static void white_space_in_cdata_between_stanzas(void **state)
{
    bosh_parser_pool_t *pool = bosh_parser_pool_create();
    record_t r;

    (void)state;
    record_begin(&r, pool, &bosh_xml_stream_limits);
    feed_whole(&r, EJABBERD "<![CDATA[   ");
    assert_false(bosh_stream_is_resting(r.stream));
    feed_whole(&r, "  ]]>");
    assert_true(bosh_stream_is_resting(r.stream));
    feed_whole(&r, "<![CDATA[]]><presence/>");
    assert_int_equal(r.stanzas, 1);
    assert_int_equal(record_feed(&r, "<![CDATA[>"), BOSH_XML_OK);
    assert_false(bosh_stream_is_resting(r.stream));
    assert_int_equal(record_feed(&r, "]]>"), BOSH_XML_TEXT);
    record_end(&r);
    bosh_parser_pool_destroy(pool);
}

static void a_large_roster_passes(void **state)
{
    bosh_parser_pool_t *pool = bosh_parser_pool_create();
    bosh_buf_t roster;
    record_t r;

    (void)state;
    bosh_buf_init(&roster, 0);
    (void)bosh_buf_add_z(&roster, EJABBERD "<iq type='result'><query xmlns='jabber:iq:roster'>");
    for (unsigned i = 0; i < 5000; i++) {
        (void)bosh_buf_add_z(&roster, "<item jid='somebody");
        (void)bosh_buf_add_uint(&roster, i);
        (void)bosh_buf_add_z(&roster, "@example.com' subscription='both' name='Somebody'>"
                                      "<group>Friends</group></item>");
    }
    (void)bosh_buf_add_z(&roster, "</query></iq>");
    record_begin(&r, pool, &bosh_xml_stream_limits);
    for (size_t at = 0; at < roster.len; at += 1400) {
        size_t left = roster.len - at;

        assert_int_equal(bosh_stream_feed(r.stream, roster.p + at, left < 1400 ? left : 1400),
                         BOSH_XML_OK);
    }
    assert_int_equal(r.stanzas, 1);
    record_end(&r);
    bosh_buf_free(&roster);
    bosh_parser_pool_destroy(pool);
}

int main(void)
{
    enum { DIALOGUES = sizeof(dialogues) / sizeof(dialogues[0]) };
    static const struct {
        const char *name;
        CMUnitTestFunction run;
    } ways[] = {
        { "in_one_piece", in_one_piece },
        { "cut_anywhere", cut_anywhere },
        { "in_chunks_of_1_to_7_bytes", in_chunks_of_1_to_7_bytes },
    };
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(restart_forgets_what_was_half_read),
        cmocka_unit_test(restart_after_the_end_opens_anew),
        cmocka_unit_test(keepalives_are_ignored),
        cmocka_unit_test(odd_namespace_names_pass),
        cmocka_unit_test(white_space_in_cdata_between_stanzas),
        cmocka_unit_test(a_large_roster_passes),
    };
    enum { OTHERS = sizeof(others) / sizeof(others[0]) };
    static struct CMUnitTest tests[3 * DIALOGUES + OTHERS];
    static char names[3 * DIALOGUES][80];
    size_t n = 0;

    bosh_xml_init();
    for (size_t i = 0; i < DIALOGUES; i++) {
        for (size_t way = 0; way < 3; way++, n++) {
            bosh_buf_t name;

            bosh_buf_init(&name, sizeof(names[0]) - 1);
            (void)bosh_buf_add_z(&name, dialogues[i].name);
            (void)bosh_buf_add_z(&name, "_");
            (void)bosh_buf_add_z(&name, ways[way].name);
            (void)bosh_str_copy(names[n], sizeof(names[n]), bosh_buf_str(&name));
            bosh_buf_free(&name);
            tests[n].name = names[n];
            tests[n].test_func = ways[way].run;
            tests[n].initial_state = (void *)(uintptr_t)&dialogues[i];
        }
    }
    memcpy(tests + n, others, sizeof(others));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
