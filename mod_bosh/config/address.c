/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Where a server is, as BoshDomain and BoshRoute say it: HOST:PORT, URIs, sockets. */
#include "config_int.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/un.h>

#include "apr_lib.h"
#include "apr_strings.h"

#define UNIX     "unix:"
#define MAX_PATH (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

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
    bosh_config_normalise(host);
    *rest = end + 1;
    return inet_pton(AF_INET6, host, &in6) == 1 ? host : NULL;
}

bool bosh_config_read_host(apr_pool_t *p, const char *text, const char **host, apr_port_t *port)
{
    const char *rest;
    uint64_t number = *port;
    char *name;

    if (*text == '[') {
        name = bracketed(p, text, &rest);
    }
    else {
        size_t len = strcspn(text, ":");

        rest = text + len;
        name = apr_pstrmemdup(p, text, len);
        bosh_config_normalise(name);
        name = is_ascii(name) && bosh_config_is_host(name) ? name : NULL;
    }
    if (!name || (*rest && *rest != ':')) {
        return false;
    }
    if (*rest && !bosh_parse_uint(bosh_str(rest + 1), 65535, &number)) {
        return false;
    }
    *host = name;
    *port = (apr_port_t)number;
    return number > 0;
}

bool bosh_config_is_loopback(const char *host)
{
    static const uint8_t v6[16] = { [15] = 1 };
    uint8_t bytes[16];

    if (inet_pton(AF_INET, host, bytes) == 1) {
        return bytes[0] == 127;
    }
    return inet_pton(AF_INET6, host, bytes) == 1 ? memcmp(bytes, v6, sizeof(v6)) == 0
                                                 : strcmp(host, "localhost") == 0;
}

/* unix:///run/x is no path that anybody means. */
static bool is_socket(const char *path)
{
    if (path[0] != '/' || path[1] == '/' || path[1] == '\0' || strlen(path) > MAX_PATH) {
        return false;
    }
    while (*path && !apr_iscntrl(*path)) {
        path++;
    }
    return !*path;
}

static bool read_address(apr_pool_t *p, const char *text, bosh_domain_t *domain)
{
    static const struct {
        const char *scheme;
        bool is_direct;
        apr_port_t port;
    } schemes[] = { { "xmpp://", false, 5222 }, { "xmpps://", true, 5223 } };

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t len = strlen(schemes[i].scheme);

        if (strncmp(text, schemes[i].scheme, len) == 0) {
            domain->reach = BOSH_REACH_HOST;
            domain->is_direct = schemes[i].is_direct;
            domain->port = schemes[i].port;
            return bosh_config_read_host(p, text + len, &domain->host, &domain->port);
        }
    }
    if (strncmp(text, UNIX, strlen(UNIX)) != 0 || !is_socket(text + strlen(UNIX))) {
        return false;
    }
    domain->reach = BOSH_REACH_UNIX;
    domain->host = apr_pstrdup(p, text + strlen(UNIX));
    domain->port = 0;
    return true;
}

const char *bosh_config_parse_address(apr_pool_t *p, const char *text, bosh_domain_t *domain)
{
    if (read_address(p, text, domain)) {
        domain->fixed = true;
        domain->is_local =
            domain->reach == BOSH_REACH_UNIX || bosh_config_is_loopback(domain->host);
        return NULL;
    }
    return apr_psprintf(
        p,
        "takes xmpp://HOST:PORT, xmpps://HOST:PORT or unix:/PATH as an address, "
        "with a name, an IPv4 address or an [IPv6 address] for HOST, a PORT from 1 "
        "to 65535 (5222, or 5223 after xmpps, if left out), and a PATH of %" APR_SIZE_T_FMT
        " bytes at most, not '%s'",
        (apr_size_t)MAX_PATH, text);
}
