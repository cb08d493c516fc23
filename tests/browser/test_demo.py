# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The demo's page in real browsers: Strophe.js, unchanged, through the module."""
import os
import signal
import socket
import subprocess
import sys
import uuid

import pytest

from conftest import MODULE, TOP, Demo, demo_command
import procfs
from ports import free_ports
from waiting import until


def test_two_browsers_chat_both_ways_and_over_a_reload(alice_and_bob):
    alice, bob = alice_and_bob
    alice.write("Are you there, Bob?")
    bob.wait_received(["Are you there, Bob?"])
    bob.write("Yes!")
    alice.wait_received(["Yes!"])

    alice.reload()
    alice.wait_online()
    assert alice.find("chat").is_displayed()
    assert alice.texts(mine=True) == ["Are you there, Bob?"]
    bob.write("Still there, Alice?")
    alice.wait_received(["Yes!", "Still there, Alice?"])
    alice.write("I never left.")
    bob.wait_received(["Are you there, Bob?", "I never left."])


def test_reload_keeps_the_session_and_not_only_the_page(alice_and_bob):
    alice, _ = alice_and_bob
    script = "const s = JSON.parse(sessionStorage.getItem('strophe-bosh-session'));" \
             "return s.sid + ' ' + s.jid"
    alice.until(lambda: alice.driver.execute_script("return 'strophe-bosh-session' in "
                                                    "sessionStorage"), "a session to keep")
    before = alice.driver.execute_script(script)
    for _ in range(3):
        alice.reload()
        alice.wait_online()
    assert alice.driver.execute_script(script) == before


def test_message_sent_during_a_reload_arrives(alice_and_bob):
    alice, bob = alice_and_bob
    sent = ["number %d" % i for i in range(12)]
    for i, text in enumerate(sent):
        if i == 4:
            # What a page has got and not shown when it goes is lost with the page.
            alice.wait_received(sent[:4])
            alice.driver.get("about:blank")
        if i == 8:
            alice.driver.get(alice.url)
        bob.write(text)
    alice.wait_received(sent)


def test_messages_in_quick_succession_keep_their_order(alice_and_bob):
    alice, bob = alice_and_bob
    from_alice = ["a%d" % i for i in range(30)]
    from_bob = ["b%d" % i for i in range(30)]
    for a, b in zip(from_alice, from_bob):
        alice.write(a)
        bob.write(b)
    alice.wait_received(from_bob)
    bob.wait_received(from_alice)


def test_text_is_shown_as_it_was_written(alice_and_bob):
    alice, bob = alice_and_bob
    texts = ["<b>not bold</b> & \"quoted\" 'twice' ]]>", "Grüße, 你好, שלום", "x" * 2000]
    for text in texts:
        alice.write(text)
    bob.wait_received(texts)


def test_both_see_that_the_other_is_here_and_has_left(alice_and_bob):
    alice, bob = alice_and_bob
    for person in (alice, bob):
        person.until(lambda: person.find("presence").text == "is here", "the other to be here")
    bob.log_out()
    bob.wait_login_form()
    alice.until(lambda: alice.find("presence").text != "is here", "bob to have left")


def test_message_to_nobody_is_marked(open_browser):
    alice = open_browser()
    alice.log_in("alice")
    alice.wait_online()
    alice.write("Anybody?")
    alice.until(lambda: alice.driver.find_elements("css selector", "#messages li.failed"),
                "the message to be marked")


def test_logging_out_is_final(alice_and_bob):
    for person in alice_and_bob:
        person.log_out()
        person.wait_login_form()
        assert not person.find("problem").is_displayed()
        person.reload()
        person.wait_login_form()
        assert not person.find("chat").is_displayed()


def test_wrong_password_is_told(open_browser):
    alice = open_browser()
    alice.log_in("alice", "looking-glass")
    alice.until(lambda: "not right" in alice.find("problem").text, "to be told")
    alice.log_in("bob")
    alice.wait_online()


def test_demo_leaves_nothing_behind():
    demo = Demo()
    folders, memory = demo.folders(), demo.shared_memory()
    assert len(folders) == 1 and all(os.path.isdir(f) for f in folders)
    assert len(demo.processes()) >= 4, "the demo, Prosody, httpd and its children"
    assert demo.interrupt() == 0
    try:
        until(lambda: not demo.processes(), 5, "every process to end")
        assert not any(os.path.exists(f) for f in folders)
        assert not procfs.still_there(memory)
    finally:
        demo.kill()


def test_taken_port_is_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(demo_command("--port", str(port)), capture_output=True, text=True,
                              timeout=600)
    assert done.returncode == 1
    assert "port %d is not free" % port in done.stderr and "--port" in done.stderr


def free_port():
    return str(free_ports(1)[0])


def test_accounts_are_printed(demo):
    assert demo.accounts == {"alice": "rabbit-hole", "bob": "sea-shanty"}


def test_check_without_a_module_fails_and_says_so():
    done = subprocess.run([os.path.join(TOP, "build", "demo"), "--check", "--port", free_port(),
                           "--module", "/no/such.so"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "build/demo: /no/such.so is not there\n"


# The demo, but one of its servers is killed when all is ready.
KILLS = """
import os, signal, sys
import demo

def kill_first(running, bosh, go_on=demo.let_talk):
    victim, = [p for p in running.programs if p.name == %r]
    os.kill(victim.process.pid, signal.SIGKILL)
    victim.process.wait()
    go_on(running, bosh)

demo.let_talk = kill_first
sys.exit(demo.main())
"""


@pytest.mark.parametrize("victim", ["Prosody", "httpd"])
def test_check_whose_server_dies_fails_and_says_so(victim):
    marker = "BOSH_BROWSER_TEST=%s" % uuid.uuid4().hex
    name, _, value = marker.partition("=")
    done = subprocess.run(
        [sys.executable, "-B", "-c", KILLS % victim, "--check", "--port", free_port(),
         "--module", MODULE], capture_output=True, text=True, timeout=120,
        env={**os.environ, name: value, "PYTHONPATH": os.path.join(TOP, "build", "demo.d")})
    try:
        until(lambda: not procfs.marked(marker.encode()), 5, "every process to end")
    finally:
        for pid in procfs.marked(marker.encode()):
            os.kill(pid, signal.SIGKILL)
    assert done.returncode == 1
    assert done.stderr.startswith("build/demo: the two users could not talk: "), done.stderr
    assert victim + " has ended" in done.stderr and "Traceback" not in done.stderr


def test_check_shows_what_arrived():
    done = subprocess.run(demo_command("--check", "--port", free_port()), capture_output=True,
                          text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "bob received from alice:" in done.stdout
    assert "alice received from bob:" in done.stdout
