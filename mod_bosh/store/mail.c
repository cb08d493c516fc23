/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Mailboxes: what a child's requests, and a connector's sessions, are told. */

#include "store_int.h"

void mail_child_locked(bosh_store_t *st, bosh_holder_t holder, bosh_msec_t due,
                       bosh_knocks_t *knocks)
{
    mailbox_t *box;

    if (holder.child >= st->h->max_children || BOSH_FAULT("lost-wake")) {
        return;
    }
    box = &st->children[holder.child].box;
    if (box->count == MAIL_SLOTS) {
        box->missed = 1; /* it will look after all of its requests */
    }
    else {
        box->mail[(box->first + box->count++) % MAIL_SLOTS] =
            (bosh_mail_t){ .ticket = holder.ticket, .due = due };
    }
    if (!box->knocked) {
        box->knocked = 1;
        bosh_knock_child(knocks, holder.child);
    }
}

unsigned bosh_store_child_mail(bosh_store_t *st, uint32_t child, bosh_mail_t *mail, unsigned max,
                               bosh_msec_t now, bool *missed)
{
    bosh_knocks_t knocks = { 0 };
    mailbox_t *box = &st->children[child].box;
    unsigned n = 0;

    *missed = false;
    if (!store_lock_soon(st, &knocks)) {
        return 0;
    }
    __atomic_store_n(&st->children[child].seen, now, __ATOMIC_RELAXED); /* read without the lock */
    *missed = box->missed;
    box->missed = 0;
    box->knocked = 0;
    for (; n < max && box->count > 0; n++, box->count--) {
        mail[n] = box->mail[box->first];
        box->first = (box->first + 1) % MAIL_SLOTS;
        BOSH_CRASH_POINT("child-mail");
    }
    store_unlock(st);
    return n;
}

void mail_connector_locked(bosh_store_t *st, record_t *r, uint8_t legs, bosh_knocks_t *knocks)
{
    connector_t *c = &st->h->connectors[r->connector];
    uint32_t index = (uint32_t)(r - st->sessions);

    if (!legs) {
        return;
    }
    if (!r->in_mail) {
        r->mail_next = NIL;
        if (c->mail_last == NIL) {
            c->mail_first = index;
        }
        else {
            st->sessions[c->mail_last].mail_next = index;
        }
        c->mail_last = index;
    }
    r->in_mail |= legs;
    if (!c->knocked) {
        c->knocked = 1;
        bosh_knock_connector(knocks, r->connector);
    }
}

/* A ref for each of the record's streams that are in the mail, as far as there is room;
 * true: none is left. */
static bool empty_record(bosh_store_t *st, record_t *r, bosh_ref_t *refs, unsigned max,
                         unsigned *count)
{
    for (unsigned n = 0; n < BOSH_MAX_STREAMS && *count < max; n++) {
        if (r->in_mail & leg_bit(n)) {
            r->in_mail &= (uint8_t)~leg_bit(n);
            refs[*count] = record_ref(st, r);
            refs[(*count)++].stream = n;
        }
    }
    return (r->in_mail & (leg_bit(BOSH_MAX_STREAMS) - 1)) == 0;
}

unsigned bosh_store_connector_mail(bosh_store_t *st, uint32_t connector, bosh_ref_t *refs,
                                   unsigned max)
{
    bosh_knocks_t knocks = { 0 };
    connector_t *c = &st->h->connectors[connector];
    unsigned n = 0;

    if (!store_lock(st, &knocks)) {
        return 0;
    }
    c->knocked = 0;
    while (n < max && c->mail_first != NIL) {
        record_t *r = &st->sessions[c->mail_first];

        if (c->mail_first >= st->h->used_sessions) {
            c->mail_first = c->mail_last = NIL; /* somebody wrote over the list */
            break;
        }
        if (!empty_record(st, r, refs, max, &n)) {
            break; /* no room for all of its streams: it stays the first */
        }
        BOSH_CRASH_POINT("connector-mail");
        c->mail_first = r->mail_next;
        if (c->mail_first == NIL) {
            c->mail_last = NIL;
        }
        r->in_mail = 0;
        r->mail_next = NIL;
    }
    store_unlock(st);
    return n;
}
