/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Host names to addresses, without blocking: c-ares asks. Literal addresses and localhost need
 * no asking, /etc/hosts is read by c-ares.
 */

#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netinet/in.h>

#include "names_int.h"

const char names_no_memory[] = "out of memory";

/* ---- questions ---------------------------------------------------------- */

question_t *question_new(names_t *n, channel_kind_t kind, answered_fn *answered, void *baton)
{
    question_t *q = calloc(1, sizeof(*q));

    if (!q) {
        return NULL;
    }
    q->channel = channel_get(n, kind);
    if (!q->channel) {
        free(q);
        return NULL;
    }
    q->channel->questions++;
    q->kind = kind;
    q->names = n;
    q->answered = answered;
    q->baton = baton;
    q->deadline = n->k->now + QUESTION_MS;
    q->next = n->questions;
    n->questions = q;
    return q;
}

static void deliver(question_t *q, int status, const struct ares_addrinfo *info,
                    const struct ares_srv_reply *srv)
{
    if (q->baton) {
        q->answered(q, status, info, srv);
        q->baton = NULL;
    }
}

/* c-ares has called back. */
static void end(question_t *q)
{
    question_t **at = &q->names->questions;

    questions_forget(q->names, q); /* those for one family */
    while (*at != q) {
        at = &(*at)->next;
    }
    *at = q->next;
    q->channel->questions--;
    free(q);
}

static void on_addresses(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    question_t *q = arg;

    (void)timeouts;
    deliver(q, status, info, NULL); /* NULL with an error */
    if (info) {
        ares_freeaddrinfo(info);
    }
    end(q);
}

/* RFC 6761 section 6.3: always this machine. A small system has no /etc/hosts, and c-ares would
 * ask name servers. */
static void answer_localhost(question_t *q)
{
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    struct sockaddr_in four = { .sin_family = AF_INET,
                                .sin_addr = { .s_addr = htonl(INADDR_LOOPBACK) } };
    struct ares_addrinfo_node second = { .ai_family = AF_INET6, .ai_addr = (void *)&six };
    struct ares_addrinfo_node first = { .ai_family = AF_INET,
                                        .ai_addr = (void *)&four,
                                        .ai_next = &second };
    const struct ares_addrinfo info = { .nodes = &first };

    deliver(q, ARES_SUCCESS, &info, NULL);
    end(q);
}

static void ask_addresses(question_t *q, const char *host, int family)
{
    struct ares_addrinfo_hints hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };

    ares_getaddrinfo(q->channel->ares, host, NULL, &hints, on_addresses, q);
}

/* The other family may come too late; a server that is reached by one is enough. */
static void on_family(question_t *q, int status, const struct ares_addrinfo *info,
                      const struct ares_srv_reply *srv)
{
    (void)srv;
    if (status == ARES_SUCCESS && info && info->nodes) {
        deliver(q->baton, status, info, NULL);
    }
}

static void ask_family(question_t *of, int family)
{
    question_t *q = question_new(of->names, of->kind, on_family, of);

    if (q) {
        ask_addresses(q, of->host, family);
    }
}

void question_ask_addresses(question_t *q, const char *host)
{
    if (strcasecmp(host, "localhost") == 0) {
        answer_localhost(q);
        return;
    }
    if (bosh_str_copy(q->host, sizeof(q->host), bosh_str(host))) {
        q->families_at = q->names->k->now + FAMILIES_MS;
    }
    ask_addresses(q, host, AF_UNSPEC);
}

static void on_srv(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
    question_t *q = arg;
    struct ares_srv_reply *srv = NULL;

    (void)timeouts;
    if (status == ARES_SUCCESS && q->baton) {
        status = ares_parse_srv_reply(bytes, len, &srv);
    }
    deliver(q, status, NULL, srv);
    if (srv) {
        ares_free_data(srv);
    }
    end(q);
}

/* No search domain is appended: that is ares_search()'s. */
void question_ask_srv(question_t *q, const char *name)
{
    ares_query(q->channel->ares, name, ns_c_in, ns_t_srv, on_srv, q);
}

void questions_forget(names_t *n, const void *baton)
{
    for (question_t *q = n->questions; q; q = q->next) {
        if (q->baton == baton) {
            q->baton = NULL;
        }
    }
}

