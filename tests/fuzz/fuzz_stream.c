/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * What a server sends. The first byte is the size of the chunks; events and
 * verdict must be those of the whole in one piece, of single bytes, and of a
 * stream that finds another stream's parsers in its pool. Each stanza must be,
 * for expat, the element that expat finds at its place in the input. The bounces
 * of all of them, cut anywhere, must be those of each, and elements for expat.
 */
#include <string.h>

#include "bosh/xml.h"
#include "oracle_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct record_t {
    bosh_buf_t log;   /* every event, as text */
    bosh_str_t input; /* to compare stanzas with; absent: do not */
    unsigned stanzas;
    bosh_buf_t down;    /* all stanzas, one behind the other */
    bosh_buf_t bounces; /* of each one */
} record_t;

static void log_part(record_t *r, const char *name, bosh_str_t value)
{
    (void)bosh_buf_add_z(&r->log, name);
    (void)bosh_buf_add_z(&r->log, value.p ? "=" : "-");
    (void)bosh_buf_add_str(&r->log, value);
    (void)bosh_buf_add_z(&r->log, "\n");
}

static void on_opened(void *baton, const bosh_stream_header_t *header)
{
    log_part(baton, "from", header->from);
    log_part(baton, "id", header->id);
    log_part(baton, "version", header->version);
    log_part(baton, "lang", header->lang);
}

static void compare(const record_t *r, bosh_stanza_kind_t kind, bosh_str_t xml)
{
    oracle_options_t theirs = { .only_child = r->stanzas };
    oracle_options_t ours = { .is_whole = true };
    oracle_t before;
    oracle_t after;
    bosh_buf_t wrapped;

    bosh_buf_init(&wrapped, 0);
    (void)bosh_buf_add_z(&wrapped, "<body xmlns='http://jabber.org/protocol/httpbind'>");
    (void)bosh_buf_add_str(&wrapped, xml);
    (void)bosh_buf_add_z(&wrapped, "</body>");

    oracle_read(&before, r->input, theirs);
    oracle_read(&after, bosh_buf_str(&wrapped), ours);
    oracle_require(after.is_accepted, "expat refuses what we forward", r->input, xml);
    oracle_require(after.children == 1, "not one stanza", r->input, xml);
    oracle_require(before.children >= r->stanzas, "expat sees fewer stanzas", r->input, xml);
    oracle_require(kind == BOSH_STANZA_FEATURES
                       || bosh_str_same(bosh_buf_str(&before.dump), bosh_buf_str(&after.dump)),
                   "another tree", bosh_buf_str(&before.dump), bosh_buf_str(&after.dump));

    oracle_free(&before);
    oracle_free(&after);
    bosh_buf_free(&wrapped);
}

static void on_stanza(void *baton, bosh_stanza_kind_t kind, bosh_str_t xml)
{
    record_t *r = baton;

    r->stanzas++;
    if (r->input.p) {
        compare(r, kind, xml);
        (void)bosh_buf_add_str(&r->down, xml);
        oracle_require(bosh_xml_add_bounce(&r->bounces, xml), "no stanza to be bounced", r->input,
                       xml);
    }
    (void)bosh_buf_add_uint(&r->log, kind);
    log_part(r, " stanza", xml);
}

static void on_closed(void *baton)
{
    log_part(baton, "closed", BOSH_ABSENT);
}

static const bosh_stream_events_t events = { on_opened, on_stanza, on_closed };

/* What is no XML for us must be none for expat: it finds no further stanza.
 * Declarations apart, where we are stricter. */
static void check_refused(bosh_str_t input, unsigned stanzas)
{
    oracle_options_t options = { .is_whole = false };
    oracle_t o;

    oracle_read(&o, input, options);
    oracle_require(o.children <= stanzas || oracle_has_declaration(input),
                   "expat takes what we refuse", input, bosh_buf_str(&o.dump));
    oracle_free(&o);
}

static void run(bosh_parser_pool_t *pool, bosh_str_t input, size_t chunk, record_t *r)
{
    bosh_stream_t *s = bosh_stream_create(pool, &events, r, &bosh_xml_stream_limits);
    bosh_xml_verdict_t verdict = BOSH_XML_OK;

    for (size_t at = 0; at < input.len; at += chunk) {
        size_t left = input.len - at;

        verdict = bosh_stream_feed(s, input.p + at, left < chunk ? left : chunk);
    }
    if (verdict == BOSH_XML_NOT_WELL_FORMED && r->input.p) {
        check_refused(r->input, r->stanzas);
    }
    (void)bosh_buf_add_uint(&r->log, verdict);
    bosh_stream_free(s);
}

static void check_bounces(const record_t *r, size_t chunk)
{
    const oracle_options_t options = { .is_whole = true };
    bosh_str_t down = bosh_buf_str(&r->down);
    bosh_buf_t all;
    bosh_bouncer_t b;
    oracle_t o;

    bosh_buf_init(&all, 0);
    bosh_bouncer_init(&b);
    for (size_t at = 0; at < down.len; at += chunk) {
        bosh_bouncer_feed(&b, &all, down.p + at, down.len - at < chunk ? down.len - at : chunk);
    }
    oracle_require(b.depth == 0 && !b.is_in_tag && b.lost == 0, "stanzas are not told apart", down,
                   bosh_buf_str(&all));
    oracle_require(bosh_str_same(bosh_buf_str(&all), bosh_buf_str(&r->bounces)), "other bounces",
                   bosh_buf_str(&all), bosh_buf_str(&r->bounces));

    bosh_buf_clear(&all);
    (void)bosh_buf_add_z(&all, "<body xmlns='jabber:client'>");
    (void)bosh_buf_add_str(&all, bosh_buf_str(&r->bounces));
    (void)bosh_buf_add_z(&all, "</body>");
    oracle_read(&o, bosh_buf_str(&all), options);
    oracle_require(o.is_accepted && o.children == b.bounced, "expat refuses bounces", down,
                   bosh_buf_str(&all));
    oracle_free(&o);
    bosh_bouncer_free(&b);
    bosh_buf_free(&all);
}

static bosh_str_t without_leading_space(bosh_str_t s)
{
    while (s.len > 0 && strchr(" \t\r\n", s.p[0])) {
        s.p++;
        s.len--;
    }
    return s;
}

static void require_same(bosh_parser_pool_t *pool, bosh_str_t input, size_t chunk,
                         const record_t *whole)
{
    record_t r = { .stanzas = 0 };

    run(pool, input, chunk, &r);
    oracle_require(bosh_str_same(bosh_buf_str(&whole->log), bosh_buf_str(&r.log)),
                   "chunks change the result", bosh_buf_str(&whole->log), bosh_buf_str(&r.log));
    bosh_buf_free(&r.log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bosh_parser_pool_t *pool;
    record_t whole = { .stanzas = 0 };
    bosh_str_t input;
    size_t chunk;

    if (size < 2) {
        return 0;
    }
    chunk = data[0] ? data[0] : 256;
    input.p = (const char *)data + 1;
    input.len = size - 1;
    pool = bosh_parser_pool_create();

    /* expat allows no white space in front of a declaration, we do. */
    whole.input = without_leading_space(input);
    run(pool, input, input.len, &whole);
    require_same(pool, input, chunk, &whole);
    require_same(pool, input, 1, &whole);
    require_same(pool, input, input.len, &whole);
    check_bounces(&whole, chunk);
    check_bounces(&whole, 1);

    bosh_buf_free(&whole.down);
    bosh_buf_free(&whole.bounces);
    bosh_buf_free(&whole.log);
    bosh_parser_pool_destroy(pool);
    return 0;
}
