/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A process dies inside the lock, at one point after the other of a change. The next
 * call repairs: only the session that was being changed ends, nothing else is harmed,
 * nobody waits for ever. And records that were scribbled over.
 */

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "box.h"

#include "../core/rng.h"
#include "../core/unit.h"
#include "store_int.h"

static box_t box;
static sess_t victim, witness, crowd; /* crowd: a witness with streams */
static unsigned free_blocks;
static char text[20000];

/* Two open streams, and one whose task waits; something in every queue. */
static void begin_victim(void)
{
    char name[BOSH_STREAM_CHARS + 1];
    bosh_request_t restart = { .asks = BOSH_ASKS_RESTART | BOSH_ASKS_URGENT,
                               .from = BOSH_STR("victim@example.org") };

    box_streams_session(&box, &victim, 3);
    box_open_leg(&box, &victim, 1);
    box_add_leg(&box, &victim, 2, "third.example");
    box_put_leg(&box, &victim, 1, box_bytes(text, 2500, 6));
    box_send(&box, &victim, BOSH_NO_STREAM, 0, box_bytes(text, 700, 5));
    restart.rid = victim.rid++;
    restart.holder = (bosh_holder_t){ box.child, ++box.tickets };
    restart.stream = box_name(&box, &victim, 1, name);
    bosh_store_request(box.st, bosh_str(victim.sid), REALM, true, &restart, box.now, &box.buf,
                       &box.out);
    box_written(&box, &victim, restart.rid, restart.holder);
    box.now += 100;
}

static void begin_crowd(void)
{
    box_streams_session(&box, &crowd, 2);
    box_open_leg(&box, &crowd, 1);
    box_send(&box, &crowd, BOSH_NO_STREAM, 0, box_bytes(text, 900, 8));
    box_put_leg(&box, &crowd, 1, BOSH_STR("<crowd/>"));
}

static int begin(void **state)
{
    (void)state;
    box_open(&box, 4 << 20, 10, 3, 2);
    free_blocks = box_blocks_free(&box);
    box_session(&box, &witness);
    box_put(&box, &witness, BOSH_STR("<one/>"));
    box_request(&box, &witness, 1001, 0, BOSH_ABSENT);
    box_written(&box, &witness, 1001, box.holder);
    box_put(&box, &witness, BOSH_STR("<two/>"));
    box_request(&box, &witness, 1003, 0, box_bytes(text, 3000, 1));
    begin_crowd();
    begin_victim();
    box_put(&box, &victim, box_bytes(text, 5000, 2));
    box_request(&box, &victim, victim.rid + 1, 0, box_bytes(text, 1500, 3));
    return 0;
}

static int end(void **state)
{
    (void)state;
    box_close(&box);
    return 0;
}

/* A process that does this inside the lock, and never comes out. */
static void die_inside(void (*change)(bosh_store_t *st, record_t *r))
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        bosh_knocks_t knocks = { 0 };
        record_t *r = &box.st->sessions[victim.ref.index];

        alarm(20);
        store_lock(box.st, &knocks);
        touch_locked(box.st, r);
        change(box.st, r);
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void assert_crowd_unharmed(void)
{
    char up[1000];
    bosh_up_t u;

    for (unsigned n = 0; n < 2; n++) {
        bosh_store_take_up(box.st, box_leg(&crowd, n), up, sizeof(up), box.now, &u, &box.knocks);
        assert_int_equal(u.len, 900);
        assert_memory_equal(up, box_bytes(text, 900, 8).p, 900);
    }
    box_send(&box, &crowd, BOSH_NO_STREAM, 0, BOSH_ABSENT);
    assert_int_equal(box.out.answer.stream, 1);
    assert_memory_equal(box.buf.p, "<crowd/>", 8);
}

