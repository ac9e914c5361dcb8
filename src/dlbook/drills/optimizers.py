"""The drills of chapter 1: mini-batches, momentum, Adam, AdamW, and the largest stable lr.

Each drill is its reference, its typical wrong solutions, and its record. The names with a leading
underscore are wrong on purpose, or make cases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlbook.drills import compare, shrink, storage
from dlbook.drills.record import Drill, FollowUp, Function, Inputs

Array = NDArray[np.floating[Any]]
Indices = NDArray[np.integer[Any]]
Betas = tuple[float, float]

DEFAULT_BETAS = (0.9, 0.999)


# --- minibatches ---


def minibatches(n: int, batch_size: int, rng: np.random.Generator) -> list[Indices]:
    """Split one epoch of ``n`` samples into batches of indices, in a new random order.

    Parameters
    ----------
    n, batch_size : int
        At least 1.
    rng : numpy.random.Generator
        Draws the order.

    Returns
    -------
    list of arrays of int
        ``batch_size`` indices each, in the last one what is left.
    """
    order = rng.permutation(n)
    return [order[start : start + batch_size] for start in range(0, n, batch_size)]


def _with_replacement(n: int, batch_size: int, rng: np.random.Generator) -> list[Indices]:
    sizes = [min(batch_size, n - start) for start in range(0, n, batch_size)]
    return [rng.integers(n, size=size) for size in sizes]


def _last_dropped(n: int, batch_size: int, rng: np.random.Generator) -> list[Indices]:
    return minibatches(n, batch_size, rng)[: n // batch_size]


def _always_the_same(n: int, batch_size: int, rng: np.random.Generator) -> list[Indices]:
    return minibatches(n, batch_size, np.random.default_rng(0))


def _not_shuffled(n: int, batch_size: int, rng: np.random.Generator) -> list[Indices]:
    return [np.arange(n)[start : start + batch_size] for start in range(0, n, batch_size)]


def _own_generator(n: int, batch_size: int, rng: np.random.Generator) -> list[Indices]:
    return minibatches(n, batch_size, np.random.default_rng())


class _Epochs(NamedTuple):
    """Epochs in a row from one generator, and once more from another with its seed."""

    first: list[Any]
    again: list[Any]


class _Verdict(NamedTuple):
    """What is wrong with the epochs; ``symptoms`` tell one kind of mistake from another."""

    symptoms: frozenset[str]
    reason: str | None
    shown: list[Any]


def _draw_epochs(function: Function, inputs: Inputs) -> _Epochs:
    # Few samples often come in the same order, or complete, by chance: then two are not enough.
    count = 2 if inputs["n"] >= 12 else 20
    first, again = (
        [function(inputs["n"], inputs["batch_size"], rng) for _ in range(count)]
        for rng in (np.random.default_rng(inputs["seed"]) for _ in range(2))
    )
    return _Epochs(first, again)


def _batch_sizes(inputs: Inputs) -> Indices:
    full, rest = divmod(inputs["n"], inputs["batch_size"])
    return np.array([inputs["batch_size"]] * full + [rest] * (rest > 0))


def _judge(inputs: Inputs, sizes: Indices, got: _Epochs) -> _Verdict:
    for epoch in (*got.first, *got.again):
        if reason := _not_batches(epoch):
            return _Verdict(frozenset({"form"}), reason, [epoch])
    n = inputs["n"]
    orders = [_order(epoch) for epoch in got.first]
    again = [_order(epoch) for epoch in got.again]
    found = {
        **_bad_epochs(n, sizes, got.first, orders),
        **(_bad_orders(n, got, orders, again) if n > 1 else {}),
    }
    reason, shown = next(iter(found.values()), (None, got.first[:1]))
    return _Verdict(frozenset(found), reason, shown)


def _order(epoch: Any) -> Indices:
    """Join the batches; ``intp`` is what counting takes, and has 32 bits in a web page."""
    return np.concatenate([np.arange(0), *epoch]).astype(np.intp)


def _not_batches(epoch: Any) -> str | None:
    if not isinstance(epoch, list | tuple):
        return f"it returned {compare.described(epoch)}, not a list of index arrays"
    for batch in epoch:
        if not isinstance(batch, np.ndarray) or batch.ndim != 1:
            return f"a batch is {compare.described(batch)}, not an array with one axis"
        if batch.dtype.kind not in "iu":
            kind = compare.KINDS.get(batch.dtype.kind, "objects")
            return f"a batch holds {kind}, not integers"
    return None


def _bad_epochs(
    n: int, sizes: Indices, epochs: list[Any], orders: list[Indices]
) -> dict[str, tuple[str, list[Any]]]:
    """Return what is wrong with single epochs: symptom, words, and the epoch."""
    found: dict[str, tuple[str, list[Any]]] = {}
    for epoch, order in zip(epochs, orders, strict=True):
        outside = order[(order < 0) | (order >= n)]
        if outside.size:
            words = f"index {outside[0]} is outside 0 … {n - 1}"
            found.setdefault("outside", (words, [epoch]))
            continue
        counts = np.bincount(order, minlength=n)
        if counts.max() > 1:
            found.setdefault("repeated", (f"{_irregular(counts)} in one epoch", [epoch]))
        if counts.min() == 0:
            words = f"an epoch has {np.count_nonzero(counts)} of {n} samples"
            found.setdefault("missing", (words, [epoch]))
        if [len(batch) for batch in epoch] != sizes.tolist():
            found.setdefault("sizes", ("the batches have other sizes", [epoch]))
    return found


def _bad_orders(
    n: int, got: _Epochs, orders: list[Indices], again: list[Indices]
) -> dict[str, tuple[str, list[Any]]]:
    """Return what is wrong with the orders of several epochs."""
    found: dict[str, tuple[str, list[Any]]] = {}
    if all(np.array_equal(order, orders[0]) for order in orders):
        found["same order"] = ("the epochs have the same order", got.first[:2])
        if np.array_equal(orders[0], np.sort(orders[0])):
            found["sorted"] = ("the order is that of the numbers", got.first[:1])
    for place, (one, other) in enumerate(zip(orders, again, strict=True)):
        if not np.array_equal(one, other):
            shown = [got.first[place], got.again[place]]
            found["not repeatable"] = ("the same seed gave another order", shown)
    return found


def _irregular(counts: Indices) -> str:
    """Say which index comes how often: index 7 twice, index 3 never."""
    often = int(np.argmax(counts))
    times = "twice" if counts[often] == 2 else f"{counts[often]} times"
    never = f", index {int(np.argmin(counts))} never" if counts.min() == 0 else ""
    return f"index {often} {times}{never}"


def _check_epochs(inputs: Inputs, sizes: Indices, got: _Epochs) -> str | None:
    return _judge(inputs, sizes, got).reason


def _same_symptoms(inputs: Inputs, one: _Epochs, other: _Epochs) -> bool:
    sizes = _batch_sizes(inputs)
    return _judge(inputs, sizes, one).symptoms == _judge(inputs, sizes, other).symptoms


def _epoch_facts(inputs: Inputs, got: _Epochs) -> Mapping[str, str]:
    epoch = _judge(inputs, _batch_sizes(inputs), got).shown[0]
    counts = np.bincount(_order(epoch), minlength=inputs["n"])
    return {
        "irregular": _irregular(counts),
        "seen": str(np.count_nonzero(counts)),
        "n": str(inputs["n"]),
    }


def _display_epochs(inputs: Inputs, sizes: Indices, got: _Epochs | None) -> tuple[str, str]:
    listed = ", ".join(str(size) for size in sizes[:8]) + (", …" if len(sizes) > 8 else "")
    wanted = f"each index once, in a new order at each call; batch sizes {listed}"
    if got is None:
        return wanted, ""
    return wanted, "\n".join(_one_epoch(epoch) for epoch in _judge(inputs, sizes, got).shown)


def _one_epoch(epoch: Any) -> str:
    if _not_batches(epoch):
        return compare.text(epoch)
    lists = [str([int(i) for i in batch]) for batch in epoch]
    return " ".join(lists[:8]) + (" …" if len(lists) > 8 else "") or "(no batch)"


def _draw_minibatches(rng: np.random.Generator) -> Inputs:
    # From 12 samples on, two random epochs are never alike or complete by chance.
    n = int(rng.integers(12, 41))
    return {
        "n": n,
        "batch_size": int(rng.integers(1, n // 2 + 1)),
        "seed": int(rng.integers(1000)),
    }


def _fewer_samples(inputs: Inputs) -> Iterator[Inputs]:
    n, size, seed = inputs["n"], inputs["batch_size"], inputs["seed"]
    several = size < n
    less = ((n // 2, size), (n - size, size), (n, size // 2), (n - 1, size), (n, size - 1))
    for fewer, smaller in (*less, (n - 1, size - 1)):
        changed = (fewer, smaller) != (n, size) and min(fewer, smaller) >= 1
        # More than one batch stays more than one: an epoch of one batch teaches little.
        if changed and several == (smaller < fewer):
            yield {"n": fewer, "batch_size": smaller, "seed": seed}
    if seed:
        yield dict(inputs) | {"seed": 0}


MINIBATCHES = Drill(
    name="minibatches",
    chapter="optimizers",
    level="screening",
    task=(
        "Split one epoch of `n` samples into mini-batches. Return a list of one-dimensional "
        "integer arrays that hold each of the indices 0 … `n - 1` exactly once, in an order that "
        "`rng` (a `numpy.random.Generator`) draws anew at each call. Every batch has `batch_size` "
        "indices; the last one keeps what is left."
    ),
    signature="minibatches(n, batch_size, rng) -> list of index arrays",
    hints=(
        "What does *once in each epoch* say about drawing an index for each place separately?",
        "`rng.permutation(n)` is a new random order of all indices.",
        "Cut that order into slices that begin at 0, `batch_size`, `2 * batch_size`, …: a slice "
        "that reaches beyond the end is simply shorter.",
    ),
    reference=minibatches,
    wrong={
        "{irregular} in one epoch: draw without replacement": _with_replacement,
        "{seen} of {n} samples seen: keep the last, short batch": _last_dropped,
        "two epochs have the same order: draw a new permutation": _always_the_same,
        "not shuffled: the indices come in the order 0, 1, 2, …": _not_shuffled,
        "the same seed gives different batches: draw from rng alone": _own_generator,
    },
    draw=_draw_minibatches,
    smaller=_fewer_samples,
    cases=storage.path("minibatches"),
    follow_up=FollowUp(
        "You double the batch size. What happens to the gradient's expectation and to its error?",
        "The expectation stays. The variance halves, so the error falls only by a factor of 1.41, "
        "for twice the work a step.",
    ),
    call=_draw_epochs,
    setting="rng = np.random.default_rng(seed), for several epochs one after another",
    answer=_batch_sizes,
    check=_check_epochs,
    agree=_same_symptoms,
    facts=_epoch_facts,
    display=_display_epochs,
)


# --- sgd ---


def sgd(theta: Array, grads: Array, lrs: Array, momentum: float) -> Array:
    """Follow gradient descent with momentum, as ``torch.optim.SGD`` does.

    Parameters
    ----------
    theta : array of float64, shape (D,)
        The start.
    grads : array of float64, shape (T, D)
        The gradient of each step.
    lrs : array of float64, shape (T,)
        The learning rate of each step.
    momentum : float
        In [0, 1).

    Returns
    -------
    array of float64, shape (T, D)
        The parameters after each step.
    """
    path, velocity = [], np.zeros_like(theta)
    for grad, lr in zip(grads, lrs, strict=True):
        velocity = momentum * velocity + grad
        theta = theta - lr * velocity
        path.append(theta)
    return np.array(path)


def _descend(
    velocities: Callable[[Array, Array, float], Iterator[Array]],
    theta: Array,
    grads: Array,
    lrs: Array,
    momentum: float,
) -> Array:
    """Sum up steps, which ``velocities(grads, lrs, momentum)`` yields without the sign."""
    return np.asarray(theta - np.cumsum(list(velocities(grads, lrs, momentum)), axis=0))


def _lr_inside(grads: Array, lrs: Array, momentum: float) -> Iterator[Array]:
    v = np.zeros_like(grads[0])
    for grad, lr in zip(grads, lrs, strict=True):
        v = momentum * v + lr * grad
        yield v


def _averaged(grads: Array, lrs: Array, momentum: float) -> Iterator[Array]:
    v = np.zeros_like(grads[0])
    for grad, lr in zip(grads, lrs, strict=True):
        v = momentum * v + (1 - momentum) * grad
        yield lr * v


def _first_damped(grads: Array, lrs: Array, momentum: float) -> Iterator[Array]:
    v = (1 - momentum) * grads[0]
    for t, lr in enumerate(lrs):
        v = momentum * v + grads[t] if t else v
        yield lr * v


def _later_damped(grads: Array, lrs: Array, momentum: float) -> Iterator[Array]:
    v = grads[0]
    for t, lr in enumerate(lrs):
        v = momentum * v + (1 - momentum) * grads[t] if t else v
        yield lr * v


def _nesterov(grads: Array, lrs: Array, momentum: float) -> Iterator[Array]:
    v = np.zeros_like(grads[0])
    for grad, lr in zip(grads, lrs, strict=True):
        v = momentum * v + grad
        yield lr * (grad + momentum * v)


def _last_row_repeated(reference: Function, theta: Array, grads: Array, *others: Any) -> Array:
    path: Array = reference(theta, grads, *others)
    return np.repeat(path[-1:], len(path), axis=0)


def _sgd_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    changes = np.flatnonzero(np.diff(inputs["lrs"]))
    rest = 1 - inputs["momentum"]
    return {
        "change": str(int(changes[0]) + 2 if changes.size else 1),
        "factor": f"{1 / rest:.3g}",
        "rest": f"{rest:.3g}",
    }


def _gradients(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Draw gradients of ordinary size, with some zeros and some tiny ones among them."""
    magnitudes = rng.choice([0.0, 1e-6, 1.0], size=shape, p=[0.1, 0.2, 0.7])
    signs = rng.choice([-1.0, 1.0], size=shape)
    return np.asarray(signs * magnitudes * rng.uniform(0.3, 3.0, size=shape))


