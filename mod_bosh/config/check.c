/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Settings that are each allowed, but not together: said once at start-up and by httpd -t.
 * And the room's hooks.
 */
#include "config_int.h"

#include <string.h>

#include "http_core.h"
#include "http_log.h"

APLOG_USE_MODULE(bosh);

static void warn_times(const server_rec *s, const bosh_conf_t *conf)
{
    if (conf->inactivity <= conf->polling) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     BOSHNO(0001) "BoshInactivity %d is not longer than BoshPolling %d: a client "
                                  "that polls as slowly as it is told loses its session",
                     conf->inactivity, conf->polling);
    }
    if (conf->maxpause > 0 && conf->maxpause < conf->inactivity) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     BOSHNO(0002) "BoshMaxPause %d is shorter than BoshInactivity %d: a client "
                                  "that pauses gains nothing",
                     conf->maxpause, conf->inactivity);
    }
}

static void warn_gone(const server_rec *s, const bosh_conf_t *conf)
{
    for (int i = 0; i < conf->domains->nelts; i++) {
        const char *name = APR_ARRAY_IDX(conf->domains, i, bosh_domain_t).name;

        if (bosh_config_is_gone(conf, bosh_str(name))) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                         BOSHNO(0004) "%s is named by BoshDomain and by BoshDomainGone: clients "
                                      "are told that it is gone",
                         name);
        }
    }
}

/* Said of what is sent to other machines. */
static void warn_way(const server_rec *s, const bosh_conf_t *conf, const bosh_domain_t *d)
{
    bosh_way_t way = bosh_config_way(conf, d, BOSH_ABSENT);

    if (d->is_local) {
        return;
    }
    if (way.tls == BOSH_TLS_OFF) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     BOSHNO(0007) "BoshDomain %s: without TLS, passwords and messages pass through "
                                  "the network in the clear",
                     d->name);
    }
    else if (!way.verify && d->verify != BOSH_UNSET) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     BOSHNO(0008) "BoshDomain %s: verify=off: anybody on the way to the XMPP "
                                  "server can pretend to be it",
                     d->name);
    }
    if (strcmp(d->name, "*") == 0 && !d->fixed) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     BOSHNO(0009) "BoshDomain * without an address: any client may reach any "
                                  "public XMPP server through this one");
    }
}

/* What was inherited, and means the same, has been said. */
static void warn_ways(const server_rec *s, const bosh_conf_t *conf, const bosh_conf_t *main_conf)
{
    for (int i = 0; i < conf->domains->nelts; i++) {
        const bosh_domain_t *d = &APR_ARRAY_IDX(conf->domains, i, bosh_domain_t);

        if (!s->is_virtual || conf->domains != main_conf->domains
            || bosh_config_way(conf, d, BOSH_ABSENT).tls
                   != bosh_config_way(main_conf, d, BOSH_ABSENT).tls) {
            warn_way(s, conf, d);
        }
    }
}

static void warn_routes(const server_rec *s, const bosh_conf_t *conf)
{
    for (int i = 0; i < conf->routes->nelts && conf->tls == BOSH_TLS_OFF; i++) {
        const bosh_route_t *route = &APR_ARRAY_IDX(conf->routes, i, bosh_route_t);

        if (!bosh_config_is_loopback(route->host)) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                         BOSHNO(0011) "BoshRoute %s:%d and BoshTLS off: without TLS, passwords and "
                                      "messages pass through the network in the clear",
                         route->host, (int)route->port);
        }
    }
}

static void warn_verify(const server_rec *s, const bosh_conf_t *conf)
{
    if (!conf->tls_verify) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     BOSHNO(0010) "BoshTLSVerify off: anybody on the way to an XMPP server can "
                                  "pretend to be it");
    }
}

static bool has_domains(const server_rec *s)
{
    return bosh_config(s)->domains->nelts > 0;
}

