/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * The monotonic clock. Only the processes that own deadlines read it; the core
 * is given the time as a parameter.
 */
#include "bosh/base.h"

#include <time.h>

bosh_msec_t bosh_now(void)
{
    struct timespec ts;
    bosh_msec_t now;

    /* Cannot fail: the clock exists on every system httpd runs on, and ts is valid. */
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    now = BOSH_SEC(ts.tv_sec) + (bosh_msec_t)(ts.tv_nsec / 1000000);

    /* 0 is "never"; a container just started may have a clock that young. */
    return now > 0 ? now : 1;
}