static void assert_witness_unharmed(void)
{
    char up[4000];
    size_t n;

    assert_crowd_unharmed();
    box.now += 100;
    assert_int_equal(box_request(&box, &witness, 1001, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_int_equal(box.buf.len, 6);
    assert_memory_equal(box.buf.p, "<one/>", 6);
    assert_int_equal(box_request(&box, &witness, 1002, 0, BOSH_STR("first")), BOSH_GOT_ANSWER);
    assert_int_equal(box.buf.len, 6);
    assert_memory_equal(box.buf.p, "<two/>", 6);
    box_take(&box, &witness, up, sizeof(up), &n);
    assert_int_equal(n, 3005);
    assert_memory_equal(up, "first", 5);
    assert_memory_equal(up + 5, box_bytes(text, 3000, 1).p, 3000);
}

static void assert_victim_ended(void)
{
    bosh_up_t up;
    size_t n;

    assert_int_equal(box_request(&box, &victim, victim.rid, 0, BOSH_STR("x")), BOSH_GOT_ANSWER);
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(box.out.answer.condition, BOSH_COND_INTERNAL_SERVER_ERROR);
    for (unsigned i = 0; i < 3; i++) {
        sess_t leg = { .ref = box_leg(&victim, i) };

        up = box_take(&box, &leg, text, sizeof(text), &n);
        assert_true(up.ended && n == 0);
        assert_int_equal(up.reason, BOSH_REASON_DAMAGED);
        assert_int_equal(bosh_store_take_back(box.st, leg.ref, text, sizeof(text)), 0);
    }
    assert_int_equal(box_put(&box, &victim, BOSH_STR("<x/>")), BOSH_PUT_GONE);
}

/* Everything, the damaged record too, comes back in the end. */
static void assert_nothing_leaked(void)
{
    bosh_store_child_leave(box.st, box.child, box.now, &box.knocks);
    box.child = bosh_store_child_join(box.st, getpid());
    box_forget(&box, &witness);
    box_forget(&box, &crowd);
    box_forget(&box, &victim);
    assert_int_equal(box_blocks_free(&box), free_blocks);
}

/* ---- torn changes ---------------------------------------------------------- */

static void nothing_done(bosh_store_t *st, record_t *r)
{
    (void)st;
    (void)r;
}

static void half_an_append(bosh_store_t *st, record_t *r)
{
    chain_append_locked(st, &r->leg[0].down, (uint32_t)(r - st->sessions), text, 2000);
    r->leg[0].down.len -= 1999; /* blocks are linked, the length is not written yet */
}

static void block_taken_and_not_linked(bosh_store_t *st, record_t *r)
{
    chain_t lost = EMPTY_CHAIN;

    chain_append_locked(st, &lost, (uint32_t)(r - st->sessions), text, 3000);
}

static void block_off_the_free_list_and_not_counted(bosh_store_t *st, record_t *r)
{
    chain_t c = EMPTY_CHAIN;

    chain_append_locked(st, &c, (uint32_t)(r - st->sessions), text, 3000);
    chain_free_locked(st, &c);
    st->h->free_block = st->blocks[st->h->free_block].next;
}

static void watermark_moved_and_block_not_taken(bosh_store_t *st, record_t *r)
{
    (void)r;
    st->h->used_blocks++;
}

static void head_given_back_and_still_linked(bosh_store_t *st, record_t *r)
{
    chain_t copy = r->leg[0].down;

    chain_free_locked(st, &copy);
}

static void moved_and_still_in_both_places(bosh_store_t *st, record_t *r)
{
    (void)st;
    r->slot[5] = r->leg[0].down;
}

static void moved_and_in_neither_place(bosh_store_t *st, record_t *r)
{
    (void)st;
    r->leg[0].down = EMPTY_CHAIN;
}

static void flag_without_bytes(bosh_store_t *st, record_t *r)
{
    chain_free_locked(st, &r->leg[0].down); /* has_down still says yes */
}

static void unlinked_from_its_bucket(bosh_store_t *st, record_t *r)
{
    *record_bucket(st, r->sid) = NIL;
}

static void mail_linked_at_one_end(bosh_store_t *st, record_t *r)
{
    connector_t *c = &st->h->connectors[r->connector];

    r->in_mail = 1;
    c->mail_first = (uint32_t)(r - st->sessions);
    c->mail_last = NIL;
}

static void mail_flag_without_mail(bosh_store_t *st, record_t *r)
{
    (void)st;
    r->in_mail = 1;
}

static void child_mail_half_written(bosh_store_t *st, record_t *r)
{
    (void)r;
    st->children[0].box.count = MAIL_SLOTS + 5;
    st->children[0].box.first = UINT32_MAX;
}

static void counters_wrong(bosh_store_t *st, record_t *r)
{
    st->h->sessions += 3;
    st->h->blocks_free -= 7;
    r->leg[0].restart_at += 11;
}

static void core_between_two_states(bosh_store_t *st, record_t *r)
{
    (void)st;
    r->core.next_rid += 3;
    r->core.slots[9].state = BOSH_SLOT_HELD;
}

static void record_taken_and_not_in_use(bosh_store_t *st, record_t *r)
{
    (void)r;
    st->h->used_sessions++;
    st->h->sessions++;
}

static void record_half_freed(bosh_store_t *st, record_t *r)
{
    for (unsigned i = 0; i < RECORD_CHAINS / 2; i++) {
        chain_free_locked(st, record_chain(r, i));
    }
}

static void broadcast_reached_some(bosh_store_t *st, record_t *r)
{
    chain_append_chain_locked(st, &r->leg[1].up, (uint32_t)(r - st->sessions), &r->leg[0].up);
    r->leg[1].up.len -= 3;
}

static void stream_with_a_task_that_never_began(bosh_store_t *st, record_t *r)
{
    (void)st;
    r->leg[3].task = r->leg[2].task;
    r->leg[2].task = EMPTY_CHAIN;
}

static void greeting_taken_out_of_an_addition(bosh_store_t *st, record_t *r)
{
    char block[BLOCK_BYTES];

    chain_take_locked(st, &r->leg[2].task, block, sizeof(block));
    chain_free_locked(st, &r->leg[2].greeting);
}

static void from_moved_and_not_wanted(bosh_store_t *st, record_t *r)
{
    (void)st;
    r->wants_restart = 0;
    r->slot[11] = r->leg[1].from;
}

static void restart_left_behind(bosh_store_t *st, record_t *r)
{
    chain_free_locked(st, &r->leg[1].up);
}

static void on_its_way_back_and_in_no_queue(bosh_store_t *st, record_t *r)
{
    (void)st;
    r->taken_back = leg_bit(0);
    r->leg[0].down = EMPTY_CHAIN;
}

static void answer_moved_back_and_not_marked(bosh_store_t *st, record_t *r)
{
    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        chain_move_locked(st, &r->leg[1].down, &r->slot[i]);
    }
}

static void mail_for_half_of_its_streams(bosh_store_t *st, record_t *r)
{
    (void)st;
    r->in_mail ^= leg_bit(1) | leg_bit(2);
}

static void flags_of_streams_it_cannot_have(bosh_store_t *st, record_t *r)
{
    (void)st;
    r->begun = 0xf0;
    r->wants_close = r->up_gone = r->down_blocked = 0xaa;
    r->returned = 0x5555;
}

static void only_the_session_being_changed_ends(void **state)
{
    static void (*const changes[])(bosh_store_t *,
                                   record_t *) = { nothing_done,
                                                   half_an_append,
                                                   block_taken_and_not_linked,
                                                   block_off_the_free_list_and_not_counted,
                                                   watermark_moved_and_block_not_taken,
                                                   head_given_back_and_still_linked,
                                                   moved_and_still_in_both_places,
                                                   moved_and_in_neither_place,
                                                   flag_without_bytes,
                                                   unlinked_from_its_bucket,
                                                   mail_linked_at_one_end,
                                                   mail_flag_without_mail,
                                                   child_mail_half_written,
                                                   counters_wrong,
                                                   core_between_two_states,
                                                   record_taken_and_not_in_use,
                                                   record_half_freed,
                                                   broadcast_reached_some,
                                                   stream_with_a_task_that_never_began,
                                                   greeting_taken_out_of_an_addition,
                                                   from_moved_and_not_wanted,
                                                   restart_left_behind,
                                                   on_its_way_back_and_in_no_queue,
                                                   answer_moved_back_and_not_marked,
                                                   mail_for_half_of_its_streams,
                                                   flags_of_streams_it_cannot_have };

    end(state);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        bosh_store_status_t status;

        begin(state);
        die_inside(changes[i]);
        alarm(20); /* a mutex that nobody recovers would hang us */
        box_check(&box);
        alarm(0);
        bosh_store_status(box.st, box.now, &status);
        assert_int_equal(status.repairs, 1);
        assert_int_equal(status.sessions, 3);
        assert_witness_unharmed();
        assert_victim_ended();
        assert_nothing_leaked();
        end(state);
    }
    begin(state);
}

