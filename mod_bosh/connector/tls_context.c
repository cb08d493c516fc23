/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * What connections have in common: options, and the authorities that are trusted. One SSL_CTX
 * for each set of authorities, made anew when the files have changed; the connections that
 * have the old one keep it until they end (OpenSSL counts).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <fcntl.h>

#include <openssl/err.h>

#include "tls_int.h"

#define MAX_CONTEXTS 16
/* Between two looks at the same files. */
#define LOOK_MS      BOSH_SEC(1)
/* A chain of four with post-quantum signatures has room in this; OpenSSL's own limit is 100 KB,
 * which a server could make us read, parse and keep for each connection. */
#define MAX_CHAIN    32768
#define MAX_DEPTH    10

/* What tells one state of a file from another. */
typedef struct stamp_t {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime, ctime;
} stamp_t;

typedef struct context_t {
    char *ca_file, *ca_path; /* "": none */
    bool verify;
    bool was_looked_at;
    bosh_msec_t looked;
    uint64_t used; /* the larger, the later */
    stamp_t file, path;
    SSL_CTX *ctx; /* NULL: error says why */
    char error[600];
} context_t;

static context_t contexts[MAX_CONTEXTS];
static uint64_t uses;

/* ---- files ---------------------------------------------------------------- */

static stamp_t stamp(const char *path)
{
    stamp_t s = { 0 };
    struct stat st;

    if (path && *path && stat(path, &st) == 0) {
        s.dev = st.st_dev;
        s.ino = st.st_ino;
        s.size = st.st_size;
        s.mtime = st.st_mtim;
        s.ctime = st.st_ctim;
    }
    return s;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_stamp(const stamp_t *a, const stamp_t *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size
           && same_time(a->mtime, b->mtime) && same_time(a->ctime, b->ctime);
}

static bool is_given(const char *path)
{
    return path && *path;
}

/* The system's authorities stand where OpenSSL was told when it was built, or where the
 * environment says. */
static const char *file_of(const context_t *c)
{
    const char *path = getenv(X509_get_default_cert_file_env());

    if (c->ca_file[0] || c->ca_path[0]) {
        return c->ca_file;
    }
    return is_given(path) ? path : X509_get_default_cert_file();
}

static const char *path_of(const context_t *c)
{
    const char *path = getenv(X509_get_default_cert_dir_env());

    if (c->ca_file[0] || c->ca_path[0]) {
        return c->ca_path;
    }
    return is_given(path) ? path : X509_get_default_cert_dir();
}

/* OpenSSL would take a folder that is not there for an empty one, and wait for a FIFO. */
static bool is_readable(context_t *c, const char *path, mode_t type)
{
    const char *why = NULL;
    struct stat st;
    int fd;

    if (!*path) {
        return true;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0) {
        why = strerror(errno);
    }
    else if ((st.st_mode & S_IFMT) != type) {
        why = type == S_IFDIR ? "it is not a directory" : "it is not a file";
    }
    if (fd >= 0) {
        close(fd);
    }
    if (why) {
        snprintf(c->error, sizeof(c->error), "the authorities in %s cannot be read: %s", path, why);
    }
    return !why;
}

/* ---- contexts ------------------------------------------------------------- */

/* Says in c->error what OpenSSL said. */
static void say_error(context_t *c, const char *what, const char *which)
{
    const char *why = ERR_reason_error_string(ERR_peek_error());

    snprintf(c->error, sizeof(c->error), "%s%s%s", what, which, why ? why : "no memory");
}

/* What the system's openssl.cnf demands beyond this stays; what it gives up does not. */
static bool set_options(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    SSL_CTX_clear_options(ctx,
                          SSL_OP_LEGACY_SERVER_CONNECT | SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION);
#ifdef SSL_OP_IGNORE_UNEXPECTED_EOF
    SSL_CTX_clear_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
#endif
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    /* Without AUTO_RETRY a read ends with each record that is none of ours: tickets, key updates
     * and the like, sent without end, cannot hold the loop. */
    SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE
                              | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 0);
    SSL_CTX_set_max_cert_list(ctx, MAX_CHAIN);
    return SSL_CTX_get_min_proto_version(ctx) >= TLS1_2_VERSION
           || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
}

