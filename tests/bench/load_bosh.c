/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * BOSH sessions of the load generator: as strict about order and window as a
 * careful client, so that a manager that breaks either is noticed.
 *
 * - rids go up by one; at most `requests` of them are out at a time.
 * - Answers are looked at in the order of their rids, whatever order they came in.
 * - An empty request goes out only when none is out (poll mode aside, whose very
 *   purpose is empty requests).
 * - Every message carries the session's number and its own, so that a lost,
 *   doubled or misdirected one is seen.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

#define NS_BOSH  "http://jabber.org/protocol/httpbind"
#define MARK     "bench#"
#define MAX_TEXT 65536

/* ---- small helpers ----------------------------------------------------- */

static bool contains(const char *p, size_t len, const char *word)
{
    return memmem(p, len, word, strlen(word)) != NULL;
}

/* The value of an attribute of the wrapper, as it is written; "" if absent. */
static void wrapper_attr(const char *p, size_t len, const char *name, char *dst, size_t size)
{
    const char *end = memchr(p, '>', len);
    size_t name_len = strlen(name);

    dst[0] = '\0';
    for (const char *at = p; end != NULL && at + name_len + 3 < end; at++) {
        const char *close;

        if (*at != ' ' || memcmp(at + 1, name, name_len) != 0 || at[name_len + 1] != '=') {
            continue;
        }
        at += name_len + 2;
        close = memchr(at + 1, *at, (size_t)(end - at));
        if (close != NULL && (size_t)(close - at) <= size) {
            memcpy(dst, at + 1, (size_t)(close - at - 1));
            dst[close - at - 1] = '\0';
        }
        return;
    }
}

static void base64(char *dst, const unsigned char *p, size_t len)
{
    static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t i;

    for (i = 0; i < len; i += 3) {
        unsigned v = (unsigned)p[i] << 16;

        v |= i + 1 < len ? (unsigned)p[i + 1] << 8 : 0;
        v |= i + 2 < len ? (unsigned)p[i + 2] : 0;
        *dst++ = abc[v >> 18];
        *dst++ = abc[v >> 12 & 63];
        *dst++ = i + 1 < len ? abc[v >> 6 & 63] : '=';
        *dst++ = i + 2 < len ? abc[v & 63] : '=';
    }
    *dst = '\0';
}

static void set_state(session_t *s, session_state_t state)
{
    s->state = state;
    s->state_since = now_ns();
}

static void session_fail(session_t *s, const char *why, const char *detail, size_t len)
{
    if (s->state == SESSION_FAILED || s->state == SESSION_CLOSED) {
        return;
    }
    load_complain(s, why, detail, len);
    if (s->state == SESSION_ONLINE || s->state == SESSION_LEAVING) {
        load.online--;
    }
    else {
        load.logging_in--;
    }
    load.failed++;
    set_state(s, SESSION_FAILED);
    for (int i = 0; i < SESSION_CONNS; i++) {
        s->conns[i].busy = false;
        conn_close(&s->conns[i]);
    }
}

