r"""Grouped, depthwise separable, transposed and deformable convolution in NumPy.

Conventions
    *Data*: images have shape (N, C, H, W), results (N, C_out, H_out, W_out), as in PyTorch, and
    all convolutions correlate. Pixels outside are 0. Kernels of a convolution have shape
    (C_out, C_in / groups, k_h, k_w), those of a transposed one (C_in, C_out / groups, k_h, k_w).
    *Symbols*, on one axis: kernel :math:`k`, stride :math:`s`, padding :math:`p`, dilation
    :math:`d`, effective kernel :math:`k^e = d(k-1) + 1`, output padding :math:`p_o`.
    *Types*: floating dtypes only; the result has the common dtype of the arguments. NaN and
    infinite pixels pass through, positions have to be finite.
    *Steps*: ``stride``, ``padding``, ``output_padding`` and ``dilation`` are an integer for both
    axes, or a pair (vertical, horizontal).
    *Empty batches* give empty results; images without pixels or channels are refused.
    *Arguments* are never written into.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from dlbook import checks
from dlbook.checks import Array

Pair = tuple[int, int]
Steps = int | Pair


# --- groups ---


def parameters_and_macs(
    in_channels: int,
    out_channels: int,
    kernel: Steps,
    output_size: Steps,
    groups: int = 1,
    bias: bool = False,
) -> tuple[int, int]:
    r"""Count what a convolution stores and what it multiplies for one image.

    :math:`C_{out}\,(C_{in}/g)\,k_h k_w` weights, each used once for each place of the output.

    Parameters
    ----------
    in_channels, out_channels : int
        At least 1, multiples of ``groups``.
    kernel : int or (int, int)
        At least 1.
    output_size : int or (int, int)
        Height and width of the *output*, at least 1.
    groups : int, default: 1
        At least 1; ``in_channels`` makes the layer depthwise.
    bias : bool, default: False
        Whether to count one bias for each output channel. Its addition is no multiplication.

    Returns
    -------
    parameters, macs : int
        Numbers that are learned; multiplications with an addition (two FLOPs each).

    Raises
    ------
    ValueError
        If a number is too small or ``groups`` does not divide the channels.
    TypeError
        If a number is not an integer.

    References
    ----------
    PyTorch, ``torch.nn.Conv2d``. Howard et al. 2017, arXiv 1704.04861.
    """
    c_in = checks.count("in_channels", in_channels, 1)
    c_out = checks.count("out_channels", out_channels, 1)
    window = math.prod(_pair("kernel", kernel, 1))
    places = math.prod(_pair("output_size", output_size, 1))
    groups = _groups(groups, c_in, c_out)
    weights = c_out * (c_in // groups) * window
    return weights + c_out * bool(bias), weights * places


def depthwise_separable(
    images: ArrayLike,
    depthwise: ArrayLike,
    pointwise: ArrayLike,
    stride: Steps = 1,
    padding: Steps = 0,
    dilation: Steps = 1,
) -> Array:
    """Filter each channel on its own, then mix the channels place by place.

    Parameters
    ----------
    images : array_like of float, shape (N, C, H, W)
    depthwise : array_like of float, shape (M·C, 1, k_h, k_w)
        ``M`` filters for each channel, ordinarily one.
    pointwise : array_like of float, shape (C_out, M·C, 1, 1)
    stride, dilation : int or (int, int), default: 1
        Of the depthwise half, at least 1.
    padding : int or (int, int), default: 0

    Returns
    -------
    array, shape (N, C_out, H_out, W_out), of the common dtype

    Raises
    ------
    ValueError
        If a shape or a step does not fit; the message names the argument and its value.
    TypeError
        If a dtype is not floating or a step is not an integer.

    References
    ----------
    Howard et al. 2017, arXiv 1704.04861: ``F.conv2d`` twice, first with ``groups=C``.
    """
    x, w, v = _images(images), _kernels("depthwise", depthwise), _kernels("pointwise", pointwise)
    channels, filters = x.shape[1], len(w)
    if w.shape[1] != 1:
        raise ValueError(f"depthwise must have shape (M·C, 1, k_h, k_w), got {w.shape}")
    if filters % channels:
        raise ValueError(f"depthwise has {filters} filters: not a multiple of {channels} channels")
    if v.shape[1:] != (filters, 1, 1):
        raise ValueError(f"pointwise must have shape (C_out, {filters}, 1, 1), got {v.shape}")
    steps = _steps(stride, padding, dilation)
    out = _output_size(x.shape, w.shape, *steps)
    dtype = np.result_type(x, w, v)
    windows = _windows(x.astype(dtype, copy=False), w.shape, out, *steps)
    filtered = _grouped_product(windows, w.astype(dtype, copy=False), channels)
    return _grouped_product(filtered[:, :, None, None], v.astype(dtype, copy=False), 1)


# --- transposed ---


def stuff_zeros(images: ArrayLike, stride: Steps) -> Array:
    r"""Put :math:`s - 1` zeros between neighbors, and none at the ends.

    Parameters
    ----------
    images : array_like of float, shape (N, C, H, W)
    stride : int or (int, int)
        At least 1.

    Returns
    -------
    array, shape (N, C, (H - 1)·s_h + 1, (W - 1)·s_w + 1), the dtype of ``images``

    Raises
    ------
    ValueError
        If the images are empty or not of rank 4, or the stride is below 1.
    TypeError
        If the dtype is not floating or the stride is not an integer.

    References
    ----------
    Dumoulin and Visin 2016, arXiv 1603.07285, chapter 4.
    """
    x = _images(images)
    s_h, s_w = _pair("stride", stride, 1)
    height, width = ((n - 1) * s + 1 for n, s in zip(x.shape[2:], (s_h, s_w), strict=True))
    stuffed = np.zeros((*x.shape[:2], height, width), dtype=x.dtype)
    stuffed[:, :, ::s_h, ::s_w] = x
    return stuffed


def transposed_conv2d(
    images: ArrayLike,
    kernels: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Steps = 1,
    padding: Steps = 0,
    output_padding: Steps = 0,
    dilation: Steps = 1,
    groups: int = 1,
) -> Array:
    r"""Stamp the kernel once for each pixel, and add where the stamps overlap.

    Pixel :math:`i` stamps :math:`x_i w` from :math:`s i - p` on. The padding is *cropped* from
    the result; the output padding keeps so many more cells at its end.

    Parameters
    ----------
    images : array_like of float, shape (N, C_in, H, W)
    kernels : array_like of float, shape (C_in, C_out / groups, k_h, k_w)
        The input channels come first, the other way round than in a convolution.
    bias : array_like of float, shape (C_out,), optional
    stride, dilation : int or (int, int), default: 1
        At least 1.
    padding, output_padding : int or (int, int), default: 0
        At least 0; the second below the larger of stride and dilation.
    groups : int, default: 1

    Returns
    -------
    array, shape (N, C_out, H_out, W_out), of the common dtype
        ``H_out`` is (H − 1)s − 2p + d(k − 1) + 1 + p_o.

    Raises
    ------
    ValueError
        If a shape or a step does not fit, or the padding crops everything away.
    TypeError
        If a dtype is not floating or a step is not an integer.

    References
    ----------
    PyTorch, ``torch.nn.ConvTranspose2d``. Dumoulin and Visin 2016, arXiv 1603.07285, chapter 4.
    """
    x, w = _images(images), _kernels("kernels", kernels)
    groups = _groups(groups, len(w))
    if len(w) != x.shape[1]:
        raise ValueError(f"kernels expect {len(w)} input channels, images have {x.shape[1]}")
    c_out = w.shape[1] * groups
    b = _bias(bias, c_out, w.dtype)
    strides, pads, dilations = _steps(stride, padding, dilation)
    extra = _pair("output_padding", output_padding, 0)
    for s, d, more in zip(strides, dilations, extra, strict=True):
        if more >= max(s, d):
            raise ValueError(
                f"output_padding {more} must be smaller than stride {s} or dilation {d}"
            )
    canvas = [
        (n - 1) * s + d * (k - 1) + 1 + more
        for n, s, d, k, more in zip(
            x.shape[2:], strides, dilations, w.shape[2:], extra, strict=True
        )
    ]
    out = [length - 2 * p for length, p in zip(canvas, pads, strict=True)]
    if min(out) < 1:
        raise ValueError(
            f"output size {tuple(out)}: padding {pads} crops everything of {tuple(canvas)}"
        )
    dtype = np.result_type(x, w, b)
    stamped = _stamped(x.astype(dtype), w.astype(dtype), (canvas[0], canvas[1]),
                       strides, dilations, groups)  # fmt: skip
    (p_h, p_w), (h_out, w_out) = pads, out
    cropped = stamped[:, :, p_h : p_h + h_out, p_w : p_w + w_out]
    return np.asarray(cropped + b.astype(dtype)[:, None, None])


def convolution_matrix(
    kernel: ArrayLike, size: Steps, stride: Steps = 1, padding: Steps = 0
) -> Array:
    """Write a convolution of one channel as a matrix.

    Its product with the flattened image is the flattened result. The transposed matrix is the
    transposed convolution, without output padding where the sizes fit, and with it elsewhere.

    Parameters
    ----------
    kernel : array_like of float, shape (k_h, k_w)
    size : int or (int, int)
        Height and width of the image, at least 1.
    stride : int or (int, int), default: 1
    padding : int or (int, int), default: 0

    Returns
    -------
    array, shape (L, H·W), the dtype of ``kernel``
        ``L`` is the number of windows. A row is zero if its window sees only padding.

    Raises
    ------
    ValueError
        If the kernel is not of rank 2, or larger than the padded image.
    TypeError
        If the dtype is not floating or a step is not an integer.

    References
    ----------
    Dumoulin and Visin 2016, arXiv 1603.07285, section 4.1.
    """
    taps = checks.floating("kernel", kernel)
    if taps.ndim != 2 or 0 in taps.shape:
        raise ValueError(f"kernel must have 2 axes (k_h, k_w), got shape {taps.shape}")
    height, width = _pair("size", size, 1)
    strides, pads, ones = _steps(stride, padding, 1)
    out = _output_size((1, 1, height, width), (1, 1, *taps.shape), strides, pads, ones)
    # Row j has a 1 where the window reads pixel j: the images of the unit vectors.
    units = np.eye(height * width, dtype=taps.dtype).reshape(-1, 1, height, width)
    windows = _windows(units, (1, 1, *taps.shape), out, strides, pads, ones)
    matrix = np.einsum("ncabij,ab->ijn", windows, taps)
    return np.asarray(matrix.reshape(math.prod(out), height * width))


def overlap_counts(size: int, kernel: int, stride: int) -> NDArray[np.int64]:
    """Count how many stamps of a transposed convolution reach each place, on one axis.

    Parameters
    ----------
    size, kernel, stride : int
        Input, kernel and stride, at least 1; no padding.

    Returns
    -------
    array of int64, shape ((size - 1)·stride + kernel,)
        Places that no stamp reaches have 0; there are some if ``kernel < stride``.

    Raises
    ------
    ValueError
        If an argument is below 1.
    TypeError
        If an argument is not an integer.

    References
    ----------
    Odena, Dumoulin and Olah 2016, "Deconvolution and checkerboard artifacts", Distill.
    """
    size = checks.count("size", size, 1)
    kernel = checks.count("kernel", kernel, 1)
    stride = checks.count("stride", stride, 1)
    counts = np.zeros((size - 1) * stride + kernel, dtype=np.int64)
    for i in range(size):
        counts[i * stride : i * stride + kernel] += 1
    return counts


def bilinear_kernel(stride: int) -> NDArray[np.float64]:
    r"""Return the weights with which a transposed convolution interpolates bilinearly.

    :math:`k = 2s - s \bmod 2` and the outer product of triangles
    :math:`1 - |i - (k-1)/2|\,/\,\lceil k/2 \rceil`. With padding
    :math:`\lceil (s-1)/2 \rceil` the interior is that of ``F.interpolate``.

    Parameters
    ----------
    stride : int
        How many times larger the output is to be, at least 1.

    Returns
    -------
    array of float64, shape (k, k)
        Sums to ``stride ** 2``, and evenly over the places of each residue modulo ``stride``.

    Raises
    ------
    ValueError
        If the stride is below 1.
    TypeError
        If it is not an integer.

    References
    ----------
    Long, Shelhamer and Darrell 2015, arXiv 1411.4038, section 3.3; the sizes are those of Caffe's
    bilinear filler.
    """
    stride = checks.count("stride", stride, 1)
    kernel = 2 * stride - stride % 2
    triangle = 1 - np.abs(np.arange(kernel) - (kernel - 1) / 2) / stride
    return np.outer(triangle, triangle)


# --- deformable ---


def bilinear_sample(images: ArrayLike, y: ArrayLike, x: ArrayLike) -> Array:
    """Read images between their pixels; each of the four corners outside counts as 0.

    Parameters
    ----------
    images : array_like of float, shape (..., H, W)
    y, x : array_like of float, shape S
        Row and column, in pixels: 0 is the middle of the first one. They broadcast.

    Returns
    -------
    array, shape (..., *S), of the common dtype
        0 from one pixel outside on. A NaN pixel makes every sample NaN that has it as a corner,
        with weight 0 too.

    Raises
    ------
    ValueError
        If there are no pixels, the positions do not broadcast, or one is not finite.
    TypeError
        If a dtype is not floating.

    References
    ----------
    Dai et al. 2017, arXiv 1703.06211, section 2.1. PyTorch, ``F.grid_sample`` with
    ``padding_mode="zeros"``.
    """
    pixels = checks.floating("images", images)
    if pixels.ndim < 2:
        raise ValueError(f"images must have at least 2 axes (H, W), got shape {pixels.shape}")
    if 0 in pixels.shape[-2:]:
        raise ValueError(f"images are empty: they have shape {pixels.shape}")
    rows, columns = _finite("y", y), _finite("x", x)
    try:
        rows, columns = np.broadcast_arrays(rows, columns)
    except ValueError:
        raise ValueError(
            f"y and x must broadcast, got shapes {rows.shape} and {columns.shape}"
        ) from None
    dtype = np.result_type(pixels, rows, columns)
    flat = pixels.reshape(-1, *pixels.shape[-2:]).astype(dtype, copy=False)
    sampled = _sampled(flat, rows.reshape(1, -1), columns.reshape(1, -1))
    return sampled.reshape(pixels.shape[:-2] + rows.shape)


def deformable_conv2d(
    images: ArrayLike,
    offsets: ArrayLike,
    kernels: ArrayLike,
    mask: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    stride: Steps = 1,
    padding: Steps = 0,
    dilation: Steps = 1,
    groups: int = 1,
) -> Array:
    r"""Convolve with taps that each read beside their place, as far as the offsets say.

    .. math:: y(p_0) = \sum_n w_n\, m_n\, x(p_0 + p_n + \Delta p_n)

    Parameters
    ----------
    images : array_like of float, shape (N, C_in, H, W)
    offsets : array_like of float, shape (N, 2·G·k_h·k_w, H_out, W_out)
        In pixels. For each of ``G`` offset groups, each tap row by row: down, then right. The
        groups split the input channels evenly.
    kernels : array_like of float, shape (C_out, C_in / groups, k_h, k_w)
    mask : array_like of float, shape (N, G·k_h·k_w, H_out, W_out), optional
        A factor for each tap at each place (version 2).
    bias : array_like of float, shape (C_out,), optional
    stride, dilation : int or (int, int), default: 1
    padding : int or (int, int), default: 0
    groups : int, default: 1

    Returns
    -------
    array, shape (N, C_out, H_out, W_out), of the common dtype

    Raises
    ------
    ValueError
        If a shape or a step does not fit, or an offset is NaN or infinite.
    TypeError
        If a dtype is not floating or a step is not an integer.

    References
    ----------
    Dai et al. 2017, arXiv 1703.06211; Zhu et al. 2019, arXiv 1811.11168 (the mask). The offsets
    are ordered, and come before the kernels, as in ``torchvision.ops.deform_conv2d``.
    """
    pixels, w = _images(images), _kernels("kernels", kernels)
    n, channels = pixels.shape[:2]
    groups = _groups(groups, channels, len(w))
    if w.shape[1] * groups != channels:
        raise ValueError(
            f"kernels expect {groups} × {w.shape[1]} = {groups * w.shape[1]} channels "
            f"(groups × kernel channels), images have {channels}"
        )
    b = _bias(bias, len(w), w.dtype)
    strides, pads, dilations = _steps(stride, padding, dilation)
    out = _output_size(pixels.shape, w.shape, strides, pads, dilations)
    shifts = _offsets(offsets, n, channels, (w.shape[2], w.shape[3]), out)
    factors = _mask(mask, (n, shifts.shape[1] * shifts.shape[2], *out), shifts.dtype)
    dtype = np.result_type(pixels, shifts, w, factors, b)
    taps = _taps((w.shape[2], w.shape[3]), out, strides, pads, dilations) + shifts
    blocks, per_block = shifts.shape[1], channels // shifts.shape[1]
    # Each offset group of each image is an image of its own, read at its own positions.
    maps = pixels.astype(dtype).reshape(n * blocks, per_block, *pixels.shape[2:])
    rows, columns = (
        taps[:, :, :, axis].reshape(n * blocks, 1, taps.shape[2] * math.prod(out))
        for axis in (0, 1)
    )
    read = _sampled(maps, rows, columns).reshape(n, blocks, per_block, *w.shape[2:], *out)
    read = read * factors.reshape(n, blocks, 1, *w.shape[2:], *out)
    result = _grouped_product(
        read.reshape(n, channels, *w.shape[2:], *out).astype(dtype), w.astype(dtype), groups
    )
    return np.asarray(result + b.astype(dtype)[:, None, None])


# --- pieces ---


def _windows(
    x: Array, kernel: tuple[int, ...], out: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    """Return all windows, shape (N, C, k_h, k_w, H_out, W_out)."""
    padded = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel[2:], strict=True))
    (s_h, s_w), (d_h, d_w) = stride, dilation
    windows = sliding_window_view(padded, reach, axis=(2, 3))
    return np.asarray(windows[:, :, ::s_h, ::s_w, ::d_h, ::d_w].transpose(0, 1, 4, 5, 2, 3))


def _grouped_product(windows: Array, kernels: Array, groups: int) -> Array:
    """Multiply windows (N, C, k_h, k_w, H_out, W_out) by kernels, group by group."""
    n, out = len(windows), windows.shape[-2:]
    columns = windows.reshape(n, groups, math.prod(kernels.shape[1:]), math.prod(out))
    matrix = kernels.reshape(groups, len(kernels) // groups, -1)
    return (matrix @ columns).reshape(n, len(kernels), *out)


def _stamped(
    x: Array, kernels: Array, canvas: Pair, stride: Pair, dilation: Pair, groups: int
) -> Array:
    """Return all stamps added up, shape (N, C_out, *canvas), nothing cropped."""
    n, c_in, height, width = x.shape
    pixels = x.reshape(n, groups, c_in // groups, height * width)
    out = np.zeros((n, kernels.shape[1] * groups, *canvas), dtype=x.dtype)
    (s_h, s_w), (d_h, d_w) = stride, dilation
    for a, e in np.ndindex(kernels.shape[2:]):
        tap = kernels[:, :, a, e].reshape(groups, c_in // groups, -1).swapaxes(1, 2)
        # One tap of all stamps: no two of them meet in a place, so += adds each.
        rows = slice(a * d_h, a * d_h + s_h * (height - 1) + 1, s_h)
        columns = slice(e * d_w, e * d_w + s_w * (width - 1) + 1, s_w)
        out[:, :, rows, columns] += (tap @ pixels).reshape(n, out.shape[1], height, width)
    return out


def _sampled(maps: Array, y: Array, x: Array) -> Array:
    """Sample maps (B, ..., H, W) at positions (B or 1, ..., L); the result is (B, ..., L)."""
    height, width = maps.shape[-2:]
    # One row of zeros before and two behind hold every corner that is outside.
    border = ((0, 0),) * (maps.ndim - 2) + ((1, 2), (1, 2))
    flat = np.pad(maps, border).reshape(*maps.shape[:-2], (height + 3) * (width + 3))
    y, x = np.clip(y, -1, height), np.clip(x, -1, width)  # farther out there are zeros too
    top, left = np.floor(y), np.floor(x)
    down, right = y - top, x - left
    first = (top.astype(np.intp) + 1) * (width + 3) + left.astype(np.intp) + 1
    result: Any = 0
    for row, vertical in enumerate((1 - down, down)):
        for column, horizontal in enumerate((1 - right, right)):
            corner = first + row * (width + 3) + column
            index = np.broadcast_to(corner, (*flat.shape[:-1], corner.shape[-1]))
            result = result + vertical * horizontal * np.take_along_axis(flat, index, axis=-1)
    return np.asarray(result)


def _taps(kernel: Pair, out: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Array:
    """Return where the taps read without offsets, shape (k_h·k_w, 2, H_out, W_out)."""
    axes = [
        np.arange(m) * s - p + np.arange(k)[:, None] * d
        for m, s, p, k, d in zip(out, stride, padding, kernel, dilation, strict=True)
    ]
    shape = (*kernel, *out)
    rows = np.broadcast_to(axes[0][:, None, :, None], shape)
    columns = np.broadcast_to(axes[1][None, :, None, :], shape)
    return np.stack([rows, columns], axis=2).reshape(-1, 2, *out).astype(float)


# --- checks ---


def _images(images: ArrayLike) -> Array:
    x = checks.floating("images", images)
    if x.ndim != 4:
        raise ValueError(f"images must have 4 axes (N, C, H, W), got shape {x.shape}")
    if 0 in x.shape[1:]:
        raise ValueError(f"images are empty: they have shape {x.shape}")
    return x


def _kernels(name: str, kernels: ArrayLike) -> Array:
    w = checks.floating(name, kernels)
    if w.ndim != 4:
        raise ValueError(f"{name} must have 4 axes, got shape {w.shape}")
    if 0 in w.shape:
        raise ValueError(f"{name} is empty: it has shape {w.shape}")
    return w


def _bias(bias: ArrayLike | None, channels: int, dtype: np.dtype[Any]) -> Array:
    b = np.zeros(channels, dtype) if bias is None else checks.floating("bias", bias)
    if b.shape != (channels,):
        raise ValueError(f"bias must have shape ({channels},), got {b.shape}")
    return b


def _groups(groups: int, c_in: int, c_out: int | None = None) -> int:
    groups = checks.count("groups", groups, 1)
    for channels, side in ((c_in, "input"), (c_out, "output")):
        if channels is not None and channels % groups:
            raise ValueError(f"groups {groups} does not divide {channels} {side} channels")
    return groups


def _offsets(offsets: ArrayLike, n: int, channels: int, kernel: Pair, out: Pair) -> Array:
    """Return offsets of shape (N, G, k_h·k_w, 2, H_out, W_out)."""
    shifts = checks.floating("offsets", offsets)
    if shifts.ndim != 4:
        raise ValueError(
            f"offsets must have 4 axes (N, 2·G·k_h·k_w, H_out, W_out), got shape {shifts.shape}"
        )
    if len(shifts) != n:
        raise ValueError(f"offsets are for {len(shifts)} images, there are {n}")
    each = 2 * math.prod(kernel)
    blocks, rest = divmod(shifts.shape[1], each)
    if rest or not blocks:
        raise ValueError(
            f"offsets have {shifts.shape[1]} channels, expected a multiple of "
            f"2·{kernel[0]}·{kernel[1]} = {each}"
        )
    if channels % blocks:
        raise ValueError(f"offset groups {blocks} do not divide {channels} channels")
    if shifts.shape[2:] != out:
        found = "×".join(str(side) for side in shifts.shape[2:])
        raise ValueError(f"offsets are {found}, the output is {out[0]}×{out[1]}")
    return _finite("offset", shifts).reshape(n, blocks, math.prod(kernel), 2, *out)


def _mask(mask: ArrayLike | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    factors = np.ones(shape, dtype) if mask is None else checks.floating("mask", mask)
    if factors.shape != shape:
        raise ValueError(f"mask must have shape {shape}, got {factors.shape}")
    return factors


def _finite(name: str, value: ArrayLike) -> Array:
    """Refuse a position that is no number: as an index it would be anything."""
    array = checks.floating(name, value)
    if not np.isfinite(array).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        found = array[index]
        place = f" {index}" if index else ""
        raise ValueError(f"{name}{place} is {'NaN' if np.isnan(found) else found}")
    return array


def _steps(stride: Steps, padding: Steps, dilation: Steps) -> tuple[Pair, Pair, Pair]:
    return _pair("stride", stride, 1), _pair("padding", padding, 0), _pair("dilation", dilation, 1)


def _output_size(
    image: tuple[int, ...], kernel: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair
) -> Pair:
    padded = image[2] + 2 * padding[0], image[3] + 2 * padding[1]
    reach = dilation[0] * (kernel[2] - 1) + 1, dilation[1] * (kernel[3] - 1) + 1
    if reach[0] > padded[0] or reach[1] > padded[1]:
        raise ValueError(f"kernel {reach} is larger than the padded input {padded}")
    return (padded[0] - reach[0]) // stride[0] + 1, (padded[1] - reach[1]) // stride[1] + 1


def _pair(name: str, value: Steps, least: int) -> Pair:
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise ValueError(f"{name} must be an integer or a pair, got {value!r}")
        return checks.count(name, value[0], least), checks.count(name, value[1], least)
    number = checks.count(name, value, least)
    return number, number
