/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * An XMPP domain to the places where its server may be (RFC 6120, 3.2; XEP-0368):
 *
 *   both SRV names at once --records--> A, AAAA of one target after the other --> found()
 *                          --none-----> A, AAAA of the domain, port 5222 ------->
 *                          --failure--> found() with the reason
 */

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <netinet/in.h>

#include <apr_general.h>

#include "idn.h"
#include "names_int.h"

#define XMPP_PORT 5222

/* Where there are several targets, none has all the places. */
#define MAX_PER_TARGET (MAX_ADDRESSES / 2)

/* Who has an address waits so long for those of later targets. */
#define SPARE_MS BOSH_SEC(2)

struct service_t {
    service_t *next;
    names_t *names;
    names_targets_fn *found;
    void *baton;
    bool want_starttls;
    bool is_fallback;    /* the domain's own addresses, without SRV */
    bool has_srv_failed; /* and error says how */
    unsigned waiting;    /* SRV answers to come */
    unsigned at;         /* target whose addresses are asked for */
    const char *error;   /* the first */
    bosh_msec_t enough;  /* when to be content with what there is; 0: there is nothing yet */
    unsigned n;
    target_t list[MAX_ADDRESSES];
    unsigned of[MAX_ADDRESSES]; /* which target each is of */
    srv_set_t srv;
    char domain[SRV_NAME];
};

/* ---- words -------------------------------------------------------------- */

/* For the log, and so for the administrator. */
static const char *words(int status)
{
    switch (status) {
    case ARES_ENOTFOUND: return "the name is not found in DNS";
    case ARES_ENODATA: return "the name has no address in DNS";
    case ARES_ETIMEOUT: return "the name servers give no answer";
    case ARES_EBADNAME: return "this is not a valid host name";
    case ARES_EBADRESP:
    case ARES_EFORMERR: return "the name servers' answer cannot be understood";
    case ARES_ENOMEM: return names_no_memory;
    /* What c-ares makes of SERVFAIL and REFUSED is "connection refused". */
    default: return "the name servers fail (SERVFAIL), refuse to answer, or cannot be reached";
    }
}

static const char *words_for_target(const service_t *s, int status)
{
    if (status != ARES_ENOTFOUND && status != ARES_ENODATA) {
        return words(status);
    }
    if (!s->is_fallback) {
        return "its SRV records lead to hosts that have no address in DNS";
    }
    return status == ARES_ENOTFOUND ? "the name is not found in DNS, and has no SRV records"
                                    : "the name has neither SRV records nor an address in DNS";
}

/* ---- the end ------------------------------------------------------------ */

static void unlink_service(service_t *s)
{
    service_t **at = &s->names->services;

    while (*at != s) {
        at = &(*at)->next;
    }
    *at = s->next;
}

/* s is gone. */
static void finish(service_t *s)
{
    unlink_service(s);
    questions_forget(s->names, s);
    s->found(s->baton, s->list, s->n, s->n > 0 ? NULL : s->error);
    free(s);
}

static void fail(service_t *s, const char *error)
{
    s->n = 0;
    s->error = error;
    finish(s);
}

void services_forget(names_t *n, const void *baton)
{
    for (service_t **at = &n->services, *s; (s = *at) != NULL;) {
        if (baton && s->baton != baton) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        questions_forget(n, s);
        free(s);
    }
}

/* ---- addresses ---------------------------------------------------------- */

static unsigned room_for_target(const service_t *s)
{
    unsigned room = MAX_ADDRESSES - s->n;

    return s->srv.n > 1 && room > MAX_PER_TARGET ? MAX_PER_TARGET : room;
}

static void add(service_t *s, const address_t *a)
{
    const srv_record_t *r = &s->srv.record[s->at];
    target_t *t = &s->list[s->n];

    t->address = *a;
    t->address.port = r->port;
    t->direct = r->direct;
    s->of[s->n++] = s->at;
}

static void add_all(service_t *s, const struct ares_addrinfo *info)
{
    address_t list[MAX_ADDRESSES];
    unsigned n = names_addresses(info, list, room_for_target(s));

    for (unsigned i = 0; i < n; i++) {
        add(s, &list[i]);
    }
}

/* The same host may be there twice, for direct TLS and without, and need not be asked for again. */
static bool is_known(service_t *s)
{
    unsigned n = s->n, before = 0;

    while (before < s->at
           && strcasecmp(s->srv.record[before].target, s->srv.record[s->at].target) != 0) {
        before++;
    }
    for (unsigned i = 0, room = room_for_target(s); before < s->at && i < n && room > 0; i++) {
        if (s->of[i] == before) {
            add(s, &s->list[i].address);
            room--;
        }
    }
    return before < s->at;
}

static void on_addresses(question_t *q, int status, const struct ares_addrinfo *info,
                         const struct ares_srv_reply *srv);

/* Asks for the next target's addresses, or is done with s. An answer may come before the call
 * returns: each target may be a call deeper. */
static void go_on(service_t *s)
{
    question_t *q;

    while (s->at < s->srv.n && s->n < MAX_ADDRESSES && is_known(s)) {
        s->at++;
    }
    if (s->at == s->srv.n || s->n == MAX_ADDRESSES
        || (s->enough && s->names->k->now >= s->enough)) {
        finish(s);
        return;
    }
    q = question_new(s->names, EXACT, on_addresses, s);
    if (!q) {
        s->error = words(ARES_ENOMEM);
        finish(s);
        return;
    }
    if (s->enough && s->enough < q->deadline) {
        q->deadline = s->enough;
    }
    question_ask_addresses(q, s->srv.record[s->at].target);
}

