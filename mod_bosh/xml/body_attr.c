/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Which attribute is which: by namespace and local name, never by prefix
 * (Twisted writes xn0:version where others write xmpp:version).
 */
#include "body_attr_int.h"

#include <string.h>

typedef struct known_attr_t {
    const char *uri;
    const char *local;
} known_attr_t;

static const known_attr_t known[BOSH_A_COUNT] = {
    [BOSH_A_RID] = { NULL, "rid" },
    [BOSH_A_SID] = { NULL, "sid" },
    [BOSH_A_TO] = { NULL, "to" },
    [BOSH_A_FROM] = { NULL, "from" },
    [BOSH_A_ROUTE] = { NULL, "route" },
    [BOSH_A_VER] = { NULL, "ver" },
    [BOSH_A_WAIT] = { NULL, "wait" },
    [BOSH_A_HOLD] = { NULL, "hold" },
    [BOSH_A_ACK] = { NULL, "ack" },
    [BOSH_A_CONTENT] = { NULL, "content" },
    [BOSH_A_LANG] = { BOSH_XML_NS_XML, "lang" },
    [BOSH_A_TYPE] = { NULL, "type" },
    [BOSH_A_CONDITION] = { NULL, "condition" },
    [BOSH_A_PAUSE] = { NULL, "pause" },
    [BOSH_A_KEY] = { NULL, "key" },
    [BOSH_A_NEWKEY] = { NULL, "newkey" },
    [BOSH_A_STREAM] = { NULL, "stream" },
    [BOSH_A_REPORT] = { NULL, "report" },
    [BOSH_A_TIME] = { NULL, "time" },
    [BOSH_A_XMPP_VERSION] = { BOSH_NS_XBOSH, "version" },
    [BOSH_A_XMPP_RESTART] = { BOSH_NS_XBOSH, "restart" },
};

/* BOSH_A_COUNT: not one of ours. */
static unsigned which(const bosh_xml_attr_t *attr)
{
    unsigned i = 0;

    while (
        i < BOSH_A_COUNT
        && !(strcmp(attr->local, known[i].local) == 0 && bosh_xml_same(attr->uri, known[i].uri))) {
        i++;
    }
    return i;
}

bosh_xml_verdict_t bosh_xml_take_body_attrs(bosh_body_t *b, const bosh_xml_element_t *e)
{
    size_t total = 0;

    /* All the room at once: growing would move the strings that attr points to. */
    for (unsigned i = 0; i < e->attr_count; i++) {
        total += bosh_xml_element_attr(e, i).value.len;
    }
    if (!bosh_buf_room(&b->text, total)) {
        return BOSH_XML_NO_MEMORY;
    }
    for (unsigned i = 0; i < e->attr_count; i++) {
        bosh_xml_attr_t attr = bosh_xml_element_attr(e, i);
        unsigned a = which(&attr);

        if (a < BOSH_A_COUNT) {
            b->attr[a].p = b->text.p + b->text.len;
            b->attr[a].len = attr.value.len;
            (void)bosh_buf_add_str(&b->text, attr.value);
        }
    }
    return BOSH_XML_OK;
}
