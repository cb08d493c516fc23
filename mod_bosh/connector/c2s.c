/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* One client-to-server stream: its beginning, its end, its deadlines. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connector_int.h"

/* How long the server has for its closing tag after ours. */
#define CLOSE_MS BOSH_SEC(2)

/* How long a server that reads nothing keeps a session that is over. */
#define STUCK_MS BOSH_SEC(10)

static uint32_t place_of(bosh_ref_t ref)
{
    return ref.index * BOSH_MAX_STREAMS + ref.stream;
}

c2s_t *find_c2s(const connector_t *k, bosh_ref_t ref)
{
    uint32_t i = place_of(ref);
    c2s_t *c = ref.stream < BOSH_MAX_STREAMS && i < k->by_index_size ? k->by_index[i] : NULL;

    return c && bosh_ref_same(c->ref, ref) ? c : NULL;
}

static bool remember(connector_t *k, c2s_t *c)
{
    uint32_t i = place_of(c->ref);

    if (c->ref.stream >= BOSH_MAX_STREAMS) {
        return false;
    }
    if (i >= k->by_index_size) {
        uint32_t size = (i + 1) * 2;
        c2s_t **grown = realloc(k->by_index, size * sizeof(*grown));

        if (!grown) {
            return false;
        }
        for (uint32_t n = k->by_index_size; n < size; n++) {
            grown[n] = NULL;
        }
        k->by_index = grown;
        k->by_index_size = size;
    }
    k->by_index[i] = c;
    return true;
}

static void link_in(connector_t *k, c2s_t *c)
{
    c->next = k->all;
    if (c->next) {
        c->next->prev = c;
    }
    k->all = c;
    k->count++;
}

static void unlink_c2s(c2s_t *c)
{
    connector_t *k = c->k;

    if (c->prev) {
        c->prev->next = c->next;
    }
    else {
        k->all = c->next;
    }
    if (c->next) {
        c->next->prev = c->prev;
    }
    if (k->by_index[place_of(c->ref)] == c) {
        k->by_index[place_of(c->ref)] = NULL;
    }
    k->count--;
}

void c2s_log_session(const bosh_end_t *end)
{
    const char *condition = bosh_condition_name((bosh_condition_t)end->condition);

    if (end->serial) {
        bosh_log(BOSH_LOG_INFO, BOSHNO(1008) "session %llu ended: %s%s%s",
                 (unsigned long long)end->serial, bosh_reason_text((bosh_reason_t)end->reason),
                 *condition ? ", " : "", condition);
    }
}

static void fail_session(connector_t *k, bosh_ref_t ref)
{
    bosh_end_t end =
        bosh_store_up_ended(k->args->store, ref, BOSH_COND_INTERNAL_SERVER_ERROR,
                            BOSH_REASON_CONNECT_FAILED, BOSH_ABSENT, k->now, &k->knocks);

    c2s_log_session(&end);
}

static void set_name(c2s_t *c, uint64_t serial)
{
    int n = snprintf(c->name, sizeof(c->name), "session %llu", (unsigned long long)serial);

    if (c->ref.stream > 0) {
        snprintf(c->name + n, sizeof(c->name) - (size_t)n, " stream %u", c->ref.stream);
    }
}

/* By this connector alone. */
static bool is_one_too_many(const c2s_t *c)
{
    uint32_t max = c->upstream->max_streams;

    return max > 0 && domains_streams(&c->visit) > max;
}

void c2s_begin(connector_t *k, bosh_ref_t ref, const bosh_task_t *task)
{
    c2s_t *c = calloc(1, sizeof(*c));

    if (!c) {
        fail_session(k, ref);
        return;
    }
    c->k = k;
    c->ref = ref;
    set_name(c, task->serial);
    c->born = k->now;
    bosh_buf_init(&c->out, 0);
    bosh_buf_init(&c->down, 0);
    bosh_buf_init(&c->features, 0);
    bosh_buf_init(&c->error, 0);
    c->patience = BOSH_SEC(task->connect_timeout);
    c->upstream = malloc(sizeof(*c->upstream));
    if (!c->upstream || !domains_join(&k->domains, &c->visit, task->upstream.to)
        || !remember(k, c)) {
        domains_leave(&k->domains, &c->visit);
        free(c->upstream);
        free(c);
        fail_session(k, ref);
        return;
    }
    *c->upstream = task->upstream;
    link_in(k, c);
    bosh_log(BOSH_LOG_DEBUG, BOSHNO(1002) "%s: to %s at %s:%u", c->name, c->upstream->to,
             c->upstream->host, c->upstream->port);
    BOSH_CRASH_POINT("connecting");
    if (is_one_too_many(c)) {
        connect_refuse(c, "there are as many streams to it as max= allows (BoshDomain)");
    }
    else {
        attempt_begin(c);
    }
}

