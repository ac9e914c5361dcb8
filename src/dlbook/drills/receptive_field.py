"""The drills of chapter 5: the size of a receptive field, its place, holes, and what counts in it.

Each drill is its reference, its typical wrong solutions, and its record. The names with a leading
underscore are wrong on purpose, or make cases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlbook.drills import compare, shrink, storage
from dlbook.drills.record import Drill, FollowUp, Function, Inputs

Array = NDArray[np.floating[Any]]
Indices = NDArray[np.integer[Any]]

#: (kernel, stride, dilation)
Triple = tuple[int, int, int]
#: (kernel, stride, padding, dilation)
Quadruple = tuple[int, int, int, int]


def _tuples(rows: Indices) -> list[Any]:
    return [tuple(row) for row in rows.tolist()]


def _finite_first(inputs: Inputs, expected: Any, got: Any) -> str | None:
    """Judge like ``compare.difference``, but name NaN before the kind of number."""
    if compare.has_nan(got):
        return "it returned NaN"
    if isinstance(got, float) and math.isinf(got):
        return "it returned an infinite value"
    return compare.difference(inputs, expected, got)


def _lowered(inputs: Inputs, name: str, least: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield the inputs with one layer less, and with one number of a layer lowered."""
    rows: Indices = inputs[name]
    yield from (dict(smaller) for smaller in shrink.dropped(inputs, **{name: 0}))
    for index in np.ndindex(rows.shape):
        for value in range(least[index[1]], int(rows[index])):
            changed = rows.copy()
            changed[index] = value
            yield dict(inputs) | {name: changed}


# --- receptive_field_size ---


def receptive_field_size(layers: Sequence[Triple]) -> int:
    """Return how many input positions one output position of a stack spans.

    Parameters
    ----------
    layers : sequence of (kernel, stride, dilation)
        From the input on; may be empty.

    Returns
    -------
    int
        The size of the receptive field.
    """
    size, jump = 1, 1
    for kernel, stride, dilation in layers:
        size += dilation * (kernel - 1) * jump
        jump *= stride
    return size


def _own_stride(layers: Sequence[Triple]) -> int:
    jumps = np.cumprod([stride for _, stride, _ in layers])
    reach = [dilation * (kernel - 1) for kernel, _, dilation in layers]
    return 1 + int(sum(reach * jumps))


def _no_stride(layers: Sequence[Triple]) -> int:
    return receptive_field_size([(kernel, 1, dilation) for kernel, _, dilation in layers])


def _from_zero(layers: Sequence[Triple]) -> int:
    return receptive_field_size(layers) - 1


def _no_dilation(layers: Sequence[Triple]) -> int:
    return receptive_field_size([(kernel, stride, 1) for kernel, stride, _ in layers])


def _dilated_kernel(layers: Sequence[Triple]) -> int:
    return receptive_field_size([(k * d, stride, 1) for k, stride, d in layers])


def _backward_used_forward(layers: Sequence[Triple]) -> int:
    size = 1
    for kernel, stride, dilation in layers:
        size = stride * (size - 1) + dilation * (kernel - 1) + 1
    return size


def _call_with_layers(function: Function, inputs: Inputs) -> Any:
    return function(_tuples(inputs["layers"]))


def _draw_layers(rng: np.random.Generator) -> Inputs:
    depth = int(rng.integers(1, 6))
    columns = [
        rng.integers(1, 6, size=depth),
        rng.choice([1, 1, 2, 3], size=depth),
        rng.choice([1, 1, 2, 4], size=depth),
    ]
    return {"layers": np.stack(columns, axis=1)}


def _smaller_layers(inputs: Inputs) -> Iterator[Inputs]:
    yield from _lowered(inputs, "layers", (1, 1, 1))


