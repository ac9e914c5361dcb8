"""Two builds of a book give the same site, byte for byte."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from support.book import ROOT

FIGURE = """
import matplotlib.pyplot as plt
from ipywidgets import IntSlider
from livefigure import live
fig, ax = plt.subplots()
(line,) = ax.plot([0, 1], [0, 1])
@live(fig, slope=IntSlider(value=1, min=0, max=2))
def tilt(slope):
    line.set_ydata([0, slope])
    return f"The slope is {slope}."
"""


def write_book(root: Path) -> None:
    """Write a book of one page and one figure, configured as this one is."""
    (root / "notebooks").mkdir(parents=True)
    for folder in ("src/booksite/static", "src/dlbook"):
        shutil.copytree(ROOT / folder, root / folder)
    for name in ("_config.yml", "requirements.txt"):
        shutil.copy(ROOT / name, root)
    (root / "_toc.yml").write_text(
        "format: jb-book\nroot: intro\nchapters:\n  - file: notebooks/01_first\n"
    )
    (root / "intro.md").write_text("# Start\n\nThe rate is $\\eta$, and `code` is code.\n")
    notebook = nbformat.v4.new_notebook()
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "p", "language": "python"}
    notebook.cells = [
        nbformat.v4.new_markdown_cell("# First\n\n## A section", id="words"),
        nbformat.v4.new_code_cell(FIGURE.strip(), id="figure"),
    ]
    nbformat.write(notebook, root / "notebooks" / "01_first.ipynb")


def build(root: Path, seed: str, *options: str) -> dict[str, bytes]:
    """Build the book and return its site: content by path."""
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(root), *options]
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=root)
    assert not done.returncode, done.stdout + done.stderr
    site = root / "_build" / "html"
    return {
        path.relative_to(site).as_posix(): path.read_bytes()
        for path in sorted(site.rglob("*"))
        if path.is_file()
    }


def different(first: dict[str, bytes], second: dict[str, bytes]) -> list[str]:
    """Return the paths that one site lacks or has with another content."""
    return sorted(
        path for path in first.keys() | second.keys() if first.get(path) != second.get(path)
    )


@pytest.mark.slow
def test_builds_are_identical(tmp_path: Path) -> None:
    here, there = tmp_path / "a", tmp_path / "a-longer" / "path"
    write_book(here)
    write_book(there)
    first = build(here, "1")
    assert any(path.startswith("_static/livefigures/tilt-") for path in first)
    assert different(first, build(there, "2")) == [], "another folder and another hash seed"
    # All pages are written again, now that the files they link to are there.
    assert different(first, build(here, "3", "--all")) == [], "a second build into the same folder"
