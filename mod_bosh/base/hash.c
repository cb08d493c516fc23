/* Licensed under the Apache License, Version 2.0; see LICENSE. */
#include <string.h>

#include "bosh/base.h"

#define PRIME UINT64_C(1099511628211)

uint64_t bosh_hash(uint64_t h, const void *p, size_t n)
{
    const unsigned char *byte = p;

    for (size_t i = 0; i < n; i++) {
        h = (h ^ byte[i]) * PRIME;
    }
    return h;
}

uint64_t bosh_hash_z(uint64_t h, const char *z)
{
    const unsigned char end = 0xff; /* in no UTF-8 */

    return bosh_hash(bosh_hash(h, z, strlen(z)), &end, 1);
}
