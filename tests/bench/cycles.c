/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * cycles - sessions that come and go, in all ways of ending, as fast as they can.
 *
 *   cycles SERVER_PORT STUB_PORT COUNT [THREADS [PATH]]
 *
 * Is the clients, and the XMPP server behind the connection manager: domains ok.cycles,
 * close.cycles, reset.cycles and silent.cycles are to be reached at STUB_PORT, refused.cycles
 * at a port where nobody listens. Says how many cycles of which kind there were; the exit
 * status is 0 if all went as they should.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define MAX_THREADS 64
#define MAX_FDS     65536
#define PATIENCE    30  /* seconds for one answer */
#define SLOW        1.5 /* seconds between two answers; the manager's times are longer */

static const char *path = "/http-bind";
static uint16_t server_port, stub_port;
static long wanted, begun, failures, retries, slow;

/* ---- the XMPP server ------------------------------------------------------------ */

typedef struct peer_t {
    char script; /* first letter of the domain; 0: no header came yet */
} peer_t;

static peer_t peers[MAX_FDS];

static void reset(int fd)
{
    struct linger l = { .l_onoff = 1 };

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
    close(fd);
}

static void say(int fd, const char *text)
{
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* Peers write clean XML in few pieces: looking for words is enough. False: closed. */
static bool on_words(int fd, const char *text)
{
    const char *to = strstr(text, " to='");

    if (!peers[fd].script && to) {
        peers[fd].script = to[5];
        if (to[5] != 's') {
            say(fd, "<?xml version='1.0'?><stream:stream xmlns='jabber:client' id='x' version='1.0'"
                    " xmlns:stream='http://etherx.jabber.org/streams' from='ok.cycles'>"
                    "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
                    "</stream:features>");
        }
    }
    if (strstr(text, "<message")) {
        if (peers[fd].script == 'r') {
            reset(fd);
            return false;
        }
        say(fd, peers[fd].script == 'c'
                    ? "<message from='a@b'><body>last</body></message></stream:stream>"
                    : "<message from='a@b'><body>echo</body></message>");
    }
    if (strstr(text, "</stream:stream>")) {
        say(fd, "</stream:stream>");
        close(fd);
        return false;
    }
    return true;
}

static void *run_server(void *listener_at)
{
    int listener = *(int *)listener_at, ep = epoll_create1(0);
    struct epoll_event ev = { .events = EPOLLIN, .data.fd = listener }, got[64];
    char text[8192];

    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
    for (;;) {
        int n = epoll_wait(ep, got, 64, -1);

        for (int i = 0; i < n; i++) {
            int fd = got[i].data.fd;
            ssize_t len;

            if (fd == listener) {
                fd = accept(listener, NULL, NULL);
                if (fd >= 0 && fd < MAX_FDS) {
                    peers[fd] = (peer_t){ 0 };
                    ev.data.fd = fd;
                    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
                }
                continue;
            }
            len = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
            if (len > 0) {
                text[len] = '\0';
                on_words(fd, text);
            }
            else if (len == 0 || errno != EAGAIN) {
                close(fd);
            }
        }
    }
    return NULL;
}

/* ---- a client ---------------------------------------------------------------------- */

typedef struct client_t {
    unsigned seed;
    int fd; /* -1: not connected */
    uint64_t rid;
    char sid[128];
    char answer[65536];
    int status;
    double answered; /* when it got its latest answer */
    bool is_slow;    /* the machine is: its session may have ended of that */
} client_t;

static double seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void drop(client_t *c)
{
    if (c->fd >= 0) {
        close(c->fd);
        c->fd = -1;
    }
}

static int dial(void)
{
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_port = htons(server_port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval tv = { .tv_sec = PATIENCE };
    int on = 1;

    for (int tries = 0; tries < 200; tries++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0) {
            return fd;
        }
        close(fd);
        usleep(20000);
    }
    perror("cycles: connect");
    exit(2);
}

/* With fewer bytes of the body than it announces, if there are more than `most`. */
static bool post(int fd, const char *body, size_t most)
{
    size_t whole = strlen(body);
    char text[4096];
    int n = snprintf(text, sizeof(text),
                     "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\n"
                     "Content-Length: %zu\r\n\r\n%.*s",
                     path, whole, (int)(most < whole ? most : whole), body);

    return send(fd, text, (size_t)n, MSG_NOSIGNAL) == n;
}

static int connected(client_t *c)
{
    if (c->fd < 0) {
        c->fd = dial();
    }
    return c->fd;
}

/* False: the connection broke before an answer was there. */
static bool read_answer(client_t *c, int fd)
{
    size_t len = 0, need = 0;
    char *body = NULL, *length;

    while (!body || len < need) {
        ssize_t n = recv(fd, c->answer + len, sizeof(c->answer) - 1 - len, 0);

        if (n <= 0) {
            if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
                fprintf(stderr, "cycles: no answer in %d s\n", PATIENCE);
                __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
            }
            return false;
        }
        len += (size_t)n;
        c->answer[len] = '\0';
        body = body ? body : strstr(c->answer, "\r\n\r\n");
        if (body && !need) {
            length = strcasestr(c->answer, "content-length:");
            need = (size_t)(body + 4 - c->answer) + (length ? strtoul(length + 15, NULL, 10) : 0);
        }
    }
    c->status = atoi(c->answer + 9);
    c->is_slow = c->is_slow || seconds() - c->answered > SLOW;
    c->answered = seconds();
    return true;
}

