/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Domain names in ASCII: examples of RFC 3492 section 7.1, and what is no name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "idn.h"

static void expect(const char *name, const char *ascii)
{
    char out[IDN_SIZE];
    bool is_ok = idn_to_ascii(out, sizeof(out), name, strlen(name));

    assert_string_equal(out, ascii ? ascii : "");
    assert_int_equal(is_ok, ascii != NULL);
}

static void writes_other_letters_as_a_labels(void **state)
{
    (void)state;
    expect("b\xc3\xbc"
           "cher.example",
           "xn--bcher-kva.example");
    expect("M\xc3\xbc"
           "nchen.Example",
           "xn--mnchen-3ya.example");
    expect("\xe4\xbb\x96\xe4\xbb\xac\xe4\xb8\xba\xe4\xbb\x80\xe4\xb9\x88\xe4\xb8\x8d\xe8"
           "\xaf\xb4\xe4\xb8\xad\xe6\x96\x87",
           "xn--ihqwcrb4cv8a8dqg056pqjye");
    expect("pro\xc4\x8dprost\xc4\x9bnemluv\xc3\xad\xc4\x8d"
           "esky",
           "xn--proprostnemluvesky-uyb24dma41a");
    expect("\xf0\x9f\x92\xa9.la", "xn--ls8h.la");
}

static void leaves_ascii_names_but_for_case_and_the_last_dot(void **state)
{
    (void)state;
    expect("Example.ORG", "example.org");
    expect("example.org.", "example.org");
    expect("xn--Bcher-kva.example", "xn--bcher-kva.example");
    expect("localhost", "localhost");
    expect("_srv.example", "_srv.example");
}

static void refuses_what_is_no_name(void **state)
{
    char out[IDN_SIZE], text[512];

    (void)state;
    expect("", NULL);
    expect(".", NULL);
    expect(".org", NULL);
    expect("a..b", NULL);
    expect("a.b..", NULL);
    expect("a b", NULL);
    expect("a\n", NULL);
    expect("\xff", NULL);
    expect("\xc3", NULL);
    assert_false(idn_to_ascii(out, sizeof(out), "a\0b", 3));
    memset(text, 'a', 64);
    text[64] = '\0';
    expect(text, NULL);
    text[63] = '\0';
    expect(text, text);
    for (unsigned i = 0; i < 200; i += 2) { /* 100 letters become one long label */
        memcpy(text + i, "\xc3\xbc", 2);
    }
    text[200] = '\0';
    expect(text, NULL);
    for (unsigned i = 0; i < 256; i++) {
        text[i] = i % 2 ? '.' : 'a';
    }
    text[253] = '\0';
    expect(text, text);
    text[253] = '.', text[254] = 'a', text[255] = '\0';
    expect(text, NULL);
    assert_false(idn_to_ascii(out, 4, "abcd", 4));
    assert_true(idn_to_ascii(out, 5, "abcd", 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_other_letters_as_a_labels),
        cmocka_unit_test(leaves_ascii_names_but_for_case_and_the_last_dot),
        cmocka_unit_test(refuses_what_is_no_name),
    };

    return cmocka_run_group_tests_name("domain names", tests, NULL, NULL);
}
