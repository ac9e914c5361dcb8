"""The figures of L1 and L2, ``corner`` and ``paths``: captions, zeros, shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.chapters import Defaults, figure_in, namespace_with

from dlbook.overfitting import lasso
from livefigure import LiveFigure


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    return namespace_with("02_overfitting.ipynb", "paths")


@pytest.fixture(scope="module")
def corner(namespace: dict[str, Any]) -> LiveFigure:
    return figure_in(namespace, "corner")


@pytest.fixture(scope="module")
def corner_at(corner: LiveFigure) -> Defaults:
    return Defaults(corner)


@pytest.fixture(scope="module")
def paths(namespace: dict[str, Any]) -> LiveFigure:
    return figure_in(namespace, "paths")


@pytest.fixture(scope="module")
def paths_at(paths: LiveFigure) -> Defaults:
    return Defaults(paths)


def test_controls_and_defaults(
    corner: LiveFigure, corner_at: Defaults, paths: LiveFigure, paths_at: Defaults
) -> None:
    corner_at.caption()
    paths_at.caption()
    assert (corner.states, paths.states) == (1452, 450)
    assert {name: widget.value for name, widget in corner.controls.items()} == {
        "w1": 1.6, "w2": 0.8, "strength": 1, "penalty": "L1",
    }  # fmt: skip
    assert {name: widget.value for name, widget in paths.controls.items()} == {
        "strength": 8, "relevant": 3, "correlation": 0.5, "penalty": "L1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "the optimum (1.6, 0.8) becomes (0.975, 0.175)."),
        ({"penalty": "L2"}, "the optimum (1.6, 0.8) becomes (0.853, 0.624). Neither is 0."),
        ({"w1": 2, "w2": -0.4}, "becomes (0.76, 0). w₂ is exactly 0: the loss touches the corner"),
        (
            {"w1": 2, "w2": -0.4, "penalty": "L2"},
            "(2, −0.4) becomes (0.835, 0.149). w₂ has changed its sign",
        ),
        (
            {"w1": 0.4, "w2": 0.4, "strength": 2},
            "becomes (0, 0). Both weights are exactly 0, as strength ≥ λ_max = 0.64.",
        ),
        ({"strength": 0}, "Without a penalty nothing moves."),
        ({"w1": 0, "w2": 0}, "There is nothing to shrink."),
    ],
)
def test_corner_captions(corner_at: Defaults, values: dict[str, Any], said: str) -> None:
    assert said in corner_at.caption(**values)


def test_shares_of_exact_zeros(namespace: dict[str, Any]) -> None:
    for strength, share in ((0.25, 0.18), (0.5, 0.42), (1, 0.68), (1.5, 0.82), (2, 0.92)):
        for penalty, wanted in (("L1", share), ("L2", 0.0)):
            zeros = [
                np.any(namespace["penalized"](w, strength, penalty) == 0)
                for w in namespace["off_axis"]
            ]
            assert round(float(np.mean(zeros)), 2) == wanted


def test_closed_form_is_the_lasso(namespace: dict[str, Any]) -> None:
    """The quadratic is half a mean square of two samples whose Gram matrix is twice the Hessian."""
    design = np.sqrt(2) * np.linalg.cholesky(namespace["hessian"]).T
    for optimum in namespace["places"][:, None] * np.ones(2) * [1, -0.7]:
        for strength in (0.25, 1.0, 2.0):
            assert_allclose(
                namespace["penalized"](optimum, strength, "L1"),
                lasso(design, design @ optimum, strength, tol=1e-14),
                atol=1e-10,
            )


def test_ball_and_ellipse_meet_in_the_solution(
    corner_at: Defaults, namespace: dict[str, Any]
) -> None:
    for values in ({}, {"penalty": "L2"}, {"w1": -2, "w2": 0.4}, {"w1": 0.4, "strength": 0.25}):
        corner_at.caption(**values)
        (x,), (y,) = namespace["corner_solution"].get_data()
        ball = np.array(namespace["corner_ball"].get_xydata())
        if values.get("penalty") == "L2":
            assert_allclose(np.hypot(*ball.T), np.hypot(x, y))
        else:
            assert_allclose(np.abs(ball).sum(axis=1), abs(x) + abs(y))
        (a,), (b,) = namespace["corner_goal"].get_data()
        off = np.array(namespace["corner_touch"].get_xydata()) - [a, b]
        level = np.einsum("ij,jk,ik->i", off, namespace["hessian"], off)
        gap = np.array([x - a, y - b])
        assert_allclose(level, gap @ namespace["hessian"] @ gap, atol=1e-12)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "Lasso, λ = 0.208: 7 of 12 weights are not 0, excess error 0.776."),
        ({}, "the lasso has 0.776 (λ = 0.208, 7 features for 3 relevant ones), ridge 1.200"),
        ({"relevant": 12}, "the lasso has 1.746 (λ = 0.0201, 12 features"),
        ({"relevant": 12, "penalty": "L2"}, "ridge 1.211 (λ = 0.107)"),
        ({"relevant": 2, "correlation": 0}, "the lasso has 0.363"),
        ({"penalty": "L2"}, "12 of 12 weights are not 0"),
        ({"strength": 0}, "λ ≥ λ_max = 1.16: everything is zero."),
        ({"strength": 0}, "0 of 12 weights are not 0"),
        ({"strength": 24}, "12 of 12 weights are not 0"),
    ],
)
def test_paths_captions(paths_at: Defaults, values: dict[str, Any], said: str) -> None:
    assert said in paths_at.caption(**values)


def test_who_wins_depends_on_how_many_features_matter(namespace: dict[str, Any]) -> None:
    for (relevant, _), (_, excess, _) in namespace["path_runs"].items():
        lasso_wins = excess["L1"].min() < excess["L2"].min()
        assert lasso_wins == (relevant < 12)


def test_all_strengths_at_once_equal_one_at_a_time(namespace: dict[str, Any]) -> None:
    features, target = namespace["path_data"](12, 0.5, 0)
    for place in (3, 10, 17):
        strength = namespace["path_strengths"][place]
        one = lasso(features, target, strength, max_iter=20_000)
        many = namespace["path_runs"][12, 0.5][0]["L1"][place]
        assert_allclose(many, one, atol=1e-6)
        assert_allclose(many == 0, one == 0)


def test_lines_are_short_and_finite(paths_at: Defaults, namespace: dict[str, Any]) -> None:
    for values in ({}, {"relevant": 12, "correlation": 0.95}, {"penalty": "L2"}):
        paths_at.caption(**values)
        for line in (*namespace["paths_lines"], *namespace["paths_curves"].values()):
            points = np.array(line.get_xydata())
            assert len(points) == 25
            assert np.isfinite(points).all()
