/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * HTTP/1.1 connections of the load generator: one POST at a time on each, kept
 * alive, opened when first needed and again when the server closed them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define MAX_ANSWER (1024 * 1024)
#define MAX_TRIES  4

void bytes_append(bytes_t *b, const void *p, size_t len)
{
    if (b->len + len > b->size) {
        size_t size = b->size ? b->size : 1024;
        char *grown;

        while (size < b->len + len) {
            size *= 2;
        }
        grown = realloc(b->p, size);
        if (grown == NULL) {
            perror("bosh_load");
            exit(2);
        }
        b->p = grown;
        b->size = size;
    }
    memcpy(b->p + b->len, p, len);
    b->len += len;
}

void conn_init(conn_t *c, struct session_t *session)
{
    memset(c, 0, sizeof(*c));
    c->session = session;
    c->fd = -1;
}

void conn_close(conn_t *c)
{
    if (c->fd >= 0) {
        close(c->fd);
    }
    c->fd = -1;
    c->answers = 0;
}

static void watch(conn_t *c, int op, bool with_out)
{
    struct epoll_event ev = { .events = EPOLLIN | (with_out ? (uint32_t)EPOLLOUT : 0),
                              .data.ptr = c };

    if (epoll_ctl(load.epoll, op, c->fd, &ev) != 0) {
        perror("bosh_load: epoll_ctl");
        exit(2);
    }
    c->watching_out = with_out;
}

static bool conn_open(conn_t *c)
{
    static const int on = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        perror("bosh_load: socket");
        exit(2);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(c->fd, (struct sockaddr *)&load.opt.address, sizeof(load.opt.address)) != 0
        && errno != EINPROGRESS) {
        conn_close(c);
        return false;
    }
    watch(c, EPOLL_CTL_ADD, false);
    return true;
}

