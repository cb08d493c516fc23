/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* httpd children come and go; their mail; how many threads may block. */

#include <string.h>
#include <unistd.h>

#include "box.h"

#include "../core/unit.h"
#include "store_int.h"

#define CHILDREN 3

static box_t box;
static sess_t s;
static bosh_mail_t mail[2 * MAIL_SLOTS];

static int begin(void **state)
{
    (void)state;
    box_open(&box, 4 << 20, 10, CHILDREN, 2);
    box_session(&box, &s);
    return 0;
}

static int end(void **state)
{
    (void)state;
    box_close(&box);
    return 0;
}

static unsigned read_mail(uint32_t child, bool *missed)
{
    unsigned n = bosh_store_child_mail(box.st, child, mail, 2 * MAIL_SLOTS, box.now, missed);

    box_check(&box);
    return n;
}

static void each_child_has_a_place_of_its_own(void **state)
{
    uint32_t a = bosh_store_child_join(box.st, 101), b = bosh_store_child_join(box.st, 102);
    bosh_store_status_t status;

    (void)state;
    assert_true(a != b && a != box.child && b != box.child);
    assert_true(a < CHILDREN && b < CHILDREN);
    assert_int_equal(bosh_store_child_join(box.st, 103), BOSH_NO_CHILD);
    bosh_store_status(box.st, box.now, &status);
    assert_int_equal(status.children, 3);
    bosh_store_child_leave(box.st, a, box.now, &box.knocks);
    assert_int_equal(bosh_store_child_join(box.st, 103), a);
}

static void leaving_twice_does_no_harm(void **state)
{
    uint32_t a = bosh_store_child_join(box.st, 101);

    (void)state;
    bosh_store_child_leave(box.st, a, box.now, &box.knocks);
    bosh_store_child_leave(box.st, a, box.now, &box.knocks);
    bosh_store_child_leave(box.st, BOSH_NO_CHILD, box.now, &box.knocks);
    box_check(&box);
}

