/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Connectors: their mail, their successors, the clocks they keep. */

#include <string.h>

#include "box.h"

#include "../core/unit.h"
#include "store_int.h"

static box_t box;

static int begin(void **state)
{
    (void)state;
    box_open(&box, 8 << 20, 400, 2, 2);
    return 0;
}

static int end(void **state)
{
    (void)state;
    box_close(&box);
    return 0;
}

/* Sessions go to connectors in turn; which has this one? */
static uint32_t connector_of(const sess_t *s)
{
    return box.st->sessions[s->ref.index].connector;
}

static void take_task(sess_t *s)
{
    bosh_task_t task;

    assert_true(bosh_store_connector_task(box.st, s->ref, &task));
}

static void sessions_are_dealt_out_in_turn(void **state)
{
    sess_t s[4];

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        box_create(&box, &s[i]);
    }
    assert_int_not_equal(connector_of(&s[0]), connector_of(&s[1]));
    assert_int_equal(connector_of(&s[0]), connector_of(&s[2]));
    assert_int_equal(connector_of(&s[1]), connector_of(&s[3]));
}

static void each_session_is_in_the_mail_once(void **state)
{
    static sess_t s[20];
    bosh_ref_t refs[20];
    unsigned n;

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        box_create(&box, &s[i]);
        box_request(&box, &s[i], 1001, 0, BOSH_STR("more"));
        bosh_store_end(box.st, s[i].ref, BOSH_COND_NONE, BOSH_REASON_SHUTDOWN, box.now,
                       &box.knocks);
    }
    n = bosh_store_connector_mail(box.st, 0, refs, 20);
    assert_int_equal(n, 10);
    for (unsigned i = 0; i < n; i++) {
        for (unsigned k = 0; k < i; k++) {
            assert_false(bosh_ref_same(refs[i], refs[k]));
        }
    }
    assert_int_equal(bosh_store_connector_mail(box.st, 0, refs, 20), 0);
    assert_int_equal(bosh_store_connector_mail(box.st, 1, refs, 4), 4);
    box_check(&box);
    assert_int_equal(bosh_store_connector_mail(box.st, 1, refs, 20), 6);
}

static void one_knock_until_the_mail_is_read(void **state)
{
    sess_t a, b, c;

    (void)state;
    box_create(&box, &a);
    assert_int_equal(box.out.knocks.connectors, 1u << connector_of(&a));
    box_create(&box, &b);
    assert_int_equal(box.out.knocks.connectors, 1u << connector_of(&b));
    box_create(&box, &c);
    assert_int_equal(box.out.knocks.connectors, 0);
    assert_true(box_is_mailed(&box, connector_of(&c), &c));
    box_request(&box, &c, 1001, 0, BOSH_STR("x"));
    assert_int_equal(box.out.knocks.connectors, 1u << connector_of(&c));
}

static void successor_ends_what_its_predecessor_had(void **state)
{
    sess_t taken, untaken, other;
    bosh_holder_t holder;

    (void)state;
    box_create(&box, &taken);
    holder = box.holder;
    box_create(&box, &other);
    box_create(&box, &untaken);
    take_task(&taken);
    take_task(&other);
    box_is_mailed(&box, connector_of(&taken), &taken); /* all mail is read */
    bosh_store_connector_join(box.st, connector_of(&taken), 4711, box.now, &box.knocks);
    box_check(&box);
    assert_int_equal(box_due(&box, &taken, 1000, holder), BOSH_GOT_ANSWER);
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(box.out.answer.condition, BOSH_COND_REMOTE_CONNECTION_FAILED);
    assert_int_equal(box.st->sessions[taken.ref.index].core.reason, BOSH_REASON_CONNECTOR_LOST);
    assert_int_equal(box.st->sessions[other.ref.index].core.state, BOSH_OPENING);
    /* Never taken up: lives, and its successor hears of it, whoever read its mail before. */
    assert_int_equal(box.st->sessions[untaken.ref.index].core.state, BOSH_OPENING);
    assert_true(box_is_mailed(&box, connector_of(&untaken), &untaken));
    take_task(&untaken);
}

