# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The demo: a Prosody and an httpd of its own, a chat page, until Ctrl-C.

Everything it writes is in one temporary folder, which goes when it ends."""
import argparse
import os
import pwd
import random
import shutil
import signal
import socket
import string
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
MODULES = "/usr/lib/apache2/modules"
STROPHE = "/usr/share/javascript/strophe/strophe.min.js"
ACCOUNTS = {"alice": "rabbit-hole", "bob": "sea-shanty"}
PAGE = ("index.html", "chat.css", "chat.js")
PATIENCE = 20
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Failed(Exception):
    """Something that the person in front of the demo should read."""


def is_root():
    return os.geteuid() == 0


def why_taken(port):
    """The system's word for it; None: the port is free."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError as e:
            return e.strerror
    return None


def free_port():
    """Not one of those that the kernel may give to a connection before a server listens there."""
    return next(p for p in random.sample(range(10000, 32768), 1000) if not why_taken(p))


def need_port(port):
    why = why_taken(port)
    if why:
        raise Failed(f"port {port} is not free ({why}); choose another with --port N")


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def fill_in(template, path, **values):
    with open(os.path.join(HERE, template)) as f:
        write(path, string.Template(f.read()).substitute(values))


class Program:
    """A server process in a session of its own, so that Ctrl-C reaches it through us
    only, and the two end in the right order."""

    def __init__(self, name, argv, log):
        self.name, self.log = name, log
        with open(log, "ab") as out:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            cwd="/", start_new_session=True)

    def has_ended(self):
        return self.process.poll() is not None

    def wait_for(self, port):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and not self.has_ended():
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise Failed(f"{self.name} did not start:\n{self.last_words()}")

    def last_words(self):
        with open(self.log, errors="replace") as f:
            return f.read()[-3000:]

    def stop(self):
        """The whole session is signalled only if the server does not end by itself, or has
        ended too early: it may have left children."""
        if not self.has_ended():
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
                return
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


class Demo:
    def __init__(self, module, port):
        self.module, self.port = os.path.abspath(module), port
        self.programs = []
        self.root = tempfile.mkdtemp(prefix="mod_bosh-demo-")
        os.chmod(self.root, 0o755)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        # A second Ctrl-C does not stop the cleaning up.
        for signum in SIGNALS:
            signal.signal(signum, signal.SIG_IGN)
        for program in reversed(self.programs):
            program.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def path(self, *names):
        return os.path.join(self.root, *names)

    def start(self):
        if not os.path.exists(self.module):
            raise Failed(f"{self.module} is not there")
        if not os.path.exists(STROPHE):
            raise Failed(f"{STROPHE} is not there; it comes with the package libjs-strophe")
        need_port(self.port)
        self.xmpp_port = free_port()
        self.start_prosody()
        self.start_httpd()

    def start_prosody(self):
        accounts = self.path("prosody", "data", "localhost", "accounts")
        os.makedirs(accounts)
        for user, password in ACCOUNTS.items():
            write(os.path.join(accounts, user + ".dat"),
                  f'return {{ ["password"] = "{password}"; }};\n')
        conf = self.path("prosody", "prosody.cfg.lua")
        fill_in("prosody.cfg.lua.in", conf, root=self.root, xmpp_port=self.xmpp_port)
        argv = ["prosody", "-F", "--config", conf]
        if is_root():
            # Prosody does not like to be root; the package made a user for it.
            subprocess.run(["chown", "-R", "prosody:", self.path("prosody")], check=True)
            argv = ["setpriv", "--reuid=prosody", "--regid=prosody", "--clear-groups"] + argv
        self.programs.append(Program("Prosody", argv, self.path("prosody-output.txt")))
        self.programs[-1].wait_for(self.xmpp_port)

    def start_httpd(self):
        os.makedirs(self.path("httpd"))
        os.makedirs(self.path("page"))
        for name in PAGE:
            shutil.copyfile(os.path.join(HERE, name), self.path("page", name))
            os.chmod(self.path("page", name), 0o644)
        user = ""
        if is_root():
            www = pwd.getpwnam("www-data")
            user = f"User {www.pw_name}\nGroup #{www.pw_gid}"
        conf = self.path("httpd", "httpd.conf")
        fill_in("httpd.conf.in", conf, root=self.root, port=self.port, xmpp_port=self.xmpp_port,
                user=user, modules=MODULES, module=self.module, strophe=STROPHE)
        argv = ["/usr/sbin/apache2", "-f", conf, "-DFOREGROUND"]
        self.programs.append(Program("httpd", argv, self.path("httpd", "error.log")))
        self.programs[-1].wait_for(self.port)

    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    def obituaries(self):
        """Of servers that should be running: which have ended, and their last words."""
        return "".join(f"{program.name} has ended:\n{program.last_words()}"
                       for program in self.programs if program.has_ended())

    def follow(self):
        """Shows httpd's log until a signal comes, or a server ends."""
        with open(self.path("httpd", "error.log"), errors="replace") as log:
            while True:
                line = log.readline()
                if line:
                    print("  httpd:", line.rstrip(), flush=True)
                    continue
                if self.obituaries():
                    raise Failed(self.obituaries())
                time.sleep(0.2)


# ---- --check -------------------------------------------------------------------

def check(demo):
    """Logs both in over BOSH, with the live tests' client, and lets them talk."""
    sys.path.insert(0, os.path.join(TOP, "tests", "live"))
    import bosh

    try:
        let_talk(demo, bosh)
    except (bosh.Broken, AssertionError, OSError) as e:
        raise Failed(f"the two users could not talk: {e or type(e).__name__}\n"
                     + demo.obituaries())


def let_talk(demo, bosh):
    people = {}
    for user, password in ACCOUNTS.items():
        people[user] = bosh.Session(bosh.Endpoint(demo.port))
        people[user].login("localhost", user, password)
        print(f"{user} is logged in as {people[user].jid}")
    talk(people["alice"], people["bob"], "Are you there, Bob?")
    talk(people["bob"], people["alice"], "Yes, I am. Grüße an Alice & alle <3")
    for user, session in people.items():
        session.terminate()
        session.close()
        print(f"{user} has logged out")


def talk(sender, receiver, text):
    sender.send_message(receiver.jid, text)
    arrived = receiver.wait_message(text)
    name = lambda jid: jid.split("@")[0]  # noqa: E731
    print(f"{name(receiver.jid)} received from {name(arrived.get('from'))}: "
          f"{arrived.findtext('{jabber:client}body')}")


# ---- the program ---------------------------------------------------------------

def on_signal(signum, frame):
    raise KeyboardInterrupt


def read_arguments():
    parser = argparse.ArgumentParser(prog="build/demo")
    parser.add_argument("--check", action="store_true",
                        help="let the two users exchange messages, and end")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--module", required=True)
    return parser.parse_args()


def run(args):
    with Demo(args.module, args.port) as demo:
        demo.start()
        if args.check:
            check(demo)
            return
        print(f"\n  Chat at {demo.url()}\n")
        for user, password in ACCOUNTS.items():
            print(f"    {user:<6} password {password}")
        print("\n  Open it in two windows, one for each. Ctrl-C ends it.\n", flush=True)
        demo.follow()


def main():
    args = read_arguments()
    for signum in SIGNALS:
        signal.signal(signum, on_signal)
    try:
        run(args)
    except KeyboardInterrupt:
        print("\n  Stopped.")
        return 130 if args.check else 0
    except (Failed, AssertionError, OSError, subprocess.CalledProcessError) as e:
        print(f"build/demo: {e or type(e).__name__}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
