"""The figure of weight decay: captions, failures, lines."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.chapters import Defaults, figure_in, namespace_with

from dlbook.optimizers import adam_step
from livefigure import LiveFigure


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    return namespace_with("01_optimizers.ipynb", "decay")


@pytest.fixture(scope="module")
def decay(namespace: dict[str, Any]) -> LiveFigure:
    return figure_in(namespace, "decay")


@pytest.fixture(scope="module")
def at(decay: LiveFigure) -> Defaults:
    return Defaults(decay)


def test_controls_and_defaults(decay: LiveFigure, at: Defaults) -> None:
    at.caption()
    assert decay.states == 162
    strength, scale, lr = (decay.controls[n] for n in ("weight_decay", "gradient_scale", "lr"))
    assert strength._options_values == (0, 0.01, 0.03, 0.1, 0.3, 1)
    assert strength.value == 0.1
    assert (scale.base, scale.min, scale.max, scale.step, scale.value) == (10, -3, 1, 0.5, 1)
    assert lr._options_values == (0.002, 0.005, 0.01)
    assert lr.value == 0.005


@pytest.mark.parametrize(
    ("scale", "l2", "words"),
    [
        (0.001, "0.0009", "L2 decays far too fast"),
        (0.01, "0.0008", "L2 decays far too fast"),
        (0.1, "0.067", "L2 decays far too fast"),
        (1.0, "0.723", "L2 and AdamW agree"),
        (10.0, "0.949", "L2 escapes the decay"),
    ],
)
def test_what_is_left(
    at: Defaults, namespace: dict[str, Any], scale: float, l2: str, words: str
) -> None:
    text = at.caption(gradient_scale=scale)
    assert f"Adam + L2 leaves a mean weight of {l2}, AdamW 0.722, " in text
    assert f"the formula (1 − 0.005·0.1)⁶⁰⁰ = 0.741: {words}." in text
    assert namespace["decay_says"].get_text() == words
    # AdamW does not see the scale: only the step's epsilon tells 0.001 from 10.
    assert_allclose(namespace["decay_means"][0.1, 0.005, True][-1], 0.722, atol=1e-3)


def test_a_small_scale_shrinks_far_more_than_a_large_one(at: Defaults) -> None:
    left = []
    for scale in (0.01, 10.0):
        found = re.search(r"leaves a mean weight of ([\d.]+)", at.caption(gradient_scale=scale))
        assert found is not None
        left.append(float(found[1]))
    assert left[1] > 100 * left[0]


def test_the_gap_to_the_formula_is_the_random_walk(at: Defaults, namespace: dict[str, Any]) -> None:
    assert "spreads by about η·√(600/40) = 0.019" in at.caption()
    ends = []
    for seed in range(20):
        theta, state = np.ones(40), None
        for noise in np.random.default_rng(seed).normal(size=(600, 40)):
            theta, state = adam_step(
                theta, noise, state, lr=0.005, weight_decay=0.1, decoupled=True
            )
        ends.append(theta.mean())
    assert np.mean(ends) == pytest.approx(0.741, abs=0.015)
    assert 0.01 < np.std(ends) < 0.03
    assert 0.70 <= namespace["decay_means"][0.1, 0.005, True][-1, 6] <= 0.76


def test_without_decay_both_are_adam(at: Defaults, namespace: dict[str, Any]) -> None:
    for lr in (0.002, 0.005, 0.01):
        text = at.caption(weight_decay=0.0, lr=lr)
        assert "no decay. Without weight decay both are the same Adam" in text
        l2, adamw = (namespace["decay_means"][0.0, lr, decoupled] for decoupled in (False, True))
        assert_allclose(l2, adamw, rtol=0, atol=0)


def test_lines_are_short_and_finite_in_every_state(
    decay: LiveFigure, namespace: dict[str, Any]
) -> None:
    axes = namespace["decay_fig"].axes
    limits = [(ax.get_xlim(), ax.get_ylim()) for ax in axes]
    seen = set()
    # Called directly: drawing every state would take seconds and add nothing.
    for state in np.ndindex(6, 9, 3):
        seen.add(text := decay._call(state))
        assert "nan" not in text and "inf" not in text
        for name in ("decay_l2", "decay_adamw", "decay_formula", "decay_left_l2", "decay_here"):
            points = np.array(namespace[name].get_xydata())
            assert 0 < len(points) <= 60
            assert np.isfinite(points).all()
            bottom, top = limits[0][1]
            assert (points[:, 1] > bottom).all() and (points[:, 1] < top).all()
    assert len(seen) == 162
    assert [(ax.get_xlim(), ax.get_ylim()) for ax in axes] == limits


def test_a_drag_moves_the_scale(decay: LiveFigure) -> None:
    moves = re.search(r'data-moves="([^"]+)"', decay.svg())
    assert moves is not None
    assert "gradient_scale" in moves[1]