def _draw_sgd(rng: np.random.Generator) -> Inputs:
    steps, size = int(rng.integers(2, 9)), int(rng.integers(1, 4))
    lrs = np.full(steps, rng.choice([0.1, 0.03]))
    lrs[int(rng.integers(1, steps)) :] *= rng.choice([0.1, 0.5])
    return {
        "theta": rng.normal(size=size),
        "grads": _gradients(rng, (steps, size)),
        "lrs": lrs,
        "momentum": float(rng.choice([0.0, 0.5, 0.9, 0.99], p=[0.1, 0.3, 0.5, 0.1])),
    }


def _smaller_sgd(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, theta=0, grads=1)
    yield from shrink.dropped(inputs, grads=0, lrs=0)
    yield from shrink.plainer(inputs, "lrs", 0.1, 0.01)
    yield from shrink.plainer(inputs, "momentum", 0.0, 0.9)
    yield from shrink.plainer(inputs, "theta", 0.0, 1.0)
    yield from shrink.plainer(inputs, "grads", 0.0, 1.0)


SGD = Drill(
    name="sgd",
    chapter="optimizers",
    level="screening",
    task=(
        "Follow gradient descent with momentum, as `torch.optim.SGD` does it. `theta` `(D,)` is "
        "the start, `grads` `(T, D)` holds the gradient of each step, `lrs` `(T,)` its learning "
        "rate, which changes on the way. Return the parameters after each step, an array of "
        "shape `(T, D)`. Leave the arguments as they are."
    ),
    signature="sgd(theta, grads, lrs, momentum) -> array (T, D)",
    hints=(
        "Two things change from step to step: the parameters and the velocity. Which of them "
        "should feel a new learning rate at once?",
        "The velocity is a decayed *sum* of gradients, not an average, and starts at zero: "
        "`velocity = momentum * velocity + grad`.",
        "The learning rate enters last: `theta = theta - lr * velocity`. This makes a new array, "
        "so the argument stays as it is; append it to a list and return `np.array(path)`.",
    ),
    reference=sgd,
    wrong={
        "equal until the lr changes at step {change}: keep lr outside v, as torch does": partial(
            _descend, _lr_inside
        ),
        "every step is {factor} times too small (1-momentum={rest}): v is a sum of gradients, "
        "not an average": partial(_descend, _averaged),
        "the first step differs: v starts as the whole gradient, v = g": partial(
            _descend, _first_damped
        ),
        "only the first step is right: later gradients enter v whole, "
        "v = momentum * v + g": partial(_descend, _later_damped),
        "that is Nesterov's step: step along v itself": partial(_descend, _nesterov),
        "every row is the last one: append a copy": partial(_last_row_repeated, sgd),
    },
    draw=_draw_sgd,
    smaller=_smaller_sgd,
    cases=storage.path("sgd"),
    follow_up=FollowUp(
        "With a constant gradient, how large does a step become, and what does that say about "
        "the learning rate?",
        "The velocity tends to `g / (1 - momentum)`, ten gradients at 0.9. So `lr / (1 - "
        "momentum)` is the effective learning rate, and raising the momentum alone raises it.",
    ),
    facts=_sgd_facts,
)


