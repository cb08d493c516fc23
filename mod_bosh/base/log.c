/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * The log port: formats a line and hands it to the sink of this process.
 */
#include "bosh/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* As much as httpd's error log takes after its own prefix, with room to spare. */
#define LINE_SIZE 2048

/* Written once before the process has threads, read only after that. */
static bosh_log_sink_fn *log_sink;

void bosh_log_to(bosh_log_sink_fn *sink)
{
    log_sink = sink;
}

void bosh_log_at(bosh_log_level_t level, const char *file, int line, const char *fmt, ...)
{
    /* Callers log a failure, then look at errno. */
    int saved_errno = errno;
    char text[LINE_SIZE];
    va_list args;

    if (!log_sink) {
        return;
    }
    va_start(args, fmt);
    if (vsnprintf(text, sizeof(text), fmt, args) < 0) {
        text[0] = '\0';
    }
    va_end(args);
    log_sink(level, file, line, text);
    errno = saved_errno;
}
