"""The figures of chapter 11: controls, the numbers of their captions, named failures, bounds."""

from __future__ import annotations

import math
import re
from itertools import product
from typing import Any

import numpy as np
import pytest
from support.chapters import Defaults, figure_in, namespace_with

from dlbook.gradient_flow import jacobian_singular_values

NOTEBOOK = "11_gradient_flow.ipynb"
STATES = {
    "layer_product": 1140,
    "depth_lab": 900,
    "jacobian_spectrum": 360,
    "through_time": 120,
    "cliff": 1404,
    "loss_scale": 666,
}


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    return namespace_with(NOTEBOOK, "loss_scale")


@pytest.fixture(scope="module")
def at(namespace: dict[str, Any]) -> dict[str, Defaults]:
    return {name: Defaults(figure_in(namespace, name)) for name in STATES}


RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def number(pattern: str, text: str) -> float:
    """Return the number behind a pattern, such as 160, 0.3, 2.5·10⁻¹³ or 10⁻¹⁶."""
    digits, power = r"(\d+(?:\.\d+)?)", r"10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)"
    found = re.search(rf"{pattern} (?:{digits}·)?{power}|{pattern} {digits}", text)
    assert found is not None, text
    factor, exponent, plain = found.groups()
    return float(plain or f"{factor or 1}e{exponent.translate(RAISED)}")


def test_states(namespace: dict[str, Any]) -> None:
    assert {name: namespace[name].states for name in STATES} == STATES


def test_defaults(at: dict[str, Defaults]) -> None:
    assert at["layer_product"].caption().startswith("θ = 45°, σ = (1.5, 0.5), 20 layers:")
    lab = "sigmoid, Xavier, normalization none, skip off, 20 layers:"
    assert at["depth_lab"].caption().startswith(lab)
    spectrum = "identity, Gaussian weights, gain 1, depth 20:"
    assert at["jacobian_spectrum"].caption().startswith(spectrum)
    assert at["through_time"].caption().startswith("LSTM, recurrent scale 1, keep-gate bias 0:")
    assert at["cliff"].caption().startswith("Start (4.5, −2.75), lr 0.3, clipping none:")
    assert at["loss_scale"].caption().startswith("8 sigmoid layers, loss × 2^0, float16:")


# --- layer_product ---


@pytest.mark.parametrize(
    ("angle", "norm"), [(0, 3300), (15, 890), (30, 1.3), (45, 0.072), (90, 0.056)]
)
def test_the_angle_decides(at: dict[str, Defaults], angle: int, norm: float) -> None:
    text = at["layer_product"].caption(angle=angle)
    assert number("the norm is", text) == pytest.approx(norm, rel=0.03)
    if norm < 0.1:
        assert "σ_max = 1.5 in every layer, and the gradient vanished" in text
    elif norm > 100:
        assert "it exploded" in text
    else:
        assert "neither vanished nor exploded" in text


def test_the_norm_lies_between_its_bounds(at: dict[str, Defaults]) -> None:
    figure = at["layer_product"]
    for angle, stretch, squeeze in product((0, 35, 90), (1.0, 1.5, 2.0), (0.25, 1.0)):
        text = figure.caption(angle=angle, stretch=stretch, squeeze=squeeze)
        norm, low = number("the norm is", text), number("between", text)
        assert low / 1.06 <= norm <= number("and", text) * 1.06


# --- depth_lab ---


@pytest.mark.parametrize(
    ("values", "ratio", "factor", "words"),
    [
        ({}, 9.1e-13, 1.5, "The gradient vanishes on its way back"),
        ({"activation": "relu", "init": "he", "depth": 50}, 0.24, 3, "within three decades"),
        (
            {"activation": "relu", "init": "he", "norm": "batch", "depth": 50}, 1.4e4, 1.3,
            "The gradient explodes on its way back",
        ),
        (
            {"activation": "relu", "init": "he", "norm": "batch", "skip": True, "depth": 50},
            9.0, 1.1, "within three decades",
        ),
        (
            {"activation": "tanh", "init": "normal", "depth": 50}, 1.6e15, 2.5,
            "The gradient explodes on its way back",
        ),
        (
            {"activation": "tanh", "init": "normal", "depth": 20}, 1e6, 2.5,
            "The gradient explodes on its way back",
        ),
        (
            {"activation": "relu", "depth": 50}, 1e-8, 3,
            "δ vanishes, but all weights get gradients of one size",
        ),
        (
            {"activation": "identity", "init": "orthogonal", "depth": 50}, 1.0, 1.001,
            "within three decades",
        ),
        (
            {"activation": "relu", "init": "he", "skip": True, "depth": 50}, 1.6e7, 2,
            "The gradient explodes on its way back",
        ),
    ],
)  # fmt: skip
def test_what_deep_nets_do(
    at: dict[str, Defaults], values: dict[str, Any], ratio: float, factor: float, words: str
) -> None:
    text = at["depth_lab"].caption(**values)
    found = number("‖δ₁‖/‖δ_L‖ is", text)
    assert ratio / factor <= found <= ratio * factor
    assert words in text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"init": "small", "depth": 50}, "Float32 would round the first layer's gradient to 0"),
        ({"activation": "identity", "init": "normal", "depth": 50}, "In float32 it overflows"),
    ],
)
def test_what_float32_cannot_hold(
    at: dict[str, Defaults], values: dict[str, Any], words: str
) -> None:
    assert words in at["depth_lab"].caption(**values)


