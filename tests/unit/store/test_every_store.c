/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A process may die after any instruction. What its death leaves to the others differs
 * only where an instruction stored something in the segment; so each operation that
 * changes the segment runs with the segment write-protected, and stops after every single
 * store. What is there then is copied, and a second handle, on the copy, is the next to
 * come: it must find all lists whole, every session as it was before or as it was to be,
 * but for the one that was being changed, which may have ended; and everything can be used
 * and comes back.
 *
 * The store has no pointers in the segment, so a copy is as good as the original. The
 * mutex is not in it: that its owner's death frees it is shown by test_death.
 */

#include "box.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "../core/unit.h"

#define BYTES    (84 * 1024)
#define SESSIONS 6
#define LATER    BOSH_SEC(1000)

/* All that the operations know; saved and put back with the segment. */
static struct scene {
    box_t box;
    sess_t subject, quiet, crowd; /* the latter two are bystanders of most */
    bosh_holder_t held;           /* the subject's request that waits */
    uint64_t held_rid;
    uint32_t neighbour; /* another child */
} s, saved;

static char text[4000], out[8000];

/* ---- what is there ------------------------------------------------------------- */

#define MIX(h, field) bosh_hash((h), &(field), sizeof(field))

static uint64_t mix_chain(const bosh_store_t *st, uint64_t h, const chain_t *c)
{
    static char bytes[BYTES];

    if (c->len > sizeof(bytes)) {
        return h;
    }
    chain_copy_locked(st, c, bytes);
    return bosh_hash(MIX(h, c->len), bytes, c->len);
}

/* All that makes up a session, but for its mail: after a repair all have mail. */
static uint64_t digest(const bosh_store_t *st, uint32_t i)
{
    record_t *r = &st->sessions[i];
    uint64_t h = UINT64_C(14695981039346656037);

    if (!r->in_use) {
        return 0;
    }
    h = MIX(h, r->generation);
    h = MIX(h, r->connector);
    h = MIX(h, r->secure);
    h = MIX(h, r->begun);
    h = MIX(h, r->wants_close);
    h = MIX(h, r->wants_restart);
    h = MIX(h, r->down_blocked);
    h = MIX(h, r->up_gone);
    h = MIX(h, r->taken_back);
    h = MIX(h, r->returned);
    h = MIX(h, r->serial);
    h = MIX(h, r->realm);
    h = MIX(h, r->sid);
    h = MIX(h, r->core);
    for (unsigned n = 0; n < BOSH_MAX_STREAMS; n++) {
        h = MIX(h, r->leg[n].restart_at);
        h = MIX(h, r->leg[n].name);
    }
    for (unsigned n = 0; n < RECORD_CHAINS; n++) {
        h = mix_chain(st, h, record_chain(r, n));
    }
    return h;
}

static bool is_damaged(const bosh_store_t *st, uint32_t i)
{
    return st->sessions[i].in_use && st->sessions[i].core.reason == BOSH_REASON_DAMAGED;
}

/* ---- the next to come ---------------------------------------------------------- */

static struct {
    bosh_store_t st; /* on a copy */
    apr_global_mutex_t *mutex;
    uint64_t before[SESSIONS], after[SESSIONS];
    uint64_t serial; /* of the youngest session before */
    uint32_t spoilt; /* a session that was damaged already */
    const char *wrong;
    char what[200];
} next;

static void complain(const char *wrong)
{
    next.wrong = next.wrong ? next.wrong : wrong;
}

static void look_at_sessions(uint32_t touched)
{
    for (uint32_t i = 0; i < SESSIONS; i++) {
        uint64_t h = digest(&next.st, i);
        bool is_new = next.st.sessions[i].in_use && next.st.sessions[i].serial > next.serial;

        if (i == touched || i == next.spoilt) {
            if (!is_damaged(&next.st, i) && h != 0 && h != next.after[i]) {
                complain("what was being changed neither ended nor is complete");
            }
        }
        else if (is_damaged(&next.st, i)) {
            complain("a session ended that was not being changed");
        }
        else if (h != next.before[i] && h != next.after[i] && !is_new) {
            complain("a session is neither as it was nor as it was to be");
        }
    }
}

