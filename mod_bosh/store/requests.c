/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* What the front calls: requests come, wait, come back, and are written. */

#include <string.h>

#include <apr_general.h>

#include "store_int.h"

/* Requests of which something is kept until their turn. */
#define KEPT_ASKS (BOSH_ASKS_PAYLOAD | BOSH_ASKS_RESTART | BOSH_ASKS_ADD)

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

/* The stream that an answer names; of one that tells of a beginning, ref is it. */
static void name_stream(const record_t *r, bosh_outcome_t *o)
{
    const bosh_answer_t *answer = &o->answer;

    leg_name(r, answer->stream, o->stream);
    if ((answer->kind == BOSH_ANSWER_CREATED || answer->kind == BOSH_ANSWER_STREAM
         || answer->greets)
        && answer->stream < BOSH_MAX_STREAMS) {
        o->ref.stream = answer->stream;
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
    if (own->kind == BOSH_DO_REPEAT && (r->returned & 1u << own->slot)) {
        /* Its stanzas' senders were told that they did not arrive: as with any late
         * request, the end is all there is to say. */
        o->answer = (bosh_answer_t){ .kind = BOSH_ANSWER_TERMINATE,
                                     .condition = r->core.condition,
                                     .stream = BOSH_NO_STREAM };
        return;
    }
    o->answer = own->answer;
    o->is_kept = own->kind == BOSH_DO_ANSWER;
    name_stream(r, o);
    if (own->kind != BOSH_DO_REPLY) {
        copy_payload(st, r, own->slot, out, o);
    }
    if (own->kind == BOSH_DO_REPEAT) {
        mutate_repeat(out, o);
    }
}

/* Only what has nothing else to say adds a stream (XEP-0124 section 16.3), which is described
 * or refused. */
static bool is_addition(const bosh_request_t *req)
{
    return (req->asks & BOSH_ASKS_ADD) && (req->add || req->refused) && req->payload.len == 0
           && !(req->asks & (BOSH_ASKS_RESTART | BOSH_ASKS_TERMINATE | BOSH_ASKS_PAUSE));
}

/* What a session keeps of a request until its turn. *add is for the bytes. */
static bosh_str_t kept_bytes(const bosh_request_t *req, addition_t *add)
{
    if (is_addition(req)) {
        if (!req->add) {
            return no_payload; /* it is refused */
        }
        addition_fill(add, req->add);
        return (bosh_str_t){ (const char *)add, sizeof(*add) };
    }
    if (req->asks & BOSH_ASKS_RESTART) {
        return req->from.p && req->from.len < FROM_SIZE ? req->from : no_payload;
    }
    return req->payload;
}

static bosh_event_t as_event(const record_t *r, const bosh_request_t *req)
{
    const uint8_t kept = BOSH_ASKS_PAYLOAD | BOSH_ASKS_ADD;
    bosh_event_t ev = {
        .kind = BOSH_EV_REQUEST,
        .rid = req->rid,
        .holder = req->holder,
        .asks = req->asks & (uint8_t)~kept,
        .pause = req->pause,
        .stream = leg_find(r, req->stream),
        .ack = req->ack,
        .keys = req->keys,
        .condition = req->refused,
    };

    if (is_addition(req)) {
        /* Without an announcement it is an ordinary empty request. */
        ev.asks |= r->core.terms.streams > 1 ? BOSH_ASKS_ADD : 0;
    }
    else if (req->payload.len > 0 && !(req->asks & BOSH_ASKS_RESTART)) {
        ev.asks |= BOSH_ASKS_PAYLOAD;
    }
    return ev;
}

static void step_request(bosh_store_t *st, record_t *r, const bosh_event_t *ev, bosh_str_t kept,
                         bosh_msec_t now, bosh_buf_t *out, bosh_outcome_t *o)
{
    bosh_actions_t acts;

    report(st, r, apply_locked(st, r, ev, kept, now, &acts, &o->knocks).own, out, o);
    if (acts.n > 0 && acts.a[0].kind == BOSH_DO_REPEAT && BOSH_FAULT("repeat-up")) {
        chain_append_locked(st, &r->leg[0].up, (uint32_t)(r - st->sessions), kept.p, kept.len);
    }
}

static void init_outcome(bosh_outcome_t *o, bosh_buf_t *out, bosh_got_t got)
{
    memset(o, 0, sizeof(*o));
    o->got = got;
    out->len = 0;
}

static void fill_record(bosh_store_t *st, record_t *r, const bosh_birth_t *birth,
                        const names_t *names, uint32_t connector, bosh_msec_t now,
                        bosh_knocks_t *knocks)
{
    uint32_t index = (uint32_t)(r - st->sessions);
    bosh_greeting_t greeting = { "", "", "" };

    bosh_session_init(&r->core, &birth->terms, now);
    r->realm = birth->realm;
    client_begin_locked(st, r, &birth->client, now);
    r->secure = birth->secure;
    r->connector = (uint8_t)connector;
    r->begun = leg_bit(0);
    for (unsigned n = 0; n < BOSH_MAX_STREAMS; n++) {
        memcpy(r->leg[n].name, names->name[n], NAME_BYTES);
    }
    memcpy(greeting.from, birth->upstream.to, sizeof(greeting.from));
    memcpy(greeting.content, birth->content, sizeof(greeting.content));
    chain_append_locked(st, &r->leg[0].task, index, (const char *)&birth->upstream,
                        sizeof(birth->upstream));
    chain_append_locked(st, &r->leg[0].greeting, index, (const char *)&greeting, sizeof(greeting));
    mail_connector_locked(st, r, leg_bit(0), knocks);
}

void bosh_store_create_session(bosh_store_t *st, const bosh_birth_t *birth,
                               const bosh_request_t *req, bosh_msec_t now, char *sid_text,
                               bosh_buf_t *out, bosh_outcome_t *o)
{
    unsigned char sid[BOSH_SID_BYTES];
    bosh_event_t ev;
    const size_t need = sizeof(bosh_upstream_t) + sizeof(bosh_greeting_t) + 4 * BLOCK_BYTES;
    const chain_t none = EMPTY_CHAIN;
    addition_t add;
    bosh_str_t kept = kept_bytes(req, &add);
    names_t names = { 0 };
    uint32_t connector;
    record_t *r = NULL;

    init_outcome(o, out, BOSH_GOT_FULL);
    sid_text[0] = '\0';
    if (apr_generate_random_bytes(sid, sizeof(sid)) != APR_SUCCESS
        || (birth->terms.streams > 1 && !names_make(&names))) {
        o->got = BOSH_GOT_NO_RANDOM;
        return;
    }
    if (!store_lock_soon(st, &o->knocks)) {
        o->got = BOSH_GOT_BUSY;
        return;
    }
    connector = connector_choose_locked(st, now);
    if (connector == NIL) {
        o->got = BOSH_GOT_NO_CONNECTOR;
    }
    else if (!client_may_begin_locked(st, &birth->client, now)) {
        o->got = BOSH_GOT_CROWDED;
    }
    else if (chain_has_room_locked(st, &none, need + kept.len)) {
        r = record_new_locked(st, sid);
        if (!r && record_reclaim_locked(st, now)) {
            r = record_new_locked(st, sid);
        }
    }
    if (r) {
        fill_record(st, r, birth, &names, connector, now, &o->knocks);
        ev = as_event(r, req);
        BOSH_CRASH_POINT("creation");
        step_request(st, r, &ev, kept, now, out, o);
        sid_encode(sid, sid_text);
    }
    store_unlock(st);
}

void bosh_store_request(bosh_store_t *st, bosh_str_t sid, uint64_t realm, bool secure,
                        const bosh_request_t *req, bosh_msec_t now, bosh_buf_t *out,
                        bosh_outcome_t *o)
{
    addition_t add;
    bosh_str_t kept = kept_bytes(req, &add);
    bosh_event_t ev;
    record_t *r;

    init_outcome(o, out, BOSH_GOT_BUSY);
    if (!store_lock_soon(st, &o->knocks)) {
        return;
    }
    o->got = BOSH_GOT_UNKNOWN;
    r = record_find_locked(st, sid);
    if (r && r->realm == realm && !BOSH_FAULT("lost-session")) {
        ev = as_event(r, req);
        if (r->secure && !secure) {
            o->got = BOSH_GOT_EXPOSED;
        }
        else if (!req->is_there && bosh_session_is_stale(&r->core, req->rid)) {
            o->got = BOSH_GOT_STALE;
        }
        else if (!request_has_room_locked(st, r, &ev, ev.asks & KEPT_ASKS ? kept.len : 0)) {
            o->got = BOSH_GOT_NO_ROOM;
        }
        else {
            step_request(st, r, &ev, kept, now, out, o);
            BOSH_CRASH_POINT("request");
        }
    }
    store_unlock(st);
    BOSH_CRASH_POINT("request-unlocked");
}

bool bosh_store_peek(bosh_store_t *st, bosh_str_t sid, uint64_t realm, bosh_terms_t *terms,
                     bosh_ref_t *ref)
{
    bosh_knocks_t knocks = { 0 };
    record_t *r;
    bool found;

    if (!store_lock_soon(st, &knocks)) {
        return false;
    }
    r = record_find_locked(st, sid);
    found = r && r->realm == realm;
    if (found) {
        *terms = r->core.terms;
        *ref = record_ref(st, r);
    }
    store_unlock(st);
    return found;
}

void bosh_store_due(bosh_store_t *st, bosh_ref_t ref, uint64_t rid, bosh_holder_t holder,
                    uint8_t asks, bosh_msec_t now, bosh_buf_t *out, bosh_outcome_t *o)
{
    bosh_event_t ev = { .kind = BOSH_EV_DUE, .rid = rid, .holder = holder, .asks = asks };
    bosh_actions_t acts;
    record_t *r;

    init_outcome(o, out, BOSH_GOT_BUSY);
    if (!store_lock_soon(st, &o->knocks)) {
        return;
    }
    o->got = BOSH_GOT_UNKNOWN;
    r = record_get_locked(st, ref);
    if (r) {
        report(st, r, apply_locked(st, r, &ev, no_payload, now, &acts, &o->knocks).own, out, o);
        BOSH_CRASH_POINT("due");
    }
    store_unlock(st);
    BOSH_CRASH_POINT("due-unlocked");
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

        found = slot->state == BOSH_SLOT_ANSWERED && slot->rid == rid && c->len <= out->size
                && !(r->returned & 1u << rid % BOSH_SLOTS);
        if (found) {
            chain_copy_locked(st, c, out->p);
            out->len = c->len;
        }
    }
    store_unlock(st);
    return found;
}

