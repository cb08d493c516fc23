/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * What the parent tells connectors, over the control socket. Before its configuration goes:
 * that it does. With the new one: the new error log, or they would go on writing into the
 * file that was rotated away. If the module is not in the new one, nothing more is told.
 */

#include "parent_int.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "apr_portable.h"
#include "http_log.h"

APLOG_USE_MODULE(bosh);

#define HANDOVER_MAGIC 0x626f7302

typedef struct handover_t {
    int magic;
    int level;            /* LogLevel for this module; unless patience is told */
    bosh_msec_t patience; /* 0: the module is there again */
} handover_t;

void handover_send(const process_t *p, server_rec *s)
{
    handover_t h = { HANDOVER_MAGIC, ap_get_server_module_loglevel(s, APLOG_MODULE_INDEX), 0 };
    struct iovec iov = { &h, sizeof(h) };
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    apr_os_file_t fd;
    ssize_t n;

    if (s->error_log && apr_os_file_get(&fd, s->error_log) == APR_SUCCESS) {
        struct cmsghdr *c;

        msg.msg_control = control.space;
        msg.msg_controllen = sizeof(control.space);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(int));
    }
    do {
        n = sendmsg(p->control[0], &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, apr_get_netos_error(), s,
                     BOSHNO(2010) "connector %u did not get the new error log", p->index);
    }
}

void handover_announce(const process_t *p, bosh_msec_t patience)
{
    const handover_t h = { HANDOVER_MAGIC, 0, patience > 0 ? patience : 1 };

    (void)send(p->control[0], &h, sizeof(h), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void take_log(const struct msghdr *msg, server_rec *s)
{
    const struct cmsghdr *c = msg->msg_controllen ? CMSG_FIRSTHDR(msg) : NULL;
    apr_os_file_t old;
    int fd;

    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
        return;
    }
    memcpy(&fd, CMSG_DATA(c), sizeof(int));
    if (s->error_log && apr_os_file_get(&old, s->error_log) == APR_SUCCESS) {
        dup3(fd, old, O_CLOEXEC);
    }
    dup2(fd, STDERR_FILENO);
    close(fd);
}

bool handover_receive(int socket, server_rec *s, bosh_msec_t *patience)
{
    handover_t h = { 0, 0, 0 };
    struct iovec iov = { &h, sizeof(h) };
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.space,
                          .msg_controllen = sizeof(control.space) };
    ssize_t n = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (n < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    if (n != sizeof(h) || h.magic != HANDOVER_MAGIC) {
        return false; /* the parent is gone, or is not ours any more */
    }
    *patience = h.patience;
    if (h.patience) {
        return true;
    }
    take_log(&msg, s);
    s->log.level = h.level;
    s->log.module_levels = NULL;
    return true;
}
