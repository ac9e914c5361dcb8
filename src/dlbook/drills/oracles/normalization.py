"""Edge cases of chapter 3, answered by ``torch.nn`` and autograd."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbook.drills.normalization import Array, joined
from dlbook.drills.oracles import Oracle
from dlbook.drills.record import Inputs

Noted = list[tuple[str, Inputs]]


def layer_norm(x: Array, gamma: Array, beta: Array, eps: float) -> Array:
    """Return what ``torch.nn.functional.layer_norm`` gives."""
    from torch.nn import functional

    arrays = [_tensor(array) for array in (x, gamma, beta)]
    return _array(functional.layer_norm(arrays[0], gamma.shape, arrays[1], arrays[2], eps))


def batch_norm(batches: Array, gamma: Array, beta: Array, momentum: float, eps: float) -> Array:
    """Follow ``torch.nn.BatchNorm2d`` through training steps and one evaluation."""
    import torch

    module = torch.nn.BatchNorm2d(len(gamma), eps, momentum, dtype=torch.float64)
    with torch.no_grad():
        module.weight.copy_(_tensor(gamma))
        module.bias.copy_(_tensor(beta))
    outputs = [_array(module.train(step < len(batches) - 1)(_tensor(x)))
               for step, x in enumerate(batches)]  # fmt: skip
    return np.array(outputs)


def batch_norm_backward(dy: Array, x: Array, gamma: Array, eps: float) -> Array:
    """Return autograd's gradient of ``torch.nn.functional.batch_norm``."""
    from torch.nn import functional

    leaf = _tensor(x).requires_grad_()
    out = functional.batch_norm(leaf, None, None, _tensor(gamma), None, training=True, eps=eps)
    out.backward(_tensor(dy))
    return _array(leaf.grad)


def group_norm(x: Array, groups: int, gamma: Array, beta: Array, eps: float) -> Array:
    """Return what ``torch.nn.functional.group_norm`` gives."""
    from torch.nn import functional

    return _array(functional.group_norm(_tensor(x), groups, _tensor(gamma), _tensor(beta), eps))


def fold(
    weight: Array, bias: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float
) -> Array:
    """Return what ``torch.nn.utils.fuse_conv_bn_weights`` gives, bias first."""
    import torch

    fused = torch.nn.utils.fuse_conv_bn_weights(
        _tensor(weight), _tensor(bias), _tensor(mean), _tensor(var), eps, _tensor(gamma),
        _tensor(beta),
    )  # fmt: skip
    return joined(*(_array(part) for part in fused))


def _tensor(array: Array) -> Any:
    import torch

    return torch.tensor(array, dtype=torch.float64)


def _array(tensor: Any) -> Array:
    return np.asarray(tensor.detach().numpy())


def _noise(seed: int, *shape: int) -> Array:
    return np.asarray(np.random.default_rng(seed).normal(size=shape))


def _affine(seed: int, size: int) -> dict[str, Array]:
    rng = np.random.default_rng(100 + seed)
    return {"gamma": rng.uniform(0.5, 2, size=size), "beta": rng.normal(size=size)}


def _layer_case(seed: int, x: Array, eps: float = 1e-5) -> Inputs:
    return {"x": x, **_affine(seed, x.shape[-1]), "eps": eps}


