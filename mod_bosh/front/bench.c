/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* A worker's tools: a parser and buffers, warm from the last request. */

#include "front_int.h"

/* A bench that once served a large message gives that memory back. */
#define KEEP_BYTES 32768
#define FIRST_ROOM 8192

static _Thread_local bench_t bench;

bench_t *bench_take(void)
{
    bench_t *b = &bench;

    ap_assert(!b->taken);
    b->taken = true;
    if (!b->is_made) {
        bosh_body_init(&b->body);
        bosh_buf_init(&b->in, 0);
        bosh_buf_init(&b->out, 0);
        bosh_buf_init(&b->head, 0);
        b->is_made = true;
    }
    if (!b->out.size) { /* or there was no memory for it the last time */
        bosh_buf_clear(&b->out);
        bosh_buf_room(&b->out, FIRST_ROOM);
    }
    return b;
}

/* What passed may have been a password. */
static void tidy(bosh_buf_t *buf)
{
    bosh_buf_wipe(buf);
    if (buf->size > KEEP_BYTES) {
        bosh_buf_free(buf);
        bosh_buf_room(buf, FIRST_ROOM);
    }
}

void bench_return(bench_t *b)
{
    bosh_body_free(&b->body);
    tidy(&b->in);
    tidy(&b->out);
    bosh_buf_clear(&b->head);
    b->taken = false;
}
