/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Chains of blocks against plain byte arrays. */

#include <string.h>

#include "box.h"

#include "../core/rng.h"
#include "../core/unit.h"
#include "store_int.h"

#define B   BLOCK_BYTES
#define MAX (4 * B)

static box_t box;
static char text[MAX], got[16384];

static int begin(void **state)
{
    (void)state;
    box_open(&box, 2 << 20, 10, 2, 1);
    box_bytes(text, sizeof(text), 1);
    return 0;
}

static int end(void **state)
{
    (void)state;
    box_close(&box);
    return 0;
}

static const size_t edges[] = { 0,         1,     2,         B - 1,     B,    B + 1,
                                2 * B - 1, 2 * B, 2 * B + 1, 3 * B - 1, 3 * B };

#define EDGES (sizeof(edges) / sizeof(edges[0]))

/* As many blocks as the bytes need, no more; all of them are found and have one owner. */
static void assert_holds(const chain_t *c, const char *want, size_t len)
{
    uint32_t blocks = 0;

    assert_int_equal(c->len, len);
    for (uint32_t i = c->head; i != NIL; i = box.st->blocks[i].next) {
        assert_int_equal(box.st->blocks[i].owner, 3);
        blocks++;
    }
    assert_int_equal(blocks, len ? (c->start + len + B - 1) / B : 0);
    memset(got, 0, sizeof(got));
    chain_copy_locked(box.st, c, got);
    assert_memory_equal(got, want, len);
}

static void append(chain_t *c, const char *p, size_t len)
{
    assert_true(chain_has_room_locked(box.st, c, len));
    chain_append_locked(box.st, c, 3, p, len);
}

/* A chain that begins `start` bytes into its first block and holds text[0..len). */
static chain_t chain_of(size_t start, size_t len)
{
    chain_t c = EMPTY_CHAIN;

    if (len > 0) {
        append(&c, got, start);
        append(&c, text, len);
        assert_int_equal(chain_take_locked(box.st, &c, got, start), start);
    }
    return c;
}

static void appends_and_takes_at_every_edge(void **state)
{
    uint32_t free_blocks = box.st->h->blocks_free;

    (void)state;
    for (size_t i = 0; i < EDGES; i++) {
        for (size_t k = 0; k < EDGES && edges[i] + edges[k] <= MAX; k++) {
            for (size_t t = 0; t < EDGES; t++) {
                chain_t c = EMPTY_CHAIN;
                size_t len = edges[i] + edges[k], n;

                append(&c, text, edges[i]);
                append(&c, text + edges[i], edges[k]);
                assert_holds(&c, text, len);
                n = chain_take_locked(box.st, &c, got, edges[t]);
                assert_int_equal(n, edges[t] < len ? edges[t] : len);
                assert_memory_equal(got, text, n);
                assert_holds(&c, text + n, len - n);
                chain_free_locked(box.st, &c);
                assert_int_equal(c.head, NIL);
            }
        }
    }
    assert_int_equal(box.st->h->blocks_free, free_blocks);
}

static void moves_at_every_edge(void **state)
{
    static const size_t starts[] = { 0, 1, B - 1 };
    uint32_t free_blocks = box.st->h->blocks_free;
    static char want[2 * MAX];

    (void)state;
    for (size_t i = 0; i < EDGES; i++) {
        for (size_t k = 0; k < EDGES; k++) {
            for (size_t s = 0; s < 9; s++) {
                chain_t to = chain_of(starts[s / 3], edges[i]),
                        from = chain_of(starts[s % 3], edges[k]);

                memcpy(want, text, edges[i]);
                memcpy(want + edges[i], text, edges[k]);
                chain_move_locked(box.st, &to, &from);
                assert_holds(&to, want, edges[i] + edges[k]);
                assert_int_equal(from.len, 0);
                assert_int_equal(from.head, NIL);
                chain_free_locked(box.st, &to);
            }
        }
    }
    assert_int_equal(box.st->h->blocks_free, free_blocks);
}

/* Forwarding must not fail half way, however full the segment is. */
static void moving_needs_no_block_more_than_it_has(void **state)
{
    static const size_t starts[] = { 0, 1, B - 1 };

    (void)state;
    for (size_t i = 0; i < EDGES; i++) {
        for (size_t k = 0; k < EDGES; k++) {
            for (size_t s = 0; s < 9; s++) {
                chain_t to = chain_of(starts[s / 3], edges[i]),
                        from = chain_of(starts[s % 3], edges[k]);
                uint32_t set_aside = box.st->h->blocks_free;

                box.st->h->blocks_free = 0;
                chain_move_locked(box.st, &to, &from);
                assert_true((int32_t)box.st->h->blocks_free >= 0);
                box.st->h->blocks_free += set_aside;
                chain_free_locked(box.st, &to);
            }
        }
    }
}

