"""The functions of chapter 6 against PyTorch, window by window, and what they refuse."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dlbook.output_size import (
    output_padding_for,
    output_size,
    pool_output_size,
    same_padding,
    same_padding_tf,
    transposed_output_size,
    unread,
)

explore = settings(deadline=None, derandomize=True, max_examples=150)
sizes = st.integers(1, 40)
kernels = st.integers(1, 7)
strides = st.integers(1, 6)
paddings = st.integers(0, 6)
dilations = st.integers(1, 4)


def answer(function: Any, *args: Any, **options: Any) -> Any:
    """Return a size, or ``None`` where it is refused."""
    try:
        return function(*args, **options)
    except ValueError:
        return None


def size_of(layer: Callable[[], torch.Tensor], *refusals: str) -> int | None:
    """Return the last size of an answer of torch, or ``None`` if it refuses in these words."""
    try:
        return layer().shape[-1]
    except RuntimeError as error:
        if any(words in str(error) for words in refusals):
            return None
        raise


def torch_conv(n: int, k: int, s: int = 1, p: int = 0, d: int = 1) -> int | None:
    x, w = torch.zeros(1, 1, n), torch.zeros(1, 1, k)
    return size_of(lambda: F.conv1d(x, w, None, s, p, d), "Kernel size can't be greater than")


def torch_transposed(n: int, k: int, s: int, p: int, po: int, d: int) -> int | None:
    x, w = torch.zeros(1, 1, n), torch.zeros(1, 1, k)
    return size_of(
        lambda: F.conv_transpose1d(x, w, None, s, p, po, 1, d),
        "output padding must be smaller", "Output size is too small",
    )  # fmt: skip


def torch_pool(n: int, k: int, s: int, p: int, d: int, ceil: bool) -> int | None:
    x = torch.zeros(1, 1, 1, n)
    return size_of(
        lambda: F.max_pool2d(x, (1, k), (1, s), (0, p), (1, d), ceil),
        "Output size is too small", "half of kernel size", "half of effective kernel size",
    )  # fmt: skip


# --- convolution ---


def test_every_setting_of_a_small_grid_is_torch() -> None:
    grid = itertools.product(range(1, 13), range(1, 6), range(1, 4), range(4), range(1, 4))
    seen = []
    for setting in grid:
        seen.append(answer(output_size, *setting))
        assert seen[-1] == torch_conv(*setting), setting
    assert (len(seen), seen.count(None)) == (2160, 387)


@explore
@given(sizes, kernels, strides, paddings, dilations)
def test_output_size_is_torch(n: int, k: int, s: int, p: int, d: int) -> None:
    assert answer(output_size, n, k, s, p, d) == torch_conv(n, k, s, p, d)


@explore
@given(sizes, kernels, strides, paddings, dilations)
def test_output_size_counts_the_windows_that_fit(n: int, k: int, s: int, p: int, d: int) -> None:
    ends = [start + d * (k - 1) for start in range(-p, n + p, s)]
    fitting = sum(end < n + p for end in ends)
    assert (answer(output_size, n, k, s, p, d) or 0) == fitting


@explore
@given(*(st.tuples(values, values) for values in (sizes, kernels, strides, paddings, dilations)))
def test_pairs_are_torch_on_both_axes(n: Any, k: Any, s: Any, p: Any, d: Any) -> None:
    ours = answer(output_size, n, k, s, p, d)
    assume(ours is not None)
    theirs = F.conv2d(torch.zeros(1, 1, *n), torch.zeros(1, 1, *k), None, s, p, d)
    assert ours == tuple(theirs.shape[2:])


def test_an_integer_among_pairs_holds_for_both_axes() -> None:
    assert output_size((6, 9), 3, 2) == (2, 4)
    assert output_size(6, (3, 5), padding=[1, 2]) == (6, 6)
    assert transposed_output_size((2, 4), 3, 2) == (5, 9)
    assert pool_output_size((7, 8), 2, ceil_mode=True) == (4, 4)


def test_numpy_integers_are_integers() -> None:
    size = output_size(np.int32(6), np.int64(3), np.uint8(2))
    assert size == 2
    assert type(size) is int


# --- transposed convolution ---


@explore
@given(sizes, kernels, strides, paddings, st.integers(0, 6), dilations)
def test_transposed_output_size_is_torch(n: int, k: int, s: int, p: int, po: int, d: int) -> None:
    ours = answer(transposed_output_size, n, k, s, p, po, d)
    assert ours == torch_transposed(n, k, s, p, po, d)


def test_every_transposed_setting_of_a_small_grid_is_torch() -> None:
    grid = itertools.product(range(1, 7), range(1, 5), range(1, 4), range(3), range(3), range(1, 4))
    taken = 0
    for setting in grid:
        ours = answer(transposed_output_size, *setting)
        assert ours == torch_transposed(*setting), setting
        taken += ours is not None
    assert taken > 1000


@explore
@given(sizes, kernels, strides, paddings, dilations)
def test_output_padding_restores_the_size(n: int, k: int, s: int, p: int, d: int) -> None:
    m = answer(output_size, n, k, s, p, d)
    assume(m is not None)
    po = output_padding_for(n, k, s, p, d)
    assert 0 <= po < s
    assert transposed_output_size(m, k, s, p, po, d) == n
    assert torch_transposed(m, k, s, p, po, d) == n


def test_torch_computes_the_same_output_padding() -> None:
    for n, k, s, p in itertools.product(range(4, 30), range(1, 5), range(1, 5), range(3)):
        m = output_size(n, k, s, p)
        assert transposed_output_size(m, k, s, p, output_padding_for(n, k, s, p)) == n
    layer = torch.nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1)
    assert layer(torch.zeros(1, 1, 3, 3), output_size=(6, 6)).shape[-1] == 6


# --- pooling ---


@explore
@given(sizes, kernels, strides, paddings, dilations, st.booleans())
def test_pool_output_size_is_torch(n: int, k: int, s: int, p: int, d: int, ceil: bool) -> None:
    assert answer(pool_output_size, n, k, s, p, d, ceil) == torch_pool(n, k, s, p, d, ceil)


def test_every_pooling_setting_of_a_small_grid_is_torch() -> None:
    grid = itertools.product(range(1, 13), range(1, 6), range(1, 5), range(3), (1, 2), (0, 1))
    for n, k, s, p, d, ceil in grid:
        ours = answer(pool_output_size, n, k, s, p, d, bool(ceil))
        assert ours == torch_pool(n, k, s, p, d, bool(ceil)), (n, k, s, p, d, ceil)


def test_pooling_strides_by_its_window_unless_told_otherwise() -> None:
    assert pool_output_size(9, 3) == F.max_pool1d(torch.zeros(1, 1, 9), 3).shape[-1] == 3
    assert pool_output_size(9, 3, 1) == 7
    assert pool_output_size((9, 8), (3, 2)) == (3, 4)


def test_ceil_mode_drops_a_window_in_the_right_padding() -> None:
    assert pool_output_size(3, 2, 2, 1, ceil_mode=True) == 2
    assert pool_output_size(6, 3, 2, ceil_mode=True) == 3
    assert pool_output_size(6, 3, 2) == 2


def test_ceil_mode_takes_a_window_larger_than_the_input() -> None:
    assert pool_output_size(3, 4, 2, ceil_mode=True) == 1
    with pytest.raises(ValueError, match=r"pooling window 4 \(dilation 1: 4\) leaves no output"):
        pool_output_size(3, 4, 2)


# --- padding by name ---


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@explore
@given(st.integers(1, 12), dilations)
def test_same_padding_is_torch(k: int, d: int) -> None:
    left, right = same_padding(k, d)
    n = left + right + 3
    impulse = torch.zeros(1, 1, n, dtype=torch.float64)
    impulse[0, 0, n // 2] = 1
    weight = torch.arange(1, k + 1, dtype=torch.float64)[None, None]
    theirs = F.conv1d(impulse, weight, padding="same", dilation=d)
    torch.testing.assert_close(F.conv1d(F.pad(impulse, (left, right)), weight, dilation=d), theirs)
    assert theirs.shape[-1] == n


@explore
@given(sizes, kernels, strides, dilations)
def test_tensorflow_rounds_up_and_pads_the_end_more(n: int, k: int, s: int, d: int) -> None:
    left, right = same_padding_tf(n, k, s, d)
    assert right - left in (0, 1)
    x = F.pad(torch.zeros(1, 1, n), (left, right))
    assert F.conv1d(x, torch.zeros(1, 1, k), stride=s, dilation=d).shape[-1] == -(-n // s)
    if left + right:  # no zero too many
        span = d * (k - 1) + 1
        assert (n + left + right - 1 - span) // s + 1 < -(-n // s)
    if s == 1:
        assert (left, right) == same_padding(k, d)


def test_padding_of_tensorflow_on_an_image_of_224() -> None:
    assert same_padding_tf(224, 3, 2) == (0, 1)
    assert same_padding_tf(7, 1, 3) == (0, 0)


# --- unread pixels ---


@explore
@given(sizes, kernels, strides, paddings, dilations)
def test_unread_pixels_get_no_gradient(n: int, k: int, s: int, p: int, d: int) -> None:
    assume(answer(output_size, n, k, s, p, d) is not None)
    x = torch.zeros(1, 1, n, requires_grad=True)
    F.conv1d(x, torch.ones(1, 1, k), None, s, p, d).sum().backward()
    assert x.grad is not None
    assert unread(n, k, s, p, d) == torch.nonzero(x.grad[0, 0] == 0).flatten().tolist()


def test_unread_pixels_of_tail_and_gap() -> None:
    assert unread(6, 3, 2) == [5]
    assert unread(5, 3, 1, 0, 2) == [1, 3]
    assert unread(6, 3, 2, 1) == []
    assert unread(7, 1, 3) == [1, 2, 4, 5]


# --- what is refused ---


@pytest.mark.parametrize(
    ("function", "args", "message"),
    [
        (output_size, (4, 5), "kernel 5 (dilation 1: 5) is larger than the padded input 4"),
        (output_size, (4, 3, 1, 0, 2), "kernel 3 (dilation 2: 5) is larger than the padded inp"),
        (output_size, (6, 3, 0), "stride 0 must be at least 1"),
        (output_size, (6, 3, 1, -1), "padding −1 must be at least 0"),
        (output_size, (6, 3, 1, 0, 0), "dilation 0 must be at least 1"),
        (output_size, (0, 3), "size 0 must be at least 1"),
        (output_size, (6, 0), "kernel 0 must be at least 1"),
        (output_size, (6.0, 3), "size must be an integer, got 6.0 (float)"),
        (output_size, (6, "3"), "kernel must be an integer, got '3' (str)"),
        (output_size, (6, 3, None), "stride must be an integer, got None (NoneType)"),
        (output_size, ((6, 6, 6), 3), "a pair holds two values, height and width, got (6, 6, 6)"),
        (output_size, ((6, 4), (3, 5)), "kernel 5 (dilation 1: 5) is larger than the padded inp"),
        (transposed_output_size, (3, 3, 2, 1, 2),
         "output_padding 2 must be smaller than stride 2 or dilation 1"),
        (transposed_output_size, (1, 1, 1, 1),
         "transposed output size −1: the padding crops everything away"),
        (transposed_output_size, (1, 2, 1, 1), "transposed output size 0: the padding crops every"),
        (transposed_output_size, (3, 3, 1, 0, -1), "output_padding −1 must be at least 0"),
        (output_padding_for, (4, 5), "kernel 5 (dilation 1: 5) is larger than the padded input 4"),
        (pool_output_size, (8, 3, 1, 2), "padding 2 is more than half of the pooling window 3"),
        (pool_output_size, (8, 3, 1, 2, 2), "padding 2 is more than half of the pooling window 3"),
        (pool_output_size, (8, 3, 0), "stride 0 must be at least 1"),
        (same_padding, (0,), "kernel 0 must be at least 1"),
        (same_padding, (3, 0.5), "dilation must be an integer, got 0.5 (float)"),
        (same_padding_tf, (0, 3), "size 0 must be at least 1"),
        (same_padding_tf, (6, 3, 0), "stride 0 must be at least 1"),
        (unread, (4, 5), "kernel 5 (dilation 1: 5) is larger than the padded input 4"),
        (unread, (6, 3, 1, -1), "padding −1 must be at least 0"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named(function: Any, args: Any, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        function(*args)
    assert str(raised.value).startswith(message)


def test_torch_takes_an_empty_batch_and_no_empty_image() -> None:
    assert F.conv2d(torch.zeros(0, 3, 8, 8), torch.zeros(5, 3, 3, 3)).shape == (0, 5, 6, 6)
    with pytest.raises(RuntimeError, match="Only zero batch or zero channel inputs"):
        F.conv2d(torch.zeros(1, 1, 0, 0), torch.zeros(1, 1, 1, 1), padding=1)
