/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Random sessions with several streams, against a model that knows every byte of each
 * stream: what its client sent goes up to it or to all, in order and once; what its
 * server sent either comes to the client or goes back, never both. The segment is
 * verified after every step.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "box.h"

#include "../core/rng.h"
#include "../core/unit.h"

#define SESSIONS 5
#define RIDS     300
#define PLENTY   (2 * 1024 * 1024)

/* Bytes that were sent; `n` of them have arrived. */
typedef struct flow_t {
    char *p;
    size_t len, n;
} flow_t;

typedef struct leg_model_t {
    bool has_begun, is_taken, is_closing, is_gone, is_returning;
    flow_t up, down;
    bool wants_restart;
    size_t restart_at;
    char from[40];
} leg_model_t;

typedef struct answer_model_t {
    bool is_known, is_returned;
    unsigned leg;
    size_t at, len;
} answer_model_t;

typedef struct model_t {
    bool exists;
    sess_t s;
    unsigned legs; /* numbers given away */
    leg_model_t leg[BOSH_MAX_STREAMS];
    answer_model_t answer[RIDS];
} model_t;

static box_t box;
static rng_t rng;
static model_t models[SESSIONS];
static char words[30000];
static size_t total_up, total_down, total_back;
static unsigned created, streams;

static bosh_str_t some_words(void)
{
    size_t n = 1 + rng_below(&rng, rng_one_in(&rng, 10) ? 20000 : 1500);

    return (bosh_str_t){ words + rng_below(&rng, (uint32_t)(sizeof(words) - n)), n };
}

static void flow_add(flow_t *f, bosh_str_t bytes)
{
    if (bytes.len > 0) {
        assert_true(f->len + bytes.len <= PLENTY);
        memcpy(f->p + f->len, bytes.p, bytes.len);
        f->len += bytes.len;
    }
}

static void flow_arrives(flow_t *f, const char *p, size_t n, size_t *total)
{
    assert_true(f->n + n <= f->len);
    assert_memory_equal(f->p + f->n, p, n);
    f->n += n;
    *total += n;
}

static bool is_open(const leg_model_t *leg)
{
    return leg->has_begun && !leg->is_closing && !leg->is_gone;
}

static bool is_over(const model_t *m)
{
    return box_record(&box, &m->s)->core.state >= BOSH_CLOSING;
}

static void close_all(model_t *m)
{
    for (unsigned i = 0; i < BOSH_MAX_STREAMS; i++) {
        m->leg[i].is_closing |= m->leg[i].has_begun && is_over(m);
    }
}

static unsigned any_leg(const model_t *m)
{
    return rng_below(&rng, m->legs);
}

/* ---- the client ---------------------------------------------------------------- */

static void judge_first(model_t *m, answer_model_t *a)
{
    leg_model_t *leg;

    a->is_known = true;
    a->leg = box.out.answer.stream < BOSH_MAX_STREAMS ? box.out.answer.stream : 0;
    leg = &m->leg[a->leg];
    assert_true(box.buf.len == 0 || !leg->is_returning);
    a->at = leg->down.n;
    a->len = box.buf.len;
    flow_arrives(&leg->down, box.buf.p, box.buf.len, &total_down);
}

static void judge_again(const model_t *m, const answer_model_t *a)
{
    if (a->is_returned) {
        assert_int_equal(box.out.answer.kind, BOSH_ANSWER_TERMINATE);
        assert_int_equal(box.buf.len, 0);
    }
    else {
        assert_int_equal(box.buf.len, a->len);
        assert_memory_equal(box.buf.p, m->leg[a->leg].down.p + a->at, a->len);
    }
}

