/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Whatever a document names, libxml2 opens nothing of it: not a file, not a host.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <libxml/parser.h>
#include <libxml/xmlIO.h>

#include "stream_record.h"

#include "bosh/xml.h"

#define BODY "<body xmlns='http://jabber.org/protocol/httpbind'>"
#define STREAM \
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
#define WHERE "file:///etc/hostname"

static unsigned asked;

/* libxml2 asks the one that was registered last first. */
static int is_asked(const char *name)
{
    (void)name;
    asked++;
    return 0;
}

static int watch(void **state)
{
    (void)state;
    asked = 0;
    return xmlRegisterInputCallbacks(is_asked, NULL, NULL, NULL) < 0;
}

static int unwatch(void **state)
{
    (void)state;
    return xmlPopInputCallbacks() < 0;
}

static void what_is_opened_would_be_seen(void **state)
{
    static const char doc[] = "<!DOCTYPE a SYSTEM '" WHERE "'><a/>";
    xmlDocPtr read;

    (void)state;
    read = xmlReadMemory(doc, sizeof(doc) - 1, NULL, NULL,
                         XML_PARSE_DTDLOAD | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    assert_int_not_equal(asked, 0);
    xmlFreeDoc(read);
}

static const char *const prologues[] = {
    "<!DOCTYPE a SYSTEM '" WHERE "'>",
    "<!DOCTYPE a PUBLIC '-//a' 'http://127.0.0.1:9/a.dtd'>",
    "<!DOCTYPE a [<!ENTITY e SYSTEM '" WHERE "'>]>",
    "<!DOCTYPE a [<!ENTITY e SYSTEM 'ftp://127.0.0.1:9/a'>]>",
    "<!DOCTYPE a [<!ENTITY % e SYSTEM '" WHERE "'> %e;]>",
    "<?xml-stylesheet href='" WHERE "'?>",
    "",
};

static const char *const contents[] = {
    "<m>&e;</m>",
    "<m a='&e;'/>",
    "<m xmlns:i='http://www.w3.org/2001/XInclude'><i:include href='" WHERE "'/></m>",
    "<m xmlns:s='http://www.w3.org/2001/XMLSchema-instance' s:schemaLocation='a " WHERE "'/>",
    "<m xml:base='" WHERE "'/>",
};

#define COUNT(array) (sizeof(array) / sizeof(array[0]))

/* Those without a reference and with nothing in front are no worse than others. */
#define ACCEPTED 3

static unsigned count_accepted(bosh_xml_verdict_t (*read)(const char *doc), const char *begin,
                               const char *end)
{
    unsigned accepted = 0;

    for (unsigned n = 0; n < COUNT(prologues) * COUNT(contents); n++) {
        char doc[1000];

        snprintf(doc, sizeof(doc), "%s%s%s%s", prologues[n / COUNT(contents)], begin,
                 contents[n % COUNT(contents)], end);
        accepted += read(doc) == BOSH_XML_OK;
    }
    return accepted;
}

static bosh_xml_verdict_t read_body(const char *doc)
{
    bosh_xml_verdict_t verdict;
    bosh_body_t b;

    bosh_body_init(&b);
    verdict = bosh_body_parse(&b, doc, strlen(doc), &bosh_xml_body_limits);
    bosh_body_free(&b);
    return verdict;
}

static bosh_xml_verdict_t read_stream(const char *doc)
{
    bosh_parser_pool_t *pool = bosh_parser_pool_create();
    bosh_xml_verdict_t verdict;
    record_t r;

    record_begin(&r, pool, &bosh_xml_stream_limits);
    verdict = record_feed(&r, doc);
    record_end(&r);
    bosh_parser_pool_destroy(pool);
    return verdict;
}

static void no_body_makes_it_open_anything(void **state)
{
    (void)state;
    assert_int_equal(count_accepted(read_body, BODY, "</body>"), ACCEPTED);
    assert_int_equal(asked, 0);
}

static void no_stream_makes_it_open_anything(void **state)
{
    (void)state;
    assert_int_equal(count_accepted(read_stream, STREAM, ""), ACCEPTED);
    assert_int_equal(asked, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_opened_would_be_seen, watch, unwatch),
        cmocka_unit_test_setup_teardown(no_body_makes_it_open_anything, watch, unwatch),
        cmocka_unit_test_setup_teardown(no_stream_makes_it_open_anything, watch, unwatch),
    };

    bosh_xml_init();
    return cmocka_run_group_tests_name("opens nothing", tests, NULL, NULL);
}
