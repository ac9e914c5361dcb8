"""The drills of chapter 4: fans, Kaiming normal, symmetry, orthogonal matrices, LSUV.

Each drill is its reference, its typical wrong solutions, and its record. The names with a leading
underscore are wrong on purpose, or make cases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlbook.drills import compare, shrink, storage
from dlbook.drills.record import Drill, FollowUp, Function, Inputs

Array = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]
Shape = tuple[int, ...]


def _as_array(value: Any) -> Any:
    """Return what stands for an array, a tuple or a list, as one; all else as it is."""
    if not isinstance(value, tuple | list):
        return value
    try:
        array = np.array(value)
    except ValueError:  # ragged
        return value
    return array if array.dtype.kind in "iuf" else value


def _check_integers(inputs: Inputs, expected: Any, got: Any) -> str | None:
    """Compare whole numbers; as floats they are as good."""
    if np.asarray(got).dtype.kind == "f":
        expected = np.asarray(expected, float) if np.ndim(expected) else float(expected)
    return compare.difference(inputs, expected, got)


# --- fans ---


def fans(shape: Shape) -> Integers:
    """Return fan_in and fan_out of a weight, as PyTorch computes them.

    Parameters
    ----------
    shape : tuple of int
        (n_out, n_in, kernel...).

    Returns
    -------
    array of int, shape (2,)
        fan_in and fan_out.
    """
    area = math.prod(shape[2:])
    return np.array([shape[1] * area, shape[0] * area])


def _swapped(shape: Shape) -> Integers:
    return fans(shape)[::-1]


def _area_forgotten(shape: Shape) -> Integers:
    return np.array([shape[1], shape[0]])


def _area_twice(shape: Shape) -> Integers:
    return fans(shape) * math.prod(shape[2:])


def _call_fans(function: Function, inputs: Inputs) -> Any:
    return _as_array(function(inputs["shape"]))


def _fans_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    shape = inputs["shape"]
    return {
        "wanted": str(int(fans(shape)[0])),
        "without": str(shape[1]),
        "twice": str(int(_area_twice(shape)[0])),
        "out": str(shape[0]),
        "in": str(shape[1]),
    }


def _draw_fans(rng: np.random.Generator) -> Inputs:
    kernel = rng.integers(1, 6, size=int(rng.choice([0, 1, 2, 3], p=[0.2, 0.2, 0.5, 0.1])))
    channels = rng.integers(1, 65, size=2)
    return {"shape": tuple(int(size) for size in (*channels, *kernel))}


def _smaller_fans(inputs: Inputs) -> Iterator[Inputs]:
    shape = inputs["shape"]
    if len(shape) > 2:
        yield {"shape": shape[:-1]}
    for place, size in enumerate(shape):
        for less in sorted({1, 2, size // 2, size - 1} - {0}):
            if less < size:
                yield {"shape": (*shape[:place], less, *shape[place + 1 :])}


FANS = Drill(
    name="fans",
    chapter="initialization",
    level="screening",
    task=(
        "Return `fan_in` and `fan_out` of a weight from its `shape`, a tuple of at least two "
        "integers, as `torch.nn.init` does: of a linear layer `(32, 64)`, or of a convolution "
        "`(128, 64, 3, 3)`. Any number of kernel axes may follow the first two."
    ),
    signature="fans(shape) -> array [fan_in, fan_out]",
    hints=(
        "How many numbers are summed up in one output of a 3×3 convolution over 64 channels?",
        "PyTorch stores a weight as `(out, in, *kernel)`.",
        "`math.prod(shape[2:])` is the kernel's area, and 1 for a linear layer.",
    ),
    reference=fans,
    wrong={
        "fans the wrong way round: torch stores ({out}, {in}) as (out, in)": _swapped,
        "fan_in {without}, expected {wanted}: each input channel counts once for every place of "
        "the kernel": _area_forgotten,
        "fan_in {twice}, expected {wanted}: the kernel's area is counted twice": _area_twice,
    },
    draw=_draw_fans,
    smaller=_smaller_fans,
    cases=storage.path("fans"),
    follow_up=FollowUp(
        "And of a depthwise 3×3 convolution on 64 channels?",
        "Its weight is `(64, 1, 3, 3)`: fan_in is 9. From the shape alone fan_out comes out as "
        "576, but each input feeds only the 9 weights of its own group, so it is 9 as well.",
    ),
    call=_call_fans,
    check=_check_integers,
    facts=_fans_facts,
)


# --- kaiming_normal ---


def kaiming_normal(shape: Shape, rng: np.random.Generator) -> Array:
    """Draw weights that keep the second moment through ReLU layers.

    Parameters
    ----------
    shape : tuple of int
        (n_out, n_in, kernel...).
    rng : numpy.random.Generator

    Returns
    -------
    array of float64, of that shape
        Normal, with variance 2 / fan_in.
    """
    fan_in = math.prod(shape[1:])
    return rng.normal(scale=math.sqrt(2 / fan_in), size=shape)


def _variance_as_std(shape: Shape, rng: np.random.Generator) -> Array:
    return rng.normal(scale=2 / math.prod(shape[1:]), size=shape)


def _fan_out(shape: Shape, rng: np.random.Generator) -> Array:
    fan_out = shape[0] * math.prod(shape[2:])
    return rng.normal(scale=math.sqrt(2 / fan_out), size=shape)


def _gain_one(shape: Shape, rng: np.random.Generator) -> Array:
    return rng.normal(scale=math.sqrt(1 / math.prod(shape[1:])), size=shape)


def _normal_as_bound(shape: Shape, rng: np.random.Generator) -> Array:
    bound = math.sqrt(2 / math.prod(shape[1:]))
    return rng.uniform(-bound, bound, size=shape)


class _Twice(NamedTuple):
    """Weights from one generator, and from another with its seed."""

    first: Any
    again: Any


def _draw_twice(function: Function, inputs: Inputs) -> _Twice:
    return _Twice(
        *(function(inputs["shape"], np.random.default_rng(inputs["seed"])) for _ in range(2))
    )


def _kaiming_std(inputs: Inputs) -> float:
    return math.sqrt(2 / math.prod(inputs["shape"][1:]))


def _not_an_array(got: Any, shape: Shape) -> str | None:
    """Return what is wrong with the form of a random matrix, NaN in it included."""
    if not isinstance(got, np.ndarray):
        return f"it returned {compare.described(got)}, not an array of shape {shape}"
    if got.dtype.kind != "f":
        kind = compare.KINDS.get(got.dtype.kind, "objects")
        return f"it returned {kind}, not floating-point numbers"
    if got.shape != shape:
        return f"it returned shape {got.shape}, not {shape}"
    if not np.isfinite(got).all():
        return "it returned NaN or an infinite value"
    return None


def _check_kaiming(inputs: Inputs, expected: float, got: _Twice) -> str | None:
    for weights in got:
        if reason := _not_an_array(weights, inputs["shape"]):
            return reason
    weights, count = got.first, got.first.size
    # Five standard deviations of what chance does to the deviation, the mean and the fourth power.
    ratio = weights.std() / expected
    if abs(ratio - 1) > 5 / math.sqrt(2 * count):
        after = _after_thirty(ratio)
        return f"std {weights.std():.4f}, expected {expected:.4f}{after}"
    if abs(weights.mean()) > 5 * expected / math.sqrt(count):
        return f"mean {weights.mean():.4f}, expected 0"
    if abs((weights**4).mean() / expected**4 - 3) > 5 * math.sqrt(96 / count):
        return "the deviation is right, but the law is not a normal one"
    if not np.array_equal(got.first, got.again):
        return "the same seed gave other weights: draw from rng alone"
    return None


def _after_thirty(ratio: float) -> str:
    """Say what 30 ReLU layers make of a mean square of 1, if each is off by this factor."""
    return f": the mean square is {ratio**60:.1g} after 30 ReLU layers" if ratio else ""


def _same_law(inputs: Inputs, one: _Twice, other: _Twice) -> bool:
    if any(_not_an_array(got.first, inputs["shape"]) for got in (one, other)):
        return False
    near = 5 / math.sqrt(one.first.size)
    deviations = [got.first.std() for got in (one, other)]
    fourths = [(got.first**4).mean() / (got.first**2).mean() ** 2
               for got in (one, other) if got.first.any()]  # fmt: skip
    return (
        len(fourths) == 2
        and bool(abs(deviations[0] / deviations[1] - 1) < near)
        and bool(abs(fourths[0] - fourths[1]) < 14 * near)
    )


def _kaiming_facts(inputs: Inputs, got: _Twice) -> Mapping[str, str]:
    return {
        "got": f"{got.first.std():.4f}",
        "wanted": f"{_kaiming_std(inputs):.4f}",
        "after": f"{2.0**-30:.0e}",
    }


def _display_kaiming(inputs: Inputs, expected: float, got: _Twice | None) -> tuple[str, str]:
    wanted = f"normal, mean 0, std {expected:.4f}"
    if got is None or _not_an_array(got.first, inputs["shape"]):
        return wanted, compare.text(got.first) if got else ""
    return wanted, f"mean {got.first.mean():.4f}, std {got.first.std():.4f}"


#: As many weights as it takes to tell two laws apart by their deviation.
_ENOUGH = 16_000


def _draw_kaiming(rng: np.random.Generator) -> Inputs:
    kernel = rng.choice([1, 3], size=int(rng.choice([0, 2])))
    n_in = int(rng.integers(8, 60))
    least = math.ceil(_ENOUGH / (n_in * kernel.prod()))
    n_out = int(rng.integers(least, 2 * least))
    if 0.6 < n_out / n_in < 1.6:
        n_out *= 3
    pair = (n_out, n_in) if kernel.size or rng.random() < 0.5 else (n_in, n_out)
    return {
        "shape": tuple(int(size) for size in (*pair, *kernel)),
        "seed": int(rng.integers(1000)),
    }


def _smaller_kaiming(inputs: Inputs) -> Iterator[Inputs]:
    """Yield a plain shape with as many weights as judging takes."""
    if inputs["shape"] != (40, 400):
        yield dict(inputs) | {"shape": (40, 400)}
    if inputs["seed"]:
        yield dict(inputs) | {"seed": 0}


KAIMING_NORMAL = Drill(
    name="kaiming_normal",
    chapter="initialization",
    level="core",
    task=(
        "Draw the weight of a layer that is followed by ReLU, as "
        '`torch.nn.init.kaiming_normal_(w, nonlinearity="relu")` does: normal, around 0, such that '
        "the second moment of the activations stays what it is. `shape` is `(n_out, n_in)` or "
        "`(n_out, n_in, *kernel)`, `rng` a `numpy.random.Generator`."
    ),
    signature="kaiming_normal(shape, rng) -> array of that shape",
    hints=(
        "What does a sum of `fan_in` independent products do to the second moment, and what does "
        "ReLU do to it?",
        "The variance is `2 / fan_in`. `fan_in` counts the kernel too: `math.prod(shape[1:])`.",
        "`rng.normal(scale=..., size=shape)` takes the standard deviation, which is the root of "
        "the variance.",
    ),
    reference=kaiming_normal,
    wrong={
        "std {got}, expected {wanted}: scale takes the standard deviation, not the "
        "variance": _variance_as_std,
        "std {got}, expected {wanted}: that is fan_out, which keeps gradients instead": _fan_out,
        "gain 1: each ReLU layer halves the mean square, to {after} after 30": _gain_one,
        "std {got}, expected {wanted}: that is a uniform law whose bound is the std; its bound "
        "would be 1.73 std": _normal_as_bound,
    },
    draw=_draw_kaiming,
    smaller=_smaller_kaiming,
    cases=storage.path("kaiming_normal"),
    follow_up=FollowUp(
        "Which uniform law has the same standard deviation?",
        "The one from -b to b with b = √3 std, here √(6 / fan_in): the variance of a uniform law "
        "is b² / 3.",
    ),
    call=_draw_twice,
    setting="rng = np.random.default_rng(seed)",
    answer=_kaiming_std,
    check=_check_kaiming,
    agree=_same_law,
    facts=_kaiming_facts,
    display=_display_kaiming,
)


# --- distinct_units ---


def distinct_units(w_in: Array, b: Array, w_out: Array, tol: float) -> int:
    """Count hidden units, those that gradient descent cannot tell apart only once.

    Parameters
    ----------
    w_in : array of float64, shape (H, D)
        A row for each unit.
    b : array of float64, shape (H,)
    w_out : array of float64, shape (K, H)
        A column for each unit.
    tol : float
        Numbers this close are equal.

    Returns
    -------
    int
        From 1 to H.
    """
    units = np.column_stack([w_in, b, w_out.T])
    found: list[Array] = []
    for unit in units:
        if not any(np.abs(unit - other).max() <= tol for other in found):
            found.append(unit)
    return len(found)


def _distinct_rows(rows: Array, tol: float) -> int:
    apart = np.abs(rows[:, None] - rows).max(axis=-1) > tol
    return int(sum(apart[k, :k].all() for k in range(len(rows))))


def _incoming_only(w_in: Array, b: Array, w_out: Array, tol: float) -> int:
    return _distinct_rows(w_in, tol)


def _without_outgoing(w_in: Array, b: Array, w_out: Array, tol: float) -> int:
    return _distinct_rows(np.column_stack([w_in, b]), tol)


def _without_bias(w_in: Array, b: Array, w_out: Array, tol: float) -> int:
    return _distinct_rows(np.column_stack([w_in, w_out.T]), tol)


def _columns(w_in: Array, b: Array, w_out: Array, tol: float) -> int:
    return _distinct_rows(w_in.T, tol)


def _to_the_last_bit(w_in: Array, b: Array, w_out: Array, tol: float) -> int:
    return len(np.unique(np.column_stack([w_in, b, w_out.T]), axis=0))


def _draw_units(rng: np.random.Generator) -> Inputs:
    """Draw a few units, copies of them, and near copies that differ in one part only."""
    units, inputs, outputs = (int(n) for n in rng.integers([2, 2, 1], [5, 6, 4]))
    w_in, b, w_out = (rng.normal(size=size) for size in ((units, inputs), units, (outputs, units)))
    picks = rng.integers(units, size=int(rng.integers(1, 8)))
    more, offsets, leaving = w_in[picks], b[picks], w_out[:, picks]
    kinds = rng.integers(5, size=len(picks))
    more = more + (kinds == 1)[:, None] * rng.normal(size=more.shape)
    offsets = offsets + (kinds == 2) * rng.normal(size=offsets.shape)
    leaving = leaving + (kinds == 3) * rng.normal(size=leaving.shape)
    near = 1e-8 * rng.uniform(-1, 1, size=offsets.shape)
    order = rng.permutation(units + len(picks))
    return {
        "w_in": np.concatenate([w_in, more])[order],
        "b": np.concatenate([b, offsets + (kinds == 4) * near])[order],
        "w_out": np.concatenate([w_out, leaving], axis=1)[:, order],
        "tol": 1e-6,
    }


def _smaller_units(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, w_in=0, b=0, w_out=1)
    yield from shrink.dropped(inputs, w_in=1)
    yield from shrink.dropped(inputs, w_out=0)
    for name in ("w_in", "b", "w_out"):
        yield from shrink.plainer(inputs, name, 0.0, 1.0)


DISTINCT_UNITS = Drill(
    name="distinct_units",
    chapter="initialization",
    level="core",
    task=(
        "A hidden layer has `H` units: unit `j` has the incoming weights `w_in[j]` of `(H, D)`, "
        "the bias `b[j]` of `(H,)` and the outgoing weights `w_out[:, j]` of `(K, H)`. Units for "
        "which all of these agree get equal gradients and stay one unit. Return how many "
        "different units there are, as an integer; numbers that are no more than `tol` apart are "
        "equal. Copies are much closer than that, all others much further apart."
    ),
    signature="distinct_units(w_in, b, w_out, tol) -> int",
    hints=(
        "What decides the gradient of a unit's weights? Follow it forward and backward.",
        "Put everything that belongs to a unit into one row: "
        "`np.column_stack([w_in, b, w_out.T])`.",
        "Go through the rows and keep one if it is further than `tol` from all that were kept, in "
        "at least one entry.",
    ),
    reference=distinct_units,
    wrong={
        "compares incoming weights only: bias and outgoing weights tell units apart too"
        : _incoming_only,
        "the outgoing weights are not compared: with other ones the gradients differ, and the "
        "units part": _without_outgoing,
        "the bias is not compared: units may differ in nothing else": _without_bias,
        "that counts columns of w_in: those are inputs, not units": _columns,
        "compares to the last bit: use tol": _to_the_last_bit,
    },
    draw=_draw_units,
    smaller=_smaller_units,
    cases=storage.path("distinct_units"),
    follow_up=FollowUp(
        "All six units are one, and all weights are 0. You add noise to the biases only. Does it "
        "train?",
        "Not with ReLU or tanh as it should: while the outgoing weights are 0 nothing flows back, "
        "so the first step moves only them, by what the noise in the biases made different. Draw "
        "one of the two weight matrices at random; then biases may stay 0.",
    ),
    check=_check_integers,
)  # fmt: skip


# --- orthogonal ---


def orthogonal(rows: int, cols: int, rng: np.random.Generator) -> Array:
    """Draw a matrix with orthonormal rows or columns, each such matrix equally likely.

    Parameters
    ----------
    rows, cols : int
        At least 1.
    rng : numpy.random.Generator

    Returns
    -------
    array of float64, shape (rows, cols)
        Orthonormal rows if there are no more rows than columns, else columns.
    """
    q, r = np.linalg.qr(rng.normal(size=(max(rows, cols), min(rows, cols))))
    q = q * np.sign(np.diag(r))
    return q if rows >= cols else q.T


def _plain_qr(rows: int, cols: int, rng: np.random.Generator) -> Array:
    q, _ = np.linalg.qr(rng.normal(size=(max(rows, cols), min(rows, cols))))
    return q if rows >= cols else q.T


def _not_transposed(rows: int, cols: int, rng: np.random.Generator) -> Array:
    q, r = np.linalg.qr(rng.normal(size=(rows, cols)))
    return q * np.sign(np.diag(r))


def _unit_rows(rows: int, cols: int, rng: np.random.Generator) -> Array:
    matrix = rng.normal(size=(rows, cols))
    return np.asarray(matrix / np.linalg.norm(matrix, axis=1, keepdims=True))


#: With so many fair draws, no entry has the same sign in all of them.
_DRAWS = 48


class _Matrices(NamedTuple):
    """Matrices in a row from one generator, and the first from another with its seed."""

    first: list[Any]
    again: Any


def _draw_matrices(function: Function, inputs: Inputs) -> _Matrices:
    size, seed = (inputs["rows"], inputs["cols"]), inputs["seed"]
    rng = np.random.default_rng(seed)
    first = [function(*size, rng) for _ in range(_DRAWS)]
    return _Matrices(first, function(*size, np.random.default_rng(seed)))


def _gram(inputs: Inputs) -> Array:
    return np.eye(min(inputs["rows"], inputs["cols"]))


def _symptoms(inputs: Inputs, got: _Matrices) -> dict[str, str]:
    """Return what is wrong with the matrices: a key to compare by, and words."""
    shape = (inputs["rows"], inputs["cols"])
    for matrix in (*got.first, got.again):
        if reason := _not_an_array(matrix, shape):
            return {reason: reason}
    stack = np.array(got.first)
    side = stack if shape[0] <= shape[1] else stack.transpose(0, 2, 1)
    off = np.abs(side @ side.transpose(0, 2, 1) - _gram(inputs)).max()
    found = {}
    if off > 1e-10:
        lengths = np.linalg.norm(stack, axis=2)
        unit = np.abs(lengths - 1).max() < 1e-10
        axis = "rows" if shape[0] <= shape[1] else "columns"
        key = "unit rows" if unit else f"off by {off:.6g}"
        found[key] = f"the {axis} are not orthonormal: their products are off by {off:.2g}"
    negative = int((stack[:, 0, 0] < 0).sum())
    if not found and negative in (0, _DRAWS):
        sign = "negative" if negative else "positive"
        found[sign] = f"Q[0, 0] is {sign} in {_DRAWS} of {_DRAWS} draws"
    if not found and not np.array_equal(got.first[0], got.again):
        found["seed"] = "the same seed gave another matrix: draw from rng alone"
    return found


def _check_matrices(inputs: Inputs, expected: Array, got: _Matrices) -> str | None:
    return next(iter(_symptoms(inputs, got).values()), None)


def _same_matrices(inputs: Inputs, one: _Matrices, other: _Matrices) -> bool:
    return set(_symptoms(inputs, one)) == set(_symptoms(inputs, other))


def _matrix_facts(inputs: Inputs, got: _Matrices) -> Mapping[str, str]:
    negative = sum(bool(np.ravel(matrix)[0] < 0) for matrix in got.first)
    return {
        "sign": "negative" if negative else "positive",
        "draws": str(_DRAWS),
        "shape": str(np.shape(got.first[0])),
        "wanted": str((inputs["rows"], inputs["cols"])),
    }


def _display_matrices(inputs: Inputs, expected: Array, got: _Matrices | None) -> tuple[str, str]:
    side = "Q @ Q.T" if inputs["rows"] <= inputs["cols"] else "Q.T @ Q"
    wanted = f"{side} = I of size {len(expected)}, and fair signs"
    return wanted, f"the first draw:\n{compare.text(got.first[0])}" if got else ""


def _draw_orthogonal(rng: np.random.Generator) -> Inputs:
    rows, cols = (int(n) for n in rng.integers(2, 8, size=2))
    return {"rows": rows, "cols": cols, "seed": int(rng.integers(1000))}


def _smaller_orthogonal(inputs: Inputs) -> Iterator[Inputs]:
    for name in ("rows", "cols"):
        if inputs[name] > 2:
            yield dict(inputs) | {name: inputs[name] - 1}
    if inputs["seed"]:
        yield dict(inputs) | {"seed": 0}


ORTHOGONAL = Drill(
    name="orthogonal",
    chapter="initialization",
    level="senior",
    task=(
        "Draw a `rows` × `cols` matrix with orthonormal rows, or with orthonormal columns if there "
        "are more rows than columns, as `torch.nn.init.orthogonal_` does. Every such matrix has to "
        "be equally likely. `rng` is a `numpy.random.Generator`."
    ),
    signature="orthogonal(rows, cols, rng) -> array (rows, cols)",
    hints=(
        "Which decomposition turns any matrix into orthonormal columns and a rest?",
        "`np.linalg.qr` of a normal matrix. It returns orthonormal *columns*: for a wide matrix "
        "decompose a tall one and transpose.",
        "QR is unique only if the diagonal of R is positive, and LAPACK does not see to that: "
        "multiply the columns of Q by `np.sign(np.diag(r))`.",
    ),
    reference=orthogonal,
    wrong={
        "Q[0, 0] is {sign} in {draws} of {draws} draws: fix the signs with diag(R)": _plain_qr,
        "shape {shape}, not {wanted}: for a wide matrix decompose a tall one, and "
        "transpose": _not_transposed,
        "rows are unit length, not orthogonal": _unit_rows,
    },
    draw=_draw_orthogonal,
    smaller=_smaller_orthogonal,
    cases=storage.path("orthogonal"),
    follow_up=FollowUp(
        "Fifty random 100×100 matrices multiplied: what do orthogonal ones spare you?",
        "All singular values of the product stay 1. With normal matrices of variance 1/100 the "
        "root mean square stays near 1 too, but the largest is above 4 and the median below "
        "1e-7: almost every direction is lost.",
    ),
    call=_draw_matrices,
    setting=f"rng = np.random.default_rng(seed), for {_DRAWS} matrices one after another",
    answer=_gram,
    check=_check_matrices,
    agree=_same_matrices,
    facts=_matrix_facts,
    display=_display_matrices,
)


# --- lsuv ---


def lsuv(
    weights: Sequence[Array], x: Array, phi: Callable[[Array], Array], tol: float
) -> list[Array]:
    """Rescale layer after layer until each gives pre-activations of variance 1.

    Parameters
    ----------
    weights : list of arrays of float64, shape (n_out, n_in)
    x : array of float64, shape (N, n_0)
        A batch.
    phi : callable
        The activation.
    tol : float
        How far from 1 a variance may stay.

    Returns
    -------
    list of arrays
        Multiples of the weights.
    """
    h, scaled = x, []
    for weight in weights:
        variance = (h @ weight.T).var()
        if abs(variance - 1) > tol:
            weight = weight / np.sqrt(variance)
        scaled.append(weight)
        h = phi(h @ weight.T)
    return scaled


def _one_pass(weights: Sequence[Array], x: Array, phi: Any, tol: float) -> list[Array]:
    h, scaled = x, []
    for weight in weights:
        z = h @ weight.T
        scaled.append(weight / z.std())
        h = phi(z)
    return scaled


def _by_variance(weights: Sequence[Array], x: Array, phi: Any, tol: float) -> list[Array]:
    h, scaled = x, []
    for weight in weights:
        scaled.append(weight / (h @ weight.T).var())
        h = phi(h @ scaled[-1].T)
    return scaled


def _by_input(weights: Sequence[Array], x: Array, phi: Any, tol: float) -> list[Array]:
    h, scaled = x, []
    for weight in weights:
        scaled.append(weight / h.std())
        h = phi(h @ scaled[-1].T)
    return scaled


def _after_phi(weights: Sequence[Array], x: Array, phi: Any, tol: float) -> list[Array]:
    h, scaled = x, []
    for weight in weights:
        scaled.append(weight / phi(h @ weight.T).std())
        h = phi(h @ scaled[-1].T)
    return scaled


_ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
}


def _call_lsuv(function: Function, inputs: Inputs) -> Any:
    phi = _ACTIVATIONS[inputs["phi"]]
    return _as_array(function(list(inputs["weights"]), inputs["x"], phi, inputs["tol"]))


def _scales(inputs: Inputs) -> Array:
    """Return the factor of each weight that gives it variance 1 exactly."""
    exact = lsuv(inputs["weights"], inputs["x"], _ACTIVATIONS[inputs["phi"]], 0.0)
    return np.array([new.std() / old.std() for new, old in zip(exact, inputs["weights"],
                                                               strict=True)])  # fmt: skip


def _check_lsuv(inputs: Inputs, expected: Array, got: Any) -> str | None:
    weights = inputs["weights"]
    if reason := _not_an_array(got, weights.shape):
        return reason
    h = inputs["x"]
    for layer, (new, old) in enumerate(zip(got, weights, strict=True), start=1):
        z = h @ new.T
        if abs(z.var() - 1) > inputs["tol"] * (1 + 1e-9) + 1e-9:
            return f"layer {layer} has the variance {z.var():.4g}, not 1"
        scale = (new * old).sum() / (old**2).sum()
        if scale <= 0 or np.abs(new - scale * old).max() > 1e-9 * scale * np.abs(old).max():
            return f"weight {layer} is not a positive multiple of what it was"
        h = _ACTIVATIONS[inputs["phi"]](z)
    return None


def _same_scales(inputs: Inputs, one: Any, other: Any) -> bool:
    """Tell whether two answers are equal, up to layers that tol allows to leave alone."""
    return compare.same(one, other, rtol=2 * inputs["tol"], atol=0)


def _lsuv_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    z = inputs["x"] @ inputs["weights"][0].T
    return {"variance": f"{z.var():.3g}", "deviation": f"{z.std():.3g}"}


def _display_lsuv(inputs: Inputs, expected: Array, got: Any) -> tuple[str, str]:
    wanted = f"the weights times {compare.text(expected)}, within tol"
    if got is None or _not_an_array(got, inputs["weights"].shape):
        return wanted, compare.text(got)
    factors = [float((new * old).sum() / (old**2).sum())
               for new, old in zip(got, inputs["weights"], strict=True)]  # fmt: skip
    return wanted, f"about the weights times {compare.text(np.array(factors))}"


def _draw_lsuv(rng: np.random.Generator) -> Inputs:
    while True:
        depth, width, samples = (int(n) for n in rng.integers([2, 4, 6], [5, 8, 12]))
        scale = rng.choice([0.1, 0.3, 3.0], size=(depth, 1, 1))
        inputs = {
            "weights": scale * rng.normal(size=(depth, width, width)),
            "x": rng.choice([0.5, 2.0]) * rng.normal(size=(samples, width)),
            "phi": str(rng.choice(["relu", "tanh"])),
            "tol": 0.01,
        }
        if _is_alive(inputs):
            return inputs


def _smaller_lsuv(inputs: Inputs) -> Iterator[Inputs]:
    candidates = (
        *shrink.dropped(inputs, weights=0),
        *shrink.dropped(inputs, x=0),
        *shrink.plainer(inputs, "x"),
        *shrink.plainer(inputs, "weights"),
    )
    yield from filter(_is_alive, candidates)


def _is_alive(inputs: Inputs) -> bool:
    """Tell whether every layer has a variance to speak of: ReLU may put out all that there is."""
    if len(inputs["x"]) < 2:
        return False
    with np.errstate(all="ignore"):
        scales = _scales(inputs)
    return bool(np.isfinite(scales).all() and scales.max() < 1e3)


LSUV = Drill(
    name="lsuv",
    chapter="initialization",
    level="senior",
    task=(
        "Initialize from data (LSUV, without its orthogonal start): multiply each of the `weights` "
        "by a positive number such that the pre-activations `z = h @ w.T` of that layer have the "
        "variance 1, over samples and units together, or differ from it by no more than `tol`. "
        "`weights` is a list of arrays `(n, n)`, `x` a batch `(N, n)`, and `h = phi(z)` goes into "
        "the next layer. Return the list of rescaled weights, and leave the arguments as they are."
    ),
    signature="lsuv(weights, x, phi, tol) -> list of arrays",
    hints=(
        "What does the second layer see once the first one has been rescaled?",
        "One layer after another: measure `(h @ w.T).var()`, rescale, and only then compute the "
        "next `h`.",
        "A layer divided by the *standard deviation* of its output has variance 1.",
    ),
    reference=lsuv,
    wrong={
        "layer 2 was measured before layer 1 was rescaled: go on with the new weights": _one_pass,
        "divided by the variance {variance}, not by the standard deviation "
        "{deviation}": _by_variance,
        "that is the spread of the layer's input: measure z = h @ w.T": _by_input,
        "that is the spread after phi: measure z = h @ w.T": _after_phi,
    },
    draw=_draw_lsuv,
    smaller=_smaller_lsuv,
    cases=storage.path("lsuv"),
    follow_up=FollowUp(
        "Does it help a network with batch norm after every layer?",
        "Hardly: normalization does the same at every step, and makes the scale of the weight "
        "before it irrelevant to the output. What it cannot mend is symmetry.",
    ),
    call=_call_lsuv,
    setting="weights = list(weights), and phi is the function of that name",
    answer=_scales,
    check=_check_lsuv,
    agree=_same_scales,
    facts=_lsuv_facts,
    display=_display_lsuv,
)

DRILLS = (FANS, KAIMING_NORMAL, DISTINCT_UNITS, ORTHOGONAL, LSUV)
