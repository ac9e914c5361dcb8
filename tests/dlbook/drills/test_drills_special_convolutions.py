"""The drills of chapter 9: other right solutions, and mistakes as others write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from dlbook import special_convolutions as reference
from dlbook.drills import drill, grade


def cost_by_counting(c_in: Any, c_out: Any, k: Any, h: Any, w: Any) -> Any:
    halves = (
        reference.parameters_and_macs(c_in, c_in, k, (h, w), groups=c_in),
        reference.parameters_and_macs(c_in, c_out, 1, (h, w)),
    )
    return [sum(numbers) for numbers in zip(*halves, strict=True)]


def stuffed_and_flipped(signal: Any, kernel: Any, stride: Any, padding: Any) -> Any:
    stuffed = reference.stuff_zeros(signal[None, None, None], (1, stride))[0, 0, 0]
    full = np.convolve(stuffed, kernel)
    return full[padding : len(full) - padding]


def gradient_of_a_convolution(signal: Any, kernel: Any, stride: Any, padding: Any) -> Any:
    size = (len(signal) - 1) * stride - 2 * padding + len(kernel)
    x = torch.zeros(1, 1, size, dtype=torch.float64, requires_grad=True)
    y = functional.conv1d(x, torch.tensor(kernel)[None, None], None, stride, padding)
    (grad,) = torch.autograd.grad(y, x, torch.tensor(signal)[None, None])
    return grad.flatten().numpy()


def counts_by_residues(size: Any, kernel: Any, stride: Any) -> Any:
    taps = [len(range(residue, kernel, stride)) for residue in range(stride)]
    return reference.overlap_counts(size, kernel, stride), np.bool_(len(set(taps)) == 1)


def sample_by_hats(image: Any, y: Any, x: Any) -> Any:
    rows, columns = (np.arange(n) for n in image.shape)
    down = np.maximum(0, 1 - np.abs(y[:, None] - rows))
    right = np.maximum(0, 1 - np.abs(x[:, None] - columns))
    return np.einsum("ph,hw,pw->p", down, image, right)


def deformed(images: Any, offsets: Any, kernels: Any, padding: Any, dilation: Any) -> Any:
    return reference.deformable_conv2d(images, offsets, kernels, padding=padding, dilation=dilation)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("separable_cost", cost_by_counting),
        ("transposed_conv1d", stuffed_and_flipped),
        ("transposed_conv1d", gradient_of_a_convolution),
        ("overlap_counts", counts_by_residues),
        ("bilinear_sample", sample_by_hats),
        ("bilinear_sample", reference.bilinear_sample),
        ("deformable_conv2d", deformed),
    ],
)
def test_another_right_solution_passes(name: str, function: Any) -> None:
    report = grade(name, function)
    assert report.passed, report
    assert report.follow_up == drill(name).follow_up


def correlated(signal: Any, kernel: Any, stride: Any, padding: Any) -> Any:
    stuffed = reference.stuff_zeros(signal[None, None, None], (1, stride))[0, 0, 0]
    full = np.correlate(stuffed, kernel, "full")
    return full[padding : len(full) - padding]


def interpolated(image: Any, y: Any, x: Any) -> Any:
    """Repeat the border, as many image libraries do."""
    padded = np.pad(image, 3, mode="edge")
    return sample_by_hats(padded, y + 3, x + 3)


def even_without_holes(size: Any, kernel: Any, stride: Any) -> Any:
    counts = reference.overlap_counts(size, kernel, stride)
    return counts, not kernel < stride


@pytest.mark.parametrize(
    ("name", "function", "words"),
    [
        ("transposed_conv1d", correlated, "the kernel is flipped"),
        ("bilinear_sample", interpolated, "positions are clamped to the border"),
        ("overlap_counts", even_without_holes, "k "),
    ],
)
def test_a_known_mistake_in_other_words_is_named(name: str, function: Any, words: str) -> None:
    report = grade(name, function)
    assert not report.passed
    assert str(report.mistake).startswith(words), report


def test_messages_have_their_numbers() -> None:
    wrong = {
        name: list(drill(name).wrong.values()) for name in ("separable_cost", "overlap_counts")
    }
    facts = drill("separable_cost").facts
    inputs = {"c_in": 64, "c_out": 128, "k": 3, "h": 1, "w": 1}
    forgotten = facts(inputs, wrong["separable_cost"][0](**inputs))
    assert (forgotten["got"], forgotten["due"]) == ("576", "8,768")
    assert wrong["separable_cost"][2](**inputs)[0] == 9344
    report = grade("overlap_counts", wrong["overlap_counts"][0])
    assert str(report.mistake).startswith("k 3, s 2: 1 and 2 in the middle")


def test_a_number_is_no_evenness() -> None:
    report = grade("overlap_counts", lambda *args: (reference.overlap_counts(*args), "yes"))
    assert report.failed_case is not None
    assert report.failed_case.reason == "even: it returned a str, not a number"
