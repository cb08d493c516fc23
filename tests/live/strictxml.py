# Licensed under the Apache License, Version 2.0; see LICENSE.
"""XML as a strict peer reads it: expat with namespaces. What XMPP and BOSH forbid
(document types, comments, processing instructions) is an error here."""
import xml.etree.ElementTree as ET
from xml.parsers import expat
from xml.sax.saxutils import escape as _escape

HTTPBIND = "http://jabber.org/protocol/httpbind"
XBOSH = "urn:xmpp:xbosh"
CLIENT = "jabber:client"
STREAMS = "http://etherx.jabber.org/streams"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
SESSION = "urn:ietf:params:xml:ns:xmpp-session"
XML = "http://www.w3.org/XML/1998/namespace"


class NotXml(AssertionError):
    pass


def escape(text):
    return _escape(text, {"'": "&apos;", '"': "&quot;", "\r": "&#13;",
                          "\n": "&#10;", "\t": "&#9;"})


def _tag(name):
    """'uri}local' of expat to '{uri}local' of ElementTree."""
    return "{" + name if "}" in name else name


class Reader:
    """Push parser. Calls opened(attributes), element(tree) for each child of the
    root, closed(), text(characters directly in the root)."""

    def __init__(self, opened=None, element=None, closed=None, text=None):
        self._opened, self._element, self._closed, self._text = opened, element, closed, text
        self._depth = 0
        self._builder = None
        self._rest = b""
        p = expat.ParserCreate(namespace_separator="}")
        p.StartElementHandler = self._start
        p.EndElementHandler = self._end
        p.CharacterDataHandler = self._data
        p.StartDoctypeDeclHandler = lambda *a: self._refuse("document type")
        p.CommentHandler = lambda *a: self._refuse("comment")
        p.ProcessingInstructionHandler = lambda *a: self._refuse("processing instruction")
        p.buffer_text = True
        self._parser = p

    def _refuse(self, what):
        raise NotXml("%s in XML" % what)

    def _start(self, name, attrs):
        self._depth += 1
        attrs = {_tag(k): v for k, v in attrs.items()}
        if self._depth == 1:
            if self._opened:
                self._opened(_tag(name), attrs)
            return
        if self._depth == 2:
            self._builder = ET.TreeBuilder()
        self._builder.start(_tag(name), attrs)

    def _end(self, name):
        self._depth -= 1
        if self._depth == 0:
            if self._closed:
                self._closed()
            return
        self._builder.end(_tag(name))
        if self._depth == 1:
            tree, self._builder = self._builder.close(), None
            if self._element:
                self._element(tree)

    def _data(self, text):
        if self._depth > 1:
            self._builder.data(text)
        elif self._text:
            self._text(text)

    def feed(self, data, final=False):
        # Whole tags only: newer versions of expat put off an incomplete one until
        # much more has come, although its end may be all that is missing.
        data = self._rest + data
        cut = len(data) if final else data.rfind(b">") + 1
        data, self._rest = data[:cut], data[cut:]
        try:
            self._parser.Parse(data, final)
        except expat.ExpatError as e:
            raise NotXml("%s in %r" % (e, data[-400:])) from e


def parse_body(data):
    """One whole <body/> document: its element with the payloads as children."""
    root = []

    def opened(tag, attrs):
        root.append(ET.Element(tag, attrs))

    def text(chars):
        if chars.strip():
            raise NotXml("text directly in <body/>: %r" % chars)

    reader = Reader(opened, lambda tree: root[0].append(tree), text=text)
    reader.feed(data, final=True)
    if root[0].tag != "{%s}body" % HTTPBIND:
        raise NotXml("the document is a %s" % root[0].tag)
    return root[0]
