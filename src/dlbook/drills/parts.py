"""Answers that are a tuple of several parts, such as weights and an intercept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlbook.drills import compare


def difference(
    names: Sequence[str],
    inputs: Mapping[str, Any],
    expected: Any,
    got: Any,
    *,
    rtol: float = compare.RTOL,
    atol: float = compare.ATOL,
) -> str | None:
    """Say what is wrong with an answer of several parts, the first that is wrong.

    Parameters
    ----------
    names : sequence of str
        What the parts are called.
    inputs : mapping
        The case, which plays no part.
    expected : tuple of arrays and numbers, or an array
        The right parts; an array is several numbers, the last of them a part of its own.
    got : any
        The answer to judge.
    rtol, atol : float
        As in :func:`dlbook.drills.compare.difference`.

    Returns
    -------
    str or None
        ``None`` if nothing is wrong.
    """
    if not isinstance(got, tuple | list) or len(got) != len(names):
        count = f"{len(got)} parts" if isinstance(got, tuple | list) else compare.described(got)
        return f"it returned {count}, not the {len(names)} parts {', '.join(names)}"
    for name, right, part in zip(names, split(expected), got, strict=True):
        if reason := compare.difference(inputs, right, part, rtol=rtol, atol=atol):
            return f"{name}: {reason}"
    return None


def split(expected: Any) -> tuple[Any, ...]:
    """Return the parts of a right answer; of an array, the last number and all before it."""
    if isinstance(expected, np.ndarray):
        return expected[:-1], float(expected[-1])
    return tuple(expected)


def same(one: Any, other: Any, *, rtol: float = compare.RTOL, atol: float = compare.ATOL) -> bool:
    """Tell whether two answers have the same parts, NaN and NaN included."""
    if not all(isinstance(answer, tuple | list) for answer in (one, other)):
        return False
    return len(one) == len(other) and all(
        compare.same(a, b, rtol=rtol, atol=atol) for a, b in zip(one, other, strict=True)
    )


def display(names: Sequence[str], expected: Any, got: Any) -> tuple[str, str]:
    """Print the parts of both answers by name, with just so many digits that they differ."""
    right = split(expected)
    parts = tuple(got) if isinstance(got, tuple | list) else ()
    if len(parts) != len(names):
        return _listed(names, [compare.text(part) for part in right]), compare.text(got)
    pairs = [compare.display({}, a, b) for a, b in zip(right, parts, strict=True)]
    return _listed(names, [a for a, _ in pairs]), _listed(names, [b for _, b in pairs])


def _listed(names: Sequence[str], texts: Sequence[str]) -> str:
    return "; ".join(f"{name} = {text}" for name, text in zip(names, texts, strict=True))
