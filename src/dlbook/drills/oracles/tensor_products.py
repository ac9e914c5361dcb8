"""Edge cases of chapter 12, answered by ``torch.matmul``, ``torch.einsum`` and autograd."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbook.drills.oracles import Oracle
from dlbook.drills.record import Inputs
from dlbook.drills.tensor_products import NO_LOSS, Array, Shape, flat, operands_of

Noted = list[tuple[str, Inputs]]


def matmul_shape(a: Shape, b: Shape) -> Shape | None:
    """Return the shape that ``torch.matmul`` makes, or ``None`` if it refuses."""
    import torch

    try:
        return tuple(torch.matmul(torch.zeros(a), torch.zeros(b)).shape)
    except RuntimeError:
        return None


def batched_mv(A: Array, x: Array) -> Array:  # noqa: N803
    """Return what ``torch.einsum`` gives."""
    import torch

    return _array(torch.einsum("bij,bj->bi", torch.tensor(A), torch.tensor(x)))


def matmul(a: Array, b: Array) -> Array:
    """Return what ``torch.matmul`` gives."""
    import torch

    return _array(torch.matmul(torch.tensor(a), torch.tensor(b)))


def mse(pred: Array, target: Array) -> float:
    """Return what ``mse_loss`` gives for equal shapes, or what stands for a refusal."""
    import torch
    from torch.nn import functional

    if pred.shape != target.shape:
        return NO_LOSS
    return float(functional.mse_loss(torch.tensor(pred), torch.tensor(target)))


def matmul_backward(a: Array, b: Array, grad: Array) -> Array:
    """Return autograd's gradients of ``torch.matmul``, one after the other."""
    import torch

    leaves = [torch.tensor(array, requires_grad=True) for array in (a, b)]
    torch.matmul(*leaves).backward(torch.tensor(grad))
    return flat((_array(leaves[0].grad), _array(leaves[1].grad)))


def einsum(equation: str, *_: Any, **operands: Array) -> Array:
    """Return what ``torch.einsum`` gives."""
    import torch

    return _array(torch.einsum(equation, *(torch.tensor(array) for array in operands.values())))


def _array(tensor: Any) -> Array:
    return np.asarray(tensor.detach().numpy())


def _noise(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape).round(4)


def _shape_cases() -> Noted:
    pairs: list[tuple[str, Shape, Shape]] = [
        ("two matrices", (2, 3), (3, 4)),
        ("two vectors", (3,), (3,)),
        ("a vector on the left", (3,), (3, 4)),
        ("a vector on the right", (2, 3), (3,)),
        ("a vector on the left of a batch", (3,), (5, 3, 4)),
        ("a vector on the right of a batch", (5, 2, 3), (3,)),
        ("a batch and a matrix", (5, 2, 3), (3, 4)),
        ("a matrix and a batch", (2, 3), (5, 3, 4)),
        ("a batch axis of size 1", (1, 2, 3), (5, 3, 4)),
        ("batch axes that cross", (5, 1, 2, 3), (6, 3, 4)),
        ("the contracted axis differs", (2, 3), (4, 5)),
        ("the contracted axis has size 1", (2, 1), (3, 4)),
        ("a batch of vectors on the right", (2, 4), (5, 3, 4)),
        ("the batch axes differ", (5, 2, 3), (4, 3, 4)),
        ("vectors of other lengths", (3,), (4,)),
        ("an empty contracted axis", (2, 0), (0, 3)),
        ("an empty batch", (0, 2, 3), (1, 3, 4)),
    ]
    return [(note, {"a": a, "b": b}) for note, a, b in pairs]


def _mv_cases() -> Noted:
    sizes = [
        ("ordinary", 2, 3, 4), ("one matrix", 1, 3, 4), ("one row", 3, 1, 4),
        ("one column", 3, 4, 1), ("one row and one matrix", 1, 1, 5),
        ("as many vectors as entries", 4, 2, 4), ("as many vectors as rows", 3, 3, 5),
        ("a cube", 3, 3, 3), ("many matrices", 12, 2, 3), ("long vectors", 2, 2, 20),
        ("one matrix, square", 1, 4, 4),
    ]  # fmt: skip
    return [
        (note, {"A": _noise(seed, b, n, k), "x": _noise(50 + seed, b, k)})
        for seed, (note, b, n, k) in enumerate(sizes)
    ]


