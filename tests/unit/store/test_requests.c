/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* What the front is told, and that bytes are what they were. */

#include <string.h>

#include "box.h"

#include "../core/unit.h"

static box_t box;
static sess_t s;
static char big[2 * 1024 * 1024], up[2 * 1024 * 1024];

static int begin(void **state)
{
    (void)state;
    box_open(&box, 16 << 20, 20, 4, 2);
    box_session(&box, &s);
    return 0;
}

static int end(void **state)
{
    (void)state;
    box_close(&box);
    return 0;
}

static void assert_payload(const char *want)
{
    assert_int_equal(box.out.payload_len, strlen(want));
    assert_int_equal(box.buf.len, strlen(want));
    assert_memory_equal(box.buf.p, want, box.buf.len);
}

static void creation_tells_sid_serial_and_terms(void **state)
{
    sess_t t;

    (void)state;
    assert_int_equal(box_create(&box, &t), BOSH_GOT_HOLD);
    assert_int_equal(strlen(t.sid), BOSH_SID_CHARS);
    assert_true(t.serial > s.serial);
    assert_int_equal(box.out.terms.wait, 60);
    assert_true(box.out.due == box.now + BOSH_SEC(60));
    assert_int_not_equal(box.out.knocks.connectors, 0);
}

static void features_come_with_the_creation_answer(void **state)
{
    (void)state;
    assert_int_equal(box_request(&box, &s, 1000, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_CREATED);
    assert_false(box.out.is_kept); /* a repetition: nobody waits for it to be written */
    assert_payload("<f/>");
}

static void payload_goes_up_as_it_came(void **state)
{
    bosh_str_t sent = box_bytes(big, 100000, 7);
    size_t n;

    (void)state;
    assert_int_equal(box_request(&box, &s, 1001, 0, sent), BOSH_GOT_HOLD);
    assert_true(box_is_mailed(&box, 0, &s));
    box_take(&box, &s, up, sizeof(up), &n);
    assert_int_equal(n, sent.len);
    assert_memory_equal(up, sent.p, n);
}

static void payloads_go_up_in_rid_order(void **state)
{
    size_t n;

    (void)state;
    box_request(&box, &s, 1002, 0, BOSH_STR("second"));
    box_take(&box, &s, up, sizeof(up), &n);
    assert_int_equal(n, 0);
    box_request(&box, &s, 1001, 0, BOSH_STR("first "));
    box_request(&box, &s, 1001, 0, BOSH_STR("first "));
    box_take(&box, &s, up, sizeof(up), &n);
    assert_int_equal(n, 12);
    assert_memory_equal(up, "first second", n);
}

static void taken_in_pieces_it_is_the_same(void **state)
{
    bosh_str_t sent = box_bytes(big, 3000, 3);
    bosh_up_t u;
    size_t n = 0;

    (void)state;
    box_request(&box, &s, 1001, 0, sent);
    do {
        bosh_store_take_up(box.st, s.ref, up + n, 7, box.now, &u, &box.knocks);
        assert_true(u.len <= 7);
        n += u.len;
        assert_int_equal(u.more, n < sent.len);
        assert_int_equal(u.waiting, sent.len - n);
    } while (u.more);
    assert_int_equal(n, sent.len);
    assert_memory_equal(up, sent.p, n);
}

static void restart_stands_between_two_bytes(void **state)
{
    bosh_up_t u;
    size_t n;

    (void)state;
    box_request(&box, &s, 1001, BOSH_ASKS_URGENT, BOSH_STR("before"));
    box_written(&box, &s, 1001, box.holder);
    box.now += 100;
    box_request(&box, &s, 1003, 0, BOSH_STR("after"));
    box_request(&box, &s, 1002, BOSH_ASKS_RESTART, BOSH_STR("of no interest"));
    u = box_take(&box, &s, up, sizeof(up), &n);
    assert_true(u.restart && u.more && !u.close);
    assert_int_equal(n, 6);
    assert_memory_equal(up, "before", n);
    u = box_take(&box, &s, up, sizeof(up), &n);
    assert_false(u.restart);
    assert_int_equal(n, 5);
    assert_memory_equal(up, "after", n);
}

static void restart_without_bytes_is_told_once(void **state)
{
    bosh_up_t u;
    size_t n;

    (void)state;
    box_request(&box, &s, 1001, BOSH_ASKS_RESTART, BOSH_ABSENT);
    assert_true(box_is_mailed(&box, 0, &s));
    u = box_take(&box, &s, up, sizeof(up), &n);
    assert_true(u.restart && n == 0 && !u.more);
    u = box_take(&box, &s, up, sizeof(up), &n);
    assert_false(u.restart);
}

static void close_comes_after_the_last_byte(void **state)
{
    bosh_up_t u;

    (void)state;
    assert_int_equal(box_request(&box, &s, 1001, BOSH_ASKS_TERMINATE, BOSH_STR("bye")),
                     BOSH_GOT_ANSWER);
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_TERMINATE);
    assert_true(box_is_mailed(&box, 0, &s));
    bosh_store_take_up(box.st, s.ref, up, 2, box.now, &u, &box.knocks);
    assert_true(!u.close && u.more && u.len == 2);
    bosh_store_take_up(box.st, s.ref, up, 2, box.now, &u, &box.knocks);
    assert_true(u.close && !u.more && u.len == 1 && !u.ended);
    assert_int_equal(u.reason, BOSH_REASON_CLIENT);
}

