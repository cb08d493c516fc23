/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * From libxml2's events to stanzas.
 */
#include "stream_parser_int.h"

#include <stdlib.h>
#include <string.h>

#include "escape_int.h"
#include "guard_int.h"

/* libxml2 never forgets a name, and its buffers do not shrink. */
#define MOST_GIVEN ((size_t)1024 * 1024)
#define MOST_UNIT  ((size_t)64 * 1024)
#define MOST_NAMES 1024

/* Every stream keeps its key for life. Usual ones take some 100 bytes. */
#define MOST_KEY 4096

#define KEPT_OUTPUT ((size_t)16 * 1024)

static bosh_xml_stream_parser_t *parser_of(bosh_xml_reader_t *r)
{
    return (bosh_xml_stream_parser_t *)r;
}

/* ---- the header -------------------------------------------------------- */

static void add_declaration(bosh_buf_t *key, const char *prefix, const char *uri)
{
    (void)bosh_buf_add_z(key, prefix ? " xmlns:" : " xmlns");
    (void)bosh_buf_add_z(key, prefix ? prefix : "");
    (void)bosh_buf_add_z(key, "='");
    (void)bosh_xml_add_value(key, bosh_str(uri ? uri : ""));
    (void)bosh_buf_add_z(key, "'");
}

/* With the sender's own prefix, because the end tag will have it. */
static bool make_key(bosh_buf_t *key, const bosh_xml_element_t *e)
{
    (void)bosh_buf_add_z(key, "<");
    if (e->prefix) {
        (void)bosh_buf_add_z(key, e->prefix);
        (void)bosh_buf_add_z(key, ":");
    }
    (void)bosh_buf_add_z(key, e->local);
    for (unsigned i = 0; i < e->ns_count; i++) {
        add_declaration(key, (const char *)e->ns[2 * i], (const char *)e->ns[2 * i + 1]);
    }
    return bosh_buf_add_z(key, ">");
}

/* There must be room already. */
static bosh_str_t keep(bosh_buf_t *text, bosh_str_t s)
{
    size_t at = text->len;

    if (!s.p || !bosh_buf_add_str(text, s)) {
        return BOSH_ABSENT;
    }
    s.p = text->p + at;
    return s;
}

static bool take_header(bosh_xml_stream_parser_t *p, const bosh_xml_element_t *e)
{
    bosh_str_t from = bosh_xml_element_find(e, NULL, "from");
    bosh_str_t id = bosh_xml_element_find(e, NULL, "id");
    bosh_str_t version = bosh_xml_element_find(e, NULL, "version");
    bosh_str_t lang = bosh_xml_element_find(e, BOSH_XML_NS_XML, "lang");

    /* All at once, since growing would move what was kept before. */
    if (!bosh_buf_room(&p->header_text, from.len + id.len + version.len + lang.len)) {
        return false;
    }
    p->header.from = keep(&p->header_text, from);
    p->header.id = keep(&p->header_text, id);
    p->header.version = keep(&p->header_text, version);
    p->header.lang = keep(&p->header_text, lang);
    return true;
}

static bosh_xml_verdict_t start_root(bosh_xml_stream_parser_t *p, const bosh_xml_element_t *e)
{
    if (strcmp(e->local, "stream") != 0 || !bosh_xml_same(e->uri, BOSH_NS_STREAMS)) {
        return BOSH_XML_ROOT;
    }
    if (!make_key(&p->key, e)) {
        return p->key.starved ? BOSH_XML_NO_MEMORY : BOSH_XML_SIZE;
    }
    return take_header(p, e) ? BOSH_XML_OK : BOSH_XML_NO_MEMORY;
}

/* ---- stanzas ----------------------------------------------------------- */

static bosh_stanza_kind_t kind_of(const bosh_xml_element_t *e)
{
    if (bosh_xml_same(e->uri, BOSH_NS_STREAMS)) {
        if (strcmp(e->local, "features") == 0) {
            return BOSH_STANZA_FEATURES;
        }
        if (strcmp(e->local, "error") == 0) {
            return BOSH_STANZA_ERROR;
        }
    }
    return BOSH_STANZA;
}

static void begin_stanza(bosh_xml_stream_parser_t *p, const bosh_xml_element_t *e)
{
    const bosh_xml_scope_t anywhere = { BOSH_XML_NS_UNKNOWN, false };

    p->kind = kind_of(e);
    p->out.max = p->reader.limits->max_bytes;
    bosh_xml_writer_init(&p->writer, &p->out, anywhere);
    bosh_xml_features_init(&p->features);
}

static bosh_xml_verdict_t check_written(const bosh_xml_stream_parser_t *p)
{
    return !p->out.failed ? BOSH_XML_OK : p->out.starved ? BOSH_XML_NO_MEMORY : BOSH_XML_SIZE;
}

