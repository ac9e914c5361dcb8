r"""Intersection over union, its relatives for losses, and non-maximum suppression, in NumPy.

Conventions
    *Boxes* are ``(x1, y1, x2, y2)`` in continuous coordinates, arrays of shape ``(N, 4)``: pixel
    :math:`i` covers :math:`[i, i + 1]`, so a width is ``x2 - x1``, without + 1. They are converted
    to float64 first: 60,000² overflows in int32, 10 − 20 is 246 in uint8, 300² is infinite in
    float16.
    *Zero area* is legal: such a box has IoU 0 with everything, itself included; it suppresses
    nothing and is never suppressed.
    *Equal scores* keep the order of the input: the lower index comes first.
    *Equality with the threshold* is not above it: a box goes only if its IoU is larger.
    *No boxes*: ``(0, 4)`` or ``[]`` in, an empty array of the right shape and dtype out.
    *Bad input* is refused by name and index before any work: NaN, infinity, ``x2 < x1``, other
    shapes, other lengths, thresholds outside [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlbook.checks import Array

Indices = NDArray[np.int64]
Method = Literal["linear", "gaussian"]

#: The least number above 0. As a floor of the union it turns 0 / 0 into 0 and changes nothing else.
_LEAST = 5e-324


# --- boxes ---


def from_xywh(boxes: ArrayLike) -> Array:
    """Return corners of boxes that are given as left, top, width and height.

    Parameters
    ----------
    boxes : array, shape (N, 4)
        ``(x, y, w, h)``, as in COCO's files and OpenCV.

    Returns
    -------
    array of float64, shape (N, 4)
        ``(x1, y1, x2, y2)``.

    Raises
    ------
    ValueError
        If a width or height is negative, a number is not finite, or the shape is another.
    """
    x, y, w, h = _sized(boxes)
    return np.stack([x, y, x + w, y + h], axis=1)


def from_cxcywh(boxes: ArrayLike) -> Array:
    """Return corners of boxes that are given as center, width and height.

    Parameters
    ----------
    boxes : array, shape (N, 4)
        ``(cx, cy, w, h)``, as networks predict them.

    Returns
    -------
    array of float64, shape (N, 4)
        ``(x1, y1, x2, y2)``.

    Raises
    ------
    ValueError
        If a width or height is negative, a number is not finite, or the shape is another.
    """
    cx, cy, w, h = _sized(boxes)
    return np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], axis=1)


def to_xywh(boxes: ArrayLike) -> Array:
    """Return left, top, width and height of boxes that are given as corners.

    Parameters
    ----------
    boxes : array, shape (N, 4)
        ``(x1, y1, x2, y2)``.

    Returns
    -------
    array of float64, shape (N, 4)
        ``(x, y, w, h)``.

    Raises
    ------
    ValueError
        If a box is bad.
    """
    x1, y1, x2, y2 = _boxes(boxes).T
    return np.stack([x1, y1, x2 - x1, y2 - y1], axis=1)


def box_area(boxes: ArrayLike) -> Array:
    """Return the area of each box, ``(x2 - x1) * (y2 - y1)``.

    Parameters
    ----------
    boxes : array, shape (N, 4)
        ``(x1, y1, x2, y2)``.

    Returns
    -------
    array of float64, shape (N,)

    Raises
    ------
    ValueError
        If a box is bad.
    """
    return _area(_boxes(boxes))


# --- IoU and its relatives ---


def intersection(a: ArrayLike, b: ArrayLike) -> Array:
    r"""Return the area that each box of one set shares with each of another.

    :math:`\max(0, \min x_2 - \max x_1) \cdot \max(0, \min y_2 - \max y_1)`. Each side is clamped
    by itself: two negative sides would make a positive area.

    Parameters
    ----------
    a : array, shape (N, 4)
        ``(x1, y1, x2, y2)``.
    b : array, shape (M, 4)
        The same.

    Returns
    -------
    array of float64, shape (N, M)

    Raises
    ------
    ValueError
        If a box is bad.
    """
    return _intersection(_boxes(a, "a: "), _boxes(b, "b: "))


def iou(a: ArrayLike, b: ArrayLike) -> Array:
    r"""Return the intersection over union of each box of one set with each of another.

    :math:`I / (A_a + A_b - I)`, and 0 if the union is empty.

    Parameters
    ----------
    a : array, shape (N, 4)
        ``(x1, y1, x2, y2)``.
    b : array, shape (M, 4)
        The same.

    Returns
    -------
    array of float64, shape (N, M)
        From 0 to 1.

    Raises
    ------
    ValueError
        If a box is bad.

    References
    ----------
    ``bbIou`` in ``common/maskApi.c`` of cocoapi, and ``box_iou`` in torchvision: without + 1.
    """
    a, b = _boxes(a, "a: "), _boxes(b, "b: ")
    shared = _intersection(a, b)
    union = _area(a)[:, None] + _area(b) - shared
    return _quotient(shared, union)


def giou(a: ArrayLike, b: ArrayLike) -> Array:
    r"""Return the generalized IoU, which falls with the empty part of the enclosing box.

    :math:`\mathrm{IoU} - (|C| - U) / |C|`, with the area :math:`|C|` of the smallest box around
    both; IoU where that is 0.

    Parameters
    ----------
    a : array, shape (N, 4)
        ``(x1, y1, x2, y2)``.
    b : array, shape (M, 4)
        The same.

    Returns
    -------
    array of float64, shape (N, M)
        From -1 to 1.

    Raises
    ------
    ValueError
        If a box is bad.

    References
    ----------
    Rezatofighi et al. 2019, arXiv 1902.09630, algorithm 1.
    """
    a, b = _boxes(a, "a: "), _boxes(b, "b: ")
    shared = _intersection(a, b)
    union = _area(a)[:, None] + _area(b) - shared
    around = np.prod(_enclosing(a, b), axis=-1)
    return _quotient(shared, union) - _quotient(around - union, around)


def diou(a: ArrayLike, b: ArrayLike) -> Array:
    r"""Return the distance IoU, which falls with the distance of the centers.

    :math:`\mathrm{IoU} - \rho^2 / c^2`, with the distance :math:`\rho` of the centers and the
    diagonal :math:`c` of the enclosing box; IoU where that is 0.

    Parameters
    ----------
    a : array, shape (N, 4)
        ``(x1, y1, x2, y2)``.
    b : array, shape (M, 4)
        The same.

    Returns
    -------
    array of float64, shape (N, M)
        From -1 to 1.

    Raises
    ------
    ValueError
        If a box is bad.

    References
    ----------
    Zheng et al. 2020, arXiv 1911.08287, equation 7.
    """
    a, b = _boxes(a, "a: "), _boxes(b, "b: ")
    apart = (a[:, None, :2] + a[:, None, 2:]) / 2 - (b[:, :2] + b[:, 2:]) / 2
    rho2, c2 = (apart**2).sum(axis=-1), (_enclosing(a, b) ** 2).sum(axis=-1)
    return iou(a, b) - _quotient(rho2, c2)


def ciou(a: ArrayLike, b: ArrayLike) -> Array:
    r"""Return the complete IoU: DIoU less a term for the aspect ratio.

    :math:`\mathrm{DIoU} - \alpha v` with
    :math:`v = \frac{4}{\pi^2} (\arctan \frac{w'}{h'} - \arctan \frac{w}{h})^2` and
    :math:`\alpha = v / (1 - \mathrm{IoU} + v)`, 0 where :math:`v` is. A loss takes
    :math:`\alpha` as a constant.

    Parameters
    ----------
    a : array, shape (N, 4)
        ``(x1, y1, x2, y2)``.
    b : array, shape (M, 4)
        The same.

    Returns
    -------
    array of float64, shape (N, M)
        At most 1.

    Raises
    ------
    ValueError
        If a box is bad.

    References
    ----------
    Zheng et al. 2020, arXiv 1911.08287, equations 8 to 11.
    """
    a, b = _boxes(a, "a: "), _boxes(b, "b: ")
    slope_a, slope_b = (np.arctan2(s[:, 2] - s[:, 0], s[:, 3] - s[:, 1]) for s in (a, b))
    v = 4 / np.pi**2 * (slope_a[:, None] - slope_b) ** 2
    alpha = _quotient(v, 1 - iou(a, b) + v)
    return diou(a, b) - alpha * v


# --- non-maximum suppression ---


def nms_loops(
    boxes: ArrayLike,
    scores: ArrayLike,
    threshold: float,
    *,
    score_threshold: float | None = None,
) -> Indices:
    """Suppress boxes as the rule says it: keep the best, drop what overlaps it, go on.

    This is the readable version, which :func:`nms` must equal.

    Parameters
    ----------
    boxes : array, shape (N, 4)
        ``(x1, y1, x2, y2)``.
    scores : array, shape (N,)
        Higher is better.
    threshold : float
        A box goes if its IoU with a kept one is *larger*; from 0 to 1.
    score_threshold : float, optional
        From 0 to 1; only boxes with a larger score take part.

    Returns
    -------
    array of int64, shape (K,)
        The indices of the kept boxes, by falling score.

    Raises
    ------
    ValueError
        If a box, a score or a threshold is bad, or the lengths differ.
    """
    corners, values = _detections(boxes, scores)
    waiting = _ranked(values, threshold, score_threshold)
    kept = []
    while waiting.size:
        best, others = waiting[0], waiting[1:]
        kept.append(best)
        waiting = others[iou(corners[[best]], corners[others])[0] <= threshold]
    return np.array(kept, dtype=np.int64)


def nms(
    boxes: ArrayLike,
    scores: ArrayLike,
    threshold: float,
    *,
    score_threshold: float | None = None,
) -> Indices:
    """Suppress boxes that overlap a better one; equal to :func:`nms_loops`, and faster.

    Two ways to compare fewer pairs, one after the other. *Peeling* is the rule itself, as long
    as each kept box removes many others. What is left overlaps little, and a *join* over a grid
    then compares only boxes whose centers are near.

    Parameters
    ----------
    boxes : array, shape (N, 4)
        ``(x1, y1, x2, y2)``.
    scores : array, shape (N,)
        Higher is better.
    threshold : float
        A box goes if its IoU with a kept one is *larger*; from 0 to 1.
    score_threshold : float, optional
        From 0 to 1; only boxes with a larger score take part.

    Returns
    -------
    array of int64, shape (K,)
        The indices of the kept boxes, by falling score.

    Raises
    ------
    ValueError
        If a box, a score or a threshold is bad, or the lengths differ.

    References
    ----------
    Neubeck and Van Gool 2006, "Efficient non-maximum suppression". ``nms_kernel.cpp`` in
    torchvision, for > rather than ≥.
    """
    corners, values = _detections(boxes, scores)
    order = _ranked(values, threshold, score_threshold)
    # From here on a box is its rank, its place in `order`. Five long rows (corners and area)
    # rather than many short ones: each step of arithmetic then runs along one of them.
    rows = np.empty((5, len(order)))
    np.take(corners.T, order, axis=1, out=rows[:4])
    np.multiply(rows[2] - rows[0], rows[3] - rows[1], out=rows[4])
    # Rounding lets areas below 1e-290 break the bounds of the join: then peel to the end.
    tiny = bool(np.any((rows[4] > 0) & (rows[4] < 1e-290)))
    kept, left = _peel(rows, threshold, to_the_end=tiny)
    if left.size:
        survivors = _join(rows.take(left, axis=1), threshold)
        kept = np.concatenate([kept, left[survivors]])
    return order[kept].astype(np.int64)


def batched_nms(
    boxes: ArrayLike, scores: ArrayLike, classes: ArrayLike, threshold: float
) -> Indices:
    """Suppress within each class only.

    A loop over the classes, which needs no trick with coordinates and so has no case in which
    that fails.

    Parameters
    ----------
    boxes : array, shape (N, 4)
        ``(x1, y1, x2, y2)``.
    scores : array, shape (N,)
        Higher is better.
    classes : array of int, shape (N,)
        The class of each box.
    threshold : float
        As in :func:`nms`.

    Returns
    -------
    array of int64, shape (K,)
        The indices of the kept boxes of all classes, by falling score.

    Raises
    ------
    TypeError
        If classes are no integers.
    ValueError
        If a box, a score or the threshold is bad, or the lengths differ.
    """
    corners, values = _detections(boxes, scores)
    order = _ranked(values, threshold, None)
    labels = np.asarray(classes)
    if labels.size and labels.dtype.kind not in "iu":
        raise TypeError(f"classes has dtype {labels.dtype}: use integers")
    if labels.shape != values.shape:
        raise ValueError(f"boxes {len(corners)} and classes {len(labels)} differ in length")
    keep = np.zeros(len(corners), dtype=bool)
    for label in np.unique(labels):
        (own,) = np.nonzero(labels == label)
        keep[own[nms(corners[own], values[own], threshold)]] = True
    return order[keep[order]].astype(np.int64)


def soft_nms(
    boxes: ArrayLike,
    scores: ArrayLike,
    threshold: float = 0.3,
    sigma: float = 0.5,
    method: Method = "gaussian",
    score_threshold: float = 0.001,
) -> tuple[Indices, Array]:
    r"""Lower the scores of boxes that overlap a better one, instead of deleting them.

    Again and again the box with the largest score *now* is picked, and the scores of all that
    were not picked yet fall: by :math:`1 - o` where the overlap :math:`o` is above the threshold
    (linear), or by :math:`e^{-o^2/\sigma}` everywhere (Gaussian, which uses no threshold).

    Parameters
    ----------
    boxes : array, shape (N, 4)
        ``(x1, y1, x2, y2)``.
    scores : array, shape (N,)
        At least 0.
    threshold : float, default: 0.3
        From 0 to 1; for ``"linear"`` only.
    sigma : float, default: 0.5
        Above 0; for ``"gaussian"`` only.
    method : {"linear", "gaussian"}, default: "gaussian"
        How a score falls.
    score_threshold : float, default: 0.001
        From 0 to 1; the end is where no score reaches it any more.

    Returns
    -------
    indices : array of int64, shape (K,)
        In the order in which they were picked.
    scores : array of float64, shape (K,)
        Theirs when they were picked, falling.

    Raises
    ------
    ValueError
        If an argument is bad, or the lengths differ.

    References
    ----------
    Bodla et al. 2017, arXiv 1704.04503, figure 2 and equations for the two functions.
    """
    corners, values = _detections(boxes, scores)
    _unit_interval("threshold", threshold)
    _unit_interval("score_threshold", score_threshold)
    if not 0 < sigma < np.inf:
        raise ValueError(f"sigma must be above 0 and finite, got {sigma}")
    if method not in ("linear", "gaussian"):
        raise ValueError(f"method must be 'linear' or 'gaussian', got {method!r}")
    for index in np.flatnonzero(values < 0)[:1]:
        raise ValueError(f"score {index} is negative ({values[index]})")
    values, waiting = values.copy(), np.arange(len(values))
    picked = []
    while waiting.size:
        best = waiting[np.argmax(values[waiting])]  # the first of several: the lower index
        if values[best] < score_threshold:
            break
        picked.append(best)
        waiting = waiting[waiting != best]
        overlap = iou(corners[[best]], corners[waiting])[0]
        if method == "linear":
            values[waiting] *= np.where(overlap > threshold, 1 - overlap, 1.0)
        else:
            values[waiting] *= np.exp(-(overlap**2) / sigma)
    indices = np.array(picked, dtype=np.int64)
    return indices, values[indices]


# --- the two parts of nms ---


def _peel(rows: Array, threshold: float, *, to_the_end: bool) -> tuple[Indices, Indices]:
    """Apply the rule as long as it pays: return the ranks kept, and those not decided yet.

    A step costs a dozen calls of NumPy, and a look at each of the n boxes left. Measured, it pays
    where it removes more than 20 + n/100; what it removes beyond that is credit for steps that do
    not. Dense clusters go here, of which a join would list all pairs.
    """
    ranks = np.arange(rows.shape[1])
    kept: list[int] = []
    credit = 4.0
    while ranks.size and (to_the_end or credit > 0):
        kept.append(int(ranks[0]))
        stay = _overlap(rows[:, :1], rows) <= threshold
        stay[0] = False
        (survivors,) = np.nonzero(stay)
        removed = len(ranks) - len(survivors)
        credit += removed / (20 + len(ranks) / 100) - 1
        # `take` along rows is several times as fast as fancy indexing with a slice.
        ranks, rows = ranks.take(survivors), rows.take(survivors, axis=1)
    return np.array(kept, dtype=np.int64), ranks


def _join(rows: Array, threshold: float) -> Indices:
    """Return the ranks that survive, comparing boxes with near centers only.

    Blocks of queries, of growing size: what the first ones remove, the later ones need not ask
    for. Within a block all conflicts are found at once, by arithmetic on long arrays; only the
    order of decisions needs a loop, one short step for each conflict.
    """
    count = rows.shape[1]
    alive = bytearray(b"\1" * count)
    # The same bytes as an array: a loop is quick on the first, a mask on the second.
    mask = np.frombuffer(alive, dtype=np.bool_)
    grid = _Grid(rows, threshold)
    begin, size = 0, 64
    while begin < count:
        block = begin + np.flatnonzero(mask[begin:])[:size]
        for better, worse in grid.pairs(block):
            overlap = _overlap(rows.take(better, axis=1), rows.take(worse, axis=1))
            (conflict,) = np.nonzero(overlap > threshold)
            # Pairs come by rising rank of the better box: when its turn comes, all boxes that
            # could remove it have had theirs. A removed box removes nothing.
            for i, j in zip(
                better.take(conflict).tolist(), worse.take(conflict).tolist(), strict=True
            ):
                if alive[i]:
                    alive[j] = 0
        if not block.size:
            break
        begin, size = int(block[-1]) + 1, 2 * size
        grid.forget(mask, begin)
    return np.flatnonzero(mask)


class _Grid:
    r"""Centers of boxes, sorted once by row of a grid and by x, to find near ones by bisection.

    How near is near? For two intervals of widths :math:`a` and :math:`b` whose centers are
    :math:`d` apart, an IoU above :math:`t` means :math:`d < \frac{1-t}{2(1+t)}(a + b)`. It also
    means :math:`b < a/t`, and so :math:`d < \frac{1-t}{2t}a`. Both hold for boxes, on each axis:
    their IoU is at most that of their sides. The smaller bound is the radius of a query; the
    first alone serves t = 0.
    """

    #: The most candidates at once: larger arrays would leave the cache.
    most = 2**18

    def __init__(self, rows: Array, threshold: float) -> None:
        self._rx, self._cx, across = self._axis(rows[0], rows[2], threshold)
        self._ry, self._cy, down = self._axis(rows[1], rows[3], threshold)
        # Rows twice the mean radius high: a query then meets two rows or three.
        self._height = max(2 * float(self._ry.mean()), down / 4096) or 1.0
        row = np.floor(self._cy / self._height)
        self._last = float(row.max())
        # One number for both coordinates. Rows lie so far apart that no window reaches another.
        self._span = 1.01 * (across + 2 * float(self._rx.max())) + _LEAST or 1.0
        keys = row * self._span + self._cx
        self._slack = 1e-13 * float(keys.max())
        self._ranks = np.argsort(keys, kind="stable")
        self._keys = keys[self._ranks]

    @staticmethod
    def _axis(low: Array, high: Array, t: float) -> tuple[Array, Array, float]:
        """Return radius and center of each box on one axis, and the extent of the centers."""
        width = high - low
        center = low / 2 + high / 2
        center -= center.min()
        extent = float(center.max())
        radius = (1 - t) / (2 * (1 + t)) * (width + width.max())
        if t > 1e-9:
            radius = np.minimum(radius, (1 - t) / (2 * t) * width)
        # Rounding of centers and of the IoU itself must not lose a pair.
        largest = float(max(np.abs(low).max(), np.abs(high).max()))
        return np.minimum(radius * (1 + 1e-9) + 1e-12 * largest, extent), center, extent

    def pairs(self, block: Indices) -> Iterator[tuple[Indices, Indices]]:
        """Yield ranks of near boxes, the better and the worse, by rising rank of the better."""
        first = np.maximum(np.floor((self._cy[block] - self._ry[block]) / self._height), 0)
        last = np.minimum(np.floor((self._cy[block] + self._ry[block]) / self._height), self._last)
        # One query for each row that a box meets.
        query, place = _expanded(first.astype(np.intp), (last - first).astype(np.intp) + 1)
        asking = block[query]
        middle = place * self._span + self._cx[asking]
        reach = self._rx[asking] + self._slack
        begin = np.searchsorted(self._keys, middle - reach, "left")
        end = np.searchsorted(self._keys, middle + reach, "right")
        total = np.cumsum(end - begin)
        start = 0
        while start < len(asking):
            before = int(total[start - 1]) if start else 0
            stop = max(int(np.searchsorted(total, before + self.most, "right")), start + 1)
            window, found = _expanded(begin[start:stop], (end - begin)[start:stop])
            better, worse = asking[start:stop].take(window), self._ranks.take(found)
            (ordered,) = np.nonzero(worse > better)  # each pair once
            yield better.take(ordered), worse.take(ordered)
            start = stop

    def forget(self, alive: NDArray[np.bool_], begin: int) -> None:
        """Drop the boxes that are removed, and those that have asked."""
        (stay,) = np.nonzero(alive.take(self._ranks) & (self._ranks >= begin))
        self._ranks, self._keys = self._ranks.take(stay), self._keys.take(stay)


def _expanded(begin: Indices, lengths: Indices) -> tuple[Indices, Indices]:
    """Return all numbers of ranges, and before them for each the place of its range."""
    place = np.repeat(np.arange(len(begin)), lengths)
    ahead = np.cumsum(lengths) - lengths
    return place, np.arange(len(place)) + (begin - ahead).take(place)


# --- arithmetic and checks ---


class _Side(NamedTuple):
    low: str
    high: str


_SIDES = (_Side("x1", "x2"), _Side("y1", "y2"))


def _area(boxes: Array) -> Array:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _intersection(a: Array, b: Array) -> Array:
    low = np.maximum(a[:, None, :2], b[:, :2])  # (N, 1, 2) with (M, 2) gives (N, M, 2)
    high = np.minimum(a[:, None, 2:], b[:, 2:])
    sides = np.maximum(high - low, 0)
    return np.asarray(sides[..., 0] * sides[..., 1])


def _enclosing(a: Array, b: Array) -> Array:
    """Return the sides of the smallest box around each pair, shape (N, M, 2)."""
    low = np.minimum(a[:, None, :2], b[:, :2])
    return np.asarray(np.maximum(a[:, None, 2:], b[:, 2:]) - low)


def _overlap(a: Array, b: Array) -> Array:
    """Return the IoU of pairs, to the bit that of :func:`iou`.

    Both have rows x1, y1, x2, y2, area, so that one call serves both axes: with few boxes, calls
    are what costs.
    """
    sides = np.minimum(a[2:4], b[2:4])
    sides -= np.maximum(a[:2], b[:2])
    np.maximum(sides, 0, out=sides)
    shared = sides[0] * sides[1]
    union = a[4] + b[4]
    union -= shared
    return _quotient(shared, union)


def _quotient(part: Array, whole: Array) -> Array:
    """Divide, with 0 for 0 / 0.

    The quotient itself is compared with a threshold: correctly rounded, 3 / 10 is the same number
    as the 0.3 that somebody wrote, while ``part > 0.3 * whole`` may differ at equality.
    """
    return np.asarray(part / np.maximum(whole, _LEAST))


def _ranked(scores: Array, threshold: float, score_threshold: float | None) -> Indices:
    """Return the indices by falling score, after the thresholds have been checked."""
    _unit_interval("threshold", threshold)
    order = np.argsort(-scores, kind="stable")  # stable: ties by index
    if score_threshold is None:
        return order
    _unit_interval("score_threshold", score_threshold)
    return order[scores[order] > score_threshold]


def _unit_interval(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} {value} lies outside [0, 1]")


def _detections(boxes: ArrayLike, scores: ArrayLike) -> tuple[Array, Array]:
    corners = _boxes(boxes)
    values = _numbers("scores", scores)
    if values.ndim != 1:
        raise ValueError(f"scores must have shape (N,), got {values.shape}")
    if len(corners) != len(values):
        raise ValueError(f"boxes {len(corners)} and scores {len(values)} differ in length")
    if not np.isfinite(values).all():
        index = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"score {index} is {_word(values[index])}")
    return corners, values


def _boxes(boxes: ArrayLike, name: str = "") -> Array:
    """Return good boxes as float64, shape (N, 4); refuse others, with a name before the reason."""
    corners = _quadruples(boxes, name)
    low, high = corners[:, :2], corners[:, 2:]
    if (high < low).any():
        box, side = (int(place) for place in np.argwhere(high < low)[0])
        one, other = _SIDES[side]
        raise ValueError(
            f"{name}box {box} has {other} < {one} ({low[box, side]} > {high[box, side]})"
        )
    return corners


def _sized(boxes: ArrayLike) -> tuple[Array, Array, Array, Array]:
    """Return the columns of boxes with width and height, after refusing negative ones."""
    rows = _quadruples(boxes, "")
    if (rows[:, 2:] < 0).any():
        box, side = (int(place) for place in np.argwhere(rows[:, 2:] < 0)[0])
        raise ValueError(f"box {box} has a negative {('width', 'height')[side]} "
                         f"({rows[box, 2 + side]})")  # fmt: skip
    x, y, w, h = rows.T
    return x, y, w, h


def _quadruples(boxes: ArrayLike, name: str) -> Array:
    rows = _numbers(f"{name}boxes", boxes)
    if rows.shape == (0,):
        return np.empty((0, 4))
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise ValueError(f"{name}boxes must have shape (N, 4), got {rows.shape}")
    # Beyond 1e150 an area, and beyond that a sum of squares, is infinite.
    if not (np.abs(rows) <= 1e150).all():
        box, column = (int(place) for place in np.argwhere(~(np.abs(rows) <= 1e150))[0])
        raise ValueError(f"{name}box {box} contains {_word(rows[box, column])}")
    return rows


def _numbers(name: str, values: ArrayLike) -> Array:
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} has dtype {array.dtype}: use real numbers")
    return array.astype(np.float64)


def _word(value: float) -> str:
    return "NaN" if np.isnan(value) else str(value)
