"""The decorator: what it refuses, what it bakes, and that it follows its widgets."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patheffects import Stroke
from support.javascript import Decoder

from livefigure import LiveFigure, LiveFigureError, UnsupportedArtist, live
from livefigure.bake import PROGRESS
from livefigure.figure import BAKE, MIME


def wave(max_states: int = 3000, **controls: Any) -> LiveFigure:
    """A figure with two controls: a line, its markers, a title and a caption follow them."""
    fig, ax = plt.subplots()
    x = np.linspace(0, 6, 30)
    (line,) = ax.plot(x, np.sin(x), "o-")
    ax.set_ylim(-2, 2)
    made = controls or {"height": (0.5, 1.5, 0.5), "turns": [1, 2]}

    @live(fig, max_states=max_states, **made)
    def waves(height: float, turns: int) -> str:
        line.set_ydata(height * np.sin(turns * x))
        ax.set_title(f"{turns} turns")
        return f"Height {height:g}, turns {turns}."

    return waves


def test_follows_its_widgets() -> None:
    figure = wave()
    first = figure.svg()
    assert figure.caption == "Height 1, turns 1."
    figure.controls["height"].value = 1.5
    assert figure.caption == "Height 1.5, turns 1."
    assert figure.svg() != first
    figure.controls["height"].value = 1.0
    assert figure.svg() == first


def test_pages_show_what_the_kernel_draws() -> None:
    """Every state: what the page decodes equals what moving the widgets draws."""
    figure, other = wave(), wave()
    baked = figure.bake()
    assert baked["states"] == 6 == figure.states
    decoder = Decoder(baked["parts"])
    strings = list(other.stage.tables.strings)
    for state in itertools.product(range(3), range(2)):
        other.move(dict(zip(other.controls, state, strict=True)))
        strings = list(other.stage.tables.strings)
        colors = list(other.stage.tables.colors)
        shown = decoder.state(state)
        assert shown["caption"] == other.caption
        assert shown["slots"], "nothing moves"
        for slot, template, values in shown["slots"]:
            fragment = other.fragments[slot]
            assert json.loads(fragment.template) == template
            assert len(values) == len(fragment.ints)
            tables = [*strings, *colors]
            for value, number in zip(values, fragment.ints, strict=True):
                assert value == number or value in tables


def test_only_what_moves_is_stored() -> None:
    figure = wave()
    baked = figure.bake()
    kinds = {
        figure.stage.slots[slot].kind for slot, *_ in Decoder(baked["parts"]).state((0, 0))["slots"]
    }
    assert kinds == {"Line2D", "Text"}


def test_two_bakes_are_the_same_bytes() -> None:
    assert wave().bake() == wave().bake()
    figure = wave()
    figure.controls["height"].value = 1.5
    assert figure.bake() == wave().bake(), "a bake depends on what was shown before"


def test_hash_seeds_do_not_change_the_bytes() -> None:
    code = """
import matplotlib; matplotlib.use("agg")
import matplotlib.pyplot as plt
from livefigure import live
fig, ax = plt.subplots()
dots = ax.scatter([0, 1, 2], [0, 1, 2], label="dots")
text = ax.legend().get_texts()[0]
@live(fig, a=(0, 2), b=["x", "y"])
def several(a, b):
    dots.set_array([a, 1, 2])
    text.set_text(b)
    ax.set_xlim(-a, 3)
    return f"{a} {b}"
