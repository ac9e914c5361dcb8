"""The figures of chapter 7: captions in words and numbers, failures, and PyTorch's answers."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from scipy.signal import convolve2d, correlate2d
from support.chapters import Defaults, figure_in, namespace_with, sweep, values

#: The names of the figures' matplotlib figures.
FIGURES = {
    "patch": "patch_fig",
    "repair": "repair_fig",
    "impulse": "impulse_fig",
    "columns": "columns_fig",
    "multiplications": "multi_fig",
}


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    return namespace_with("07_convolution.ipynb", "multiplications")


@pytest.fixture(scope="module")
def at(namespace: dict[str, Any]) -> dict[str, Defaults]:
    return {name: Defaults(figure_in(namespace, name)) for name in FIGURES}


# --- all of them ---


@pytest.mark.parametrize(
    ("name", "counts", "defaults"),
    [
        ("patch", (7, 7, 2, 2, 2), (0, 0, 0, 1, 1)),
        ("repair", (4, 3, 3, 3, 2), ("as printed", 1, 0, "5×5", "3×3")),
        ("impulse", (7, 7, 3, 2), (3, 3, "arrow", "off")),
        ("columns", (6, 6, 4, 3), (2, 2, 3, 1)),
        ("multiplications", (4, 4, 8), (28, 3, 3)),
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
    assert figure.states == math.prod(counts)
    assert tuple(widget.value for widget in figure.controls.values()) == defaults


@pytest.mark.parametrize("name", FIGURES)
def test_every_state_is_told_and_limits_stay(namespace: dict[str, Any], name: str) -> None:
    figure = figure_in(namespace, name)
    axes = namespace[FIGURES[name]].axes
    limits = [(ax.get_xlim(), ax.get_ylim()) for ax in axes]
    captions = []
    for _, text in sweep(figure):
        assert text.endswith(".")
        assert not re.search(r"\b(None|nan|inf)\b|  |\.\.|−0\b(?!\.)", text), text
        captions.append(text)
    assert [(ax.get_xlim(), ax.get_ylim()) for ax in axes] == limits
    if name != "patch":  # snapped places share theirs with the place that is shown
        assert len(set(captions)) == figure.states


# --- patch ---


def test_fifteen_of_27_are_certainly_0_at_the_corner(
    namespace: dict[str, Any], at: dict[str, Defaults]
) -> None:
    at["patch"].caption(row=1)  # a sweep may have left the picture elsewhere
    text = at["patch"].caption()
    assert text.startswith("Stride 1, padding 1: the output is 7×7. y[0, 0, 0, 0] = ")
    assert text.endswith("15 of the 27 products are certainly 0: their pixel is padding.")
    lines = [line.get_text() for line in namespace["patch_lines"]]
    assert lines[0] == "window = padded[0, :, 0:3, 0:3]"
    assert lines[1] == "y[0, 0, 0, 0] = (w[0] * window).sum() + b[0]"
    assert lines[3] == "15 of 27 products are certainly 0"
    assert lines[4:] == ["", ""]


def test_edges_have_9_and_the_inside_none(at: dict[str, Defaults]) -> None:
    assert "9 of the 27 products" in at["patch"].caption(column=3)
    assert "No product meets the padding." in at["patch"].caption(row=3, column=3)
    assert "No product meets the padding." in at["patch"].caption(padding=0)


def test_snapping_is_said(namespace: dict[str, Any], at: dict[str, Defaults]) -> None:
    text = at["patch"].caption(row=6, column=5, stride=2)
    assert "the output is 4×4, so place (6, 5) does not exist and (3, 3) is shown." in text
    assert namespace["patch_lines"][4].get_text() == "(6, 5) does not exist: snapped to (3, 3)"
    assert namespace["patch_lines"][5].get_text() == "the output is only 4×4"
    sizes = Counter(
        re.findall(r"the output is (\d)×\d", text)[0]
        for _, text in sweep(figure_in(namespace, "patch"))
    )
    assert sizes == {"7": 98, "5": 98, "4": 98, "3": 98}


def test_patch_computes_what_torch_does(namespace: dict[str, Any]) -> None:
    images, kernels, bias = (
        torch.from_numpy(namespace[name]) for name in ("PATCH_IMAGE", "PATCH_KERNELS", "PATCH_BIAS")
    )
    assert images.abs().max() <= 3
    for state, text in sweep(figure_in(namespace, "patch")):
        out = F.conv2d(images, kernels, bias, state["stride"], state["padding"])[0]
        found = re.search(r"y\[0, (\d), (\d), (\d)\] = (.*) \+ bias (.*) = (.*?)\. ", text)
        assert found
        o, i, j = (int(found[n]) for n in (1, 2, 3))
        assert o == state["out_channel"]
        assert (i, j) == tuple(min(state[k], out.shape[1] - 1) for k in ("row", "column"))
        total = int(found[6].replace("−", "-"))
        assert total == out[o, i, j]
        terms = [
            int(term.strip("()").replace("−", "-")) for term in [*found[4].split(" + "), found[5]]
        ]
        assert sum(terms) == total
        assert len(terms) == 4


# --- repair ---


def repairs(namespace: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, str]]:
    for state, text in sweep(figure_in(namespace, "repair")):
        kind = next(kind for kind in ("crashes", "wrong without a word", "right") if kind in text)
        yield state, text, kind


def test_the_versions_are_counted(namespace: dict[str, Any]) -> None:
    counted = {version: Counter[str]() for version in namespace["VERSIONS"]}
    for state, _, kind in repairs(namespace):
        counted[state["version"]][kind] += 1
    table = [
        tuple(counted[version][kind] for kind in ("crashes", "wrong without a word", "right"))
        for version in namespace["VERSIONS"]
    ]
    assert table == [(50, 4, 0), (43, 8, 3), (32, 13, 9), (0, 0, 54)]


def test_squares_are_right_after_the_second_repair(namespace: dict[str, Any]) -> None:
    found: dict[str, Counter[str]] = {}
    for state, _, kind in repairs(namespace):
        if (state["image"], state["kernel"]) == ("5×5", "3×3"):
            found.setdefault(state["version"], Counter())[kind] += 1
    assert found["as printed"] == {"crashes": 7, "wrong without a word": 2}
    assert found["slice mended"]["right"] < 9
    assert found["+ size mended"] == found["+ two axes"] == {"right": 9}


def test_real_messages_of_the_listing(namespace: dict[str, Any], at: dict[str, Defaults]) -> None:
    at["repair"].caption(stride=2)
    text = at["repair"].caption()
    message = "could not broadcast input array from shape (2,5,5,3) into shape (2,0,0,3)"
    assert f"crashes before any window, shape (2, 3, 3, 2) is due. ValueError: {message}." in text
    shown = " ".join(line.get_text() for line in namespace["repair_texts"])
    assert shown.strip() == f"returned nothing due (2, 3, 3, 2) ValueError: {message}"
    assert not namespace["repair_last"].get_visible()
    broadcast = "operands could not be broadcast together with shapes"
    assert f"{broadcast} (3,2,3) (3,3,3)." in at["repair"].caption(padding=1)
    assert f"{broadcast} (3,2,3) (3,3,3)." in at["repair"].caption(padding=2)
    assert f"{broadcast} (3,0,3) (3,3,3)." in at["repair"].caption(stride=2, padding=2)


def test_silent_faults_have_their_shapes(
    namespace: dict[str, Any], at: dict[str, Defaults]
) -> None:
    text = at["repair"].caption(stride=2, padding=1)
    assert text.endswith("wrong without a word, shape (2, 4, 4, 2) where (2, 3, 3, 2) is due.")
    assert namespace["repair_bad"].get_visible()
    text = at["repair"].caption(stride=3, padding=1)
    assert text.endswith("wrong without a word, shape (2, 3, 3, 2) where (2, 2, 2, 2) is due.")
    wide = {"version": "+ size mended", "image": "5×8"}
    assert "shape (2, 3, 3, 2) where (2, 3, 6, 2) is due." in at["repair"].caption(**wide)
    assert "crashes" in at["repair"].caption(version="+ size mended", image="8×5")


def test_the_extra_row_and_column_are_zeros(namespace: dict[str, Any]) -> None:
    images, kernels = np.ones((1, 5, 5, 3)), np.ones((3, 3, 3, 1))
    got = namespace["listing"](0, images, kernels, 2, 1, [])[0, :, :, 0]
    due = F.conv2d(torch.ones(1, 3, 5, 5), torch.ones(1, 3, 3, 3), stride=2, padding=1)[0, 0]
    np.testing.assert_array_equal(got[:3, :3], due.numpy())
    assert not got[3].any()
    assert not got[:, 3].any()


# --- impulse ---


def test_the_output_points_left(at: dict[str, Defaults]) -> None:
    text = at["impulse"].caption()
    assert "the correlation points left, the true convolution right." in text
    assert text.endswith("Both lie around the pixel.")
    assert "twice" in at["impulse"].caption(second="the same again")


def test_maps_move_along_until_the_border(
    namespace: dict[str, Any], at: dict[str, Defaults]
) -> None:
    text = at["impulse"].caption(row=2, column=5)
    assert text.endswith("The pixel moved by (−1, 2) from the center, and so did both maps.")
    text = at["impulse"].caption(row=0, column=0, kernel="1 … 9")
    assert text.endswith("The border eats or changes 5 values: equivariance ends here.")
    assert namespace["impulse_lost"].get_text() == "border: 5 values\neaten or changed"
    for state, text in sweep(figure_in(namespace, "impulse")):
        inner = {"off": (1, 5), "the same again": (2, 4)}[state["second"]]
        if all(inner[0] <= state[axis] <= inner[1] for axis in ("row", "column")):
            assert "equivariance ends" not in text
        elif state["kernel"] == "1 … 9":
            assert "equivariance ends" in text


def test_impulse_maps_are_scipys_and_torchs(namespace: dict[str, Any]) -> None:
    for state, _ in sweep(figure_in(namespace, "impulse")):
        row, column, kernel, second = state.values()
        image, ours, true, _ = namespace["impulse_maps"](row, column, kernel, second)
        weights = namespace["FILTERS"][kernel]
        expected, turned, tensor = image, image, torch.from_numpy(image)[None, None]
        for _ in range(1 if second == "off" else 2):
            expected = correlate2d(expected, weights, "same")
            turned = convolve2d(turned, weights, "same")
            tensor = F.conv2d(tensor, torch.from_numpy(weights)[None, None], padding=1)
        np.testing.assert_array_equal(ours, expected)
        np.testing.assert_array_equal(ours, tensor[0, 0].numpy())
        np.testing.assert_array_equal(true, turned)


def test_the_kernel_is_shown(namespace: dict[str, Any], at: dict[str, Defaults]) -> None:
    at["impulse"].caption()
    at["impulse"].caption(kernel="1 … 9")
    shown = [text.get_text() for text in namespace["impulse_kernel"].texts]
    assert shown == [str(n) for n in range(1, 10)]
    middle = [text.get_text() for text in namespace["impulse_ours"].texts]
    assert [middle[7 * r + c] for r in (2, 3, 4) for c in (2, 3, 4)] == shown[::-1]


# --- columns ---


@pytest.mark.parametrize(
    ("row", "column", "copies"),
    [(0, 0, "1 column, at row 0"), (0, 2, "3 columns"), (2, 2, "9 columns")],
)
def test_copies_of_a_pixel(at: dict[str, Defaults], row: int, column: int, copies: str) -> None:
    text = at["columns"].caption(row=row, column=column)
    assert "the matrix is 9×16, 144 values for 36, ratio 4. " in text
    assert f"Pixel ({row}, {column}) is in {copies}" in text


def test_a_pixel_in_no_column(namespace: dict[str, Any], at: dict[str, Defaults]) -> None:
    text = at["columns"].caption(kernel=2, stride=3)
    assert text.endswith("Pixel (2, 2) is in no column: no window reads this pixel.")
    assert namespace["columns_none"].get_text() == "this pixel is in no column"
    assert not any(part.get_visible() for part in namespace["columns_copies"])


def test_columns_are_those_of_unfold(namespace: dict[str, Any]) -> None:
    for state, text in sweep(figure_in(namespace, "columns")):
        x = torch.zeros(1, 1, 6, 6)
        x[0, 0, state["row"], state["column"]] = 1
        matrix = F.unfold(x, state["kernel"], stride=state["stride"])[0]
        rows, length = matrix.shape
        assert f"the matrix is {rows}×{length}, {rows * length} values" in text
        count = int(matrix.sum())
        said = re.search(r"is in (no|\d+) column", text)
        assert said
        assert said[1] == (str(count) if count else "no")
        lit = [part for part in namespace["columns_copies"] if part.get_visible()]
        assert len(lit) == count


# --- multiplications ---


def test_the_fft_needs_fewer_from_5_and_from_3_on(at: dict[str, Defaults]) -> None:
    text = at["multiplications"].caption()
    assert "direct/FFT 0.437. Winograd needs 28.2 thousand, 2.25 times fewer." in text
    assert "The FFT needs more here; it wins from kernel 5 on." in text
    assert text.endswith("Multiplications, not time.")
    assert "direct/FFT 1.79. The FFT needs fewer here" in at["multiplications"].caption(kernel=7)
    text = at["multiplications"].caption(channels=64)
    assert "direct/FFT 3.31. " in text
    assert "it wins from kernel 3 on." in text
    assert "direct/FFT 13.9. " in at["multiplications"].caption(channels=64, kernel=7)


def test_memory_panel(namespace: dict[str, Any], at: dict[str, Defaults]) -> None:
    text = at["multiplications"].caption(channels=64)
    assert "input 201 KB, im2col 1.81 MB, spectra 492 KB (maps) and 15.7 MB (kernels)." in text
    labels = [label.get_text() for label in namespace["multi_labels"]]
    assert labels == [
        "input: 201 KB",
        "im2col: 1.81 MB",
        "spectra of maps: 492 KB",
        "spectra of kernels: 15.7 MB",
    ]
    image = np.zeros((64, 28, 28), "f")
    spectrum = np.fft.rfft2(image.astype("f"), (30, 30)).astype(np.complex64)
    sizes = namespace["megabytes"](28, 64, 3)
    assert sizes[0] == image.nbytes / 1e6
    assert sizes[2] == 2 * spectrum.nbytes / 1e6
    assert sizes[3] == 64 * spectrum.nbytes / 1e6


def test_winograd_is_told_for_3_only(namespace: dict[str, Any]) -> None:
    for state, text in sweep(figure_in(namespace, "multiplications")):
        assert ("Winograd" in text) == (state["kernel"] == 3)
        direct, spectra = namespace["work"](*state.values())
        assert direct == state["side"] ** 2 * state["kernel"] ** 2 * state["channels"] ** 2
        assert ("needs fewer here" in text) == (spectra < direct)
