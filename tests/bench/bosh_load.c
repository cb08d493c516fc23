/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * bosh_load - puts load on a BOSH connection manager and says what came back.
 *
 *   bosh_load --mode echo --url http://127.0.0.1:8080/http-bind --domain localhost
 *
 * Modes:
 *   echo    each session sends itself numbered messages, the next one when the
 *           echo of the last arrived
 *   idle    sessions log in, and then one request of each is held
 *   poll    sessions send empty requests as fast as they are answered (needs a
 *           manager that allows it: BoshPolling 0)
 *   login   each session logs in and out, over and over
 *   static  the same number of connections POST a document of the same size
 *
 * It prints one JSON object a line: "ready" (everybody is logged in), "result"
 * (the measured time is over) and "end" (everybody is logged out). With --sync it
 * waits for a line on stdin after "ready" and after "result", so that whoever
 * started it can read the servers' clocks in between.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load.h"

#define SWEEP_MS       100
#define COMPLAINTS     10
#define DRAIN_SECONDS  10
#define LOGOUT_SECONDS 20

load_t load;

static int stdin_mark; /* its address stands for stdin in the epoll set */
static bool has_line;  /* stdin gave a line, or ended */

/* ---- what the sessions call -------------------------------------------- */

void load_unit(nsec_t now, nsec_t began)
{
    histogram_add(&load.latency, now - began);
    load.last_unit = now;
}

void load_complain(const session_t *s, const char *what, const char *detail, size_t len)
{
    static unsigned complaints;

    if (++complaints > COMPLAINTS) {
        return;
    }
    fprintf(stderr, "bosh_load: session %u: %s%s%.*s\n", s->id, what, len ? ": " : "",
            (int)(len > 300 ? 300 : len), detail);
    if (complaints == COMPLAINTS) {
        fprintf(stderr, "bosh_load: more is not shown\n");
    }
}

/* ---- the loop ---------------------------------------------------------- */

static void on_signal(int sig)
{
    (void)sig;
    load.is_aborted = true;
}

static void read_stdin(void)
{
    char line[64];

    has_line = true;
    if (read(STDIN_FILENO, line, sizeof(line)) <= 0) {
        /* Whoever started us is gone: end early, but in order. */
        epoll_ctl(load.epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
        load.is_aborted = true;
    }
}

static void turn(void)
{
    struct epoll_event events[256];
    static nsec_t swept;
    nsec_t now;
    int n = epoll_wait(load.epoll, events, 256, SWEEP_MS);

    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == &stdin_mark) {
            read_stdin();
        }
        else {
            conn_on_event(events[i].data.ptr, events[i].events);
        }
    }
    now = now_ns();
    if (now - swept > SWEEP_MS * 1000000LL / 4) {
        swept = now;
        for (unsigned i = 0; i < load.opt.sessions; i++) {
            session_sweep(&load.sessions[i], now);
        }
    }
}

static void wait_for_line(void)
{
    if (!load.opt.is_synced) {
        return;
    }
    has_line = false;
    while (!has_line && !load.is_aborted) {
        turn();
    }
}

static nsec_t after(double seconds)
{
    return now_ns() + (nsec_t)(seconds * 1e9);
}

/* ---- phases ------------------------------------------------------------ */

static void log_all_in(void)
{
    unsigned next = 0;

    if (load.opt.mode == MODE_LOGIN || load.opt.mode == MODE_STATIC) {
        return;
    }
    while (load.online + load.failed < load.opt.sessions && !load.is_aborted) {
        while (next < load.opt.sessions && load.logging_in < load.opt.parallel) {
            session_login(&load.sessions[next++]);
        }
        turn();
    }
}

static unsigned waiting(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < load.opt.sessions; i++) {
        n += load.sessions[i].is_waiting && load.sessions[i].state == SESSION_ONLINE;
    }
    return n + (load.opt.mode == MODE_LOGIN ? load.logging_in + load.online : 0);
}

/* Runs the mode for its time, then lets what is under way arrive. Returns the
 * seconds from the beginning to the last thing that arrived. */
