/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* From the attributes of <body/> to a request for the store. */

#include "front_int.h"

APLOG_USE_MODULE(bosh);

static bool refuse(admission_t *a, bosh_condition_t condition, const char *why)
{
    a->refused = condition;
    a->why = why;
    return false;
}

/* gloox ends a session with 'terminal'. */
static bool is_terminate(bosh_str_t type)
{
    return bosh_str_eq(type, "terminate") || bosh_str_eq(type, "terminal");
}

static bool fill_request(bench_t *b, guest_t *g, bosh_request_t *req, admission_t *a)
{
    const bosh_str_t *attr = b->body.attr;
    uint64_t pause = 0;

    /* Whole, so it counts; but nobody is there to read an
     * answer, and what would be in it stays for the next request. */
    *req = (bosh_request_t){ .holder = g->hung_up ? BOSH_NOBODY : room_holder(g),
                             .asks = g->asks,
                             .payload = bosh_buf_str(&b->body.payload) };
    if (!bosh_parse_uint(attr[BOSH_A_RID], BOSH_RID_MAX, &req->rid)) {
        return refuse(a, BOSH_COND_BAD_REQUEST, "no usable rid");
    }
    a->rid = req->rid;
    if (is_terminate(attr[BOSH_A_TYPE])) {
        req->asks |= BOSH_ASKS_TERMINATE;
    }
    if (bosh_parse_bool(attr[BOSH_A_XMPP_RESTART])) {
        req->asks |= BOSH_ASKS_RESTART;
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

/* A sid belongs to one virtual host and location: FNV-1a of both. */
static uint64_t hash(uint64_t h, const char *z)
{
    for (; *z; z++) {
        h = (h ^ (unsigned char)*z) * UINT64_C(1099511628211);
    }
    return (h ^ 0xff) * UINT64_C(1099511628211);
}

static uint64_t realm_of(const request_rec *r)
{
    const server_rec *s = r->server;
    uint64_t h = UINT64_C(14695981039346656037);

    h = hash(h, s->server_hostname ? s->server_hostname : "");
    h ^= (uint64_t)(s->addrs ? s->addrs->host_port : s->port) << 16;
    return hash(h, bosh_config_location(r));
}

static bool is_secure(request_rec *r)
{
    conn_rec *c = r->connection;

    return ap_ssl_conn_is_ssl(c->master ? c->master : c);
}

static bosh_policy_t policy_of(const bosh_conf_t *conf)
{
    return (bosh_policy_t){
        .wait = (uint32_t)conf->wait,
        .hold = (uint32_t)conf->hold,
        .inactivity = (uint32_t)conf->inactivity,
        .polling = (uint32_t)conf->polling,
        .maxpause = (uint32_t)conf->maxpause,
        .connect_timeout = (uint32_t)conf->connect_timeout,
    };
}

static bool fill_upstream(const bosh_conf_t *conf, const bosh_str_t *attr, bosh_upstream_t *up,
                          admission_t *a)
{
    const bosh_domain_t *domain;

    if (!attr[BOSH_A_TO].p || attr[BOSH_A_TO].len == 0) {
        return refuse(a, BOSH_COND_IMPROPER_ADDRESSING, "no `to`");
    }
    domain = bosh_config_domain(conf, attr[BOSH_A_TO]);
    if (!domain) {
        return refuse(a, BOSH_COND_HOST_UNKNOWN, "BoshDomain does not list the domain asked for");
    }
    /* Too long a `from` or xml:lang is left out: neither is needed. */
    bosh_str_copy(up->from, sizeof(up->from), attr[BOSH_A_FROM]);
    bosh_str_copy(up->lang, sizeof(up->lang), attr[BOSH_A_LANG]);
    up->port = domain->port;
    if (!bosh_str_copy(up->to, sizeof(up->to), bosh_str(domain->name))
        || !bosh_str_copy(up->host, sizeof(up->host), bosh_str(domain->host))) {
        return refuse(a, BOSH_COND_HOST_UNKNOWN, "the domain's name is too long");
    }
    return true;
}

static void create(request_rec *r, bench_t *b, bosh_request_t *req, admission_t *a)
{
    const bosh_conf_t *conf = bosh_config(r->server);
    const bosh_str_t *attr = b->body.attr;
    bosh_policy_t policy = policy_of(conf);
    bosh_offer_t offer = { .rid = attr[BOSH_A_RID],
                           .ver = attr[BOSH_A_VER],
                           .wait = attr[BOSH_A_WAIT],
                           .hold = attr[BOSH_A_HOLD],
                           .ack = attr[BOSH_A_ACK] };
    bosh_birth_t birth = { .realm = realm_of(r), .secure = is_secure(r) };

    a->legacy = !attr[BOSH_A_VER].p;
    if (!bosh_negotiate(&offer, &policy, &birth.terms)) {
        refuse(a, BOSH_COND_BAD_REQUEST, "an attribute of the session request is malformed");
        return;
    }
    if (!fill_upstream(conf, attr, &birth.upstream, a)) {
        return;
    }
    bosh_store_create_session(room_store(), &birth, req, bosh_now(), a->sid, &b->out, &a->outcome);
}

void admit(request_rec *r, bench_t *b, guest_t *g, admission_t *a)
{
    const bosh_str_t *attr = b->body.attr;
    bosh_request_t req;

    memset(a, 0, sizeof(*a));
    if (!fill_request(b, g, &req, a)) {
        return;
    }
    if (!attr[BOSH_A_SID].p) {
        create(r, b, &req, a);
    }
    else {
        bosh_str_copy(a->sid, sizeof(a->sid), attr[BOSH_A_SID]);
        bosh_store_request(room_store(), attr[BOSH_A_SID], realm_of(r), is_secure(r), &req,
                           bosh_now(), &b->out, &a->outcome);
    }
    room_send_knocks(&a->outcome.knocks);
}
