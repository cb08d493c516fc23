/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Random numbers that can be had again: a run prints its seed, and BOSH_SEED=n
 * repeats it. Counts of steps come from the environment too, for long runs.
 */
#ifndef RNG_H
#define RNG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct rng_t {
    uint64_t state;
} rng_t;

/* splitmix64 */
static inline uint64_t rng_next(rng_t *g)
{
    uint64_t z = (g->state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* 0 .. n-1 */
static inline uint32_t rng_below(rng_t *g, uint32_t n)
{
    return (uint32_t)(rng_next(g) % n);
}

static inline bool rng_one_in(rng_t *g, uint32_t n)
{
    return rng_below(g, n) == 0;
}

/* A number from the environment, or what is said here. */
static inline uint64_t env_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static inline uint64_t seed_of_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return ((uint64_t)t.tv_nsec << 16 ^ (uint64_t)t.tv_sec ^ (uint64_t)getpid()) % 1000000000;
}

/* The same numbers each time, so that a red run is about what was changed, unless
 * BOSH_SEED is a number or "random". Prints the seed, so that a failure can be repeated. */
static inline rng_t rng_seeded(const char *test)
{
    const char *text = getenv("BOSH_SEED");
    uint64_t seed =
        text && strcmp(text, "random") == 0 ? seed_of_now() : env_number("BOSH_SEED", 1);

    printf("# %s: BOSH_SEED=%llu repeats this run\n", test, (unsigned long long)seed);
    fflush(stdout);
    return (rng_t){ seed };
}

#endif
