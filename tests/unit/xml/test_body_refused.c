/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Bodies that must be refused: one test each, with the verdict. After every one
 * of them the object holds nothing, although a good body was in it before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "bosh/xml.h"

#define NS   " xmlns='http://jabber.org/protocol/httpbind'"
#define OPEN "<body" NS ">"

typedef struct row_t {
    const char *name;
    const char *doc;
    size_t len;
    bosh_xml_verdict_t verdict;
} row_t;

#define ROW(name, verdict, doc)                        \
    {                                                  \
        name, doc, sizeof(doc) - 1, BOSH_XML_##verdict \
    }

static const row_t rows[] = {
    ROW("empty", EMPTY, ""),
    ROW("white_space_only", EMPTY, " \t\r\n"),
    ROW("one_byte", NOT_WELL_FORMED, "<"),

    ROW("overlong_less_than", NOT_UTF8, OPEN "<m>\xc0\xbc</m></body>"),
    ROW("overlong_nul", NOT_UTF8, OPEN "<m>\xc0\x80</m></body>"),
    ROW("surrogate", NOT_UTF8, OPEN "<m>\xed\xa0\x80</m></body>"),
    ROW("beyond_unicode", NOT_UTF8, OPEN "<m>\xf4\x90\x80\x80</m></body>"),
    ROW("cut_character_before_tag", NOT_UTF8, OPEN "<m>\xe2\x82</m></body>"),
    ROW("cut_character_before_quote", NOT_UTF8, OPEN "<m a='\xf0\x9f'/></body>"),
    ROW("nul_in_text", NOT_UTF8, OPEN "<m>\0</m></body>"),
    ROW("nul_in_attribute", NOT_UTF8, "<body sid='a\0b'" NS "/>"),
    ROW("nul_in_name", NOT_UTF8, "<bo\0dy" NS "/>"),
    ROW("nul_after_root", NOT_UTF8, "<body" NS "/>\0"),
    ROW("utf8_byte_order_mark", NOT_UTF8, "\xef\xbb\xbf<body" NS "/>"),
    ROW("utf16le_byte_order_mark", NOT_UTF8, "\xff\xfe<\0b\0/\0>\0"),
    ROW("utf16be_byte_order_mark", NOT_UTF8, "\xfe\xff\0<\0b\0/\0>"),
    ROW("utf16le_pattern", NOT_UTF8, "<\0b\0o\0d\0y\0/\0>\0"),
    ROW("utf16be_pattern", NOT_UTF8, "\0<\0b\0o\0d\0y\0/\0>"),
    ROW("utf32le_byte_order_mark", NOT_UTF8, "\xff\xfe\0\0<\0\0\0"),
    ROW("utf32be_byte_order_mark", NOT_UTF8, "\0\0\xfe\xff\0\0\0<"),
    ROW("utf32_pattern", NOT_UTF8, "<\0\0\0b\0\0\0"),
    ROW("ebcdic", NOT_UTF8, "\x4c\x6f\xa7\x94\x93\x40"),
    ROW("declares_utf7", NOT_UTF8,
        "<?xml version='1.0' encoding='UTF-7'?>" OPEN "+ADw-x/+AD4-</body>"),
    ROW("declares_utf7_lower_case", NOT_UTF8,
        "<?xml version='1.0' encoding='utf-7'?><body" NS "/>"),
    ROW("declares_latin1", NOT_UTF8, "<?xml version='1.0' encoding='ISO-8859-1'?><body" NS "/>"),
    ROW("declares_us_ascii", NOT_UTF8, "<?xml version='1.0' encoding='US-ASCII'?><body" NS "/>"),
    ROW("declares_utf16", NOT_UTF8, "<?xml version='1.0' encoding='UTF-16'?><body" NS "/>"),
    ROW("declares_utf8_without_dash", NOT_UTF8,
        "<?xml version='1.0' encoding='UTF8'?><body" NS "/>"),
    ROW("declares_nothing", NOT_UTF8, "<?xml version='1.0' encoding=''?><body" NS "/>"),

    ROW("xml_1_1", NOT_WELL_FORMED, "<?xml version='1.1'?><body" NS "/>"),
    ROW("xml_2_0", NOT_WELL_FORMED, "<?xml version='2.0'?><body" NS "/>"),
    ROW("declaration_without_version", NOT_WELL_FORMED, "<?xml encoding='UTF-8'?><body" NS "/>"),
    ROW("declaration_without_end", NOT_WELL_FORMED, "<?xml version='1.0'><body" NS "/>"),
    ROW("declaration_with_unknown_part", NOT_WELL_FORMED,
        "<?xml version='1.0' a='b'?><body" NS "/>"),
    ROW("declaration_standalone_maybe", NOT_WELL_FORMED,
        "<?xml version='1.0' standalone='maybe'?><body" NS "/>"),
    ROW("declaration_glued", NOT_WELL_FORMED, "<?xml version='1.0'encoding='UTF-8'?><body" NS "/>"),
    ROW("two_declarations", NOT_WELL_FORMED,
        "<?xml version='1.0'?><?xml version='1.0' encoding='UTF-7'?><body" NS "/>"),
    ROW("declaration_behind_space", NOT_WELL_FORMED,
        " <?xml version='1.0' encoding='UTF-7'?><body" NS "/>"),
    ROW("declaration_inside", NOT_WELL_FORMED, OPEN "<?xml version='1.0'?></body>"),

    ROW("dtd_before_root", DTD, "<!DOCTYPE body><body" NS "/>"),
    ROW("dtd_with_subset", DTD, "<!DOCTYPE b [<!ENTITY a 'b'>]>" OPEN "<m>&a;</m></body>"),
    ROW("dtd_external", DTD, "<!DOCTYPE b SYSTEM 'file:///etc/passwd'><body" NS "/>"),
    ROW("dtd_public", DTD, "<!DOCTYPE b PUBLIC '-//x' 'http://127.0.0.1/x'><body" NS "/>"),
    ROW("dtd_entity_in_attribute", DTD, "<!DOCTYPE b [<!ENTITY a 'b'>]><body rid='&a;'" NS "/>"),
    ROW("dtd_parameter_entity", DTD, "<!DOCTYPE b [<!ENTITY % a SYSTEM 'x'> %a;]><body" NS "/>"),
    ROW("dtd_after_declaration", DTD, "<?xml version='1.0'?>\n<!DOCTYPE b>\n<body" NS "/>"),
    ROW("dtd_billion_laughs", DTD,
        "<!DOCTYPE b [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;'>]>" OPEN "<m>&b;</m></body>"),
    ROW("dtd_inside_body", DTD, OPEN "<!DOCTYPE b></body>"),
    ROW("dtd_inside_payload", DTD, OPEN "<m><!DOCTYPE b [<!ENTITY a 'b'>]></m></body>"),
    ROW("dtd_after_root", DTD, "<body" NS "/><!DOCTYPE b>"),

    ROW("pi_stylesheet_before_root", PI, "<?xml-stylesheet href='a'?><body" NS "/>"),
    ROW("pi_behind_declaration", PI, "<?xml version='1.0'?><?a?><body" NS "/>"),
    ROW("pi_in_body", PI, OPEN "<?a?></body>"),
    ROW("pi_in_payload", PI, OPEN "<m><?a b?></m></body>"),
    ROW("pi_after_root", PI, "<body" NS "/><?a?>"),
    ROW("comment_before_root", COMMENT, "<!-- --><body" NS "/>"),
    ROW("comment_in_body", COMMENT, OPEN "<!-- --></body>"),
    ROW("comment_in_payload", COMMENT, OPEN "<m><!-- </m> --></m></body>"),
    ROW("comment_after_root", COMMENT, "<body" NS "/><!-- -->"),

    ROW("text_in_body", TEXT, OPEN "x<m/></body>"),
    ROW("text_behind_payload", TEXT, OPEN "<m/> x</body>"),
    ROW("text_by_reference", TEXT, OPEN "&#65;</body>"),
    ROW("text_by_entity", TEXT, OPEN "&lt;</body>"),
    ROW("text_in_cdata", TEXT, OPEN "<![CDATA[x]]></body>"),
    ROW("text_only", TEXT, OPEN "hello</body>"),
    ROW("text_no_break_space", TEXT, OPEN "\xc2\xa0</body>"),

    ROW("root_not_body", ROOT, "<message" NS "/>"),
    ROW("root_without_namespace", ROOT, "<body/>"),
    ROW("root_in_other_namespace", ROOT, "<body xmlns='jabber:client'/>"),
    ROW("root_almost_namespace", ROOT, "<body xmlns='http://jabber.org/protocol/httpbind/'/>"),
    ROW("root_upper_case", ROOT, "<BODY" NS "/>"),
    ROW("root_is_stream", ROOT, "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'/>"),

    ROW("undeclared_prefix_of_payload", NAMESPACE, OPEN "<stream:error/></body>"),
    ROW("undeclared_prefix_of_root", NAMESPACE, "<b:body/>"),
    ROW("undeclared_prefix_of_attribute", NAMESPACE, OPEN "<m a:b='c'/></body>"),
    ROW("undeclared_prefix_deep", NAMESPACE, OPEN "<m><x><a:b/></x></m></body>"),
    ROW("two_colons", NAMESPACE, OPEN "<a:b:c xmlns:a='u'/></body>"),
    ROW("colon_first", NAMESPACE, OPEN "<:c/></body>"),
    ROW("colon_last", NAMESPACE, OPEN "<c:/></body>"),
    ROW("same_expanded_name_twice", NAMESPACE,
        OPEN "<m xmlns:a='u' xmlns:b='u' a:x='1' b:x='2'/></body>"),
    ROW("prefix_undeclared_by_empty_name", NAMESPACE, OPEN "<m xmlns:x=''/></body>"),
    ROW("xml_prefix_rebound", NAMESPACE, OPEN "<m xmlns:xml='evil'/></body>"),
    ROW("xml_namespace_rebound", NAMESPACE,
        OPEN "<m xmlns:x='http://www.w3.org/XML/1998/namespace'/></body>"),
    ROW("xml_namespace_as_default", NAMESPACE,
        OPEN "<m xmlns='http://www.w3.org/XML/1998/namespace'/></body>"),
    ROW("xmlns_prefix_declared", NAMESPACE, OPEN "<m xmlns:xmlns='u'/></body>"),
    ROW("xmlns_namespace_used", NAMESPACE,
        OPEN "<m xmlns:x='http://www.w3.org/2000/xmlns/'/></body>"),
    ROW("xmlns_as_element_prefix", NAMESPACE, OPEN "<xmlns:m/></body>"),
    ROW("namespace_name_with_space", NAMESPACE, OPEN "<m xmlns='a b'/></body>"),

    ROW("payload_in_streams_namespace", PAYLOAD,
        OPEN "<error xmlns='http://etherx.jabber.org/streams'/></body>"),
    ROW("payload_stream_prefixed", PAYLOAD,
        OPEN "<s:stream xmlns:s='http://etherx.jabber.org/streams'/></body>"),
    ROW("payload_features_from_client", PAYLOAD,
        "<body xmlns:stream='http://etherx.jabber.org/streams'" NS
        "><m/><stream:features/></body>"),
    ROW("payload_starttls", PAYLOAD,
        OPEN "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></body>"),
    ROW("payload_compress", PAYLOAD,
        OPEN "<compress xmlns='http://jabber.org/protocol/compress'/></body>"),

    ROW("two_roots", NOT_WELL_FORMED, "<body" NS "/><body" NS "/>"),
    ROW("closes_early_and_appends", NOT_WELL_FORMED, OPEN "<m/></body><m/></body>"),
    ROW("junk_after_root", NOT_WELL_FORMED, "<body" NS "/>x"),
    ROW("junk_before_root", NOT_WELL_FORMED, "x<body" NS "/>"),
    ROW("truncated_in_tag", NOT_WELL_FORMED, "<body" NS),
    ROW("truncated_in_value", NOT_WELL_FORMED, "<body rid='1"),
    ROW("truncated_in_body", NOT_WELL_FORMED, OPEN "<m/>"),
    ROW("truncated_in_payload", NOT_WELL_FORMED, OPEN "<m>a</m><m>b"),
    ROW("truncated_in_cdata", NOT_WELL_FORMED, OPEN "<m><![CDATA[x]]"),
    ROW("good_messages_then_broken_tail", NOT_WELL_FORMED,
        OPEN "<message>1</message><message>2</message><oops"),
    ROW("mismatched_end", NOT_WELL_FORMED, OPEN "<a><b></a></b></body>"),
    ROW("mismatched_prefix_of_end", NOT_WELL_FORMED,
        OPEN "<a:m xmlns:a='u' xmlns:b='u'></b:m></body>"),
    ROW("stray_end_of_stream", NOT_WELL_FORMED, OPEN "</stream:stream></body>"),
    ROW("attribute_twice", NOT_WELL_FORMED, "<body rid='1' rid='2'" NS "/>"),
    ROW("default_namespace_twice", NOT_WELL_FORMED, "<body" NS NS "/>"),
    ROW("less_than_in_value", NOT_WELL_FORMED, "<body rid='<'" NS "/>"),
    ROW("value_without_quotes", NOT_WELL_FORMED, "<body rid=1" NS "/>"),
    ROW("attributes_glued", NOT_WELL_FORMED, "<body rid='1'sid='2'" NS "/>"),
    ROW("bare_ampersand", NOT_WELL_FORMED, OPEN "<m>a & b</m></body>"),
    ROW("cdata_end_in_text", NOT_WELL_FORMED, OPEN "<m>]]></m></body>"),
    ROW("unknown_entity", NOT_WELL_FORMED, OPEN "<m>&nbsp;</m></body>"),
    ROW("unknown_entity_in_attribute", NOT_WELL_FORMED, "<body rid='&nbsp;'" NS "/>"),
    ROW("reference_to_nul", NOT_WELL_FORMED, "<body rid='&#0;'" NS "/>"),
    ROW("reference_to_control", NOT_WELL_FORMED, OPEN "<m>&#1;</m></body>"),
    ROW("reference_to_surrogate", NOT_WELL_FORMED, OPEN "<m>&#xD800;</m></body>"),
    ROW("reference_beyond_unicode", NOT_WELL_FORMED, OPEN "<m>&#x110000;</m></body>"),
    ROW("control_in_text", NOT_WELL_FORMED, OPEN "<m>\x01</m></body>"),
    ROW("control_in_attribute", NOT_WELL_FORMED, OPEN "<m a='\x1b'/></body>"),
    ROW("noncharacter_fffe", NOT_WELL_FORMED, OPEN "<m>\xef\xbf\xbe</m></body>"),
    ROW("noncharacter_ffff", NOT_WELL_FORMED, OPEN "<m>\xef\xbf\xbf</m></body>"),
    ROW("name_of_the_fifth_edition", NOT_WELL_FORMED, OPEN "<\xc8\xa0/></body>"),
};