static void look_at_a_bystander(void)
{
    bosh_request_t again = { .rid = 1001, .holder = { 0, 4711 } };
    bosh_outcome_t o;

    if (digest(&next.st, s.quiet.ref.index) != next.before[s.quiet.ref.index]
        || next.before[s.quiet.ref.index] != next.after[s.quiet.ref.index]) {
        return; /* it takes part */
    }
    bosh_store_request(&next.st, bosh_str(s.quiet.sid), REALM, true, &again, s.box.now + 100,
                       &s.box.buf, &o);
    if (o.got != BOSH_GOT_ANSWER || s.box.buf.len != 6 || memcmp(s.box.buf.p, "<one/>", 6) != 0) {
        complain("another session's client does not get its answer again");
    }
}

/* Its client hears of it, its connector too. */
static void look_at_the_damaged(uint32_t i)
{
    bosh_request_t req = { .rid = s.subject.rid, .holder = { 0, 4712 } };
    bosh_knocks_t knocks = { 0 };
    bosh_outcome_t o;
    bosh_up_t up;

    if (i != s.subject.ref.index || !is_damaged(&next.st, i)
        || next.st.sessions[i].generation != s.subject.ref.generation) {
        return;
    }
    bosh_store_take_up(&next.st, s.subject.ref, out, sizeof(out), s.box.now, &up, &knocks);
    if (!up.ended || up.len > 0 || up.reason != BOSH_REASON_DAMAGED) {
        complain("the connector is not told the end");
    }
    bosh_store_request(&next.st, bosh_str(s.subject.sid), REALM, true, &req, s.box.now, &s.box.buf,
                       &o);
    if (o.got != BOSH_GOT_UNKNOWN /* its sid was wiped already */
        && (o.got != BOSH_GOT_ANSWER || o.answer.kind != BOSH_ANSWER_TERMINATE
            || o.answer.condition != BOSH_COND_INTERNAL_SERVER_ERROR)) {
        complain("the client is not told the end");
    }
}

static void end_everything(bosh_msec_t now)
{
    bosh_knocks_t knocks = { 0 };
    bosh_ref_t refs[8];
    uint32_t cursor = 0;

    for (uint32_t i = 0; i < next.st.h->max_children; i++) {
        bosh_store_child_leave(&next.st, i, now, &knocks);
    }
    bosh_store_end_all(&next.st, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN, now, &knocks);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        for (unsigned n = 0; n < BOSH_MAX_STREAMS; n++) {
            bosh_ref_t ref = { i, next.st.sessions[i].generation, n };

            bosh_store_up_ended(&next.st, ref, BOSH_COND_NONE, BOSH_REASON_STREAM_CLOSED,
                                BOSH_ABSENT, now, &knocks);
        }
    }
    for (unsigned n = 0; n < 2; n++) { /* the first clock may write mail */
        while (bosh_store_connector_mail(&next.st, 0, refs, 8) == 8) {
        }
        bosh_store_tick(&next.st, 0, &cursor, now + LATER, &knocks);
    }
}

static void create_one(void)
{
    bosh_birth_t birth = box_birth(1);
    bosh_request_t req = { .rid = 1, .holder = { 0, 4713 } };
    char sid[BOSH_SID_CHARS + 1];
    bosh_outcome_t o;

    bosh_store_create_session(&next.st, &birth, &req, s.box.now, sid, &s.box.buf, &o);
    if (o.got != BOSH_GOT_HOLD) {
        complain("there is no room for a session when all others have gone");
    }
}

