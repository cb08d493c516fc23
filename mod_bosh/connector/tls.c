/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* One connection's TLS. */

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "tls_int.h"

/* What one call looks at that is not for its caller: tickets, key updates. */
#define MAX_ASIDES 16

/*
 * XEP-0368 section 3, rules 7 and 8, ask for this where the SRV service is xmpps-client. Nothing asks
 * for it after STARTTLS, where a server that enforces ALPN for its other services may not
 * know it.
 */
static const unsigned char alpn[] = "\013xmpp-client";

/* ---- beginning -------------------------------------------------------------- */

/* RFC 6066 section 3: never for addresses. */
static bool set_names(tls_t *t)
{
    const reference_t *ref = t->reference;

    if (!ref->ip_len && !SSL_set_tlsext_host_name(t->ssl, ref->name)) {
        return false;
    }
    return !t->direct || SSL_set_alpn_protos(t->ssl, alpn, sizeof(alpn) - 1) == 0;
}

static bool begin(tls_t *t, SSL_CTX *ctx)
{
    BIO *bio;

    t->ssl = SSL_new(ctx);
    if (!t->ssl || !SSL_set_app_data(t->ssl, t)) {
        return false;
    }
    bio = tls_bio_create(t);
    if (!bio) {
        return false;
    }
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_connect_state(t->ssl);
    return set_names(t);
}

tls_t *tls_create(int fd, const tls_want_t *want, const char **error)
{
    SSL_CTX *ctx = tls_context(want, error);
    tls_t *t = ctx ? calloc(1, sizeof(*t)) : NULL;

    if (!ctx) {
        return NULL;
    }
    *error = "no memory for TLS";
    if (!t || !(t->reference = calloc(1, sizeof(*t->reference)))) {
        tls_free(t);
        return NULL;
    }
    t->fd = fd;
    t->verify = want->verify;
    t->direct = want->direct;
    if (!tls_reference(t->reference, want->domain)) {
        *error = "no certificate can be for this domain: it is no name";
    }
    else if (begin(t, ctx)) {
        *error = NULL;
        return t;
    }
    tls_free(t);
    return NULL;
}

/* ---- results ----------------------------------------------------------------- */

static void get_ready(tls_t *t)
{
    ERR_clear_error();
    t->os_error = 0;
    t->is_dry = false;
}

static tls_result_t fail(tls_t *t)
{
    tls_say_failed(t);
    t->is_broken = true;
    ERR_clear_error();
    return TLS_FAILED;
}

static tls_result_t result(tls_t *t, int rv)
{
    switch (SSL_get_error(t->ssl, rv)) {
    case SSL_ERROR_WANT_READ: return TLS_WANTS_READ;
    case SSL_ERROR_WANT_WRITE: return TLS_WANTS_WRITE;
    case SSL_ERROR_ZERO_RETURN: return TLS_CLOSED;
    default: return fail(t);
    }
}

/* It was not the socket that ended the call, but something that is not for its caller. */
static bool is_aside(const tls_t *t, tls_result_t r)
{
    return r == TLS_WANTS_READ && !t->is_dry;
}

/* ---- handshake --------------------------------------------------------------- */

/* A server that does not know ALPN chooses nothing. */
static bool is_protocol_right(const tls_t *t)
{
    const unsigned char *p;
    unsigned len;

    SSL_get0_alpn_selected(t->ssl, &p, &len);
    return len == 0 || (len == sizeof(alpn) - 2 && memcmp(p, alpn + 1, len) == 0);
}

static tls_result_t finish(tls_t *t)
{
    if (t->verify && !t->is_verified) {
        tls_say(t, "the server showed no certificate");
        return fail(t);
    }
    if (!is_protocol_right(t)) {
        tls_say(t, "the server wants to speak " TLS_NOT_XMPP);
        return fail(t);
    }
    t->is_done = true;
    free(t->reference);
    t->reference = NULL;
    return TLS_DONE;
}

tls_result_t tls_handshake(tls_t *t)
{
    unsigned asides = 0;
    tls_result_t r;

    if (t->is_done || t->is_broken) {
        return t->is_done ? TLS_DONE : TLS_FAILED;
    }
    do {
        int rv;

        get_ready(t);
        rv = SSL_do_handshake(t->ssl);
        if (rv == 1) {
            return finish(t);
        }
        r = result(t, rv);
    } while (is_aside(t, r) && ++asides < MAX_ASIDES);
    if (r == TLS_CLOSED) {
        tls_say(t, "the server said goodbye in the middle of the handshake");
    }
    else if (is_aside(t, r)) {
        tls_say(t, "the server does not come to the point");
    }
    else {
        return r;
    }
    return fail(t);
}

/* ---- bytes ------------------------------------------------------------------- */

static tls_result_t read_once(tls_t *t, void *p, int size, size_t *n)
{
    tls_result_t r;
    int rv;

    get_ready(t);
    rv = SSL_read(t->ssl, p, size);
    if (rv > 0) {
        *n = (size_t)rv;
        return TLS_DONE;
    }
    r = result(t, rv);
    return r == TLS_FAILED && t->is_eof ? TLS_CUT : r;
}

tls_result_t tls_read(tls_t *t, void *p, size_t size, size_t *n)
{
    tls_result_t r = TLS_WANTS_READ;

    *n = 0;
    t->has_more = false;
    if (!t->is_done) { /* OpenSSL would shake hands, and leave our checks out */
        return TLS_FAILED;
    }
    for (unsigned i = 0; i < MAX_ASIDES; i++) {
        r = read_once(t, p, size < INT_MAX ? (int)size : INT_MAX, n);
        if (!is_aside(t, r)) {
            return r;
        }
    }
    t->has_more = true;
    return r;
}

tls_result_t tls_write(tls_t *t, const void *p, size_t len, size_t *n)
{
    *n = 0;
    if (!t->is_done) {
        return TLS_FAILED;
    }
    while (*n < len) {
        size_t rest = len - *n;
        int rv;

        get_ready(t);
        rv = SSL_write(t->ssl, (const char *)p + *n, rest < INT_MAX ? (int)rest : INT_MAX);
        if (rv <= 0) {
            return result(t, rv);
        }
        *n += (size_t)rv;
    }
    return TLS_DONE;
}

bool tls_pending(const tls_t *t)
{
    return t->has_more || SSL_pending(t->ssl) > 0;
}

void tls_shutdown(tls_t *t)
{
    if (t->is_done && !t->is_broken && !t->is_shut) {
        get_ready(t);
        SSL_shutdown(t->ssl);
        ERR_clear_error();
        t->is_shut = true;
    }
}

/* ---- words, end -------------------------------------------------------------- */

const char *tls_reason(const tls_t *t)
{
    return t->reason ? t->reason : "no memory for the words";
}

const char *tls_version(const tls_t *t)
{
    return SSL_get_version(t->ssl);
}

const char *tls_cipher(const tls_t *t)
{
    return SSL_get_cipher_name(t->ssl);
}

void tls_free(tls_t *t)
{
    if (t) {
        SSL_free(t->ssl);
        free(t->reference);
        free(t->reason);
        free(t);
    }
}
