/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A client of ours and a server of OpenSSL's, in one thread, with a wire between:
 *
 *   tls_t -- fd -- wire[0] ....pair_pump().... wire[1] -- server_fd -- SSL
 */
#ifndef BOSH_TEST_TLS_PAIR_H
#define BOSH_TEST_TLS_PAIR_H

#include <openssl/ssl.h>

#include "pki.h"
#include "tls.h"

typedef struct pair_t {
    tls_t *tls;
    SSL *ssl; /* NULL: a server that speaks no TLS */
    int fd, wire[2], server_fd;
    size_t chunk;     /* that the wire carries at once each way; 0: all */
    size_t to_client; /* bytes that have arrived */
    const char *error;
} pair_t;

/* Each program's own authority: in a file, in a folder that pair_tear_down() removes. */
extern char pair_dir[64], pair_ca_file[128];
extern X509 *pair_ca;
int pair_set_up(void **state);
int pair_tear_down(void **state);

/* For tests with an authority that is trusted, and the domain "example.org". */
tls_want_t pair_want(void);
/* A certificate for example.org. */
X509 *pair_good(void);
/* A server's context; the chain is what it sends, its own first. */
SSL_CTX *pair_context(X509 *const *chain, unsigned n);

/* ctx is used up; NULL: no TLS. */
void pair_open(pair_t *p, const tls_want_t *want, SSL_CTX *ctx);
/* With all defaults, the handshake done. */
void pair_open_good(pair_t *p);
void pair_close(pair_t *p);
/* False: nothing to carry. */
bool pair_pump(pair_t *p);
/* Until the client is done, or failed. The server is given what is left. */
tls_result_t pair_handshake(pair_t *p);
/* What the client reads, until it stands still or ends; a string. */
tls_result_t pair_read(pair_t *p, char *text, size_t size);
/* The server says it, and all of it is sent. */
void pair_say(pair_t *p, const char *text);

#endif