static void on_addresses(question_t *q, int status, const struct ares_addrinfo *info,
                         const struct ares_srv_reply *srv)
{
    service_t *s = q->baton;

    (void)srv;
    if (status == ARES_SUCCESS && info) {
        add_all(s, info);
    }
    if (!s->error) {
        s->error = words_for_target(s, status == ARES_SUCCESS ? ARES_ENODATA : status);
    }
    if (s->n > 0 && !s->enough) {
        s->enough = s->names->k->now + SPARE_MS;
    }
    s->at++;
    go_on(s);
}

/* ---- SRV ---------------------------------------------------------------- */

/* Need not be good, only different in every process: it shares out load. */
static uint32_t any_number(void *baton, uint32_t max)
{
    uint32_t number = 0;

    (void)baton;
    apr_generate_random_bytes((unsigned char *)&number, sizeof(number));
    return (uint32_t)(((uint64_t)number * (max + UINT64_C(1))) >> 32);
}

/*
 * Both answers are there. One is enough: where only the other failed, what is known is used.
 *
 * A failure (SERVFAIL, silence) is not taken for "no records", though RFC 6120 leaves that open:
 * the domain's own address is often a web server's, and port 5222 there somebody else's; the
 * stream would be refused for its certificate, or hang, and the log would tell of that and
 * not of the name servers. And nobody should be able to choose the server by suppressing answers.
 */
static void choose(service_t *s)
{
    if (s->srv.n > 0) {
        s->error = NULL; /* what comes now says more */
        srv_order(&s->srv, any_number, NULL);
        go_on(s);
    }
    else if (s->has_srv_failed) {
        finish(s);
    }
    else if (s->srv.has_broken) {
        fail(s, "its SRV records are of no use: port 0, or targets that are no host names");
    }
    else if (s->srv.is_denied) {
        fail(s, "it says that it offers no XMPP service to clients (SRV target is \".\")");
    }
    else if (!s->want_starttls) {
        fail(s, "it says of no server with direct TLS (no SRV records of _xmpps-client)");
    }
    else {
        s->is_fallback = true;
        srv_add(&s->srv, false, 0, 0, XMPP_PORT, s->domain);
        go_on(s);
    }
}

static void on_srv(question_t *q, int status, const struct ares_addrinfo *info,
                   const struct ares_srv_reply *srv)
{
    service_t *s = q->baton;

    (void)info;
    for (; srv; srv = srv->next) {
        srv_add(&s->srv, q->direct, srv->priority, srv->weight, srv->port, srv->host);
    }
    if (status != ARES_SUCCESS && status != ARES_ENOTFOUND && status != ARES_ENODATA) {
        s->has_srv_failed = true;
        s->error = words(status);
    }
    if (--s->waiting == 0) {
        choose(s);
    }
}

static void ask_srv(service_t *s, bool direct)
{
    char name[SRV_NAME + sizeof("_xmpps-client._tcp..")];
    question_t *q = question_new(s->names, EXACT, on_srv, s);

    if (!q) {
        s->has_srv_failed = true;
        s->error = words(ARES_ENOMEM);
        s->waiting--;
        return;
    }
    q->direct = direct;
    snprintf(name, sizeof(name), "_xmpp%s-client._tcp.%s.", direct ? "s" : "", s->domain);
    question_ask_srv(q, name);
}

/* ---- the beginning ------------------------------------------------------ */

/* Domains come from clients too. NULL: this can be asked for; copied as DNS writes it, without
 * its dot. */
static const char *refuse(const char *domain, char copy[SRV_NAME])
{
    if (!idn_to_ascii(copy, SRV_NAME, domain, strlen(domain)) || !srv_is_name(copy)) {
        return words(ARES_EBADNAME);
    }
    return NULL;
}

static void find_literal(const address_t *a, bool want_starttls, names_targets_fn *found,
                         void *baton)
{
    target_t t = { .address = *a };

    if (want_starttls) {
        found(baton, &t, 1, NULL);
    }
    else {
        found(baton, NULL, 0, "an address has no SRV records that tell of direct TLS");
    }
}

static service_t *new_service(names_t *n, const char *domain)
{
    service_t *s = calloc(1, sizeof(*s));

    if (s) {
        memcpy(s->domain, domain, strlen(domain) + 1);
        s->names = n;
        s->next = n->services;
        n->services = s;
    }
    return s;
}

void names_find_service(names_t *n, const char *domain, bool want_direct, bool want_starttls,
                        names_targets_fn *found, void *baton)
{
    char copy[SRV_NAME];
    const char *error;
    address_t literal;
    service_t *s;

    if (names_parse_literal(domain, XMPP_PORT, &literal)) {
        find_literal(&literal, want_starttls, found, baton);
        return;
    }
    error = refuse(domain, copy);
    s = error ? NULL : new_service(n, copy);
    if (!s) {
        found(baton, NULL, 0, error ? error : words(ARES_ENOMEM));
        return;
    }
    s->found = found;
    s->baton = baton;
    s->want_starttls = want_starttls;
    s->waiting = 1u + want_direct + want_starttls; /* one for us: answers may come at once */
    if (want_direct) {
        ask_srv(s, true);
    }
    if (want_starttls) {
        ask_srv(s, false);
    }
    if (--s->waiting == 0) {
        choose(s);
    }
}
