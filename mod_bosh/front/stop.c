/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A child that is to end is not told why: because httpd restarts, because there are more
 * children than needed, or because httpd stops. Only in the last case sessions end with it.
 * What can be seen: a restart begins a new generation before it tells its children. If none
 * began, a graceful end is a stop if the parent removes its PidFile, which it does as soon as
 * the children were told. An ungraceful end is one if the parent wants it, and not the child:
 * whose threads cannot be started, say, or under prefork every end that the child comes to
 * by itself. The parent's wish comes to the main thread of a child that has begun to serve;
 * under prefork as SIGTERM.
 */

#include "front_int.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "scoreboard.h"

static const char *pid_file; /* NULL: not to be seen from here */

static bool has_served; /* so it is past its beginning */

static bool is_gone(const char *path)
{
    struct stat s;

    return stat(path, &s) != 0 && errno == ENOENT;
}

static bool is_there(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0;
}

void stop_prepare(apr_pool_t *p)
{
    const char *path = ap_pid_fname ? ap_server_root_relative(p, ap_pid_fname) : NULL;

    pid_file = path && is_there(path) ? path : NULL;
}

void stop_note_request(void)
{
    if (!__atomic_load_n(&has_served, __ATOMIC_RELAXED)) {
        __atomic_store_n(&has_served, true, __ATOMIC_RELAXED);
    }
}

static bool is_same_generation(void)
{
    int generation;

    return ap_mpm_query(AP_MPMQ_GENERATION, &generation) == APR_SUCCESS
           && ap_exists_scoreboard_image()
           && ap_scoreboard_image->global->running_generation == generation;
}

static bool is_main_thread(void)
{
    return syscall(SYS_gettid) == getpid();
}

bool stop_is_at_once(void)
{
    if (!is_same_generation()) {
        return false;
    }
    if (signals_are_needed()) {
        return signals_parent_sent_term() || (pid_file && is_gone(pid_file));
    }
    return is_main_thread() && __atomic_load_n(&has_served, __ATOMIC_RELAXED);
}

bool stop_is_possible(void)
{
    return pid_file && is_same_generation();
}

bool stop_is_certain(void)
{
    return is_gone(pid_file);
}
