"""The drills of chapter 1: other right solutions, and known mistakes in other people's code."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import torch

from dlbook.drills import drill, grade
from dlbook.drills.optimizers import adam, adamw, sgd
from dlbook.optimizers import adam_step, sgd_step

BETAS = (0.9, 0.999)


# --- other right solutions ---


def batches_from_keys(n: Any, batch_size: Any, rng: Any) -> Any:
    keys = rng.random(n)
    return np.split(np.argsort(keys), range(batch_size, n, batch_size))


def batches_by_popping(n: Any, batch_size: Any, rng: Any) -> Any:
    left, out = list(range(n)), []
    while left:
        size = min(batch_size, len(left))
        out.append(np.array([left.pop(rng.integers(len(left))) for _ in range(size)]))
    return tuple(out)


def batches_of_other_integers(n: Any, batch_size: Any, rng: Any) -> Any:
    return [batch.astype(np.uint16) for batch in batches_from_keys(n, batch_size, rng)]


def sgd_unrolled(theta: Any, grads: Any, lrs: Any, momentum: Any) -> Any:
    """Write each velocity as a weighted sum of all gradients so far."""
    t = np.arange(len(lrs))
    power = np.maximum(t[:, None] - t, 0)
    weights = np.tril(float(momentum) ** power)
    return theta - np.cumsum(lrs[:, None] * (weights @ grads), axis=0)


def sgd_by_steps(theta: Any, grads: Any, lrs: Any, momentum: Any) -> Any:
    out, state = np.empty(grads.shape), None
    for t in range(len(grads)):
        theta, state = sgd_step(theta, grads[t], state, lr=lrs[t], momentum=momentum)
        out[t] = theta
    return out


def adam_with_loops(theta: Any, grads: Any, lr: Any, betas: Any, eps: Any) -> Any:
    out = [[0.0] * len(theta) for _ in grads]
    for i, x in enumerate(theta.tolist()):
        first = second = 0.0
        for t, row in enumerate(grads.tolist()):
            first += (1 - betas[0]) * (row[i] - first)
            second += (1 - betas[1]) * (row[i] * row[i] - second)
            scale = math.sqrt(1 - betas[1] ** (t + 1))
            x -= lr / (1 - betas[0] ** (t + 1)) * first / (math.sqrt(second) / scale + eps)
            out[t][i] = x
    return np.array(out)


def adamw_from_old_weights(
    theta: Any, grads: Any, lr: Any, betas: Any, eps: Any, weight_decay: Any
) -> Any:
    """Compute decay and step, both from the weights before, and take them together."""
    out, state = [], None
    for grad in grads:
        moved, state = adam_step(theta, grad, state, lr=lr, beta1=betas[0], beta2=betas[1], eps=eps)
        theta = moved - lr * weight_decay * theta
        out.append(theta)
    return np.stack(out)


def limit_from_the_matrix(hvp: Any, dim: Any, momentum: Any, rng: Any) -> Any:
    matrix = np.stack([hvp(row) for row in np.eye(dim)])
    return (2 + 2 * momentum) / np.linalg.norm(matrix, ord=2)


def limit_until_it_settles(hvp: Any, dim: Any, momentum: Any, rng: Any) -> Any:
    direction, before, now = rng.uniform(-1, 1, dim), 0.0, np.inf
    while abs(now - before) > 1e-9 * abs(before):
        before, product = now if np.isfinite(now) else 0.0, hvp(direction)
        now = product @ direction / (direction @ direction)
        direction = product / np.abs(product).max()
    return np.array(2 * (1 + momentum) / now)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("minibatches", batches_from_keys),
        ("minibatches", batches_by_popping),
        ("minibatches", batches_of_other_integers),
        ("sgd", sgd_unrolled),
        ("sgd", sgd_by_steps),
        ("adam", adam_with_loops),
        ("adamw", adamw_from_old_weights),
        ("largest_stable_lr", limit_from_the_matrix),
        ("largest_stable_lr", limit_until_it_settles),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_another_right_solution_passes(name: str, function: Any) -> None:
    report = grade(name, function)
    assert report.passed, report


# --- known mistakes, written by somebody else ---


def picks(count: Any, per: Any, generator: Any) -> Any:
    everything = generator.choice(count, size=count, replace=True)
    return [everything[i : i + per] for i in range(0, count, per)]


def complete_only(count: Any, per: Any, generator: Any) -> Any:
    shuffled, out = np.arange(count), []
    generator.shuffle(shuffled)
    while len(shuffled) >= per:
        out.append(shuffled[:per])
        shuffled = shuffled[per:]
    return out


def frozen(count: Any, per: Any, generator: Any) -> Any:
    order = np.argsort(np.sin(np.arange(count) * 12.9898))
    return np.split(order, range(per, count, per))


def in_turn(count: Any, per: Any, generator: Any) -> Any:
    return [np.arange(a, min(a + per, count)) for a in range(0, count, per)]


def unseeded(count: Any, per: Any, generator: Any) -> Any:
    return np.split(np.random.permutation(count), range(per, count, per))


def textbook(x: Any, g: Any, etas: Any, mu: Any) -> Any:
    rows, change = [], 0.0
    for i in range(len(g)):
        change = mu * change - etas[i] * g[i]
        x = x + change
        rows.append(x)
    return np.array(rows)


def smoothed(x: Any, g: Any, etas: Any, mu: Any) -> Any:
    rows, average = [], 0 * x
    for i in range(len(g)):
        average += (1 - mu) * (g[i] - average)
        x = x - etas[i] * average
        rows.append(x)
    return np.array(rows)


def timid(x: Any, g: Any, etas: Any, mu: Any) -> Any:
    g = g.copy()
    g[0] *= 1 - mu
    return sgd_unrolled(x, g, etas, mu)


def dampened(x: Any, g: Any, etas: Any, mu: Any) -> Any:
    g = g.copy()
    g[1:] *= 1 - mu
    return sgd_unrolled(x, g, etas, mu)


def ahead(x: Any, g: Any, etas: Any, mu: Any) -> Any:
    rows, speed = [], None
    for i in range(len(g)):
        x, speed = sgd_step(x, g[i], speed, lr=etas[i], momentum=mu, nesterov=mu > 0)
        rows.append(x)
    return np.array(rows)


def one_array(x: Any, g: Any, etas: Any, mu: Any) -> Any:
    x, rows, speed = x.copy(), [], 0
    for i in range(len(g)):
        speed = mu * speed + g[i]
        x -= etas[i] * speed
        rows.append(x)
    return np.array(rows)


def from_zero(x: Any, g: Any, eta: Any, memories: Any, tiny: Any) -> Any:
    a, b = memories
    rows, m1, m2 = [], np.zeros(x.shape), np.zeros(x.shape)
    for i in range(len(g)):
        m1, m2 = m1 + (1 - a) * (g[i] - m1), m2 + (1 - b) * (g[i] ** 2 - m2)
        x = x - eta * (m1 / (1 - a**i)) / (tiny + (m2 / (1 - b**i)) ** 0.5)
        rows.append(x)
    return np.array(rows)


def raw(x: Any, g: Any, eta: Any, memories: Any, tiny: Any) -> Any:
    rows, state = [], None
    for row in g:
        x, state = adam_step(
            x, row, state, lr=eta, beta1=memories[0], beta2=memories[1], eps=tiny,
            bias_correction=False,
        )  # fmt: skip
        rows.append(x)
    return np.array(rows)


def under_the_root(x: Any, g: Any, eta: Any, memories: Any, tiny: Any) -> Any:
    rows, m1, m2 = [], 0, 0
    for i, row in enumerate(g, 1):
        m1 = memories[0] * m1 + row - memories[0] * row
        m2 = memories[1] * m2 + row * row - memories[1] * row * row
        root = (m2 / (1 - memories[1] ** i) + tiny) ** 0.5
        x = x - eta * m1 / (1 - memories[0] ** i) / root
        rows.append(x)
    return np.array(rows)


def folded_correction(x: Any, g: Any, eta: Any, memories: Any, tiny: Any) -> Any:
    rows, m1, m2 = [], 0, 0
    for i, row in enumerate(g, 1):
        m1 = memories[0] * m1 + (1 - memories[0]) * row
        m2 = memories[1] * m2 + (1 - memories[1]) * row * row
        rate = eta * (1 - memories[1] ** i) ** 0.5 / (1 - memories[0] ** i)
        x = x - rate * m1 / (m2**0.5 + tiny)
        rows.append(x)
    return np.array(rows)


def one_adam_array(x: Any, g: Any, eta: Any, memories: Any, tiny: Any) -> Any:
    return np.stack([adam(x, g, eta, memories, tiny)[-1]] * len(g))


def l2(x: Any, g: Any, eta: Any, memories: Any, tiny: Any, decay: Any) -> Any:
    rows, state = [], None
    for row in g:
        x, state = adam_step(
            x, row, state, lr=eta, beta1=memories[0], beta2=memories[1], eps=tiny,
            weight_decay=decay,
        )  # fmt: skip
        rows.append(x)
    return np.array(rows)


def whole_decay(x: Any, g: Any, eta: Any, memories: Any, tiny: Any, decay: Any) -> Any:
    return adamw(x, g, eta, memories, tiny, decay / eta)


def late_decay(x: Any, g: Any, eta: Any, memories: Any, tiny: Any, decay: Any) -> Any:
    rows, state = [], None
    for row in g:
        x, state = adam_step(x, row, state, lr=eta, beta1=memories[0], beta2=memories[1], eps=tiny)
        x = x - eta * decay * x
        rows.append(x)
    return np.array(rows)


def one_adamw_array(x: Any, g: Any, eta: Any, memories: Any, tiny: Any, decay: Any) -> Any:
    return np.stack([adamw(x, g, eta, memories, tiny, decay)[-1]] * len(g))


def runaway(product: Any, size: Any, mu: Any, generator: Any) -> Any:
    w = generator.uniform(size=size)
    for _ in range(64):
        w = product(w)
    return 2 * (1 + mu) * np.linalg.norm(w) / np.linalg.norm(product(w))


def reciprocal(product: Any, size: Any, mu: Any, generator: Any) -> Any:
    return limit_from_the_matrix(product, size, 0, generator) / 2


def plain_descent(product: Any, size: Any, mu: Any, generator: Any) -> Any:
    return limit_from_the_matrix(product, size, 0, generator)


def ones(product: Any, size: Any, mu: Any, generator: Any) -> Any:
    w = np.ones(size) / size**0.5
    for _ in range(70):
        w = product(w) / np.linalg.norm(product(w))
    return (2 + 2 * mu) / (w @ product(w))


MISTAKES = [
    (
        "minibatches",
        picks,
        r"index \d+ (twice|\d+ times), index \d+ never in one epoch: draw without replacement",
    ),
    ("minibatches", complete_only, r"\d+ of \d+ samples seen: keep the last, short batch"),
    ("minibatches", frozen, "two epochs have the same order: draw a new permutation"),
    ("minibatches", in_turn, "not shuffled: the indices come in the order 0, 1, 2, …"),
    ("minibatches", unseeded, "the same seed gives different batches: draw from rng alone"),
    ("sgd", textbook, r"equal until the lr changes at step \d+: keep lr outside v, as torch does"),
    ("sgd", smoothed, r"every step is 10 times too small \(1-momentum=0.1\): .*"),
    ("sgd", timid, "the first step differs: v starts as the whole gradient, v = g"),
    ("sgd", dampened, "only the first step is right: later gradients enter v whole, .*"),
    ("sgd", ahead, "that is Nesterov's step: step along v itself"),
    ("sgd", one_array, "every row is the last one: append a copy"),
    ("adam", from_zero, "division by zero at t=0: count steps from 1"),
    ("adam", raw, "the first step is 3.16 lr, not lr: correct the bias of m and v"),
    (
        "adam",
        under_the_root,
        r"agrees for \|g\|=1, not for \|g\|=1e-6 \(\.0100 against \.9901\): "
        "eps is outside the root",
    ),
    ("adam", folded_correction, r"agrees for \|g\|=1, not for \|g\|=1e-8 \(0\.031 lr .*"),
    ("adam", one_adam_array, "every row is the last one: append a copy"),
    ("adamw", l2, "that is Adam with L2: the decay must not pass through v"),
    ("adamw", whole_decay, r"decay is lr·weight_decay in torch: a step keeps .*"),
    ("adamw", late_decay, "differs by lr·weight_decay·Δ, with Δ the step of Adam: shrink first"),
    ("adamw", one_adamw_array, "every row is the last one: append a copy"),
    ("largest_stable_lr", runaway, "overflow: each product multiplies v by .*"),
    (
        "largest_stable_lr",
        reciprocal,
        "that is 1/L: half of the limit at momentum 0, less with momentum",
    ),
    ("largest_stable_lr", plain_descent, r"right for momentum 0 only: .*"),
    ("largest_stable_lr", ones, "ones can be orthogonal to the steepest direction: .*"),
]


@pytest.mark.parametrize(
    ("name", "function", "message"), MISTAKES, ids=[f.__name__ for _, f, _ in MISTAKES]
)
def test_a_mistake_is_named_whoever_wrote_it(name: str, function: Any, message: str) -> None:
    report = grade(name, function)
    assert not report.passed
    assert re.fullmatch(message, report.mistake or ""), report


def test_every_mistake_is_written_a_second_time() -> None:
    for name in ("minibatches", "sgd", "adam", "adamw", "largest_stable_lr"):
        assert sum(entry[0] == name for entry in MISTAKES) == len(drill(name).wrong)


# --- the numbers in the messages ---


def wrong(name: str, start: str) -> Any:
    """Return the wrong solution whose words begin so."""
    return next(f for words, f in drill(name).wrong.items() if words.startswith(start))


def test_indices_in_the_message_are_those_of_the_epoch_shown() -> None:
    def biased(n: int, batch_size: int, rng: Any) -> Any:
        """Draw 7 twice and 3 never, where there are so many."""
        order = rng.permutation(n)
        order[order == 3] = 7 if n > 7 else 3
        return np.split(order, range(batch_size, n, batch_size))

    report = grade("minibatches", biased)
    assert report.failed_case is not None
    assert report.failed_case.reason == "index 7 twice, index 3 never in one epoch"
    assert report.failed_case.inputs["n"] == 8
    assert "7" in report.failed_case.got and "3" not in report.failed_case.got  # type: ignore[operator]
    assert report.mistake == "index 7 twice, index 3 never in one epoch: draw without replacement"


def test_seen_samples_are_counted() -> None:
    facts = drill("minibatches").facts
    inputs: dict[str, Any] = {"n": 100, "batch_size": 97, "seed": 0}
    got = drill("minibatches").call(wrong("minibatches", "{seen}"), inputs)
    assert facts(inputs, got)["seen"] == "97"
    assert facts(inputs, got)["n"] == "100"


def test_the_lr_changes_at_step_six() -> None:
    lrs = np.repeat([0.1, 0.01], 5)
    inputs: dict[str, Any] = {
        "theta": np.ones(1),
        "grads": np.ones((10, 1)),
        "lrs": lrs,
        "momentum": 0.9,
    }
    assert drill("sgd").facts(inputs, None)["change"] == "6"
    ours, theirs = wrong("sgd", "equal until")(*inputs.values()), sgd(*inputs.values())
    assert np.allclose(ours[:5], theirs[:5], rtol=1e-14)
    assert not np.isclose(ours[5], theirs[5], rtol=1e-3).any()


def test_steps_are_ten_times_too_small() -> None:
    inputs: dict[str, Any] = {
        "theta": np.zeros(2),
        "grads": np.random.default_rng(0).normal(size=(6, 2)),
        "lrs": np.full(6, 0.1),
        "momentum": 0.9,
    }
    assert drill("sgd").facts(inputs, None)["factor"] == "10"
    ratio = sgd(*inputs.values()) / wrong("sgd", "every step is")(*inputs.values())
    assert ratio == pytest.approx(10)


@pytest.mark.parametrize(("beta2", "first"), [(0.999, "3.16"), (0.95, "0.447")])
def test_the_first_step_without_correction(beta2: float, first: str) -> None:
    inputs: dict[str, Any] = {
        "theta": np.zeros(1),
        "grads": np.full((1, 1), 3.0),
        "lr": 0.1,
        "betas": (0.9, beta2),
        "eps": 1e-8,
    }
    assert drill("adam").facts(inputs, None)["first"] == first
    step = -wrong("adam", "the first step")(*inputs.values()).item() / 0.1
    assert step == pytest.approx(float(first), rel=2e-3)
    assert -adam(*inputs.values()).item() / 0.1 == pytest.approx(1)


def first_step(function: Any, size: float) -> float:
    """Return Adam's first step in units of the learning rate."""
    path = function(np.zeros(1), np.full((1, 1), size), 0.1, BETAS, 1e-8)
    return float(-path.item() / 0.1)


