/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * What a connector inherits and must not keep. It outlives restarts, and with it would
 * whatever others wait for the end of: a rotated log's space on the disk, the program
 * behind a piped log, the other connectors' sockets to the parent.
 */

#include "parent_int.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "apr_portable.h"

#define MAX_CLOSED 1024

/* Logs are appended to; a mutex may have a file too, and that is not. */
static bool is_others(int fd)
{
    struct stat s;

    if (fstat(fd, &s) != 0) {
        return false;
    }
    return S_ISFIFO(s.st_mode) || S_ISSOCK(s.st_mode)
           || (S_ISREG(s.st_mode) && (fcntl(fd, F_GETFL) & O_APPEND));
}

static unsigned find(const bosh_wake_t *wake, int control, int log, int *found)
{
    DIR *dir = opendir("/proc/self/fd"); /* elsewhere all is kept */
    const struct dirent *e;
    unsigned n = 0;

    while (dir && (e = readdir(dir)) != NULL && n < MAX_CLOSED) {
        int fd = atoi(e->d_name); /* "." and "..": 0 */

        if (fd > STDERR_FILENO && fd != control && fd != log && !bosh_wake_is_door(wake, fd)
            && is_others(fd)) {
            found[n++] = fd;
        }
    }
    if (dir) {
        closedir(dir);
    }
    return n;
}

/* In the foreground it may be a log as well. */
static void leave_output(void)
{
    int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);

    if (nothing >= 0) {
        dup2(nothing, STDOUT_FILENO);
        close(nothing);
    }
}

void descriptors_close_others(const bosh_wake_t *wake, int control, server_rec *s)
{
    int found[MAX_CLOSED];
    apr_os_file_t log = -1;
    unsigned n;

    if (s->error_log) {
        apr_os_file_get(&log, s->error_log);
    }
    else {
        /* ErrorLog syslog: the C library would go on writing to that number, whatever it
         * comes to be. It opens the socket again when it is used. */
        closelog();
    }
    n = find(wake, control, log, found);
    for (unsigned i = 0; i < n; i++) {
        close(found[i]);
    }
    leave_output();
}
