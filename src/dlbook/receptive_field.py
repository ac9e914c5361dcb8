r"""What one cell of a convolutional net sees: size, place, holes, and how much of it counts.

Conventions
    *One axis*: height and width are independent, so every function takes one of them.
    *Layers* are tuples ``(kernel, stride=1, padding=0, dilation=1)``, from the input on; a
    :class:`Layer` is one. They count from 1; layer 0 is the input.
    *Cells* and pixels count from 0. The center of pixel i has the coordinate i.
    *Integers* are Python's or NumPy's; others are refused.

All but :func:`layers_of` and :func:`effective_receptive_field` need NumPy alone.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlbook import checks

if TYPE_CHECKING:
    from torch import nn

Indices = NDArray[np.int64]


class Layer(NamedTuple):
    """A convolution or pooling along one axis."""

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    @property
    def span(self) -> int:
        """The effective kernel: how many positions lie between its ends, both included."""
        return self.dilation * (self.kernel - 1) + 1


class Field(NamedTuple):
    """What the cells of one layer see, in pixels of the input.

    ``size`` is the length of a cell's receptive field, ``jump`` the distance between neighbors,
    ``start`` the center of cell 0.
    """

    size: int
    jump: int
    start: float


class Stage(NamedTuple):
    """A named part of a net: one layer, or the layers of one block."""

    name: str
    layers: tuple[Layer, ...]


#: A layer, or its first one to four numbers.
LayerLike = Layer | Sequence[int]


def receptive_field(layers: Iterable[LayerLike]) -> list[Field]:
    r"""Return size, jump and start for the input and for each layer.

    :math:`r_l = r_{l-1} + d_l(k_l - 1)\,j_{l-1}`, :math:`j_l = j_{l-1} s_l` and
    :math:`c_l = c_{l-1} + \bigl(\frac{k^e_l - 1}2 - p_l\bigr) j_{l-1}`, from
    :math:`r_0 = j_0 = 1` and :math:`c_0 = 0`.

    Parameters
    ----------
    layers : iterable of tuples
        From the input on. Without any, the input alone is left.

    Returns
    -------
    list of Field
        For layers 0 … L.

    Raises
    ------
    ValueError
        If a kernel, stride or dilation is below 1, a padding below 0, or a layer has not one to
        four numbers.
    TypeError
        If a layer is no sequence, or a number no integer.

    References
    ----------
    Araujo, Norris and Sim 2019, Distill, "single-path networks".
    """
    fields = [Field(1, 1, 0.0)]
    for layer in _checked(layers):
        size, jump, start = fields[-1]
        size += layer.dilation * (layer.kernel - 1) * jump
        start += ((layer.span - 1) / 2 - layer.padding) * jump
        fields.append(Field(size, jump * layer.stride, start))
    return fields


def receptive_field_backward(layers: Iterable[LayerLike]) -> tuple[int, list[int]]:
    r"""Return the final size, computed from the last layer down, and the way there.

    A window of :math:`r` neighbors needs :math:`s(r - 1) + k^e` cells below.

    Parameters
    ----------
    layers : iterable of tuples
        From the input on, as for :func:`receptive_field`.

    Returns
    -------
    size : int
        The receptive field of the last layer, in pixels.
    trace : list of int
        How many cells of layers L, L - 1, …, 0 one cell of layer L sees: it begins with 1 and
        ends with ``size``. Only the last is in pixels.

    Raises
    ------
    ValueError, TypeError
        As in :func:`receptive_field`.

    References
    ----------
    Araujo, Norris and Sim 2019, Distill, "single-path networks".
    """
    trace = [1]
    for layer in reversed(_checked(layers)):
        trace.append(layer.stride * (trace[-1] - 1) + layer.span)
    return trace[-1], trace


def cells(layers: Iterable[LayerLike], size: int) -> list[int]:
    r"""Return how many cells the input and each layer have, :math:`\lfloor(n+2p-k^e)/s\rfloor + 1`.

    Parameters
    ----------
    layers : iterable of tuples
        From the input on.
    size : int
        The length of the input, at least 1.

    Returns
    -------
    list of int
        For layers 0 … L.

    Raises
    ------
    ValueError
        If a kernel is longer than its padded input, or as in :func:`receptive_field`.
    TypeError
        As in :func:`receptive_field`.

    References
    ----------
    PyTorch, ``torch.nn.Conv1d``.
    """
    checked = _checked(layers)
    counts = [checks.count("size", size, least=1)]
    for number, layer in enumerate(checked, start=1):
        padded = counts[-1] + 2 * layer.padding
        if layer.span > padded:
            raise ValueError(f"layer {number}: its kernel spans {layer.span} positions, "
                             f"its padded input has {padded}")  # fmt: skip
        counts.append((padded - layer.span) // layer.stride + 1)
    return counts


def region(
    layers: Iterable[LayerLike], cell: int, size: int | None = None
) -> tuple[int, int] | None:
    r"""Return the first and last pixel that a cell of the last layer may see, both included.

    From the last layer down, :math:`u \leftarrow su - p` and
    :math:`v \leftarrow sv - p + k^e - 1`.

    Parameters
    ----------
    layers : iterable of tuples
        From the input on.
    cell : int
        Which cell, at least 0.
    size : int, optional
        The length of the input. With it, the interval is clipped to the cells that exist, at
        every layer: what lies in padding sees nothing.

    Returns
    -------
    (first, last) : tuple of int, or None
        Without ``size`` pixels may be negative, as if the input went on. With it, ``None`` means
        that the cell sees nothing but padding.

    Raises
    ------
    ValueError
        If the cell does not exist, a kernel is longer than its padded input, or as in
        :func:`receptive_field`.
    TypeError
        If a number is no integer.

    References
    ----------
    Araujo, Norris and Sim 2019, Distill, "start and end".
    """
    checked = _checked(layers)
    counts = None if size is None else cells(checked, size)
    first = last = _existing(cell, counts)
    for number in reversed(range(len(checked))):
        kernel, stride, padding, dilation = checked[number]
        first = stride * first - padding
        last = stride * last - padding + dilation * (kernel - 1)
        if counts is not None:
            first, last = max(first, 0), min(last, counts[number] - 1)
            if first > last:
                return None
    return first, last


def touched(layers: Iterable[LayerLike], cell: int, size: int | None = None) -> Indices:
    """Return exactly the pixels that can change a cell of the last layer.

    Parameters
    ----------
    layers : iterable of tuples
        From the input on.
    cell : int
        Which cell, at least 0.
    size : int, optional
        The length of the input; with it, whatever lies in padding is left out, at every layer.

    Returns
    -------
    array of int64, shape (n,)
        Rising. Dilation, and strides above the kernel, leave holes between them. Without
        ``size`` pixels may be negative, as if the input went on.

    Raises
    ------
    ValueError, TypeError
        As in :func:`region`.
    """
    checked = _checked(layers)
    counts = None if size is None else cells(checked, size)
    seen = np.array([_existing(cell, counts)], dtype=np.int64)
    for number in reversed(range(len(checked))):
        kernel, stride, padding, dilation = checked[number]
        taps = dilation * np.arange(kernel) - padding
        seen = np.unique(stride * seen[:, None] + taps)
        if counts is not None:
            seen = seen[(seen >= 0) & (seen < counts[number])]
    return seen


def has_holes(kernel: int, dilations: Iterable[int]) -> bool:
    """Tell whether a stack of dilated layers with stride 1 leaves pixels of its field unread.

    Sorted by dilation, k copies of a solid run of length r, set d apart, stay solid if and only
    if d <= r. The order of the layers plays no part, as the positions of their taps add up.

    Parameters
    ----------
    kernel : int
        The kernel of every layer, at least 1. With 1 there is a single pixel, and no hole.
    dilations : iterable of int
        One for each layer, at least 1. Without any there is no hole.

    Raises
    ------
    ValueError
        If the kernel or a dilation is below 1.
    TypeError
        If one is no integer.
    """
    kernel = checks.count("kernel", kernel, least=1)
    solid = 1
    for dilation in sorted(checks.count("dilation", value, least=1) for value in dilations):
        if kernel > 1 and dilation > solid:
            return True
        solid += dilation * (kernel - 1)
    return False


def effective_size(influence: ArrayLike, level: float = 0.0455) -> float:
    r"""Return the side of the square with as many pixels as lie above a share of the peak.

    Parameters
    ----------
    influence : array_like, shape (H, W)
        At least 0, and not 0 everywhere.
    level : float, default: 0.0455
        In [0, 1): the share of a Gaussian that lies outside two standard deviations.

    Returns
    -------
    float
        :math:`\sqrt{\#\{\text{pixels} > \text{level}\cdot\text{peak}\}}`.

    Raises
    ------
    ValueError
        If the map is not of two dimensions, is empty, holds a negative or infinite value or NaN,
        or is 0 everywhere, or the level lies outside [0, 1).
    TypeError
        If the dtype is not real.

    References
    ----------
    The book's own definition, after the rule of Luo et al. 2016, arXiv:1701.04128.
    """
    (level,) = checks.fractions(level=level)
    values = checks.finite("influence", influence, ndim=2)
    checks.demand("influence", values, values >= 0, ">= 0")
    if not values.any():
        raise ValueError("influence is 0 everywhere")
    return math.sqrt(np.count_nonzero(values > level * values.max()))


def network(name: str) -> list[Stage]:
    """Return the convolutions and poolings of a well-known net, up to its last feature map.

    Parameters
    ----------
    name : {"AlexNet", "VGG-16", "ResNet-18", "ResNet-50", "ResNet-50 v1.5", "MobileNetV1"}
        The residual path of the ResNets, as the shortcuts are shorter. "ResNet-50" is the
        published layout with the stride on the first 1x1 of a block; v1.5, which torchvision
        has, puts it on the 3x3.

    Returns
    -------
    list of Stage
        Single layers; the blocks of ResNet-50 and MobileNetV1 as a whole.

    Raises
    ------
    ValueError
        If the name is another.

    References
    ----------
    Krizhevsky, Sutskever and Hinton 2012; Simonyan and Zisserman 2015, arXiv:1409.1556; He et al.
    2016, arXiv:1512.03385; Howard et al. 2017, arXiv:1704.04861. torchvision, ``resnet50``.
    """
    try:
        return _NETWORKS[name]()
    except KeyError:
        raise ValueError(f"no network {name!r}; there are {', '.join(_NETWORKS)}") from None


def layers_of(model: nn.Sequential, axis: int = -1) -> list[Layer]:
    """Return the layers of a PyTorch model along one axis.

    Parameters
    ----------
    model : nn.Sequential
        Convolutions, max and average poolings, and what works on single positions: activations,
        dropout, batch norm in evaluation mode. May be nested.
    axis : int, default: -1
        Which entry of a kernel such as ``(3, 5)`` counts: the last is the width.

    Raises
    ------
    ValueError
        If a module sees every position, or is not known.
    TypeError
        If the model is no ``nn.Sequential``.
    """
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.modules.instancenorm import _InstanceNorm

    if not isinstance(model, nn.Sequential):
        raise TypeError(f"model must be an nn.Sequential, got {type(model).__name__}")
    convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    poolings = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d,
                nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)  # fmt: skip
    single = (nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU,
              nn.Hardswish, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Dropout)  # fmt: skip
    everything = (_BatchNorm, _InstanceNorm, nn.Linear, nn.Flatten, nn.GroupNorm, nn.LayerNorm,
                  nn.MultiheadAttention, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d,
                  nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d)  # fmt: skip
    layers: list[Layer] = []
    for module in model:
        name = type(module).__name__
        if isinstance(module, nn.Sequential):
            layers += layers_of(module, axis)
        elif isinstance(module, convolutions + poolings):
            layers.append(_layer_of(module, axis))
        elif isinstance(module, _BatchNorm) and not module.training:
            continue
        elif isinstance(module, everything):
            when = " in training mode" if isinstance(module, _BatchNorm) else ""
            raise ValueError(f"{name}{when} sees every position: the receptive field is the "
                             "whole input")  # fmt: skip
        elif not isinstance(module, single):
            raise ValueError(f"{name} is neither a convolution nor a pooling of known size")
    return layers


def effective_receptive_field(
    model: nn.Module, shape: Sequence[int], *, draws: int = 4, seed: int = 0
) -> NDArray[np.float64]:
    r"""Measure how strongly each pixel moves the central output cell.

    The gradient of a random mixture of the output channels at the center, its root mean square
    over input channels and draws. A single input can leave pixels at exactly 0, behind a maximum
    for example; the draws fill them in.

    Parameters
    ----------
    model : nn.Module
        Maps ``(1, C, H, W)`` to ``(1, C', H', W')``, in the mode in which it is: put a net with
        batch norm into evaluation mode first. Its parameters get no gradient.
    shape : (C, H, W)
        Of the inputs, which are standard normal; at least 1 each.
    draws : int, default: 4
        How many inputs, at least 1.
    seed : int, default: 0
        Of the inputs and mixtures; the global generator of torch is left alone.

    Returns
    -------
    array of float64, shape (H, W)
        With the peak 1.

    Raises
    ------
    ValueError
        If the shape has not three entries, one of them or ``draws`` is below 1, the output has
        another rank, or no gradient comes back in any draw.
    TypeError
        If a number is no integer.

    References
    ----------
    Luo et al. 2016, arXiv:1701.04128, section 2.
    """
    import torch

    draws = checks.count("draws", draws, least=1)
    if len(shape) != 3:
        raise ValueError(f"shape must be (C, H, W), got {tuple(shape)}")
    sides = [checks.count("shape", side, least=1) for side in shape]
    generator = torch.Generator().manual_seed(seed)
    weights = next(model.parameters(), torch.zeros(0))
    total = np.zeros(sides[1:])
    for _ in range(draws):
        pixels = torch.randn(1, *sides, generator=generator, dtype=weights.dtype)
        pixels.requires_grad_()
        with torch.enable_grad():
            output = model(pixels)
            if output.ndim != 4:
                raise ValueError(f"the model must return (1, C, H, W), got {tuple(output.shape)}")
            center = output[0, :, output.shape[2] // 2, output.shape[3] // 2]
            mixture = torch.randn(len(center), generator=generator, dtype=center.dtype)
            (gradient,) = torch.autograd.grad(center @ mixture, pixels)
        total += gradient[0].double().square().mean(dim=0).numpy()
    if not total.any():
        raise ValueError(f"the central cell did not depend on the input in any of {draws} draws")
    influence: NDArray[np.float64] = np.sqrt(total / total.max())
    return influence


def _checked(layers: Iterable[LayerLike]) -> list[Layer]:
    return [_layer(number, layer) for number, layer in enumerate(layers, start=1)]


def _layer(number: int, layer: LayerLike) -> Layer:
    if not isinstance(layer, Sequence | np.ndarray) or isinstance(layer, str):
        raise TypeError(f"layer {number}: {layer!r} is not a tuple (kernel, stride, padding, "
                        "dilation)")  # fmt: skip
    if not 1 <= len(layer) <= 4:
        raise ValueError(f"layer {number}: (kernel, stride, padding, dilation) are one to four "
                         f"numbers, got {len(layer)}")  # fmt: skip
    values = []
    for name, value in zip(Layer._fields, layer, strict=False):
        least = 0 if name == "padding" else 1
        try:
            integer = operator.index(value)
        except TypeError:
            raise TypeError(f"layer {number}: {name} {value!r} must be an integer") from None
        if integer < least:
            raise ValueError(f"layer {number}: {name} {_signed(integer)} must be at least {least}")
        values.append(integer)
    return Layer(*values)


def _existing(cell: int, counts: list[int] | None) -> int:
    try:
        index = operator.index(cell)
    except TypeError:
        raise TypeError(f"cell must be an integer, got {cell!r}") from None
    if index < 0:
        raise ValueError(f"cell {_signed(index)} does not exist")
    if counts is not None and index >= counts[-1]:
        raise ValueError(f"cell {index} does not exist: the last is {counts[-1] - 1}")
    return index


def _signed(number: int) -> str:
    return str(number).replace("-", "−")


def _layer_of(module: Any, axis: int) -> Layer:
    name = type(module).__name__
    if getattr(module, "padding_mode", "zeros") == "circular":
        raise ValueError(f"{name} with circular padding sees the other end of its input")
    kernel, stride, dilation = (
        _along(value, axis)
        for value in (module.kernel_size, module.stride, getattr(module, "dilation", 1))
    )
    padding = module.padding
    if padding == "valid":
        padding = 0
    if padding == "same":
        if dilation * (kernel - 1) % 2:
            raise ValueError(f"{name} with padding 'same' pads its two ends differently")
        padding = dilation * (kernel - 1) // 2
    return Layer(kernel, stride, _along(padding, axis), dilation)


def _along(value: Any, axis: int) -> int:
    return int(value[axis] if isinstance(value, tuple) else value)


def _alexnet() -> list[Stage]:
    pool = Layer(3, 2)
    layers = {
        "conv1": Layer(11, 4, 2), "pool1": pool, "conv2": Layer(5, 1, 2), "pool2": pool,
        "conv3": Layer(3, 1, 1), "conv4": Layer(3, 1, 1), "conv5": Layer(3, 1, 1), "pool5": pool,
    }  # fmt: skip
    return [Stage(name, (layer,)) for name, layer in layers.items()]


def _vgg16() -> list[Stage]:
    stages = []
    for group, convolutions in enumerate((2, 2, 3, 3, 3), start=1):
        names = [f"conv{group}_{n}" for n in range(1, convolutions + 1)]
        stages += [Stage(name, (Layer(3, 1, 1),)) for name in names]
        stages.append(Stage(f"pool{group}", (Layer(2, 2),)))
    return stages


_STEM = [Stage("conv1", (Layer(7, 2, 3),)), Stage("pool1", (Layer(3, 2, 1),))]


def _resnet18() -> list[Stage]:
    stages = list(_STEM)
    for group in range(2, 6):
        for n in range(1, 5):
            stride = 2 if group > 2 and n == 1 else 1
            stages.append(Stage(f"conv{group}_{n}", (Layer(3, stride, 1),)))
    return stages


def _resnet50(*, stride_on_3x3: bool) -> list[Stage]:
    stages = list(_STEM)
    for group, blocks in enumerate((3, 4, 6, 3), start=2):
        for n in range(1, blocks + 1):
            stride = 2 if group > 2 and n == 1 else 1
            first, second = (1, stride) if stride_on_3x3 else (stride, 1)
            block = (Layer(1, first), Layer(3, second, 1), Layer(1))
            stages.append(Stage(f"block{group}_{n}", block))
    return stages


def _mobilenet() -> list[Stage]:
    strides = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
    stages = [Stage("conv1", (Layer(3, 2, 1),))]
    for n, stride in enumerate(strides, start=1):
        stages.append(Stage(f"block{n}", (Layer(3, stride, 1), Layer(1))))
    return stages


_NETWORKS = {
    "AlexNet": _alexnet,
    "VGG-16": _vgg16,
    "ResNet-18": _resnet18,
    "ResNet-50": lambda: _resnet50(stride_on_3x3=False),
    "ResNet-50 v1.5": lambda: _resnet50(stride_on_3x3=True),
    "MobileNetV1": _mobilenet,
}
