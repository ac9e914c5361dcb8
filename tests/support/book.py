"""The book as the tests see it: its notebooks, its built pages, the figures on them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "_build" / "html"

#: Either is written by a build: the first by make at its end, the second by Sphinx whenever it
#: has read a page anew. An incremental build that changes nothing writes only the first.
STAMPS = ("_build/.built", "_build/.doctrees/environment.pickle")

#: What the site is made of.
SOURCES = ("notebooks", "book", "src", "_config.yml", "_toc.yml", "requirements.txt")

#: Folders in which Python, pip and Jupyter leave files of their own.
_NOT_SOURCES = ("__pycache__", ".egg-info", ".ipynb_checkpoints", "_cache")


#: The tag of a figure. A page of a megabyte takes seconds to parse, and it is asked often.
_FIGURE = re.compile(r"<figure\b[^>]*>")


@dataclass(frozen=True)
class Site:
    """The built site.

    Attributes
    ----------
    folder : Path
        Where it is.
    address : str
        Where it is served, with a slash at its end.
    """

    folder: Path
    address: str


@dataclass(frozen=True)
class FigureOnPage:
    """One live figure of the built site.

    Attributes
    ----------
    page : str
        The page, relative to the site.
    name : str
        Its id.
    """

    page: str
    name: str

    def __str__(self) -> str:
        return f"{Path(self.page).stem}-{self.name}"


def notebooks(root: Path = ROOT) -> list[Path]:
    """Return all notebooks, in order."""
    return sorted((root / "notebooks").glob("*.ipynb"))


def pages(site: Path = SITE) -> list[str]:
    """Return all pages of a built site, relative to it."""
    return sorted(
        page.relative_to(site).as_posix()
        for page in site.rglob("*.html")
        if "_static" not in page.relative_to(site).parts
    )


def parse(page: str, site: Path = SITE) -> BeautifulSoup:
    """Return a page of the site, parsed."""
    return BeautifulSoup((site / page).read_text(encoding="utf-8"), "html.parser")


@cache
def figures(site: Path = SITE) -> tuple[FigureOnPage, ...]:
    """Return all live figures of a built site, page by page, as it was when first asked."""
    return tuple(
        FigureOnPage(page, str(figure["id"]))
        for page in pages(site)
        for tag in _FIGURE.findall((site / page).read_text(encoding="utf-8"))
        for figure in BeautifulSoup(tag, "html.parser").select("figure.livefigure")
    )


def page_of(notebook: Path) -> str:
    """Return the page of a notebook, relative to the site."""
    return f"notebooks/{notebook.stem}.html"


def figures_of(notebook: Path, site: Path = SITE) -> list[FigureOnPage]:
    """Return all live figures on the page of a notebook, in order."""
    return [figure for figure in figures(site) if figure.page == page_of(notebook)]


def why_unusable(root: Path = ROOT) -> str | None:
    """Return why the built site cannot be tested, or ``None`` if it can."""
    remedy = "run: make book"
    if not (root / "_build/html/index.html").exists():
        return f"There is no site in _build/html; {remedy}"
    built = max(
        (stamp.stat().st_mtime_ns for stamp in (root / name for name in STAMPS) if stamp.exists()),
        default=0,
    )
    newest = max(_sources(root), key=lambda path: path.stat().st_mtime_ns)
    if newest.stat().st_mtime_ns > built:
        return f"The site in _build/html is older than {newest.relative_to(root)}; {remedy}"
    return None


def _sources(root: Path) -> Iterator[Path]:
    for name in SOURCES:
        source = root / name
        for path in source.rglob("*") if source.is_dir() else [source]:
            parts = path.relative_to(root).parts
            if path.is_file() and not any(part.endswith(_NOT_SOURCES) for part in parts):
                yield path
