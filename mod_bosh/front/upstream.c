/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Where a stream is to go, for a session or one stream more (XEP-0124 sections 7.1, 16.3).
 *
 * `route` is ignored, as section 7.1 allows: BoshDomain alone says where servers are. It
 * is no reason to refuse either: gloox always sends xmpp:DOMAIN:5222.
 */

#include "front_int.h"

bosh_condition_t upstream_fill(const bosh_conf_t *conf, const bosh_str_t *attr, bosh_upstream_t *up,
                               const char **why)
{
    const bosh_domain_t *domain;

    *why = "no `to`";
    if (!attr[BOSH_A_TO].p || attr[BOSH_A_TO].len == 0) {
        return BOSH_COND_IMPROPER_ADDRESSING;
    }
    *why = "BoshDomainGone lists the domain asked for";
    if (bosh_config_is_gone(conf, attr[BOSH_A_TO])) {
        return BOSH_COND_HOST_GONE;
    }
    *why = "BoshDomain does not list the domain asked for";
    domain = bosh_config_domain(conf, attr[BOSH_A_TO]);
    if (!domain) {
        return BOSH_COND_HOST_UNKNOWN;
    }
    /* Too long a `from` or xml:lang is left out: neither is needed. */
    bosh_str_copy(up->from, sizeof(up->from), attr[BOSH_A_FROM]);
    bosh_str_copy(up->lang, sizeof(up->lang), attr[BOSH_A_LANG]);
    up->port = domain->port;
    *why = "the domain's name is too long";
    if (!bosh_str_copy(up->to, sizeof(up->to), bosh_str(domain->name))
        || !bosh_str_copy(up->host, sizeof(up->host), bosh_str(domain->host))) {
        return BOSH_COND_HOST_UNKNOWN;
    }
    return BOSH_COND_NONE;
}
