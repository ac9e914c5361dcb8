"""The functions of chapter 8 against OpenCV, pycocotools and PyTorch; refusals; ties and corners.

OpenCV computes IoU in float32, calls two zero-area boxes equal wherever they lie, drops a score
that is not above its score threshold, and shifts classes by the largest coordinate + 1. So the
boxes drawn for it have areas, their scores lie in (0, 1], coordinates of several classes are at
least 0, and draws with an IoU within 1e-6 of the threshold are left out.
"""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from pycocotools import mask

from dlbook import detection
from dlbook.detection import (
    batched_nms,
    box_area,
    ciou,
    diou,
    from_cxcywh,
    from_xywh,
    giou,
    intersection,
    iou,
    nms,
    nms_loops,
    soft_nms,
    to_xywh,
)

explore = settings(deadline=None, derandomize=True, max_examples=150)
#: From 0 to 1, with those that meet an IoU of small integers exactly.
THRESHOLDS = st.sampled_from([0, 1e-12, 0.1, 0.25, 0.3, 1 / 3, 0.5, 0.6, 0.7, 0.9, 1])
PAIRWISE = [intersection, iou, giou, diou, ciou]


@st.composite
def scenes(draw: Any, *, least: int = 0, flat: bool = True, most: int = 40) -> Any:
    """Draw boxes that often touch, coincide or have no area, with scores that often tie."""
    count = draw(st.integers(0, most))
    corner = st.integers(max(least, -6), 12)
    side = st.integers(0 if flat else 1, 8)
    rows = draw(st.lists(st.tuples(corner, corner, side, side), min_size=count, max_size=count))
    unit = draw(st.sampled_from([1.0, 0.1, 1 / 3, 1e6]))
    scores = draw(st.lists(st.integers(1, 6), min_size=count, max_size=count))
    return from_xywh(np.array(rows).reshape(-1, 4) * unit), np.array(scores) / 6


def random_scene(rng: np.random.Generator, n: int) -> Any:
    """Return a scene of one of five kinds: spread, clusters, a lattice, bars, many sizes."""
    kind = rng.integers(5)
    size = rng.uniform(1, 20, (n, 2))
    center = rng.uniform(0, rng.choice([20, 200, 2000]), (n, 2))
    if kind == 1:
        center = center[rng.integers(1 + n // 20, size=n)] + rng.normal(0, 1, (n, 2))
    elif kind == 2:
        center, size = np.round(center), 2 * rng.integers(0, 4, (n, 2)).astype(float)
    elif kind == 3:
        size = np.where(rng.random((n, 1)) < 0.5, [200.0, 2.0], [2.0, 200.0])
    elif kind == 4:
        size = np.exp(rng.normal(1, 2, (n, 2)))
    scores = np.round(rng.random(n), int(rng.integers(1, 5)))
    shift = rng.choice([0, -1000, 1e6])
    return from_cxcywh(np.hstack([center + shift, size])), scores


def opencv_nms(boxes: Any, scores: Any, threshold: float, classes: Any = None) -> Any:
    rows, values = to_xywh(boxes).tolist(), scores.tolist()
    if classes is None:
        found = cv2.dnn.NMSBoxes(rows, values, 0.0, threshold)
    else:
        found = cv2.dnn.NMSBoxesBatched(rows, values, classes.tolist(), 0.0, threshold)
    return np.array(found, dtype=np.int64).reshape(-1)


def clear_of(boxes: Any, threshold: float) -> bool:
    """Tell whether no IoU is so near to the threshold that float32 may see another side of it."""
    return bool((abs(iou(boxes, boxes) - threshold) > 1e-6).all())


# --- IoU ---


@explore
@given(scenes(), scenes())
def test_iou_is_pycocotools(one: Any, other: Any) -> None:
    a, b = one[0], other[0]
    assume(len(a) and len(b))
    theirs = mask.iou(to_xywh(a), to_xywh(b), [0] * len(b))
    assert_allclose(iou(a, b), theirs, rtol=1e-9, atol=1e-12)


def test_iou_is_pycocotools_to_the_bit() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 400, (n, 4)) / 4 for n in (200, 150))
    assert_array_equal(iou(from_xywh(a), from_xywh(b)), mask.iou(a, b, [0] * 150))


