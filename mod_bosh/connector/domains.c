/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* The table of domains, and the queue that each of them has. */

#include <stdlib.h>
#include <string.h>

#include "domains.h"

#define FIRST_BUCKETS 16

struct domain_t {
    domain_t *next;     /* in its bucket */
    domain_t *next_due; /* with is_due */
    uint32_t hash;
    uint32_t streams;
    uint32_t connecting;
    uint32_t begun; /* since then, and it stays here as long as that counts */
    bosh_msec_t since;
    bool is_due;
    visit_t *first, *last; /* who waits */
    char name[];
};

/* ---- the table ----------------------------------------------------------- */

static domain_t **place_of(const domains_t *all, uint32_t hash)
{
    return &all->bucket[hash & (all->buckets - 1)];
}

/* Without memory for more buckets it goes on with longer chains. False: there are none at all. */
static bool make_room(domains_t *all)
{
    domains_t grown = { .buckets = all->buckets ? all->buckets * 2 : FIRST_BUCKETS };

    if (all->count < all->buckets) {
        return true;
    }
    grown.bucket = calloc(grown.buckets, sizeof(*grown.bucket));
    if (!grown.bucket) {
        return all->buckets > 0;
    }
    for (uint32_t i = 0; i < all->buckets; i++) {
        for (domain_t *d = all->bucket[i], *next; d; d = next) {
            domain_t **at = place_of(&grown, d->hash);

            next = d->next;
            d->next = *at;
            *at = d;
        }
    }
    free(all->bucket);
    all->bucket = grown.bucket;
    all->buckets = grown.buckets;
    return true;
}

static domain_t *add(domains_t *all, const char *name, uint32_t hash)
{
    size_t len = strlen(name);
    domain_t *d = make_room(all) ? calloc(1, sizeof(*d) + len + 1) : NULL;
    domain_t **at;

    if (d) {
        memcpy(d->name, name, len);
        d->hash = hash;
        at = place_of(all, hash);
        d->next = *at;
        *at = d;
        all->count++;
    }
    return d;
}

static domain_t *find(const domains_t *all, const char *name, uint32_t hash)
{
    domain_t *d = all->buckets ? *place_of(all, hash) : NULL;

    while (d && (d->hash != hash || strcmp(d->name, name) != 0)) {
        d = d->next;
    }
    return d;
}

/* One that is due goes when domains_next() comes to it. */
static void drop_if_unused(domains_t *all, domain_t *d)
{
    domain_t **at = place_of(all, d->hash);

    if (d->streams > 0 || d->is_due || d->begun > 0) {
        return;
    }
    while (*at != d) {
        at = &(*at)->next;
    }
    *at = d->next;
    all->count--;
    free(d);
    if (all->count == 0) {
        free(all->bucket);
        *all = (domains_t){ 0 };
    }
}

bool domains_join(domains_t *all, visit_t *v, const char *name)
{
    uint32_t hash = (uint32_t)bosh_hash_z(BOSH_HASH, name);
    domain_t *d = find(all, name, hash);

    if (!d) {
        d = add(all, name, hash);
    }
    if (d) {
        d->streams++;
        v->domain = d;
    }
    return d != NULL;
}

uint32_t domains_streams(const visit_t *v)
{
    return v->domain->streams;
}

void domains_leave(domains_t *all, visit_t *v)
{
    domain_t *d = v->domain;

    if (d) {
        domains_done(all, v);
        d->streams--;
        v->domain = NULL;
        drop_if_unused(all, d);
    }
}

/* ---- who began lately ------------------------------------------------------ */

static void forget_old(domain_t *d, bosh_msec_t now)
{
    if (now - d->since >= DOMAINS_WINDOW_MS) {
        d->begun = 0;
    }
}

bool domains_begin(visit_t *v, uint32_t limit, bosh_msec_t now)
{
    domain_t *d = v->domain;

    if (limit == 0) {
        return true;
    }
    forget_old(d, now);
    if (d->begun >= limit) {
        return false;
    }
    if (d->begun++ == 0) {
        d->since = now;
    }
    return true;
}

/* The last to go takes the table with it, and the loop ends. */
void domains_tick(domains_t *all, bosh_msec_t now)
{
    if (now - all->swept < DOMAINS_WINDOW_MS) {
        return;
    }
    all->swept = now;
    for (uint32_t i = 0; i < all->buckets; i++) {
        for (domain_t *d = all->bucket[i], *next; d; d = next) {
            next = d->next;
            forget_old(d, now);
            drop_if_unused(all, d);
        }
    }
}

/* ---- the queue ------------------------------------------------------------- */

static bool has_room(const domain_t *d, uint32_t limit)
{
    return limit == 0 || d->connecting < limit;
}

static void append(domain_t *d, visit_t *v)
{
    v->next = NULL;
    v->prev = d->last;
    if (v->prev) {
        v->prev->next = v;
    }
    else {
        d->first = v;
    }
    d->last = v;
}

static void take_out(domain_t *d, visit_t *v)
{
    if (v->prev) {
        v->prev->next = v->next;
    }
    else {
        d->first = v->next;
    }
    if (v->next) {
        v->next->prev = v->prev;
    }
    else {
        d->last = v->prev;
    }
    v->next = v->prev = NULL;
}

bool domains_ask(visit_t *v, uint32_t limit)
{
    domain_t *d = v->domain;

    v->limit = limit;
    if (d->first || !has_room(d, limit)) {
        append(d, v);
        v->state = VISIT_WAITS;
        return false;
    }
    d->connecting++;
    v->state = VISIT_CONNECTS;
    return true;
}

void domains_done(domains_t *all, visit_t *v)
{
    domain_t *d = v->domain;

    if (v->state == VISIT_WAITS) {
        take_out(d, v);
    }
    else if (v->state == VISIT_CONNECTS) {
        d->connecting--;
    }
    v->state = VISIT_RESTS;
    if (!d->is_due && d->first && has_room(d, d->first->limit)) {
        d->is_due = true;
        d->next_due = all->due;
        all->due = d;
    }
}

visit_t *domains_next(domains_t *all)
{
    domain_t *d;
    visit_t *v;

    while ((d = all->due) != NULL) {
        v = d->first;
        if (v && has_room(d, v->limit)) {
            take_out(d, v);
            d->connecting++;
            v->state = VISIT_CONNECTS;
            return v;
        }
        all->due = d->next_due;
        d->is_due = false;
        drop_if_unused(all, d);
    }
    return NULL;
}
