/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * body_attr - the attributes of <body/> that mean something to us.
 */
#ifndef BOSH_XML_BODY_ATTR_INT_H
#define BOSH_XML_BODY_ATTR_INT_H

#include "reader_int.h"

/* Copies them from the root element into b->text, and points b->attr there.
 * Those nobody knows are ignored (XEP-0124 section 22, the schema's
 * anyAttribute). */
bosh_xml_verdict_t bosh_xml_take_body_attrs(bosh_body_t *b, const bosh_xml_element_t *e);

#endif