/* Sends it, on a new connection if need be, and again if that breaks or there is no room. */
static void ask(client_t *c, const char *body)
{
    for (int tries = 0; tries < 500; tries++) {
        if (post(connected(c), body, SIZE_MAX) && read_answer(c, c->fd)) {
            if (strcasestr(c->answer, "\r\nConnection: close")) {
                drop(c);
            }
            if (c->status != 503) {
                return;
            }
            usleep(20000);
        }
        else {
            drop(c);
        }
        __atomic_add_fetch(&retries, 1, __ATOMIC_RELAXED);
    }
    c->status = 0;
}

static const char *say_body(client_t *c, char *out, size_t size, const char *attrs,
                            const char *payload)
{
    snprintf(out, size,
             "<body xmlns='http://jabber.org/protocol/httpbind' rid='%llu' sid='%s'%s>%s</body>",
             (unsigned long long)++c->rid, c->sid, attrs, payload);
    return out;
}

static void complain(const client_t *c, const char *what)
{
    if (__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED) < 5) {
        fprintf(stderr, "cycles: %s: %d %.600s\n", what, c->status, c->answer);
    }
}

/* Of inactivity, or because the server did not answer in time. */
static bool is_excused(const client_t *c)
{
    return c->is_slow
           && (strstr(c->answer, "item-not-found")
               || strstr(c->answer, "remote-connection-failed"));
}

static void find_wrong(const client_t *c, const char *what)
{
    if (is_excused(c)) {
        __atomic_add_fetch(&slow, 1, __ATOMIC_RELAXED);
    }
    else {
        complain(c, what);
    }
}

static void expect(const client_t *c, const char *words)
{
    if (!strstr(c->answer, words)) {
        find_wrong(c, words);
    }
}

static void creation(client_t *c, char *out, size_t size, const char *domain)
{
    c->rid = 1000000 + (uint64_t)rand_r(&c->seed);
    c->is_slow = false;
    c->answered = seconds();
    snprintf(out, size,
             "<body xmlns='http://jabber.org/protocol/httpbind' rid='%llu' to='%s' wait='20' "
             "hold='1' ver='1.11' xmlns:xmpp='urn:xmpp:xbosh' xmpp:version='1.0'/>",
             (unsigned long long)c->rid, domain);
}

static bool create(client_t *c, const char *domain)
{
    char body[1024], *sid, *end;

    creation(c, body, sizeof(body), domain);
    ask(c, body);
    sid = strstr(c->answer, " sid='");
    end = sid ? strchr(sid + 6, '\'') : NULL;
    if (c->status != 200 || !end) {
        return false;
    }
    snprintf(c->sid, sizeof(c->sid), "%.*s", (int)(end - sid - 6), sid + 6);
    return true;
}

static bool open_session(client_t *c, const char *domain)
{
    if (!create(c, domain)) {
        find_wrong(c, "no session");
        return false;
    }
    return true;
}

static const char message[] = "<message xmlns='jabber:client' to='x'><body>words</body></message>";

static void talk(client_t *c)
{
    char body[1024];

    ask(c, say_body(c, body, sizeof(body), "", message));
    for (int n = 0; n < 5 && !strstr(c->answer, "echo"); n++) {
        ask(c, say_body(c, body, sizeof(body), "", ""));
    }
    expect(c, "echo");
}

/* ---- ways of ending ---------------------------------------------------------------- */

static void terminates(client_t *c)
{
    char body[1024];

    if (open_session(c, "ok.cycles")) {
        talk(c);
        ask(c, say_body(c, body, sizeof(body), " type='terminate'", ""));
        expect(c, "terminate");
    }
}

static void terminates_while_held(client_t *c)
{
    char body[1024];
    int held;

    if (open_session(c, "ok.cycles")) {
        held = dial();
        post(held, say_body(c, body, sizeof(body), "", ""), SIZE_MAX);
        ask(c, say_body(c, body, sizeof(body), " type='terminate'",
                        "<presence xmlns='jabber:client' type='unavailable'/>"));
        read_answer(c, held);
        close(held);
    }
}

static void leaves(client_t *c)
{
    if (open_session(c, "ok.cycles")) {
        drop(c);
    }
}