print(several.bake())
"""
    written = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(written) == 1
    assert len(written.pop()) > 5000


def test_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(BAKE, raising=False)
    kernel = wave()._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in kernel and MIME not in kernel
    monkeypatch.setenv(BAKE, "1")
    page = wave()._repr_mimebundle_()
    assert page[MIME]["id"] == "waves"
    assert page["image/svg+xml"].startswith("<svg ")
    assert json.loads(json.dumps(page[MIME])) == page[MIME]


def test_progress_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    target = tmp_path / "progress"
    monkeypatch.setenv(PROGRESS, str(target))
    wave().bake()
    assert target.read_text().splitlines()[-1] == "waves 6 6"


def test_pointer_moves_two_controls() -> None:
    fig, ax = plt.subplots()
    (dot,) = ax.plot([0.5], [0.1], "o")
    ax.set_xlim(0, 1)
    ax.set_yscale("log")
    ax.set_ylim(0.01, 1)

    @live(fig, pointer={ax: ("a", "b")}, a=(0.0, 1.0, 0.5),
          b=widgets.FloatLogSlider(value=0.1, min=-2, max=0, step=1))  # fmt: skip
    def place(a: float, b: float) -> None:
        dot.set_data([a], [b])

    pad = place.bake()["svg"]
    moves = json.loads(pad.split('data-moves="')[1].split('"')[0].replace("&quot;", '"'))
    for axis, name in (("x", "a"), ("y", "b")):
        assert moves[axis][0] == name
        steps = np.diff(moves[axis][1])
        assert np.allclose(steps, steps[0], atol=0.2), "the positions are even on these scales"
    assert moves["x"][1][0] < moves["x"][1][-1] and moves["y"][1][0] > moves["y"][1][-1]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda fig, ax: live("fig", a=True), "takes a matplotlib Figure, got 'fig'"),
        (lambda fig, ax: live(fig), "at least one control"),
        (lambda fig, ax: live(fig, max_states=5, a=(0, 2), b=(0, 1)),
         "a 3 × b 2 = 6 states, more than max_states=5: use larger steps or fewer controls"),
        (lambda fig, ax: live(fig, pointer={ax: ("a", "c")}, a=(0, 2)), "no control is named 'c'"),
        (lambda fig, ax: live(fig, pointer={ax: ("a", None)}, a=["x", "y"]), "a is a select"),
        (lambda fig, ax: live(fig, pointer={plt.figure().add_subplot(): ("a", None)}, a=(0, 2)),
         "is not one of the figure's axes"),
        (lambda fig, ax: live(fig, a=(0, 2))(lambda a: None), "cannot be the id of a figure"),
    ],
)  # fmt: skip
def test_refused_arguments(build: Callable[[Figure, Any], Any], message: str) -> None:
    fig, ax = plt.subplots()
    with pytest.raises(LiveFigureError) as caught:
        build(fig, ax)
    assert message in str(caught.value)


def test_refused_signatures() -> None:
    fig, _ = plt.subplots()

    def missing(a: int) -> None: ...
    def extra(a: int, b: int) -> None: ...
    def spread(**values: int) -> None: ...
    def Shouting(a: int) -> None: ...

    with pytest.raises(LiveFigureError, match="missing has no parameter for the control 'b'"):
        live(fig, a=True, b=True)(missing)
    with pytest.raises(LiveFigureError, match="extra: its parameter 'b' has no control"):
        live(fig, a=True)(extra)
    with pytest.raises(LiveFigureError, match=r"write its parameters out instead of \*values"):
        live(fig, a=True)(spread)
    with pytest.raises(LiveFigureError, match="Shouting cannot be the id"):
        live(fig, a=True)(Shouting)


def test_refused_return_values() -> None:
    fig, ax = plt.subplots()
    (line,) = ax.plot([0, 1])
    with pytest.raises(LiveFigureError, match=r"setter returned list .* return the caption"):

        @live(fig, a=(0, 2))
        def setter(a: int) -> Any:
            return [line.set_ydata([0, a])]


def history(kind: str) -> LiveFigure:
    fig, ax = plt.subplots()
    (line,) = ax.plot([0, 1])
    seen: list[int] = []
    rng = np.random.default_rng(0)

    @live(fig, a=(0, 5))
    def moody(a: int) -> str:
        seen.append(a)
        if kind == "keeps":
            line.set_ydata([0, len(seen)])
        elif kind == "adds":
            ax.plot([0, a])
        elif kind == "random":
            line.set_ydata([0, rng.normal()])
        else:
            return f"call {len(seen)}"
        return ""

    return moody


@pytest.mark.parametrize("kind", ["keeps", "adds", "random", "says"])
def test_history_is_found(kind: str) -> None:
    figure = history(kind)
    with pytest.raises(LiveFigureError, match="moody depends on its history: at position"):
        figure.bake()


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda ax: ax.bar([1], [2], hatch="/"), "Rectangle.*a hatch: use a plain fill"),
        (lambda ax: ax.pcolormesh(np.eye(3), shading="gouraud"), "QuadMesh.*gouraud"),
        (lambda ax: ax.imshow(np.eye(3), interpolation="bilinear"), "AxesImage.*bilinear"),
        (lambda ax: ax.imshow(np.eye(65)), "AxesImage.*65 × 65 cells: at most 4096"),
        (lambda ax: ax.text(0, 0, "x", usetex=True), "Text.*usetex=True"),
        (lambda ax: ax.plot([0, 1], sketch_params=(1, 1, 1)), "Line2D.*sketch"),
        (lambda ax: ax.fill_between([0, 1], [0, 1], hatch="/"), "FillBetween.*a hatch"),
        (lambda ax: ax.pcolormesh(np.eye(3), hatch="/"), "QuadMesh.*a hatch"),
        (lambda ax: ax.plot([0, 1], rasterized=True), "Line2D.*rasterized=True"),
        (lambda ax: ax.figure.figimage(np.eye(3)), "FigureImage.*use imshow"),
        (lambda ax: ax.text(0, 0, "x", path_effects=[Stroke()]), "Text.*path effects"),
        (lambda ax: ax.legend([ax.plot(0)[0]], ["a"]).get_texts()[0].set_path_effects([Stroke()]),
         "Legend.*path effects"),
        (lambda ax: ax.annotate("x", (0, 0), (1, 1), arrowprops={"path_effects": [Stroke()]}),
         "Text.*path effects"),
    ],
)  # fmt: skip
def test_artists_without_a_rule_are_named(draw: Callable[[Any], Any], message: str) -> None:
    fig, ax = plt.subplots(layout="none")
    (line,) = ax.plot([0, 1])
    draw(ax)
    with pytest.raises(UnsupportedArtist, match=f"cannot draw .*{message}"):

        @live(fig, a=(0, 2))
        def still(a: int) -> None:
            line.set_ydata([0, a])


def test_a_changing_z_order_is_named() -> None:
    fig, ax = plt.subplots()
    (line,) = ax.plot([0, 1])
    ax.plot([1, 0])

    with pytest.raises(UnsupportedArtist, match=r"cannot draw .*Line2D.*its z-order has changed"):

        @live(fig, a=(0, 2))
        def climbing(a: int) -> None:
            line.set_zorder(2 + a)


def test_a_text_far_outside_is_stored() -> None:
    fig, ax = plt.subplots(layout="none")
    text = ax.text(0, 0, "away")

    @live(fig, a=(0, 2))
    def away(a: int) -> None:
        text.set_position((10.0 ** (20 * a), 0))

    assert away.bake()["states"] == 3


def test_path_effects_are_named() -> None:
    from matplotlib.patheffects import withStroke

    fig, ax = plt.subplots()
    (line,) = ax.plot([0, 1], path_effects=[withStroke(linewidth=3)])
    with pytest.raises(UnsupportedArtist, match=r"Line2D.*path effects: leave them off"):

        @live(fig, a=(0, 2))
        def still(a: int) -> None:
            line.set_ydata([0, a])


def test_axes_under_a_pointer_must_stay() -> None:
    fig, ax = plt.subplots()

    with pytest.raises(LiveFigureError, match=r"the limits of .* move with the controls"):

        @live(fig, pointer={ax: ("a", None)}, a=(0, 3))
        def sliding(a: int) -> None:
            ax.set_xlim(0, 1 + a)

        sliding.controls["a"].value = 3
        sliding.bake()