def test_crowds_of_coco_divide_by_the_area_of_the_detection() -> None:
    a, b = np.array([[0.0, 0, 10, 10]]), np.array([[5.0, 0, 105, 100]])
    assert mask.iou(to_xywh(a), to_xywh(b), [1]) == intersection(a, b) / box_area(a) == 0.5


@explore
@given(scenes(), scenes())
def test_the_relatives_keep_their_order_and_range(one: Any, other: Any) -> None:
    a, b = one[0], other[0]
    plain = iou(a, b)
    for function in PAIRWISE:
        assert function(a, b).shape == (len(a), len(b))
        assert_allclose(function(a, b), function(b, a).T, rtol=1e-9, atol=1e-12)
    assert (plain >= 0).all() and (plain <= 1).all()
    for function in (giou, diou):
        assert (function(a, b) <= plain + 1e-12).all() and (function(a, b) >= -1 - 1e-12).all()
    assert (ciou(a, b) <= diou(a, b) + 1e-12).all()
    full = box_area(a) > 0
    for function in (iou, giou, diou, ciou):
        assert_allclose(np.diag(function(a, a))[full], 1)
        assert_array_equal(np.diag(function(a, a))[~full], 0)


def test_the_relatives_are_the_papers_formulas() -> None:
    """Written again with torch, pair by pair."""
    rng = np.random.default_rng(3)
    a, b = (from_xywh(rng.uniform(0, 10, (n, 4))) for n in (7, 9))
    for i, j in itertools.product(range(7), range(9)):
        p, q = torch.tensor(a[i]), torch.tensor(b[j])
        inner = (torch.minimum(p[2:], q[2:]) - torch.maximum(p[:2], q[:2])).clamp(min=0).prod()
        outer = torch.maximum(p[2:], q[2:]) - torch.minimum(p[:2], q[:2])
        union = (p[2:] - p[:2]).prod() + (q[2:] - q[:2]).prod() - inner
        plain = inner / union
        rho2 = (((p[:2] + p[2:]) - (q[:2] + q[2:])) / 2).square().sum()
        ratio = [torch.atan((s[2] - s[0]) / (s[3] - s[1])) for s in (p, q)]
        v = 4 / torch.pi**2 * (ratio[0] - ratio[1]) ** 2
        distance = plain - rho2 / outer.square().sum()
        assert_allclose(giou(a, b)[i, j], plain - (outer.prod() - union) / outer.prod())
        assert_allclose(diou(a, b)[i, j], distance)
        assert_allclose(ciou(a, b)[i, j], distance - v / (1 - plain + v) * v)


@pytest.mark.parametrize(
    ("other", "value"),
    [
        ([3, 0, 9, 6], 1 / 3),
        ([6, 0, 12, 6], 0),  # touching
        ([16, 16, 22, 22], 0),  # apart in x and in y
        ([1, 1, 4, 3], 1 / 6),  # nested
        ([2, 2, 2, 2], 0),  # a point
        ([0, 0, 6, 6], 1),
    ],
)
def test_pairs_by_hand(other: list[float], value: float) -> None:
    assert iou([[0, 0, 6, 6]], [other])[0, 0] == value


def test_what_has_no_area_has_no_overlap() -> None:
    points = [[2, 2, 2, 2], [2, 2, 2, 2]]
    for function in PAIRWISE:
        assert_array_equal(function(points, points), np.zeros((2, 2)))
    assert giou([[0, 0, 0, 0]], [[5, 5, 5, 5]]) == -1
    assert_array_equal(nms([*points, [0, 0, 4, 4]], [3, 2, 1], 0), [0, 1, 2])


# --- formats ---


@explore
@given(scenes())
def test_formats_come_back(scene: Any) -> None:
    boxes, _ = scene
    sides = boxes[:, 2:] - boxes[:, :2]
    for back in (from_xywh(to_xywh(boxes)),
                 from_cxcywh(np.hstack([boxes[:, :2] + sides / 2, sides]))):  # fmt: skip
        assert_allclose(back, boxes, rtol=1e-12, atol=1e-9)
    assert_allclose(box_area(boxes), sides.prod(axis=1))


