"""What one artist draws: a template with typed holes, and the integers that fill them.

A *template* is JSON text, a list of elements ``[tag, {attribute: value}, content]``.
Values and text content may hold markers, each of which takes integers from the
fragment in reading order (attributes first, then content):

=========  =========================================================
``{x}``    a coordinate, in tenths of a pixel
``{h}``    a number in hundredths: opacity, width, size, angle
``{s}``    an index into the table of strings
``{c}``    an index into the table of colors
``{p}``    a polyline: the count ``n``, then ``n`` pairs of ``{x}``;
           a pair of ``BREAK`` is a gap in the line
``{gN}``   ``N`` color indices, the cells of a grid, row by row
=========  =========================================================

Splitting drawings so keeps a page's data small: templates are stored once, and
integers are predicted from their neighbors.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

import numpy as np

#: A coordinate that no drawing has, as it lies outside every figure.
BREAK = -60_000
#: A grid of more cells is one bitmap, as each rect costs the browser layout.
MAX_RECTS = 256
_BITMAP_OFFSET = 122
MARKER = re.compile(r"\{([xhscp]|g\d+)\}")


class Fragment(NamedTuple):
    """One drawing of one artist; ``EMPTY`` draws nothing."""

    template: str
    ints: tuple[int, ...]


EMPTY = Fragment("[]", ())


@dataclass
class Tables:
    """The strings and colors that fragments refer to, in order of appearance."""

    strings: dict[str, int] = field(default_factory=dict)
    colors: dict[str, int] = field(default_factory=dict)

    def string(self, text: str) -> int:
        """Return the index of *text*, adding it when it is new."""
        return self.strings.setdefault(text, len(self.strings))

    def color(self, color: str) -> int:
        """Return the index of *color*, adding it when it is new."""
        return self.colors.setdefault(color, len(self.colors))


@cache
def parse(template: str) -> Any:
    """Return a template as nested lists (shared: do not change it)."""
    return json.loads(template)


@cache
def holes(template: str) -> tuple[str, ...]:
    """Return the kinds of a template's holes in reading order, such as ``("p", "c")``."""
    return tuple(kind for element in parse(template) for kind in _element_holes(element))


def _element_holes(element: list[Any]) -> Iterator[str]:
    for value in element[1].values():
        yield from MARKER.findall(value)
    if len(element) > 2:
        if isinstance(element[2], str):
            yield from MARKER.findall(element[2])
        else:
            for child in element[2]:
                yield from _element_holes(child)


def number(value: int, parts: int) -> str:
    """Return ``value / parts`` as JavaScript would print it: ``123, 10`` gives ``12.3``."""
    whole, rest = divmod(value, parts)
    return str(whole) if rest == 0 else repr(value / parts)


def polyline(ints: Sequence[int]) -> str:
    """Return the path text of points given as flat tenths: ``M1 2L3 4 5 6``.

    A point of two ``BREAK`` is a gap. A single point is closed (``M1 2Z``): browsers show no
    marker on a lone move.
    """
    runs: list[list[str]] = [[]]
    for x, y in zip(ints[::2], ints[1::2], strict=True):
        if x == BREAK:
            runs.append([])
        else:
            runs[-1].append(f"{number(x, 10)} {number(y, 10)}")
    return "".join(f"M{run[0]}" + (f"L{' '.join(run[1:])}" if run[1:] else "Z") for run in runs)


class _Filler:
    """Fill the holes of one fragment, in reading order."""

    def __init__(self, ints: Sequence[int], tables: Tables) -> None:
        self._ints = iter(ints)
        self._strings = list(tables.strings)
        self._colors = list(tables.colors)

    def fill(self, value: str) -> str:
        return MARKER.sub(lambda match: self._hole(match[1]), value)

    def cells(self, count: int) -> list[str]:
        return [self._colors[next(self._ints)] for _ in range(count)]

    def _hole(self, kind: str) -> str:
        first = next(self._ints)
        if kind == "x":
            return number(first, 10)
        if kind == "h":
            return number(first, 100)
        if kind == "s":
            return self._strings[first]
        if kind == "c":
            return self._colors[first]
        return polyline([next(self._ints) for _ in range(2 * first)])


