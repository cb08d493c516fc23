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
    return &box.st->sessions[s.ref.index];
}

static bosh_str_t name_of(unsigned n, char text[BOSH_STREAM_CHARS + 1])
{
    leg_name(record(), n, text);
    return bosh_str(text);
}

static bosh_ref_t leg(unsigned n)
{
    bosh_ref_t ref = s.ref;

    ref.stream = n;
    return ref;
}

static void forward(uint8_t stream, bosh_str_t payload)
{
    box_act(&box, &s, (bosh_action_t){ .kind = BOSH_DO_STORE, .slot = 9 }, payload);
    box_act(&box, &s, (bosh_action_t){ .kind = BOSH_DO_FORWARD, .slot = 9, .stream = stream },
            BOSH_ABSENT);
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
    bosh_store_up_ended(box.st, leg(1), BOSH_COND_NONE, BOSH_REASON_STREAM_CLOSED, BOSH_ABSENT,
                        box.now, &box.knocks);
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
    box_add_leg(&box, &s, 2, "second.example");
    assert_int_equal(mailed(refs), 1);
    assert_true(bosh_ref_same(refs[0], leg(2)));
    assert_false(bosh_store_connector_task(box.st, leg(1), &task));
    assert_true(bosh_store_connector_task(box.st, leg(2), &task));
    assert_string_equal(task.upstream.to, "second.example");
    assert_false(bosh_store_connector_task(box.st, leg(2), &task));
    assert_true(bosh_store_greeting(box.st, leg(2), &g));
    assert_string_equal(g.from, "second.example");
    bosh_store_greet(box.st, leg(2), BOSH_STR("b.example"), BOSH_STR("id-b"));
    assert_true(bosh_store_greeting(box.st, leg(0), &g));
    assert_string_equal(g.from, "example.org");
    assert_string_equal(g.authid, "");
    assert_true(bosh_store_greeting(box.st, leg(2), &g));
    assert_string_equal(g.from, "b.example");
    assert_string_equal(g.authid, "id-b");
    assert_false(bosh_store_greeting(box.st, leg(3), &g));
}

/* Its turn may come when the segment is full. */
static void a_stream_begins_without_a_free_block(void **state)
{
    bosh_greeting_t g;
    addition_t add;
    bosh_upstream_t upstream = { .to = "late.example" };
    sess_t hog;

    (void)state;
    end(state);
    open_box(1 << 20);
    box_session(&box, &hog);
    addition_fill(&add, &upstream);
    box_act(&box, &s, (bosh_action_t){ .kind = BOSH_DO_STORE, .slot = 4 },
            (bosh_str_t){ (char *)&add, sizeof(add) });
    box_fill(&box, &hog);
    box_act(&box, &s, (bosh_action_t){ .kind = BOSH_DO_OPEN, .slot = 4, .stream = 1 }, BOSH_ABSENT);
    assert_true(bosh_store_greeting(box.st, leg(1), &g));
    assert_string_equal(g.from, "late.example");
    assert_int_equal(record()->leg[1].task.len, sizeof(bosh_upstream_t));
}

static void a_refused_stream_has_a_name_and_no_task(void **state)
{
    char text[BOSH_STREAM_CHARS + 1];
    bosh_task_t task;
    bosh_up_t u;

    (void)state;
    box_act(&box, &s, (bosh_action_t){ .kind = BOSH_DO_OPEN, .slot = 4, .stream = 1 }, BOSH_ABSENT);
    assert_int_equal(leg_find(record(), name_of(1, text)), 1);
    assert_false(bosh_store_connector_task(box.st, leg(1), &task));
    bosh_store_take_up(box.st, leg(1), up, 10, box.now, &u, &box.knocks);
    assert_true(u.ended);
    forward(BOSH_NO_STREAM, BOSH_STR("<m/>"));
    assert_up(0, "<m/>");
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
    forward(refs[0].stream, BOSH_STR("<m/>")); /* told already, wants something again */
    times[refs[0].stream]--;
    for (unsigned i = 0; i < 3; i++) {
        times[refs[i].stream]++;
    }
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
    box_act(&box, &s, (bosh_action_t){ .kind = BOSH_DO_CLOSE, .stream = 3 }, BOSH_ABSENT);
    record()->up_gone |= leg_bit(1);
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

static bosh_event_t event(uint64_t rid, uint8_t asks, uint8_t stream)
{
    return (bosh_event_t){
        .kind = BOSH_EV_REQUEST, .rid = rid, .asks = asks, .stream = stream
    };
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
        size_t n = blocks * BLOCK_BYTES;

        assert_int_equal(box_blocks_free(&box), blocks);
        assert_int_equal(request_has_room_locked(box.st, record(), &all, n / 4), true);
        assert_int_equal(request_has_room_locked(box.st, record(), &all, n / 4 / BLOCK_BYTES
                                                     * BLOCK_BYTES + 1),
                         blocks / 4 * 4 + 4 <= blocks);
        assert_true(request_has_room_locked(box.st, record(), &one, n));
        assert_false(request_has_room_locked(box.st, record(), &one, n + 1));
        box_free_block(&box, &hog);
    }
}

