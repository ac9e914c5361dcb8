"""Receptive fields against autograd: sizes, places, holes, and the published table."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from dlbook.receptive_field import (
    Field,
    Layer,
    cells,
    effective_receptive_field,
    effective_size,
    has_holes,
    layers_of,
    network,
    receptive_field,
    receptive_field_backward,
    region,
    touched,
)

LAYER = st.builds(
    Layer,
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 3),
)
STACK = st.lists(LAYER, min_size=1, max_size=4)
SIZE = 900


def stack_of_ones(layers: Any) -> nn.Sequential:
    """Return a 1-D net whose gradients cannot cancel."""
    modules = [
        nn.Conv1d(1, 1, k, s, p, d, bias=False, dtype=torch.float64) for k, s, p, d in layers
    ]
    for module in modules:
        nn.init.ones_(module.weight)
    return nn.Sequential(*modules)


def reached(layers: Any, cell: int | None, size: int = SIZE) -> tuple[Any, int]:
    """Return the pixels with a gradient of a cell, by default the middle one, and the cell."""
    pixels = torch.ones(1, 1, size, dtype=torch.float64, requires_grad=True)
    output = stack_of_ones(layers)(pixels)[0, 0]
    cell = len(output) // 2 if cell is None else cell
    (gradient,) = torch.autograd.grad(output[cell], pixels)
    return gradient[0, 0].nonzero()[:, 0].numpy(), cell


@settings(deadline=None, max_examples=300)
@given(STACK)
def test_size_jump_and_center_are_autograds(layers: list[Layer]) -> None:
    last = receptive_field(layers)[-1]
    seen, cell = reached(layers, None)
    after, _ = reached(layers, cell + 1)
    # The middle of a long input is far from its ends, so nothing is cut.
    assert last.size == seen[-1] - seen[0] + 1
    assert last.jump == after[0] - seen[0]
    assert last.start + cell * last.jump == (seen[0] + seen[-1]) / 2
    assert region(layers, cell) == (seen[0], seen[-1])
    assert_array_equal(touched(layers, cell), seen)
    assert_array_equal(touched(layers, cell, SIZE), seen)


@settings(deadline=None, max_examples=300)
@given(STACK, st.integers(1, 40), st.data())
def test_what_is_touched_at_the_border_is_autograds(
    layers: list[Layer], size: int, data: st.DataObject
) -> None:
    try:
        count = cells(layers, size)[-1]
    except ValueError:
        with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
            stack_of_ones(layers)(torch.ones(1, 1, size, dtype=torch.float64))
        return
    assert len(stack_of_ones(layers)(torch.ones(1, 1, size, dtype=torch.float64))[0, 0]) == count
    cell = data.draw(st.integers(0, count - 1))
    seen, _ = reached(layers, cell, size)
    assert_array_equal(touched(layers, cell, size), seen)
    bounds = region(layers, cell, size)
    if bounds is None:
        assert len(seen) == 0
    elif len(seen):
        assert bounds[0] <= seen[0] and seen[-1] <= bounds[1]
    if all(layer.dilation == 1 and layer.padding < layer.kernel for layer in layers):
        assert bounds == (seen[0], seen[-1])


@settings(deadline=None)
@given(STACK)
def test_backward_agrees_with_forward_and_counts_cells(layers: list[Layer]) -> None:
    size, trace = receptive_field_backward(layers)
    assert size == trace[-1] == receptive_field(layers)[-1].size
    assert trace[0] == 1
    assert len(trace) == len(layers) + 1
    for above in range(len(layers) + 1):
        # The layers above some layer see so many of its cells: it is their input.
        assert trace[len(layers) - above] == receptive_field(layers[above:])[-1].size


@settings(deadline=None)
@given(STACK)
def test_closed_form(layers: list[Layer]) -> None:
    total = 1
    for number, layer in enumerate(layers):
        before = math.prod(other.stride for other in layers[:number])
        total += layer.dilation * (layer.kernel - 1) * before
    assert receptive_field(layers)[-1].size == total


def test_holes_are_found_by_the_sorted_rule() -> None:
    stacks = 0
    for kernel in (2, 3, 5):
        for depth, largest in ((1, 9), (2, 9), (3, 9), (4, 5)):
            for dilations in itertools.product(range(1, largest + 1), repeat=depth):
                stack = [Layer(kernel, dilation=d) for d in dilations]
                seen = touched(stack, 0)
                assert has_holes(kernel, dilations) == (len(seen) < seen[-1] + 1)
                stacks += 1
    assert stacks == 3 * (9 + 81 + 729 + 625)


def test_holes_of_little_stacks() -> None:
    assert not has_holes(3, [])
    assert not has_holes(1, [7, 7])
    assert has_holes(3, [2])
    assert not has_holes(3, iter([9, 1, 3]))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("AlexNet", 195),
        ("VGG-16", 212),
        ("ResNet-18", 435),
        ("ResNet-50", 483),
        ("ResNet-50 v1.5", 427),
        ("MobileNetV1", 315),
    ],
)
def test_published_table(name: str, size: int) -> None:
    layers = [layer for stage in network(name) for layer in stage.layers]
    assert receptive_field(layers)[-1].size == size
    seen, _ = reached(layers, None, 1500)
    assert seen[-1] - seen[0] + 1 == size


def test_places_of_vgg() -> None:
    layers = [layer for stage in network("VGG-16") for layer in stage.layers]
    assert receptive_field(layers)[-1] == Field(212, 32, 15.5)
    assert receptive_field_backward(layers)[1][:6] == [1, 2, 4, 6, 8, 16]


def test_torchvision_layout_of_resnet18_counts_as_torch_does() -> None:
    layers = [layer for stage in network("ResNet-18") for layer in stage.layers]
    assert cells(layers, 224)[-1] == 7
    assert len(network("ResNet-50")) == len(network("VGG-16")) == 18
    assert (len(network("AlexNet")), len(network("MobileNetV1"))) == (8, 14)


class Residual(nn.Module):
    """A block that adds its input to a convolution of it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, 1, 1, bias=False, dtype=torch.float64)
        nn.init.ones_(self.conv.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x)


