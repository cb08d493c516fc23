/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* From the attributes of <body/> to a request for the store. */

#include "front_int.h"

APLOG_USE_MODULE(bosh);

_Static_assert(BOSH_MOST_STREAMS == BOSH_MAX_STREAMS, "the room config knows no core");

/* What a request for the store points to. */
typedef struct material_t {
    bosh_keys_t keys;
    bosh_upstream_t add;
} material_t;

static bool refuse(admission_t *a, bosh_condition_t condition, const char *why)
{
    a->refused = condition;
    a->why = why;
    return false;
}

/* ---- every request ------------------------------------------------------ */

/* gloox ends a session with 'terminal'. */
static bool is_terminate(bosh_str_t type)
{
    return bosh_str_eq(type, "terminate") || bosh_str_eq(type, "terminal");
}

/* Who is never heard leaving: an HTTP/2 stream, or one whose thread blocks, looks for
 * its client only now and then. */
static bool is_deaf(const request_rec *r)
{
    return !hold_can_suspend(r);
}

static bool fill_asks(const request_rec *r, const bosh_str_t *attr, bosh_request_t *req,
                      admission_t *a)
{
    uint64_t pause = 0;

    if (is_terminate(attr[BOSH_A_TYPE])) {
        req->asks |= BOSH_ASKS_TERMINATE;
    }
    if (bosh_parse_bool(attr[BOSH_A_XMPP_RESTART])) {
        req->asks |= BOSH_ASKS_RESTART;
        req->from = attr[BOSH_A_FROM];
    }
    if (attr[BOSH_A_TO].p) {
        req->asks |= BOSH_ASKS_TO;
    }
    if (is_deaf(r)) {
        req->asks |= BOSH_ASKS_DEAF;
    }
    if (attr[BOSH_A_PAUSE].p) {
        if (!bosh_parse_uint(attr[BOSH_A_PAUSE], UINT32_MAX, &pause)) {
            return refuse(a, BOSH_COND_BAD_REQUEST, "no usable pause");
        }
        req->asks |= BOSH_ASKS_PAUSE;
        req->pause = (uint32_t)pause;
    }
    return true;
}

static bool fill_request(request_rec *r, bench_t *b, guest_t *g, material_t *m, bosh_request_t *req,
                         admission_t *a)
{
    const bosh_str_t *attr = b->body.attr;

    /* Whole, so it counts; but nobody is there to read an
     * answer, and what would be in it stays for the next request. */
    *req = (bosh_request_t){ .holder = g->hung_up ? BOSH_NOBODY : room_holder(g),
                             .asks = g->asks,
                             .payload = bosh_buf_str(&b->body.payload),
                             .stream = attr[BOSH_A_STREAM] };
    if (!bosh_parse_uint(attr[BOSH_A_RID], BOSH_RID_MAX, &req->rid)) {
        return refuse(a, BOSH_COND_BAD_REQUEST, "no usable rid");
    }
    a->rid = req->rid;
    if (attr[BOSH_A_KEY].p || attr[BOSH_A_NEWKEY].p) {
        req->keys = &m->keys;
        if (!keys_read(attr[BOSH_A_KEY], attr[BOSH_A_NEWKEY], &m->keys)) {
            return refuse(a, BOSH_COND_INTERNAL_SERVER_ERROR, "no random bytes");
        }
    }
    return fill_asks(r, attr, req, a);
}

/* A sid belongs to one virtual host and location. */
static uint64_t realm_of(const request_rec *r)
{
    const server_rec *s = r->server;
    uint64_t h = bosh_hash_z(BOSH_HASH, s->server_hostname ? s->server_hostname : "");

    h ^= (uint64_t)(s->addrs ? s->addrs->host_port : s->port) << 16;
    return bosh_hash_z(h, bosh_config_location(r));
}

/* Who is counted for a new session, as mod_remoteip or another knows it. A subscriber has
 * 2^64 IPv6 addresses, and one network. */
static bosh_client_t client_of(const request_rec *r)
{
    const bosh_conf_t *conf = bosh_config(r->server);
    const apr_sockaddr_t *a = r->useragent_addr;
    const unsigned char *bytes = a ? a->ipaddr_ptr : NULL;
    bosh_client_t client = { .max_living = (uint32_t)conf->client_sessions,
                             .max_new = (uint32_t)conf->client_new };
    bool is_mapped = bytes && a->family == APR_INET6
                     && IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)a->ipaddr_ptr);
    int n = !bytes ? 0 : is_mapped || a->family != APR_INET6 ? 4 : 8;

    if (n == 0 || (client.max_living == 0 && client.max_new == 0)) {
        return client;
    }
    client.key = bosh_hash(realm_of(r), bytes + (is_mapped ? 12 : 0), (size_t)n);
    client.key ^= client.key >> 32; /* its place is found by the low bits */
    client.key += client.key == 0;
    return client;
}

