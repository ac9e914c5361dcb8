"""Build a small folder of pages as the whole book is built, with notebooks that have run."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple

from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from booksite import katex

CONFIG: dict[str, Any] = {
    "project": "Small",
    "extensions": [
        "myst_nb", "sphinx_book_theme", "sphinxcontrib.katex", "notfound.extension",
        "livefigure.sphinx", "booksite",
    ],
    "html_favicon": str(katex.STATIC.parent / "favicon.svg"),
    "html_theme": "sphinx_book_theme",
    "html_context": {"default_mode": "auto"},
    "html_math_renderer": "katex",
    "html_copy_source": False,
    "katex_prerender": True,
    "katex_css_path": "katex/katex.min.css",
    "myst_enable_extensions": ["dollarmath"],
    "nb_execution_mode": "off",
    "nb_ipywidgets_js": {},
    "nb_render_markdown_format": "myst",
}  # fmt: skip


class Built(NamedTuple):
    """Where a site is, and what Sphinx said while it was built."""

    site: Path
    status: str
    warnings: str


def build(root: Path, *, builder: str = "html", parallel: int = 0) -> Built:
    """Build the folder, beside it; a second time only what has changed."""
    work = root.with_name(f"{root.name}-built")
    status, warnings = io.StringIO(), io.StringIO()
    with docutils_namespace():
        app = Sphinx(
            str(root), None, str(work / builder), str(work / "doctrees"), builder,
            confoverrides=CONFIG, status=status, warning=warnings, parallel=parallel,
        )  # fmt: skip
        app.build()
    return Built(work / builder, status.getvalue(), warnings.getvalue())
