/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A segment, a clock, and one httpd child: enough to play both sides. Every call that
 * goes through the box verifies the whole segment afterwards.
 */
#ifndef BOX_H
#define BOX_H

#include "store_int.h"

#define REALM UINT64_C(0x1234567890)

typedef struct box_t {
    apr_pool_t *pool;
    apr_global_mutex_t *mutex;
    bosh_store_t *st;
    bosh_msec_t now;
    uint32_t child, tickets;
    bosh_knocks_t knocks; /* all that were asked for */
    bosh_outcome_t out;   /* of the latest request, or coming back */
    bosh_buf_t buf;       /* its payload */
    bosh_holder_t holder; /* who asked */
} box_t;

/* A client's session. */
typedef struct sess_t {
    char sid[BOSH_SID_CHARS + 1];
    bosh_ref_t ref;
    uint64_t rid; /* the next one */
    uint64_t serial;
} sess_t;

void box_open(box_t *b, size_t bytes, unsigned sessions, unsigned children, unsigned connectors);
void box_close(box_t *b);
void box_check(box_t *b);
unsigned box_blocks_free(box_t *b);

bosh_birth_t box_birth(uint64_t rid);

/* All connectors gave a sign of life just now, as they do all the time; so does whatever
 * creates a session here. */
void box_connectors_live(box_t *b);
/* Creation; the answer waits for features. */
bosh_got_t box_create(box_t *b, sess_t *s);
/* Creation, features, answer written; connector 0 has taken its task. */
void box_session(box_t *b, sess_t *s);
/* A session that may have so many streams; its first one is open. */
void box_streams_session(box_t *b, sess_t *s, unsigned streams);
/* The n-th stream is added: its task waits. Or it is open as well. */
void box_add_leg(box_t *b, sess_t *s, unsigned n, const char *to);
void box_open_leg(box_t *b, sess_t *s, unsigned n);
bosh_ref_t box_leg(const sess_t *s, unsigned n);
/* Of a stream, or BOSH_NO_STREAM: absent. */
bosh_str_t box_name(box_t *b, const sess_t *s, unsigned n, char text[BOSH_STREAM_CHARS + 1]);
/* The next request, to be answered at once; what it gets is reported written. */
bosh_got_t box_send(box_t *b, sess_t *s, unsigned n, uint8_t asks, bosh_str_t payload);
bosh_put_t box_put_leg(box_t *b, sess_t *s, unsigned n, bosh_str_t xml);
/* Takes all blocks, for s; gives one of them back. */
void box_fill(box_t *b, sess_t *s);
void box_free_block(box_t *b, sess_t *s);
record_t *box_record(box_t *b, const sess_t *s);

/* The session's request with this rid; a holder of its own. */
bosh_got_t box_request(box_t *b, sess_t *s, uint64_t rid, uint8_t asks, bosh_str_t payload);
bosh_got_t box_due(box_t *b, sess_t *s, uint64_t rid, bosh_holder_t holder);
void box_written(box_t *b, sess_t *s, uint64_t rid, bosh_holder_t holder);
void box_gone(box_t *b, sess_t *s, uint64_t rid, bosh_holder_t holder);
bosh_put_t box_put(box_t *b, sess_t *s, bosh_str_t xml);
/* All that waits to go up; the buffer is the caller's. */
bosh_up_t box_take(box_t *b, sess_t *s, char *buf, size_t size, size_t *len);
void box_tick(box_t *b, uint32_t connector);
void box_up_ended(box_t *b, sess_t *s);
/* Mail of a connector: is this session in it? All of it is read. */
bool box_is_mailed(box_t *b, uint32_t connector, sess_t *s);
/* Ends it, lets the connector finish and the linger pass: the record is free. */
void box_forget(box_t *b, sess_t *s);

/* n bytes that say where they are from. */
bosh_str_t box_bytes(char *buf, size_t n, unsigned seed);

#endif
