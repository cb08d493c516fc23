/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Processes in each state in which one may be met. */
#include "bosh/base.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static pid_t child(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_NAME, ") Z (");
        for (;;) {
            pause();
        }
    }
    return pid;
}

/* Leaves it unasked for. */
static void wait_ended(pid_t pid)
{
    siginfo_t info;

    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static void one_that_runs(void **state)
{
    pid_t pid = child();

    (void)state;
    assert_true(bosh_process_is_alive(getpid()));
    assert_true(bosh_process_is_alive(pid));
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
    assert_true(bosh_process_is_alive(pid));
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void one_that_has_ended(void **state)
{
    pid_t pid = child();

    (void)state;
    assert_int_equal(kill(pid, SIGKILL), 0);
    wait_ended(pid);
    assert_int_equal(kill(pid, 0), 0); /* as kill() sees it, it is there */
    assert_false(bosh_process_is_alive(pid));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_false(bosh_process_is_alive(pid));
}

static void one_of_another_user(void **state)
{
    (void)state;
    assert_true(bosh_process_is_alive(1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_runs),
        cmocka_unit_test(one_that_has_ended),
        cmocka_unit_test(one_of_another_user),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
