/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Drives one session through the core, with a clock of the test's own. Every step
 * checks what holds for every step: the session does not contradict itself, and the
 * event's holder is told exactly one thing.
 */
#ifndef DRIVE_H
#define DRIVE_H

#include "bosh/core.h"

#define FIRST_RID  UINT64_C(1000)
#define WAIT       60
#define INACTIVITY 30
#define POLLING    5
#define MAXPAUSE   120
#define CONNECT    20

typedef struct drive_t {
    bosh_session_t s;
    bosh_msec_t now;
    bosh_actions_t acts;
    bosh_holder_t holder; /* of the latest request */
    uint32_t tickets;
} drive_t;

/* The creation request has arrived, and waits for the server's features. */
void drive_begin(drive_t *d, uint32_t hold, uint32_t wait);
/* Features came, the creation answer is written, some time has passed. The next
 * rid is FIRST_RID + 1. */
void drive_open(drive_t *d, uint32_t hold, uint32_t wait);

/* A new copy of this request arrives, with a holder of its own unless `ev` names one. All of
 * these return what the event's holder is told. */
const bosh_action_t *request(drive_t *d, uint64_t rid, uint8_t asks);
const bosh_action_t *request_as(drive_t *d, uint64_t rid, bosh_event_t ev);
const bosh_action_t *request_ack(drive_t *d, uint64_t rid, uint8_t asks, uint64_t ack);
const bosh_action_t *request_stream(drive_t *d, uint64_t rid, uint8_t asks, uint8_t stream);
const bosh_action_t *request_pause(drive_t *d, uint64_t rid, uint32_t seconds);
const bosh_action_t *comes_back(drive_t *d, uint64_t rid, bosh_holder_t holder);
const bosh_action_t *comes_back_urgently(drive_t *d, uint64_t rid, bosh_holder_t holder);

void hangs_up(drive_t *d, uint64_t rid, bosh_holder_t holder);
void wrote(drive_t *d, uint64_t rid, bosh_holder_t holder);
void opened(drive_t *d);
void data(drive_t *d);
void opened_on(drive_t *d, uint8_t stream);
void data_on(drive_t *d, uint8_t stream);
void stream_ended_on(drive_t *d, uint8_t stream, bosh_condition_t condition, bosh_reason_t reason);
void tick(drive_t *d);
void stream_ended(drive_t *d, bosh_condition_t condition, bosh_reason_t reason);
void ended_by_us(drive_t *d, bosh_condition_t condition, bosh_reason_t reason);

/* Of the latest step: the first action of that kind, or NULL; how many there are;
 * where it stands among all. */
const bosh_action_t *find(const drive_t *d, bosh_action_kind_t kind);
unsigned count(const drive_t *d, bosh_action_kind_t kind);
/* When this holder was told to come back; 0: it was told nothing. */
bosh_msec_t woken(const drive_t *d, bosh_holder_t holder);

const bosh_slot_t *slot_of(const drive_t *d, uint64_t rid);

#endif