def test_weight_gradients_of_bare_relu_layers_are_flat(namespace: dict[str, Any]) -> None:
    run = namespace["lab_run"]("relu", "xavier", "none", False, 50)
    assert run.weight_grad.max() < 10 * run.weight_grad.min()
    assert run.delta[-1] > 1e7 * run.delta[0]


# --- jacobian_spectrum ---


@pytest.mark.parametrize(
    ("values", "largest", "median"),
    [
        ({}, 4.3, 7e-4),
        ({"weights": "orthogonal"}, 1, 1),
        ({"weights": "orthogonal", "activation": "tanh"}, 0.40, 0.15),
        ({"activation": "tanh"}, 0.97, 1e-4),
        ({"activation": "relu", "gain": 1.41}, 7.3, 1e-16),
    ],
)
def test_singular_values(
    at: dict[str, Defaults], values: dict[str, Any], largest: float, median: float
) -> None:
    text = at["jacobian_spectrum"].caption(**values)
    assert number("largest singular value is", text) == pytest.approx(largest, rel=0.03)
    assert 0.5 < number("the median", text) / median < 2


def test_sigmoid_keeps_nothing(at: dict[str, Defaults]) -> None:
    text = at["jacobian_spectrum"].caption(activation="sigmoid")
    assert number("largest singular value is", text) == pytest.approx(9e-13, rel=0.05)


def test_how_many_directions_are_left(at: dict[str, Defaults]) -> None:
    figure = at["jacobian_spectrum"]
    assert "4 directions of 64 are left" in figure.caption()
    assert "64 directions of 64 are left" in figure.caption(weights="orthogonal")
    assert "29 directions of 64 are left" in figure.caption(weights="orthogonal", activation="tanh")
    assert "1 direction of 64 is left" in figure.caption(activation="tanh", gain=4.0)


def test_the_spectrum_is_that_of_the_reference(namespace: dict[str, Any]) -> None:
    weights = namespace["spectrum_weights"]["Gaussian"][:10]
    expected = jacobian_singular_values(list(1.25 * weights), namespace["spectrum_x"], "tanh")
    found = namespace["spectrum_runs"]["tanh", "Gaussian", 1.25][10][0]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-13)


# --- through_time ---


@pytest.mark.parametrize(
    ("values", "left", "factor"),
    [
        ({"cell": "rnn"}, 1.6e-12, 2),
        ({"cell": "rnn", "scale": 1.5}, 0.44, 8),
        ({"cell": "rnn", "scale": 2.0}, 1.1e5, 3),
        ({"cell": "rnn", "scale": 3.0}, 5e11, 15),
        ({"cell": "gru"}, 8e-16, 2),
        ({"cell": "gru", "bias": 1}, 6.7e-9, 2),
        ({"cell": "gru", "bias": 2}, 1.5e-4, 2),
        ({"cell": "gru", "bias": 4}, 0.21, 2),
        ({}, 2.9e-17, 4),
        ({"bias": 1}, 1.3e-5, 2),
        ({"bias": 2}, 0.69, 4),
        ({"bias": 4}, 3.6, 7),
    ],
)
def test_what_is_left_after_100_steps(
    at: dict[str, Defaults], values: dict[str, Any], left: float, factor: float
) -> None:
    found = number("100 inputs gets", at["through_time"].caption(**values))
    assert left / factor <= found <= left * factor


