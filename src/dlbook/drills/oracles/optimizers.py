"""Edge cases of chapter 1, answered by ``torch.optim`` and ``torch.utils.data``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlbook.drills.optimizers import DEFAULT_BETAS, Array, Betas
from dlbook.drills.oracles import Oracle
from dlbook.drills.record import Inputs

Noted = list[tuple[str, Inputs]]


def batch_sizes(n: int, batch_size: int, seed: int) -> NDArray[np.integer[Any]]:
    """Return the sizes of the batches that a DataLoader of PyTorch would make."""
    from torch.utils.data import BatchSampler, SequentialSampler

    sampler = BatchSampler(SequentialSampler(range(n)), batch_size, drop_last=False)
    return np.array([len(batch) for batch in sampler])


def sgd(theta: Array, grads: Array, lrs: Array, momentum: float) -> Array:
    """Follow ``torch.optim.SGD``."""
    from torch.optim import SGD

    return _path(lambda p: SGD(p, lr=float(lrs[0]), momentum=momentum), theta, grads, lrs)


def adam(theta: Array, grads: Array, lr: float, betas: Betas, eps: float) -> Array:
    """Follow ``torch.optim.Adam``."""
    from torch.optim import Adam

    return _path(lambda p: Adam(p, lr=lr, betas=betas, eps=eps), theta, grads)


def adamw(
    theta: Array, grads: Array, lr: float, betas: Betas, eps: float, weight_decay: float
) -> Array:
    """Follow ``torch.optim.AdamW``."""
    from torch.optim import AdamW

    return _path(
        lambda p: AdamW(p, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay), theta, grads
    )


def largest_stable_lr(hessian: Array, momentum: float, seed: int) -> float:
    """Return the limit of heavy ball, with the largest eigenvalue from torch."""
    import torch

    largest = torch.linalg.eigvalsh(torch.tensor(hessian)).max()
    return float(2 * (1 + momentum) / largest)


def _path(
    make: Callable[[list[Any]], Any], theta: Array, grads: Array, lrs: Array | None = None
) -> Array:
    """Return the parameters after each step of an optimizer."""
    import torch

    parameter = torch.tensor(theta, requires_grad=True)
    optimizer = make([parameter])
    path = []
    for t, grad in enumerate(grads):
        if lrs is not None:
            optimizer.param_groups[0]["lr"] = float(lrs[t])
        parameter.grad = torch.tensor(grad)
        optimizer.step()
        path.append(parameter.detach().numpy().copy())
    return np.array(path)


def _minibatches_cases() -> Noted:
    sizes = [
        ("the last batch is short", 100, 32),
        ("no batch is short", 60, 12),
        ("the last batch has one sample", 31, 10),
        ("the last batch lacks one sample", 29, 10),
        ("batches of one", 17, 1),
        ("one batch", 16, 16),
        ("fewer samples than a batch has", 12, 50),
        ("one sample", 1, 1),
        ("one sample, larger batch", 1, 4),
        ("two samples", 2, 1),
        ("three samples", 3, 2),
        ("many samples", 1000, 128),
    ]
    return [
        (note, {"n": n, "batch_size": batch_size, "seed": seed})
        for seed, (note, n, batch_size) in enumerate(sizes)
    ]


def _grads(*rows: float | list[float]) -> Array:
    return np.array(rows, dtype=float).reshape(len(rows), -1)


def _sgd_case(theta: list[float], grads: Array, lrs: list[float], momentum: float) -> Inputs:
    return {"theta": np.array(theta), "grads": grads, "lrs": np.array(lrs), "momentum": momentum}


def _sgd_cases() -> Noted:
    noise = np.random.default_rng(1).normal(size=(8, 5))
    ones = np.ones((10, 1))
    return [
        ("lr drops at step 6", _sgd_case([1.0], ones, [0.1] * 5 + [0.01] * 5, 0.9)),
        ("one step", _sgd_case([1.0], _grads(2.0), [0.1], 0.9)),
        ("no momentum", _sgd_case([1.0, -1.0], noise[:, :2], [0.1] * 4 + [0.05] * 4, 0.0)),
        ("constant lr", _sgd_case([0.5], ones, [0.1] * 10, 0.9)),
        ("no gradient at all", _sgd_case([1.0, 2.0], np.zeros((3, 2)), [0.1] * 3, 0.9)),
        ("one gradient, then coasting", _sgd_case([0.0], _grads(1, 0, 0, 0), [0.1] * 4, 0.5)),
        ("alternating", _sgd_case([0.0], _grads(1, -1, 1, -1), [0.1] * 4, 0.9)),
        ("warm-up from zero", _sgd_case([1.0], ones[:4], [0.0, 0.01, 0.02, 0.03], 0.9)),
        ("lr zero", _sgd_case([1.0], ones[:3], [0.0] * 3, 0.9)),
        ("long memory", _sgd_case([1.0], ones, [0.01] * 10, 0.99)),
        ("huge gradients", _sgd_case([1.0], 1e8 * noise[:, :1], [0.1] * 8, 0.9)),
        ("tiny gradients", _sgd_case([0.0], 1e-8 * noise[:, :1], [0.1] * 8, 0.9)),
        ("five coordinates", _sgd_case([0.0, 1.0, 2.0, 3.0, 4.0], noise, [0.1] * 8, 0.9)),
    ]


def _adam_case(
    theta: list[float],
    grads: Array,
    lr: float = 0.1,
    betas: Betas = DEFAULT_BETAS,
    eps: float = 1e-8,
) -> Inputs:
    return {"theta": np.array(theta), "grads": grads, "lr": lr, "betas": betas, "eps": eps}


def _adam_cases() -> Noted:
    noise = np.random.default_rng(2).normal(size=(8, 5))
    ones = np.ones((12, 1))
    growing = 1.11 ** np.arange(12.0)[:, None]
    return [
        ("one step", _adam_case([1.0], _grads(3.0))),
        ("constant gradient", _adam_case([1.0], ones)),
        ("gradient 1e-6", _adam_case([0.0], 1e-6 * ones[:4])),
        ("gradient 1e-8, as small as eps", _adam_case([0.0], 1e-8 * ones[:4])),
        ("no gradient at all", _adam_case([1.0, 2.0], np.zeros((3, 2)))),
        ("zeros, then a gradient", _adam_case([0.0], _grads(0, 0, 0, 1, 1))),
        ("one gradient, then zeros", _adam_case([0.0], _grads(1, 0, 0, 0, 0))),
        ("alternating", _adam_case([0.0], _grads(1, -1, 1, -1, 1))),
        ("growing", _adam_case([0.0], growing)),
        ("beta1 zero", _adam_case([1.0], noise[:, :1], betas=(0.0, 0.99))),
        ("short memory", _adam_case([1.0], noise[:, :1], betas=(0.9, 0.95))),
        ("both betas zero", _adam_case([1.0], noise[:, :1], betas=(0.0, 0.0))),
        ("large eps", _adam_case([1.0], noise[:, :1], eps=0.1)),
        ("lr 1", _adam_case([1.0], noise[:, :1], lr=1.0)),
        ("huge gradients", _adam_case([1.0], 1e8 * noise[:, :1])),
        ("five coordinates", _adam_case([0.0, 1.0, 2.0, 3.0, 4.0], noise, lr=0.001)),
    ]


def _adamw_cases() -> Noted:
    decays = [0.01, 0.1, 0.1, 0.5, 0.1, 0.01, 0.1, 1.0, 0.0, 0.1, 0.01, 0.1, 0.5, 1.0, 0.1, 0.1]
    cases = [
        (f"{note}, decay {decay}", {**inputs, "weight_decay": decay})
        for (note, inputs), decay in zip(_adam_cases(), decays, strict=True)
    ]
    faded = {**_adam_case([5.0], np.ones((3, 1)), lr=0.5), "weight_decay": 2.0}
    return [*cases, ("all of a weight decays in a step", faded)]


def _hessian_case(hessian: list[list[float]], momentum: float, seed: int) -> Inputs:
    return {"hessian": np.array(hessian), "momentum": momentum, "seed": seed}


def _limit_cases() -> Noted:
    steep = 1e8 * np.array([[2.0, 1.0], [1.0, 2.0]])
    mixed = np.array([[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]])
    return [
        ("one parameter", _hessian_case([[3.0]], 0.0, 0)),
        ("one parameter, momentum", _hessian_case([[3.0]], 0.9, 1)),
        ("diagonal", _hessian_case([[1.0, 0.0], [0.0, 20.0]], 0.9, 2)),
        ("diagonal, the other way", _hessian_case([[20.0, 0.0], [0.0, 1.0]], 0.5, 3)),
        ("not diagonal", _hessian_case([[2.0, 1.0], [1.0, 2.0]], 0.0, 4)),
        ("ones have curvature 0", _hessian_case([[1.0, -1.0], [-1.0, 1.0]], 0.0, 5)),
        ("a flat direction", _hessian_case([[1.0, 1.0], [1.0, 1.0]], 0.9, 6)),
        ("three parameters", _hessian_case((mixed @ mixed).tolist(), 0.9, 7)),
        ("steep", _hessian_case(steep.tolist(), 0.0, 8)),
        ("steep, momentum", _hessian_case(steep.tolist(), 0.99, 9)),
        ("hardly curved", _hessian_case([[1e-8, 0.0], [0.0, 2e-8]], 0.5, 10)),
        ("wide range", _hessian_case(np.diag([1e-6, 1e-3, 1.0, 1e3]).tolist(), 0.9, 11)),
    ]


ORACLES = {
    "minibatches": Oracle("torch.utils.data.BatchSampler", _minibatches_cases, batch_sizes),
    "sgd": Oracle("torch.optim.SGD in float64", _sgd_cases, sgd),
    "adam": Oracle("torch.optim.Adam in float64", _adam_cases, adam),
    "adamw": Oracle("torch.optim.AdamW in float64", _adamw_cases, adamw),
    "largest_stable_lr": Oracle(
        "torch.linalg.eigvalsh in float64", _limit_cases, largest_stable_lr
    ),
}
