/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Certificates, good and bad, each in a real handshake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

#include "tls_pair.h"

/* BÜCHER's small letters, as UTF-8 and in ASCII. */
#define BUECHER       "b\xc3\xbc\x63her.example"
#define BUECHER_ASCII "xn--bcher-kva.example"
#define DAY           86400L

/* The handshake's end with a chain; NULL: it is well. Else what the reason has to hold. */
static void expect_chain(X509 *const *chain, unsigned n, const tls_want_t *want, const char *reason)
{
    pair_t p;
    char text[64];
    tls_result_t r;

    pair_open(&p, want, pair_context(chain, n));
    assert_null(p.error);
    r = pair_handshake(&p);
    if (reason) {
        assert_int_equal(r, TLS_FAILED);
        if (!strstr(tls_reason(p.tls), reason)) {
            fail_msg("\"%s\" is not in \"%s\"", reason, tls_reason(p.tls));
        }
        /* The server was told by an alert, and has got nothing else. */
        assert_false(SSL_is_init_finished(p.ssl));
        assert_int_equal(tls_handshake(p.tls), TLS_FAILED);
        assert_int_equal(tls_write(p.tls, "x", 1, &(size_t){ 0 }), TLS_FAILED);
    }
    else {
        if (r != TLS_DONE) {
            fail_msg("%s", tls_reason(p.tls));
        }
        pair_say(&p, "hello");
        assert_int_equal(pair_read(&p, text, sizeof(text)), TLS_WANTS_READ);
        assert_string_equal(text, "hello");
    }
    pair_close(&p);
}

static void expect(const pki_spec_t *spec, const char *domain, const char *reason)
{
    pki_spec_t s = *spec;
    tls_want_t want = pair_want();
    X509 *cert;

    s.cn = s.cn ? s.cn : "server";
    s.issuer = s.issuer ? s.issuer : pair_ca;
    want.domain = domain;
    cert = pki_make(&s);
    expect_chain(&cert, 1, &want, reason);
    X509_free(cert);
}

/* One name only. */
static void expect_name(int kind, const char *name, const char *domain, bool is_good)
{
    pki_spec_t spec = { .names = { { kind, name, 0 } } };

    expect(&spec, domain, is_good ? NULL : "the certificate is not for ");
}

/* ---- names ---------------------------------------------------------------- */

static void takes_the_domain_as_dns_name(void **state)
{
    (void)state;
    expect_name(PKI_DNS, "example.org", "example.org", true);
    expect_name(PKI_DNS, "EXAMPLE.org", "example.ORG.", true);
    expect_name(PKI_DNS, "xmpp.example.org", "example.org", false);
    expect_name(PKI_DNS, "example.org", "im.example.org", false);
    expect_name(PKI_DNS, "example.org.", "example.org", false);
    expect_name(PKI_DNS, "", "example.org", false);
    expect_name(PKI_DNS, "localhost", "localhost", true);
    expect_name(PKI_DNS, BUECHER_ASCII, BUECHER, true);
    expect_name(PKI_DNS, BUECHER_ASCII, BUECHER_ASCII, true);
    expect_name(PKI_DNS, BUECHER, BUECHER, false);
}

static void takes_a_star_for_one_whole_label(void **state)
{
    (void)state;
    expect_name(PKI_DNS, "*.example.org", "im.example.org", true);
    expect_name(PKI_DNS, "*.Example.org", "IM.example.org", true);
    expect_name(PKI_DNS, "*.example.org", "example.org", false);
    expect_name(PKI_DNS, "*.example.org", "a.b.example.org", false);
    expect_name(PKI_DNS, "i*.example.org", "im.example.org", false);
    expect_name(PKI_DNS, "*m.example.org", "im.example.org", false);
    expect_name(PKI_DNS, "im.*.org", "im.example.org", false);
    expect_name(PKI_DNS, "*.*.org", "im.example.org", false);
    expect_name(PKI_DNS, "*.org", "example.org", false);
    expect_name(PKI_DNS, "*", "localhost", false);
    expect_name(PKI_DNS, "*.", "localhost", false);
}

