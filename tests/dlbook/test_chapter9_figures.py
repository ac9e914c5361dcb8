"""The figures of chapter 9: controls, captions, the numbers of the text, named failures."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from support.chapters import Defaults, figure_in, namespace_with

from livefigure import LiveFigure

NAMES = ("groups", "savings", "roofline", "stuffing", "matrix", "checkerboard", "offset")

Figures = dict[str, tuple[LiveFigure, Defaults]]


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    names: dict[str, Any] = namespace_with("09_special_convolutions.ipynb", NAMES[-1])
    return names


@pytest.fixture(scope="module")
def figures(namespace: dict[str, Any]) -> Figures:
    return {name: ((figure := figure_in(namespace, name)), Defaults(figure)) for name in NAMES}


def number(pattern: str, text: str) -> float:
    """Return the number that a pattern's first group holds in a caption."""
    match = re.search(pattern, text)
    assert match is not None, text
    return float(match[1].replace("−", "-").replace(",", ""))


@pytest.mark.parametrize(
    ("name", "states", "defaults"),
    [
        ("groups", 384, {"groups": 2, "kernel": 3, "out_channels": 8, "pointwise": "no",
                         "output": 3}),
        ("savings", 96, {"out_channels": 128, "in_channels": 64, "kernel": 3}),
        ("roofline", 225, {"channels": 256, "side": 28, "kernel": 3, "batch": 1}),
        ("stuffing", 2880, {"size": 3, "kernel": 3, "stride": 2, "padding": 1,
                            "output_padding": 0, "cell": 1}),
        ("matrix", 1200, {"size": 6, "kernel": 3, "stride": 2, "padding": 1, "entry": 1}),
        ("checkerboard", 90, {"kernel": 4, "stride": 2, "weights": "random",
                              "method": "transposed"}),
        ("offset", 2601, {"y": 2.5, "x": 3.5, "mask": 1, "tap": "center"}),
    ],
)  # fmt: skip
def test_controls_and_defaults(
    figures: Figures, name: str, states: int, defaults: dict[str, Any]
) -> None:
    figure, at = figures[name]
    at.caption()
    assert figure.states == states
    assert {key: widget.value for key, widget in figure.controls.items()} == defaults


@pytest.mark.parametrize("name", NAMES)
def test_limits_stay_and_captions_are_sentences(
    figures: Figures, namespace: dict[str, Any], name: str
) -> None:
    """Some of all states, called directly: drawing them would add nothing."""
    figure, at = figures[name]
    at.caption()
    axes = namespace[f"{name}_fig"].axes
    limits = [(ax.get_xlim(), ax.get_ylim()) for ax in axes]
    shape = [len(widget._options_values) if hasattr(widget, "_options_values")
             else round((widget.max - widget.min) / getattr(widget, "step", 1)) + 1
             for widget in figure.controls.values()]  # fmt: skip
    assert np.prod(shape) == figure.states
    texts = [figure._call(state) for state in list(np.ndindex(*shape))[::11]]
    for text in texts:
        assert text.endswith(".")
        assert not re.search(r"\bnan\b|\binf\b|-\d|np\.", text), text
    assert len(set(texts)) > len(texts) / 3  # a cell or row that is not there snaps
    assert [(ax.get_xlim(), ax.get_ylim()) for ax in axes] == limits


# --- groups ---


def test_groups_say_what_autograd_says(figures: Figures) -> None:
    _, at = figures["groups"]
    for groups, out, o in itertools.product((1, 2, 4, 8), (8, 16), (0, 3, 7)):
        x = torch.ones(1, 8, 3, 3, requires_grad=True)
        layer = torch.nn.Conv2d(8, out, 3, groups=groups, bias=False)
        torch.nn.init.ones_(layer.weight)
        (grad,) = torch.autograd.grad(layer(x)[0, o].sum(), x)
        missing = [c for c in range(8) if not grad[0, c].any()]
        text = at.caption(groups=groups, out_channels=out, output=o)
        assert number(r": ([\d,]+) weights", text) == layer.weight.numel()
        if not missing:
            assert f"Output {o} sees every channel." in text
            continue
        named = re.search(r"never sees channels? ([\d–, ]+)\.", text)
        assert named is not None
        found: list[int] = []
        for part in named[1].split(", "):
            first, *last = (int(end) for end in part.split("–"))
            found += range(first, (last[0] if last else first) + 1)
        assert found == missing


