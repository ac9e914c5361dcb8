"""Files that go with the pages: style, script, font, and the data of each figure."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from livefigure import assets
from livefigure.sphinx import store


def add_style(app: Sphinx) -> None:
    """Put the style sheet on every page: it holds the palette that a site may share."""
    if app.builder.format == "html":
        # Written before any page, as Sphinx puts a checksum of the file into its address.
        _write_assets(app)
        app.add_css_file("livefigure.css")


def add_script(app: Sphinx, pagename: str, template: str, context: Any, doctree: Any) -> None:
    """Put the script on pages that show a figure, and on no other."""
    if store.uses(app.builder.env).get(pagename):
        app.add_js_file("livefigure.js", loading_method="defer")


def write_files(app: Sphinx, exception: Exception | None) -> None:
    """Write script, style, font and data into the site; remove data that no page needs.

    This runs whenever the site is written, so files come back that somebody deleted.
    """
    if exception is not None or app.builder.format != "html":
        return
    folder = _write_assets(app) / store.FOLDER
    folder.mkdir(exist_ok=True)
    files: dict[str, str] = {}
    for kept in store.figures(app.builder.env).values():
        files.update(kept.files)
    for stale in folder.iterdir():
        if stale.name not in files:
            stale.unlink()
    for name, text in files.items():
        _write(folder / name, text)


def _write_assets(app: Sphinx) -> Path:
    """Write script, style and font; return the folder of static files."""
    static = Path(app.outdir) / "_static"
    static.mkdir(parents=True, exist_ok=True)
    _write(static / "livefigure.js", assets.page_script())
    _write(static / "livefigure.css", assets.style("dejavu/DejaVuSans.woff2"))
    shutil.copytree(assets.font().parent, static / "dejavu", dirs_exist_ok=True)
    return static


def _write(path: Path, text: str) -> None:
    """Write a file unless it says the same already."""
    data = text.encode()
    if not path.exists() or path.read_bytes() != data:
        path.write_bytes(data)
