"""The functions of the quadratic model against eigenvalues, simulation and linear solves."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from dlbook.optimizers import (
    adam_step_bound,
    heavy_ball_optimum,
    max_stable_lr,
    sgd_step,
    spectral_radius,
    stationary_loss,
    trajectory,
)

explore = settings(deadline=None, derandomize=True, max_examples=200)
lrs = st.floats(0, 3)
momenta = st.floats(0, 0.99)
curvatures = st.floats(0.01, 30)


def iteration_matrix(lr: float, momentum: float, curvature: float, nesterov: bool) -> Any:
    """Return the matrix of one ``sgd_step`` on (theta, v), column by column."""
    columns = []
    for theta, v in np.eye(2):
        new = sgd_step(
            theta, curvature * theta, np.asarray(v), lr=lr, momentum=momentum, nesterov=nesterov
        )
        columns.append(new)
    return np.array(columns, dtype=float).T


# --- spectral_radius ---


@explore
@given(lrs, st.floats(0.01, 0.99), st.floats(-5, 30), st.booleans())
@example(0.05, 0.9, 20.0, True)
def test_spectral_radius_is_that_of_the_iteration(
    lr: float, momentum: float, curvature: float, nesterov: bool
) -> None:
    matrix = iteration_matrix(lr, momentum, curvature, nesterov)
    expected = np.abs(np.linalg.eigvals(matrix)).max()
    # Where both roots nearly coincide, eigenvalues carry the root of the rounding error.
    close = 1e-7 * (1 + lr * abs(curvature))
    assert_allclose(spectral_radius(lr, momentum, curvature, nesterov), expected, atol=close)


def test_spectral_radius_of_gradient_descent() -> None:
    lr = np.linspace(0, 0.2, 21)
    for nesterov in (False, True):
        assert_allclose(spectral_radius(lr, 0, 20, nesterov), np.abs(1 - 20 * lr), atol=1e-15)


@pytest.mark.parametrize(
    ("lr", "momentum", "nesterov", "rate"),
    [
        (0.09, 0.0, False, 0.910),
        (0.05, 0.6, False, 0.800),
        (0.05, 0.9, False, 0.949),
        (0.13, 0.4, False, 0.692),
        (0.05, 0.9, True, 0.925),
        (0.12, 0.45, False, 0.671),
        (0.06, 0.65, True, 0.782),
        (0.11, 0.0, False, 1.20),
    ],
)
def test_rates_of_the_ravine(lr: float, momentum: float, nesterov: bool, rate: float) -> None:
    radius = spectral_radius(lr, momentum, [1.0, 20.0], nesterov)
    assert radius.max() == pytest.approx(rate, abs=5e-4)


def test_best_rates_on_the_grid_of_the_ravine() -> None:
    lr = np.arange(1, 21)[:, None, None] / 100
    momentum = np.arange(20)[:, None] / 20
    for nesterov, at, rate in ((False, (0.12, 0.45), 0.671), (True, (0.06, 0.65), 0.782)):
        rates = spectral_radius(lr, momentum, [1.0, 20.0], nesterov).max(axis=-1)
        assert rates.min() == pytest.approx(rate, abs=5e-4)
        i, j = round(at[0] * 100) - 1, round(at[1] * 20)
        assert rates[i, j] == pytest.approx(rates.min(), rel=1e-12)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize(("lr", "momentum"), [(0.02, 0.5), (0.1, 0.4), (2.2, 0.2)])
def test_spectral_radius_is_the_shrinking_of_a_late_step(
    lr: float, momentum: float, nesterov: bool
) -> None:
    # Real roots at each of these: a complex pair would swing.
    step = partial(sgd_step, lr=lr, momentum=momentum, nesterov=nesterov)
    run = trajectory(lambda theta: theta, [1.0], step, 200)[:, 0]
    rate = float(spectral_radius(lr, momentum, 1.0, nesterov))
    assert abs(run[60] / run[59]) == pytest.approx(rate, rel=1e-6)


def test_spectral_radius_broadcasts() -> None:
    radius = spectral_radius(np.full((4, 1), 0.1), np.full(3, 0.5), 2.0)
    assert radius.shape == (4, 3)
    assert radius.dtype == np.float64
    assert spectral_radius(0.1, 0, np.ones(0)).shape == (0,)
    assert spectral_radius(0.1, 0, 1).shape == ()


# --- max_stable_lr ---


@explore
@given(curvatures, momenta, st.booleans())
def test_the_largest_stable_lr_is_where_the_radius_is_one(
    curvature: float, momentum: float, nesterov: bool
) -> None:
    limit = float(max_stable_lr(curvature, momentum, nesterov))
    at, below, above = (
        float(spectral_radius(limit * factor, momentum, curvature, nesterov))
        for factor in (1, 0.999, 1.001)
    )
    assert at == pytest.approx(1, abs=1e-6)
    assert below < 1 < above


def test_limits_of_the_chapter() -> None:
    assert_allclose(max_stable_lr(20.0), 2 / 20)
    assert_allclose(max_stable_lr(20.0, nesterov=True), 2 / 20)
    nearly_one = 1 - 1e-9
    assert_allclose(max_stable_lr(3.0, nearly_one), 4 / 3)
    assert_allclose(max_stable_lr(3.0, nearly_one, nesterov=True), 4 / 3 / 3)
    assert max_stable_lr(np.ones((2, 1)), np.zeros(3)).shape == (2, 3)


# --- heavy_ball_optimum ---


@pytest.mark.parametrize("kappa", [10, 100, 1000])
def test_no_point_of_a_grid_beats_the_optimum(kappa: float) -> None:
    best = heavy_ball_optimum(1.0, kappa)
    lr = np.linspace(0, 4 / kappa, 400)[:, None, None]
    momentum = np.linspace(0, 0.999, 400)[:, None]
    rates = spectral_radius(lr, momentum, [1.0, kappa]).max(axis=-1)
    assert best.rate <= rates.min() < best.rate + 0.02
    i, j = np.unravel_index(rates.argmin(), rates.shape)
    assert lr[i, 0, 0] == pytest.approx(best.lr, rel=0.1)
    assert momentum[j, 0] == pytest.approx(best.momentum, abs=0.03)


@explore
@given(curvatures, st.floats(1, 1e4))
def test_the_optimum_has_its_rate_at_both_ends(smallest: float, kappa: float) -> None:
    largest = smallest * kappa
    lr, momentum, rate = heavy_ball_optimum(smallest, largest)
    radius = spectral_radius(lr, momentum, [smallest, largest])
    assert_allclose(radius, rate, atol=1e-6)
    root = math.sqrt(largest / smallest)
    assert rate == pytest.approx((root - 1) / (root + 1), abs=1e-9)
    assert momentum == pytest.approx(rate**2)


def test_steps_per_factor_ten_at_kappa_100() -> None:
    best = heavy_ball_optimum(1.0, 100.0)
    assert math.log(0.1) / math.log(best.rate) == pytest.approx(11.5, abs=0.05)
    plain = float(spectral_radius(2 / 101, 0, [1.0, 100.0]).max())
    assert math.log(0.1) / math.log(plain) == pytest.approx(115, abs=0.5)


def test_one_curvature_needs_no_momentum() -> None:
    assert heavy_ball_optimum(4.0, 4.0) == (0.25, 0.0, 0.0)


# --- stationary_loss ---


@explore
@given(st.floats(0.001, 3), momenta, curvatures, st.floats(0.1, 3))
def test_stationary_loss_solves_the_lyapunov_equation(
    lr: float, momentum: float, curvature: float, noise_std: float
) -> None:
    assume(lr * curvature < 1.9 * (1 + momentum))
    # (theta, v) -> A (theta, v) + b noise, as v takes the noise and theta steps by -lr v.
    matrix = np.array([[1 - lr * curvature, -lr * momentum], [curvature, momentum]])
    b = np.array([-lr, 1.0])
    noise = noise_std**2 * np.outer(b, b)
    covariance = np.linalg.solve(np.eye(4) - np.kron(matrix, matrix), noise.ravel())
    expected = curvature * covariance[0] / 2
    loss = stationary_loss(lr, momentum, curvature, noise_std)
    assert_allclose(loss, expected, rtol=1e-6)


def test_stationary_loss_of_a_simulation() -> None:
    rng = np.random.default_rng(7)
    for lr, momentum, theory in ((0.05, 0.0, 0.0128), (0.05, 0.5, 0.0254), (0.05, 0.9, 0.1267)):
        theta: Any = np.zeros(2000)
        velocity: Any = None
        losses = []
        for step in range(900):
            grad = theta + rng.normal(size=theta.shape)
            theta, velocity = sgd_step(theta, grad, velocity, lr=lr, momentum=momentum)
            if step >= 300:
                losses.append((theta**2).mean() / 2)
        assert float(stationary_loss(lr, momentum, 1.0, 1.0)) == pytest.approx(theory, abs=5e-5)
        assert np.mean(losses) == pytest.approx(theory, rel=0.02)


def test_equal_effective_lr_has_about_equal_loss() -> None:
    plain, heavy = stationary_loss([0.05, 0.005], [0.0, 0.9], 1.0, 1.0)
    assert heavy == pytest.approx(plain, rel=0.03)
    ten_times = stationary_loss(0.05, 0.9, 1.0, 1.0) / plain
    assert ten_times == pytest.approx(10, rel=0.02)


def test_stationary_loss_is_infinite_where_unstable() -> None:
    losses = stationary_loss([0.1, 0.0999, 0.11, 0.0], 0.0, 20.0, [1.0, 1.0, 0.0, 1.0])
    assert_array_equal(np.isinf(losses), [True, False, True, False])
    assert losses[3] == 0


# --- adam_step_bound ---


def test_bounds_of_the_chapter() -> None:
    assert adam_step_bound(0.9, 0.999) == pytest.approx((3.1623, 7.2703), abs=5e-5)
    assert adam_step_bound(0.9, 0.99) == pytest.approx((1.0, 2.345), abs=5e-4)
    assert adam_step_bound(0.9, 0.95) == pytest.approx((1.0, 1.165), abs=5e-4)
    assert adam_step_bound(0.0, 0.0) == (1.0, 1.0)
    assert adam_step_bound(0.0, 0.99) == pytest.approx((10.0, 10.0))


def largest_torch_step(grads: Any, betas: tuple[float, float], silence: int) -> float:
    """Return the largest step of torch's Adam, in lr, after ``silence`` zero gradients."""
    theta = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([theta], lr=1.0, betas=betas, eps=1e-100)
    theta.grad = torch.zeros(1, dtype=torch.float64)
    optimizer.step()
    # Zero gradients leave both averages at zero, so only the count of steps moves.
    optimizer.state[theta]["step"].fill_(silence)
    theta.data.zero_()
    largest = before = 0.0
    for grad in grads:
        theta.grad = torch.tensor([float(grad)], dtype=torch.float64)
        optimizer.step()
        largest, before = max(largest, abs(theta.item() - before)), theta.item()
    return largest


