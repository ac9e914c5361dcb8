"""Compare answers by value and kind of dtype, and print them so that a difference shows.

Never by ``int64`` itself: the default integer has 32 bits where Python runs in a web page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

RTOL = 1e-7
ATOL = 1e-10

KINDS = {
    "f": "floating-point numbers",
    "i": "integers",
    "u": "integers",
    "b": "booleans",
    "c": "complex numbers",
}


def difference(
    inputs: Mapping[str, Any], expected: Any, got: Any, *, rtol: float = RTOL, atol: float = ATOL
) -> str | None:
    """Say what is wrong with an answer: its type, its shape, NaN in it, or its values.

    Parameters
    ----------
    inputs : mapping
        The case, which plays no part.
    expected : array or float
        The right answer, finite.
    got : any
        The answer to judge.
    rtol, atol : float
        How far a value may be off: ``atol + rtol * abs(expected)``.

    Returns
    -------
    str or None
        The first thing that is wrong; ``None`` if nothing is.
    """
    return _form(expected, got) or _not_finite(got) or _values(expected, got, rtol, atol)


def same(one: Any, other: Any, *, rtol: float = RTOL, atol: float = ATOL) -> bool:
    """Tell whether two answers are equal, NaN and NaN included."""
    if isinstance(one, np.ndarray) != isinstance(other, np.ndarray):
        return False
    if not (_is_numeric(one) and _is_numeric(other)):
        return False
    if np.shape(one) != np.shape(other):
        return False
    with np.errstate(all="ignore"):
        return bool(np.allclose(one, other, rtol=rtol, atol=atol, equal_nan=True))


def has_nan(value: Any) -> bool:
    """Tell whether an array or number holds NaN."""
    return _is_numeric(value) and bool(np.isnan(value).any())


def display(inputs: Mapping[str, Any], expected: Any, got: Any) -> tuple[str, str]:
    """Print two answers with just so many digits that they differ."""
    for digits in (4, 6, 9, 12, 16):
        texts = text(expected, digits), text(got, digits)
        if texts[0] != texts[1]:
            break
    return texts


def text(value: Any, digits: int = 6) -> str:
    """Print a value on few lines; a long array is shortened.

    Parameters
    ----------
    value : any
        Numbers and numeric arrays get ``digits``; all else its ``repr``, cut at 300 characters.
    digits : int, default: 6
        The most digits after the point.

    Returns
    -------
    str
        One line for each row of a matrix.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind in KINDS:
        return np.array2string(
            value, precision=digits, separator=", ", threshold=80, max_line_width=88
        )
    if isinstance(value, bool):
        return repr(value)
    if isinstance(value, float | np.floating):
        return f"{value:.{digits}g}"
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, tuple):
        return "(" + ", ".join(text(entry, digits) for entry in value) + ")"
    shown = repr(value)
    return shown if len(shown) <= 300 else shown[:300] + " …"


def described(value: Any) -> str:
    """Name the type of a value, and the shape of an array."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if value is None:
        return "nothing"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _form(expected: Any, got: Any) -> str | None:
    if isinstance(expected, np.ndarray):
        if not isinstance(got, np.ndarray):
            return f"it returned {described(got)}, not an array of shape {expected.shape}"
        if got.shape != expected.shape:
            return f"it returned shape {got.shape}, not {expected.shape}"
    elif not _is_numeric(got) or np.shape(got) != ():
        return f"it returned {described(got)}, not a number"
    kind, wanted = (KINDS.get(np.asarray(v).dtype.kind, "objects") for v in (got, expected))
    return None if kind == wanted else f"it returned {kind}, not {wanted}"


def _is_numeric(value: Any) -> bool:
    numbers = (np.ndarray, np.generic, float, int)
    return isinstance(value, numbers) and np.asarray(value).dtype.kind in KINDS


def _not_finite(got: Any) -> str | None:
    array = np.asarray(got)
    for name, found in (("NaN", np.isnan(array)), ("an infinite value", np.isinf(array))):
        if found.any():
            return f"it returned {name}{_place(found)}"
    return None


def _values(expected: Any, got: Any, rtol: float, atol: float) -> str | None:
    right, answer = np.asarray(expected), np.asarray(got)
    off = np.abs(answer - right) > atol + rtol * np.abs(right)
    if not off.any():
        return None
    if right.size == 1:
        return "the value differs"
    return f"{np.count_nonzero(off)} of {off.size} values differ, the first{_place(off)}"


def _place(found: Any) -> str:
    """Say where an array is true first; nothing for a number."""
    if np.ndim(found) == 0:
        return ""
    first = np.argwhere(found)[0]
    return f" at [{', '.join(str(int(i)) for i in first)}]"