static double run(void)
{
    nsec_t began = now_ns(), end = after(load.opt.seconds);

    memset(&load.latency, 0, sizeof(load.latency));
    load.count.requests = 0;
    load.last_unit = began;
    load.is_running = true;
    for (unsigned i = 0; i < load.opt.sessions; i++) {
        session_t *s = &load.sessions[i];

        if (s->state == SESSION_ONLINE || load.opt.mode == MODE_LOGIN
            || load.opt.mode == MODE_STATIC) {
            session_start(s);
        }
    }
    while (now_ns() < end && !load.is_aborted && load.failed < load.opt.sessions) {
        turn();
    }
    load.is_running = false;
    for (end = after(DRAIN_SECONDS); waiting() > 0 && now_ns() < end && !load.is_aborted;) {
        turn();
    }
    load.count.lost += load.opt.mode == MODE_ECHO ? waiting() : 0;
    return (double)((load.opt.mode == MODE_IDLE ? now_ns() : load.last_unit) - began) / 1e9;
}

static void log_all_out(void)
{
    nsec_t end = after(LOGOUT_SECONDS);

    for (unsigned i = 0; i < load.opt.sessions; i++) {
        session_logout(&load.sessions[i]);
    }
    while (load.online > 0 && now_ns() < end) {
        turn();
    }
}

/* ---- the report -------------------------------------------------------- */

static double own_cpu(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec)
           + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void print_result(const char *mode, double seconds, double cpu)
{
    const counters_t *n = &load.count;
    double units = load.latency.count ? (double)load.latency.count : 1;

    printf("{\"event\": \"result\", \"mode\": \"%s\", \"sessions\": %u, \"failed\": %u, "
           "\"seconds\": %.3f, \"units\": %llu, \"per_second\": %.1f, \"p50_us\": %.0f, "
           "\"p99_us\": %.0f, \"max_us\": %.0f, \"requests\": %llu, \"requests_per_unit\": %.3f, ",
           mode, load.online, load.failed, seconds, (unsigned long long)load.latency.count,
           seconds > 0 ? (double)load.latency.count / seconds : 0,
           histogram_percentile_us(&load.latency, 50), histogram_percentile_us(&load.latency, 99),
           (double)load.latency.max / 1000.0, (unsigned long long)n->requests,
           (double)n->requests / units);
    printf("\"lost\": %llu, \"doubled\": %llu, \"strays\": %llu, \"garbled\": %llu, "
           "\"terminated\": %llu, \"http_errors\": %llu, \"broken\": %llu, \"reconnects\": %llu, "
           "\"timeouts\": %llu, \"load_cpu_us\": %.1f}\n",
           (unsigned long long)n->lost, (unsigned long long)n->doubled,
           (unsigned long long)n->strays, (unsigned long long)n->garbled,
           (unsigned long long)n->terminated, (unsigned long long)n->http_errors,
           (unsigned long long)n->broken, (unsigned long long)n->reconnects,
           (unsigned long long)n->timeouts, cpu * 1e6 / units);
    fflush(stdout);
}

static bool all_went_well(void)
{
    const counters_t *n = &load.count;

    return load.failed == 0 && load.online == 0 && n->lost == 0 && n->doubled == 0 && n->strays == 0
           && n->garbled == 0 && n->http_errors == 0 && n->broken == 0 && !load.is_aborted;
}

/* ---- options ----------------------------------------------------------- */

static const char *const mode_names[] = { "echo", "idle", "poll", "login", "static" };

static const char usage[] =
    "bosh_load --url http://127.0.0.1:PORT/PATH [--mode echo|idle|poll|login|static]\n"
    "    --domain NAME     the XMPP domain (localhost)\n"
    "    --sessions N      how many (100)\n"
    "    --seconds S       measured time (5)\n"
    "    --size BYTES      text of a message (110)\n"
    "    --think S         pause between an echo and the next message (0)\n"
    "    --wait S --hold N what the sessions ask for (60, 1)\n"
    "    --parallel N      logins under way at a time (50)\n"
    "    --plain USER:PASSWORD   SASL PLAIN as USER0, USER1, ... (else ANONYMOUS)\n"
    "    --active N        static: requests that are out at a time (16)\n"
    "    --timeout S       for an echo, or a step of the login (30)\n"
    "    --sync            wait for a line on stdin after \"ready\" and \"result\"\n";

static void bad_usage(const char *what)
{
    fprintf(stderr, "bosh_load: %s\n%s", what, usage);
    exit(2);
}

static void read_url(options_t *o)
{
    unsigned port = 80;

    if (o->url == NULL
        || (sscanf(o->url, "http://%255[0-9.]:%u%255s", o->host, &port, o->path) != 3
            && sscanf(o->url, "http://%255[0-9.]%255s", o->host, o->path) != 2)) {
        bad_usage("--url must be http://ADDRESS[:PORT]/PATH, with a numeric address");
    }
    o->address.sin_family = AF_INET;
    o->address.sin_port = htons((uint16_t)port);
    if (inet_pton(AF_INET, o->host, &o->address.sin_addr) != 1) {
        bad_usage("no such address");
    }
    /* Load is for one's own machine; nobody else's server is hit by a slip. */
    if ((ntohl(o->address.sin_addr.s_addr) >> 24) != 127) {
        bad_usage("only loopback addresses");
    }
}

