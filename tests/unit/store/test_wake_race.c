/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Stanzas come in the very moment in which a request is being parked, in the one child or
 * in the other. A million times, in any order of the steps that can come between each
 * other: nobody may sleep while something waits for him.
 *
 * Each call of the store is one step, since it has the lock. The steps of the waiting room
 * are those of front/room.c, each under its mutex: a knock is heard, the door is opened,
 * the mail is read, a guest is parked. Its sweep, which makes good what is lost, is not
 * played: nothing may need it.
 */

#include "box.h"

#include <string.h>

#include "../core/rng.h"
#include "../core/unit.h"

#define CHILDREN 2
#define CLOSE_BY BOSH_SEC(1) /* further off: that is no time to be called at, but a limit */

#ifdef __SANITIZE_ADDRESS__
#define TRIALS 100000
#else
#define TRIALS 1000000
#endif

typedef enum state_t { AWAY, ASKING, HELD, PARKED, CALLED } state_t;

/* A client's request, with the worker that has it. */
typedef struct guest_t {
    state_t state;
    uint64_t rid;
    bosh_holder_t holder;
    bosh_msec_t until, called;
    bosh_msec_t due; /* what the store said */
} guest_t;

/* A child's waiting room: its thread sleeps, or has opened the door. */
typedef struct room_t {
    uint32_t child;
    bool knocked; /* there are bytes in the pipe */
    bool awake;   /* the first half of waking up is done */
} room_t;

static struct {
    box_t box;
    sess_t sess;
    guest_t guests[2];
    room_t rooms[CHILDREN];
    bosh_knocks_t to_send; /* by the connector */
    unsigned to_put;
    bool wrong_order; /* mail is read before the door is opened */
    unsigned answers, slept;
} w;

static rng_t rng;

static void deliver(bosh_knocks_t *knocks)
{
    for (unsigned i = 0; i < CHILDREN; i++) {
        if (knocks->children[0] & UINT64_C(1) << w.rooms[i].child) {
            w.rooms[i].knocked = true;
        }
    }
    memset(knocks, 0, sizeof(*knocks));
}

/* ---- a worker: one step each ------------------------------------------------------ */

static void take_outcome(guest_t *g, bosh_outcome_t *o)
{
    bosh_knocks_t knocks = { 0 };

    deliver(&o->knocks);
    if (o->got == BOSH_GOT_HOLD) {
        g->state = HELD;
        g->due = o->due;
        return;
    }
    assert_int_equal(o->got, BOSH_GOT_ANSWER);
    assert_int_equal(o->answer.kind, BOSH_ANSWER_DATA);
    bosh_store_written(w.box.st, w.sess.ref, g->rid, g->holder, w.box.now, &knocks);
    deliver(&knocks);
    g->state = AWAY;
    w.answers++;
}

static void ask(guest_t *g)
{
    bosh_request_t req = { .rid = g->rid, .holder = g->holder, .payload = BOSH_STR("x") };
    bosh_outcome_t o;

    bosh_store_request(w.box.st, bosh_str(w.sess.sid), REALM, true, &req, w.box.now, &w.box.buf,
                       &o);
    take_outcome(g, &o);
}

/* See next_look() in room.c. */
static void park(guest_t *g)
{
    bosh_msec_t due = g->due ? g->due : w.box.now + BOSH_SEC(30);

    g->until = g->called && g->called < due ? g->called : due;
    g->called = 0;
    g->state = PARKED;
}

static void come_back(guest_t *g)
{
    bosh_outcome_t o;

    bosh_store_due(w.box.st, w.sess.ref, g->rid, g->holder, 0, w.box.now, &w.box.buf, &o);
    take_outcome(g, &o);
}

/* ---- a room's thread ----------------------------------------------------------------- */

static void on_mail(const bosh_mail_t *mail)
{
    bosh_msec_t due = mail->due > w.box.now ? mail->due : w.box.now;

    for (unsigned i = 0; i < 2; i++) {
        guest_t *g = &w.guests[i];

        if (g->state == AWAY || g->holder.ticket != mail->ticket) {
            continue;
        }
        if (g->state != PARKED) {
            g->called = g->called && g->called < due ? g->called : due;
        }
        else {
            g->until = due;
        }
    }
}

static void read_mail(room_t *r)
{
    bosh_mail_t mail[4];
    bool missed;
    unsigned n = bosh_store_child_mail(w.box.st, r->child, mail, 4, w.box.now, &missed);

    assert_false(missed);
    for (unsigned i = 0; i < n; i++) {
        on_mail(&mail[i]);
    }
    assert_true(n < 4);
}

static void stir(room_t *r)
{
    if (r->awake == w.wrong_order) {
        r->knocked = false; /* opens the door */
    }
    else {
        read_mail(r);
    }
    r->awake = !r->awake;
}

static bool run_timers(void)
{
    bool any = false;

    for (unsigned i = 0; i < 2; i++) {
        if (w.guests[i].state == PARKED && w.guests[i].until <= w.box.now) {
            w.guests[i].state = CALLED;
            any = true;
        }
    }
    return any;
}

/* ---- whose turn it is ------------------------------------------------------------------ */