RECEPTIVE_FIELD_SIZE = Drill(
    name="receptive_field_size",
    chapter="receptive_field",
    level="screening",
    task=(
        "Return the size of the receptive field of a stack of layers, in pixels. `layers` is a "
        "list of tuples `(kernel, stride, dilation)`, from the input on. Note the order: there "
        "is no padding in it."
    ),
    signature="receptive_field_size(layers) -> int",
    hints=(
        "Carry two numbers from layer to layer: the size so far, and how many pixels lie between "
        "neighboring cells.",
        "A layer adds its reach, `dilation * (kernel - 1)`, times the distance of its *inputs*. "
        "Its own stride matters only from the next layer on.",
        "Start with `size = jump = 1`; then `size += dilation * (kernel - 1) * jump`, and after "
        "that `jump *= stride`.",
    ),
    reference=receptive_field_size,
    wrong={
        "pool5 of VGG-16: 243, expected 212. Did you multiply by the stride before adding?": (
            _own_stride
        ),
        "pool5 of VGG-16: 32, expected 212: no stride was used": _no_stride,
        "a stack of no layers sees 1 pixel: pool5 of VGG-16 is 212, not 211": _from_zero,
        "(3, 1, 1), (3, 1, 2), (3, 1, 4) see 15, not 7: dilation is missing": _no_dilation,
        "one 3-tap layer with dilation 2 reaches 5, not 6: it is dilation * (kernel - 1) + 1": (
            _dilated_kernel
        ),
        "(3, 2, 1), (3, 1, 1) see 7, not 5: that recursion runs from the last layer to the first": (
            _backward_used_forward
        ),
    },
    draw=_draw_layers,
    smaller=_smaller_layers,
    cases=storage.path("receptive_field_size"),
    follow_up=FollowUp(
        "How do you check it without trusting your formula?",
        "With autograd: all weights 1, so that nothing cancels; the gradient of one output in the "
        "middle is nonzero on exactly the pixels that it sees.",
    ),
    call=_call_with_layers,
    setting="each row of layers is a tuple (kernel, stride, dilation) of a list",
    check=_finite_first,
)


# --- region ---


def region(layers: Sequence[Quadruple], cell: int, size: int) -> Indices:
    """Return the first and the last pixel that a cell of the last layer may see.

    Parameters
    ----------
    layers : sequence of (kernel, stride, padding, dilation)
        From the input on.
    cell : int
        Of the last layer, from 0.
    size : int
        The number of pixels.

    Returns
    -------
    array of int, shape (2,)
        Both included, clipped to the image.
    """
    first = last = cell
    for kernel, stride, padding, dilation in reversed(layers):
        first = stride * first - padding
        last = stride * last - padding + dilation * (kernel - 1)
    return np.array([max(first, 0), min(last, size - 1)])


def _unclipped(layers: Sequence[Quadruple], cell: int) -> Indices:
    first = last = cell
    for kernel, stride, padding, dilation in layers[::-1]:
        first, last = stride * first, stride * last
        first, last = first - padding, last - padding + dilation * (kernel - 1)
    return np.array([first, last])


def _without_padding(layers: Sequence[Quadruple]) -> list[Quadruple]:
    return [(kernel, stride, 0, dilation) for kernel, stride, _, dilation in layers]


def _not_clipped(layers: Sequence[Quadruple], cell: int, size: int) -> Indices:
    return _unclipped(layers, cell)


def _padding_once(layers: Sequence[Quadruple], cell: int, size: int) -> Indices:
    return (_unclipped(_without_padding(layers), cell) - layers[0][2]).clip(0, size - 1)


def _padding_unscaled(layers: Sequence[Quadruple], cell: int, size: int) -> Indices:
    total = sum(padding for _, _, padding, _ in layers)
    return (_unclipped(_without_padding(layers), cell) - total).clip(0, size - 1)


def _padding_forgotten(layers: Sequence[Quadruple], cell: int, size: int) -> Indices:
    return _unclipped(_without_padding(layers), cell).clip(0, size - 1)


