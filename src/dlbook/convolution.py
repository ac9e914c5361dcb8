r"""Two-dimensional convolution in NumPy: six loops, the matrix product, and the way back.

Conventions
    *Data*: images have shape (N, C_in, H, W), kernels (C_out, C_in / groups, k_h, k_w), results
    (N, C_out, H_out, W_out), as in PyTorch. What is computed is the cross-correlation

    .. math:: y[n,o,i,j] = b[o] + \sum_{c,a,b'} w[o,c,a,b']\,
              x[n,\;c,\;i s_h - p_h + a d_h,\;j s_w - p_w + b' d_w],

    and ``H_out`` is ⌊(H + 2p_h − d_h(k_h − 1) − 1) / s_h⌋ + 1. Pixels outside are 0.
    *Types*: floating dtypes only; the result has the common dtype of the arguments. NaN and
    infinite values pass through as in PyTorch.
    *Steps*: ``stride``, ``padding`` and ``dilation`` are an integer for both axes, or a pair
    (vertical, horizontal).
    *Empty batches* give empty results. *Arguments* are never written into.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dlbook import checks
from dlbook.checks import Array

Pair = tuple[int, int]
Steps = int | Pair


class _Geometry(NamedTuple):
    """What stride, padding and dilation make of one image size and one kernel size.

    Attributes
    ----------
    image, kernel, stride, padding, dilation : (int, int)
        As given, for both axes.
    padded : (int, int)
        Height and width with the padding.
    reach : (int, int)
        Height and width that the dilated kernel covers.
    out : (int, int)
        Height and width of the result.
    """

    image: Pair
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    padded: Pair
    reach: Pair
    out: Pair


def conv2d_loops(
    images: ArrayLike,
    kernels: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Steps = 1,
    padding: Steps = 0,
    dilation: Steps = 1,
    groups: int = 1,
) -> Array:
    """Convolve with a loop for each index: slow, and plain enough to check by eye.

    Parameters
    ----------
    images : array_like of float, shape (N, C_in, H, W)
    kernels : array_like of float, shape (C_out, C_in / groups, k_h, k_w)
    bias : array_like of float, shape (C_out,), optional
    stride, dilation : int or (int, int), default: 1
        At least 1.
    padding : int or (int, int), default: 0
        Rows and columns of zeros on each side.
    groups : int, default: 1
        Output channels are split into so many groups, each of which sees its own share of the
        input channels.

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
    PyTorch, ``torch.nn.functional.conv2d`` and ``torch.nn.Conv2d``. Dumoulin and Visin 2016,
    arXiv 1603.07285.
    """
    x, w, b, geometry = _arguments(images, kernels, bias, stride, padding, dilation, groups)
    padded = _padded(x, geometry.padding)
    (s_h, s_w), (d_h, d_w), (k_h, k_w) = geometry.stride, geometry.dilation, geometry.kernel
    n_out, channels = len(w), w.shape[1]
    y = np.zeros((len(x), n_out, *geometry.out), dtype=x.dtype)
    for n, o, i, j in np.ndindex(y.shape):
        first = o // (n_out // groups) * channels
        for c in range(channels):
            for a in range(k_h):
                for e in range(k_w):
                    pixel = padded[n, first + c, i * s_h + a * d_h, j * s_w + e * d_w]
                    y[n, o, i, j] += w[o, c, a, e] * pixel
        if b is not None:
            y[n, o, i, j] += b[o]
    return y


def conv2d(
    images: ArrayLike,
    kernels: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Steps = 1,
    padding: Steps = 0,
    dilation: Steps = 1,
    groups: int = 1,
) -> Array:
    """Convolve by one matrix product for each image.

    Parameters and errors are those of :func:`conv2d_loops`, and so are the values, up to the order
    of the sum.

    Parameters
    ----------
    images : array_like of float, shape (N, C_in, H, W)
    kernels : array_like of float, shape (C_out, C_in / groups, k_h, k_w)
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
        If a shape or a step does not fit.
    TypeError
        If a dtype is not floating or a step is not an integer.

    References
    ----------
    PyTorch, ``torch.nn.functional.conv2d``. Chellapilla, Puri and Simard 2006, "High performance
    convolutional neural networks for document processing".
    """
    x, w, b, geometry = _arguments(images, kernels, bias, stride, padding, dilation, groups)
    n_out, length = len(w), math.prod(geometry.out)
    y = np.empty((len(x), groups, n_out // groups, length), dtype=x.dtype)
    # A view: no window is copied before its image's turn comes.
    windows = _windows(_padded(x, geometry.padding), geometry)
    matrix = w.reshape(groups, n_out // groups, -1)
    # One image's columns at a time, always in the same place, stay in the cache.
    copies = np.empty(windows.shape[1:], dtype=x.dtype)
    columns = copies.reshape(groups, -1, length)
    if geometry.stride[1] == 1:
        # Neighbors stay neighbors: to copy a row as one item takes half the time.
        row = np.dtype((np.void, geometry.out[1] * x.itemsize))
        windows, copies = windows.view(row), copies.view(row)
    for n in range(len(x)):
        copies[...] = windows[n]
        np.matmul(matrix, columns, out=y[n])
    y = y.reshape(len(x), n_out, *geometry.out)
    if b is not None:
        y += b[:, None, None]
    return y


def im2col(
    images: ArrayLike,
    kernel: Steps,
    stride: Steps = 1,
    padding: Steps = 0,
    dilation: Steps = 1,
) -> Array:
    """Copy every window into a column.

    Parameters
    ----------
    images : array_like of float, shape (N, C, H, W)
    kernel : int or (int, int)
        Height and width of the window.
    stride, dilation : int or (int, int), default: 1
    padding : int or (int, int), default: 0

    Returns
    -------
    array, shape (N, C·k_h·k_w, L), the dtype of ``images``
        ``L`` is the number of windows. Rows run over the channel, then down, then across the
        window, as in ``F.unfold``.

    Raises
    ------
    ValueError
        If a shape or a step does not fit.
    TypeError
        If the dtype is not floating or a step is not an integer.

    References
    ----------
    PyTorch, ``torch.nn.functional.unfold``.
    """
    x = _images(images)
    geometry = _geometry(x.shape, _pair("kernel", kernel, 1), stride, padding, dilation)
    windows = _windows(_padded(x, geometry.padding), geometry)
    rows = x.shape[1] * math.prod(geometry.kernel)
    return np.array(windows.reshape(len(x), rows, math.prod(geometry.out)))


def col2im(
    columns: ArrayLike,
    size: Steps,
    kernel: Steps,
    stride: Steps = 1,
    padding: Steps = 0,
    dilation: Steps = 1,
) -> Array:
    """Add every column back to where its window lies: the transpose of :func:`im2col`.

    It is no inverse: a pixel of several windows comes back as a sum.

    Parameters
    ----------
    columns : array_like of float, shape (N, C·k_h·k_w, L)
    size : int or (int, int)
        Height and width of the images.
    kernel : int or (int, int)
    stride, dilation : int or (int, int), default: 1
    padding : int or (int, int), default: 0

    Returns
    -------
    array, shape (N, C, H, W), the dtype of ``columns``

    Raises
    ------
    ValueError
        If a shape or a step does not fit.
    TypeError
        If the dtype is not floating or a step is not an integer.

    References
    ----------
    PyTorch, ``torch.nn.functional.fold``.
    """
    values = checks.floating("columns", columns)
    if values.ndim != 3:
        raise ValueError(f"columns must have 3 axes (N, C·k_h·k_w, L), got shape {values.shape}")
    k_h, k_w = window = _pair("kernel", kernel, 1)
    height, width = _pair("size", size, 1)
    channels, rest = divmod(values.shape[1], k_h * k_w)
    if rest:
        raise ValueError(
            f"columns have {values.shape[1]} rows: not a multiple of the window's {k_h * k_w}"
        )
    geometry = _geometry((len(values), channels, height, width), window, stride, padding, dilation)
    if values.shape[2] != math.prod(geometry.out):
        raise ValueError(
            f"columns must be {math.prod(geometry.out)} windows, got {values.shape[2]}"
        )
    return _gathered(values.reshape(len(values), channels, k_h, k_w, *geometry.out), geometry)


def conv2d_backward(
    images: ArrayLike,
    kernels: ArrayLike,
    grad: ArrayLike,
    stride: Steps = 1,
    padding: Steps = 0,
    dilation: Steps = 1,
    groups: int = 1,
) -> tuple[Array, Array, Array]:
    r"""Return the gradients of a loss with respect to what :func:`conv2d` was given.

    With the columns :math:`X` of an image, :math:`Y = WX`: so
    :math:`\partial W = \sum_n \partial Y\,X^\top`, and :math:`\partial X = W^\top \partial Y` is
    added back by :func:`col2im`, which makes it the transposed convolution of ``grad``.

    Parameters
    ----------
    images : array_like of float, shape (N, C_in, H, W)
    kernels : array_like of float, shape (C_out, C_in / groups, k_h, k_w)
    grad : array_like of float, shape (N, C_out, H_out, W_out)
        Gradient of the loss with respect to the result.
    stride, dilation : int or (int, int), default: 1
    padding : int or (int, int), default: 0
    groups : int, default: 1

    Returns
    -------
    grad_images, grad_kernels : array, the shapes of ``images`` and ``kernels``
        Pixels that no window reaches have gradient 0.
    grad_bias : array, shape (C_out,)

    Raises
    ------
    ValueError
        If a shape or a step does not fit.
    TypeError
        If a dtype is not floating or a step is not an integer.

    References
    ----------
    PyTorch, ``torch.nn.grad.conv2d_input`` and ``conv2d_weight``; checked against autograd.
    """
    x, w, _, geometry = _arguments(images, kernels, None, stride, padding, dilation, groups)
    g = checks.floating("grad", grad)
    expected = (len(x), len(w), *geometry.out)
    if g.shape != expected:
        raise ValueError(f"grad must have shape {expected}, got {g.shape}")
    dtype = np.result_type(x, g)
    length = math.prod(geometry.out)
    delta = g.astype(dtype).reshape(len(x), groups, len(w) // groups, length)
    matrix = w.astype(dtype).reshape(groups, len(w) // groups, -1)
    windows = _windows(_padded(x.astype(dtype), geometry.padding), geometry)
    grad_matrix = np.zeros_like(matrix)
    for n in range(len(x)):
        columns = windows[n].reshape(groups, -1, length)
        grad_matrix += delta[n] @ columns.swapaxes(-1, -2)
    spread = matrix.swapaxes(-1, -2) @ delta
    shape = (len(x), x.shape[1], *geometry.kernel, *geometry.out)
    grad_images = _gathered(spread.reshape(shape), geometry)
    return grad_images, grad_matrix.reshape(w.shape), delta.sum(axis=(0, 3)).reshape(-1)


# --- pieces ---


def _padded(x: Array, padding: Pair) -> Array:
    """Return images with a border of zeros; without a border the images themselves."""
    (p_h, p_w), (height, width) = padding, x.shape[2:]
    if p_h == p_w == 0:
        return np.ascontiguousarray(x)
    # An assignment costs a ninth of what np.pad does on a small image.
    padded = np.zeros((*x.shape[:2], height + 2 * p_h, width + 2 * p_w), dtype=x.dtype)
    padded[:, :, p_h : p_h + height, p_w : p_w + width] = x
    return padded


def _windows(padded: Array, geometry: _Geometry) -> Any:
    """Return a view of all windows, shape (N, C, k_h, k_w, H_out, W_out)."""
    (s_h, s_w), (d_h, d_w) = geometry.stride, geometry.dilation
    n, c, row, column = padded.strides
    # What sliding_window_view, two slices and a transpose would give, in a tenth of the time: a
    # step within a window is d pixels, and one to the next window is s. The geometry is checked
    # to end within the image, which the constructor checks once more.
    shape = (*padded.shape[:2], *geometry.kernel, *geometry.out)
    strides = (n, c, d_h * row, d_w * column, s_h * row, s_w * column)
    return np.ndarray(shape, padded.dtype, padded, 0, strides)


def _gathered(spread: Array, geometry: _Geometry) -> Array:
    """Add windows, shape (N, C, k_h, k_w, H_out, W_out), to the pixels that they cover."""
    (h_out, w_out), (height, width) = geometry.out, geometry.image
    (s_h, s_w), (d_h, d_w), (p_h, p_w) = geometry.stride, geometry.dilation, geometry.padding
    padded = np.zeros((*spread.shape[:2], *geometry.padded), dtype=spread.dtype)
    for a, e in np.ndindex(geometry.kernel):
        # One tap of all windows: no two of them meet in a pixel, so += adds each.
        rows = slice(a * d_h, a * d_h + s_h * (h_out - 1) + 1, s_h)
        columns = slice(e * d_w, e * d_w + s_w * (w_out - 1) + 1, s_w)
        padded[:, :, rows, columns] += spread[:, :, a, e]
    return padded[:, :, p_h : p_h + height, p_w : p_w + width]


# --- checks ---


def _arguments(
    images: ArrayLike,
    kernels: ArrayLike,
    bias: ArrayLike | None,
    stride: Steps,
    padding: Steps,
    dilation: Steps,
    groups: int,
) -> tuple[Array, Array, Array | None, _Geometry]:
    """Return checked images, kernels and bias, if any, of one dtype, and the geometry."""
    x = _images(images)
    w = checks.floating("kernels", kernels)
    if w.ndim != 4:
        raise ValueError(f"kernels must have 4 axes (C_out, C_in, k_h, k_w), got shape {w.shape}")
    if 0 in w.shape:
        raise ValueError(f"kernels are empty: they have shape {w.shape}")
    groups = checks.count("groups", groups, 1)
    if len(w) % groups:
        raise ValueError(f"groups {groups} does not divide {len(w)} output channels")
    if w.shape[1] * groups != x.shape[1]:
        raise ValueError(
            f"kernels expect {groups} × {w.shape[1]} = {groups * w.shape[1]} channels "
            f"(groups × kernel channels), images have {x.shape[1]}"
        )
    b = None if bias is None else checks.floating("bias", bias)
    if b is not None and b.shape != (len(w),):
        raise ValueError(f"bias must have shape ({len(w)},), got {b.shape}")
    geometry = _geometry(x.shape, (w.shape[2], w.shape[3]), stride, padding, dilation)
    if x.dtype == w.dtype and b is None:  # the usual case: on small images each call counts
        return x, w, b, geometry
    dtype = np.result_type(x, w) if b is None else np.result_type(x, w, b)
    b = None if b is None else b.astype(dtype)
    return x.astype(dtype, copy=False), w.astype(dtype, copy=False), b, geometry


def _images(images: ArrayLike) -> Array:
    array = np.asarray(images)
    if array.dtype.kind in "iub":
        raise TypeError(f"images have dtype {array.dtype}: integer images: convert to float first")
    x = checks.floating("images", array)
    if x.ndim != 4:
        raise ValueError(f"images must have 4 axes (N, C, H, W), got shape {x.shape}")
    if 0 in x.shape[1:]:
        raise ValueError(f"images are empty: they have shape {x.shape}")
    return x


def _geometry(
    shape: tuple[int, ...], kernel: Pair, stride: Steps, padding: Steps, dilation: Steps
) -> _Geometry:
    s_h, s_w = strides = _pair("stride", stride, 1)
    p_h, p_w = pads = _pair("padding", padding, 0)
    d_h, d_w = dilations = _pair("dilation", dilation, 1)
    padded = height, width = shape[2] + 2 * p_h, shape[3] + 2 * p_w
    reach = r_h, r_w = d_h * (kernel[0] - 1) + 1, d_w * (kernel[1] - 1) + 1
    if r_h > height or r_w > width:
        raise ValueError(f"kernel {reach} is larger than the padded input {padded}")
    out = (height - r_h) // s_h + 1, (width - r_w) // s_w + 1
    image = shape[2], shape[3]
    return _Geometry(image, kernel, strides, pads, dilations, padded, reach, out)


def _pair(name: str, value: Steps, least: int) -> Pair:
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise ValueError(f"{name} must be an integer or a pair, got {value!r}")
        return checks.count(name, value[0], least), checks.count(name, value[1], least)
    number = checks.count(name, value, least)
    return number, number
