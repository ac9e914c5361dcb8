"""The numbers in ``book/questions/09_special_convolutions.yml``, computed where they can be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import nn

from dlbook import special_convolutions as ours
from dlbook.output_size import output_size, transposed_output_size

Floats = NDArray[np.float64]

PEAK, BANDWIDTH = 19.5e12, 1555e9


def weights(*layers: nn.Module) -> int:
    return sum(p.numel() for layer in layers for p in layer.parameters())


def conv(c_in: int, c_out: int, kernel: Any, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel, groups=groups, bias=False)


def pair(c_in: int, c_out: int, kernel: int) -> int:
    return weights(conv(c_in, c_in, kernel, c_in), conv(c_in, c_out, 1))


# --- Groups ---


def test_groups_divide_the_weights() -> None:
    assert [weights(conv(8, 8, 3, g)) for g in (1, 2, 4, 8)] == [576, 288, 144, 72]
    for g in (1, 2, 4, 8):
        assert ours.parameters_and_macs(8, 8, 3, 10, g) == (576 // g, 57_600 // g)


def test_groups_never_meet_without_a_shuffle() -> None:
    x = torch.randn(1, 8, 4, 4, requires_grad=True)
    two = nn.Sequential(conv(8, 8, 1, 2), conv(8, 8, 1, 2))
    (grad,) = torch.autograd.grad(two(x)[0, 0].sum(), x)
    assert not grad[0, 4:].any() and grad[0, :4].all()
    shuffled = nn.Sequential(conv(8, 8, 1, 2), nn.ChannelShuffle(2), conv(8, 8, 1, 2))
    (grad,) = torch.autograd.grad(shuffled(x)[0, 0].sum(), x)
    assert grad[0].all()


def test_depthwise_shapes() -> None:
    assert conv(64, 64, 3, 64).weight.shape == (64, 1, 3, 3)
    assert conv(64, 128, 3, 64).weight.shape == (128, 1, 3, 3)
    assert weights(conv(64, 64, 3, 64)) == 576
    assert weights(nn.Conv2d(64, 64, 3, groups=64)) == 576 + 64
    assert (weights(conv(32, 32, 5, 32)), weights(conv(32, 32, 5))) == (800, 25_600)


def test_groups_must_divide_both() -> None:
    with pytest.raises(ValueError, match="in_channels must be divisible by groups"):
        nn.Conv2d(3, 8, 3, groups=2)
    with pytest.raises(ValueError, match="out_channels must be divisible by groups"):
        nn.Conv2d(3, 8, 3, groups=3)
    with pytest.raises(ValueError, match="groups 2 does not divide 3 input channels"):
        ours.parameters_and_macs(3, 8, 3, 1, 2)


def test_pair_is_rank_one() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(4, 1, 3, 3)), rng.normal(size=(12, 4, 1, 1))
    joined = b * a[:, 0]
    assert [np.linalg.matrix_rank(joined[:, c].reshape(12, 9)) for c in range(4)] == [1] * 4
    assert np.linalg.matrix_rank(rng.normal(size=(12, 9))) == 9
    x = rng.normal(size=(1, 4, 6, 6))
    one = F.conv2d(torch.from_numpy(x), torch.from_numpy(joined))
    np.testing.assert_allclose(ours.depthwise_separable(x, a, b), one.numpy())


# --- Depthwise separable ---


def test_two_halves() -> None:
    assert conv(16, 32, 1).weight.shape == (32, 16, 1, 1)
    assert (pair(16, 32, 3), weights(conv(16, 32, 3))) == (144 + 512, 4608)
    assert 144 + 512 == 656


def test_saving() -> None:
    assert (pair(64, 128, 3), weights(conv(64, 128, 3))) == (8768, 73_728)
    assert 8768 / 73_728 == pytest.approx(1 / 128 + 1 / 9) == pytest.approx(0.119, abs=5e-4)
    assert pytest.approx(8.4, abs=0.05) == 73_728 / 8768
    assert pytest.approx(0.93, abs=0.005) == 8192 / 8768
    assert pytest.approx(0.1131, abs=5e-5) == 1 / 512 + 1 / 9
    assert pytest.approx(8.8, abs=0.05) == 1 / (1 / 512 + 1 / 9)
    assert pair(8, 4, 1) / weights(conv(8, 4, 1)) == pytest.approx(1 + 1 / 4)
    assert pair(8, 1, 3) > weights(conv(8, 1, 3))


def test_saving_cancels_input_channels() -> None:
    ratios = {pair(c, 96, 3) / weights(conv(c, 96, 3)) for c in (1, 3, 64, 512)}
    assert max(ratios) == pytest.approx(min(ratios))


def test_one_by_one_mixes_channels() -> None:
    layer, x = conv(3, 5, 1), torch.randn(1, 3, 4, 4)
    matrix = layer.weight[:, :, 0, 0]
    torch.testing.assert_close(layer(x), torch.einsum("oc,nchw->nohw", matrix, x))


def test_wrong_count() -> None:
    assert (9 + 64) * 128 == 9344
    assert 64 * 9 + 64 * 128 == pair(64, 128, 3) == 8768
    assert pair(64, 64, 3) == (9 + 64) * 64


def test_spatially_separable() -> None:
    sobel = np.outer([1, 2, 1], [1, 0, -1])
    laplacian = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    assert [np.linalg.matrix_rank(w) for w in (sobel, laplacian)] == [1, 2]
    values = np.linalg.svd(laplacian, compute_uv=False)
    assert values[0] ** 2 / (values**2).sum() == pytest.approx(0.99, abs=0.005)
    x = torch.randn(1, 1, 6, 6, dtype=torch.float64)
    down, across = (torch.tensor(v, dtype=torch.float64) for v in ([1, 2, 1], [1, 0, -1]))
    twice = F.conv2d(F.conv2d(x, down.view(1, 1, 3, 1)), across.view(1, 1, 1, 3))
    torch.testing.assert_close(twice, F.conv2d(x, torch.from_numpy(sobel)[None, None].double()))


def test_ways_to_cut() -> None:
    full = weights(conv(256, 256, 3))
    left = [
        weights(conv(256, 256, (3, 1)), conv(256, 256, (1, 3))),
        weights(conv(256, 256, 3, 4)),
        weights(conv(256, 64, 1), conv(64, 64, 3), conv(64, 256, 1)),
        pair(256, 256, 3),
    ]
    assert (full, left) == (589_824, [393_216, 147_456, 69_632, 67_840])
    assert [round(100 * n / full, 1) for n in left] == [66.7, 25.0, 11.8, 11.5]


def test_block_parameters() -> None:
    assert weights(conv(128, 128, 3)) == 147_456
    assert weights(conv(128, 128, 3, 4)) == 36_864
    assert pair(128, 128, 3) == 17_536
    assert weights(conv(128, 32, 1), conv(32, 32, 3), conv(32, 128, 1)) == 17_408


# --- MACs and time ---


def work(kind: str, channels: int, side: int, kernel: int, batch: int) -> tuple[int, int]:
    """Return FLOPs and bytes of a layer in float32."""
    width = 1 if kind == "pointwise" else kernel
    layer = conv(channels, channels, width, channels if kind == "depthwise" else 1)
    places = batch * side**2
    return 2 * weights(layer) * places, 4 * (2 * channels * places + weights(layer))


def least_time(kind: str, *setting: int) -> float:
    flops, moved = work(kind, *setting)
    return max(flops / PEAK, moved / BANDWIDTH)


def test_intensities() -> None:
    def intensity(kind: str, *setting: int) -> float:
        flops, moved = work(kind, *setting)
        return flops / moved

    assert pytest.approx(12.5, abs=0.05) == PEAK / BANDWIDTH
    assert intensity("standard", 256, 28, 3, 1) == pytest.approx(233, abs=0.5)
    assert intensity("pointwise", 256, 28, 3, 1) == pytest.approx(55, abs=0.1)
    assert intensity("depthwise", 256, 28, 3, 1) == pytest.approx(2.24, abs=0.005)
    assert intensity("depthwise", 256, 28, 7, 1) == pytest.approx(11.88, abs=0.005)
    assert intensity("depthwise", 256, 28, 3, 1000) == pytest.approx(2.25, abs=0.005)
    assert pytest.approx(5.4, abs=0.05) == 49 / 9
    assert (3**2 / 4, 7**2 / 4) == (2.25, 12.25)


def test_bounds_of_the_pair() -> None:
    for setting, bound, macs in (
        ((256, 28, 3, 1), 0.133, 0.115),
        ((64, 56, 3, 8), 0.198, 0.127),
        ((512, 14, 3, 1), 0.122, 0.113),
    ):
        time = least_time("depthwise", *setting) + least_time("pointwise", *setting)
        assert time / least_time("standard", *setting) == pytest.approx(bound, abs=6e-4)
        assert 1 / setting[0] + 1 / setting[2] ** 2 == pytest.approx(macs, abs=6e-4)
    flops, _ = work("depthwise", 256, 28, 3, 1)
    assert flops / least_time("depthwise", 256, 28, 3, 1) / PEAK == pytest.approx(0.18, abs=0.005)


def test_seven_by_seven() -> None:
    assert weights(conv(96, 96, 7, 96)) == 4704
    assert weights(conv(96, 96, 1)) == 9216


def test_mobilenet_counts() -> None:
    steps = [(32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1)]
    steps += [(256, 512, 2), *[(512, 512, 1)] * 5, (512, 1024, 2), (1024, 1024, 1)]
    layers: dict[str, list[tuple[nn.Module, int]]] = {"depthwise": [], "1×1": []}
    side = 112
    layers["first"] = [(conv(3, 32, 3), side)]
    for c_in, c_out, stride in steps:
        side //= stride
        layers["depthwise"].append((conv(c_in, c_in, 3, c_in), side))
        layers["1×1"].append((conv(c_in, c_out, 1), side))
    counts = {
        name: np.array([(weights(layer), weights(layer) * n * n) for layer, n in found]).sum(0)
        for name, found in layers.items()
    }
    counts["classifier"] = np.array([1024 * 1000 + 1000, 1024 * 1000])
    total = sum(counts.values(), np.zeros(2, int))
    assert total[0] == pytest.approx(4.2e6, rel=0.01)
    assert total[1] == pytest.approx(568.7e6, rel=1e-3)
    shares = {name: np.round(100 * count / total).tolist() for name, count in counts.items()}
    assert shares["1×1"] == [75, 95]
    assert shares["depthwise"] == [1, 3]
    assert shares["classifier"][0] == 24
    millions = [round(counts[name][1] / 1e6, 1) for name in ("1×1", "depthwise", "first")]
    assert millions == [539.5, 17.4, 10.8]
    assert counts["classifier"][1] / 1e6 == pytest.approx(1.0, abs=0.05)


def test_relu_on_few_channels() -> None:
    points = np.random.default_rng(0).normal(size=(2000, 2))
    shares = []
    for channels in (2, 4, 8, 16):
        lost = [
            ((points @ np.random.default_rng(seed).normal(size=(2, channels)) > 0).sum(1) < 2)
            for seed in range(50)
        ]
        shares.append(round(100 * np.mean(lost)))
    assert shares == [71, 33, 5, 0]


def test_h_swish() -> None:
    x = torch.linspace(-5, 5, 41)
    torch.testing.assert_close(F.hardswish(x), x * F.relu6(x + 3) / 6)


# --- Transposed convolution ---


def test_transposed_is_no_inverse() -> None:
    best = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        matrix = ours.convolution_matrix(rng.normal(size=(3, 3)), 6, 2, 1)
        x = rng.normal(size=36)
        assert matrix.shape == (9, 36)
        assert np.linalg.matrix_rank(matrix) == 9
        assert np.linalg.norm(matrix.T @ matrix @ x - x) > 0.5 * np.linalg.norm(x)
        off = np.linalg.pinv(matrix) @ matrix @ x - x
        best.append(np.linalg.norm(off) / np.linalg.norm(x))
    assert np.mean(best) == pytest.approx(np.sqrt(27 / 36), abs=0.03)
    assert np.sqrt(27 / 36) == pytest.approx(0.87, abs=0.005)


def test_only_orthonormal_columns_invert() -> None:
    one = ours.convolution_matrix(np.array([[-1.0]]), 5)
    np.testing.assert_array_equal(one.T @ one, np.eye(25))
    shift = ours.convolution_matrix(np.array([[0.0, 0, 1]]), (1, 5), 1, (0, 2))
    np.testing.assert_array_equal(shift.T @ shift, np.eye(5))
    unit = np.array([[0.6, 0.8]])
    apart = ours.convolution_matrix(unit, (1, 6), (1, 2))
    np.testing.assert_allclose(apart @ apart.T, np.eye(3))
    assert np.linalg.matrix_rank(apart.T @ apart) == 3
    near = ours.convolution_matrix(unit, (1, 6), 1, (0, 1))
    assert np.abs(near.T @ near - np.eye(6)).max() > 0.4


def test_three_ways_agree() -> None:
    x = w = np.array([1.0, 2, 3])
    due = [2, 5, 4, 9, 6]
    theirs = F.conv_transpose1d(*(torch.from_numpy(v)[None, None] for v in (x, w)), stride=2,
                                padding=1)  # fmt: skip
    assert theirs.flatten().tolist() == due
    matrix = ours.convolution_matrix(w[None], (1, 5), (1, 2), (0, 1))
    assert (matrix.T @ x).tolist() == due
    canvas = np.zeros(7)
    for i in range(3):
        canvas[2 * i : 2 * i + 3] += x[i] * w
    assert canvas[1:-1].tolist() == due
    stuffed = ours.stuff_zeros(x[None, None, None], (1, 2))[0, 0, 0]
    assert np.correlate(np.pad(stuffed, 1), w[::-1], "valid").tolist() == due
    impulse = torch.zeros(1, 1, 1, 1) + 1
    kernel = torch.arange(9.0).view(1, 1, 3, 3)
    torch.testing.assert_close(F.conv_transpose2d(impulse, kernel), kernel)


def test_negative_padding_crops() -> None:
    x = torch.tensor([[[1.0, 2, 3]]])
    up = F.conv_transpose1d(x, torch.ones(1, 1, 1), stride=2, padding=1)
    assert up.flatten().tolist() == [0, 2, 0]  # of 1 0 2 0 3


def test_gradient_is_the_transpose() -> None:
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(3, 3)), torch.randn(1, 1, 6, 6, dtype=torch.float64)
    y = F.conv2d(x.requires_grad_(), torch.from_numpy(w)[None, None], stride=2, padding=1)
    grad = torch.randn_like(y)
    (back,) = torch.autograd.grad(y, x, grad)
    matrix = ours.convolution_matrix(w, 6, 2, 1)
    np.testing.assert_allclose(matrix.T @ grad.flatten().numpy(), back.flatten().numpy())


def test_transposed_sizes() -> None:
    assert [output_size(n, 3, 2, 1) for n in (5, 6)] == [3, 3]
    assert [transposed_output_size(3, 3, 2, 1, extra) for extra in (0, 1)] == [5, 6]
    layer = nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1)
    for side in (1, 7, 16):
        assert layer(torch.zeros(1, 2, side, side)).shape[2:] == (2 * side, 2 * side)
    with pytest.raises(RuntimeError, match="output padding must be smaller"):
        F.conv_transpose1d(torch.ones(1, 1, 3), torch.ones(1, 1, 3), stride=2, output_padding=2)
    ends = F.conv_transpose1d(
        torch.ones(1, 1, 3), torch.ones(1, 1, 3), stride=2, padding=1, output_padding=1
    )
    assert ends[0, 0, -1] == 1


def test_weight_layouts() -> None:
    assert nn.ConvTranspose2d(6, 4, 3, groups=2).weight.shape == (6, 2, 3, 3)
    assert nn.Conv2d(6, 4, 3, groups=2).weight.shape == (4, 3, 3, 3)
    x, w = torch.randn(1, 3, 5, 5), torch.randn(3, 3, 1, 1)
    swapped = F.conv2d(x, w.transpose(0, 1))
    torch.testing.assert_close(F.conv_transpose2d(x, w), swapped)


def test_written_in_ten_lines() -> None:
    def transposed(x: Floats, w: Floats, s: int, p: int, d: int) -> Floats:
        (n, _, height, width), (_, c_out, k, _) = x.shape, w.shape
        spans = [(m - 1) * s + d * (k - 1) + 1 for m in (height, width)]
        out = np.zeros((n, c_out, *spans))
        for a, b in np.ndindex(k, k):
            rows = slice(a * d, a * d + s * (height - 1) + 1, s)
            columns = slice(b * d, b * d + s * (width - 1) + 1, s)
            out[:, :, rows, columns] += np.einsum("nchw,co->nohw", x, w[:, :, a, b])
        return out[:, :, p : spans[0] - p, p : spans[1] - p]

    rng = np.random.default_rng(0)
    for s, p, d in ((1, 0, 1), (2, 1, 1), (3, 2, 2), (2, 0, 2)):
        x, w = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(3, 2, 3, 3))
        how = {"stride": s, "padding": p, "dilation": d}
        theirs = F.conv_transpose2d(torch.from_numpy(x), torch.from_numpy(w), **how)
        np.testing.assert_allclose(transposed(x, w, s, p, d), theirs.numpy(), atol=1e-12)


def test_stuffing_by_hand() -> None:
    stuffed = ours.stuff_zeros(np.ones((1, 1, 1, 3)), (1, 2))
    assert stuffed.shape[3] == 5
    assert output_size(5 + 2 * (4 - 1 - 1), 4) == transposed_output_size(3, 4, 2, 1) == 6


def test_backward_of_transposed() -> None:
    x, w = torch.randn(1, 3, 5, 5, requires_grad=True), torch.randn(3, 2, 3, 3)
    y = F.conv_transpose2d(x, w, stride=2, padding=1)
    grad = torch.randn_like(y)
    (back,) = torch.autograd.grad(y, x, grad)
    torch.testing.assert_close(back, F.conv2d(grad, w, stride=2, padding=1))


def spread(w: Floats, stride: int) -> float:
    """Return standard deviation over mean of the interior, for a constant input."""
    kernel = len(w)
    out = ours.transposed_conv2d(np.ones((1, 1, 12, 12)), w[None, None], stride=stride)[0, 0]
    length = (len(out) - 2 * kernel) // stride * stride
    inner = out[kernel : kernel + length, kernel : kernel + length]
    return float(inner.std() / inner.mean())


def test_checkerboard_numbers() -> None:
    assert spread(np.ones((3, 3)), 2) == pytest.approx(0.48, abs=0.005)
    assert spread(np.ones((4, 4)), 2) == pytest.approx(0, abs=1e-12)
    assert spread(np.outer([0.5, 1, 0.5], [0.5, 1, 0.5]), 2) == pytest.approx(0, abs=1e-12)
    for kernel, mean in ((2, 0.51), (4, 0.24)):
        found = [spread(np.random.default_rng(n).random((kernel,) * 2), 2) for n in range(200)]
        assert np.mean(found) == pytest.approx(mean, abs=0.005)


def test_residue_sums_decide() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, c = rng.random(2)
        assert spread(np.outer([a, a + c, c], [a, a + c, c]), 2) == pytest.approx(0, abs=1e-12)
        assert spread(np.outer([a, a + c + 0.1, c], [1, 2, 1]), 2) > 1e-3


# --- Ways up and dilation ---


def test_pixel_shuffle_is_transposed() -> None:
    x, w = torch.randn(1, 3, 4, 4), torch.randn(3, 2, 2, 2)
    flat = w.permute(1, 2, 3, 0).reshape(8, 3, 1, 1)  # channel = (output, row, column)
    shuffled = F.pixel_shuffle(F.conv2d(x, flat), 2)
    torch.testing.assert_close(shuffled, F.conv_transpose2d(x, w, stride=2))
    equal = w[:, :, :1, :1].expand(3, 2, 2, 2)
    nearest = F.interpolate(F.conv2d(x, equal[:, :, 0, 0].T[:, :, None, None]), scale_factor=2)
    torch.testing.assert_close(F.conv_transpose2d(x, equal, stride=2), nearest)
    assert spread(np.random.default_rng(0).random((2, 2)), 2) > 0.5


def test_unpooling_leaves_zeros() -> None:
    x = torch.rand(1, 1, 4, 4) + 1
    pooled, places = F.max_pool2d(x, 2, return_indices=True)
    back = F.max_unpool2d(pooled, places, 2)
    assert (back > 0).sum() == 4
    torch.testing.assert_close(back[back > 0], x[back > 0])


def test_dilation_keeps_weights_and_macs() -> None:
    x = torch.zeros(1, 2, 12, 12)
    plain, wide = (nn.Conv2d(2, 2, 3, padding=d, dilation=d) for d in (1, 4))
    assert weights(plain) == weights(wide)
    assert plain(x).shape == wide(x).shape == x.shape
    assert [d * 2 + 1 for d in (2, 4)] == [5, 9]


def test_maps_without_two_halvings() -> None:
    assert (224 // 8) ** 2 / (224 // 32) ** 2 == 16


# --- Deformable convolution ---


def test_offset_channels() -> None:
    x, w = np.ones((1, 4, 5, 5)), np.ones((1, 4, 3, 3))
    for groups in (1, 2, 4):
        offsets = np.zeros((1, 18 * groups, 3, 3))
        assert ours.deformable_conv2d(x, offsets, w)[0, 0, 0, 0] == 36
    with pytest.raises(ValueError, match="offsets have 9 channels, expected a multiple of"):
        ours.deformable_conv2d(x, np.zeros((1, 9, 3, 3)), w)
    assert 2 * 9 + 9 == 27


def test_offsets_make_a_dilation() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(1, 1, 6, 6)), rng.normal(size=(1, 1, 3, 3))
    outward = np.array([v for a in range(3) for b in range(3) for v in (a - 1.0, b - 1.0)])
    offsets = np.zeros((1, 18, 4, 4)) + outward[:, None, None]
    due = F.conv2d(torch.from_numpy(x), torch.from_numpy(w), padding=1, dilation=2)
    np.testing.assert_allclose(ours.deformable_conv2d(x, offsets, w), due.numpy(), atol=1e-12)


def slope(x: float, side: float) -> float:
    line = np.array([[0.0, 2, 1, 5]])
    ends = [float(ours.bilinear_sample(line, 0.0, x + h)) for h in (0.0, side * 1e-3)]
    return side * (ends[1] - ends[0]) / 1e-3


def test_slopes_of_a_line() -> None:
    assert [slope(x, 1) for x in (0.5, 1.5, 2.5)] == pytest.approx([2, -1, 4])
    assert [slope(1.0, side) for side in (-1, 1)] == pytest.approx([2, -1])
    grid = torch.tensor([[[[(2 * 0.5 + 1) / 4 - 1, 0.0]]]], requires_grad=True)
    line = torch.tensor([[[[0.0, 2, 1, 5]]]])
    (grad,) = torch.autograd.grad(F.grid_sample(line, grid, align_corners=False).sum(), grid)
    assert grad[0, 0, 0, 0] * 2 / 4 == pytest.approx(2)  # one pixel is 2/4 of the grid


def test_border_reads() -> None:
    ones = np.ones((4, 4))
    reads = [float(ours.bilinear_sample(ones, y, 1.0)) for y in (-0.5, -1.0, -1.5, 3.5, 4.0)]
    assert reads == [0.5, 0, 0, 0.5, 0]


def test_zero_start_is_half_a_convolution() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(1, 2, 5, 5)), rng.normal(size=(3, 2, 3, 3))
    mask = np.full((1, 9, 3, 3), torch.sigmoid(torch.tensor(0.0)).item())
    out = ours.deformable_conv2d(x, np.zeros((1, 18, 3, 3)), w, mask)
    plain = F.conv2d(torch.from_numpy(x), torch.from_numpy(w))
    np.testing.assert_allclose(out, plain.numpy() / 2, atol=1e-12)


def test_price_of_offsets() -> None:
    assert weights(conv(256, 18, 3)) == 41_472
    assert weights(conv(256, 27, 3)) == 62_208
    assert pytest.approx(0.07, abs=0.001) == 41_472 / 589_824


def test_order_of_offsets() -> None:
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    offsets = np.zeros((1, 2, 3, 3))
    offsets[:, 0] = 1
    moved = ours.deformable_conv2d(x, offsets, np.ones((1, 1, 1, 1)))[0, 0]
    np.testing.assert_array_equal(moved[:2], x[0, 0, 1:])
