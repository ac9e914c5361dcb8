"""The numbers in ``book/questions/03_normalization.yml``: each entry names its tests."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn
from torch.nn import functional

from booksite.questions.reading import read
from dlbook.normalization import (
    Running,
    batch_norm,
    batch_norm_backward,
    fold_batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    pooled_mask,
    rms_norm,
)

BANK = Path(__file__).resolve().parents[2] / "book/questions/03_normalization.yml"


def normal(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def normalized(x: Any) -> Any:
    return batch_norm(np.asarray(x, dtype=float), None, None, training=True)[0]


# --- Batch norm ---


def test_batch_norm_by_hand() -> None:
    x = np.array([[1.0], [2.0], [3.0], [4.0]])
    assert normalized(x).round(3).ravel().tolist() == [-1.342, -0.447, 0.447, 1.342]
    maps = normal(0, 8, 3, 4, 4)
    assert pooled_mask(maps.shape, "batch", (0, 0, 0, 0)).sum() == 128
    expected = functional.batch_norm(torch.tensor(maps), None, None, training=True)
    assert_allclose(normalized(maps), expected.numpy(), atol=1e-12)
    assert nn.BatchNorm2d(3).weight.shape == (3,)


def test_largest_normalized_value() -> None:
    for size, largest in ((2, 1.0), (8, 2.65)):
        x = np.zeros((size, 1))
        x[0] = 1e6
        assert round(normalized(x).max(), 2) == largest == round(math.sqrt(size - 1), 2)


def test_where_eps_wins() -> None:
    x = normal(0, 10_000, 1)
    x = 1e-3 * (x - x.mean()) / x.std()
    assert round(normalized(x).std(), 2) == 0.30


def test_weights_of_the_running_average() -> None:
    assert round(0.9**10, 2) == 0.35
    assert round(1 - 0.9**10, 2) == 0.65
    assert round(1 - 0.9**20, 2) == 0.88
    module = nn.BatchNorm1d(1, dtype=torch.float64)
    for _ in range(10):
        module(torch.tensor([[9.0], [11.0]], dtype=torch.float64))
    assert module.running_mean is not None
    assert module.running_mean.item() == pytest.approx(10 * (1 - 0.9**10))
    average = nn.BatchNorm1d(1, momentum=None, dtype=torch.float64)
    for level in (0.0, 3.0, 6.0):
        average(torch.tensor([[level - 1], [level + 1]], dtype=torch.float64))
    assert average.running_mean is not None
    assert average.running_mean.item() == pytest.approx(3)


def test_running_statistics_of_two_values() -> None:
    module = nn.BatchNorm1d(1, dtype=torch.float64)
    module(torch.tensor([[2.0], [6.0]], dtype=torch.float64))
    assert module.running_mean is not None
    assert module.running_var is not None
    assert_allclose([module.running_mean.item(), module.running_var.item()], [0.4, 1.7])
    biased, unbiased = np.var([2, 6]), np.var([2, 6], ddof=1)
    assert (biased, unbiased) == (4, 8)
    assert_allclose([0.9 + 0.1 * biased, 0.1 * 0 + 0.9 * 4, 0.1 * 1 + 0.9 * 8], [1.3, 3.6, 7.3])
    assert np.var([0.0, 1, 2, 3], ddof=1) / np.var([0.0, 1, 2, 3]) == pytest.approx(4 / 3)


def test_numbers_in_a_batch_norm() -> None:
    module = nn.BatchNorm2d(64)
    assert sum(p.numel() for p in module.parameters()) == 128
    assert sum(b.numel() for b in module.buffers()) == 129
    assert {"running_mean", "running_var", "num_batches_tracked"} < set(module.state_dict())


def test_gamma_and_beta_undo_the_norm() -> None:
    x = 3 + 2 * normal(0, 50, 4)
    y, _ = batch_norm(x, np.sqrt(x.var(0) + 1e-5), x.mean(0), training=True)
    assert_allclose(y, x)
    dropped = (normalized(normal(1, 10_000, 1)) < 0).mean()
    assert dropped == pytest.approx(0.5, abs=0.02)


def test_scale_passes_through_a_relu() -> None:
    z = normal(0, 20)
    assert_allclose(np.maximum(2.5 * z, 0), 2.5 * np.maximum(z, 0))


def test_gradient_of_scaled_weights() -> None:
    x = torch.tensor(normal(0, 16, 5))
    gradients = []
    for scale in (1.0, 2.0):
        w = torch.tensor(scale * normal(1, 5, 3), requires_grad=True)
        out = functional.batch_norm(x @ w, None, None, training=True, eps=1e-12)
        (out * torch.tensor(normal(2, 16, 3))).sum().backward()
        assert w.grad is not None
        gradients.append(w.grad)
        assert (w * w.grad).sum(0).abs().max() < 1e-9
    torch.testing.assert_close(gradients[1], gradients[0] / 2)


def test_company_of_a_value() -> None:
    found = {}
    rng = np.random.default_rng(0)
    for size in (2, 3, 4, 8, 16, 32, 64, 256):
        batches = np.c_[np.ones(1000), rng.normal(size=(1000, size - 1))]
        rng.standard_t(3, size=(1000, size - 1))  # as in the figure, which draws both
        deviation = batches[:, 0] - batches.mean(1)
        out = deviation / np.sqrt(batches.var(1) + 1e-5)
        found[size] = (round(out.mean(), 2), round(out.std(), 2))
    assert found[2][0] == 0.70
    assert [found[size][1] for size in (4, 8, 32)] == [0.52, 0.41, 0.21]
    assert found[256][1] == 0.08
    for value, spread in ((0.0, 1.0), (6.0, 6 / math.sqrt(2))):
        others = np.random.default_rng(1).normal(size=(4000, 255))
        batches = np.c_[np.full(4000, value), others]
        out = (value - others.mean(1)) / others.std(1)
        assert batches.shape[1] == 256
        assert out.std() == pytest.approx(spread / 16, rel=0.1)


def test_batch_of_one() -> None:
    module = nn.BatchNorm1d(3)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        module(torch.zeros(1, 3))
    maps = torch.tensor(normal(0, 1, 3, 4, 4))
    out = functional.batch_norm(maps, None, None, training=True)
    torch.testing.assert_close(out, functional.instance_norm(maps))
    assert 129 % 64 == 1


def test_a_pair_is_a_sign() -> None:
    assert_allclose(np.abs(normalized(normal(0, 2, 5))), 1, atol=1e-3)


def test_bias_before_batch_norm_is_idle() -> None:
    linear = nn.Linear(5, 4, dtype=torch.float64)
    x, target = torch.tensor(normal(0, 32, 5)), torch.tensor(normal(1, 32, 4))
    out = functional.batch_norm(linear(x), None, None, training=True)
    ((out - target) ** 2).sum().backward()
    assert linear.bias.grad is not None
    assert linear.weight.grad is not None
    assert linear.bias.grad.abs().max() < 1e-10 * linear.weight.grad.abs().max()
    assert_allclose(normalized(normal(0, 9, 2) + 7), normalized(normal(0, 9, 2)), atol=1e-12)


def test_bias_before_layer_norm_is_not() -> None:
    x = normal(0, 9, 4)
    bias = np.array([1.0, 2.0, 3.0, 6.0])
    assert np.abs(layer_norm(x + bias, 4) - layer_norm(x, 4)).max() > 0.5
    assert_allclose(layer_norm(x + 3, 4), layer_norm(x, 4), atol=1e-12)


# --- Which norm ---


def test_sizes_of_pools() -> None:
    shape, index = (4, 6, 5), (1, 2, 3)
    assert pooled_mask(shape, "batch", index).sum() == 20
    assert pooled_mask(shape, "layer", index).sum() == 30
    assert pooled_mask(shape, "instance", index).sum() == 5
    assert pooled_mask(shape, "group", index, 2).sum() == 15
    assert nn.LayerNorm([6, 5]).weight.shape == (6, 5)
    assert nn.GroupNorm(2, 6).weight.shape == (6,)
    assert not list(nn.InstanceNorm1d(6).parameters())
    assert not list(nn.InstanceNorm1d(6).buffers())


def test_group_norm_at_its_ends() -> None:
    x = normal(0, 4, 6, 5)
    assert_allclose(group_norm(x, 1), layer_norm(x, (6, 5)), atol=1e-12)
    assert_allclose(group_norm(x, 6), instance_norm(x), atol=1e-12)
    tokens = layer_norm(x.transpose(0, 2, 1), 6).transpose(0, 2, 1)
    assert np.abs(group_norm(x, 1) - tokens).max() > 0.5


def test_layer_norm_of_few_features() -> None:
    assert_allclose(np.abs(layer_norm(normal(0, 9, 2), 2)), 1, atol=5e-3)
    assert_array_equal(layer_norm(normal(0, 9, 1), 1), 0)
    x = torch.tensor(normal(0, 3, 7, 4))
    module = nn.LayerNorm(4, dtype=torch.float64)
    torch.testing.assert_close(module.train()(x), module.eval()(x), rtol=0, atol=0)
    assert module.weight.shape == (4,)
    assert not list(module.buffers())
    with pytest.raises(RuntimeError, match="expected input with shape"):
        nn.LayerNorm([3])(torch.zeros(2, 3, 4, 4))


def test_unbiased_layer_norm_is_off() -> None:
    x = torch.tensor(normal(0, 5, 4))
    wrong = (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)
    right = functional.layer_norm(x, (4,), eps=1e-12)
    assert_allclose((right / wrong).numpy(), math.sqrt(4 / 3))
    assert round(math.sqrt(4 / 3), 2) == 1.15


def test_batch_norm_over_time_leaks() -> None:
    x = normal(0, 2, 5, 3)
    changed = x.copy()
    changed[0, -1] += 5
    moved = normalized(changed.reshape(10, 3)) - normalized(x.reshape(10, 3))
    moved = np.abs(moved).reshape(2, 5, 3)
    assert moved[0, 0].max() > 0.1
    assert moved[1].max() > 0.1
    kept = np.ones((2, 5), dtype=bool)
    kept[0, -1] = False
    assert_array_equal(layer_norm(changed, 3)[kept], layer_norm(x, 3)[kept])


def test_rms_norm_after_a_shift() -> None:
    six = np.array([1.7, -0.4, 0.9, -1.3, 0.3, 0.9])
    assert (round(six.mean(), 2), round(six.std(), 3)) == (0.35, 0.976)
    assert_allclose(layer_norm(six + 10, 6), layer_norm(six, 6), atol=1e-12)
    out = rms_norm(six + 10, 6, eps=1e-5)
    assert np.abs(out - 1).max() < 0.2
    assert round(out.std(), 3) == 0.094
    assert_allclose(rms_norm(six - six.mean(), 6, eps=1e-5), layer_norm(six, 6), atol=1e-12)
    assert nn.RMSNorm(6).eps is None


def test_pre_norm_grows_and_post_norm_does_not() -> None:
    rng = np.random.default_rng(0)
    pre = post = rng.normal(size=(64, 128))
    for weights in rng.normal(size=(50, 128, 128)) * (1.41 / math.sqrt(128)):
        pre = pre + np.maximum(layer_norm(pre, 128), 0) @ weights
        post = layer_norm(post + np.maximum(post, 0) @ weights, 128)
    assert round(math.sqrt((pre**2).mean()), 1) == pytest.approx(7.2, abs=0.1)
    assert math.sqrt((post**2).mean()) == pytest.approx(1, abs=1e-3)


# --- Gradients and weights ---


def test_gradient_of_batch_norm() -> None:
    x, dy, gamma, eps = normal(0, 7, 1), normal(1, 7, 1), np.array([1.5]), 1e-2
    x_hat, scale = normalized_with(x, eps), 1 / math.sqrt(x.var() + eps)
    jacobian = scale * (np.eye(7) - 1 / 7 - x_hat @ x_hat.T / 7)
    dx, _, _ = batch_norm_backward(dy, x, gamma, eps)
    assert_allclose(dx, 1.5 * jacobian @ dy, atol=1e-13)
    assert abs(dx.sum()) < 1e-13
    d = 1.5 * dy
    share = (dx * x_hat).sum() / (scale * (d * x_hat).sum())
    assert share == pytest.approx(eps / (x.var() + eps))
    pair, _, _ = batch_norm_backward(dy[:2], x[:2], gamma, 1e-8)
    assert np.abs(pair).max() < 1e-5


def normalized_with(x: Any, eps: float) -> Any:
    return (x - x.mean()) / math.sqrt(x.var() + eps)


def test_equilibrium_of_the_norm() -> None:
    length = (0.1 * 0.25 / (2 * 0.1)) ** 0.25
    assert round(length, 3) == 0.595
    assert round(0.1 / length**2, 2) == round(math.sqrt(2 * 0.1 * 0.1 / 0.25), 2) == 0.28
    squared = 1.0
    for _ in range(2000):
        squared = (1 - 0.01) ** 2 * squared + 0.01 * 0.25 / squared
    assert math.sqrt(squared) == pytest.approx(length, rel=0.01)


def test_a_step_across_lengthens() -> None:
    w, g = np.array([3.0, 4.0]), np.array([-0.8, 0.6])
    assert abs(w @ g) < 1e-15
    assert round(float(np.linalg.norm(w - g)), 3) == 5.099


def test_growth_of_gradients_under_batch_norm() -> None:
    growth = math.pi / (math.pi - 1)
    assert (round(growth, 3), round(math.sqrt(growth), 2)) == (1.467, 1.21)
    assert round(math.sqrt(0.5 * growth**49), -2) == 8400
    z = np.maximum(normal(0, 10**6), 0)
    assert (z**2).mean() == pytest.approx(0.5, abs=5e-3)
    assert z.var() == pytest.approx((math.pi - 1) / (2 * math.pi), abs=5e-3)
    for gain in (0.7, 2.0):
        assert 3e3 < ratio(gain, batch=True) < 3e4
        assert 0.1 < ratio(gain, batch=False) < 3


def ratio(gain: float, *, batch: bool) -> float:
    """Return the gradient at the input over that at the output of 50 plain layers, by autograd."""
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=(64, 128)), requires_grad=True)
    h = x
    for weights in rng.normal(size=(50, 128, 128)) * (gain / math.sqrt(128)):
        z = h @ torch.tensor(weights)
        z = (
            functional.batch_norm(z, None, None, training=True)
            if batch
            else functional.layer_norm(z, (128,))
        )
        h = torch.relu(z)
    out = torch.tensor(rng.normal(size=(64, 128)))
    h.backward(out)
    assert x.grad is not None
    return float(x.grad.norm() / out.norm())


# --- In practice ---


def test_folding_by_hand() -> None:
    running = Running(np.array([2.0]), np.array([4.0]), 1)
    weight, bias = fold_batch_norm(
        np.array([[3.0]]), np.array([1.0]), running, np.array([2.0]), np.array([5.0]), 1e-12
    )
    assert_allclose([weight.item(), bias.item()], [3, 4])


def test_layer_norm_scale_folds_forward() -> None:
    x, gamma, beta, weight = normal(0, 4, 5), normal(1, 5), normal(2, 5), normal(3, 5, 3)
    folded = layer_norm(x, 5) @ (gamma[:, None] * weight) + beta @ weight
    assert_allclose(layer_norm(x, 5, gamma, beta) @ weight, folded)


def test_only_eval_freezes_the_statistics() -> None:
    x = torch.tensor(3 + normal(0, 8, 2))

    def moved(module: nn.BatchNorm1d) -> bool:
        assert module.running_mean is not None
        return bool((module.running_mean != 0).any())

    frozen = nn.BatchNorm1d(2, dtype=torch.float64).requires_grad_(False)
    frozen(x)
    assert moved(frozen)
    watched = nn.BatchNorm1d(2, dtype=torch.float64)
    with torch.no_grad():
        watched(x)
    assert moved(watched)
    evaluated = nn.BatchNorm1d(2, dtype=torch.float64).eval()
    evaluated(x)
    assert not moved(evaluated)


def test_accumulation_is_not_a_large_batch() -> None:
    x = normal(0, 32, 1)
    parts = np.concatenate([normalized(part) for part in np.split(x, 8)])
    assert np.abs(parts - normalized(x)).max() > 0.3
    module = nn.BatchNorm1d(1, dtype=torch.float64)
    for part in np.split(x, 8):
        module(torch.tensor(part))
    assert module.num_batches_tracked == 8


def test_statistics_after_ten_slow_steps() -> None:
    running: Running | None = Running.start(1)
    for _ in range(10):
        _, running = batch_norm(
            np.array([[1.0], [3.0]]), None, None, running, training=True, momentum=0.01
        )
    assert running is not None
    assert round(running.mean.item() / 2, 3) == 0.096 == round(1 - 0.99**10, 3)


def test_separate_batches_hide_their_level() -> None:
    low, high = np.array([[0.0], [1.0]]), np.array([[10.0], [11.0]])
    assert_allclose([normalized(low)[0, 0], normalized(high)[0, 0]], -1, atol=1e-4)
    both = normalized(np.concatenate([low, high])).round(2)
    assert (both[0, 0], both[2, 0]) == (-1.09, 0.9)


def test_the_written_batch_norm_matches_torch() -> None:
    text = next(q.full for q in read(BANK).questions if q.id == "normalization-write")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {"np": np}
    exec(code[1], names)
    module = nn.BatchNorm2d(3, dtype=torch.float64)
    gamma, beta, mean, var = np.ones(3), np.zeros(3), np.zeros(3), np.ones(3)
    for step in range(4):
        x, training = 2 + normal(step, 4, 3, 2, 2), step < 3
        y, mean, var = names["batch_norm"](x, gamma, beta, mean, var, training)
        expected = module.train(training)(torch.tensor(x))
        assert_allclose(y, expected.detach().numpy(), atol=1e-12)


def test_variance_from_squares() -> None:
    x = (1e4 + normal(0, 256)).astype(np.float32)
    naive = np.mean(x * x, dtype=np.float32) - np.mean(x, dtype=np.float32) ** 2
    assert naive % 8 == 0
    assert x.astype(float).var() == pytest.approx(1, abs=0.2)
