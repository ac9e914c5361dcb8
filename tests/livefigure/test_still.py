"""Figures that do not move: drawn as live ones on a page, as a PNG in a notebook."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from livefigure import LiveFigureError, live, still, style
from livefigure.figure import BAKE
from livefigure.still import MIME

WORDS = 'A line that rises from "0" to <1>.'


def drawn() -> tuple[Figure, Any]:
    fig, ax = plt.subplots(figsize=(4, 3))
    ax.set(xlim=(0, 1), ylim=(0, 1), title="Rise", xlabel="x")
    (line,) = ax.plot([0, 1], [0, 1], color=style.BLUE)
    return fig, line


def test_a_page_gets_the_picture_in_its_own_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BAKE, "1")
    bundle = still(drawn()[0], WORDS)._repr_mimebundle_()
    svg = bundle[MIME]["svg"]
    assert bundle["image/svg+xml"] == svg and "image/png" not in bundle
    assert 'role="img" aria-label="A line that rises from &quot;0&quot; to &lt;1&gt;."' in svg
    assert {"var(--ink)", "var(--grid)", style.BLUE} <= set(re.findall(r'"([^"]+)"', svg))
    assert style.INK not in svg and " style=" not in svg


def test_it_draws_what_a_live_figure_draws() -> None:
    picture = still(drawn()[0], WORDS).svg()
    fig, line = drawn()

    @live(fig, end=(0.0, 1.0, 1.0))
    def rise(end: float) -> str:
        line.set_ydata([0, end])
        return ""

    rise.move({"end": 1})
    moving = re.sub(r"</?g\b[^>]*>", "", rise.svg()).replace("rise-", "")
    resting = re.sub(r"</?g\b[^>]*>", "", picture)
    resting = re.sub(r"still-[0-9a-f]{8}-", "", resting).split("<defs>")[1]
    assert moving.split("<defs>")[1] == resting


def test_two_on_one_page_share_no_id() -> None:
    ids = [
        set(re.findall(r'\bid="([^"]+)"', still(drawn()[0], words).svg())) for words in ("A", "B")
    ]
    assert ids[0] and not ids[0] & ids[1]


def test_a_notebook_gets_a_png(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(BAKE, raising=False)
    bundle = still(drawn()[0], WORDS)._repr_mimebundle_()
    assert MIME not in bundle and bundle["text/plain"] == f"<Still {WORDS}>"
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))))
    assert pixels.shape[1] > 500
    assert (pixels[..., :3] == [int(style.BLUE[k : k + 2], 16) for k in (1, 3, 5)]).all(-1).any()


def test_it_is_shown_once() -> None:
    fig = drawn()[0]
    still(fig, WORDS)
    assert not plt.fignum_exists(fig.number)


@pytest.mark.parametrize(
    ("fig", "words", "message"),
    [
        (None, WORDS, "still(fig, …) takes a matplotlib Figure, got None"),
        (Figure(), "", "still: describe the figure in words, got ''"),
        (Figure(), " \n", r"still: describe the figure in words, got ' \n'"),
        (Figure(), None, "still: describe the figure in words, got None"),
    ],
)
def test_refused_arguments(fig: Any, words: Any, message: str) -> None:
    with pytest.raises(LiveFigureError, match=f"^{re.escape(message)}$"):
        still(fig, words)
