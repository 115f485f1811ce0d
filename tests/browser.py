"""The system's own Chromium, offline, and what it has to say about a page."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Page, Request, sync_playwright

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)

WATCH = """
window.violations = [];
addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI, sample }) =>
  violations.push(`${violatedDirective} ${blockedURI} ${sample}`));
"""


def executable() -> str:
    """The browser's path; without one no test of the page says anything."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise FileNotFoundError("no Chromium on this machine: apt-get install chromium")


@contextmanager
def offline_browser() -> Iterator[BrowserContext]:
    """A browser of its own, with a new profile and no network."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=executable(), headless=True, args=FLAGS, offline=True
        )
        context.set_default_timeout(60_000)
        yield context
        context.close()


class Watched:
    """A tab, and everything in it that must not be: errors, warnings, dialogs, requests, broken policy."""

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self._faults: list[str] = []
        self.page.add_init_script(WATCH)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self._faults.append(f"error: {error}"))
        self.page.on("dialog", self._dialog)
        self.page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._faults.append(f"{message.type}: {message.text}")

    def _dialog(self, dialog: Dialog) -> None:
        self._faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        if not request.url.startswith(("file:", "data:")):
            self._faults.append(f"request: {request.url}")

    def open(self, html: Path, fragment: str = "") -> Page:
        """Open a file, and wait until it is drawn."""
        self.page.goto("about:blank")
        self.page.goto(html.as_uri() + fragment)
        self.page.wait_for_selector("html[data-ready]")
        return self.page

    def faults(self) -> list[str]:
        """What has gone wrong so far."""
        return self._faults + list(self.page.evaluate("window.violations ?? []"))
