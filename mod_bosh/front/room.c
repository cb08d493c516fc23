/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * The waiting room: one thread per child that holds everything that waits, and calls
 * a worker when the time has come, when mail says so, or when a client stirs.
 */

#include "front_int.h"

#include <unistd.h>

#include "ap_mpm.h"
#include "mpm_common.h"
#include "apr_portable.h"
#include "apr_signal.h"

APLOG_USE_MODULE(bosh);

#define MAX_GUESTS 65536
#define SWEEP_MS   1000         /* longest sleep: mail whose knock was lost */
#define RECHECK_MS BOSH_SEC(30) /* for those who only wait for mail */
#define LINGER_MS  BOSH_SEC(2)
/* Who stays longer than this gives back the memory that its last request took. */
#define TRIM_MS    1000
/* The worker that let go of a connection may still touch it for a moment. */
#define GRACE_MS   200
#define MAIL_BATCH 128

static struct {
    apr_thread_mutex_t *mutex;
    apr_pollset_t *pollset;
    apr_thread_t *thread;
    apr_pollfd_t door;
    bosh_store_t *store;
    bosh_wake_t *wake;
    uint32_t child;
    bosh_msec_t asleep_until; /* 0: awake */
    guest_t *calling;         /* to be queued for workers; the thread's own list */
    bool closing;
    bool is_open;
} room;

bosh_store_t *room_store(void)
{
    return room.store;
}

uint32_t room_child(void)
{
    return room.child;
}

void room_send_knocks(bosh_knocks_t *knocks)
{
    bosh_wake_send(room.wake, knocks);
}

void room_rouse(void)
{
    apr_pollset_wakeup(room.pollset);
}

void room_lock(void)
{
    apr_thread_mutex_lock(room.mutex);
}

void room_unlock(void)
{
    apr_thread_mutex_unlock(room.mutex);
}

bosh_holder_t room_holder(guest_t *g)
{
    return (bosh_holder_t){ room.child, g->ticket };
}

/* ---- handing over ------------------------------------------------------- */

/* By the guest's worker, without the mutex: until the guest is handed over, the
 * thread takes no notice of what its socket does. */
static void poll_begin(guest_t *g)
{
    if (!g->polled && !g->c->master) {
        g->pfd = (apr_pollfd_t){
            .p = g->c->pool, .desc_type = APR_POLL_SOCKET, .reqevents = APR_POLLIN, .client_data = g
        };
        g->pfd.desc.s = ap_get_conn_socket(g->c);
        g->polled = apr_pollset_add(room.pollset, &g->pfd) == APR_SUCCESS;
    }
}

/* By the thread, once the guest is WORKING or DEAD. */
static void poll_end(guest_t *g)
{
    if (g->polled) {
        apr_pollset_remove(room.pollset, &g->pfd);
        g->polled = false;
    }
}

/* From here to the thread: mutex held. */

/* The thread is asleep, and would oversleep. */
static bool must_rouse(bosh_msec_t due)
{
    return room.asleep_until && due < room.asleep_until;
}

/* Workers get it when the thread has let go of the mutex: see send_called(). */
static void call(guest_t *g)
{
    timer_clear(g);
    g->state = GUEST_WORKING;
    g->called = 0;
    if (g->cond) {
        apr_thread_cond_signal(g->cond);
        return;
    }
    g->next = room.calling;
    room.calling = g;
}

static void die(guest_t *g)
{
    conn_rec *c = g->c;

    timer_clear(g);
    poll_end(g);
    g->state = GUEST_DEAD;
    ticket_return(g->ticket);
    g->ticket = 0;
    /* The MPM counts its connections by this state when their pool goes. */
    c->cs->state = CONN_STATE_SUSPENDED;
    apr_pool_destroy(c->pool);
}

/* ---- from workers ------------------------------------------------------- */

/* The mutex is held, and released here. */
static void hand_over(guest_t *g, guest_state_t state, bosh_msec_t due)
{
    bosh_msec_t trim = bosh_now() + TRIM_MS;
    bool rouse;

    g->state = state;
    g->until = due;
    g->trimmed = state == GUEST_LINGERING;
    timer_set(g, !g->trimmed && trim < due ? trim : due);
    rouse = must_rouse(due);
    room_unlock();
    if (rouse) {
        apr_pollset_wakeup(room.pollset);
    }
}

