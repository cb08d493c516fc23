/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Random sessions, children and connectors, against a model that knows every byte:
 * what clients sent must go up, what servers sent must come down, in order and once.
 * The segment is verified after every step.
 */

#include <stdlib.h>
#include <string.h>

#include "box.h"

#include "../core/rng.h"
#include "../core/unit.h"

#define SESSIONS   12
#define CHILDREN   3
#define CONNECTORS 2
#define RIDS       400
#define WAITERS    16
#define PLENTY     (4 * 1024 * 1024)

/* Bytes that were sent; `n` of them have arrived. */
typedef struct flow_t {
    char *p;
    size_t len, n;
} flow_t;

typedef struct holder_t {
    bool is_live;
    uint64_t rid;
    bosh_holder_t holder;
} holder_t;

typedef struct model_t {
    bool exists, is_open, is_over, is_taken;
    sess_t s;
    uint32_t connector;
    flow_t up, down;
    bosh_str_t payload[RIDS]; /* of each rid, in `words` */
    uint64_t sent, kept;      /* rids are sent in order; the answers kept */
    struct {
        bool is_known;
        size_t from, len; /* in down */
    } answer[RIDS];
    uint64_t next_answer;
    holder_t holders[WAITERS];
} model_t;

static box_t box;
static rng_t rng;
static model_t models[SESSIONS];
static uint32_t children[CHILDREN];
static char words[70000];
static size_t total_up, total_down;
static unsigned created;

static bosh_str_t some_words(void)
{
    uint32_t most = rng_one_in(&rng, 20) ? 60000 : 1200;
    size_t n = 1 + rng_below(&rng, most);

    return (bosh_str_t){ words + rng_below(&rng, (uint32_t)(sizeof(words) - n)), n };
}

static void flow_add(flow_t *f, bosh_str_t bytes)
{
    assert_true(f->len + bytes.len <= PLENTY);
    if (bytes.len == 0) {
        return;
    }
    memcpy(f->p + f->len, bytes.p, bytes.len);
    f->len += bytes.len;
}

static void flow_arrives(flow_t *f, const char *p, size_t n, size_t *total)
{
    assert_true(f->n + n <= f->len);
    assert_memory_equal(f->p + f->n, p, n);
    f->n += n;
    *total += n;
}

static void hang_up_holder(model_t *m, holder_t *h)
{
    if (h->is_live) {
        h->is_live = false;
        bosh_store_gone(box.st, m->s.ref, h->rid, h->holder, box.now, &box.knocks);
    }
}

static holder_t *free_holder(model_t *m)
{
    holder_t *h = &m->holders[rng_below(&rng, WAITERS)];

    for (unsigned i = 0; i < WAITERS; i++) {
        if (!m->holders[i].is_live) {
            return &m->holders[i];
        }
    }
    hang_up_holder(m, h);
    return h;
}

/* ---- what came back -------------------------------------------------------- */

static void judge_kept(model_t *m, uint64_t rid)
{
    uint64_t i = rid - 1000;

    if (!m->answer[i].is_known) {
        assert_true(rid >= m->next_answer);
        m->next_answer = rid + 1;
        m->answer[i].is_known = true;
        m->answer[i].from = m->down.n;
        m->answer[i].len = box.out.payload_len;
        flow_arrives(&m->down, box.buf.p, box.buf.len, &total_down);
    }
    assert_int_equal(box.out.payload_len, m->answer[i].len);
    assert_int_equal(box.buf.len, m->answer[i].len);
    assert_memory_equal(box.buf.p, m->down.p + m->answer[i].from, box.buf.len);
}

