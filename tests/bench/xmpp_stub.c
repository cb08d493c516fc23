/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * xmpp_stub - an XMPP server that does next to nothing, so that a benchmark sees
 * the connection manager in front of it and not the server.
 *
 *   xmpp_stub PORT [DOMAIN]
 *
 * Listens on 127.0.0.1 only. Lets everybody in (SASL PLAIN with any password, and
 * ANONYMOUS), binds a resource, answers the old session request and pings, and
 * hands every message back to the one who sent it. It knows no XML beyond finding
 * where a stanza ends: it is meant for peers that write clean XML.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_STANZA (1024 * 1024)

typedef struct bytes_t {
    char *p;
    size_t len, size;
} bytes_t;

typedef struct peer_t {
    int fd;
    unsigned number;
    bool is_authenticated, is_open, is_ending, is_watching_out;
    char user[128];
    char jid[256];
    bytes_t in, out;
    size_t out_done;
    /* How far the framer came: the part of `in` before scanned is read. */
    size_t scanned, tag;
    unsigned depth;
    char quote;
    bool in_tag;
} peer_t;

static int epoll_fd, listener;
static const char *domain = "localhost";
static volatile sig_atomic_t is_stopping;

/* ---- bytes ------------------------------------------------------------- */

static void append(bytes_t *b, const char *p, size_t len)
{
    if (b->len + len > b->size) {
        size_t size = b->size ? b->size : 512;

        while (size < b->len + len) {
            size *= 2;
        }
        b->p = realloc(b->p, size);
        if (b->p == NULL) {
            perror("xmpp_stub");
            exit(2);
        }
        b->size = size;
    }
    memcpy(b->p + b->len, p, len);
    b->len += len;
}

static void say(peer_t *peer, const char *text)
{
    append(&peer->out, text, strlen(text));
}

/* An empty buffer gives its memory back: idle peers cost little. */
static void empty(bytes_t *b)
{
    free(b->p);
    memset(b, 0, sizeof(*b));
}

/* ---- what stanzas say -------------------------------------------------- */

/* The value of an attribute of the first tag, raw; "" if absent. */
static void attr(const char *p, size_t len, const char *name, char *dst, size_t size)
{
    const char *end = memchr(p, '>', len);
    size_t name_len = strlen(name);

    dst[0] = '\0';
    for (const char *at = p; end != NULL && at + name_len + 3 < end; at++) {
        const char *close;

        if ((*at != ' ' && *at != '\n') || memcmp(at + 1, name, name_len) != 0
            || at[name_len + 1] != '=') {
            continue;
        }
        at += name_len + 2;
        close = memchr(at + 1, *at, (size_t)(end - at));
        if (close != NULL && (size_t)(close - at) <= size) {
            memcpy(dst, at + 1, (size_t)(close - at - 1));
            dst[close - at - 1] = '\0';
        }
        return;
    }
}

static bool begins(const char *p, size_t len, const char *tag)
{
    size_t n = strlen(tag);

    return len > n && memcmp(p, tag, n) == 0 && strchr(" \n/>", p[n]) != NULL;
}

static bool contains(const char *p, size_t len, const char *word)
{
    return memmem(p, len, word, strlen(word)) != NULL;
}

static int sextet(char c)
{
    static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(abc, c) : NULL;

    return at ? (int)(at - abc) : -1;
}

/* PLAIN says authzid NUL user NUL password; dst gets the user. */
static void read_plain(const char *p, size_t len, char *dst, size_t size)
{
    const char *text = memchr(p, '>', len);
    char plain[512];
    size_t n = 0, begin;
    unsigned bits = 0, v = 0;

    for (text = text ? text + 1 : p + len; text < p + len && n < sizeof(plain) - 1; text++) {
        int six = sextet(*text);

        if (six < 0) {
            break;
        }
        v = v << 6 | (unsigned)six;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            plain[n++] = (char)(v >> bits & 255);
        }
    }
    plain[n] = '\0';
    begin = strlen(plain) + 1;
    snprintf(dst, size, "%s", begin < n ? plain + begin : "");
}

