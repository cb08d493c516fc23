/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * stream_parser - a libxml2 parser that has read a stream header, and what it
 * finds behind it. Made, lent and taken back by parser_pool.
 *
 * It is given pieces that end in '>'. Then at most one thing is complete after
 * each: the header, a stanza, the end. Because pieces do not depend on how the
 * bytes arrived, nothing else does.
 */
#ifndef BOSH_XML_STREAM_PARSER_INT_H
#define BOSH_XML_STREAM_PARSER_INT_H

#include "features_int.h"
#include "reader_int.h"
#include "width_int.h"
#include "writer_int.h"

typedef struct bosh_xml_stream_parser_t {
    bosh_xml_reader_t reader; /* first: handlers cast */
    bosh_xml_writer_t writer;
    bosh_xml_features_t features;
    bosh_xml_width_t width;

    /* The start tag of the stream with its namespaces and nothing else: what
     * another parser must read to be in the same scope. */
    bosh_buf_t key;
    bosh_stream_header_t header; /* in header_text */
    bosh_buf_t header_text;

    bosh_buf_t out; /* the stanza */
    bosh_stanza_kind_t kind;
    bool has_stanza;
    bool is_closed;

    size_t unit;  /* bytes given since it was last between two stanzas */
    size_t given; /* bytes given in its life */
    bool is_worn;
} bosh_xml_stream_parser_t;

/* NULL: out of memory. */
bosh_xml_stream_parser_t *bosh_xml_stream_parser_create(const bosh_xml_limits_t *limits);
void bosh_xml_stream_parser_destroy(bosh_xml_stream_parser_t *p);

bosh_xml_verdict_t bosh_xml_stream_parser_feed(bosh_xml_stream_parser_t *p, bosh_str_t piece);

/* Between two stanzas, and libxml2 holds no byte of this stream any more. */
bool bosh_xml_stream_parser_is_between(const bosh_xml_stream_parser_t *p);

/* The stanza has been delivered. */
void bosh_xml_stream_parser_forget(bosh_xml_stream_parser_t *p);

#endif