def test_groups_numbers_of_the_text(figures: Figures) -> None:
    _, at = figures["groups"]
    text = at.caption()
    assert "288 weights, 50% of 576. Output 3 never sees channels 4–7." in text
    assert "channels 0–2, 4–7" in at.caption(groups=8)
    assert "12.5% of 576" in at.caption(groups=8)
    assert "The 1×1 layer adds 64: 352 together." in at.caption(pointwise="yes")
    assert "sees every channel" in at.caption(groups=8, pointwise="yes")


# --- savings ---


def test_savings(figures: Figures) -> None:
    _, at = figures["savings"]
    assert "576 + 8,192 weights for 73,728" in at.caption()
    assert "= 0.1189, 8.4 times less" in at.caption()
    assert "= 0.1131, 8.8 times less" in at.caption(out_channels=512, in_channels=512)
    for out, kernel in itertools.product((8, 128, 1024), (1, 3, 5, 7)):
        texts = [at.caption(out_channels=out, kernel=kernel, in_channels=c) for c in (8, 64, 512)]
        ratios = {number(r"= ([\d.]+)[,:]", text) for text in texts}
        assert ratios == {round(1 / out + 1 / kernel**2, 4)}
        assert all(("more than the standard" in text) == (kernel == 1) for text in texts)


# --- roofline ---


def test_roofline_numbers_of_the_text(figures: Figures) -> None:
    _, at = figures["roofline"]
    text = at.caption()
    assert "2.24 FLOP/byte, at most 17.8% of peak" in text
    assert "at least 2.2% of the standard layer's, with 0.4% of the MACs" in text
    assert "11.5% of the MACs, at least 13.3% of the time. Bound by memory: depthwise." in text
    assert "at most 17.9% of peak" in at.caption(batch=8)
    assert "12.7% of the MACs, at least 19.8%" in at.caption(channels=64, side=56, batch=8)
    assert "11.3% of the MACs, at least 12.2%" in at.caption(channels=512, side=14)
    assert "11.88 FLOP/byte, at most 94.7% of peak" in at.caption(kernel=7)
    assert "12.20 FLOP/byte" in at.caption(kernel=7, batch=8)


def test_roofline_is_below_the_roof(figures: Figures, namespace: dict[str, Any]) -> None:
    _, at = figures["roofline"]
    for channels, side, kernel, batch in itertools.product((32, 512), (7, 112), (3, 7), (1, 32)):
        at.caption(channels=channels, side=side, kernel=kernel, batch=batch)
        for kind, dot in namespace["roofline_dots"].items():
            flops, moved = namespace["layer_work"](kind, channels, side, kernel, batch)
            (x,), (y,) = dot.get_data()
            assert x == pytest.approx(flops / moved)
            assert y == pytest.approx(min(19.5, 1.555 * x))
            assert 0.7 < x < 9000 and 0.9 < y < 60


# --- stuffing ---


def test_stuffing_is_torchs(figures: Figures) -> None:
    _, at = figures["stuffing"]
    taps = torch.tensor([1.0, 2, 3, 1, 2])
    for n, k, s, p, extra in itertools.product(range(2, 5), range(1, 6), range(1, 5), (0, 1, 2),
                                               (0, 1)):  # fmt: skip
        how = {"stride": s, "padding": p, "output_padding": extra}
        text = at.caption(size=n, kernel=k, cell=2, **how)
        given = torch.arange(1.0, n + 1).view(1, 1, -1), taps[:k].view(1, 1, -1)
        length = (n - 1) * s - 2 * p + k + extra
        if extra >= s:
            with pytest.raises(RuntimeError, match="output padding must be smaller than either"):
                F.conv_transpose1d(*given, **how)
            assert "output padding must be smaller than either stride or dilation." in text
        elif length < 1:
            assert "size 0 or less" in text
        else:
            out = F.conv_transpose1d(*given, **how).flatten()
            ones = F.conv_transpose1d(torch.ones_like(given[0]), torch.ones_like(given[1]), **how)
            cell = min(2, length - 1)
            assert number(r"size .* = (\d+)\. Output", text) == len(out)
            assert number(r"Output \d+ is (\d+)", text) == out[cell]
            assert number(r"from (\d+) input", text) == ones.flatten()[cell]
            assert ("cut off" in text) == (p > k - 1)
            assert ("nothing" in text) == bool((ones == 0).any())


