"""What the tests ask of figures inside a notebook's kernel: move widgets, return drawings.

Nothing here opens a data file or calls the code that makes one.
"""

from __future__ import annotations

import itertools
import json
import random
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from livefigure import LiveFigure
from support.figures import WORDS

#: How many corners of the box of states are visited, and how many states in all.
CORNERS, STATES = 12, 25


def write(namespace: Mapping[str, Any], file: str) -> None:
    """Write what every figure of a notebook draws in sampled states, as JSON.

    The file holds, for each figure by name, a list of ``positions``, ``svg`` and ``caption``.
    After the samples come one state for each control, as :func:`steps` describes it.
    """
    found = {value.name: value for value in namespace.values() if isinstance(value, LiveFigure)}
    drawn = {name: draw(figure) for name, figure in found.items()}
    Path(file).write_text(json.dumps(drawn), encoding="utf-8")


def draw(figure: LiveFigure) -> list[dict[str, Any]]:
    """Return what a figure draws in sampled states."""
    first = {name: now(widget) for name, widget in figure.controls.items()}
    return [draw_at(figure, positions) for positions in sample(figure)] + steps(figure, first)


def draw_at(figure: LiveFigure, positions: Mapping[str, int]) -> dict[str, Any]:
    """Return what a figure draws with its widgets at positions."""
    for name, position in positions.items():
        put(figure.controls[name], position)
    return {"positions": dict(positions), "svg": figure.svg(), "caption": figure.caption}


def steps(figure: LiveFigure, first: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return what a figure draws when one control has moved by one position.

    It is the next one, and from the last the one before. Each state also names its ``control``,
    and ``before``: the positions from which that control alone was moved. They are the
    defaults; where no data change from there, as behind a switch, one control is elsewhere.
    """
    counts = {name: count(widget) for name, widget in figure.controls.items()}
    found = []
    for control in figure.controls:
        elsewhere = [{name: k} for name, n in counts.items() for k in (n - 1, 0)]
        for before in ({**first, **one} for one in ({}, *elsewhere)):
            start = draw_at(figure, before)
            step = 1 if before[control] < counts[control] - 1 else -1
            state = draw_at(figure, {**before, control: before[control] + step})
            if data(state["svg"]) != data(start["svg"]):
                break
        found.append({**state, "control": control, "before": before})
    return found


def data(svg: str) -> list[str]:
    """Return the markup of all artists of a drawing that show data."""
    return [
        ET.tostring(node, encoding="unicode")
        for node in ET.fromstring(svg).iter()
        if "data-slot" in node.attrib and node.attrib["data-kind"] not in WORDS
    ]


def sample(figure: LiveFigure) -> list[dict[str, int]]:
    """Return the default, corners and random states of a figure, the same in every run."""
    controls = figure.controls
    counts = [count(widget) for widget in controls.values()]
    chance = random.Random(figure.name)
    corners = list(itertools.product(*(sorted({0, n - 1}) for n in counts)))
    states = [tuple(now(widget) for widget in controls.values())]
    states += corners[:1] + chance.sample(corners, min(CORNERS, len(corners)))
    while len(states) < STATES:
        states.append(tuple(chance.randrange(n) for n in counts))
    return [dict(zip(controls, state, strict=True)) for state in dict.fromkeys(states)]


def count(widget: Any) -> int:
    """Return how many positions a widget has."""
    if isinstance(widget, widgets.Checkbox):
        return 2
    if hasattr(widget, "options"):
        return len(tuple(widget.options))
    steps: float = (widget.max - widget.min) / widget.step
    return round(steps) + 1


def now(widget: Any) -> int:
    """Return the position of a widget."""
    if isinstance(widget, widgets.Checkbox):
        return int(widget.value)
    if hasattr(widget, "options"):
        return int(widget.index)
    return min(range(count(widget)), key=lambda k: abs(_value(widget, k) - widget.value))


def put(widget: Any, position: int) -> None:
    """Move a widget to a position, as a hand on it would."""
    if isinstance(widget, widgets.Checkbox):
        widget.value = bool(position)
    elif hasattr(widget, "options"):
        widget.index = position
    else:
        widget.value = _value(widget, position)


def _value(widget: Any, position: int) -> Any:
    value = widget.min + position * widget.step
    return widget.base**value if isinstance(widget, widgets.FloatLogSlider) else value
