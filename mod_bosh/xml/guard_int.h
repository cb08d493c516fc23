/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * guard - what is decided about bytes before libxml2 sees them.
 *
 * libxml2 switches the character set by byte order mark, by pattern and by the
 * XML declaration; UTF-7 in a declaration turns text into elements. So bytes are
 * proven to be UTF-8 first, and the declaration is judged and cut off here:
 * libxml2 is never shown one.
 */
#ifndef BOSH_XML_GUARD_INT_H
#define BOSH_XML_GUARD_INT_H

#include "bosh/xml.h"

bool bosh_xml_is_space(char c);
bool bosh_xml_is_all_space(const char *p, size_t len);

/* "<?xml" and a white space character: what libxml2 takes for a declaration. */
bool bosh_xml_has_declaration(bosh_str_t s);

/*
 * Cuts an XML declaration off the front of *s, if there is one. Accepted are
 * version 1.0, no encoding or UTF-8 (case does not matter), any standalone.
 * A second declaration is refused.
 */
bosh_xml_verdict_t bosh_xml_cut_declaration(bosh_str_t *s);

#endif
