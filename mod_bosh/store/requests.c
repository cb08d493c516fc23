/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* What the front calls: requests come, wait, come back, and are written. */

#include <string.h>

#include <apr_general.h>

#include "store_int.h"

static const bosh_str_t no_payload = { "", 0 };

/* Copies a kept answer's payload if the caller's buffer has the room: nothing is
 * allocated under the lock. */
static void copy_payload(bosh_store_t *st, record_t *r, unsigned slot, bosh_buf_t *out,
                         bosh_outcome_t *o)
{
    const chain_t *c = &r->slot[slot];

    o->payload_len = c->len;
    if (c->len <= out->size) {
        chain_copy_locked(st, c, out->p);
        out->len = c->len;
    }
}

static void report(bosh_store_t *st, record_t *r, const bosh_action_t *own, bosh_buf_t *out,
                   bosh_outcome_t *o)
{
    o->ref = record_ref(st, r);
    o->serial = r->serial;
    o->terms = r->core.terms;
    if (!own) { /* a defect of the core: say nothing wrong */
        o->got = BOSH_GOT_NO_ROOM;
        return;
    }
    if (own->kind == BOSH_DO_HOLD) {
        o->got = BOSH_GOT_HOLD;
        o->due = own->due;
        return;
    }
    o->got = BOSH_GOT_ANSWER;
    o->answer = own->answer;
    o->is_kept = own->kind == BOSH_DO_ANSWER;
    if (own->kind != BOSH_DO_REPLY) {
        copy_payload(st, r, own->slot, out, o);
    }
}

static void step_request(bosh_store_t *st, record_t *r, const bosh_request_t *req, bosh_msec_t now,
                         bosh_buf_t *out, bosh_outcome_t *o)
{
    bosh_actions_t acts;
    bosh_event_t ev = {
        .kind = BOSH_EV_REQUEST,
        .rid = req->rid,
        .holder = req->holder,
        .asks = req->asks,
        .pause = req->pause,
        .stream = BOSH_NO_STREAM,
        .ack = req->ack,
        .keys = req->keys,
    };

    if (req->payload.len > 0) {
        ev.asks |= BOSH_ASKS_PAYLOAD;
    }
    report(st, r, apply_locked(st, r, &ev, req->payload, now, &acts, &o->knocks).own, out, o);
}

/* Back-pressure: what cannot be kept is not taken, and the rid is not consumed. A copy
 * of a request that was taken already needs no room; nor does one after the end. */
static bool has_room(bosh_store_t *st, record_t *r, const bosh_request_t *req)
{
    const bosh_slot_t *slot = &r->core.slots[req->rid % BOSH_SLOTS];

    if (req->payload.len == 0 || r->core.state >= BOSH_CLOSING
        || (slot->state != BOSH_SLOT_FREE && slot->rid == req->rid)) {
        return true;
    }
    /* One block more: forwarding may copy on into the up queue's last block. */
    return r->up.len + req->payload.len <= UP_LIMIT
           && chain_has_room_locked(st, &r->slot[req->rid % BOSH_SLOTS],
                                    req->payload.len + BLOCK_BYTES);
}

static void init_outcome(bosh_outcome_t *o, bosh_buf_t *out, bosh_got_t got)
{
    memset(o, 0, sizeof(*o));
    o->got = got;
    out->len = 0;
}

static void fill_record(bosh_store_t *st, record_t *r, const bosh_birth_t *birth, bosh_msec_t now,
                        bosh_knocks_t *knocks)
{
    uint32_t index = (uint32_t)(r - st->sessions);
    bosh_greeting_t greeting = { "", "", "" };

    bosh_session_init(&r->core, &birth->terms, now);
    r->realm = birth->realm;
    r->secure = birth->secure;
    r->connector = (uint8_t)(st->h->next_connector++ % st->h->max_connectors);
    memcpy(greeting.from, birth->upstream.to, sizeof(greeting.from));
    chain_append_locked(st, &r->task, index, (const char *)&birth->upstream,
                        sizeof(birth->upstream));
    chain_append_locked(st, &r->greeting, index, (const char *)&greeting, sizeof(greeting));
    mail_connector_locked(st, r, knocks);
}

void bosh_store_create_session(bosh_store_t *st, const bosh_birth_t *birth,
                               const bosh_request_t *req, bosh_msec_t now, char *sid_text,
                               bosh_buf_t *out, bosh_outcome_t *o)
{
    unsigned char sid[BOSH_SID_BYTES];
    const size_t need = sizeof(bosh_upstream_t) + sizeof(bosh_greeting_t) + 4 * BLOCK_BYTES;
    const chain_t none = EMPTY_CHAIN;
    record_t *r = NULL;

    init_outcome(o, out, BOSH_GOT_FULL);
    sid_text[0] = '\0';
    /* Never a weak sid: without random bytes there is no session. */
    if (apr_generate_random_bytes(sid, sizeof(sid)) != APR_SUCCESS) {
        return;
    }
    if (!store_lock(st, &o->knocks)) {
        return;
    }
    if (chain_has_room_locked(st, &none, need + req->payload.len)) {
        r = record_new_locked(st, sid);
        if (!r && record_reclaim_locked(st)) {
            r = record_new_locked(st, sid);
        }
    }
    if (r) {
        fill_record(st, r, birth, now, &o->knocks);
        step_request(st, r, req, now, out, o);
        sid_encode(sid, sid_text);
    }
    store_unlock(st);
}

