/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * OpenSSL's way to the socket. Its own BIO for sockets writes with write(), which may
 * raise SIGPIPE, and cannot say whether a read stopped for want of bytes.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/bio.h>

#include "tls_int.h"

static void note_head(tls_t *t, const char *p, size_t len)
{
    size_t room = sizeof(t->head) - t->head_len;

    len = len < room ? len : room;
    memcpy(t->head + t->head_len, p, len);
    t->head_len = (uint8_t)(t->head_len + len);
}

static int on_read(BIO *bio, char *p, int size)
{
    tls_t *t = BIO_get_data(bio);
    ssize_t n;

    BIO_clear_retry_flags(bio);
    if (size <= 0) {
        return 0;
    }
    do {
        n = recv(t->fd, p, (size_t)size, 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        note_head(t, p, (size_t)n);
    }
    else if (n == 0) {
        t->is_eof = true;
    }
    else if (errno == EAGAIN) {
        t->is_dry = true;
        BIO_set_retry_read(bio);
    }
    else {
        t->os_error = errno;
    }
    return (int)n;
}

static int on_write(BIO *bio, const char *p, int len)
{
    tls_t *t = BIO_get_data(bio);
    ssize_t n;

    BIO_clear_retry_flags(bio);
    if (len <= 0) {
        return 0;
    }
    do {
        n = send(t->fd, p, (size_t)len, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        BIO_set_retry_write(bio);
    }
    else if (n < 0) {
        t->os_error = errno;
    }
    return (int)n;
}

static long on_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    const tls_t *t = BIO_get_data(bio);

    (void)num, (void)ptr;
    switch (cmd) {
    case BIO_CTRL_FLUSH: return 1;
    case BIO_CTRL_EOF: return t->is_eof;
    default: return 0;
    }
}

static int on_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

/* One for the process's whole life. */
static BIO_METHOD *method(void)
{
    static BIO_METHOD *m;

    if (!m) {
        m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "XMPP server");
    }
    if (m
        && !(BIO_meth_set_read(m, on_read) && BIO_meth_set_write(m, on_write)
             && BIO_meth_set_ctrl(m, on_ctrl) && BIO_meth_set_create(m, on_create))) {
        return NULL;
    }
    return m;
}

BIO *tls_bio_create(tls_t *t)
{
    const BIO_METHOD *m = method();
    BIO *bio = m ? BIO_new(m) : NULL;

    if (bio) {
        BIO_set_data(bio, t);
    }
    return bio;
}
