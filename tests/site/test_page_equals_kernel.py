"""What the page shows is what the kernel draws, in sampled states of every figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Route
from support.book import FigureOnPage, Site, figures
from support.browser import NewPage
from support.figures import LiveFigurePage, difference, flatten
from support.kernel import Drawings

from livefigure.encode import ALPHABET

DrawnByKernel = Callable[[Path], Drawings]


def test_every_figure_of_a_notebook_is_on_its_page(
    notebook: Path, site: Site, drawn_by_kernel: DrawnByKernel
) -> None:
    assert set(drawn_by_kernel(notebook)) == {figure.name for figure in _on_page_of(notebook)}


def test_page_equals_kernel(
    notebook: Path, site: Site, new_page: NewPage, drawn_by_kernel: DrawnByKernel
) -> None:
    drawn = drawn_by_kernel(notebook)
    for figure in _on_page_of(notebook):
        live = LiveFigurePage.open(new_page(), site.address + figure.page, figure.name)
        assert list(_differences(live, drawn[figure.name])) == []


def test_one_changed_integer_is_noticed(
    notebook: Path, site: Site, new_page: NewPage, drawn_by_kernel: DrawnByKernel
) -> None:
    """The comparison is worth something: it fails on damaged data."""
    for figure in _on_page_of(notebook)[:1]:
        drawn = drawn_by_kernel(notebook)[figure.name]
        assert any(_notices(new_page(), site, figure, drawn, share) for share in (0.5, 0.25, 0.75))


def _notices(
    page: Page, site: Site, figure: FigureOnPage, drawn: list[dict[str, Any]], share: float
) -> bool:
    """Damage the data at a share of their length, which few states may show, and compare."""
    page.route("**/_static/livefigures/*.js", lambda route: _damage(route, share))
    live = LiveFigurePage.open(page, site.address + figure.page, figure.name)
    return next(_differences(live, drawn), None) is not None


def _on_page_of(notebook: Path) -> list[FigureOnPage]:
    return [figure for figure in figures() if figure.page == f"notebooks/{notebook.stem}.html"]


def _differences(live: LiveFigurePage, states: list[dict[str, Any]]) -> Iterator[str]:
    for state in states:
        live.move(state["positions"])
        svg, caption = live.seen()
        where = f"{live.name} at {state['positions']}: "
        if found := difference(svg, flatten(state["svg"])):
            yield where + found
        if caption != state["caption"]:
            yield f"{where}{caption!r} is not {state['caption']!r}"


def _damage(route: Route, share: float) -> None:
    """Answer with the data file, in which one integer has the other sign.

    The numbers stand in the last string of the file, the lowest bit is the sign.
    """
    text = route.fetch().text()
    start, end = text.rindex(',"') + 2, text.rindex('"')
    at = start + int(share * (end - start))
    while ALPHABET.index(text[at]) == len(ALPHABET) - 1:  # a sign of length, with no neighbor
        at += 1
    changed = ALPHABET[ALPHABET.index(text[at]) ^ 1]
    route.fulfill(content_type="text/javascript", body=text[:at] + changed + text[at + 1 :])