static void takes_the_domain_as_srv_name_of_a_client_service(void **state)
{
    (void)state;
    expect_name(PKI_SRV, "_xmpp-client.example.org", "example.org", true);
    expect_name(PKI_SRV, "_XMPPS-client.EXAMPLE.org", "example.org", true);
    expect_name(PKI_SRV, "_xmpp-server.example.org", "example.org", false);
    expect_name(PKI_SRV, "_xmpp-client.im.example.org", "example.org", false);
    expect_name(PKI_SRV, "_xmpp-client.*.example.org", "im.example.org", false);
    expect_name(PKI_SRV, "example.org", "example.org", false);
    expect_name(PKI_SRV, "_xmpp-client.", "example.org", false);
    expect_name(PKI_DNS, "_xmpp-client.example.org", "example.org", false);
}

static void takes_the_domain_as_xmpp_address(void **state)
{
    (void)state;
    expect_name(PKI_XMPP, "example.org", "example.org", true);
    expect_name(PKI_XMPP, "Example.org", "example.org", true);
    expect_name(PKI_XMPP, BUECHER, BUECHER, true);
    expect_name(PKI_XMPP, BUECHER, BUECHER_ASCII, true);
    expect_name(PKI_XMPP, BUECHER_ASCII, BUECHER, true);
    expect_name(PKI_XMPP, "someone@example.org", "example.org", false);
    expect_name(PKI_XMPP, "example.org/home", "example.org", false);
    expect_name(PKI_XMPP, "*.example.org", "im.example.org", false);
    expect_name(PKI_XMPP, "example.org.", "example.org", false);
    expect_name(PKI_XMPP, "bucher.example", BUECHER, false);
    expect_name(PKI_XMPP, "b\xfc\x63her.example", BUECHER, false);
}

static void takes_an_address_for_an_address_only(void **state)
{
    (void)state;
    expect_name(PKI_IP, "192.0.2.1", "192.0.2.1", true);
    expect_name(PKI_IP, "192.0.2.2", "192.0.2.1", false);
    expect_name(PKI_DNS, "192.0.2.1", "192.0.2.1", false);
    expect_name(PKI_XMPP, "192.0.2.1", "192.0.2.1", false);
    expect_name(PKI_IP, "2001:db8::1", "[2001:db8:0::1]", true);
    expect_name(PKI_IP, "2001:db8::1", "2001:db8::1", true);
    expect_name(PKI_IP, "2001:db8::2", "[2001:db8::1]", false);
    expect_name(PKI_IP, "192.0.2.1", "[::ffff:192.0.2.1]", false);
    expect_name(PKI_IP, "192.0.2.1", "example.org", false);
}

static void refuses_names_with_a_nul(void **state)
{
    (void)state;
    for (int kind = PKI_DNS; kind <= PKI_XMPP; kind++) {
        const char *start = kind == PKI_SRV ? "_xmpp-client." : "";
        char name[64];
        int len = snprintf(name, sizeof(name), "%sexample.org%c.evil.example", start, 0);
        pki_spec_t spec = { .names = { { kind, name, len } } };

        expect(&spec, "example.org", "example.org\\x00.evil.example");
        spec.names[0].len = (int)strlen(start) + 12; /* the NUL is its end */
        expect(&spec, "example.org", "example.org\\x00");
    }
}

static void refuses_names_of_another_type(void **state)
{
    static const int kinds[] = { PKI_XMPP_IA5, PKI_XMPP_TRUE, PKI_SRV_UTF8 };

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        const char *name = kinds[i] == PKI_SRV_UTF8 ? "_xmpp-client.example.org" : "example.org";
        pki_spec_t spec = { .names = { { kinds[i], name, 0 } } };

        expect(&spec, "example.org", "names no domain");
    }
}

static void takes_one_good_name_among_others(void **state)
{
    pki_spec_t spec = { .cn = "other.example",
                        .names = { { PKI_MAIL, "a@example.org", 0 },
                                   { PKI_IP, "192.0.2.1", 0 },
                                   { PKI_DNS, "other.example", 0 },
                                   { PKI_DNS, "example.org", 0 } } };

    (void)state;
    expect(&spec, "example.org", NULL);
}

static void never_takes_the_common_name(void **state)
{
    pki_spec_t spec = { .cn = "example.org" };

    (void)state;
    expect(&spec, "example.org", "names no domain");
    spec.names[0] = (pki_name_t){ PKI_MAIL, "a@example.org", 0 };
    expect(&spec, "example.org", "names no domain");
    spec.names[0] = (pki_name_t){ PKI_DNS, "other.example", 0 };
    expect(&spec, "example.org", "its names are: other.example");
}

