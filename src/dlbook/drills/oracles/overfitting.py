"""Edge cases of chapter 2, answered by PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlbook.drills.oracles import Oracle
from dlbook.drills.overfitting import Array
from dlbook.drills.record import Inputs

Noted = list[tuple[str, Inputs]]


def fold_sizes(n: int, k: int, seed: int) -> NDArray[np.integer[Any]]:
    """Return the sizes of the parts that ``torch.tensor_split`` makes."""
    import torch

    return np.array([len(part) for part in torch.tensor_split(torch.arange(n), k)])


def stop_step(losses: Array, patience: int, min_delta: float) -> tuple[int, int]:
    """Return when ``ReduceLROnPlateau`` first lowers the rate, and the step of its best value.

    It lowers the rate when *more* than its ``patience`` steps were bad, hence the minus one.
    """
    import torch
    from torch.optim.lr_scheduler import ReduceLROnPlateau

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = ReduceLROnPlateau(
        optimizer, patience=patience - 1, threshold=min_delta, threshold_mode="abs"
    )
    best, lowest = 0, scheduler.best
    for step, loss in enumerate(losses):
        scheduler.step(float(loss))
        if scheduler.best != lowest:
            best, lowest = step, scheduler.best
        if optimizer.param_groups[0]["lr"] < 1:
            return step, best
    return len(losses) - 1, best


def dropout_shares(x: Array, dout: Array, p: float, training: bool, seed: int) -> Array:
    """Return the factor on what ``torch.nn.Dropout`` keeps, and the share that it should keep."""
    import torch

    layer = torch.nn.Dropout(p).train(training)
    torch.manual_seed(seed)
    ones = torch.ones(1000, dtype=torch.float64, requires_grad=True)
    out = layer(ones)
    out.sum().backward()
    assert ones.grad is not None and torch.equal(out, ones.grad)  # the same mask both ways
    return np.array([float(out.max().detach()), 1 - p if training else 1.0])


def ridge(X: Array, y: Array, strength: float) -> Array:  # noqa: N803
    """Return weights and intercept by ``torch.linalg.lstsq`` on centered, augmented data."""
    import torch

    features, target = torch.tensor(X), torch.tensor(y)
    center, mean = features.mean(dim=0), target.mean()
    d = len(center)
    rows = torch.cat([features - center, strength**0.5 * torch.eye(d, dtype=torch.float64)])
    right = torch.cat([target - mean, torch.zeros(d, dtype=torch.float64)])
    w = torch.linalg.lstsq(rows, right[:, None], rcond=1e-12, driver="gelsd").solution[:, 0]
    return np.asarray(torch.cat([w, (mean - center @ w)[None]]))


def lasso(X: Array, y: Array, strength: float, n_iter: int) -> Array:  # noqa: N803
    """Return the lasso's weights by autograd and ``torch.nn.functional.softshrink``."""
    import torch
    from torch.nn.functional import softshrink

    features, target = torch.tensor(X), torch.tensor(y)
    step = float(len(y) / torch.linalg.matrix_norm(features, ord=2) ** 2)
    w = torch.zeros(features.shape[1], dtype=torch.float64)
    for _ in range(3000):
        w.requires_grad_()
        half = ((target - features @ w) ** 2).mean() / 2
        (gradient,) = torch.autograd.grad(half, w)
        w = softshrink((w - step * gradient).detach(), step * strength)
    return np.asarray(w)


def _kfold_cases() -> Noted:
    sizes = [
        ("the rest goes to two folds", 102, 5),
        ("no rest", 20, 5),
        ("a rest of one", 21, 5),
        ("all folds but one get one more", 19, 5),
        ("two folds", 15, 2),
        ("leave one out", 12, 12),
        ("two samples", 2, 2),
        ("three samples, two folds", 3, 2),
        ("three samples, three folds", 3, 3),
        ("folds of one and two", 16, 10),
        ("seven samples", 7, 3),
        ("many samples", 1000, 10),
    ]
    return [(note, {"n": n, "k": k, "seed": seed}) for seed, (note, n, k) in enumerate(sizes)]


def _stop_case(losses: list[float], patience: int, min_delta: float = 0.0) -> Inputs:
    return {"losses": np.array(losses), "patience": patience, "min_delta": min_delta}


def _stop_cases() -> Noted:
    bowl = [1.0, 0.75, 0.5, 0.25, 0.5, 0.75, 1.0, 1.25]
    return [
        ("a bowl", _stop_case(bowl, 3)),
        ("no patience", _stop_case(bowl, 1)),
        ("the run ends first", _stop_case(bowl, 10)),
        ("one step", _stop_case([0.5], 3)),
        ("rising from the start", _stop_case([0.5, 0.75, 1.0, 1.25], 2)),
        ("falling to the end", _stop_case([1.0, 0.75, 0.5, 0.25], 2)),
        ("flat", _stop_case([0.5] * 5, 3)),
        ("flat, one step short of patience", _stop_case([0.5] * 3, 3)),
        ("gains of exactly min_delta", _stop_case([1.0, 0.75, 0.5, 0.25], 2, 0.25)),
        ("small gains add up", _stop_case([1.0, 0.875, 0.75, 0.625, 0.5], 3, 0.25)),
        ("a gain after two bad steps", _stop_case([1.0, 1.25, 1.25, 0.5, 1.0, 1.0, 1.0], 3)),
        ("better again after the end", _stop_case([1.0, 2.0, 2.0, 0.5], 2)),
        ("a sawtooth", _stop_case([1.0, 1.5, 0.875, 1.375, 0.75, 1.25, 0.625, 1.125], 2)),
        ("negative losses", _stop_case([-1.0, -1.5, -1.25, -1.25], 2)),
    ]


