/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * What the files of connector share. One thread, one loop:
 *
 *   loop.c     poll; then mail, clocks, knocks
 *   watch.c    sockets in the pollset
 *   names.c    host names to addresses
 *   service.c  XMPP domains to addresses: SRV
 *   srv.c      which SRV records are usable, and their order
 *   channel.c  c-ares, which asks name servers for these
 *   policy.c   which addresses a name may lead to
 *   attempt.c  who may try to reach a server, and when
 *   domains.c  how many streams a domain has, and who waits for his turn
 *   failures.c places that could not be reached a moment ago
 *   complaints.c what the log need not be told again
 *   connect.c  from addresses to a connected socket
 *   proxy.c    who the client is, for the server
 *   secure.c   STARTTLS, direct TLS, or neither
 *   tls*.c     OpenSSL: handshakes, certificates
 *   idn.c      domain names as DNS and certificates write them
 *   redirect.c a server that says to see another host
 *   link.c     bytes, through TLS or not
 *   c2s.c      one client-to-server stream: states, beginning and end
 *   up.c       bytes from the store to the server
 *   down.c     stanzas from the server to the store
 *   keepalive.c spaces, where nothing else is written for long
 *   bounce.c   stanzas that find no client any more, back to the server
 *   part.c     sockets whose stream is over
 */
#ifndef BOSH_CONNECTOR_INT_H
#define BOSH_CONNECTOR_INT_H

#include <apr_poll.h>

#include "bosh/connector.h"
#include "bosh/xml.h"

#include "address.h"
#include "complaints.h"
#include "domains.h"
#include "failures.h"
#include "tls.h"

typedef struct connector_t connector_t;
typedef struct c2s_t c2s_t;
typedef struct parting_t parting_t;

/* ---- watch.c ------------------------------------------------------------ */

/* A descriptor in the pollset. APR has no call that changes what is polled for, so
 * the watch remembers it. */
typedef struct watch_t {
    void (*ready)(struct watch_t *w, apr_int16_t events);
    connector_t *k;
    apr_pollfd_t pfd;
    apr_int16_t events; /* polled for; 0: not in the pollset */
} watch_t;

void watch_init_socket(watch_t *w, connector_t *k, apr_socket_t *sock,
                       void (*ready)(watch_t *, apr_int16_t));
void watch_init_file(watch_t *w, connector_t *k, apr_file_t *file,
                     void (*ready)(watch_t *, apr_int16_t));
apr_status_t watch_set(watch_t *w, apr_int16_t events);

/* ---- names.c, service.c ------------------------------------------------- */

#define MAX_ADDRESSES 8

typedef struct names_t names_t;
typedef void names_found_fn(void *baton, const address_t *list, unsigned n, const char *error);
typedef void names_targets_fn(void *baton, const target_t *list, unsigned n, const char *error);

apr_status_t names_create(names_t **names, connector_t *k, apr_pool_t *p);
void names_destroy(names_t *names);
/* All of these call found() once, perhaps before returning; never if the baton was forgotten.
 * n == 0: error says why, in words that last for ever. At most MAX_ADDRESSES.
 *
 * The addresses of a host: */
void names_find(names_t *names, const char *host, uint16_t port, names_found_fn *found,
                void *baton);
/* Where the server of an XMPP domain may be, in the order to try: by its SRV records, or else its
 * own addresses. want_direct: also where TLS begins with the first byte; want_starttls: also where
 * it does not. Addresses are as DNS says them: policy.h is for the caller. Name servers that are
 * dead are given up after 8 s for each question; there may be several, one after the other. */
void names_find_service(names_t *names, const char *domain, bool want_direct, bool want_starttls,
                        names_targets_fn *found, void *baton);
/* The error that says nothing of the name. */
extern const char names_no_memory[];
/* Whatever was asked for with that baton. */
void names_forget(names_t *names, const void *baton);
/* Timeouts of its own; call now and then. */
void names_tick(names_t *names);

