/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * xml - <body/> documents and XMPP streams, in and out. The only room that
 * knows libxml2.
 *
 * Raw bytes never pass through: what goes on is serialised anew from parsed
 * events, in both directions. Nothing here takes a lock, logs or blocks. Each
 * object belongs to one thread at a time; different objects may be used by
 * different threads.
 *
 * bosh_xml_init() once per process, before threads (it calls xmlInitParser).
 * No libxml2 global is changed: other modules of httpd share them.
 */
#ifndef BOSH_XML_H
#define BOSH_XML_H

#include "bosh/base.h"

#define BOSH_NS_HTTPBIND "http://jabber.org/protocol/httpbind"
#define BOSH_NS_XBOSH    "urn:xmpp:xbosh"
#define BOSH_NS_CLIENT   "jabber:client"
#define BOSH_NS_STREAMS  "http://etherx.jabber.org/streams"
/* Our own: application-specific elements beside undefined-condition. */
#define BOSH_NS_ERRORS   "urn:mod-bosh:errors"

void bosh_xml_init(void);

/* ---- limits and verdicts ---------------------------------------------- */

typedef struct bosh_xml_limits_t {
    unsigned max_depth;    /* of elements, the root counts as 1 */
    unsigned max_attrs;    /* per element */
    unsigned max_ns;       /* xmlns declarations per element */
    unsigned max_elements; /* per body, or per stanza of a stream */
    unsigned max_children; /* payloads per body */
    size_t max_name;       /* bytes of a local name or prefix */
    size_t max_value;      /* bytes of one attribute value or namespace name */
    size_t max_bytes;      /* of a body; of one stanza in a stream. As received,
                               and again as re-serialised */
} bosh_xml_limits_t;

/* Bodies: 64 deep, 64 attributes, 32 declarations, 4096 elements, 256 payloads,
 * 256-byte names, 64 KiB values, 256 KiB in all.
 * Stanzas of a stream: 256 deep, 256 attributes, 128 declarations, 65536
 * elements, 1 KiB names, 256 KiB values, 1 MiB in all. They are wider because a
 * refusal ends the stream, whoever wrote the stanza, and because rosters are
 * large. Nothing is ever deeper than 256, and no more than 512 declarations are
 * in scope at once. */
extern const bosh_xml_limits_t bosh_xml_body_limits;
extern const bosh_xml_limits_t bosh_xml_stream_limits;

typedef enum bosh_xml_verdict_t {
    BOSH_XML_OK = 0,
    BOSH_XML_EMPTY,    /* no bytes, or white space only */
    BOSH_XML_NOT_UTF8, /* includes NUL, other encodings, byte order marks */
    BOSH_XML_NOT_WELL_FORMED,
    BOSH_XML_NAMESPACE, /* libxml2: !nsWellFormed. See RELIABILITY D1 */
    BOSH_XML_DTD,
    BOSH_XML_PI,
    BOSH_XML_COMMENT,
    BOSH_XML_TEXT,    /* character data directly in <body/> or <stream/> */
    BOSH_XML_ROOT,    /* not the expected root element */
    BOSH_XML_PAYLOAD, /* a payload that must not be forwarded:
                                  streams, TLS or compression namespace */
    BOSH_XML_DEPTH,
    BOSH_XML_WIDTH, /* attributes, declarations, elements, payloads */
    BOSH_XML_NAME_LENGTH,
    BOSH_XML_VALUE_LENGTH,
    BOSH_XML_SIZE,
    BOSH_XML_NO_MEMORY
} bosh_xml_verdict_t;

/* A constant English phrase for the log. */
const char *bosh_xml_verdict_text(bosh_xml_verdict_t v);

/* ---- <body/> in -------------------------------------------------------- */

/* Attributes of <body/> (XEP-0124 and XEP-0206) that mean something to us. The
 * XMPP ones are found by namespace urn:xmpp:xbosh, whatever their prefix. */
typedef enum bosh_attr_t {
    BOSH_A_RID,
    BOSH_A_SID,
    BOSH_A_TO,
    BOSH_A_FROM,
    BOSH_A_ROUTE,
    BOSH_A_VER,
    BOSH_A_WAIT,
    BOSH_A_HOLD,
    BOSH_A_ACK,
    BOSH_A_CONTENT,
    BOSH_A_LANG, /* xml:lang */
    BOSH_A_TYPE,
    BOSH_A_CONDITION,
    BOSH_A_PAUSE,
    BOSH_A_KEY,
    BOSH_A_NEWKEY,
    BOSH_A_STREAM,
    BOSH_A_REPORT,
    BOSH_A_TIME,
    BOSH_A_XMPP_VERSION,
    BOSH_A_XMPP_RESTART,
    BOSH_A_COUNT
} bosh_attr_t;

/* One parsed request. Owned by the caller between init and free; may be used
 * again after another parse. Strings live in `text`. */
typedef struct bosh_body_t {
    bosh_str_t attr[BOSH_A_COUNT]; /* unescaped values; absent: p == NULL */
    unsigned payloads;             /* how many child elements */
    bosh_buf_t payload;            /* them, as they go to the XMPP server */
    bosh_buf_t text;
} bosh_body_t;

void bosh_body_init(bosh_body_t *b);
/* Wipes: bodies carry passwords. */
void bosh_body_free(bosh_body_t *b);

/*
 * Parses a whole document, all or nothing: unless BOSH_XML_OK is returned,
 * *b holds no payload and no attribute. Payloads are serialised for the scope
 * of a client stream (default namespace jabber:client, prefix `stream` bound):
 * those without a namespace of their own, and their descendants that inherit
 * it, move from httpbind to jabber:client (XEP-0206); an xml:lang on <body/> is
 * put on payloads that have none (XEP-0124, section 7.1).
 */
