/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Hooks, and the start and end of a child. */

#include "front_int.h"

#include <pthread.h>
#include <unistd.h>

APLOG_USE_MODULE(bosh);

/* Set in the parent, inherited by children. */
static bosh_store_t *store;
static bosh_wake_t *wake;

void bosh_front_use(bosh_store_t *s, bosh_wake_t *w)
{
    store = s;
    wake = w;
}

/* Between two tries to find a place. */
#define TRY_MS 1000

static struct {
    apr_pool_t *pool; /* NULL: there will be no room here */
    server_rec *server;
    pthread_mutex_t mutex; /* around enter() */
    bosh_msec_t tried;
} child = { .mutex = PTHREAD_MUTEX_INITIALIZER };

/* Before the pool's contents go: the thread uses them. */
static apr_status_t leave(void *data)
{
    bosh_knocks_t knocks = { 0 };

    (void)data;
    if (!room_is_open()) {
        return APR_SUCCESS;
    }
    room_close();
    bosh_store_child_leave(store, room_child(), bosh_now(), &knocks);
    room_send_knocks(&knocks);
    return APR_SUCCESS;
}

/* Who died just now, all children at once perhaps, holds a place until a connector looks. */
static uint32_t join(void)
{
    uint32_t place = bosh_store_child_join(store, (int64_t)getpid());
    bosh_knocks_t knocks = { 0 };

    if (place == BOSH_NO_CHILD) {
        bosh_store_reap_children(store, bosh_process_is_alive, bosh_now(), &knocks);
        bosh_wake_send(wake, &knocks);
        place = bosh_store_child_join(store, (int64_t)getpid());
    }
    return place;
}

static void enter(apr_pool_t *p, bool is_first_try)
{
    bosh_knocks_t knocks = { 0 };
    uint32_t place = join();
    apr_status_t rv;

    child.tried = bosh_now();
    if (place == BOSH_NO_CHILD) {
        ap_log_error(APLOG_MARK, is_first_try ? APLOG_CRIT : APLOG_DEBUG, 0, child.server,
                     BOSHNO(3004) "no place for another child: until one is free, BOSH requests "
                                  "get 503");
        return;
    }
    rv = room_open(p, store, wake, place);
    if (rv == APR_SUCCESS) {
        signals_watch();
        return;
    }
    bosh_store_child_leave(store, place, bosh_now(), &knocks);
    ap_log_error(APLOG_MARK, APLOG_CRIT, rv, child.server, BOSHNO(3005) "no waiting room");
}

void bosh_front_child_init(apr_pool_t *p, server_rec *s)
{
    if (!store || !bosh_config_can_wait()) {
        return;
    }
    child.pool = p;
    child.server = s;
    bosh_xml_init();
    stop_prepare(p);
    apr_pool_pre_cleanup_register(p, NULL, leave);
    signals_hold_back();
    enter(p, true);
    signals_release();
}

/* prefork can have more children than ServerLimit, when a graceful restart meets children that
 * are just being born; for a moment only, and those that found no place live on. */
static void enter_late(void)
{
    apr_pool_t *p;

    pthread_mutex_lock(&child.mutex);
    if (!room_is_open() && bosh_now() - child.tried >= TRY_MS
        && apr_pool_create(&p, child.pool) == APR_SUCCESS) {
        enter(p, false);
        if (!room_is_open()) {
            apr_pool_destroy(p);
        }
    }
    pthread_mutex_unlock(&child.mutex);
}

bool hooks_is_ready(void)
{
    if (!room_is_open() && child.pool) {
        enter_late();
    }
    return room_is_open();
}

static void child_stopping(apr_pool_t *p, int graceful)
{
    (void)p;
    if (room_is_open()) {
        emptying_begin(graceful);
    }
}

static void suspend_connection(conn_rec *c, request_rec *r)
{
    hold_published(c, r);
}

void bosh_front_register_hooks(apr_pool_t *p)
{
    (void)p;
    errors_register();
    ap_hook_translate_name(front_translate_name, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_map_to_storage(front_map_to_storage, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_insert_error_filter(errors_insert_filter, NULL, NULL, APR_HOOK_LAST);
    ap_hook_handler(front_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_suspend_connection(suspend_connection, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_stopping(child_stopping, NULL, NULL, APR_HOOK_MIDDLE);
}