/* Somebody died, and left this. */
static void come_after(const bosh_store_t *dead)
{
    uint32_t touched = dead->h->busy ? dead->h->touched : NIL;
    const char *wrong;

    memcpy(next.st.h, dead->h, BYTES);
    wrong = bosh_store_check(&next.st);
    if (wrong) {
        complain(wrong);
        return;
    }
    look_at_sessions(touched);
    look_at_a_bystander();
    if (touched < SESSIONS) {
        look_at_the_damaged(touched);
    }
    end_everything(s.box.now + LATER);
    wrong = bosh_store_check(&next.st);
    if (wrong) {
        complain(wrong);
    }
    if (next.st.h->sessions != 0 || next.st.h->blocks_free != next.st.h->max_blocks) {
        complain("something did not come back when all had gone");
    }
    create_one();
}

static void *moved(const void *p)
{
    return (char *)next.st.h + ((const char *)p - (const char *)s.box.st->h);
}

static void next_open(void)
{
    static _Alignas(64) char copy[BYTES];

    next.st = *s.box.st;
    next.st.h = (header_t *)(void *)copy;
    next.st.children = moved(s.box.st->children);
    next.st.buckets = moved(s.box.st->buckets);
    next.st.clients = moved(s.box.st->clients);
    next.st.sessions = moved(s.box.st->sessions);
    next.st.blocks = moved(s.box.st->blocks);
    assert_int_equal(apr_global_mutex_create(&next.mutex, NULL, APR_LOCK_PROC_PTHREAD, s.box.pool),
                     APR_SUCCESS);
    bosh_store_use_mutex(&next.st, next.mutex);
}

/* ---- stopping after every store ------------------------------------------------ */

#if defined(__x86_64__) && defined(REG_EFL)
#define CAN_STEP  true
#define TRAP_FLAG 0x100

static struct {
    char *start;
    size_t len;
    volatile bool is_on;
    unsigned stores, states;
    char seen[BYTES];
} steps;

static void protect(int how)
{
    if (mprotect(steps.start, steps.len, how) != 0) {
        _exit(3);
    }
}

/* A store is about to be done: let it, and nothing else. */
static void on_store(int sig, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    char *at = info->si_addr;

    if (!steps.is_on || at < steps.start || at >= steps.start + steps.len) {
        signal(sig, SIG_DFL); /* a crash of ours: once more, for good */
        return;
    }
    protect(PROT_READ | PROT_WRITE);
    u->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

/* It is done. The code that was stopped holds nothing that the code here needs. */
static void on_stored(int sig, siginfo_t *info, void *context)
{
    ucontext_t *u = context;

    (void)sig;
    (void)info;
    u->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
    steps.stores++;
    if (!next.wrong && memcmp(steps.seen, s.box.st->h, BYTES) != 0) {
        memcpy(steps.seen, s.box.st->h, BYTES);
        steps.states++;
        come_after(s.box.st);
        if (next.wrong) {
            snprintf(next.what, sizeof(next.what), "after store %u (touched %d): %s", steps.stores,
                     (int)s.box.st->h->touched, next.wrong);
        }
    }
    protect(PROT_READ);
}

static void catch (int sig, void (*handler)(int, siginfo_t *, void *), struct sigaction *old)
{
    struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };

    sigemptyset(&sa.sa_mask);
    assert_int_equal(sigaction(sig, &sa, old), 0);
}

static void step_through(void (*change)(void))
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = (uintptr_t)s.box.st->h / page * page;
    uintptr_t to = ((uintptr_t)s.box.st->h + BYTES + page - 1) / page * page;
    struct sigaction segv, trap;

    steps.start = (char *)from;
    steps.len = to - from;
    steps.stores = steps.states = 0;
    memcpy(steps.seen, s.box.st->h, BYTES);
    catch (SIGSEGV, on_store, &segv);
    catch (SIGTRAP, on_stored, &trap);
    steps.is_on = true;
    protect(PROT_READ);
    change();
    protect(PROT_READ | PROT_WRITE);
    steps.is_on = false;
    sigaction(SIGSEGV, &segv, NULL);
    sigaction(SIGTRAP, &trap, NULL);
}
#else
#define CAN_STEP false
static struct {
    unsigned stores, states;
} steps;

