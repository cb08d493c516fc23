/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Certificates for tests, made as they are needed. */
#ifndef BOSH_TEST_PKI_H
#define BOSH_TEST_PKI_H

#include <stdbool.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#define PKI_NAMES 16

/* For subjectAltName; len 0: text is NUL-terminated. */
typedef struct pki_name_t {
    enum {
        PKI_NONE,
        PKI_DNS,
        PKI_SRV,
        PKI_XMPP,
        PKI_IP,
        PKI_MAIL,
        PKI_XMPP_IA5, /* of types that the standard does not give them */
        PKI_XMPP_TRUE,
        PKI_SRV_UTF8
    } kind;
    const char *text;
    int len;
} pki_name_t;

typedef struct pki_spec_t {
    const char *cn;
    pki_name_t names[PKI_NAMES]; /* until the first PKI_NONE */
    const char *use;             /* of the key; NULL: "serverAuth" */
    long from, until;            /* seconds from now; 0: an hour ago, in an hour */
    bool is_ca;
    X509 *issuer; /* NULL: itself */
} pki_spec_t;

/* All keys are the same one. */
EVP_PKEY *pki_key(void);
X509 *pki_make(const pki_spec_t *spec);
/* One after the other, as PEM. */
void pki_write(const char *path, X509 *const *list, unsigned n);

#endif
