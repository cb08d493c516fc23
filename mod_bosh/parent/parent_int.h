/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * What the files of parent share.
 *
 *   kept.c        what lives in the process pool, over restarts
 *   connectors.c  connector processes: start, watch, stop
 *   handover.c    what a connector that lives on is told: of a restart, of the new error log
 *   descriptors.c what a connector must not keep open
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
    int control[2];      /* socket pair: parent's end, connector's end */
    bosh_msec_t started; /* its pause before that is over by then; 0: never yet */
    unsigned deaths;     /* in quick succession */
} process_t;

/* What any build of the module, whatever else it keeps, must be able to end: never changes. */
typedef struct kept_head_t {
    size_t size;      /* of the kept_t; it and the layout tell another build of the module */
    unsigned layout;  /* that this is not its own */
    apr_pool_t *pool; /* segment, mutex and pipes; all its cleanups are APR's */
    struct {
        pid_t pid;   /* 0: none */
        int control; /* the parent's end */
    } connector[BOSH_MAX_CONNECTORS];
} kept_head_t;

/* In the process pool. */
typedef struct kept_t {
    kept_head_t head;
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
/* None of them runs any more; they ended when the module was not loaded. */
bool connectors_are_gone(const kept_t *kept);
/* Ends connectors, of whatever build, and waits until they are gone. */
void connectors_end(kept_head_t *head, server_rec *s);
/* Starts those that could not be started. */
void connectors_look_after(kept_t *kept, server_rec *s);
/* After a fork that is not a connector. */
void connectors_close_control(kept_t *kept);

/* descriptors.c */
/* In the connector. */
void descriptors_close_others(const bosh_wake_t *wake, int control, server_rec *s);

/* handover.c */
/* After a restart: the new error log. */
void handover_send(const process_t *p, server_rec *s);
/* Before it: nobody knows yet whether the new configuration has this module. */
void handover_announce(const process_t *p, bosh_msec_t patience);
/* In the connector; false: the parent is gone. */
bool handover_receive(int fd, server_rec *s, bosh_msec_t *patience);

#endif