def test_names_of_time(at: dict[str, Defaults]) -> None:
    figure = at["through_time"]
    assert ": vanished." in figure.caption()
    assert ": survives." in figure.caption(bias=2)
    assert "vanished below float32" in figure.caption(cell="rnn", scale=0.25)
    assert re.search(r"exploded by (\d(\.\d)?·)?10¹[¹²]", figure.caption(cell="rnn", scale=3.0))
    assert "the bias plays no part" in figure.caption(cell="rnn")


def test_a_plain_cell_ignores_the_bias(namespace: dict[str, Any]) -> None:
    runs = namespace["time_runs"]
    for scale in namespace["time_scales"]:
        assert np.array_equal(runs["rnn", scale, -1], runs["rnn", scale, 4])


def test_the_gate_alone(at: dict[str, Defaults]) -> None:
    for bias in (-1, 0, 2):
        expected = (1 / (1 + math.exp(-bias))) ** 99
        text = at["through_time"].caption(bias=bias)
        assert number("alone would leave", text) == pytest.approx(expected, rel=0.05)


# --- cliff ---


def test_the_default_is_thrown(at: dict[str, Defaults]) -> None:
    text = at["cliff"].caption()
    assert "thrown at step 8, then no gradient: from (4.53, −2.32) to (30, 39)" in text
    assert number("has norm", text) == pytest.approx(160, rel=0.03)
    assert number("is stuck at", text) == pytest.approx(0.09, abs=0.003)


@pytest.mark.parametrize(("clip", "error"), [("norm 0.3", 0.0035), ("value 0.3", 0.008)])
def test_clipping_brings_it_in(at: dict[str, Defaults], clip: str, error: float) -> None:
    text = at["cliff"].caption(clip=clip)
    assert number("the error is", text) == pytest.approx(error, rel=0.1)
    assert "in the valley" in text


def test_norm_keeps_the_direction(at: dict[str, Defaults]) -> None:
    assert number("turned by", at["cliff"].caption(clip="norm 0.3")) == 0
    assert number("turned by", at["cliff"].caption(clip="value 0.3")) > 10


def test_all_starts_at_rate_1(namespace: dict[str, Any]) -> None:
    shares = {"none": (0.17, 0.17), "value 0.3": (0, 0.12), "norm 0.3": (0, 0.32)}
    for clip, (thrown, solved) in {**shares, "norm 1": (0.0, 0.33)}.items():
        path, _, _, errors = namespace["cliff_runs"][1.0, clip]
        out = [namespace["cliff_thrown"](path[:, :, k]) is not None for k in range(117)]
        assert np.mean(out) == pytest.approx(thrown, abs=0.02)
        assert np.mean(errors < 0.01) == pytest.approx(solved, abs=0.02)


# --- loss_scale ---


@pytest.mark.parametrize(
    ("values", "lost", "near"),
    [
        ({}, 33, 5),
        ({"exponent": 4}, 16, 7),
        ({"exponent": 8}, 1.5, 1),
        ({"exponent": 12}, 0.1, 0.1),
        ({"activation": "tanh", "layers": 16}, 1.9, 1.1),
        ({"activation": "relu", "layers": 4}, 0, 0.02),
        ({"dtype": "bfloat16"}, 0, 0),
    ],
)
def test_what_is_lost(
    at: dict[str, Defaults], values: dict[str, Any], lost: float, near: float
) -> None:
    found = re.search(r"gradients (\d+\.\d+)% become 0", at["loss_scale"].caption(**values))
    assert found is not None
    assert float(found[1]) == pytest.approx(lost, abs=near)


def test_the_scale_that_is_needed(at: dict[str, Defaults]) -> None:
    figure = at["loss_scale"]
    assert "From k = 11 on less than 0.1% is lost" in figure.caption()
    assert "No scale is needed" in figure.caption(dtype="bfloat16")
    assert "overflow, and the step is skipped" in figure.caption(exponent=24)
    assert "overflow" not in figure.caption(exponent=19)
    assert "No scale is needed" in figure.caption(activation="relu", layers=4)


def test_shares_add_up(at: dict[str, Defaults]) -> None:
    for exponent, dtype in product((0, 18, 36), ("float16", "bfloat16")):
        text = at["loss_scale"].caption(exponent=exponent, dtype=dtype, layers=16)
        shares = [float(share) for share in re.findall(r"(\d+\.\d\d)%", text)[:4]]
        assert sum(shares) == pytest.approx(100, abs=0.03)