static void judge(model_t *m, holder_t *h)
{
    switch (box.out.got) {
    case BOSH_GOT_HOLD: return;
    case BOSH_GOT_ANSWER: break;
    default: fail_msg("got %d", box.out.got);
    }
    h->is_live = false;
    m->is_over |= box.out.answer.kind == BOSH_ANSWER_TERMINATE;
    if (box.out.is_kept) {
        assert_false(m->answer[h->rid - 1000].is_known);
        judge_kept(m, h->rid);
        bosh_store_written(box.st, m->s.ref, h->rid, h->holder, box.now, &box.knocks);
    }
    else if (m->answer[h->rid - 1000].is_known && box.out.payload_len > 0) {
        judge_kept(m, h->rid); /* a repetition */
    }
    else {
        assert_int_equal(box.out.payload_len, 0);
        assert_true(box.out.answer.kind != BOSH_ANSWER_DATA || m->answer[h->rid - 1000].len == 0);
    }
}

/* ---- what may happen ------------------------------------------------------- */

static void create(model_t *m)
{
    bosh_birth_t birth = box_birth(1000);
    bosh_request_t req = { .rid = 1000,
                           .holder = { children[rng_below(&rng, CHILDREN)], ++box.tickets } };
    flow_t up = m->up, down = m->down;

    box_connectors_live(&box);
    bosh_store_create_session(box.st, &birth, &req, box.now, m->s.sid, &box.buf, &box.out);
    if (box.out.got == BOSH_GOT_FULL) {
        return;
    }
    assert_int_equal(box.out.got, BOSH_GOT_HOLD);
    created++;
    *m = (model_t){ .exists = true, .s = m->s, .sent = 1001, .next_answer = 1000 };
    m->up.p = up.p;
    m->down.p = down.p;
    m->s.ref = box.out.ref;
    m->holders[0] = (holder_t){ true, 1000, req.holder };
}

static void ask(model_t *m, uint64_t rid, uint8_t asks)
{
    holder_t *h = free_holder(m);
    bosh_request_t req = { .rid = rid,
                           .asks = asks,
                           .holder = { children[rng_below(&rng, CHILDREN)], ++box.tickets },
                           .payload = m->payload[rid - 1000],
                           .is_there = true };

    *h = (holder_t){ true, rid, req.holder };
    bosh_store_request(box.st, bosh_str(m->s.sid), REALM, true, &req, box.now, &box.buf, &box.out);
    if (box.out.got == BOSH_GOT_UNKNOWN) {
        assert_true(m->is_over);
        m->exists = h->is_live = false;
        return;
    }
    if (box.out.got == BOSH_GOT_NO_ROOM) {
        h->is_live = false;
        return;
    }
    if (rid == m->sent) { /* taken */
        m->sent++;
        if (!m->is_over
            && !(box.out.got == BOSH_GOT_ANSWER && box.out.answer.kind == BOSH_ANSWER_TERMINATE
                 && !(asks & BOSH_ASKS_TERMINATE))) {
            flow_add(&m->up, m->payload[rid - 1000]);
        }
        m->is_over |= asks & BOSH_ASKS_TERMINATE;
    }
    judge(m, h);
}

/* The client sends its next request, if it may: it waits for answers as it should. */
static void send_next(model_t *m)
{
    unsigned open = 0;

    for (unsigned i = 0; i < WAITERS; i++) {
        open += m->holders[i].is_live;
    }
    if (m->sent - 1000 >= RIDS - 1 || !m->is_open || (m->sent > m->next_answer + 1 && open)) {
        return;
    }
    m->payload[m->sent - 1000] = rng_one_in(&rng, 3) ? BOSH_ABSENT : some_words();
    ask(m, m->sent,
        rng_one_in(&rng, 60)  ? BOSH_ASKS_TERMINATE
        : rng_one_in(&rng, 8) ? BOSH_ASKS_URGENT
                              : 0);
}

static void send_again(model_t *m)
{
    if (m->is_open && m->sent > 1001) {
        ask(m, m->sent - 1, 0);
    }
}

static void come_back(model_t *m)
{
    holder_t *h = &m->holders[rng_below(&rng, WAITERS)];

    if (h->is_live) {
        bosh_store_due(box.st, m->s.ref, h->rid, h->holder, 0, box.now, &box.buf, &box.out);
        if (box.out.got == BOSH_GOT_UNKNOWN) {
            assert_true(m->is_over);
            m->exists = false;
            return;
        }
        judge(m, h);
    }
}

