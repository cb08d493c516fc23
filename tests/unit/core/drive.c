/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Events in, actions out, and the checks that every step must pass. */

#include "drive.h"

#include "unit.h"

static bool same(bosh_holder_t a, bosh_holder_t b)
{
    return a.child == b.child && a.ticket == b.ticket;
}

static bool is_told(const bosh_action_t *a)
{
    switch (a->kind) {
    case BOSH_DO_ANSWER: return a->holder.child != UINT32_MAX;
    case BOSH_DO_REPEAT:
    case BOSH_DO_REPLY:
    case BOSH_DO_HOLD: return true;
    default: return false;
    }
}

static const bosh_action_t *step(drive_t *d, const bosh_event_t *ev)
{
    const bosh_action_t *own = NULL;
    unsigned n = 0;

    bosh_step(&d->s, ev, d->now, &d->acts);
    for (unsigned i = 0; i < d->acts.n; i++) {
        if (is_told(&d->acts.a[i])) {
            own = &d->acts.a[i];
            assert_true(same(own->holder, ev->holder));
            n++;
        }
        else if (d->acts.a[i].kind == BOSH_DO_WAKE) {
            assert_true(d->acts.a[i].holder.child != UINT32_MAX);
            assert_true(d->acts.a[i].due >= d->now);
        }
    }
    assert_int_equal(n, ev->kind == BOSH_EV_REQUEST || ev->kind == BOSH_EV_DUE);
    assert_false(bosh_session_is_damaged(&d->s));
    return own;
}

static const bosh_action_t *ask(drive_t *d, uint64_t rid, uint8_t asks, uint32_t pause)
{
    bosh_event_t ev = {
        .kind = BOSH_EV_REQUEST, .rid = rid, .asks = asks, .stream = BOSH_NO_STREAM, .pause = pause
    };

    d->holder = ev.holder = (bosh_holder_t){ 3, ++d->tickets };
    return step(d, &ev);
}

const bosh_action_t *request(drive_t *d, uint64_t rid, uint8_t asks)
{
    return ask(d, rid, asks, 0);
}

const bosh_action_t *request_as(drive_t *d, uint64_t rid, bosh_event_t ev)
{
    ev.kind = BOSH_EV_REQUEST;
    ev.rid = rid;
    if (ev.holder.ticket == 0) {
        ev.holder = (bosh_holder_t){ 3, ++d->tickets };
    }
    d->holder = ev.holder;
    return step(d, &ev);
}

const bosh_action_t *request_ack(drive_t *d, uint64_t rid, uint8_t asks, uint64_t ack)
{
    return request_as(d, rid, (bosh_event_t){ .asks = asks, .stream = BOSH_NO_STREAM, .ack = ack });
}

const bosh_action_t *request_stream(drive_t *d, uint64_t rid, uint8_t asks, uint8_t stream)
{
    return request_as(d, rid, (bosh_event_t){ .asks = asks, .stream = stream });
}

const bosh_action_t *request_pause(drive_t *d, uint64_t rid, uint32_t seconds)
{
    return ask(d, rid, BOSH_ASKS_PAUSE, seconds);
}

const bosh_action_t *comes_back(drive_t *d, uint64_t rid, bosh_holder_t holder)
{
    bosh_event_t ev = { .kind = BOSH_EV_DUE, .rid = rid, .holder = holder };

    return step(d, &ev);
}

const bosh_action_t *comes_back_urgently(drive_t *d, uint64_t rid, bosh_holder_t holder)
{
    bosh_event_t ev = {
        .kind = BOSH_EV_DUE, .rid = rid, .holder = holder, .asks = BOSH_ASKS_URGENT
    };

    return step(d, &ev);
}

void hangs_up(drive_t *d, uint64_t rid, bosh_holder_t holder)
{
    bosh_event_t ev = { .kind = BOSH_EV_GONE, .rid = rid, .holder = holder };

    step(d, &ev);
}

void wrote(drive_t *d, uint64_t rid, bosh_holder_t holder)
{
    bosh_event_t ev = { .kind = BOSH_EV_WRITTEN, .rid = rid, .holder = holder };

    step(d, &ev);
}

