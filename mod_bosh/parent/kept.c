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

static void log_too_small(const bosh_store_limits_t *l, server_rec *s)
{
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                 BOSHNO(2002) "BoshSharedMemory %lu is too small for BoshMaxSessions %u: it takes "
                              "%lu bytes",
                 (unsigned long)l->bytes, l->sessions, (unsigned long)bosh_store_least_bytes(l));
}

/* In a config test too, so that it is found before a start. Where httpd runs, it goes on
 * with the memory that it has: see tell_unchanged(). */
static int check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    bosh_store_limits_t wanted = wanted_limits(bosh_config(s));

    (void)pconf;
    (void)plog;
    (void)ptemp;
    if (wanted.bytes >= bosh_store_least_bytes(&wanted) || ap_retained_data_get(KEPT_KEY)) {
        return OK;
    }
    log_too_small(&wanted, s);
    return HTTP_INTERNAL_SERVER_ERROR;
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

/* Segment, mutex and pipes, in a pool of their own: see forget(). */
static apr_status_t make_contents(kept_t *k, server_rec *s, apr_pool_t *p)
{
    apr_status_t rv = make_mutex(k, s, p);

    if (rv == APR_SUCCESS) {
        rv = bosh_store_create(&k->store, &k->limits, k->mutex, p);
        if (APR_STATUS_IS_ENOSPC(rv)) {
            log_too_small(&k->limits, s);
        }
    }
    if (rv == APR_SUCCESS) {
        rv = bosh_wake_create(&k->wake, k->limits.children, k->limits.connectors, p);
    }
    return rv;
}

static unsigned layout(void)
{
    return bosh_store_layout() ^ bosh_wake_layout();
}

/* NULL: it could not be made. */
static kept_t *make(server_rec *s)
{
    kept_t *k = ap_retained_data_create(KEPT_KEY, sizeof(*k));
    apr_status_t rv;

    k->head.size = sizeof(*k);
    k->head.layout = layout();
    k->limits = wanted_limits(bosh_config(s));
    apr_pool_create(&k->head.pool, s->process->pool);
    rv = make_contents(k, s, k->head.pool);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s,
                     BOSHNO(2005) "shared memory, mutex or pipes could not be made");
        return NULL;
    }
    return k;
}

/* Children of before have it still, and end soon. */
static void forget(kept_head_t *head, server_rec *s)
{
    connectors_end(head, s);
    apr_pool_destroy(head->pool);
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

/* What an earlier start left, if this build can go on with it; else NULL. */
static kept_t *find_kept(server_rec *s)
{
    kept_head_t *head = ap_retained_data_get(KEPT_KEY);

    if (!head) {
        return NULL;
    }
    if (head->size != sizeof(kept_t) || head->layout != layout()) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     BOSHNO(2004) "mod_bosh was replaced by one that keeps sessions in another "
                                  "way: those of the old one end");
        forget(head, s);
        return NULL;
    }
    if (connectors_are_gone((kept_t *)head)) {
        forget(head, s); /* the module was not loaded for long */
        return NULL;
    }
    return (kept_t *)head;
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
    kept = find_kept(s);
    if (kept) {
        tell_unchanged(s);
    }
    else {
        kept = make(s);
    }
    if (!kept) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    bosh_front_use(kept->store, kept->wake);
    connectors_start(kept, s);
    return OK;
}

/* httpd's parent calls it every ten seconds or so. */
static int monitor(apr_pool_t *p, server_rec *s)
{
    (void)p;
    (void)s;
    if (kept && kept->parent == getpid()) {
        connectors_look_after(kept, main_server);
    }
    return DECLINED;
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
    /* After the MPM has checked its own numbers: there is a place for each child. */
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(monitor, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
}
