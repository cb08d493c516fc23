/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Children and connectors come and go. */

#include <string.h>

#include "store_int.h"

/* Silent for longer: not running, for those who ask, and for new sessions. */
#define SIGN_OF_LIFE_MS BOSH_SEC(5)
/* Nobody waits so long for a stopped child, and a pid may have gone to another process. */
#define CHILD_LOST_MS   BOSH_SEC(120)

static const bosh_str_t no_payload = { "", 0 };

static void clear_child(child_t *c, int64_t pid)
{
    __atomic_store_n(&c->pid, pid, __ATOMIC_RELAXED); /* both are read without the lock */
    __atomic_store_n(&c->seen, bosh_now(), __ATOMIC_RELAXED);
    c->blocking = 0;
    c->box.first = c->box.count = 0;
    c->box.missed = c->box.knocked = 0;
}

uint32_t bosh_store_child_join(bosh_store_t *st, int64_t pid)
{
    bosh_knocks_t knocks = { 0 };
    uint32_t child = BOSH_NO_CHILD;

    if (!store_lock(st, &knocks)) {
        return BOSH_NO_CHILD;
    }
    for (uint32_t i = 0; i < st->h->max_children && child == BOSH_NO_CHILD; i++) {
        if (st->children[i].pid == 0) {
            clear_child(&st->children[i], pid);
            child = i;
        }
    }
    store_unlock(st);
    return child;
}

static void release(bosh_store_t *st, record_t *r, bosh_slot_t *slot, bosh_msec_t now,
                    bosh_knocks_t *knocks)
{
    bosh_event_t ev = { .kind = BOSH_EV_GONE, .rid = slot->rid, .holder = slot->holder };
    bosh_actions_t acts;

    apply_locked(st, r, &ev, no_payload, now, &acts, knocks);
}

static void release_all(bosh_store_t *st, uint32_t child, bosh_msec_t now, bosh_knocks_t *knocks)
{
    for (uint32_t i = 0; i < st->h->used_sessions; i++) {
        record_t *r = &st->sessions[i];

        for (unsigned k = 0; r->in_use && k < BOSH_SLOTS; k++) {
            if (r->core.slots[k].holder.child == child) {
                release(st, r, &r->core.slots[k], now, knocks);
            }
        }
    }
}

void bosh_store_child_leave(bosh_store_t *st, uint32_t child, bosh_msec_t now,
                            bosh_knocks_t *knocks)
{
    if (!store_lock(st, knocks)) {
        return;
    }
    if (child < st->h->max_children && st->children[child].pid != 0) {
        release_all(st, child, now, knocks);
        clear_child(&st->children[child], 0);
    }
    store_unlock(st);
}

/* Its place stays its own: two children in one place would read each other's mail. Should it
 * go on, it looks after all of its requests. */
static void give_up_waiting(bosh_store_t *st, uint32_t child, bosh_msec_t now,
                            bosh_knocks_t *knocks)
{
    release_all(st, child, now, knocks);
    st->children[child].box.missed = 1;
    __atomic_store_n(&st->children[child].seen, now, __ATOMIC_RELAXED);
}

static void reap(bosh_store_t *st, uint32_t child, bool is_dead, bosh_msec_t now,
                 bosh_knocks_t *knocks)
{
    if (is_dead) {
        release_all(st, child, now, knocks);
        clear_child(&st->children[child], 0);
    }
    else {
        give_up_waiting(st, child, now, knocks);
    }
}

void bosh_store_reap_children(bosh_store_t *st, bool (*is_alive)(int64_t pid), bosh_msec_t now,
                              bosh_knocks_t *knocks)
{
    for (uint32_t i = 0; i < st->h->max_children; i++) {
        /* Read without the lock: a stale value is looked at again next time. */
        int64_t pid = __atomic_load_n(&st->children[i].pid, __ATOMIC_RELAXED);
        bosh_msec_t seen = __atomic_load_n(&st->children[i].seen, __ATOMIC_RELAXED);

        bool is_dead = pid != 0 && !is_alive(pid);

        if (is_dead || (pid != 0 && now - seen > CHILD_LOST_MS)) {
            if (!store_lock(st, knocks)) {
                return;
            }
            if (st->children[i].pid == pid) {
                reap(st, i, is_dead, now, knocks);
            }
            store_unlock(st);
        }
    }
}

bosh_msec_t bosh_store_children_seen(const bosh_store_t *st)
{
    bosh_msec_t latest = 0;

    for (uint32_t i = 0; i < st->h->max_children; i++) {
        bosh_msec_t seen = __atomic_load_n(&st->children[i].seen, __ATOMIC_RELAXED);

        if (__atomic_load_n(&st->children[i].pid, __ATOMIC_RELAXED) != 0 && seen > latest) {
            latest = seen;
        }
    }
    return latest;
}