def _dropout_cases() -> Noted:
    rng = np.random.default_rng(3)

    def case(p: float, training: bool = True, size: int = 24, seed: int = 0) -> Inputs:
        x, dout = rng.normal(size=(2, size))
        return {"x": x, "dout": dout, "p": p, "training": training, "seed": seed}

    sparse = case(0.5, seed=11)
    sparse["x"][::3] = 0.0  # type: ignore[index]
    return [
        ("half", case(0.5)),
        ("a tenth", case(0.1, seed=1)),
        ("nine tenths", case(0.9, seed=2)),
        ("nothing dropped", case(0.0, seed=3)),
        ("everything dropped", case(1.0, size=60, seed=4)),
        ("evaluation", case(0.5, training=False, seed=5)),
        ("evaluation, everything would be dropped", case(1.0, training=False, size=60, seed=6)),
        ("evaluation, nothing would be dropped", case(0.0, training=False, seed=7)),
        ("one value", case(0.3, size=1, seed=8)),
        ("two values", case(0.8, size=2, seed=9)),
        ("many values", case(0.2, size=100, seed=10)),
        ("some inputs are zero", sparse),
    ]


def _ridge_case(X: Any, y: Any, strength: float) -> Inputs:  # noqa: N803
    return {"X": np.array(X, dtype=float), "y": np.array(y, dtype=float), "strength": strength}


def _ridge_cases() -> Noted:
    rng = np.random.default_rng(4)
    tall, wide = rng.normal(size=(8, 3)) + 2, rng.normal(size=(6, 9))
    y, few = rng.normal(size=8) + 5, rng.normal(size=6)
    twins = np.column_stack([tall, tall[:, 0] + tall[:, 1], tall[:, 0]])
    return [
        ("tall", _ridge_case(tall, y, 0.5)),
        ("least squares", _ridge_case(tall, y, 0.0)),
        ("strong", _ridge_case(tall, y, 1e4)),
        ("weak", _ridge_case(tall, y, 1e-6)),
        ("more columns than samples", _ridge_case(wide, few, 0.5)),
        ("more columns than samples, strength 0", _ridge_case(wide, few, 0.0)),
        ("dependent columns, strength 0", _ridge_case(twins, y, 0.0)),
        ("dependent columns", _ridge_case(twins, y, 1.0)),
        ("y far from zero", _ridge_case(tall, y + 1000, 0.5)),
        ("X far from zero", _ridge_case(tall + 1000, y, 0.5)),
        ("constant y", _ridge_case(tall, np.full(8, 3.0), 0.5)),
        ("a constant column", _ridge_case(np.column_stack([tall, np.ones(8)]), y, 2.0)),
        ("one column", _ridge_case(tall[:, :1], y, 0.5)),
        ("already centered", _ridge_case([[-1], [0], [1]], [-1, 0, 1], 1.0)),
    ]


def _lasso_cases() -> Noted:
    rng = np.random.default_rng(5)
    X = np.linalg.qr(rng.normal(size=(10, 4)))[0] * np.sqrt(10)  # noqa: N806
    # From orthogonal to correlated, never so much that the stated number of steps is too small.
    mixed = X @ (np.eye(4) + 0.15 * np.ones((4, 4)))
    y = X @ np.array([3.0, -1.0, 0.4, 0.0]) + 0.1 * rng.normal(size=10)
    top = float(np.abs(X.T @ y).max() / 10)

    def case(X: Array, strength: float, n_iter: int = 200, y: Array = y) -> Inputs:  # noqa: N803
        return {"X": X, "y": y, "strength": strength, "n_iter": n_iter}

    return [
        ("orthogonal columns", case(X, 0.5)),
        ("orthogonal columns, weak", case(X, 0.05)),
        ("no penalty", case(X, 0.0)),
        ("all zero", case(X, 1.01 * top)),
        ("one weight left", case(X, 0.9 * top)),
        ("correlated columns", case(mixed, 0.5)),
        ("correlated columns, weak", case(mixed, 0.05)),
        ("steep", case(4 * X, 0.5)),
        ("flat", case(0.5 * X, 0.2)),
        ("correlated and steep", case(3 * mixed, 1.0)),
        ("a column of zeros", case(np.column_stack([X, np.zeros(10)]), 0.3)),
        ("a constant y of zero", case(X, 0.1, y=np.zeros(10))),
        ("one column", case(X[:, :1], 0.5)),
    ]


ORACLES = {
    "kfold": Oracle("torch.tensor_split", _kfold_cases, fold_sizes),
    "stop_step": Oracle("torch.optim.lr_scheduler.ReduceLROnPlateau", _stop_cases, stop_step),
    "dropout_both_ways": Oracle("torch.nn.Dropout in float64", _dropout_cases, dropout_shares),
    "ridge_with_intercept": Oracle("torch.linalg.lstsq in float64", _ridge_cases, ridge),
    "ista": Oracle("torch.nn.functional.softshrink in float64", _lasso_cases, lasso),
}