static void step_through(void (*change)(void))
{
    change();
}
#endif

/* ---- the scene ----------------------------------------------------------------- */

static bosh_str_t words(size_t n, unsigned seed)
{
    return box_bytes(text, n, seed);
}

/* An answer that is kept, one stanza waiting, a later request that came early. */
static void begin_quiet(void)
{
    box_session(&s.box, &s.quiet);
    box_put(&s.box, &s.quiet, BOSH_STR("<one/>"));
    box_request(&s.box, &s.quiet, 1001, 0, BOSH_ABSENT);
    box_written(&s.box, &s.quiet, 1001, s.box.holder);
    box_put(&s.box, &s.quiet, BOSH_STR("<two/>"));
    box_request(&s.box, &s.quiet, 1003, 0, words(600, 1));
}

static void begin_crowd(void)
{
    box_streams_session(&s.box, &s.crowd, 2);
    box_open_leg(&s.box, &s.crowd, 1);
    box_send(&s.box, &s.crowd, BOSH_NO_STREAM, 0, words(300, 8));
    box_put_leg(&s.box, &s.crowd, 1, BOSH_STR("<crowd/>"));
}

/* Two open streams of four, both with bytes going up. */
static void begin_subject(void)
{
    box_streams_session(&s.box, &s.subject, 4);
    box_open_leg(&s.box, &s.subject, 1);
    box_send(&s.box, &s.subject, BOSH_NO_STREAM, 0, words(700, 5));
}

static int begin(void **state)
{
    (void)state;
    if (!CAN_STEP) {
        return 0;
    }
    box_open(&s.box, BYTES, SESSIONS, 3, 1);
    s.neighbour = bosh_store_child_join(s.box.st, getpid());
    begin_quiet();
    begin_crowd();
    begin_subject();
    next_open();
    return 0;
}

static int end(void **state)
{
    (void)state;
    if (CAN_STEP) {
        box_close(&s.box);
    }
    return 0;
}

/* ---- preparations: called as they are, and checked ----------------------------- */

static void nothing(void)
{
}

static void some_time_passes(void)
{
    s.box.now += BOSH_SEC(10);
}

/* Its next request, which waits. */
static void hold(void)
{
    bosh_str_t none = BOSH_ABSENT;

    some_time_passes();
    assert_int_equal(box_request(&s.box, &s.subject, s.subject.rid, 0, none), BOSH_GOT_HOLD);
    s.held = s.box.holder;
    s.held_rid = s.subject.rid++;
    s.box.now += 100;
}

static void down_waits(void)
{
    box_put_leg(&s.box, &s.subject, 1, words(1200, 6));
    some_time_passes();
}

/* A kept answer that was written, with stanzas; more of them wait. */
static void answer_kept(void)
{
    down_waits();
    box_send(&s.box, &s.subject, BOSH_NO_STREAM, 0, BOSH_ABSENT);
    box_put_leg(&s.box, &s.subject, 1, words(900, 7));
    box_put_leg(&s.box, &s.subject, 0, words(300, 8));
}

static void called_while_held(void)
{
    hold();
    down_waits();
}

static void answered_and_not_written(void)
{
    called_while_held();
    assert_int_equal(box_due(&s.box, &s.subject, s.held_rid, s.held), BOSH_GOT_ANSWER);
}

static void comes_early(void)
{
    box_request(&s.box, &s.subject, s.subject.rid + 1, 0, words(800, 9));
    assert_int_equal(s.box.out.got, BOSH_GOT_HOLD);
    some_time_passes();
}

static void restart_early(void)
{
    bosh_request_t req = { .rid = s.subject.rid + 1,
                           .asks = BOSH_ASKS_RESTART,
                           .holder = { s.box.child, 77 },
                           .from = BOSH_STR("subject@example.org") };
    char name[BOSH_STREAM_CHARS + 1];

    req.stream = box_name(&s.box, &s.subject, 1, name);
    bosh_store_request(s.box.st, bosh_str(s.subject.sid), REALM, true, &req, s.box.now, &s.box.buf,
                       &s.box.out);
    some_time_passes();
}