# --- adam ---


def adam(theta: Array, grads: Array, lr: float, betas: Betas, eps: float) -> Array:
    """Follow Adam, as ``torch.optim.Adam`` does.

    Parameters
    ----------
    theta : array of float64, shape (D,)
        The start.
    grads : array of float64, shape (T, D)
        The gradient of each step.
    lr : float
        Learning rate.
    betas : tuple of two floats
        Memory of the average gradient and of the average squared gradient, in [0, 1).
    eps : float
        Above 0.

    Returns
    -------
    array of float64, shape (T, D)
        The parameters after each step.
    """
    beta1, beta2 = betas
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    path = []
    for t, grad in enumerate(grads, start=1):
        m = beta1 * m + (1 - beta1) * grad
        v = beta2 * v + (1 - beta2) * grad**2
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        theta = theta - lr * m_hat / (np.sqrt(v_hat) + eps)
        path.append(theta)
    return np.array(path)


class _Moments(NamedTuple):
    """Adam's averages after a step, and what corrects their bias."""

    m: Array
    v: Array
    correction1: float
    correction2: float


def _ratio(of: _Moments, eps: float) -> Any:
    return of.m / of.correction1 / (np.sqrt(of.v / of.correction2) + eps)


def _uncorrected(of: _Moments, eps: float) -> Any:
    return of.m / (np.sqrt(of.v) + eps)


