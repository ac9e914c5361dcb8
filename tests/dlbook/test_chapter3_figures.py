"""The figures of chapter 3: controls, captions, the numbers of the text, named failures, lines."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from support.chapters import Defaults, figure_in, namespace_with
from torch.nn import functional

from livefigure import LiveFigure


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    names: dict[str, Any] = namespace_with("03_normalization.ipynb", "shift")
    return names


@pytest.fixture(scope="module")
def figures(namespace: dict[str, Any]) -> dict[str, tuple[LiveFigure, Defaults]]:
    found = {}
    for name in ("pool", "company", "memory", "spiral", "depth", "shift"):
        figure = figure_in(namespace, name)
        found[name] = (figure, Defaults(figure))
    return found


Figures = dict[str, tuple[LiveFigure, Defaults]]


def number(pattern: str, text: str) -> float:
    """Return the number that a pattern's first group holds in a caption."""
    match = re.search(pattern, text)
    assert match is not None, text
    return float(match[1].replace("−", "-").replace(",", ""))


@pytest.mark.parametrize(
    ("name", "states", "defaults"),
    [
        ("pool", 840, {"norm": "batch norm", "sample": 1, "channel": 2, "position": 3}),
        ("company", 208, {"batch": 4, "value": 1.0, "data": "normal"}),
        ("memory", 720, {"momentum": "0.1", "batch": 8, "data": "still", "step": 10}),
        ("spiral", 150, {"lr": 0.1, "weight_decay": 0.1, "start": 1}),
        (
            "depth",
            432,
            {"norm": "batch norm", "layout": "plain", "gain": 1.41, "depth": 50, "batch": 64},
        ),
        ("shift", 558, {"shift": 0.0, "scale": 1, "eps": 1e-5}),
    ],
)
def test_controls_and_defaults(
    figures: Figures, name: str, states: int, defaults: dict[str, Any]
) -> None:
    figure, at = figures[name]
    at.caption()
    assert figure.states == states
    assert {key: widget.value for key, widget in figure.controls.items()} == defaults


@pytest.mark.parametrize("name", ["pool", "company", "memory", "spiral", "shift"])
def test_captions_differ_and_limits_stay(
    figures: Figures, namespace: dict[str, Any], name: str
) -> None:
    """A seventh of all states, called directly: drawing them would add nothing."""
    figure, at = figures[name]
    at.caption()
    axes = namespace[f"{name}_fig"].axes
    limits = [(ax.get_xlim(), ax.get_ylim()) for ax in axes]
    shape = [len(widget._options_values) if hasattr(widget, "_options_values")
             else round((widget.max - widget.min) / widget.step) + 1
             for widget in figure.controls.values()]  # fmt: skip
    states = list(np.ndindex(*shape))[::7]
    texts = [figure._call(state) for state in states]
    assert len(set(texts)) == len(texts)
    assert not any(re.search(r"\bnan\b|\binf\b", text) for text in texts)
    assert [(ax.get_xlim(), ax.get_ylim()) for ax in axes] == limits
    for ax in axes:
        for line in ax.lines:
            points = np.asarray(line.get_xydata(), dtype=float)
            assert len(points) <= 60
            assert np.isfinite(points).all()


# --- pool ---


def test_pool_sizes_and_numbers(figures: Figures, namespace: dict[str, Any]) -> None:
    _, at = figures["pool"]
    sizes = [
        number(r"the pool has (\d+) numbers", at.caption(norm=norm))
        for norm in namespace["POOL_NORMS"]
    ]
    assert sizes == [20, 30, 6, 5, 15, 10, 6]
    crossing = ["It crosses samples." in at.caption(norm=n) for n in namespace["POOL_NORMS"]]
    assert crossing == [True, *[False] * 6]


def test_pool_values_are_torchs(figures: Figures, namespace: dict[str, Any]) -> None:
    _, at = figures["pool"]
    x = torch.tensor(namespace["maps"], dtype=torch.float32)
    last = x.movedim(1, -1)
    expected = {
        "batch norm": functional.batch_norm(x, None, None, training=True),
        "layer norm (C, L)": functional.layer_norm(x, (6, 5)),
        "layer norm (C)": functional.layer_norm(last, (6,)).movedim(-1, 1),
        "instance norm": functional.instance_norm(x),
        "group norm, 2 groups": functional.group_norm(x, 2),
        "group norm, 3 groups": functional.group_norm(x, 3),
        "RMSNorm (C)": functional.rms_norm(last, (6,), eps=1e-5).movedim(-1, 1),
    }
    for norm, values in expected.items():
        for index in np.ndindex(*x.shape):
            ours = namespace["pool_normalized"](norm, index)[3]
            assert ours == pytest.approx(values[index].item(), abs=2e-6)
        text = at.caption(norm=norm, sample=3, channel=5, position=0)
        assert number(r"= (−?[\d.]+)\. (?:It|No)", text) == round(values[3, 5, 0].item(), 3)


