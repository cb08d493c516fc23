/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Several streams in one session: names, mail, queues of their own, broadcasts, ends.
 * What the core decides is played here: its actions are carried out as it would ask.
 */

#include <string.h>

#include "box.h"

#include "../core/unit.h"
#include "store_int.h"

static box_t box;
static sess_t s;
static char big[UP_LIMIT + 4096], up[UP_LIMIT + 4096];

static void open_box(size_t bytes)
{
    box_open(&box, bytes, 12, 2, 2);
    box_streams_session(&box, &s, 4);
}

static int begin(void **state)
{
    (void)state;
    open_box(8 << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    box_close(&box);
    return 0;
}

static record_t *record(void)
{
    return box_record(&box, &s);
}

static bosh_str_t name_of(unsigned n, char text[BOSH_STREAM_CHARS + 1])
{
    return box_name(&box, &s, n, text);
}

static bosh_ref_t leg(unsigned n)
{
    return box_leg(&s, n);
}

static void forward(unsigned n, bosh_str_t payload)
{
    assert_int_equal(box_send(&box, &s, n, 0, payload), BOSH_GOT_ANSWER);
    assert_int_not_equal(box.out.answer.kind, BOSH_ANSWER_TERMINATE);
}

static void up_ended(unsigned n)
{
    bosh_store_up_ended(box.st, leg(n), BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_CLOSED,
                        BOSH_ABSENT, box.now, &box.knocks);
    box_check(&box);
}

static void assert_up(unsigned n, const char *want)
{
    bosh_up_t u;

    bosh_store_take_up(box.st, leg(n), up, sizeof(up), box.now, &u, &box.knocks);
    assert_int_equal(u.len, strlen(want));
    assert_memory_equal(up, want, u.len);
}

static unsigned mailed(bosh_ref_t refs[16])
{
    uint32_t c = record()->connector;

    return bosh_store_connector_mail(box.st, c, refs, 16);
}

/* ---- names ------------------------------------------------------------------ */

static void names_are_different_and_random(void **state)
{
    static const unsigned char zero[NAME_BYTES];
    sess_t other;

    (void)state;
    box_streams_session(&box, &other, 4);
    for (unsigned i = 0; i < BOSH_MAX_STREAMS; i++) {
        const leg_t *a = &record()->leg[i];

        assert_memory_not_equal(a->name, zero, NAME_BYTES);
        assert_memory_not_equal(a->name, box.st->sessions[other.ref.index].leg[i].name, NAME_BYTES);
        for (unsigned k = 0; k < i; k++) {
            assert_memory_not_equal(a->name, record()->leg[k].name, NAME_BYTES);
        }
    }
}

static void a_name_is_found_by_all_of_its_characters_only(void **state)
{
    char text[BOSH_STREAM_CHARS + 1], other[BOSH_STREAM_CHARS + 1];
    bosh_str_t name = name_of(0, text);

    (void)state;
    assert_int_equal(name.len, BOSH_STREAM_CHARS);
    assert_int_equal(leg_find(record(), name), 0);
    assert_int_equal(leg_find(record(), BOSH_ABSENT), BOSH_NO_STREAM);
    assert_int_equal(leg_find(record(), BOSH_STR("")), BOSH_BAD_STREAM);
    for (unsigned i = 0; i < BOSH_STREAM_CHARS; i++) {
        memcpy(other, text, sizeof(other));
        other[i] = other[i] == 'A' ? 'B' : 'A';
        assert_int_equal(leg_find(record(), bosh_str(other)), BOSH_BAD_STREAM);
        other[i] = '=';
        assert_int_equal(leg_find(record(), bosh_str(other)), BOSH_BAD_STREAM);
    }
    assert_int_equal(leg_find(record(), (bosh_str_t){ text, 15 }), BOSH_BAD_STREAM);
}

static void a_stream_that_is_gone_keeps_its_name_and_one_to_come_has_none(void **state)
{
    char text[BOSH_STREAM_CHARS + 1];

    (void)state;
    box_open_leg(&box, &s, 1);
    up_ended(1);
    assert_int_equal(leg_find(record(), name_of(1, text)), 1);
    assert_int_equal(leg_find(record(), name_of(2, text)), BOSH_BAD_STREAM);
}

static void a_session_without_streams_knows_no_names(void **state)
{
    char text[BOSH_STREAM_CHARS + 1];
    sess_t plain;
    record_t *r;

    (void)state;
    box_session(&box, &plain);
    r = &box.st->sessions[plain.ref.index];
    assert_int_equal(leg_find(r, BOSH_STR("AAAAAAAAAAAAAAAA")), BOSH_NO_STREAM);
    assert_int_equal(leg_find(r, BOSH_STR("no name")), BOSH_NO_STREAM);
    leg_name(r, 0, text);
    assert_string_equal(text, "");
}

/* ---- beginnings --------------------------------------------------------------- */

static void an_added_stream_has_a_task_and_a_greeting_of_its_own(void **state)
{
    bosh_ref_t refs[16];
    bosh_greeting_t g;
    bosh_task_t task;

    (void)state;
    mailed(refs);
    box_add_leg(&box, &s, 1, "second.example");
    assert_int_equal(mailed(refs), 1);
    assert_true(bosh_ref_same(refs[0], leg(1)));
    assert_false(bosh_store_connector_task(box.st, leg(2), &task));
    assert_true(bosh_store_connector_task(box.st, leg(1), &task));
    assert_string_equal(task.upstream.to, "second.example");
    assert_false(bosh_store_connector_task(box.st, leg(1), &task));
    assert_true(bosh_store_greeting(box.st, leg(1), &g));
    assert_string_equal(g.from, "second.example");
    bosh_store_greet(box.st, leg(1), BOSH_STR("b.example"), BOSH_STR("id-b"));
    assert_true(bosh_store_greeting(box.st, leg(0), &g));
    assert_string_equal(g.from, "example.org");
    assert_string_equal(g.authid, "");
    assert_true(bosh_store_greeting(box.st, leg(1), &g));
    assert_string_equal(g.from, "b.example");
    assert_string_equal(g.authid, "id-b");
    assert_false(bosh_store_greeting(box.st, leg(3), &g));
}

/* It came before its turn, which comes when the segment is full. */
static void a_stream_begins_without_a_free_block(void **state)
{
    bosh_upstream_t upstream = { .to = "late.example" };
    bosh_request_t req = { .rid = s.rid + 1, .asks = BOSH_ASKS_ADD, .add = &upstream };
    bosh_greeting_t g;
    sess_t hog;

    (void)state;
    box_session(&box, &hog);
    req.holder = (bosh_holder_t){ box.child, ++box.tickets };
    bosh_store_request(box.st, bosh_str(s.sid), REALM, true, &req, box.now, &box.buf, &box.out);
    assert_int_equal(box.out.got, BOSH_GOT_HOLD);
    box_fill(&box, &hog);
    assert_int_equal(box_send(&box, &s, BOSH_NO_STREAM, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_true(bosh_store_greeting(box.st, leg(1), &g));
    assert_string_equal(g.from, "late.example");
    assert_int_equal(record()->leg[1].task.len, sizeof(bosh_upstream_t));
    assert_int_equal(box_blocks_free(&box), 0);
}

static void a_refused_stream_has_a_name_and_nothing_else(void **state)
{
    bosh_request_t req = { .rid = s.rid,
                           .asks = BOSH_ASKS_ADD,
                           .refused = BOSH_COND_HOST_UNKNOWN,
                           .holder = { box.child, 77 } };
    char text[BOSH_STREAM_CHARS + 1];
    bosh_task_t task;
    bosh_up_t u;

    (void)state;
    bosh_store_request(box.st, bosh_str(s.sid), REALM, true, &req, box.now, &box.buf, &box.out);
    assert_int_equal(box.out.got, BOSH_GOT_ANSWER);
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(box.out.answer.condition, BOSH_COND_HOST_UNKNOWN);
    name_of(1, text);
    assert_string_equal(box.out.stream, text);
    box_written(&box, &s, s.rid++, req.holder);
    box.now += 100;
    assert_int_equal(leg_find(record(), bosh_str(text)), 1);
    assert_false(bosh_store_connector_task(box.st, leg(1), &task));
    bosh_store_take_up(box.st, leg(1), up, 10, box.now, &u, &box.knocks);
    assert_true(u.ended);
    forward(BOSH_NO_STREAM, BOSH_STR("<m/>"));
    forward(1, BOSH_STR("<n/>"));
    assert_up(0, "<m/>");
    box_open_leg(&box, &s, 2);
}

static void without_the_feature_an_addition_is_an_empty_request(void **state)
{
    bosh_upstream_t upstream = { .to = "more.example" };
    bosh_request_t req = { .rid = 1001,
                           .asks = BOSH_ASKS_ADD | BOSH_ASKS_URGENT,
                           .stream = BOSH_STR("of no interest"),
                           .add = &upstream };
    sess_t plain;

    (void)state;
    box_session(&box, &plain);
    req.holder = (bosh_holder_t){ box.child, ++box.tickets };
    box_fill(&box, &s); /* it needs no room either */
    bosh_store_request(box.st, bosh_str(plain.sid), REALM, true, &req, box.now, &box.buf, &box.out);
    assert_int_equal(box.out.got, BOSH_GOT_ANSWER);
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_DATA);
    assert_string_equal(box.out.stream, "");
    assert_int_equal(box_record(&box, &plain)->begun, leg_bit(0));
}

static void repeats_name_the_same_stream_also_when_it_is_gone(void **state)
{
    char text[BOSH_STREAM_CHARS + 1];
    uint64_t rid = s.rid;

    (void)state;
    box_open_leg(&box, &s, 1);
    up_ended(1);
    name_of(1, text);
    assert_int_equal(box_request(&box, &s, rid, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_STREAM);
    assert_int_equal(box.out.ref.stream, 1);
    assert_string_equal(box.out.stream, text);
}

static void a_name_that_none_has_ends_the_session(void **state)
{
    bosh_request_t req = { .rid = s.rid,
                           .stream = BOSH_STR("AAAAAAAAAAAAAAAA"),
                           .payload = BOSH_STR("<m/>"),
                           .holder = { box.child, 77 } };
    sess_t hog;

    (void)state;
    box_session(&box, &hog);
    box_fill(&box, &hog); /* it needs no room */
    bosh_store_request(box.st, bosh_str(s.sid), REALM, true, &req, box.now, &box.buf, &box.out);
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(box.out.answer.condition, BOSH_COND_ITEM_NOT_FOUND);
    assert_int_equal(record()->core.reason, BOSH_REASON_STREAM);
    assert_up(0, "");
}

/* ---- mail --------------------------------------------------------------------- */

static void each_stream_is_in_the_mail_once(void **state)
{
    bosh_ref_t refs[16];
    bool seen[BOSH_MAX_STREAMS] = { false };

    (void)state;
    for (unsigned n = 1; n < 4; n++) {
        box_open_leg(&box, &s, n);
    }
    mailed(refs);
    for (unsigned i = 0; i < 3; i++) {
        forward(BOSH_NO_STREAM, BOSH_STR("<m/>"));
        forward(2, BOSH_STR("<m/>"));
    }
    assert_int_equal(mailed(refs), 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(refs[i].index, s.ref.index);
        assert_false(seen[refs[i].stream]);
        seen[refs[i].stream] = true;
    }
    assert_int_equal(mailed(refs), 0);
    forward(3, BOSH_STR("<m/>"));
    assert_int_equal(mailed(refs), 1);
    assert_int_equal(refs[0].stream, 3);
}

static void mail_that_stops_within_a_session_goes_on_there(void **state)
{
    uint32_t c = record()->connector;
    bosh_ref_t refs[16];
    unsigned n, times[BOSH_MAX_STREAMS] = { 0 };

    (void)state;
    for (n = 1; n < 4; n++) {
        box_open_leg(&box, &s, n);
    }
    mailed(refs);
    forward(BOSH_NO_STREAM, BOSH_STR("<m/>"));
    assert_int_equal(bosh_store_connector_mail(box.st, c, refs, 3), 3);
    box_check(&box);
    for (unsigned i = 0; i < 3; i++) {
        times[refs[i].stream]++;
    }
    times[refs[0].stream]--;
    forward(refs[0].stream, BOSH_STR("<m/>")); /* told already, wants something again */
    do {
        n = bosh_store_connector_mail(box.st, c, refs, 1);
        times[refs[0].stream] += n;
        box_check(&box);
    } while (n == 1);
    for (n = 0; n < 4; n++) {
        assert_int_equal(times[n], 1);
    }
}

/* ---- up ------------------------------------------------------------------------ */

static void a_payload_goes_to_its_stream_or_to_all(void **state)
{
    (void)state;
    box_open_leg(&box, &s, 1);
    box_open_leg(&box, &s, 2);
    forward(1, BOSH_STR("<one/>"));
    forward(BOSH_NO_STREAM, BOSH_STR("<all/>"));
    forward(0, BOSH_STR("<zero/>"));
    assert_up(0, "<all/><zero/>");
    assert_up(1, "<one/><all/>");
    assert_up(2, "<all/>");
}

static void a_broadcast_leaves_out_what_closes_or_is_gone(void **state)
{
    bosh_up_t u;

    (void)state;
    for (unsigned n = 1; n < 4; n++) {
        box_open_leg(&box, &s, n);
    }
    assert_int_equal(box_send(&box, &s, 3, BOSH_ASKS_TERMINATE, BOSH_ABSENT), BOSH_GOT_ANSWER);
    up_ended(1);
    box_send(&box, &s, BOSH_NO_STREAM, 0, BOSH_ABSENT); /* is told of that */
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_TERMINATE);
    forward(BOSH_NO_STREAM, BOSH_STR("<all/>"));
    assert_up(0, "<all/>");
    assert_up(2, "<all/>");
    bosh_store_take_up(box.st, leg(3), up, sizeof(up), box.now, &u, &box.knocks);
    assert_true(u.close && u.len == 0);
    assert_int_equal(u.reason, BOSH_REASON_CLIENT);
    assert_int_equal(record()->leg[1].up.len, 0);
}

static void large_broadcasts_arrive_whole(void **state)
{
    bosh_str_t words = box_bytes(big, 200 * BLOCK_BYTES + 77, 5);
    size_t n;

    (void)state;
    for (unsigned k = 1; k < 4; k++) {
        box_open_leg(&box, &s, k);
        forward((uint8_t)k, box_bytes(up, 100 * k, k)); /* each ends elsewhere in its block */
    }
    forward(BOSH_NO_STREAM, words);
    for (unsigned k = 0; k < 4; k++) {
        sess_t of = { .ref = leg(k) };

        box_take(&box, &of, up, sizeof(up), &n);
        assert_int_equal(n, words.len + 100 * k);
        assert_memory_equal(up + 100 * k, words.p, words.len);
    }
}

/* ---- room ---------------------------------------------------------------------- */

static bosh_event_t event(uint64_t rid, uint8_t asks, uint8_t stream)
{
    return (bosh_event_t){ .kind = BOSH_EV_REQUEST, .rid = rid, .asks = asks, .stream = stream };
}

/* Nothing of it is taken unless there is room in all queues and for all copies. */
static void a_broadcast_needs_room_for_every_copy(void **state)
{
    bosh_event_t all, one;
    size_t blocks;
    sess_t hog;

    (void)state;
    end(state);
    open_box(2 << 20);
    box_session(&box, &hog);
    for (unsigned n = 1; n < 4; n++) {
        box_open_leg(&box, &s, n);
    }
    all = event(record()->core.next_rid, BOSH_ASKS_PAYLOAD, BOSH_NO_STREAM);
    one = event(record()->core.next_rid, BOSH_ASKS_PAYLOAD, 2);
    box_fill(&box, &hog);
    assert_false(request_has_room_locked(box.st, record(), &one, 1));
    for (blocks = 0; blocks < 40; blocks++) {
        size_t n = blocks / 4 * BLOCK_BYTES; /* kept once, and three copies */

        assert_int_equal(box_blocks_free(&box), blocks);
        assert_true(request_has_room_locked(box.st, record(), &all, n));
        assert_false(request_has_room_locked(box.st, record(), &all, n + 1));
        assert_true(request_has_room_locked(box.st, record(), &one, blocks * BLOCK_BYTES));
        assert_false(request_has_room_locked(box.st, record(), &one, blocks * BLOCK_BYTES + 1));
        box_free_block(&box, &hog);
    }
}

static void a_full_stream_refuses_broadcasts_and_not_the_others(void **state)
{
    (void)state;
    box_open_leg(&box, &s, 1);
    forward(1, box_bytes(big, UP_LIMIT, 1));
    assert_int_equal(box_send(&box, &s, BOSH_NO_STREAM, 0, BOSH_STR("x")), BOSH_GOT_NO_ROOM);
    assert_int_equal(box_send(&box, &s, 1, 0, BOSH_STR("x")), BOSH_GOT_NO_ROOM);
    forward(0, BOSH_STR("x"));
    assert_up(0, "x");
    assert_int_equal(record()->leg[1].up.len, UP_LIMIT);
}

/* An early broadcast is copied when its turn comes: who brings its turn needs the room. */
static void room_for_early_broadcasts_is_asked_of_who_brings_their_turn(void **state)
{
    bosh_event_t ev;
    sess_t hog;

    (void)state;
    box_session(&box, &hog);
    box_open_leg(&box, &s, 1);
    box_open_leg(&box, &s, 2);
    memset(big, 0, sizeof(big));
    assert_int_equal(box_request(&box, &s, s.rid + 1, 0, box_bytes(big, 3 * BLOCK_BYTES, 1)),
                     BOSH_GOT_HOLD);
    box_fill(&box, &hog);
    for (unsigned n = 0; n < 6; n++) {
        assert_int_equal(box_send(&box, &s, BOSH_NO_STREAM, 0, BOSH_ABSENT), BOSH_GOT_NO_ROOM);
        assert_int_equal(box_send(&box, &s, 1, 0, BOSH_STR("x")), BOSH_GOT_NO_ROOM);
        assert_int_equal(record()->leg[0].up.len + record()->leg[1].up.len, 0);
        box_free_block(&box, &hog);
    }
    /* one that adds a stream before it makes one copy more */
    ev = event(s.rid, BOSH_ASKS_ADD, BOSH_NO_STREAM);
    assert_false(request_has_room_locked(box.st, record(), &ev, 0));
    assert_int_equal(box_send(&box, &s, BOSH_NO_STREAM, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_int_equal(box_blocks_free(&box), 0);
    for (unsigned n = 0; n < 3; n++) {
        assert_up(n, big);
    }
}

/* ---- down ----------------------------------------------------------------------- */

static void an_answer_takes_what_one_stream_has_and_names_it(void **state)
{
    static const char *const want[] = { "<zero/>", "<one/>" };
    char text[BOSH_STREAM_CHARS + 1];
    uint64_t rid = s.rid + 1;
    unsigned seen = 0;

    (void)state;
    box_open_leg(&box, &s, 1);
    box_put_leg(&box, &s, 0, BOSH_STR("<zero/>"));
    box_put_leg(&box, &s, 1, BOSH_STR("<one/>"));
    for (unsigned i = 0; i < 4; i++) { /* and both once more */
        unsigned n;

        if (i < 2) {
            box_send(&box, &s, BOSH_NO_STREAM, 0, BOSH_ABSENT);
        }
        else {
            box_request(&box, &s, rid + i - 2, 0, BOSH_ABSENT);
        }
        n = box.out.answer.stream;
        assert_true(n < 2);
        seen |= 1u << n;
        name_of(n, text);
        assert_string_equal(box.out.stream, text);
        assert_int_equal(box.buf.len, strlen(want[n]));
        assert_memory_equal(box.buf.p, want[n], box.buf.len);
        assert_int_equal(record()->core.slots[rid % BOSH_SLOTS].bytes,
                         record()->slot[rid % BOSH_SLOTS].len);
    }
    assert_int_equal(seen, 3);
}

static void each_stream_has_its_own_back_pressure(void **state)
{
    bosh_ref_t refs[16];
    bosh_up_t u;

    (void)state;
    box_open_leg(&box, &s, 1);
    assert_int_equal(box_put_leg(&box, &s, 1, box_bytes(big, UP_LIMIT, 1)), BOSH_PUT_OK);
    assert_int_equal(box_put_leg(&box, &s, 1, box_bytes(big, UP_LIMIT, 1)), BOSH_PUT_NO_ROOM);
    assert_int_equal(box_put_leg(&box, &s, 0, BOSH_STR("<m/>")), BOSH_PUT_OK);
    bosh_store_take_up(box.st, leg(0), up, 1, box.now, &u, &box.knocks);
    assert_true(u.has_room);
    bosh_store_take_up(box.st, leg(1), up, 1, box.now, &u, &box.knocks);
    assert_false(u.has_room);
    mailed(refs);
    do {
        box_send(&box, &s, BOSH_NO_STREAM, 0, BOSH_ABSENT);
    } while (box.out.answer.stream != 1);
    assert_int_equal(mailed(refs), 1);
    assert_int_equal(refs[0].stream, 1);
}

/* The segment was full: the clock tells each stream that waits. */
static void the_clock_tells_of_room_for_every_stream(void **state)
{
    bosh_ref_t refs[16];
    sess_t hog;

    (void)state;
    box_session(&box, &hog);
    box_open_leg(&box, &s, 1);
    box_open_leg(&box, &s, 2);
    mailed(refs);
    box_fill(&box, &hog);
    assert_int_equal(box_put_leg(&box, &s, 1, BOSH_STR("<m/>")), BOSH_PUT_NO_ROOM);
    assert_int_equal(box_put_leg(&box, &s, 2, BOSH_STR("<m/>")), BOSH_PUT_NO_ROOM);
    box_tick(&box, record()->connector);
    assert_int_equal(mailed(refs), 0);
    box_free_block(&box, &hog);
    box_tick(&box, record()->connector);
    assert_int_equal(mailed(refs), 2);
    assert_int_equal(refs[0].stream + refs[1].stream, 3);
}

/* ---- ends ------------------------------------------------------------------------- */

static void a_closed_stream_is_flushed_and_the_others_live(void **state)
{
    bosh_up_t u;

    (void)state;
    box_open_leg(&box, &s, 1);
    assert_int_equal(box_send(&box, &s, 1, BOSH_ASKS_TERMINATE, BOSH_STR("<bye/>")),
                     BOSH_GOT_ANSWER);
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(box.out.answer.stream, 1);
    bosh_store_take_up(box.st, leg(1), up, 3, box.now, &u, &box.knocks);
    assert_true(u.more && !u.close);
    bosh_store_take_up(box.st, leg(1), up, 10, box.now, &u, &box.knocks);
    assert_true(u.close && !u.ended);
    assert_int_equal(u.reason, BOSH_REASON_CLIENT);
    up_ended(1);
    bosh_store_take_up(box.st, leg(1), up, 10, box.now, &u, &box.knocks);
    assert_true(u.ended);
    assert_int_equal(box_put_leg(&box, &s, 1, BOSH_STR("<late/>")), BOSH_PUT_GONE);
    bosh_store_take_up(box.st, leg(0), up, 10, box.now, &u, &box.knocks);
    assert_true(!u.close && !u.ended);
    assert_int_equal(u.reason, BOSH_REASON_NONE);
    forward(BOSH_NO_STREAM, BOSH_STR("<m/>"));
    assert_up(0, "<m/>");
}

static void a_connect_timeout_tells_its_reason(void **state)
{
    bosh_up_t u;

    (void)state;
    box_add_leg(&box, &s, 1, "slow.example");
    box.now += BOSH_SEC(21);
    box_tick(&box, record()->connector);
    bosh_store_take_up(box.st, leg(1), NULL, 0, box.now, &u, &box.knocks);
    assert_true(u.close && !u.ended);
    assert_int_equal(u.reason, BOSH_REASON_CONNECT_TIMEOUT);
    assert_int_equal(u.condition, BOSH_COND_REMOTE_CONNECTION_FAILED);
    bosh_store_take_up(box.st, leg(0), NULL, 0, box.now, &u, &box.knocks);
    assert_int_equal(u.reason, BOSH_REASON_NONE);
}

static bosh_end_t stream_closed(unsigned n)
{
    return bosh_store_up_ended(box.st, leg(n), BOSH_COND_REMOTE_STREAM_ERROR,
                               BOSH_REASON_STREAM_CLOSED, BOSH_ABSENT, box.now, &box.knocks);
}

static void end_of_the_session_is_told_once_and_with_its_last_stream(void **state)
{
    bosh_end_t end;

    (void)state;
    box_open_leg(&box, &s, 1);
    assert_int_equal(stream_closed(0).serial, 0);
    end = stream_closed(1);
    assert_int_equal(end.serial, record()->serial);
    assert_int_equal(end.reason, BOSH_REASON_STREAM_CLOSED);
    assert_int_equal(end.condition, BOSH_COND_REMOTE_STREAM_ERROR);
    assert_true(end.had_several);
    assert_int_equal(stream_closed(1).serial, 0);
    assert_int_equal(stream_closed(0).serial, 0);
}

static void end_is_told_to_who_comes_for_a_stream_that_nobody_took(void **state)
{
    bosh_task_t task;

    (void)state;
    box_open_leg(&box, &s, 1);
    record()->up_gone |= leg_bit(0);
    client_end_locked(box.st, record());
    record()->core.state = BOSH_ENDED;
    record()->core.reason = BOSH_REASON_DAMAGED;
    assert_false(bosh_store_connector_task(box.st, leg(1), &task));
    assert_int_equal(task.end.serial, record()->serial);
    assert_int_equal(task.end.reason, BOSH_REASON_DAMAGED);
    assert_false(bosh_store_connector_task(box.st, leg(1), &task));
    assert_int_equal(task.end.serial, 0);
}

static void last_stanzas_of_a_lost_stream_come_with_its_end(void **state)
{
    char text[BOSH_STREAM_CHARS + 1];

    (void)state;
    box_open_leg(&box, &s, 1);
    box_put_leg(&box, &s, 1, BOSH_STR("<m/>"));
    bosh_store_up_ended(box.st, leg(1), BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_ERROR,
                        BOSH_STR("<e/>"), box.now, &box.knocks);
    bosh_store_up_ended(box.st, leg(1), BOSH_COND_REMOTE_STREAM_ERROR, BOSH_REASON_STREAM_ERROR,
                        BOSH_STR("<e/>"), box.now, &box.knocks);
    box_send(&box, &s, BOSH_NO_STREAM, 0, BOSH_ABSENT);
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(box.buf.len, 8);
    assert_memory_equal(box.buf.p, "<m/><e/>", 8);
    name_of(1, text);
    assert_string_equal(box.out.stream, text);
    forward(0, BOSH_STR("<m/>"));
}

static void a_record_stays_until_the_last_stream_is_let_go(void **state)
{
    bosh_store_status_t status;
    bosh_ref_t refs[16];

    (void)state;
    box_open_leg(&box, &s, 1);
    bosh_store_end(box.st, s.ref, BOSH_COND_NONE, BOSH_REASON_SHUTDOWN, box.now, &box.knocks);
    assert_int_equal(mailed(refs), 2);
    for (unsigned n = 0; n < 2; n++) {
        box.now += BOSH_SEC(31);
        box_tick(&box, record()->connector);
        assert_false(record_reclaim_locked(box.st, box.now));
        bosh_store_status(box.st, box.now, &status);
        assert_int_equal(status.sessions, 1);
        assert_int_equal(record()->core.state, BOSH_CLOSING);
        up_ended(n);
    }
    assert_int_equal(record()->core.state, BOSH_ENDED);
    box.now += BOSH_SEC(31);
    box_tick(&box, record()->connector);
    bosh_store_status(box.st, box.now, &status);
    assert_int_equal(status.sessions, 0);
}

static void nothing_of_its_streams_stays_behind(void **state)
{
    static const char canary[] = "nobody-else-may-read-this";
    unsigned char names[BOSH_MAX_STREAMS][NAME_BYTES];
    unsigned blocks;

    (void)state;
    end(state);
    box_open(&box, 4 << 20, 12, 2, 1);
    blocks = box_blocks_free(&box);
    box_streams_session(&box, &s, 4);
    box_add_leg(&box, &s, 1, canary);
    box_open_leg(&box, &s, 2);
    forward(BOSH_NO_STREAM, bosh_str(canary));
    box_put_leg(&box, &s, 2, bosh_str(canary));
    for (unsigned n = 0; n < BOSH_MAX_STREAMS; n++) {
        memcpy(names[n], record()->leg[n].name, NAME_BYTES);
    }
    box_forget(&box, &s);
    assert_int_equal(box_blocks_free(&box), blocks);
    assert_null(memmem(box.st->h, 4 << 20, canary, sizeof(canary) - 1));
    for (unsigned n = 0; n < BOSH_MAX_STREAMS; n++) {
        assert_null(memmem(box.st->h, 4 << 20, names[n], NAME_BYTES));
    }
}

static void a_successor_ends_each_stream_but_those_never_taken_up(void **state)
{
    bosh_ref_t refs[16];
    bosh_task_t task;
    uint32_t c = record()->connector;

    (void)state;
    box_open_leg(&box, &s, 1);
    box_open_leg(&box, &s, 2);
    box_add_leg(&box, &s, 3, "young.example");
    forward(BOSH_NO_STREAM, BOSH_STR("<m/>"));
    mailed(refs);
    bosh_store_connector_join(box.st, c, 4711, box.now, &box.knocks);
    box_check(&box);
    assert_int_equal(record()->up_gone, leg_bit(0) | leg_bit(1) | leg_bit(2));
    assert_int_equal(record()->leg[1].up.len, 0);
    assert_int_equal(record()->leg[3].up.len, 4);
    assert_int_equal(mailed(refs), 4);
    assert_true(record()->core.state < BOSH_CLOSING);
    for (unsigned n = 0; n < 3; n++) { /* the client is told of each */
        box_send(&box, &s, BOSH_NO_STREAM, 0, BOSH_ABSENT);
        assert_int_equal(box.out.answer.kind, BOSH_ANSWER_TERMINATE);
        assert_int_equal(box.out.answer.stream, n);
        assert_int_equal(box.out.answer.condition, BOSH_COND_REMOTE_CONNECTION_FAILED);
    }
    assert_true(bosh_store_connector_task(box.st, leg(3), &task));
    bosh_store_connector_join(box.st, c, 4712, box.now, &box.knocks);
    box_check(&box);
    assert_int_equal(record()->core.state, BOSH_ENDED);
    assert_int_equal(record()->core.reason, BOSH_REASON_CONNECTOR_LOST);
}

static void three_streams_lost_together_end_the_session(void **state)
{
    bosh_ref_t refs[16];

    (void)state;
    box_open_leg(&box, &s, 1);
    box_open_leg(&box, &s, 2);
    mailed(refs);
    bosh_store_connector_join(box.st, record()->connector, 4711, box.now, &box.knocks);
    box_check(&box);
    assert_int_equal(record()->core.state, BOSH_ENDED);
    assert_int_equal(mailed(refs), 3);
    assert_int_equal(box_send(&box, &s, 2, 0, BOSH_STR("<m/>")), BOSH_GOT_ANSWER);
    assert_int_equal(box.out.answer.condition, BOSH_COND_REMOTE_CONNECTION_FAILED);
    box.now += BOSH_SEC(31);
    box_tick(&box, record()->connector);
    assert_false(record()->in_use);
}

/* A ref is of one session's one stream: of an older session, or of a stream that never
 * began, it hits nothing. */
static void stale_refs_hit_nothing(void **state)
{
    bosh_ref_t old, wild;
    bosh_greeting_t g;
    bosh_task_t task;
    bosh_up_t u;
    char from[1024];
    sess_t young;

    (void)state;
    box_open_leg(&box, &s, 1);
    old = leg(1);
    bosh_store_end(box.st, s.ref, BOSH_COND_NONE, BOSH_REASON_SHUTDOWN, box.now, &box.knocks);
    up_ended(1);
    box_forget(&box, &s);
    box_streams_session(&box, &young, 4);
    assert_int_equal(young.ref.index, old.index);
    box_open_leg(&box, &young, 1);
    wild = young.ref;
    for (uint32_t n = 0; n < 3; n++) {
        static const uint32_t streams[] = { 2, 4, UINT32_MAX };
        bosh_ref_t ref = n == 0 ? old : wild;

        ref.stream = n == 0 ? 1 : streams[n];
        assert_int_equal(
            bosh_store_put_down(box.st, ref, BOSH_STR("<x/>"), false, box.now, &box.knocks),
            BOSH_PUT_GONE);
        bosh_store_take_up(box.st, ref, up, 10, box.now, &u, &box.knocks);
        assert_true(u.ended);
        assert_false(bosh_store_connector_task(box.st, ref, &task));
        assert_false(bosh_store_greeting(box.st, ref, &g));
        assert_int_equal(bosh_store_take_back(box.st, ref, up, 10), 0);
        bosh_store_restart_from(box.st, ref, from);
        assert_string_equal(from, "");
        bosh_store_greet(box.st, ref, BOSH_STR("a"), BOSH_STR("b"));
        bosh_store_up_ended(box.st, ref, BOSH_COND_NONE, BOSH_REASON_STREAM_CLOSED, BOSH_ABSENT,
                            box.now, &box.knocks);
        box_check(&box);
    }
    s = young;
    assert_int_equal(record()->up_gone, 0);
    assert_int_equal(record()->core.state, BOSH_OPEN);
}

/* Nothing could ever open it, and so nothing would tell of its end. */
static void a_stream_that_nobody_describes_does_not_begin(void **state)
{
    bosh_got_t got;

    (void)state;
    got = box_request(&box, &s, s.rid++, BOSH_ASKS_ADD, BOSH_ABSENT);
    assert_int_equal(got, BOSH_GOT_HOLD);
    assert_int_equal(record()->core.legs, 1);
    assert_int_equal(record()->begun, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
        T(names_are_different_and_random),
        T(a_name_is_found_by_all_of_its_characters_only),
        T(a_stream_that_is_gone_keeps_its_name_and_one_to_come_has_none),
        T(a_session_without_streams_knows_no_names),
        T(an_added_stream_has_a_task_and_a_greeting_of_its_own),
        T(a_stream_that_nobody_describes_does_not_begin),
        T(a_stream_begins_without_a_free_block),
        T(a_refused_stream_has_a_name_and_nothing_else),
        T(without_the_feature_an_addition_is_an_empty_request),
        T(repeats_name_the_same_stream_also_when_it_is_gone),
        T(a_name_that_none_has_ends_the_session),
        T(each_stream_is_in_the_mail_once),
        T(mail_that_stops_within_a_session_goes_on_there),
        T(a_payload_goes_to_its_stream_or_to_all),
        T(a_broadcast_leaves_out_what_closes_or_is_gone),
        T(large_broadcasts_arrive_whole),
        T(a_broadcast_needs_room_for_every_copy),
        T(a_full_stream_refuses_broadcasts_and_not_the_others),
        T(room_for_early_broadcasts_is_asked_of_who_brings_their_turn),
        T(an_answer_takes_what_one_stream_has_and_names_it),
        T(each_stream_has_its_own_back_pressure),
        T(a_record_stays_until_the_last_stream_is_let_go),
        T(the_clock_tells_of_room_for_every_stream),
        T(nothing_of_its_streams_stays_behind),
        T(a_connect_timeout_tells_its_reason),
        T(a_closed_stream_is_flushed_and_the_others_live),
        T(end_of_the_session_is_told_once_and_with_its_last_stream),
        T(end_is_told_to_who_comes_for_a_stream_that_nobody_took),
        T(last_stanzas_of_a_lost_stream_come_with_its_end),
        T(three_streams_lost_together_end_the_session),
        T(a_successor_ends_each_stream_but_those_never_taken_up),
        T(stale_refs_hit_nothing),
#undef T
    };

    return cmocka_run_group_tests_name("streams", tests, NULL, NULL);
}
