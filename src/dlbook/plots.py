"""The shared look of the book's drawings, on top of the palette of ``livefigure.style``.

One color has one meaning: blue for what the reader moves, vermilion for failure, green for the
goal, ink for everything that only explains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.text import Text
from numpy.typing import NDArray

from livefigure import style

Array = NDArray[np.floating[Any]]


def contour(
    ax: Axes, function: Callable[[Array, Array], Array], levels: Sequence[float]
) -> QuadContourSet:
    """Draw the level lines of a function of two variables, lightly.

    Parameters
    ----------
    ax : Axes
        With its limits set: the lines fill them.
    function : callable
        ``function(x, y)``, of two arrays of shape ``(rows, columns)``.
    levels : sequence of float
        The values on the lines, rising.
    """
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    x, y = np.meshgrid(np.linspace(left, right, 101), np.linspace(bottom, top, 101))
    ax.grid(visible=False)
    lines = ax.contour(
        x, y, function(x, y), levels, colors=style.INK, linewidths=0.8, alpha=0.3, zorder=1
    )
    _thin(lines, ax)
    return lines


def rate_map(
    ax: Axes,
    x: Array,
    y: Array,
    rates: Array,
    *,
    limit: Array,
    levels: Sequence[float],
    labels: Sequence[tuple[float, float]],
) -> list[Artist]:
    """Draw a map of convergence rates: labeled lines, the region that diverges, the best point.

    Parameters
    ----------
    ax : Axes
        With its limits set.
    x, y : array of float, shapes (columns,) and (rows,)
        Where the rates were computed; a fine grid costs nothing in the drawing.
    rates : array of float, shape (rows, columns)
        Below 1 where the iteration converges.
    limit : array of float, shape (rows,)
        The x from which on it does not.
    levels : sequence of float
        The rates on the lines, rising, below 1.
    labels : sequence of (float, float)
        Places near which the nearest line gets its label.

    Returns
    -------
    list of Artist
        All that was drawn, so that ``set_visible`` can switch between two maps.
    """
    ax.grid(visible=False)
    lines = ax.contour(x, y, rates, levels, colors=style.INK, linewidths=0.8, alpha=0.5, zorder=1)
    _thin(lines, ax)
    texts = lines.clabel(fontsize=8.5, fmt="%.2g", inline_spacing=2, manual=labels)
    for text in texts:
        text.set(rotation=0, alpha=1)
    edge = np.linspace(0, len(y) - 1, 40).astype(int)
    region = ax.fill_betweenx(
        y[edge], limit[edge], ax.get_xlim()[1],
        color=style.VERMILION, alpha=0.16, linewidth=0, zorder=0,
    )  # fmt: skip
    (border,) = ax.plot(limit[edge], y[edge], color=style.VERMILION, linewidth=1.4, zorder=1)
    row, column = np.unravel_index(np.argmin(rates), rates.shape)
    best = goal(ax, float(x[column]), float(y[row]))
    return [lines, *texts, region, border, best]


def path(ax: Axes) -> Line2D:
    """Return an empty line for the points of a run, each with a small dot."""
    (line,) = ax.plot([], [], "o-", color=style.BLUE, linewidth=1.1, markersize=2.8, zorder=3)
    return line


def dot(ax: Axes) -> Line2D:
    """Return a large dot with a rim, to be moved by ``set_data``; it may stand on the border."""
    (line,) = ax.plot(
        [], [], "o", color=style.BLUE, markeredgecolor=style.PAPER, markersize=9.5,
        markeredgewidth=1.2, clip_on=False, zorder=5,
    )  # fmt: skip
    return line


def goal(ax: Axes, x: float, y: float) -> Line2D:
    """Mark the place to reach."""
    (line,) = ax.plot(
        [x], [y], "P", color=style.GREEN, markersize=8, markeredgecolor=style.PAPER,
        markeredgewidth=0.8, zorder=2,
    )  # fmt: skip
    return line


def note(ax: Axes, x: float, y: float, text: str = "", *, ha: str = "left") -> Text:
    """Write a few words in an axes, in its data coordinates."""
    return ax.text(x, y, text, fontsize=9, ha=ha, va="center", zorder=6)


def _thin(lines: QuadContourSet, ax: Axes) -> None:
    """Drop the vertices that a straight stretch does not need: they all stand in the page."""
    to_data = ax.transData.inverted()
    thinned = []
    for compound in lines.get_paths():
        pieces = []
        for piece in compound.to_polygons(closed_only=False):
            clean = Path(piece).cleaned(ax.transData, simplify=True)
            pieces.append(Path(to_data.transform(clean.vertices)[:-1]))  # the last says: stop
        thinned.append(Path.make_compound_path(*pieces))
    lines.set_paths(thinned)
