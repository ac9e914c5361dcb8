"""What the book's own algorithms cost beside the libraries that readers know.

Run it from the repository's root::

    python benchmarks/algorithms.py

Every contender runs on one thread, on the same arrays, in turn with the others, so that whatever
else the machine does meets all of them; the figure is the median.
"""

# ruff: noqa: E402
from __future__ import annotations

import os

# Read when the libraries are loaded, so it has to come first.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray

from dlbook.convolution import conv2d, conv2d_loops
from dlbook.detection import from_cxcywh, iou, nms, nms_loops, to_xywh

Floats = NDArray[Any]

#: The shortest time that a contender is measured for, in seconds, and the fewest rounds.
SECONDS, ROUNDS = 1.0, 5


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes
    ----------
    label : str
        The problem in words.
    peer, ours : callable
        The library and the book.
    others : dict of str to callable
        What else stands beside them, called once only where it is slow.
    goal : float or None
        The smallest ratio, the peer's time over ours, that is asked for.
    rounds : int
        The fewest calls of each; more where the margin is thin.
    """

    label: str
    peer: Callable[[], Any]
    ours: Callable[[], Any]
    others: dict[str, Callable[[], Any]]
    goal: float | None
    rounds: int = ROUNDS


def interleaved(calls: list[Callable[[], Any]], rounds: int = ROUNDS) -> list[float]:
    """Return the median seconds of each call, taken in turn.

    Parameters
    ----------
    calls : list of callable
        Each is called once before it is measured.
    rounds : int
        The fewest calls of each.
    """
    for call in calls:
        call()
    times: list[list[float]] = [[] for _ in calls]
    begin = time.perf_counter()
    while len(times[0]) < rounds or time.perf_counter() - begin < SECONDS * len(calls):
        for taken, call in zip(times, calls, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def notes_loops(images: Floats, kernels: Floats, stride: int, padding: int) -> Floats:
    """Convolve as the source notes do: loops over image, channel and place, a sum for the rest.

    Their four faults are mended: the empty slice at padding 0, the padding counted twice, one size
    for both axes, one kernel side for both axes.
    """
    n, _, height, width = images.shape
    c_out, _, k_h, k_w = kernels.shape
    padded = np.zeros((*images.shape[:2], height + 2 * padding, width + 2 * padding), images.dtype)
    padded[:, :, padding : padding + height, padding : padding + width] = images
    h_out = (padded.shape[2] - k_h) // stride + 1
    w_out = (padded.shape[3] - k_w) // stride + 1
    out = np.zeros((n, c_out, h_out, w_out), images.dtype)
    for b, o, i, j in np.ndindex(out.shape):
        top, left = i * stride, j * stride
        patch = padded[b, :, top : top + k_h, left : left + k_w]
        out[b, o, i, j] = np.sum(patch * kernels[o])
    return out


def convolutions() -> Iterator[Row]:
    """Yield chapter 7's comparisons with ``torch.nn.functional.conv2d``."""
    shapes = [
        # N, C, H, W, C_out, kernel, stride, padding, dtype, goal
        (2, 3, 32, 32, 16, 3, 1, 1, "float64", 1.0),
        (8, 64, 56, 56, 64, 3, 1, 1, "float64", 1.5),
        (8, 64, 56, 56, 64, 3, 2, 1, "float64", None),
        (1, 3, 224, 224, 64, 7, 2, 3, "float64", None),
        (2, 3, 32, 32, 16, 3, 1, 1, "float32", None),
        (8, 64, 56, 56, 64, 3, 1, 1, "float32", None),
    ]
    for n, c, h, w, c_out, k, stride, padding, dtype, goal in shapes:
        rng = np.random.default_rng(0)
        images = rng.normal(size=(n, c, h, w)).astype(dtype)
        kernels = rng.normal(size=(c_out, c, k, k)).astype(dtype)
        ours = _call(conv2d, images, kernels, stride=stride, padding=padding)
        tensors = torch.from_numpy(images), torch.from_numpy(kernels)
        peer = _call(F.conv2d, *tensors, stride=stride, padding=padding)
        tolerance = 1e-9 if dtype == "float64" else 1e-2
        np.testing.assert_allclose(ours(), peer().numpy(), rtol=0, atol=tolerance)
        others: dict[str, Callable[[], Any]] = {}
        if n * c_out * h * w < 50_000:
            others["the notes' loops, mended"] = _call(
                notes_loops, images, kernels, stride, padding
            )
            others["conv2d_loops"] = _call(
                conv2d_loops, images, kernels, stride=stride, padding=padding
            )
            for slow in others.values():
                np.testing.assert_allclose(slow(), ours(), rtol=0, atol=tolerance)
        label = f"{n}×{c}×{h}×{w} → {c_out}, {k}×{k}, stride {stride}, {dtype}"
        yield Row(label, peer, ours, others, goal)


