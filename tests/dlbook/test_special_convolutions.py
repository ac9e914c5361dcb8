"""The convolutions of chapter 9 against PyTorch, on drawn shapes, groups, steps and offsets."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dlbook.special_convolutions import (
    bilinear_kernel,
    bilinear_sample,
    convolution_matrix,
    deformable_conv2d,
    depthwise_separable,
    overlap_counts,
    parameters_and_macs,
    stuff_zeros,
    transposed_conv2d,
)

Floats = NDArray[np.float64]
Drawn = tuple[dict[str, Any], dict[str, Any]]


@st.composite
def steps(draw: st.DrawFn, least: int, most: int) -> Any:
    one = st.integers(least, most)
    return draw(one | st.tuples(one, one))


def both(value: Any) -> NDArray[np.int64]:
    return np.broadcast_to(value, 2)


def tensors(arrays: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def same(ours: Any, theirs: Any) -> None:
    assert ours.shape == tuple(theirs.shape)
    np.testing.assert_allclose(ours, np.asarray(theirs), rtol=1e-10, atol=1e-10)


# --- groups ---


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("c_in", "c_out", "kernel", "groups"),
    [(16, 16, 3, 16), (16, 32, 3, 16), (64, 128, 1, 1), (8, 12, (3, 5), 4), (1, 1, 1, 1)],
)
def test_counts_are_torchs(c_in: int, c_out: int, kernel: Any, groups: int, bias: bool) -> None:
    layer = torch.nn.Conv2d(c_in, c_out, kernel, groups=groups, bias=bias)
    parameters, macs = parameters_and_macs(c_in, c_out, kernel, (7, 5), groups, bias)
    assert parameters == sum(p.numel() for p in layer.parameters())
    assert macs == layer.weight.numel() * 35


@st.composite
def separable(draw: st.DrawFn) -> Drawn:
    n, channels, multiplier, c_out = (
        draw(st.integers(least, most)) for least, most in ((0, 2), (1, 4), (1, 2), (1, 4))
    )
    size, kernel = (draw(st.tuples(*[st.integers(1, most)] * 2)) for most in (8, 4))
    how = {"stride": draw(steps(1, 3)), "padding": draw(steps(0, 2)), "dilation": draw(steps(1, 2))}
    assume(fits(size, kernel, how))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return {
        "images": rng.normal(size=(n, channels, *size)),
        "depthwise": rng.normal(size=(multiplier * channels, 1, *kernel)),
        "pointwise": rng.normal(size=(c_out, multiplier * channels, 1, 1)),
    }, how


def fits(size: Any, kernel: Any, how: dict[str, Any]) -> bool:
    reach = both(how["dilation"]) * (np.array(kernel) - 1) + 1
    return bool(np.all(reach <= np.array(size) + 2 * both(how["padding"])))


@settings(max_examples=100, deadline=None)
@given(separable())
def test_depthwise_separable_is_two_of_torchs(drawn: Drawn) -> None:
    arrays, how = drawn
    given_ = tensors(arrays)
    filtered = F.conv2d(given_["images"], given_["depthwise"], groups=arrays["images"].shape[1],
                        **how)  # fmt: skip
    same(depthwise_separable(**arrays, **how), F.conv2d(filtered, given_["pointwise"]))


def test_separable_is_one_convolution_of_products() -> None:
    """W_oc = b_oc a_c: all outputs share one filter for each input channel."""
    rng = np.random.default_rng(0)
    x, a, b = rng.normal(size=(2, 4, 7, 7)), rng.normal(size=(4, 1, 3, 3)), rng.normal(size=(6, 4))
    joined = torch.from_numpy(b[:, :, None, None] * a[:, 0])
    ours = depthwise_separable(x, a, b[:, :, None, None], padding=1)
    same(ours, F.conv2d(torch.from_numpy(x), joined, padding=1))


# --- transposed ---


@st.composite
def transposed(draw: st.DrawFn) -> Drawn:
    groups = draw(st.integers(1, 3))
    c_in = groups * draw(st.integers(1, 3))
    n, per_group = draw(st.integers(0, 2)), draw(st.integers(1, 3))
    size, kernel = (draw(st.tuples(*[st.integers(1, most)] * 2)) for most in (6, 4))
    how = {
        "stride": draw(steps(1, 3)),
        "padding": draw(steps(0, 3)),
        "output_padding": draw(steps(0, 2)),
        "dilation": draw(steps(1, 2)),
        "groups": groups,
    }
    stride, dilation = both(how["stride"]), both(how["dilation"])
    assume(bool(np.all(both(how["output_padding"]) < np.maximum(stride, dilation))))
    out = (np.array(size) - 1) * stride - 2 * both(how["padding"]) + both(how["output_padding"])
    assume(bool(np.all(out + dilation * (np.array(kernel) - 1) + 1 >= 1)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return {
        "images": rng.normal(size=(n, c_in, *size)),
        "kernels": rng.normal(size=(c_in, per_group, *kernel)),
        "bias": rng.normal(size=groups * per_group),
    }, how


@settings(max_examples=200, deadline=None)
@given(transposed())
def test_transposed_is_torchs(drawn: Drawn) -> None:
    arrays, how = drawn
    theirs = F.conv_transpose2d(*tensors(arrays).values(), **how)
    same(transposed_conv2d(**arrays, **how), theirs)
    del arrays["bias"]
    same(transposed_conv2d(**arrays, **how), F.conv_transpose2d(*tensors(arrays).values(), **how))


@settings(max_examples=100, deadline=None)
@given(transposed())
def test_it_is_a_convolution_of_the_stuffed_input(drawn: Drawn) -> None:
    """Pad by k_e - 1 - p, crop if that is negative, and correlate with the flipped kernel."""
    arrays, how = drawn
    groups, kernels = how["groups"], torch.from_numpy(arrays["kernels"])
    stuffed = torch.from_numpy(stuff_zeros(arrays["images"], how["stride"]))
    c_in, per_group, *window = kernels.shape
    pads: list[int] = []
    for axis in (1, 0):
        edge = int(both(how["dilation"])[axis] * (window[axis] - 1) - both(how["padding"])[axis])
        pads += [edge, edge + int(both(how["output_padding"])[axis])]
    flipped = kernels.flip(2, 3).reshape(groups, c_in // groups, per_group, *window)
    swapped = flipped.transpose(1, 2).reshape(groups * per_group, c_in // groups, *window)
    padded = F.pad(stuffed, pads)
    theirs = F.conv2d(padded, swapped, torch.from_numpy(arrays["bias"]), dilation=how["dilation"],
                      groups=groups)  # fmt: skip
    same(transposed_conv2d(**arrays, **how), theirs)


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(1, 6)] * 2), st.tuples(*[st.integers(1, 3)] * 2), steps(1, 3),
       steps(0, 2), st.integers(0, 2**32 - 1))  # fmt: skip
def test_matrix_and_its_transpose(size: Any, kernel: Any, stride: Any, padding: Any,
                                  seed: int) -> None:  # fmt: skip
    assume(fits(size, kernel, {"dilation": 1, "padding": padding}))
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(1, 1, *size)), rng.normal(size=kernel)
    matrix = convolution_matrix(w, size, stride, padding)
    image = torch.from_numpy(x).requires_grad_()
    y = F.conv2d(image, torch.from_numpy(w)[None, None], None, stride, padding)
    same(matrix @ x.ravel(), y.detach().flatten())
    grad = rng.normal(size=tuple(y.shape))
    (back,) = torch.autograd.grad(y, image, torch.from_numpy(grad))
    same(matrix.T @ grad.ravel(), back.flatten())
    out = (np.array(size) + 2 * both(padding) - np.array(kernel)) % both(stride)
    up = transposed_conv2d(grad, w[None, None], None, stride, padding, (int(out[0]), int(out[1])))
    same(up, back)


def test_stuffing_puts_zeros_between_and_none_behind() -> None:
    x = np.arange(1.0, 7).reshape(1, 1, 2, 3)
    assert stuff_zeros(x, (1, 2))[0, 0].tolist() == [[1, 0, 2, 0, 3], [4, 0, 5, 0, 6]]
    assert stuff_zeros(x, 3).shape == (1, 1, 4, 7)
    np.testing.assert_array_equal(stuff_zeros(x, 1), x)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(1, 6), st.integers(1, 5))
def test_counts_are_a_transposed_convolution_of_ones(size: int, kernel: int, stride: int) -> None:
    ones = torch.ones(1, 1, size), torch.ones(1, 1, kernel)
    theirs = F.conv_transpose1d(*ones, stride=stride).flatten()
    assert overlap_counts(size, kernel, stride).tolist() == theirs.int().tolist()


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_bilinear_kernel_interpolates(stride: int) -> None:
    x = np.random.default_rng(stride).normal(size=(1, 1, 6, 6))
    w = bilinear_kernel(stride)
    assert w.shape == (2 * stride - stride % 2,) * 2
    up = transposed_conv2d(x, w[None, None], None, stride, math.ceil((stride - 1) / 2))
    theirs = F.interpolate(torch.from_numpy(x), scale_factor=stride, mode="bilinear")
    inner = (..., slice(stride, -stride), slice(stride, -stride))
    same(up[inner], theirs.numpy()[inner])
    assert w.sum() == pytest.approx(stride**2)


# --- deformable ---


def grid_sampled(images: Floats, y: Floats, x: Floats) -> torch.Tensor:
    """Sample (N, C, H, W) at (N, L) positions with ``F.grid_sample``; (N, C, L)."""
    height, width = images.shape[2:]
    grid = np.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], axis=-1)
    read = F.grid_sample(torch.from_numpy(images), torch.from_numpy(grid)[:, None],
                         mode="bilinear", padding_mode="zeros", align_corners=False)  # fmt: skip
    return read[:, :, 0]


POSITIONS = st.floats(-3, 9) | st.integers(-3, 9).map(float) | st.sampled_from([-1e300, 1e9])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(POSITIONS, POSITIONS), min_size=1, max_size=8), st.integers(1, 6),
       st.integers(1, 6))  # fmt: skip
def test_samples_are_those_of_grid_sample(places: Any, height: int, width: int) -> None:
    images = np.random.default_rng(0).normal(size=(1, 2, height, width))
    y, x = np.array(places).T
    near = np.abs(y) + np.abs(x) < 100  # grid_sample turns farther ones into indices
    ours = bilinear_sample(images[0], y, x)
    assert ours.shape == (2, len(places))
    assert not ours[:, ~near].any()
    theirs = grid_sampled(images, y[None, near], x[None, near])[0].numpy()
    np.testing.assert_allclose(ours[:, near], theirs, atol=1e-9)


def test_the_border_fades_to_zero_over_one_pixel() -> None:
    y = np.array([-2, -1, -0.5, 0, 4, 4.25, 5, 6])
    expected = [0, 0, 0.5, 1, 1, 0.75, 0, 0]
    np.testing.assert_allclose(bilinear_sample(np.ones((5, 3)), y, 1.0), expected)
    np.testing.assert_allclose(bilinear_sample(np.ones((3, 5)), np.array(1.0), y), expected)
    assert bilinear_sample(np.ones((2, 2)), -0.5, -0.5) == 0.25


@st.composite
def deformed(draw: st.DrawFn) -> Drawn:
    groups, blocks = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    c_in = math.lcm(groups, blocks) * draw(st.integers(1, 2))
    c_out, n = groups * draw(st.integers(1, 2)), draw(st.integers(0, 2))
    size, kernel = (draw(st.tuples(*[st.integers(1, most)] * 2)) for most in (6, 3))
    how = {"stride": draw(steps(1, 3)), "padding": draw(steps(0, 2)), "dilation": draw(steps(1, 2))}
    assume(fits(size, kernel, how))
    out = np.array(size) + 2 * both(how["padding"]) - both(how["dilation"]) * (np.array(kernel) - 1)
    out = (out - 1) // both(how["stride"]) + 1
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    taps = blocks * math.prod(kernel)
    offsets = rng.normal(scale=draw(st.sampled_from([0.0, 1.0, 4.0])), size=(n, 2 * taps, *out))
    if draw(st.booleans()):
        offsets = np.rint(offsets)
    arrays = {
        "images": rng.normal(size=(n, c_in, *size)),
        "offsets": offsets,
        "kernels": rng.normal(size=(c_out, c_in // groups, *kernel)),
        "bias": rng.normal(size=c_out),
    }
    if draw(st.booleans()):
        arrays["mask"] = rng.uniform(size=(n, taps, *out))
    return arrays, how | {"groups": groups}


def by_grid_sample(arrays: dict[str, Any], how: dict[str, Any]) -> torch.Tensor:
    """Read every tap with ``grid_sample``, then convolve the taps with stride k."""
    images, offsets, kernels = (arrays[name] for name in ("images", "offsets", "kernels"))
    k_h, k_w = kernels.shape[2:]
    n, channels = images.shape[:2]
    out: tuple[int, ...] = offsets.shape[2:]
    blocks = offsets.shape[1] // (2 * k_h * k_w)
    mask = arrays.get("mask", np.ones((n, blocks * k_h * k_w, *out)))
    spread = torch.zeros(n, channels, out[0] * k_h, out[1] * k_w, dtype=torch.float64)
    share = channels // blocks
    for g, a, e in np.ndindex(blocks, k_h, k_w):
        tap = (g * k_h + a) * k_w + e
        rows = np.arange(out[0]) * both(how["stride"])[0] - both(how["padding"])[0]
        columns = np.arange(out[1]) * both(how["stride"])[1] - both(how["padding"])[1]
        y = rows[:, None] + a * both(how["dilation"])[0] + offsets[:, 2 * tap]
        x = columns + e * both(how["dilation"])[1] + offsets[:, 2 * tap + 1]
        part = slice(g * share, (g + 1) * share)
        read = grid_sampled(images[:, part], y.reshape(n, -1), x.reshape(n, -1))
        factor = torch.from_numpy(mask[:, tap, None])
        spread[:, part, a::k_h, e::k_w] = read.reshape(n, share, *out) * factor
    weight, bias = torch.from_numpy(kernels), torch.from_numpy(arrays["bias"])
    return F.conv2d(spread, weight, bias, stride=(k_h, k_w), groups=how["groups"])


@settings(max_examples=200, deadline=None)
@given(deformed())
def test_deformable_is_a_convolution_of_sampled_taps(drawn: Drawn) -> None:
    arrays, how = drawn
    ours = deformable_conv2d(**arrays, **how)
    if len(arrays["images"]):
        same(ours, by_grid_sample(arrays, how))
    else:
        assert ours.shape == (0, len(arrays["kernels"]), *arrays["offsets"].shape[2:])


@settings(max_examples=60, deadline=None)
@given(deformed())
def test_without_offsets_it_is_the_convolution(drawn: Drawn) -> None:
    arrays, how = drawn
    given_ = tensors(arrays)
    zero = arrays | {"offsets": np.zeros_like(arrays["offsets"])}
    zero.pop("mask", None)
    theirs = F.conv2d(given_["images"], given_["kernels"], given_["bias"], **how)
    same(deformable_conv2d(**zero, **how), theirs)


def test_offsets_can_dilate() -> None:
    rng = np.random.default_rng(3)
    x, w = rng.normal(size=(1, 2, 7, 7)), rng.normal(size=(3, 2, 3, 3))
    outward = [step for a in range(3) for b in range(3) for step in (a - 1.0, b - 1.0)]
    offsets = np.broadcast_to(np.array(outward)[None, :, None, None], (1, 18, 5, 5))
    dilated = F.conv2d(torch.from_numpy(x), torch.from_numpy(w), padding=1, dilation=2)
    same(deformable_conv2d(x, offsets, w), dilated)


def test_a_step_down_reads_the_row_below() -> None:
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    down = np.zeros((1, 2, 3, 3))
    down[:, 0] = 1
    moved = deformable_conv2d(x, down, np.ones((1, 1, 1, 1)))
    assert moved[0, 0].tolist() == [[3, 4, 5], [6, 7, 8], [0, 0, 0]]


# --- what is refused, and what is empty ---

X, W = np.ones((1, 4, 6, 6)), np.ones((4, 4, 3, 3))
OFFSETS = np.zeros((1, 18, 4, 4))
NAN = OFFSETS.copy()
NAN[0, 3, 2, 1] = np.nan


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: parameters_and_macs(4, 8, 3, 5, groups=3), "groups 3 does not divide 4 input"),
        (lambda: parameters_and_macs(4, 6, 3, 5, groups=4), "groups 4 does not divide 6 output"),
        (lambda: parameters_and_macs(4, 4, 3, 0), "output_size must be >= 1, got 0"),
        (lambda: depthwise_separable(X, W, np.ones((2, 4, 1, 1))), "depthwise must have shape"),
        (
            lambda: depthwise_separable(X, np.ones((3, 1, 3, 3)), np.ones((2, 3, 1, 1))),
            "depthwise has 3 filters: not a multiple of 4 channels",
        ),
        (
            lambda: depthwise_separable(X, np.ones((4, 1, 3, 3)), np.ones((2, 5, 1, 1))),
            "pointwise must have shape (C_out, 4, 1, 1), got (2, 5, 1, 1)",
        ),
        (lambda: stuff_zeros(X, 0), "stride must be >= 1, got 0"),
        (lambda: stuff_zeros(X[0], 2), "images must have 4 axes (N, C, H, W)"),
        (
            lambda: transposed_conv2d(X, W, stride=2, output_padding=2),
            "output_padding 2 must be smaller than stride 2 or dilation 1",
        ),
        (lambda: transposed_conv2d(X, W, groups=3), "groups 3 does not divide 4 input channels"),
        (lambda: transposed_conv2d(X, W[:2]), "kernels expect 2 input channels, images have 4"),
        (lambda: transposed_conv2d(X, W, np.ones(3)), "bias must have shape (4,), got (3,)"),
        (
            lambda: transposed_conv2d(X[..., :1, :1], W, padding=2),
            "output size (-1, -1): padding (2, 2) crops everything of (3, 3)",
        ),
        (lambda: transposed_conv2d(X, W, padding=-1), "padding must be >= 0, got -1"),
        (lambda: convolution_matrix(np.ones((3, 3)), 2), "kernel (3, 3) is larger"),
        (lambda: convolution_matrix(np.ones(3), 2), "kernel must have 2 axes"),
        (lambda: overlap_counts(3, 0, 1), "kernel must be >= 1, got 0"),
        (lambda: bilinear_kernel(0), "stride must be >= 1, got 0"),
        (lambda: bilinear_sample(np.ones(3), 0.0, 0.0), "images must have at least 2 axes"),
        (lambda: bilinear_sample(X, np.array([0.0, np.inf]), 0.0), "y (1,) is inf"),
        (lambda: bilinear_sample(X, 0.0, np.nan), "x is NaN"),
        (lambda: bilinear_sample(X, np.ones(2), np.ones(3)), "y and x must broadcast"),
        (
            lambda: deformable_conv2d(X, OFFSETS[:, :16], W),
            "offsets have 16 channels, expected a multiple of 2·3·3 = 18",
        ),
        (
            lambda: deformable_conv2d(X, OFFSETS[:, :0], W),
            "offsets have 0 channels, expected a multiple of 2·3·3 = 18",
        ),
        (
            lambda: deformable_conv2d(X, np.zeros((1, 54, 4, 4)), W),
            "offset groups 3 do not divide 4 channels",
        ),
        (
            lambda: deformable_conv2d(X, np.zeros((1, 18, 7, 7)), W, padding=1),
            "offsets are 7×7, the output is 6×6",
        ),
        (lambda: deformable_conv2d(X, OFFSETS[0], W), "offsets must have 4 axes"),
        (lambda: deformable_conv2d(X, np.zeros((2, 18, 4, 4)), W), "for 2 images, there are 1"),
        (lambda: deformable_conv2d(X, NAN, W), "offset (0, 3, 2, 1) is NaN"),
        (
            lambda: deformable_conv2d(X, OFFSETS, W, mask=np.ones((1, 18, 4, 4))),
            "mask must have shape (1, 9, 4, 4), got (1, 18, 4, 4)",
        ),
        (lambda: deformable_conv2d(X, OFFSETS, W, groups=2), "kernels expect 2 × 4 = 8 channels"),
        (lambda: deformable_conv2d(X, OFFSETS, W[:, :0]), "kernels is empty"),
        (lambda: deformable_conv2d(X[:, :0], OFFSETS, W), "images are empty"),
        (
            lambda: deformable_conv2d(X, OFFSETS, W, stride=(1, 2, 3)),  # type: ignore[arg-type]
            "an integer or a pair",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda: parameters_and_macs(4, 8, 3, 5.0),  # type: ignore[arg-type]
        lambda: transposed_conv2d(X.astype(int), W),
        lambda: transposed_conv2d(X, W, stride=1.5),  # type: ignore[arg-type]
        lambda: deformable_conv2d(X, OFFSETS.astype(int), W),
        lambda: bilinear_sample(X, 1, 2),
        lambda: depthwise_separable(X, W.astype(complex), W),
    ],
)
def test_wrong_types_are_refused(call: Callable[[], Any]) -> None:
    with pytest.raises(TypeError):
        call()


def test_torch_refuses_the_same_output_padding() -> None:
    one = torch.zeros(1, 1, 3, 3)
    with pytest.raises(RuntimeError, match="output padding must be smaller than either stride or"):
        F.conv_transpose2d(one, one, stride=2, output_padding=2)


def test_an_empty_batch_has_its_shape() -> None:
    none = X[:0]
    assert stuff_zeros(none, 2).shape == (0, 4, 11, 11)
    assert transposed_conv2d(none, W, stride=2).shape == (0, 4, 13, 13)
    halves = np.ones((4, 1, 3, 3)), np.ones((5, 4, 1, 1))
    assert depthwise_separable(none, *halves).shape == (0, 5, 4, 4)
    assert deformable_conv2d(none, OFFSETS[:0], W).shape == (0, 4, 4, 4)
    assert bilinear_sample(none, np.ones(3), np.ones(3)).shape == (0, 4, 3)
    assert bilinear_sample(X, np.ones(0), np.ones(0)).shape == (1, 4, 0)


@pytest.mark.parametrize("dtypes", ["ff", "fd", "df"])
def test_the_result_has_the_common_dtype(dtypes: str) -> None:
    x, w = X.astype(dtypes[0]), W.astype(dtypes[1])
    due = np.result_type(*dtypes)
    assert transposed_conv2d(x, w).dtype == due
    assert deformable_conv2d(x, OFFSETS.astype(dtypes[0]), w).dtype == due
    assert depthwise_separable(x, w[:, :1], w[:, :, :1, :1]).dtype == due
    assert stuff_zeros(x, 2).dtype == x.dtype


def test_arguments_are_not_written_into() -> None:
    offsets = OFFSETS + 0.5
    frozen = X.copy(), W.copy(), offsets.copy()
    for array in (X, W, offsets):
        array.setflags(write=False)
    deformable_conv2d(X, offsets, W)
    transposed_conv2d(X, W, stride=2, padding=1)
    for array, before in zip((X, W, offsets), frozen, strict=True):
        np.testing.assert_array_equal(array, before)
        array.setflags(write=True)