@pytest.mark.parametrize("dtype", ["int32", "uint8", "float16", "float32"])
def test_small_dtypes_do_not_overflow(dtype: str) -> None:
    large = {"int32": 60000, "uint8": 255, "float16": 300, "float32": 60000}[dtype]
    a, b = np.array([[0, 0, large, large]], dtype), np.array([[10, 20, 10, 20]], dtype)
    assert box_area(a)[0] == float(large) ** 2
    assert iou(a, a)[0, 0] == 1
    assert_array_equal(to_xywh(b), [[10, 20, 0, 0]])
    assert iou(a, b).dtype == np.float64


# --- non-maximum suppression ---


@explore
@given(scenes(), THRESHOLDS)
def test_nms_is_the_readable_one(scene: Any, threshold: float) -> None:
    boxes, scores = scene
    assert_array_equal(nms(boxes, scores, threshold), nms_loops(boxes, scores, threshold))


@pytest.mark.parametrize("part", range(6))
@pytest.mark.parametrize("patience", [None, 0.0])
def test_nms_is_the_readable_one_in_thousands_of_scenes(
    monkeypatch: pytest.MonkeyPatch, part: int, patience: float | None
) -> None:
    """Also with the join alone, in small blocks of candidates."""
    if patience is not None:
        undecided = np.arange
        monkeypatch.setattr(
            detection,
            "_peel",
            lambda rows, threshold, to_the_end: (
                np.empty(0, np.int64), undecided(rows.shape[1])
            ),
        )  # fmt: skip
        monkeypatch.setattr(detection._Grid, "most", 50)
    rng = np.random.default_rng(part)
    for _ in range(250):
        boxes, scores = random_scene(rng, int(rng.choice([5, 25, 90])))
        threshold = float(rng.choice([0, 0.1, 0.3, 0.5, 0.7, 1, rng.random()]))
        assert_array_equal(nms(boxes, scores, threshold), nms_loops(boxes, scores, threshold))


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.8])
def test_nms_is_the_readable_one_in_large_scenes(threshold: float) -> None:
    rng = np.random.default_rng(11)
    for _ in range(4):
        boxes, scores = random_scene(rng, 1500)
        assert_array_equal(nms(boxes, scores, threshold), nms_loops(boxes, scores, threshold))


def test_areas_that_underflow_are_peeled() -> None:
    rng = np.random.default_rng(2)
    boxes = from_xywh(rng.integers(0, 5, (60, 4)) * 1e-160)
    scores = rng.random(60)
    assert_array_equal(nms(boxes, scores, 0.2), nms_loops(boxes, scores, 0.2))


@explore
@given(scenes(flat=False), st.sampled_from([0.2, 0.35, 0.45, 0.55, 0.8, 0.95]))
def test_nms_is_opencv(scene: Any, threshold: float) -> None:
    """Touching and equal boxes and equal scores included."""
    boxes, scores = scene
    assume(clear_of(boxes, threshold))
    assert_array_equal(nms(boxes, scores, threshold), opencv_nms(boxes, scores, threshold))


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.7])
def test_nms_is_opencv_in_larger_scenes(threshold: float) -> None:
    rng = np.random.default_rng(5)
    compared = 0
    for _ in range(60):
        boxes, scores = random_scene(rng, 120)
        scores = scores.clip(1e-3, 1)
        if box_area(boxes).all() and abs(boxes).max() < 5000 and clear_of(boxes, threshold):
            assert_array_equal(nms(boxes, scores, threshold), opencv_nms(boxes, scores, threshold))
            compared += 1
    assert compared > 15


