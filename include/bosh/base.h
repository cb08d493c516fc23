/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * base - what every room may use: strings, bytes, time, numbers, processes, a log port.
 *
 * Needs nothing but libc. Nothing here takes a lock or blocks; everything may
 * be called from any process and any thread, on data the caller owns.
 */
#ifndef BOSH_BASE_H
#define BOSH_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- time ------------------------------------------------------------- */

/* Milliseconds on the monotonic clock. All deadlines use it, so that a jump of
 * the wall clock neither ends sessions nor keeps them alive. 0 means "never". */
typedef int64_t bosh_msec_t;

bosh_msec_t bosh_now(void);

#define BOSH_SEC(n) ((bosh_msec_t)(n)*1000)

/* ---- strings ---------------------------------------------------------- */

/* Bytes somebody else owns; not NUL-terminated. p == NULL: absent, which is
 * not the same as empty. */
typedef struct bosh_str_t {
    const char *p;
    size_t len;
} bosh_str_t;

#define BOSH_STR(literal) ((bosh_str_t){ (literal), sizeof(literal) - 1 })
#define BOSH_ABSENT       ((bosh_str_t){ NULL, 0 })

bosh_str_t bosh_str(const char *z);
bool bosh_str_eq(bosh_str_t s, const char *z);
bool bosh_str_same(bosh_str_t a, bosh_str_t b);

/* Copies s into dst as a NUL-terminated string; false (and an empty dst) if it
 * does not fit, or holds a NUL. */
bool bosh_str_copy(char *dst, size_t size, bosh_str_t s);

/* Only plain decimal digits, at most max; false for anything else (a sign,
 * white space, hexadecimal, an exponent). *out is 0 on failure. */
bool bosh_parse_uint(bosh_str_t s, uint64_t max, uint64_t *out);

/* XML Schema boolean: "true", "1" -> true. Everything else is false. */
bool bosh_parse_bool(bosh_str_t s);

/* Compares in a time that depends on len only. */
bool bosh_equal_secret(const void *a, const void *b, size_t len);

/* ---- growing byte buffers --------------------------------------------- */

/* On the C heap, owned by whoever initialised it. A failed allocation, or
 * growth beyond max, sets `failed` and leaves the bytes as they were; callers
 * check once at the end. */
typedef struct bosh_buf_t {
    char *p;
    size_t len;
    size_t size;
    size_t max; /* 0: no limit */
    bool failed;
    bool starved; /* failed for want of memory, not because of max */
} bosh_buf_t;

void bosh_buf_init(bosh_buf_t *b, size_t max);
void bosh_buf_free(bosh_buf_t *b);
/* Keeps the memory, forgets the bytes and the failure. */
void bosh_buf_clear(bosh_buf_t *b);
/* Overwrites the bytes, then clears; for buffers that held credentials. */
void bosh_buf_wipe(bosh_buf_t *b);
bool bosh_buf_add(bosh_buf_t *b, const void *p, size_t len);
bool bosh_buf_add_str(bosh_buf_t *b, bosh_str_t s);
bool bosh_buf_add_z(bosh_buf_t *b, const char *z);
bool bosh_buf_add_uint(bosh_buf_t *b, uint64_t n);
/* Room for len more bytes at the end, not yet counted in len. NULL if failed. */
char *bosh_buf_room(bosh_buf_t *b, size_t len);
/* Forgets the first n bytes and moves the rest to the front. */
void bosh_buf_drop(bosh_buf_t *b, size_t n);
bosh_str_t bosh_buf_str(const bosh_buf_t *b);

/* ---- UTF-8 ------------------------------------------------------------ */

/* Valid UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF),
 * and no NUL byte. */
bool bosh_utf8_valid(bosh_str_t s);
/* The character at *at, within valid UTF-8; *at moves behind it. */
uint32_t bosh_utf8_next(const char **at);

/* ---- hashes ------------------------------------------------------------ */

/* FNV-1a, for tables and for telling things apart that nobody has an interest in confusing.
 * Begins with BOSH_HASH, or goes on with what a call returned. */
#define BOSH_HASH UINT64_C(14695981039346656037)

uint64_t bosh_hash(uint64_t h, const void *p, size_t n);
/* And that the word ends there: "ab", "c" and "a", "bc" are not the same. */
uint64_t bosh_hash_z(uint64_t h, const char *z);

/* ---- processes -------------------------------------------------------- */

