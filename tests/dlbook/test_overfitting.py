"""The functions of chapter 2 against PyTorch, least squares, closed forms and KKT conditions."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from dlbook.overfitting import (
    EarlyStopping,
    bias_variance,
    dropout,
    effective_dof,
    gd_filter,
    kfold,
    lasso,
    mixup,
    ridge,
    ridge_filter,
    soft_threshold,
)

explore = settings(deadline=None, derandomize=True, max_examples=100)
seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))
strengths = st.floats(1e-3, 1e3)


def data(seed: int, size: tuple[int, int]) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=size), rng.normal(size=size[0])


# --- ridge ---


@explore
@given(seeds, sizes, strengths)
def test_ridge_is_least_squares_on_added_rows(
    seed: int, size: tuple[int, int], strength: float
) -> None:
    x, y = data(seed, size)
    d = size[1]
    rows = np.vstack([x, math.sqrt(strength) * np.eye(d)])
    expected = np.linalg.lstsq(rows, np.append(y, np.zeros(d)))[0]
    assert_allclose(ridge(x, y, strength), expected, rtol=1e-9, atol=1e-11)


@explore
@given(seeds, sizes, strengths)
def test_ridge_is_a_filter_of_the_singular_directions(
    seed: int, size: tuple[int, int], strength: float
) -> None:
    x, y = data(seed, size)
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    expected = vt.T @ (ridge_filter(s, strength) * (u.T @ y) / s)
    assert_allclose(ridge(x, y, strength), expected, rtol=1e-9, atol=1e-9)
    hat = x @ np.linalg.inv(x.T @ x + strength * np.eye(size[1])) @ x.T
    assert effective_dof(ridge_filter(s, strength)) == pytest.approx(np.trace(hat), rel=1e-8)


@explore
@given(seeds, sizes, st.floats(0, 1e3))
def test_intercept_is_not_penalized(seed: int, size: tuple[int, int], strength: float) -> None:
    x, y = data(seed, size)
    w, b = ridge(x, y, strength, fit_intercept=True)
    moved, c = ridge(x + 3, y + 100, strength, fit_intercept=True)
    assert_allclose(moved, w, rtol=1e-8, atol=1e-8)
    assert_allclose((x + 3) @ moved + c, x @ w + b + 100, rtol=1e-8)
    assert np.sum(y - x @ w - b) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("size", [(8, 3), (3, 8)])
def test_ridge_of_strength_zero_has_the_smallest_norm(size: tuple[int, int]) -> None:
    x, y = data(0, size)
    x[:, -1] = x[:, 0]  # a direction that the data do not determine
    assert_allclose(ridge(x, y, 0), np.linalg.pinv(x) @ y, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("strength", [1e-300, 1e-18, 1e-14])
def test_ridge_of_a_tiny_strength_is_close_to_that(strength: float) -> None:
    x, y = data(0, (8, 3))
    x[:, -1] = x[:, 0]
    assert_allclose(ridge(x, y, strength), np.linalg.pinv(x) @ y, rtol=1e-6)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_ridge_is_where_weight_decay_leads(reduction: str) -> None:
    """With the mean over n samples, torch's weight decay has to be 2 λ / n."""
    x, y = data(1, (20, 4))
    strength = 0.7
    w = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    decay = strength if reduction == "sum" else 2 * strength / len(y)
    lr = 0.01 if reduction == "sum" else 0.1
    optimizer = torch.optim.SGD([w], lr=lr, weight_decay=decay)
    for _ in range(5000):
        optimizer.zero_grad()
        loss = F.mse_loss(torch.tensor(x) @ w, torch.tensor(y), reduction=reduction)
        (loss / 2 if reduction == "sum" else loss).backward()
        optimizer.step()
    assert_allclose(w.detach().numpy(), ridge(x, y, strength), rtol=1e-12)


# --- lasso ---


@explore
@given(hnp.arrays(np.float64, 7, elements=st.floats(-10, 10)), st.floats(0, 5))
def test_soft_threshold_is_softshrink(z: Any, threshold: float) -> None:
    assert_array_equal(soft_threshold(z, threshold), F.softshrink(torch.tensor(z), threshold))


def test_soft_threshold_beside_ridge() -> None:
    z = np.array([3, 1, 0.4])
    assert_allclose(soft_threshold(z, 0.5), [2.5, 0.5, 0], atol=1e-15)
    assert_allclose(z / 1.5, [2, 0.667, 0.267], atol=5e-4)
    assert soft_threshold(np.float32([1, -2]), 0.5).dtype == np.float32