def _eps_inside(of: _Moments, eps: float) -> Any:
    return of.m / of.correction1 / np.sqrt(of.v / of.correction2 + eps)


def _eps_too_early(of: _Moments, eps: float) -> Any:
    return math.sqrt(of.correction2) / of.correction1 * of.m / (np.sqrt(of.v) + eps)


def _moments(grads: Array, betas: Betas, start: int) -> Iterator[_Moments]:
    beta1, beta2 = betas
    m, v = np.zeros_like(grads[0]), np.zeros_like(grads[0])
    for t, grad in enumerate(grads, start=start):
        m, v = beta1 * m + (1 - beta1) * grad, beta2 * v + (1 - beta2) * grad**2
        yield _Moments(m, v, 1 - beta1**t, 1 - beta2**t)


def _adam_with(
    ratio: Callable[[_Moments, float], Any],
    theta: Array,
    grads: Array,
    lr: float,
    betas: Betas,
    eps: float,
    *,
    start: int = 1,
) -> Array:
    steps = [lr * ratio(moments, eps) for moments in _moments(grads, betas, start)]
    return np.asarray(theta - np.cumsum(steps, axis=0))


def _adam_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    beta1, beta2 = inputs["betas"]
    return {"first": f"{(1 - beta1) / math.sqrt(1 - beta2):.3g}"}


