/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * parser_pool - lends parsers to streams that have bytes.
 *
 * A parser belongs either to the pool (idle) or to one stream (lent), never to
 * both. It comes back only between two stanzas, with all its input used up.
 */
#ifndef BOSH_XML_PARSER_POOL_INT_H
#define BOSH_XML_PARSER_POOL_INT_H

#include "stream_parser_int.h"

/* One that has read nothing yet. NULL: out of memory. */
bosh_xml_stream_parser_t *bosh_xml_pool_new(bosh_parser_pool_t *pool,
                                            const bosh_xml_limits_t *limits);

/* One that is in the scope of key, an earlier parser's. NULL: out of memory. */
bosh_xml_stream_parser_t *bosh_xml_pool_borrow(bosh_parser_pool_t *pool, bosh_str_t key,
                                               const bosh_xml_limits_t *limits);

/* In whatever state it is: kept if it is of further use, else destroyed. */
void bosh_xml_pool_give_back(bosh_parser_pool_t *pool, bosh_xml_stream_parser_t *p);

#endif
