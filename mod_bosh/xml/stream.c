/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * An XMPP stream in: bytes in pieces of any size, stanzas out.
 *
 *            feed: header            feed: </stream:stream>
 *   HEADER ------------------> OPEN -----------------------> CLOSED
 *     ^                          |                              |
 *     +---------- restart -------+------------------------------+
 *
 *   Any refusal sets the verdict, from which nothing leads back.
 *
 * Bytes are cut behind every '>' before libxml2 gets them; what has no '>' yet
 * waits in `pending`. So libxml2 sees the same pieces however the network cut
 * them, which makes verdicts and events independent of that (libxml2's own push
 * mode is not quite: it decides by what happens to be buffered). It costs 0.3 us
 * for a small stanza. White space between stanzas never gets to libxml2.
 *
 * Between two stanzas the stream has no parser, only the key with which it
 * borrows one.
 */
#include "bosh/xml.h"

#include <stdlib.h>
#include <string.h>

#include "guard_int.h"
#include "parser_pool_int.h"

typedef enum stream_state_t { HEADER, OPEN, CLOSED } stream_state_t;

struct bosh_stream_t {
    bosh_parser_pool_t *pool;
    const bosh_stream_events_t *events;
    void *baton;
    const bosh_xml_limits_t *limits;
    bosh_xml_verdict_t verdict;
    stream_state_t state;
    bool has_declaration;
    bosh_stream_tls_t tls;
    bosh_xml_stream_parser_t *parser; /* NULL: none borrowed */
    bosh_buf_t key;
    bosh_buf_t pending;
};

static void judge(bosh_stream_t *s, bosh_xml_verdict_t verdict)
{
    s->verdict = verdict;
}

static void return_parser(bosh_stream_t *s)
{
    if (s->parser) {
        bosh_xml_pool_give_back(s->pool, s->parser);
        s->parser = NULL;
    }
}

/* No element is half read. In HEADER: nothing of the start tag was given to the
 * parser yet. */
static bool is_between(const bosh_stream_t *s)
{
    return !s->parser || (s->state == OPEN && bosh_xml_stream_parser_is_between(s->parser));
}

/* ---- events ------------------------------------------------------------ */

static void tell_opened(bosh_stream_t *s)
{
    if (!bosh_buf_add_str(&s->key, bosh_buf_str(&s->parser->key))) {
        judge(s, BOSH_XML_NO_MEMORY);
        return;
    }
    s->state = OPEN;
    s->events->opened(s->baton, &s->parser->header);
}

static void tell_stanza(bosh_stream_t *s)
{
    bosh_xml_stream_parser_t *p = s->parser;

    if (p->kind == BOSH_STANZA_FEATURES) {
        s->tls = p->features.tls;
    }
    s->events->stanza(s->baton, p->kind, bosh_buf_str(&p->out));
    bosh_xml_stream_parser_forget(p);
}

static void tell_closed(bosh_stream_t *s)
{
    s->state = CLOSED;
    return_parser(s);
    s->events->closed(s->baton);
}

/* Only after libxml2 has returned, and has found nothing wrong. */
static void tell(bosh_stream_t *s)
{
    if (s->state == HEADER && s->parser->reader.depth == 0 && !s->parser->is_closed) {
        return; /* '>' in an attribute of the header */
    }
    if (s->state == HEADER) {
        tell_opened(s);
    }
    if (s->verdict == BOSH_XML_OK && s->parser->has_stanza) {
        tell_stanza(s);
    }
    if (s->verdict == BOSH_XML_OK && s->parser->is_closed) {
        tell_closed(s);
    }
}

/* ---- pieces ------------------------------------------------------------ */

static bool ensure_parser(bosh_stream_t *s)
{
    if (!s->parser) {
        s->parser = s->state == HEADER
                        ? bosh_xml_pool_new(s->pool, s->limits)
                        : bosh_xml_pool_borrow(s->pool, bosh_buf_str(&s->key), s->limits);
    }
    return s->parser != NULL;
}

/* A piece is a whole declaration or none: it ends at the first '>'. */
static void digest_declaration(bosh_stream_t *s, bosh_str_t piece)
{
    bosh_xml_verdict_t verdict = bosh_xml_cut_declaration(&piece);

    if (verdict == BOSH_XML_OK && s->has_declaration) {
        verdict = BOSH_XML_NOT_WELL_FORMED;
    }
    s->has_declaration = true;
    judge(s, verdict);
}

