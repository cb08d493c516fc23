/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * c-ares' channels: the loop polls their sockets. c-ares reads resolv.conf when a channel is
 * made, and never again (before its version 1.22); but connectors live for months. So a channel
 * that was made from another resolv.conf gets no new questions, and goes when it has none left.
 */

#include <stdlib.h>
#include <string.h>

#include <apr_portable.h>

#include "names_int.h"

#define LOOK_MS BOSH_SEC(1)

/* ---- sockets ------------------------------------------------------------ */

static void on_socket(watch_t *w, apr_int16_t events)
{
    asock_t *a = (asock_t *)w;
    ares_socket_t r = events & (APR_POLLIN | APR_POLLHUP | APR_POLLERR) ? a->fd : ARES_SOCKET_BAD;
    ares_socket_t o = events & APR_POLLOUT ? a->fd : ARES_SOCKET_BAD;

    if (a->fd != ARES_SOCKET_BAD) { /* closed since it was polled */
        ares_process_fd(a->channel->ares, r, o);
    }
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
    channel_t *c = data;
    names_t *n = c->names;
    asock_t *a = find_socket(n, fd);
    apr_int16_t events = (apr_int16_t)((readable ? APR_POLLIN : 0) | (writable ? APR_POLLOUT : 0));

    if (!a && events) {
        a = find_socket(n, ARES_SOCKET_BAD);
        if (!a) {
            return; /* its query times out */
        }
        a->fd = fd;
        a->channel = c;
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

void channels_init_sockets(names_t *n)
{
    for (unsigned i = 0; i < MAX_SOCKETS; i++) {
        n->sockets[i].fd = ARES_SOCKET_BAD;
    }
}

/* ---- life --------------------------------------------------------------- */

/* For the tests: another file, and servers at another port than 53. */
static int use_source(const names_source_t *s, struct ares_options *o)
{
    int mask = 0;

#ifdef ARES_OPT_RESOLVCONF
    if (s->path) {
        o->resolvconf_path = (char *)(uintptr_t)s->path;
        mask |= ARES_OPT_RESOLVCONF;
    }
#endif
    if (s->port) {
        o->udp_port = o->tcp_port = s->port;
        mask |= ARES_OPT_UDP_PORT | ARES_OPT_TCP_PORT;
    }
    if (s->timeout_ms) {
        o->timeout = s->timeout_ms;
    }
    return mask;
}

static bool open_channel(channel_t *c, channel_kind_t kind)
{
    struct ares_options o = { .timeout = 2000, .tries = 2 };
    int mask = ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES;

    o.sock_state_cb = on_socket_state;
    o.sock_state_cb_data = c;
    mask |= use_source(&c->names->source, &o);
    if (kind == EXACT) {
        /* 1.18 heeds the empty list, later ones the flag. A trailing dot would do for DNS, but
         * then /etc/hosts is not understood. HOSTALIASES is another way to be sent elsewhere. */
        o.ndomains = 0;
        o.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES;
        mask |= ARES_OPT_DOMAINS | ARES_OPT_FLAGS;
    }
    return ares_init_options(&c->ares, &o, mask) == ARES_SUCCESS;
}

static channel_t *make_channel(names_t *n, channel_kind_t kind)
{
    channel_t *c = calloc(1, sizeof(*c));

    if (c) {
        c->names = n;
        if (!open_channel(c, kind)) {
            free(c);
            return NULL;
        }
        c->next = n->channels;
        n->channels = n->current[kind] = c;
    }
    return c;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size
           && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* While there is none (somebody replaces it), the old one holds. One that was half written
 * changes once more. */
static void look_at_source(names_t *n)
{
    struct stat now;

    if (n->looked && n->k->now - n->looked < LOOK_MS) {
        return;
    }
    n->looked = n->k->now;
    if (stat(n->source.path ? n->source.path : "/etc/resolv.conf", &now) == 0
        && !is_same_file(&now, &n->seen)) {
        n->seen = now;
        memset(n->current, 0, sizeof(n->current));
    }
}

channel_t *channel_get(names_t *n, channel_kind_t kind)
{
    look_at_source(n);
    return n->current[kind] ? n->current[kind] : make_channel(n, kind);
}

static bool is_current(const channel_t *c)
{
    return c == c->names->current[SEARCHING] || c == c->names->current[EXACT];
}

void channels_tick(names_t *n)
{
    for (channel_t *c = n->channels; c; c = c->next) {
        ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    }
    for (channel_t **at = &n->channels, *c; (c = *at) != NULL;) {
        if (is_current(c) || c->questions > 0) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        ares_destroy(c->ares); /* has nothing to call back, but to close sockets */
        free(c);
    }
}

void channels_destroy(names_t *n)
{
    for (channel_t *c = n->channels, *next; c; c = next) {
        next = c->next;
        ares_destroy(c->ares);
        free(c);
    }
    n->channels = NULL;
    memset(n->current, 0, sizeof(n->current));
}
