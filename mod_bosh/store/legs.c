/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A session's streams (XEP-0124 section 16).
 *
 * All names a session can need are made with it, from random bytes that are drawn
 * before the lock is taken: a stream's name is there when its turn comes, also if it is
 * only to say that the stream was refused. What nobody was told, nobody can name.
 */

#include <string.h>

#include <apr_general.h>

#include "store_int.h"

static bool is_taken(const names_t *names, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (memcmp(names->name[i], names->name[n], NAME_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

bool names_make(names_t *names)
{
    if (apr_generate_random_bytes(&names->name[0][0], sizeof(names->name)) != APR_SUCCESS) {
        memset(names, 0, sizeof(*names));
        return false;
    }
    for (unsigned n = 1; n < BOSH_MAX_STREAMS; n++) {
        while (is_taken(names, n)) {
            names->name[n][NAME_BYTES - 1]++;
        }
    }
    return true;
}

void addition_fill(addition_t *add, const bosh_upstream_t *upstream)
{
    memset(add, 0, sizeof(*add));
    memcpy(add->greeting.from, upstream->to, sizeof(add->greeting.from));
    add->upstream = *upstream;
}

leg_t *leg_get(record_t *r, bosh_ref_t ref)
{
    return ref.stream < BOSH_MAX_STREAMS && (r->begun & leg_bit(ref.stream)) ? &r->leg[ref.stream]
                                                                             : NULL;
}

/* A client has heard of it: it began, or was refused. */
static bool is_known(const record_t *r, unsigned n)
{
    return (r->begun & leg_bit(n)) || n < r->core.legs;
}

uint8_t leg_find(const record_t *r, bosh_str_t name)
{
    unsigned char bytes[NAME_BYTES];
    uint8_t found = BOSH_BAD_STREAM;

    if (!name.p || r->core.terms.streams <= 1) {
        return BOSH_NO_STREAM;
    }
    if (!base64url_decode(name, bytes, sizeof(bytes))) {
        return BOSH_BAD_STREAM;
    }
    /* All are looked at, whichever it is. */
    for (unsigned n = 0; n < BOSH_MAX_STREAMS; n++) {
        if (bosh_equal_secret(r->leg[n].name, bytes, sizeof(bytes)) && is_known(r, n)) {
            found = (uint8_t)n;
        }
    }
    return found;
}

void leg_name(const record_t *r, unsigned n, char text[BOSH_STREAM_CHARS + 1])
{
    text[0] = '\0';
    if (n < BOSH_MAX_STREAMS && r->core.terms.streams > 1) {
        base64url_encode(r->leg[n].name, NAME_BYTES, text);
    }
}

void leg_begin_locked(bosh_store_t *st, record_t *r, unsigned n, chain_t *addition,
                      bosh_knocks_t *knocks)
{
    leg_t *leg = &r->leg[n];
    addition_t a;

    r->begun |= leg_bit(n);
    if (addition->len != sizeof(addition_t)) {
        chain_free_locked(st, addition);
        r->up_gone |= leg_bit(n); /* no connector could open it */
        return;
    }
    chain_take_locked(st, addition, a.block, sizeof(a.block));
    chain_append_locked(st, &leg->greeting, (uint32_t)(r - st->sessions), a.block,
                        sizeof(a.greeting));
    chain_move_locked(st, &leg->task, addition);
    mail_connector_locked(st, r, leg_bit(n), knocks);
}

void leg_end_up_locked(bosh_store_t *st, record_t *r, unsigned n)
{
    leg_t *leg = &r->leg[n];

    r->up_gone |= leg_bit(n);
    r->wants_restart &= (uint8_t)~leg_bit(n);
    leg->restart_at = 0;
    chain_free_locked(st, &leg->up);
    chain_free_locked(st, &leg->task);
    chain_free_locked(st, &leg->from);
    if (r->taken_back & leg_bit(n)) {
        chain_free_locked(st, &leg->down); /* there is nobody left to tell their senders */
    }
}

void leg_note_down(record_t *r, unsigned n)
{
    r->core.leg[n].has_down = r->leg[n].down.len > 0 && !(r->taken_back & leg_bit(n));
}