@pytest.mark.parametrize(
    ("beta2", "growth", "step"), [(0.999, 1.11, 7.2703), (0.99, 1.10, 2.345), (0.95, None, 1.165)]
)
def test_growing_gradients_reach_the_supremum(
    beta2: float, growth: float | None, step: float
) -> None:
    grads = (growth or beta2 / 0.9) ** np.arange(300.0)
    largest = largest_torch_step(grads, (0.9, beta2), silence=20_000)
    supremum = adam_step_bound(0.9, beta2)[1]
    assert largest == pytest.approx(step, abs=5e-4)
    assert largest == pytest.approx(supremum, rel=1e-5)
    assert largest <= supremum * (1 + 1e-9)


def test_a_lone_spike_reaches_the_papers_bound() -> None:
    largest = largest_torch_step([1.0, 0, 0, 0], (0.9, 0.999), silence=20_000)
    assert largest == pytest.approx(3.1623, abs=5e-4)


@explore
@given(
    st.lists(st.floats(-100, 100).filter(lambda g: g == 0 or abs(g) > 1e-6), max_size=30),
    st.floats(0, 0.95),
    st.floats(0.01, 0.99),
    st.sampled_from([0, 3, 1000]),
)
def test_no_gradients_exceed_the_supremum(
    grads: list[float], beta1: float, share: float, silence: int
) -> None:
    beta2 = beta1**2 + share * (1 - beta1**2)
    supremum = adam_step_bound(beta1, beta2)[1]
    assert largest_torch_step(grads, (beta1, beta2), silence) <= supremum * (1 + 1e-9)


