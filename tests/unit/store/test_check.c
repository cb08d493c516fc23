/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* The checker finds each contradiction, and says which it is. */

#include <string.h>

#include "box.h"

#include "../core/unit.h"

static box_t box;
static sess_t s;

/* Two streams: one with something in every queue, one that never got a task taken. */
static int begin(void **state)
{
    (void)state;
    box_open(&box, 4 << 20, 10, 2, 1);
    box_streams_session(&box, &s, 3);
    box_add_leg(&box, &s, 1, "more.example");
    box_put_leg(&box, &s, 0, BOSH_STR("<kept/>"));
    box_send(&box, &s, BOSH_NO_STREAM, 0, BOSH_STR("<up/>"));
    box_put_leg(&box, &s, 0, BOSH_STR("<down/>"));
    return 0;
}

static int end(void **state)
{
    (void)state;
    box_close(&box);
    return 0;
}

static void has_down_lies(record_t *r)
{
    r->core.leg[1].has_down = 1;
}

static void taken_back_queue_is_offered(record_t *r)
{
    r->taken_back |= leg_bit(0);
}

static void restart_beyond_the_queue(record_t *r)
{
    r->wants_restart |= leg_bit(0);
    r->leg[0].restart_at = r->leg[0].up.len + 1;
}

static void restart_that_nobody_wants(record_t *r)
{
    r->leg[1].restart_at = 1;
}

static void no_first_stream(record_t *r)
{
    r->begun = leg_bit(1);
}

static void too_many_streams(record_t *r)
{
    r->begun |= 0x80;
}

static void closing_what_never_began(record_t *r)
{
    r->wants_close |= leg_bit(2);
}

static void mail_for_what_never_began(record_t *r)
{
    r->in_mail |= leg_bit(3);
}

static void bytes_of_what_never_began(record_t *r)
{
    r->leg[2].from = r->leg[0].down;
}

static void begun_and_unknown_to_the_core(record_t *r)
{
    r->begun |= leg_bit(2);
}

static void known_to_the_core_and_never_begun(record_t *r)
{
    r->core.legs = 3;
    r->core.leg[2].state = BOSH_LEG_OPEN;
}

static void one_name_twice(record_t *r)
{
    memcpy(r->leg[2].name, r->leg[0].name, NAME_BYTES);
}

static void kept_bytes_are_not_counted(record_t *r)
{
    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        if (r->core.slots[i].state == BOSH_SLOT_ANSWERED && r->slot[i].len > 0) {
            r->core.slots[i].bytes--;
        }
    }
}

static void returned_and_still_there(record_t *r)
{
    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        r->returned |= (uint16_t)(r->slot[i].len > 0 ? 1u << i : 0);
    }
}

static void returned_while_it_lives(record_t *r)
{
    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        if (r->core.slots[i].state == BOSH_SLOT_ANSWERED && r->slot[i].len == 0) {
            r->returned |= (uint16_t)(1u << i);
        }
    }
}

static void returned_and_no_answer(record_t *r)
{
    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        if (r->core.slots[i].state == BOSH_SLOT_FREE) {
            r->returned |= (uint16_t)(1u << i);
        }
    }
}

static void chain_in_two_queues(record_t *r)
{
    r->leg[1].from = r->leg[0].up;
}

static void chain_too_long(record_t *r)
{
    r->leg[1].task.len += BLOCK_BYTES;
}

static void chain_of_another_sessions_blocks(record_t *r)
{
    box.st->blocks[r->leg[1].greeting.head].owner++;
}

static void empty_chain_with_blocks(record_t *r)
{
    r->leg[0].from.head = 5;
}

static void mail_bit_without_mail(record_t *r)
{
    r->in_mail = leg_bit(1);
}

static void every_contradiction_is_found(void **state)
{
    static const struct {
        void (*make)(record_t *r);
        const char *says;
    } table[] = {
        { has_down_lies, "has_down and the down queue disagree" },
        { taken_back_queue_is_offered, "has_down and the down queue disagree" },
        { restart_beyond_the_queue, "a restart is not where the up queue's bytes are" },
        { restart_that_nobody_wants, "a restart is not where the up queue's bytes are" },
        { no_first_stream, "a session has other streams than it can have" },
        { too_many_streams, "a session has other streams than it can have" },
        { closing_what_never_began, "something is wanted of a stream that never began" },
        { mail_for_what_never_began, "something is wanted of a stream that never began" },
        { bytes_of_what_never_began, "a stream that never began has bytes" },
        { begun_and_unknown_to_the_core, "the core has other streams than the session" },
        { known_to_the_core_and_never_begun, "the core has other streams than the session" },
        { one_name_twice, "two streams have one name" },
        { kept_bytes_are_not_counted, "a kept answer's bytes are not as many as it says" },
        { returned_and_still_there, "an answer was taken back that is none, or is still there" },
        { returned_while_it_lives, "an answer was taken back that is none, or is still there" },
        { returned_and_no_answer, "an answer was taken back that is none, or is still there" },
        { chain_in_two_queues, "blocks are neither free nor used" },
        { chain_too_long, "a chain leaves the segment" },
        { chain_of_another_sessions_blocks, "a block in a chain belongs to another session" },
        { empty_chain_with_blocks, "an empty chain has blocks" },
        { mail_bit_without_mail, "a session's mail is in no mailbox" },
    };
    record_t *r = box_record(&box, &s), sound = *r;
    bosh_ref_t refs[8];

    (void)state;
    bosh_store_connector_mail(box.st, 0, refs, 8);
    sound = *r;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        block_t *greeting = &box.st->blocks[r->leg[1].greeting.head];
        const char *wrong;

        table[i].make(r);
        wrong = bosh_store_check(box.st);
        assert_non_null(wrong);
        assert_string_equal(wrong, table[i].says);
        *r = sound;
        greeting->owner = s.ref.index;
        box_check(&box);
    }
}

/* What the checker finds, a repair mends. */
static void a_repair_mends_what_the_checker_finds(void **state)
{
    static void (*const makes[])(record_t *) = { has_down_lies,
                                                 taken_back_queue_is_offered,
                                                 restart_beyond_the_queue,
                                                 no_first_stream,
                                                 too_many_streams,
                                                 closing_what_never_began,
                                                 mail_for_what_never_began,
                                                 bytes_of_what_never_began,
                                                 begun_and_unknown_to_the_core,
                                                 known_to_the_core_and_never_begun,
                                                 one_name_twice,
                                                 kept_bytes_are_not_counted,
                                                 returned_and_still_there,
                                                 chain_in_two_queues,
                                                 chain_too_long,
                                                 empty_chain_with_blocks,
                                                 mail_bit_without_mail };

    for (size_t i = 0; i < sizeof(makes) / sizeof(makes[0]); i++) {
        end(state);
        begin(state);
        makes[i](box_record(&box, &s));
        box.st->h->busy = 4711;
        box.st->h->touched = NIL;
        box_check(&box);
        box_send(&box, &s, 1, 0, BOSH_STR("<m/>"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_contradiction_is_found, begin, end),
        cmocka_unit_test_setup_teardown(a_repair_mends_what_the_checker_finds, begin, end),
    };

    return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
