/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * core - the BOSH session: an event goes in, actions come out. The XEPs live
 * here.
 *
 * Pure: reads no clock, sends nothing, takes no lock, logs nothing, allocates
 * nothing. A bosh_session_t is plain data without pointers, fit for shared
 * memory; whoever calls bosh_step() owns it for the length of the call (the
 * store calls under its lock, tests call with a clock of their own).
 *
 *                 stream and features           client terminates, inactivity,
 *                 from the server               a breach of the rules
 *      OPENING ---------------------> OPEN -------------------> CLOSING
 *         |                             |                          |
 *         | connect failed              | stream ended             | up queue
 *         v                             v                          v flushed,
 *       ENDED <-------------------------+--------------------------+ closed
 *
 * CLOSING: clients already get the end, the server still gets what they sent.
 * ENDED: kept for a while, so that late requests learn the true condition.
 *
 * A request lives in a slot, found by its rid:
 *
 *      FREE -> EARLY -> HELD -> ANSWERED -> FREE
 *
 * EARLY: arrived before its turn, payload kept, nothing forwarded. HELD: its
 * turn has come (consumed), the answer has not. ANSWERED: the answer is fixed for
 * good and kept for repeats, until the client cannot ask for it any more.
 *
 * The session's streams are its legs; see core/legs.c for their states. It is OPENING
 * until one of them is open, and ENDED when none lives any more.
 */
#ifndef BOSH_CORE_H
#define BOSH_CORE_H

#include "bosh/base.h"

/* ---- numbers ------------------------------------------------------------ */

#define BOSH_RID_MAX      UINT64_C(9007199254740991) /* 2^53-1, XEP-0124 14.1 */
#define BOSH_MAX_REQUESTS 5                          /* hold + 1 */
#define BOSH_SLOTS        16 /* power of two; kept, held, early: 3 windows */
#define BOSH_VER_MAJOR    1
#define BOSH_VER_MINOR    11

/* How long a request that must be released, because a newer one with a payload
 * came, waits for the server's reaction to that payload. With it in hand, one
 * request per message is enough where two would be needed. */
#define BOSH_GATHER_MS 10

/* An answer with stanzas leaves so long after the one before, unless its client is known to
 * have read that: clients exist that mix up the order of answers read in the same breath.
 * A client that was slow to react lately is given more time. */
#define BOSH_SPACING_MS     100
#define BOSH_MAX_SPACING_MS 500
/* A client that takes longer was not slow, but elsewhere: a page was loaded anew. */
#define BOSH_REACTION_MS    1000

/* A copy of a held request that a newer one replaced learns it after this time. If the newer
 * one's client has gone, that is known then; if it was answered before, so is the older. */
#define BOSH_REPLACED_MS 10

/* After this a write that was never reported finished holds up nobody. */
#define BOSH_WRITE_STUCK_MS 10000

/* Streams in one session (section 16), the first one included. */
#define BOSH_MAX_STREAMS 4
#define BOSH_NO_STREAM   UINT8_MAX       /* none is named */
#define BOSH_BAD_STREAM  (UINT8_MAX - 1) /* a name that none of the session's has */

/* More copies of one request than any honest client sends (section 14.3); but while it is
 * held, a client behind a proxy that gives up sends one each time: these come further apart. */
#define BOSH_MAX_REPEATS    32
#define BOSH_REPEAT_MS      1000
/* Empty requests in a row that came too soon after one that was still held: the first
 * ones are what clients send that lost sight of it (section 11). */
#define BOSH_MAX_HASTY      5
/* Requests, and an answer's time of day, are this far off on their way (section 12). */
#define BOSH_POLL_SLACK_MS  50
/* After a time in which nobody could be served, no session ends of inactivity sooner: its
 * client's request may wait to be read. */
#define BOSH_GRACE_MS       5000
/* So long after the end its client is likely to come for it; polling ones do each few seconds. */
#define BOSH_AWAITED_MS     10000
/* Answers kept until they are acknowledged, beyond the newest `requests` ones; and, without
 * acknowledgements, those that may have been lost. */
#define BOSH_KEPT_BYTES     (256 * 1024)
#define BOSH_DOUBTFUL_BYTES (32 * 1024)

