/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A connection's allocator keeps what was freed, up to MaxMemFree (2 MiB): two nodes of
 * 8 KiB after a request. APR has no call to give them back, and a limit set for good
 * means an mmap() and a munmap() for each pool of each request. So: take the nodes
 * out, set the limit, return them, restore the limit.
 */

#include "front_int.h"

#include "apr_allocator.h"

#define TRIM_NODES 3
#define TRIM_BYTES 8000 /* what two pages hold, beside APR's own words */

void trim_connection(conn_rec *c)
{
    apr_allocator_t *a = apr_pool_allocator_get(c->pool);
    apr_memnode_t *node, *nodes = NULL;

    for (unsigned i = 0; i < TRIM_NODES; i++) {
        node = apr_allocator_alloc(a, TRIM_BYTES);
        if (node) {
            node->next = nodes;
            nodes = node;
        }
    }
    apr_allocator_max_free_set(a, 1);
    if (nodes) {
        apr_allocator_free(a, nodes);
    }
    apr_allocator_max_free_set(a, ap_max_mem_free);
}
