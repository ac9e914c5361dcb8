"""The drills of chapter 12: shapes, batched products, a loss, a gradient, and einsum.

Each drill is its reference, its typical wrong solutions, and its record. The names with a leading
underscore are wrong on purpose, or make cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlbook.drills import compare, parts, shrink, storage
from dlbook.drills.record import Drill, FollowUp, Function, Inputs

Array = NDArray[Any]
Shape = tuple[int, ...]


def _between(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high + 1))


def _written(shape: Any) -> str:
    """Write a shape as PyTorch's users do: (3), (2, 3)."""
    return f"({', '.join(str(size) for size in shape)})"


# --- matmul_shape ---


def matmul_shape(a: Shape, b: Shape) -> Shape | None:
    """Return the shape of ``a @ b``, or ``None`` where PyTorch refuses.

    Parameters
    ----------
    a, b : tuple of int
        Shapes of rank 1 or more.

    Returns
    -------
    tuple of int, or None
    """
    left = (1, *a) if len(a) == 1 else a
    right = (*b, 1) if len(b) == 1 else b
    if left[-1] != right[-2]:
        return None
    try:
        batch = np.broadcast_shapes(left[:-2], right[:-2])
    except ValueError:
        return None
    rows = left[-2:-1] if len(a) > 1 else ()
    columns = right[-1:] if len(b) > 1 else ()
    return tuple(batch) + rows + columns


def _not_promoted(a: Shape, b: Shape) -> Shape | None:
    return matmul_shape(a, b) if min(len(a), len(b)) > 1 else None


def _added_kept(a: Shape, b: Shape) -> Shape | None:
    return matmul_shape((1, *a) if len(a) == 1 else a, (*b, 1) if len(b) == 1 else b)


def _contracted_stretched(a: Shape, b: Shape) -> Shape | None:
    k = b[-2] if len(b) > 1 else b[0]
    if 1 in (a[-1], k):
        a, b = (*a[:-1], 1), ((*b[:-2], 1, b[-1]) if len(b) > 1 else (1,))
    return matmul_shape(a, b)


def _batch_equal(a: Shape, b: Shape) -> Shape | None:
    return matmul_shape(a, b) if len(a) < 3 or len(b) < 3 or a[:-2] == b[:-2] else None


def _check_shape(inputs: Inputs, expected: Any, got: Any) -> str | None:
    if expected is None:
        return None if got is None else f"it returned {_named(got)}, not None: torch refuses"
    if not isinstance(got, tuple | list):
        return f"it returned {compare.described(got)}, not the shape {expected}"
    if len(got) != len(expected):
        return f"it returned {len(got)} sizes, not the {len(expected)} of {_written(expected)}"
    found = (compare.difference({}, right, size)
             for right, size in zip(expected, got, strict=True))  # fmt: skip
    return next((reason for reason in found if reason), None)


def _named(got: Any) -> str:
    return _written(got) if isinstance(got, tuple | list) else compare.described(got)