/* Mail that came while the guest was WORKING counts. */
static bosh_msec_t next_look(guest_t *g, bosh_msec_t due)
{
    bosh_msec_t now = bosh_now();

    if (room_is_emptying() && !(g->asks & BOSH_ASKS_URGENT)) {
        g->asks |= BOSH_ASKS_URGENT;
        return now;
    }
    due = due ? due : now + RECHECK_MS;
    return g->called && g->called < due ? g->called : due;
}

void room_park(guest_t *g, bosh_msec_t due)
{
    if (!g->hung_up && !(g->asks & BOSH_ASKS_URGENT)) {
        poll_begin(g);
    }
    room_lock();
    hand_over(g, GUEST_PARKED, next_look(g, due));
}

void room_idle(guest_t *g, bosh_msec_t until)
{
    poll_begin(g);
    room_lock();
    /* emptying_begin() hurried those who were idle then. */
    hand_over(g, GUEST_IDLE, room_is_emptying() ? bosh_now() : until);
}

void room_linger(guest_t *g, bool wait_for_client)
{
    if (wait_for_client) {
        poll_begin(g);
    }
    room_lock();
    hand_over(g, GUEST_LINGERING, bosh_now() + (wait_for_client ? LINGER_MS : GRACE_MS));
}

void room_block(guest_t *g, bosh_msec_t due)
{
    room_lock();
    g->state = GUEST_PARKED;
    g->until = next_look(g, due);
    g->trimmed = true; /* the thread's own pools */
    timer_set(g, g->until);
    if (must_rouse(g->due)) {
        apr_pollset_wakeup(room.pollset);
    }
    while (g->state == GUEST_PARKED) {
        apr_thread_cond_wait(g->cond, room.mutex);
    }
    room_unlock();
}

/* ---- the thread; mutex held in on_…() ----------------------------------- */

/* Leaving the pollset is a system call for each: not under the mutex, for which all
 * workers wait. */
static void send_called(void)
{
    guest_t *next;

    if (!room.calling) {
        return;
    }
    for (guest_t *g = room.calling; g; g = g->next) {
        poll_end(g);
    }
    room_lock();
    for (guest_t *g = room.calling; g; g = next) {
        next = g->next;
        queue_add(g);
    }
    room.calling = NULL;
    room_unlock();
}

/* Who is to be called sooner anyway, because the child ends for instance, asks the store then. */
static void on_mail(const bosh_mail_t *mail, bosh_msec_t now)
{
    guest_t *g = ticket_find(mail->ticket);
    bosh_msec_t due = mail->due > now ? mail->due : now;

    if (!g) {
        return;
    }
    if (g->state != GUEST_PARKED) {
        g->called = g->called && g->called < due ? g->called : due;
    }
    else if (due <= now) {
        call(g);
    }
    else if (due < g->until) {
        g->until = due;
        timer_set(g, due);
    }
}

static void call_parked(guest_t *g, bosh_msec_t now)
{
    if (g->state == GUEST_PARKED) {
        call(g);
    }
    else {
        g->called = now;
    }
}

static void read_mail(bosh_msec_t now)
{
    bosh_mail_t mail[MAIL_BATCH];
    bool missed;
    unsigned n;

    do {
        n = bosh_store_child_mail(room.store, room.child, mail, MAIL_BATCH, now, &missed);
        room_lock();
        for (unsigned i = 0; i < n; i++) {
            on_mail(&mail[i], now);
        }
        if (missed) {
            ticket_each(call_parked, now);
        }
        room_unlock();
    } while (n == MAIL_BATCH);
}

static void on_timer(guest_t *g, bosh_msec_t now)
{
    if (!g->trimmed && g->until > now) {
        g->trimmed = true;
        trim_connection(g->c);
        timer_set(g, g->until);
        return;
    }
    switch (g->state) {
    case GUEST_PARKED:
    case GUEST_IDLE: /* its worker sees that the time is over */ call(g); break;
    case GUEST_LINGERING: die(g); break;
    default: timer_clear(g); break;
    }
}

static void run_timers(bosh_msec_t now)
{
    guest_t *g;

    room_lock();
    while ((g = timer_first()) != NULL && g->due <= now) {
        on_timer(g, now);
    }
    queue_hurry(now);
    room_unlock();
}

/* The client sent something, or left, while its request was held. */
static void on_parked_socket(guest_t *g)
{
    bool urgent = false;

    g->hung_up = resume_is_hung_up(g->c, &urgent);
    if (urgent) {
        g->asks |= BOSH_ASKS_URGENT;
    }
    if (g->hung_up || urgent) {
        call(g);
    }
}