def test_a_shortcut_leaves_the_longest_path() -> None:
    blocks = [Residual() for _ in range(10)]
    pixels = torch.ones(1, 1, 61, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(nn.Sequential(*blocks)(pixels)[0, 0, 30], pixels)
    assert np.ptp(gradient.nonzero()[:, 2].numpy()) + 1 == 21
    assert receptive_field([(3, 1, 1)] * 10)[-1].size == 21


def test_no_layers_are_the_input() -> None:
    assert receptive_field([]) == [Field(1, 1, 0.0)]
    assert receptive_field_backward([]) == (1, [1])
    assert region([], 4) == (4, 4)
    assert region([], 4, 5) == (4, 4)
    assert touched([], 4).tolist() == [4]
    assert cells([], 5) == [5]


def test_tuples_arrays_and_iterators_are_layers_too() -> None:
    expected = [Field(1, 1, 0.0), Field(3, 2, 1.0), Field(7, 2, 3.0)]
    assert receptive_field([(3, 2), (3,)]) == expected
    assert receptive_field(np.array([[3, 2, 0, 1], [3, 1, 0, 1]])) == expected
    assert receptive_field(iter([[3, 2], Layer(3)])) == expected


def test_a_cell_in_padding_sees_nothing() -> None:
    layers = [Layer(3), Layer(1, 1, 2)]
    assert region(layers, 0, 5) is None
    assert touched(layers, 0, 5).size == 0
    assert region(layers, 0) == (-2, 0)
    assert region(layers, 2, 5) == (0, 2)


def test_pixels_that_a_floor_discards_are_not_seen() -> None:
    layers = [Layer(2, 2), Layer(3, 1, 1)]
    assert cells(layers, 5) == [5, 2, 2]
    assert region(layers, 1, 5) == (0, 3)
    assert region(layers, 1) == (0, 5)


@pytest.mark.parametrize(
    ("layers", "error", "words"),
    [
        ([(3,), (3, 0)], ValueError, "layer 2: stride 0 must be at least 1"),
        ([(3, 1, -1)], ValueError, "layer 1: padding −1 must be at least 0"),
        ([(0,)], ValueError, "layer 1: kernel 0 must be at least 1"),
        ([(3, 1, 0, 0)], ValueError, "layer 1: dilation 0 must be at least 1"),
        ([(2.5,)], TypeError, "layer 1: kernel 2.5 must be an integer"),
        ([(3, "2")], TypeError, "layer 1: stride '2' must be an integer"),
        ([()], ValueError, "layer 1: .* one to four numbers, got 0"),
        ([(3, 1, 0, 1, 1)], ValueError, "one to four numbers, got 5"),
        ([3], TypeError, "layer 1: 3 is not a tuple"),
        (["31"], TypeError, "layer 1: '31' is not a tuple"),
    ],
)
def test_bad_layers_are_refused(layers: Any, error: type[Exception], words: str) -> None:
    calls = [
        receptive_field,
        receptive_field_backward,
        lambda stack: region(stack, 0),
        lambda stack: touched(stack, 0),
        lambda stack: cells(stack, 9),
    ]
    for call in calls:
        with pytest.raises(error, match=words):
            call(layers)


def test_bad_cells_and_sizes_are_refused() -> None:
    for function in (region, touched):
        with pytest.raises(ValueError, match="cell −1 does not exist"):
            function([(3,)], -1)
        with pytest.raises(ValueError, match="cell 3 does not exist: the last is 2"):
            function([(3,)], 3, 5)
        with pytest.raises(TypeError, match=r"cell must be an integer, got 1.0"):
            function([(3,)], 1.0)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="size must be >= 1, got 0"):
            function([(3,)], 0, 0)
        with pytest.raises(ValueError, match=r"layer 2: its kernel spans 5 .* padded input has 4"):
            function([(3,), (3, 1, 0, 2)], 0, 6)
    with pytest.raises(ValueError, match="dilation must be >= 1, got 0"):
        has_holes(3, [1, 0])
    with pytest.raises(ValueError, match="kernel must be >= 1, got 0"):
        has_holes(0, [1])
    with pytest.raises(TypeError, match=r"dilation must be an integer, got 1.5"):
        has_holes(3, [1.5])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="no network 'VGG'; there are AlexNet, VGG-16"):
        network("VGG")


