"""One small figure for each kind of artist, and how it moves.

A kind draws into ``ax`` once and returns a function of the state, 0, 1 or 2, that moves it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import patches
from matplotlib.collections import LineCollection

from livefigure import style

Move = Callable[[int], Any]

X = np.linspace(0.0, 5.0, 30)
SQUARE = np.add.outer(np.arange(8.0), np.arange(8.0) ** 2) / 56


@dataclass(frozen=True)
class Kind:
    """A kind of artist.

    Attributes
    ----------
    draw : callable
        Takes axes and returns what moves the artist.
    limit : float
        The mean difference from matplotlib's own SVG that is allowed, of 255: an image or
        mathtext may differ more, as matplotlib resamples the one and we set the other in
        tenths of a pixel.
    projection : str or None
        That of the axes.
    """

    draw: Callable[[Any], Move]
    limit: float
    projection: str | None


KINDS: dict[str, Kind] = {}


def kind(limit: float = 0.2, projection: str | None = None) -> Callable[[Any], Any]:
    """Add a function to the kinds."""

    def add(draw: Callable[[Any], Move]) -> Callable[[Any], Move]:
        KINDS[draw.__name__] = Kind(draw, limit, projection)
        return draw

    return add


def fixed(ax: Any, high: float = 2.0) -> None:
    ax.set(xlim=(0, 5), ylim=(-2, high))


@kind()
def line(ax: Any) -> Move:
    fixed(ax)
    (drawn,) = ax.plot(X, X)
    ax.plot(X, np.where(X > 2, np.nan, np.cos(X)), "--")
    return lambda k: drawn.set_ydata(np.sin(X + k))


@kind()
def markers(ax: Any) -> Move:
    fixed(ax)
    drawn = [ax.plot(X[::4], 0 * X[::4], m, alpha=0.6)[0] for m in ("o-", "x", "^:", "D", "*")]
    return lambda k: [one.set_ydata(np.sin(X[::4] + k) - n / 3) for n, one in enumerate(drawn)]


@kind()
def markers_some(ax: Any) -> Move:
    fixed(ax)
    (drawn,) = ax.plot(X, X, "o-", markevery=5, markerfacecolor="none")
    return lambda k: drawn.set_ydata(np.sin(X + k))


@kind()
def steps(ax: Any) -> Move:
    fixed(ax)
    (drawn,) = ax.step(X, X, where="mid")
    return lambda k: drawn.set_ydata(np.sin(X + k))


@kind()
def scatter_moving(ax: Any) -> Move:
    fixed(ax)
    drawn = ax.scatter(X, X)
    return lambda k: drawn.set_offsets(np.c_[X, np.sin(X + k)])


@kind()
def scatter_color_and_size(ax: Any) -> Move:
    fixed(ax)
    drawn = ax.scatter(X, np.sin(X), c=X, s=30, edgecolor=style.INK, alpha=0.7)

    def move(k: int) -> None:
        drawn.set_array(np.roll(X, 5 * k))
        drawn.set_sizes(10 + 20 * np.abs(np.sin(X + k)))

    return move


@kind()
def bars(ax: Any) -> Move:
    drawn = ax.bar(["a", "b", "c"], [1, 2, 3], yerr=0.3, capsize=4)
    ax.bar_label(drawn)
    return lambda k: [bar.set_height((n + k) % 3 + 0.5) for n, bar in enumerate(drawn)]


@kind()
def histogram_bars(ax: Any) -> Move:
    _, edges, drawn = ax.hist(np.sin(X), bins=8, alpha=0.5)

    def move(k: int) -> None:
        counts, _ = np.histogram(np.sin(X + k), edges)
        for bar, count in zip(drawn, counts, strict=True):
            bar.set_height(count)

    return move


@kind()
def histogram_stairs(ax: Any) -> Move:
    counts, edges = np.histogram(np.sin(X), 8)
    drawn = ax.stairs(counts, edges, fill=True)
    ax.hist(np.sin(X), bins=8, histtype="step")
    return lambda k: drawn.set_data(np.histogram(np.sin(X + k), edges)[0])


@kind()
def texts(ax: Any) -> Move:
    fixed(ax)
    free = ax.text(1, 0, "free", rotation=30, ha="center", va="top", weight="bold")
    lines = ax.text(4, 1, "two\nlong lines", ha="right", style="italic")
    ax.set(xlabel="across", ylabel="up")
    ax.figure.suptitle("above all")

    def move(k: int) -> None:
        free.set_position((1 + k, k / 2))
        lines.set_text(f"two <&> {k}\nlong lines")
        ax.set_title(f"title {k}")

    return move


@kind(limit=0.5)
def mathtext(ax: Any) -> Move:
    fixed(ax)
    drawn = ax.text(1, 0, "", size=14)
    ax.text(1, -1, r"$\mathbf{W}x + \alpha_1 \leq \mathcal{L}$ and words", rotation=20)
    for n in range(5):
        # Enough slanted letters that upright ones would show in the mean.
        ax.text(0.1, 1.7 - 0.3 * n, r"$f a_1 b v w x y z f a_1 b v w x y z$", size=14)
    return lambda k: drawn.set_text(rf"$w_{k} = \frac{{{k}}}{{\sqrt{{x^2 + 1}}}}$")


@kind()
def annotation(ax: Any) -> Move:
    fixed(ax)
    drawn = ax.annotate("here", (1, 1), (3, 1), arrowprops={"arrowstyle": "->", "color": style.INK})

    def move(k: int) -> None:
        drawn.xy = (1 + k, -k / 2)

    return move


@kind()
def legend(ax: Any) -> Move:
    fixed(ax)
    (drawn,) = ax.plot(X, np.sin(X), "o-", label="sine")
    ax.scatter(X[::3], np.cos(X[::3]), label="cosine")
    ax.fill_between(X, -1, 1, alpha=0.2, label="band")
    box = ax.legend(loc="upper right", frameon=True)

    def move(k: int) -> None:
        drawn.set_ydata(np.sin(X + k))
        box.get_texts()[0].set_text(f"shift {k}")

    return move


@kind()
def table(ax: Any) -> Move:
    ax.axis("off")
    drawn = ax.table([["1", "2"], ["3", "4"]], colLabels=["a", "b"], loc="center")
    return lambda k: drawn[1, 0].get_text().set_text(str(k))


@kind()
def text_box(ax: Any) -> Move:
    fixed(ax)
    drawn = ax.text(1, 0, "boxed", bbox={"boxstyle": "round", "facecolor": style.PAPER})
    return lambda k: drawn.set_position((1 + k, k / 2))


@kind(limit=0.5)
def image_of_rects(ax: Any) -> Move:
    drawn = ax.imshow(SQUARE, vmin=0, vmax=1, interpolation="nearest")
    return lambda k: drawn.set_data(np.roll(SQUARE, k, axis=1))


@kind(limit=0.5)
def image_transparent(ax: Any) -> Move:
    ax.plot([0, 7], [0, 7])
    drawn = ax.imshow(SQUARE, vmin=0, vmax=1, alpha=0.5, origin="lower", interpolation="nearest")
    return lambda k: drawn.set_data(np.roll(SQUARE, k, axis=0))


@kind(limit=0.5)
def image_of_many_cells(ax: Any) -> Move:
    fine = np.kron(SQUARE, np.eye(4)) + np.tri(32) / 2
    fine[:3, 5:9] = np.nan
    ax.plot([0, 31], [0, 31], color=style.VERMILION)
    drawn = ax.imshow(fine, vmin=0, vmax=1.5, interpolation="nearest")
    return lambda k: drawn.set_data(np.roll(fine, 3 * k, axis=1))


@kind(limit=0.5)
def image_of_many_cells_transparent(ax: Any) -> Move:
    ax.plot([0, 19], [0, 19])
    drawn = ax.imshow(np.tri(20, 17), alpha=0.5, origin="lower", interpolation="nearest")
    return lambda k: drawn.set_data(np.roll(np.tri(20, 17), k, axis=0))


# matplotlib's own SVG shows the paper between its cells; ours does not.
@kind(limit=1.0)
def mesh_of_equal_cells(ax: Any) -> Move:
    drawn = ax.pcolormesh(np.arange(9), 2 * np.arange(9), SQUARE, vmin=0, vmax=1)
    ax.invert_xaxis()
    return lambda k: drawn.set_array(np.roll(SQUARE, k, axis=1))


@kind(limit=0.3)
def mesh_with_edges(ax: Any) -> Move:
    drawn = ax.pcolormesh(SQUARE, vmin=0, vmax=1, edgecolors=style.INK)
    return lambda k: drawn.set_array(np.roll(SQUARE, k, axis=0))


@kind()
def mesh(ax: Any) -> Move:
    drawn = ax.pcolormesh(np.arange(9), np.arange(9) ** 1.5, SQUARE, vmin=0, vmax=1)
    return lambda k: drawn.set_array(np.roll(SQUARE, k, axis=1))


@kind()
def quiver(ax: Any) -> Move:
    fixed(ax)
    x, y = np.meshgrid(np.arange(1, 5), np.arange(-1.0, 2))
    drawn = ax.quiver(x, y, y, x, scale=40)
    return lambda k: drawn.set_UVC(y + k, x - k)


@kind()
def band(ax: Any) -> Move:
    fixed(ax)
    drawn = ax.fill_between(X, -1, 1, alpha=0.4)
    return lambda k: drawn.set_data(X, np.sin(X + k) - 0.5, np.sin(X + k) + 0.5)


@kind()
def stem(ax: Any) -> Move:
    fixed(ax)
    drawn = ax.stem(X, np.sin(X))

    def move(k: int) -> None:
        y = np.sin(X + k)
        drawn.markerline.set_ydata(y)
        drawn.stemlines.set_segments([[(a, 0), (a, b)] for a, b in zip(X, y, strict=True)])

    return move


@kind()
def line_collection(ax: Any) -> Move:
    fixed(ax)
    drawn = LineCollection([], linewidths=[1, 3], colors=[style.BLUE, style.GREEN], linestyles=":")
    ax.add_collection(drawn)
    ax.axhline(1)
    ax.axvspan(1, 2, alpha=0.2)
    return lambda k: drawn.set_segments([np.c_[X, np.sin(X + k)], np.c_[X, np.cos(X + k)]])


@kind()
def shapes(ax: Any) -> Move:
    fixed(ax)
    circle = ax.add_patch(patches.Circle((1, 0), 0.5, facecolor=style.BLUE, alpha=0.5))
    polygon = ax.add_patch(patches.Polygon([(2, 0), (3, 0), (2, 1)], edgecolor=style.INK))
    wedge = ax.add_patch(patches.Wedge((4, -1), 0.6, 0, 90))

    def move(k: int) -> None:
        circle.set_center((1 + k, 0.2 * k))
        polygon.set_xy([(2, 0), (3, 0), (2, 1 - k)])
        wedge.set_theta2(90 + 60 * k)

    return move


@kind()
def arrow(ax: Any) -> Move:
    fixed(ax)
    drawn = ax.add_patch(patches.FancyArrowPatch((1, 0), (2, 1), mutation_scale=20))
    plain = ax.arrow(1, -1, 1, 0, width=0.1)

    def move(k: int) -> None:
        drawn.set_positions((1, 0), (2 + k, 1 - k))
        plain.set_data(dx=1 + k)

    return move


@kind()
def contour_before(ax: Any) -> Move:
    ax.contour(SQUARE)
    (drawn,) = ax.plot([1], [1], "o")
    return lambda k: drawn.set_xdata([1 + k])


@kind()
def contour_made(ax: Any) -> Move:
    ax.plot([0, 7], [0, 7], zorder=1)
    ax.plot([0, 7], [7, 0], linewidth=6, zorder=3)
    made: list[Any] = []

    def move(k: int) -> None:
        while made:
            made.pop().remove()
        made.append(ax.contour(np.roll(SQUARE, k, axis=1), linewidths=4, levels=5))

    return move


@kind()
def filled_contour_made(ax: Any) -> Move:
    ax.plot([0, 7], [0, 7], linewidth=6)
    made: list[Any] = []

    def move(k: int) -> None:
        while made:
            made.pop().remove()
        made.append(ax.contourf(SQUARE + k / 5, levels=np.linspace(0, 1.5, 6)))

    return move


@kind(limit=0.5)
def color_bar(ax: Any) -> Move:
    drawn = ax.imshow(SQUARE, interpolation="nearest")
    ax.figure.colorbar(drawn, ax=ax)
    return lambda k: drawn.set_clim(0, 1 + k)


@kind()
def limits(ax: Any) -> Move:
    ax.plot(X, np.sin(X))
    return lambda k: ax.set(xlim=(-k, 5 + k), ylim=(-1 - k, 1 + k))


@kind(limit=0.5)
def log_scale(ax: Any) -> Move:
    (drawn,) = ax.semilogy(X, np.exp(X))
    return lambda k: (drawn.set_ydata(np.exp(X * (k + 1))), ax.set_ylim(0.1, 10.0 ** (3 + k)))


# Its tick labels fall between pixels: some snap to another one than matplotlib's.
@kind(limit=0.5, projection="3d")
def three_dimensions(ax: Any) -> Move:
    ax.plot(X, np.sin(X), np.cos(X))
    ax.plot_surface(*np.meshgrid([0, 1, 2], [0, 1, 2]), SQUARE[:3, :3])
    return lambda k: ax.view_init(30, 30 + 20 * k)


@kind(projection="polar")
def polar(ax: Any) -> Move:
    (drawn,) = ax.plot(X, X)
    return lambda k: drawn.set_ydata(X * (1 + k) / 3)


@kind(limit=0.5)
def moving_clip(ax: Any) -> Move:
    hole = ax.add_patch(patches.Circle((3, 3), 2, facecolor="none", edgecolor=style.INK))
    drawn = ax.imshow(SQUARE, interpolation="nearest", clip_path=hole)
    (line_,) = ax.plot([0, 7], [7, 0], linewidth=4)
    drawn.set_clip_path(hole)
    line_.set_clip_path(hole)
    return lambda k: hole.set_center((2 + k, 3))


@kind()
def visibility(ax: Any) -> Move:
    fixed(ax)
    drawn = [ax.plot(X, np.sin(X + n), alpha=0.5)[0] for n in range(3)]
    return lambda k: [one.set_visible(n != k) for n, one in enumerate(drawn)]


@kind()
def twins(ax: Any) -> Move:
    fixed(ax)
    (drawn,) = ax.plot(X, np.sin(X))
    twin = ax.twinx()
    (other,) = twin.plot(X, np.exp(X), "--")
    return lambda k: (drawn.set_ydata(np.sin(X + k)), other.set_ydata(np.exp(X) / (k + 1)))


@kind()
def insets(ax: Any) -> Move:
    fixed(ax)
    inside = ax.inset_axes([0.6, 0.6, 0.35, 0.3])
    (drawn,) = inside.plot(X, X)
    return lambda k: drawn.set_ydata(X * k)


@kind()
def pie(ax: Any) -> Move:
    wedges, *_ = ax.pie([1, 2, 3], labels=["a", "b", "c"])
    return lambda k: wedges[0].set_radius(1 - k / 4)


@kind()
def boxes_and_violins(ax: Any) -> Move:
    ax.boxplot([X, X**1.2])
    ax.violinplot([X, X**1.2], positions=[3, 4])
    (drawn,) = ax.plot([1], [1], "o")
    return lambda k: drawn.set_xdata([1 + k])


@kind()
def extremes(ax: Any) -> Move:
    fixed(ax)
    (drawn,) = ax.plot(X, X, "o-")
    dots = ax.scatter(X, X)
    far = [np.exp(60 * X), np.where(X > 2, np.nan, 1e300), np.where(X > 2, np.inf, -1e6 * X)]
    return lambda k: (drawn.set_ydata(far[k]), dots.set_offsets(np.c_[X, far[k] / 1e6]))
