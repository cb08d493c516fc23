/* Licensed under the Apache License, Version 2.0; see LICENSE. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "pki.h"

#define SRV_NAME  "1.3.6.1.5.5.7.8.7"
#define XMPP_ADDR "1.3.6.1.5.5.7.8.5"

EVP_PKEY *pki_key(void)
{
    static EVP_PKEY *key;
    EVP_PKEY_CTX *ctx;

    if (!key) {
        ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, NULL);
        assert_true(EVP_PKEY_keygen_init(ctx) == 1);
        assert_true(EVP_PKEY_CTX_set_ec_paramgen_curve_nid(ctx, NID_X9_62_prime256v1) == 1);
        assert_true(EVP_PKEY_keygen(ctx, &key) == 1);
        EVP_PKEY_CTX_free(ctx);
    }
    return key;
}

static ASN1_STRING *string(int type, const pki_name_t *n)
{
    ASN1_STRING *s = ASN1_STRING_type_new(type);

    assert_true(ASN1_STRING_set(s, n->text, n->len ? n->len : (int)strlen(n->text)) == 1);
    return s;
}

static void set_other(GENERAL_NAME *gn, const char *oid, int type, const pki_name_t *n)
{
    ASN1_TYPE *value = ASN1_TYPE_new();

    ASN1_TYPE_set(value, type, type == V_ASN1_BOOLEAN ? value : (void *)string(type, n));
    assert_true(GENERAL_NAME_set0_othername(gn, OBJ_txt2obj(oid, 1), value) == 1);
}

static GENERAL_NAME *general_name(const pki_name_t *n)
{
    GENERAL_NAME *gn = GENERAL_NAME_new();

    switch (n->kind) {
    case PKI_DNS: GENERAL_NAME_set0_value(gn, GEN_DNS, string(V_ASN1_IA5STRING, n)); break;
    case PKI_MAIL: GENERAL_NAME_set0_value(gn, GEN_EMAIL, string(V_ASN1_IA5STRING, n)); break;
    case PKI_IP: GENERAL_NAME_set0_value(gn, GEN_IPADD, a2i_IPADDRESS(n->text)); break;
    case PKI_SRV: set_other(gn, SRV_NAME, V_ASN1_IA5STRING, n); break;
    case PKI_SRV_UTF8: set_other(gn, SRV_NAME, V_ASN1_UTF8STRING, n); break;
    case PKI_XMPP_IA5: set_other(gn, XMPP_ADDR, V_ASN1_IA5STRING, n); break;
    case PKI_XMPP_TRUE: set_other(gn, XMPP_ADDR, V_ASN1_BOOLEAN, n); break;
    default: set_other(gn, XMPP_ADDR, V_ASN1_UTF8STRING, n); break;
    }
    return gn;
}

static void add_names(X509 *x, const pki_name_t *names)
{
    GENERAL_NAMES *list = GENERAL_NAMES_new();

    for (unsigned i = 0; i < PKI_NAMES && names[i].kind != PKI_NONE; i++) {
        sk_GENERAL_NAME_push(list, general_name(&names[i]));
    }
    if (sk_GENERAL_NAME_num(list) > 0) {
        assert_true(X509_add1_ext_i2d(x, NID_subject_alt_name, list, 0, 0) == 1);
    }
    GENERAL_NAMES_free(list);
}

static void add_extension(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    assert_non_null(ext);
    X509_add_ext(x, ext, -1);
    X509_EXTENSION_free(ext);
}

X509 *pki_make(const pki_spec_t *spec)
{
    static long serial;
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);

    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x), spec->from ? spec->from : -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), spec->until ? spec->until : 3600);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)spec->cn, -1, -1,
                               0);
    X509_set_issuer_name(x, spec->issuer ? X509_get_subject_name(spec->issuer) : name);
    X509_set_pubkey(x, pki_key());
    add_extension(x, NID_basic_constraints, spec->is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (!spec->is_ca) {
        add_extension(x, NID_ext_key_usage, spec->use ? spec->use : "serverAuth");
    }
    add_names(x, spec->names);
    assert_true(X509_sign(x, pki_key(), EVP_sha256()) > 0);
    return x;
}

void pki_write(const char *path, X509 *const *list, unsigned n)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    for (unsigned i = 0; i < n; i++) {
        assert_true(PEM_write_X509(f, list[i]) == 1);
    }
    assert_int_equal(fclose(f), 0);
}
