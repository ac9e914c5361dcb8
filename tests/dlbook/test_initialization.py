"""Chapter 4's reference functions: against ``torch.nn.init``, autograd and closed forms."""

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

from dlbook.initialization import (
    ACTIVATIONS,
    TwoLayers,
    backpropagate,
    correlation_map,
    fan_in_fan_out,
    fixed_point,
    gain,
    kaiming_normal,
    kaiming_uniform,
    length_map,
    linear_default,
    orthogonal,
    preserving_gain,
    propagate,
    slope,
    train_symmetric,
    truncated_normal,
    xavier_normal,
    xavier_uniform,
)

Law = Callable[..., Any]

sizes = st.lists(st.integers(1, 7), min_size=2, max_size=5).map(tuple)
gains = st.floats(0, 10)
slopes = st.floats(-3, 3)
NAMES = {
    "linear": torch.nn.functional.linear,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "selu": torch.nn.functional.selu,
    "gelu": torch.nn.functional.gelu,
    "silu": torch.nn.functional.silu,
}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class Drawn:
    """Stands in for a tensor that torch fills: it keeps what law torch asks for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.law: tuple[float, float] = (0.0, 0.0)

        def keep(tensor: Any, low: float, high: float, generator: Any = None) -> Any:
            self.law = (low, high)
            return tensor

        def keep_inside(tensor: Any, low: float, high: float, *, generator: Any = None) -> Any:
            return keep(tensor, low, high)

        monkeypatch.setattr(torch.nn.init, "_no_grad_uniform_", keep)
        monkeypatch.setattr(torch.nn.init, "_no_grad_normal_", keep)
        monkeypatch.setattr(torch.Tensor, "uniform_", keep_inside)
        monkeypatch.setattr(torch.Tensor, "normal_", keep_inside)


class Asked(np.random.Generator):
    """A generator that keeps the law it was asked for."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))
        self.law: tuple[float, float] = (0.0, 0.0)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        self.law = (low, high)
        return super().uniform(low, high, size)

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        self.law = (loc, scale)
        return super().normal(loc, scale, size)


def law_of(function: Law, *args: Any, **options: Any) -> tuple[float, float]:
    asked = Asked()
    function(*args, asked, **options)
    return asked.law


# --- fans and gains ---


@given(sizes)
def test_fans_are_those_of_torch(shape: tuple[int, ...]) -> None:
    theirs = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
    assert fan_in_fan_out(shape) == theirs


def test_fans_of_a_convolution() -> None:
    assert fan_in_fan_out((128, 64, 3, 3)) == (576, 1152)
    assert fan_in_fan_out((64, 1, 3, 3)) == (9, 576)
    assert fan_in_fan_out((64, 1, 3, 3), groups=64) == (9, 9)
    assert fan_in_fan_out((64, 16, 3, 3), transposed=True) == (576, 144)


