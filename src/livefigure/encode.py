"""Turn a bake into data files: integers predicted from their neighbors, as printable text.

Layout of one file, format 1: a call ``livefigure(header, body)``. The header is JSON:

``format``, ``id``, ``part``
    The number of this format, the figure's id, the number of the file.
``box``
    For each control the first position and the number of positions that the file holds.
``strings``, ``colors``, ``templates``
    Tables, see :mod:`livefigure.fragments`.
``slots``
    A list of ``[slot, [template, ...], matrix, [matrix, ...]]``: the templates that the
    slot uses, which of them it shows in each state, then its integers, template by
    template, one matrix for each field (see :func:`fields`).
``caption``
    A matrix of string indices.

A matrix is ``[columns, axes, differences]``: how many integers a state has, for each
control whether the matrix depends on it (``1``) or not (``0``), and the differences that
were taken, each ``[axis, stride]``, where axis 0 runs over the columns and axis ``k`` over
control ``k``. The body holds the numbers of all matrices in the order of the header, each
matrix column by column.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livefigure.bake import Bake, Track
from livefigure.errors import LiveFigureError
from livefigure.fragments import Fragment, Tables, holes

FORMAT = 1
CHUNK_BYTES = 150_000

#: Printable ASCII without quote, backslash, ampersand and less-than: 91 symbols.
ALPHABET = "".join(chr(code) for code in range(32, 127) if chr(code) not in '"\\&<')
_BASE = len(ALPHABET)
_ONE, _TWO = 80, 990
_LARGEST = _TWO + _BASE**3
_MAX_DIFFERENCES = 6

Integers = NDArray[np.int64]
Box = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Part:
    """One data file: its text, and the box of states that it holds."""

    text: str
    box: Box


def encode(name: str, baked: Bake, tables: Tables) -> list[Part]:
    """Return the data files of a figure, in order of their boxes.

    Parameters
    ----------
    name : str
        The figure's id.
    baked : Bake
        All its states.
    tables : Tables
        The strings and colors that the fragments refer to.
    """
    whole = tuple((0, count) for count in baked.shape)
    parts = list(_split(name, baked, tables, whole))
    return [
        Part(f"livefigure({json.dumps(header | {'part': k}, **_COMPACT)},{_quote(body)});\n", box)
        for k, (header, body, box) in enumerate(parts)
    ]


_COMPACT: dict[str, Any] = {"separators": (",", ":"), "ensure_ascii": False}


def _split(
    name: str, baked: Bake, tables: Tables, box: Box
) -> Iterator[tuple[dict[str, Any], str, Box]]:
    """Halve a box along its outermost control until each file is small enough."""
    header, body = _encode_box(name, baked, tables, box)
    size = len(gzip.compress((json.dumps(header, **_COMPACT) + body).encode(), mtime=0))
    axis = next((k for k, (_, count) in enumerate(box) if count > 1), None)
    if size <= CHUNK_BYTES or axis is None:
        yield header, body, box
        return
    first, count = box[axis]
    half = count // 2
    for piece in ((first, half), (first + half, count - half)):
        yield from _split(name, baked, tables, (*box[:axis], piece, *box[axis + 1 :]))


def _encode_box(name: str, baked: Bake, tables: Tables, box: Box) -> tuple[dict[str, Any], str]:
    window = tuple(slice(first, first + count) for first, count in box)
    dynamic = [
        (slot, Track(track.fragments, track.which[window]))
        for slot, track in enumerate(baked.tracks)
        if not track.is_static
    ]
    captions = [baked.captions[k] for k in np.unique(baked.caption_which[window])]
    lookup = _Lookup(tables, [track for _, track in dynamic], captions)
    writer = _Writer()
    slots = [_encode_slot(slot, track, lookup, writer) for slot, track in dynamic]
    numbers = np.array([lookup.text.get(caption, 0) for caption in baked.captions])
    header = {
        "format": FORMAT,
        "id": name,
        "box": [list(side) for side in box],
        "strings": lookup.strings,
        "colors": lookup.colors,
        "templates": [json.loads(template) for template in lookup.templates],
        "slots": slots,
        "caption": writer.matrix(numbers[baked.caption_which[window]][..., None]),
    }
    return header, "".join(writer.texts)


class _Lookup:
    """Tables of one file: only what it uses, sorted so that neighbors differ by little."""

    def __init__(self, tables: Tables, tracks: Sequence[Track], captions: Sequence[str]) -> None:
        used = [track.fragments[k] for track in tracks for k in np.unique(track.which)]
        strings, colors = list(tables.strings), list(tables.colors)
        indices: dict[str, set[int]] = {"s": set(), "c": set()}
        for fragment in used:
            for field, values in fields(fragment):
                if field in indices:
                    indices[field].update(values)
        texts = {strings[k] for k in indices["s"]} | set(captions)
        self.strings = sorted(texts)
        self.colors = sorted({colors[k] for k in indices["c"]}, key=_luminance)
        self.templates = sorted({fragment.template for fragment in used})
        self.text = {text: k for k, text in enumerate(self.strings)}
        shade = {color: k for k, color in enumerate(self.colors)}
        self.template = {template: k for k, template in enumerate(self.templates)}
        self._renumber = {
            "s": {k: self.text[strings[k]] for k in indices["s"]},
            "c": {k: shade[colors[k]] for k in indices["c"]},
        }

    def values(self, field: str, values: Sequence[int]) -> Sequence[int]:
        """Return table indices in this file's numbering; other integers as they are."""
        table = self._renumber.get(field)
        return values if table is None else [table[value] for value in values]