def _same_shape(inputs: Inputs, one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return isinstance(one, tuple | list) and tuple(one) == tuple(other)


def _shape_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    right = matmul_shape(inputs["a"], inputs["b"])
    return {
        "pair": f"{_written(inputs['a'])} @ {_written(inputs['b'])}",
        "right": "None" if right is None else _written(right),
        "got": "None" if got is None else _named(got),
    }


def _show_shape(inputs: Inputs, expected: Any, got: Any) -> tuple[str, str]:
    return compare.text(expected), compare.text(got)


def _call_shape(function: Function, inputs: Inputs) -> Any:
    return function(*inputs.values())


def _draw_shapes(rng: np.random.Generator) -> Inputs:
    batch = tuple(_between(rng, 1, 4) for _ in range(_between(rng, 0, 2)))
    n, k, m = (_between(rng, 1, 4) for _ in range(3))

    def operand(last: Shape) -> Shape:
        kept = batch[_between(rng, 0, len(batch)) :]
        return tuple(size if rng.random() < 0.7 else 1 for size in kept) + last

    a, b = operand((n, k)), operand((k, m))
    kind = rng.random()
    if kind < 0.2:
        a = (k,)
    if 0.15 < kind < 0.35:
        b = (k,)
    if kind > 0.7:  # mostly a pair that does not fit
        b = (*b[:-2], 1 if rng.random() < 0.4 else _between(rng, 1, 4), *b[-1:])
    return {"a": a, "b": b}


def _smaller_shapes(inputs: Inputs) -> Iterator[Inputs]:
    for name in ("a", "b"):
        shape = inputs[name]
        if len(shape) > 1:
            yield dict(inputs) | {name: shape[1:]}
    for size in range(4, 1, -1):  # the same size everywhere, so that what fits still fits
        if any(size in inputs[name] for name in ("a", "b")):
            lower = {name: tuple(size - 1 if n == size else n for n in inputs[name])
                     for name in ("a", "b")}  # fmt: skip
            yield lower


MATMUL_SHAPE = Drill(
    name="matmul_shape",
    chapter="tensor_products",
    level="screening",
    task=(
        "Return the shape of `a @ b` for tensors of these shapes, as `torch.matmul` makes it, or "
        "`None` if it refuses. Both are tuples of one or more integers."
    ),
    signature="matmul_shape(a, b) -> tuple of int, or None",
    hints=(
        "Which two axes meet? Begin with two matrices, and let everything before be a batch.",
        "A 1-D `a` gets a 1 in front, a 1-D `b` a 1 at its end. What has to happen to them in "
        "the result?",
        "The contracted axes must be equal. Only the axes before the last two broadcast, and "
        "`np.broadcast_shapes` does that.",
    ),
    reference=matmul_shape,
    wrong={
        "{pair} gives {right}, you say None: a 1-D operand gets an axis of size 1": _not_promoted,
        "{pair} gives {right}, not {got}: the added 1 must go again": _added_kept,
        "{pair}: torch refuses, you say {got}. Only batch axes broadcast, never the contracted "
        "one": _contracted_stretched,
        "{pair} gives {right}, you say None: batch axes broadcast": _batch_equal,
    },
    draw=_draw_shapes,
    smaller=_smaller_shapes,
    cases=storage.path("matmul_shape"),
    follow_up=FollowUp(
        "Which of these pairs does `torch.einsum` accept although `@` refuses?",
        "Those whose contracted axis has size 1 on one side: it stretches that axis silently.",
    ),
    call=_call_shape,
    check=_check_shape,
    agree=_same_shape,
    facts=_shape_facts,
    display=_show_shape,
)


# --- batched_mv ---


def batched_mv(A: Array, x: Array) -> Array:  # noqa: N803
    """Multiply each matrix of a batch with its own vector.

    Parameters
    ----------
    A : array of float64, shape (B, n, k)
        Matrices.
    x : array of float64, shape (B, k)
        Vectors.

    Returns
    -------
    array of float64, shape (B, n)
        What ``torch.einsum("bij,bj->bi", A, x)`` gives.
    """
    return np.asarray((A @ x[:, :, None])[:, :, 0])


def _one_matrix(A: Array, x: Array) -> Array:  # noqa: N803
    return np.asarray(A @ x)


def _one_transposed(A: Array, x: Array) -> Array:  # noqa: N803
    return np.asarray(A @ x.T)


def _squeezed(A: Array, x: Array) -> Array:  # noqa: N803
    return np.asarray((A @ x[:, :, None]).squeeze())


def _first_vector(A: Array, x: Array) -> Array:  # noqa: N803
    return np.asarray(A @ x[0])


def _mv_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    return {"k": str(inputs["x"].shape[1]), "shape": str(np.shape(got))}


def _draw_mv(rng: np.random.Generator) -> Inputs:
    # As many vectors as they have entries: then A @ x runs.
    batch, rows = _between(rng, 1, 4), _between(rng, 1, 4)
    return {"A": rng.normal(size=(batch, rows, batch)), "x": rng.normal(size=(batch, batch))}


def _smaller_mv(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, A=1)
    for lower in shrink.dropped(inputs, A=0, x=0):
        yield from shrink.dropped(lower, A=2, x=1)
    yield from shrink.plainer(inputs, "A", 1.0, 2.0)
    yield from shrink.plainer(inputs, "x", 1.0, 2.0)


BATCHED_MV = Drill(
    name="batched_mv",
    chapter="tensor_products",
    level="screening",
    task=(
        "Multiply each matrix of a batch with its own vector. `A` has shape `(B, n, k)`, `x` has "
        "shape `(B, k)`. Return an array of shape `(B, n)`, for a batch of 1 too."
    ),
    signature="batched_mv(A, x) -> array (B, n)",
    hints=(
        "What does `A @ x` take `x` for? It has two axes.",
        "Make each vector a matrix with one column: `x[:, :, None]` has shape `(B, k, 1)`.",
        "Then take that one column out again, and nothing else.",
    ),
    reference=batched_mv,
    wrong={
        "that is A @ x, which takes x as one matrix: it fails unless B = k, and for B = k = {k} "
        "it returns {shape}": _one_matrix,
        "that is A @ x.T, every matrix with every vector: shape {shape}. Take the diagonal, or "
        "make each vector a column": _one_transposed,
        "an axis of size 1 got lost, shape {shape}: squeeze the last axis only": _squeezed,
        "every matrix got the first vector": _first_vector,
    },
    draw=_draw_mv,
    smaller=_smaller_mv,
    cases=storage.path("batched_mv"),
    follow_up=FollowUp(
        "Two other ways to write it?",
        '`einsum("bij,bj->bi", A, x)` and `(A * x[:, None]).sum(-1)`.',
    ),
    facts=_mv_facts,
)


# --- matmul ---


def matmul(a: Array, b: Array) -> Array:
    """Return ``a @ b`` by multiplying with broadcasting and summing.

    Parameters
    ----------
    a, b : array of float64 or int64
        Of the same dtype, of rank 1 or more, of shapes that fit.

    Returns
    -------
    array
        Of that dtype, and of the shape of ``torch.matmul(a, b)``.
    """
    left = a[None] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    out = (left[..., :, :, None] * right[..., None, :, :]).sum(axis=-2, dtype=a.dtype)
    if a.ndim == 1:
        out = out[..., 0, :]
    return np.asarray(out[..., 0] if b.ndim == 1 else out)


def _wrong_sum(a: Array, b: Array) -> Array:
    left = a[None] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    return np.asarray((left[..., :, :, None] * right[..., None, :, :]).sum(axis=-1))


def _first_batch(a: Array, b: Array) -> Array:
    shape = matmul_shape(a.shape, b.shape)
    first_a = a[(0,) * max(a.ndim - 2, 0)]
    first_b = b[(0,) * max(b.ndim - 2, 0)]
    return np.broadcast_to(matmul(first_a, first_b), shape or ()).copy()


def _through_floats(a: Array, b: Array) -> Array:
    return np.asarray(matmul(a.astype(float), b.astype(float)).astype(a.dtype))


def _float_result(a: Array, b: Array) -> Array:
    return np.asarray(matmul(a.astype(float), b.astype(float)))


def _promoted_kept(a: Array, b: Array) -> Array:
    return matmul(a[None] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b)


def _as_array(expected: Any, got: Any) -> Any:
    """Take a NumPy number for an array without axes: both are right."""
    number = isinstance(got, np.number | float | int) and not isinstance(got, bool)
    return np.asarray(got) if number and np.shape(expected) == () else got


def _check_exact(inputs: Inputs, expected: Any, got: Any) -> str | None:
    got = _as_array(expected, got)
    reason = compare.difference(inputs, expected, got)
    if reason or expected.dtype.kind == "f" or np.array_equal(expected, got):
        return reason
    return f"{np.count_nonzero(expected != got)} of {expected.size} integers differ"


def _same_exact(inputs: Inputs, one: Any, other: Any) -> bool:
    one = _as_array(other, one)
    if not isinstance(one, np.ndarray) or one.dtype.kind != other.dtype.kind:
        return False
    return np.array_equal(one, other) if one.dtype.kind == "i" else compare.same(one, other)


def _show_exact(inputs: Inputs, expected: Any, got: Any) -> tuple[str, str]:
    return compare.display(inputs, expected, _as_array(expected, got))


def _matmul_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    shapes = [_written(inputs[name].shape) for name in ("a", "b")]
    return {"pair": " @ ".join(shapes), "shape": str(np.shape(got))}


def _draw_matmul(rng: np.random.Generator) -> Inputs:
    batch = tuple(_between(rng, 1, 3) for _ in range(_between(rng, 0, 2)))
    n, k, m = (_between(rng, 1, 3) for _ in range(3))
    left, right = (batch[_between(rng, 0, len(batch)) :] for _ in range(2))
    shape_a: Shape = (*left, n, k) if rng.random() < 0.8 else (k,)
    shape_b: Shape = (*right, k, m) if rng.random() < 0.8 else (k,)
    kind = rng.choice(["float", "small", "large"])
    if kind == "float":
        return {"a": rng.normal(size=shape_a), "b": rng.normal(size=shape_b)}
    a, b = (rng.integers(-4, 5, size=shape, dtype=np.int64) for shape in (shape_a, shape_b))
    if kind == "large":  # the first integers that float64 has not
        a = 2**53 + 1 + 2 * np.abs(a)
        b = np.sign(b)
    return {"a": a, "b": b}


def _smaller_matmul(inputs: Inputs) -> Iterator[Inputs]:
    for name in ("a", "b"):
        array = inputs[name]
        if array.ndim > 2:
            yield dict(inputs) | {name: array[0].copy()}
    if inputs["a"].ndim > 1:
        yield from shrink.dropped(inputs, a=-2)
    if inputs["b"].ndim > 1:
        yield from shrink.dropped(inputs, b=-1)
    yield from shrink.dropped(inputs, a=-1, b=-2 if inputs["b"].ndim > 1 else -1)
    if inputs["a"].dtype.kind == "f":
        yield from shrink.plainer(inputs, "a", 1.0, 2.0)
        yield from shrink.plainer(inputs, "b", 1.0, 2.0)


MATMUL = Drill(
    name="matmul",
    chapter="tensor_products",
    level="core",
    task=(
        "Write `a @ b` as `torch.matmul` does it, for all ranks from 1 on, without `@`, `matmul`, "
        "`dot` and `einsum`. The shapes fit. Both have the same dtype, float64 or int64, and so "
        "does the result; integers come out exactly."
    ),
    signature="matmul(a, b) -> array",
    hints=(
        "Make a 1-D operand a matrix: `a` one row, `b` one column. In the end drop these axes.",
        "Line `a` up as `(..., n, k, 1)` and `b` as `(..., 1, k, m)`. What does `*` make of them?",
        "Sum that over the axis of `k`, the second-last. Sums of `int64` stay `int64`.",
    ),
    reference=matmul,
    wrong={
        "that sums over the columns of b, and k stays: sum over the contracted axis": _wrong_sum,
        "the first matrix of the batch is right, and all others equal it: {pair}": _first_batch,
        "integers went through floats: 2**53 + 1 came out as 2**53": _through_floats,
        "integers come out as floats: give the result the dtype of the operands": _float_result,
        "{pair} has shape {shape}: the axis that was added for a 1-D operand must go "
        "again": _promoted_kept,
    },
    draw=_draw_matmul,
    smaller=_smaller_matmul,
    cases=storage.path("matmul"),
    follow_up=FollowUp(
        "What does this cost in memory, and what would loops cost?",
        "An intermediate of `n * k * m` numbers for each matrix of the batch. Loops need none "
        "beyond the result; both take `2 n k m` operations.",
    ),
    check=_check_exact,
    agree=_same_exact,
    facts=_matmul_facts,
    display=_show_exact,
)


# --- mse ---

#: Stands for the answer to shapes that have to be refused: no loss is negative.
NO_LOSS = -1.0


class _Refusal:
    """What a call is worth that raised ``ValueError``."""

    def __repr__(self) -> str:
        return "a ValueError"


_REFUSED = _Refusal()


def mse(pred: Array, target: Array) -> float:
    """Return the mean squared error of two arrays of the same shape.

    Parameters
    ----------
    pred, target : array of float64
        Not empty.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes differ, in whatever way.
    """
    if pred.shape != target.shape:
        raise ValueError(f"pred has shape {pred.shape}, target {target.shape}")
    return float(np.mean((pred - target) ** 2))


def _plain_mse(pred: Array, target: Array) -> float:
    return float(((pred - target) ** 2).mean())


def _flat_mse(pred: Array, target: Array) -> float:
    if pred.size != target.size:
        raise ValueError("sizes differ")
    return _plain_mse(pred.ravel(), target.ravel())


def _squeezed_mse(pred: Array, target: Array) -> float:
    return mse(pred.squeeze(), target.squeeze())


def _sum_of_squares(pred: Array, target: Array) -> float:
    return mse(pred, target) * pred.size


def _call_mse(function: Function, inputs: Inputs) -> Any:
    """Call a function; a refusal is an answer like others."""
    try:
        return function(*inputs.values())
    except ValueError:
        return _REFUSED


def _answer_mse(inputs: Inputs) -> float:
    found = _call_mse(mse, inputs)
    return NO_LOSS if found is _REFUSED else float(found)


def _check_mse(inputs: Inputs, expected: Any, got: Any) -> str | None:
    if expected == NO_LOSS:
        if got is _REFUSED:
            return None
        return f"it returned {compare.described(got)}, not a refusal: the shapes differ"
    if got is _REFUSED:
        return "it raised ValueError, and the shapes are equal"
    return compare.difference(inputs, expected, got)


def _same_mse(inputs: Inputs, one: Any, other: Any) -> bool:
    if one is _REFUSED or other is _REFUSED:
        return one is other
    return compare.same(one, other)


def _show_mse(inputs: Inputs, expected: Any, got: Any) -> tuple[str, str]:
    if expected == NO_LOSS or got is _REFUSED:
        right = repr(_REFUSED) if expected == NO_LOSS else compare.text(expected)
        return right, compare.text(got)
    return compare.display(inputs, expected, got)


def _mse_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    shapes = [inputs[name].shape for name in ("pred", "target")]
    try:
        count = int(np.prod(np.broadcast_shapes(*shapes)))
    except ValueError:
        count = max(int(np.prod(shape)) for shape in shapes)
    return {
        "pred": _written(shapes[0]), "target": _written(shapes[1]), "count": str(count),
        "got": compare.text(got, 3),
    }  # fmt: skip


def _draw_mse(rng: np.random.Generator) -> Inputs:
    n, c = _between(rng, 2, 8), _between(rng, 2, 4)
    pairs: list[tuple[Shape, Shape]] = [
        ((n,), (n,)), ((n, c), (n, c)), ((n, 1), (n, 1)), ((n, 1), (n,)), ((n,), (n, 1)),
        ((n, c), (c, n)), ((1, n), (n,)), ((n, c), (c,)), ((1,), (1, 1)), ((n,), (1,)),
    ]  # fmt: skip
    pred, target = pairs[int(rng.integers(len(pairs)))]
    return {"pred": rng.normal(size=pred), "target": rng.normal(size=target)}


def _smaller_mse(inputs: Inputs) -> Iterator[Inputs]:
    if inputs["pred"].shape == inputs["target"].shape:
        for axis in range(inputs["pred"].ndim):
            yield from shrink.dropped(inputs, pred=axis, target=axis)
    elif max(inputs["pred"].shape) == max(inputs["target"].shape) > 2:
        # A column against a row: shorten both, and keep what is wrong with them.
        longest = max(inputs["pred"].shape)
        shorter = {name: _shortened(inputs[name], longest) for name in ("pred", "target")}
        yield dict(inputs) | shorter
    yield from shrink.plainer(inputs, "pred", 0.0, 1.0)
    yield from shrink.plainer(inputs, "target", 0.0, 1.0)


def _shortened(array: Array, longest: int) -> Array:
    cut = tuple(slice(0, size - 1 if size == longest else size) for size in array.shape)
    return array[cut].copy()


MSE = Drill(
    name="mse",
    chapter="tensor_products",
    level="core",
    task=(
        "Write a mean squared error that broadcasting cannot fool: return the mean of the squared "
        "differences as a float, and raise `ValueError` if the two shapes differ in any way."
    ),
    signature="mse(pred, target) -> float",
    hints=(
        "What is the shape of `pred - target` if one is `(8, 1)` and the other `(8,)`?",
        "Compare the shapes first. Is it enough to compare the lengths, or the sizes?",
        "`pred.shape != target.shape` is all that is to be asked.",
    ),
    reference=mse,
    wrong={
        "{pred} and {target} gave {count} residuals: the difference broadcasts": _plain_mse,
        "flattened, {pred} against {target} passes: the order of the numbers may be "
        "another": _flat_mse,
        "squeeze() accepts {pred} against {target}: axes of size 1 are lost, a batch of one "
        "among them": _squeezed_mse,
        "that is the sum of the squares, not their mean": _sum_of_squares,
    },
    draw=_draw_mse,
    smaller=_smaller_mse,
    cases=storage.path("mse"),
    follow_up=FollowUp(
        "What does a model learn from the loss of (N, 1) against (N,)?",
        "The mean of the targets. Every prediction is compared with every target, so the best "
        "prediction is the same for all inputs.",
    ),
    call=_call_mse,
    answer=_answer_mse,
    check=_check_mse,
    agree=_same_mse,
    facts=_mse_facts,
    display=_show_mse,
)


# --- matmul_backward ---

GRADIENTS = ("da", "db")


def matmul_backward(a: Array, b: Array, grad: Array) -> tuple[Array, Array]:
    """Return the gradients of a loss with respect to both operands of ``a @ b``.

    Parameters
    ----------
    a : array of float64, shape (..., n, k)
        The left operand.
    b : array of float64, shape (..., k, m)
        The right operand; the axes before the last two broadcast.
    grad : array of float64
        The gradient with respect to ``a @ b``, of its shape.

    Returns
    -------
    da, db : arrays of float64
        Of the shapes of ``a`` and ``b``.
    """

    def summed(flow: Array, shape: tuple[int, ...]) -> Array:
        flow = flow.sum(axis=tuple(range(flow.ndim - len(shape))))
        ones = tuple(axis for axis, size in enumerate(shape) if size == 1)
        return np.asarray(flow.sum(axis=ones, keepdims=True))

    da = grad @ np.swapaxes(b, -1, -2)
    db = np.swapaxes(a, -1, -2) @ grad
    return summed(da, a.shape), summed(db, b.shape)


def _summed(flow: Array, shape: Shape) -> Array:
    flow = flow.sum(axis=tuple(range(flow.ndim - len(shape))))
    ones = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return np.asarray(flow.sum(axis=ones, keepdims=True))


def _not_summed(a: Array, b: Array, grad: Array) -> tuple[Array, Array]:
    return grad @ np.swapaxes(b, -1, -2), np.swapaxes(a, -1, -2) @ grad


def _reversed_axes(a: Array, b: Array, grad: Array) -> tuple[Array, Array]:
    return _summed(grad @ b.T, a.shape), _summed(a.T @ grad, b.shape)


def _ones_dropped(a: Array, b: Array, grad: Array) -> tuple[Array, Array]:
    da, db = matmul_backward(a, b, grad)
    return tuple(
        flow.reshape([size for size in shape[:-2] if size != 1] + list(shape[-2:]))
        for flow, shape in ((da, a.shape), (db, b.shape))
    )  # type: ignore[return-value]


def _swapped(a: Array, b: Array, grad: Array) -> tuple[Array, Array]:
    da = np.swapaxes(b, -1, -2) @ grad
    db = grad @ np.swapaxes(a, -1, -2)
    return _summed(da, a.shape), _summed(db, b.shape)


def flat(gradients: tuple[Array, Array]) -> Array:
    """Write both gradients one after another, to be stored."""
    return np.concatenate([np.ravel(gradient) for gradient in gradients])


def _gradients(inputs: Inputs, expected: Array) -> tuple[Array, Array]:
    a, b = inputs["a"], inputs["b"]
    return expected[: a.size].reshape(a.shape), expected[a.size :].reshape(b.shape)


def _answer_backward(inputs: Inputs) -> Array:
    return flat(matmul_backward(**inputs))


def _check_backward(inputs: Inputs, expected: Array, got: Any) -> str | None:
    return parts.difference(GRADIENTS, inputs, _gradients(inputs, expected), got)


def _same_gradients(inputs: Inputs, one: Any, other: Any) -> bool:
    return parts.same(one, other)


def _show_gradients(inputs: Inputs, expected: Array, got: Any) -> tuple[str, str]:
    return parts.display(GRADIENTS, _gradients(inputs, expected), got)


def _backward_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    shapes = {"a": _written(inputs["a"].shape), "b": _written(inputs["b"].shape)}
    for name, part in zip(GRADIENTS, got if isinstance(got, tuple) else (), strict=False):
        shapes[name] = _written(np.shape(part))
    return {"da": "", "db": "", **shapes}


def _draw_backward(rng: np.random.Generator) -> Inputs:
    # One size for all axes: then a transpose that reverses them all runs.
    size = _between(rng, 2, 3)
    square = (size, size)
    a = (size,) * _between(rng, 0, 2) + square
    b = [(), (1,), (size,)][_between(rng, 0, 2)] + square
    shape = np.broadcast_shapes(a[:-2], b[:-2]) + square
    return {name: rng.normal(size=s) for name, s in (("a", a), ("b", b), ("grad", shape))}


def _smaller_backward(inputs: Inputs) -> Iterator[Inputs]:
    a, b, grad = inputs.values()
    if a.ndim == grad.ndim > b.ndim:
        yield {"a": a[0].copy(), "b": b, "grad": grad[0].copy()}
    if grad.shape[-1] > 2:
        cut = {name: array[tuple(slice(0, min(size, 2)) for size in array.shape)].copy()
               for name, array in inputs.items()}  # fmt: skip
        yield cut
    for name in inputs:
        yield from shrink.plainer(inputs, name, 0.0, 1.0)


MATMUL_BACKWARD = Drill(
    name="matmul_backward",
    chapter="tensor_products",
    level="senior",
    task=(
        "Return the gradients of the loss with respect to both operands of `a @ b`. `a` has shape "
        "`(..., n, k)`, `b` has shape `(..., k, m)`, and the axes before the last two broadcast. "
        "`grad` is the gradient with respect to the product. No autograd."
    ),
    signature="matmul_backward(a, b, grad) -> (da, db)",
    hints=(
        "For two matrices let the shapes lead: `da` must be `(n, k)`, and there are `grad` "
        "`(n, m)` and `b` `(k, m)`.",
        "`grad @ bᵀ` and `aᵀ @ grad`, where only the last two axes change places: "
        "`np.swapaxes(b, -1, -2)`.",
        "What was used several times gets the sum of its gradients: sum over the axes that the "
        "operand lacks, and with `keepdims=True` over those where it has size 1.",
    ),
    reference=matmul_backward,
    wrong={
        "da has shape {da} for a {a}, db {db} for b {b}: what was stretched has to be summed": (
            _not_summed
        ),
        ".T reverses all axes of a 3-D array: swap the last two only": _reversed_axes,
        "db has shape {db}, b is {b}: keep the axis of size 1": _ones_dropped,
        "the sides are exchanged: da is grad @ bᵀ, and db is aᵀ @ grad": _swapped,
    },
    draw=_draw_backward,
    smaller=_smaller_backward,
    cases=storage.path("matmul_backward"),
    follow_up=FollowUp(
        "A weight (k, m) was used on a batch (B, n, k). How does one get its gradient without "
        "an intermediate of B times its size?",
        "Fold batch and rows into one axis: one product of `(k, B n)` and `(B n, m)` sums over "
        "both.",
    ),
    answer=_answer_backward,
    check=_check_backward,
    agree=_same_gradients,
    facts=_backward_facts,
    display=_show_gradients,
)


# --- einsum ---

EQUATIONS = (
    "ij,jk->ik", "ij,jk->ki", "i,i->", "i,j->ij", "ij,j->i", "bij,bjk->bik", "bij,bj->bi",
    "bij,jk->bik", "ij->ji", "ii->", "ii->i", "ij->i", "i,ij,j->", "ij,ij->ij",
)  # fmt: skip


def einsum(equation: str, operands: list[Array]) -> Array:
    """Return what an equation says, by one loop for each letter.

    Parameters
    ----------
    equation : str
        With an output, without spaces and ellipsis.
    operands : list of arrays of float64
        One for each term; an axis of a letter has one size everywhere.

    Returns
    -------
    array of float64
        What ``np.einsum(equation, *operands)`` gives.
    """
    left, output = equation.split("->")
    terms = left.split(",")
    sizes = {x: n for term, array in zip(terms, operands, strict=True)
             for x, n in zip(term, array.shape, strict=True)}  # fmt: skip
    out = np.zeros([sizes[x] for x in output])
    for index in np.ndindex(*sizes.values()):
        at = dict(zip(sizes, index, strict=True))
        value = 1.0
        for term, array in zip(terms, operands, strict=True):
            value = value * array[tuple(at[x] for x in term)]
        out[tuple(at[x] for x in output)] += value
    return out


def _no_diagonal(equation: str, operands: list[Array]) -> Array:
    left, output = equation.split("->")
    if left == "ii":
        left, output = "ij", "ij" if output else ""
    return np.asarray(np.einsum(f"{left}->{output}", *operands))


def _first_seen_order(equation: str, operands: list[Array]) -> Array:
    left, output = equation.split("->")
    return np.asarray(np.einsum(f"{left}->{''.join(sorted(output, key=left.index))}", *operands))


def _summed_kept(equation: str, operands: list[Array]) -> Array:
    left, output = equation.split("->")
    kept = "".join(x for x in dict.fromkeys(left.replace(",", "")) if x not in output)
    return np.asarray(np.einsum(f"{left}->{output}{kept}", *operands))


def _overwritten(equation: str, operands: list[Array]) -> Array:
    left, output = equation.split("->")
    last = [array[tuple(slice(None) if x in output else slice(-1, None) for x in term)]
            for term, array in zip(left.split(","), operands, strict=True)]  # fmt: skip
    return np.asarray(np.einsum(equation, *last))


def _operands(inputs: Inputs) -> list[Any]:
    return [value for name, value in inputs.items() if name != "equation"]


def _call_einsum(function: Function, inputs: Inputs) -> Any:
    return function(inputs["equation"], _operands(inputs))


def _check_einsum(inputs: Inputs, expected: Any, got: Any) -> str | None:
    return compare.difference(inputs, expected, _as_array(expected, got))


def _same_einsum(inputs: Inputs, one: Any, other: Any) -> bool:
    return compare.same(_as_array(other, one), other)


def _einsum_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    right = einsum(inputs["equation"], _operands(inputs))
    return {
        "equation": inputs["equation"],
        "right": str(right.shape),
        "got": str(np.shape(got)),
    }


def operands_of(equation: str, sizes: Mapping[str, int], rng: np.random.Generator) -> Inputs:
    """Return inputs of the drill for an equation, with random numbers."""
    names = ("first", "second", "third")
    terms = equation.split("->")[0].split(",")
    arrays = {name: rng.normal(size=[sizes[x] for x in term])
              for name, term in zip(names, terms, strict=False)}  # fmt: skip
    return {"equation": equation, **arrays}


def _draw_einsum(rng: np.random.Generator) -> Inputs:
    equation = str(rng.choice(EQUATIONS))
    return operands_of(equation, {x: _between(rng, 1, 3) for x in "bijk"}, rng)


def _smaller_einsum(inputs: Inputs) -> Iterator[Inputs]:
    terms = inputs["equation"].split("->")[0].split(",")
    names = [name for name in inputs if name != "equation"]
    for letter in dict.fromkeys("".join(terms)):
        lower = dict(inputs)
        for name, term in zip(names, terms, strict=True):
            for axis, x in enumerate(term):
                if x == letter and lower[name].shape[axis] > 1:
                    lower[name] = np.delete(lower[name], -1, axis)
        if any(lower[name].shape != inputs[name].shape for name in names):
            yield lower
    for name in names:
        yield from shrink.plainer(inputs, name, 1.0, 2.0)


EINSUM = Drill(
    name="einsum",
    chapter="tensor_products",
    level="senior",
    task=(
        "Write einsum by loops. `equation` has an explicit output, no spaces and no ellipsis, "
        'such as `"ij,jk->ik"`; `operands` is a list with one array for each term. Return an '
        "array of float64."
    ),
    signature="einsum(equation, operands) -> array",
    hints=(
        "One letter is one loop. Where do you find how long it runs?",
        "Go through all combinations with `np.ndindex`, and keep a dictionary from letter to "
        "index: each operand and the output take what they need.",
        "Add each product to the output at the indices of the output's letters. Letters that it "
        "lacks are summed by that alone, and `ii` visits the diagonal only.",
    ),
    reference=einsum,
    wrong={
        "{equation}: shape {got}, expected {right}. A letter twice in one operand is its "
        "diagonal": _no_diagonal,
        "{equation} comes out in the order in which letters appear: the output has an order of "
        "its own": _first_seen_order,
        "{equation}: shape {got}, expected {right}. Letters that the output lacks are "
        "summed": _summed_kept,
        "{equation}: only the last product is left; add them up": _overwritten,
    },
    draw=_draw_einsum,
    smaller=_smaller_einsum,
    cases=storage.path("einsum"),
    follow_up=FollowUp(
        "How does a library do it so much faster?",
        "It permutes the letters of two operands into batch, free and contracted ones, and calls "
        "one batched matrix product. Three operands need an order first.",
    ),
    call=_call_einsum,
    setting="`operands` is the list of the arrays below",
    check=_check_einsum,
    agree=_same_einsum,
    facts=_einsum_facts,
    display=lambda inputs, expected, got: compare.display(inputs, expected, got),
)

DRILLS = (MATMUL_SHAPE, BATCHED_MV, MATMUL, MSE, MATMUL_BACKWARD, EINSUM)