/* ---- answers ----------------------------------------------------------- */

static void on_stream(peer_t *peer, const char *p, size_t len)
{
    char to[128], head[512];

    attr(p, len, "to", to, sizeof(to));
    snprintf(head, sizeof(head),
             "<?xml version='1.0'?><stream:stream from='%s' id='s%u' version='1.0' xml:lang='en' "
             "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
             to[0] ? to : domain, peer->number);
    say(peer, head);
    peer->is_open = true;
    if (peer->is_authenticated) {
        say(peer, "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
                  "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>"
                  "</stream:features>");
    }
    else {
        say(peer, "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
                  "<mechanism>PLAIN</mechanism><mechanism>ANONYMOUS</mechanism></mechanisms>"
                  "</stream:features>");
    }
}

static void on_auth(peer_t *peer, const char *p, size_t len)
{
    char mechanism[32];

    attr(p, len, "mechanism", mechanism, sizeof(mechanism));
    if (strcmp(mechanism, "PLAIN") == 0) {
        read_plain(p, len, peer->user, sizeof(peer->user));
    }
    if (peer->user[0] == '\0') {
        snprintf(peer->user, sizeof(peer->user), "guest%u", peer->number);
    }
    peer->is_authenticated = true;
    say(peer, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
}

static void on_iq(peer_t *peer, const char *p, size_t len)
{
    char id[128], type[16], head[256];

    attr(p, len, "id", id, sizeof(id));
    attr(p, len, "type", type, sizeof(type));
    if (strcmp(type, "get") != 0 && strcmp(type, "set") != 0) {
        return;
    }
    snprintf(head, sizeof(head), "<iq type='result' id='%s'>", id);
    say(peer, head);
    if (contains(p, len, "urn:ietf:params:xml:ns:xmpp-bind")) {
        snprintf(peer->jid, sizeof(peer->jid), "%s@%s/r%u", peer->user, domain, peer->number);
        say(peer, "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>");
        say(peer, peer->jid);
        say(peer, "</jid></bind>");
    }
    say(peer, "</iq>");
}

/* The message as it came, with its sender put in. */
static void on_message(peer_t *peer, const char *p, size_t len)
{
    static const char tag[] = "<message";

    say(peer, "<message from='");
    say(peer, peer->jid);
    say(peer, "'");
    append(&peer->out, p + sizeof(tag) - 1, len - sizeof(tag) + 1);
}

static void on_element(peer_t *peer, const char *p, size_t len)
{
    if (begins(p, len, "<message")) {
        on_message(peer, p, len);
    }
    else if (begins(p, len, "<iq")) {
        on_iq(peer, p, len);
    }
    else if (begins(p, len, "<auth")) {
        on_auth(peer, p, len);
    }
}

/* ---- framing ----------------------------------------------------------- */

/* A tag from p to its '>' is complete. Returns true if an element ended with it. */
static bool on_tag(peer_t *peer, const char *p, size_t len)
{
    if (p[1] == '?') {
        return false;
    }
    if (peer->depth == 0 && begins(p, len, "<stream:stream")) {
        on_stream(peer, p, len);
        return true;
    }
    if (p[1] == '/') {
        if (peer->depth == 0) {
            say(peer, "</stream:stream>");
            peer->is_ending = true;
            return true;
        }
        peer->depth--;
    }
    else if (p[len - 2] != '/') {
        peer->depth++;
    }
    return peer->depth == 0;
}

/* Looks at what is new in `in`, acts on each element that ended, and drops what
 * was acted on. `begin` is where the element under way begins. */
static void read_elements(peer_t *peer)
{
    size_t begin = 0;

    for (; peer->scanned < peer->in.len; peer->scanned++) {
        char c = peer->in.p[peer->scanned];

        if (peer->quote) {
            peer->quote = c == peer->quote ? '\0' : peer->quote;
        }
        else if (!peer->in_tag) {
            if (c == '<') {
                peer->in_tag = true;
                peer->tag = peer->scanned;
                begin = peer->depth == 0 ? peer->scanned : begin;
            }
        }
        else if (c == '"' || c == '\'') {
            peer->quote = c;
        }
        else if (c == '>') {
            size_t end = peer->scanned + 1;

            peer->in_tag = false;
            if (on_tag(peer, peer->in.p + peer->tag, end - peer->tag)) {
                on_element(peer, peer->in.p + begin, end - begin);
                begin = end;
            }
        }
    }
    if (begin == peer->in.len || (peer->depth == 0 && !peer->in_tag)) {
        empty(&peer->in);
        peer->scanned = 0;
    }
    else if (begin > 0) {
        memmove(peer->in.p, peer->in.p + begin, peer->in.len - begin);
        peer->in.len -= begin;
        peer->scanned -= begin;
        peer->tag -= peer->tag >= begin ? begin : peer->tag;
    }
}

/* ---- sockets ----------------------------------------------------------- */

static void drop(peer_t *peer)
{
    close(peer->fd);
    empty(&peer->in);
    empty(&peer->out);
    free(peer);
}

static void watch(peer_t *peer, int op, bool with_out)
{
    struct epoll_event ev = { .events = EPOLLIN | (with_out ? (uint32_t)EPOLLOUT : 0),
                              .data.ptr = peer };

    epoll_ctl(epoll_fd, op, peer->fd, &ev);
    peer->is_watching_out = with_out;
}

/* False if the peer is gone or done. */
static bool flush(peer_t *peer)
{
    while (peer->out_done < peer->out.len) {
        ssize_t n = send(peer->fd, peer->out.p + peer->out_done, peer->out.len - peer->out_done,
                         MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN) {
            if (!peer->is_watching_out) {
                watch(peer, EPOLL_CTL_MOD, true);
            }
            return true;
        }
        if (n <= 0) {
            return false;
        }
        peer->out_done += (size_t)n;
    }
    empty(&peer->out);
    peer->out_done = 0;
    if (peer->is_watching_out) {
        watch(peer, EPOLL_CTL_MOD, false);
    }
    return !peer->is_ending;
}

static void on_peer(peer_t *peer, uint32_t events)
{
    static char chunk[65536];
    ssize_t n;

    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        n = recv(peer->fd, chunk, sizeof(chunk), 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            drop(peer);
            return;
        }
        if (n > 0) {
            append(&peer->in, chunk, (size_t)n);
            read_elements(peer);
        }
    }
    if (!flush(peer) || peer->in.len > MAX_STANZA) {
        drop(peer);
    }
}

