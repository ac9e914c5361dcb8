"""The drills of chapter 6: other right solutions, known mistakes in other people's code."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from dlbook import output_size as reference
from dlbook.drills import drill, grade
from dlbook.drills import output_size as drills


def answer(function: Any, *args: Any) -> Any:
    try:
        return function(*args)
    except ValueError:
        return None


# --- the references of the drills are those of the chapter ---


def test_references_agree_on_all_settings_of_the_grid() -> None:
    grid = list(itertools.product(range(1, 13), range(1, 6), range(1, 4), range(4), range(1, 4)))
    assert len(grid) == 2160
    for n, k, s, p, d in grid:
        size = answer(reference.output_size, n, k, s, p, d)
        assert answer(drills.output_size, n, k, s, p, d) == size
        assert drills.same_padding(k, d) == reference.same_padding(k, d)
        if size is not None:
            padding = reference.output_padding_for(n, k, s, p, d)
            assert drills.output_padding_for(n, k, s, p, d) == padding
        for ceil in (False, True):
            pooled = answer(reference.pool_output_size, n, k, s, p, 1, ceil)
            if pooled is not None:
                assert drills.pool_output_size(n, k, s, p, ceil) == pooled


# --- other right solutions ---


def size_by_sliding(n: Any, k: Any, s: Any, p: Any, d: Any) -> Any:
    starts = [i for i in range(0, n + 2 * p, s) if i + (k - 1) * d < n + 2 * p]
    if not starts:
        raise ValueError("no window")
    return len(starts)


def size_of_a_strided_view(n: Any, k: Any, s: Any, p: Any, d: Any) -> Any:
    row = np.zeros(n + 2 * p)
    if d * (k - 1) >= len(row):
        raise ValueError(len(row))
    return np.lib.stride_tricks.sliding_window_view(row, d * (k - 1) + 1)[::s].shape[0]


def pool_by_sliding(n: Any, k: Any, s: Any, p: Any, ceil: Any) -> Any:
    """Count windows that fit, and with ceil those before the padding that the last one missed."""
    count, i = 0, 0
    while i + k <= n + 2 * p:
        count, i = count + 1, i + s
    over = ceil and i - s + k < n + 2 * p and i < n + p
    return np.int64(count + bool(over))


def same_as_array(k: Any, d: Any) -> Any:
    return np.array([math.floor((k - 1) * d / 2), math.ceil((k - 1) * d / 2)])


def extra_by_trial(n: Any, k: Any, s: Any, p: Any, d: Any) -> Any:
    m = size_by_sliding(n, k, s, p, d)
    return next(e for e in range(s) if (m - 1) * s - 2 * p + d * (k - 1) + 1 + e == n)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("output_size", size_by_sliding),
        ("output_size", size_of_a_strided_view),
        ("pool_output_size", pool_by_sliding),
        ("same_padding", same_as_array),
        ("output_padding_for", extra_by_trial),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_another_right_solution_passes(name: str, function: Any) -> None:
    report = grade(name, function)
    assert report.passed, report


# --- known mistakes, written by somebody else ---


def fits(n: Any, k: Any, p: Any, d: Any) -> Any:
    if n + 2 * p <= (k - 1) * d:
        raise ValueError
    return n + 2 * p - (k - 1) * d - 1


@pytest.mark.parametrize(
    ("name", "function", "words"),
    [
        ("output_size", lambda n, k, s, p, d: fits(n, k, p, d) / s + 1,
         "A size is a whole number: divide with //"),
        ("output_size", lambda n, k, s, p, d: int(np.rint(fits(n, k, p, d) / s)) + 1,
         "Rounding to the nearest counts a window that does not fit"),
        ("output_size", lambda n, k, s, p, d: math.ceil(fits(n, k, p, d) / s) + 1,
         "that is ceil_mode, which only pooling has"),
        ("output_size", lambda n, k, s, p, d: fits(n, k * d, p, 1) // s + 1,
         "dilation 2, kernel 1 spans 1, not 2"),
        ("output_size", lambda n, k, s, p, d: math.floor((n + 2 * p - (k - 1) * d - 1) / s) + 1,
         "expected ValueError, got 0: a kernel of 2 does not fit"),
        ("output_size", lambda n, k, s, p, d: fits(n + p, k, 0, d) // s + 1,
         "padding 1 stands on both sides: it counts twice"),
        ("output_size", lambda n, k, s, p, d: fits(n + 4 * p, k, 0, d) // s + 1,
         "2 padding is added to a size that is padded already"),
        ("output_size", lambda n, k, s, p, d: fits(n, k, p, d) // s,
         "one too few: the window counts before its first step, too"),
        ("pool_output_size",
         lambda n, k, s, p, c: (math.ceil if c else math.floor)((n + 2 * p - k) / s) + 1,
         "torch gives 1; where does the last window start?"),
        ("same_padding", lambda k, d: [k // 2] * 2, "kernel 2, dilation 1 makes 7 into 8"),
        ("same_padding", lambda k, d: (d * k - d + 1, 0), None),
        ("output_padding_for", lambda n, k, s, p, d: s - 1,
         "returns to 2: the largest is right for one size in stride"),
        ("output_padding_for", lambda n, k, s, p, d: n - n // s * s,
         "the floor divides size + 2 padding less the span"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_from_behavior(name: str, function: Any, words: str | None) -> None:
    report = grade(name, function)
    assert not report.passed
    if words is None:
        assert report.mistake is None
    else:
        assert words in (report.mistake or ""), report


def test_a_refusal_of_a_possible_setting_is_said() -> None:
    def timid(*args: int) -> int:
        raise ValueError("never")

    for name in ("output_size", "pool_output_size", "same_padding", "output_padding_for"):
        report = grade(name, timid)
        assert report.failed_case is not None
        assert report.failed_case.reason == "it raised ValueError, and the setting is possible"
        assert report.failed_case.got == "a ValueError"
        assert report.mistake is None


def test_a_missing_refusal_is_said() -> None:
    never = dict(drill("output_size").wrong)
    (words,) = (key for key in never if key.startswith("expected ValueError"))
    report = grade("output_size", never[words])
    assert report.failed_case is not None
    assert report.failed_case.expected == "a ValueError"
    assert "not a refusal: it has to raise ValueError" in report.failed_case.reason


def test_other_than_two_values_are_refused() -> None:
    report = grade("same_padding", lambda k, d: (0, 1, 2))
    assert report.failed_case is not None
    assert report.failed_case.reason == "it returned 3 values, not two"


# --- the smallest failing cases say what the chapter says ---


@pytest.mark.parametrize(
    ("name", "inputs", "got", "words"),
    [
        ("output_size", {"size": 6, "kernel": 3, "stride": 2, "padding": 0, "dilation": 1}, 2.5,
         "size 6, kernel 3, stride 2: got 2.5."),
        ("output_size", {"size": 9, "kernel": 3, "stride": 1, "padding": 0, "dilation": 2}, 4,
         "dilation 2, kernel 3 spans 5, not 6"),
        ("pool_output_size",
         {"size": 3, "kernel": 2, "stride": 2, "padding": 1, "ceil_mode": True}, 3,
         "size 3, kernel 2, stride 2, padding 1: got 3, torch gives 2; where does the last"),
        ("same_padding", {"kernel": 4, "dilation": 1}, (2, 2), "kernel 4, dilation 1 makes 9 into"),
        ("output_padding_for",
         {"size": 5, "kernel": 3, "stride": 2, "padding": 1, "dilation": 1}, 1,
         "size 5, kernel 3, stride 2, padding 1 returns to 6"),
    ],
)  # fmt: skip
def test_messages_have_their_numbers(name: str, inputs: Any, got: Any, words: str) -> None:
    entry = drill(name)
    makers = [
        function
        for message, function in entry.wrong.items()
        if words in message.format_map(entry.facts(inputs, got))
    ]
    assert got in [entry.call(function, inputs) for function in makers]