void bosh_store_request(bosh_store_t *st, bosh_str_t sid, uint64_t realm, bool secure,
                        const bosh_request_t *req, bosh_msec_t now, bosh_buf_t *out,
                        bosh_outcome_t *o)
{
    record_t *r;

    init_outcome(o, out, BOSH_GOT_NO_ROOM);
    if (!store_lock(st, &o->knocks)) {
        return;
    }
    o->got = BOSH_GOT_UNKNOWN;
    r = record_find_locked(st, sid);
    if (r && r->realm == realm) {
        if (r->secure && !secure) {
            o->got = BOSH_GOT_EXPOSED;
        }
        else if (!has_room(st, r, req)) {
            o->got = BOSH_GOT_NO_ROOM;
        }
        else {
            step_request(st, r, req, now, out, o);
        }
    }
    store_unlock(st);
}

void bosh_store_due(bosh_store_t *st, bosh_ref_t ref, uint64_t rid, bosh_holder_t holder,
                    uint8_t asks, bosh_msec_t now, bosh_buf_t *out, bosh_outcome_t *o)
{
    bosh_event_t ev = { .kind = BOSH_EV_DUE, .rid = rid, .holder = holder, .asks = asks };
    bosh_actions_t acts;
    record_t *r;

    init_outcome(o, out, BOSH_GOT_NO_ROOM);
    if (!store_lock(st, &o->knocks)) {
        return;
    }
    o->got = BOSH_GOT_UNKNOWN;
    r = record_get_locked(st, ref);
    if (r) {
        report(st, r, apply_locked(st, r, &ev, no_payload, now, &acts, &o->knocks).own, out, o);
    }
    store_unlock(st);
}

bool bosh_store_payload(bosh_store_t *st, bosh_ref_t ref, uint64_t rid, bosh_buf_t *out)
{
    bosh_knocks_t knocks = { 0 };
    record_t *r;
    bool found = false;

    if (!store_lock(st, &knocks)) {
        return false;
    }
    r = record_get_locked(st, ref);
    if (r) {
        const bosh_slot_t *slot = &r->core.slots[rid % BOSH_SLOTS];
        const chain_t *c = &r->slot[rid % BOSH_SLOTS];

        found = slot->state == BOSH_SLOT_ANSWERED && slot->rid == rid && c->len <= out->size;
        if (found) {
            chain_copy_locked(st, c, out->p);
            out->len = c->len;
        }
    }
    store_unlock(st);
    return found;
}

static void step_simple(bosh_store_t *st, bosh_ref_t ref, const bosh_event_t *ev, bosh_msec_t now,
                        bosh_knocks_t *knocks)
{
    bosh_actions_t acts;
    record_t *r;

    if (!store_lock(st, knocks)) {
        return;
    }
    r = record_get_locked(st, ref);
    if (r) {
        apply_locked(st, r, ev, no_payload, now, &acts, knocks);
    }
    store_unlock(st);
}

void bosh_store_restart_from(bosh_store_t *st, bosh_ref_t ref, char *from)
{
    (void)st;
    (void)ref;
    from[0] = '\0';
}

size_t bosh_store_take_back(bosh_store_t *st, bosh_ref_t ref, char *buf, size_t size)
{
    (void)st;
    (void)ref;
    (void)buf;
    (void)size;
    return 0;
}

void bosh_store_gone(bosh_store_t *st, bosh_ref_t ref, uint64_t rid, bosh_holder_t holder,
                     bosh_msec_t now, bosh_knocks_t *knocks)
{
    bosh_event_t ev = { .kind = BOSH_EV_GONE, .rid = rid, .holder = holder };

    step_simple(st, ref, &ev, now, knocks);
}

void bosh_store_written(bosh_store_t *st, bosh_ref_t ref, uint64_t rid, bosh_holder_t holder,
                        bosh_msec_t now, bosh_knocks_t *knocks)
{
    bosh_event_t ev = { .kind = BOSH_EV_WRITTEN, .rid = rid, .holder = holder };

    step_simple(st, ref, &ev, now, knocks);
}

void bosh_store_end(bosh_store_t *st, bosh_ref_t ref, bosh_condition_t condition,
                    bosh_reason_t reason, bosh_msec_t now, bosh_knocks_t *knocks)
{
    bosh_event_t ev = {
        .kind = BOSH_EV_END, .holder = BOSH_NOBODY, .condition = condition, .reason = reason
    };

    step_simple(st, ref, &ev, now, knocks);
}

bool bosh_store_greeting(bosh_store_t *st, bosh_ref_t ref, bosh_greeting_t *greeting)
{
    bosh_knocks_t knocks = { 0 };
    record_t *r;

    memset(greeting, 0, sizeof(*greeting));
    if (!store_lock(st, &knocks)) {
        return false;
    }
    r = record_get_locked(st, ref);
    if (r && r->greeting.len == sizeof(*greeting)) {
        chain_copy_locked(st, &r->greeting, (char *)greeting);
    }
    store_unlock(st);
    return r != NULL;
}
