/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A million sessions come and go, in all ways of ending: afterwards every block, record,
 * letter and place is back where it was. BOSH_CYCLES=n asks for another number.
 *
 * They live in groups, one of each kind, so that kinds that end many at once (a connector
 * dies) find all the others in the middle of something.
 */

#include <string.h>
#include <unistd.h>

#include "box.h"

#include "../core/rng.h"
#include "../core/unit.h"
#include "store_int.h"

#ifdef __SANITIZE_ADDRESS__
#define CYCLES 50000
#else
#define CYCLES 1000000
#endif

#define GROUP      48
#define CONNECTORS 3
#define CHECK_EACH 64 /* groups; the checker walks all of the segment */
#define DEAD_PID   1

typedef enum kind_t {
    TERMINATES,
    TERMINATES_WITH_PAYLOAD,
    LEAVES,        /* answered, and never seen again */
    LEAVES_HELD,   /* its client hangs up while it waits */
    LEAVES_EARLY,  /* with a payload whose turn never came */
    LEAVES_ANSWER, /* unread stanzas: bounced */
    NEVER_CAME,    /* hung up before its session was there */
    PAUSES,
    BREACHES,
    SERVER_CLOSES,
    SERVER_FAILS, /* before it said a word */
    SERVER_SILENT,
    SHUTDOWN,
    CHILD_DIES, /* with its request held */
    SEVERAL_STREAMS,
    REFUSED_STREAM,
    KINDS
} kind_t;

typedef struct talk_t {
    sess_t s;
    kind_t kind;
    uint64_t held_rid; /* its request that waits; 0: none */
    bosh_holder_t held;
} talk_t;

static box_t box;
static talk_t talk[GROUP];
static char words[3000], io[65536];
static uint32_t mortal; /* a child that dies */
static uint64_t cycles, refused;

/* ---- a connector ------------------------------------------------------------- */

static void end_leg(bosh_ref_t ref)
{
    bosh_store_up_ended(box.st, ref, BOSH_COND_NONE, BOSH_REASON_CLIENT, BOSH_ABSENT, box.now,
                        &box.knocks);
}

static void serve_leg(bosh_ref_t ref)
{
    bosh_task_t task;
    bosh_up_t up;

    if (bosh_store_connector_task(box.st, ref, &task)) {
        return;
    }
    do {
        bosh_store_take_up(box.st, ref, io, sizeof(io), box.now, &up, &box.knocks);
    } while (up.more);
    if (up.close) {
        while (bosh_store_take_back(box.st, ref, io, sizeof(io)) > 0) {
        }
        end_leg(ref);
    }
}

static void serve_all(void)
{
    bosh_ref_t refs[16];
    unsigned n;

    for (uint32_t c = 0; c < CONNECTORS; c++) {
        do {
            n = bosh_store_connector_mail(box.st, c, refs, 16);
            for (unsigned i = 0; i < n; i++) {
                serve_leg(refs[i]);
            }
        } while (n == 16);
    }
}

static void pass(bosh_msec_t ms)
{
    box.now += ms;
    for (uint32_t c = 0; c < CONNECTORS; c++) {
        uint32_t cursor = 0;

        while (!bosh_store_tick(box.st, c, &cursor, box.now, &box.knocks)) {
        }
    }
    serve_all();
}

/* ---- a client, and httpd ------------------------------------------------------- */

static void note_held(talk_t *t, uint64_t rid)
{
    t->held_rid = box.out.got == BOSH_GOT_HOLD ? rid : 0;
    t->held = box.holder;
}

static void come_back(talk_t *t)
{
    if (!t->held_rid) {
        return;
    }
    bosh_store_due(box.st, t->s.ref, t->held_rid, t->held, 0, box.now, &box.buf, &box.out);
    if (box.out.got == BOSH_GOT_ANSWER) {
        bosh_store_written(box.st, t->s.ref, t->held_rid, t->held, box.now, &box.knocks);
    }
    if (box.out.got != BOSH_GOT_HOLD) {
        t->held_rid = 0;
    }
}

/* Its client is there no more. */
static void hang_up(talk_t *t)
{
    if (t->held_rid) {
        bosh_store_gone(box.st, t->s.ref, t->held_rid, t->held, box.now, &box.knocks);
        t->held_rid = 0;
    }
}

