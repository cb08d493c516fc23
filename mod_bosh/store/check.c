/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* The checker: every list walked, every block accounted for. */

#include <string.h>

#include "store_int.h"

static const char *check_chain(const bosh_store_t *st, const chain_t *c, uint32_t owner,
                               uint32_t *blocks)
{
    size_t left = c->len, at = c->start;
    uint32_t i = c->head, last = NIL;

    if (c->len == 0) {
        return c->head == NIL && c->tail == NIL ? NULL : "an empty chain has blocks";
    }
    for (; left > 0; i = st->blocks[i].next) {
        size_t n;

        if (i >= st->h->used_blocks) {
            return "a chain leaves the segment";
        }
        if (st->blocks[i].owner != owner) {
            return "a block in a chain belongs to another session";
        }
        n = BLOCK_BYTES - at < left ? BLOCK_BYTES - at : left;
        left -= n;
        at = 0;
        last = i;
        ++*blocks;
    }
    return i == NIL && last == c->tail ? NULL : "a chain does not end where it says";
}

static bool have_same_name(const record_t *r)
{
    for (unsigned n = 1; n < BOSH_MAX_STREAMS && r->core.terms.streams > 1; n++) {
        for (unsigned k = 0; k < n; k++) {
            if (memcmp(r->leg[n].name, r->leg[k].name, NAME_BYTES) == 0) {
                return true;
            }
        }
    }
    return false;
}

static const char *leg_fault(const record_t *r, unsigned n)
{
    const leg_t *leg = &r->leg[n];
    bool wants_restart = r->wants_restart & leg_bit(n);
    bool has_begun = r->begun & leg_bit(n);
    uint8_t state = r->core.leg[n].state;

    /* A damaged session ended as one that has but its first. */
    if (has_begun ? state == BOSH_LEG_NONE && r->core.reason != BOSH_REASON_DAMAGED
                  : state != BOSH_LEG_NONE && state != BOSH_LEG_GONE) {
        return "the core has other streams than the session";
    }
    if (!has_begun
        && (leg->task.len || leg->greeting.len || leg->from.len || leg->up.len || leg->down.len)) {
        return "a stream that never began has bytes";
    }
    if (r->core.leg[n].has_down != (leg->down.len > 0 && !(r->taken_back & leg_bit(n)))) {
        return "has_down and the down queue disagree";
    }
    if (wants_restart ? leg->restart_at > leg->up.len : leg->restart_at != 0) {
        return "a restart is not where the up queue's bytes are";
    }
    return NULL;
}

static const char *slot_fault(const record_t *r, unsigned i)
{
    const bosh_slot_t *slot = &r->core.slots[i];
    bool is_returned = r->returned & 1u << i;

    if (slot->state == BOSH_SLOT_ANSWERED && slot->bytes != r->slot[i].len) {
        return "a kept answer's bytes are not as many as it says";
    }
    if (is_returned
        && (slot->state != BOSH_SLOT_ANSWERED || r->slot[i].len > 0
            || r->core.state < BOSH_CLOSING)) {
        return "an answer was taken back that is none, or is still there";
    }
    return NULL;
}

const char *record_fault(const bosh_store_t *st, const record_t *r)
{
    uint8_t flags = r->in_mail | r->wants_close | r->wants_restart | r->down_blocked | r->up_gone
                    | r->taken_back;
    const char *wrong = NULL;

    if (r->magic != RECORD_MAGIC) {
        return "a session record without its magic";
    }
    if (r->connector >= st->h->max_connectors) {
        return "a session belongs to no connector";
    }
    if (bosh_session_is_damaged(&r->core)) {
        return "a session contradicts itself";
    }
    if (!(r->begun & leg_bit(0)) || r->begun >> BOSH_MAX_STREAMS) {
        return "a session has other streams than it can have";
    }
    if (flags & ~r->begun) {
        return "something is wanted of a stream that never began";
    }
    if (r->end_told && r->core.state < BOSH_CLOSING) {
        return "a session that lives was said to be over";
    }
    if (have_same_name(r)) {
        return "two streams have one name";
    }
    for (unsigned n = 0; n < BOSH_MAX_STREAMS && !wrong; n++) {
        wrong = leg_fault(r, n);
    }
    for (unsigned i = 0; i < BOSH_SLOTS && !wrong; i++) {
        wrong = slot_fault(r, i);
    }
    return wrong;
}

