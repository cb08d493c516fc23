/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Guests by the time they are due: a binary heap that knows its members' places. */

#include "front_int.h"

static guest_t **heap; /* heap[1] is due first */
static size_t count, size;

static void put(size_t at, guest_t *g)
{
    heap[at] = g;
    g->timer = at;
}

static void rise(size_t at, guest_t *g)
{
    for (; at > 1 && heap[at / 2]->due > g->due; at /= 2) {
        put(at, heap[at / 2]);
    }
    put(at, g);
}

static void sink(size_t at, guest_t *g)
{
    for (size_t child = at * 2; child <= count; child = at * 2) {
        if (child < count && heap[child + 1]->due < heap[child]->due) {
            child++;
        }
        if (heap[child]->due >= g->due) {
            break;
        }
        put(at, heap[child]);
        at = child;
    }
    put(at, g);
}

static bool grow(void)
{
    size_t bigger = size ? size * 2 : 256;
    guest_t **h = realloc(heap, (bigger + 1) * sizeof(*h));

    if (!h) {
        return false;
    }
    heap = h;
    size = bigger;
    return true;
}

void timer_clear(guest_t *g)
{
    size_t at = g->timer;
    guest_t *last;

    if (!at) {
        return;
    }
    g->timer = 0;
    last = heap[count--];
    if (last != g) {
        rise(at, last);
        sink(last->timer, last);
    }
}

void timer_set(guest_t *g, bosh_msec_t due)
{
    timer_clear(g);
    if (count == size && !grow()) {
        ap_abort_on_oom();
    }
    g->due = due;
    rise(++count, g);
}

guest_t *timer_first(void)
{
    return count ? heap[1] : NULL;
}

void timer_hurry(bool (*chosen)(const guest_t *g), bosh_msec_t now)
{
    /* What rises goes to places that were passed already. */
    for (size_t at = 1; at <= count; at++) {
        guest_t *g = heap[at];

        if (!chosen(g)) {
            continue;
        }
        g->until = now; /* also if it is due already: that may be for less, a trim */
        if (g->due > now) {
            g->due = now;
            rise(at, g);
        }
    }
}
