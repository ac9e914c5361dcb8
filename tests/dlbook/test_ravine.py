"""The figure of the chapter on optimizers: its captions, its artists, its neighbors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from numpy.testing import assert_allclose

from livefigure import LiveFigure

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_optimizers.ipynb"


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    """Run the notebook's cells up to the figure."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    names: dict[str, Any] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, f"{NOTEBOOK.name}, {cell.id}", "exec"), names)
        if "ravine" in names:
            return names
    raise AssertionError("no cell makes the figure ravine")


@pytest.fixture(scope="module")
def ravine(namespace: dict[str, Any]) -> LiveFigure:
    figure = namespace["ravine"]
    assert isinstance(figure, LiveFigure)
    return figure


def caption(ravine: LiveFigure, lr: float, momentum: float, method: str = "heavy ball") -> str:
    for name, value in (("lr", lr), ("momentum", momentum), ("method", method)):
        ravine.controls[name].value = value
    return ravine.caption


def test_controls_and_defaults(ravine: LiveFigure) -> None:
    assert ravine.name == "ravine"
    assert ravine.states == 800
    lr, momentum, method = (ravine.controls[name] for name in ("lr", "momentum", "method"))
    assert (lr.min, lr.max, lr.step) == (0.01, 0.20, 0.01)
    assert (momentum.min, momentum.max, momentum.step) == (0, 0.95, 0.05)
    assert method.options == ("heavy ball", "Nesterov")


@pytest.mark.parametrize(
    ("lr", "momentum", "method", "rate", "step"),
    [
        (0.09, 0.0, "heavy ball", "0.910", 45),
        (0.05, 0.6, "heavy ball", "0.800", 25),
        (0.05, 0.9, "heavy ball", "0.949", 36),
        (0.13, 0.4, "heavy ball", "0.692", 14),
        (0.05, 0.9, "Nesterov", "0.925", 35),
    ],
)
def test_rate_and_first_step_below_a_hundredth(
    ravine: LiveFigure, lr: float, momentum: float, method: str, rate: str, step: int
) -> None:
    text = caption(ravine, lr, momentum, method)
    assert f": rate {rate}" in text
    assert re.search(rf"first falls below 0\.01 at step {step}\b", text)


@pytest.mark.parametrize(("method", "step"), [("heavy ball", 76), ("Nesterov", 48)])
def test_swinging_back_is_told(
    ravine: LiveFigure, namespace: dict[str, Any], method: str, step: int
) -> None:
    assert f"swings back, and is below again from step {step}." in caption(
        ravine, 0.05, 0.9, method
    )
    # For good, not just until the picture ends.
    loss, start, gradient = (namespace[name] for name in ("loss", "start", "gradient"))
    theta, v = start, np.zeros(2)
    losses = []
    for _ in range(2000):
        v = 0.9 * v + gradient(theta)
        theta = theta - 0.05 * (gradient(theta) + 0.9 * v if method == "Nesterov" else v)
        losses.append(loss(theta))
    assert np.flatnonzero(np.array(losses) >= 0.01)[-1] + 2 == step


@pytest.mark.parametrize(
    ("lr", "momentum", "method", "rate"),
    [(0.12, 0.45, "heavy ball", "0.671"), (0.06, 0.65, "Nesterov", "0.782")],
)
def test_best_rates_of_the_grid(
    ravine: LiveFigure, lr: float, momentum: float, method: str, rate: str
) -> None:
    assert f": rate {rate}" in caption(ravine, lr, momentum, method)


def test_divergence_is_named(ravine: LiveFigure) -> None:
    text = caption(ravine, 0.11, 0.0)
    assert ": rate 1.200." in text
    assert "diverged at step 74," in text
    assert "leaves the axis at step 11." in text
    assert "diverged at step 21," in caption(ravine, 0.09, 0.9, "Nesterov")