static void drain_lingering(guest_t *g)
{
    char bytes[2048];
    apr_size_t n = sizeof(bytes);
    apr_socket_t *sock = ap_get_conn_socket(g->c);

    apr_socket_timeout_set(sock, 0);
    if (!APR_STATUS_IS_EAGAIN(apr_socket_recv(sock, bytes, &n)) && n == 0) {
        poll_end(g);
        timer_set(g, bosh_now() + GRACE_MS);
    }
}

/* A WORKING guest is with a worker since the poll, or about to be handed over. */
static void on_socket(guest_t *g)
{
    if (g->state == GUEST_PARKED) {
        on_parked_socket(g);
    }
    else if (g->state == GUEST_IDLE) {
        call(g);
    }
    else if (g->state == GUEST_LINGERING) {
        drain_lingering(g);
    }
}

static apr_interval_time_t begin_sleep(bosh_msec_t now)
{
    guest_t *g;
    bosh_msec_t until = now + SWEEP_MS;

    room_lock();
    g = timer_first();
    if (g && g->due < until) {
        until = g->due > now ? g->due : now;
    }
    until = emptying_next_look(now, until);
    until = signals_next_look(now, until);
    until = queue_patience_ends(now, until);
    room.asleep_until = until;
    room_unlock();
    return (until - now) * 1000;
}

static void handle_sockets(apr_int32_t n, const apr_pollfd_t *fds)
{
    room_lock();
    room.asleep_until = 0;
    for (apr_int32_t i = 0; i < n; i++) {
        if (fds[i].client_data) {
            on_socket(fds[i].client_data);
        }
    }
    room_unlock();
}

static void look_around(bosh_msec_t now)
{
    emptying_look(now);
    signals_look(now);
    run_timers(now);
    send_called();
    if (emptying_without_workers()) {
        queue_see_all();
    }
}

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *data)
{
    bosh_msec_t now = bosh_now(), swept = 0;

    (void)thread;
    (void)data;
    apr_setup_signal_thread(); /* signals are for httpd's own threads */
    while (!__atomic_load_n(&room.closing, __ATOMIC_RELAXED)) {
        const apr_pollfd_t *fds = NULL;
        apr_int32_t n = 0;
        bool knocked = false;

        if (apr_pollset_poll(room.pollset, begin_sleep(now), &n, &fds) != APR_SUCCESS) {
            n = 0;
        }
        handle_sockets(n, fds);
        for (apr_int32_t i = 0; i < n; i++) {
            knocked = knocked || fds[i].client_data == NULL;
        }
        now = bosh_now();
        if (knocked) {
            bosh_wake_open_door(room.door.desc.f);
        }
        if (knocked || now - swept >= SWEEP_MS) {
            read_mail(now);
            swept = now;
        }
        look_around(now);
    }
    if (emptying_without_workers()) {
        look_around(bosh_now());
    }
    return NULL;
}

/* ---- life --------------------------------------------------------------- */

static apr_status_t watch_door(apr_pool_t *p)
{
    room.door = (apr_pollfd_t){ .p = p, .desc_type = APR_POLL_FILE, .reqevents = APR_POLLIN };
    room.door.desc.f = bosh_wake_child_door(room.wake, room.child);
    return apr_pollset_add(room.pollset, &room.door);
}

apr_status_t room_open(apr_pool_t *p, bosh_store_t *store, bosh_wake_t *wake, uint32_t child)
{
    apr_status_t rv;

    room.store = store;
    room.wake = wake;
    room.child = child;
    rv = apr_thread_mutex_create(&room.mutex, APR_THREAD_MUTEX_DEFAULT, p);
    if (rv == APR_SUCCESS) {
        rv = apr_pollset_create(&room.pollset, MAX_GUESTS, p,
                                APR_POLLSET_THREADSAFE | APR_POLLSET_NOCOPY | APR_POLLSET_WAKEABLE);
    }
    if (rv == APR_SUCCESS) {
        rv = watch_door(p);
    }
    if (rv == APR_SUCCESS) {
        rv = ap_thread_create(&room.thread, NULL, run, NULL, p);
    }
    __atomic_store_n(&room.is_open, rv == APR_SUCCESS, __ATOMIC_RELEASE);
    return rv;
}

bool room_is_open(void)
{
    return __atomic_load_n(&room.is_open, __ATOMIC_ACQUIRE);
}

void room_close(void)
{
    apr_status_t rv;

    __atomic_store_n(&room.closing, true, __ATOMIC_RELAXED);
    apr_pollset_wakeup(room.pollset);
    apr_thread_join(&rv, room.thread);
}
