/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Knocks between processes: hints that may be lost, and never block. */

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_portable.h>

#include "bosh/wake.h"

#include "../core/unit.h"

#define CHILDREN   70 /* more than one word of bits */
#define CONNECTORS 3

static apr_pool_t *pool;
static bosh_wake_t *wake;

static int begin(void **state)
{
    (void)state;
    apr_initialize();
    return apr_pool_create(&pool, NULL) || bosh_wake_create(&wake, CHILDREN, CONNECTORS, pool);
}

static int end(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}

static int fd_of(apr_file_t *door)
{
    apr_os_file_t fd;

    assert_int_equal(apr_os_file_get(&fd, door), APR_SUCCESS);
    return fd;
}

static bool is_knocked(apr_file_t *door)
{
    struct pollfd p = { .fd = fd_of(door), .events = POLLIN };

    return poll(&p, 1, 0) == 1;
}

static unsigned count_knocked(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < CHILDREN; i++) {
        n += is_knocked(bosh_wake_child_door(wake, i));
    }
    for (unsigned i = 0; i < CONNECTORS; i++) {
        n += is_knocked(bosh_wake_connector_door(wake, i));
    }
    return n;
}

static void knock_is_seen_at_its_door_only(void **state)
{
    (void)state;
    assert_int_equal(count_knocked(), 0);
    bosh_wake_child(wake, 69);
    assert_true(is_knocked(bosh_wake_child_door(wake, 69)));
    assert_int_equal(count_knocked(), 1);
    bosh_wake_connector(wake, 0);
    assert_true(is_knocked(bosh_wake_connector_door(wake, 0)));
    assert_int_equal(count_knocked(), 2);
}

static void opening_the_door_reads_all_knocks(void **state)
{
    static const unsigned numbers[] = { 1, 2, 255, 256, 257, 512, 1000 };
    apr_file_t *door = bosh_wake_child_door(wake, 3);

    (void)state;
    bosh_wake_open_door(door); /* nobody knocked: does not wait */
    for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        for (unsigned n = 0; n < numbers[i]; n++) {
            bosh_wake_child(wake, 3);
        }
        assert_true(is_knocked(door));
        bosh_wake_open_door(door);
        assert_false(is_knocked(door));
    }
    bosh_wake_child(wake, 3);
    assert_true(is_knocked(door));
}

static void full_pipe_does_not_block_and_still_knocks(void **state)
{
    apr_file_t *door = bosh_wake_connector_door(wake, 1);

    (void)state;
    alarm(20);
    for (unsigned i = 0; i < 200000; i++) {
        bosh_wake_connector(wake, 1);
    }
    alarm(0);
    assert_true(is_knocked(door));
    bosh_wake_open_door(door);
    assert_false(is_knocked(door));
    bosh_wake_connector(wake, 1);
    assert_true(is_knocked(door));
}

static void knocking_at_a_door_that_is_not_there_does_no_harm(void **state)
{
    (void)state;
    bosh_wake_child(wake, CHILDREN);
    bosh_wake_child(wake, UINT32_MAX);
    bosh_wake_connector(wake, CONNECTORS);
    assert_int_equal(count_knocked(), 0);
}

static void sends_every_knock_and_forgets_it(void **state)
{
    bosh_knocks_t knocks = { 0 };

    (void)state;
    bosh_knock_child(&knocks, 0);
    bosh_knock_child(&knocks, 63);
    bosh_knock_child(&knocks, 64);
    bosh_knock_child(&knocks, 69);
    bosh_knock_connector(&knocks, 2);
    bosh_knock_connector(&knocks, 0);
    bosh_wake_send(wake, &knocks);
    assert_true(is_knocked(bosh_wake_child_door(wake, 0)));
    assert_true(is_knocked(bosh_wake_child_door(wake, 63)));
    assert_true(is_knocked(bosh_wake_child_door(wake, 64)));
    assert_true(is_knocked(bosh_wake_child_door(wake, 69)));
    assert_true(is_knocked(bosh_wake_connector_door(wake, 0)));
    assert_true(is_knocked(bosh_wake_connector_door(wake, 2)));
    assert_int_equal(count_knocked(), 6);
    assert_memory_equal(&knocks, &(bosh_knocks_t){ 0 }, sizeof(knocks));
    for (unsigned i = 0; i < CHILDREN; i++) {
        bosh_wake_open_door(bosh_wake_child_door(wake, i));
    }
    bosh_wake_send(wake, &knocks);
    assert_int_equal(count_knocked(), 2); /* the connectors' of before */
}

static void knocks_for_more_children_than_there_are_do_no_harm(void **state)
{
    bosh_knocks_t knocks;

    (void)state;
    memset(knocks.children, 0xff, sizeof(knocks.children));
    knocks.connectors = UINT32_MAX;
    knocks.any = true;
    bosh_wake_send(wake, &knocks);
    assert_int_equal(count_knocked(), CHILDREN + CONNECTORS);
}

static void doors_are_closed_in_programs_that_are_executed(void **state)
{
    unsigned checked = 0;

    (void)state;
    for (unsigned i = 0; i < CHILDREN; i++) {
        assert_true(fcntl(fd_of(bosh_wake_child_door(wake, i)), F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(fd_of(bosh_wake_child_door(wake, i)), F_GETFL) & O_NONBLOCK);
    }
    /* both ends of every pipe, whatever their numbers */
    for (int fd = 3; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);

        if (flags != -1 && lseek(fd, 0, SEEK_CUR) == -1) {
            checked += flags & FD_CLOEXEC ? 1 : 0;
        }
    }
    assert_true(checked >= 2 * (CHILDREN + CONNECTORS));
}

static void processes_knock_at_each_others_doors(void **state)
{
    apr_file_t *theirs = bosh_wake_child_door(wake, 5), *ours = bosh_wake_connector_door(wake, 0);
    int status;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        struct pollfd p = { .fd = fd_of(theirs), .events = POLLIN };

        if (poll(&p, 1, 10000) != 1) {
            _exit(1);
        }
        bosh_wake_open_door(theirs);
        bosh_wake_connector(wake, 0);
        _exit(is_knocked(theirs) ? 2 : 0);
    }
    bosh_wake_child(wake, 5);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(is_knocked(ours));
    assert_false(is_knocked(theirs));
}

static void a_process_that_died_takes_no_door_with_it(void **state)
{
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        kill(getpid(), SIGKILL);
    }
    waitpid(pid, NULL, 0);
    bosh_wake_child(wake, 5); /* no SIGPIPE: we hold both ends of every door */
    assert_true(is_knocked(bosh_wake_child_door(wake, 5)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(knock_is_seen_at_its_door_only, begin, end),
        cmocka_unit_test_setup_teardown(opening_the_door_reads_all_knocks, begin, end),
        cmocka_unit_test_setup_teardown(full_pipe_does_not_block_and_still_knocks, begin, end),
        cmocka_unit_test_setup_teardown(knocking_at_a_door_that_is_not_there_does_no_harm, begin,
                                        end),
        cmocka_unit_test_setup_teardown(sends_every_knock_and_forgets_it, begin, end),
        cmocka_unit_test_setup_teardown(knocks_for_more_children_than_there_are_do_no_harm, begin,
                                        end),
        cmocka_unit_test_setup_teardown(doors_are_closed_in_programs_that_are_executed, begin, end),
        cmocka_unit_test_setup_teardown(processes_knock_at_each_others_doors, begin, end),
        cmocka_unit_test_setup_teardown(a_process_that_died_takes_no_door_with_it, begin, end),
    };

    return cmocka_run_group_tests_name("pipes", tests, NULL, NULL);
}
