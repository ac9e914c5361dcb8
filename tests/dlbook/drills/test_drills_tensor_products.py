"""The drills of chapter 12: other right solutions, known mistakes in other people's code."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from dlbook import tensor_products as reference
from dlbook.drills import drill, grade
from dlbook.drills import tensor_products as drills


def test_the_shape_of_the_drill_is_that_of_the_chapter() -> None:
    small = [s for rank in range(1, 4) for s in itertools.product(range(1, 4), repeat=rank)]
    for a, b in itertools.product(small, repeat=2):
        try:
            expected: Any = reference.matmul_shape(a, b)
        except ValueError:
            expected = None
        assert drills.matmul_shape(a, b) == expected


@pytest.mark.parametrize("equation", drills.EQUATIONS)
def test_the_loops_of_the_drill_are_those_of_the_chapter(equation: str) -> None:
    inputs = drills.operands_of(equation, dict(b=2, i=2, j=3, k=4), np.random.default_rng(1))
    operands = [value for name, value in inputs.items() if name != "equation"]
    ours = drills.einsum(equation, operands)
    np.testing.assert_allclose(ours, reference.einsum_loops(equation, *operands), rtol=1e-12)


# --- other right solutions ---


def shape_of_zeros(a: Any, b: Any) -> Any:
    try:
        return np.matmul(np.zeros(a), np.zeros(b)).shape
    except ValueError:
        return None


def mv_by_sum(matrices: Any, vectors: Any) -> Any:
    return (matrices * vectors[:, None]).sum(-1)


def matmul_by_rows(a: Any, b: Any) -> Any:
    """Sum outer products, one for each index of the contracted axis."""
    left, right = np.atleast_2d(a), b if b.ndim > 1 else b[:, None]
    out: Any = sum(left[..., :, [k]] * right[..., [k], :] for k in range(left.shape[-1]))
    out = out[..., 0, :] if a.ndim == 1 else out
    return out[..., 0] if b.ndim == 1 else out


def mse_by_loop(pred: Any, target: Any) -> Any:
    if list(np.shape(pred)) != list(np.shape(target)):
        raise ValueError("shapes differ")
    pairs = list(zip(pred.ravel(), target.ravel(), strict=True))
    return sum((p - t) ** 2 for p, t in pairs) / len(pairs)


def backward_by_einsum(a: Any, b: Any, grad: Any) -> Any:
    da = np.einsum("...ij,...kj->...ik", grad, b)
    db = np.einsum("...ij,...ik->...jk", a, grad)
    return [reference.unbroadcast(da, a.shape), reference.unbroadcast(db, b.shape)]


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("matmul_shape", shape_of_zeros),
        ("batched_mv", mv_by_sum),
        ("matmul", matmul_by_rows),
        ("mse", mse_by_loop),
        ("matmul_backward", backward_by_einsum),
        ("einsum", lambda equation, operands: np.einsum(equation, *operands)),
    ],
)
def test_another_right_solution_passes(name: str, function: Any) -> None:
    report = grade(name, function)
    assert report.passed, report


# --- known mistakes, written by somebody else ---


def no_vectors(a: Any, b: Any) -> Any:
    if len(a) == 1 or len(b) == 1:
        return None
    return shape_of_zeros(a, b)


def kept(a: Any, b: Any) -> Any:
    return shape_of_zeros(a if len(a) > 1 else (1, a[0]), b if len(b) > 1 else (b[0], 1))


def by_einsum(a: Any, b: Any) -> Any:
    """Let einsum stretch the contracted axis."""
    left, right = ("j" if len(a) == 1 else "...ij"), ("j" if len(b) == 1 else "...jk")
    rest = ("" if len(a) == 1 else "i") + ("" if len(b) == 1 else "k")
    dots = "..." if "." in left + right else ""
    try:
        return np.einsum(f"{left},{right}->{dots}{rest}", np.zeros(a), np.zeros(b)).shape
    except ValueError:
        return None


def float_zeros(a: Any, b: Any) -> Any:
    left, right = np.atleast_2d(a), b if b.ndim > 1 else b[:, None]
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    out = np.zeros((*batch, left.shape[-2], right.shape[-1]))
    for k in range(left.shape[-1]):
        out += left[..., :, k, None].astype(float) * right[..., k, None, :].astype(float)
    out = out[..., 0, :] if a.ndim == 1 else out
    return out[..., 0] if b.ndim == 1 else out


def transposed_by_attribute(a: Any, b: Any, grad: Any) -> Any:
    gradients = []
    for flow, shape in ((grad @ b.T, a.shape), (a.T @ grad, b.shape)):
        while flow.ndim > len(shape):
            flow = flow.sum(0)
        for axis, size in enumerate(shape):
            flow = flow.sum(axis, keepdims=True) if size == 1 else flow
        gradients.append(flow)
    return tuple(gradients)


@pytest.mark.parametrize(
    ("name", "function", "words"),
    [
        ("matmul_shape", no_vectors, "you say None: a 1-D operand gets an axis of size 1"),
        ("matmul_shape", kept, "the added 1 must go again"),
        ("matmul_shape", by_einsum, "Only batch axes broadcast, never the contracted one"),
        ("batched_mv", lambda m, x: np.einsum("bij,jk->bik", m, x), "which takes x as one matrix"),
        ("batched_mv", lambda m, x: np.einsum("bij,kj->bik", m, x), "Take the diagonal"),
        ("batched_mv", lambda m, x: np.squeeze(np.einsum("bij,bj->bi", m, x)),
         "squeeze the last axis only"),
        ("matmul", float_zeros, "integers come out as floats"),
        ("mse", lambda p, t: float(np.square(p - t).mean()), "residuals: the difference"),
        ("mse", lambda p, t: float(np.square(p.reshape(t.shape) - t).mean()),
         "flattened,"),
        ("matmul_backward", transposed_by_attribute, ".T reverses all axes of a 3-D array"),
        ("matmul_backward", lambda a, b, g: (g @ b.swapaxes(-1, -2), a.swapaxes(-1, -2) @ g),
         "what was stretched has to be summed"),
        ("einsum", lambda equation, operands: np.einsum(equation, *operands) * 2, None),
    ],
)  # fmt: skip
def test_a_mistake_is_named_from_behavior(name: str, function: Any, words: str | None) -> None:
    report = grade(name, function)
    assert not report.passed
    if words is None:
        assert report.mistake is None
    else:
        assert words in (report.mistake or ""), report


# --- the smallest failing cases say what the chapter says ---


@pytest.mark.parametrize(
    ("name", "inputs", "words"),
    [
        ("matmul_shape", {"a": (3,), "b": (3, 4)}, "(3) @ (3, 4) gives (4), you say None"),
        ("matmul_shape", {"a": (2, 3), "b": (3,)}, "(2, 3) @ (3) gives (2), not (2, 1)"),
        ("matmul_shape", {"a": (2, 1), "b": (3, 4)}, "(2, 1) @ (3, 4): torch refuses"),
        ("batched_mv", {"A": np.ones((4, 4, 4)), "x": np.ones((4, 4))}, "it returns (4, 4, 4)"),
        ("mse", {"pred": np.ones((8, 1)), "target": np.ones(8)},
         "(8, 1) and (8) gave 64 residuals"),
        ("mse", {"pred": np.ones((2, 4)), "target": np.ones((4, 2))},
         "(2, 4) against (4, 2) passes"),
        ("matmul_backward",
         {"a": np.ones((5, 2, 3)), "b": np.ones((3, 4)), "grad": np.ones((5, 2, 4))},
         "db (5, 3, 4) for b (3, 4)"),
        ("matmul_backward",
         {"a": np.ones((5, 2, 3)), "b": np.ones((1, 3, 4)), "grad": np.ones((5, 2, 4))},
         "db has shape (3, 4), b is (1, 3, 4)"),
        ("einsum", {"equation": "ii->i", "first": np.ones((3, 3))},
         "ii->i: shape (3, 3), expected (3,)"),
    ],
)  # fmt: skip
def test_messages_have_their_numbers(name: str, inputs: Any, words: str) -> None:
    entry = drill(name)
    said = []
    for message, wrong in entry.wrong.items():
        try:
            got = entry.call(wrong, inputs)
        except ValueError:
            continue  # a transpose that reverses all axes does not run here
        said.append(message.format_map(entry.facts(inputs, got)))
    assert any(words in message for message in said), said


def test_large_integers_are_compared_exactly() -> None:
    inputs = {"a": np.array([2**53 + 1]), "b": np.array([1])}
    entry = drill("matmul")
    assert entry.check(inputs, np.array(2**53 + 1), np.array(2**53)) == "1 of 1 integers differ"
    assert entry.check(inputs, np.array(2**53 + 1), np.int64(2**53 + 1)) is None