static load_mode_t read_mode(const char *name)
{
    for (unsigned i = 0; i < sizeof(mode_names) / sizeof(mode_names[0]); i++) {
        if (strcmp(name, mode_names[i]) == 0) {
            return (load_mode_t)i;
        }
    }
    bad_usage("no such mode");
    return MODE_ECHO;
}

static void read_account(options_t *o, char *account)
{
    char *colon = strchr(account, ':');

    if (colon == NULL) {
        bad_usage("--plain wants USER:PASSWORD");
    }
    *colon = '\0';
    o->user = account;
    o->password = colon + 1;
    o->is_anonymous = false;
}

static void read_options(options_t *o, int argc, char **argv)
{
    static const struct option longs[] = {
        { "mode", 1, NULL, 'm' },     { "url", 1, NULL, 'u' },     { "domain", 1, NULL, 'd' },
        { "sessions", 1, NULL, 'n' }, { "seconds", 1, NULL, 's' }, { "size", 1, NULL, 'z' },
        { "think", 1, NULL, 't' },    { "wait", 1, NULL, 'w' },    { "hold", 1, NULL, 'h' },
        { "parallel", 1, NULL, 'p' }, { "plain", 1, NULL, 'a' },   { "timeout", 1, NULL, 'T' },
        { "active", 1, NULL, 'c' },   { "sync", 0, NULL, 'y' },    { NULL, 0, NULL, 0 },
    };
    int c;

    *o = (options_t){ .sessions = 100,
                      .parallel = 50,
                      .size = 110,
                      .active = 16,
                      .wait = 60,
                      .hold = 1,
                      .is_anonymous = true,
                      .seconds = 5,
                      .timeout = 30,
                      .domain = "localhost" };
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'm': o->mode = read_mode(optarg); break;
        case 'u': o->url = optarg; break;
        case 'd': o->domain = optarg; break;
        case 'n': o->sessions = (unsigned)atoi(optarg); break;
        case 's': o->seconds = atof(optarg); break;
        case 'z': o->size = (unsigned)atoi(optarg); break;
        case 't': o->think = atof(optarg); break;
        case 'w': o->wait = (unsigned)atoi(optarg); break;
        case 'h': o->hold = (unsigned)atoi(optarg); break;
        case 'p': o->parallel = (unsigned)atoi(optarg); break;
        case 'a': read_account(o, optarg); break;
        case 'T': o->timeout = atof(optarg); break;
        case 'c': o->active = (unsigned)atoi(optarg); break;
        case 'y': o->is_synced = true; break;
        default: bad_usage("that was not understood");
        }
    }
    if (optind != argc || o->sessions < 1 || o->sessions > 9000 || o->parallel < 1
        || o->size > 60000) {
        bad_usage("a number is out of range");
    }
    read_url(o);
}

static void prepare(void)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &stdin_mark };
    struct sigaction sa = { .sa_handler = on_signal };
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.sessions = calloc(load.opt.sessions, sizeof(session_t));
    if (load.epoll < 0 || load.sessions == NULL) {
        perror("bosh_load");
        exit(2);
    }
    if (load.opt.is_synced && epoll_ctl(load.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &ev) != 0) {
        bad_usage("--sync needs a pipe or a terminal on stdin");
    }
    for (unsigned i = 0; i < load.opt.sessions; i++) {
        session_init(&load.sessions[i], i);
    }
}

int main(int argc, char **argv)
{
    nsec_t began = now_ns();
    double cpu, seconds;

    read_options(&load.opt, argc, argv);
    prepare();
    log_all_in();
    printf("{\"event\": \"ready\", \"sessions\": %u, \"failed\": %u, \"seconds\": %.3f}\n",
           load.online, load.failed, (double)(now_ns() - began) / 1e9);
    fflush(stdout);
    wait_for_line();
    cpu = own_cpu();
    seconds = run();
    print_result(mode_names[load.opt.mode], seconds, own_cpu() - cpu);
    wait_for_line();
    log_all_out();
    printf("{\"event\": \"end\", \"closed\": %u, \"still_open\": %u}\n", load.closed, load.online);
    return all_went_well() ? 0 : 1;
}