static bosh_got_t create(talk_t *t)
{
    bosh_birth_t birth = box_birth(1000);
    bosh_request_t req = { .rid = 1000, .holder = { box.child, ++box.tickets } };

    birth.terms.streams = t->kind >= SEVERAL_STREAMS ? 3 : 1;
    birth.terms.acks = t->kind % 2;
    box.holder = req.holder;
    bosh_store_create_session(box.st, &birth, &req, box.now, t->s.sid, &box.buf, &box.out);
    t->s.ref = box.out.ref;
    t->s.rid = 1001;
    note_held(t, 1000);
    return box.out.got;
}

static bosh_got_t ask(talk_t *t, uint64_t rid, bosh_request_t req)
{
    if (req.holder.child == 0 && req.holder.ticket == 0) {
        req.holder = (bosh_holder_t){ box.child, ++box.tickets };
    }
    req.rid = rid;
    box.holder = req.holder;
    bosh_store_request(box.st, bosh_str(t->s.sid), REALM, true, &req, box.now, &box.buf, &box.out);
    if (box.out.got == BOSH_GOT_ANSWER) {
        bosh_store_written(box.st, t->s.ref, rid, req.holder, box.now, &box.knocks);
    }
    note_held(t, rid);
    return box.out.got;
}

static void put(talk_t *t, unsigned stream, size_t len, bool opens)
{
    bosh_ref_t ref = t->s.ref;

    ref.stream = stream;
    bosh_store_put_down(box.st, ref, (bosh_str_t){ words, len }, opens, box.now, &box.knocks);
}

/* Created, features came, one message each way. */
static void begin(talk_t *t)
{
    assert_int_equal(create(t), BOSH_GOT_HOLD);
    cycles++;
    if (t->kind == NEVER_CAME) {
        hang_up(t);
    }
    serve_all();
    if (t->kind >= SERVER_FAILS && t->kind <= SERVER_SILENT) {
        return;
    }
    put(t, 0, 700, true);
    if (t->kind == NEVER_CAME) {
        return;
    }
    come_back(t);
    assert_int_equal(box.out.got, BOSH_GOT_ANSWER);
    box.now += 10;
    put(t, 0, 1 + t->s.ref.index * 7 % 2500, false);
    ask(t, t->s.rid++, (bosh_request_t){ .payload = { words, 600 } });
    assert_int_equal(box.out.got, BOSH_GOT_ANSWER);
    serve_all();
}

static void add_streams(talk_t *t, bool refuse)
{
    bosh_upstream_t up = { .to = "more.example", .port = 5222 };

    for (unsigned n = 1; n < 3; n++) {
        box.now += 10;
        ask(t, t->s.rid++,
            (bosh_request_t){ .asks = BOSH_ASKS_ADD | BOSH_ASKS_URGENT,
                              .add = refuse ? NULL : &up,
                              .refused = refuse ? BOSH_COND_HOST_UNKNOWN : BOSH_COND_NONE });
        serve_all();
        put(t, n, 900, true);
    }
    ask(t, t->s.rid++, (bosh_request_t){ .payload = { words, 100 }, .asks = BOSH_ASKS_URGENT });
}

static void end(talk_t *t)
{
    box.now += 10;
    switch (t->kind) {
    case TERMINATES: ask(t, t->s.rid, (bosh_request_t){ .asks = BOSH_ASKS_TERMINATE }); break;
    case TERMINATES_WITH_PAYLOAD:
        ask(t, t->s.rid,
            (bosh_request_t){ .asks = BOSH_ASKS_TERMINATE, .payload = { words, 1200 } });
        break;
    case LEAVES_HELD:
        ask(t, t->s.rid, (bosh_request_t){ .asks = 0 });
        hang_up(t);
        break;
    case LEAVES_EARLY:
        ask(t, t->s.rid + 1, (bosh_request_t){ .payload = { words, 2000 } });
        hang_up(t);
        break;
    case LEAVES_ANSWER: put(t, 0, 2900, false); break;
    case PAUSES: ask(t, t->s.rid, (bosh_request_t){ .asks = BOSH_ASKS_PAUSE, .pause = 100 }); break;
    case BREACHES:
        put(t, 0, 10, false);
        ask(t, t->s.rid + 100, (bosh_request_t){ .payload = { words, 300 } });
        break;
    case SERVER_CLOSES:
        put(t, 0, 1000, false);
        bosh_store_up_ended(box.st, t->s.ref, BOSH_COND_REMOTE_STREAM_ERROR,
                            BOSH_REASON_STREAM_ERROR, BOSH_STR("<e/>"), box.now, &box.knocks);
        break;
    case SERVER_FAILS:
        bosh_store_up_ended(box.st, t->s.ref, BOSH_COND_REMOTE_CONNECTION_FAILED,
                            BOSH_REASON_CONNECT_FAILED, BOSH_ABSENT, box.now, &box.knocks);
        break;
    case SHUTDOWN:
        ask(t, t->s.rid, (bosh_request_t){ .payload = { words, 10 } });
        bosh_store_end(box.st, t->s.ref, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN, box.now,
                       &box.knocks);
        hang_up(t);
        break;
    case CHILD_DIES:
        ask(t, t->s.rid, (bosh_request_t){ .holder = { mortal, ++box.tickets } });
        t->held_rid = 0;
        break;
    case SEVERAL_STREAMS:
    case REFUSED_STREAM: add_streams(t, t->kind == REFUSED_STREAM); break;
    default: break; /* LEAVES, NEVER_CAME, SERVER_SILENT: time does it */
    }
    serve_all();
}