static void is_refused(void **state)
{
    static const char good[] = "<body rid='7' sid='secret'" NS "><message>secret</message></body>";
    const row_t *row = *state;
    /* On the heap and exact, so that a sanitizer sees a read beyond the end. */
    char *copy = malloc(row->len + (row->len == 0));
    bosh_body_t b;

    memcpy(copy, row->doc, row->len);
    bosh_body_init(&b);
    assert_int_equal(bosh_body_parse(&b, good, sizeof(good) - 1, &bosh_xml_body_limits),
                     BOSH_XML_OK);
    assert_string_equal(
        bosh_xml_verdict_text(bosh_body_parse(&b, copy, row->len, &bosh_xml_body_limits)),
        bosh_xml_verdict_text(row->verdict));
    assert_int_equal(b.payloads, 0);
    assert_int_equal(b.payload.len, 0);
    for (unsigned i = 0; i < BOSH_A_COUNT; i++) {
        assert_null(b.attr[i].p);
    }
    for (size_t i = 0; i < b.payload.size; i++) {
        assert_int_equal(b.payload.p[i], 0);
    }
    for (size_t i = 0; i < b.text.size; i++) {
        assert_int_equal(b.text.p[i], 0);
    }
    bosh_body_free(&b);
    free(copy);
}

int main(void)
{
    enum { COUNT = sizeof(rows) / sizeof(rows[0]) };
    static struct CMUnitTest tests[COUNT];

    bosh_xml_init();
    for (size_t i = 0; i < COUNT; i++) {
        tests[i].name = rows[i].name;
        tests[i].test_func = is_refused;
        tests[i].initial_state = (void *)(uintptr_t)&rows[i];
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