static void room_is_reckoned_to_the_last_byte(void **state)
{
    (void)state;
    for (size_t s = 0; s < 3; s++) {
        for (size_t i = 0; i < EDGES; i++) {
            for (uint32_t n = 0; n < 3; n++) {
                chain_t c = chain_of(s * (B - 1) / 2, edges[i]);
                uint32_t set_aside = box.st->h->blocks_free - n;
                size_t most = c.head == NIL ? 0 : (B - (c.start + c.len) % B) % B;

                most += n * B;
                box.st->h->blocks_free = n;
                assert_true(chain_has_room_locked(box.st, &c, most));
                assert_false(chain_has_room_locked(box.st, &c, most + 1));
                append(&c, text, most < sizeof(text) ? most : sizeof(text));
                box.st->h->blocks_free += set_aside;
                chain_free_locked(box.st, &c);
            }
        }
    }
    assert_false(chain_has_room_locked(box.st, &EMPTY_CHAIN, SIZE_MAX));
    assert_false(chain_has_room_locked(box.st, &EMPTY_CHAIN, UINT32_MAX));
}

static void given_back_blocks_are_wiped(void **state)
{
    static const char canary[] = "a secret that nobody else may read";
    chain_t c = EMPTY_CHAIN, d = EMPTY_CHAIN;
    char all[sizeof(canary) * 40];

    (void)state;
    for (size_t i = 0; i < 40; i++) {
        memcpy(all + i * sizeof(canary), canary, sizeof(canary));
    }
    append(&c, all, sizeof(all));
    append(&d, all, sizeof(all));
    chain_take_locked(box.st, &c, got, sizeof(all));
    chain_free_locked(box.st, &d);
    memset(got, 0, sizeof(got));
    assert_null(memmem(box.st->blocks, (size_t)box.st->h->max_blocks * BLOCK_SIZE, canary, 8));
}

static void random_chains_behave_like_byte_arrays(void **state)
{
    enum { CHAINS = 4, SIZE = 8000 };
    static char model[CHAINS][2 * SIZE];
    size_t len[CHAINS] = { 0 };
    chain_t c[CHAINS] = { EMPTY_CHAIN, EMPTY_CHAIN, EMPTY_CHAIN, EMPTY_CHAIN };
    rng_t rng = rng_seeded("blocks");
    uint32_t free_blocks = box.st->h->blocks_free;

    (void)state;
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = rng_below(&rng, CHAINS), k = rng_below(&rng, CHAINS);
        size_t n = rng_below(&rng, rng_one_in(&rng, 4) ? MAX : B + 10);

        switch (rng_below(&rng, 5)) {
        case 0:
        case 1:
            if (len[i] + n < SIZE) {
                append(&c[i], text + MAX - n, n);
                memcpy(model[i] + len[i], text + MAX - n, n);
                len[i] += n;
            }
            break;
        case 2:
            n = n < len[i] ? n : len[i];
            assert_int_equal(chain_take_locked(box.st, &c[i], got, n), n);
            assert_memory_equal(got, model[i], n);
            memmove(model[i], model[i] + n, len[i] - n);
            len[i] -= n;
            break;
        case 3:
            if (i != k && len[i] + len[k] < SIZE) {
                chain_move_locked(box.st, &c[i], &c[k]);
                memcpy(model[i] + len[i], model[k], len[k]);
                len[i] += len[k];
                len[k] = 0;
            }
            break;
        default:
            if (rng_one_in(&rng, 8)) {
                chain_free_locked(box.st, &c[i]);
                len[i] = 0;
            }
        }
        assert_holds(&c[i], model[i], len[i]);
    }
    for (unsigned i = 0; i < CHAINS; i++) {
        chain_free_locked(box.st, &c[i]);
    }
    assert_int_equal(box.st->h->blocks_free, free_blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_and_takes_at_every_edge),
        cmocka_unit_test(moves_at_every_edge),
        cmocka_unit_test(moving_needs_no_block_more_than_it_has),
        cmocka_unit_test(room_is_reckoned_to_the_last_byte),
        cmocka_unit_test(given_back_blocks_are_wiped),
        cmocka_unit_test(random_chains_behave_like_byte_arrays),
    };

    return cmocka_run_group_tests_name("blocks", tests, begin, end);
}
