"""The three reference figures of the benchmarks, as an author would write them.

``momentum`` moves two long lines, ``nms`` recolors boxes and labels, ``attention`` rewrites 192
numbers. Each call makes a new figure, so that every contender starts from the same one.
"""

from __future__ import annotations

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
from ipywidgets import Checkbox, FloatSlider, IntSlider, ToggleButtons
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from livefigure import LiveFigure, live, style

Floats = NDArray[np.float64]

# --- (a) momentum: 2 axes, a path of 61 points and its loss, 21 × 20 = 420 states ---

CURVATURE = np.array([1.0, 20.0])
START = np.array([-9.0, 2.5])
STEPS = 60


def quadratic(points: Floats) -> Floats:
    """Return half the curvature-weighted square of points, shape (…, 2) to (…)."""
    values: Floats = 0.5 * (CURVATURE * points**2).sum(axis=-1)
    return values


def descend(lr: float, mu: float) -> Floats:
    """Return the path of SGD with momentum on :func:`quadratic`, shape (61, 2)."""
    path = np.empty((STEPS + 1, 2))
    path[0], velocity = START, np.zeros(2)
    for step in range(STEPS):
        velocity = mu * velocity + CURVATURE * path[step]
        path[step + 1] = path[step] - lr * velocity
    return path


def momentum() -> LiveFigure:
    """Return figure (a)."""
    style.use()
    fig, (valley, curve) = plt.subplots(1, 2, figsize=(8, 3.2))
    x, y = np.meshgrid(np.linspace(-11, 11, 80), np.linspace(-4, 4, 60))
    valley.contour(x, y, quadratic(np.stack([x, y], axis=-1)), [1, 8, 25, 60, 120], colors="gray")
    valley.set(xlim=(-11, 11), ylim=(-4, 4), title="Path", xlabel="x", ylabel="y")
    (path,) = valley.plot([], [], "o-", markersize=3, linewidth=1.2)
    curve.set(xlim=(0, STEPS), yscale="log", ylim=(1e-8, 1e4), title="Loss", xlabel="step")
    (losses,) = curve.plot([], [])

    @live(
        fig,
        lr=FloatSlider(value=0.05, min=0.005, max=0.105, step=0.005, description="learning rate"),
        mu=FloatSlider(value=0.9, min=0.0, max=0.95, step=0.05, description="momentum"),
    )
    def momentum(lr: float, mu: float) -> str:
        run = descend(lr, mu)
        loss = quadratic(run)
        path.set_data(*run.T)
        losses.set_data(np.arange(STEPS + 1), loss)
        return f"With momentum {mu:.2f} the loss after {STEPS} steps is {loss[-1]:.2g}."

    return momentum


# --- (b) non-maximum suppression: 12 boxes with labels, 3 × 5 × 21 = 315 states ---

CENTERS = np.array([[2.4, 4.2], [6.3, 2.6], [7.8, 5.6]])
METHODS = ("hard", "linear", "Gaussian")


def detections() -> tuple[Floats, Floats]:
    """Return 12 boxes ``x0, y0, x1, y1``, shape (12, 4), and their scores, highest first."""
    rng = np.random.default_rng(3)
    centers = CENTERS.repeat(4, axis=0) + rng.normal(scale=0.32, size=(12, 2))
    half = rng.uniform(0.8, 1.2, size=(12, 2))
    scores = np.sort(rng.uniform(0.3, 0.99, size=12))[::-1].copy()
    return np.hstack([centers - half, centers + half])[rng.permutation(12)], scores


