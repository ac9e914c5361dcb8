"""Fixtures of the whole book, and the lists of what there is to test.

A test that takes ``notebook`` runs for every notebook, one that takes ``page_name`` for every
page of the built site, one that takes ``figure`` for every live figure on them: a new chapter
is tested by existing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from support import book, browser, engines, kernel, serve
from support.book import Site
from support.browser import NewPage
from support.engines import Engine
from support.figures import LiveFigurePage
from support.kernel import Drawings


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests for every notebook, page and figure there is."""
    # Where there is none the test runs once and fails, as an empty list would skip it.
    lists: dict[str, Callable[[], Sequence[Any]]] = {
        "notebook": book.notebooks,
        "page_name": book.pages,
        "figure": book.figures,
    }
    for name, find in lists.items():
        if name in metafunc.fixturenames:
            found = find() or [None]
            ids = [getattr(entry, "stem", str(entry)) for entry in found]
            one = metafunc.definition.get_closest_marker("one_a_page") is not None
            metafunc.parametrize(name, _marked(found) if one else found, ids=ids, indirect=True)


def _marked(figures: Sequence[Any]) -> list[Any]:
    """Leave all figures of a page but the first to the thorough tests."""
    seen: set[str | None] = set()
    marked = []
    for figure in figures:
        page = getattr(figure, "page", None)
        marked.append(pytest.param(figure, marks=pytest.mark.thorough if page in seen else ()))
        seen.add(page)
    return marked


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep on one core what asks for the same drawings, so that no notebook runs twice."""
    for item in items:
        if isinstance(item, pytest.Function) and "drawn_by_kernel" in item.fixturenames:
            stem = Path(item.callspec.params["notebook"]).stem
            item.add_marker(pytest.mark.xdist_group(f"drawings of {stem}"))


@pytest.fixture
def notebook(request: pytest.FixtureRequest) -> Path:
    """One notebook of the book."""
    if request.param is None:
        pytest.fail("notebooks/ holds no notebook")
    found: Path = request.param
    return found


@pytest.fixture
def page_name(request: pytest.FixtureRequest, site: Site) -> str:
    """One page of the built site, relative to it."""
    name: str = request.param
    return name


@pytest.fixture
def figure(request: pytest.FixtureRequest, site: Site) -> book.FigureOnPage:
    """One live figure of the built site."""
    if request.param is None:
        pytest.fail("the site shows no live figure")
    found: book.FigureOnPage = request.param
    return found


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """Serve the site that make has built; fail if it is absent or older than its sources."""
    reason = book.why_unusable()
    if reason:
        pytest.fail(reason, pytrace=False)
    with serve.serve(book.SITE) as address:
        yield Site(book.SITE, address)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Start the browser, one for all tests."""
    try:
        with browser.launch() as launched:
            yield launched
    except RuntimeError as error:
        pytest.fail(str(error), pytrace=False)


# Not for the session: an idle WebKit takes a quarter of a core from all tests that follow.
@pytest.fixture(scope="module", params=["firefox", "webkit"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Start another engine than Chromium; skip where it cannot be had, but never in CI."""
    _need_engine(request.param)
    with engines.launch(request.param) as launched:
        yield launched


@pytest.fixture(params=["firefox", "webkit"])
def dark_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Start another engine than Chromium, on a system in dark mode."""
    _need_engine(request.param)
    with engines.launch(request.param, dark=True) as launched:
        yield launched


def _need_engine(name: str) -> None:
    if name in engines.missing():
        sentence = engines.why_missing(name)
        if os.environ.get("CI"):
            pytest.fail(sentence, pytrace=False)
        pytest.skip(sentence)


@pytest.fixture
def new_page(chromium: Browser) -> Iterator[NewPage]:
    """Return a function that opens a page in a browser that remembers nothing.

    Its arguments are those of Playwright's ``new_context``; the window is 1280 px wide.
    """
    opened: list[BrowserContext] = []

    def make(**options: Any) -> Page:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        opened.append(context)
        return context.new_page()

    yield make
    for context in opened:
        context.close()


@pytest.fixture
def live_figure(new_page: NewPage, site: Site, figure: book.FigureOnPage) -> LiveFigurePage:
    """One live figure, open in a browser and alive."""
    return LiveFigurePage.open(new_page(), site.address + figure.page, figure.name)


@pytest.fixture(scope="session")
def drawn_by_kernel(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Drawings]:
    """Return a function that runs a notebook, once a session, and returns its drawings."""
    known: dict[Path, Drawings] = {}

    def get(notebook: Path) -> Drawings:
        if notebook not in known:
            known[notebook] = kernel.drawings(notebook, tmp_path_factory.mktemp("drawings"))
        return known[notebook]

    return get
