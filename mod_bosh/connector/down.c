/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Stanzas from the server to the store. */

#include "connector_int.h"

static void on_opened(void *baton, const bosh_stream_header_t *header)
{
    c2s_t *c = baton;

    bosh_store_greet(c->k->args->store, c->ref, header->from, header->id);
    /* Before XMPP 1.0 there are no features to wait for. */
    if (!header->version.p && !c->was_opened) {
        c->opens = true;
    }
}

static void on_stanza(void *baton, bosh_stanza_kind_t kind, bosh_str_t xml)
{
    c2s_t *c = baton;

    if (kind == BOSH_STANZA_ERROR) {
        c->stream_error = true;
        bosh_buf_add_str(&c->error, xml);
        return;
    }
    if (!c->was_opened) {
        c->opens = true;
    }
    bosh_buf_add_str(&c->down, xml);
}

static void on_closed(void *baton)
{
    ((c2s_t *)baton)->closed = true;
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

static void end_invalid(c2s_t *c, bosh_xml_verdict_t verdict)
{
    bosh_log(BOSH_LOG_WARNING, BOSHNO(1005) "session %llu: what %s sent was refused: %s",
             (unsigned long long)c->serial, c->upstream->to, bosh_xml_verdict_text(verdict));
    c2s_end(c, BOSH_COND_REMOTE_STREAM_ERROR,
            verdict == BOSH_XML_SIZE ? BOSH_REASON_STANZA_TOO_LARGE : BOSH_REASON_STREAM_INVALID);
}

/* False: the stream is over, and c with it. */
static bool feed(c2s_t *c, const char *p, size_t len)
{
    bosh_xml_verdict_t verdict = bosh_stream_feed(c->stream, p, len);

    if (verdict == BOSH_XML_OK && c->down.failed) {
        verdict = BOSH_XML_NO_MEMORY;
    }
    if ((c->down.len > 0 || c->opens) && down_put(c) == BOSH_PUT_GONE) {
        c2s_end(c, BOSH_COND_NONE, BOSH_REASON_NONE);
        return false;
    }
    if (verdict != BOSH_XML_OK) {
        end_invalid(c, verdict);
        return false;
    }
    if (c->stream_error || c->closed) {
        c2s_end(c, BOSH_COND_REMOTE_STREAM_ERROR,
                c->stream_error ? BOSH_REASON_STREAM_ERROR : BOSH_REASON_STREAM_CLOSED);
        return false;
    }
    return true;
}

void down_ready(c2s_t *c)
{
    apr_size_t n = IO_SIZE;
    apr_status_t rv = apr_socket_recv(c->sock, c->k->io, &n);

    if (n > 0 && c->state == STREAMING) {
        feed(c, c->k->io, n);
    }
    else if (rv != APR_SUCCESS && !APR_STATUS_IS_EAGAIN(rv)) {
        c2s_end(c, BOSH_COND_REMOTE_CONNECTION_FAILED, BOSH_REASON_STREAM_LOST);
    }
}
