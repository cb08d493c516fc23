/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * After a process died inside the lock: the session it was changing is ended, and
 * every index is made anew from the session records. Whatever the dead process
 * left half done in a list, a counter or a mailbox is gone with the old index.
 */

#include <string.h>

#include "store_int.h"

/* Set in a block's owner while we repair: found in a chain of that owner. */
#define CLAIMED UINT32_C(0x80000000)

/* Nothing is claimed, whatever an earlier repair that was not finished left. */
static void forget_claims(bosh_store_t *st)
{
    for (uint32_t i = 0; i < st->h->used_blocks; i++) {
        if (st->blocks[i].owner != NIL) {
            st->blocks[i].owner &= ~CLAIMED;
        }
    }
}

/* Claims the blocks of one chain; false: it cannot be right, or they are another
 * session's. Bounded by the chain's length, whatever its links say. */
static bool claim(bosh_store_t *st, const chain_t *c, uint32_t owner)
{
    size_t left = c->len, at = c->start;
    uint32_t i = c->head, last = NIL;

    if (c->len == 0) {
        return c->head == NIL && c->tail == NIL;
    }
    while (left > 0) {
        size_t n = BLOCK_BYTES - at < left ? BLOCK_BYTES - at : left;

        if (i >= st->h->used_blocks || at >= BLOCK_BYTES || st->blocks[i].owner != owner) {
            return false;
        }
        st->blocks[i].owner |= CLAIMED;
        left -= n;
        at = 0;
        last = i;
        i = st->blocks[i].next;
    }
    if (i != NIL || last != c->tail) {
        return false;
    }
    return true;
}

static void unclaim(bosh_store_t *st, uint32_t owner)
{
    for (uint32_t i = 0; i < st->h->used_blocks; i++) {
        if (st->blocks[i].owner == (owner | CLAIMED)) {
            st->blocks[i].owner = owner;
        }
    }
}

/* What a connector may still hold is closed. */
static void reset_legs(record_t *r)
{
    r->begun = (uint8_t)((r->begun & (leg_bit(BOSH_MAX_STREAMS) - 1)) | leg_bit(0));
    r->wants_close = r->begun;
    r->up_gone &= r->begun;
    r->wants_restart = r->down_blocked = r->taken_back = 0;
    r->returned = 0;
    for (unsigned n = 0; n < BOSH_MAX_STREAMS; n++) {
        r->leg[n].restart_at = 0;
    }
}

/* Nothing of its bytes can be trusted; its clients are told the truth. */
static void end_damaged(record_t *r)
{
    bosh_terms_t terms = r->core.terms;
    uint64_t next = r->core.next_rid;

    for (unsigned i = 0; i < RECORD_CHAINS; i++) {
        *record_chain(r, i) = EMPTY_CHAIN;
    }
    /* Their names may be torn, and two of them the same. */
    terms.streams = 0;
    bosh_session_init(&r->core, &terms, bosh_now());
    if (bosh_session_is_damaged(&r->core)) {
        terms = (bosh_terms_t){ .rid = 1, .requests = 1, .ver_major = 1, .ver_minor = 6 };
        bosh_session_init(&r->core, &terms, bosh_now());
    }
    r->core.next_rid = r->core.next_answer = next > terms.rid ? next : terms.rid;
    r->core.state = BOSH_ENDED;
    r->core.ended = bosh_now();
    r->core.condition = BOSH_COND_INTERNAL_SERVER_ERROR;
    r->core.reason = BOSH_REASON_DAMAGED;
    reset_legs(r);
}

static void claim_record(bosh_store_t *st, record_t *r, bool is_suspect)
{
    uint32_t index = (uint32_t)(r - st->sessions);
    bool is_sound = !is_suspect && record_fault(st, r) == NULL;

    for (unsigned i = 0; is_sound && i < RECORD_CHAINS; i++) {
        is_sound = claim(st, record_chain(r, i), index);
    }
    if (!is_sound) {
        unclaim(st, index);
        /* Should we die too: half emptied it might look sound to the next repair. */
        __atomic_store_n(&r->magic, 0, __ATOMIC_RELEASE);
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        r->connector = r->connector < st->h->max_connectors ? r->connector : 0;
        end_damaged(r);
        __atomic_store_n(&r->magic, RECORD_MAGIC, __ATOMIC_RELEASE);
    }
}

static void rebuild_records(bosh_store_t *st)
{
    header_t *h = st->h;
    uint32_t touched = h->touched;

    memset(st->buckets, 0xff, (size_t)h->buckets * sizeof(uint32_t));
    h->free_session = NIL;
    h->sessions = 0;
    for (uint32_t i = h->used_sessions; i-- > 0;) {
        record_t *r = &st->sessions[i];

        if (r->in_use) {
            claim_record(st, r, i == touched);
            record_link_locked(st, r);
            h->sessions++;
        }
        else {
            r->next = h->free_session;
            h->free_session = i;
        }
    }
}

static void rebuild_blocks(bosh_store_t *st)
{
    header_t *h = st->h;

    h->free_block = NIL;
    h->blocks_free = h->max_blocks - h->used_blocks;
    for (uint32_t i = h->used_blocks; i-- > 0;) {
        if (st->blocks[i].owner != NIL && (st->blocks[i].owner & CLAIMED)) {
            st->blocks[i].owner &= ~CLAIMED;
        }
        else {
            st->blocks[i].owner = NIL;
            memset(st->blocks[i].bytes, 0, BLOCK_BYTES);
            st->blocks[i].next = h->free_block;
            h->free_block = i;
            h->blocks_free++;
        }
    }
}

/* Mail may be half written: everybody is told to look after everything. Who calls may
 * have no way to send the knocks, so the next mail knocks again. */
static void rebuild_mail(bosh_store_t *st, bosh_knocks_t *knocks)
{
    header_t *h = st->h;

    for (uint32_t i = 0; i < h->max_connectors; i++) {
        h->connectors[i].mail_first = h->connectors[i].mail_last = NIL;
        h->connectors[i].knocked = 0;
    }
    for (uint32_t i = 0; i < h->used_sessions; i++) {
        st->sessions[i].in_mail = 0;
        if (st->sessions[i].in_use) {
            mail_connector_locked(st, &st->sessions[i], st->sessions[i].begun, knocks);
        }
    }
    for (uint32_t i = 0; i < h->max_connectors; i++) {
        h->connectors[i].knocked = 0;
    }
    for (uint32_t i = 0; i < h->max_children; i++) {
        mailbox_t *box = &st->children[i].box;

        box->first = box->count = 0;
        box->missed = 1;
        box->knocked = 0;
        if (st->children[i].pid) {
            bosh_knock_child(knocks, i);
        }
    }
}

/* The record or block being taken when its owner died may lie just beyond. */
static void bound_watermarks(header_t *h)
{
    h->used_sessions = h->used_sessions > h->max_sessions ? h->max_sessions : h->used_sessions;
    h->used_blocks = h->used_blocks > h->max_blocks ? h->max_blocks : h->used_blocks;
}

void repair_locked(bosh_store_t *st, bosh_knocks_t *knocks)
{
    bound_watermarks(st->h);
    forget_claims(st);
    rebuild_records(st);
    clients_recount_locked(st);
    rebuild_blocks(st);
    rebuild_mail(st, knocks);
    st->h->repairs++;
}
