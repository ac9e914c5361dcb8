"""Drawing artist by artist gives what matplotlib draws, and misses no change."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from livefigure import style
from livefigure.fragments import EMPTY, Tables, render
from livefigure.recorder import Recorder
from livefigure.stage import Stage


def everything() -> Figure:
    """A figure with an artist of nearly every kind."""
    fig, axs = plt.subplots(2, 3, figsize=(9, 6))
    line, scatter, bars, text, image, rest = axs.flat
    x = np.linspace(0, 5, 20)
    line.plot(x, np.sin(x), "o-", label="sine")
    line.plot(x, np.where(x > 2, np.nan, np.cos(x)), "--", alpha=0.5, label="cosine")
    line.legend()
    line.set_title("lines")
    scatter.scatter(x, x**2, c=x, s=20 + 10 * x)
    scatter.scatter(x, -x, color=style.VERMILION)
    scatter.twinx().plot(x, np.exp(x))
    bars.bar([1, 2, 3], [3, -1, 2])
    bars.hist([1, 2, 2, 3], bins=3, alpha=0.4)
    bars.annotate("peak", (1, 3), (2, 2.5), arrowprops={"arrowstyle": "->"})
    text.text(0.5, 0.5, r"$\frac{a}{b}$ and $w_1$", rotation=30)
    text.text(0.1, 0.1, "two\nlines", bbox={"boxstyle": "round", "facecolor": style.PAPER})
    shown = image.imshow(np.arange(12).reshape(3, 4))
    fig.colorbar(shown, ax=image)
    rest.fill_between(x, x, x + 1, alpha=0.3)
    rest.contour(np.add.outer(x, x))
    rest.quiver([1, 2], [1, 2], [1, 0], [0, 1])
    rest.inset_axes([0.6, 0.6, 0.3, 0.3]).plot([0, 1])
    return fig


def texts(stage: Stage) -> str:
    return "".join(render(fragment, stage.tables) for fragment in stage.draw())


class Whole(Recorder):
    """Draws a figure in one go, images by cells as the stage does."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(*stage.size, "f", Tables())
        self.stage = stage


def test_slot_by_slot_is_the_whole_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage walks in matplotlib's own order: nothing is left out, doubled or moved."""
    fig = everything()
    stage = Stage(fig, "f")
    stage.freeze()
    by_slot = texts(stage)
    whole = Whole(stage)

    def cells(image: Any, renderer: Recorder) -> None:
        kept, stage.recorder = stage.recorder, renderer
        stage._image(image)
        stage.recorder = kept

    monkeypatch.setattr("matplotlib.image.AxesImage.draw", cells)
    whole.start(0)
    fig.draw(whole)
    in_one = render(whole.finish(), whole.tables)

    def plain(text: str) -> str:
        # Only the stage draws color bars with crisp edges.
        text = re.sub(r'<g shape-rendering="crispEdges">(<g clip.*?</g>)</g>', r"\1", text)
        return re.sub(r"f-(clip)?[\d-]+", "id", text)

    assert plain(by_slot) == plain(in_one)
    assert len(by_slot) > 20_000


def simple() -> tuple[Figure, Any]:
    fig, ax = plt.subplots()
    return fig, ax


MUTATIONS: dict[str, Callable[[Any], Callable[[], None]]] = {}


def mutation(make: Callable[[Any], Callable[[], None]]) -> Callable[[Any], Callable[[], None]]:
    MUTATIONS[make.__name__] = make
    return make


@mutation
def line_in_place(ax: Any) -> Callable[[], None]:
    (line,) = ax.plot([0.0, 1.0], [0.0, 1.0])
    return lambda: line.get_ydata(orig=False).__setitem__(slice(None), [1.0, 0.5])


@mutation
def offsets_in_place(ax: Any) -> Callable[[], None]:
    dots = ax.scatter([0.0, 1.0], [0.0, 1.0])
    return lambda: dots.get_offsets().__setitem__(0, (0.5, 0.5))


@mutation
def scatter_colors(ax: Any) -> Callable[[], None]:
    dots = ax.scatter([0, 1], [0, 1], c=[0.0, 1.0])
    return lambda: dots.set_array(np.array([1.0, 0.0]))


@mutation
def image_in_place(ax: Any) -> Callable[[], None]:
    image = ax.imshow(np.eye(3), vmin=0, vmax=1)
    return lambda: image.get_array().__setitem__((0, 1), 1.0)


