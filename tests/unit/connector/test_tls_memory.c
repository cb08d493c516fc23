/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Memory that runs out in the middle of TLS: whatever allocation fails, no certificate is
 * taken that would not have been, nothing is said to a server that was not verified, and the
 * next connection is well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "tls_pair.h"

/* OpenSSL leaves some blocks behind when an allocation fails: not what this test counts. */
const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

#define STEP 7 /* of some thousand allocations, so that the test takes seconds */

/* ---- OpenSSL's allocations, of which one fails ------------------------------------- */

static bool is_client; /* only its allocations count, and fail */
static long count, nth;

static bool fails(void)
{
    return is_client && ++count == nth;
}

static void *fragile_malloc(size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return fails() ? NULL : malloc(n);
}

static void *fragile_realloc(void *p, size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return fails() ? NULL : realloc(p, n);
}

static void fragile_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

/* ---- a connection -------------------------------------------------------------------- */

static tls_want_t want;
static X509 *cert;

static tls_result_t shake(pair_t *p)
{
    tls_result_t r = TLS_WANTS_READ;

    for (unsigned i = 0; i < 1000 && (r == TLS_WANTS_READ || r == TLS_WANTS_WRITE); i++) {
        is_client = true;
        r = tls_handshake(p->tls);
        is_client = false;
        pair_pump(p);
        ERR_clear_error();
        SSL_do_handshake(p->ssl);
    }
    return r;
}

static tls_result_t say(pair_t *p)
{
    tls_result_t r;
    size_t n;
    char c;

    is_client = true;
    r = tls_write(p->tls, "x", 1, &n);
    if (r == TLS_DONE) {
        r = tls_read(p->tls, &c, 1, &n);
    }
    tls_shutdown(p->tls);
    is_client = false;
    return r;
}

/* That allocation fails; 0: none. */
static tls_result_t play(long which)
{
    SSL_CTX *ctx = pair_context(&cert, 1);
    tls_result_t r = TLS_FAILED;
    pair_t p;

    count = 0;
    nth = which;
    is_client = true;
    pair_open(&p, &want, NULL); /* it makes the client only */
    is_client = false;
    p.ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    SSL_set_fd(p.ssl, p.server_fd);
    SSL_set_accept_state(p.ssl);
    if (p.tls) {
        r = shake(&p);
        assert_true(r == TLS_DONE || tls_reason(p.tls)[0]);
    }
    if (r == TLS_DONE) {
        say(&p);
    }
    is_client = true;
    pair_close(&p);
    is_client = false;
    return r;
}

/* Says how many allocations there are. */
static long fail_each(tls_result_t expected)
{
    long n, failed = 0;

    assert_int_equal(play(0), expected);
    for (n = 1;; n += STEP) {
        tls_result_t r;

        want.now += 1000; /* what could not be made is tried again */
        r = play(n);
        assert_true(r == expected || r == TLS_FAILED);
        failed += r == TLS_FAILED;
        if (count < n) {
            break;
        }
    }
    want.now += 1000;
    assert_int_equal(play(0), expected);
    assert_true(failed > 10);
    return n;
}

static void a_good_server_is_lost_or_served(void **state)
{
    (void)state;
    cert = pair_good();
    want = pair_want();
    print_message("# %ld allocations\n", fail_each(TLS_DONE));
    X509_free(cert);
}

static void a_server_of_another_name_is_never_taken(void **state)
{
    (void)state;
    cert = pair_good();
    want = pair_want();
    want.domain = "other.example";
    fail_each(TLS_FAILED);
    X509_free(cert);
}

static void a_server_that_nobody_vouches_for_is_never_taken(void **state)
{
    (void)state;
    cert = pki_make(&(pki_spec_t){ .cn = "x", .names = { { PKI_DNS, "example.org", 0 } } });
    want = pair_want();
    fail_each(TLS_FAILED);
    X509_free(cert);
}

/* The file is read anew each time, and a file of which the half was read is none. */
static void authorities_are_read_whole_or_not_at_all(void **state)
{
    X509 *list[2];

    (void)state;
    list[0] = pki_make(&(pki_spec_t){ .cn = "First", .is_ca = true });
    list[1] = pair_ca;
    cert = pair_good();
    want = pair_want();
    for (long n = 1; n < 2000; n += STEP) {
        pki_write(pair_ca_file, list, 2);
        want.now += 1000;
        play(n);
        want.now += n % 5 ? 0 : 1000;
        if (n % 5 == 0) {
            assert_int_equal(play(0), TLS_DONE);
        }
    }
    X509_free(cert);
    X509_free(list[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_server_is_lost_or_served),
        cmocka_unit_test(a_server_of_another_name_is_never_taken),
        cmocka_unit_test(a_server_that_nobody_vouches_for_is_never_taken),
        cmocka_unit_test(authorities_are_read_whole_or_not_at_all),
    };

    if (!CRYPTO_set_mem_functions(fragile_malloc, fragile_realloc, fragile_free)) {
        return 1;
    }
    return cmocka_run_group_tests_name("TLS's memory", tests, pair_set_up, pair_tear_down);
}
