/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A process is stopped inside the lock, as by a debugger. Who can tell a client to come
 * again does so, all others wait, nobody runs in circles; and when it goes on, everything
 * is as if nothing had been.
 */

#include "box.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../core/unit.h"

#define THREADS 6

static box_t box;
static sess_t sess;
static pid_t stopped;

static void stop_inside(void)
{
    int status;

    stopped = fork();
    if (stopped == 0) {
        bosh_knocks_t knocks = { 0 };

        alarm(300);
        bosh_store_use_mutex(box.st, box.mutex);
        store_lock(box.st, &knocks);
        touch_locked(box.st, box_record(&box, &sess));
        kill(getpid(), SIGSTOP);
        store_unlock(box.st);
        _exit(0);
    }
    assert_int_equal(waitpid(stopped, &status, WUNTRACED), stopped);
    assert_true(WIFSTOPPED(status));
}

static void go_on(void)
{
    int status;

    kill(stopped, SIGCONT);
    assert_int_equal(waitpid(stopped, &status, 0), stopped);
    assert_int_equal(status, 0);
}

static int begin(void **state)
{
    bosh_mail_t mail[4];
    bool missed;

    (void)state;
    alarm(300);
    box_open(&box, 1 << 20, 4, 2, 1);
    box_session(&box, &sess);
    assert_int_equal(box_request(&box, &sess, 1001, 0, BOSH_ABSENT), BOSH_GOT_HOLD);
    bosh_store_child_mail(box.st, box.child, mail, 4, box.now, &missed);
    box_put(&box, &sess, BOSH_STR("<one/>")); /* mails the child */
    box.now += BOSH_SEC(10);
    return 0;
}

static int end(void **state)
{
    (void)state;
    box_close(&box);
    alarm(0);
    return 0;
}

static bosh_got_t ask(bosh_outcome_t *o)
{
    bosh_request_t req = { .rid = 1002, .holder = { box.child, 77 }, .payload = BOSH_STR("<up/>") };
    bosh_buf_t buf;

    bosh_buf_init(&buf, 0);
    bosh_store_request(box.st, bosh_str(sess.sid), REALM, true, &req, box.now, &buf, o);
    bosh_buf_free(&buf);
    return o->got;
}

static void *ask_in_thread(void *got)
{
    bosh_outcome_t o;

    *(bosh_got_t *)got = ask(&o);
    return NULL;
}

static void many_ask(bosh_got_t *got)
{
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ask_in_thread, &got[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void all_are_told_to_come_again(void)
{
    bosh_birth_t birth = box_birth(1);
    bosh_request_t req = { .rid = 1, .holder = { box.child, 78 } };
    char sid[BOSH_SID_CHARS + 1];
    bosh_mail_t mail[4];
    bosh_terms_t terms;
    bosh_outcome_t o;
    bosh_ref_t ref;
    bool missed;

    bosh_store_create_session(box.st, &birth, &req, box.now, sid, &box.buf, &o);
    assert_int_equal(o.got, BOSH_GOT_BUSY);
    bosh_store_due(box.st, sess.ref, 1001, box.holder, 0, box.now, &box.buf, &o);
    assert_int_equal(o.got, BOSH_GOT_BUSY);
    assert_false(bosh_store_gone(box.st, sess.ref, 1001, box.holder, box.now, &box.knocks));
    assert_false(bosh_store_peek(box.st, bosh_str(sess.sid), REALM, &terms, &ref));
    assert_false(bosh_store_may_block(box.st, box.child, 5));
    assert_int_equal(bosh_store_child_mail(box.st, box.child, mail, 4, box.now, &missed), 0);
    assert_false(missed);
}

static void who_waits_for_one_that_was_stopped_is_told_to_come_again(void **state)
{
    bosh_got_t got[THREADS];
    bosh_store_status_t status;
    bosh_mail_t mail[4];
    bosh_outcome_t o;
    double cpu;
    bool missed;

    (void)state;
    stop_inside();
    cpu = cpu_seconds();
    many_ask(got);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(got[i], BOSH_GOT_BUSY);
    }
    assert_true(cpu_seconds() - cpu < 1); /* they slept */
    all_are_told_to_come_again();
    go_on();
    assert_int_equal(bosh_store_child_mail(box.st, box.child, mail, 4, box.now, &missed), 1);
    assert_int_equal(mail[0].ticket, box.holder.ticket);
    assert_int_equal(ask(&o), BOSH_GOT_HOLD); /* the first time that it is heard of */
    assert_int_equal(box_due(&box, &sess, 1001, box.holder), BOSH_GOT_ANSWER);
    assert_memory_equal(box.buf.p, "<one/>", 6);
    bosh_store_status(box.st, box.now, &status);
    assert_int_equal(status.repairs, 0);
    assert_int_equal(status.sessions, 1);
}

static void *put(void *result)
{
    bosh_knocks_t knocks = { 0 };

    *(bosh_put_t *)result =
        bosh_store_put_down(box.st, sess.ref, BOSH_STR("<two/>"), false, box.now, &knocks);
    return NULL;
}

/* While it stands at the gate, others of its process still come back. */
static void what_cannot_be_told_to_come_again_waits(void **state)
{
    bosh_put_t result = BOSH_PUT_GONE;
    bosh_outcome_t o;
    pthread_t thread;

    (void)state;
    stop_inside();
    assert_int_equal(pthread_create(&thread, NULL, put, &result), 0);
    assert_int_equal(ask(&o), BOSH_GOT_BUSY);
    assert_int_equal(ask(&o), BOSH_GOT_BUSY);
    go_on();
    pthread_join(thread, NULL);
    assert_int_equal(result, BOSH_PUT_OK);
    assert_int_equal(box_due(&box, &sess, 1001, box.holder), BOSH_GOT_ANSWER);
    assert_int_equal(box.buf.len, 12);
    assert_memory_equal(box.buf.p, "<one/><two/>", 12);
}

static void one_that_was_stopped_and_killed_ends_only_its_session(void **state)
{
    bosh_outcome_t o;
    int status;

    (void)state;
    stop_inside();
    assert_int_equal(ask(&o), BOSH_GOT_BUSY);
    kill(stopped, SIGKILL);
    assert_int_equal(waitpid(stopped, &status, 0), stopped);
    assert_int_equal(ask(&o), BOSH_GOT_ANSWER);
    assert_int_equal(o.answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(o.answer.condition, BOSH_COND_INTERNAL_SERVER_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_waits_for_one_that_was_stopped_is_told_to_come_again,
                                        begin, end),
        cmocka_unit_test_setup_teardown(what_cannot_be_told_to_come_again_waits, begin, end),
        cmocka_unit_test_setup_teardown(one_that_was_stopped_and_killed_ends_only_its_session,
                                        begin, end),
    };

    return cmocka_run_group_tests_name("stuck", tests, NULL, NULL);
}
