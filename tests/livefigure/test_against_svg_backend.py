"""Every kind of artist, as the page shows it, against matplotlib's own SVG in one browser.

The page draws each state from the baked data. matplotlib's backend writes the same state as
text and styles of its own; with the same font both must give nearly the same pixels.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page
from support.kinds import KINDS, Move

from livefigure import assets, live, markup, recorder, style
from livefigure.figure import LiveFigure
from livefigure.outlines import Outlines

STATES = 3
WIDTH, HEIGHT, COLUMNS = 480, 360, 4
PAGE = """<!doctype html><meta charset="utf-8"><title>Kinds</title><style>{fonts}
:root{{--ink:{ink};--paper:{paper};--grid:{grid}}} body{{margin:0;background:#fff}}
.cell{{position:absolute;width:{width}px;height:{height}px;overflow:hidden}}
figure{{margin:0}} svg{{width:{width}px;height:{height}px;display:block}}
text{{text-rendering:geometricPrecision}} form,figcaption,p{{display:none}}</style>
<body>{cells}</body>{scripts}"""

Pixels = NDArray[np.int16]


def fonts() -> str:
    """Return matplotlib's own DejaVu as font faces."""
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    faces = []
    for name, look in (("", ""), ("-Oblique", "font-style:italic"), ("-Bold", "font-weight:700"),
                       ("-Oblique", "font-style:oblique")):  # fmt: skip
        data = base64.b64encode((folder / f"DejaVuSans{name}.ttf").read_bytes()).decode()
        source = f"src:url(data:font/ttf;base64,{data})"
        faces.append(f"@font-face{{font-family:'DejaVu Sans';{source};{look}}}")
    return "".join(faces)


def whole_page(cells: list[str], scripts: str = "") -> str:
    placed = "".join(
        f'<div class="cell" style="left:{k % COLUMNS * WIDTH}px;top:{k // COLUMNS * HEIGHT}px">'
        f"{cell}</div>"
        for k, cell in enumerate(cells)
    )
    return PAGE.format(
        fonts=fonts(), cells=placed, scripts=scripts, width=WIDTH, height=HEIGHT,
        ink=style.INK, paper=style.PAPER, grid=style.GRID,
    )  # fmt: skip


def reference(fig: Figure, name: str) -> str:
    """Return what matplotlib's own backend writes."""
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        fig.savefig(out, format="svg", dpi=72)
    return out.getvalue().partition("<svg")[2].join(["<svg", ""])


def build(name: str, draw: Callable[[Any], Move], projection: str | None) -> LiveFigure:
    fig = plt.figure(figsize=(WIDTH / 72, HEIGHT / 72))
    move = draw(fig.add_subplot(projection=projection))

    def call(state: int) -> None:
        move(state)

    call.__name__ = name
    return live(fig, state=(0, STATES - 1))(call)  # type: ignore[no-any-return]


def pixels(page: Page, count: int) -> list[Pixels]:
    """Return the pixels of each cell."""
    shot = plt.imread(io.BytesIO(page.screenshot()))[..., :3]
    levels = np.rint(255 * shot).astype(np.int16)
    corners = [(k // COLUMNS * HEIGHT, k % COLUMNS * WIDTH) for k in range(count)]
    return [levels[y : y + HEIGHT, x : x + WIDTH] for y, x in corners]


class Comparison:
    """Shows figures and their references; ``differences[name][state]`` is a mean of 255."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self._folder = folder
        self._browser = browser

    def run(self, figures: dict[str, LiveFigure]) -> dict[str, list[float]]:
        cells, scripts = [], [f"<script>{assets.page_script()}</script>"]
        references: list[list[str]] = [[] for _ in range(STATES)]
        for name, figure in figures.items():
            baked = figure.bake()
            shown = {key: baked[key] for key in ("form", "svg", "caption", "states")}
            source = f"{name}.js"
            (self._folder / source).write_text("".join(baked["parts"]), encoding="utf-8")
            assert len(baked["parts"]) == 1
            cells.append(markup.figure(baked["id"], sources=source, **shown))
            for state in range(STATES):
                figure.move({"state": state})
                references[state].append(reference(figure.stage.fig, name))
        count = len(figures)
        size = {"width": COLUMNS * WIDTH, "height": -(-count // COLUMNS) * HEIGHT}
        page = self._browser.new_page(viewport=size)  # type: ignore[arg-type]
        try:
            ours = self._ours(page, whole_page(cells, "".join(scripts)), count)
            theirs = []
            for svgs in references:
                page.set_content(whole_page(svgs))
                page.evaluate("document.fonts.ready")
                theirs.append(pixels(page, count))
        finally:
            page.close()
        return {
            name: [float(np.abs(ours[s][k] - theirs[s][k]).mean()) for s in range(STATES)]
            for k, name in enumerate(figures)
        }

    def _ours(self, page: Page, html: str, count: int) -> list[list[Pixels]]:
        index = self._folder / "index.html"
        index.write_text(html, encoding="utf-8")
        page.goto(index.as_uri())
        page.wait_for_function(
            "[...document.querySelectorAll('figure')].every((f) => f.dataset.state === 'live')"
        )
        page.evaluate("document.fonts.ready")
        found: list[list[Pixels]] = [[]] * STATES
        # Not in order: state 0 is drawn by the script too, not only by the first frame.
        for state in (2, 0, 1):
            page.evaluate(
                """(state) => document.querySelectorAll('input').forEach((input) => {
                  input.value = state;
                  input.dispatchEvent(new Event('input', { bubbles: true }));
                })""",
                state,
            )
            found[state] = pixels(page, count)
        return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kinds")


@pytest.fixture(scope="module")
def differences(chromium: Browser, folder: Path) -> Iterator[dict[str, list[float]]]:
    mpl.use("agg")
    with mpl.rc_context(style.rc()):
        figures = {n: build(n, kind.draw, kind.projection) for n, kind in KINDS.items()}
        yield Comparison(chromium, folder).run(figures)
    plt.close("all")


@pytest.mark.parametrize("name", KINDS)
def test_pixels_are_matplotlibs(differences: dict[str, list[float]], name: str) -> None:
    assert max(differences[name]) < KINDS[name].limit


def test_a_marker_off_by_a_pixel_is_seen(
    chromium: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vertices = Outlines.vertices
    monkeypatch.setattr(Outlines, "vertices", lambda *given: vertices(*given) + 10)
    assert broken("markers", chromium, tmp_path) > KINDS["markers"].limit


def test_mathtext_that_is_not_italic_is_seen(
    chromium: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    element = recorder._element

    def upright(tag: str, attributes: list[tuple[str, str]], content: str | None = None) -> str:
        kept = [(key, value) for key, value in attributes if key != "font-style"]
        return element(tag, kept, content)

    monkeypatch.setattr(recorder, "_element", upright)
    assert broken("mathtext", chromium, tmp_path) > KINDS["mathtext"].limit


def broken(name: str, browser: Browser, folder: Path) -> float:
    """Return the difference of one kind."""
    kind = KINDS[name]
    figure = build(name, kind.draw, kind.projection)
    return min(Comparison(browser, folder).run({name: figure})[name])
