"""The drills of chapter 3: layer, batch and group norm, batch norm's gradient, and folding.

Each drill is its reference, its typical wrong solutions, and its record. The names with a leading
underscore are wrong on purpose, or make cases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlbook.drills import parts, shrink, storage
from dlbook.drills.record import Drill, FollowUp, Inputs

Array = NDArray[np.floating[Any]]

FOLDED = ("weight", "bias")


def _values(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draw numbers of ordinary or tiny spread around a mean that is not 0."""
    spread = rng.choice([1e-3, 1.0], p=[0.3, 0.7])
    return np.asarray(spread * (rng.normal(size=shape) + rng.normal()))


def _eps(rng: np.random.Generator) -> float:
    return float(rng.choice([1e-5, 1e-3], p=[0.7, 0.3]))


def _scale_and_shift(rng: np.random.Generator, size: int) -> dict[str, Array]:
    return {"gamma": rng.uniform(0.5, 2.0, size=size), "beta": rng.normal(size=size)}


def _kept(candidates: Iterator[Inputs], allowed: Callable[[Inputs], bool]) -> Iterator[Inputs]:
    """Yield the candidates that keep what the task promises."""
    return (inputs for inputs in candidates if allowed(inputs))


def _plainer_parameters(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.plainer(inputs, "eps", 1e-5)
    yield from shrink.plainer(inputs, "gamma", 1.0, 2.0)
    if "beta" in inputs:
        yield from shrink.plainer(inputs, "beta", 0.0, 1.0)


# --- layer_norm ---


def layer_norm(x: Array, gamma: Array, beta: Array, eps: float) -> Array:
    """Normalize the features of each token.

    Parameters
    ----------
    x : array of float64, shape (N, L, C)
        Samples, tokens, features.
    gamma, beta : array of float64, shape (C,)
        Scale and shift.
    eps : float
        Above 0.

    Returns
    -------
    array of float64, shape (N, L, C)
        What ``torch.nn.LayerNorm(C)`` gives.
    """
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    return np.asarray(gamma * (x - mean) / np.sqrt(var + eps) + beta)


def _layer_norm_over(
    axes: tuple[int, ...], x: Array, gamma: Array, beta: Array, eps: float
) -> Array:
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return np.asarray(gamma * (x - mean) / np.sqrt(var + eps) + beta)


def _sample_variance(x: Array, gamma: Array, beta: Array, eps: float) -> Array:
    deviation = x - x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True, ddof=1)
    return np.asarray(gamma * deviation / np.sqrt(var + eps) + beta)


def _eps_outside(x: Array, gamma: Array, beta: Array, eps: float) -> Array:
    deviation = x - x.mean(axis=-1, keepdims=True)
    return np.asarray(gamma * deviation / (x.std(axis=-1, keepdims=True) + eps) + beta)


def _not_centered(x: Array, gamma: Array, beta: Array, eps: float) -> Array:
    root = np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps)
    return np.asarray(gamma * x / root + beta)


def _layer_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    size = inputs["x"].shape[-1]
    return {"factor": f"{(size / (size - 1)) ** 0.5:.3g}", "size": str(size)}


def _draw_layer_norm(rng: np.random.Generator) -> Inputs:
    samples, length, size = (int(n) for n in rng.integers((1, 1, 2), (4, 4, 5)))
    x = _values(rng, (samples, length, size))
    return {"x": x, **_scale_and_shift(rng, size), "eps": _eps(rng)}


def _smaller_layer_norm(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, x=0)
    yield from shrink.dropped(inputs, x=1)
    yield from _kept(
        shrink.dropped(inputs, x=2, gamma=0, beta=0), lambda less: less["x"].shape[2] >= 2
    )
    yield from _plainer_parameters(inputs)
    yield from shrink.plainer(inputs, "x", 0.0, 1.0)


