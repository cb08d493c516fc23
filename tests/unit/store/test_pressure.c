/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Full queues and a full segment: back-pressure, never loss; and all is given back. */

#include <string.h>

#include "box.h"

#include "../core/unit.h"
#include "store_int.h"

static box_t box;
static char big[UP_LIMIT + 2 * 1024 * 1024], up[UP_LIMIT + 1024 * 1024];

static void open_box(size_t bytes)
{
    box_open(&box, bytes, 50, 2, 1);
}

static int end(void **state)
{
    (void)state;
    box_close(&box);
    return 0;
}

static void full_up_queue_takes_nothing_and_consumes_no_rid(void **state)
{
    bosh_str_t half = box_bytes(big, UP_LIMIT / 2, 1);
    sess_t s;
    size_t n;

    (void)state;
    open_box(16 << 20);
    box_session(&box, &s);
    assert_int_not_equal(box_request(&box, &s, 1001, BOSH_ASKS_URGENT, half), BOSH_GOT_NO_ROOM);
    box_written(&box, &s, 1001, box.holder);
    box.now += 100;
    assert_int_not_equal(box_request(&box, &s, 1002, BOSH_ASKS_URGENT, half), BOSH_GOT_NO_ROOM);
    box_written(&box, &s, 1002, box.holder);
    assert_int_equal(box_request(&box, &s, 1003, 0, BOSH_STR("x")), BOSH_GOT_NO_ROOM);
    assert_int_equal(box_request(&box, &s, 1003, 0, BOSH_STR("x")), BOSH_GOT_NO_ROOM);
    /* what needs no room is served */
    assert_int_equal(box_request(&box, &s, 1002, 0, half), BOSH_GOT_ANSWER);
    box_take(&box, &s, up, sizeof(up), &n);
    assert_int_equal(n, UP_LIMIT);
    assert_int_equal(box_request(&box, &s, 1003, 0, BOSH_STR("x")), BOSH_GOT_HOLD);
    box_take(&box, &s, up, sizeof(up), &n);
    assert_int_equal(n, 1);
}

static void full_up_queue_does_not_hide_the_end(void **state)
{
    bosh_str_t full = box_bytes(big, UP_LIMIT, 1);
    sess_t s;

    (void)state;
    open_box(16 << 20);
    box_session(&box, &s);
    box_request(&box, &s, 1001, BOSH_ASKS_URGENT, full);
    box_written(&box, &s, 1001, box.holder);
    bosh_store_end(box.st, s.ref, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN, box.now,
                   &box.knocks);
    assert_int_equal(box_request(&box, &s, 1002, 0, BOSH_STR("x")), BOSH_GOT_ANSWER);
    assert_int_equal(box.out.answer.condition, BOSH_COND_SYSTEM_SHUTDOWN);
}

