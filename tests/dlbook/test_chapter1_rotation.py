"""The figure of the rotated valley: captions, failure, lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.chapters import Defaults, figure_in, namespace_with

from dlbook.optimizers import adam_step, sgd_step, trajectory
from livefigure import LiveFigure


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    return namespace_with("01_optimizers.ipynb", "rotation")


@pytest.fixture(scope="module")
def rotation(namespace: dict[str, Any]) -> LiveFigure:
    return figure_in(namespace, "rotation")


@pytest.fixture(scope="module")
def at(rotation: LiveFigure) -> Defaults:
    return Defaults(rotation)


def test_controls_and_defaults(rotation: LiveFigure, at: Defaults) -> None:
    at.caption()
    assert rotation.states == 304
    angle, optimizer, lr = (rotation.controls[name] for name in ("angle", "optimizer", "lr"))
    assert (angle.min, angle.max, angle.step, angle.value) == (0, 90, 5, 0)
    assert optimizer.options == ("SGD", "momentum 0.9", "RMSProp", "Adam")
    assert lr._options_values == (0.25, 0.5, 1, 2)
    assert lr.value == 1


@pytest.mark.parametrize(
    ("optimizer", "steps"),
    [
        ("SGD", (65, 65, 65, 65)),
        ("momentum 0.9", (33, 33, 33, 33)),
        ("Adam", (36, 91, 148, None)),
        ("RMSProp", (15, 86, 142, None)),
    ],
)
def test_steps_below_a_hundredth(
    at: Defaults, optimizer: str, steps: tuple[int | None, ...]
) -> None:
    for angle, step in zip((0, 15, 30, 45), steps, strict=True):
        text = at.caption(optimizer=optimizer, angle=angle)
        if step is None:
            assert "it was never below 0.01" in text
        else:
            assert f"first falls below 0.01 at step {step}" in text
        if angle and optimizer in ("Adam", "RMSProp"):
            assert f"at 0° it first fell below at step {steps[0]}." in text


@pytest.mark.parametrize(
    ("optimizer", "lr"), [("SGD", 0.03), ("momentum 0.9", 0.02), ("RMSProp", 0.02), ("Adam", 0.05)]
)
def test_tuned_rates(at: Defaults, optimizer: str, lr: float) -> None:
    assert f", η = 1·{lr:g} = {lr:g}, valley at 0°." in at.caption(optimizer=optimizer)
    assert f", η = 0.5·{lr:g} = {lr / 2:g}, " in at.caption(optimizer=optimizer, lr=0.5)


def test_divergence_is_named(at: Defaults, namespace: dict[str, Any]) -> None:
    for angle in (0, 30, 45, 90):
        text = at.caption(optimizer="SGD", lr=2.0, angle=angle)
        assert "η = 2·0.03 = 0.06" in text
        assert "It diverged at step 21," in text
        assert "η is above the limit 2/50 = 0.040" in text
        assert namespace["rotation_says"].get_text() == "diverged at step 21"


def test_at_a_right_angle_all_is_as_without_one(at: Defaults) -> None:
    for optimizer in ("RMSProp", "Adam"):
        flat, right = (at.caption(optimizer=optimizer, angle=angle) for angle in (0, 90))
        assert right == flat.replace("valley at 0°", "valley at 90°")


def test_both_axes_see_one_curvature_at_45_degrees(at: Defaults) -> None:
    assert "the curvatures are 25.5 and 25.5, not 1 and 50" in at.caption(angle=45)


def test_runs_of_all_angles_are_the_reference_run_of_each(namespace: dict[str, Any]) -> None:
    for name, step, lr in (("Adam", adam_step, 0.05), ("SGD", sgd_step, 0.03)):
        points, losses = namespace["valley_runs"][name, 1.0]
        for column, angle in enumerate(range(0, 91, 5)):
            cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
            turn = np.array([[cos, -sin], [sin, cos]])
            hessian = turn @ np.diag([1.0, 50.0]) @ turn.T

            def advance(theta: Any, grad: Any, state: Any, step: Any = step, lr: Any = lr) -> Any:
                return step(theta, grad, state, lr=lr)

            run = trajectory(
                lambda theta, hessian=hessian: hessian @ theta,
                turn @ np.array([-1.0, 0.6]), advance, 150,
            )  # fmt: skip
            # Rounding differs by the order of sums; 150 steps of Adam barely amplify it.
            assert_allclose(points[:, column], run, rtol=0, atol=1e-7)
            expected = np.einsum("ti,ij,tj->t", run, hessian, run) / 2
            assert_allclose(losses[:, column], expected, rtol=0, atol=1e-6)


def test_lines_are_short_and_finite_in_every_state(
    rotation: LiveFigure, namespace: dict[str, Any]
) -> None:
    axes = namespace["rotation_fig"].axes
    limits = [(ax.get_xlim(), ax.get_ylim()) for ax in axes]
    seen = set()
    # Called directly: drawing every state would take seconds and add nothing.
    for state in np.ndindex(19, 4, 4):
        seen.add(text := rotation._call(state))
        assert "nan" not in text and "inf" not in text and "None" not in text
        for name in ("rotation_path", "rotation_losses", "rotation_flat", "rotation_end"):
            points = np.array(namespace[name].get_xydata())
            assert 0 < len(points) <= 60
            assert np.isfinite(points).all()
    assert len(seen) == 304
    assert [(ax.get_xlim(), ax.get_ylim()) for ax in axes] == limits
