/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * store - the truth about every session, in anonymous shared memory.
 *
 *   +--------+----------+------------+---------+---------+----------+---------------------+
 *   | header | children | connectors | buckets | clients | sessions | blocks of 512 bytes |
 *   +--------+----------+------------+---------+---------+----------+---------------------+
 *
 * A session is a record of fixed size: its core state, and byte queues made of
 * blocks: per stream up (to the server) and down (to the client), per slot of the
 * window an early payload or a kept answer. Indexes, never pointers: processes may map the
 * segment anywhere.
 *
 * Created by httpd's parent, which never looks inside again. All other functions
 * may be called from any thread of any process that inherited the segment. Each
 * takes the one global mutex itself, does memory work only, and releases it; none
 * is called with it held. Nothing here logs or does I/O.
 *
 * A process may die at any point inside: the next to take the mutex finds the
 * segment marked busy, rebuilds every index from the session records, and ends
 * the one session that was being changed (BOSH_REASON_DAMAGED).
 *
 * It may also be stopped inside. What a client can be told to repeat then fails after some
 * seconds, and for the next ones at once: BOSH_GOT_BUSY, or as said below. All else waits.
 */
#ifndef BOSH_STORE_H
#define BOSH_STORE_H

#include <apr_global_mutex.h>
#include <apr_pools.h>

#include "bosh/core.h"

typedef struct bosh_store_t bosh_store_t;

/* One stream of one session, for as long as it is the same one. Where the session is
 * meant, the stream does not matter. */
typedef struct bosh_ref_t {
    uint32_t index;
    uint32_t generation;
    uint32_t stream; /* < BOSH_MAX_STREAMS */
} bosh_ref_t;

static inline bool bosh_ref_same(bosh_ref_t a, bosh_ref_t b)
{
    return a.index == b.index && a.generation == b.generation && a.stream == b.stream;
}

/* A stream's name: 96 random bits, base64url. */
#define BOSH_STREAM_CHARS 16

/* An HTTP Content-Type that a client chose. */
#define BOSH_CONTENT_SIZE 96

/* 192 random bits: 64 find the session, 128 are compared in constant time. */
#define BOSH_SID_BYTES 24
#define BOSH_SID_CHARS 32 /* base64url, without the NUL */

/* ---- life (parent) ------------------------------------------------------ */

typedef struct bosh_store_limits_t {
    size_t bytes; /* of the whole segment */
    unsigned sessions;
    unsigned children;   /* <= BOSH_MAX_CHILDREN */
    unsigned connectors; /* <= 32 */
} bosh_store_limits_t;

/* Changes with every change of the segment's layout: a process built for another
 * number must not touch it. */
unsigned bosh_store_layout(void);

/* What `bytes` must be at least, for that many sessions and one block each. */
uint64_t bosh_store_least_bytes(const bosh_store_limits_t *limits);

/* APR_ENOSPC: `bytes` is less than that. */
apr_status_t bosh_store_create(bosh_store_t **store, const bosh_store_limits_t *limits,
                               apr_global_mutex_t *mutex, apr_pool_t *p);
/* Each process after its fork, with its own view of the mutex (it may have been
 * reopened by apr_global_mutex_child_init). */
void bosh_store_use_mutex(bosh_store_t *store, apr_global_mutex_t *mutex);

/* ---- front: processes --------------------------------------------------- */

#define BOSH_NO_CHILD UINT32_MAX

/* An index of its own for a starting child; BOSH_NO_CHILD if all are taken. */
uint32_t bosh_store_child_join(bosh_store_t *store, int64_t pid);
/* Its requests are held by nobody from now on. */
void bosh_store_child_leave(bosh_store_t *store, uint32_t child, bosh_msec_t now,
                            bosh_knocks_t *knocks);

/* "Come back at due" for one of the child's requests. */
typedef struct bosh_mail_t {
    uint32_t ticket;
    bosh_msec_t due;
} bosh_mail_t;

/* Empties the child's mailbox into mail[max]; returns how many. *missed: some
 * were lost, look after all requests. Call until it returns less than max; and now and
 * then, since it finds nothing while somebody stands still inside the lock. Also a sign of
 * life. */
unsigned bosh_store_child_mail(bosh_store_t *store, uint32_t child, bosh_mail_t *mail, unsigned max,
                               bosh_msec_t now, bool *missed);

/* A thread of this child is about to block on a held request; false: all
 * children together block `budget` threads already, or the lock is not to be had. */
bool bosh_store_may_block(bosh_store_t *store, uint32_t child, unsigned budget);
void bosh_store_unblock(bosh_store_t *store, uint32_t child);

