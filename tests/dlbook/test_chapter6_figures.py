"""The figures of chapter 6: captions in words and numbers, named failures, PyTorch's own words."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from matplotlib.text import Text
from support.chapters import Defaults, figure_in, namespace_with, sweep, values

#: The names of the figures' matplotlib figures.
FIGURES = {
    "windows": "windows_fig",
    "staircase": "stair_fig",
    "same": "same_fig",
    "ceil_mode": "ceil_fig",
    "round_trip": "round_fig",
    "flatten": "flatten_fig",
}


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    return namespace_with("06_output_size.ipynb", "flatten")


@pytest.fixture(scope="module")
def at(namespace: dict[str, Any]) -> dict[str, Defaults]:
    return {name: Defaults(figure_in(namespace, name)) for name in FIGURES}


def row(length: int) -> torch.Tensor:
    return torch.zeros(1, 1, length)


def refusal(layer: Any) -> str:
    with pytest.raises(RuntimeError) as raised:
        layer()
    return str(raised.value)


# --- all of them ---


@pytest.mark.parametrize(
    ("name", "counts", "defaults"),
    [
        ("windows", (9, 5, 3, 3, 2), (6, 3, 2, 0, 1)),
        ("staircase", (5, 4, 3, 16, 2), (3, 2, 1, 6, "floor")),
        ("same", (7, 6, 3, 2), (8, 3, 1, 1)),
        ("ceil_mode", (10, 3, 4, 2), (6, 3, 2, 0)),
        ("round_trip", (9, 4, 3, 2, 3), (6, 3, 2, 1, 0)),
        ("flatten", (3, 64), ("AlexNet", 224)),
    ],
)
def test_controls_and_defaults(
    namespace: dict[str, Any],
    at: dict[str, Defaults],
    name: str,
    counts: tuple[int, ...],
    defaults: tuple[Any, ...],
) -> None:
    at[name].caption()
    figure = figure_in(namespace, name)
    assert tuple(len(entries) for entries in values(figure).values()) == counts
    assert figure.states == math.prod(counts) <= 3000
    assert tuple(widget.value for widget in figure.controls.values()) == defaults


@pytest.mark.parametrize("name", FIGURES)
def test_every_state_is_told_and_limits_stay(namespace: dict[str, Any], name: str) -> None:
    figure = figure_in(namespace, name)
    axes = namespace[FIGURES[name]].axes
    limits = [(ax.get_xlim(), ax.get_ylim()) for ax in axes]
    for _, text in sweep(figure):
        assert text.endswith((".", ".)"))
        assert not re.search(r"\b(None|nan|inf|0 pixels)\b|  |\.\.", text), text
    assert [(ax.get_xlim(), ax.get_ylim()) for ax in axes] == limits


# --- windows ---


def test_the_last_pixel_is_lost_by_default(at: dict[str, Defaults]) -> None:
    text = at["windows"].caption()
    assert "m = ⌊(6 + 2·0 − 3)/2⌋ + 1 = ⌊3/2⌋ + 1 = 2." in text
    assert "the floor drops the last position of the padded row, a real pixel." in text
    assert text.endswith("No window reaches pixel 5.")


def test_padding_brings_the_pixel_back(at: dict[str, Defaults]) -> None:
    text = at["windows"].caption(padding=1)
    assert "= 3. Remainder 1" in text
    assert text.endswith("only padding. Every real pixel is read.")


def test_more_padding_need_not_give_more(at: dict[str, Defaults]) -> None:
    assert "⌊3/3⌋ + 1 = 2." in at["windows"].caption(stride=3)
    assert "⌊5/3⌋ + 1 = 2." in at["windows"].caption(stride=3, padding=1)


def test_gaps_of_a_dilated_kernel(at: dict[str, Defaults]) -> None:
    text = at["windows"].caption(size=5, stride=1, dilation=2)
    assert "No remainder: the floor drops nothing." in text
    assert text.endswith("Between the taps pixels 1 and 3 stay unread.")


def test_impossible_settings_have_the_words_of_torch(
    namespace: dict[str, Any], at: dict[str, Defaults]
) -> None:
    words = "Kernel size can't be greater than actual input size"
    assert words in refusal(lambda: F.conv2d(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 5, 5)))
    text = at["windows"].caption(size=4, kernel=5)
    assert f"The kernel spans 5 pixels, the padded row has 4. PyTorch: {words}." in text
    assert namespace["windows_over"].get_visible()
    assert words in namespace["windows_refused"].get_text().replace("\n", " ")
    found = [text for _, text in sweep(figure_in(namespace, "windows"))]
    assert sum(words in text for text in found) == 45
    assert sum("Every real pixel is read." in text for text in found) == 765 - 364


def test_captions_tell_what_torch_reads(namespace: dict[str, Any]) -> None:
    for state, text in sweep(figure_in(namespace, "windows")):
        if "no output" in text:
            continue
        x = torch.zeros(1, 1, state["size"], requires_grad=True)
        rest = state["stride"], state["padding"], state["dilation"]
        out = F.conv1d(x, torch.ones(1, 1, state["kernel"]), None, *rest)
        assert f"⌋ + 1 = {out.shape[-1]}. " in text
        out.sum().backward()
        assert x.grad is not None
        unread = torch.nonzero(x.grad[0, 0] == 0).flatten().tolist()
        said = re.findall(r"pixels? ((?:\d+(?:, | and )?)+)", text)
        assert sorted(int(n) for part in said for n in re.findall(r"\d+", part)) == unread


def test_the_picture_crosses_out_what_is_unread(
    namespace: dict[str, Any], at: dict[str, Defaults]
) -> None:
    def crossed() -> list[int]:
        parts = namespace["windows_row"].parts.items()
        return [x for x, (_, _, cross) in parts if cross.get_visible()]

    at["windows"].caption()
    assert crossed() == [5]
    assert namespace["windows_code"].get_text() == (
        "nn.Conv2d(C_in, C_out,\n    kernel_size=3, stride=2)"
    )
    at["windows"].caption(size=5, stride=1, dilation=2)
    assert crossed() == [1, 3]


def test_every_setting_has_a_picture_of_its_own(namespace: dict[str, Any]) -> None:
    texts, seen = namespace["windows_fig"].findobj(Text), set()
    for _ in sweep(figure_in(namespace, "windows")):
        seen.add(tuple(text.get_text() for text in texts if text.get_visible()))
    assert len(seen) == 810


# --- staircase ---


def test_plateaus_have_as_many_sizes_as_the_stride(namespace: dict[str, Any]) -> None:
    for state, text in sweep(figure_in(namespace, "staircase")):
        found = re.search(r"every size of (.+), (\d+) in all", text)
        if found and "cut where" not in text:
            assert int(found[2]) == state["stride"]
            assert len(re.findall(r"\d+", found[1])) == state["stride"]


def test_four_sizes_share_one_at_stride_4(at: dict[str, Defaults]) -> None:
    text = at["staircase"].caption(stride=4)
    assert "n = 6 gives m = 2, and so does every size of 5, 6, 7 and 8, 4 in all." in text
    assert "no other size" in at["staircase"].caption(stride=1)


def test_no_output_is_named(at: dict[str, Defaults]) -> None:
    small = {"size": 3, "kernel": 4, "padding": 0}
    assert "n = 3 has no output, undefined below n = k − 2p = 4." in at["staircase"].caption(
        **small
    )
    text = at["staircase"].caption(**small, rounding="ceil")
    assert "n = 3 gives m = 1" in text


def test_pooling_has_an_error_of_its_own(
    namespace: dict[str, Any], at: dict[str, Defaults]
) -> None:
    said = refusal(lambda: F.max_pool2d(torch.zeros(1, 1, 9, 9), 3, 2, 2))
    assert namespace["HALF"] in said
    refused = {
        (state["kernel"], state["padding"])
        for state, text in sweep(figure_in(namespace, "staircase"))
        if f"pooling refuses it. PyTorch: {namespace['HALF']}." in text
    }
    assert refused == {(1, 1), (1, 2), (2, 2), (3, 2)}
    assert "no output" not in at["staircase"].caption(kernel=3, padding=2)


def test_staircases_are_those_of_torch(namespace: dict[str, Any]) -> None:
    for k, s, p in itertools.product(range(1, 6), range(1, 5), range(3)):
        for rounding in ("floor", "ceil"):
            for n, ours in enumerate(namespace["stairs"](k, s, p, rounding), start=1):
                try:
                    if rounding == "floor":
                        theirs = F.conv1d(row(n), row(k), None, s, p).shape[-1]
                    else:
                        theirs = F.max_pool1d(row(n), k, s, p, ceil_mode=True).shape[-1]
                except RuntimeError:
                    theirs = None
                assert ours == theirs


# --- same ---


def test_an_even_kernel_pads_the_end(at: dict[str, Defaults]) -> None:
    text = at["same"].caption(kernel=4)
    assert text.endswith("PyTorch and TensorFlow agree, 1 left and 2 right, m = 8.")
    assert "agree, 0 left and 1 right" in at["same"].caption(kernel=2)


def test_frameworks_sample_one_pixel_apart_at_stride_2(at: dict[str, Defaults]) -> None:
    text = at["same"].caption(stride=2)
    assert "PyTorch refuses, padding='same' is not supported for strided convolutions." in text
    assert "padding=1 gives m = 4; TensorFlow adds 0 left and 1 right for as many." in text
    assert "Its centers lie 1 pixel further right." in text


def test_one_output_fewer(at: dict[str, Defaults]) -> None:
    text = at["same"].caption(size=7, kernel=2, stride=2)
    assert "TensorFlow adds 0 left and 1 right for m = 4: 3 outputs against 4." in text


def test_frameworks_counted_over_all_states(namespace: dict[str, Any]) -> None:
    states = list(sweep(figure_in(namespace, "same")))
    strided = [(state, text) for state, text in states if state["stride"] > 1]
    assert len(states) == 252
    assert sum("agree" in text for _, text in states) == 84
    assert sum("The same centers." in text for _, text in strided) == 99
    assert sum("1 pixel further right" in text for _, text in strided) == 69
    fewer = [state for state, text in strided if "outputs against" in text]
    assert len(fewer) == 15
    assert all(s["kernel"] % 2 == 0 and s["dilation"] == 1 for s in fewer)
    assert all((s["size"] - 1) % s["stride"] == 0 for s in fewer)
    assert sum("leaves pixels unread, too" in text for _, text in strided) == 35
    assert sum("hypothetical" in text for _, text in strided) == 84


def test_centers_by_hand_are_those_of_torch(namespace: dict[str, Any]) -> None:
    """A window of ones over a ramp, without its zeros: the sum is its length times its center."""
    assert namespace["SAME_STRIDE"] in refusal(
        lambda: F.conv1d(row(8), row(3), stride=2, padding="same")
    )
    for n, k, s in itertools.product((8, 9), (1, 2, 3, 5), (2, 3)):
        left, right, centers = namespace["same_grids"](n, k, s, 1)[0]
        assert left == right
        ramp = torch.arange(-left, n + right, dtype=torch.float64)[None, None]
        weight = torch.full((1, 1, k), 1 / k, dtype=torch.float64)
        theirs = F.conv1d(ramp, weight, stride=s).flatten()
        assert np.allclose(theirs.numpy(), centers)


# --- ceil_mode ---


def test_a_window_in_the_right_padding_is_dropped(
    namespace: dict[str, Any], at: dict[str, Defaults]
) -> None:
    text = at["ceil_mode"].caption(size=3, kernel=2, padding=1)
    assert "floor ⌊3/2⌋ + 1 = 2, ceil ⌈3/2⌉ + 1 = 3, less 1: window 3 would start in the" in text
    assert "(3 − 1)·2 = 4 ≥ 3 + 1 = 4. So ceil_mode gives 2." in text
    assert namespace["ceil_strike"].get_visible()
    assert namespace["ceil_rule"].get_text() == "dropped: (3 − 1)·2 ≥ 3 + 1"


def test_the_last_average_counts_two(namespace: dict[str, Any], at: dict[str, Defaults]) -> None:
    text = at["ceil_mode"].caption()
    assert "floor ⌊3/2⌋ + 1 = 2, ceil ⌈3/2⌉ + 1 = 3. " in text
    assert "The last window hangs over the end by 1: max 6, average 11/2 = 5.5." in text
    assert not namespace["ceil_strike"].get_visible()


def test_a_window_larger_than_the_input(namespace: dict[str, Any], at: dict[str, Defaults]) -> None:
    assert namespace["TOO_SMALL"] in refusal(lambda: F.max_pool1d(row(3), 4, 2))
    text = at["ceil_mode"].caption(size=3, kernel=4)
    assert "the floor is refused (Invalid computed output size: 0), ceil ⌈−1/2⌉ + 1 = 1." in text
    assert "and so is the ceil" in at["ceil_mode"].caption(size=3, kernel=4, stride=1)


def test_pooled_values_are_those_of_torch(namespace: dict[str, Any]) -> None:
    for state, _ in sweep(figure_in(namespace, "ceil_mode")):
        setting = tuple(state.values())
        n, k, s, p = setting
        _, _, count = namespace["pooled"](*setting)
        ramp = torch.arange(1.0, n + 1, dtype=torch.float64)[None, None]
        if not count:
            refusal(lambda a=(ramp, k, s, p): F.max_pool1d(*a, ceil_mode=True))
            continue
        high = F.max_pool1d(ramp, k, s, p, ceil_mode=True).flatten().tolist()
        mean = F.avg_pool1d(ramp, k, s, p, ceil_mode=True).flatten().tolist()
        seen = [namespace["window_over_ramp"](i, *setting) for i in range(count)]
        assert [entry[1] for entry in seen] == high
        assert np.allclose([total / divisor for _, _, total, divisor in seen], mean)


# --- round trip ---


def test_the_way_back_takes_the_smallest(at: dict[str, Defaults]) -> None:
    text = at["round_trip"].caption()
    assert "6 → 3 → (3 − 1)·2 − 2·1 + 3 + 0 = 5. 1 pixel too short: " in text
    assert text.endswith("the output padding should be (6 + 2·1 − 3) mod 2 = 1.")
    text = at["round_trip"].caption(output_padding=1)
    assert text.endswith("Back at 6, as the output padding is (6 + 2·1 − 3) mod 2 = 1.")
    assert "Back at 5" in at["round_trip"].caption(size=5)


def test_too_much_output_padding_has_the_words_of_torch(
    namespace: dict[str, Any], at: dict[str, Defaults]
) -> None:
    assert namespace["TOO_LARGE"] in refusal(
        lambda: F.conv_transpose1d(row(3), row(3), None, 2, 1, 2)
    )
    text = at["round_trip"].caption(output_padding=2)
    assert f"no way back with output padding 2. PyTorch: {namespace['TOO_LARGE']}." in text
    assert namespace["round_says"].get_text() == "refused: output padding 2 ≥ stride 2"
    states = list(sweep(figure_in(namespace, "round_trip")))
    assert len(states) == 648
    for state, text in states:
        assert ("no way back" in text) == (state["output_padding"] >= state["stride"])


def test_round_trips_are_those_of_torch(namespace: dict[str, Any]) -> None:
    for state, text in sweep(figure_in(namespace, "round_trip")):
        n, k, s, p, po = state.values()
        small = F.conv1d(row(n), row(k), None, s, p)
        assert f": {n} → {small.shape[-1]}" in text
        if po < s:
            back = F.conv_transpose1d(small, row(k), None, s, p, po).shape[-1]
            assert f" = {back}. " in text
            assert ("Back at" in text) == (back == n)


# --- flatten ---


def test_alexnet_at_224_and_256(at: dict[str, Defaults]) -> None:
    text = at["flatten"].caption()
    assert "224 → 55 → 27 → 13 → 6. 256·6·6 = 9216 features, as the linear layer expects." in text
    text = at["flatten"].caption(size=256)
    assert "256·7·7 = 12544 features, and it expects 9216." in text
    said = "mat1 and mat2 shapes cannot be multiplied (1x12544 and 9216x4096)"
    assert text.endswith(f"PyTorch: {said}.")


def test_vgg_loses_a_row_at_all_five_pools(at: dict[str, Defaults]) -> None:
    text = at["flatten"].caption(size=223, network="VGG-16")
    assert "223 → 111 → 55 → 27 → 13 → 6, with 5 rows lost to floors." in text
    assert "512·6·6 = 18432 features, and it expects 25088." in text


def test_which_sizes_fail(namespace: dict[str, Any]) -> None:
    failing: dict[str, list[int]] = {"AlexNet": [], "VGG-16": [], "ResNet": []}
    for state, text in sweep(figure_in(namespace, "flatten")):
        error = re.search(r"PyTorch: (.*)\.$", text)
        if not error:
            continue
        failing[state["network"]].append(state["size"])
        got, wanted, out = map(int, re.findall(r"x?(\d{4,})", error[1]))
        said = refusal(
            lambda g=got, w=wanted, o=out: F.linear(torch.zeros(1, g), torch.zeros(1).expand(o, w))
        )
        assert said == error[1]
    alexnet = [*range(193, 223), 255, 256]
    assert failing == {"AlexNet": alexnet, "VGG-16": [*range(193, 224), 256], "ResNet": []}
    assert [len(sizes) for sizes in failing.values()] == [32, 32, 0]


def test_last_sides(namespace: dict[str, Any]) -> None:
    def ranges(network: str) -> dict[int, tuple[int, int]]:
        last = {size: namespace["sides"](network, size)[0][-1] for size in range(193, 257)}
        return {
            side: (min(where), max(where))
            for side in sorted(set(last.values()))
            if (where := [size for size in last if last[size] == side])
        }

    assert ranges("AlexNet") == {5: (193, 222), 6: (223, 254), 7: (255, 256)}
    assert ranges("VGG-16") == {6: (193, 223), 7: (224, 255), 8: (256, 256)}
    assert ranges("ResNet") == {7: (193, 224), 8: (225, 256)}


def test_sides_are_those_of_whole_networks(namespace: dict[str, Any]) -> None:
    """The layers that keep the size are left out of the figure; here they are not."""
    layers = {
        "AlexNet": [(11, 4, 2), (3, 2, 0), (5, 1, 2), (3, 2, 0), *[(3, 1, 1)] * 3, (3, 2, 0)],
        "VGG-16": [*[(3, 1, 1)] * 2, (2, 2, 0)] * 5,
        "ResNet": [(7, 2, 3), (3, 2, 1), *[(3, 1, 1), (3, 2, 1)] * 3, (3, 1, 1)],
    }
    for network, settings in layers.items():
        for size in range(193, 257, 3):
            x = row(size)
            for kernel, stride, padding in settings:
                x = F.conv1d(x, row(kernel), None, stride, padding)
            assert namespace["sides"](network, size)[0][-1] == x.shape[-1]


def test_resnet_does_not_mind(at: dict[str, Defaults]) -> None:
    text = at["flatten"].caption(size=256, network="ResNet")
    assert text.endswith("always 2048 features. No size fails.")
