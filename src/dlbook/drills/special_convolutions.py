"""The drills of chapter 9: what separable layers cost, stamps, overlaps, and reading beside.

Each drill is its reference, its typical wrong solutions, and its record. The names with a leading
underscore are wrong on purpose, or make cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlbook.drills import parts, shrink, storage
from dlbook.drills.record import Drill, FollowUp, Function, Inputs

Array = NDArray[np.floating[Any]]
Counts = tuple[int, int]
Overlap = tuple[NDArray[np.int64], bool]

COST = ("params", "macs")
OVERLAP = ("counts", "even")


def _call(function: Function, inputs: Inputs) -> Any:
    """Call a function with numbers, which nobody can write into."""
    return function(*inputs.values())


def _between(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high + 1))


def _whole(rng: np.random.Generator, *shape: int) -> Array:
    """Draw whole numbers from -3 to 3: sums of their products have no rounding."""
    return rng.integers(-3, 4, size=shape).astype(float)


def _lower(inputs: Inputs) -> Iterator[Inputs]:
    """Yield the inputs with one number lowered: to 1, then by one."""
    for name, value in inputs.items():
        for less in dict.fromkeys((1, value - 1)):
            if 1 <= less < value:
                yield dict(inputs) | {name: less}


# --- separable_cost ---


def separable_cost(c_in: int, c_out: int, k: int, h: int, w: int) -> Counts:
    """Count the weights and multiply-adds of a depthwise separable layer without biases.

    Parameters
    ----------
    c_in, c_out : int
        Channels in and out.
    k : int
        Side of the depthwise kernels.
    h, w : int
        Height and width of the output.

    Returns
    -------
    params, macs : int
    """
    params = c_in * k * k + c_in * c_out
    return params, params * h * w


def _times(params: int, h: int, w: int) -> Counts:
    return params, params * h * w


def _no_pointwise(c_in: int, c_out: int, k: int, h: int, w: int) -> Counts:
    return _times(c_in * k * k, h, w)


def _full_depthwise(c_in: int, c_out: int, k: int, h: int, w: int) -> Counts:
    return _times(c_in * c_out * k * k + c_in * c_out, h, w)


def _filter_for_each_output(c_in: int, c_out: int, k: int, h: int, w: int) -> Counts:
    return _times(c_out * k * k + c_in * c_out, h, w)


def _ratio_inverted(c_in: int, c_out: int, k: int, h: int, w: int) -> Counts:
    standard = c_in * c_out * k * k
    return _times(standard * c_out * k * k // (c_out + k * k), h, w)


def _flops(c_in: int, c_out: int, k: int, h: int, w: int) -> Counts:
    params, macs = separable_cost(c_in, c_out, k, h, w)
    return params, 2 * macs


def _cost_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    c_in, c_out, k = inputs["c_in"], inputs["c_out"], inputs["k"]
    return {
        "got": f"{int(got[0]):,}",
        "due": f"{separable_cost(**inputs)[0]:,}",
        "standard": f"{c_in * c_out * k * k:,}",
        "mixing": f"{c_in * c_out:,}",
        "c_in": str(c_in),
        "c_out": str(c_out),
    }


def _check_cost(inputs: Inputs, expected: Any, got: Any) -> str | None:
    return parts.difference(COST, inputs, expected, got)


def _same_parts(inputs: Inputs, one: Any, other: Any) -> bool:
    return parts.same(one, other)


def _display_cost(inputs: Inputs, expected: Any, got: Any) -> tuple[str, str]:
    return parts.display(COST, expected, got)


def _draw_cost(rng: np.random.Generator) -> Inputs:
    c_in, c_out = (_between(rng, 1, 64) for _ in range(2))
    return {
        "c_in": c_in,
        "c_out": c_out,
        "k": int(rng.choice([1, 3, 5, 7], p=[0.1, 0.5, 0.2, 0.2])),
        "h": _between(rng, 1, 14),
        "w": _between(rng, 1, 14),
    }


SEPARABLE_COST = Drill(
    name="separable_cost",
    chapter="special_convolutions",
    level="screening",
    task=(
        "Count the weights and the multiply-adds of a depthwise separable layer without biases: "
        "`c_in` channels in, `c_out` out, depthwise kernels of `k` by `k`, an output of `h` by "
        "`w`. The depthwise half keeps the number of channels, and both halves have the size of "
        "the output. Return two integers, `(params, macs)`, for one image."
    ),
    signature="separable_cost(c_in, c_out, k, h, w) -> (params, macs)",
    hints=(
        "How many filters has the depthwise half, and how many numbers each?",
        "`c_in` filters of `k * k`. The other half is an ordinary 1×1 convolution.",
        "Each weight is used once for each place of the output.",
    ),
    reference=separable_cost,
    wrong={
        "{got}, expected {due}: the pointwise half has {mixing} weights of its own": _no_pointwise,
        "{got}, more than the {standard} of the standard layer: a depthwise filter sees one "
        "channel, so there are no k²·C_in·C_out": _full_depthwise,
        "there are {c_in} depthwise filters, one for each input channel, not "
        "{c_out}": _filter_for_each_output,
        "{got} is more than the standard {standard}: its ratio 1/C_out + 1/k² multiplies, it does "
        "not divide": _ratio_inverted,
        "these are FLOPs: a MAC is a multiplication together with its addition": _flops,
    },
    draw=_draw_cost,
    smaller=_lower,
    cases=storage.path("separable_cost"),
    follow_up=FollowUp(
        "What is the ratio to a standard layer?",
        "1/C_out + 1/k², for weights and for MACs alike. The number of input channels cancels.",
    ),
    call=_call,
    check=_check_cost,
    agree=_same_parts,
    facts=_cost_facts,
    display=_display_cost,
)


# --- transposed_conv1d ---


def transposed_conv1d(signal: Array, kernel: Array, stride: int, padding: int) -> Array:
    """Stamp the kernel once for each value of a signal, and crop the padding.

    Parameters
    ----------
    signal : array of float64, shape (n,)
    kernel : array of float64, shape (k,)
    stride : int
        At least 1.
    padding : int
        What is cropped from each end.

    Returns
    -------
    array of float64, shape ((n - 1)·stride - 2·padding + k,)
    """
    n, k = len(signal), len(kernel)
    out = np.zeros((n - 1) * stride + k)
    for i in range(n):
        out[i * stride : i * stride + k] += signal[i] * kernel
    return out[padding : len(out) - padding]


def _flipped(signal: Array, kernel: Array, stride: int, padding: int) -> Array:
    return transposed_conv1d(signal, kernel[::-1], stride, padding)


def _padded(signal: Array, kernel: Array, stride: int, padding: int) -> Array:
    return np.pad(transposed_conv1d(signal, kernel, stride, 0), padding)


def _stuffed_behind(signal: Array, kernel: Array, stride: int, padding: int) -> Array:
    stuffed = np.zeros(len(signal) * stride)
    stuffed[::stride] = signal
    return transposed_conv1d(stuffed, kernel, 1, padding)


def _overwritten(signal: Array, kernel: Array, stride: int, padding: int) -> Array:
    k = len(kernel)
    out = np.zeros((len(signal) - 1) * stride + k)
    for i, value in enumerate(signal):
        out[i * stride : i * stride + k] = value * kernel
    return out[padding : len(out) - padding]


def _cropped_at_one_end(signal: Array, kernel: Array, stride: int, padding: int) -> Array:
    return transposed_conv1d(signal, kernel, stride, 0)[2 * padding :]


def _stamp_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    n, k = len(inputs["signal"]), len(inputs["kernel"])
    stride, padding = inputs["stride"], inputs["padding"]
    return {
        "size": str(len(got)),
        "due": str((n - 1) * stride - 2 * padding + k),
        "back": " ".join(f"{value:g}" for value in inputs["kernel"][::-1]),
        "kernel": " ".join(f"{value:g}" for value in inputs["kernel"]),
    }


def _has_output(inputs: Inputs) -> bool:
    n, k = len(inputs["signal"]), len(inputs["kernel"])
    return bool((n - 1) * inputs["stride"] - 2 * inputs["padding"] + k >= 1)


def _draw_stamps(rng: np.random.Generator) -> Inputs:
    while True:
        inputs = {
            "signal": _whole(rng, _between(rng, 1, 5)),
            "kernel": _whole(rng, _between(rng, 1, 4)),
            "stride": _between(rng, 1, 3),
            "padding": _between(rng, 0, 2),
        }
        if _has_output(inputs):
            return inputs


def _smaller_stamps(inputs: Inputs) -> Iterator[Inputs]:
    yield from filter(_has_output, shrink.dropped(inputs, signal=0))
    yield from filter(_has_output, shrink.dropped(inputs, kernel=0))
    for name, least in (("stride", 1), ("padding", 0)):
        for value in range(least, inputs[name]):
            if _has_output(less := dict(inputs) | {name: value}):
                yield less
    yield from shrink.plainer(inputs, "signal", 0.0, 1.0)
    yield from shrink.plainer(inputs, "kernel", 0.0, 1.0)


TRANSPOSED_CONV1D = Drill(
    name="transposed_conv1d",
    chapter="special_convolutions",
    level="core",
    task=(
        "Write PyTorch's `conv_transpose1d` for one channel: `signal` has shape `(n,)`, "
        "`kernel` `(k,)`; `stride` and `padding` are integers, without output padding or "
        "dilation. Return an array of shape `((n - 1) * stride - 2 * padding + k,)`, which has at "
        "least one value."
    ),
    signature="transposed_conv1d(signal, kernel, stride, padding) -> array",
    hints=(
        "What does a single 1 become? And two of them, `stride` apart?",
        "Add `signal[i] * kernel` to the output from `i * stride` on: stamps overlap and add.",
        "The padding is taken away: `out[padding : len(out) - padding]`, also when it is 0.",
    ),
    reference=transposed_conv1d,
    wrong={
        "the kernel is flipped: an impulse has to come back as {kernel}, not as {back}": _flipped,
        "size {size}, expected {due}: padding is cropped here, not added": _padded,
        "size {size}, expected {due}: zeros go between the values, not behind the "
        "last": _stuffed_behind,
        "a stamp wipes out the one before: where stamps overlap, they add": _overwritten,
        "all of the padding is cropped in front: it goes from both ends": _cropped_at_one_end,
    },
    draw=_draw_stamps,
    smaller=_smaller_stamps,
    cases=storage.path("transposed_conv1d"),
    follow_up=FollowUp(
        "What is its gradient with respect to the signal?",
        "The ordinary convolution of the incoming gradient, with the same kernel, stride and "
        "padding: the matrix transposed once more.",
    ),
    facts=_stamp_facts,
)


# --- overlap_counts ---


def overlap_counts(size: int, kernel: int, stride: int) -> Overlap:
    """Count the stamps that reach each place, and tell whether they are even.

    Parameters
    ----------
    size, kernel, stride : int
        At least 1; one axis, without padding.

    Returns
    -------
    counts : array of int, shape ((size - 1)·stride + kernel,)
    even : bool
        Whether all places far from both ends get equally many.
    """
    counts = np.zeros((size - 1) * stride + kernel, dtype=int)
    for i in range(size):
        counts[i * stride : i * stride + kernel] += 1
    return counts, kernel % stride == 0


def _covering(size: int, kernel: int, stride: int) -> Overlap:
    return overlap_counts(size, kernel, stride)[0], kernel >= stride


def _ends_judged(size: int, kernel: int, stride: int) -> Overlap:
    counts = overlap_counts(size, kernel, stride)[0]
    return counts, bool(counts.min() == counts.max())


def _swapped(size: int, kernel: int, stride: int) -> Overlap:
    return overlap_counts(size, stride, kernel)


def _scaled_size(size: int, kernel: int, stride: int) -> Overlap:
    counts, even = overlap_counts(size, kernel, stride)
    longer = np.zeros(size * stride, dtype=int)
    length = min(len(longer), len(counts))
    longer[:length] = counts[:length]
    return longer, even


def _split_overlap(expected: Any) -> tuple[Any, bool]:
    """Return the parts of a right answer; a stored one is a single array."""
    if isinstance(expected, np.ndarray):
        return expected[:-1], bool(expected[-1])
    return tuple(expected)


def _check_overlap(inputs: Inputs, expected: Any, got: Any) -> str | None:
    counts, even = _split_overlap(expected)
    if isinstance(got, tuple | list) and len(got) == 2 and isinstance(got[1], bool | np.bool_):
        got = got[0], int(got[1])  # numbers have a difference
    return parts.difference(OVERLAP, inputs, (counts, int(even)), got)


def _display_overlap(inputs: Inputs, expected: Any, got: Any) -> tuple[str, str]:
    return parts.display(OVERLAP, _split_overlap(expected), got)


def _overlap_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    kernel, stride = inputs["kernel"], inputs["stride"]
    least, most = kernel // stride, -(-kernel // stride)
    return {
        "setting": f"k {kernel}, s {stride}",
        "found": f"{least}" if least == most else f"{least} and {most}",
        "length": str(len(got[0])),
        "due": str((inputs["size"] - 1) * stride + kernel),
    }


def _draw_overlap(rng: np.random.Generator) -> Inputs:
    return {
        "size": _between(rng, 1, 7),
        "kernel": _between(rng, 1, 7),
        "stride": _between(rng, 1, 4),
    }


OVERLAP_COUNTS = Drill(
    name="overlap_counts",
    chapter="special_convolutions",
    level="core",
    task=(
        "A transposed convolution on one axis, without padding, stamps a kernel of `kernel` cells "
        "once for each of `size` inputs, `stride` cells apart. Return `(counts, even)`: an array "
        "of integers with the number of stamps on each place of the output, and whether all "
        "places *far from both ends* get equally many, which does not depend on `size`."
    ),
    signature="overlap_counts(size, kernel, stride) -> (counts, even)",
    hints=(
        "How long is the output if one stamp is `kernel` long and the last begins at "
        "`(size - 1) * stride`?",
        "Add 1 to `counts[i * stride : i * stride + kernel]` for each input.",
        "In the middle the place `j` is reached by the taps `j % stride`, `j % stride + stride`, "
        "… of the kernel. When are these equally many for all `j`?",
    ),
    reference=overlap_counts,
    wrong={
        "{setting}: {found} in the middle; k ≥ s leaves no holes, and evenness asks that s "
        "divides k": _covering,
        "{setting}: {found} in the middle; the ends get fewer stamps and do not "
        "count": _ends_judged,
        "kernel and stride are swapped: length {length}, expected {due}": _swapped,
        "length {length}, expected {due}: the last stamp begins at (size − 1)·stride": _scaled_size,
    },
    draw=_draw_overlap,
    smaller=_lower,
    cases=storage.path("overlap_counts"),
    follow_up=FollowUp(
        "Does an even count mean that there is no checkerboard?",
        "No. For a constant input to give a constant output, the sums of the weights in each "
        "residue class modulo the stride have to be equal, on each axis.",
    ),
    call=_call,
    check=_check_overlap,
    agree=_same_parts,
    facts=_overlap_facts,
    display=_display_overlap,
)


# --- bilinear_sample ---


def bilinear_sample(image: Array, y: Array, x: Array) -> Array:
    """Read an image between its pixels; pixels outside are 0.

    Parameters
    ----------
    image : array of float64, shape (H, W)
    y, x : array of float64, shape (P,)
        Rows and columns, in pixels.

    Returns
    -------
    array of float64, shape (P,)
    """
    height, width = image.shape
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    down, right = y - top, x - left
    result = np.zeros(len(y))
    for row, vertical in ((top, 1 - down), (top + 1, down)):
        for column, horizontal in ((left, 1 - right), (left + 1, right)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            pixel = image[row.clip(0, height - 1), column.clip(0, width - 1)]
            result += vertical * horizontal * np.where(inside, pixel, 0)
    return result


def _clamped(image: Array, y: Array, x: Array) -> Array:
    height, width = image.shape
    return bilinear_sample(image, y.clip(0, height - 1), x.clip(0, width - 1))


def _truncated(image: Array, y: Array, x: Array) -> Array:
    """Take ``int()`` for the floor: it rounds towards zero."""
    height, width = image.shape
    top, left = np.trunc(y).astype(int), np.trunc(x).astype(int)
    result = np.zeros(len(y))
    for a, e in np.ndindex(2, 2):
        row, column = top + a, left + e
        weight = (y - top if a else 1 - y + top) * (x - left if e else 1 - x + left)
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        pixel = image[row.clip(0, height - 1), column.clip(0, width - 1)]
        result += weight * np.where(inside, pixel, 0)
    return result


def _x_first(image: Array, y: Array, x: Array) -> Array:
    return bilinear_sample(image, x, y)


def _nearest(image: Array, y: Array, x: Array) -> Array:
    return bilinear_sample(image, np.floor(y + 0.5), np.floor(x + 0.5))


def _weights_reversed(image: Array, y: Array, x: Array) -> Array:
    top, left = np.floor(y), np.floor(x)
    return bilinear_sample(image, 2 * top + 1 - y, 2 * left + 1 - x)


def _places(rng: np.random.Generator, count: int, side: int) -> Array:
    return rng.integers(-6, 4 * side + 5, size=count) / 4.0


def _draw_sample(rng: np.random.Generator) -> Inputs:
    height, width, count = (_between(rng, 1, 4) for _ in range(3))
    return {
        "image": _whole(rng, height, width),
        "y": _places(rng, count, height),
        "x": _places(rng, count, width),
    }


def _smaller_sample(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, y=0, x=0)
    yield from shrink.dropped(inputs, image=0)
    yield from shrink.dropped(inputs, image=1)
    yield from shrink.plainer(inputs, "image", 1.0, 0.0)
    for name in ("y", "x"):
        yield from shrink.plainer(inputs, name, 0.0, -0.5, 0.5, 1.0)


BILINEAR_SAMPLE = Drill(
    name="bilinear_sample",
    chapter="special_convolutions",
    level="core",
    task=(
        "Read an image between its pixels, as a deformable convolution does. `image` has shape "
        "`(H, W)`; `y` and `x` have shape `(P,)` and are rows and columns in pixels, with 0 in "
        "the middle of the first. Interpolate bilinearly between the four neighbors; each "
        "neighbor *outside* the image counts as 0, whether or not the others are inside. Return "
        "an array of shape `(P,)`."
    ),
    signature="bilinear_sample(image, y, x) -> array (P,)",
    hints=(
        "The four neighbors of `(y, x)` begin at its floor. What is the floor of −0.5?",
        "Their weights are products: `1 - down` or `down` times `1 - right` or `right`, with "
        "`down = y - floor(y)`.",
        "Judge each neighbor by itself: its index clipped, and its pixel replaced by 0 if the "
        "index was outside.",
    ),
    reference=bilinear_sample,
    wrong={
        "positions are clamped to the border: on ones, half a pixel outside has to give 0.5, "
        "not 1": _clamped,
        "int() rounds towards zero: the floor of −0.5 is −1, so that pixel 0 gets half the "
        "weight": _truncated,
        "x and y are swapped: y counts rows, and comes first": _x_first,
        "that is the nearest neighbor: weigh four of them": _nearest,
        "the weights are the wrong way round: the nearer neighbor gets the larger "
        "one": _weights_reversed,
    },
    draw=_draw_sample,
    smaller=_smaller_sample,
    cases=storage.path("bilinear_sample"),
    follow_up=FollowUp(
        "What is its derivative with respect to x?",
        "The difference of the right and the left neighbors, weighed by the row: constant between "
        "two columns, with a jump where x is a whole number.",
    ),
)


# --- deformable_conv2d ---


def deformable_conv2d(
    images: Array, offsets: Array, kernels: Array, padding: int, dilation: int
) -> Array:
    """Convolve with stride 1 and taps that read beside their places, as the offsets say.

    Parameters
    ----------
    images : array of float64, shape (N, C, H, W)
    offsets : array of float64, shape (N, 2·k_h·k_w, H_out, W_out)
        For each tap, row by row: down, then right.
    kernels : array of float64, shape (C_out, C, k_h, k_w)
    padding, dilation : int

    Returns
    -------
    array of float64, shape (N, C_out, H_out, W_out)
    """
    (n, channels), (c_out, _, k_h, k_w) = images.shape[:2], kernels.shape
    h_out, w_out = offsets.shape[2:]
    rows, columns = np.mgrid[:h_out, :w_out]
    out = np.zeros((n, c_out, h_out, w_out))
    for image in range(n):
        for a in range(k_h):
            for b in range(k_w):
                tap = 2 * (a * k_w + b)
                y = rows - padding + a * dilation + offsets[image, tap]
                x = columns - padding + b * dilation + offsets[image, tap + 1]
                for c in range(channels):
                    read = bilinear_sample(images[image, c], y.ravel(), x.ravel())
                    out[image] += kernels[:, c, a, b, None, None] * read.reshape(h_out, w_out)
    return out


def _right_first(
    images: Array, offsets: Array, kernels: Array, padding: int, dilation: int
) -> Array:
    swapped = np.empty_like(offsets)
    swapped[:, ::2], swapped[:, 1::2] = offsets[:, 1::2], offsets[:, ::2]
    return deformable_conv2d(images, swapped, kernels, padding, dilation)


def _shared(images: Array, offsets: Array, kernels: Array, padding: int, dilation: int) -> Array:
    first = np.broadcast_to(offsets[:, :, :1, :1], offsets.shape)
    return deformable_conv2d(images, first, kernels, padding, dilation)


def _not_dilated(
    images: Array, offsets: Array, kernels: Array, padding: int, dilation: int
) -> Array:
    return deformable_conv2d(images, offsets, kernels, padding, 1)


def _all_down_first(
    images: Array, offsets: Array, kernels: Array, padding: int, dilation: int
) -> Array:
    half = offsets.shape[1] // 2
    woven = np.stack([offsets[:, :half], offsets[:, half:]], axis=2).reshape(offsets.shape)
    return deformable_conv2d(images, woven, kernels, padding, dilation)


def _rounded(images: Array, offsets: Array, kernels: Array, padding: int, dilation: int) -> Array:
    return deformable_conv2d(images, np.floor(offsets + 0.5), kernels, padding, dilation)


def _draw_deformable(rng: np.random.Generator) -> Inputs:
    n, channels, c_out = (_between(rng, 1, 2) for _ in range(3))
    k_h, k_w, dilation = _between(rng, 1, 3), _between(rng, 1, 3), _between(rng, 1, 2)
    padding = _between(rng, 0, 1)
    spans = [dilation * (k - 1) + 1 - 2 * padding for k in (k_h, k_w)]
    sides = [max(span, 1) + _between(rng, 0, 1) for span in spans]
    out = [side - span + 1 for side, span in zip(sides, spans, strict=True)]
    steps = rng.integers(-6, 7, size=(n, 2 * k_h * k_w, *out)) / 4.0
    return {
        "images": _whole(rng, n, channels, *sides),
        "offsets": steps,
        "kernels": _whole(rng, c_out, channels, k_h, k_w),
        "padding": padding,
        "dilation": dilation,
    }


def _smaller_deformable(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, images=0, offsets=0)
    yield from shrink.dropped(inputs, kernels=0)
    yield from shrink.dropped(inputs, images=1, kernels=1)
    images, offsets = inputs["images"], inputs["offsets"]
    for axis in (2, 3):
        if min(images.shape[axis], offsets.shape[axis]) > 1:
            less = {name: np.delete(inputs[name], -1, axis) for name in ("images", "offsets")}
            yield dict(inputs) | less
    yield from shrink.plainer(inputs, "images", 0.0, 1.0)
    yield from shrink.plainer(inputs, "kernels", 0.0, 1.0)
    for channel in range(offsets.shape[1]):
        if offsets[:, channel].any():
            still = offsets.copy()
            still[:, channel] = 0
            yield dict(inputs) | {"offsets": still}


DEFORMABLE_CONV2D = Drill(
    name="deformable_conv2d",
    chapter="special_convolutions",
    level="senior",
    task=(
        "Write a deformable convolution (version 1, stride 1, one offset group) with "
        "torchvision's layout. `images` has shape `(N, C, H, W)`, `kernels` `(C_out, C, k_h, "
        "k_w)`, `offsets` `(N, 2 * k_h * k_w, H_out, W_out)`: for each tap, row by row, first how "
        "far down, then how far right, in pixels. Read bilinearly; pixels outside are 0. "
        "`padding` and `dilation` hold for both axes. Return an array of shape "
        "`(N, C_out, H_out, W_out)`."
    ),
    signature=(
        "deformable_conv2d(images, offsets, kernels, padding, dilation) -> "
        "array (N, C_out, H_out, W_out)"
    ),
    hints=(
        "Where does tap `(a, b)` of output `(i, j)` read without offsets? Add its two offsets.",
        "`y = i - padding + a * dilation + offsets[n, 2 * (a * k_w + b), i, j]`, and `x` with "
        "the channel after it.",
        "Sample every channel there, as in the drill before; multiply by `kernels[:, c, a, b]` "
        "and sum over `c`, `a` and `b`.",
    ),
    reference=deformable_conv2d,
    wrong={
        "a step of 1 down moved the picture sideways: the first offset of a tap is the vertical "
        "one": _right_first,
        "all places use the offsets of the first: each output cell has its own": _shared,
        "the dilation is ignored: tap a begins at a · dilation": _not_dilated,
        "the offsets come tap by tap, down and right in turn, not all vertical ones "
        "first": _all_down_first,
        "offsets are rounded to whole pixels: read between them": _rounded,
    },
    draw=_draw_deformable,
    smaller=_smaller_deformable,
    cases=storage.path("deformable_conv2d"),
    follow_up=FollowUp(
        "Where do the offsets come from?",
        "From an ordinary convolution on the same input, started at zero, so that training "
        "begins with the plain layer. They are predicted for each place, not stored as weights.",
    ),
)


DRILLS = (SEPARABLE_COST, TRANSPOSED_CONV1D, OVERLAP_COUNTS, BILINEAR_SAMPLE, DEFORMABLE_CONV2D)
