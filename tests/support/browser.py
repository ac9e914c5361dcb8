"""Chromium, the browser of most tests: find it, start it, and watch what a page does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, sync_playwright

#: As root Chromium has no sandbox; the others keep it from talking to anyone by itself.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

MISSING = (
    "The tests need a browser: there is no chromium on the PATH and none of Playwright's own. "
    "`make test` installs one; by hand: playwright install chromium"
)

#: Opens a page in a context of its own; takes the options of Playwright's ``new_context``.
NewPage = Callable[..., Page]

_LOCAL = ("data", "blob", "about")


def on_path() -> str | None:
    """Return the Chromium on the PATH, if there is one.

    Ubuntu's lives in a snap, which sees no temporary files of others, and does not count.
    """
    for name in ("chromium", "google-chrome"):
        found = shutil.which(name)
        if found and not os.path.realpath(found).startswith("/snap"):
            return found
    return None


def executable(playwright: Playwright) -> str | None:
    """Return the path of a browser, or ``None`` if there is none."""
    own = playwright.chromium.executable_path
    return on_path() or (own if Path(own).exists() else None)


@contextmanager
def launch() -> Iterator[Browser]:
    """Run a browser while the block runs.

    Raises
    ------
    RuntimeError
        If there is none; the message says how to get one.
    """
    with sync_playwright() as playwright:
        path = executable(playwright)
        if path is None:
            raise RuntimeError(MISSING)
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watch:
    """What a page did that it must not do.

    Attributes
    ----------
    origin : str
        Where the page may load from, such as ``http://127.0.0.1:8000/``; a page from a file
        may load files.
    complaints : list of str
        Errors and warnings on the console, exceptions, violations of the content policy,
        requests to other hosts and answers such as 404.
    """

    origin: str
    complaints: list[str] = field(default_factory=list)

    def attach(self, page: Page) -> None:
        """Watch a page, from its next navigation on."""
        page.add_init_script(
            "document.addEventListener('securitypolicyviolation', (event) => console.error("
            "`policy: ${event.violatedDirective} blocked ${event.blockedURI || event.sample}`))"
        )
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self._note(page.url, f"exception: {error}"))
        page.on("request", lambda request: self._on_request(page.url, request.url))
        page.on("response", lambda answer: self._on_answer(page.url, answer.url, answer.status))

    def check(self) -> None:
        """Fail if there was anything to complain about."""
        assert not self.complaints, "\n".join(self.complaints)

    def _note(self, where: str, what: str) -> None:
        self.complaints.append(f"{where}: {what}")

    def _on_console(self, message: ConsoleMessage) -> None:
        # Chromium asks for the icon again by itself whenever the address changes, offline too.
        icon = message.location.get("url", "").endswith("favicon.svg")
        if message.type in ("error", "warning") and not (
            icon and "INTERNET_DISCONNECTED" in message.text
        ):
            where = message.page.url if message.page else ""
            self._note(where, f"console {message.type}: {message.text}")

    def _on_request(self, where: str, url: str) -> None:
        if not url.startswith(self.origin) and urlsplit(url).scheme not in _LOCAL:
            self._note(where, f"asked another host: {url}")

    def _on_answer(self, where: str, url: str, status: int) -> None:
        if status >= 400:
            self._note(where, f"{url} answered {status}")
