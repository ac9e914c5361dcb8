"""The figure of bias and variance: captions, bars, lines."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.chapters import Defaults, figure_in, namespace_with

from dlbook.overfitting import bias_variance, ridge
from livefigure import LiveFigure


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    return namespace_with("02_overfitting.ipynb", "tradeoff")


@pytest.fixture(scope="module")
def tradeoff(namespace: dict[str, Any]) -> LiveFigure:
    return figure_in(namespace, "tradeoff")


@pytest.fixture(scope="module")
def at(tradeoff: LiveFigure) -> Defaults:
    return Defaults(tradeoff)


def test_controls_and_defaults(tradeoff: LiveFigure, at: Defaults) -> None:
    at.caption()
    assert tradeoff.states == 600
    assert {name: widget.value for name, widget in tradeoff.controls.items()} == {
        "degree": 5, "n": 20, "ridge": 0, "noise": 0.3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"degree": 1}, "bias² 0.168 + variance 0.009 + noise 0.090 = test error 0.268"),
        ({"degree": 3}, "bias² 0.003 + variance 0.018 + noise 0.090 = test error 0.112"),
        ({}, "bias² 0.001 + variance 0.030 + noise 0.090 = test error 0.121"),
        ({"degree": 9}, "bias² 0.001 + variance 0.123 + noise 0.090 = test error 0.214"),
        ({"degree": 9, "n": 40}, "variance 0.027"),
        ({"degree": 9, "n": 80}, "variance 0.012"),
        ({"degree": 1, "n": 80}, "bias² 0.168"),
        ({"degree": 14, "ridge": 0.01}, "variance 0.048 + noise 0.090 = test error 0.140"),
        ({"degree": 1}, "It underfits: all fits are wrong in the same way."),
        ({"degree": 14, "ridge": 1}, "It underfits"),
        ({"degree": 9}, "It overfits"),
    ],
)
def test_terms(at: Defaults, values: dict[str, Any], said: str) -> None:
    assert said in at.caption(**values)


def test_failure_is_named(at: Defaults) -> None:
    assert "15 coefficients, 20 points: variance 31." in at.caption(degree=14)
    assert "15 coefficients, 16 points: variance 5,062." in at.caption(degree=14, n=16)


def test_training_error_falls_all_the_way(at: Defaults) -> None:
    errors = []
    for degree in (*range(1, 10), 14):
        found = re.search(r"The training error is ([\d.]+)\.", at.caption(degree=degree))
        assert found is not None
        errors.append(float(found[1]))
    assert errors == sorted(errors, reverse=True)
    assert (errors[0], errors[4], errors[8], errors[9]) == (0.255, 0.061, 0.043, 0.022)


def test_variance_over_two_thousand_sets(namespace: dict[str, Any]) -> None:
    """The variance at degree 9 and 14 hangs on the sets that are drawn: here 2,000 of them."""
    nine, fourteen = (namespace["terms"](degree, 20, count=2000)[1] for degree in (9, 14))
    assert_allclose(nine, 0.143, rtol=0.1)
    assert_allclose(fourteen, 47, rtol=0.15)
    assert fourteen > 300 * nine


def test_other_seeds_give_what_the_text_says(namespace: dict[str, Any]) -> None:
    legendre, truth, grid = (namespace[name] for name in ("legendre", "truth", "grid"))
    seen = []
    for seed in (20, 21, 22):
        rng = np.random.default_rng(seed)
        x = -1 + 2 * (np.arange(20) + rng.random((100, 20))) / 20
        y = truth(x) + 0.3 * rng.normal(size=(100, 20))
        fits = [
            legendre(grid, 9) @ np.asarray(ridge(legendre(a, 9), b, 0.0))
            for a, b in zip(x, y, strict=True)
        ]
        seen.append(bias_variance(fits, truth(grid))[1])
    assert [round(value, 2) for value in seen] == [0.12, 0.17, 0.16]


def test_ridge_is_the_reference(namespace: dict[str, Any]) -> None:
    x, draws = namespace["training_sets"](20)
    weights, _ = namespace["fitted"](9, 20, 0.01, 0.3)
    y = namespace["truth"](x[3]) + 0.3 * draws[3]
    assert_allclose(weights[3], ridge(namespace["legendre"](x[3], 9), y, 0.2), rtol=1e-9)


def test_bars_add_up_and_lines_are_short(at: Defaults, namespace: dict[str, Any]) -> None:
    for values in ({}, {"degree": 14}, {"degree": 14, "n": 16, "noise": 0.5}, {"ridge": 1}):
        at.caption(**values)
        noise, bias, variance = namespace["tradeoff_stack"]
        for low, middle, high in zip(noise, bias, variance, strict=True):
            assert_allclose(middle.get_y(), low.get_y() + low.get_height())
            assert_allclose(high.get_y(), middle.get_y() + middle.get_height())
            assert high.get_y() + high.get_height() <= 0.68 + 1e-12
        for line in (*namespace["tradeoff_thin"], namespace["tradeoff_mean"]):
            points = np.array(line.get_xydata())
            assert len(points) == 31
            assert np.isfinite(points).all()
