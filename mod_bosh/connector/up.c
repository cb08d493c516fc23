/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Bytes from the store to the server. */

#include "connector_int.h"

void up_start_stream(c2s_t *c)
{
    const bosh_upstream_t *u = c->upstream;

    bosh_xml_add_stream_header(&c->out, bosh_str(u->to),
                               u->from[0] ? bosh_str(u->from) : BOSH_ABSENT,
                               u->lang[0] ? bosh_str(u->lang) : BOSH_ABSENT);
}

static void lost(c2s_t *c)
{
    c2s_end(c, BOSH_COND_REMOTE_CONNECTION_FAILED, BOSH_REASON_STREAM_LOST);
}

/* Writes p; what the socket does not take stays in c->out, in front. */
static bool write_some(c2s_t *c, const char *p, size_t len, size_t *written)
{
    apr_size_t n = len;
    apr_status_t rv = apr_socket_send(c->sock, p, &n);

    *written = n;
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EAGAIN(rv)) {
        lost(c);
        return false;
    }
    if (n < len) {
        watch_set(&c->watch, c->watch.events | APR_POLLOUT);
    }
    return true;
}

bool up_flush(c2s_t *c)
{
    size_t written;

    if (c->out.len == 0) {
        return true;
    }
    if (c->out.failed) {
        c2s_end(c, BOSH_COND_INTERNAL_SERVER_ERROR, BOSH_REASON_STREAM_LOST);
        return false;
    }
    if (!write_some(c, c->out.p, c->out.len, &written)) {
        return false;
    }
    bosh_buf_drop(&c->out, written);
    if (c->out.len == 0) {
        bosh_buf_wipe(&c->out); /* passwords pass here; and idle sessions stay small */
        bosh_buf_free(&c->out);
        watch_set(&c->watch, c->watch.events & (apr_int16_t)~APR_POLLOUT);
    }
    return true;
}

/* One bufferful, straight from the store to the socket. */
static bool move_once(c2s_t *c, bosh_up_t *up)
{
    connector_t *k = c->k;
    size_t written = 0;

    bosh_store_take_up(k->args->store, c->ref, k->io, IO_SIZE, k->now, up, &k->knocks);
    if (up->ended) {
        c2s_end(c, (bosh_condition_t)up->condition, (bosh_reason_t)up->reason);
        return false;
    }
    if (up->len > 0 && !write_some(c, k->io, up->len, &written)) {
        return false;
    }
    bosh_buf_add(&c->out, k->io + written, up->len - written);
    if (up->restart) {
        /* Sent before the server can answer it, so the parser is told in time. */
        bosh_stream_restart(c->stream);
        up_start_stream(c);
        return up_flush(c);
    }
    return true;
}

bool up_move(c2s_t *c)
{
    bosh_up_t up = { .more = true };

    if (!up_flush(c)) {
        return false;
    }
    while (c->state == STREAMING && c->out.len == 0 && up.more) {
        if (!move_once(c, &up)) {
            return false;
        }
    }
    if (c->state == STREAMING && up.close && c->out.len == 0) {
        c2s_close(c, &up);
        return false; /* it may be gone */
    }
    return true;
}
