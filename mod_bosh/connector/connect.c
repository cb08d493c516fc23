/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * From what the administrator, or DNS, says to a connected socket: one address after the
 * other, until one leads to a stream.
 */

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <apr_portable.h>
#include <apr_strings.h>

#include "connector_int.h"
#include "policy.h"

/* An address that does not answer leaves time for the next; for the last one there is as
 * much as BoshConnectTimeout gives. */
#define TRY_MS BOSH_SEC(2)

/* Half-open connections: the kernel asks after 30 s of silence, and again each 10 s; whatever is
 * not acknowledged for a minute, such a question too, is the end. */
#define KEEP_IDLE_S     30
#define KEEP_INTERVAL_S 10
#define KEEP_COUNT      6
#define USER_TIMEOUT_MS 60000

/* Anybody may ask for sessions, and none of them may get anywhere: a line for each would fill
 * the disk. */
bosh_log_level_t connect_complaint(const c2s_t *c, const char *why)
{
    return complaints_note(&c->k->complaints, c->upstream, why, c->k->now) ? BOSH_LOG_ERR
                                                                           : BOSH_LOG_DEBUG;
}

void connect_place(char *out, size_t size, const c2s_t *c)
{
    const bosh_upstream_t *u = c->upstream;
    char text[INET6_ADDRSTRLEN] = "";
    const address_t *a = c->tried ? &c->target[c->tried - 1].address : NULL;

    if (u->reach == BOSH_REACH_UNIX && !c->is_redirected) {
        snprintf(out, size, "%s", u->host);
    }
    else if (u->reach == BOSH_REACH_HOST && !c->is_redirected) {
        snprintf(out, size, "%s:%u", u->host, u->port);
    }
    else if (a && inet_ntop(a->family, a->bytes, text, sizeof(text))) {
        snprintf(out, size, a->family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, a->port);
    }
    else {
        snprintf(out, size, "%s", u->host);
    }
}

static void fail(c2s_t *c, const char *why, bosh_condition_t condition)
{
    char place[320];

    connect_place(place, sizeof(place), c);
    bosh_log(connect_complaint(c, why), BOSHNO(1001) "%s: %s, the XMPP server of %s: %s", c->name,
             place, c->upstream->to, why);
    c2s_end(c, condition, BOSH_REASON_CONNECT_FAILED);
}

void connect_refuse(c2s_t *c, const char *why)
{
    fail(c, why, BOSH_COND_REMOTE_CONNECTION_FAILED);
}

/* It is we who have no descriptor or no memory: the server may be well. */
static bosh_condition_t condition_of(apr_status_t why)
{
    return APR_STATUS_IS_EMFILE(why) || APR_STATUS_IS_ENFILE(why) || APR_STATUS_IS_ENOMEM(why)
                   || why == ENOBUFS
               ? BOSH_COND_INTERNAL_SERVER_ERROR
               : BOSH_COND_REMOTE_CONNECTION_FAILED;
}

static socklen_t fill_unix(struct sockaddr_storage *ss, const char *path)
{
    struct sockaddr_un *un = (struct sockaddr_un *)ss;

    un->sun_family = AF_UNIX;
    bosh_str_copy(un->sun_path, sizeof(un->sun_path), bosh_str(path)); /* too long: "" */
    return sizeof(*un);
}

static socklen_t fill_address(struct sockaddr_storage *ss, const address_t *a)
{
    struct sockaddr_in *in = (struct sockaddr_in *)ss;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

    if (a->family == AF_INET) {
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->bytes, 4);
        return sizeof(*in);
    }
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(a->port);
    memcpy(&in6->sin6_addr, a->bytes, 16);
    return sizeof(*in6);
}

static void set_number(apr_os_sock_t fd, int level, int option, int value)
{
    setsockopt(fd, level, option, &value, sizeof(value));
}

