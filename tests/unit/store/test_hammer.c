/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Four processes hammer one segment, and one of them is killed each 200 ms, wherever
 * it is. What the others have in it must not lose a byte.
 */

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "box.h"

#include "../core/rng.h"
#include "../core/unit.h"
#include "store_int.h"

#define WORKERS  4
#define KILL_MS  200
#define SESSIONS 2 /* of each */

static box_t box;
static char words[9000];
static bool *stop; /* shared: the workers may go home */

/* ---- a worker: front and connector of its own sessions ------------------------- */

typedef struct hand_t {
    char sid[BOSH_SID_CHARS + 1];
    bosh_ref_t ref;
    uint64_t rid;
    bosh_str_t down; /* what its next answer must say */
    bosh_str_t last; /* what its last one said */
} hand_t;

static void complain(const char *what)
{
    fprintf(stderr, "# a worker: %s (got %d, kind %d, condition %d)\n", what, box.out.got,
            box.out.answer.kind, box.out.answer.condition);
    _exit(1);
}

/* Until the request is answered; the answer's bytes must be the ones that were put. */
static void finish(hand_t *h, bosh_holder_t holder)
{
    bosh_knocks_t knocks = { 0 };

    bosh_msec_t until = bosh_now() + BOSH_SEC(10);

    while (box.out.got == BOSH_GOT_HOLD) {
        if (bosh_now() > until) {
            complain("was left waiting");
        }
        bosh_store_due(box.st, h->ref, h->rid, holder, BOSH_ASKS_URGENT, bosh_now(), &box.buf,
                       &box.out);
    }
    if (box.out.got != BOSH_GOT_ANSWER || box.out.answer.kind == BOSH_ANSWER_TERMINATE) {
        complain("was not answered");
    }
    if (box.buf.len != h->down.len || memcmp(box.buf.p, h->down.p, h->down.len) != 0) {
        complain("got other bytes than were put");
    }
    h->last = h->down;
    h->down = (bosh_str_t){ "", 0 };
    bosh_store_written(box.st, h->ref, h->rid++, holder, bosh_now(), &knocks);
}

static void put_some(hand_t *h, rng_t *rng, bool opens)
{
    bosh_knocks_t knocks = { 0 };
    bosh_str_t xml = { words + rng_below(rng, 1000), 1 + rng_below(rng, 7000) };

    if (h->down.len == 0
        && bosh_store_put_down(box.st, h->ref, xml, opens, bosh_now(), &knocks) == BOSH_PUT_OK) {
        h->down = xml;
    }
}

static bosh_ref_t leg_of(const hand_t *h, unsigned n)
{
    bosh_ref_t ref = h->ref;

    ref.stream = n;
    return ref;
}

static void add_stream(hand_t *h, uint32_t child)
{
    bosh_upstream_t upstream = { .to = "more.example" };
    bosh_request_t req = { .rid = h->rid,
                           .asks = BOSH_ASKS_ADD | BOSH_ASKS_URGENT,
                           .add = &upstream,
                           .holder = { child, ++box.tickets } };
    bosh_knocks_t knocks = { 0 };
    bosh_task_t task;

    bosh_store_request(box.st, bosh_str(h->sid), REALM, true, &req, bosh_now(), &box.buf, &box.out);
    finish(h, req.holder);
    if (!bosh_store_connector_task(box.st, leg_of(h, 1), &task)
        || strcmp(task.upstream.to, upstream.to) != 0
        || bosh_store_put_down(box.st, leg_of(h, 1), BOSH_STR(""), true, bosh_now(), &knocks)
               != BOSH_PUT_OK) {
        complain("has no second stream");
    }
}

static void create(hand_t *h, uint32_t child, rng_t *rng)
{
    bosh_birth_t birth = box_birth(1000);
    bosh_request_t req = { .rid = 1000, .holder = { child, ++box.tickets } };
    bosh_task_t task;

    birth.terms.inactivity = 1;
    birth.terms.streams = 2;
    *h = (hand_t){ .rid = 1000, .down = { words, 0 }, .last = { words, 0 } };
    bosh_store_create_session(box.st, &birth, &req, bosh_now(), h->sid, &box.buf, &box.out);
    if (box.out.got != BOSH_GOT_HOLD) {
        complain("was not let in");
    }
    h->ref = box.out.ref;
    if (!bosh_store_connector_task(box.st, h->ref, &task)) {
        complain("has no task");
    }
    put_some(h, rng, true);
    finish(h, req.holder);
    add_stream(h, child);
}

static void exchange(hand_t *h, uint32_t child, rng_t *rng)
{
    bosh_knocks_t knocks = { 0 };
    bosh_request_t req = { .rid = h->rid,
                           .asks = BOSH_ASKS_URGENT,
                           .holder = { child, ++box.tickets },
                           .payload = { words + rng_below(rng, 1000), 1 + rng_below(rng, 7000) } };
    static char got[8000];

    bosh_store_request(box.st, bosh_str(h->sid), REALM, true, &req, bosh_now(), &box.buf, &box.out);
    finish(h, req.holder);
    for (unsigned leg = 0; leg < 2; leg++) { /* it was for all streams */
        bosh_up_t up;
        size_t n = 0;

        do {
            bosh_store_take_up(box.st, leg_of(h, leg), got + n, 1000, bosh_now(), &up, &knocks);
            n += up.len;
        } while (up.more && n < 7000);
        if (n != req.payload.len || memcmp(got, req.payload.p, n) != 0) {
            complain("other bytes went up than were sent");
        }
    }
    if (rng_one_in(rng, 3)) {
        put_some(h, rng, false);
    }
}

