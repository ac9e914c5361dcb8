"""From matplotlib's paths to path text with holes, in tenths of a pixel, top-left origin."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, Transform
from numpy.typing import NDArray

from livefigure.fragments import BREAK

Ints = list[int]
Outline = tuple[str, tuple[int, ...]]

#: Pixels from the corner beyond which points are dropped and lines are cut.
FAR = 5000.0
_KEPT = 4096
_CURVES = (Path.CURVE3, Path.CURVE4)


def tenths(value: float) -> int:
    """Return a coordinate in tenths of a pixel, at most ``FAR`` pixels from the corner."""
    return round(min(max(float(value), -FAR), FAR) * 10)


class Outlines:
    """Converts paths for a canvas of ``width`` × ``height`` pixels."""

    def __init__(self, width: float, height: float) -> None:
        self._flip = Affine2D().scale(1, -1).translate(0, height)
        self._room = (-width, -height, 2 * width, 2 * height)
        self._memo: dict[Any, Outline] = {}

    def path(self, path: Path, transform: Transform, *, stroke_only: bool) -> Outline:
        """Return path text and its integers; memoized on the content, so mutation is seen."""
        if not transform.is_affine:
            return self._convert(path, transform, stroke_only)
        codes = None if path.codes is None else np.asarray(path.codes).tobytes()
        matrix = np.asarray(transform.get_matrix()).tobytes()
        key = (np.asarray(path.vertices).tobytes(), codes, matrix, stroke_only)
        found = self._memo.get(key)
        if found is None:
            if len(self._memo) >= _KEPT:
                self._memo.clear()
            found = self._memo[key] = self._convert(path, transform, stroke_only)
        return found

    def shape(self, path: Path, transform: Transform) -> Outline:
        """Return a shape about its own origin: flipped, but not moved to the canvas."""
        turned = transform + Affine2D().scale(1, -1)
        return _outline(path.cleaned(turned, simplify=False, curves=True))

    def vertices(self, path: Path, transform: Transform) -> NDArray[np.int64]:
        """Return the points that carry markers, in tenths; shape (n, 2)."""
        clean = path.cleaned(transform + self._flip, remove_nans=True, simplify=False, curves=True)
        codes = np.asarray(clean.codes)
        keep = np.isin(codes, (Path.MOVETO, Path.LINETO)) | _curve_ends(codes)
        points = np.asarray(clean.vertices)[keep]
        near = (np.abs(points) <= FAR).all(axis=1)
        found: NDArray[np.int64] = np.rint(points[near] * 10).astype(np.int64)
        return found

    def _convert(self, path: Path, transform: Transform, stroke_only: bool) -> Outline:
        """Convert a path, cut at the room around the figure only where it runs far outside.

        Points that are cut away shift the others, which costs bytes in every later state.
        """
        flipped = transform + self._flip
        clean = path.cleaned(flipped, remove_nans=True, simplify=False, curves=True)
        if stroke_only and np.abs(np.asarray(clean.vertices)).max(initial=0.0) > FAR:
            clean = path.cleaned(
                flipped, remove_nans=True, clip=self._room, simplify=False, curves=True
            )
        return _outline(clean)


def _curve_ends(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Mark the last vertex of each curve segment."""
    ends = np.zeros(len(codes), dtype=bool)
    k = 0
    while k < len(codes):
        step = {Path.CURVE3: 2, Path.CURVE4: 3}.get(codes[k], 1)
        if step > 1:
            ends[k + step - 1] = True
        k += step
    return ends


def _outline(path: Path) -> Outline:
    """Return path text with holes and their integers; runs of lines become polylines."""
    points = np.rint(np.clip(np.asarray(path.vertices), -FAR, FAR) * 10).astype(np.int64)
    codes: list[int] = [] if path.codes is None else np.asarray(path.codes).tolist()
    text: list[str] = []
    ints: Ints = []
    k = counter = 0
    while k < len(codes) and codes[k] != Path.STOP:
        code = codes[k]
        if code == Path.MOVETO:
            end = _run_end(codes, k)
            run = points[k:end].ravel().tolist()
            # A lone move before anything but a curve draws nothing.
            if end - k > 1 or (end < len(codes) and codes[end] in _CURVES):
                if text and text[-1] == "{p}":
                    # One hole for a line with gaps: the number of gaps may change freely.
                    ints[counter] += 1 + len(run) // 2
                    ints += [BREAK, BREAK, *run]
                else:
                    counter = len(ints)
                    text.append("{p}")
                    ints += [len(run) // 2, *run]
            k = end
        elif code == Path.CLOSEPOLY:
            text.append("Z")
            k += 1
        else:
            letter, count = {Path.CURVE3: ("Q", 2), Path.CURVE4: ("C", 3)}.get(code, ("L", 1))
            text.append(letter + " ".join(["{x} {x}"] * count))
            ints += points[k : k + count].ravel().tolist()
            k += count
    return "".join(text), tuple(ints)


def _run_end(codes: list[int], start: int) -> int:
    """Return where the lines that follow a move end."""
    end = start + 1
    while end < len(codes) and codes[end] == Path.LINETO:
        end += 1
    return end