def _luminance(color: str) -> tuple[float, str]:
    if not color.startswith("#"):
        return (-1.0, color)
    red, green, blue = (int(color[k : k + 2], 16) for k in (1, 3, 5))
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue, color)


def fields(fragment: Fragment) -> list[tuple[str, list[int]]]:
    """Sort a fragment's integers by what they mean.

    Returns
    -------
    list of (str, list of int)
        Up to four fields ``x``, ``h``, ``s``, ``c``, each with all holes of its kind; then
        for each polyline ``n``, its count, and ``p``, its coordinates. Cells of a grid are
        a ``c`` field of their own, after the rest. Fields that a template lacks are left
        out, so every fragment of a template has the same fields.
    """
    plain: dict[str, list[int]] = {"x": [], "h": [], "s": [], "c": []}
    own: list[tuple[str, list[int]]] = []
    ints = iter(fragment.ints)
    for kind in holes(fragment.template):
        if kind == "p":
            count = next(ints)
            own += [("n", [count]), ("p", [next(ints) for _ in range(2 * count)])]
        elif kind[0] == "g":
            own.append(("c", [next(ints) for _ in range(int(kind[1:]))]))
        else:
            plain[kind].append(next(ints))
    return [(kind, values) for kind, values in plain.items() if values] + own


def _encode_slot(slot: int, track: Track, lookup: _Lookup, writer: _Writer) -> list[Any]:
    used = np.unique(track.which)
    names = sorted({track.fragments[k].template for k in used})
    shown = np.zeros(len(track.fragments), dtype=np.int64)
    for k in used:
        shown[k] = names.index(track.fragments[k].template)
    choice = writer.matrix(shown[track.which][..., None])
    matrices = []
    for number in range(len(names)):
        rows = {int(k): fields(track.fragments[k]) for k in used if shown[k] == number}
        which = _filled(track.which, shown, number)
        for position in range(len(next(iter(rows.values())))):
            table = _table({k: row[position] for k, row in rows.items()}, len(shown), lookup)
            matrices.append(writer.matrix(table[which]))
    return [slot, [lookup.template[name] for name in names], choice, matrices]


