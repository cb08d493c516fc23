/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * UTF-8 (RFC 3629). Every request and every byte from an XMPP server is checked
 * here before a parser sees it, so ASCII goes eight bytes at a time.
 */
#include "bosh/base.h"

#include <string.h>

#define EIGHT(byte) (UINT64_C(0x0101010101010101) * (byte))

/* No byte of the eight has its top bit set or is zero. If none has its top bit
 * set, subtracting 1 from each sets a top bit exactly where there is a zero
 * (the borrow of a zero only disturbs bytes above it, and the answer is known
 * by then). */
static bool is_plain_ascii(uint64_t eight)
{
    return ((eight | (eight - EIGHT(0x01))) & EIGHT(0x80)) == 0;
}

static bool is_between(unsigned char c, unsigned low, unsigned high)
{
    return c >= low && c <= high;
}

/* The length of the multi-byte character at p, of which n bytes are there; 0 if
 * there is none. The second byte decides about overlong forms (E0, F0),
 * surrogates (ED) and what lies beyond U+10FFFF (F4). */
static size_t character(const unsigned char *p, size_t n)
{
    unsigned low = 0x80;
    unsigned high = 0xbf;
    size_t len;

    if (is_between(p[0], 0xc2, 0xdf)) {
        len = 2;
    }
    else if (is_between(p[0], 0xe0, 0xef)) {
        len = 3;
        low = p[0] == 0xe0 ? 0xa0 : low;
        high = p[0] == 0xed ? 0x9f : high;
    }
    else if (is_between(p[0], 0xf0, 0xf4)) {
        len = 4;
        low = p[0] == 0xf0 ? 0x90 : low;
        high = p[0] == 0xf4 ? 0x8f : high;
    }
    else {
        return 0;
    }

    if (n < len || !is_between(p[1], low, high)) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if (!is_between(p[i], 0x80, 0xbf)) {
            return 0;
        }
    }
    return len;
}

bool bosh_utf8_valid(bosh_str_t s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t left = s.len;

    while (left > 0) {
        size_t len = 1;
        uint64_t eight;

        if (left >= sizeof(eight)) {
            memcpy(&eight, p, sizeof(eight));
            if (is_plain_ascii(eight)) {
                p += sizeof(eight);
                left -= sizeof(eight);
                continue;
            }
        }
        if (*p >= 0x80) {
            len = character(p, left);
        }
        else if (*p == '\0') {
            len = 0;
        }
        if (len == 0) {
            return false;
        }
        p += len;
        left -= len;
    }
    return true;
}

uint32_t bosh_utf8_next(const char **at)
{
    const unsigned char *p = (const unsigned char *)*at;
    unsigned more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : *p >= 0xc0 ? 1 : 0;
    uint32_t c = more ? *p & (0x3fu >> more) : *p;

    for (unsigned i = 1; i <= more; i++) {
        c = c << 6 | (p[i] & 0x3fu);
    }
    *at += more + 1;
    return c;
}
