/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * <body/> in: one document, all or nothing.
 *
 * Each document gets a libxml2 push context of its own, is given to it in one
 * piece, and the context goes. Measured with libxml2 2.9.14, 213 bytes, one
 * message, empty handlers: this way 1.5 us (0.3 us of which is making and
 * freeing the context); a context kept and reset 1.0 us; xmlCtxtReadMemory on
 * a kept context 1.9 us; xmlCreateMemoryParserCtxt 2.4 us. Keeping a context
 * would save half a microsecond, and cost a dictionary that grows with names
 * clients invent and the state that xmlCtxtReset forgot in some releases
 * (CVE-2022-2309). With all that is below, such a body takes 2.3 us.
 *
 * The copies libxml2 makes while it works are freed, not overwritten; ours are
 * overwritten.
 */
#include "body_attr_int.h"
#include "guard_int.h"
#include "reader_int.h"
#include "width_int.h"
#include "writer_int.h"

#include <string.h>

/* More than this is given back to the C library rather than kept for the next
 * document, which would have to overwrite all of it. */
#define KEPT_MEMORY (16 * 1024)

/* A declaration, below a payload, of the httpbind namespace. */
typedef struct redeclaration_t {
    const char *prefix; /* NULL: the default namespace */
    unsigned depth;
} redeclaration_t;

typedef struct body_parser_t {
    bosh_xml_reader_t reader; /* first: handlers cast */
    bosh_body_t *body;
    bosh_xml_writer_t writer;
    bosh_buf_t redeclared; /* a stack of redeclaration_t */
} body_parser_t;

static body_parser_t *parser_of(bosh_xml_reader_t *r)
{
    return (body_parser_t *)r;
}

/* ---- httpbind becomes jabber:client ------------------------------------- */

static const redeclaration_t *top_redeclaration(const body_parser_t *p)
{
    size_t count = p->redeclared.len / sizeof(redeclaration_t);

    return count > 0 ? (const redeclaration_t *)(const void *)p->redeclared.p + count - 1 : NULL;
}

/* A payload that repeats the declaration of <body/>, as some DOM serialisers
 * do, means nothing by it: only deeper ones count. */
static void note_redeclarations(body_parser_t *p, const bosh_xml_element_t *e)
{
    for (unsigned i = 0; p->reader.depth > 2 && i < e->ns_count; i++) {
        redeclaration_t it = { (const char *)e->ns[2 * i], p->reader.depth };

        if (bosh_xml_same((const char *)e->ns[2 * i + 1], BOSH_NS_HTTPBIND)) {
            (void)bosh_buf_add(&p->redeclared, &it, sizeof(it));
        }
    }
}

static void forget_redeclarations(body_parser_t *p)
{
    const redeclaration_t *top = top_redeclaration(p);

    while (top && top->depth == p->reader.depth) {
        p->redeclared.len -= sizeof(*top);
        top = top_redeclaration(p);
    }
}

static bool is_redeclared(const body_parser_t *p, const char *prefix)
{
    const redeclaration_t *all = (const redeclaration_t *)(const void *)p->redeclared.p;
    size_t count = p->redeclared.len / sizeof(*all);

    for (size_t i = 0; i < count; i++) {
        if (bosh_xml_same(all[i].prefix, prefix)) {
            return true;
        }
    }
    return false;
}

/* Payloads without a namespace of their own are in that of <body/>, and meant
 * for jabber:client (XEP-0206 section 2, the note on existing clients). Their
 * descendants go with them, unless they asked for httpbind themselves. If a
 * prefix (or the default) resolves to httpbind, and any open element below a
 * payload declared it so, the innermost declaration is one of those. */
static const char *moved_uri(const body_parser_t *p, const bosh_xml_element_t *e)
{
    if (!bosh_xml_same(e->uri, BOSH_NS_HTTPBIND)) {
        return e->uri;
    }
    return is_redeclared(p, e->prefix) ? BOSH_NS_HTTPBIND : BOSH_NS_CLIENT;
}

/* ---- events ------------------------------------------------------------ */

/* A client that could send these would be talking to the server about our
 * stream, our TLS, our compression. */
static bool is_forbidden(const char *uri)
{
    return bosh_xml_same(uri, BOSH_NS_STREAMS)
           || bosh_xml_same(uri, "urn:ietf:params:xml:ns:xmpp-tls")
           || bosh_xml_same(uri, "http://jabber.org/protocol/compress");
}

static bosh_xml_verdict_t check_payload(const body_parser_t *p, const bosh_xml_element_t *e)
{
    if (is_forbidden(e->uri)) {
        return BOSH_XML_PAYLOAD;
    }
    return p->body->payloads < p->reader.limits->max_children ? BOSH_XML_OK : BOSH_XML_WIDTH;
}

static bosh_xml_verdict_t check_written(const body_parser_t *p)
{
    const bosh_buf_t *out = &p->body->payload;

    return !out->failed ? BOSH_XML_OK : out->starved ? BOSH_XML_NO_MEMORY : BOSH_XML_SIZE;
}

static bosh_xml_verdict_t start_root(body_parser_t *p, const bosh_xml_element_t *e)
{
    if (strcmp(e->local, "body") != 0 || !bosh_xml_same(e->uri, BOSH_NS_HTTPBIND)) {
        return BOSH_XML_ROOT;
    }
    return bosh_xml_take_body_attrs(p->body, e);
}

