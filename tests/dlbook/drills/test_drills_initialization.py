"""The drills of chapter 4: other right solutions, and known mistakes in other people's code."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from dlbook import initialization
from dlbook.drills import drill, grade
from dlbook.drills.initialization import distinct_units, fans, lsuv

# --- other right solutions ---


def fans_as_tuple(shape: Any) -> Any:
    area = 1
    for size in shape[2:]:
        area *= size
    return shape[1] * area, shape[0] * area


def fans_as_floats(shape: Any) -> Any:
    out, into, *kernel = shape
    return np.array([into, out]) * float(np.prod(kernel))


def normal_scaled_afterwards(shape: Any, rng: Any) -> Any:
    return rng.standard_normal(shape) * (np.prod(shape[1:]) / 2) ** -0.5


def units_by_rounding(w_in: Any, b: Any, w_out: Any, tol: Any) -> Any:
    """Compare pairs, and take from each group the first."""
    count = 0
    for j in range(len(b)):
        twins = [
            k
            for k in range(j)
            if abs(b[j] - b[k]) <= tol
            and np.allclose(w_in[j], w_in[k], rtol=0, atol=tol)
            and np.allclose(w_out[:, j], w_out[:, k], rtol=0, atol=tol)
        ]
        count += not twins
    return count


def polar(rows: Any, cols: Any, rng: Any) -> Any:
    """Take the orthogonal factor of the polar decomposition: it is fair as it is."""
    u, _, vt = np.linalg.svd(rng.normal(size=(rows, cols)), full_matrices=False)
    return u @ vt


def gram_schmidt(rows: Any, cols: Any, rng: Any) -> Any:
    out: list[Any] = []
    for row in rng.normal(size=(min(rows, cols), max(rows, cols))):
        for _ in range(2):
            row = row - sum(((row @ other) * other for other in out), np.zeros(row.size))
        out.append(row / np.linalg.norm(row))
    return np.array(out) if rows <= cols else np.array(out).T


def always_rescaled(weights: Any, x: Any, phi: Any, tol: Any) -> Any:
    out = []
    for w in weights:
        out.append(w / (x @ w.T).std())
        x = phi(x @ out[-1].T)
    return np.array(out)


def lsuv_in_a_loop(weights: Any, x: Any, phi: Any, tol: Any) -> Any:
    out = [w.copy() for w in weights]
    for w in out:
        while abs((x @ w.T).var() - 1) > tol / 2:
            w /= np.sqrt((x @ w.T).var())
        x = phi(x @ w.T)
    return tuple(out)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("fans", fans_as_tuple),
        ("fans", fans_as_floats),
        ("kaiming_normal", normal_scaled_afterwards),
        ("kaiming_normal", initialization.kaiming_normal),
        ("distinct_units", units_by_rounding),
        ("orthogonal", polar),
        ("orthogonal", gram_schmidt),
        ("orthogonal", lambda rows, cols, rng: initialization.orthogonal((rows, cols), rng)),
        ("lsuv", always_rescaled),
        ("lsuv", lsuv_in_a_loop),
    ],
)
def test_other_right_solutions_pass(name: str, function: Any) -> None:
    report = grade(name, function)
    assert report.passed, report


# --- known mistakes, written by somebody else ---


def in_out(shape: Any) -> Any:
    return shape[0] * math.prod(shape[2:]), shape[1] * math.prod(shape[2:])


def channels(shape: Any) -> Any:
    return [shape[1], shape[0]]


def squared_kernel(shape: Any) -> Any:
    into, out = fans_as_tuple(shape)
    return np.array([into, out]) * np.prod(shape[2:], dtype=int)


def two_over_fan(shape: Any, rng: Any) -> Any:
    return 2 / np.prod(shape[1:]) * rng.standard_normal(shape)


def backward_fan(shape: Any, rng: Any) -> Any:
    return rng.standard_normal(shape) * np.sqrt(2 / (np.prod(shape) / shape[1]))


def lecun(shape: Any, rng: Any) -> Any:
    return rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))


def flat(shape: Any, rng: Any) -> Any:
    std = np.sqrt(2 / np.prod(shape[1:]))
    return (2 * rng.random(shape) - 1) * std


def rows_of_w(w_in: Any, b: Any, w_out: Any, tol: Any) -> Any:
    return len({tuple(np.round(row, 5)) for row in w_in})


def forward_only(w_in: Any, b: Any, w_out: Any, tol: Any) -> Any:
    return len({(*np.round(row, 5), np.round(c, 5)) for row, c in zip(w_in, b, strict=True)})


def no_bias(w_in: Any, b: Any, w_out: Any, tol: Any) -> Any:
    return len({tuple(np.round(np.r_[w_in[j], w_out[:, j]], 5)) for j in range(len(b))})


def inputs_of_w(w_in: Any, b: Any, w_out: Any, tol: Any) -> Any:
    return rows_of_w(w_in.T, b, w_out, tol)


def exact(w_in: Any, b: Any, w_out: Any, tol: Any) -> Any:
    return len({(*w_in[j], b[j], *w_out[:, j]) for j in range(len(b))})


def householder(rows: Any, cols: Any, rng: Any) -> Any:
    a = rng.normal(size=(rows, cols))
    return np.linalg.qr(a)[0] if rows >= cols else np.linalg.qr(a.T)[0].T


def as_it_comes(rows: Any, cols: Any, rng: Any) -> Any:
    q, r = np.linalg.qr(rng.standard_normal((rows, cols)))
    return q * np.where(np.diag(r) > 0, 1, -1)


def unit_length(rows: Any, cols: Any, rng: Any) -> Any:
    return np.array([row / np.sqrt(row @ row) for row in rng.normal(size=(rows, cols))])


def all_at_once(weights: Any, x: Any, phi: Any, tol: Any) -> Any:
    spreads, h = [], x
    for w in weights:
        spreads.append(np.sqrt(np.var(h @ w.T)))
        h = phi(h @ w.T)
    return [w / s for w, s in zip(weights, spreads, strict=True)]


def over_variance(weights: Any, x: Any, phi: Any, tol: Any) -> Any:
    out = []
    for w in weights:
        out.append(w * np.var(x @ w.T) ** -1)
        x = phi(x @ out[-1].T)
    return out


def whitened_input(weights: Any, x: Any, phi: Any, tol: Any) -> Any:
    out = []
    for w in weights:
        out.append(w / np.sqrt(np.var(x)))
        x = phi(x @ out[-1].T)
    return out


def after_activation(weights: Any, x: Any, phi: Any, tol: Any) -> Any:
    out = []
    for w in weights:
        out.append(w / np.sqrt(np.var(phi(x @ w.T))))
        x = phi(x @ out[-1].T)
    return out


NUMBER = r"[\d.e+-]+"
MISTAKES = [
    ("fans", in_out, r"fans the wrong way round: torch stores \(\d+, \d+\) as \(out, in\)"),
    ("fans", channels, r"fan_in \d+, expected \d+: each input channel counts once for .*"),
    ("fans", squared_kernel, r"fan_in \d+, expected \d+: the kernel's area is counted twice"),
    ("kaiming_normal", two_over_fan, r"std \.?0\.0050, expected 0\.0707: scale takes the .*"),
    ("kaiming_normal", backward_fan, r"std 0\.22.., expected 0\.0707: that is fan_out, .*"),
    ("kaiming_normal", lecun, r"gain 1: each ReLU layer halves the mean square, to 9e-10 after 30"),
    ("kaiming_normal", flat, r"std 0\.04.., expected 0\.0707: that is a uniform law .*"),
    ("distinct_units", rows_of_w, r"compares incoming weights only: .*"),
    ("distinct_units", forward_only, r"the outgoing weights are not compared: .*"),
    ("distinct_units", no_bias, r"the bias is not compared: .*"),
    ("distinct_units", inputs_of_w, r"that counts columns of w_in: those are inputs, not units"),
    ("distinct_units", exact, r"compares to the last bit: use tol"),
    ("orthogonal", householder, r"Q\[0, 0\] is negative in 48 of 48 draws: fix the signs .*"),
    ("orthogonal", as_it_comes, r"shape \(2, 2\), not \(2, 3\): for a wide matrix .*"),
    ("orthogonal", unit_length, r"rows are unit length, not orthogonal"),
    ("lsuv", all_at_once, r"layer 2 was measured before layer 1 was rescaled: .*"),
    ("lsuv", over_variance, rf"divided by the variance {NUMBER}, not by .* deviation {NUMBER}"),
    ("lsuv", whitened_input, r"that is the spread of the layer's input: .*"),
    ("lsuv", after_activation, r"that is the spread after phi: .*"),
]


@pytest.mark.parametrize(
    ("name", "function", "message"), MISTAKES, ids=[f.__name__ for _, f, _ in MISTAKES]
)
def test_a_mistake_is_named_whoever_wrote_it(name: str, function: Any, message: str) -> None:
    report = grade(name, function)
    assert not report.passed
    assert re.fullmatch(message, report.mistake or ""), report


def test_every_mistake_is_written_a_second_time() -> None:
    for name in ("fans", "kaiming_normal", "distinct_units", "orthogonal", "lsuv"):
        assert sum(entry[0] == name for entry in MISTAKES) == len(drill(name).wrong)


# --- what the checks say ---


def test_the_same_seed_has_to_give_the_same_draws() -> None:
    own = np.random.default_rng(3)
    said = [
        grade("kaiming_normal", lambda s, rng: normal_scaled_afterwards(s, own)),
        grade("orthogonal", lambda rows, cols, rng: polar(rows, cols, own)),
    ]
    for report in said:
        assert report.failed_case is not None
        assert report.failed_case.reason.startswith("the same seed gave ")
        assert report.mistake is None


def test_a_law_with_the_right_deviation_need_not_be_normal() -> None:
    def uniform(shape: Any, rng: Any) -> Any:
        bound = math.sqrt(6 / np.prod(shape[1:]))
        return rng.uniform(-bound, bound, size=shape)

    report = grade("kaiming_normal", uniform)
    assert report.failed_case is not None
    assert report.failed_case.reason == "the deviation is right, but the law is not a normal one"
    assert report.mistake is None


def test_lsuv_may_only_rescale() -> None:
    def other(weights: Any, x: Any, phi: Any, tol: Any) -> Any:
        return [-w for w in lsuv(weights, x, phi, tol)[:1]] + lsuv(weights, x, phi, tol)[1:]

    report = grade("lsuv", other)
    assert report.failed_case is not None
    assert report.failed_case.reason == "weight 1 is not a positive multiple of what it was"


# --- the numbers in the messages ---


def test_numbers_of_the_fans() -> None:
    inputs: dict[str, Any] = {"shape": (128, 64, 3, 3)}
    facts = drill("fans").facts(inputs, None)
    assert (facts["without"], facts["wanted"]) == ("64", "576")
    assert fans((128, 64, 3, 3)).tolist() == [576, 1152]
    assert fans((64, 1, 3, 3)).tolist() == [9, 576]
    assert "576" in drill("fans").follow_up.answer
    assert initialization.fan_in_fan_out((64, 1, 3, 3), groups=64) == (9, 9)


def test_thirty_relu_layers_at_gain_one() -> None:
    """The message says 9e-10; a network of width 400 does the same, up to chance."""
    ends = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        h = rng.normal(size=(20, 400))
        for _ in range(30):
            h = np.maximum(h @ lecun((400, 400), rng).T, 0)
        ends.append((h**2).mean())
    assert np.mean(ends) == pytest.approx(2.0**-30, rel=0.4)


def test_kaiming_normal_keeps_the_mean_square() -> None:
    ends = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        h = rng.normal(size=(20, 400))
        for _ in range(30):
            h = np.maximum(h @ drill("kaiming_normal").reference((400, 400), rng).T, 0)
        ends.append((h**2).mean())
    assert np.mean(ends) == pytest.approx(1, rel=0.4)


def test_equal_units_have_equal_gradients_and_others_do_not() -> None:
    """The drill's notion of a unit, by autograd: copies share their gradient, near ones do not."""
    rng = np.random.default_rng(0)
    w_in, b, w_out = rng.normal(size=(3, 4)), rng.normal(size=3), rng.normal(size=(2, 3))
    parts = [np.r_[w_in, w_in[:1], w_in[:1]], np.r_[b, b[:1], b[:1]]]
    outgoing = np.c_[w_out, w_out[:, :1], w_out[:, 1:2]]
    assert distinct_units(*parts, outgoing, 1e-6) == 4
    weight, bias, leaving = (torch.tensor(part, requires_grad=True) for part in (*parts, outgoing))
    x = torch.tensor(rng.normal(size=(8, 4)))
    (torch.tanh(x @ weight.T + bias) @ leaving.T).pow(2).sum().backward()
    assert weight.grad is not None
    assert_allclose(weight.grad[0], weight.grad[3], rtol=1e-12)
    assert not np.allclose(weight.grad[0], weight.grad[4], rtol=1e-3)