@given(
    groups=st.integers(1, 3),
    inputs=st.integers(1, 3),
    outputs=st.integers(1, 3),
    kernel=st.integers(1, 3),
    transposed=st.booleans(),
)
def test_fans_count_the_connections(
    groups: int, inputs: int, outputs: int, kernel: int, transposed: bool
) -> None:
    """Make all weights 1: an inner output then counts its inputs, and the other way round."""
    kind = torch.nn.ConvTranspose1d if transposed else torch.nn.Conv1d
    layer = kind(groups * inputs, groups * outputs, kernel, groups=groups, bias=False)
    torch.nn.init.ones_(layer.weight)
    x = torch.ones(1, groups * inputs, 12, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert x.grad is not None
    counted = int(y[0, 0, y.shape[2] // 2].item()), int(x.grad[0, 0, 6].item())
    shape = tuple(layer.weight.shape)
    assert fan_in_fan_out(shape, groups=groups, transposed=transposed) == counted


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((5,), {}, r"need 2 or more dimensions, got shape \(5,\)"),
        ((), {}, r"need 2 or more dimensions"),
        ((4, 0), {}, r"fan_in is 0: the shape is \(4, 0\)"),
        ((4, 3, 0), {}, r"fan_in is 0"),
        ((0, 4), {}, r"fan_out is 0"),
        ((4, 4), {"groups": 3}, r"groups must divide shape\[0\], got 3 and 4"),
        ((4, 4), {"groups": 0}, r"groups must be >= 1, got 0"),
        ((4, -1), {}, r"a size must be >= 0, got -1"),
    ],
)
def test_shapes_without_fans_are_refused(shape: Any, options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fan_in_fan_out(shape, **options)


def test_sizes_are_integers() -> None:
    with pytest.raises(TypeError, match=r"a size must be an integer, got 2.5"):
        fan_in_fan_out((3, 2.5))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    [
        "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
        "conv_transpose3d", "sigmoid", "tanh", "relu", "leaky_relu", "selu",
    ],
)  # fmt: skip
def test_gains_are_those_of_torch(name: Any) -> None:
    assert gain(name) == torch.nn.init.calculate_gain(name)


@given(slopes)
def test_gain_of_leaky_relu(a: float) -> None:
    assert gain("leaky_relu", a) == torch.nn.init.calculate_gain("leaky_relu", a)


def test_unknown_gains_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no gain is known for 'gelu'; there are: conv1d, .*tanh"):
        gain("gelu")
    with pytest.raises(ValueError, match="Unsupported nonlinearity gelu"):
        torch.nn.init.calculate_gain("gelu")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative slope must be finite, got nan"):
        gain("leaky_relu", math.nan)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("linear", 1.0), ("relu", 1.414), ("tanh", 1.593), ("gelu", 1.534), ("silu", 1.677),
        ("selu", 1.000), ("sigmoid", 1.846),
    ],
)  # fmt: skip
def test_preserving_gains(name: str, value: float) -> None:
    phi = ACTIVATIONS[name].function
    assert preserving_gain(phi) == pytest.approx(value, abs=5e-4)
    sample = phi(rng().normal(size=400_000))
    assert preserving_gain(phi) == pytest.approx(1 / math.sqrt((sample**2).mean()), rel=0.01)


def test_no_gain_preserves_nothing() -> None:
    with pytest.raises(ValueError, match=r"second moment 0.0 under a standard normal: no gain"):
        preserving_gain(np.zeros_like)
    with pytest.raises(ValueError, match=r"nodes must be >= 1, got 0"):
        preserving_gain(np.tanh, nodes=0)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_and_derivatives_are_those_of_torch(name: str, dtype: Any) -> None:
    z = np.concatenate([np.linspace(-6, 6, 101), [0.0, -30, 30]]).astype(dtype)
    theirs = torch.tensor(z, requires_grad=True)
    output = theirs * 1 if name == "linear" else NAMES[name](theirs)
    output.sum().backward()
    assert theirs.grad is not None
    phi, derivative = ACTIVATIONS[name]
    tolerance = {"atol": 1e-6 if dtype == np.float32 else 1e-14, "rtol": 1e-6}
    assert phi(z).dtype == derivative(z).dtype == dtype
    assert_allclose(phi(z), output.detach().numpy(), **tolerance)
    assert_allclose(derivative(z), theirs.grad.numpy(), **tolerance)


# --- laws ---


@given(shape=sizes, g=gains)
def test_xavier_laws_are_those_of_torch(shape: tuple[int, ...], g: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        drawn = Drawn(patch)
        torch.nn.init.xavier_uniform_(torch.empty(shape), g)
        assert_allclose(law_of(xavier_uniform, shape, gain=g), drawn.law, rtol=1e-14)
        torch.nn.init.xavier_normal_(torch.empty(shape), g)
        assert_allclose(law_of(xavier_normal, shape, gain=g), drawn.law, rtol=1e-14)


@given(
    shape=sizes,
    mode=st.sampled_from(["fan_in", "fan_out"]),
    nonlinearity=st.sampled_from(["relu", "leaky_relu", "linear", "tanh", "selu"]),
    a=slopes,
)
def test_kaiming_laws_are_those_of_torch(
    shape: tuple[int, ...], mode: Any, nonlinearity: Any, a: float
) -> None:
    options = {"mode": mode, "nonlinearity": nonlinearity, "a": a}
    with pytest.MonkeyPatch.context() as patch:
        drawn = Drawn(patch)
        torch.nn.init.kaiming_uniform_(torch.empty(shape), **options)
        assert_allclose(law_of(kaiming_uniform, shape, **options), drawn.law, rtol=1e-14)
        torch.nn.init.kaiming_normal_(torch.empty(shape), **options)
        assert_allclose(law_of(kaiming_normal, shape, **options), drawn.law, rtol=1e-14)


@given(n_out=st.integers(1, 5), n_in=st.integers(1, 300))
def test_the_default_of_a_linear_layer(n_out: int, n_in: int) -> None:
    asked = Asked()
    weight, bias = linear_default(n_out, n_in, asked)
    assert weight.shape == (n_out, n_in)
    assert bias.shape == (n_out,)
    with pytest.MonkeyPatch.context() as patch:
        layer = torch.nn.Linear(n_in, n_out)
        drawn = Drawn(patch)
        layer.reset_parameters()  # the bias comes last
        assert_allclose(asked.law, drawn.law, rtol=1e-14)
        torch.nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5))
        assert_allclose(asked.law, drawn.law, rtol=1e-14)
    assert max(abs(weight).max(), abs(bias).max()) <= 1 / math.sqrt(n_in)
    assert layer.weight.abs().max().item() <= 1 / math.sqrt(n_in) + 1e-7