@explore
@given(seeds, st.tuples(st.integers(2, 30), st.integers(1, 6)), st.floats(0.01, 1.5))
def test_lasso_meets_the_kkt_conditions(seed: int, size: tuple[int, int], fraction: float) -> None:
    x, y = data(seed, size)
    n = len(y)
    largest = np.abs(x.T @ y).max() / n
    strength = fraction * largest
    w = lasso(x, y, strength, max_iter=100_000)
    gradient = x.T @ (y - x @ w) / n
    kept = w != 0
    assert_allclose(gradient[kept], strength * np.sign(w[kept]), rtol=0, atol=1e-8 * largest)
    assert np.all(np.abs(gradient[~kept]) <= strength + 1e-8 * largest)
    assert kept.any() == (fraction < 1)


def test_lasso_leaves_a_column_of_zeros_alone() -> None:
    x, y = data(0, (10, 3))
    x[:, 1] = 0
    assert lasso(x, y, 0.01)[1] == 0
    assert not lasso(np.zeros((4, 2)), np.ones(4), 0.1).any()


def test_lasso_without_a_penalty_is_least_squares() -> None:
    x, y = data(3, (30, 4))
    assert_allclose(lasso(x, y, 0, tol=1e-14), np.linalg.lstsq(x, y)[0], rtol=1e-10)


def test_lasso_says_when_it_was_stopped() -> None:
    x, y = data(0, (10, 5))
    with pytest.warns(RuntimeWarning, match="1 sweeps were not enough"):
        lasso(x, y, 0.01, max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lasso(x, y, 0.01)


# --- dropout ---


@explore
@given(seeds, st.floats(0, 1), st.sampled_from([np.float32, np.float64]))
def test_dropout_keeps_or_drops(seed: int, p: float, dtype: Any) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(5, 7)).astype(dtype)
    before = x.copy()
    out, mask = dropout(x, p, rng)
    assert out.dtype == dtype
    assert_array_equal(x, before)
    assert_array_equal(out[~mask], 0)
    assert not mask.any() if p == 1 else mask.all() if p == 0 else True
    if p < 1:
        assert_allclose(out[mask], x[mask] / (1 - p), rtol=1e-6)


@pytest.mark.parametrize(("p", "added"), [(0.5, 1.0), (0.9, 9.0)])
def test_dropout_keeps_the_mean_and_adds_variance(p: float, added: float) -> None:
    ours, _ = dropout(np.ones(400_000), p, np.random.default_rng(0))
    torch.manual_seed(0)
    theirs = F.dropout(torch.ones(400_000, dtype=torch.float64), p).numpy()
    for out in (ours, theirs):
        assert out.mean() == pytest.approx(1, abs=0.03)
        assert out.var() == pytest.approx(added, rel=0.03)
    assert_allclose(np.unique(ours), np.unique(theirs))


def test_dropout_in_evaluation_and_at_the_ends() -> None:
    x = np.array([1.0, math.inf, math.nan])
    for out, mask in (
        dropout(x, 0.5, np.random.default_rng(0), training=False),
        dropout(x, 0, np.random.default_rng(0)),
    ):
        assert_array_equal(out, x)
        assert mask.all()
        assert not np.shares_memory(out, x)
    assert_array_equal(dropout(x, 1, np.random.default_rng(0))[0], 0)
    assert dropout(np.zeros((0, 3)), 0.5, np.random.default_rng(0))[0].shape == (0, 3)


def test_dropout_of_a_linear_model_is_ridge() -> None:
    """Averaged over masks, the loss is that of ridge with p/(1-p) times the squared columns."""
    x, y = data(0, (20, 5))
    w, p = np.random.default_rng(1).normal(size=5), 0.3
    rng = np.random.default_rng(2)
    losses = [np.sum((y - dropout(x, p, rng)[0] @ w) ** 2) for _ in range(20_000)]
    expected = np.sum((y - x @ w) ** 2) + p / (1 - p) * np.sum(x**2, axis=0) @ w**2
    assert np.mean(losses) == pytest.approx(expected, rel=4 * np.std(losses) / 141 / expected)


# --- bias and variance ---


@explore
@given(seeds, st.integers(2, 9), st.integers(1, 9))
def test_bias_and_variance_add_up_to_the_error(seed: int, models: int, inputs: int) -> None:
    rng = np.random.default_rng(seed)
    predictions, truth = rng.normal(size=(models, inputs)), rng.normal(size=inputs)
    bias2, variance, noise = bias_variance(predictions, truth, 0.25)
    assert bias2 + variance == pytest.approx(np.mean((predictions - truth) ** 2))
    assert noise == 0.25


