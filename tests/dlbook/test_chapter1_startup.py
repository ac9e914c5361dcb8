"""The figure of Adam's first steps: captions, bounds, lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.chapters import Defaults, figure_in, namespace_with

from dlbook.optimizers import adam_step
from livefigure import LiveFigure

GROWING = "growing 1.11ᵗ"


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    return namespace_with("01_optimizers.ipynb", "startup")


@pytest.fixture(scope="module")
def startup(namespace: dict[str, Any]) -> LiveFigure:
    return figure_in(namespace, "startup")


@pytest.fixture(scope="module")
def at(startup: LiveFigure) -> Defaults:
    return Defaults(startup)


def test_controls_and_defaults(startup: LiveFigure, at: Defaults) -> None:
    at.caption()
    assert startup.states == 960
    assert {name: widget.value for name, widget in startup.controls.items()} == {
        "beta1": 0.9, "beta2": 0.999, "gradients": "constant", "silence": 0, "scale": 1.0,
    }  # fmt: skip
    values = {name: widget._options_values for name, widget in startup.controls.items()}
    assert values["beta1"] == (0, 0.5, 0.9, 0.95)
    assert values["beta2"] == (0.9, 0.95, 0.99, 0.999)
    assert values["gradients"] == ("constant", "noisy", "alternating", "one spike", GROWING)
    assert values["silence"] == (0, 100, 1000, 10_000)
    assert values["scale"] == (1, 1e-6, 1e-8)


def test_the_defaults_start_too_large_without_correction(at: Defaults) -> None:
    text = at.caption()
    assert "With correction every step is 1.00 η." in text
    assert "Without correction step 1 is 3.16 η, step 12 the largest, 6.57 η, " in text
    assert "and step 100 is 3.24 η: the first is 3.16 times too large." in text


def test_the_correction_matters_for_thousands_of_steps(namespace: dict[str, Any]) -> None:
    plain = namespace["startup_run"](np.ones(4000), 0.9, 0.999, corrected=False)
    assert plain[999] == pytest.approx(1.26, abs=0.005)
    assert np.flatnonzero(plain >= 1.05)[-1] + 2 == 2375


def test_a_shorter_memory_starts_too_small(at: Defaults) -> None:
    text = at.caption(beta2=0.95)
    assert "step 1 is 0.45 η, step 20 the largest, 1.10 η," in text
    assert "2.24 times too small" in text


@pytest.mark.parametrize(
    ("silence", "largest"), [(0, 2.24), (100, 3.10), (1000, 5.94), (10_000, 7.27)]
)
def test_growing_gradients_reach_the_supremum(at: Defaults, silence: int, largest: float) -> None:
    text = at.caption(gradients=GROWING, silence=silence)
    quiet = " after a quiet spell" if silence else ""
    assert f"the largest, {largest:.2f} η: step {largest:.2f} × lr{quiet}." in text
    assert "= 3.162/0.435 = 7.27 η." in text


@pytest.mark.parametrize(
    ("silence", "first"), [(0, "1.00"), (100, "0.98"), (1000, "2.52"), (10_000, "3.16")]
)
def test_a_lone_spike_reaches_the_bound_of_the_paper(
    at: Defaults, silence: int, first: str
) -> None:
    text = at.caption(gradients="one spike", silence=silence)
    assert f"With correction step 1 is the largest, {first} η" in text
    assert ("× lr after a quiet spell" in text) == (float(first) > 1.5)


def test_the_precise_largest_steps(namespace: dict[str, Any]) -> None:
    sizes = namespace["startup_sizes"][0.9, 0.999, 10_000, True]
    assert sizes[:, 4, 0].max() == pytest.approx(7.270, abs=5e-4)
    assert sizes[:, 3, 0].max() == pytest.approx(3.162, abs=5e-4)


def test_epsilon_counts_at_a_tiny_scale(at: Defaults) -> None:
    text = at.caption(scale=1e-8)
    assert "With correction every step is 0.50 η." in text
    assert "no longer negligible" in text
    assert "negligible" not in at.caption(scale=1e-6)


def test_where_no_bound_exists_the_line_is_hidden_and_the_caption_says_so(
    at: Defaults, namespace: dict[str, Any]
) -> None:
    line = namespace["startup_supremum"]
    text = at.caption(beta1=0.95, beta2=0.9)
    assert "No bound exists: β₁² = 0.9025 is above β₂ = 0.9" in text
    assert not line.get_visible()
    at.caption()
    assert line.get_visible()
    assert_allclose(line.get_ydata(), 7.27, atol=0.005)


@pytest.mark.parametrize(
    ("beta1", "beta2", "paper"), [(0.9, 0.999, 3.162), (0.9, 0.95, 1), (0.95, 0.9, 1)]
)
def test_the_bound_of_the_paper(
    at: Defaults, namespace: dict[str, Any], beta1: float, beta2: float, paper: float
) -> None:
    at.caption(beta1=beta1, beta2=beta2)
    assert_allclose(namespace["startup_paper"].get_ydata(), paper, atol=5e-4)
    assert namespace["startup_paper"].get_visible() == (paper > 1)


def test_silence_needs_no_loop(namespace: dict[str, Any]) -> None:
    state, zero = None, np.zeros(())
    for _ in range(100):
        _, state = adam_step(zero, zero, state, lr=1.0)
    step, _ = adam_step(zero, np.ones(()), state, lr=1.0)
    assert abs(step) == namespace["startup_sizes"][0.9, 0.999, 100, True][0, 0, 0]


def test_lines_are_short_and_finite_in_every_state(
    startup: LiveFigure, namespace: dict[str, Any]
) -> None:
    ax = namespace["startup_ax"]
    limits = ax.get_xlim(), ax.get_ylim()
    seen = set()
    shape = [len(widget._options_values) for widget in startup.controls.values()]
    # Called directly: drawing every state would take seconds and add nothing.
    for state in np.ndindex(*shape):
        seen.add(text := startup._call(state))
        assert "nan" not in text and "inf" not in text
        for line in (namespace["startup_with"], namespace["startup_without"]):
            points = np.array(line.get_xydata())
            assert len(points) <= 60
            assert np.isfinite(points).all()
            assert points[-1, 0] == 100
    assert len(seen) == 960
    assert (ax.get_xlim(), ax.get_ylim()) == limits
