"""What a drawing depends on: while a key stays the same, so does the drawing.

Most artists of a figure look the same in most states. Comparing a key costs microseconds,
drawing a text again a fifth of a millisecond and an axis ten.
"""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgba
from matplotlib.text import Text

Key = tuple[Any, ...]
#: Pixels at which texts stand.
Places = dict[Text, tuple[float, float]]


def axes_key(axes: Axes) -> Key:
    """Return what the transforms of axes depend on."""
    return (
        tuple(axes.viewLim.extents),
        tuple(axes.bbox.extents),
        axes.get_xscale(),
        axes.get_yscale(),
    )


def places(texts: Iterable[Text]) -> Places:
    """Return where texts stand; those that share a transform are transformed in one call."""
    groups: dict[int, list[Text]] = {}
    for text in texts:
        groups.setdefault(id(text.get_transform()), []).append(text)
    found: Places = {}
    for group in groups.values():
        points = group[0].get_transform().transform([_position(text) for text in group])
        found |= zip(group, map(tuple, points.tolist()), strict=True)
    return found


def _position(text: Any) -> tuple[float, float]:
    """Return the position of a text without units, in the quick way if it has none."""
    x, y = text.get_position()
    if isinstance(x, Real) and isinstance(y, Real):
        return float(x), float(y)
    found: tuple[float, float] = text.get_unitless_position()
    return found


def text_key(text: Any, place: tuple[float, float]) -> Key:
    """Return everything that the drawing of a plain text at *place* depends on."""
    color = text.get_color()
    clip = text.get_clip_box() if text.get_clip_on() else None
    return (
        text.get_text(),
        place,
        color if isinstance(color, str) else to_rgba(color),
        text.get_alpha(),
        hash(text.get_fontproperties()),
        text.get_rotation(),
        text.get_rotation_mode(),
        text.get_horizontalalignment(),
        text.get_verticalalignment(),
        text._linespacing,
        None if clip is None else tuple(clip.extents),
    )


def is_stale(axis: Axis) -> bool:
    """Tell whether an axis or an artist of it was changed since :func:`settle`."""
    return any(part.stale for part in _parts(axis))


def settle(axis: Axis) -> None:
    """Mark an axis as drawn; parts that it skips keep the flag otherwise."""
    for part in _parts(axis):
        part._stale = False


def _parts(axis: Axis) -> list[Any]:
    parts: list[Any] = [axis, axis.label, axis.offsetText]
    # Not get_children(): that asks the locators, at a millisecond an axis.
    for tick in (*axis.majorTicks, *axis.minorTicks):
        parts += (tick, tick.tick1line, tick.tick2line, tick.gridline, tick.label1, tick.label2)
    return parts
