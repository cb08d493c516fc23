/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* What the connector calls: bytes up, stanzas down, clocks. */

#include <string.h>

#include "store_int.h"

/* Records looked at in one stretch under the lock. */
#define TICK_STRETCH 256

static const bosh_str_t no_payload = { "", 0 };

bool bosh_store_connector_task(bosh_store_t *st, bosh_ref_t ref, bosh_task_t *task)
{
    bosh_knocks_t knocks = { 0 };
    record_t *r;
    bool found = false;

    if (!store_lock(st, &knocks)) {
        return false;
    }
    r = record_get_locked(st, ref);
    if (r && r->core.state == BOSH_ENDED) {
        r->up_gone = 1; /* it was told; nothing else keeps the record */
    }
    else if (r && r->task.len == sizeof(task->upstream)) {
        touch_locked(st, r);
        task->serial = r->serial;
        task->connect_timeout = r->core.terms.connect_timeout;
        chain_take_locked(st, &r->task, (char *)&task->upstream, sizeof(task->upstream));
        found = true;
    }
    store_unlock(st);
    return found;
}

static void take(bosh_store_t *st, record_t *r, char *buf, size_t size, bosh_up_t *up)
{
    /* Up to a restart, which stands between two bytes. */
    if (r->wants_restart && r->restart_at - r->up_taken < size) {
        size = (size_t)(r->restart_at - r->up_taken);
    }
    up->len = chain_take_locked(st, &r->up, buf, size);
    r->up_taken += up->len;
    if (r->wants_restart && r->up_taken == r->restart_at) {
        r->wants_restart = 0;
        up->restart = true;
    }
    up->more = r->up.len > 0 || r->wants_restart;
}

void bosh_store_take_up(bosh_store_t *st, bosh_ref_t ref, char *buf, size_t size, bosh_msec_t now,
                        bosh_up_t *up, bosh_knocks_t *knocks)
{
    record_t *r;

    (void)now;
    memset(up, 0, sizeof(*up));
    if (!store_lock(st, knocks)) {
        return;
    }
    r = record_get_locked(st, ref);
    if (!r || r->core.state == BOSH_ENDED) {
        up->ended = true;
    }
    else {
        touch_locked(st, r);
        take(st, r, buf, size, up);
        up->close = r->wants_close && !up->more;
        up->has_room = !r->down_blocked;
    }
    if (r) {
        up->serial = r->serial;
        up->condition = r->core.condition;
        up->reason = r->core.reason;
        r->up_gone |= up->ended; /* it was told; nothing else keeps the record */
    }
    store_unlock(st);
}

static bool has_room(const bosh_store_t *st, const record_t *r, size_t len)
{
    return r->down.len + len <= DOWN_LIMIT && chain_has_room_locked(st, &r->down, len);
}

bosh_put_t bosh_store_put_down(bosh_store_t *st, bosh_ref_t ref, bosh_str_t xml, bool opens,
                               bosh_msec_t now, bosh_knocks_t *knocks)
{
    bosh_event_t ev = { .kind = opens ? BOSH_EV_OPENED : BOSH_EV_DATA, .holder = BOSH_NOBODY };
    bosh_put_t put = BOSH_PUT_GONE;
    bosh_actions_t acts;
    record_t *r;

    if (!store_lock(st, knocks)) {
        return BOSH_PUT_NO_ROOM;
    }
    r = record_get_locked(st, ref);
    if (r && r->core.state != BOSH_ENDED) {
        touch_locked(st, r);
        if (!has_room(st, r, xml.len)) {
            r->down_blocked = 1;
            put = BOSH_PUT_NO_ROOM;
        }
        else {
            chain_append_locked(st, &r->down, ref.index, xml.p, xml.len);
            r->core.leg[0].has_down = r->down.len > 0;
            apply_locked(st, r, &ev, no_payload, now, &acts, knocks);
            put = BOSH_PUT_OK;
        }
    }
    store_unlock(st);
    return put;
}

static void copy_z(char *dst, size_t size, bosh_str_t s)
{
    size_t n = s.len < size ? s.len : size - 1;

    if (s.p) {
        memcpy(dst, s.p, n);
        dst[n] = '\0';
    }
}

void bosh_store_greet(bosh_store_t *st, bosh_ref_t ref, bosh_str_t from, bosh_str_t authid)
{
    bosh_knocks_t knocks = { 0 };
    bosh_greeting_t g;
    record_t *r;

    if (!store_lock(st, &knocks)) {
        return;
    }
    r = record_get_locked(st, ref);
    if (r && r->greeting.len == sizeof(g)) {
        touch_locked(st, r);
        chain_take_locked(st, &r->greeting, (char *)&g, sizeof(g));
        if (from.len > 0 && from.len < sizeof(g.from)) {
            copy_z(g.from, sizeof(g.from), from);
        }
        copy_z(g.authid, sizeof(g.authid), authid.len < sizeof(g.authid) ? authid : BOSH_ABSENT);
        chain_append_locked(st, &r->greeting, ref.index, (const char *)&g, sizeof(g));
    }
    store_unlock(st);
}

void bosh_store_up_ended(bosh_store_t *st, bosh_ref_t ref, bosh_condition_t condition,
                         bosh_reason_t reason, bosh_str_t last, bosh_msec_t now,
                         bosh_knocks_t *knocks)
{
    bosh_event_t ev = {
        .kind = BOSH_EV_UP_ENDED, .holder = BOSH_NOBODY, .condition = condition, .reason = reason
    };
    bosh_actions_t acts;
    record_t *r;

    if (!store_lock(st, knocks)) {
        return;
    }
    r = record_get_locked(st, ref);
    if (r) {
        touch_locked(st, r);
        r->up_gone = 1;
        chain_free_locked(st, &r->up);
        chain_free_locked(st, &r->task);
        if (r->core.state != BOSH_ENDED && last.len > 0 && has_room(st, r, last.len)) {
            chain_append_locked(st, &r->down, ref.index, last.p, last.len);
            r->core.leg[0].has_down = 1;
        }
        apply_locked(st, r, &ev, no_payload, now, &acts, knocks);
    }
    store_unlock(st);
}

/* The segment may have been full: room that other sessions gave back is told by nobody
 * but the clock. */
static void retry_down(bosh_store_t *st, record_t *r, bosh_knocks_t *knocks)
{
    if (r->down_blocked && r->down.len < DOWN_LIMIT / 2 && st->h->blocks_free > 0) {
        r->down_blocked = 0;
        mail_connector_locked(st, r, knocks);
    }
}

bool bosh_store_tick(bosh_store_t *st, uint32_t connector, uint32_t *cursor, bosh_msec_t now,
                     bosh_knocks_t *knocks)
{
    bosh_event_t ev = { .kind = BOSH_EV_TICK, .holder = BOSH_NOBODY };
    bosh_actions_t acts;
    uint32_t end;
    bool round;

    if (!store_lock(st, knocks)) {
        return true;
    }
    st->h->connectors[connector].seen = now;
    end = *cursor + TICK_STRETCH < st->h->used_sessions ? *cursor + TICK_STRETCH
                                                        : st->h->used_sessions;
    for (uint32_t i = *cursor; i < end; i++) {
        record_t *r = &st->sessions[i];

        if (r->in_use && r->connector == connector) {
            retry_down(st, r, knocks);
            apply_locked(st, r, &ev, no_payload, now, &acts, knocks);
        }
    }
    round = end >= st->h->used_sessions;
    *cursor = round ? 0 : end;
    store_unlock(st);
    return round;
}
