/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Host names to addresses, without blocking: c-ares asks, the loop polls its
 * sockets. Literal addresses need no asking, /etc/hosts is read by c-ares.
 */

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include <ares.h>
#include <arpa/inet.h>
#include <netinet/in.h>

#include <apr_portable.h>

#include "connector_int.h"

/* Sockets c-ares has open at once; it opens one per server and protocol. */
#define MAX_SOCKETS 32

typedef struct query_t {
    struct query_t *next;
    names_t *names;
    names_found_fn *found;
    void *baton; /* NULL: nobody wants the answer any more */
    uint16_t port;
} query_t;

typedef struct asock_t {
    watch_t watch; /* first */
    names_t *names;
    apr_socket_t *shell;
    ares_socket_t fd; /* ARES_SOCKET_BAD: free */
} asock_t;

struct names_t {
    connector_t *k;
    ares_channel channel;
    query_t *queries;
    asock_t sockets[MAX_SOCKETS];
};

static void on_socket(watch_t *w, apr_int16_t events)
{
    asock_t *a = (asock_t *)w;
    ares_socket_t r = events & (APR_POLLIN | APR_POLLHUP | APR_POLLERR) ? a->fd : ARES_SOCKET_BAD;
    ares_socket_t o = events & APR_POLLOUT ? a->fd : ARES_SOCKET_BAD;

    ares_process_fd(a->names->channel, r, o);
}

static asock_t *find_socket(names_t *n, ares_socket_t fd)
{
    for (unsigned i = 0; i < MAX_SOCKETS; i++) {
        if (n->sockets[i].fd == fd) {
            return &n->sockets[i];
        }
    }
    return NULL;
}

/* c-ares tells which sockets it wants polled, and for what; neither: it closes. */
static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
    names_t *n = data;
    asock_t *a = find_socket(n, fd);
    apr_int16_t events = (apr_int16_t)((readable ? APR_POLLIN : 0) | (writable ? APR_POLLOUT : 0));

    if (!a && events) {
        a = find_socket(n, ARES_SOCKET_BAD);
        if (!a) {
            return; /* its query times out */
        }
        a->fd = fd;
        apr_os_sock_put(&a->shell, &a->fd, n->k->pool);
        watch_init_socket(&a->watch, n->k, a->shell, on_socket);
    }
    if (a) {
        watch_set(&a->watch, events);
        if (!events) {
            a->fd = ARES_SOCKET_BAD;
        }
    }
}

apr_status_t names_create(names_t **names, connector_t *k, apr_pool_t *p)
{
    names_t *n = apr_pcalloc(p, sizeof(*n));
    struct ares_options o = { .timeout = 2000, .tries = 2 };

    o.sock_state_cb = on_socket_state;
    o.sock_state_cb_data = n;
    n->k = k;
    for (unsigned i = 0; i < MAX_SOCKETS; i++) {
        n->sockets[i].fd = ARES_SOCKET_BAD;
        n->sockets[i].names = n;
    }
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS
        || ares_init_options(&n->channel, &o,
                             ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES)
               != ARES_SUCCESS) {
        return APR_EGENERAL;
    }
    *names = n;
    return APR_SUCCESS;
}

void names_destroy(names_t *n)
{
    ares_destroy(n->channel);
    ares_library_cleanup();
}

static unsigned copy_addresses(const struct ares_addrinfo *info, uint16_t port, address_t *list)
{
    unsigned n = 0;

    for (const struct ares_addrinfo_node *a = info->nodes; a && n < MAX_ADDRESSES; a = a->ai_next) {
        if (a->ai_family == AF_INET) {
            memcpy(list[n].bytes, &((struct sockaddr_in *)(void *)a->ai_addr)->sin_addr, 4);
        }
        else if (a->ai_family == AF_INET6) {
            memcpy(list[n].bytes, &((struct sockaddr_in6 *)(void *)a->ai_addr)->sin6_addr, 16);
        }
        else {
            continue;
        }
        list[n].family = a->ai_family;
        list[n++].port = port;
    }
    return n;
}

static void unlink_query(query_t *q)
{
    query_t **at = &q->names->queries;

    while (*at != q) {
        at = &(*at)->next;
    }
    *at = q->next;
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    query_t *q = arg;
    address_t list[MAX_ADDRESSES];
    unsigned n = info ? copy_addresses(info, q->port, list) : 0; /* NULL with an error */

    (void)timeouts;
    if (info) {
        ares_freeaddrinfo(info);
    }
    unlink_query(q);
    if (q->baton) {
        q->found(q->baton, list, n, status == ARES_SUCCESS ? NULL : ares_strerror(status));
    }
    free(q);
}

/* c-ares 1.18 was seen asking name servers for "127.0.0.1". */
static bool parse_literal(const char *host, uint16_t port, address_t *a)
{
    a->port = port;
    a->family = AF_INET;
    if (inet_pton(AF_INET, host, a->bytes) == 1) {
        return true;
    }
    a->family = AF_INET6;
    return inet_pton(AF_INET6, host, a->bytes) == 1;
}

void names_find(names_t *n, const char *host, uint16_t port, names_found_fn *found, void *baton)
{
    address_t literal;
    struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    query_t *q;

    if (parse_literal(host, port, &literal)) {
        found(baton, &literal, 1, NULL);
        return;
    }
    q = malloc(sizeof(*q));
    if (!q) {
        found(baton, NULL, 0, "out of memory");
        return;
    }
    *q = (query_t){ .next = n->queries, .names = n, .found = found, .baton = baton, .port = port };
    n->queries = q;
    ares_getaddrinfo(n->channel, host, NULL, &hints, on_answer, q);
}

void names_forget(names_t *n, void *baton)
{
    for (query_t *q = n->queries; q; q = q->next) {
        if (q->baton == baton) {
            q->baton = NULL;
        }
    }
}

void names_tick(names_t *n)
{
    ares_process_fd(n->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}