static bool is_secure(request_rec *r)
{
    conn_rec *c = r->connection;

    return ap_ssl_conn_is_ssl(c->master ? c->master : c);
}

/* ---- a new session ------------------------------------------------------ */

static bosh_policy_t policy_of(const request_rec *r)
{
    const bosh_conf_t *conf = bosh_config(r->server);

    return (bosh_policy_t){
        .wait = (uint32_t)conf->wait,
        .hold = (uint32_t)conf->hold,
        .inactivity = (uint32_t)conf->inactivity,
        .polling = (uint32_t)conf->polling,
        .maxpause = (uint32_t)conf->maxpause,
        .connect_timeout = (uint32_t)conf->connect_timeout,
        .streams = (uint32_t)conf->max_streams,
    };
}

static bool negotiate(const request_rec *r, const bosh_str_t *attr, bosh_birth_t *birth,
                      admission_t *a)
{
    bosh_policy_t policy = policy_of(r);
    bosh_offer_t offer = { .rid = attr[BOSH_A_RID],
                           .ver = attr[BOSH_A_VER],
                           .wait = attr[BOSH_A_WAIT],
                           .hold = attr[BOSH_A_HOLD],
                           .ack = attr[BOSH_A_ACK] };

    if (!bosh_negotiate(&offer, &policy, &birth->terms)) {
        return refuse(a, BOSH_COND_BAD_REQUEST, "an attribute of the session request is malformed");
    }
    if (attr[BOSH_A_CONTENT].p) {
        if (!content_take(attr[BOSH_A_CONTENT], birth->content)) {
            return refuse(a, BOSH_COND_BAD_REQUEST, "no usable content");
        }
        birth->terms.has_content = true;
        memcpy(a->content, birth->content, sizeof(a->content));
    }
    return true;
}

static void log_birth(request_rec *r, const bosh_birth_t *birth, const bosh_outcome_t *o)
{
    const bosh_terms_t *t = &o->terms;

    if (o->got != BOSH_GOT_HOLD && o->got != BOSH_GOT_ANSWER) {
        return;
    }
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  BOSHNO(3006) "session %" APR_UINT64_T_FMT " for %s begins: ver %u.%u, wait %u, "
                               "hold %u, requests %u, inactivity %u, polling %u, maxpause %u, "
                               "streams %u%s%s%s%s",
                  (apr_uint64_t)o->serial, birth->upstream.to, t->ver_major, t->ver_minor, t->wait,
                  t->hold, t->requests, t->inactivity, t->polling, t->maxpause, t->streams,
                  t->acks ? ", acks" : "", t->is_polling ? ", polls" : "",
                  t->has_content ? ", content" : "", birth->secure ? ", TLS" : "");
}

static void create(request_rec *r, bench_t *b, bosh_request_t *req, admission_t *a)
{
    const bosh_conf_t *conf = bosh_config(r->server);
    const bosh_str_t *attr = b->body.attr;
    bosh_birth_t birth = { .realm = realm_of(r), .client = client_of(r), .secure = is_secure(r) };
    bosh_condition_t condition;

    if (!negotiate(r, attr, &birth, a)) {
        return;
    }
    birth.terms.takes_gzip = b->inflates;
    if (*conf->see_other) {
        refuse(a, BOSH_COND_SEE_OTHER_URI, "BoshSeeOtherURI");
        return;
    }
    condition = upstream_fill(r, attr, &birth.upstream, &a->why);
    if (condition != BOSH_COND_NONE) {
        refuse(a, condition, a->why);
        return;
    }
    bosh_store_create_session(room_store(), &birth, req, bosh_now(), a->sid, &b->out, &a->outcome);
    log_birth(r, &birth, &a->outcome);
}

/* ---- an existing one ---------------------------------------------------- */

/* XEP-0124 section 16.3. With a restart, `to` means nothing (XEP-0206 section 5). */
static bool is_add(const bosh_request_t *req, const bosh_str_t *attr)
{
    const uint8_t other = BOSH_ASKS_RESTART | BOSH_ASKS_PAUSE | BOSH_ASKS_TERMINATE;

    return attr[BOSH_A_TO].len > 0 && req->payload.len == 0 && !(req->asks & other);
}

