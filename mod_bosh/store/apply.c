/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Carries out the core's actions: the one place where its decisions become bytes. */

#include "store_int.h"

static void answer(bosh_store_t *st, record_t *r, const bosh_action_t *a, bosh_knocks_t *knocks)
{
    chain_t *kept = &r->slot[a->slot];

    chain_free_locked(st, kept); /* an early payload nobody forwarded */
    if (a->with_down) {
        chain_move_locked(st, kept, &r->down);
        if (r->down_blocked) {
            r->down_blocked = 0;
            mail_connector_locked(st, r, knocks);
        }
    }
}

static void carry_out(bosh_store_t *st, record_t *r, const bosh_action_t *a, bosh_str_t payload,
                      bosh_knocks_t *knocks, applied_t *applied)
{
    uint32_t index = (uint32_t)(r - st->sessions);

    switch (a->kind) {
    case BOSH_DO_STORE:
        chain_append_locked(st, &r->slot[a->slot], index, payload.p, payload.len);
        break;
    case BOSH_DO_FORWARD:
        r->up_total += r->slot[a->slot].len;
        chain_move_locked(st, &r->up, &r->slot[a->slot]);
        mail_connector_locked(st, r, knocks);
        break;
    case BOSH_DO_RESTART:
        r->wants_restart = 1;
        r->restart_at = r->up_total;
        mail_connector_locked(st, r, knocks);
        break;
    case BOSH_DO_CLOSE:
        r->wants_close = 1;
        mail_connector_locked(st, r, knocks);
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
    case BOSH_DO_DROP: chain_free_locked(st, &r->slot[a->slot]); break;
    case BOSH_DO_OPEN: break;
    case BOSH_DO_FREE: applied->freed = true; break;
    }
}

applied_t apply_locked(bosh_store_t *st, record_t *r, const bosh_event_t *ev, bosh_str_t payload,
                       bosh_msec_t now, bosh_actions_t *acts, bosh_knocks_t *knocks)
{
    applied_t applied = { NULL, false };

    touch_locked(st, r);
    bosh_step(&r->core, ev, now, acts);
    for (unsigned i = 0; i < acts->n; i++) {
        carry_out(st, r, &acts->a[i], payload, knocks, &applied);
    }
    if (applied.freed) {
        /* The connector must have let go of it, and its mailbox too. */
        applied.freed = r->up_gone && !r->in_mail;
        if (applied.freed) {
            record_free_locked(st, r);
        }
    }
    return applied;
}
