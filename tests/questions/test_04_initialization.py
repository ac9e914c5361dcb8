"""The numbers in ``book/questions/04_initialization.yml``: each entry names its tests."""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from booksite.questions.reading import read
from dlbook.initialization import (
    ACTIVATIONS,
    correlation_map,
    fan_in_fan_out,
    fixed_point,
    gain,
    kaiming_normal,
    kaiming_uniform,
    preserving_gain,
    slope,
    xavier_normal,
    xavier_uniform,
)

BANK = Path(__file__).resolve().parents[2] / "book/questions/04_initialization.yml"
DEAD = [torch.relu, torch.tanh, torch.nn.functional.gelu]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def two_layers(first: Any, last: Any, units: int = 6, bias: float = 0.0) -> list[torch.Tensor]:
    """Return W, b, a, c from numbers or arrays."""
    shapes = [(units, 3), (units,), (units,), ()]
    values = [first, bias, last, bias]
    return [
        torch.tensor(np.broadcast_to(value, shape).copy(), dtype=torch.float64).requires_grad_()
        for value, shape in zip(values, shapes, strict=True)
    ]


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    generator = rng(3)
    x = torch.tensor(generator.normal(size=(40, 3)))
    return x, torch.sin(x[:, 0] * 2) + x[:, 1] * x[:, 2] + 0.5


def gradients(parts: list[torch.Tensor], phi: Callable[..., Any]) -> Any:
    x, y = samples()
    w, b, a, c = parts
    return torch.autograd.grad(((phi(x @ w.T + b) @ a + c - y) ** 2).mean(), parts)


def descend(
    parts: list[torch.Tensor], phi: Callable[..., Any], steps: int, lr: float = 0.1
) -> list[torch.Tensor]:
    for _ in range(steps):
        grads = gradients(parts, phi)
        with torch.no_grad():
            for part, grad in zip(parts, grads, strict=True):
                part -= lr * grad
    return parts


def loss(parts: list[torch.Tensor], phi: Callable[..., Any]) -> float:
    x, y = samples()
    w, b, a, c = parts
    return float(((phi(x @ w.T + b) @ a + c - y) ** 2).mean().detach())


# --- Symmetry ---


def test_gradients_at_zero() -> None:
    for phi in DEAD:
        parts = two_layers(0.0, 0.0)
        moved = [bool(grad.any()) for grad in gradients(parts, phi)]
        assert moved == [False, False, False, True]
        assert loss(descend(parts, phi, 300), phi) == pytest.approx(
            float(samples()[1].var(correction=0)), rel=1e-6
        )
    parts = two_layers(0.0, 0.0)
    assert [bool(g.any()) for g in gradients(parts, torch.sigmoid)] == [False, False, True, True]
    descend(parts, torch.sigmoid, 1)
    assert all(bool(grad.any()) for grad in gradients(parts, torch.sigmoid))
    before = loss(two_layers(0.0, 0.0), torch.sigmoid)
    descend(parts, torch.sigmoid, 500)
    assert loss(parts, torch.sigmoid) < before
    assert float((parts[0] - parts[0][0]).detach().abs().max()) < 1e-9


def test_which_weights_move_at_one() -> None:
    for phi in (*DEAD, torch.sigmoid):
        grads = gradients(two_layers(1.0, 1.0, bias=1.0), phi)
        assert all(bool(grad.any()) for grad in grads)
        for grad in grads[:3]:
            assert_allclose(grad.numpy(), grad.numpy()[:1].repeat(6, axis=0), rtol=1e-12)


def test_equal_units_have_rank_one() -> None:
    w = descend(two_layers(0.3, 0.3), torch.relu, 200)[0].detach().numpy()
    assert_allclose(w, w[:1].repeat(6, axis=0), rtol=1e-12)
    assert np.ptp(w, axis=1).min() > 0.05
    assert np.linalg.matrix_rank(w, tol=1e-9) == 1