@explore
@given(scenes(flat=False, least=0), st.sampled_from([0.2, 0.45, 0.55, 0.8]), st.data())
def test_batched_nms_is_opencv(scene: Any, threshold: float, data: Any) -> None:
    boxes, scores = scene
    assume(clear_of(boxes, threshold) and abs(boxes).max(initial=0) < 1e4)
    labels = st.lists(st.integers(0, 3), min_size=len(boxes), max_size=len(boxes))
    classes = np.array(data.draw(labels), dtype=int)
    ours = batched_nms(boxes, scores, classes, threshold)
    theirs = opencv_nms(boxes, scores, threshold, classes)
    assert_array_equal(np.sort(ours), np.sort(theirs))
    assert (np.diff(scores[ours]) <= 0).all()


def test_classes_do_not_meet() -> None:
    boxes = np.tile([0.0, 0, 10, 10], (4, 1))
    assert_array_equal(batched_nms(boxes, [1, 2, 3, 4], [0, 1, 0, 1], 0.5), [3, 2])
    assert_array_equal(batched_nms(boxes, [1, 1, 1, 1], [7, -7, 7, -7], 0.5), [0, 1])


@pytest.mark.parametrize("function", [nms, nms_loops])
def test_the_rule_in_its_corners(function: Any) -> None:
    half = [[0, 0, 10, 10], [0, 0, 10, 5]]  # IoU 1/2, which stays
    assert_array_equal(function(half, [1, 2], 0.5), [1, 0])
    assert_array_equal(function(half, [1, 2], 0.4999), [1])
    chain = [[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]]
    assert_array_equal(function(chain, [3, 2, 1], 0.4), [0, 2])
    assert_array_equal(function(chain, [2, 3, 1], 0.4), [1])
    assert_array_equal(function(chain, [1, 1, 1], 1), [0, 1, 2])
    assert_array_equal(function(chain, [0.9, 0.02, 0.5], 0.4, score_threshold=0.02), [0, 2])
    assert_array_equal(function(chain, [-1, -5, 0], 0.4), [2, 0])


def test_equality_holds_for_fractions_of_ten() -> None:
    """A box of k tenths of another has an IoU that is the number k / 10, at any scale."""
    for tenths, unit in itertools.product(range(1, 10), [1, 3, 7, 0.25, 1e5]):
        pair = np.array([[0, 0, 10, 10], [0, 0, tenths, 10]]) * unit
        assert_array_equal(nms(pair, [2, 1], tenths / 10), [0, 1])


@explore
@given(scenes(), THRESHOLDS)
def test_what_nms_promises(scene: Any, threshold: float) -> None:
    boxes, scores = scene
    kept = nms(boxes, scores, threshold)
    assert kept.dtype == np.int64
    assert (np.diff(scores[kept]) <= 0).all()
    overlaps = iou(boxes[kept], boxes[kept])
    assert (overlaps[~np.eye(len(kept), dtype=bool)] <= threshold).all()
    gone = np.setdiff1d(np.arange(len(boxes)), kept)
    for box in gone:
        better = kept[scores[kept] >= scores[box]]
        assert (iou(boxes[[box]], boxes[better]) > threshold).any()
    assert_array_equal(nms(boxes[kept], scores[kept], threshold), np.arange(len(kept)))


# --- soft-NMS ---


@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_soft_nms_is_opencv(method: Any) -> None:
    """Which takes integers only; equal scores are left out, as its order of ties is another."""
    kinds = {"linear": cv2.dnn.SOFT_NMSMETHOD_SOFTNMS_LINEAR,
             "gaussian": cv2.dnn.SOFT_NMSMETHOD_SOFTNMS_GAUSSIAN}  # fmt: skip
    rng = np.random.default_rng(8)
    compared = 0
    for _ in range(400):
        rows = np.hstack([rng.integers(0, 40, (25, 2)), rng.integers(5, 40, (25, 2))])
        scores = rng.uniform(0.1, 1, 25)
        if not clear_of(from_xywh(rows), 0.3):
            continue
        indices, ours = soft_nms(from_xywh(rows), scores, 0.3, 0.5, method, 0.01)
        theirs, picked = cv2.dnn.softNMSBoxes(
            rows.tolist(), scores.tolist(), 0.01, 0.3, sigma=0.5, method=kinds[method]
        )
        if len(picked) != len(indices):  # a score that float32 sees on the other side of .01
            assert abs(ours[-1] - 0.01) < 1e-5
            continue
        by_index = dict(zip(picked, np.ravel(theirs), strict=True))
        assert set(by_index) == set(indices.tolist())
        assert_allclose(ours, [by_index[i] for i in indices], atol=1e-4)
        compared += 1
    assert compared > 350


