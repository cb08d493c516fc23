/* Licensed under the Apache License, Version 2.0; see LICENSE. */
#include "streams.h"

#include "unit.h"

drive_t d;
uint64_t next;

int open_session(void **state)
{
    (void)state;
    drive_open(&d, 1, WAIT);
    d.s.terms.streams = BOSH_MAX_STREAMS;
    next = R;
    return 0;
}

const bosh_action_t *ask(uint8_t asks, uint8_t stream)
{
    d.now += 100;
    return request_stream(&d, next++, asks, stream);
}

bosh_action_t get(uint8_t asks, uint8_t stream)
{
    bosh_action_t a = *ask(asks, stream);

    assert_int_equal(a.kind, BOSH_DO_ANSWER);
    wrote(&d, next - 1, d.holder);
    return a;
}

void add(uint8_t stream)
{
    bosh_action_t a = get(BOSH_ASKS_ADD, BOSH_NO_STREAM);

    assert_int_equal(a.answer.kind, BOSH_ANSWER_STREAM);
    assert_int_equal(a.answer.stream, stream);
}

int open_two(void **state)
{
    open_session(state);
    add(1);
    opened_on(&d, 1);
    get(0, BOSH_NO_STREAM); /* its features */
    return 0;
}

void assert_leg_ends(const bosh_action_t *a, uint8_t stream, bosh_condition_t condition)
{
    assert_int_equal(a->answer.kind, BOSH_ANSWER_TERMINATE);
    assert_int_equal(a->answer.stream, stream);
    assert_int_equal(a->answer.condition, condition);
}
