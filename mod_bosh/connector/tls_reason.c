/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* What went wrong, in words for an administrator's log. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "tls_int.h"

void tls_say(tls_t *t, const char *fmt, ...)
{
    char text[800];
    va_list ap;

    if (t->reason && !t->is_vague) {
        return;
    }
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    free(t->reason);
    t->reason = strdup(text);
    t->is_vague = false;
}

void tls_add_untrusted(bosh_buf_t *out, const void *p, size_t len, size_t max)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *byte = p;

    for (size_t i = 0; i < len; i++) {
        char text[4] = { '\\', 'x', hex[byte[i] >> 4], hex[byte[i] & 15] };
        bool is_plain = byte[i] >= ' ' && byte[i] < 0x7f && byte[i] != '\\';

        if (i == max) {
            bosh_buf_add_z(out, "...");
            return;
        }
        bosh_buf_add(out, is_plain ? (const char *)&byte[i] : text, is_plain ? 1 : sizeof(text));
    }
}

/* ---- what OpenSSL said ------------------------------------------------------ */

/* RFC 5246 section 6.2.1: a content type, and version 3.x. */
static bool is_no_tls(const tls_t *t)
{
    return t->head_len > 0
           && (t->head[0] < 20 || t->head[0] > 24 || (t->head_len > 1 && t->head[1] != 3));
}

static void say_no_tls(tls_t *t)
{
    bosh_buf_t words;

    bosh_buf_init(&words, 0);
    tls_add_untrusted(&words, t->head, t->head_len, sizeof(t->head));
    tls_say(t, "what the server said is not TLS: it began with \"%.*s\"", (int)words.len,
            words.len ? words.p : "");
    bosh_buf_free(&words);
}

/* The server's alerts, and ours. The rest has OpenSSL's own words. */
static const struct {
    int reason;
    const char *words;
} known[] = {
    { SSL_R_UNSUPPORTED_PROTOCOL, "the server speaks no TLS 1.2 or newer" },
    { SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "the server speaks no TLS 1.2 or newer" },
    { SSL_R_WRONG_SSL_VERSION, "the server speaks no TLS 1.2 or newer" },
    { SSL_R_EXCESSIVE_MESSAGE_SIZE,
      "the server's certificates, or other greetings, are too large" },
    { SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
      "the server refuses: there is no cipher or key that both sides want (handshake_failure)" },
    { SSL_R_UNSAFE_LEGACY_RENEGOTIATION_DISABLED,
      "the server's TLS is too old: it knows no secure renegotiation (RFC 5746)" },
    { SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, "the server refuses: certificate_unknown" },
    { SSL_R_TLSV1_UNRECOGNIZED_NAME, "the server does not know this domain (unrecognized_name)" },
    /* OpenSSL 1.1.1 and 3.0 know this alert by its number only: 1000 and RFC 7301's 120. */
    { SSL_AD_REASON_OFFSET + 120, "the server does not speak xmpp-client there (ALPN)" },
};

static void say_ssl(tls_t *t, unsigned long error)
{
    int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
    const char *words = ERR_reason_error_string(error);

    if (reason == SSL_R_BAD_EXTENSION && t->direct) {
        /* So newer OpenSSL says it, if that is it. */
        tls_say(t, "the server's TLS is wrong, or wants to speak " TLS_NOT_XMPP);
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (reason == known[i].reason) {
            tls_say(t, "%s", known[i].words);
            return;
        }
    }
    tls_say(t, "TLS failed: %s", words ? words : "OpenSSL does not say why");
}

/* A connection that ended says so too, but that is no more than what is known already. */
static bool is_error_of_tls(unsigned long error)
{
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
    if (ERR_GET_LIB(error) == ERR_LIB_SSL
        && ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        return false;
    }
#endif
    return error != 0;
}

/* The socket's error comes last: it may be that of an alert that nobody waited for. */
void tls_say_failed(tls_t *t)
{
    unsigned long error = ERR_peek_error();

    if (!t->is_done && is_no_tls(t)) {
        say_no_tls(t);
    }
    else if (is_error_of_tls(error) || (!t->os_error && !t->is_eof)) {
        say_ssl(t, error);
    }
    else if (t->os_error) {
        tls_say(t, "%s%s",
                t->is_done ? "" : "in the middle of the handshake: ", strerror(t->os_error));
        t->is_vague = true; /* what the server said last may be to read still */
    }
    else {
        tls_say(t, t->is_done ? "the server closed the connection without saying so (close_notify)"
                              : "the server closed the connection in the middle of the handshake");
    }
}