LAYER_NORM = Drill(
    name="layer_norm",
    chapter="normalization",
    level="screening",
    task=(
        "Normalize as `torch.nn.LayerNorm(C)` does. `x` has shape `(N, L, C)`: samples, tokens, "
        "features. `gamma` and `beta` have shape `(C,)`. Return an array of shape `(N, L, C)`."
    ),
    signature="layer_norm(x, gamma, beta, eps) -> array (N, L, C)",
    hints=(
        "Which numbers may decide how one token is normalized? Not those of other tokens.",
        "Mean and variance over the last axis, with `keepdims=True` so that they broadcast.",
        "The variance divides by `C`, as `x.var` does, and `eps` is added to it before the root.",
    ),
    reference=layer_norm,
    wrong={
        "tokens influence each other: take mean and variance over the last axis only": partial(
            _layer_norm_over, (1, 2)
        ),
        "that is batch norm: each feature is pooled over samples and tokens": partial(
            _layer_norm_over, (0, 1)
        ),
        "too small by √(C/(C − 1)) = {factor} for C = {size}: the variance divides by C": (
            _sample_variance
        ),
        "eps belongs inside the root: with eps 1e-5 a row of sd 1e-3 comes out with sd 0.30, "
        "not 0.99": _eps_outside,
        "the mean stays in: that is RMS norm": _not_centered,
    },
    draw=_draw_layer_norm,
    smaller=_smaller_layer_norm,
    cases=storage.path("layer_norm"),
    follow_up=FollowUp(
        "What changes in evaluation?",
        "Nothing. A token's statistics come from the token itself, so there is no second mode "
        "and nothing to remember.",
    ),
    facts=_layer_facts,
)


# --- batch_norm ---


def batch_norm(batches: Array, gamma: Array, beta: Array, momentum: float, eps: float) -> Array:
    """Train batch norm on all batches but the last, and evaluate the last one.

    Parameters
    ----------
    batches : array of float64, shape (T, N, C, H, W)
        ``T - 1`` batches for training, in this order, and one for evaluation.
    gamma, beta : array of float64, shape (C,)
        Scale and shift.
    momentum : float
        The weight of the new value in the running statistics.
    eps : float
        Above 0.

    Returns
    -------
    array of float64, shape (T, N, C, H, W)
        The outputs of ``torch.nn.BatchNorm2d(C)``.
    """
    axes, column = (0, 2, 3), (1, -1, 1, 1)
    running_mean, running_var = np.zeros_like(gamma), np.ones_like(gamma)
    outputs = []
    for step, x in enumerate(batches):
        if step < len(batches) - 1:
            mean, var = x.mean(axis=axes), x.var(axis=axes)
            unbiased = x.var(axis=axes, ddof=1)
            running_mean = (1 - momentum) * running_mean + momentum * mean
            running_var = (1 - momentum) * running_var + momentum * unbiased
        else:
            mean, var = running_mean, running_var
        x_hat = (x - mean.reshape(column)) / np.sqrt(var.reshape(column) + eps)
        outputs.append(gamma.reshape(column) * x_hat + beta.reshape(column))
    return np.array(outputs)


def _batch_norm_with(
    batches: Array,
    gamma: Array,
    beta: Array,
    momentum: float,
    eps: float,
    *,
    axes: tuple[int, ...] = (0, 2, 3),
    normalize_ddof: int = 0,
    store_ddof: int = 1,
    swapped: bool = False,
    evaluate: bool = True,
) -> Array:
    """Do what :func:`batch_norm` does, with one thing changed."""
    weight = 1 - momentum if swapped else momentum
    running: Any = (0.0, 1.0)
    outputs: list[Array] = []
    for x in batches:
        mean, biased = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
        size = x.size // mean.size
        var, stored = (biased * size / max(size - ddof, 1) for ddof in (normalize_ddof, store_ddof))
        if evaluate and len(outputs) == len(batches) - 1:
            mean, var = running
        running = (
            (1 - weight) * running[0] + weight * mean,
            (1 - weight) * running[1] + weight * stored,
        )
        x_hat = (x - mean) / np.sqrt(var + eps)
        outputs.append(gamma[:, None, None] * x_hat + beta[:, None, None])
    return np.array(outputs)


def _momentum_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    return {"moved": f"{100 * (1 - inputs['momentum']):.3g}"}


def _pool_size(inputs: Inputs) -> int:
    return int(np.prod(inputs["batches"].shape[1:])) // len(inputs["gamma"])


def _draw_batch_norm(rng: np.random.Generator) -> Inputs:
    count, samples, channels = (int(n) for n in rng.integers((2, 2, 1), (5, 4, 3)))
    height, width = (int(n) for n in rng.integers(1, 3, size=2))
    return {
        "batches": _values(rng, (count, samples, channels, height, width)),
        **_scale_and_shift(rng, channels),
        "momentum": float(rng.choice([0.1, 0.3])),
        "eps": _eps(rng),
    }


