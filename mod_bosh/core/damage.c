/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* A session whose fields contradict each other: a process died while changing it, or
 * something wrote over it. */

#include "core_int.h"

static bool is_no_stream(uint8_t stream)
{
    return stream >= BOSH_MAX_STREAMS && stream < BOSH_BAD_STREAM;
}

static bool is_slot_damaged(const bosh_session_t *s, unsigned i)
{
    const bosh_slot_t *slot = &s->slots[i];

    if (slot->answer.kind > BOSH_ANSWER_STREAM || slot->answer.condition >= BOSH_COND_COUNT
        || is_no_stream(slot->answer.stream) || is_no_stream(slot->stream)
        || slot->refused >= BOSH_COND_COUNT || slot->down_stream >= BOSH_MAX_STREAMS
        || slot->repeats > BOSH_MAX_REPEATS
        || (slot->state != BOSH_SLOT_FREE && slot->rid % BOSH_SLOTS != i)) {
        return true;
    }
    switch (slot->state) {
    case BOSH_SLOT_FREE: return slot->writing;
    case BOSH_SLOT_EARLY: return slot->rid < s->next_rid || slot->rid - s->next_rid >= BOSH_SLOTS;
    case BOSH_SLOT_HELD: return slot->rid < s->next_answer || slot->rid >= s->next_rid;
    case BOSH_SLOT_ANSWERED:
        return slot->rid >= s->next_answer || s->next_answer - slot->rid > BOSH_SLOTS;
    default: return true;
    }
}

bool bosh_session_is_damaged(const bosh_session_t *s)
{
    if (s->state > BOSH_ENDED || s->condition >= BOSH_COND_COUNT || s->reason >= BOSH_REASON_COUNT
        || s->next_answer > s->next_rid || s->next_rid - s->next_answer > BOSH_MAX_UNANSWERED
        || s->next_answer < s->terms.rid || s->terms.requests > BOSH_MAX_REQUESTS
        || s->terms.hold >= s->terms.requests || s->hasty > BOSH_MAX_HASTY
        || s->acked >= s->next_answer || s->report > s->next_rid || s->breach > s->next_rid
        || legs_are_damaged(s)) {
        return true;
    }
    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        if (is_slot_damaged(s, i)) {
            return true;
        }
    }
    for (uint64_t rid = s->next_answer; rid < s->next_rid; rid++) {
        if (s->slots[rid % BOSH_SLOTS].state != BOSH_SLOT_HELD) {
            return true;
        }
    }
    return false;
}