static void step_locked(bosh_store_t *st, bosh_ref_t ref, const bosh_event_t *ev, bosh_msec_t now,
                        bosh_knocks_t *knocks)
{
    record_t *r = record_get_locked(st, ref);
    bosh_actions_t acts;

    if (r) {
        apply_locked(st, r, ev, no_payload, now, &acts, knocks);
    }
    if (r && ev->kind == BOSH_EV_WRITTEN && BOSH_FAULT("lost-answer")) {
        chain_free_locked(st, &r->slot[ev->rid % BOSH_SLOTS]);
    }
}

static void step_simple(bosh_store_t *st, bosh_ref_t ref, const bosh_event_t *ev, bosh_msec_t now,
                        bosh_knocks_t *knocks)
{
    if (store_lock(st, knocks)) {
        step_locked(st, ref, ev, now, knocks);
        store_unlock(st);
    }
}

bool bosh_store_gone(bosh_store_t *st, bosh_ref_t ref, uint64_t rid, bosh_holder_t holder,
                     bosh_msec_t now, bosh_knocks_t *knocks)
{
    bosh_event_t ev = { .kind = BOSH_EV_GONE, .rid = rid, .holder = holder };

    if (!store_lock_soon(st, knocks)) {
        return false;
    }
    step_locked(st, ref, &ev, now, knocks);
    BOSH_CRASH_POINT("gone");
    store_unlock(st);
    return true;
}

