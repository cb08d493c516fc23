/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * features - takes out of <stream:features/> what cannot work through BOSH.
 *
 * The client's TLS ends at httpd, and the stream's at the connector: TLS and
 * compression are not the client's to negotiate, and channel bindings of its
 * channel do not match the server's.
 */
#ifndef BOSH_XML_FEATURES_INT_H
#define BOSH_XML_FEATURES_INT_H

#include "writer_int.h"

typedef struct bosh_xml_features_t {
    unsigned skipped_depth;   /* of the element being left out; 0: none */
    unsigned mechanism_depth; /* of the open <mechanism/>; 0: none */
    bosh_xml_mark_t before_mechanism;
    size_t content_at; /* where its content begins in the output */
    bosh_stream_tls_t tls;
} bosh_xml_features_t;

void bosh_xml_features_init(bosh_xml_features_t *f);

/* The same three events as a handler's, with the depth of the element. */
void bosh_xml_features_start(bosh_xml_features_t *f, bosh_xml_writer_t *w, unsigned depth,
                             const bosh_xml_element_t *e);
void bosh_xml_features_end(bosh_xml_features_t *f, bosh_xml_writer_t *w, unsigned depth,
                           const char *uri, const char *local);
void bosh_xml_features_text(bosh_xml_features_t *f, bosh_xml_writer_t *w, bosh_str_t text);

#endif