def test_optimizers_keep_equal_units_and_dropout_parts_them() -> None:
    def spread(optimizer: Callable[..., Any], dropout: float) -> float:
        torch.manual_seed(0)
        parts = two_layers(0.3, 0.3)
        x, y = samples()
        w, b, a, c = parts
        stepper = optimizer(parts)
        for _ in range(200):
            stepper.zero_grad()
            h = torch.nn.functional.dropout(torch.relu(x @ w.T + b), dropout)
            ((h @ a + c - y) ** 2).mean().backward()
            stepper.step()
        return float((w - w[0]).detach().abs().max())

    adam = lambda parts: torch.optim.Adam(parts, lr=0.01)  # noqa: E731
    momentum = lambda parts: torch.optim.SGD(parts, lr=0.01, momentum=0.9)  # noqa: E731
    assert spread(adam, 0) < 1e-9
    assert spread(momentum, 0) < 1e-9
    assert spread(momentum, 0.2) > 0.01
    assert spread(adam, 0.2) > 0.01


def test_six_equal_units_are_not_trained_as_one() -> None:
    six, one = two_layers(0.3, 0.3, units=6), two_layers(0.3, 0.3 * 6, units=1)
    assert loss(six, torch.tanh) == pytest.approx(loss(one, torch.tanh), rel=1e-12)
    ends = [loss(descend(parts, torch.tanh, 20, lr=0.01), torch.tanh) for parts in (six, one)]
    assert abs(ends[0] - ends[1]) > 1e-3


def test_gradient_of_logistic_regression_at_zero() -> None:
    x, y = samples()
    labels = (y > 0).double()
    w = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    torch.nn.functional.binary_cross_entropy_with_logits(x @ w, labels).backward()
    assert w.grad is not None
    assert_allclose(w.grad.numpy(), (x.T @ (0.5 - labels) / len(y)).numpy(), rtol=1e-12)
    assert w.grad.abs().min() > 1e-3
    rows = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
    classes = torch.arange(40) % 4
    torch.nn.functional.cross_entropy(x @ rows.T, classes).backward()
    assert rows.grad is not None
    onehot = torch.nn.functional.one_hot(classes, 4).double()
    assert_allclose(rows.grad.numpy(), ((0.25 - onehot).T @ x / 40).numpy(), rtol=1e-12)
    assert torch.pdist(rows.grad).min() > 1e-3


def test_gradient_of_biases_at_zero() -> None:
    parts = two_layers(rng(1).normal(size=(6, 3)), rng(2).normal(size=6))
    for phi in DEAD:
        grad = gradients(parts, phi)[1]
        assert grad.abs().min() > 0
        assert torch.pdist(grad[:, None]).min() > 1e-6
    on = np.mean(rng().normal(size=(1000, 50)) @ rng(1).normal(size=(50, 200)) > 0)
    assert on == pytest.approx(0.5, abs=0.01)


def test_bias_for_rare_positives() -> None:
    bias = -math.log(0.99 / 0.01)
    assert round(bias, 3) == -4.595
    assert 1 / (1 + math.exp(-bias)) == pytest.approx(0.01)


def test_zero_first_and_zero_last() -> None:
    random_first = rng(1).normal(size=(6, 3)) / math.sqrt(3)
    random_last = rng(2).normal(size=6) / math.sqrt(6)
    variance = float(samples()[1].var(correction=0))
    for phi in (torch.tanh, torch.relu):
        parts = two_layers(random_first, 0.0)
        grads = gradients(parts, phi)
        assert not grads[0].any() and torch.pdist(grads[2][:, None]).min() > 1e-6
        assert loss(descend(parts, phi, 1000), phi) < 0.5 * variance
    tanh, relu = (two_layers(0.0, random_last) for _ in range(2))
    assert loss(descend(tanh, torch.tanh, 1000), torch.tanh) < 0.5 * variance
    assert loss(descend(relu, torch.relu, 1000), torch.relu) == pytest.approx(variance, rel=1e-6)
    zero = torch.zeros(1, requires_grad=True)
    torch.relu(zero).backward()
    assert zero.grad is not None and zero.grad.item() == 0


