/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Guests by ticket. A ticket is a place in a table and a number that changes with
 * every use of the place: mail for a request that is gone finds nobody.
 */

#include "front_int.h"

#define PLACE_BITS 16
#define PLACES     ((1u << PLACE_BITS) - 1)

typedef struct place_t {
    guest_t *guest; /* NULL: free */
    uint32_t use;
    uint32_t next; /* free list */
} place_t;

static place_t *table;
static uint32_t size, used, first_free = PLACES;

static bool grow(void)
{
    uint32_t bigger = size ? size * 2 : 256;
    place_t *t;

    bigger = bigger < PLACES ? bigger : PLACES;
    t = bigger > size ? realloc(table, bigger * sizeof(*t)) : NULL;
    if (!t) {
        return false;
    }
    table = t;
    size = bigger;
    return true;
}

static uint32_t take_place(void)
{
    uint32_t i = first_free;

    if (i != PLACES) {
        first_free = table[i].next;
        return i;
    }
    if (used == size && !grow()) {
        return PLACES;
    }
    table[used].use = 0;
    return used++;
}

uint32_t ticket_take(guest_t *g)
{
    uint32_t i = take_place();

    if (i == PLACES) {
        return 0;
    }
    table[i].guest = g;
    table[i].use = (table[i].use + 1) & 0xffff;
    return table[i].use << PLACE_BITS | (i + 1);
}

static place_t *place_of(uint32_t ticket)
{
    uint32_t i = (ticket & 0xffff) - 1;

    if (i >= used || !table[i].guest || table[i].use != ticket >> PLACE_BITS) {
        return NULL;
    }
    return &table[i];
}

void ticket_return(uint32_t ticket)
{
    place_t *p = place_of(ticket);

    if (p) {
        p->guest = NULL;
        p->next = first_free;
        first_free = (uint32_t)(p - table);
    }
}

guest_t *ticket_find(uint32_t ticket)
{
    place_t *p = place_of(ticket);

    return p ? p->guest : NULL;
}

void ticket_each(void (*fn)(guest_t *, bosh_msec_t), bosh_msec_t now)
{
    for (uint32_t i = 0; i < used; i++) {
        if (table[i].guest) {
            fn(table[i].guest, now);
        }
    }
}
