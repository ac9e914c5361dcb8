"""The numbers in the bank of chapter 5: each of its entries names the tests of its own."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from dlbook.drills import drill
from dlbook.drills.receptive_field import receptive_field_size
from dlbook.receptive_field import (
    Layer,
    effective_receptive_field,
    effective_size,
    has_holes,
    network,
    receptive_field,
    receptive_field_backward,
    region,
    touched,
)


def size(layers: Any) -> int:
    return receptive_field(layers)[-1].size


def sizes(layers: Any) -> list[int]:
    return [field.size for field in receptive_field(layers)[1:]]


def layers_of(name: str) -> list[Layer]:
    return [layer for stage in network(name) for layer in stage.layers]


def read_by(module: nn.Module, channels: int, n: int, cell: int | None = None) -> Any:
    """Return the positions with a gradient of one cell, by default the middle one."""
    torch.manual_seed(0)
    x = torch.randn(2, channels, n, dtype=torch.float64, requires_grad=True)
    y = module(x)
    cell = y.shape[-1] // 2 if cell is None else cell
    (gradient,) = torch.autograd.grad(y[0, 0, cell], x)
    return gradient[0].abs().sum(dim=0).nonzero()[:, 0].numpy()


def convolution(channels: int, layer: Any, kind: Any = nn.Conv1d, **options: Any) -> Any:
    module = kind(channels, channels, *layer, bias=False, dtype=torch.float64, **options)
    nn.init.ones_(module.weight)
    return module


def box(kernel: int, depth: int) -> Any:
    """Return the repeated convolution of a box of ones."""
    row = np.ones(1)
    for _ in range(depth):
        row = np.convolve(row, np.ones(kernel))
    return row


def side_of(row: Any) -> float:
    """Return the effective side of a map that is a product of rows."""
    return effective_size(np.outer(row, row) / row.max() ** 2)


# --- Size ---


def test_sets_of_three_layers() -> None:
    assert touched([(3,)] * 3, 0).tolist() == list(range(7))
    assert len(touched([(3, 1, 0, 2)] * 3, 0)) == 7
    assert size([(3, 1, 0, 2)] * 3) == 13


def test_published_nets() -> None:
    assert size(layers_of("ResNet-50")) == 483
    assert size(layers_of("ResNet-50 v1.5")) == 427
    assert receptive_field(layers_of("VGG-16"))[-1][:2] == (212, 32)


def test_dilated_layers() -> None:
    assert sizes([(3,), (3, 1, 0, 2), (3, 1, 0, 4)]) == [3, 7, 15]
    assert size([(3, 1, 0, 2)]) == Layer(3, dilation=2).span == 5
    assert size([(3, 1, 0, 4)]) == Layer(3, dilation=4).span == 9


def test_recurrences_agree() -> None:
    for layers in itertools.product(itertools.product((1, 2, 3), (1, 2), (0,), (1, 2)), repeat=3):
        closed = 1 + sum(
            d * (k - 1) * math.prod(layer[1] for layer in layers[:n])
            for n, (k, _, _, d) in enumerate(layers)
        )
        assert size(layers) == receptive_field_backward(layers)[0] == closed


def test_mixed_up_recurrences() -> None:
    forwards = 1
    for kernel, stride in ((3, 2), (3, 1)):
        forwards = stride * (forwards - 1) + kernel
    assert (forwards, size([(3, 2), (3, 1)])) == (5, 7)
    triples = [(layer.kernel, layer.stride, 1) for layer in layers_of("VGG-16")]
    wrong = drill("receptive_field_size").wrong
    answers = {words.split(",")[0]: function(triples) for words, function in wrong.items()}
    assert answers["pool5 of VGG-16: 243"] == 243
    assert answers["pool5 of VGG-16: 32"] == 32
    assert 13 * 2 + 5 + 1 == 32


def test_backward_values_of_vgg() -> None:
    layers = layers_of("VGG-16")
    _, trace = receptive_field_backward(layers)
    assert trace[:6] == [1, 2, 4, 6, 8, 16]
    names = [stage.name for stage in network("VGG-16")]
    assert names[len(names) - 5 - 1] == "conv4_3"
    assert receptive_field(layers)[names.index("conv4_3") + 1].size == 92


def test_three_small_kernels() -> None:
    assert size([(3,)] * 3) == size([(7,)]) == 7
    assert size([(3,)] * 2) == size([(5,)]) == 5
    assert (
        sum(p.numel() for _ in range(3) for p in nn.Conv2d(1, 1, 3, bias=False).parameters()) == 27
    )
    assert sum(p.numel() for p in nn.Conv2d(1, 1, 7, bias=False).parameters()) == 49
    assert (2 * 9, 5**2) == (18, 25)
    assert round(1 - 27 / 49, 2) == 0.45


def test_influence_of_a_stack() -> None:
    row = box(3, 3)
    assert row[0] ** 2 == 1
    assert row[3] ** 2 == 49
    model = nn.Sequential(*(nn.Conv2d(1, 1, 3, bias=False) for _ in range(3)))
    for layer in model:
        nn.init.ones_(layer.weight)
    influence = effective_receptive_field(model, (1, 7, 7))
    assert_allclose(influence[3, 3] / influence[0, 0], 49, rtol=1e-6)


def test_beginning_of_resnet() -> None:
    layers = [(7, 2, 3), (3, 2, 1), (3, 1, 1), (3, 1, 1)]
    assert sizes(layers) == [7, 11, 19, 27]
    assert [field.jump for field in receptive_field(layers)[:-1]] == [1, 2, 4, 4]
    assert receptive_field_backward(layers) == (27, [1, 3, 5, 11, 27])
    assert receptive_field(layers)[-1].start == 0
    assert size([(7,), (3,), (3,), (3,)]) == 13
    assert sizes(layers_of("ResNet-18"))[:4] == [7, 11, 19, 27]


def test_what_a_layer_adds_in_vgg() -> None:
    stages = network("VGG-16")
    added = np.diff([1, *sizes(layers_of("VGG-16"))])
    convolutions = {
        int(stage.name[4]): int(more)
        for stage, more in zip(stages, added, strict=True)
        if stage.name.startswith("conv")
    }
    poolings = [
        int(more) for stage, more in zip(stages, added, strict=True) if "pool" in stage.name
    ]
    assert convolutions == {1: 2, 2: 4, 3: 8, 4: 16, 5: 32}
    assert poolings == [1, 2, 4, 8, 16]
    assert sum(poolings) == 31
    assert 1 + 4 + 8 + 24 + 48 + 96 + 31 == 212


def test_order_of_strides() -> None:
    assert size([(3, 2), (3, 1)]) == 7
    assert size([(3, 1), (3, 2)]) == 5
    assert size([(3, 1), (3, 2), (3, 2)]) == 9
    assert size([(3, 2), (3, 2), (3, 1)]) == 15


def test_where_the_stride_of_a_block_is() -> None:
    strided = [
        [layer.stride for layer in stage.layers]
        for stage in network("ResNet-50 v1.5")
        if 2 in [layer.stride for layer in stage.layers] and len(stage.layers) == 3
    ]
    assert strided == [[1, 2, 1]] * 3
    assert 483 - 427 == 8 + 16 + 32 == 2 * 4 + 2 * 8 + 2 * 16


def test_strided_one_by_one() -> None:
    layer = nn.Conv2d(1, 1, 1, stride=2, bias=False)
    x = torch.ones(1, 1, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(x).sum(), x)
    assert torch.count_nonzero(gradient) == 64 / 4


def test_program_against_autograd() -> None:
    triples = [(3, 2, 1), (3, 1, 2)]
    assert receptive_field_size(triples) == 11
    model = nn.Sequential(convolution(1, (3, 2)), convolution(1, (3, 1, 0, 2)))
    seen = read_by(model, 1, 99)
    assert seen[-1] - seen[0] + 1 == 11
    assert receptive_field_size([]) == 1


def test_maximum_hides_pixels() -> None:
    model = nn.Sequential(nn.MaxPool1d(3, 1), nn.MaxPool1d(3, 1))
    assert len(read_by(model, 1, 15)) == 1
    assert size([(3,), (3,)]) == 5


# --- Place ---


def test_padding_moves_the_field() -> None:
    padded, plain = [(3, 1, 1)] * 2, [(3,)] * 2
    assert size(padded) == size(plain) == 5
    assert region(padded, 0) == (-2, 2)
    assert len(touched(padded, 0, 9)) == 3
    assert region(plain, 0) == (0, 4)


def test_border_of_a_constant_image() -> None:
    layer = convolution(1, (3, 1, 1))
    row = layer(torch.ones(1, 1, 7, dtype=torch.float64))[0, 0].tolist()
    assert row == [2, 3, 3, 3, 3, 3, 2]


def test_center_of_vgg() -> None:
    assert receptive_field(layers_of("VGG-16"))[-1].start == 15.5


def test_three_poolings() -> None:
    fields = receptive_field([(2, 2)] * 3)
    assert [field.start for field in fields] == [0, 0.5, 1.5, 3.5]
    assert fields[-1] == (8, 8, 3.5)
    assert region([(2, 2)] * 3, 1) == (8, 15)


def test_share_of_padding() -> None:
    layers = layers_of("ResNet-50")
    first, last = region(layers, 3) or (0, 0)
    assert last - first + 1 == 483
    assert first < 0 and last >= 224
    assert 1 - 224 / 483 > 0.5


# --- Other layers ---


@pytest.mark.parametrize(("kernel", "counts"), [(3, {1, 2}), (4, {2})])
def test_transposed_layers(kernel: int, counts: set[int]) -> None:
    layer = convolution(1, (kernel, 2), nn.ConvTranspose1d)
    found = [len(read_by(layer, 1, 9, cell)) for cell in range(6, 12)]
    assert set(found) == counts
    assert max(counts) == math.ceil(kernel / 2)
    if kernel == 3:
        assert found[:4] in ([1, 2, 1, 2], [2, 1, 2, 1])
    # After a layer of stride 2 the jump is 1 again, and a field grows by (2 - 1) jumps.
    both = nn.Sequential(convolution(1, (3, 2)), layer)
    seen = [read_by(both, 1, 40, cell) for cell in (12, 13, 14)]
    assert max(s[-1] - s[0] + 1 for s in seen) == 3 + (math.ceil(kernel / 2) - 1) * 2


def test_one_by_one() -> None:
    assert size([(3,), (1,), (1,)]) == 3
    assert size([(1, 2), (3,)]) == 5


def test_longest_path() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = convolution(1, (3, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.layer(x)

    blocks = nn.Sequential(*(Block() for _ in range(10)))
    plain = nn.Sequential(*(convolution(1, (3, 1, 1)) for _ in range(10)))
    assert len(read_by(blocks, 1, 61)) == len(read_by(plain, 1, 61)) == 21


def test_norms_see_everything() -> None:
    layer = nn.Conv1d(4, 4, 3, padding=1, dtype=torch.float64)

    def seen(norm: nn.Module) -> int:
        return len(read_by(nn.Sequential(layer, norm), 4, 15))

    batch = nn.BatchNorm1d(4, dtype=torch.float64)
    assert seen(batch) == 15
    assert seen(nn.GroupNorm(2, 4, dtype=torch.float64)) == 15
    assert seen(nn.InstanceNorm1d(4, dtype=torch.float64)) == 15
    assert seen(batch.eval()) == 3


# --- Dilation ---


def test_causal_stack() -> None:
    layers = [(2, 1, 0, 2**n) for n in range(10)]
    assert size(layers) == 1024
    assert len(touched(layers, 0)) == 1024
    assert not has_holes(2, [2**n for n in range(10)])


def test_gridding() -> None:
    assert not any(has_holes(3, rates) for rates in ((1, 2, 3), (1, 2, 5), (1, 3, 9)))
    assert len(touched([(3, 1, 0, 2)] * 3, 0)) == 7
    assert round((7 / 13) ** 2, 2) == 0.29
    one, neighbor = (set(touched([(3, 1, 0, 2)] * 3, cell).tolist()) for cell in (0, 1))
    assert not one & neighbor
    assert has_holes(3, (2, 3, 4)) and math.gcd(2, 3, 4) == 1


def test_test_of_the_paper() -> None:
    def accepts(rates: tuple[int, ...]) -> bool:
        *_, middle, largest = rates
        return max(largest - 2 * middle, largest - 2 * (largest - middle), middle) <= 3

    triples = list(itertools.product(range(1, 5), repeat=3))
    wrongly = [t for t in triples if accepts(t) and has_holes(3, t)]
    missed = [t for t in triples if not accepts(t) and not has_holes(3, t)]
    assert (len(triples), len(wrongly), len(missed)) == (64, 16, 10)
    assert (2, 3, 4) in wrongly and (1, 3, 2) in missed


# --- Effective field ---


def test_ways_to_enlarge() -> None:
    assert size([(3,)] * 7) == size([(15,)]) == 15
    assert 4 * 9 == 36
    assert size([(3,), (3, 1, 0, 2), (3, 1, 0, 4)]) == 15
    assert size([(3, 2), (3, 2), (3,)]) == 15
    assert (2 * 2) ** 2 == 16
    assert 15**2 == 225


def test_effective_grows_like_the_root() -> None:
    few, many = (side_of(np.sqrt(box(3, depth))) for depth in (4, 16))
    assert many / few == pytest.approx(2.2, abs=0.1)
    assert (size([(3,)] * 4), size([(3,)] * 16)) == (9, 33)
    wide = [side_of(np.sqrt(box(3, depth))) for depth in (40, 80)]
    assert wide[1] / wide[0] == pytest.approx(1.41, abs=0.02)


def test_width_of_a_repeated_box() -> None:
    row = box(3, 12)
    x = np.arange(len(row)) - 12
    variance = (row * x**2).sum() / row.sum()
    assert_allclose(variance, 12 * (9 - 1) / 12)
    assert round(math.sqrt(variance), 2) == 2.83
    root = np.sqrt(box(3, 200))
    x = np.arange(len(root)) - 200
    assert (root * x**2).sum() / root.sum() == pytest.approx(2 * 200 * 8 / 12, rel=0.01)


def test_two_sigma() -> None:
    assert round(math.erfc(2 / math.sqrt(2)), 4) == 0.0455


class Skip(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


def random_net(act: type[nn.Module], *, skip: bool = False, rates: tuple[int, ...] = (1,)) -> Any:
    blocks = []
    for n in range(12):
        rate = rates[n % len(rates)]
        layer = nn.Conv2d(8, 8, 3, padding=rate, dilation=rate, bias=False)
        nn.init.normal_(layer.weight, std=math.sqrt((2 if act is nn.ReLU else 1) / 72))
        block = nn.Sequential(layer, act())
        blocks.append(Skip(block) if skip else block)
    return nn.Sequential(*blocks)


def test_effective_sides() -> None:
    def measured(act: type[nn.Module], **options: Any) -> float:
        torch.manual_seed(0)
        total = 0.0
        for seed in range(4):
            field = effective_receptive_field(random_net(act, **options), (8, 61, 61), seed=seed)
            total += effective_size(field)
        return total / 4

    plain, skipping = measured(nn.ReLU), measured(nn.ReLU, skip=True)
    assert plain == pytest.approx(16, abs=1)
    assert skipping == pytest.approx(12, abs=1)
    assert measured(nn.Identity) == pytest.approx(16.5, abs=1)
    assert size([(3,)] * 12) == 25
    rates = (1, 2, 4)
    assert measured(nn.ReLU, rates=rates) == pytest.approx(42, abs=2)
    assert size([(3, 1, 0, rates[n % 3]) for n in range(12)]) == 57
