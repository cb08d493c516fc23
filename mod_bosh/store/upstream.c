/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* What the connector calls: bytes up, stanzas down, clocks. */

#include <string.h>

#include "store_int.h"

/* Records looked at in one stretch under the lock. */
#define TICK_STRETCH 256

static const bosh_str_t no_payload = { "", 0 };

/* Of a ref that a connector holds; NULL: nothing is wanted from it any more. */
static leg_t *living_leg(record_t *r, bosh_ref_t ref)
{
    leg_t *leg = r && r->core.state != BOSH_ENDED ? leg_get(r, ref) : NULL;

    return leg && !(r->up_gone & leg_bit(ref.stream)) ? leg : NULL;
}

/* The connector was told; nothing else keeps the record. */
static void let_go(record_t *r, bosh_ref_t ref)
{
    if (r && leg_get(r, ref)) {
        r->up_gone |= leg_bit(ref.stream);
    }
}

static bosh_end_t tell_end(record_t *r)
{
    bosh_end_t end = { 0 };

    if (r && !r->end_told && r->core.state >= BOSH_CLOSING && !(r->begun & ~r->up_gone)) {
        r->end_told = 1;
        end.serial = r->serial;
        end.condition = r->core.condition;
        end.reason = r->core.reason;
        end.had_several = r->begun != leg_bit(0);
    }
    return end;
}

bool bosh_store_connector_task(bosh_store_t *st, bosh_ref_t ref, bosh_task_t *task)
{
    bosh_knocks_t knocks = { 0 };
    record_t *r;
    leg_t *leg;
    bool found = false;

    task->end = (bosh_end_t){ 0 };
    if (!store_lock(st, &knocks)) {
        return false;
    }
    r = record_get_locked(st, ref);
    leg = living_leg(r, ref);
    if (!leg) {
        let_go(r, ref);
        task->end = tell_end(r);
    }
    else if (leg->task.len == sizeof(task->upstream)) {
        touch_locked(st, r);
        task->serial = r->serial;
        task->connect_timeout = r->core.terms.connect_timeout;
        chain_take_locked(st, &leg->task, (char *)&task->upstream, sizeof(task->upstream));
        BOSH_CRASH_POINT("task");
        found = true;
    }
    store_unlock(st);
    return found;
}

static void take(bosh_store_t *st, record_t *r, unsigned n, char *buf, size_t size, bosh_up_t *up)
{
    leg_t *leg = &r->leg[n];
    bool restart = r->wants_restart & leg_bit(n);

    /* Up to a restart, which stands between two bytes. Who has no buffer only looks. */
    if (restart && leg->restart_at < size) {
        size = leg->restart_at;
    }
    up->len = chain_take_locked(st, &leg->up, buf, size);
    BOSH_CRASH_POINT("take-up");
    if (restart && buf) {
        leg->restart_at -= (uint32_t)up->len;
        up->restart = leg->restart_at == 0;
        up->has_from = up->restart && leg->from.len > 0;
    }
    if (up->restart) {
        r->wants_restart &= (uint8_t)~leg_bit(n);
        restart = false;
    }
    up->waiting = leg->up.len;
    up->more = up->waiting > 0 || restart;
}

/* Why the stream is to go: its own reason, if that came before its session's. */
static void tell_reason(const record_t *r, unsigned n, bosh_up_t *up)
{
    bool has_own = n < BOSH_MAX_STREAMS && r->core.leg[n].reason != BOSH_REASON_NONE;

    up->condition = has_own ? r->core.leg[n].condition : r->core.condition;
    up->reason = has_own ? r->core.leg[n].reason : r->core.reason;
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
    if (!living_leg(r, ref)) {
        up->ended = true;
        let_go(r, ref);
    }
    else {
        touch_locked(st, r);
        take(st, r, ref.stream, buf, size, up);
        up->close = (r->wants_close & leg_bit(ref.stream)) && !up->more;
        up->has_room = !(r->down_blocked & leg_bit(ref.stream));
    }
    if (r) {
        up->serial = r->serial;
        tell_reason(r, ref.stream, up);
    }
    store_unlock(st);
}

void bosh_store_restart_from(bosh_store_t *st, bosh_ref_t ref, char *from)
{
    bosh_knocks_t knocks = { 0 };
    record_t *r;
    leg_t *leg;

    from[0] = '\0';
    if (!store_lock(st, &knocks)) {
        return;
    }
    r = record_get_locked(st, ref);
    leg = living_leg(r, ref);
    if (leg && leg->from.len < FROM_SIZE) {
        touch_locked(st, r);
        from[chain_take_locked(st, &leg->from, from, FROM_SIZE - 1)] = '\0';
    }
    store_unlock(st);
}

static bool has_room(const bosh_store_t *st, const chain_t *down, size_t len)
{
    return down->len + len <= DOWN_LIMIT && chain_has_room_locked(st, down, len);
}