def overlaps(boxes: Floats) -> Floats:
    """Return the intersection over union of every pair of boxes, shape (n, 4) to (n, n)."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=-1)
    ratio: Floats = shared / (area[:, None] + area - shared)
    return ratio


def suppress(iou: Floats, scores: Floats, method: str, threshold: float) -> Floats:
    """Return the scores that hard or soft non-maximum suppression leaves, shape (n,).

    Linear and Gaussian decay are those of Bodla et al., "Soft-NMS" (2017).
    """
    left = scores.copy()
    waiting = list(range(len(scores)))
    while waiting:
        best = max(waiting, key=lambda k: left[k])
        waiting.remove(best)
        overlap = iou[best, waiting]
        if method == "Gaussian":
            left[waiting] *= np.exp(-(overlap**2) / max(threshold, 0.05))
        else:
            decay = 1 - overlap if method == "linear" else 0.0
            left[waiting] *= np.where(overlap > threshold, decay, 1)
    return left


def nms() -> LiveFigure:
    """Return figure (b)."""
    style.use()
    boxes, scores = detections()
    iou = overlaps(boxes)
    fig, ax = plt.subplots(figsize=(6, 4))
    ax.set(xlim=(0, 10), ylim=(0, 8), xticks=[], yticks=[], title="Detections")
    patches, labels = [], []
    for x0, y0, x1, y1 in boxes:
        patches.append(ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False)))
        labels.append(ax.text(x0 + 0.06, y1 - 0.08, "", va="top", fontsize=8))

    @live(
        fig,
        method=ToggleButtons(options=list(METHODS), description="suppression"),
        score=FloatSlider(value=0.4, min=0.3, max=0.7, step=0.1, description="least score"),
        threshold=FloatSlider(value=0.5, min=0.0, max=1.0, step=0.05, description="threshold"),
    )
    def nms(method: str, score: float, threshold: float) -> str:
        left = suppress(iou, scores, method, threshold)
        kept = left >= score
        for patch, label, value, keeps in zip(patches, labels, left, kept, strict=True):
            patch.set(edgecolor=style.BLUE if keeps else style.GRAY, linewidth=2 if keeps else 0.8)
            label.set(text=f"{value:.2f}", color=style.INK if keeps else style.GRAY)
        return f"{kept.sum()} of {len(kept)} boxes are kept."

    return nms


# --- (c) attention: 3 numbered 8 × 8 matrices and 8 bars, 8 × 2 × 2 × 8 = 256 states ---

TOKENS = ("the", "cat", "sat", "on", "the", "mat", "and", "slept")
WIDTH = 16


def projections() -> tuple[Floats, Floats]:
    """Return queries and keys of eight tokens, shape (8, 16) each."""
    rng = np.random.default_rng(5)
    queries, keys = rng.normal(size=(2, len(TOKENS), WIDTH))
    return queries, keys


def attend(
    queries: Floats, keys: Floats, *, scaled: bool, causal: bool, temperature: float
) -> tuple[Floats, Floats, Floats]:
    """Return raw scores, scores after scaling and mask, and weights, shape (8, 8) each."""
    raw = queries @ keys.T / temperature
    scores = raw / np.sqrt(queries.shape[1]) if scaled else raw
    if causal:
        scores = np.where(np.tri(len(scores), dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return raw, scores, weights / weights.sum(axis=1, keepdims=True)


def attention() -> LiveFigure:
    """Return figure (c)."""
    style.use()
    queries, keys = projections()
    fig, axes = plt.subplots(2, 2, figsize=(8, 7.6))
    grids, numbers = [], []
    matrices = (("Scores", 12), ("Scaled and masked", 12), ("Weights", 1))
    for ax, (title, limit) in zip(axes.flat, matrices, strict=False):
        low = 0 if limit == 1 else -limit
        grids.append(ax.imshow(np.zeros((8, 8)), cmap="coolwarm", vmin=low, vmax=limit))
        ax.set(title=title, xticks=range(8), yticks=range(8))
        ax.grid(False)
        numbers.append(
            [ax.text(k % 8, k // 8, "", ha="center", va="center", fontsize=6.5) for k in range(64)]
        )
    chart = axes[1, 1]
    bars = chart.bar(range(8), np.zeros(8), color=style.BLUE)
    chart.set(ylim=(0, 1), xticks=range(8), xticklabels=TOKENS)
    title = chart.set_title("")

    @live(
        fig,
        query=IntSlider(value=7, min=0, max=7, description="query"),
        causal=Checkbox(value=True, description="causal mask"),
        scaled=Checkbox(value=True, description="divide by √d"),
        temperature=FloatSlider(value=1.0, min=0.5, max=4.0, step=0.5),
    )
    def attention(query: int, causal: bool, scaled: bool, temperature: float) -> str:
        shown = attend(queries, keys, scaled=scaled, causal=causal, temperature=temperature)
        for grid, texts, matrix in zip(grids, numbers, shown, strict=True):
            grid.set_array(np.ma.masked_invalid(matrix))
            shades = grid.norm(np.nan_to_num(matrix, neginf=0.0)).ravel()
            for text, value, shade in zip(texts, matrix.ravel(), shades, strict=True):
                text.set_text("−∞" if np.isinf(value) else f"{value:.2f}")
                # Literal colors: the ink of a dark page would not show on a pale cell.
                text.set_color("black" if 0.12 < shade < 0.88 else "white")
        weights = shown[2][query]
        for bar, weight in zip(bars, weights, strict=True):
            bar.set_height(weight)
        title.set_text(f"Weights of query {query}, “{TOKENS[query]}”")
        best = int(weights.argmax())
        return f"“{TOKENS[query]}” looks most at “{TOKENS[best]}”, with weight {weights[best]:.2f}."

    return attention


FIGURES: dict[str, Callable[[], LiveFigure]] = {
    "momentum": momentum,
    "nms": nms,
    "attention": attention,
}
