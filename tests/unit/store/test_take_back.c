/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Stanzas whose client does not come for them: the connector takes them back, each once
 * and in order, and no client gets one that was taken.
 */

#include <string.h>

#include "box.h"

#include "../core/unit.h"

static box_t box;
static sess_t s;
static char big[DOWN_LIMIT + 100], back[2 * DOWN_LIMIT];

/* A session whose client has the features: it went on. */
static int begin(void **state)
{
    (void)state;
    box_open(&box, 16 << 20, 10, 2, 1);
    box_streams_session(&box, &s, 3);
    return box_send(&box, &s, BOSH_NO_STREAM, 0, BOSH_ABSENT) == BOSH_GOT_ANSWER ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    box_close(&box);
    return 0;
}

static void end_session(bosh_reason_t reason)
{
    bosh_store_end(box.st, s.ref, BOSH_COND_POLICY_VIOLATION, reason, box.now, &box.knocks);
    box_check(&box);
}

static size_t take_back(unsigned n, size_t piece)
{
    size_t len = 0, got;

    do {
        got = bosh_store_take_back(box.st, box_leg(&s, n), back + len, piece);
        box_check(&box);
        len += got;
    } while (got > 0);
    return len;
}

static void assert_back(unsigned n, const char *want)
{
    size_t len = take_back(n, sizeof(back));

    assert_int_equal(len, strlen(want));
    assert_memory_equal(back, want, len);
    assert_int_equal(take_back(n, sizeof(back)), 0);
}

static void put(unsigned n, const char *xml)
{
    assert_int_equal(box_put_leg(&box, &s, n, bosh_str(xml)), BOSH_PUT_OK);
}

/* The next answer takes what is there, and is never reported written. */
static bosh_holder_t answer_unwritten(void)
{
    box.now += 100;
    assert_int_equal(box_request(&box, &s, s.rid++, BOSH_ASKS_URGENT, BOSH_ABSENT),
                     BOSH_GOT_ANSWER);
    return box.holder;
}

static void answer(void)
{
    box_written(&box, &s, s.rid - 1, answer_unwritten());
}

static void nothing_is_taken_from_a_living_session(void **state)
{
    (void)state;
    put(0, "<a/>");
    assert_int_equal(take_back(0, 100), 0);
    answer();
    assert_memory_equal(box.buf.p, "<a/>", 4);
}

static void what_never_left_is_taken_back(void **state)
{
    (void)state;
    put(0, "<a/>");
    put(0, "<b/>");
    end_session(BOSH_REASON_INACTIVITY);
    assert_back(0, "<a/><b/>");
}

static void unheard_answers_come_first_and_in_order(void **state)
{
    bosh_holder_t first;

    (void)state;
    put(0, "<a/>");
    first = answer_unwritten();
    box_gone(&box, &s, s.rid - 1, first); /* its client hung up */
    put(0, "<b/>");
    answer();
    put(0, "<c/>");
    end_session(BOSH_REASON_INACTIVITY);
    assert_back(0, "<a/><b/><c/>");
}