/* Of any user. False: it has ended, even if its parent has not asked how (a zombie). */
bool bosh_process_is_alive(int64_t pid);

/* ---- where XMPP servers are --------------------------------------------- */

typedef enum bosh_reach_t {
    BOSH_REACH_SRV,  /* DNS says: SRV records, or the domain's own addresses */
    BOSH_REACH_HOST, /* one host and port */
    BOSH_REACH_UNIX  /* a socket of this machine */
} bosh_reach_t;

typedef enum bosh_tls_t {
    BOSH_TLS_LOCAL,    /* fixed loopback or unix address: plain, unless the server requires
                          STARTTLS; then its certificate is not verified */
    BOSH_TLS_OFF,      /* never */
    BOSH_TLS_OPTIONAL, /* STARTTLS if it is offered, verified; else plain */
    BOSH_TLS_REQUIRED, /* STARTTLS; or, with SRV, direct TLS where _xmpps-client says so */
    BOSH_TLS_DIRECT    /* xmpps://: TLS from the first byte */
} bosh_tls_t;

#define BOSH_MAX_NETWORKS 8

typedef struct bosh_network_t {
    uint8_t bytes[16]; /* IPv4: in the first 4; bits beyond `bits` are 0 */
    uint8_t family;    /* 4 or 6; 0: unused */
    uint8_t bits;
} bosh_network_t;

/* ---- knocks ----------------------------------------------------------- */

#define BOSH_MAX_CHILDREN 1024 /* httpd children that may exist at once */

/* Which processes should look at the store: collected under its lock, sent by
 * the wake room after it. A hint, never a message. */
typedef struct bosh_knocks_t {
    uint64_t children[BOSH_MAX_CHILDREN / 64];
    uint32_t connectors;
    bool any;
} bosh_knocks_t;

static inline void bosh_knock_child(bosh_knocks_t *k, uint32_t child)
{
    k->children[child / 64] |= UINT64_C(1) << (child % 64);
    k->any = true;
}

static inline void bosh_knock_connector(bosh_knocks_t *k, uint32_t connector)
{
    k->connectors |= UINT32_C(1) << connector;
    k->any = true;
}

/* ---- log port --------------------------------------------------------- */

/* For the rooms that do not know httpd. The process that uses them plugs in a
 * sink; without one, messages are dropped. Levels follow httpd's LogLevel. */
typedef enum bosh_log_level_t {
    BOSH_LOG_ERR = 3,
    BOSH_LOG_WARNING = 4,
    BOSH_LOG_NOTICE = 5,
    BOSH_LOG_INFO = 6,
    BOSH_LOG_DEBUG = 7,
    BOSH_LOG_TRACE = 8
} bosh_log_level_t;

typedef void bosh_log_sink_fn(bosh_log_level_t level, const char *file, int line, const char *text);

/* Once per process, before its threads start. */
void bosh_log_to(bosh_log_sink_fn *sink);

void bosh_log_at(bosh_log_level_t level, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#define bosh_log(level, ...) bosh_log_at((level), __FILE__, __LINE__, __VA_ARGS__)

/* Identifies a message for good, in the manner of httpd's APLOGNO: search the
 * documentation for it. Numbers are unique; tests/guard checks that. */
#define BOSHNO(n) "BOSH" #n ": "

/* ---- faults: only in a build with --enable-faults, for tests -------------- */

#ifdef BOSH_FAULTS
/* Whether this defect is to show now: BOSH_FAULT="NAME" or "NAME:N", then at each Nth time
 * that this process comes here. */
bool bosh_fault(const char *name);
/* The process kills itself here: BOSH_CRASH_AT="NAME" or "NAME:N", at the Nth time that
 * this process comes here (0: any); or stops itself, to be continued by the test: BOSH_STOP_AT;
 * or only this thread waits for two seconds: BOSH_SLOW_AT.
 * With BOSH_CRASH_ONCE=FILE only who can remove that file does.
 * Needs no lock; may be called inside any. */
void bosh_crash_point(const char *name);
/* Whether it is the caller's to die here, having done what it wants to do before. */
bool bosh_crash_is_ours(const char *name);
#define BOSH_FAULT(name)       bosh_fault(name)
#define BOSH_CRASH_POINT(name) bosh_crash_point(name)
#else
#define BOSH_FAULT(name)       false
#define BOSH_CRASH_POINT(name) ((void)0)
#endif

#endif
