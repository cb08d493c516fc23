/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Sockets after the end of their stream. The client has been told, but the server shall
 * read our last words, a stream error or a closing tag: if we closed first, with bytes of
 * its own not read, the reset could overtake them. So it has a moment to close first.
 */

#include <stdlib.h>

#include "connector_int.h"

#define PART_MS BOSH_SEC(2)

struct parting_t {
    watch_t watch; /* first */
    parting_t *next, *prev;
    link_t link;
    bosh_msec_t deadline;
};

static void end(parting_t *t)
{
    connector_t *k = t->watch.k;

    if (t->prev) {
        t->prev->next = t->next;
    }
    else {
        k->partings = t->next;
    }
    if (t->next) {
        t->next->prev = t->prev;
    }
    watch_set(&t->watch, 0);
    link_close(k, &t->link);
    free(t);
}

/* What still comes is of no use to anybody. */
static void on_ready(watch_t *w, apr_int16_t events)
{
    parting_t *t = (parting_t *)w;
    apr_size_t n = IO_SIZE;
    apr_status_t rv = apr_socket_recv(t->link.sock, w->k->io, &n);

    (void)events;
    if (n == 0 && !APR_STATUS_IS_EAGAIN(rv)) {
        end(t);
    }
}

void part_begin(connector_t *k, link_t *link)
{
    parting_t *t = calloc(1, sizeof(*t));

    if (!t) {
        link_close(k, link);
        return;
    }
    t->link = *link;
    t->deadline = k->now + PART_MS;
    t->next = k->partings;
    if (t->next) {
        t->next->prev = t;
    }
    k->partings = t;
    watch_init_socket(&t->watch, k, link->sock, on_ready);
    link_finish(link);
    if (watch_set(&t->watch, APR_POLLIN) != APR_SUCCESS) {
        end(t);
    }
}

void part_tick(connector_t *k)
{
    for (parting_t *t = k->partings, *next; t; t = next) {
        next = t->next;
        if (k->now >= t->deadline) {
            end(t);
        }
    }
}