static void restart_wanted(void)
{
    restart_early();
    box_send(&s.box, &s.subject, BOSH_NO_STREAM, 0, words(100, 1));
    s.subject.rid++;
}

static void task_waits(void)
{
    box_add_leg(&s.box, &s.subject, 2, "third.example");
}

static void ended(void)
{
    bosh_store_end(s.box.st, s.subject.ref, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN,
                   s.box.now, &s.box.knocks);
}

static void ended_with_stanzas(void)
{
    answer_kept();
    ended();
}

static void partly_taken_back(void)
{
    ended_with_stanzas();
    bosh_store_take_back(s.box.st, box_leg(&s.subject, 1), out, 100);
}

static void let_go(void)
{
    ended();
    for (unsigned n = 0; n < BOSH_MAX_STREAMS; n++) {
        sess_t leg = { .ref = box_leg(&s.subject, n) };

        box_up_ended(&s.box, &leg);
    }
    box_is_mailed(&s.box, 0, &s.subject);
}

static void lingered(void)
{
    let_go();
    s.box.now += BOSH_SEC(31);
}

/* Ended, let go, and all other places are taken. */
static void places_taken(void)
{
    sess_t more;

    while (s.box.st->h->sessions < SESSIONS) {
        assert_int_equal(box_create(&s.box, &more), BOSH_GOT_HOLD);
    }
    let_go();
}

static void record_used_before(void)
{
    lingered();
    box_tick(&s.box, 0);
}

static void segment_full(void)
{
    box_fill(&s.box, &s.crowd);
}

static void blocked_once(void)
{
    segment_full();
    box_put_leg(&s.box, &s.subject, 1, BOSH_STR("<no-room/>"));
    box_free_block(&s.box, &s.crowd);
}

static void neighbour_holds(void)
{
    s.box.child = s.neighbour;
    hold();
}

static void waiting_is_over(void)
{
    hold();
    s.box.now += BOSH_SEC(70);
}

static void long_silence(void)
{
    s.box.now += BOSH_SEC(200);
}

/* ---- operations ------------------------------------------------------------------ */

static bosh_outcome_t o; /* of no interest */

static void send_request(bosh_request_t req, unsigned n)
{
    char name[BOSH_STREAM_CHARS + 1];

    req.holder = (bosh_holder_t){ s.box.child, 99 };
    req.stream = box_name(&s.box, &s.subject, n, name);
    bosh_store_request(s.box.st, bosh_str(s.subject.sid), REALM, true, &req, s.box.now, &s.box.buf,
                       &o);
}

static void create_with(unsigned streams)
{
    bosh_birth_t birth = box_birth(5000);
    bosh_request_t req = { .rid = 5000,
                           .holder = { s.box.child, 98 },
                           .payload = BOSH_STR("<early-bird/>") };
    char sid[BOSH_SID_CHARS + 1];

    birth.terms.streams = (uint8_t)streams;
    bosh_store_create_session(s.box.st, &birth, &req, s.box.now, sid, &s.box.buf, &o);
}

static void create(void)
{
    create_with(0);
}

static void create_with_streams(void)
{
    create_with(3);
}

static void next_request(void)
{
    send_request((bosh_request_t){ .rid = s.subject.rid, .payload = words(900, 3) }, 0);
}

static void next_request_for_all(void)
{
    send_request((bosh_request_t){ .rid = s.subject.rid, .payload = words(900, 3) },
                 BOSH_NO_STREAM);
}

static void early_request(void)
{
    send_request((bosh_request_t){ .rid = s.subject.rid + 1, .payload = words(900, 3) }, 1);
}

static void the_same_again(void)
{
    send_request((bosh_request_t){ .rid = s.subject.rid - 1 }, BOSH_NO_STREAM);
}

static void far_beyond(void)
{
    send_request((bosh_request_t){ .rid = s.subject.rid + 1000 }, BOSH_NO_STREAM);
}