def _draw_adam(rng: np.random.Generator) -> Inputs:
    steps, size = int(rng.integers(1, 9)), int(rng.integers(1, 4))
    betas = [DEFAULT_BETAS, (0.9, 0.95), (0.5, 0.9), (0.0, 0.99)]
    return {
        "theta": rng.normal(size=size),
        "grads": _gradients(rng, (steps, size)),
        "lr": float(rng.choice([0.01, 0.1])),
        "betas": betas[int(rng.choice(4, p=[0.6, 0.2, 0.1, 0.1]))],
        "eps": 1e-8,
    }


def _smaller_adam(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, theta=0, grads=1)
    yield from shrink.dropped(inputs, grads=0)
    yield from shrink.plainer(inputs, "betas", DEFAULT_BETAS)
    yield from shrink.plainer(inputs, "eps", 1e-8)
    yield from shrink.plainer(inputs, "lr", 0.1)
    yield from shrink.plainer(inputs, "theta", 0.0, 1.0)
    yield from shrink.plainer(inputs, "grads", 0.0, 1.0, 1e-6)


ADAM = Drill(
    name="adam",
    chapter="optimizers",
    level="core",
    task=(
        "Follow Adam, as `torch.optim.Adam` does it. `theta` `(D,)` is the start, `grads` "
        "`(T, D)` holds the gradient of each step, `betas` is the pair of memories, and `eps` "
        "keeps the division from failing. Return the parameters after each step, an array of "
        "shape `(T, D)`. Leave the arguments as they are."
    ),
    signature="adam(theta, grads, lr, betas, eps) -> array (T, D)",
    hints=(
        "Keep two averages for each coordinate: one of the gradient, one of its square. Both "
        "start at zero. What is wrong with them in the first steps?",
        "After `t` steps the weights of an average add up to `1 - beta**t`, so divide by that. "
        "The first step has `t = 1`.",
        "The step is `lr * m_hat / (np.sqrt(v_hat) + eps)`: correct first, then take the root, "
        "then add `eps`.",
    ),
    reference=adam,
    wrong={
        "division by zero at t=0: count steps from 1": partial(_adam_with, _ratio, start=0),
        "the first step is {first} lr, not lr: correct the bias of m and v": partial(
            _adam_with, _uncorrected
        ),
        "agrees for |g|=1, not for |g|=1e-6 (.0100 against .9901): eps is outside the "
        "root": partial(_adam_with, _eps_inside),
        "agrees for |g|=1, not for |g|=1e-8 (0.031 lr against 0.5 lr): correct v before "
        "eps is added": partial(_adam_with, _eps_too_early),
        "every row is the last one: append a copy": partial(_last_row_repeated, adam),
    },
    draw=_draw_adam,
    smaller=_smaller_adam,
    cases=storage.path("adam"),
    follow_up=FollowUp(
        "Can a step of Adam be longer than the learning rate?",
        "Yes. It is about `lr` while gradients are alike, but after a quiet spell, with gradients "
        "that grow by `beta2 / beta1` a step, it tends to 7.27 `lr` with the default betas. That "
        "is the supremum, by Cauchy and Schwarz.",
    ),
    # Where eps is added makes 3e-7 at |g| = 1: too little to see what is wrong.
    check=partial(compare.difference, rtol=1e-6),
    facts=_adam_facts,
)


