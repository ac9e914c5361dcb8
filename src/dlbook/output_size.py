r"""Sizes of convolutions, transposed convolutions and pooling, and the padding that keeps them.

Conventions
    *Symbols*, on one axis: input :math:`n`, kernel :math:`k`, stride :math:`s`, padding :math:`p`
    on each side, dilation :math:`d`, effective kernel :math:`k^e = d(k-1) + 1`, output padding
    :math:`p_o`, output :math:`m`.
    *Arguments* are Python or NumPy integers. The three sizes also take pairs, one value for each
    axis (height, width); an integer among pairs holds for both, and the answer is then a pair.
    *Bad arguments* are refused with ``ValueError`` before any work, by name and value. So is a
    setting that PyTorch refuses. A size of 0 is refused: PyTorch takes an empty batch, but no
    empty image.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

#: One value for both axes, or one for each.
Extent = int | tuple[int, int]


def output_size(
    size: Extent, kernel: Extent, stride: Extent = 1, padding: Extent = 0, dilation: Extent = 1
) -> Extent:
    r"""Return the output size of a convolution, as ``F.conv2d`` makes it.

    :math:`m = \lfloor (n + 2p - k^e) / s \rfloor + 1`.

    Parameters
    ----------
    size, kernel : int or pair of int
        Input and kernel, at least 1.
    stride : int or pair of int, default: 1
        At least 1.
    padding : int or pair of int, default: 0
        Zeros on each side, at least 0.
    dilation : int or pair of int, default: 1
        Distance between two taps of the kernel, at least 1.

    Returns
    -------
    int, or pair of int if an argument is a pair

    Raises
    ------
    ValueError
        If an argument is no integer or too small, or the kernel does not fit into the padded
        input.

    References
    ----------
    PyTorch, ``torch.nn.Conv2d``. Dumoulin and Visin 2016, arXiv 1603.07285, relation 6.
    """
    if _any_pair(size, kernel, stride, padding, dilation):
        return _each_axis(output_size, size, kernel, stride, padding, dilation)
    size, kernel, stride, dilation = _at_least(
        1, size=size, kernel=kernel, stride=stride, dilation=dilation
    )
    (padding,) = _at_least(0, padding=padding)
    span = dilation * (kernel - 1) + 1
    padded = size + 2 * padding
    if span > padded:
        raise ValueError(
            f"kernel {kernel} (dilation {dilation}: {span}) is larger than the padded "
            f"input {padded}"
        )
    return (padded - span) // stride + 1


def transposed_output_size(
    size: Extent,
    kernel: Extent,
    stride: Extent = 1,
    padding: Extent = 0,
    output_padding: Extent = 0,
    dilation: Extent = 1,
) -> Extent:
    r"""Return the output size of a transposed convolution, as ``F.conv_transpose2d`` makes it.

    :math:`(n - 1)s - 2p + k^e + p_o`, the size from which a convolution with the same settings
    comes back to :math:`n`.

    Parameters
    ----------
    size, kernel : int or pair of int
        Input and kernel, at least 1.
    stride : int or pair of int, default: 1
        At least 1.
    padding : int or pair of int, default: 0
        What is cropped from each side, at least 0.
    output_padding : int or pair of int, default: 0
        How much longer the output is at its end; below the larger of stride and dilation.
    dilation : int or pair of int, default: 1
        Distance between two taps of the kernel, at least 1.

    Returns
    -------
    int, or pair of int if an argument is a pair

    Raises
    ------
    ValueError
        If an argument is no integer or outside its range, or nothing is left of the output.

    References
    ----------
    PyTorch, ``torch.nn.ConvTranspose2d``. Dumoulin and Visin 2016, arXiv 1603.07285, chapter 4.
    """
    if _any_pair(size, kernel, stride, padding, output_padding, dilation):
        return _each_axis(
            transposed_output_size, size, kernel, stride, padding, output_padding, dilation
        )
    size, kernel, stride, dilation = _at_least(
        1, size=size, kernel=kernel, stride=stride, dilation=dilation
    )
    padding, output_padding = _at_least(0, padding=padding, output_padding=output_padding)
    if output_padding >= max(stride, dilation):
        raise ValueError(
            f"output_padding {output_padding} must be smaller than stride {stride} or "
            f"dilation {dilation}"
        )
    span = dilation * (kernel - 1) + 1
    length = (size - 1) * stride - 2 * padding + span + output_padding
    if length < 1:
        raise ValueError(
            f"transposed output size {_signed(length)}: the padding crops everything away"
        )
    return length


def output_padding_for(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    r"""Return the output padding with which a transposed convolution restores a size.

    It is what the floor of the convolution cut off, :math:`(n + 2p - k^e) \bmod s`.

    Parameters
    ----------
    size : int
        The size that went into the convolution.
    kernel, stride, padding, dilation : int
        The settings of both layers, as in :func:`output_size`.

    Returns
    -------
    int
        From 0 to ``stride - 1``.

    Raises
    ------
    ValueError
        As :func:`output_size` does.

    References
    ----------
    Dumoulin and Visin 2016, arXiv 1603.07285, relation 14.
    """
    output_size(size, kernel, stride, padding, dilation)  # refuses what no convolution takes
    span = dilation * (kernel - 1) + 1
    return (size + 2 * padding - span) % stride


def pool_output_size(
    size: Extent,
    kernel: Extent,
    stride: Extent | None = None,
    padding: Extent = 0,
    dilation: Extent = 1,
    ceil_mode: bool = False,
) -> Extent:
    r"""Return the output size of a pooling layer, as ``F.max_pool2d`` makes it.

    Like :func:`output_size`. With ``ceil_mode`` the quotient is rounded up, and then the last
    window is dropped if it would start in the padding on the right, at :math:`(m-1)s \ge n + p`
    on the padded axis.

    Parameters
    ----------
    size, kernel : int or pair of int
        Input and window, at least 1.
    stride : int or pair of int, optional
        At least 1; the size of the window by default.
    padding : int or pair of int, default: 0
        At most half of the window, whatever the dilation.
    dilation : int or pair of int, default: 1
        Distance between two taps of the window, at least 1.
    ceil_mode : bool, default: False
        Whether the last window may hang over the end.

    Returns
    -------
    int, or pair of int if an argument is a pair

    Raises
    ------
    ValueError
        If an argument is no integer or outside its range, or no window is left. With
        ``ceil_mode`` a window may be larger than the padded input.

    References
    ----------
    PyTorch, ``torch.nn.MaxPool2d``, and ``pooling_output_shape_pad_lr`` in ATen's
    ``native/Pool.h``.
    """
    stride = kernel if stride is None else stride
    if _any_pair(size, kernel, stride, padding, dilation):
        return _each_axis(
            partial(pool_output_size, ceil_mode=ceil_mode),
            size, kernel, stride, padding, dilation,
        )  # fmt: skip
    size, kernel, stride, dilation = _at_least(
        1, size=size, kernel=kernel, stride=stride, dilation=dilation
    )
    (padding,) = _at_least(0, padding=padding)
    span = dilation * (kernel - 1) + 1
    if padding > kernel // 2:
        raise ValueError(f"padding {padding} is more than half of the pooling window {kernel}")
    room = size + 2 * padding - span
    count = (room + stride - 1 if ceil_mode else room) // stride + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    if count < 1:
        raise ValueError(
            f"pooling window {kernel} (dilation {dilation}: {span}) leaves no output of the "
            f"padded input {size + 2 * padding}"
        )
    return count


def same_padding(kernel: int, dilation: int = 1) -> tuple[int, int]:
    r"""Return the zeros that keep the size at stride 1, as ``padding="same"`` adds them.

    Together :math:`k^e - 1`; if that is odd, the end gets one more.

    Parameters
    ----------
    kernel : int
        At least 1.
    dilation : int, default: 1
        At least 1.

    Returns
    -------
    left, right : int

    Raises
    ------
    ValueError
        If an argument is no integer or below 1.

    References
    ----------
    PyTorch, ``torch.nn.Conv2d``.
    """
    kernel, dilation = _at_least(1, kernel=kernel, dilation=dilation)
    total = dilation * (kernel - 1)
    return total // 2, total - total // 2


def same_padding_tf(size: int, kernel: int, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    r"""Return the zeros that TensorFlow's ``SAME`` adds, for as many outputs as n/s rounded up.

    With :math:`m = \lceil n/s \rceil` they are :math:`\max((m - 1)s + k^e - n,\, 0)` together, and
    the end gets the odd one. They depend on the size.

    Parameters
    ----------
    size, kernel : int
        At least 1.
    stride, dilation : int, default: 1
        At least 1. (``tf.nn.convolution`` refuses both above 1 at once.)

    Returns
    -------
    left, right : int

    Raises
    ------
    ValueError
        If an argument is no integer or below 1.

    References
    ----------
    TensorFlow, ``tf.nn``, notes on padding.
    """
    size, kernel, stride, dilation = _at_least(
        1, size=size, kernel=kernel, stride=stride, dilation=dilation
    )
    count = -(-size // stride)
    total = max((count - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2


def unread(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> list[int]:
    """Return the real pixels that no window of a convolution reads.

    They lie in the tail that the floor discards, and in gaps between taps.

    Parameters
    ----------
    size, kernel, stride, padding, dilation : int
        As in :func:`output_size`.

    Returns
    -------
    list of int
        Positions from 0, rising; empty if every pixel is read.

    Raises
    ------
    ValueError
        As :func:`output_size` does.
    """
    count = output_size(size, kernel, stride, padding, dilation)
    assert isinstance(count, int)
    read = {i * stride - padding + tap * dilation for i in range(count) for tap in range(kernel)}
    return [pixel for pixel in range(size) if pixel not in read]


def _any_pair(*values: Any) -> bool:
    return any(isinstance(value, tuple | list) for value in values)


def _each_axis(function: Callable[..., Any], *values: Any) -> tuple[int, int]:
    """Apply a function of integers to both axes; an integer holds for both."""
    pairs = [value if isinstance(value, tuple | list) else (value, value) for value in values]
    for pair in pairs:
        if len(pair) != 2:
            raise ValueError(f"a pair holds two values, height and width, got {pair!r}")
    height, width = (function(*axis) for axis in zip(*pairs, strict=True))
    return height, width


def _at_least(least: int, **values: Any) -> list[int]:
    """Return integers as Python integers, after refusing what is none and what is too small."""
    whole = {}
    for name, value in values.items():
        try:
            whole[name] = operator.index(value)
        except TypeError:
            kind = type(value).__name__
            raise ValueError(f"{name} must be an integer, got {value!r} ({kind})") from None
    for name, number in whole.items():
        if number < least:
            raise ValueError(f"{name} {_signed(number)} must be at least {least}")
    return list(whole.values())


def _signed(number: int) -> str:
    return str(number).replace("-", "−")