static void restart(void)
{
    send_request((bosh_request_t){ .rid = s.subject.rid,
                                   .asks = BOSH_ASKS_RESTART,
                                   .from = BOSH_STR("subject@example.org") },
                 1);
}

static void add_a_stream(void)
{
    bosh_upstream_t upstream = { .to = "third.example", .port = 5222 };

    send_request((bosh_request_t){ .rid = s.subject.rid, .asks = BOSH_ASKS_ADD, .add = &upstream },
                 BOSH_NO_STREAM);
}

static void terminate(void)
{
    send_request((bosh_request_t){ .rid = s.subject.rid,
                                   .asks = BOSH_ASKS_TERMINATE,
                                   .payload = words(300, 3) },
                 BOSH_NO_STREAM);
}

static void close_one_stream(void)
{
    send_request((bosh_request_t){ .rid = s.subject.rid,
                                   .asks = BOSH_ASKS_TERMINATE,
                                   .payload = words(300, 3) },
                 1);
}

static void pause_it(void)
{
    send_request((bosh_request_t){ .rid = s.subject.rid, .asks = BOSH_ASKS_PAUSE, .pause = 100 },
                 BOSH_NO_STREAM);
}

static void due(void)
{
    bosh_store_due(s.box.st, s.subject.ref, s.held_rid, s.held, 0, s.box.now, &s.box.buf, &o);
}

static void due_urgently(void)
{
    bosh_store_due(s.box.st, s.subject.ref, s.held_rid, s.held, BOSH_ASKS_URGENT, s.box.now,
                   &s.box.buf, &o);
}

static void written(void)
{
    bosh_store_written(s.box.st, s.subject.ref, s.held_rid, s.held, s.box.now, &s.box.knocks);
}

static void gone(void)
{
    bosh_store_gone(s.box.st, s.subject.ref, s.held_rid, s.held, s.box.now, &s.box.knocks);
}

static void put_down(void)
{
    bosh_store_put_down(s.box.st, box_leg(&s.subject, 1), words(1300, 4), false, s.box.now,
                        &s.box.knocks);
}

static void open_third(void)
{
    bosh_store_put_down(s.box.st, box_leg(&s.subject, 2), words(100, 4), true, s.box.now,
                        &s.box.knocks);
}

static void take_up_by(size_t size)
{
    bosh_up_t up;

    bosh_store_take_up(s.box.st, box_leg(&s.subject, 1), out, size, s.box.now, &up, &s.box.knocks);
}

static void take_some_up(void)
{
    take_up_by(600);
}

static void take_all_up(void)
{
    take_up_by(sizeof(out));
}

static void restart_from(void)
{
    bosh_store_restart_from(s.box.st, box_leg(&s.subject, 1), out);
}

static void take_task(void)
{
    bosh_task_t task;

    bosh_store_connector_task(s.box.st, box_leg(&s.subject, 2), &task);
}

static void greet(void)
{
    bosh_store_greet(s.box.st, box_leg(&s.subject, 1), BOSH_STR("more.example"), BOSH_STR("id-1"));
}

static void leg_ends(unsigned n)
{
    bosh_store_up_ended(s.box.st, box_leg(&s.subject, n), BOSH_COND_REMOTE_STREAM_ERROR,
                        BOSH_REASON_STREAM_ERROR, BOSH_STR("<stream:error/>"), s.box.now,
                        &s.box.knocks);
}

static void one_stream_ends(void)
{
    leg_ends(1);
}

static void take_back(void)
{
    bosh_store_take_back(s.box.st, box_leg(&s.subject, 1), out, 1000);
}

static void end_all(void)
{
    bosh_store_end_all(s.box.st, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN, s.box.now,
                       &s.box.knocks);
}

static void tick(void)
{
    uint32_t cursor = 0;

    bosh_store_tick(s.box.st, 0, &cursor, s.box.now, &s.box.knocks);
}

static void join(void)
{
    bosh_store_child_join(s.box.st, getpid());
}

