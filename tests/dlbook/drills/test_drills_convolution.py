"""The drills of chapter 7: other right solutions, and known mistakes in other people's code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch.nn import functional

from dlbook import convolution
from dlbook.drills import drill, grade

# --- other right solutions ---


def single_by_shifts(image: Any, kernel: Any) -> Any:
    """Add a shifted copy of the image for each weight."""
    height, width = (n - k + 1 for n, k in zip(image.shape, kernel.shape, strict=True))
    return sum(
        weight * image[a : a + height, b : b + width] for (a, b), weight in np.ndenumerate(kernel)
    )


def conv2d_by_torch(images: Any, kernels: Any, stride: Any, padding: Any) -> Any:
    given = torch.tensor(images), torch.tensor(kernels)
    return functional.conv2d(*given, stride=stride, padding=padding).numpy()


def conv2d_by_scalar_loops(images: Any, kernels: Any, stride: Any, padding: Any) -> Any:
    return convolution.conv2d_loops(images, kernels, stride=stride, padding=padding)


def columns_one_by_one(images: Any, k_h: Any, k_w: Any, stride: Any) -> Any:
    _, _, height, width = images.shape
    return np.stack(
        [
            images[:, :, i : i + k_h, j : j + k_w].reshape(len(images), -1)
            for i in range(0, height - k_h + 1, stride)
            for j in range(0, width - k_w + 1, stride)
        ],
        axis=-1,
    )


def conv2d_by_einsum(images: Any, kernels: Any) -> Any:
    windows = sliding_window_view(images, kernels.shape[2:], axis=(2, 3))
    return np.einsum("ncijab,ocab->noij", windows, kernels, optimize=True)


def backward_by_matrices(images: Any, kernels: Any, grad: Any, stride: Any) -> Any:
    return convolution.conv2d_backward(images, kernels, grad, stride)[:2]


def backward_by_autograd(images: Any, kernels: Any, grad: Any, stride: Any) -> Any:
    given = [torch.tensor(array, requires_grad=True) for array in (images, kernels)]
    functional.conv2d(*given, stride=stride).backward(torch.tensor(grad))
    return [np.asarray(tensor.grad) for tensor in given]


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("conv2d_single", single_by_shifts),
        ("conv2d", conv2d_by_torch),
        ("conv2d", conv2d_by_scalar_loops),
        ("im2col", columns_one_by_one),
        ("conv2d_matmul", conv2d_by_einsum),
        ("conv2d_backward", backward_by_matrices),
        ("conv2d_backward", backward_by_autograd),
    ],
)
def test_another_right_solution_passes(name: str, function: Any) -> None:
    report = grade(name, function)
    assert report.passed, report
    assert report.follow_up == drill(name).follow_up


# --- mistakes, as others write them ---


def padding_slice_of_the_notes(images: Any, kernels: Any, stride: Any, padding: Any) -> Any:
    padded = np.zeros((*images.shape[:2], *(n + 2 * padding for n in images.shape[2:])))
    padded[:, :, padding:-padding, padding:-padding] = images
    return conv2d_by_torch(padded, kernels, stride, 0)


def test_the_notes_slice_raises_at_padding_0() -> None:
    report = grade("conv2d", padding_slice_of_the_notes)
    assert not report.passed
    assert report.mistake is None
    assert report.failed_case is not None
    assert report.failed_case.inputs["padding"] == 0
    assert "could not broadcast" in report.failed_case.reason
    assert "padded[:, :, padding:-padding, padding:-padding] = images" in report.failed_case.reason


def scipy_convolution(image: Any, kernel: Any) -> Any:
    from scipy.signal import convolve2d

    return convolve2d(image, kernel, "valid")


def size_after_padding(images: Any, kernels: Any, stride: Any, padding: Any) -> Any:
    """Repeat the notes' second fault, with windows that sum what is there."""
    padded = np.pad(images, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    out_h = (padded.shape[2] + 2 * padding - kernels.shape[2]) // stride + 1
    out_w = (padded.shape[3] + 2 * padding - kernels.shape[3]) // stride + 1
    wide = np.pad(padded, [(0, 0), (0, 0), (0, 9), (0, 9)])
    return conv2d_by_torch(wide, kernels, stride, 0)[:, :, :out_h, :out_w]


def transposed_reshape(images: Any, kernels: Any) -> Any:
    columns = convolution.im2col(images, kernels.shape[2:])
    out = columns.swapaxes(1, 2) @ kernels.reshape(len(kernels), -1).T
    h_out, w_out = (n - k + 1 for n, k in zip(images.shape[2:], kernels.shape[2:], strict=True))
    return out.reshape(len(images), len(kernels), h_out, w_out)


@pytest.mark.parametrize(
    ("name", "function", "words"),
    [
        ("conv2d_single", scipy_convolution, "the kernel is flipped"),
        ("conv2d", size_after_padding, "the padding counts twice"),
        ("conv2d_matmul", transposed_reshape, "channels last"),
    ],
)
def test_a_known_mistake_in_other_words_is_named(name: str, function: Any, words: str) -> None:
    report = grade(name, function)
    assert not report.passed
    assert str(report.mistake).startswith(words), report
