"""The drills of chapter 11: other right solutions, and a few answers of an odd form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlbook.drills import grade
from dlbook.drills.gradient_flow import clip_by_norm, rnn_backward


def clip_from_one_row(grads: Any, max_norm: Any) -> Any:
    norm = np.linalg.norm(np.concatenate([grad.ravel() for grad in grads]))
    if norm + 1e-6 <= max_norm:
        return tuple(grad.copy() for grad in grads), norm
    return tuple(grad * (max_norm / (norm + 1e-6)) for grad in grads), norm


def backward_by_samples(weights: Any, x: Any, target: Any, activation: Any) -> Any:
    def phi(z: Any) -> Any:
        return {"tanh": np.tanh(z), "sigmoid": 1 / (1 + np.exp(-z)), "relu": z * (z > 0)}.get(
            activation, z
        )

    def from_output(h: Any) -> Any:
        slopes = {"tanh": 1 - h * h, "sigmoid": h * (1 - h), "relu": np.sign(h)}
        return slopes.get(activation, np.ones_like(h))

    grads = np.zeros_like(weights)
    for sample, wanted in zip(x, target, strict=True):
        h = [sample]
        for weight in weights:
            h.append(phi(weight @ h[-1]))
        delta = h[-1] - wanted
        for k in range(len(weights) - 1, -1, -1):
            inner = delta * from_output(h[k + 1])
            grads[k] += np.outer(inner, h[k]) / len(x)
            delta = weights[k].T @ inner
    return grads


def gain_by_sampling(slope: Any, q: Any) -> Any:
    z = np.random.default_rng(0).normal(scale=q**0.5, size=400_000)
    return np.mean(slope(z) ** 2) ** -0.5


def ratio_by_scaling(model: Any, batch: Any) -> Any:
    model.zero_grad()
    model.backward(batch)
    norms = []
    for layer in (model.layers[0], model.layers[-1]):
        top = float(np.abs(layer.grad).max())
        norms.append(top * float(np.linalg.norm(layer.grad / np.float32(top))))
    return norms[0] / norms[1]


def rnn_forward_mode(W: Any, U: Any, x: Any, dh: Any) -> Any:  # noqa: N803
    n, d = U.shape
    by_w, by_u, h = np.zeros((n, n, n)), np.zeros((n, n, d)), np.zeros(n)
    for step in x:
        new = np.tanh(W @ h + U @ step)
        slope = (1 - new**2)[:, None, None]
        by_w = slope * (np.tensordot(W, by_w, 1) + np.eye(n)[:, :, None] * h)
        by_u = slope * (np.tensordot(W, by_u, 1) + np.eye(n)[:, :, None] * step)
        h = new
    return np.tensordot(dh, by_w, 1), np.tensordot(dh, by_u, 1)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("clip_by_norm", clip_from_one_row),
        ("mlp_backward", backward_by_samples),
        ("init_gain", gain_by_sampling),
        ("gradient_ratio", ratio_by_scaling),
        ("rnn_backward", rnn_forward_mode),
    ],
)
def test_another_right_solution_passes(name: str, function: Any) -> None:
    report = grade(name, function)
    assert report.passed, report


@pytest.mark.parametrize(
    ("name", "function", "words"),
    [
        ("clip_by_norm", lambda g, m: clip_by_norm(g, m)[0], "the 2 parts clipped, norm"),
        ("clip_by_norm", lambda g, m: (1.0, 2.0), "it returned"),
        ("rnn_backward", lambda *a: rnn_backward(*a)[0], "it returned shape"),
    ],
)
def test_odd_answers_are_said(name: str, function: Any, words: str) -> None:
    report = grade(name, function)
    assert not report.passed
    assert report.mistake is None
    assert report.failed_case is not None
    assert words in report.failed_case.reason


def test_clipping_in_place_is_said() -> None:
    def in_place(grads: Any, max_norm: Any) -> Any:
        clipped, norm = clip_by_norm(grads, max_norm)
        for grad, new in zip(grads, clipped, strict=True):
            grad[...] = new
        return grads, norm

    assert grade("clip_by_norm", in_place).passed  # copies are passed on: harmless here
