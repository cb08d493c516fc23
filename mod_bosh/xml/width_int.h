/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * width - counts the attributes of start tags before libxml2 does.
 *
 * libxml2 2.9 compares each attribute with all others of its tag before it
 * reports any: 20000 of them in 190 KB cost it 80 ms. In a connector, all
 * sessions would wait for that.
 *
 * The count is exact for whatever is well-formed and free of comments,
 * processing instructions and DTDs. Those make the reader refuse; the count may
 * then be wrong, which at worst changes the reason.
 */
#ifndef BOSH_XML_WIDTH_INT_H
#define BOSH_XML_WIDTH_INT_H

#include "bosh/xml.h"

/* All zero: outside of any tag. */
typedef struct bosh_xml_width_t {
    bool is_in_cdata;
    char quote;      /* the value that is open; 0: none */
    unsigned values; /* in the tag so far */
} bosh_xml_width_t;

/* Takes bytes up to and with a '>' (at the end of a document: without), the
 * first one in them. False: a tag has more values than limits allow attributes
 * and declarations. */
bool bosh_xml_width_take(bosh_xml_width_t *w, bosh_str_t piece, const bosh_xml_limits_t *limits);

/* The same for a whole document. */
bool bosh_xml_width_fits(bosh_str_t doc, const bosh_xml_limits_t *limits);

#endif