def test_pool_colors_its_cells(figures: Figures, namespace: dict[str, Any]) -> None:
    _, at = figures["pool"]
    for norm, size in (("batch norm", 20), ("layer norm (C)", 6)):
        at.caption(norm=norm)
        colored = [np.asarray(image.get_array()).sum() for image in namespace["pool_images"]]
        assert sum(colored) == size
        assert (min(colored) > 0) == (norm == "batch norm")
        visible = [frame.get_visible() for frame in namespace["pool_frames"]]
        assert visible == [False, True, False, False]


# --- company ---


@pytest.mark.parametrize(
    ("values", "mean", "spread"),
    [
        ({}, 0.93, 0.52),
        ({"batch": 2}, 0.70, 0.71),
        ({"batch": 8}, 1.01, 0.41),
        ({"batch": 32}, 1.00, 0.21),
        ({"batch": 256}, 1.00, 0.08),
        ({"batch": 32, "data": "heavy tails"}, 1.14, 0.33),
    ],
)
def test_company_spreads(
    figures: Figures, values: dict[str, Any], mean: float, spread: float
) -> None:
    text = figures["company"][1].caption(**values)
    assert number(r"x̂ has mean (−?[\d.]+)", text) == mean
    assert number(r"spread ([\d.]+) over", text) == spread


def test_company_failure_is_named(figures: Figures) -> None:
    _, at = figures["company"]
    failure = "Only −1 and +1 are possible, up to ε: BN has become a sign function."
    assert failure in at.caption(batch=2)
    assert failure not in at.caption(batch=3)
    text = at.caption(batch=4, value=3)
    assert "No value can leave ±√(4 − 1) = ±1.73." in text
    assert "In evaluation it is 3.00." in text
    assert "evaluation gives what training never shows" in text


# --- memory ---


def test_memory_at_the_default(figures: Figures) -> None:
    text = figures["memory"][1].caption()
    assert "The start still weighs (1 − ρ)ᵏ = 35%." in text
    assert "the running mean is 1.29 (64% of the true 2.00)" in text
    assert "spread 1.21 instead" in text


@pytest.mark.parametrize(
    ("momentum", "means"), [("0.1", (1.38, 1.95, 2.11)), ("0.01", (0.20, 0.79, 1.76))]
)
def test_memory_of_large_batches(figures: Figures, momentum: str, means: tuple[float, ...]) -> None:
    _, at = figures["memory"]
    found = [
        number(r"the running mean is ([\d.]+)", at.caption(momentum=momentum, batch=64, step=step))
        for step in (10, 50, 200)
    ]
    assert tuple(found) == means


def test_memory_failures_are_named(figures: Figures) -> None:
    _, at = figures["memory"]
    text = at.caption(momentum="0.01", batch=64)
    assert number(r"\((\d+)% of the true 2\.00\)", text) == 10
    assert text.endswith(": most of what it remembers is the start.")
    assert number(r"spread ([\d.]+) instead", text) > 2
    for momentum in ("0.01", "None"):
        text = at.caption(momentum=momentum, batch=64, data="jump at 100", step=200)
        assert text.endswith(": it lags behind.")
        assert 3.4 < number(r"the running mean is ([\d.]+)", text) < 3.8
    text = at.caption(momentum="0.1", batch=64, data="jump at 100", step=200)
    assert number(r"the running mean is ([\d.]+)", text) == pytest.approx(5, abs=0.3)
    text = at.caption(momentum="None", step=200, batch=64)
    assert "All batches weigh the same." in text
    assert text.endswith("instead of 0 and 1.")


def test_memory_after_the_jump(namespace: dict[str, Any]) -> None:
    """0.1 takes some twenty steps, 0.5 a few."""
    for momentum, first, last in ((0.5, 1, 6), (0.1, 10, 30)):
        _, kept, _ = namespace["memory_run"](momentum, 64, "jump at 100")
        arrived = int(np.argmax(kept[100:] > 4.7)) + 1
        assert first <= arrived <= last


def test_memory_trades_lag_for_noise(namespace: dict[str, Any]) -> None:
    spreads = [
        namespace["memory_run"](momentum, 2, "still")[1][-100:].std()
        for momentum in (0.5, 0.1, 0.01)
    ]
    assert spreads[0] > 0.9 > 0.5 > spreads[1] > 0.3 > spreads[2]


# --- spiral ---


@pytest.mark.parametrize("start", [0.2, 1, 5])
def test_spiral_ends_at_one_length_from_every_start(figures: Figures, start: float) -> None:
    text = figures["spiral"][1].caption(start=start)
    assert "after 400 steps |w| is 0.577," in text
    assert "(ηE[g̃²]/2λ)^¼ = (0.1·0.25/0.2)^¼ = 0.595." in text
    assert text.endswith("It has reached its equilibrium.")


def test_spiral_without_decay_only_grows(figures: Figures, namespace: dict[str, Any]) -> None:
    text = figures["spiral"][1].caption(weight_decay=0)
    assert "|w| is 1.353," in text
    assert "only grows" in text
    lengths = np.hypot(*namespace["spiral_run"](0.1, 0, 1, 2000).T)
    assert round(lengths[-1], 2) == 1.84
    assert (np.diff(lengths) >= -1e-12).all()


