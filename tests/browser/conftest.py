# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The demo, started as a person would start it, and headless Chromium before it.

BOSH_MODULE names the build to try; without it the demo builds one itself."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "live"))

import procfs  # noqa: E402
from driver import SWITCHES, Driver  # noqa: E402
from ports import free_ports  # noqa: E402
from waiting import PATIENCE  # noqa: E402

SECONDS = 15 * PATIENCE
BUILD_SECONDS = 600
# The last is what the demo builds for itself.
MODULE = os.environ.get("BOSH_MODULE") or os.path.join(TOP, "build", "out", "demo", ".libs",
                                                        "mod_bosh.so")


def pytest_configure(config):
    # However the tests are ended: nothing of theirs remains.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def demo_command(*options):
    module = os.environ.get("BOSH_MODULE")
    return [os.path.join(TOP, "build", "demo"), *options,
            *(("--module", module) if module else ())]


class Demo:
    """build/demo in a process of its own."""

    def __init__(self):
        self.port, = free_ports(1)
        self.marker = b"BOSH_BROWSER_TEST=%d" % self.port
        name, _, value = self.marker.decode().partition("=")
        self.process = subprocess.Popen(
            demo_command("--port", str(self.port)), stdout=subprocess.PIPE, text=True,
            stdin=subprocess.DEVNULL, env={**os.environ, name: value}, start_new_session=True)
        self.url, self.accounts, self.output = None, {}, ""
        self.read_welcome()

    def read_welcome(self):
        """The words that a person reads: the address, the accounts."""
        for line in self.process.stdout:
            self.output += line
            words = line.split()
            if words[:2] == ["Chat", "at"]:
                self.url = words[2]
            elif len(words) == 3 and words[1] == "password":
                self.accounts[words[0]] = words[2]
            elif "Ctrl-C" in line:
                return
        pytest.fail("build/demo ended with status %d:\n%s" % (self.process.wait(), self.output))

    def processes(self):
        return procfs.marked(self.marker)

    def folders(self):
        """The temporary folders that its processes were told of."""
        found = set()
        for pid in self.processes():
            with open("/proc/%d/cmdline" % pid, "rb") as f:
                for word in f.read().decode(errors="replace").split("\0"):
                    if "/mod_bosh-demo-" in word:
                        found.add("/".join(word.split("/")[:3]))
        return found

    def shared_memory(self):
        """The segments with a name that its processes have mapped."""
        return set().union(*(procfs.named_memory(pid) for pid in self.processes()))

    def interrupt(self):
        """Ctrl-C, and the rest of what it prints."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.output += self.process.communicate(timeout=40 * PATIENCE)[0]
        return self.process.returncode

    def kill(self):
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.process.poll() is None:
            self.process.wait(10)
        self.process.stdout.close()


class Person:
    """A browser of its own with the demo's page."""

    def __init__(self, url):
        self.url = url
        self.profile = tempfile.mkdtemp(prefix="bosh-chromium-")
        options = Options()
        options.binary_location = "/usr/bin/chromium"
        for switch in SWITCHES + ("--user-data-dir=" + self.profile,):
            options.add_argument(switch)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(service=Driver("/usr/bin/chromedriver"), options=options)
        self.driver.set_page_load_timeout(SECONDS)
        self.driver.get(url)

    def find(self, ident):
        return self.driver.find_element(By.ID, ident)

    def until(self, condition, what):
        WebDriverWait(self.driver, SECONDS, 0.05).until(lambda _: condition(), what)

    # ---- what a person does ----

    def log_in(self, user, password=None):
        self.driver.find_element(By.CSS_SELECTOR, "input[value=%s] + span" % user).click()
        if password is not None:
            self.find("password").clear()
            self.find("password").send_keys(password)
        self.find("enter").click()

    def write(self, text):
        self.find("text").send_keys(text)
        self.find("send").click()

    def reload(self):
        self.driver.refresh()

    def log_out(self):
        self.find("leave").click()

    # ---- what a person sees ----

    def state(self):
        return self.find("state").text

    def wait_online(self):
        self.until(lambda: self.state() == "online", "the state to be online")

    def wait_login_form(self):
        self.until(lambda: self.find("login").is_displayed(), "the login form")

    def texts(self, mine):
        """Texts of the messages shown, without the time at their end."""
        items = self.driver.find_elements(By.CSS_SELECTOR, "#messages li"
                                          + (".mine" if mine else ":not(.mine)"))
        return [self.driver.execute_script("return arguments[0].firstChild.data", i)
                for i in items]

    def wait_received(self, texts):
        """These texts, and nothing else."""
        try:
            self.until(lambda: self.texts(mine=False) == texts, "the messages")
        except TimeoutException:
            assert self.texts(mine=False) == texts

    def complaints(self):
        """What the browser's console says that should not be there."""
        return [e["message"] for e in self.driver.get_log("browser") if e["level"] == "SEVERE"]

    def quit(self):
        # A session left to its time-out would still be there in the next test.
        try:
            if self.find("chat").is_displayed():
                self.log_out()
                self.wait_login_form()
        finally:
            self.driver.quit()
        shutil.rmtree(self.profile, ignore_errors=True)


@pytest.fixture(scope="session")
def demo():
    running = Demo()
    yield running
    status = running.interrupt()
    running.kill()
    assert status == 0, running.output


@pytest.fixture
def open_browser(demo):
    people = []

    def open_one():
        people.append(Person(demo.url))
        return people[-1]

    yield open_one
    complaints = [text for person in people for text in person.complaints()]
    for person in people:
        person.quit()
    assert complaints == []


@pytest.fixture
def alice_and_bob(open_browser):
    alice, bob = open_browser(), open_browser()
    alice.log_in("alice")
    alice.wait_online()
    bob.log_in("bob")
    bob.wait_online()
    return alice, bob
