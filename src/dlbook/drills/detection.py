"""The drills of chapter 8: IoU of two boxes and of two sets, and three kinds of suppression.

Each drill is its reference, its typical wrong solutions, and its record. The names with a leading
underscore are wrong on purpose, or make cases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from dlbook.checks import Array
from dlbook.drills import compare, parts, shrink, storage
from dlbook.drills.record import Drill, FollowUp, Inputs

Indices = Any

#: What no score of soft-NMS may be below.
CUTOFF = 0.001
SOFT = ("indices", "scores")


# --- what the five share ---


def _got(inputs: Inputs, got: Any) -> Mapping[str, str]:
    return {"got": compare.text(got)}


def _drawn_boxes(rng: np.random.Generator, count: int, *, least_side: int = 1) -> Array:
    """Return boxes of small integers, which often touch, nest and coincide."""
    corner = rng.integers(0, 9, (count, 2))
    side = rng.integers(least_side, 7, (count, 2))
    return np.hstack([corner, corner + side]).astype(float)


def _ratio(a: Array, b: Array, *, plus: int = 0, clamp: str = "each", minus: int = 1) -> Array:
    """Return IoUs (N, M) in one of several ways, of which the default is right."""
    low = np.maximum(a[:, None, :2], b[:, :2])
    sides = np.minimum(a[:, None, 2:], b[:, 2:]) - low + plus
    if clamp == "each":
        sides = np.maximum(sides, 0)
    shared = sides[..., 0] * sides[..., 1]
    if clamp == "product":
        shared = np.maximum(shared, 0)
    area_a, area_b = ((s[:, 2:] - s[:, :2] + plus).prod(axis=1) for s in (a, b))
    union = area_a[:, None] + area_b - minus * shared
    return np.asarray(np.where(union == 0, 0, shared / np.where(union == 0, 1, union)))


# --- iou_pair ---


def iou_pair(a: Array, b: Array) -> float:
    """Return the intersection over union of two boxes.

    Parameters
    ----------
    a, b : array of float64, shape (4,)
        ``(x1, y1, x2, y2)``, each with an area.

    Returns
    -------
    float
        From 0 to 1.
    """
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = width * height
    area_a = (a[2] - a[0]) * (a[3] - a[1])
    area_b = (b[2] - b[0]) * (b[3] - b[1])
    return float(shared / (area_a + area_b - shared))


def _pair(a: Array, b: Array, **options: Any) -> float:
    return float(_ratio(a[None], b[None], **options)[0, 0])


def _pair_of_sizes(a: Array, b: Array) -> float:
    return _pair(*(np.concatenate([s[:2], s[:2] + s[2:]]) for s in (a, b)))


def _draw_pair(rng: np.random.Generator) -> Inputs:
    a, b = _drawn_boxes(rng, 2)
    return {"a": a, "b": b}


def _smaller_pair(inputs: Inputs) -> Iterator[Inputs]:
    """Move both boxes to the corner."""
    low = np.minimum(inputs["a"][:2], inputs["b"][:2])
    if low.any():
        yield {name: box - np.tile(low, 2) for name, box in inputs.items()}


IOU_PAIR = Drill(
    name="iou_pair",
    chapter="detection",
    level="screening",
    task=(
        "Return the intersection over union of two boxes. Each is `(x1, y1, x2, y2)` in "
        "continuous coordinates, an array of four numbers, and has an area."
    ),
    signature="iou_pair(a, b) -> float",
    hints=(
        "Where does the overlap begin in x, and where does it end?",
        "From the larger of the two `x1` to the smaller of the two `x2`; if that is negative, the "
        "overlap is 0.",
        "Do so in x and y, multiply the two sides, and divide by the sum of both areas less that.",
    ),
    reference=iou_pair,
    wrong={
        "no clamp: boxes apart gave {got}. Each side has to be at least 0 before you "
        "multiply": partial(_pair, clamp="none"),
        "you clamp the product: boxes apart in x and in y gave {got}. Two negative sides make a "
        "positive area": partial(_pair, clamp="product"),
        "the + 1 is for pixel indices: in continuous coordinates this gave {got}": partial(
            _pair, plus=1
        ),
        "the union counts what both share twice: subtract it once": partial(_pair, minus=0),
        "the four numbers are two corners, not corner, width and height": _pair_of_sizes,
    },
    draw=_draw_pair,
    smaller=_smaller_pair,
    cases=storage.path("iou_pair"),
    follow_up=FollowUp(
        "What if both boxes are the same point?",
        "The union is 0, and 0 / 0 has to get a value: 0 here, as in pycocotools. Say so.",
    ),
    facts=_got,
)


# --- iou ---


def iou(a: Array, b: Array) -> Array:
    """Return the intersection over union of each box of one set with each of another.

    Parameters
    ----------
    a : array of float64, shape (N, 4)
        ``(x1, y1, x2, y2)``; points are allowed.
    b : array of float64, shape (M, 4)
        The same.

    Returns
    -------
    array of float64, shape (N, M)
        0 where the union is.
    """
    low = np.maximum(a[:, None, :2], b[:, :2])  # (N, 1, 2) with (M, 2)
    high = np.minimum(a[:, None, 2:], b[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    area_a = (a[:, 2:] - a[:, :2]).prod(axis=1)
    area_b = (b[:, 2:] - b[:, :2]).prod(axis=1)
    union = area_a[:, None] + area_b - shared
    return np.asarray(shared / np.where(union > 0, union, 1))


def _transposed(a: Array, b: Array) -> Array:
    return iou(b, a)


def _zero_by_zero(a: Array, b: Array) -> Array:
    low = np.maximum(a[:, None, :2], b[:, :2])
    high = np.minimum(a[:, None, 2:], b[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    area_a, area_b = ((s[:, 2:] - s[:, :2]).prod(axis=1) for s in (a, b))
    return np.asarray(shared / (area_a[:, None] + area_b - shared))


def _draw_sets(rng: np.random.Generator) -> Inputs:
    n, m = rng.integers(1, 5, 2)
    a, b = _drawn_boxes(rng, n), _drawn_boxes(rng, m)
    if rng.random() < 0.3:  # a point in each
        a[0, 2:], b[0, 2:] = a[0, :2], b[0, :2]
    return {"a": a, "b": b}


def _smaller_sets(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, a=0)
    yield from shrink.dropped(inputs, b=0)


IOU = Drill(
    name="iou",
    chapter="detection",
    level="core",
    task=(
        "Return the IoU of every box of `a` `(N, 4)` with every box of `b` `(M, 4)`, an array "
        "`(N, M)`, without a loop. Boxes are `(x1, y1, x2, y2)` in continuous coordinates. A box "
        "may be a point; where the union is 0, the answer is 0."
    ),
    signature="iou(a, b) -> array (N, M)",
    hints=(
        "What shape has to stand against `b[:, :2]`, so that NumPy makes all pairs?",
        "`np.maximum(a[:, None, :2], b[:, :2])` has shape `(N, M, 2)`: the lower corner of each "
        "overlap.",
        "Clamp the sides at 0, take their product over the last axis, and divide by "
        "`area_a[:, None] + area_b - shared`, with 1 where that is 0.",
    ),
    reference=iou,
    wrong={
        "rows belong to a and columns to b: yours is transposed": _transposed,
        "two points gave NaN, expected 0: their union is 0": _zero_by_zero,
        "no clamp: each side has to be at least 0 before you multiply": partial(
            _ratio, clamp="none"
        ),
        "you clamp the product, and two negative sides make a positive area": partial(
            _ratio, clamp="product"
        ),
        "the + 1 is for pixel indices: in continuous coordinates it is wrong": partial(
            _ratio, plus=1
        ),
        "the union counts what both share twice: subtract it once": partial(_ratio, minus=0),
    },
    draw=_draw_sets,
    smaller=_smaller_sets,
    cases=storage.path("iou"),
    follow_up=FollowUp(
        "What does it cost in memory for 10,000 boxes against themselves?",
        "100 million numbers, 0.8 GB for each of several arrays in float64. Suppression compares "
        "one kept box at a time, or only near pairs.",
    ),
)


# --- nms ---


def nms(boxes: Array, scores: Array, threshold: float) -> Indices:
    """Keep the best box, drop what overlaps it by more than a threshold, go on.

    Parameters
    ----------
    boxes : array of float64, shape (N, 4)
        ``(x1, y1, x2, y2)``.
    scores : array of float64, shape (N,)
        Higher is better.
    threshold : float
        From 0 to 1.

    Returns
    -------
    array of int, shape (K,)
        Indices of the kept boxes, by falling score; equal scores by index.
    """
    waiting = np.argsort(-scores, kind="stable")
    kept = []
    while waiting.size:
        best, waiting = waiting[0], waiting[1:]
        kept.append(best)
        waiting = waiting[iou(boxes[[best]], boxes[waiting])[0] <= threshold]
    return np.array(kept)


def _greedy(
    boxes: Array,
    scores: Array,
    threshold: float,
    *,
    order: Callable[[Array], Indices] = lambda scores: np.argsort(-scores, kind="stable"),
    equal_goes: bool = False,
    removed_count: bool = False,
) -> Indices:
    """Suppress in one of several ways, of which the default is right."""
    overlaps = iou(boxes, boxes)
    hits = overlaps >= threshold if equal_goes else overlaps > threshold
    kept: list[int] = []
    seen: list[int] = []
    for box in order(scores):
        if not hits[box, seen if removed_count else kept].any():
            kept.append(int(box))
        seen.append(int(box))
    return np.array(kept)


def _latest_first(scores: Array) -> Indices:
    return np.argsort(scores, kind="stable")[::-1]


def _by_index(boxes: Array, scores: Array, threshold: float) -> Indices:
    return np.sort(nms(boxes, scores, threshold))


def _draw_nms(rng: np.random.Generator) -> Inputs:
    count = int(rng.integers(2, 9))
    boxes = _drawn_boxes(rng, count)
    scores = rng.integers(1, 8, count) / 8
    found = np.unique(iou(boxes, boxes))
    found = found[(found > 0) & (found < 1)]
    equal = found.size and rng.random() < 0.6
    threshold = float(rng.choice(found)) if equal else float(rng.choice([0.1, 0.3, 0.5, 0.7]))
    return {"boxes": boxes, "scores": scores, "threshold": threshold}


def _smaller_nms(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, boxes=0, scores=0)


NMS = Drill(
    name="nms",
    chapter="detection",
    level="core",
    task=(
        "Return the indices of the boxes that greedy non-maximum suppression keeps, by falling "
        "score. `boxes` `(N, 4)` are corners, `scores` `(N,)`. A box goes if its IoU with a kept "
        "one is *larger* than `threshold`. Of equal scores the lower index comes first."
    ),
    signature="nms(boxes, scores, threshold) -> array of int",
    hints=(
        "Which box is surely kept? Which ones does it remove?",
        "Sort once, by falling score, with a *stable* sort. Keep the first index, and of the rest "
        "those that it does not remove.",
        "`order = np.argsort(-scores, kind='stable')`; while it is not empty, move `order[0]` to "
        "the kept ones and filter `order[1:]` by `overlap <= threshold`.",
    ),
    reference=nms,
    wrong={
        "an IoU equal to the threshold stays: compare with >, not ≥": partial(
            _greedy, equal_goes=True
        ),
        "a box was removed by one that was already gone: only kept boxes remove": partial(
            _greedy, removed_count=True
        ),
        "equal scores: the lower index comes first; argsort()[::-1] reverses them": partial(
            _greedy, order=_latest_first
        ),
        "the right boxes in the order of the input: sort them by falling score": _by_index,
        "the worst box went first: sort by falling score": partial(
            _greedy, order=lambda scores: np.argsort(scores, kind="stable")
        ),
    },
    draw=_draw_nms,
    smaller=_smaller_nms,
    cases=storage.path("nms"),
    follow_up=FollowUp(
        "What does it cost?",
        "A sort, and one IoU for each kept box with each box that is still waiting: N times the "
        "number kept at most, N²/2 if nothing overlaps.",
    ),
)


# --- batched_nms ---


def batched_nms(boxes: Array, scores: Array, classes: Array, threshold: float) -> Indices:
    """Suppress within each class only, by one call on shifted boxes.

    Parameters
    ----------
    boxes : array of float64, shape (N, 4)
        ``(x1, y1, x2, y2)``, of any sign.
    scores : array of float64, shape (N,)
        Higher is better.
    classes : array of int, shape (N,)
        At least 0.
    threshold : float
        From 0 to 1.

    Returns
    -------
    array of int, shape (K,)
        Indices of the kept boxes, by falling score; equal scores by index.
    """
    extent = boxes.max() - boxes.min() + 1
    return nms(boxes + extent * classes[:, None], scores, threshold)


def _by_largest(boxes: Array, scores: Array, classes: Array, threshold: float) -> Indices:
    return nms(boxes + (boxes.max() + 1) * classes[:, None], scores, threshold)


def _by_one(boxes: Array, scores: Array, classes: Array, threshold: float) -> Indices:
    return nms(boxes + classes[:, None], scores, threshold)


def _across(boxes: Array, scores: Array, classes: Array, threshold: float) -> Indices:
    return nms(boxes, scores, threshold)


def _class_by_class(boxes: Array, scores: Array, classes: Array, threshold: float) -> Indices:
    order = batched_nms(boxes, scores, classes, threshold)
    return order[np.argsort(classes[order], kind="stable")]


def _draw_batched(rng: np.random.Generator) -> Inputs:
    inputs = dict(_draw_nms(rng))
    count = len(inputs["scores"])
    inputs["boxes"] = inputs["boxes"] - float(rng.choice([0, 8, 10]))
    inputs["scores"] = rng.permutation(np.arange(1, count + 1)) / 8
    threshold = inputs.pop("threshold")
    return inputs | {"classes": rng.integers(0, 3, count), "threshold": threshold}


def _smaller_batched(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, boxes=0, scores=0, classes=0)


BATCHED_NMS = Drill(
    name="batched_nms",
    chapter="detection",
    level="core",
    task=(
        "Suppress within each class only: return the indices of all kept boxes, by falling score. "
        "`boxes` `(N, 4)` are corners and may be *negative*, `scores` and `classes` have shape "
        "`(N,)`, and classes are integers from 0. Do it with one suppression, by moving the boxes "
        "of each class away from those of the others. The rules are those of `nms`."
    ),
    signature="batched_nms(boxes, scores, classes, threshold) -> array of int",
    hints=(
        "Boxes that do not meet do not suppress each other. How far must the boxes of class 1 "
        "move, so that they meet none of class 0, wherever these are?",
        "By more than the whole extent of the coordinates: the largest minus the smallest.",
        "Add `classes[:, None] * (boxes.max() - boxes.min() + 1)` to all four coordinates, and "
        "suppress. The indices are those of the boxes as they came.",
    ),
    reference=batched_nms,
    wrong={
        "an offset by the largest coordinate fails for negative boxes: use largest − "
        "smallest + 1": _by_largest,
        "an offset by 1 a class: boxes of different classes still meet": _by_one,
        "a box was removed by one of another class": _across,
        "the right boxes, class by class: sort all of them by falling score": _class_by_class,
    },
    draw=_draw_batched,
    smaller=_smaller_batched,
    cases=storage.path("batched_nms"),
    follow_up=FollowUp(
        "Where does the trick lose precision?",
        "In float16, whose numbers near 1,300 are 1 apart and end at 65,504; in float32 at class "
        "79 and 1,400 pixels coordinates are rounded to 1/128. A loop over the classes has no "
        "such limit.",
    ),
)


# --- soft_nms ---


def soft_nms(
    boxes: Array, scores: Array, threshold: float, sigma: float, linear: bool
) -> tuple[Indices, Array]:
    """Lower the scores of boxes that overlap a better one.

    Parameters
    ----------
    boxes : array of float64, shape (N, 4)
        ``(x1, y1, x2, y2)``.
    scores : array of float64, shape (N,)
        Above 0.
    threshold : float
        For the linear way.
    sigma : float
        For the Gaussian one.
    linear : bool
        Which of them.

    Returns
    -------
    indices : array of int, shape (K,)
        In the order in which they were picked.
    scores : array of float64, shape (K,)
        When they were picked; at least 0.001.
    """
    values, waiting, picked = scores.copy(), np.arange(len(scores)), []
    while waiting.size:
        best = waiting[values[waiting].argmax()]
        if values[best] < 0.001:
            break
        picked.append(best)
        waiting = waiting[waiting != best]
        overlap = iou(boxes[[best]], boxes[waiting])[0]
        if linear:
            values[waiting] *= np.where(overlap > threshold, 1 - overlap, 1)
        else:
            values[waiting] *= np.exp(-(overlap**2) / sigma)
    return np.array(picked), values[picked]


def _softened(
    boxes: Array,
    scores: Array,
    threshold: float,
    sigma: float,
    linear: bool,
    *,
    gated: bool = False,
    power: int = 2,
    kept_share: bool = False,
    fixed: bool = False,
) -> tuple[Indices, Array]:
    """Soften in one of several ways, of which the default is right."""
    overlaps = iou(boxes, boxes)
    if linear:
        share = overlaps if kept_share else 1 - overlaps
        decay = np.where(overlaps > threshold, share, 1)
    else:
        decay = np.exp(-(overlaps**power) / sigma)
        decay = np.where(overlaps > threshold, decay, 1) if gated else decay
    values, waiting, picked = scores.copy(), list(range(len(scores))), []
    while waiting:
        best = max(waiting, key=lambda box: (scores if fixed else values)[box])
        waiting.remove(best)
        if values[best] < CUTOFF:
            if fixed:
                continue
            break
        picked.append(best)
        values[waiting] *= decay[best, waiting]
    return np.array(picked), values[picked]


def _against_all(
    boxes: Array, scores: Array, threshold: float, sigma: float, linear: bool
) -> tuple[Indices, Array]:
    """Let every box lower every other one."""
    overlaps = iou(boxes, boxes)
    linear_decay = np.where(overlaps > threshold, 1 - overlaps, 1)
    decay = linear_decay if linear else np.exp(-(overlaps**2) / sigma)
    np.fill_diagonal(decay, 1)
    values = scores * decay.prod(axis=1)
    order = np.argsort(-values, kind="stable")
    order = order[values[order] >= CUTOFF]
    return order, values[order]


def _draw_soft(rng: np.random.Generator) -> Inputs:
    count = int(rng.integers(2, 7))
    return {
        "boxes": _drawn_boxes(rng, count),
        "scores": rng.permutation(np.arange(4, 20))[:count] / 20 + rng.uniform(0, 0.04, count),
        "threshold": float(rng.choice([0.1, 0.3, 0.5])),
        "sigma": float(rng.choice([0.2, 0.5, 1.0])),
        "linear": bool(rng.random() < 0.5),
    }


def _packed(inputs: Inputs) -> Array:
    return np.array(soft_nms(**inputs))


def _unpacked(expected: Array) -> tuple[Indices, Array]:
    return expected[0].astype(int), expected[1]


def _check_soft(inputs: Inputs, expected: Array, got: Any) -> str | None:
    return parts.difference(SOFT, inputs, _unpacked(expected), got)


def _agree_soft(inputs: Inputs, one: Any, other: Any) -> bool:
    return parts.same(one, other)


def _display_soft(inputs: Inputs, expected: Array, got: Any) -> tuple[str, str]:
    return parts.display(SOFT, _unpacked(expected), got)


SOFT_NMS = Drill(
    name="soft_nms",
    chapter="detection",
    level="senior",
    task=(
        "Lower scores instead of deleting boxes. Again and again pick the box with the largest "
        "score, and multiply the scores of all boxes not picked yet, with the overlap `o` with "
        "the picked one: by `1 - o` where `o > threshold` if `linear`, else by "
        "`exp(-o**2 / sigma)`. End where no score is at least 0.001. Return the indices in the "
        "order of picking, and the scores that they had then."
    ),
    signature="soft_nms(boxes, scores, threshold, sigma, linear) -> (indices, scores)",
    hints=(
        "What does hard suppression multiply the scores by? Replace that 0.",
        "A sort at the beginning is of no use: after each step another box may lead.",
        "Keep an array of waiting indices and a copy of the scores; `argmax` over the waiting "
        "ones, remove the winner, multiply the scores of the rest.",
    ),
    reference=soft_nms,
    wrong={
        "you kept the first order: after each step pick the largest score anew": partial(
            _softened, fixed=True
        ),
        "every box lowers every other one: only the picked one does, and only those still "
        "waiting": _against_all,
        "the Gaussian has no threshold: it lowers every score": partial(_softened, gated=True),
        "the overlap in the exponent has to be squared": partial(_softened, power=1),
        "linear multiplies by 1 − o: yours lowers the far boxes most": partial(
            _softened, kept_share=True
        ),
    },
    draw=_draw_soft,
    smaller=_smaller_nms,
    cases=storage.path("soft_nms"),
    follow_up=FollowUp(
        "What does it cost beside hard suppression?",
        "N²/2 IoUs always, as no box leaves early; two more settings; and scores that mean "
        "something else than before.",
    ),
    answer=_packed,
    check=_check_soft,
    agree=_agree_soft,
    display=_display_soft,
)

DRILLS = (IOU_PAIR, IOU, NMS, BATCHED_NMS, SOFT_NMS)