static const char *check_record(bosh_store_t *st, record_t *r, uint32_t *blocks)
{
    uint32_t index = (uint32_t)(r - st->sessions);
    const char *wrong = record_fault(st, r);

    for (unsigned i = 0; i < RECORD_CHAINS && !wrong; i++) {
        wrong = check_chain(st, record_chain(r, i), index, blocks);
    }
    return wrong;
}

static const char *check_buckets(bosh_store_t *st)
{
    uint32_t n = 0;

    for (uint32_t b = 0; b < st->h->buckets; b++) {
        for (uint32_t i = st->buckets[b]; i != NIL; i = st->sessions[i].next) {
            if (i >= st->h->used_sessions || !st->sessions[i].in_use || ++n > st->h->sessions) {
                return "a bucket's list is wrong";
            }
            if (record_bucket(st, st->sessions[i].sid) != &st->buckets[b]) {
                return "a session is in another's bucket";
            }
        }
    }
    return n == st->h->sessions ? NULL : "not every session can be found by its sid";
}

static const char *check_free_sessions(const bosh_store_t *st)
{
    uint32_t n = 0;

    for (uint32_t i = st->h->free_session; i != NIL; i = st->sessions[i].next) {
        if (i >= st->h->used_sessions || st->sessions[i].in_use || ++n > st->h->used_sessions) {
            return "the list of free sessions is wrong";
        }
    }
    return n + st->h->sessions == st->h->used_sessions ? NULL
                                                       : "sessions are neither free nor used";
}

static const char *check_free_blocks(const bosh_store_t *st, uint32_t blocks_used)
{
    uint32_t n = 0;

    for (uint32_t i = st->h->free_block; i != NIL; i = st->blocks[i].next) {
        if (i >= st->h->used_blocks || st->blocks[i].owner != NIL || ++n > st->h->used_blocks) {
            return "the list of free blocks is wrong";
        }
    }
    if (n + blocks_used != st->h->used_blocks) {
        return "blocks are neither free nor used";
    }
    if (st->h->blocks_free != n + st->h->max_blocks - st->h->used_blocks) {
        return "the count of free blocks is wrong";
    }
    return NULL;
}

static const char *check_mail(const bosh_store_t *st)
{
    uint32_t in_mail = 0;

    for (uint32_t i = 0; i < st->h->used_sessions; i++) {
        in_mail += st->sessions[i].in_mail != 0;
    }
    for (uint32_t c = 0; c < st->h->max_connectors; c++) {
        uint32_t n = 0, last = NIL;

        for (uint32_t i = st->h->connectors[c].mail_first; i != NIL;
             i = st->sessions[i].mail_next) {
            if (i >= st->h->used_sessions || !st->sessions[i].in_mail
                || st->sessions[i].connector != c || ++n > st->h->used_sessions) {
                return "a connector's mailbox is wrong";
            }
            last = i;
        }
        in_mail -= n;
        if (last != st->h->connectors[c].mail_last) {
            return "a connector's mailbox does not end where it says";
        }
    }
    if (in_mail != 0) {
        return "a session's mail is in no mailbox";
    }
    for (uint32_t i = 0; i < st->h->max_children; i++) {
        if (st->children[i].box.count > MAIL_SLOTS || st->children[i].box.first >= MAIL_SLOTS) {
            return "a child's mailbox is wrong";
        }
    }
    return NULL;
}

static const char *check_all(bosh_store_t *st)
{
    uint32_t sessions = 0, blocks = 0;
    const char *wrong = NULL;

    if (st->h->magic != STORE_MAGIC || st->h->layout != STORE_LAYOUT) {
        return "this is not our segment";
    }
    for (uint32_t i = 0; i < st->h->used_sessions && !wrong; i++) {
        if (st->sessions[i].in_use) {
            sessions++;
            wrong = check_record(st, &st->sessions[i], &blocks);
        }
    }
    if (!wrong && sessions != st->h->sessions) {
        wrong = "the count of sessions is wrong";
    }
    if (!wrong) {
        wrong = check_buckets(st);
    }
    if (!wrong) {
        wrong = check_free_blocks(st, blocks);
    }
    if (!wrong) {
        wrong = check_free_sessions(st);
    }
    if (!wrong) {
        wrong = clients_check_locked(st);
    }
    return wrong ? wrong : check_mail(st);
}

const char *bosh_store_check(bosh_store_t *st)
{
    bosh_knocks_t knocks = { 0 };
    const char *wrong;

    if (!store_lock(st, &knocks)) {
        return "the mutex cannot be locked";
    }
    wrong = check_all(st);
    store_unlock(st);
    return wrong;
}
