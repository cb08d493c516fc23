/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Where there was no way to an XMPP server a moment ago. Who asks for the same place again
 * within FAILURE_MS need not find that out for himself, with his own questions to name servers
 * and his own packets to addresses where nobody is.
 *
 * A place is a domain and what the configuration says of the way there. There is room for
 * FAILURES of them; one may push another out. Pure; one thread.
 */
#ifndef BOSH_CONNECTOR_FAILURES_H
#define BOSH_CONNECTOR_FAILURES_H

#include "bosh/core.h"
#include "bosh/store.h"

#define FAILURE_MS BOSH_SEC(5)
#define FAILURES   128

typedef struct place_t {
    char to[256], host[256];
    bosh_network_t networks[BOSH_MAX_NETWORKS];
    uint16_t port;
    uint8_t reach, tls, proxy;
} place_t;

typedef struct failure_t {
    place_t place;
    bosh_msec_t until; /* 0: there is none here */
    bosh_condition_t condition;
    bosh_reason_t reason;
    unsigned refused; /* who asked since */
} failure_t;

/* All zero: there are none yet. */
typedef struct failures_t {
    failure_t slot[FAILURES];
} failures_t;

/* True: that is news. */
bool failures_note(failures_t *all, const bosh_upstream_t *u, bosh_condition_t condition,
                   bosh_reason_t reason, bosh_msec_t now);
/* NULL: it may be tried. Else somebody more is refused. */
const failure_t *failures_find(failures_t *all, const bosh_upstream_t *u, bosh_msec_t now);
/* There is a way after all. */
void failures_forget(failures_t *all, const bosh_upstream_t *u);
/* Takes out one whose time is over; false: there is none (left). */
bool failures_expire(failures_t *all, bosh_msec_t now, failure_t *gone);

#endif
