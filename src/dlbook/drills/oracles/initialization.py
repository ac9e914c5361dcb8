"""Edge cases of chapter 4, answered by ``torch.nn.init``, autograd and ``torch.var``."""

from __future__ import annotations

import math

import numpy as np

from dlbook.drills.initialization import Array, Integers, Shape
from dlbook.drills.oracles import Oracle
from dlbook.drills.record import Inputs

Noted = list[tuple[str, Inputs]]


def fans(shape: Shape) -> Integers:
    """Return the fans that ``torch.nn.init`` computes."""
    import torch
    from torch.nn.init import _calculate_fan_in_and_fan_out

    return np.array(_calculate_fan_in_and_fan_out(torch.empty(shape)))


def kaiming_std(shape: Shape, seed: int) -> float:
    """Return the standard deviation with which ``kaiming_normal_`` draws."""
    from torch.nn.init import calculate_gain

    return float(calculate_gain("relu")) / math.sqrt(int(fans(shape)[0]))


def distinct_units(w_in: Array, b: Array, w_out: Array, tol: float) -> int:
    """Count units whose gradients differ, or that differ themselves, under autograd.

    Units are equal exactly if a random input, a random upstream gradient and a smooth activation
    give their incoming weights, biases and outgoing weights the same gradients and values.
    """
    import torch

    generator = np.random.default_rng(7)
    x = torch.tensor(generator.normal(size=(20, w_in.shape[1])))
    upstream = torch.tensor(generator.normal(size=(20, w_out.shape[0])))
    parts = [torch.tensor(part, requires_grad=True) for part in (w_in, b, w_out)]
    (torch.tanh(x @ parts[0].T + parts[1]) @ parts[2].T).backward(upstream)
    by_unit = [parts[0], parts[1][:, None], parts[2].T]
    gradients = [parts[0].grad, parts[1].grad[:, None], parts[2].grad.T]
    units = torch.cat([*(part.detach() for part in by_unit), *gradients], dim=1)
    apart = torch.cdist(units, units, p=math.inf) > 100 * tol
    return int(sum(bool(apart[k, :k].all()) for k in range(len(units))))