/* ---- all of them ----------------------------------------------------------------- */

static bool is_alive(int64_t pid)
{
    return pid != DEAD_PID;
}

static void lose_child(void)
{
    bosh_store_reap_children(box.st, is_alive, box.now, &box.knocks);
    assert_int_equal(bosh_store_child_join(box.st, DEAD_PID), mortal);
}

static void lose_connector(uint32_t c)
{
    bosh_store_connector_join(box.st, c, getpid(), box.now, &box.knocks);
    serve_all();
}

static void read_letters(void)
{
    bosh_mail_t mail[64];
    bool missed;

    while (bosh_store_child_mail(box.st, box.child, mail, 64, box.now, &missed) == 64) {
    }
    while (bosh_store_child_mail(box.st, mortal, mail, 64, box.now, &missed) == 64) {
    }
    for (unsigned i = 0; i < GROUP; i++) {
        come_back(&talk[i]);
    }
}

static void run_group(uint64_t g)
{
    talk_t one_more = { .kind = TERMINATES };

    for (unsigned i = 0; i < GROUP; i++) {
        talk[i].kind = (kind_t)((i + g) % KINDS);
        begin(&talk[i]);
    }
    assert_int_equal(create(&one_more), BOSH_GOT_FULL);
    refused++;
    for (unsigned i = 0; i < GROUP; i++) {
        if (g % 4 == 1 && i == GROUP / 2) {
            lose_connector((uint32_t)(g / 4 % CONNECTORS));
        }
        end(&talk[i]);
    }
    read_letters();
    lose_child();
    pass(BOSH_SEC(30)); /* the connect timeout, for one */
    read_letters();
    pass(BOSH_SEC(61)); /* inactivity */
    pass(BOSH_SEC(61)); /* pauses */
    pass(BOSH_SEC(31)); /* late requests learn nothing any more */
    read_letters();
}

static void assert_all_is_back(const bosh_store_status_t *first)
{
    bosh_store_status_t status;

    bosh_store_status(box.st, box.now, &status);
    assert_int_equal(status.sessions, 0);
    assert_int_equal(status.blocks_free, first->blocks_free);
    assert_int_equal(status.children, first->children);
    assert_int_equal(status.repairs, 0);
    assert_true(box.st->h->used_sessions <= GROUP);
    for (uint32_t c = 0; c < CONNECTORS; c++) {
        assert_int_equal(box.st->h->connectors[c].mail_first, NIL);
    }
    for (uint32_t c = 0; c < box.st->h->max_children; c++) {
        assert_int_equal(box.st->children[c].box.count, 0);
    }
}

static void all_ways_of_ending_give_everything_back(void **state)
{
    uint64_t wanted = env_number("BOSH_CYCLES", CYCLES), most = 0;
    bosh_store_status_t first;

    (void)state;
    box_open(&box, 4 << 20, GROUP, 3, CONNECTORS);
    mortal = bosh_store_child_join(box.st, DEAD_PID);
    box_bytes(words, sizeof(words), 1);
    bosh_store_status(box.st, box.now, &first);
    for (uint64_t g = 0; cycles < wanted; g++) {
        run_group(g);
        assert_all_is_back(&first);
        if (g % CHECK_EACH == 0) {
            box_check(&box);
        }
        if (g == 4 * KINDS * CONNECTORS) { /* every kind was in every place */
            most = box.st->h->used_blocks;
        }
        assert_true(!most || box.st->h->used_blocks <= most);
    }
    printf("# %llu sessions, %llu refused for want of room\n", (unsigned long long)cycles,
           (unsigned long long)refused);
    box_close(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_ways_of_ending_give_everything_back),
    };

    return cmocka_run_group_tests_name("cycles", tests, NULL, NULL);
}