/* For tests: who is asked. */
typedef struct names_source_t {
    const char *path; /* NULL: /etc/resolv.conf */
    uint16_t port;    /* of the name servers; 0: 53 */
    int timeout_ms;   /* of the first try; 0: the usual */
} names_source_t;

void names_use_source(names_t *names, const names_source_t *source);

/* ---- link.c ------------------------------------------------------------- */

typedef struct link_t {
    apr_socket_t *sock; /* NULL: not open */
    tls_t *tls;         /* NULL: none */
    bool owes;          /* TLS has to write before it can read on */
} link_t;

/* As apr_socket_send() and apr_socket_recv() of a socket that never blocks. What was not
 * taken is sent next, before anything else. */
apr_status_t link_send(link_t *l, const char *p, apr_size_t *n);
apr_status_t link_recv(link_t *l, char *p, apr_size_t *n);
/* In words, what neither APR_SUCCESS nor APR_EAGAIN was of these; text may be used for them. */
const char *link_why(const link_t *l, apr_status_t rv, char *text, apr_size_t size);
/* Bytes that no poll would tell of. */
bool link_has_more(const link_t *l);
/* No more is written: TLS's good-bye, then TCP's. */
void link_finish(link_t *l);
void link_close(connector_t *k, link_t *l);

/* ---- c2s.c -------------------------------------------------------------- */

/*
 *   WAITING --turn-->
 *   FINDING --targets--> CONNECTING --> SECURING --> STREAMING --close--> BOUNCING --tag--> CLOSING
 *      |                    |  ^--next--'  |             |                    |                |
 *      +--------------------+--------------+--- fails ---+----> DRAINING <----+----------------+
 *                                                                  |
 *                                                                 gone
 *
 * WAITING: so many are on their way to the domain already; not all come by here.
 * SECURING: connected, and nothing of the client's is said before there is TLS, if there is to be.
 * BOUNCING: what the client never got goes back. CLOSING: the server may say goodbye too.
 * DRAINING: the stream is over, but the store has no room for its last stanzas.
 */
typedef enum c2s_state_t {
    WAITING,
    FINDING,
    CONNECTING,
    SECURING,
    STREAMING,
    BOUNCING,
    CLOSING,
    DRAINING
} c2s_state_t;

/* Of SECURING: see secure.c. */
typedef enum secure_step_t {
    WAITS_FEATURES,
    ASKS, /* is to */
    WAITS_PROCEED,
    PROCEEDS,
    REFUSES,
    SHAKES_HANDS
} secure_step_t;

struct c2s_t {
    watch_t watch; /* first: watch_t and c2s_t share their address */
    connector_t *k;
    c2s_t *next, *prev; /* all of them */
    bosh_ref_t ref;
    char name[48]; /* for the log: the session's number, and the stream's unless 0 */
    c2s_state_t state;
    bosh_msec_t born;
    bosh_msec_t patience; /* from then on, BoshConnectTimeout */
    bosh_msec_t began;    /* its turn came */
    visit_t visit;
    bosh_msec_t deadline; /* of the present state; 0: none */
    link_t link;
    secure_step_t step;
    const char *why; /* with REFUSES */
    bool is_crowded; /* something followed <proceed/> */
    bosh_stream_t *stream;
    bosh_upstream_t *upstream;
    target_t target[MAX_ADDRESSES];
    uint8_t targets, tried;
    char failure[256];  /* of the target that was tried last; of the stream's connection */
    bool is_nameless;   /* DNS, or its silence, said that there is nowhere to go */
    bool is_silent;     /* a target did not answer in time */
    bool is_answered;   /* ... and one did, with what was no stream; or it may have */
    bool is_direct;     /* where DNS does not say: TLS from the first byte */
    bool is_redirected; /* the server said to see another host */
    bool is_up;         /* the server answered our present stream header */
    bool has_spoken;    /* something followed that header */
    bool is_cut;        /* what was taken from the store may end within a stanza */
    bool opens;         /* features came, and the store was not told yet */
    bool was_opened;    /* the store knows */
    bool has_success;   /* SASL said so, ... */
    bool is_logged_in;  /* ... and features followed */
    bool is_space_last; /* what was written last is a space of ours */
    bosh_msec_t wrote;  /* something, on the client's stream */
    bool stream_error;  /* the server sent one */
    bool closed;        /* the server sent its closing tag */
    bool is_told;       /* what may be lost is in the log */
    bosh_condition_t condition;
    bosh_reason_t reason;
    bosh_buf_t out;      /* taken from the store, not yet written */
    size_t in_hand;      /* taken from the store, being written */
    bosh_buf_t down;     /* parsed, not yet in the store */
    bosh_buf_t features; /* the last ones, until something follows our header */
    bosh_buf_t error;    /* what goes with the condition in the last answer */
    bosh_bouncer_t bouncer;
};