/* ---- conditions (XEP-0124 section 17) ----------------------------------- */

typedef enum bosh_condition_t {
    BOSH_COND_NONE, /* an orderly end */
    BOSH_COND_BAD_REQUEST,
    BOSH_COND_HOST_GONE,
    BOSH_COND_HOST_UNKNOWN,
    BOSH_COND_IMPROPER_ADDRESSING,
    BOSH_COND_INTERNAL_SERVER_ERROR,
    BOSH_COND_ITEM_NOT_FOUND,
    BOSH_COND_OTHER_REQUEST,
    BOSH_COND_POLICY_VIOLATION,
    BOSH_COND_REMOTE_CONNECTION_FAILED,
    BOSH_COND_REMOTE_STREAM_ERROR,
    BOSH_COND_SEE_OTHER_URI,
    BOSH_COND_SYSTEM_SHUTDOWN,
    BOSH_COND_UNDEFINED_CONDITION,
    BOSH_COND_COUNT
} bosh_condition_t;

/* As on the wire; "" for BOSH_COND_NONE. Never NULL. */
const char *bosh_condition_name(bosh_condition_t c);

/* Why a session ended, for the one line in the log. */
typedef enum bosh_reason_t {
    BOSH_REASON_NONE,
    BOSH_REASON_CLIENT, /* the client terminated it */
    BOSH_REASON_INACTIVITY,
    BOSH_REASON_RID,        /* beyond the window, or too old to repeat */
    BOSH_REASON_KEY,        /* key sequence broken */
    BOSH_REASON_REPEATS,    /* too many copies of one request */
    BOSH_REASON_POLLING,    /* empty requests more often than `polling` */
    BOSH_REASON_STREAM,     /* names a stream that is not there */
    BOSH_REASON_OVERACTIVE, /* more simultaneous requests than `requests` */
    BOSH_REASON_PAUSE,      /* asked for more than maxpause */
    BOSH_REASON_CONNECT_FAILED,
    BOSH_REASON_CONNECT_TIMEOUT,
    BOSH_REASON_STREAM_ERROR,
    BOSH_REASON_STREAM_CLOSED,
    BOSH_REASON_STREAM_LOST,
    BOSH_REASON_STREAM_INVALID, /* the server sent what cannot be parsed */
    BOSH_REASON_STANZA_TOO_LARGE,
    BOSH_REASON_CONNECTOR_LOST,
    BOSH_REASON_SHUTDOWN,
    BOSH_REASON_DAMAGED, /* a process died while changing it */
    BOSH_REASON_COUNT
} bosh_reason_t;

const char *bosh_reason_text(bosh_reason_t r);

/* ---- session creation --------------------------------------------------- */

/* What the administrator allows; seconds. */
typedef struct bosh_policy_t {
    uint32_t wait, hold, inactivity, polling, maxpause, connect_timeout;
    uint32_t streams; /* in one session; 1: only the first */
} bosh_policy_t;

/* What the client asked for, as written in its attributes; absent: p == NULL. */
typedef struct bosh_offer_t {
    bosh_str_t rid, ver, wait, hold, ack;
} bosh_offer_t;

/* What both agreed on (XEP-0124 section 7). */
typedef struct bosh_terms_t {
    uint64_t rid;
    uint32_t wait, hold, requests, inactivity, polling, maxpause, connect_timeout;
    uint16_t ver_major, ver_minor; /* 0.0: the client sent none (section 17.1) */
    bool acks;                     /* ack='1' at creation (section 9) */
    bool is_polling;               /* nothing is ever held (section 12) */
    bool has_content;              /* a Content-Type of its own: see the greeting */
    bool takes_gzip;               /* announced: requests may come compressed */
    uint8_t streams;               /* how many it may have; more than 1 is announced */
} bosh_terms_t;

/* False: an attribute is malformed (bad-request). */
bool bosh_negotiate(const bosh_offer_t *offer, const bosh_policy_t *policy, bosh_terms_t *terms);

/* ---- session ------------------------------------------------------------ */

/* Who waits for an answer: a request of one httpd child. Tickets are the
 * child's own numbers. */
typedef struct bosh_holder_t {
    uint32_t child;
    uint32_t ticket;
} bosh_holder_t;