static void a_full_stream_refuses_broadcasts_and_not_the_others(void **state)
{
    bosh_event_t all = event(record()->core.next_rid, BOSH_ASKS_PAYLOAD, BOSH_NO_STREAM);
    bosh_event_t full = event(all.rid, BOSH_ASKS_PAYLOAD, 1);
    bosh_event_t other = event(all.rid, BOSH_ASKS_PAYLOAD, 0);

    (void)state;
    box_open_leg(&box, &s, 1);
    forward(1, box_bytes(big, UP_LIMIT, 1));
    assert_false(request_has_room_locked(box.st, record(), &all, 1));
    assert_false(request_has_room_locked(box.st, record(), &full, 1));
    assert_true(request_has_room_locked(box.st, record(), &other, 1));
}

/* An early broadcast is copied when its turn comes: who brings its turn needs the room. */
static void room_for_early_broadcasts_is_asked_of_who_brings_their_turn(void **state)
{
    bosh_event_t ev = event(record()->core.next_rid, 0, BOSH_NO_STREAM);
    bosh_slot_t *early = &record()->core.slots[(ev.rid + 1) % BOSH_SLOTS];
    sess_t hog;

    (void)state;
    end(state);
    open_box(2 << 20);
    box_session(&box, &hog);
    box_open_leg(&box, &s, 1);
    box_open_leg(&box, &s, 2);
    ev = event(record()->core.next_rid, 0, BOSH_NO_STREAM);
    early = &record()->core.slots[(ev.rid + 1) % BOSH_SLOTS];
    *early = (bosh_slot_t){ .rid = ev.rid + 1,
                            .state = BOSH_SLOT_EARLY,
                            .asks = BOSH_ASKS_PAYLOAD,
                            .holder = BOSH_NOBODY,
                            .stream = BOSH_NO_STREAM };
    box_act(&box, &s, (bosh_action_t){ .kind = BOSH_DO_STORE,
                                       .slot = (uint8_t)((ev.rid + 1) % BOSH_SLOTS) },
            box_bytes(big, 3 * BLOCK_BYTES, 1));
    box_fill(&box, &hog);
    for (unsigned n = 0; n < 6; n++) {
        assert_false(request_has_room_locked(box.st, record(), &ev, 0));
        box_free_block(&box, &hog);
    }
    assert_true(request_has_room_locked(box.st, record(), &ev, 0));
    assert_false(request_has_room_locked(box.st, record(), &ev, 1));
    /* one that adds a stream before it makes one copy more */
    ev.asks = BOSH_ASKS_ADD;
    assert_false(request_has_room_locked(box.st, record(), &ev, 0));
    early->stream = 1;
    assert_true(request_has_room_locked(box.st, record(), &ev, 0));
}

/* ---- down ----------------------------------------------------------------------- */

static void an_answer_takes_what_one_stream_has(void **state)
{
    bosh_action_t answer = { .kind = BOSH_DO_ANSWER,
                             .slot = 7,
                             .stream = 1,
                             .with_down = true,
                             .holder = BOSH_NOBODY };

    (void)state;
    box_open_leg(&box, &s, 1);
    box_put_leg(&box, &s, 0, BOSH_STR("<zero/>"));
    box_put_leg(&box, &s, 1, BOSH_STR("<one/>"));
    assert_true(record()->core.leg[0].has_down && record()->core.leg[1].has_down);
    box_act(&box, &s, answer, BOSH_ABSENT);
    assert_true(record()->core.leg[0].has_down);
    assert_false(record()->core.leg[1].has_down);
    assert_int_equal(record()->slot[7].len, 6);
    assert_int_equal(record()->core.slots[7].bytes, 6);
    assert_int_equal(record()->payload_of[7], 1);
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
    box_act(&box, &s, (bosh_action_t){ .kind = BOSH_DO_ANSWER,
                                       .slot = 7,
                                       .stream = 1,
                                       .with_down = true,
                                       .holder = BOSH_NOBODY },
            BOSH_ABSENT);
    assert_int_equal(mailed(refs), 1);
    assert_int_equal(refs[0].stream, 1);
}