/* ---- requests ---------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void post(session_t *s, const char *fmt, ...)
{
    static char body[MAX_TEXT + 2048];
    va_list ap;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(body, sizeof(body), fmt, ap);
    va_end(ap);
    for (int i = 0; i < SESSION_CONNS; i++) {
        if (!s->conns[i].busy) {
            s->outstanding++;
            conn_post(&s->conns[i], s->rid_next++, body, (size_t)len);
            return;
        }
    }
    session_fail(s, "no free connection", "", 0);
}

static void post_payload(session_t *s, const char *payload)
{
    post(s, "<body rid='%llu' sid='%s' xmlns='" NS_BOSH "'>%s</body>",
         (unsigned long long)s->rid_next, s->sid, payload);
}

static void post_auth(session_t *s)
{
    unsigned char plain[512];
    char encoded[700], payload[900];
    int len;

    if (load.opt.is_anonymous) {
        post_payload(s, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>");
        return;
    }
    len = snprintf((char *)plain, sizeof(plain), "%c%s%u%c%s", 0, load.opt.user, s->id, 0,
                   load.opt.password);
    base64(encoded, plain, (size_t)len);
    snprintf(payload, sizeof(payload),
             "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>", encoded);
    post_payload(s, payload);
}

static void post_message(session_t *s)
{
    static char payload[MAX_TEXT + 1024], text[MAX_TEXT];
    int len;

    s->seq++;
    len = snprintf(text, sizeof(text), MARK "%u:%llu;", s->id, (unsigned long long)s->seq);
    if ((unsigned)len < load.opt.size) {
        memset(text + len, 'x', load.opt.size - (unsigned)len);
        text[load.opt.size] = '\0';
    }
    snprintf(
        payload, sizeof(payload),
        "<message to='%s' type='chat' id='m%llu' xmlns='jabber:client'><body>%s</body></message>",
        s->jid, (unsigned long long)s->seq, text);
    s->may_send = false;
    s->is_waiting = true;
    s->echo_sent_at = now_ns();
    post_payload(s, payload);
}

/* The step of the login whose answer the state waits for. */
static void post_login_step(session_t *s)
{
    s->has_payload = false;
    switch (s->state) {
    case SESSION_CREATING:
        post(s,
             "<body content='text/xml; charset=utf-8' hold='%u' rid='%llu' to='%s' ver='1.6' "
             "wait='%u' xml:lang='en' xmpp:version='1.0' xmlns='" NS_BOSH "' "
             "xmlns:xmpp='urn:xmpp:xbosh'/>",
             load.opt.hold, (unsigned long long)s->rid_next, load.opt.domain, load.opt.wait);
        break;
    case SESSION_AUTHENTICATING: post_auth(s); break;
    case SESSION_RESTARTING:
        post(s,
             "<body rid='%llu' sid='%s' to='%s' xml:lang='en' xmpp:restart='true' "
             "xmlns='" NS_BOSH "' xmlns:xmpp='urn:xmpp:xbosh'/>",
             (unsigned long long)s->rid_next, s->sid, load.opt.domain);
        break;
    case SESSION_BINDING:
        post_payload(s, "<iq type='set' id='bind' xmlns='jabber:client'>"
                        "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
        break;
    case SESSION_LEAVING:
        post(s,
             "<body rid='%llu' sid='%s' type='terminate' xmlns='" NS_BOSH "'>"
             "<presence type='unavailable' xmlns='jabber:client'/></body>",
             (unsigned long long)s->rid_next, s->sid);
        break;
    default: break;
    }
}

static void post_static(session_t *s)
{
    static const char sid[] = "0123456789abcdef0123456789abcdef";

    snprintf(s->sid, sizeof(s->sid), "%s", sid);
    snprintf(s->jid, sizeof(s->jid), "%s@%s/%s", sid, load.opt.domain, sid);
    post_message(s);
}

/* Sends what may be sent now. */
static void pump(session_t *s)
{
    bool polls_hard = load.opt.mode == MODE_POLL && load.is_running;

    if (s->has_payload && s->outstanding < s->window) {
        post_login_step(s);
    }
    else if (s->state == SESSION_ONLINE && s->may_send && s->outstanding < s->window) {
        post_message(s);
    }
    if (s->state == SESSION_LEAVING || s->state == SESSION_CLOSED || s->state == SESSION_FAILED) {
        return;
    }
    while (s->outstanding == 0
           || (polls_hard && s->state == SESSION_ONLINE && s->outstanding < s->hold + 1)) {
        post_payload(s, "");
        if (s->state == SESSION_FAILED) {
            return;
        }
    }
}

/* ---- answers ----------------------------------------------------------- */

static void step_to(session_t *s, session_state_t state)
{
    set_state(s, state);
    s->has_payload = true;
}

static void on_created(session_t *s, const char *p, size_t len)
{
    char value[32];

    wrapper_attr(p, len, "sid", s->sid, sizeof(s->sid));
    wrapper_attr(p, len, "requests", value, sizeof(value));
    s->window = value[0] ? (unsigned)atoi(value) : SESSION_CONNS;
    wrapper_attr(p, len, "hold", value, sizeof(value));
    s->hold = value[0] ? (unsigned)atoi(value) : load.opt.hold;
    if (s->window > SESSION_CONNS) {
        s->window = SESSION_CONNS;
    }
    if (s->window == 0) {
        s->window = 1;
    }
    if (s->hold + 1 > s->window) {
        s->hold = s->window - 1;
    }
}

static void on_bound(session_t *s, const char *p, size_t len)
{
    const char *begin = memmem(p, len, "<jid>", 5);
    const char *end = begin ? memmem(begin, len - (size_t)(begin - p), "</jid>", 6) : NULL;

    if (end == NULL) {
        return;
    }
    begin += 5;
    if ((size_t)(end - begin) >= sizeof(s->jid)) {
        session_fail(s, "a JID too long", begin, 80);
        return;
    }
    memcpy(s->jid, begin, (size_t)(end - begin));
    s->jid[end - begin] = '\0';
    set_state(s, SESSION_ONLINE);
    load.logging_in--;
    load.online++;
    if (load.opt.mode == MODE_LOGIN) {
        session_logout(s);
    }
}

static void on_echo(session_t *s, unsigned id, uint64_t seq)
{
    nsec_t now;

    if (id != s->id || seq > s->seq) {
        load.count.strays++;
        load_complain(s, "a message that was not sent here", "", 0);
        return;
    }
    if (seq < s->seq || !s->is_waiting) {
        load.count.doubled++;
        load_complain(s, "a message once more", "", 0);
        return;
    }
    now = now_ns();
    s->is_waiting = false;
    load_unit(now, s->echo_sent_at);
    if (load.is_running) {
        s->think_until = now + (nsec_t)(load.opt.think * 1e9);
        s->may_send = load.opt.think <= 0;
    }
}

/* Finds the numbered messages in an answer. */
static void on_messages(session_t *s, const char *p, size_t len)
{
    const char *end = p + len;

    while ((p = memmem(p, (size_t)(end - p), MARK, sizeof(MARK) - 1)) != NULL) {
        const char *text_end = memchr(p, '<', (size_t)(end - p));
        char *at;
        unsigned id = (unsigned)strtoul(p + sizeof(MARK) - 1, &at, 10);
        uint64_t seq = *at == ':' ? strtoull(at + 1, &at, 10) : 0;

        if (*at != ';' || text_end == NULL
            || ((size_t)(text_end - p) != load.opt.size && (size_t)(at + 1 - p) < load.opt.size)) {
            load.count.garbled++;
            load_complain(s, "a message with another text", p,
                          text_end ? (size_t)(text_end - p) : 40);
        }
        on_echo(s, id, seq);
        p = at;
    }
}

static void on_terminated(session_t *s, const char *p, size_t len)
{
    if (s->state == SESSION_LEAVING) {
        return;
    }
    load.count.terminated++;
    session_fail(s, "terminated by the manager", p, len);
}

static void on_in_order(session_t *s, const char *p, size_t len)
{
    char type[32];

    wrapper_attr(p, len, "type", type, sizeof(type));
    if (strcmp(type, "terminate") == 0) {
        on_terminated(s, p, len);
        return;
    }
    if (s->state == SESSION_CREATING && s->sid[0] == '\0') {
        on_created(s, p, len);
    }
    switch (s->state) {
    case SESSION_CREATING:
        if (contains(p, len, "<mechanism>")) {
            step_to(s, SESSION_AUTHENTICATING);
        }
        break;
    case SESSION_AUTHENTICATING:
        if (contains(p, len, "<success")) {
            step_to(s, SESSION_RESTARTING);
        }
        else if (contains(p, len, "<failure")) {
            session_fail(s, "login refused", p, len);
        }
        break;
    case SESSION_RESTARTING:
        if (contains(p, len, "urn:ietf:params:xml:ns:xmpp-bind")) {
            step_to(s, SESSION_BINDING);
        }
        break;
    case SESSION_BINDING: on_bound(s, p, len); break;
    case SESSION_ONLINE:
    case SESSION_LEAVING: on_messages(s, p, len); break;
    default: break;
    }
}

/* Everything that was out has been answered after the terminate: the end. */
static void finish_leaving(session_t *s)
{
    load.online--;
    load.closed++;
    set_state(s, SESSION_CLOSED);
    if (load.opt.mode == MODE_LOGIN) {
        load_unit(now_ns(), s->login_at);
        if (load.is_running) {
            session_login(s);
        }
    }
}

static void keep_for_later(session_t *s, const conn_t *c, const char *p, size_t len)
{
    size_t i = c->rid % SESSION_EARLY;

    free(s->early[i].p);
    s->early[i].p = malloc(len + 1);
    if (s->early[i].p == NULL) {
        perror("bosh_load");
        exit(2);
    }
    memcpy(s->early[i].p, p, len);
    s->early[i].p[len] = '\0';
    s->early[i].rid = c->rid;
    s->early[i].len = len;
}

/* The next connection in turn that is free posts: all of them stay open, but only so
 * many have a request out. httpd closes kept-alive connections when all its threads
 * are busy, and a floor made of new connections would be none. */
static void on_static_answer(session_t *s, nsec_t began)
{
    static unsigned turn;

    s->outstanding = 0;
    s->is_waiting = false;
    load_unit(now_ns(), began);
    if (load.is_running) {
        do {
            turn = (turn + 1) % load.opt.sessions;
        } while (load.sessions[turn].is_waiting);
        post_static(&load.sessions[turn]);
    }
}

void session_on_answer(session_t *s, conn_t *c, const char *p, size_t len)
{
    size_t i;

    if (s->state == SESSION_FAILED) {
        return;
    }
    if (load.opt.mode == MODE_STATIC) {
        on_static_answer(s, c->sent_at);
        return;
    }
    s->outstanding--;
    if (load.opt.mode == MODE_POLL && load.is_running) {
        load_unit(now_ns(), c->sent_at);
    }
    if (c->rid != s->rid_expected) {
        keep_for_later(s, c, p, len);
    }
    else {
        on_in_order(s, p, len);
        s->rid_expected++;
        for (i = s->rid_expected % SESSION_EARLY;
             s->early[i].p != NULL && s->early[i].rid == s->rid_expected;
             i = s->rid_expected % SESSION_EARLY) {
            on_in_order(s, s->early[i].p, s->early[i].len);
            free(s->early[i].p);
            s->early[i].p = NULL;
            s->rid_expected++;
        }
    }
    if (s->state == SESSION_LEAVING && s->outstanding == 0 && !s->has_payload) {
        finish_leaving(s);
    }
    else if (s->state != SESSION_FAILED) {
        pump(s);
    }
}

void session_on_broken(session_t *s, conn_t *c)
{
    (void)c;
    session_fail(s, "the connection broke", "", 0);
}

/* ---- from outside ------------------------------------------------------ */

void session_init(session_t *s, unsigned id)
{
    memset(s, 0, sizeof(*s));
    s->id = id;
    for (int i = 0; i < SESSION_CONNS; i++) {
        conn_init(&s->conns[i], s);
    }
}

void session_login(session_t *s)
{
    /* Not zero, and different for every session; the numbers never reach the end. */
    s->rid_next = 1000000ULL + (uint64_t)s->id * 1000003ULL + (uint64_t)(now_ns() % 1000003);
    s->rid_expected = s->rid_next;
    s->sid[0] = s->jid[0] = '\0';
    s->window = 1;
    s->outstanding = 0;
    s->is_waiting = s->may_send = false;
    s->login_at = now_ns();
    load.logging_in++;
    step_to(s, SESSION_CREATING);
    pump(s);
}

void session_start(session_t *s)
{
    switch (load.opt.mode) {
    case MODE_ECHO:
        s->may_send = true;
        pump(s);
        break;
    case MODE_POLL: pump(s); break;
    case MODE_LOGIN: session_login(s); break;
    case MODE_STATIC:
        set_state(s, SESSION_ONLINE);
        load.online++;
        if (s->id < load.opt.active) {
            post_static(s);
        }
        break;
    case MODE_IDLE: break;
    }
}

void session_logout(session_t *s)
{
    if (s->state != SESSION_ONLINE) {
        return;
    }
    if (load.opt.mode == MODE_STATIC) {
        load.online--;
        load.closed++;
        set_state(s, SESSION_CLOSED);
        return;
    }
    s->may_send = false;
    set_state(s, SESSION_LEAVING);
    s->has_payload = true;
    pump(s);
}

/* Looks after what did not come. */
void session_sweep(session_t *s, nsec_t now)
{
    nsec_t limit = (nsec_t)(load.opt.timeout * 1e9);

    if (s->state == SESSION_ONLINE && s->is_waiting && now - s->echo_sent_at > limit) {
        load.count.lost++;
        load.count.timeouts++;
        session_fail(s, "an echo did not come in time", "", 0);
    }
    else if (s->state > SESSION_NEW && s->state < SESSION_ONLINE && now - s->state_since > limit) {
        load.count.timeouts++;
        session_fail(s, "a step of the login took too long", "", 0);
    }
    else if (s->state == SESSION_ONLINE && !s->is_waiting && !s->may_send && load.is_running
             && load.opt.mode == MODE_ECHO && now >= s->think_until) {
        s->may_send = true;
        pump(s);
    }
}
