"""The numbers in ``book/questions/07_convolution.yml``: each entry names the tests of its own."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import nn
from torch.profiler import ProfilerActivity, profile

from dlbook.convolution import col2im, conv2d, conv2d_backward, conv2d_loops, im2col

Floats = NDArray[Any]


def noise(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=shape)


def whole(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).integers(-3, 4, size=shape).astype(float)


def by_torch(images: Floats, kernels: Floats, **how: Any) -> Floats:
    return np.asarray(F.conv2d(torch.from_numpy(images), torch.from_numpy(kernels), **how))


# --- The sum ---


def test_weight_shape_and_sum() -> None:
    assert tuple(nn.Conv2d(64, 128, 3).weight.shape) == (128, 64, 3, 3)
    images, kernels = noise(1, 3, 3, 3), noise(2, 3, 3, 3)
    expected = [np.sum(images[0] * kernel) for kernel in kernels]
    np.testing.assert_allclose(by_torch(images, kernels).ravel(), expected)


def test_one_channel_broadcasts() -> None:
    images, kernel = noise(3, 4, 4), noise(1, 3, 3)
    assert (images[:, :3, :3] * kernel).shape == (3, 3, 3)  # no error
    with pytest.raises(RuntimeError, match="to have 1 channels, but got 3 channels"):
        by_torch(images[None], kernel[None])


def test_groups_divide_channels() -> None:
    with pytest.raises(ValueError, match="in_channels must be divisible by groups"):
        nn.Conv2d(3, 4, 3, groups=2)


def test_loops_equal_torch() -> None:
    images, kernels = whole(2, 4, 5, 8), whole(6, 2, 2, 3, seed=1)
    for stride, padding, dilation in itertools.product((1, 2, 3), (0, 1, 2), (1, 2)):
        how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": 2}
        np.testing.assert_array_equal(
            conv2d_loops(images, kernels, **how),  # type: ignore[arg-type]
            by_torch(images, kernels, **how),
        )


def test_padded_height_counts_once() -> None:
    padded = 5 + 2 * 1
    assert by_torch(whole(1, 1, 5, 5), whole(1, 1, 3, 3), padding=1).shape[2] == padded - 3 + 1
    assert (padded + 2 * 1 - 3) // 1 + 1 == 7


def test_weights_of_a_layer() -> None:
    layer = nn.Conv2d(64, 128, 3)
    assert layer.bias is not None
    assert (layer.weight.numel(), layer.bias.numel()) == (73_728, 128)
    assert sum(p.numel() for p in layer.parameters()) == 73_856
    assert nn.Conv2d(64, 128, 3, groups=2).weight.numel() == 36_864
    assert nn.Conv2d(64, 128, 1).weight.numel() == 8_192 == 73_728 // 9


def test_multiply_adds() -> None:
    assert 56 * 56 == 3136
    assert 73_728 * 56 * 56 == 231_211_008
    assert 256 * 3 * 5 * 5 * 8 * 8 == 1_228_800
    assert by_torch(noise(1, 1, 56, 56), noise(1, 1, 3, 3), stride=2, padding=1).size * 4 == 3136


def test_one_by_one_is_linear_per_pixel() -> None:
    images, kernels = noise(2, 5, 4, 3), noise(7, 5, 1, 1)
    pixels = images.transpose(0, 2, 3, 1) @ kernels[:, :, 0, 0].T
    np.testing.assert_allclose(by_torch(images, kernels), pixels.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(im2col(images, 1), images.reshape(2, 5, 12))
    gradient = torch.zeros(1, 1, 8, 8, requires_grad=True)
    F.conv2d(gradient, torch.ones(1, 1, 1, 1), stride=2).sum().backward()
    assert gradient.grad is not None
    assert (gradient.grad == 0).double().mean() == 0.75


def test_dense_against_convolution() -> None:
    assert 3 * 32**2 * 16 * 32**2 + 16 * 32**2 == 50_348_032
    assert sum(p.numel() for p in nn.Conv2d(3, 16, 3).parameters()) == 448


def test_one_two_three_dimensions() -> None:
    layers = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    counts = [layer(64, 128, 3, bias=False).weight.numel() for layer in layers]
    assert counts == [24_576, 73_728, 221_184]
    row, kernel = torch.randn(2, 3, 9), torch.randn(4, 3, 3)
    flat = F.conv2d(row[:, :, None], kernel[:, :, None])[:, :, 0]
    torch.testing.assert_close(F.conv1d(row, kernel), flat)


# --- The listing ---


def listing(images: Floats, kernels: Floats, stride: int, padding: int, mended: int = 0) -> Floats:
    """Run the listing as printed, or with its first repairs; NHWC and HWIO."""
    n, height, width, c = images.shape
    k_h, k_w = kernels.shape[:2] if mended == 3 else (kernels.shape[0],) * 2
    padded = np.zeros((n, height + 2 * padding, width + 2 * padding, c))
    if mended == 0:
        padded[:, padding:-padding, padding:-padding, :] = images
    else:
        padded[:, padding : padding + height, padding : padding + width, :] = images
    again = 2 * padding if mended < 2 else 0
    out_h = (padded.shape[1] + again - k_h) // stride + 1
    out_w = (padded.shape[2] - k_w) // stride + 1 if mended == 3 else out_h
    res = np.zeros((n, out_h, out_w, kernels.shape[3]))
    for i, hi, wi, o in np.ndindex(res.shape):
        top, left = hi * stride, wi * stride
        region = padded[i, top : top + k_h, left : left + k_w]
        res[i, hi, wi, o] = np.sum(region * kernels[..., o])
    return res


def verdict(mended: int, size: Any, kernel: Any, stride: int, padding: int) -> str:
    rng = np.random.default_rng(1)
    images = rng.integers(1, 9, size=(1, *size, 3)).astype(float)
    kernels = rng.integers(1, 9, size=(*kernel, 3, 1)).astype(float)
    due = by_torch(
        images.transpose(0, 3, 1, 2).copy(), kernels.transpose(3, 2, 0, 1).copy(),
        stride=stride, padding=padding,
    ).transpose(0, 2, 3, 1)  # fmt: skip
    try:
        got = listing(images, kernels, stride, padding, mended)
    except ValueError:
        return "crash"
    return "right" if got.shape == due.shape and np.array_equal(got, due) else "wrong"


def test_the_listing_and_its_repairs() -> None:
    settings = list(itertools.product((1, 2, 3), (0, 1, 2)))
    square = {s: verdict(0, (5, 5), (3, 3), *s) for s in settings}
    assert [s for s in settings if square[s] == "wrong"] == [(2, 1), (3, 1)]
    assert sum(found == "crash" for found in square.values()) == 7
    assert listing(whole(1, 5, 5, 3), whole(3, 3, 3, 1), 2, 1).shape == (1, 4, 4, 1)
    all_of_them = [
        [
            verdict(mended, size, kernel, *s)
            for size in ((5, 5), (5, 8), (8, 5))
            for kernel in ((3, 3), (2, 3))
            for s in settings
        ]
        for mended in range(4)
    ]
    tally = [tuple(map(row.count, ("crash", "wrong", "right"))) for row in all_of_them]
    assert tally == [(50, 4, 0), (43, 8, 3), (32, 13, 9), (0, 0, 54)]
    assert all(verdict(2, (5, 5), (3, 3), *s) == "right" for s in settings)
    assert listing(whole(1, 5, 8, 3), whole(3, 3, 3, 1), 1, 0, 2).shape == (1, 3, 3, 1)
    assert by_torch(whole(1, 3, 5, 8), whole(1, 3, 3, 3)).shape == (1, 1, 3, 6)
    # What the follow-up names finds all three.
    assert verdict(0, (5, 5), (3, 3), 1, 0) == "crash"
    assert verdict(1, (5, 5), (3, 3), 1, 1) == "crash"
    assert verdict(2, (5, 8), (3, 3), 1, 0) == "wrong"


def test_empty_slice() -> None:
    assert np.zeros((2, 5))[:, 0:-0].shape == (2, 0)
    assert np.zeros((2, 5))[:, 1:-1].shape == (2, 3)


# --- The flip ---


def test_impulse_returns_the_turned_kernel() -> None:
    impulse, kernel = np.zeros((1, 1, 5, 5)), np.arange(1.0, 10).reshape(1, 1, 3, 3)
    impulse[0, 0, 2, 2] = 1
    assert by_torch(impulse, kernel)[0, 0].tolist() == [[9, 8, 7], [6, 5, 4], [3, 2, 1]]
    turned = kernel[..., ::-1, ::-1].copy()
    np.testing.assert_array_equal(by_torch(impulse, turned), kernel)
    sobel = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    np.testing.assert_array_equal(sobel[::-1, ::-1], -sobel)


def test_symmetric_kernel_proves_nothing() -> None:
    eye = np.eye(2)
    np.testing.assert_array_equal(eye, eye[::-1, ::-1])
    assert not np.array_equal(np.arange(9).reshape(3, 3), np.arange(9).reshape(3, 3)[::-1, ::-1])


def full(image: Floats, kernel: Floats, flip: bool) -> Floats:
    weights = kernel[::-1, ::-1] if flip else kernel
    pads = kernel.shape[0] - 1, kernel.shape[1] - 1
    return np.asarray(conv2d(image[None, None], weights[None, None], padding=pads)[0, 0])


def test_only_convolution_is_associative() -> None:
    f, g, h = whole(5, 5), whole(3, 3, seed=1), whole(2, 2, seed=2)
    for flip in (True, False):
        commutes = np.array_equal(full(f, g, flip), full(g, f, flip))
        left, right = full(full(f, g, flip), h, flip), full(f, full(g, h, flip), flip)
        assert commutes == np.array_equal(left, right) == flip


def test_equivariance_and_stride() -> None:
    image, kernel = np.zeros((1, 1, 12, 12)), noise(1, 1, 3, 3)
    image[0, 0, 4:7, 4:6] = noise(3, 2, seed=1)
    still = {stride: by_torch(image, kernel, stride=stride, padding=1) for stride in (1, 2)}
    moved = {
        (s, n): by_torch(np.roll(image, n, 3), kernel, stride=s, padding=1)
        for s in (1, 2)
        for n in (1, 2)
    }
    np.testing.assert_allclose(moved[1, 1], np.roll(still[1], 1, 3))
    np.testing.assert_allclose(moved[2, 2], np.roll(still[2], 1, 3))
    assert not any(np.allclose(moved[2, 1], np.roll(still[2], n, 3)) for n in range(6))


# --- One matrix product ---


def test_im2col_shapes_and_memory() -> None:
    image = np.zeros((1, 64, 56, 56))
    columns = im2col(image, 3, padding=1)
    assert columns.shape == (1, 64 * 9, 56 * 56)
    assert columns.size == 9 * image.size
    assert (round(image.nbytes / 1e6, 1), round(columns.nbytes / 1e6, 1)) == (1.6, 14.5)
    images, kernels = whole(2, 3, 6, 5), whole(4, 3, 3, 2, seed=1)
    product = kernels.reshape(4, -1) @ im2col(images, (3, 2))
    np.testing.assert_array_equal(product.reshape(2, 4, 4, 4), by_torch(images, kernels))
    scrambled = product.swapaxes(1, 2).reshape(2, 4, 4, 4)
    assert not np.array_equal(scrambled, by_torch(images, kernels))


def test_fold_counts() -> None:
    counts = col2im(im2col(np.ones((1, 1, 5, 5)), 3), 5, 3)[0, 0]
    np.testing.assert_array_equal(counts, np.outer([1, 2, 3, 2, 1], [1, 2, 3, 2, 1]))


def test_im2col_at_stride_two() -> None:
    image = np.zeros((1, 64, 56, 56))
    columns = im2col(image, 3, 2, 1)
    assert columns.size / image.size == 9 / 4
    assert round(columns.nbytes / 1e6, 1) == 3.6
    assert im2col(np.zeros((1, 1, 6, 6)), 2, 3).size < 36


def test_copies_of_a_pixel() -> None:
    image = np.arange(36.0).reshape(1, 1, 6, 6)
    columns = im2col(image, 3)
    assert columns.size == 144
    copies = [int(np.sum(columns == image[0, 0, row, 2])) for row in (0, 1, 2)]
    assert np.sum(columns == 0) == 1
    assert copies[0] == 3
    assert copies[2] == 9


def test_window_view_is_no_copy() -> None:
    padded = np.zeros((2, 3, 34, 34))
    view = sliding_window_view(padded, (3, 3), axis=(2, 3))
    assert (round(padded.nbytes / 1e6, 3), round(view.nbytes / 1e6, 2)) == (0.055, 0.44)
    assert np.shares_memory(padded, view)
    assert not view.flags.writeable
    assert not np.shares_memory(padded, view.reshape(-1, 9))


def test_groups_are_block_diagonal() -> None:
    images, kernels = whole(1, 4, 5, 5), whole(6, 2, 3, 3, seed=1)
    matrix = np.zeros((6, 36))
    matrix[:3, :18], matrix[3:, 18:] = kernels[:3].reshape(3, 18), kernels[3:].reshape(3, 18)
    product = (matrix @ im2col(images, 3)[0]).reshape(1, 6, 3, 3)
    np.testing.assert_array_equal(product, by_torch(images, kernels, groups=2))


def test_rounding_is_relative_to_the_absolute_sum() -> None:
    images, kernels = noise(1, 256, 12, 12), noise(16, 256, 3, 3, seed=1)
    exact, total = by_torch(images, kernels), by_torch(np.abs(images), np.abs(kernels))
    for convolve in (by_torch, conv2d):
        error = np.abs(convolve(images.astype("f"), kernels.astype("f")) - exact)
        assert (error / total).max() < 1e-6
        assert (error / np.abs(exact)).max() > 1e-5
    assert 2304 == 256 * 9
    assert np.finfo("f").eps / np.finfo("d").eps == 2**29 == pytest.approx(5.4e8, rel=0.01)


def test_whole_numbers_are_exact() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(-12, 13, size=(1, 256, 9, 9)).astype("f")
    kernels = rng.integers(-12, 13, size=(4, 256, 3, 3)).astype("f")
    assert 12 * 12 * 2304 == 331_776 < 2**24
    exact = by_torch(images.astype("d"), kernels.astype("d"))
    for convolve in (by_torch, conv2d):
        np.testing.assert_array_equal(convolve(images, kernels), exact)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN")
def test_profiler_names_the_fallback() -> None:
    for dtype, name in ((torch.float64, "_slow_conv2d_forward"), (torch.float32, "mkldnn_conv")):
        x, weight = torch.ones(2, 3, 16, 16, dtype=dtype), torch.ones(4, 3, 3, 3, dtype=dtype)
        with profile(activities=[ProfilerActivity.CPU]) as run:
            F.conv2d(x, weight, padding=1)
        assert any(name in event.key for event in run.key_averages())


# --- Other ways ---


def ratio(side: int, channels: int, kernel: int) -> float:
    """Return direct multiplications over the model's for the FFT."""
    t = side + kernel - 1
    spectra = 2.5 * 2 * channels * 2 * t**2 * np.log2(t) + 3 * channels**2 * t * (t // 2 + 1)
    return float(side**2 * kernel**2 * channels**2 / spectra)


def test_fft_model() -> None:
    first = {c: next(k for k in range(1, 16, 2) if ratio(28, c, k) > 1) for c in (3, 64)}
    assert first == {3: 5, 64: 3}
    assert [round(ratio(28, 3, k), 2) for k in (3, 7)] == [0.44, 1.79]
    assert [round(ratio(28, 64, k), 1) for k in (3, 7)] == [3.3, 13.9]


def test_winograd_identity() -> None:
    for seed in range(20):
        d, g = noise(4, seed=seed), noise(3, seed=100 + seed)
        plus, less = (g[0] + g[1] + g[2]) / 2, (g[0] - g[1] + g[2]) / 2
        m1, m2 = (d[0] - d[2]) * g[0], (d[1] + d[2]) * plus
        m3, m4 = (d[2] - d[1]) * less, (d[1] - d[3]) * g[2]
        np.testing.assert_allclose([m1 + m2 + m3, m2 - m3 - m4], np.correlate(d, g))
    assert 36 / 4**2 == 2.25


def test_channels_last_changes_strides() -> None:
    x = torch.zeros(10, 3, 32, 32)
    assert x.stride() == (3072, 1024, 32, 1)
    last = x.to(memory_format=torch.channels_last)
    assert last.stride() == (3072, 1, 96, 3)
    assert last.shape == x.shape


# --- The way back ---


def autograd(images: Floats, kernels: Floats, delta: Floats, **how: Any) -> list[Floats]:
    given = [torch.from_numpy(a).requires_grad_() for a in (images, kernels)]
    result = F.conv2d(*given, **how)
    return [np.asarray(g) for g in torch.autograd.grad(result, given, torch.from_numpy(delta))]


def test_gradients_by_three_lines() -> None:
    images, kernels, delta = noise(2, 3, 7, 6), noise(4, 3, 3, 2), noise(2, 4, 5, 5)
    turned = kernels.swapaxes(0, 1)[:, :, ::-1, ::-1]
    theirs = autograd(images, kernels, delta)
    np.testing.assert_allclose(conv2d(delta, turned, padding=(2, 1)), theirs[0], atol=1e-12)
    swapped = conv2d(images.swapaxes(0, 1), delta.swapaxes(0, 1)).swapaxes(0, 1)
    np.testing.assert_allclose(swapped, theirs[1], atol=1e-12)


def test_gradients_at_stride_two() -> None:
    images, kernels, delta = noise(1, 2, 8, 8), noise(3, 2, 3, 3), noise(1, 3, 3, 3)
    spread = np.zeros((1, 3, 5, 5))
    spread[:, :, ::2, ::2] = delta
    turned = kernels.swapaxes(0, 1)[:, :, ::-1, ::-1]
    theirs = autograd(images, kernels, delta, stride=2)[0]
    np.testing.assert_allclose(conv2d(spread, turned, padding=2), theirs[:, :, :7, :7], atol=1e-12)
    assert not theirs[:, :, 7].any()
    assert not theirs[:, :, :, 7].any()
    ours = conv2d_backward(images, kernels, delta, stride=2)
    np.testing.assert_allclose(ours[0], theirs, atol=1e-12)
    np.testing.assert_allclose(ours[2], delta.sum(axis=(0, 2, 3)))


def test_transposed_convolution_is_the_gradient() -> None:
    images, kernels, delta = noise(1, 2, 8, 8), noise(3, 2, 3, 3), noise(1, 3, 3, 3)
    theirs = autograd(images, kernels, delta, stride=2)[0]
    given = torch.from_numpy(delta), torch.from_numpy(kernels)
    assert F.conv_transpose2d(*given, stride=2).shape[2] == 7
    back = F.conv_transpose2d(*given, stride=2, output_padding=1)
    np.testing.assert_allclose(back.numpy(), theirs, atol=1e-12)
    assert not theirs[:, :, 7].any()


# --- Neighbors ---


def test_convolution_as_matrix() -> None:
    kernel = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    matrix = by_torch(np.eye(25).reshape(25, 1, 5, 5), kernel).reshape(25, 9).T
    assert matrix.shape == (9, 25)
    assert np.count_nonzero(matrix) == 81
    assert len(np.unique(matrix)) - 1 == 9
    image = noise(1, 1, 5, 5)
    np.testing.assert_allclose(matrix @ image.ravel(), by_torch(image, kernel).ravel())


def test_linear_layer_as_convolution() -> None:
    layer, maps = nn.Linear(4 * 49, 3).double(), torch.from_numpy(noise(2, 4, 9, 12))
    scores = F.conv2d(maps, layer.weight.view(3, 4, 7, 7), layer.bias)
    assert tuple(scores.shape[2:]) == (3, 6)
    for i, j in np.ndindex(3, 6):
        crop = maps[:, :, i : i + 7, j : j + 7].flatten(1)
        torch.testing.assert_close(scores[:, :, i, j], layer(crop))


def test_two_threes_are_one_five() -> None:
    image, one, two = noise(1, 1, 9, 9), noise(1, 1, 3, 3, seed=1), noise(1, 1, 3, 3, seed=2)
    joined = by_torch(one, two[..., ::-1, ::-1].copy(), padding=2)
    np.testing.assert_allclose(
        by_torch(by_torch(image, one), two), by_torch(image, joined), atol=1e-12
    )
    padded = by_torch(by_torch(image, one, padding=1), two, padding=1)
    differs = ~np.isclose(padded, by_torch(image, joined, padding=2))[0, 0]
    assert differs.any()
    assert not differs[1:-1, 1:-1].any()
    through = by_torch(np.maximum(by_torch(image, one), 0), two)
    negated = by_torch(np.maximum(by_torch(-image, one), 0), two)
    assert not np.allclose(negated, -through)
    assert round(1 - 18 / 25, 2) == 0.28
    assert 3 * 9 == 27 < 7 * 7 == 49


def test_nine_hidden_channels_make_any_five() -> None:
    image, wanted = noise(1, 1, 9, 9), noise(5, 5, seed=1)
    pieces = np.zeros((1, 9, 3, 3))
    for a, b in np.ndindex(5, 5):
        i, j = min(a, 2), min(b, 2)
        pieces[0, 3 * i + j, a - i, b - j] = wanted[a, b]
    pair = by_torch(by_torch(image, np.eye(9).reshape(9, 1, 3, 3)), pieces)
    np.testing.assert_allclose(pair, by_torch(image, wanted[None, None]), atol=1e-12)


def test_ties_of_max_pooling() -> None:
    def gradient(function: Any) -> list[float]:
        tied = torch.tensor([[[[3.0, 3.0], [3.0, 1.0]]]], requires_grad=True)
        function(tied).sum().backward()
        assert tied.grad is not None
        return [float(value) for value in tied.grad.flatten()]

    third = pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
    assert gradient(lambda x: F.max_pool2d(x, 2)) == [1, 0, 0, 0]
    assert gradient(lambda x: F.adaptive_max_pool2d(x, 1)) == [1, 0, 0, 0]
    assert gradient(lambda x: x.max()) == third
    assert gradient(lambda x: x.amax(dim=(2, 3))) == third


def test_average_pooling_is_depthwise() -> None:
    images = noise(2, 3, 6, 6)
    pooled = F.avg_pool2d(torch.from_numpy(images), 2).numpy()
    depthwise = by_torch(images, np.full((3, 1, 2, 2), 0.25), stride=2, groups=3)
    np.testing.assert_allclose(depthwise, pooled)
