/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * front - the httpd side: the handler, suspended requests, the waiting room.
 */
#ifndef BOSH_FRONT_H
#define BOSH_FRONT_H

#include "httpd.h"

#include "bosh/store.h"
#include "bosh/wake.h"

/* From the module's register_hooks. */
void bosh_front_register_hooks(apr_pool_t *p);

/* In the parent, once per (re)start, before children are forked. NULL: there is no
 * store this build of the module may use; requests are answered with 503. */
void bosh_front_use(bosh_store_t *store, bosh_wake_t *wake);

/* Each new child, before its threads. */
void bosh_front_child_init(apr_pool_t *p, server_rec *s);

#endif
