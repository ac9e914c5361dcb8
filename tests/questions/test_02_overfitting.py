"""The numbers in ``book/questions/02_overfitting.yml``: each entry names the tests of its own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from support.chapters import namespace_with
from torch import nn

from dlbook.overfitting import (
    bias_variance,
    dropout,
    effective_dof,
    gd_filter,
    lasso,
    ridge,
    ridge_filter,
    soft_threshold,
)


@pytest.fixture(scope="module")
def chapter() -> dict[str, Any]:
    """Run the cells of the chapter, whose examples the answers quote."""
    return namespace_with("02_overfitting.ipynb", "descent_results")


def rounded(values: Any, digits: int = 3) -> list[float]:
    return [round(float(value), digits) for value in np.ravel(values)]


# --- Measuring ---


def test_learning_curves_of_two_polynomials(chapter: dict[str, Any]) -> None:
    rows = {(degree, n): chapter["terms"](degree, n)[2:] for degree in (1, 9) for n in (20, 80)}
    assert rounded(rows[1, 20]) == [0.255, 0.268]
    assert rounded(rows[1, 80]) == [0.251, 0.260]
    assert rounded(rows[9, 20]) == [0.043, 0.214]
    assert rounded(rows[9, 80]) == [0.079, 0.102]


def test_parameters_against_ridge(chapter: dict[str, Any]) -> None:
    excess = chapter["descent_results"]("parameters P")[0]
    rows = [chapter["descent_sizes"]["parameters P"].index(p) for p in (15, 40, 400)]
    plain, penalized = excess[rows, 0, 1], excess[rows, 3, 1]
    assert [f"{value:.2g}" for value in plain[[1]]] == ["11"]
    assert rounded(plain[[0, 2]]) == [0.215, 0.168]
    assert rounded(penalized) == [0.174, 0.088, 0.066]


def test_variance_of_least_squares() -> None:
    """The mean squared error of fitted values is noise variance times d / n."""
    rng = np.random.default_rng(0)
    for n, noise in ((40, 1.0), (80, 1.0), (80, 2**0.5)):
        features = rng.normal(size=(n, 5))
        hat = features @ np.linalg.pinv(features)
        fits = noise * rng.normal(size=(20_000, n)) @ hat.T
        assert_allclose(fits.var(axis=0).mean(), noise**2 * 5 / n, rtol=0.02)


def test_two_ways_to_restrain_a_polynomial(chapter: dict[str, Any]) -> None:
    assert rounded(chapter["terms"](5, 20)[3:]) == [0.121]
    assert rounded(chapter["terms"](14, 20, 0.01)[3:]) == [0.140]
    assert f"{chapter['terms'](14, 20)[3]:.2g}" == "31"


def test_variance_of_an_ensemble() -> None:
    for correlation, left in ((0.0, 1 / 5), (0.5, 3 / 5)):
        covariance = (1 - correlation) * np.eye(5) + correlation
        weights = np.full(5, 1 / 5)
        assert_allclose(weights @ covariance @ weights, left)


def test_what_is_left_above_the_human_floor() -> None:
    training, validation, floor = 0.02, 0.30, 0.28
    assert_allclose([training - floor, validation - floor], [-0.26, 0.02])


def test_the_best_of_twenty_guesses() -> None:
    hits = np.arange(101)
    mass = np.array([math.comb(100, int(k)) for k in hits]) / 2.0**100
    below = np.cumsum(mass)
    of_the_best = np.diff(np.r_[0.0, below**20])
    assert round(float(of_the_best @ hits / 100), 3) == 0.593


def test_selection_before_the_split(chapter: dict[str, Any]) -> None:
    accuracy = chapter["validated_accuracy"]
    assert (round(accuracy(True), 2), round(accuracy(False), 2)) == (0.87, 0.50)


def test_loss_before_the_first_step() -> None:
    loss = nn.functional.cross_entropy(torch.zeros(7, 10), torch.arange(7))
    assert round(loss.item(), 3) == round(math.log(10), 3) == 2.303


def test_a_small_network_fits_random_labels() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 200), nn.ReLU(), nn.Linear(200, 2))
    x, y = torch.randn(200, 20), torch.randint(2, (200,))
    new_x, new_y = torch.randn(2000, 20), torch.randint(2, (2000,))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    assert (net(x).argmax(dim=1) == y).float().mean() == 1
    assert_allclose((net(new_x).argmax(dim=1) == new_y).float().mean(), 0.5, atol=0.05)


def test_average_over_an_epoch() -> None:
    assert_allclose(np.linspace(1.0, 0.8, 101).mean(), 0.9)


def test_loss_and_accuracy_part_ways() -> None:
    early, late = np.array([0.6, 0.6, 0.4, 0.4]), np.array([0.9, 0.9, 0.9, 0.001])
    assert [np.mean(p > 0.5) for p in (early, late)] == [0.5, 0.75]
    assert rounded([np.mean(-np.log(p)) for p in (early, late)]) == [0.714, 1.806]
    assert round(-math.log(0.001), 1) == 6.9


def test_two_standard_errors_of_a_hundred_samples() -> None:
    assert_allclose(2 * math.sqrt(0.8 * 0.2 / 100), 0.08)


# --- Bias and variance ---


def test_terms_of_two_polynomials(chapter: dict[str, Any]) -> None:
    terms = chapter["terms"]
    assert rounded(terms(1, 20)[:2]) == [0.168, 0.009]
    assert rounded(terms(9, 20)[:2]) == [0.001, 0.123]
    assert rounded([terms(9, 80)[1], terms(1, 80)[0]]) == [0.012, 0.168]


def test_four_predictions_at_one_input() -> None:
    predictions = np.array([[1.0], [3.0], [2.0], [4.0]])
    parts = bias_variance(predictions, np.array([2.0]), 0.5)
    assert parts == (0.25, 1.25, 0.5)
    assert sum(parts) == 2.0
    assert round(predictions.var(ddof=1), 3) == 1.667


def test_doubling_the_data(chapter: dict[str, Any]) -> None:
    tests = [[chapter["terms"](degree, n)[3] for n in (20, 40)] for degree in (1, 9)]
    assert rounded(tests) == [0.268, 0.263, 0.214, 0.117]


# --- Penalties ---


def test_soft_threshold_and_ridge_of_three_weights() -> None:
    z = np.array([3.0, 1.0, 0.4])
    assert_allclose(soft_threshold(z, 0.5), [2.5, 0.5, 0])
    assert_allclose(lasso(np.sqrt(3) * np.eye(3), np.sqrt(3) * z, 0.5), [2.5, 0.5, 0], atol=1e-12)
    assert rounded(ridge(np.eye(3), z, 0.5)) == [2.0, 0.667, 0.267]


def test_sgd_never_lands_on_zero() -> None:
    weight = nn.Parameter(torch.tensor([0.4], dtype=torch.float64))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    for _ in range(5000):
        optimizer.zero_grad()
        ((weight - 0.4) ** 2 / 2 + 0.5 * weight.abs()).sum().backward()
        optimizer.step()
        assert weight.item() != 0


def test_lasso_is_zero_from_lambda_max_on() -> None:
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(20, 4)), rng.normal(size=20)
    largest = np.abs(features.T @ target).max() / 20
    assert not lasso(features, target, largest * (1 + 1e-9)).any()
    assert np.count_nonzero(lasso(features, target, largest * 0.99)) == 1


def test_twins_under_the_bootstrap() -> None:
    names = namespace_with("02_overfitting.ipynb", "counts")
    assert list(names["counts"].values()) == [94, 105, 101]
    assert rounded(names["mean"], 2) == [0.97, 0.96]
    assert rounded(names["spread"], 2) == [0.12, 0.08]


def test_ridge_is_the_mode_of_a_gaussian_posterior() -> None:
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(9, 3)), rng.normal(size=9)
    noise, prior = 0.5, 2.0
    w = torch.tensor(ridge(features, target, noise**2 / prior**2), requires_grad=True)
    residual = torch.tensor(target) - torch.tensor(features) @ w
    log_posterior = (
        torch.distributions.Normal(0, noise).log_prob(residual).sum()
        + torch.distributions.Normal(0, prior).log_prob(w).sum()
    )
    (slope,) = torch.autograd.grad(log_posterior, w)
    assert_allclose(slope, np.zeros(3), atol=1e-12)


def test_a_penalized_intercept_follows_by_three_quarters() -> None:
    y = np.array([1.0, 2.0, 6.0])
    before, after = (ridge(np.ones((3, 1)), target, 1.0)[0] for target in (y, y + 100))
    assert_allclose(after - before, 75)


def test_torch_decays_biases_too() -> None:
    layers = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.SGD(layers.parameters(), lr=1.0, weight_decay=0.1)
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.fill_(1.0)
    for parameter in layers.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for parameter in layers.parameters():
        assert_allclose(parameter.detach(), 0.9)


def test_weight_decay_for_mean_squared_error() -> None:
    assert_allclose(2 * 0.7 / 8, 0.175)
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(8, 5)), rng.normal(size=8)
    w = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1, weight_decay=0.175)
    for _ in range(2000):
        optimizer.zero_grad()
        nn.functional.mse_loss(torch.tensor(features) @ w, torch.tensor(target)).backward()
        optimizer.step()
    assert_allclose(w.detach(), ridge(features, target, 0.7), atol=1e-12)


def test_filter_of_three_singular_values() -> None:
    shares = ridge_filter([3.0, 1.0, 0.1], 1.0)
    assert rounded(shares, 4) == [0.9, 0.5, 0.0099]
    assert round(effective_dof(shares), 2) == 1.41
    assert_allclose(1 / 0.1, 10)


def test_identical_columns() -> None:
    rng = np.random.default_rng(0)
    column = rng.normal(size=20)
    features = np.column_stack([column, column])
    target = 2 * column + 0.1 * rng.normal(size=20)
    first, second = ridge(features, target, 0.5)
    assert_allclose(first, second)
    w = lasso(features, target, 0.1)
    assert w[0] > 1 and abs(w[1]) < 1e-12

    def cost(a: float, b: float) -> float:
        residual = target - features @ [a, b]
        return float((residual**2).sum() / 40 + 0.1 * (abs(a) + abs(b)))

    for share in (0.0, 0.3, 0.5, 1.0):
        assert_allclose(cost(share * w[0], (1 - share) * w[0]), cost(*w))


def test_units_and_the_penalty() -> None:
    rng = np.random.default_rng(0)
    meters, target = rng.normal(size=(20, 1)), rng.normal(size=20)
    free, scaled = ridge(meters, target, 0.0), ridge(1000 * meters, target, 0.0)
    assert_allclose(free, 1000 * scaled)
    assert_allclose(free**2 / scaled**2, 1e6)
    assert_allclose(1000 * ridge(1000 * meters, target, 5.0), ridge(meters, target, 5.0 / 1000**2))
    assert_allclose(1000 * lasso(1000 * meters, target, 0.1), lasso(meters, target, 0.1 / 1000))


# --- Dropout ---


def test_moments_of_dropout() -> None:
    for p, values in ((0.5, [0, 2]), (0.9, [0, 10])):
        out, _ = dropout(np.ones(400_000), p, np.random.default_rng(0))
        assert_allclose(np.unique(out), values)
        assert_allclose(out.mean(), 1, atol=0.02)
        assert_allclose(out.var(), p / (1 - p), rtol=0.02)
    assert_allclose(0.9 / (1 - 0.9), 9)


def test_dropout_is_ridge_by_column() -> None:
    """Exactly: the mean over all 2^6 masks, each with its probability."""
    rng = np.random.default_rng(0)
    features, target, w, p = rng.normal(size=(2, 3)), rng.normal(size=2), rng.normal(size=3), 0.3
    expected = 0.0
    for bits in range(64):
        mask = np.array([bits >> k & 1 for k in range(6)]).reshape(2, 3)
        share = np.prod(np.where(mask, 1 - p, p))
        expected += share * ((target - (mask * features / (1 - p)) @ w) ** 2).sum()
    plain = ((target - features @ w) ** 2).sum()
    assert_allclose(expected, plain + p / (1 - p) * (w**2 * (features**2).sum(axis=0)).sum())


def test_relu_after_dropout(chapter: dict[str, Any]) -> None:
    z, evaluation = chapter["unit_over_masks"](0.5, "inverted")
    assert rounded([np.maximum(z, 0).mean(), evaluation]) == [0.502, 0.3]


def test_functional_dropout_is_on_by_default() -> None:
    torch.manual_seed(0)
    assert (nn.functional.dropout(torch.ones(100), 0.5) == 0).any()


def test_a_five_under_dropout() -> None:
    torch.manual_seed(0)
    out = nn.Dropout(0.2)(torch.full((100_000,), 5.0, dtype=torch.float64))
    assert_allclose(np.unique(out), [0, 6.25])
    assert_allclose((out == 0).double().mean(), 0.2, atol=0.005)
    assert_allclose(out.var(), 0.2 / 0.8 * 25, rtol=0.02)
    assert math.sqrt(6.25) == 2.5


def test_batch_norm_behind_dropout(chapter: dict[str, Any]) -> None:
    relu = 1 / math.sqrt(2 * math.pi), 0.5
    ratios = []
    for mean, second in ((0.0, 1.0), relu, (2.0, 5.0)):
        training, evaluation = chapter["variances"](0.5, "inverted", mean, second)
        ratios.append(evaluation / training)
    assert rounded(ratios) == [0.5, 0.405, 0.167]
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(1, affine=False))
    data = torch.randn(100_000, 1) + 2
    for _ in range(60):
        layers(data)
    assert_allclose(layers.eval()(data).var().item(), 0.167, atol=0.004)


# --- Early stopping and augmentation ---


def test_largest_gap_of_the_filters() -> None:
    z = np.linspace(0.01, 50, 500_000)
    gap = np.abs(1 - np.exp(-z) - z / (1 + z))
    assert (round(gap.max(), 3), round(z[gap.argmax()], 2)) == (0.204, 2.51)
    assert_allclose(gd_filter([1.0], 1e-6, 2_510_000), 1 - math.exp(-2.51), atol=1e-6)


def test_early_stopping_of_a_polynomial() -> None:
    names = namespace_with("02_overfitting.ipynb", "stop_run")
    _, _, training, excess = names["stop_run"](20, 0.3)
    steps = list(names["stop_steps"])
    early, late = steps.index(15), steps.index(1_000_000)
    assert rounded(excess[[early]], 4) == [0.0275]
    assert round(excess[late], 1) == 16.4
    assert rounded(training[[early, late]], 4) == [0.0138, 0.0031]


def test_input_noise_is_ridge() -> None:
    assert_allclose(50 * 0.5**2, 12.5)
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(50, 3)), rng.normal(size=50)
    # Noise with these moments exactly: each column in turn, plus and minus.
    steps = 0.5 * math.sqrt(3) * np.vstack([np.eye(3), -np.eye(3)])
    copies = np.vstack([features + step for step in steps])
    w = np.linalg.lstsq(copies, np.tile(target, 6), rcond=None)[0]
    assert_allclose(w, ridge(features, target, 12.5), rtol=1e-10)


# --- Beyond the threshold ---


def test_double_descent(chapter: dict[str, Any]) -> None:
    excess = chapter["descent_results"]("parameters P")[0]
    plain = excess[:, 0, 1]
    assert rounded([plain[:7].min(), plain[-1], excess[-1, 3, 1]]) == [0.205, 0.173, 0.066]
    assert f"{plain[7]:.2g}" == "11"
    assert rounded([excess[:7, 0, 2].min(), excess[-1, 0, 2]]) == [0.300, 0.615]


def test_gradient_descent_finds_the_smallest_norm() -> None:
    rng = np.random.default_rng(0)
    features, target, w = rng.normal(size=(5, 12)), rng.normal(size=5), np.zeros(12)
    for _ in range(5000):
        w = w - 0.02 * features.T @ (features @ w - target)
    assert_allclose(w, np.linalg.pinv(features) @ target, atol=1e-10)


def test_more_data_can_hurt(chapter: dict[str, Any]) -> None:
    excess = chapter["descent_results"]("samples n")[0]
    peak = chapter["descent_sizes"]["samples n"].index(40)
    assert round(excess[0, 0, 1], 3) == 0.257
    assert f"{excess[peak, 0, 1]:.2g}" == "11"
    assert rounded(excess[[0, -1], 3, 1]) == [0.197, 0.063]
    assert f"{excess[0, 0, 0]:.3f} {excess[peak, 0, 0]:.2f}" == "0.191 2.54"
