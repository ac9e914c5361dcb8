"""The functions of chapter 11 against autograd, torch's cells, clipping, casts and scaler."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from torch.nn import functional

from dlbook import initialization
from dlbook.gradient_flow import (
    GATES,
    INITS,
    CellWeights,
    LossScaler,
    activation,
    chi,
    cliff_loss_and_grad,
    clip_by_norm,
    clip_by_value,
    dead_units,
    gradient_profile,
    input_gradients,
    jacobian_singular_values,
    lstm_forget_bias_,
    mlp_backward,
    parameter_gradients,
    recurrent_weights,
    rnn_gradients,
    rounded,
    survival,
)

explore = settings(deadline=None, derandomize=True, max_examples=60)
seeds = st.integers(0, 2**32 - 1)
TORCH: dict[str, Callable[..., Any]] = {
    "identity": lambda z: z,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "elu": functional.elu,
    "selu": functional.selu,
    "mish": functional.mish,
}
names = st.sampled_from(sorted(TORCH))


def tensor(array: Any, *, grad: bool = False) -> torch.Tensor:
    return torch.tensor(array, dtype=torch.float64, requires_grad=grad)


# --- activations ---


@pytest.mark.parametrize("name", sorted(TORCH))
def test_activations_and_their_derivatives(name: str) -> None:
    z = np.concatenate([np.linspace(-9, 9, 1801), [0.0, -30.0, 30.0]])
    phi, dphi = activation(name)
    leaf = tensor(z, grad=True)
    out = TORCH[name](leaf)
    out.sum().backward()
    assert leaf.grad is not None
    assert_allclose(phi(z), out.detach().numpy(), rtol=1e-12, atol=1e-14)
    assert_allclose(dphi(z), leaf.grad.numpy(), rtol=1e-10, atol=1e-13)
    assert phi(z.astype(np.float32)).dtype == dphi(z.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("name", "largest"),
    [("sigmoid", 0.25), ("tanh", 1), ("relu", 1), ("elu", 1), ("gelu", 1.129), ("silu", 1.100),
     ("mish", 1.088), ("selu", 1.758)],
)  # fmt: skip
def test_largest_derivatives(name: str, largest: float) -> None:
    _, dphi = activation(name)
    assert dphi(np.linspace(-6, 6, 24001)).max() == pytest.approx(largest, abs=6e-4)


def test_unknown_activation() -> None:
    with pytest.raises(ValueError, match="no activation is named 'swish'; there are: elu, gelu"):
        activation("swish")


# --- chi ---


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu", "gelu", "silu"])
@pytest.mark.parametrize("q", [0.3, 1.0, 2.5])
def test_chi_without_a_norm_is_the_slope_of_chapter_4(name: str, q: float) -> None:
    expected = initialization.slope(q, 1.3, initialization.ACTIVATIONS[name].derivative)
    assert chi(name, gain=1.3, q=q) == pytest.approx(float(expected), rel=2e-3)


@pytest.mark.parametrize("name", ["identity", "sigmoid", "tanh", "relu", "gelu"])
@pytest.mark.parametrize("normalization", ["none", "batch", "layer"])
def test_chi_by_a_fine_grid(name: str, normalization: str) -> None:
    z = np.linspace(-12, 12, 240001)
    weight = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
    phi, dphi = activation(name)
    below = {"none": 1.0, "layer": phi(z) ** 2 @ weight}
    below["batch"] = below["layer"] - (phi(z) @ weight) ** 2
    expected = dphi(z) ** 2 @ weight / below[normalization]
    assert chi(name, normalization) == pytest.approx(expected, rel=3e-3)


@pytest.mark.parametrize(
    ("normalization", "expected"),
    [("layer", [1, 1.179, 0.153, 1, 1.072]), ("batch", [1, 1.179, 1.034, 1.467, 1.319])],
)
def test_chi_behind_a_norm(normalization: str, expected: list[float]) -> None:
    found = [chi(n, normalization) for n in ("identity", "tanh", "sigmoid", "relu", "gelu")]
    assert_allclose(found, expected, rtol=2e-3)


def test_poincare() -> None:
    for name in TORCH:
        assert chi(name, "batch") >= 1 - 1e-9


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu", "gelu"])
@pytest.mark.parametrize("normalization", ["layer", "batch"])
def test_chi_against_nets(name: str, normalization: str) -> None:
    found = []
    for seed in range(3):
        delta = gradient_profile(
            24, activation=name, init="he", normalization=normalization, width=256, batch=256,
            seed=seed,
        ).delta  # fmt: skip
        found.append((delta[4] / delta[19]) ** (2 / 15))
    assert np.mean(found) == pytest.approx(chi(name, normalization), rel=0.05)


@pytest.mark.parametrize("batch", [4, 8, 16])
def test_linear_layers_behind_batch_norm_of_small_batches(batch: int) -> None:
    found = []
    for seed in range(4):
        delta = gradient_profile(
            30, activation="identity", init="he", normalization="batch", width=128, batch=batch,
            seed=seed,
        ).delta  # fmt: skip
        found.append((delta[4] / delta[24]) ** (2 / 20))
    assert np.mean(found) == pytest.approx((batch - 2) / (batch - 3), rel=0.13)


def test_chi_refuses() -> None:
    with pytest.raises(ValueError, match="normalization must be 'none', 'batch' or 'layer'"):
        chi("relu", "instance")
    with pytest.raises(ValueError, match="gain must be >= 0, got -1"):
        chi("relu", gain=-1)
    with pytest.raises(ValueError, match="no activation"):
        chi("step")


# --- a plain net ---


@explore
@given(seeds, names, st.lists(st.integers(1, 6), min_size=2, max_size=5), st.integers(1, 5))
def test_backward_is_autograd(seed: int, name: str, widths: list[int], batch: int) -> None:
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(b, a)) for a, b in pairwise(widths)]
    x, target = rng.normal(size=(batch, widths[0])), rng.normal(size=(batch, widths[-1]))
    leaves = [tensor(w, grad=True) for w in weights]
    hs = [tensor(x, grad=True)]
    for leaf in leaves:
        hs.append(TORCH[name](hs[-1] @ leaf.T))
        hs[-1].retain_grad()
    (0.5 * (hs[-1] - tensor(target)).square().sum() / batch).backward()
    found = mlp_backward(weights, x, target, name)
    for ours, theirs in zip(found.h, hs, strict=True):
        assert_allclose(ours, theirs.detach().numpy(), rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(found.delta + found.dW, hs + leaves, strict=True):
        assert theirs.grad is not None
        assert_allclose(ours, theirs.grad.numpy(), rtol=1e-12, atol=1e-12)


def test_homogeneous_layers_share_one_inner_product() -> None:
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(64, 64)) / 8 for _ in range(20)]
    found = mlp_backward(weights, rng.normal(size=(16, 64)), rng.normal(size=(16, 64)), "relu")
    products = [float((w * g).sum()) for w, g in zip(weights, found.dW, strict=True)]
    assert_allclose(products, products[0], rtol=1e-10)


def test_widths_have_to_meet() -> None:
    weights = [np.ones((64, 8)), np.ones((64, 64)), np.ones((5, 32))]
    with pytest.raises(ValueError, match="layer 3 expects 32 features, layer 2 gives 64"):
        mlp_backward(weights, np.ones((2, 8)), np.ones((2, 5)), "tanh")
    with pytest.raises(ValueError, match="layer 1 expects 8 features, x gives 7"):
        mlp_backward(weights, np.ones((2, 7)), np.ones((2, 5)), "tanh")
    with pytest.raises(ValueError, match=r"target must have shape \(2, 64\)"):
        mlp_backward(weights[:2], np.ones((2, 8)), np.ones((2, 5)), "tanh")
    with pytest.raises(ValueError, match="weights is empty"):
        mlp_backward([], np.ones((2, 8)), np.ones((2, 8)), "tanh")
    with pytest.raises(ValueError, match="weight 1 must be finite"):
        mlp_backward([np.full((2, 2), np.nan)], np.ones((2, 2)), np.ones((2, 2)), "tanh")


@explore
@given(seeds, names, st.integers(1, 4), st.integers(1, 6))
def test_singular_values_of_the_jacobian(seed: int, name: str, depth: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(width, width)) for _ in range(depth)]
    x = rng.normal(size=width)

    def net(h: torch.Tensor) -> torch.Tensor:
        for weight in weights:
            h = TORCH[name](tensor(weight) @ h)
        return h

    jacobian = torch.autograd.functional.jacobian(net, tensor(x))  # type: ignore[no-untyped-call]
    expected = torch.linalg.svdvals(jacobian).numpy()
    found = jacobian_singular_values(weights, x, name)
    assert_allclose(found, expected, rtol=1e-9, atol=1e-11 * max(1.0, expected[0]))


def test_the_gradient_lies_between_the_products_of_singular_values() -> None:
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=(8, 8)) for _ in range(5)]
    x = rng.normal(size=(1, 8))
    found = mlp_backward(weights, x, np.zeros((1, 8)), "tanh")
    ends = [jacobian_singular_values([w], h[0], "tanh")[[0, -1]]
            for w, h in zip(weights, found.h, strict=False)]  # fmt: skip
    high, low = np.prod(ends, axis=0)
    growth = np.linalg.norm(found.delta[0]) / np.linalg.norm(found.delta[-1])
    assert low <= growth <= high


# --- nets as they are built ---


@explore
@given(
    seeds, names, st.sampled_from(INITS), st.sampled_from(["none", "batch", "layer"]),
    st.booleans(), st.integers(1, 5),
)  # fmt: skip
def test_profile_is_autograd(
    seed: int, name: str, init: str, normalization: str, skip: bool, depth: int
) -> None:
    width, batch = 7, 6
    rng = np.random.default_rng(seed)
    h = tensor(rng.normal(size=(batch, width)), grad=True)
    labels = torch.tensor(rng.integers(10, size=batch))
    layers = []
    for rows in (*[width] * depth, 10):
        bias = np.zeros(rows)
        if init == "pytorch":
            weight = rng.uniform(-(width**-0.5), width**-0.5, (rows, width))
            bias = rng.uniform(-(width**-0.5), width**-0.5, rows)
        elif init == "orthogonal":
            weight = initialization.orthogonal((rows, width), rng)
        else:
            std = {"small": 0.01, "xavier": width**-0.5, "he": (2 / width) ** 0.5, "normal": 1}
            weight = std[init] * rng.normal(size=(rows, width))
        layers.append((tensor(weight, grad=True), tensor(bias)))

    def norm(z: torch.Tensor) -> torch.Tensor:
        if normalization == "batch":
            return functional.batch_norm(z, None, None, training=True)
        return functional.layer_norm(z, (width,)) if normalization == "layer" else z

    hs = []
    for weight, bias in layers[:-1]:
        if skip:
            h = h + functional.linear(TORCH[name](norm(h)), weight, bias)
        else:
            h = TORCH[name](norm(functional.linear(h, weight, bias)))
        h.retain_grad()
        hs.append(h)
    functional.cross_entropy(functional.linear(h, *layers[-1]), labels).backward()
    found = gradient_profile(
        depth, activation=name, init=init, normalization=normalization, skip=skip, width=width,
        batch=batch, seed=seed,
    )  # fmt: skip
    assert_allclose(found.h_std, [h.std(correction=0).item() for h in hs], rtol=1e-8, atol=1e-12)
    for ours, tensors in ((found.delta, hs), (found.weight_grad, [w for w, _ in layers[:-1]])):
        norms = [t.grad.norm().item() for t in tensors if t.grad is not None]
        assert_allclose(ours, norms, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize(
    ("settings_", "ratio", "factor"),
    [
        ({"activation": "identity", "init": "orthogonal"}, 1.0, 1.001),
        ({"activation": "relu", "init": "he"}, 0.24, 3),
        ({"activation": "relu", "init": "xavier"}, 9.8e-9, 3),
        ({"activation": "relu", "init": "pytorch"}, 6.5e-20, 4),
        ({"activation": "sigmoid", "init": "xavier"}, 1.4e-31, 1.5),
        ({"activation": "relu", "init": "he", "normalization": "batch"}, 1.45e4, 1.5),
        ({"activation": "sigmoid", "init": "xavier", "normalization": "batch"}, 5.5, 1.3),
        ({"activation": "relu", "init": "he", "normalization": "batch", "skip": True}, 9.0, 1.1),
        ({"activation": "relu", "init": "he", "normalization": "layer", "skip": True}, 5.2, 1.2),
        ({"activation": "relu", "init": "he", "skip": True}, 1.6e7, 2),
    ],
)
def test_ratios_at_depth_50(settings_: dict[str, Any], ratio: float, factor: float) -> None:
    found = gradient_profile(50, **settings_).ratio
    assert ratio / factor <= found <= ratio * factor


def test_ratio_of_bare_relu_layers_by_batch_norm() -> None:
    for depth, expected in ((10, 6), (20, 41), (30, 356), (50, 14503)):
        found = gradient_profile(depth, activation="relu", init="he", normalization="batch").ratio
        assert found == pytest.approx(expected, rel=0.45)


def test_norms_survive_where_float32_squares_do_not() -> None:
    found = gradient_profile(20, activation="sigmoid", init="small", dtype=np.float32)
    assert 0 < found.delta[0] < 1e-30


def test_profile_refuses() -> None:
    known: dict[str, Any] = {"activation": "relu", "init": "he"}
    with pytest.raises(ValueError, match="depth must be >= 1, got 0"):
        gradient_profile(0, **known)
    with pytest.raises(ValueError, match="batch norm needs at least 2 examples"):
        gradient_profile(3, **known, normalization="batch", batch=1)
    with pytest.raises(ValueError, match="init must be one of small, pytorch"):
        gradient_profile(3, activation="relu", init="glorot")
    with pytest.raises(ValueError, match="normalization must be"):
        gradient_profile(3, **known, normalization="group")
    with pytest.raises(ValueError, match="no activation"):
        gradient_profile(3, activation="maxout", init="he")
    with pytest.raises(TypeError, match="depth must be an integer"):
        gradient_profile(2.5, **known)  # type: ignore[arg-type]


def test_parameter_gradients_are_those_of_the_profile() -> None:
    flat = parameter_gradients(3, activation="tanh", init="pytorch", width=8, batch=5)
    assert flat.shape == (3 * 64 + 80 + 3 * 8 + 10,)
    profile = gradient_profile(3, activation="tanh", init="pytorch", width=8, batch=5)
    assert np.linalg.norm(flat[:64]) == pytest.approx(profile.weight_grad[0])


# --- clipping ---

arrays = st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=4), min_size=1, max_size=4)


def parameters(grads: Any) -> list[torch.nn.Parameter]:
    found = []
    for grad in grads:
        found.append(torch.nn.Parameter(tensor(np.zeros_like(grad))))
        found[-1].grad = tensor(grad)
    return found


@explore
@given(arrays, st.sampled_from([0.0, 1e-3, 1.0, 50.0]))
def test_clipping_is_torch(grads: list[list[float]], limit: float) -> None:
    given_ = [np.array(grad) for grad in grads]
    kept = [grad.copy() for grad in given_]
    leaves = parameters(given_)
    norm = torch.nn.utils.clip_grad_norm_(leaves, limit)
    clipped, total = clip_by_norm(given_, limit)
    assert total == pytest.approx(float(norm), rel=1e-12, abs=1e-300)
    for ours, leaf in zip(clipped, leaves, strict=True):
        assert leaf.grad is not None
        assert_allclose(ours, leaf.grad.numpy(), rtol=1e-12, atol=1e-290)
    leaves = parameters(given_)
    torch.nn.utils.clip_grad_value_(leaves, limit)
    for ours, leaf in zip(clip_by_value(given_, limit), leaves, strict=True):
        assert leaf.grad is not None
        assert_array_equal(ours, leaf.grad.numpy())
    for before, after in zip(kept, given_, strict=True):
        assert_array_equal(before, after)


def test_clipping_refuses() -> None:
    with pytest.raises(ValueError, match="total norm is inf; clipping would turn it into NaN"):
        clip_by_norm([np.array([np.inf, 1.0])], 1.0)
    with pytest.raises(ValueError, match="total norm is nan"):
        clip_by_norm([np.array([np.nan, 1.0])], 1.0)
    with pytest.raises(ValueError, match="max_norm must be >= 0, got nan"):
        clip_by_norm([np.ones(2)], math.nan)
    with pytest.raises(ValueError, match="limit must be >= 0, got -1"):
        clip_by_value([np.ones(2)], -1.0)
    assert clip_by_norm([], 1.0) == ([], 0.0)
    assert clip_by_value([], 1.0) == []


def test_a_norm_that_overflows_float32_is_still_right() -> None:
    clipped, total = clip_by_norm([np.array([1e20, 1e20], dtype=np.float32)], 1.0)
    assert total == pytest.approx(math.sqrt(2) * 1e20, rel=1e-6)
    assert_allclose(clipped[0], [0.5**0.5] * 2, rtol=1e-6)


@explore
@given(st.floats(2, 9.5), st.floats(-6, 1), st.integers(1, 50))
def test_cliff_is_autograd(w: float, b: float, steps: int) -> None:
    weight, bias = tensor(w, grad=True), tensor(b, grad=True)
    x = tensor(0.5)
    for _ in range(steps):
        x = weight * torch.sigmoid(x) + bias
    loss = (torch.sigmoid(x) - 0.7) ** 2
    loss.backward()
    found = cliff_loss_and_grad(w, b, steps)
    assert weight.grad is not None
    assert bias.grad is not None
    largest = max(abs(float(weight.grad)), abs(float(bias.grad)), 1e-9)
    assert float(found.loss) == pytest.approx(loss.item(), rel=1e-7, abs=1e-12)
    for ours, theirs in ((found.dw, weight.grad), (found.db, bias.grad)):
        assert float(ours) == pytest.approx(float(theirs), rel=1e-6, abs=1e-7 * largest)


def test_cliff_by_central_differences_and_broadcast() -> None:
    w, b, step = np.array([5.0, 6.0]), np.array([[-3.0], [-2.0]]), 1e-6
    found = cliff_loss_and_grad(w, b)
    assert found.loss.shape == (2, 2)
    for ours, moved in ((found.dw, (step, 0)), (found.db, (0, step))):
        high = cliff_loss_and_grad(w + moved[0], b + moved[1]).loss
        low = cliff_loss_and_grad(w - moved[0], b - moved[1]).loss
        assert_allclose(ours, (high - low) / (2 * step), rtol=1e-4, atol=1e-8)
    with pytest.raises(ValueError, match="steps must be >= 1"):
        cliff_loss_and_grad(5.0, -3.0, steps=0)


# --- through time ---


def torch_cell(cell: str, weights: CellWeights) -> Any:
    width = weights.w_hh.shape[1]
    make = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell]
    module = make(width, width).double()
    with torch.no_grad():
        module.weight_ih_l0.copy_(tensor(weights.w_ih))
        module.weight_hh_l0.copy_(tensor(weights.w_hh))
        module.bias_ih_l0.copy_(tensor(weights.bias))
        module.bias_hh_l0.zero_()
    return module


@explore
@given(
    st.sampled_from(sorted(GATES)), st.floats(0, 3), st.floats(-2, 4), st.integers(1, 8),
    st.integers(1, 5), st.integers(1, 3), seeds,
)  # fmt: skip
def test_gradients_through_time_are_autograd(
    cell: str, scale: float, bias: float, steps: int, width: int, batch: int, seed: int
) -> None:
    weights = recurrent_weights(cell, scale, bias, width=width, seed=seed)
    rng = np.random.default_rng(seed)
    x, dh = rng.normal(size=(steps, batch, width)), rng.normal(size=(batch, width))
    leaf = tensor(x, grad=True)
    torch_cell(cell, weights)(leaf)[0][-1].backward(tensor(dh))
    assert leaf.grad is not None
    found = input_gradients(cell, weights, x, dh)
    assert_allclose(found, leaf.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_rnn_gradients_are_their_norms() -> None:
    found = rnn_gradients("lstm", 1.0, 1.0, steps=5, width=4, batch=2, seed=3)
    weights = recurrent_weights("lstm", 1.0, 1.0, width=4, seed=3)
    rng = np.random.default_rng(4)
    x, dh = rng.normal(size=(5, 2, 4)), rng.normal(size=(2, 4))
    each = input_gradients("lstm", weights, x, dh)
    assert_allclose(found, np.linalg.norm(each.reshape(5, -1), axis=1), rtol=1e-12)


def test_recurrent_cells_refuse() -> None:
    with pytest.raises(ValueError, match="cell must be 'rnn', 'gru' or 'lstm', got 'mgu'"):
        rnn_gradients("mgu", 1.0)
    with pytest.raises(ValueError, match="scale must be >= 0"):
        rnn_gradients("gru", -1.0)
    with pytest.raises(ValueError, match="steps must be >= 1"):
        rnn_gradients("gru", 1.0, steps=0)
    weights = recurrent_weights("gru", 1.0, width=3)
    with pytest.raises(ValueError, match=r"dh must have shape \(1, 3\), got \(2, 3\)"):
        input_gradients("gru", weights, np.ones((4, 1, 3)), np.ones((2, 3)))


@pytest.mark.parametrize(("layers", "both"), [(1, False), (3, False), (2, True)])
def test_forget_bias(layers: int, both: bool) -> None:
    lstm = torch.nn.LSTM(5, 4, num_layers=layers, bidirectional=both)
    before = {name: p.detach().clone() for name, p in lstm.named_parameters()}
    lstm_forget_bias_(lstm, 2.0)
    for name, parameter in lstm.named_parameters():
        expected = before[name].clone()
        if "bias" in name:
            expected[4:8] = 2.0 if "ih" in name else 0.0
        assert torch.equal(parameter, expected)


def test_forget_bias_is_that_of_the_forget_gate() -> None:
    lstm = torch.nn.LSTM(3, 3).double()
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.zero_()
    lstm_forget_bias_(lstm, 1.5)
    start = (torch.zeros(1, 1, 3).double(), torch.ones(1, 1, 3).double())
    _, (_, c) = lstm(torch.zeros(1, 1, 3).double(), start)
    assert_allclose(c.detach().numpy(), 1 / (1 + math.exp(-1.5)))


def test_forget_bias_refuses() -> None:
    with pytest.raises(TypeError, match=r"lstm must be a torch\.nn\.LSTM, got GRU"):
        lstm_forget_bias_(torch.nn.GRU(2, 2), 1.0)
    with pytest.raises(ValueError, match="bias=False"):
        lstm_forget_bias_(torch.nn.LSTM(2, 2, bias=False), 1.0)
    with pytest.raises(ValueError, match="value must be finite"):
        lstm_forget_bias_(torch.nn.LSTM(2, 2), math.inf)


# --- dead units, and float16 ---


def test_dead_units() -> None:
    assert_array_equal(
        dead_units([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [-0.0, 2.0, 1e-30]]), [True, False, False]
    )
    with pytest.raises(ValueError, match="h is empty"):
        dead_units(np.ones((0, 3)))
    with pytest.raises(ValueError, match="h must be finite"):
        dead_units([[np.nan]])


@explore
@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20),
    st.sampled_from(["float16", "bfloat16"]),
)
def test_rounding_is_casting(values: list[float], dtype: str) -> None:
    theirs = torch.tensor(values, dtype=torch.float32).to(getattr(torch, dtype)).double()
    assert_array_equal(rounded(values, dtype), theirs.numpy())


@explore
@given(seeds, st.integers(0, 36), st.sampled_from(["float16", "bfloat16"]))
def test_survival_is_casting(seed: int, scale: int, dtype: str) -> None:
    rng = np.random.default_rng(seed)
    grad = (rng.normal(size=50) * 10.0 ** rng.uniform(-14, 2, size=50)).astype(np.float32)
    cast = (torch.tensor(grad) * 2.0**scale).to(getattr(torch, dtype)).abs()
    tiny = torch.finfo(getattr(torch, dtype)).tiny
    expected = [
        cast == 0, (cast > 0) & (cast < tiny), (cast >= tiny) & cast.isfinite(), cast.isinf(),
    ]  # fmt: skip
    assert_allclose(survival(grad, scale, dtype), [float(e.double().mean()) for e in expected])


def test_edges_of_float16() -> None:
    assert_array_equal(rounded([2.0**-24, 2.0**-25, 65504, 65519, 65520], "float16"),
                       [2.0**-24, 0, 65504, 65504, np.inf])  # fmt: skip
    assert survival([0.0, 1.0, 2.0**-26], 0) == (0.5, 0, 0.5, 0)
    assert survival([0.0, 1.0, 2.0**-26], 2) == (0, 0.5, 0.5, 0)
    with pytest.raises(ValueError, match="grad has no entry but 0"):
        survival(np.zeros(3), 0)
    with pytest.raises(ValueError, match="grad must be finite, got inf"):
        survival([np.inf], 0)
    with pytest.raises(ValueError, match="dtype must be one of float16, bfloat16, got 'float8'"):
        survival([1.0], 0, "float8")


@explore
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 4))
def test_scaler_is_torchs(good: list[bool], interval: int) -> None:
    ours = LossScaler(1024.0, growth_interval=interval)
    theirs = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=interval)
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    theirs.scale(torch.zeros(1))
    for finite in good:
        before = weight.item()
        weight.grad = torch.tensor([1.0 if finite else math.inf]) * theirs.get_scale()
        theirs.step(optimizer)
        theirs.update()
        stepped = ours.update([np.array([1.0 if finite else np.inf])])
        assert ours.scale == theirs.get_scale()
        assert stepped == (weight.item() != before) == finite


def test_scaler_refuses() -> None:
    refused: list[dict[str, Any]] = [
        {"init_scale": 0.0},
        {"growth_factor": 1.0},
        {"backoff_factor": 1.0},
    ]
    for values in refused:
        with pytest.raises(ValueError, match="is out of its range"):
            LossScaler(**values)
    with pytest.raises(ValueError, match="growth_interval must be >= 1"):
        LossScaler(growth_interval=0)
