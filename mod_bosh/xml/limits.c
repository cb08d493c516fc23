/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Limits and verdicts: the numbers and phrases of the door.
 */
#include "bosh/xml.h"

#include <libxml/parser.h>

const bosh_xml_limits_t bosh_xml_body_limits = {
    .max_depth = 64,
    .max_attrs = 64,
    .max_ns = 32,
    .max_elements = 4096,
    .max_children = 256,
    .max_name = 256,
    .max_value = 64 * 1024,
    .max_bytes = 256 * 1024,
};

/* Wider than for bodies, because a refusal ends the whole stream: the server
 * relays what other people wrote, and a roster of 3000 contacts is one stanza
 * of more than 6000 elements. max_bytes alone already bounds the memory. */
const bosh_xml_limits_t bosh_xml_stream_limits = {
    .max_depth = 256,
    .max_attrs = 256,
    .max_ns = 128,
    .max_elements = 65536,
    .max_children = 0, /* not counted: a stream may live for weeks */
    .max_name = 1024,
    .max_value = 256 * 1024,
    .max_bytes = 1024 * 1024,
};

void bosh_xml_init(void)
{
    xmlInitParser();
}

const char *bosh_xml_verdict_text(bosh_xml_verdict_t v)
{
    switch (v) {
    case BOSH_XML_OK: return "accepted";
    case BOSH_XML_EMPTY: return "empty document";
    case BOSH_XML_NOT_UTF8: return "not UTF-8";
    case BOSH_XML_NOT_WELL_FORMED: return "not well-formed";
    case BOSH_XML_NAMESPACE: return "namespace error";
    case BOSH_XML_DTD: return "document type declaration";
    case BOSH_XML_PI: return "processing instruction";
    case BOSH_XML_COMMENT: return "comment";
    case BOSH_XML_TEXT: return "character data between elements";
    case BOSH_XML_ROOT: return "unexpected root element";
    case BOSH_XML_PAYLOAD: return "payload that must not be forwarded";
    case BOSH_XML_DEPTH: return "elements nested too deep";
    case BOSH_XML_WIDTH: return "too many attributes, declarations or elements";
    case BOSH_XML_NAME_LENGTH: return "name too long";
    case BOSH_XML_VALUE_LENGTH: return "attribute value too long";
    case BOSH_XML_SIZE: return "too large";
    case BOSH_XML_NO_MEMORY: return "out of memory";
    }
    return "unknown verdict";
}