static void first_connector_ends_nothing(void **state)
{
    bosh_store_limits_t limits = { 4 << 20, 10, 1, 1 };
    bosh_store_t *first;
    bosh_request_t req = { .rid = 5, .holder = { 0, 1 } };
    bosh_birth_t birth = box_birth(5);
    char sid[BOSH_SID_CHARS + 1];
    bosh_ref_t ref;

    (void)state;
    assert_int_equal(bosh_store_create(&first, &limits, box.mutex, box.pool), APR_SUCCESS);
    bosh_store_create_session(first, &birth, &req, box.now, sid, &box.buf, &box.out);
    bosh_store_connector_join(first, 0, 4711, box.now, &box.knocks);
    assert_int_equal(bosh_store_connector_mail(first, 0, &ref, 1), 1);
    assert_true(bosh_ref_same(ref, box.out.ref));
    assert_null(bosh_store_check(first));
}

static void sessions_of_a_lost_connector_are_forgotten_too(void **state)
{
    bosh_store_status_t status;
    sess_t s;

    (void)state;
    box_session(&box, &s);
    bosh_store_connector_join(box.st, connector_of(&s), 4711, box.now, &box.knocks);
    box_is_mailed(&box, connector_of(&s), &s);
    box.now += BOSH_SEC(31);
    box_tick(&box, connector_of(&s));
    bosh_store_status(box.st, box.now, &status);
    assert_int_equal(status.sessions, 0);
}

/* The mailbox's list runs through the record. */
static void a_record_in_the_mail_is_not_freed(void **state)
{
    bosh_store_status_t status;
    sess_t s;

    (void)state;
    box_session(&box, &s);
    bosh_store_end(box.st, s.ref, BOSH_COND_NONE, BOSH_REASON_SHUTDOWN, box.now, &box.knocks);
    box_up_ended(&box, &s);
    box.now += BOSH_SEC(31);
    box_tick(&box, connector_of(&s));
    bosh_store_status(box.st, box.now, &status);
    assert_int_equal(status.sessions, 1);
    assert_true(box_is_mailed(&box, connector_of(&s), &s));
    box_tick(&box, connector_of(&s));
    bosh_store_status(box.st, box.now, &status);
    assert_int_equal(status.sessions, 0);
}

static void status_tells_connectors_that_tick(void **state)
{
    bosh_store_status_t status;

    (void)state;
    bosh_store_status(box.st, box.now, &status);
    assert_int_equal(status.connectors, 2);
    box.now += BOSH_SEC(5);
    box_tick(&box, 1);
    bosh_store_status(box.st, box.now, &status);
    assert_int_equal(status.connectors, 1);
}

static bosh_got_t create_now(sess_t *s)
{
    bosh_birth_t birth = box_birth(1000);
    bosh_request_t req = { .rid = 1000, .holder = { box.child, ++box.tickets } };

    bosh_store_create_session(box.st, &birth, &req, box.now, s->sid, &box.buf, &box.out);
    s->ref = box.out.ref;
    box_check(&box);
    return box.out.got;
}

/* Who has just been told "come again later" is served by the next one. */
static void silent_connectors_get_no_new_sessions(void **state)
{
    sess_t s;

    (void)state;
    box.now += BOSH_SEC(5);
    box_tick(&box, 1);
    for (unsigned n = 0; n < 3; n++) {
        assert_int_equal(create_now(&s), BOSH_GOT_HOLD);
        assert_int_equal(connector_of(&s), 1);
    }
    box.now += BOSH_SEC(5);
    assert_int_equal(create_now(&s), BOSH_GOT_NO_CONNECTOR);
    box_tick(&box, 0);
    assert_int_equal(create_now(&s), BOSH_GOT_HOLD);
    assert_int_equal(connector_of(&s), 0);
}

static void successor_is_told_what_was_lost(void **state)
{
    bosh_loss_t loss;
    sess_t s, other, untaken;

    (void)state;
    box_create(&box, &s);
    box_create(&box, &other);
    box_create(&box, &untaken);
    take_task(&s);
    take_task(&other);
    box_request(&box, &s, 1001, 0, BOSH_STR("12345"));
    loss = bosh_store_connector_join(box.st, connector_of(&s), 4711, box.now, &box.knocks);
    assert_int_equal(loss.streams, 1);
    assert_int_equal(loss.bytes, 5);
    loss = bosh_store_connector_join(box.st, connector_of(&s), 4712, box.now, &box.knocks);
    assert_int_equal(loss.streams, 0);
    assert_int_equal(loss.bytes, 0);
}

