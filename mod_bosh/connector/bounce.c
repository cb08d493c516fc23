/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * The end of a stream that we close while its server is well: what the client never got
 * goes back as errors (XEP-0206, "recipient-unavailable"), then the closing tag.
 *
 * First what the store gives back, then what had no room in it, then what the server has
 * sent meanwhile. Later stanzas cannot be answered any more: nothing may follow the
 * closing tag, and waiting for a pause would never end.
 */

#include "connector_int.h"

/* How long the server may take to read it all. */
#define BOUNCE_MS BOSH_SEC(5)

/* That the last look sees. */
#define LOOK_BYTES (4 * IO_SIZE)

void bounce_begin(c2s_t *c)
{
    c->state = BOUNCING;
    c->deadline = c->k->now + BOUNCE_MS;
    bosh_bouncer_init(&c->bouncer);
    /* What comes waits in the socket for the last look. */
    watch_set(&c->watch, c->watch.events & (apr_int16_t)~APR_POLLIN);
}

static void finish(c2s_t *c)
{
    const bosh_bouncer_t *b = &c->bouncer;

    if (b->bounced > 0 || b->lost > 0) {
        bosh_log(BOSH_LOG_DEBUG, BOSHNO(1009) "%s: %u stanzas went back to their senders, %u lost",
                 c->name, b->bounced, b->lost);
    }
    bosh_bouncer_free(&c->bouncer);
    c2s_say_goodbye(c);
}

/* One bufferful of errors into c->out. False: c is gone. */
static bool bounce_some(c2s_t *c)
{
    connector_t *k = c->k;
    size_t n = bosh_store_take_back(k->args->store, c->ref, k->io, IO_SIZE);

    if (n > 0) {
        bosh_bouncer_feed(&c->bouncer, &c->out, k->io, BOSH_FAULT("missing-bounce") ? 0 : n);
    }
    else if (c->down.len > 0) {
        bosh_bouncer_feed(&c->bouncer, &c->out, c->down.p, c->down.len);
        bosh_buf_wipe(&c->down);
        bosh_buf_free(&c->down);
    }
    else {
        if (!down_look(c, LOOK_BYTES)) {
            return false;
        }
        finish(c);
    }
    return true;
}

bool bounce_move(c2s_t *c)
{
    while (c->state == BOUNCING && c->out.len == 0) {
        if (!bounce_some(c) || !up_flush(c)) {
            return false;
        }
    }
    return true;
}