def _smaller_batch_norm(inputs: Inputs) -> Iterator[Inputs]:
    def fair(less: Inputs) -> bool:
        return len(less["batches"]) >= 2 and less["batches"].shape[1] >= 2

    for axis in (0, 1, 3, 4):
        yield from _kept(shrink.dropped(inputs, batches=axis), fair)
    yield from shrink.dropped(inputs, batches=2, gamma=0, beta=0)
    yield from shrink.plainer(inputs, "momentum", 0.1)
    yield from _plainer_parameters(inputs)
    yield from shrink.plainer(inputs, "batches", 0.0, 1.0)


BATCH_NORM = Drill(
    name="batch_norm",
    chapter="normalization",
    level="core",
    task=(
        "Write batch norm with both its modes, as `torch.nn.BatchNorm2d(C)` does it. `batches` "
        "has shape `(T, N, C, H, W)`: train on the first `T - 1` batches, one after another, and "
        "then evaluate the last one. The running mean starts at 0, the running variance at 1. "
        "`gamma` and `beta` have shape `(C,)` and do not change. Return all outputs, an array of "
        "shape `(T, N, C, H, W)`."
    ),
    signature="batch_norm(batches, gamma, beta, momentum, eps) -> array (T, N, C, H, W)",
    hints=(
        "One mean and one variance for each channel. Over which axes of `(N, C, H, W)`?",
        "In training normalize by the batch's own mean and variance, over axes 0, 2 and 3, and "
        "move the running ones by `running = (1 - momentum) * running + momentum * new`.",
        "Two variances are in use: the biased one normalizes, the unbiased one (`ddof=1`) is "
        "stored. In evaluation the running statistics normalize, and nothing is updated.",
    ),
    reference=batch_norm,
    wrong={
        "your statistics have shape (C, H, W): pool the positions too, axes 0, 2, 3": partial(
            _batch_norm_with, axes=(0,)
        ),
        "only the evaluated batch differs: running_var is too small by (m − 1)/m, so store the "
        "unbiased variance": partial(_batch_norm_with, store_ddof=0),
        "the running mean moved {moved}% of the way in one step: torch's momentum weighs the "
        "new value": partial(_batch_norm_with, swapped=True),
        "the last batch is normalized by its own statistics: evaluate with the running "
        "ones": partial(_batch_norm_with, evaluate=False),
        "training normalizes with the biased variance, which divides by m": partial(
            _batch_norm_with, normalize_ddof=1
        ),
    },
    draw=_draw_batch_norm,
    smaller=_smaller_batch_norm,
    cases=storage.path("batch_norm"),
    follow_up=FollowUp(
        "After ten batches at momentum 0.1, how much of the starting values is left?",
        "0.9 to the tenth, 35 percent. Evaluate that early and the statistics are still wrong.",
    ),
    facts=_momentum_facts,
)


# --- batch_norm_backward ---


def batch_norm_backward(dy: Array, x: Array, gamma: Array, eps: float) -> Array:
    """Return the gradient of the loss with respect to the input of batch norm in training.

    Parameters
    ----------
    dy : array of float64, shape (N, C)
        The gradient with respect to the output.
    x : array of float64, shape (N, C)
        The input.
    gamma : array of float64, shape (C,)
        Scale.
    eps : float
        Above 0.

    Returns
    -------
    array of float64, shape (N, C)
    """
    std = np.sqrt(x.var(axis=0) + eps)
    x_hat = (x - x.mean(axis=0)) / std
    d = dy * gamma
    return np.asarray((d - d.mean(axis=0) - x_hat * (d * x_hat).mean(axis=0)) / std)


def _backward_parts(
    dy: Array, x: Array, gamma: Array, eps: float
) -> tuple[Array, Array, Array, Array]:
    """Return ``d``, the normalized input, the mean of their product, and the root."""
    root = np.sqrt(x.var(axis=0) + eps)
    x_hat = (x - x.mean(axis=0)) / root
    return dy * gamma, x_hat, (dy * gamma * x_hat).mean(axis=0), root


def _constants(dy: Array, x: Array, gamma: Array, eps: float) -> Array:
    d, _, _, root = _backward_parts(dy, x, gamma, eps)
    return np.asarray(d / root)


def _variance_constant(dy: Array, x: Array, gamma: Array, eps: float) -> Array:
    d, _, _, root = _backward_parts(dy, x, gamma, eps)
    return np.asarray((d - d.mean(axis=0)) / root)


def _mean_constant(dy: Array, x: Array, gamma: Array, eps: float) -> Array:
    d, x_hat, along, root = _backward_parts(dy, x, gamma, eps)
    return np.asarray((d - x_hat * along) / root)


