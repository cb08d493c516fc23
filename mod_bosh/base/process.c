/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Whether a process still runs. One that has ended keeps its number until its parent asks
 * how; httpd's, whose children all died at once, starts new ones while the rest still wait
 * to be asked for, and those would look alive to kill().
 */
#include "bosh/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Linux tells the state behind the program's name, which may hold anything. */
static bool has_ended(int64_t pid)
{
    char path[48], text[512];
    const char *name_end;
    ssize_t n = 0;
    int fd;

    snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, text, sizeof(text) - 1);
        close(fd);
    }
    if (n <= 0) {
        return false; /* not to be known here */
    }
    text[n] = '\0';
    name_end = strrchr(text, ')');
    return name_end && (strncmp(name_end, ") Z", 3) == 0 || strncmp(name_end, ") X", 3) == 0);
}

bool bosh_process_is_alive(int64_t pid)
{
    if (kill((pid_t)pid, 0) != 0 && errno == ESRCH) {
        return false;
    }
    return !has_ended(pid);
}
