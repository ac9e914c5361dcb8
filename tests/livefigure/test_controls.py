"""Positions, words and defaults of every kind of control, and what is refused."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livefigure.controls import make_control
from livefigure.errors import LiveFigureError


@pytest.mark.parametrize(
    ("given_control", "kind", "values", "words", "default"),
    [
        (widgets.FloatSlider(value=0.2, min=0.1, max=0.3, step=0.1), "range",
         (0.1, 0.2, 0.3), ("0.1", "0.2", "0.3"), 1),
        (widgets.FloatLogSlider(value=0.1, min=-2, max=0, step=1), "range",
         (0.01, 0.1, 1.0), ("0.01", "0.1", "1"), 1),
        (widgets.IntSlider(value=3, min=1, max=5, step=2), "range", (1, 3, 5), ("1", "3", "5"), 1),
        (widgets.SelectionSlider(options=[("a", 1), ("b", 2)], value=2), "range",
         (1, 2), ("a", "b"), 1),
        (widgets.Dropdown(options=["x", "y"], value="y"), "select", ("x", "y"), ("x", "y"), 1),
        (widgets.ToggleButtons(options=["x", "y"]), "radio", ("x", "y"), ("x", "y"), 0),
        (widgets.Checkbox(value=True), "checkbox", (False, True), ("off", "on"), 1),
        (widgets.Play(value=0, min=0, max=2), "play", (0, 1, 2), ("0", "1", "2"), 0),
        ((0, 4, 2), "range", (0, 2, 4), ("0", "2", "4"), 1),
        ((0.0, 1.0, 0.5), "range", (0.0, 0.5, 1.0), ("0", "0.5", "1"), 1),
        (["a", "b"], "select", ("a", "b"), ("a", "b"), 0),
        (True, "checkbox", (False, True), ("off", "on"), 1),
    ],
)  # fmt: skip
def test_kinds(
    given_control: Any, kind: str, values: tuple[Any, ...], words: tuple[str, ...], default: int
) -> None:
    control = make_control("name", given_control)
    assert (control.kind, control.values) == (kind, values)
    assert (control.words, control.default) == (words, default)


@given(start=st.integers(-50, 50), count=st.integers(2, 60), decimals=st.integers(0, 4))
def test_slider_positions_are_the_widgets_own(start: int, count: int, decimals: int) -> None:
    step = 10.0**-decimals
    low = start * step
    slider = widgets.FloatSlider(value=low, min=low, max=low + (count - 1) * step, step=step)
    control = make_control("x", slider)
    assert len(control.values) == count
    for position, value in enumerate(control.values):
        slider.value = low + position * step  # what a browser's slider sends
        assert control.position(slider.value) == position
        assert len(str(value)) < 12, "rounding of a sum shows"


def test_description_and_format_are_kept() -> None:
    slider = widgets.FloatSlider(
        value=0.5, min=0, max=1, step=0.5, description="rate", readout_format=".0%"
    )
    control = make_control("lr", slider)
    assert control.label == "rate"
    assert control.words == ("0%", "50%", "100%")
    assert make_control("gradient_scale", (0, 1)).label == "gradient scale"


@pytest.mark.parametrize(
    ("given_control", "message"),
    [
        (widgets.Text(), "lr: Text cannot be a control; use FloatSlider"),
        (object(), "is no control: give a widget such as FloatSlider"),
        (widgets.FloatSlider(value=0.1, min=0.1, max=1.0, step=0.4), "does not divide 0.1 … 1"),
        (widgets.FloatSlider(value=0.15, min=0.1, max=0.3, step=0.1), "0.15 is no position"),
        (widgets.Dropdown(options=[]), "has no options"),
        (widgets.ToggleButtons(options=["a"]), "has only one position"),
        (widgets.Dropdown(options=["a"], value=None), "choose a default, for example value='a'"),
    ],
)
def test_refused(given_control: Any, message: str) -> None:
    with pytest.raises(LiveFigureError, match="lr") as caught:
        make_control("lr", given_control)
    assert message in str(caught.value)


def test_unknown_value_is_named() -> None:
    with pytest.raises(LiveFigureError, match="method has no value 'adam'"):
        make_control("method", ["sgd", "rmsprop"]).position("adam")
