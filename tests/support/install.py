"""Install the browsers of the tests where there are none: ``python -m support.install``.

Without Chromium there are no tests. Firefox and WebKit may be missing on a machine that cannot
install them, but not in CI.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from playwright.sync_api import sync_playwright

from support import browser, engines

RELEASE = Path("/etc/os-release")


def main() -> int:
    """Install what is missing, and return the exit code."""
    with sync_playwright() as playwright:
        chromium = browser.executable(playwright)
    if chromium is None:
        print("Installing Chromium for the tests …", flush=True)
        _chromium()
    return _engines()


def _chromium() -> None:
    """Install Debian's own where that is possible, else Playwright's."""
    apt = apt_get()
    if apt and _release_says("ID=debian"):  # Ubuntu's is a snap, which cannot be used
        _apt_install(apt, "chromium")
    else:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)


def _engines() -> int:
    packages = [package for lacking in engines.missing().values() for package in lacking]
    apt = apt_get()
    if packages and apt:
        print(f"Installing {', '.join(packages)} for the tests …", flush=True)
        for package in packages:  # one at a time: not every system has all of them
            _apt_install(apt, package, check=False)
    for name in engines.missing():
        print(engines.why_missing(name), flush=True)
    return 1 if engines.missing() and os.environ.get("CI") else 0


def apt_get() -> list[str] | None:
    """Return how apt-get is called here, or ``None`` where it cannot install.

    It can on Debian and its kin as root; in CI also through a sudo that asks for no password.
    """
    if not _release_says('ID(_LIKE)?="?debian'):
        return None
    if os.geteuid() == 0:
        return ["apt-get"]
    sudo = shutil.which("sudo") if os.environ.get("CI") else None
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True).returncode == 0:
        return [sudo, "-n", "apt-get"]
    return None


def _release_says(pattern: str) -> bool:
    text = RELEASE.read_text(encoding="utf-8") if RELEASE.exists() else ""
    return re.search(f"^{pattern}", text, re.MULTILINE) is not None


def _apt_install(apt: list[str], package: str, *, check: bool = True) -> None:
    """Run apt-get, which reads the lists of packages anew for the first package only."""
    _update(tuple(apt))
    _run([*apt, "install", "--yes", package], check=check)


@cache
def _update(apt: tuple[str, ...]) -> None:
    _run([*apt, "update"], check=False)


def _run(command: list[str], *, check: bool) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([*command, "--quiet", "--quiet"], check=check, env=environment)


if __name__ == "__main__":
    sys.exit(main())
