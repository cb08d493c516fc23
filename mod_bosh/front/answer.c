/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * From an outcome to an HTTP answer. Never an HTML page, never a byte of the request.
 *
 * An answer that is repeated has the same bytes: all of it follows from the outcome and
 * from what the session was born with, nothing from the clock or the configuration.
 */

#include "front_int.h"

#include "util_filter.h"

#ifdef BOSH_FAULTS
#include <signal.h>
#include <unistd.h>
#endif

APLOG_USE_MODULE(bosh);

#define BODY_START   "<body xmlns='" BOSH_NS_HTTPBIND "'"
#define XMPP_VERSION " xmlns:xmpp='" BOSH_NS_XBOSH "' xmpp:version='1.0'"
#define STREAM_NS    " xmlns:stream='" BOSH_NS_STREAMS "'"
#define CONTENT      "text/xml; charset=utf-8"

/* XEP-0124 section 17.1: instead of conditions, for clients that sent no `ver`. */
static int legacy_status(bosh_condition_t condition)
{
    switch (condition) {
    case BOSH_COND_BAD_REQUEST: return HTTP_BAD_REQUEST;
    case BOSH_COND_POLICY_VIOLATION: return HTTP_FORBIDDEN;
    case BOSH_COND_ITEM_NOT_FOUND: return HTTP_NOT_FOUND;
    default: return HTTP_OK;
    }
}

void answer_set_headers(request_rec *r, const char *content, apr_off_t len)
{
    core_request_config *core = ap_get_core_module_config(r->request_config);

    core->suppress_charset = 1; /* AddDefaultCharset may name one that is not UTF-8 */
    ap_set_content_type(r, content && *content ? apr_pstrdup(r->pool, content) : CONTENT);
    ap_set_content_length(r, len);
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    /* A stanza may hold anything: no browser shall run it as a page of this site. */
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    apr_table_setn(r->headers_out, "Content-Security-Policy", "default-src 'none'; sandbox");
    /* Secrets and others' words side by side are not compressed together, unless the
     * administrator says so. These are asked by mod_deflate and mod_brotli. */
    if (!bosh_config(r->server)->compress) {
        apr_table_setn(r->subprocess_env, "no-gzip", "1");
        apr_table_setn(r->subprocess_env, "no-brotli", "1");
    }
}

static void add(apr_bucket_brigade *bb, const char *p, size_t len)
{
    if (len > 0) {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_transient_create(p, len, bb->bucket_alloc));
    }
}

/* Down to the socket. A flush before the end would make compression filters send what
 * they have, and then nobody could tell the length: clients exist that know nothing of
 * chunks. */
static apr_status_t pass(request_rec *r, apr_bucket_brigade *bb)
{
    apr_bucket_alloc_t *alloc = r->connection->bucket_alloc;
    apr_bucket *flush = apr_bucket_flush_create(alloc);
    apr_bucket *eos = apr_bucket_eos_create(alloc);
    apr_status_t rv;

    if (!bosh_config(r->server)->compress) {
        APR_BRIGADE_INSERT_TAIL(bb, flush);
        APR_BRIGADE_INSERT_TAIL(bb, eos);
        return ap_pass_brigade(r->output_filters, bb);
    }
    APR_BRIGADE_INSERT_TAIL(bb, eos);
    rv = ap_pass_brigade(r->output_filters, bb);
    if (rv != APR_SUCCESS) {
        apr_bucket_destroy(flush);
        return rv;
    }
    apr_brigade_cleanup(bb);
    APR_BRIGADE_INSERT_TAIL(bb, flush);
    return ap_pass_brigade(r->connection->output_filters, bb);
}

#ifdef BOSH_FAULTS
/* Dies when half of the payload has left. */
static void tear_answer(request_rec *r, apr_bucket_brigade *bb, bosh_str_t payload)
{
    if (bosh_crash_is_ours("answer-torn")) {
        add(bb, payload.p, payload.len / 2);
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(r->connection->bucket_alloc));
        ap_pass_brigade(r->output_filters, bb);
        kill(getpid(), SIGKILL);
    }
}
#else
#define tear_answer(r, bb, payload) ((void)0)
#endif

/* Nobody reads this connection any more. But what was said on it before counts, a good-bye
 * above all; and httpd gives up a connection with the first write that fails: so from now
 * on nothing is written, not even HTTP's headers. False: nothing more was said. */
static bool only_listen(request_rec *r)
{
    conn_rec *c = r->connection;
    bool is_next = false;

    if (c->master) {
        return false;
    }
    c->aborted = 0; /* else mod_ssl reads nothing more */
    input_look_behind(r, &is_next);
    if (is_next) {
        r->output_filters = r->proto_output_filters = c->output_filters;
        c->keepalive = AP_CONN_KEEPALIVE;
    }
    return is_next;
}