/* What the client did not hear of, and what never left, comes back. */
static void end_it(hand_t *h)
{
    static char back[20000];
    bosh_knocks_t knocks = { 0 };
    size_t n = 0, got;

    bosh_store_end(box.st, h->ref, BOSH_COND_NONE, BOSH_REASON_SHUTDOWN, bosh_now(), &knocks);
    do {
        got = bosh_store_take_back(box.st, h->ref, back + n, 1500);
        n += got;
    } while (got > 0);
    if (n != h->last.len + h->down.len || memcmp(back, h->last.p, h->last.len) != 0
        || memcmp(back + h->last.len, h->down.p, h->down.len) != 0) {
        complain("got other bytes back than were put");
    }
    for (unsigned leg = 0; leg < 2; leg++) {
        bosh_store_up_ended(box.st, leg_of(h, leg), BOSH_COND_NONE, BOSH_REASON_STREAM_CLOSED,
                            BOSH_ABSENT, bosh_now(), &knocks);
    }
}

static void work(uint32_t child, uint64_t seed)
{
    rng_t rng = { seed };
    hand_t hands[SESSIONS];

    alarm(40);
    bosh_store_use_mutex(box.st, box.mutex);
    for (unsigned i = 0; i < SESSIONS; i++) {
        create(&hands[i], child, &rng);
    }
    while (!__atomic_load_n(stop, __ATOMIC_ACQUIRE)) {
        hand_t *h = &hands[rng_below(&rng, SESSIONS)];

        if (rng_one_in(&rng, 1000)) {
            end_it(h);
            create(h, child, &rng);
        }
        exchange(h, child, &rng);
    }
    _exit(0);
}

/* ---- the parent: kills, replaces, keeps the clocks ------------------------------- */

typedef struct worker_t {
    pid_t pid;
    uint32_t child;
} worker_t;

static void hire(worker_t *w, uint64_t seed)
{
    w->child = bosh_store_child_join(box.st, getpid());
    assert_int_not_equal(w->child, BOSH_NO_CHILD);
    w->pid = fork();
    if (w->pid == 0) {
        work(w->child, seed);
    }
}

static void keep_clocks(void)
{
    bosh_ref_t refs[20];
    uint32_t cursor = 0;
    bosh_up_t up;
    unsigned n = bosh_store_connector_mail(box.st, 0, refs, 20);

    for (unsigned i = 0; i < n; i++) {
        bosh_store_take_up(box.st, refs[i], NULL, 0, bosh_now(), &up, &box.knocks);
        /* who shuts one down sees to its end */
        if (up.reason != BOSH_REASON_NONE && up.reason != BOSH_REASON_SHUTDOWN) {
            bosh_store_up_ended(box.st, refs[i], BOSH_COND_NONE, BOSH_REASON_STREAM_CLOSED,
                                BOSH_ABSENT, bosh_now(), &box.knocks);
        }
    }
    bosh_store_tick(box.st, 0, &cursor, bosh_now(), &box.knocks);
}

/* Stops it again and again, until it stands still inside the lock; false: it was never
 * caught there. */
static bool catch_inside(pid_t pid)
{
    for (unsigned n = 0; n < 1000; n++) {
        int status;

        kill(pid, SIGSTOP);
        assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
        assert_true(WIFSTOPPED(status));
        if (__atomic_load_n(&box.st->h->busy, __ATOMIC_ACQUIRE) == pid) {
            return true;
        }
        kill(pid, SIGCONT);
        nanosleep(&(struct timespec){ .tv_nsec = 10000 + 3000 * (n % 30) }, NULL);
    }
    return false;
}

static void dismiss(worker_t *w)
{
    int status;

    assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
    assert_int_equal(status, 0);
    bosh_store_child_leave(box.st, w->child, bosh_now(), &box.knocks);
}

/* True: it died inside the lock. */
static bool kill_worker(worker_t *w)
{
    bool is_inside = catch_inside(w->pid);
    int status;

    kill(w->pid, SIGKILL);
    assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
    assert_int_equal(status, SIGKILL);
    bosh_store_child_leave(box.st, w->child, bosh_now(), &box.knocks);
    return is_inside;
}

static void killed_processes_harm_only_their_own_sessions(void **state)
{
    bosh_msec_t ms = (bosh_msec_t)env_number("BOSH_HAMMER_MS", 2000), until;
    worker_t workers[WORKERS];
    bosh_store_status_t status;
    rng_t rng = rng_seeded("hammer");
    unsigned deaths = 0;

    (void)state;
    alarm((unsigned)(ms / 1000) + 40);
    box_open(&box, 16 << 20, 200, 8, 1);
    box_bytes(words, sizeof(words), 1);
    stop = mmap(NULL, sizeof(*stop), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    until = bosh_now() + ms;
    for (unsigned i = 0; i < WORKERS; i++) {
        hire(&workers[i], rng_next(&rng));
    }
    for (bosh_msec_t next = bosh_now() + KILL_MS; bosh_now() < until;) {
        keep_clocks();
        nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
        if (bosh_now() >= next) {
            worker_t *w = &workers[rng_below(&rng, WORKERS)];

            next += KILL_MS;
            deaths += kill_worker(w);
            box_check(&box);
            hire(w, rng_next(&rng));
        }
    }
    __atomic_store_n(stop, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < WORKERS; i++) {
        dismiss(&workers[i]);
    }
    bosh_store_status(box.st, bosh_now(), &status);
    print_message("# %u died inside, %u repairs\n", deaths, (unsigned)status.repairs);
    assert_true(status.repairs >= deaths);
    box_close(&box);
    alarm(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_processes_harm_only_their_own_sessions),
    };

    return cmocka_run_group_tests_name("hammer", tests, NULL, NULL);
}