static void freed_record_that_was_not_put_back_is_found(void **state)
{
    (void)state;
    box_forget(&box, &victim);
    box_gone(&box, &victim, victim.rid + 1, box.holder);
    die_inside(block_taken_and_not_linked);
    box_check(&box);
    assert_witness_unharmed();
}

static void whose_change_was_complete_loses_nothing(void **state)
{
    bosh_store_status_t status;

    (void)state;
    box.st->h->busy = 4711; /* died after its last change, before it said so */
    box.st->h->touched = NIL;
    box_check(&box);
    bosh_store_status(box.st, box.now, &status);
    assert_int_equal(status.repairs, 1);
    assert_witness_unharmed();
    box.now += 100;
    assert_int_equal(box_request(&box, &victim, victim.rid, 0, BOSH_ABSENT), BOSH_GOT_ANSWER);
    assert_int_equal(box.buf.len, 5000);
    assert_memory_equal(box.buf.p, box_bytes(text, 5000, 2).p, 5000);
}

/* Died inside the repair, too: it begins anew. */
static void repair_may_be_interrupted(void **state)
{
    (void)state;
    die_inside(half_an_append);
    memset(box.st->buckets, 0xff, (size_t)box.st->h->buckets * sizeof(uint32_t));
    for (uint32_t i = 0; i < box.st->h->used_blocks; i += 3) {
        if (box.st->blocks[i].owner != NIL) {
            box.st->blocks[i].owner |= 0x80000000; /* some are claimed already */
        }
    }
    box.st->h->free_session = NIL;
    box_check(&box);
    assert_witness_unharmed();
    assert_victim_ended();
}