SHAPE = (120, 40, 3)
N = math.prod(SHAPE)
RANDOM: list[tuple[Law, float]] = [
    (xavier_uniform, 2 / 480),
    (xavier_normal, 2 / 480),
    (kaiming_uniform, 2 / 120),
    (kaiming_normal, 2 / 120),
]


@pytest.mark.parametrize(("law", "variance"), RANDOM, ids=lambda v: getattr(v, "__name__", ""))
@pytest.mark.parametrize("seed", range(3))
def test_draws_have_the_variance(law: Law, variance: float, seed: int) -> None:
    sample = law(SHAPE, rng(seed))
    assert sample.shape == SHAPE
    assert sample.var() / variance == pytest.approx(1, abs=5 * math.sqrt(2 / N))
    assert abs(sample.mean()) < 5 * math.sqrt(variance / N)


@pytest.mark.parametrize(("law", "variance"), RANDOM, ids=lambda v: getattr(v, "__name__", ""))
def test_draws_follow_the_law(law: Law, variance: float) -> None:
    """Kolmogorov and Smirnov's distance; beyond 1.95/√N once in a thousand draws."""
    sample = np.sort(law(SHAPE, rng(7)).ravel()) / math.sqrt(variance)
    if "uniform" in law.__name__:
        exact = np.clip((sample / math.sqrt(3) + 1) / 2, 0, 1)
        assert abs(sample).max() <= math.sqrt(3) * (1 + 1e-12)
    else:
        exact = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in sample])
    steps = np.arange(N + 1) / N
    distance = max((steps[1:] - exact).max(), (exact - steps[:-1]).max())
    assert distance < 1.95 / math.sqrt(N)


def test_the_same_seed_gives_the_same_weights() -> None:
    for law in (xavier_uniform, kaiming_normal, orthogonal):
        assert_array_equal(law((3, 4), rng(1)), law((3, 4), rng(1)))
        assert not np.array_equal(law((3, 4), rng(1)), law((3, 4), rng(2)))


def test_laws_refuse_by_name() -> None:
    with pytest.raises(ValueError, match=r"gain must be >= 0, got -1"):
        xavier_normal((2, 2), rng(), gain=-1)
    with pytest.raises(ValueError, match=r"mode must be 'fan_in' or 'fan_out', got 'fan'"):
        kaiming_normal((2, 2), rng(), mode="fan")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"no gain is known for 'swish'"):
        kaiming_uniform((2, 2), rng(), nonlinearity="swish")
    with pytest.raises(ValueError, match=r"need 2 or more dimensions"):
        kaiming_uniform((2,), rng())
    with pytest.raises(ValueError, match=r"n_in must be >= 1, got 0"):
        linear_default(3, 0, rng())
    with pytest.raises(ValueError, match=r"std must be >= 0, got -0.1"):
        truncated_normal((2,), rng(), std=-0.1)
    with pytest.raises(ValueError, match=r"bound must be >= 0.1 standard deviations, got nan"):
        truncated_normal((2,), rng(), std=1, bound=math.nan)
    with pytest.raises(ValueError, match=r"gain must be >= 0"):
        orthogonal((2, 2), rng(), gain=-2)
    with pytest.raises(ValueError, match=r"fan_in is 0"):
        orthogonal((2, 0), rng())