def test_layers_of_a_model() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, (3, 5), stride=(1, 2), padding=(1, 2)),
        nn.BatchNorm2d(8).eval(),
        nn.ReLU(),
        nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2)),
        nn.Conv2d(8, 8, 3, padding="same", dilation=2),
        nn.Conv2d(8, 8, 3, padding="valid"),
    )
    last = [Layer(3, 2, 1), Layer(2, 2), Layer(3, 1, 2, 2), Layer(3)]
    assert layers_of(model) == [Layer(5, 2, 2), *last]
    assert layers_of(model, axis=0) == [Layer(3, 1, 1), *last]
    size = 97
    shape = model(torch.zeros(1, 3, size, size)).shape
    assert shape[2:] == (cells(layers_of(model, 0), size)[-1], cells(layers_of(model), size)[-1])


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (nn.Linear(3, 3), "Linear sees every position: the receptive field is the whole input"),
        (nn.BatchNorm1d(3), "BatchNorm1d in training mode sees every position"),
        (nn.GroupNorm(1, 3), "GroupNorm sees every position"),
        (nn.InstanceNorm1d(3), "InstanceNorm1d sees every position"),
        (nn.AdaptiveAvgPool2d(1), "AdaptiveAvgPool2d sees every position"),
        (nn.Upsample(scale_factor=2), "Upsample is neither"),
        (nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular"), "circular padding"),
        (nn.Conv1d(1, 1, 2, padding="same"), "'same' pads its two ends differently"),
    ],
)
def test_modules_without_a_field_of_their_own_are_refused(module: nn.Module, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        layers_of(nn.Sequential(module))


def test_layers_of_takes_a_sequential() -> None:
    with pytest.raises(TypeError, match=r"model must be an nn.Sequential, got Conv2d"):
        layers_of(nn.Conv2d(1, 1, 3))  # type: ignore[arg-type]


# --- the effective field ---


def ones_net(depth: int) -> nn.Sequential:
    layers = [nn.Conv2d(1, 1, 3, padding=1, bias=False, dtype=torch.float64) for _ in range(depth)]
    for layer in layers:
        nn.init.ones_(layer.weight)
    return nn.Sequential(*layers)


def test_uniform_weights_give_the_repeated_box() -> None:
    row = np.ones(1)
    for _ in range(4):
        row = np.convolve(row, np.ones(3))
    expected = np.zeros((13, 13))
    expected[2:11, 2:11] = np.outer(row, row) / row.max() ** 2
    measured = effective_receptive_field(ones_net(4), (1, 13, 13))
    assert measured.dtype == np.float64
    assert_allclose(measured, expected, atol=1e-12)
    # The variance of a repeated box: 4 layers of (9 - 1) / 12.
    x = np.arange(-4, 5)
    assert_allclose((row * x**2).sum() / row.sum(), 4 * (9 - 1) / 12)


def test_draws_fill_in_what_a_maximum_hides() -> None:
    model = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.MaxPool2d(3, 1, 1))
    one = effective_receptive_field(model, (1, 9, 9), draws=1)
    many = effective_receptive_field(model, (1, 9, 9), draws=400)
    assert np.count_nonzero(one) == 1
    assert np.count_nonzero(many) == 25