static bool load_authorities(context_t *c, SSL_CTX *ctx)
{
    const char *file = c->ca_file[0] ? c->ca_file : NULL;
    const char *path = c->ca_path[0] ? c->ca_path : NULL;

    if (!file && !path) {
        return SSL_CTX_set_default_verify_paths(ctx) == 1;
    }
    if (!is_readable(c, c->ca_file, S_IFREG) || !is_readable(c, c->ca_path, S_IFDIR)) {
        return false;
    }
    if (SSL_CTX_load_verify_locations(ctx, file, path) != 1) {
        say_error(c, "no certificates of authorities can be read from ", file ? file : path);
        return false;
    }
    /* Whatever was put there is trusted, whether or not it is a root. */
    return X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN) == 1;
}

static bool fill(context_t *c, SSL_CTX *ctx)
{
    if (!set_options(ctx)) {
        return false;
    }
    SSL_CTX_set_verify_depth(ctx, MAX_DEPTH);
    if (!c->verify) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
        SSL_CTX_set_cert_verify_callback(ctx, tls_verify_nothing, NULL);
        return true;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, tls_verify, NULL);
    return load_authorities(c, ctx);
}

static void make(context_t *c)
{
    SSL_CTX *ctx;

    ERR_clear_error();
    SSL_CTX_free(c->ctx);
    c->ctx = NULL;
    c->error[0] = '\0';
    ctx = SSL_CTX_new(TLS_client_method());
    if (ctx && fill(c, ctx)) {
        c->ctx = ctx;
        return;
    }
    if (!c->error[0]) {
        say_error(c, "TLS cannot be set up: ", "");
    }
    SSL_CTX_free(ctx);
}

/* What could not be made is tried again. */
static void look(context_t *c, bosh_msec_t now)
{
    stamp_t file, path;

    if (c->was_looked_at && now - c->looked < LOOK_MS) {
        return;
    }
    file = stamp(c->verify ? file_of(c) : NULL);
    path = stamp(c->verify ? path_of(c) : NULL);
    if (!c->ctx || !same_stamp(&file, &c->file) || !same_stamp(&path, &c->path)) {
        make(c);
    }
    c->file = file;
    c->path = path;
    c->looked = now;
    c->was_looked_at = true;
}

/* ---- the cache ------------------------------------------------------------ */

static void forget(context_t *c)
{
    SSL_CTX_free(c->ctx);
    free(c->ca_file);
    free(c->ca_path);
    *c = (context_t){ 0 };
}

static context_t *find(const char *ca_file, const char *ca_path, bool verify)
{
    for (unsigned i = 0; i < MAX_CONTEXTS; i++) {
        context_t *c = &contexts[i];

        if (c->ca_file && strcmp(c->ca_file, ca_file) == 0 && strcmp(c->ca_path, ca_path) == 0
            && c->verify == verify) {
            return c;
        }
    }
    return NULL;
}

/* A free place, or that of the one that was not used for the longest time. */
static context_t *add(const char *ca_file, const char *ca_path, bool verify)
{
    context_t *c = &contexts[0];

    for (unsigned i = 1; i < MAX_CONTEXTS; i++) {
        if (contexts[i].used < c->used) {
            c = &contexts[i];
        }
    }
    forget(c);
    c->ca_file = strdup(ca_file);
    c->ca_path = strdup(ca_path);
    c->verify = verify;
    if (!c->ca_file || !c->ca_path) {
        forget(c);
        return NULL;
    }
    return c;
}

SSL_CTX *tls_context(const tls_want_t *want, const char **error)
{
    const char *ca_file = want->verify && want->ca_file ? want->ca_file : "";
    const char *ca_path = want->verify && want->ca_path ? want->ca_path : "";
    context_t *c = find(ca_file, ca_path, want->verify);

    c = c ? c : add(ca_file, ca_path, want->verify);
    if (!c) {
        *error = "no memory";
        return NULL;
    }
    c->used = ++uses;
    look(c, want->now);
    *error = c->ctx ? NULL : c->error;
    return c->ctx;
}
