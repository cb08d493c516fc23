/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* A list without an order: it is short, and looked at only after something failed. */

#include "complaints.h"

static uint64_t hash_of(const bosh_upstream_t *u, const char *why)
{
    uint64_t h = bosh_hash(BOSH_HASH, &u->port, sizeof(u->port));

    return bosh_hash_z(bosh_hash_z(bosh_hash_z(h, u->to), u->host), why);
}

bool complaints_note(complaints_t *all, const bosh_upstream_t *u, const char *why, bosh_msec_t now)
{
    const uint64_t hash = hash_of(u, why);
    unsigned at = 0;

    for (unsigned i = 0; i < COMPLAINTS; i++) {
        if (all->one[i].told && all->one[i].hash == hash) {
            at = i;
            break;
        }
        if (all->one[i].told < all->one[at].told) {
            at = i;
        }
    }
    if (all->one[at].told && now - all->one[at].told < COMPLAINT_MS) {
        return false;
    }
    all->one[at].hash = hash;
    all->one[at].told = now;
    return true;
}
