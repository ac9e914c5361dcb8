"""The numbers in ``book/questions/11_gradient_flow.yml``: each entry names its tests."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from booksite.questions.reading import read
from dlbook.gradient_flow import (
    activation,
    chi,
    clip_by_norm,
    clip_by_value,
    dead_units,
    gradient_profile,
    jacobian_singular_values,
    lstm_forget_bias_,
    mlp_backward,
    rnn_gradients,
    rounded,
)

BANK = Path(__file__).resolve().parents[2] / "book/questions/11_gradient_flow.yml"


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def profile(depth: int, name: str, init: str, norm: str = "none", *, skip: bool = False) -> Any:
    return gradient_profile(depth, activation=name, init=init, normalization=norm, skip=skip)


# --- products ---


def test_powers() -> None:
    assert (round(0.9**50, 3), round(1.1**50)) == (0.005, 117)
    assert profile(50, "identity", "orthogonal").ratio == pytest.approx(1)


def test_bounds_hold() -> None:
    factors = [rng(k).normal(size=(6, 6)) for k in range(8)]
    ends = np.array([np.linalg.svd(f, compute_uv=False)[[0, -1]] for f in factors])
    vector = rng(9).normal(size=6)
    growth = np.linalg.norm(np.linalg.multi_dot(factors).T @ vector) / np.linalg.norm(vector)
    high, low = ends.prod(axis=0)
    assert low <= growth <= high


def test_eigenvalues_do_not_decide() -> None:
    matrix = np.array([[0.9, 5.0], [0.0, 0.9]])
    norms = [np.linalg.norm(np.linalg.matrix_power(matrix, k), 2) for k in range(101)]
    assert max(norms) == pytest.approx(19.4, abs=0.05)
    assert int(np.argmax(norms)) in (9, 10)
    assert norms[100] == pytest.approx(0.015, abs=5e-4)


def test_alternating_layers() -> None:
    product = np.linalg.matrix_power(np.diag([0.4, 2.0]) @ np.diag([2.0, 0.4]), 10)
    assert np.linalg.norm(product, 2) == pytest.approx(0.8**10) == pytest.approx(0.107, abs=5e-4)


# --- activations and wide layers ---


def test_largest_slopes() -> None:
    z = np.linspace(-6, 6, 24001)
    found = [activation(name)[1](z).max() for name in ("sigmoid", "tanh", "gelu", "silu")]
    assert_allclose(found, [0.25, 1, 1.129, 1.100], atol=6e-4)
    assert activation("sigmoid")[1](np.zeros(1)) == 0.25
    assert activation("tanh")[1](np.zeros(1)) == 1


def test_sigmoid_layers() -> None:
    delta = profile(20, "sigmoid", "xavier").delta
    assert (delta[0] / delta[15]) ** (1 / 15) == pytest.approx(0.24, abs=0.01)
    assert 5e-13 < profile(20, "sigmoid", "xavier").ratio < 2e-12
    assert 5e-32 < profile(50, "sigmoid", "xavier").ratio < 3e-31
    weights = [10 / 8 * rng(k).normal(size=(64, 64)) for k in range(20)]
    x, target = rng(50).normal(size=(2, 64, 64))
    found = mlp_backward(weights, x, target, "sigmoid").delta
    sizes = [np.linalg.norm(d) for d in found]
    assert (sizes[4] / sizes[19]) ** (1 / 15) == pytest.approx(1, abs=0.05)


def test_relu_layers() -> None:
    assert math.sqrt(chi("relu")) == pytest.approx(0.71, abs=0.005)
    assert chi("relu", gain=math.sqrt(2)) == pytest.approx(1)
    assert math.sqrt(chi("relu", gain=2)) == pytest.approx(1.41, abs=0.005)
    assert pytest.approx(2.98e-8, rel=1e-3) == 2**-25
    assert 1 - math.sqrt(chi("tanh", q=1e-4)) < 1e-3


def test_factors_behind_norms() -> None:
    assert chi("relu", "layer") == pytest.approx(1)
    assert chi("relu", "batch") == pytest.approx(1.467, abs=5e-4)
    assert chi("sigmoid", "layer") == pytest.approx(0.153, abs=5e-4)
    assert chi("sigmoid", "batch") == pytest.approx(1.034, abs=1e-3)
    z = np.linspace(-12, 12, 24001)
    weight = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
    s = activation("sigmoid")[0](z)
    assert (s * (1 - s)) ** 2 @ weight == pytest.approx(0.0448, abs=1e-4)
    assert s**2 @ weight == pytest.approx(0.293, abs=5e-4)
    assert s**2 @ weight - (s @ weight) ** 2 == pytest.approx(0.0434, abs=1e-4)


def test_fluctuation() -> None:
    for width, mean in ((16, -1.8), (64, -0.1)):
        logs = [
            math.log10(
                gradient_profile(
                    50, activation="relu", init="he", width=width, batch=32, seed=seed
                ).ratio
            )
            for seed in range(12)
        ]
        assert np.mean(logs) == pytest.approx(mean, abs=0.06)
        assert np.std(logs, ddof=1) == pytest.approx(0.4, abs=0.06)


def test_batch_norm_grows() -> None:
    assert math.pi / (math.pi - 1) == pytest.approx(1.467, abs=5e-4)
    assert 0.5 / (0.5 - 1 / (2 * math.pi)) == pytest.approx(math.pi / (math.pi - 1))
    assert math.sqrt(chi("relu", "batch")) == pytest.approx(1.21, abs=0.005)
    assert chi("relu", "batch") ** (19 / 2) == pytest.approx(38, abs=0.5)
    assert chi("relu", "batch") ** (49 / 2) == pytest.approx(1.2e4, rel=0.03)
    assert 30 < profile(20, "relu", "he", "batch").ratio < 60
    assert 8e3 < profile(50, "relu", "he", "batch").ratio < 2.5e4


def test_poincare() -> None:
    for name in ("sigmoid", "tanh", "relu", "gelu", "silu", "elu", "mish"):
        assert chi(name, "batch") > 1.01
    assert chi("identity", "batch") == pytest.approx(1)


def test_sigmoid_behind_norms() -> None:
    assert 1e-21 < profile(50, "sigmoid", "xavier", "layer").ratio < 1e-19
    assert profile(50, "sigmoid", "xavier", "batch").ratio == pytest.approx(5, abs=1)


def test_thirty_four_layers() -> None:
    assert pytest.approx(676, abs=3) == 1.467**17


# --- diagnosis ---


def test_float32_norms() -> None:
    small = torch.full((8,), 1e-30)
    assert small.norm().item() == 0
    assert small.double().norm().item() == pytest.approx(math.sqrt(8) * 1e-30, rel=1e-6)


def test_the_log_is_that_of_a_sigmoid() -> None:
    assert pytest.approx(0.23, abs=0.005) == (1e-13 / 0.1) ** (1 / 19)
    logged = [0.1, 1e-4, 9e-8, 7e-11, 1e-13]
    for (above, below), layers in zip(pairwise(logged), (5, 5, 5, 4), strict=True):
        assert (below / above) ** (1 / layers) == pytest.approx(0.24, abs=0.05)
    assert math.sqrt(chi("relu", gain=3**-0.5)) == pytest.approx(0.41, abs=0.005)


def test_the_printed_code_clips() -> None:
    (entry,) = (q for q in read(BANK).questions if q.id == "gradient-flow-log-code")
    code = re.search(r"```python\n(.*?)```", entry.full, re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    for limit in (0.1, 100.0):
        net.zero_grad()
        net(torch.randn(5, 4)).square().sum().backward()
        kept = [p.grad.clone() for p in net.parameters() if p.grad is not None]
        logged = names["log_norms"](net)
        total = names["clip_norm_"](net.parameters(), limit)
        ours = [p.grad.clone() for p in net.parameters() if p.grad is not None]
        for p, grad in zip(net.parameters(), kept, strict=True):
            p.grad = grad
        expected = torch.nn.utils.clip_grad_norm_(net.parameters(), limit)
        assert total.item() == pytest.approx(expected.item())
        assert math.hypot(*logged.values()) == pytest.approx(expected.item(), rel=1e-5)
        for p, mine in zip(net.parameters(), ours, strict=True):
            assert p.grad is not None
            assert_allclose(mine.numpy(), p.grad.numpy(), rtol=1e-5)


def test_weight_decay_is_slow() -> None:
    assert math.ceil(math.log(1.5) / -math.log1p(-0.1 * 1e-4)) == 40547


def test_residual_stacks() -> None:
    plain = profile(50, "relu", "he", skip=True)
    assert 3e6 < plain.h_std[-1] < 5e7
    assert 3e6 < plain.ratio < 5e7
    assert pytest.approx(3.4e7, rel=0.02) == 2 ** (50 / 2)
    assert profile(50, "relu", "he", "batch", skip=True).ratio == pytest.approx(9, abs=0.5)
    assert profile(50, "relu", "he", "layer", skip=True).ratio == pytest.approx(5, abs=0.6)


def test_paths() -> None:
    f = [rng(k).normal(size=(3, 3)) for k in range(3)]
    product = (np.eye(3) + f[2]) @ (np.eye(3) + f[1]) @ (np.eye(3) + f[0])
    total, count = np.zeros((3, 3)), 0
    for taken in np.ndindex(2, 2, 2):
        path = np.eye(3)
        for branch, through in zip(f, taken, strict=True):
            path = branch @ path if through else path
        total, count = total + path, count + 1
    assert count == 2**3
    assert_allclose(total, product)


def test_homogeneous_layers() -> None:
    weights = [rng(k).normal(size=(64, 64)) / 8 for k in range(20)]
    x, target = rng(99).normal(size=(2, 16, 64))
    found = mlp_backward(weights, x, target, "relu")
    products = [float((w * g).sum()) for w, g in zip(weights, found.dW, strict=True)]
    assert_allclose(products, products[0], rtol=1e-9)
    deep = profile(50, "relu", "xavier")
    assert 1e-9 < deep.ratio < 1e-7
    assert deep.weight_grad.max() < 10 * deep.weight_grad.min()


def test_adams_first_step() -> None:
    for gradient, step in ((2e-6, 0.00995), (5e-9, 0.0033)):
        weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
        weight.grad = torch.full((1,), gradient, dtype=torch.float64)
        torch.optim.Adam([weight], lr=0.01).step()
        assert abs(weight.item()) == pytest.approx(step, rel=0.02)


# --- singular values ---


def test_random_products() -> None:
    draws = rng()
    gaussian = np.linalg.multi_dot([draws.normal(size=(64, 64)) / 8 for _ in range(50)])
    values = np.linalg.svd(gaussian, compute_uv=False)
    assert np.sqrt((values**2).mean()) == pytest.approx(1, abs=0.3)
    assert 1e-9 < np.median(values) < 1e-7
    assert values[0] == pytest.approx(8, abs=1)
    turns = [np.linalg.qr(draws.normal(size=(64, 64)))[0] for _ in range(50)]
    assert_allclose(np.linalg.svd(np.linalg.multi_dot(turns), compute_uv=False), 1)


def test_relu_has_rank_defects() -> None:
    weights = [math.sqrt(2) * np.linalg.qr(rng(k).normal(size=(64, 64)))[0] for k in range(3)]
    values = jacobian_singular_values(weights, rng(9).normal(size=64), "relu")
    assert 10 < (values > 1e-12 * values[0]).sum() < 45


# --- clipping ---


def test_clipping_numbers() -> None:
    steep = [np.array([30.0, 0.4])]
    (by_norm,), _ = clip_by_norm(steep, 1.0)
    (by_value,) = clip_by_value(steep, 1.0)
    assert_allclose(by_norm, [0.9999, 0.0133], atol=5e-5)
    assert_allclose(by_value, [1, 0.4])
    angles = [math.degrees(math.atan2(v[1], v[0])) for v in (steep[0], by_value)]
    assert (round(angles[0], 1), round(angles[1], 1)) == (0.8, 21.8)
    assert round(angles[1] - angles[0]) == 21
    pair = [np.array([3.0]), np.array([4.0])]
    assert_allclose(np.ravel(clip_by_norm(pair, 1.0)[0]), [0.6, 0.8], rtol=1e-6)
    assert_allclose([clip_by_norm([p], 1.0)[0][0][0] for p in pair], [1, 1], rtol=1e-6)


def test_clipping_never_enlarges() -> None:
    tiny = [np.array([1e-9, -2e-9])]
    assert_allclose(clip_by_norm(tiny, 1.0)[0][0], tiny[0], rtol=0)
    assert_allclose(clip_by_value(tiny, 1.0)[0], tiny[0], rtol=0)


def test_clip_returns_the_norm_before() -> None:
    assert clip_by_norm([np.array([3.0, 4.0])], 1.0)[1] == 5
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([3.0, 4.0])
    assert torch.nn.utils.clip_grad_norm_([parameter], 1.0).item() == pytest.approx(5)


def test_from_inf_to_nan() -> None:
    logits = torch.tensor([[torch.inf, 0.0]], requires_grad=True)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor([1]))
    assert not math.isfinite(loss.item())
    assert torch.log_softmax(logits, dim=1).isnan().any()
    assert math.isnan(math.inf - math.inf)
    assert math.isnan(0 * math.inf)
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([torch.inf, 1.0])
    torch.nn.utils.clip_grad_norm_([parameter], 1.0)
    assert math.isnan(parameter.grad[0].item())
    assert parameter.grad[1].item() == 0
    parameter.grad = torch.tensor([torch.inf, 1.0])
    with pytest.raises(RuntimeError, match="is non-finite, so it cannot be clipped"):
        torch.nn.utils.clip_grad_norm_([parameter], 1.0, error_if_nonfinite=True)


def test_clipping_scaled_gradients() -> None:
    grad = np.array([0.6, 0.8])
    (clipped,), _ = clip_by_norm([65536 * grad], 1.0)
    assert np.linalg.norm(clipped) / 65536 == pytest.approx(1.5e-5, rel=0.03)
    assert_allclose(clip_by_norm([grad], 1.0)[0][0], grad, rtol=2e-6)


# --- through time ---


def test_lstm_at_its_default() -> None:
    found = []
    for bias in (None, 2.0):
        torch.manual_seed(0)
        module = torch.nn.LSTM(64, 64).double()
        if bias is not None:
            lstm_forget_bias_(module, bias)
        x = torch.randn(100, 8, 64, dtype=torch.float64, requires_grad=True)
        module(x)[0][-1].sum().backward()
        assert x.grad is not None
        found.append((x.grad[0].norm() / x.grad[-1].norm()).item())
    assert 1e-22 < found[0] < 1e-20
    assert found[1] == pytest.approx(4e-3, rel=0.3)


def test_powers_of_the_gate() -> None:
    def gate(bias: float) -> float:
        return 1 / (1 + math.exp(-bias))

    assert [round(gate(b), 3) for b in (0, 1, 2, 4)] == [0.5, 0.731, 0.881, 0.982]
    assert gate(0) ** 100 == pytest.approx(8e-31, rel=0.02)
    assert gate(2) ** 100 == pytest.approx(3e-6, rel=0.1)
    assert gate(4) ** 100 == pytest.approx(0.163, abs=5e-4)


def test_a_plain_cell_at_several_scales() -> None:
    assert pytest.approx(3e17, rel=0.15) == 1.5**99
    for scale, low, high in ((1.5, 1e-3, 1.0), (2.0, 3e4, 3e5)):
        norms = rnn_gradients("rnn", scale)
        assert low < norms[0] / norms[-1] < high


# --- loss, dead units, half precision ---


def test_steps_of_the_output_unit() -> None:
    for squared, expected in ((False, [3, 5, 7, 9, 11]), (True, [8, 36, 214, 1507, 11034])):
        for start, wanted in zip((2.0, 4.0, 6.0, 8.0, 10.0), expected, strict=True):
            z, steps = start, 0
            while (a := 1 / (1 + math.exp(-z))) >= 0.5:
                z -= 2 * a * a * (1 - a) if squared else a
                steps += 1
            assert steps == wanted


def test_the_loss_leaves_ratios() -> None:
    torch.manual_seed(0)
    layers = [torch.nn.Linear(8, 8).double() for _ in range(10)]
    last = torch.nn.Linear(8, 1).double()
    ratios = []
    for loss in (torch.nn.functional.binary_cross_entropy, torch.nn.functional.mse_loss):
        for layer in layers:
            layer.zero_grad()
        h = torch.ones(1, 8, dtype=torch.float64)
        for layer in layers:
            h = torch.sigmoid(layer(h))
        loss(torch.sigmoid(last(h)), torch.ones(1, 1, dtype=torch.float64)).backward()
        norms = [layer.weight.grad.norm() for layer in layers if layer.weight.grad is not None]
        ratios.append((norms[0] / norms[-1]).item())
    assert ratios[0] == pytest.approx(ratios[1], rel=1e-9)


def test_a_dead_unit_gets_no_gradient() -> None:
    torch.manual_seed(0)
    x = torch.randn(200, 5)
    layer, head = torch.nn.Linear(5, 2), torch.nn.Linear(2, 1)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([-50.0, 0.0]))
    for phi, alive in ((torch.relu, False), (torch.nn.functional.leaky_relu, True)):
        layer.zero_grad()
        h = phi(layer(x))
        head(h).square().sum().backward()
        assert layer.weight.grad is not None
        assert bool(layer.weight.grad[0].any()) == alive
        assert dead_units(h.detach().numpy()).tolist() == [not alive, False]
    slope = torch.nn.functional.leaky_relu(torch.tensor(-1.0)).item()
    assert slope == pytest.approx(-0.01)


def test_edges_of_float16() -> None:
    assert_allclose(rounded([2.0**-24, 2.0**-25, 65504, 65520], "float16"),
                    [2.0**-24, 0, 65504, np.inf])  # fmt: skip
    info, brain = torch.finfo(torch.float16), torch.finfo(torch.bfloat16)
    assert (info.max, info.tiny, brain.tiny) == (65504, 2.0**-14, 2.0**-126)
    assert info.tiny == pytest.approx(6.1e-5, rel=2e-3)
    assert pytest.approx(6e-8, rel=0.01) == 2.0**-24
    assert rounded(1e-30, "float16") == 0
    assert rounded(1e-30, "bfloat16") == pytest.approx(1e-30, rel=2**-8)
    scaler = torch.amp.GradScaler("cpu")
    assert scaler.get_growth_interval() == 2000
    assert (scaler.get_growth_factor(), scaler.get_backoff_factor()) == (2, 0.5)
