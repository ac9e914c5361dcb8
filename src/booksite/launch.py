"""Links to the repository: where the notebooks can be launched, and where their source is.

The address is never written down: it comes from the environment or from the ``origin``
remote, so a fork's book launches that fork. Where neither names a public repository, the
buttons are left out.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any, Final

from sphinx.application import Sphinx
from sphinx.config import Config

REPOSITORY: Final = "BOOK_REPOSITORY_URL"
BRANCH: Final = "BOOK_BRANCH"

_SSH: Final = re.compile(r"^(?:ssh://)?git@([\w.-]+)[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?$")
_HTTPS: Final = re.compile(r"^https://(?:[^@/]*@)?([\w.-]+\.\w+)/([\w.-]+/[\w.-]+?)(?:\.git)?/?$")


def public_address(remote: str) -> str | None:
    """Return a remote's address as a browser would open it.

    Parameters
    ----------
    remote : str
        Such as ``git@github.com:owner/name.git`` or ``https://github.com/owner/name``.

    Returns
    -------
    str or None
        ``https://host/owner/name``; ``None`` for a path or anything else that is not public.
    """
    match = _HTTPS.match(remote.strip()) or _SSH.match(remote.strip())
    return f"https://{match[1]}/{match[2]}" if match else None


def repository(root: Path) -> str | None:
    """Return the address of the repository that is being built, if it is known."""
    given = os.environ.get(REPOSITORY)
    return public_address(given if given is not None else _origin(root))


def _origin(root: Path) -> str:
    command = ["git", "-C", str(root), "remote", "get-url", "origin"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:  # no git
        return ""


def theme_options(address: str | None, branch: str) -> dict[str, Any]:
    """Return the options of the theme that depend on the repository."""
    if address is None:
        return {"use_repository_button": False, "use_source_button": False}
    options: dict[str, Any] = {
        "repository_url": address,
        "repository_branch": branch,
        "use_repository_button": True,
        "use_source_button": True,
    }
    if address.startswith("https://github.com/"):
        options["launch_buttons"] = {
            "binderhub_url": "https://mybinder.org",
            "notebook_interface": "jupyterlab",
        }
    return options


def _set_options(app: Sphinx, config: Config) -> None:
    options = config.html_theme_options
    # jupyter-book's own defaults name its own repository.
    for key in ("repository_url", "repository_branch", "path_to_docs", "launch_buttons"):
        options.pop(key, None)
    options.update(theme_options(repository(Path(app.srcdir)), os.environ.get(BRANCH) or "main"))


def setup(app: Sphinx) -> None:
    """Set the links before the theme reads its options."""
    app.connect("config-inited", _set_options)
