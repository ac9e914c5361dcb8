"""The drills of chapter 8: right solutions written otherwise, and messages with their numbers."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from dlbook import detection
from dlbook.drills import drill, grade
from dlbook.drills.grading import drawn


def nms_from_behind(boxes: Any, scores: Any, threshold: float) -> Any:
    """Let each box ask the kept ones before it."""
    kept: list[int] = []
    for box in sorted(range(len(scores)), key=lambda k: -scores[k]):
        if all(detection.iou(boxes[[box]], boxes[[k]])[0, 0] <= threshold for k in kept):
            kept.append(box)
    return np.array(kept)


def soft_in_a_loop(boxes: Any, scores: Any, threshold: float, sigma: float, linear: bool) -> Any:
    method: Any = "linear" if linear else "gaussian"
    return detection.soft_nms(boxes, scores, threshold, sigma, method)


def pair_by_matrix(a: Any, b: Any) -> float:
    return float(detection.iou([a], [b])[0, 0])


@pytest.mark.parametrize(
    ("name", "solution"),
    [
        ("iou_pair", pair_by_matrix),
        ("iou", detection.iou),
        ("nms", nms_from_behind),
        ("nms", detection.nms),
        ("batched_nms", detection.batched_nms),
        ("soft_nms", soft_in_a_loop),
    ],
)
def test_other_right_solutions_pass(name: str, solution: Any) -> None:
    report = grade(name, solution)
    assert report.passed, report


def unclamped(a: Any, b: Any) -> Any:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return float(width * height / (area - width * height))


def test_a_missing_clamp_is_named_with_its_number() -> None:
    report = grade("iou_pair", unclamped)
    assert report.mistake is not None and report.failed_case is not None
    words = re.search(r"boxes apart gave (\S+)\. Each side", report.mistake)
    assert words and float(words[1]) < 0  # apart in one direction only: the smallest case


def test_ties_reversed_are_named() -> None:
    def reversed_ties(boxes: Any, scores: Any, threshold: float) -> Any:
        order = np.argsort(scores, kind="stable")[::-1].copy()
        return order[detection.nms(boxes[order], -np.arange(len(order)), threshold)]

    assert "argsort()[::-1]" in str(grade("nms", reversed_ties).mistake)


def test_draws_hold_what_the_mistakes_need() -> None:
    """Ties, equality with the threshold, points, negative boxes."""
    ties = equal = points = negative = 0
    for case in drawn(drill("nms"), 200, 1):
        scores = case.inputs["scores"]
        ties += len(set(scores.tolist())) < len(scores)
        overlaps = detection.iou(case.inputs["boxes"], case.inputs["boxes"])
        equal += bool((overlaps == case.inputs["threshold"]).any())
    for case in drawn(drill("iou"), 200, 1):
        points += bool((detection.box_area(case.inputs["a"]) == 0).any())
    for case in drawn(drill("batched_nms"), 200, 1):
        negative += bool((case.inputs["boxes"] < 0).any())
    assert min(ties, equal, points, negative) > 30