/* Its answer is written, or its client was not there any more. */
static void finish(model_t *m, uint64_t rid, bosh_holder_t holder)
{
    answer_model_t *a = &m->answer[rid - 1000];

    assert_int_equal(box.out.got, BOSH_GOT_ANSWER);
    assert_int_equal(box.out.payload_len, box.buf.len);
    if (!box.out.is_kept) {
        if (a->is_known) {
            judge_again(m, a);
        }
        return;
    }
    judge_first(m, a);
    if (rng_one_in(&rng, 5)) {
        bosh_store_gone(box.st, m->s.ref, rid, holder, box.now, &box.knocks);
    }
    else if (!rng_one_in(&rng, 20)) {
        bosh_store_written(box.st, m->s.ref, rid, holder, box.now, &box.knocks);
    }
    else {
        box.now += BOSH_SEC(11); /* whoever wrote it is stuck */
    }
    box.now += 100;
}

static void create(model_t *m)
{
    bosh_birth_t birth = box_birth(1000);
    bosh_request_t req = { .rid = 1000, .holder = { box.child, ++box.tickets } };
    model_t old = *m;

    birth.terms.streams = BOSH_MAX_STREAMS;
    birth.terms.acks = rng_one_in(&rng, 2);
    birth.terms.inactivity = birth.terms.connect_timeout = 1000000;
    box_connectors_live(&box);
    bosh_store_create_session(box.st, &birth, &req, box.now, m->s.sid, &box.buf, &box.out);
    if (box.out.got == BOSH_GOT_FULL) {
        return;
    }
    created++;
    *m = (model_t){ .exists = true, .s = m->s, .legs = 1, .leg[0].has_begun = true };
    for (unsigned i = 0; i < BOSH_MAX_STREAMS; i++) {
        m->leg[i].up.p = old.leg[i].up.p;
        m->leg[i].down.p = old.leg[i].down.p;
    }
    m->s.ref = box.out.ref;
    m->s.rid = 1001;
    bosh_store_gone(box.st, m->s.ref, 1000, req.holder, box.now, &box.knocks);
    box.now += 100;
}

/* True: it was taken, and what it asks for is done. */
static bool ask(model_t *m, bosh_request_t *req)
{
    bool was_over = is_over(m), is_done;

    req->rid = m->s.rid;
    req->asks |= BOSH_ASKS_URGENT;
    req->holder = (bosh_holder_t){ box.child, ++box.tickets };
    bosh_store_request(box.st, bosh_str(m->s.sid), REALM, true, req, box.now, &box.buf, &box.out);
    if (box.out.got == BOSH_GOT_NO_ROOM) {
        return false;
    }
    if (box.out.got == BOSH_GOT_HOLD) { /* the one before it is stuck */
        box.now += BOSH_SEC(11);
        bosh_store_due(box.st, m->s.ref, req->rid, req->holder, BOSH_ASKS_URGENT, box.now, &box.buf,
                       &box.out);
    }
    is_done = !was_over;
    m->s.rid += box.out.is_kept ? 1 : 0;
    finish(m, req->rid, req->holder);
    return is_done;
}

static void send_payload(model_t *m)
{
    unsigned n = rng_one_in(&rng, 3) ? BOSH_NO_STREAM : any_leg(m);
    char name[BOSH_STREAM_CHARS + 1];
    bosh_request_t req = { .stream = box_name(&box, &m->s, n, name), .payload = some_words() };

    if (!ask(m, &req)) {
        return;
    }
    for (unsigned i = 0; i < BOSH_MAX_STREAMS; i++) {
        if (is_open(&m->leg[i]) && (n == BOSH_NO_STREAM || n == i)) {
            flow_add(&m->leg[i].up, req.payload);
        }
    }
}

static void send_nothing(model_t *m)
{
    bosh_request_t req = { .ack = rng_one_in(&rng, 2) ? m->s.rid - 1 - rng_below(&rng, 3) : 0 };

    ask(m, &req);
}