def _filled(which: NDArray[np.int32], shown: Integers, number: int) -> NDArray[np.int32]:
    """Let states that lack a template repeat the last state that has it."""
    flat = which.ravel()
    has = shown[flat] == number
    last = np.where(has, np.arange(len(flat)), -1)
    last = np.maximum.accumulate(last)
    last[last < 0] = int(np.argmax(has))
    return flat[last].reshape(which.shape)


def _table(rows: dict[int, tuple[str, list[int]]], size: int, lookup: _Lookup) -> Integers:
    """Stack one field of all fragments; short polylines repeat their last point."""
    width = max(len(values) for _, values in rows.values())
    table = np.zeros((size, width), dtype=np.int64)
    for k, (field, values) in rows.items():
        numbers = list(lookup.values(field, values))
        if field == "p":
            numbers += numbers[-2:] * ((width - len(numbers)) // 2)
        table[k] = numbers
    return table


class _Writer:
    """Collects the text of matrices."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def matrix(self, values: Integers) -> list[Any]:
        """Write ``values``, shape (controls …, columns), and return its entry in the header."""
        for axis in range(values.ndim - 1):
            first = values.take([0], axis=axis)
            if (values == first).all():
                values = first
        axes = "".join("1" if count > 1 else "0" for count in values.shape[:-1])
        columns = np.moveaxis(values, -1, 0)
        predicted, differences = _predict(columns)
        self.texts.append(to_text(predicted.ravel()))
        return [values.shape[-1], axes, differences]


def _predict(values: Integers) -> tuple[Integers, list[list[int]]]:
    """Take the differences that lower the entropy most, one after another."""
    choices = [[axis, 1] for axis in range(values.ndim) if values.shape[axis] > 1]
    if values.shape[0] > 2:
        choices.append([0, 2])
    taken: list[list[int]] = []
    best = _cost(values)
    while len(taken) < _MAX_DIFFERENCES and choices:
        trials = [(_cost(trial := _difference(values, *c)), c, trial) for c in choices]
        cost, choice, trial = min(trials, key=lambda entry: entry[0])
        # A difference has to earn its place in the header, about ten bytes.
        if cost > best - 80:
            break
        best, values = cost, trial
        taken.append(choice)
    return values, taken


def _difference(values: Integers, axis: int, stride: int) -> Integers:
    result = values.copy()
    later = [slice(None)] * values.ndim
    earlier = list(later)
    later[axis], earlier[axis] = slice(stride, None), slice(None, -stride)
    result[tuple(later)] -= values[tuple(earlier)]
    return result


def _cost(values: Integers) -> float:
    """Return the entropy in bits; infinite where a number has no code."""
    flat = zigzag(values.ravel())
    if flat.size == 0 or flat.max() >= _LARGEST:
        return math.inf
    counts = np.bincount(flat)
    counts = counts[counts > 0]
    return float(-(counts * np.log2(counts / flat.size)).sum())


def zigzag(values: Integers) -> Integers:
    """Map 0, −1, 1, −2, … to 0, 1, 2, 3, and so on."""
    return np.where(values < 0, -2 * values - 1, 2 * values)


def to_text(values: Integers) -> str:
    """Return integers as printable text: one symbol below 80, two below 990, else four.

    Raises
    ------
    LiveFigureError
        If a number is too large for four symbols.
    """
    symbols = []
    for value in zigzag(np.asarray(values)).tolist():
        if value < _ONE:
            symbols.append(ALPHABET[value])
        elif value < _TWO:
            high, low = divmod(value - _ONE, _BASE)
            symbols.append(ALPHABET[_ONE + high] + ALPHABET[low])
        elif value < _LARGEST:
            rest, low = divmod(value - _TWO, _BASE)
            high, middle = divmod(rest, _BASE)
            symbols.append(ALPHABET[-1] + ALPHABET[high] + ALPHABET[middle] + ALPHABET[low])
        else:
            raise LiveFigureError(f"{value} lies too far outside the figure to be stored")
    return "".join(symbols)


def _quote(body: str) -> str:
    return f'"{body}"'