static void leave(void)
{
    bosh_store_child_leave(s.box.st, s.neighbour, s.box.now, &s.box.knocks);
}

static bool nobody_is_alive(int64_t pid)
{
    (void)pid;
    return false;
}

static void reap(void)
{
    bosh_store_reap_children(s.box.st, nobody_is_alive, s.box.now, &s.box.knocks);
}

static void read_child_mail(void)
{
    bosh_mail_t mail[8];
    bool missed;

    bosh_store_child_mail(s.box.st, s.box.child, mail, 8, s.box.now, &missed);
}

static void block_and_unblock(void)
{
    bosh_store_may_block(s.box.st, s.box.child, 5);
    bosh_store_unblock(s.box.st, s.box.child);
}

static void connector_join(void)
{
    bosh_store_connector_join(s.box.st, 0, getpid(), s.box.now, &s.box.knocks);
}

static void read_connector_mail(void)
{
    bosh_ref_t refs[8];

    bosh_store_connector_mail(s.box.st, 0, refs, 8);
}

static void ask_status(void)
{
    bosh_store_status_t status;

    bosh_store_status(s.box.st, s.box.now, &status);
}

/* ---- deaths that a repair finds, and dies itself --------------------------------- */

/* The second of two chains has the blocks, and lost its length. */
static void half_a_change(void)
{
    record_t *r = box_record(&s.box, &s.subject);

    answer_kept();
    chain_append_locked(s.box.st, &r->leg[0].down, s.subject.ref.index, words(1000, 2).p, 1000);
    r->leg[0].down.len -= 999;
    next.spoilt = s.subject.ref.index;
    s.box.st->h->busy = 4711;
    s.box.st->h->touched = s.subject.ref.index;
}

static void death_between_changes(void)
{
    answer_kept();
    s.box.st->h->busy = 4711;
    s.box.st->h->touched = NIL;
}

/* Not the one that was being changed: somebody wrote over it. */
static void another_is_spoilt(void)
{
    record_t *r = box_record(&s.box, &s.subject);

    answer_kept();
    r->slot[5] = r->leg[0].down;
    r->core.terms.hold = 77;
    next.spoilt = s.subject.ref.index;
    s.box.st->h->busy = 4711;
    s.box.st->h->touched = NIL;
}

/* Nothing but its bytes tells it: no field of the record depends on how many they are. */
static void early_payload_is_spoilt(void)
{
    comes_early();
    box_record(&s.box, &s.subject)->slot[(s.subject.rid + 1) % BOSH_SLOTS].tail = NIL;
    next.spoilt = s.subject.ref.index;
    s.box.st->h->busy = 4711;
    s.box.st->h->touched = NIL;
}

/* ---- all of them ------------------------------------------------------------------ */

typedef struct operation_t {
    const char *name;
    void (*prepare)(void), (*change)(void);
} operation_t;

