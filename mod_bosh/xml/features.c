/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * The filter sits between the events and the writer. Elements are left out by
 * namespace; a mechanism is written first, and taken back when its name turns
 * out to end in -PLUS.
 */
#include "features_int.h"

#include <string.h>

#include "guard_int.h"

#define NS_TLS             "urn:ietf:params:xml:ns:xmpp-tls"
#define NS_SASL            "urn:ietf:params:xml:ns:xmpp-sasl"
#define NS_SASL2           "urn:xmpp:sasl:2"
#define NS_CHANNEL_BINDING "urn:xmpp:sasl-cb:0"
#define NS_COMPRESSION     "http://jabber.org/features/compress"

static bool is_left_out(const char *uri)
{
    return bosh_xml_same(uri, NS_TLS) || bosh_xml_same(uri, NS_COMPRESSION)
           || bosh_xml_same(uri, NS_CHANNEL_BINDING);
}

static bool is_mechanism(const bosh_xml_element_t *e)
{
    return strcmp(e->local, "mechanism") == 0
           && (bosh_xml_same(e->uri, NS_SASL) || bosh_xml_same(e->uri, NS_SASL2));
}

/* What the connector wants to know although the client must not. */
static void note_tls(bosh_xml_features_t *f, const bosh_xml_element_t *e)
{
    if (!bosh_xml_same(e->uri, NS_TLS)) {
        return;
    }
    if (strcmp(e->local, "starttls") == 0 && f->tls == BOSH_STREAM_TLS_NONE) {
        f->tls = BOSH_STREAM_TLS_OFFERED;
    }
    else if (strcmp(e->local, "required") == 0) {
        f->tls = BOSH_STREAM_TLS_REQUIRED;
    }
}

static bool ends_in_plus(const char *p, size_t len)
{
    const char plus[] = "-PLUS";
    size_t plus_len = sizeof(plus) - 1;

    while (len > 0 && bosh_xml_is_space(p[len - 1])) {
        len--;
    }
    return len >= plus_len && memcmp(p + len - plus_len, plus, plus_len) == 0;
}

void bosh_xml_features_init(bosh_xml_features_t *f)
{
    memset(f, 0, sizeof(*f));
}

void bosh_xml_features_start(bosh_xml_features_t *f, bosh_xml_writer_t *w, unsigned depth,
                             const bosh_xml_element_t *e)
{
    bosh_xml_mark_t before = bosh_xml_writer_mark(w);

    note_tls(f, e);
    if (f->skipped_depth) {
        return;
    }
    if (is_left_out(e->uri)) {
        f->skipped_depth = depth;
        return;
    }
    bosh_xml_write_start(w, e, e->uri, BOSH_ABSENT);
    if (is_mechanism(e)) {
        f->mechanism_depth = depth;
        f->before_mechanism = before;
        f->content_at = w->out->len;
    }
}

void bosh_xml_features_end(bosh_xml_features_t *f, bosh_xml_writer_t *w, unsigned depth,
                           const char *uri, const char *local)
{
    if (f->skipped_depth) {
        if (f->skipped_depth == depth) {
            f->skipped_depth = 0;
        }
        return;
    }
    if (f->mechanism_depth == depth) {
        f->mechanism_depth = 0;
        if (ends_in_plus(w->out->p + f->content_at, w->out->len - f->content_at)) {
            bosh_xml_writer_rewind(w, f->before_mechanism);
            return;
        }
    }
    bosh_xml_write_end(w, uri, local);
}

void bosh_xml_features_text(bosh_xml_features_t *f, bosh_xml_writer_t *w, bosh_str_t text)
{
    if (!f->skipped_depth) {
        bosh_xml_write_text(w, text);
    }
}
