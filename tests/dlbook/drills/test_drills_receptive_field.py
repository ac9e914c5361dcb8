"""The drills of chapter 5: other right solutions, and known mistakes in other people's code."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import numpy as np
import pytest

from dlbook import receptive_field as book
from dlbook.drills import drill, grade
from dlbook.drills.receptive_field import has_holes, receptive_field_size, region


def size_from_the_back(layers: Any) -> Any:
    size = 1
    for kernel, stride, dilation in layers[::-1]:
        size = stride * size + dilation * (kernel - 1) + 1 - stride
    return size


def size_of_sets(layers: Any) -> Any:
    seen = {0}
    for kernel, stride, dilation in reversed(layers):
        seen = {stride * i + dilation * k for i in seen for k in range(kernel)}
    return np.int64(max(seen) - min(seen) + 1)


def region_clipped_at_every_layer(layers: Any, cell: Any, size: Any) -> Any:
    return np.array(book.region(layers, cell, size))


def holes_by_sets(kernel: Any, dilations: Any) -> Any:
    seen = {0}
    for dilation in dilations:
        seen = {i + dilation * k for i in seen for k in range(kernel)}
    return len(seen) < max(seen) + 1


def effective_with_loops(gradient: Any, inputs: Any) -> Any:
    total = np.zeros(inputs.shape[-1])
    for x in inputs:
        for row in gradient(x):
            total += row * row
    return (total / total.max()) ** 0.5


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("receptive_field_size", size_from_the_back),
        ("receptive_field_size", size_of_sets),
        ("region", region_clipped_at_every_layer),
        ("has_holes", holes_by_sets),
        ("effective_receptive_field", effective_with_loops),
    ],
)
def test_another_right_solution_passes(name: str, function: Any) -> None:
    report = grade(name, function)
    assert report.passed, report


def test_the_references_are_the_books() -> None:
    for layers in product(product((1, 2, 3), (1, 2), (1, 2)), repeat=2):
        full = [(k, s, 0, d) for k, s, d in layers]
        assert receptive_field_size(layers) == book.receptive_field(full)[-1].size
    for rates in product(range(1, 7), repeat=3):
        assert has_holes(3, rates) == book.has_holes(3, rates)
    assert region([(3, 1, 1, 1)], 0, 5).tolist() == list(book.region([(3, 1, 1)], 0, 5) or ())


# --- the numbers that the messages state ---


def wrong(name: str, words: str) -> Any:
    (found,) = (entry for said, entry in drill(name).wrong.items() if words in said)
    return found


VGG = [layer for n in (2, 2, 3, 3, 3) for layer in [(3, 1, 1)] * n + [(2, 2, 1)]]


@pytest.mark.parametrize(
    ("words", "layers", "answers"),
    [
        ("before adding", VGG, (243, 212)),
        ("no stride", VGG, (32, 212)),
        ("no layers", VGG, (211, 212)),
        ("no layers", [], (0, 1)),
        ("dilation is missing", [(3, 1, 1), (3, 1, 2), (3, 1, 4)], (7, 15)),
        ("reaches 5, not 6", [(3, 1, 2)], (6, 5)),
        ("that recursion", [(3, 2, 1), (3, 1, 1)], (5, 7)),
    ],
)
def test_numbers_in_the_messages_of_the_size(words: str, layers: Any, answers: Any) -> None:
    found = wrong("receptive_field_size", words)(layers), receptive_field_size(layers)
    assert found == answers


def test_numbers_in_the_messages_of_the_region() -> None:
    two, one = [(3, 1, 1, 1)] * 2, [(3, 1, 1, 1)]
    assert book.region(two, 0) == (-2, 2)
    assert wrong("region", "every layer")(two, 0, 9).tolist() == [0, 3]
    assert region(two, 0, 9).tolist() == [0, 2]
    assert wrong("region", "cell 0 sees pixels")(one, 0, 9).tolist() == [0, 2]
    assert region(one, 0, 9).tolist() == [0, 1]
    assert wrong("region", "reaches 5")([(3, 1, 0, 2)], 0, 9).tolist() == [0, 5]
    assert region([(3, 1, 0, 2)], 0, 9).tolist() == [0, 4]
    behind = [(2, 2, 0, 1), (3, 1, 1, 1)]
    assert wrong("region", "behind a stride")(behind, 2, 12)[0] - region(behind, 2, 12)[0] == 1


@pytest.mark.parametrize(
    ("words", "rates", "says"),
    [
        ("common divisor", (1, 4, 4), False),
        ("passes that test", (2, 3, 4), False),
        ("passes that test", (1, 3, 2), True),
        ("sort first", (3, 1), True),
        ("all smaller ones", (1, 2, 6), True),
        ("compare with the kernel", (2, 2), False),
        ("compare with the kernel", (1, 3, 9), True),
    ],
)
def test_examples_in_the_messages_of_the_holes(words: str, rates: Any, says: bool) -> None:
    assert wrong("has_holes", words)(3, rates) is says
    assert has_holes(3, rates) is not says


def test_the_widest_solid_field_of_three_layers() -> None:
    assert "1, 3, 9" in drill("has_holes").follow_up.answer
    widest = max(sum(r) for r in product(range(1, 15), repeat=3) if not has_holes(3, r))
    assert widest == 13
    counts = np.ones(1)
    for rate in (1, 3, 9):
        taps = np.zeros(2 * rate + 1)
        taps[::rate] = 1
        counts = np.convolve(counts, taps)
    assert counts.tolist() == [1.0] * 27


def test_what_one_draw_reaches_is_counted() -> None:
    report = grade("effective_receptive_field", wrong("effective_receptive_field", "{one}"))
    assert report.mistake is not None
    reached = re.search(r"reached (\d) of (\d) positions", report.mistake)
    assert reached is not None
    assert 1 <= int(reached[1]) <= int(reached[2]) <= 7