static void send_restart(model_t *m)
{
    unsigned n = rng_one_in(&rng, 3) ? BOSH_NO_STREAM : any_leg(m), first = 0;
    char name[BOSH_STREAM_CHARS + 1], from[40] = "";
    bosh_request_t req = { .asks = BOSH_ASKS_RESTART, .stream = box_name(&box, &m->s, n, name) };
    leg_model_t *leg;

    if (rng_one_in(&rng, 2)) {
        snprintf(from, sizeof(from), "user%u@example.org", rng_below(&rng, 1000));
        req.from = bosh_str(from);
    }
    if (!ask(m, &req)) {
        return;
    }
    while (first < BOSH_MAX_STREAMS - 1 && !is_open(&m->leg[first])) {
        first++;
    }
    leg = &m->leg[n == BOSH_NO_STREAM ? first : n];
    if (is_open(leg)) {
        leg->wants_restart = true;
        leg->restart_at = leg->up.len;
        memcpy(leg->from, from, sizeof(from));
    }
}

static void add_stream(model_t *m)
{
    bosh_upstream_t upstream = { .to = "more.example" };
    bosh_request_t req = { .asks = BOSH_ASKS_ADD, .add = &upstream };

    if (rng_one_in(&rng, 4)) {
        req.add = NULL;
        req.refused = BOSH_COND_HOST_UNKNOWN;
    }
    if (ask(m, &req) && m->legs < BOSH_MAX_STREAMS) {
        m->leg[m->legs].has_begun = req.add != NULL;
        m->leg[m->legs++].is_gone = req.add == NULL;
        streams++;
    }
}

static void terminate(model_t *m)
{
    unsigned n = rng_one_in(&rng, 3) ? BOSH_NO_STREAM : any_leg(m);
    char name[BOSH_STREAM_CHARS + 1];
    bosh_request_t req = { .asks = BOSH_ASKS_TERMINATE, .stream = box_name(&box, &m->s, n, name) };

    if (ask(m, &req) && n != BOSH_NO_STREAM && m->leg[n].has_begun) {
        m->leg[n].is_closing = true;
    }
}

static void send_again(model_t *m)
{
    uint64_t rid = m->s.rid - 1;
    bosh_holder_t holder = { box.child, ++box.tickets };
    bosh_request_t req = { .rid = rid, .holder = holder };

    if (rid > 1000 && m->answer[rid - 1000].is_known) {
        bosh_store_request(box.st, bosh_str(m->s.sid), REALM, true, &req, box.now, &box.buf,
                           &box.out);
        assert_int_equal(box.out.got, BOSH_GOT_ANSWER);
        if (box_record(&box, &m->s)->core.reason != BOSH_REASON_REPEATS) {
            judge_again(m, &m->answer[rid - 1000]);
        }
    }
}

/* ---- the connector -------------------------------------------------------------- */

static void take_task(model_t *m)
{
    unsigned n = any_leg(m);
    leg_model_t *leg = &m->leg[n];
    bosh_task_t task;

    if (bosh_store_connector_task(box.st, box_leg(&m->s, n), &task)) {
        assert_true(leg->has_begun && !leg->is_taken && !leg->is_gone);
        assert_string_equal(task.upstream.to, n ? "more.example" : "example.org");
        leg->is_taken = true;
        assert_int_equal(bosh_store_put_down(box.st, box_leg(&m->s, n), BOSH_STR(""), true, box.now,
                                             &box.knocks),
                         BOSH_PUT_OK);
    }
}

static void put(model_t *m)
{
    unsigned n = any_leg(m);
    leg_model_t *leg = &m->leg[n];
    bosh_str_t xml = some_words();
    bosh_put_t got;

    if (!leg->is_taken || leg->down.len + xml.len > PLENTY) {
        return;
    }
    got = bosh_store_put_down(box.st, box_leg(&m->s, n), xml, false, box.now, &box.knocks);
    if (got == BOSH_PUT_OK) {
        flow_add(&leg->down, xml);
    }
    assert_int_equal(got == BOSH_PUT_GONE, leg->is_gone);
}

static void lose(leg_model_t *leg)
{
    leg->is_gone = true;
    leg->wants_restart = false;
}

static void server_ends(model_t *m, unsigned n)
{
    bosh_store_up_ended(box.st, box_leg(&m->s, n), BOSH_COND_REMOTE_STREAM_ERROR,
                        BOSH_REASON_STREAM_CLOSED, BOSH_ABSENT, box.now, &box.knocks);
    lose(&m->leg[n]);
}