def _matmul_cases() -> Noted:
    cases = []
    for seed, (note, inputs) in enumerate(_shape_cases()):
        if matmul_shape(**inputs) is not None and 0 not in inputs["b"]:
            cases.append((note, {"a": _noise(seed, *inputs["a"]), "b": _noise(40, *inputs["b"])}))
    whole = {"a": np.arange(12).reshape(2, 2, 3), "b": np.arange(-3, 3).reshape(3, 2)}
    return [*cases, ("integers", whole), ("an integer vector", {"a": np.arange(3), **_ints()})]


def _ints() -> Inputs:
    return {"b": np.arange(6).reshape(3, 2)}


def _mse_cases() -> Noted:
    pairs: list[tuple[str, Shape, Shape]] = [
        ("vectors", (8,), (8,)), ("columns", (8, 1), (8, 1)), ("matrices", (2, 4), (2, 4)),
        ("one number each", (1,), (1,)), ("one number with two axes", (1, 1), (1, 1)),
        ("a column against a vector", (8, 1), (8,)), ("a vector against a column", (8,), (8, 1)),
        ("transposed", (2, 4), (4, 2)), ("a row against a vector", (1, 8), (8,)),
        ("a batch of one", (1, 3), (3,)), ("one number against many", (1,), (5,)),
        ("one number with another rank", (1, 1), (1,)), ("lengths differ", (3,), (4,)),
    ]  # fmt: skip
    return [
        (note, {"pred": _noise(seed, *p), "target": _noise(30 + seed, *t)})
        for seed, (note, p, t) in enumerate(pairs)
    ]


def _backward_cases() -> Noted:
    pairs: list[tuple[str, Shape, Shape]] = [
        ("two matrices", (4, 3), (3, 5)), ("a shared weight", (5, 2, 3), (3, 4)),
        ("a shared left matrix", (2, 3), (5, 3, 4)), ("a weight of batch 1", (5, 2, 3), (1, 3, 4)),
        ("a left operand of batch 1", (1, 2, 3), (5, 3, 4)),
        ("equal batches", (5, 2, 3), (5, 3, 4)),
        ("batch axes that cross", (5, 1, 2, 3), (6, 3, 4)),
        ("two batch axes, one shared weight", (2, 3, 2, 3), (3, 4)),
        ("one row", (5, 1, 3), (3, 4)), ("an outer product", (4, 1), (1, 5)),
        ("one batch in both", (1, 2, 3), (1, 3, 4)),
    ]  # fmt: skip
    cases: Noted = []
    for seed, (note, a, b) in enumerate(pairs):
        shape = matmul_shape(a, b) or ()
        arrays = {"a": _noise(seed, *a), "b": _noise(30 + seed, *b)}
        cases.append((note, {**arrays, "grad": _noise(60 + seed, *shape)}))
    return cases


def _einsum_cases() -> Noted:
    sizes = {"b": 2, "i": 2, "j": 3, "k": 4, "h": 2, "q": 3, "d": 2}
    equations = [
        ("matrix product", "ij,jk->ik"), ("transposed product", "ij,jk->ki"),
        ("dot product", "i,i->"), ("outer product", "i,j->ij"), ("matrix and vector", "ij,j->i"),
        ("batched product", "bij,bjk->bik"), ("batched matrix and vector", "bij,bj->bi"),
        ("a shared weight", "bij,jk->bik"), ("attention scores", "bhqd,bhkd->bhqk"),
        ("transpose", "ij->ji"), ("trace", "ii->"), ("diagonal", "ii->i"),
        ("bilinear form", "i,ij,j->"), ("elementwise", "ij,ij->ij"), ("sum of all", "ij->"),
    ]  # fmt: skip
    rng = np.random.default_rng(0)
    return [(note, operands_of(equation, sizes, rng)) for note, equation in equations]


ORACLES = {
    "matmul_shape": Oracle("torch.matmul", _shape_cases, matmul_shape),
    "batched_mv": Oracle("torch.einsum in float64", _mv_cases, batched_mv),
    "matmul": Oracle("torch.matmul in float64 and int64", _matmul_cases, matmul),
    "mse": Oracle("torch.nn.functional.mse_loss for equal shapes", _mse_cases, mse),
    "matmul_backward": Oracle(
        "torch.autograd through matmul in float64", _backward_cases, matmul_backward
    ),
    "einsum": Oracle("torch.einsum in float64", _einsum_cases, einsum),
}
