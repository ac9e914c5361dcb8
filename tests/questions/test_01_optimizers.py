"""The numbers in ``book/questions/01_optimizers.yml``: each entry names the tests of its own."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.utils.data import DataLoader

from booksite.questions.reading import read
from dlbook.optimizers import (
    adagrad_step,
    adam_step,
    adam_step_bound,
    heavy_ball_optimum,
    max_stable_lr,
    rmsprop_step,
    sgd_step,
    spectral_radius,
    stationary_loss,
    trajectory,
)

BANK = Path(__file__).resolve().parents[2] / "book/questions/01_optimizers.yml"

#: The ravine of chapter 1: curvatures 1 and 20.
RAVINE = np.array([1.0, 20.0])
START = np.array([-9.0, 1.5])


def step_lengths(step: Callable[..., Any], grads: Iterable[float]) -> Any:
    """Return how far one weight moves at each step, in the direction of descent."""
    theta, state = np.zeros(1), None
    lengths = []
    for grad in grads:
        new, state = step(theta, np.array([grad]), state)
        lengths.append((theta - new).item())
        theta = new
    return np.array(lengths)


def losses(n_steps: int = 80, **options: Any) -> Any:
    points = trajectory(lambda p: RAVINE * p, START, partial(sgd_step, **options), n_steps)
    return 0.5 * (RAVINE * points**2).sum(axis=1)


def first_below(loss: Any, level: float = 0.01) -> int | None:
    return int(np.argmax(loss < level)) if (loss < level).any() else None


def stays_below_from(loss: Any, level: float = 0.01) -> int:
    return int(np.flatnonzero(loss >= level)[-1]) + 1


# --- Gradient and batch ---


def test_variance_of_a_mini_batch() -> None:
    # Every one of the 20 batches of 3 out of 6: no sampling error.
    samples = np.array([0.0, 1.0, 4.0, -2.0, 7.0, 3.0])
    picks = np.array([[i, j, k] for i in range(6) for j in range(i) for k in range(j)])
    means = samples[picks].mean(axis=1)
    assert_allclose(means.mean(), samples.mean())
    assert_allclose(means.var(), samples.var() / 3 * (6 - 3) / (6 - 1))
    factor = 1 / 100 * (1000 - 100) / (1000 - 1)
    assert round(factor, 5) == 0.00901
    assert round(math.sqrt(factor), 3) == 0.095


def test_noise_floor_is_a_quarter_of_rate_times_variance() -> None:
    assert_allclose(stationary_loss(1e-4, 0, 1, 3), 1e-4 * 9 / 4, rtol=1e-4)


def test_accumulated_quarter_batches_are_the_batch() -> None:
    inputs = torch.arange(24.0, dtype=torch.float64).reshape(8, 3) / 10

    def gradient(batches: Sequence[torch.Tensor], divisor: int) -> torch.Tensor:
        weight = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64, requires_grad=True)
        for batch in batches:
            (((batch @ weight) ** 2).mean() / divisor).backward()
        assert weight.grad is not None
        return weight.grad

    whole = gradient([inputs], 1)
    torch.testing.assert_close(gradient(inputs.split(2), 4), whole)
    torch.testing.assert_close(gradient(inputs.split(2), 1), 4 * whole)


def test_length_of_a_plain_step() -> None:
    theta, _ = sgd_step(np.zeros(2), np.array([3.0, 4.0]), lr=0.1)
    assert_allclose(np.linalg.norm(theta), 0.5)


def test_without_zero_grad_the_tenth_step_is_ten_times_the_first() -> None:
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    points = [0.0]
    for _ in range(10):
        weight.sum().backward()
        optimizer.step()
        points.append(weight.item())
    steps = np.diff(points)
    assert_allclose(steps[9], 10 * steps[0], rtol=1e-5)


def test_steps_of_an_epoch() -> None:
    samples: Any = range(50_000)
    sizes = [len(batch) for batch in DataLoader(samples, batch_size=128)]
    assert (len(sizes), sizes[-1]) == (391, 80)
    assert len(DataLoader(samples, batch_size=128, drop_last=True)) == 390


# --- Momentum ---


def test_best_rates_at_condition_number_100() -> None:
    plain = spectral_radius(2 / 101, 0, np.array([1.0, 100.0])).max()
    assert_allclose(plain, 99 / 101)
    best = heavy_ball_optimum(1, 100)
    assert_allclose(best.rate, 9 / 11)
    assert (round(plain, 3), round(best.rate, 3)) == (0.980, 0.818)
    assert round(math.log(0.1) / math.log(plain)) == 115
    assert round(math.log(0.1) / math.log(best.rate), 1) == 11.5
    assert (round(best.lr, 4), round(best.momentum, 3)) == (0.0331, 0.669)


def test_best_heavy_ball_beats_its_neighbors() -> None:
    best = heavy_ball_optimum(1, 100)
    ends = np.array([1.0, 100.0])
    for lr in best.lr * np.linspace(0.7, 1.3, 13):
        for momentum in best.momentum + np.linspace(-0.1, 0.2, 13):
            assert spectral_radius(lr, momentum, ends).max() >= best.rate - 1e-9
        if lr <= best.lr:
            assert_allclose(spectral_radius(lr, 0.9, ends).max(), math.sqrt(0.9))


def test_momentum_raises_the_noise_floor() -> None:
    floors = stationary_loss(0.05, np.array([0, 0.5, 0.9]), 1, 1)
    assert floors.round(4).tolist() == [0.0128, 0.0254, 0.1267]
    assert 9 < floors[2] / floors[0] < 11
    assert round(float(stationary_loss(0.005, 0.9, 1, 1)), 4) == 0.0125


@pytest.mark.parametrize(("lr", "momentum"), [(0.05, 0.0), (0.05, 0.9), (0.005, 0.9)])
def test_simulated_noise_floor(lr: float, momentum: float) -> None:
    rng = np.random.default_rng(0)
    theta: Any = np.zeros(4000)
    velocity: Any = np.zeros(4000)
    for _ in range(int(20 * (1 - momentum) / lr)):
        theta, velocity = sgd_step(
            theta, theta + rng.normal(size=4000), velocity, lr=lr, momentum=momentum
        )
    assert_allclose(0.5 * (theta**2).mean(), stationary_loss(lr, momentum, 1, 1), rtol=0.1)


def test_growth_under_a_constant_gradient() -> None:
    for momentum, gain, steps in ((0.9, 10, 22), (0.99, 100, 230)):
        lengths = step_lengths(partial(sgd_step, lr=1.0, momentum=momentum), [1.0] * 3000)
        assert_allclose(lengths[-1], gain)
        assert np.argmax(lengths >= 0.9 * gain) + 1 == steps
    lengths = step_lengths(partial(sgd_step, lr=0.1, momentum=0.9), [1.0] * 100)
    assert round(lengths[-1], 5) == 0.99997


def test_nesterov_is_better_damped() -> None:
    rates, first, forever = [], [], []
    for nesterov in (False, True):
        rates.append(spectral_radius(0.05, 0.9, RAVINE, nesterov).max())
        loss = losses(200, lr=0.05, momentum=0.9, nesterov=nesterov)
        first.append(first_below(loss))
        forever.append(stays_below_from(loss))
    assert np.round(rates, 3).tolist() == [0.949, 0.925]
    assert (first, forever) == ([36, 35], [76, 48])


def test_pytorch_stores_the_look_ahead_point() -> None:
    lr, momentum, curvature = 0.05, 0.9, 3.0
    stored = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([stored], lr=lr, momentum=momentum, nesterov=True)
    theta, velocity = 1.0, 0.0  # the textbook's: the gradient is taken ahead
    for _ in range(20):
        stored.grad = curvature * stored.detach()
        optimizer.step()
        velocity = momentum * velocity + curvature * (theta - lr * momentum * velocity)
        theta -= lr * velocity
        assert_allclose(stored.item(), theta - lr * momentum * velocity, atol=1e-15)


def test_the_two_forms_of_momentum_after_a_drop() -> None:
    outside = inside = 0.0
    for lr in [0.1] * 100 + [0.01]:
        outside = 0.9 * outside + 1
        inside = 0.9 * inside + lr
    assert f"{0.01 * outside:.3f} {inside:.3f}" == "0.100 0.910"
    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    for lr in [0.1] * 100 + [0.01]:
        optimizer.param_groups[0]["lr"] = lr
        before = weight.item()
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    assert_allclose(before - weight.item(), 0.01 * outside)


def test_limits_of_stability() -> None:
    assert_allclose(max_stable_lr(1), 2)
    assert_allclose(max_stable_lr(1, 0.9), 3.8)
    assert round(float(max_stable_lr(1, 0.9, nesterov=True)), 2) == 1.36
    assert_allclose(max_stable_lr(1, 1 - 1e-9), 4)
    assert_allclose(max_stable_lr(1, 1 - 1e-9, nesterov=True), 4 / 3)
    for momentum, nesterov in ((0.0, False), (0.9, False), (0.9, True)):
        limit = max_stable_lr(1, momentum, nesterov)
        assert spectral_radius(limit * 0.999, momentum, 1, nesterov) < 1
        assert spectral_radius(limit * 1.001, momentum, 1, nesterov) > 1


# --- Learning rate ---


def test_three_learning_rates() -> None:
    assert round(losses(lr=0.01)[80], 1) == 8.1
    assert first_below(losses(lr=0.09)) == 45
    assert_allclose(1 - 0.11 * 20, -1.2)
    loss = losses(lr=0.11)
    assert_allclose(loss[80] / loss[79], 1.44, rtol=1e-6)


def test_floor_follows_the_rate() -> None:
    floors = stationary_loss(np.array([0.05, 0.005]), 0, 1, 1)
    assert floors.round(5).tolist() == [0.01282, 0.00125]


def test_shapes_of_schedules() -> None:
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=1000)
    rates = []
    for _ in range(1001):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert_allclose([rates[0], rates[500], rates[1000]], [1, 0.5, 0], atol=1e-9)
    assert round(rates[900], 3) == 0.024
    assert math.sqrt(100 / 400) == 0.5  # inverse square root, w = 100, t = 4w


def test_exactly_at_the_limit() -> None:
    points = trajectory(lambda p: RAVINE * p, START, partial(sgd_step, lr=2 / 20), 300)
    assert_allclose(points[:, 1], 1.5 * (-1.0) ** np.arange(301))
    assert_allclose(points[:, 0], -9 * 0.9 ** np.arange(301), rtol=1e-9)
    assert_allclose(losses(300, lr=0.1)[-1], 22.5)


def test_linear_scaling_rule() -> None:
    factor = np.array([1.0, 2.0, 8.0, 32.0, 40.0])
    floors = stationary_loss(0.05 * factor, 0, 1, 1 / np.sqrt(factor))
    assert floors[:4].round(4).tolist() == [0.0128, 0.0132, 0.0156, 0.0625]
    assert math.isinf(floors[4])


def test_the_steep_end_flips_at_the_best_rate() -> None:
    assert_allclose(1 - 2 / 101 * np.array([1.0, 100.0]), [99 / 101, -99 / 101])


def sharpness(loss: torch.Tensor, weights: list[torch.Tensor], n_steps: int = 30) -> float:
    """Return the largest eigenvalue of the Hessian, by power iteration."""
    slopes = torch.autograd.grad(loss, weights, create_graph=True)
    vector = [torch.ones_like(weight) for weight in weights]
    size = torch.tensor(1.0)
    for _ in range(n_steps):
        vector = list(torch.autograd.grad(slopes, weights, vector, retain_graph=True))
        size = torch.sqrt(sum((part**2).sum() for part in vector))  # type: ignore[arg-type]
        vector = [part / size for part in vector]
    return float(size)


@pytest.mark.parametrize("lr", [0.1, 0.2, 0.3])
def test_sharpness_settles_at_the_edge(lr: float) -> None:
    torch.manual_seed(0)
    layers = torch.nn.Sequential(
        torch.nn.Linear(3, 24), torch.nn.Tanh(), torch.nn.Linear(24, 24), torch.nn.Tanh(),
        torch.nn.Linear(24, 1),
    ).double()  # fmt: skip
    inputs = torch.randn(40, 3, dtype=torch.float64)
    targets = torch.sin(1.5 * inputs.sum(dim=1, keepdim=True))
    weights = list(layers.parameters())
    optimizer = torch.optim.SGD(weights, lr=lr)
    measured = []
    for step in range(1000):
        loss = torch.nn.functional.mse_loss(layers(inputs), targets)
        if step == 0 or (step >= 900 and step % 10 == 0):
            measured.append(sharpness(loss, weights))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert 5.9 < measured[0] < 6.1
    assert_allclose(np.mean(measured[1:]), 2 / lr, rtol=0.1)


# --- A rate for every weight ---


def test_adagrad_stalls() -> None:
    lengths = step_lengths(partial(adagrad_step, lr=1.0), [1.0] * 10_000)
    assert_allclose(lengths, 1 / np.sqrt(np.arange(1, 10_001)), rtol=1e-9)
    assert_allclose(lengths[[99, 9_999]], [1 / 10, 1 / 100])
    scaled = step_lengths(partial(adagrad_step, lr=1.0), [1000.0] * 100)
    assert_allclose(scaled, lengths[:100], rtol=1e-9)


def test_adagrad_keeps_one_sum() -> None:
    weight = torch.zeros(5, 7, requires_grad=True)
    optimizer = torch.optim.Adagrad([weight])
    for _ in range(3):
        weight.grad = torch.ones(5, 7)
        optimizer.step()
    kept = [value for value in optimizer.state[weight].values() if value.numel() > 1]
    assert [value.shape for value in kept] == [weight.shape]


def test_adagrad_on_a_rare_feature() -> None:
    rare = step_lengths(partial(adagrad_step, lr=1.0), [0.0] * 99 + [1.0])
    often = step_lengths(partial(adagrad_step, lr=1.0), [1.0] * 100)
    assert_allclose([rare[-1], often[-1]], [1, 0.1])


def test_rmsprop_does_not_stall() -> None:
    lengths = step_lengths(partial(rmsprop_step, lr=1.0, alpha=0.99), [1.0] * 3000)
    assert_allclose(lengths[-1], 1, rtol=1e-6)


def test_rmsprop_starts_with_large_steps() -> None:
    lengths = step_lengths(partial(rmsprop_step, lr=1.0, alpha=0.99), [1.0] * 3000)
    assert_allclose(lengths[0], 10, rtol=1e-6)
    assert round(lengths[99], 2) == 1.26
    assert stays_below_from(lengths, 1.05) + 1 == 237
    weight = torch.zeros(1, requires_grad=True)
    weight.grad = torch.ones(1)
    torch.optim.RMSprop([weight], lr=1.0).step()
    assert_allclose(weight.item(), -10, rtol=1e-5)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (partial(sgd_step, lr=0.03), [65, 65, 65, 65]),
        (partial(sgd_step, lr=0.02, momentum=0.9), [33, 33, 33, 33]),
        (partial(adam_step, lr=0.05), [36, 91, 148, None]),
        (partial(rmsprop_step, lr=0.02), [15, 86, 142, None]),
    ],
    ids=["SGD", "momentum", "Adam", "RMSProp"],
)
def test_steps_in_a_rotated_valley(step: Any, expected: list[int | None]) -> None:
    found = []
    for angle in np.radians([0, 15, 30, 45]):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        hessian = turn @ np.diag([1.0, 50.0]) @ turn.T
        points = trajectory(partial(np.matmul, hessian), turn @ [-1.0, 0.6], step, 150)
        found.append(first_below(0.5 * np.einsum("ti,ij,tj->t", points, hessian, points)))
    assert found == expected


# --- Adam ---


def test_one_adam_step() -> None:
    theta, state = adam_step(np.array([1.0]), np.array([0.5]))
    assert_allclose(state.exp_avg, 0.05)
    assert_allclose(state.exp_avg_sq, 0.00025)
    assert round(theta.item(), 6) == 0.999
    weight = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    weight.grad = torch.tensor([0.5], dtype=torch.float64)
    optimizer = torch.optim.Adam([weight])
    optimizer.step()
    assert_allclose(weight.item(), theta.item())
    defaults = optimizer.defaults
    assert (defaults["lr"], defaults["betas"], defaults["eps"]) == (1e-3, (0.9, 0.999), 1e-8)


def test_adam_ignores_the_scale_of_the_loss() -> None:
    grads = np.random.default_rng(0).normal(size=200)
    step = partial(adam_step, lr=1.0)
    assert_allclose(step_lengths(step, 100 * grads), step_lengths(step, grads), rtol=1e-4)


def test_optimizer_memory() -> None:
    gigabytes = []
    for make in (
        partial(torch.optim.SGD),
        partial(torch.optim.SGD, momentum=0.9),
        partial(torch.optim.Adam),
        partial(torch.optim.Adam, amsgrad=True),
    ):
        weight = torch.zeros(1000, requires_grad=True)
        optimizer = make([weight], lr=0.1)
        weight.grad = torch.ones(1000)
        optimizer.step()
        kept = [v for v in optimizer.state[weight].values() if v is not None and v.numel() > 1]
        each = sum(value.numel() * value.element_size() for value in kept) / 1000
        gigabytes.append(each)  # bytes a parameter are gigabytes for a billion of them
    assert gigabytes == [0, 4, 8, 12]


def test_first_steps_without_correction() -> None:
    lengths = step_lengths(partial(adam_step, lr=1.0, bias_correction=False), [1.0] * 3000)
    assert f"{lengths[0]:.3f}" == "3.162"
    assert lengths.argmax() + 1 == 12
    assert lengths[[11, 99, 999]].round(2).tolist() == [6.57, 3.24, 1.26]
    assert stays_below_from(lengths, 1.05) + 1 == 2375
    assert_allclose(step_lengths(partial(adam_step, lr=1.0), [1.0] * 3000), 1, rtol=1e-7)


def test_first_steps_without_correction_at_beta2_095() -> None:
    step = partial(adam_step, lr=1.0, beta2=0.95, bias_correction=False)
    lengths = step_lengths(step, [1.0] * 500)
    assert f"{lengths[0]:.3f}" == "0.447"
    assert 1.09 < lengths.max() < 1.10


def test_adams_first_step_is_lr_for_every_coordinate() -> None:
    grads = np.array([1e-3, -1e3, 1e-8])
    theta, _ = adam_step(np.zeros(3), grads, lr=0.1)
    assert_allclose(theta, [-0.1, 0.1, -0.05], rtol=1e-4)


def test_places_of_epsilon() -> None:
    eps, table = 1e-8, {}
    for grad in (1e-6, 1e-8):
        outside = step_lengths(partial(adam_step, lr=1.0), [grad])[0]
        # On the first step the uncorrected root is |g| sqrt(1 - beta2).
        before = grad / (grad + eps / math.sqrt(1 - 0.999))
        inside = grad / math.sqrt(grad**2 + eps)
        table[grad] = [f"{value:.4f}" for value in (outside, before, inside)]
    assert table == {
        1e-6: ["0.9901", "0.7597", "0.0100"],
        1e-8: ["0.5000", "0.0307", "0.0001"],
    }
    assert round(0.9900990 / 0.0099995) == 99
    assert math.sqrt(eps) == 1e-4


def test_epsilon_vanishes_in_float16() -> None:
    assert torch.tensor(1e-8, dtype=torch.float16) == 0
    smallest = torch.finfo(torch.float16).smallest_normal / 2**10
    assert f"{smallest:.0e}" == "6e-08"


def test_adam_without_beta1_is_rmsprop() -> None:
    grads = np.random.default_rng(0).normal(size=300)
    plain = step_lengths(partial(rmsprop_step, lr=1.0, alpha=0.99), grads)
    adam = partial(adam_step, lr=1.0, beta1=0.0, beta2=0.99)
    assert_allclose(step_lengths(partial(adam, bias_correction=False), grads), plain)
    corrected = step_lengths(adam, [1.0] * 1000)
    rmsprop = step_lengths(partial(rmsprop_step, lr=1.0, alpha=0.99), [1.0] * 1000)
    assert_allclose([corrected[0], rmsprop[0]], [1, 10], rtol=1e-6)
    assert (rmsprop / corrected)[299:].max() < 1.026


def test_rmsprop_with_momentum_lengthens_the_step() -> None:
    step = partial(rmsprop_step, lr=1.0, alpha=0.99, momentum=0.9)
    assert_allclose(step_lengths(step, [1.0] * 3000)[-1], 10, rtol=1e-6)
    assert_allclose(step_lengths(partial(adam_step, lr=1.0), [1.0] * 3000)[-1], 1, rtol=1e-6)


def test_largest_step_of_adam() -> None:
    paper, supremum = adam_step_bound(0.9, 0.999)
    assert (round(paper, 2), round(supremum, 2)) == (3.16, 7.27)
    assert round(0.999 / 0.9, 2) == 1.11
    step = partial(adam_step, lr=1.0)
    growing = [1.11**t for t in range(100)]
    found = [step_lengths(step, [0.0] * n + growing).max() for n in (0, 100, 1000, 10_000)]
    assert np.round(found, 2).tolist() == [2.24, 3.10, 5.94, 7.27]
    assert max(found) < supremum
    lone = step_lengths(step, [0.0] * 10_000 + [1.0] + [0.0] * 100)
    assert f"{lone.max():.2f}" == "3.16"
    assert round(adam_step_bound(0.9, 0.95)[1], 3) == 1.165


def test_no_bound_for_a_short_second_memory() -> None:
    with pytest.raises(ValueError, match="unbounded"):
        adam_step_bound(0.95, 0.9)
    step = partial(adam_step, lr=1.0, beta1=0.95, beta2=0.9)
    lengths = step_lengths(partial(step, eps=0.0), [1.0] * 20 + [0.0] * 2000)
    assert (np.diff(lengths[100:]) > 0).all()
    assert lengths[-1] > 10
    assert step_lengths(step, [1.0] * 20 + [0.0] * 2000)[-1] < 1e-3


def reddi(step: Callable[..., Any]) -> float:
    """Return where 1500 steps of the example with C = 3 end, from 0."""
    x, state = np.zeros(1), None
    for t in range(1, 1501):
        grad = np.array([3.0 if t % 3 == 1 else -1.0])
        x, state = step(x, grad, state, lr=0.5 / math.sqrt(t))
        x = np.clip(x, -1, 1)
    return round(float(x[0]), 2)


def test_reddi_s_example() -> None:
    adam = partial(adam_step, beta1=0.0, beta2=0.1)
    assert reddi(adam) == 1
    assert reddi(partial(adam, amsgrad=True)) == -0.99
    assert reddi(sgd_step) == -0.97
    assert reddi(partial(adam_step, beta1=0.0, beta2=0.999)) == -0.99


def test_one_cycle_of_reddi_s_example() -> None:
    theta: Any = np.zeros(1)
    state, moves, roots = None, [], []
    for grad in [3.0, -1.0, -1.0] * 20:
        new, state = adam_step(theta, np.array([grad]), state, lr=1.0, beta1=0.0, beta2=0.1)
        moves.append((new - theta).item())
        roots.append(state.exp_avg_sq.item())
        theta = new
    assert np.round(roots[-3:], 2).tolist() == [8.21, 1.72, 1.07]
    assert np.round(moves[-3:], 2).tolist() == [-1.05, 0.76, 0.97]
    assert round(sum(moves[-3:]), 2) == 0.68
    assert round((-3 + 1 + 1) / math.sqrt(roots[-3]), 2) == -0.35


def test_order_of_amsgrad() -> None:
    grads = [3, 0.1, 0.1, 0.1, 2, 0.1]
    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([weight], amsgrad=True)
    m = v = largest = other = 0.0
    for t, grad in enumerate(grads, start=1):
        weight.grad = torch.full_like(weight, grad)
        optimizer.step()
        m = 0.9 * m + 0.1 * grad
        v = 0.999 * v + 0.001 * grad**2
        largest = max(largest, v / (1 - 0.999**t))
        other -= 0.001 * m / (1 - 0.9**t) / (math.sqrt(largest) + 1e-8)
    assert f"{weight.item():.5f} {other:.5f}" == "-0.00393 -0.00267"


# --- Weight decay ---


def test_l2_and_decoupled_decay_under_adam() -> None:
    scales = np.array([[0.01], [0.1], [1.0], [10.0]])
    noise = np.random.default_rng(0).normal(size=(600, 1, 4000))
    left = {}
    for decoupled in (False, True):
        theta: Any = np.ones((4, 4000))
        state = None
        for sample in noise:
            theta, state = adam_step(
                theta, scales * sample, state, lr=0.005, weight_decay=0.1, decoupled=decoupled
            )
        left[decoupled] = theta.mean(axis=1).round(2).tolist()
    assert left == {False: [0.0, 0.07, 0.74, 0.97], True: [0.74] * 4}
    assert round((1 - 0.005 * 0.1) ** 600, 3) == 0.741


def test_l2_and_decoupled_decay_under_momentum() -> None:
    left = []
    for momentum in (0.0, 0.9):
        theta: Any = np.ones(1)
        velocity = None
        for _ in range(200):
            theta, velocity = sgd_step(
                theta, np.zeros(1), velocity, lr=0.01, momentum=momentum, weight_decay=0.1
            )
        left.append(round(theta.item(), 3))
    assert left == [0.819, 0.120]
    assert round((1 - 0.01 * 0.1) ** 200, 3) == 0.819


def test_default_weight_decay() -> None:
    weight = torch.zeros(1, requires_grad=True)
    assert torch.optim.Adam([weight]).defaults["weight_decay"] == 0
    assert torch.optim.AdamW([weight]).defaults["weight_decay"] == 0.01


# --- In practice ---


def test_adam_with_a_huge_epsilon_is_momentum() -> None:
    grads = np.random.default_rng(0).normal(size=300)
    adam = partial(adam_step, lr=1e8, eps=1e8, bias_correction=False)
    momentum = partial(sgd_step, lr=0.1, momentum=0.9)
    assert_allclose(step_lengths(adam, grads)[1:], step_lengths(momentum, grads)[1:], atol=1e-6)


def test_the_printed_code_agrees_with_pytorch() -> None:
    (entry,) = (q for q in read(BANK).questions if q.id == "optimizers-numpy")
    block = re.search(r"```python\n(.*?)```", entry.full, re.DOTALL)
    assert block is not None
    names: dict[str, Any] = {}
    exec(block[1], names)
    rng = np.random.default_rng(0)
    start, grads = rng.normal(size=9), rng.normal(size=(10, 9)) * 10.0 ** np.arange(-6, 3)
    for ours, make in (
        (partial(names["sgd"], momentum=0.9), partial(torch.optim.SGD, momentum=0.9)),
        (names["rmsprop"], torch.optim.RMSprop),
        (names["adam"], torch.optim.Adam),
    ):
        weight = torch.tensor(start, requires_grad=True)
        optimizer = make([weight], lr=0.01)
        for grad in grads:
            weight.grad = torch.tensor(grad)
            optimizer.step()
        assert_allclose(
            ours(start, grads, lr=0.01), weight.detach().numpy(), rtol=1e-12, atol=1e-12
        )
