/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A server that says <see-other-host/> instead of offering its features (RFC 6120 section
 * 4.9.3.19). Followed once, with the same domain, the same TLS and the same certificate
 * asked for; never on the word of a server that has not proved who it is, and never to an
 * address that its DNS must not lead to either.
 */

#include <string.h>

#include "connector_int.h"

#define START    "<see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>"
#define PORT     5222
#define MAX_HOST 255

/* What is said between the tags; absent: nothing. */
static bosh_str_t said(const c2s_t *c)
{
    bosh_str_t error = bosh_buf_str(&c->error), text = BOSH_ABSENT;
    size_t n = sizeof(START) - 1;

    for (size_t at = 0; at + n < error.len && !text.p; at++) {
        if (memcmp(error.p + at, START, n) == 0) {
            const char *end = memchr(error.p + at + n, '<', error.len - at - n);

            text.p = error.p + at + n;
            text.len = end ? (size_t)(end - text.p) : 0;
        }
    }
    return text;
}

/* HOST, HOST:PORT, [IPv6]:PORT. */
static bool split(bosh_str_t text, char host[MAX_HOST + 1], uint16_t *port)
{
    const char *colon = NULL, *from = text.p;
    size_t len = text.len;
    uint64_t number = PORT;

    if (len > 0 && from[0] == '[') {
        const char *end = memchr(from, ']', len);

        colon = end ? end + 1 : NULL;
        if (!end || (colon < from + len && *colon != ':')) {
            return false;
        }
        colon = colon < from + len ? colon : NULL;
        from++;
        len = (size_t)(end - from);
    }
    else {
        colon = memchr(from, ':', len);
        len = colon ? (size_t)(colon - from) : len;
    }
    if (colon
        && (!bosh_parse_uint((bosh_str_t){ colon + 1, (size_t)(text.p + text.len - colon - 1) },
                             65535, &number)
            || number == 0)) {
        return false;
    }
    *port = (uint16_t)number;
    return len > 0 && bosh_str_copy(host, MAX_HOST + 1, (bosh_str_t){ from, len });
}

/* It has shown a certificate for the domain; or nothing leaves this machine. */
static bool is_trusted(const c2s_t *c)
{
    return c->upstream->tls == BOSH_TLS_LOCAL || (c->link.tls && c->upstream->verify);
}

bool redirect_follow(c2s_t *c)
{
    bosh_str_t text = said(c);
    char host[MAX_HOST + 1];
    uint16_t port;

    if (!text.p || c->was_opened || c->is_redirected || c->state > STREAMING || !is_trusted(c)
        || !split(text, host, &port)) {
        return false;
    }
    bosh_log(BOSH_LOG_INFO, BOSHNO(1017) "%s: %s says to see another host: %s, port %u", c->name,
             c->upstream->to, host, port);
    c->is_redirected = true;
    c2s_close_socket(c);
    c2s_forget_stream(c);
    connect_elsewhere(c, host, port);
    return true;
}
