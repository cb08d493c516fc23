/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * escape - the room's own, narrower ways to escape, beside bosh_xml_add_escaped().
 */
#ifndef BOSH_XML_ESCAPE_INT_H
#define BOSH_XML_ESCAPE_INT_H

#include "bosh/xml.h"

/* For text: & < > and CR, which a parser would turn into LF. */
bool bosh_xml_add_text(bosh_buf_t *out, bosh_str_t s);
/* For a value in single quotes: & < > ' and TAB LF CR, which a parser would
 * turn into spaces. */
bool bosh_xml_add_value(bosh_buf_t *out, bosh_str_t s);

#endif