static void requests_of_a_leaving_child_are_held_by_nobody(void **state)
{
    (void)state;
    box_request(&box, &s, 1001, 0, BOSH_ABSENT);
    bosh_store_child_leave(box.st, box.child, box.now, &box.knocks);
    box.child = bosh_store_child_join(box.st, getpid());
    assert_int_equal(box_put(&box, &s, BOSH_STR("<kept/>")), BOSH_PUT_OK);
    box.now += 100;
    assert_int_equal(box_request(&box, &s, 1002, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_memory_equal(box.buf.p, "<kept/>", 7);
}

static void other_childrens_requests_stay(void **state)
{
    uint32_t other = bosh_store_child_join(box.st, 101);
    bosh_request_t req = { .rid = 1001, .holder = { other, 7 } };
    bool missed;

    (void)state;
    bosh_store_request(box.st, bosh_str(s.sid), REALM, true, &req, box.now, &box.buf, &box.out);
    bosh_store_child_leave(box.st, box.child, box.now, &box.knocks);
    box_put(&box, &s, BOSH_STR("<m/>"));
    assert_int_equal(read_mail(other, &missed), 1);
    assert_int_equal(mail[0].ticket, 7);
}

static bool is_101_alive(int64_t pid)
{
    return pid == 101;
}

static bool is_alive(int64_t pid)
{
    (void)pid;
    return true;
}

static void dead_children_are_reaped_and_their_requests_freed(void **state)
{
    bosh_store_status_t status;

    (void)state;
    assert_int_not_equal(bosh_store_child_join(box.st, 101), BOSH_NO_CHILD);
    assert_int_not_equal(bosh_store_child_join(box.st, 102), BOSH_NO_CHILD);
    box_request(&box, &s, 1001, 0, BOSH_ABSENT);
    bosh_store_reap_children(box.st, is_101_alive, box.now, &box.knocks);
    box_check(&box);
    bosh_store_status(box.st, box.now, &status);
    assert_int_equal(status.children, 1);
    /* nobody holds it any more: inactivity counts */
    box.now += BOSH_SEC(61);
    box_tick(&box, 0);
    assert_int_equal(box_request(&box, &s, 1002, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_int_equal(box.out.answer.condition, BOSH_COND_ITEM_NOT_FOUND);
}

static void living_children_that_give_signs_of_life_stay(void **state)
{
    bosh_store_status_t status;
    bool missed;

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        box.now += BOSH_SEC(100);
        read_mail(box.child, &missed);
        bosh_store_reap_children(box.st, is_alive, box.now, &box.knocks);
    }
    bosh_store_status(box.st, box.now, &status);
    assert_int_equal(status.children, 1);
}

/* Stopped, or its pid is somebody else's by now: nobody waits for it, but should it go on,
 * nobody else is in its place. */
static void silent_children_lose_their_requests_and_keep_their_places(void **state)
{
    uint32_t other;
    bool missed;

    (void)state;
    read_mail(box.child, &missed);
    box_request(&box, &s, 1001, 0, BOSH_ABSENT);
    box.now += BOSH_SEC(121);
    bosh_store_reap_children(box.st, is_alive, box.now, &box.knocks);
    box_check(&box);
    assert_false(bosh_session_is_attended(&box_record(&box, &s)->core));
    other = bosh_store_child_join(box.st, 4711);
    assert_int_not_equal(other, box.child);
    read_mail(box.child, &missed);
    assert_true(missed);
    read_mail(box.child, &missed);
    assert_false(missed);
}

static bosh_store_status_t status_now(void)
{
    bosh_store_status_t status;

    bosh_store_status(box.st, box.now, &status);
    return status;
}

static void stillness_is_no_silence_of_children_and_no_inactivity(void **state)
{
    bosh_msec_t since;
    bool missed;

    (void)state;
    read_mail(box.child, &missed);
    assert_int_equal(bosh_store_children_seen(box.st), box.now);
    box_request(&box, &s, 1001, 0, BOSH_ABSENT);
    since = box.now;
    box.now += BOSH_SEC(1000);
    bosh_store_stood_still(box.st, 0, since, box.now, &box.knocks);
    box_check(&box);
    bosh_store_reap_children(box.st, is_alive, box.now, &box.knocks);
    assert_true(bosh_session_is_attended(&box_record(&box, &s)->core));
    box_gone(&box, &s, 1001, box.holder);
    since = box.now;
    box.now += BOSH_SEC(1000);
    bosh_store_stood_still(box.st, 0, since, box.now, &box.knocks);
    box_tick(&box, 0);
    assert_int_equal(box_record(&box, &s)->core.state, BOSH_OPEN);
    box.now += BOSH_SEC(60);
    box_tick(&box, 0);
    assert_int_equal(box_record(&box, &s)->core.state, BOSH_CLOSING);
    bosh_store_child_leave(box.st, box.child, box.now, &box.knocks);
    assert_int_equal(bosh_store_children_seen(box.st), 0);
    assert_int_equal(status_now().children, 0);
}

static void mail_comes_in_order_and_once(void **state)
{
    bosh_holder_t held[5];
    bool missed;

    (void)state;
    read_mail(box.child, &missed);
    for (unsigned i = 0; i < 5; i++) {
        sess_t t;

        box_session(&box, &t);
        box_request(&box, &t, 1001, 0, BOSH_ABSENT);
        held[i] = box.holder;
        read_mail(box.child, &missed);
        s = t;
    }
    (void)held;
    box_put(&box, &s, BOSH_STR("<m/>"));
    box_put(&box, &s, BOSH_STR("<m/>"));
    assert_int_equal(read_mail(box.child, &missed), 1);
    assert_int_equal(mail[0].ticket, held[4].ticket);
    assert_false(missed);
    assert_int_equal(read_mail(box.child, &missed), 0);
}

static void one_knock_until_the_mail_is_read(void **state)
{
    bosh_holder_t older;
    bool missed;

    (void)state;
    box_request(&box, &s, 1001, 0, BOSH_ABSENT);
    older = box.holder;
    read_mail(box.child, &missed);
    memset(&box.knocks, 0, sizeof(box.knocks));
    box_put(&box, &s, BOSH_STR("<m/>"));
    assert_true(box.knocks.any);
    memset(&box.knocks, 0, sizeof(box.knocks));
    box_request(&box, &s, 1001, 0, BOSH_ABSENT); /* replaces the older one: more mail */
    assert_false(box.out.knocks.children[0]);
    assert_int_equal(read_mail(box.child, &missed), 2);
    assert_int_equal(mail[1].ticket, older.ticket);
    box_request(&box, &s, 1002, 0, BOSH_ABSENT);
    box_request(&box, &s, 1002, 0, BOSH_ABSENT);
    assert_true(box.out.knocks.children[0] != 0);
}

/* Replaces its copy before, which is told; as if a client might do so without end. */
static void send_again(void)
{
    box_record(&box, &s)->core.slots[1001 % BOSH_SLOTS].repeats = 0;
    box_request(&box, &s, 1001, 0, BOSH_ABSENT);
}

static void overflowing_mail_is_told_as_missed(void **state)
{
    bool missed;

    (void)state;
    read_mail(box.child, &missed);
    for (unsigned i = 0; i <= MAIL_SLOTS; i++) {
        send_again();
    }
    assert_int_equal(bosh_store_child_mail(box.st, box.child, mail, 100, box.now, &missed), 100);
    assert_false(missed); /* exactly full */
    for (unsigned i = 0; i < 101; i++) {
        send_again();
    }
    assert_int_equal(read_mail(box.child, &missed), MAIL_SLOTS);
    assert_true(missed);
    for (unsigned i = 1; i < MAIL_SLOTS; i++) {
        assert_int_equal(mail[i].ticket, mail[0].ticket + i);
    }
    assert_int_equal(read_mail(box.child, &missed), 0);
    assert_false(missed);
}

static void a_new_child_finds_no_mail_of_its_predecessor(void **state)
{
    bool missed;

    (void)state;
    for (unsigned i = 0; i <= MAIL_SLOTS + 1; i++) {
        send_again();
    }
    bosh_store_child_leave(box.st, box.child, box.now, &box.knocks);
    assert_int_equal(bosh_store_child_join(box.st, 7), box.child);
    assert_int_equal(read_mail(box.child, &missed), 0);
    assert_false(missed);
}

static void blocking_threads_of_all_children_share_a_budget(void **state)
{
    uint32_t other = bosh_store_child_join(box.st, 101);

    (void)state;
    assert_false(bosh_store_may_block(box.st, box.child, 0));
    assert_true(bosh_store_may_block(box.st, box.child, 3));
    assert_true(bosh_store_may_block(box.st, other, 3));
    assert_true(bosh_store_may_block(box.st, other, 3));
    assert_false(bosh_store_may_block(box.st, box.child, 3));
    bosh_store_unblock(box.st, box.child);
    assert_true(bosh_store_may_block(box.st, other, 3));
    assert_false(bosh_store_may_block(box.st, other, 3));
    bosh_store_child_leave(box.st, other, box.now, &box.knocks);
    assert_true(bosh_store_may_block(box.st, box.child, 1));
    bosh_store_unblock(box.st, box.child);
    bosh_store_unblock(box.st, box.child); /* one too many does no harm */
    assert_true(bosh_store_may_block(box.st, box.child, 1));
    assert_false(bosh_store_may_block(box.st, box.child, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_child_has_a_place_of_its_own, begin, end),
        cmocka_unit_test_setup_teardown(leaving_twice_does_no_harm, begin, end),
        cmocka_unit_test_setup_teardown(requests_of_a_leaving_child_are_held_by_nobody, begin, end),
        cmocka_unit_test_setup_teardown(other_childrens_requests_stay, begin, end),
        cmocka_unit_test_setup_teardown(dead_children_are_reaped_and_their_requests_freed, begin,
                                        end),
        cmocka_unit_test_setup_teardown(living_children_that_give_signs_of_life_stay, begin, end),
        cmocka_unit_test_setup_teardown(silent_children_lose_their_requests_and_keep_their_places,
                                        begin, end),
        cmocka_unit_test_setup_teardown(stillness_is_no_silence_of_children_and_no_inactivity,
                                        begin, end),
        cmocka_unit_test_setup_teardown(mail_comes_in_order_and_once, begin, end),
        cmocka_unit_test_setup_teardown(one_knock_until_the_mail_is_read, begin, end),
        cmocka_unit_test_setup_teardown(overflowing_mail_is_told_as_missed, begin, end),
        cmocka_unit_test_setup_teardown(a_new_child_finds_no_mail_of_its_predecessor, begin, end),
        cmocka_unit_test_setup_teardown(blocking_threads_of_all_children_share_a_budget, begin,
                                        end),
    };

    return cmocka_run_group_tests_name("children", tests, NULL, NULL);
}