static void accept_all(void)
{
    static const int on = 1;
    static unsigned count;
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        peer_t *peer = calloc(1, sizeof(*peer));

        if (peer == NULL) {
            perror("xmpp_stub");
            exit(2);
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        peer->fd = fd;
        peer->number = ++count;
        watch(peer, EPOLL_CTL_ADD, false);
    }
}

static void open_listener(const char *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
    struct epoll_event ev = { .events = EPOLLIN };
    static const int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0
        || listen(listener, 4096) != 0) {
        perror("xmpp_stub: listen");
        exit(1);
    }
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &ev);
}

static void on_signal(int sig)
{
    (void)sig;
    is_stopping = 1;
}

int main(int argc, char **argv)
{
    struct epoll_event events[256];
    struct sigaction sa = { .sa_handler = on_signal };
    struct rlimit files;

    if (argc < 2 || argc > 3) {
        fprintf(stderr, "xmpp_stub PORT [DOMAIN]\n");
        return 2;
    }
    domain = argc == 3 ? argv[2] : domain;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    open_listener(argv[1]);
    while (!is_stopping) {
        int n = epoll_wait(epoll_fd, events, 256, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL) {
                accept_all();
            }
            else {
                on_peer(events[i].data.ptr, events[i].events);
            }
        }
    }
    return 0;
}
