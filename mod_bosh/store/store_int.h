/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * The segment's layout, and what the files of store share.
 *
 *   segment.c    size, creation, who is where
 *   lock.c       the mutex, the busy mark
 *   blocks.c     chains of blocks: byte queues
 *   records.c    session records: allocation, lookup by sid
 *   clients.c    how many sessions each client address has
 *   legs.c       a session's streams: their names, their beginnings
 *   forward.c    payloads on their way up, to one stream or to all
 *   back.c       stanzas whose client will not come for them
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
/* To be counted up when what the same bytes mean has changed; their sizes tell themselves,
 * see segment.c. */
#define STORE_LAYOUT 8u
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

#define FROM_SIZE sizeof(((bosh_upstream_t *)0)->from)

/* One of the session's streams. Its flags are bits in the record: see leg_bit(). */
#define NAME_BYTES 12
typedef struct leg_t {
    chain_t task;     /* a bosh_upstream_t, until the connector took it */
    chain_t greeting; /* a bosh_greeting_t */
    chain_t from;     /* of a restart that the connector has not made yet */
    chain_t up, down;
    uint32_t restart_at; /* bytes of the up queue that go before the restart */
    unsigned char name[NAME_BYTES];
} leg_t;

typedef struct record_t {
    uint32_t magic;
    uint32_t generation;
    uint32_t next;      /* in the bucket, or in the free list */
    uint32_t mail_next; /* in the connector's mailbox */
    uint8_t in_use;
    uint8_t connector;
    uint8_t secure;
    /* One bit for each stream. */
    uint8_t begun;       /* it was opened once */
    uint8_t in_mail;     /* any: the record is in the mailbox, once */
    uint8_t wants_close; /* the core said BOSH_DO_CLOSE */
    uint8_t wants_restart;
    uint8_t down_blocked; /* the connector waits for room */
    uint8_t up_gone;      /* the connector has nothing more to do with it */
    uint8_t taken_back;   /* the down queue is the connector's, not the client's */
    uint16_t returned;    /* one bit for each slot: its answer's payload was taken back */
    uint8_t end_told;     /* to a connector, for the log: see bosh_end_t */
    uint64_t serial;
    uint64_t realm;
    uint64_t client; /* whose it is, while it counts; 0: nobody's */
    unsigned char sid[BOSH_SID_BYTES];
    leg_t leg[BOSH_MAX_STREAMS];
    chain_t slot[BOSH_SLOTS]; /* early payload, or kept answer */
    bosh_session_t core;
} record_t;

/* One bit per stream, and per slot, must fit. */
_Static_assert(BOSH_MAX_STREAMS <= 8 && BOSH_SLOTS <= 16, "masks are too narrow");
_Static_assert(sizeof(bosh_greeting_t) <= BLOCK_BYTES, "see addition_t");
_Static_assert(NAME_BYTES * 8 == BOSH_STREAM_CHARS * 6, "a name needs no padding");

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

/* A client address. All zero: free. */
typedef struct client_t {
    uint64_t key;
    bosh_msec_t since; /* `begun` counts from here */
    uint32_t begun, living;
} client_t;

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
    uint32_t stuck;                      /* who wanted in waited in vain, and nobody got in since */
    uint32_t touched;                    /* the session being changed; NIL: none */
    uint32_t free_session, free_block;   /* lists of what was used and given back */
    uint32_t used_sessions, used_blocks; /* beyond these nothing was ever used */
    uint32_t sessions, blocks_free;
    uint32_t next_connector;
    uint64_t serial, repairs;
    uint32_t off_children, off_buckets, off_clients, off_sessions,
        off_blocks; /* in BLOCK_SIZE units */
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
    client_t *clients; /* as many as buckets */
    record_t *sessions;
    block_t *blocks;
};

/* lock.c */
void lock_init(bosh_store_t *st, apr_global_mutex_t *mutex);
/* False: the mutex failed; nothing may be touched, and unlock is not called. */
bool store_lock(bosh_store_t *st, bosh_knocks_t *knocks);
/* Also false when somebody stands still inside: for who can say "come again later". */
bool store_lock_soon(bosh_store_t *st, bosh_knocks_t *knocks);
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
/* Only after chain_has_room_locked(), as chain_append_locked(). */
void chain_append_chain_locked(bosh_store_t *st, chain_t *to, uint32_t owner, const chain_t *from);
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
/* Of the ended sessions that nobody is likely to ask for, the oldest is forgotten, though a late
 * request would still learn why. False: there is none. */
bool record_reclaim_locked(bosh_store_t *st, bosh_msec_t now);
void record_link_locked(bosh_store_t *st, record_t *r);
uint32_t *record_bucket(bosh_store_t *st, const unsigned char sid[BOSH_SID_BYTES]);
bosh_ref_t record_ref(const bosh_store_t *st, const record_t *r);
/* Every chain of a record, for those who walk them all. */
#define LEG_CHAINS    5
#define RECORD_CHAINS (LEG_CHAINS * BOSH_MAX_STREAMS + BOSH_SLOTS)
chain_t *record_chain(record_t *r, unsigned i);
/* No connector has anything to do with it any more. */
static inline bool record_is_let_go(const record_t *r)
{
    return (r->begun & ~r->up_gone) == 0 && !r->in_mail;
}
/* base64url of a multiple of three bytes, and back; text ends with a NUL. */
void base64url_encode(const unsigned char *p, size_t n, char *text);
bool base64url_decode(bosh_str_t text, unsigned char *p, size_t n);
void sid_encode(const unsigned char sid[BOSH_SID_BYTES], char *text);
bool sid_decode(bosh_str_t text, unsigned char sid[BOSH_SID_BYTES]);

