"""Edge cases of chapter 6, answered by the layers of ``torch.nn.functional``."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from dlbook.drills.oracles import Oracle
from dlbook.drills.output_size import NO_SIZE, Pair
from dlbook.drills.record import Inputs

Noted = list[tuple[str, Inputs]]


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Return the length that ``conv1d`` makes, or what stands for its refusal."""
    import torch
    from torch.nn.functional import conv1d

    x, weight = torch.zeros(1, 1, size), torch.zeros(1, 1, kernel)
    return _length(lambda: conv1d(x, weight, None, stride, padding, dilation))


def pool_output_size(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    """Return the length that ``max_pool1d`` makes."""
    import torch
    from torch.nn.functional import max_pool1d

    x = torch.zeros(1, 1, size)
    return _length(lambda: max_pool1d(x, kernel, stride, padding, ceil_mode=ceil_mode))


def same_padding(kernel: int, dilation: int) -> Pair:
    """Return where ``padding="same"`` puts its zeros, from what becomes of an impulse."""
    import torch
    from torch.nn.functional import conv1d

    place = dilation * kernel
    impulse, weight = torch.zeros(1, 1, 2 * place + 1), torch.zeros(1, 1, kernel)
    impulse[0, 0, place] = 1
    shifts = []
    for tap in (0, kernel - 1):
        weight[...] = 0
        weight[0, 0, tap] = 1
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Using padding='same' with even")
            seen = conv1d(impulse, weight, padding="same", dilation=dilation)
        shifts.append(int(seen.argmax()) - place)
    return shifts[0], -shifts[1]


def output_padding_for(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Return the output padding with which ``conv_transpose1d`` comes back to a size."""
    import torch
    from torch.nn.functional import conv1d, conv_transpose1d

    x, weight = torch.zeros(1, 1, size), torch.zeros(1, 1, kernel)
    small = conv1d(x, weight, None, stride, padding, dilation)

    def back(extra: int) -> Any:
        return conv_transpose1d(small, weight, None, stride, padding, extra, 1, dilation)

    return next(extra for extra in range(stride) if _length(partial(back, extra)) == size)


def _length(layer: Callable[[], Any]) -> int:
    try:
        return int(layer().shape[-1])
    except RuntimeError:
        return NO_SIZE


def _named(names: str, *cases: tuple[Any, ...]) -> Noted:
    """Return cases from rows of a note and values."""
    keys = names.split()
    return [(str(note), dict(zip(keys, values, strict=True))) for note, *values in cases]


def _size_cases() -> Noted:
    return _named(
        "size kernel stride padding dilation",
        ("LeNet: 32 and a kernel of 5", 32, 5, 1, 0, 1),
        ("ResNet's first layer", 224, 7, 2, 3, 1),
        ("the last pooling of AlexNet, as a convolution", 7, 3, 2, 0, 1),
        ("AlexNet's first layer, one position is lost", 224, 11, 4, 2, 1),
        ("AlexNet's first layer at 227", 227, 11, 4, 0, 1),
        ("the division leaves a remainder", 6, 3, 2, 0, 1),
        ("even size, halved", 6, 3, 2, 1, 1),
        ("odd size, halved", 7, 3, 2, 1, 1),
        ("a single tap with a stride", 7, 1, 3, 0, 1),
        ("padding around a single tap", 1, 1, 1, 3, 1),
        ("dilated", 5, 3, 1, 0, 2),
        ("dilated and padded, the size stays", 12, 3, 1, 4, 4),
        ("the kernel just fits", 5, 5, 3, 0, 1),
        ("the kernel fits thanks to the padding", 3, 5, 2, 1, 1),
        ("the kernel is one too large", 4, 5, 1, 0, 1),
        ("the dilated kernel is too large", 4, 3, 1, 0, 2),
        ("far too large, with a stride", 1, 5, 3, 0, 3),
        ("one pixel", 1, 1, 1, 0, 1),
    )


def _pool_cases() -> Noted:
    return _named(
        "size kernel stride padding ceil_mode",
        ("the third window would start in the padding", 3, 2, 2, 1, True),
        ("the same, rounded down", 3, 2, 2, 1, False),
        ("the last window hangs over", 6, 3, 2, 0, True),
        ("the same without it", 6, 3, 2, 0, False),
        ("nothing hangs over", 7, 3, 2, 0, True),
        ("ResNet's pooling", 112, 3, 2, 1, False),
        ("ResNet's pooling, rounded up", 112, 3, 2, 1, True),
        ("a window larger than the input", 3, 4, 2, 0, True),
        ("the window is the input", 4, 4, 4, 0, True),
        ("a stride beyond the window", 8, 2, 3, 0, True),
        ("a stride beyond the window, the last window drops", 6, 1, 4, 0, True),
        ("the last window starts at the very end", 4, 2, 4, 0, True),
        ("it starts on the last pixel", 5, 2, 4, 0, True),
        ("padded on both sides", 9, 4, 3, 2, True),
        ("starts behind the first padding zero", 4, 4, 3, 2, True),
        ("one pixel", 1, 1, 1, 0, True),
    )


def _same_cases() -> Noted:
    return _named(
        "kernel dilation",
        ("one tap", 1, 1),
        ("one tap, dilated", 1, 4),
        ("two taps", 2, 1),
        ("three taps", 3, 1),
        ("four taps", 4, 1),
        ("five taps", 5, 1),
        ("seven taps", 7, 1),
        ("two taps, two apart", 2, 2),
        ("two taps, three apart", 2, 3),
        ("three taps, two apart", 3, 2),
        ("three taps, three apart", 3, 3),
        ("four taps, two apart", 4, 2),
        ("four taps, three apart", 4, 3),
        ("nine taps, four apart", 9, 4),
    )


def _padding_cases() -> Noted:
    return _named(
        "size kernel stride padding dilation",
        ("even size, halved", 6, 3, 2, 1, 1),
        ("odd size, halved", 5, 3, 2, 1, 1),
        ("no stride", 9, 3, 1, 1, 1),
        ("ResNet's first layer", 224, 7, 2, 3, 1),
        ("AlexNet's first layer", 224, 11, 4, 2, 1),
        ("a third", 10, 3, 3, 0, 1),
        ("a third, one more", 11, 3, 3, 0, 1),
        ("a third, two more", 12, 3, 3, 0, 1),
        ("a single tap with a stride", 9, 1, 3, 0, 1),
        ("dilated", 12, 3, 2, 0, 3),
        ("dilated and padded", 11, 4, 4, 3, 2),
        ("the kernel just fits", 5, 5, 4, 0, 1),
        ("one pixel in padding", 1, 1, 4, 3, 1),
    )


ORACLES = {
    "output_size": Oracle("torch.nn.functional.conv1d", _size_cases, output_size),
    "pool_output_size": Oracle("torch.nn.functional.max_pool1d", _pool_cases, pool_output_size),
    "same_padding": Oracle("torch.nn.functional.conv1d", _same_cases, same_padding),
    "output_padding_for": Oracle(
        "torch.nn.functional.conv_transpose1d", _padding_cases, output_padding_for
    ),
}