void c2s_close_socket(c2s_t *c)
{
    if (c->link.sock) {
        watch_set(&c->watch, 0);
        link_close(c->k, &c->link);
    }
}

void c2s_destroy(c2s_t *c)
{
    unlink_c2s(c);
    domains_leave(&c->k->domains, &c->visit);
    names_forget(c->k->names, c);
    c2s_close_socket(c);
    bosh_stream_free(c->stream);
    bosh_buf_wipe(&c->out);
    bosh_buf_free(&c->out);
    bosh_buf_wipe(&c->down);
    bosh_buf_free(&c->down);
    bosh_buf_free(&c->features);
    bosh_buf_free(&c->error);
    bosh_bouncer_free(&c->bouncer);
    free(c->upstream);
    free(c);
}

/* How long, and why it ended. Of a session with one stream this is its one line; others have
 * a line for each stream, and one of their own. */
static void log_end(const c2s_t *c, const bosh_end_t *end)
{
    const char *condition = bosh_condition_name(c->condition);
    const char *why = c->reason == BOSH_REASON_STREAM_LOST ? c->failure : "";
    bool is_all = end->serial && !end->had_several;

    bosh_log(BOSH_LOG_INFO, BOSHNO(1003) "%s%s to %s ended after %lld s: %s%s%s%s%s%s", c->name,
             is_all || c->ref.stream > 0 ? "" : " stream 0", c->upstream->to,
             (long long)(c->k->now - c->born) / 1000, bosh_reason_text(c->reason), *why ? " (" : "",
             why, *why ? ")" : "", *condition ? ", " : "", condition);
    if (!is_all) {
        c2s_log_session(end);
    }
}

static void finish(c2s_t *c)
{
    connector_t *k = c->k;
    bosh_end_t end = bosh_store_up_ended(k->args->store, c->ref, c->condition, c->reason,
                                         bosh_buf_str(&c->error), k->now, &k->knocks);

    log_end(c, &end);
    c2s_destroy(c);
}

/* The last stanzas wait for room, unless the session gave them up. */
static void drain(c2s_t *c)
{
    bosh_up_t up;

    if (c->down.len > 0 && down_put(c) == BOSH_PUT_NO_ROOM) {
        bosh_store_take_up(c->k->args->store, c->ref, NULL, 0, c->k->now, &up, &c->k->knocks);
        if (up.reason == BOSH_REASON_NONE && !up.ended) {
            return;
        }
        bosh_log(BOSH_LOG_WARNING, BOSHNO(1004) "%s: %zu bytes for the client are lost", c->name,
                 c->down.len);
    }
    finish(c);
}

void c2s_end(c2s_t *c, bosh_condition_t condition, bosh_reason_t reason)
{
    attempt_over(c, condition, reason);
    up_log_unsent(c);
    if (c->reason == BOSH_REASON_NONE) {
        c->condition = condition;
        c->reason = reason;
    }
    if (c->state == BOUNCING) {
        bosh_log(BOSH_LOG_DEBUG, BOSHNO(1010) "%s: its server did not take all that went back",
                 c->name);
    }
    c2s_close_socket(c);
    c->state = DRAINING;
    c->deadline = 0;
    drain(c);
}

/* A socket tells its error once, to a write for example, and after that only that it is at its end. */
void c2s_note_break(c2s_t *c, apr_status_t rv)
{
    char text[128];

    if (!c->failure[0] || !APR_STATUS_IS_EOF(rv)) {
        snprintf(c->failure, sizeof(c->failure), "%s", link_why(&c->link, rv, text, sizeof(text)));
    }
}

void c2s_lost(c2s_t *c, apr_status_t rv)
{
    c2s_note_break(c, rv);
    c2s_end(c, BOSH_COND_REMOTE_CONNECTION_FAILED, BOSH_REASON_STREAM_LOST);
}