/* ---- ends ------------------------------------------------------------------------- */

static void a_record_stays_until_the_last_stream_is_let_go(void **state)
{
    (void)state;
    box_open_leg(&box, &s, 1);
    record()->up_gone = leg_bit(0);
    record()->in_mail = 0;
    box.st->h->connectors[0].mail_first = box.st->h->connectors[0].mail_last = NIL;
    box.st->h->connectors[1].mail_first = box.st->h->connectors[1].mail_last = NIL;
    assert_false(record_is_let_go(record()));
    record()->up_gone |= leg_bit(1);
    assert_true(record_is_let_go(record()));
}

static void a_successor_ends_each_stream_but_those_never_taken_up(void **state)
{
    bosh_ref_t refs[16];
    bosh_task_t task;
    unsigned n;

    (void)state;
    box_open_leg(&box, &s, 1);
    box_open_leg(&box, &s, 2);
    box_add_leg(&box, &s, 3, "young.example");
    forward(BOSH_NO_STREAM, BOSH_STR("<m/>"));
    mailed(refs);
    bosh_store_connector_join(box.st, record()->connector, 4711, box.now, &box.knocks);
    box_check(&box);
    assert_int_equal(record()->up_gone, leg_bit(0) | leg_bit(1) | leg_bit(2));
    assert_int_equal(record()->leg[1].up.len, 0);
    assert_int_equal(record()->leg[3].up.len, 4);
    n = mailed(refs);
    assert_int_equal(n, 4);
    if (record()->core.state < BOSH_CLOSING) { /* a core with streams: the last one lives */
        assert_true(bosh_store_connector_task(box.st, leg(3), &task));
        bosh_store_connector_join(box.st, record()->connector, 4712, box.now, &box.knocks);
        box_check(&box);
    }
    assert_int_equal(record()->core.state, BOSH_ENDED);
    assert_int_equal(record()->core.reason, BOSH_REASON_CONNECTOR_LOST);
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
    for (unsigned n = 0; n < 2; n++) {
        bosh_store_end(box.st, s.ref, BOSH_COND_NONE, BOSH_REASON_SHUTDOWN, box.now, &box.knocks);
        bosh_store_up_ended(box.st, leg(n), BOSH_COND_NONE, BOSH_REASON_STREAM_CLOSED, BOSH_ABSENT,
                            box.now, &box.knocks);
    }
    box_forget(&box, &s);
    box_streams_session(&box, &young, 4);
    assert_int_equal(young.ref.index, old.index);
    box_open_leg(&box, &young, 1);
    wild = young.ref;
    for (uint32_t n = 0; n < 3; n++) {
        static const uint32_t streams[] = { 2, 4, UINT32_MAX };
        bosh_ref_t ref = n == 0 ? old : wild;

        ref.stream = n == 0 ? 1 : streams[n];
        assert_int_equal(bosh_store_put_down(box.st, ref, BOSH_STR("<x/>"), false, box.now,
                                             &box.knocks),
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
    assert_int_equal(record()->up_gone, 0);
    assert_int_equal(record()->core.state, BOSH_OPEN);
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
        T(a_stream_begins_without_a_free_block),
        T(a_refused_stream_has_a_name_and_no_task),
        T(each_stream_is_in_the_mail_once),
        T(mail_that_stops_within_a_session_goes_on_there),
        T(a_payload_goes_to_its_stream_or_to_all),
        T(a_broadcast_leaves_out_what_closes_or_is_gone),
        T(large_broadcasts_arrive_whole),
        T(a_broadcast_needs_room_for_every_copy),
        T(a_full_stream_refuses_broadcasts_and_not_the_others),
        T(room_for_early_broadcasts_is_asked_of_who_brings_their_turn),
        T(an_answer_takes_what_one_stream_has),
        T(each_stream_has_its_own_back_pressure),
        T(a_record_stays_until_the_last_stream_is_let_go),
        T(a_successor_ends_each_stream_but_those_never_taken_up),
        T(stale_refs_hit_nothing),
#undef T
    };

    return cmocka_run_group_tests_name("streams", tests, NULL, NULL);
}
