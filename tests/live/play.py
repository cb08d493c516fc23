# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A session whose server the test plays, moved from one state to the next, and what a
bounce must look like."""
import time

import procfs
from bosh import body_bytes, message
from fakeserver import FEATURES_BIND, FEATURES_LOGIN
from strictxml import BIND, CLIENT, SASL, STREAMS, XML
from waiting import until

ERRORS = "urn:mod-bosh:errors"
STREAM_ERRORS = "urn:ietf:params:xml:ns:xmpp-streams"
STANZA_ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
ERROR = ("<stream:error><conflict xmlns='%s'/><text xmlns='%s' xml:lang='en'>a &lt; b</text>"
         "<app xmlns='urn:app'/></stream:error></stream:stream>" % (STREAM_ERRORS, STREAM_ERRORS))
CLOSING = "</stream:stream>"


def tag(name, space=CLIENT):
    return "{%s}%s" % (space, name)


def text_message(text, more=""):
    return "<message from='a@b'%s><body>%s</body></message>" % (more, text)


def texts(answers):
    return [text for a in answers for text in a.texts() if text is not None]


def cut(data, size):
    return [data[i:i + size] for i in range(0, len(data), size)]


class Play:
    """A session at puppet.fake and its server, moved from one state to the next."""

    def __init__(self, endpoint, fake, new_session, **attrs):
        self.endpoint, self.attrs = endpoint, attrs
        self.session = session = new_session(endpoint)
        session.pending.append([session.rid, session.free_wire(), body_bytes(
            rid=session.rid, to="puppet.fake", ver="1.11", xml_lang="en", xmpp_version="1.0",
            **{"wait": 60, "hold": 1, **attrs})])
        session.pending[0][1].send(session.pending[0][2])
        self.server = fake.connection()

    def collect(self):
        answer = self.session.collect()
        self.session.sid = self.session.sid or answer.body.get("sid")
        self.session.to = "puppet.fake"
        return answer

    def before_header(self):
        return self

    def after_header(self):
        self.server.send(self.server.header())
        return self

    def after_features(self):
        self.server.send(self.server.header() + FEATURES_LOGIN)
        self.created = self.collect()
        assert self.session.sid
        return self

    def during_login(self):
        self.after_features()
        self.session.post("<auth xmlns='%s' mechanism='X'>YQ==</auth>" % SASL)
        self.server.wait_stanza(tag("auth", SASL))
        self.server.send("<challenge xmlns='%s'>YQ==</challenge>" % SASL)
        assert [s.tag for s in self.collect().stanzas] == [tag("challenge", SASL)]
        self.session.post("<response xmlns='%s'>YQ==</response>" % SASL)
        self.server.wait_stanza(tag("response", SASL))
        return self

    def after_success(self):
        self.during_login()
        self.server.send("<success xmlns='%s'/>" % SASL)
        assert [s.tag for s in self.collect().stanzas] == [tag("success", SASL)]
        return self

    def restarting(self):
        self.after_success()
        self.server.new_stream()
        self.session.post(to="puppet.fake", xmpp_restart="true")
        self.server.wait_headers(2)
        return self

    def restarted(self):
        self.restarting()
        self.server.send(self.server.header())
        return self

    def bound(self):
        self.restarted()
        self.server.send(FEATURES_BIND)
        assert [s.tag for s in self.collect().stanzas] == [tag("features", STREAMS)]
        self.session.post("<iq type='set' id='b' xmlns='jabber:client'><bind xmlns='%s'/></iq>"
                          % BIND)
        self.server.wait_stanza(tag("iq"))
        self.server.send("<iq type='result' id='b'/>")
        assert [s.get("id") for s in self.collect().stanzas] == ["b"]
        return self

    def within_stanza(self):
        self.bound()
        self.server.send("<message from='a@b'><body>never whole")
        time.sleep(0.02)
        return self

    def hang_up(self):
        """The client's connections break, whatever they wait for."""
        for _, wire, _ in self.session.pending:
            wire.reset()
        self.session.close()
        time.sleep(0.05)

    def end_of_session(self):
        """The client's side of it: answers until the end, one terminate among them."""
        answers = []
        while not answers or answers[-1].type != "terminate":
            assert len(answers) < 5
            if not self.session.pending:
                self.session.post()
            answers.append(self.collect())
        while self.session.pending:
            answers.append(self.collect())
        assert [a.type for a in answers].count("terminate") == 1, answers
        return answers

    def later(self):
        """Whoever asks after the end is told the same."""
        answer = self.session.free_wire().ask(self.session.bytes())
        return answer.type, answer.condition


def wait_until_stored(server, other):
    """What the server was told to send is in the shared memory: it was sent when another session
    at the same server was served, and read when it has been served once more."""
    port = server.transport.get_extra_info("peername")[1]
    other.ask(message("echo.fake", "sent"))
    until(lambda: procfs.has_read_all(port, server.server.port), 10, "the connector to read")
    other.ask(message("echo.fake", "stored"))


# ---- bounces ---------------------------------------------------------------------------------

HOW = {"message": ("wait", "recipient-unavailable"), "iq": ("cancel", "service-unavailable")}


def bounces(server):
    """All that came as an error, after a look at what each must be."""
    found = []
    for s in list(server.stanzas):
        if s.get("type") != "error":
            continue
        name = s.tag.split("}")[1]
        assert s.tag == tag(name) and s.get("from") is None
        assert [c.tag for c in s] == [tag("error")]
        kind, condition = HOW[name]
        assert s[0].get("type") == kind
        assert [c.tag for c in s[0]] == [tag(condition, STANZA_ERRORS)]
        found.append((name, s.get("to"), s.get("id"), s.get("{%s}lang" % XML)))
    return found


def wait_over(server, seconds=6):
    server.wait_closing_tag(seconds)
    assert server.not_xml is None
