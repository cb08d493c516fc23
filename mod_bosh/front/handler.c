/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* One HTTP request: its method, and what is to be done with it. */

#include "front_int.h"

APLOG_USE_MODULE(bosh);

#define NO_FILE "bosh:" /* in the place of a file's path */

/* Between two lines about what a client can cause at will, in each child. */
#define COMPLAINT_MS BOSH_SEC(10)

/* Anybody may ask for anything: a line for each would fill the disk. told: when the last line
 * of a kind was written; 0: never. */
static bool may_complain(bosh_msec_t *told)
{
    bosh_msec_t now = bosh_now(), then = __atomic_load_n(told, __ATOMIC_RELAXED);

    if (then && now - then < COMPLAINT_MS) {
        return false;
    }
    __atomic_store_n(told, now, __ATOMIC_RELAXED);
    return true;
}

/* A domain that is not on the list may be one that its administrator has forgotten. */
void front_log_refusal(request_rec *r, bosh_condition_t refused, const char *why)
{
    static bosh_msec_t told;
    bool is_loud = refused == BOSH_COND_HOST_UNKNOWN && may_complain(&told);

    ap_log_rerror(APLOG_MARK, is_loud ? APLOG_WARNING : APLOG_INFO, 0, r,
                  BOSHNO(3001) "refused, %s: %s", bosh_condition_name(refused), why);
}

static int refuse(request_rec *r, bench_t *b, const admission_t *a)
{
    front_log_refusal(r, a->refused, a->why);
    answer_refusal(r, b, a->refused, a->legacy, a->content);
    return OK;
}

/* Of the client nothing is known, unless it wants an HTTP status. */
static int refuse_bytes(request_rec *r, bench_t *b, const char *why, bool legacy)
{
    const admission_t a = { .refused = BOSH_COND_BAD_REQUEST, .why = why, .legacy = legacy };

    return refuse(r, b, &a);
}

static int leave_to_nobody(request_rec *r)
{
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  BOSHNO(3009) "the client hung up before its request was looked at");
    return answer_nobody(r);
}

/* A session born over TLS: XEP-0124 section 19.1 says to close the connection, and
 * not to end the session, which would be what an attacker wants. */
static int close_exposed(request_rec *r)
{
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  BOSHNO(3002) "a session that began over TLS was asked for without: closed");
    return answer_none(r);
}

/* Whether it was a legacy client's (17.1), nobody knows any more. */
static int refuse_unknown(request_rec *r, bench_t *b)
{
    const admission_t a = { .refused = BOSH_COND_ITEM_NOT_FOUND, .why = "no such session" };

    return refuse(r, b, &a);
}

/* Why nothing was taken; NULL: nothing to worry about. */
static const char *complaint(bosh_got_t got)
{
    switch (got) {
    case BOSH_GOT_FULL:
        return BOSHNO(3003) "no more sessions: see BoshMaxSessions and BoshSharedMemory";
    case BOSH_GOT_CROWDED:
        return BOSHNO(3013) "this client has as many sessions as it may, or began too many: see "
                            "BoshMaxSessionsPerClient and BoshMaxNewPerClient";
    case BOSH_GOT_NO_RANDOM:
        return BOSHNO(3010) "no new sessions: the system gives no random bytes";
    case BOSH_GOT_NO_CONNECTOR:
        return BOSHNO(3011) "no new sessions for now: no connector gives a sign of life";
    case BOSH_GOT_BUSY:
        return BOSHNO(3012) "another process stands still inside the shared memory: was it "
                            "stopped?";
    default: return NULL;
    }
}

static void complain(request_rec *r, bosh_got_t got)
{
    static bosh_msec_t told;
    const char *text = complaint(got);
    int level;

    if (text) {
        level = may_complain(&told) ? APLOG_ERR : APLOG_DEBUG;
        ap_log_rerror(APLOG_MARK, level, 0, r, "%s", text);
    }
}

static int act_on(request_rec *r, bench_t *b, guest_t *g, const admission_t *a)
{
    if (a->refused != BOSH_COND_NONE) {
        return refuse(r, b, a);
    }
    switch (a->outcome.got) {
    case BOSH_GOT_HOLD: return hold_request(r, b, g, a);
    case BOSH_GOT_EXPOSED: return close_exposed(r);
    case BOSH_GOT_UNKNOWN: return refuse_unknown(r, b);
    default: complain(r, a->outcome.got); break;
    }
    answer_outcome(r, b, &a->outcome, a->sid, a->rid);
    answer_written(&a->outcome, a->rid, room_holder(g));
    return OK;
}

static int serve(request_rec *r, bench_t *b)
{
    guest_t *g = hold_guest(r);
    admission_t a;
    int rc;

    if (!g) {
        answer_later(r, b);
        return OK;
    }
    admit(r, b, g, &a);
    rc = g->hung_up ? leave_to_nobody(r) : act_on(r, b, g, &a);
    if (!hold_can_suspend(r) && g->ticket) {
        hold_release(g);
    }
    return rc;
}

