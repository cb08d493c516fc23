/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* The segment's size: what fits, what is refused. */

#include <apr_general.h>

#include "bosh/store.h"

#include "../core/unit.h"
#include "store_int.h"

static apr_pool_t *pool;
static apr_global_mutex_t *mutex;

static int begin(void **state)
{
    (void)state;
    apr_initialize();
    return apr_pool_create(&pool, NULL)
           || apr_global_mutex_create(&mutex, NULL, APR_LOCK_PROC_PTHREAD, pool);
}

static int end(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}

static apr_status_t create(size_t bytes, unsigned sessions, unsigned children, unsigned connectors)
{
    bosh_store_limits_t limits = { bytes, sessions, children, connectors };
    bosh_store_t *st = (bosh_store_t *)&limits;
    apr_status_t rv = bosh_store_create(&st, &limits, mutex, pool);

    assert_true((rv == APR_SUCCESS) == (st != NULL));
    if (st) {
        bosh_store_status_t status;

        assert_null(bosh_store_check(st));
        bosh_store_status(st, 1, &status);
        assert_int_equal(status.max_sessions, sessions);
        assert_true(status.blocks >= sessions);
        assert_int_equal(status.blocks_free, status.blocks);
        assert_int_equal(status.sessions, 0);
        assert_int_equal(status.children, 0);
        assert_int_equal(status.connectors, 0);
        assert_int_equal(status.created, 0);
        apr_shm_destroy(st->shm);
    }
    return rv;
}

static void needs_room_for_every_session_and_a_block_each(void **state)
{
    const bosh_store_limits_t wanted = { .sessions = 100, .children = 10, .connectors = 2 };
    size_t low = 0, high = 64 * 1024 * 1024;

    (void)state;
    while (high - low > 1) {
        size_t mid = (low + high) / 2;

        *(create(mid, 100, 10, 2) == APR_SUCCESS ? &high : &low) = mid;
    }
    assert_true(high > 100 * (sizeof(record_t) + BLOCK_SIZE) + 10 * sizeof(child_t));
    assert_int_equal(create(high, 100, 10, 2), APR_SUCCESS);
    assert_int_equal(create(high - 1, 100, 10, 2), APR_ENOSPC);
    assert_int_equal(bosh_store_least_bytes(&wanted), high);
}

static void sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    assert_int_equal(create(1 << 20, 0, 1, 1), APR_ENOSPC);
    assert_int_equal(create(1 << 20, UINT32_MAX, 1, 1), APR_ENOSPC);
    assert_int_equal(create(1 << 20, UINT32_MAX / 2, 1, 1), APR_ENOSPC);
    assert_int_equal(create(1 << 20, 8388608, 1, 1), APR_ENOSPC);
    assert_int_equal(create(SIZE_MAX, 10, 1, 1), APR_ENOSPC);
    assert_int_equal(create((size_t)UINT32_MAX * BLOCK_SIZE + BLOCK_SIZE, 10, 1, 1), APR_ENOSPC);
    assert_int_equal(create(0, 1, 1, 1), APR_ENOSPC);
}

static void numbers_of_processes_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(create(64 << 20, 10, BOSH_MAX_CHILDREN, 32), APR_SUCCESS);
    assert_int_equal(create(64 << 20, 10, BOSH_MAX_CHILDREN + 1, 32), APR_ENOSPC);
    assert_int_equal(create(64 << 20, 10, 1, 33), APR_ENOSPC);
    assert_int_equal(create(64 << 20, 10, 1, 0), APR_ENOSPC);
    assert_int_equal(create(64 << 20, 10, 0, 1), APR_ENOSPC);
}

static void parts_do_not_overlap(void **state)
{
    bosh_store_limits_t limits = { 4 << 20, 77, 13, 3 };
    bosh_store_t *st;

    (void)state;
    assert_int_equal(bosh_store_create(&st, &limits, mutex, pool), APR_SUCCESS);
    assert_true((char *)st->children >= (char *)(st->h + 1));
    assert_true((char *)st->buckets >= (char *)(st->children + 13));
    assert_true((char *)st->sessions >= (char *)(st->buckets + st->h->buckets));
    assert_true((char *)st->blocks >= (char *)(st->sessions + 77));
    assert_true((char *)(st->blocks + st->h->max_blocks) <= (char *)st->h + (4 << 20));
    assert_int_equal((uintptr_t)st->sessions % _Alignof(record_t), 0);
    assert_int_equal(st->h->buckets & (st->h->buckets - 1), 0);
    assert_true(st->h->buckets >= 77);
}

static void a_block_is_as_large_as_it_says(void **state)
{
    (void)state;
    assert_int_equal(sizeof(block_t), BLOCK_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(needs_room_for_every_session_and_a_block_each),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(numbers_of_processes_are_bounded),
        cmocka_unit_test(parts_do_not_overlap),
        cmocka_unit_test(a_block_is_as_large_as_it_says),
    };

    return cmocka_run_group_tests_name("segment", tests, begin, end);
}
