"""Edge cases of chapter 7, answered by ``torch.nn.functional`` and autograd."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbook.drills.convolution import Array, joined
from dlbook.drills.oracles import Oracle
from dlbook.drills.record import Inputs

Noted = list[tuple[str, Inputs]]


def conv2d_single(image: Array, kernel: Array) -> Array:
    """Ask ``F.conv2d`` about one image of one channel."""
    return np.asarray(conv2d(image[None, None], kernel[None, None])[0, 0])


def conv2d(images: Array, kernels: Array, stride: int = 1, padding: int = 0) -> Array:
    """Ask ``F.conv2d``."""
    import torch
    from torch.nn import functional

    tensors = torch.tensor(images), torch.tensor(kernels)
    return np.asarray(functional.conv2d(*tensors, stride=stride, padding=padding).numpy())


def im2col(images: Array, k_h: int, k_w: int, stride: int) -> Array:
    """Ask ``F.unfold``."""
    import torch
    from torch.nn import functional

    return np.asarray(functional.unfold(torch.tensor(images), (k_h, k_w), stride=stride).numpy())


def conv2d_backward(images: Array, kernels: Array, grad: Array, stride: int) -> Array:
    """Ask autograd."""
    import torch
    from torch.nn import functional

    given = [torch.tensor(array, requires_grad=True) for array in (images, kernels)]
    result = functional.conv2d(*given, stride=stride)
    gradients = torch.autograd.grad(result, given, torch.tensor(grad))
    return joined(*(gradient.numpy() for gradient in gradients))


def _noise(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def _impulse(height: int, width: int) -> Array:
    image = np.zeros((height, width))
    image[height // 2, width // 2] = 1
    return image


def _counted(*shape: int) -> Array:
    return np.arange(1.0, 1 + np.prod(shape)).reshape(shape)


def _single_cases() -> Noted:
    pairs = [
        ("an impulse", _impulse(5, 5), _counted(3, 3)),
        ("a rectangle", _counted(5, 8), _noise(1, 3, 3)),
        ("the other rectangle", _counted(8, 5), _noise(2, 3, 3)),
        ("a kernel of one weight", _noise(3, 4, 6), np.array([[2.0]])),
        ("a kernel as large as the image", _noise(4, 3, 4), _noise(5, 3, 4)),
        ("a low kernel", _noise(6, 5, 6), _noise(7, 1, 4)),
        ("a high kernel", _noise(8, 6, 5), _noise(9, 4, 1)),
        ("2×3", _noise(10, 5, 5), _noise(11, 2, 3)),
        ("Sobel", _counted(4, 5), np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])),
        ("one row", _noise(12, 1, 7), _noise(13, 1, 3)),
        ("one pixel", np.array([[3.0]]), np.array([[-2.0]])),
        ("a constant image", np.ones((4, 5)), _noise(14, 2, 2)),
    ]
    return [(note, {"image": image, "kernel": kernel}) for note, image, kernel in pairs]


def _batch(seed: int, image: tuple[int, ...], kernel: tuple[int, ...]) -> dict[str, Array]:
    return {"images": _noise(seed, *image), "kernels": _noise(100 + seed, *kernel)}


_SHAPES: list[tuple[str, tuple[int, ...], tuple[int, ...], int, int]] = [
    ("no padding", (2, 3, 5, 5), (4, 3, 3, 3), 1, 0),
    ("padding 1", (2, 3, 5, 5), (4, 3, 3, 3), 1, 1),
    ("stride 2, a row left over", (1, 2, 6, 6), (2, 2, 3, 3), 2, 0),
    ("stride 2, padding 1", (1, 2, 5, 5), (2, 2, 3, 3), 2, 1),
    ("stride 3, padding 2", (2, 1, 5, 5), (1, 1, 3, 3), 3, 2),
    ("wide images", (1, 2, 5, 8), (3, 2, 3, 3), 1, 1),
    ("high images", (1, 2, 8, 5), (3, 2, 3, 3), 2, 0),
    ("2×3 kernels", (2, 2, 5, 6), (2, 2, 2, 3), 1, 1),
    ("1×1 kernels", (2, 5, 3, 3), (4, 5, 1, 1), 1, 0),
    ("one place", (2, 2, 3, 4), (3, 2, 3, 4), 1, 0),
    ("one channel in, one out", (3, 1, 4, 4), (1, 1, 2, 2), 1, 0),
    ("stride larger than the kernel", (1, 1, 7, 7), (2, 1, 2, 2), 3, 0),
    ("many channels", (1, 9, 3, 3), (7, 9, 2, 2), 1, 0),
]


def _conv2d_cases() -> Noted:
    return [
        (note, {**_batch(seed, image, kernel), "stride": stride, "padding": padding})
        for seed, (note, image, kernel, stride, padding) in enumerate(_SHAPES)
    ]


def _matmul_cases() -> Noted:
    return [
        (f"images {image}, kernels {kernel}", _batch(50 + seed, image, kernel))
        for seed, (image, kernel) in enumerate(dict.fromkeys(shape[1:3] for shape in _SHAPES))
    ]


def _im2col_cases() -> Noted:
    return [
        (
            note,
            {"images": _counted(*image), "k_h": kernel[2], "k_w": kernel[3], "stride": stride},
        )
        for note, image, kernel, stride, _ in _SHAPES
    ]


def _backward_cases() -> Noted:
    cases: Noted = []
    for seed, (note, image, kernel, stride, _) in enumerate(_SHAPES):
        inputs: dict[str, Any] = _batch(70 + seed, image, kernel)
        shape = conv2d(inputs["images"], inputs["kernels"], stride).shape
        cases.append((note, {**inputs, "grad": _noise(300 + seed, *shape), "stride": stride}))
    return cases


ORACLES = {
    "conv2d_single": Oracle("torch.nn.functional.conv2d in float64", _single_cases, conv2d_single),
    "conv2d": Oracle("torch.nn.functional.conv2d in float64", _conv2d_cases, conv2d),
    "im2col": Oracle("torch.nn.functional.unfold in float64", _im2col_cases, im2col),
    "conv2d_matmul": Oracle("torch.nn.functional.conv2d in float64", _matmul_cases, conv2d),
    "conv2d_backward": Oracle(
        "torch.autograd through conv2d in float64", _backward_cases, conv2d_backward
    ),
}