def _reach_dilated(layers: Sequence[Quadruple], cell: int, size: int) -> Indices:
    longer = [(k * d, stride, padding, 1) for k, stride, padding, d in layers]
    return _unclipped(longer, cell).clip(0, size - 1)


def _from_the_first(layers: Sequence[Quadruple], cell: int, size: int) -> Indices:
    return _unclipped(layers[::-1], cell).clip(0, size - 1)


def _call_with_cell(function: Function, inputs: Inputs) -> Any:
    return function(_tuples(inputs["layers"]), inputs["cell"], inputs["size"])


def _fair(inputs: Inputs) -> bool:
    """Tell whether no pixel is left over and no cell lies in padding alone.

    Then it makes no difference whether one clips at the end or at every layer.
    """
    count = inputs["size"]
    for kernel, stride, padding, dilation in _tuples(inputs["layers"]):
        span = dilation * (kernel - 1) + 1
        left = count + 2 * padding - span
        if padding >= span or left < 0 or left % stride:
            return False
        count = left // stride + 1
    return bool(0 <= inputs["cell"] < count)


def _draw_region(rng: np.random.Generator) -> Inputs:
    while True:
        depth = int(rng.integers(1, 5))
        columns = [
            rng.integers(1, 6, size=depth),
            rng.choice([1, 2, 3], size=depth),
            rng.integers(0, 4, size=depth),
            rng.choice([1, 1, 2, 3], size=depth),
        ]
        inputs = {
            "layers": np.stack(columns, axis=1),
            "cell": int(rng.integers(0, 8)),
            "size": int(rng.integers(1, 60)),
        }
        if _fair(inputs):
            return inputs


def _smaller_region(inputs: Inputs) -> Iterator[Inputs]:
    candidates = list(_lowered(inputs, "layers", (1, 1, 0, 1)))
    for name, least in (("cell", 0), ("size", 1)):
        candidates += [dict(inputs) | {name: value} for value in range(least, inputs[name])]
    yield from filter(_fair, candidates)


REGION = Drill(
    name="region",
    chapter="receptive_field",
    level="core",
    task=(
        "Return the first and the last pixel that a cell may see, both included, as an integer "
        "array of two. `layers` is a list of tuples `(kernel, stride, padding, dilation)` from "
        "the input on, `cell` an index in the last layer, and `size` the length of the input. "
        "Clip the interval to the image. Layers leave no pixel over, and no cell sees padding "
        "alone."
    ),
    signature="region(layers, cell, size) -> array (2,)",
    hints=(
        "Go from the last layer to the first: which cells of its input does an interval of a "
        "layer's cells read?",
        "Cell `i` of a layer begins reading at `stride * i - padding`, and ends "
        "`dilation * (kernel - 1)` further on.",
        "Do that to the first and to the last index of the interval, layer by layer, and clip to "
        "`0 … size - 1` at the end.",
    ),
    reference=region,
    wrong={
        "an image has no pixel below 0 and none from size on: clip the interval": _not_clipped,
        "two padded 3-tap layers, cell 0: its field begins at −2 and ends at 2, not −1 and 3. "
        "Subtract the padding of every layer": _padding_once,
        "padding counts in cells of its own layer's input: behind a stride of 2 it moves the "
        "field by 2 pixels": _padding_unscaled,
        "one padded 3-tap layer: cell 0 sees pixels 0 … 1, not 0 … 2: padding moves the field": (
            _padding_forgotten
        ),
        "one 3-tap layer with dilation 2 reaches 5, not 6: the last tap is dilation * (kernel - 1) "
        "after the first": _reach_dilated,
        "that goes through the layers from the first on: begin with the last": _from_the_first,
    },
    draw=_draw_region,
    smaller=_smaller_region,
    cases=storage.path("region"),
    follow_up=FollowUp(
        "Where is the center of cell 0, and when is it on pixel 0?",
        "At the sum of `(span - 1) / 2 - padding` over all layers, each times the jump of its "
        "input. It is 0 if every kernel has an odd span and is padded by half of it.",
    ),
    call=_call_with_cell,
    setting="each row of layers is a tuple (kernel, stride, padding, dilation) of a list",
    check=_finite_first,
)


