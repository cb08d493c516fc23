/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * writer - elements, written anew from (namespace, local name).
 *
 * Prefixes are ours, whatever the sender chose. Elements have none: the default
 * namespace is switched where it changes. Exceptions are the streams namespace
 * (stream:, as every XMPP implementation expects) and the XML namespace (xml:,
 * which cannot be a default). Attributes in other namespaces get ns1:, ns2:, ...
 * declared on their own element.
 */
#ifndef BOSH_XML_WRITER_INT_H
#define BOSH_XML_WRITER_INT_H

#include "reader_int.h"

/* The receiver's scope is not known: the outermost element says where it is. */
#define BOSH_XML_NS_UNKNOWN ((const char *)1)

typedef struct bosh_xml_scope_t {
    const char *default_uri; /* NULL: no namespace */
    bool has_stream_prefix;
} bosh_xml_scope_t;

typedef struct bosh_xml_writer_t {
    bosh_buf_t *out;
    unsigned depth;
    bool is_tag_open; /* the > of the last start tag is still to come */
    bosh_xml_scope_t scope[BOSH_XML_DEEPEST + 1];
} bosh_xml_writer_t;

/* Where to go back to if what follows shall not have been written. */
typedef struct bosh_xml_mark_t {
    size_t len;
    unsigned depth;
    bool is_tag_open;
} bosh_xml_mark_t;

/* Namespace names must outlive the element (they are in libxml2's dictionary). */
void bosh_xml_writer_init(bosh_xml_writer_t *w, bosh_buf_t *out, bosh_xml_scope_t around);

/* The element e, in the namespace uri instead of its own; lang, unless absent,
 * is added as xml:lang if e has none. */
void bosh_xml_write_start(bosh_xml_writer_t *w, const bosh_xml_element_t *e, const char *uri,
                          bosh_str_t lang);
void bosh_xml_write_text(bosh_xml_writer_t *w, bosh_str_t text);
void bosh_xml_write_end(bosh_xml_writer_t *w, const char *uri, const char *local);

bosh_xml_mark_t bosh_xml_writer_mark(const bosh_xml_writer_t *w);
void bosh_xml_writer_rewind(bosh_xml_writer_t *w, bosh_xml_mark_t mark);

#endif
