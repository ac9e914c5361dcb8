"""The figures in Firefox and in WebKit: each control moved once by keyboard, and the theme.

Chromium's tests visit many states; these look for what only another engine shows.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import book
from support.book import Site
from support.engines import Engine, EngineFigure
from support.kernel import Drawings

#: What is painted, and what the variable that it names stands for.
_PAINTS = """(svg) => {
  const found = [];
  const probe = svg.parentElement.appendChild(document.createElement("span"));
  for (const property of ["fill", "stroke"])
    for (const node of svg.querySelectorAll(`[${property}^="var("]`)) {
      probe.style.color = node.getAttribute(property);
      found.push([node.getAttribute(property), getComputedStyle(node)[property],
                  getComputedStyle(probe).color]);
    }
  probe.remove();
  return found;
}"""

#: The fills of all words, and the paper under them. Literal black and white stand on cells that
#: have a color of their own, the same in both themes.
_WORDS = """(svg) => [getComputedStyle(svg.parentElement).backgroundColor,
  [...svg.querySelectorAll("text, tspan")]
    .filter((node) => !node.closest("[fill='#000000'], [fill='#ffffff']"))
    .map((node) => getComputedStyle(node).fill)]"""

_PAD = """(svg) => {
  const pad = svg.querySelector("[data-pad]");
  if (!pad) return null;
  svg.scrollIntoView({ block: "center" });
  const { left, top, width, height } = pad.getBoundingClientRect();
  return { box: [left, top, width, height],
           promised: Object.values(JSON.parse(pad.dataset.moves)).map(([name]) => name) };
}"""

_REMEMBERED = """(start) => new Promise((done) => {
  const look = () => location.hash.startsWith(start) ? done() : setTimeout(look, 20);
  look();
})"""


def _open(engine: Engine, address: str, notebook: Path) -> dict[str, EngineFigure]:
    """Open a notebook's page and wait until all its figures are alive."""
    engine.goto(address)
    return {figure.name: EngineFigure(engine, figure.name) for figure in book.figures_of(notebook)}


def test_each_control_by_keyboard_equals_the_kernel(
    notebook: Path, site: Site, engine: Engine, drawn_by_kernel: Callable[[Path], Drawings]
) -> None:
    drawn = drawn_by_kernel(notebook)
    engine.complaints(site.address)
    for name, figure in _open(engine, site.address + book.page_of(notebook), notebook).items():
        assert figure.against(drawn[name][0]) is None, f"{name} at its defaults"
        steps = [state for state in drawn[name] if "control" in state]
        assert {state["control"] for state in steps} == set(figure.controls())
        for state in steps:
            _assert_step(figure, state)
    assert not engine.complaints(site.address)


def _assert_step(figure: EngineFigure, state: dict[str, Any]) -> None:
    where = f"{figure.name}, {state['control']} moved from {state['before']}"
    figure.move(state["before"])
    before = figure.data()
    figure.step(state["control"])
    assert figure.positions() == state["positions"], where
    assert figure.data() != before, f"{where}: no data change"
    found = figure.against(state)
    assert found is None, f"{where}: {found}"


def test_colors_are_those_of_the_theme(notebook: Path, site: Site, engine: Engine) -> None:
    figures = _open(engine, site.address + book.page_of(notebook), notebook)
    papers = set()
    for mode in ("light", "dark"):
        engine.theme(mode)
        papers |= {_paper_of_good_contrast(figure) for figure in figures.values()}
    assert len(papers) == 2


def _paper_of_good_contrast(figure: EngineFigure) -> str:
    """Return the color under a figure, once its own colors have proved to go with it."""
    paints = figure.ask("svg", _PAINTS)
    assert paints
    assert [paint for paint in paints if paint[1] != paint[2]] == []
    paper: str
    paper, words = figure.ask("svg", _WORDS)
    assert words
    for fill in set(words):
        contrast = _contrast(fill, paper)
        assert contrast >= 3, f"{figure.name}: words in {fill} on {paper}: {contrast:.1f}"
    return paper


