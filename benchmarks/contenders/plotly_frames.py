"""Plotly frames: one for every state, which holds what changes, and one slider over them all.

Frames form one list, so the controls cannot be crossed: the slider runs through all states in
order, and a reader cannot hold one control while moving another. Each artist becomes the trace
that an author would choose: lines and patches a scatter, texts their points, images a heat map.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.colors import to_hex
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from contenders.subject import Built, Size, Subject

Trace = dict[str, Any]

#: What the slider's own method does: see ``args`` in _slider.
ADAPTER = """{
  ready() {
    this.plot = document.querySelector(".plotly-graph-div");
    return this.plot?._fullLayout && this.plot._transitionData?._frames.length === {frames};
  },
  move(names, state, k) {
    return Plotly.animate(this.plot, [String(state[0])], {options});
  },
}"""


def build(subject: Subject, folder: Path) -> Built:
    """Write a page with a frame for every state, and one with the first alone."""
    began = time.process_time()
    states = []
    for state in subject.all():
        subject.show(state)
        states.append([trace for ax in _axes(subject) for trace in _traces(*ax)])
    frames, redraw = _frames(states)
    options: dict[str, Any] = {
        "mode": "immediate",
        "frame": {"duration": 0, "redraw": redraw},
        "transition": {"duration": 0},
    }
    layout = _layout(subject)
    steps = [{"label": str(k), "method": "animate", "args": [[str(k)], options]}
             for k in range(len(frames))]  # fmt: skip
    moving = go.Figure(states[0], layout | {"sliders": [{"steps": steps}]}, frames)
    page, first = folder / "index.html", folder / "first.html"
    moving.write_html(page, include_plotlyjs=True, auto_play=False)
    seconds = time.process_time() - began
    go.Figure(states[0], layout).write_html(first, include_plotlyjs=True)
    whole, rest = (Size.of(path.read_bytes()) for path in (page, first))
    adapter = ADAPTER.replace("{frames}", str(len(frames))).replace(
        "{options}", json.dumps(options)
    )
    return Built(page, adapter, (len(frames),), (0,), seconds, whole - rest, rest)


def _frames(states: list[list[Trace]]) -> tuple[list[go.Frame], bool]:
    """Return frames of what differs between states, and whether Plotly has to draw all anew.

    Points of lines can be moved; everything else needs a redraw.
    """
    moving: dict[int, list[str]] = {}
    for number, first in enumerate(states[0]):
        keys = [key for key in first if any(state[number][key] != first[key] for state in states)]
        if keys:
            moving[number] = keys
    frames = [
        go.Frame(
            name=str(k),
            traces=list(moving),
            data=[
                {"type": state[number]["type"], **{key: state[number][key] for key in keys}}
                for number, keys in moving.items()
            ],
        )
        for k, state in enumerate(states)
    ]
    points = all(
        states[0][number]["type"] == "scatter" and set(keys) <= {"x", "y"}
        for number, keys in moving.items()
    )
    return frames, not points


def _axes(subject: Subject) -> Iterator[tuple[Axes, str]]:
    """Yield every axes with the suffix that Plotly gives its own."""
    for k, ax in enumerate(subject.drawing.axes):
        yield ax, str(k + 1) if k else ""


def _layout(subject: Subject) -> dict[str, Any]:
    width, height = subject.drawing.get_size_inches() * 90
    layout: dict[str, Any] = {
        "width": width, "height": height + 120, "showlegend": False, "template": "simple_white",
        "margin": {"l": 20, "r": 20, "t": 20, "b": 120},
    }  # fmt: skip
    for ax, suffix in _axes(subject):
        box = ax.get_position()
        sides = {"x": (ax.xaxis, ax.get_xlim(), box.intervalx, "y"),
                 "y": (ax.yaxis, ax.get_ylim(), box.intervaly, "x")}  # fmt: skip
        for side, (axis, limits, domain, other) in sides.items():
            is_log = axis.get_scale() == "log"
            layout[f"{side}axis{suffix}"] = {
                "type": "log" if is_log else "linear",
                "range": [float(v) for v in (np.log10(limits) if is_log else limits)],
                "domain": [float(v) for v in np.clip(domain, 0, 1)],
                "anchor": other + suffix,
                "title": {"text": axis.get_label_text()},
            }
    return layout


def _traces(ax: Axes, suffix: str) -> Iterator[Trace]:
    """Yield the traces of an axes, back to front; texts come last, as one."""
    place = {"xaxis": "x" + suffix, "yaxis": "y" + suffix}
    artists = [*ax.lines, *ax.patches, *ax.collections, *ax.images]
    for artist in sorted(artists, key=lambda found: found.get_zorder()):
        yield {**_trace(ax, artist), **place}
    # Titles are children too.
    texts = [child for child in ax.get_children() if isinstance(child, Text)]
    yield {**_labels(ax, texts), **place}


def _trace(ax: Axes, artist: Any) -> Trace:
    if isinstance(artist, AxesImage):
        return _heatmap(artist)
    if isinstance(artist, Line2D):
        return _line(ax, artist)
    if isinstance(artist, Patch):
        path = artist.get_patch_transform().transform_path(artist.get_path())
        filled = artist.get_fill()
        color = to_hex(artist.get_facecolor() if filled else artist.get_edgecolor())
        return _shape(artist, path.to_polygons(), color, artist.get_linewidth(), filled)
    if isinstance(artist, Collection):
        polygons = [p for path in artist.get_paths() for p in path.to_polygons(closed_only=False)]
        faces, edges = artist.get_facecolor(), artist.get_edgecolor()
        filled = len(faces) > 0 and faces[0][3] > 0
        color = to_hex((faces if filled else edges)[0])
        return _shape(artist, polygons, color, float(artist.get_linewidths()[0]), filled)
    raise TypeError(f"no trace for {artist!r}")


def _line(ax: Axes, line: Line2D) -> Trace:
    has_line, has_marker = line.get_linestyle() != "None", line.get_marker() != "None"
    mode = "+".join(["lines"] * has_line + ["markers"] * has_marker)
    points = line.get_data()
    if line.get_transform() != ax.transData:  # a line across the axes
        points = (
            ax.transData.inverted().transform(line.get_transform().transform(line.get_xydata())).T
        )
    x, y = (_numbers(side) for side in points)
    trace: Trace = {"type": "scatter", "x": x, "y": y, "mode": mode or "none",
                    "visible": line.get_visible(), "opacity": line.get_alpha() or 1}  # fmt: skip
    if has_line:
        trace["line"] = {"color": to_hex(line.get_color()), "width": line.get_linewidth()}
    if has_marker:
        color = to_hex(line.get_markerfacecolor())
        trace["marker"] = {"color": color, "size": 1.25 * line.get_markersize()}
    return trace


def _shape(artist: Any, polygons: list[Any], color: str, width: float, filled: bool) -> Trace:
    """Return outlines as one line with gaps."""
    points = [point for polygon in polygons for point in (*polygon, (np.nan, np.nan))][:-1]
    x, y = np.asarray(points).reshape(-1, 2).T
    trace = {
        "type": "scatter", "x": _numbers(x), "y": _numbers(y), "mode": "lines",
        "line": {"color": color, "width": width}, "visible": artist.get_visible(),
        "opacity": artist.get_alpha() or 1,
    }  # fmt: skip
    return trace | ({"fill": "toself", "fillcolor": color} if filled else {})


def _labels(ax: Axes, texts: list[Text]) -> Trace:
    to_data = ax.transData.inverted()
    places = [
        to_data.transform(text.get_transform().transform(text.get_unitless_position()))
        for text in texts
    ]
    sides = {"left": "right", "right": "left", "center": "center"}
    return {
        "type": "scatter", "mode": "text", "cliponaxis": False,
        "x": [float(x) for x, _ in places], "y": [float(y) for _, y in places],
        "text": [text.get_text() if text.get_visible() else "" for text in texts],
        "textposition": [f"middle {sides[text.get_horizontalalignment()]}" for text in texts],
        "textfont": {
            "color": [to_hex(text.get_color()) for text in texts],
            "size": [1.25 * text.get_fontsize() for text in texts],
        },
    }  # fmt: skip


def _heatmap(image: AxesImage) -> Trace:
    shades = np.linspace(0, 1, 11)
    low, high = image.get_clim()
    values = np.ma.filled(np.ma.asarray(image.get_array(), dtype=float), np.nan)
    return {
        "type": "heatmap", "z": [_numbers(row) for row in values], "zmin": low, "zmax": high,
        "colorscale": [[float(k), to_hex(image.get_cmap()(k))] for k in shades],
        "showscale": False, "visible": image.get_visible(),
    }  # fmt: skip


def _numbers(values: Any) -> list[float | None]:
    """Return numbers with four digits, as many as a picture shows; None is a gap."""
    return [float(f"{v:.4g}") if np.isfinite(v) else None for v in np.asarray(values, float)]
