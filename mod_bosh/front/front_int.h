/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * What the files of front share. Worker threads run everything but the waiting
 * room's loop.
 *
 *   hooks.c      hooks, child start and end
 *   handler.c    one HTTP request: its method, what to do with it
 *   input.c      its body
 *   bench.c      a worker's tools: parser and buffers, used again
 *   origin.c     which site's page sent it, and whether it may; CORS
 *   admit.c      from <body/> attributes to a request for the store
 *   content.c    the Content-Type that a client wants
 *   keys.c       key sequencing
 *   upstream.c   where a stream is to go, or why it may not
 *   answer.c     from an outcome to an HTTP answer
 *   page.c       what a GET shows
 *   errors.c     in the place of httpd's own error pages
 *   hold.c       a request that must wait: suspended, or blocking its thread
 *   resume.c     a suspended request, and later its connection, on a worker again
 *   room.c       the waiting room: its thread, its pollset, its clock, its mail
 *   queue.c      guests that workers are to see
 *   trim.c       memory that a waiting connection does not need
 *   tickets.c    guests by ticket
 *   timers.c     guests by the time they are due
 *   emptying.c   the child is to end: what its guests are told
 *   signals.c    prefork: no signal in a critical section
 *   stop.c       does httpd stop, or only this child?
 *
 * A connection whose request was suspended never returns to the MPM (see
 * docs/httpd-async.md): it stays with us as a guest until it closes.
 *
 *                  suspend hook            due, mail, socket
 *     WORKING ----------------> PARKED ----------------------> WORKING
 *        |  answered, kept alive           readable
 *        +--------------------> IDLE ------------------------> WORKING
 *        |  to be closed                   closed, or 2 s
 *        +--------------------> LINGERING -------------------> DEAD
 *
 * Only a worker touches a WORKING guest, only the waiting room's thread any other;
 * the room's mutex guards the change.
 */
#ifndef BOSH_FRONT_INT_H
#define BOSH_FRONT_INT_H

#include "httpd.h"
#include "http_config.h"
#include "http_connection.h"
#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"
#include "http_ssl.h"
#include "ap_mpm.h"
#include "mpm_common.h"
#include "apr_poll.h"
#include "apr_strings.h"
#include "apr_thread_cond.h"
#include "apr_thread_mutex.h"

#include "bosh/config.h"
#include "bosh/front.h"
#include "bosh/xml.h"

extern module AP_MODULE_DECLARE_DATA bosh_module;

/* ---- guests ------------------------------------------------------------- */

typedef enum guest_state_t {
    GUEST_WORKING,
    GUEST_PARKED,
    GUEST_IDLE,
    GUEST_LINGERING,
    GUEST_DEAD
} guest_state_t;

/* In its connection's pool; a blocking one in its request's. */
typedef struct guest_t {
    struct guest_t *next; /* queued for a worker */
    conn_rec *c;
    request_rec *r; /* the held request */
    guest_state_t state;
    apr_pollfd_t pfd;
    bool polled;
    size_t timer;            /* place in the heap; 0: none */
    bosh_msec_t due;         /* in the heap: when the room looks at it next */
    bosh_msec_t until;       /* when it is to be called, or to go */
    bool trimmed;            /* since it was handed over */
    bosh_msec_t keep;        /* KeepAliveTimeout of its last request's virtual host */
    bosh_msec_t called;      /* mail came while WORKING; 0: none */
    uint32_t ticket;         /* 0: none; kept while the connection lives */
    uint8_t asks;            /* BOSH_ASKS_URGENT, for the next look */
    bool hung_up;            /* the client is gone */
    bool suspending;         /* the handler said SUSPENDED, the MPM has not let go */
    apr_thread_cond_t *cond; /* of a thread that blocks; NULL: suspended */
    bosh_ref_t ref;
    uint64_t rid;
    char sid[BOSH_SID_CHARS + 1];
} guest_t;

/* ---- tickets.c, timers.c: room's mutex held ------------------------------ */

/* 0: no more than 65535 at once. */
uint32_t ticket_take(guest_t *g);
void ticket_return(uint32_t ticket);
guest_t *ticket_find(uint32_t ticket);
/* Calls fn for every guest that has a ticket. */
void ticket_each(void (*fn)(guest_t *g, bosh_msec_t now), bosh_msec_t now);