#define BOSH_NOBODY ((bosh_holder_t){ UINT32_MAX, 0 })

typedef enum bosh_answer_kind_t {
    BOSH_ANSWER_NONE,
    BOSH_ANSWER_CREATED,   /* session creation response, with what the server said */
    BOSH_ANSWER_DATA,      /* payloads, or empty */
    BOSH_ANSWER_TERMINATE, /* terminal, with condition unless it is NONE */
    BOSH_ANSWER_ERROR,     /* recoverable binding condition (section 17.3) */
    BOSH_ANSWER_STREAM     /* the name of a stream that was added (section 16.3) */
} bosh_answer_kind_t;

/* What an answer says, without its payloads: the rest of its text follows from
 * this and from the session's terms. */
typedef struct bosh_answer_t {
    uint8_t kind;
    uint8_t condition;
    uint8_t stream;  /* to be named; BOSH_NO_STREAM: none. With TERMINATE: only this
                        stream ends, not the session */
    uint8_t greets;  /* tells the server's stream ID: of this stream, else of the first */
    uint32_t time;   /* milliseconds, with report */
    uint64_t ack;    /* 0: no such attribute */
    uint64_t report; /* 0: no such attribute */
} bosh_answer_t;

/* Key sequencing (section 15): what a request's key and newkey say, in bytes. */
#define BOSH_KEY_BYTES 20
typedef struct bosh_keys_t {
    bool has_key, has_newkey;
    uint8_t key[BOSH_KEY_BYTES];    /* decoded from hexadecimal */
    uint8_t hash[BOSH_KEY_BYTES];   /* SHA-1 of the key as it was written */
    uint8_t newkey[BOSH_KEY_BYTES]; /* decoded */
} bosh_keys_t;

typedef enum bosh_slot_state_t {
    BOSH_SLOT_FREE,
    BOSH_SLOT_EARLY,
    BOSH_SLOT_HELD,
    BOSH_SLOT_ANSWERED
} bosh_slot_state_t;

typedef struct bosh_slot_t {
    uint64_t rid;
    bosh_msec_t arrived; /* of the latest copy of this request */
    bosh_msec_t first;   /* of the first one: `wait` counts from here */
    bosh_msec_t due;     /* when the holder was told to come back */
    bosh_holder_t holder;
    bosh_answer_t answer;
    uint8_t state;
    uint8_t asks;    /* BOSH_ASKS_… */
    uint8_t writing; /* ANSWERED, and the holder has not said that it is written */
    uint8_t told;    /* an EARLY request's client was answered before its turn */
    uint8_t stream;  /* the payload's; BOSH_NO_STREAM: all. Once an ADD had its turn: its own */
    uint8_t refused; /* ADD: the condition for which the front refused it */
    uint8_t has_key, has_next;
    uint8_t repeats;                  /* copies after the first */
    uint8_t had_down;                 /* ANSWERED: with payloads */
    uint8_t down_stream;              /* whose, with had_down; named or not */
    uint8_t written;                  /* ANSWERED: it went out, once at least */
    uint8_t received;                 /* written, and its client went on since */
    uint8_t overtaken;                /* its client had another one open, that came later */
    uint32_t pause;                   /* seconds, with BOSH_ASKS_PAUSE */
    uint32_t bytes;                   /* of the kept answer's payload; kept true by the store */
    uint64_t ack;                     /* the client's; 0: none */
    bosh_msec_t answered;             /* ANSWERED: when it was fixed, then written */
    uint8_t key_hash[BOSH_KEY_BYTES]; /* SHA-1 of its key */
    uint8_t next_key[BOSH_KEY_BYTES]; /* what the next one's key must hash to */
} bosh_slot_t;

/* One of the session's streams. */
typedef enum bosh_leg_state_t {
    BOSH_LEG_NONE,
    BOSH_LEG_OPENING,
    BOSH_LEG_OPEN,
    BOSH_LEG_CLOSING, /* asked to close: by the client, or by the session's end */
    BOSH_LEG_GONE     /* for good: its number is not used again */
} bosh_leg_state_t;