def torch_first_step(size: float) -> float:
    parameter = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    parameter.grad = torch.full((1,), size, dtype=torch.float64)
    torch.optim.Adam([parameter], lr=0.1, betas=BETAS, eps=1e-8).step()
    return float(-parameter.item() / 0.1)


def test_eps_inside_the_root_agrees_at_one_only() -> None:
    inside = wrong("adam", "agrees for |g|=1, not for |g|=1e-6")
    assert f"{first_step(inside, 1e-6):.4f}" == "0.0100"
    assert f"{torch_first_step(1e-6):.4f}" == "0.9901"
    assert first_step(inside, 1.0) == pytest.approx(torch_first_step(1.0), rel=1e-7)


def test_eps_before_the_correction() -> None:
    early = wrong("adam", "agrees for |g|=1, not for |g|=1e-8")
    assert f"{first_step(early, 1e-8):.3f}" == "0.031"
    assert f"{torch_first_step(1e-8):.3f}" == "0.500"
    assert first_step(early, 1.0) == pytest.approx(torch_first_step(1.0), rel=1e-6)


def test_late_decay_is_off_by_lr_times_decay_times_step() -> None:
    theta, grads = np.array([1.5, -0.5]), np.array([[0.3, 2.0]])
    lr, decay = 0.1, 0.5
    off = wrong("adamw", "differs by")(theta, grads, lr, BETAS, 1e-8, decay) - adamw(
        theta, grads, lr, BETAS, 1e-8, decay
    )
    step = theta - adam(theta, grads, lr, BETAS, 1e-8)
    assert off == pytest.approx(lr * decay * step)