static void delivered_answers_are_not(void **state)
{
    (void)state;
    put(0, "<a/>");
    answer();
    answer(); /* its client went on */
    put(0, "<b/>");
    end_session(BOSH_REASON_INACTIVITY);
    assert_back(0, "<b/>");
    assert_int_equal(box_request(&box, &s, s.rid - 2, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_memory_equal(box.buf.p, "<a/>", 4);
}

/* Its stanzas' senders were told: the client gets the end. */
static void a_repeat_of_what_was_taken_gets_the_end(void **state)
{
    bosh_ref_t ref;

    (void)state;
    put(0, "<a/>");
    answer();
    end_session(BOSH_REASON_SHUTDOWN);
    assert_int_equal(bosh_store_take_back(box.st, s.ref, back, 2), 2);
    box_check(&box);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(box_request(&box, &s, s.rid - 1, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
        assert_int_equal(box.out.answer.kind, BOSH_ANSWER_TERMINATE);
        assert_int_equal(box.out.answer.condition, BOSH_COND_POLICY_VIOLATION);
        assert_string_equal(box.out.stream, "");
        assert_int_equal(box.out.payload_len, 0);
        assert_int_equal(box.buf.len, 0);
        assert_false(box.out.is_kept);
    }
    ref = box.out.ref;
    assert_false(bosh_store_payload(box.st, ref, s.rid - 1, &box.buf));
    assert_back(0, "/>");
}

static void repeated_before_it_is_the_clients(void **state)
{
    (void)state;
    put(0, "<a/>");
    answer();
    end_session(BOSH_REASON_SHUTDOWN);
    assert_int_equal(box_request(&box, &s, s.rid - 1, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_memory_equal(box.buf.p, "<a/>", 4);
    assert_back(0, "");
}

static void what_is_being_written_is_the_clients_though_it_is_repeated(void **state)
{
    (void)state;
    put(0, "<a/>");
    answer_unwritten();
    assert_int_equal(box_request(&box, &s, s.rid - 1, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_memory_equal(box.buf.p, "<a/>", 4);
    end_session(BOSH_REASON_SHUTDOWN);
    assert_back(0, "");
}

/* The first call decides whose each stanza is: no answer gets the rest of one that was
 * cut in two. */
static void no_client_gets_the_rest(void **state)
{
    (void)state;
    put(0, "<first/>");
    put(0, "<second/>");
    end_session(BOSH_REASON_INACTIVITY);
    assert_int_equal(bosh_store_take_back(box.st, s.ref, back, 3), 3);
    assert_int_equal(box_request(&box, &s, s.rid++, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(box.out.payload_len, 0);
    assert_back(0, "rst/><second/>");
}

static void the_client_that_comes_first_gets_them(void **state)
{
    (void)state;
    put(0, "<a/>");
    end_session(BOSH_REASON_INACTIVITY);
    assert_int_equal(box_request(&box, &s, s.rid++, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_TERMINATE);
    assert_memory_equal(box.buf.p, "<a/>", 4);
    assert_back(0, ""); /* it is on its way */
    box_written(&box, &s, s.rid - 1, box.holder);
    assert_back(0, "");
}

static void stanzas_that_come_after_the_end_are_taken_back_too(void **state)
{
    bosh_put_t got;

    (void)state;
    put(0, "<a/>");
    end_session(BOSH_REASON_INACTIVITY);
    put(0, "<b/>");
    assert_back(0, "<a/><b/>");
    put(0, "<c/>");
    assert_back(0, "<c/>");
    box_up_ended(&box, &s);
    got = box_put_leg(&box, &s, 0, BOSH_STR("<d/>"));
    assert_int_equal(got, BOSH_PUT_GONE);
}

static void a_full_queue_in_pieces(void **state)
{
    bosh_str_t words = box_bytes(big, DOWN_LIMIT, 7);
    unsigned blocks = box_blocks_free(&box);
    bosh_up_t u;

    (void)state;
    assert_int_equal(box_put_leg(&box, &s, 0, words), BOSH_PUT_OK);
    answer();
    assert_int_equal(box_put_leg(&box, &s, 0, words), BOSH_PUT_OK);
    end_session(BOSH_REASON_INACTIVITY);
    assert_int_equal(box_put_leg(&box, &s, 0, BOSH_STR("<m/>")), BOSH_PUT_NO_ROOM);
    assert_int_equal(bosh_store_take_back(box.st, s.ref, back, 777), 777);
    bosh_store_take_up(box.st, s.ref, NULL, 0, box.now, &u, &box.knocks);
    assert_true(u.has_room); /* it may try again */
    for (size_t at = 777, got; at < 2 * words.len; at += got) {
        got = bosh_store_take_back(box.st, s.ref, back + at, 50021);
        assert_true(got > 0);
        if (at % 3 == 0) {
            box_check(&box);
        }
    }
    assert_int_equal(take_back(0, 100), 0);
    assert_memory_equal(back, words.p, words.len);
    assert_memory_equal(back + words.len, words.p, words.len);
    assert_true(box_blocks_free(&box) >= blocks);
    assert_int_equal(box_put_leg(&box, &s, 0, BOSH_STR("<m/>")), BOSH_PUT_OK);
    assert_back(0, "<m/>");
}

static void a_full_segment_gives_back(void **state)
{
    bosh_str_t words = box_bytes(big, 3000, 7);
    sess_t hog;

    (void)state;
    box_session(&box, &hog);
    box_put_leg(&box, &s, 0, words);
    answer();
    box_put_leg(&box, &s, 0, words);
    box_fill(&box, &hog);
    end_session(BOSH_REASON_INACTIVITY);
    assert_int_equal(take_back(0, 1000), 6000);
    assert_memory_equal(back, words.p, 3000);
    assert_memory_equal(back + 3000, words.p, 3000);
}

static void each_stream_has_its_own(void **state)
{
    bosh_holder_t holder;

    (void)state;
    box_open_leg(&box, &s, 1);
    box_open_leg(&box, &s, 2);
    put(1, "<one/>");
    answer();
    put(2, "<two/>");
    holder = answer_unwritten();
    box_gone(&box, &s, s.rid - 1, holder);
    put(0, "<zero/>");
    put(2, "<more/>");
    end_session(BOSH_REASON_SHUTDOWN);
    assert_back(1, "");
    assert_back(2, "<two/><more/>");
    assert_back(0, "<zero/>");
    /* the answer that arrived is as it was */
    assert_int_equal(box_request(&box, &s, s.rid - 2, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_memory_equal(box.buf.p, "<one/>", 6);
}

/* While the session lives its client can ask for kept answers; what never left goes back. */
static void a_closed_stream_gives_back_its_queue_only(void **state)
{
    bosh_holder_t holder;
    uint64_t rid;

    (void)state;
    box_open_leg(&box, &s, 1);
    put(1, "<kept/>");
    rid = s.rid;
    holder = answer_unwritten();
    box_gone(&box, &s, rid, holder);
    box.now += 100;
    assert_int_equal(box_send(&box, &s, 1, BOSH_ASKS_TERMINATE, BOSH_ABSENT), BOSH_GOT_ANSWER);
    put(1, "<late/>");
    put(0, "<other/>");
    assert_back(0, "");
    assert_back(1, "<late/>");
    assert_int_equal(box_request(&box, &s, rid, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_DATA);
    assert_memory_equal(box.buf.p, "<kept/>", 7);
    answer();
    assert_memory_equal(box.buf.p, "<other/>", 8);
}

static void what_a_lost_connector_did_not_take_is_given_up(void **state)
{
    unsigned blocks = box_blocks_free(&box);
    bosh_str_t words = box_bytes(big, 5000, 7);

    (void)state;
    box_put_leg(&box, &s, 0, words);
    end_session(BOSH_REASON_INACTIVITY);
    assert_int_equal(bosh_store_take_back(box.st, s.ref, back, 700), 700);
    bosh_store_connector_join(box.st, 0, 4711, box.now, &box.knocks);
    box_check(&box);
    assert_int_equal(box_blocks_free(&box), blocks);
    assert_int_equal(box_request(&box, &s, s.rid++, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_int_equal(box.out.payload_len, 0);
}

/* The ring goes on under late requests: what was taken is not lost with its slot. */
static void slots_that_are_used_again_lose_nothing(void **state)
{
    (void)state;
    put(0, "<a/>");
    answer();
    end_session(BOSH_REASON_SHUTDOWN);
    assert_int_equal(bosh_store_take_back(box.st, s.ref, back, 1), 1);
    for (unsigned i = 0; i < 2 * BOSH_SLOTS; i++) {
        box_request(&box, &s, s.rid + i, 0, BOSH_ABSENT);
        box_written(&box, &s, s.rid + i, box.holder);
    }
    assert_back(0, "a/>");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(nothing_is_taken_from_a_living_session),
        T(what_never_left_is_taken_back),
        T(unheard_answers_come_first_and_in_order),
        T(delivered_answers_are_not),
        T(a_repeat_of_what_was_taken_gets_the_end),
        T(repeated_before_it_is_the_clients),
        T(what_is_being_written_is_the_clients_though_it_is_repeated),
        T(no_client_gets_the_rest),
        T(the_client_that_comes_first_gets_them),
        T(stanzas_that_come_after_the_end_are_taken_back_too),
        T(a_full_queue_in_pieces),
        T(a_full_segment_gives_back),
        T(each_stream_has_its_own),
        T(a_closed_stream_gives_back_its_queue_only),
        T(what_a_lost_connector_did_not_take_is_given_up),
        T(slots_that_are_used_again_lose_nothing),
    };
#undef T

    return cmocka_run_group_tests_name("take_back", tests, NULL, NULL);
}
