/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Key sequencing (XEP-0124 section 15): from hexadecimal text to bytes. */

#include "front_int.h"

#include "apr_general.h"
#include "apr_sha1.h"

static int digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode(bosh_str_t hex, uint8_t *bytes)
{
    if (hex.len != (size_t)2 * BOSH_KEY_BYTES) {
        return false;
    }
    for (size_t i = 0; i < BOSH_KEY_BYTES; i++) {
        int high = digit(hex.p[2 * i]), low = digit(hex.p[2 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* What is no key must match nothing: not even what somebody made by hashing it. */
static bool put_noise(uint8_t *bytes)
{
    return apr_generate_random_bytes(bytes, BOSH_KEY_BYTES) == APR_SUCCESS;
}

static void hash(bosh_str_t text, uint8_t *bytes)
{
    apr_sha1_ctx_t ctx;

    apr_sha1_init(&ctx);
    apr_sha1_update_binary(&ctx, (const unsigned char *)text.p, (unsigned)text.len);
    apr_sha1_final(bytes, &ctx);
}

bool keys_read(bosh_str_t key, bosh_str_t newkey, bosh_keys_t *keys)
{
    memset(keys, 0, sizeof(*keys));
    keys->has_key = key.p != NULL;
    keys->has_newkey = newkey.p != NULL;
    if (keys->has_key) {
        if (decode(key, keys->key)) {
            hash(key, keys->hash);
        }
        else if (!put_noise(keys->key) || !put_noise(keys->hash)) {
            return false;
        }
    }
    return !keys->has_newkey || decode(newkey, keys->newkey) || put_noise(keys->newkey);
}
