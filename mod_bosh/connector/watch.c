/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Sockets in the pollset; and socket structures that are used again. */

#include <sys/socket.h>
#include <unistd.h>

#include <apr_portable.h>
#include <apr_tables.h>

#include "connector_int.h"

static void init(watch_t *w, connector_t *k, void (*ready)(watch_t *, apr_int16_t))
{
    w->ready = ready;
    w->k = k;
    w->events = 0;
    w->pfd = (apr_pollfd_t){ .p = k->pool, .client_data = w };
}

void watch_init_socket(watch_t *w, connector_t *k, apr_socket_t *sock,
                       void (*ready)(watch_t *, apr_int16_t))
{
    init(w, k, ready);
    w->pfd.desc_type = APR_POLL_SOCKET;
    w->pfd.desc.s = sock;
}

void watch_init_file(watch_t *w, connector_t *k, apr_file_t *file,
                     void (*ready)(watch_t *, apr_int16_t))
{
    init(w, k, ready);
    w->pfd.desc_type = APR_POLL_FILE;
    w->pfd.desc.f = file;
}

apr_status_t watch_set(watch_t *w, apr_int16_t events)
{
    apr_status_t rv = APR_SUCCESS;

    if (events == w->events) {
        return APR_SUCCESS;
    }
    if (w->events) {
        apr_pollset_remove(w->k->pollset, &w->pfd);
    }
    w->events = events;
    w->pfd.reqevents = events;
    if (events) {
        rv = apr_pollset_add(w->k->pollset, &w->pfd);
        if (rv != APR_SUCCESS) {
            w->events = 0;
        }
    }
    return rv;
}

/*
 * apr_socket_create() takes its memory from a pool, 8 KiB at least, or for ever
 * from a shared one. apr_os_sock_put() fills a structure that exists: so closed
 * sockets leave theirs for the next.
 */
static apr_array_header_t *shells;

apr_socket_t *shell_open(connector_t *k, int family)
{
    apr_socket_t *sock = NULL;
    apr_os_sock_t fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return NULL;
    }
    if (shells && shells->nelts > 0) {
        sock = *(apr_socket_t **)apr_array_pop(shells);
    }
    if (apr_os_sock_put(&sock, &fd, k->pool) != APR_SUCCESS) {
        close(fd);
        return NULL;
    }
    apr_socket_timeout_set(sock, 0);
    return sock;
}

void shell_close(connector_t *k, apr_socket_t *sock)
{
    apr_socket_close(sock);
    if (!shells) {
        shells = apr_array_make(k->pool, 16, sizeof(apr_socket_t *));
    }
    APR_ARRAY_PUSH(shells, apr_socket_t *) = sock;
}
