/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Bounces: the errors that answer stanzas no client will ever get (XEP-0206,
 * "recipient-unavailable"; RFC 6120 section 8.3).
 *
 * A bounce follows from the stanza's start tag alone. What is bounced was written
 * by this room, where '<' and '>' are found at the edges of tags and nowhere else:
 * so stanzas are told apart by counting tags, and none is ever held as a whole.
 */
#include "bosh/xml.h"

#include <string.h>

#include "reader_int.h"
#include "writer_int.h"

#define NS_STANZAS "urn:ietf:params:xml:ns:xmpp-stanzas"

#define MOST_ATTRS 4

/* What a start tag needs to be written, in libxml2's layout. */
typedef struct tag_t {
    bosh_xml_element_t element;
    const xmlChar *attrs[MOST_ATTRS * 5];
} tag_t;

typedef struct bounce_t {
    bosh_xml_reader_t reader; /* first: handlers cast */
    bosh_buf_t *out;
    bool is_read;
} bounce_t;

static void begin_tag(tag_t *t, const char *local, const char *uri)
{
    memset(t, 0, sizeof(*t));
    t->element.local = local;
    t->element.uri = uri;
    t->element.attr = t->attrs;
}

/* Nothing if the value is absent. */
static void set_attr(tag_t *t, const char *uri, const char *local, bosh_str_t value)
{
    const xmlChar **a = t->attrs + (size_t)t->element.attr_count * 5;

    if (!value.p) {
        return;
    }
    a[0] = (const xmlChar *)local;
    a[2] = (const xmlChar *)uri;
    a[3] = (const xmlChar *)value.p;
    a[4] = (const xmlChar *)value.p + value.len;
    t->element.attr_count++;
}

static void write_start(bosh_xml_writer_t *w, const tag_t *t)
{
    bosh_xml_write_start(w, &t->element, t->element.uri, BOSH_ABSENT);
}

/* <error type='TYPE'><CONDITION/></error> */
static void write_error(bosh_xml_writer_t *w, const char *type, const char *condition)
{
    tag_t error, inner;

    begin_tag(&error, "error", BOSH_NS_CLIENT);
    set_attr(&error, NULL, "type", bosh_str(type));
    begin_tag(&inner, condition, NS_STANZAS);
    write_start(w, &error);
    write_start(w, &inner);
    bosh_xml_write_end(w, NS_STANZAS, condition);
    bosh_xml_write_end(w, BOSH_NS_CLIENT, "error");
}

/* No `from`: the server knows whose stream it is. */
static void write_bounce(bosh_buf_t *out, const bosh_xml_element_t *e, const char *type,
                         const char *condition)
{
    const bosh_xml_scope_t client_stream = { BOSH_NS_CLIENT, true };
    bosh_xml_writer_t w;
    tag_t t;

    bosh_xml_writer_init(&w, out, client_stream);
    begin_tag(&t, e->local, e->uri);
    set_attr(&t, NULL, "type", BOSH_STR("error"));
    set_attr(&t, NULL, "to", bosh_xml_element_find(e, NULL, "from"));
    set_attr(&t, NULL, "id", bosh_xml_element_find(e, NULL, "id"));
    set_attr(&t, BOSH_XML_NS_XML, "lang", bosh_xml_element_find(e, BOSH_XML_NS_XML, "lang"));
    write_start(&w, &t);
    write_error(&w, type, condition);
    bosh_xml_write_end(&w, e->uri, e->local);
}

/* An error is never answered by an error (RFC 6120 section 8.3.1), and a presence is
 * of no use to anybody later. */
static void on_start(bosh_xml_reader_t *r, const bosh_xml_element_t *e)
{
    bounce_t *b = (bounce_t *)r;
    bosh_str_t type = bosh_xml_element_find(e, NULL, "type");

    b->is_read = true;
    if (!bosh_xml_same(e->uri, BOSH_NS_CLIENT)) {
        return;
    }
    if (strcmp(e->local, "message") == 0
        && (!bosh_str_eq(type, "error") || BOSH_FAULT("wrong-bounce"))) {
        write_bounce(b->out, e, "wait", "recipient-unavailable");
    }
    else if (strcmp(e->local, "iq") == 0
             && (bosh_str_eq(type, "get") || bosh_str_eq(type, "set"))) {
        write_bounce(b->out, e, "cancel", "service-unavailable");
    }
}