void bosh_store_written(bosh_store_t *st, bosh_ref_t ref, uint64_t rid, bosh_holder_t holder,
                        bosh_msec_t now, bosh_knocks_t *knocks)
{
    bosh_event_t ev = { .kind = BOSH_EV_WRITTEN, .rid = rid, .holder = holder };

    BOSH_CRASH_POINT("answer-written");
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

void bosh_store_end_all(bosh_store_t *st, bosh_condition_t condition, bosh_reason_t reason,
                        bosh_msec_t now, bosh_knocks_t *knocks)
{
    bosh_event_t ev = {
        .kind = BOSH_EV_END, .holder = BOSH_NOBODY, .condition = condition, .reason = reason
    };

    apply_to_all(st, ANY_CONNECTOR, &ev, now, knocks);
}

bool bosh_store_greeting(bosh_store_t *st, bosh_ref_t ref, bosh_greeting_t *greeting)
{
    bosh_knocks_t knocks = { 0 };
    record_t *r;
    leg_t *leg;

    memset(greeting, 0, sizeof(*greeting));
    if (!store_lock(st, &knocks)) {
        return false;
    }
    r = record_get_locked(st, ref);
    leg = r ? leg_get(r, ref) : NULL;
    if (leg && leg->greeting.len == sizeof(*greeting)) {
        chain_copy_locked(st, &leg->greeting, (char *)greeting);
    }
    store_unlock(st);
    return leg != NULL;
}