static void hang_up(model_t *m)
{
    hang_up_holder(m, &m->holders[rng_below(&rng, WAITERS)]);
}

static void put(model_t *m)
{
    bosh_str_t xml = some_words();
    bosh_put_t got;

    if (!m->is_taken) {
        return;
    }
    got = bosh_store_put_down(box.st, m->s.ref, xml, !m->is_open, box.now, &box.knocks);
    if (got == BOSH_PUT_OK) {
        flow_add(&m->down, xml);
        m->is_open = true;
    }
    assert_true(got != BOSH_PUT_GONE || m->is_over);
}

static void take(model_t *m)
{
    static char buf[100000];
    bosh_up_t up;

    bosh_store_take_up(box.st, m->s.ref, buf, 1 + rng_below(&rng, sizeof(buf) - 1), box.now, &up,
                       &box.knocks);
    if (m->exists) {
        flow_arrives(&m->up, buf, up.len, &total_up);
        if (up.close) {
            assert_int_equal(m->up.n, m->up.len);
            m->is_over = true;
            bosh_store_up_ended(box.st, m->s.ref, BOSH_COND_NONE, BOSH_REASON_STREAM_CLOSED,
                                BOSH_ABSENT, box.now, &box.knocks);
        }
        assert_true(!up.ended || m->is_over);
    }
}

static void server_ends(model_t *m)
{
    if (rng_one_in(&rng, 20) && m->exists) {
        m->is_over = true;
        bosh_store_up_ended(box.st, m->s.ref, BOSH_COND_REMOTE_STREAM_ERROR,
                            BOSH_REASON_STREAM_ERROR, BOSH_ABSENT, box.now, &box.knocks);
    }
}

/* Late clients leave one by one, the connector lets go, and the record is free. */
static void wind_down(model_t *m)
{
    bosh_greeting_t g;

    hang_up(m);
    if (rng_one_in(&rng, 10)) {
        bosh_store_up_ended(box.st, m->s.ref, BOSH_COND_NONE, BOSH_REASON_STREAM_CLOSED,
                            BOSH_ABSENT, box.now, &box.knocks);
    }
    m->exists = bosh_store_greeting(box.st, m->s.ref, &g);
}

/* ---- what happens to all ----------------------------------------------------- */

static void forget_holders(uint32_t child)
{
    for (unsigned i = 0; i < SESSIONS; i++) {
        for (unsigned k = 0; k < WAITERS; k++) {
            models[i].holders[k].is_live &=
                child == BOSH_NO_CHILD || models[i].holders[k].holder.child != child;
        }
    }
}

static void child_is_replaced(void)
{
    unsigned i = rng_below(&rng, CHILDREN);

    bosh_store_child_leave(box.st, children[i], box.now, &box.knocks);
    forget_holders(children[i]);
    children[i] = bosh_store_child_join(box.st, 5000 + i);
    assert_int_not_equal(children[i], BOSH_NO_CHILD);
}

static void connector_is_replaced(void)
{
    uint32_t c = rng_below(&rng, CONNECTORS);

    bosh_store_connector_join(box.st, c, 6000 + c, box.now, &box.knocks);
    for (unsigned i = 0; i < SESSIONS; i++) {
        models[i].is_over |= models[i].is_taken && models[i].connector == c;
    }
}

static void read_mail(void)
{
    bosh_ref_t refs[5];
    bosh_mail_t mail[50];
    bosh_task_t task;
    bool missed;

    for (uint32_t c = 0; c < CONNECTORS; c++) {
        unsigned n = bosh_store_connector_mail(box.st, c, refs, 5);

        for (unsigned k = 0; k < n; k++) {
            for (unsigned i = 0; i < SESSIONS; i++) {
                if (models[i].exists && bosh_ref_same(models[i].s.ref, refs[k])
                    && bosh_store_connector_task(box.st, refs[k], &task)) {
                    assert_false(models[i].is_taken);
                    models[i].is_taken = true;
                    models[i].connector = c;
                }
            }
        }
    }
    bosh_store_child_mail(box.st, children[rng_below(&rng, CHILDREN)], mail, 50, box.now, &missed);
}