#define CLOSING_TAG "</stream:stream>"

void c2s_begin(connector_t *k, bosh_ref_t ref, const bosh_task_t *task);
/* The store has something for it. */
void c2s_serve(c2s_t *c);
/* Connected, and as secure as it shall be: the client's stream begins. */
void c2s_connected(c2s_t *c);
/* Our stream header is to be written, the server's is expected. False: c is gone. */
bool c2s_open_stream(c2s_t *c);
/* What was said on it counts no more. */
void c2s_forget_stream(c2s_t *c);
/* The stream is over: last stanzas first, then the store is told; c is gone. */
void c2s_end(c2s_t *c, bosh_condition_t condition, bosh_reason_t reason);
/* For the log: what reading or writing said. And the end of a stream whose connection broke so. */
void c2s_note_break(c2s_t *c, apr_status_t rv);
void c2s_lost(c2s_t *c, apr_status_t rv);
/* Our side is done: bounces, the closing tag, a moment for the server's. */
void c2s_close(c2s_t *c, const bosh_up_t *up);
/* Now the closing tag; up_flush() sends it. */
void c2s_say_goodbye(c2s_t *c);
/* Before c2s_end(): words for the server, if it can still get them. */
void c2s_part(c2s_t *c, bosh_str_t words);
/* Deadlines. */
void c2s_tick(c2s_t *c, bosh_msec_t now);
void c2s_close_socket(c2s_t *c);
/* The connector ends, and waits for it no longer. c is gone. */
void c2s_abandon(c2s_t *c);
/* A line about the end of a session, if there is one to be told. */
void c2s_log_session(const bosh_end_t *end);
void c2s_destroy(c2s_t *c);

/* ---- attempt.c ---------------------------------------------------------- */

/* Tries to reach the server, now or when it is c's turn. c may be gone. */
void attempt_begin(c2s_t *c);
/* The server offers its features. */
void attempt_succeeded(c2s_t *c);
/* The stream ends, in whatever state, and for this reason. */
void attempt_over(c2s_t *c, bosh_condition_t condition, bosh_reason_t reason);
/* Whoever's turn has come. Not within a call about some c2s: others may be gone after it. */
void attempt_give_turns(connector_t *k);
void attempt_tick(connector_t *k);

/* ---- connect.c ---------------------------------------------------------- */

void connect_begin(c2s_t *c);
/* Not even tried. c is gone, or has only its last stanzas to deliver. */
void connect_refuse(c2s_t *c, const char *why);
/* The present target is of no use, for this reason: the next one. c may be gone. */
void connect_failed(c2s_t *c, const char *why);
/* The same, without a word from it. */
void connect_timed_out(c2s_t *c);
void connect_ready(c2s_t *c);
/* Where it was tried last, or shall be. */
void connect_place(char *out, size_t size, const c2s_t *c);
/* The level for a line about c's server that says this: ERR, but not each time. */
bosh_log_level_t connect_complaint(const c2s_t *c, const char *why);
/* To another host than was found. c may be gone. */
void connect_elsewhere(c2s_t *c, const char *host, uint16_t port);

/* ---- redirect.c --------------------------------------------------------- */

/* The server ended its stream with an error. True: it said to see another host, and that is
 * done; c may be gone. */
bool redirect_follow(c2s_t *c);

/* ---- proxy.c ------------------------------------------------------------ */

