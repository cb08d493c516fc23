/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Where a stream is to go, for a session or one stream more (XEP-0124 sections 7.1, 16.3).
 *
 * A `route` that BoshRoute does not list is ignored, as section 7.1 allows: BoshDomain says
 * where servers are. It is no reason to refuse either: gloox always sends xmpp:DOMAIN:5222.
 */

#include "front_int.h"

_Static_assert(BOSH_NAME_SIZE == sizeof(((bosh_upstream_t *)0)->to),
               "names go from one to the other");

static bool fill_way(const bosh_conf_t *conf, const bosh_domain_t *domain, bosh_str_t route,
                     bosh_upstream_t *up)
{
    bosh_way_t way = bosh_config_way(conf, domain, route);

    up->reach = (uint8_t)way.reach;
    up->port = way.port;
    up->tls = (uint8_t)way.tls;
    up->verify = way.verify;
    up->proxy = domain->proxy;
    up->max_streams = domain->max;
    up->max_new = domain->max_new;
    up->max_connecting = domain->connecting ? domain->connecting : BOSH_CONNECTING;
    up->keepalive = domain->keepalive;
    return bosh_str_copy(up->host, sizeof(up->host), bosh_str(*way.host ? way.host : up->to));
}

static bool fill_trust(const bosh_conf_t *conf, bosh_upstream_t *up)
{
    for (int i = 0; i < conf->networks->nelts && i < BOSH_MAX_NETWORKS; i++) {
        up->networks[i] = APR_ARRAY_IDX(conf->networks, i, bosh_network_t);
    }
    return bosh_str_copy(up->ca_file, sizeof(up->ca_file), bosh_str(conf->ca_file))
           && bosh_str_copy(up->ca_path, sizeof(up->ca_path), bosh_str(conf->ca_path));
}

/* Without the zone that a link-local IPv6 address may have. */
static void copy_address(char *dst, size_t size, const char *ip)
{
    if (ip) {
        bosh_str_copy(dst, size, (bosh_str_t){ ip, strcspn(ip, "%") });
    }
}

/* mod_remoteip, or another, may know of a client behind a proxy, but not its port. */
static void fill_ends(const request_rec *r, bosh_upstream_t *up)
{
    const conn_rec *c = r->connection;

    copy_address(up->client, sizeof(up->client), r->useragent_ip);
    if (r->useragent_ip && c->client_ip && strcmp(r->useragent_ip, c->client_ip) == 0) {
        up->client_port = c->client_addr->port;
    }
    copy_address(up->local, sizeof(up->local), c->local_ip);
    up->local_port = c->local_addr->port;
}

/* Of a name that is not on the list so much is told. */
#define MAX_TOLD 100

/* Whatever is no printable ASCII is escaped by httpd, as all that goes to its error log. */
static const char *unlisted(const request_rec *r, bosh_str_t to)
{
    int len = (int)(to.len < MAX_TOLD ? to.len : MAX_TOLD);

    return apr_psprintf(r->pool, "BoshDomain does not list '%.*s%s'", len, to.p,
                        to.len > MAX_TOLD ? "..." : "");
}

bosh_condition_t upstream_fill(const request_rec *r, const bosh_str_t *attr, bosh_upstream_t *up,
                               const char **why)
{
    const bosh_conf_t *conf = bosh_config(r->server);
    const bosh_domain_t *domain;

    *why = "no `to`";
    if (!attr[BOSH_A_TO].p || attr[BOSH_A_TO].len == 0) {
        return BOSH_COND_IMPROPER_ADDRESSING;
    }
    *why = "BoshDomainGone lists the domain asked for";
    if (bosh_config_is_gone(conf, attr[BOSH_A_TO])) {
        return BOSH_COND_HOST_GONE;
    }
    domain = bosh_config_domain(conf, attr[BOSH_A_TO], up->to);
    if (!domain) {
        *why = unlisted(r, attr[BOSH_A_TO]);
        return BOSH_COND_HOST_UNKNOWN;
    }
    /* Too long a `from` or xml:lang is left out: neither is needed. */
    bosh_str_copy(up->from, sizeof(up->from), attr[BOSH_A_FROM]);
    bosh_str_copy(up->lang, sizeof(up->lang), attr[BOSH_A_LANG]);
    fill_ends(r, up);
    *why = "a name or path of the configuration is too long";
    return fill_way(conf, domain, attr[BOSH_A_ROUTE], up) && fill_trust(conf, up)
               ? BOSH_COND_NONE
               : BOSH_COND_HOST_UNKNOWN;
}
