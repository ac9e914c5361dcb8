"""What is refused, with the words that name it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dlbook import checks


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: checks.nonnegative(lr=-1), ValueError, "lr must be >= 0, got -1"),
        (lambda: checks.nonnegative(lr=math.nan), ValueError, "lr must be >= 0, got nan"),
        (lambda: checks.nonnegative(lr=math.inf), ValueError, "lr must be finite, got inf"),
        (lambda: checks.fractions(beta=1), ValueError, r"beta must be in \[0, 1\), got 1"),
        (lambda: checks.count("k", 2.0, 1), TypeError, "k must be an integer, got 2.0"),
        (lambda: checks.count("k", 0, 1), ValueError, "k must be >= 1, got 0"),
        (lambda: checks.floating("x", [1, 2]), TypeError, "x has dtype int64: use a floating"),
        (lambda: checks.finite("X", ["a"], 1), TypeError, "X has dtype <U1: use real numbers"),
        (lambda: checks.finite("X", [1j], 1), TypeError, "X has dtype complex128"),
        (
            lambda: checks.finite("X", [1.0], 2),
            ValueError,
            r"X must have 2 dimensions, got shape \(1,\)",
        ),
        (lambda: checks.finite("y", [[1.0]], 1), ValueError, "y must have 1 dimension, got"),
        (
            lambda: checks.finite("X", np.zeros((0, 3)), 2),
            ValueError,
            r"X is empty: it has shape \(0, 3\)",
        ),
        (lambda: checks.finite("y", [1, math.nan], 1), ValueError, "y must be finite, got nan"),
        (
            lambda: checks.demand("s", np.array([1.0, -2]), np.array([True, False]), ">= 0"),
            ValueError,
            "s must be >= 0, got -2",
        ),
    ],
)
def test_refused(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_what_is_right_comes_back() -> None:
    assert checks.nonnegative(lr=np.float32(0.5), eps=0) == [0.5, 0.0]
    assert all(type(value) is float for value in checks.fractions(beta=np.float64(0.5)))
    assert checks.count("k", np.int64(3), 3) == 3
    given = np.float32([1, 2])
    assert checks.floating("x", given) is given
    copied = checks.finite("X", np.array([1.0, 2.0]), 1)
    assert copied.dtype == np.float64
    assert checks.finite("X", [True, False], 1).tolist() == [1.0, 0.0]
