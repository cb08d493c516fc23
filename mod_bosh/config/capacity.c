/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Does httpd take as many connections as there may be sessions? Each holds one. */
#include "config_int.h"

#include <stdlib.h>

#include "ap_mpm.h"
#include "http_log.h"
#include "util_cfgtree.h"

APLOG_USE_MODULE(bosh);

/* Of the event MPM, which answers no question about it. */
#define FACTOR         "AsyncRequestWorkerFactor"
#define DEFAULT_FACTOR 2.0

static void find_last(const ap_directive_t *d, const char *name, const char **args)
{
    for (; d; d = d->next) {
        if (strcasecmp(d->directive, name) == 0) {
            *args = d->args;
        }
        find_last(d->first_child, name, args);
    }
}

const char *bosh_config_written(const char *directive)
{
    const char *args = NULL;

    find_last(ap_conftree, directive, &args);
    return args;
}

static double connections(void)
{
    const char *factor = bosh_config_written(FACTOR);
    int daemons = 0, threads = 0, is_async = 0;
    double workers;

    ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &daemons);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    ap_mpm_query(AP_MPMQ_IS_ASYNC, &is_async);
    workers = (double)daemons * (threads > 0 ? threads : 1);
    return is_async ? workers * (1.0 + (factor ? atof(factor) : DEFAULT_FACTOR)) : workers;
}

/* Who never wrote the directive need not think of it at each start. */
void bosh_config_warn_capacity(const server_rec *main_server)
{
    int level = bosh_config_written("BoshMaxSessions") ? APLOG_WARNING : APLOG_INFO;
    int sessions = bosh_config(main_server)->max_sessions;
    double most = connections();

    if (most > 0 && sessions > most) {
        ap_log_error(APLOG_MARK, level, 0, main_server,
                     BOSHNO(0005) "BoshMaxSessions is %d, but this httpd takes %.0f connections "
                                  "at most (MaxRequestWorkers, " FACTOR "), and each session "
                                  "holds one: see install.md",
                     sessions, most);
    }
}