/* What must go back, said before it does: the answers that the client may not have. */
static void begin_returning(model_t *m, unsigned n, flow_t *want)
{
    const bosh_session_t *s = &box_record(&box, &m->s)->core;
    leg_model_t *leg = &m->leg[n];

    leg->is_returning = true;
    for (uint64_t rid = 1000; rid < m->s.rid && is_over(m); rid++) {
        answer_model_t *a = &m->answer[rid - 1000];
        const bosh_slot_t *slot = &s->slots[rid % BOSH_SLOTS];

        if (a->is_known && a->leg == n && a->len > 0 && slot->rid == rid
            && bosh_session_is_undelivered(s, (unsigned)(rid % BOSH_SLOTS))
            && !(slot->writing && slot->answer.kind == BOSH_ANSWER_TERMINATE)) {
            a->is_returned = true;
            flow_add(want, (bosh_str_t){ leg->down.p + a->at, a->len });
        }
    }
}

static void take_back(model_t *m, unsigned n)
{
    static char kept[PLENTY], buf[5000];
    flow_t want = { kept, 0, 0 };
    leg_model_t *leg = &m->leg[n];
    bool all = rng_one_in(&rng, 2);
    size_t got;

    if (!leg->is_taken || leg->is_gone || !leg->is_closing) {
        assert_true(leg->is_gone || leg->is_closing
                    || bosh_store_take_back(box.st, box_leg(&m->s, n), buf, sizeof(buf)) == 0);
        return;
    }
    if (!leg->is_returning) {
        begin_returning(m, n, &want);
        /* the kept answers come first, in one go here; the model goes on in the queue */
        while (want.n < want.len) {
            got = bosh_store_take_back(box.st, box_leg(&m->s, n), buf,
                                       want.len - want.n < sizeof(buf) ? want.len - want.n
                                                                       : sizeof(buf));
            assert_true(got > 0);
            flow_arrives(&want, buf, got, &total_back);
        }
    }
    do {
        got = bosh_store_take_back(box.st, box_leg(&m->s, n), buf,
                                   1 + rng_below(&rng, sizeof(buf) - 1));
        flow_arrives(&leg->down, buf, got, &total_back);
    } while (got > 0 && all);
    if (all) {
        assert_int_equal(leg->down.n, leg->down.len);
    }
}

static void take(model_t *m)
{
    static char buf[30000];
    unsigned n = any_leg(m);
    leg_model_t *leg = &m->leg[n];
    char from[1024];
    bosh_up_t up;

    if (!leg->is_taken && !leg->is_gone) {
        return;
    }
    bosh_store_take_up(box.st, box_leg(&m->s, n), buf, 1 + rng_below(&rng, sizeof(buf) - 1),
                       box.now, &up, &box.knocks);
    flow_arrives(&leg->up, buf, up.len, &total_up);
    assert_int_equal(up.ended, leg->is_gone);
    assert_int_equal(up.restart, leg->wants_restart && leg->up.n == leg->restart_at);
    if (up.restart) {
        leg->wants_restart = false;
        assert_int_equal(up.has_from, leg->from[0] != '\0');
        bosh_store_restart_from(box.st, box_leg(&m->s, n), from);
        assert_string_equal(from, leg->from);
    }
    if (up.close) {
        assert_true(leg->is_closing);
        assert_int_equal(leg->up.n, leg->up.len);
        take_back(m, n);
        server_ends(m, n);
    }
}

static void read_mail(void)
{
    bosh_ref_t refs[7];

    bosh_store_connector_mail(box.st, 0, refs, 1 + rng_below(&rng, 7));
}

static void connector_is_replaced(void)
{
    bosh_store_connector_join(box.st, 0, 4711, box.now, &box.knocks);
    for (unsigned i = 0; i < SESSIONS; i++) {
        for (unsigned n = 0; n < BOSH_MAX_STREAMS && models[i].exists; n++) {
            leg_model_t *leg = &models[i].leg[n];

            if (leg->is_taken) {
                lose(leg);
            }
        }
    }
}

