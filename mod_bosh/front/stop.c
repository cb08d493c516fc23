/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A child that is to end is not told why: because httpd restarts, because there are more
 * children than needed, or because httpd stops. Only in the last case sessions end with it.
 * What can be seen: a restart begins a new generation before it tells its children. If none
 * began, an ungraceful end is a stop; a graceful one is if the parent removes its PidFile,
 * which it does as soon as the children were told.
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

bool stop_is_same_generation(void)
{
    int generation;

    return ap_mpm_query(AP_MPMQ_GENERATION, &generation) == APR_SUCCESS
           && ap_exists_scoreboard_image()
           && ap_scoreboard_image->global->running_generation == generation;
}

bool stop_is_possible(void)
{
    return pid_file && stop_is_same_generation();
}

bool stop_is_certain(void)
{
    return is_gone(pid_file);
}
