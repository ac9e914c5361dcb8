"""Edge cases of chapter 11, answered by ``torch.autograd`` and ``clip_grad_norm_``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dlbook.drills.gradient_flow import Array
from dlbook.drills.oracles import Oracle
from dlbook.drills.record import Inputs

Noted = list[tuple[str, Inputs]]


def clip_by_norm(entries: Array, sizes: tuple[int, ...], max_norm: float) -> Array:
    """Return the entries that ``clip_grad_norm_`` leaves, and the norm that it returns."""
    import torch

    leaves = []
    for part in np.split(entries, np.cumsum(sizes)[:-1]):
        leaves.append(torch.nn.Parameter(torch.zeros(len(part), dtype=torch.float64)))
        leaves[-1].grad = torch.tensor(part)
    norm = torch.nn.utils.clip_grad_norm_(leaves, max_norm)
    grads = [leaf.grad.numpy() for leaf in leaves if leaf.grad is not None]
    return np.append(np.concatenate(grads), norm.item())


def _net(activation: str) -> Callable[[Any], Any]:
    import torch

    known: dict[str, Callable[[Any], Any]] = {
        "identity": lambda z: z,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "relu": torch.relu,
    }
    return known[activation]


def mlp_backward(weights: Array, x: Array, target: Array, activation: str) -> Array:
    """Return the gradients of half the mean squared distance."""
    import torch

    leaf = torch.tensor(weights, requires_grad=True)
    h, phi = torch.tensor(x), _net(activation)
    for weight in leaf:
        h = phi(torch.nn.functional.linear(h, weight))
    loss = (h - torch.tensor(target)).square().sum() / (2 * len(x))
    (grads,) = torch.autograd.grad(loss, leaf)
    return np.asarray(grads.numpy())


def init_gain(activation: str, leak: float, q: float) -> float:
    """Integrate the square of autograd's derivative on a grid."""
    import torch

    grid = torch.linspace(-10, 10, 4001, dtype=torch.float64)
    z = (q**0.5 * grid).requires_grad_()
    if activation == "relu":
        slope = torch.where(z > 0, 1.0, leak).double()
    else:
        (slope,) = torch.autograd.grad(_net(activation)(z).sum(), z)
    weight = torch.exp(-grid.square() / 2)
    return float(((slope.square() * weight).sum() / weight.sum()).rsqrt().item())


def gradient_ratio(weights: Array, batches: Array) -> Array:
    """Return the ratio for each batch, of gradients in float32 and norms in float64."""
    found = []
    for batch in batches:
        grads = mlp_backward(weights, batch, np.zeros_like(batch), "sigmoid").astype(np.float32)
        first, last = (np.linalg.norm(grads[place].astype(float)) for place in (0, -1))
        found.append(first / last)
    return np.array(found)


def rnn_backward(W: Array, U: Array, x: Array, dh: Array) -> Array:  # noqa: N803
    """Return autograd's gradients of a loop of cells, side by side."""
    import torch

    w, u = (torch.tensor(part, requires_grad=True) for part in (W, U))
    h = torch.zeros(len(W), dtype=torch.float64)
    for step in torch.tensor(x):
        h = torch.tanh(w @ h + u @ step)
    grads = torch.autograd.grad(h, (w, u), torch.tensor(dh))
    return np.hstack([grad.numpy() for grad in grads])


def _clip_cases() -> Noted:
    def case(sizes: tuple[int, ...], entries: list[float], max_norm: float) -> Inputs:
        return {"entries": np.array(entries, float), "sizes": sizes, "max_norm": max_norm}

    return [
        ("3 and 4, limit 1", case((1, 1), [3, 4], 1.0)),
        ("3 and 4, limit 5: at the limit", case((1, 1), [3, 4], 5.0)),
        ("3 and 4, limit 10: untouched", case((1, 1), [3, 4], 10.0)),
        ("one array", case((2,), [30, 0.4], 1.0)),
        ("a single number", case((1,), [-2.0], 0.5)),
        ("all zero", case((2, 1), [0, 0, 0], 1.0)),
        ("tiny, untouched", case((1, 2), [1e-7, 1e-6, 0], 1.0)),
        ("huge", case((2, 2), [1e100, -1e99, 0, 1], 1.0)),
        ("one of two is zero", case((2, 2), [0, 0, 3, -4], 2.0)),
        ("three arrays", case((1, 2, 3), [1, -2, 3, -4, 5, -6], 0.1)),
        ("one array is small", case((1, 1), [1e-3, 10.0], 1.0)),
        ("near the limit", case((1, 1), [0.6, 0.8], 0.9999999)),
    ]


