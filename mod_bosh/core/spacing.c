/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Stanzas reach a client in the order in which answers leave (XEP-0124 section 14.2), if it
 * reads them in that order. Two answers that it finds at the same time, on two connections, it
 * may read in any: Node hands out what came while it collected garbage in an order of its own,
 * and Chromium on a busy machine does so too. So after an answer with stanzas the next such one
 * waits until the client is known to have read it, or until it had time to.
 *
 * It is known when it sent something that it could not have sent before, and that is: as many
 * requests as it may have open at once; or a request on the connection on which the answer
 * went. A client that never had two requests open reads one answer after the other.
 *
 * How much time it needs is measured wherever it has nothing to do but to send the next request.
 */

#include "core_int.h"

/* An answer that is still being written may have been read: that tells nothing. */
static void note_parallel(bosh_session_t *s, uint64_t rid)
{
    for (unsigned i = 0; i < BOSH_SLOTS && !s->is_parallel; i++) {
        const bosh_slot_t *slot = &s->slots[i];

        s->is_parallel =
            slot->rid != rid && (slot->state == BOSH_SLOT_EARLY || slot->state == BOSH_SLOT_HELD);
    }
}

/* A client without an open request sends the next one as soon as it has read the last answer.
 * What its machine and the network make it take for that is forgotten by and by. */
static void note_reaction(bosh_session_t *s, uint64_t rid, bosh_msec_t now)
{
    bosh_msec_t took = now - s->last_answer;
    bool is_reaction = rid == s->next_rid && s->next_rid == s->next_answer && s->terms.hold > 0
                       && s->terms.wait > 0;

    if (!is_reaction || took < 0 || took > BOSH_REACTION_MS) {
        return;
    }
    s->reaction -= s->reaction / 4;
    if (s->reaction < took) {
        s->reaction = (uint32_t)took;
    }
}

void spacing_note_request(bosh_session_t *s, uint64_t rid, bosh_msec_t now)
{
    note_parallel(s, rid);
    note_reaction(s, rid, now);
}

void spacing_note_given(bosh_session_t *s, bosh_holder_t reader, bosh_msec_t now)
{
    s->last_given = now;
    s->last_reader = reader;
}

static bool carries_stanzas(bosh_session_t *s)
{
    /* The end, too: who reads it first looks at nothing any more. */
    return s->state >= BOSH_CLOSING ? !s->end_told : legs_pick(s) != BOSH_NO_STREAM;
}

/* The end that the client itself asked for, or that cannot wait. */
static bool is_hurried(const bosh_session_t *s, const bosh_slot_t *head)
{
    return (head->asks & BOSH_ASKS_PAUSE)
           || (s->state >= BOSH_CLOSING
               && (s->reason == BOSH_REASON_CLIENT || s->condition == BOSH_COND_SYSTEM_SHUTDOWN));
}

static bool has_read(const bosh_session_t *s, const bosh_slot_t *head)
{
    return !s->is_parallel || s->next_rid - s->next_answer >= s->terms.requests
           || same_holder(head->holder, s->last_reader);
}

/* Twice the slowest reaction that was seen: the one that counts may be slower still. */
static bosh_msec_t distance(const bosh_session_t *s)
{
    bosh_msec_t time = 2 * (bosh_msec_t)s->reaction;

    if (time < BOSH_SPACING_MS) {
        return BOSH_SPACING_MS;
    }
    return time < BOSH_MAX_SPACING_MS ? time : BOSH_MAX_SPACING_MS;
}

bosh_msec_t spacing_earliest(bosh_session_t *s, const bosh_slot_t *head)
{
    bosh_msec_t earliest, awake;

    if (!carries_stanzas(s) || is_hurried(s, head) || has_read(s, head)) {
        return 0;
    }
    earliest = s->last_given + distance(s);
    awake = head->arrived + BOSH_SPACING_MS; /* it sent this one after that answer had left */
    return head->arrived > s->last_given && awake < earliest ? awake : earliest;
}
