"""The Sphinx side of this book's site: math, execution, links, policy, pages."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    """Register everything that the site needs."""
    # Imported here, so that a notebook may import one module of this package without Sphinx.
    from booksite import execution, katex, launch, pages

    for module in (katex, execution, launch, pages):
        module.setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
