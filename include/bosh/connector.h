/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * connector - the upstream side: names, sockets, streams, session clocks.
 *
 * Runs in a process of its own, single-threaded, unprivileged, forked by httpd's
 * parent. It owns every XMPP socket of the sessions the store assigns to it, and
 * nothing else that could be lost: what it has not written is in the store.
 */
#ifndef BOSH_CONNECTOR_H
#define BOSH_CONNECTOR_H

#include <apr_network_io.h>

#include "bosh/base.h"
#include "bosh/store.h"
#include "bosh/wake.h"

/* How long it may take to end all sessions when it is told to stop: bounces and closing tags
 * are written, and the servers' waited for. */
#define BOSH_CONNECTOR_STOP_MS BOSH_SEC(4)

typedef struct bosh_connector_args_t {
    bosh_store_t *store;
    bosh_wake_t *wake;
    uint32_t index;
    /* The parent's end of this socket closes when the parent is gone. Readable:
     * call on_control; false: it is time to go. It may set *patience to more than 0: then it
     * is time to go when the socket does not become readable again for so long. */
    apr_socket_t *control;
    bool (*on_control)(void *baton, bosh_msec_t *patience);
    void *baton;
    /* Set by a signal handler, on SIGTERM: end all sessions and return. */
    volatile int *stop;
} bosh_connector_args_t;

/* Runs until told to stop. The process exits afterwards. Errors: APR's, when it
 * cannot even begin. */
apr_status_t bosh_connector_run(const bosh_connector_args_t *args, apr_pool_t *p);

#endif
