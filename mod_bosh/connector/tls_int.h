/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * What the files of TLS share:
 *
 *   tls.c          one connection
 *   tls_bio.c      OpenSSL's way to the socket
 *   tls_context.c  what connections have in common: authorities, options
 *   tls_verify.c   whether a certificate is trusted
 *   tls_name.c     for which domain a certificate is
 *   tls_reason.c   words for what went wrong
 */
#ifndef BOSH_CONNECTOR_TLS_INT_H
#define BOSH_CONNECTOR_TLS_INT_H

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "tls.h"

/* What a certificate has to be for: RFC 6125 calls it the reference identity. */
typedef struct reference_t {
    char name[256]; /* A-labels, lower case, no dot at its end; or an address as it was written */
    uint8_t ip[16];
    uint8_t ip_len; /* 0: a name */
} reference_t;

#define TLS_RECORD_HEAD 5

struct tls_t {
    SSL *ssl;
    reference_t *reference; /* until the handshake is done */
    char *reason;
    int fd;
    int os_error;                  /* the socket's latest */
    uint8_t head[TLS_RECORD_HEAD]; /* what the server said first */
    uint8_t head_len;
    bool verify, direct;
    bool is_verified; /* our callback said yes */
    bool is_done;     /* the handshake */
    bool is_broken;   /* OpenSSL must not be asked to write, or to shut down */
    bool is_shut;     /* we said close_notify */
    bool is_dry;      /* since the latest call, the socket had nothing (more) to read */
    bool is_eof;
    bool is_vague; /* the reason */
    bool has_more; /* there was more to look at than one call does */
};

/* ---- tls_bio.c ------------------------------------------------------------ */

/* NULL: no memory. */
BIO *tls_bio_create(tls_t *t);

/* ---- tls_context.c -------------------------------------------------------- */

/* Kept by the cache. NULL: *error has words, until the next call. */
SSL_CTX *tls_context(const tls_want_t *want, const char **error);

/* ---- tls_verify.c --------------------------------------------------------- */

/* For SSL_CTX_set_cert_verify_callback(): the chain and the name. */
int tls_verify(X509_STORE_CTX *sc, void *unused);
int tls_verify_nothing(X509_STORE_CTX *sc, void *unused);

/* ---- tls_name.c ----------------------------------------------------------- */

/* False: neither a domain name nor an address. */
bool tls_reference(reference_t *ref, const char *domain);
bool tls_name_matches(X509 *cert, const reference_t *ref);
/* "a.example, b.example and 3 more". Says how many there are that could match some domain. */
unsigned tls_name_list(X509 *cert, bosh_buf_t *out);

/* ---- tls_reason.c --------------------------------------------------------- */

#define TLS_NOT_XMPP "something else than xmpp-client (ALPN)"

/* The first reason stays, unless it is vague. */
void tls_say(tls_t *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* From the error queue and what is known about the socket. */
void tls_say_failed(tls_t *t);
/* Words that others chose: printable ASCII, and at most so many bytes of them. */
void tls_add_untrusted(bosh_buf_t *out, const void *p, size_t len, size_t max);

#endif
