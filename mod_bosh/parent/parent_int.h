/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * What the files of parent share.
 *
 *   kept.c        what lives in the process pool, over restarts
 *   connectors.c  connector processes: start, watch, stop
 *   handover.c    the new error log, to a connector that lives on
 */
#ifndef BOSH_PARENT_INT_H
#define BOSH_PARENT_INT_H

#include "apr_global_mutex.h"
#include "apr_thread_proc.h"

#include "bosh/config.h"
#include "bosh/connector.h"
#include "bosh/parent.h"

/* One connector process, as the parent knows it. */
typedef struct process_t {
    apr_proc_t proc;
    uint32_t index;
    int control[2]; /* socket pair: parent's end, connector's end */
    bool alive;
    bosh_msec_t started;
    unsigned deaths; /* in quick succession */
} process_t;

/* In the process pool. Its size and the segment's layout tell another build of the
 * module that this is not its own. */
typedef struct kept_t {
    size_t size;
    unsigned layout;
    bosh_store_t *store;
    bosh_wake_t *wake;
    apr_global_mutex_t *mutex;
    bosh_store_limits_t limits;
    pid_t parent;
    process_t process[BOSH_MAX_CONNECTORS];
} kept_t;

/* kept.c; valid after post_config, in the parent and what it forks */
kept_t *kept_get(void);
server_rec *kept_server(void);

/* connectors.c */
void connectors_start(kept_t *kept, server_rec *s);
/* After a fork that is not a connector. */
void connectors_close_control(kept_t *kept);

/* handover.c */
void handover_send(const process_t *p, server_rec *s);
/* In the connector; false: the parent is gone, or says stop. */
bool handover_receive(int fd, server_rec *s);

#endif
