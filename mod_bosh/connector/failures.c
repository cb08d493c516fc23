/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* A table in which each place has one slot that it may be in. */

#include <string.h>

#include "failures.h"

/* Compared as bytes, so what is in none of its members has to be zero too. */
static void fill(place_t *place, const bosh_upstream_t *u)
{
    memset(place, 0, sizeof(*place));
    bosh_str_copy(place->to, sizeof(place->to), bosh_str(u->to));
    bosh_str_copy(place->host, sizeof(place->host), bosh_str(u->host));
    memcpy(place->networks, u->networks, sizeof(place->networks));
    place->port = u->port;
    place->reach = u->reach;
    place->tls = u->tls;
    place->proxy = u->proxy;
}

static failure_t *slot_of(failures_t *all, const place_t *place)
{
    return &all->slot[bosh_hash(BOSH_HASH, place, sizeof(*place)) % FAILURES];
}

static bool is_it(const failure_t *f, const place_t *place, bosh_msec_t now)
{
    return now < f->until && memcmp(&f->place, place, sizeof(*place)) == 0;
}

bool failures_note(failures_t *all, const bosh_upstream_t *u, bosh_condition_t condition,
                   bosh_reason_t reason, bosh_msec_t now)
{
    place_t place;
    failure_t *f;
    bool is_known;

    fill(&place, u);
    f = slot_of(all, &place);
    is_known = is_it(f, &place, now);
    if (!is_known) {
        *f = (failure_t){ .condition = condition, .reason = reason };
        memcpy(&f->place, &place, sizeof(place));
    }
    f->until = now + FAILURE_MS;
    return !is_known;
}

const failure_t *failures_find(failures_t *all, const bosh_upstream_t *u, bosh_msec_t now)
{
    place_t place;
    failure_t *f;

    fill(&place, u);
    f = slot_of(all, &place);
    if (!is_it(f, &place, now)) {
        return NULL;
    }
    f->refused++;
    return f;
}

void failures_forget(failures_t *all, const bosh_upstream_t *u)
{
    place_t place;
    failure_t *f;

    fill(&place, u);
    f = slot_of(all, &place);
    if (memcmp(&f->place, &place, sizeof(place)) == 0) {
        f->until = 0;
    }
}

bool failures_expire(failures_t *all, bosh_msec_t now, failure_t *gone)
{
    for (unsigned i = 0; i < FAILURES; i++) {
        failure_t *f = &all->slot[i];

        if (f->until && now >= f->until) {
            *gone = *f;
            f->until = 0;
            return true;
        }
    }
    return false;
}