static void full_down_queue_refuses_and_calls_when_the_client_took_it(void **state)
{
    bosh_str_t a = box_bytes(big, DOWN_LIMIT, 1);
    bosh_up_t u;
    sess_t s;
    size_t n;

    (void)state;
    open_box(16 << 20);
    box_session(&box, &s);
    assert_int_equal(box_put(&box, &s, (bosh_str_t){ a.p, a.len - 3 }), BOSH_PUT_OK);
    assert_int_equal(box_put(&box, &s, BOSH_STR("<a/>")), BOSH_PUT_NO_ROOM);
    u = box_take(&box, &s, up, sizeof(up), &n);
    assert_false(u.has_room);
    assert_false(box_is_mailed(&box, 0, &s));
    memset(&box.knocks, 0, sizeof(box.knocks));
    assert_int_equal(box_request(&box, &s, 1001, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_int_equal(box.out.payload_len, a.len - 3);
    assert_true(box.out.knocks.connectors & 1);
    assert_true(box_is_mailed(&box, 0, &s));
    u = box_take(&box, &s, up, sizeof(up), &n);
    assert_true(u.has_room);
    assert_int_equal(box_put(&box, &s, BOSH_STR("<a/>")), BOSH_PUT_OK);
}

static void exactly_the_limit_fits(void **state)
{
    sess_t s;

    (void)state;
    open_box(16 << 20);
    box_session(&box, &s);
    assert_int_equal(box_put(&box, &s, box_bytes(big, DOWN_LIMIT, 1)), BOSH_PUT_OK);
    assert_int_equal(box_put(&box, &s, BOSH_STR("x")), BOSH_PUT_NO_ROOM);
    assert_int_equal(box_request(&box, &s, 1002, 0, box_bytes(big, UP_LIMIT + 1, 1)),
                     BOSH_GOT_NO_ROOM);
    assert_int_equal(box_request(&box, &s, 1002, 0, box_bytes(big, UP_LIMIT, 1)), BOSH_GOT_HOLD);
}

/* The segment is full, not the session: nothing of its own will ever make room. */
static void full_segment_calls_the_connector_when_others_gave_room_back(void **state)
{
    sess_t poor, rich;
    unsigned free_blocks;
    size_t n;

    (void)state;
    open_box(1 << 20);
    box_session(&box, &rich);
    box_session(&box, &poor);
    free_blocks = box_blocks_free(&box);
    for (size_t step = 100000; step > 0; step /= 10) {
        while (box_put(&box, &rich, box_bytes(big, step, 1)) == BOSH_PUT_OK) {
        }
    }
    assert_int_equal(box_blocks_free(&box), 0);
    assert_int_equal(box_put(&box, &poor, BOSH_STR("<m/>")), BOSH_PUT_NO_ROOM);
    assert_int_equal(box_put(&box, &poor, BOSH_STR("<m/>")), BOSH_PUT_NO_ROOM);
    box_is_mailed(&box, 0, &poor);
    box_tick(&box, 0);
    assert_false(box_is_mailed(&box, 0, &poor));
    box_forget(&box, &rich);
    box.now += 1000;
    box_tick(&box, 0);
    assert_true(box_is_mailed(&box, 0, &poor));
    assert_true(box_take(&box, &poor, up, sizeof(up), &n).has_room);
    assert_int_equal(box_put(&box, &poor, BOSH_STR("<m/>")), BOSH_PUT_OK);
    assert_true(box_blocks_free(&box) + 10 > free_blocks);
}

/* Its own kept answers fill the segment: its client has them, and the way to say so is the next
 * request. Waiting would only be for others, who wait as well. */
static void full_segment_of_kept_answers_makes_nobody_wait(void **state)
{
    bosh_holder_t holder;
    uint64_t rid = 1001;
    sess_t rich;

    (void)state;
    open_box(1 << 20);
    box_session(&box, &rich);
    for (size_t step = 100000; step > 0; step /= 10) {
        while (box_put(&box, &rich, box_bytes(big, step, 1)) == BOSH_PUT_OK) {
        }
    }
    assert_int_equal(box_request(&box, &rich, rid, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    box_written(&box, &rich, rid++, box.holder);
    box.now += 100;
    for (unsigned answers = 0; box_put(&box, &rich, BOSH_STR("<m/>")) == BOSH_PUT_NO_ROOM;
         answers++) {
        assert_true(answers < 3);
        assert_int_equal(box_request(&box, &rich, rid, 0, BOSH_ABSENT), BOSH_GOT_HOLD);
        holder = box.holder;
        box.now += 250;
        box_tick(&box, 0);
        assert_int_equal(box_due(&box, &rich, rid, holder), BOSH_GOT_ANSWER);
        assert_int_equal(box.out.answer.kind, BOSH_ANSWER_DATA);
        assert_int_equal(box.out.payload_len, 0);
        box_written(&box, &rich, rid++, holder);
        box.now += 100;
    }
    /* With room for all, nobody is hurried. */
    assert_int_equal(box_request(&box, &rich, rid, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    box_written(&box, &rich, rid++, box.holder);
    box.now += 100;
    assert_int_equal(box_request(&box, &rich, rid, 0, BOSH_ABSENT), BOSH_GOT_HOLD);
    holder = box.holder;
    box.now += 250;
    box_tick(&box, 0);
    assert_int_equal(box_due(&box, &rich, rid, holder), BOSH_GOT_HOLD);
}

static void full_segment_refuses_new_sessions_and_new_payloads(void **state)
{
    sess_t s, other;

    (void)state;
    open_box(1 << 20);
    box_session(&box, &s);
    box_session(&box, &other);
    for (size_t step = 100000; step > 0; step /= 10) {
        while (box_put(&box, &s, box_bytes(big, step, 1)) == BOSH_PUT_OK) {
        }
    }
    assert_int_equal(box_request(&box, &other, 1001, 0, BOSH_STR("x")), BOSH_GOT_NO_ROOM);
    assert_int_equal(box_request(&box, &other, 1001, 0, BOSH_ABSENT), BOSH_GOT_HOLD);
    assert_int_equal(box_create(&box, &other), BOSH_GOT_FULL);
    assert_string_equal(other.sid, "");
    /* its client is served, and frees the room */
    assert_int_equal(box_request(&box, &s, 1001, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
}

static void all_is_given_back(void **state)
{
    static sess_t s[50];
    unsigned free_blocks, n;
    bosh_store_status_t status;

    (void)state;
    open_box(4 << 20);
    free_blocks = box_blocks_free(&box);
    for (unsigned round = 0; round < 3; round++) {
        for (n = 0; n < 50; n++) {
            if (box_create(&box, &s[n]) != BOSH_GOT_HOLD) {
                break;
            }
            box_gone(&box, &s[n], 1000, box.holder);
            box_request(&box, &s[n], 1001, 0, box_bytes(big, n * 700, n));
            box_gone(&box, &s[n], 1001, box.holder);
            box_put(&box, &s[n], box_bytes(big, n * 1100, n));
        }
        assert_int_equal(n, 50);
        assert_int_equal(box_create(&box, &(sess_t){ .rid = 0 }), BOSH_GOT_FULL);
        for (unsigned i = 0; i < n; i++) {
            box_forget(&box, &s[i]);
        }
        bosh_store_status(box.st, box.now, &status);
        assert_int_equal(status.sessions, 0);
        assert_int_equal(status.blocks_free, free_blocks);
        assert_int_equal(status.created, (round + 1) * 50);
    }
}

static void freed_session_leaves_no_words_behind(void **state)
{
    static const char canary[] = "nobody-else-may-read-this";
    unsigned char sid[BOSH_SID_BYTES];
    sess_t s;

    (void)state;
    open_box(4 << 20);
    box_session(&box, &s);
    assert_true(sid_decode(bosh_str(s.sid), sid));
    assert_non_null(memmem(box.st->h, 4 << 20, sid, sizeof(sid)));
    box_request(&box, &s, 1001, 0, bosh_str(canary));
    box_gone(&box, &s, 1001, box.holder);
    box_request(&box, &s, 1003, 0, bosh_str(canary));
    box_gone(&box, &s, 1003, box.holder);
    box_put(&box, &s, bosh_str(canary));
    box_request(&box, &s, 1002, 0, BOSH_ABSENT);
    box_written(&box, &s, 1002, box.holder);
    box_put(&box, &s, bosh_str(canary));
    assert_non_null(memmem(box.st->h, 4 << 20, canary, sizeof(canary) - 1));
    box_forget(&box, &s);
    assert_null(memmem(box.st->h, 4 << 20, canary, sizeof(canary) - 1));
    assert_null(memmem(box.st->h, 4 << 20, "xmpp.example.org", 16));
    assert_null(memmem(box.st->h, 4 << 20, sid, sizeof(sid)));
}

/* A record that is used again is another session: nothing old hits it. */
static void stale_names_never_hit_the_next_session(void **state)
{
    sess_t old, young;
    bosh_up_t u;
    char buf[8];
    size_t n;

    (void)state;
    open_box(4 << 20);
    for (unsigned i = 0; i < 60; i++) {
        box_session(&box, &old);
        box_forget(&box, &old);
        box_session(&box, &young);
        assert_int_equal(old.ref.index, young.ref.index);
        assert_int_not_equal(old.ref.generation, young.ref.generation);
        assert_int_equal(box_request(&box, &old, 1001, 0, BOSH_STR("x")), BOSH_GOT_UNKNOWN);
        assert_int_equal(box_put(&box, &old, BOSH_STR("<x/>")), BOSH_PUT_GONE);
        u = box_take(&box, &old, buf, sizeof(buf), &n);
        assert_true(u.ended);
        box_up_ended(&box, &old);
        assert_int_equal(box_due(&box, &old, 1000, box.holder), BOSH_GOT_UNKNOWN);
        assert_int_equal(box_request(&box, &young, 1001, 0, BOSH_ABSENT), BOSH_GOT_HOLD);
        box_gone(&box, &young, 1001, box.holder);
        box_forget(&box, &young);
    }
}

static void open_full(sess_t *s, unsigned n)
{
    sess_t fresh;

    open_box(4 << 20);
    for (unsigned i = 0; i < n; i++) {
        box_session(&box, &s[i]);
    }
    assert_int_equal(box_create(&box, &fresh), BOSH_GOT_FULL);
}

static bosh_holder_t ask_for_the_end(sess_t *s)
{
    assert_int_equal(box_request(&box, s, 1001, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_TERMINATE);
    return box.holder;
}

static void assert_place_is_taken_over(const sess_t *s)
{
    sess_t fresh;

    assert_int_equal(box_create(&box, &fresh), BOSH_GOT_HOLD);
    assert_int_equal(fresh.ref.index, s->ref.index);
}

static void ended_sessions_make_room_for_new_ones_oldest_first(void **state)
{
    static sess_t s[50];
    bosh_holder_t told[2];
    sess_t fresh;

    (void)state;
    open_full(s, 50);
    for (unsigned n = 20; n > 18; n--) { /* 20 ends before 19 */
        box.now += 10;
        box_up_ended(&box, &s[n]);
    }
    box_is_mailed(&box, 0, &s[0]);
    for (unsigned n = 0; n < 2; n++) {
        told[n] = ask_for_the_end(&s[19 + n]);
    }
    /* They are being told: their places are not taken from under them. */
    assert_int_equal(box_create(&box, &fresh), BOSH_GOT_FULL);
    for (unsigned n = 0; n < 2; n++) {
        box_written(&box, &s[19 + n], 1001, told[n]);
    }
    assert_place_is_taken_over(&s[20]);
    assert_place_is_taken_over(&s[19]);
    assert_int_equal(box_create(&box, &fresh), BOSH_GOT_FULL);
}

static void who_was_silent_too_long_makes_room_at_once(void **state)
{
    static sess_t s[50];

    (void)state;
    open_full(s, 50);
    bosh_store_end(box.st, s[7].ref, BOSH_COND_NONE, BOSH_REASON_INACTIVITY, box.now, &box.knocks);
    box_up_ended(&box, &s[7]);
    box_is_mailed(&box, 0, &s[0]);
    assert_place_is_taken_over(&s[7]);
}

/* Somebody was told of it, be it in an answer that is kept nowhere. */
static void who_broke_a_rule_makes_room_at_once(void **state)
{
    static sess_t s[50];

    (void)state;
    open_full(s, 50);
    box_request(&box, &s[7], 2000, 0, BOSH_ABSENT);
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_TERMINATE);
    box_up_ended(&box, &s[7]);
    box_is_mailed(&box, 0, &s[0]);
    assert_place_is_taken_over(&s[7]);
}

static void who_left_before_there_was_a_sid_makes_room_at_once(void **state)
{
    static sess_t s[50];
    bosh_task_t task;

    (void)state;
    open_box(4 << 20);
    for (unsigned i = 0; i < 49; i++) {
        box_session(&box, &s[i]);
    }
    assert_int_equal(box_create(&box, &s[49]), BOSH_GOT_HOLD);
    assert_true(bosh_store_connector_task(box.st, s[49].ref, &task));
    box_gone(&box, &s[49], 1000, box.holder);
    box_up_ended(&box, &s[49]);
    box_is_mailed(&box, 0, &s[0]);
    assert_place_is_taken_over(&s[49]);
}

static void who_has_not_heard_of_the_end_keeps_its_place_for_a_while(void **state)
{
    static sess_t s[50];
    sess_t fresh;
    bosh_msec_t ended;

    (void)state;
    open_full(s, 50);
    box_put(&box, &s[7], BOSH_STR("<last/>"));
    box_up_ended(&box, &s[7]);
    box_up_ended(&box, &s[8]);
    ended = box.now;
    box_is_mailed(&box, 0, &s[0]);
    box.now = ended + BOSH_AWAITED_MS - 1;
    assert_int_equal(box_create(&box, &fresh), BOSH_GOT_FULL);
    ask_for_the_end(&s[7]);
    assert_int_equal(box.buf.len, strlen("<last/>"));
    box_written(&box, &s[7], 1001, box.holder);
    assert_place_is_taken_over(&s[7]);
    assert_int_equal(box_create(&box, &fresh), BOSH_GOT_FULL);
    box.now = ended + BOSH_AWAITED_MS;
    assert_place_is_taken_over(&s[8]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(full_up_queue_takes_nothing_and_consumes_no_rid, end),
        cmocka_unit_test_teardown(full_up_queue_does_not_hide_the_end, end),
        cmocka_unit_test_teardown(full_down_queue_refuses_and_calls_when_the_client_took_it, end),
        cmocka_unit_test_teardown(exactly_the_limit_fits, end),
        cmocka_unit_test_teardown(full_segment_calls_the_connector_when_others_gave_room_back, end),
        cmocka_unit_test_teardown(full_segment_of_kept_answers_makes_nobody_wait, end),
        cmocka_unit_test_teardown(full_segment_refuses_new_sessions_and_new_payloads, end),
        cmocka_unit_test_teardown(all_is_given_back, end),
        cmocka_unit_test_teardown(freed_session_leaves_no_words_behind, end),
        cmocka_unit_test_teardown(stale_names_never_hit_the_next_session, end),
        cmocka_unit_test_teardown(ended_sessions_make_room_for_new_ones_oldest_first, end),
        cmocka_unit_test_teardown(who_was_silent_too_long_makes_room_at_once, end),
        cmocka_unit_test_teardown(who_broke_a_rule_makes_room_at_once, end),
        cmocka_unit_test_teardown(who_left_before_there_was_a_sid_makes_room_at_once, end),
        cmocka_unit_test_teardown(who_has_not_heard_of_the_end_keeps_its_place_for_a_while, end),
    };

    return cmocka_run_group_tests_name("pressure", tests, NULL, NULL);
}
