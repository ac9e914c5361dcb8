"""The drills of chapter 6: four formulas of sizes, in integers.

Each drill is its reference, its typical wrong solutions, and its record. The names with a leading
underscore are wrong on purpose, or make cases.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from dlbook.drills import compare, storage
from dlbook.drills.record import Drill, FollowUp, Function, Inputs

Pair = tuple[int, int]

#: Stands for the answer to a setting that has to be refused: no size is negative.
NO_SIZE = -1


class _Refusal:
    """What a call is worth that raised ``ValueError``."""

    def __repr__(self) -> str:
        return "a ValueError"


_REFUSED = _Refusal()


# --- what the four share ---


def _call(function: Function, inputs: Inputs) -> Any:
    """Call a function; a refusal is an answer like others."""
    try:
        return function(*inputs.values())
    except ValueError:
        return _REFUSED


def _check(inputs: Inputs, expected: Any, got: Any) -> str | None:
    if isinstance(expected, tuple):
        return _check_pair(expected, got)
    if expected == NO_SIZE:
        if got is _REFUSED:
            return None
        return f"it returned {compare.described(got)}, not a refusal: it has to raise ValueError"
    if got is _REFUSED:
        return "it raised ValueError, and the setting is possible"
    if isinstance(got, float) and not math.isfinite(got):
        return f"it returned {'NaN' if math.isnan(got) else 'an infinite value'}"
    return compare.difference(inputs, expected, got)


def _check_pair(expected: Pair, got: Any) -> str | None:
    if got is _REFUSED:
        return "it raised ValueError, and the setting is possible"
    if not isinstance(got, tuple | list | np.ndarray):
        return f"it returned {compare.described(got)}, not a pair"
    if len(got) != 2:
        return f"it returned {len(got)} values, not two"
    found = [_check({}, right, value) for right, value in zip(expected, got, strict=True)]
    names = [f"{name}: {reason}" for name, reason in zip(("left", "right"), found, strict=True)
             if reason]  # fmt: skip
    return "; ".join(names) or None


def _agree(inputs: Inputs, one: Any, other: Any) -> bool:
    """Tell whether two answers are the same: both refusals, numbers, or pairs."""
    if one is _REFUSED or other is _REFUSED:
        return one is other
    if isinstance(other, tuple):
        return isinstance(one, tuple | list | np.ndarray) and compare.same(
            np.array(one), np.array(other)
        )
    return compare.same(one, other)


def _display(inputs: Inputs, expected: Any, got: Any) -> tuple[str, str]:
    right = repr(_REFUSED) if expected == NO_SIZE else compare.text(expected)
    return right, compare.text(got)


def _answer(reference: Function, inputs: Inputs) -> Any:
    found = _call(reference, inputs)
    return NO_SIZE if found is _REFUSED else found


def _smaller(inputs: Inputs) -> Iterator[Inputs]:
    """Yield the inputs with one number lowered: to its least value, then by one."""
    for name, value in inputs.items():
        least = 0 if name in ("padding", "ceil_mode") else 1
        for lower in dict.fromkeys((type(value)(least), type(value)(value - 1))):
            if least <= lower < value:
                yield dict(inputs) | {name: lower}


def _possible(inputs: Inputs) -> bool:
    span = inputs.get("dilation", 1) * (inputs["kernel"] - 1) + 1
    return bool(span <= inputs["size"] + 2 * inputs["padding"])


def _between(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high + 1))


# --- output_size ---


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Return the output size of a convolution on one axis.

    Parameters
    ----------
    size, kernel, stride, padding, dilation : int
        Valid one by one.

    Returns
    -------
    int
        How many windows fit.

    Raises
    ------
    ValueError
        If not even one fits.
    """
    span = dilation * (kernel - 1) + 1
    room = size + 2 * padding - span
    if room < 0:
        raise ValueError(f"kernel of {span} in a padded input of {size + 2 * padding}")
    return room // stride + 1


def _room(size: int, kernel: int, padding: int, dilation: int) -> int:
    """Return how far the window can move, after refusing one that does not fit."""
    output_size(size, kernel, 1, padding, dilation)
    return size + 2 * padding - dilation * (kernel - 1) - 1


def _true_division(size: int, kernel: int, stride: int, padding: int, dilation: int) -> float:
    return _room(size, kernel, padding, dilation) / stride + 1


