/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * BoshAllowOrigin and BoshSeeOtherURI: what names another site. Browsers write an origin
 * in one way only (RFC 6454 section 6.2), so equal means the same bytes, but for case.
 */
#include "config_int.h"

#include <string.h>

#include "apr_lib.h"
#include "apr_strings.h"
#include "apr_uri.h"

#define MAX_URI 1024

static bool is_scheme(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!apr_isalnum(text[i]) && (i == 0 || !strchr("+-.", text[i]))) {
            return false;
        }
    }
    return len > 0 && apr_isalpha(text[0]);
}

/* host, host:port, [IPv6]:port; a browser's extension has a name of its own making. */
static bool is_authority(const char *text)
{
    const char *end = text + strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.-_");
    uint64_t port;

    if (*text == '[') {
        end = text + 1 + strspn(text + 1, ":.0123456789abcdef");
        if (*end++ != ']') {
            return false;
        }
    }
    return end > text
           && (*end == '\0'
               || (*end == ':' && bosh_parse_uint(bosh_str(end + 1), 65535, &port) && port > 0));
}

/* The default port is never written in an Origin header. */
static void cut_default_port(char *origin)
{
    const char *port = strncmp(origin, "https:", 6) == 0  ? ":443"
                       : strncmp(origin, "http:", 5) == 0 ? ":80"
                                                          : NULL;
    size_t len = strlen(origin);

    if (port && len > strlen(port) && strcmp(origin + len - strlen(port), port) == 0) {
        origin[len - strlen(port)] = '\0';
    }
}

static bool is_origin(const char *origin)
{
    const char *sep = strstr(origin, "://");

    return strcmp(origin, "*") == 0 || strcmp(origin, "null") == 0 || strcmp(origin, "none") == 0
           || strcmp(origin, "file://") == 0 /* what some web views say */
           || (sep && is_scheme(origin, (size_t)(sep - origin)) && is_authority(sep + 3));
}

const char *bosh_config_parse_origin(apr_pool_t *p, const char *text, const char **origin)
{
    char *lower = apr_pstrdup(p, text);

    ap_str_tolower(lower);
    *origin = lower;
    if (is_origin(lower)) {
        cut_default_port(lower);
        return NULL;
    }
    return apr_psprintf(p,
                        "takes origins such as https://www.example.org:8443, without a path, or "
                        "null; or * for all; or none; not '%s'",
                        text);
}

bool bosh_config_allows_any_origin(const bosh_conf_t *conf)
{
    return conf->origins && conf->origins->nelts > 0
           && strcmp(APR_ARRAY_IDX(conf->origins, 0, const char *), "*") == 0;
}

bool bosh_config_allows_origin(const bosh_conf_t *conf, const char *origin)
{
    if (bosh_config_allows_any_origin(conf)) {
        return true;
    }
    for (int i = 0; i < conf->origins->nelts; i++) {
        if (strcasecmp(APR_ARRAY_IDX(conf->origins, i, const char *), origin) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_plain(const char *text)
{
    while (apr_isgraph(*text) && (unsigned char)*text < 0x80 && !strchr("<>\"'\\^`{|}", *text)) {
        text++;
    }
    return !*text;
}

const char *bosh_config_parse_uri(apr_pool_t *p, const char *text, const char **uri)
{
    apr_uri_t parsed;

    *uri = apr_pstrdup(p, text);
    if (strlen(text) <= MAX_URI && is_plain(text) && apr_uri_parse(p, text, &parsed) == APR_SUCCESS
        && parsed.scheme
        && (strcasecmp(parsed.scheme, "https") == 0 || strcasecmp(parsed.scheme, "http") == 0)
        && parsed.hostname && *parsed.hostname && !parsed.user && !parsed.fragment) {
        return NULL;
    }
    return apr_psprintf(p,
                        "takes a URI such as https://www.example.org/http-bind (http or https, "
                        "no user, no fragment), or none, not '%s'",
                        text);
}
