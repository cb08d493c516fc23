/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* TLS to a server, over a wire that carries little at a time, breaks, or lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/err.h>

#include "tls_pair.h"

static SSL_CTX *context(void)
{
    X509 *cert = pair_good();
    SSL_CTX *ctx = pair_context(&cert, 1);

    X509_free(cert);
    return ctx;
}

static SSL_CTX *context_of_version(int version)
{
    SSL_CTX *ctx = context();

    SSL_CTX_set_min_proto_version(ctx, version);
    SSL_CTX_set_max_proto_version(ctx, version);
    SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0");
    return ctx;
}

static void open_version(pair_t *p, int version)
{
    tls_want_t want = pair_want();

    pair_open(p, &want, context_of_version(version));
    assert_int_equal(pair_handshake(p), TLS_DONE);
}

static void expect_text(pair_t *p, const char *expected, tls_result_t result)
{
    char text[256];

    assert_int_equal(pair_read(p, text, sizeof(text)), result);
    assert_string_equal(text, expected);
}

static void expect_reason(const pair_t *p, const char *words)
{
    if (!strstr(tls_reason(p->tls), words)) {
        fail_msg("\"%s\" is not in \"%s\"", words, tls_reason(p->tls));
    }
}

/* The client says it, and the server reads it. */
static void say_to_server(pair_t *p, const char *text)
{
    char got[256];
    size_t n;

    assert_int_equal(tls_write(p->tls, text, strlen(text), &n), TLS_DONE);
    assert_int_equal(n, strlen(text));
    while (pair_pump(p)) {
    }
    ERR_clear_error();
    assert_int_equal(SSL_read(p->ssl, got, sizeof(got)), (int)n);
    assert_memory_equal(got, text, n);
}

/* ---- handshakes ------------------------------------------------------------- */

static void shakes_hands_a_byte_at_a_time(void **state)
{
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
    tls_want_t want = pair_want();
    pair_t p;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        pair_open(&p, &want, context_of_version(versions[i]));
        p.chunk = 1;
        assert_int_equal(pair_handshake(&p), TLS_DONE);
        assert_string_equal(tls_version(p.tls), i == 0 ? "TLSv1.2" : "TLSv1.3");
        assert_non_null(strstr(tls_cipher(p.tls), "AES"));
        say_to_server(&p, "<stream:stream>");
        pair_say(&p, "<stream:features/>");
        expect_text(&p, "<stream:features/>", TLS_WANTS_READ);
        assert_int_equal(tls_handshake(p.tls), TLS_DONE);
        pair_close(&p);
    }
}

static void says_and_hears_nothing_before_the_handshake_is_done(void **state)
{
    tls_want_t want = pair_want();
    pair_t p;
    char c;
    size_t n = 1;

    (void)state;
    pair_open(&p, &want, context());
    assert_int_equal(tls_write(p.tls, "x", 1, &n), TLS_FAILED);
    assert_int_equal(n, 0);
    assert_int_equal(tls_read(p.tls, &c, 1, &n), TLS_FAILED);
    tls_shutdown(p.tls);
    assert_false(pair_pump(&p));
    assert_int_equal(pair_handshake(&p), TLS_DONE);
    pair_close(&p);
}

static void names_the_domain_but_no_address(void **state)
{
    static const char *const domains[][2] = { { "Example.org", "example.org" },
                                              { "b\xc3\xbc\x63her.example",
                                                "xn--bcher-kva.example" },
                                              { "192.0.2.1", NULL },
                                              { "[2001:db8::1]", NULL } };
    tls_want_t want = pair_want();
    pair_t p;

    (void)state;
    want.verify = false;
    for (unsigned i = 0; i < 4; i++) {
        const char *sni;

        want.domain = domains[i][0];
        pair_open(&p, &want, context());
        assert_int_equal(pair_handshake(&p), TLS_DONE);
        sni = SSL_get_servername(p.ssl, TLSEXT_NAMETYPE_host_name);
        assert_int_equal(sni == NULL, domains[i][1] == NULL);
        if (sni) {
            assert_string_equal(sni, domains[i][1]);
        }
        pair_close(&p);
    }
}

static char offered[64];

static int choose(SSL *ssl, const unsigned char **out, unsigned char *len, const unsigned char *in,
                  unsigned in_len, void *choice)
{
    (void)ssl;
    snprintf(offered, sizeof(offered), "%.*s", (int)in_len, (const char *)in);
    if (!choice) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = choice;
    *len = (unsigned char)strlen(choice);
    return SSL_TLSEXT_ERR_OK;
}

