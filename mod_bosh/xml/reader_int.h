/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * reader - libxml2, hardened: the one place where its events become ours.
 *
 * Bodies and streams both embed a reader as their first member and get its
 * three events. Limits, refusals and the translation of libxml2's errors are
 * here, so that both refuse the same things.
 *
 * SAX only. No tree, no DTD, no entity but the predefined five, no catalogue,
 * no file, no network, never XML_PARSE_HUGE.
 */
#ifndef BOSH_XML_READER_INT_H
#define BOSH_XML_READER_INT_H

#include "bosh/xml.h"

#include <libxml/parser.h>

/* Elements may nest this deep whatever the limits say; writers keep one scope
 * per level in an array. */
#define BOSH_XML_DEEPEST 256

/* So many namespace declarations may be in scope, on all open elements: libxml2
 * 2.9 looks each prefix up in a list of them. */
#define BOSH_XML_MOST_OPEN_NS 512

#define BOSH_XML_NS_XML "http://www.w3.org/XML/1998/namespace"

/* Lives until the handler returns, and not beyond a call of bosh_xml_refuse(). */
typedef struct bosh_xml_element_t {
    const char *local;
    const char *prefix; /* NULL: none */
    const char *uri;    /* NULL: in no namespace */
    unsigned ns_count;
    unsigned attr_count;
    const xmlChar **ns;   /* prefix, uri; uri may be NULL or "" */
    const xmlChar **attr; /* local, prefix, uri, value, end of value */
} bosh_xml_element_t;

typedef struct bosh_xml_attr_t {
    const char *local;
    const char *uri; /* NULL: in no namespace */
    bosh_str_t value;
} bosh_xml_attr_t;

typedef struct bosh_xml_reader_t bosh_xml_reader_t;

/* reader->depth counts the element concerned, in start and in end alike. */
typedef struct bosh_xml_handler_t {
    void (*start)(bosh_xml_reader_t *r, const bosh_xml_element_t *e);
    void (*end)(bosh_xml_reader_t *r, const char *uri, const char *local);
    void (*text)(bosh_xml_reader_t *r, bosh_str_t text); /* in pieces */
} bosh_xml_handler_t;

struct bosh_xml_reader_t {
    xmlParserCtxtPtr ctxt;
    const bosh_xml_handler_t *handler;
    const bosh_xml_limits_t *limits;
    bosh_xml_verdict_t verdict;
    unsigned depth;
    unsigned open_ns; /* declarations of the open elements */
    unsigned short ns_at[BOSH_XML_DEEPEST + 1];
    unsigned elements;  /* the owner sets it to 0 where counting starts anew */
    bool forgives_uris; /* odd namespace names, such as 'a b', pass */
    bool has_forgiven;
    bool cdata_ended_in_cr; /* and LF, if next, belongs to it */
};

bool bosh_xml_reader_init(bosh_xml_reader_t *r, const bosh_xml_handler_t *handler,
                          const bosh_xml_limits_t *limits);
void bosh_xml_reader_free(bosh_xml_reader_t *r);

/* Not after anything but BOSH_XML_OK. */
bosh_xml_verdict_t bosh_xml_reader_feed(bosh_xml_reader_t *r, const char *p, size_t len,
                                        bool is_end);

/* Exactly the root element is open, and libxml2 holds no byte it has not used. It
 * may still have begun a CDATA section. */
bool bosh_xml_reader_is_between(const bosh_xml_reader_t *r);

/* Names that libxml2 has learned, and keeps as long as the reader lives. */
int bosh_xml_reader_names(const bosh_xml_reader_t *r);

/* From a handler: the first refusal counts. No further event follows. */
void bosh_xml_refuse(bosh_xml_reader_t *r, bosh_xml_verdict_t verdict);

bool bosh_xml_same(const char *a, const char *b); /* NULL: only the same as NULL */
bosh_xml_attr_t bosh_xml_element_attr(const bosh_xml_element_t *e, unsigned i);
/* Absent if there is none. */
bosh_str_t bosh_xml_element_find(const bosh_xml_element_t *e, const char *uri, const char *local);

#endif