static void happens(drive_t *d, bosh_event_kind_t kind)
{
    bosh_event_t ev = { .kind = kind, .holder = BOSH_NOBODY };

    step(d, &ev);
}

void opened(drive_t *d)
{
    d->s.leg[0].has_down = 1;
    happens(d, BOSH_EV_OPENED);
}

void data(drive_t *d)
{
    d->s.leg[0].has_down = 1;
    happens(d, BOSH_EV_DATA);
}

static void happens_to(drive_t *d, bosh_event_kind_t kind, uint8_t stream)
{
    bosh_event_t ev = { .kind = kind, .holder = BOSH_NOBODY, .stream = stream };

    d->s.leg[stream].has_down = 1;
    step(d, &ev);
}

void opened_on(drive_t *d, uint8_t stream)
{
    happens_to(d, BOSH_EV_OPENED, stream);
}

void data_on(drive_t *d, uint8_t stream)
{
    happens_to(d, BOSH_EV_DATA, stream);
}

void tick(drive_t *d)
{
    happens(d, BOSH_EV_TICK);
}

static void ends(drive_t *d, bosh_event_kind_t kind, bosh_condition_t condition,
                 bosh_reason_t reason)
{
    bosh_event_t ev = {
        .kind = kind, .holder = BOSH_NOBODY, .condition = condition, .reason = reason
    };

    step(d, &ev);
}

void stream_ended(drive_t *d, bosh_condition_t condition, bosh_reason_t reason)
{
    ends(d, BOSH_EV_UP_ENDED, condition, reason);
}

void stream_ended_on(drive_t *d, uint8_t stream, bosh_condition_t condition, bosh_reason_t reason)
{
    bosh_event_t ev = { .kind = BOSH_EV_UP_ENDED,
                        .holder = BOSH_NOBODY,
                        .stream = stream,
                        .condition = condition,
                        .reason = reason };

    step(d, &ev);
}

void ended_by_us(drive_t *d, bosh_condition_t condition, bosh_reason_t reason)
{
    ends(d, BOSH_EV_END, condition, reason);
}

void drive_begin(drive_t *d, uint32_t hold, uint32_t wait)
{
    bosh_terms_t terms = {
        .rid = FIRST_RID,
        .wait = wait,
        .hold = hold,
        .requests = hold + 1,
        .inactivity = INACTIVITY,
        .polling = POLLING,
        .is_polling = wait == 0 || hold == 0,
        .maxpause = MAXPAUSE,
        .connect_timeout = CONNECT,
        .ver_major = 1,
        .ver_minor = 11,
    };

    *d = (drive_t){ .now = BOSH_SEC(1000000) };
    bosh_session_init(&d->s, &terms, d->now);
    assert_int_equal(request(d, FIRST_RID, 0)->kind, BOSH_DO_HOLD);
}

void drive_open(drive_t *d, uint32_t hold, uint32_t wait)
{
    bosh_holder_t creator;

    drive_begin(d, hold, wait);
    creator = d->holder;
    opened(d);
    assert_int_equal(comes_back(d, FIRST_RID, creator)->kind, BOSH_DO_ANSWER);
    wrote(d, FIRST_RID, creator);
    d->now += BOSH_REACTION_MS + 1; /* tells nothing of how quick the client is */
}

const bosh_action_t *find(const drive_t *d, bosh_action_kind_t kind)
{
    for (unsigned i = 0; i < d->acts.n; i++) {
        if (d->acts.a[i].kind == kind) {
            return &d->acts.a[i];
        }
    }
    return NULL;
}

unsigned count(const drive_t *d, bosh_action_kind_t kind)
{
    unsigned n = 0;

    for (unsigned i = 0; i < d->acts.n; i++) {
        n += d->acts.a[i].kind == kind;
    }
    return n;
}

bosh_msec_t woken(const drive_t *d, bosh_holder_t holder)
{
    bosh_msec_t due = 0;

    for (unsigned i = 0; i < d->acts.n; i++) {
        if (d->acts.a[i].kind == BOSH_DO_WAKE && same(d->acts.a[i].holder, holder)) {
            due = d->acts.a[i].due;
        }
    }
    return due;
}

const bosh_slot_t *slot_of(const drive_t *d, uint64_t rid)
{
    return &d->s.slots[rid % BOSH_SLOTS];
}
