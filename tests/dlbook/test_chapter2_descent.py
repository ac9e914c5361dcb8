"""The figure of double descent: captions, the peak, its cure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.chapters import Defaults, figure_in, namespace_with

from dlbook.overfitting import ridge as fit_ridge
from livefigure import LiveFigure

P = "parameters P"
N = "samples n"


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    return namespace_with("02_overfitting.ipynb", "descent")


@pytest.fixture(scope="module")
def descent(namespace: dict[str, Any]) -> LiveFigure:
    return figure_in(namespace, "descent")


@pytest.fixture(scope="module")
def at(descent: LiveFigure) -> Defaults:
    return Defaults(descent)


@pytest.fixture(scope="module")
def place(namespace: dict[str, Any]) -> Any:
    return lambda vary, number: namespace["descent_sizes"][vary].index(number)


def test_controls_and_defaults(descent: LiveFigure, at: Defaults, place: Any) -> None:
    at.caption()
    assert descent.states == 420
    assert {name: widget.value for name, widget in descent.controls.items()} == {
        "vary": P, "size": place(P, 15), "noise": 0.2, "ridge": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("vary", "number", "values", "said"),
    [
        (P, 4, {}, "excess error 0.347"),
        (P, 15, {}, "P = 15 parameters, n = 40 samples, σ = 0.2, λ = 0: excess error 0.215"),
        (P, 30, {}, "excess error 0.34,"),
        (P, 40, {}, "excess error 11, training error 0. P = n, the interpolation threshold"),
        (P, 44, {}, "excess error 1.08"),
        (P, 60, {}, "excess error 0.376"),
        (P, 400, {}, "excess error 0.168, training error 0. It fits every sample exactly"),
        (P, 15, {}, "0.205 at P = 20; at P = 600 it is 0.173, so the large model wins."),
        (P, 15, {"noise": 0.5}, "at P = 600 it is 0.615, so the large model does not win."),
        (P, 40, {"ridge": 0.001}, "excess error 0.298"),
        (P, 400, {"ridge": 0.1}, "excess error 0.0659"),
        (P, 600, {"ridge": 1}, "excess error 0.14,"),
        (N, 25, {}, "More data hurts at first: from 10 to 40 samples the error goes from 0.257"),
        (N, 120, {"ridge": 0.1}, "Lowest at n = 120: 0.0626."),
    ],
)
def test_captions(
    at: Defaults, place: Any, vary: str, number: int, values: dict[str, Any], said: str
) -> None:
    assert said in at.caption(vary=vary, size=place(vary, number), **values)


def test_a_tuned_ridge_removes_the_peak(namespace: dict[str, Any]) -> None:
    excess = namespace["descent_results"](P)[0][:, :, 1]
    assert np.all(np.diff(excess[:, 3]) < 0)
    assert np.argmax(excess[:, 0]) == namespace["descent_sizes"][P].index(40)
    # A ridge of 1 is too much: worse than 0.1 from ten parameters on.
    assert np.all(excess[2:, 4] > excess[2:, 3])


def test_other_seeds_give_a_peak_as_the_text_says(namespace: dict[str, Any]) -> None:
    peaks = [
        np.median([namespace["descent_run"](40, 40, seed + first)[0][0, 1] for seed in range(20)])
        for first in (100, 200, 300)
    ]
    assert all(6.5 < peak < 10.5 for peak in peaks)


@pytest.mark.parametrize(("n", "size"), [(40, 15), (40, 60), (25, 40)])
def test_fits_are_those_of_the_reference(namespace: dict[str, Any], n: int, size: int) -> None:
    """Redraw the problem, and fit it with the chapter's ridge function."""
    _, training, line = namespace["descent_run"](n, size, 3)
    draw = np.random.default_rng(3)
    teacher = draw.normal(size=8)
    teacher /= np.linalg.norm(teacher)
    hidden = draw.normal(size=(600, 8))[:size]
    x = draw.normal(size=(120, 8))[:n] / np.sqrt(8)
    y = np.tanh(3 * x @ teacher) + 0.2 * draw.normal(size=120)[:n]
    design = np.maximum(x @ hidden.T, 0) / np.sqrt(size)
    along = namespace["descent_along"][:, None] * teacher
    for column, strength in ((0, 0.0), (3, 0.1)):
        w = fit_ridge(design, y, strength)
        assert_allclose(((y - design @ w) ** 2).mean(), training[column, 1], atol=1e-12)
        drawn = np.maximum(along @ hidden.T, 0) / np.sqrt(size) @ w
        assert_allclose(line[:, column, 1], drawn, atol=1e-8)


def test_lines_are_short_and_finite_in_every_state(
    descent: LiveFigure, namespace: dict[str, Any]
) -> None:
    for state in np.ndindex(2, 14, 3, 5):
        text = descent._call(state)
        assert "nan" not in text and "inf" not in text and "e-3" not in text
        for name in ("descent_excess", "descent_training", "descent_line"):
            points = np.array(namespace[name].get_xydata())
            assert 0 < len(points) <= 60
            assert np.isfinite(points).all()
