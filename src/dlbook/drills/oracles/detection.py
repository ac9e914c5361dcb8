"""Edge cases of chapter 8, answered by plain loops over float64 tensors of torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbook.checks import Array
from dlbook.drills.detection import CUTOFF
from dlbook.drills.oracles import Oracle
from dlbook.drills.record import Inputs

Noted = list[tuple[str, Inputs]]


def iou_pair(a: Array, b: Array) -> float:
    """Return what torchvision's formula gives for two boxes."""
    import torch

    p, q = torch.from_numpy(a), torch.from_numpy(b)
    sides = (torch.minimum(p[2:], q[2:]) - torch.maximum(p[:2], q[:2])).clamp(min=0)
    union = (p[2:] - p[:2]).prod() + (q[2:] - q[:2]).prod() - sides.prod()
    return float(sides.prod() / union) if union else 0.0


def iou(a: Array, b: Array) -> Array:
    """Return the same for all pairs, one after the other."""
    return np.array([[iou_pair(one, other) for other in b] for one in a])


def nms(boxes: Array, scores: Array, threshold: float) -> Any:
    """Return the loop of torchvision's CPU kernel: a flag for each box that is suppressed."""
    import torch

    order = torch.argsort(torch.from_numpy(scores), descending=True, stable=True).tolist()
    suppressed = torch.zeros(len(order), dtype=torch.bool)
    kept = []
    for place, i in enumerate(order):
        if suppressed[i]:
            continue
        kept.append(i)
        for j in order[place + 1 :]:
            suppressed[j] |= iou_pair(boxes[i], boxes[j]) > threshold
    return np.array(kept)


def batched_nms(boxes: Array, scores: Array, classes: Array, threshold: float) -> Any:
    """Return what is left of each class by itself, sorted by torch."""
    import torch

    kept: list[int] = []
    for label in np.unique(classes):
        (own,) = np.nonzero(classes == label)
        kept += own[nms(boxes[own], scores[own], threshold)].tolist()
    kept.sort()
    order = torch.argsort(torch.from_numpy(scores[kept]), descending=True, stable=True)
    return np.array(kept)[order.numpy()]


def soft_nms(boxes: Array, scores: Array, threshold: float, sigma: float, linear: bool) -> Array:
    """Return indices and scores as two rows, from torch's ``max`` and ``exp``."""
    import torch

    left = torch.from_numpy(scores.copy())
    picked: list[float] = []
    values: list[float] = []
    while True:
        value, best = left.max(dim=0)
        if value < CUTOFF:
            return np.array([picked, values])
        picked.append(float(best))
        values.append(float(value))
        left[best] = -1
        overlap = torch.from_numpy(iou(boxes[[int(best)]], boxes)[0])
        decay = torch.where(overlap > threshold, 1 - overlap, 1) if linear else torch.exp(
            -overlap.square() / sigma
        )  # fmt: skip
        left = torch.where(left > 0, left * decay, left)


def _box(*values: float) -> Array:
    return np.array(values, dtype=float)


def _pairs() -> Noted:
    first = _box(3, 3, 9, 9)
    return [
        (note, {"a": first, "b": _box(*other)})
        for note, other in (
            ("the same box", (3, 3, 9, 9)),
            ("shifted by half", (6, 3, 12, 9)),
            ("shifted by half in both", (6, 6, 12, 12)),
            ("touching at a side", (9, 3, 15, 9)),
            ("touching at a corner", (9, 9, 15, 15)),
            ("apart in x", (11, 3, 15, 9)),
            ("apart in x and in y", (11, 12, 15, 18)),
            ("nested", (4, 4, 6, 6)),
            ("around", (0, 0, 12, 12)),
            ("a cross", (5, 0, 7, 12)),
            ("a corner shared", (3, 3, 6, 5)),
            ("negative coordinates", (-5, -5, 4, 4)),
            ("fractions", (3.25, 2.5, 8.75, 9.5)),
        )
    ]


def _sets() -> Noted:
    first = np.array([case["a"] for _, case in _pairs()][:1])
    many = np.array([case["b"] for _, case in _pairs()])
    point = np.array([[5.0, 5, 5, 5]])
    line = np.array([[0.0, 5, 12, 5]])
    return [
        ("one with many", {"a": first, "b": many}),
        ("many with one", {"a": many, "b": first}),
        ("three with two", {"a": many[:3], "b": many[3:5]}),
        ("two with three", {"a": many[5:7], "b": many[7:10]}),
        ("with themselves", {"a": many[:5], "b": many[:5]}),
        ("apart in x and in y", {"a": first, "b": many[6:7]}),
        ("touching", {"a": first, "b": many[3:5]}),
        ("two equal points", {"a": point, "b": point}),
        ("a point inside a box", {"a": point, "b": first}),
        ("lines", {"a": line, "b": np.vstack([line, point, first])}),
        ("large coordinates", {"a": many[:3] + 1e6, "b": many[1:3] + 1e6}),
        ("small boxes", {"a": many[:3] / 1000, "b": many[1:5] / 1000}),
    ]


