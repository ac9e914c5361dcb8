"""A live figure in a notebook: ipywidgets, and a view that takes only what changed."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets as widgets
import traitlets

from livefigure import assets
from livefigure.controls import Control
from livefigure.fragments import Fragment, parse

if TYPE_CHECKING:
    from livefigure.figure import LiveFigure


def _style() -> str:
    """Return the page's style with the font inside: a notebook has no folder to serve it from."""
    font = base64.b64encode(assets.font().read_bytes()).decode()
    return assets.style(font_url=f"data:font/woff2;base64,{font}") + assets.NOTEBOOK_COLORS


class PictureView(anywidget.AnyWidget):
    """The picture and caption of one live figure."""

    _esm = assets.script("picture.js", "notebook.js")
    _css = _style()
    svg = traitlets.Unicode().tag(sync=True)
    caption = traitlets.Unicode().tag(sync=True)

    def __init__(self, figure: LiveFigure) -> None:
        super().__init__(svg=figure.svg(), caption=figure.caption)
        self._figure = figure
        self._first = list(figure.fragments)
        self._templates: dict[str, int] = {}
        self._sent = dict.fromkeys(("templates", "strings", "colors", "clips"), 0)
        self.on_msg(self._answer)

    def update(self, before: Sequence[Fragment]) -> None:
        """Send the slots that differ from *before*, and the caption."""
        now = self._figure.fragments
        self._send_slots([k for k, pair in enumerate(zip(before, now, strict=True))
                          if pair[0] != pair[1]])  # fmt: skip

    def _answer(self, _: Any, content: dict[str, Any], buffers: Any) -> None:
        if content.get("kind") == "ready":
            # A new view shows the first frame and knows no table.
            self._sent = dict.fromkeys(self._sent, 0)
            now = self._figure.fragments
            self._send_slots([k for k, first in enumerate(self._first) if first != now[k]])
        elif content.get("kind") == "move":
            self._figure.move(content["positions"])

    def _send_slots(self, slots: Sequence[int]) -> None:
        fragments = self._figure.fragments
        rows = []
        for slot in slots:
            template, ints = fragments[slot]
            number = self._templates.setdefault(template, len(self._templates))
            rows.append([slot, number, list(ints)])
        message = {
            "kind": "draw",
            "tables": self._new_entries(),
            "slots": rows,
            "caption": self._figure.caption,
        }
        self.send(message)

    def _new_entries(self) -> dict[str, Any]:
        """Return what was added to each table since the last message, and where it begins."""
        stage = self._figure.stage
        tables: dict[str, list[Any]] = {
            "strings": list(stage.tables.strings),
            "colors": list(stage.tables.colors),
            "templates": [parse(template) for template in self._templates],
            "clips": [
                [name, parse(shape.template), list(shape.ints)]
                for name, shape in stage.recorder.definitions.items()
            ],
        }
        added = {key: [self._sent[key], rows[self._sent[key] :]] for key, rows in tables.items()}
        self._sent = {key: len(rows) for key, rows in tables.items()}
        return added


def layout(controls: dict[str, Control], view: PictureView) -> widgets.VBox:
    """Return the controls above the picture."""
    return widgets.VBox([*(_row(control) for control in controls.values()), view])


def _row(control: Control) -> Any:
    widget = control.widget
    if control.kind != "play":
        widget.description = control.label
        widget.style.description_width = "10em"
        widget.layout.width = "auto" if control.kind in ("radio", "checkbox") else "min(100%, 40em)"
        if control.kind == "radio":
            widget.style.button_width = "auto"
        if control.kind == "range" and hasattr(widget, "readout_format"):
            widget.readout_format = _precise(control, widget.readout_format)
        return widget
    slider = widgets.IntSlider(
        min=widget.min, max=widget.max, step=widget.step, description=control.label
    )
    widgets.jslink((widget, "value"), (slider, "value"))
    return widgets.HBox([widget, slider])


def _precise(control: Control, form: str) -> str:
    """Return a format that shows every position in full, where the standard one rounds."""
    if form != ".2f":
        return form
    places = max(len(word.partition(".")[2]) for word in control.words)
    return f".{places}f"
