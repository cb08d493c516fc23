/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * What the log was told at the level that everybody sees: about an XMPP server, and why there
 * was no way to it. The same is told again after COMPLAINT_MS, and no more than COMPLAINTS of
 * them are told within that time. Pure; one thread.
 */
#ifndef BOSH_CONNECTOR_COMPLAINTS_H
#define BOSH_CONNECTOR_COMPLAINTS_H

#include "bosh/store.h"

#define COMPLAINT_MS BOSH_SEC(10)
#define COMPLAINTS   64

/* All zero: nothing was told yet. */
typedef struct complaints_t {
    struct {
        uint64_t hash;
        bosh_msec_t told; /* 0: never */
    } one[COMPLAINTS];
} complaints_t;

/* True: this has to be told, and counts as told now. now > 0. */
bool complaints_note(complaints_t *all, const bosh_upstream_t *u, const char *why, bosh_msec_t now);

#endif