def render(fragment: Fragment, tables: Tables) -> str:
    """Return a fragment as SVG text.

    Parameters
    ----------
    fragment : Fragment
        What an artist drew.
    tables : Tables
        The strings and colors its integers refer to.
    """
    filler = _Filler(fragment.ints, tables)
    return "".join(_element_text(element, filler) for element in parse(fragment.template))


def _element_text(element: list[Any], filler: _Filler) -> str:
    tag, attributes = element[0], element[1]
    if tag == "grid":
        return _grid_text(attributes, filler)
    opening = "".join(f" {key}={quoteattr(filler.fill(v))}" for key, v in attributes.items())
    if len(element) == 2:
        return f"<{tag}{opening}/>"
    if isinstance(element[2], str):
        content = escape(filler.fill(element[2]))
    else:
        content = "".join(_element_text(child, filler) for child in element[2])
    return f"<{tag}{opening}>{content}</{tag}>"


def grid_edges(start: int, size: int, count: int) -> list[int]:
    """Return ``count + 1`` edges in tenths that share *size* as evenly as integers can."""
    return [start + (2 * size * k + count) // (2 * count) for k in range(count + 1)]


def bitmap(rows: int, columns: int, colors: Sequence[str]) -> bytes:
    """Return a bitmap of one pixel a cell, 32 bits each, the top row first.

    Parameters
    ----------
    rows, columns : int
        The number of cells.
    colors : sequence of str
        ``#rrggbb``, ``#rrggbbaa`` or ``none``, row by row.

    Notes
    -----
    A BITMAPV4HEADER, whose masks give the fourth byte of a pixel as its opacity. The page's
    script writes the same bytes for later states, which needs no compression.
    """
    cells = 4 * rows * columns
    header = [
        _BITMAP_OFFSET + cells, 0, _BITMAP_OFFSET, _BITMAP_OFFSET - 14, columns, -rows, 0x200001,
        3, cells, 0, 0, 0, 0, 0xFF0000, 0xFF00, 0xFF, 0xFF000000, 0x73524742,
    ]  # fmt: skip
    words = np.array([word % 2**32 for word in header], "<u4").tobytes()
    pixels = np.array([_pixel(color) for color in colors], "<u4").tobytes()
    return (b"BM" + words).ljust(_BITMAP_OFFSET, b"\0") + pixels


def _pixel(color: str) -> int:
    if color == "none":
        return 0
    alpha = int(color[7:] or "ff", 16)
    return alpha << 24 | int(color[1:7], 16)


def _grid_text(attributes: dict[str, str], filler: _Filler) -> str:
    rows, columns = int(attributes["rows"]), int(attributes["columns"])
    x, y, width, height = (
        round(10 * float(filler.fill(attributes[k]))) for k in ("x", "y", "width", "height")
    )
    colors = filler.cells(rows * columns)
    clip = attributes.get("clip-path")
    clipped = f" clip-path={quoteattr(clip)}" if clip else ""
    if rows * columns > MAX_RECTS:
        sides = zip(("x", "y", "width", "height"), (x, y, width, height), strict=True)
        place = "".join(f' {side}="{number(value, 10)}"' for side, value in sides)
        data = base64.b64encode(bitmap(rows, columns, colors)).decode()
        return (
            f'<image{clipped} preserveAspectRatio="none" image-rendering="pixelated"{place}'
            f' href="data:image/bmp;base64,{data}"/>'
        )
    across, down = grid_edges(x, width, columns), grid_edges(y, height, rows)
    rects = []
    for k, color in enumerate(colors):
        i, j = divmod(k, columns)
        left, top = across[j], down[i]
        rects.append(
            f'<rect x="{number(left, 10)}" y="{number(top, 10)}"'
            f' width="{number(across[j + 1] - left, 10)}"'
            f' height="{number(down[i + 1] - top, 10)}" fill="{color}"/>'
        )
    return f'<g shape-rendering="crispEdges"{clipped}>{"".join(rects)}</g>'
