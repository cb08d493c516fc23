/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Settings that are each allowed, but not together: said once at start-up and by httpd -t.
 * And the room's hooks.
 */
#include "config_int.h"

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

/* The main server often only holds what its virtual hosts inherit. */
static void warn_domains(const server_rec *s, const bosh_conf_t *conf, apr_pool_t *ptemp)
{
    const apr_array_header_t *paths = bosh_config_locations(ptemp, s);
    bool is_template = !s->is_virtual && s->next;

    if (paths->nelts > 0 && conf->domains->nelts == 0 && !is_template) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     BOSHNO(0003) "%s is served by mod_bosh, but no BoshDomain is given: every "
                                  "session will be refused",
                     APR_ARRAY_IDX(paths, 0, const char *));
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
        warn_domains(s, conf, ptemp);
    }
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
    (void)plog;
    bosh_config_finish(pconf, s);
    if (is_time_to_warn()) {
        bosh_config_warn(s, ptemp);
    }
    return OK;
}

static int check_capacity(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf;
    (void)plog;
    (void)ptemp;
    if (is_time_to_warn()) {
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