typedef struct bosh_leg_t {
    bosh_msec_t since; /* OPENING: when it began */
    uint8_t state;
    uint8_t has_down;  /* payloads wait for the client; kept true by the store */
    uint8_t condition; /* of its end */
    uint8_t reason;    /* of its end, if that came before the session's */
    uint8_t is_named;  /* the client was given its name */
    uint8_t end_due;   /* its end, and not the session's, is yet to be told */
    uint8_t end_told;  /* it was: nothing of this stream reaches the client any more */
    uint8_t greeted;   /* the client was told the server's stream ID */
} bosh_leg_t;

typedef enum bosh_state_t { BOSH_OPENING, BOSH_OPEN, BOSH_CLOSING, BOSH_ENDED } bosh_state_t;

typedef struct bosh_session_t {
    bosh_terms_t terms;
    uint64_t next_rid;    /* the lowest rid that has not had its turn */
    uint64_t next_answer; /* the lowest rid whose answer is not fixed */
    bosh_msec_t created;
    bosh_msec_t idle_since;    /* nobody waits since then; 0: somebody does */
    bosh_msec_t ended;         /* when CLOSING or ENDED began */
    bosh_msec_t last_answer;   /* when an answer was fixed, then written, last */
    bosh_msec_t last_given;    /* when one with stanzas was fixed, written or repeated, last, */
    bosh_holder_t last_reader; /* and to whom */
    bosh_msec_t last_turn;     /* when the latest request that had its turn arrived */
    uint32_t reaction;         /* ms; its client's slowest lately, see spacing.c */
    uint32_t inactivity;       /* seconds; differs from terms while paused */
    uint8_t state;
    uint8_t condition; /* of the end */
    uint8_t reason;
    uint8_t end_told;    /* some client got the terminate answer */
    uint8_t hasty;       /* see BOSH_MAX_HASTY */
    uint8_t adds_none;   /* its client writes `to` where it means nothing */
    uint8_t was_poll;    /* the request of last_turn was empty */
    uint8_t is_parallel; /* its client had two requests open at once, at some time */
    uint8_t has_key;     /* the next request's key must hash to next_key */
    uint8_t legs;        /* streams that were ever begun, or refused */
    uint8_t last_leg;    /* whose stanzas left last */
    uint64_t acked;      /* the client has the answers up to this rid; 0: nothing is known */
    uint64_t report;     /* the client seems to miss this rid's answer; 0: none */
    uint64_t breach;     /* requests before this rid end for another one's breach; 0: none */
    uint8_t next_key[BOSH_KEY_BYTES];
    bosh_leg_t leg[BOSH_MAX_STREAMS];
    bosh_slot_t slots[BOSH_SLOTS];
} bosh_session_t;

/* ---- events ------------------------------------------------------------- */

typedef enum bosh_event_kind_t {
    BOSH_EV_REQUEST,  /* a valid body arrived */
    BOSH_EV_DUE,      /* a holder comes back: is it time? */
    BOSH_EV_GONE,     /* a holder's client hung up */
    BOSH_EV_WRITTEN,  /* a holder wrote its answer, or failed to */
    BOSH_EV_OPENED,   /* the server's features are in the down queue */
    BOSH_EV_DATA,     /* the down queue has grown */
    BOSH_EV_UP_ENDED, /* the server's stream is gone: condition, reason */
    BOSH_EV_END,      /* end it from our side: condition, reason */
    BOSH_EV_TICK,     /* time has passed */
    BOSH_EV_RELEASE,  /* what is held shall be answered: its client has to go on */
    BOSH_EV_STILL     /* from `since` to now nobody could be served */
} bosh_event_kind_t;

enum {
    BOSH_ASKS_TERMINATE = 1,
    BOSH_ASKS_RESTART = 2,
    BOSH_ASKS_PAUSE = 4,
    BOSH_ASKS_PAYLOAD = 8, /* carries at least one payload */
    BOSH_ASKS_URGENT = 16, /* more bytes wait behind it: answer at once */
    BOSH_ASKS_ADD = 32,    /* one stream more (section 16.3); no payload */
    BOSH_ASKS_DEAF = 64,   /* that its client hung up may be noticed late */
    BOSH_ASKS_TO = 128     /* has a `to`, which says nothing by itself */
};

