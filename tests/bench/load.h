/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * bosh_load - a load generator for BOSH connection managers.
 *
 * One process, one thread, epoll, nothing but libc, so that its own cost is small
 * and known. The parts, from the bottom:
 *
 *   load_stats.c  a histogram of durations
 *   load_http.c   HTTP/1.1 connections: one request at a time, kept alive
 *   load_bosh.c   BOSH sessions: log in, talk, log out
 *   bosh_load.c   options, phases, the report
 *
 * Everything hangs on the one `load` below; there are no locks because there is
 * one thread.
 */
#ifndef BOSH_LOAD_H
#define BOSH_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- time and durations (load_stats.c) -------------------------------- */

typedef int64_t nsec_t;

#define NSEC_PER_SEC 1000000000LL

nsec_t now_ns(void);

/* Log-linear: 32 steps in each power of two of a microsecond, so that a reported
 * percentile is at most 3 % above the true one. */
typedef struct histogram_t {
    uint64_t count;
    nsec_t max;
    uint32_t slots[40 * 32];
} histogram_t;

void histogram_add(histogram_t *h, nsec_t duration);
double histogram_percentile_us(const histogram_t *h, double percent);

/* ---- HTTP (load_http.c) ------------------------------------------------ */

struct session_t;

typedef struct bytes_t {
    char *p;
    size_t len, size;
} bytes_t;

void bytes_append(bytes_t *b, const void *p, size_t len);

typedef struct conn_t {
    struct session_t *session;
    int fd;    /* -1: closed */
    bool busy; /* a request is out; its answer is not complete */
    bool watching_out;
    unsigned answers; /* seen on this TCP connection */
    unsigned tries;   /* of the request that is out */
    uint64_t rid;     /* of the request that is out */
    nsec_t sent_at;
    bytes_t out; /* the whole request, kept for sending it again */
    size_t out_done;
    bytes_t in;
    size_t head_len; /* 0: the head of the answer is not complete */
    size_t body_len;
    bool chunked, close_after;
    int status;
} conn_t;

void conn_init(conn_t *c, struct session_t *session);
void conn_post(conn_t *c, uint64_t rid, const char *body, size_t len);
void conn_close(conn_t *c);
void conn_on_event(conn_t *c, uint32_t events);

/* ---- BOSH sessions (load_bosh.c) --------------------------------------- */

/*
 *   NEW -> CREATING -> AUTHENTICATING -> RESTARTING -> BINDING -> ONLINE
 *                                                                   |
 *                             CLOSED <- LEAVING <-------------------+
 *   Anything but NEW and CLOSED -> FAILED.
 */
typedef enum session_state_t {
    SESSION_NEW,
    SESSION_CREATING,
    SESSION_AUTHENTICATING,
    SESSION_RESTARTING,
    SESSION_BINDING,
    SESSION_ONLINE,
    SESSION_LEAVING,
    SESSION_CLOSED,
    SESSION_FAILED
} session_state_t;

#define SESSION_CONNS 2
#define SESSION_EARLY 4

typedef struct session_t {
    unsigned id;
    session_state_t state;
    nsec_t state_since, login_at;
    uint64_t rid_next, rid_expected;
    unsigned window, hold, outstanding;
    char sid[128];
    char jid[256];
    bool has_payload; /* a step of the login waits to be sent */
    bool may_send;    /* the next numbered message may go */
    bool is_waiting;  /* for the echo of message number `seq` */
    uint64_t seq;
    nsec_t echo_sent_at, think_until;
    conn_t conns[SESSION_CONNS];
    struct {
        uint64_t rid;
        char *p;
        size_t len;
    } early[SESSION_EARLY]; /* answers that came before their turn */
} session_t;

void session_init(session_t *s, unsigned id);
void session_login(session_t *s);
/* Begin the measured activity of the mode; the session is online. */
void session_start(session_t *s);
void session_logout(session_t *s);
void session_sweep(session_t *s, nsec_t now);
/* Called by load_http.c. */
void session_on_answer(session_t *s, conn_t *c, const char *body, size_t len);
void session_on_broken(session_t *s, conn_t *c);

/* ---- everything -------------------------------------------------------- */

typedef enum load_mode_t { MODE_ECHO, MODE_IDLE, MODE_POLL, MODE_LOGIN, MODE_STATIC } load_mode_t;

typedef struct options_t {
    load_mode_t mode;
    unsigned sessions, parallel, size, active;
    unsigned wait, hold;
    bool is_anonymous, is_synced;
    double seconds, think, timeout;
    const char *url, *domain, *user, *password;
    char host[256], path[256];
    struct sockaddr_in address;
} options_t;

typedef struct counters_t {
    uint64_t requests, units, lost, doubled, strays, garbled;
    uint64_t terminated, http_errors, broken, reconnects, timeouts;
} counters_t;

typedef struct load_t {
    options_t opt;
    session_t *sessions;
    int epoll;
    bool is_running; /* inside the measured time */
    bool is_aborted;
    unsigned online, failed, closed, logging_in;
    nsec_t last_unit; /* when the last echo, poll, cycle or answer came */
    counters_t count;
    histogram_t latency;
} load_t;

extern load_t load;

/* One unit of the mode's work is done (an echo, a poll, a cycle, an answer). */
void load_unit(nsec_t now, nsec_t began);
/* A line on stderr; only the first few, so that a broken server does not flood. */
void load_complain(const session_t *s, const char *what, const char *detail, size_t len);

#endif
