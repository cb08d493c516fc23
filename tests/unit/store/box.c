/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Plays the front and the connector, and verifies the segment after each call. */

#include "box.h"

#include <stdlib.h>
#include <unistd.h>

#include <apr_general.h>

#include "../core/unit.h"

void box_open(box_t *b, size_t bytes, unsigned sessions, unsigned children, unsigned connectors)
{
    bosh_store_limits_t limits = {
        .bytes = bytes, .sessions = sessions, .children = children, .connectors = connectors
    };

    *b = (box_t){ .now = bosh_now() };
    apr_initialize();
    assert_int_equal(apr_pool_create(&b->pool, NULL), APR_SUCCESS);
    assert_int_equal(apr_global_mutex_create(&b->mutex, NULL, APR_LOCK_PROC_PTHREAD, b->pool),
                     APR_SUCCESS);
    assert_int_equal(bosh_store_create(&b->st, &limits, b->mutex, b->pool), APR_SUCCESS);
    bosh_buf_init(&b->buf, 0);
    assert_non_null(bosh_buf_room(&b->buf, 4 * 1024 * 1024));
    b->child = bosh_store_child_join(b->st, getpid());
    assert_int_not_equal(b->child, BOSH_NO_CHILD);
    for (unsigned i = 0; i < connectors; i++) {
        bosh_store_connector_join(b->st, i, getpid(), b->now, &b->knocks);
    }
    box_check(b);
}

void box_close(box_t *b)
{
    box_check(b);
    bosh_buf_free(&b->buf);
    apr_pool_destroy(b->pool);
    apr_terminate();
}

void box_check(box_t *b)
{
    const char *wrong = bosh_store_check(b->st);

    if (wrong) {
        fail_msg("%s", wrong);
    }
}

unsigned box_blocks_free(box_t *b)
{
    bosh_store_status_t status;

    bosh_store_status(b->st, b->now, &status);
    return status.blocks_free;
}

bosh_birth_t box_birth(uint64_t rid)
{
    return (bosh_birth_t){
        .terms = { .rid = rid,
                   .wait = 60,
                   .hold = 1,
                   .requests = 2,
                   .inactivity = 60,
                   .polling = 5,
                   .maxpause = 120,
                   .connect_timeout = 20,
                   .ver_major = 1,
                   .ver_minor = 11 },
        .upstream = { .to = "example.org", .host = "xmpp.example.org", .port = 5222, .lang = "en" },
        .realm = REALM,
        .client = { .key = 77 }, /* counted, not limited */
        .secure = true,
    };
}

void box_connectors_live(box_t *b)
{
    for (unsigned i = 0; i < b->st->h->max_connectors; i++) {
        b->st->h->connectors[i].seen = b->now;
    }
}

bosh_got_t box_create(box_t *b, sess_t *s)
{
    bosh_birth_t birth = box_birth(1000);
    bosh_request_t req = { .rid = 1000, .holder = { b->child, ++b->tickets } };

    b->holder = req.holder;
    box_connectors_live(b);
    bosh_store_create_session(b->st, &birth, &req, b->now, s->sid, &b->buf, &b->out);
    s->ref = b->out.ref;
    s->serial = b->out.serial;
    s->rid = 1001;
    box_check(b);
    return b->out.got;
}

void box_session(box_t *b, sess_t *s)
{
    bosh_holder_t creator;
    bosh_task_t task;
    bosh_ref_t refs[64];

    assert_int_equal(box_create(b, s), BOSH_GOT_HOLD);
    creator = b->holder;
    while (bosh_store_connector_mail(b->st, 0, refs, 64) == 64) {
    }
    assert_true(bosh_store_connector_task(b->st, s->ref, &task));
    assert_int_equal(bosh_store_put_down(b->st, s->ref, BOSH_STR("<f/>"), true, b->now, &b->knocks),
                     BOSH_PUT_OK);
    assert_int_equal(box_due(b, s, 1000, creator), BOSH_GOT_ANSWER);
    box_written(b, s, 1000, creator);
    b->now += 100;
}