/* ---- front: requests ---------------------------------------------------- */

/* What the connector needs to open the stream: it outlives the configuration, so all is in
 * here. Zero-terminated strings. */
typedef struct bosh_upstream_t {
    char to[256];   /* the XMPP domain: stream `to`, SNI, and what the certificate must be for */
    char host[256]; /* BOSH_REACH_HOST: name or address; _UNIX: path; _SRV: the name to ask
                       for, which is `to` */
    char from[1024];
    char lang[64];
    char ca_file[256], ca_path[256]; /* "" and "": the system's */
    char client[46], local[46];      /* both ends of the browser's connection, */
    uint16_t client_port;            /* for the PROXY protocol; 0: not known */
    uint16_t local_port;
    uint16_t port;
    uint8_t reach;           /* bosh_reach_t */
    uint8_t tls;             /* bosh_tls_t */
    uint8_t verify;          /* 0: the certificate is not verified */
    uint8_t proxy;           /* version of the PROXY protocol; 0: none */
    uint32_t keepalive;      /* seconds without a byte until there is a space; 0: never */
    uint32_t max_streams;    /* of this domain in one connector; 0: no limit */
    uint32_t max_connecting; /* of those, on their way at a time; likewise */
    uint32_t max_new;        /* of those, begun within a minute; likewise */
    bosh_network_t networks[BOSH_MAX_NETWORKS]; /* may be reached although not public */
} bosh_upstream_t;

/* The address that a session is counted for. */
typedef struct bosh_client_t {
    uint64_t key;        /* of a realm and an IPv4 address, or an IPv6 network of 64 bits;
                            0: not counted */
    uint32_t max_living; /* sessions at a time; 0: no limit */
    uint32_t max_new;    /* sessions begun within a minute; 0: no limit */
} bosh_client_t;

typedef struct bosh_birth_t {
    bosh_terms_t terms;
    bosh_upstream_t upstream;
    bosh_client_t client;
    uint64_t realm;                  /* which virtual host and location the sid belongs to */
    bool secure;                     /* came over TLS */
    char content[BOSH_CONTENT_SIZE]; /* "" unless terms.has_content */
} bosh_birth_t;

/* One parsed request, as the core wants it. */
typedef struct bosh_request_t {
    uint64_t rid;
    uint8_t asks; /* BOSH_ASKS_… */
    uint32_t pause;
    bosh_holder_t holder;
    bosh_str_t payload;
    bosh_str_t stream;          /* its name; absent: none is named */
    bosh_str_t from;            /* with BOSH_ASKS_RESTART; may be absent */
    const bosh_upstream_t *add; /* with BOSH_ASKS_ADD, unless it is refused */
    bosh_condition_t refused;   /* with BOSH_ASKS_ADD: why, or BOSH_COND_NONE */
    uint64_t ack;               /* the client's; 0: none */
    const bosh_keys_t *keys;    /* NULL: none */
    bool is_there;              /* its client was looked for since BOSH_GOT_STALE */
} bosh_request_t;

typedef enum bosh_got_t {
    BOSH_GOT_ANSWER,  /* write outcome.answer with payload */
    BOSH_GOT_HOLD,    /* wait; come back at outcome.due (0: when mail says so) */
    BOSH_GOT_UNKNOWN, /* no such session: item-not-found */
    BOSH_GOT_EXPOSED, /* a session born over TLS, asked for without it: close the
                         connection, leave the session alone */
    BOSH_GOT_STALE,   /* older than what is kept, which ends a session, or a copy of what another
                         holder has; nothing was done. Is the client still there? Ask again, as
                         nobody's if not, with is_there */
    /* From here on: nothing was taken, come again later. */
    BOSH_GOT_NO_ROOM,     /* the session's, or all blocks are used */
    BOSH_GOT_BUSY,        /* somebody stands still inside the lock */
    BOSH_GOT_FULL,        /* no session more can be created */
    BOSH_GOT_CROWDED,     /* nor by this client */
    BOSH_GOT_NO_RANDOM,   /* nor without random bytes: never a weak sid */
    BOSH_GOT_NO_CONNECTOR /* nor when no connector gave a sign of life lately */
} bosh_got_t;

typedef struct bosh_outcome_t {
    bosh_got_t got;
    bosh_ref_t ref;
    uint64_t serial; /* the session's number in the log */
    bosh_msec_t due;
    bosh_answer_t answer;
    bosh_terms_t terms;
    char stream[BOSH_STREAM_CHARS + 1]; /* the name to be written; "": none. For an
                                           answer of BOSH_ANSWER_STREAM or CREATED, ref
                                           is this stream's */
    bool is_kept;                       /* fixed by this call: report it written */
    size_t payload_len;                 /* if it exceeds the buffer's size, nothing was copied:
                             make room and call bosh_store_payload() */
    bosh_knocks_t knocks;               /* to be sent now */
} bosh_outcome_t;