static int handle_post(request_rec *r, bench_t *b)
{
    bosh_xml_limits_t limits = bosh_xml_body_limits;
    bosh_xml_verdict_t verdict;
    apr_status_t rv;

    b->inflates = input_is_inflated(r);
    rv = input_read(r, &b->in);
    if (rv != APR_SUCCESS) {
        r->connection->keepalive = AP_CONN_CLOSE; /* the rest of it is not read */
    }
    if (rv == AP_FILTER_ERROR) {
        return rv; /* httpd itself has answered */
    }
    if (APR_STATUS_IS_TIMEUP(rv) || APR_STATUS_IS_ENOMEM(rv)) {
        /* Neither a bad network nor our want of memory is a reason to end a session. */
        answer_later(r, b);
        return OK;
    }
    if (rv != APR_SUCCESS) {
        return refuse_bytes(r, b, "the body is too long, or not complete", false);
    }
    limits.max_bytes = bosh_config(r->server)->max_body;
    verdict = bosh_body_parse(&b->body, b->in.p, b->in.len, &limits);
    if (verdict == BOSH_XML_NO_MEMORY) {
        answer_later(r, b);
        return OK;
    }
    /* No BOSH client at all sends an empty POST: what does will understand 400. */
    if (verdict != BOSH_XML_OK) {
        return refuse_bytes(r, b, bosh_xml_verdict_text(verdict), verdict == BOSH_XML_EMPTY);
    }
    return serve(r, b);
}

static int post_handler(request_rec *r)
{
    bench_t *b;
    int rc = OK;

    stop_note_request();
    signals_hold_back();
    b = bench_take();
    if (hooks_is_ready()) {
        rc = handle_post(r, b);
    }
    else {
        answer_later(r, b); /* the error log says why */
    }
    bench_return(b);
    signals_release();
    return rc;
}

/* The location itself, with or without a slash at its end; nothing below. Of a pattern,
 * the administrator said what is. */
bool front_is_ours(const request_rec *r)
{
    const char *location = bosh_config_location(r);
    size_t n = strlen(location);

    if (bosh_config_is_pattern(r)) {
        return true;
    }
    return n > 0 && !strncmp(r->uri, location, n)
           && (r->uri[n] == '\0' || (r->uri[n] == '/' && r->uri[n + 1] == '\0'));
}

/* There is no file behind the location. Without a file name of its own the request
 * would be looked for in the document root at each POST, .htaccess files and all;
 * and a site's front controller in one of them would get it. The locations are known
 * here, and not in map_to_storage. */
int front_translate_name(request_rec *r)
{
    if (!front_is_ours(r)) {
        return DECLINED;
    }
    r->filename = apr_pstrcat(r->pool, NO_FILE, r->uri, NULL);
    return OK;
}

int front_map_to_storage(request_rec *r)
{
    return r->filename && !strncmp(r->filename, NO_FILE, sizeof(NO_FILE) - 1) ? OK : DECLINED;
}

/* Also to what is no BOSH client: never a page that a client cannot parse. */
static int refuse_http(request_rec *r, int status, bosh_condition_t condition)
{
    bench_t *b = bench_take();
    /* An HTTP/2 client may take an answer before the end of its request for an error. */
    apr_status_t rv = input_read(r, &b->in);

    if (rv != APR_SUCCESS) {
        r->connection->keepalive = AP_CONN_CLOSE;
    }
    if (rv != AP_FILTER_ERROR) {
        r->status = status;
        answer_refusal(r, b, condition, false, NULL);
    }
    bench_return(b);
    return rv == AP_FILTER_ERROR ? rv : OK;
}

static int refuse_origin(request_rec *r, const char *why)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, BOSHNO(3007) "refused, 403: %s", why);
    return refuse_http(r, HTTP_FORBIDDEN, BOSH_COND_POLICY_VIOLATION);
}

static int handle_options(request_rec *r)
{
    if (origin_answer_preflight(r)) {
        return OK;
    }
    ap_allow_standard_methods(r, REPLACE_ALLOW, M_GET, M_POST, M_OPTIONS, -1);
    return DECLINED; /* httpd answers with Allow */
}

int front_handler(request_rec *r)
{
    const char *why;

    if (!r->handler || strcmp(r->handler, BOSH_HANDLER)) {
        return DECLINED;
    }
    if (!front_is_ours(r) || r->main) {
        return refuse_http(r, HTTP_NOT_FOUND, BOSH_COND_BAD_REQUEST);
    }
    origin_set_headers(r);
    apr_table_unset(r->headers_in, "Range"); /* httpd would cut pieces out of any answer */
    switch (r->method_number) {
    case M_POST: why = origin_objection(r); return why ? refuse_origin(r, why) : post_handler(r);
    case M_GET: return page_handler(r);
    case M_OPTIONS: return handle_options(r);
    default:
        apr_table_setn(r->headers_out, "Allow", "GET, HEAD, POST, OPTIONS");
        return refuse_http(r, HTTP_METHOD_NOT_ALLOWED, BOSH_COND_BAD_REQUEST);
    }
}
