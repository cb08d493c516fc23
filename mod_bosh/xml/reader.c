/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * libxml2's events, limited and judged.
 *
 * libxml2 goes on after namespace errors, reports events before it finds the
 * error behind them, knows no limit of depth in this mode, and accepts comments
 * and processing instructions anywhere. Hence a verdict of our own, set by
 * whatever comes first: a limit, a forbidden construct or an error message.
 *
 * A handler that refuses stops the parser at once, which frees its input:
 * nothing of an element may be looked at afterwards. The error callback only
 * notes the verdict, because it runs in the middle of libxml2's own work on a
 * start tag; the next event stops the parser.
 */
#include "reader_int.h"

#include <limits.h>
#include <string.h>

#include <libxml/xmlerror.h>

/* NOENT: without it, an ampersand in an attribute value arrives as "&#38;", which
 * libxml2's own tree builder would replace later. There is no other entity to
 * substitute: a DTD stops the parser before it can declare one.
 *
 * OLD10: names as in the first four editions of XML 1.0. XMPP servers (expat) and
 * some browsers know no others, and would drop the connection. */
#define OPTIONS (XML_PARSE_NONET | XML_PARSE_IGNORE_ENC | XML_PARSE_NOENT | XML_PARSE_OLD10)

bool bosh_xml_same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bosh_xml_attr_t bosh_xml_element_attr(const bosh_xml_element_t *e, unsigned i)
{
    const xmlChar **a = e->attr + (size_t)i * 5;
    bosh_xml_attr_t attr = { (const char *)a[0],
                             (const char *)a[2],
                             { (const char *)a[3], (size_t)(a[4] - a[3]) } };

    return attr;
}

bosh_str_t bosh_xml_element_find(const bosh_xml_element_t *e, const char *uri, const char *local)
{
    for (unsigned i = 0; i < e->attr_count; i++) {
        bosh_xml_attr_t attr = bosh_xml_element_attr(e, i);

        if (bosh_xml_same(attr.local, local) && bosh_xml_same(attr.uri, uri)) {
            return attr.value;
        }
    }
    return BOSH_ABSENT;
}

void bosh_xml_refuse(bosh_xml_reader_t *r, bosh_xml_verdict_t verdict)
{
    if (r->verdict == BOSH_XML_OK) {
        r->verdict = verdict;
    }
    xmlStopParser(r->ctxt);
}

/* An error callback has refused since the last event. */
static bool is_refused(bosh_xml_reader_t *r)
{
    if (r->verdict == BOSH_XML_OK) {
        return false;
    }
    xmlStopParser(r->ctxt);
    return true;
}

/* ---- limits ------------------------------------------------------------ */

static bool is_longer(const xmlChar *z, size_t max)
{
    return z && strnlen((const char *)z, max + 1) > max;
}

static bosh_xml_verdict_t check_declarations(const bosh_xml_limits_t *limits,
                                             const bosh_xml_element_t *e)
{
    for (unsigned i = 0; i < e->ns_count; i++) {
        const xmlChar **declaration = e->ns + (size_t)i * 2;

        if (is_longer(declaration[0], limits->max_name)) {
            return BOSH_XML_NAME_LENGTH;
        }
        if (is_longer(declaration[1], limits->max_value)) {
            return BOSH_XML_VALUE_LENGTH;
        }
    }
    return BOSH_XML_OK;
}

static bosh_xml_verdict_t check_attrs(const bosh_xml_limits_t *limits, const bosh_xml_element_t *e)
{
    for (unsigned i = 0; i < e->attr_count; i++) {
        const xmlChar **a = e->attr + (size_t)i * 5;

        if (is_longer(a[0], limits->max_name) || is_longer(a[1], limits->max_name)) {
            return BOSH_XML_NAME_LENGTH;
        }
        if ((size_t)(a[4] - a[3]) > limits->max_value) {
            return BOSH_XML_VALUE_LENGTH;
        }
    }
    return BOSH_XML_OK;
}

