/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * What lives in the process pool: made at the first start, found again after each
 * restart, when the module itself was unloaded and loaded anew.
 */

#include "parent_int.h"

#include "ap_mpm.h"
#include "http_core.h"
#include "http_log.h"
#include "mpm_common.h"
#include "util_mutex.h"

#include "bosh/front.h"

APLOG_USE_MODULE(bosh);

#define KEPT_KEY       "mod_bosh"
#define MUTEX_TYPE     "bosh"
/* Children that died, and were not noticed yet, still hold their places. */
#define SPARE_CHILDREN 8

static kept_t *kept;
static server_rec *main_server;

kept_t *kept_get(void)
{
    return kept;
}

server_rec *kept_server(void)
{
    return main_server;
}

static int pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    (void)plog;
    (void)ptemp;
    return ap_mutex_register(pconf, MUTEX_TYPE, NULL, APR_LOCK_DEFAULT, 0) == APR_SUCCESS
               ? OK
               : HTTP_INTERNAL_SERVER_ERROR;
}

static unsigned count_children(void)
{
    int n = 0;

    if (ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &n) != APR_SUCCESS || n < 1) {
        n = 64;
    }
    n += SPARE_CHILDREN;
    return n < BOSH_MAX_CHILDREN ? (unsigned)n : BOSH_MAX_CHILDREN;
}

static bosh_store_limits_t wanted_limits(const bosh_conf_t *conf)
{
    return (bosh_store_limits_t){
        .bytes = conf->shared_memory,
        .sessions = (unsigned)conf->max_sessions,
        .children = count_children(),
        .connectors = (unsigned)conf->connectors,
    };
}

static apr_status_t make_mutex(kept_t *k, server_rec *s, apr_pool_t *p)
{
    apr_status_t rv = ap_global_mutex_create(&k->mutex, NULL, MUTEX_TYPE, NULL, s, p, 0);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    /* Its owner's death is never noticed: everybody would wait for ever. */
    if (!strcmp(apr_global_mutex_name(k->mutex), "posixsem")) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     BOSHNO(2001) "Mutex: posixsem cannot be used for bosh, it stays locked "
                                  "when a process dies; use the default");
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

static apr_status_t make(kept_t *k, server_rec *s, apr_pool_t *p)
{
    apr_status_t rv = make_mutex(k, s, p);

    k->size = sizeof(*k);
    k->layout = bosh_store_layout();
    k->limits = wanted_limits(bosh_config(s));
    if (rv == APR_SUCCESS) {
        rv = bosh_store_create(&k->store, &k->limits, k->mutex, p);
        if (APR_STATUS_IS_ENOSPC(rv)) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                         BOSHNO(2002) "BoshSharedMemory %lu is too small for BoshMaxSessions %u",
                         (unsigned long)k->limits.bytes, k->limits.sessions);
        }
    }
    if (rv == APR_SUCCESS) {
        rv = bosh_wake_create(&k->wake, k->limits.children, k->limits.connectors, p);
    }
    return rv;
}

static void tell_unchanged(server_rec *s)
{
    bosh_store_limits_t w = wanted_limits(bosh_config(s));

    if (w.bytes != kept->limits.bytes || w.sessions != kept->limits.sessions
        || w.connectors != kept->limits.connectors) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     BOSHNO(2003) "BoshSharedMemory, BoshMaxSessions and BoshConnectors stay as "
                                  "they were until httpd is stopped and started");
    }
}

/* True: this build can go on with what an earlier start left. */
static bool find_kept(server_rec *s)
{
    kept = ap_retained_data_get(KEPT_KEY);
    if (!kept) {
        return true;
    }
    if (kept->size != sizeof(*kept) || kept->layout != bosh_store_layout()) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s,
                     BOSHNO(2004) "mod_bosh was replaced by another version: BOSH requests get "
                                  "503 until httpd is stopped and started");
        kept = NULL;
        return false;
    }
    tell_unchanged(s);
    return true;
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf;
    (void)plog;
    (void)ptemp;
    /* The first of two passes at start: everything is loaded once more. */
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    main_server = s;
    if (!find_kept(s)) {
        bosh_front_use(NULL, NULL);
        return OK;
    }
    if (!kept) {
        kept_t *k = ap_retained_data_create(KEPT_KEY, sizeof(*k));
        apr_status_t rv = make(k, s, s->process->pool);

        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s,
                         BOSHNO(2005) "shared memory, mutex or pipes could not be made");
            return HTTP_INTERNAL_SERVER_ERROR;
        }
        kept = k;
    }
    bosh_front_use(kept->store, kept->wake);
    connectors_start(kept, s);
    return OK;
}

static void child_init(apr_pool_t *p, server_rec *s)
{
    if (kept) {
        /* Mechanisms with a lock file are opened anew in each process. */
        apr_status_t rv =
            apr_global_mutex_child_init(&kept->mutex, apr_global_mutex_lockfile(kept->mutex), p);

        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                         BOSHNO(2006) "the bosh mutex cannot be used");
        }
        bosh_store_use_mutex(kept->store, kept->mutex);
        connectors_close_control(kept);
    }
    bosh_front_child_init(p, s);
}

void bosh_parent_register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_pre_config(pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
}