static void everybody_is_told_to_look_after_a_repair(void **state)
{
    bosh_knocks_t knocks = { 0 };
    bosh_mail_t mail[4];
    bosh_ref_t refs[8];
    bool missed;

    (void)state;
    bosh_store_child_mail(box.st, box.child, mail, 4, box.now, &missed);
    die_inside(nothing_done);
    bosh_store_gone(box.st, victim.ref, 1, BOSH_NOBODY, box.now, &knocks);
    assert_true(knocks.children[0] & UINT64_C(1) << box.child);
    assert_int_not_equal(knocks.connectors, 0);
    bosh_store_child_mail(box.st, box.child, mail, 4, box.now, &missed);
    assert_true(missed);
    assert_int_equal(bosh_store_connector_mail(box.st, 0, refs, 8)
                         + bosh_store_connector_mail(box.st, 1, refs, 8),
                     6); /* each stream of each session */
}

/* Somebody wrote over its record: it points at blocks that are not its own. */
static void nobody_can_take_anothers_blocks(void **state)
{
    record_t *v = &box.st->sessions[victim.ref.index], *w = &box.st->sessions[witness.ref.index];

    (void)state;
    v->slot[5] = w->leg[0].down;
    box.st->h->busy = 4711;
    box.st->h->touched = NIL;
    box_check(&box);
    assert_witness_unharmed();
    assert_victim_ended();
    assert_nothing_leaked();
}