def test_truncation_counts_in_standard_deviations() -> None:
    sample = truncated_normal((400, 200), rng(), std=0.02)
    assert abs(sample).max() <= 0.04
    assert sample.std() / 0.02 == pytest.approx(0.880, abs=0.005)
    theirs = torch.nn.init.trunc_normal_(torch.empty(400, 200), std=0.02)
    assert theirs.abs().max().item() > 0.08  # its bounds are -2 and 2, absolute
    unit = torch.nn.init.trunc_normal_(torch.empty(400, 200))
    assert unit.std().item() == pytest.approx(0.880, abs=0.01)
    assert not truncated_normal((3,), rng(), std=0).any()


@given(rows=st.integers(1, 8), columns=st.integers(1, 8), g=st.floats(0.1, 3))
def test_orthogonal_has_one_singular_value(rows: int, columns: int, g: float) -> None:
    q = orthogonal((rows, columns), rng(rows + 10 * columns), gain=g)
    assert q.shape == (rows, columns)
    assert_allclose(np.linalg.svd(q, compute_uv=False), g, rtol=1e-12)
    theirs = torch.nn.init.orthogonal_(torch.empty(rows, columns, dtype=torch.float64), gain=g)
    assert_allclose(np.linalg.svd(theirs.numpy(), compute_uv=False), g, rtol=1e-12)


def test_orthogonal_takes_the_kernel_to_the_inputs() -> None:
    q = orthogonal((6, 4, 3, 3), rng()).reshape(6, 36)
    assert_allclose(q @ q.T, np.eye(6), atol=1e-14)


def test_orthogonal_signs_are_fair() -> None:
    """Without the signs of R, the first entry of LAPACK's Q would always be negative."""
    generator = rng(3)
    entries = [orthogonal((3, 3), generator)[0, 0] for _ in range(2000)]
    assert abs(np.mean(np.array(entries) < 0) - 0.5) < 5 * 0.5 / math.sqrt(2000)
    plain = [np.linalg.qr(generator.normal(size=(3, 3)))[0][0, 0] for _ in range(200)]
    assert abs(np.mean(np.array(plain) < 0) - 0.5) > 0.45


# --- a signal through many layers ---


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_propagation_and_its_gradient_are_those_of_autograd(name: str) -> None:
    phi, derivative = ACTIVATIONS[name]
    widths, generator = [5, 7, 3, 4], rng(1)
    weights = [
        generator.normal(size=(n_out, n_in)) / math.sqrt(n_in) for n_in, n_out in pairwise(widths)
    ]
    x, gradient = generator.normal(size=(6, 5)), generator.normal(size=(6, 4))
    layers = propagate(x, weights, phi)
    gradients = backpropagate(gradient, layers, weights, derivative)
    theirs = [torch.tensor(x, requires_grad=True)]
    for weight in weights:
        z = theirs[-1] @ torch.tensor(weight).T
        theirs.append(z * 1 if name == "linear" else NAMES[name](z))
        theirs[-1].retain_grad()
    theirs[-1].backward(torch.tensor(gradient))
    for layer, h in zip(layers, theirs[1:], strict=True):
        assert_allclose(layer.h, h.detach().numpy(), rtol=1e-12, atol=1e-14)
    assert len(gradients) == len(theirs)
    for mine, h in zip(gradients, theirs, strict=True):
        assert h.grad is not None
        assert_allclose(mine, h.grad.numpy(), rtol=1e-10, atol=1e-13)


def test_propagation_keeps_float32_and_refuses_what_does_not_fit() -> None:
    x = np.ones((2, 3), np.float32)
    (layer,) = propagate(x, [np.ones((4, 3), np.float32)], np.tanh)
    assert layer.z.dtype == layer.h.dtype == np.float32
    assert propagate(x, [], np.tanh) == []
    with pytest.raises(ValueError, match=r"weight 2 has shape \(4, 3\), which does not fit"):
        propagate(x, [np.ones((4, 3)), np.ones((4, 3))], np.tanh)
    with pytest.raises(TypeError, match="x has dtype int64"):
        propagate(np.ones((2, 3), int), [], np.tanh)
    with pytest.raises(ValueError, match="there are 1 layers, but 0 weights"):
        backpropagate(x, [layer], [], np.tanh)


