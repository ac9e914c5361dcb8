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

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray

from dlbook.convolution import conv2d, conv2d_loops

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
    """

    label: str
    peer: Callable[[], Any]
    ours: Callable[[], Any]
    others: dict[str, Callable[[], Any]]
    goal: float | None


def interleaved(calls: list[Callable[[], Any]]) -> list[float]:
    """Return the median seconds of each call, taken in turn.

    Parameters
    ----------
    calls : list of callable
        Each is called once before it is measured.
    """
    for call in calls:
        call()
    times: list[list[float]] = [[] for _ in calls]
    begin = time.perf_counter()
    while len(times[0]) < ROUNDS or time.perf_counter() - begin < SECONDS * len(calls):
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
        theirs, ours = interleaved([row.peer, row.ours])
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
    met = report("Chapter 7, convolution", "F.conv2d", convolutions())
    print("\nEvery goal was met." if met else "\nA goal was missed.")


if __name__ == "__main__":
    main()