@explore
@given(scenes(), THRESHOLDS, st.sampled_from(["linear", "gaussian"]))
def test_soft_nms_falls_and_keeps_who_stands_alone(
    scene: Any, threshold: float, method: Any
) -> None:
    boxes, scores = scene
    indices, values = soft_nms(boxes, scores, threshold, method=method)
    assert indices.dtype == np.int64 and values.dtype == np.float64
    assert (np.diff(values) <= 0).all() and (values <= scores[indices]).all()
    assert (values >= 0.001).all() and len(set(indices.tolist())) == len(indices)
    alone = iou(boxes, boxes).sum(axis=1) <= (box_area(boxes) > 0)
    assert set(np.flatnonzero(alone)) <= set(indices.tolist())


def test_soft_nms_picks_again_after_each_step() -> None:
    boxes = [[0, 0, 10, 10], [0, 0, 10, 8], [30, 0, 40, 10]]
    indices, values = soft_nms(boxes, [0.9, 0.8, 0.5], method="linear")
    assert_array_equal(indices, [0, 2, 1])
    assert_allclose(values, [0.9, 0.5, 0.16])
    assert_allclose(soft_nms(boxes, [0.9, 0.8, 0.5])[1], [0.9, 0.5, 0.8 * np.exp(-0.64 / 0.5)])


# --- nothing, and nonsense ---


@pytest.mark.parametrize("nothing", [[], np.zeros((0, 4)), np.zeros((0, 4), int)])
def test_no_boxes(nothing: Any) -> None:
    for function in (from_xywh, from_cxcywh, to_xywh):
        assert function(nothing).shape == (0, 4)
    assert box_area(nothing).shape == (0,)
    for pairwise in PAIRWISE:
        assert pairwise(nothing, [[0, 0, 1, 1]]).shape == (0, 1)
        assert pairwise([[0, 0, 1, 1]], nothing).shape == (1, 0)
        assert pairwise(nothing, nothing).dtype == np.float64
    for kept in (
        nms(nothing, [], 0.5),
        nms_loops(nothing, [], 0.5),
        batched_nms(nothing, [], [], 0.5),
        soft_nms(nothing, [])[0],
        nms([[0, 0, 1, 1]], [0.3], 0.5, score_threshold=0.5),
    ):
        assert kept.shape == (0,) and kept.dtype == np.int64
    assert soft_nms(nothing, [])[1].dtype == np.float64


GOOD = [[0, 0, 1, 1], [0, 0, 2, 2]]


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ([*GOOD, [0, 0, 1, 1], [10, 10, 0, 20]], r"^box 3 has x2 < x1 \(10\.0 > 0\.0\)$"),
        ([[0, 5, 1, 4]], r"^box 0 has y2 < y1 \(5\.0 > 4\.0\)$"),
        ([[0, 0, np.nan, 1]], "^box 0 contains NaN$"),
        ([*GOOD, [0, 0, np.inf, 1]], "^box 2 contains inf$"),
        ([[0, 0, 1e200, 1]], r"^box 0 contains 1e\+200$"),
        ([0, 0, 1, 1], r"^boxes must have shape \(N, 4\), got \(4,\)$"),
        (np.zeros((2, 5)), r"^boxes must have shape \(N, 4\), got \(2, 5\)$"),
    ],
)
def test_bad_boxes_are_refused_by_name(boxes: Any, words: str) -> None:
    scores = np.ones(len(boxes))
    for function in (nms, nms_loops):
        with pytest.raises(ValueError, match=words):
            function(boxes, scores, 0.5)
    with pytest.raises(ValueError, match=words):
        soft_nms(boxes, scores)
    with pytest.raises(ValueError, match=words):
        batched_nms(boxes, scores, np.ones(len(boxes), int), 0.5)
    with pytest.raises(ValueError, match=words):
        box_area(boxes)
    for pairwise in PAIRWISE:
        with pytest.raises(ValueError, match="^b: " + words[1:]):
            pairwise(GOOD, boxes)
        with pytest.raises(ValueError, match="^a: " + words[1:]):
            pairwise(boxes, GOOD)


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([1, np.nan], "^score 1 is NaN$"),
        ([np.inf, 1], "^score 0 is inf$"),
        ([1], "^boxes 2 and scores 1 differ in length$"),
        ([[1, 2]], r"^scores must have shape \(N,\), got \(1, 2\)$"),
    ],
)
def test_bad_scores_are_refused_by_name(scores: Any, words: str) -> None:
    for function in (nms, nms_loops, soft_nms):
        with pytest.raises(ValueError, match=words):
            function(GOOD, scores, 0.5)