def _contrast(one: str, other: str) -> float:
    """Return the contrast of two opaque CSS colors, by WCAG 2's formula."""

    def luminance(color: str) -> float:
        channels = [int(part) / 255 for part in color.removeprefix("rgb(").rstrip(")").split(",")]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_dark_mode_of_the_system_is_followed(site: Site, dark_engine: Engine) -> None:
    """The first chapter's page, as all pages have the same script and style."""
    notebook = book.notebooks()[0]
    figures = _open(dark_engine, site.address + book.page_of(notebook), notebook)
    assert dark_engine.call("() => document.documentElement.dataset.theme") == "dark"
    papers = {_paper_of_good_contrast(figure) for figure in figures.values()}
    assert all(_contrast(paper, "rgb(0, 0, 0)") < 1.5 for paper in papers)
    dark_engine.call("() => scrollTo(0, 0)")
    picture = Image.open(io.BytesIO(dark_engine.screenshot())).convert("L")
    assert np.asarray(picture)[:, -40:].max() < 240, "a light scroll bar"


def test_fits_a_phone(notebook: Path, site: Site, engine: Engine) -> None:
    engine.goto_narrow(site.address + book.page_of(notebook), 360, 740)
    widths = "({ scrollWidth, clientWidth }) => [scrollWidth, clientWidth]"
    needed, width = engine.call(f"() => ({widths})(document.documentElement)")
    assert width == 360
    assert needed <= width, "it scrolls sideways"
    for name in [figure.name for figure in book.figures_of(notebook)]:
        figure = EngineFigure(engine, name)
        left, right = figure.ask(
            "svg", "(svg) => [svg.getBoundingClientRect().left, svg.getBoundingClientRect().right]"
        )
        assert left >= 0, name
        assert right <= width, name
        assert figure.smallest_text() >= 8, f"{name}: text of such a size cannot be read"
        before = figure.data()
        figure.move(figure.elsewhere())
        assert figure.data() != before, name


def test_works_from_a_file(notebook: Path, site: Site, engine: Engine) -> None:
    """One figure a page: all get their data in the same way."""
    engine.goto((site.folder / book.page_of(notebook)).as_uri())
    figure = EngineFigure(engine, book.figures_of(notebook)[0].name)
    before = figure.data()
    figure.move(figure.elsewhere())
    assert figure.data() != before


def test_a_drag_moves_its_controls_and_the_address_keeps_them(
    notebook: Path, site: Site, engine: Engine
) -> None:
    """One figure a page: one that can be dragged, where there is one."""
    figures = _open(engine, site.address + book.page_of(notebook), notebook)
    pads = {name: pad for name, figure in figures.items() if (pad := figure.ask("svg", _PAD))}
    name = next(iter(pads or figures))
    figure = figures[name]
    before = figure.positions()
    if pads:
        pad = figure.ask("svg", _PAD)  # where it is now that it is in view
        _drag(engine, pad["box"])
        moved = {key for key, position in figure.positions().items() if position != before[key]}
        assert moved == set(pad["promised"])
    else:
        figure.move(figure.elsewhere())
    engine.call(_REMEMBERED, f"#{name}:")
    positions, seen = figure.positions(), figure.seen()
    link = engine.call("() => location.href")
    engine.goto("about:blank")
    engine.goto(link)
    again = EngineFigure(engine, name)
    assert again.positions() == positions
    assert again.seen() == seen


def _drag(engine: Engine, box: list[float]) -> None:
    left, top, width, height = box
    start, end = ((left + share * width, top + share * height) for share in (0.08, 0.92))
    engine.drag(start, end)


@pytest.mark.parametrize("engine", ["firefox"], indirect=True)  # WebKit's driver does not tell
def test_firefox_complains_of_no_page(page_name: str, site: Site, engine: Engine) -> None:
    engine.complaints(site.address)
    engine.goto(site.address + page_name)
    time.sleep(0.5)  # what it fetches in advance it fetches last
    assert engine.complaints(site.address) == []
