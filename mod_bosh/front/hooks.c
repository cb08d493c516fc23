/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Hooks, and the start and end of a child. */

#include "front_int.h"

#include <errno.h>
#include <signal.h>
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

/* Before the pool's contents go: the thread uses them. */
static apr_status_t leave(void *data)
{
    bosh_knocks_t knocks = { 0 };

    (void)data;
    room_close();
    bosh_store_child_leave(store, room_child(), bosh_now(), &knocks);
    room_send_knocks(&knocks);
    return APR_SUCCESS;
}

static bool is_alive(int64_t pid)
{
    return kill((pid_t)pid, 0) == 0 || errno != ESRCH;
}

/* Who died just now, all children at once perhaps, holds a place until a connector looks. */
static uint32_t join(void)
{
    uint32_t child = bosh_store_child_join(store, (int64_t)getpid());
    bosh_knocks_t knocks = { 0 };

    if (child == BOSH_NO_CHILD) {
        bosh_store_reap_children(store, is_alive, bosh_now(), &knocks);
        bosh_wake_send(wake, &knocks);
        child = bosh_store_child_join(store, (int64_t)getpid());
    }
    return child;
}

void bosh_front_child_init(apr_pool_t *p, server_rec *s)
{
    uint32_t child;
    apr_status_t rv;

    if (!store) {
        return;
    }
    bosh_xml_init();
    child = join();
    if (child == BOSH_NO_CHILD) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s,
                     BOSHNO(3004) "no place for another child: BOSH requests get 503");
        return;
    }
    stop_prepare(p);
    rv = room_open(p, store, wake, child);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, BOSHNO(3005) "no waiting room");
        return;
    }
    apr_pool_pre_cleanup_register(p, NULL, leave);
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
    ap_hook_translate_name(front_translate_name, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_map_to_storage(front_map_to_storage, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_handler(front_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_suspend_connection(suspend_connection, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_stopping(child_stopping, NULL, NULL, APR_HOOK_MIDDLE);
}