def _rounded(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return round(_room(size, kernel, padding, dilation) / stride) + 1


def _rounded_up(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return -(-_room(size, kernel, padding, dilation) // stride) + 1


def _product_span(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return output_size(size, dilation * kernel, stride, padding, 1)


def _never_refused(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _padded_once(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return output_size(size + padding, kernel, stride, 0, dilation)


def _padded_twice(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return output_size(size + 2 * padding, kernel, stride, padding, dilation)


def _one_too_few(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return output_size(size, kernel, stride, padding, dilation) - 1


def _size_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    kernel, dilation = inputs["kernel"], inputs["dilation"]
    return {
        "setting": f"size {inputs['size']}, kernel {kernel}, stride {inputs['stride']}",
        "got": compare.text(got),
        "kernel": str(kernel),
        "dilation": str(dilation),
        "span": str(dilation * (kernel - 1) + 1),
        "product": str(dilation * kernel),
        "padding": str(inputs["padding"]),
    }


def _draw_size(rng: np.random.Generator) -> Inputs:
    return {
        "size": _between(rng, 1, 12),
        "kernel": _between(rng, 1, 5),
        "stride": _between(rng, 1, 3),
        "padding": _between(rng, 0, 3),
        "dilation": _between(rng, 1, 3),
    }


OUTPUT_SIZE = Drill(
    name="output_size",
    chapter="output_size",
    level="screening",
    task=(
        "Return the output size of a convolution on one axis, as `torch.nn.Conv1d` makes it. "
        "`padding` zeros stand on each side, and the taps of the kernel are `dilation` pixels "
        "apart. All arguments are integers, each valid by itself. Raise `ValueError` if the "
        "kernel does not fit into the padded input."
    ),
    signature="output_size(size, kernel, stride, padding, dilation) -> int",
    hints=(
        "How many pixels does the kernel span, from its first tap to its last?",
        "The first window starts at the left end of the padded row. How far can it still move, "
        "and how many steps of `stride` are in that?",
        "With `span = dilation * (kernel - 1) + 1` the window can move by "
        "`size + 2 * padding - span`. If that is below 0, raise.",
    ),
    reference=output_size,
    wrong={
        "{setting}: got {got}. A size is a whole number: divide with //": _true_division,
        "{setting}: got {got}. Rounding to the nearest counts a window that does not fit": _rounded,
        "{setting}: got {got}. Rounding up counts a window that hangs over the end: that is "
        "ceil_mode, which only pooling has": _rounded_up,
        "dilation {dilation}, kernel {kernel} spans {span}, not {product}": _product_span,
        "expected ValueError, got {got}: a kernel of {span} does not fit": _never_refused,
        "padding {padding} stands on both sides: it counts twice": _padded_once,
        "2 padding is added to a size that is padded already": _padded_twice,
        "one too few: the window counts before its first step, too": _one_too_few,
    },
    draw=_draw_size,
    smaller=_smaller,
    cases=storage.path("output_size"),
    follow_up=FollowUp(
        "Which real pixels does no window read?",
        "At the end the remainder of the division, less the padding there. And those between two "
        "windows or two taps, if the stride is larger than the kernel's span, or the kernel is "
        "dilated and the windows do not fill its gaps.",
    ),
    call=_call,
    answer=partial(_answer, output_size),
    check=_check,
    agree=_agree,
    facts=_size_facts,
    display=_display,
)


# --- pool_output_size ---


def pool_output_size(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    """Return the output size of pooling on one axis.

    Parameters
    ----------
    size, kernel, stride, padding : int
        Valid, with at least one window.
    ceil_mode : bool
        Whether the last window may hang over the end.

    Returns
    -------
    int
        The number of windows.
    """
    room = size + 2 * padding - kernel
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    if (count - 1) * stride >= size + padding:
        count -= 1
    return count


def _with_rule(
    size: int, kernel: int, stride: int, padding: int, ceil_mode: bool, limit: int
) -> int:
    """Round up, and drop a last window that starts at a limit or beyond."""
    room = size + 2 * padding - kernel
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - ((count - 1) * stride >= limit)


def _plain_ceil(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    return _with_rule(size, kernel, stride, padding, ceil_mode, 10**9)


def _strict(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    return _with_rule(size, kernel, stride, padding, ceil_mode, size + padding + 1)


def _unpadded_rule(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    return _with_rule(size, kernel, stride, padding, ceil_mode, size)


def _rule_with_both(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    return _with_rule(size, kernel, stride, padding, ceil_mode, size + 2 * padding)


def _always_floor(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    return (size + 2 * padding - kernel) // stride + 1


def _always_ceil(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    return pool_output_size(size, kernel, stride, padding, True)


def _pool_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    named = ", ".join(f"{name} {inputs[name]}" for name in ("size", "kernel", "stride", "padding"))
    return {
        "setting": named,
        "got": compare.text(got),
        "right": str(pool_output_size(**inputs)),
        "edge": str(inputs["size"] + inputs["padding"]),
    }


def _draw_pool(rng: np.random.Generator) -> Inputs:
    while True:
        kernel = _between(rng, 1, 5)
        inputs = {
            "size": _between(rng, 1, 12),
            "kernel": kernel,
            "stride": _between(rng, 1, 4),
            "padding": _between(rng, 0, kernel // 2),
            "ceil_mode": bool(rng.random() < 0.8),
        }
        if _pools(inputs):
            return inputs


def _pools(inputs: Inputs) -> bool:
    """Tell whether PyTorch takes a setting."""
    return inputs["padding"] <= inputs["kernel"] // 2 and pool_output_size(**inputs) >= 1


def _smaller_pool(inputs: Inputs) -> Iterator[Inputs]:
    return filter(_pools, _smaller(inputs))


POOL_OUTPUT_SIZE = Drill(
    name="pool_output_size",
    chapter="output_size",
    level="core",
    task=(
        "Return the output size of pooling on one axis, as `torch.nn.MaxPool1d` makes it, with "
        "`ceil_mode` or without. The setting is one that PyTorch takes: the padding is at most "
        "half of the window, and at least one window is left."
    ),
    signature="pool_output_size(size, kernel, stride, padding, ceil_mode) -> int",
    hints=(
        "Without `ceil_mode` it is the formula of the convolution. With it the last window may "
        "hang over the end. Without any limit?",
        "Count with the quotient rounded up. Then look where the last window starts: a window "
        "that starts in the padding on the right would see no real pixel.",
        "On the padded row window `i` starts at `i * stride`, and the padding on the right "
        "begins at `size + padding`.",
    ),
    reference=pool_output_size,
    wrong={
        "{setting}: got {got}, torch gives {right}; where does the last window start?": _plain_ceil,
        "a window that starts at {edge}, the first zero on the right, is dropped too: "
        "compare with >=": _strict,
        "starts are counted on the padded row: the padding on the right begins at size + "
        "padding": _unpadded_rule,
        "the padding on the right begins at size + padding, not at size + 2 "
        "padding": _rule_with_both,
        "that is the floor: with ceil_mode a window may hang over the end": _always_floor,
        "that is ceil_mode, which is off here: round down": _always_ceil,
    },
    draw=_draw_pool,
    smaller=_smaller_pool,
    cases=storage.path("pool_output_size"),
    follow_up=FollowUp(
        "By what does average pooling divide in a window that hangs over the end?",
        "By the number of its elements inside the padded row. The zeros of the padding count, "
        "unless `count_include_pad=False`; what hangs over the padded row never does. So the "
        "last average of 1 to 6 with window 3 and stride 2 is 11 / 2.",
    ),
    call=_call,
    check=_check,
    agree=_agree,
    facts=_pool_facts,
    display=_display,
)


# --- same_padding ---


def same_padding(kernel: int, dilation: int) -> Pair:
    """Return the zeros that keep the size of a convolution with stride 1.

    Parameters
    ----------
    kernel, dilation : int
        At least 1.

    Returns
    -------
    left, right : int
        The odd one is on the right.
    """
    total = dilation * (kernel - 1)
    left = total // 2
    return left, total - left


def _half_kernel(kernel: int, dilation: int) -> Pair:
    return kernel // 2, kernel // 2


def _half_span(kernel: int, dilation: int) -> Pair:
    half = (dilation * (kernel - 1) + 1) // 2
    return half, half


def _one_short(kernel: int, dilation: int) -> Pair:
    half = dilation * (kernel - 1) // 2
    return half, half


def _front(kernel: int, dilation: int) -> Pair:
    left, right = same_padding(kernel, dilation)
    return right, left


def _undilated(kernel: int, dilation: int) -> Pair:
    return same_padding(kernel, 1)


def _product_padding(kernel: int, dilation: int) -> Pair:
    return same_padding(dilation * kernel, 1)


def _same_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    kernel, dilation = inputs["kernel"], inputs["dilation"]
    span = dilation * (kernel - 1) + 1
    zeros = sum(got) if isinstance(got, tuple | list) and len(got) == 2 else 0
    return {
        "kernel": str(kernel),
        "dilation": str(dilation),
        "span": str(span),
        "product": str(dilation * kernel),
        "sizes": f"{span + 5} into {span + 5 + zeros - span + 1}",
    }


def _draw_same(rng: np.random.Generator) -> Inputs:
    return {"kernel": _between(rng, 1, 9), "dilation": _between(rng, 1, 4)}


SAME_PADDING = Drill(
    name="same_padding",
    chapter="output_size",
    level="core",
    task=(
        'Return how many zeros `padding="same"` of `torch.nn.Conv1d` adds on the left and on the '
        "right, as a pair. With them the output of stride 1 is as long as the input."
    ),
    signature="same_padding(kernel, dilation) -> (left, right)",
    hints=(
        "How much shorter than its input is the output without padding?",
        "By the span of the kernel less one, and the span is `dilation * (kernel - 1) + 1`. Now "
        "share it among two sides. When does that leave a rest?",
        "The left gets the half, rounded down, and the right gets what is left.",
    ),
    reference=same_padding,
    wrong={
        "kernel // 2 on both sides is for odd kernels without dilation: kernel {kernel}, dilation "
        "{dilation} makes {sizes}": _half_kernel,
        "half the span on both sides: a span of {span} makes {sizes}": _half_span,
        "one zero is missing: a span of {span} makes {sizes}": _one_short,
        "the extra zero stands at the end, not in front": _front,
        "dilation {dilation}: the kernel spans {span} pixels, not {kernel}": _undilated,
        "kernel {kernel}, dilation {dilation} spans {span}, not {product}": _product_padding,
    },
    draw=_draw_same,
    smaller=_smaller,
    cases=storage.path("same_padding"),
    follow_up=FollowUp(
        "And with stride 2?",
        "PyTorch refuses it. TensorFlow keeps `ceil(n / 2)` outputs and adds what they need, so "
        "the zeros depend on the size: kernel 3 on 224 pixels gets none in front and one at the "
        "end. `padding=1` gives as many outputs, one pixel further left.",
    ),
    call=_call,
    check=_check,
    agree=_agree,
    facts=_same_facts,
    display=_display,
)


# --- output_padding_for ---


def output_padding_for(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Return the output padding with which a transposed convolution restores a size.

    Parameters
    ----------
    size, kernel, stride, padding, dilation : int
        A convolution that is possible.

    Returns
    -------
    int
        The remainder that its floor cut off.
    """
    span = dilation * (kernel - 1) + 1
    return (size + 2 * padding - span) % stride


def _largest(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return stride - 1


def _of_the_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return size % stride


def _without_padding(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return output_padding_for(size, kernel, stride, 0, dilation)


def _padding_once(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return output_padding_for(size + padding, kernel, stride, 0, dilation)


def _without_dilation(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return output_padding_for(size, kernel, stride, padding, 1)


def _what_is_missing(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return -output_padding_for(size, kernel, stride, padding, dilation) % stride


def _padding_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    right = output_padding_for(**inputs)
    named = ", ".join(f"{name} {value}" for name, value in inputs.items() if name != "dilation")
    back = inputs["size"] - right + got if isinstance(got, int) else "another size"
    return {"setting": named, "back": str(back), "padding": str(inputs["padding"])}


def _draw_padding(rng: np.random.Generator) -> Inputs:
    while True:
        inputs = {
            "size": _between(rng, 1, 32),
            "kernel": _between(rng, 1, 5),
            "stride": _between(rng, 1, 4),
            "padding": _between(rng, 0, 3),
            "dilation": _between(rng, 1, 3),
        }
        if _possible(inputs):
            return inputs


def _smaller_padding(inputs: Inputs) -> Iterator[Inputs]:
    return filter(_possible, _smaller(inputs))


OUTPUT_PADDING_FOR = Drill(
    name="output_padding_for",
    chapter="output_size",
    level="senior",
    task=(
        "A convolution shrinks `size`. Return the `output_padding` with which a "
        "`torch.nn.ConvTranspose1d` of the same kernel, stride, padding and dilation brings its "
        "output back to exactly `size`. The convolution is possible."
    ),
    signature="output_padding_for(size, kernel, stride, padding, dilation) -> int",
    hints=(
        "Several sizes give one output size. How many, and which of them comes back without "
        "`output_padding`?",
        "The shortest: the one for which the division in the formula of the convolution leaves "
        "no remainder.",
        "Every pixel beyond it raises the remainder of "
        "`size + 2 * padding - (dilation * (kernel - 1) + 1)` by `stride` by one.",
    ),
    reference=output_padding_for,
    wrong={
        "{setting} returns to {back}: the largest is right for one size in stride": _largest,
        "that is the remainder of the size: the floor divides size + 2 padding less the "
        "span": _of_the_size,
        "padding {padding} is forgotten: 2 padding counts in the remainder": _without_padding,
        "padding {padding} stands on both sides: it counts twice in the remainder": _padding_once,
        "dilation is forgotten: the kernel spans dilation * (kernel - 1) + 1": _without_dilation,
        "{setting} returns to {back}: that is what lacks to the next output, not what the floor "
        "cut off": _what_is_missing,
    },
    draw=_draw_padding,
    smaller=_smaller_padding,
    cases=storage.path("output_padding_for"),
    follow_up=FollowUp(
        "Does it add zeros to the output?",
        "No. It makes the output longer at its end, and what the kernel reaches there is a sum "
        "like any other. Only positions that no tap reaches stay zero, as with kernel 1 and "
        "stride 3.",
    ),
    call=_call,
    check=_check,
    agree=_agree,
    facts=_padding_facts,
    display=_display,
)

DRILLS = (OUTPUT_SIZE, POOL_OUTPUT_SIZE, SAME_PADDING, OUTPUT_PADDING_FOR)
