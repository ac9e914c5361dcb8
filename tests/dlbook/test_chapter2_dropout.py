"""The figure of dropout masks: captions, moments, the batch norm behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from numpy.testing import assert_allclose
from support.chapters import Defaults, figure_in, namespace_with

from livefigure import LiveFigure


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    return namespace_with("02_overfitting.ipynb", "dropout_masks")


@pytest.fixture(scope="module")
def masks(namespace: dict[str, Any]) -> LiveFigure:
    return figure_in(namespace, "dropout_masks")


@pytest.fixture(scope="module")
def at(masks: LiveFigure) -> Defaults:
    return Defaults(masks)


def test_controls_and_defaults(masks: LiveFigure, at: Defaults) -> None:
    at.caption()
    assert masks.states == 171
    assert {name: widget.value for name, widget in masks.controls.items()} == {
        "p": 0.5, "scaling": "inverted", "x": "N(0, 1)",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "the mean is 0.306 (evaluation 0.300), the spread 0.82."),
        ({}, "After a ReLU the mean is 0.502 (evaluation 0.300)."),
        ({}, "variance 2 in training and 1 in evaluation, 0.500 of it."),
        ({"x": "ReLU of N(0, 1)"}, "0.405 of it."),
        ({"x": "N(2, 1)"}, "variance 6 in training and 1 in evaluation, 0.167 of it."),
        ({"p": 0.8}, "the spread 1.60. After a ReLU the mean is 0.836"),
        ({"scaling": "forgotten"}, "the mean is 0.153 (evaluation 0.300)"),
        ({"scaling": "forgotten"}, "Nobody divides by 1 − p: training sees 0.5 of the mean."),
        ({"scaling": "scale at test"}, "the mean is 0.153 (evaluation 0.150)"),
        ({"scaling": "scale at test"}, "0.500 of it."),
        ({"p": 0.9}, "9 of 10 units are silent."),
        ({"p": 0}, "the mean is 0.300 (evaluation 0.300), the spread 0.00."),
    ],
)
def test_captions(at: Defaults, values: dict[str, Any], said: str) -> None:
    assert said in at.caption(**values)


def test_silence_and_forgetting_are_told_only_where_they_are(at: Defaults) -> None:
    assert "silent" not in at.caption(p=0.85)
    assert "Nobody" not in at.caption(scaling="forgotten", p=0)


def test_spread_is_that_of_the_formula(namespace: dict[str, Any]) -> None:
    """The unit was made so that the squares of its contributions add up to 0.64."""
    assert_allclose(namespace["contributions"].sum(), 0.3)
    assert_allclose((namespace["contributions"] ** 2).sum(), 0.64)
    for p in (0.2, 0.5, 0.8):
        z, _ = namespace["unit_over_masks"](p, "inverted")
        assert_allclose(z.mean(), 0.3, atol=4 * z.std() / 1000**0.5)
        assert_allclose(z.std(), (0.64 * p / (1 - p)) ** 0.5, rtol=0.07)


@pytest.mark.parametrize("scaling", ["inverted", "scale at test", "forgotten"])
def test_variances_are_those_of_samples(namespace: dict[str, Any], scaling: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(1_000_000) + 2
    dropped = torch.nn.functional.dropout(x, 0.3)
    training = dropped if scaling == "inverted" else dropped * 0.7
    evaluation = x * 0.7 if scaling == "scale at test" else x
    formula = namespace["variances"](0.3, scaling, 2.0, 5.0)
    assert_allclose(formula, [training.var(), evaluation.var()], rtol=0.01)


def test_curves_stay_in_the_picture(at: Defaults, namespace: dict[str, Any]) -> None:
    low, high = namespace["masks_norm"].get_ylim()
    for p in (0, 0.5, 0.9):
        for x in namespace["masks_inputs"]:
            for scaling in ("inverted", "scale at test", "forgotten"):
                at.caption(p=p, x=x, scaling=scaling)
                for name in ("masks_training", "masks_evaluation"):
                    values = namespace[name].get_ydata()
                    assert len(values) == 19
                    assert low < values.min() <= values.max() < high
                assert namespace["masks_bars"].get_data().values.max() <= 0.65