def test_both_factors_zero_never_move() -> None:
    for start, moves in ((0.0, False), (1.0, True)):
        a = torch.full((2, 3), start, requires_grad=True)
        b = torch.zeros(3, 2, requires_grad=True)
        (torch.ones(4, 3) @ (b @ a).T - 1).pow(2).sum().backward()
        assert a.grad is not None and b.grad is not None
        assert not a.grad.any()
        assert bool(b.grad.any()) is moves


# --- Scale ---


def test_second_moment_of_a_layer() -> None:
    h = np.abs(rng().normal(size=(4000, 50)))  # neither symmetric nor of mean 0
    w = rng(1).normal(scale=0.3, size=(500, 50))
    assert ((h @ w.T) ** 2).mean() == pytest.approx(50 * 0.09 * (h**2).mean(), rel=0.05)
    assert pytest.approx(1e-3, rel=0.03) == 2.0**-10


def test_xavier_between_its_two_ends() -> None:
    assert 2 / 320 == 0.00625
    assert round(1 / 256, 4) == 0.0039
    assert round(1 / 64, 4) == 0.0156
    assert xavier_normal((64, 256), rng()).var() == pytest.approx(0.00625, rel=0.05)
    bound = math.sqrt(6 / 320)
    assert bound * 0.999 < np.abs(xavier_uniform((64, 256), rng())).max() <= bound


def test_relu_halves_the_second_moment() -> None:
    z = rng().normal(size=1_000_000)
    h = np.maximum(z, 0)
    assert (h**2).mean() == pytest.approx(0.5, abs=0.005)
    assert h.var() == pytest.approx(0.5 - 1 / (2 * math.pi), abs=0.003)
    assert round(0.5 - 1 / (2 * math.pi), 3) == 0.341
    assert round(1 / math.sqrt(2 * math.pi), 3) == 0.399
    assert h.mean() == pytest.approx(0.399, abs=0.003)
    leaky = np.where(z > 0, z, 0.3 * z)
    assert (leaky**2).mean() == pytest.approx((1 + 0.09) / 2, abs=0.005)
    assert gain("leaky_relu", 0.3) ** -2 == pytest.approx((1 + 0.09) / 2)
    assert f"{2.0**-30:.0e}" == "9e-10"


def test_gains_at_unit_input() -> None:
    gelu, tanh = ACTIVATIONS["gelu"].function, ACTIVATIONS["tanh"].function
    assert round(preserving_gain(gelu), 3) == 1.534
    assert round(preserving_gain(tanh), 3) == 1.593
    assert gain("tanh") == 5 / 3
    with pytest.raises(ValueError, match="gelu"):
        torch.nn.init.calculate_gain("gelu")  # type: ignore[arg-type]
    factors = tanh_gradient_factors(preserving_gain(tanh))
    assert 10 < np.exp(np.log(factors).mean()) < 35


def tanh_gradient_factors(scale: float, depth: int = 40) -> list[float]:
    """Return by how much gradients grow backward, in five networks of width 128."""
    found = []
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(64, 128, generator=generator, dtype=torch.float64, requires_grad=True)
        h = x
        for _ in range(depth):
            w = torch.randn(128, 128, generator=generator, dtype=torch.float64)
            h = torch.tanh(h @ w.T * scale / math.sqrt(128))
        upstream = torch.randn(64, 128, generator=generator, dtype=torch.float64)
        h.backward(upstream)
        assert x.grad is not None
        found.append(float(x.grad.norm() / upstream.norm()))
    return found


