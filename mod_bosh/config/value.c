/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Directives that take one number, on and off, or a word: the table of their limits and defaults,
 * and the reading of what the administrator wrote.
 */
#include "config_int.h"

#include "apr_lib.h"
#include "apr_strings.h"

#define KIB APR_INT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define DAY 86400

/* Where size_t has 32 bits, one gigabyte is already more than a process gets in one piece. */
#define MOST_SHARED_MEMORY (sizeof(apr_size_t) > 4 ? 64 * GIB : GIB)

#define AT(member) offsetof(bosh_conf_t, member)

const bosh_option_t bosh_config_options[] = {
    { "BoshWait", AT(wait), BOSH_NUMBER, 1, 3600, 60, false },
    { "BoshHold", AT(hold), BOSH_NUMBER, 0, BOSH_MAX_HOLD, 1, false },
    { "BoshInactivity", AT(inactivity), BOSH_NUMBER, 1, DAY, 60, false },
    { "BoshPolling", AT(polling), BOSH_NUMBER, 0, 3600, 5, false },
    { "BoshMaxPause", AT(maxpause), BOSH_NUMBER, 0, DAY, 120, false },
    { "BoshConnectTimeout", AT(connect_timeout), BOSH_NUMBER, 1, 300, 15, false },
    { "BoshMaxStreams", AT(max_streams), BOSH_NUMBER, 1, BOSH_MOST_STREAMS, BOSH_MOST_STREAMS,
      false },
    { "BoshMaxBody", AT(max_body), BOSH_SIZE, KIB, 16 * MIB, 256 * KIB, false },
    { "BoshCompress", AT(compress), BOSH_FLAG, 0, 1, 0, false },
    { "BoshMaxSessionsPerClient", AT(client_sessions), BOSH_NUMBER, 0, 1000000, 0, false },
    { "BoshMaxNewPerClient", AT(client_new), BOSH_NUMBER, 0, 1000000, 0, false },
    { "BoshTLS", AT(tls), BOSH_TLS, BOSH_TLS_OFF, BOSH_TLS_REQUIRED, BOSH_TLS_REQUIRED, false },
    { "BoshTLSVerify", AT(tls_verify), BOSH_FLAG, 0, 1, 1, false },

    { "BoshMaxSessions", AT(max_sessions), BOSH_NUMBER, 1, 1000000, 10000, true },
    { "BoshSharedMemory", AT(shared_memory), BOSH_SIZE, MIB, MOST_SHARED_MEMORY, 64 * MIB, true },
    { "BoshConnectors", AT(connectors), BOSH_NUMBER, 1, BOSH_MAX_CONNECTORS, 1, true },
    { "BoshBlockingHolds", AT(blocking_holds), BOSH_NUMBER, 0, 100000, 16, true },
    { NULL, 0, BOSH_NUMBER, 0, 0, 0, false },
};

const bosh_option_t *bosh_config_option(const char *name)
{
    const bosh_option_t *option = bosh_config_options;

    while (option->name && strcasecmp(option->name, name) != 0) {
        option++;
    }
    return option->name ? option : NULL;
}

apr_int64_t bosh_config_get(const bosh_conf_t *conf, const bosh_option_t *option)
{
    const char *at = (const char *)conf + option->offset;
    apr_size_t size;
    int number;

    if (option->kind == BOSH_SIZE) {
        memcpy(&size, at, sizeof(size));
        return size == (apr_size_t)BOSH_UNSET ? BOSH_UNSET : (apr_int64_t)size;
    }
    memcpy(&number, at, sizeof(number));
    return number;
}

void bosh_config_set(bosh_conf_t *conf, const bosh_option_t *option, apr_int64_t value)
{
    char *at = (char *)conf + option->offset;
    apr_size_t size = (apr_size_t)value;
    int number = (int)value;

    if (option->kind == BOSH_SIZE) {
        memcpy(at, &size, sizeof(size));
    }
    else {
        memcpy(at, &number, sizeof(number));
    }
}

/* 262144 -> "256K": messages name a limit as one would write it. */
static const char *size_text(apr_pool_t *p, apr_int64_t bytes)
{
    if (bytes % GIB == 0) {
        return apr_psprintf(p, "%" APR_INT64_T_FMT "G", bytes / GIB);
    }
    if (bytes % MIB == 0) {
        return apr_psprintf(p, "%" APR_INT64_T_FMT "M", bytes / MIB);
    }
    return apr_psprintf(p, "%" APR_INT64_T_FMT "K", bytes / KIB);
}

static apr_int64_t unit_of(char suffix)
{
    switch (apr_toupper(suffix)) {
    case 'K': return KIB;
    case 'M': return MIB;
    case 'G': return GIB;
    default: return 1;
    }
}

static bool read_number(const bosh_option_t *option, const char *text, apr_int64_t *value)
{
    bosh_str_t digits = bosh_str(text);
    apr_int64_t unit = 1;
    uint64_t n;

    if (option->kind == BOSH_SIZE && digits.len > 0) {
        unit = unit_of(text[digits.len - 1]);
        digits.len -= unit > 1 ? 1 : 0;
    }
    if (!bosh_parse_uint(digits, (uint64_t)(option->max / unit), &n)) {
        return false;
    }
    *value = (apr_int64_t)n * unit;
    return *value >= option->min;
}

static bool read_flag(const char *text, apr_int64_t *value)
{
    *value = strcasecmp(text, "on") == 0;
    return *value || strcasecmp(text, "off") == 0;
}

static bool read_tls(const char *text, apr_int64_t *value)
{
    int tls;
    bool is_good = bosh_config_read_tls(text, &tls);

    *value = tls;
    return is_good;
}

static bool read_value(const bosh_option_t *option, const char *text, apr_int64_t *value)
{
    switch (option->kind) {
    case BOSH_FLAG: return read_flag(text, value);
    case BOSH_TLS: return read_tls(text, value);
    default: return read_number(option, text, value);
    }
}

const char *bosh_config_parse(apr_pool_t *p, const bosh_option_t *option, const char *text,
                              apr_int64_t *value)
{
    *value = BOSH_UNSET;
    if (read_value(option, text, value)) {
        return NULL;
    }
    if (option->kind == BOSH_TLS) {
        return apr_psprintf(p, "%s takes required, optional or off, not '%s'", option->name, text);
    }
    if (option->kind == BOSH_FLAG) {
        return apr_psprintf(p, "%s takes on or off, not '%s'", option->name, text);
    }
    if (option->kind == BOSH_SIZE) {
        return apr_psprintf(p,
                            "%s takes a size from %s to %s, in bytes or with K, M or G after "
                            "the number, not '%s'",
                            option->name, size_text(p, option->min), size_text(p, option->max),
                            text);
    }
    return apr_psprintf(
        p, "%s takes a whole number from %" APR_INT64_T_FMT " to %" APR_INT64_T_FMT ", not '%s'",
        option->name, option->min, option->max, text);
}
