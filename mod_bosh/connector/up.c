/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Bytes from the store to the server. */

#include <sys/ioctl.h>

#include <apr_portable.h>

#include "connector_int.h"

/* More than the kernel keeps for a connection that is dead. */
#define LAST_BYTES (128 * IO_SIZE)

/* RFC 6120 section 4.7.1: who somebody is need not be told to the whole way. Where TLS is no
 * must, this stream may be the one that stays. */
static bool is_from_private(const c2s_t *c)
{
    return c->state == SECURING && c->upstream->tls == BOSH_TLS_REQUIRED;
}

void up_start_stream(c2s_t *c)
{
    const bosh_upstream_t *u = c->upstream;

    bosh_xml_add_stream_header(&c->out, bosh_str(u->to),
                               u->from[0] && !is_from_private(c) ? bosh_str(u->from) : BOSH_ABSENT,
                               u->lang[0] ? bosh_str(u->lang) : BOSH_ABSENT);
    c->has_spoken = false;
}

/* A server that closes first may have said why, and more: it is in the socket still. */
static void lost(c2s_t *c, apr_status_t rv)
{
    if (c->state == SECURING) {
        connect_failed(c, "the connection broke before the stream was there");
        return;
    }
    c2s_note_break(c, rv);
    if (c->state != STREAMING || down_look(c, LAST_BYTES)) {
        c2s_lost(c, rv);
    }
}

/* Writes p; what the socket does not take stays in c->out, in front. */
static bool write_some(c2s_t *c, const char *p, size_t len, size_t *written)
{
    apr_size_t n = len;
    apr_status_t rv = link_send(&c->link, p, &n);

    *written = n;
    if (n > 0) {
        c->wrote = c->k->now;
    }
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EAGAIN(rv)) {
        lost(c, rv);
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

    if (c->out.failed) {
        c2s_end(c, BOSH_COND_INTERNAL_SERVER_ERROR, BOSH_REASON_STREAM_LOST);
        return false;
    }
    if (c->out.len == 0) {
        return true;
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

bool up_last_words(c2s_t *c, bosh_str_t words)
{
    apr_size_t n;

    if (c->is_cut || !bosh_buf_add_str(&c->out, words)) {
        return false;
    }
    n = c->out.len;
    return link_send(&c->link, c->out.p, &n) == APR_SUCCESS && n == c->out.len;
}

static void note_spoken(c2s_t *c)
{
    c->has_spoken = true;
    bosh_buf_free(&c->features); /* idle sessions stay small */
}

/* Where the header was the last that was said, nothing is to be restarted, and servers end
 * a stream that begins twice; but node-xmpp-client asks for it before it logs in. It gets
 * what the server would say: the features once more, or when they come. */
static bool is_restart_of_nothing(c2s_t *c, const bosh_up_t *up)
{
    if (c->has_spoken || up->has_from) {
        return false; /* another `from` is news */
    }
    if (c->features.len > 0) {
        bosh_buf_add_str(&c->down, bosh_buf_str(&c->features));
        down_put(c);
    }
    return true;
}

/* Sent before the server can answer it, so the parser is told in time. */
static void restart(c2s_t *c, const bosh_up_t *up)
{
    if (is_restart_of_nothing(c, up)) {
        return;
    }
    if (up->has_from) {
        bosh_store_restart_from(c->k->args->store, c->ref, c->upstream->from);
    }
    bosh_stream_restart(c->stream);
    c->is_up = false;
    up_start_stream(c);
}

bool up_is_over(c2s_t *c, bosh_up_t *up)
{
    bosh_store_take_up(c->k->args->store, c->ref, NULL, 0, c->k->now, up, &c->k->knocks);
    return up->ended || up->reason != BOSH_REASON_NONE;
}

/* Our last word, with what TLS puts around it. */
#define OWN_BYTES (sizeof(CLOSING_TAG) - 1)
#define TLS_BYTES 64

size_t up_unacknowledged(const c2s_t *c)
{
    apr_os_sock_t fd;
    int n = 0, own = c->state == CLOSING ? (int)(OWN_BYTES + (c->link.tls ? TLS_BYTES : 0)) : 0;

    if (apr_os_sock_get(&fd, c->link.sock) != APR_SUCCESS || ioctl(fd, TIOCOUTQ, &n) != 0) {
        return 0;
    }
    return n > own ? (size_t)(n - own) : 0;
}

/* A client learns that its stream has ended, but not which of its last stanzas arrived.
 * Where none followed our stream header, that alone is on its way. */
void up_log_unsent(c2s_t *c)
{
    /* A client can leave, or make its server end the stream; but not break the connection. */
    bool is_broken = !c->stream_error && !c->closed && c->state != CLOSING;
    size_t unsent = c->in_hand, unacked = 0;
    bosh_up_t up;

    if (!c->link.sock || c->state < STREAMING || c->state > CLOSING || c->is_told) {
        return;
    }
    c->is_told = true;
    if (c->has_spoken && !c->is_space_last) {
        unsent += c->out.len;
        unacked = up_unacknowledged(c);
    }
    bosh_store_take_up(c->k->args->store, c->ref, NULL, 0, c->k->now, &up, &c->k->knocks);
    unsent += up.waiting;
    if (unsent + unacked > 0) {
        bosh_log(is_broken ? BOSH_LOG_WARNING : BOSH_LOG_INFO,
                 BOSHNO(1014) "%s: what %s was sent last may be lost: %zu bytes not acknowledged, "
                              "%zu not sent",
                 c->name, c->upstream->to, unacked, unsent);
    }
}

/* One bufferful, straight from the store to the socket. */
static bool move_once(c2s_t *c, bosh_up_t *up)
{
    connector_t *k = c->k;
    size_t written = 0;

    bosh_store_take_up(k->args->store, c->ref, k->io, IO_SIZE, k->now, up, &k->knocks);
    if (up->ended) {
        c2s_part(c, BOSH_STR(CLOSING_TAG));
        c2s_end(c, (bosh_condition_t)up->condition, (bosh_reason_t)up->reason);
        return false;
    }
    c->is_cut = up->more;
    c->in_hand = up->len;
    if (up->len > 0) {
        c->is_space_last = false;
        BOSH_CRASH_POINT("bytes-taken-up");
    }
    if (up->len > 0 && !write_some(c, k->io, up->len, &written)) {
        return false;
    }
    if (up->len > 0) {
        BOSH_CRASH_POINT("bytes-written-up");
    }
    c->in_hand = 0;
    if (up->len > 0 && !c->has_spoken) {
        note_spoken(c);
    }
    bosh_buf_add(&c->out, k->io + written, up->len - written);
    if (up->restart) {
        restart(c, up);
    }
    return up_flush(c);
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
    return c->state != BOUNCING || bounce_move(c);
}