static void tells_some_of_the_names_and_nothing_else(void **state)
{
    static char longest[1001];
    pki_spec_t spec = { .names = { { PKI_DNS, "a\x1b[31m\r\nb\\", 0 },
                                   { PKI_DNS, longest, 0 },
                                   { PKI_SRV, "_xmpp-server.x", 0 },
                                   { PKI_XMPP, BUECHER, 0 },
                                   { PKI_IP, "2001:db8::1", 0 },
                                   { PKI_DNS, "sixth.example", 0 },
                                   { PKI_DNS, "seventh.example", 0 } } };

    (void)state;
    memset(longest, 'x', 1000);
    expect(&spec, "example.org",
           "the certificate is not for example.org; its names are: "
           "a\\x1b[31m\\x0d\\x0ab\\x5c, "
           "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..., "
           "_xmpp-server.x, b\\xc3\\xbccher.example, 2001:db8::1 and 2 more");
}

/* ---- trust ---------------------------------------------------------------- */

static const pki_spec_t good = { .cn = "server", .names = { { PKI_DNS, "example.org", 0 } } };

static void tells_the_day_of_a_certificate_that_is_not_of_today(void **state)
{
    pki_spec_t spec = good;
    char words[64];
    time_t now = time(NULL), then;

    (void)state;
    spec.from = -20 * DAY;
    spec.until = -10 * DAY;
    then = now + spec.until;
    strftime(words, sizeof(words), "the certificate expired on %Y-%m-%d", gmtime(&then));
    expect(&spec, "example.org", words);
    spec.from = 10 * DAY;
    spec.until = 20 * DAY;
    then = now + spec.from;
    strftime(words, sizeof(words), "the certificate is not valid before %Y-%m-%d", gmtime(&then));
    expect(&spec, "example.org", words);
}

static void refuses_who_vouches_for_himself(void **state)
{
    tls_want_t want = pair_want();
    X509 *cert = pki_make(&good);

    (void)state;
    expect_chain(&cert, 1, &want, "self-signed");
    X509_free(cert);
}

static void takes_the_very_certificate_that_was_given_to_be_trusted(void **state)
{
    tls_want_t want = pair_want();
    X509 *cert = pki_make(&good);
    char path[128];

    (void)state;
    snprintf(path, sizeof(path), "%s/own.pem", pair_dir);
    pki_write(path, &cert, 1);
    want.ca_file = path;
    expect_chain(&cert, 1, &want, NULL);
    X509_free(cert);
    remove(path);
}

static void refuses_another_authority(void **state)
{
    X509 *ca = pki_make(&(pki_spec_t){ .cn = "Somebody\nElse", .is_ca = true });
    X509 *twin = pki_make(&(pki_spec_t){ .cn = "The Authority", .is_ca = true });
    pki_spec_t spec = good;

    (void)state;
    spec.issuer = ca;
    expect(&spec, "example.org",
           "issued by an authority that is not trusted: CN=Somebody\\x5c0AElse");
    X509_free(ca);
    X509_free(twin);
}

static void refuses_what_is_for_clients_only(void **state)
{
    pki_spec_t spec = good;

    (void)state;
    spec.use = "clientAuth";
    expect(&spec, "example.org", "is not for servers");
    spec.use = "clientAuth,serverAuth";
    expect(&spec, "example.org", NULL);
}

static void needs_the_authority_between(void **state)
{
    tls_want_t want = pair_want();
    pki_spec_t spec = good;
    X509 *chain[2];
    char path[128];

    (void)state;
    chain[1] = pki_make(&(pki_spec_t){ .cn = "Between", .is_ca = true, .issuer = pair_ca });
    spec.issuer = chain[1];
    chain[0] = pki_make(&spec);
    expect_chain(chain, 2, &want, NULL);
    expect_chain(chain, 1, &want,
                 "not trusted: CN=Between (the server sends its own certificate only");
    snprintf(path, sizeof(path), "%s/between.pem", pair_dir);
    pki_write(path, &chain[1], 1);
    want.ca_file = path; /* trusted itself: nothing is missing */
    expect_chain(chain, 1, &want, NULL);
    X509_free(chain[0]);
    X509_free(chain[1]);
    remove(path);
}

static void refuses_an_authority_between_that_is_none(void **state)
{
    tls_want_t want = pair_want();
    pki_spec_t spec = good;
    X509 *chain[2];

    (void)state;
    chain[1] = pki_make(&(pki_spec_t){ .cn = "No Authority", .issuer = pair_ca });
    spec.issuer = chain[1];
    chain[0] = pki_make(&spec);
    expect_chain(chain, 2, &want, "CN=No Authority");
    X509_free(chain[0]);
    X509_free(chain[1]);
}

