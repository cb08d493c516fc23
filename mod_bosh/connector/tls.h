/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * TLS to an XMPP server: the client's side of one connection, on a socket that somebody else
 * owns, polls and closes. Nothing here blocks. One thread of one process (OpenSSL's own
 * state is made at the first use, after the fork, and never taken down).
 *
 *   tls_create   -> tls_handshake until TLS_DONE -> tls_read, tls_write -> tls_shutdown -> tls_free
 *
 * TLS 1.2 or newer; no renegotiation, no compression, no resumption: a session that was
 * verified for one domain, or not at all, can never serve another.
 * Before tls_handshake() says TLS_DONE the certificate has been found good: trusted, of today,
 * for servers, and for want->domain, whatever host the socket leads to.
 */
#ifndef BOSH_CONNECTOR_TLS_H
#define BOSH_CONNECTOR_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "bosh/base.h"

typedef struct tls_t tls_t;

/* Copied where it is needed for longer than the call. */
typedef struct tls_want_t {
    const char *domain;  /* the XMPP domain: SNI, and what the certificate must be for */
    const char *ca_file; /* NULL or "": with ca_path alike, the system's authorities */
    const char *ca_path;
    bool verify; /* false: any certificate will do */
    bool direct; /* TLS from the first byte (XEP-0368), not after STARTTLS */
    bosh_msec_t now;
} tls_want_t;

typedef enum tls_result_t {
    TLS_DONE,
    TLS_WANTS_READ,  /* call again when the socket is readable */
    TLS_WANTS_WRITE, /* call again when it is writable, also after a read */
    TLS_CLOSED,      /* the server said close_notify: all it sent has been read */
    TLS_CUT,         /* the connection ended without: there may have been more */
    TLS_FAILED       /* tls_reason() says why */
} tls_result_t;

/* NULL: *error has words for an administrator, until the next call. fd is non-blocking. */
tls_t *tls_create(int fd, const tls_want_t *want, const char **error);
/* Never TLS_CLOSED or TLS_CUT. */
tls_result_t tls_handshake(tls_t *t);
/* One record at most; size > 0. *n > 0 with TLS_DONE, else 0. */
tls_result_t tls_read(tls_t *t, void *p, size_t size, size_t *n);
/* TLS_DONE: all of it. Else *n bytes were taken, and some of those after them may be on their
 * way already: the next call begins with the same bytes, and at least as many of them (they
 * may stand elsewhere, and more may follow). After a failure there may still be something to
 * read. */
tls_result_t tls_write(tls_t *t, const void *p, size_t len, size_t *n);
/* Whether there is something for tls_read() that poll() does not tell of. */
bool tls_pending(const tls_t *t);
/* Says close_notify, once, if the socket takes it now; and nothing after a failure, or in the
 * middle of something that was not written to its end. What still comes may be thrown away. */
void tls_shutdown(tls_t *t);
/* After TLS_FAILED or TLS_CUT. Printable ASCII, of bounded length. */
const char *tls_reason(const tls_t *t);
/* For the log: "TLSv1.3", "TLS_AES_256_GCM_SHA384". */
const char *tls_version(const tls_t *t);
const char *tls_cipher(const tls_t *t);
/* Leaves the socket open. NULL is fine. */
void tls_free(tls_t *t);

#endif
