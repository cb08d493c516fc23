/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * BoshDomain and BoshDomainGone: a domain or a pattern, what may follow it, and which of
 * them a client's `to` falls under.
 */
#include "config_int.h"

#include <string.h>

#include "apr_strings.h"

#define DEFAULT_PORT 5222
#define MAX_MAX      1000000
#define MAX_SILENCE  3600

/* ---- names --------------------------------------------------------------- */

static bool is_pattern(const char *name)
{
    return name[0] == '*';
}

static bool is_valid_pattern(const char *text, const char *name)
{
    return strcmp(text, "*") == 0
           || (name[0] == '*' && name[1] == '.' && bosh_config_is_name(name + 2)
               && !bosh_config_is_numeric(name));
}

const char *bosh_config_parse_gone(apr_pool_t *p, const char *text, const char **name)
{
    char *copy = apr_pstrdup(p, text);

    bosh_config_normalise(copy);
    *name = copy;
    if (bosh_config_is_host(copy)) {
        return NULL;
    }
    return apr_psprintf(p,
                        "takes the name of an XMPP domain such as example.org, without a user, "
                        "port or path, not '%s'",
                        text);
}

const char *bosh_config_parse_domain(apr_pool_t *p, const char *text, bosh_domain_t *d)
{
    char *name = apr_pstrdup(p, text);

    bosh_config_normalise(name);
    *d = (bosh_domain_t){
        .name = name, .host = "", .port = DEFAULT_PORT, .tls = BOSH_UNSET, .verify = BOSH_UNSET
    };
    if (!is_valid_pattern(text, name) && !bosh_config_is_host(name)) {
        return apr_psprintf(p,
                            "takes the name of an XMPP domain such as example.org, without a "
                            "user, port or path; or *.example.org for all below it; or * for all; "
                            "not '%s'",
                            text);
    }
    /* Nothing to ask DNS for: names below localhost are this machine (RFC 6761 section 6.3). */
    if (bosh_config_is_localhost(name)) {
        d->host = "localhost";
    }
    else if (!is_pattern(name) && bosh_config_is_numeric(name)) {
        d->host = name;
    }
    d->reach = *d->host ? BOSH_REACH_HOST : BOSH_REACH_SRV;
    d->is_local = *d->host && bosh_config_is_loopback(d->host);
    return NULL;
}

/* ---- KEY=VALUE ------------------------------------------------------------- */

static bool read_tls(const char *value, bosh_domain_t *d)
{
    return bosh_config_read_tls(value, &d->tls);
}

static bool read_verify(const char *value, bosh_domain_t *d)
{
    d->verify = strcasecmp(value, "on") == 0;
    return d->verify || strcasecmp(value, "off") == 0;
}

static bool read_proxy(const char *value, bosh_domain_t *d)
{
    d->proxy = strcasecmp(value, "v1") == 0 ? 1 : strcasecmp(value, "v2") == 0 ? 2 : 0;
    return d->proxy || strcasecmp(value, "off") == 0;
}

static bool read_number(const char *value, uint64_t min, uint64_t max, uint32_t *number)
{
    uint64_t n;
    bool is_good = bosh_parse_uint(bosh_str(value), max, &n) && n >= min;

    *number = (uint32_t)n;
    return is_good;
}

static bool read_max(const char *value, bosh_domain_t *d)
{
    return read_number(value, 1, MAX_MAX, &d->max);
}

static bool read_new(const char *value, bosh_domain_t *d)
{
    return read_number(value, 1, MAX_MAX, &d->max_new);
}

static bool read_connecting(const char *value, bosh_domain_t *d)
{
    return read_number(value, 1, MAX_MAX, &d->connecting);
}

static bool read_keepalive(const char *value, bosh_domain_t *d)
{
    return read_number(value, 0, MAX_SILENCE, &d->keepalive);
}

static const struct {
    const char *key, *takes;
    bool (*read)(const char *value, bosh_domain_t *d);
} keys[] = {
    { "tls", "required, optional or off", read_tls },
    { "verify", "on or off", read_verify },
    { "proxy", "v1, v2 or off", read_proxy },
    { "max", "a whole number from 1 to 1000000", read_max },
    { "new", "a whole number from 1 to 1000000", read_new },
    { "connecting", "a whole number from 1 to 1000000", read_connecting },
    { "keepalive", "a whole number of seconds from 0 to 3600", read_keepalive },
};

#define KEYS (sizeof(keys) / sizeof(keys[0]))

