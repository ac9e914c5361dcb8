"""The extension inside Sphinx: a small site with math, a notebook and a page for lost readers."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import docutils_namespace

from booksite.launch import BRANCH, REPOSITORY

EXTENSIONS = [
    "myst_nb",
    "sphinx_book_theme",
    "sphinxcontrib.katex",
    "notfound.extension",
    "booksite",
]
CONFIG = {
    "project": "Small",
    "extensions": EXTENSIONS,
    "html_theme": "sphinx_book_theme",
    "html_context": {"default_mode": "auto"},
    "html_math_renderer": "katex",
    "html_copy_source": False,
    "katex_prerender": True,
    "katex_css_path": "katex/katex.min.css",
    "myst_enable_extensions": ["dollarmath"],
    "nb_execution_mode": "off",
    "nb_ipywidgets_js": {},
}


def build(root: Path) -> Path:
    """Build the site of *root* as jupyter-book does, and return where it is."""
    work = root.with_name(f"{root.name}-built")
    with docutils_namespace():
        app = Sphinx(
            str(root), None, str(work / "html"), str(work / "doctrees"), "html",
            confoverrides=CONFIG, status=io.StringIO(), warning=io.StringIO(),
        )  # fmt: skip
        app.build()
    return work / "html"


def write_site(root: Path) -> None:
    (root / "notebooks").mkdir(parents=True)
    toc = "```{toctree}\nnotebooks/01_first\n```\n"
    (root / "index.md").write_text(f"# Small\n\nNo formula here.\n\n{toc}")
    notebook = nbformat.v4.new_notebook()
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "p", "language": "python"}
    formulas = "$a + b + c + d + e + f = 1$, $b$, $c$"
    text = f"# First\n\nThe rate is $\\eta = 2$.\n\nAt {formulas} it is not."
    notebook.cells = [nbformat.v4.new_markdown_cell(text)]
    nbformat.write(notebook, root / "notebooks" / "01_first.ipynb")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site")
    write_site(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(REPOSITORY, "git@github.com:owner/name.git")
        patch.setenv(BRANCH, "trunk")
        return build(root)


def pages(site: Path) -> dict[str, str]:
    found = (path for path in site.rglob("*.html") if "_static" not in path.parts)
    return {path.relative_to(site).as_posix(): path.read_text() for path in found}


def test_every_page_keeps_to_the_policy(site: Path) -> None:
    written = pages(site)
    assert {"index.html", "404.html", "search.html", "notebooks/01_first.html"} <= set(written)
    for name, text in written.items():
        assert text.count("Content-Security-Policy") == 1, name
        assert ("unsafe-inline" in text) == (name == "notebooks/01_first.html"), name
        assert "<style" not in text, name
        for attributes in re.findall(r"<script\b([^>]*)>", text):
            assert "src=" in attributes or "application/" in attributes, name
        for address in re.findall(r'<(?:script|link|img)\b[^>]*(?:src|href)="([^"]+)"', text):
            assert not re.match("(?:https?:)?//", address), (name, address)


def test_a_formula_keeps_its_punctuation(site: Path) -> None:
    page = pages(site)["notebooks/01_first.html"]
    first, second = re.findall(r'<span class="glued">.*?</p>', page)
    assert 'class="katex"' in first
    assert first.endswith("</span>.</span></p>")
    # The comma before it reads the same, and stays where it is.
    (before,) = re.findall(r"<p>At (.*)" + re.escape(second), page)
    assert before.endswith("</span>, ")
    assert re.sub(r"<math.*?</math>|<[^>]*>", "", second) == "b, c it is not."


def test_links_launch_this_repository_and_this_notebook(site: Path) -> None:
    written = pages(site)
    (link,) = re.findall(r'href="([^"]*mybinder[^"]*)"', written["notebooks/01_first.html"])
    assert unquote(link) == (
        "https://mybinder.org/v2/gh/owner/name/trunk?urlpath=lab/tree/notebooks/01_first.ipynb"
    )
    assert "mybinder" not in written["index.html"]


def test_without_a_repository_there_are_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_site(tmp_path)
    monkeypatch.setenv(REPOSITORY, os.fspath(tmp_path))
    for name, text in pages(build(tmp_path)).items():
        assert "mybinder" not in text, name
        assert "github.com/executablebooks/jupyter-book" not in text, name


def test_an_unchanged_build_changes_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_site(tmp_path)
    monkeypatch.setenv(REPOSITORY, "")
    build(tmp_path)
    # Only from now on is myst-nb's style sheet there when Sphinx digests what pages link to.
    out = build(tmp_path)
    before = contents(out)
    build(tmp_path)
    assert contents(out) == before


def contents(site: Path) -> dict[str, bytes]:
    files = (path for path in site.rglob("*") if path.is_file() and path.name != ".buildinfo")
    return {path.relative_to(site).as_posix(): path.read_bytes() for path in files}


def test_a_typo_in_a_formula_names_its_page(tmp_path: Path) -> None:
    write_site(tmp_path)
    (tmp_path / "index.md").write_text("# Small\n\n$$\\nosuch{x}$$\n")
    with pytest.raises(ExtensionError, match=r"index: .*\\nosuch"):
        build(tmp_path)
