/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Quoted values are counted, since each attribute has exactly one. Outside of
 * values a '>' ends the tag; inside it does not, and the next piece goes on.
 */
#include "width_int.h"

#include <string.h>

static bool begins_with(const char *p, size_t len, const char *z)
{
    return len >= strlen(z) && memcmp(p, z, strlen(z)) == 0;
}

/* A piece has its only '>' at its end. */
static bool ends_cdata(bosh_str_t piece)
{
    return piece.len >= 3 && memcmp(piece.p + piece.len - 3, "]]>", 3) == 0;
}

static const char *next_quote(const char *p, const char *end)
{
    while (p < end && *p != '\'' && *p != '"') {
        p++;
    }
    return p;
}

/* From p on, inside a tag or a value. */
static bool count_values(bosh_xml_width_t *w, const char *p, const char *end, size_t most)
{
    while (p < end) {
        if (w->quote) {
            p = memchr(p, w->quote, (size_t)(end - p));
            if (!p) {
                return true;
            }
            w->quote = '\0';
            p++;
        }
        p = next_quote(p, end);
        if (p < end) {
            w->quote = *p++;
            w->values++;
            if (w->values > most) {
                return false;
            }
        }
    }
    return true;
}

bool bosh_xml_width_take(bosh_xml_width_t *w, bosh_str_t piece, const bosh_xml_limits_t *limits)
{
    const char *end = piece.p + piece.len;
    const char *tag = piece.p;

    if (w->is_in_cdata) {
        w->is_in_cdata = !ends_cdata(piece);
        return true;
    }
    if (!w->quote) {
        tag = memchr(piece.p, '<', piece.len);
        if (!tag) {
            return true;
        }
        if (begins_with(tag, (size_t)(end - tag), "<![CDATA[")) {
            w->is_in_cdata = !ends_cdata(piece);
            return true;
        }
        w->values = 0;
    }
    return count_values(w, tag, end, (size_t)limits->max_attrs + limits->max_ns);
}

bool bosh_xml_width_fits(bosh_str_t doc, const bosh_xml_limits_t *limits)
{
    bosh_xml_width_t w = { .is_in_cdata = false };
    bool fits = true;

    while (doc.len > 0 && fits) {
        const char *end = memchr(doc.p, '>', doc.len);
        bosh_str_t piece = { doc.p, end ? (size_t)(end - doc.p) + 1 : doc.len };

        fits = bosh_xml_width_take(&w, piece, limits);
        doc.p += piece.len;
        doc.len -= piece.len;
    }
    return fits;
}