static bosh_xml_verdict_t check_element(const bosh_xml_reader_t *r, const bosh_xml_element_t *e)
{
    const bosh_xml_limits_t *limits = r->limits;
    bosh_xml_verdict_t verdict;

    if (r->depth > limits->max_depth || r->depth > BOSH_XML_DEEPEST) {
        return BOSH_XML_DEPTH;
    }
    if (r->elements > limits->max_elements || e->ns_count > limits->max_ns
        || e->attr_count > limits->max_attrs || e->ns_count > BOSH_XML_MOST_OPEN_NS
        || r->open_ns + e->ns_count > BOSH_XML_MOST_OPEN_NS) {
        return BOSH_XML_WIDTH;
    }
    if (is_longer((const xmlChar *)e->local, limits->max_name)
        || is_longer((const xmlChar *)e->prefix, limits->max_name)) {
        return BOSH_XML_NAME_LENGTH;
    }
    verdict = check_declarations(limits, e);
    return verdict != BOSH_XML_OK ? verdict : check_attrs(limits, e);
}

/* ---- what libxml2 calls ------------------------------------------------ */

static void on_start(void *data, const xmlChar *local, const xmlChar *prefix, const xmlChar *uri,
                     int ns_count, const xmlChar **ns, int attr_count, int defaulted,
                     const xmlChar **attr)
{
    bosh_xml_reader_t *r = data;
    bosh_xml_element_t e = { .local = (const char *)local,
                             .prefix = (const char *)prefix,
                             .uri = (const char *)uri,
                             .ns_count = (unsigned)ns_count,
                             .attr_count = (unsigned)attr_count,
                             .ns = ns,
                             .attr = attr };
    bosh_xml_verdict_t verdict;

    (void)defaulted; /* there is no DTD to default from */
    if (is_refused(r)) {
        return;
    }
    r->depth++;
    r->elements++;
    verdict = check_element(r, &e);
    if (verdict != BOSH_XML_OK) {
        bosh_xml_refuse(r, verdict);
        return;
    }
    r->open_ns += e.ns_count;
    r->ns_at[r->depth] = (unsigned short)e.ns_count;
    r->handler->start(r, &e);
}

static void on_end(void *data, const xmlChar *local, const xmlChar *prefix, const xmlChar *uri)
{
    bosh_xml_reader_t *r = data;

    (void)prefix;
    if (is_refused(r)) {
        return;
    }
    r->handler->end(r, (const char *)uri, (const char *)local);
    r->open_ns -= r->ns_at[r->depth];
    r->depth--;
}

static void on_text(void *data, const xmlChar *p, int len)
{
    bosh_xml_reader_t *r = data;
    bosh_str_t text = { (const char *)p, (size_t)len };

    if (!is_refused(r) && len > 0) {
        r->handler->text(r, text);
    }
}

/* Behind this block of a CDATA section comes its end. Blocks are parts of the
 * input buffer; where they should not be, there is no raw CR to ask about. */
static bool is_section_end(const bosh_xml_reader_t *r, const xmlChar *end)
{
    const xmlParserInput *input = r->ctxt->input;

    return end < input->base || end > input->end
           || (input->end - end >= 3 && memcmp(end, "]]>", 3) == 0);
}

/* The push parser of libxml2 2.9 passes CDATA on as it came, without making LF
 * of CR and CR LF (XML 1.0 section 2.11), and long sections in blocks, which may
 * end between CR and LF. */
static void on_cdata(void *data, const xmlChar *p, int len)
{
    bosh_xml_reader_t *r = data;
    const xmlChar *end = p + len;

    if (r->cdata_ended_in_cr && len > 0 && *p == '\n') {
        p++;
    }
    while (p < end && !is_refused(r)) {
        const xmlChar *cr = memchr(p, '\r', (size_t)(end - p));
        const xmlChar *stop = cr ? cr : end;
        const xmlChar *next = cr ? cr + 1 : end;

        /* Looked at first: on_text() may refuse, which frees the bytes. */
        if (cr && next < end && *next == '\n') {
            next++;
        }
        on_text(r, p, (int)(stop - p));
        if (cr) {
            on_text(r, (const xmlChar *)"\n", 1);
        }
        p = next;
    }
    r->cdata_ended_in_cr =
        len > 0 && r->verdict == BOSH_XML_OK && end[-1] == '\r' && !is_section_end(r, end);
}

static void on_comment(void *data, const xmlChar *text)
{
    (void)text;
    bosh_xml_refuse(data, BOSH_XML_COMMENT);
}

static void on_pi(void *data, const xmlChar *target, const xmlChar *text)
{
    (void)target;
    (void)text;
    bosh_xml_refuse(data, BOSH_XML_PI);
}

static void on_dtd(void *data, const xmlChar *name, const xmlChar *public_id,
                   const xmlChar *system_id)
{
    (void)name;
    (void)public_id;
    (void)system_id;
    bosh_xml_refuse(data, BOSH_XML_DTD);
}