def _sums(dy: Array, x: Array, gamma: Array, eps: float) -> Array:
    d, x_hat, along, root = _backward_parts(dy, x, gamma, eps)
    return np.asarray((d - d.sum(axis=0) - x_hat * along * len(x)) / root)


def _gamma_forgotten(dy: Array, x: Array, gamma: Array, eps: float) -> Array:
    return batch_norm_backward(dy, x, np.ones_like(gamma), eps)


def _batch_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    return {"m": str(len(inputs["x"]))}


def _draw_backward(rng: np.random.Generator) -> Inputs:
    samples, channels = int(rng.integers(2, 7)), int(rng.integers(1, 4))
    return {
        "dy": rng.normal(size=(samples, channels)),
        "x": _values(rng, (samples, channels)),
        "gamma": rng.uniform(0.5, 2.0, size=channels),
        "eps": _eps(rng),
    }


def _smaller_backward(inputs: Inputs) -> Iterator[Inputs]:
    yield from _kept(shrink.dropped(inputs, dy=0, x=0), lambda less: len(less["x"]) >= 2)
    yield from shrink.dropped(inputs, dy=1, x=1, gamma=0)
    yield from _plainer_parameters(inputs)
    yield from shrink.plainer(inputs, "dy", 0.0, 1.0)
    yield from shrink.plainer(inputs, "x", 0.0, 1.0)


BATCH_NORM_BACKWARD = Drill(
    name="batch_norm_backward",
    chapter="normalization",
    level="senior",
    task=(
        "Return the gradient of the loss with respect to the input of batch norm in training. "
        "`x` `(N, C)` is the input, `dy` `(N, C)` the gradient with respect to the output "
        "`gamma * x_hat + beta`, and `gamma` has shape `(C,)`. No loops, no autograd."
    ),
    signature="batch_norm_backward(dy, x, gamma, eps) -> array (N, C)",
    hints=(
        "Each input reaches the output in three ways: directly, through the mean, and through "
        "the variance.",
        "Adding a constant to a column of `x` changes nothing, so each column of the gradient "
        "sums to 0. Stretching it changes (nearly) nothing, so the gradient is (nearly) "
        "orthogonal to `x_hat`.",
        "With `d = dy * gamma`: subtract from `d` its mean over the batch, and `x_hat` times the "
        "mean of `d * x_hat`. Divide by the root of variance plus `eps`.",
    ),
    reference=batch_norm_backward,
    wrong={
        "you treat mean and variance as constants: each column of dx must sum to 0": _constants,
        "the path through the variance is missing: dx must be orthogonal to x_hat, up to "
        "eps": _variance_constant,
        "the path through the mean is missing: each column of dx must sum to 0": _mean_constant,
        "sums where means belong: both corrections are {m} times too large": _sums,
        "gamma is missing: start from dy · gamma": _gamma_forgotten,
    },
    draw=_draw_backward,
    smaller=_smaller_backward,
    cases=storage.path("batch_norm_backward"),
    follow_up=FollowUp(
        "What is the gradient for a batch of two?",
        "Nearly zero: two values come out as plus and minus 1 whatever they are, up to eps.",
    ),
    facts=_batch_facts,
)


# --- group_norm ---


def group_norm(x: Array, groups: int, gamma: Array, beta: Array, eps: float) -> Array:
    """Normalize groups of neighboring channels of each sample.

    Parameters
    ----------
    x : array of float64, shape (N, C, H, W)
        The input.
    groups : int
        How many groups; divides C.
    gamma, beta : array of float64, shape (C,)
        Scale and shift.
    eps : float
        Above 0.

    Returns
    -------
    array of float64, shape (N, C, H, W)
        What ``torch.nn.GroupNorm(groups, C)`` gives.
    """
    grouped = x.reshape(len(x), groups, -1)
    mean = grouped.mean(axis=2, keepdims=True)
    var = grouped.var(axis=2, keepdims=True)
    x_hat = ((grouped - mean) / np.sqrt(var + eps)).reshape(x.shape)
    return np.asarray(gamma[:, None, None] * x_hat + beta[:, None, None])


def _grouped_with(
    split: Callable[[int, int], tuple[int, int]],
    axes: tuple[int, ...],
    x: Array,
    groups: int,
    gamma: Array,
    beta: Array,
    eps: float,
) -> Array:
    """Split the channels into two axes, and pool over some of ``(N, ·, ·, H, W)``."""
    samples, channels, *positions = x.shape
    grouped = x.reshape(samples, *split(channels, groups), *positions)
    deviation = grouped - grouped.mean(axes, keepdims=True)
    x_hat = deviation / np.sqrt((deviation**2).mean(axes, keepdims=True) + eps)
    return np.asarray(gamma[:, None, None] * x_hat.reshape(x.shape) + beta[:, None, None])


