/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A suspended request on a worker again; and its connection, which the MPM does not
 * take back: from now on we do what the MPM does between requests.
 */

#include "front_int.h"

#include <poll.h>
#include <sys/socket.h>

#include "apr_portable.h"
#include "mpm_common.h"

APLOG_USE_MODULE(bosh);

/* The store is asked again after this when it could not be had. */
#define BUSY_MS 1000

bool resume_is_half_closed(conn_rec *c)
{
    struct pollfd p = { .events = POLLRDHUP };

    return apr_os_sock_get(&p.fd, ap_get_conn_socket(c)) != APR_SUCCESS
           || (poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)));
}

bool resume_is_hung_up(conn_rec *c, bool *urgent)
{
    apr_os_sock_t fd;
    char byte;
    ssize_t n;

    *urgent = false;
    if (apr_os_sock_get(&fd, ap_get_conn_socket(c)) != APR_SUCCESS) {
        return true;
    }
    n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n == 0) {
        return true;
    }
    if (n < 0) {
        return !APR_STATUS_IS_EAGAIN(errno) && errno != EINTR;
    }
    /* A good-bye; TLS's own, or a request. */
    *urgent = true;
    return resume_is_half_closed(c);
}

/* The suspending worker runs the hooks, then clears this, and is gone. */
static void wait_until_released(conn_rec *c)
{
    while (__atomic_load_n(&c->sbh, __ATOMIC_ACQUIRE)) {
        apr_thread_yield();
    }
}

static void end_guest(guest_t *g)
{
    conn_rec *c = g->c;
    bool wait = false;

    if (!c->aborted) {
        wait = !ap_start_lingering_close(c);
    }
    room_linger(g, wait);
}

/* What ap_process_async_request() does after a handler that did not suspend. */
static void finish_request(guest_t *g)
{
    request_rec *r = g->r;

    g->r = NULL;
    ap_finalize_request_protocol(r);
    ap_process_request_after_handler(r);
}

/* The store cannot be had now. A child that stops cannot wait: those who reap it see to
 * what it held. */
static bool park_again(guest_t *g)
{
    if (room_is_emptying()) {
        return false;
    }
    room_park(g, bosh_now() + BUSY_MS);
    return true;
}

/* True: given up; false: parked again. */
static bool abandon(guest_t *g)
{
    bosh_knocks_t knocks = { 0 };

    if (!bosh_store_gone(room_store(), g->ref, g->rid, room_holder(g), bosh_now(), &knocks)
        && park_again(g)) {
        return false;
    }
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, g->r,
                  BOSHNO(3008) "the client hung up while its request was held");
    room_send_knocks(&knocks);
    answer_nobody(g->r);
    finish_request(g);
    return true;
}

/* Nobody is there to read: what would be in this answer stays for the next. */
static bool notice_hang_up(guest_t *g)
{
    bool urgent;

    if (!g->hung_up) {
        g->hung_up = resume_is_hung_up(g->c, &urgent);
        if (urgent) {
            g->asks |= BOSH_ASKS_URGENT;
        }
    }
    return g->hung_up;
}

/* True: answered, or given up; false: parked again. */
static bool resume_request(guest_t *g, bench_t *b)
{
    bosh_outcome_t o;

    if (notice_hang_up(g)) {
        return abandon(g);
    }
    bosh_store_due(room_store(), g->ref, g->rid, room_holder(g), g->asks, bosh_now(), &b->out, &o);
    room_send_knocks(&o.knocks);
    if (o.got == BOSH_GOT_HOLD) {
        room_park(g, o.due);
        return false;
    }
    if (o.got == BOSH_GOT_BUSY && park_again(g)) {
        return false;
    }
    if (room_is_emptying()) {
        g->c->keepalive = AP_CONN_CLOSE;
    }
    answer_outcome(g->r, b, &o, g->sid, g->rid);
    answer_written(&o, g->rid, room_holder(g));
    finish_request(g);
    return true;
}

static void flush(conn_rec *c)
{
    apr_bucket_brigade *bb = apr_brigade_create(c->pool, c->bucket_alloc);

    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(c->bucket_alloc));
    ap_pass_brigade(c->output_filters, bb);
    apr_brigade_destroy(bb);
}

static bool may_stay(conn_rec *c)
{
    return c->keepalive == AP_CONN_KEEPALIVE && !c->aborted && !room_is_emptying();
}

static void process(conn_rec *c)
{
    c->cs->state = CONN_STATE_PROCESSING;
    ap_run_process_connection(c);
}

/* What the MPM does with the states that process_connection leaves. */
static void drive(guest_t *g)
{
    conn_rec *c = g->c;

    for (;;) {
        switch (c->cs->state) {
        case CONN_STATE_WRITE_COMPLETION:
        case CONN_STATE_KEEPALIVE:
            if (!g->hung_up) {
                flush(c);
            }
            if (!may_stay(c)) {
                end_guest(g);
                return;
            }
            if (!c->data_in_input_filters) {
                c->cs->state = CONN_STATE_SUSPENDED;
                room_idle(g, bosh_now() + g->keep);
                return;
            }
            process(c);
            break;
        case CONN_STATE_SUSPENDED:
            if (g->suspending) {
                g->suspending = false;
                room_park(g, g->due);
            }
            return;
        case CONN_STATE_ASYNC_WAITIO:
            c->cs->state = CONN_STATE_SUSPENDED;
            room_idle(g, bosh_now() + apr_time_as_msec(c->base_server->timeout));
            return;
        default: end_guest(g); return;
        }
    }
}

/* Its time is over; or the child's. A request that came at the last moment counts. */
static bool may_go(guest_t *g)
{
    bool urgent = false;

    if (bosh_now() < g->until && !room_is_emptying()) {
        return false;
    }
    resume_is_hung_up(g->c, &urgent);
    return !urgent;
}

static void resume_idle(guest_t *g)
{
    if (emptying_without_workers() || may_go(g)) {
        end_guest(g);
    }
    else {
        process(g->c);
        drive(g);
    }
}

void resume_guest(guest_t *g)
{
    bench_t *b;
    bool is_done;

    g->c->current_thread = ap_thread_current();
    if (!g->r) {
        resume_idle(g);
        return;
    }
    wait_until_released(g->c);
    /* The handler's thread held this when it returned SUSPENDED. */
    apr_thread_mutex_lock(g->r->invoke_mtx);
    apr_thread_mutex_unlock(g->r->invoke_mtx);
    b = bench_take();
    is_done = resume_request(g, b);
    bench_return(b);
    if (is_done) {
        drive(g);
    }
}