@mutation
def annotation_target(ax: Any) -> Callable[[], None]:
    note = ax.annotate("a", (0.2, 0.2), (0.5, 0.5), arrowprops={"arrowstyle": "->"})
    return lambda: setattr(note, "xy", (0.8, 0.2))


@mutation
def legend_text(ax: Any) -> Callable[[], None]:
    ax.plot([0, 1], label="before")
    legend = ax.legend()
    return lambda: legend.get_texts()[0].set_text("after")


@mutation
def polygon_in_place(ax: Any) -> Callable[[], None]:
    (patch,) = ax.fill([0.0, 1.0, 1.0], [0.0, 0.0, 1.0])
    return lambda: patch.get_xy().__setitem__(1, (0.5, 0.5))


@mutation
def limits(ax: Any) -> Callable[[], None]:
    ax.plot([0, 1])
    return lambda: ax.set_xlim(0, 7)


@mutation
def tick_labels(ax: Any) -> Callable[[], None]:
    ax.plot([0, 1])
    return lambda: ax.set_xticks([0, 1], ["zero", "one"])


@mutation
def axis_label(ax: Any) -> Callable[[], None]:
    ax.plot([0, 1])
    return lambda: ax.set_xlabel("step")


@mutation
def title(ax: Any) -> Callable[[], None]:
    ax.set_title("before")
    return lambda: ax.set_title("after")


@mutation
def text_color(ax: Any) -> Callable[[], None]:
    note = ax.text(0.5, 0.5, "a")
    return lambda: note.set_color(style.BLUE)


@mutation
def text_moved_by_limits(ax: Any) -> Callable[[], None]:
    ax.axis("off")  # nothing but the text can tell
    ax.text(0.5, 0.5, "a")
    return lambda: ax.set_xlim(0, 7)


@mutation
def text_moved_by_scale(ax: Any) -> Callable[[], None]:
    ax.axis("off")
    ax.set_xlim(0.1, 10)
    ax.text(0.5, 0.5, "a")
    return lambda: ax.set_xscale("log")


@mutation
def text_at_category(ax: Any) -> Callable[[], None]:
    ax.bar(["one", "two"], [1, 2])
    note = ax.text("one", 1, "a")
    return lambda: note.set_x("two")


@mutation
def font_in_place(ax: Any) -> Callable[[], None]:
    note = ax.text(0.5, 0.5, "a")
    return lambda: note.get_fontproperties().set_size(20)


@mutation
def clip_of_text(ax: Any) -> Callable[[], None]:
    note = ax.text(0.5, 0.5, "a")
    return lambda: note.set_clip_on(True)


@mutation
def color_in_place(ax: Any) -> Callable[[], None]:
    color = [1.0, 0.0, 0.0]
    ax.text(0.5, 0.5, "a", color=color)
    return lambda: color.__setitem__(0, 0.0)


@mutation
def ground(ax: Any) -> Callable[[], None]:
    return lambda: ax.set_facecolor(style.BLUE)


@mutation
def spine_color(ax: Any) -> Callable[[], None]:
    return lambda: ax.spines["left"].set_color(style.BLUE)


@mutation
def spine_at_value(ax: Any) -> Callable[[], None]:
    ax.spines["left"].set_position(("data", 0.5))
    ax.xaxis.set_visible(False)
    return lambda: ax.set_xlim(0, 7)


@mutation
def axes_moved(ax: Any) -> Callable[[], None]:
    ax.axes.xaxis.set_visible(False)
    return lambda: ax.set_position([0.3, 0.3, 0.4, 0.4])


@mutation
def visibility(ax: Any) -> Callable[[], None]:
    (line,) = ax.plot([0, 1])
    return lambda: line.set_visible(False)


@mutation
def bar_height(ax: Any) -> Callable[[], None]:
    bars = ax.bar([0, 1], [1, 2])
    return lambda: bars[0].set_height(1.5)


@mutation
def made_later(ax: Any) -> Callable[[], None]:
    ax.set_ylim(0, 1)
    return lambda: ax.plot([0, 1], [0.2, 0.8])


@mutation
def removed(ax: Any) -> Callable[[], None]:
    (line,) = ax.plot([0, 1])
    return lambda: line.remove()


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_change_is_seen(name: str) -> None:
    fig, ax = simple()
    change = MUTATIONS[name](ax)
    stage = Stage(fig, "f")
    stage.freeze()
    before = stage.draw()
    assert stage.draw() == before, "drawing twice differs"
    change()
    after = stage.draw()
    assert after != before
    assert stage.draw() == after
    fresh = Stage(fig, "f")
    if len(fresh.slots) == len(stage.slots):
        shown, anew = (re.sub(r"f-clip\d+", "clip", texts(drawn)) for drawn in (stage, fresh))
        assert shown == anew, "something was repeated that had changed"


