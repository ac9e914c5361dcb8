"""Edge cases of chapter 5, answered by ``torch.autograd`` on stacks of ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlbook.drills.oracles import Oracle
from dlbook.drills.receptive_field import Array
from dlbook.drills.record import Inputs

Noted = list[tuple[str, Inputs]]
Indices = NDArray[np.integer[Any]]


def receptive_field_size(layers: Indices) -> int:
    """Return the distance between the ends of a gradient in the middle of a long input."""
    seen = _seen([(k, s, 0, d) for k, s, d in layers.tolist()], None, 3000)
    return int(seen[-1] - seen[0] + 1)


def region(layers: Indices, cell: int, size: int) -> Indices:
    """Return the ends of a gradient; kernels are filled, so that dilation leaves no holes."""
    filled = [(d * (k - 1) + 1, s, p, 1) for k, s, p, d in layers.tolist()]
    return _seen(filled, cell, size)[[0, -1]]


def has_holes(kernel: int, dilations: tuple[int, ...]) -> bool:
    """Tell whether a gradient is zero somewhere between its ends."""
    seen = _seen([(kernel, 1, 0, d) for d in dilations], None, 400)
    return bool(len(seen) < seen[-1] - seen[0] + 1)


def effective_receptive_field(first: Array, second: Array, draws: Array) -> Array:
    """Return the root mean square of torch's gradients, with the peak 1."""
    import torch
    from torch.nn import functional

    pixels = torch.tensor(draws, requires_grad=True)
    hidden = functional.max_pool1d(functional.conv1d(pixels, torch.tensor(first)), 3, 1)
    output = functional.conv1d(hidden, torch.tensor(second)[None])
    (gradient,) = torch.autograd.grad(output.sum(), pixels)
    influence = gradient.square().mean(dim=(0, 1)).sqrt()
    return np.asarray((influence / influence.max()).numpy())


def _seen(layers: list[tuple[int, int, int, int]], cell: int | None, size: int) -> Indices:
    """Return the pixels with a gradient of a cell, by default the middle one."""
    import torch
    from torch.nn import functional

    pixels = torch.ones(1, 1, size, dtype=torch.float64, requires_grad=True)
    output = pixels
    for kernel, stride, padding, dilation in layers:
        ones = torch.ones(1, 1, kernel, dtype=torch.float64)
        output = functional.conv1d(output, ones, None, stride, padding, dilation)
    middle = output.shape[-1] // 2 if cell is None else cell
    (gradient,) = torch.autograd.grad(output[0, 0, middle], pixels)
    return np.asarray(gradient[0, 0].nonzero()[:, 0].numpy())


def _rows(*layers: tuple[int, ...], width: int = 3) -> Indices:
    return np.array(layers, dtype=int).reshape(-1, width)


def _size_cases() -> Noted:
    conv, pool = (3, 1, 1), (2, 2, 1)
    vgg = [layer for n in (2, 2, 3, 3, 3) for layer in [conv] * n + [pool]]
    stacks = {
        "pool5 of VGG-16": vgg,
        "no layers": [],
        "one pixel": [(1, 1, 1)],
        "one layer": [(3, 1, 1)],
        "three layers of 3": [conv] * 3,
        "one of 7": [(7, 1, 1)],
        "stride 2, then 1": [(3, 2, 1), conv],
        "stride 1, then 2": [conv, (3, 2, 1)],
        "conv7 s2, pool3 s2, conv3, conv3": [(7, 2, 1), (3, 2, 1), conv, conv],
        "dilations 1, 2, 4": [(3, 1, 1), (3, 1, 2), (3, 1, 4)],
        "one dilated layer": [(3, 1, 2)],
        "causal, 2 taps, dilations 1 to 64": [(2, 1, 2**n) for n in range(7)],
        "1x1 with stride 2, then 3x3": [(1, 2, 1), conv],
        "stride above the kernel": [(2, 3, 1), (2, 1, 1)],
        "even kernels": [(4, 2, 1), (2, 1, 1), (4, 1, 2)],
        "AlexNet": [(11, 4, 1), (3, 2, 1), (5, 1, 1), (3, 2, 1), conv, conv, conv, (3, 2, 1)],
    }
    return [(note, {"layers": _rows(*layers)}) for note, layers in stacks.items()]