void box_streams_session(box_t *b, sess_t *s, unsigned streams)
{
    bosh_birth_t birth = box_birth(1000);
    bosh_request_t req = { .rid = 1000, .holder = { b->child, ++b->tickets } };
    bosh_task_t task;
    bosh_ref_t refs[64];

    birth.terms.streams = (uint8_t)streams;
    box_connectors_live(b);
    bosh_store_create_session(b->st, &birth, &req, b->now, s->sid, &b->buf, &b->out);
    assert_int_equal(b->out.got, BOSH_GOT_HOLD);
    s->ref = b->out.ref;
    s->serial = b->out.serial;
    s->rid = 1001;
    while (bosh_store_connector_mail(b->st, box_record(b, s)->connector, refs, 64) == 64) {
    }
    assert_true(bosh_store_connector_task(b->st, s->ref, &task));
    assert_int_equal(bosh_store_put_down(b->st, s->ref, BOSH_STR("<f/>"), true, b->now, &b->knocks),
                     BOSH_PUT_OK);
    assert_int_equal(box_due(b, s, 1000, req.holder), BOSH_GOT_ANSWER);
    box_written(b, s, 1000, req.holder);
    b->now += 100;
}

record_t *box_record(box_t *b, const sess_t *s)
{
    return &b->st->sessions[s->ref.index];
}

bosh_ref_t box_leg(const sess_t *s, unsigned n)
{
    bosh_ref_t ref = s->ref;

    ref.stream = n;
    return ref;
}

bosh_str_t box_name(box_t *b, const sess_t *s, unsigned n, char text[BOSH_STREAM_CHARS + 1])
{
    if (n == BOSH_NO_STREAM) {
        return BOSH_ABSENT;
    }
    leg_name(box_record(b, s), n, text);
    return bosh_str(text);
}

/* Sends it, and lets time pass after its answer. */
static bosh_got_t deliver(box_t *b, sess_t *s, bosh_request_t *req)
{
    req->rid = s->rid;
    req->holder = b->holder = (bosh_holder_t){ b->child, ++b->tickets };
    bosh_store_request(b->st, bosh_str(s->sid), REALM, true, req, b->now, &b->buf, &b->out);
    box_check(b);
    if (b->out.got == BOSH_GOT_ANSWER) {
        s->rid++;
        bosh_store_written(b->st, s->ref, req->rid, req->holder, b->now, &b->knocks);
        b->now += 100;
        box_check(b);
    }
    return b->out.got;
}

void box_add_leg(box_t *b, sess_t *s, unsigned n, const char *to)
{
    bosh_upstream_t upstream = { .port = 5222 };
    bosh_request_t req = { .asks = BOSH_ASKS_ADD, .add = &upstream };
    char text[BOSH_STREAM_CHARS + 1];

    assert_true(bosh_str_copy(upstream.to, sizeof(upstream.to), bosh_str(to)));
    assert_int_equal(deliver(b, s, &req), BOSH_GOT_ANSWER);
    assert_int_equal(b->out.answer.kind, BOSH_ANSWER_STREAM);
    assert_int_equal(b->out.answer.stream, n);
    assert_int_equal(b->out.ref.stream, n);
    box_name(b, s, n, text);
    assert_string_equal(b->out.stream, text);
}

void box_open_leg(box_t *b, sess_t *s, unsigned n)
{
    bosh_task_t task;

    box_add_leg(b, s, n, "more.example");
    assert_true(bosh_store_connector_task(b->st, box_leg(s, n), &task));
    assert_int_equal(
        bosh_store_put_down(b->st, box_leg(s, n), BOSH_STR(""), true, b->now, &b->knocks),
        BOSH_PUT_OK);
    assert_int_equal(box_record(b, s)->core.leg[n].state, BOSH_LEG_OPEN);
    box_check(b);
}

bosh_got_t box_send(box_t *b, sess_t *s, unsigned n, uint8_t asks, bosh_str_t payload)
{
    char text[BOSH_STREAM_CHARS + 1];
    bosh_request_t req = { .asks = asks | BOSH_ASKS_URGENT,
                           .stream = box_name(b, s, n, text),
                           .payload = payload };

    return deliver(b, s, &req);
}

bosh_put_t box_put_leg(box_t *b, sess_t *s, unsigned n, bosh_str_t xml)
{
    bosh_put_t put = bosh_store_put_down(b->st, box_leg(s, n), xml, false, b->now, &b->knocks);

    box_check(b);
    return put;
}

