"""The drills of chapter 7: one image, a batch, im2col, the matrix product, and the way back.

Each drill is its reference, its typical wrong solutions, and its record. The names with a leading
underscore are wrong on purpose, or make cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dlbook.drills import parts, shrink, storage
from dlbook.drills.record import Drill, FollowUp, Inputs

Array = NDArray[np.floating[Any]]

GRADIENTS = ("grad_images", "grad_kernels")


def _whole(rng: np.random.Generator, *shape: int) -> Array:
    """Draw whole numbers from -3 to 3: sums of their products have no rounding."""
    return rng.integers(-3, 4, size=shape).astype(float)


def _sides(rng: np.random.Generator, kernel: Array, most: int) -> tuple[int, int]:
    """Draw a height and a width that hold the kernel."""
    height, width = (int(rng.integers(side, most + 1)) for side in kernel.shape[-2:])
    return height, width


def _fits(inputs: Inputs, images: str, kernels: str, padding: int = 0) -> bool:
    image, kernel = inputs[images].shape[-2:], inputs[kernels].shape[-2:]
    return all(n + 2 * padding >= k for n, k in zip(image, kernel, strict=True))


def _cut(image: Array, kernel: Array, out: tuple[int, int], stride: int = 1) -> Array:
    """Correlate (C, H, W) with (C, k_h, k_w); a window past the edge counts what is there."""
    result = np.zeros(out)
    for i, j in np.ndindex(out):
        patch = image[:, i * stride :, j * stride :][:, : kernel.shape[1], : kernel.shape[2]]
        result[i, j] = np.sum(patch * kernel[:, : patch.shape[1], : patch.shape[2]])
    return result


# --- conv2d_single ---


def conv2d_single(image: Array, kernel: Array) -> Array:
    """Convolve one image of one channel with one kernel: no padding, stride 1.

    Parameters
    ----------
    image : array of float64, shape (H, W)
    kernel : array of float64, shape (k_h, k_w)
        No larger than the image.

    Returns
    -------
    array of float64, shape (H - k_h + 1, W - k_w + 1)
    """
    k_h, k_w = kernel.shape
    out = np.zeros((image.shape[0] - k_h + 1, image.shape[1] - k_w + 1))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = np.sum(image[i : i + k_h, j : j + k_w] * kernel)
    return out


def _flipped(image: Array, kernel: Array) -> Array:
    return conv2d_single(image, kernel[::-1, ::-1])


def _square(image: Array, kernel: Array) -> Array:
    side = image.shape[0] - kernel.shape[0] + 1
    return _cut(image[None], kernel[None], (side, side))


def _every_pixel(image: Array, kernel: Array) -> Array:
    return _cut(image[None], kernel[None], (image.shape[0], image.shape[1]))


def _averaged(image: Array, kernel: Array) -> Array:
    return conv2d_single(image, kernel) / kernel.size


def _single_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    (height, width), (k_h, k_w) = inputs["image"].shape, inputs["kernel"].shape
    return {
        "square": str((height - k_h + 1,) * 2),
        "due": str((height - k_h + 1, width - k_w + 1)),
        "row": str(height - k_h + 1),
        "high": str(k_h - 1),
    }


def _draw_single(rng: np.random.Generator) -> Inputs:
    kernel = _whole(rng, *(int(k) for k in rng.integers(1, 4, size=2)))
    return {"image": _whole(rng, *_sides(rng, kernel, 7)), "kernel": kernel}


def _smaller_single(inputs: Inputs) -> Iterator[Inputs]:
    for name in ("image", "kernel"):
        for axis in (0, 1):
            yield from (
                less
                for less in shrink.dropped(inputs, **{name: axis})
                if _fits(less, "image", "kernel")
            )
    yield from shrink.plainer(inputs, "image", 0.0, 1.0)
    yield from shrink.plainer(inputs, "kernel", 0.0, 1.0)


CONV2D_SINGLE = Drill(
    name="conv2d_single",
    chapter="convolution",
    level="screening",
    task=(
        "Convolve one image of one channel with one kernel as `torch.nn.functional.conv2d` does: "
        "no padding, stride 1. `image` has shape `(H, W)`, `kernel` `(k_h, k_w)`; neither has to "
        "be square. Return an array of shape `(H - k_h + 1, W - k_w + 1)`."
    ),
    signature="conv2d_single(image, kernel) -> array (H - k_h + 1, W - k_w + 1)",
    hints=(
        "In how many places does a window of `k_h` rows fit into `H` rows? And across?",
        "Two loops over the places; the patch is `image[i : i + k_h, j : j + k_w]`.",
        "Multiply patch and kernel as they stand, with no flip, and sum the products.",
    ),
    reference=conv2d_single,
    wrong={
        "the kernel is flipped: torch correlates, so multiply patch and kernel as they "
        "stand": _flipped,
        "shape {square}, expected {due}: height and width have a size each": _square,
        "one value for each pixel: the window at row {row} is only {high} high": _every_pixel,
        "the products are averaged: a convolution sums them": _averaged,
    },
    draw=_draw_single,
    smaller=_smaller_single,
    cases=storage.path("conv2d_single"),
    follow_up=FollowUp(
        "When does it matter that there is no flip?",
        "Not for learned weights: they come out flipped. It does when a filter is given, when "
        "two filters are joined into one, and when the layer is transposed.",
    ),
    facts=_single_facts,
)


# --- conv2d ---


def conv2d(images: Array, kernels: Array, stride: int, padding: int) -> Array:
    """Convolve a batch of images of several channels.

    Parameters
    ----------
    images : array of float64, shape (N, C_in, H, W)
    kernels : array of float64, shape (C_out, C_in, k_h, k_w)
    stride : int
        At least 1.
    padding : int
        Rows and columns of zeros on each side, at least 0.

    Returns
    -------
    array of float64, shape (N, C_out, H_out, W_out)
    """
    n, c_in, height, width = images.shape
    c_out, _, k_h, k_w = kernels.shape
    padded = np.zeros((n, c_in, height + 2 * padding, width + 2 * padding))
    padded[:, :, padding : padding + height, padding : padding + width] = images
    h_out = (height + 2 * padding - k_h) // stride + 1
    w_out = (width + 2 * padding - k_w) // stride + 1
    out = np.zeros((n, c_out, h_out, w_out))
    for i in range(h_out):
        for j in range(w_out):
            top, left = i * stride, j * stride
            patches = padded[:, :, top : top + k_h, left : left + k_w]
            out[:, :, i, j] = np.einsum("ncab,ocab->no", patches, kernels)
    return out


def _bordered(images: Array, padding: int) -> Array:
    return np.pad(images, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2))


def _padding_twice(images: Array, kernels: Array, stride: int, padding: int) -> Array:
    padded = _bordered(images, padding)
    sides = zip(padded.shape[2:], kernels.shape[2:], strict=True)
    h_out, w_out = ((n + 2 * padding - k) // stride + 1 for n, k in sides)
    return np.array([[_cut(image, w, (h_out, w_out), stride) for w in kernels] for image in padded])


def _one_channel(images: Array, kernels: Array, stride: int, padding: int) -> Array:
    return conv2d(images[:, :1], kernels[:, :1], stride, padding)


def _unit_steps(images: Array, kernels: Array, stride: int, padding: int) -> Array:
    due = conv2d(images, kernels, stride, padding)
    return conv2d(images, kernels, 1, padding)[:, :, : due.shape[2], : due.shape[3]]


def _accumulated(images: Array, kernels: Array, stride: int, padding: int) -> Array:
    return np.cumsum(conv2d(images, kernels, stride, padding), axis=0)


def _padding_on_one_side(images: Array, kernels: Array, stride: int, padding: int) -> Array:
    padded = np.pad(images, ((0, 0), (0, 0), (0, 2 * padding), (0, 2 * padding)))
    return conv2d(padded, kernels, stride, 0)


def _draw_conv2d(rng: np.random.Generator) -> Inputs:
    c_out, c_in, k_h, k_w = (int(n) for n in rng.integers(1, 4, size=4))
    kernels = _whole(rng, c_out, c_in, k_h, k_w)
    images = _whole(rng, int(rng.integers(1, 4)), c_in, *_sides(rng, kernels, 6))
    stride, padding = (int(n) for n in rng.integers((1, 0), (4, 3)))
    return {"images": images, "kernels": kernels, "stride": stride, "padding": padding}


def _smaller_steps(inputs: Inputs) -> Iterator[Inputs]:
    for name, least in (("stride", 1), ("padding", 0)):
        if name in inputs:
            yield from (dict(inputs) | {name: value} for value in range(least, inputs[name]))


def _smaller_conv2d(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, images=0)
    yield from shrink.dropped(inputs, kernels=0)
    yield from shrink.dropped(inputs, images=1, kernels=1)
    for name in ("images", "kernels"):
        for axis in (2, 3):
            yield from (
                less
                for less in shrink.dropped(inputs, **{name: axis})
                if _fits(less, "images", "kernels")
            )
    yield from (less for less in _smaller_steps(inputs) if _fits(less, "images", "kernels"))
    yield from shrink.plainer(inputs, "images", 0.0, 1.0)
    yield from shrink.plainer(inputs, "kernels", 0.0, 1.0)


CONV2D = Drill(
    name="conv2d",
    chapter="convolution",
    level="core",
    task=(
        "Convolve a batch as `torch.nn.functional.conv2d` does. `images` has shape "
        "`(N, C_in, H, W)`, `kernels` `(C_out, C_in, k_h, k_w)`; `stride` and `padding` hold for "
        "both axes, and `padding` may be 0. Return an array of shape `(N, C_out, H_out, W_out)`."
    ),
    signature="conv2d(images, kernels, stride, padding) -> array (N, C_out, H_out, W_out)",
    hints=(
        "Pad first. Which slice of the padded array takes the images, also when `padding` is 0?",
        "`H_out = (H + 2 * padding - k_h) // stride + 1`, and the same for the width with `k_w`.",
        "The window of place `(i, j)` begins at `(i * stride, j * stride)`. Sum over the input "
        "channels and the window: `np.einsum('ncab,ocab->no', patches, kernels)`.",
    ),
    reference=conv2d,
    wrong={
        "the padding counts twice: the padded height already has it": _padding_twice,
        "only one input channel is used: sum over all of them": _one_channel,
        "the window moves by one: that of place i begins at i · stride": _unit_steps,
        "each image has the results of those before it: start each from zeros": _accumulated,
        "all zeros are below and to the right: padding goes on both sides": _padding_on_one_side,
    },
    draw=_draw_conv2d,
    smaller=_smaller_conv2d,
    cases=storage.path("conv2d"),
    follow_up=FollowUp(
        "How many multiplications is that?",
        "One for each weight and each place: N · C_out · C_in · k_h · k_w · H_out · W_out.",
    ),
)


# --- im2col ---


def im2col(images: Array, k_h: int, k_w: int, stride: int) -> Array:
    """Copy every window of the images into a column.

    Parameters
    ----------
    images : array of float64, shape (N, C, H, W)
    k_h, k_w : int
        Height and width of the window.
    stride : int
        At least 1.

    Returns
    -------
    array of float64, shape (N, C k_h k_w, L)
        Rows run over the channel, then down, then across the window.
    """
    n, c = images.shape[:2]
    windows = sliding_window_view(images, (k_h, k_w), axis=(2, 3))[:, :, ::stride, ::stride]
    return windows.transpose(0, 1, 4, 5, 2, 3).reshape(n, c * k_h * k_w, -1).copy()


def _ordered(order: tuple[int, ...], images: Array, k_h: int, k_w: int, stride: int) -> Array:
    """Lay windows of axes (N, C, down, across, a, b) out in another order of rows or columns."""
    windows = sliding_window_view(images, (k_h, k_w), axis=(2, 3))[:, :, ::stride, ::stride]
    length = windows.shape[2] * windows.shape[3]
    return np.array(windows.transpose(order).reshape(len(images), -1, length))


def _channel_fastest(images: Array, k_h: int, k_w: int, stride: int) -> Array:
    return _ordered((0, 4, 5, 1, 2, 3), images, k_h, k_w, stride)


def _across_first(images: Array, k_h: int, k_w: int, stride: int) -> Array:
    return _ordered((0, 1, 5, 4, 2, 3), images, k_h, k_w, stride)


def _places_down_first(images: Array, k_h: int, k_w: int, stride: int) -> Array:
    return _ordered((0, 1, 4, 5, 3, 2), images, k_h, k_w, stride)


def _windows_as_rows(images: Array, k_h: int, k_w: int, stride: int) -> Array:
    return np.array(im2col(images, k_h, k_w, stride).swapaxes(1, 2))


def _draw_im2col(rng: np.random.Generator) -> Inputs:
    k_h, k_w, stride = (int(n) for n in rng.integers(1, 4, size=3))
    height, width = (int(rng.integers(k, 7)) for k in (k_h, k_w))
    images = rng.permuted(np.arange(1.0, 1 + 3 * 3 * 36))[: int(rng.integers(1, 4)) * 3 * 36]
    n, c = len(images) // 108, int(rng.integers(1, 4))
    shaped = images.reshape(n, 3, 6, 6)[:, :c, :height, :width].copy()
    return {"images": shaped, "k_h": k_h, "k_w": k_w, "stride": stride}


def _smaller_im2col(inputs: Inputs) -> Iterator[Inputs]:
    for axis in (0, 1, 2, 3):
        yield from (
            less
            for less in shrink.dropped(inputs, images=axis)
            if less["images"].shape[2] >= inputs["k_h"] and less["images"].shape[3] >= inputs["k_w"]
        )
    for name in ("k_h", "k_w", "stride"):
        yield from (dict(inputs) | {name: value} for value in range(1, inputs[name]))


IM2COL = Drill(
    name="im2col",
    chapter="convolution",
    level="core",
    task=(
        "Copy every window of the images into a column, as `torch.nn.functional.unfold` does. "
        "`images` has shape `(N, C, H, W)`, the window `k_h` rows and `k_w` columns. Return an "
        "array of shape `(N, C * k_h * k_w, L)` with `L` windows, row by row of their places. A "
        "column holds the channels one after another, each row by row."
    ),
    signature="im2col(images, k_h, k_w, stride) -> array (N, C * k_h * k_w, L)",
    hints=(
        "How many rows does the matrix have for one channel? What stands in its first row?",
        "`sliding_window_view(images, (k_h, k_w), axis=(2, 3))` has the axes N, C, down, across, "
        "and then the two of the window. Slice `[:, :, ::stride, ::stride]`.",
        "Bring the axes of the window in front of the places, `transpose(0, 1, 4, 5, 2, 3)`, and "
        "reshape.",
    ),
    reference=im2col,
    wrong={
        "the channel runs fastest: row 1 should be channel 0, one pixel to the "
        "right": _channel_fastest,
        "a column runs down the window first: row 1 should be one pixel to the "
        "right": _across_first,
        "the windows are taken column by column: the second is the next to the "
        "right": _places_down_first,
        "transposed: each window is a row": _windows_as_rows,
    },
    draw=_draw_im2col,
    smaller=_smaller_im2col,
    cases=storage.path("im2col"),
    follow_up=FollowUp(
        "What does it cost?",
        "Memory: each pixel is copied about k²/s² times. At stride 1 a 3×3 window makes nine "
        "of one.",
    ),
)


# --- conv2d_matmul ---


def conv2d_matmul(images: Array, kernels: Array) -> Array:
    """Convolve without padding at stride 1, without a Python loop over pixels.

    Parameters
    ----------
    images : array of float64, shape (N, C_in, H, W)
    kernels : array of float64, shape (C_out, C_in, k_h, k_w)

    Returns
    -------
    array of float64, shape (N, C_out, H - k_h + 1, W - k_w + 1)
    """
    c_out, _, k_h, k_w = kernels.shape
    h_out, w_out = images.shape[2] - k_h + 1, images.shape[3] - k_w + 1
    columns = im2col(images, k_h, k_w, 1)
    return (kernels.reshape(c_out, -1) @ columns).reshape(len(images), c_out, h_out, w_out)


def _single_precision(images: Array, kernels: Array) -> Array:
    return conv2d_matmul((images / 3).astype("f"), kernels.astype("f")).astype(float) * 3


def _kernels_transposed(images: Array, kernels: Array) -> Array:
    c_out, c_in, k_h, k_w = kernels.shape
    moved = kernels.transpose(0, 2, 3, 1).reshape(c_out, c_in, k_h, k_w)
    return conv2d_matmul(images, moved)


def _channels_last(images: Array, kernels: Array) -> Array:
    right = conv2d_matmul(images, kernels)
    return right.transpose(0, 2, 3, 1).reshape(right.shape)


def _channels_not_summed(images: Array, kernels: Array) -> Array:
    return conv2d_matmul(images[:, :1], kernels[:, :1])


def _draw_matmul(rng: np.random.Generator) -> Inputs:
    inputs = dict(_draw_conv2d(rng))
    return {name: inputs[name] for name in ("images", "kernels")}


CONV2D_MATMUL = Drill(
    name="conv2d_matmul",
    chapter="convolution",
    level="core",
    task=(
        "Convolve a batch without padding at stride 1, as `torch.nn.functional.conv2d` does, and "
        "without a Python loop over pixels. `images` has shape `(N, C_in, H, W)`, `kernels` "
        "`(C_out, C_in, k_h, k_w)`. Return an array of shape `(N, C_out, H_out, W_out)`. The "
        "speed is shown beside the reference's: loops over pixels take about a thousand times as "
        "long on large images."
    ),
    signature="conv2d_matmul(images, kernels) -> array (N, C_out, H_out, W_out)",
    hints=(
        "Which two matrices have the convolution as their product?",
        "Kernels as `(C_out, C_in * k_h * k_w)`, windows as columns in the same order.",
        "`sliding_window_view`, axes of the window in front of the places, `reshape`, then `@`: "
        "the product has shape `(N, C_out, L)`, in the order that the result needs.",
    ),
    reference=conv2d_matmul,
    wrong={
        "right to seven digits only: something on the way is float32": _single_precision,
        "the kernels' rows are in another order than the columns: both are channel, down, "
        "across": _kernels_transposed,
        "channels last: the product of (N, L, K) and (K, C_out) has to be transposed before the "
        "reshape": _channels_last,
        "only one input channel is used: the columns hold all of them": _channels_not_summed,
    },
    draw=_draw_matmul,
    smaller=_smaller_conv2d,
    cases=storage.path("conv2d_matmul"),
    follow_up=FollowUp(
        "Why is the matrix product so much faster, with the same multiplications?",
        "It runs in compiled code that keeps blocks of both matrices in the cache and multiplies "
        "several numbers at once; a Python loop spends its time on the loop.",
    ),
)


# --- conv2d_backward ---


def conv2d_backward(images: Array, kernels: Array, grad: Array, stride: int) -> tuple[Array, Array]:
    """Return the gradients of a convolution without padding.

    Parameters
    ----------
    images : array of float64, shape (N, C_in, H, W)
    kernels : array of float64, shape (C_out, C_in, k_h, k_w)
    grad : array of float64, shape (N, C_out, H_out, W_out)
        The gradient with respect to the result.
    stride : int
        At least 1.

    Returns
    -------
    grad_images, grad_kernels : array, the shapes of ``images`` and ``kernels``
    """
    grad_images, grad_kernels = np.zeros_like(images), np.zeros_like(kernels)
    k_h, k_w = kernels.shape[2:]
    for i in range(grad.shape[2]):
        for j in range(grad.shape[3]):
            rows = slice(i * stride, i * stride + k_h)
            columns = slice(j * stride, j * stride + k_w)
            delta = grad[:, :, i, j]
            grad_kernels += np.einsum("no,ncab->ocab", delta, images[:, :, rows, columns])
            grad_images[:, :, rows, columns] += np.einsum("no,ocab->ncab", delta, kernels)
    return grad_images, grad_kernels


def _not_spread(images: Array, kernels: Array, grad: Array, stride: int) -> Any:
    small = np.zeros((*images.shape[:2], *(n + k - 1 for n, k in zip(
        grad.shape[2:], kernels.shape[2:], strict=True))))  # fmt: skip
    packed = conv2d_backward(small, kernels, grad, 1)[0]
    grad_images = np.zeros_like(images)
    grad_images[:, :, : packed.shape[2], : packed.shape[3]] = packed
    return grad_images, conv2d_backward(images, kernels, grad, stride)[1]


def _not_flipped(images: Array, kernels: Array, grad: Array, stride: int) -> Any:
    grad_images = conv2d_backward(images, kernels[:, :, ::-1, ::-1], grad, stride)[0]
    return grad_images, conv2d_backward(images, kernels, grad, stride)[1]


def _rest_cut_off(images: Array, kernels: Array, grad: Array, stride: int) -> Any:
    grad_images, grad_kernels = conv2d_backward(images, kernels, grad, stride)
    seen = [(n - 1) * stride + k for n, k in zip(grad.shape[2:], kernels.shape[2:], strict=True)]
    return grad_images[:, :, : seen[0], : seen[1]].copy(), grad_kernels


def _batch_mean(images: Array, kernels: Array, grad: Array, stride: int) -> Any:
    grad_images, grad_kernels = conv2d_backward(images, kernels, grad, stride)
    return grad_images, grad_kernels / len(images)


def _written_over(images: Array, kernels: Array, grad: Array, stride: int) -> Any:
    grad_images, grad_kernels = conv2d_backward(images, kernels, grad, stride)
    k_h, k_w = kernels.shape[2:]
    grad_images[...] = 0
    for i, j in np.ndindex(grad.shape[2:]):
        window = np.einsum("no,ocab->ncab", grad[:, :, i, j], kernels)
        top, left = i * stride, j * stride
        grad_images[:, :, top : top + k_h, left : left + k_w] = window
    return grad_images, grad_kernels


def joined(grad_images: Array, grad_kernels: Array) -> Array:
    """Write both gradients as one array of one axis, to be stored."""
    return np.concatenate([grad_images.ravel(), grad_kernels.ravel()])


def _gradients(inputs: Inputs, expected: Array) -> tuple[Array, Array]:
    shapes = inputs["images"].shape, inputs["kernels"].shape
    first, rest = np.split(expected, [inputs["images"].size])
    return first.reshape(shapes[0]), rest.reshape(shapes[1])


def _backward_answer(inputs: Inputs) -> Array:
    return joined(*conv2d_backward(**inputs))


def _check_backward(inputs: Inputs, expected: Array, got: Any) -> str | None:
    return parts.difference(GRADIENTS, inputs, _gradients(inputs, expected), got)


def _same_backward(inputs: Inputs, one: Any, other: Any) -> bool:
    return parts.same(one, other)


def _display_backward(inputs: Inputs, expected: Array, got: Any) -> tuple[str, str]:
    return parts.display(GRADIENTS, _gradients(inputs, expected), got)


def _draw_backward(rng: np.random.Generator) -> Inputs:
    inputs = _draw_conv2d(rng)
    return _with_grad(rng, inputs["images"], inputs["kernels"], int(rng.integers(1, 3)))


def _with_grad(rng: np.random.Generator, images: Array, kernels: Array, stride: int) -> Inputs:
    places = [
        (n - k) // stride + 1 for n, k in zip(images.shape[2:], kernels.shape[2:], strict=True)
    ]
    grad = _whole(rng, len(images), len(kernels), *places)
    return {"images": images, "kernels": kernels, "grad": grad, "stride": stride}


def _smaller_backward(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, images=0, grad=0)
    yield from shrink.dropped(inputs, kernels=0, grad=1)
    yield from shrink.dropped(inputs, images=1, kernels=1)
    for name in ("images", "kernels", "grad"):
        yield from shrink.plainer(inputs, name, 0.0, 1.0)


CONV2D_BACKWARD = Drill(
    name="conv2d_backward",
    chapter="convolution",
    level="senior",
    task=(
        "Return the gradients of a convolution without padding, as autograd does. `images` has "
        "shape `(N, C_in, H, W)`, `kernels` `(C_out, C_in, k_h, k_w)`, and `grad`, the gradient "
        "of the loss with respect to the result, `(N, C_out, H_out, W_out)`. Return "
        "`(grad_images, grad_kernels)`, of the shapes of `images` and `kernels`."
    ),
    signature="conv2d_backward(images, kernels, grad, stride) -> (grad_images, grad_kernels)",
    hints=(
        "Each result is a sum of products. Which pixel and which weight meet in it?",
        "Go through the places of the result. Each adds `delta * patch` to the kernels' gradient, "
        "and `delta * kernel` to the pixels of its window.",
        "Windows overlap, so add to the pixels. Pixels that no window reaches keep the gradient 0, "
        "and the array keeps the images' shape.",
    ),
    reference=conv2d_backward,
    wrong={
        "the gradient is not spread by the stride: place i belongs to the window at "
        "i · stride": _not_spread,
        "the kernel is turned by 180°: the pixel at offset (a, b) gets weight (a, b)": _not_flipped,
        "the rows and columns that no window reached are missing: their gradient is "
        "0": _rest_cut_off,
        "the kernels' gradient is a mean over the batch: it is the sum": _batch_mean,
        "windows write over each other: where they overlap, add": _written_over,
    },
    draw=_draw_backward,
    smaller=_smaller_backward,
    cases=storage.path("conv2d_backward"),
    follow_up=FollowUp(
        "Which layer computes the gradient with respect to the images?",
        "A transposed convolution of the gradient with the same kernels and the same stride.",
    ),
    answer=_backward_answer,
    check=_check_backward,
    agree=_same_backward,
    display=_display_backward,
)

DRILLS = (CONV2D_SINGLE, CONV2D, IM2COL, CONV2D_MATMUL, CONV2D_BACKWARD)