static void words_of_a_damaged_session_are_wiped(void **state)
{
    bosh_str_t words = box_bytes(text, 400, 2); /* what was put down for it begins so */

    (void)state;
    assert_non_null(memmem(box.st->h, 4 << 20, words.p, words.len));
    die_inside(half_an_append);
    box_check(&box);
    assert_null(memmem(box.st->h, 4 << 20, words.p, words.len));
}

/* The repair's own knocks may be lost: who found the damage had no way to send them. */
static void a_repair_leaves_nobody_deaf(void **state)
{
    bosh_store_status_t status;

    (void)state;
    box_request(&box, &witness, 1002, 0, BOSH_ABSENT);
    box_written(&box, &witness, 1002, box.holder);
    box.now += 100; /* 1003 is held */
    die_inside(nothing_done);
    bosh_store_status(box.st, box.now, &status); /* repairs, and can knock at nobody's door */
    memset(&box.knocks, 0, sizeof(box.knocks));
    box_put(&box, &witness, BOSH_STR("<m/>"));
    assert_true(box.knocks.children[0] & UINT64_C(1) << box.child);
    bosh_store_end(box.st, witness.ref, BOSH_COND_NONE, BOSH_REASON_SHUTDOWN, box.now, &box.knocks);
    assert_int_not_equal(box.knocks.connectors, 0);
}