# --- infinitely wide layers ---


@pytest.mark.parametrize("name", ["tanh", "relu", "gelu"])
def test_the_maps_are_those_of_a_wide_layer(name: str) -> None:
    """One layer of 40,000 units, and two inputs with pre-activations of length 1.5."""
    phi, derivative = ACTIVATIONS[name]
    q, c, sigma_w, sigma_b = 1.5, 0.6, 1.3, 0.3
    shared, own = rng(2).normal(size=(2, 400_000))
    first = math.sqrt(q) * shared
    second = math.sqrt(q) * (c * shared + math.sqrt(1 - c**2) * own)
    moment = sigma_w**2 * (phi(first) ** 2).mean() + sigma_b**2
    product = sigma_w**2 * (phi(first) * phi(second)).mean() + sigma_b**2
    assert float(length_map(q, sigma_w, sigma_b, phi)) == pytest.approx(moment, rel=0.01)
    mapped = float(correlation_map(c, q, sigma_w, sigma_b, phi))
    assert mapped == pytest.approx(product / moment, abs=0.01)
    chi = sigma_w**2 * (derivative(first) ** 2).mean()
    assert float(slope(q, sigma_w, derivative)) == pytest.approx(chi, rel=0.01)


@settings(deadline=None)
@given(q=st.floats(0, 1e6), w=st.floats(0, 5), b=st.floats(0, 5))
def test_the_length_map_of_relu_and_of_nothing(q: float, w: float, b: float) -> None:
    relu, linear = ACTIVATIONS["relu"].function, ACTIVATIONS["linear"].function
    assert_allclose(length_map(q, w, b, relu), w**2 * q / 2 + b**2, rtol=1e-10)
    assert_allclose(length_map(q, w, b, linear), w**2 * q + b**2, rtol=1e-10)


def test_the_correlation_map_of_relu_has_a_closed_form() -> None:
    """The arc-cosine kernel of Cho and Saul 2009, divided by its value at 1."""
    c = np.linspace(-1, 1, 21)
    exact = (np.sqrt(1 - c**2) + c * (math.pi - np.arccos(c))) / math.pi
    ours = correlation_map(c, 1.0, math.sqrt(2), 0.0, ACTIVATIONS["relu"].function)
    assert_allclose(ours, exact, atol=4e-3)


def test_chi_is_the_slope_of_the_correlation_map_at_one() -> None:
    phi, derivative = ACTIVATIONS["tanh"]
    q = fixed_point(1.3, 0.3, phi)
    assert_allclose(length_map(q, 1.3, 0.3, phi), q, rtol=1e-12)
    step = 1e-6
    below = correlation_map(1 - step, q, 1.3, 0.3, phi)
    assert float((1 - below) / step) == pytest.approx(float(slope(q, 1.3, derivative)), rel=1e-3)