static void time_passes(void)
{
    box.now += rng_one_in(&rng, 30) ? BOSH_SEC(rng_below(&rng, 40)) : rng_below(&rng, 100);
    for (uint32_t c = 0; c < CONNECTORS; c++) {
        uint32_t cursor = 0;

        bosh_store_tick(box.st, c, &cursor, box.now, &box.knocks);
    }
    for (unsigned i = 0; i < SESSIONS; i++) { /* clocks end sessions too */
        bosh_up_t up;

        bosh_store_take_up(box.st, models[i].s.ref, NULL, 0, box.now, &up, &box.knocks);
        models[i].is_over |= models[i].exists && (up.ended || up.reason != BOSH_REASON_NONE);
    }
}

static void step(void)
{
    static void (*const to_one[])(model_t *) = { send_next,  send_next, send_next, send_again,
                                                 come_back,  come_back, come_back, hang_up,
                                                 put,        put,       take,      take,
                                                 server_ends };
    model_t *m = &models[rng_below(&rng, SESSIONS)];
    uint32_t what = rng_below(&rng, 1000);

    if (!m->exists) {
        create(m);
    }
    else if (what < 100) {
        read_mail();
    }
    else if (what < 160) {
        time_passes();
    }
    else if (what < 163) {
        child_is_replaced();
    }
    else if (what < 164 && rng_one_in(&rng, 5)) {
        connector_is_replaced();
    }
    else if (m->is_over && what < 900) {
        wind_down(m);
    }
    else if (m->down.len + 70000 > PLENTY || m->up.len + 70000 > PLENTY
             || m->sent >= 1000 + RIDS - 1) {
        m->is_over = true;
        bosh_store_end(box.st, m->s.ref, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN, box.now,
                       &box.knocks);
        take(m);
    }
    else {
        to_one[rng_below(&rng, sizeof(to_one) / sizeof(to_one[0]))](m);
    }
}

static void give_all_back(unsigned blocks_free)
{
    for (unsigned i = 0; i < CHILDREN; i++) {
        bosh_store_child_leave(box.st, children[i], box.now, &box.knocks);
    }
    for (unsigned i = 0; i < SESSIONS; i++) {
        if (models[i].exists) {
            box_forget(&box, &models[i].s);
        }
    }
    box.now += BOSH_SEC(40);
    box_tick(&box, 0);
    box_tick(&box, 1);
    assert_int_equal(box_blocks_free(&box), blocks_free);
}

static void every_byte_arrives_once_and_in_order(void **state)
{
    uint64_t steps = env_number("BOSH_STEPS", 60000);
    unsigned blocks_free;

    (void)state;
    rng = rng_seeded("store");
    box_open(&box, 3 << 20, 10, CHILDREN + 1, CONNECTORS);
    blocks_free = box_blocks_free(&box);
    box_bytes(words, sizeof(words), 1);
    for (unsigned i = 0; i < CHILDREN; i++) {
        children[i] = bosh_store_child_join(box.st, 5000 + i);
    }
    for (unsigned i = 0; i < SESSIONS; i++) {
        models[i] = (model_t){ .up.p = malloc(PLENTY), .down.p = malloc(PLENTY) };
    }
    for (uint64_t n = 0; n < steps; n++) {
        step();
        box_check(&box);
    }
    print_message("# %zu bytes went up, %zu came down, %u sessions\n", total_up, total_down,
                  created);
    assert_true(total_up > steps * 4 && total_down > steps * 20); /* it was not idle */
    give_all_back(blocks_free);
    for (unsigned i = 0; i < SESSIONS; i++) {
        free(models[i].up.p);
        free(models[i].down.p);
    }
    box_close(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_arrives_once_and_in_order),
    };

    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
