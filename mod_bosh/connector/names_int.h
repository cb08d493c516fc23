/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * What the files about names share, and nobody else needs to know: c-ares.
 *
 *   service.c  names_find_service(): SRV records, then addresses of their targets
 *   names.c    names_find(): addresses of one name; questions and their ends
 *   channel.c  c-ares' channels: their sockets, and another resolv.conf
 *
 * A question is one call of c-ares. It lives until c-ares has called back, which cannot be
 * hurried; its asker is answered after QUESTION_MS at the latest, and may have gone before.
 */
#ifndef BOSH_NAMES_INT_H
#define BOSH_NAMES_INT_H

#include <ares.h>
#include <sys/stat.h>

#include "connector_int.h"
#include "srv.h"

/* Sockets c-ares has open at once; it opens one per channel, server and protocol. */
#define MAX_SOCKETS 64

/* c-ares' own end of a question depends on how many name servers there are, and dead. */
#define QUESTION_MS BOSH_SEC(8)

/* Some name servers are silent about addresses of one family, and c-ares keeps those of the other
 * to itself until all its tries are over. So after that time each is asked for by itself. */
#define FAMILIES_MS BOSH_SEC(2)

/* ---- channel.c ---------------------------------------------------------- */

/* SEARCHING: resolv.conf's search domains are tried, for names the administrator wrote.
 * EXACT: none, for names that came from elsewhere: example.org must not become
 * example.org.our.domain, where somebody else may be at home. */
typedef enum channel_kind_t { SEARCHING, EXACT, CHANNEL_KINDS } channel_kind_t;

/* Not a current one any more when resolv.conf has changed; gone with its last question. */
typedef struct channel_t {
    struct channel_t *next;
    names_t *names;
    ares_channel ares;
    unsigned questions;
} channel_t;

typedef struct asock_t {
    watch_t watch; /* first */
    channel_t *channel;
    apr_socket_t *shell;
    ares_socket_t fd; /* ARES_SOCKET_BAD: free */
} asock_t;

/* NULL: there is no memory, or resolv.conf cannot be read. */
channel_t *channel_get(names_t *n, channel_kind_t kind);
/* c-ares' clocks; and those go that nobody needs any more. Not within a callback of c-ares. */
void channels_tick(names_t *n);
void channels_destroy(names_t *n);
void channels_init_sockets(names_t *n);

/* ---- names.c ------------------------------------------------------------ */

typedef struct question_t question_t;
typedef struct service_t service_t;

/* status: ARES_…; what does not come with it is NULL, and none of it is the callee's. */
typedef void answered_fn(question_t *q, int status, const struct ares_addrinfo *info,
                         const struct ares_srv_reply *srv);

struct question_t {
    question_t *next;
    names_t *names;
    channel_t *channel;
    channel_kind_t kind;
    bosh_msec_t deadline;
    bosh_msec_t families_at; /* 0: never */
    void *baton;             /* NULL: nobody wants the answer any more */
    answered_fn *answered;
    names_found_fn *found; /* of names_find() */
    uint16_t port;         /* the same */
    bool direct;           /* of names_find_service(): which of the SRV names */
    char host[256];        /* whose addresses are asked for */
};

struct names_t {
    connector_t *k;
    names_source_t source;
    channel_t *channels;               /* list of all */
    channel_t *current[CHANNEL_KINDS]; /* NULL: to be made */
    struct stat seen;                  /* resolv.conf, when these were made */
    bosh_msec_t looked;                /* when it was last looked at; 0: never */
    question_t *questions;             /* list */
    service_t *services;               /* list */
    asock_t sockets[MAX_SOCKETS];
};

/* Literals, as people and XMPP addresses write them: 192.0.2.1, 2001:db8::1, [2001:db8::1]. */
bool names_parse_literal(const char *host, uint16_t port, address_t *a);
/* A question for names_ask_…(), with what all have in common; NULL: no memory. */
question_t *question_new(names_t *n, channel_kind_t kind, answered_fn *answered, void *baton);
/* Both call answered() once, perhaps before returning; never once q->baton is NULL. */
void question_ask_addresses(question_t *q, const char *host);
void question_ask_srv(question_t *q, const char *name);
void questions_forget(names_t *n, const void *baton);
/* Puts at most max addresses into list; returns how many. c-ares has them sorted (RFC 6724): IPv6
 * first where this machine has a way there, else IPv4. Here they alternate, so that one family that
 * leads nowhere does not use up all tries (RFC 8305, section 4). */
unsigned names_addresses(const struct ares_addrinfo *info, address_t *list, unsigned max);

/* ---- service.c ---------------------------------------------------------- */

void services_forget(names_t *n, const void *baton);

#endif
