"""The numbers in ``book/questions/08_detection.yml``: each entry names the tests of its own."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy.optimize import linear_sum_assignment
from support.chapters import namespace_with

from dlbook.detection import (
    batched_nms,
    box_area,
    ciou,
    diou,
    from_xywh,
    giou,
    iou,
    nms,
    soft_nms,
)

A = [0.0, 0, 6, 6]
FIVE = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10], [5, 0, 15, 10], [20, 0, 30, 10],
                 [22, 0, 32, 10]])  # fmt: skip
CHAIN = np.array([[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])


@pytest.fixture(scope="module")
def chapter() -> Any:
    return namespace_with("08_detection.ipynb", "pairs")


def pair(a: Any, b: Any) -> float:
    return float(iou([a], [b])[0, 0])


def plus_one(a: Any, b: Any) -> float:
    grow = np.array([0, 0, 1, 1])
    return pair(np.array(a) + grow, np.array(b) + grow)


def random_boxes(seed: int, count: int) -> Any:
    rng = np.random.default_rng(seed)
    return from_xywh(np.hstack([rng.uniform(0, 20, (count, 2)), rng.uniform(1, 15, (count, 2))]))


# --- One pair ---


def test_half_a_shift() -> None:
    assert pair(A, [3, 0, 9, 6]) == 1 / 3
    assert_allclose(pair(A, [2, 0, 8, 6]), 1 / 2)
    assert_allclose(pair(A, [3, 3, 9, 9]), 1 / 7)


def test_range_of_giou() -> None:
    far = giou([[0, 0, 1, 1]], [[1000, 1000, 1001, 1001]])[0, 0]
    assert_allclose(far, 2 / 1001**2 - 1)
    boxes = random_boxes(0, 80)
    assert (giou(boxes, boxes) > -1).all() and (
        giou(boxes, boxes) <= iou(boxes, boxes) + 1e-12
    ).all()
    assert giou([[0, 0, 0, 0]], [[1, 1, 1, 1]]) == -1
    assert giou([A], [[6, 0, 12, 6]])[0, 0] == 0


def test_jaccard_is_a_distance() -> None:
    boxes = random_boxes(1, 40)
    d = 1 - iou(boxes, boxes)
    assert (d[:, None, :] <= d[:, :, None] + d[None] + 1e-12).all()


def test_touching_boxes() -> None:
    assert pair([0, 0, 10, 10], [10, 0, 20, 10]) == 0
    assert_allclose(plus_one([0, 0, 10, 10], [10, 0, 20, 10]), 11 / 231)
    assert round(11 / 231, 3) == 0.048
    assert_array_equal(nms([[0, 0, 10, 10], [10, 0, 20, 10]], [1, 2], 0), [1, 0])


def test_cases_of_a_pair() -> None:
    assert pair(A, A) == 1
    assert pair(A, [8, 0, 14, 6]) == pair(A, [16, 16, 22, 22]) == pair(A, [6, 0, 12, 6]) == 0
    assert_allclose(pair(A, [1, 1, 3, 4]), 6 / 36)
    assert pair([2, 2, 2, 2], [2, 2, 2, 2]) == 0
    with pytest.raises(ValueError, match="box 0 has x2 < x1"):
        pair([10, 10, 0, 0], A)


def test_two_gaps() -> None:
    a, b = np.array([0, 0, 6, 6]), np.array([16, 16, 22, 22])
    assert np.prod(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])) == 100


def test_matrix_of_pairs() -> None:
    a, b = random_boxes(2, 7), random_boxes(3, 9)
    whole = iou(a, b)
    for i, j in itertools.product(range(7), range(9)):
        assert whole[i, j] == pair(a[i], b[j])
    assert 10_000**2 * 8 == 0.8e9


def test_rows_for_columns() -> None:
    boxes = random_boxes(4, 10)
    with pytest.raises(ValueError, match="ambiguous"):
        max(boxes[0], boxes[1])


def test_plus_one_by_size() -> None:
    found = [plus_one([0, 0, n, n], [n / 2, 0, 1.5 * n, n]) for n in (1, 8, 64)]
    assert_array_equal(np.round(found, 3), [0.6, 0.385, 0.34])
    assert round(plus_one([0, 0, 0.2, 0.2], [0.8, 0.8, 1, 1]), 3) == 0.059


def test_plus_one_counts_pixels() -> None:
    grid = np.zeros((2, 20, 20), dtype=bool)
    grid[0, 0:10, 0:10] = grid[1, 5:15, 5:12] = True
    counted = (grid[0] & grid[1]).sum() / (grid[0] | grid[1]).sum()
    assert counted == plus_one([0, 0, 9, 9], [5, 5, 11, 14])


def test_mixed_conventions() -> None:
    """Areas with + 1 and an overlap without it."""
    mixed = 100 / (121 + 121 - 100)
    assert round(mixed, 2) == 0.70 and mixed < 0.75


def test_a_mixed_format() -> None:
    boxes = np.array([[100.0, 100, 110, 110], [115, 115, 125, 125]])
    assert pair(*boxes) == 0
    assert round(pair(*from_xywh(boxes)), 2) == 0.48
    assert len(nms(boxes, [0.9, 0.8], 0.4)) == 2
    assert len(nms(from_xywh(boxes), [0.9, 0.8], 0.4)) == 1


def test_crowd_divides_by_the_detection() -> None:
    detection, crowd = [[0.0, 0, 10, 10]], [[5.0, 0, 100, 100]]
    assert mask.iou(np.array(detection), np.array(crowd), [1])[0, 0] == 0.5
    plain = mask.iou(np.array(detection), np.array(crowd), [0])[0, 0]
    assert plain == 50 / 10050 and round(plain, 3) == 0.005


# --- Suppression ---


def test_zeroed_scores() -> None:
    boxes = [[0, 0, 10, 10], [50, 50, 60, 60]]
    assert len(nms(boxes, [0.9, 0.0], 0.5)) == 2
    assert len(nms(boxes, [0.9, 0.02], 0.5, score_threshold=0.05)) == 1


def test_raising_the_threshold(chapter: Any) -> None:
    boxes, scores = chapter["SCENE_BOXES"], chapter["SCENE_SCORES"]
    kept = {t: len(nms(boxes, scores, t)) for t in (0.1, 0.5, 0.7, 0.9, 1)}
    assert kept == {0.1: 2, 0.5: 3, 0.7: 8, 0.9: 13, 1: 13}


def test_more_tolerance_can_keep_fewer() -> None:
    # The second goes at a strict threshold, and is kept at a loose one: there it removes two.
    boxes = [[0, 0, 10, 10], [4, 0, 14, 10], [7, 0, 17, 10], [4, 3, 14, 13]]
    scores = [0.9, 0.8, 0.7, 0.6]
    first = iou(boxes, boxes)[0, 1]
    assert len(nms(boxes, scores, first - 0.01)) == 3
    assert len(nms(boxes, scores, first)) == 2


def test_five_boxes_by_hand() -> None:
    scores = [0.9, 0.8, 0.7, 0.6, 0.5]
    assert_array_equal(nms(FIVE, scores, 0.5), [0, 2, 3])
    found = iou(FIVE, FIVE)[[0, 0, 3, 1], [1, 2, 4, 2]]
    assert_allclose(found, [9 / 11, 5 / 15, 8 / 12, 6 / 14])
    assert_array_equal(np.round(found, 2), [0.82, 0.33, 0.67, 0.43])
    assert_array_equal(nms(FIVE, scores, 0.4), [0, 2, 3])
    assert_array_equal(nms(FIVE, scores, 0.3), [0, 3])


def test_ties() -> None:
    same = np.tile(A, (3, 1))
    assert_array_equal(nms(same, [0.5, 0.5, 0.5], 0.5), [0])
    assert np.argsort([0.5, 0.5, 0.5], kind="stable")[::-1][0] == 2


def test_cost_in_pairs(chapter: Any) -> None:
    assert 1000 * 999 // 2 == 499_500
    sweep, asked, join = chapter["PAIRS"][1000, "spread", 0.5]
    assert sweep == asked == 451_468 and join < 1000
    apart = np.array([[20.0 * k, 0, 20 * k + 10, 10] for k in range(30)])
    assert chapter["pair_counts"](iou(apart, apart), apart, 0.5)[0] == 30 * 29 // 2
    equal = np.tile(A, (30, 1))
    assert chapter["pair_counts"](iou(equal, equal), equal, 0.5)[0] == 29


def test_equality_stays() -> None:
    assert_array_equal(nms([[0, 0, 10, 10], [0, 0, 10, 5]], [0.9, 0.8], 0.5), [0, 1])


def test_nan_sorts_last_and_wins_argmax() -> None:
    scores = np.array([0.5, np.nan, 0.9])
    assert np.argsort(-scores)[-1] == 1 == scores.argmax()
    with pytest.raises(ValueError, match="score 1 is NaN"):
        nms(np.tile(A, (3, 1)), scores, 0.5)


def test_products_round() -> None:
    wrong = [k for k in range(1, 10) if k * (1 + k / 10) > k / 10 * (10 + k)]
    assert wrong == [3, 6, 7]
    assert not any(k / 10 > k / 10 for k in range(1, 10))


def test_no_boxes() -> None:
    assert nms([], [], 0.5).shape == (0,) and nms([], [], 0.5).dtype.kind == "i"


def test_offsets() -> None:
    rng = np.random.default_rng(0)
    wrong = {"max": 0, "extent": 0}
    for lowest in (0, -100):
        for _ in range(50):
            corner = rng.uniform(lowest, lowest + 100, (25, 2))
            boxes = np.hstack([corner, corner + rng.uniform(10, 50, (25, 2))])
            scores, classes = rng.random(25), rng.integers(0, 4, 25)
            right = batched_nms(boxes, scores, classes, 0.4).tolist()
            for rule, extent in (("max", boxes.max() + 1),
                                 ("extent", boxes.max() - boxes.min() + 1)):  # fmt: skip
                got = nms(boxes + extent * classes[:, None], scores, 0.4).tolist()
                wrong[rule] += got != right
                assert got == right or lowest < 0
    assert wrong["max"] > 10 and wrong["extent"] == 0


def test_half_precision() -> None:
    assert np.spacing(np.float16(1300)) == 1
    assert np.finfo(np.float16).max == 65504
    assert np.spacing(np.float32(79 * 1400)) == 2.0**-7


def test_two_people() -> None:
    assert round(pair([0, 0, 40, 100], [14, 0, 54, 100]), 2) == 0.48


def test_crowd_of_forty(chapter: Any) -> None:
    missed, doubled, *_ = chapter["CROWD"][35, "hard"]
    assert 0.35 < missed[2] < 0.45 and missed[4] < 0.02 and missed[6] == 0
    assert doubled[6] > 1


def test_chain() -> None:
    assert_array_equal(np.round(iou(CHAIN, CHAIN)[0], 2), [1, 0.43, 0.11])
    assert_array_equal(nms(CHAIN, [0.9, 0.8, 0.7], 0.4), [0, 2])
    assert_array_equal(nms(CHAIN, [0.8, 0.9, 0.8], 0.4), [1])


def test_soft_factors() -> None:
    boxes = [[0, 0, 10, 10], [0, 0, 10, 8]]
    assert_allclose(soft_nms(boxes, [1, 0.9])[1][1] / 0.9, np.exp(-1.28))
    assert round(float(np.exp(-1.28)), 2) == 0.28
    assert_allclose(soft_nms(boxes, [1, 0.9], method="linear")[1][1] / 0.9, 0.2)


def test_the_order_changes() -> None:
    boxes = [[0, 0, 10, 10], [0, 0, 10, 8], [30, 0, 40, 10]]
    assert_array_equal(soft_nms(boxes, [0.9, 0.8, 0.5])[0], [0, 2, 1])


def test_fast_nms_on_the_chain() -> None:
    overlaps = np.triu(iou(CHAIN, CHAIN), 1)  # sorted by score: an end is best
    fast = np.flatnonzero(overlaps.max(axis=0) <= 0.4)
    assert_array_equal(fast, [0])
    assert len(nms(CHAIN, [0.9, 0.8, 0.7], 0.4)) == 2


def test_near_centers() -> None:
    for t in (0.1, 0.5, 0.8):
        boxes = random_boxes(6, 300)
        over = iou(boxes, boxes) > t
        for k in (0, 1):
            center = (boxes[:, k] + boxes[:, k + 2]) / 2
            width = boxes[:, k + 2] - boxes[:, k]
            near = abs(center[:, None] - center) < (1 - t) / (2 * t) * width[:, None] + 1e-12
            assert near[over].all()


def test_a_tenth_in_float32() -> None:
    assert float(np.float32(10) / np.float32(100)) > 0.1


def test_matching_is_not_greedy() -> None:
    cost = np.array([[1, 2], [2, 4]])
    assert cost[linear_sum_assignment(cost)].sum() == 4 < 1 + 4


# --- Losses and scores ---


def torch_giou(a: torch.Tensor, b: torch.Tensor, *, plain: bool = False) -> torch.Tensor:
    inner = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).clamp(min=0).prod()
    union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - inner
    outer = (torch.maximum(a[2:], b[2:]) - torch.minimum(a[:2], b[:2])).prod()
    return inner / union if plain else inner / union - (outer - union) / outer


def test_no_gradient_when_disjoint() -> None:
    target = torch.tensor([4.0, 4, 8, 8])
    for plain in (True, False):
        box = torch.tensor([12.0, 4, 16, 8], requires_grad=True)
        torch_giou(box, target, plain=plain).backward()
        assert box.grad is not None
        assert (box.grad[[0, 2]] == 0).all() if plain else (box.grad[[0, 2]] != 0).all()
        if plain:
            assert not box.grad.any()
        else:
            assert box.grad[0] < 0  # x1 is to fall, toward the target


def test_giou_inside() -> None:
    outer = [[0, 0, 4, 4]]
    corner, middle = [[0, 0, 2, 2]], [[1, 1, 3, 3]]
    assert iou(outer, corner) == giou(outer, corner) == giou(outer, middle) == 0.25
    assert diou(outer, corner) == 0.1875 and diou(outer, middle) == 0.25


def test_a_perfect_fit() -> None:
    assert ciou([A], [A]) == 1
    v = torch.tensor(0.0)
    assert (v / (1 - torch.tensor(1.0) + v)).isnan()


def test_l1_does_not_know_the_size() -> None:
    small, large = (pair([0, 0, n, n], [2, 0, n + 2, n]) for n in (4, 40))
    assert_allclose([small, large], [1 / 3, 19 / 21])
    assert round(19 / 21, 2) == 0.90
    assert box_area([[0, 0, 4, 4]]) == 16


HITS = np.array([1, 0, 1])


def average_precision(hits: Any, objects: int, recalls: Any = None) -> float:
    recall = hits.cumsum() / objects
    precision = hits.cumsum() / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if recalls is None:
        return float((np.diff(recall, prepend=0) * envelope).sum())
    return float(np.append(envelope, 0)[np.searchsorted(recall, recalls)].mean())


def test_ap_by_hand() -> None:
    found = [average_precision(HITS, 2, np.linspace(0, 1, 11)), average_precision(HITS, 2),
             average_precision(HITS, 2, np.linspace(0, 1, 101))]  # fmt: skip
    assert_array_equal(np.round(found, 3), [0.848, 0.833, 0.835])
    assert average_precision(np.array([1, 1]), 2) == 1
    assert average_precision(np.append(HITS, 0), 2) == average_precision(HITS, 2)


def test_ap_of_pycocotools(capsys: pytest.CaptureFixture[str]) -> None:
    truth = COCO()
    boxes = [[0.0, 0, 10, 10], [50, 50, 10, 10]]
    truth.dataset = {
        "info": {},
        "images": [{"id": 1, "width": 100, "height": 100}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            {"id": k + 1, "image_id": 1, "category_id": 1, "bbox": box, "area": 100, "iscrowd": 0}
            for k, box in enumerate(boxes)
        ],
    }
    truth.createIndex()
    found = truth.loadRes(
        [
            {"image_id": 1, "category_id": 1, "bbox": box, "score": score}
            for box, score in zip([boxes[0], boxes[0], boxes[1]], (0.9, 0.8, 0.7), strict=True)
        ]
    )
    scored = COCOeval(truth, found, "bbox")
    scored.evaluate()
    scored.accumulate()
    scored.summarize()
    capsys.readouterr()
    assert_allclose(scored.stats[1], average_precision(HITS, 2, np.linspace(0, 1, 101)))
    assert round(scored.stats[1], 3) == 0.835


def test_miou() -> None:
    matrix = np.array([[3, 1], [2, 4]])
    diagonal = np.diag(matrix)
    found = diagonal / (matrix.sum(axis=0) + matrix.sum(axis=1) - diagonal)
    assert_allclose(found, [1 / 2, 4 / 7])
    assert round(found.mean(), 3) == 0.536


def test_dice() -> None:
    def dice(j: Any) -> Any:
        return 2 * j / (1 + j)

    assert_allclose(dice(1 / 3), 1 / 2)
    grid = np.linspace(0, 1, 50)
    assert (dice(grid) >= grid).all() and (np.diff(dice(grid)) > 0).all()
    one, other = np.array([0, 0.9]), np.array([0.44, 0.44])
    assert_array_equal(np.round([one.mean(), other.mean()], 2), [0.45, 0.44])
    assert_array_equal(np.round([dice(one).mean(), dice(other).mean()], 2), [0.47, 0.61])