/* The PROXY protocol's header, where it is wanted. False: it could not be sent. */
bool proxy_send(c2s_t *c);

/* ---- secure.c ----------------------------------------------------------- */

/* Just connected. c may be gone. */
void secure_begin(c2s_t *c);
/* The socket of a c2s that is SECURING is ready. c may be gone. */
void secure_ready(c2s_t *c, apr_int16_t events);
/* From the parser: what came. Decides, and does nothing yet. */
void secure_opened(c2s_t *c, const bosh_stream_header_t *header);
void secure_stanza(c2s_t *c, bosh_stanza_kind_t kind, bosh_str_t xml);
/* After it: these bytes were the last. False: c is gone, or has another stream. */
bool secure_fed(c2s_t *c, const char *p, size_t len, bosh_xml_verdict_t verdict);

/* ---- up.c --------------------------------------------------------------- */

/* Moves what the store has to the socket. False: c is gone. */
bool up_move(c2s_t *c);
/* Writes c->out. False: c is gone. */
bool up_flush(c2s_t *c);
void up_start_stream(c2s_t *c);
/* Sends all there is, and these, at once. False: that was not possible. */
bool up_last_words(c2s_t *c, bosh_str_t words);
/* What the other end's kernel has not acknowledged, of the client's; also after a reset. Of
 * what it has acknowledged, nobody knows what its server has read. */
size_t up_unacknowledged(const c2s_t *c);
/* The server may read nothing more: is the session over? */
bool up_is_over(c2s_t *c, bosh_up_t *up);
/* Before the socket is closed: a line about what the server cannot be assumed to have. */
void up_log_unsent(c2s_t *c);

/* ---- down.c ------------------------------------------------------------- */

extern const bosh_stream_events_t down_events;
/* What the server sent is such an element, as our serialiser writes its start. */
bool down_begins(bosh_str_t xml, const char *start);
/* The socket is readable. */
void down_ready(c2s_t *c);
/* Reads what is there, about so many bytes at most. False: c is gone. */
bool down_look(c2s_t *c, size_t bytes);
/* Gives c->down to the store, or keeps it and stops reading. */
bosh_put_t down_put(c2s_t *c);

/* ---- keepalive.c -------------------------------------------------------- */

/* The server sent that. */
void keepalive_note(c2s_t *c, bosh_stanza_kind_t kind, bosh_str_t xml);
/* c may be gone. */
void keepalive_tick(c2s_t *c);

/* ---- bounce.c ----------------------------------------------------------- */

void bounce_begin(c2s_t *c);
/* As much as the socket takes. False: c is gone. */
bool bounce_move(c2s_t *c);

/* ---- part.c ------------------------------------------------------------- */

/* Takes over the socket. */
void part_begin(connector_t *k, link_t *link);
void part_tick(connector_t *k);

/* ---- loop.c ------------------------------------------------------------- */

#define IO_SIZE 65536

struct connector_t {
    const bosh_connector_args_t *args;
    apr_pool_t *pool;
    apr_pollset_t *pollset;
    bosh_parser_pool_t *parsers;
    names_t *names;
    domains_t domains;
    failures_t failures;
    complaints_t complaints;
    c2s_t *all;          /* list */
    parting_t *partings; /* list */
    c2s_t **by_index;    /* [session's index in the store * BOSH_MAX_STREAMS + stream] */
    uint32_t by_index_size;
    unsigned count;
    bosh_msec_t now;      /* of this turn */
    bosh_msec_t ticked;   /* the latest tick */
    bosh_msec_t forgiven; /* stillness was looked after up to here */
    bosh_knocks_t knocks;
    bool stopping;
    bosh_msec_t leave_at; /* 0: never */
    char io[IO_SIZE];     /* scratch for one read or write */
};

/* NULL: none. */
c2s_t *find_c2s(const connector_t *k, bosh_ref_t ref);

/* Sockets whose structures are used again: APR would keep each in a pool. */
apr_socket_t *shell_open(connector_t *k, int family);
void shell_close(connector_t *k, apr_socket_t *sock);

#endif
