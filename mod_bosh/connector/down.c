/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Stanzas from the server to the store. */

#include <string.h>

#include "connector_int.h"

/* Before there is TLS the stream may yet become the client's; a later header replaces what
 * this one said. Not so a restart's: the client may ask for its first answers once more. */
static void on_opened(void *baton, const bosh_stream_header_t *header)
{
    c2s_t *c = baton;

    c->is_up = true;
    if (c->state == SECURING) {
        secure_opened(c, header);
    }
    if (c->state > STREAMING) {
        return;
    }
    if (!c->was_opened) {
        bosh_store_greet(c->k->args->store, c->ref, header->from, header->id);
    }
    /* Before XMPP 1.0 there are no features to wait for. */
    if (c->state == STREAMING && !header->version.p && !c->was_opened) {
        c->opens = true;
    }
}

static void on_stanza(void *baton, bosh_stanza_kind_t kind, bosh_str_t xml)
{
    c2s_t *c = baton;

    if (c->state == SECURING && kind != BOSH_STANZA_ERROR) {
        secure_stanza(c, kind, xml); /* perhaps it streams now */
    }
    if (kind == BOSH_STANZA_ERROR) {
        c->stream_error = true;
        if (c->state <= STREAMING) {
            bosh_buf_add_str(&c->error, xml);
        }
    }
    else if (c->state == BOUNCING) {
        bosh_bouncer_feed(&c->bouncer, &c->out, xml.p, xml.len);
    }
    else if (c->state == STREAMING) {
        c->opens = c->opens || !c->was_opened;
        keepalive_note(c, kind, xml);
        bosh_buf_add_str(&c->down, xml);
        if (kind == BOSH_STANZA_FEATURES && !c->has_spoken) {
            bosh_buf_clear(&c->features);
            bosh_buf_add_str(&c->features, xml);
        }
    }
}

static void on_closed(void *baton)
{
    ((c2s_t *)baton)->closed = true;
}

bool down_begins(bosh_str_t xml, const char *start)
{
    size_t n = strlen(start);

    return xml.len > n && memcmp(xml.p, start, n) == 0;
}

const bosh_stream_events_t down_events = { on_opened, on_stanza, on_closed };

bosh_put_t down_put(c2s_t *c)
{
    connector_t *k = c->k;
    bosh_put_t put = bosh_store_put_down(k->args->store, c->ref, bosh_buf_str(&c->down), c->opens,
                                         k->now, &k->knocks);

    if (put == BOSH_PUT_NO_ROOM) {
        /* Back-pressure: TCP tells the server. The store mails when there is room. */
        watch_set(&c->watch, c->watch.events & (apr_int16_t)~APR_POLLIN);
        return put;
    }
    c->was_opened = c->was_opened || c->opens;
    c->opens = false;
    bosh_buf_wipe(&c->down);
    bosh_buf_free(&c->down);
    return put;
}

/* ---- ends ---------------------------------------------------------------- */

static bool is_limit(bosh_xml_verdict_t verdict)
{
    return verdict == BOSH_XML_DEPTH || verdict == BOSH_XML_WIDTH || verdict == BOSH_XML_NAME_LENGTH
           || verdict == BOSH_XML_VALUE_LENGTH || verdict == BOSH_XML_SIZE;
}

/* RFC 6120 section 4.9.3. */
static const char *stream_error(bosh_xml_verdict_t verdict)
{
    switch (verdict) {
    case BOSH_XML_DTD:
    case BOSH_XML_PI:
    case BOSH_XML_COMMENT: return "restricted-xml";
    case BOSH_XML_NO_MEMORY: return "resource-constraint";
    default: return is_limit(verdict) ? "policy-violation" : "not-well-formed";
    }
}

static void end_refused(c2s_t *c, bosh_xml_verdict_t verdict)
{
    bosh_buf_t words;

    bosh_log(BOSH_LOG_WARNING, BOSHNO(1005) "%s: what %s sent was refused: %s", c->name,
             c->upstream->to, bosh_xml_verdict_text(verdict));
    bosh_buf_init(&words, 0);
    bosh_buf_add_z(&words, "<stream:error><");
    bosh_buf_add_z(&words, stream_error(verdict));
    bosh_buf_add_z(&words,
                   " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>" CLOSING_TAG);
    c2s_part(c, bosh_buf_str(&words));
    bosh_buf_free(&words);
    if (is_limit(verdict)) {
        bosh_buf_add_z(&c->error, "<stanza-too-large xmlns='" BOSH_NS_ERRORS "'/>");
        c2s_end(c, BOSH_COND_UNDEFINED_CONDITION, BOSH_REASON_STANZA_TOO_LARGE);
    }
    else if (verdict == BOSH_XML_NO_MEMORY) {
        c2s_end(c, BOSH_COND_INTERNAL_SERVER_ERROR, BOSH_REASON_STREAM_LOST);
    }
    else {
        c2s_end(c, BOSH_COND_REMOTE_CONNECTION_FAILED, BOSH_REASON_STREAM_INVALID);
    }
}

