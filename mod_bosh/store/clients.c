/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * How many sessions each client address has, and how many it began lately. Only those that
 * are limited are counted.
 *
 * An address has its place among the few that its hash points to. If all of them are taken
 * by others it is not counted, which takes as many limited clients as there may be sessions.
 */

#include "store_int.h"

#define WAYS      16
#define WINDOW_MS BOSH_SEC(60)

static bool is_over(const client_t *c, bosh_msec_t now)
{
    return now - c->since >= WINDOW_MS;
}

static client_t *place(bosh_store_t *st, uint64_t key, unsigned n)
{
    return &st->clients[(key + n) & (st->h->buckets - 1)];
}

static client_t *find(bosh_store_t *st, uint64_t key)
{
    for (unsigned n = 0; n < WAYS; n++) {
        client_t *c = place(st, key, n);

        if (c->key == key) {
            return c;
        }
    }
    return NULL;
}

static client_t *find_or_take(bosh_store_t *st, uint64_t key, bosh_msec_t now)
{
    client_t *c = find(st, key);

    for (unsigned n = 0; n < WAYS && !c; n++) {
        c = place(st, key, n);
        c = c->living == 0 && is_over(c, now) ? c : NULL;
    }
    if (c && (c->key != key || is_over(c, now))) {
        c->key = key;
        c->since = now;
        c->begun = 0;
    }
    return c;
}

bool client_may_begin_locked(bosh_store_t *st, const bosh_client_t *client, bosh_msec_t now)
{
    const client_t *c = client->key ? find_or_take(st, client->key, now) : NULL;

    return !c
           || ((!client->max_living || c->living < client->max_living)
               && (!client->max_new || c->begun < client->max_new));
}

void client_begin_locked(bosh_store_t *st, record_t *r, const bosh_client_t *client,
                         bosh_msec_t now)
{
    client_t *c = client->key ? find_or_take(st, client->key, now) : NULL;

    if (c) {
        c->begun++;
        c->living++;
        r->client = client->key;
    }
}

void client_end_locked(bosh_store_t *st, record_t *r)
{
    client_t *c = r->client ? find(st, r->client) : NULL;

    if (c && c->living > 0) {
        c->living--;
    }
    r->client = 0;
}

void clients_recount_locked(bosh_store_t *st)
{
    for (uint32_t i = 0; i < st->h->buckets; i++) {
        st->clients[i].living = 0;
    }
    for (uint32_t i = 0; i < st->h->used_sessions; i++) {
        record_t *r = &st->sessions[i];
        client_t *c = r->in_use && r->client ? find(st, r->client) : NULL;

        if (c && r->core.state < BOSH_CLOSING) {
            c->living++;
        }
        else {
            r->client = 0;
        }
    }
}

const char *clients_check_locked(bosh_store_t *st)
{
    uint64_t counted = 0, sessions = 0;

    for (uint32_t i = 0; i < st->h->buckets; i++) {
        counted += st->clients[i].living;
    }
    for (uint32_t i = 0; i < st->h->used_sessions; i++) {
        const record_t *r = &st->sessions[i];

        if (r->in_use && r->client) {
            sessions++;
            if (!find(st, r->client) || r->core.state >= BOSH_CLOSING) {
                return "a session is counted for a client that has it not";
            }
        }
    }
    return counted == sessions ? NULL : "the count of clients' sessions is wrong";
}
