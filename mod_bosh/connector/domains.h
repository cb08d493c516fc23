/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * The XMPP domains that this connector's streams go to: how many streams each has, how many of
 * them are on their way there, who waits until there are fewer, and how many began lately.
 *
 * A visit is a stream's part in it. Its owner keeps it, from domains_join() to domains_leave():
 *
 *   RESTS --domains_ask--> CONNECTS --domains_done--> RESTS
 *             '--too many--> WAITS --domains_next--> CONNECTS
 *
 * Who waits is served in the order of asking, also before a newcomer who would be content with
 * a higher limit. Each call takes the same time however many there are. Pure; one thread.
 */
#ifndef BOSH_CONNECTOR_DOMAINS_H
#define BOSH_CONNECTOR_DOMAINS_H

#include "bosh/base.h"

/* For so long a stream that has begun is one of those that began lately. */
#define DOMAINS_WINDOW_MS BOSH_SEC(60)

typedef struct domain_t domain_t;

typedef enum visit_state_t { VISIT_RESTS, VISIT_WAITS, VISIT_CONNECTS } visit_state_t;

typedef struct visit_t {
    struct visit_t *next, *prev; /* of those that wait */
    domain_t *domain;            /* NULL: has not joined */
    uint32_t limit;
    visit_state_t state;
} visit_t;

/* All zero: there are none yet. */
typedef struct domains_t {
    domain_t **bucket;
    uint32_t buckets; /* a power of two, or 0 */
    uint32_t count;
    domain_t *due; /* list: those whose first in the queue may go, perhaps */
    bosh_msec_t swept;
} domains_t;

/* One stream more; *v is all zero. False: there is no memory. */
bool domains_join(domains_t *all, visit_t *v, const char *name);
/* Of v's domain, v among them. */
uint32_t domains_streams(const visit_t *v);
/* v is counted as one that begins now. False: it is not, since so many (0: any number) have
 * begun within the window, which is counted from the first of them. */
bool domains_begin(visit_t *v, uint32_t limit, bosh_msec_t now);
/* May v connect? Not while so many do (0: any number), or others have asked before: then it
 * waits, and domains_next() gives it. */
bool domains_ask(visit_t *v, uint32_t limit);
/* v neither connects any more nor waits. */
void domains_done(domains_t *all, visit_t *v);
/* One that waited, and connects now; NULL: nobody's turn has come. */
visit_t *domains_next(domains_t *all);
void domains_leave(domains_t *all, visit_t *v);
/* Now and then: what was kept only for its count is forgotten. */
void domains_tick(domains_t *all, bosh_msec_t now);

#endif
