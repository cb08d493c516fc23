/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Strings with a length. An absent string (p == NULL) equals nothing but an
 * absent one; in particular it is not the empty string.
 */
#include "bosh/base.h"

#include <string.h>

bosh_str_t bosh_str(const char *z)
{
    bosh_str_t s = { z, z ? strlen(z) : 0 };

    return s;
}

bool bosh_str_same(bosh_str_t a, bosh_str_t b)
{
    if (!a.p || !b.p) {
        return a.p == b.p;
    }
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

bool bosh_str_eq(bosh_str_t s, const char *z)
{
    return bosh_str_same(s, bosh_str(z));
}

bool bosh_str_copy(char *dst, size_t size, bosh_str_t s)
{
    if (size == 0) {
        return false;
    }
    /* A NUL inside would make the copy another string than the original. */
    if (s.len >= size || (s.len > 0 && memchr(s.p, '\0', s.len))) {
        dst[0] = '\0';
        return false;
    }
    if (s.len > 0) {
        memcpy(dst, s.p, s.len);
    }
    dst[s.len] = '\0';
    return true;
}

/* The compiler must not see that an early exit would be faster. */
bool bosh_equal_secret(const void *a, const void *b, size_t len)
{
    const volatile unsigned char *x = a;
    const volatile unsigned char *y = b;
    unsigned difference = 0;

    for (size_t i = 0; i < len; i++) {
        difference |= (unsigned)(x[i] ^ y[i]);
    }
    return difference == 0;
}