def test_what_a_step_keeps_of_a_weight() -> None:
    inputs: dict[str, Any] = {
        "theta": np.ones(1),
        "grads": np.zeros((1, 1)),
        "lr": 0.1,
        "betas": BETAS,
        "eps": 1e-8,
        "weight_decay": 0.5,
    }
    facts = drill("adamw").facts(inputs, None)
    assert adamw(*inputs.values()).item() == pytest.approx(float(facts["kept"]))
    assert facts["kept"] == "0.95"
    left = wrong("adamw", "decay is lr")(*inputs.values()).item()
    assert left == pytest.approx(float(facts["left"]))
    assert facts["left"] == "0.5"


@pytest.mark.parametrize(("momentum", "share"), [(0.0, 0.5), (0.5, 1 / 3), (0.9, 0.5 / 1.9)])
def test_the_inverse_curvature_is_half_of_the_limit_or_less(momentum: float, share: float) -> None:
    inputs: dict[str, Any] = {"hessian": np.diag([1.0, 20.0]), "momentum": momentum, "seed": 0}
    entry = drill("largest_stable_lr")
    got = entry.call(wrong("largest_stable_lr", "that is 1/L"), inputs)
    assert got / entry.call(entry.reference, inputs) == pytest.approx(share)


def test_the_limit_is_where_heavy_ball_stops_converging() -> None:
    """Not only a formula: on both sides of the limit, descend."""
    inputs: dict[str, Any] = {
        "hessian": np.array([[2.0, 1.0], [1.0, 2.0]]),
        "momentum": 0.9,
        "seed": 0,
    }
    entry = drill("largest_stable_lr")
    limit = entry.call(entry.reference, inputs)
    for factor, converges in ((0.99, True), (1.01, False)):
        theta: Any = np.ones(2)
        velocity = None
        for _ in range(3000):
            theta, velocity = sgd_step(
                theta, inputs["hessian"] @ theta, velocity, lr=factor * limit, momentum=0.9
            )
            if abs(theta).max() > 1e6:
                break
        assert bool(abs(theta).max() < 1e-3) is converges


def test_follow_ups_say_true_numbers() -> None:
    from dlbook.optimizers import adam_step_bound, max_stable_lr

    assert "7.27" in drill("adam").follow_up.answer
    assert adam_step_bound(*BETAS)[1] == pytest.approx(7.27, abs=5e-3)
    assert "ten gradients at 0.9" in drill("sgd").follow_up.answer
    assert pytest.approx(10) == 1 / (1 - 0.9)
    assert "1.41" in drill("minibatches").follow_up.answer
    assert float(max_stable_lr(1, 0.9999, nesterov=True)) == pytest.approx(4 / 3, rel=1e-3)
    assert float(max_stable_lr(1, 0.5, nesterov=True)) == pytest.approx(2 * 1.5 / (1 + 2 * 0.5))
    assert float(max_stable_lr(1, 0.9999)) == pytest.approx(4, rel=1e-3)