bosh_put_t bosh_store_put_down(bosh_store_t *st, bosh_ref_t ref, bosh_str_t xml, bool opens,
                               bosh_msec_t now, bosh_knocks_t *knocks)
{
    bosh_event_t ev = { .kind = opens ? BOSH_EV_OPENED : BOSH_EV_DATA,
                        .holder = BOSH_NOBODY,
                        .stream = (uint8_t)ref.stream };
    bosh_put_t put = BOSH_PUT_GONE;
    bosh_actions_t acts;
    record_t *r;
    leg_t *leg;

    if (!store_lock(st, knocks)) {
        return BOSH_PUT_NO_ROOM;
    }
    r = record_get_locked(st, ref);
    leg = living_leg(r, ref);
    if (leg) {
        touch_locked(st, r);
        if (!has_room(st, &leg->down, xml.len)) {
            r->down_blocked |= leg_bit(ref.stream);
            put = BOSH_PUT_NO_ROOM;
        }
        else {
            chain_append_locked(st, &leg->down, ref.index, xml.p, xml.len);
            leg_note_down(r, ref.stream);
            BOSH_CRASH_POINT("put-down");
            apply_locked(st, r, &ev, no_payload, now, &acts, knocks);
            put = BOSH_PUT_OK;
        }
    }
    store_unlock(st);
    BOSH_CRASH_POINT("put-down-unlocked");
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
    leg_t *leg;

    if (!store_lock(st, &knocks)) {
        return;
    }
    r = record_get_locked(st, ref);
    leg = r ? leg_get(r, ref) : NULL;
    if (leg && leg->greeting.len == sizeof(g)) {
        touch_locked(st, r);
        chain_take_locked(st, &leg->greeting, (char *)&g, sizeof(g));
        if (from.len > 0 && from.len < sizeof(g.from)) {
            copy_z(g.from, sizeof(g.from), from);
        }
        copy_z(g.authid, sizeof(g.authid), authid.len < sizeof(g.authid) ? authid : BOSH_ABSENT);
        chain_append_locked(st, &leg->greeting, ref.index, (const char *)&g, sizeof(g));
    }
    store_unlock(st);
}

bosh_end_t bosh_store_up_ended(bosh_store_t *st, bosh_ref_t ref, bosh_condition_t condition,
                               bosh_reason_t reason, bosh_str_t last, bosh_msec_t now,
                               bosh_knocks_t *knocks)
{
    bosh_event_t ev = { .kind = BOSH_EV_UP_ENDED,
                        .holder = BOSH_NOBODY,
                        .stream = (uint8_t)ref.stream,
                        .condition = condition,
                        .reason = reason };
    bosh_end_t end = { 0 };
    bosh_actions_t acts;
    record_t *r;
    bool is_living;

    if (!store_lock(st, knocks)) {
        return end;
    }
    r = record_get_locked(st, ref);
    if (r && leg_get(r, ref)) {
        leg_t *leg = &r->leg[ref.stream];

        touch_locked(st, r);
        is_living = living_leg(r, ref) != NULL;
        leg_end_up_locked(st, r, ref.stream);
        BOSH_CRASH_POINT("stream-ended");
        if (is_living && !(r->taken_back & leg_bit(ref.stream)) && last.len > 0
            && has_room(st, &leg->down, last.len)) {
            chain_append_locked(st, &leg->down, ref.index, last.p, last.len);
            leg_note_down(r, ref.stream);
        }
        apply_locked(st, r, &ev, no_payload, now, &acts, knocks);
        end = tell_end(r);
    }
    store_unlock(st);
    return end;
}

/* The segment may have been full: room that other sessions gave back is told by nobody
 * but the clock. */
static void retry_down(bosh_store_t *st, record_t *r, bosh_knocks_t *knocks)
{
    touch_locked(st, r);
    for (unsigned n = 0; n < BOSH_MAX_STREAMS && r->down_blocked; n++) {
        uint8_t bit = r->down_blocked & leg_bit(n);

        if (bit && r->leg[n].down.len < DOWN_LIMIT / 2 && st->h->blocks_free > 0) {
            r->down_blocked &= (uint8_t)~bit;
            mail_connector_locked(st, r, bit, knocks);
        }
    }
}

/* The segment, and not the session's queue, is full. */
static bool lacks_room(const record_t *r)
{
    for (unsigned n = 0; n < BOSH_MAX_STREAMS; n++) {
        if ((r->down_blocked & leg_bit(n)) && r->leg[n].down.len == 0) {
            return true;
        }
    }
    return false;
}

static bool keeps_answers(const record_t *r)
{
    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        if (r->core.slots[i].state == BOSH_SLOT_ANSWERED && r->slot[i].len > 0) {
            return true;
        }
    }
    return false;
}

/* What a session keeps for repetition takes the room that its own stanzas, and others', wait
 * for; and it is kept until the client has had newer answers. So a client that waits for
 * nothing gets empty ones, until nothing is kept any more: seen with two sessions that had
 * filled the segment, and waited for each other. */
static void make_room(bosh_store_t *st, record_t *r, bosh_msec_t now, bosh_knocks_t *knocks)
{
    bosh_event_t ev = { .kind = BOSH_EV_RELEASE, .holder = BOSH_NOBODY };
    bosh_actions_t acts;

    if (r->core.state < BOSH_CLOSING && lacks_room(r) && keeps_answers(r)) {
        apply_locked(st, r, &ev, no_payload, now, &acts, knocks);
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
            make_room(st, r, now, knocks);
            retry_down(st, r, knocks);
            BOSH_CRASH_POINT("tick");
            apply_locked(st, r, &ev, no_payload, now, &acts, knocks);
        }
    }
    round = end >= st->h->used_sessions;
    *cursor = round ? 0 : end;
    store_unlock(st);
    return round;
}
