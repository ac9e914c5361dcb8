"""The Sphinx side of this book's site: math, execution, links, policy, pages, questions, drills."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

#: The parts, in the order in which they take hold.
PARTS = ("questions.site", "drills.site", "katex", "execution", "launch", "pages", "weight")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register everything that the site needs."""
    # By name: a notebook that shows questions needs neither Sphinx nor the rest of this package,
    # and is not run again when that changes.
    for part in PARTS:
        import_module(f"booksite.{part}").setup(app)
    return {
        "version": "1",
        # Of what drills.store keeps in the environment: raise it when that changes.
        "env_version": 1,
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
