"""The HTML of a live figure: native controls, one inline SVG, the caption.

Other tools rely on its shape: ``<figure class="livefigure" id>`` with ``data-states``
holds one ``<form>`` whose inputs bear the parameters' names, one ``<svg>``, and the
``<figcaption>`` with the current caption. A range input carries the position, its
``aria-valuetext`` the words.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from livefigure.controls import Control
from livefigure.fragments import Fragment, number, render
from livefigure.outlines import tenths
from livefigure.stage import Stage

SVG = "http://www.w3.org/2000/svg"


@dataclass(frozen=True)
class Pad:
    """Axes in which a drag moves controls.

    Attributes
    ----------
    box : tuple of float
        Left, top, width, height in pixels of the figure.
    x, y : (str, list of float) or None
        The control that the direction moves, and where each of its positions lies.
    """

    panel: int
    box: tuple[float, float, float, float]
    x: tuple[str, list[float]] | None
    y: tuple[str, list[float]] | None


def picture(
    stage: Stage,
    fragments: Sequence[Fragment],
    pads: Sequence[Pad] = (),
    dynamic: Collection[int] | None = None,
    labelled_by: str | None = None,
    label: str | None = None,
) -> str:
    """Return one state as an ``<svg>``.

    Parameters
    ----------
    stage : Stage
        The figure.
    fragments : sequence of Fragment
        What each slot draws.
    pads : sequence of Pad
        Where a drag moves controls.
    dynamic : collection of int, optional
        Slots that get a ``<g data-slot>`` of their own; all, if not given.
    labelled_by : str, optional
        The id of the element whose text describes the picture.
    label : str, optional
        The description itself, where no element has it.
    """
    width, height = stage.size
    panels: dict[int, list[str]] = {}
    for slot, fragment in enumerate(fragments):
        where = stage.slots[slot]
        text = render(fragment, stage.tables)
        if dynamic is None or slot in dynamic:
            text = f'<g data-slot="{slot}" data-kind="{where.kind}">{text}</g>'
        panels.setdefault(where.panel, []).append(text)
    for index, pad in enumerate(pads):
        panels.setdefault(pad.panel, []).append(_pad(index, pad))
    body = "".join(
        f'<g data-panel="{panel}">{"".join(texts)}</g>' for panel, texts in sorted(panels.items())
    )
    clips = "".join(
        f'<clipPath id="{name}">{render(shape, stage.tables)}</clipPath>'
        for name, shape in stage.recorder.definitions.items()
    )
    boxes = " ".join(
        ",".join(number(tenths(side), 10) for side in panel.box) for panel in stage.panels
    )
    name = f' aria-labelledby="{labelled_by}"' if labelled_by else ""
    name += f' aria-label="{escape(label)}"' if label else ""
    return (
        f'<svg xmlns="{SVG}" role="img"{name} viewBox="0 0 {width:g} {height:g}"'
        f' width="{1.25 * width:g}" height="{1.25 * height:g}" data-panels="{boxes}"'
        f' font-family="DejaVu Sans, sans-serif"><defs>{clips}</defs>{body}</svg>'
    )


def _pad(index: int, pad: Pad) -> str:
    left, top, width, height = (number(tenths(side), 10) for side in pad.box)
    moves = {
        axis: [control, [round(place, 1) for place in places]]
        for axis, (control, places) in (("x", pad.x or ("", [])), ("y", pad.y or ("", [])))
        if control
    }
    return (
        f'<rect data-pad="{index}" data-moves="{escape(json.dumps(moves))}" x="{left}" y="{top}"'
        f' width="{width}" height="{height}" fill="none" pointer-events="all"/>'
    )


def form(name: str, controls: Mapping[str, Control]) -> str:
    """Return the controls as a form, hidden until the page's script shows it."""
    rows = "".join(_row(name, control) for control in controls.values())
    return (
        f'<form hidden autocomplete="off" aria-label="Controls of {escape(name)}">{rows}'
        '<button type="reset">Reset</button></form>'
    )


def _row(name: str, control: Control) -> str:
    """Return a label, a field, and the value in words."""
    ident = f"{name}-{control.name}"
    label = escape(control.label)
    field = _FIELDS[control.kind](ident, control)
    if control.kind == "radio":
        return f'<div class="livefigure-row"><span id="{ident}">{label}</span>{field}</div>'
    return f'<div class="livefigure-row"><label for="{ident}">{label}</label>{field}</div>'


def _range(ident: str, control: Control) -> str:
    words = escape(json.dumps(control.words, ensure_ascii=False))
    now = escape(control.words[control.default])
    play = ""
    if control.kind == "play":
        play = (
            f'<button type="button" data-play="{control.name}"'
            f' data-interval="{control.interval}">Play</button>'
        )
    # The slider says its own value: an output would announce it a second time.
    return (
        f'<output for="{ident}" aria-hidden="true">{now}</output>'
        f'<span><input type="range" id="{ident}" name="{control.name}" min="0"'
        f' max="{len(control.values) - 1}" step="1" value="{control.default}"'
        f' aria-valuetext="{now}" data-words="{words}">{play}</span>'
    )


def _select(ident: str, control: Control) -> str:
    options = "".join(
        f'<option value="{k}"{" selected" if k == control.default else ""}>{escape(word)}</option>'
        for k, word in enumerate(control.words)
    )
    return f'<span><select id="{ident}" name="{control.name}">{options}</select></span>'


def _radio(ident: str, control: Control) -> str:
    options = "".join(
        f'<label><input type="radio" name="{control.name}" value="{k}"'
        f"{' checked' if k == control.default else ''}><span>{escape(word)}</span></label>"
        for k, word in enumerate(control.words)
    )
    return f'<span role="radiogroup" aria-labelledby="{ident}">{options}</span>'


def _checkbox(ident: str, control: Control) -> str:
    checked = " checked" if control.default else ""
    name = f'id="{ident}" name="{control.name}"'
    return f'<span><input type="checkbox" {name} value="1"{checked}></span>'


_FIELDS: dict[str, Any] = {
    "range": _range,
    "play": _range,
    "select": _select,
    "radio": _radio,
    "checkbox": _checkbox,
}


def figure(name: str, *, form: str, svg: str, caption: str, states: int, sources: str) -> str:
    """Return the whole figure.

    Parameters
    ----------
    name : str
        The id.
    form, svg : str
        Controls and first frame.
    caption : str
        The caption of the first frame, plain text.
    states : int
        How many states there are.
    sources : str
        The addresses of the data files, separated by spaces.
    """
    return (
        f'<figure class="livefigure" id="{name}" data-states="{states}" data-src="{sources}"'
        f' data-state="waiting">{form}{svg}'
        f'<figcaption id="{name}-caption">{escape(caption)}</figcaption></figure>'
    )


def still(svg: str) -> str:
    """Return a picture without controls, as it stands on a page."""
    return f'<div class="livefigure-still">{svg}</div>'