/* The server's own end is answered with the closing tag (RFC 6120 section 4.4), unless
 * that is out. */
static void end_by_server(c2s_t *c)
{
    if (c->stream_error && redirect_follow(c)) {
        return;
    }
    if (c->state != CLOSING) {
        c2s_part(c, BOSH_STR(CLOSING_TAG));
    }
    c2s_end(c, BOSH_COND_REMOTE_STREAM_ERROR,
            c->stream_error ? BOSH_REASON_STREAM_ERROR : BOSH_REASON_STREAM_CLOSED);
}

/* The store has given the session up: some process was killed while changing it. */
static void end_without_session(c2s_t *c)
{
    bosh_up_t up;

    up_is_over(c, &up);
    c2s_part(c, BOSH_STR(CLOSING_TAG));
    c2s_end(c, (bosh_condition_t)up.condition, (bosh_reason_t)up.reason);
}

/* ---- bytes ---------------------------------------------------------------- */

/* False: the stream is over, and c with it. */
static bool feed(c2s_t *c, const char *p, size_t len)
{
    bool was_securing = c->state == SECURING;
    bosh_xml_verdict_t verdict = bosh_stream_feed(c->stream, p, len);

    if (c->state == SECURING && !c->stream_error && !c->closed) {
        return secure_fed(c, p, len, verdict);
    }

    if (c->opens) {
        attempt_succeeded(c);
    }
    if (verdict == BOSH_XML_OK && c->down.failed) {
        verdict = BOSH_XML_NO_MEMORY;
    }
    if (c->state == STREAMING && (c->down.len > 0 || c->opens) && down_put(c) == BOSH_PUT_GONE) {
        end_without_session(c);
        return false;
    }
    if (c->stream_error || c->closed) {
        end_by_server(c);
        return false;
    }
    if (verdict == BOSH_XML_OK) {
        return !was_securing || up_move(c); /* the client has waited */
    }
    if (c->state == STREAMING) {
        end_refused(c, verdict);
    }
    else {
        c2s_end(c, c->condition, c->reason); /* after the end nobody cares why */
    }
    return false;
}

/* TLS may have to write before it can read on. */
static void note_debt(c2s_t *c)
{
    if (c->link.owes) {
        watch_set(&c->watch, c->watch.events | APR_POLLOUT);
    }
    else if (c->out.len == 0) {
        watch_set(&c->watch, c->watch.events & (apr_int16_t)~APR_POLLOUT);
    }
}

/* One read, of *n bytes. False: c is gone. */
static bool read_once(c2s_t *c, apr_size_t *n)
{
    apr_status_t rv;

    *n = IO_SIZE;
    rv = link_recv(&c->link, c->k->io, n);
    note_debt(c);
    if (*n > 0) {
        BOSH_CRASH_POINT("bytes-read-down");
        return feed(c, c->k->io, *n);
    }
    if (rv == APR_SUCCESS || APR_STATUS_IS_EAGAIN(rv)) {
        return true;
    }
    if (c->state == SECURING) {
        connect_failed(c, "it closed the connection before the stream was there");
    }
    else {
        c2s_lost(c, rv);
    }
    return false;
}

void down_ready(c2s_t *c)
{
    apr_size_t n;

    if (c->state == BOUNCING) {
        /* Not asked for: nobody is there any more to take a bounce. */
        c2s_end(c, c->condition, c->reason);
        return;
    }
    /* Nothing for us in a whole read: others have their turn; the socket tells if there is more. */
    while (read_once(c, &n) && n > 0 && (c->watch.events & APR_POLLIN) && link_has_more(&c->link)) {
    }
}

/* TLS gives a record at a time, and most are small; but each costs something. */
#define LEAST_BYTES 128

bool down_look(c2s_t *c, size_t bytes)
{
    apr_size_t n = LEAST_BYTES;

    for (size_t seen = 0; n > 0 && seen < bytes;) {
        if (!read_once(c, &n)) {
            return false;
        }
        seen += n > LEAST_BYTES ? n : LEAST_BYTES;
    }
    return true;
}
