"""What the reference figures of the benchmarks cost, in what can be counted exactly."""

from __future__ import annotations

import gzip
import importlib.util
from typing import Any

import pytest
from support.book import ROOT

#: Gzipped bytes a state, captions, templates and tables included; and how many artists move.
LIMITS = {"momentum": (110, 2), "nms": (6, 20), "attention": (50, 204)}


@pytest.fixture(scope="module")
def figures() -> Any:
    """The module of reference figures."""
    place = ROOT / "benchmarks" / "figures.py"
    spec = importlib.util.spec_from_file_location("reference_figures", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", LIMITS)
def test_bytes_a_state(figures: Any, name: str) -> None:
    figure = figures.FIGURES[name]().bake()
    limit, moving = LIMITS[name]
    size = sum(len(gzip.compress(part.encode(), mtime=0)) for part in figure["parts"])
    assert size / figure["states"] <= limit
    assert figure["svg"].count("data-slot=") == moving


def test_a_text_is_drawn_once_for_each_look(figures: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The query is the outermost control, and none of the 192 numbers depends on it."""
    from livefigure.recorder import Recorder

    drawn: list[tuple[str, float, float]] = []
    draw_text = Recorder.draw_text

    def counted(self: Any, gc: Any, x: float, y: float, s: str, *rest: Any, **kw: Any) -> None:
        drawn.append((s, x, y))
        draw_text(self, gc, x, y, s, *rest, **kw)

    figure = figures.attention()
    monkeypatch.setattr(Recorder, "draw_text", counted)
    figure.bake()
    numbers = [entry for entry in drawn if entry[0][-1].isdigit() and "." in entry[0]]
    # 32 states of the other controls; a number may come back in another color.
    assert 192 < len(numbers) <= 192 * 32
