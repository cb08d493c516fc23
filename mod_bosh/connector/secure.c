/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * From a connected socket to one that may carry the stream: STARTTLS (RFC 6120 section 5),
 * TLS from the first byte (XEP-0368), or none where that is enough.
 *
 *   WAITS_FEATURES --required, or wanted--> WAITS_PROCEED --proceed--> SHAKES_HANDS
 *         |                                                                |
 *         +-- not offered, and may be plain --> the stream goes on    a new stream
 *
 * Nothing of the client's is sent before, and nothing that the server said before counts
 * after. Whatever goes wrong is this target's failure: the next one is tried, never plain
 * where TLS was wanted.
 */

#include <string.h>

#include <apr_portable.h>

#include "connector_int.h"

/* The server has this long for each of its words, and for the handshake, unless there is no
 * other one and plain will do: then it has as long as BoshConnectTimeout gives. */
#define WORD_MS BOSH_SEC(5)

#define STARTTLS "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"

static bosh_tls_t mode(const c2s_t *c)
{
    return (bosh_tls_t)c->upstream->tls;
}

static void begin_waiting(c2s_t *c)
{
    bool is_only = c->tried == c->targets && mode(c) == BOSH_TLS_LOCAL;

    c->deadline = is_only ? 0 : c->k->now + WORD_MS;
}

/* ---- the handshake -------------------------------------------------------- */

static void shake_hands(c2s_t *c)
{
    switch (tls_handshake(c->link.tls)) {
    case TLS_DONE:
        bosh_log(BOSH_LOG_DEBUG, BOSHNO(1016) "%s: %s, %s", c->name, tls_version(c->link.tls),
                 tls_cipher(c->link.tls));
        c2s_connected(c);
        break;
    case TLS_WANTS_READ: watch_set(&c->watch, APR_POLLIN); break;
    case TLS_WANTS_WRITE: watch_set(&c->watch, APR_POLLOUT); break;
    default: connect_failed(c, tls_reason(c->link.tls)); break;
    }
}

static void begin_handshake(c2s_t *c, bool is_direct)
{
    const bosh_upstream_t *u = c->upstream;
    tls_want_t want = { .domain = u->to,
                        .ca_file = u->ca_file,
                        .ca_path = u->ca_path,
                        .verify = u->verify && mode(c) != BOSH_TLS_LOCAL,
                        .direct = is_direct,
                        .now = c->k->now };
    const char *error = NULL;
    apr_os_sock_t fd;

    c->step = SHAKES_HANDS;
    begin_waiting(c);
    apr_os_sock_get(&fd, c->link.sock);
    c->link.tls = tls_create(fd, &want, &error);
    if (c->link.tls) {
        shake_hands(c);
    }
    else {
        connect_failed(c, error);
    }
}

/* ---- STARTTLS ------------------------------------------------------------- */

static void begin_starttls(c2s_t *c)
{
    c->step = WAITS_FEATURES;
    c->is_crowded = false;
    begin_waiting(c);
    if (c2s_open_stream(c)) {
        up_flush(c);
    }
}

/* The stream that we have is the client's. */
static void go_on_plain(c2s_t *c)
{
    c->state = STREAMING;
    c->deadline = 0;
}

static bool is_plain_enough(const c2s_t *c, bosh_stream_tls_t offered)
{
    return (mode(c) == BOSH_TLS_LOCAL && offered != BOSH_STREAM_TLS_REQUIRED)
           || (mode(c) == BOSH_TLS_OPTIONAL && offered == BOSH_STREAM_TLS_NONE);
}

void secure_opened(c2s_t *c, const bosh_stream_header_t *header)
{
    if (header->version.p) {
        return; /* features follow */
    }
    if (is_plain_enough(c, BOSH_STREAM_TLS_NONE)) {
        go_on_plain(c);
    }
    else {
        c->step = REFUSES;
        c->why = "it speaks XMPP before 1.0, and so no STARTTLS";
    }
}

static void on_features(c2s_t *c)
{
    bosh_stream_tls_t offered = bosh_stream_tls(c->stream);

    if (is_plain_enough(c, offered)) {
        go_on_plain(c);
    }
    else if (offered == BOSH_STREAM_TLS_NONE) {
        c->step = REFUSES;
        c->why = "it does not offer STARTTLS, which is required (BoshTLS)";
    }
    else {
        c->step = ASKS;
    }
}

static void on_reply(c2s_t *c, bosh_str_t xml)
{
    if (down_begins(xml, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'")) {
        c->step = PROCEEDS;
        return;
    }
    c->step = REFUSES;
    c->why = down_begins(xml, "<failure ") ? "it offered STARTTLS and then refused it"
                                           : "its answer to STARTTLS is none";
}

void secure_stanza(c2s_t *c, bosh_stanza_kind_t kind, bosh_str_t xml)
{
    if (c->step == WAITS_FEATURES && kind == BOSH_STANZA_FEATURES) {
        on_features(c);
    }
    else if (c->step == WAITS_PROCEED) {
        on_reply(c, xml);
    }
    else if (c->step == PROCEEDS) {
        c->is_crowded = true;
    }
    else {
        c->step = REFUSES;
        c->why = "it said something out of turn before TLS: not taken for the server's word";
    }
}

/* What came with <proceed/>, in the clear, may be anybody's (CVE-2021-22947 and its like). */
static bool is_alone(const c2s_t *c, const char *p, size_t len)
{
    return !c->is_crowded && bosh_stream_is_resting(c->stream) && p[len - 1] == '>';
}

bool secure_fed(c2s_t *c, const char *p, size_t len, bosh_xml_verdict_t verdict)
{
    if (verdict != BOSH_XML_OK) {
        connect_failed(c, "what it says is no XMPP stream");
        return false;
    }
    switch (c->step) {
    case ASKS:
        c->step = WAITS_PROCEED;
        begin_waiting(c);
        bosh_buf_add_z(&c->out, STARTTLS);
        return up_flush(c);
    case PROCEEDS:
        if (is_alone(c, p, len)) {
            begin_handshake(c, false);
        }
        else {
            connect_failed(c, "bytes followed <proceed/> before TLS: refused");
        }
        return false; /* it may be gone */
    case REFUSES: connect_failed(c, c->why); return false;
    default: return true;
    }
}

/* ---- both ------------------------------------------------------------------ */

void secure_begin(c2s_t *c)
{
    c->state = SECURING;
    if (!proxy_send(c)) {
        connect_failed(c, "it took no PROXY header");
    }
    else if (c->target[c->tried - 1].direct) {
        begin_handshake(c, true);
    }
    else if (mode(c) == BOSH_TLS_OFF) {
        c2s_connected(c);
    }
    else {
        begin_starttls(c);
    }
}

void secure_ready(c2s_t *c, apr_int16_t events)
{
    if (c->step == SHAKES_HANDS) {
        shake_hands(c);
        return;
    }
    if ((events & APR_POLLOUT) && !up_flush(c)) {
        return;
    }
    if (events & (APR_POLLIN | APR_POLLHUP | APR_POLLERR)) {
        down_ready(c);
    }
}