typedef struct bosh_event_t {
    bosh_event_kind_t kind;
    uint64_t rid;
    bosh_holder_t holder;
    uint8_t asks;
    uint8_t stream; /* REQUEST: which it names, BOSH_NO_STREAM: none; means nothing if it
                       asks for nothing. OPENED, DATA, UP_ENDED: which it happened to */
    uint32_t pause;
    uint64_t ack;               /* REQUEST: the client's; 0: none */
    const bosh_keys_t *keys;    /* REQUEST; NULL: none */
    bosh_condition_t condition; /* of an end; REQUEST with ADD: why it was refused */
    bosh_reason_t reason;
    bosh_msec_t since; /* STILL */
} bosh_event_t;

/* A request of somebody's with this rid would end the session, because it is older than all
 * that is kept, or take the place of another copy (section 14.3). */
bool bosh_session_is_stale(const bosh_session_t *s, uint64_t rid);

/* ---- actions ------------------------------------------------------------ */

typedef enum bosh_action_kind_t {
    BOSH_DO_STORE,   /* keep this request's payload (ADD: what describes the stream;
                         RESTART: its `from`) in slot */
    BOSH_DO_FORWARD, /* slot's payload goes to the end of stream's up queue; BOSH_NO_STREAM:
                         of the queue of every stream that is OPENING or OPEN */
    BOSH_DO_RESTART, /* a new stream header follows what is in stream's up queue, with
                         slot's `from` if there is one */
    BOSH_DO_OPEN,    /* stream begins, as slot describes it. One that the front refused never
                         does, but has its number, and so its name */
    BOSH_DO_ANSWER,  /* slot's answer is fixed; with_down: stream's whole down queue
                         becomes its payload. The event's holder writes it. */
    BOSH_DO_REPEAT,  /* give slot's kept answer to the event's holder */
    BOSH_DO_REPLY,   /* give `answer`, kept nowhere, to the event's holder */
    BOSH_DO_HOLD,    /* the event's holder waits, and comes back at `due` */
    BOSH_DO_WAKE,    /* tell `holder` to come back at `due` */
    BOSH_DO_DROP,    /* slot's kept answer is not needed any more */
    BOSH_DO_CLOSE,   /* flush stream's up queue, then close it */
    BOSH_DO_FREE     /* the session may be forgotten */
} bosh_action_kind_t;

typedef struct bosh_action_t {
    bosh_action_kind_t kind;
    uint8_t slot;
    uint8_t stream;
    bool with_down;
    bosh_answer_t answer;
    bosh_holder_t holder;
    bosh_msec_t due;
} bosh_action_t;

#define BOSH_MAX_ACTIONS 96

typedef struct bosh_actions_t {
    unsigned n;
    bosh_action_t a[BOSH_MAX_ACTIONS];
} bosh_actions_t;

/* A session whose creation request is held by nobody yet: the first event is
 * that request (rid = terms->rid). */
void bosh_session_init(bosh_session_t *s, const bosh_terms_t *terms, bosh_msec_t now);

/*
 * The one way to change a session. Actions are to be carried out in order.
 * For REQUEST and DUE exactly one of ANSWER, REPEAT, REPLY, HOLD is for the
 * event's holder.
 */
void bosh_step(bosh_session_t *s, const bosh_event_t *ev, bosh_msec_t now, bosh_actions_t *out);

/* Somebody whose turn has come waits, or an answer is on its way: inactivity does not
 * count. It does while only early ones wait: pages that were loaded again sometimes leave
 * a rid out, and shall soon learn that nothing comes of it. */
bool bosh_session_is_attended(const bosh_session_t *s);
/* It ended a moment ago, and its client may yet come for what its server said last, and why. Not
 * one who broke a rule, had been silent too long, or left before there was a sid to come with. */
bool bosh_session_is_awaited(const bosh_session_t *s, bosh_msec_t now);

/* The answer kept in this slot has payloads, and the client cannot be assumed to have
 * them: for those who send them back when the session or their stream (down_stream) has
 * ended. Any slot may be asked about. */
bool bosh_session_is_undelivered(const bosh_session_t *s, unsigned slot);

/* True if the session's fields contradict each other; for checkers. */
bool bosh_session_is_damaged(const bosh_session_t *s);

#endif