def _region_cases() -> Noted:
    half, pool = (3, 1, 1, 1), (2, 2, 0, 1)
    stacks: list[tuple[str, list[tuple[int, ...]], int, int]] = [
        ("two padded layers, cell 0", [half, half], 0, 9),
        ("two padded layers, the last cell", [half, half], 8, 9),
        ("two padded layers, in the middle", [half, half], 4, 9),
        ("one padded layer, cell 0", [half], 0, 5),
        ("no padding", [(3, 1, 0, 1)], 2, 8),
        ("one dilated layer", [(3, 1, 0, 2)], 1, 9),
        ("dilated and padded", [(3, 1, 2, 2)], 1, 9),
        ("padding behind a stride", [pool, half], 0, 12),
        ("padding behind two strides", [pool, pool, half], 1, 16),
        ("a field larger than the image", [(5, 1, 2, 1)] * 3, 2, 5),
        ("stride 3", [(3, 3, 0, 1), half], 2, 12),
        ("one pixel", [(1, 1, 0, 1)], 3, 4),
        ("an even kernel", [(4, 2, 1, 1)], 1, 8),
        ("stride and dilation", [(3, 2, 2, 2), (3, 1, 1, 1)], 1, 11),
    ]
    return [
        (note, {"layers": _rows(*layers, width=4), "cell": cell, "size": size})
        for note, layers, cell, size in stacks
    ]


def _holes_cases() -> Noted:
    stacks = [
        (3, (1,)), (3, (2,)), (3, (2, 2, 2)), (3, (1, 2, 3)), (3, (1, 2, 5)), (3, (1, 3, 9)),
        (3, (1, 2, 9)), (3, (2, 4, 8)), (3, (1, 4, 4)), (3, (2, 3, 4)), (3, (1, 3, 2)),
        (3, (3, 1)), (3, (1, 2, 6)), (3, (2, 1)), (2, (1, 2, 4, 8)), (2, (1, 3)), (5, (1, 5)),
        (5, (1, 6)), (3, (1, 1, 1)),
    ]  # fmt: skip
    return [
        (f"kernel {kernel}, dilations {rates}", {"kernel": kernel, "dilations": rates})
        for kernel, rates in stacks
    ]


def _effective_cases() -> Noted:
    found: Noted = []
    for seed, (note, channels, draws) in enumerate(
        [
            ("one channel, one draw", 1, 1),
            ("one channel, two draws", 1, 2),
            ("one channel, many draws", 1, 12),
            ("two channels, one draw", 2, 1),
            ("two channels, two draws", 2, 2),
            ("two channels, four draws", 2, 4),
            ("three channels, one draw", 3, 1),
            ("three channels, three draws", 3, 3),
            ("three channels, many draws", 3, 12),
        ]
    ):
        rng = np.random.default_rng(seed)
        case = {
            "first": rng.normal(size=(channels, channels, 3)),
            "second": rng.normal(size=(channels, 3)),
            "draws": rng.normal(size=(draws, channels, 7)),
        }
        found.append((note, case))
    rising = {"first": np.ones((1, 1, 3)), "second": np.ones((1, 3))}
    slope = np.arange(7.0)[None, None]
    found.append(("weights of one, a rising input", {**rising, "draws": slope}))
    both = np.concatenate([slope, slope[..., ::-1]])
    found.append(("weights of one, rising and falling", {**rising, "draws": both}))
    return found


ORACLES = {
    "receptive_field_size": Oracle("torch.autograd in float64", _size_cases, receptive_field_size),
    "region": Oracle("torch.autograd in float64", _region_cases, region),
    "has_holes": Oracle("torch.autograd in float64", _holes_cases, has_holes),
    "effective_receptive_field": Oracle(
        "torch.autograd in float64", _effective_cases, effective_receptive_field
    ),
}
