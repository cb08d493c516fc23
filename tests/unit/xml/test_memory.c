/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Each allocation fails once, libxml2's own too: that one request, or stream, is refused, with
 * few exceptions for want of memory; nothing half done is given out, nothing leaks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <libxml/xmlerror.h>

#include "../base/torture.h"
#include "stream_record.h"

#define STREAM_HEADER                                                                         \
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' id='7&amp;8' from='a.example'" \
    " xmlns:stream='" BOSH_NS_STREAMS "' xmlns:x='urn:x' version='1.0' xml:lang='en'>"
#define FEATURES                                                                                \
    "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>" \
    "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1-PLUS"          \
    "</mechanism><mechanism>PLAIN</mechanism></mechanisms></stream:features>"

static unsigned refusals, other_reasons;

/* libxml2 takes a namespace's name that it has no memory for to be wrong. */
static void note_reason(bosh_xml_verdict_t verdict)
{
    if (verdict != BOSH_XML_OK) {
        refusals++;
        other_reasons += verdict != BOSH_XML_NO_MEMORY;
        assert_true(verdict == BOSH_XML_NO_MEMORY || verdict == BOSH_XML_NAMESPACE);
    }
}

/* ---- bodies ---------------------------------------------------------------------- */

static const char body[] =
    "<?xml version='1.0' encoding='UTF-8'?><body xmlns='" BOSH_NS_HTTPBIND "' rid='1' sid='s'"
    " xmlns:xmpp='" BOSH_NS_XBOSH "' xmpp:restart='true' xml:lang='de' to='a&quot;b'>"
    "<message xmlns='jabber:client' to='x@y'><body>a &lt; b &#x20ac; <![CDATA[<c>]]></body>"
    "<p:x xmlns:p='urn:p' p:a='1' b='&apos;'><p:y/></p:x></message>"
    "<iq type='get'><query xmlns='jabber:iq:roster'/></iq><presence xml:lang='fr'/></body>";

static char wanted[4096];

static void parse(void *baton, bool may_fail)
{
    bosh_xml_verdict_t verdict;
    bosh_body_t b;

    (void)baton;
    bosh_body_init(&b);
    verdict = bosh_body_parse(&b, body, sizeof(body) - 1, &bosh_xml_body_limits);
    if (verdict == BOSH_XML_OK) {
        assert_true(bosh_str_eq(b.attr[BOSH_A_TO], "a\"b"));
        assert_true(bosh_str_eq(b.attr[BOSH_A_LANG], "de"));
        assert_int_equal(b.payloads, 3);
        if (!wanted[0]) {
            assert_true(bosh_str_copy(wanted, sizeof(wanted), bosh_buf_str(&b.payload)));
        }
        assert_true(bosh_str_eq(bosh_buf_str(&b.payload), wanted));
    }
    else {
        assert_true(may_fail);
        note_reason(verdict);
        assert_int_equal(b.payload.len, 0);
        assert_null(b.attr[BOSH_A_RID].p);
    }
    bosh_body_free(&b);
    xmlResetLastError(); /* libxml2 keeps one for each thread */
}

static void body_without_memory_is_refused_for_that(void **state)
{
    (void)state;
    assert_true(torture(parse, NULL) > 10);
    print_message("# %u refused, %u of them for another reason\n", refusals, other_reasons);
}

/* ---- streams --------------------------------------------------------------------- */

static const char stream[] = STREAM_HEADER FEATURES
    "<message from='a@b'><body>a &amp; b</body><x:y xmlns:z='urn:z' z:a='&#10;'/></message>  "
    "<iq id='1' type='result'/><stream:error><conflict "
    "xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";

static bosh_buf_t events; /* of a run that had all it wanted */

/* What was told is a beginning of what is told otherwise, and ends between two events. The
 * record itself is kept from the torture: it is not what is tested. */
