"""The functions of chapter 3 against PyTorch: forward, backward, running statistics, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from dlbook.normalization import (
    NORMS,
    Running,
    batch_norm,
    batch_norm_backward,
    fold_batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    layer_norm_backward,
    pooled_mask,
    rms_norm,
    rms_norm_backward,
)

explore = settings(deadline=None, derandomize=True, max_examples=100)
seeds = st.integers(0, 2**32 - 1)
#: (N, C, *S) with zero to two axes of positions, and never a single value per channel.
shapes = st.lists(st.integers(1, 5), min_size=2, max_size=4).filter(
    lambda s: math.prod(s) // s[1] > 1
)
scales = st.sampled_from([1e-3, 1.0, 1e4])
EPS = st.sampled_from([1e-8, 1e-5, 1e-2])


def draw(seed: int, *shape: int, scale: float = 1.0) -> Any:
    rng = np.random.default_rng(seed)
    return rng.normal(loc=rng.normal() * scale, scale=scale, size=shape)


def tensor(array: Any, *, grad: bool = False) -> torch.Tensor:
    return torch.tensor(array, dtype=torch.float64, requires_grad=grad)


def close(ours: Any, theirs: torch.Tensor, rtol: float = 1e-9, atol: float = 1e-11) -> None:
    assert_allclose(ours, theirs.detach().numpy(), rtol=rtol, atol=atol)


# --- batch norm ---


@explore
@given(seeds, shapes, scales, EPS)
def test_batch_norm_in_training_and_its_gradients(
    seed: int, shape: list[int], scale: float, eps: float
) -> None:
    x, (gamma, beta) = draw(seed, *shape, scale=scale), draw(seed + 1, 2, shape[1])
    dy = draw(seed + 2, *shape)
    before = x.copy()
    y, running = batch_norm(x, gamma, beta, training=True, eps=eps)
    gradients = batch_norm_backward(dy, x, gamma, eps)
    assert running is None
    assert_array_equal(x, before)

    inputs = [tensor(array, grad=True) for array in (x, gamma, beta)]
    expected = F.batch_norm(inputs[0], None, None, inputs[1], inputs[2], training=True, eps=eps)
    close(y, expected)
    expected.backward(tensor(dy))
    size = np.abs(dy).max() * np.abs(gamma).max() / min(1e-3, scale)
    for ours, leaf in zip(gradients, inputs, strict=True):
        assert leaf.grad is not None
        close(ours, leaf.grad, atol=1e-9 * max(1.0, size))


@explore
@given(
    seeds,
    shapes,
    st.sampled_from([0.1, 0.5, 0.0, 1.0, None]),
    st.lists(st.booleans(), min_size=1, max_size=6),
)
def test_running_statistics_follow_the_module(
    seed: int, shape: list[int], momentum: float | None, modes: list[bool]
) -> None:
    """Any row of training and evaluation steps."""
    layer: Any = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)]
    module = layer(shape[1], momentum=momentum, dtype=torch.float64)
    gamma, beta = draw(seed, 2, shape[1])
    with torch.no_grad():
        module.weight.copy_(tensor(gamma))
        module.bias.copy_(tensor(beta))
    running: Running | None = Running.start(shape[1])
    for step, training in enumerate(modes):
        x = draw(seed + step, *shape, scale=3.0)
        y, running = batch_norm(x, gamma, beta, running, training=training, momentum=momentum)
        close(y, module.train(training)(tensor(x)))
        assert running is not None
        close(running.mean, module.running_mean)
        close(running.var, module.running_var)
        assert running.batches == module.num_batches_tracked == sum(modes[: step + 1])


def test_running_mean_follows_the_formula() -> None:
    """True mean 10: it starts at 0, and 35% of that is left after 10 steps."""
    running: Running | None = Running.start(1)
    means = []
    for _ in range(40):
        _, running = batch_norm(np.array([[9.0], [11.0]]), None, None, running, training=True)
        assert running is not None
        means.append(running.mean.item())
    assert_allclose(means, 10 * (1 - 0.9 ** np.arange(1, 41)))
    assert np.round([means[k - 1] for k in (1, 5, 10, 20, 40)], 2).tolist() == [
        1.0, 4.1, 6.51, 8.78, 9.85,
    ]  # fmt: skip
    assert round(0.9**10, 2) == 0.35


def test_the_stored_variance_is_unbiased() -> None:
    x = draw(0, 2, 3, scale=3.0)
    _, running = batch_norm(x, None, None, Running.start(3), training=True)
    assert running is not None
    assert_allclose(running.var, 0.9 + 0.1 * x.var(0, ddof=1), rtol=1e-14)
    y, _ = batch_norm(x, None, None, training=True, eps=1e-12)
    assert_allclose(np.abs(y), 1)  # normalized by the biased one


def test_evaluation_without_statistics_uses_the_batch() -> None:
    module = nn.BatchNorm1d(3, track_running_stats=False, affine=False, dtype=torch.float64).eval()
    x = draw(1, 5, 3)
    y, running = batch_norm(x, None, None, training=False)
    close(y, module(tensor(x)))
    assert running is None


def test_the_gradient_loses_its_mean_and_nearly_its_normalized_part() -> None:
    x, dy = draw(2, 40, 1), draw(3, 40, 1)
    dx, _, _ = batch_norm_backward(dy, x, None, 1e-5)
    x_hat, _ = batch_norm(x, None, None, training=True)
    assert abs(dx.sum()) < 1e-12
    kept = (dx * x_hat).mean() / (dy * x_hat).mean() * np.sqrt(x.var() + 1e-5)
    assert kept == pytest.approx(1e-5 / (x.var() + 1e-5), rel=1e-6)


@pytest.mark.parametrize("size", [(1, 3), (1, 3, 1), (1, 3, 1, 1)])
@pytest.mark.parametrize("training", [True, False])
def test_one_value_per_channel_is_refused_in_torchs_words(
    size: tuple[int, ...], training: bool
) -> None:
    with pytest.raises(ValueError, match="more than 1 value") as ours:
        batch_norm(np.zeros(size), None, None, training=training)
    with pytest.raises(ValueError, match="more than 1 value") as theirs:
        F.batch_norm(torch.zeros(size), None, None, training=True)
    assert str(ours.value) == str(theirs.value)
    with pytest.raises(ValueError, match="more than 1 value"):
        batch_norm_backward(np.zeros(size), np.zeros(size), None)
    y, _ = batch_norm(np.zeros(size), None, None, Running.start(3), training=False)
    assert_array_equal(y, np.zeros(size))


def test_one_sample_with_positions_works() -> None:
    x = draw(4, 1, 3, 4, 4)
    close(batch_norm(x, None, None, training=True)[0], nn.InstanceNorm2d(3)(tensor(x)))


@explore
@given(seeds, st.integers(2, 40))
def test_no_value_leaves_the_bound(seed: int, size: int) -> None:
    x = np.random.default_rng(seed).standard_cauchy(size=(size, 2))
    y, _ = batch_norm(x, None, None, training=True)
    assert np.abs(y).max() <= math.sqrt(size - 1) + 1e-9


# --- layer norm, RMS norm ---


@explore
@given(seeds, st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 4), scales, EPS)
def test_layer_norm_and_rms_norm_and_their_gradients(
    seed: int, shape: list[int], axes: int, scale: float, eps: float
) -> None:
    last = shape[-axes:]
    x, dy = draw(seed, *shape, scale=scale), draw(seed + 2, *shape)
    gamma, beta = draw(seed + 1, 2, *last)
    size = np.abs(dy).max() * max(1.0, np.abs(gamma).max()) / min(math.sqrt(eps), scale)

    inputs = [tensor(array, grad=True) for array in (x, gamma, beta)]
    expected = F.layer_norm(inputs[0], last, inputs[1], inputs[2], eps)
    close(layer_norm(x, last, gamma, beta, eps), expected, atol=1e-10)
    expected.backward(tensor(dy))
    for ours, leaf in zip(layer_norm_backward(dy, x, last, gamma, eps), inputs, strict=True):
        assert leaf.grad is not None
        close(ours, leaf.grad, atol=1e-9 * max(1.0, size))

    inputs = [tensor(array, grad=True) for array in (x, gamma)]
    expected = F.rms_norm(inputs[0], last, inputs[1], eps)
    close(rms_norm(x, last, gamma, eps), expected)
    expected.backward(tensor(dy))
    for ours, leaf in zip(rms_norm_backward(dy, x, last, gamma, eps), inputs, strict=True):
        assert leaf.grad is not None
        close(ours, leaf.grad, atol=1e-9 * max(1.0, size))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_default_eps_of_rms_norm_is_that_of_the_dtype(dtype: Any) -> None:
    x = np.array([[1e-4, -2e-4, 3e-4]], dtype=dtype)
    expected = F.rms_norm(torch.tensor(x), (3,)).numpy()
    assert rms_norm(x, 3).dtype == dtype
    assert_allclose(rms_norm(x, 3), expected, rtol=1e-6)
    assert abs(rms_norm(x, 3, eps=1e-5) / expected).max() < 0.13


@explore
@given(seeds, st.integers(2, 8))
def test_layer_norm_is_rms_norm_after_centering(seed: int, size: int) -> None:
    x = draw(seed, 3, size)
    centered = x - x.mean(-1, keepdims=True)
    assert_allclose(rms_norm(centered, size, eps=1e-5), layer_norm(x, size), atol=1e-14)
    assert_allclose(layer_norm(x + 7, size), layer_norm(x, size), atol=1e-9)


def test_layer_norm_of_few_values() -> None:
    assert_array_equal(layer_norm(np.array([[3.0], [-2.0]]), 1), 0)
    assert_allclose(layer_norm(np.array([3.0, -2.0]), 2), [1, -1], atol=1e-5)
    assert_allclose(layer_norm(np.full((2, 3), 0.1), 3), 0, atol=1e-13)


@pytest.mark.parametrize("norm", [layer_norm, rms_norm])
def test_another_shape_is_refused_in_torchs_words(norm: Callable[..., Any]) -> None:
    x = np.zeros((2, 3, 4, 4))
    with pytest.raises(ValueError, match="expected input with shape") as ours:
        norm(x, [3])
    with pytest.raises(RuntimeError) as theirs:
        F.layer_norm(tensor(x), [3])
    assert str(ours.value) == str(theirs.value)
    assert str(ours.value).endswith("shape [*, 3], but got input of size[2, 3, 4, 4]")


# --- instance norm, group norm ---


@explore
@given(seeds, st.integers(1, 4), st.sampled_from([1, 2, 3, 6]), st.integers(2, 4), EPS)
def test_group_and_instance_norm(
    seed: int, samples: int, groups: int, side: int, eps: float
) -> None:
    x, (gamma, beta) = draw(seed, samples, 6, side, side), draw(seed + 1, 2, 6)
    ours = group_norm(x, groups, gamma, beta, eps)
    close(ours, F.group_norm(tensor(x), groups, tensor(gamma), tensor(beta), eps))
    close(instance_norm(x, eps), F.instance_norm(tensor(x), eps=eps))
    assert_allclose(group_norm(x, 6, eps=eps), instance_norm(x, eps), atol=1e-12)
    assert_allclose(group_norm(x, 1, eps=eps), layer_norm(x, x.shape[1:], eps=eps), atol=1e-12)


def test_group_norm_of_vectors() -> None:
    x = draw(0, 4, 6)
    close(group_norm(x, 2), F.group_norm(tensor(x), 2))
    assert_array_equal(group_norm(x, 6), 0)
    assert_array_equal(F.group_norm(tensor(x), 6), 0)


def test_group_norm_of_one_group_is_not_the_layer_norm_of_a_transformer() -> None:
    x = np.random.default_rng(0).normal(size=(2, 6, 5))
    per_position = layer_norm(x.transpose(0, 2, 1), 6).transpose(0, 2, 1)
    assert np.abs(group_norm(x, 1) - per_position).max() > 0.5


def test_refusals_of_group_and_instance_norm() -> None:
    with pytest.raises(ValueError, match="divisible") as ours:
        group_norm(np.zeros((2, 3)), 2)
    with pytest.raises(ValueError, match="divisible") as theirs:
        nn.GroupNorm(2, 3)
    assert str(ours.value) == str(theirs.value)
    with pytest.raises(ValueError, match="spatial") as ours:
        instance_norm(np.zeros((2, 3, 1)))
    with pytest.raises(ValueError, match="spatial") as theirs:
        F.instance_norm(torch.zeros(2, 3, 1))
    assert str(ours.value) == str(theirs.value)
    with pytest.raises(ValueError, match=r"x must have at least 3 axes, got shape \(2, 3\)"):
        instance_norm(np.zeros((2, 3)))
    with pytest.raises(TypeError, match=r"num_groups must be an integer, got 2\.0"):
        group_norm(np.zeros((2, 4)), 2.0)  # type: ignore[arg-type]


# --- which numbers are pooled ---


def by_mask(x: Any, norm: Any, groups: int = 1, eps: float = 1e-5) -> Any:
    """Normalize every number by the set that its mask says."""
    out = np.empty_like(x)
    for index in np.ndindex(x.shape):
        pool = x[pooled_mask(x.shape, norm, index, groups)]
        mean = 0.0 if norm == "rms" else pool.mean()
        out[index] = (x[index] - mean) / np.sqrt(((pool - mean) ** 2).mean() + eps)
    return out


@pytest.mark.parametrize("positions", [(5,), (2, 3)])
def test_masks_give_what_torch_gives(positions: tuple[int, ...]) -> None:
    x = draw(0, 4, 6, *positions)
    t = tensor(x)
    last = t.movedim(1, -1)
    close(by_mask(x, "batch"), F.batch_norm(t, None, None, training=True))
    close(by_mask(x, "layer"), F.layer_norm(t, x.shape[1:]))
    close(by_mask(x, "channel"), F.layer_norm(last, (6,)).movedim(-1, 1))
    close(by_mask(x, "instance"), F.instance_norm(t))
    for groups in (2, 3):
        close(by_mask(x, "group", groups), F.group_norm(t, groups))
    close(by_mask(x, "rms"), F.rms_norm(last, (6,), eps=1e-5).movedim(-1, 1))


def test_sizes_of_the_pools() -> None:
    shape, index = (4, 6, 5), (1, 2, 3)
    sizes = {norm: pooled_mask(shape, norm, index).sum() for norm in NORMS}
    expected = {"batch": 20, "layer": 30, "channel": 6, "instance": 5, "group": 30, "rms": 6}
    assert sizes == expected
    assert [pooled_mask(shape, "group", index, groups).sum() for groups in (2, 3)] == [15, 10]
    assert all(pooled_mask(shape, norm, index)[index] for norm in NORMS)


def test_refusals_of_masks() -> None:
    with pytest.raises(ValueError, match=r"norm must be one of batch, .*, got 'weight'"):
        pooled_mask((2, 3), "weight", (0, 0))  # type: ignore[arg-type]
    for shape, index in (((2, 3), (0, 3)), ((2, 3), (0, 0, 0)), ((2,), (0,))):
        with pytest.raises(ValueError, match="is outside an array"):
            pooled_mask(shape, "batch", index)
    with pytest.raises(ValueError, match="index must be >= 0, got -1"):
        pooled_mask((2, 3), "batch", (0, -1))
    with pytest.raises(ValueError, match=r"num_channels \(3\) must be divisible by num_groups"):
        pooled_mask((2, 3), "group", (0, 0), 2)


# --- folding ---


@explore
@given(seeds, st.booleans(), EPS)
def test_folding_into_a_convolution(seed: int, with_bias: bool, eps: float) -> None:
    weight, bias = draw(seed, 4, 3, 3, 3), draw(seed + 1, 4) if with_bias else None
    mean, gamma, beta = draw(seed + 2, 3, 4)
    running = Running(mean, np.abs(draw(seed + 3, 4)), 7)
    x = tensor(draw(seed + 4, 2, 3, 6, 6))
    new_weight, new_bias = fold_batch_norm(weight, bias, running, gamma, beta, eps)
    z = F.conv2d(x, tensor(weight), None if bias is None else tensor(bias))
    stats = [tensor(array) for array in (mean, running.var, gamma, beta)]
    expected = F.batch_norm(z, *stats, training=False, eps=eps).numpy()
    ours = F.conv2d(x, tensor(new_weight), tensor(new_bias)).numpy()
    assert_allclose(ours, expected, rtol=1e-9, atol=1e-10 * np.abs(expected).max())


def test_folding_is_what_torch_fuses() -> None:
    conv, norm = nn.Conv2d(3, 4, 2, dtype=torch.float64), nn.BatchNorm2d(4, dtype=torch.float64)
    norm(conv(tensor(draw(0, 5, 3, 4, 4))))
    fused = nn.utils.fuse_conv_bn_eval(conv.eval(), norm.eval())
    arrays = [p.detach().numpy() for p in (conv.weight, conv.bias, norm.weight, norm.bias)]
    mean, var = (b.numpy() for b in (norm.running_mean, norm.running_var))
    weight, bias, gamma, beta = arrays
    weight, bias = fold_batch_norm(weight, bias, Running(mean, var, 1), gamma, beta)
    close(weight, fused.weight)
    close(bias, fused.bias)


# --- dtypes and refusals that all share ---


def test_float32_stays_float32_and_survives_a_large_mean() -> None:
    """Mean of squares minus square of the mean is a multiple of 8 there: no digit is right."""
    x = (1e4 + np.random.default_rng(0).normal(size=(256, 1))).astype(np.float32)
    y, running = batch_norm(x, None, None, Running.start(1, np.float32), training=True)
    assert y.dtype == np.float32
    assert running is not None
    assert running.mean.dtype == running.var.dtype == np.float32
    assert y.std() == pytest.approx(1, abs=1e-3)
    naive = np.mean(x * x, dtype=np.float32) - np.mean(x, dtype=np.float32) ** 2
    assert abs(naive - x.astype(float).var()) > 0.5


def calls() -> dict[str, Callable[[Any], Any]]:
    return {
        "batch": lambda x: batch_norm(x, None, None, training=True),
        "layer": lambda x: layer_norm(x, 4),
        "rms": lambda x: rms_norm(x, 4),
        "instance": instance_norm,
        "group": lambda x: group_norm(x, 1),
        "batch backward": lambda x: batch_norm_backward(x, x, None),
        "layer backward": lambda x: layer_norm_backward(x, x, 4),
        "rms backward": lambda x: rms_norm_backward(x, x, 4),
    }


@pytest.mark.parametrize("call", calls().values(), ids=calls())
def test_bad_arrays_are_refused_by_name(call: Callable[[Any], Any]) -> None:
    good = draw(0, 2, 3, 4)
    call(good)
    for bad in (math.nan, math.inf):
        x = good.copy()
        x[1, 2, 3] = bad
        with pytest.raises(ValueError, match=f"x must be finite, got {bad}"):
            call(x)
    with pytest.raises(ValueError, match=r"x is empty: it has shape \(0, 3, 4\)"):
        call(good[:0])
    with pytest.raises(TypeError, match="x has dtype int64"):
        call(good.astype(np.int64))


@pytest.mark.parametrize("eps", [0, -1e-5, math.inf, math.nan])
def test_eps_has_to_be_positive(eps: float) -> None:
    x = draw(0, 2, 3, 4)
    for call in (
        lambda: batch_norm(x, None, None, training=True, eps=eps),
        lambda: batch_norm_backward(x, x, None, eps),
        lambda: layer_norm(x, 4, eps=eps),
        lambda: layer_norm_backward(x, x, 4, eps=eps),
        lambda: rms_norm(x, 4, eps=eps),
        lambda: rms_norm_backward(x, x, 4, eps=eps),
        lambda: instance_norm(x, eps),
        lambda: group_norm(x, 1, eps=eps),
        lambda: fold_batch_norm(x, None, Running.start(2), eps=eps),
    ):
        with pytest.raises(ValueError, match="eps must be > 0"):
            call()


def test_wrong_shapes_and_dtypes_of_the_other_arrays() -> None:
    x = draw(0, 5, 3)
    with pytest.raises(ValueError, match=r"gamma must have shape \(3,\), got \(2,\)"):
        batch_norm(x, np.ones(2), None, training=True)
    with pytest.raises(ValueError, match=r"beta must have shape \(3,\), got \(5, 3\)"):
        layer_norm(x, 3, None, x)
    with pytest.raises(TypeError, match="gamma has dtype float32, x float64"):
        group_norm(x, 3, np.ones(3, np.float32))
    with pytest.raises(ValueError, match="gamma must be finite, got nan"):
        rms_norm(x, 3, np.array([1, math.nan, 1]))
    with pytest.raises(ValueError, match=r"dy must have shape \(5, 3\), got \(3, 5\)"):
        batch_norm_backward(x.T, x, None)
    with pytest.raises(ValueError, match=r"running mean must have shape \(3,\), got \(4,\)"):
        batch_norm(x, None, None, Running.start(4), training=False)
    negative = Running(np.zeros(3), np.array([1.0, -1.0, 1.0]), 0)
    with pytest.raises(ValueError, match=r"running var must be >= 0, got -1\.0"):
        batch_norm(x, None, None, negative, training=False)
    with pytest.raises(ValueError, match=r"running var must be >= 0, got -1\.0"):
        fold_batch_norm(x.T, None, negative)
    with pytest.raises(ValueError, match=r"bias must have shape \(5,\), got \(3,\)"):
        fold_batch_norm(x, np.ones(3), Running.start(5))
    with pytest.raises(ValueError, match=r"momentum must be None or in \[0, 1\], got 1\.5"):
        batch_norm(x, None, None, training=True, momentum=1.5)
    with pytest.raises(ValueError, match=r"x must have at least 2 axes, got shape \(3,\)"):
        batch_norm(np.zeros(3), None, None, training=True)
    with pytest.raises(ValueError, match="normalized_shape is empty"):
        layer_norm(x, ())
    with pytest.raises(ValueError, match="channels must be >= 1, got 0"):
        Running.start(0)
