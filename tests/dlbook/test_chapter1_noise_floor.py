"""The figure of the noise floor: captions, the simulation against the formula, lines."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.chapters import Defaults, figure_in, namespace_with

from livefigure import LiveFigure

EFFECTIVE = "η/(1 − μ)"


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    return namespace_with("01_optimizers.ipynb", "noise_floor")


@pytest.fixture(scope="module")
def noise_floor(namespace: dict[str, Any]) -> LiveFigure:
    return figure_in(namespace, "noise_floor")


@pytest.fixture(scope="module")
def at(noise_floor: LiveFigure) -> Defaults:
    return Defaults(noise_floor)


def floor_and_measured(text: str) -> tuple[float, float]:
    floor = re.search(r"\)\) = ([\d.]+)\.", text)
    measured = re.search(r"Measured over the last 100 steps: ([\d.]+)\.", text)
    assert floor is not None
    assert measured is not None
    return float(floor[1]), float(measured[1])


def test_controls_and_defaults(noise_floor: LiveFigure, at: Defaults) -> None:
    at.caption()
    assert noise_floor.states == 280
    assert {name: widget.value for name, widget in noise_floor.controls.items()} == {
        "lr": 0.05, "momentum": 0, "batch": 1, "keep": "η",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "floor", "step"),
    [
        ({}, 0.0128, 58),
        ({"momentum": 0.5}, 0.0254, 23),
        ({"momentum": 0.9}, 0.1267, 31),
        ({"momentum": 0.9, "keep": EFFECTIVE}, 0.0125, 41),
        ({"batch": 16}, 0.0008, 85),
    ],
)
def test_floors_and_steps(at: Defaults, values: dict[str, Any], floor: float, step: int) -> None:
    text = at.caption(**values)
    stated, measured = floor_and_measured(text)
    assert stated == floor
    assert_allclose(measured, floor, rtol=0.15)
    assert f"within twice the floor from step {step}" in text


def test_the_swing_through_zero_is_told(at: Defaults) -> None:
    assert "from step 31 (first at step 7, but it swings back)." in at.caption(momentum=0.9)
    assert "swings back" not in at.caption()


def test_failure_is_named(at: Defaults) -> None:
    text = at.caption(lr=0.5, momentum=0.95)
    assert floor_and_measured(text)[0] == 2.8676
    assert "64% of the starting loss 4.5: almost nothing is learned." in text
    assert "almost nothing" not in at.caption(lr=0.5, momentum=0.9)


def test_a_run_that_has_not_settled_says_so(at: Defaults) -> None:
    assert "After 300 steps the run is still on its way" in at.caption(lr=0.005)


def test_lines_are_short_and_finite(at: Defaults, namespace: dict[str, Any]) -> None:
    for values in ({}, {"lr": 0.5, "momentum": 0.95}, {"lr": 0.005, "batch": 64}):
        at.caption(**values)
        for name in ("floor_theta", "floor_loss"):
            points = namespace[name].get_xydata()
            assert 0 < len(points) <= 60
            assert np.isfinite(points).all()
            assert points[-1, 0] == 300
