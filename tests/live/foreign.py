# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Clients made of other people's libraries: talk_gloox.cc, talk_purple.c. Each is told on its
stdin what to do, and writes a line for each thing that happens to it."""
import contextlib
import os
import subprocess
import threading
import time

from bosh import Endpoint
from prosody import ACCOUNTS, DOMAIN, Prosody
from strictxml import CLIENT
from waiting import PATIENCE, until

ENDED = "s: terminated by the client"
HERE = os.path.dirname(os.path.abspath(__file__))


def compiled(source, package, folder):
    """The program's path."""
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", package], check=True,
                           capture_output=True, text=True).stdout.split()
    path = os.path.join(str(folder), source.partition(".")[0])
    subprocess.run(["g++" if source.endswith(".cc") else "gcc", "-O1", "-o", path,
                    os.path.join(HERE, source)] + flags, check=True)
    return path


class Foreign:
    """`jid` once it is online. What its library says of itself is in `complaints`, a file."""

    def __init__(self, command, complaints):
        self.lines, self.jid = [], None
        with open(complaints, "wb") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, bufsize=1,
                                            stdout=subprocess.PIPE, stderr=err, cwd="/")
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def _told(self, word):
        return [line.partition(" ")[2] for line in self.lines if line.partition(" ")[0] == word]

    def online(self, seconds=20):
        self.jid = until(lambda: self._told("online") or not self._is_alive(), seconds,
                         "the login")[0]
        return self

    def _is_alive(self):
        assert self.process.poll() is None and not self._told("offline"), \
            "the client has ended: %r" % self.lines[-3:]
        return True

    def send(self, to, *texts):
        self.process.stdin.write("".join("send %s %s\n" % (to, t) for t in texts))
        self.process.stdin.flush()

    def texts(self):
        """Of all messages that came, in their order."""
        return [line.partition(" ")[2] for line in self._told("message")]

    def wait_texts(self, texts, seconds=15):
        until(lambda: len(self.texts()) >= len(texts) or not self._is_alive(), seconds,
              "%d messages" % len(texts))
        assert self.texts() == texts

    def wait_offline(self, seconds=15):
        """Why it is, in its library's words."""
        return until(lambda: self._told("offline"), seconds, "the client to notice")[0]

    def quit(self):
        self.process.stdin.write("quit\n")
        self.process.stdin.flush()
        assert self.process.wait(15 * PATIENCE) == 0

    def end(self):
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()


class Chat:
    """Such a client, juliet, and a browser of ours, romeo, both at one server. What each has
    sent must be all that the other has, once, in order."""

    def __init__(self, server, new_session, client):
        self.server, self.client, self.juliet_sent = server, client, []
        self.romeo = new_session(Endpoint(server.port), stubborn=True).login(
            DOMAIN, "romeo", ACCOUNTS["romeo"])
        self.romeo_sent, self.romeo_got = [], []

    def juliet_says(self):
        self.juliet_sent.append("from juliet %d" % len(self.juliet_sent))
        self.client.send(self.romeo.jid, self.juliet_sent[-1])

    def romeo_says(self):
        """He never has more than one request open, so the next one leaves at once."""
        self.romeo_sent.append("from romeo %d" % len(self.romeo_sent))
        self.romeo.send_message(self.client.jid, self.romeo_sent[-1])
        while len(self.romeo.pending) > 1:
            self.romeo.collect()

    def say(self, times=1):
        for _ in range(times):
            self.juliet_says()
            self.romeo_says()

    def check(self):
        while len(self.romeo_got) < len(self.juliet_sent):
            message = self.romeo.wait_message(timeout=20)
            self.romeo_got.append(message.findtext("{%s}body" % CLIENT))
        assert self.romeo_got == self.juliet_sent
        self.client.wait_texts(self.romeo_sent, 20)

    def pause(self):
        """Until the client's only open request is an empty one. Neither library repeats a
        request; one that is under way when its connection ends is lost, and the session too."""
        self.check()
        time.sleep(0.5 * PATIENCE)

    def be_silent(self, times):
        """For so many times `wait`: both sessions live on empty requests."""
        while self.romeo.pending:
            self.romeo.collect()
        for _ in range(times):
            assert self.romeo.ask().stanzas == []

    def say_much_and_nothing(self):
        self.say(60)
        self.check()
        self.be_silent(4)
        self.say()
        self.check()

    def outlast_restarts(self):
        for _ in range(2):
            self.say(5)
            self.pause()
            self.server.graceful()
        self.say(5)
        self.check()

    def log_out(self):
        """The session's line is in the log at once, and says that the client wished it."""
        ended = self.server.count_log(ENDED)
        self.client.quit()
        until(lambda: self.server.count_log(ENDED) > ended, 5, "the session to end")


def end_of_its_server(make_httpd, login):
    """What the client is told when its XMPP server ends, in its library's words."""
    own = Prosody().start()
    try:
        client = login(make_httpd(domains=[(DOMAIN, own.address)]))
        own.shut_down()
        return client.wait_offline(10)
    finally:
        own.stop()