def test_fans_of_convolutions() -> None:
    assert fan_in_fan_out((128, 64, 3, 3)) == (576, 1152)
    assert fan_in_fan_out((64, 1, 3, 3), groups=64) == (9, 9)
    assert fan_in_fan_out((128, 16, 3, 3), groups=4) == (576 // 4, 1152 // 4)
    shape_only = torch.nn.init._calculate_fan_in_and_fan_out
    assert shape_only(torch.empty(128, 64, 3, 3)) == (576, 1152)
    assert shape_only(torch.empty(64, 1, 3, 3)) == (9, 576)
    assert (2 / 64) / (2 / 576) == 9


def test_transposed_convolution_reads_the_wrong_fan() -> None:
    measured = {}
    for mode in ("fan_in", "fan_out"):
        variances = []
        for seed in range(5):
            torch.manual_seed(seed)
            layer = torch.nn.ConvTranspose2d(64, 16, 3, bias=False)
            torch.nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity="relu")
            inner = layer(torch.randn(4, 64, 16, 16))[:, :, 2:-2, 2:-2]
            variances.append(inner.var().item())
        measured[mode] = np.mean(variances)
    assert measured["fan_in"] == pytest.approx(8, rel=0.06)
    assert measured["fan_out"] == pytest.approx(2, rel=0.06)


def test_fan_in_telescopes() -> None:
    widths = [256, 200, 300, 90, 64]
    forward, backward = [], []
    for seed in range(40):
        generator = rng(seed)
        h, masks, weights = generator.normal(size=(64, 256)), [], []
        for n_in, n_out in pairwise(widths):
            w = kaiming_normal((n_out, n_in), generator)
            z = h @ w.T
            h, masks, weights = np.maximum(z, 0), [*masks, z > 0], [*weights, w]
        g = generator.normal(size=h.shape)
        start = (g**2).mean()
        for mask, w in zip(reversed(masks), reversed(weights), strict=True):
            g = (g * mask) @ w
        forward.append((h**2).mean())
        backward.append((g**2).mean() / start)
    assert np.mean(forward) == pytest.approx(1, rel=0.1)
    assert np.mean(backward) == pytest.approx(1 / 4, rel=0.1)


def test_uniform_bound() -> None:
    std = math.sqrt(2 / 400)
    assert (round(std, 4), round(math.sqrt(3) * std, 4)) == (0.0707, 0.1225)
    assert math.sqrt(3) * std == pytest.approx(math.sqrt(6 / 400))
    sample = kaiming_uniform((500, 400), rng())
    assert sample.std() == pytest.approx(std, rel=0.01)
    assert 0.9999 < np.abs(sample).max() / (math.sqrt(3) * std) <= 1
    assert rng().uniform(-1, 1, size=200_000).var() == pytest.approx(1 / 3, rel=0.01)


# --- Depth ---


def test_powers_of_a_layer() -> None:
    assert (round(0.9**50, 3), round(1.1**50)) == (0.005, 117)
    for factor in (0.9, 1.1):
        ends, slopes = [], []
        for seed in range(10):
            torch.manual_seed(seed)
            x = torch.randn(50, 200, dtype=torch.float64, requires_grad=True)
            h = x
            for _ in range(50):
                w = torch.randn(200, 200, dtype=torch.float64) * factor * math.sqrt(2 / 200)
                h = torch.relu(h @ w.T)
            h.backward(torch.randn_like(h))
            assert x.grad is not None
            ends.append(float(h.detach().pow(2).mean().sqrt()))
            slopes.append(float(x.grad.pow(2).mean().sqrt()))
        assert 0.6 < np.mean(ends) / factor**50 < 1.6
        assert 0.6 < np.mean(slopes) / factor**50 < 1.6


