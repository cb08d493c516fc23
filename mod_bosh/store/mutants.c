/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Defects that tests/soak/mutants calls up one by one, to see that its checker notices
 * them. Empty unless configured with --enable-faults.
 */
#include "store_int.h"

#ifdef BOSH_FAULTS

#include <stdlib.h>
#include <string.h>

static void put_twice(bosh_store_t *st, record_t *r, chain_t *c)
{
    chain_t copy = EMPTY_CHAIN;

    if (chain_has_room_locked(st, &copy, c->len)) {
        chain_append_chain_locked(st, &copy, (uint32_t)(r - st->sessions), c);
        chain_move_locked(st, c, &copy);
    }
}

static bool is_asked(const char *name)
{
    const char *asked = getenv("BOSH_FAULT");

    return asked && !strncmp(asked, name, strlen(name));
}

/* Behind the next ones. aside: a queue that a session of one stream does not use. */
static void put_off(bosh_store_t *st, chain_t *c, chain_t *aside, const char *name)
{
    if (!is_asked(name)) {
        return;
    }
    if (aside->len > 0) {
        chain_move_locked(st, c, aside);
    }
    else if (BOSH_FAULT(name)) {
        chain_move_locked(st, aside, c);
    }
}

void mutate_up_locked(bosh_store_t *st, record_t *r, chain_t *payload)
{
    if (BOSH_FAULT("drop-up")) {
        chain_free_locked(st, payload);
    }
    if (BOSH_FAULT("double-up")) {
        put_twice(st, r, payload);
    }
    put_off(st, payload, &r->leg[BOSH_MAX_STREAMS - 1].up, "swap-up");
}

void mutate_down_locked(bosh_store_t *st, record_t *r, chain_t *payload)
{
    if (BOSH_FAULT("drop-down")) {
        chain_free_locked(st, payload);
    }
    if (BOSH_FAULT("double-down")) {
        put_twice(st, r, payload);
    }
    put_off(st, payload, &r->leg[BOSH_MAX_STREAMS - 1].down, "swap-down");
}

/* One byte more, and still XML. */
void mutate_repeat(bosh_buf_t *out, bosh_outcome_t *o)
{
    if (out->len > 0 && out->len == o->payload_len && out->len < out->size
        && BOSH_FAULT("altered-repeat")) {
        out->p[out->len++] = ' ';
        o->payload_len++;
    }
}

#else

/* ISO C wants something in a file. */
extern int bosh_no_mutants;

#endif