static tls_result_t open_with_alpn(pair_t *p, bool direct, const char *choice)
{
    tls_want_t want = pair_want();
    SSL_CTX *ctx = context();
    static char words[32];

    offered[0] = '\0';
    snprintf(words, sizeof(words), "%s", choice ? choice : "");
    SSL_CTX_set_alpn_select_cb(ctx, choose, choice ? words : NULL);
    want.direct = direct;
    pair_open(p, &want, ctx);
    return pair_handshake(p);
}

static void offers_its_protocol_to_direct_tls_only(void **state)
{
    pair_t p;

    (void)state;
    assert_int_equal(open_with_alpn(&p, true, "xmpp-client"), TLS_DONE);
    assert_string_equal(offered, "\013xmpp-client");
    pair_close(&p);
    assert_int_equal(open_with_alpn(&p, false, "xmpp-client"), TLS_DONE);
    assert_string_equal(offered, "");
    pair_close(&p);
}

static void refuses_another_protocol(void **state)
{
    pair_t p;

    (void)state;
    assert_int_equal(open_with_alpn(&p, true, "http/1.1"), TLS_FAILED);
    expect_reason(&p, "something else than xmpp-client (ALPN)");
    pair_close(&p);
    assert_int_equal(open_with_alpn(&p, true, NULL), TLS_FAILED);
    expect_reason(&p, "the server does not speak xmpp-client there (ALPN)");
    pair_close(&p);
}

/* Free of this, OpenSSL would not let the session be resumed. */
static void part_well(SSL *ssl)
{
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

/* A client of OpenSSL's own, that would like to go on with the session of the one before.
 * Says whether it did, and returns its session. */
static SSL_SESSION *visit(SSL_CTX *clients, SSL_CTX *servers, SSL_SESSION *before, bool *resumed)
{
    SSL *client = SSL_new(clients), *server = SSL_new(servers);
    SSL_SESSION *after;
    BIO *one, *other;
    char c;

    assert_int_equal(BIO_new_bio_pair(&one, 0, &other, 0), 1);
    SSL_set_bio(client, one, one);
    SSL_set_bio(server, other, other);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
    if (before) {
        assert_int_equal(SSL_set_session(client, before), 1);
    }
    for (unsigned i = 0; i < 4; i++) {
        SSL_do_handshake(client);
        SSL_do_handshake(server);
    }
    SSL_read(client, &c, 1); /* TLS 1.3: tickets */
    assert_true(SSL_is_init_finished(client) && SSL_is_init_finished(server));
    *resumed = SSL_session_reused(server);
    after = SSL_get1_session(client);
    part_well(client);
    part_well(server);
    SSL_free(client);
    SSL_free(server);
    ERR_clear_error();
    return after;
}

/* Otherwise it is the server that would not. */
static void expect_others_to_resume(SSL_CTX *servers)
{
    SSL_CTX *clients = SSL_CTX_new(TLS_client_method());
    SSL_SESSION *first, *second;
    bool resumed;

    first = visit(clients, servers, NULL, &resumed);
    assert_false(resumed);
    second = visit(clients, servers, first, &resumed);
    assert_true(resumed);
    SSL_SESSION_free(first);
    SSL_SESSION_free(second);
    SSL_CTX_free(clients);
}

/* Servers of one context: what one of them remembers, the next one knows. */
static void resumes_nothing(void **state)
{
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
    tls_want_t want = pair_want();
    pair_t p;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        SSL_CTX *ctx = context_of_version(versions[i]);

        SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"test", 4);
        expect_others_to_resume(ctx);
        for (unsigned turn = 0; turn < 3; turn++) {
            SSL_CTX_up_ref(ctx);
            pair_open(&p, &want, ctx);
            assert_int_equal(pair_handshake(&p), TLS_DONE);
            pair_say(&p, "x");
            expect_text(&p, "x", TLS_WANTS_READ);
            assert_int_equal(SSL_session_reused(p.ssl), 0);
            tls_shutdown(p.tls);
            part_well(p.ssl);
            pair_close(&p);
        }
        SSL_CTX_free(ctx);
    }
}

