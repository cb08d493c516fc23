/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* One non-blocking pipe per process that may be knocked at. */

#include <fcntl.h>

#include <apr_portable.h>

#include "bosh/wake.h"

typedef struct door_t {
    apr_file_t *inside, *outside; /* read end, write end */
} door_t;

struct bosh_wake_t {
    unsigned children, connectors;
    door_t *doors; /* children first, then connectors */
};

unsigned bosh_wake_layout(void)
{
    return (unsigned)(sizeof(bosh_wake_t) << 8 | sizeof(door_t));
}

/* APR leaves pipes open across exec; a CGI script has no business with them. */
static apr_status_t keep_from_exec(apr_file_t *f)
{
    apr_os_file_t fd;
    apr_status_t rv = apr_os_file_get(&fd, f);

    if (rv == APR_SUCCESS && fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        rv = APR_FROM_OS_ERROR(errno);
    }
    return rv;
}

static apr_status_t make_door(door_t *d, apr_pool_t *p)
{
    apr_status_t rv = apr_file_pipe_create_ex(&d->inside, &d->outside, APR_FULL_NONBLOCK, p);

    if (rv == APR_SUCCESS) {
        rv = keep_from_exec(d->inside);
    }
    if (rv == APR_SUCCESS) {
        rv = keep_from_exec(d->outside);
    }
    return rv;
}

apr_status_t bosh_wake_create(bosh_wake_t **wake, unsigned children, unsigned connectors,
                              apr_pool_t *p)
{
    bosh_wake_t *w = apr_pcalloc(p, sizeof(*w));

    *wake = NULL;
    w->children = children;
    w->connectors = connectors;
    w->doors = apr_pcalloc(p, sizeof(door_t) * (children + connectors));
    for (unsigned i = 0; i < children + connectors; i++) {
        apr_status_t rv = make_door(&w->doors[i], p);

        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    *wake = w;
    return APR_SUCCESS;
}

static bool is_file(apr_file_t *f, int fd)
{
    apr_os_file_t own;

    return apr_os_file_get(&own, f) == APR_SUCCESS && own == fd;
}

bool bosh_wake_is_door(const bosh_wake_t *w, int fd)
{
    for (unsigned i = 0; i < w->children + w->connectors; i++) {
        if (is_file(w->doors[i].inside, fd) || is_file(w->doors[i].outside, fd)) {
            return true;
        }
    }
    return false;
}

apr_file_t *bosh_wake_child_door(const bosh_wake_t *wake, unsigned child)
{
    return wake->doors[child].inside;
}

apr_file_t *bosh_wake_connector_door(const bosh_wake_t *wake, unsigned connector)
{
    return wake->doors[wake->children + connector].inside;
}

void bosh_wake_open_door(apr_file_t *door)
{
    char knocks[256];
    apr_size_t n;

    do {
        n = sizeof(knocks);
    } while (apr_file_read(door, knocks, &n) == APR_SUCCESS && n == sizeof(knocks));
}

static void knock(const door_t *d)
{
    apr_size_t n = 1;

    (void)apr_file_write(d->outside, "!", &n); /* full: knocked at enough */
}

void bosh_wake_child(const bosh_wake_t *wake, unsigned child)
{
    if (child < wake->children) {
        knock(&wake->doors[child]);
    }
}

void bosh_wake_connector(const bosh_wake_t *wake, unsigned connector)
{
    if (connector < wake->connectors) {
        knock(&wake->doors[wake->children + connector]);
    }
}

static void send_word(const bosh_wake_t *wake, unsigned word, uint64_t bits)
{
    for (; bits; bits &= bits - 1) {
        bosh_wake_child(wake, word * 64 + (unsigned)__builtin_ctzll(bits));
    }
}

void bosh_wake_send(const bosh_wake_t *wake, bosh_knocks_t *knocks)
{
    if (!knocks->any) {
        return;
    }
    for (unsigned i = 0; i < BOSH_MAX_CHILDREN / 64; i++) {
        send_word(wake, i, knocks->children[i]);
        knocks->children[i] = 0;
    }
    for (; knocks->connectors; knocks->connectors &= knocks->connectors - 1) {
        bosh_wake_connector(wake, (unsigned)__builtin_ctz(knocks->connectors));
    }
    knocks->any = false;
}