static bosh_xml_verdict_t start_inner(body_parser_t *p, const bosh_xml_element_t *e)
{
    bosh_str_t lang = BOSH_ABSENT;
    const char *uri;

    if (p->reader.depth == 2) {
        bosh_xml_verdict_t verdict = check_payload(p, e);

        if (verdict != BOSH_XML_OK) {
            return verdict;
        }
        p->body->payloads++;
        lang = p->body->attr[BOSH_A_LANG];
    }
    note_redeclarations(p, e);
    if (p->redeclared.failed) {
        return BOSH_XML_NO_MEMORY;
    }
    /* At depth 2 nothing is redeclared, so every httpbind payload moves. */
    uri = moved_uri(p, e);
    bosh_xml_write_start(&p->writer, e, uri, lang);
    return check_written(p);
}

static void on_start(bosh_xml_reader_t *r, const bosh_xml_element_t *e)
{
    body_parser_t *p = parser_of(r);
    bosh_xml_verdict_t verdict = r->depth == 1 ? start_root(p, e) : start_inner(p, e);

    if (verdict != BOSH_XML_OK) {
        bosh_xml_refuse(r, verdict);
    }
}

static void on_end(bosh_xml_reader_t *r, const char *uri, const char *local)
{
    body_parser_t *p = parser_of(r);

    if (r->depth == 1) {
        return;
    }
    /* The prefix does not matter here: httpbind and jabber:client are both
     * written without one. */
    bosh_xml_write_end(&p->writer, uri, local);
    forget_redeclarations(p);
}

static void on_text(bosh_xml_reader_t *r, bosh_str_t text)
{
    body_parser_t *p = parser_of(r);
    bosh_xml_verdict_t verdict;

    if (r->depth == 1) {
        if (!bosh_xml_is_all_space(text.p, text.len)) {
            bosh_xml_refuse(r, BOSH_XML_TEXT);
        }
        return;
    }
    bosh_xml_write_text(&p->writer, text);
    verdict = check_written(p);
    if (verdict != BOSH_XML_OK) {
        bosh_xml_refuse(r, verdict);
    }
}

static const bosh_xml_handler_t handler = { on_start, on_end, on_text };

/* ---- the door ---------------------------------------------------------- */

static void wipe(bosh_buf_t *b)
{
    bosh_buf_wipe(b);
    if (b->size > KEPT_MEMORY) {
        bosh_buf_free(b);
    }
}

static void clear(bosh_body_t *b)
{
    for (unsigned i = 0; i < BOSH_A_COUNT; i++) {
        b->attr[i] = BOSH_ABSENT;
    }
    b->payloads = 0;
    wipe(&b->payload);
    wipe(&b->text);
}

void bosh_body_init(bosh_body_t *b)
{
    bosh_buf_init(&b->payload, 0);
    bosh_buf_init(&b->text, 0);
    clear(b);
}

void bosh_body_free(bosh_body_t *b)
{
    clear(b);
    bosh_buf_free(&b->payload);
    bosh_buf_free(&b->text);
}

/* Cheapest first; the declaration last, because it shortens the document. */
static bosh_xml_verdict_t check_bytes(bosh_str_t *doc, const bosh_xml_limits_t *limits)
{
    if (doc->len > limits->max_bytes) {
        return BOSH_XML_SIZE;
    }
    if (bosh_xml_is_all_space(doc->p, doc->len)) {
        return BOSH_XML_EMPTY;
    }
    /* U+FEFF at the start is a byte order mark. XML would allow it, but it has
     * no use in UTF-8, and no BOSH client is known to send it. */
    if (!bosh_utf8_valid(*doc) || (doc->len >= 3 && memcmp(doc->p, "\xef\xbb\xbf", 3) == 0)) {
        return BOSH_XML_NOT_UTF8;
    }
    if (!bosh_xml_width_fits(*doc, limits)) {
        return BOSH_XML_WIDTH;
    }
    return bosh_xml_cut_declaration(doc);
}

static bosh_xml_verdict_t parse(bosh_body_t *b, bosh_str_t doc, const bosh_xml_limits_t *limits)
{
    const bosh_xml_scope_t client_stream = { BOSH_NS_CLIENT, true };
    bosh_xml_verdict_t verdict;
    body_parser_t p;

    if (!bosh_xml_reader_init(&p.reader, &handler, limits)) {
        return BOSH_XML_NO_MEMORY;
    }
    p.body = b;
    b->payload.max = limits->max_bytes;
    bosh_buf_init(&p.redeclared, 0);
    bosh_xml_writer_init(&p.writer, &b->payload, client_stream);

    verdict = bosh_xml_reader_feed(&p.reader, doc.p, doc.len, true);
    if (verdict == BOSH_XML_OK) {
        verdict = check_written(&p);
    }

    bosh_buf_free(&p.redeclared);
    bosh_xml_reader_free(&p.reader);
    return verdict;
}

bosh_xml_verdict_t bosh_body_parse(bosh_body_t *b, const char *doc, size_t len,
                                   const bosh_xml_limits_t *limits)
{
    bosh_str_t rest = { doc, len };
    bosh_xml_verdict_t verdict;

    clear(b);
    verdict = check_bytes(&rest, limits);
    if (verdict == BOSH_XML_OK) {
        verdict = parse(b, rest, limits);
    }
    if (verdict != BOSH_XML_OK && BOSH_FAULT("half-body")) {
        return BOSH_XML_OK;
    }
    if (verdict != BOSH_XML_OK) {
        clear(b);
    }
    return verdict;
}
