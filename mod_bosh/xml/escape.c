/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Escaping. Runs of harmless bytes are copied as a whole.
 */
#include "escape_int.h"

enum { IN_TEXT = 1, IN_VALUE = 2, ANYWHERE = 4 };

static const unsigned char where[256] = {
    ['&'] = IN_TEXT | IN_VALUE | ANYWHERE, ['<'] = IN_TEXT | IN_VALUE | ANYWHERE,
    ['>'] = IN_TEXT | IN_VALUE | ANYWHERE, ['\r'] = IN_TEXT | IN_VALUE | ANYWHERE,
    ['\''] = IN_VALUE | ANYWHERE,          ['\t'] = IN_VALUE | ANYWHERE,
    ['\n'] = IN_VALUE | ANYWHERE,          ['"'] = ANYWHERE,
};

static bosh_str_t reference(char c)
{
    switch (c) {
    case '&': return BOSH_STR("&amp;");
    case '<': return BOSH_STR("&lt;");
    case '>': return BOSH_STR("&gt;");
    case '"': return BOSH_STR("&quot;");
    case '\'': return BOSH_STR("&apos;");
    case '\t': return BOSH_STR("&#9;");
    case '\n': return BOSH_STR("&#10;");
    default: return BOSH_STR("&#13;");
    }
}

static bool add(bosh_buf_t *out, bosh_str_t s, unsigned place)
{
    size_t done = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (where[(unsigned char)s.p[i]] & place) {
            (void)bosh_buf_add(out, s.p + done, i - done);
            (void)bosh_buf_add_str(out, reference(s.p[i]));
            done = i + 1;
        }
    }
    /* A failed buffer stays failed, so the last call knows of all. */
    return bosh_buf_add(out, s.p + done, s.len - done);
}

bool bosh_xml_add_text(bosh_buf_t *out, bosh_str_t s)
{
    return add(out, s, IN_TEXT);
}

bool bosh_xml_add_value(bosh_buf_t *out, bosh_str_t s)
{
    return add(out, s, IN_VALUE);
}

bool bosh_xml_add_escaped(bosh_buf_t *out, bosh_str_t s)
{
    return add(out, s, ANYWHERE);
}