void c2s_abandon(c2s_t *c)
{
    if (c->reason == BOSH_REASON_NONE) {
        c->condition = BOSH_COND_SYSTEM_SHUTDOWN;
        c->reason = BOSH_REASON_SHUTDOWN;
    }
    finish(c);
}

void c2s_forget_stream(c2s_t *c)
{
    bosh_stream_free(c->stream);
    c->stream = NULL;
    c->is_up = c->closed = c->stream_error = false;
    bosh_buf_clear(&c->out);
    bosh_buf_clear(&c->error);
}

bool c2s_open_stream(c2s_t *c)
{
    c2s_forget_stream(c);
    c->stream = bosh_stream_create(c->k->parsers, &down_events, c, &bosh_xml_stream_limits);
    if (!c->stream || watch_set(&c->watch, APR_POLLIN) != APR_SUCCESS) {
        c2s_end(c, BOSH_COND_INTERNAL_SERVER_ERROR, BOSH_REASON_CONNECT_FAILED);
        return false;
    }
    up_start_stream(c);
    return true;
}

void c2s_connected(c2s_t *c)
{
    c->state = STREAMING;
    c->deadline = 0;
    c->failure[0] = '\0';
    if (c2s_open_stream(c)) {
        up_move(c);
    }
}

void c2s_part(c2s_t *c, bosh_str_t words)
{
    link_t link = c->link;

    up_log_unsent(c);
    if (link.sock && up_last_words(c, words)) {
        watch_set(&c->watch, 0);
        c->link = (link_t){ 0 };
        part_begin(c->k, &link);
    }
}

void c2s_say_goodbye(c2s_t *c)
{
    c->state = CLOSING;
    c->deadline = c->k->now + CLOSE_MS;
    watch_set(&c->watch, c->watch.events | APR_POLLIN);
    bosh_buf_add_z(&c->out, CLOSING_TAG);
}

void c2s_close(c2s_t *c, const bosh_up_t *up)
{
    c->condition = (bosh_condition_t)up->condition;
    c->reason = (bosh_reason_t)up->reason;
    attempt_over(c, c->condition, c->reason);
    if (c->state != STREAMING && !(c->state == SECURING && c->stream)) {
        c2s_end(c, c->condition, c->reason);
    }
    else if (c->state == STREAMING && c->is_up) {
        bounce_begin(c);
        bounce_move(c);
    }
    else {
        c2s_say_goodbye(c);
        up_flush(c);
    }
}

/* Before the stream is there, only an end is of interest; bytes stay in the store. */
static void serve_early(c2s_t *c)
{
    bosh_up_t up;

    bosh_store_take_up(c->k->args->store, c->ref, NULL, 0, c->k->now, &up, &c->k->knocks);
    if (up.ended || up.reason != BOSH_REASON_NONE) {
        c2s_close(c, &up);
    }
}

/* A server that reads nothing would never get to the end of the session. */
static void limit_stuck(c2s_t *c)
{
    bosh_up_t up;

    if (c->state == STREAMING && c->out.len > 0 && !c->deadline && up_is_over(c, &up)) {
        c->condition = (bosh_condition_t)up.condition;
        c->reason = (bosh_reason_t)up.reason;
        c->deadline = c->k->now + STUCK_MS;
    }
}

void c2s_serve(c2s_t *c)
{
    switch (c->state) {
    case WAITING:
    case FINDING:
    case CONNECTING:
    case SECURING: serve_early(c); break;
    case STREAMING:
        if (c->down.len > 0 && down_put(c) == BOSH_PUT_OK) {
            watch_set(&c->watch, c->watch.events | APR_POLLIN);
        }
        if (up_move(c)) {
            limit_stuck(c);
        }
        break;
    case BOUNCING:
    case CLOSING: break;
    case DRAINING: drain(c); break;
    }
}

void c2s_tick(c2s_t *c, bosh_msec_t now)
{
    if (!c->deadline || now < c->deadline) {
        keepalive_tick(c);
        return;
    }
    if (c->state == CONNECTING || c->state == SECURING) {
        connect_timed_out(c);
    }
    else {
        c2s_end(c, c->condition, c->reason);
    }
}