/* clients.c */
bool client_may_begin_locked(bosh_store_t *st, const bosh_client_t *client, bosh_msec_t now);
void client_begin_locked(bosh_store_t *st, record_t *r, const bosh_client_t *client,
                         bosh_msec_t now);
/* The session is closing, or forgotten: it does not count any more. */
void client_end_locked(bosh_store_t *st, record_t *r);
void clients_recount_locked(bosh_store_t *st);
/* NULL: all is well. */
const char *clients_check_locked(bosh_store_t *st);

/* legs.c */
static inline uint8_t leg_bit(unsigned n)
{
    return (uint8_t)(1u << n);
}
/* What an early request that adds a stream keeps. The greeting is padded to a block of
 * its own: taken out, it leaves the room that it needs again. */
typedef struct addition_t {
    union {
        bosh_greeting_t greeting;
        char block[BLOCK_BYTES];
    };
    bosh_upstream_t upstream;
} addition_t;
void addition_fill(addition_t *add, const bosh_upstream_t *upstream);
/* Random, and none twice. False: there are no random bytes. Not under the lock. */
typedef struct names_t {
    unsigned char name[BOSH_MAX_STREAMS][NAME_BYTES];
} names_t;
bool names_make(names_t *names);
/* NULL: the record has no such stream. */
leg_t *leg_get(record_t *r, bosh_ref_t ref);
/* The number of the stream of this name, be it gone; BOSH_NO_STREAM: none is named;
 * BOSH_BAD_STREAM. */
uint8_t leg_find(const record_t *r, bosh_str_t name);
/* Of a session that announces no streams they have no names: "". */
void leg_name(const record_t *r, unsigned n, char text[BOSH_STREAM_CHARS + 1]);
/* The stream begins, with an addition_t. */
void leg_begin_locked(bosh_store_t *st, record_t *r, unsigned n, chain_t *addition,
                      bosh_knocks_t *knocks);
/* Nothing goes up any more. */
void leg_end_up_locked(bosh_store_t *st, record_t *r, unsigned n);
/* A change of the down queue's length, for the core. */
void leg_note_down(record_t *r, unsigned n);

/* forward.c */
/* Back-pressure: what cannot be kept, or copied to all streams when its turn comes, is
 * not taken. kept: what BOSH_DO_STORE would keep. */
bool request_has_room_locked(const bosh_store_t *st, const record_t *r, const bosh_event_t *ev,
                             size_t kept);
/* A slot's payload goes up, to all open streams if none is named. */
void forward_locked(bosh_store_t *st, record_t *r, unsigned slot, uint8_t stream,
                    bosh_knocks_t *knocks);

/* mail.c */
void mail_child_locked(bosh_store_t *st, bosh_holder_t holder, bosh_msec_t due,
                       bosh_knocks_t *knocks);
void mail_connector_locked(bosh_store_t *st, record_t *r, uint8_t legs, bosh_knocks_t *knocks);

/* apply.c */
typedef struct applied_t {
    const bosh_action_t *own; /* what the event's holder got; NULL: nothing */
    bool freed;               /* the record is gone */
} applied_t;
/* One event through the core, and its actions. kept: of a REQUEST, what BOSH_DO_STORE
 * keeps. */
applied_t apply_locked(bosh_store_t *st, record_t *r, const bosh_event_t *ev, bosh_str_t kept,
                       bosh_msec_t now, bosh_actions_t *acts, bosh_knocks_t *knocks);
/* The same event for each session of a connector, or of all; not under the lock. */
#define ANY_CONNECTOR UINT32_MAX
void apply_to_all(bosh_store_t *st, uint32_t connector, const bosh_event_t *ev, bosh_msec_t now,
                  bosh_knocks_t *knocks);
void carry_out_locked(bosh_store_t *st, record_t *r, const bosh_action_t *a, bosh_str_t kept,
                      bosh_knocks_t *knocks, applied_t *applied);

/* processes.c */
/* For a new session: they take turns, but for those that gave no sign of life lately. NIL:
 * none did. */
uint32_t connector_choose_locked(bosh_store_t *st, bosh_msec_t now);

/* check.c */
/* What is wrong with a record's own fields, its chains not looked at; NULL: nothing. */
const char *record_fault(const bosh_store_t *st, const record_t *r);

/* repair.c */
void repair_locked(bosh_store_t *st, bosh_knocks_t *knocks);

/* ---- mutants.c: nothing in an ordinary build ------------------------------ */

#ifdef BOSH_FAULTS
void mutate_up_locked(bosh_store_t *st, record_t *r, chain_t *payload);
void mutate_down_locked(bosh_store_t *st, record_t *r, chain_t *payload);
void mutate_repeat(bosh_buf_t *out, bosh_outcome_t *o);
#else
#define mutate_up_locked(st, r, payload)   ((void)0)
#define mutate_down_locked(st, r, payload) ((void)0)
#define mutate_repeat(out, o)              ((void)0)
#endif

#endif
