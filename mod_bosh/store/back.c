/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Stanzas whose client will not come for them go back to the connector, which tells
 * their senders (XEP-0206 section 7).
 *
 * A stanza is the client's or the connector's, never both's: with the first call all
 * that the connector shall have is moved to the stream's down queue, kept answers first,
 * and no answer takes anything out of that queue again. What the server still sends goes
 * there too.
 *
 * Kept answers are taken only from a session that is over: its client gets the end
 * instead, as any late request does. While the session lives the client can repeat its
 * request, and finds its answer as it was, whatever became of the stream.
 */

#include "store_int.h"

/* Their clients may still ask for them, but get the end of the session. */
static void take_kept(bosh_store_t *st, record_t *r, unsigned n, chain_t *to)
{
    const bosh_session_t *s = &r->core;
    uint64_t rid = s->next_answer > BOSH_SLOTS ? s->next_answer - BOSH_SLOTS : 0;

    for (; rid < s->next_answer; rid++) {
        unsigned i = (unsigned)(rid % BOSH_SLOTS);

        if (s->slots[i].rid == rid && s->slots[i].down_stream == n && r->slot[i].len > 0
            && bosh_session_is_undelivered(s, i)) {
            chain_move_locked(st, to, &r->slot[i]);
            r->core.slots[i].bytes = 0;
            r->returned |= (uint16_t)(1u << i);
        }
    }
}

static void begin(bosh_store_t *st, record_t *r, unsigned n)
{
    chain_t all = EMPTY_CHAIN;

    if (r->core.state >= BOSH_CLOSING) {
        take_kept(st, r, n, &all);
    }
    chain_move_locked(st, &all, &r->leg[n].down);
    r->leg[n].down = all;
    r->taken_back |= leg_bit(n);
    leg_note_down(r, n);
}

static bool is_over(const record_t *r, unsigned n)
{
    return r->core.state >= BOSH_CLOSING || (r->wants_close & leg_bit(n));
}

size_t bosh_store_take_back(bosh_store_t *st, bosh_ref_t ref, char *buf, size_t size)
{
    bosh_knocks_t knocks = { 0 };
    size_t taken = 0;
    record_t *r;

    if (!store_lock(st, &knocks)) {
        return 0;
    }
    r = record_get_locked(st, ref);
    if (r && leg_get(r, ref) && is_over(r, ref.stream)) {
        touch_locked(st, r);
        if (!(r->taken_back & leg_bit(ref.stream))) {
            begin(st, r, ref.stream);
        }
        taken = chain_take_locked(st, &r->leg[ref.stream].down, buf, size);
        BOSH_CRASH_POINT("take-back");
        /* Who calls is the one who waited: bosh_up_t tells it. */
        r->down_blocked &= (uint8_t)~leg_bit(ref.stream);
    }
    store_unlock(st);
    return taken;
}