static void refuses_an_expired_authority_between(void **state)
{
    tls_want_t want = pair_want();
    pki_spec_t spec = good;
    X509 *chain[2];

    (void)state;
    chain[1] = pki_make(&(pki_spec_t){
        .cn = "Old", .is_ca = true, .issuer = pair_ca, .from = -20 * DAY, .until = -10 * DAY });
    spec.issuer = chain[1];
    chain[0] = pki_make(&spec);
    expect_chain(chain, 2, &want, "the certificate of CN=Old, in its chain, expired on ");
    X509_free(chain[0]);
    X509_free(chain[1]);
}

static void expect_long_chain(unsigned n, const char *reason)
{
    tls_want_t want = pair_want();
    X509 *chain[100];
    char cn[65];

    chain[n - 1] = pki_make(&(pki_spec_t){ .cn = "CA", .is_ca = true, .issuer = pair_ca });
    for (unsigned i = n - 1; i-- > 1;) {
        snprintf(cn, sizeof(cn), "%064u", i);
        chain[i] = pki_make(&(pki_spec_t){ .cn = cn, .is_ca = true, .issuer = chain[i + 1] });
    }
    chain[0] = pki_make(
        &(pki_spec_t){ .cn = "x", .names = { { PKI_DNS, "example.org", 0 } }, .issuer = chain[1] });
    expect_chain(chain, n, &want, reason);
    for (unsigned i = 0; i < n; i++) {
        X509_free(chain[i]);
    }
}

static void takes_no_chain_without_end(void **state)
{
    (void)state;
    expect_long_chain(5, NULL);
    expect_long_chain(20, "the chain of certificates is too long");
    expect_long_chain(100, "too large");
}

static void takes_anything_if_it_is_told_to(void **state)
{
    tls_want_t want = pair_want();
    pki_spec_t spec = { .cn = "anybody", .use = "clientAuth", .until = -1800 };
    X509 *cert = pki_make(&spec);

    (void)state;
    want.verify = false;
    expect_chain(&cert, 1, &want, NULL);
    want.ca_file = "/does/not/exist"; /* and asks nobody */
    expect_chain(&cert, 1, &want, NULL);
    X509_free(cert);
}

static void refuses_a_domain_that_is_none(void **state)
{
    static const char *const domains[] = { "",    ".",    "a b", "*.example.org",
                                           "a@b", "[::1", "a/b", "\xff" };
    tls_want_t want = pair_want();
    const char *error = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(domains) / sizeof(*domains); i++) {
        want.domain = domains[i];
        assert_null(tls_create(0, &want, &error));
        assert_non_null(strstr(error, "no name"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_domain_as_dns_name),
        cmocka_unit_test(takes_a_star_for_one_whole_label),
        cmocka_unit_test(takes_the_domain_as_srv_name_of_a_client_service),
        cmocka_unit_test(takes_the_domain_as_xmpp_address),
        cmocka_unit_test(takes_an_address_for_an_address_only),
        cmocka_unit_test(refuses_names_with_a_nul),
        cmocka_unit_test(refuses_names_of_another_type),
        cmocka_unit_test(takes_one_good_name_among_others),
        cmocka_unit_test(never_takes_the_common_name),
        cmocka_unit_test(tells_some_of_the_names_and_nothing_else),
        cmocka_unit_test(tells_the_day_of_a_certificate_that_is_not_of_today),
        cmocka_unit_test(refuses_who_vouches_for_himself),
        cmocka_unit_test(takes_the_very_certificate_that_was_given_to_be_trusted),
        cmocka_unit_test(refuses_another_authority),
        cmocka_unit_test(refuses_what_is_for_clients_only),
        cmocka_unit_test(needs_the_authority_between),
        cmocka_unit_test(refuses_an_authority_between_that_is_none),
        cmocka_unit_test(refuses_an_expired_authority_between),
        cmocka_unit_test(takes_no_chain_without_end),
        cmocka_unit_test(takes_anything_if_it_is_told_to),
        cmocka_unit_test(refuses_a_domain_that_is_none),
    };

    return cmocka_run_group_tests_name("servers' certificates", tests, pair_set_up, pair_tear_down);
}
