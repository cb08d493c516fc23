/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Names of domains and hosts. Whatever is let through here can be connected to, so
 * everything that is not plainly right is refused. Runs for each session too, in any thread.
 */
#include "config_int.h"

#include <arpa/inet.h>
#include <string.h>

#include "apr_lib.h"

#define MAX_NAME  253 /* RFC 1035: 255 bytes on the wire */
#define MAX_LABEL 63

/* Beyond ASCII a domain name consists of letters, marks and digits. These ranges hold
 * what is none of them and would be mistaken for something else: controls, spaces, other
 * full stops, slashes and commercial ats, invisible and private characters. */
static const struct {
    unsigned first, last;
} refused_chars[] = {
    { 0x80, 0xb6 },     { 0xb8, 0xbf },        { 0x1680, 0x1680 }, { 0x180e, 0x180e },
    { 0x2000, 0x200b }, { 0x200e, 0x206f },    { 0x2100, 0x214f }, { 0x2190, 0x2bff },
    { 0x3000, 0x3004 }, { 0xe000, 0xf8ff },    { 0xfe00, 0xfe0f }, { 0xfe30, 0xfe6f },
    { 0xfeff, 0xffff }, { 0xe0000, 0x10ffff },
};

static bool is_label_char(unsigned c)
{
    if (c < 0x80) {
        return apr_isalnum((char)c) || c == '-';
    }
    for (size_t i = 0; i < sizeof(refused_chars) / sizeof(refused_chars[0]); i++) {
        if (c >= refused_chars[i].first && c <= refused_chars[i].last) {
            return false;
        }
    }
    return true;
}

static bool is_label(const char *label, size_t len)
{
    const char *end = label + len;

    if (len == 0 || len > MAX_LABEL || label[0] == '-' || end[-1] == '-') {
        return false;
    }
    while (label < end) {
        if (!is_label_char(bosh_utf8_next(&label))) {
            return false;
        }
    }
    return true;
}

bool bosh_config_is_name(const char *name)
{
    if (!bosh_utf8_valid(bosh_str(name)) || strlen(name) > MAX_NAME) {
        return false;
    }
    for (;;) {
        size_t len = strcspn(name, ".");

        if (!is_label(name, len)) {
            return false;
        }
        if (!name[len]) {
            return true;
        }
        name += len + 1;
    }
}

/* A name whose last label looks like a number is read as an IPv4 address by somebody
 * (inet_aton and all that calls it), so it has to be one, in the usual form. */
bool bosh_config_is_numeric(const char *host)
{
    const char *last = strrchr(host, '.');

    last = last ? last + 1 : host;
    if (last[0] == '0' && last[1] == 'x') {
        return last[2 + strspn(last + 2, "0123456789abcdef")] == '\0';
    }
    return last[strspn(last, "0123456789")] == '\0';
}

bool bosh_config_is_host(const char *host)
{
    struct in_addr in;

    return bosh_config_is_numeric(host) ? inet_pton(AF_INET, host, &in) == 1
                                        : bosh_config_is_name(host);
}

void bosh_config_normalise(char *name)
{
    size_t len = strlen(name);

    for (char *p = name; *p; p++) {
        if (*p >= 'A' && *p <= 'Z') {
            *p = (char)(*p - 'A' + 'a');
        }
    }
    if (len > 1 && name[len - 1] == '.') {
        name[len - 1] = '\0';
    }
}

bool bosh_config_is_localhost(const char *name)
{
    const char *tail = strrchr(name, '.');

    return strcmp(tail ? tail + 1 : name, "localhost") == 0;
}