static bool has_any_domains(const server_rec *main_server)
{
    const server_rec *s = main_server;

    while (s && !has_domains(s)) {
        s = s->next;
    }
    return s != NULL;
}

/* Its last path is its own, if it has one. */
static void warn_domains(const server_rec *s, const apr_array_header_t *paths)
{
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                 BOSHNO(0003) "%s is served by mod_bosh, but no BoshDomain is given%s%s: every "
                              "session will be refused",
                 APR_ARRAY_IDX(paths, paths->nelts - 1, const char *), s->is_virtual ? " for " : "",
                 s->is_virtual ? s->server_hostname : "");
}

/* A location of the main server's is inherited by virtual hosts that have nothing to do with
 * BOSH; it is enough if one of them, or the main server, says what may be reached. Who has
 * a location of its own means it. */
static void warn_unreachable(const server_rec *main_server, apr_pool_t *ptemp)
{
    bool is_any = has_any_domains(main_server);
    int inherited = is_any ? bosh_config_locations(ptemp, main_server)->nelts : 0;

    for (const server_rec *s = main_server; s; s = s->next) {
        const apr_array_header_t *paths = bosh_config_locations(ptemp, s);

        if (paths->nelts > inherited && !has_domains(s)) {
            warn_domains(s, paths);
            if (!is_any) {
                return; /* once is enough */
            }
        }
    }
}

void bosh_config_warn(server_rec *main_server, apr_pool_t *ptemp)
{
    const bosh_conf_t *main_conf = bosh_config(main_server);

    for (const server_rec *s = main_server; s; s = s->next) {
        const bosh_conf_t *conf = bosh_config(s);

        /* What was inherited has been said. */
        if (s == main_server || conf->inactivity != main_conf->inactivity
            || conf->polling != main_conf->polling || conf->maxpause != main_conf->maxpause) {
            warn_times(s, conf);
        }
        if (s == main_server || conf->gone != main_conf->gone
            || conf->domains != main_conf->domains) {
            warn_gone(s, conf);
        }
        warn_ways(s, conf, main_conf);
        if (s == main_server || conf->routes != main_conf->routes || conf->tls != main_conf->tls) {
            warn_routes(s, conf);
        }
        if (s == main_server || conf->tls_verify != main_conf->tls_verify) {
            warn_verify(s, conf);
        }
        if (s == main_server || conf->ca_file != main_conf->ca_file
            || conf->ca_path != main_conf->ca_path) {
            bosh_config_warn_trust(s, ptemp);
        }
    }
    warn_unreachable(main_server, ptemp);
}

/* A start reads the configuration twice; the second time is the one to warn in. */
static bool is_time_to_warn(void)
{
    return ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_NORMAL
           || ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG;
}

/* Runs after virtual hosts were merged, in a config test too. */
static int check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    bool is_good = true;

    (void)plog;
    bosh_config_finish(pconf, s);
    for (const server_rec *host = s; host; host = host->next) {
        is_good = bosh_config_check_trust(host, ptemp) && is_good;
    }
    if (is_time_to_warn()) {
        bosh_config_warn(s, ptemp);
    }
    return is_good ? OK : HTTP_INTERNAL_SERVER_ERROR;
}

static int check_capacity(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf;
    (void)plog;
    (void)ptemp;
    if (is_time_to_warn()) {
        bosh_config_warn_mpm(s);
        bosh_config_warn_capacity(s);
    }
    return OK;
}

static void test_config(apr_pool_t *pconf, server_rec *s)
{
    if (ap_exists_config_define("DUMP_BOSH")) {
        bosh_config_dump(pconf, s);
    }
}

void bosh_config_register_hooks(apr_pool_t *p)
{
    (void)p;
    /* First, because the other rooms' hooks ask for effective values. */
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_REALLY_FIRST);
    /* Last, because only then the MPM's own numbers are right. */
    ap_hook_check_config(check_capacity, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_test_config(test_config, NULL, NULL, APR_HOOK_MIDDLE);
}
