/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A child that is to end gracefully is not told why: because httpd restarts, because there
 * are more children than needed, or because httpd stops. Only in the last case sessions
 * end with it. What can be seen of a graceful stop: the parent did not begin a new
 * generation, and it removes its PidFile as soon as the children were told.
 */

#include "front_int.h"

#include <errno.h>
#include <sys/stat.h>

#include "scoreboard.h"

static const char *pid_file; /* NULL: not to be seen from here */

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

bool stop_is_possible(void)
{
    int generation;

    return pid_file && ap_mpm_query(AP_MPMQ_GENERATION, &generation) == APR_SUCCESS
           && ap_exists_scoreboard_image()
           && ap_scoreboard_image->global->running_generation == generation;
}

bool stop_is_certain(void)
{
    return is_gone(pid_file);
}
