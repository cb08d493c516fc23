/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Writing by hand: attributes, and the header that opens a stream.
 */
#include "escape_int.h"

static bool begin_attr(bosh_buf_t *out, const char *name)
{
    (void)bosh_buf_add_z(out, " ");
    (void)bosh_buf_add_z(out, name);
    return bosh_buf_add_z(out, "='");
}

bool bosh_xml_add_attr(bosh_buf_t *out, const char *name, bosh_str_t value)
{
    if (!value.p) {
        return !out->failed;
    }
    (void)begin_attr(out, name);
    (void)bosh_xml_add_escaped(out, value);
    return bosh_buf_add_z(out, "'");
}

bool bosh_xml_add_attr_uint(bosh_buf_t *out, const char *name, uint64_t value)
{
    (void)begin_attr(out, name);
    (void)bosh_buf_add_uint(out, value);
    return bosh_buf_add_z(out, "'");
}

bool bosh_xml_add_stream_header(bosh_buf_t *out, bosh_str_t to, bosh_str_t from, bosh_str_t lang)
{
    (void)bosh_buf_add_z(out, "<?xml version='1.0'?><stream:stream xmlns='" BOSH_NS_CLIENT
                              "' xmlns:stream='" BOSH_NS_STREAMS "'");
    (void)bosh_xml_add_attr(out, "to", to);
    (void)bosh_xml_add_attr(out, "from", from);
    (void)bosh_xml_add_attr(out, "version", BOSH_STR("1.0"));
    (void)bosh_xml_add_attr(out, "xml:lang", lang);
    return bosh_buf_add_z(out, ">");
}