def test_bias_and_variance_of_known_predictions() -> None:
    assert bias_variance([[1.0, 0.0], [3.0, 0.0]], [0.0, 0.0]) == (2.0, 0.5, 0.0)


# --- early stopping ---


@explore
@given(seeds, sizes, st.floats(0.01, 1.9), st.integers(0, 200))
def test_gradient_descent_is_the_filter(
    seed: int, size: tuple[int, int], fraction: float, steps: int
) -> None:
    x, y = data(seed, size)
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    lr = fraction / s[0] ** 2
    w = np.zeros(size[1])
    for _ in range(steps):
        w += lr * x.T @ (y - x @ w)
    expected = vt.T @ (gd_filter(s, lr, steps) * (u.T @ y) / s)
    assert_allclose(w, expected, rtol=1e-9, atol=1e-9 * np.abs(y).max() / s[-1])


def test_filters_at_the_ends() -> None:
    s = np.array([2.0, 1.0, 1e-9, 0.0])
    assert_array_equal(gd_filter(s, 0.25, 0), 0)
    assert gd_filter(s, 0.25, 10**6)[2] == pytest.approx(0.25e-12, rel=1e-12)
    assert gd_filter(s, 0.25, 1).tolist()[0] == 1
    assert_array_equal(ridge_filter(s, 0), [1, 1, 1, 0])
    assert effective_dof(ridge_filter(s, 1.0)) == pytest.approx(0.8 + 0.5)


def test_largest_gap_between_early_stopping_and_ridge() -> None:
    """At the same strength, 1/(lr t), and small steps: 0.204, at lr t s² = 2.51."""
    product = np.linspace(0.01, 20, 200_001)
    gap = np.abs(gd_filter(np.sqrt(product), 1e-6, 10**6) - ridge_filter(np.sqrt(product), 1.0))
    assert gap.max() == pytest.approx(0.204, abs=5e-4)
    assert product[gap.argmax()] == pytest.approx(2.51, abs=5e-3)


def stop(values: list[float], **options: Any) -> tuple[int | None, int | None]:
    """Return the step at which a stopper stops, and the best step."""
    stopper = EarlyStopping(**options)
    for step, value in enumerate(values):
        if stopper.update(value):
            return step, stopper.best_step
    return None, stopper.best_step


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        ([3, 2, 1, 2, 2, 0], {"patience": 2}, (4, 2)),
        ([3, 2, 1, 2, 0, 2], {"patience": 2}, (None, 4)),
        ([1, 1, 1], {"patience": 2}, (2, 0)),
        ([1, 0.95, 0.89], {"patience": 3, "min_delta": 0.1}, (None, 2)),
        ([1, 0.5, 0.4], {"patience": 1, "min_delta": 0.5}, (1, 0)),
        ([1, 2, 3, 2, 2], {"patience": 2, "mode": "max"}, (4, 2)),
        ([math.nan, 1, math.nan, math.nan], {"patience": 2}, (3, 1)),
        ([math.nan, math.inf], {"patience": 2}, (1, None)),
        ([], {"patience": 1}, (None, None)),
    ],
)
def test_stopping(values: list[float], options: Any, expected: tuple[Any, Any]) -> None:
    assert stop(values, **options) == expected


# --- splits and mixtures ---


@explore
@given(seeds, st.integers(2, 60), st.data())
def test_folds_are_disjoint_and_complete(seed: int, n: int, draws: st.DataObject) -> None:
    k = draws.draw(st.integers(2, n))
    folds = kfold(n, k, np.random.default_rng(seed))
    assert len(folds) == k
    assert_array_equal(np.sort(np.concatenate([val for _, val in folds])), np.arange(n))
    for train, val in folds:
        assert_array_equal(np.sort(np.append(train, val)), np.arange(n))
    lengths = {len(val) for _, val in folds}
    assert max(lengths) - min(lengths) <= 1


def test_folds_are_shuffled() -> None:
    (_, val), *_ = kfold(100, 5, np.random.default_rng(0))
    assert val.tolist() != list(range(20))


