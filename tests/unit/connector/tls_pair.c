/* Licensed under the Apache License, Version 2.0; see LICENSE. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "tls_pair.h"

#define MAX_TURNS 2000000

char pair_dir[64], pair_ca_file[128];
X509 *pair_ca;

int pair_set_up(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN); /* of the server's */
    snprintf(pair_dir, sizeof(pair_dir), "/tmp/bosh-tls-XXXXXX");
    assert_non_null(mkdtemp(pair_dir));
    snprintf(pair_ca_file, sizeof(pair_ca_file), "%s/ca.pem", pair_dir);
    pair_ca = pki_make(&(pki_spec_t){ .cn = "The Authority", .is_ca = true });
    pki_write(pair_ca_file, &pair_ca, 1);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

int pair_tear_down(void **state)
{
    (void)state;
    X509_free(pair_ca);
    EVP_PKEY_free(pki_key());
    return nftw(pair_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS); /* also what a failed test left */
}

tls_want_t pair_want(void)
{
    return (tls_want_t){ .domain = "example.org", .ca_file = pair_ca_file, .verify = true };
}

X509 *pair_good(void)
{
    return pki_make(&(pki_spec_t){
        .cn = "server", .names = { { PKI_DNS, "example.org", 0 } }, .issuer = pair_ca });
}

SSL_CTX *pair_context(X509 *const *chain, unsigned n)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    assert_non_null(ctx);
    assert_int_equal(SSL_CTX_use_certificate(ctx, chain[0]), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, pki_key()), 1);
    for (unsigned i = 1; i < n; i++) {
        assert_int_equal(SSL_CTX_add1_chain_cert(ctx, chain[i]), 1);
    }
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
                              | SSL_MODE_NO_AUTO_CHAIN);
    return ctx;
}

static void make_pair(int *a, int *b)
{
    int fd[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
    *a = fd[0];
    *b = fd[1];
}

void pair_open(pair_t *p, const tls_want_t *want, SSL_CTX *ctx)
{
    *p = (pair_t){ 0 };
    make_pair(&p->fd, &p->wire[0]);
    make_pair(&p->wire[1], &p->server_fd);
    p->tls = tls_create(p->fd, want, &p->error);
    assert_true(!p->tls == (p->error != NULL));
    if (ctx) {
        p->ssl = SSL_new(ctx);
        SSL_CTX_free(ctx);
        SSL_set_fd(p->ssl, p->server_fd);
        SSL_set_accept_state(p->ssl);
    }
}

void pair_open_good(pair_t *p)
{
    tls_want_t want = pair_want();
    X509 *cert = pair_good();

    pair_open(p, &want, pair_context(&cert, 1));
    X509_free(cert);
    assert_int_equal(pair_handshake(p), TLS_DONE);
}

void pair_close(pair_t *p)
{
    tls_free(p->tls);
    SSL_free(p->ssl);
    ERR_clear_error();
    close(p->fd);
    close(p->wire[0]);
    close(p->wire[1]);
    if (p->server_fd >= 0) {
        close(p->server_fd);
    }
}

/* Nothing is taken that cannot be passed on. */
static size_t carry(int from, int to, size_t chunk)
{
    char buf[16384];
    ssize_t n = recv(from, buf, chunk && chunk < sizeof(buf) ? chunk : sizeof(buf), MSG_PEEK);

    if (n == 0) {
        shutdown(to, SHUT_WR);
    }
    if (n > 0) {
        n = send(to, buf, (size_t)n, MSG_NOSIGNAL);
    }
    if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
        shutdown(from, SHUT_RD);
    }
    return n > 0 ? (size_t)recv(from, buf, (size_t)n, 0) : 0;
}

bool pair_pump(pair_t *p)
{
    size_t there = carry(p->wire[0], p->wire[1], p->chunk);
    size_t back = carry(p->wire[1], p->wire[0], p->chunk);

    p->to_client += back;
    return there + back > 0;
}

tls_result_t pair_handshake(pair_t *p)
{
    tls_result_t r = TLS_WANTS_READ;

    for (unsigned i = 0; r == TLS_WANTS_READ || r == TLS_WANTS_WRITE; i++) {
        assert_true(i < MAX_TURNS);
        r = tls_handshake(p->tls);
        pair_pump(p);
        if (p->ssl) {
            ERR_clear_error();
            SSL_do_handshake(p->ssl);
        }
    }
    while (pair_pump(p)) {
        if (p->ssl) {
            ERR_clear_error();
            SSL_do_handshake(p->ssl);
        }
    }
    return r;
}

tls_result_t pair_read(pair_t *p, char *text, size_t size)
{
    tls_result_t r;
    size_t len = 0, n;
    bool moved;

    pair_pump(p);
    do {
        r = tls_read(p->tls, text + len, size - 1 - len, &n);
        len += n;
        moved = pair_pump(p);
    } while (r == TLS_DONE || (r == TLS_WANTS_READ && (moved || tls_pending(p->tls))));
    text[len] = '\0';
    return r;
}

void pair_say(pair_t *p, const char *text)
{
    ERR_clear_error();
    assert_int_equal(SSL_write(p->ssl, text, (int)strlen(text)), (int)strlen(text));
    while (pair_pump(p)) {
    }
}
