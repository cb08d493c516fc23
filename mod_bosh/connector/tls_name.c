/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * For which domain a certificate is: RFC 6120 section 13.7.1, RFC 6125, RFC 9525. Of its
 * subjectAltName count
 *
 *   dNSName         example.org, or *.example.org for a.example.org, one label deep
 *   SRVName         _xmpp-client.example.org or _xmpps-client.example.org (RFC 4985)
 *   id-on-xmppAddr  example.org, with whatever letters
 *   iPAddress       if the domain is an address
 *
 * Its common name does not: anybody could be called so by an authority that checks other
 * names only. All that is compared here was written by the other side.
 */
#include <string.h>

#include <arpa/inet.h>

#include <openssl/x509v3.h>

#include "idn.h"
#include "tls_int.h"

#define SRV_NAME   "1.3.6.1.5.5.7.8.7"
#define XMPP_ADDR  "1.3.6.1.5.5.7.8.5"
#define MAX_LISTED 5
#define MAX_LENGTH 64

typedef enum kind_t { OTHER, DNS, SRV, XMPP, IP } kind_t;

/* A name of the certificate; not NUL-terminated, and it may hold NULs. */
typedef struct presented_t {
    kind_t kind;
    const char *p;
    size_t len;
} presented_t;

/* ---- the domain ----------------------------------------------------------- */

/* XMPP writes IPv6 addresses in brackets (RFC 7622 section 3.2). */
static uint8_t read_address(uint8_t ip[16], const char *domain)
{
    char text[64];
    size_t len = strlen(domain);

    if (inet_pton(AF_INET, domain, ip) == 1) {
        return 4;
    }
    if (len > 2 && domain[0] == '[' && domain[len - 1] == ']') {
        domain++;
        len -= 2;
    }
    return bosh_str_copy(text, sizeof(text), (bosh_str_t){ domain, len })
                   && inet_pton(AF_INET6, text, ip) == 1
               ? 16
               : 0;
}

bool tls_reference(reference_t *ref, const char *domain)
{
    ref->ip_len = read_address(ref->ip, domain);
    if (ref->ip_len) {
        return bosh_str_copy(ref->name, sizeof(ref->name), bosh_str(domain));
    }
    return idn_to_ascii(ref->name, sizeof(ref->name), domain, strlen(domain))
           && !strpbrk(ref->name, "*@/:[]");
}

/* ---- the certificate's names ---------------------------------------------- */

static presented_t of_string(kind_t kind, const ASN1_STRING *s)
{
    int len = ASN1_STRING_length(s);

    return (presented_t){ kind, (const char *)ASN1_STRING_get0_data(s), len > 0 ? (size_t)len : 0 };
}

static presented_t of_other(const OTHERNAME *other)
{
    char oid[64];
    int type = other->value ? other->value->type : V_ASN1_NULL;

    OBJ_obj2txt(oid, sizeof(oid), other->type_id, 1);
    if (strcmp(oid, SRV_NAME) == 0 && type == V_ASN1_IA5STRING) {
        return of_string(SRV, other->value->value.ia5string);
    }
    if (strcmp(oid, XMPP_ADDR) == 0 && type == V_ASN1_UTF8STRING) {
        return of_string(XMPP, other->value->value.utf8string);
    }
    return (presented_t){ .kind = OTHER };
}

static presented_t presented(const GENERAL_NAME *gn)
{
    switch (gn->type) {
    case GEN_DNS: return of_string(DNS, gn->d.dNSName);
    case GEN_IPADD: return of_string(IP, gn->d.iPAddress);
    case GEN_OTHERNAME: return of_other(gn->d.otherName);
    default: return (presented_t){ .kind = OTHER };
    }
}

/* ---- do they match? -------------------------------------------------------- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* z is in lower case. All len bytes count, so that a NUL among them ends nothing. */
static bool is_same(const char *p, size_t len, const char *z)
{
    if (strlen(z) != len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (lower(p[i]) != z[i]) {
            return false;
        }
    }
    return true;
}

/* The star is all of the first label and stands for one label. Two labels at least follow:
 * nobody is given all of .org. */
static bool is_wildcard_for(const char *p, size_t len, const char *name)
{
    const char *rest = strchr(name, '.');

    return len > 2 && p[0] == '*' && p[1] == '.' && memchr(p + 2, '.', len - 2) && rest
           && rest > name && is_same(p + 1, len - 1, rest);
}

static bool is_service_of(const char *p, size_t len, const char *service, const char *name)
{
    size_t n = strlen(service);
    char head[32];

    return len > n && bosh_str_copy(head, sizeof(head), (bosh_str_t){ p, n })
           && is_same(head, n, service) && is_same(p + n, len - n, name);
}

/* In the certificate it may have letters that are A-labels in ours. */
static bool is_xmpp_address(const char *p, size_t len, const char *name)
{
    char ascii[IDN_SIZE];

    return len > 0 && p[len - 1] != '.' && idn_to_ascii(ascii, sizeof(ascii), p, len)
           && is_same(ascii, strlen(ascii), name);
}

static bool matches(presented_t n, const reference_t *ref)
{
    if (ref->ip_len) {
        return n.kind == IP && n.len == ref->ip_len && memcmp(n.p, ref->ip, n.len) == 0;
    }
    switch (n.kind) {
    case DNS: return is_same(n.p, n.len, ref->name) || is_wildcard_for(n.p, n.len, ref->name);
    case SRV:
        return is_service_of(n.p, n.len, "_xmpp-client.", ref->name)
               || is_service_of(n.p, n.len, "_xmpps-client.", ref->name);
    case XMPP: return is_xmpp_address(n.p, n.len, ref->name);
    default: return false;
    }
}

static GENERAL_NAMES *names_of(X509 *cert)
{
    return X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
}

bool tls_name_matches(X509 *cert, const reference_t *ref)
{
    GENERAL_NAMES *names = names_of(cert);
    bool is_one = false;

    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !is_one; i++) {
        is_one = matches(presented(sk_GENERAL_NAME_value(names, i)), ref);
    }
    GENERAL_NAMES_free(names);
    return is_one;
}

/* ---- for the log ----------------------------------------------------------- */

static void add_name(bosh_buf_t *out, presented_t n)
{
    char text[INET6_ADDRSTRLEN];

    if (n.kind != IP) {
        tls_add_untrusted(out, n.p, n.len, MAX_LENGTH);
    }
    else if ((n.len == 4 || n.len == 16)
             && inet_ntop(n.len == 4 ? AF_INET : AF_INET6, n.p, text, sizeof(text))) {
        bosh_buf_add_z(out, text);
    }
    else {
        bosh_buf_add_z(out, "an address that is none");
    }
}

unsigned tls_name_list(X509 *cert, bosh_buf_t *out)
{
    GENERAL_NAMES *names = names_of(cert);
    unsigned n = 0;

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        presented_t name = presented(sk_GENERAL_NAME_value(names, i));

        if (name.kind == OTHER || n++ >= MAX_LISTED) {
            continue;
        }
        if (n > 1) {
            bosh_buf_add_z(out, ", ");
        }
        add_name(out, name);
    }
    if (n > MAX_LISTED) {
        bosh_buf_add_z(out, " and ");
        bosh_buf_add_uint(out, n - MAX_LISTED);
        bosh_buf_add_z(out, " more");
    }
    GENERAL_NAMES_free(names);
    return n;
}