def spread_boxes(count: int) -> tuple[Floats, Floats]:
    """Return boxes that overlap little, and scores."""
    rng = np.random.default_rng(0)
    centers = rng.uniform(0, 38 * count**0.5, (count, 2))
    sides = rng.uniform(20, 80, (count, 2))
    return from_cxcywh(np.hstack([centers, sides])), rng.uniform(0.01, 1, count)


def clustered_boxes(count: int, clusters: int) -> tuple[Floats, Floats]:
    """Return noisy copies of a few boxes, as a detector makes them of objects, and scores."""
    rng = np.random.default_rng(0)
    centers = rng.uniform(0, 120 * clusters**0.5, (clusters, 2))
    sides = rng.uniform(20, 80, (clusters, 2))
    which = rng.integers(clusters, size=count)
    middles = centers[which] + rng.normal(0, 0.08, (count, 2)) * sides[which]
    sizes = sides[which] * np.exp(rng.normal(0, 0.08, (count, 2)))
    return from_cxcywh(np.hstack([middles, sizes])), rng.uniform(0.01, 1, count)


def opencv_nms(boxes: Floats, scores: Floats, threshold: float) -> Floats:
    """Suppress with OpenCV, with what its caller pays: corners to lists of x, y, width, height."""
    rows = to_xywh(boxes).tolist()
    return np.asarray(cv2.dnn.NMSBoxes(rows, scores.tolist(), 0.0, threshold)).ravel()


def matrix_nms(boxes: Floats, scores: Floats, threshold: float) -> Floats:
    """Suppress with the IoUs of all pairs, made at once: the popular vectorized version."""
    order = np.argsort(-scores, kind="stable")
    over = iou(boxes[order], boxes[order]) > threshold
    alive = np.ones(len(order), dtype=bool)
    for place in range(len(order)):
        if alive[place]:
            alive[place + 1 :] &= ~over[place, place + 1 :]
    return order[alive]


def suppressions() -> Iterator[Row]:
    """Yield chapter 8's comparisons with ``cv2.dnn.NMSBoxes``, at a threshold of 0.5."""
    scenes: list[tuple[str, tuple[Floats, Floats], float]] = [
        ("2,000 boxes, spread", spread_boxes(2_000), 8),
        ("2,000 boxes, 40 clusters", clustered_boxes(2_000, 40), 0.5),
        ("2,000 boxes, 20 clusters", clustered_boxes(2_000, 20), 0.5),
        ("10,000 boxes, spread", spread_boxes(10_000), 20),
        ("10,000 boxes, 200 clusters", clustered_boxes(10_000, 200), 1),
        ("10,000 boxes, 20 clusters", clustered_boxes(10_000, 20), 1),
    ]
    for label, (boxes, scores), goal in scenes:
        ours, peer = (_call(f, boxes, scores, 0.5) for f in (nms, opencv_nms))
        others = {"nms_loops": _call(nms_loops, boxes, scores, 0.5)}
        if len(boxes) == 2_000:
            others["all pairs at once"] = _call(matrix_nms, boxes, scores, 0.5)
        kept = ours()
        for other in (peer, *others.values()):
            np.testing.assert_array_equal(other(), kept)
        yield Row(f"{label}, {len(kept):,} kept", peer, ours, others, goal, rounds=21)


def _call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[[], Any]:
    return lambda: function(*args, **kwargs)


def milliseconds(seconds: float) -> str:
    """Return seconds as milliseconds with three digits."""
    return f"{1000 * seconds:.3g}"


def report(title: str, peer: str, rows: Iterator[Row]) -> bool:
    """Print a table; return whether every goal was met."""
    print(f"\n{title}\n\n| problem | {peer}, ms | ours, ms | ratio | goal | beside them, ms |")
    print("|---|---|---|---|---|---|")
    met = True
    for row in rows:
        theirs, ours = interleaved([row.peer, row.ours], row.rounds)
        beside = "; ".join(
            f"{name} {milliseconds(interleaved([call])[0])}" for name, call in row.others.items()
        )
        ratio = theirs / ours
        met &= row.goal is None or ratio >= row.goal
        goal = "–" if row.goal is None else f"≥ {row.goal:g}"
        print(
            f"| {row.label} | {milliseconds(theirs)} | {milliseconds(ours)} | {ratio:.2f}× | "
            f"{goal} | {beside or '–'} |",
            flush=True,
        )
    return met


def main() -> None:
    """Print every table."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    met = report("Chapter 7, convolution", "F.conv2d", convolutions())
    met &= report("Chapter 8, suppression", "cv2.dnn.NMSBoxes", suppressions())
    print("\nEvery goal was met." if met else "\nA goal was missed.")


if __name__ == "__main__":
    main()
