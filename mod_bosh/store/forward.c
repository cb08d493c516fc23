/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Payloads on their way up: is there room, and where do they go.
 *
 * One that names no stream goes to all that are open (XEP-0124 section 16.4). The copies
 * are made when the request has its turn, which may be later than it came; and its turn
 * comes only with a request that closes the gap before it. So that one is refused unless
 * all copies fit, of its own payload and of those behind it: nothing is half done.
 */

#include "store_int.h"

static uint8_t open_legs(const record_t *r)
{
    return r->begun & (uint8_t) ~(r->wants_close | r->up_gone);
}

static unsigned count_legs(uint8_t legs)
{
    unsigned n = 0;

    for (; legs; legs &= (uint8_t)(legs - 1)) {
        n++;
    }
    return n;
}

static size_t in_blocks(size_t len)
{
    return (len + BLOCK_BYTES - 1) / BLOCK_BYTES;
}

static bool goes_to_all(const record_t *r, uint8_t asks, uint8_t stream)
{
    return stream == BOSH_NO_STREAM && r->core.terms.streams > 1 && (asks & BOSH_ASKS_PAYLOAD);
}

/* What is taken in the same step as this request: it, and those that wait for it. */
static size_t blocks_for_copies(const record_t *r, const bosh_event_t *ev, size_t kept)
{
    unsigned legs = count_legs(open_legs(r)), copies;
    size_t blocks = 0;

    for (uint64_t rid = ev->rid; rid < ev->rid + BOSH_SLOTS; rid++) {
        const bosh_slot_t *slot = &r->core.slots[rid % BOSH_SLOTS];
        bool is_own = rid == ev->rid;
        uint8_t asks = is_own ? ev->asks : slot->asks;

        if (!is_own && (slot->state != BOSH_SLOT_EARLY || slot->rid != rid)) {
            break;
        }
        if (asks & BOSH_ASKS_ADD) {
            legs++;
        }
        copies = legs > BOSH_MAX_STREAMS ? BOSH_MAX_STREAMS - 1 : legs > 0 ? legs - 1 : 0;
        if (goes_to_all(r, asks, is_own ? ev->stream : slot->stream)) {
            blocks += copies * in_blocks(is_own ? kept : r->slot[rid % BOSH_SLOTS].len);
        }
    }
    return blocks;
}

/* The streams whose up queues it goes to are not full. */
static bool is_below_limit(const record_t *r, const bosh_event_t *ev, size_t kept)
{
    uint8_t legs = ev->stream < BOSH_MAX_STREAMS          ? leg_bit(ev->stream)
                   : goes_to_all(r, ev->asks, ev->stream) ? open_legs(r)
                                                          : leg_bit(0);

    for (unsigned n = 0; n < BOSH_MAX_STREAMS; n++) {
        if ((legs & leg_bit(n)) && r->leg[n].up.len + kept > UP_LIMIT) {
            return false;
        }
    }
    return true;
}

bool request_has_room_locked(const bosh_store_t *st, const record_t *r, const bosh_event_t *ev,
                             size_t kept)
{
    const bosh_slot_t *slot = &r->core.slots[ev->rid % BOSH_SLOTS];
    size_t blocks = in_blocks(kept);

    /* A copy of a request that was taken already needs no room; nor does one after the
     * end, nor one that ends it. */
    if (r->core.state >= BOSH_CLOSING || ev->stream == BOSH_BAD_STREAM
        || (slot->state != BOSH_SLOT_FREE && slot->rid == ev->rid)) {
        return true;
    }
    if ((ev->asks & BOSH_ASKS_PAYLOAD) && !is_below_limit(r, ev, kept)) {
        return false;
    }
    if (ev->rid == r->core.next_rid) {
        blocks += blocks_for_copies(r, ev, kept);
    }
    return blocks <= st->h->blocks_free;
}

void forward_locked(bosh_store_t *st, record_t *r, unsigned slot, uint8_t stream,
                    bosh_knocks_t *knocks)
{
    chain_t *payload = &r->slot[slot];
    uint8_t legs = stream < BOSH_MAX_STREAMS ? leg_bit(stream) & r->begun & (uint8_t)~r->up_gone
                                             : open_legs(r);
    uint8_t left = legs;

    mutate_up_locked(st, r, payload);
    for (unsigned n = 0; n < BOSH_MAX_STREAMS && left; n++) {
        if (!(left & leg_bit(n))) {
            continue;
        }
        left &= (uint8_t)~leg_bit(n);
        if (!left) {
            chain_move_locked(st, &r->leg[n].up, payload);
        }
        else if (chain_has_room_locked(st, &r->leg[n].up, payload->len)) {
            chain_append_chain_locked(st, &r->leg[n].up, (uint32_t)(r - st->sessions), payload);
        }
    }
    chain_free_locked(st, payload);
    BOSH_CRASH_POINT("forwarded");
    mail_connector_locked(st, r, legs, knocks);
}