static void refuses_tls_1_1(void **state)
{
    /* A ServerHello that does not care for what was offered. */
    static const unsigned char hello[] = { 0x16, 3,  2, 0, 42,       2,           0,
                                           0,    38, 3, 2, [43] = 0, [44] = 0x2f, [46] = 0 };
    tls_want_t want = pair_want();
    pair_t p;

    (void)state;
    pair_open(&p, &want, context_of_version(TLS1_1_VERSION));
    assert_int_equal(pair_handshake(&p), TLS_FAILED);
    expect_reason(&p, "the server speaks no TLS 1.2 or newer");
    pair_close(&p);
    pair_open(&p, &want, NULL);
    assert_int_equal(send(p.server_fd, hello, sizeof(hello), 0), sizeof(hello));
    assert_int_equal(pair_handshake(&p), TLS_FAILED);
    expect_reason(&p, "the server speaks no TLS 1.2 or newer");
    pair_close(&p);
}

static void refuses_ciphers_without_a_certificate(void **state)
{
    tls_want_t want = pair_want();
    SSL_CTX *ctx = context_of_version(TLS1_2_VERSION);
    pair_t p;

    (void)state;
    SSL_CTX_set_cipher_list(ctx, "aNULL:@SECLEVEL=0");
    pair_open(&p, &want, ctx);
    assert_int_equal(pair_handshake(&p), TLS_FAILED);
    expect_reason(&p, "handshake_failure");
    pair_close(&p);
}

/* ---- what is not TLS ---------------------------------------------------------- */

static void expect_no_tls(const void *said, size_t len, const char *words)
{
    tls_want_t want = pair_want();
    pair_t p;

    pair_open(&p, &want, NULL);
    p.chunk = 1;
    assert_int_equal(send(p.server_fd, said, len, 0), len);
    shutdown(p.server_fd, SHUT_WR);
    assert_int_equal(pair_handshake(&p), TLS_FAILED);
    expect_reason(&p, words);
    pair_close(&p);
}

static void knows_what_is_no_tls(void **state)
{
    static const unsigned char sslv2[] = { 0x80, 0x2e, 1, 0, 2 };

    (void)state;
    expect_no_tls("<?xml version='1.0'?><stream:stream>", 36,
                  "is not TLS: it began with \"<?xml\"");
    expect_no_tls("HTTP/1.0 400 Bad Request\r\n\r\n", 28, "is not TLS: it began with \"HTTP/\"");
    expect_no_tls("\r\n\r\n\r\n", 6, "is not TLS: it began with \"\\x0d\\x0a\\x0d\\x0a\\x0d\"");
    expect_no_tls("\0\0\0\0\0\0", 6, "is not TLS");
    expect_no_tls(sslv2, sizeof(sslv2), "is not TLS");
    expect_no_tls("<", 1, "is not TLS: it began with \"<\"");
    expect_no_tls("", 0, "closed the connection in the middle of the handshake");
}

static void lives_through_garbage(void **state)
{
    unsigned char said[512];
    uint32_t seed = 12345;

    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        for (size_t j = 0; j < sizeof(said); j++) {
            seed = seed * 1664525u + 1013904223u;
            said[j] = (unsigned char)(seed >> 24);
        }
        said[0] = (unsigned char)(20 + i % 5);
        said[1] = 3;
        said[2] = 3;
        said[3] = 0;
        said[5] = i % 2 ? 2 : said[5];
        said[6] = i % 4 ? 0 : said[6];
        expect_no_tls(said, sizeof(said), "");
    }
}

static void expect_cut_at(int version, size_t at)
{
    tls_want_t want = pair_want();
    tls_result_t r = TLS_WANTS_READ;
    pair_t p;

    pair_open(&p, &want, context_of_version(version));
    p.chunk = 1;
    while (p.to_client < at && r != TLS_DONE) {
        pair_pump(&p);
        ERR_clear_error();
        SSL_do_handshake(p.ssl);
        r = tls_handshake(p.tls);
    }
    if (r != TLS_DONE) {
        shutdown(p.wire[0], SHUT_WR);
        r = tls_handshake(p.tls);
        assert_int_equal(r, TLS_FAILED);
        expect_reason(&p, "closed the connection in the middle of the handshake");
    }
    pair_close(&p);
}

static void knows_when_the_handshake_is_cut(void **state)
{
    (void)state;
    for (size_t at = 0; at < 900; at += at < 20 ? 1 : 37) {
        expect_cut_at(TLS1_2_VERSION, at);
        expect_cut_at(TLS1_3_VERSION, at);
    }
}

