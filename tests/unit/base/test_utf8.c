/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * UTF-8: the edges by name, then every sequence of up to three bytes against a
 * slow decoder.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "bosh/base.h"

typedef struct row_t {
    const char *bytes;
    size_t len;
    bool is_valid;
} row_t;

#define ROW(literal, valid)                 \
    {                                       \
        literal, sizeof(literal) - 1, valid \
    }

static const row_t rows[] = {
    ROW("", true),
    ROW("plain", true),
    ROW("\x7f", true),
    ROW("\xc2\x80", true),
    ROW("\xdf\xbf", true),
    ROW("\xe0\xa0\x80", true),
    ROW("\xed\x9f\xbf", true),
    ROW("\xee\x80\x80", true),
    ROW("\xef\xbf\xbf", true),
    ROW("\xf0\x90\x80\x80", true),
    ROW("\xf4\x8f\xbf\xbf", true),
    ROW("\xef\xbb\xbf", true),
    ROW("a\0b", false),
    ROW("\0", false),
    ROW("\x80", false),
    ROW("\xbf", false),
    ROW("\xc0\x80", false),
    ROW("\xc0\xbc", false),
    ROW("\xc1\xbf", false),
    ROW("\xe0\x9f\xbf", false),
    ROW("\xed\xa0\x80", false),
    ROW("\xed\xbf\xbf", false),
    ROW("\xf0\x8f\xbf\xbf", false),
    ROW("\xf4\x90\x80\x80", false),
    ROW("\xf5\x80\x80\x80", false),
    ROW("\xfe\xff", false),
    ROW("\xff\xfe", false),
    ROW("\xc2", false),
    ROW("\xc2<", false),
    ROW("\xe2\x82", false),
    ROW("\xe2\x82'", false),
    ROW("\xf0\x9f\x98", false),
    ROW("\xf0\x9f\x98>", false),
    ROW("\xe2\x28\xa1", false),
    ROW("\xf0\x28\x8c\xbc", false),
};

static void edges(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bosh_str_t s = { rows[i].bytes, rows[i].len };

        assert_int_equal(bosh_utf8_valid(s), rows[i].is_valid);
    }
    assert_true(bosh_utf8_valid(BOSH_ABSENT));
}

/* ASCII goes eight bytes at a time; nothing may hide at any place among them. */
static void edges_at_any_offset_among_ascii(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t before = 0; before < 17; before++) {
            for (size_t after = 0; after < 17; after++) {
                char text[64];
                bosh_str_t s = { text, before + rows[i].len + after };

                memset(text, 'a', sizeof(text));
                memcpy(text + before, rows[i].bytes, rows[i].len);
                assert_int_equal(bosh_utf8_valid(s), rows[i].is_valid);
            }
        }
    }
}

/* Decodes, then asks whether that code point is encoded just so. */
static size_t slow_character(const unsigned char *p, size_t n)
{
    static const uint32_t least[] = { 0, 1, 0x80, 0x800, 0x10000 };
    size_t len = p[0] < 0x80         ? 1
                 : p[0] >> 5 == 0x06 ? 2
                 : p[0] >> 4 == 0x0e ? 3
                 : p[0] >> 3 == 0x1e ? 4
                                     : 0;
    uint32_t code = len == 1 ? p[0] : p[0] & (0x7fu >> len);

    if (len == 0 || len > n) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if (p[i] >> 6 != 2) {
            return 0;
        }
        code = code << 6 | (p[i] & 0x3fu);
    }
    return code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? 0 : len;
}

static bool slow_valid(const unsigned char *p, size_t n)
{
    while (n > 0) {
        size_t len = slow_character(p, n);

        if (len == 0) {
            return false;
        }
        p += len;
        n -= len;
    }
    return true;
}

static void all_sequences_of_three_bytes(void **state)
{
    unsigned differences = 0;

    (void)state;
    for (uint32_t n = 0; n < (1u << 24); n++) {
        unsigned char bytes[3] = { (unsigned char)(n >> 16), (unsigned char)(n >> 8),
                                   (unsigned char)n };
        bosh_str_t s = { (const char *)bytes, 3 };

        differences += bosh_utf8_valid(s) != slow_valid(bytes, 3);
    }
    assert_int_equal(differences, 0);
}

static void all_four_byte_forms(void **state)
{
    unsigned differences = 0;

    (void)state;
    for (uint32_t n = 0; n < (1u << 22); n++) {
        /* F0..FF, any second byte, and the edges of the other two. */
        static const unsigned char edge[] = { 0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff, 0x41, 0xa0 };
        unsigned char bytes[4] = { (unsigned char)(0xf0 | (n & 15)), (unsigned char)(n >> 4),
                                   edge[(n >> 12) % 8], edge[(n >> 15) % 8] };
        bosh_str_t s = { (const char *)bytes, 4 };

        differences += bosh_utf8_valid(s) != slow_valid(bytes, 4);
    }
    assert_int_equal(differences, 0);
}

/* As RFC 3629 section 3 writes them. */
static size_t encode(char *out, uint32_t c)
{
    static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    for (size_t i = len; i-- > 1; c >>= 6) {
        out[i] = (char)(0x80 | (c & 0x3f));
    }
    out[0] = (char)(lead[len] | c);
    return len;
}

static void every_character_is_what_it_was(void **state)
{
    (void)state;
    for (uint32_t c = 1; c < 0x110000; c++) {
        char bytes[8] = { 0 };
        const char *at = bytes;
        size_t len = encode(bytes, c);

        if (bosh_utf8_next(&at) != c || at != bytes + len) {
            fail_msg("U+%04X", (unsigned)c);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edges),
        cmocka_unit_test(edges_at_any_offset_among_ascii),
        cmocka_unit_test(all_sequences_of_three_bytes),
        cmocka_unit_test(all_four_byte_forms),
        cmocka_unit_test(every_character_is_what_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
