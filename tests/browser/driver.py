# Licensed under the Apache License, Version 2.0; see LICENSE.
"""How Chromium is started."""
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.utils import is_connectable

SWITCHES = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--disable-extensions", "--remote-debugging-pipe",
            "--window-size=900,760")


class Driver(Service):
    """chromedriver by its address: a bare system may not know the name localhost."""

    @property
    def service_url(self):
        return "http://127.0.0.1:%d" % self.port

    def is_connectable(self):
        return is_connectable(self.port, "127.0.0.1")
