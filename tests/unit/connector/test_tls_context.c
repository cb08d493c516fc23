/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* The authorities that are trusted: files that change, or cannot be read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tls_int.h"
#include "tls_pair.h"

static bosh_msec_t now = 1000;
static char path[128];

static const char *in_dir(char *buf, size_t size, const char *name)
{
    snprintf(buf, size, "%s/%s", pair_dir, name);
    return buf;
}

/* As programs that renew certificates do: the new file takes the old one's place. */
static void put(const char *at, X509 *ca)
{
    char fresh[160];

    snprintf(fresh, sizeof(fresh), "%s.new", at);
    pki_write(fresh, &ca, 1);
    assert_int_equal(rename(fresh, at), 0);
}

static tls_want_t want_file(const char *file)
{
    return (tls_want_t){ .domain = "example.org", .ca_file = file, .verify = true, .now = now };
}

static SSL_CTX *get(const char *file)
{
    tls_want_t want = want_file(file);
    const char *error;
    SSL_CTX *ctx = tls_context(&want, &error);

    assert_true((ctx == NULL) == (error != NULL));
    return ctx;
}

static void expect_error(const tls_want_t *want, const char *words)
{
    const char *error = NULL;

    assert_null(tls_create(0, want, &error));
    if (!strstr(error, words)) {
        fail_msg("\"%s\" is not in \"%s\"", words, error);
    }
}

static tls_result_t handshake(const tls_want_t *want)
{
    X509 *cert = pair_good();
    tls_result_t r;
    pair_t p;

    pair_open(&p, want, pair_context(&cert, 1));
    assert_null(p.error);
    r = pair_handshake(&p);
    X509_free(cert);
    pair_close(&p);
    return r;
}

static void a_file_that_changed_is_read_again_within_a_second(void **state)
{
    X509 *other = pki_make(&(pki_spec_t){ .cn = "Other", .is_ca = true });
    tls_want_t want;

    (void)state;
    in_dir(path, sizeof(path), "changing.pem");
    put(path, other);
    want = want_file(path);
    assert_int_equal(handshake(&want), TLS_FAILED);
    put(path, pair_ca);
    want.now += 999;
    assert_int_equal(handshake(&want), TLS_FAILED);
    want.now += 1;
    assert_int_equal(handshake(&want), TLS_DONE);
    put(path, other); /* what is trusted no more is not trusted */
    want.now += 1000;
    assert_int_equal(handshake(&want), TLS_FAILED);
    now = want.now;
    unlink(path);
    X509_free(other);
}

static void a_handshake_goes_on_with_what_it_began_with(void **state)
{
    X509 *other = pki_make(&(pki_spec_t){ .cn = "Other", .is_ca = true });
    X509 *cert = pair_good();
    tls_want_t want;
    pair_t p;

    (void)state;
    now += 1000;
    in_dir(path, sizeof(path), "changing.pem");
    put(path, pair_ca);
    want = want_file(path);
    pair_open(&p, &want, pair_context(&cert, 1));
    put(path, other);
    now += 1000;
    assert_non_null(get(path));
    assert_int_equal(pair_handshake(&p), TLS_DONE);
    pair_close(&p);
    unlink(path);
    X509_free(cert);
    X509_free(other);
}

static void a_file_that_did_not_change_is_not_read_again(void **state)
{
    SSL_CTX *ctx = get(pair_ca_file);

    (void)state;
    now += 5000;
    assert_ptr_equal(get(pair_ca_file), ctx);
    assert_int_equal(chmod(pair_ca_file, 0600), 0); /* its inode did */
    SSL_CTX_up_ref(ctx);                            /* or the new one could have its address */
    now += 1000;
    assert_ptr_not_equal(get(pair_ca_file), ctx);
    SSL_CTX_free(ctx);
}

static void what_cannot_be_read_is_an_error_until_it_can(void **state)
{
    tls_want_t want;
    FILE *f;

    (void)state;
    now += 1000;
    in_dir(path, sizeof(path), "none.pem");
    want = want_file(path);
    expect_error(&want, "none.pem cannot be read: No such file or directory");
    f = fopen(path, "w");
    fputs("no certificate\n", f);
    fclose(f);
    expect_error(&want, "cannot be read: No such file"); /* looked at a moment ago */
    want.now += 1000;
    expect_error(&want, "no certificates of authorities can be read from ");
    want.now += 1000;
    put(path, pair_ca);
    assert_int_equal(handshake(&want), TLS_DONE);
    want.now += 1000;
    unlink(path);
    expect_error(&want, "No such file"); /* what was there does not count */
    now = want.now;
}