static void digest(bosh_stream_t *s, bosh_str_t piece)
{
    if (!bosh_utf8_valid(piece)) {
        judge(s, BOSH_XML_NOT_UTF8);
        return;
    }
    if (s->state == HEADER && !s->parser && bosh_xml_has_declaration(piece)) {
        digest_declaration(s, piece);
        return;
    }
    if (!ensure_parser(s)) {
        judge(s, BOSH_XML_NO_MEMORY);
        return;
    }
    judge(s, bosh_xml_stream_parser_feed(s->parser, piece));
    if (s->verdict == BOSH_XML_OK) {
        tell(s);
    }
    if (s->verdict == BOSH_XML_OK && s->parser && s->parser->is_worn && is_between(s)) {
        return_parser(s);
    }
}

/* Uses the bytes up to the first '>', or all. */
static size_t take_piece(bosh_stream_t *s, const char *data, size_t len)
{
    const char *end = memchr(data, '>', len);
    size_t used = end ? (size_t)(end - data) + 1 : len;
    size_t before = (s->parser ? s->parser->unit : 0) + s->pending.len;
    bosh_str_t piece = { data, used };

    if (used > s->limits->max_bytes || before > s->limits->max_bytes - used) {
        judge(s, BOSH_XML_SIZE);
        return used;
    }
    if (s->pending.len > 0 || !end) {
        if (!bosh_buf_add(&s->pending, data, used)) {
            judge(s, BOSH_XML_NO_MEMORY);
            return used;
        }
        piece = bosh_buf_str(&s->pending);
    }
    if (end) {
        digest(s, piece);
        bosh_buf_free(&s->pending);
    }
    return used;
}

static size_t skip_space(const char *data, size_t len)
{
    size_t n = 0;

    while (n < len && bosh_xml_is_space(data[n])) {
        n++;
    }
    return n;
}

/* The first byte behind a stanza, a header or the end, white space apart. */
static bosh_xml_verdict_t check_first(const bosh_stream_t *s, char c)
{
    if (s->state == CLOSED) {
        return BOSH_XML_NOT_WELL_FORMED;
    }
    if (c == '<') {
        return BOSH_XML_OK;
    }
    if (s->state == OPEN) {
        return BOSH_XML_TEXT;
    }
    /* Byte order marks start with EF, FE or FF, UTF-32 may with 00. */
    return c == '\0' || (unsigned char)c >= 0x80 ? BOSH_XML_NOT_UTF8 : BOSH_XML_NOT_WELL_FORMED;
}

/* ---- the door ---------------------------------------------------------- */

bosh_stream_t *bosh_stream_create(bosh_parser_pool_t *pool, const bosh_stream_events_t *events,
                                  void *baton, const bosh_xml_limits_t *limits)
{
    bosh_stream_t *s = calloc(1, sizeof(*s));

    if (!s) {
        return NULL;
    }
    s->pool = pool;
    s->events = events;
    s->baton = baton;
    s->limits = limits;
    bosh_buf_init(&s->key, 0);
    bosh_buf_init(&s->pending, 0);
    return s;
}

void bosh_stream_free(bosh_stream_t *s)
{
    if (!s) {
        return;
    }
    return_parser(s);
    bosh_buf_free(&s->key);
    bosh_buf_free(&s->pending);
    free(s);
}

bosh_xml_verdict_t bosh_stream_feed(bosh_stream_t *s, const char *data, size_t len)
{
    while (len > 0 && s->verdict == BOSH_XML_OK) {
        size_t used = 0;

        if (s->pending.len == 0 && is_between(s)) {
            used = skip_space(data, len);
            if (used < len) {
                judge(s, check_first(s, data[used]));
            }
        }
        if (used == 0 && s->verdict == BOSH_XML_OK) {
            used = take_piece(s, data, len);
        }
        data += used;
        len -= used;
    }
    if (s->verdict != BOSH_XML_OK) {
        bosh_buf_free(&s->pending);
    }
    if (s->verdict != BOSH_XML_OK || is_between(s)) {
        return_parser(s);
    }
    return s->verdict;
}

void bosh_stream_restart(bosh_stream_t *s)
{
    return_parser(s);
    bosh_buf_free(&s->pending);
    bosh_buf_clear(&s->key);
    s->state = HEADER;
    s->has_declaration = false;
    s->tls = BOSH_STREAM_TLS_NONE;
}

bool bosh_stream_is_resting(const bosh_stream_t *s)
{
    return s->verdict == BOSH_XML_OK && s->state == OPEN && !s->parser && s->pending.len == 0;
}

bosh_stream_tls_t bosh_stream_tls(const bosh_stream_t *s)
{
    return s->tls;
}