void timer_set(guest_t *g, bosh_msec_t due);
void timer_clear(guest_t *g);
guest_t *timer_first(void);
/* All chosen ones become due now. */
void timer_hurry(bool (*chosen)(const guest_t *g), bosh_msec_t now);

/* ---- queue.c: room's mutex held; trim.c --------------------------------- */

/* A WORKING guest, for the next worker. */
void queue_add(guest_t *g);
/* Another worker, if the first guest has waited too long. */
void queue_hurry(bosh_msec_t now);
/* When to look at that again, at the latest at `until`. */
bosh_msec_t queue_patience_ends(bosh_msec_t now, bosh_msec_t until);

/* Without the mutex: the calling thread sees them, for there are no workers any more. */
void queue_see_all(void);

/* Nobody else may use the connection now. */
void trim_connection(conn_rec *c);

/* ---- hooks.c ------------------------------------------------------------ */

/* This child takes part. If it found no place when it began it tries again, now and then. */
bool hooks_is_ready(void);

/* ---- room.c ------------------------------------------------------------- */

apr_status_t room_open(apr_pool_t *p, bosh_store_t *store, bosh_wake_t *wake, uint32_t child);
bool room_is_open(void);
/* Stops the thread of an open room; guests stay where they are. */
void room_close(void);
/* The thread shall look around now. From any thread, and without the mutex. */
void room_rouse(void);

bosh_store_t *room_store(void);
uint32_t room_child(void);
void room_send_knocks(bosh_knocks_t *knocks);

void room_lock(void);
void room_unlock(void);
bosh_holder_t room_holder(guest_t *g);
/* A WORKING guest is handed over. due 0: when mail comes. */
void room_park(guest_t *g, bosh_msec_t due);
void room_idle(guest_t *g, bosh_msec_t until);
/* Its socket was shut down for writing, or is dead; the pool goes later. */
void room_linger(guest_t *g, bool wait_for_client);
/* A thread of its own waits: returns when it is due, called, or hung up. */
void room_block(guest_t *g, bosh_msec_t due);

/* ---- stop.c -------------------------------------------------------------- */

/* When the child starts. */
void stop_prepare(apr_pool_t *p);
/* The child was told to end gracefully: httpd may be stopping. */
bool stop_is_possible(void);
/* Soon after that; where it is possible. */
bool stop_is_certain(void);
/* No restart began. */
bool stop_is_at_once(void);
/* This child serves. */
void stop_note_request(void);

/* ---- emptying.c ---------------------------------------------------------- */

/* httpd wants the child to end: no new guests, the present ones leave soon; with the end
 * of their sessions if httpd stops. Once the room is open. */
void emptying_begin(bool graceful);
bool room_is_emptying(void);
/* The thread itself answers those who wait: there is nobody else any more. */
bool emptying_without_workers(void);
/* On the thread, and when to do that at the latest. */
void emptying_look(bosh_msec_t now);
bosh_msec_t emptying_next_look(bosh_msec_t now, bosh_msec_t until);

/* ---- signals.c ---------------------------------------------------------- */

/* Around the handler, outside of all locks. */
bool signals_are_needed(void);
/* Once the room is open: from now on the child ends where that is safe, if it comes to such a
 * place in time; and it is known whether it was the parent who sent SIGTERM. */
void signals_watch(void);
bool signals_parent_sent_term(void);
/* The child is to end, and no hook has said so yet. Any thread. */
bool signals_end_is_wished(void);
/* On the room's thread, and when to do that at the latest. */
void signals_look(bosh_msec_t now);
bosh_msec_t signals_next_look(bosh_msec_t now, bosh_msec_t until);
void signals_hold_back(void);
void signals_let_pass(void);
void signals_release(void);

/* ---- bench.c ------------------------------------------------------------ */

typedef struct bench_t {
    bool is_made, taken;
    bosh_body_t body;
    bosh_buf_t in;  /* the request's body */
    bosh_buf_t out; /* an answer's payload */
    bosh_buf_t head;
    bool inflates; /* httpd would inflate this request's body */
} bench_t;

/* This thread's. */
bench_t *bench_take(void);
void bench_return(bench_t *b);

/* ---- input.c ------------------------------------------------------------ */

/* Asked before reading: where there is nothing to inflate, the filter goes. */
bool input_is_inflated(const request_rec *r);
/* Errors: longer than BoshMaxBody, or the client did not finish; APR's TIMEUP: not in time, and
 * ENOMEM: no memory; AP_FILTER_ERROR: httpd has answered. */