static bosh_xml_verdict_t start_inner(bosh_xml_stream_parser_t *p, const bosh_xml_element_t *e)
{
    if (p->reader.depth == 2) {
        begin_stanza(p, e);
    }
    if (p->kind == BOSH_STANZA_FEATURES) {
        bosh_xml_features_start(&p->features, &p->writer, p->reader.depth, e);
    }
    else {
        bosh_xml_write_start(&p->writer, e, e->uri, BOSH_ABSENT);
    }
    return check_written(p);
}

static void on_start(bosh_xml_reader_t *r, const bosh_xml_element_t *e)
{
    bosh_xml_stream_parser_t *p = parser_of(r);
    bosh_xml_verdict_t verdict = r->depth == 1 ? start_root(p, e) : start_inner(p, e);

    if (verdict != BOSH_XML_OK) {
        bosh_xml_refuse(r, verdict);
    }
}

static void on_end(bosh_xml_reader_t *r, const char *uri, const char *local)
{
    bosh_xml_stream_parser_t *p = parser_of(r);
    bosh_xml_verdict_t verdict;

    if (r->depth == 1) {
        p->is_closed = true;
        return;
    }
    if (p->kind == BOSH_STANZA_FEATURES) {
        bosh_xml_features_end(&p->features, &p->writer, r->depth, uri, local);
    }
    else {
        bosh_xml_write_end(&p->writer, uri, local);
    }
    verdict = check_written(p);
    if (verdict != BOSH_XML_OK) {
        bosh_xml_refuse(r, verdict);
        return;
    }
    p->has_stanza = r->depth == 2;
}

static void on_text(bosh_xml_reader_t *r, bosh_str_t text)
{
    bosh_xml_stream_parser_t *p = parser_of(r);
    bosh_xml_verdict_t verdict;

    if (r->depth == 1) {
        if (!bosh_xml_is_all_space(text.p, text.len)) {
            bosh_xml_refuse(r, BOSH_XML_TEXT);
        }
        return;
    }
    if (p->kind == BOSH_STANZA_FEATURES) {
        bosh_xml_features_text(&p->features, &p->writer, text);
    }
    else {
        bosh_xml_write_text(&p->writer, text);
    }
    verdict = check_written(p);
    if (verdict != BOSH_XML_OK) {
        bosh_xml_refuse(r, verdict);
    }
}

static const bosh_xml_handler_t handler = { on_start, on_end, on_text };

/* ---- life -------------------------------------------------------------- */

bosh_xml_stream_parser_t *bosh_xml_stream_parser_create(const bosh_xml_limits_t *limits)
{
    bosh_xml_stream_parser_t *p = calloc(1, sizeof(*p));

    if (!p) {
        return NULL;
    }
    if (!bosh_xml_reader_init(&p->reader, &handler, limits)) {
        free(p);
        return NULL;
    }
    p->reader.forgives_uris = true;
    bosh_buf_init(&p->key, MOST_KEY);
    return p;
}

void bosh_xml_stream_parser_destroy(bosh_xml_stream_parser_t *p)
{
    bosh_xml_reader_free(&p->reader);
    bosh_buf_free(&p->key);
    bosh_buf_free(&p->header_text);
    bosh_buf_free(&p->out);
    free(p);
}

/* Between two stanzas: what is counted per stanza starts anew. */
static void finish_unit(bosh_xml_stream_parser_t *p)
{
    /* What was forgiven once leaves libxml2's flag down, so that the flag would
     * say nothing about the next stream. */
    p->is_worn = p->is_worn || p->reader.has_forgiven || p->given > MOST_GIVEN
                 || p->unit > MOST_UNIT || bosh_xml_reader_names(&p->reader) > MOST_NAMES;
    p->unit = 0;
    p->reader.elements = 0;
}

bosh_xml_verdict_t bosh_xml_stream_parser_feed(bosh_xml_stream_parser_t *p, bosh_str_t piece)
{
    bosh_xml_verdict_t verdict;

    p->given += piece.len;
    p->unit += piece.len;
    if (!bosh_xml_width_take(&p->width, piece, p->reader.limits)) {
        p->reader.verdict = BOSH_XML_WIDTH;
        return BOSH_XML_WIDTH;
    }
    verdict = bosh_xml_reader_feed(&p->reader, piece.p, piece.len, false);
    if (verdict == BOSH_XML_OK && bosh_xml_stream_parser_is_between(p)) {
        finish_unit(p);
    }
    return verdict;
}

bool bosh_xml_stream_parser_is_between(const bosh_xml_stream_parser_t *p)
{
    return bosh_xml_reader_is_between(&p->reader) && !p->width.is_in_cdata;
}

void bosh_xml_stream_parser_forget(bosh_xml_stream_parser_t *p)
{
    p->has_stanza = false;
    bosh_buf_clear(&p->out);
    if (p->out.size > KEPT_OUTPUT) {
        bosh_buf_free(&p->out);
    }
}