def _layer_norm_cases() -> Noted:
    plain = {"gamma": np.ones(2), "beta": np.zeros(2), "eps": 1e-5}
    flat = np.full((2, 2, 4), 3.0)
    padded = _noise(7, 2, 3, 4)
    padded[1, 2] = 0
    return [
        ("one token of two features", {"x": np.array([[[1.0, 3.0]]]), **plain}),
        ("ordinary", _layer_case(1, _noise(1, 3, 4, 5))),
        ("one sample", _layer_case(2, _noise(2, 1, 4, 6))),
        ("one token", _layer_case(3, _noise(3, 4, 1, 6))),
        ("two features", _layer_case(4, _noise(4, 3, 3, 2))),
        ("spread of 1e-3, where eps counts", _layer_case(5, 1e-3 * _noise(5, 2, 3, 4))),
        ("all features equal", _layer_case(6, flat)),
        ("a padded token", _layer_case(7, padded)),
        ("large mean", _layer_case(8, 1e3 + _noise(8, 2, 3, 4))),
        ("large eps", _layer_case(9, _noise(9, 2, 3, 4), eps=0.1)),
        ("many features", _layer_case(10, _noise(10, 2, 2, 48))),
        (
            "one token far from the others",
            _layer_case(11, _noise(11, 1, 3, 4) * [[[1], [1], [50]]]),
        ),
    ]


def _batch_case(seed: int, batches: Array, momentum: float = 0.1, eps: float = 1e-5) -> Inputs:
    return {
        "batches": batches,
        **_affine(seed, batches.shape[2]),
        "momentum": momentum,
        "eps": eps,
    }


def _batch_norm_cases() -> Noted:
    vectors = _noise(2, 3, 4, 3, 1, 1)
    drifting = _noise(8, 6, 2, 2, 2, 2) + np.arange(6).reshape(-1, 1, 1, 1, 1)
    return [
        ("three training steps", _batch_case(1, 2 + 3 * _noise(1, 4, 3, 2, 2, 2))),
        ("maps of one pixel", _batch_case(2, vectors)),
        ("one sample with a map", _batch_case(3, _noise(3, 2, 1, 2, 2, 3))),
        ("two values a channel", _batch_case(4, _noise(4, 2, 2, 2, 1, 1))),
        ("one channel", _batch_case(5, _noise(5, 3, 2, 1, 2, 2))),
        ("momentum 1", _batch_case(6, _noise(6, 3, 2, 2, 2, 2), momentum=1.0)),
        ("momentum 0", _batch_case(7, _noise(7, 3, 2, 2, 2, 2), momentum=0.0)),
        ("the mean drifts", _batch_case(8, drifting)),
        ("constant maps", _batch_case(9, np.ones((3, 2, 2, 2, 2)))),
        ("large eps", _batch_case(10, _noise(10, 3, 2, 2, 2, 2), eps=0.1)),
        ("spread of 1e-3, where eps counts", _batch_case(11, 1e-3 * _noise(11, 3, 2, 2, 2, 2))),
        ("many steps", _batch_case(12, 5 + _noise(12, 20, 2, 1, 1, 2))),
    ]


def _backward_case(seed: int, x: Array, dy: Array | None = None, eps: float = 1e-5) -> Inputs:
    dy = _noise(50 + seed, *x.shape) if dy is None else dy
    return {"dy": dy, "x": x, "gamma": _affine(seed, x.shape[1])["gamma"], "eps": eps}


def _backward_cases() -> Noted:
    x = _noise(2, 6, 3)
    aligned = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)
    spike = np.zeros((5, 1))
    spike[2] = 1
    return [
        ("ordinary", _backward_case(1, 2 + 3 * _noise(1, 8, 4))),
        ("dy along the normalized input", _backward_case(2, x, aligned)),
        ("dy constant", _backward_case(3, x, np.ones_like(x))),
        ("two samples", _backward_case(4, _noise(4, 2, 3))),
        ("three samples", _backward_case(5, _noise(5, 3, 1))),
        ("one channel", _backward_case(6, _noise(6, 6, 1))),
        ("dy zero but in one place", _backward_case(7, _noise(7, 5, 1), spike)),
        ("no gradient at all", _backward_case(8, x, np.zeros_like(x))),
        ("constant input", _backward_case(9, np.ones((4, 2)))),
        ("spread of 1e-3, where eps counts", _backward_case(10, 1e-3 * _noise(10, 5, 2))),
        ("large eps", _backward_case(11, _noise(11, 5, 2), eps=0.5)),
        ("many samples", _backward_case(12, _noise(12, 40, 2))),
    ]


