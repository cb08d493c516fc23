/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * The segment's layout, and what the files of store share.
 *
 *   segment.c    size, creation, who is where
 *   lock.c       the mutex, the busy mark
 *   blocks.c     chains of blocks: byte queues
 *   records.c    session records: allocation, lookup by sid
 *   mail.c       mailboxes of children and connectors
 *   apply.c      carries out the core's actions
 *   requests.c   what the front calls
 *   upstream.c   what the connector calls
 *   processes.c  children and connectors come and go
 *   repair.c     after a process died inside
 *   check.c      the checker
 *
 * Functions ending in _locked want the mutex held.
 */
#ifndef BOSH_STORE_INT_H
#define BOSH_STORE_INT_H

#include <pthread.h>

#include <apr_shm.h>

#include "bosh/store.h"

#define STORE_MAGIC  UINT32_C(0x626f7368)
#define RECORD_MAGIC UINT32_C(0x73657373)
#define STORE_LAYOUT 2u
#define NIL          UINT32_MAX

#define BLOCK_SIZE     512
#define BLOCK_BYTES    (BLOCK_SIZE - 8)
#define MAIL_SLOTS     512
#define MAX_CONNECTORS 32

/* Most that may wait in one session, each way; a stanza of the largest size fits. */
#define UP_LIMIT   (1024 * 1024)
#define DOWN_LIMIT (1024 * 1024 + 512 * 1024)

typedef struct block_t {
    uint32_t next;
    uint32_t owner; /* session index; NIL: free */
    char bytes[BLOCK_BYTES];
} block_t;

/* Bytes in order, in blocks. */
typedef struct chain_t {
    uint32_t head, tail;
    uint32_t start; /* offset of the first byte in the head block */
    uint32_t len;   /* bytes */
} chain_t;

#define EMPTY_CHAIN ((chain_t){ NIL, NIL, 0, 0 })

typedef struct record_t {
    uint32_t magic;
    uint32_t generation;
    uint32_t next;      /* in the bucket, or in the free list */
    uint32_t mail_next; /* in the connector's mailbox */
    uint8_t in_use;
    uint8_t in_mail;
    uint8_t connector;
    uint8_t secure;
    uint8_t wants_close; /* the core said BOSH_DO_CLOSE */
    uint8_t wants_restart;
    uint8_t down_blocked; /* the connector waits for room */
    uint8_t up_gone;      /* the connector has nothing more to do with it */
    uint64_t serial;
    uint64_t realm;
    uint64_t up_total;   /* bytes that ever entered the up queue */
    uint64_t up_taken;   /* bytes that ever left it */
    uint64_t restart_at; /* up_total when the restart was asked for */
    unsigned char sid[BOSH_SID_BYTES];
    chain_t task;     /* a bosh_upstream_t, until the connector took it */
    chain_t greeting; /* a bosh_greeting_t */
    chain_t up, down;
    chain_t slot[BOSH_SLOTS]; /* early payload, or kept answer */
    bosh_session_t core;
} record_t;

typedef struct mailbox_t {
    uint32_t first, count; /* ring */
    uint8_t missed;
    uint8_t knocked; /* a knock was sent since it was last emptied */
    bosh_mail_t mail[MAIL_SLOTS];
} mailbox_t;

typedef struct child_t {
    int64_t pid; /* 0: free */
    bosh_msec_t seen;
    uint32_t blocking;
    mailbox_t box;
} child_t;

typedef struct connector_t {
    int64_t pid;
    bosh_msec_t seen;
    uint32_t mail_first, mail_last; /* sessions, linked by mail_next */
    uint8_t knocked;
} connector_t;

typedef struct header_t {
    uint32_t magic, layout;
    uint32_t max_sessions, max_blocks, max_children, max_connectors, buckets;
    int64_t busy;                        /* pid inside the lock; 0: nobody */
    uint32_t touched;                    /* the session being changed; NIL: none */
    uint32_t free_session, free_block;   /* lists of what was used and given back */
    uint32_t used_sessions, used_blocks; /* beyond these nothing was ever used */
    uint32_t sessions, blocks_free;
    uint32_t next_connector;
    uint64_t serial, repairs;
    uint32_t off_children, off_buckets, off_sessions, off_blocks; /* in BLOCK_SIZE units */
    connector_t connectors[MAX_CONNECTORS];
} header_t;