/* Creates a session, in the place of one that has ended if there is no other;
 * sid[BOSH_SID_CHARS + 1] is written. Payload goes up with it.
 * `out` gets the bytes of an answer's payload, up to its present size. */
void bosh_store_create_session(bosh_store_t *store, const bosh_birth_t *birth,
                               const bosh_request_t *req, bosh_msec_t now, char *sid,
                               bosh_buf_t *out, bosh_outcome_t *outcome);

void bosh_store_request(bosh_store_t *store, bosh_str_t sid, uint64_t realm, bool secure,
                        const bosh_request_t *req, bosh_msec_t now, bosh_buf_t *out,
                        bosh_outcome_t *outcome);

/* What was agreed on with a session's client, for an answer to a request that is refused
 * before the session is asked. False: there is no such session here. */
bool bosh_store_peek(bosh_store_t *store, bosh_str_t sid, uint64_t realm, bosh_terms_t *terms,
                     bosh_ref_t *ref);

/* A held request comes back. asks: 0 or BOSH_ASKS_URGENT. */
void bosh_store_due(bosh_store_t *store, bosh_ref_t ref, uint64_t rid, bosh_holder_t holder,
                    uint8_t asks, bosh_msec_t now, bosh_buf_t *out, bosh_outcome_t *outcome);

/* The kept answer's payload once more, into a buffer with enough room. False: it
 * is not there any more. */
bool bosh_store_payload(bosh_store_t *store, bosh_ref_t ref, uint64_t rid, bosh_buf_t *out);

/* False: nothing was done, somebody stands still inside the lock. It must be called again. */
bool bosh_store_gone(bosh_store_t *store, bosh_ref_t ref, uint64_t rid, bosh_holder_t holder,
                     bosh_msec_t now, bosh_knocks_t *knocks);
void bosh_store_written(bosh_store_t *store, bosh_ref_t ref, uint64_t rid, bosh_holder_t holder,
                        bosh_msec_t now, bosh_knocks_t *knocks);

/* What a session creation response says beyond the terms. */
typedef struct bosh_greeting_t {
    char from[256];
    char authid[128];                /* "" if the server has not opened its stream */
    char content[BOSH_CONTENT_SIZE]; /* the session's; see bosh_terms_t */
} bosh_greeting_t;

bool bosh_store_greeting(bosh_store_t *store, bosh_ref_t ref, bosh_greeting_t *greeting);

/* ---- connector ---------------------------------------------------------- */

/* What a connector took with it: streams, and bytes that waited for them to be written. */
typedef struct bosh_loss_t {
    unsigned streams;
    uint64_t bytes;
} bosh_loss_t;

/* A connector process begins: sessions of its predecessor end
 * (BOSH_REASON_CONNECTOR_LOST), but for those it never took up. All are in the mail. */
bosh_loss_t bosh_store_connector_join(bosh_store_t *store, uint32_t connector, int64_t pid,
                                      bosh_msec_t now, bosh_knocks_t *knocks);

/* Streams that want something from this connector, each once. Call until it
 * returns less than max. */
unsigned bosh_store_connector_mail(bosh_store_t *store, uint32_t connector, bosh_ref_t *refs,
                                   unsigned max);

/* A session is over, and no connector has anything to do with its streams any more. This is
 * told once, to the one who comes last. */
typedef struct bosh_end_t {
    uint64_t serial; /* the session's number in the log; 0: there is nothing to be told */
    uint8_t condition, reason;
    bool had_several; /* streams */
} bosh_end_t;

typedef struct bosh_task_t {
    uint64_t serial;
    uint32_t connect_timeout; /* seconds */
    bosh_upstream_t upstream;
    bosh_end_t end; /* only if there is no task */
} bosh_task_t;

/* Once per stream; false if it is gone. */
bool bosh_store_connector_task(bosh_store_t *store, bosh_ref_t ref, bosh_task_t *task);

typedef struct bosh_up_t {
    size_t len;                /* bytes put into the buffer */
    size_t waiting;            /* bytes that the up queue still holds */
    bool more;                 /* so it does, or a restart waits */
    bool restart;              /* a new stream header follows these bytes */
    bool has_from;             /* with restart: see bosh_store_restart_from() */
    bool close;                /* the stream is to be closed after the last byte */
    bool ended;                /* the session is over or unknown: drop the stream */
    bool has_room;             /* the down queue takes bytes again */
    uint8_t condition, reason; /* with close or ended */
    uint64_t serial;           /* 0: the session is unknown */
} bosh_up_t;

