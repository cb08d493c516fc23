/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* U-labels to A-labels: Punycode, after RFC 3492 section 6.3. */

#include <stdint.h>
#include <string.h>

#include "bosh/base.h"
#include "idn.h"

#define MAX_LABEL 63
#define PREFIX    "xn--"

/* RFC 3492 section 5. */
#define BASE         36u
#define TMIN         1u
#define TMAX         26u
#define SKEW         38u
#define DAMP         700u
#define INITIAL_BIAS 72u
#define INITIAL_N    0x80u

typedef struct out_t {
    char *p;
    size_t len, size;
    bool failed;
} out_t;

static void put(out_t *out, char c)
{
    if (out->len + 1 >= out->size) {
        out->failed = true;
        return;
    }
    out->p[out->len++] = c;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static uint32_t adapt(uint32_t delta, uint32_t points, bool is_first)
{
    uint32_t k = 0;

    delta = is_first ? delta / DAMP : delta / 2;
    delta += delta / points;
    for (; delta > (BASE - TMIN) * TMAX / 2; k += BASE) {
        delta /= BASE - TMIN;
    }
    return k + (BASE - TMIN + 1) * delta / (delta + SKEW);
}

static void put_digit(out_t *out, uint32_t d)
{
    put(out, (char)(d < 26 ? 'a' + d : '0' + d - 26));
}

static void put_number(out_t *out, uint32_t q, uint32_t bias)
{
    for (uint32_t k = BASE;; k += BASE) {
        uint32_t t = k <= bias ? TMIN : k >= bias + TMAX ? TMAX : k - bias;

        if (q < t) {
            break;
        }
        put_digit(out, t + (q - t) % (BASE - t));
        q = (q - t) / (BASE - t);
    }
    put_digit(out, q);
}

static uint32_t least_from(const uint32_t *chars, unsigned n, uint32_t from)
{
    uint32_t least = UINT32_MAX;

    for (unsigned i = 0; i < n; i++) {
        least = chars[i] >= from && chars[i] < least ? chars[i] : least;
    }
    return least;
}

/* At most 63 characters below 0x110000: nothing overflows. */
static void put_punycode(out_t *out, const uint32_t *chars, unsigned n)
{
    uint32_t next = INITIAL_N, delta = 0, bias = INITIAL_BIAS;
    unsigned basic = 0, done;

    for (unsigned i = 0; i < n; i++) {
        if (chars[i] < INITIAL_N) {
            put(out, (char)chars[i]);
            basic++;
        }
    }
    if (basic > 0) {
        put(out, '-');
    }
    for (done = basic; done < n; delta++, next++) {
        uint32_t least = least_from(chars, n, next);

        delta += (least - next) * (done + 1);
        next = least;
        for (unsigned i = 0; i < n; i++) {
            delta += chars[i] < next;
            if (chars[i] == next) {
                put_number(out, delta, bias);
                bias = adapt(delta, done + 1, done == basic);
                delta = 0;
                done++;
            }
        }
    }
}

static bool is_plain(const char *label, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)label[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

static void put_label(out_t *out, const char *label, size_t len)
{
    const char *p = label, *end = p + len;
    size_t start = out->len;
    uint32_t chars[MAX_LABEL];
    unsigned n = 0;

    if (is_plain(label, len)) {
        for (size_t i = 0; i < len; i++) {
            put(out, lower(label[i]));
        }
    }
    else {
        while (p < end && n < MAX_LABEL) {
            uint32_t c = bosh_utf8_next(&p);

            chars[n++] = c < 0x80 ? (uint32_t)lower((char)c) : c;
        }
        out->failed = out->failed || p < end;
        for (const char *x = PREFIX; *x; x++) {
            put(out, *x);
        }
        put_punycode(out, chars, n);
    }
    out->failed = out->failed || out->len - start > MAX_LABEL || out->len == start;
}

static bool has_control(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

bool idn_to_ascii(char *out, size_t size, const char *name, size_t len)
{
    out_t o = { .p = out, .size = size < IDN_SIZE ? size : IDN_SIZE };
    const char *end = name + len;

    out[0] = '\0';
    if (!bosh_utf8_valid((bosh_str_t){ name, len }) || has_control(name, len)) {
        return false;
    }
    if (len > 0 && end[-1] == '.') {
        end--;
    }
    for (;;) {
        const char *dot = memchr(name, '.', (size_t)(end - name));

        put_label(&o, name, (size_t)((dot ? dot : end) - name));
        if (!dot || o.failed) {
            break;
        }
        put(&o, '.');
        name = dot + 1;
    }
    out[o.failed ? 0 : o.len] = '\0';
    return !o.failed;
}
