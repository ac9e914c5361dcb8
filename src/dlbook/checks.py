"""Refuse bad arguments by name and value, before any work: what the chapters' modules share."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating[Any]]


def nonnegative(**values: float) -> list[float]:
    """Return finite numbers >= 0 as Python floats, so that they do not widen an array's dtype.

    Raises
    ------
    ValueError
        If one is negative, infinite or NaN.
    """
    for name, value in values.items():
        if not value >= 0:
            raise ValueError(f"{name} must be >= 0, got {value}")
        if value == math.inf:
            raise ValueError(f"{name} must be finite, got {value}")
    return [float(value) for value in values.values()]


def fractions(**values: float) -> list[float]:
    """Return numbers in [0, 1) as Python floats.

    Raises
    ------
    ValueError
        If one lies outside, or is NaN.
    """
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be in [0, 1), got {value}")
    return [float(value) for value in values.values()]


def count(name: str, value: int, least: int) -> int:
    """Return an integer that is at least ``least``.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is too small.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if number < least:
        raise ValueError(f"{name} must be >= {least}, got {number}")
    return number


def floating(name: str, value: ArrayLike) -> Array:
    """Return an array of a real floating dtype, unchanged.

    Raises
    ------
    TypeError
        If the dtype is another.
    """
    array = np.asarray(value)
    if array.dtype.kind != "f":
        raise TypeError(f"{name} has dtype {array.dtype}: use a floating dtype such as float64")
    return array


def finite(name: str, value: ArrayLike, ndim: int) -> NDArray[np.float64]:
    """Return real numbers as float64 of a rank; neither empty nor with NaN or infinity.

    Raises
    ------
    TypeError
        If the dtype is not real.
    ValueError
        If the rank differs, the array is empty, or a value is not finite.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {array.dtype}: use real numbers")
    if array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimension{'s' * (ndim != 1)}, "
                         f"got shape {array.shape}")  # fmt: skip
    if array.size == 0:
        raise ValueError(f"{name} is empty: it has shape {array.shape}")
    array = array.astype(np.float64)
    demand(name, array, np.isfinite(array), "finite")
    return array


def demand(name: str, array: Array, holds: NDArray[np.bool_], what: str) -> None:
    """Refuse an array by the first value that breaks a rule.

    Raises
    ------
    ValueError
        If the rule does not hold everywhere.
    """
    if not holds.all():
        raise ValueError(f"{name} must be {what}, got {array[~holds].flat[0]}")