static void held_request_of_a_damaged_session_learns_the_truth(void **state)
{
    bosh_holder_t held = box.holder; /* of rid 1002 */

    (void)state;
    die_inside(half_an_append);
    assert_int_equal(box_due(&box, &victim, victim.rid + 1, held), BOSH_GOT_ANSWER);
    assert_int_equal(box.out.answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(box.out.answer.condition, BOSH_COND_INTERNAL_SERVER_ERROR);
}

static void a_generation_survives_its_owner(void **state)
{
    record_t *r = &box.st->sessions[victim.ref.index];
    sess_t young;

    (void)state;
    box_gone(&box, &victim, victim.rid + 1, box.holder);
    box_forget(&box, &victim);
    /* died while taking the record: marked, not yet in use */
    box.st->h->free_session = NIL;
    r->generation++;
    box.st->h->busy = 1;
    box_check(&box);
    box_session(&box, &young);
    assert_int_equal(young.ref.index, victim.ref.index);
    assert_true(young.ref.generation > victim.ref.generation);
    assert_int_equal(box_put(&box, &victim, BOSH_STR("<x/>")), BOSH_PUT_GONE);
}

/* Index fields of one record, and the header's lists, hold garbage. */
static void scribble(record_t *r, rng_t *rng)
{
    static const uint32_t values[] = { 0, 1, 7, 511, 100000, NIL, NIL - 1, 0x80000000 };
    uint32_t v = rng_one_in(rng, 2) ? values[rng_below(rng, 8)] : (uint32_t)rng_next(rng);
    chain_t *c = record_chain(r, rng_below(rng, RECORD_CHAINS));

    switch (rng_below(rng, 19)) {
    case 0: c->head = v; break;
    case 1: c->tail = v; break;
    case 2: c->start = v; break;
    case 3: c->len = v; break;
    case 4: r->next = v; break;
    case 5: r->mail_next = v; break;
    case 6: r->connector = (uint8_t)v; break;
    case 7: r->core.next_rid = v; break;
    case 8: r->core.slots[rng_below(rng, BOSH_SLOTS)].state = (uint8_t)v; break;
    case 9: r->magic = v; break;
    case 10: r->core.terms.hold = v; break;
    case 11: r->begun = (uint8_t)v; break;
    case 12: r->in_mail = (uint8_t)v; break;
    case 13: r->wants_close = (uint8_t)v; break;
    case 14: r->wants_restart = (uint8_t)v; break;
    case 15: r->taken_back = (uint8_t)v; break;
    case 16: r->returned = (uint16_t)v; break;
    case 17: r->leg[rng_below(rng, BOSH_MAX_STREAMS)].restart_at = v; break;
    default:
        if (c->head < box.st->h->used_blocks && box.st->blocks[c->head].owner == victim.ref.index) {
            box.st->blocks[c->head].next = v;
        }
    }
}

static void scribbled_records_are_repaired(void **state)
{
    rng_t rng = rng_seeded("scribble");

    end(state);
    for (unsigned round = 0; round < env_number("BOSH_STEPS", 150); round++) {
        begin(state);
        for (unsigned n = 1 + rng_below(&rng, 4); n > 0; n--) {
            scribble(&box.st->sessions[victim.ref.index], &rng);
        }
        box.st->h->busy = 4711;
        box.st->h->touched = rng_one_in(&rng, 2) ? victim.ref.index : NIL;
        box_check(&box);
        assert_witness_unharmed();
        box_request(&box, &victim, victim.rid, 0, BOSH_STR("x"));
        box_put(&box, &victim, BOSH_STR("<x/>"));
        box.now += BOSH_SEC(100);
        box_tick(&box, 0);
        box_tick(&box, 1);
        end(state);
    }
    begin(state);
}

/* Nobody died, so nobody repairs; but nobody runs in circles under the lock either. */
static void lists_in_circles_do_not_hang_the_lock(void **state)
{
    record_t *v = &box.st->sessions[victim.ref.index], *w = &box.st->sessions[witness.ref.index];
    chain_t circle = EMPTY_CHAIN;
    unsigned char sid[BOSH_SID_BYTES];
    bosh_ref_t refs[4];
    uint32_t left;

    (void)state;
    alarm(20);
    /* both in one bucket, each the next of the other, and somebody else asks */
    memcpy(sid, w->sid, sizeof(sid));
    sid[20] ^= 1;
    *record_bucket(box.st, w->sid) = witness.ref.index;
    w->next = victim.ref.index;
    v->next = witness.ref.index;
    sid_encode(sid, victim.sid);
    bosh_store_request(box.st, bosh_str(victim.sid), REALM, true, &(bosh_request_t){ .rid = 1 },
                       box.now, &box.buf, &box.out);
    assert_int_equal(box.out.got, BOSH_GOT_UNKNOWN);
    /* in the mail twice */
    box.st->h->connectors[0].mail_first = box.st->h->connectors[0].mail_last = victim.ref.index;
    v->in_mail = 1;
    v->mail_next = victim.ref.index;
    while (bosh_store_connector_mail(box.st, 0, refs, 1) == 1) {
    }
    chain_append_locked(box.st, &circle, victim.ref.index, text, 2000);
    box.st->blocks[circle.tail].next = circle.head;
    left = box.st->h->blocks_free;
    chain_free_locked(box.st, &circle);
    assert_int_equal(box.st->h->blocks_free, left + 4);
    alarm(0);
    box.st->h->busy = 1;
    box_check(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_the_session_being_changed_ends, begin, end),
        cmocka_unit_test_setup_teardown(freed_record_that_was_not_put_back_is_found, begin, end),
        cmocka_unit_test_setup_teardown(whose_change_was_complete_loses_nothing, begin, end),
        cmocka_unit_test_setup_teardown(repair_may_be_interrupted, begin, end),
        cmocka_unit_test_setup_teardown(everybody_is_told_to_look_after_a_repair, begin, end),
        cmocka_unit_test_setup_teardown(nobody_can_take_anothers_blocks, begin, end),
        cmocka_unit_test_setup_teardown(words_of_a_damaged_session_are_wiped, begin, end),
        cmocka_unit_test_setup_teardown(a_repair_leaves_nobody_deaf, begin, end),
        cmocka_unit_test_setup_teardown(held_request_of_a_damaged_session_learns_the_truth, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_generation_survives_its_owner, begin, end),
        cmocka_unit_test_setup_teardown(scribbled_records_are_repaired, begin, end),
        cmocka_unit_test_setup_teardown(lists_in_circles_do_not_hang_the_lock, begin, end),
    };

    return cmocka_run_group_tests_name("death", tests, NULL, NULL);
}