# --- has_holes ---


def has_holes(kernel: int, dilations: Sequence[int]) -> bool:
    """Tell whether a stack of dilated layers leaves pixels inside its field unread.

    Parameters
    ----------
    kernel : int
        Of every layer, at least 2.
    dilations : sequence of int
        One for each layer; all strides are 1.

    Returns
    -------
    bool
        Whether there is a hole.
    """
    solid = 1
    for dilation in sorted(dilations):
        if dilation > solid:
            return True
        solid += dilation * (kernel - 1)
    return False


def _common_factor(kernel: int, dilations: Sequence[int]) -> bool:
    return math.gcd(*dilations) > 1


def _paper_test(kernel: int, dilations: Sequence[int]) -> bool:
    largest = dilations[-1]
    for rate in dilations[-2:0:-1]:
        largest = max(largest - 2 * rate, largest - 2 * (largest - rate), rate)
    return largest > (kernel if len(dilations) > 1 else 1)


def _in_given_order(kernel: int, dilations: Sequence[int]) -> bool:
    before = 1 + (kernel - 1) * np.concatenate([[0], np.cumsum(dilations)[:-1]])
    return bool(np.any(np.array(dilations) > before))


def _last_one_alone(kernel: int, dilations: Sequence[int]) -> bool:
    rates = np.sort(dilations)
    before = np.concatenate([[1], (kernel - 1) * rates[:-1] + 1])
    return bool((rates > before).any())


def _never_above_kernel(kernel: int, dilations: Sequence[int]) -> bool:
    return max(dilations) > kernel


def _call_with_dilations(function: Function, inputs: Inputs) -> Any:
    return function(inputs["kernel"], list(inputs["dilations"]))


def _check_holes(inputs: Inputs, expected: bool, got: Any) -> str | None:
    if compare.has_nan(got) or (isinstance(got, float) and math.isinf(got)):
        return "it returned NaN or an infinite value"
    if isinstance(got, np.ndarray) and got.shape:
        return f"it returned shape {got.shape}, not a boolean"
    if not isinstance(got, bool | np.bool_):
        return f"it returned {compare.described(got)}, not a boolean"
    return None if bool(got) == expected else f"it returned {bool(got)}, not {expected}"


def _same_verdict(inputs: Inputs, one: Any, other: Any) -> bool:
    verdicts = isinstance(one, bool | np.bool_) and isinstance(other, bool | np.bool_)
    return verdicts and bool(one) == bool(other)


def _draw_dilations(rng: np.random.Generator) -> Inputs:
    depth = int(rng.integers(1, 5))
    rates = [1, 1, 2, 3, 4, 5, 6, 9]
    return {
        "kernel": int(rng.choice([2, 3, 3, 3, 5])),
        "dilations": tuple(int(rate) for rate in rng.choice(rates, size=depth)),
    }


def _smaller_dilations(inputs: Inputs) -> Iterator[Inputs]:
    rates = inputs["dilations"]
    if len(rates) > 1:
        for k in range(len(rates)):
            yield dict(inputs) | {"dilations": rates[:k] + rates[k + 1 :]}
    for k, rate in enumerate(rates):
        for less in range(1, rate):
            yield dict(inputs) | {"dilations": (*rates[:k], less, *rates[k + 1 :])}
    for kernel in range(2, inputs["kernel"]):
        yield dict(inputs) | {"kernel": kernel}