# --- adamw ---


def adamw(
    theta: Array, grads: Array, lr: float, betas: Betas, eps: float, weight_decay: float
) -> Array:
    """Follow AdamW, as ``torch.optim.AdamW`` does: shrink, then take Adam's step.

    Parameters
    ----------
    theta : array of float64, shape (D,)
        The start.
    grads : array of float64, shape (T, D)
        The gradient of each step, without any decay.
    lr : float
        Learning rate.
    betas : tuple of two floats
        Memory of the average gradient and of the average squared gradient, in [0, 1).
    eps : float
        Above 0.
    weight_decay : float
        At least 0.

    Returns
    -------
    array of float64, shape (T, D)
        The parameters after each step.
    """
    beta1, beta2 = betas
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    path = []
    for t, grad in enumerate(grads, start=1):
        m = beta1 * m + (1 - beta1) * grad
        v = beta2 * v + (1 - beta2) * grad**2
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        theta = theta * (1 - lr * weight_decay)
        theta = theta - lr * m_hat / (np.sqrt(v_hat) + eps)
        path.append(theta)
    return np.array(path)


def _adam_steps(grads: Array, lr: float, betas: Betas, eps: float) -> list[Array]:
    """Return what Adam subtracts at each step, whatever the parameters are."""
    return [lr * _ratio(moments, eps) for moments in _moments(grads, betas, start=1)]


def _decay_in_gradient(
    theta: Array, grads: Array, lr: float, betas: Betas, eps: float, weight_decay: float
) -> Array:
    path = [theta]
    full = np.empty_like(grads)
    for t, grad in enumerate(grads):
        full[t] = grad + weight_decay * path[-1]
        path.append(path[-1] - _adam_steps(full[: t + 1], lr, betas, eps)[-1])
    return np.array(path[1:])


def _decay_without_lr(
    theta: Array, grads: Array, lr: float, betas: Betas, eps: float, weight_decay: float
) -> Array:
    path = []
    for step in _adam_steps(grads, lr, betas, eps):
        theta = theta * (1 - weight_decay) - step
        path.append(theta)
    return np.array(path)


def _decay_after(
    theta: Array, grads: Array, lr: float, betas: Betas, eps: float, weight_decay: float
) -> Array:
    path = []
    for step in _adam_steps(grads, lr, betas, eps):
        theta = (theta - step) * (1 - lr * weight_decay)
        path.append(theta)
    return np.array(path)


def _adamw_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    decay = inputs["weight_decay"]
    return {"kept": f"{1 - inputs['lr'] * decay:.6g}", "left": f"{1 - decay:.6g}"}


def _draw_adamw(rng: np.random.Generator) -> Inputs:
    return {**_draw_adam(rng), "weight_decay": float(rng.choice([0.01, 0.1, 0.5]))}


def _smaller_adamw(inputs: Inputs) -> Iterator[Inputs]:
    yield from _smaller_adam(inputs)
    yield from shrink.plainer(inputs, "weight_decay", 0.0, 0.5)