static void aborts_poll(client_t *c)
{
    char body[1024];

    if (open_session(c, "ok.cycles")) {
        post(connected(c), say_body(c, body, sizeof(body), "", ""), SIZE_MAX);
        if (rand_r(&c->seed) % 2) {
            usleep(rand_r(&c->seed) % 3000);
        }
        if (rand_r(&c->seed) % 2) {
            reset(c->fd);
            c->fd = -1;
        }
        drop(c);
    }
}

static void aborts_upload(client_t *c)
{
    char body[1024];

    if (open_session(c, "ok.cycles")) {
        post(connected(c), say_body(c, body, sizeof(body), "", message), 60);
        drop(c);
    }
}

static void is_closed_by_server(client_t *c)
{
    char body[1024];

    if (open_session(c, "close.cycles")) {
        ask(c, say_body(c, body, sizeof(body), "", message));
        for (int n = 0; n < 5 && !strstr(c->answer, "terminate"); n++) {
            ask(c, say_body(c, body, sizeof(body), "", ""));
        }
        expect(c, "remote-stream-error");
    }
}

static void is_reset_by_server(client_t *c)
{
    char body[1024];

    if (open_session(c, "reset.cycles")) {
        ask(c, say_body(c, body, sizeof(body), "", message));
        for (int n = 0; n < 5 && !strstr(c->answer, "terminate"); n++) {
            ask(c, say_body(c, body, sizeof(body), "", ""));
        }
        expect(c, "remote-connection-failed");
    }
}

static void finds_no_server(client_t *c)
{
    create(c, "refused.cycles");
    expect(c, "remote-connection-failed");
}

static void finds_silent_server(client_t *c)
{
    char body[1024];

    creation(c, body, sizeof(body), "silent.cycles");
    post(connected(c), body, SIZE_MAX);
    usleep(1000);
    drop(c);
}

static void breaks_rules(client_t *c)
{
    char body[1024];

    if (open_session(c, "ok.cycles")) {
        c->rid += 50;
        ask(c, say_body(c, body, sizeof(body), "", message));
        expect(c, "item-not-found");
    }
}

static void is_nonsense(client_t *c)
{
    ask(c, "<body xmlns='http://jabber.org/protocol/httpbind'><a></body>");
    expect(c, "bad-request");
    create(c, "unknown.cycles");
    expect(c, "host-unknown");
}

static const struct {
    const char *name;
    void (*run)(client_t *);
} kinds[] = {
    { "terminates", terminates },
    { "terminates while held", terminates_while_held },
    { "leaves", leaves },
    { "aborts poll", aborts_poll },
    { "aborts upload", aborts_upload },
    { "closed by server", is_closed_by_server },
    { "reset by server", is_reset_by_server },
    { "no server", finds_no_server },
    { "silent server", finds_silent_server },
    { "breaks rules", breaks_rules },
    { "nonsense", is_nonsense },
};

#define KINDS (sizeof(kinds) / sizeof(*kinds))

static long counts[KINDS];

static void *run_client(void *seed_at)
{
    client_t *c = calloc(1, sizeof(*c));
    long n;

    c->seed = *(unsigned *)seed_at;
    c->fd = -1;
    while ((n = __atomic_fetch_add(&begun, 1, __ATOMIC_RELAXED)) < wanted) {
        kinds[(size_t)n % KINDS].run(c);
        __atomic_add_fetch(&counts[(size_t)n % KINDS], 1, __ATOMIC_RELAXED);
    }
    drop(c);
    free(c);
    return NULL;
}

static int listen_at(uint16_t port)
{
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&in, sizeof(in)) != 0 || listen(fd, 1024) != 0) {
        perror("cycles: listen");
        exit(2);
    }
    return fd;
}

int main(int argc, char **argv)
{
    pthread_t server, thread[MAX_THREADS];
    unsigned seed[MAX_THREADS], threads = argc > 4 ? (unsigned)atoi(argv[4]) : 8;
    int listener;

    if (argc < 4 || threads < 1 || threads > MAX_THREADS) {
        fprintf(stderr, "usage: cycles SERVER_PORT STUB_PORT COUNT [THREADS [PATH]]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    server_port = (uint16_t)atoi(argv[1]);
    stub_port = (uint16_t)atoi(argv[2]);
    wanted = atol(argv[3]);
    path = argc > 5 ? argv[5] : path;
    listener = listen_at(stub_port);
    pthread_create(&server, NULL, run_server, &listener);
    for (unsigned i = 0; i < threads; i++) {
        seed[i] = i + 1;
        pthread_create(&thread[i], NULL, run_client, &seed[i]);
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(thread[i], NULL);
    }
    /* What is left at the server ends by itself: the manager has its time for that. */
    printf("{\"cycles\": %ld, \"failures\": %ld, \"retries\": %ld, \"too slow\": %ld", wanted,
           failures, retries, slow);
    for (size_t i = 0; i < KINDS; i++) {
        printf(", \"%s\": %ld", kinds[i].name, counts[i]);
    }
    printf("}\n");
    return failures ? 1 : 0;
}