HAS_HOLES = Drill(
    name="has_holes",
    chapter="receptive_field",
    level="core",
    task=(
        "A stack of layers with the same `kernel` (at least 2) and stride 1; `dilations` is a "
        "list with one entry for each layer. Return whether some pixel between the ends of the "
        "receptive field is never read."
    ),
    signature="has_holes(kernel, dilations) -> bool",
    hints=(
        "Does the order of the layers change which pixels are read?",
        "It does not: the positions of the taps add up. So sort the dilations, and suppose that "
        "those so far read a solid run.",
        "`kernel` copies of a solid run of length `solid`, set `d` apart, are solid if "
        "`d <= solid`. The run is then `d * (kernel - 1)` longer.",
    ),
    reference=has_holes,
    wrong={
        "(1, 4, 4) with kernel 3 has holes, though its greatest common divisor is 1": (
            _common_factor
        ),
        "kernel 3: (2, 3, 4) passes that test and has holes; (1, 3, 2) fails it and has none": (
            _paper_test
        ),
        "(3, 1) reads the same pixels as (1, 3): the order plays no part, so sort first": (
            _in_given_order
        ),
        "kernel 3: (1, 2, 6) has no holes: compare a dilation with the field of all smaller ones "
        "together, not with the last one's": _last_one_alone,
        "kernel 3: (2, 2) has holes and (1, 3, 9) none: it is not enough to compare with the "
        "kernel": _never_above_kernel,
    },
    draw=_draw_dilations,
    smaller=_smaller_dilations,
    cases=storage.path("has_holes"),
    follow_up=FollowUp(
        "Which dilations give the largest field without holes, for kernel 3 and three layers?",
        "1, 3, 9: each is exactly the field of the smaller ones, and every pixel of the 27 is read "
        "once.",
    ),
    call=_call_with_dilations,
    setting="dilations is a list",
    check=_check_holes,
    agree=_same_verdict,
)


# --- effective_receptive_field ---


def effective_receptive_field(gradient: Callable[[Array], Array], draws: Array) -> Array:
    """Return how strongly each position moves the central output, with the peak 1.

    Parameters
    ----------
    gradient : callable
        The gradient of the central output at an input; ``(C, W)`` to ``(C, W)``.
    draws : array of float64, shape (N, C, W)
        Inputs.

    Returns
    -------
    array of float64, shape (W,)
        The root mean square over draws and channels.
    """
    squares = [gradient(x) ** 2 for x in draws]
    influence = np.sqrt(np.mean(squares, axis=(0, 1)))
    return np.asarray(influence / influence.max())


def _peak_one(values: Any) -> Array:
    return np.asarray(values / np.max(values))


def _one_input(gradient: Callable[[Array], Array], draws: Array) -> Array:
    return effective_receptive_field(gradient, draws[:1])


def _channels_cancel(gradient: Callable[[Array], Array], draws: Array) -> Array:
    sums = np.array([gradient(x).sum(axis=0) for x in draws])
    return _peak_one(np.sqrt((sums**2).mean(axis=0)))


def _draws_cancel(gradient: Callable[[Array], Array], draws: Array) -> Array:
    total = sum(gradient(x) for x in draws)
    return _peak_one(np.sqrt((np.asarray(total) ** 2).mean(axis=0)))


def _signed_mean(gradient: Callable[[Array], Array], draws: Array) -> Array:
    total = np.mean([gradient(x) for x in draws], axis=(0, 1))
    return _peak_one(np.abs(total))


def _magnitudes(gradient: Callable[[Array], Array], draws: Array) -> Array:
    return _peak_one(np.mean([np.abs(gradient(x)) for x in draws], axis=(0, 1)))


def _peak_left(gradient: Callable[[Array], Array], draws: Array) -> Array:
    return np.asarray(np.sqrt(np.mean([gradient(x) ** 2 for x in draws], axis=(0, 1))))


def _root_forgotten(gradient: Callable[[Array], Array], draws: Array) -> Array:
    return _peak_one(np.mean([gradient(x) ** 2 for x in draws], axis=(0, 1)))