/* In one go: the next answer may leave only after this one. */
static apr_status_t send_body(request_rec *r, const char *content, bosh_str_t head,
                              bosh_str_t payload)
{
    static const char tail[] = "</body>";
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    apr_off_t len = (apr_off_t)(head.len + payload.len + (payload.len ? sizeof(tail) - 1 : 0));
    apr_status_t rv;

    answer_set_headers(r, content, len);
    BOSH_CRASH_POINT("answer-unwritten");
    add(bb, head.p, head.len);
    if (payload.len) {
        tear_answer(r, bb, payload);
        add(bb, payload.p, payload.len);
        add(bb, tail, sizeof(tail) - 1);
    }
    rv = pass(r, bb);
    if (r->connection->aborted && !only_listen(r)) {
        r->connection->aborted = 1;
    }
    return rv;
}

static void add_version(bosh_buf_t *out, const bosh_terms_t *t)
{
    if (t->ver_major) {
        bosh_buf_add_z(out, " ver='");
        bosh_buf_add_uint(out, t->ver_major);
        bosh_buf_add_z(out, ".");
        bosh_buf_add_uint(out, t->ver_minor);
        bosh_buf_add_z(out, "'");
    }
}

static void add_name(bosh_buf_t *out, const char *attr, const char *value)
{
    if (value[0]) {
        bosh_xml_add_attr(out, attr, bosh_str(value));
    }
}

/* XEP-0124 section 7.2, XEP-0206 section 4. */
static void add_created(bosh_buf_t *out, const bosh_outcome_t *o, const char *sid,
                        const bosh_greeting_t *g)
{
    const bosh_terms_t *t = &o->terms;

    bosh_xml_add_attr(out, "sid", bosh_str(sid));
    bosh_xml_add_attr_uint(out, "wait", t->wait);
    bosh_xml_add_attr_uint(out, "requests", t->requests);
    bosh_xml_add_attr_uint(out, "hold", t->hold);
    bosh_xml_add_attr_uint(out, "inactivity", t->inactivity);
    bosh_xml_add_attr_uint(out, "polling", t->polling);
    if (t->maxpause) {
        bosh_xml_add_attr_uint(out, "maxpause", t->maxpause);
    }
    add_version(out, t);
    bosh_xml_add_attr(out, "charsets", BOSH_STR("UTF-8"));
    if (t->takes_gzip) {
        bosh_xml_add_attr(out, "accept", BOSH_STR("gzip"));
    }
    add_name(out, "from", g->from);
    bosh_buf_add_z(out, XMPP_VERSION " xmpp:restartlogic='true'" STREAM_NS);
}

/* XEP-0124 section 16.3. */
static void add_stream(bosh_buf_t *out, const bosh_greeting_t *g)
{
    add_name(out, "from", g->from);
    bosh_buf_add_z(out, XMPP_VERSION);
}

/* XEP-0124 section 9. */
static void add_acks(bosh_buf_t *out, const bosh_answer_t *answer)
{
    if (answer->ack) {
        bosh_xml_add_attr_uint(out, "ack", answer->ack);
    }
    if (answer->report) {
        bosh_xml_add_attr_uint(out, "report", answer->report);
        bosh_xml_add_attr_uint(out, "time", answer->time);
    }
}

static void add_type(bosh_buf_t *out, const char *type, bosh_condition_t condition)
{
    bosh_xml_add_attr(out, "type", bosh_str(type));
    if (condition != BOSH_COND_NONE) {
        bosh_xml_add_attr(out, "condition", bosh_str(bosh_condition_name(condition)));
    }
}

/* XEP-0206 section 2 wants the prefix of features and errors declared here too. What was
 * serialised has no such bytes but in a start tag. */
static bool needs_stream_ns(const bosh_outcome_t *o, bosh_str_t payload)
{
    return o->answer.kind != BOSH_ANSWER_CREATED && payload.len > 0
           && memmem(payload.p, payload.len, "<stream:", 8);
}

static void compose_head(bosh_buf_t *out, const bosh_outcome_t *o, const char *sid,
                         const bosh_greeting_t *g, bosh_str_t payload)
{
    bosh_buf_clear(out);
    bosh_buf_add_z(out, BODY_START);
    switch (o->answer.kind) {
    case BOSH_ANSWER_CREATED: add_created(out, o, sid, g); break;
    case BOSH_ANSWER_STREAM: add_stream(out, g); break;
    case BOSH_ANSWER_TERMINATE:
        add_type(out, "terminate", (bosh_condition_t)o->answer.condition);
        break;
    case BOSH_ANSWER_ERROR: add_type(out, "error", BOSH_COND_NONE); break;
    default: break;
    }
    if (o->answer.greets) {
        add_name(out, "authid", g->authid);
    }
    add_acks(out, &o->answer);
    add_name(out, "stream", o->stream);
    if (needs_stream_ns(o, payload)) {
        bosh_buf_add_z(out, STREAM_NS);
    }
    bosh_buf_add_z(out, o->payload_len > 0 ? ">" : "/>");
}