void box_fill(box_t *b, sess_t *s)
{
    static const char block[BLOCK_BYTES];

    while (b->st->h->blocks_free > 0) {
        chain_append_locked(b->st, &box_record(b, s)->leg[0].up, s->ref.index, block,
                            sizeof(block));
    }
    box_check(b);
}

void box_free_block(box_t *b, sess_t *s)
{
    char block[BLOCK_BYTES];

    chain_take_locked(b->st, &box_record(b, s)->leg[0].up, block, sizeof(block));
}

bosh_got_t box_request(box_t *b, sess_t *s, uint64_t rid, uint8_t asks, bosh_str_t payload)
{
    bosh_request_t req = {
        .rid = rid,
        .asks = asks,
        .holder = { b->child, ++b->tickets },
        .payload = payload,
        .is_there = true,
    };

    b->holder = req.holder;
    bosh_store_request(b->st, bosh_str(s->sid), REALM, true, &req, b->now, &b->buf, &b->out);
    box_check(b);
    return b->out.got;
}

bosh_got_t box_due(box_t *b, sess_t *s, uint64_t rid, bosh_holder_t holder)
{
    bosh_store_due(b->st, s->ref, rid, holder, 0, b->now, &b->buf, &b->out);
    box_check(b);
    return b->out.got;
}

void box_written(box_t *b, sess_t *s, uint64_t rid, bosh_holder_t holder)
{
    bosh_store_written(b->st, s->ref, rid, holder, b->now, &b->knocks);
    box_check(b);
}

void box_gone(box_t *b, sess_t *s, uint64_t rid, bosh_holder_t holder)
{
    bosh_store_gone(b->st, s->ref, rid, holder, b->now, &b->knocks);
    box_check(b);
}

bosh_put_t box_put(box_t *b, sess_t *s, bosh_str_t xml)
{
    bosh_put_t put = bosh_store_put_down(b->st, s->ref, xml, false, b->now, &b->knocks);

    box_check(b);
    return put;
}

bosh_up_t box_take(box_t *b, sess_t *s, char *buf, size_t size, size_t *len)
{
    bosh_up_t up;

    *len = 0;
    do {
        bosh_store_take_up(b->st, s->ref, buf + *len, size - *len, b->now, &up, &b->knocks);
        *len += up.len;
        box_check(b);
    } while (up.more && !up.restart && *len < size);
    return up;
}

void box_tick(box_t *b, uint32_t connector)
{
    uint32_t cursor = 0;

    while (!bosh_store_tick(b->st, connector, &cursor, b->now, &b->knocks)) {
    }
    box_check(b);
}

void box_up_ended(box_t *b, sess_t *s)
{
    bosh_store_up_ended(b->st, s->ref, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_CLOSED,
                        BOSH_ABSENT, b->now, &b->knocks);
    box_check(b);
}

bool box_is_mailed(box_t *b, uint32_t connector, sess_t *s)
{
    bosh_ref_t refs[3];
    unsigned n, times = 0;

    do {
        n = bosh_store_connector_mail(b->st, connector, refs, 3);
        for (unsigned i = 0; i < n; i++) {
            times += bosh_ref_same(refs[i], s->ref);
        }
    } while (n == 3);
    assert_true(times <= 1);
    box_check(b);
    return times == 1;
}

void box_forget(box_t *b, sess_t *s)
{
    bosh_store_end(b->st, s->ref, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN, b->now,
                   &b->knocks);
    for (unsigned n = 0; n < BOSH_MAX_STREAMS; n++) {
        sess_t leg = { .ref = box_leg(s, n) };

        box_up_ended(b, &leg);
    }
    for (unsigned i = 0; i < 32; i++) {
        bosh_ref_t refs[8];

        while (bosh_store_connector_mail(b->st, i, refs, 8) == 8) {
        }
    }
    b->now += BOSH_SEC(31);
    for (unsigned i = 0; i < 32; i++) {
        box_tick(b, i);
    }
}

bosh_str_t box_bytes(char *buf, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++) {
        buf[i] = (char)('!' + (i * 7 + seed * 31 + i / 90) % 90);
    }
    return (bosh_str_t){ buf, n };
}
