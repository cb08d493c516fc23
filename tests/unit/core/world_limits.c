/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Keys, polling, hurry: who breaks the rules. */

#include "world.h"

#include "unit.h"

bool world_is_empty(world_t *w, uint64_t rid)
{
    const fate_t *f = world_fate(w, rid);

    return rid != w->first_rid && !f->has_added
           && !(f->said.asks
                & (BOSH_ASKS_PAYLOAD | BOSH_ASKS_RESTART | BOSH_ASKS_PAUSE | BOSH_ASKS_TERMINATE
                   | BOSH_ASKS_ADD));
}

bool world_key_fits(const world_t *w, const saying_t *said)
{
    return w->key ? said->key + 1 == w->key : said->key == 0;
}

static bool is_too_soon(world_t *w, uint64_t rid)
{
    bosh_msec_t apart = world_fate(w, rid)->at - world_fate(w, rid - 1)->at;
    bosh_msec_t least = BOSH_SEC(w->s.terms.polling) - 50;

    return apart < least && -apart < least;
}

static bool polls_too_often(world_t *w, uint64_t rid)
{
    const fate_t *before = world_fate(w, rid - 1);

    return (w->s.terms.wait == 0 || w->s.terms.hold == 0) && world_is_empty(w, rid)
           && world_is_empty(w, rid - 1) && before->answered && before->n == 0
           && is_too_soon(w, rid);
}

/* As many as `requests`, all empty, all waiting, the last one too soon. */
static bool hurries(world_t *w, uint64_t rid)
{
    uint64_t n = rid - w->next_answer + 1;

    if (w->s.terms.wait == 0 || w->s.terms.hold == 0 || n < 2 || n < w->s.terms.requests
        || !world_is_empty(w, rid) || !is_too_soon(w, rid)) {
        return false;
    }
    for (uint64_t older = w->next_answer; older < rid; older++) {
        if (!world_is_empty(w, older) || !world_waiter(w, older)
            || (world_fate(w, older)->said.asks & (BOSH_ASKS_URGENT | BOSH_ASKS_DEAF))) {
            return false;
        }
    }
    return true;
}

bosh_reason_t world_fault(world_t *w, uint64_t rid)
{
    const saying_t *said = &world_fate(w, rid)->said;

    if (!world_key_fits(w, said)) {
        return BOSH_REASON_KEY;
    }
    w->key = said->newkey ? said->newkey : said->key;
    if (said->stream == BOSH_BAD_STREAM) {
        return BOSH_REASON_STREAM;
    }
    if (rid == w->first_rid) {
        return BOSH_REASON_NONE;
    }
    if (polls_too_often(w, rid)) {
        return BOSH_REASON_POLLING;
    }
    w->hasty = hurries(w, rid) ? w->hasty + 1 : 0;
    return w->hasty == BOSH_MAX_HASTY ? BOSH_REASON_OVERACTIVE : BOSH_REASON_NONE;
}
