/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Names of conditions (XEP-0124 section 17.2) and texts of reasons. */

#include "bosh/core.h"

static const char *const condition_names[BOSH_COND_COUNT] = {
    [BOSH_COND_NONE] = "",
    [BOSH_COND_BAD_REQUEST] = "bad-request",
    [BOSH_COND_HOST_GONE] = "host-gone",
    [BOSH_COND_HOST_UNKNOWN] = "host-unknown",
    [BOSH_COND_IMPROPER_ADDRESSING] = "improper-addressing",
    [BOSH_COND_INTERNAL_SERVER_ERROR] = "internal-server-error",
    [BOSH_COND_ITEM_NOT_FOUND] = "item-not-found",
    [BOSH_COND_OTHER_REQUEST] = "other-request",
    [BOSH_COND_POLICY_VIOLATION] = "policy-violation",
    [BOSH_COND_REMOTE_CONNECTION_FAILED] = "remote-connection-failed",
    [BOSH_COND_REMOTE_STREAM_ERROR] = "remote-stream-error",
    [BOSH_COND_SEE_OTHER_URI] = "see-other-uri",
    [BOSH_COND_SYSTEM_SHUTDOWN] = "system-shutdown",
    [BOSH_COND_UNDEFINED_CONDITION] = "undefined-condition",
};

static const char *const reason_texts[BOSH_REASON_COUNT] = {
    [BOSH_REASON_NONE] = "no reason",
    [BOSH_REASON_CLIENT] = "terminated by the client",
    [BOSH_REASON_INACTIVITY] = "no request from the client for too long",
    [BOSH_REASON_RID] = "request id outside the window",
    [BOSH_REASON_KEY] = "key sequence broken",
    [BOSH_REASON_REPEATS] = "too many copies of one request",
    [BOSH_REASON_POLLING] = "empty requests more often than allowed",
    [BOSH_REASON_STREAM] = "named a stream that is not there",
    [BOSH_REASON_OVERACTIVE] = "too many simultaneous requests",
    [BOSH_REASON_PAUSE] = "asked for a longer pause than allowed",
    [BOSH_REASON_CONNECT_FAILED] = "the XMPP server could not be reached",
    [BOSH_REASON_CONNECT_TIMEOUT] = "the XMPP server did not offer a stream in time",
    [BOSH_REASON_STREAM_ERROR] = "the XMPP server reported a stream error",
    [BOSH_REASON_STREAM_CLOSED] = "the XMPP server closed the stream",
    [BOSH_REASON_STREAM_LOST] = "the connection to the XMPP server broke",
    [BOSH_REASON_STREAM_INVALID] = "the XMPP server sent what is not allowed in a stream",
    [BOSH_REASON_STANZA_TOO_LARGE] = "the XMPP server sent too large a stanza",
    [BOSH_REASON_CONNECTOR_LOST] = "the connector process ended",
    [BOSH_REASON_SHUTDOWN] = "httpd stops",
    [BOSH_REASON_DAMAGED] = "a process died while changing the session",
};

const char *bosh_condition_name(bosh_condition_t c)
{
    return (unsigned)c < BOSH_COND_COUNT ? condition_names[c] : "";
}

const char *bosh_reason_text(bosh_reason_t r)
{
    return (unsigned)r < BOSH_REASON_COUNT ? reason_texts[r] : "unknown";
}
