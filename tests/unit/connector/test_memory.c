/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A connector, and memory that runs out: each of its allocations fails once, while a session
 * begins, talks and ends. It lives on, the session is served or ended with a condition, and
 * the next one finds nothing wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_portable.h>
#include <arpa/inet.h>
#include <netinet/in.h>

#include "bosh/connector.h"
#include "bosh/xml.h"

#include "../base/torture.h"

/* A connector's process exits when it is done, and so it leaves what it had. Leaks before that
 * are what this test counts. */
const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

#define REALM    1
#define PATIENCE BOSH_SEC(20)
#define GREETING                                                                              \
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' id='x' version='1.0' from='a'" \
    " xmlns:stream='" BOSH_NS_STREAMS "'><stream:features><bind "                             \
    "xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>"

static apr_pool_t *pool;
static bosh_store_t *store;
static bosh_wake_t *wake;
static bosh_connector_args_t args;
static pthread_t thread;
static int control, listener;
static uint16_t port;
static uint32_t child, tickets;
static char message[6000];

/* ---- the connector, in a thread of its own ----------------------------------------- */

static bool on_control(void *baton, bosh_msec_t *patience)
{
    (void)baton, (void)patience;
    return false;
}

static void *run(void *unused)
{
    apr_pool_t *p;

    (void)unused;
    apr_pool_create(&p, NULL);
    torture_on = true;
    return (void *)(intptr_t)bosh_connector_run(&args, p);
}

static int set_up(void **state)
{
    static volatile int stop;
    bosh_store_limits_t limits = {
        .bytes = 16 << 20, .sessions = 4000, .children = 2, .connectors = 1
    };
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(in);
    apr_global_mutex_t *mutex;
    int pair[2];

    (void)state;
    apr_initialize();
    bosh_xml_init();
    apr_pool_create(&pool, NULL);
    assert_int_equal(apr_global_mutex_create(&mutex, NULL, APR_LOCK_PROC_PTHREAD, pool), 0);
    assert_int_equal(bosh_store_create(&store, &limits, mutex, pool), 0);
    assert_int_equal(bosh_wake_create(&wake, 2, 1, pool), 0);
    child = bosh_store_child_join(store, getpid());
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(listener, 64), 0);
    getsockname(listener, (struct sockaddr *)&in, &len);
    port = ntohs(in.sin_port);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    control = pair[0];
    args = (bosh_connector_args_t){
        .store = store, .wake = wake, .on_control = on_control, .stop = &stop
    };
    assert_int_equal(apr_os_sock_put(&args.control, &pair[1], pool), 0);
    snprintf(message, sizeof(message),
             "<message xmlns='jabber:client' from='a@b' id='1'><body>%04999d</body></message>", 0);
    return pthread_create(&thread, NULL, run, NULL);
}

static int tear_down(void **state)
{
    void *rv;

    (void)state;
    close(control);
    pthread_join(thread, &rv);
    assert_null(rv);
    close(listener);
    assert_null(bosh_store_check(store));
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}

/* ---- the rest of the world ------------------------------------------------------------ */

typedef struct play_t {
    const char *host;
    bosh_msec_t until;
    char sid[BOSH_SID_CHARS + 1];
    bosh_ref_t ref;
    uint64_t rid;
    bool is_over;   /* the client was told */
    unsigned texts; /* messages that the client got */
    int fd;         /* the server's end; -1: none */
    unsigned step;  /* of the server */
    char said[65536];
    size_t len;
} play_t;

static void server_turn(play_t *p)
{
    ssize_t n;

    if (p->fd < 0) {
        p->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    }
    if (p->fd < 0) {
        return;
    }
    n = recv(p->fd, p->said + p->len, sizeof(p->said) - 1 - p->len, 0);
    if (n > 0) {
        p->len += (size_t)n;
        p->said[p->len] = '\0';
    }
    if (p->step == 0 && strstr(p->said, "<stream:stream")) {
        (void)!send(p->fd, GREETING, strlen(GREETING), MSG_NOSIGNAL);
        p->step++;
    }
    if (p->step == 1 && strstr(p->said, "<message")) {
        (void)!send(p->fd, message, 1000, MSG_NOSIGNAL); /* the rest later: it has to be kept */
        p->step++;
    }
    else if (p->step == 2) {
        (void)!send(p->fd, message + 1000, strlen(message) - 1000, MSG_NOSIGNAL);
        p->step++;
    }
}

/* What a request got, once it got something. */
static void take_answer(play_t *p, bosh_request_t *req, bosh_buf_t *out, bosh_outcome_t *o)
{
    while (o->got == BOSH_GOT_HOLD && bosh_now() < p->until) {
        usleep(500);
        server_turn(p);
        bosh_store_due(store, p->ref, req->rid, req->holder, 0, bosh_now(), out, o);
        bosh_wake_send(wake, &o->knocks);
    }
    assert_int_equal(o->got, BOSH_GOT_ANSWER);
    if (o->is_kept) {
        bosh_knocks_t knocks = { 0 };

        bosh_store_written(store, p->ref, req->rid, req->holder, bosh_now(), &knocks);
    }
    p->texts += out->len > 0 && memmem(out->p, out->len, "<body>", 6) != NULL;
    p->is_over = p->is_over || o->answer.kind == BOSH_ANSWER_TERMINATE;
}