static void tick_goes_round_in_stretches(void **state)
{
    static sess_t s[400];
    uint32_t cursor = 0;
    unsigned calls = 1;

    (void)state;
    for (unsigned i = 0; i < 400; i++) {
        assert_int_equal(box_create(&box, &s[i]), BOSH_GOT_HOLD);
    }
    box.now += BOSH_SEC(20);
    for (; !bosh_store_tick(box.st, 0, &cursor, box.now, &box.knocks); calls++) {
        assert_true(cursor > 0);
    }
    assert_int_equal(cursor, 0);
    assert_int_equal(calls, 2);
    box_check(&box);
    for (unsigned i = 0; i < 400; i++) {
        assert_int_equal(box.st->sessions[s[i].ref.index].core.state,
                         connector_of(&s[i]) == 0 ? BOSH_CLOSING : BOSH_OPENING);
    }
}

/* Repair ended it; what keeps a record is only that its connector does not know yet. */
static void connector_that_is_told_of_the_end_keeps_no_record(void **state)
{
    sess_t a, b;
    bosh_task_t task;
    bosh_up_t up;
    bosh_store_status_t status;
    sess_t *both[2] = { &a, &b };

    (void)state;
    box_session(&box, &a);
    box_create(&box, &b);
    box_gone(&box, &b, 1000, box.holder);
    for (unsigned i = 0; i < 2; i++) {
        box.st->h->busy = 1; /* somebody died while changing it */
        box.st->h->touched = both[i]->ref.index;
        box_check(&box);
    }
    bosh_store_take_up(box.st, a.ref, NULL, 0, box.now, &up, &box.knocks);
    assert_true(up.ended);
    assert_int_equal(up.reason, BOSH_REASON_DAMAGED);
    assert_false(bosh_store_connector_task(box.st, b.ref, &task));
    box_is_mailed(&box, 0, &a);
    box_is_mailed(&box, 1, &a);
    box.now += BOSH_SEC(31);
    box_tick(&box, 0);
    box_tick(&box, 1);
    bosh_store_status(box.st, box.now, &status);
    assert_int_equal(status.sessions, 0);
}

static void stream_error_comes_in_the_answer_that_tells_the_end(void **state)
{
    sess_t s;

    (void)state;
    box_session(&box, &s);
    assert_int_equal(box_request(&box, &s, 1001, 0, BOSH_ABSENT), BOSH_GOT_HOLD);
    assert_int_equal(box_put(&box, &s, BOSH_STR("<last/>")), BOSH_PUT_OK);
    bosh_store_up_ended(box.st, s.ref, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_ERROR,
                        BOSH_STR("<error/>"), box.now, &box.knocks);
    box_check(&box);
    assert_int_equal(box_due(&box, &s, 1001, box.holder), BOSH_GOT_ANSWER);
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_TERMINATE);
    assert_memory_equal(box.buf.p, "<last/><error/>", 15);
    assert_int_equal(box.buf.len, 15);
    /* told twice, it is not added twice */
    bosh_store_up_ended(box.st, s.ref, BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_ERROR,
                        BOSH_STR("<error/>"), box.now, &box.knocks);
    box_check(&box);
    assert_int_equal(box.st->sessions[s.ref.index].leg[0].down.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sessions_are_dealt_out_in_turn, begin, end),
        cmocka_unit_test_setup_teardown(each_session_is_in_the_mail_once, begin, end),
        cmocka_unit_test_setup_teardown(one_knock_until_the_mail_is_read, begin, end),
        cmocka_unit_test_setup_teardown(successor_ends_what_its_predecessor_had, begin, end),
        cmocka_unit_test_setup_teardown(first_connector_ends_nothing, begin, end),
        cmocka_unit_test_setup_teardown(sessions_of_a_lost_connector_are_forgotten_too, begin, end),
        cmocka_unit_test_setup_teardown(a_record_in_the_mail_is_not_freed, begin, end),
        cmocka_unit_test_setup_teardown(status_tells_connectors_that_tick, begin, end),
        cmocka_unit_test_setup_teardown(silent_connectors_get_no_new_sessions, begin, end),
        cmocka_unit_test_setup_teardown(successor_is_told_what_was_lost, begin, end),
        cmocka_unit_test_setup_teardown(tick_goes_round_in_stretches, begin, end),
        cmocka_unit_test_setup_teardown(stream_error_comes_in_the_answer_that_tells_the_end, begin,
                                        end),
        cmocka_unit_test_setup_teardown(connector_that_is_told_of_the_end_keeps_no_record, begin,
                                        end),
    };

    return cmocka_run_group_tests_name("connectors", tests, NULL, NULL);
}
