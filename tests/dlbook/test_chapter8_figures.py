"""The figures of chapter 8: captions in words and numbers, named failures, limits of controls."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from support.chapters import Defaults, figure_in, namespace_with, sweep, values

from dlbook.detection import batched_nms, ciou, diou, from_cxcywh, giou, iou, nms, soft_nms

#: The names of the figures' matplotlib figures.
FIGURES = {
    "two_boxes": "two_fig",
    "nms_steps": "steps_fig",
    "crowd": "crowd_fig",
    "class_offset": "offset_fig",
    "pairs": "pairs_fig",
    "losses": "loss_fig",
}
METHODS = ("hard", "linear", "Gaussian")
TENTHS = [k / 10 for k in range(1, 10)]


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    return namespace_with("08_detection.ipynb", "losses")


@pytest.fixture(scope="module")
def at(namespace: dict[str, Any]) -> dict[str, Defaults]:
    return {name: Defaults(figure_in(namespace, name)) for name in FIGURES}


def number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    assert found, text
    return float(found[1].replace(",", "").replace("−", "-"))


# --- all of them ---


@pytest.mark.parametrize(
    ("name", "counts", "defaults"),
    [
        ("two_boxes", (11, 11, 3, 2), (6, 3, (6, 6), 0)),
        ("nms_steps", (14, 9, 3), (1, 0.5, "hard")),
        ("crowd", (9, 9, 3), (35, 0.3, "hard")),
        ("class_offset", (15, 4, 2), (0, 0.5, 0)),
        ("pairs", (4, 3, 3), (1000, "spread", 0.5)),
        ("losses", (9, 3, 16), (8, (4.0, 4.0), 40)),
    ],
)
def test_controls_and_defaults(
    namespace: dict[str, Any],
    at: dict[str, Defaults],
    name: str,
    counts: tuple[int, ...],
    defaults: tuple[Any, ...],
) -> None:
    at[name].caption()
    figure = figure_in(namespace, name)
    assert tuple(len(entries) for entries in values(figure).values()) == counts
    assert figure.states == math.prod(counts) <= 3000
    assert tuple(widget.value for widget in figure.controls.values()) == defaults


@pytest.mark.parametrize("name", FIGURES)
def test_every_state_is_told_and_limits_stay(namespace: dict[str, Any], name: str) -> None:
    figure = figure_in(namespace, name)
    axes = namespace[FIGURES[name]].axes
    limits = [(ax.get_xlim(), ax.get_ylim()) for ax in axes]
    for _, text in sweep(figure):
        assert text.endswith(".") and text[0] == text[0].upper()
        assert not re.search(r"\b(None|nan|inf)\b|  |\.\.", text), text
    assert [(ax.get_xlim(), ax.get_ylim()) for ax in axes] == limits


# --- two_boxes ---


def test_half_a_width_is_a_third(at: dict[str, Defaults]) -> None:
    assert at["two_boxes"].caption().startswith("IoU = 18 / (36 + 36 − 18) = 0.333; GIoU 0.333")
    text = at["two_boxes"].caption(convention=1)
    assert text.startswith("With + 1, IoU = 28 / (49 + 49 − 28) = 0.400;")


def test_touching_boxes(at: dict[str, Defaults]) -> None:
    text = at["two_boxes"].caption(x=9)
    assert "= 0.000;" in text and text.endswith("They only touch: IoU 0, gradient 0.")
    text = at["two_boxes"].caption(x=9, convention=1)
    assert "= 0.077;" in text and text.endswith("They only touch, and + 1 sees an overlap.")


def test_two_gaps_make_an_area(at: dict[str, Defaults]) -> None:
    text = at["two_boxes"].caption(x=10, y=10)
    assert text.endswith("apart: IoU 0, gradient 0. Unclamped, two gaps would give an area of 1.")


def test_inside_giou_is_iou(at: dict[str, Defaults]) -> None:
    corner = at["two_boxes"].caption(x=3, y=3, shape=(3, 3))
    middle = at["two_boxes"].caption(x=4, y=4, shape=(3, 3))
    assert "= 0.250; GIoU 0.250" in corner and "= 0.250; GIoU 0.250" in middle
    assert number(r"DIoU (\S+),", corner) < number(r"DIoU (\S+),", middle)


def test_two_boxes_everywhere(namespace: dict[str, Any]) -> None:
    """With torch, formula by formula."""
    for state, text in sweep(figure_in(namespace, "two_boxes")):
        (w, h), plus = state["shape"], state["convention"]
        a = torch.tensor([3.0, 3, 9 + plus, 9 + plus])
        b = torch.tensor([state["x"], state["y"], state["x"] + w + plus, state["y"] + h + plus])
        inner = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).clamp(min=0).prod()
        outer = (torch.maximum(a[2:], b[2:]) - torch.minimum(a[:2], b[:2])).prod()
        union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - inner
        assert abs(number(r"\) = (\S+);", text) - float(inner / union)) < 6e-4
        wanted = float(inner / union - (outer - union) / outer)
        assert abs(number(r"; GIoU (\S+),", text) - wanted) < 6e-4
        assert ("IoU 0, gradient 0" in text) == (float(inner) == 0)


# --- nms_steps ---


def test_kept_boxes_by_threshold(at: dict[str, Defaults]) -> None:
    kept = [number(r"(\d+) boxes are kept", at["nms_steps"].caption(threshold=t)) for t in TENTHS]
    assert kept == [2, 2, 3, 3, 3, 5, 8, 11, 13]
    assert at["nms_steps"].caption(threshold=0.9).endswith("t = 0.9 suppresses nothing.")


def test_no_overlap_is_near_a_threshold(namespace: dict[str, Any]) -> None:
    overlaps = namespace["SCENE_IOU"]
    assert min(abs(overlaps - t).min() for t in TENTHS) > 0.003


def test_the_first_steps(at: dict[str, Defaults]) -> None:
    caption = at["nms_steps"].caption
    assert "before the first step. 13 boxes wait" in caption(step=0)
    assert "step 1: box 0 (0.91) is picked and removes 4 boxes." in caption()
    assert "done after 3 steps. 3 boxes are kept" in caption(step=4)
    assert caption(method="Gaussian").startswith("Gaussian, no t, step 1: box 0 (0.91)")
    assert caption(method="Gaussian") == caption(method="Gaussian", threshold=0.9)


def test_steps_are_those_of_the_reference(namespace: dict[str, Any]) -> None:
    boxes, scores = namespace["SCENE_BOXES"], namespace["SCENE_SCORES"]
    for t, method in itertools.product(TENTHS, METHODS):
        steps = namespace["suppression_steps"](t, method)
        picked = [best for best, _, _ in steps]
        if method == "hard":
            assert picked == nms(boxes, scores, t).tolist()
            continue
        kind: Any = method.lower()
        indices, left = soft_nms(boxes, scores, t, method=kind)
        assert picked == indices.tolist()
        assert_allclose([after[best] for best, _, after in steps], left)


# --- crowd ---


def test_one_threshold_for_two_people(at: dict[str, Defaults]) -> None:
    caption = at["crowd"].caption
    assert "an IoU of 0.48" in caption()
    assert number(r"([\d.]+)% missed", caption()) > 35 and "It loses neighbors." in caption()
    half = caption(threshold=0.5)
    assert number(r"([\d.]+)% missed", half) < 2 and half.endswith("Nearly right.")
    high = caption(threshold=0.7)
    assert number(r"([\d.]+)% missed", high) == 0
    assert number(r"([\d.]+) duplicates", high) > 1 and high.endswith("It keeps duplicates.")


def test_soft_methods_in_the_crowd(at: dict[str, Defaults]) -> None:
    caption = at["crowd"].caption
    linear = caption(method="linear")
    assert "0.0% missed, 0.00 duplicates" in linear
    gaussian = caption(method="Gaussian")
    assert "0.0% missed" in gaussian and number(r"([\d.]+) dupl", gaussian) < 0.15
    near = {method: caption(separation=25, threshold=0.5, method=method) for method in METHODS}
    assert number(r"([\d.]+)% missed", near["hard"]) > 15
    assert number(r"([\d.]+)% missed", near["Gaussian"]) < 3
    far = {method: caption(separation=95, method=method) for method in METHODS}
    assert number(r"([\d.]+) duplicates", far["Gaussian"]) > 0.8
    assert 0.1 < number(r"([\d.]+) duplicates", far["linear"]) < 0.4
    assert number(r"([\d.]+) duplicates", far["hard"]) < 0.1
    assert gaussian == caption(method="Gaussian", threshold=0.9)


def test_crowd_is_the_reference(namespace: dict[str, Any], at: dict[str, Defaults]) -> None:
    for separation, t, method in itertools.product((15, 55, 95), (0.1, 0.4, 0.7), METHODS):
        boxes, scores = namespace["crowd_scenes"](separation / 100)
        missed = doubled = 0.0
        for scene, marks in zip(boxes, scores, strict=True):
            if method == "hard":
                kept = nms(scene, marks, t)
            else:
                kind: Any = method.lower()
                kept, left = soft_nms(scene, marks, t, method=kind)
                kept = kept[left >= 0.3]
            found = len(set((kept // 6).tolist()))
            missed += (2 - found) / 80
            doubled += (len(kept) - found) / 40
        text = at["crowd"].caption(separation=separation, threshold=t, method=method)
        assert abs(number(r"([\d.]+)% missed", text) - 100 * missed) < 0.06
        assert abs(number(r"([\d.]+) duplicates", text) - doubled) < 0.006


# --- class_offset ---


def test_it_does_not_only_get_better(at: dict[str, Defaults]) -> None:
    def right(threshold: float) -> list[int]:
        caption = at["class_offset"].caption
        return [k for k in range(-16, 97, 8) if caption(offset=k, threshold=threshold)
                .endswith("Right.")]  # fmt: skip

    low = [k for k in right(0.3) if k > 0]
    assert 24 in low and not {32, 40} & set(low)
    assert [k for k in low if k >= 48] == list(range(48, 97, 8))
    low = [k for k in right(0.1) if k > 0]
    assert 32 in low and not {40, 48, 56} & set(low)
    assert [k for k in low if k >= 64] == list(range(64, 97, 8))


def test_agnostic_keeps_three_of_seven(at: dict[str, Defaults]) -> None:
    text = at["class_offset"].caption()
    assert "3 boxes are kept, 7 class by class" in text
    assert "max + 1 = 93, max − min + 1 = 88." in text


def test_a_box_is_removed_by_another_class(
    namespace: dict[str, Any], at: dict[str, Defaults]
) -> None:
    texts = [at["class_offset"].caption(offset=k) for k in range(-16, 97, 8)]
    assert any("Wrong: box 4 (class 1) was removed by box" in text for text in texts)
    for text in texts:
        if "Wrong" in text:
            assert re.search(r"was removed by box \d+ of class \d\.$", text), text


def test_the_rule_of_the_largest_fails_for_negative_boxes(
    namespace: dict[str, Any], at: dict[str, Defaults]
) -> None:
    boxes, scores = namespace["SCENE_BOXES"], namespace["SCENE_SCORES"]
    classes = namespace["SCENE_CLASSES"]
    assert "max + 1 = −7, max − min + 1 = 88." in at["class_offset"].caption(origin=-100)
    for t, origin in itertools.product((0.1, 0.3, 0.5, 0.7), (0, -100)):
        moved = boxes + origin
        right = batched_nms(moved, scores, classes, t).tolist()
        largest = moved.max() + 1
        by_largest = nms(moved + largest * classes[:, None], scores, t).tolist()
        assert (by_largest == right) == (origin == 0)
        extent = moved.max() - moved.min() + 1
        assert nms(moved + extent * classes[:, None], scores, t).tolist() == right


# --- pairs ---


def test_both_orders_compare_the_same_pairs(namespace: dict[str, Any]) -> None:
    assert len(namespace["PAIRS"]) == 36
    for sweeping, asking, _ in namespace["PAIRS"].values():
        assert sweeping == asking


def test_numbers_of_a_thousand(at: dict[str, Defaults]) -> None:
    caption = at["pairs"].caption
    spread, fifty, eight = (
        caption(scene=scene) for scene in ("spread", "clusters of 50", "8 clusters")
    )
    assert "499,500 pairs; greedy compares 451,468 of them, in either order; the join" in spread
    assert number(r"the join ([\d,]+)\.", spread) < 1000
    assert "greedy compares 11,401 of them" in fifty
    assert "greedy compares 4,571 of them" in eight
    for text in (fifty, eight):
        assert "Here the join compares more than greedy" in text
    assert number(r"the join ([\d,]+)\.", eight) > number(r"the join ([\d,]+)\.", fifty) > 15_000


def test_the_join_loses_no_pair(namespace: dict[str, Any]) -> None:
    for t, scene in itertools.product((0.3, 0.5, 0.7), ("spread", "clusters of 50", "8 clusters")):
        boxes, scores = namespace["pairs_scene"](500, scene)
        boxes = boxes[np.argsort(-scores)]
        overlaps = iou(boxes, boxes)
        over = int((np.triu(overlaps, 1) > t).sum())
        assert namespace["PAIRS"][500, scene, t][2] >= over


# --- losses ---


def test_the_loss_of_iou_is_stuck(at: dict[str, Defaults]) -> None:
    text = at["losses"].caption()
    assert "IoU loss 0.00" in text and "stuck at 0: no gradient." in text
    assert text.endswith("IoU never, GIoU at step 35, DIoU at step 49, CIoU at step 49.")
    assert "stuck" not in at["losses"].caption(distance=2)


def test_first_the_box_grows(namespace: dict[str, Any]) -> None:
    place = namespace["loss_starts"].tolist().index([14, 6, 4, 4])
    largest = {
        kind: path[:, place, 2:].prod(axis=1).max() / 16
        for kind, (path, _) in namespace["LOSS_PATHS"].items()
    }
    assert largest["IoU"] == 1
    assert_allclose([largest["GIoU"], largest["DIoU"]], [1.9, 2.1], atol=0.06)
    assert_allclose(largest["CIoU"], 2.1, atol=0.06)


def test_boxes_stay_in_the_picture(namespace: dict[str, Any]) -> None:
    for path, _ in namespace["LOSS_PATHS"].values():
        assert (path[..., 2:] > 0).all()
        corners = from_cxcywh(path.reshape(-1, 4))
        assert corners[:, 0].min() > -1 and corners[:, 2].max() < 19
        assert corners[:, 1].min() > 0.5 and corners[:, 3].max() < 11.5


def test_measures_are_the_references(namespace: dict[str, Any]) -> None:
    boxes = np.random.default_rng(4).uniform(1, 9, (300, 4))
    target = namespace["TARGET"][None]
    for kind, function in {"IoU": iou, "GIoU": giou, "DIoU": diou, "CIoU": ciou}.items():
        plain, measure, slope = namespace["measure_and_gradient"](kind, boxes)
        assert_allclose(measure, function(from_cxcywh(boxes), target)[:, 0], atol=1e-9)
        assert_allclose(plain, iou(from_cxcywh(boxes), target)[:, 0], atol=1e-12)
        if kind != "CIoU":  # whose alpha is a constant for the gradient
            for k, step in enumerate(np.eye(4) * 1e-6):
                up = function(from_cxcywh(boxes + step), target)[:, 0]
                down = function(from_cxcywh(boxes - step), target)[:, 0]
                assert_allclose(slope[:, k], (up - down) / 2e-6, atol=1e-7)


def test_a_large_box_on_a_corner_hardly_moves(namespace: dict[str, Any]) -> None:
    """Gradients fall with the area: from 12 by 12 no loss gets far."""
    start = np.array([[10.0, 10, 12, 12]])
    for kind in ("IoU", "GIoU", "DIoU", "CIoU"):
        _, seen = namespace["descend_boxes"](kind, start)
        assert_allclose(seen[-1, 0], 0.165, atol=0.01)
