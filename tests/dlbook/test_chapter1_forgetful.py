"""The figure of Adam's short memory: captions, failures, lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.chapters import Defaults, figure_in, namespace_with

from livefigure import LiveFigure

BETAS2 = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9, 0.99, 0.999)


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    return namespace_with("01_optimizers.ipynb", "forgetful")


@pytest.fixture(scope="module")
def forgetful(namespace: dict[str, Any]) -> LiveFigure:
    return figure_in(namespace, "forgetful")


@pytest.fixture(scope="module")
def at(forgetful: LiveFigure) -> Defaults:
    return Defaults(forgetful)


def test_controls_and_defaults(forgetful: LiveFigure, at: Defaults) -> None:
    at.caption()
    assert forgetful.states == 216
    peak, beta2, method = (forgetful.controls[name] for name in ("rare", "beta2", "method"))
    assert peak._options_values == (2.2, 2.5, 3, 4, 6, 10)
    assert beta2._options_values == BETAS2
    assert method.options == ("Adam", "AMSGrad", "SGD")
    assert (peak.value, beta2.value, method.value) == (3, 0.1, "Adam")


@pytest.mark.parametrize("beta2", BETAS2)
def test_adam_fails_where_its_memory_is_short(
    at: Defaults, namespace: dict[str, Any], beta2: float
) -> None:
    text = at.caption(beta2=beta2)
    if beta2 <= 0.4:
        assert "x ends near +1, the worst point" in text
    elif beta2 == 0.5:
        assert "x has not arrived (−0.723 after 1500 steps)" in text
    else:
        assert "x ends near −1, the optimum" in text
        end = namespace["forgetful_runs"]["Adam", beta2][0][-1, 2]
        assert end == pytest.approx(-0.985, abs=0.002)


def test_at_four_tenths_the_drift_is_slow(namespace: dict[str, Any]) -> None:
    runs = namespace["forgetful_runs"]
    assert runs["Adam", 0.3][0][300, 2] > 0.95
    assert runs["Adam", 0.4][0][300, 2] < 0.6
    assert runs["Adam", 0.4][0][-1, 2] == pytest.approx(0.995, abs=5e-4)


def test_amsgrad_and_sgd_arrive(at: Defaults) -> None:
    text = at.caption(method="AMSGrad")
    assert "x ends near −1, the optimum (−0.991 after 1500 steps)" in text
    text = at.caption(method="SGD")
    assert text.startswith("SGD (β₂ plays no part)")
    assert "x ends near −1, the optimum (−0.974 after 1500 steps)" in text


def test_sgd_ends_two_steps_above_the_clip(namespace: dict[str, Any]) -> None:
    points = namespace["forgetful_runs"]["SGD", 0.1][0]
    assert_allclose(points[1498], -1)
    assert_allclose(np.diff(points[1498:], axis=0), 0.013, atol=1e-4)


def test_a_smaller_lead_needs_a_longer_memory(at: Defaults) -> None:
    for beta2 in BETAS2:
        fails = "the worst point" in (text := at.caption(rare=2.2, beta2=beta2))
        assert (fails or "drifts the wrong way" in text) == (beta2 <= 0.7)
    assert "x drifts the wrong way (+0.727 after 1500 steps)" in at.caption(rare=2.2, beta2=0.7)


@pytest.mark.parametrize("peak", [2.2, 2.5, 3, 4, 6, 10])
def test_the_usual_memory_is_harmless_here(at: Defaults, peak: float) -> None:
    assert "x ends near −1, the optimum" in at.caption(rare=peak, beta2=0.999)


def test_the_pushes_stand_in_the_caption_and_in_the_bars(
    at: Defaults, namespace: dict[str, Any]
) -> None:
    assert "−3/2.86 + 1/1.31 + 1/1.04 = +0.681 η, so x rises" in at.caption()
    heights = np.array([bar.get_height() for bar in namespace["forgetful_bars"]])
    # v settles into a cycle of three; by hand, from C on.
    v = np.linalg.solve(
        np.array([[1, 0, -0.1], [-0.1, 1, 0], [0, -0.1, 1]]), 0.9 * np.array([9, 1, 1])
    )
    pushes = np.array([-3, 1, 1]) / np.sqrt(v)
    assert_allclose(heights, np.append(pushes, pushes.sum()) / -pushes[0], atol=1e-6)
    assert "−10 + 1 + 1 = −8.000 η, so x falls" in at.caption(rare=10, method="SGD")


def test_lines_are_short_and_finite_in_every_state(
    forgetful: LiveFigure, namespace: dict[str, Any]
) -> None:
    axes = namespace["forgetful_fig"].axes
    limits = [(ax.get_xlim(), ax.get_ylim()) for ax in axes]
    seen = set()
    # Called directly: drawing every state would take seconds and add nothing.
    for state in np.ndindex(6, 12, 3):
        seen.add(text := forgetful._call(state))
        assert "nan" not in text and "inf" not in text
        points = np.array(namespace["forgetful_path"].get_xydata())
        assert len(points) <= 60
        assert (np.abs(points[:, 1]) <= 1).all()
        assert tuple(points[-1]) == tuple(namespace["forgetful_end"].get_xydata()[0])
        heights = np.array([bar.get_height() for bar in namespace["forgetful_bars"]])
        assert (heights > limits[1][1][0]).all() and (heights < limits[1][1][1]).all()
    # SGD has no memory to set.
    assert len(seen) == 6 * 12 * 2 + 6
    assert [(ax.get_xlim(), ax.get_ylim()) for ax in axes] == limits