ADAMW = Drill(
    name="adamw",
    chapter="optimizers",
    level="core",
    task=(
        "Follow AdamW, as `torch.optim.AdamW` does it: Adam with decoupled weight decay. The "
        "arguments are those of `adam`, and `weight_decay`. Return the parameters after each "
        "step, an array of shape `(T, D)`. Leave the arguments as they are."
    ),
    signature="adamw(theta, grads, lr, betas, eps, weight_decay) -> array (T, D)",
    hints=(
        "*Decoupled* from what? Which quantities of Adam must not see the decay?",
        "The averages `m` and `v` are those of `grads` alone. The decay multiplies the "
        "parameters, by a number a little below 1.",
        "In PyTorch that number is `1 - lr * weight_decay`, and it comes before Adam's step: "
        "`theta = theta * (1 - lr * weight_decay)`.",
    ),
    reference=adamw,
    wrong={
        "that is Adam with L2: the decay must not pass through v": _decay_in_gradient,
        "decay is lr·weight_decay in torch: a step keeps {kept} of a weight, "
        "not {left}": _decay_without_lr,
        "differs by lr·weight_decay·Δ, with Δ the step of Adam: shrink first": _decay_after,
        "every row is the last one: append a copy": partial(_last_row_repeated, adamw),
    },
    draw=_draw_adamw,
    smaller=_smaller_adamw,
    cases=storage.path("adamw"),
    follow_up=FollowUp(
        "Which weights does Adam with L2 hardly shrink, and why?",
        "Those with large gradients: the decay is added to the gradient, so it is divided by the "
        "same root of `v`. AdamW shrinks every weight by the same factor.",
    ),
    facts=_adamw_facts,
)


# --- largest_stable_lr ---


def largest_stable_lr(
    hvp: Callable[[Array], Array], dim: int, momentum: float, rng: np.random.Generator
) -> float:
    """Return the limit of the learning rate of heavy ball, from Hessian-vector products.

    Parameters
    ----------
    hvp : callable
        The product of the Hessian with a vector; ``(dim,)`` to ``(dim,)``.
    dim : int
        The number of parameters.
    momentum : float
        In [0, 1).
    rng : numpy.random.Generator
        Draws the start.

    Returns
    -------
    float
        Two times ``1 + momentum``, divided by the largest eigenvalue.
    """
    v: Array = rng.normal(size=dim)
    for _ in range(100):
        v = v / np.linalg.norm(v)
        v = hvp(v)
    return float(2 * (1 + momentum) / np.linalg.norm(v))


def _iterate(hvp: Callable[[Array], Array], v: Array, *, normalize: bool = True) -> Any:
    """Return the Rayleigh quotient after a power iteration."""
    for _ in range(100):
        v = hvp(v / np.sqrt(v @ v)) if normalize else hvp(v)
    return (v @ hvp(v)) / (v @ v)


def _never_normalized(
    hvp: Callable[[Array], Array], dim: int, momentum: float, rng: np.random.Generator
) -> float:
    return float(2 * (1 + momentum) / _iterate(hvp, rng.normal(size=dim), normalize=False))


def _inverse_curvature(
    hvp: Callable[[Array], Array], dim: int, momentum: float, rng: np.random.Generator
) -> float:
    return float(1 / _iterate(hvp, rng.normal(size=dim)))


def _momentum_forgotten(
    hvp: Callable[[Array], Array], dim: int, momentum: float, rng: np.random.Generator
) -> float:
    return float(2 / _iterate(hvp, rng.normal(size=dim)))


def _from_ones(
    hvp: Callable[[Array], Array], dim: int, momentum: float, rng: np.random.Generator
) -> float:
    return float(2 * (1 + momentum) / _iterate(hvp, np.ones(dim)))


def _call_with_products(function: Function, inputs: Inputs) -> Any:
    hessian: Array = inputs["hessian"]
    rng = np.random.default_rng(inputs["seed"])
    return function(lambda v: hessian @ v, len(hessian), inputs["momentum"], rng)


def _limit(inputs: Inputs) -> float:
    largest = np.linalg.eigvalsh(inputs["hessian"])[-1]
    return float(2 * (1 + inputs["momentum"]) / largest)


def _same_limit(inputs: Inputs, one: Any, other: Any) -> bool:
    """Tell whether two answers are equal; whatever an overflow leads to is the same."""
    return compare.same(one, other, rtol=1e-3, atol=0) or (_broken(one) and _broken(other))


def _broken(answer: Any) -> bool:
    return isinstance(answer, float | int) and (not np.isfinite(answer) or answer == 0)


