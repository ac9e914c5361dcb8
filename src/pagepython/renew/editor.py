"""Bundles the editor, with its license beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pagepython.renew import fetch, pack

HOME: Final = fetch.HERE.parent / "static" / "editor"


def bundle(modules: Path, home: Path = HOME) -> None:
    """Write ``editor.js``, ``editor.css`` and the license of prism-code-editor.

    Parameters
    ----------
    modules
        The ``node_modules`` with the editor and esbuild.
    home
        The folder that gets the files.
    """
    home.mkdir(parents=True, exist_ok=True)
    pack.bundle(modules, fetch.HERE / "editor.src.js", home / "editor.js", "--format=iife")
    pack.bundle(modules, fetch.HERE / "editor.src.css", home / "editor.css")
    text = (modules / "prism-code-editor" / "LICENSE").read_text(encoding="utf-8")
    (home / "LICENSE").write_text(text, encoding="utf-8")
