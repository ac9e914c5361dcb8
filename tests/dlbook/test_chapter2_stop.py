"""The figure of early stopping: captions, the best steps, filters against real steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.chapters import Defaults, figure_in, namespace_with

from dlbook.overfitting import ridge
from livefigure import LiveFigure


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    return namespace_with("02_overfitting.ipynb", "stop")


@pytest.fixture(scope="module")
def stop(namespace: dict[str, Any]) -> LiveFigure:
    return figure_in(namespace, "stop")


@pytest.fixture(scope="module")
def at(stop: LiveFigure) -> Defaults:
    return Defaults(stop)


@pytest.fixture(scope="module")
def place(namespace: dict[str, Any]) -> Any:
    return list(namespace["stop_steps"]).index


def test_controls_and_defaults(stop: LiveFigure, at: Defaults, place: Any) -> None:
    at.caption()
    assert stop.states == 324
    assert {name: widget.value for name, widget in stop.controls.items()} == {
        "step": place(15), "noise": 0.3, "n": 20,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("step", "values", "said"),
    [
        (1, {}, "excess test error 0.391."),
        (15, {}, "training error 0.0138, excess test error 0.0275. 9.06 of 16 degrees of freedom"),
        (15, {}, "This is the best of these steps."),
        (1_000_000, {}, "training error 0.00306, excess test error 16.4. 15.99 of 16"),
        (1_000_000, {}, "It fits the noise: 590 times worse than at step 15, with 0.0275."),
        (15, {"noise": 0.1}, "That is too early: the best is step 32"),
        (15, {"noise": 0.5}, "That is too late: the best is step 10"),
        (1_000_000, {"n": 40}, "excess test error 0.176."),
        (1_000_000, {"n": 16}, "It fits the noise"),
        (1, {}, "ridge with λ = 1/(ηt) = 20.1"),
    ],
)
def test_captions(at: Defaults, place: Any, step: int, values: dict[str, Any], said: str) -> None:
    assert said in at.caption(step=place(step), **values)


def test_the_filter_is_gradient_descent(namespace: dict[str, Any], place: Any) -> None:
    _, design, (_, s, _), draws = namespace["stop_problem"](20)
    x = namespace["stop_problem"](20)[0]
    y = namespace["truth"](x) + 0.3 * draws
    w = np.zeros(16)
    for _ in range(39):
        w = w - design.T @ (design @ w - y) / s[0] ** 2
    assert_allclose(namespace["stop_run"](20, 0.3)[1][place(39)], w, atol=1e-12)


def test_the_ring_is_ridge(at: Defaults, namespace: dict[str, Any], place: Any) -> None:
    at.caption(step=place(32))
    x, design, (_, s, _), draws = namespace["stop_problem"](20)
    y = namespace["truth"](x) + 0.3 * draws
    curve = namespace["legendre"](namespace["stop_x"], 15) @ ridge(design, y, s[0] ** 2 / 32)
    assert_allclose(namespace["stop_ridge"].get_ydata(), curve, atol=1e-9)


def test_lines_are_short_and_finite_in_every_state(
    stop: LiveFigure, namespace: dict[str, Any]
) -> None:
    names = ("stop_line", "stop_ridge", "stop_training", "stop_excess", "stop_dots", "stop_rings")
    seen = set()
    for state in np.ndindex(36, 3, 3):
        seen.add(text := stop._call(state))
        assert "nan" not in text and "inf" not in text
        for name in names:
            points = np.array(namespace[name].get_xydata())
            assert 0 < len(points) <= 60
            assert np.isfinite(points).all()
    assert len(seen) == 324
