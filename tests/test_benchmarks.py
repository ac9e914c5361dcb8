"""The benchmark of live figures measures what it says it does."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from support.book import ROOT
from support.browser import NewPage

from livefigure import LiveFigure, live


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


@pytest.fixture
def tilt() -> LiveFigure:
    """A line and a text that three positions of one control move."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.use("agg")
    fig, ax = plt.subplots()
    ax.set(xlim=(0, 1), ylim=(0, 2))
    (line,) = ax.plot([0, 1], [0, 1])

    @live(fig, slope=(0, 2), color=["red", "blue"])
    def leaning(slope: int, color: str) -> str:
        line.set_ydata([0, slope])
        line.set_color(color)
        return f"slope {slope}, {color}"

    return leaning


@pytest.mark.parametrize(
    ("counts", "limit", "expected"),
    [
        ([3, 2], None, ((0, 1, 2), (0, 1))),
        ([21, 2], 6, ((0, 10, 20), (0, 1))),
        ([5, 4], 1, ((0,), (0,))),
    ],
)
def test_sample(counts: list[int], limit: int | None, expected: Any) -> None:
    from contenders.subject import sample

    assert sample(counts, limit) == expected


@pytest.mark.parametrize("counts", [[20, 20, 2], [3, 5, 21], [8, 2, 2, 8]])
def test_a_sample_keeps_the_ends_and_the_limit(counts: list[int]) -> None:
    from contenders.subject import sample

    chosen = sample(counts, 60)
    assert 30 < math.prod(map(len, chosen)) <= 60
    for count, places in zip(counts, chosen, strict=True):
        assert places[0] == 0 and places[-1] == count - 1
        assert len(set(places)) == len(places)


def test_no_sample_is_empty() -> None:
    from contenders.subject import sample

    with pytest.raises(ValueError, match="at least one state"):
        sample([2, 2], 0)


@pytest.mark.parametrize("way", ["livefigures", "savefig"])
def test_a_page_is_built_moved_and_timed(
    chromium: Browser, tilt: LiveFigure, tmp_path: Path, way: str
) -> None:
    import importlib

    import timing
    from contenders.subject import Subject

    subject = Subject.of(tilt)
    built = importlib.import_module(f"contenders.{way}").build(subject, tmp_path)
    assert built.counts == (3, 2) and built.seconds > 0
    assert 0 < built.states.gzipped < built.states.raw
    times = timing.measure(chromium, built, subject.names, moves=3, loads=3, passes=2, slowdown=1)
    assert len(times.usable) == len(times.first) == 3
    assert len(times.script) == len(times.frame) == 3
    assert all(0 <= script < frame for script, frame in zip(times.script, times.frame, strict=True))
    # The page counts from its own beginning, which lies before the input.
    assert times.usable[-1] > times.frame[0]


def test_every_picture_of_savefig_is_another_state(tilt: LiveFigure, tmp_path: Path) -> None:
    from contenders import savefig
    from contenders.subject import Subject

    savefig.build(Subject.of(tilt), tmp_path)
    pictures = {path.name: path.read_text() for path in tmp_path.glob("*.svg")}
    assert set(pictures) == {f"{slope}-{color}.svg" for slope in range(3) for color in range(2)}
    # Identifiers are drawn at random.
    bare = {re.sub(r"#?\b[pm][0-9a-f]{10}\b", "", text) for text in pictures.values()}
    assert len(bare) == 6


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"moves": 0}, "at least one move"),
        ({"loads": 0}, "at least one move and one load"),
        ({"passes": 0}, "passes are some of the 5 loads, not 0"),
        ({"loads": 2, "passes": 3}, "passes are some of the 2 loads, not 3"),
    ],
)
def test_nothing_to_measure_is_refused(
    chromium: Browser, tilt: LiveFigure, tmp_path: Path, change: dict[str, int], sentence: str
) -> None:
    import timing
    from contenders import livefigures
    from contenders.subject import Subject

    built = livefigures.build(Subject.of(tilt), tmp_path)
    with pytest.raises(ValueError, match=sentence):
        timing.measure(chromium, built, ["slope", "color"], **change)


@pytest.mark.parametrize("way", ["livefigures", "savefig"])
def test_an_adapter_moves_every_control(
    new_page: NewPage, tilt: LiveFigure, tmp_path: Path, way: str
) -> None:
    import importlib

    from contenders.subject import Subject

    subject = Subject.of(tilt)
    built = importlib.import_module(f"contenders.{way}").build(subject, tmp_path)
    page = new_page()
    page.goto(built.page.as_uri())
    page.evaluate(f"window.adapter = {built.adapter}")
    page.wait_for_function("adapter.ready()")
    state, picture = list(built.start), page.locator("svg, img").first
    for k, count in enumerate(built.counts):
        before = picture.screenshot()
        state[k] = (state[k] + 1) % count
        page.evaluate(
            "async ([names, state, k]) => { await adapter.move(names, state, k); }",
            [subject.names, state, k],
        )
        assert picture.screenshot() != before, subject.names[k]


def test_the_scenes_of_suppression() -> None:
    """What the benchmark's table says is kept, by all of its contenders."""
    import algorithms
    import numpy as np

    scenes = {1_875: algorithms.spread_boxes(2_000), 71: algorithms.clustered_boxes(2_000, 40),
              42: algorithms.clustered_boxes(2_000, 20)}  # fmt: skip
    for count, (boxes, scores) in scenes.items():
        kept = algorithms.nms(boxes, scores, 0.5)
        assert len(kept) == count
        for contender in (algorithms.opencv_nms, algorithms.nms_loops, algorithms.matrix_nms):
            np.testing.assert_array_equal(contender(boxes, scores, 0.5), kept)