/* ---- ends --------------------------------------------------------------------- */

static void tells_a_goodbye_from_a_cut(void **state)
{
    pair_t p;

    (void)state;
    pair_open_good(&p);
    pair_say(&p, "last");
    SSL_shutdown(p.ssl);
    close(p.server_fd);
    p.server_fd = -1;
    expect_text(&p, "last", TLS_CLOSED);
    expect_text(&p, "", TLS_CLOSED);
    pair_close(&p);

    pair_open_good(&p);
    pair_say(&p, "last");
    close(p.server_fd);
    p.server_fd = -1;
    expect_text(&p, "last", TLS_CUT);
    expect_text(&p, "", TLS_CUT);
    expect_reason(&p, "without saying so (close_notify)");
    pair_close(&p);
}

static void cuts_within_a_record_are_cuts(void **state)
{
    pair_t p;

    (void)state;
    pair_open_good(&p);
    expect_text(&p, "", TLS_WANTS_READ);
    SSL_write(p.ssl, "message", 7);
    p.chunk = 10;
    pair_pump(&p);
    shutdown(p.wire[0], SHUT_WR);
    expect_text(&p, "", TLS_CUT);
    pair_close(&p);
}

static void still_speaks_when_the_server_has_said_goodbye(void **state)
{
    pair_t p;

    (void)state;
    pair_open_good(&p);
    SSL_shutdown(p.ssl);
    expect_text(&p, "", TLS_CLOSED);
    say_to_server(&p, "</stream:stream>");
    pair_close(&p);
}

static void says_goodbye_once(void **state)
{
    char c;
    pair_t p;

    (void)state;
    pair_open_good(&p);
    say_to_server(&p, "</stream:stream>");
    tls_shutdown(p.tls);
    assert_true(pair_pump(&p));
    tls_shutdown(p.tls);
    assert_false(pair_pump(&p));
    assert_int_equal(SSL_read(p.ssl, &c, 1), 0);
    assert_int_equal(SSL_get_error(p.ssl, 0), SSL_ERROR_ZERO_RETURN);
    pair_close(&p);
}

static void reads_what_is_left_after_a_failed_write(void **state)
{
    pair_t p;
    size_t n;

    (void)state;
    pair_open_good(&p);
    pair_say(&p, "<stream:error/>");
    close(p.wire[0]); /* what has arrived stays */
    assert_int_equal(tls_write(p.tls, "x", 1, &n), TLS_FAILED);
    expect_reason(&p, "Broken pipe");
    tls_shutdown(p.tls);
    expect_text(&p, "<stream:error/>", TLS_CUT);
    p.wire[0] = dup(p.server_fd);
    pair_close(&p);
}

/* It verifies us, and does not like what it sees: in TLS 1.3 we have spoken by then. */
static void what_the_server_said_explains_more_than_a_failed_write(void **state)
{
    tls_want_t want = pair_want();
    SSL_CTX *ctx = context_of_version(TLS1_3_VERSION);
    char text[64];
    size_t n;
    pair_t p;

    (void)state;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    pair_open(&p, &want, ctx);
    assert_int_equal(pair_handshake(&p), TLS_DONE);
    close(p.wire[0]);
    assert_int_equal(tls_write(p.tls, "x", 1, &n), TLS_FAILED);
    expect_reason(&p, "Broken pipe");
    p.wire[0] = dup(p.server_fd);
    assert_int_equal(tls_read(p.tls, text, sizeof(text), &n), TLS_FAILED);
    expect_reason(&p, "certificate required");
    pair_close(&p);
}

static void a_goodbye_in_mid_handshake_is_a_failure(void **state)
{
    static const unsigned char goodbye[] = { 21, 3, 3, 0, 2, 1, 0 };
    tls_want_t want = pair_want();
    pair_t p;

    (void)state;
    pair_open(&p, &want, NULL);
    assert_int_equal(send(p.server_fd, goodbye, sizeof(goodbye), 0), sizeof(goodbye));
    assert_int_equal(pair_handshake(&p), TLS_FAILED);
    expect_reason(&p, "goodbye in the middle of the handshake");
    pair_close(&p);
}

