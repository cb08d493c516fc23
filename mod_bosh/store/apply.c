/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Carries out the core's actions: the one place where its decisions become bytes. */

#include "store_int.h"

/* Records looked at in one stretch under the lock. */
#define STRETCH 256

static const bosh_str_t no_payload = { "", 0 };

/* The slot is about something else from now on. */
static void forget_slot(bosh_store_t *st, record_t *r, unsigned slot)
{
    chain_free_locked(st, &r->slot[slot]);
    r->returned &= (uint16_t) ~(1u << slot);
}

static void answer(bosh_store_t *st, record_t *r, const bosh_action_t *a, bosh_knocks_t *knocks)
{
    chain_t *kept = &r->slot[a->slot];
    unsigned n = a->stream < BOSH_MAX_STREAMS ? a->stream : 0;

    forget_slot(st, r, a->slot); /* an early payload nobody forwarded */
    if (a->with_down && !(r->taken_back & leg_bit(n))) {
        chain_move_locked(st, kept, &r->leg[n].down);
        BOSH_CRASH_POINT("answer-fixed");
        mutate_down_locked(st, r, kept);
        leg_note_down(r, n);
        if (r->down_blocked & leg_bit(n)) {
            r->down_blocked &= (uint8_t)~leg_bit(n);
            mail_connector_locked(st, r, leg_bit(n), knocks);
        }
    }
    r->core.slots[a->slot].bytes = kept->len;
}

static void store(bosh_store_t *st, record_t *r, unsigned slot, bosh_str_t kept)
{
    forget_slot(st, r, slot);
    chain_append_locked(st, &r->slot[slot], (uint32_t)(r - st->sessions), kept.p, kept.len);
}

/* One that was asked for before and not made yet is replaced. */
static void restart(bosh_store_t *st, record_t *r, const bosh_action_t *a, bosh_knocks_t *knocks)
{
    unsigned n = a->stream < BOSH_MAX_STREAMS ? a->stream : 0;
    leg_t *leg = &r->leg[n];
    uint8_t bit = leg_bit(n) & r->begun & (uint8_t)~r->up_gone;

    chain_free_locked(st, &leg->from);
    if (!bit) {
        chain_free_locked(st, &r->slot[a->slot]);
        return;
    }
    chain_move_locked(st, &leg->from, &r->slot[a->slot]);
    r->wants_restart |= bit;
    leg->restart_at = leg->up.len;
    mail_connector_locked(st, r, bit, knocks);
}

static void close_legs(bosh_store_t *st, record_t *r, uint8_t stream, bosh_knocks_t *knocks)
{
    uint8_t legs = r->begun & (stream < BOSH_MAX_STREAMS ? leg_bit(stream) : UINT8_MAX);

    r->wants_close |= legs;
    mail_connector_locked(st, r, legs, knocks);
}

void carry_out_locked(bosh_store_t *st, record_t *r, const bosh_action_t *a, bosh_str_t kept,
                      bosh_knocks_t *knocks, applied_t *applied)
{
    switch (a->kind) {
    case BOSH_DO_STORE: store(st, r, a->slot, kept); break;
    case BOSH_DO_FORWARD: forward_locked(st, r, a->slot, a->stream, knocks); break;
    case BOSH_DO_RESTART: restart(st, r, a, knocks); break;
    case BOSH_DO_CLOSE: close_legs(st, r, a->stream, knocks); break;
    case BOSH_DO_OPEN:
        if (a->stream < BOSH_MAX_STREAMS && !(r->begun & leg_bit(a->stream))) {
            leg_begin_locked(st, r, a->stream, &r->slot[a->slot], knocks);
        }
        break;
    case BOSH_DO_ANSWER:
        answer(st, r, a, knocks);
        if (a->holder.child != UINT32_MAX) {
            applied->own = a;
        }
        break;
    case BOSH_DO_REPEAT:
    case BOSH_DO_REPLY:
    case BOSH_DO_HOLD: applied->own = a; break;
    case BOSH_DO_WAKE: mail_child_locked(st, a->holder, a->due, knocks); break;
    case BOSH_DO_DROP: forget_slot(st, r, a->slot); break;
    case BOSH_DO_FREE: applied->freed = true; break;
    }
}

applied_t apply_locked(bosh_store_t *st, record_t *r, const bosh_event_t *ev, bosh_str_t kept,
                       bosh_msec_t now, bosh_actions_t *acts, bosh_knocks_t *knocks)
{
    applied_t applied = { NULL, false };

    touch_locked(st, r);
    bosh_step(&r->core, ev, now, acts);
    for (unsigned i = 0; i < acts->n; i++) {
        carry_out_locked(st, r, &acts->a[i], kept, knocks, &applied);
    }
    if (r->client && r->core.state >= BOSH_CLOSING) {
        client_end_locked(st, r);
    }
    if (applied.freed) {
        /* The connectors must have let go of it, and the mailbox too. */
        applied.freed = record_is_let_go(r);
        if (applied.freed) {
            record_free_locked(st, r);
        }
    }
    return applied;
}

/* Those from *cursor on, as many as in one stretch under the lock; false: all are done. */
static bool apply_to_some(bosh_store_t *st, uint32_t connector, uint32_t *cursor,
                          const bosh_event_t *ev, bosh_msec_t now, bosh_knocks_t *knocks)
{
    bosh_actions_t acts;
    bool more;

    if (!store_lock(st, knocks)) {
        return false;
    }
    for (unsigned n = 0; n < STRETCH && *cursor < st->h->used_sessions; n++) {
        record_t *r = &st->sessions[(*cursor)++];

        if (r->in_use && (connector == ANY_CONNECTOR || r->connector == connector)) {
            apply_locked(st, r, ev, no_payload, now, &acts, knocks);
        }
    }
    more = *cursor < st->h->used_sessions;
    store_unlock(st);
    return more;
}

void apply_to_all(bosh_store_t *st, uint32_t connector, const bosh_event_t *ev, bosh_msec_t now,
                  bosh_knocks_t *knocks)
{
    uint32_t cursor = 0;

    while (apply_to_some(st, connector, &cursor, ev, now, knocks)) {
    }
}
