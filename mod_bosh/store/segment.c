/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* The segment: its size, its creation, and where its parts are. */

#include <string.h>

#include "store_int.h"

/* FNV-1a, of whole numbers. Also of what a process keeps to itself: another build of the
 * module finds it in httpd's parent. */
unsigned bosh_store_layout(void)
{
    const uint32_t numbers[] = {
        STORE_LAYOUT,     sizeof(header_t),     sizeof(child_t),          sizeof(connector_t),
        sizeof(record_t), sizeof(leg_t),        sizeof(bosh_session_t),   sizeof(bosh_slot_t),
        sizeof(block_t),  sizeof(bosh_store_t), offsetof(record_t, core), sizeof(bosh_upstream_t),
        sizeof(client_t)
    };
    unsigned h = (unsigned)bosh_hash(BOSH_HASH, numbers, sizeof(numbers));

    return BOSH_FAULT("other-layout") ? ~h : h;
}

static uint64_t in_blocks(uint64_t bytes)
{
    return (bytes + BLOCK_SIZE - 1) / BLOCK_SIZE;
}

static void locate(bosh_store_t *st)
{
    char *base = (char *)st->h;

    st->children = (child_t *)(void *)(base + (size_t)st->h->off_children * BLOCK_SIZE);
    st->buckets = (uint32_t *)(void *)(base + (size_t)st->h->off_buckets * BLOCK_SIZE);
    st->clients = (client_t *)(void *)(base + (size_t)st->h->off_clients * BLOCK_SIZE);
    st->sessions = (record_t *)(void *)(base + (size_t)st->h->off_sessions * BLOCK_SIZE);
    st->blocks = (block_t *)(void *)(base + (size_t)st->h->off_blocks * BLOCK_SIZE);
}

/* Everything in 64 bits. Returns the first block after all tables. */
static uint64_t place_tables(header_t *h, const bosh_store_limits_t *l)
{
    uint64_t at = in_blocks(sizeof(header_t));

    h->max_sessions = l->sessions;
    h->max_children = l->children;
    h->max_connectors = l->connectors;
    for (h->buckets = 16; h->buckets < l->sessions; h->buckets *= 2) {
    }
    h->off_children = (uint32_t)at;
    at += in_blocks((uint64_t)l->children * sizeof(child_t));
    h->off_buckets = (uint32_t)at;
    at += in_blocks((uint64_t)h->buckets * sizeof(uint32_t));
    h->off_clients = (uint32_t)at;
    at += in_blocks((uint64_t)h->buckets * sizeof(client_t));
    h->off_sessions = (uint32_t)at;
    at += in_blocks((uint64_t)l->sessions * sizeof(record_t));
    h->off_blocks = (uint32_t)at;
    return at;
}

static bool are_possible(const bosh_store_limits_t *l)
{
    return l->sessions > 0 && l->sessions <= UINT32_MAX / 2 && l->children > 0
           && l->children <= BOSH_MAX_CHILDREN && l->connectors > 0
           && l->connectors <= MAX_CONNECTORS;
}

/* False: it does not fit. */
static bool lay_out(header_t *h, const bosh_store_limits_t *l)
{
    uint64_t total = l->bytes / BLOCK_SIZE;
    uint64_t at;

    if (total > UINT32_MAX || !are_possible(l)) {
        return false;
    }
    at = place_tables(h, l);
    if (at + l->sessions > total) {
        return false;
    }
    h->max_blocks = (uint32_t)(total - at);
    return true;
}

uint64_t bosh_store_least_bytes(const bosh_store_limits_t *limits)
{
    header_t unused = { 0 };

    return (place_tables(&unused, limits) + limits->sessions) * BLOCK_SIZE;
}

/* Freshly mapped memory is zero and untouched; only what must not be zero is
 * written, so that memory nobody uses is never made real. */
static void begin(bosh_store_t *st)
{
    header_t *h = st->h;

    memset(st->buckets, 0xff, (size_t)h->buckets * sizeof(uint32_t));
    h->magic = STORE_MAGIC;
    h->layout = STORE_LAYOUT;
    h->touched = NIL;
    h->free_session = NIL;
    h->free_block = NIL;
    h->blocks_free = h->max_blocks;
    for (unsigned i = 0; i < MAX_CONNECTORS; i++) {
        h->connectors[i].mail_first = h->connectors[i].mail_last = NIL;
        h->connectors[i].seen = bosh_now(); /* it is about to be started */
    }
}

void bosh_store_use_mutex(bosh_store_t *store, apr_global_mutex_t *mutex)
{
    lock_init(store, mutex);
}

apr_status_t bosh_store_create(bosh_store_t **store, const bosh_store_limits_t *limits,
                               apr_global_mutex_t *mutex, apr_pool_t *p)
{
    bosh_store_t *st = apr_pcalloc(p, sizeof(*st));
    header_t layout = { 0 };
    apr_status_t rv;

    *store = NULL;
    if (!lay_out(&layout, limits)) {
        return APR_ENOSPC;
    }
    /* Anonymous: no name that another user could open, nothing left behind. */
    rv = apr_shm_create(&st->shm, limits->bytes, NULL, p);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    st->h = apr_shm_baseaddr_get(st->shm);
    bosh_store_use_mutex(st, mutex);
    memcpy(st->h, &layout, sizeof(layout));
    locate(st);
    begin(st);
    *store = st;
    return APR_SUCCESS;
}
