/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * parent - what httpd's parent process does: makes the segment, its mutex and the
 * knock pipes once, starts connector processes, and keeps all of it over restarts.
 *
 * The parent runs as root and reads nothing that children or connectors write: not
 * the segment, not the pipes.
 */
#ifndef BOSH_PARENT_H
#define BOSH_PARENT_H

#include "httpd.h"

/* From the module's register_hooks. */
void bosh_parent_register_hooks(apr_pool_t *p);

#endif