CHAIN = np.array([[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])
FIVE = np.array(
    [[0.0, 0, 10, 10], [1, 0, 11, 10], [5, 0, 15, 10], [20, 0, 30, 10], [22, 0, 32, 10]]
)
HALF = np.array([[0.0, 0, 10, 10], [0, 0, 10, 5]])
LATTICE = np.array([[x, y, x + 4.0, y + 4.0] for x in (0, 2, 5) for y in (0, 1, 3)])


def _scenes() -> Noted:
    def case(boxes: Array, scores: list[float], threshold: float) -> Inputs:
        return {"boxes": boxes, "scores": np.array(scores, float), "threshold": threshold}

    nine = [0.3, 0.9, 0.5, 0.8, 0.2, 0.7, 0.6, 0.4, 0.1]
    return [
        ("five boxes by hand", case(FIVE, [0.9, 0.8, 0.7, 0.6, 0.5], 0.5)),
        ("the same, shuffled", case(FIVE[::-1].copy(), [0.5, 0.6, 0.7, 0.8, 0.9], 0.5)),
        ("IoU equal to the threshold", case(HALF, [0.9, 0.8], 0.5)),
        ("IoU just above it", case(HALF, [0.9, 0.8], 0.49)),
        ("a chain, an end is best", case(CHAIN, [0.9, 0.8, 0.7], 0.4)),
        ("a chain, the middle is best", case(CHAIN, [0.8, 0.9, 0.7], 0.4)),
        ("equal boxes, equal scores", case(np.tile(CHAIN[:1], (3, 1)), [0.5, 0.5, 0.5], 0.5)),
        ("apart, equal scores", case(FIVE[[0, 3]], [0.5, 0.5], 0.5)),
        ("one box", case(CHAIN[:1], [0.1], 0.5)),
        ("threshold 0", case(LATTICE, nine, 0.0)),
        ("threshold 1", case(LATTICE, nine, 1.0)),
        ("a lattice, low", case(LATTICE, nine, 0.2)),
        ("a lattice, high", case(LATTICE, nine, 0.6)),
    ]


def _classed() -> Noted:
    labels = [
        (note, boxes, [0, 1, 2, 0, 1, 2, 0, 1, 2][: len(boxes)])
        for note, boxes in (("from 0", LATTICE), ("negative", LATTICE - 6), ("far", LATTICE - 100))
    ]
    scores = np.array([0.3, 0.9, 0.5, 0.8, 0.2, 0.7, 0.6, 0.4, 0.1])
    found: Noted = [
        (
            f"{note}, threshold {threshold}",
            {"boxes": boxes, "scores": scores, "classes": np.array(classes),
             "threshold": threshold},
        )
        for note, boxes, classes in labels
        for threshold in (0.0, 0.2, 0.5)
    ]  # fmt: skip
    found += [
        (
            f"equal boxes, {note}",
            {"boxes": np.tile([2.0, 3, 9, 7], (4, 1)), "scores": np.array([0.4, 0.3, 0.2, 0.1]),
             "classes": np.array(classes), "threshold": 0.5},
        )
        for note, classes in (("one class", [1] * 4), ("two classes", [0, 1, 0, 1]),
                              ("four classes", [3, 2, 1, 0]))
    ]  # fmt: skip
    return found


def _soft() -> Noted:
    return [
        (
            f"{note}, {'linear' if linear else 'Gaussian'}",
            {"boxes": boxes, "scores": np.array(scores), "threshold": threshold, "sigma": sigma,
             "linear": linear},
        )
        for note, boxes, scores, threshold, sigma in (
            ("five boxes by hand", FIVE, [0.9, 0.8, 0.7, 0.6, 0.5], 0.3, 0.5),
            ("a chain", CHAIN, [0.8, 0.9, 0.7], 0.4, 0.5),
            ("equal boxes", np.tile(CHAIN[:1], (3, 1)), [0.9, 0.8, 0.7], 0.3, 0.2),
            ("a box overtakes another", FIVE[:3], [0.9, 0.8, 0.5], 0.3, 0.5),
            ("nothing overlaps", FIVE[[0, 3]], [0.4, 0.6], 0.3, 0.5),
            ("a lattice", LATTICE, [0.3, 0.9, 0.5, 0.8, 0.2, 0.7, 0.6, 0.4, 0.1], 0.3, 0.5),
            ("scores that fall below the cutoff", FIVE, [0.9, 0.001, 0.002, 0.6, 0.5], 0.3, 0.1),
        )
        for linear in (True, False)
    ]  # fmt: skip


SOURCE = "loops over float64 tensors of torch, as in torchvision's"
ORACLES = {
    "iou_pair": Oracle(f"{SOURCE} box_iou", _pairs, iou_pair),
    "iou": Oracle(f"{SOURCE} box_iou", _sets, iou),
    "nms": Oracle(f"{SOURCE} nms_kernel.cpp", _scenes, nms),
    "batched_nms": Oracle(f"{SOURCE} nms_kernel.cpp, class by class", _classed, batched_nms),
    "soft_nms": Oracle("loops over float64 tensors of torch", _soft, soft_nms),
}
