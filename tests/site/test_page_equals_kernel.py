"""What the page shows is what the kernel draws, in sampled states of every figure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Route
from support import book
from support.book import Site
from support.browser import NewPage
from support.figures import LiveFigurePage
from support.kernel import Drawings

from livefigure.encode import ALPHABET, to_text

DrawnByKernel = Callable[[Path], Drawings]


def test_every_figure_of_a_notebook_is_on_its_page(
    notebook: Path, site: Site, drawn_by_kernel: DrawnByKernel
) -> None:
    assert set(drawn_by_kernel(notebook)) == {figure.name for figure in book.figures_of(notebook)}


def test_page_equals_kernel(
    notebook: Path, site: Site, new_page: NewPage, drawn_by_kernel: DrawnByKernel
) -> None:
    drawn = drawn_by_kernel(notebook)
    for figure in book.figures_of(notebook):
        live = LiveFigurePage.open(new_page(), site.address + figure.page, figure.name)
        assert list(_differences(live, drawn[figure.name])) == []


def test_one_changed_integer_is_noticed(
    notebook: Path, site: Site, new_page: NewPage, drawn_by_kernel: DrawnByKernel
) -> None:
    """The comparison is worth something: it fails on damaged data."""
    for figure in book.figures_of(notebook)[:1]:
        page = new_page()
        page.route("**/_static/livefigures/*.js", _damage)
        live = LiveFigurePage.open(page, site.address + figure.page, figure.name)
        drawn = drawn_by_kernel(notebook)[figure.name]
        assert next(_differences(live, drawn), None) is not None


def _differences(live: LiveFigurePage, states: list[dict[str, Any]]) -> Iterator[str]:
    for state in states:
        live.move(state["positions"])
        if found := live.against(state):
            yield f"{live.name} at {state['positions']}: {found}"


def _damage(route: Route) -> None:
    """Answer with the data file, in which one integer is larger by one.

    It is one of the first of a matrix, so it belongs to the state at which all controls stand
    at their first position, which is among the sampled ones.
    """
    text = route.fetch().text()
    header, end = json.JSONDecoder().raw_decode(text, text.index("{"))
    body = text[end:].split('"')[1]
    ints = _integers(body)
    ints[_place(header)] += 1
    route.fulfill(content_type="text/javascript", body=text.replace(body, to_text(np.array(ints))))


def _place(header: dict[str, Any]) -> int:
    """Return where the integers of the first artist begin that always has the same template."""

    def size(matrix: Any) -> int:
        columns, axes, _ = matrix
        counts = [count for _, count in header["box"]]
        return int(columns * math.prod(n for n, depends in zip(counts, axes, strict=True)
                                       if depends == "1"))  # fmt: skip

    at = 0
    for _, templates, choice, matrices in header["slots"]:
        at += size(choice)
        if len(templates) == 1:
            return at + sum(size(matrix) for matrix in matrices[:-1])
        at += sum(size(matrix) for matrix in matrices)
    raise AssertionError("every artist of this figure changes its template")


def _integers(body: str) -> list[int]:
    """Return the numbers of a data file, read as ``livefigure/encode.py`` describes them."""
    symbols = map(ALPHABET.index, body)
    ints = []
    for symbol in symbols:
        value = symbol
        if symbol == 90:
            value = 990 + (next(symbols) * 91 + next(symbols)) * 91 + next(symbols)
        elif symbol >= 80:
            value = 80 + (symbol - 80) * 91 + next(symbols)
        ints.append(-(value + 1) // 2 if value % 2 else value // 2)
    return ints