#if LIBXML_VERSION >= 21200
typedef const xmlError *reported_error_t;
#else
typedef xmlErrorPtr reported_error_t;
#endif

/* Inside elements a DTD is a mere syntax error to libxml2; a reader of the log
 * wants to know better. Newer releases have gone past the '<' by then. */
static bool is_at_doctype(const bosh_xml_reader_t *r)
{
    const xmlParserInput *input = r->ctxt->input;
    const xmlChar *at = input ? input->cur : NULL;

    if (!at) {
        return false;
    }
    if (at < input->end && *at == '<') {
        at++;
    }
    return input->end - at >= 8 && memcmp(at, "!DOCTYPE", 8) == 0;
}

static void on_error(void *data, reported_error_t error)
{
    bosh_xml_reader_t *r = data;
    bosh_xml_verdict_t verdict = BOSH_XML_NOT_WELL_FORMED;

    if (error->level < XML_ERR_ERROR || r->verdict != BOSH_XML_OK) {
        return;
    }
    if (error->code == XML_ERR_NO_MEMORY) {
        verdict = BOSH_XML_NO_MEMORY;
    }
    else if (error->domain == XML_FROM_NAMESPACE) {
        if (error->code == XML_WAR_NS_URI && r->forgives_uris) {
            r->has_forgiven = true;
            return;
        }
        verdict = BOSH_XML_NAMESPACE;
    }
    else if (is_at_doctype(r)) {
        verdict = BOSH_XML_DTD;
    }
    r->verdict = verdict;
}

/* Copied by libxml2 into each context. Without serror in it, messages would go
 * to the process-wide handler, which prints. */
static const xmlSAXHandler callbacks = {
    .initialized = XML_SAX2_MAGIC,
    .startElementNs = on_start,
    .endElementNs = on_end,
    .characters = on_text,
    .ignorableWhitespace = on_text,
    .cdataBlock = on_cdata,
    .comment = on_comment,
    .processingInstruction = on_pi,
    .internalSubset = on_dtd,
    .serror = on_error,
};

/* ---- life -------------------------------------------------------------- */

bool bosh_xml_reader_init(bosh_xml_reader_t *r, const bosh_xml_handler_t *handler,
                          const bosh_xml_limits_t *limits)
{
    memset(r, 0, sizeof(*r));
    r->handler = handler;
    r->limits = limits;

    /* The prototype lacks a const; the table is only read. */
    r->ctxt = xmlCreatePushParserCtxt((xmlSAXHandler *)(uintptr_t)&callbacks, r, NULL, 0, NULL);
    if (!r->ctxt) {
        return false;
    }
    (void)xmlCtxtUseOptions(r->ctxt, OPTIONS);
    return true;
}

void bosh_xml_reader_free(bosh_xml_reader_t *r)
{
    xmlFreeParserCtxt(r->ctxt); /* accepts NULL */
    r->ctxt = NULL;
}

/* The error callback has noticed all of this before; the flags are what libxml2
 * itself calls the result. */
static bosh_xml_verdict_t judge_flags(const bosh_xml_reader_t *r)
{
    if (!r->ctxt->wellFormed) {
        return BOSH_XML_NOT_WELL_FORMED;
    }
    if (!r->ctxt->nsWellFormed && !r->has_forgiven) {
        return BOSH_XML_NAMESPACE;
    }
    return BOSH_XML_OK;
}

bosh_xml_verdict_t bosh_xml_reader_feed(bosh_xml_reader_t *r, const char *p, size_t len,
                                        bool is_end)
{
    if (len > INT_MAX) {
        r->verdict = BOSH_XML_SIZE;
        return r->verdict;
    }
    /* The return code may be that of a warning, and 0 for truncated input. */
    (void)xmlParseChunk(r->ctxt, p, (int)len, is_end);
    if (r->verdict == BOSH_XML_OK) {
        r->verdict = judge_flags(r);
    }
    return r->verdict;
}

bool bosh_xml_reader_is_between(const bosh_xml_reader_t *r)
{
    const xmlParserInput *input = r->ctxt->input;

    return r->verdict == BOSH_XML_OK && r->depth == 1 && input && input->cur == input->end;
}

int bosh_xml_reader_names(const bosh_xml_reader_t *r)
{
    return xmlDictSize(r->ctxt->dict);
}
