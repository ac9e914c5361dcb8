"""The numbers in ``book/questions/06_output_size.yml``: each entry names the tests of its own."""

from __future__ import annotations

import itertools
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from booksite.questions.reading import read
from dlbook.output_size import (
    output_padding_for,
    output_size,
    pool_output_size,
    same_padding,
    same_padding_tf,
    transposed_output_size,
    unread,
)

BANK = Path(__file__).resolve().parents[2] / "book/questions/06_output_size.yml"

#: Kernel, stride and padding of every layer that can change the size.
ALEXNET = [(11, 4, 2), (3, 2), (5, 1, 2), (3, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1), (3, 2)]
RESNET = [(7, 2, 3), (3, 2, 1), (3, 2, 1), (3, 2, 1), (3, 2, 1)]


def chain(size: int, layers: list[Any]) -> list[int]:
    """Return the sizes from the input on."""
    sizes: list[Any] = [size]
    for layer in layers:
        sizes.append(output_size(sizes[-1], *layer))
    return sizes


def row(length: int, **options: Any) -> torch.Tensor:
    return torch.zeros(1, 1, length, **options)


# --- The formula ---


def test_formula_counts_windows() -> None:
    assert output_size(6, 3, 2) == F.conv1d(row(6), row(3), stride=2).shape[-1] == 2
    for n, k, s, p, d in itertools.product(range(4, 13), range(1, 6), (1, 2, 3), (0, 1, 2), (1, 2)):
        span = d * (k - 1) + 1
        fitting = [i for i in range(n + 2 * p) if i * s - p + span - 1 <= n - 1 + p]
        if fitting:
            assert output_size(n, k, s, p, d) == len(fitting) == fitting[-1] + 1


def test_a_kernel_that_is_too_large_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="can't be greater than actual input size"):
        F.conv1d(row(4), row(5))
    with pytest.raises(ValueError, match="larger than the padded input 4"):
        output_size(4, 5)
    assert (4 - 5) // 1 + 1 == 0
    assert (4 - 9) // 2 + 1 == -2