def test_heavy_ball_converges_where_nesterov_diverges(ravine: LiveFigure) -> None:
    text = caption(ravine, 0.09, 0.9)
    assert "diverge" not in text
    assert "is 0.0123 after 80 steps." in text


def test_the_exact_limit_is_named(ravine: LiveFigure) -> None:
    text = caption(ravine, 0.10, 0.0)
    assert ": rate 1.000." in text
    assert "exactly the limit: it neither converges nor diverges" in text
    assert "the loss stays at 22.5 forever." in text
    assert "exactly the limit" not in caption(ravine, 0.09, 0.0)
    assert "exactly the limit" not in caption(ravine, 0.11, 0.0)


def test_the_root_of_momentum_is_named_beyond_the_optimum(ravine: LiveFigure) -> None:
    for lr in (0.03, 0.05, 0.12):
        assert "rate 0.949 = √0.90" in caption(ravine, lr, 0.9)
    assert "√" not in caption(ravine, 0.05, 0.6)
    assert "√" not in caption(ravine, 0.05, 0.9, "Nesterov")


def test_the_limit_is_shown_with_its_numbers(ravine: LiveFigure) -> None:
    assert "Stable below η = 2/20 = 0.100." in caption(ravine, 0.09, 0.0)
    assert "Stable below η = 2(1 + 0.90)/20 = 0.190." in caption(ravine, 0.05, 0.9)
    text = caption(ravine, 0.05, 0.9, "Nesterov")
    assert "Stable below η = 2(1 + 0.90)/((1 + 2·0.90)·20) = 0.068." in text


def test_without_momentum_both_methods_are_gradient_descent(ravine: LiveFigure) -> None:
    both = {caption(ravine, 0.07, 0.0, method) for method in ("heavy ball", "Nesterov")}
    assert len(both) == 1
    assert both.pop().startswith("Gradient descent, η = 0.07")


def test_lines_are_short_finite_and_end_at_the_last_step(
    ravine: LiveFigure, namespace: dict[str, Any]
) -> None:
    path, losses, end = (namespace[name] for name in ("path", "losses", "end"))
    for state in ((0.09, 0.0), (0.2, 0.0), (0.2, 0.95), (0.01, 0.95), (0.11, 0.05)):
        for method in ("heavy ball", "Nesterov"):
            caption(ravine, *state, method)
            for line in (path, losses, end):
                points = line.get_xydata()
                assert 0 < len(points) <= 60
                assert np.isfinite(points).all()
            assert_allclose(path.get_xydata()[0], [-9, 1.5])
            assert losses.get_xdata()[-1] == 80
            assert len(end.get_xydata()) == 1
    caption(ravine, 0.09, 0.0)
    assert_allclose(path.get_xydata()[-1], end.get_xydata()[0])


def test_limits_stay(ravine: LiveFigure, namespace: dict[str, Any]) -> None:
    axes = namespace["fig"].axes
    assert len(axes) == 3
    caption(ravine, 0.09, 0.0)
    before = [(ax.get_xlim(), ax.get_ylim()) for ax in axes]
    caption(ravine, 0.2, 0.95, "Nesterov")
    assert [(ax.get_xlim(), ax.get_ylim()) for ax in axes] == before


def test_every_state_has_a_caption_of_its_own(ravine: LiveFigure) -> None:
    seen = set()
    for lr in range(1, 21):
        for momentum in range(1, 20):
            for method in ("heavy ball", "Nesterov"):
                seen.add(caption(ravine, lr / 100, momentum / 20, method))
    assert len(seen) == 20 * 19 * 2
    assert not any("nan" in text or "inf" in text for text in seen)


def test_a_drag_in_the_map_moves_learning_rate_and_momentum(ravine: LiveFigure) -> None:
    svg = ravine.svg()
    assert len(re.findall("data-pad=", svg)) == 1
    moves = re.search(r'data-moves="([^"]+)"', svg)
    assert moves is not None
    assert "lr" in moves[1]
    assert "momentum" in moves[1]