static void stanzas_come_down_as_they_were(void **state)
{
    bosh_str_t a = box_bytes(big, 70000, 5);

    (void)state;
    assert_int_equal(box_put(&box, &s, a), BOSH_PUT_OK);
    assert_int_equal(box_put(&box, &s, BOSH_STR("<b/>")), BOSH_PUT_OK);
    assert_int_equal(box_request(&box, &s, 1001, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_true(box.out.is_kept);
    assert_int_equal(box.buf.len, 70004);
    assert_memory_equal(box.buf.p, a.p, a.len);
    assert_memory_equal(box.buf.p + a.len, "<b/>", 4);
}

static void repeated_answer_has_the_same_bytes(void **state)
{
    (void)state;
    box_put(&box, &s, BOSH_STR("<once/>"));
    box_request(&box, &s, 1001, 0, BOSH_ABSENT);
    box_written(&box, &s, 1001, box.holder);
    box_put(&box, &s, BOSH_STR("<later/>"));
    box.now += 100;
    assert_int_equal(box_request(&box, &s, 1001, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_payload("<once/>");
    box.now += BOSH_SPACING_MS;
    assert_int_equal(box_request(&box, &s, 1002, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_payload("<later/>");
    box_written(&box, &s, 1002, box.holder);
    assert_int_equal(box_request(&box, &s, 1001, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_payload("<once/>");
}

static void small_buffer_gets_nothing_and_may_ask_again(void **state)
{
    bosh_str_t a = box_bytes(big, 5000, 9);
    bosh_buf_t small;

    (void)state;
    bosh_buf_init(&small, 0);
    bosh_buf_room(&small, 10);
    box_put(&box, &s, a);
    bosh_store_request(box.st, bosh_str(s.sid), REALM, true,
                       &(bosh_request_t){ .rid = 1001, .holder = { box.child, 99 } }, box.now,
                       &small, &box.out);
    assert_int_equal(box.out.got, BOSH_GOT_ANSWER);
    assert_int_equal(box.out.payload_len, 5000);
    assert_int_equal(small.len, 0);
    assert_false(bosh_store_payload(box.st, s.ref, 1001, &small));
    bosh_buf_room(&small, 5000);
    assert_true(bosh_store_payload(box.st, s.ref, 1001, &small));
    assert_int_equal(small.len, 5000);
    assert_memory_equal(small.p, a.p, a.len);
    assert_false(bosh_store_payload(box.st, s.ref, 1002, &small));
    bosh_buf_free(&small);
}

static void held_request_is_woken_by_mail_and_knock(void **state)
{
    bosh_holder_t holder;
    bosh_mail_t mail[4];
    bool missed;

    (void)state;
    box_request(&box, &s, 1001, 0, BOSH_ABSENT);
    holder = box.holder;
    while (bosh_store_child_mail(box.st, box.child, mail, 4, box.now, &missed) == 4) {
    }
    memset(&box.knocks, 0, sizeof(box.knocks));
    box_put(&box, &s, BOSH_STR("<m/>"));
    assert_true(box.knocks.any);
    assert_true(box.knocks.children[0] == UINT64_C(1) << box.child);
    assert_int_equal(bosh_store_child_mail(box.st, box.child, mail, 4, box.now, &missed), 1);
    assert_int_equal(mail[0].ticket, holder.ticket);
    assert_true(mail[0].due == box.now);
    assert_int_equal(box_due(&box, &s, 1001, holder), BOSH_GOT_ANSWER);
    assert_payload("<m/>");
}

static void ask_anew(bosh_request_t *req, bosh_got_t got)
{
    bosh_store_request(box.st, bosh_str(s.sid), REALM, true, req, box.now, &box.buf, &box.out);
    assert_int_equal(box.out.got, got);
}

static void request_older_than_what_is_kept_is_doubted_first(void **state)
{
    bosh_request_t old = { .rid = 1001, .holder = { box.child, 5 } };

    (void)state;
    for (uint64_t rid = 1001; rid < 1008; rid++) {
        box_put(&box, &s, BOSH_STR("<m/>"));
        assert_int_equal(box_request(&box, &s, rid, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
        box_written(&box, &s, rid, box.holder);
    }
    ask_anew(&old, BOSH_GOT_STALE);
    old.is_there = true;
    old.holder = BOSH_NOBODY;
    ask_anew(&old, BOSH_GOT_ANSWER);
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_ERROR);
    assert_int_equal(box_request(&box, &s, 1008, 0, BOSH_ABSENT), BOSH_GOT_HOLD);
    old.holder = (bosh_holder_t){ box.child, 5 };
    ask_anew(&old, BOSH_GOT_ANSWER);
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(box.out.answer.condition, BOSH_COND_ITEM_NOT_FOUND);
}

/* It may be late, and the one that is held the newer one. */
static void copy_of_what_another_holds_is_doubted_first(void **state)
{
    bosh_request_t copy = { .rid = 1001, .holder = { box.child, 99 } };
    bosh_holder_t holder;

    (void)state;
    assert_int_equal(box_request(&box, &s, 1001, 0, BOSH_ABSENT), BOSH_GOT_HOLD);
    holder = box.holder;
    ask_anew(&copy, BOSH_GOT_STALE);
    copy.is_there = true;
    copy.holder = BOSH_NOBODY;
    ask_anew(&copy, BOSH_GOT_ANSWER);
    box_put(&box, &s, BOSH_STR("<m/>"));
    assert_int_equal(box_due(&box, &s, 1001, holder), BOSH_GOT_ANSWER);
    assert_payload("<m/>");
    box_written(&box, &s, 1001, holder);
    copy.is_there = false;
    ask_anew(&copy, BOSH_GOT_ANSWER); /* there is nothing to take from anybody */
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_ERROR);
}

static void sid_belongs_to_its_realm(void **state)
{
    bosh_request_t req = { .rid = 1001, .holder = { box.child, 5 } };

    (void)state;
    bosh_store_request(box.st, bosh_str(s.sid), REALM + 1, true, &req, box.now, &box.buf, &box.out);
    assert_int_equal(box.out.got, BOSH_GOT_UNKNOWN);
    bosh_store_request(box.st, bosh_str(s.sid), REALM + 1, false, &req, box.now, &box.buf,
                       &box.out);
    assert_int_equal(box.out.got, BOSH_GOT_UNKNOWN);
    assert_int_equal(box_request(&box, &s, 1001, 0, BOSH_ABSENT), BOSH_GOT_HOLD);
}

static void secure_session_is_served_over_tls_only(void **state)
{
    bosh_request_t req = { .rid = 1001, .holder = { box.child, 5 }, .payload = BOSH_STR("leak") };
    size_t n;

    (void)state;
    bosh_store_request(box.st, bosh_str(s.sid), REALM, false, &req, box.now, &box.buf, &box.out);
    assert_int_equal(box.out.got, BOSH_GOT_EXPOSED);
    box_take(&box, &s, up, sizeof(up), &n);
    assert_int_equal(n, 0);
    assert_int_equal(box_request(&box, &s, 1001, 0, BOSH_ABSENT), BOSH_GOT_HOLD);
}

static void plain_session_may_move_to_tls(void **state)
{
    bosh_birth_t birth = box_birth(1);
    bosh_request_t req = { .rid = 1, .holder = { box.child, 5 }, .is_there = true };
    char sid[BOSH_SID_CHARS + 1];

    (void)state;
    birth.secure = false;
    bosh_store_create_session(box.st, &birth, &req, box.now, sid, &box.buf, &box.out);
    bosh_store_request(box.st, bosh_str(sid), REALM, true, &req, box.now, &box.buf, &box.out);
    assert_int_equal(box.out.got, BOSH_GOT_HOLD);
    bosh_store_request(box.st, bosh_str(sid), REALM, false, &req, box.now, &box.buf, &box.out);
    assert_int_equal(box.out.got, BOSH_GOT_HOLD);
}

static void greeting_is_the_domain_until_the_server_speaks(void **state)
{
    bosh_greeting_t g;
    char longest[200];

    (void)state;
    assert_true(bosh_store_greeting(box.st, s.ref, &g));
    assert_string_equal(g.from, "example.org");
    assert_string_equal(g.authid, "");
    bosh_store_greet(box.st, s.ref, BOSH_STR("chat.example.org"), BOSH_STR("id1"));
    box_check(&box);
    assert_true(bosh_store_greeting(box.st, s.ref, &g));
    assert_string_equal(g.from, "chat.example.org");
    assert_string_equal(g.authid, "id1");
    /* nothing is cut off: what does not fit is left away */
    bosh_store_greet(box.st, s.ref, BOSH_ABSENT, box_bytes(longest, sizeof(longest), 1));
    assert_true(bosh_store_greeting(box.st, s.ref, &g));
    assert_string_equal(g.from, "chat.example.org");
    assert_string_equal(g.authid, "id1");
}

static void a_content_type_stays_with_the_session(void **state)
{
    bosh_birth_t birth = box_birth(5);
    bosh_request_t req = { .rid = 5, .holder = { box.child, 12345 } };
    char sid[BOSH_SID_CHARS + 1];
    bosh_greeting_t g;

    (void)state;
    birth.terms.has_content = true;
    assert_true(bosh_str_copy(birth.content, sizeof(birth.content), BOSH_STR("text/html")));
    bosh_store_create_session(box.st, &birth, &req, box.now, sid, &box.buf, &box.out);
    bosh_store_greet(box.st, box.out.ref, BOSH_STR("a.example"), BOSH_STR("id"));
    assert_true(bosh_store_greeting(box.st, box.out.ref, &g));
    assert_string_equal(g.content, "text/html");
    assert_string_equal(g.from, "a.example");
    assert_true(bosh_store_greeting(box.st, s.ref, &g));
    assert_string_equal(g.content, "");
}

static void task_is_given_once(void **state)
{
    bosh_task_t task;
    sess_t t;

    (void)state;
    box_create(&box, &t);
    assert_true(bosh_store_connector_task(box.st, t.ref, &task));
    assert_string_equal(task.upstream.to, "example.org");
    assert_string_equal(task.upstream.host, "xmpp.example.org");
    assert_int_equal(task.upstream.port, 5222);
    assert_int_equal(task.connect_timeout, 20);
    assert_true(task.serial == t.serial);
    assert_false(bosh_store_connector_task(box.st, t.ref, &task));
    box_check(&box);
}

static void request_after_the_end_learns_why(void **state)
{
    (void)state;
    box_put(&box, &s, BOSH_STR("<last/>"));
    box_up_ended(&box, &s);
    assert_int_equal(box_request(&box, &s, 1001, 0, BOSH_STR("late")), BOSH_GOT_ANSWER);
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(box.out.answer.condition, BOSH_COND_REMOTE_STREAM_ERROR);
    assert_payload("<last/>");
}

static void tick_frees_what_ended_after_the_linger(void **state)
{
    unsigned free_blocks = box_blocks_free(&box);
    bosh_store_status_t status;
    sess_t t;

    (void)state;
    box_session(&box, &t);
    box_put(&box, &t, BOSH_STR("<undelivered/>"));
    box_request(&box, &t, 1002, 0, box_bytes(big, 5000, 1)); /* early, never forwarded */
    box_gone(&box, &t, 1002, box.holder);
    box_up_ended(&box, &t);
    box_is_mailed(&box, 0, &t);
    box.now += BOSH_SEC(30) - 1;
    box_tick(&box, t.ref.index % 2);
    box_tick(&box, (t.ref.index + 1) % 2);
    assert_int_not_equal(box_request(&box, &t, 1001, 0, BOSH_ABSENT), BOSH_GOT_UNKNOWN);
    box_written(&box, &t, 1001, box.holder);
    box_is_mailed(&box, 1, &t);
    box.now += 1;
    box_tick(&box, 0);
    box_tick(&box, 1);
    assert_int_equal(box_request(&box, &t, 1001, 0, BOSH_ABSENT), BOSH_GOT_UNKNOWN);
    bosh_store_status(box.st, box.now, &status);
    assert_int_equal(status.sessions, 1);
    assert_int_equal(status.blocks_free, free_blocks);
}

static void every_door_survives_a_session_that_is_gone(void **state)
{
    bosh_greeting_t g;
    bosh_task_t task;
    bosh_up_t u;
    sess_t t;
    size_t n;

    (void)state;
    box_session(&box, &t);
    box_forget(&box, &t);
    assert_int_equal(box_due(&box, &t, 1001, box.holder), BOSH_GOT_UNKNOWN);
    assert_false(bosh_store_payload(box.st, t.ref, 1000, &box.buf));
    assert_false(bosh_store_greeting(box.st, t.ref, &g));
    assert_false(bosh_store_connector_task(box.st, t.ref, &task));
    u = box_take(&box, &t, up, sizeof(up), &n);
    assert_true(u.ended);
    assert_int_equal(box_put(&box, &t, BOSH_STR("<x/>")), BOSH_PUT_GONE);
    box_gone(&box, &t, 1000, box.holder);
    box_written(&box, &t, 1000, box.holder);
    box_up_ended(&box, &t);
    bosh_store_end(box.st, t.ref, BOSH_COND_NONE, BOSH_REASON_SHUTDOWN, box.now, &box.knocks);
    bosh_store_greet(box.st, t.ref, BOSH_STR("a"), BOSH_STR("b"));
    t.ref.index = UINT32_MAX;
    assert_int_equal(box_put(&box, &t, BOSH_STR("<x/>")), BOSH_PUT_GONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(creation_tells_sid_serial_and_terms, begin, end),
        cmocka_unit_test_setup_teardown(features_come_with_the_creation_answer, begin, end),
        cmocka_unit_test_setup_teardown(payload_goes_up_as_it_came, begin, end),
        cmocka_unit_test_setup_teardown(payloads_go_up_in_rid_order, begin, end),
        cmocka_unit_test_setup_teardown(taken_in_pieces_it_is_the_same, begin, end),
        cmocka_unit_test_setup_teardown(restart_stands_between_two_bytes, begin, end),
        cmocka_unit_test_setup_teardown(restart_without_bytes_is_told_once, begin, end),
        cmocka_unit_test_setup_teardown(close_comes_after_the_last_byte, begin, end),
        cmocka_unit_test_setup_teardown(stanzas_come_down_as_they_were, begin, end),
        cmocka_unit_test_setup_teardown(repeated_answer_has_the_same_bytes, begin, end),
        cmocka_unit_test_setup_teardown(small_buffer_gets_nothing_and_may_ask_again, begin, end),
        cmocka_unit_test_setup_teardown(held_request_is_woken_by_mail_and_knock, begin, end),
        cmocka_unit_test_setup_teardown(copy_of_what_another_holds_is_doubted_first, begin, end),
        cmocka_unit_test_setup_teardown(request_older_than_what_is_kept_is_doubted_first, begin,
                                        end),
        cmocka_unit_test_setup_teardown(sid_belongs_to_its_realm, begin, end),
        cmocka_unit_test_setup_teardown(secure_session_is_served_over_tls_only, begin, end),
        cmocka_unit_test_setup_teardown(plain_session_may_move_to_tls, begin, end),
        cmocka_unit_test_setup_teardown(greeting_is_the_domain_until_the_server_speaks, begin, end),
        cmocka_unit_test_setup_teardown(a_content_type_stays_with_the_session, begin, end),
        cmocka_unit_test_setup_teardown(task_is_given_once, begin, end),
        cmocka_unit_test_setup_teardown(request_after_the_end_learns_why, begin, end),
        cmocka_unit_test_setup_teardown(tick_frees_what_ended_after_the_linger, begin, end),
        cmocka_unit_test_setup_teardown(every_door_survives_a_session_that_is_gone, begin, end),
    };

    return cmocka_run_group_tests_name("requests", tests, NULL, NULL);
}
