/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Preloaded into httpd by tests: a wall clock that jumps, system calls that are interrupted
 * or do less than they were asked for, and no random bytes. See shim.py, which writes what
 * shall be into a file that all processes have mapped.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The order is that of shim.py's struct format. */
struct wishes {
    int64_t clock_offset;  /* seconds that the wall clock is ahead */
    int64_t interrupt;     /* each so-manyth call gets EINTR; 0: none */
    int64_t most_bytes;    /* of one read or write on a socket; 0: any */
    int64_t no_random;     /* getrandom() fails */
    int64_t needy;         /* the process that gets no more descriptors; 0: none */
    int64_t scarce;        /* the module gets no piece of memory so large or larger; 0: any */
    int64_t calls, broken; /* told: calls that might have failed, and that did */
};

static struct wishes none, *wishes = &none;

#define NEXT(name)                                          \
    static __typeof__(name) *next;                          \
    if (!next) {                                            \
        next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name); \
    }

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("BOSH_SHIM");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *p = fd >= 0 ? mmap(NULL, sizeof(*wishes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                      : MAP_FAILED;

    if (p != MAP_FAILED) {
        wishes = p;
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* ---- the wall clock -------------------------------------------------------- */

int clock_gettime(clockid_t which, struct timespec *ts)
{
    int rc;
    NEXT(clock_gettime)

    rc = next(which, ts);
    if (rc == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) {
        ts->tv_sec += wishes->clock_offset;
    }
    return rc;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    int rc;
    NEXT(gettimeofday)

    rc = next(tv, zone);
    tv->tv_sec += wishes->clock_offset;
    return rc;
}

time_t time(time_t *out)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    if (out) {
        *out = ts.tv_sec;
    }
    return ts.tv_sec;
}

/* The kernel's own clock did not jump. */
int pthread_cond_timedwait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m,
                           const struct timespec *restrict until)
{
    static int (*next)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    struct timespec ts = *until;

    if (!next) {
        *(void **)&next = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    }
    if (!next) {
        *(void **)&next = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    }
    ts.tv_sec -= wishes->clock_offset;
    return next(c, m, &ts);
}

/* ---- random bytes ------------------------------------------------------------ */

ssize_t getrandom(void *p, size_t len, unsigned flags)
{
    NEXT(getrandom)

    if (wishes->no_random) {
        errno = EIO;
        return -1;
    }
    return next(p, len, flags);
}

/* ---- memory ------------------------------------------------------------------- */

void *__libc_malloc(size_t);

void *malloc(size_t n)
{
    Dl_info info;

    if (wishes->scarce && n >= (size_t)wishes->scarce && dladdr(__builtin_return_address(0), &info)
        && info.dli_fname && strstr(info.dli_fname, "mod_bosh")) {
        __atomic_add_fetch(&wishes->broken, 1, __ATOMIC_RELAXED);
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(n);
}

/* ---- descriptors -------------------------------------------------------------- */

/* Another user's process can be limited only by the privileged; a process itself may. */
static void limit_descriptors(void)
{
    static int64_t limited; /* the process for which this was done: it may have forked */
    static struct rlimit before;
    int64_t pid = getpid();
    struct rlimit now;
    int saved = errno;

    if (wishes->needy == pid && limited != pid && getrlimit(RLIMIT_NOFILE, &before) == 0) {
        now = before;
        now.rlim_cur = 3;
        setrlimit(RLIMIT_NOFILE, &now);
        limited = pid;
    }
    else if (wishes->needy != pid && limited == pid) {
        setrlimit(RLIMIT_NOFILE, &before);
        limited = 0;
    }
    errno = saved;
}

/* ---- interruptions ------------------------------------------------------------- */

static int is_interrupted(void)
{
    int64_t n;

    if (!wishes->interrupt) {
        return 0;
    }
    n = __atomic_add_fetch(&wishes->calls, 1, __ATOMIC_RELAXED);
    if (n % wishes->interrupt) {
        return 0;
    }
    __atomic_add_fetch(&wishes->broken, 1, __ATOMIC_RELAXED);
    errno = EINTR;
    return 1;
}

static size_t shorter(int fd, size_t len)
{
    struct stat st;

    return wishes->most_bytes && len > (size_t)wishes->most_bytes && fstat(fd, &st) == 0
                   && S_ISSOCK(st.st_mode)
               ? (size_t)wishes->most_bytes
               : len;
}

ssize_t read(int fd, void *p, size_t len)
{
    NEXT(read)

    return is_interrupted() ? -1 : next(fd, p, shorter(fd, len));
}

ssize_t __read_chk(int fd, void *p, size_t len, size_t size);
ssize_t __read_chk(int fd, void *p, size_t len, size_t size)
{
    if (len > size) {
        abort();
    }
    return read(fd, p, len);
}

ssize_t write(int fd, const void *p, size_t len)
{
    NEXT(write)

    return is_interrupted() ? -1 : next(fd, p, shorter(fd, len));
}

/* With a limit, the first piece alone: a shorter row of pieces is as good. */
ssize_t writev(int fd, const struct iovec *v, int n)
{
    NEXT(writev)

    if (is_interrupted()) {
        return -1;
    }
    if (n > 0 && v[0].iov_len > 0 && shorter(fd, SIZE_MAX) != SIZE_MAX) {
        return write(fd, v[0].iov_base, shorter(fd, v[0].iov_len));
    }
    return next(fd, v, n);
}

ssize_t recv(int fd, void *p, size_t len, int flags)
{
    NEXT(recv)

    return is_interrupted() ? -1 : next(fd, p, shorter(fd, len), flags);
}

ssize_t __recv_chk(int fd, void *p, size_t len, size_t size, int flags);
ssize_t __recv_chk(int fd, void *p, size_t len, size_t size, int flags)
{
    if (len > size) {
        abort();
    }
    return recv(fd, p, len, flags);
}

ssize_t send(int fd, const void *p, size_t len, int flags)
{
    NEXT(send)

    return is_interrupted() ? -1 : next(fd, p, shorter(fd, len), flags);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
    NEXT(recvmsg)

    return is_interrupted() ? -1 : next(fd, m, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    NEXT(sendmsg)

    return is_interrupted() ? -1 : next(fd, m, flags);
}

int epoll_wait(int fd, struct epoll_event *ev, int n, int ms)
{
    int rc;
    NEXT(epoll_wait)

    limit_descriptors();
    rc = is_interrupted() ? -1 : next(fd, ev, n, ms);
    limit_descriptors();
    return rc;
}

int socket(int family, int type, int protocol)
{
    NEXT(socket)

    limit_descriptors();
    return next(family, type, protocol);
}

int poll(struct pollfd *p, nfds_t n, int ms)
{
    NEXT(poll)

    return is_interrupted() ? -1 : next(p, n, ms);
}

int __poll_chk(struct pollfd *p, nfds_t n, int ms, size_t size);
int __poll_chk(struct pollfd *p, nfds_t n, int ms, size_t size)
{
    if (n > size / sizeof(*p)) {
        abort();
    }
    return poll(p, n, ms);
}

int accept4(int fd, struct sockaddr *restrict a, socklen_t *restrict len, int flags)
{
    NEXT(accept4)

    limit_descriptors();
    return is_interrupted() ? -1 : next(fd, a, len, flags);
}