def gram(rows: int, cols: int, seed: int) -> Array:
    """Return the products of rows or columns of a matrix by ``orthogonal_``."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    q = torch.empty(rows, cols, dtype=torch.float64)
    torch.nn.init.orthogonal_(q, generator=generator)
    return np.asarray((q @ q.T if rows <= cols else q.T @ q).numpy().round(12) + 0.0)


def scales(weights: Array, x: Array, phi: str, tol: float) -> Array:
    """Return the factors of LSUV, one layer after another."""
    import torch

    function = {"relu": torch.relu, "tanh": torch.tanh}[phi]
    h, factors = torch.tensor(x), []
    for weight in torch.tensor(weights):
        factors.append(1 / torch.nn.functional.linear(h, weight).std(correction=0).item())
        h = function(torch.nn.functional.linear(h, factors[-1] * weight))
    return np.array(factors)


def _fans_cases() -> Noted:
    shapes: list[tuple[str, Shape]] = [
        ("linear layer", (32, 64)),
        ("linear layer, square", (5, 5)),
        ("one output", (1, 300)),
        ("one input", (300, 1)),
        ("3×3 convolution", (128, 64, 3, 3)),
        ("1×1 convolution", (128, 64, 1, 1)),
        ("first convolution of an image", (64, 3, 7, 7)),
        ("one channel in and out", (1, 1, 5, 5)),
        ("kernel that is not square", (8, 4, 1, 7)),
        ("1-D convolution", (16, 8, 9)),
        ("3-D convolution", (4, 2, 3, 5, 7)),
        ("all ones", (1, 1, 1)),
        ("depthwise, which the shape does not tell", (64, 1, 3, 3)),
    ]
    return [(note, {"shape": shape}) for note, shape in shapes]


def _kaiming_cases() -> Noted:
    shapes: list[tuple[str, Shape]] = [
        ("linear layer", (40, 400)),
        ("linear layer, the other way", (400, 40)),
        ("square", (256, 256)),
        ("one output", (1, 20000)),
        ("one input", (20000, 1)),
        ("3×3 convolution", (64, 32, 3, 3)),
        ("more inputs than outputs", (32, 64, 3, 3)),
        ("1×1 convolution", (300, 64, 1, 1)),
        ("first convolution of an image", (128, 3, 7, 7)),
        ("1-D convolution", (64, 32, 9)),
        ("3-D convolution", (32, 24, 3, 3, 3)),
        ("depthwise", (3000, 1, 3, 3)),
    ]
    return [(note, {"shape": shape, "seed": seed}) for seed, (note, shape) in enumerate(shapes)]


def _unit(w_in: list[list[float]], b: list[float], w_out: list[list[float]]) -> Inputs:
    return {
        "w_in": np.array(w_in, float),
        "b": np.array(b, float),
        "w_out": np.array(w_out, float),
        "tol": 1e-6,
    }


def _units_cases() -> Noted:
    rows = np.random.default_rng(4).normal(size=(3, 2))
    twice = np.concatenate([rows, rows])
    outgoing = np.random.default_rng(5).normal(size=(2, 3))
    return [
        ("one unit", _unit([[1.0, 2.0]], [0.0], [[1.0]])),
        ("all weights 0", _unit([[0.0, 0.0]] * 6, [0.0] * 6, [[0.0] * 6])),
        ("all weights one constant", _unit([[0.5, 0.5]] * 6, [0.0] * 6, [[0.5] * 6])),
        ("columns differ, rows do not", _unit([[1.0, 2.0, 3.0]] * 3, [0.0] * 3, [[1.0] * 3])),
        ("only the bias differs", _unit([[1.0, 1.0]] * 3, [0.0, 1.0, 0.0], [[1.0] * 3])),
        ("only the outgoing weight differs", _unit([[1.0, 1.0]] * 2, [0.0] * 2, [[1.0, 2.0]])),
        ("two outputs, the second differs", _unit([[1.0]] * 2, [0.0] * 2, [[1, 1], [1, 2]])),
        ("opposite units", _unit([[1.0, 1.0], [-1.0, -1.0]], [0.0] * 2, [[1.0, 1.0]])),
        ("nearly equal", _unit([[1.0, 1.0], [1.0 + 1e-9, 1.0]], [0.0] * 2, [[1.0, 1.0]])),
        ("all different", _unit(rows.tolist(), [0.1, 0.2, 0.3], outgoing.tolist())),
        ("each twice", _unit(twice.tolist(), [0.1, 0.2, 0.3] * 2, np.tile(outgoing, 2).tolist())),
        ("random first layer, outgoing 0", _unit(rows.tolist(), [0.0] * 3, [[0.0] * 3])),
    ]


def _orthogonal_cases() -> Noted:
    sizes = [
        ("square", 4, 4), ("wide", 3, 7), ("tall", 7, 3), ("one row", 1, 5), ("one column", 5, 1),
        ("a number", 1, 1), ("two by two", 2, 2), ("nearly square, wide", 4, 5),
        ("nearly square, tall", 5, 4), ("larger", 20, 20), ("very wide", 2, 40),
        ("very tall", 40, 2),
    ]  # fmt: skip
    return [
        (note, {"rows": rows, "cols": cols, "seed": seed})
        for seed, (note, rows, cols) in enumerate(sizes)
    ]


def _lsuv_cases() -> Noted:
    def case(seed: int, depth: int, width: int, scale: float, phi: str, tol: float) -> Inputs:
        rng = np.random.default_rng(seed)
        return {
            "weights": scale * rng.normal(size=(depth, width, width)),
            "x": rng.normal(size=(12, width)),
            "phi": phi,
            "tol": tol,
        }

    return [
        ("one layer", case(0, 1, 4, 0.2, "relu", 0.01)),
        ("two layers", case(1, 2, 4, 0.2, "relu", 0.01)),
        ("five layers", case(2, 5, 4, 0.2, "relu", 0.01)),
        ("tanh", case(3, 3, 4, 0.2, "tanh", 0.01)),
        ("tanh, saturated", case(4, 3, 4, 30.0, "tanh", 0.01)),
        ("tiny weights", case(5, 3, 4, 1e-6, "relu", 0.01)),
        ("huge weights", case(6, 3, 4, 1e6, "relu", 0.01)),
        ("a narrow tolerance", case(7, 3, 5, 0.5, "relu", 1e-6)),
        ("a wide tolerance", case(8, 3, 5, 0.5, "tanh", 0.2)),
        ("two units", case(9, 2, 3, 0.7, "relu", 0.01)),
        ("wide layers", case(10, 3, 12, 0.1, "relu", 0.01)),
        ("deep", case(11, 12, 6, 0.4, "tanh", 0.01)),
    ]


ORACLES = {
    "fans": Oracle("torch.nn.init._calculate_fan_in_and_fan_out", _fans_cases, fans),
    "kaiming_normal": Oracle("torch.nn.init.calculate_gain", _kaiming_cases, kaiming_std),
    "distinct_units": Oracle("torch.autograd in float64", _units_cases, distinct_units),
    "orthogonal": Oracle("torch.nn.init.orthogonal_ in float64", _orthogonal_cases, gram),
    "lsuv": Oracle("torch.nn.functional.linear in float64", _lsuv_cases, scales),
}
