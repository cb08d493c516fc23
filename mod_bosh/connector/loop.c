/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* The loop: poll; then mail, clocks, knocks. */

#include <stdlib.h>

#include <unistd.h>

#include "connector_int.h"

#define TURN_MS   250 /* longest sleep: clocks go on, lost knocks are made good */
#define REAP_MS   1000
#define MAX_READY 20000
/* Whoever looks at the clock at least once a second, and did not for so long, stood still. */
#define STILL_MS  BOSH_SEC(3)

static void on_door(watch_t *w, apr_int16_t events)
{
    (void)events;
    bosh_wake_open_door(w->pfd.desc.f);
}

static void on_control(watch_t *w, apr_int16_t events)
{
    connector_t *k = w->k;
    bosh_msec_t patience = 0;

    (void)events;
    if (!k->args->on_control(k->args->baton, &patience)) {
        k->stopping = true;
        watch_set(w, 0);
    }
    k->leave_at = patience ? k->now + patience : 0;
}

/* httpd began to read its configuration anew, and our module is not in it any more. */
static bool is_forsaken(const connector_t *k)
{
    return k->leave_at && k->now >= k->leave_at;
}

static void serve(connector_t *k, bosh_ref_t ref)
{
    c2s_t *c = find_c2s(k, ref);
    bosh_task_t task;

    if (c) {
        c2s_serve(c);
    }
    else if (bosh_store_connector_task(k->args->store, ref, &task)) {
        c2s_begin(k, ref, &task);
    }
    else {
        c2s_log_session(&task.end); /* the connector before this one had it, or nobody */
    }
}

static void read_mail(connector_t *k)
{
    bosh_ref_t refs[256];
    unsigned n;

    do {
        n = bosh_store_connector_mail(k->args->store, k->args->index, refs, 256);
        for (unsigned i = 0; i < n; i++) {
            serve(k, refs[i]);
        }
        bosh_wake_send(k->args->wake, &k->knocks);
    } while (n == 256);
}

/* A process is stopped, a machine sleeps, or has other things to do: then requests wait to be
 * read, and nobody can tell a client that is gone from one that is not served. */
static void forgive_stillness(connector_t *k)
{
    bosh_msec_t seen = bosh_store_children_seen(k->args->store);
    bosh_msec_t since = seen < k->ticked ? seen : k->ticked;

    if (k->now - since > STILL_MS) {
        if (since > k->forgiven) {
            bosh_log(
                BOSH_LOG_NOTICE,
                BOSHNO(1011) "connector %u, or all children, stood still for %lld ms and more: "
                             "that counts as nobody's inactivity",
                k->args->index, (long long)(k->now - since));
        }
        since = since > k->forgiven ? since : k->forgiven;
        bosh_store_stood_still(k->args->store, k->args->index, since, k->now, &k->knocks);
        k->forgiven = k->now;
    }
    k->ticked = k->now;
}

static void tick(connector_t *k)
{
    uint32_t cursor = 0;

    forgive_stillness(k);
    names_tick(k->names);
    for (c2s_t *c = k->all, *next; c; c = next) {
        next = c->next;
        c2s_tick(c, k->now);
    }
    part_tick(k);
    attempt_tick(k);
    domains_tick(&k->domains, k->now);
    while (!bosh_store_tick(k->args->store, k->args->index, &cursor, k->now, &k->knocks)) {
    }
}

static void poll_once(connector_t *k)
{
    const apr_pollfd_t *fds;
    apr_int32_t n = 0;
    apr_status_t rv = apr_pollset_poll(k->pollset, TURN_MS * 1000, &n, &fds);

    k->now = bosh_now();
    if (rv != APR_SUCCESS) {
        return; /* time, or a signal */
    }
    for (apr_int32_t i = 0; i < n; i++) {
        watch_t *w = fds[i].client_data;

        w->ready(w, fds[i].rtnevents);
    }
}

static void end_all(connector_t *k)
{
    for (c2s_t *c = k->all; c; c = c->next) {
        bosh_store_end(k->args->store, c->ref, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN,
                       k->now, &k->knocks);
    }
}

/* In the end only those are left whose servers do not read, or do not answer. */
static bool is_done(const connector_t *k, bosh_msec_t give_up)
{
    return give_up && ((k->count == 0 && !k->partings) || k->now >= give_up);
}

static void loop(connector_t *k)
{
    bosh_msec_t next_tick = 0, next_reap = 0, give_up = 0;

    while (!is_done(k, give_up)) {
        poll_once(k);
        read_mail(k);
        if (k->now >= next_tick) {
            tick(k);
            next_tick = k->now + TURN_MS;
        }
        if (k->now >= next_reap) {
            bosh_store_reap_children(k->args->store, bosh_process_is_alive, k->now, &k->knocks);
            next_reap = k->now + REAP_MS;
        }
        if (!give_up && (k->stopping || *k->args->stop || is_forsaken(k))) {
            give_up = k->now + BOSH_CONNECTOR_STOP_MS;
            end_all(k);
        }
        attempt_give_turns(k);
        bosh_wake_send(k->args->wake, &k->knocks);
    }
}

static apr_status_t begin(connector_t *k, watch_t *door, watch_t *control)
{
    const bosh_connector_args_t *args = k->args;
    apr_status_t rv = apr_pollset_create(&k->pollset, MAX_READY, k->pool, APR_POLLSET_NOCOPY);

    if (rv == APR_SUCCESS) {
        rv = names_create(&k->names, k, k->pool);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    k->parsers = bosh_parser_pool_create();
    if (!k->parsers) {
        return APR_ENOMEM;
    }
    watch_init_file(door, k, bosh_wake_connector_door(args->wake, args->index), on_door);
    watch_init_socket(control, k, args->control, on_control);
    rv = watch_set(door, APR_POLLIN);
    return rv == APR_SUCCESS ? watch_set(control, APR_POLLIN) : rv;
}

static void join(connector_t *k)
{
    const bosh_connector_args_t *args = k->args;
    bosh_loss_t loss =
        bosh_store_connector_join(args->store, args->index, (int64_t)getpid(), k->now, &k->knocks);

    bosh_log(BOSH_LOG_NOTICE, BOSHNO(1006) "connector %u runs", args->index);
    if (loss.streams) {
        bosh_log(BOSH_LOG_WARNING,
                 BOSHNO(1012) "connector %u: %u streams of the one before it are lost, and %llu "
                              "bytes that it had not fetched for their servers",
                 args->index, loss.streams, (unsigned long long)loss.bytes);
    }
}

static void log_leaving(const connector_t *k)
{
    bosh_log(BOSH_LOG_NOTICE, BOSHNO(1007) "connector %u ends", k->args->index);
    if (k->count > 0) {
        bosh_log(BOSH_LOG_WARNING,
                 BOSHNO(1013) "connector %u leaves %u streams whose servers did not take all, or "
                              "did not close them",
                 k->args->index, k->count);
    }
}

apr_status_t bosh_connector_run(const bosh_connector_args_t *args, apr_pool_t *p)
{
    connector_t *k = calloc(1, sizeof(*k));
    watch_t door, control;
    apr_status_t rv;

    if (!k) {
        return APR_ENOMEM;
    }
    k->args = args;
    k->pool = p;
    k->now = k->ticked = k->forgiven = bosh_now();
    bosh_xml_init();
    rv = begin(k, &door, &control);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    join(k);
    read_mail(k);
    loop(k);
    log_leaving(k);
    while (k->all) {
        c2s_abandon(k->all);
    }
    return APR_SUCCESS;
}