def test_one_by_one() -> None:
    assert [output_size(n, 1) for n in range(1, 20)] == list(range(1, 20))
    assert [output_size(n, 1, 2) for n in range(1, 20)] == [-(-n // 2) for n in range(1, 20)]
    x = torch.zeros(1, 1, 8, 8, requires_grad=True)
    F.conv2d(x, torch.ones(1, 1, 1, 1), stride=2).sum().backward()
    assert x.grad is not None
    assert (int(x.grad.sum()), x.numel()) == (16, 64)
    bias = torch.tensor([7.0])
    padded = F.conv1d(row(3), row(1) + 1, bias, padding=1)
    assert padded.shape[-1] == 5
    assert padded[0, 0, 0] == 7


def test_three_sizes_by_heart() -> None:
    assert output_size(224, 7, 2, 3) == nn.Conv1d(1, 1, 7, 2, 3)(row(224)).shape[-1] == 112
    assert output_size(7, 3, 2) == nn.MaxPool1d(3, 2)(row(7)).shape[-1] == 3
    assert output_size(32, 5) == nn.Conv1d(1, 1, 5)(row(32)).shape[-1] == 28
    assert [output_size(n, 7, 2, 3) for n in (225, 226)] == [113, 113]
    assert (224 + 6 - 7) % 2 == 1
    assert unread(224, 7, 2, 3) == []


def test_rounding_up_hangs_over_the_end() -> None:
    last = -(-(224 + 6 - 7) // 2) * 2 - 3  # where one more window would begin
    assert last + 7 > 224 + 3


def test_effective_kernel() -> None:
    impulse = row(21)
    impulse[0, 0, 10] = 1
    reached = torch.nonzero(F.conv1d(impulse, row(3) + 1, padding=4, dilation=4)[0, 0]).flatten()
    assert reached.tolist() == [6, 10, 14]
    assert int(reached[-1] - reached[0]) + 1 == 4 * 2 + 1 == 9
    for d in range(1, 6):
        assert output_size(20, 3, 1, d, d) == 20
    assert 4 * 3 - 9 == 4 - 1 == 3


# --- What the floor discards ---


def test_the_floor_loses_the_remainder() -> None:
    assert unread(6, 3, 2) == [5]
    assert unread(6, 3, 2, 1) == []
    assert ((6 - 3) % 2, (6 + 2 - 3) % 2) == (1, 1)
    x = row(6, requires_grad=True)
    F.conv1d(x, row(3) + 1, stride=2).sum().backward()
    assert x.grad is not None
    assert x.grad[0, 0].tolist() == [1, 1, 2, 1, 1, 0]


def test_settings_that_leave_pixels_unread() -> None:
    possible, gaps, losing = 0, 0, 0
    for n, k, s, p, d in itertools.product(range(4, 13), range(1, 6), (1, 2, 3), (0, 1, 2), (1, 2)):
        room = n + 2 * p - d * (k - 1) - 1
        if room >= 0:
            possible += 1
            missing = unread(n, k, s, p, d)
            losing += bool(missing)
            gaps += bool(missing) and room % s == 0
            tail = [pixel for pixel in range(n) if pixel >= n + p - room % s]
            assert len(tail) <= max(0, room % s - p)
            assert set(tail) <= set(missing)
    assert (possible, losing, gaps) == (765, 364, 126)


def test_which_modules_have_ceil_mode() -> None:
    assert nn.MaxPool2d(3, ceil_mode=True).ceil_mode
    assert nn.AvgPool2d(3, ceil_mode=True).ceil_mode
    with pytest.raises(TypeError, match="ceil_mode"):
        nn.Conv2d(1, 1, 3, ceil_mode=True)


def test_gaps_without_a_remainder() -> None:
    assert unread(5, 3, 1, 0, 2) == [1, 3]
    assert output_size(5, 3, 1, 0, 2) == 1
    assert unread(7, 1, 3) == [1, 2, 4, 5]
    assert (7 - 1) % 3 == 0
    assert [pixel for pixel in unread(12, 2, 2, 0, 2) if pixel % 2] == [1, 3, 5, 7, 9, 11]


def test_halving() -> None:
    for n in range(1, 40):
        assert output_size(n, 3, 2, 1) == (n - 1) // 2 + 1 == -(-n // 2)
        assert unread(n, 3, 2, 1) == []
        if n > 1:
            assert output_size(n, 2, 2) == n // 2
            assert unread(n, 2, 2) == ([n - 1] if n % 2 else [])
    assert output_size(6, 3, 2, 1) == output_size(5, 3, 2, 1) == 3


# --- Padding by name ---


def test_padding_by_name() -> None:
    layer = partial(nn.Conv1d, 1, 1, 3)
    assert layer(padding="valid")(row(8)).shape[-1] == 6
    assert layer(padding="same")(row(8)).shape[-1] == 8
    assert layer(padding=2)(row(8)).shape[-1] == 10
    for k, d in itertools.product(range(1, 6), range(1, 4)):
        span = d * (k - 1) + 1
        assert output_size(20, k, 1, 0, d) == 20 - span + 1
        assert output_size(20, k, 1, span - 1, d) == 20 + span - 1


def test_half_the_kernel_is_not_same() -> None:
    assert output_size(9, 4, 1, 4 // 2) == 10
    assert sum(same_padding(4)) == 3
    for k in (1, 3, 5, 7):
        assert same_padding(k) == (k // 2, k // 2)


def test_transposed_with_stride_1_is_full() -> None:
    x, w = torch.randn(1, 1, 7, dtype=torch.float64), torch.randn(1, 1, 3, dtype=torch.float64)
    torch.testing.assert_close(F.conv_transpose1d(x, w), F.conv1d(x, w.flip(-1), padding=2))
    torch.testing.assert_close(F.conv_transpose1d(x, w, padding=2), F.conv1d(x, w.flip(-1)))


def test_padding_that_keeps_the_size() -> None:
    for k, p in ((3, 1), (5, 2), (7, 3)):
        assert output_size(20, k, 1, p) == 20
    assert [output_size(20, 4, 1, p) for p in (1, 2)] == [19, 21]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_even_kernels_shift_by_half_a_pixel() -> None:
    assert same_padding(2) == (0, 1)
    ramp = torch.arange(20.0)[None, None]
    x = ramp
    for _ in range(10):
        x = F.conv1d(x, torch.full((1, 1, 2), 0.5), padding="same")
    assert torch.allclose(x[0, 0, :10] - ramp[0, 0, :10], torch.tensor(5.0))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_even_same_pads_the_end() -> None:
    assert same_padding(4) == (1, 2)
    x, w = torch.randn(1, 1, 9, dtype=torch.float64), torch.randn(1, 1, 4, dtype=torch.float64)
    torch.testing.assert_close(F.conv1d(x, w, padding="same"), F.conv1d(F.pad(x, (1, 2)), w))
    for n in (8, 9):
        assert same_padding_tf(n, 4) == (1, 2)


def test_overlap_of_transposed_kernels() -> None:
    inner = slice(4, -4)
    fours = F.conv_transpose1d(row(8) + 1, row(4) + 1, stride=2)[0, 0, inner]
    threes = F.conv_transpose1d(row(8) + 1, row(3) + 1, stride=2)[0, 0, inner]
    assert set(fours.tolist()) == {2.0}
    assert set(threes.tolist()) == {1.0, 2.0}


def test_same_with_a_stride() -> None:
    assert same_padding_tf(224, 3, 2) == (0, 1)
    assert 111 * 2 + 3 - 224 == 1
    assert same_padding_tf(225, 3, 2) == (1, 1)
    assert output_size(224, 3, 2, 1) == 112


def test_torch_refuses_same_with_a_stride() -> None:
    with pytest.raises(RuntimeError, match="padding='same' is not supported for strided convol"):
        F.conv1d(row(8), row(3), stride=2, padding="same")


def test_grids_of_the_two_frameworks() -> None:
    left, _ = same_padding_tf(224, 3, 2)
    centers = [i * 2 - left + 1 for i in range(112)]
    ours = [i * 2 - 1 + 1 for i in range(112)]
    assert (centers[:2], centers[-1]) == ([1, 3], 223)
    assert (ours[:2], ours[-1]) == ([0, 2], 222)


# --- Pooling ---


def test_default_strides() -> None:
    image = torch.zeros(1, 1, 9, 9)
    assert nn.MaxPool2d(3)(image).shape[-2:] == (3, 3)
    assert nn.Conv2d(1, 1, 3)(image).shape[-2:] == (7, 7)
    assert nn.MaxPool2d(3, 2)(image).shape[-2:] == (4, 4)


def test_ceil_mode() -> None:
    assert F.max_pool1d(row(3), 2, 2, 1, ceil_mode=True).shape[-1] == 2
    assert pool_output_size(3, 2, 2, 1, ceil_mode=True) == 2
    assert (-(-(3 + 2 - 2) // 2) + 1, (3 - 1) * 2, 3 + 1) == (3, 4, 4)
    assert pool_output_size(6, 3, 2, ceil_mode=True) == 3
    assert pool_output_size(6, 3, 2) == 2
    ramp = torch.arange(6.0)[None, None]
    assert F.avg_pool1d(ramp, 3, 2, ceil_mode=True)[0, 0, -1] == (4 + 5) / 2


def test_plain_ceil_is_often_wrong() -> None:
    taken = wrong = 0
    for n, k, s, p in itertools.product(range(1, 13), range(1, 6), range(1, 5), range(3)):
        try:
            m = F.max_pool1d(row(n), k, s, p, ceil_mode=True).shape[-1]
        except RuntimeError:
            continue
        taken += 1
        wrong += -(-(n + 2 * p - k) // s) + 1 != m
    assert (taken, wrong) == (504, 85)


# --- Back again ---


def test_two_sizes_give_one() -> None:
    assert [n for n in range(1, 20) if output_size(n, 3, 2, 1) == 3] == [5, 6]
    assert transposed_output_size(3, 3, 2, 1) == 5
    assert [output_padding_for(n, 3, 2, 1) for n in (5, 6)] == [0, 1]
    layer = nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1)
    assert layer(torch.zeros(1, 1, 3, 3), output_size=(6, 6)).shape[-1] == 6


def test_output_padding_adds_no_zeros() -> None:
    x = torch.arange(1.0, 4)[None, None]
    longer = F.conv_transpose1d(x, row(3) + 1, stride=2, padding=1, output_padding=1)[0, 0]
    assert longer.tolist() == [1, 3, 2, 5, 3, 3]


def test_transposed_formula() -> None:
    for n, k, s, p, po, d in itertools.product(
        range(1, 5), range(1, 4), (1, 2, 3), (0, 1), (0, 1, 2), (1, 2)
    ):
        size = (n - 1) * s - 2 * p + d * (k - 1) + 1 + po
        if po < max(s, d) and size >= 1:
            theirs = F.conv_transpose1d(row(n), row(k), None, s, p, po, 1, d)
            assert size == theirs.shape[-1] == transposed_output_size(n, k, s, p, po, d)
        else:
            with pytest.raises(RuntimeError):
                F.conv_transpose1d(row(n), row(k), None, s, p, po, 1, d)
    assert transposed_output_size(3, 3, 2, 1, 1) == 6
    with pytest.raises(ValueError, match="transposed output size −1"):
        transposed_output_size(1, 1, 1, 1)


def test_unet() -> None:
    down = [572]
    for _ in range(4):
        down += [down[-1] - 4, (down[-1] - 4) // 2]
    assert [*down, down[-1] - 4] == [572, 568, 284, 280, 140, 136, 68, 64, 32, 28]
    up = [down[-1] - 4]
    for _ in range(4):
        up += [2 * up[-1], 2 * up[-1] - 4]
    assert up[1:] == [56, 52, 104, 100, 200, 196, 392, 388]

    def works(n: int) -> bool:
        for _ in range(4):
            if (n - 4) % 2:
                return False
            n = (n - 4) // 2
        return n > 4

    assert [n for n in range(200, 700) if works(n)] == [16 * b + 60 for b in range(9, 40)]
    assert 16 * 32 + 60 == 572
    assert 572 - 388 == 184
    assert transposed_output_size(output_size(9, 2, 2), 2, 2) == 8


# --- Through a network ---


def weights(layer: nn.Module) -> int:
    return sum(parameter.numel() for parameter in layer.parameters())


def test_weights_of_a_convolution() -> None:
    assert weights(nn.Conv2d(64, 128, 3, stride=2, padding=1, dilation=2)) == 73_728 + 128 == 73_856
    assert weights(nn.Conv2d(64, 128, 3, groups=4)) == 18_432 + 128 == 18_560
    assert weights(nn.Conv2d(64, 64, 3, groups=64)) == 576 + 64 == 640
    transposed = nn.ConvTranspose2d(64, 128, 3, groups=4)
    assert transposed.weight.shape == (64, 128 // 4, 3, 3)
    assert weights(transposed) == 18_560


def test_multiply_adds() -> None:
    layer = nn.Conv2d(3, 64, 7, stride=2, padding=3)
    assert layer.weight.numel() == 9_408
    side = output_size(224, 7, 2, 3)
    assert side**2 == 12_544
    assert layer.weight.numel() * side**2 == 118_013_952
    assert round(3 * 224**2 * 64 * side**2 / 1e9, 1) == 120.8
    assert output_size(224, 7, 4, 3) ** 2 * 4 == side**2


def test_alexnet() -> None:
    last = {n: chain(n, ALEXNET)[-1] for n in range(193, 257)}
    assert {n for n, side in last.items() if side == 5} == set(range(193, 223))
    assert {n for n, side in last.items() if side == 6} == set(range(223, 255))
    assert {n for n, side in last.items() if side == 7} == {255, 256}
    assert (256 * 6**2, 256 * 7**2) == (9216, 12_544)
    assert output_size(227, 11, 4) == output_size(224, 11, 4, 2) == 55
    assert (227 - 11) % 4 == 0
    with pytest.raises(RuntimeError) as raised:
        F.linear(torch.zeros(1, 12_544), torch.zeros(1).expand(4096, 9216))
    said = "mat1 and mat2 shapes cannot be multiplied (1x12544 and 9216x4096)"
    assert said in str(raised.value)


def test_adaptive_pooling_takes_any_size() -> None:
    for side in (5, 6, 7, 12):
        assert nn.AdaptiveAvgPool2d(6)(torch.zeros(1, 256, side, side)).numel() == 9216
    lazy = nn.LazyLinear(3)
    lazy(torch.zeros(1, 20))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        lazy(torch.zeros(1, 21))


def test_resnet_on_other_sizes() -> None:
    assert chain(224, RESNET)[-1] == 7
    assert chain(320, RESNET)[-1] == 10
    assert chain(360, RESNET)[1:] == [180, 90, 45, 23, 12]


def test_linear_layer_as_a_convolution() -> None:
    linear = nn.Linear(4 * 6 * 6, 5)
    conv = nn.Conv2d(4, 5, 6)
    conv.weight.data = linear.weight.data.reshape(5, 4, 6, 6)
    conv.bias = linear.bias
    x = torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(conv(x)[..., 0, 0], linear(x.flatten(1)))
    assert conv(torch.zeros(2, 4, 9, 10)).shape == (2, 5, 4, 5)


def test_share_of_the_border() -> None:
    shares = {side: side**2 - (side - 2) ** 2 for side in (7, 14)}
    assert shares == {7: 24, 14: 52}
    assert (round(24 / 49, 2), round(52 / 196, 2)) == (0.49, 0.27)


def test_memory_of_vgg() -> None:
    outputs, kernels, before = [], [], 3
    for side, channels, count in (
        (224, 64, 2), (112, 128, 2), (56, 256, 3), (28, 512, 3), (14, 512, 3),
    ):  # fmt: skip
        for _ in range(count):
            outputs.append(channels * side**2)
            kernels.append(before * channels * 9)
            before = channels
    assert outputs[:2] == [3_211_264] * 2
    assert len(outputs) == 13
    assert sum(outputs) == 13_547_520
    assert round(sum(outputs[:2]) / sum(outputs), 2) == 0.47
    assert round(4 * sum(outputs) / 1e6) == 54
    assert round(64 * 4 * sum(outputs) / 1e9, 1) == 3.5
    assert round(sum(kernels) / 1e6, 1) == 14.7
    assert sum(kernels[-6:]) > sum(kernels) / 2


def test_empty_batch_and_empty_image() -> None:
    weight = torch.zeros(5, 3, 3, 3, requires_grad=True)
    out = F.conv2d(torch.zeros(0, 3, 8, 8), weight)
    assert out.shape == (0, 5, 6, 6)
    out.sum().backward()
    assert weight.grad is not None
    assert not weight.grad.any()
    with pytest.raises(RuntimeError, match="Only zero batch or zero channel inputs are supported"):
        F.conv2d(torch.zeros(1, 1, 0, 0), torch.zeros(1, 1, 1, 1), padding=1)


def test_the_printed_calculator_agrees_with_pytorch() -> None:
    (entry,) = (q for q in read(BANK).questions if q.id == "output-size-calculator")
    block = re.search(r"```python\n(.*?)```", entry.full, re.DOTALL)
    assert block is not None
    names: dict[str, Any] = {}
    exec(block[1], names)
    sizes = refusals = 0
    for setting in itertools.product(range(1, 13), range(1, 6), range(1, 4), range(4), range(1, 4)):
        n, k, s, p, d = setting
        try:
            theirs = F.conv1d(row(n), row(k), None, s, p, d).shape[-1]
        except RuntimeError:
            refusals += 1
            with pytest.raises(ValueError, match="the kernel spans"):
                names["output_size"](*setting)
            continue
        sizes += 1
        assert names["output_size"](*setting) == theirs
    assert (sizes, refusals) == (1773, 387)
    for bad in ((6.0, 3), (6, 0), (6, 3, 0), (6, 3, 1, -1), (6, 3, 1, 0, 0)):
        with pytest.raises(ValueError, match="must be an integer of at least"):
            names["output_size"](*bad)
