/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * An attempt: from the question where a domain's server is to the features of its stream.
 *
 * Each costs questions to name servers, connections and handshakes, and anybody may ask for
 * sessions. So only so many are made at a time for one domain (connecting= of BoshDomain) or in
 * a minute (new=), and for a moment none where the one before learned, slowly, that nobody is
 * there.
 *
 * A server that refuses, resets or shows a bad certificate has cost nothing, and may be
 * well in the next moment: it is always tried.
 */

#include <stddef.h>
#include <string.h>

#include "connector_int.h"
#include "policy.h"

/* ---- what failed ----------------------------------------------------------- */

/* On this machine, because the administrator said so. */
static bool is_at_home(const c2s_t *c)
{
    const bosh_upstream_t *u = c->upstream;

    return u->tls == BOSH_TLS_LOCAL || u->reach == BOSH_REACH_UNIX
           || (u->reach == BOSH_REACH_HOST
               && (strcmp(u->host, "localhost") == 0
                   || (c->targets > 0 && policy_is_loopback(&c->target[0].address))));
}

/* Who waited for his turn may have had too little time left to tell the server's fault. */
static bool had_time(const c2s_t *c)
{
    return c->k->now - c->began >= c->patience / 2;
}

/* It took long, or name servers were asked in vain; and nothing says that the next attempt
 * could end otherwise. */
static bool was_in_vain(const c2s_t *c, bosh_condition_t condition, bosh_reason_t reason)
{
    if (condition != BOSH_COND_REMOTE_CONNECTION_FAILED || c->is_answered || c->is_redirected
        || is_at_home(c)) {
        return false;
    }
    return reason == BOSH_REASON_CONNECT_TIMEOUT
               ? had_time(c)
               : reason == BOSH_REASON_CONNECT_FAILED && (c->is_nameless || c->is_silent);
}

static void note(const c2s_t *c, bosh_condition_t condition, bosh_reason_t reason)
{
    connector_t *k = c->k;
    const char *why = bosh_reason_text(reason);
    char place[320];

    if (failures_note(&k->failures, c->upstream, condition, reason, k->now)) {
        connect_place(place, sizeof(place), c);
        bosh_log(reason == BOSH_REASON_CONNECT_TIMEOUT ? connect_complaint(c, why) : BOSH_LOG_INFO,
                 BOSHNO(1018) "%s: %s, the XMPP server of %s: %s; for %lld s sessions are "
                              "refused without another try",
                 c->name, place, c->upstream->to, why, (long long)FAILURE_MS / 1000);
    }
}

/* True: c is gone, or has only its last stanzas to deliver. */
static bool refuse(c2s_t *c)
{
    const failure_t *f = failures_find(&c->k->failures, c->upstream, c->k->now);

    if (f) {
        c2s_end(c, f->condition, f->reason);
    }
    return f != NULL;
}

void attempt_tick(connector_t *k)
{
    failure_t f;

    while (failures_expire(&k->failures, k->now, &f)) {
        bosh_log(BOSH_LOG_INFO,
                 BOSHNO(1019) "the XMPP server of %s may be tried again; %u sessions were "
                              "refused without a try",
                 f.place.to, f.refused);
    }
}

/* ---- turns ------------------------------------------------------------------- */

static void begin(c2s_t *c)
{
    c->began = c->k->now;
    connect_begin(c);
}

void attempt_begin(c2s_t *c)
{
    if (refuse(c)) {
        return;
    }
    if (!domains_begin(&c->visit, c->upstream->max_new, c->k->now)) {
        connect_refuse(
            c, "as many streams to it as new= allows have begun within a minute (BoshDomain)");
        return;
    }
    if (domains_ask(&c->visit, c->upstream->max_connecting)) {
        begin(c);
        return;
    }
    c->state = WAITING;
    bosh_log(BOSH_LOG_DEBUG,
             BOSHNO(1020) "%s: waits while %u others are on their way to %s (connecting= of "
                          "BoshDomain)",
             c->name, c->upstream->max_connecting, c->upstream->to);
}

/* The session may be over, and the mail that says so unread. */
static void go_on(c2s_t *c)
{
    bosh_up_t up;

    if (up_is_over(c, &up)) {
        c2s_close(c, &up);
    }
    else if (!refuse(c)) {
        begin(c);
    }
}

void attempt_give_turns(connector_t *k)
{
    visit_t *v;

    while ((v = domains_next(&k->domains)) != NULL) {
        go_on((c2s_t *)(void *)((char *)v - offsetof(c2s_t, visit)));
    }
}

void attempt_succeeded(c2s_t *c)
{
    if (c->visit.state == VISIT_CONNECTS) {
        failures_forget(&c->k->failures, c->upstream);
        domains_done(&c->k->domains, &c->visit);
    }
}

void attempt_over(c2s_t *c, bosh_condition_t condition, bosh_reason_t reason)
{
    if (c->visit.state == VISIT_CONNECTS && c->began && was_in_vain(c, condition, reason)) {
        note(c, condition, reason);
    }
    domains_done(&c->k->domains, &c->visit);
}