/* Whoever is told may ask something else: that is put in front of the list. */
static void end_patience(names_t *n)
{
    for (question_t *q = n->questions; q; q = q->next) {
        if (n->k->now >= q->deadline) {
            deliver(q, ARES_ETIMEOUT, NULL, NULL);
        }
        else if (q->baton && q->families_at && n->k->now >= q->families_at) {
            q->families_at = 0;
            ask_family(q, AF_INET6);
            ask_family(q, AF_INET);
        }
    }
}

/* ---- addresses of one name ---------------------------------------------- */

/* The next of that family, from *node on. */
static bool take(const struct ares_addrinfo_node **node, int family, address_t *a)
{
    for (; *node; *node = (*node)->ai_next) {
        if ((*node)->ai_family == family) {
            const void *sa = (*node)->ai_addr;

            *a = (address_t){ .family = family };
            if (family == AF_INET) {
                memcpy(a->bytes, &((const struct sockaddr_in *)sa)->sin_addr, 4);
            }
            else {
                memcpy(a->bytes, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
            }
            *node = (*node)->ai_next;
            return true;
        }
    }
    return false;
}

unsigned names_addresses(const struct ares_addrinfo *info, address_t *list, unsigned max)
{
    int first = info->nodes && info->nodes->ai_family == AF_INET ? AF_INET : AF_INET6;
    const struct ares_addrinfo_node *one = info->nodes, *other = info->nodes;
    unsigned n = 0, before;

    do {
        before = n;
        n += n < max && take(&one, first, &list[n]);
        n += n < max && take(&other, first == AF_INET ? AF_INET6 : AF_INET, &list[n]);
    } while (n > before);
    return n;
}

static void on_found(question_t *q, int status, const struct ares_addrinfo *info,
                     const struct ares_srv_reply *srv)
{
    address_t list[MAX_ADDRESSES];
    unsigned n = info ? names_addresses(info, list, MAX_ADDRESSES) : 0;

    (void)srv;
    for (unsigned i = 0; i < n; i++) {
        list[i].port = q->port;
    }
    q->found(q->baton, list, n,
             status == ARES_SUCCESS  ? NULL
             : status == ARES_ENOMEM ? names_no_memory
                                     : ares_strerror(status));
}

/* c-ares 1.18 was seen asking name servers for "127.0.0.1". */
bool names_parse_literal(const char *host, uint16_t port, address_t *a)
{
    char inside[INET6_ADDRSTRLEN];
    size_t len = strlen(host);

    *a = (address_t){ .port = port, .family = AF_INET };
    if (inet_pton(AF_INET, host, a->bytes) == 1) {
        return true;
    }
    a->family = AF_INET6;
    if (host[0] == '[' && host[len - 1] == ']' && len - 2 < sizeof(inside)) {
        memcpy(inside, host + 1, len - 2);
        inside[len - 2] = '\0';
        host = inside;
    }
    return inet_pton(AF_INET6, host, a->bytes) == 1;
}

void names_find(names_t *n, const char *host, uint16_t port, names_found_fn *found, void *baton)
{
    address_t literal;
    question_t *q;

    if (names_parse_literal(host, port, &literal)) {
        found(baton, &literal, 1, NULL);
        return;
    }
    q = question_new(n, SEARCHING, on_found, baton);
    if (!q) {
        found(baton, NULL, 0, names_no_memory);
        return;
    }
    q->found = found;
    q->port = port;
    question_ask_addresses(q, host);
}

/* ---- life --------------------------------------------------------------- */

apr_status_t names_create(names_t **names, connector_t *k, apr_pool_t *p)
{
    names_t *n = apr_pcalloc(p, sizeof(*n));

    *names = n;
    n->k = k;
    channels_init_sockets(n);
    return ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS ? APR_SUCCESS : APR_EGENERAL;
}

void names_use_source(names_t *n, const names_source_t *source)
{
    n->source = *source;
}

void names_forget(names_t *n, const void *baton)
{
    questions_forget(n, baton);
    services_forget(n, baton);
}

/* c-ares calls back for all it was asked: then nobody must be left who asks something more. */
void names_destroy(names_t *n)
{
    for (question_t *q = n->questions; q; q = q->next) {
        q->baton = NULL;
    }
    services_forget(n, NULL);
    channels_destroy(n);
    ares_library_cleanup();
}

void names_tick(names_t *n)
{
    channels_tick(n);
    end_patience(n);
}