def test_mixup() -> None:
    x, y = np.arange(6.0).reshape(3, 2), np.eye(3)
    mixed, labels = mixup(x, y, 0.75, [1, 2, 0])
    assert_allclose(mixed[0], 0.75 * x[0] + 0.25 * x[1])
    assert_allclose(labels[2], [0.25, 0, 0.75])
    assert_allclose(labels.sum(axis=1), 1)
    assert mixup(x[:0], y[:0], 0.5, [])[0].shape == (0, 2)
    for array, same in zip(mixup(np.float32(x), np.float32(y), 1, [1, 2, 0]), (x, y), strict=True):
        assert_array_equal(array, same)
        assert array.dtype == np.float32


# --- what is refused ---

RNG = np.random.default_rng(0)
X, Y = np.ones((3, 2)), np.ones(3)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ridge(X, Y, -1), ValueError, "strength must be >= 0, got -1"),
        (lambda: ridge(Y, Y, 1), ValueError, "X must have 2 dimensions"),
        (lambda: ridge(X, X, 1), ValueError, "y must have 1 dimension"),
        (lambda: ridge(X, np.ones(4), 1), ValueError, "X has 3 rows, y 4 values"),
        (lambda: ridge(X * math.nan, Y, 1), ValueError, "X must be finite, got nan"),
        (lambda: ridge(X[:0], Y[:0], 1), ValueError, "X is empty"),
        (lambda: lasso(X, Y, math.nan), ValueError, "strength must be >= 0, got nan"),
        (lambda: lasso(X, Y, 1, max_iter=0), ValueError, "max_iter must be >= 1, got 0"),
        (lambda: lasso(X, Y, 1, tol=-1), ValueError, "tol must be >= 0"),
        (lambda: lasso(X, Y[:2], 1), ValueError, "X has 3 rows, y 2 values"),
        (lambda: soft_threshold(Y, -0.5), ValueError, "threshold must be >= 0, got -0.5"),
        (lambda: soft_threshold([1], 0.5), TypeError, "z has dtype int64"),
        (lambda: dropout(Y, 1.2, RNG), ValueError, r"p must be in \[0, 1\], got 1.2"),
        (lambda: dropout(Y, math.nan, RNG), ValueError, r"p must be in \[0, 1\], got nan"),
        (lambda: dropout([1], 0.5, RNG), TypeError, "x has dtype int64"),
        (lambda: dropout(Y, 0.5, 0), TypeError, "rng must be a numpy.random.Generator, got 0"),
        (lambda: bias_variance([Y], Y), ValueError, "at least 2 training sets are needed, got 1"),
        (lambda: bias_variance(X, Y), ValueError, "predictions has 2 inputs, truth 3"),
        (lambda: bias_variance(X, Y[:2], -1), ValueError, "noise_var must be >= 0"),
        (lambda: gd_filter([1.0], 2.3, 5), ValueError, r"lr \* s_max\*\*2 = 2.3, not < 2"),
        (lambda: gd_filter([1.0], 1, 1.5), TypeError, "steps must be an integer"),
        (lambda: gd_filter([-1.0], 1, 1), ValueError, "singular_values must be >= 0, got -1"),
        (lambda: ridge_filter([], 1), ValueError, "singular_values is empty"),
        (lambda: ridge_filter([1.0], -1), ValueError, "strength must be >= 0"),
        (lambda: effective_dof([math.inf]), ValueError, "filter_factors must be finite"),
        (lambda: EarlyStopping(0), ValueError, "patience must be >= 1, got 0"),
        (lambda: EarlyStopping(1, -1), ValueError, "min_delta must be >= 0"),
        (lambda: EarlyStopping(1, mode="low"), ValueError, "mode must be 'min' or 'max'"),  # type: ignore[arg-type]
        (lambda: kfold(7, 10, RNG), ValueError, "k = 10 folds for n = 7 samples"),
        (lambda: kfold(7, 1, RNG), ValueError, "k must be >= 2, got 1"),
        (lambda: kfold(7, 2, None), TypeError, "rng must be"),  # type: ignore[arg-type]
        (lambda: mixup(X, np.eye(3), 1.5, [0, 1, 2]), ValueError, "weight must be in"),
        (lambda: mixup(X, np.eye(2), 0.5, [0, 1, 2]), ValueError, r"got \(3, 2\) and \(2, 2\)"),
        (lambda: mixup(X, np.eye(3), 0.5, [0, 0, 2]), ValueError, "permutation must hold"),
        (lambda: mixup(X, np.eye(3), 0.5, [[0, 1, 2]]), ValueError, "permutation must hold"),
        (lambda: mixup(X, np.eye(3), 0.5, [0.0, 1.0, 2.0]), TypeError, "dtype float64: use int"),
    ],
)
def test_refused(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()