def _groups_first(channels: int, groups: int) -> tuple[int, int]:
    return groups, channels // groups


def _groups_last(channels: int, groups: int) -> tuple[int, int]:
    return channels // groups, groups


def _one_scale_a_group(x: Array, groups: int, gamma: Array, beta: Array, eps: float) -> Array:
    size = len(gamma) // groups
    first_gamma, first_beta = (np.repeat(values[::size], size) for values in (gamma, beta))
    return group_norm(x, groups, first_gamma, first_beta, eps)


def _draw_group_norm(rng: np.random.Generator) -> Inputs:
    channels, groups = [(4, 2), (4, 1), (4, 4), (3, 3), (3, 1), (6, 2), (6, 3)][rng.integers(7)]
    samples, height, width = (int(n) for n in rng.integers((1, 1, 2), (3, 3, 3)))
    return {
        "x": _values(rng, (samples, channels, height, width)),
        "groups": groups,
        **_scale_and_shift(rng, channels),
        "eps": _eps(rng),
    }


def _smaller_group_norm(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, x=0)
    yield from shrink.dropped(inputs, x=2)
    yield from _kept(shrink.dropped(inputs, x=3), lambda less: less["x"].shape[3] >= 2)
    yield from _plainer_parameters(inputs)
    yield from shrink.plainer(inputs, "x", 0.0, 1.0)


GROUP_NORM = Drill(
    name="group_norm",
    chapter="normalization",
    level="core",
    task=(
        "Normalize as `torch.nn.GroupNorm(groups, C)` does. `x` has shape `(N, C, H, W)`, "
        "`groups` divides `C`, `gamma` and `beta` have shape `(C,)`. Return an array of shape "
        "`(N, C, H, W)`."
    ),
    signature="group_norm(x, groups, gamma, beta, eps) -> array (N, C, H, W)",
    hints=(
        "One group: layer norm over `(C, H, W)`. As many groups as channels: instance norm. What "
        "lies between?",
        "Neighboring channels form a group, so `x.reshape(N, groups, -1)` has one row for each.",
        "Normalize the rows, reshape back to `(N, C, H, W)`, and only then scale and shift: "
        "`gamma[:, None, None]`, one for each channel.",
    ),
    reference=group_norm,
    wrong={
        "groups = C is not instance norm: make so many groups, not groups of so many": partial(
            _grouped_with, _groups_last, (2, 3, 4)
        ),
        "a group takes every so-many-th channel: neighbors belong together": partial(
            _grouped_with, _groups_last, (1, 3, 4)
        ),
        "samples influence each other: keep the first axis out of the pool": partial(
            _grouped_with, _groups_first, (0, 2, 3, 4)
        ),
        "positions belong to the pool too: a group has one mean for the whole map": partial(
            _grouped_with, _groups_first, (2,)
        ),
        "gamma and beta belong to channels, not to groups": _one_scale_a_group,
    },
    draw=_draw_group_norm,
    smaller=_smaller_group_norm,
    cases=storage.path("group_norm"),
    follow_up=FollowUp(
        "Is one group the layer norm of a vision transformer?",
        "No. It pools channels and positions; a transformer pools the channels of one position.",
    ),
)


# --- fold ---


def fold(
    weight: Array, bias: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float
) -> tuple[Array, Array]:
    """Fold a batch norm in evaluation into the convolution before it.

    Parameters
    ----------
    weight : array of float64, shape (C_out, C_in, H, W)
        The convolution's.
    bias : array of float64, shape (C_out,)
        The convolution's.
    mean, var : array of float64, shape (C_out,)
        The norm's running statistics.
    gamma, beta : array of float64, shape (C_out,)
        The norm's scale and shift.
    eps : float
        Above 0.

    Returns
    -------
    weight, bias : arrays of float64, shapes (C_out, C_in, H, W) and (C_out,)
        Of one convolution that does what the two did.
    """
    factor = gamma / np.sqrt(var + eps)
    return weight * factor[:, None, None, None], (bias - mean) * factor + beta


def _fold_without_eps(
    weight: Array, bias: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float
) -> tuple[Array, Array]:
    return fold(weight, bias, mean, var, gamma, beta, 0.0)


