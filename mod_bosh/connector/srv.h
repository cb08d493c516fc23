/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * SRV records of a domain: which are usable, and in which order (RFC 2782). Those of
 * _xmpps-client and _xmpp-client are one set (XEP-0368). Pure; needs nothing but libc.
 */
#ifndef BOSH_CONNECTOR_SRV_H
#define BOSH_CONNECTOR_SRV_H

#include <stdbool.h>
#include <stdint.h>

#define SRV_RECORDS 16 /* taken of each of the two; what comes after them is ignored */
#define SRV_TARGETS 8  /* tried at most */
#define SRV_NAME    254

typedef struct srv_record_t {
    uint16_t priority, weight, port;
    bool direct;           /* of _xmpps-client */
    char target[SRV_NAME]; /* without a trailing dot */
} srv_record_t;

typedef struct srv_set_t {
    srv_record_t record[2 * SRV_RECORDS];
    unsigned n;
    bool is_denied;  /* some service is said not to be there: a target of "." */
    bool has_broken; /* there were records that nobody can use */
} srv_set_t;

/* A number of 0...max, each with the same chance. */
typedef uint32_t srv_random_fn(void *baton, uint32_t max);

/* A name that DNS can know, and that nobody takes for an address: letters, digits, hyphens
 * and underscores, the last label not only of digits. Without a trailing dot. */
bool srv_is_name(const char *name);

/* A record as it came; the set is all zero in the beginning. */
void srv_add(srv_set_t *set, bool direct, uint16_t priority, uint16_t weight, uint16_t port,
             const char *target);

/* The order to try them in, SRV_TARGETS at most. */
void srv_order(srv_set_t *set, srv_random_fn *random, void *baton);

#endif