static void files_and_folders_are_told_apart(void **state)
{
    tls_want_t want = want_file(pair_dir);

    (void)state;
    expect_error(&want, "it is not a file");
    in_dir(path, sizeof(path), "fifo");
    assert_int_equal(mkfifo(path, 0600), 0);
    want.ca_file = path;
    expect_error(&want, "it is not a file");
    unlink(path);
    want = want_file(NULL);
    want.ca_path = pair_ca_file;
    expect_error(&want, "it is not a directory");
    want.ca_path = "/does/not/exist";
    expect_error(&want, "No such file or directory");
}

static void a_folder_of_authorities_is_one_too(void **state)
{
    tls_want_t want = want_file(NULL);
    char hashed[160], folder[128];

    (void)state;
    in_dir(folder, sizeof(folder), "folder");
    assert_int_equal(mkdir(folder, 0700), 0);
    want.ca_path = folder;
    assert_int_equal(handshake(&want), TLS_FAILED);
    snprintf(hashed, sizeof(hashed), "%s/%08lx.0", folder,
             X509_NAME_hash(X509_get_subject_name(pair_ca)));
    put(hashed, pair_ca);
    want.now = now += 1000;
    assert_int_equal(handshake(&want), TLS_DONE);
    unlink(hashed);
    want.now = now += 1000;
    assert_int_equal(handshake(&want), TLS_FAILED);
    rmdir(folder);
}

/* Of the test's own: the machine's authorities vouch for none of its servers. */
static void without_files_the_systems_authorities_count(void **state)
{
    tls_want_t want = want_file("");

    (void)state;
    want.now = now += 1000;
    assert_int_equal(handshake(&want), TLS_FAILED);
    setenv("SSL_CERT_FILE", pair_ca_file, 1);
    want.now = now += 1000;
    assert_int_equal(handshake(&want), TLS_DONE);
    unsetenv("SSL_CERT_FILE");
    want.now = now += 1000;
    assert_int_equal(handshake(&want), TLS_FAILED);
}

static void who_is_not_verified_is_kept_apart(void **state)
{
    tls_want_t want = want_file(pair_ca_file);
    const char *error;
    SSL_CTX *loose, *strict = tls_context(&want, &error);

    (void)state;
    want.verify = false;
    loose = tls_context(&want, &error);
    assert_ptr_not_equal(loose, strict);
    assert_int_equal(SSL_CTX_get_verify_mode(strict), SSL_VERIFY_PEER);
    assert_int_equal(SSL_CTX_get_verify_mode(loose), SSL_VERIFY_NONE);
}

/* More sets of authorities than have a place: those that are used stay. */
static void the_longest_unused_makes_room(void **state)
{
    char names[40][128];
    SSL_CTX *mine;

    (void)state;
    mine = get(pair_ca_file);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(names[i], sizeof(names[i]), "%s/%u.pem", pair_dir, i);
        put(names[i], pair_ca);
        assert_non_null(get(names[i]));
        assert_ptr_equal(get(pair_ca_file), mine);
    }
    for (unsigned i = 0; i < 40; i++) {
        unlink(names[i]);
    }
    assert_non_null(get(names[39])); /* still there, and not looked at */
    assert_null(get(names[0]));
}

static void what_is_demanded_of_tls_is_set(void **state)
{
    SSL_CTX *ctx = get(pair_ca_file);
    unsigned long options = (unsigned long)SSL_CTX_get_options(ctx);
    unsigned long set = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET;

    (void)state;
    assert_true(SSL_CTX_get_min_proto_version(ctx) >= TLS1_2_VERSION);
    assert_int_equal(options & set, set);
    assert_int_equal(options & SSL_OP_LEGACY_SERVER_CONNECT, 0);
    assert_int_equal(SSL_CTX_get_session_cache_mode(ctx), SSL_SESS_CACHE_OFF);
    assert_true(SSL_CTX_get_mode(ctx) & SSL_MODE_RELEASE_BUFFERS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_changed_is_read_again_within_a_second),
        cmocka_unit_test(a_handshake_goes_on_with_what_it_began_with),
        cmocka_unit_test(a_file_that_did_not_change_is_not_read_again),
        cmocka_unit_test(what_cannot_be_read_is_an_error_until_it_can),
        cmocka_unit_test(files_and_folders_are_told_apart),
        cmocka_unit_test(a_folder_of_authorities_is_one_too),
        cmocka_unit_test(without_files_the_systems_authorities_count),
        cmocka_unit_test(who_is_not_verified_is_kept_apart),
        cmocka_unit_test(the_longest_unused_makes_room),
        cmocka_unit_test(what_is_demanded_of_tls_is_set),
    };

    return cmocka_run_group_tests_name("authorities", tests, pair_set_up, pair_tear_down);
}
