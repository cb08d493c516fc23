/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Whether a certificate is trusted, and for the domain: asked by OpenSSL in the middle of the
 * handshake, so that nothing of ours but greetings was sent when the answer is no, and
 * the server is told by an alert.
 */
#include <stdio.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/x509v3.h>

#include "tls_int.h"

#define MAX_NAME 120

static void add_subject(bosh_buf_t *out, X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p = NULL;
    long n;

    if (!bio) {
        return;
    }
    X509_NAME_print_ex(bio, name, 0, XN_FLAG_ONELINE & ~XN_FLAG_SPC_EQ);
    n = BIO_get_mem_data(bio, &p);
    if (n > 0) {
        tls_add_untrusted(out, p, (size_t)n, MAX_NAME);
    }
    else {
        bosh_buf_add_z(out, "somebody without a name");
    }
    BIO_free(bio);
}

static void add_date(bosh_buf_t *out, const ASN1_TIME *when)
{
    struct tm tm;
    char text[32] = "a date that is none";

    if (when && ASN1_TIME_to_tm(when, &tm) == 1) {
        strftime(text, sizeof(text), "%Y-%m-%d", &tm);
    }
    bosh_buf_add_z(out, text);
}

/* "the certificate", or who else of its chain is meant. */
static void add_whose(bosh_buf_t *out, X509 *cert, int depth)
{
    bosh_buf_add_z(out, "the certificate");
    if (depth > 0) {
        bosh_buf_add_z(out, " of ");
        add_subject(out, X509_get_subject_name(cert));
        bosh_buf_add_z(out, ", in its chain,");
    }
}

static void add_untrusted_issuer(bosh_buf_t *out, X509_STORE_CTX *sc, X509 *cert)
{
    bosh_buf_add_z(out, "the certificate was issued by an authority that is not trusted: ");
    add_subject(out, X509_get_issuer_name(cert));
    if (sk_X509_num(X509_STORE_CTX_get0_untrusted(sc)) < 2) {
        bosh_buf_add_z(out,
                       " (the server sends its own certificate only: is one between missing?)");
    }
}

static void add_error(bosh_buf_t *out, X509_STORE_CTX *sc, X509 *cert)
{
    int error = X509_STORE_CTX_get_error(sc), depth = X509_STORE_CTX_get_error_depth(sc);

    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        add_whose(out, cert, depth);
        bosh_buf_add_z(out, " expired on ");
        add_date(out, X509_get0_notAfter(cert));
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        add_whose(out, cert, depth);
        bosh_buf_add_z(out, " is not valid before ");
        add_date(out, X509_get0_notBefore(cert));
        break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        bosh_buf_add_z(out, "the certificate is self-signed, and not among those that are trusted");
        break;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: add_untrusted_issuer(out, sc, cert); break;
    case X509_V_ERR_INVALID_PURPOSE:
        add_whose(out, cert, depth);
        bosh_buf_add_z(out, depth > 0 ? " may not be used for that" : " is not for servers");
        break;
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
        bosh_buf_add_z(out, "the chain of certificates is too long");
        break;
    default:
        add_whose(out, cert, depth);
        bosh_buf_add_z(out, " is not good: ");
        bosh_buf_add_z(out, X509_verify_cert_error_string(error));
    }
}

static void say(tls_t *t, bosh_buf_t *words)
{
    tls_say(t, "%.*s", (int)words->len, words->len ? words->p : "");
    bosh_buf_free(words);
}

static void say_untrusted(tls_t *t, X509_STORE_CTX *sc)
{
    X509 *cert = X509_STORE_CTX_get_current_cert(sc);
    bosh_buf_t words;

    bosh_buf_init(&words, 0);
    add_error(&words, sc, cert ? cert : X509_STORE_CTX_get0_cert(sc));
    say(t, &words);
}

static void say_wrong_name(tls_t *t, X509 *cert)
{
    bosh_buf_t words;

    bosh_buf_init(&words, 0);
    if (tls_name_list(cert, &words) == 0) {
        tls_say(
            t, "the certificate names no domain (as subjectAltName; a common name does not count)");
    }
    else {
        tls_say(t, "the certificate is not for %s; its names are: %.*s", t->reference->name,
                (int)words.len, words.len ? words.p : "");
    }
    bosh_buf_free(&words);
}

static tls_t *owner(X509_STORE_CTX *sc)
{
    return SSL_get_app_data(
        (SSL *)X509_STORE_CTX_get_ex_data(sc, SSL_get_ex_data_X509_STORE_CTX_idx()));
}

int tls_verify(X509_STORE_CTX *sc, void *unused)
{
    tls_t *t = owner(sc);
    X509 *cert = X509_STORE_CTX_get0_cert(sc);

    (void)unused;
    if (X509_verify_cert(sc) <= 0) {
        say_untrusted(t, sc);
        return 0;
    }
    if (!t->reference || !tls_name_matches(cert, t->reference)) {
        X509_STORE_CTX_set_error(sc, X509_V_ERR_HOSTNAME_MISMATCH);
        say_wrong_name(t, cert);
        return 0;
    }
    t->is_verified = true;
    return 1;
}

int tls_verify_nothing(X509_STORE_CTX *sc, void *unused)
{
    (void)sc, (void)unused;
    return 1;
}
