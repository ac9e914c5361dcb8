"""Controls: ipywidgets seen as lists of positions, the same in the kernel and on the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import ipywidgets as widgets
import numpy as np

from livefigure.errors import LiveFigureError

Kind = Literal["range", "select", "radio", "checkbox", "play"]


@dataclass(frozen=True)
class Control:
    """One parameter of a live figure.

    Attributes
    ----------
    name : str
        The parameter of the function, and the name of the input on the page.
    label : str
        What a reader sees.
    kind : str
        How it looks on the page.
    values : tuple
        Every value that the control can take, in order.
    words : tuple of str
        The values in words, as long as ``values``.
    default : int
        The position at the start.
    widget : ipywidgets.ValueWidget
        The same control in a notebook.
    interval : int
        Milliseconds between two steps, for ``play``.
    """

    name: str
    label: str
    kind: Kind
    values: tuple[Any, ...]
    words: tuple[str, ...]
    default: int
    widget: Any = field(compare=False)
    interval: int = 100

    def position(self, value: Any) -> int:
        """Return the position of a value; a slider's floats may be off by rounding."""
        if self.kind in ("range", "play") and isinstance(self.values[0], (int, float)):
            return int(np.argmin(np.abs(np.asarray(self.values, dtype=float) - float(value))))
        for k, known in enumerate(self.values):
            if known is value or _equal(known, value):
                return k
        raise LiveFigureError(f"{self.name} has no value {value!r}: use one of {self.words}")


def make_control(name: str, given: Any) -> Control:
    """Return the control for one keyword argument of ``live``.

    Parameters
    ----------
    name : str
        Name of the parameter.
    given : ipywidgets widget, tuple, list, dict or bool
        A widget, or one of the abbreviations that ``ipywidgets.interact`` knows.

    Raises
    ------
    LiveFigureError
        If nothing on a page can stand for *given*, or its positions are no list.
    """
    widget = given if isinstance(given, widgets.Widget) else _from_abbreviation(name, given)
    for kind, reader in _READERS.items():
        if type(widget) is kind:
            control = reader(name, widget)
            if len(control.values) < 2:
                raise LiveFigureError(f"{name} has only one position: a control needs two or more")
            return control
    known = ", ".join(kind.__name__ for kind in _READERS)
    raise LiveFigureError(f"{name}: {type(widget).__name__} cannot be a control; use {known}")


def _from_abbreviation(name: str, given: Any) -> Any:
    widget = widgets.interactive.widget_from_abbrev(given)
    if widget is None:
        raise LiveFigureError(
            f"{name}={given!r} is no control: give a widget such as FloatSlider, a range "
            "(low, high, step), a list of options, or True or False"
        )
    return widget


def _label(name: str, widget: Any) -> str:
    return str(widget.description or name.replace("_", " "))


def _stepped(name: str, low: float, high: float, step: float) -> int:
    """Return the number of positions of a slider."""
    if not step or step < 0:
        raise LiveFigureError(f"{name}: step must be above 0, got {step!r}")
    steps = (high - low) / step
    if not math.isclose(steps, round(steps), rel_tol=0, abs_tol=1e-6):
        raise LiveFigureError(
            f"{name}: step {step:g} does not divide {low:g} … {high:g} into whole steps, so the "
            f"last position would differ from slider to slider; end at {low + step * int(steps):g}"
        )
    return round(steps) + 1


def _clean(value: float) -> float:
    """Drop what adding up steps leaves behind: 0.15000000000000002 is 0.15."""
    return float(f"{value:.12g}")


def _say(value: float, widget: Any, standard: str) -> str:
    """Return a number in words: by the widget's own format if it was given one."""
    form = widget.readout_format
    if form == standard:
        return f"{value:.10g}"
    try:
        return format(value, form)
    except ValueError:  # a form that d3 knows and Python does not
        return f"{value:.10g}"


def _on_grid(name: str, values: Sequence[float], value: float, step: float) -> int:
    nearest = int(np.argmin(np.abs(np.asarray(values) - value)))
    if abs(values[nearest] - value) > 1e-6 * max(step, abs(value)):
        raise LiveFigureError(
            f"{name}: the default {value:g} is no position of the slider; "
            f"the nearest is {values[nearest]:g}"
        )
    return nearest


def _float_slider(name: str, widget: Any) -> Control:
    count = _stepped(name, widget.min, widget.max, widget.step)
    values = tuple(_clean(widget.min + k * widget.step) for k in range(count))
    default = _on_grid(name, values, widget.value, widget.step)
    words = tuple(_say(value, widget, ".2f") for value in values)
    return Control(name, _label(name, widget), "range", values, words, default, widget)


def _log_slider(name: str, widget: Any) -> Control:
    count = _stepped(name, widget.min, widget.max, widget.step)
    exponents = [_clean(widget.min + k * widget.step) for k in range(count)]
    values = tuple(_clean(widget.base**exponent) for exponent in exponents)
    given = math.log(widget.value) / math.log(widget.base)
    default = _on_grid(name, exponents, given, widget.step)
    words = tuple(_say(value, widget, ".3g") for value in values)
    words = tuple(f"{value:.3g}" for value in values) if widget.readout_format == ".3g" else words
    return Control(name, _label(name, widget), "range", values, words, default, widget)


def _int_slider(name: str, widget: Any, kind: Kind = "range") -> Control:
    count = _stepped(name, widget.min, widget.max, widget.step)
    values = tuple(widget.min + k * widget.step for k in range(count))
    default = int(_on_grid(name, values, widget.value, widget.step))
    if kind == "play":
        words = tuple(str(value) for value in values)
        return Control(
            name, _label(name, widget), kind, values, words, default, widget, widget.interval
        )
    words = tuple(_say(value, widget, "d") for value in values)
    return Control(name, _label(name, widget), kind, values, words, default, widget)


def _play(name: str, widget: Any) -> Control:
    return _int_slider(name, widget, "play")


def _chooser(kind: Kind) -> Callable[[str, Any], Control]:
    def read(name: str, widget: Any) -> Control:
        words = tuple(str(word) for word in widget._options_labels)
        values = tuple(widget._options_values)
        if not values:
            raise LiveFigureError(f"{name}: {type(widget).__name__} has no options")
        if widget.index is None:
            raise LiveFigureError(f"{name}: choose a default, for example value={values[0]!r}")
        return Control(name, _label(name, widget), kind, values, words, widget.index, widget)

    return read


def _checkbox(name: str, widget: Any) -> Control:
    return Control(
        name, _label(name, widget), "checkbox", (False, True), ("off", "on"),
        int(bool(widget.value)), widget,
    )  # fmt: skip


_READERS: dict[type, Callable[[str, Any], Control]] = {
    widgets.FloatSlider: _float_slider,
    widgets.FloatLogSlider: _log_slider,
    widgets.IntSlider: _int_slider,
    widgets.SelectionSlider: _chooser("range"),
    widgets.Dropdown: _chooser("select"),
    widgets.ToggleButtons: _chooser("radio"),
    widgets.Checkbox: _checkbox,
    widgets.Play: _play,
}


def _equal(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except (TypeError, ValueError):
        return False
