/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * wake - knocks between processes: "look at the store".
 *
 * One pipe per httpd child and per connector, made by httpd's parent before any of
 * them exists, so that everybody can knock at everybody's door. Knocks may be
 * lost, late or doubled; nothing depends on their number. A full pipe is as good
 * as a knock: somebody will look anyway.
 *
 * Owned by the pool it was created from (the parent's process pool: it outlives
 * restarts). All functions but the first may be called from any thread of any
 * process, without a lock; none of them blocks.
 */
#ifndef BOSH_WAKE_H
#define BOSH_WAKE_H

#include <apr_file_io.h>

#include "bosh/base.h"

typedef struct bosh_wake_t bosh_wake_t;

/* Changes with what a bosh_wake_t looks like, which another build may find. */
unsigned bosh_wake_layout(void);

/* In the parent. children <= BOSH_MAX_CHILDREN, connectors <= 32. */
apr_status_t bosh_wake_create(bosh_wake_t **wake, unsigned children, unsigned connectors,
                              apr_pool_t *p);

/* This descriptor is one end of one of the pipes. */
bool bosh_wake_is_door(const bosh_wake_t *wake, int fd);

/* What the process polls for reading (APR_POLL_FILE). */
apr_file_t *bosh_wake_child_door(const bosh_wake_t *wake, unsigned child);
apr_file_t *bosh_wake_connector_door(const bosh_wake_t *wake, unsigned connector);

/* Reads all knocks away; afterwards look at the store, in this order. */
void bosh_wake_open_door(apr_file_t *door);

void bosh_wake_child(const bosh_wake_t *wake, unsigned child);
void bosh_wake_connector(const bosh_wake_t *wake, unsigned connector);
/* All of them, and forgets them. */
void bosh_wake_send(const bosh_wake_t *wake, bosh_knocks_t *knocks);

#endif
