"""Moves that make a case simpler, for the ``smaller`` of a drill.

Each move lowers a count that no other move raises (entries, then the ranks of their values), so
a search that takes them one after another comes to an end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dlbook.drills.record import Inputs


def dropped(inputs: Inputs, **axes: int) -> Iterator[Inputs]:
    """Yield the inputs with one index less, the same in several arrays.

    Parameters
    ----------
    inputs : mapping
        The case.
    **axes : int
        For each array by name the axis that loses an index. At least one index remains.

    Yields
    ------
    mapping
        One for each index.
    """
    name, axis = next(iter(axes.items()))
    length = inputs[name].shape[axis]
    if length > 1:
        for index in reversed(range(length)):
            yield dict(inputs) | {n: np.delete(inputs[n], index, a) for n, a in axes.items()}


def plainer(inputs: Inputs, name: str, *plain: Any) -> Iterator[Inputs]:
    """Yield the inputs with plainer values in one array, number or tuple.

    Parameters
    ----------
    inputs : mapping
        The case.
    name : str
        Which of them.
    *plain : float or tuple
        The plain values, the plainest first. A number with a single digit comes after them, any
        other number last.

    Yields
    ------
    mapping
        An array is first made plain as a whole, then entry by entry.
    """
    value = inputs[name]
    if isinstance(value, tuple):
        places = plain.index(value) if value in plain else len(plain)
        yield from (dict(inputs) | {name: entry} for entry in plain[:places])
        return
    array = np.asarray(value, dtype=float)
    before = _rank(array, plain)
    for candidate in _candidates(array, plain):
        if _rank(candidate, plain) < before:
            plain_value = candidate if isinstance(value, np.ndarray) else float(candidate)
            yield dict(inputs) | {name: plain_value}


def rounded(array: Any) -> Any:
    """Round each number to one significant digit."""
    return np.array([float(f"{x:.0e}") for x in np.ravel(array)]).reshape(np.shape(array))


def _candidates(array: Any, plain: tuple[float, ...]) -> Iterator[Any]:
    yield from (np.full_like(array, entry) for entry in plain)
    yield rounded(array)
    for index in np.ndindex(array.shape):
        for entry in plain:
            candidate = array.copy()
            candidate[index] = entry
            yield candidate


def _rank(array: Any, plain: tuple[float, ...]) -> int:
    ranks = np.where(array == rounded(array), len(plain), len(plain) + 1)
    for place, entry in reversed(list(enumerate(plain))):
        ranks = np.where(array == entry, place, ranks)
    return int(ranks.sum())
