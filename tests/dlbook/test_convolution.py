"""The convolutions of chapter 7 against PyTorch and SciPy, on drawn shapes and steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.signal
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dlbook.convolution import col2im, conv2d, conv2d_backward, conv2d_loops, im2col

Floats = NDArray[np.float64]
Case = tuple[Floats, Floats, Floats, dict[str, Any]]


@st.composite
def steps(draw: st.DrawFn, least: int, most: int) -> Any:
    one = st.integers(least, most)
    return draw(one | st.tuples(one, one))


@st.composite
def cases(draw: st.DrawFn, least_batch: int = 0) -> Case:
    """Images, kernels, bias and steps that fit."""
    groups = draw(st.integers(1, 3))
    c_in, c_out = (groups * draw(st.integers(1, 3)) for _ in range(2))
    size = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    how = {"stride": draw(steps(1, 3)), "padding": draw(steps(0, 2)), "dilation": draw(steps(1, 3))}
    pads, dilations = (np.broadcast_to(how[name], 2) for name in ("padding", "dilation"))
    assume(all(dilations * (np.array(kernel) - 1) + 1 <= np.array(size) + 2 * pads))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(least_batch, 3))
    images = rng.normal(size=(n, c_in, *size))
    kernels = rng.normal(size=(c_out, c_in // groups, *kernel))
    return images, kernels, rng.normal(size=c_out), how | {"groups": groups}


def assert_close(ours: Any, theirs: Any, bound: Any) -> None:
    """Compare relative to the sum of the absolute products: what rounding can lose."""
    assert ours.shape == tuple(theirs.shape)
    assert np.all(np.abs(ours - np.asarray(theirs)) <= 1e-12 * np.asarray(bound) + 1e-300)


@settings(max_examples=150, deadline=None)
@given(cases())
def test_conv2d_is_torchs(case: Case) -> None:
    images, kernels, bias, how = case
    given = [torch.from_numpy(array) for array in (images, kernels, bias)]
    theirs = F.conv2d(*given, **how)
    bound = F.conv2d(*(value.abs() for value in given), **how)
    assert_close(conv2d(images, kernels, bias, **how), theirs, bound)
    plain, bound = (F.conv2d(v[0], v[1], **how) for v in (given, [v.abs() for v in given]))
    assert_close(conv2d(images, kernels, **how), plain, bound)


@settings(max_examples=40, deadline=None)
@given(cases())
def test_the_loops_are_torchs(case: Case) -> None:
    images, kernels, bias, how = case
    images = images[:, :, :6, :6]
    assume(images.shape[2:] == case[0].shape[2:])
    theirs = F.conv2d(*(torch.from_numpy(array) for array in (images, kernels, bias)), **how)
    assert_close(conv2d_loops(images, kernels, bias, **how), theirs, 10 + theirs.abs())


@settings(max_examples=80, deadline=None)
@given(cases(), st.integers(-4, 4))
def test_integers_are_exact(case: Case, shift: int) -> None:
    """Whole numbers have no rounding: the two ways must agree to the last digit."""
    images, kernels, bias, how = (np.rint(4 * part) if isinstance(part, np.ndarray) else part
                                  for part in case)  # fmt: skip
    images = images[:1] + shift
    np.testing.assert_array_equal(
        conv2d(images, kernels, bias, **how), conv2d_loops(images, kernels, bias, **how)
    )


@settings(max_examples=100, deadline=None)
@given(cases())
def test_columns_are_those_of_unfold_and_fold(case: Case) -> None:
    images, kernels, _, how = case
    assume(len(images))
    del how["groups"]
    kernel = kernels.shape[2:]
    columns = im2col(images, kernel, **how)
    theirs = F.unfold(torch.from_numpy(images), kernel, **how)
    np.testing.assert_array_equal(columns, theirs.numpy())
    back = col2im(columns, images.shape[2:], kernel, **how)
    folded = F.fold(theirs, images.shape[2:], kernel, **how)
    bound = F.fold(theirs.abs(), images.shape[2:], kernel, **how)
    assert_close(back, folded, bound)


@settings(max_examples=100, deadline=None)
@given(cases())
def test_gradients_are_autograds(case: Case) -> None:
    images, kernels, bias, how = case
    given = [torch.from_numpy(array).requires_grad_() for array in (images, kernels, bias)]
    result = F.conv2d(*given, **how)
    grad = torch.from_numpy(np.random.default_rng(0).normal(size=result.shape))
    theirs = torch.autograd.grad(result, given, grad)
    ours = conv2d_backward(images, kernels, grad.numpy(), **how)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other.numpy(), rtol=1e-10, atol=1e-11)


def test_col2im_counts_how_many_windows_hold_a_pixel() -> None:
    counts = col2im(im2col(np.ones((1, 1, 5, 5)), 3), 5, 3)[0, 0]
    np.testing.assert_array_equal(counts, np.outer([1, 2, 3, 2, 1], [1, 2, 3, 2, 1]))


def test_no_flip() -> None:
    kernel = np.arange(1.0, 10).reshape(3, 3)
    impulse = np.zeros((5, 5))
    impulse[2, 2] = 1
    ours = conv2d(impulse[None, None], kernel[None, None])[0, 0]
    np.testing.assert_array_equal(ours, [[9, 8, 7], [6, 5, 4], [3, 2, 1]])
    image = np.random.default_rng(1).normal(size=(6, 7))
    ours = conv2d(image[None, None], kernel[None, None])[0, 0]
    np.testing.assert_allclose(ours, scipy.signal.correlate2d(image, kernel, "valid"))


@pytest.mark.parametrize("dtypes", ["ff", "fd", "df", "ee"])
def test_the_result_has_the_common_dtype(dtypes: str) -> None:
    images, kernels = np.ones((1, 1, 4, 4), dtypes[0]), np.ones((1, 1, 3, 3), dtypes[1])
    for convolve in (conv2d, conv2d_loops):
        assert convolve(images, kernels).dtype == np.result_type(*dtypes)


def test_an_empty_batch_has_its_shape() -> None:
    images, kernels = np.ones((0, 4, 6, 5)), np.ones((6, 2, 3, 2))
    for convolve in (conv2d, conv2d_loops):
        assert convolve(images, kernels, stride=2, groups=2).shape == (0, 6, 2, 2)
    assert im2col(images, 3).shape == (0, 36, 12)
    gradients = conv2d_backward(images, kernels, np.ones((0, 6, 2, 2)), stride=2, groups=2)
    assert [g.shape for g in gradients] == [(0, 4, 6, 5), (6, 2, 3, 2), (6,)]
    assert not gradients[1].any()
    assert not gradients[2].any()


def test_nan_reaches_its_windows_only() -> None:
    images = np.ones((1, 1, 5, 5))
    images[0, 0, 0, 0] = np.nan
    found = np.isnan(conv2d(images, np.ones((1, 1, 2, 2))))
    assert found.sum() == 1
    assert found[0, 0, 0, 0]


def test_columns_are_a_copy() -> None:
    images = np.ones((1, 1, 3, 3))
    for columns in (im2col(images, 1), im2col(images, 3), im2col(images, 2)):
        columns[:] = 5
        assert images.max() == 1


X, W = np.ones((1, 4, 4, 4)), np.ones((4, 4, 3, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c(np.ones((5, 5, 3)), W), r"images must have 4 axes .* got shape \(5, 5, 3\)"),
        (lambda c: c(X, np.ones((3, 3))), r"kernels must have 4 axes .* got shape \(3, 3\)"),
        (lambda c: c(X, np.ones((4, 3, 3, 3)), groups=2),
         r"kernels expect 2 × 3 = 6 channels \(groups × kernel channels\), images have 4"),
        (lambda c: c(np.ones((1, 6, 4, 4)), np.ones((4, 2, 3, 3)), groups=3),
         "groups 3 does not divide 4 output channels"),
        (lambda c: c(X, np.ones((4, 4, 5, 5))),
         r"kernel \(5, 5\) is larger than the padded input \(4, 4\)"),
        (lambda c: c(X, W, dilation=(1, 3)),
         r"kernel \(3, 7\) is larger than the padded input \(4, 4\)"),
        (lambda c: c(X, W, stride=0), "stride must be >= 1, got 0"),
        (lambda c: c(X, W, stride=(1, -1)), "stride must be >= 1, got -1"),
        (lambda c: c(X, W, dilation=0), "dilation must be >= 1, got 0"),
        (lambda c: c(X, W, padding=-1), "padding must be >= 0, got -1"),
        (lambda c: c(X, W, groups=0), "groups must be >= 1, got 0"),
        (lambda c: c(X, W, stride=(1, 1, 1)), r"stride must be an integer or a pair, got \(1, 1"),
        (lambda c: c(X, W, np.ones(3)), r"bias must have shape \(4,\), got \(3,\)"),
        (lambda c: c(X, np.ones((0, 4, 3, 3))), r"kernels are empty: they have shape \(0, 4, 3, 3"),
        (lambda c: c(np.ones((2, 0, 4, 4)), W), r"images are empty: they have shape \(2, 0, 4, 4"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("convolve", [conv2d, conv2d_loops])
def test_bad_values_are_named(convolve: Any, call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(convolve)


def test_bad_types_are_named() -> None:
    with pytest.raises(TypeError, match="integer images: convert to float first"):
        conv2d(X.astype(np.uint8), W)
    with pytest.raises(TypeError, match="kernels has dtype complex128"):
        conv2d(X, W.astype(complex))
    with pytest.raises(TypeError, match=r"padding must be an integer, got 0\.5"):
        conv2d(X, W, padding=0.5)  # type: ignore[arg-type]


def test_bad_columns_are_named() -> None:
    with pytest.raises(ValueError, match=r"columns must have 3 axes .* got shape \(9, 4\)"):
        col2im(np.ones((9, 4)), 4, 3)
    with pytest.raises(ValueError, match="columns have 8 rows: not a multiple of the window's 9"):
        col2im(np.ones((1, 8, 4)), 4, 3)
    with pytest.raises(ValueError, match="columns must be 4 windows, got 5"):
        col2im(np.ones((1, 9, 5)), 4, 3)
    with pytest.raises(ValueError, match=r"grad must have shape \(1, 4, 2, 2\), got \(1, 4, 3, 3"):
        conv2d_backward(X, W, np.ones((1, 4, 3, 3)))


def test_arguments_stay_as_they_were() -> None:
    images, kernels, bias = X.copy(), W.copy(), np.ones(4)
    for convolve in (conv2d, conv2d_loops):
        result = convolve(images, kernels, bias)
        result[:] = 7
    for gradient in conv2d_backward(images, kernels, np.ones((1, 4, 2, 2))):
        gradient[:] = 7
    np.testing.assert_array_equal(images, X)
    np.testing.assert_array_equal(kernels, W)
    np.testing.assert_array_equal(bias, 1)


@pytest.mark.parametrize("padding", [0, 1])
def test_images_need_not_lie_in_order(padding: int) -> None:
    images = np.random.default_rng(0).normal(size=(2, 7, 8, 3)).transpose(0, 3, 1, 2)[:, :, ::2]
    kernels = np.random.default_rng(1).normal(size=(2, 3, 3, 3))
    expected = F.conv2d(torch.from_numpy(images.copy()), torch.from_numpy(kernels), padding=padding)
    np.testing.assert_allclose(
        conv2d(images, kernels, padding=padding), expected.numpy(), atol=1e-12
    )