static bool can_step(unsigned actor)
{
    if (actor < 2) {
        return w.guests[actor].state != AWAY && w.guests[actor].state != PARKED;
    }
    if (actor < 2 + CHILDREN) {
        return w.rooms[actor - 2].awake || w.rooms[actor - 2].knocked;
    }
    return actor == 2 + CHILDREN ? w.to_send.any : w.to_put > 0 && !w.to_send.any;
}

#define ACTORS (2 + CHILDREN + 2)

static void step_guest(guest_t *g)
{
    switch (g->state) {
    case ASKING: ask(g); break;
    case HELD: park(g); break;
    default: come_back(g);
    }
}

static void step(unsigned actor)
{
    if (actor < 2) {
        step_guest(&w.guests[actor]);
    }
    else if (actor < 2 + CHILDREN) {
        stir(&w.rooms[actor - 2]);
    }
    else if (actor == 2 + CHILDREN) {
        deliver(&w.to_send);
    }
    else {
        w.to_put--;
        assert_int_equal(bosh_store_put_down(w.box.st, w.sess.ref, BOSH_STR("<m/>"), false,
                                             w.box.now, &w.to_send),
                         BOSH_PUT_OK);
    }
}

/* False: nobody has anything to do now. */
static bool step_somebody(void)
{
    unsigned first = rng_below(&rng, ACTORS);

    for (unsigned i = 0; i < ACTORS; i++) {
        unsigned actor = (first + i) % ACTORS;

        if (can_step(actor)) {
            step(actor);
            return true;
        }
    }
    return run_timers();
}

static unsigned count(state_t state)
{
    return (w.guests[0].state == state) + (w.guests[1].state == state);
}

/* All sleep. When is the next timer? */
static bool sleep_a_little(void)
{
    bosh_msec_t next = INT64_MAX;

    for (unsigned i = 0; i < 2; i++) {
        if (w.guests[i].state == PARKED && w.guests[i].until < next) {
            next = w.guests[i].until;
        }
    }
    if (next > w.box.now + CLOSE_BY) {
        return false;
    }
    w.box.now = next;
    return true;
}

static void until_all_sleep(void)
{
    do {
        while (step_somebody()) {
        }
    } while (sleep_a_little());
    if (count(PARKED) > 0 && box_record(&w.box, &w.sess)->leg[0].down.len > 0) {
        w.slept++;
    }
    if (count(PARKED) > 1) { /* hold='1' */
        w.slept++;
    }
}

/* ---- trials ------------------------------------------------------------------------------ */

static void new_request(void)
{
    guest_t *g = w.guests[0].state == AWAY ? &w.guests[0] : &w.guests[1];

    *g = (guest_t){ .state = ASKING,
                    .rid = w.sess.rid++,
                    .holder = { w.rooms[rng_below(&rng, CHILDREN)].child, ++w.box.tickets } };
}

static void bytes_go_up(void)
{
    bosh_knocks_t knocks = { 0 };
    bosh_ref_t refs[4];
    char up[64];
    bosh_up_t u;

    bosh_store_connector_mail(w.box.st, 0, refs, 4);
    bosh_store_take_up(w.box.st, w.sess.ref, up, sizeof(up), w.box.now, &u, &knocks);
    deliver(&knocks);
}

static void run(uint64_t trials)
{
    for (uint64_t i = 0; i < trials && !(w.wrong_order && w.slept); i++) {
        if (w.guests[0].state == AWAY || w.guests[1].state == AWAY) {
            new_request();
        }
        w.to_put = rng_below(&rng, 3);
        until_all_sleep();
        if (w.slept && !w.wrong_order) {
            fail_msg("trial %llu: somebody sleeps, and should not", (unsigned long long)i);
        }
        bytes_go_up();
        w.box.now += rng_below(&rng, 60);
        if (i % 50000 == 0) {
            box_check(&w.box);
        }
    }
}

static int begin(void **state)
{
    (void)state;
    memset(&w, 0, sizeof(w));
    box_open(&w.box, 1 << 20, 4, CHILDREN, 1);
    box_session(&w.box, &w.sess);
    w.rooms[0].child = w.box.child;
    w.rooms[1].child = bosh_store_child_join(w.box.st, 4711);
    for (unsigned i = 0; i < CHILDREN; i++) {
        read_mail(&w.rooms[i]);
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    box_close(&w.box);
    return 0;
}

static void nobody_sleeps_while_something_waits_for_him(void **state)
{
    uint64_t trials = env_number("BOSH_TRIALS", TRIALS);

    (void)state;
    rng = rng_seeded("wake race");
    run(trials);
    print_message("# %u answers in %llu trials\n", w.answers, (unsigned long long)trials);
    assert_true(w.answers > trials / 2);
}

/* These schedules find what they are to find. */
static void mail_read_before_the_door_is_opened_would_be_noticed(void **state)
{
    (void)state;
    rng = rng_seeded("wrong order");
    w.wrong_order = true;
    run(TRIALS);
    assert_int_not_equal(w.slept, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nobody_sleeps_while_something_waits_for_him, begin, end),
        cmocka_unit_test_setup_teardown(mail_read_before_the_door_is_opened_would_be_noticed, begin,
                                        end),
    };

    return cmocka_run_group_tests_name("wake race", tests, NULL, NULL);
}