struct bosh_store_t {
    apr_shm_t *shm;
    apr_global_mutex_t *mutex;
    pthread_mutex_t gate; /* this process' threads come to the mutex one at a time */
    int spins;            /* tries before the kernel is asked to wait for it */
    int64_t pid;          /* of this process; asking the kernel each time would cost */
    header_t *h;
    child_t *children;
    uint32_t *buckets;
    record_t *sessions;
    block_t *blocks;
};

/* lock.c */
void lock_init(bosh_store_t *st, apr_global_mutex_t *mutex);
/* False: the mutex failed; nothing may be touched, and unlock is not called. */
bool store_lock(bosh_store_t *st, bosh_knocks_t *knocks);
void store_unlock(bosh_store_t *st);
/* From here to unlock this session is being changed. The fence keeps the compiler from
 * beginning before. */
static inline void touch_locked(bosh_store_t *st, record_t *r)
{
    __atomic_store_n(&st->h->touched, (uint32_t)(r - st->sessions), __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* blocks.c; owner is the index of the chain's session */
bool chain_has_room_locked(const bosh_store_t *st, const chain_t *c, size_t len);
/* Only after chain_has_room_locked(). */
void chain_append_locked(bosh_store_t *st, chain_t *c, uint32_t owner, const char *p, size_t len);
/* `from` becomes empty. */
void chain_move_locked(bosh_store_t *st, chain_t *to, chain_t *from);
/* Takes up to size bytes out of the front. */
size_t chain_take_locked(bosh_store_t *st, chain_t *c, char *buf, size_t size);
/* Copies all of it; buf must have c->len bytes. */
void chain_copy_locked(const bosh_store_t *st, const chain_t *c, char *buf);
void chain_free_locked(bosh_store_t *st, chain_t *c);

/* records.c */
record_t *record_find_locked(bosh_store_t *st, bosh_str_t sid);
record_t *record_get_locked(bosh_store_t *st, bosh_ref_t ref);
record_t *record_new_locked(bosh_store_t *st, const unsigned char sid[BOSH_SID_BYTES]);
void record_free_locked(bosh_store_t *st, record_t *r);
/* Frees the session that ended first, though late requests would still learn why;
 * false: all are alive, or somebody waits for their end. */
bool record_reclaim_locked(bosh_store_t *st);
void record_link_locked(bosh_store_t *st, record_t *r);
uint32_t *record_bucket(bosh_store_t *st, const unsigned char sid[BOSH_SID_BYTES]);
bosh_ref_t record_ref(const bosh_store_t *st, const record_t *r);
/* Every chain of a record, for those who walk them all. */
#define RECORD_CHAINS (4 + BOSH_SLOTS)
chain_t *record_chain(record_t *r, unsigned i);
void sid_encode(const unsigned char sid[BOSH_SID_BYTES], char *text);
bool sid_decode(bosh_str_t text, unsigned char sid[BOSH_SID_BYTES]);

/* mail.c */
void mail_child_locked(bosh_store_t *st, bosh_holder_t holder, bosh_msec_t due,
                       bosh_knocks_t *knocks);
void mail_connector_locked(bosh_store_t *st, record_t *r, bosh_knocks_t *knocks);

/* apply.c */
typedef struct applied_t {
    const bosh_action_t *own; /* what the event's holder got; NULL: nothing */
    bool freed;               /* the record is gone */
} applied_t;
/* One event through the core, and its actions. payload: of a REQUEST. */
applied_t apply_locked(bosh_store_t *st, record_t *r, const bosh_event_t *ev, bosh_str_t payload,
                       bosh_msec_t now, bosh_actions_t *acts, bosh_knocks_t *knocks);

/* check.c */
/* What is wrong with a record's own fields, its chains not looked at; NULL: nothing. */
const char *record_fault(const bosh_store_t *st, const record_t *r);

/* repair.c */
void repair_locked(bosh_store_t *st, bosh_knocks_t *knocks);

#endif
