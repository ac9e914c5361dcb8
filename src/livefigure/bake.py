"""Call a figure's function for every position of its controls and keep what it draws."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from livefigure.errors import LiveFigureError
from livefigure.fragments import Fragment
from livefigure.stage import Stage

#: Environment variable that names a file to which progress is appended, a line each time.
PROGRESS = "LIVEFIGURE_PROGRESS"
_REVISITS = 40

State = tuple[int, ...]


@dataclass(frozen=True)
class Track:
    """What one slot draws over all states.

    Attributes
    ----------
    fragments : list of Fragment
        The different drawings, in order of appearance.
    which : array of int, shape of the controls
        The index into ``fragments`` in each state.
    """

    fragments: list[Fragment]
    which: NDArray[np.int32]

    @property
    def is_static(self) -> bool:
        """Whether the slot looks the same in every state."""
        return len(self.fragments) == 1


@dataclass(frozen=True)
class Bake:
    """All states of one figure: a track for each slot, and the captions."""

    shape: tuple[int, ...]
    tracks: list[Track]
    captions: list[str]
    caption_which: NDArray[np.int32]

    @property
    def states(self) -> int:
        """The number of states."""
        return int(np.prod(self.shape, dtype=int))


def bake(name: str, stage: Stage, shape: Sequence[int], call: Callable[[State], str]) -> Bake:
    """Visit every state in order, then some again in another order.

    Parameters
    ----------
    name : str
        Name of the figure, for progress and errors.
    stage : Stage
        The figure, its layout frozen.
    shape : sequence of int
        The number of positions of each control.
    call : callable
        Moves the artists to a state and returns the caption.

    Raises
    ------
    LiveFigureError
        If a state looks different when it is visited again.
    """
    shape = tuple(shape)
    total = int(np.prod(shape, dtype=int))
    seen: list[dict[Fragment, int]] = [{} for _ in stage.slots]
    which = np.zeros((len(stage.slots), total), dtype=np.int32)
    captions: dict[str, int] = {}
    caption_which = np.zeros(total, dtype=np.int32)
    report = _reporter(name, total)
    for k, state in enumerate(_states(shape)):
        caption = call(state)
        caption_which[k] = captions.setdefault(caption, len(captions))
        for slot, fragment in enumerate(stage.draw()):
            known = seen[slot]
            which[slot, k] = known.setdefault(fragment, len(known))
        report(k + 1)
    tracks = [
        Track(list(known), row.reshape(shape)) for known, row in zip(seen, which, strict=True)
    ]
    result = Bake(shape, tracks, list(captions), caption_which.reshape(shape))
    _revisit(name, stage, result, call)
    return result


def _states(shape: Sequence[int]) -> Iterator[State]:
    return itertools.product(*(range(count) for count in shape))


def _revisit(name: str, stage: Stage, baked: Bake, call: Callable[[State], str]) -> None:
    """Visit some states in another order: a drawing that differs depends on history."""
    states = list(_states(baked.shape))
    random.Random(0).shuffle(states)
    for state in states[:_REVISITS]:
        caption = call(state)
        changed = []
        if caption != baked.captions[baked.caption_which[state]]:
            changed.append("its caption")
        for slot, fragment in enumerate(stage.draw()):
            track = baked.tracks[slot]
            if fragment != track.fragments[track.which[state]]:
                changed.append(f"a {stage.slots[slot].kind}")
        if changed:
            raise LiveFigureError(
                f"{name} depends on its history: at position {state} {' and '.join(changed)} "
                "differs from the first visit. Compute everything from the parameters: draw no "
                "unseeded random numbers, make no artist and keep no value between calls"
            )


def _reporter(name: str, total: int) -> Callable[[int], None]:
    """Return a function that appends ``name done total`` to the progress file now and then."""
    target = os.environ.get(PROGRESS)
    if not target:
        return lambda done: None
    path = Path(target)
    last = [time.monotonic()]

    def report(done: int) -> None:
        if done < total and time.monotonic() - last[0] < 1:
            return
        last[0] = time.monotonic()
        with path.open("a", encoding="utf-8") as stream:
            stream.write(f"{name} {done} {total}\n")

    return report