def test_stuffing_numbers_of_the_text(figures: Figures) -> None:
    _, at = figures["stuffing"]
    assert "size (3 − 1)·2 − 2·1 + 3 = 5. Output 1 is 5, from 2 inputs." in at.caption()
    assert "Outputs get between 1 and 2." in at.caption()
    assert " = 3. " in at.caption(padding=2)
    assert "Outputs 2 and 5 get nothing." in at.caption(kernel=2, stride=3, padding=0)
    assert "cut off, 1 at the start and 1 at the end" in at.caption(kernel=1)
    assert "= −1, size 0 or less" in at.caption(size=2, kernel=1, stride=2, padding=2)


# --- matrix ---


def test_matrix_is_a_convolution_and_its_transpose(
    figures: Figures, namespace: dict[str, Any]
) -> None:
    _, at = figures["matrix"]
    weights = np.array([1.0, 2, 3, 1, 2])
    refused = padding_rows = 0
    errors = {}
    for n, k, s, p in itertools.product(range(4, 9), range(1, 6), (1, 2, 3), (0, 1)):
        text = at.caption(size=n, kernel=k, stride=s, padding=p, entry=0)
        if k > n + 2 * p:
            refused += 1
            assert "the kernel is larger than the row of 4" in text
            continue
        w = torch.from_numpy(weights[:k] / np.linalg.norm(weights[:k])).view(1, 1, -1)
        x = torch.arange(1.0, n + 1, dtype=torch.float64).view(1, 1, -1)
        y = F.conv1d(x, w, stride=s, padding=p)
        extra = (n + 2 * p - k) % s
        back = F.conv_transpose1d(y, w, stride=s, padding=p, output_padding=extra)
        _, _, ours, ours_back = namespace["matrix_parts"](n, k, s, p)
        np.testing.assert_allclose(ours, y.flatten().numpy())
        np.testing.assert_allclose(ours_back, back.flatten().numpy())
        errors[n, k, s, p] = float((back - x).norm() / x.norm())
        assert f"C is {y.shape[-1]} × {n}" in text
        padding_rows += "reads only padding" in text
        if errors[n, k, s, p] > 1e-9:
            assert number(r"CᵀCx: ([\d.]+)", text) == round(errors[n, k, s, p], 2)
    assert refused == 3  # 24 states, with the eight rows
    assert padding_rows == 15  # row 0, for kernel 1 with padding 1
    identities = [setting for setting, error in errors.items() if error < 1e-9]
    assert identities == [(n, 1, 1, p) for n in range(4, 9) for p in (0, 1)]
    others = [error for error in errors.values() if error > 1e-9]
    assert (min(others), max(others)) == pytest.approx((0.13, 1.95), abs=0.006)


def test_matrix_numbers_of_the_text(figures: Figures) -> None:
    _, at = figures["matrix"]
    assert "C is 3 × 6" in at.caption()
    assert "Relative error of CᵀCx: 0.31, not an inverse." in at.caption()
    assert "1.17, not an inverse" in at.caption(stride=1)
    assert "1.09" in at.caption(kernel=4, stride=1, padding=0)
    assert "0.21" in at.caption(kernel=2, padding=0)
    assert "CᵀCx = x" in at.caption(kernel=1, stride=1)
    assert "its last row, 2, is lit" in at.caption(entry=7)
    assert "Row 0 reads only padding." in at.caption(kernel=1, entry=0)


# --- checkerboard ---


@pytest.mark.parametrize(
    ("kernel", "stride", "weights", "due"),
    [
        (3, 2, "equal", 0.48), (5, 2, "equal", 0.29), (4, 3, "equal", 0.52),
        (2, 3, "equal", 1.12), (2, 2, "equal", 0), (4, 2, "equal", 0), (6, 2, "equal", 0),
        (3, 3, "equal", 0), (6, 3, "equal", 0), (3, 2, "triangle", 0), (4, 3, "triangle", 0),
        (5, 3, "triangle", 0), (3, 3, "triangle", 0.52), (4, 2, "random", 0.32),
    ],
)  # fmt: skip
def test_checkerboard_numbers(
    figures: Figures, kernel: int, stride: int, weights: str, due: float
) -> None:
    _, at = figures["checkerboard"]
    text = at.caption(kernel=kernel, stride=stride, weights=weights)
    assert number(r"mean ([\d.]+)\. ", text) == due
    assert ("lat" in text) == (due == 0)
    assert ("holes" in text) == (kernel < stride)
    flat = at.caption(kernel=kernel, stride=stride, weights=weights, method="resize + convolution")
    assert flat.endswith("mean 0. Flat.")