def test_axis_is_drawn_once_while_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    fig, ax = simple()
    (line,) = ax.plot([0, 1])
    ax.set_title("title")
    stage = Stage(fig, "f")
    stage.freeze()
    stage.draw()
    stage.draw()
    drawn: list[Any] = []
    monkeypatch.setattr("matplotlib.axis.Axis.draw", lambda self, renderer: drawn.append(self))
    line.set_ydata([1, 0])
    stage.draw()
    assert not drawn


def test_invisible_artists_draw_nothing() -> None:
    fig, ax = simple()
    (line,) = ax.plot([0, 1])
    line.set_visible(False)
    stage = Stage(fig, "f")
    stage.freeze()
    drawn = [f for slot, f in zip(stage.slots, stage.draw(), strict=True) if slot.kind == "Line2D"]
    assert drawn == [EMPTY]


@pytest.mark.parametrize("origin", ["upper", "lower"])
@pytest.mark.parametrize("flip", [False, True])
def test_image_cells_stand_where_matplotlib_puts_them(origin: Any, flip: bool) -> None:
    """Each cell's color equals the pixel that Agg paints at the cell's center."""
    fig, ax = plt.subplots(figsize=(4, 3), layout="none")
    data = np.arange(6.0).reshape(2, 3)
    ax.imshow(data, origin=origin, aspect="auto", interpolation="nearest")
    ax.set_axis_off()
    if flip:
        ax.invert_xaxis()
    stage = Stage(fig, "f")
    stage.freeze()
    found = re.findall(
        r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)" fill="(#\w{6})"/>',
        texts(stage),
    )
    assert len(found) == 6
    fig.canvas.draw()
    pixels = np.asarray(fig.canvas.buffer_rgba())  # type: ignore[attr-defined]
    for x, y, width, height, color in found:
        center = (int(float(y) + float(height) / 2), int(float(x) + float(width) / 2))
        assert mpl.colors.to_hex(pixels[center] / 255) == color


def test_no_style_attribute_and_no_sentinel() -> None:
    stage = Stage(everything(), "f")
    stage.freeze()
    text = texts(stage)
    assert " style=" not in text
    assert not any(sentinel in text for sentinel in style.SENTINELS)
    assert 'var(--ink)"' in text and 'var(--grid)"' in text


def test_no_colormap_yields_a_sentinel() -> None:
    for name in mpl.colormaps:
        colors = mpl.colormaps[name](np.arange(256), bytes=True)[:, :3]
        assert not {f"#{r:02x}{g:02x}{b:02x}" for r, g, b in colors} & set(style.SENTINELS)


def test_extreme_values_stay_finite_and_small() -> None:
    fig, ax = simple()
    (line,) = ax.plot([0, 1, 2, 3], [0, 1, 2, 3], "o-")
    ax.set_ylim(0, 1)
    stage = Stage(fig, "f")
    stage.freeze()
    line.set_ydata([0.5, 1e30, np.nan, -np.inf])
    for fragment in stage.draw():
        assert all(abs(value) <= 60_000 for value in fragment.ints)


def test_panels_cover_their_axes_and_share_with_color_bars() -> None:
    fig, (left, right) = plt.subplots(1, 2)
    shown = left.imshow(np.eye(3))
    bar = fig.colorbar(shown, ax=left)
    twin = right.twinx()
    stage = Stage(fig, "f")
    stage.freeze()
    assert len(stage.panels) == 2
    assert stage.panel_of(bar.ax) == stage.panel_of(left)
    assert stage.panel_of(twin) == stage.panel_of(right)
    for axes in (left, right):
        x, y, width, height = stage.panels[stage.panel_of(axes)].box
        box = axes.get_window_extent()
        assert x <= box.x0 and x + width >= box.x1 and width < stage.size[0] * 0.7
        assert y <= stage.size[1] - box.y1 and height >= box.height


def test_artists_made_later_have_ids_of_their_own() -> None:
    """Two marked lines in one layer: an id used twice would show one marker on both."""
    fig, ax = simple()
    ax.set(xlim=(0, 1), ylim=(0, 1))
    stage = Stage(fig, "f")
    stage.freeze()
    ax.plot([0, 1], [0, 1], "o", color=style.BLUE)
    ax.plot([0, 1], [1, 0], "s", color=style.GREEN)
    ids = re.findall(r'<marker id="([^"]+)"', texts(stage))
    assert len(ids) == len(set(ids))