def test_noise_in_the_bias_alone_moves_only_the_outgoing_weights_at_first() -> None:
    """What the follow-up of the units says, at all weights 0."""
    weight = torch.zeros(6, 2, requires_grad=True)
    bias = torch.tensor(np.random.default_rng(0).normal(size=6), dtype=torch.float32)
    bias.requires_grad_()
    leaving = torch.zeros(6, requires_grad=True)
    torch.tanh(torch.ones(5, 2) @ weight.T + bias).matmul(leaving).sub(1).pow(2).sum().backward()
    assert weight.grad is not None and bias.grad is not None and leaving.grad is not None
    assert not weight.grad.any() and not bias.grad.any()
    assert leaving.grad.unique().numel() == 6


@pytest.mark.parametrize("seed", range(3))
def test_fifty_matrices_multiplied(seed: int) -> None:
    rng = np.random.default_rng(seed)
    product = np.linalg.multi_dot([rng.normal(size=(100, 100)) / 10 for _ in range(50)])
    values = np.linalg.svd(product, compute_uv=False)
    assert values[0] > 4 and np.median(values) < 1e-7
    assert 0.4 < math.sqrt((values**2).mean()) < 1.2
    fair = np.linalg.multi_dot([drill("orthogonal").reference(100, 100, rng) for _ in range(50)])
    assert_allclose(np.linalg.svd(fair, compute_uv=False), 1, rtol=1e-12)
