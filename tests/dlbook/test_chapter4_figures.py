"""The figures of chapter 4: controls, the numbers of their captions, named failures, lines."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import numpy as np
import pytest
from support.chapters import Defaults, figure_in, namespace_with

NOTEBOOK = "04_initialization.ipynb"
STATES = {"symmetry": 936, "signal": 1125, "fan_choice": 432, "residual": 240, "edge_of_chaos": 486}


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    return namespace_with(NOTEBOOK, "residual")


@pytest.fixture(scope="module")
def at(namespace: dict[str, Any]) -> dict[str, Defaults]:
    return {name: Defaults(figure_in(namespace, name)) for name in STATES}


def number(pattern: str, text: str) -> float:
    found = re.search(pattern + r" (\d+(?:\.\d+)?(?:e[+-]?\d+)?)", text)
    assert found is not None, text
    return float(found[1])


def test_states(namespace: dict[str, Any]) -> None:
    assert {name: namespace[name].states for name in STATES} == STATES


def test_defaults(at: dict[str, Defaults]) -> None:
    assert at["symmetry"].caption().startswith("tanh, all weights 0.5, step 2,000.")
    assert at["signal"].caption().startswith("ReLU, gain 1.41, normal weights:")
    assert (
        at["fan_choice"]
        .caption()
        .startswith("ReLU, widths 256 → 194 → 147 → 111 → 84 → 64, fan_in:")
    )
    assert at["residual"].caption().startswith("32 blocks, branches × 1, gain 1.41, no norm")
    assert at["edge_of_chaos"].caption().startswith("tanh, σ of weights 1.3, of biases 0.05:")


# --- symmetry ---


@pytest.mark.parametrize(
    ("values", "words", "loss"),
    [
        ({}, "six units, one function", 0.530),
        ({"spread": 1e-8}, "which is still one function", 0.530),
        ({"spread": 1e-4}, "they differ, and nothing is gained", 0.527),
        ({"spread": 0.01}, "6 different units", 0.111),
        ({"spread": 0.1}, "6 different units", 0.019),
        ({"constant": 0.0}, "No gradient reaches the weights", 0.685),
        ({"constant": 0.0, "spread": 1e-8}, "6 different units", 0.081),
        ({"constant": 0.0, "activation": "relu"}, "No gradient reaches the weights", 0.685),
        ({"constant": 0.0, "spread": 1e-8, "activation": "relu"}, "6 different units", 0.009),
        ({"spread": 0.1, "activation": "relu"}, "they differ, and nothing is gained", 0.526),
        ({"constant": 0.0, "activation": "sigmoid"}, "six units, one function", 0.572),
    ],
)
def test_how_many_units_there_are(
    at: dict[str, Defaults], values: dict[str, Any], words: str, loss: float
) -> None:
    text = at["symmetry"].caption(**values)
    assert words in text
    assert number("loss is", text) == pytest.approx(loss, abs=0.006)


def test_equal_units_are_equal_to_the_last_bit(namespace: dict[str, Any]) -> None:
    for nets, _ in namespace["symmetry_runs"].values():
        for net, (_, spread) in enumerate(namespace["symmetry_pairs"]):
            if spread == 0:
                assert not np.ptp(nets.weight[:, net], axis=1).any()


# --- signal ---


@pytest.mark.parametrize(
    ("values", "rms", "ratio", "words"),
    [
        ({"gain": 0.58}, 3e-16, 3e-16, "RMS below 1e-6 from layer 16"),
        ({"gain": 1.0}, 9e-7, 1e-6, "RMS below 1e-6 from layer 40"),
        ({}, 0.90, 1.0, "alive"),
        ({"gain": 1.67}, 650, 750, "activations explode"),
        ({"activation": "tanh", "gain": 1.0}, 0.10, 0.12, "alive, but gradients drift"),
        ({"activation": "tanh"}, 0.55, 4.7, "alive, but gradients drift"),
        ({"activation": "tanh", "gain": 1.67}, 0.65, 35, "activations settle, gradients explode"),
        ({"activation": "tanh", "gain": 2.0}, 0.73, 400, "activations settle, gradients explode"),
        ({"activation": "selu", "gain": 1.0}, 0.97, 4.4, "alive, but gradients drift"),
        ({"activation": "gelu", "gain": 1.67}, 600, 950, "activations explode"),
        (
            {"activation": "linear", "gain": 1.0, "distribution": "orthogonal"}, 1, 1, "alive",
        ),
    ],
)  # fmt: skip
def test_what_forty_layers_do(
    at: dict[str, Defaults], values: dict[str, Any], rms: float, ratio: float, words: str
) -> None:
    text = at["signal"].caption(**values)
    assert number("RMS in layer 40 is", text) == pytest.approx(rms, rel=0.5)
    assert number("gradients are multiplied by", text) == pytest.approx(ratio, rel=0.5)
    assert f"way back: {words}." in text


def test_gelu_sits_on_a_slope(at: dict[str, Defaults]) -> None:
    text = at["signal"].caption(activation="gelu", gain=1.41)
    assert number("RMS in layer 40 is", text) < 0.3


def test_numbers_of_the_text_on_gains(at: dict[str, Defaults]) -> None:
    text = at["signal"].caption(activation="tanh", gain=1.0)
    assert "layer 40 is 0.1," in text and "multiplied by 0.12 " in text
    text = at["signal"].caption(activation="tanh", gain=1.67)
    assert "layer 40 is 0.65," in text and "multiplied by 32 " in text


# --- fans ---


@pytest.mark.parametrize(
    ("values", "forward", "backward"),
    [
        ({}, 1.0, 0.25),
        ({"mode": "fan_out"}, 4.0, 1.0),
        ({"mode": "average"}, 1.91, 0.48),
        ({"taper": 4.0}, 1.0, 4.0),
        ({"taper": 4.0, "mode": "fan_out"}, 0.25, 1.0),
    ],
)
@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_fans_telescope(
    at: dict[str, Defaults], values: dict[str, Any], forward: float, backward: float,
    activation: str,
) -> None:  # fmt: skip
    text = at["fan_choice"].caption(**values, activation=activation)
    assert f"(theory {forward:.2f}), that of gradients by" in text
    assert f"(theory {backward:.2f}), mean of 8 draws" in text
    assert number("activations is multiplied by", text) == pytest.approx(forward, rel=0.25)
    assert number("of gradients by", text) == pytest.approx(backward, rel=0.25)


# --- residual ---


@pytest.mark.parametrize(
    ("values", "forward", "backward", "tolerance"),
    [
        ({}, 2.0**32, 2.0**32, 0.7),
        ({"norm": True}, 33, 33, 0.35),
        ({"branch_scale": "L^(−1/2)"}, 2.68, 2.68, 0.3),
        ({"branch_scale": "1/L"}, 1.03, 1.03, 0.03),
        ({"branch_scale": "0"}, 1, 1, 0),
        ({"blocks": 128, "norm": True}, 129, 129, 0.4),
        ({"blocks": 128, "branch_scale": "L^(−1/2)"}, 2.71, 2.71, 0.3),
    ],
)
def test_what_residual_blocks_do(
    at: dict[str, Defaults],
    namespace: dict[str, Any],
    values: dict[str, Any],
    forward: float,
    backward: float,
    tolerance: float,
) -> None:
    assert at["residual"].caption(**values)
    state = {"blocks": 32, "branch_scale": "1", "norm": False, "gain": 1.41} | values
    runs = namespace["residual_run"](*state.values())
    assert runs[0][-1] == pytest.approx(forward, rel=tolerance)
    assert runs[1][0] == pytest.approx(backward, rel=tolerance)


def test_the_end_of_float32_is_named(at: dict[str, Defaults]) -> None:
    text = at["residual"].caption(blocks=128)
    assert "mean square reaches float32's largest number, 3.4e38, at block 128" in text
    assert "RMS 1.8e19, are far from it" in text
    assert "float32" not in at["residual"].caption(blocks=128, norm=True)
    assert f"{float(np.finfo(np.float32).max):.1e}" == "3.4e+38"
    assert "exactly 1 and 1" in at["residual"].caption(branch_scale="0")
    assert "theory (1 + 1)^32 = 4.3e09" in at["residual"].caption()
    assert "theory 1 + 32·1 = 33;" in at["residual"].caption(norm=True)


# --- edge of chaos ---


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "q = 0.416. The correlation is 0.59, 0.55, 0.43, 0.37 in layers"),
        ({}, "chaos, inputs end up unrelated. χ = 1.059"),
        ({"sigma_w": 0.8}, "0.75, 0.96, 1.00, 1.00 in layers 1, 5, 20, 30: order"),
        ({"sigma_w": 0.8}, "1/|ln 0.63| = 2.2 layers"),
        ({"sigma_w": 2.0}, "0.07, 0.03 in layers 1, 5, 20, 30: chaos"),
        ({"sigma_w": 1.0, "sigma_b": 0.0}, "After 3,000 layers the length is q = 0.000167, and st"),
        ({"sigma_w": 1.0, "sigma_b": 0.0}, "the edge. χ = 1.000"),
        ({"activation": "relu", "sigma_w": 2**0.5, "sigma_b": 0.0}, "0.68, 0.84, 0.96, 0.98 in"),
        ({"activation": "relu", "sigma_w": 1.0, "sigma_b": 0.0}, "The length vanishes"),
        ({"activation": "relu", "sigma_w": 1.0, "sigma_b": 0.0}, "χ = 0.500"),
        ({"activation": "relu", "sigma_w": 2.0}, "The length explodes"),
        ({"sigma_w": 0.5, "sigma_b": 0.0}, "The length vanishes"),
    ],
)
def test_order_edge_and_chaos(at: dict[str, Defaults], values: dict[str, Any], words: str) -> None:
    assert words in at["edge_of_chaos"].caption(**values)


# --- all of them ---


@pytest.mark.parametrize("name", STATES)
def test_captions_are_numbers_and_limits_stay(namespace: dict[str, Any], name: str) -> None:
    """A sample of states: every end of every control."""
    figure = figure_in(namespace, name)
    drawn = namespace[{"edge_of_chaos": "edge", "fan_choice": "fans"}.get(name, name) + "_fig"]
    limits = [(ax.get_xlim(), ax.get_ylim()) for ax in drawn.axes]
    start = {key: widget.value for key, widget in figure.controls.items()}

    def ends(widget: Any) -> list[Any]:
        if hasattr(widget, "_options_values"):
            return [widget._options_values[0], widget._options_values[-1]]
        return [widget.min, widget.max]

    for values in product(*(ends(widget) for widget in figure.controls.values())):
        for key, value in zip(figure.controls, values, strict=True):
            figure.controls[key].value = value
        assert not re.search(r"\bnan\b|\binf\b", figure.caption), figure.caption
        for ax in drawn.axes:
            for line in ax.lines:
                assert len(line.get_xdata()) <= 82
    for key, value in start.items():
        figure.controls[key].value = value
    assert [(ax.get_xlim(), ax.get_ylim()) for ax in drawn.axes] == limits