def test_tanh_gradients_at_five_thirds() -> None:
    phi, derivative = ACTIVATIONS["tanh"]
    chi = float(slope(fixed_point(5 / 3, 0.0, phi), 5 / 3, derivative))
    assert (round(chi, 2), round(math.sqrt(chi), 2)) == (1.21, 1.10)
    assert round(chi**20) == 45
    assert 20 < np.exp(np.log(tanh_gradient_factors(5 / 3)).mean()) < 60


def test_default_initialization_ignores_its_input() -> None:
    for seed in range(3):
        torch.manual_seed(seed)
        h = torch.randn(256, 256, dtype=torch.float64)
        squares = []
        for _ in range(20):
            h = torch.relu(torch.nn.Linear(256, 256).double()(h))
            squares.append(h.pow(2).mean().item())
        assert squares[-1] == pytest.approx(8e-4, rel=0.2)
        assert squares[-1] == pytest.approx(squares[-5], rel=0.25)
        share = h.var(0, correction=0).mean().item() / squares[-1]
        assert 2e-14 < share < 5e-13


def test_first_loss() -> None:
    assert round(math.log(10), 3) == 2.303
    zeros = torch.nn.functional.cross_entropy(torch.zeros(5, 10), torch.arange(5))
    assert zeros.item() == pytest.approx(2.303, abs=1e-3)


def test_chi_of_tanh_and_relu() -> None:
    phi, derivative = ACTIVATIONS["tanh"]
    for sigma_w, expected in ((0.8, 0.63), (1.3, 1.06), (2.0, 1.36)):
        chi = float(slope(fixed_point(sigma_w, 0.05, phi), sigma_w, derivative))
        assert round(chi, 2) == expected
        if sigma_w == 0.8:
            assert round(1 / abs(math.log(chi)), 1) == 2.2
    relu = ACTIVATIONS["relu"].derivative
    assert float(slope(1.0, math.sqrt(2), relu)) == pytest.approx(1)


def test_relu_inputs_drift_together() -> None:
    c = 0.6
    for _ in range(20):
        c = float(correlation_map(c, 1.0, math.sqrt(2), 0.0, ACTIVATIONS["relu"].function))
    assert c == pytest.approx(0.96, abs=0.01)


def test_products_of_fifty_matrices() -> None:
    for seed in range(6):
        generator = rng(seed)
        normal = [generator.normal(size=(100, 100)) / 10 for _ in range(50)]
        values = np.linalg.svd(np.linalg.multi_dot(normal), compute_uv=False)
        assert 4 < values[0] < 9
        assert np.median(values) == pytest.approx(2e-8, rel=0.8)
        assert 0.6 < math.sqrt((values**2).mean()) < 1.1
        turns = [np.linalg.qr(w)[0] for w in normal]
        values = np.linalg.svd(np.linalg.multi_dot(turns), compute_uv=False)
        assert_allclose(values, 1, atol=1e-13)


def test_plain_qr_has_one_sign() -> None:
    generator = rng()
    corners = np.array([np.linalg.qr(generator.normal(size=(4, 4)))[0][0, 0] for _ in range(200)])
    assert (corners < 0).all()


def test_variance_of_residual_nets() -> None:
    assert f"{2.0**32:.1e}" == "4.3e+09"
    assert round((1 + 1 / 32) ** 32, 2) == 2.68
    assert round((1 + 1 / 32**2) ** 32, 2) == 1.03
    assert (1 + 1 / 32) ** 32 < (1 + 1e-6) ** 1e6 < math.e
    ends: dict[str, list[float]] = {"plain": [], "norm": [], "scaled": []}
    for seed in range(10):
        for kind, values in ends.items():
            generator = rng(seed)
            x = generator.normal(size=(64, 256))
            for _ in range(32):
                w = generator.normal(size=(256, 256)) * math.sqrt(2 / 256)
                source = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
                branch = np.maximum(source if kind == "norm" else x, 0) @ w.T
                x = x + branch * (32**-0.5 if kind == "scaled" else 1)
            values.append((x**2).mean())
    assert np.mean(ends["plain"]) == pytest.approx(2.0**32, rel=0.3)
    assert np.mean(ends["norm"]) == pytest.approx(33, rel=0.05)
    assert np.mean(ends["scaled"]) == pytest.approx(2.68, rel=0.05)


