"""The drills of chapter 3: other right solutions, and known mistakes in other people's code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from dlbook import normalization
from dlbook.drills import drill, grade
from dlbook.drills import normalization as drills

# --- other right solutions ---


def layer_norm_by_loops(x: Any, gamma: Any, beta: Any, eps: Any) -> Any:
    out = np.empty_like(x)
    for n, sample in enumerate(x):
        for t, token in enumerate(sample):
            mean = sum(token) / len(token)
            var = sum((v - mean) ** 2 for v in token) / len(token)
            out[n, t] = gamma * (token - mean) / (var + eps) ** 0.5 + beta
    return out


def batch_norm_by_the_module(batches: Any, gamma: Any, beta: Any, momentum: Any, eps: Any) -> Any:
    running: Any = normalization.Running.start(len(gamma))
    out = []
    for k, x in enumerate(batches, start=1):
        y, running = normalization.batch_norm(
            x, gamma, beta, running, training=k < len(batches), momentum=momentum, eps=eps
        )
        out.append(y)
    return np.stack(out)


def batch_norm_with_channels_last(
    batches: Any, gamma: Any, beta: Any, momentum: Any, eps: Any
) -> Any:
    rows = np.moveaxis(batches, 2, -1)
    out, mean, var = np.empty_like(rows), 0 * gamma, 0 * gamma + 1
    for t, x in enumerate(rows[:-1]):
        flat = x.reshape(-1, len(gamma))
        m = len(flat)
        out[t] = (x - flat.mean(0)) * gamma / np.sqrt(flat.var(0) + eps) + beta
        mean = mean + momentum * (flat.mean(0) - mean)
        var = var + momentum * (flat.var(0) * m / (m - 1) - var)
    out[-1] = (rows[-1] - mean) * gamma / np.sqrt(var + eps) + beta
    return np.moveaxis(out, -1, 2)


def backward_by_the_jacobian(dy: Any, x: Any, gamma: Any, eps: Any) -> Any:
    """Build the whole matrix of partial derivatives of each column."""
    m = len(x)
    root = np.sqrt(x.var(0) + eps)
    x_hat = (x - x.mean(0)) / root
    out = np.empty_like(x)
    for c in range(x.shape[1]):
        jacobian = np.eye(m) - 1 / m - np.outer(x_hat[:, c], x_hat[:, c]) / m
        out[:, c] = jacobian @ dy[:, c] * gamma[c] / root[c]
    return out


def group_norm_by_slices(x: Any, groups: Any, gamma: Any, beta: Any, eps: Any) -> Any:
    out = np.empty_like(x)
    size = x.shape[1] // groups
    for sample, result in zip(x, out, strict=True):
        for k in range(0, x.shape[1], size):
            part = sample[k : k + size]
            scaled = (part - part.mean()) / np.sqrt(part.var() + eps)
            result[k : k + size] = scaled * gamma[k : k + size, None, None]
            result[k : k + size] += beta[k : k + size, None, None]
    return out


def fold_by_a_diagonal(
    weight: Any, bias: Any, mean: Any, var: Any, gamma: Any, beta: Any, eps: Any
) -> Any:
    diagonal = np.diag(gamma * (var + eps) ** -0.5)
    return [np.einsum("oc,cihw->oihw", diagonal, weight), diagonal @ (bias - mean) + beta]


@pytest.mark.parametrize(
    ("name", "solution"),
    [
        ("layer_norm", layer_norm_by_loops),
        ("batch_norm", batch_norm_by_the_module),
        ("batch_norm", batch_norm_with_channels_last),
        ("batch_norm_backward", backward_by_the_jacobian),
        ("group_norm", group_norm_by_slices),
        ("fold", fold_by_a_diagonal),
    ],
)
def test_another_right_solution_passes(name: str, solution: Any) -> None:
    report = grade(name, solution)
    assert report.passed, report


# --- mistakes as others write them ---


def test_running_statistics_as_often_written() -> None:
    """Keras calls one minus it momentum; the stored variance is often the biased one."""

    def keras(batches: Any, gamma: Any, beta: Any, momentum: Any, eps: Any) -> Any:
        return drills.batch_norm(batches, gamma, beta, 1 - momentum, eps)

    message = grade("batch_norm", keras).mistake
    assert message is not None
    assert "torch's momentum weighs the new value" in message

    def biased(batches: Any, gamma: Any, beta: Any, momentum: Any, eps: Any) -> Any:
        out = np.array(batches)
        mean, var, shape = 0 * gamma, 0 * gamma + 1, (1, -1, 1, 1)
        for t, x in enumerate(batches):
            m, v = (x.mean((0, 2, 3)), x.var((0, 2, 3))) if t + 1 < len(batches) else (mean, var)
            mean, var = mean + momentum * (m - mean), var + momentum * (v - var)
            out[t] = gamma.reshape(shape) * (x - m.reshape(shape)) + 0
            out[t] = out[t] / np.sqrt(v.reshape(shape) + eps) + beta.reshape(shape)
        return out

    message = grade("batch_norm", biased).mistake
    assert message is not None
    assert "store the unbiased variance" in message


def test_layer_norm_with_torchs_default_std() -> None:
    """``x.std`` of a tensor divides by n − 1, that of an array by n."""

    def tensors(x: Any, gamma: Any, beta: Any, eps: Any) -> Any:
        t = torch.tensor(x)
        var = t.var(-1, keepdim=True)
        out = (t - t.mean(-1, keepdim=True)) / torch.sqrt(var + eps)
        return (out * torch.tensor(gamma) + torch.tensor(beta)).numpy()

    message = grade("layer_norm", tensors).mistake
    assert message == "too small by √(C/(C − 1)) = 1.41 for C = 2: the variance divides by C"


def test_the_sentence_about_eps_is_true() -> None:
    """A row of sd 1e-3: 0.30 with eps inside the root, 0.99 outside."""
    x = 1e-3 * np.array([[[1.0, -1.0]]])
    one, zero = np.ones(2), np.zeros(2)
    outside = next(w for words, w in drill("layer_norm").wrong.items() if "inside" in words)
    assert round(drills.layer_norm(x, one, zero, 1e-5).std(), 2) == 0.30
    assert round(outside(x, one, zero, 1e-5).std(), 2) == 0.99


def test_what_the_follow_up_of_folding_says() -> None:
    """A norm before a convolution: its shift does not reach the zeros of the padding."""
    x = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    weight = torch.ones(1, 1, 3, 3, dtype=torch.float64)
    exact = functional.conv2d(x + 1, weight, padding=1)
    folded = functional.conv2d(x, weight, weight.sum((1, 2, 3)), padding=1)
    assert torch.equal(exact[..., 1:-1, 1:-1], folded[..., 1:-1, 1:-1])
    assert exact[0, 0, 0, 0] == 4
    assert folded[0, 0, 0, 0] == 9