static void set_options(apr_os_sock_t fd)
{
    set_number(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_number(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
#ifdef TCP_KEEPIDLE
    set_number(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S);
    set_number(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL_S);
    set_number(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEP_COUNT);
#endif
#ifdef TCP_USER_TIMEOUT
    set_number(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
#endif
}

/* apr_socket_connect() wants its address in a pool that outlives the socket; nobody asks
 * this socket for its peer again. */
static apr_status_t begin_connect(c2s_t *c, const address_t *a)
{
    struct sockaddr_storage ss = { 0 };
    bool is_unix = a->family == AF_UNIX;
    socklen_t len = is_unix ? fill_unix(&ss, c->upstream->host) : fill_address(&ss, a);
    apr_os_sock_t fd;

    apr_os_sock_get(&fd, c->link.sock);
    if (!is_unix) {
        set_options(fd);
    }
    return connect(fd, (struct sockaddr *)&ss, len) == 0 ? APR_SUCCESS : apr_get_netos_error();
}

static void on_ready(watch_t *w, apr_int16_t events)
{
    c2s_t *c = (c2s_t *)w;

    if (c->state == CONNECTING) {
        connect_ready(c);
        return;
    }
    if (c->state == SECURING) {
        secure_ready(c, events);
        return;
    }
    if ((events & APR_POLLOUT) && !up_move(c)) {
        return;
    }
    if (c->link.owes || (events & (APR_POLLIN | APR_POLLHUP | APR_POLLERR))) {
        down_ready(c);
    }
}

static apr_status_t try_address(c2s_t *c, const address_t *a)
{
    apr_status_t rv;

    c->link.sock = shell_open(c->k, a->family);
    if (!c->link.sock) {
        return apr_get_netos_error();
    }
    rv = begin_connect(c, a);
    /* Interrupted, it goes on as if it were in progress. */
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EINPROGRESS(rv) && !APR_STATUS_IS_EINTR(rv)) {
        return rv;
    }
    watch_init_socket(&c->watch, c->k, c->link.sock, on_ready);
    return watch_set(&c->watch, APR_POLLOUT);
}

/* What DNS leads to may be anywhere; what the administrator wrote is meant. */
static const char *objection(const c2s_t *c, const address_t *a)
{
    const bosh_upstream_t *u = c->upstream;

    if (u->tls == BOSH_TLS_LOCAL && a->family != AF_UNIX && !policy_is_loopback(a)) {
        return "not a loopback address: passwords would pass in the clear";
    }
    if (u->tls != BOSH_TLS_LOCAL && (u->reach == BOSH_REACH_SRV || c->is_redirected)
        && !policy_is_allowed(u->networks, a)) {
        return "its address is not a public one, and BoshAddressAllow does not list it: refused";
    }
    return NULL;
}

static void note_failure(c2s_t *c, const char *why, bosh_condition_t condition)
{
    snprintf(c->failure, sizeof(c->failure), "%s", why);
    c->condition = condition;
}

/* It is this machine that knows no way there, by IPv6 for example. */
static bool has_no_way(apr_status_t why)
{
    return APR_STATUS_IS_ENETUNREACH(why) || APR_STATUS_IS_EHOSTUNREACH(why) || why == EADDRNOTAVAIL
           || why == EAFNOSUPPORT;
}

/* True: this address is being tried. */
static bool try_target(c2s_t *c, const target_t *t)
{
    const char *no = objection(c, &t->address);
    apr_status_t rv;
    char text[128];

    if (no) {
        note_failure(c, no, BOSH_COND_REMOTE_CONNECTION_FAILED);
        return false;
    }
    rv = try_address(c, &t->address);
    if (rv != APR_SUCCESS) {
        c->is_answered = c->is_answered || !has_no_way(rv);
        note_failure(c, apr_strerror(rv, text, sizeof(text)), condition_of(rv));
    }
    return rv == APR_SUCCESS;
}

static void connect_next(c2s_t *c)
{
    while (c->tried < c->targets) {
        c2s_close_socket(c);
        if (try_target(c, &c->target[c->tried++])) {
            c->state = CONNECTING;
            c->deadline = c->tried < c->targets ? c->k->now + TRY_MS : 0;
            return;
        }
    }
    fail(c, c->failure, c->condition);
}

static void give_up_target(c2s_t *c, const char *why)
{
    char place[320];

    connect_place(place, sizeof(place), c);
    bosh_log(BOSH_LOG_DEBUG, BOSHNO(1015) "%s: %s: %s", c->name, place, why);
    note_failure(c, why, BOSH_COND_REMOTE_CONNECTION_FAILED);
    c2s_forget_stream(c);
    connect_next(c);
}

void connect_failed(c2s_t *c, const char *why)
{
    c->is_answered = true;
    give_up_target(c, why);
}

void connect_timed_out(c2s_t *c)
{
    c->is_silent = true;
    give_up_target(c, "it did not answer in time");
}

void connect_ready(c2s_t *c)
{
    apr_os_sock_t fd;
    int error = 0;
    socklen_t len = sizeof(error);
    char text[128];

    apr_os_sock_get(&fd, c->link.sock);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
        error = errno;
    }
    if (error == ETIMEDOUT) {
        connect_timed_out(c);
    }
    else if (error) {
        connect_failed(c, apr_strerror(APR_FROM_OS_ERROR(error), text, sizeof(text)));
    }
    else {
        secure_begin(c);
    }
}

static void on_targets(void *baton, const target_t *list, unsigned n, const char *error)
{
    c2s_t *c = baton;

    if (n == 0) {
        c->is_nameless = error != names_no_memory;
        fail(c, error ? error : "the name has no address", BOSH_COND_REMOTE_CONNECTION_FAILED);
        return;
    }
    memcpy(c->target, list, n * sizeof(*list));
    c->targets = (uint8_t)n;
    c->tried = 0;
    connect_next(c);
}

static void on_addresses(void *baton, const address_t *list, unsigned n, const char *error)
{
    const c2s_t *c = baton;
    target_t targets[MAX_ADDRESSES];

    for (unsigned i = 0; i < n; i++) {
        targets[i] = (target_t){ .address = list[i], .direct = c->is_direct };
    }
    on_targets(baton, targets, n, error);
}

void connect_elsewhere(c2s_t *c, const char *host, uint16_t port)
{
    c->is_direct = c->target[c->tried - 1].direct;
    c->state = FINDING;
    c->deadline = 0;
    c->tried = c->targets = 0;
    names_find(c->k->names, host, port, on_addresses, c);
}

void connect_begin(c2s_t *c)
{
    const bosh_upstream_t *u = c->upstream;
    const address_t path = { .family = AF_UNIX };

    c->state = FINDING;
    c->is_direct = u->tls == BOSH_TLS_DIRECT;
    switch ((bosh_reach_t)u->reach) {
    case BOSH_REACH_UNIX: on_addresses(c, &path, 1, NULL); break;
    case BOSH_REACH_HOST: names_find(c->k->names, u->host, u->port, on_addresses, c); break;
    default:
        names_find_service(c->k->names, u->host, u->tls != BOSH_TLS_OFF, true, on_targets, c);
        break;
    }
}
