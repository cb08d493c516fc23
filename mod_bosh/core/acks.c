/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Who has what (XEP-0124 section 9). The client's acks say which answers it has; ours
 * say which requests we have. Both only in sessions whose client began with ack='1'.
 *
 * A client that acknowledges leaves the attribute out when it has all answers, and a
 * client without acks goes on with a new rid only when it need not repeat an old one:
 * both mean that it has what was written before.
 */

#include "core_int.h"

static bool is_kept(const bosh_session_t *s, uint64_t rid)
{
    const bosh_slot_t *slot = &s->slots[rid % BOSH_SLOTS];

    return slot->rid == rid && slot->state == BOSH_SLOT_ANSWERED;
}

void acks_note_arrival(bosh_session_t *s, uint64_t ack)
{
    if (s->terms.acks && ack) {
        return; /* it says more exactly what it has; see acks_take() */
    }
    for (unsigned i = 0; i < BOSH_SLOTS; i++) {
        bosh_slot_t *slot = &s->slots[i];

        if (slot->state == BOSH_SLOT_ANSWERED && slot->written) {
            slot->received = 1;
        }
    }
}

void acks_take(bosh_session_t *s, const bosh_slot_t *slot)
{
    uint64_t ack = slot->ack;

    if (!s->terms.acks || ack < s->terms.rid || ack >= s->next_answer) {
        return;
    }
    if (ack > s->acked) {
        s->acked = ack;
    }
    if (s->report <= s->acked) {
        s->report = 0;
    }
    if (ack == s->acked && is_kept(s, ack + 1)) {
        s->report = ack + 1;
    }
}

uint64_t acks_for(const bosh_session_t *s, uint64_t rid)
{
    if (!s->terms.acks) {
        return 0;
    }
    if (rid == s->terms.rid) {
        return rid; /* so that the client knows that we do this */
    }
    return rid == s->next_rid - 1 ? 0 : s->next_rid - 1;
}

void acks_report(bosh_session_t *s, bosh_answer_t *answer, bosh_msec_t now)
{
    if (s->report && is_kept(s, s->report)) {
        bosh_msec_t ago = now - s->slots[s->report % BOSH_SLOTS].answered;

        answer->report = s->report;
        answer->time = ago < 0 ? 0 : ago > UINT32_MAX ? UINT32_MAX : (uint32_t)ago;
    }
    s->report = 0;
}

void acks_note_repeat(bosh_session_t *s, bosh_slot_t *slot, bool is_asked_for)
{
    slot->written = 1; /* nobody reports it of this copy */
    if (s->state >= BOSH_CLOSING) {
        slot->received = 1; /* on its way, and its client need not come again */
    }
    else if (is_asked_for) {
        slot->received = 0; /* it did not have it */
    }
    if (s->report == slot->rid) {
        s->report = 0;
    }
}

bool bosh_session_is_undelivered(const bosh_session_t *s, unsigned i)
{
    const bosh_slot_t *slot = &s->slots[i % BOSH_SLOTS];
    const bosh_leg_t *leg = &s->leg[slot->down_stream % BOSH_MAX_STREAMS];
    uint8_t reason = leg->reason ? leg->reason : s->reason;

    if (slot->state != BOSH_SLOT_ANSWERED || !slot->had_down || slot->rid <= s->acked) {
        return false;
    }
    if (slot->writing) {
        return false; /* on its way: nobody can take it back */
    }
    if (!slot->written) {
        return true;
    }
    /* After an end the client has no reason to come again. */
    if (slot->received || slot->answer.kind == BOSH_ANSWER_TERMINATE) {
        return false;
    }
    return s->terms.acks || reason != BOSH_REASON_CLIENT;
}