/* Our alert finds nobody: that is not why. */
static void a_failed_alert_is_not_the_reason(void **state)
{
    static const unsigned char odd[] = { 22, 3, 3, 0, 4, 99, 0, 0, 0 }; /* no such message */
    tls_want_t want = pair_want();
    pair_t p;

    (void)state;
    pair_open(&p, &want, NULL);
    assert_int_equal(tls_handshake(p.tls), TLS_WANTS_READ);
    assert_int_equal(send(p.wire[0], odd, sizeof(odd), 0), sizeof(odd));
    close(p.wire[0]);
    assert_int_equal(tls_handshake(p.tls), TLS_FAILED);
    assert_null(strstr(tls_reason(p.tls), "pipe"));
    p.wire[0] = dup(p.fd);
    pair_close(&p);
}

static void a_broken_record_is_a_failure(void **state)
{
    char buf[256], text[64];
    pair_t p;
    ssize_t n;

    (void)state;
    pair_open_good(&p);
    expect_text(&p, "", TLS_WANTS_READ);
    SSL_write(p.ssl, "message", 7);
    n = recv(p.wire[1], buf, sizeof(buf), 0);
    buf[n - 1] ^= 1;
    assert_int_equal(send(p.wire[0], buf, (size_t)n, 0), n);
    assert_int_equal(pair_read(&p, text, sizeof(text)), TLS_FAILED);
    expect_reason(&p, "TLS failed: ");
    pair_close(&p);
}

/* ---- many bytes ----------------------------------------------------------------- */

#define MANY 1000000

/* Both speak at once, and the wire is slow. */
typedef struct transfer_t {
    pair_t p;
    size_t sent, received, server_sent, server_received;
    unsigned full; /* how often the client had to wait to write */
    unsigned in_flight;
} transfer_t;

static char byte_at(size_t i, unsigned salt)
{
    return (char)((i * 2654435761u >> 7) + salt);
}

static void fill(char *p, size_t len, size_t from, unsigned salt)
{
    for (size_t i = 0; i < len; i++) {
        p[i] = byte_at(from + i, salt);
    }
}

static void check(const char *p, size_t len, size_t from, unsigned salt)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] != byte_at(from + i, salt)) {
            fail_msg("byte %zu is wrong", from + i);
        }
    }
}

/* Each try stands elsewhere, and is longer than the one before. */
static void client_writes(transfer_t *t)
{
    size_t len = 20000 + (t->full % 64) * 500, n;
    char *copy;
    tls_result_t r;

    len = len < MANY - t->sent ? len : MANY - t->sent;
    if (len == 0) {
        return;
    }
    copy = malloc(len);
    fill(copy, len, t->sent, 1);
    r = tls_write(t->p.tls, copy, len, &n);
    assert_true(r == TLS_DONE || r == TLS_WANTS_WRITE);
    assert_true(r != TLS_DONE || n == len);
    t->full = r == TLS_WANTS_WRITE && n == 0 ? t->full + 1 : t->full - t->full % 64;
    t->in_flight += r == TLS_WANTS_WRITE;
    t->sent += n;
    memset(copy, 0, len);
    free(copy);
}

static void client_reads(transfer_t *t)
{
    char buf[5000];
    size_t n;
    tls_result_t r = tls_read(t->p.tls, buf, sizeof(buf), &n);

    assert_true(r == TLS_DONE || r == TLS_WANTS_READ);
    check(buf, n, t->received, 2);
    t->received += n;
}

static void server_turn(transfer_t *t)
{
    char buf[16384];
    size_t len = MANY - t->server_sent;
    int n;

    len = len < sizeof(buf) ? len : sizeof(buf);
    ERR_clear_error();
    if (len > 0) {
        fill(buf, len, t->server_sent, 2);
        n = SSL_write(t->p.ssl, buf, (int)len);
        t->server_sent += n > 0 ? (size_t)n : 0;
    }
    ERR_clear_error();
    n = SSL_read(t->p.ssl, buf, sizeof(buf));
    if (n > 0) {
        check(buf, (size_t)n, t->server_received, 1);
        t->server_received += (size_t)n;
    }
}

static void shrink(const pair_t *p)
{
    int fds[] = { p->fd, p->wire[0], p->wire[1], p->server_fd }, size = 4096;

    for (unsigned i = 0; i < 4; i++) {
        setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    }
}

