/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Key sequencing (XEP-0124 section 15): every request proves with its key that it comes
 * from whom the one before came from.
 *
 *      newkey=K(n)      key=K(n-1)        key=K(n-2) newkey=L(m)      key=L(m-1)
 *                  hashes to K(n)    hashes to K(n-1)            hashes to L(m)
 *
 * A request that overtook others cannot be judged before its turn. Until then, as ever
 * after, a copy of it needs the key that the first one had: nobody gets another's
 * answers, or takes the place of one who waits for them.
 */

#include <string.h>

#include "core_int.h"

static bool has_key(const bosh_keys_t *keys)
{
    return keys && keys->has_key;
}

void keys_keep(bosh_slot_t *slot, const bosh_keys_t *keys)
{
    if (!keys) {
        return;
    }
    slot->has_key = keys->has_key;
    slot->has_next = keys->has_key || keys->has_newkey;
    if (keys->has_key) {
        memcpy(slot->key_hash, keys->hash, BOSH_KEY_BYTES);
        memcpy(slot->next_key, keys->key, BOSH_KEY_BYTES);
    }
    if (keys->has_newkey) {
        memcpy(slot->next_key, keys->newkey, BOSH_KEY_BYTES);
    }
}

bool keys_take(bosh_session_t *s, const bosh_slot_t *slot)
{
    if (!s->has_key != !slot->has_key
        || (s->has_key && !bosh_equal_secret(s->next_key, slot->key_hash, BOSH_KEY_BYTES))) {
        return false;
    }
    s->has_key = slot->has_next;
    memcpy(s->next_key, slot->next_key, BOSH_KEY_BYTES);
    return true;
}

bool keys_would_fit(const bosh_session_t *s, const bosh_keys_t *keys)
{
    return !s->has_key == !has_key(keys)
           && (!s->has_key || bosh_equal_secret(s->next_key, keys->hash, BOSH_KEY_BYTES));
}

bool keys_are_repeated(const bosh_slot_t *slot, const bosh_keys_t *keys)
{
    return !slot->has_key == !has_key(keys)
           && (!slot->has_key || bosh_equal_secret(slot->key_hash, keys->hash, BOSH_KEY_BYTES));
}