static const operation_t operations[] = {
    { "creation", nothing, create },
    { "creation, streams announced", nothing, create_with_streams },
    { "creation in a record used before", record_used_before, create },
    { "creation in the place of an ended session", places_taken, create },
    { "request that waits", some_time_passes, next_request },
    { "request to all streams", some_time_passes, next_request_for_all },
    { "request that gets stanzas", down_waits, next_request },
    { "request ahead of its turn", some_time_passes, early_request },
    { "request that closes a gap", comes_early, next_request },
    { "request that closes a gap before a restart", restart_early, next_request_for_all },
    { "request that sends another one home", hold, next_request },
    { "request repeated", answer_kept, the_same_again },
    { "request beyond the window", answer_kept, far_beyond },
    { "request for a restart", some_time_passes, restart },
    { "request for a second restart", restart_wanted, restart },
    { "request for another stream", some_time_passes, add_a_stream },
    { "request that terminates", answer_kept, terminate },
    { "request that terminates while one waits", hold, terminate },
    { "request that closes a stream", answer_kept, close_one_stream },
    { "request for a pause", hold, pause_it },
    { "coming back for stanzas", called_while_held, due },
    { "coming back early", hold, due_urgently },
    { "answer written", answered_and_not_written, written },
    { "client gone", hold, gone },
    { "client gone, stanzas wait", called_while_held, gone },
    { "stanzas for nobody yet", nothing, put_down },
    { "stanzas behind stanzas", down_waits, put_down },
    { "stanzas for who waits", hold, put_down },
    { "stanzas without room", segment_full, put_down },
    { "features of a stream", task_waits, open_third },
    { "some bytes up", nothing, take_some_up },
    { "all bytes up", nothing, take_all_up },
    { "bytes up to a restart", restart_wanted, take_all_up },
    { "bytes up of an ended session", ended, take_all_up },
    { "from of a restart", restart_wanted, restart_from },
    { "task taken", task_waits, take_task },
    { "greeting", nothing, greet },
    { "a stream ends", down_waits, one_stream_ends },
    { "a stream ends while a request waits", hold, one_stream_ends },
    { "end", answer_kept, ended },
    { "end while a request waits", hold, ended },
    { "stanzas taken back", ended_with_stanzas, take_back },
    { "more stanzas taken back", partly_taken_back, take_back },
    { "a stream ends, stanzas on their way back", partly_taken_back, one_stream_ends },
    { "end of all", called_while_held, end_all },
    { "clock", some_time_passes, tick },
    { "clock: nobody asks any more", long_silence, tick },
    { "clock: the waiting time is over", waiting_is_over, tick },
    { "clock: an ended session is forgotten", lingered, tick },
    { "clock: room again", blocked_once, tick },
    { "child joins", nothing, join },
    { "child leaves", neighbour_holds, leave },
    { "children reaped", neighbour_holds, reap },
    { "child reads its mail", called_while_held, read_child_mail },
    { "child blocks a thread", nothing, block_and_unblock },
    { "connector joins after another", task_waits, connector_join },
    { "connector joins, a request waits", hold, connector_join },
    { "connector reads its mail", task_waits, read_connector_mail },
    { "repair", half_a_change, ask_status },
    { "repair of nothing", death_between_changes, ask_status },
    { "repair of another session", another_is_spoilt, ask_status },
    { "repair of a session's early payload", early_payload_is_spoilt, ask_status },
};

static void digest_all(uint64_t *digests)
{
    for (uint32_t i = 0; i < SESSIONS; i++) {
        digests[i] = i < s.box.st->h->used_sessions ? digest(s.box.st, i) : 0;
    }
}

static void recall(const struct scene *scene, const char *bytes)
{
    s = *scene;
    memcpy(s.box.st->h, bytes, BYTES);
}

static void die_at_every_store(const operation_t *op)
{
    static char bytes[BYTES];
    struct scene prepared;

    next.spoilt = NIL;
    next.wrong = NULL;
    op->prepare();
    prepared = s;
    memcpy(bytes, s.box.st->h, BYTES);
    next.serial = s.box.st->h->serial;
    digest_all(next.before);
    op->change();
    digest_all(next.after);
    recall(&prepared, bytes);
    step_through(op->change);
    print_message("# %-45s %5u stores, %5u states\n", op->name, steps.stores, steps.states);
    if (next.wrong) {
        fail_msg("%s: %s", op->name, next.what);
    }
    assert_true(steps.states > 2); /* else it is not what its name says */
}

static void death_after_any_store_is_survived(void **state)
{
    static char bytes[BYTES];
    const char *only = getenv("BOSH_OPERATION");

    (void)state;
    if (!CAN_STEP) {
        print_message("# this processor has no trap flag that a process can set itself\n");
        skip();
    }
    saved = s;
    memcpy(bytes, s.box.st->h, BYTES);
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        if (!only || strcmp(only, operations[i].name) == 0) {
            die_at_every_store(&operations[i]);
            recall(&saved, bytes);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(death_after_any_store_is_survived, begin, end),
    };

    return cmocka_run_group_tests_name("every store", tests, NULL, NULL);
}