static void compare(const record_t *r, bosh_xml_verdict_t verdict)
{
    torture_on = false;
    if (!events.p) {
        assert_true(bosh_buf_add_str(&events, bosh_buf_str(&r->log)));
    }
    assert_true(r->log.len <= events.len);
    assert_memory_equal(r->log.len ? r->log.p : "", events.p, r->log.len);
    assert_true(verdict != BOSH_XML_OK || r->log.len == events.len);
    torture_on = true;
}

static char log_room[8192]; /* records make no use of the heap */

static void feed(void *baton, bool may_fail)
{
    size_t piece = *(size_t *)baton, len = sizeof(stream) - 1;
    bosh_xml_verdict_t verdict = BOSH_XML_OK;
    bosh_parser_pool_t *pool = bosh_parser_pool_create();
    record_t r = { 0 };

    if (pool) {
        r.stream = bosh_stream_create(pool, &record_events, &r, &bosh_xml_stream_limits);
    }
    r.log = (bosh_buf_t){ .p = log_room, .size = sizeof(log_room) };
    assert_true(may_fail || r.stream);
    for (size_t at = 0; r.stream && at < len && verdict == BOSH_XML_OK; at += piece) {
        verdict = bosh_stream_feed(r.stream, stream + at, len - at < piece ? len - at : piece);
    }
    if (r.stream) {
        assert_true(verdict == BOSH_XML_OK || may_fail);
        note_reason(verdict);
        if (!may_fail || torture_on) {
            bool on = torture_on;

            compare(&r, verdict);
            torture_on = on;
        }
    }
    bosh_stream_free(r.stream);
    bosh_parser_pool_destroy(pool);
    xmlResetLastError();
}

static void stream_without_memory_ends_for_that(void **state)
{
    size_t pieces[] = { sizeof(stream), 1, 50 };

    (void)state;
    for (unsigned i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
        assert_true(torture(feed, &pieces[i]) > 10);
    }
    bosh_buf_free(&events);
    print_message("# %u refused, %u of them for another reason\n", refusals, other_reasons);
    assert_true(other_reasons < refusals / 3);
}

/* ---- what is written --------------------------------------------------------------- */

static void bounce(void *baton, bool may_fail)
{
    static const char stanzas[] =
        "<message xmlns='jabber:client' from='a@b' id='1' xml:lang='de'><body>x</body></message>"
        "<iq xmlns='jabber:client' type='get' from='a@b' id='2'><q xmlns='q'/></iq>"
        "<presence xmlns='jabber:client' from='c@d'/>";
    bosh_bouncer_t b;
    bosh_buf_t out;

    (void)baton;
    bosh_bouncer_init(&b);
    bosh_buf_init(&out, 0);
    for (const char *p = stanzas; *p; p++) {
        bosh_bouncer_feed(&b, &out, p, 1);
    }
    if (b.lost == 0 && !out.failed) {
        assert_int_equal(b.bounced, 2);
    }
    assert_true(may_fail || b.bounced == 2);
    assert_true(b.bounced + b.lost <= 3);
    bosh_bouncer_free(&b);
    bosh_buf_free(&out);
    xmlResetLastError();
}

static void header(void *baton, bool may_fail)
{
    bosh_buf_t out;
    bool done;

    (void)baton;
    bosh_buf_init(&out, 0);
    done = bosh_xml_add_stream_header(&out, BOSH_STR("a'b"), BOSH_STR("c"), BOSH_STR("en"));
    assert_true(may_fail || done);
    assert_int_equal(done, !out.failed);
    bosh_buf_free(&out);
}

static void bounces_and_headers_without_memory_are_told_as_failed(void **state)
{
    (void)state;
    assert_true(torture(bounce, NULL) > 2);
    assert_true(torture(header, NULL) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(body_without_memory_is_refused_for_that),
        cmocka_unit_test(stream_without_memory_ends_for_that),
        cmocka_unit_test(bounces_and_headers_without_memory_are_told_as_failed),
    };

    bosh_xml_init();
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
