/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A stream that writes down its events, one per line:
 *
 *   opened from='..' id='..' version='..' lang='..'
 *   stanza XML        features XML        error XML
 *   closed
 */
#ifndef BOSH_TEST_STREAM_RECORD_H
#define BOSH_TEST_STREAM_RECORD_H

#include "bosh/xml.h"

typedef struct record_t {
    bosh_stream_t *stream;
    bosh_buf_t log;
    unsigned stanzas;
} record_t;

static inline void record_opened(void *baton, const bosh_stream_header_t *header)
{
    record_t *r = baton;

    (void)bosh_buf_add_z(&r->log, "opened");
    (void)bosh_xml_add_attr(&r->log, "from", header->from);
    (void)bosh_xml_add_attr(&r->log, "id", header->id);
    (void)bosh_xml_add_attr(&r->log, "version", header->version);
    (void)bosh_xml_add_attr(&r->log, "lang", header->lang);
    (void)bosh_buf_add_z(&r->log, "\n");
}

static inline void record_stanza(void *baton, bosh_stanza_kind_t kind, bosh_str_t xml)
{
    record_t *r = baton;

    (void)bosh_buf_add_z(&r->log, kind == BOSH_STANZA            ? "stanza "
                                  : kind == BOSH_STANZA_FEATURES ? "features "
                                                                 : "error ");
    (void)bosh_buf_add_str(&r->log, xml);
    (void)bosh_buf_add_z(&r->log, "\n");
    r->stanzas++;
}

static inline void record_closed(void *baton)
{
    record_t *r = baton;

    (void)bosh_buf_add_z(&r->log, "closed\n");
}

static const bosh_stream_events_t record_events = { record_opened, record_stanza, record_closed };

static inline void record_begin(record_t *r, bosh_parser_pool_t *pool,
                                const bosh_xml_limits_t *limits)
{
    bosh_buf_init(&r->log, 0);
    r->stanzas = 0;
    r->stream = bosh_stream_create(pool, &record_events, r, limits);
}

static inline void record_end(record_t *r)
{
    bosh_stream_free(r->stream);
    bosh_buf_free(&r->log);
}

static inline bosh_xml_verdict_t record_feed(record_t *r, const char *z)
{
    bosh_str_t s = bosh_str(z);

    return bosh_stream_feed(r->stream, s.p, s.len);
}

#endif