static const char *read_key(apr_pool_t *p, const char *word, bosh_domain_t *d, unsigned *seen)
{
    const char *equals = strchr(word, '=');

    for (unsigned i = 0; equals && i < KEYS; i++) {
        size_t len = strlen(keys[i].key);

        if (len != (size_t)(equals - word) || strncasecmp(word, keys[i].key, len) != 0) {
            continue;
        }
        if (*seen & (1u << i)) {
            return apr_psprintf(p, "%s: %s= is given twice", d->name, keys[i].key);
        }
        *seen |= 1u << i;
        return keys[i].read(equals + 1, d) ? NULL
                                           : apr_psprintf(p, "%s: %s= takes %s, not '%s'", d->name,
                                                          keys[i].key, keys[i].takes, equals + 1);
    }
    return apr_psprintf(p,
                        "%s: after the address, which comes first, it takes tls=, verify=, proxy=, "
                        "max=, new=, connecting= and keepalive=, not '%s'",
                        d->name, word);
}

/* What each word allows, but not together. */
static const char *find_contradiction(apr_pool_t *p, const bosh_domain_t *d)
{
    bool is_plain = d->tls == BOSH_TLS_OFF || (d->tls == BOSH_UNSET && d->is_local);

    if (d->is_direct && d->tls != BOSH_UNSET && d->tls != BOSH_TLS_REQUIRED) {
        return apr_psprintf(p, "%s: xmpps:// is TLS from the first byte, which tls=%s contradicts",
                            d->name, bosh_config_tls_word((bosh_tls_t)d->tls));
    }
    if (d->verify == 1 && is_plain && !d->is_direct) {
        return apr_psprintf(
            p,
            "%s: %s there is no certificate to verify; verify=on needs tls=required "
            "or tls=optional beside it",
            d->name, d->tls == BOSH_TLS_OFF ? "with tls=off" : "on this machine, without tls=,");
    }
    if (d->proxy && is_pattern(d->name) && !d->fixed) {
        return apr_psprintf(p,
                            "%s: proxy= needs an address: other people's servers know nothing "
                            "of it",
                            d->name);
    }
    return NULL;
}

/* An address may hold = signs, but then a colon comes first. */
static bool is_key(const char *word)
{
    return word[strcspn(word, ":=")] == '=';
}

const char *bosh_config_parse_details(apr_pool_t *p, int words, char *const word[],
                                      bosh_domain_t *d)
{
    const char *error = NULL;
    unsigned seen = 0;
    int i = 0;

    if (words > 0 && !is_key(word[0])) {
        error = bosh_config_parse_address(p, word[i++], d);
    }
    for (; !error && i < words; i++) {
        error = read_key(p, word[i], d, &seen);
    }
    return error ? error : find_contradiction(p, d);
}

/* ---- what a client asks for ------------------------------------------------- */

static bool fits(const bosh_domain_t *d, const char *name)
{
    const char *suffix = d->name + 1;
    size_t len = strlen(name), tail = strlen(suffix);

    return is_pattern(d->name) && len > tail && strcmp(name + len - tail, suffix) == 0;
}

/* Who writes a pattern thinks of domains, and not of what stands in his own network. */
static bool may_fit(const char *name)
{
    return strchr(name, '.') && !bosh_config_is_numeric(name);
}

static const bosh_domain_t *find_pattern(const bosh_conf_t *conf, const char *name)
{
    const bosh_domain_t *best = NULL;

    for (int i = 0; i < conf->domains->nelts; i++) {
        const bosh_domain_t *d = &APR_ARRAY_IDX(conf->domains, i, bosh_domain_t);

        if (fits(d, name) && (!best || strlen(d->name) > strlen(best->name))) {
            best = d;
        }
    }
    if (best && bosh_config_is_localhost(name) && !bosh_config_is_localhost(best->name)) {
        return NULL;
    }
    return best;
}

const bosh_domain_t *bosh_config_listed(const bosh_conf_t *conf, const char *name)
{
    for (int i = 0; conf->domains && i < conf->domains->nelts; i++) {
        const bosh_domain_t *d = &APR_ARRAY_IDX(conf->domains, i, bosh_domain_t);

        if (strcmp(d->name, name) == 0) {
            return d;
        }
    }
    return NULL;
}

const bosh_domain_t *bosh_config_domain(const bosh_conf_t *conf, bosh_str_t asked,
                                        char name[BOSH_NAME_SIZE])
{
    const bosh_domain_t *d;

    if (!bosh_str_copy(name, BOSH_NAME_SIZE, asked)) {
        return NULL;
    }
    bosh_config_normalise(name);
    if (!bosh_config_is_host(name)) {
        return NULL;
    }
    d = bosh_config_listed(conf, name);
    return d || !may_fit(name) ? d : find_pattern(conf, name);
}

bool bosh_config_is_gone(const bosh_conf_t *conf, bosh_str_t asked)
{
    char name[BOSH_NAME_SIZE];

    if (!bosh_str_copy(name, sizeof(name), asked)) {
        return false;
    }
    bosh_config_normalise(name);
    for (int i = 0; conf->gone && i < conf->gone->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(conf->gone, i, const char *), name) == 0) {
            return true;
        }
    }
    return false;
}