# --- In practice ---


def test_default_of_linear_and_convolution() -> None:
    assert math.sqrt(3) * math.sqrt(1 / 3) == pytest.approx(1)
    assert round(1 / math.sqrt(576), 4) == 0.0417
    torch.manual_seed(0)
    layers = torch.nn.Linear(576, 300), torch.nn.Conv2d(64, 300, 3)
    for layer in layers:
        weight = layer.weight.detach().numpy()
        assert 0.999 < np.abs(weight).max() * 24 <= 1 + 1e-6
        assert weight.var() == pytest.approx(1 / (3 * 576), rel=0.01)
        assert 0.9 < layer.bias.detach().abs().max().item() * 24 <= 1 + 1e-6  # type: ignore[union-attr]
    assert pytest.approx(6) == (2 / 576) / (1 / (3 * 576))
    assert torch.nn.Embedding(500, 100).weight.std().item() == pytest.approx(1, rel=0.02)
    lstm = torch.cat([part.detach().ravel() for part in torch.nn.LSTM(16, 64).parameters()])
    assert 0.99 < lstm.abs().max().item() * 8 <= 1 + 1e-6


def test_zero_weight_before_batch_norm() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(5, 4)
    torch.nn.init.zeros_(layer.weight)
    last = torch.nn.Linear(4, 1)
    net = torch.nn.Sequential(layer, torch.nn.BatchNorm1d(4), torch.nn.ReLU(), last).double()
    (net(torch.randn(16, 5, dtype=torch.float64)) - 1).pow(2).mean().backward()
    assert layer.weight.grad is not None
    # Batch norm divides by the root of epsilon alone, and so do roundings: 316 times as large.
    assert_allclose(layer.weight.grad, 0, atol=1e-12)


def test_batch_norm_ignores_the_scale() -> None:
    torch.manual_seed(0)
    x, w = torch.randn(32, 5, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    norms, outputs = [], []
    for c in (1.0, 10.0):
        weight = (c * w).requires_grad_()
        out = torch.nn.functional.batch_norm(x @ weight.T, None, None, training=True, eps=1e-12)
        (out * torch.arange(4)).pow(3).sum().backward()
        outputs.append(out.detach())
        assert weight.grad is not None
        norms.append(weight.grad.norm().item())
    assert_allclose(outputs[0], outputs[1], atol=1e-10)
    assert norms[0] / norms[1] == pytest.approx(10)


def test_truncation() -> None:
    density = math.exp(-2) / math.sqrt(2 * math.pi)
    variance = 1 - 4 * density / math.erf(math.sqrt(2))
    assert (round(variance, 3), round(math.sqrt(variance), 3)) == (0.774, 0.880)
    torch.manual_seed(0)
    loose = torch.nn.init.trunc_normal_(torch.empty(300_000), std=0.02)
    assert loose.abs().max() > 0.08
    cut = torch.nn.init.trunc_normal_(torch.empty(300_000), std=0.02, a=-0.04, b=0.04)
    assert cut.abs().max() <= 0.04
    assert cut.std().item() / 0.02 == pytest.approx(0.880, abs=0.005)
    assert 2 / 0.02 == 100


def test_the_printed_code_shows_the_spread() -> None:
    (entry,) = (q for q in read(BANK).questions if q.id == "initialization-spread")
    code = re.search(r"```python\n(.*?)```", entry.full, re.DOTALL)
    assert code is not None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code[1], {})
    ends = [float(line.split()[-1]) for line in printed.getvalue().splitlines()]
    expected = [0.97, 3e10, 0.23, 0.03, 0.55, 1.0]
    assert_allclose(ends, expected, rtol=0.35)