bosh_xml_verdict_t bosh_body_parse(bosh_body_t *b, const char *doc, size_t len,
                                   const bosh_xml_limits_t *limits);

/* ---- writing ----------------------------------------------------------- */

/* s with & < > " ' and TAB, LF, CR as references: fit for an attribute value in
 * either kind of quotes, and for text. */
bool bosh_xml_add_escaped(bosh_buf_t *out, bosh_str_t s);

/* " name='value'", escaped; nothing if the value is absent. */
bool bosh_xml_add_attr(bosh_buf_t *out, const char *name, bosh_str_t value);
bool bosh_xml_add_attr_uint(bosh_buf_t *out, const char *name, uint64_t value);

/* What opens a client-to-server stream (RFC 6120 section 4.7); absent values
 * are left out. Includes the XML declaration. */
bool bosh_xml_add_stream_header(bosh_buf_t *out, bosh_str_t to, bosh_str_t from, bosh_str_t lang);

/*
 * Bounces what a client will never get (XEP-0206, "recipient-unavailable"): stanza is one
 * child of a stream, as bosh_stream_events_t gives it. Nothing is added for what is to be
 * dropped in silence; false: its start tag could not be parsed, or memory ran out.
 */
bool bosh_xml_add_bounce(bosh_buf_t *out, bosh_str_t stanza);

/* The same for many, one behind the other, in pieces of any size. It keeps nothing but
 * the start tag that is not complete yet. */
typedef struct bosh_bouncer_t {
    bosh_buf_t tag;
    unsigned depth; /* of open elements */
    bool is_in_tag;
    char first, last; /* of the open tag, without its brackets */
    unsigned bounced; /* stanzas for which something was added */
    unsigned lost;    /* stanzas for which that failed */
} bosh_bouncer_t;

void bosh_bouncer_init(bosh_bouncer_t *b);
void bosh_bouncer_free(bosh_bouncer_t *b);
void bosh_bouncer_feed(bosh_bouncer_t *b, bosh_buf_t *out, const char *p, size_t len);

/* ---- XMPP streams in --------------------------------------------------- */

/*
 * Parses what an XMPP server sends, in pieces of any size.
 *
 * A libxml2 parser costs some 12 KiB and never forgets a name it has seen. So
 * streams do not own one: a pool, one per connector process, lends a parser to
 * the stream that has bytes, and takes it back when the stream rests between
 * two stanzas. A parser is shared only by streams whose headers declare the
 * same namespaces, and is thrown away after a bounded amount of input.
 */
typedef struct bosh_parser_pool_t bosh_parser_pool_t;
typedef struct bosh_stream_t bosh_stream_t;

typedef enum bosh_stanza_kind_t {
    BOSH_STANZA,          /* message, presence, iq, SASL, anything else */
    BOSH_STANZA_FEATURES, /* <stream:features/> */
    BOSH_STANZA_ERROR     /* <stream:error/> */
} bosh_stanza_kind_t;

typedef struct bosh_stream_header_t {
    bosh_str_t from, id, version, lang;
} bosh_stream_header_t;

/* Called from within bosh_stream_feed(); arguments live until they return.
 * A callback must not free the stream. */
typedef struct bosh_stream_events_t {
    void (*opened)(void *baton, const bosh_stream_header_t *header);
    /* One child of the stream, serialised for a client: a top-level stanza
     * carries xmlns='jabber:client'; `stream:` is declared where it is used.
     * Features come without what cannot work through BOSH: starttls,
     * compression, SASL mechanisms ending in -PLUS, channel-binding types. */
    void (*stanza)(void *baton, bosh_stanza_kind_t kind, bosh_str_t xml);
    void (*closed)(void *baton); /* </stream:stream> */
} bosh_stream_events_t;

bosh_parser_pool_t *bosh_parser_pool_create(void);
void bosh_parser_pool_destroy(bosh_parser_pool_t *pool); /* after its streams */
/* Parsers that exist now, lent or idle; for tests and figures. */
unsigned bosh_parser_pool_count(const bosh_parser_pool_t *pool);

/* NULL: out of memory. events and pool must outlive the stream. */
bosh_stream_t *bosh_stream_create(bosh_parser_pool_t *pool, const bosh_stream_events_t *events,
                                  void *baton, const bosh_xml_limits_t *limits);
void bosh_stream_free(bosh_stream_t *s);

/* After anything but BOSH_XML_OK the stream is dead: it gives no more events
 * and refuses further bytes with the same verdict. */
bosh_xml_verdict_t bosh_stream_feed(bosh_stream_t *s, const char *data, size_t len);

/* A new stream header is expected on the same connection (RFC 6120 section
 * 4.3.3); what was left of the old stream is forgotten. Not from a callback. */
void bosh_stream_restart(bosh_stream_t *s);

/* Between two stanzas, holding no parser and no partial bytes. */
bool bosh_stream_is_resting(const bosh_stream_t *s);

/* What the last <stream:features/> said about STARTTLS, which the client never
 * sees; for the connector. Set before stanza() is called. */
typedef enum bosh_stream_tls_t {
    BOSH_STREAM_TLS_NONE,
    BOSH_STREAM_TLS_OFFERED,
    BOSH_STREAM_TLS_REQUIRED
} bosh_stream_tls_t;

bosh_stream_tls_t bosh_stream_tls(const bosh_stream_t *s);

#endif