def _mlp_cases() -> Noted:
    def case(
        seed: int, depth: int, width: int, batch: int, activation: str, scale: float = 1.0
    ) -> Inputs:
        rng = np.random.default_rng(seed)
        return {
            "weights": scale * rng.normal(size=(depth, width, width)),
            "x": rng.normal(size=(batch, width)),
            "target": rng.normal(size=(batch, width)),
            "activation": activation,
        }

    return [
        ("one layer, one sample", case(0, 1, 2, 1, "tanh")),
        ("one layer", case(1, 1, 3, 4, "sigmoid")),
        ("two layers", case(2, 2, 3, 4, "tanh")),
        ("two layers of width 1", case(3, 2, 1, 3, "tanh")),
        ("linear layers", case(4, 3, 3, 4, "identity")),
        ("ReLU", case(5, 3, 4, 5, "relu")),
        ("ReLU, deep", case(6, 6, 4, 5, "relu")),
        ("sigmoid, deep", case(7, 8, 3, 4, "sigmoid")),
        ("tanh, saturated", case(8, 3, 3, 4, "tanh", 5.0)),
        ("tanh, nearly linear", case(9, 3, 3, 4, "tanh", 0.01)),
        ("one sample", case(10, 3, 4, 1, "tanh")),
        ("weights of zero", case(11, 2, 3, 4, "sigmoid", 0.0)),
    ]


def _gain_cases() -> Noted:
    cases = [
        ("ReLU", "relu", 0.0, 1.0), ("ReLU at another scale", "relu", 0.0, 9.0),
        ("leaky ReLU", "relu", 0.2, 1.0), ("a leak of 1 is the identity", "relu", 1.0, 3.0),
        ("identity", "identity", 0.0, 2.0), ("tanh, small signals", "tanh", 0.0, 1e-6),
        ("tanh", "tanh", 0.0, 1.0), ("tanh, large signals", "tanh", 0.0, 5.0),
        ("sigmoid, small signals", "sigmoid", 0.0, 1e-6), ("sigmoid", "sigmoid", 0.0, 1.0),
        ("sigmoid, large signals", "sigmoid", 0.0, 6.0), ("tanh in between", "tanh", 0.0, 0.3),
    ]  # fmt: skip
    return [(note, {"activation": name, "leak": leak, "q": q}) for note, name, leak, q in cases]


def _ratio_cases() -> Noted:
    def case(seed: int, depth: int, width: int, batch: int, scale: float) -> Inputs:
        rng = np.random.default_rng(seed)
        return {
            "weights": scale * rng.normal(size=(depth, width, width)),
            "batches": rng.normal(size=(2, batch, width)),
        }

    return [
        ("two layers", case(0, 2, 2, 2, 1.0)),
        ("one layer: the ratio is 1", case(1, 1, 2, 2, 1.0)),
        ("three layers", case(2, 3, 3, 2, 1.0)),
        ("ten layers", case(3, 10, 2, 2, 1.0)),
        ("sixty layers, about 1e-30", case(4, 60, 2, 2, 1.0)),
        ("thirty layers, small weights", case(5, 30, 2, 2, 0.3)),
        ("large weights", case(6, 4, 3, 3, 3.0)),
        ("one sample", case(7, 5, 3, 1, 1.0)),
        ("width 1", case(8, 4, 1, 2, 1.0)),
        ("first gradient about 1e-25", case(9, 6, 3, 2, 3e-5)),
        ("wide", case(10, 3, 8, 4, 0.3)),
    ]


def _rnn_cases() -> Noted:
    def case(seed: int, n: int, d: int, steps: int, scale: float = 1.0) -> Inputs:
        rng = np.random.default_rng(seed)
        return {
            "W": scale * rng.normal(size=(n, n)) / n**0.5,
            "U": rng.normal(size=(n, d)),
            "x": rng.normal(size=(steps, d)),
            "dh": rng.normal(size=n),
        }

    return [
        ("one step", case(0, 3, 2, 1)),
        ("two steps", case(1, 3, 2, 2)),
        ("ten steps", case(2, 3, 2, 10)),
        ("one unit", case(3, 1, 1, 5)),
        ("one input", case(4, 4, 1, 4)),
        ("many steps", case(5, 3, 2, 40)),
        ("small W: vanishes", case(6, 3, 2, 20, 0.1)),
        ("large W: saturated", case(7, 3, 2, 10, 5.0)),
        ("W of zero", case(8, 3, 2, 5, 0.0)),
        ("more inputs than units", case(9, 2, 5, 4)),
        ("wide", case(10, 8, 3, 6)),
    ]


ORACLES = {
    "clip_by_norm": Oracle("torch.nn.utils.clip_grad_norm_", _clip_cases, clip_by_norm),
    "mlp_backward": Oracle("torch.autograd in float64", _mlp_cases, mlp_backward),
    "init_gain": Oracle("torch.autograd in float64, on a grid", _gain_cases, init_gain),
    "gradient_ratio": Oracle("torch.autograd", _ratio_cases, gradient_ratio),
    "rnn_backward": Oracle("torch.autograd in float64", _rnn_cases, rnn_backward),
}