def _net_gradient(first: Array, second: Array, x: Array) -> Array:
    """Differentiate the central output of convolution, maximum of three, and convolution.

    Parameters
    ----------
    first : array, shape (C, C, 3)
    second : array, shape (C, 3)
    x : array, shape (C, 7)
    """
    hidden = np.stack([np.tensordot(first, x[:, i : i + 3], 2) for i in range(5)], axis=1)
    gradient = np.zeros_like(x)
    for channel, row in enumerate(second):
        for place, weight in enumerate(row):
            winner = place + int(np.argmax(hidden[channel, place : place + 3]))
            gradient[:, winner : winner + 3] += weight * first[channel]
    return gradient


def _call_with_gradient(function: Function, inputs: Inputs) -> Any:
    gradient = partial(_net_gradient, inputs["first"], inputs["second"])
    return function(gradient, inputs["draws"])


def _missing(inputs: Inputs, got: Any) -> Mapping[str, str]:
    gradient = partial(_net_gradient, inputs["first"], inputs["second"])
    one = np.count_nonzero(_one_input(gradient, inputs["draws"]))
    full = np.count_nonzero(effective_receptive_field(gradient, inputs["draws"]))
    return {"one": str(one), "all": str(full)}


def _draw_net(rng: np.random.Generator) -> Inputs:
    channels = int(rng.integers(1, 4))
    return {
        "first": rng.normal(size=(channels, channels, 3)),
        "second": rng.normal(size=(channels, 3)),
        "draws": rng.normal(size=(int(rng.integers(1, 7)), channels, 7)),
    }


def _smaller_net(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, draws=0)
    for name in ("first", "second"):
        plain = shrink.rounded(inputs[name])
        if not np.array_equal(plain, inputs[name]):
            yield dict(inputs) | {name: plain}


EFFECTIVE_RECEPTIVE_FIELD = Drill(
    name="effective_receptive_field",
    chapter="receptive_field",
    level="senior",
    task=(
        "Measure how strongly each of 7 positions moves the central output of a small net with a "
        "max-pooling in it. `draws` `(N, C, 7)` holds N inputs; `gradient(x)` is the gradient of "
        "the central output at one of them, of the shape `(C, 7)` of `x`. Return the root mean "
        "square over draws and channels, divided by its largest value, as an array of shape "
        "`(7,)`."
    ),
    signature="effective_receptive_field(gradient, draws) -> array (W,)",
    hints=(
        "Gradients have signs. What must happen to them before anything is averaged?",
        "Square the gradient of every draw, then average over draws *and* channels. A maximum "
        "passes its gradient on to one position, another one in each draw.",
        "`np.sqrt(np.mean([gradient(x) ** 2 for x in draws], axis=(0, 1)))`, then divide by the "
        "peak. In PyTorch, `gradient` is `torch.autograd.grad(model(x)[..., center].sum(), x)`.",
    ),
    reference=effective_receptive_field,
    wrong={
        "the first draw reached {one} of {all} positions: a maximum passes the gradient to one "
        "input. Average over all draws": _one_input,
        "channels cancel: square before you sum over them": _channels_cancel,
        "gradients of different draws were added up before squaring: they cancel": _draws_cancel,
        "signed gradients were averaged over draws and channels: they cancel": _signed_mean,
        "that averages magnitudes; the root mean square is asked for": _magnitudes,
        "the peak is not 1: divide by the largest value": _peak_left,
        "that is the mean square: take the root": _root_forgotten,
    },
    draw=_draw_net,
    smaller=_smaller_net,
    cases=storage.path("effective_receptive_field"),
    follow_up=FollowUp(
        "Why is the map bell-shaped?",
        "The influence of a stack is the repeated convolution of its kernels' influences, so the "
        "central limit theorem makes it Gaussian; its width grows only like the root of the depth.",
    ),
    call=_call_with_gradient,
    setting=(
        "gradient(x) belongs to conv(first), max-pooling (3, stride 1), conv(second), without "
        "padding"
    ),
    facts=_missing,
)

DRILLS = (RECEPTIVE_FIELD_SIZE, REGION, HAS_HOLES, EFFECTIVE_RECEPTIVE_FIELD)
