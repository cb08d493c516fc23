# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Two users of a real XMPP server, romeo and juliet, and what they do with each other:
the same for every server and for every way to reach it."""
from strictxml import CLIENT


def pair(new_session, endpoint, server, **how):
    """Both logged in."""
    return [new_session(endpoint).login(server.domain, user, server.accounts[user], **how)
            for user in ("romeo", "juliet")]


def chat(romeo, juliet):
    """Both ways, with texts that markup could spoil."""
    for one, other, text in ((romeo, juliet, "But soft, what <&> light?"),
                             (juliet, romeo, "Ay me! \U0001f339")):
        other.hold()
        one.send_message(other.jid, text)
        assert other.wait_message(text).get("from") == one.jid


def send_presence(session, payload="", **attrs):
    session.post("<presence xmlns='jabber:client'%s>%s</presence>" % (
        "".join(" %s='%s'" % item for item in attrs.items()), payload))


def wait_presence(session, sender, kind=None, show=None):
    return session.receive(lambda s: s.tag == "{%s}presence" % CLIENT
                           and s.get("from") == sender and s.get("type") == kind
                           and s.findtext("{%s}show" % CLIENT) == show)


def bare(jid):
    return jid.partition("/")[0]


def befriend(one, other):
    """one asks to see the presence of the other, who agrees."""
    send_presence(one, to=bare(other.jid), type="subscribe")
    wait_presence(other, bare(one.jid), "subscribe")
    send_presence(other, to=bare(one.jid), type="subscribed")
    wait_presence(one, bare(other.jid), "subscribed")
    wait_presence(one, other.jid)
