/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A handful of idle parsers, the one given back last in front. A connector has
 * one thread, so at most one stream is fed at a time; parsers are lent for
 * longer only to streams that wait for the rest of a stanza. Few idle ones are
 * enough: making one and reading a header anew takes about two microseconds.
 */
#include "parser_pool_int.h"

#include <stdlib.h>
#include <string.h>

#define MOST_IDLE 8

struct bosh_parser_pool_t {
    unsigned count; /* lent and idle */
    unsigned idle_count;
    bosh_xml_stream_parser_t *idle[MOST_IDLE]; /* the last is the freshest */
};

bosh_parser_pool_t *bosh_parser_pool_create(void)
{
    return calloc(1, sizeof(bosh_parser_pool_t));
}

static void destroy(bosh_parser_pool_t *pool, bosh_xml_stream_parser_t *p)
{
    bosh_xml_stream_parser_destroy(p);
    pool->count--;
}

/* Takes the i-th out of the row. */
static bosh_xml_stream_parser_t *take(bosh_parser_pool_t *pool, unsigned i)
{
    bosh_xml_stream_parser_t *p = pool->idle[i];

    pool->idle_count--;
    memmove(&pool->idle[i], &pool->idle[i + 1], (pool->idle_count - i) * sizeof(pool->idle[0]));
    return p;
}

void bosh_parser_pool_destroy(bosh_parser_pool_t *pool)
{
    if (!pool) {
        return;
    }
    while (pool->idle_count > 0) {
        destroy(pool, take(pool, pool->idle_count - 1));
    }
    free(pool);
}

unsigned bosh_parser_pool_count(const bosh_parser_pool_t *pool)
{
    return pool->count;
}

bosh_xml_stream_parser_t *bosh_xml_pool_new(bosh_parser_pool_t *pool,
                                            const bosh_xml_limits_t *limits)
{
    bosh_xml_stream_parser_t *p = bosh_xml_stream_parser_create(limits);

    if (p) {
        pool->count++;
    }
    return p;
}

static bosh_xml_stream_parser_t *find_idle(bosh_parser_pool_t *pool, bosh_str_t key)
{
    for (unsigned i = pool->idle_count; i-- > 0;) {
        if (bosh_str_same(bosh_buf_str(&pool->idle[i]->key), key)) {
            return take(pool, i);
        }
    }
    return NULL;
}

bosh_xml_stream_parser_t *bosh_xml_pool_borrow(bosh_parser_pool_t *pool, bosh_str_t key,
                                               const bosh_xml_limits_t *limits)
{
    bosh_xml_stream_parser_t *p = find_idle(pool, key);

    if (p) {
        p->reader.limits = limits;
        return p;
    }
    p = bosh_xml_pool_new(pool, limits);
    if (!p) {
        return NULL;
    }
    /* The stream's own header was accepted under the same limits, so only want
     * of memory can make this fail. */
    if (bosh_xml_stream_parser_feed(p, key) != BOSH_XML_OK
        || !bosh_xml_stream_parser_is_between(p)) {
        destroy(pool, p);
        return NULL;
    }
    return p;
}

static bool is_of_use(const bosh_xml_stream_parser_t *p)
{
    return !p->is_worn && !p->is_closed && p->reader.verdict == BOSH_XML_OK
           && bosh_xml_stream_parser_is_between(p);
}

void bosh_xml_pool_give_back(bosh_parser_pool_t *pool, bosh_xml_stream_parser_t *p)
{
    if (!is_of_use(p)) {
        destroy(pool, p);
        return;
    }
    if (pool->idle_count == MOST_IDLE) {
        destroy(pool, take(pool, 0));
    }
    bosh_xml_stream_parser_forget(p);
    pool->idle[pool->idle_count++] = p;
}
