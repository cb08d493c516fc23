/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* From a host name to a connected socket: one address after the other. */

#include <string.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <apr_portable.h>
#include <apr_strings.h>

#include "connector_int.h"

/* An address that does not answer leaves time for the next. */
#define TRY_MS BOSH_SEC(3)

/* Without TLS nothing leaves this machine: passwords pass here. */
static bool is_loopback(const address_t *a)
{
    static const uint8_t v6[16] = { [15] = 1 };

    return a->family == AF_INET ? a->bytes[0] == 127 : memcmp(a->bytes, v6, 16) == 0;
}

/* Between two lines of the same kind, at the level that everybody sees. */
#define COMPLAINT_MS BOSH_SEC(10)
#define KINDS        64

/* Anybody may ask for sessions, and none of them may get anywhere: a line for each would fill
 * the disk. One kind is a server and a reason. */
static bosh_log_level_t complaint_level(const c2s_t *c, const char *why)
{
    static bosh_msec_t told[KINDS];
    const char *words[] = { c->upstream->to, c->upstream->host, why };
    uint32_t h = 2166136261u ^ c->upstream->port; /* FNV-1a */
    bosh_msec_t then;

    for (unsigned i = 0; i < sizeof(words) / sizeof(*words); i++) {
        for (const char *p = words[i]; *p; p++) {
            h = (h ^ (unsigned char)*p) * 16777619u;
        }
    }
    then = told[h % KINDS];
    if (then && c->k->now - then < COMPLAINT_MS) {
        return BOSH_LOG_DEBUG;
    }
    told[h % KINDS] = c->k->now;
    return BOSH_LOG_ERR;
}

static void fail(c2s_t *c, const char *why, bosh_condition_t condition)
{
    bosh_log(complaint_level(c, why), BOSHNO(1001) "%s: %s:%u, the XMPP server of %s: %s", c->name,
             c->upstream->host, c->upstream->port, c->upstream->to, why);
    c2s_end(c, condition, BOSH_REASON_CONNECT_FAILED);
}

/* It is we who have no descriptor or no memory: the server may be well. */
static bosh_condition_t condition_of(apr_status_t why)
{
    return APR_STATUS_IS_EMFILE(why) || APR_STATUS_IS_ENFILE(why) || APR_STATUS_IS_ENOMEM(why)
                   || why == ENOBUFS
               ? BOSH_COND_INTERNAL_SERVER_ERROR
               : BOSH_COND_REMOTE_CONNECTION_FAILED;
}

static apr_status_t begin_connect(c2s_t *c, const address_t *a)
{
    struct sockaddr_storage ss = { 0 };
    socklen_t len;
    apr_os_sock_t fd;
    int on = 1;

    if (a->family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)&ss;

        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->bytes, 4);
        len = sizeof(*in);
    }
    else {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;

        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(a->port);
        memcpy(&in6->sin6_addr, a->bytes, 16);
        len = sizeof(*in6);
    }
    /* apr_socket_connect() wants its address in a pool that outlives the socket;
     * nobody asks this socket for its peer again. */
    apr_os_sock_get(&fd, c->sock);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    return connect(fd, (struct sockaddr *)&ss, len) == 0 ? APR_SUCCESS : apr_get_netos_error();
}

static void on_ready(watch_t *w, apr_int16_t events)
{
    c2s_t *c = (c2s_t *)w;

    if (c->state == CONNECTING) {
        connect_ready(c);
        return;
    }
    if ((events & APR_POLLOUT) && !up_move(c)) {
        return;
    }
    if (events & (APR_POLLIN | APR_POLLHUP | APR_POLLERR)) {
        down_ready(c);
    }
}

static apr_status_t try_address(c2s_t *c, const address_t *a)
{
    apr_status_t rv;

    c->sock = shell_open(c->k, a->family);
    if (!c->sock) {
        return apr_get_netos_error();
    }
    rv = begin_connect(c, a);
    /* Interrupted, it goes on as if it were in progress. */
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EINPROGRESS(rv) && !APR_STATUS_IS_EINTR(rv)) {
        return rv;
    }
    watch_init_socket(&c->watch, c->k, c->sock, on_ready);
    return watch_set(&c->watch, APR_POLLOUT);
}

void connect_next(c2s_t *c, apr_status_t why)
{
    char text[128];

    while (c->tried < c->addresses) {
        const address_t *a = &c->address[c->tried++];

        c2s_close_socket(c);
        if (!is_loopback(a)) {
            fail(c, "not a loopback address, and TLS to XMPP servers is not available: refused",
                 BOSH_COND_REMOTE_CONNECTION_FAILED);
            return;
        }
        why = try_address(c, a);
        if (why == APR_SUCCESS) {
            c->deadline = c->k->now + TRY_MS;
            return;
        }
    }
    fail(c, apr_strerror(why, text, sizeof(text)), condition_of(why));
}

void connect_ready(c2s_t *c)
{
    apr_os_sock_t fd;
    int error = 0;
    socklen_t len = sizeof(error);

    apr_os_sock_get(&fd, c->sock);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
        error = errno;
    }
    if (error) {
        connect_next(c, APR_FROM_OS_ERROR(error));
    }
    else {
        c2s_connected(c);
    }
}

static void on_found(void *baton, const address_t *list, unsigned n, const char *error)
{
    c2s_t *c = baton;

    if (n == 0) {
        fail(c, error ? error : "the name has no address", BOSH_COND_REMOTE_CONNECTION_FAILED);
        return;
    }
    memcpy(c->address, list, n * sizeof(*list));
    c->addresses = (uint8_t)n;
    c->tried = 0;
    c->state = CONNECTING;
    connect_next(c, APR_SUCCESS);
}

void connect_begin(c2s_t *c)
{
    c->state = FINDING;
    names_find(c->k->names, c->upstream->host, c->upstream->port, on_found, c);
}
