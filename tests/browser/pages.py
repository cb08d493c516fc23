# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A page with Strophe.js, in jsdom or in Chromium: the same page, driven the same way."""
import json
import os
import select
import shutil
import subprocess
import tempfile

from selenium import webdriver
from selenium.webdriver.chrome.options import Options

from driver import SWITCHES, Driver
from httpd import Httpd
from prosody import DOMAIN
from relay import Relay
from waiting import PATIENCE, TooLate, until

HERE = os.path.dirname(os.path.abspath(__file__))
STROPHE = "/usr/share/javascript/strophe/strophe.js"
# A page in the background is as quick as the one in front.
AWAKE = ("--disable-background-timer-throttling", "--disable-renderer-backgrounding",
         "--disable-backgrounding-occluded-windows")


class Place:
    """An httpd with several children and the page, and a relay before it."""

    def __init__(self, prosody):
        self.httpd = Httpd([(DOMAIN, prosody.address)], servers=3, server_limit=4, threads=8,
                           async_factor=20,
                           extra='Alias "/strophe.js" "%s"\nAddType text/javascript js\n'
                                 "DirectoryIndex index.html" % STROPHE)
        for name in os.listdir(os.path.join(HERE, "page")):
            shutil.copy(os.path.join(HERE, "page", name),
                        os.path.join(self.httpd.root, "htdocs", name))
        self.relay = Relay(self.httpd.port)

    def start(self):
        self.httpd.start()
        self.relay.start()
        return self

    def stop(self):
        self.relay.stop()
        self.httpd.stop()

    def url(self, how="plain"):
        return {"plain": "http://127.0.0.1:%d/" % self.httpd.port,
                "relay": "http://127.0.0.1:%d/" % self.relay.port,
                "h2": "https://127.0.0.1:%d/" % self.httpd.tls_port}[how]


class Page:
    """What jsdom and Chromium have in common; call() is theirs."""

    jid = None

    def state(self):
        return self.call("state")

    def seen(self):
        """All texts, in the order in which Strophe gave them to the page."""
        return self.state()["seen"]

    def seen_by_rid(self):
        """The same in the order of the requests that they answered."""
        return [text for rid, texts in sorted(self.state()["answers"]) for text in texts]

    def until(self, condition, what, seconds=20):
        try:
            return until(lambda: condition(self.state()), seconds, what, every=0.05)
        except TooLate as e:
            raise TooLate("%s; the page: %s" % (e, self.state()))

    def wait_online(self):
        self.until(lambda s: s["online"] and s["waiting"], "the page to be online")
        self.jid = self.state()["jid"]
        return self

    def login(self, user, password):
        self.call("login", "%s@%s" % (user, DOMAIN), password)

    def reload(self):
        raise NotImplementedError

    def leave(self):
        self.call("leave")
        self.until(lambda s: not s["online"], "the page to be offline")


class JsdomPage(Page):
    def __init__(self, url):
        env = {**os.environ, "NODE_PATH": "/usr/share/nodejs:/usr/lib/nodejs"}
        self.process = subprocess.Popen(
            ["node", os.path.join(HERE, "jsdom.js")], env=env, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.call("open", url)

    def call(self, name, *args):
        self.process.stdin.write(json.dumps([name, *args]) + "\n")
        if not select.select([self.process.stdout], [], [], 30 * PATIENCE)[0]:
            raise TooLate("jsdom does not answer %s" % name)
        answer = json.loads(self.process.stdout.readline() or '{"error": "jsdom has ended"}')
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def reload(self):
        self.call("reload")

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(5 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Chromium:
    """One browser whose tabs are the pages."""

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="bosh-chromium-")
        options = Options()
        options.binary_location = "/usr/bin/chromium"
        options.accept_insecure_certs = True
        for switch in SWITCHES + AWAKE + ("--user-data-dir=" + self.profile,):
            options.add_argument(switch)
        self.driver = webdriver.Chrome(service=Driver("/usr/bin/chromedriver"), options=options)
        self.driver.set_page_load_timeout(20 * PATIENCE)
        self.driver.set_script_timeout(20 * PATIENCE)
        self.home = self.driver.current_window_handle

    def open(self, url):
        return ChromiumPage(self.driver, url)

    def quit(self):
        self.driver.quit()
        shutil.rmtree(self.profile, ignore_errors=True)


class ChromiumPage(Page):
    def __init__(self, driver, url):
        self.driver = driver
        driver.switch_to.new_window("tab")
        self.handle = driver.current_window_handle
        driver.get(url)

    def _go(self):
        if self.driver.current_window_handle != self.handle:
            self.driver.switch_to.window(self.handle)

    def call(self, name, *args):
        self._go()
        # While a page is being reloaded there is none that could answer.
        return until(lambda: [self.driver.execute_script(
            "return window.page ? [page[arguments[0]](...arguments[1])] : null", name, args)],
            20, "the page to be there")[0][0]

    def reload(self):
        self._go()
        self.driver.refresh()

    def run(self, script):
        self._go()
        return self.driver.execute_script(script)

    def close(self):
        if self.handle in self.driver.window_handles:
            self._go()
            self.driver.close()
        self.driver.switch_to.window(self.driver.window_handles[0])
