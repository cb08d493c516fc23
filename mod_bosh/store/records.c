/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Session records: allocation, and lookup by sid. */

#include <string.h>

#include "store_int.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64url_encode(const unsigned char *p, size_t n, char *text)
{
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];

        for (int shift = 18; shift >= 0; shift -= 6) {
            *text++ = digits[(v >> shift) & 63];
        }
    }
    *text = '\0';
}

static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool base64url_decode(bosh_str_t text, unsigned char *p, size_t n)
{
    if (text.len != n / 3 * 4) {
        return false;
    }
    for (size_t i = 0; i < text.len; i += 4) {
        uint32_t v = 0;

        for (unsigned k = 0; k < 4; k++) {
            int d = digit_value(text.p[i + k]);

            if (d < 0) {
                return false;
            }
            v = v << 6 | (uint32_t)d;
        }
        *p++ = (unsigned char)(v >> 16);
        *p++ = (unsigned char)(v >> 8);
        *p++ = (unsigned char)v;
    }
    return true;
}

void sid_encode(const unsigned char sid[BOSH_SID_BYTES], char *text)
{
    base64url_encode(sid, BOSH_SID_BYTES, text);
}

bool sid_decode(bosh_str_t text, unsigned char sid[BOSH_SID_BYTES])
{
    return base64url_decode(text, sid, BOSH_SID_BYTES);
}

/* The first 8 bytes choose the bucket: time tells at most those. */
uint32_t *record_bucket(bosh_store_t *st, const unsigned char sid[BOSH_SID_BYTES])
{
    uint32_t v;

    memcpy(&v, sid, sizeof(v));
    return &st->buckets[v & (st->h->buckets - 1)];
}

record_t *record_find_locked(bosh_store_t *st, bosh_str_t text)
{
    unsigned char sid[BOSH_SID_BYTES];

    if (!sid_decode(text, sid)) {
        return NULL;
    }
    /* Bounded, should somebody have written over the list. */
    for (uint32_t i = *record_bucket(st, sid), n = 0;
         i < st->h->used_sessions && n <= st->h->sessions; i = st->sessions[i].next, n++) {
        record_t *r = &st->sessions[i];

        if (memcmp(r->sid, sid, 8) == 0
            && bosh_equal_secret(r->sid + 8, sid + 8, BOSH_SID_BYTES - 8)) {
            return r;
        }
    }
    return NULL;
}

record_t *record_get_locked(bosh_store_t *st, bosh_ref_t ref)
{
    record_t *r;

    if (ref.index >= st->h->used_sessions) {
        return NULL;
    }
    r = &st->sessions[ref.index];
    return r->in_use && r->generation == ref.generation ? r : NULL;
}

bosh_ref_t record_ref(const bosh_store_t *st, const record_t *r)
{
    return (bosh_ref_t){ (uint32_t)(r - st->sessions), r->generation, 0 };
}

chain_t *record_chain(record_t *r, unsigned i)
{
    leg_t *leg = &r->leg[i / LEG_CHAINS % BOSH_MAX_STREAMS];
    chain_t *of_leg[LEG_CHAINS] = { &leg->task, &leg->greeting, &leg->from, &leg->up, &leg->down };

    return i < LEG_CHAINS * BOSH_MAX_STREAMS ? of_leg[i % LEG_CHAINS]
                                             : &r->slot[i - LEG_CHAINS * BOSH_MAX_STREAMS];
}

void record_link_locked(bosh_store_t *st, record_t *r)
{
    uint32_t *bucket = record_bucket(st, r->sid);

    r->next = *bucket;
    *bucket = (uint32_t)(r - st->sessions);
}

static void unlink_record(bosh_store_t *st, record_t *r)
{
    uint32_t *at = record_bucket(st, r->sid);
    uint32_t index = (uint32_t)(r - st->sessions);

    for (uint32_t n = 0; *at < st->h->used_sessions && *at != index && n <= st->h->sessions; n++) {
        at = &st->sessions[*at].next;
    }
    if (*at == index) {
        *at = r->next;
    }
}

static record_t *take_record(bosh_store_t *st)
{
    uint32_t i = st->h->free_session;

    if (i != NIL) {
        st->h->free_session = st->sessions[i].next;
        return &st->sessions[i];
    }
    if (st->h->used_sessions < st->h->max_sessions) {
        return &st->sessions[st->h->used_sessions++];
    }
    return NULL;
}

record_t *record_new_locked(bosh_store_t *st, const unsigned char sid[BOSH_SID_BYTES])
{
    record_t *r = take_record(st);

    if (!r) {
        return NULL;
    }
    touch_locked(st, r);
    r->magic = RECORD_MAGIC;
    r->generation++; /* never the same session again, even if we die before the next line */
    memset((char *)r + offsetof(record_t, next), 0, sizeof(*r) - offsetof(record_t, next));
    r->mail_next = NIL;
    for (unsigned i = 0; i < RECORD_CHAINS; i++) {
        *record_chain(r, i) = EMPTY_CHAIN;
    }
    memcpy(r->sid, sid, BOSH_SID_BYTES);
    r->serial = ++st->h->serial;
    record_link_locked(st, r);
    st->h->sessions++;
    r->in_use = 1;
    return r;
}

/* Not while it is in a connector's mailbox: the list runs through the record. */
void record_free_locked(bosh_store_t *st, record_t *r)
{
    for (unsigned i = 0; i < RECORD_CHAINS; i++) {
        chain_free_locked(st, record_chain(r, i));
    }
    client_end_locked(st, r);
    unlink_record(st, r);
    BOSH_CRASH_POINT("record-freed");
    memset(r->sid, 0, sizeof(r->sid));
    for (unsigned i = 0; i < BOSH_MAX_STREAMS; i++) {
        memset(r->leg[i].name, 0, sizeof(r->leg[i].name));
    }
    r->in_use = 0;
    r->next = st->h->free_session;
    st->h->free_session = (uint32_t)(r - st->sessions);
    st->h->sessions--;
}

static bool is_forgettable(const record_t *r, bosh_msec_t now)
{
    return r->in_use && record_is_let_go(r) && r->core.state == BOSH_ENDED
           && !bosh_session_is_attended(&r->core) && !bosh_session_is_awaited(&r->core, now);
}

/* Only when all places are taken, so its length does not matter much. */
bool record_reclaim_locked(bosh_store_t *st, bosh_msec_t now)
{
    record_t *oldest = NULL;

    for (uint32_t i = 0; i < st->h->used_sessions; i++) {
        record_t *r = &st->sessions[i];

        if (is_forgettable(r, now) && (!oldest || r->core.ended < oldest->core.ended)) {
            oldest = r;
        }
    }
    if (oldest) {
        touch_locked(st, oldest);
        record_free_locked(st, oldest);
    }
    return oldest != NULL;
}