def test_spiral_names_the_frozen_start(figures: Figures) -> None:
    _, at = figures["spiral"]
    text = at.caption(weight_decay=0.01, start=5)
    assert "after 400 steps |w| is 3.37" in text
    assert "Frozen: effective rate 0.004 at the start, loss 0.98 at step 100." in text
    assert "Frozen" not in at.caption()


# --- depth ---


@pytest.mark.parametrize(
    ("values", "low", "high", "words"),
    [
        ({}, 3e3, 3e4, "explodes"),
        ({"gain": 0.7}, 3e3, 3e4, "explodes"),
        ({"gain": 2}, 3e3, 3e4, "explodes"),
        ({"batch": 4}, 1e9, 1e12, "explodes"),
        ({"depth": 10}, 3.5, 5.5, "keeps its size"),
        ({"depth": 20}, 25, 40, "grows"),
        ({"norm": "none"}, 0.3, 3, "keeps its size"),
        ({"norm": "none", "gain": 0.7}, 1e-17, 1e-14, "vanishes"),
        ({"norm": "none", "gain": 2}, 1e6, 1e9, "explodes"),
        ({"norm": "layer norm"}, 0.1, 2, "keeps its size"),
        ({"norm": "RMSNorm"}, 0.1, 2, "keeps its size"),
        ({"layout": "pre-norm"}, 8, 20, "keeps its size"),
        ({"layout": "post-norm"}, 30, 400, "grows"),
        ({"layout": "post-norm", "norm": "layer norm"}, 0.3, 3, "keeps its size"),
        ({"layout": "pre-norm", "norm": "none"}, 1e6, 1e9, "explodes"),
    ],
)
def test_depth_decades(
    figures: Figures, values: dict[str, Any], low: float, high: float, words: str
) -> None:
    text = figures["depth"][1].caption(**values)
    assert low < number(r"at the input is ([\d.,e+-]+) times", text) < high
    assert f"a layer: it {words}. " in text
    assert text.endswith("(One draw, seed 0.)")


def test_depth_activations(figures: Figures) -> None:
    _, at = figures["depth"]
    assert 6 < number(r"from 1 to ([\d.]+)\.", at.caption(layout="pre-norm")) < 9
    for norm in ("batch norm", "layer norm", "RMSNorm"):
        assert number(r"from 1 to ([\d.]+)\.", at.caption(layout="post-norm", norm=norm)) == 1
    text = at.caption()
    assert "1.20 a layer" in text
    assert number(r"at the input is ([\d.,]+) times", text) == 9100


def test_depth_is_the_same_factor_over_seeds(namespace: dict[str, Any]) -> None:
    ratios = [namespace["depth_run"]("batch norm", "plain", 1.41, 50, 64, s)[1][0] for s in (1, 2)]
    assert all(9100 / 2 < ratio < 9100 * 2 for ratio in ratios)


def test_depth_lines(figures: Figures, namespace: dict[str, Any]) -> None:
    _, at = figures["depth"]
    for values in ({}, {"norm": "none", "gain": 0.7}, {"norm": "none", "layout": "pre-norm"}):
        at.caption(**values)
        for line in namespace["depth_lines"]:
            points = line.get_xydata()
            assert len(points) == 51
            assert np.isfinite(points).all()
            assert (points[:, 1] > 0).all()


# --- shift ---


@pytest.mark.parametrize(
    ("values", "layer", "mean", "spread"),
    [
        ({}, 1.0, 0.34, 0.941),
        ({"shift": 3}, 1.0, 0.96, 0.280),
        ({"shift": 10}, 1.0, 1.00, 0.094),
        ({"scale": 0.001}, 0.295, 0.11, 0.293),
        ({"scale": 0.01}, 0.951, 0.32, 0.900),
    ],
)
def test_shift_numbers(
    figures: Figures, values: dict[str, Any], layer: float, mean: float, spread: float
) -> None:
    text = figures["shift"][1].caption(**values)
    assert number(r"mean 0 and sd ([\d.]+),", text) == layer
    assert number(r"RMSNorm mean ([\d.]+)", text) == mean
    assert number(r"and sd ([\d.]+)\.(?: |$)", text) == spread


def test_shift_failures_are_named(figures: Figures, namespace: dict[str, Any]) -> None:
    _, at = figures["shift"]
    assert "RMSNorm: all six outputs within 0.2 of 1," in at.caption(shift=10)
    assert "all six" not in at.caption(shift=3)
    assert "ε wins:" in at.caption(scale=0.001)
    assert "layer norm no longer normalizes" in at.caption(scale=0.001)
    assert "ε wins" not in at.caption(scale=0.01)
    assert round(namespace["shift_six"].std(), 3) == 0.976
    assert round(namespace["shift_six"].mean(), 2) == 0.35