@pytest.mark.parametrize("value", [1.5, -0.1, np.nan, np.inf])
def test_thresholds_outside_are_refused(value: float) -> None:
    for function in (nms, nms_loops):
        with pytest.raises(ValueError, match=rf"^threshold {value} lies outside \[0, 1\]$"):
            function(GOOD, [1, 2], value)
        with pytest.raises(ValueError, match=rf"^score_threshold {value} lies outside"):
            function(GOOD, [1, 2], 0.5, score_threshold=value)
    with pytest.raises(ValueError, match=rf"^threshold {value} lies outside \[0, 1\]$"):
        batched_nms(GOOD, [1, 2], [0, 0], value)
    for name in ("threshold", "score_threshold"):
        with pytest.raises(ValueError, match=rf"^{name} {value} lies outside \[0, 1\]$"):
            soft_nms(GOOD, [1, 2], **{name: value})  # type: ignore[arg-type]


def test_other_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="sigma must be above 0 and finite, got 0"):
        soft_nms(GOOD, [1, 2], sigma=0)
    with pytest.raises(ValueError, match="method must be 'linear' or 'gaussian', got 'hard'"):
        soft_nms(GOOD, [1, 2], method="hard")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"score 1 is negative \(-2\.0\)"):
        soft_nms(GOOD, [1, -2])
    with pytest.raises(ValueError, match="boxes 2 and classes 1 differ in length"):
        batched_nms(GOOD, [1, 2], [0], 0.5)
    with pytest.raises(TypeError, match="classes has dtype float64: use integers"):
        batched_nms(GOOD, [1, 2], [0.0, 1.0], 0.5)
    with pytest.raises(TypeError, match="boxes has dtype complex128: use real numbers"):
        nms(np.zeros((1, 4), complex), [1], 0.5)
    for function in (from_xywh, from_cxcywh):
        with pytest.raises(ValueError, match=r"box 1 has a negative height \(-1\.0\)"):
            function([[0, 0, 1, 1], [0, 0, 1, -1]])


def test_arguments_stay_as_they_are() -> None:
    boxes, scores = random_scene(np.random.default_rng(1), 50)
    before = boxes.copy(), scores.copy()
    nms(boxes, scores, 0.4)
    soft_nms(boxes, scores)
    batched_nms(boxes, scores, np.arange(50) % 3, 0.4)
    assert_array_equal(boxes, before[0])
    assert_array_equal(scores, before[1])


# --- what the chapter says of OpenCV ---


def test_what_opencv_does_at_its_edges() -> None:
    tenth = np.array([[0.0, 0, 10, 10], [0, 0, 10, 1]])
    assert iou(tenth, tenth)[0, 1] == 0.1
    assert_array_equal(opencv_nms(tenth, np.array([0.9, 0.8]), 0.1), [0])
    assert_array_equal(nms(tenth, [0.9, 0.8], 0.1), [0, 1])
    flat = np.array([[0.0, 0, 0, 0], [50, 50, 50, 50]])
    assert_array_equal(opencv_nms(flat, np.array([0.9, 0.8]), 0.5), [0])
    far = np.array([[0.0, 0, 1, 1], [50, 50, 51, 51]])
    assert_array_equal(opencv_nms(far, np.array([0.9, 0.0]), 0.5), [0])
    assert_array_equal(nms(far, [0.9, 0.0], 0.5), [0, 1])