def _fold_inputs(
    weight: Array, bias: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float
) -> tuple[Array, Array]:
    factor = gamma / np.sqrt(var + eps)
    return weight * factor[None, :, None, None], (bias - mean) * factor + beta


def _fold_bias_unscaled(
    weight: Array, bias: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float
) -> tuple[Array, Array]:
    factor = gamma / np.sqrt(var + eps)
    return weight * factor[:, None, None, None], bias + beta - mean * factor


def _fold_by_variance(
    weight: Array, bias: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float
) -> tuple[Array, Array]:
    factor = gamma / (var + eps)
    return weight * factor[:, None, None, None], (bias - mean) * factor + beta


def joined(weight: Array, bias: Array) -> Array:
    """Write weight and bias as one array of shape (C_out, 1 + C_in H W), to be stored."""
    return np.concatenate([bias[:, None], weight.reshape(len(weight), -1)], axis=1)


def _parts(inputs: Inputs, expected: Array) -> tuple[Array, Array]:
    return expected[:, 1:].reshape(inputs["weight"].shape), expected[:, 0]


def _fold_answer(inputs: Inputs) -> Array:
    return joined(*fold(**inputs))


def _check_fold(inputs: Inputs, expected: Array, got: Any) -> str | None:
    return parts.difference(FOLDED, inputs, _parts(inputs, expected), got)


def _same_fold(inputs: Inputs, one: Any, other: Any) -> bool:
    return parts.same(one, other)


def _display_fold(inputs: Inputs, expected: Array, got: Any) -> tuple[str, str]:
    return parts.display(FOLDED, _parts(inputs, expected), got)


def _draw_fold(rng: np.random.Generator) -> Inputs:
    # As many inputs as outputs: then a factor on the wrong axis fits.
    channels = int(rng.integers(2, 4))
    height, width = (int(n) for n in rng.integers(1, 3, size=2))
    return {
        "weight": rng.normal(size=(channels, channels, height, width)),
        "bias": rng.normal(size=channels),
        "mean": rng.normal(size=channels),
        "var": rng.choice([1e-4, 1.0]) * rng.uniform(0.2, 2.0, size=channels),
        **_scale_and_shift(rng, channels),
        "eps": _eps(rng),
    }


def _smaller_fold(inputs: Inputs) -> Iterator[Inputs]:
    for axis in (2, 3):
        yield from shrink.dropped(inputs, weight=axis)
    yield from _plainer_parameters(inputs)
    yield from shrink.plainer(inputs, "var", 1.0, 4.0)
    for name in ("mean", "bias", "weight"):
        yield from shrink.plainer(inputs, name, 0.0, 1.0)


FOLD = Drill(
    name="fold",
    chapter="normalization",
    level="core",
    task=(
        "Fold a batch norm in evaluation into the convolution before it: return the `weight` and "
        "the `bias` of one convolution that does what the two did. `weight` has shape "
        "`(C_out, C_in, H, W)`, everything else but `eps` has shape `(C_out,)`; `mean` and `var` "
        "are the running statistics."
    ),
    signature="fold(weight, bias, mean, var, gamma, beta, eps) -> (weight, bias)",
    hints=(
        "In evaluation batch norm is a line for each channel, `y = factor * z + offset`. Which "
        "factor, which offset?",
        "`factor = gamma / np.sqrt(var + eps)`. It multiplies all that makes one *output* channel.",
        "The old bias is part of `z`, so it is shifted and scaled as well: "
        "`(bias - mean) * factor + beta`.",
    ),
    reference=fold,
    wrong={
        "eps is missing under the root": _fold_without_eps,
        "you scale the inputs: it fits only because C_in = C_out, use the first axis": _fold_inputs,
        "the bias passes through the norm too: (bias − mean) · factor + beta": _fold_bias_unscaled,
        "divide by the root of var + eps, not by var + eps": _fold_by_variance,
    },
    draw=_draw_fold,
    smaller=_smaller_fold,
    cases=storage.path("fold"),
    follow_up=FollowUp(
        "The order is norm, then convolution with zero padding. Does that fold as well?",
        "The scale does. The shift does not: the zeros of the padding come after the norm, so "
        "near the border the offset differs from that inside.",
    ),
    answer=_fold_answer,
    check=_check_fold,
    agree=_same_fold,
    display=_display_fold,
)

DRILLS = (LAYER_NORM, BATCH_NORM, BATCH_NORM_BACKWARD, GROUP_NORM, FOLD)
