/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * The serialiser. One scope per open element, in an array: nothing recurses.
 */
#include "writer_int.h"

#include "escape_int.h"

static void put(bosh_xml_writer_t *w, const char *z)
{
    (void)bosh_buf_add_z(w->out, z);
}

/* " name='value'" where the name comes in two parts. */
static void put_attr(bosh_xml_writer_t *w, const char *prefix, const char *local, bosh_str_t value)
{
    put(w, " ");
    put(w, prefix);
    put(w, local);
    put(w, "='");
    (void)bosh_xml_add_value(w->out, value);
    put(w, "'");
}

static void close_tag(bosh_xml_writer_t *w)
{
    if (w->is_tag_open) {
        put(w, ">");
        w->is_tag_open = false;
    }
}

static const char *prefix_of(const char *uri)
{
    if (bosh_xml_same(uri, BOSH_NS_STREAMS)) {
        return "stream:";
    }
    return bosh_xml_same(uri, BOSH_XML_NS_XML) ? "xml:" : "";
}

/* Declares the element's namespace unless the scope around it did. */
static void declare(bosh_xml_writer_t *w, bosh_xml_scope_t *scope, const char *uri)
{
    if (bosh_xml_same(uri, BOSH_NS_STREAMS)) {
        if (!scope->has_stream_prefix) {
            put_attr(w, "xmlns:", "stream", BOSH_STR(BOSH_NS_STREAMS));
            scope->has_stream_prefix = true;
        }
        return;
    }
    if (bosh_xml_same(uri, BOSH_XML_NS_XML)) {
        return;
    }
    if (scope->default_uri == BOSH_XML_NS_UNKNOWN || !bosh_xml_same(scope->default_uri, uri)) {
        put_attr(w, "xmlns", "", uri ? bosh_str(uri) : BOSH_STR(""));
        scope->default_uri = uri;
    }
}

/* ---- attributes -------------------------------------------------------- */

static bool needs_prefix(const bosh_xml_attr_t *attr)
{
    return attr->uri && !bosh_xml_same(attr->uri, BOSH_XML_NS_XML);
}

/* The i-th attribute's namespace is numbered by the first attribute that has
 * it, so equal namespaces share a prefix and no table is needed. libxml2 keeps
 * one copy of each name, so comparing addresses will do; if it did not, a
 * namespace would get two prefixes, which is as good. */
static unsigned first_with_uri(const bosh_xml_element_t *e, unsigned i, const char *uri)
{
    for (unsigned j = 0; j < i; j++) {
        if (bosh_xml_element_attr(e, j).uri == uri) {
            return j;
        }
    }
    return i;
}

static void put_number(bosh_xml_writer_t *w, const char *before, unsigned n)
{
    put(w, before);
    (void)bosh_buf_add_uint(w->out, n);
}

static void write_foreign_attr(bosh_xml_writer_t *w, const bosh_xml_element_t *e, unsigned i,
                               const bosh_xml_attr_t *attr)
{
    unsigned number = first_with_uri(e, i, attr->uri);

    if (number == i) {
        put_number(w, " xmlns:ns", number + 1);
        put(w, "='");
        (void)bosh_xml_add_value(w->out, bosh_str(attr->uri));
        put(w, "'");
    }
    put_number(w, " ns", number + 1);
    put(w, ":");
    put(w, attr->local);
    put(w, "='");
    (void)bosh_xml_add_value(w->out, attr->value);
    put(w, "'");
}

static void write_attr(bosh_xml_writer_t *w, const bosh_xml_element_t *e, unsigned i)
{
    bosh_xml_attr_t attr = bosh_xml_element_attr(e, i);

    if (needs_prefix(&attr)) {
        write_foreign_attr(w, e, i, &attr);
    }
    else {
        put_attr(w, attr.uri ? "xml:" : "", attr.local, attr.value);
    }
}

/* ---- exported ---------------------------------------------------------- */

void bosh_xml_writer_init(bosh_xml_writer_t *w, bosh_buf_t *out, bosh_xml_scope_t around)
{
    w->out = out;
    w->depth = 0;
    w->is_tag_open = false;
    w->scope[0] = around;
}

void bosh_xml_write_start(bosh_xml_writer_t *w, const bosh_xml_element_t *e, const char *uri,
                          bosh_str_t lang)
{
    bosh_xml_scope_t *scope = &w->scope[w->depth + 1];

    close_tag(w);
    *scope = w->scope[w->depth];
    w->depth++;
    put(w, "<");
    put(w, prefix_of(uri));
    put(w, e->local);
    declare(w, scope, uri);
    for (unsigned i = 0; i < e->attr_count; i++) {
        write_attr(w, e, i);
    }
    if (lang.p && !bosh_xml_element_find(e, BOSH_XML_NS_XML, "lang").p) {
        put_attr(w, "xml:", "lang", lang);
    }
    w->is_tag_open = true;
}

void bosh_xml_write_text(bosh_xml_writer_t *w, bosh_str_t text)
{
    close_tag(w);
    (void)bosh_xml_add_text(w->out, text);
}

void bosh_xml_write_end(bosh_xml_writer_t *w, const char *uri, const char *local)
{
    if (w->is_tag_open) {
        put(w, "/>");
        w->is_tag_open = false;
    }
    else {
        put(w, "</");
        put(w, prefix_of(uri));
        put(w, local);
        put(w, ">");
    }
    w->depth--;
}

bosh_xml_mark_t bosh_xml_writer_mark(const bosh_xml_writer_t *w)
{
    bosh_xml_mark_t mark = { w->out->len, w->depth, w->is_tag_open };

    return mark;
}

void bosh_xml_writer_rewind(bosh_xml_writer_t *w, bosh_xml_mark_t mark)
{
    w->out->len = mark.len;
    w->depth = mark.depth;
    w->is_tag_open = mark.is_tag_open;
}
