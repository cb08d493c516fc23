/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * BoshDomain: names of XMPP domains, and the address that may follow one. Whatever is
 * let through here can be connected to, so everything that is not plainly right is
 * refused.
 */
#include "config_int.h"

#include <arpa/inet.h>
#include <string.h>

#include "apr_lib.h"
#include "apr_strings.h"

#define MAX_NAME     253 /* RFC 1035: 255 bytes on the wire */
#define MAX_LABEL    63
#define DEFAULT_PORT 5222
#define SCHEME       "xmpp://"

/* Beyond ASCII a domain name consists of letters, marks and digits. These ranges hold
 * what is none of them and would be mistaken for something else: controls, spaces, other
 * full stops, slashes and commercial ats, invisible and private characters. */
static const struct {
    unsigned first, last;
} refused_chars[] = {
    { 0x80, 0xb6 },     { 0xb8, 0xbf },        { 0x1680, 0x1680 }, { 0x180e, 0x180e },
    { 0x2000, 0x200b }, { 0x200e, 0x206f },    { 0x2100, 0x214f }, { 0x2190, 0x2bff },
    { 0x3000, 0x3004 }, { 0xe000, 0xf8ff },    { 0xfe00, 0xfe0f }, { 0xfe30, 0xfe6f },
    { 0xfeff, 0xffff }, { 0xe0000, 0x10ffff },
};

/* The character at *at, which is known to begin valid UTF-8; *at moves behind it. */
static unsigned next_char(const char **at)
{
    const unsigned char *p = (const unsigned char *)*at;
    unsigned more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : *p >= 0xc0 ? 1 : 0;
    unsigned c = more ? *p & (0x3fu >> more) : *p;

    for (unsigned i = 1; i <= more; i++) {
        c = c << 6 | (p[i] & 0x3fu);
    }
    *at += more + 1;
    return c;
}

static bool is_label_char(unsigned c)
{
    if (c < 0x80) {
        return apr_isalnum((char)c) || c == '-';
    }
    for (size_t i = 0; i < sizeof(refused_chars) / sizeof(refused_chars[0]); i++) {
        if (c >= refused_chars[i].first && c <= refused_chars[i].last) {
            return false;
        }
    }
    return true;
}

static bool is_label(const char *label, size_t len)
{
    const char *end = label + len;

    if (len == 0 || len > MAX_LABEL || label[0] == '-' || end[-1] == '-') {
        return false;
    }
    while (label < end) {
        if (!is_label_char(next_char(&label))) {
            return false;
        }
    }
    return true;
}

/* Labels with dots between them; ASCII or UTF-8. */
static bool is_name(const char *name)
{
    if (!bosh_utf8_valid(bosh_str(name)) || strlen(name) > MAX_NAME) {
        return false;
    }
    for (;;) {
        size_t len = strcspn(name, ".");

        if (!is_label(name, len)) {
            return false;
        }
        if (!name[len]) {
            return true;
        }
        name += len + 1;
    }
}

/* A name whose last label looks like a number is read as an IPv4 address by somebody
 * (inet_aton and all that calls it), so it has to be one, in the usual form. */
static bool is_numeric(const char *host)
{
    const char *last = strrchr(host, '.');

    last = last ? last + 1 : host;
    if (last[0] == '0' && last[1] == 'x') {
        return last[2 + strspn(last + 2, "0123456789abcdef")] == '\0';
    }
    return last[strspn(last, "0123456789")] == '\0';
}

/* A name, or an IPv4 address. */
static bool is_host(const char *host)
{
    struct in_addr in;

    return is_numeric(host) ? inet_pton(AF_INET, host, &in) == 1 : is_name(host);
}

/* Lower case (ASCII letters only: IDNA does the rest, if anybody does), and without the
 * dot of a fully qualified name. */
static char *normalised(apr_pool_t *p, const char *text, size_t len)
{
    char *name = apr_pstrmemdup(p, text, len);

    ap_str_tolower(name);
    if (len > 1 && name[len - 1] == '.') {
        name[len - 1] = '\0';
    }
    return name;
}

const char *bosh_config_parse_domain(apr_pool_t *p, const char *text, bosh_domain_t *domain)
{
    domain->name = normalised(p, text, strlen(text));
    domain->host = domain->name;
    domain->port = DEFAULT_PORT;
    domain->fixed = false;
    if (is_host(domain->name)) {
        return NULL;
    }
    return apr_psprintf(p,
                        "takes the name of an XMPP domain such as example.org, without a user, "
                        "port or path, not '%s'",
                        text);
}

static bool is_ascii(const char *host)
{
    while (*host && !((unsigned char)*host & 0x80)) {
        host++;
    }
    return !*host;
}

/* [IPv6] at the beginning of text; the host without brackets, or NULL. */
static char *bracketed(apr_pool_t *p, const char *text, const char **rest)
{
    const char *end = strchr(text, ']');
    struct in6_addr in6;
    char *host;

    if (!end) {
        return NULL;
    }
    host = apr_pstrmemdup(p, text + 1, (apr_size_t)(end - text - 1));
    ap_str_tolower(host);
    *rest = end + 1;
    return inet_pton(AF_INET6, host, &in6) == 1 ? host : NULL;
}

static bool read_server(apr_pool_t *p, const char *text, bosh_domain_t *domain)
{
    const char *rest;
    uint64_t port = DEFAULT_PORT;
    char *host;

    if (strncmp(text, SCHEME, strlen(SCHEME)) != 0) {
        return false;
    }
    text += strlen(SCHEME);
    if (*text == '[') {
        host = bracketed(p, text, &rest);
    }
    else {
        size_t len = strcspn(text, ":");

        rest = text + len;
        host = normalised(p, text, len);
        host = is_ascii(host) && is_host(host) ? host : NULL;
    }
    if (!host || (*rest && *rest != ':')) {
        return false;
    }
    if (*rest && (!bosh_parse_uint(bosh_str(rest + 1), 65535, &port) || port == 0)) {
        return false;
    }
    domain->host = host;
    domain->port = (apr_port_t)port;
    domain->fixed = true;
    return true;
}

const char *bosh_config_parse_server(apr_pool_t *p, const char *text, bosh_domain_t *domain)
{
    if (read_server(p, text, domain)) {
        return NULL;
    }
    return apr_psprintf(p,
                        "takes xmpp://HOST:PORT as its second argument, with a name, an IPv4 "
                        "address or an [IPv6 address] for HOST, and a PORT from 1 to 65535 "
                        "(5222 if left out), not '%s'",
                        text);
}

static bool is_same_domain(const char *listed, bosh_str_t name)
{
    if (name.len > 1 && name.p[name.len - 1] == '.') {
        name.len--;
    }
    return name.p && strlen(listed) == name.len && strncasecmp(listed, name.p, name.len) == 0;
}

const bosh_domain_t *bosh_config_domain(const bosh_conf_t *conf, bosh_str_t name)
{
    for (int i = 0; conf->domains && i < conf->domains->nelts; i++) {
        const bosh_domain_t *domain = &APR_ARRAY_IDX(conf->domains, i, bosh_domain_t);

        if (is_same_domain(domain->name, name)) {
            return domain;
        }
    }
    return NULL;
}

bool bosh_config_is_gone(const bosh_conf_t *conf, bosh_str_t name)
{
    for (int i = 0; conf->gone && i < conf->gone->nelts; i++) {
        if (is_same_domain(APR_ARRAY_IDX(conf->gone, i, const char *), name)) {
            return true;
        }
    }
    return false;
}
