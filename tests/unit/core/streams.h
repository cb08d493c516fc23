/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * One session that may have several streams (XEP-0124 section 16): the program's own.
 */
#ifndef STREAMS_H
#define STREAMS_H

#include "drive.h"

#define R (FIRST_RID + 1) /* of the first request after the creation */

extern drive_t d;
extern uint64_t next; /* rid */

/* For cmocka: with the first stream open; with another one besides. */
int open_session(void **state);
int open_two(void **state);

/* The next request, answered at once or not. */
const bosh_action_t *ask(uint8_t asks, uint8_t stream);
/* A request that must be answered at once, and is. */
bosh_action_t get(uint8_t asks, uint8_t stream);
/* Adds the stream that must be given this number. */
void add(uint8_t stream);
void assert_leg_ends(const bosh_action_t *a, uint8_t stream, bosh_condition_t condition);

#endif