static void on_end(bosh_xml_reader_t *r, const char *uri, const char *local)
{
    (void)r;
    (void)uri;
    (void)local;
}

static void on_text(bosh_xml_reader_t *r, bosh_str_t text)
{
    (void)r;
    (void)text;
}

static const bosh_xml_handler_t handler = { on_start, on_end, on_text };

/* Up to its first '>'. Wider than what is let in: the writer declares each namespace
 * of an attribute on the attribute's own element. */
static bool bounce_tag(bosh_buf_t *out, bosh_str_t tag)
{
    bosh_xml_limits_t limits = bosh_xml_stream_limits;
    size_t before = out->len;
    bosh_xml_verdict_t verdict;
    bounce_t b;

    limits.max_ns = BOSH_XML_MOST_OPEN_NS;
    if (!bosh_utf8_valid(tag) || !bosh_xml_reader_init(&b.reader, &handler, &limits)) {
        return false;
    }
    b.reader.forgives_uris = true; /* as for the server that sent it */
    b.out = out;
    b.is_read = false;
    verdict = bosh_xml_reader_feed(&b.reader, tag.p, tag.len, false);
    bosh_xml_reader_free(&b.reader);
    if (verdict != BOSH_XML_OK || !b.is_read || out->failed) {
        out->len = before;
        return false;
    }
    return true;
}

bool bosh_xml_add_bounce(bosh_buf_t *out, bosh_str_t stanza)
{
    const char *end = stanza.p ? memchr(stanza.p, '>', stanza.len) : NULL;
    bosh_str_t tag = { stanza.p, end ? (size_t)(end - stanza.p) + 1 : 0 };

    /* Two bytes at least: "<?xml" is no tag, and libxml2 would make sense of it. */
    return tag.len > 2 && tag.p[0] == '<' && tag.p[1] != '?' && tag.p[1] != '!'
           && bounce_tag(out, tag);
}

/* ---- many, cut anywhere ------------------------------------------------- */

void bosh_bouncer_init(bosh_bouncer_t *b)
{
    memset(b, 0, sizeof(*b));
    bosh_buf_init(&b->tag, 0);
}

void bosh_bouncer_free(bosh_bouncer_t *b)
{
    bosh_buf_free(&b->tag);
}

/* A tag of any depth is complete; only outermost ones were kept. */
static void end_tag(bosh_bouncer_t *b, bosh_buf_t *out)
{
    bool is_empty = b->last == '/';

    if (b->first == '/') {
        b->depth -= b->depth > 0;
        return;
    }
    if (b->depth == 0) {
        size_t before = out->len;

        b->lost += b->tag.failed || !bosh_xml_add_bounce(out, bosh_buf_str(&b->tag));
        b->bounced += out->len > before;
        bosh_buf_free(&b->tag);
    }
    b->depth += !is_empty;
}

/* Inside a tag: up to its '>' or to the end of the bytes. */
static size_t take_tag(bosh_bouncer_t *b, bosh_buf_t *out, const char *p, size_t len)
{
    const char *end = memchr(p, '>', len);
    size_t used = end ? (size_t)(end - p) + 1 : len;
    size_t inner = end ? used - 1 : used;

    if (!b->first && inner > 0) {
        b->first = p[0];
    }
    if (inner > 0) {
        b->last = p[inner - 1];
    }
    if (b->depth == 0) {
        (void)bosh_buf_add(&b->tag, p, used);
    }
    if (end) {
        end_tag(b, out);
        b->is_in_tag = false;
    }
    return used;
}

void bosh_bouncer_feed(bosh_bouncer_t *b, bosh_buf_t *out, const char *p, size_t len)
{
    const char *end = p + len;

    while (p < end) {
        if (b->is_in_tag) {
            p += take_tag(b, out, p, (size_t)(end - p));
            continue;
        }
        p = memchr(p, '<', (size_t)(end - p));
        if (!p) {
            return;
        }
        p++;
        b->is_in_tag = true;
        b->first = b->last = '\0';
        if (b->depth == 0) {
            (void)bosh_buf_add(&b->tag, "<", 1);
        }
    }
}