static void ask(play_t *p, uint8_t asks, bosh_str_t payload)
{
    bosh_request_t req = {
        .rid = p->rid++, .asks = asks, .holder = { child, ++tickets }, .payload = payload
    };
    static bosh_outcome_t o;
    static char room[1 << 20];
    bosh_buf_t out = { .p = room, .size = sizeof(room) };

    if (p->is_over) {
        return;
    }
    if (!p->sid[0]) {
        bosh_birth_t birth = { .terms = { .rid = req.rid,
                                          .wait = 60,
                                          .hold = 1,
                                          .requests = 2,
                                          .inactivity = 60,
                                          .connect_timeout = 15,
                                          .ver_major = 1,
                                          .ver_minor = 11 },
                               .upstream = { .to = "a.example",
                                             .port = port,
                                             .reach = BOSH_REACH_HOST,
                                             .tls = BOSH_TLS_OFF },
                               .realm = REALM };

        bosh_str_copy(birth.upstream.host, sizeof(birth.upstream.host), bosh_str(p->host));
        bosh_store_create_session(store, &birth, &req, bosh_now(), p->sid, &out, &o);
        p->ref = o.ref;
    }
    else {
        bosh_store_request(store, bosh_str(p->sid), REALM, false, &req, bosh_now(), &out, &o);
    }
    bosh_wake_send(wake, &o.knocks);
    take_answer(p, &req, &out, &o);
}

static void wait_for(play_t *p, const char *what)
{
    while (!strstr(p->said, what) && bosh_now() < p->until) {
        char byte;

        server_turn(p);
        if (p->fd >= 0 && recv(p->fd, &byte, 1, MSG_PEEK) == 0) {
            return; /* closed: nothing more comes */
        }
        usleep(500);
    }
    assert_true(bosh_now() < p->until);
}

/* Its client is not there: what waits for it is bounced. */
static void end_from_our_side(play_t *p)
{
    bosh_knocks_t knocks = { 0 };

    bosh_store_end(store, p->ref, BOSH_COND_SYSTEM_SHUTDOWN, BOSH_REASON_SHUTDOWN, bosh_now(),
                   &knocks);
    bosh_wake_send(wake, &knocks);
}

/* A session from its beginning to its end; the last message is left to be bounced. */
static void play(play_t *p, const char *host)
{
    *p = (play_t){ .host = host, .fd = -1, .rid = 1000, .until = bosh_now() + PATIENCE };
    ask(p, 0, BOSH_ABSENT);
    ask(p, 0, BOSH_STR("<message xmlns='jabber:client' to='x'/>"));
    while (!p->is_over && p->texts == 0) {
        ask(p, 0, BOSH_ABSENT);
    }
    if (!p->is_over) {
        (void)!send(p->fd, message, strlen(message), MSG_NOSIGNAL);
        usleep(3000);
        end_from_our_side(p);
    }
    if (p->fd >= 0) {
        wait_for(p, "</stream:stream>");
        close(p->fd);
    }
}

/* ---- tests ---------------------------------------------------------------------------- */

/* The connector has nothing to do any more. */
static void rest(void)
{
    usleep(2000);
}

static unsigned bounces;

static void play_well(const char *host)
{
    static play_t p;

    torture_arm(0);
    play(&p, host);
    rest();
    assert_int_equal(p.texts, 1);
    assert_int_equal(p.step, 3);
    bounces += strstr(p.said, "recipient-unavailable") != NULL;
    assert_null(bosh_store_check(store));
}

static void every_allocation_fails_once_and_the_connector_lives_on(void **state)
{
    static const char *const hosts[] = { "127.0.0.1", "localhost" };
    static play_t p;
    long before, after, ended = 0, n = 0;

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        play_well(hosts[i % 2]);
    }
    before = __atomic_load_n(&torture_live, __ATOMIC_RELAXED);
    for (unsigned h = 0; h < 2; h++) {
        for (n = 1;; n++) {
            torture_arm(n);
            play(&p, hosts[h]);
            rest();
            if (!__atomic_load_n(&torture_hit, __ATOMIC_ACQUIRE)) {
                break;
            }
            ended += p.texts == 0;
            if (n % 16 == 0) {
                play_well(hosts[h]);
            }
        }
        assert_true(n > 20);
    }
    for (unsigned i = 0; i < 20; i++) {
        play_well(hosts[i % 2]);
    }
    after = __atomic_load_n(&torture_live, __ATOMIC_RELAXED);
    print_message("# %ld allocations with a name, %ld sessions had to end; blocks %ld, then %ld\n",
                  n - 1, ended, before, after);
    assert_true(ended > 10);
    assert_true(bounces > 0);
    assert_true(after < before + 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_allocation_fails_once_and_the_connector_lives_on,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests_name("connector's memory", tests, NULL, NULL);
}
