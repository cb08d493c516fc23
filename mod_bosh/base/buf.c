/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Growing byte buffers on the C heap.
 *
 * Buffers may hold credentials, so growing never leaves a copy of the bytes in
 * freed memory: new memory is filled, the old is overwritten, then freed.
 * realloc() would not promise that.
 */
#include "bosh/base.h"

#include <stdlib.h>
#include <string.h>

/* Spares the first few doublings; most stanzas fit. */
#define SMALLEST 256

void bosh_buf_init(bosh_buf_t *b, size_t max)
{
    b->p = NULL;
    b->len = 0;
    b->size = 0;
    b->max = max;
    b->failed = false;
    b->starved = false;
}

void bosh_buf_free(bosh_buf_t *b)
{
    free(b->p);
    bosh_buf_init(b, b->max);
}

void bosh_buf_clear(bosh_buf_t *b)
{
    b->len = 0;
    b->failed = false;
    b->starved = false;
}

/* The whole memory: bytes beyond len may be left from before a clear or drop. */
void bosh_buf_wipe(bosh_buf_t *b)
{
    if (b->p) {
        explicit_bzero(b->p, b->size);
    }
    bosh_buf_clear(b);
}

static bool resize(bosh_buf_t *b, size_t size)
{
    char *p = malloc(size);

    if (!p) {
        return false;
    }
    if (b->p) {
        memcpy(p, b->p, b->len);
        explicit_bzero(b->p, b->size);
        free(b->p);
    }
    b->p = p;
    b->size = size;
    return true;
}

/* Room for len more bytes, by doubling. */
static bool grow(bosh_buf_t *b, size_t len)
{
    size_t most = b->max ? b->max : SIZE_MAX / 2;
    size_t need;
    size_t size = b->size ? b->size : SMALLEST;

    if (b->len > most || len > most - b->len) {
        return false;
    }
    need = b->len + len;
    while (size < need) {
        size *= 2;
    }
    if (size > most) {
        size = most;
    }
    if (size > b->size && !resize(b, size)) {
        b->starved = true;
        return false;
    }
    return true;
}

char *bosh_buf_room(bosh_buf_t *b, size_t len)
{
    if (b->failed) {
        return NULL;
    }
    if (b->p && b->size - b->len >= len && (!b->max || b->max - b->len >= len)) {
        return b->p + b->len;
    }
    if (!grow(b, len)) {
        b->failed = true;
        return NULL;
    }
    return b->p + b->len;
}

/* After a failure nothing is added any more, so that what a caller finds is a
 * beginning of what it wrote, never a text with a hole. */
bool bosh_buf_add(bosh_buf_t *b, const void *p, size_t len)
{
    char *room = bosh_buf_room(b, len);

    if (!room) {
        return false;
    }
    if (len > 0) {
        memcpy(room, p, len);
        b->len += len;
    }
    return true;
}

bool bosh_buf_add_str(bosh_buf_t *b, bosh_str_t s)
{
    return bosh_buf_add(b, s.p, s.len);
}

bool bosh_buf_add_z(bosh_buf_t *b, const char *z)
{
    return bosh_buf_add(b, z, strlen(z));
}

bool bosh_buf_add_uint(bosh_buf_t *b, uint64_t n)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    return bosh_buf_add(b, digits + at, sizeof(digits) - at);
}

void bosh_buf_drop(bosh_buf_t *b, size_t n)
{
    if (n >= b->len) {
        b->len = 0;
        return;
    }
    memmove(b->p, b->p + n, b->len - n);
    b->len -= n;
}

/* Of an empty buffer: the empty string, not an absent one. */
bosh_str_t bosh_buf_str(const bosh_buf_t *b)
{
    bosh_str_t s = { b->p ? b->p : "", b->len };

    return s;
}