def _hessian(rng: np.random.Generator, eigenvalues: Array) -> Array:
    basis, _ = np.linalg.qr(rng.normal(size=(len(eigenvalues), len(eigenvalues))))
    hessian = (basis * eigenvalues) @ basis.T
    return np.asarray((hessian + hessian.T) / 2)


def _draw_limit(rng: np.random.Generator) -> Inputs:
    dim = int(rng.integers(2, 7))
    largest = rng.uniform(0.8, 1.2) * rng.choice([1.0, 1e8], p=[0.7, 0.3])
    rest = rng.uniform(0, 0.8, size=dim - 1)
    return {
        "hessian": _hessian(rng, largest * np.append(rest, 1.0)),
        "momentum": float(rng.choice([0.0, 0.5, 0.9, 0.99])),
        "seed": int(rng.integers(1000)),
    }


def _smaller_limit(inputs: Inputs) -> Iterator[Inputs]:
    hessian = inputs["hessian"]
    for index in range(len(hessian) if len(hessian) > 1 else 0):
        less = np.delete(np.delete(hessian, index, axis=0), index, axis=1)
        if _has_gap(less):
            yield dict(inputs) | {"hessian": less}
    if np.count_nonzero(hessian - np.diag(np.diag(hessian))):
        yield dict(inputs) | {"hessian": np.diag(np.linalg.eigvalsh(hessian).clip(min=0))}
    plain = shrink.rounded(hessian)
    if not np.array_equal(plain, hessian) and _has_gap(plain):
        yield dict(inputs) | {"hessian": plain}
    yield from shrink.plainer(inputs, "momentum", 0.0, 0.9)
    if inputs["seed"]:
        yield dict(inputs) | {"seed": 0}


def _has_gap(hessian: Array) -> bool:
    """Tell whether a Hessian keeps what the task promises of it."""
    eigenvalues = np.linalg.eigvalsh(hessian)
    low, second, largest = eigenvalues[0], eigenvalues[-2:][0], eigenvalues[-1]
    return bool(
        largest > 0 and low >= -1e-12 * largest and (len(hessian) == 1 or second <= 0.8 * largest)
    )


LARGEST_STABLE_LR = Drill(
    name="largest_stable_lr",
    chapter="optimizers",
    level="senior",
    task=(
        "On a quadratic loss, which learning rate must heavy ball (the momentum of "
        "`torch.optim.SGD`) stay below? The Hessian is symmetric without negative eigenvalues, "
        "but you do not have it: `hvp(v)` multiplies it with a vector `v` of shape `(dim,)`. The "
        "second largest eigenvalue is at most 0.8 of the largest. Return a number, right to one "
        "in a thousand. `rng` is a `numpy.random.Generator`."
    ),
    signature="largest_stable_lr(hvp, dim, momentum, rng) -> float",
    hints=(
        "Only one number of the Hessian matters. Which one, and what does multiplying a vector "
        "again and again do to it?",
        "Power iteration: start with a random vector, multiply, normalize, some 100 times. It "
        "turns into the steepest direction, and `v @ hvp(v)` is the largest eigenvalue.",
        "On a direction of curvature `h`, a step of heavy ball is stable for "
        "`lr < 2 * (1 + momentum) / h`.",
    ),
    reference=largest_stable_lr,
    wrong={
        "overflow: each product multiplies v by the largest eigenvalue, so normalize it every "
        "time": _never_normalized,
        "that is 1/L: half of the limit at momentum 0, less with momentum": _inverse_curvature,
        "right for momentum 0 only: the limit is 2 (1 + momentum) / L": _momentum_forgotten,
        "ones can be orthogonal to the steepest direction: start with a random vector": _from_ones,
    },
    draw=_draw_limit,
    smaller=_smaller_limit,
    cases=storage.path("largest_stable_lr"),
    follow_up=FollowUp(
        "And with Nesterov's momentum?",
        "The limit is lower: `2 (1 + momentum) / ((1 + 2 momentum) L)`, because the gradient at "
        "the point ahead feels the curvature once more. It falls from `2 / L` to `4 / (3 L)` as "
        "momentum tends to 1, while that of heavy ball rises to `4 / L`.",
    ),
    call=_call_with_products,
    setting="hvp(v) = hessian @ v, dim = len(hessian), rng = np.random.default_rng(seed)",
    answer=_limit,
    check=partial(compare.difference, rtol=1e-3, atol=0),
    agree=_same_limit,
)

DRILLS = (MINIBATCHES, SGD, ADAM, ADAMW, LARGEST_STABLE_LR)