def _group_case(seed: int, x: Array, groups: int, eps: float = 1e-5) -> Inputs:
    return {"x": x, "groups": groups, **_affine(seed, x.shape[1]), "eps": eps}


def _group_norm_cases() -> Noted:
    return [
        ("two groups of two", _group_case(1, _noise(1, 2, 4, 2, 2), 2)),
        ("one group, layer norm over all", _group_case(2, _noise(2, 2, 4, 2, 2), 1)),
        ("as many groups as channels, instance norm", _group_case(3, _noise(3, 2, 4, 2, 2), 4)),
        ("two groups of three", _group_case(4, _noise(4, 2, 6, 2, 1), 2)),
        ("three groups of two", _group_case(5, _noise(5, 2, 6, 1, 2), 3)),
        ("one sample", _group_case(6, _noise(6, 1, 4, 2, 2), 2)),
        ("maps of one pixel", _group_case(7, _noise(7, 3, 6, 1, 1), 2)),
        ("one channel", _group_case(8, _noise(8, 2, 1, 2, 3), 1)),
        ("spread of 1e-3, where eps counts", _group_case(9, 1e-3 * _noise(9, 2, 4, 2, 2), 2)),
        ("constant maps", _group_case(10, np.ones((2, 4, 2, 2)), 2)),
        ("large eps", _group_case(11, _noise(11, 2, 4, 2, 2), 2, eps=0.1)),
        ("four groups of three", _group_case(12, _noise(12, 1, 12, 2, 2), 4)),
    ]


def _fold_case(seed: int, shape: tuple[int, ...], eps: float = 1e-5, **changed: Array) -> Inputs:
    size = shape[0]
    inputs = {
        "weight": _noise(seed, *shape),
        "bias": _noise(200 + seed, size),
        "mean": _noise(300 + seed, size),
        "var": _noise(400 + seed, size) ** 2,
        **_affine(seed, size),
    }
    return {**inputs, **changed, "eps": eps}


def _fold_cases() -> Noted:
    two = (2, 2, 1, 1)
    fresh: dict[str, Any] = {
        "mean": np.zeros(2),
        "var": np.ones(2),
        "gamma": np.ones(2),
        "beta": np.zeros(2),
    }
    return [
        ("ordinary", _fold_case(1, (3, 3, 2, 2))),
        ("1×1 kernel", _fold_case(2, (3, 3, 1, 1))),
        ("no bias", _fold_case(3, two, bias=np.zeros(2))),
        ("a fresh norm", _fold_case(4, two, **fresh)),
        ("variance zero, where eps counts", _fold_case(5, two, var=np.zeros(2))),
        ("variance as small as eps", _fold_case(6, two, var=np.full(2, 1e-5))),
        ("large eps", _fold_case(7, two, eps=0.1)),
        ("gamma zero switches a channel off", _fold_case(8, two, gamma=np.array([0.0, 1.0]))),
        ("gamma negative", _fold_case(9, two, gamma=np.array([-1.0, 1.0]))),
        ("large mean", _fold_case(10, two, mean=np.array([1e3, -1e3]))),
        ("more inputs than outputs", _fold_case(11, (3, 5, 3, 3))),
        ("fewer inputs than outputs", _fold_case(12, (6, 2, 3, 3))),
    ]


ORACLES = {
    "layer_norm": Oracle(
        "torch.nn.functional.layer_norm in float64", _layer_norm_cases, layer_norm
    ),
    "batch_norm": Oracle("torch.nn.BatchNorm2d in float64", _batch_norm_cases, batch_norm),
    "batch_norm_backward": Oracle(
        "torch.autograd through batch_norm in float64", _backward_cases, batch_norm_backward
    ),
    "group_norm": Oracle(
        "torch.nn.functional.group_norm in float64", _group_norm_cases, group_norm
    ),
    "fold": Oracle("torch.nn.utils.fuse_conv_bn_weights in float64", _fold_cases, fold),
}