/* Writes what is left of the request; false if the connection is broken. */
static bool flush(conn_t *c)
{
    while (c->out_done < c->out.len) {
        ssize_t n = send(c->fd, c->out.p + c->out_done, c->out.len - c->out_done, MSG_NOSIGNAL);

        if (n < 0 && (errno == EAGAIN || errno == ENOTCONN)) {
            if (!c->watching_out) {
                watch(c, EPOLL_CTL_MOD, true);
            }
            return true;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        c->out_done += (size_t)n;
    }
    if (c->watching_out) {
        watch(c, EPOLL_CTL_MOD, false);
    }
    return true;
}

static void expect_answer(conn_t *c)
{
    c->out_done = 0;
    c->in.len = 0;
    c->head_len = 0;
}

/* The connection went while a request was out. A server may close a kept-alive
 * connection at any moment, so the same bytes go out on a new one: BOSH allows a
 * request to be repeated. */
static void send_again(conn_t *c)
{
    do {
        if (c->answers > 0) {
            load.count.reconnects++;
        }
        else {
            load.count.broken++;
        }
        conn_close(c);
        if (++c->tries >= MAX_TRIES) {
            c->busy = false;
            session_on_broken(c->session, c);
            return;
        }
        expect_answer(c);
    } while (!conn_open(c) || !flush(c));
}

void conn_post(conn_t *c, uint64_t rid, const char *body, size_t len)
{
    char head[1024];
    int n = snprintf(head, sizeof(head),
                     "POST %s HTTP/1.1\r\n"
                     "Host: %s\r\n"
                     "User-Agent: bosh_load\r\n"
                     "Accept: */*\r\n"
                     "Content-Type: text/xml; charset=utf-8\r\n"
                     "Content-Length: %zu\r\n"
                     "\r\n",
                     load.opt.path, load.opt.host, len);

    c->out.len = 0;
    bytes_append(&c->out, head, (size_t)n);
    bytes_append(&c->out, body, len);
    c->rid = rid;
    c->busy = true;
    c->tries = 0;
    c->sent_at = now_ns();
    load.count.requests++;
    expect_answer(c);
    if ((c->fd < 0 && !conn_open(c)) || !flush(c)) {
        send_again(c);
    }
}

static void read_header_line(conn_t *c, const char *line, size_t len)
{
    static const char length[] = "content-length:";
    static const char encoding[] = "transfer-encoding: chunked";
    static const char closing[] = "connection: close";

    if (len > sizeof(length) && strncasecmp(line, length, sizeof(length) - 1) == 0) {
        c->body_len = strtoul(line + sizeof(length) - 1, NULL, 10);
    }
    else if (len >= sizeof(encoding) - 1
             && strncasecmp(line, encoding, sizeof(encoding) - 1) == 0) {
        c->chunked = true;
    }
    else if (len >= sizeof(closing) - 1 && strncasecmp(line, closing, sizeof(closing) - 1) == 0) {
        c->close_after = true;
    }
}

/* Looks for the end of the head; false if the answer is not HTTP. */
static bool read_head(conn_t *c)
{
    char *end = memmem(c->in.p, c->in.len, "\r\n\r\n", 4);
    char *line, *eol;

    if (end == NULL) {
        return c->in.len < 16384;
    }
    c->head_len = (size_t)(end - c->in.p) + 4;
    c->body_len = 0;
    c->chunked = c->close_after = false;
    if (c->head_len < 16 || memcmp(c->in.p, "HTTP/1.", 7) != 0) {
        return false;
    }
    c->status = atoi(c->in.p + 9);
    for (line = c->in.p; line < end; line = eol + 2) {
        eol = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
        if (eol == NULL) {
            return false;
        }
        read_header_line(c, line, (size_t)(eol - line));
    }
    return c->body_len < MAX_ANSWER;
}

/* Joins the chunks in place. Returns the length, or -1 if more must come. */
static ssize_t join_chunks(char *p, size_t len)
{
    size_t at = 0, joined = 0;

    /* Once over the sizes, so that nothing moves before everything is here. */
    for (int pass = 0; pass < 2; pass++) {
        for (at = 0, joined = 0;;) {
            char *eol = memmem(p + at, len - at, "\r\n", 2);
            size_t size;

            if (eol == NULL) {
                return -1;
            }
            size = strtoul(p + at, NULL, 16);
            at = (size_t)(eol - p) + 2;
            if (size > MAX_ANSWER || at + size + 2 > len) {
                return -1;
            }
            if (size == 0) {
                break;
            }
            if (pass == 1) {
                memmove(p + joined, p + at, size);
            }
            joined += size;
            at += size + 2;
        }
    }
    return (ssize_t)joined;
}

static void answer_complete(conn_t *c, size_t body_len)
{
    c->busy = false;
    c->answers++;
    if (c->close_after) {
        conn_close(c);
    }
    if (c->status != 200) {
        load.count.http_errors++;
        load_complain(c->session, "HTTP status", c->in.p, c->in.len < 40 ? c->in.len : 40);
    }
    session_on_answer(c->session, c, c->in.p + c->head_len, body_len);
}

/* Calls answer_complete() if everything is here; false if the answer is not HTTP. */
static bool look_at_answer(conn_t *c)
{
    ssize_t joined;

    if (c->head_len == 0 && !read_head(c)) {
        return false;
    }
    if (c->head_len == 0) {
        return true;
    }
    if (c->chunked) {
        joined = join_chunks(c->in.p + c->head_len, c->in.len - c->head_len);
        if (joined >= 0) {
            answer_complete(c, (size_t)joined);
        }
    }
    else if (c->in.len >= c->head_len + c->body_len) {
        answer_complete(c, c->body_len);
    }
    return c->in.len < MAX_ANSWER;
}

void conn_on_event(conn_t *c, uint32_t events)
{
    static char chunk[65536];
    ssize_t n;

    if (c->fd < 0) {
        return; /* closed while an earlier event of the same batch was handled */
    }
    if ((events & EPOLLOUT) && c->busy && !flush(c)) {
        send_again(c);
        return;
    }
    if (!(events & (EPOLLIN | EPOLLERR | EPOLLHUP))) {
        return;
    }
    n = recv(c->fd, chunk, sizeof(chunk), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        if (c->busy) {
            send_again(c);
        }
        else {
            conn_close(c);
        }
        return;
    }
    if (!c->busy) {
        load_complain(c->session, "bytes that nobody asked for", chunk, (size_t)n);
        load.count.http_errors++;
        conn_close(c);
        return;
    }
    bytes_append(&c->in, chunk, (size_t)n);
    if (!look_at_answer(c)) {
        load.count.http_errors++;
        load_complain(c->session, "not HTTP", c->in.p, c->in.len < 80 ? c->in.len : 80);
        conn_close(c);
        c->busy = false;
        session_on_broken(c->session, c);
    }
}