/* Takes bytes out of the stream's up queue for good. With buf == NULL nothing is taken,
 * a restart neither: it only tells how things are. */
void bosh_store_take_up(bosh_store_t *store, bosh_ref_t ref, char *buf, size_t size,
                        bosh_msec_t now, bosh_up_t *up, bosh_knocks_t *knocks);

/* The `from` of the restart that take_up() just told of, once. from[1024]. */
void bosh_store_restart_from(bosh_store_t *store, bosh_ref_t ref, char *from);

/*
 * Takes stanzas for the client out of an ended session, or stream, for good: those that
 * never left, and those of kept answers that the client cannot be assumed to have. In
 * order; may cut one in two, the next call goes on. 0: there are none (left).
 *
 * The first call decides: from then on no answer has any of them. A client that asks for
 * an answer once more whose payloads were taken gets the end of the session, as with any
 * late request. Of a stream that ends while its session lives only what never left is
 * taken: its client can still ask for kept answers. What the server sends later goes the
 * same way, so this is to be called until the server's stream is closed.
 */
size_t bosh_store_take_back(bosh_store_t *store, bosh_ref_t ref, char *buf, size_t size);

typedef enum bosh_put_t {
    BOSH_PUT_OK,
    BOSH_PUT_NO_ROOM, /* nothing was taken; take_up says when to try again */
    BOSH_PUT_GONE
} bosh_put_t;

/* Whole stanzas for the client. opens: these are the stream's first features. */
bosh_put_t bosh_store_put_down(bosh_store_t *store, bosh_ref_t ref, bosh_str_t xml, bool opens,
                               bosh_msec_t now, bosh_knocks_t *knocks);

void bosh_store_greet(bosh_store_t *store, bosh_ref_t ref, bosh_str_t from, bosh_str_t authid);

/* The server's stream is gone. Afterwards the session wants nothing more from a
 * connector. last: the stream's error, which belongs into the same answer as the
 * condition (XEP-0124 section 17.2); may be absent, and is left out if there is no room. */
bosh_end_t bosh_store_up_ended(bosh_store_t *store, bosh_ref_t ref, bosh_condition_t condition,
                               bosh_reason_t reason, bosh_str_t last, bosh_msec_t now,
                               bosh_knocks_t *knocks);

/* Ends a session from our side; its connector is mailed. */
void bosh_store_end(bosh_store_t *store, bosh_ref_t ref, bosh_condition_t condition,
                    bosh_reason_t reason, bosh_msec_t now, bosh_knocks_t *knocks);

/* Ends all sessions. */
void bosh_store_end_all(bosh_store_t *store, bosh_condition_t condition, bosh_reason_t reason,
                        bosh_msec_t now, bosh_knocks_t *knocks);

/* Session clocks: lets time pass for some of this connector's sessions, beginning
 * at *cursor, and moves the cursor; true if it came round to the start. */
bool bosh_store_tick(bosh_store_t *store, uint32_t connector, uint32_t *cursor, bosh_msec_t now,
                     bosh_knocks_t *knocks);

/* From `since` to now this connector, or every child, stood still: stopped, starved, or asleep
 * with the machine. That time counts neither as inactivity of this connector's sessions nor as
 * silence of the children. */
void bosh_store_stood_still(bosh_store_t *store, uint32_t connector, bosh_msec_t since,
                            bosh_msec_t now, bosh_knocks_t *knocks);

/* The latest sign of life of any child; 0: there is none. Takes no lock. */
bosh_msec_t bosh_store_children_seen(const bosh_store_t *store);

/* Frees what dead children held, and what those hold that were silent for two minutes. These
 * keep their places: they may have been stopped, and go on. is_alive() is asked outside the
 * lock. */
void bosh_store_reap_children(bosh_store_t *store, bool (*is_alive)(int64_t pid), bosh_msec_t now,
                              bosh_knocks_t *knocks);

/* ---- anybody ------------------------------------------------------------ */

typedef struct bosh_store_status_t {
    unsigned sessions, max_sessions;
    unsigned blocks_free, blocks;
    unsigned children;
    unsigned connectors; /* that gave a sign of life lately */
    uint64_t created;    /* sessions since the segment exists */
    uint64_t repairs;
} bosh_store_status_t;

void bosh_store_status(bosh_store_t *store, bosh_msec_t now, bosh_store_status_t *status);

/* Walks the whole segment. NULL if all is well, else the first contradiction in
 * words. Tests call it after every step. */
const char *bosh_store_check(bosh_store_t *store);

#endif
