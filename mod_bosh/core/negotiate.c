/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Session creation (XEP-0124 sections 7.1 and 7.2): what the client asks for,
 * cut down to what the administrator allows.
 */

#include "bosh/core.h"

/* Nobody means more than a day by any of these numbers. */
#define MAX_ASKED 86400

static uint32_t least(uint64_t asked, uint32_t allowed)
{
    return asked < allowed ? (uint32_t)asked : allowed;
}

/* "major.minor", each an integer of its own: 1.10 is newer than 1.9. */
static bool parse_version(bosh_str_t s, uint64_t *major, uint64_t *minor)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '.') {
            return bosh_parse_uint((bosh_str_t){ s.p, i }, UINT16_MAX, major)
                   && bosh_parse_uint((bosh_str_t){ s.p + i + 1, s.len - i - 1 }, UINT16_MAX,
                                      minor);
        }
    }
    return false;
}

/* The answer carries the lower of both versions. */
static bool negotiate_version(bosh_str_t ver, bosh_terms_t *t)
{
    uint64_t major = 0, minor = 0;

    if (!ver.p) {
        return true;
    }
    if (!parse_version(ver, &major, &minor)) {
        return false;
    }
    if (major > BOSH_VER_MAJOR || (major == BOSH_VER_MAJOR && minor > BOSH_VER_MINOR)) {
        major = BOSH_VER_MAJOR;
        minor = BOSH_VER_MINOR;
    }
    t->ver_major = (uint16_t)major;
    t->ver_minor = (uint16_t)minor;
    return true;
}

/* A number the client may leave out. */
static bool parse_optional(bosh_str_t s, uint64_t absent, uint64_t *n)
{
    if (!s.p) {
        *n = absent;
        return true;
    }
    if (!bosh_parse_uint(s, UINT64_MAX, n)) {
        return false;
    }
    if (*n > MAX_ASKED) {
        *n = MAX_ASKED;
    }
    return true;
}

bool bosh_negotiate(const bosh_offer_t *offer, const bosh_policy_t *policy, bosh_terms_t *terms)
{
    uint64_t wait, hold, ack;

    *terms = (bosh_terms_t){ 0 };
    /* "a large, random, positive integer" (14.1); one more must be possible. */
    if (!bosh_parse_uint(offer->rid, BOSH_RID_MAX - 1, &terms->rid) || terms->rid == 0) {
        return false;
    }
    if (!parse_optional(offer->wait, policy->wait, &wait) || !parse_optional(offer->hold, 1, &hold)
        || !parse_optional(offer->ack, 0, &ack) || !negotiate_version(offer->ver, terms)) {
        return false;
    }
    terms->acks = ack == 1; /* gloox sends ack='0' and means no */
    terms->wait = least(wait, policy->wait);
    terms->hold =
        least(hold, policy->hold < BOSH_MAX_REQUESTS - 1 ? policy->hold : BOSH_MAX_REQUESTS - 1);
    terms->requests = terms->hold + 1;
    terms->polling = policy->polling;
    /* A client that polls is away most of the time (section 12). */
    terms->is_polling = terms->wait == 0 || terms->hold == 0;
    terms->inactivity = policy->inactivity + (terms->is_polling ? 2 * policy->polling : 0);
    terms->maxpause = policy->maxpause;
    terms->connect_timeout = policy->connect_timeout;
    terms->streams =
        (uint8_t)(policy->streams < BOSH_MAX_STREAMS ? policy->streams : BOSH_MAX_STREAMS);
    return true;
}