def test_lengths_that_vanish_stay_and_explode() -> None:
    relu = ACTIVATIONS["relu"].function
    ends = fixed_point([1.0, math.sqrt(2), 2.0], 0.0, relu, n_steps=3000)
    assert ends[0] == 0
    assert ends[1] == pytest.approx(1)
    assert np.isinf(ends[2])
    tanh, derivative = ACTIVATIONS["tanh"]
    slow = [float(fixed_point(1.0, 0.0, tanh, n_steps=n)) for n in (300, 3000)]
    assert slow[0] / slow[1] == pytest.approx(10, rel=0.05)  # as one over the depth
    chis = [f"{float(slope(q, 1.0, derivative)):.4f}" for q in slow]
    assert chis == ["0.9967", "0.9997"]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda: length_map(-1, 1, 0, np.tanh), r"q must be >= 0, got -1"),
        (lambda: length_map(1, math.nan, 0, np.tanh), r"sigma_w must be >= 0, got nan"),
        (lambda: length_map(1, 1, -2, np.tanh), r"sigma_b must be >= 0, got -2"),
        (lambda: correlation_map(1.5, 1, 1, 0, np.tanh), r"c must be from -1 to 1, got 1.5"),
        (lambda: correlation_map(0, 0, 1, 0, np.tanh), r"q must be > 0 and finite, got 0"),
        (lambda: correlation_map(0, 1, 0, 0, np.tanh), r"sigma_w and sigma_b are both 0"),
        (lambda: slope(math.inf, 1, np.tanh), r"q must be finite, got inf"),
        (lambda: fixed_point(1, 0, np.tanh, n_steps=0), r"n_steps must be >= 1, got 0"),
    ],
)
def test_maps_refuse_by_name(function: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        function()


# --- symmetry ---


def data() -> tuple[Any, Any]:
    x = rng(0).uniform(-1.5, 1.5, size=(48, 2))
    return x, np.sign(x[:, 0] * x[:, 1])


def equal_units(constant: float, spread: float = 0.0, units: int = 6) -> TwoLayers:
    generator = rng(1)
    return TwoLayers(
        constant + spread * generator.normal(size=(1, units, 2)),
        np.zeros((1, units)),
        constant + spread * generator.normal(size=(1, units)),
        np.zeros(1),
    )


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
@pytest.mark.parametrize("constant", [0.0, 0.1, 0.5, 1.0])
def test_equal_units_stay_equal_to_the_last_bit(activation: str, constant: float) -> None:
    x, y = data()
    nets, _ = train_symmetric(x, y, equal_units(constant), activation, lr=0.5, record=[0, 2000])
    for part in nets[:3]:
        assert_array_equal(part, np.repeat(part[:, :, :1], 6, axis=2))


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
def test_training_is_that_of_torch(activation: str) -> None:
    x, y = data()
    start = equal_units(0.3, spread=0.5)
    nets, loss = train_symmetric(x, y, start, activation, lr=0.5, record=[0, 1, 20])
    parts = [torch.tensor(part[0], requires_grad=True) for part in start]
    w, b, a, c = parts
    for step in range(21):
        output = NAMES[activation](torch.tensor(x) @ w.T + b) @ a + c
        theirs = torch.nn.functional.softplus(-torch.tensor(y) * output).mean()
        if step in (0, 1, 20):
            place = (0, 1, 20).index(step)
            assert_allclose(loss[place, 0], theirs.item(), rtol=1e-10)
            for mine, part in zip(nets, parts, strict=True):
                assert_allclose(mine[place, 0], part.detach().numpy(), rtol=1e-8, atol=1e-12)
        grads = torch.autograd.grad(theirs, parts)
        with torch.no_grad():
            for part, grad in zip(parts, grads, strict=True):
                part -= 0.5 * grad


def test_training_leaves_its_start_alone_and_nets_apart() -> None:
    x, y = data()
    one, other = equal_units(0.5, 0.1), equal_units(0.0, 0.2)
    both = TwoLayers(*(np.concatenate(pair) for pair in zip(one, other, strict=True)))
    kept = [part.copy() for part in both]
    together = train_symmetric(x, y, both, "tanh", lr=0.5, record=[50])
    alone = train_symmetric(x, y, other, "tanh", lr=0.5, record=[50])
    assert_allclose(together.nets.weight[:, 1], alone.nets.weight[:, 0], rtol=1e-12)
    assert_allclose(together.loss[:, 1], alone.loss[:, 0], rtol=1e-12)
    for part, before in zip(both, kept, strict=True):
        assert_array_equal(part, before)


def test_training_refuses_by_name() -> None:
    x, y = data()
    start = equal_units(0.5)
    good: dict[str, Any] = {
        "x": x, "y": y, "start": start, "activation": "tanh", "lr": 0.5, "record": [0, 3],
    }  # fmt: skip
    for changes, words in (
        ({"x": x[:, :1]}, r"x must have shape \(N, 2\), got \(48, 1\)"),
        ({"y": y[1:]}, r"y must have shape \(48,\), got \(47,\)"),
        ({"y": np.zeros(48)}, r"y must be -1 or 1, got 0"),
        ({"activation": "elu"}, r"no activation is named 'elu'; there are: gelu, linear"),
        ({"lr": 0.0}, r"lr must be above 0 and finite, got 0"),
        ({"record": []}, r"record must be rising steps from 0 on, got \[\]"),
        ({"record": [3, 3]}, r"record must be rising"),
        ({"start": start._replace(bias=np.zeros((1, 5)))}, r"start must have shapes"),
        ({"start": start._replace(bias=np.zeros(6))}, r"start must have shapes"),
    ):
        with pytest.raises(ValueError, match=words):
            train_symmetric(**(good | changes))