apr_status_t input_read(request_rec *r, bosh_buf_t *in);
/* Whether another request came behind r, or a part of one. An error: what httpd's filters say of
 * the connection. Not for an HTTP/2 stream. */
apr_status_t input_look_behind(request_rec *r, bool *is_next);

/* ---- origin.c ----------------------------------------------------------- */

/* For all answers to r. */
void origin_set_headers(request_rec *r);
/* After that. False: it was not asked for, or another site's. */
bool origin_answer_preflight(request_rec *r);
/* Why a POST is refused, for the log; NULL: it is not. */
const char *origin_objection(const request_rec *r);

/* ---- content.c, keys.c, upstream.c -------------------------------------- */

/* content[BOSH_CONTENT_SIZE]; false, and empty, if it is not fit for a header. */
bool content_take(bosh_str_t asked, char *content);
/* False: no random bytes. */
bool keys_read(bosh_str_t key, bosh_str_t newkey, bosh_keys_t *keys);
/* *up holds zeros before. *why: for the log, with a condition; of r's pool. */
bosh_condition_t upstream_fill(const request_rec *r, const bosh_str_t *attr, bosh_upstream_t *up,
                               const char **why);

/* ---- admit.c ------------------------------------------------------------ */

typedef struct admission_t {
    bosh_outcome_t outcome;
    char sid[BOSH_SID_CHARS + 1];
    bosh_condition_t refused; /* not NONE: no session was asked */
    const char *why;          /* for the log, with refused */
    bool legacy;              /* the client wants HTTP status codes (17.1) */
    uint64_t rid;
    char content[BOSH_CONTENT_SIZE]; /* "": the usual one */
} admission_t;

/* Looks for r's client and asks the store; g holds a ticket. */
void admit(request_rec *r, bench_t *b, guest_t *g, admission_t *a);

/* ---- answer.c ----------------------------------------------------------- */

/* Writes and flushes; with EOS. HTTP status as the answer wants it. */
apr_status_t answer_outcome(request_rec *r, bench_t *b, const bosh_outcome_t *o, const char *sid,
                            uint64_t rid);
/* content: NULL or "" for the usual one. */
apr_status_t answer_refusal(request_rec *r, bench_t *b, bosh_condition_t condition, bool legacy,
                            const char *content);
/* Nothing was taken: the client may send the same once more. */
apr_status_t answer_later(request_rec *r, bench_t *b);
/* Those of any answer of ours; content: NULL or "" for the usual type. */
void answer_set_headers(request_rec *r, const char *content, apr_off_t len);
/* The connection ends without a word. What a handler returns. */
int answer_none(request_rec *r);
/* The client is gone. What it sent behind r, its good-bye perhaps, still counts: then httpd goes
 * on to that. What a handler returns. */
int answer_nobody(request_rec *r);
/* The answer left (or its connection is broken): the next one may. */
void answer_written(const bosh_outcome_t *o, uint64_t rid, bosh_holder_t holder);

/* ---- errors.c ----------------------------------------------------------- */

void errors_register(void);
/* A hook of httpd's: before an error page of its own. */
void errors_insert_filter(request_rec *r);

/* ---- hold.c, resume.c, page.c, handler.c -------------------------------- */

/* From the handler: what it is to return. */
int hold_request(request_rec *r, bench_t *b, guest_t *g, const admission_t *a);
/* The MPM let go of c: its request may come back from now on. */
void hold_published(conn_rec *c, request_rec *r);
/* With a ticket; NULL: there are none left. */
guest_t *hold_guest(request_rec *r);
void hold_release(guest_t *g);
bool hold_can_suspend(const request_rec *r);

/* On a worker. */
void resume_guest(guest_t *g);
/* True: the client is gone (FIN, RST). *urgent: it sent more behind its request; with both, its
 * good-bye perhaps, or TLS's. */
bool resume_is_hung_up(conn_rec *c, bool *urgent);
/* It will send no more than what is there already. */
bool resume_is_half_closed(conn_rec *c);

int page_handler(request_rec *r);
int front_handler(request_rec *r);
/* Of a session or a stream; an administrator's business now and then. */
void front_log_refusal(request_rec *r, bosh_condition_t refused, const char *why);
/* Its path is that of a location of ours. */
bool front_is_ours(const request_rec *r);
int front_translate_name(request_rec *r);
int front_map_to_storage(request_rec *r);

#endif
