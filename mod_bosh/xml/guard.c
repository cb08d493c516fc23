/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * The XML declaration, by the letter of XML 1.0, production 23:
 *
 *   '<?xml' S 'version' Eq '1.0' (S 'encoding' Eq NAME)? (S 'standalone' Eq yes|no)? S? '?>'
 */
#include "guard_int.h"

#include <string.h>
#include <strings.h>

bool bosh_xml_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool bosh_xml_is_all_space(const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!bosh_xml_is_space(p[i])) {
            return false;
        }
    }
    return true;
}

bool bosh_xml_has_declaration(bosh_str_t s)
{
    return s.len >= 6 && memcmp(s.p, "<?xml", 5) == 0 && bosh_xml_is_space(s.p[5]);
}

static void advance(bosh_str_t *s, size_t n)
{
    s->p += n;
    s->len -= n;
}

static bool skip_space(bosh_str_t *s)
{
    size_t before = s->len;

    while (s->len > 0 && bosh_xml_is_space(s->p[0])) {
        advance(s, 1);
    }
    return s->len < before;
}

static bool skip_word(bosh_str_t *s, const char *word)
{
    size_t len = strlen(word);

    if (s->len < len || memcmp(s->p, word, len) != 0) {
        return false;
    }
    advance(s, len);
    return true;
}

/* Eq and a quoted value. */
static bool take_value(bosh_str_t *s, bosh_str_t *value)
{
    const char *end;
    char quote;

    (void)skip_space(s);
    if (!skip_word(s, "=")) {
        return false;
    }
    (void)skip_space(s);
    if (s->len == 0 || (s->p[0] != '\'' && s->p[0] != '"')) {
        return false;
    }
    quote = s->p[0];
    advance(s, 1);
    end = memchr(s->p, quote, s->len);
    if (!end) {
        return false;
    }
    value->p = s->p;
    value->len = (size_t)(end - s->p);
    advance(s, value->len + 1);
    return true;
}

static bool is_utf8_label(bosh_str_t label)
{
    return label.len == 5 && strncasecmp(label.p, "UTF-8", 5) == 0;
}

/* Behind "<?xml". */
static bosh_xml_verdict_t pseudo_attributes(bosh_str_t *s)
{
    bosh_str_t value;
    bool spaced;

    if (!skip_space(s) || !skip_word(s, "version") || !take_value(s, &value)
        || !bosh_str_eq(value, "1.0")) {
        return BOSH_XML_NOT_WELL_FORMED;
    }
    spaced = skip_space(s);
    if (spaced && skip_word(s, "encoding")) {
        if (!take_value(s, &value)) {
            return BOSH_XML_NOT_WELL_FORMED;
        }
        if (!is_utf8_label(value)) {
            return BOSH_XML_NOT_UTF8;
        }
        spaced = skip_space(s);
    }
    if (spaced && skip_word(s, "standalone")) {
        if (!take_value(s, &value) || (!bosh_str_eq(value, "yes") && !bosh_str_eq(value, "no"))) {
            return BOSH_XML_NOT_WELL_FORMED;
        }
        (void)skip_space(s);
    }
    return skip_word(s, "?>") ? BOSH_XML_OK : BOSH_XML_NOT_WELL_FORMED;
}

bosh_xml_verdict_t bosh_xml_cut_declaration(bosh_str_t *s)
{
    bosh_xml_verdict_t verdict;

    if (!bosh_xml_has_declaration(*s)) {
        return BOSH_XML_OK;
    }
    advance(s, 5);
    verdict = pseudo_attributes(s);
    if (verdict != BOSH_XML_OK) {
        return verdict;
    }
    /* libxml2, not having seen the first, would obey a second one. */
    return bosh_xml_has_declaration(*s) ? BOSH_XML_NOT_WELL_FORMED : BOSH_XML_OK;
}
