"""Edge cases of chapter 9, answered by ``torch.nn`` and ``torch.nn.functional``."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbook.drills.oracles import Oracle
from dlbook.drills.record import Inputs
from dlbook.drills.special_convolutions import Array

Noted = list[tuple[str, Inputs]]


def separable_cost(c_in: int, c_out: int, k: int, h: int, w: int) -> tuple[int, int]:
    """Count what two ``nn.Conv2d`` hold, and use each weight once for each output."""
    from torch import nn

    halves = (
        nn.Conv2d(c_in, c_in, k, groups=c_in, bias=False, device="meta"),
        nn.Conv2d(c_in, c_out, 1, bias=False, device="meta"),
    )
    params = sum(half.weight.numel() for half in halves)
    return params, params * h * w


def transposed_conv1d(signal: Array, kernel: Array, stride: int, padding: int) -> Array:
    """Ask ``F.conv_transpose1d``."""
    import torch
    from torch.nn import functional

    given = torch.tensor(signal)[None, None], torch.tensor(kernel)[None, None]
    out = functional.conv_transpose1d(*given, stride=stride, padding=padding)
    return np.asarray(out.flatten().numpy())


def overlap_counts(size: int, kernel: int, stride: int) -> Any:
    """Stamp ones; judge evenness on the middle of a long row."""
    import torch
    from torch.nn import functional

    def counts(n: int) -> Any:
        ones = torch.ones(1, 1, n), torch.ones(1, 1, kernel)
        return functional.conv_transpose1d(*ones, stride=stride).flatten().int().numpy()

    middle = counts(10 + 2 * kernel)[kernel:-kernel]
    return np.append(counts(size), middle.min() == middle.max()).astype(int)


def bilinear_sample(image: Array, y: Array, x: Array) -> Array:
    """Ask ``F.grid_sample`` about one channel."""
    return np.asarray(_sampled(image[None], y, x)[0].numpy())


def deformable_conv2d(
    images: Array, offsets: Array, kernels: Array, padding: int, dilation: int
) -> Array:
    """Read each tap by ``F.grid_sample``, and sum the products."""
    import torch

    k_h, k_w = kernels.shape[2:]
    h_out, w_out = offsets.shape[2:]
    weights = torch.tensor(kernels)
    out = torch.zeros(len(images), len(kernels), h_out, w_out, dtype=torch.float64)
    rows, columns = np.mgrid[:h_out, :w_out] - padding
    for n, a, b in np.ndindex(len(images), k_h, k_w):
        tap = 2 * (a * k_w + b)
        y = rows + a * dilation + offsets[n, tap]
        x = columns + b * dilation + offsets[n, tap + 1]
        read = _sampled(images[n], y.ravel(), x.ravel()).reshape(-1, h_out, w_out)
        out[n] += torch.einsum("oc,chw->ohw", weights[:, :, a, b], read)
    return np.asarray(out.numpy())


def _sampled(maps: Array, y: Array, x: Array) -> Any:
    """Sample (C, H, W) at (P,) positions in pixels; the result is (C, P)."""
    import torch
    from torch.nn import functional

    height, width = maps.shape[1:]
    grid = np.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], axis=-1)
    return functional.grid_sample(
        torch.tensor(maps)[None], torch.tensor(grid)[None, None],
        mode="bilinear", padding_mode="zeros", align_corners=False,
    )[0, :, 0]  # fmt: skip


def _noise(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def _cost_case(c_in: int, c_out: int, k: int, h: int = 7, w: int = 7) -> Inputs:
    return {"c_in": c_in, "c_out": c_out, "k": k, "h": h, "w": w}


def _cost_cases() -> Noted:
    return [
        ("64 to 128, 3×3", _cost_case(64, 128, 3, 1, 1)),
        ("an oblong output", _cost_case(3, 5, 3, 4, 9)),
        ("one channel in", _cost_case(1, 8, 3)),
        ("one channel out", _cost_case(8, 1, 3)),
        ("one and one", _cost_case(1, 1, 3)),
        ("a depthwise half of 1×1", _cost_case(8, 16, 1)),
        ("7×7", _cost_case(96, 96, 7, 56, 56)),
        ("an even kernel", _cost_case(6, 10, 2)),
        ("fewer channels out", _cost_case(96, 24, 3)),
        ("the last layer of MobileNet", _cost_case(1024, 1024, 3)),
        ("an output of one place", _cost_case(32, 64, 5, 1, 1)),
        ("a single row", _cost_case(4, 6, 3, 1, 12)),
    ]


def _stamp_case(signal: Any, kernel: Any, stride: int, padding: int) -> Inputs:
    arrays = np.array(signal, dtype=float), np.array(kernel, dtype=float)
    return {"signal": arrays[0], "kernel": arrays[1], "stride": stride, "padding": padding}


def _stamp_cases() -> Noted:
    return [
        ("an impulse", _stamp_case([1], [1, 2, 3], 1, 0)),
        ("an impulse between zeros", _stamp_case([0, 1, 0], [1, 2, 3], 2, 0)),
        ("three inputs, kernel 3, stride 2, padding 1", _stamp_case([1, 2, 3], [1, 2, 3], 2, 1)),
        ("stride 1", _stamp_case([1, -1, 2], [3, 0, -2], 1, 0)),
        ("holes: the kernel is shorter than the stride", _stamp_case([1, 2, 3], [4, 5], 3, 0)),
        ("a kernel of one", _stamp_case([1, 2, 3], [2], 2, 0)),
        ("a kernel of one, cropped", _stamp_case([1, 2, 3], [2], 2, 1)),
        ("even overlap", _stamp_case([1, 2, 3, 4], [1, 3, 3, 1], 2, 1)),
        ("cropped", _stamp_case([1, 2], [1, 2, 3], 1, 1)),
        ("more padding than kernel", _stamp_case([1, 2, 3, 4], [5, 7], 2, 3)),
        ("noise", _stamp_case(_noise(1, 9), _noise(2, 5), 3, 2)),
        ("a constant signal", _stamp_case([2, 2, 2, 2], [1, 2, 1], 2, 1)),
    ]


def _overlap_case(size: int, kernel: int, stride: int) -> Inputs:
    return {"size": size, "kernel": kernel, "stride": stride}


def _overlap_cases() -> Noted:
    return [
        ("kernel 3, stride 2", _overlap_case(4, 3, 2)),
        ("kernel 4, stride 2: even", _overlap_case(4, 4, 2)),
        ("kernel and stride alike", _overlap_case(3, 2, 2)),
        ("holes", _overlap_case(3, 2, 3)),
        ("stride 1", _overlap_case(5, 3, 1)),
        ("one input", _overlap_case(1, 4, 2)),
        ("one input, uneven", _overlap_case(1, 3, 2)),
        ("one of each", _overlap_case(1, 1, 1)),
        ("kernel 5, stride 2", _overlap_case(6, 5, 2)),
        ("kernel 4, stride 3", _overlap_case(5, 4, 3)),
        ("kernel 6, stride 3: even", _overlap_case(4, 6, 3)),
        ("too short for a middle", _overlap_case(2, 7, 2)),
    ]


def _sample_case(image: Any, *places: tuple[float, float]) -> Inputs:
    y, x = np.array(places, dtype=float).T.copy()
    return {"image": np.array(image, dtype=float), "y": y, "x": x}


def _sample_cases() -> Noted:
    ones, ramp = np.ones((3, 4)), np.arange(12.0).reshape(3, 4)
    return [
        ("on a pixel", _sample_case(ramp, (1, 2))),
        ("between two columns", _sample_case(ramp, (1, 0.25))),
        ("between two rows", _sample_case(ramp, (0.5, 1))),
        ("in the middle of four", _sample_case(ramp, (1.5, 2.5))),
        ("half a pixel above", _sample_case(ones, (-0.5, 0))),
        ("half a pixel behind", _sample_case(ones, (2.5, 3.5))),
        ("beyond a corner", _sample_case(ones, (-0.25, -0.75))),
        ("a whole pixel outside", _sample_case(ones, (-1, 1), (3, 1), (1, 4))),
        ("far outside", _sample_case(ones, (-9.5, 0), (0, 40.25))),
        ("an image of one pixel", _sample_case([[5]], (0, 0), (0.5, -0.5), (0.75, 0))),
        ("one row", _sample_case([[0, 2, 1, 5]], (0, 0.5), (0, 1.5), (0, 2.5))),
        ("many places", {"image": _noise(1, 4, 5), "y": 2 * _noise(2, 30), "x": 3 * _noise(3, 30)}),
    ]


def _deformable_case(
    seed: int,
    shape: tuple[int, ...],
    kernel: tuple[int, int],
    padding: int = 0,
    dilation: int = 1,
    scale: float = 1.0,
) -> Inputs:
    n, channels, *sides = shape
    out = [side + 2 * padding - dilation * (k - 1) for side, k in zip(sides, kernel, strict=True)]
    return {
        "images": _noise(seed, *shape),
        "offsets": scale * _noise(100 + seed, n, 2 * kernel[0] * kernel[1], *out),
        "kernels": _noise(200 + seed, 2, channels, *kernel),
        "padding": padding,
        "dilation": dilation,
    }


def _deformable_cases() -> Noted:
    step = np.array([1.0, 0.0])[None, :, None, None] * np.ones((1, 2, 3, 3))
    down = dict(_deformable_case(1, (1, 1, 3, 3), (1, 1))) | {"offsets": step}
    return [
        ("one step down", down),
        ("no offsets", _deformable_case(2, (1, 2, 4, 4), (3, 3), scale=0)),
        ("ordinary", _deformable_case(3, (2, 2, 5, 4), (3, 3))),
        ("padded", _deformable_case(4, (1, 1, 3, 4), (3, 3), padding=1)),
        ("dilated", _deformable_case(5, (1, 1, 5, 6), (3, 3), dilation=2)),
        ("padded and dilated", _deformable_case(6, (1, 2, 3, 3), (3, 3), 2, 2)),
        ("an oblong kernel", _deformable_case(7, (1, 1, 4, 5), (2, 3))),
        ("a kernel of one", _deformable_case(8, (2, 3, 3, 2), (1, 1))),
        ("one place", _deformable_case(9, (1, 2, 3, 3), (3, 3))),
        ("offsets far outside", _deformable_case(10, (1, 1, 4, 4), (2, 2), scale=9)),
        ("small offsets", _deformable_case(11, (1, 1, 4, 4), (2, 2), scale=0.1)),
        ("a single column", _deformable_case(12, (1, 1, 5, 1), (3, 1), dilation=2)),
    ]


ORACLES = {
    "separable_cost": Oracle("weights of torch.nn.Conv2d", _cost_cases, separable_cost),
    "transposed_conv1d": Oracle(
        "torch.nn.functional.conv_transpose1d in float64", _stamp_cases, transposed_conv1d
    ),
    "overlap_counts": Oracle(
        "torch.nn.functional.conv_transpose1d of ones", _overlap_cases, overlap_counts
    ),
    "bilinear_sample": Oracle(
        "torch.nn.functional.grid_sample in float64", _sample_cases, bilinear_sample
    ),
    "deformable_conv2d": Oracle(
        "torch.nn.functional.grid_sample in float64, tap by tap",
        _deformable_cases,
        deformable_conv2d,
    ),
}