# --- what is refused ---


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: adam_step_bound(0.9, 0.5),
            "beta1**2 = 0.81 must be below beta2 = 0.5: the step is unbounded",
        ),
        (
            lambda: adam_step_bound(0.5, 0.25),
            "beta1**2 = 0.25 must be below beta2 = 0.25: the step is unbounded",
        ),
        (lambda: adam_step_bound(1.0, 0.5), "beta1 must be in [0, 1), got 1.0"),
        (lambda: adam_step_bound(0.5, -1), "beta2 must be in [0, 1), got -1"),
        (lambda: spectral_radius(-0.1, 0, 1), "lr must be >= 0, got -0.1"),
        (lambda: spectral_radius([0.1, -0.2], 0, 1), "lr must be >= 0, got -0.2"),
        (lambda: spectral_radius(0.1, 1, 1), "momentum must be in [0, 1), got 1.0"),
        (lambda: spectral_radius(0.1, 0, math.nan), "curvature must be finite, got nan"),
        (lambda: spectral_radius(math.inf, 0, 1), "lr must be finite, got inf"),
        (
            lambda: spectral_radius(np.ones(2), np.zeros(3), 1),
            "these shapes do not broadcast: lr (2,), momentum (3,), curvature ()",
        ),
        (lambda: heavy_ball_optimum(0, 1), "smallest must be > 0, got 0"),
        (lambda: heavy_ball_optimum(math.nan, 1), "smallest must be > 0, got nan"),
        (
            lambda: heavy_ball_optimum(2.0, 1.0),
            "largest must be finite and >= smallest = 2.0, got 1.0",
        ),
        (
            lambda: heavy_ball_optimum(2.0, math.inf),
            "largest must be finite and >= smallest = 2.0, got inf",
        ),
        (lambda: stationary_loss(-1, 0, 1, 1), "lr must be >= 0, got -1.0"),
        (lambda: stationary_loss(0.1, -0.5, 1, 1), "momentum must be in [0, 1), got -0.5"),
        (lambda: stationary_loss(0.1, 0, 0, 1), "curvature must be > 0, got 0.0"),
        (lambda: stationary_loss(0.1, 0, 1, -1), "noise_std must be >= 0, got -1.0"),
        (lambda: max_stable_lr(-2), "curvature must be > 0, got -2.0"),
        (lambda: max_stable_lr(1, 1.5), "momentum must be in [0, 1), got 1.5"),
    ],
)
def test_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError) as raised:
        call()
    assert str(raised.value) == message