static void transfer(int version, bool updates)
{
    transfer_t t = { 0 };

    open_version(&t.p, version);
    shrink(&t.p);
    t.p.chunk = 3000;
    for (unsigned i = 0; t.received < MANY || t.server_received < MANY; i++) {
        assert_true(i < 100000);
        if (updates && i % 50 == 0) {
            SSL_key_update(t.p.ssl, SSL_KEY_UPDATE_REQUESTED);
        }
        client_writes(&t);
        pair_pump(&t.p);
        server_turn(&t);
        client_reads(&t);
    }
    assert_true(t.in_flight > 50);
    pair_close(&t.p);
}

static void carries_much_both_ways_at_once(void **state)
{
    (void)state;
    transfer(TLS1_2_VERSION, false);
    transfer(TLS1_3_VERSION, false);
}

static void changes_keys_while_it_carries(void **state)
{
    (void)state;
    transfer(TLS1_3_VERSION, true);
}

static void small_reads_are_told_by_pending(void **state)
{
    char buf[4];
    size_t n;
    pair_t p;

    (void)state;
    pair_open_good(&p);
    expect_text(&p, "", TLS_WANTS_READ);
    assert_false(tls_pending(p.tls));
    pair_say(&p, "abcdefghij");
    assert_int_equal(tls_read(p.tls, buf, 4, &n), TLS_DONE);
    assert_int_equal(n, 4);
    assert_true(tls_pending(p.tls));
    expect_text(&p, "efghij", TLS_WANTS_READ);
    assert_false(tls_pending(p.tls));
    pair_close(&p);
}

/* A goodbye in the middle of a record would be read as part of it. */
static void says_no_goodbye_within_a_record(void **state)
{
    static char much[100000];
    char buf[16384];
    size_t n, got = 0;
    pair_t p;
    int len;

    (void)state;
    pair_open_good(&p);
    shrink(&p);
    assert_int_equal(tls_write(p.tls, much, sizeof(much), &n), TLS_WANTS_WRITE);
    tls_shutdown(p.tls);
    for (unsigned i = 0; i < 100; i++) {
        pair_pump(&p);
        ERR_clear_error();
        len = SSL_read(p.ssl, buf, sizeof(buf));
        got += len > 0 ? (size_t)len : 0;
        assert_true(len > 0 || SSL_get_error(p.ssl, len) == SSL_ERROR_WANT_READ);
    }
    assert_int_equal(got, n);
    pair_close(&p);
}

/* ---- floods, tricks ------------------------------------------------------------- */

static void does_not_renegotiate(void **state)
{
    char c;
    pair_t p;

    (void)state;
    open_version(&p, TLS1_2_VERSION);
    assert_int_equal(SSL_renegotiate(p.ssl), 1);
    ERR_clear_error();
    SSL_do_handshake(p.ssl);
    expect_text(&p, "", TLS_WANTS_READ);
    ERR_clear_error();
    assert_true(SSL_read(p.ssl, &c, 1) < 0); /* no ClientHello, but our refusal */
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
    pair_close(&p);
}

