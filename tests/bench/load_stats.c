/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Durations: the clock and a histogram of fixed size.
 */
#include <time.h>

#include "load.h"

#define STEPS      32
#define STEPS_LOG2 5

nsec_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (nsec_t)ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* Values below STEPS have a slot each; above, the highest STEPS_LOG2 bits after
 * the leading one choose the slot. */
static unsigned slot_of(uint64_t us)
{
    unsigned shift;

    if (us < STEPS) {
        return (unsigned)us;
    }
    shift = 63U - (unsigned)__builtin_clzll(us) - STEPS_LOG2;
    return (shift + 1) * STEPS + (unsigned)((us >> shift) - STEPS);
}

static double top_of_slot(unsigned slot)
{
    unsigned shift;

    if (slot < STEPS) {
        return slot + 1;
    }
    shift = slot / STEPS - 1;
    return (double)((uint64_t)(slot % STEPS + STEPS + 1) << shift);
}

void histogram_add(histogram_t *h, nsec_t duration)
{
    unsigned slot = slot_of((uint64_t)(duration < 0 ? 0 : duration) / 1000);
    unsigned last = sizeof(h->slots) / sizeof(h->slots[0]) - 1;

    h->slots[slot < last ? slot : last]++;
    h->count++;
    if (duration > h->max) {
        h->max = duration;
    }
}

double histogram_percentile_us(const histogram_t *h, double percent)
{
    double wanted = (double)h->count * percent / 100.0;
    double max_us = (double)h->max / 1000.0;
    uint64_t seen = 0;

    for (unsigned i = 0; i < sizeof(h->slots) / sizeof(h->slots[0]); i++) {
        seen += h->slots[i];
        if (h->slots[i] != 0 && (double)seen >= wanted) {
            return top_of_slot(i) < max_us ? top_of_slot(i) : max_us;
        }
    }
    return max_us;
}
