/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * One HTTP body. What is accepted must be accepted by expat too, and so must
 * what we make of it, with the same children; what is refused must leave
 * nothing behind. A second parse into the same object must not differ.
 *
 * The first byte chooses the limits, so that the same corpus reaches both sides
 * of each limit.
 */
#include <string.h>

#include "bosh/xml.h"
#include "oracle_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const bosh_xml_limits_t narrow = {
    .max_depth = 4,
    .max_attrs = 4,
    .max_ns = 3,
    .max_elements = 6,
    .max_children = 3,
    .max_name = 12,
    .max_value = 64,
    .max_bytes = 1024,
};

static void check_refused(const bosh_body_t *b)
{
    const bosh_str_t none = BOSH_STR("");

    oracle_require(b->payloads == 0 && b->payload.len == 0, "a refused body left a payload",
                   bosh_buf_str(&b->payload), none);
    for (unsigned i = 0; i < BOSH_A_COUNT; i++) {
        oracle_require(!b->attr[i].p, "a refused body left an attribute", none, none);
    }
}

static void check_accepted(const bosh_body_t *b, bosh_str_t doc)
{
    const char header[] = "<stream:stream xmlns='jabber:client' "
                          "xmlns:stream='http://etherx.jabber.org/streams'>";
    oracle_options_t options = { .is_whole = true, .hides_httpbind = true, .hides_lang = true };
    oracle_t before;
    oracle_t after;
    bosh_buf_t sent;

    bosh_buf_init(&sent, 0);
    (void)bosh_buf_add_z(&sent, header);
    (void)bosh_buf_add_str(&sent, bosh_buf_str(&b->payload));
    (void)bosh_buf_add_z(&sent, "</stream:stream>");

    oracle_read(&before, doc, options);
    oracle_read(&after, bosh_buf_str(&sent), options);
    oracle_require(before.is_accepted, "expat refuses what we accept", doc, bosh_buf_str(&sent));
    oracle_require(after.is_accepted, "expat refuses what we forward", doc, bosh_buf_str(&sent));
    oracle_require(after.children == b->payloads && before.children == b->payloads,
                   "another number of payloads", doc, bosh_buf_str(&sent));
    oracle_require(bosh_str_same(bosh_buf_str(&before.dump), bosh_buf_str(&after.dump)),
                   "another tree", bosh_buf_str(&before.dump), bosh_buf_str(&after.dump));

    oracle_free(&before);
    oracle_free(&after);
    bosh_buf_free(&sent);
}

/* What is no XML for us must be none for expat; declarations apart, where we are
 * stricter. */
static void check_not_xml(bosh_str_t doc)
{
    oracle_options_t options = { .is_whole = true };
    oracle_t o;

    oracle_read(&o, doc, options);
    oracle_require(!o.is_accepted || oracle_has_declaration(doc), "expat takes what we refuse", doc,
                   bosh_buf_str(&o.dump));
    oracle_free(&o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const bosh_xml_limits_t *limits;
    bosh_xml_verdict_t verdict;
    bosh_body_t body;
    bosh_str_t doc;

    if (size == 0) {
        return 0;
    }
    limits = data[0] % 2 ? &narrow : &bosh_xml_body_limits;
    doc.p = (const char *)data + 1;
    doc.len = size - 1;

    bosh_body_init(&body);
    verdict = bosh_body_parse(&body, doc.p, doc.len, limits);
    oracle_require(bosh_body_parse(&body, doc.p, doc.len, limits) == verdict,
                   "another verdict the second time", doc, doc);
    if (verdict == BOSH_XML_OK) {
        check_accepted(&body, doc);
    }
    else {
        check_refused(&body);
    }
    if (verdict == BOSH_XML_NOT_WELL_FORMED) {
        check_not_xml(doc);
    }
    bosh_body_free(&body);
    return 0;
}
