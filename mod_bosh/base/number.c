/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Numbers and booleans in attribute values. strtoull() is of no use here: it
 * accepts signs, white space and a number followed by something else.
 */
#include "bosh/base.h"

bool bosh_parse_uint(bosh_str_t s, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;

    *out = 0;
    if (!s.p || s.len == 0) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)((unsigned char)s.p[i] - '0');

        /* Says n * 10 + digit > max, without overflow. */
        if (digit > 9 || n > max / 10 || (n == max / 10 && digit > max % 10)) {
            return false;
        }
        n = n * 10 + digit;
    }
    *out = n;
    return true;
}

bool bosh_parse_bool(bosh_str_t s)
{
    return bosh_str_eq(s, "true") || bosh_str_eq(s, "1");
}