static void forgive_children(bosh_store_t *st, bosh_msec_t since, bosh_msec_t now)
{
    for (uint32_t i = 0; i < st->h->max_children; i++) {
        bosh_msec_t seen = __atomic_load_n(&st->children[i].seen, __ATOMIC_RELAXED);
        bosh_msec_t from = seen > since ? seen : since;

        if (st->children[i].pid != 0 && from < now) {
            __atomic_store_n(&st->children[i].seen, seen + now - from, __ATOMIC_RELAXED);
        }
    }
}

void bosh_store_stood_still(bosh_store_t *st, uint32_t connector, bosh_msec_t since,
                            bosh_msec_t now, bosh_knocks_t *knocks)
{
    bosh_event_t ev = { .kind = BOSH_EV_STILL, .holder = BOSH_NOBODY, .since = since };

    forgive_children(st, since, now);
    apply_to_all(st, connector, &ev, now, knocks);
}

bool bosh_store_may_block(bosh_store_t *st, uint32_t child, unsigned budget)
{
    bosh_knocks_t knocks = { 0 };
    unsigned n = 0;
    bool may;

    if (!store_lock_soon(st, &knocks)) {
        return false;
    }
    for (uint32_t i = 0; i < st->h->max_children; i++) {
        n += st->children[i].pid ? st->children[i].blocking : 0;
    }
    may = n < budget;
    if (may) {
        st->children[child].blocking++;
    }
    store_unlock(st);
    return may;
}

void bosh_store_unblock(bosh_store_t *st, uint32_t child)
{
    bosh_knocks_t knocks = { 0 };

    if (!store_lock(st, &knocks)) {
        return;
    }
    if (st->children[child].blocking > 0) {
        st->children[child].blocking--;
    }
    store_unlock(st);
}

static bool is_alive_lately(const connector_t *c, bosh_msec_t now)
{
    return now - c->seen < SIGN_OF_LIFE_MS;
}

uint32_t connector_choose_locked(bosh_store_t *st, bosh_msec_t now)
{
    for (uint32_t n = 0; n < st->h->max_connectors; n++) {
        uint32_t i = st->h->next_connector++ % st->h->max_connectors;

        if (is_alive_lately(&st->h->connectors[i], now)) {
            return i;
        }
    }
    return NIL;
}

/* Its streams end with their connector, but for those it never took up: nothing of them
 * is lost. */
static void lose_legs(bosh_store_t *st, record_t *r, bosh_msec_t now, bosh_loss_t *loss,
                      bosh_knocks_t *knocks)
{
    bosh_event_t ev = { .kind = BOSH_EV_UP_ENDED,
                        .holder = BOSH_NOBODY,
                        .condition = BOSH_COND_REMOTE_CONNECTION_FAILED,
                        .reason = BOSH_REASON_CONNECTOR_LOST };
    uint8_t legs = r->begun & (uint8_t)~r->up_gone;
    bosh_actions_t acts;

    touch_locked(st, r);
    mail_connector_locked(st, r, legs, knocks);
    for (unsigned n = 0; n < BOSH_MAX_STREAMS; n++) {
        if ((legs & leg_bit(n)) && r->leg[n].task.len == 0) {
            ev.stream = (uint8_t)n;
            loss->streams++;
            loss->bytes += r->leg[n].up.len;
            leg_end_up_locked(st, r, n);
            apply_locked(st, r, &ev, no_payload, now, &acts, knocks);
        }
    }
}

bosh_loss_t bosh_store_connector_join(bosh_store_t *st, uint32_t connector, int64_t pid,
                                      bosh_msec_t now, bosh_knocks_t *knocks)
{
    connector_t *c = &st->h->connectors[connector];
    bosh_loss_t loss = { 0, 0 };
    bool is_first;

    if (!store_lock(st, knocks)) {
        return loss;
    }
    is_first = c->pid == 0;
    c->pid = pid;
    c->seen = now;
    c->knocked = 0;
    for (uint32_t i = 0; i < st->h->used_sessions && !is_first; i++) {
        record_t *r = &st->sessions[i];

        if (r->in_use && r->connector == connector) {
            lose_legs(st, r, now, &loss, knocks);
        }
    }
    store_unlock(st);
    return loss;
}

void bosh_store_status(bosh_store_t *st, bosh_msec_t now, bosh_store_status_t *s)
{
    bosh_knocks_t knocks = { 0 };

    memset(s, 0, sizeof(*s));
    if (!store_lock_soon(st, &knocks)) {
        return;
    }
    s->sessions = st->h->sessions;
    s->max_sessions = st->h->max_sessions;
    s->blocks_free = st->h->blocks_free;
    s->blocks = st->h->max_blocks;
    s->created = st->h->serial;
    s->repairs = st->h->repairs;
    for (uint32_t i = 0; i < st->h->max_children; i++) {
        s->children += st->children[i].pid != 0;
    }
    for (uint32_t i = 0; i < st->h->max_connectors; i++) {
        s->connectors +=
            st->h->connectors[i].pid != 0 && is_alive_lately(&st->h->connectors[i], now);
    }
    store_unlock(st);
}