/* ---- all together ------------------------------------------------------------------ */

static void wind_down(model_t *m)
{
    bosh_greeting_t g;

    box.now += BOSH_SEC(31);
    for (unsigned n = 0; n < m->legs; n++) {
        if (!m->leg[n].is_gone) {
            take_back(m, n);
            server_ends(m, n);
        }
    }
    while (bosh_store_connector_mail(box.st, 0, (bosh_ref_t[64]){ { 0 } }, 64) == 64) {
    }
    box.now += BOSH_SEC(31);
    box_tick(&box, 0);
    for (unsigned i = 0; i < SESSIONS; i++) { /* others may have been forgotten too */
        models[i].exists = models[i].exists && bosh_store_greeting(box.st, models[i].s.ref, &g);
    }
    assert_false(m->exists);
}

static void step(void)
{
    static void (*const to_one[])(model_t *) = {
        send_payload, send_payload, send_nothing, send_restart, add_stream, send_again, take_task,
        take_task,    put,          put,          put,          take,       take,       take
    };
    model_t *m = &models[rng_below(&rng, SESSIONS)];
    uint32_t what = rng_below(&rng, 1000);
    unsigned n;

    if (!m->exists) {
        create(m);
        return;
    }
    n = any_leg(m);
    if (what < 60) {
        read_mail();
    }
    else if (what < 62) {
        connector_is_replaced();
    }
    else if (what < 66) {
        terminate(m);
    }
    else if (what < 70 && m->leg[n].has_begun) {
        server_ends(m, n);
    }
    else if (what < 100) {
        take_back(m, n);
    }
    else if (what < 103 || m->s.rid > 1000 + RIDS - 10 || m->leg[n].up.len > PLENTY - 100000
             || m->leg[n].down.len > PLENTY - 100000) {
        bosh_store_end(box.st, m->s.ref, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN, box.now,
                       &box.knocks);
    }
    else {
        to_one[rng_below(&rng, sizeof(to_one) / sizeof(to_one[0]))](m);
    }
    close_all(m);
    if (is_over(m) && rng_one_in(&rng, 10)) {
        wind_down(m);
    }
}

static void every_stanza_arrives_or_goes_back(void **state)
{
    uint64_t steps = env_number("BOSH_STEPS", 30000);
    unsigned blocks_free;

    (void)state;
    rng = rng_seeded("streams");
    box_open(&box, 3 << 20, SESSIONS + 1, 2, 1);
    blocks_free = box_blocks_free(&box);
    box_bytes(words, sizeof(words), 1);
    for (unsigned i = 0; i < SESSIONS; i++) {
        for (unsigned n = 0; n < BOSH_MAX_STREAMS; n++) {
            models[i].leg[n].up.p = malloc(PLENTY);
            models[i].leg[n].down.p = malloc(PLENTY);
        }
    }
    for (uint64_t n = 0; n < steps; n++) {
        step();
        box_check(&box);
    }
    print_message("# %zu bytes went up, %zu came down, %zu went back; %u sessions, %u streams "
                  "more\n",
                  total_up, total_down, total_back, created, streams);
    assert_true(total_up > steps * 10 && total_down > steps * 10 && total_back > steps);
    for (unsigned i = 0; i < SESSIONS; i++) {
        if (models[i].exists) {
            bosh_store_end(box.st, models[i].s.ref, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN,
                           box.now, &box.knocks);
            close_all(&models[i]);
            wind_down(&models[i]);
        }
        for (unsigned n = 0; n < BOSH_MAX_STREAMS; n++) {
            free(models[i].leg[n].up.p);
            free(models[i].leg[n].down.p);
        }
    }
    assert_int_equal(box_blocks_free(&box), blocks_free);
    box_close(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_stanza_arrives_or_goes_back),
    };

    return cmocka_run_group_tests_name("random_streams", tests, NULL, NULL);
}
