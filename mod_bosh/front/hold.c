/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A request that must wait: suspended where the MPM can, else blocking its thread,
 * from a budget that all children share.
 */

#include "front_int.h"

APLOG_USE_MODULE(bosh);

/* httpd's documentation names no way back for a suspended request; ours wants the
 * event MPM's own connection, and no HTTP/2 stream. */
bool hold_can_suspend(const request_rec *r)
{
    static int is_async = -1;

    if (is_async < 0 && ap_mpm_query(AP_MPMQ_IS_ASYNC, &is_async) != APR_SUCCESS) {
        is_async = 0;
    }
    return is_async && !r->connection->master && r->connection->cs && !r->main;
}

/* The connection goes without ever having been a guest's, or with the child. */
static apr_status_t forget_guest(void *data)
{
    guest_t *g = data;

    if (g->ticket) {
        hold_release(g);
    }
    return APR_SUCCESS;
}

static guest_t *connection_guest(conn_rec *c)
{
    guest_t *g = ap_get_module_config(c->conn_config, &bosh_module);

    if (!g) {
        g = apr_pcalloc(c->pool, sizeof(*g));
        ap_set_module_config(c->conn_config, &bosh_module, g);
        apr_pool_cleanup_register(c->pool, g, forget_guest, apr_pool_cleanup_null);
    }
    return g;
}

guest_t *hold_guest(request_rec *r)
{
    guest_t *g =
        hold_can_suspend(r) ? connection_guest(r->connection) : apr_pcalloc(r->pool, sizeof(*g));

    g->c = r->connection;
    g->keep = (bosh_msec_t)apr_time_as_msec(r->server->keep_alive_timeout);
    g->asks = 0;
    g->hung_up = false;
    if (!g->ticket) {
        room_lock();
        g->ticket = ticket_take(g);
        room_unlock();
    }
    /* Mail from before was for an earlier request; none for this one is lost, the
     * store does not know it yet. */
    g->called = 0;
    return g->ticket ? g : NULL;
}

void hold_release(guest_t *g)
{
    room_lock();
    timer_clear(g);
    ticket_return(g->ticket);
    room_unlock();
    g->ticket = 0;
}

static void note_request(guest_t *g, request_rec *r, const admission_t *a)
{
    g->r = r;
    g->ref = a->outcome.ref;
    g->rid = a->rid;
    g->due = a->outcome.due;
    memcpy(g->sid, a->sid, sizeof(g->sid));
}

static void ask_again(guest_t *g, bench_t *b, bosh_outcome_t *o)
{
    uint8_t asks = g->asks;

    bosh_store_due(room_store(), g->ref, g->rid, room_holder(g), asks, bosh_now(), &b->out, o);
    room_send_knocks(&o->knocks);
}

static bool is_child_stopping(void)
{
    int state = 0;

    return room_is_emptying()
           || (ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS && state == AP_MPMQ_STOPPING);
}

/* No pollset watches a blocked thread's client, so it looks now and then. */
static void block_for_a_while(request_rec *r, guest_t *g, bosh_msec_t due)
{
    conn_rec *c = r->connection;
    bosh_msec_t look = bosh_now() + BOSH_SEC(1);
    bool urgent = false;

    room_block(g, due && due < look ? due : look);
    signals_let_pass();
    if (signals_end_is_wished() && !room_is_emptying()) {
        emptying_begin(false);
    }
    if (is_child_stopping()) {
        g->asks |= BOSH_ASKS_URGENT;
    }
    if (c->master) {
        g->hung_up = c->aborted || c->master->aborted;
        return;
    }
    g->hung_up = resume_is_hung_up(c, &urgent);
    if (urgent) {
        g->asks |= BOSH_ASKS_URGENT;
    }
}

/* Who is within the budget also waits until the store can be had again. */
static bool is_to_wait(const bosh_outcome_t *o, bool may)
{
    return o->got == BOSH_GOT_HOLD || (o->got == BOSH_GOT_BUSY && may && !is_child_stopping());
}

/* Blocks until there is something else to say than "wait". False: it could not. */
static bool block(request_rec *r, bench_t *b, guest_t *g, bosh_outcome_t *o)
{
    unsigned budget = (unsigned)bosh_config(r->server)->blocking_holds;
    bool may;

    if (BOSH_FAULT("hold-condition") || apr_thread_cond_create(&g->cond, r->pool) != APR_SUCCESS) {
        return false;
    }
    may = bosh_store_may_block(room_store(), room_child(), budget);
    if (!may) {
        g->asks |= BOSH_ASKS_URGENT; /* answered early, with an empty body */
        ask_again(g, b, o);
    }
    while (is_to_wait(o, may) && !g->hung_up) {
        block_for_a_while(r, g, o->due);
        if (!g->hung_up) {
            ask_again(g, b, o);
        }
    }
    if (may) {
        bosh_store_unblock(room_store(), room_child());
    }
    return true;
}

/* Those who reap a child that stops see to what it held. */
static void tell_gone(guest_t *g)
{
    bosh_knocks_t knocks = { 0 };

    while (!bosh_store_gone(room_store(), g->ref, g->rid, room_holder(g), bosh_now(), &knocks)
           && !is_child_stopping()) {
        apr_sleep(apr_time_from_sec(1));
    }
    room_send_knocks(&knocks);
}

static int hold_blocking(request_rec *r, bench_t *b, guest_t *g, const admission_t *a)
{
    bosh_outcome_t o = a->outcome;
    bool has_waited = block(r, b, g, &o);
    int rc = OK;

    if (g->hung_up) {
        tell_gone(g);
        rc = answer_nobody(r);
    }
    else if (!has_waited) {
        tell_gone(g);
        answer_later(r, b);
    }
    else {
        answer_outcome(r, b, &o, g->sid, g->rid);
        answer_written(&o, g->rid, room_holder(g));
    }
    hold_release(g);
    return rc;
}

int hold_request(request_rec *r, bench_t *b, guest_t *g, const admission_t *a)
{
    note_request(g, r, a);
    if (!hold_can_suspend(r)) {
        return hold_blocking(r, b, g, a);
    }
    g->suspending = true;
    return SUSPENDED;
}

/* Also called for connections that merely idle in the MPM. */
void hold_published(conn_rec *c, request_rec *r)
{
    guest_t *g = ap_get_module_config(c->conn_config, &bosh_module);

    if (g && r && g->suspending && g->r == r) {
        g->suspending = false;
        room_park(g, g->due);
    }
}
