"""The shared drawings: few points, the palette's colors, nothing outside its axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from numpy.testing import assert_allclose

from dlbook import plots
from livefigure import style


@pytest.fixture
def ax() -> Iterator[Axes]:
    with mpl.rc_context(style.rc()):
        fig, axes = plt.subplots()
        axes.set(xlim=(-3, 3), ylim=(-2, 2))
        yield axes
        plt.close(fig)


def test_contour_lies_on_its_levels(ax: Axes) -> None:
    lines = plots.contour(ax, lambda x, y: x**2 + 4 * y**2, [1, 4])
    for path, level in zip(lines.get_paths(), (1, 4), strict=True):
        x, y = np.asarray(path.vertices).T
        assert_allclose(x**2 + 4 * y**2, level, rtol=0.02)
        assert 20 < len(x) < 150
    assert same_color(lines.get_edgecolor()[0][:3], style.INK)
    assert (ax.get_xlim(), ax.get_ylim()) == ((-3, 3), (-2, 2))


def test_a_level_outside_the_limits_draws_nothing(ax: Axes) -> None:
    lines = plots.contour(ax, lambda x, y: x**2 + y**2, [1, 100])
    assert [np.size(path.vertices) > 0 for path in lines.get_paths()] == [True, False]


def rate_map(ax: Axes) -> list[Any]:
    x, y = np.linspace(-3, 3, 200), np.linspace(-2, 2, 150)
    rates = (np.abs(x) + 1) / 4 + np.abs(y)[:, None] / 8
    return plots.rate_map(
        ax, x, y, rates, limit=np.full(150, 2.5), levels=[0.5, 0.75], labels=[(0.9, 0), (1.9, 0)]
    )


def test_rate_map_has_straight_lines_of_few_points(ax: Axes) -> None:
    lines, *_ = rate_map(ax)
    for path, level in zip(lines.get_paths(), (0.5, 0.75), strict=True):
        x, y = path.vertices.T
        assert_allclose((np.abs(x) + 1) / 4 + np.abs(y) / 8, level, atol=0.01)
        assert len(x) < 60


def test_rate_map_labels_lines_and_marks_the_best(ax: Axes) -> None:
    _, first, second, region, border, best = rate_map(ax)
    assert {first.get_text(), second.get_text()} == {"0.5", "0.75"}
    assert same_color(region.get_facecolor()[0][:3], style.VERMILION)
    assert_allclose(border.get_xdata(), 2.5)
    assert len(border.get_xdata()) <= 60
    assert same_color(best.get_color(), style.GREEN)
    assert np.abs(best.get_xydata()).max() < 0.03


def test_lines_to_move_begin_empty(ax: Axes) -> None:
    for line in (plots.path(ax), plots.dot(ax)):
        assert len(line.get_xydata()) == 0
        assert same_color(line.get_color(), style.BLUE)
    assert not plots.dot(ax).get_clip_on()
    assert plots.note(ax, 0, 0).get_text() == ""
    assert plots.note(ax, 0, 0, "here", ha="right").get_horizontalalignment() == "right"