/*
 * What came behind the request? Its client may have aborted it before we came to it (a
 * busy server, a page that reloads). Or the next request came in the same packet: then
 * it lies in httpd's input filters, and no socket would ever tell. Or both: who leaves says
 * good-bye behind what waits, and closes.
 */
static void look_behind(request_rec *r, guest_t *g)
{
    conn_rec *c = r->connection;
    apr_status_t rv;
    bool is_next, more = false;

    if (c->master) {
        return; /* an HTTP/2 stream: mod_http2 looks after its connection */
    }
    rv = input_look_behind(r, &is_next);
    /* httpd's own filter takes the end for nothing to read, at first. */
    g->hung_up = (rv != APR_SUCCESS && !APR_STATUS_IS_EAGAIN(rv)) || resume_is_hung_up(c, &more)
                 || (is_next && resume_is_half_closed(c));
    if (is_next || more) {
        g->asks |= BOSH_ASKS_URGENT;
    }
}

/* A copy of a request that its client had aborted and sent again, on another connection, may be
 * so late that its session has gone on, or that the newer copy is held; and this thread may not
 * have run since it looked for the client. Who aborts it before he sends it again is gone by
 * now. */
static void ask_store(request_rec *r, bench_t *b, guest_t *g, bosh_request_t *req, admission_t *a)
{
    bosh_str_t sid = b->body.attr[BOSH_A_SID];

    BOSH_CRASH_POINT("request-looked-at");
    bosh_store_request(room_store(), sid, realm_of(r), is_secure(r), req, bosh_now(), &b->out,
                       &a->outcome);
    if (a->outcome.got == BOSH_GOT_STALE) {
        room_send_knocks(&a->outcome.knocks);
        look_behind(r, g);
        req->holder = g->hung_up ? BOSH_NOBODY : req->holder;
        req->is_there = true;
        bosh_store_request(room_store(), sid, realm_of(r), is_secure(r), req, bosh_now(), &b->out,
                           &a->outcome);
    }
}

static void request(request_rec *r, bench_t *b, guest_t *g, material_t *m, bosh_request_t *req,
                    admission_t *a)
{
    const bosh_str_t *attr = b->body.attr;
    const char *why = NULL;

    /* Beyond, or not a number: the store and core never see it. */
    bosh_parse_uint(attr[BOSH_A_ACK], BOSH_RID_MAX, &req->ack);
    if (is_add(req, attr)) {
        req->asks |= BOSH_ASKS_ADD;
        memset(&m->add, 0, sizeof(m->add));
        req->refused = upstream_fill(r, attr, &m->add, &why);
        req->add = req->refused == BOSH_COND_NONE ? &m->add : NULL;
    }
    bosh_str_copy(a->sid, sizeof(a->sid), attr[BOSH_A_SID]);
    ask_store(r, b, g, req, a);
    if (req->refused && a->outcome.answer.condition == req->refused) {
        front_log_refusal(r, req->refused, why);
    }
}

/* Refused before its session was asked: the answer still is one of that session. */
static void note_session(request_rec *r, bosh_str_t sid, admission_t *a)
{
    bosh_terms_t terms;
    bosh_ref_t ref;
    bosh_greeting_t greeting;

    if (!sid.p || !bosh_store_peek(room_store(), sid, realm_of(r), &terms, &ref)) {
        return;
    }
    a->legacy = terms.ver_major == 0;
    if (terms.has_content && bosh_store_greeting(room_store(), ref, &greeting)) {
        memcpy(a->content, greeting.content, sizeof(a->content));
    }
}

void admit(request_rec *r, bench_t *b, guest_t *g, admission_t *a)
{
    const bosh_str_t *attr = b->body.attr;
    material_t m;
    bosh_request_t req;

    memset(a, 0, sizeof(*a));
    look_behind(r, g);
    /* Of a session that exists, only the store knows. */
    a->legacy = !attr[BOSH_A_SID].p && !attr[BOSH_A_VER].p;
    if (!fill_request(r, b, g, &m, &req, a)) {
        note_session(r, attr[BOSH_A_SID], a);
        return;
    }
    if (attr[BOSH_A_SID].p) {
        request(r, b, g, &m, &req, a);
    }
    else {
        create(r, b, &req, a);
    }
    room_send_knocks(&a->outcome.knocks);
}
