/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Chains of blocks. A block that is given back is wiped: it held somebody's words. */

#include <string.h>

#include "store_int.h"

static size_t blocks_for(const chain_t *c, size_t len)
{
    size_t used = c->head == NIL ? 0 : ((size_t)c->start + c->len) % BLOCK_BYTES;
    size_t room = c->head == NIL || used == 0 ? 0 : BLOCK_BYTES - used;

    return len <= room ? 0 : (len - room + BLOCK_BYTES - 1) / BLOCK_BYTES;
}

bool chain_has_room_locked(const bosh_store_t *st, const chain_t *c, size_t len)
{
    return len <= UINT32_MAX - BLOCK_BYTES - c->len && blocks_for(c, len) <= st->h->blocks_free;
}

static uint32_t take_block(bosh_store_t *st, uint32_t owner)
{
    uint32_t i = st->h->free_block;
    block_t *b;

    if (i != NIL) {
        st->h->free_block = st->blocks[i].next;
    }
    else {
        i = st->h->used_blocks++;
    }
    st->h->blocks_free--;
    b = &st->blocks[i];
    BOSH_CRASH_POINT("block-taken");
    b->next = NIL;
    b->owner = owner;
    return i;
}

static void give_block(bosh_store_t *st, uint32_t i)
{
    block_t *b = &st->blocks[i];

    memset(b->bytes, 0, sizeof(b->bytes));
    b->owner = NIL;
    b->next = st->h->free_block;
    st->h->free_block = i;
    st->h->blocks_free++;
}

static void add_block(bosh_store_t *st, chain_t *c, uint32_t owner)
{
    uint32_t i = take_block(st, owner);

    if (c->head == NIL) {
        c->head = i;
        c->start = 0;
    }
    else {
        st->blocks[c->tail].next = i;
    }
    c->tail = i;
}

void chain_append_locked(bosh_store_t *st, chain_t *c, uint32_t owner, const char *p, size_t len)
{
    while (len > 0) {
        size_t end = ((size_t)c->start + c->len) % BLOCK_BYTES;
        size_t n;

        /* A chain whose last block is exactly full, and an empty one, need a new
         * block. Chains spliced together keep gaps out: see chain_move_locked(). */
        if (c->head == NIL || end == 0) {
            add_block(st, c, owner);
            end = 0;
        }
        n = BLOCK_BYTES - end < len ? BLOCK_BYTES - end : len;
        memcpy(st->blocks[c->tail].bytes + end, p, n);
        c->len += (uint32_t)n;
        p += n;
        len -= n;
    }
}

void chain_move_locked(bosh_store_t *st, chain_t *to, chain_t *from)
{
    if (to->len == 0) {
        chain_free_locked(st, to);
        *to = *from;
        *from = EMPTY_CHAIN;
        return;
    }
    /* Blocks are full but for the ends of a chain, so bytes are copied on. Each block is
     * freed before its bytes need another one: it succeeds in a full segment. */
    while (from->len > 0) {
        char bytes[BLOCK_BYTES];
        uint32_t owner = st->blocks[from->head].owner;
        size_t n = chain_take_locked(st, from, bytes, sizeof(bytes) - from->start);

        chain_append_locked(st, to, owner, bytes, n);
        memset(bytes, 0, n);
    }
    chain_free_locked(st, from);
}

void chain_append_chain_locked(bosh_store_t *st, chain_t *to, uint32_t owner, const chain_t *from)
{
    size_t left = from->len, at = from->start;

    for (uint32_t i = from->head; left > 0; i = st->blocks[i].next) {
        size_t n = BLOCK_BYTES - at < left ? BLOCK_BYTES - at : left;

        chain_append_locked(st, to, owner, st->blocks[i].bytes + at, n);
        left -= n;
        at = 0;
    }
}

size_t chain_take_locked(bosh_store_t *st, chain_t *c, char *buf, size_t size)
{
    size_t taken = 0;

    while (c->len > 0 && taken < size) {
        block_t *b = &st->blocks[c->head];
        size_t n = BLOCK_BYTES - c->start;

        n = n < c->len ? n : c->len;
        n = n < size - taken ? n : size - taken;
        memcpy(buf + taken, b->bytes + c->start, n);
        taken += n;
        c->start += (uint32_t)n;
        c->len -= (uint32_t)n;
        if (c->start == BLOCK_BYTES) {
            uint32_t i = c->head;

            c->head = b->next;
            c->start = 0;
            give_block(st, i);
            if (c->head == NIL) {
                c->tail = NIL;
            }
        }
    }
    if (c->len == 0) {
        chain_free_locked(st, c);
    }
    return taken;
}

void chain_copy_locked(const bosh_store_t *st, const chain_t *c, char *buf)
{
    size_t left = c->len, at = c->start;

    for (uint32_t i = c->head; left > 0; i = st->blocks[i].next) {
        size_t n = BLOCK_BYTES - at < left ? BLOCK_BYTES - at : left;

        memcpy(buf, st->blocks[i].bytes + at, n);
        buf += n;
        left -= n;
        at = 0;
    }
}

void chain_free_locked(bosh_store_t *st, chain_t *c)
{
    uint32_t i = c->head;
    uint32_t owner = i < st->h->used_blocks ? st->blocks[i].owner : NIL;

    /* What was given back has no owner: a list that somebody wrote over ends here. */
    while (i < st->h->used_blocks && owner != NIL && st->blocks[i].owner == owner) {
        uint32_t next = st->blocks[i].next;

        give_block(st, i);
        i = next;
    }
    *c = EMPTY_CHAIN;
}
