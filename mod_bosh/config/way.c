/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* BoshTLS, BoshRoute, and what they and BoshDomain make together. Runs for each session. */
#include "config_int.h"

#include <string.h>

#include "apr_strings.h"

#define SCHEME "xmpp:"

static const char *const tls_words[] = {
    [BOSH_TLS_LOCAL] = "local",       [BOSH_TLS_OFF] = "off",
    [BOSH_TLS_OPTIONAL] = "optional", [BOSH_TLS_REQUIRED] = "required",
    [BOSH_TLS_DIRECT] = "direct",
};

const char *bosh_config_tls_word(bosh_tls_t tls)
{
    return tls_words[tls];
}

bool bosh_config_read_tls(const char *text, int *tls)
{
    for (*tls = BOSH_TLS_OFF; *tls <= BOSH_TLS_REQUIRED; ++*tls) {
        if (strcasecmp(text, tls_words[*tls]) == 0) {
            return true;
        }
    }
    *tls = BOSH_UNSET;
    return false;
}

/* ---- routes ---------------------------------------------------------------- */

const char *bosh_config_parse_route(apr_pool_t *p, const char *text, bosh_route_t *route)
{
    route->port = 0;
    if (bosh_config_read_host(p, text, &route->host, &route->port)) {
        return NULL;
    }
    return apr_psprintf(p,
                        "takes HOST:PORT, with a name, an IPv4 address or an [IPv6 address] for "
                        "HOST and a PORT from 1 to 65535, or none; not '%s'",
                        text);
}

/* HOST:PORT without the brackets that IPv6 has. */
static bool split(bosh_str_t text, char host[BOSH_NAME_SIZE], uint64_t *port)
{
    bosh_str_t name = text;

    while (name.len > 0 && name.p[name.len - 1] != ':') {
        name.len--;
    }
    if (name.len < 2
        || !bosh_parse_uint((bosh_str_t){ text.p + name.len, text.len - name.len }, 65535, port)) {
        return false;
    }
    name.len--;
    if (name.p[0] == '[' && name.p[name.len - 1] == ']') {
        name.p++;
        name.len -= 2;
    }
    if (!bosh_str_copy(host, BOSH_NAME_SIZE, name)) {
        return false;
    }
    bosh_config_normalise(host);
    return true;
}

static const bosh_route_t *find_route(const bosh_conf_t *conf, bosh_str_t asked)
{
    const size_t skip = strlen(SCHEME);
    char host[BOSH_NAME_SIZE];
    uint64_t port;

    if (asked.len < skip || memcmp(asked.p, SCHEME, skip) != 0
        || !split((bosh_str_t){ asked.p + skip, asked.len - skip }, host, &port)) {
        return NULL;
    }
    for (int i = 0; i < conf->routes->nelts; i++) {
        const bosh_route_t *route = &APR_ARRAY_IDX(conf->routes, i, bosh_route_t);

        if (route->port == port && strcmp(route->host, host) == 0) {
            return route;
        }
    }
    return NULL;
}

/* ---- all together ------------------------------------------------------------ */

static bosh_tls_t tls_of(const bosh_conf_t *conf, const bosh_domain_t *d)
{
    if (d->is_direct) {
        return BOSH_TLS_DIRECT;
    }
    if (d->tls != BOSH_UNSET) {
        return (bosh_tls_t)d->tls;
    }
    return d->is_local ? BOSH_TLS_LOCAL : (bosh_tls_t)conf->tls;
}

bosh_way_t bosh_config_way(const bosh_conf_t *conf, const bosh_domain_t *d, bosh_str_t asked)
{
    const bosh_route_t *route = find_route(conf, asked);
    bosh_way_t way = { .host = d->host, .port = d->port, .reach = d->reach };

    if (route) {
        /* What makes the domain's own address direct or local says nothing of this one. */
        way = (bosh_way_t){ .host = route->host, .port = route->port, .reach = BOSH_REACH_HOST };
        way.tls = (bosh_tls_t)(d->tls != BOSH_UNSET ? d->tls : conf->tls);
    }
    else {
        way.tls = tls_of(conf, d);
    }
    way.verify = way.tls != BOSH_TLS_LOCAL && way.tls != BOSH_TLS_OFF
                 && (d->verify != BOSH_UNSET ? d->verify : conf->tls_verify);
    return way;
}
