/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * What becomes of accepted payloads: one test per row, document and result.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bosh/xml.h"

#define NS   " xmlns='http://jabber.org/protocol/httpbind'"
#define OPEN "<body" NS ">"
#define END  "</body>"

typedef struct row_t {
    const char *name;
    const char *doc;
    const char *payload;
    unsigned payloads;
} row_t;

static const row_t rows[] = {
    { "no_payload", "<body" NS "/>", "", 0 },
    { "white_space_is_no_payload", OPEN " \r\n\t&#32;<![CDATA[ ]]>" END, "", 0 },
    { "declaration", "<?xml version=\"1.0\"?>" OPEN "<m/>" END, "<m/>", 1 },
    { "declaration_in_full",
      "<?xml  version = '1.0' encoding=\"utf-8\"\tstandalone='no' ?>\n" OPEN "<m/>" END "\n",
      "<m/>", 1 },
    { "space_around_root", "\n " OPEN "<m/>" END " \n", "<m/>", 1 },

    { "jabber_client_is_the_default",
      OPEN "<message xmlns='jabber:client'><body>a</body></message>" END,
      "<message><body>a</body></message>", 1 },
    { "httpbind_becomes_jabber_client", OPEN "<message><body>a</body></message>" END,
      "<message><body>a</body></message>", 1 },
    { "prefixed_httpbind_becomes_jabber_client",
      "<b:body xmlns:b='http://jabber.org/protocol/httpbind'><b:message><b:body/></b:message>"
      "<iq xmlns='jabber:client'/></b:body>",
      "<message><body/></message><iq/>", 2 },
    { "payload_that_repeats_httpbind", OPEN "<message" NS "><body>a</body></message>" END,
      "<message><body>a</body></message>", 1 },
    { "httpbind_declared_below_stays",
      OPEN "<message><x><body type='terminate'" NS "><y/></body></x></message>" END,
      "<message><x><body xmlns='http://jabber.org/protocol/httpbind' type='terminate'><y/></body>"
      "</x></message>",
      1 },
    { "httpbind_declared_below_ends_with_its_element", OPEN "<m><a" NS "/><b/></m>" END,
      "<m><a xmlns='http://jabber.org/protocol/httpbind'/><b/></m>", 1 },
    { "prefix_declared_below_stays",
      OPEN "<m><h:a xmlns:h='http://jabber.org/protocol/httpbind'><b/></h:a></m>" END,
      "<m><a xmlns='http://jabber.org/protocol/httpbind'><b xmlns='jabber:client'/></a></m>", 1 },
    { "inheriting_httpbind_below_another_namespace_moves",
      "<b:body xmlns:b='http://jabber.org/protocol/httpbind'><m xmlns='urn:a'><b:x/></m></b:body>",
      "<m xmlns='urn:a'><x xmlns='jabber:client'/></m>", 1 },
    { "no_namespace", OPEN "<m xmlns=''><x/></m>" END, "<m xmlns=''><x/></m>", 1 },
    { "no_namespace_below", OPEN "<m><x xmlns=''/><y/></m>" END, "<m><x xmlns=''/><y/></m>", 1 },
    { "other_namespaces",
      OPEN "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGE=</auth>" END,
      "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGE=</auth>", 1 },
    { "streams_namespace_below_keeps_our_prefix",
      OPEN "<m><e xmlns='http://etherx.jabber.org/streams'/></m>" END, "<m><stream:e/></m>", 1 },
    { "stream_prefix_rebound_by_the_client",
      "<body xmlns:stream='jabber:client'" NS "><stream:error/></body>", "<error/>", 1 },
    { "prefix_shadowed",
      OPEN "<p:a xmlns:p='urn:1'><p:a xmlns:p='urn:2'><p:b/></p:a><p:b/></p:a>" END,
      "<a xmlns='urn:1'><a xmlns='urn:2'><b/></a><b/></a>", 1 },
    { "unused_declarations_go", OPEN "<m xmlns:a='urn:a' xmlns:b='urn:b'/>" END, "<m/>", 1 },
    { "namespaced_attributes",
      OPEN "<m xmlns:a='urn:a' xmlns:b='urn:b' xmlns:c='urn:a' x='0' a:x='1' b:x='2' c:y='3'/>" END,
      "<m x='0' xmlns:ns2='urn:a' ns2:x='1' xmlns:ns3='urn:b' ns3:x='2' ns2:y='3'/>", 1 },
    { "attribute_in_httpbind",
      "<b:body xmlns:b='http://jabber.org/protocol/httpbind'><m xmlns='' b:x='1'/></b:body>",
      "<m xmlns='' xmlns:ns1='http://jabber.org/protocol/httpbind' ns1:x='1'/>", 1 },
    { "namespace_name_with_quote", OPEN "<m xmlns=\"urn:a'b&amp;c\"/>" END,
      "<m xmlns='urn:a&apos;b&amp;c'/>", 1 },
    { "xml_attributes", OPEN "<m xml:lang='en' xml:space='preserve'/>" END,
      "<m xml:lang='en' xml:space='preserve'/>", 1 },
    { "element_in_the_xml_namespace", OPEN "<m><xml:a><b/></xml:a></m>" END,
      "<m><xml:a><b/></xml:a></m>", 1 },

    { "lang_of_body_is_put_on_payloads", "<body xml:lang='de'" NS "><a/><b><c/></b></body>",
      "<a xml:lang='de'/><b xml:lang='de'><c/></b>", 2 },
    { "lang_of_the_payload_wins",
      "<body xml:lang='de'" NS "><a xml:lang='en'/><b xml:lang=''/></body>",
      "<a xml:lang='en'/><b xml:lang=''/>", 2 },
    { "lang_cannot_inject", "<body xml:lang=\"'/&gt;&lt;x a='\"" NS "><a lang='x'/></body>",
      "<a lang='x' xml:lang='&apos;/&gt;&lt;x a=&apos;'/>", 1 },

    { "text_is_escaped", OPEN "<m>&lt;a&gt; &amp;amp; ' &quot; &#x41;</m>" END,
      "<m>&lt;a&gt; &amp;amp; ' \" A</m>", 1 },
    { "cdata_is_text", OPEN "<m><![CDATA[</stream:stream>&amp;]]></m>" END,
      "<m>&lt;/stream:stream&gt;&amp;amp;</m>", 1 },
    { "cdata_end_split_over_two_sections", OPEN "<m><![CDATA[]]]]><![CDATA[>]]></m>" END,
      "<m>]]&gt;</m>", 1 },
    { "cdata_is_text_with_line_ends", OPEN "<m><![CDATA[a\r\nb\rc\r]]><![CDATA[\nd]]></m>" END,
      "<m>a\nb\nc\n\nd</m>", 1 },
    { "empty_cdata_in_body", OPEN "<![CDATA[]]><m><![CDATA[]]></m>" END, "<m/>", 1 },
    { "white_space_references_in_attributes_survive", OPEN "<m a='&#9;&#10;&#13; x'/>" END,
      "<m a='&#9;&#10;&#13; x'/>", 1 },
    { "literal_white_space_in_attributes_is_space", OPEN "<m a='\t\n\r\nx'/>" END, "<m a='   x'/>",
      1 },
    { "carriage_return_in_text_survives", OPEN "<m>&#13;&#10;\r\n\t</m>" END, "<m>&#13;\n\n\t</m>",
      1 },
    { "quotes_in_attributes", OPEN "<m a=\"it's\" b='\"'/>" END, "<m a='it&apos;s' b='\"'/>", 1 },
    { "greater_than_in_attributes", OPEN "<m a='>' b=\"/>\">x</m>" END,
      "<m a='&gt;' b='/&gt;'>x</m>", 1 },
    { "four_byte_characters", OPEN "<m a='\xf0\x9f\x98\x80'>\xf0\x9f\x98\x80&#x1F600;</m>" END,
      "<m a='\xf0\x9f\x98\x80'>\xf0\x9f\x98\x80\xf0\x9f\x98\x80</m>", 1 },
    { "white_space_in_payloads_survives", OPEN " <m> <a/> </m> " END, "<m> <a/> </m>", 1 },
    { "empty_start_and_end", OPEN "<m></m>" END, "<m/>", 1 },
};

static void is_forwarded(void **state)
{
    const row_t *row = *state;
    bosh_str_t doc = bosh_str(row->doc);
    bosh_body_t b;

    bosh_body_init(&b);
    assert_string_equal(
        bosh_xml_verdict_text(bosh_body_parse(&b, doc.p, doc.len, &bosh_xml_body_limits)),
        bosh_xml_verdict_text(BOSH_XML_OK));
    (void)bosh_buf_add(&b.payload, "", 1);
    assert_string_equal(b.payload.p, row->payload);
    assert_int_equal(b.payloads, row->payloads);
    bosh_body_free(&b);
}

int main(void)
{
    enum { COUNT = sizeof(rows) / sizeof(rows[0]) };
    static struct CMUnitTest tests[COUNT];

    bosh_xml_init();
    for (size_t i = 0; i < COUNT; i++) {
        tests[i].name = rows[i].name;
        tests[i].test_func = is_forwarded;
        tests[i].initial_state = (void *)(uintptr_t)&rows[i];
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