/* Our answer goes with what we write next. */
static void changes_its_keys_when_it_is_asked_to(void **state)
{
    pair_t p;

    (void)state;
    open_version(&p, TLS1_3_VERSION);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(SSL_key_update(p.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        pair_say(&p, "new keys");
        expect_text(&p, "new keys", TLS_WANTS_READ);
        say_to_server(&p, "here too");
    }
    pair_close(&p);
}

#if OPENSSL_VERSION_NUMBER >= 0x30000000L
#define TICKETS 100

/* No call looks at all of them. */
static void is_not_held_by_a_flood_of_tickets(void **state)
{
    char text[64];
    unsigned calls = 0, pending = 0;
    size_t n = 0;
    pair_t p;

    (void)state;
    open_version(&p, TLS1_3_VERSION);
    for (unsigned i = 0; i < TICKETS; i++) {
        SSL_new_session_ticket(p.ssl);
        SSL_do_handshake(p.ssl);
        pair_pump(&p);
    }
    pair_say(&p, "at last");
    while (n == 0 && calls < 1000) {
        tls_result_t r = tls_read(p.tls, text, sizeof(text), &n);

        pair_pump(&p);
        assert_true(r == TLS_DONE || r == TLS_WANTS_READ);
        pending += tls_pending(p.tls);
        calls++;
    }
    assert_memory_equal(text, "at last", 7);
    assert_true(calls >= TICKETS / 16);
    assert_true(pending >= TICKETS / 16 - 1);
    assert_false(tls_pending(p.tls));
    pair_close(&p);
}
#endif

/* ---- what it costs ---------------------------------------------------------------- */

#define IDLE           200
#define IDLE_MAX_BYTES 40000

/* Servers that shake hands with whoever comes through the sockets, until they are closed. */
static pid_t fork_servers(int (*fds)[2])
{
    SSL_CTX *ctx = context();
    pid_t pid = fork();

    for (unsigned i = 0; pid == 0 && i < IDLE; i++) {
        SSL *ssl = SSL_new(ctx);
        char c;

        SSL_set_fd(ssl, fds[i][1]);
        if (SSL_accept(ssl) != 1 || SSL_write(ssl, "x", 1) != 1 || SSL_read(ssl, &c, 1) != 1) {
            _exit(1);
        }
    }
    if (pid == 0) {
        _exit(0);
    }
    SSL_CTX_free(ctx);
    return pid;
}

static tls_t *begin_idle(int fd)
{
    tls_want_t want = pair_want();
    const char *error;
    tls_t *t = tls_create(fd, &want, &error);
    size_t n;
    char c;

    assert_non_null(t);
    while (tls_handshake(t) == TLS_WANTS_READ) {
    }
    while (tls_read(t, &c, 1, &n) == TLS_WANTS_READ) {
    }
    assert_int_equal(n, 1);
    assert_int_equal(tls_write(t, "y", 1, &n), TLS_DONE);
    return t;
}

/* What the process has allocated; 0: nobody counts. */
static size_t heap(void)
{
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
    return mallinfo2().uordblks; /* 0 with a sanitizer's malloc() */
#else
    return 0;
#endif
}

static void an_idle_connection_costs_little(void **state)
{
    static int fds[IDLE][2];
    static tls_t *all[IDLE];
    size_t before, bytes;
    int status;
    pid_t pid;

    (void)state;
    for (unsigned i = 0; i < IDLE; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds[i]), 0);
    }
    pid = fork_servers(fds);
    all[0] = begin_idle(fds[0][0]); /* what is made once */
    before = heap();
    for (unsigned i = 1; i < IDLE; i++) {
        all[i] = begin_idle(fds[i][0]);
    }
    bytes = (heap() - before) / (IDLE - 1);
    print_message("# an idle connection costs %zu bytes\n", bytes);
    assert_true(bytes < IDLE_MAX_BYTES);
    for (unsigned i = 0; i < IDLE; i++) {
        tls_free(all[i]);
        close(fds[i][0]);
        close(fds[i][1]);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shakes_hands_a_byte_at_a_time),
        cmocka_unit_test(says_and_hears_nothing_before_the_handshake_is_done),
        cmocka_unit_test(names_the_domain_but_no_address),
        cmocka_unit_test(offers_its_protocol_to_direct_tls_only),
        cmocka_unit_test(refuses_another_protocol),
        cmocka_unit_test(resumes_nothing),
        cmocka_unit_test(refuses_tls_1_1),
        cmocka_unit_test(refuses_ciphers_without_a_certificate),
        cmocka_unit_test(knows_what_is_no_tls),
        cmocka_unit_test(lives_through_garbage),
        cmocka_unit_test(knows_when_the_handshake_is_cut),
        cmocka_unit_test(tells_a_goodbye_from_a_cut),
        cmocka_unit_test(cuts_within_a_record_are_cuts),
        cmocka_unit_test(still_speaks_when_the_server_has_said_goodbye),
        cmocka_unit_test(says_goodbye_once),
        cmocka_unit_test(reads_what_is_left_after_a_failed_write),
        cmocka_unit_test(what_the_server_said_explains_more_than_a_failed_write),
        cmocka_unit_test(a_goodbye_in_mid_handshake_is_a_failure),
        cmocka_unit_test(a_failed_alert_is_not_the_reason),
        cmocka_unit_test(a_broken_record_is_a_failure),
        cmocka_unit_test(carries_much_both_ways_at_once),
        cmocka_unit_test(changes_keys_while_it_carries),
        cmocka_unit_test(small_reads_are_told_by_pending),
        cmocka_unit_test(says_no_goodbye_within_a_record),
        cmocka_unit_test(does_not_renegotiate),
        cmocka_unit_test(changes_its_keys_when_it_is_asked_to),
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
        cmocka_unit_test(is_not_held_by_a_flood_of_tickets),
#endif
        cmocka_unit_test(an_idle_connection_costs_little),
    };

    return cmocka_run_group_tests_name("TLS to a server", tests, pair_set_up, pair_tear_down);
}