def test_checkerboard_is_torchs(figures: Figures, namespace: dict[str, Any]) -> None:
    _, at = figures["checkerboard"]
    for kernel, stride in itertools.product(range(2, 7), (2, 3, 4)):
        at.caption(kernel=kernel, stride=stride)
        w = torch.from_numpy(np.random.default_rng(0).random((kernel, kernel)))[None, None]
        ones = torch.ones(1, 1, 6, 6, dtype=torch.float64)
        out = F.conv_transpose2d(ones, w, stride=stride)[0, 0].numpy()
        shown = np.asarray(namespace["checkerboard_image"].get_array())
        np.testing.assert_allclose(shown, out / out.max())
        assert namespace["unevenness"](kernel, stride, "random", "resize") < 1e-12


def test_checkerboard_captions_name_the_surprises(figures: Figures) -> None:
    _, at = figures["checkerboard"]
    assert "Even counts, and yet a checkerboard." in at.caption()
    assert "Uneven counts, and yet flat." in at.caption(kernel=3, weights="triangle")


# --- offset ---


def test_offset_values_and_slopes_are_grid_samples(
    figures: Figures, namespace: dict[str, Any]
) -> None:
    _, at = figures["offset"]
    image = torch.from_numpy(namespace["OFFSET_IMAGE"])[None, None]
    for y, x in itertools.product(np.arange(-1.5, 7, 0.5), repeat=2):
        grid = torch.tensor([[[[(2 * x + 1) / 6 - 1, (2 * y + 1) / 6 - 1]]]], dtype=torch.float64)
        read = F.grid_sample(image, grid.requires_grad_(), align_corners=False)
        text = at.caption(y=y, x=x)
        value = number(r"Value ([\d.]+), times", text)
        assert value == pytest.approx(read.item(), abs=1e-6)
        if "Wholly outside" in text:
            assert value == 0
        elif x % 1:
            (grad,) = torch.autograd.grad(read.sum(), grid)
            slope = number(r"gradient along x is (−?[\d.]+)\.", text)
            assert slope == pytest.approx(grad[0, 0, 0, 0].item() / 3, abs=1e-6)


def test_offset_output(figures: Figures, namespace: dict[str, Any]) -> None:
    _, at = figures["offset"]
    image, kernel = namespace["OFFSET_IMAGE"], namespace["OFFSET_KERNEL"]
    home = {"first": (1, 1), "center": (2, 2), "last": (3, 3)}
    for tap, (a, b) in home.items():
        at_home = at.caption(tap=tap, y=float(a), x=float(b))
        plain = float((image[1:4, 1:4] * kernel).sum())
        assert number(r"the output is (−?[\d.]+)\. ", at_home) == pytest.approx(plain, rel=1e-3)
        off = at.caption(tap=tap, mask=0)
        due = plain - image[a, b] * kernel[a - 1, b - 1]
        assert number(r"the output is (−?[\d.]+)\. ", off) == pytest.approx(due, rel=1e-3)


def test_offset_named_states(figures: Figures) -> None:
    _, at = figures["offset"]
    assert "offset (0.5, 1.5). Value 3.25" in at.caption()
    assert "Wholly outside: value 0, gradient 0, the offset cannot come back." in at.caption(y=6.5)
    assert "Wholly outside" in at.caption(x=6.0)
    assert "Wholly outside" not in at.caption(x=-1.0)
    assert "Value 0, " in at.caption(x=-1.0)
    assert "Value 1.5," in at.caption(y=0.0, x=-0.5)
    assert "One of the corners in use is outside" in at.caption(y=0.0, x=-0.5)
    assert "3 of the corners in use are outside" in at.caption(y=-0.5, x=-0.5)
    assert "The gradient along x jumps here, from" in at.caption(x=3.0)