/* Only what needs it: it takes the store's lock. The Content-Type was given to the first
 * stream. */
static void fetch_greeting(const bosh_outcome_t *o, bosh_greeting_t *g)
{
    bool is_greeting = o->answer.kind == BOSH_ANSWER_CREATED || o->answer.kind == BOSH_ANSWER_STREAM
                       || o->answer.greets;
    bosh_ref_t first = o->ref;
    bosh_greeting_t own;

    memset(g, 0, sizeof(*g));
    first.stream = 0;
    if (is_greeting) {
        bosh_store_greeting(room_store(), o->ref, g);
    }
    if (o->terms.has_content && !(is_greeting && bosh_ref_same(first, o->ref))) {
        bosh_store_greeting(room_store(), first, &own);
        memcpy(g->content, own.content, sizeof(g->content));
    }
}

/* Of a stream that ends alone, its session and so the client live on. */
static bool ends_session(const bosh_outcome_t *o)
{
    return o->answer.kind == BOSH_ANSWER_TERMINATE && !o->stream[0];
}

/* A payload larger than the buffer was left in the store, and now there is room for it. */
static bool has_room(bench_t *b, const bosh_outcome_t *o)
{
    return b->out.len == o->payload_len || bosh_buf_room(&b->out, o->payload_len);
}

static bool fetch_payload(bench_t *b, const bosh_outcome_t *o, uint64_t rid)
{
    return b->out.len == o->payload_len || bosh_store_payload(room_store(), o->ref, rid, &b->out);
}

apr_status_t answer_outcome(request_rec *r, bench_t *b, const bosh_outcome_t *o, const char *sid,
                            uint64_t rid)
{
    bool is_legacy = o->terms.ver_major == 0;
    bosh_greeting_t g;

    if (o->got >= BOSH_GOT_NO_ROOM) {
        return answer_later(r, b);
    }
    if (o->got == BOSH_GOT_ANSWER && !has_room(b, o)) {
        return answer_later(r, b); /* it is kept, and its client asks for it again */
    }
    if (o->got != BOSH_GOT_ANSWER || !fetch_payload(b, o, rid)) {
        return answer_refusal(r, b, BOSH_COND_ITEM_NOT_FOUND, false, NULL);
    }
    fetch_greeting(o, &g);
    compose_head(&b->head, o, sid, &g, bosh_buf_str(&b->out));
    if (b->head.failed) {
        return answer_later(r, b);
    }
    if (is_legacy && ends_session(o)) {
        r->status = legacy_status((bosh_condition_t)o->answer.condition);
    }
    return send_body(r, g.content, bosh_buf_str(&b->head), bosh_buf_str(&b->out));
}

apr_status_t answer_refusal(request_rec *r, bench_t *b, bosh_condition_t condition, bool legacy,
                            const char *content)
{
    bosh_str_t uri = BOSH_ABSENT;

    if (condition == BOSH_COND_SEE_OTHER_URI) {
        uri = bosh_str(bosh_config(r->server)->see_other);
    }
    bosh_buf_clear(&b->head);
    bosh_buf_add_z(&b->head, BODY_START);
    add_type(&b->head, "terminate", condition);
    if (uri.p) {
        bosh_buf_add_z(&b->head, "><uri>");
        bosh_xml_add_escaped(&b->head, uri);
        bosh_buf_add_z(&b->head, "</uri></body>");
    }
    else {
        bosh_buf_add_z(&b->head, "/>");
    }
    if (b->head.failed) {
        return answer_later(r, b);
    }
    if (legacy) {
        r->status = legacy_status(condition);
    }
    return send_body(r, content, bosh_buf_str(&b->head), BOSH_ABSENT);
}

apr_status_t answer_later(request_rec *r, bench_t *b)
{
    (void)b;
    r->status = HTTP_SERVICE_UNAVAILABLE;
    apr_table_setn(r->headers_out, "Retry-After", "1");
    return send_body(r, NULL, BOSH_STR(BODY_START "/>"), BOSH_ABSENT);
}

int answer_none(request_rec *r)
{
    r->connection->keepalive = AP_CONN_CLOSE;
    r->connection->aborted = 1;
    return DONE;
}

int answer_nobody(request_rec *r)
{
    return only_listen(r) ? OK : answer_none(r);
}

void answer_written(const bosh_outcome_t *o, uint64_t rid, bosh_holder_t holder)
{
    bosh_knocks_t knocks = { 0 };

    if (o->is_kept) {
        bosh_store_written(room_store(), o->ref, rid, holder, bosh_now(), &knocks);
        room_send_knocks(&knocks);
    }
}