def test_measuring_repeats_itself_and_leaves_torch_alone() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3))
    state = torch.random.get_rng_state()
    with torch.no_grad():
        first = effective_receptive_field(model, (2, 7, 7))
    assert_array_equal(first, effective_receptive_field(model, (2, 7, 7)))
    assert (first != effective_receptive_field(model, (2, 7, 7), seed=1)).any()
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert first.max() == 1
    assert np.count_nonzero(first) == 25


def test_effective_size() -> None:
    influence = np.zeros((5, 5))
    influence[2, 2], influence[2, 3], influence[0, 0], influence[0, 1] = 2, 1, 0.1, 0.0909
    assert effective_size(influence) == math.sqrt(3)
    assert effective_size(influence, level=0) == 2
    assert effective_size(influence, 0.5) == 1
    assert effective_size(np.ones((3, 3))) == 3


def test_bad_arguments_of_the_effective_field_are_refused() -> None:
    model = ones_net(1)
    with pytest.raises(ValueError, match=r"shape must be \(C, H, W\), got \(5, 5\)"):
        effective_receptive_field(model, (5, 5))
    with pytest.raises(ValueError, match="shape must be >= 1, got 0"):
        effective_receptive_field(model, (1, 0, 5))
    with pytest.raises(ValueError, match="draws must be >= 1, got 0"):
        effective_receptive_field(model, (1, 5, 5), draws=0)
    with pytest.raises(ValueError, match=r"must return \(1, C, H, W\), got \(1, 25\)"):
        effective_receptive_field(nn.Flatten(), (1, 5, 5))
    nn.init.zeros_(model[0].weight)
    with pytest.raises(ValueError, match="did not depend on the input in any of 4 draws"):
        effective_receptive_field(model, (1, 5, 5))
    with pytest.raises(ValueError, match="influence is 0 everywhere"):
        effective_size(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="influence must be >= 0, got -1"):
        effective_size([[1, -1]])
    with pytest.raises(ValueError, match="influence must have 2 dimensions"):
        effective_size([1.0])
    with pytest.raises(ValueError, match=r"level must be in \[0, 1\), got 1"):
        effective_size(np.ones((2, 2)), 1)
